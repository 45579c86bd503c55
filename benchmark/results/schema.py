"""A run's result: the aggregates with all that is needed to trust and repeat them. Schema-versioned; validated."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

SCHEMA = 1
RENAMED = {"lip sync": "LipSync"}
"""Titles of numbers in older files, to those that the same numbers have now: one column has one name."""


class RunSpec(BaseModel):
    """What can change an output, and nothing else; its hash is the run's identity."""

    model_config = ConfigDict(extra="forbid")

    task: str
    task_version: int
    method: str
    config: dict[str, Any]
    weights_sha256: str | None
    dataset: str
    dataset_revision: str
    split: str
    manifest_sha256: str
    training_sha256: str | None = None
    """Manifest of the training split, for rows made from it."""
    seconds: float | None
    repeats: int
    seed: int
    dtype: str = "float32"
    enrolment: str | None = None
    """Whose voice a method was told to give (`benchmark.tasks.Protocol.enrolment`); None where it hears none."""
    enhancer: str | None = None
    """Hash of settings and weights of the method that enhanced the enrolment."""
    label: str | None = None
    """The row's name, where the user gave one: it changes no output, but two names are two rows."""
    files: dict[str, str] | None = None
    """sha256 of the files and folders that settings name, by setting; None where none does."""

    def run_id(self) -> str:
        """`sf2f-talkers-3f2a9c01de`."""
        import hashlib
        import json

        later = ("enrolment", "enhancer", "label", "files")  # than the first runs, whose ids stay
        unset = {name for name in later if getattr(self, name) is None}
        text = json.dumps(self.model_dump(exclude=unset), sort_keys=True)
        return f"{self.method}-{self.dataset}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"


def is_probability(name: str) -> bool:
    """Whether a number of ours is a p-value: `craniofacial_jaw_width_p`."""
    return name.endswith("_p")


class Aggregate(BaseModel):
    """One reported number."""

    name: str
    title: str
    metric: str
    value: float | None
    """Mean over evaluation runs; None where nothing could be scored."""
    low: float | None
    """Lower end of the 95 % interval over speakers; see `benchmark.results.statistics`."""
    high: float | None
    no_interval: str = ""
    """Why there is no interval, where there is a value and none."""
    spread: float | None
    """Standard deviation over the evaluation runs (repeats)."""
    sd: float | None = None
    """Standard deviation over the outputs, of a number that is the mean of what single outputs have; None for any
    other, and in older files."""
    scored: int
    total: int
    reasons: dict[str, int] = Field(default_factory=dict)
    """Why rows are undefined or failed, with counts."""
    signature: str
    higher_is_better: bool | None
    unit: str = ""

    @field_validator("title")
    @classmethod
    def _as_now(cls, title: str) -> str:
        return RENAMED.get(title, title)


class Failures(BaseModel):
    """What went wrong, by reason."""

    generation: dict[str, int] = Field(default_factory=dict)
    scoring: dict[str, int] = Field(default_factory=dict)
    rows: int = 0
    """Outputs that were not made, or that a metric failed on; each counts once."""


class FollowedProtocol(BaseModel):
    """A paper's protocol, as the command followed it that measured a result."""

    model_config = ConfigDict(extra="forbid")

    name: str
    """`sf2f/table3`, or the user's file."""
    options: dict[str, Any]
    """Of `run`, as they were resolved: those that the protocol has a say in."""
    departures: list[str]
    """Each way in which the paper's setting is not kept."""
    speakers: int | None = None
    """Of the paper's split, where the paper states them and its corpus is taken."""
    samples: int | None = None
    """The same of its recordings or mixtures."""


class Result(BaseModel):
    """The file `result.json`."""

    model_config = ConfigDict(extra="forbid")

    schema_version: int = Field(SCHEMA, ge=1, le=SCHEMA)
    run_id: str
    label: str
    """Row name in tables: the method, with its preset or settings where they are not the default."""
    spec: RunSpec
    preset: str | None = None
    partial: bool
    """True where not every sample of the split was asked for, made and measured, or where the outputs are of several
    states of the method's code or were changed since; such a result cannot be ranked."""
    samples: int
    speakers: int
    aggregates: list[Aggregate]
    intervals: str = ""
    """Their kind, `INTERVALS` of `statistics.py`; empty in older files, which hold percentiles of a bootstrap over
    speakers, too narrow for few of them."""
    failures: Failures
    generation_seconds: float
    """Sum of the time spent inside the method."""
    generated_by: list[dict[str, Any]] = Field(default_factory=list)
    """Code, packages, machine and device that made the outputs; several where a run went on elsewhere or later."""
    sources: list[str] = Field(default_factory=list)
    """Hashes of the method's code that made the outputs: one, or the run is a mixture."""
    changed: int = 0
    """Outputs whose files are not as they were made."""
    protocol: FollowedProtocol | None = None
    """None where no paper's protocol was asked for, and in older files."""
    drawn_people: str = ""
    """Dataset of drawn people who are all that the weights learnt; empty where they learnt others or nothing, where
    nobody knows, and in older files."""
    provenance: dict[str, Any]
    """The same as `generated_by`, of what scored them."""

    def aggregate(self, name: str) -> Aggregate | None:
        return next((item for item in self.aggregates if item.name == name), None)

    @property
    def learnt_others(self) -> bool:
        """Whether drawn people are all that was learnt, and these are others."""
        return self.drawn_people not in ("", self.spec.dataset)

    @property
    def why_unranked(self) -> str:
        """Why the result cannot be ranked, in a few words; nothing where it can."""
        if len(self.sources) > 1:
            return f"mixed: outputs of {len(self.sources)} states of the code"
        if self.changed:
            return f"{self.changed} outputs changed since they were made"
        return "partial" if self.partial else ""


class PairSpec(BaseModel):
    """What was compared with what; its hash names the folder that keeps the scores."""

    model_config = ConfigDict(extra="forbid")

    estimate: str
    """As an absolute path."""
    reference: str | None
    align: bool
    limit: int | None = None
    of_both: Literal["speech", "faces"] | None = None
    """What is judged, where the estimate holds both kinds of files: each has scores of its own. None elsewhere."""

    def run_id(self) -> str:
        """`enhanced-3f2a9c01de`."""
        import hashlib
        from pathlib import Path

        unset = {"of_both"} if self.of_both is None else set()
        text = self.model_dump_json(exclude=unset)
        return f"{Path(self.estimate).stem}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"


class PairResult(BaseModel):
    """The `result.json` of files that were scored against files."""

    model_config = ConfigDict(extra="forbid")

    schema_version: int = Field(SCHEMA, ge=1, le=SCHEMA)
    run_id: str
    label: str
    spec: PairSpec
    judged: Literal["speech", "faces"] = "speech"
    pairs: int
    speakers: int
    """Clusters of the intervals."""
    clusters: str
    """What a cluster is: `files`, `folders`, `people`, or the table that named the speakers."""
    reference_only: list[str]
    estimate_only: list[str]
    partial: bool
    """True where only some of the pairs were asked for."""
    aggregates: list[Aggregate]
    intervals: str = ""
    """As of a run's result."""
    failures: Failures
    undefined: dict[str, int]
    """Files for which a metric has no value, by reason."""
    provenance: dict[str, Any]

    def aggregate(self, name: str) -> Aggregate | None:
        return next((item for item in self.aggregates if item.name == name), None)

    @property
    def why_unranked(self) -> str:
        """As of a run's result."""
        return "partial" if self.partial else ""


def stated_signature(result: Result | PairResult, metric: str) -> str:
    """The signature of a metric's rows, as its numbers state it."""
    return " ".join(dict.fromkeys(item.signature for item in result.aggregates if item.metric == metric))
