"""prepared.jsonl: a line for each file that was looked at, what was made of it, and with which settings."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any

from benchmark.datasets.prepared import RECORD
from benchmark.errors import PrerequisiteError, UsageError
from benchmark.files import write_whole

MADE, LEFT_OUT, FAILED = "made", "left out", "failed"


@dataclass(frozen=True)
class Line:
    """One file, and what became of it."""

    source: str
    """Below the folder that is read."""
    size: int
    mtime_ns: int
    """Of the file when it was read: another size or time, and it is read again."""
    settings: Mapping[str, Any]
    """The step, its version and all its settings."""
    state: str
    """`made`; `left out` by a rule; or `failed`, because it cannot be used."""
    products: Mapping[str, int] = field(default_factory=dict)
    """Name below the folder of products to bytes."""
    reason: str = ""
    """Why nothing was made."""
    kind: str = ""
    """The same without names and numbers: what is counted."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """What the step has to say of its products."""
    remarks: tuple[str, ...] = ()
    """What was done to read the file all the same; see `benchmark.remarks`."""


class Record:
    """The lines of one folder of products, the last of a file counting; appended as files are finished."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / RECORD
        self.lines: dict[str, Line] = {}
        self._file: IO[str] | None = None

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Make the folder, keep other processes from writing into it, and read the lines; at the end all are written
        in order of name.

        Raises:
            UsageError: the folder is a file, holds other things, or lines that no record has.
            PrerequisiteError: another process writes into it.
        """
        if self.folder.exists() and not self.folder.is_dir():
            raise UsageError(f"--out {self.folder} is a file; expected a folder, new or empty")
        self.folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.folder, os.O_RDONLY)
        try:
            _lock(handle, self.folder)
            self._read()
            self._write()  # without what a kill has torn, so that lines can be added
            try:
                with self.path.open("a", encoding="utf-8") as self._file:
                    yield
            finally:
                self._write()
        finally:
            os.close(handle)

    def add(self, line: Line) -> None:
        """Keep a line at once."""
        assert self._file is not None
        self.lines[line.source] = line
        self._file.write(_text(line))
        self._file.flush()

    def forget(self, source: str) -> None:
        """Drop a line, and delete what was made of its file."""
        line = self.lines.pop(source, None)
        for name in line.products if line else ():
            (self.folder / name).unlink(missing_ok=True)

    def is_whole(self, line: Line) -> bool:
        """Whether all products of a line are there, in their size."""
        return all(_size(self.folder / name) == size for name, size in line.products.items())

    def _read(self) -> None:
        if not self.path.exists():
            inside = sorted(path.name for path in self.folder.iterdir())
            if others := [name for name in inside if not re.fullmatch(rf"\.\d+\.{re.escape(RECORD)}", name)]:
                raise UsageError(
                    f"--out {self.folder} holds no {RECORD}, and {others[0]!r} is in it; choose a new or empty folder"
                )
            return
        for number, text in enumerate(self.path.read_bytes().splitlines(keepends=True), 1):
            if not text.endswith(b"\n"):
                continue  # a kill has torn it
            try:
                known = json.loads(text)
                line = Line(**{**known, "remarks": tuple(known["remarks"])})
                if not all(map(_is_below, line.products)):
                    raise ValueError("a product outside the folder")
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                raise UsageError(f"{self.path}, line {number} is no line of a record ({error}): delete it") from error
            self.lines[line.source] = line

    def _write(self) -> None:
        text = "".join(_text(self.lines[source]) for source in sorted(self.lines))
        write_whole(self.path, lambda partial: partial.write_text(text, encoding="utf-8"))


def _text(line: Line) -> str:
    return json.dumps(asdict(line), sort_keys=True) + "\n"


def _is_below(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and name not in ("", ".", RECORD)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _lock(handle: int, folder: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise PrerequisiteError(
            f"Another process is writing into {folder}: wait for it, or choose another --out"
        ) from error
    except OSError as error:  # some network file systems have no locks
        raise PrerequisiteError(
            f"{folder} cannot be locked ({error.strerror}): choose a folder on another file system with --out"
        ) from error
