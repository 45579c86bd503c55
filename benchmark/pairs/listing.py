"""Files by name: what lies in a folder, or what a list names; and whether it is faces or speech that they hold."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

from benchmark.datasets.names import on_disk, readable
from benchmark.datasets.tables import two_columns
from benchmark.errors import UsageError, some
from benchmark.media import is_audio, is_image, is_video
from benchmark.text_files import BLANK, read_lines

Judged = Literal["speech", "faces"]


class Medium(NamedTuple):
    """A kind of files that is judged."""

    judged: Judged
    title: str
    """What one of them is called."""
    suits: Callable[[Path], bool]
    """Whether a file is one, by its suffix."""


def _is_sounding(path: Path) -> bool:
    return is_audio(path) or is_video(path)


SPEECH = Medium("speech", "sound file or video", _is_sounding)
FACES = Medium("faces", "picture", is_image)


class Listing(NamedTuple):
    """What lies in a folder, or what a list names."""

    files: dict[str, Path]
    """By id."""
    skipped: tuple[str, ...] = ()
    lost: frozenset[str] = frozenset()
    """Ids of a list's lines that name no file."""
    notes: tuple[str, ...] = ()


class Found(NamedTuple):
    """One file."""

    id: str
    path: Path
    where: str
    """How to name it in a message."""
    named: bool = False
    """Whether a list gave the id; else it is made of the path."""
    lost: bool = False
    """Whether a list names it, and it is not there."""


def medium_of(estimate: Path, reference: Path | None, asked: Judged | None = None) -> Medium:
    """What is judged, by the files themselves.

    Args:
        estimate, reference: as of `listed`.
        asked: what the metrics judge that a user named; it decides where an estimate holds both kinds.

    Raises:
        UsageError: both kinds and nothing that decides, or an estimate of one kind and a reference of the other.
    """
    for option, path in (("--estimate", estimate), ("--reference", reference)):
        if path is not None and not path.exists():
            raise UsageError(f"{option} {path}: no such file or folder")
    ours = _kinds(estimate)
    if len(ours) > 1 and asked is None:
        held = " and ".join(f"{count} {_plural(medium)}" for medium, count in ours.items())
        raise UsageError(
            f"--estimate {estimate} holds {held}, and one kind is judged at a time: give a folder or a list of one "
            "kind, or name metrics of one kind with --metrics"
        )
    theirs = _kinds(reference) if reference is not None else {}
    if not ours and not theirs and estimate.is_dir():
        others = len(files_below(estimate, lambda file: True)[0])
        raise UsageError(f"--estimate {estimate}: holds no sound file, video or picture ({others} others)")
    found = next((medium for medium in ours if len(ours) == 1 or medium.judged == asked), next(iter(theirs), SPEECH))
    if theirs and ours and found not in theirs:
        (other,) = theirs
        raise UsageError(
            f"--estimate {estimate} holds {_plural(found)}, --reference {reference} {_plural(other)}: faces are "
            "compared with faces, and speech with speech"
        )
    return found


def holds_both(path: Path) -> bool:
    """Whether there are files of both kinds, so that the metrics decide what is judged."""
    return len(_kinds(path)) > 1


def _kinds(path: Path) -> dict[Medium, int]:
    """How many files of each kind there are, the commonest kind first."""
    if path.is_dir():
        names: Iterable[Path] = (found.path for found in files_below(path, lambda file: True)[0])
    elif is_single(path) or not path.is_file():
        names = [path] if path.exists() else []
    else:
        try:
            names = [Path(line.rest or line.text) for line in _lines(path)]
        except UsageError:  # whoever reads it says what is wrong
            names = []
    counts = Counter(medium for name in names for medium in (SPEECH, FACES) if medium.suits(name))
    return dict(counts.most_common())


def _plural(medium: Medium) -> str:
    return "pictures" if medium is FACES else "sound files or videos"


def listed(path: Path, option: str, medium: Medium) -> Listing:
    """The files of one side.

    In a folder an id is the path below it, without the suffix. In a list it is the one that stands there, or else the
    file's stem; of pictures the path below the folder that all have in common, and several that a list gives one id
    are a person's: they lie below it.

    Args:
        path: a file; a folder (searched to the bottom); or a text file that lists one path per line, or an id and a
            path. A line that names no file stays.
        option: the option that gave the path, for messages.

    Raises:
        UsageError: nothing there, a file of another kind, or one name for several files.
    """
    skipped: list[str] = []
    if path.is_dir():
        found, skipped = files_below(path, medium.suits)
    elif not path.exists():
        raise UsageError(f"{option} {path}: no such file or folder")
    elif is_single(path):
        if not medium.suits(path):
            raise UsageError(f"{option} {path}: expected a {medium.title}")
        return Listing({readable(path.stem): path})
    else:
        found = _from_list(path, option, medium)
        if medium is FACES:
            found = _by_person(found)
    files: dict[str, Path] = {}
    for key, file, *_ in found:
        if files.setdefault(key, file) != file:
            double = sum(count > 1 for count in Counter(key for key, _ in {each[:2] for each in found}).values())
            same = ", ".join(other.where for other in found if other.id == key)
            raise UsageError(f"{option} {path}: {double} names stand for several files, such as '{key}': {same}")
    if not found:
        raise UsageError(f"{option} {path}: holds no {medium.title}{f' ({len(skipped)} others)' if skipped else ''}")
    lost = frozenset(each.id for each in found if each.lost)
    notes = (f"{len(lost)} lines of {path} name no file: they count as failed",) if lost else ()
    return Listing(dict(sorted(files.items())), tuple(skipped), lost, notes)


