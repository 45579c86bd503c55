"""One run: plan it, generate, score while generating, aggregate."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from benchmark.configuration import Presets, Settings, resolve
from benchmark.datasets.manifest import Manifest
from benchmark.errors import MethodError, MissingWeights, PrerequisiteError, UsageError, did_you_mean
from benchmark.results.schema import Failures, FollowedProtocol, PairResult, Result, RunSpec
from benchmark.results.statistics import INTERVALS
from benchmark.runs.directory import Key, Prediction, RunDirectory, ScoreRow
from benchmark.runs.generation import Batch, batches, checked_speech, generate, outputs_of, unfinished
from benchmark.runs.scoring import NOT_MEASURED, Scorer, Work, aggregate, current_rows, unscored
from benchmark.runs.workers import WorkerPool
from benchmark.sources import source_of_method, source_together
from benchmark.tasks import Protocol, Task, enhancer_of, with_protocol
from benchmark.types import Example, Sample, derive_seed

AnyResult = TypeVar("AnyResult", Result, PairResult)
Progress = Callable[..., None]
"""Called as progress(stage, done, total), or with a fourth: what else is to be known of it now, as text."""


@dataclass(frozen=True)
class MethodPlan:
    """A method with its settings, its weights found; nothing is loaded yet."""

    name: str
    kind: Any
    """The Method class."""
    settings: Settings
    weights: Path | None
    weights_sha256: str | None
    label: str
    source: str = ""
    """Hash of the code that its outputs depend on, as it was when the plan was made."""
    given_label: str | None = None
    """The row's name as the user gave it."""
    gathered: Any = None
    """What the method takes from outside this project (`Method.gather`)."""
    drawn_people: str = ""
    """Dataset of drawn people who are all that the weights learnt, where the preset says so of its own."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Hashes of the content of files and folders that settings name, by setting; those of files of single samples are
    known from `with_files_of` on."""

    def __post_init__(self) -> None:
        # Now, not when outputs are made: by then the files may have been edited, and what runs is what was imported.
        object.__setattr__(self, "source", self.source or source_of_method(self.kind))

    @property
    def weights_id(self) -> str:
        return self.weights_sha256 or "none"

    @property
    def hears(self) -> tuple[str, ...] | None:
        """The inputs that it makes use of; None where that may be all."""
        if self.gathered is not None:
            return self.gathered.hears
        return getattr(self.kind, "hears", None)  # a plug-in's class need not come from ours

    def is_of(self, spec: RunSpec) -> bool:
        """Whether a run, made here or read from a file, has these settings and weights, and the files that are known
        of the plan (of one made without weights none are) with the same content."""
        here, there = (json.loads(json.dumps(each)) for each in (self.settings.for_identity(), spec.config))
        files = self.files.items() <= (spec.files or {}).items()
        return here == there and spec.weights_sha256 == self.weights_sha256 and files


def plan_method(
    name: str,
    preset: str | None = None,
    config: Path | None = None,
    sets: Sequence[str] = (),
    weights: Path | None = None,
    *,
    without_weights: bool = False,
) -> MethodPlan:
    """Resolve a method's settings and find its weights, unless it is to do without.

    Args:
        weights: a file or a folder, or a name of the table of weights.

    Raises:
        UnknownName, InvalidConfig: as `configuration.resolve`.
        MissingWeights: a preset without weights, or a file that is not there.
    """
    from benchmark.registry import methods
    from benchmark.weights import table

    kind = methods.load(name)
    presets = presets_of(kind)
    settings = resolve(kind.Config, presets, preset, config, sets)
    if without_weights:
        return MethodPlan(name, kind, settings, None, None, name)
    shipped = settings.weights if isinstance(settings.weights, Path) else None
    weights = table.given(weights) if weights else None
    path = weights or shipped or (table.locate(settings.weights) if isinstance(settings.weights, str) else None)
    if path is None and presets.tables:
        others = getattr(settings.config, "others_networks", tuple)()
        beside = f". It needs networks of others, too: {'; '.join(others)}" if others else ""
        raise MissingWeights(
            f"Method '{name}' has no weights for preset '{settings.preset}': "
            f"{_ways_to_weights(name, kind, settings.preset)}{beside}"
        )
    if path is not None and not path.exists():
        meant = did_you_mean(weights.name, table.TABLE) if weights and not weights.suffix else ""
        raise MissingWeights(f"Weights of '{name}' not found: {path} is not a file.{meant}")
    digest = _digest(path) if path else None
    given = digest if weights and not (shipped and shipped.exists() and _digest(shipped) == digest) else None
    label = label_of(name, kind, settings.preset, settings.for_identity(), given)
    drawn_people = "" if given or path is None else settings.drawn_people
    named = {name: _named_file(name, text) for name, text in settings.files().items()}
    later = settings.files_of_samples()
    files = {name: _digest(path) for name, path in named.items() if name not in later}
    return MethodPlan(name, kind, settings, path, digest, label, drawn_people=drawn_people, files=files)


