"""Files to compare: which estimate belongs to which reference, who speaks in it, and what is said.

Names pair by their stem, in one Unicode normal form. What pairs with nothing is told, on both sides; nothing is ever
paired by position.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from benchmark.datasets.names import on_disk, readable
from benchmark.datasets.tables import FileTable, file_table, lrs3_words, read_file_table, two_columns
from benchmark.errors import MediaError, UsageError
from benchmark.media import is_audio, is_video, read_audio
from benchmark.runs.directory import Prediction, content_hash
from benchmark.text_files import BLANK, read_lines, read_text

if TYPE_CHECKING:
    from metrics.metric import SpeechItem


@dataclass(frozen=True)
class FilePair:
    """An estimate, and the reference that it is held against."""

    id: str
    estimate: Path
    reference: Path | None = None
    speaker: str = ""
    """The cluster that it is resampled with; its own id where nobody knows who speaks."""
    text: str | None = None
    """The words that are said."""

    def version(self) -> str:
        """Changes with the content of either file, and with what is said in it."""
        marks = [] if self.text is None else [hashlib.sha256(self.text.encode()).hexdigest()[:16]]
        marks += [content_hash(path) if path is not None else "-" for path in (self.estimate, self.reference)]
        return " ".join(marks)


@dataclass(frozen=True)
class Pairs:
    """Everything that was found."""

    pairs: tuple[FilePair, ...]
    """Sorted by id."""
    reference_only: tuple[str, ...] = ()
    estimate_only: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    """Files that are neither sound nor video, by name."""
    notes: tuple[str, ...] = ()
    """What else the reader should know."""
    clusters: str = "files"
    """What a speaker is taken to be: `files`, `folders`, or the file that says so."""


def find_pairs(estimate: Path, reference: Path | None = None) -> Pairs:
    """Pair two folders, two files, or two lists.

    Args:
        estimate, reference: a sound file or video; a folder (searched to the bottom); or a text file that lists one
            path per line, or an id and a path. Without a reference each estimate stands alone. A line of a list that
            names no file stays: it is a pair that cannot be read.

    Raises:
        UsageError: a path that is not there, nothing to score, no name in common, or one name for several files.
    """
    ours = _listed(estimate, "--estimate")
    if reference is None:
        clusters = "folders" if _folders(list(ours.files)) else "files"
        pairs = _clustered(FilePair(key, path) for key, path in ours.files.items())
        return Pairs(pairs, skipped=ours.skipped, clusters=clusters, notes=ours.notes)
    theirs = _listed(reference, "--reference")
    if _single(estimate) and _single(reference):
        (key, path), (other,) = next(iter(ours.files.items())), theirs.files.values()
        return Pairs((FilePair(key, path, other, key),))
    if not theirs.files.keys() & ours.files.keys():  # the folders may be laid out differently
        ours, theirs = _by_stem(ours, "--estimate"), _by_stem(theirs, "--reference")
    both = ours.files.keys() & theirs.files.keys()
    if not both:
        raise UsageError(
            f"No name is on both sides: {estimate} has {_some(ours.files)}, {reference} has {_some(theirs.files)}. "
            "Files pair by their names without the extension: `a.wav` with `a.flac`, not with `a_enhanced.wav`"
        )
    both |= ours.lost
    return Pairs(
        _clustered(FilePair(key, ours.files[key], theirs.files.get(key)) for key in both),
        tuple(sorted(theirs.files.keys() - ours.files.keys())),
        tuple(sorted(ours.files.keys() - both)),
        ours.skipped + theirs.skipped,
        ours.notes + theirs.notes,
        "folders" if _folders(list(both)) else "files",
    )


def with_speakers(found: Pairs, source: Path) -> Pairs:
    """Name the speaker of every pair from a table of id and speaker; see `read_file_table`.

    Raises:
        UsageError: not readable, or a pair that it does not name.
    """
    table = read_file_table(source, "speaker")
    named = [table.find(pair.id) for pair in found.pairs]
    missing = [pair.id for pair, name in zip(found.pairs, named, strict=True) if not name]
    if missing:
        raise UsageError(f"{source} names no speaker for {len(missing)} of {len(named)} files: {_some(missing)}")
    pairs = tuple(replace(pair, speaker=name or "") for pair, name in zip(found.pairs, named, strict=True))
    return replace(found, pairs=pairs, clusters=str(source))


def with_texts(found: Pairs, source: str) -> Pairs:
    """Give every pair its words; a pair without words keeps None.

    Args:
        source: a table of id and words, see `read_file_table`; a folder of `.txt` or `.lab` files named alike; or
            `grid`, for names that spell GRID sentences (`bbaf2n`, or with a speaker before: `s1_bbaf2n`).

    Raises:
        UsageError: not there, not UTF-8, one name with two texts, or not a single pair has words in it.
    """
    notes = found.notes
    if source == "grid":
        words = _grid_words
    else:
        path = Path(source)
        table = _transcripts(path) if path.is_dir() else read_file_table(path, "text")
        words = table.find
        if strangers := table.strangers(pair.id for pair in found.pairs):
            notes += (f"{len(strangers)} texts of {source} are of none of these files: {_some(strangers)}",)
    pairs = tuple(replace(pair, text=words(pair.id) or None) for pair in found.pairs)
    if all(pair.text is None for pair in pairs):
        raise UsageError(
            f"--texts {source} has words for none of {len(pairs)} files, such as {_some(p.id for p in pairs)}"
        )
    return replace(found, pairs=pairs, notes=notes)


def _grid_words(key: str) -> str | None:
    from benchmark.datasets.talkers.sentences import Sentence

    try:
        return Sentence.parse(PurePosixPath(key).name.rpartition("_")[2]).text
    except UsageError:
        return None


def _transcripts(folder: Path) -> FileTable:
    """The words of a folder with a text file for each recording."""
    files, _ = _files(folder, lambda path: path.suffix.lower() in (".txt", ".lab"))
    texts = ((key, read_text(path).strip()) for key, path, _ in files)
    return file_table(folder, ((0, key, lrs3_words(text) or text) for key, text in texts))


@dataclass(frozen=True)
class PairReader:
    """Opens one pair: both signals at one rate, and the estimate shifted where `align` asks for it."""

    pairs: Mapping[str, FilePair]
    align: bool = False
    delays_s: Mapping[str, float] = field(default_factory=dict)
    """By id, of the pairs that metrics which compare in time are given; needed once the delays are known."""

    def __call__(self, prediction: Prediction, root: Path) -> SpeechItem:
        """Read both files at their own rates and convert the higher to the lower.

        Raises:
            MediaError: either cannot be read.
        """
        from metrics.speech.items import speech_item

        pair = self.pairs[prediction.sample]
        estimate = read_audio(pair.estimate, None)
        if pair.reference is None:
            return speech_item(pair.id, estimate.samples, estimate.rate, text=pair.text)
        try:
            reference = read_audio(pair.reference, None)
        except MediaError as error:
            raise MediaError(f"reference: {error}") from error
        return speech_item(pair.id, estimate.samples, estimate.rate, reference.samples, reference.rate, text=pair.text)

    def for_metric(self, metric: object, item: SpeechItem) -> SpeechItem:
        """The item as one metric takes it: aligned, where asked for, for those that compare with the reference."""
        from metrics.speech.items import aligned_item

        return aligned_item(item, self.delays_s[item.id]) if self.aligns(metric) else item

    def aligns(self, metric: object) -> bool:
        """Whether a metric is given aligned signals."""
        return self.align and getattr(metric, "paired", False)

    def signature(self, metric: object) -> str:
        """What the reader adds to a metric's signature."""
        from metrics.speech.items import ALIGNED

        return f"|{ALIGNED}" if self.aligns(metric) else ""


