"""Which run a number or a picture of a paper is of: named in words of the command line, and found where it was made.

Nothing is run here. A run is found by what its command would make: the method with its settings and weights as they
are now, on the same split of the same data with clips of the same length. Results of other weights, or of a part of
the split, do not count.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.errors import MissingWeights, UsageError
from benchmark.results.finding import PUBLISHED, Found, Kept, find_results
from benchmark.runs.evaluation import MethodPlan, plan_method, protocol_for

if TYPE_CHECKING:
    from benchmark.results.schema import Result

EMBEDDED = "talkers"
"""The dataset that every machine has."""
SPLIT = "test"
RUNS = Path("runs")
"""Where `run` puts its runs."""


@dataclass(frozen=True)
class RunNeeded:
    """A run on the test split of a dataset, or another of its splits. Two are equal where one run serves both."""

    method: str
    task: str
    sets: tuple[str, ...] = ()
    """`KEY=VALUE`, over the preset."""
    preset: str | None = None
    """None takes the default, which has weights."""
    seconds: float | None = None
    """Length of speech; None takes the task's own."""
    enrolment: str = ""
    """Whose voice a method is told to give, of a task with enrolments; empty takes the task's own."""
    dataset: str = EMBEDDED
    split: str = SPLIT
    trained: str = ""
    """What has to be trained first, as no weights are shipped for it: `a training at 128 x 128`."""
    training: tuple[str, ...] = ()
    """Settings of that training, which a result does not keep."""
    folder: str = ""
    """Of that training, below `runs/train`; empty takes the usual one."""
    own: bool = False
    """The dataset is the paper's, and the training is on it, too."""
    protocol: str = field(default="", compare=False)
    """Of the paper, by which it is measured: `sf2f/table3`; empty where none says how."""
    outputs: bool = field(default=False, compare=False)
    """Outputs are looked at, not numbers alone: a published result does not suffice."""
    metrics: tuple[str, ...] = field(default=(), compare=False)
    """Of the protocol, to be asked for by name, where the task's own do not yield every number; else none."""
    options: tuple[str, ...] = field(default=(), compare=False)
    """Of `run`, which make the definitions the paper's, as the protocol has them."""
    label: str = field(default="", compare=False)
    """The row whose numbers it yields: `SF2F, 5 sec`."""

    @property
    def name(self) -> str:
        """For people: `flowavse`, `flowavse steps=5`, `avp_gan 2 s`."""
        asked = [] if self.seconds is None else [f"{self.seconds:g} s"]
        asked += [f"enrolment={self.enrolment}"] if self.enrolment else []
        asked += [self.split] if self.split != SPLIT else []
        return self.label or " ".join([self.method, *filter(None, [self.preset]), *self.sets, *asked])

    @cached_property
    def plan(self) -> MethodPlan:
        """Settings and, where they are here, weights.

        Raises:
            UnknownName, InvalidConfig: the method, preset or setting is not known.
            PrerequisiteError: the method needs a package that is not installed.
        """
        return self._planned[0]

    @property
    def lacking(self) -> str:
        """What has to be made or fetched first; empty where weights are here, or the method needs none."""
        return self.trained or self._planned[1]

    @cached_property
    def _planned(self) -> tuple[MethodPlan, str]:
        try:
            return plan_method(self.method, self.preset, sets=self.sets), ""
        except MissingWeights:
            plan = plan_method(self.method, self.preset, sets=self.sets, without_weights=True)
            return plan, f"weights of preset '{plan.settings.preset}'"

    @cached_property
    def config(self) -> Any:
        """Settings as they come back from a file: lists in place of tuples."""
        return json.loads(json.dumps(self.plan.settings.for_identity()))

    def fits(self, kept: Kept) -> bool:
        """Whether a result is of this run: method, settings, weights, files, data, length of clips.

        How weights were trained a result does not say: runs that differ by that alone fit alike (`like`). How often it
        was repeated, and from which seed, makes no other run of it; see `fitting`.
        """
        from benchmark.registry import datasets
        from benchmark.tasks import get_task

        spec, task = kept.result.spec, get_task(self.task)
        named = spec.task, spec.task_version, spec.method, spec.dataset, spec.split
        if named != (task.name, task.version, self.method, self.dataset, self.split):
            return False
        protocol = protocol_for(self.plan.kind, task, self.seconds, enrolment=self.enrolment or None)
        asked = protocol.seconds, protocol.enrolment, datasets.load(self.dataset).revision
        if (spec.seconds, spec.enrolment, spec.dataset_revision) != asked:
            return False
        trained_here = bool(self.lacking) and spec.weights_sha256 is not None
        plan = replace(self.plan, weights_sha256=spec.weights_sha256) if trained_here else self.plan
        return plan.is_of(spec)

    def unlike(self, result: Result) -> list[str]:
        """How a result that was named for the row is of another run than the row's: `enrolment other, not clean`."""
        from benchmark.tasks import get_task

        spec, task = result.spec, get_task(self.task)
        protocol = protocol_for(self.plan.kind, task, self.seconds, enrolment=self.enrolment or None)
        pairs: dict[str, tuple[Any, Any]] = {"method": (spec.method, self.method)}
        if result.preset == self.plan.settings.preset and spec.method == self.method:
            pairs |= {key: (spec.config.get(key), value) for key, value in self.config.items()}
        pairs["seconds"] = spec.seconds or "whole", protocol.seconds or "whole"
        if spec.enrolment and protocol.enrolment:  # who hears none has none
            pairs["enrolment"] = spec.enrolment, protocol.enrolment
        return [f"{name} {got}, not {asked}" for name, (got, asked) in pairs.items() if got != asked]

    def like(self, other: RunNeeded) -> bool:
        """Whether results cannot tell the run from another, as both differ in training alone."""

        def known(need: RunNeeded) -> tuple[Any, ...]:
            asked = need.seconds, need.enrolment, need.split
            return need.method, *asked, need.task, need.dataset, need.config, bool(need.lacking)

        return known(self) == known(other)

    def commands(self, runs: Path = RUNS) -> tuple[str, ...]:
        """What to type: the training, where one is needed, and the run.

        Args:
            runs: folder of runs that it is to stand in.
        """
        from benchmark.registry import datasets, methods, trainers
        from benchmark.tasks import get_task

        task = get_task(self.task)
        method = ["--method", self.method, *(["--preset", self.preset] if self.preset else [])]
        plain = [word for item in self.sets for word in ("--set", item)]
        place = [] if self.dataset == EMBEDDED else ["--dataset", self.dataset]
        if place and datasets.load(self.dataset).needs_root:
            place += ["--data-root", "FOLDER"]
        lines = []
        words = ["run", *method, *plain]
        if self.lacking:
            words += ["--weights", "FILE"]
            if self.method in trainers:
                changed = [word for item in self.training for word in ("--set", item)]
                folder = ["--out", f"runs/train/{self.folder}"] if self.folder else []
                lines.append(["train", *method, *plain, *changed, *(place if self.own else []), *folder])
        if methods.described(self.method).task.split(", ")[0] != task.name:
            words += ["--task", task.name]
        if self.seconds is not None and self.seconds != task.protocol.seconds:
            words += ["--seconds", f"{self.seconds:g}"]
        if self.enrolment and self.enrolment != task.protocol.enrolment:
            words += ["--enrolment", self.enrolment]
        words += [*place, *(["--split", self.split] if self.split != SPLIT else [])]
        words += [*(["--metrics", ",".join(self.metrics)] if self.metrics else [])]
        words += [word for option in self.options for word in option.split(" ", 1)]
        words += ["--runs", str(runs)] if runs != RUNS else []
        return tuple(_typed(line) for line in [*lines, words])


