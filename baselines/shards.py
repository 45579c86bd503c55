"""Shards: what the files of a corpus gave, on disk, mapped into memory and never held there.

    <home>/shards/<kind>-<maker>/<files>.safetensors

`maker` is a hash of the code, the packages and the settings that turn files into arrays, `files` one of the paths,
sizes and times of those that a shard was made from, some hundred. So a shard is found again by whoever asks for the
same files made in the same way, a larger corpus that continues a smaller one takes over its shards, and a file that
changes costs its own shard alone. Shards are made by all cores, each whole by one process; what a build that was killed
left is kept by the next one. Nothing else knows of the folder: it may be deleted whenever no training runs.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import functools
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass
from importlib import metadata
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from benchmark.errors import PrerequisiteError
from benchmark.files import write_whole
from benchmark.processes import JobKills, cores, each
from benchmark.sources import source_of_modules
from benchmark.weights.table import home

MAPPED = 256
"""Shards that are mapped at once, those used last; to map one takes a fifth of a millisecond."""
_READERS = ("baselines.layers", "baselines.shards", "benchmark.media")
"""What decides the arrays, beside the maker's own module and those of its settings."""
_PACKAGES = ("av", "numpy", "pillow", "soundfile", "soxr", "torch", "webrtcvad-wheels")
"""What reads and computes: another version may give other values, or read what an older one could not."""

Progress = Callable[[int, int, str], object]
"""progress(done, total, what)"""


class Shard(NamedTuple):
    """What a part of the corpus gave."""

    arrays: dict[str, Tensor]
    about: dict[str, Any]
    """What is kept in memory of it, as JSON: names, counts, faults."""


@dataclass(frozen=True)
class Part:
    """What one shard is made from."""

    content: Hashable
    """What the maker is given."""
    files: tuple[Path, ...]
    """Every file that may be read."""
    count: int
    """How much it is of the whole, in the units of the progress."""


class Maker(Protocol):
    """Turns a part of a corpus into arrays: a frozen dataclass whose fields are all the settings that matter.

    A field that its repr does not show (`repr=False`) is a means and no setting: shards are not told apart by it.
    """

    kind: str
    """Names the folder."""
    otherwise: str
    """How to train without its shards, as the end of a sentence: what to do where there is no room. May be empty."""

    def __call__(self, content: Any) -> Shard: ...


class Shards:
    """The shards of a corpus, in order.

    Raises:
        PrerequisiteError: there is too little room on the disk, or the folder cannot be written.
    """

    def __init__(
        self,
        maker: Maker,
        parts: Sequence[Part],
        what: str,
        progress: Progress | None = None,
        workers: int | None = None,
        here: bool = False,
    ) -> None:
        """
        Args:
            what: the units of the parts' counts, for the progress: "people".
            progress: told of each shard that is made, and of those that are there already.
            workers: processes that make shards; as many as there are cores by default. The bytes are the same.
            here: this process makes them one after another, with all its threads: for a maker with a network, which
                may lie on a GPU.
        """
        self.folder = home() / "shards" / f"{maker.kind}-{_key(maker)}"
        self._paths = [self.folder / f"{_fingerprint(part)}.safetensors" for part in parts]
        self._mapped = functools.lru_cache(MAPPED)(self._map)
        abouts = {path: _about(path) for path in self._paths}
        if None in abouts.values():
            with _naming_the_folder(self.folder), _alone(self.folder):
                # another process may have made them while this one waited
                lacking = {path: part for path, part in zip(self._paths, parts, strict=True) if _about(path) is None}
                total = sum(part.count for part in parts)
                _build(maker, lacking, total, what, progress, 0 if here else workers or cores())
            abouts = {path: _about(path) if about is None else about for path, about in abouts.items()}
        elif progress is not None:
            total = sum(part.count for part in parts)
            progress(total, total, what)
        self.about: list[dict[str, Any]] = []
        for path in self._paths:
            about = abouts[path]
            if about is None:
                raise _gone(path)
            self.about.append(about)

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        """The arrays of a shard, views into its file: only what is looked at is read."""
        return self._mapped(number)

    def _map(self, number: int) -> dict[str, Tensor]:
        path = self._paths[number]
        try:
            with safe_open(path, framework="pt") as file:
                return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        except (OSError, SafetensorError) as error:
            raise _gone(path) from error


