"""What is measured here of a paper's rows: the run that a row needs, its commands, results that fit, and running it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.errors import BenchmarkError, MissingWeights, PrerequisiteError, UsageError
from benchmark.papers.reported import Cell, Row

if TYPE_CHECKING:
    from benchmark.results.finding import Kept

PUBLISHED = Path(__file__).parents[2] / "leaderboards" / "results"
"""Result files of a checkout; an installed project has none."""
EMBEDDED = "talkers"
"""The dataset that every machine has."""
SPLIT = "test"


@dataclass(frozen=True)
class Wanted:
    """The run that measures a row on a dataset, its settings resolved."""

    row: Row
    task: str
    dataset: str
    own: bool
    """It is the dataset of the paper."""
    preset: str | None
    """At the paper's size on the paper's dataset and where a training is needed; else None, the method's default."""
    sets: tuple[str, ...]
    training: tuple[str, ...]
    """Settings of the training, which a result does not keep."""
    config: Mapping[str, Any]
    weights_sha256: str | None
    lacking: str
    """What has to be made first, `a training of this size`; empty where weights are here, or the method needs none."""
    metrics: tuple[str, ...]
    """To be asked for by name, where the task's own do not yield every number; else none."""
    options: tuple[str, ...]
    """Of `run`, which make the definitions the paper's."""

    @property
    def identity(self) -> str:
        """The same for rows that one run measures."""
        about = (self.row.run.method, self.task, self.dataset, self.preset, self.sets, self.training)
        return json.dumps([*about, self.row.run.seconds])

    def fits(self, kept: Kept) -> bool:
        """Whether a result is of this run: method, settings, weights, dataset, length of clips.

        How weights were trained a result does not say: rows that differ by that alone fit alike (`like`).
        """
        from benchmark.tasks import get_task, with_protocol

        spec, task = kept.result.spec, get_task(self.task)
        same = (spec.task, spec.task_version, spec.method, spec.dataset, spec.split)
        if same != (task.name, task.version, self.row.run.method, self.dataset, SPLIT):
            return False
        if spec.seconds != with_protocol(task, self.row.run.seconds, None).seconds:
            return False
        as_kept = json.loads(json.dumps(self.config))
        trained_here = bool(self.lacking) and spec.weights_sha256 is not None
        return spec.config == as_kept and (trained_here or spec.weights_sha256 == self.weights_sha256)

    def like(self, other: Wanted) -> bool:
        """Whether results cannot tell the run from one of another row, as both differ in training alone."""
        mine, theirs = self.row.run, other.row.run
        same = (mine.method, mine.seconds, self.task, self.dataset, self.config, bool(self.lacking))
        return same == (theirs.method, theirs.seconds, other.task, other.dataset, other.config, bool(other.lacking))

    def commands(self) -> tuple[str, ...]:
        """What to type: the training, where one is needed, and the run."""
        from benchmark.registry import datasets, methods, trainers
        from benchmark.tasks import get_task

        run, task = self.row.run, get_task(self.task)
        method = ["--method", run.method, *(["--preset", self.preset] if self.preset else [])]
        plain = [word for item in self.sets for word in ("--set", item)]
        place = [] if self.dataset == EMBEDDED else ["--dataset", self.dataset]
        if place and datasets.load(self.dataset).needs_root:
            place += ["--data-root", "FOLDER"]
        lines = []
        words = ["run", *method, *plain]
        if self.lacking:
            words += ["--weights", "FILE"]
            if run.method in trainers:
                changed = [word for item in self.training for word in ("--set", item)]
                folder = ["--out", f"runs/train/{run.method}-{run.key}"] if run.needs else []
                lines.append(["train", *method, *plain, *changed, *(place if self.own else []), *folder])
        if methods.described(run.method).task.split(", ")[0] != task.name:
            words += ["--task", task.name]
        if run.seconds is not None and run.seconds != task.protocol.seconds:
            words += ["--seconds", f"{run.seconds:g}"]
        words += [*place, *(["--metrics", ",".join(self.metrics)] if self.metrics else [])]
        words += [word for option in self.options for word in option.split(" ", 1)]
        return tuple(shlex.join(["python", "-m", "benchmark", *line]) for line in [*lines, words])


