"""What is known of a corpus before anyone has it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Published(NamedTuple):
    """A count that a corpus's authors state."""

    what: str
    """`utterances of the test`."""
    count: int
    pattern: str = ""
    """Regular expression of a file's path below the root, whole: files that match are counted; with a group, what the
    group holds, each once. Empty where nothing on disk can be counted."""


@dataclass(frozen=True)
class Form:
    """What all files of one kind have in common, as far as a corpus fixes it."""

    rate: int | None = None
    """Of sound, Hz."""
    fps: float | None = None
    """Pictures a second."""
    size: tuple[int, int] | None = None
    """Height and width of the pictures."""
