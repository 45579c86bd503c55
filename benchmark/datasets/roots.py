"""What may be wrong with a folder in which a corpus was not found: a level too high or low, other case, archives."""

from __future__ import annotations

import fnmatch
import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmark.errors import did_you_mean, some

_ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tbz2", ".7z", ".rar", ".gz", ".bz2", ".xz", ".zst")
_PARTS = "*_part[a-z][a-z]"
"""Names of the pieces in which VoxCeleb's archives come."""
_LOOKED_AT = 500
"""Folders below a root that are looked into; a hint is not worth a walk through a million."""


def advice(root: Path, landmarks: Sequence[str]) -> str:
    """Lines to add to the message that a corpus is not in `root`; none where nothing is known.

    Args:
        landmarks: patterns of paths; one of them is below the right folder.
    """
    lines = []
    if not fits(root, landmarks):
        found = _elsewhere(root, landmarks)
        lines = [f"\n  {root} is not its folder. Did you mean {found}?"] if found else _other_case(root, landmarks)
    return "".join([*lines, unpacked(root)])


def unpacked(root: Path) -> str:
    """A line that names archives that lie where a corpus should, or instead of it."""
    if root.is_file() and is_archive(root.name):
        return f"\n  {root.name} is an archive: unpack it, and give the folder"
    names = [path.relative_to(root).as_posix() for path in _below(root, folders=False) if is_archive(path.name)]
    if not names:
        return ""
    return f"\n  archives are not read; unpack them, if that is still to be done: {some(names)}"


def is_archive(name: str) -> bool:
    """Whether a name is that of an archive, or of a piece of one."""
    return name.lower().endswith(_ARCHIVES) or fnmatch.fnmatchcase(name, _PARTS)


def fits(folder: Path, landmarks: Sequence[str]) -> bool:
    """Whether one of the landmarks is below a folder."""
    return any(_is_there(folder, pattern.split("/")) for pattern in landmarks)


def held(root: Path) -> str:
    """What lies in a folder, in a line: the first names, and how many more there are."""
    names = [f"{path.name}/" if path.is_dir() else path.name for path in (root / name for name in _names(root))]
    more = f" and {len(names) - 5:,} more" if len(names) > 5 else ""
    return f"{', '.join(ascii(name)[1:-1] for name in names[:5])}{more}" if names else "nothing"


def _is_there(folder: Path, parts: Sequence[str]) -> bool:
    """Whether a path of these patterns is there; `**` is none of them, so that little is looked at."""
    if not parts:
        return True
    if not any(mark in parts[0] for mark in "*?["):
        return (folder / parts[0]).exists() and _is_there(folder / parts[0], parts[1:])
    return any(_is_there(folder / name, parts[1:]) for name in _names(folder) if fnmatch.fnmatchcase(name, parts[0]))


def _elsewhere(root: Path, landmarks: Sequence[str]) -> Path | None:
    """The nearest folder above or below with the first landmark, else with the second, and so on."""
    places = [*_below(root), root.absolute().parent, root.absolute().parent.parent]
    return next((place for landmark in landmarks for place in places if fits(place, [landmark])), None)


def _other_case(root: Path, landmarks: Sequence[str]) -> list[str]:
    """Lines for names in the root that differ from those expected, by a letter or by case."""
    lines = []
    first = sorted({pattern.partition("/")[0] for pattern in landmarks})
    plain = [name for name in first if not any(mark in name for mark in "*?[")]
    for name in _names(root):
        expected = next((known for known in plain if known.lower() == name.lower() and known != name), None)
        if expected is not None:
            lines.append(f"\n  '{name}' is there; expected '{expected}'")
        elif name not in plain and (meant := did_you_mean(name, plain)) and (root / name).is_dir():
            lines.append(f"\n  '{name}' is there.{meant}")
    return lines[:3]


def _below(root: Path, folders: bool = True) -> Iterator[Path]:
    """What lies in a folder and in the folders in it, nearest first; folders, or all but folders."""
    first = [root / name for name in _names(root)]
    inner = (folder / name for folder in first[:_LOOKED_AT] for name in _names(folder))
    for path in itertools.islice(itertools.chain(first, inner), 20 * _LOOKED_AT):
        if path.is_dir() == folders:
            yield path


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []
