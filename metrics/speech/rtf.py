"""Real-time factor: wall time over the length of the sound that it made; below 1 is faster than real time.

What is timed is the method alone: its inputs are in memory, its output is not yet written. The first call is left out
(it loads kernels and allocates), the device is synchronised before each reading of the clock, and a batch's time is
shared by its items. A rate over several recordings is total time over total length, not a mean of ratios.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from metrics.metric import Failed, Metric, Report, SpeechItem, Statistics, Undefined, weighted_ratio


class RealTimeFactor(Metric):
    """Total wall time over total length of the estimates."""

    name = "rtf"
    version = 1
    why_unpaired: ClassVar[str] = (
        "time hangs on the machine and on what else it did, which speakers tell nothing of; `speed` times methods"
    )
    reports = (
        Report(
            "rtf",
            "RTF",
            False,
            (0.0, float("inf")),
            weigh="sample",
            description="Wall time inside the method over the length of the sound that it made.",
        ),
    )

    @classmethod
    def create(cls, networks: Any) -> RealTimeFactor:
        return cls()

    def signature(self, report: str) -> str:
        return f"rtf|time:wall|warm-up:1|total/total|v{self.version}"

    def measure(self, items: Sequence[SpeechItem]) -> list[Statistics | Undefined | Failed]:
        """Rows of `seconds` and `audio_s`."""
        rows: list[Statistics | Undefined | Failed] = []
        for item in items:
            length = np.size(item.estimate) / item.rate if item.rate > 0 else 0.0
            if item.seconds is None:
                rows.append(Undefined("the time that making it took is not known"))
            elif not length > 0:
                rows.append(Failed("the estimate is empty"))
            else:
                rows.append({"seconds": float(item.seconds), "audio_s": float(length)})
        return rows

    def counts(self, report: str, statistics: Mapping[str, np.ndarray]) -> np.ndarray:
        return np.asarray(statistics["audio_s"], np.float64)

    def aggregate(self, statistics: Mapping[str, np.ndarray], weights: np.ndarray) -> dict[str, np.ndarray]:
        return {"rtf": weighted_ratio(statistics["seconds"], statistics["audio_s"], weights)}
