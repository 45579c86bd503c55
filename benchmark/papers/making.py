"""Make the runs that a paper's tables and figures lack."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmark.errors import BenchmarkError, PrerequisiteError
from benchmark.papers.needs import RunNeeded, SpeedNeeded


@dataclass
class Runner:
    """Makes them one after the other, each as `run --no-references` does."""

    runs: Path
    data_root: Path | None = None
    device: str = "auto"
    workers: int | None = None
    say: Callable[[str], None] = lambda line: None
    progress: Callable[[str], Callable[..., None]] = lambda label: lambda stage, done, total, about="": None
    notes: list[str] = field(default_factory=list)
    """What was left out, and why; a line each."""

    def run(self, missing: Iterable[RunNeeded]) -> None:
        """Run what can be run, each once; a run that fails costs what is made of it alone.

        Raises:
            OSError: a file cannot be written; there would be no room for the next either.
        """
        from benchmark.runs.session import Session

        for need in dict.fromkeys(missing):
            label = need.name
            try:
                commands = need.commands(self.runs)
                if need.lacking:
                    self.notes.append(f"{label} is not run: it needs {need.lacking}: {commands[0]}")
                    continue
                self.say(f"{label}: {commands[-1]}")
                session = Session(self._request(need), self.say, self.progress)
                session.run(session.plans())
            except BenchmarkError as error:
                self.notes.append(f"{label} is not measured: {str(error).splitlines()[0]}")
                continue
            self.notes += [f"{label}: {line}" for line in session.notes]
            if session.unwritten:
                raise session.unwritten[0]

    def _request(self, need: RunNeeded) -> Any:
        from benchmark.registry import datasets
        from benchmark.runs.session import Request
        from benchmark.tasks import get_task

        metrics = self._to_be_had(need)
        networks = [text for name, text in _options(need) if name == "--face-network"]
        return Request(
            need.method,
            task=need.task,
            preset=need.preset,
            sets=need.sets,
            dataset=need.dataset,
            split=need.split,
            data_root=self.data_root if datasets.load(need.dataset).needs_root else None,
            seconds=need.seconds,
            enrolment=need.enrolment or None,
            device=self.device,
            workers=self.workers,
            metrics=metrics,
            face_network=networks[0] if networks else "dlib",
            metric_sets=_sets_for(need, metrics or get_task(need.task).metrics),
            references=False,
            runs=self.runs,
        )

    def _to_be_had(self, need: RunNeeded) -> tuple[str, ...]:
        """Of metrics that are asked for by name, those whose networks are here: one that is not would stop the run."""
        from benchmark.runs.scoring import make_metrics, metric_options
        from benchmark.weights.networks import Networks

        networks, had = Networks("cpu", need.dataset), []
        for name in need.metrics:
            try:
                make_metrics([name], networks, metric_options([name], "dlib", _sets_for(need, [name])))
            except (PrerequisiteError, ImportError, FileNotFoundError, ValueError) as error:
                self.notes.append(f"{need.name}: metric {name} is left out: {str(error).splitlines()[0]}")
            else:
                had.append(name)
        if need.metrics and not had:
            raise PrerequisiteError("none of its metrics can be had")
        return tuple(had)


def _options(need: RunNeeded) -> list[tuple[str, str]]:
    return [(option.partition(" ")[0], option.partition(" ")[2]) for option in need.options]


def _sets_for(need: RunNeeded, metrics: Iterable[str]) -> tuple[str, ...]:
    """Of the options `--metric-set KEY=VALUE` those that one of the metrics takes."""
    import inspect

    from benchmark.registry import metrics as registry

    taken = {key for name in metrics for key in inspect.signature(registry.load(name).create).parameters}
    return tuple(text for name, text in _options(need) if name == "--metric-set" and text.partition("=")[0] in taken)


def measure_speed(need: SpeedNeeded, runs: Path, say: Callable[[str], None]) -> None:
    """Measure methods side by side on this machine, and keep the report.

    Raises:
        BenchmarkError: a method cannot be measured here.
        OSError: the report cannot be written.
    """
    import json

    from benchmark.files import write_whole
    from benchmark.runs.speed import Conditions, find_candidates, measure, report
    from benchmark.runs.workers import pick_device

    conditions = Conditions(device=pick_device("auto"))
    rows = measure(find_candidates(need.methods), conditions, say)
    text = json.dumps(report(rows, conditions), indent=2, ensure_ascii=False) + "\n"
    write_whole(need.path(runs), lambda partial: partial.write_text(text, encoding="utf-8"))
