"""Find the recordings and pictures of a corpus, naming every file that is left out and why."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from benchmark.datasets.lengths import Lengths, stamp
from benchmark.datasets.spilled import Spilled
from benchmark.errors import MediaError, MissingDataset
from benchmark.media import audio_seconds, check_header, is_audio, is_image, is_video
from benchmark.processes import DEATHS, JobKills, each

Progress = Callable[[int, int, str], None]
"""Called as progress(done, total, what): `what` is made, and how long all of it takes."""

# Would end a line of the manifest, or be read as a separator of folders on other systems.
_UNSAFE = frozenset("\\\x85\u2028\u2029")
_PATIENCE_S = 2.0
"""What takes no longer is done without a word and by this process: others take a second to start."""
_TOLD_S = 0.2
_TOGETHER = 64
"""Files whose lengths are told by one job, and kept together."""
_AT_ONCE = 1000
"""Files whose lengths are looked up together."""

Job = TypeVar("Job")
Answer = TypeVar("Answer")


class Entry(NamedTuple):
    """Something that lies in a folder."""

    path: Path
    is_folder: bool


class MediaFinder:
    """Walks folders under one root; what it leaves out becomes a line of `problems`.

    Nothing outside the root is ever listed: a link that leads out of it is left out like any other unusable file.
    """

    def __init__(
        self,
        root: Path,
        problems: list[str],
        *,
        kept: Lengths | None = None,
        but: Path | None = None,
        workers: int = 1,
        progress: Progress | None = None,
    ) -> None:
        """
        Args:
            kept: lengths that were found earlier, and where to keep what is found.
            but: a folder that is never listed: where manifests are kept, should that lie in the root.
            workers: processes that look at files where that takes long.
        """
        self.root = root
        self.problems = problems
        self._kept, self._workers, self._progress = kept, workers, progress
        self._real_root = root.resolve()
        self._but = but.resolve() if but else None

    def media(
        self, folder: Path, accepts: Callable[[Path], bool], check: Callable[[Path], object] = check_header
    ) -> Iterator[str]:
        """Usable files at any depth below a folder, as POSIX paths relative to the root, in order of name.

        Args:
            accepts: says by its name whether a file is of the kind wanted.
            check: raises MediaError for a file that cannot be used.
        """
        yield from self._media(folder, folder.resolve(), accepts, check, ())

    def media_of(
        self, folders: Sequence[Path], accepts: Callable[[Path], bool], check: Callable[[Path], object] = check_header
    ) -> Iterator[tuple[Path, list[str]]]:
        """Each of many folders with its usable files, in order; progress is told, and several processes help.

        Args:
            accepts, check: as for `media`; functions that other processes can import.
        """
        jobs = (_Listing(self.root, folder, accepts, check, self._but) for folder in folders)
        for folder, (files, problems) in zip(folders, self._answers(_listed, jobs, len(folders)), strict=True):
            self.problems += problems
            yield folder, files

    def seconds(self, files: Iterable[str]) -> Spilled[float | str]:
        """How long recordings, or the sound of videos, are: seconds, or the reason why that cannot be told.

        Progress is told, several processes help, and what is found is kept: after a kill, or for the next split, only
        files that are new or have changed are looked at.

        Args:
            files: relative to the root.
        """
        found: Spilled[float | str] = Spilled()
        for file in files:
            found.offer(file, "")
        left: Spilled[str] = Spilled()
        """File to its stamp."""
        for some in _batches(found, _AT_ONCE):
            stamps: dict[str, str] = {}
            for file in some:
                try:
                    stamps[file] = stamp(self.root / file)
                except OSError as error:
                    found[file] = f"cannot be opened ({error.strerror})"
            known = self._kept.known(stamps) if self._kept else {}
            for file, mark in stamps.items():
                if file in known:
                    found[file] = known[file]
                else:
                    left.offer(file, mark)
        jobs = ((self.root, some) for some in _batches(left, _TOGETHER))
        count = len(left)
        for answers in self._answers(_seconds, jobs, -(-count // _TOGETHER), _TOGETHER, count):
            for file, told in answers:
                found[file] = told
            if self._kept:
                self._kept.keep((file, left[file], told) for file, told in answers if not isinstance(told, str))
        return found

    def lengths(self, files: Iterable[str]) -> Spilled[float]:
        """Seconds of those files whose length can be told; the others are left out."""
        told: Spilled[float] = Spilled()
        for file, seconds in self.seconds(files).items():
            if isinstance(seconds, str):
                self.leave_out(self.root / file, seconds)
            else:
                told.offer(file, seconds)
        return told

    def entries(self, folder: Path) -> list[Path]:
        """What lies directly in a folder, in order of name, save what may not be listed; nothing if it is absent."""
        return [entry.path for entry in self._entries(folder)]

    def folders(self, folder: Path) -> list[Path]:
        """The folders in a folder; files beside them are named as strays."""
        inside = self._entries(folder)
        for path, is_folder in inside:
            if not is_folder:
                self.leave_out(path, "a stray file: expected only folders here")
        return [path for path, is_folder in inside if is_folder]

    def leave_out(self, path: Path, reason: str) -> None:
        """Name a file that is not used. Names are quoted with escapes, so that each stays one line of text."""
        try:
            shown = path.relative_to(self.root).as_posix()
        except ValueError:
            shown = str(path)
        self.problems.append(f"{shown!r}: {reason}")

    def _media(
        self,
        folder: Path,
        real: Path,
        accepts: Callable[[Path], bool],
        check: Callable[[Path], object],
        above: tuple[Path, ...],
    ) -> Iterator[str]:
        """Args:
        real: the folder itself, behind all links.
        above: the same of the folders through which it was reached.
        """
        prefix = "" if folder == self.root else f"{folder.relative_to(self.root).as_posix()}/"
        for path, is_folder in self._entries(folder):
            if is_folder:
                inner = path.resolve() if path.is_symlink() else real / path.name
                if inner in above or real.is_relative_to(inner):
                    self.leave_out(path, "a link to a folder that holds it")
                else:
                    yield from self._media(path, inner, accepts, check, (*above, inner))
            elif not accepts(path):
                self.leave_out(path, "not a kind of file that is used here")
            else:
                try:
                    check(path)
                except (MediaError, OSError) as error:
                    self.leave_out(path, str(error).removeprefix(f"{path}: "))
                else:
                    yield prefix + path.name

    def _entries(self, folder: Path) -> list[Entry]:
        try:
            with os.scandir(folder) as found:
                inside = sorted(found, key=lambda entry: entry.name)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            self.leave_out(folder, f"cannot be listed ({error.strerror})")
            return []
        entries = []
        for entry in inside:
            path = folder / entry.name
            try:
                if self._may_list(path, entry):
                    entries.append(Entry(path, entry.is_dir()))
            except OSError as error:
                self.leave_out(path, f"cannot be opened ({error.strerror})")
        return entries

    def _may_list(self, path: Path, entry: os.DirEntry[str]) -> bool:
        if entry.name.startswith("._") or entry.name == "__MACOSX":
            self.leave_out(path, "left by macOS beside what it copied or unpacked")
            return False
        if _UNSAFE.intersection(entry.name) or not _is_text(entry.name):
            self.leave_out(path, "its name holds a character that no manifest can hold: rename it")
            return False
        if entry.is_symlink():
            try:
                real = path.resolve(strict=True)
            except (OSError, RuntimeError):
                self.leave_out(path, "a link that leads nowhere")
                return False
            if not real.is_relative_to(self._real_root):
                self.leave_out(path, "a link that leads outside the root")
                return False
        if self._but is not None and path.name == self._but.name and path.resolve() == self._but:
            self.leave_out(path, "the folder in which this suite keeps its own files")
            return False
        return True

    def _answers(
        self,
        function: Callable[[Job], Answer],
        jobs: Iterable[Job],
        count: int,
        size: int = 1,
        total: int | None = None,
    ) -> Iterator[Answer]:
        """The answer to each job, in order.

        Args:
            count: of the jobs.
            size, total: what a job counts for in the progress, and all of them together.
        """
        total = count if total is None else total
        began = told = time.monotonic()
        for done, answer in enumerate(self._computed(function, jobs, count, began), 1):
            now = time.monotonic()
            if self._progress and now - began > _PATIENCE_S and (now - told > _TOLD_S or done == count):
                told = now
                self._progress(min(done * size, total), total, "")
            yield answer

    def _computed(
        self, function: Callable[[Job], Answer], jobs: Iterable[Job], count: int, began: float
    ) -> Iterator[Answer]:
        jobs = iter(jobs)
        place = 0
        while place < count and (self._workers < 2 or time.monotonic() - began < _PATIENCE_S):
            yield function(next(jobs))
            place += 1
        waiting: dict[int, Answer] = {}
        left = ((number, function, job) for number, job in enumerate(jobs, place))
        try:
            for (number, _, _), answer in each(_numbered, left, min(self._workers, count - place)):
                waiting[number] = answer
                while place in waiting:
                    yield waiting.pop(place)
                    place += 1
        except JobKills as error:
            raise MissingDataset(
                f"A file below {self.root} ended the process that looked at it {DEATHS} times; `data verify` says which"
            ) from error


class _Listing(NamedTuple):
    """A folder to be looked through in another process."""

    root: Path
    folder: Path
    accepts: Callable[[Path], bool]
    check: Callable[[Path], object]
    but: Path | None


def _listed(job: _Listing) -> tuple[list[str], list[str]]:
    """Its usable files, and its problems."""
    finder = MediaFinder(job.root, [], but=job.but)
    return list(finder.media(job.folder, job.accepts, job.check)), finder.problems


def _seconds(job: tuple[Path, list[str]]) -> list[tuple[str, float | str]]:
    root, files = job
    answers: list[tuple[str, float | str]] = []
    for file in files:
        path = root / file
        try:
            answers.append((file, audio_seconds(path)))
        except MediaError as error:
            answers.append((file, str(error).removeprefix(f"{path}: ")))
    return answers


def _batches(files: Iterable[str], size: int) -> Iterator[list[str]]:
    files = iter(files)
    while some := list(itertools.islice(files, size)):
        yield some


def _numbered(job: tuple[int, Callable[[Job], Answer], Job]) -> Answer:
    _, function, argument = job
    return function(argument)


def is_speech(path: Path) -> bool:
    """Recordings, and videos for their sound track."""
    return is_audio(path) or is_video(path)


def is_portrait(path: Path) -> bool:
    return is_image(path)


def _is_text(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
