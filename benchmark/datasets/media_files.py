"""Find the recordings and pictures of a corpus, naming every file that is left out and why."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmark.errors import MediaError
from benchmark.media import check_header, is_audio, is_image, is_video

# Would end a line of the manifest, or be read as a separator of folders on other systems.
_UNSAFE = frozenset("\\\x85\u2028\u2029")


class MediaFinder:
    """Walks folders under one root; what it leaves out becomes a line of `problems`.

    Nothing outside the root is ever listed: a link that leads out of it is left out like any other unusable file.
    """

    def __init__(self, root: Path, problems: list[str]) -> None:
        self.root = root
        self.problems = problems
        self._real_root = root.resolve()

    def media(
        self,
        folder: Path,
        accepts: Callable[[Path], bool],
        check: Callable[[Path], object] = check_header,
        seen: tuple[Path, ...] = (),
    ) -> Iterator[str]:
        """Usable files at any depth below a folder, as POSIX paths relative to the root, in order of name.

        Args:
            accepts: says by its name whether a file is of the kind wanted.
            check: raises MediaError for a file that cannot be used.
        """
        here = folder.resolve()
        for path in self.entries(folder):
            if path.is_dir():
                real = path.resolve()
                if real in seen or here.is_relative_to(real):
                    self.leave_out(path, "a link to a folder that holds it")
                else:
                    yield from self.media(path, accepts, check, (*seen, real))
            elif not accepts(path):
                self.leave_out(path, "not a kind of file that is used here")
            else:
                try:
                    check(path)
                except (MediaError, OSError) as error:
                    self.leave_out(path, str(error).removeprefix(f"{path}: "))
                else:
                    yield path.relative_to(self.root).as_posix()

    def entries(self, folder: Path) -> list[Path]:
        """What lies directly in a folder, in order of name, save what may not be listed; nothing if it is absent."""
        try:
            names = sorted(os.listdir(folder))
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            self.leave_out(folder, f"cannot be listed ({error.strerror})")
            return []
        found = []
        for path in (folder / name for name in names):
            try:
                if self._may_list(path):
                    path.is_dir()  # asked below and by the adapters: whether it can be answered shows here
                    found.append(path)
            except OSError as error:
                self.leave_out(path, f"cannot be opened ({error.strerror})")
        return found

    def folders(self, folder: Path) -> list[Path]:
        """The folders in a folder; files beside them are named as strays."""
        inside = self.entries(folder)
        for path in inside:
            if not path.is_dir():
                self.leave_out(path, "a stray file: expected only folders here")
        return [path for path in inside if path.is_dir()]

    def leave_out(self, path: Path, reason: str) -> None:
        """Name a file that is not used. Names are quoted with escapes, so that each stays one line of text."""
        try:
            shown = path.relative_to(self.root).as_posix()
        except ValueError:
            shown = str(path)
        self.problems.append(f"{shown!r}: {reason}")

    def _may_list(self, path: Path) -> bool:
        if _UNSAFE.intersection(path.name) or not _is_text(path.name):
            self.leave_out(path, "its name holds a character that no manifest can hold: rename it")
            return False
        if path.is_symlink():
            try:
                real = path.resolve(strict=True)
            except (OSError, RuntimeError):
                self.leave_out(path, "a link that leads nowhere")
                return False
            if not real.is_relative_to(self._real_root):
                self.leave_out(path, "a link that leads outside the root")
                return False
        return True


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
