"""Inline SVG of the page: an interval in a table's cell, and recall over K. Only numbers are written into it.

Colours, markers and dashes are those of `benchmark.reports.figures`, named by classes that the page's style knows in
light and in dark: `s0` to `s5` for methods, `floor`, `ceiling`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from benchmark.results.schema import Aggregate

WIDTH, MARGIN = 100.0, 4.0
"""Of a cell's drawing, in its own units, of which it is 14 high."""


@dataclass(frozen=True)
class Scale:
    """The range that all drawings of a column share."""

    low: float
    high: float

    def x(self, value: float) -> str:
        """Place from left to right."""
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return _number(MARGIN + share * (WIDTH - 2 * MARGIN))


def scale(items: Iterable[Aggregate]) -> Scale | None:
    """From the lowest to the highest number or end of an interval; None where there is no number."""
    ends = [end for item in items for end in (item.value, item.low, item.high) if end is not None]
    return Scale(min(ends), max(ends)) if ends else None


def marks(own: Scale, band: Aggregate | None, floor: float | None, ceiling: float | None) -> str:
    """What stands behind every drawing of a column: the best row's interval, the best floor, the best ceiling."""
    parts = [f'<path class="axis" d="M{own.x(own.low)} 7H{own.x(own.high)}"/>']
    if band is not None and band.low is not None and band.high is not None:
        left, right = own.x(band.low), own.x(band.high)
        parts.insert(0, f'<path class="band" d="M{left} 0H{right}V14H{left}z"/>')
    if floor is not None:
        parts.append(f'<path class="at floor" d="M{own.x(floor)} 0V14"/>')
    if ceiling is not None:
        parts.append(f'<path class="at ceiling" d="M{own.x(ceiling)} 0V14"/>')
    return "".join(parts)


def interval(own: Scale, item: Aggregate) -> str:
    """A number with its interval; empty where there is no number."""
    if item.value is None:
        return ""
    line = ""
    if item.low is not None and item.high is not None:
        line = f'<path class="line" d="M{own.x(item.low)} 7H{own.x(item.high)}"/>'
    return f'{line}<path class="dot" d="M{own.x(item.value)} 7h0"/>'


class Curve(NamedTuple):
    """One row's line."""

    label: str
    role: str
    points: Sequence[tuple[int, float, float, float]]
    """K, value, ends of the interval; in parts of 1."""


@dataclass(frozen=True)
class Drawn:
    """A line as it is drawn."""

    label: str
    kind: str
    """Classes."""
    path: str
    band: str
    """Outline of the intervals; empty for floors and ceilings, which would cover the methods'."""
    label_x: str
    label_y: str


@dataclass(frozen=True)
class Plot:
    """Recall over K, ready to be written."""

    width: int
    height: int
    curves: Sequence[Drawn]
    x_ticks: Mapping[str, str]
    """Place to text."""
    y_ticks: Mapping[str, str]
    left: int
    right: int
    bottom: int


def recall(curves: Sequence[Curve]) -> Plot | None:
    """Recall over K on a logarithmic axis; None where nobody has two points."""
    curves = [curve for curve in curves if len(curve.points) > 1]
    if not curves:
        return None
    height, left, right, top, bottom = 340, 40, 500, 10, 300
    # The names stand beside the ends of the curves: about 7 for a letter of 12.
    width = max(640, right + 16 + 7 * max(len(curve.label) for curve in curves))
    ks = sorted({point[0] for curve in curves for point in curve.points})
    least, most = math.log(ks[0]), math.log(ks[-1])

    def x(k: int) -> str:
        return _number(left + (math.log(k) - least) / (most - least) * (right - left))

    def y(share: float) -> float:
        return bottom - share * (bottom - top)

    ends = sorted(range(len(curves)), key=lambda place: -curves[place].points[-1][1])
    heights = _apart([y(curves[place].points[-1][1]) for place in ends], 15.0, top + 4.0, bottom + 24.0)
    beside = dict(zip(ends, heights, strict=True))
    drawn, count = [], {"method": 0, "floor": 0, "ceiling": 0}
    for place, curve in enumerate(curves):
        number = count[curve.role]
        count[curve.role] += 1
        kind = f"s{number % 6}" if curve.role == "method" else curve.role
        path = "M" + "L".join(f"{x(k)} {_number(y(value))}" for k, value, _, _ in curve.points)
        band = ""
        if curve.role == "method":
            upper = [f"{x(k)} {_number(y(high))}" for k, _, _, high in curve.points]
            lower = [f"{x(k)} {_number(y(low))}" for k, _, low, _ in reversed(curve.points)]
            band = "M" + "L".join(upper + lower) + "z"
        drawn.append(Drawn(curve.label, f"{kind} d{number % 4}", path, band, str(right + 8), _number(beside[place])))
    return Plot(
        width,
        height,
        drawn,
        {x(k): str(k) for k in ks},
        {_number(y(share / 100)): str(share) for share in (0, 25, 50, 75, 100)},
        left,
        right,
        bottom,
    )


def _apart(places: Sequence[float], gap: float, top: float, bottom: float) -> list[float]:
    """Places from top to bottom, moved so that no two are nearer than `gap` and the last is not below `bottom`."""
    found: list[float] = []
    for place in places:
        found.append(max(place, found[-1] + gap if found else top))
    limit = bottom
    for number in reversed(range(len(found))):
        found[number] = min(found[number], limit)
        limit = found[number] - gap
    return found


def _number(value: float) -> str:
    """With one decimal at most.

    >>> _number(3.04), _number(-0.01)
    ('3', '0')
    """
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text
