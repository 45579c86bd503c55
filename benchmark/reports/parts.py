"""The parts of a report, written one by one: the numbers are measured, and a part that fails costs itself alone."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path


class Parts:
    """What is written of a report, and what could not be."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.notes: list[str] = []
        """A line for each part that could not be written, and why."""

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[Path]:
        """Gives the path of a part to the block that writes it; whatever the block raises becomes a note."""
        try:
            yield self.folder / name
        except Exception as error:  # fonts, backends, disks: anything may be wrong, and no number is
            plain = isinstance(error, OSError) and error.strerror
            reason = " ".join((plain or f"{type(error).__name__}: {error}").split())
            self.notes.append(f"{self.folder / name} could not be made: {reason[:200]}")
