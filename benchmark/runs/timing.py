"""Wall time, fairly taken: the first call left out, devices waited for."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple


def clock() -> float:
    """Seconds, after what was started on any GPU has ended: its calls return before their work is done."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        for device in range(torch.cuda.device_count()):
            torch.cuda.synchronize(device)
    return time.perf_counter()


class Timing(NamedTuple):
    """What `timed` found."""

    median_s: float
    """Median wall time of a call."""
    times_s: tuple[float, ...]
    """Of each call after the warm-up."""

    def rtf(self, audio_s: float) -> float:
        """Real-time factor of a call that makes `audio_s` seconds of sound."""
        if not audio_s > 0:
            raise ValueError(f"Expected a length of sound above 0 s, got {audio_s}")
        return self.median_s / audio_s


def timed(call: Callable[[], Any], *, warm_up: int = 1, repeats: int = 5) -> Timing:
    """Wall time of `call`, over `repeats` calls after `warm_up` that do not count.

    Raises:
        ValueError: fewer than one repeat.
    """
    if repeats < 1 or warm_up < 0:
        raise ValueError(f"Expected repeats >= 1 and warm_up >= 0, got {repeats} and {warm_up}")
    for _ in range(warm_up):
        call()
    times = []
    for _ in range(repeats):
        start = clock()
        call()
        times.append(clock() - start)
    return Timing(statistics.median(times), tuple(times))
