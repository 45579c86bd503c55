"""What foreign code raised or printed when it failed: whole on disk, once for each place; its last lines for the
screen."""

from __future__ import annotations

import hashlib
import re
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.errors import BenchmarkError, MethodError, ProgramFailed

if TYPE_CHECKING:
    from benchmark.runs.directory import Prediction, RunDirectory

SHOWN = 3
"""Places whose last lines are shown."""
SHOWN_LINES = 6
"""Of what has no frames: the end of what a program printed."""


def last_lines(error: BaseException) -> str:
    """Where it was raised, by which line of code, and what: the end of the traceback, indented."""
    return _end("".join(traceback.format_exception(error)))


def _end(text: str) -> str:
    """From the last frame on.

    >>> print(_end('  File "a.py", line 1\\n    f()\\n  File "b.py", line 2\\n    1 / 0\\nZeroDivisionError: by 0\\n'))
        File "b.py", line 2
          1 / 0
      ZeroDivisionError: by 0
    """
    lines = text.rstrip().splitlines()
    frames = [number for number, line in enumerate(lines) if line.startswith('  File "')]
    return "\n".join(f"  {line}" for line in lines[frames[-1] if frames else -SHOWN_LINES :])


def keep(error: BaseException, what: str, run: RunDirectory, kept: dict[str, str]) -> str | None:
    """Write the traceback of what a method raised; returns the file, relative to the run directory.

    Errors that a method raises on purpose (MethodError) say all in their reason, unless something else caused them. For
    a program of another project, it is what that printed.

    Args:
        what: what the method was doing.
        kept: files that are written already, by place: a fault that fails every output is one file.
    """
    if isinstance(error, ProgramFailed):
        return _written(re.sub(r"\d+", "", error.printed), what, error.printed + "\n", run, kept)
    if error.__traceback__ is None or (isinstance(error, BenchmarkError) and error.__cause__ is None):
        return None
    frames = traceback.extract_tb(error.__traceback__)
    place = "\n".join([type(error).__name__, *(f"{frame.filename}:{frame.lineno}" for frame in frames)])
    return _written(place, what, "".join(traceback.format_exception(error)), run, kept)


def _written(place: str, what: str, text: str, run: RunDirectory, kept: dict[str, str]) -> str:
    if place not in kept:
        name = f"tracebacks/{hashlib.sha256(place.encode()).hexdigest()[:10]}.txt"
        run.write_document(name, f"First while {what}\n\n{text}")
        kept[place] = name
    return kept[place]


@contextmanager
def of_loading(method: str, run: RunDirectory) -> Iterator[None]:
    """Nothing can be made with a method that cannot be loaded.

    Raises:
        MethodError: it raised; the message names the file of the traceback and holds its last lines. What the method
            raised on purpose, and what is missing, goes through.
    """
    try:
        yield
    except BenchmarkError:
        raise
    except (Exception, SystemExit) as error:  # a method is foreign code
        file = keep(error, f"{method} was loaded", run, {})
        raise MethodError(
            f"{method} cannot be loaded; traceback: {run.path / str(file)}\n{last_lines(error)}"
        ) from error


def notes(run: Path, rows: Iterable[Prediction]) -> list[str]:
    """For the end of a run, a line each: the files of those rows' tracebacks, with their last lines."""
    counts = Counter(row.traceback for row in rows if row.traceback)
    found = []
    for name, count in counts.most_common(SHOWN):
        path = run / name
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        found.append(f"{count} output{'s' if count > 1 else ''} failed where the method raised; traceback: {path}")
        found += _end(text).splitlines()
    if len(counts) > SHOWN:
        found.append(f"... and {len(counts) - SHOWN} more tracebacks in {run / 'tracebacks'}")
    return found