def with_files_of(
    method: MethodPlan, samples: Sequence[Sample], progress: Progress = lambda stage, done, total, about="": None
) -> MethodPlan:
    """The plan with hashes of the files that samples have in the folders that its settings name for such.

    Args:
        samples: all of the split, so that a run is the same however many of them are asked for.
    """
    known = dict(method.files)
    for name, find in method.settings.files_of_samples().items():
        folder = _named_file(name, method.settings.files()[name])
        files = {file for sample in samples if (file := find(folder, sample)) is not None}
        known[name] = _digest_of(folder, files, lambda done, total, name=name: progress("read", done, total, name))
    return replace(method, files=known)


def _named_file(setting: str, text: str) -> Path:
    """The file or folder that a setting names.

    Raises:
        MissingWeights: there is none; or, where it names weights of the table, as `table.given`.
    """
    from benchmark.weights import table

    path = table.given(text)
    if not path.exists():
        near = did_you_mean(text, table.TABLE) or f" It is looked for from here, {Path.cwd()}"
        raise MissingWeights(f"--set {setting}={text}: expected a file, a folder or a name of `weights list`.{near}")
    return path


def _ways_to_weights(name: str, kind: Any, preset: str | None) -> str:
    """How weights are had that a preset lacks: `take those that ..., train them with ..., or give a file ...`."""
    from benchmark.registry import trainers
    from benchmark.weights import table

    ways = []
    if published := getattr(kind, "published", ""):  # a plug-in's class need not come from ours
        *_, known = published.split()
        away = known in table.TABLE and not table.is_here(known)
        getting = f" (`python -m benchmark weights fetch {known}` says how they are had)" if away else ""
        ways.append(f"take those that its authors publish with `{published}`{getting}, ")
    if name in trainers:
        ways.append(f"train them with `python -m benchmark train --method {name} --preset {preset}`, or ")
    return f"{''.join(ways)}give a file with --weights"


def presets_of(kind: Any) -> Presets:
    """What a Method class ships in `presets.toml` beside its code; none where it has no presets."""
    source = sys.modules[kind.__module__].__file__
    assert source is not None
    folder = Path(source).parent
    return Presets.beside(folder) if getattr(kind, "has_presets", True) else Presets(folder)


def label_of(name: str, kind: Any, preset: str | None, config: Mapping[str, Any], weights: str | None = None) -> str:
    """A row's name: the method, with its preset and settings where they are not the default.

    Args:
        kind: the Method class.
        config: all its settings, by name.
        weights: sha256 of weights that are given in place of the preset's own.

    Raises:
        UnknownName: no such preset.
    """
    presets = presets_of(kind)
    plain = resolve(kind.Config, presets, preset).as_dict()
    about = [preset] if preset and preset != presets.default else []
    about += [f"{key}={_shown(config[key])}" for key in plain if config[key] != plain[key]]
    about += [f"weights {weights[:8]}"] if weights else []
    return name + (f" ({', '.join(about)})" if about else "")


