"""Files to products: in parallel, kept as they are finished, and gone on with after a kill."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmark.errors import BenchmarkError, PrerequisiteError, UsageError
from benchmark.media import regular_file
from benchmark.preparation.record import FAILED, LEFT_OUT, MADE, Line, Record
from benchmark.preparation.step import LeftOut, Step
from benchmark.preparation.worklist import Worklist, check_out
from benchmark.processes import JobKills, each
from benchmark.remarks import counted, remarks

Stamp = tuple[int, int]
"""Size in bytes and time of the last change in nanoseconds."""


@dataclass(frozen=True)
class Job:
    """One file for a worker."""

    step: Step
    root: Path
    out: Path
    file: str
    products: tuple[str, ...]


@dataclass(frozen=True)
class Prepared:
    """What is there now."""

    lines: dict[str, Line]
    """Of every file that was to be looked at."""
    kept: int
    """Of them, those that an earlier command had finished."""
    removed: int = 0
    """Files that are no longer there; what was made of them is gone too."""
    heard: tuple[str, ...] = ()
    """What the readers said of files that they read all the same, in a few lines."""
    others: int = 0
    """Files that the step does not take."""

    def count(self, state: str) -> int:
        """How many files ended so: `made`, `left out` or `failed`."""
        return sum(line.state == state for line in self.lines.values())

    def reasons(self, state: str) -> dict[str, list[Line]]:
        """The files that ended so by the kind of reason, the commonest first."""
        kinds: dict[str, list[Line]] = {}
        for line in self.lines.values():
            if line.state == state:
                kinds.setdefault(line.kind, []).append(line)
        return dict(sorted(kinds.items(), key=lambda item: (-len(item[1]), item[0])))


def prepare(
    step: Step,
    worklist: Worklist,
    out: Path,
    workers: int = 1,
    retry_failed: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Prepared:
    """Make what a step makes of every file; what is there of an earlier command is kept.

    A file is made again where it, the step or its settings are others, or a product is not there as it was written.
    What was made of a file that is gone, or of which nothing can be made any more, is deleted.

    Raises:
        UsageError: the folders lie in one another, `out` holds other things, or there is no file that the step takes.
        PrerequisiteError: something is missing that every file needs.
        OSError: products cannot be written.
    """
    check_out(worklist.root, out)
    if not worklist.files and not worklist.clashes:
        raise UsageError(
            f"No file under {worklist.root} is of a kind that '{step.name}' takes: {step.takes}. It holds "
            f"{worklist.others} other files"
        )
    identity = json.loads(json.dumps(step.identity()))  # as the record gives it back
    record = Record(out)
    with record.held():
        gone = [source for source in record.lines if source not in worklist.files and source not in worklist.clashes]
        for source in gone:
            record.forget(source)
        todo = []
        for file, products in worklist.files.items():
            if not _is_current(record, file, worklist.root, identity, retry_failed):
                todo.append(Job(step, worklist.root, out, file, products))
                if file in record.lines:  # a kill between a product and its line must not leave the old line in force
                    record.add(replace(record.lines[file], settings={}))
        for file, why in worklist.clashes.items():
            record.forget(file)
            stamp, kind = _stamp(worklist.root / file), "another file would be written under the same name"
            record.add(Line(file, *stamp, identity, FAILED, reason=why, kind=kind))
        total = len(worklist.files)
        kept = total - len(todo)
        progress(kept, total)
        for done, (job, line) in enumerate(_made(todo, identity, workers), kept + 1):
            old = record.lines.get(job.file)
            for name in (old.products.keys() if old else set()) - line.products.keys():
                (out / name).unlink(missing_ok=True)
            record.add(line)
            progress(done, total)
        lines = {file: record.lines[file] for file in sorted([*worklist.files, *worklist.clashes])}
    heard = counted([line.remarks for line in lines.values()])
    return Prepared(lines, kept, len(gone), tuple(heard), worklist.others)


def made_of(job: Job) -> tuple[Stamp, str, Any, tuple[str, ...]]:
    """Work on one file; called in a worker.

    Returns:
        Size and time of the file before it was read; state; what was made, or rule and reason; remarks.

    Raises:
        PrerequisiteError, OSError: what would be so for every file.
    """
    source = job.root / job.file
    stamp = _stamp(source)
    with remarks() as heard:
        try:
            for name in job.products:
                _sweep(job.out / name)
            made = job.step.make(regular_file(source), job.out, job.products)
        except LeftOut as error:
            return stamp, LEFT_OUT, (error.rule, error.why), tuple(heard)
        except (PrerequisiteError, UsageError, OSError):
            raise
        except Exception as error:  # dlib, ffmpeg and methods raise of every kind; one file is one line
            text = str(error) if isinstance(error, BenchmarkError) else f"{type(error).__name__}: {error}"
            return stamp, FAILED, ("", text), tuple(heard)
    return stamp, MADE, made, tuple(heard)


def _made(jobs: Sequence[Job], identity: dict[str, Any], workers: int) -> Iterator[tuple[Job, Line]]:
    """Every job with its line, as they end; one that ends its process again and again is a failed line."""
    left = {job.file: job for job in jobs}
    while left:
        try:
            for job, answer in each(made_of, list(left.values()), workers):
                del left[job.file]
                yield job, _line(job, identity, *answer)
        except JobKills as error:
            job = error.job
            del left[job.file]
            yield job, _line(job, identity, _stamp(job.root / job.file), FAILED, ("", str(error)), ())


def _line(job: Job, identity: dict[str, Any], stamp: Stamp, state: str, what: Any, heard: tuple[str, ...] = ()) -> Line:
    path = str(job.root / job.file)
    told = tuple(text.replace(path, job.file) for text in heard)
    if state == MADE:
        sizes = {name: (job.out / name).stat().st_size for name in what.products}
        return Line(job.file, *stamp, identity, state, sizes, about=dict(what.about), remarks=told)
    rule, reason = what
    reason = " ".join(reason.replace(f"{path}: ", "").replace(path, job.file).split())[:1000]
    return Line(job.file, *stamp, identity, state, reason=reason, kind=rule or _kind(reason), remarks=told)


def _is_current(record: Record, file: str, root: Path, identity: dict[str, Any], retry_failed: bool) -> bool:
    line = record.lines.get(file)
    if line is None or (retry_failed and line.state == FAILED) or line.settings != identity:
        return False
    return (line.size, line.mtime_ns) == _stamp(root / file) and record.is_whole(line)


def _stamp(path: Path) -> Stamp:
    """Size and time of a file; zeros where it is gone: reading it says so."""
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns


def _sweep(product: Path) -> None:
    """Delete what a kill has left of writing a product."""
    if product.parent.is_dir():
        for path in product.parent.glob(f".*.{_literal(product.name)}"):
            if re.fullmatch(r"\.\d+\.", path.name.removesuffix(product.name)):
                path.unlink(missing_ok=True)


def _literal(name: str) -> str:
    return re.sub(r"([*?[])", r"[\1]", name)


def _kind(reason: str) -> str:
    """A reason without numbers and quoted parts, so that alike ones are counted together."""
    return re.sub(r"b?'[^']*'|b?\"[^\"]*\"", "...", re.sub(r"-?\d+(\.\d+)?(e-?\d+)?", "N", reason))[:160]