class _Listing(NamedTuple):
    """What lies in a folder, or what a list names."""

    files: dict[str, Path]
    """By id."""
    skipped: tuple[str, ...] = ()
    lost: frozenset[str] = frozenset()
    """Ids of a list's lines that name no file."""
    notes: tuple[str, ...] = ()


class _Found(NamedTuple):
    """One file."""

    id: str
    path: Path
    where: str
    """How to name it in a message."""


def _listed(path: Path, option: str) -> _Listing:
    lost: frozenset[str] = frozenset()
    skipped: list[str] = []
    if path.is_dir():
        found, skipped = _files(path, lambda file: is_audio(file) or is_video(file))
    elif not path.exists():
        raise UsageError(f"{option} {path}: no such file or folder")
    elif _single(path):
        return _Listing({readable(path.stem): path})
    else:
        found, lost = _from_list(path, option)
    files: dict[str, Path] = {}
    for key, file, _ in found:
        if files.setdefault(key, file) != file:
            double = sum(count > 1 for count in Counter(key for key, _ in {each[:2] for each in found}).values())
            same = ", ".join(other.where for other in found if other.id == key)
            raise UsageError(f"{option} {path}: {double} names stand for several files, such as '{key}': {same}")
    if not found:
        raise UsageError(
            f"{option} {path}: holds no sound file or video{f' ({len(skipped)} others)' if skipped else ''}"
        )
    notes = (f"{len(lost)} lines of {path} name no file: they count as failed",) if lost else ()
    return _Listing(dict(sorted(files.items())), tuple(skipped), lost, notes)