def files_below(folder: Path, wanted: Callable[[Path], bool]) -> tuple[list[Found], list[str]]:
    """The wanted files by their paths below the folder without suffix, and the names of the others."""
    found, skipped = [], []
    seen: set[str] = set()

    def unlisted(error: OSError) -> None:
        skipped.append(f"{error.filename} cannot be listed: {error.strerror}")

    for parent, folders, names in os.walk(folder, onerror=unlisted, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen:  # a link to a folder above
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            file = Path(parent, name)
            if name.startswith("."):
                continue
            if wanted(file):
                key = readable(file.relative_to(folder).with_suffix("").as_posix())
                found.append(Found(key, file, readable(str(file))))
            else:
                skipped.append(readable(str(file)))
    return found, skipped


class _Line(NamedTuple):
    """A line of a list, read in both ways: as `id path`, and as a path that may hold spaces."""

    number: int
    text: str
    id: str
    rest: str
    """What stands after the id; empty where there is no space."""
    part: Path | None
    """The file that `rest` names, if there is one."""
    whole: Path | None
    """The file that the whole line names."""


def _from_list(path: Path, option: str, medium: Medium) -> list[Found]:
    """Lines `path` or `id path` (two columns in a .csv).

    Paths are relative to the list's own folder, or else to where the command runs; empty lines and those that begin
    with # are left out. What names no file is read as most other lines are.
    """
    try:
        lines = list(_lines(path))
    except UsageError as error:
        raise UsageError(
            f"{path} is neither a {medium.title} nor a list of them (one path per line): {error}"
        ) from error
    if lines and not any(line.part or line.whole for line in lines):
        first = lines[0]
        raise UsageError(
            f"{option} {path}: none of its {len(lines)} lines names a file that is here, such as line {first.number}, "
            f"{first.text[:200]!r}; paths are relative to {path.parent.absolute()}"
        )
    with_id = [line for line in lines if line.part and not line.whole]
    without = [line for line in lines if line.whole and not line.part and " " in line.text]
    mostly_with_id = len(with_id) > len(without)
    found = []
    for line in lines:
        undecided = bool(line.part) == bool(line.whole)
        named = bool(line.rest) and (mostly_with_id if undecided else bool(line.part))
        file, text = (line.part, line.rest) if named else (line.whole, line.text)
        key = (readable(line.id) if named else "") or _stem(text)
        where = f"line {line.number}: {text}"
        found.append(Found(key, file or path.parent / text, where, named and bool(line.id), file is None))
    return found


def _by_person(found: list[Found]) -> list[Found]:
    """Pictures of a list as if they lay in folders: the id that several lines have is a person, who has them all.

    Paths without an id have their folders in the id, below the one that they share.
    """
    times = Counter(each.id for each in found if each.named)
    folders = [str(each.path.parent.absolute()) for each in found if not each.named]
    above = Path(os.path.commonpath(folders)) if folders else Path()
    renamed = []
    for each in found:
        if each.named:
            key = f"{each.id}/{_stem(each.path.name)}" if times[each.id] > 1 else each.id
        else:
            key = readable(os.path.splitext(each.path.absolute().relative_to(above))[0])
        renamed.append(each._replace(id=key))
    return renamed


def _lines(path: Path) -> Iterable[_Line]:
    folder, lines = path.parent, read_lines(path)
    if path.suffix.lower() == ".csv" and any("," in line for line in lines):
        for number, (key, rest) in two_columns(path, "file"):
            yield _Line(number, rest, key, rest, _named(folder, rest), None)
        return
    for number, line in enumerate(lines, 1):
        line = line.strip(BLANK)
        if not line or (line.startswith("#") and not _named(folder, line)):
            continue
        key, _, rest = line.partition("\t" if "\t" in line else " ")
        rest = rest.strip(BLANK)
        yield _Line(number, line, key, rest, _named(folder, rest), _named(folder, line))


def _named(folder: Path, text: str) -> Path | None:
    """The file that is written in a list of this folder, in quotes or without."""
    if not text:
        return None
    ways = [text, text[1:-1]] if len(text) > 2 and text[0] == text[-1] and text[0] in "\"'" else [text]
    places = (folder / way for way in ways), (Path(way) for way in ways)
    found = (on_disk(path) for place in places for path in place)
    return next((file for file in found if file and file.is_file()), None)


def _stem(text: str) -> str:
    return readable(PurePosixPath(text).stem or text)


def is_single(path: Path) -> bool:
    """Whether a path is a file to be judged, and not a list of such."""
    return path.is_file() and (_is_sounding(path) or is_image(path))


def by_stem(listing: Listing, option: str) -> Listing:
    """By the last part of each id."""
    stems = Counter(PurePosixPath(key).name for key in listing.files)
    double = next((stem for stem, count in stems.items() if count > 1), None)
    if double is not None:
        same = ", ".join(str(path) for key, path in listing.files.items() if PurePosixPath(key).name == double)
        raise UsageError(f"{option}: the folders differ and the name '{double}' alone is not unique: {same}")
    return listing._replace(
        files={PurePosixPath(key).name: path for key, path in listing.files.items()},
        lost=frozenset(PurePosixPath(key).name for key in listing.lost),
    )


def quoted(names: Iterable[str], most: int = 3) -> str:
    """The first few names, each in quotes, and how many there are besides."""
    return some((f"'{name}'" for name in names), most)
