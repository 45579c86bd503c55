"""What a reader has to say about a file that it read all the same: a gap that was bridged, one of several tracks.

A reader calls `remark`; whoever opened the file for a person listens with `remarks` and shows or keeps what was said.
Where nobody listens a remark is lost, as it would be a log line's lot.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

_heard: ContextVar[list[str] | None] = ContextVar("heard", default=None)


def remark(text: str) -> None:
    """Leave a remark of one line, `<file>: <what>`, with whoever listens; the same one twice is one."""
    heard = _heard.get()
    if heard is not None and text not in heard:
        heard.append(text)


@contextmanager
def remarks() -> Iterator[list[str]]:
    """Listen to what is read inside, in this thread; the list fills as it is said.

    >>> with remarks() as heard:
    ...     remark("a.mp4: 2 sound tracks; the first is read")
    >>> heard
    ['a.mp4: 2 sound tracks; the first is read']
    """
    heard: list[str] = []
    token = _heard.set(heard)
    try:
        yield heard
    finally:
        _heard.reset(token)


def counted(rows: Iterable[Sequence[str]]) -> list[str]:
    """One line for each kind of remark on the rows of a run: on how many it was made, and the first.

    Remarks that differ in nothing but the file and the numbers are of one kind.

    >>> counted([["a.mkv: a gap of 1.60 s"], ["b.mkv: a gap of 0.20 s"], []])
    ['2 x a gap of 1.60 s (a.mkv) and the like']
    >>> counted([["a.mkv: a gap of 1.60 s"]])
    ['a.mkv: a gap of 1.60 s']
    """
    kinds: dict[str, list[str]] = {}
    for row in rows:
        seen = set()
        for text in row:
            kind = re.sub(r"\d+(\.\d+)?", "", text.partition(": ")[2])
            if kind not in seen:
                kinds.setdefault(kind, []).append(text)
            seen.add(kind)
    lines = []
    for texts in kinds.values():
        file, _, what = texts[0].partition(": ")
        lines.append(texts[0] if len(texts) == 1 else f"{len(texts)} x {what} ({file}) and the like")
    return lines