def protocol_for(
    kind: Any, task: Task, seconds: float | None = None, repeats: int | None = None, enrolment: str | None = None
) -> Protocol:
    """The task's protocol with what the user set, as it is for one method: who hears no enrolment is given none.

    Args:
        kind: the Method class, or its plan.

    Raises:
        UsageError: as `with_protocol`.
    """
    protocol = with_protocol(task, seconds, repeats, enrolment)
    heard = getattr(kind, "hears", None)  # a plug-in's class need not come from ours
    return protocol if heard is None or "enrolment" in heard else replace(protocol, enrolment=None)


def enrolled_label(label: str, task: Task, enrolment: str | None) -> str:
    """The label with the enrolment, where that is not the task's own: `lipdiffuser (steps=8, enrolment=clean)`."""
    if enrolment in (None, task.protocol.enrolment):
        return label
    return f"{f'{label[:-1]}, ' if label.endswith(')') else f'{label} ('}enrolment={enrolment})"


LONGEST_LABEL = 60


def checked_label(text: str) -> str:
    """A row's name as a user gives it, without spaces around.

    Raises:
        UsageError: empty, too long, with what does not show, or what rows of a method here are called.
    """
    from benchmark.registry import methods
    from benchmark.reports.escaping import printable

    text = text.strip()
    if not text or len(text) > LONGEST_LABEL or printable(text) != text:
        raise UsageError(f"--label {text[:80]!r}: expected 1 to {LONGEST_LABEL} letters that can be printed on a line")
    if (first := text.partition(" (")[0]) in methods:
        raise UsageError(f"--label {text!r}: rows of the method '{first}' are called that; choose another name")
    return text


def gathered(method: MethodPlan, task: Task, samples: Sequence[Sample]) -> MethodPlan:
    """The plan with what its method takes from outside this project, whose hash stands for that of weights.

    Raises:
        UsageError: there is nothing to be used, or weights are given besides.
    """
    found = method.kind.gather(method.settings.config, task, samples)
    if found is None:
        return method
    if method.weights is not None:
        raise UsageError(f"--weights {method.weights}: '{method.name}' takes what it needs from its settings alone")
    return replace(
        method,
        settings=replace(method.settings, config=found.config),
        weights=found.source,
        weights_sha256=found.sha256,
        label=f"{method.name} ({found.name})",
        gathered=found,
    )


def _shown(value: Any) -> str:
    """As `--set` takes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _digest(path: Path) -> str:
    """sha256 of a file; of a folder, that of the names and hashes of the files in it."""
    from benchmark.weights.table import sha256_of

    return sha256_of(path) if path.is_file() else _digest_of(path, (file for file in path.rglob("*") if file.is_file()))


def _digest_of(folder: Path, files: Iterable[Path], progress: Callable[..., None] = lambda done, total: None) -> str:
    """sha256 of the names and hashes of some files of a folder."""
    from benchmark.weights.table import sha256_of

    listing, ordered = [], sorted(files)
    for number, file in enumerate(ordered, 1):
        listing.append(f"{file.relative_to(folder).as_posix()} {sha256_of(file)}")
        progress(number, len(ordered))
    return hashlib.sha256("\n".join(listing).encode()).hexdigest()


@dataclass(frozen=True)
class RunView:
    """A run as scoring and reports see it, whether it was just made or is read back."""

    run: RunDirectory
    task: Task
    spec: RunSpec
    label: str
    preset: str | None
    manifest: Manifest
    samples: Sequence[Sample]
    followed: FollowedProtocol | None = None
    """The paper's protocol by which it is measured."""
    drawn_people: str = ""
    """As of `MethodPlan`."""


