"""Find outputs by the names of samples: in a folder, or in a table that names the files.

A file belongs to the sample whose id is its name without suffix, or the end of its path (`s1/bbaf2n` where ids have
slashes), or the name of a folder above it. Ids are taken as they are, or as `benchmark.datasets.names.safe_ids` writes
them. Several files of a sample are told apart by a number: `ID.0`, `ID_1`, `ID/2`, `run_3/ID`. The numbers of all files
together, in rising order, are the evaluation runs, so that a file that is missing moves no other. A folder above that
is called by a number alone (`2/ID`) tells runs apart only where a sample has several files: corpora have chapters and
speakers of such names.

Nothing outside the folder is read, whatever a table or a link says: outputs may come from anybody.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from benchmark.datasets.names import readable, safe_ids
from benchmark.datasets.tables import read_table
from benchmark.errors import MissingDataset, UsageError, some
from benchmark.media import AUDIO_SUFFIXES, IMAGE_SUFFIXES

SUFFIXES = {"image": IMAGE_SUFFIXES, "audio": AUDIO_SUFFIXES}
"""Of files in a folder, by what a task wants; a table may name any file."""
_KINDS = {"image": "pictures", "audio": "sound files"}
_RUN = r"(?:run|repeat|seed|crop|sample|eval|r)"
_NUMBERED = tuple(
    re.compile(rf"(?P<name>.+){between}(?P<number>\d{{1,9}})", re.IGNORECASE)
    for between in ("[._ -]", rf"[._ -]{_RUN}[._ -]?")
)
"""A name with a number behind it: `ID.0` and `ID_1`; `ID_run2` and `ID-seed-3`."""
_FOLDER_OF_RUN = re.compile(rf"(?P<word>{_RUN}[._ -]?)?(?P<number>\d{{1,9}})", re.IGNORECASE)
"""A folder or a file that is called by a number: `0`, `run_1`, `seed42`."""


@dataclass(frozen=True)
class OutputFile:
    """One file, and what is in the way of using it."""

    path: Path
    shown: str
    """Its path below the folder, as it can be printed."""
    sha256: str = ""
    problem: str = ""


@dataclass(frozen=True)
class Outputs:
    """The outputs that are there, by sample and evaluation run."""

    root: Path
    files: Mapping[tuple[str, int], Sequence[OutputFile]]
    """Several where nobody can tell which is meant."""
    repeats: int
    """Evaluation runs: the most that a sample has."""
    strangers: Sequence[str]
    """Files that belong to no sample."""
    others: Sequence[str] = ()
    """Files in the folder that are of another kind."""
    links: Sequence[str] = ()
    """Folders behind links, which are not followed."""

    @property
    def sha256(self) -> str:
        """Of what belongs to samples: its place, its kind and its content."""
        lines = sorted(
            f"{sample}\0{repeat}\0{file.path.suffix.lower()}\0{file.sha256 or '-'}\n"
            for (sample, repeat), found in self.files.items()
            for file in found
        )
        return hashlib.sha256("".join(lines).encode("utf-8", "surrogatepass")).hexdigest()


class _Match(NamedTuple):
    """The sample that a file belongs to."""

    sample: str
    number: int | None
    """That it is told apart by."""
    ordered: bool = False
    """Whether files without numbers are told apart by their order."""
    doubtful: bool = False
    """Whether the number may be of something else than a run."""


@dataclass
class _Names:
    """Samples by the names that files may have."""

    samples: Sequence[str]
    known: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for sample, safe in safe_ids(self.samples).items():
            self.known[safe] = sample
        self.known |= {readable(sample): sample for sample in self.samples}  # an id as it is goes before a safe one

    def ending(self, parts: Sequence[str]) -> tuple[str, int] | None:
        """The sample whose id is the end of a path, and how many parts it takes; the longest end counts."""
        for count in range(len(parts), 0, -1):
            if (sample := self.known.get("/".join(parts[-count:]))) is not None:
                return sample, count
        return None

    def match(self, parts: Sequence[str]) -> _Match | None:
        """The sample that a file belongs to.

        Args:
            parts: of its path below the folder, the last one without suffix.
        """
        if found := self.ending(parts):
            sample, count = found
            above = filter(None, (_FOLDER_OF_RUN.fullmatch(part) for part in reversed(parts[:-count])))
            run = next(above, None)
            return _Match(sample, int(run["number"]), doubtful=not run["word"]) if run else _Match(sample, None)
        for numbered in filter(None, (way.fullmatch(parts[-1]) for way in _NUMBERED)):
            if found := self.ending([*parts[:-1], numbered["name"]]):
                return _Match(found[0], int(numbered["number"]))
        for depth in range(len(parts) - 1, 0, -1):
            if found := self.ending(parts[:depth]):
                below = (
                    way.fullmatch(part) for part in reversed(parts[depth:]) for way in (_FOLDER_OF_RUN, *_NUMBERED)
                )
                return _Match(found[0], next((int(run["number"]) for run in below if run), None), ordered=True)
        return None


def find_outputs(place: Path, wanted: str, samples: Sequence[str]) -> Outputs:
    """Find the outputs of samples.

    Args:
        place: a folder, searched to the bottom, or a table (`.csv`) with the columns sample, file and perhaps repeat;
            its paths are relative to its own folder.
        wanted: `image` or `audio`.
        samples: all ids of the split.

    Raises:
        UsageError: there is no such place, a table that is none, or nothing in it belongs to a sample.
    """
    names = _Names(samples)
    if place.is_dir():
        found = _of_folder(place, wanted, names)
    elif place.is_file():
        found = _of_table(place, names)
    else:
        raise UsageError(f"--set folder={place}: no such folder or table (.csv)")
    if not any(len(files) == 1 for files in found.files.values()):
        raise UsageError(_nothing(place, wanted, names, found))
    return found


def looked_for(sample: str, repeat: int, wanted: str) -> str:
    """The names that a file may have."""
    suffix = {"image": ".png", "audio": ".wav"}[wanted]
    name = readable(sample)
    return f"{name}.{repeat}{suffix}, {name}/{repeat}{suffix}" + (f" or {name}{suffix}" if repeat == 0 else "")


def _of_folder(folder: Path, wanted: str, names: _Names) -> Outputs:
    matched: dict[str, list[tuple[_Match, OutputFile]]] = {}
    strangers, links, others = [], [], []
    real = folder.resolve()
    for file, shown, linked in _walk(folder):
        if linked:
            links.append(shown)
        elif file.suffix.lower() not in SUFFIXES[wanted]:
            others.append(shown)
        elif match := names.match(shown[: len(shown) - len(file.suffix)].split("/")):
            matched.setdefault(match.sample, []).append((match, _checked(folder, real, file, shown)))
        else:
            strangers.append(shown)
    files, repeats = _by_run(matched)
    return Outputs(folder, files, repeats, strangers, others, links)


def _walk(folder: Path) -> Iterator[tuple[Path, str, bool]]:
    """Files, with their paths below a folder as they can be printed; and links to folders, which are not followed."""

    def raised(error: OSError) -> None:
        raise UsageError(f"{error.filename} cannot be listed: {error.strerror}") from error

    for parent, folders, names in os.walk(folder, onerror=raised):
        inside = Path(parent).relative_to(folder)
        for name in sorted(folders):
            if Path(parent, name).is_symlink():
                yield Path(parent, name), readable((inside / name).as_posix()), True
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith("."):
                yield Path(parent, name), readable((inside / name).as_posix()), False


def _of_table(table: Path, names: _Names) -> Outputs:
    try:
        rows = read_table(table, ("sample", "file"))
    except MissingDataset as error:
        raise UsageError(str(error)) from error
    matched: dict[str, list[tuple[_Match, OutputFile]]] = {}
    strangers = []
    real = table.parent.resolve()
    for row in rows:
        number = row.get("repeat", "")
        if number and not re.fullmatch(r"\d{1,9}", number):
            raise UsageError(f"{table}, line {row['line']}: repeat is {number!r}, expected a whole number")
        sample = names.known.get(readable(row["sample"]))
        if sample is None:
            strangers.append(f"{readable(row['file'])} (sample '{readable(row['sample'])}')")
            continue
        match = _Match(sample, int(number) if number else None, ordered=True)
        checked = _checked(table.parent, real, table.parent / row["file"], readable(row["file"]))
        matched.setdefault(sample, []).append((match, checked))
    files, repeats = _by_run(matched)
    return Outputs(table.parent, files, repeats, strangers)


def _nothing(place: Path, wanted: str, names: _Names, found: Outputs) -> str:
    """Why none of it can be used, and what names were expected."""
    first = names.samples[0]
    expected = (
        f"Expected {_KINDS[wanted]} called by sample, for instance {looked_for(first, 0, wanted)} for the sample "
        f"'{first}'; or a table (.csv) with the columns sample, file and perhaps repeat"
    )
    if found.files:
        (sample, _), files = next(iter(found.files.items()))
        return (
            f"--set folder={place}: several files stand for each sample, such as {some(file.shown for file in files)} "
            f"for '{sample}': name the folder that holds the outputs alone"
        )
    if found.strangers:
        return (
            f"--set folder={place}: none of its {len(found.strangers)} files ({some(found.strangers)}) belongs to a "
            f"sample of this split. {expected}"
        )
    other = next((kind for kind, suffixes in SUFFIXES.items() for name in found.others if _ends(name, suffixes)), None)
    if other:
        count = sum(_ends(name, SUFFIXES[other]) for name in found.others)
        return (
            f"--set folder={place}: expected {_KINDS[wanted]} for this task, got {count} {_KINDS[other]}, such as "
            f"{some(found.others)}. Say which task they are of with --task; `list tasks` names them"
        )
    held = f"{len(found.others)} other files" if found.others else "no file"
    return f"--set folder={place}: holds {held} and no {_KINDS[wanted]}. {expected}"


def _ends(name: str, suffixes: Iterable[str]) -> bool:
    return Path(name).suffix.lower() in suffixes


def _by_run(
    matched: Mapping[str, Sequence[tuple[_Match, OutputFile]]],
) -> tuple[dict[tuple[str, int], list[OutputFile]], int]:
    """The files by sample and evaluation run, and how many runs there are."""
    if all(len(found) == 1 for found in matched.values()):
        matched = {
            sample: [(match._replace(number=None) if match.doubtful else match, file) for match, file in found]
            for sample, found in matched.items()
        }
    numbers = sorted({match.number for found in matched.values() for match, _ in found if match.number is not None})
    runs = {number: run for run, number in enumerate(numbers)}
    files: dict[tuple[str, int], list[OutputFile]] = {}
    for sample, found in matched.items():
        in_order = len(found) > 1 and all(match.ordered and match.number is None for match, _ in found)
        for place, (match, file) in enumerate(found):
            run = place if in_order else runs.get(match.number, 0) if match.number is not None else 0
            files.setdefault((sample, run), []).append(file)
    return files, 1 + max((run for _, run in files), default=0)


def _checked(root: Path, real_root: Path, file: Path, shown: str) -> OutputFile:
    """A file with the hash of its content, if it may be used at all.

    Args:
        real_root: the folder that nothing may lie outside of, without links.
    """
    try:
        real = file.resolve()
        if not real.is_relative_to(real_root):
            way = "behind a link" if file.is_symlink() else "by its path"
            return OutputFile(file, shown, problem=f"{shown} lies outside {root} ({way}): put a copy inside")
        if not real.exists():
            return OutputFile(file, shown, problem=f"{shown}: there is no such file in {root}")
        if not stat.S_ISREG(real.stat().st_mode):
            return OutputFile(file, shown, problem=f"{shown} is no regular file")
        return OutputFile(file, shown, content_sha256(real))
    except (OSError, ValueError, RuntimeError) as error:  # a zero byte in a name, a link that leads to itself
        return OutputFile(file, shown, problem=f"{shown} cannot be read: {getattr(error, 'strerror', None) or error}")


def content_sha256(path: Path) -> str:
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
