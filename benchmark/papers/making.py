"""Make the runs that a paper's tables and figures lack."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmark.errors import BenchmarkError
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
        """What `run` would ask for, with the paper's protocol, where the run is of one."""
        from benchmark.protocols.book import find
        from benchmark.protocols.following import follow, on_this_machine
        from benchmark.registry import datasets
        from benchmark.runs.session import Request

        given = {"dataset": need.dataset, "split": need.split}
        given |= {"seconds": need.seconds} if need.seconds is not None else {}
        given |= {"enrolment": need.enrolment} if need.enrolment else {}
        given |= {"data_root": self.data_root} if self.data_root and datasets.load(need.dataset).needs_root else {}
        followed = None
        if need.protocol:
            following = follow(find(need.protocol), given, default_networks=not need.own)
            following = on_this_machine(following, lenient=True)
            self.notes += [f"{need.name}: {line}" for line in following.left_out]
            given, followed = dict(following.options), following.record
        return Request(
            need.method,
            preset=need.preset,
            sets=need.sets,
            device=self.device,
            workers=self.workers,
            references=False,
            runs=self.runs,
            followed=followed,
            **{"task": need.task, **given},
        )


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
