"""Read tables of text: those that come with a corpus, and those that say something of every file.

A `.csv` file has cells between commas (or tabs, semicolons, bars), in quotes where they hold a comma or a line break.
Any other file has a line per row: cells between tabs, or an id and the rest of the line after the first space.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from benchmark.datasets.names import readable
from benchmark.errors import MissingDataset, UsageError
from benchmark.media import is_audio, is_image, is_video
from benchmark.text_files import BLANK, read_lines, read_text

_MARKS = "\t|;,"
_HEADS = {
    "id": (
        *("id", "uttid", "utteranceid", "utterance", "key", "file", "filename", "path", "name", "clip", "audio"),
        *("image", "picture", "person"),
    ),
    "text": ("text", "words", "sentence", "transcript", "transcription"),
    "speaker": ("speaker", "speakerid", "spk", "spkid", "person", "identity", "clientid"),
    "file": (
        *("path", "file", "filename", "filepath", "wav", "audio", "recording", "estimate", "reference"),
        *("image", "picture"),
    ),
}
"""Names of columns, in lower case and without spaces and dashes."""


class Row(NamedTuple):
    """One row of a table."""

    line: int
    """Where it begins."""
    cells: list[str]


def read_table(path: Path, columns: Sequence[str], delimiter: str | None = None) -> list[dict[str, str]]:
    """The rows of a corpus's csv file as dicts of stripped text, with the line number under `line`.

    Args:
        columns: those that must be there; others are kept too.
        delimiter: None takes whichever of tab, semicolon and comma makes these columns of the header.

    Raises:
        MissingDataset: no such file, not UTF-8, not a table, without one of the columns, or with a row of more cells
            than the header has.
    """
    shown = delimiter or ","
    expected = f"expected a text file with the header: {('<TAB>' if shown == chr(9) else shown).join(columns)}"
    if not path.exists():
        raise MissingDataset(f"{path} is missing; {expected}")
    try:
        tables, problem = _parsed(path, read_text(path), delimiter or "\t;,")
        rows = next((rows for rows in tables if rows and not set(columns) - set(rows[0].cells)), None)
        if rows is None and problem:
            raise problem
    except UsageError as error:
        raise MissingDataset(f"{error}; {expected}") from error
    rows = tables[0] if rows is None else rows
    header = rows[0].cells if rows else []
    lacking = [name for name in columns if name not in header]
    if lacking:
        raise MissingDataset(f"{path} has no column '{lacking[0]}' (its header: {', '.join(header)!r}); {expected}")
    for row in rows:
        if any(row.cells[len(header) :]):
            raise MissingDataset(f"{path}, line {row.line}: {_counted(row, len(header))}")
    return [
        {name: row.cells[index] if index < len(row.cells) else "" for index, name in enumerate(header)}
        | {"line": str(row.line)}
        for row in rows[1:]
    ]


def sex_of(text: str) -> str | None:
    """ "f" or "m" from the ways in which tables write it; None for anything else."""
    return {"f": "f", "female": "f", "m": "m", "male": "m"}.get(text.strip().lower())


def age_of(text: str) -> float | None:
    """Years, above 0 and up to 120; None for anything else."""
    try:
        age = float(text)
    except ValueError:
        return None
    return age if 0 < age <= 120 else None


OF_PEOPLE: dict[str, tuple[Callable[[str], Any], str]] = {
    "sex": (sex_of, "f, m, female or male"),
    "age": (age_of, "years, above 0 and up to 120"),
}
"""Columns that say something of a person: what reads a cell, None where it cannot, and what it expects."""


def head_of(cell: str, kinds: Iterable[str] = ("id", "text", "speaker", "file")) -> str | None:
    """Which of these a column is by its name: `Speaker ID` is `speaker`; None where it is none of them."""
    name = _plain(cell)
    return next((kind for kind in kinds if name in _HEADS[kind]), None)


def _plain(cell: str) -> str:
    return re.sub(r"[\s_-]", "", cell.lower())


# -- what a table says of every file ---------------------------------------------------------------------------------


class Stated(NamedTuple):
    """What one row says of one file."""

    line: int
    value: str


@dataclass(frozen=True)
class FileTable:
    """What a table says of files, by their names without suffix."""

    path: Path
    rows: Mapping[str, Stated]

    def find(self, name: str) -> str | None:
        """What is said of a file: by its whole name, else by its last part, else by the end of a longer path.

        Raises:
            UsageError: several rows could be meant, and say different things.
        """
        key = file_key(name)
        for known in (key, PurePosixPath(key).name):
            if known in self.rows:
                return self.rows[known].value
        ending = [self.rows[longer] for longer in self._by_last_part.get(PurePosixPath(key).name, ())]
        if len({row.value for row in ending}) > 1:
            raise UsageError(
                f"{self.path}: several rows could be meant by '{name}', with different values: "
                f"{', '.join(self._by_last_part[PurePosixPath(key).name][:3])}"
            )
        return ending[0].value if ending else None

    def strangers(self, names: Iterable[str]) -> list[str]:
        """What the table names and is none of these files."""
        lasts = {PurePosixPath(file_key(name)).name for name in names}
        return [key for key in self.rows if PurePosixPath(key).name not in lasts]

    @cached_property
    def _by_last_part(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for key in self.rows:
            if "/" in key:
                found.setdefault(PurePosixPath(key).name, []).append(key)
        return found


def file_key(name: str) -> str:
    """The form in which a file's name and what a table writes for it are equal: without the suffix of a medium.

    >>> file_key("a/b.flac"), file_key("a/b.c")
    ('a/b', 'a/b.c')
    """
    name = readable(name.strip(BLANK))
    return name.rpartition(".")[0] if is_audio(name) or is_video(name) or is_image(name) else name


def file_table(path: Path, stated: Iterable[tuple[int, str, str]]) -> FileTable:
    """A table of (line, name, value); a name that comes twice must come with the same value.

    Raises:
        UsageError: a row without a name, or one name with two values.
    """
    rows: dict[str, Stated] = {}
    for line, name, value in stated:
        key = file_key(name)
        if not key:
            raise UsageError(f"{path}, line {line}: no name of a file in this row")
        known = rows.setdefault(key, Stated(line, value))
        if known.value != value:
            lines = f"lines {known.line} and {line}: " if line else ""
            raise UsageError(f"{path}: {lines}'{key}' is there twice, with different values; which one counts?")
    return FileTable(path, rows)


def lrs3_words(text: str) -> str | None:
    """The words of a transcript of LRS3, whose first line is `Text:  WORDS`; None where it is something else."""
    head, _, words = text.partition("\n")[0].partition(":")
    return " ".join(words.split()) or None if head.strip() == "Text" else None


def read_file_table(path: Path, what: str) -> FileTable:
    """Read a table of two columns, the id of a file and `what` (`text` or `speaker`).

    Further columns need a first row with the names of all. Nothing is guessed: a row that has another number of cells,
    such as one with a comma in words that are not in quotes, is an error.

    Raises:
        UsageError: not readable, not UTF-8, or not such a table; the message names the line.
    """
    return file_table(path, ((row.line, *row.cells) for row in two_columns(path, what)))


def two_columns(path: Path, what: str) -> list[Row]:
    """The rows of a table, each with an id and `what`, which is `text`, `speaker` or `file`.

    Raises:
        UsageError: as `read_file_table`.
    """
    if path.suffix.lower() == ".csv":
        parsed, problem = _parsed(path, read_text(path), _MARKS)
        for rows in parsed:
            if (chosen := _named_columns(path, rows, what)) is not None:
                return chosen
        plain = next((rows for rows in parsed if all(len(row.cells) == 2 for row in rows)), None)
        if plain is not None:
            return plain
        if problem and not any(len(rows[0].cells) > 1 for rows in parsed):
            raise problem
        return _of_two(path, parsed[0], what)
    lines = _numbered(read_lines(path))
    if not any("\t" in line for _, line in lines):
        split = [(number, re.split(" +", line.strip(BLANK), maxsplit=1)) for number, line in lines]
        return [Row(number, [*cells, ""][:2]) for number, cells in split]
    for number, line in lines:
        if "\t" not in line:
            raise UsageError(f"{path}, line {number}: no tab, and other lines have one; expected id<TAB>{what}")
    rows = _between(lines, "\t")
    named = _named_columns(path, rows, what)
    return _of_two(path, rows, what) if named is None else named


def _parsed(path: Path, text: str, marks: str) -> tuple[list[list[Row]], UsageError | None]:
    """A csv file read with each of these marks that its first line holds, and what was wrong with the first that fails.

    A comma may be in words, too: the mark that comes first in the line, behind an id or a head, is tried first.
    """
    first = text.lstrip("\r\n").partition("\n")[0]
    parsed, problem = [], None
    for mark in sorted((mark for mark in marks if mark in first), key=first.index) or [marks[-1]]:
        try:
            parsed.append(_between(_numbered(text.split("\n")), mark) if mark == "|" else _quoted(path, text, mark))
        except UsageError as error:
            problem = problem or error
    return parsed, problem


def _numbered(lines: Iterable[str]) -> list[tuple[int, str]]:
    """Lines with their numbers, without the empty ones."""
    return [(number, line) for number, line in enumerate(lines, 1) if line.strip(BLANK)]


def _quoted(path: Path, text: str, mark: str) -> list[Row]:
    """Rows of cells that may stand in quotes; rows without anything in them are left out."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark, skipinitialspace=True, strict=True)
    rows, begins = [], 1
    try:
        for cells in reader:
            cells = [cell.strip(BLANK) for cell in cells]
            if any(cells):
                rows.append(Row(begins, cells))
            begins = reader.line_num + 1
    except csv.Error as error:
        raise UsageError(f"{path}, line {begins}: not a row of a csv file ({error})") from error
    return rows


