"""The standard streams of a command: no character, no reader who left and no full disk ends what is being done.

What was measured is on disk by then; that it cannot be shown is told at the end, and costs no number.
"""

from __future__ import annotations

import codecs
import os
import sys
from collections.abc import Iterable
from typing import Any

_PLAIN = {"↑": "^", "↓": "v", "…": "...", "–": "-", "—": "-", "’": "'", "×": "x", "±": "+-", "µ": "u", "━": "-"}
_HANDLER = "benchmark.plain"


def steady() -> Steady:
    """Make stdout and stderr steady, and give a stream that is closed a place to go; returns stdout."""
    codecs.register_error(_HANDLER, _plainly)
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:  # closed: the next file to be opened would take its number, and get what libraries print
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # workers need them as well
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is None:
            stream = open(descriptor, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - as long as the process
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=_HANDLER)
        setattr(sys, name, Steady(stream))
    return sys.stdout  # type: ignore[return-value]


class Steady:
    """A text stream that goes on into nothing once writing to it fails."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.failure: OSError | None = None
        """Why not everything was written: BrokenPipeError where the reader went away."""

    def write(self, text: str) -> int:
        try:
            self._stream.write(text)
        except OSError as error:
            self._give_up(error)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self.failure = self.failure or error
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _plainly(error: UnicodeError) -> tuple[str, int]:
    """What stands for characters that an encoding lacks: the nearest of ASCII, else an escape."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(_PLAIN.get(c) or c.encode("ascii", "backslashreplace").decode() for c in lacking), error.end