@dataclass(frozen=True)
class SpeedNeeded:
    """Speed and size of methods, measured side by side on this machine."""

    name: str
    """Of the file that keeps them."""
    methods: tuple[str, ...]

    def path(self, runs: Path) -> Path:
        return runs / "speed" / f"{self.name}.json"

    def command(self, runs: Path) -> str:
        return _typed(["speed", "--method", ",".join(self.methods), "--output", str(self.path(runs))])


def fitting(need: RunNeeded, results: Iterable[Kept]) -> list[Kept]:
    """Results of a run that can be ranked: those of the usual protocol and seed first, else as they come."""
    from benchmark.tasks import get_task

    usual = get_task(need.task).protocol.repeats
    found = [kept for kept in results if not kept.result.why_unranked and need.fits(kept)]
    return sorted(found, key=lambda kept: (kept.result.spec.repeats != usual, kept.result.spec.seed != 0))


class Shelves:
    """The user's runs, then the published results, each read once."""

    def __init__(self, runs: Path, published: Path | None = None) -> None:
        self.runs, self.published = runs, published or PUBLISHED

    @cached_property
    def _found(self) -> tuple[Found, Found]:
        own, published = (
            find_results([folder]) if folder.is_dir() else Found() for folder in (self.runs, self.published)
        )
        return own, published

    @property
    def results(self) -> list[Kept]:
        """All that were read, the user's own first."""
        own, published = self._found
        return [*own.kept, *(replace(kept, published=True) for kept in published.kept)]

    @property
    def unread(self) -> list[str]:
        """A line for each file that should be a result and is none."""
        return [line for found in self._found for line in found.unread]

    def find(self, need: RunNeeded) -> Kept | None:
        """The one that serves a run best; with its outputs, where they are needed."""
        found = fitting(need, self.results)
        return next((kept for kept in found if kept.folder is not None or not need.outputs), None)

    def speeds(self, need: SpeedNeeded) -> dict[str, dict[str, Any]]:
        """Method to its row of the report, of those that were measured with settings and weights as they are now.

        Raises:
            UsageError: the file is no report of `speed`.
        """
        path = need.path(self.runs)
        if not path.is_file():
            return {}
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            rows = {row["method"]: row for row in document["rows"] if row["status"] == "ok"}
            machine = document["provenance"]["machine"]["cpu"]
            for row in rows.values():
                row["machine"] = row["device_name"] or machine
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageError(f"{path} is no report of `speed` ({type(error).__name__}: {error}): delete it") from error
        found = {}
        for method in need.methods:
            plan, own = plan_method(method), rows.get(method)
            settings = json.loads(json.dumps(plan.settings.for_identity()))
            if own and (own["config"], own["weights_sha256"]) == (settings, plan.weights_sha256):
                found[method] = own
        return found


def _typed(words: Iterable[str]) -> str:
    return shlex.join(["python", "-m", "benchmark", *words])
