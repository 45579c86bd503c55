"""The manifest: JSON lines that name every file of one split of one dataset, for one task.

The first line is a header, each further line a sample. Paths are POSIX and relative to the root; none may lead
outside it. The sha256 of header and samples identifies the data in a run's identity; a stray file that was left out
does not change it.

Rows are written as they come, and what is read stays packed in a temporary file: a million rows take no memory.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import sys
import tempfile
import weakref
import zlib
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, overload

from benchmark.datasets.spilled import room, scratch
from benchmark.errors import MissingDataset
from benchmark.files import write_whole
from benchmark.types import Sample

FORMAT = 1
_BLOCK = 128
"""Lines that are packed together."""


@dataclass(frozen=True, slots=True)
class Row:
    """A sample as the manifest holds it: paths relative to the root."""

    id: str
    speaker: str
    inputs: Mapping[str, tuple[str, ...]]
    targets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Manifest:
    """One split, read."""

    dataset: str
    revision: str
    split: str
    task: str
    samples: Sequence[Sample]
    sha256: str
    path: Path
    root: Path
    problems: tuple[str, ...] = ()
    """What the adapter left out and why, a line each."""


class Samples(Sequence[Sample]):
    """The samples of a manifest, each made of its line when it is asked for.

    A slice holds nothing of its own. What is asked for in order costs least.
    """

    def __init__(self, blocks: Sequence[bytes], places: range, root: Path) -> None:
        """
        Args:
            blocks: packed lines, `_BLOCK` in each but the last.
            places: which of the lines these are.
        """
        self._blocks, self._places, self._root = blocks, places, root
        self._unpacked: tuple[int, list[bytes]] = -1, []

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> Samples: ...
    def __getitem__(self, index: int | slice) -> Sample | Samples:
        if isinstance(index, slice):
            return Samples(self._blocks, self._places[index], self._root)
        number, place = divmod(self._places[index], _BLOCK)
        unpacked = self._unpacked
        if unpacked[0] != number:
            unpacked = self._unpacked = number, zlib.decompress(self._blocks[number]).split(b"\n")
        return _sample(json.loads(unpacked[1][place]), self._root)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return len(self) == len(other) and all(one == two for one, two in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{len(self)} samples under {self._root}>"


def write_manifest(
    path: Path,
    rows: Iterable[Row],
    *,
    dataset: str,
    revision: str,
    split: str,
    task: str,
    problems: Iterable[str] = (),
    root: Path | None = None,
) -> Manifest:
    """Write rows sorted by id, atomically, so that the same rows always give the same bytes.

    Args:
        problems: looked at when the last row has come.
        root: what the rows' paths are relative to; by default the manifest's own folder.

    Returns:
        What was written, not read back: by then another process may have written the same path.

    Raises:
        MissingDataset: two rows with one id, or no room for temporary files.
    """
    header = {"manifest": FORMAT, "dataset": dataset, "revision": revision, "split": split, "task": task}
    packer = _Packer(header)

    def write(partial: Path) -> None:
        with _sorted_lines(rows) as lines, partial.open("w", encoding="utf-8", newline="\n") as file:
            file.write(_dumps({**header, "problems": sorted(problems)}) + "\n")
            last = None
            for name, line in lines:
                if name == last:
                    raise _twice(path, name)
                last = name
                packer.add(line)
                file.write(line + "\n")

    with room():
        write_whole(path, write)
    return packer.manifest(path, root or path.parent, problems)


def read_manifest(path: Path, root: Path) -> Manifest:
    """Read a manifest; its paths are relative to `root`.

    Raises:
        MissingDataset: the file is absent, broken, of another format, or names a path outside the root; or there is
            no room for temporary files.
    """
    try:
        with path.open("rb") as file:
            return _parsed((line.decode("utf-8") for line in file if line.strip()), path, root)
    except OSError as error:
        raise MissingDataset(f"Manifest {path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise MissingDataset(f"Manifest {path} is broken ({error}): delete it and build it again") from error


def inside(root: Path, relative: str) -> Path:
    """`root / relative`, or MissingDataset where that would lead outside the root."""
    _check_inside(root, relative)
    return root / relative


def _check_inside(root: Path, relative: str) -> None:
    parts = set(relative.split("/"))
    if relative.startswith("/") or ".." in parts or "\\" in relative or "\0" in relative or parts <= {"", "."}:
        raise MissingDataset(f"Path {relative!r} in a manifest leads outside its root {root}")


def _parsed(lines: Iterator[str], path: Path, root: Path) -> Manifest:
    header = json.loads(next(lines, ""))
    if header.get("manifest") != FORMAT:
        raise MissingDataset(
            f"Manifest {path} has format {header.get('manifest')!r}; expected {FORMAT}: build it again"
        )
    problems = header.pop("problems", ())
    packer, seen = _Packer(header), set[str]()
    for line in lines:
        record = json.loads(line)
        name = str(record["id"])
        if name in seen:
            raise _twice(path, name)
        seen.add(name)
        for fields in (record["inputs"], record["targets"]):
            for file in (file for files in fields.values() for file in files):
                _check_inside(root, file)
        str(record["speaker"]), record["attributes"].items()
        packer.add(_dumps(record))
    return packer.manifest(path, root, problems)


class _Blocks(Sequence[bytes]):
    """Packed lines in a file that goes with them; in another process, where they are unpickled, they have their own.

    Threads and forked processes may read them side by side.

    Raises:
        MissingDataset: the file cannot be made, or there is no room in it.
    """

    def __init__(self, blocks: Iterable[bytes] = ()) -> None:
        self._ends = array("Q", [0])
        with room(OSError), contextlib.ExitStack() as open_files:
            self._file = open_files.enter_context(tempfile.TemporaryFile(buffering=0))
            weakref.finalize(self, open_files.pop_all().close)
        for block in blocks:
            self.append(block)

    def append(self, block: bytes) -> None:
        with room(OSError):
            if os.pwrite(self._file.fileno(), block, self._ends[-1]) < len(block):  # the disk filled up on the way
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._ends.append(self._ends[-1] + len(block))

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> list[bytes]: ...
    def __getitem__(self, index: int | slice) -> bytes | list[bytes]:
        if isinstance(index, slice):
            return [self[number] for number in range(len(self))[index]]
        number = range(len(self))[index]
        return os.pread(self._file.fileno(), self._ends[number + 1] - self._ends[number], self._ends[number])

    def __reduce__(self) -> tuple[type[_Blocks], tuple[list[bytes]]]:
        return _Blocks, (list(self),)


class _Packer:
    """Takes in the lines of a manifest, in order."""

    def __init__(self, header: Mapping[str, Any]) -> None:
        self._header = header
        self._identity = hashlib.sha256(_dumps(header).encode())
        self._blocks = _Blocks()
        self._lines: list[bytes] = []
        self._count = 0

    def add(self, line: str) -> None:
        content = line.encode()
        self._identity.update(b"\n" + content)
        self._lines.append(content)
        self._count += 1
        if len(self._lines) == _BLOCK:
            self._pack()

    def manifest(self, path: Path, root: Path, problems: Iterable[str]) -> Manifest:
        self._pack()
        return Manifest(
            dataset=self._header["dataset"],
            revision=self._header["revision"],
            split=self._header["split"],
            task=self._header["task"],
            samples=Samples(self._blocks, range(self._count), root),
            sha256=self._identity.hexdigest(),
            path=path,
            root=root,
            problems=tuple(sorted(problems)),
        )

    def _pack(self) -> None:
        if self._lines:
            self._blocks.append(zlib.compress(b"\n".join(self._lines), 1))
            self._lines = []


@contextlib.contextmanager
def _sorted_lines(rows: Iterable[Row]) -> Iterator[Iterator[tuple[str, str]]]:
    """Ids and lines of rows in order of id; they lie in a temporary file meanwhile."""
    with contextlib.closing(scratch()) as table:
        table.execute("CREATE TABLE lines (id, line)")
        table.executemany("INSERT INTO lines VALUES (?, ?)", ((row.id, _line(row)) for row in rows))
        yield iter(table.execute("SELECT id, line FROM lines ORDER BY id"))


def _line(row: Row) -> str:
    return _dumps(
        {
            "id": row.id,
            "speaker": row.speaker,
            "inputs": {key: list(value) for key, value in row.inputs.items()},
            "targets": {key: list(value) for key, value in row.targets.items()},
            "attributes": dict(row.attributes),
        }
    )


def _sample(record: Mapping[str, Any], root: Path) -> Sample:
    """What a line stands for; what lines have in common is kept once."""
    known: dict[str, Path] = {}

    def resolve(fields: Mapping[str, list[str]]) -> dict[str, tuple[Path, ...]]:
        for paths in fields.values():
            known.update((path, inside(root, path)) for path in paths if path not in known)
        return {sys.intern(name): tuple(known[path] for path in paths) for name, paths in fields.items()}

    return Sample(
        id=str(record["id"]),
        speaker=sys.intern(str(record["speaker"])),
        inputs=resolve(record["inputs"]),
        targets=resolve(record["targets"]),
        attributes={sys.intern(k): sys.intern(v) if isinstance(v, str) else v for k, v in record["attributes"].items()},
    )


def _twice(path: Path, name: str) -> MissingDataset:
    return MissingDataset(f"Manifest {path} holds the id '{name}' more than once")


_dumps = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode
