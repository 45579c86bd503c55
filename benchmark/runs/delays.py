"""How late the outputs of one method are together: what a codec, a player or a frame too many adds to every one."""

from __future__ import annotations

from collections.abc import Iterable

from benchmark.runs.directory import ScoreRow

SHIFTED_MS = 1.0
"""From here on a delay is told."""
MAY_BE_NONE_MS = 6.0
"""Resynthesised speech that is on time can be found up to so far off."""
MAY_BE_NONE = "; resynthesised speech that is on time can read so"


def common_delay(common_s: float, interval_s: tuple[float, float] | None, agreeing: int, clips: int) -> str:
    """The delay that clips share, with its interval.

    >>> common_delay(0.11, (0.104, 0.1131), 6, 8)
    '+110.0 ms [+104.0, +113.1], from 6 of 8 clips'
    """
    within = "" if interval_s is None else f" [{1000 * interval_s[0]:+.1f}, {1000 * interval_s[1]:+.1f}]"
    return f"{1000 * common_s:+.1f} ms{within}, from {agreeing} of {clips} clips"


def delay_note(label: str, rows: Iterable[ScoreRow]) -> list[str]:
    """A line on the common delay of a run's outputs, where they have one; from their rows of the metric `delay`.

    Nothing is shifted by it: an output that comes late is the method's as well.
    """
    from metrics.speech.items import alignments_of

    evidence = [row.statistics for row in rows if "bands" in row.statistics]
    together = alignments_of(evidence)
    if together.common_s is None or abs(together.common_s) < SHIFTED_MS / 1000:
        return []
    found = common_delay(together.common_s, together.interval_s, together.agreeing, len(evidence))
    doubt = MAY_BE_NONE if abs(together.common_s) < MAY_BE_NONE_MS / 1000 else ""
    return [f"method delay of {label}: {found}{doubt}; not corrected: what compares in time suffers"]
