"""Read the csv files that come with a corpus."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from benchmark.errors import MissingDataset


def read_table(path: Path, columns: Sequence[str], delimiter: str | None = None) -> list[dict[str, str]]:
    """The rows of a csv file as dicts of stripped text, with the line number under `line`.

    Args:
        columns: those that must be there; others are kept too.
        delimiter: None takes whichever of tab, semicolon and comma the header holds.

    Raises:
        MissingDataset: no such file, not text, or without one of the columns.
    """
    shown = delimiter or ","
    expected = f"expected a text file with the header: {('<TAB>' if shown == chr(9) else shown).join(columns)}"
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise MissingDataset(f"{path} is missing; {expected}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise MissingDataset(f"{path} cannot be read ({error}); {expected}") from error
    lines = text.split("\n")
    if delimiter is None:
        delimiter = next((mark for mark in "\t;," if mark in lines[0]), ",")
    try:
        rows = list(csv.reader(lines, delimiter=delimiter, skipinitialspace=True))
    except csv.Error as error:
        raise MissingDataset(f"{path} is not a csv file ({error}); {expected}") from error
    header = [name.strip() for name in rows[0]] if rows else []
    lacking = [name for name in columns if name not in header]
    if lacking:
        raise MissingDataset(f"{path} has no column '{lacking[0]}' (its header: {', '.join(header)!r}); {expected}")
    return [
        {name: row[index].strip() if index < len(row) else "" for index, name in enumerate(header)}
        | {"line": str(number)}
        for number, row in enumerate(rows[1:], start=2)
        if any(cell.strip() for cell in row)
    ]


def sex_of(text: str) -> str | None:
    """ "f" or "m" from the ways in which tables write it; None for anything else."""
    return {"f": "f", "female": "f", "m": "m", "male": "m"}.get(text.strip().lower())
