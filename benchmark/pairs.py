"""Files to compare: which estimate belongs to which reference, who speaks in it, and what is said.

Names pair by their stem. What pairs with nothing is told, on both sides; nothing is ever paired by position.
"""

from __future__ import annotations

import csv
import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from benchmark.errors import MediaError, UsageError
from benchmark.media import is_audio, is_video, read_audio
from benchmark.store import Prediction

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
        """Changes when either file does (sizes and times of change), or what is said in it."""
        marks = [] if self.text is None else [hashlib.sha256(self.text.encode()).hexdigest()[:16]]
        for path in (self.estimate, self.reference):
            try:
                status = path.stat() if path is not None else None
            except OSError:
                status = None
            marks.append(f"{status.st_size}:{status.st_mtime_ns}" if status else "-")
        return " ".join(marks)


@dataclass(frozen=True)
class Pairs:
    """Everything that was found."""

    pairs: tuple[FilePair, ...]
    """Sorted by id."""
    reference_only: tuple[str, ...] = ()
    estimate_only: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    """Files that are neither sound nor video, by name, and lines of a list that could not be used."""
    clusters: str = "files"
    """What a speaker is taken to be: `files`, `folders`, or the file that says so."""


def find_pairs(estimate: Path, reference: Path | None = None) -> Pairs:
    """Pair two folders, two files, or two lists.

    Args:
        estimate, reference: a sound file or video; a folder (searched to the bottom); or a text file that lists one
            path per line, or an id and a path. Without a reference each estimate stands alone.

    Raises:
        UsageError: a path that is not there, nothing to score, no name in common, or one name for several files.
    """
    ours, skipped = _listed(estimate, "--estimate")
    if reference is None:
        clusters = "folders" if _folders(list(ours)) else "files"
        pairs = _clustered(FilePair(key, path) for key, path in ours.items())
        return Pairs(pairs, skipped=tuple(skipped), clusters=clusters)
    theirs, more = _listed(reference, "--reference")
    skipped += more
    if _single(estimate) and _single(reference):
        (key, path), (other,) = next(iter(ours.items())), theirs.values()
        return Pairs((FilePair(key, path, other, key),))
    if not theirs.keys() & ours.keys():  # the folders may be laid out differently
        ours, theirs = _by_stem(ours, "--estimate"), _by_stem(theirs, "--reference")
    both = sorted(ours.keys() & theirs.keys())
    if not both:
        raise UsageError(
            f"No name is on both sides: {estimate} has {_some(ours)}, {reference} has {_some(theirs)}. "
            "Files pair by their names without the extension: `a.wav` with `a.flac`, not with `a_enhanced.wav`"
        )
    return Pairs(
        _clustered(FilePair(key, ours[key], theirs[key]) for key in both),
        tuple(sorted(theirs.keys() - ours.keys())),
        tuple(sorted(ours.keys() - theirs.keys())),
        tuple(skipped),
        "folders" if _folders(both) else "files",
    )


def with_speakers(found: Pairs, source: Path) -> Pairs:
    """Name the speaker of every pair from a table of two columns, id and speaker (CSV, TSV, or spaces between).

    Raises:
        UsageError: not readable, or a pair that it does not name.
    """
    table = read_table(source)
    named = [_known(table, pair.id) for pair in found.pairs]
    missing = [pair.id for pair, name in zip(found.pairs, named, strict=True) if name is None]
    if missing:
        raise UsageError(f"{source} names no speaker for {len(missing)} of {len(named)} files: {_some(missing)}")
    pairs = tuple(replace(pair, speaker=name or "") for pair, name in zip(found.pairs, named, strict=True))
    return replace(found, pairs=pairs, clusters=str(source))


def with_texts(found: Pairs, source: str) -> Pairs:
    """Give every pair its words; a pair without words keeps None.

    Args:
        source: a table of id and words; a folder of `.txt` or `.lab` files named alike; or `grid`, for names that spell
            GRID sentences (`bbaf2n`, or with a speaker before: `s1_bbaf2n`).

    Raises:
        UsageError: not there, or not a single pair has words in it.
    """
    if source == "grid":
        from benchmark.datasets.talkers.sentences import Sentence

        def words(key: str) -> str | None:
            try:
                return Sentence.parse(PurePosixPath(key).name.rpartition("_")[2]).text
            except UsageError:
                return None

    elif Path(source).is_dir():
        files, _ = _files(Path(source), lambda path: path.suffix.lower() in (".txt", ".lab"))
        texts = {key: path.read_text(encoding="utf-8", errors="replace").strip() for key, path in files}

        def words(key: str) -> str | None:
            return _known(texts, key)

    else:
        table = read_table(Path(source))

        def words(key: str) -> str | None:
            return _known(table, key)

    pairs = tuple(replace(pair, text=words(pair.id)) for pair in found.pairs)
    if all(pair.text is None for pair in pairs):
        raise UsageError(
            f"--texts {source} has words for none of {len(pairs)} files, such as {_some(p.id for p in pairs)}"
        )
    return replace(found, pairs=pairs)


