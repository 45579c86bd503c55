"""The utterances of a split: what was said by whom, with the video that goes with it, and how they are found."""

from __future__ import annotations

import itertools
import json
import sqlite3
import weakref
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, overload

import numpy as np

from benchmark.datasets.names import same
from benchmark.datasets.spilled import PAGE, scratch


@dataclass(frozen=True, slots=True)
class Utterance:
    """One recording of a person, with the video that goes with it; paths relative to the dataset's root."""

    id: str
    speaker: str
    speech: str
    video: str | None
    """None of a recording that is to be heard alone."""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    """Kept in the row: `text`, `sex`, `framing` ..."""
    clean: str | None = None
    """The clean speech of a recording that is noisy as it is; looked at by `as_recorded_rows` alone."""


_KEPT = 4000
"""Utterances that are kept in memory, those that were drawn last."""
_FIELDS = "id, speaker, speech, video, attributes, clean"


class Utterances(Sequence[Utterance]):
    """Utterances in order of id. They lie in a temporary file, so that a million of them take no memory."""

    def __init__(self, named: Iterable[tuple[str, Utterance]]) -> None:
        """
        Args:
            named: each with the name by which a list of pairs would know it.
        """
        self._table = scratch()
        weakref.finalize(self, self._table.close)
        self._table.execute(f"CREATE TABLE spoken (place INTEGER PRIMARY KEY, {_FIELDS}, name)")
        self._table.executemany(
            f"INSERT INTO spoken ({_FIELDS}, name) VALUES (?, ?, ?, ?, ?, ?, ?)", self._records(named)
        )
        if not self._in_order:
            self._table.execute("ALTER TABLE spoken RENAME TO unsorted")
            self._table.execute(f"CREATE TABLE spoken (place INTEGER PRIMARY KEY, {_FIELDS}, name)")
            fields = f"{_FIELDS}, name"
            self._table.execute(f"INSERT INTO spoken ({fields}) SELECT {fields} FROM unsorted ORDER BY id, place")
            self._table.execute("DROP TABLE unsorted")
        self._at = _reader(self._table)
        self._count: int = self._table.execute("SELECT COUNT(*) FROM spoken").fetchone()[0]
        self._indexed: set[str] = set()

    @classmethod
    def of(cls, utterances: Iterable[Utterance]) -> Utterances:
        """Utterances in order of id; those that are so already, as they are."""
        if isinstance(utterances, Utterances):
            return utterances
        return cls((one.id, one) for one in utterances)

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Utterance: ...
    @overload
    def __getitem__(self, index: slice) -> list[Utterance]: ...
    def __getitem__(self, index: int | slice) -> Utterance | list[Utterance]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(self._count))]
        return self._at(range(self._count)[index] + 1)

    def __iter__(self) -> Iterator[Utterance]:
        return (utterance for _, utterance in self.named())

    def named(self) -> Iterator[tuple[str, Utterance]]:
        """Names and utterances."""
        for first in range(0, self._count, PAGE):
            for name, *row in self._table.execute(
                f"SELECT name, {_FIELDS} FROM spoken WHERE place > ? ORDER BY place LIMIT ?", (first, PAGE)
            ).fetchall():
                yield name, _utterance(row)

    def by(self, key: str, value: str) -> Utterance | None:
        """The last utterance with this `name` or `speech`."""
        self._index(key)
        query = f"SELECT {_FIELDS} FROM spoken WHERE {key} = ? ORDER BY place DESC LIMIT 1"
        try:
            row = self._table.execute(query, (value,)).fetchone()
        except UnicodeEncodeError:  # half a character, from a list: no file here has such a name
            return None
        return _utterance(row) if row else None

    def sibling(self, own: Utterance, random: np.random.Generator) -> Utterance | None:
        """Another recording of the speaker, drawn; None where there is none."""
        same_file = self._ranked(
            "SELECT rank FROM ranks WHERE speaker = ? AND speech = ? ORDER BY rank", own, own.speech
        )
        count = self._spoken_by(own) - len(same_file)
        if not count:
            return None
        rank = 1 + int(random.integers(count))
        for (passed_over,) in same_file:
            rank += passed_over <= rank
        return self._at(self._place(own, rank))

    def stranger(self, own: Utterance, random: np.random.Generator) -> Utterance | None:
        """An utterance of somebody else, drawn; None where there is nobody."""
        mine = self._spoken_by(own)
        if mine == self._count:
            return None
        rank = 1 + int(random.integers(self._count - mine))
        # so many of other people come before each of the speaker's own; found by halves, where a scan would take long
        before = bisect_left(range(1, mine + 1), rank, key=lambda own_rank: self._place(own, own_rank) - own_rank)
        return self._at(before + rank)

    def of_several(self) -> bool:
        """Whether more than one person speaks."""
        low, high = self._table.execute("SELECT MIN(speaker), MAX(speaker) FROM spoken").fetchone()
        return bool(low != high)

    def by_speaker(self) -> Iterator[tuple[str, list[Utterance]]]:
        """Each speaker, in order of name, with all utterances."""
        rows = self._table.execute(f"SELECT {_FIELDS} FROM spoken ORDER BY speaker, place")
        for speaker, own in itertools.groupby(map(_utterance, rows), key=lambda one: one.speaker):
            yield speaker, list(own)

    def _records(self, named: Iterable[tuple[str, Utterance]]) -> Iterator[tuple[str | None, ...]]:
        last, self._in_order = "", True
        for name, one in named:
            self._in_order &= last <= one.id
            last = one.id
            about = json.dumps(dict(one.attributes)) if one.attributes else None
            yield one.id, one.speaker, one.speech, one.video, about, one.clean, same(name)

    def _spoken_by(self, own: Utterance) -> int:
        """How many utterances the speaker has."""
        last = self._ranked("SELECT rank FROM ranks WHERE speaker = ? ORDER BY rank DESC LIMIT 1", own)
        return int(last[0][0]) if last else 0

    def _place(self, own: Utterance, rank: int) -> int:
        """Where an utterance of the speaker is, counted from 1 in both."""
        return int(self._ranked("SELECT place FROM ranks WHERE speaker = ? AND rank = ?", own, rank)[0][0])

    def _ranked(self, query: str, own: Utterance, *about: str | int) -> list[tuple[int]]:
        """What is found in the table of each speaker's utterances, numbered in order of place."""
        if "ranks" not in self._indexed:
            self._table.execute(
                "CREATE TABLE ranks (speaker, rank, place, speech, PRIMARY KEY (speaker, rank)) WITHOUT ROWID"
            )
            numbered = "ROW_NUMBER() OVER (PARTITION BY speaker ORDER BY place)"
            self._table.execute(f"INSERT INTO ranks SELECT speaker, {numbered}, place, speech FROM spoken")
            self._table.execute("CREATE INDEX ranks_of_files ON ranks (speaker, speech)")
            self._indexed.add("ranks")
        return self._table.execute(query, (own.speaker, *about)).fetchall()

    def _index(self, key: str) -> None:
        if key not in self._indexed:
            self._table.execute(f"CREATE INDEX by_{key} ON spoken ({key})")
            self._indexed.add(key)


def _reader(table: sqlite3.Connection) -> Callable[[int], Utterance]:
    """What reads the utterance at a place, counted from 1; those of a small split stay in memory."""

    @lru_cache(_KEPT)
    def read(place: int) -> Utterance:
        return _utterance(table.execute(f"SELECT {_FIELDS} FROM spoken WHERE place = ?", (place,)).fetchone())

    return read


def _utterance(row: Sequence[Any]) -> Utterance:
    key, speaker, speech, video, about, clean = row
    return Utterance(key, speaker, speech, video, json.loads(about) if about else {}, clean)