def _between(lines: Iterable[tuple[int, str]], mark: str) -> list[Row]:
    """Rows of cells in which a quote is a letter like any other."""
    return [Row(number, [cell.strip(BLANK) for cell in line.split(mark)]) for number, line in lines]


def _named_columns(path: Path, rows: Sequence[Row], what: str) -> list[Row] | None:
    """An id and `what` from columns with these names; None where the first row doesn't name both."""
    heads = [_plain(cell) for cell in rows[0].cells] if rows else []
    value = next((name for name in _HEADS[what] if name in heads), None)
    key = next((name for name in _HEADS["id"] if name in heads and name != value), None)
    if key is None or value is None:
        other = next((kind for kind in ("text", "speaker") if kind != what and set(_HEADS[kind]) & set(heads)), None)
        if key is not None and other is not None and len(heads) == 2:  # a table of something else
            called, line = " and ".join(rows[0].cells), rows[0].line
            raise UsageError(f"{path}, line {line}: its columns are called {called}; expected one called {what}")
        return None
    places = []
    for name in (key, value):
        if heads.count(name) > 1:
            raise UsageError(f"{path}, line {rows[0].line}: two columns are called '{name}'")
        places.append(heads.index(name))
    chosen = []
    for row in rows[1:]:
        if len(row.cells) < len(heads) or any(row.cells[len(heads) :]):
            raise UsageError(f"{path}, line {row.line}: {_counted(row, len(heads))}")
        chosen.append(Row(row.line, [row.cells[place] for place in places]))
    return chosen


def _of_two(path: Path, rows: Sequence[Row], what: str) -> list[Row]:
    """Rows as they are, where each has two cells."""
    for row in rows:
        if len(row.cells) != 2:
            raise UsageError(
                f"{path}, line {row.line}: {len(row.cells)} cells, expected an id and a {what}. With further columns, "
                f"name them all in a first row (id, {what}, ...); put words that hold a comma in quotes"
            )
    return list(rows)


def _counted(row: Row, expected: int) -> str:
    return (
        f"{len(row.cells)} cells, and the header has {expected}; put what holds a separator or a line break in quotes"
    )
