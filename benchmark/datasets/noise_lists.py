"""Recordings of noise beside a corpus: lists with one file a line, as for AudioSet, or a folder of sound."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import NamedTuple

from benchmark.datasets.media_files import MediaFinder, is_speech
from benchmark.datasets.names import on_disk
from benchmark.errors import MediaError, MissingDataset, UsageError
from benchmark.media import check_header
from benchmark.text_files import BLANK, read_lines

NAMES = ("audioset_{split}.txt", "noise_{split}.txt")
"""Looked for in the root, in this order; FlowAVSE's evaluation calls its list `audioset_test.txt`."""
LAYOUT = """\
  audioset_{train,val,test}.txt   optional: one recording of noise a line (also noise_*.txt); a path that is not below
                                  this folder is looked for by its last parts in audioset/
  noise/{train,val,test}/...      optional, in place of lists: recordings of noise; noise/... serves every split"""
_SPLITS = ("train", "val", "test")
_LONGEST = 4096


class NoiseList(NamedTuple):
    """A list as its lines state it."""

    name: str
    files: tuple[str | None, ...]
    """One for each line, relative to the root; None where the line names no usable file."""


def noise_list(root: Path, split: str, finder: MediaFinder) -> NoiseList | None:
    """Read the list of one split, or None where there is none.

    A line is a path relative to the root, an absolute path below it, or a path of another machine, of which as many
    trailing parts as possible are looked for below `<root>/audioset`. Lines without a usable file are named in the
    finder's problems.

    Raises:
        MissingDataset: the list is not text, or not one of its files is there.
    """
    path = next((root / name for name in _names(split) if (root / name).is_file()), None)
    if path is None:
        return None
    try:
        lines = [line.strip(BLANK) for line in read_lines(path)]
    except UsageError as error:
        raise MissingDataset(f"{error}; expected a recording of noise on each line") from error
    files: list[str | None] = []
    for number, line in enumerate(lines, start=1):
        try:
            files.append(_usable(root, line))
        except MediaError as error:
            finder.problems.append(f"{path.name}, line {number}, {line[:300]!r}: {error}")
            files.append(None)
    if not any(files):
        raise MissingDataset(
            f"{path} has {len(lines)} lines and none of them names a recording that is here; expected paths relative "
            f"to {root}, or their last parts below {root / 'audioset'}. {''.join(finder.problems[-1:])}"
        )
    return NoiseList(path.name, tuple(files))


def noise_files(root: Path, split: str, finder: MediaFinder) -> list[str]:
    """Recordings of noise for one split, relative to the root; none where there is neither list nor folder.

    Args:
        split: `train`, `val` or `test`. A folder `noise` that has no folders of these names serves all three: the
            noises of the test are then heard in training.

    Raises:
        MissingDataset: see `noise_list`.
    """
    listed = noise_list(root, split, finder)
    if listed is not None:
        return [file for file in listed.files if file is not None]
    folder = root / "noise"
    if any((folder / name).is_dir() for name in _SPLITS):
        folder = folder / split
    return list(finder.media(folder, is_speech))


def missing_noise_list(root: Path, split: str, pairs: str) -> MissingDataset:
    """The error for a list of pairs that lacks the list of noises which belongs to it."""
    first, *others = _names(split)
    return MissingDataset(
        f"The mixtures of {pairs} are utterances of pair i with the noise in line i of a list, and there is none: "
        f"expected {root / first} (or {', '.join(others)}), one recording of noise a line"
    )


def _names(split: str) -> list[str]:
    return [name.format(split=split) for name in NAMES]


def _usable(root: Path, line: str) -> str:
    """The file that a line names, relative to the root, or MediaError."""
    if not line:
        raise MediaError("an empty line")
    if len(line) > _LONGEST:
        raise MediaError("longer than a path may be")
    if ".." in PurePosixPath(line).parts or "\\" in line or "\0" in line:
        raise MediaError("expected a path with / between its parts and without ..")
    if not is_speech(Path(line)):
        raise MediaError("not the suffix of a recording")
    path = _found(root, line)
    real = path.resolve()
    if not any(real.is_relative_to(place.resolve()) for place in (root, root / "audioset")):
        raise MediaError("a link that leads outside the root")
    try:
        check_header(path)
    except MediaError as error:
        raise MediaError(str(error).removeprefix(f"{path}: ")) from error
    return path.relative_to(root).as_posix()


def _found(root: Path, line: str) -> Path:
    for place in (root, root.resolve()):
        if Path(line).is_relative_to(place):
            path = root / Path(line).relative_to(place)
            return on_disk(path) or path
    parts = [part for part in PurePosixPath(line).parts if part != "/"]
    places = [] if line.startswith("/") else [root.joinpath(*parts)]
    places += [root.joinpath("audioset", *parts[first:]) for first in range(len(parts))]
    for place in places:
        path = on_disk(place)
        if path is not None and path.is_file():
            return path
    raise MediaError("no such file, neither from the root nor by its last parts below audioset")