@dataclass(frozen=True)
class RunPlan:
    """Everything that a run is made of."""

    method: MethodPlan
    task: Task
    protocol: Protocol
    manifest: Manifest
    training: Manifest | None
    seed: int
    limit: int | None
    shard: tuple[int, int]
    batch_size: int
    device: str
    runs: Path
    enhancer: MethodPlan | None = None
    """What makes the enrolment of noisy speech, where the protocol asks for it."""
    followed: FollowedProtocol | None = None
    """The paper's protocol that the command follows."""

    @property
    def spec(self) -> RunSpec:
        return RunSpec(
            task=self.task.name,
            task_version=self.task.version,
            method=self.method.name,
            config=self.method.settings.for_identity(),
            weights_sha256=self.method.weights_sha256,
            dataset=self.manifest.dataset,
            dataset_revision=self.manifest.revision,
            split=self.manifest.split,
            manifest_sha256=self.manifest.sha256,
            training_sha256=self.training.sha256 if self.training else None,
            seconds=self.protocol.seconds,
            repeats=self.protocol.repeats,
            seed=self.seed,
            enrolment=self.protocol.enrolment,
            enhancer=self.enhancer and _identity(self.enhancer),
            label=self.method.given_label,
            files=dict(self.method.files) or None,
        )

    @property
    def source(self) -> str:
        """Hash of the code that the outputs depend on: the method's, and that of what enhances its enrolments."""
        return source_together(self.method.source, *([self.enhancer.source] if self.enhancer else []))

    @property
    def samples(self) -> Sequence[Sample]:
        """Those asked for; `--limit` takes the first ones by id."""
        return self.manifest.samples[: self.limit]

    @property
    def run(self) -> RunDirectory:
        return RunDirectory(self.runs / self.spec.run_id(), self.shard)

    @property
    def view(self) -> RunView:
        about = self.method
        preset = about.settings.preset
        return RunView(
            self.run, self.task, self.spec, about.label, preset, self.manifest, self.samples, self.followed,
            about.drawn_people,
        )  # fmt: skip

    def describe(self) -> dict[str, Any]:
        followed = {"protocol": self.followed.model_dump()} if self.followed else {}
        return {
            "run_id": self.spec.run_id(),
            "label": self.method.label,
            "preset": self.method.settings.preset,
            "spec": self.spec.model_dump(),
            **({"enhancer": _about(self.enhancer)} if self.enhancer else {}),
            "weights": str(self.method.weights) if self.method.weights else None,
            **({"files": self.method.settings.files()} if self.method.files else {}),
            "manifest": str(self.manifest.path),
            "root": str(self.manifest.root),
            "device": self.device,
            "limit": self.limit,
            **({"drawn_people": self.method.drawn_people} if self.method.drawn_people else {}),
            **followed,
        }


def write_run(plan: RunPlan) -> RunDirectory:
    """Write `run.json` before anything else."""
    from benchmark.runs import provenance

    run = plan.run
    about = {**plan.describe(), "provenance": provenance.collect()}
    if (run.path / "run.json").is_file():  # a part that is asked for later does not make the whole a part
        before = run.read_run().get("limit")
        about["limit"] = None if before is None or plan.limit is None else max(before, plan.limit)
    run.write_document("run.json", json.dumps(about, indent=2, ensure_ascii=False) + "\n")
    return run


class _Scoring:
    """Sends batches to the workers and keeps what comes back."""

    def __init__(self, run: RunDirectory, pool: WorkerPool, total: int, progress: Progress) -> None:
        self.run, self.pool, self.total, self.progress = run, pool, total, progress
        self.kept = 0
        progress("score", 0, total)

    def submit(self, batch: Batch, rows: Sequence[Prediction], metrics: Sequence[str]) -> None:
        self.pool.submit(Work(batch.number, tuple(rows), self.run.path, tuple(metrics)))

    def submit_lacking(self, batch_list: Sequence[Batch], done: Mapping[Key, Prediction], retry_failed: bool) -> None:
        """Queue what finished batches still lack; a batch is measured again as a whole."""
        missing = unscored(self.pool.scorer, self.run, done, retry_failed)
        for batch in batch_list:
            rows = [done[key] for key in batch.keys if key in done]
            lacking = [metric for metric, keys in missing.items() if keys.intersection(batch.keys)]
            if rows and lacking:
                self.submit(batch, rows, lacking)
            else:
                self.kept += len(rows)

    def collect(self, wait: bool) -> None:
        self.pool.collect(self._receive, wait)

    def _receive(self, rows: list[ScoreRow]) -> None:
        self.run.append_scores(rows)
        self.kept += len({row.key for row in rows})
        self.progress("score", self.kept, self.total)


