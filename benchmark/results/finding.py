"""Find result files: one by one, those of run directories, and all below a folder."""

from __future__ import annotations

from collections.abc import Iterable
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
    Files of a folder that do not end in `.json`, or are what else a run keeps, are passed over.

    Raises:
        UsageError: a path that is not there, or a file, or the result of a run, that is no result.
    """
    from benchmark.runs.evaluation import read_result

    found = Found()
    for path in map(Path, paths):
        if path.is_file() or (path / "result.json").is_file():
            found.kept.append(Kept(path / "result.json" if path.is_dir() else path, read_result(path)))
            continue
        if not path.is_dir():
            raise UsageError(f"{path}: expected a result file, a run directory or a folder of them; it is not there")
        for file in sorted(path.rglob("*.json")):
            beside_others = (file.parent / "run.json").is_file() or (file.parent / "result.json").is_file()
            if beside_others and file.name != "result.json":
                continue
            try:
                found.kept.append(Kept(file, read_result(file)))
            except UsageError as error:
                found.unread.append(str(error))
    return found
