"""Find result files: one by one, those of run directories, and all below a folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.errors import UsageError

if TYPE_CHECKING:
    from benchmark.results.schema import Result


@dataclass(frozen=True)
class Kept:
    """A result and the file that holds it."""

    path: Path
    result: Result
    published: bool = False
    """With the project, not run by the user."""

    @property
    def folder(self) -> Path | None:
        """The run directory, with its outputs; None where there is the result alone."""
        return self.path.parent if (self.path.parent / "run.json").is_file() else None


@dataclass
class Found:
    """What was read."""

    kept: list[Kept] = field(default_factory=list)
    """In the order of the paths; those below a folder sorted by name."""
    unread: list[str] = field(default_factory=list)
    """A line for each file below a folder that should be a result and is none."""


def find_results(paths: Iterable[str | Path]) -> Found:
    """Read the results that the paths name.

    A path is a result file, a run directory, or a folder that holds such at any depth: `runs`, `leaderboards/results`.
    What else a run keeps is passed over, and runs that are not scored yet, and reports of `speed`.

    Raises:
        UsageError: a path that is not there, or a file, or the result of a run, that is no result.
    """
    from benchmark.runs.evaluation import read_result
    from benchmark.runs.speed import is_report

    found = Found()
    for path in map(Path, paths):
        if path.is_file() or (path / "result.json").is_file():
            found.kept.append(Kept(path / "result.json" if path.is_dir() else path, read_result(path)))
            continue
        if not path.is_dir():
            raise UsageError(f"{path}: expected a result file, a run directory or a folder of them; it is not there")
        for file in _below(path):
            try:
                found.kept.append(Kept(file, read_result(file)))
            except UsageError as error:
                if not is_report(file):
                    found.unread.append(str(error))
    return found


def _below(folder: Path) -> Iterator[Path]:
    """Result files of a folder: of a run directory its one, else all that end in `.json`."""
    if (folder / "run.json").is_file() or (folder / "result.json").is_file():
        if (folder / "result.json").is_file():
            yield folder / "result.json"
        return
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            yield from _below(path)
        elif path.suffix == ".json":
            yield path