def read_table(path: Path) -> dict[str, str]:
    """Two columns, an id and a value; separated by a comma (`.csv`), a tab, or the first space."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
    table: dict[str, str] = {}
    for row in _columns(path, lines):
        if len(row) >= 2:
            table[row[0].strip()] = row[1].strip()
    return table


def _columns(path: Path, lines: Sequence[str]) -> Iterable[list[str]]:
    if path.suffix.lower() == ".csv":
        return csv.reader(lines)
    return (line.split("\t" if "\t" in line else None, 1) for line in lines)


@dataclass(frozen=True)
class PairReader:
    """Opens one pair: both signals at one rate, and the estimate shifted where `align` asks for it."""

    pairs: Mapping[str, FilePair]
    align: bool = False

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

        return aligned_item(item) if self.align and getattr(metric, "paired", False) else item

    def signature(self, metric: object) -> str:
        """What the reader adds to a metric's signature."""
        return "|delay:corrected" if self.align and getattr(metric, "paired", False) else ""


def _listed(path: Path, option: str) -> tuple[dict[str, Path], list[str]]:
    """Id to file, and what was skipped."""
    if path.is_dir():
        found, skipped = _files(path, lambda file: is_audio(file) or is_video(file))
    elif not path.exists():
        raise UsageError(f"{option} {path}: no such file or folder")
    elif _single(path):
        return {path.stem: path}, []
    else:
        found, skipped = _from_list(path)
    double = [key for key, count in Counter(key for key, _ in found).items() if count > 1]
    if double:
        same = ", ".join(str(file) for key, file in found if key == double[0])
        raise UsageError(f"{option} {path}: {len(double)} names stand for several files, such as '{double[0]}': {same}")
    if not found:
        raise UsageError(
            f"{option} {path}: holds no sound file or video{f' ({len(skipped)} others)' if skipped else ''}"
        )
    return dict(sorted(found)), skipped


def _files(folder: Path, wanted: object) -> tuple[list[tuple[str, Path]], list[str]]:
    assert callable(wanted)
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
            if not _printable(str(file)):
                skipped.append(ascii(str(file)))
            elif wanted(file):
                found.append((file.relative_to(folder).with_suffix("").as_posix(), file))
            else:
                skipped.append(str(file))
    return found, skipped


def _printable(name: str) -> bool:
    """Whether a name is text: one that is not UTF-8 could be neither printed nor stored."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return name.isprintable()


def _from_list(path: Path) -> tuple[list[tuple[str, Path]], list[str]]:
    """Lines `path` or `id path` (`id,path` in a .csv).

    Paths are relative to the list's own folder, or to where the command runs.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path} is neither a sound file nor a list of them (text, one path per line): {type(error).__name__}"
        ) from error
    found, skipped = [], []
    for line in (line.strip() for line in lines):
        if not line or line.startswith("#"):
            continue
        row = next(csv.reader([line])) if path.suffix.lower() == ".csv" else []
        if len(row) >= 2:
            key, rest = row[0].strip(), row[1]
        else:
            key, _, rest = line.partition(" " if " " in line and not _sound(line) else "\t")
        file = Path(rest.strip() or line)
        if not _sound(str(file)):
            skipped.append(line)
            continue
        beside = file if file.is_absolute() or file.exists() else path.parent / file
        found.append((key if rest.strip() else file.with_suffix("").name, beside))
    return found, skipped


def _sound(text: str) -> bool:
    """A whole line that is one path, spaces in it included."""
    return (is_audio(text) or is_video(text)) and (Path(text).exists() or " " not in text)


def _single(path: Path) -> bool:
    return path.is_file() and (is_audio(path) or is_video(path))


def _by_stem(files: Mapping[str, Path], option: str) -> dict[str, Path]:
    stems = Counter(PurePosixPath(key).name for key in files)
    double = next((stem for stem, count in stems.items() if count > 1), None)
    if double is not None:
        same = ", ".join(str(path) for key, path in files.items() if PurePosixPath(key).name == double)
        raise UsageError(f"{option}: the folders differ and the name '{double}' alone is not unique: {same}")
    return {PurePosixPath(key).name: path for key, path in files.items()}


def _clustered(pairs: Iterable[FilePair]) -> tuple[FilePair, ...]:
    """Speakers by folder, where there are several with files in them; else every file for itself."""
    found = sorted(pairs, key=lambda pair: pair.id)
    by_folder = _folders([pair.id for pair in found])
    return tuple(replace(pair, speaker=pair.id.partition("/")[0] if by_folder else pair.id) for pair in found)


def _folders(keys: Sequence[str]) -> bool:
    return all("/" in key for key in keys) and len({key.partition("/")[0] for key in keys}) > 1


def _known(table: Mapping[str, str], key: str) -> str | None:
    """By the whole id, its last part, or that with any suffix that the table wrote."""
    name = PurePosixPath(key).name
    return next((table[k] for k in (key, name, f"{key}.wav", f"{name}.wav") if k in table), None)


def _some(names: Iterable[str]) -> str:
    shown = [name for name, _ in zip(names, range(3), strict=False)]
    return ", ".join(f"'{name}'" for name in shown) + ", ..."
