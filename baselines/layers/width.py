"""The width multiplier: one code for a paper's full size and for a small preset."""

from __future__ import annotations


def scaled(channels: int, width: float) -> int:
    """Channels times the width multiplier, rounded to a multiple of 4, at least 4; unchanged at width 1.

    >>> scaled(864, 1.0), scaled(864, 0.4), scaled(16, 0.1)
    (864, 344, 4)
    """
    return channels if width == 1 else max(4, 4 * round(channels * width / 4))