def starts(pieces: Iterable[Sized]) -> Tensor:
    """Where each of N pieces that are laid end to end starts, and the end of all: `[N + 1]` int64."""
    return torch.tensor([0, *accumulate(len(piece) for piece in pieces)])


def _build(
    maker: Maker,
    lacking: dict[Path, Part],
    total: int,
    what: str,
    progress: Progress | None,
    workers: int,
) -> None:
    """With 0 workers in this process, with its threads."""
    left = sum(part.count for part in lacking.values())
    done = total - left
    if progress is not None:
        progress(done, total, what)
    begun, written = done, 0
    jobs: list[tuple[Maker, Hashable, Path]] = [(maker, part.content, path) for path, part in lacking.items()]
    try:
        with contextlib.closing(each(_make if workers else _make_with_all, jobs, min(workers, len(jobs)))) as finished:
            for (_, _, path), size in finished:
                done += lacking[path].count
                written += size
                if progress is not None:
                    progress(done, total, what)
                _check_room(path.parent, written * (total - done) / (done - begun), what, maker.otherwise)
    except JobKills as error:
        raise PrerequisiteError(f"The shard {error.job[2]} cannot be made: {error}") from error


def _make(job: tuple[Maker, Hashable, Path]) -> int:
    """Write one shard; returns its size in bytes."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the processes share the cores, and sums are taken in one order
    try:
        return _make_with_all(job)
    finally:
        torch.set_num_threads(threads)


def _make_with_all(job: tuple[Maker, Hashable, Path]) -> int:
    """The same with all threads."""
    maker, content, path = job
    arrays, about = maker(content)
    content = save({name: array.contiguous() for name, array in arrays.items()}, {"about": json.dumps(about)})
    write_whole(path, lambda partial: partial.write_bytes(content))
    return len(content)


def _about(path: Path) -> dict[str, Any] | None:
    """What a shard says of itself; None where it is absent or not whole."""
    try:
        with safe_open(path, framework="pt") as file:
            return json.loads(file.metadata()["about"])
    except (OSError, SafetensorError, TypeError, KeyError, ValueError):
        return None


def _key(maker: Maker) -> str:
    """Hash of what the maker does: its settings, and the code behind it and them."""
    names = sorted(_modules(maker))
    packages = " ".join(f"{name} {metadata.version(name)}" for name in _PACKAGES)
    return source_of_modules(*names, within=_READERS, also=f"{maker!r} {packages}")


def _modules(settings: Any) -> Iterator[str]:
    if not (dataclasses.is_dataclass(settings) and type(settings).__dataclass_params__.frozen):  # type: ignore[attr-defined]
        raise TypeError(f"Shards are known by the settings that made them: expected a frozen dataclass, got {settings}")
    yield type(settings).__module__
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if field.repr and (callable(value) or dataclasses.is_dataclass(value)):
            yield from _modules(value)


def _fingerprint(part: Part) -> str:
    digest = hashlib.sha256(repr(part.content).encode())
    for path in part.files:
        try:
            status = os.stat(path)
            readable = os.access(path, os.R_OK)
            digest.update(f"\0{os.path.abspath(path)}\0{status.st_size}\0{status.st_mtime_ns}\0{readable}".encode())
        except OSError as error:
            digest.update(f"\0{os.path.abspath(path)}\0{error.errno}".encode())
    return digest.hexdigest()[:24]


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other process makes shards here. A lock ends with its process, however that ends."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
                raise
            # A file system without locks: two processes do the same work, and either's files are whole.
        else:
            for partial in folder.glob(".*.safetensors"):  # of a build that was killed
                partial.unlink(missing_ok=True)
        yield


def _gone(path: Path) -> PrerequisiteError:
    return PrerequisiteError(
        f"{path} was there when the training began and cannot be read now. The same command makes it again and goes on "
        "from the last checkpoint"
    )


def _check_room(folder: Path, needed: float, what: str, otherwise: str) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise PrerequisiteError(
            f"The shards of this training's {what} need {needed / 2**30:.1f} GiB more in {folder}, where "
            f"{free / 2**30:.1f} GiB are free. Make room there (whatever else lies in {folder.parent} may be deleted), "
            f"or set FACEVOICE_BENCH_HOME to a folder on a larger disk{otherwise}"
        )


@contextlib.contextmanager
def _naming_the_folder(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise PrerequisiteError(
            f"The shards of this training cannot be written in {folder} ({error.strerror or error}): set "
            "FACEVOICE_BENCH_HOME to a folder that can be written and has room; what is finished is kept"
        ) from error
