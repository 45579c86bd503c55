"""What a table says of those whose files are scored: who they are, their sex and age, and whatever else it holds."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.datasets.names import same
from benchmark.datasets.tables import OF_PEOPLE, FileTable, file_table, head_of, read_file_table, read_table
from benchmark.errors import MissingDataset, UsageError
from benchmark.pairs.listing import quoted
from benchmark.text_files import read_text

Attributes = Mapping[str, Any]
EXPECTED = (
    "expected `person,sex,age` with a row for each person, or `id,person,sex,age` with a row for each file; further "
    "columns are kept, to group by"
)


@dataclass(frozen=True)
class People:
    """A table of people, or of files and whose they are."""

    path: Path
    files: FileTable | None
    """Whose each file is; None where the table has a row for each person."""
    people: Mapping[str, Attributes]
    """Person to what the table says: `sex` ("f" or "m"), `age` in years, other columns as numbers or text."""
    rows: FileTable | None = None
    """What the table says of each file, as JSON; None where it has a row for each person, or nothing further."""
    notes: tuple[str, ...] = ()
    """Cells that are not used, and why."""

    def about(self, person: str) -> Attributes:
        """What is known of a person."""
        return self.people.get(same(person), {})

    def of(self, person: str, file: str) -> Attributes:
        """What is known of a file and of who is in it."""
        own = self.rows.find(file) if self.rows is not None else None
        return {**self.about(person), **json.loads(own or "{}")}

    def told(self, people: Iterable[str]) -> list[str]:
        """Whom the table names and nobody knows, and the other way round."""
        if self.files is not None:
            return []
        known = {same(person): person for person in people}
        notes = []
        if strangers := [person for person in self.people if person not in known]:
            notes.append(f"{len(strangers)} people of {self.path} are none of those here: {quoted(strangers)}")
        if lacking := [person for key, person in known.items() if key not in self.people]:
            notes.append(f"{self.path} has no row for {len(lacking)} of {len(known)} people: {quoted(lacking)}")
        return notes


def read_people(path: Path) -> People:
    """Read a table with a row for each person (`person,sex,age`) or each file (`id,person,...`), or `id person` lines.

    A cell that cannot be used is told in `notes`; the rest of its row counts.

    Raises:
        UsageError: not readable, not UTF-8, or not such a table.
    """
    first_line = next((line for line in read_text(path).splitlines() if line.strip()), "")
    header = [cell.strip(' "') for cell in re.split(r"[\t;,]", first_line)]
    kinds = [head_of(cell, ("speaker", "id")) for cell in header]
    if "speaker" not in kinds:
        if any(cell.strip().lower() in OF_PEOPLE for cell in header):
            raise UsageError(f"{path} has no column called person (its header: {', '.join(header)}); {EXPECTED}")
        return People(path, read_file_table(path, "speaker"), {})
    by_file = "id" in kinds
    files = read_file_table(path, "speaker") if by_file else None
    try:
        rows = read_table(path, ())
    except MissingDataset as error:
        raise UsageError(str(error)) from error
    if not rows:
        raise UsageError(f"{path} has a header and no row; {EXPECTED}")
    heads = [name for name in rows[0] if name != "line"]
    who = next(name for name in heads if head_of(name, ("speaker",)))
    key = next((name for name in heads if by_file and head_of(name, ("id",))), None)
    columns = [name for name in heads if name not in (who, key)]
    people: dict[str, dict[str, Any]] = {}
    first: dict[tuple[str, str], str] = {}
    stated: list[tuple[int, str, str]] = []
    notes: list[str] = []
    for row in rows:
        person, where = same(row[who]), f"{path}, line {row['line']}"
        if not person:
            notes.append(f"{where}: no person in this row")
            continue
        if person in people and not by_file:
            notes.append(f"{where}: '{person}' again; the first line counts")
            continue
        about = _read(row, columns, where, notes)
        known = people.setdefault(person, {})
        for name, value in about.items():
            if by_file and name not in OF_PEOPLE:
                continue  # of the file, not of the person
            if known.setdefault(name, value) != value:
                notes.append(
                    f"{where}: {name} {row[name]!r} of '{person}', and line {first[person, name]} says "
                    f"{known[name]!r}; the first line counts"
                )
                about[name] = known[name]
            first.setdefault((person, name), row["line"])
        if key is not None:
            stated.append((int(row["line"]), row[key], json.dumps(about, sort_keys=True)))
    return People(path, files, people, file_table(path, stated) if stated else None, tuple(notes))


def _read(row: Mapping[str, str], columns: Iterable[str], where: str, notes: list[str]) -> dict[str, Any]:
    """The cells of a row that can be used."""
    about: dict[str, Any] = {}
    for name in columns:
        text, kind = row[name], name.strip().lower()
        if not text or not name:
            continue
        if kind in OF_PEOPLE:
            read, expected = OF_PEOPLE[kind]
            if (value := read(text)) is None:
                notes.append(f"{where}: {kind} {text!r} is not used; expected {expected}")
            else:
                about[kind] = value
        else:
            about[name] = _number(text)
    return about


def _number(text: str) -> float | str:
    try:
        value = float(text)
    except ValueError:
        return text
    return value if math.isfinite(value) else text
