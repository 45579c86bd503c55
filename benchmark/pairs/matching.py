"""Files to compare: which estimate belongs to which reference, who speaks in it, and what is said.

Names pair by their stem, in one Unicode normal form. What pairs with nothing is told, on both sides; nothing is ever
paired by position.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from benchmark.datasets.tables import FileTable, file_table, lrs3_words, read_file_table
from benchmark.errors import MediaError, UsageError
from benchmark.media import read_audio
from benchmark.pairs.listing import SPEECH, by_stem, files_below, is_single, listed, quoted
from benchmark.pairs.people import read_people
from benchmark.runs.directory import Prediction, content_hash
from benchmark.text_files import read_text

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
    attributes: Mapping[str, Any] = field(default_factory=dict)
    """What else is known of it, to group by: `sex`, `age` and others."""

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
    """Files of another kind, by name."""
    notes: tuple[str, ...] = ()
    """What else the reader should know."""
    clusters: str = "files"
    """What a speaker is taken to be: `files`, `folders`, `people`, or the file that says so."""

    def version(self, pair: FilePair) -> str:
        """Of one pair; changes with whatever its scores depend on."""
        return pair.version()


def find_pairs(estimate: Path, reference: Path | None = None) -> Pairs:
    """Pair two folders, two files, or two lists.

    Args:
        estimate, reference: a sound file or video; a folder (searched to the bottom); or a text file that lists one
            path per line, or an id and a path. Without a reference each estimate stands alone. A line of a list that
            names no file stays: it is a pair that cannot be read.

    Raises:
        UsageError: a path that is not there, nothing to score, no name in common, or one name for several files.
    """
    ours = listed(estimate, "--estimate", SPEECH)
    if reference is None:
        clusters = "folders" if in_folders(list(ours.files)) else "files"
        pairs = clustered(FilePair(key, path) for key, path in ours.files.items())
        return Pairs(pairs, skipped=ours.skipped, clusters=clusters, notes=ours.notes)
    theirs = listed(reference, "--reference", SPEECH)
    if is_single(estimate) and is_single(reference):
        (key, path), (other,) = next(iter(ours.files.items())), theirs.files.values()
        return Pairs((FilePair(key, path, other, key),))
    if not theirs.files.keys() & ours.files.keys():  # the folders may be laid out differently
        ours, theirs = by_stem(ours, "--estimate"), by_stem(theirs, "--reference")
    both = ours.files.keys() & theirs.files.keys()
    if not both:
        raise UsageError(
            f"No name is on both sides: {estimate} has {quoted(ours.files)}, {reference} has {quoted(theirs.files)}. "
            "Files pair by their names without the extension: `a.wav` with `a.flac`, not with `a_enhanced.wav`"
        )
    both |= ours.lost
    return Pairs(
        clustered(FilePair(key, ours.files[key], theirs.files.get(key)) for key in both),
        tuple(sorted(theirs.files.keys() - ours.files.keys())),
        tuple(sorted(ours.files.keys() - both)),
        ours.skipped + theirs.skipped,
        ours.notes + theirs.notes,
        "folders" if in_folders(list(both)) else "files",
    )


def with_speakers(found: Pairs, source: Path) -> Pairs:
    """Name the speaker of every pair, where the table has a row for each file, and take what else it says.

    Args:
        source: see `read_people`.

    Raises:
        UsageError: not readable, or a pair that it does not name.
    """
    table = read_people(source)
    pairs, clusters = found.pairs, found.clusters
    if table.files is not None:
        named = whose(table.files, [pair.id for pair in pairs])
        pairs = tuple(replace(pair, speaker=name) for pair, name in zip(pairs, named, strict=True))
        clusters = str(source)
    pairs = tuple(replace(pair, attributes=table.of(pair.speaker, pair.id)) for pair in pairs)
    notes = (*found.notes, *table.notes, *table.told(pair.speaker for pair in pairs))
    return replace(found, pairs=pairs, clusters=clusters, notes=notes)


def whose(table: FileTable, ids: Sequence[str]) -> list[str]:
    """Who each file is of.

    Raises:
        UsageError: a file that the table does not name.
    """
    named = [table.find(key) for key in ids]
    missing = [key for key, name in zip(ids, named, strict=True) if not name]
    if missing:
        raise UsageError(f"{table.path} names no speaker for {len(missing)} of {len(named)} files: {quoted(missing)}")
    return [name or "" for name in named]


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
            notes += (f"{len(strangers)} texts of {source} are of none of these files: {quoted(strangers)}",)
    pairs = tuple(replace(pair, text=words(pair.id) or None) for pair in found.pairs)
    if all(pair.text is None for pair in pairs):
        raise UsageError(
            f"--texts {source} has words for none of {len(pairs)} files, such as {quoted(p.id for p in pairs)}"
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
    files, _ = files_below(folder, lambda path: path.suffix.lower() in (".txt", ".lab"))
    texts = ((key, read_text(path).strip()) for key, path, *_ in files)
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


def clustered(pairs: Iterable[FilePair]) -> tuple[FilePair, ...]:
    """Sorted; speakers by folder, where there are several with files in them, else every file for itself."""
    found = sorted(pairs, key=lambda pair: pair.id)
    by_folder = in_folders([pair.id for pair in found])
    return tuple(replace(pair, speaker=pair.id.partition("/")[0] if by_folder else pair.id) for pair in found)


def in_folders(keys: Sequence[str]) -> bool:
    return all("/" in key for key in keys) and len({key.partition("/")[0] for key in keys}) > 1
