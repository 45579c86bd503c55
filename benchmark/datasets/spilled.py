"""A dict that lies in a temporary file: a corpus may have a million files, and the memory of an index stays flat."""

from __future__ import annotations

import contextlib
import sqlite3
import weakref
from collections.abc import ItemsView, Iterator, MutableMapping, ValuesView
from typing import Generic, TypeVar, cast

from benchmark.errors import MissingDataset

_CACHE_KIB = 512
"""Of a file's pages, in memory."""
PAGE = 500
"""Rows that are read or written together."""

Value = TypeVar("Value", bound="str | float")


def scratch() -> sqlite3.Connection:
    """A database for this process alone: in memory while it is small, else in a file that goes with the connection."""
    # whoever holds it last closes it, in whatever thread that is; two at once never use it
    database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    database.execute("PRAGMA journal_mode = OFF")
    database.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    database.execute("BEGIN")  # never ended: nothing of it is to last
    return database


@contextlib.contextmanager
def room(failure: type[sqlite3.OperationalError | OSError] = sqlite3.OperationalError) -> Iterator[None]:
    """Say what to do where temporary files cannot be written.

    Args:
        failure: what says so. OSError where nothing but a temporary file is read or written within.

    Raises:
        MissingDataset: there is no room for them, or no folder.
    """
    try:
        yield
    except failure as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise MissingDataset(
            f"An index needs a temporary file, and it cannot be written ({why}): set TMPDIR to a folder that can be "
            "written and has room"
        ) from error


class Spilled(MutableMapping[str, Value], Generic[Value]):
    """Text to text or numbers, in order of insertion as a dict; it may be changed while it is gone through."""

    def __init__(self) -> None:
        self._table = scratch()
        self._table.execute("CREATE TABLE pairs (place INTEGER PRIMARY KEY, key TEXT UNIQUE, value)")
        self._offered: list[tuple[str, Value]] = []
        weakref.finalize(self, self._table.close)

    def offer(self, key: str, value: Value) -> None:
        """Keep the value if there is none for this key."""
        self._offered.append((key, value))
        if len(self._offered) == PAGE:
            self._write()

    def in_order(self) -> Iterator[tuple[str, Value]]:
        """Keys and values in order of key."""
        last = ""  # an empty key is no name of a file, and `>` would pass it over
        while page := self._found(
            "SELECT key, value FROM pairs WHERE key > ? ORDER BY key LIMIT ?", (last, PAGE)
        ).fetchall():
            yield from page
            last = page[-1][0]

    def __getitem__(self, key: str) -> Value:
        row = self._found("SELECT value FROM pairs WHERE key = ?", (key,)).fetchone()
        if row is None:
            raise KeyError(key)
        return cast(Value, row[0])

    def __setitem__(self, key: str, value: Value) -> None:
        self._found(
            "INSERT INTO pairs (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            (key, value),
        )

    def __delitem__(self, key: str) -> None:
        if not self._found("DELETE FROM pairs WHERE key = ?", (key,)).rowcount:
            raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return (key for key, _ in self.items())

    def __len__(self) -> int:
        count: int = self._found("SELECT COUNT(*) FROM pairs").fetchone()[0]
        return count

    def __bool__(self) -> bool:
        return self._found("SELECT 1 FROM pairs LIMIT 1").fetchone() is not None

    def items(self) -> ItemsView[str, Value]:
        return _Items(self)

    def values(self) -> ValuesView[Value]:
        return _Values(self)

    def _pairs(self) -> Iterator[tuple[str, Value]]:
        last = 0
        while page := self._found(
            "SELECT place, key, value FROM pairs WHERE place > ? ORDER BY place LIMIT ?", (last, PAGE)
        ).fetchall():
            for _, key, value in page:
                yield key, value
            last = page[-1][0]

    def _found(self, query: str, about: tuple[object, ...] = ()) -> sqlite3.Cursor:
        if self._offered:
            self._write()
        return self._table.execute(query, about)

    def _write(self) -> None:
        self._table.executemany("INSERT OR IGNORE INTO pairs (key, value) VALUES (?, ?)", self._offered)
        self._offered.clear()


class _Items(ItemsView[str, Value]):
    """In pages, where a view of its own would look up each key."""

    _mapping: Spilled[Value]

    def __iter__(self) -> Iterator[tuple[str, Value]]:
        return self._mapping._pairs()


class _Values(ValuesView[Value]):
    _mapping: Spilled[Value]

    def __iter__(self) -> Iterator[Value]:
        return (value for _, value in self._mapping._pairs())
