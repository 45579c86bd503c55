"""A run becomes a published result."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from benchmark.errors import SubmissionError
from benchmark.leaderboard.rules import faults, known
from benchmark.leaderboard.submissions import ROOT, Submission, everything, prepare, remove, write


@dataclass(frozen=True)
class Added:
    """What `add` did."""

    submission: Submission
    changed: bool
    """False where the same files were there already."""
    replaced: tuple[Submission, ...]
    """Older results of the same row, which were deleted."""
    left_out: tuple[str, ...]
    """Metrics whose rows are too wide to be kept."""


def add(run: str, runs: Path = Path("runs"), root: Path = ROOT) -> Added:
    """Write a run's result and rows where they belong, in place of an older result of the same row.

    The same row: the same method with the same label (which states what of its settings is not the default) on the same
    split and clips. Nothing is written where a rule is broken.

    Args:
        run: directory, id or label.
        runs: folder of run directories.

    Raises:
        UsageError: there is no such run.
        SubmissionError: what is wrong with it, a line for each fault.
    """
    found = prepare(run, runs)
    new = found.submission
    published = everything(root)
    against = known(root, published)
    older = tuple(other for other in against.besides(new) if other.row_key == new.row_key)
    if wrong := faults(new, replace(against, published=tuple(each for each in published if each not in older))):
        told = "".join(f"\n  {fault.rule}: {fault.told}" for fault in wrong)
        raise SubmissionError(f"{run} breaks rules of the leaderboards and is not added:{told}")
    changed = write(new, root)
    for each in older:
        remove(each, root)
    return Added(new, changed, older, found.left_out)
