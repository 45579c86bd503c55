"""A command that is asked to end does so as at Ctrl-C: what it has started ends with it, what is finished is kept."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

REQUESTS = (signal.SIGTERM, signal.SIGHUP)
"""What `kill`, a scheduler or the end of a session sends; a background job of a shell is deaf to Ctrl-C's."""


class Requests:
    """Those that came while a command ran."""

    def __init__(self) -> None:
        self.first: signal.Signals | None = None

    def take(self, number: int, frame: FrameType | None) -> None:
        """Interrupt at the first one; more of them do not disturb what it takes to end."""
        if self.first is None:
            self.first = signal.Signals(number)
            raise KeyboardInterrupt


@contextlib.contextmanager
def heeded() -> Iterator[Requests]:
    """Requests to end interrupt what is done within; those that were ignored before stay so, as under `nohup`."""
    requests = Requests()
    before = {}
    if threading.current_thread() is threading.main_thread():  # no other may say what is done at a signal
        before = {number: signal.getsignal(number) for number in REQUESTS}
        before = {number: handler for number, handler in before.items() if handler is signal.SIG_DFL}
    for number in before:
        signal.signal(number, requests.take)
    try:
        yield requests
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
