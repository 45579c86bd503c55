"""Which of several methods share first place in a number, as far as their intervals can tell."""

from __future__ import annotations

import math
from collections.abc import Sequence

from benchmark.results.schema import Aggregate

RULE = "Bold: the best method, and those whose intervals leave open whether they are behind it"
"""What `best_group` means, for the reader of a table."""


def best_group(items: Sequence[Aggregate | None]) -> set[int]:
    r"""Places of the best number and of those that are not told apart from it; none where nobody can say.

    The better of two estimates, $b$, leads another, $m$, where the 95 % interval of $b - m$ excludes zero. Its lower
    end comes from the intervals of the two alone (square-and-add: Zou and Donner 2008, Statistics in Medicine
    27:1693-1702):

        $(b - m) - \sqrt{(b - l_b)^2 + (u_m - m)^2}$, with b's lower end $l_b$ and m's upper end $u_m$

    for a number of which more is better, mirrored for the others. The equation takes the two for independent. Methods
    that are measured on the same speakers mostly rise and fall together, which makes the true interval narrower: the
    group may hold a method too many then. Looking for an overlap instead would keep still more of them.

    Args:
        items: one number of several methods, by one definition; None where a method lacks it.

    Returns:
        Empty where fewer than two methods have a value, where neither direction is better, or where the best has no
        interval. A method without an interval is never in the group.
    """
    known = {place: item for place, item in enumerate(items) if item is not None and item.value is not None}
    sign = {True: 1.0, False: -1.0, None: 0.0}[next((item.higher_is_better for item in known.values()), None)]
    if len(known) < 2 or not sign:
        return set()
    better = {place: _upwards(item, sign) for place, item in known.items()}
    best = max(better.values(), key=lambda each: each[1])
    if not _has_interval(best):
        return set()
    low, top, _ = best
    return {
        place
        for place, (least, value, most) in better.items()
        if _has_interval((least, value, most)) and top - value <= math.hypot(top - low, most - value)
    }


def _upwards(item: Aggregate, sign: float) -> tuple[float, float, float]:
    """Low, value, high of a number turned so that more is better; NaN for ends that there are not."""
    assert item.value is not None
    ends = sorted(sign * (math.nan if end is None else end) for end in (item.low, item.high))
    return ends[0], sign * item.value, ends[1]


def _has_interval(ends: tuple[float, float, float]) -> bool:
    return all(map(math.isfinite, ends))