def evaluate(
    plan: RunPlan,
    pool: WorkerPool | None,
    progress: Progress = lambda stage, done, total: None,
    *,
    retry_failed: bool = False,
    fresh: bool = False,
) -> int:
    """Make what is missing of a run's predictions and, with a pool, of its scores, both at once.

    Where a real-time factor is measured on a CPU, scores wait until everything is made: they would take its cores.

    Args:
        fresh: delete first what was made and measured before.

    Returns:
        How many outputs were there already.
    """
    run = plan.run
    if fresh:
        run.clear()
    with run.locked():
        write_run(plan)
        work = batches(plan.samples, plan.protocol.repeats, plan.batch_size, plan.shard)
        done = run.as_they_are(run.predictions())
        todo = [batch for batch in work if unfinished(batch, done, retry_failed)]
        total = sum(len(batch.items) for batch in work)
        there = made = total - sum(len(batch.items) for batch in todo)
        progress("generate", made, total)
        scoring = _Scoring(run, pool, total, progress) if pool else None
        alone = plan.device == "cpu" and pool is not None and "rtf" in pool.scorer.metrics
        waiting: list[tuple[Batch, list[Prediction]]] = []

        def score(batch: Batch, rows: list[Prediction]) -> None:
            if scoring and pool:
                scoring.submit(batch, rows, list(pool.scorer.metrics))
                scoring.collect(wait=False)

        def finished(batch: Batch, rows: list[Prediction]) -> None:
            nonlocal made
            made += len(rows)
            progress("generate", made, total)
            if alone:
                waiting.append((batch, rows))
            else:
                score(batch, rows)

        kept = [batch for batch in work if batch not in todo]
        try:
            if scoring and not alone:
                scoring.submit_lacking(kept, done, retry_failed)
            if todo:
                _make(plan, todo, finished)
        except Exception:
            if scoring and pool:  # what is under way belongs to this run, and the pool goes on to the next
                try:
                    scoring.collect(wait=True)
                finally:
                    pool.forget()
            raise
        if scoring:
            if alone:
                scoring.submit_lacking(kept, done, retry_failed)
            for batch, rows in waiting:
                score(batch, rows)
            scoring.collect(wait=True)
            progress("score", scoring.kept, total)
    return there


def _make(plan: RunPlan, todo: Sequence[Batch], finished: Callable[[Batch, list[Prediction]], None]) -> None:
    """Load the method and generate, and keep what did it."""
    from benchmark import tracebacks
    from benchmark.runs import provenance

    run = plan.run
    training = plan.training.samples if plan.training else ()
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.redirect_stdout(sys.stderr))  # what a method prints is no part of the table
        with tracebacks.of_loading(plan.method.name, run):
            method = plan.method.kind(plan.method.settings.config, plan.method.weights, training)
            if plan.method.gathered is not None:
                method.gathered = plan.method.gathered
            method.load(plan.device)
        stack.callback(method.close)
        enhance = None
        if plan.enhancer is not None:
            with tracebacks.of_loading(plan.enhancer.name, run):
                enhancer = plan.enhancer.kind(plan.enhancer.settings.config, plan.enhancer.weights)
                enhancer.load(plan.device)
            stack.callback(enhancer.close)
            enhance = partial(with_enhanced_enrolments, enhancer)
        generate(
            method,
            plan.task,
            plan.protocol,
            todo,
            run,
            seed=plan.seed,
            weights=plan.method.weights_id,
            made_by=run.write_maker(
                {
                    **provenance.collect(),
                    "source": plan.source,
                    **({"enhancer": _about(plan.enhancer)} if plan.enhancer else {}),
                    "device": provenance.device_name(plan.device),
                }
            ),
            enhance=enhance,
            finished=finished,
        )


def with_enhanced_enrolments(enhancer: Any, examples: list[Example]) -> list[Example | Exception]:
    """The examples with their enrolments as the enhancer makes them, or why it cannot."""
    asked = [
        Example(
            example.sample.without_targets(),
            example.repeat,
            derive_seed("enrolment", enhancer.name, *example.key),
            {"noisy": example.inputs["enrolment"]},
        )
        for example in examples
    ]
    made: list[Example | Exception] = []
    for example, output in zip(examples, outputs_of(enhancer, asked), strict=True):
        if isinstance(output, Exception):
            made.append(MethodError(f"the enrolment cannot be enhanced by {enhancer.name}: {output}"))
            continue
        try:
            heard = example.inputs["enrolment"]._replace(samples=checked_speech(output))
        except MethodError as error:
            made.append(MethodError(f"the enrolment cannot be enhanced by {enhancer.name}: {error}"))
        else:
            made.append(replace(example, inputs={**example.inputs, "enrolment": heard}))
    return made