def _files(folder: Path, wanted: Callable[[Path], bool]) -> tuple[list[_Found], list[str]]:
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
                found.append(_Found(key, file, readable(str(file))))
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


def _from_list(path: Path, option: str) -> tuple[list[_Found], frozenset[str]]:
    """Lines `path` or `id path` (two columns in a .csv), and the ids of those that name no file.

    Paths are relative to the list's own folder, or else to where the command runs; empty lines and those that begin
    with # are left out. What names no file is read as most other lines are.
    """
    try:
        lines = list(_lines(path))
    except UsageError as error:
        raise UsageError(f"{path} is neither a sound file nor a list of them (one path per line): {error}") from error
    if lines and not any(line.part or line.whole for line in lines):
        first = lines[0]
        raise UsageError(
            f"{option} {path}: none of its {len(lines)} lines names a file that is here, such as line {first.number}, "
            f"{first.text[:200]!r}; paths are relative to {path.parent.absolute()}"
        )
    with_id = [line for line in lines if line.part and not line.whole]
    without = [line for line in lines if line.whole and not line.part and " " in line.text]
    mostly_with_id = len(with_id) > len(without)
    found, lost = [], []
    for line in lines:
        undecided = bool(line.part) == bool(line.whole)
        if line.rest and (mostly_with_id if undecided else bool(line.part)):
            key, file, text = readable(line.id) or _stem(line.rest), line.part, line.rest
        else:
            key, file, text = _stem(line.text), line.whole, line.text
        if file is None:
            lost.append(key)
        found.append(_Found(key, file or path.parent / text, f"line {line.number}: {text}"))
    return found, frozenset(lost)


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
    return readable(PurePosixPath(text).with_suffix("").name)


def _single(path: Path) -> bool:
    return path.is_file() and (is_audio(path) or is_video(path))


def _by_stem(listing: _Listing, option: str) -> _Listing:
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


def _clustered(pairs: Iterable[FilePair]) -> tuple[FilePair, ...]:
    """Speakers by folder, where there are several with files in them; else every file for itself."""
    found = sorted(pairs, key=lambda pair: pair.id)
    by_folder = _folders([pair.id for pair in found])
    return tuple(replace(pair, speaker=pair.id.partition("/")[0] if by_folder else pair.id) for pair in found)


def _folders(keys: Sequence[str]) -> bool:
    return all("/" in key for key in keys) and len({key.partition("/")[0] for key in keys}) > 1


def _some(names: Iterable[str]) -> str:
    shown = [name for name, _ in zip(names, range(3), strict=False)]
    return ", ".join(f"'{name}'" for name in shown) + ", ..."