def wanted(cells: Sequence[Cell], dataset: str) -> Wanted:
    """The run that measures cells of one row on a dataset.

    Args:
        cells: of one row, those that something here measures (`Cell.reason` is empty).

    Raises:
        UnknownName, InvalidConfig: the method, preset, setting or dataset is not known.
        UsageError: the dataset does not serve the task.
        PrerequisiteError: the method needs a package that is not installed.
    """
    from benchmark.registry import datasets, metric_of
    from benchmark.runs.evaluation import plan_method
    from benchmark.tasks import get_task

    row, task = cells[0].row, get_task(cells[0].task)
    serves = datasets.load(dataset).tasks
    if task.name not in serves:
        raise UsageError(f"dataset '{dataset}' does not serve task '{task.name}'; it serves: {', '.join(serves)}")
    own = all(cell.corpus is not None and cell.corpus.dataset == dataset for cell in cells)
    preset = (row.run.preset or None) if own or row.run.needs else None
    training = tuple(item for item in row.run.set if item.startswith("training."))
    sets = tuple(item for item in row.run.set if item not in training)
    try:
        plan = plan_method(row.run.method, preset, None, sets)
        lacking = row.run.needs
    except MissingWeights:
        plan = plan_method(row.run.method, preset, None, sets, without_weights=True)
        lacking = row.run.needs or f"weights of preset '{plan.settings.preset}'"
    asked = tuple(dict.fromkeys(metric_of(cell.column.number) for cell in cells))
    return Wanted(
        row,
        task.name,
        dataset,
        own,
        preset,
        sets,
        training,
        plan.settings.as_dict(),
        plan.weights_sha256,
        lacking,
        asked if set(asked) - set(task.metrics) else (),
        tuple(dict.fromkeys(option for cell in cells for option in cell.column.options)) if own else (),
    )


@dataclass
class Runner:
    """Makes the runs that are missing, one after the other, each as `run --no-references` does."""

    runs: Path
    data_root: Path | None = None
    device: str = "auto"
    workers: int | None = None
    say: Callable[[str], None] = lambda line: None
    progress: Callable[[str], Callable[..., None]] = lambda label: lambda stage, done, total, about="": None
    notes: list[str] = field(default_factory=list)
    """What was left out, and why; a line each."""

    def run(self, missing: Iterable[Wanted]) -> None:
        """Run what can be run; a run that fails costs its rows alone.

        Raises:
            OSError: a file cannot be written; there would be no room for the next either.
        """
        from benchmark.runs.session import Session

        seen = set()
        for item in missing:
            if item.identity in seen:
                continue
            seen.add(item.identity)
            label = item.row.label
            if item.lacking:
                self.notes.append(f"{label} is not run: it needs {item.lacking}: {item.commands()[0]}")
                continue
            self.say(f"{label}: {item.commands()[-1]}")
            try:
                session = Session(self._request(item), self.say, self.progress)
                session.run(session.plans())
            except BenchmarkError as error:
                self.notes.append(f"{label} is not measured: {str(error).splitlines()[0]}")
                continue
            self.notes += [f"{label}: {line}" for line in session.notes]
            if session.unwritten:
                raise session.unwritten[0]

    def _request(self, item: Wanted) -> Any:
        from benchmark.registry import datasets
        from benchmark.runs.session import Request
        from benchmark.tasks import get_task

        metrics = self._to_be_had(item)
        networks = [text for name, text in _options(item) if name == "--face-network"]
        return Request(
            item.row.run.method,
            task=item.task,
            preset=item.preset,
            sets=item.sets,
            dataset=item.dataset,
            split=SPLIT,
            data_root=self.data_root if datasets.load(item.dataset).needs_root else None,
            seconds=item.row.run.seconds,
            device=self.device,
            workers=self.workers,
            metrics=metrics,
            face_network=networks[0] if networks else "dlib",
            metric_sets=_sets_for(item, metrics or get_task(item.task).metrics),
            references=False,
            runs=self.runs,
        )

    def _to_be_had(self, item: Wanted) -> tuple[str, ...]:
        """Of metrics that are asked for by name, those whose networks are here: one that is not would stop the run."""
        from benchmark.runs.scoring import make_metrics, metric_options
        from benchmark.weights.networks import Networks

        networks, had = Networks("cpu", item.dataset), []
        for name in item.metrics:
            try:
                make_metrics([name], networks, metric_options([name], "dlib", _sets_for(item, [name])))
            except (PrerequisiteError, ImportError, FileNotFoundError, ValueError) as error:
                self.notes.append(f"{item.row.label}: metric {name} is left out: {str(error).splitlines()[0]}")
            else:
                had.append(name)
        if item.metrics and not had:
            raise PrerequisiteError("none of its metrics can be had")
        return tuple(had)


def _options(item: Wanted) -> list[tuple[str, str]]:
    return [(option.partition(" ")[0], option.partition(" ")[2]) for option in item.options]


def _sets_for(item: Wanted, metrics: Iterable[str]) -> tuple[str, ...]:
    """Of the options `--metric-set KEY=VALUE` those that one of the metrics takes."""
    import inspect

    from benchmark.registry import metrics as registry

    taken = {key for name in metrics for key in inspect.signature(registry.load(name).create).parameters}
    return tuple(text for name, text in _options(item) if name == "--metric-set" and text.partition("=")[0] in taken)
