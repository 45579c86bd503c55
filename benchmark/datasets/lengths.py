"""How long recordings are, remembered from one index of a corpus to the next.

To tell the length of a video's sound takes a thousandth of a second and more, and a corpus has a hundred thousand of
them. What was found is kept beside the manifests, for as long as a file's size and times stay what they are.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from benchmark.errors import MissingDataset

_WAIT_S = 60.0
"""Other processes may be at the same corpus."""


def stamp(path: Path) -> str:
    """What changes whenever a file does: its size, and when its content and its entry in the folder were changed.

    Raises:
        OSError: no such file, or not ours to look at.
    """
    status = os.stat(path)
    return f"{status.st_size}-{status.st_mtime_ns}-{status.st_ctime_ns}"


class Lengths:
    """Seconds of files by their names relative to a root, in one file of SQLite."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def known(self, stamps: Mapping[str, str]) -> dict[str, float]:
        """What is known of files that are as they were.

        Args:
            stamps: file to its present stamp.
        """
        if not self._path.is_file():
            return {}
        found: dict[str, float] = {}
        with self._open() as table:
            for file, was in stamps.items():
                row = table.execute("SELECT stamp, seconds FROM lengths WHERE file = ?", (file,)).fetchone()
                if row and row[0] == was:
                    found[file] = row[1]
        return found

    def keep(self, rows: Iterable[tuple[str, str, float]]) -> None:
        """Remember files, each with its stamp and seconds."""
        with self._open() as table:
            table.executemany("INSERT OR REPLACE INTO lengths VALUES (?, ?, ?)", rows)

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """The table, committed at the end; a file that is no such table is begun anew, for it can be made again."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            try:
                table = self._connected()
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError:
                self._path.unlink(missing_ok=True)
                table = self._connected()
            with contextlib.closing(table), table:
                yield table
        except sqlite3.OperationalError as error:
            raise MissingDataset(
                f"{self._path} cannot be used ({error}): "
                "set FACEVOICE_BENCH_HOME to a folder that can be written and has room"
            ) from error

    def _connected(self) -> sqlite3.Connection:
        table = sqlite3.connect(self._path, timeout=_WAIT_S)
        try:
            table.execute(
                "CREATE TABLE IF NOT EXISTS lengths (file TEXT PRIMARY KEY, stamp TEXT, seconds REAL) WITHOUT ROWID"
            )
        except BaseException:
            table.close()
            raise
        return table