def source_here(spec: RunSpec) -> str | None:
    """Hash of the code that makes the outputs of a run, as it is here (`RunPlan.source`); None where a method is not.

    Raises:
        PrerequisiteError: what a method needs to be imported is not installed.
    """
    from benchmark.registry import methods

    names = [spec.method, *filter(None, [enhancer_of(spec.enrolment)])]
    if any(name not in methods for name in names):
        return None
    return source_together(*(source_of_method(methods.load(name)) for name in names))


def _about(method: MethodPlan) -> dict[str, Any]:
    """What the record of outputs says of a method that made their inputs."""
    return {
        "method": method.name,
        "preset": method.settings.preset,
        "config": method.settings.as_dict(),
        "weights_sha256": method.weights_sha256,
        "source": method.source,
    }


def _identity(method: MethodPlan) -> str:
    """Hash of what a method's outputs depend on beside its inputs."""
    text = json.dumps([method.name, method.settings.as_dict(), method.weights_sha256], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def rescore(
    view: RunView,
    pool: WorkerPool,
    batch_size: int,
    progress: Progress = lambda stage, done, total: None,
    *,
    retry_failed: bool = False,
) -> None:
    """Measure what a run's predictions still lack."""
    with view.run.locked():
        work = batches(view.samples, view.spec.repeats, batch_size)
        done = view.run.as_they_are(view.run.predictions())
        scoring = _Scoring(view.run, pool, sum(key in done for batch in work for key in batch.keys), progress)
        scoring.submit_lacking(work, done, retry_failed)
        scoring.collect(wait=True)
        progress("score", scoring.kept, scoring.total)


def conclude(view: RunView, scorer: Scorer, unwritten: list[OSError] | None = None) -> Result:
    """Aggregate a run from its files and write `result.json`, unless one of more samples is there.

    Args:
        unwritten: takes the error where the file cannot be written, so that the numbers are not lost; without it the
            error is raised.
    """
    from benchmark.runs import provenance

    predictions = view.run.predictions()
    wanted = {(sample.id, repeat) for sample in view.samples for repeat in range(view.spec.repeats)}
    rows = [row for key, row in predictions.items() if key in wanted]
    now = view.run.as_they_are({row.key: row for row in rows})
    measured = current_rows(scorer, view.run, now)
    aggregates = aggregate(scorer, measured, view.samples, view.spec.repeats)
    scoring: Counter[str] = Counter()
    for item in aggregates:
        for reason, count in item.reasons.items():
            if reason.startswith("failed: ") and not reason.startswith("failed: no output: "):
                text = f"{item.metric}: {reason.removeprefix('failed: ')}"
                scoring[text] = max(scoring[text], count)
    failed = {row.key for row in rows if row.status != "ok"}
    for each in measured.values():
        failed |= {key for key, row in each.items() if row.status == "failed"}
    makers = view.run.makers(row.made_by for row in rows)
    sources = sorted({str(maker.get("source") or "unknown") for maker in makers})
    if len(makers) < len({row.made_by for row in rows}):  # a record that is gone
        sources = sorted({*sources, "unknown"})
    changed = sum(bool(row.version) and row.version != now[row.key].version for row in rows)
    result = Result(
        run_id=view.spec.run_id(),
        label=view.label,
        spec=view.spec,
        preset=view.preset,
        partial=len(view.samples) < len(view.manifest.samples)
        or len(rows) < len(wanted)
        or len(sources) > 1
        or changed > 0
        or any(NOT_MEASURED in item.reasons for item in aggregates),
        samples=len(view.samples),
        speakers=len({sample.speaker for sample in view.samples}),
        aggregates=aggregates,
        intervals=INTERVALS,
        failures=Failures(
            generation=dict(
                Counter(row.reason or "no reason given" for row in rows if row.status != "ok").most_common()
            ),
            scoring=dict(scoring.most_common()),
            rows=len(failed),
        ),
        generation_seconds=sum(row.seconds or 0.0 for row in rows),
        generated_by=makers,
        sources=sources,
        changed=changed,
        protocol=view.followed,
        drawn_people=view.drawn_people,
        provenance=provenance.collect(),
    )
    if fuller_result(view) is None:
        try:
            view.run.write_document("result.json", result.model_dump_json(indent=2) + "\n")
        except OSError as error:
            if unwritten is None:
                raise
            unwritten.append(error)
    return result


def made_nothing(view: RunView) -> bool:
    """Whether outputs were asked for, and not one could be made."""
    asked = {sample.id for sample in view.samples}
    rows = [row for row in view.run.predictions().values() if row.sample in asked]
    return bool(rows) and all(row.status != "ok" for row in rows)


def fuller_result(view: RunView) -> Result | None:
    """The run's `result.json`, where it stands on more samples than are looked at now."""
    try:
        known = read_result(view.run.path)
    except UsageError:
        return None
    return known if known.samples > len(view.samples) else None


def read_result(path: Path, kind: type[AnyResult] = Result) -> AnyResult:  # type: ignore[assignment]
    """A result file, checked against its schema.

    Args:
        kind: `Result` of a run, or `PairResult` of files that were scored against files.

    Raises:
        UsageError: no such file, not JSON, or not a result.
    """
    from pydantic import ValidationError

    file = path / "result.json" if path.is_dir() else path
    try:
        return kind.model_validate_json(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UsageError(f"No result at {file}: the run has not been scored yet") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ": ".join(filter(None, [".".join(map(str, first["loc"])), first["msg"]]))
        raise UsageError(f"{file} is not a result: {where}") from error
    except (OSError, ValueError) as error:
        raise UsageError(f"{file} cannot be read as a result: {error}") from error


def peers(view: RunView) -> list[Result]:
    """The task's reference rows, as they are shipped, that lie beside a run, of the same mixtures or crops.

    Those that are told whose voice to give are told it as the run is, or as the task does where the run is not told.
    """
    shared = ("task", "task_version", "manifest_sha256", "seconds", "repeats", "seed")
    found: dict[str, Result] = {}
    plans: dict[str, MethodPlan] = {}
    for name in view.task.references:
        with contextlib.suppress(PrerequisiteError, UsageError):
            plans[name] = plan_method(name)
    for path in sorted(view.run.path.parent.glob("*/result.json")):
        try:
            result = read_result(path)
        except UsageError:  # of another kind
            continue
        plan = plans.get(result.spec.method) if result.spec.label is None else None
        same = all(getattr(result.spec, name) == getattr(view.spec, name) for name in shared)
        same = same and result.spec.enrolment in (None, view.spec.enrolment or view.task.protocol.enrolment)
        if not plan or not same or result.samples != len(view.samples) or result.run_id == view.spec.run_id():
            continue
        if plan.is_of(result.spec):
            found[plan.name] = result
    return [found[name] for name in view.task.references if name in found]


def find_run(text: str, runs: Path) -> Path:
    """A run directory by path or by id (a unique beginning is enough).

    Raises:
        UsageError: none, or several.
    """
    if (Path(text) / "run.json").is_file():
        return Path(text)
    found = [] if "/" in text else sorted(path.parent for path in runs.glob(f"{glob.escape(text)}*/run.json"))
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"'{text}' fits {len(found)} runs: {', '.join(path.name for path in found[:5])}")
    if Path(text).is_dir():
        raise UsageError(f"{text} is no run directory: expected run.json in it; name one run or result file")
    shown = "" if runs == Path("runs") else f" --runs {runs}"
    what = (
        f"{text}: no such file or folder." if "/" in text or text.endswith(".json") else f"No run '{text}' in {runs}/."
    )
    raise UsageError(f"{what} List runs with: python -m benchmark list runs{shown}")
