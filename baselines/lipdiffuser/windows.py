"""Long recordings in windows: what is too long for one pass is worked on piece by piece."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor


class Piece(NamedTuple):
    """`start` to `end` is looked at, `first` to `last` of it kept."""

    start: int
    end: int
    first: int
    last: int


def pieces(length: int, longest: int, context: int) -> Iterator[Piece]:
    """Pieces of at most `longest` whose kept parts join without a gap, each with `context` on either side.

    >>> [tuple(piece) for piece in pieces(10, 6, 1)]
    [(0, 6, 0, 5), (4, 10, 5, 10)]
    >>> [tuple(piece) for piece in pieces(6, 6, 1)]
    [(0, 6, 0, 6)]
    """
    first = 0
    while first < length:
        start = max(0, min(first - context, length - longest))
        end = min(length, start + longest)
        last = length if end == length else end - context
        yield Piece(start, end, first, last)
        first = last


def in_pieces(
    function: Callable[[Tensor], Tensor], x: Tensor, longest: int, context: int, scale: int = 1, dim: int = 2
) -> Tensor:
    """`function` of x piece by piece along its last axis or `dim`; the output is `scale` times as long there.

    The same as `function(x)` where that looks no further than `context` to either side.
    """
    if x.shape[dim] <= longest:
        return function(x)
    found = []
    for start, end, first, last in pieces(x.shape[dim], longest, context):
        part = function(x.narrow(dim, start, end - start))
        along = min(dim, part.ndim - 1)
        found.append(part.narrow(along, (first - start) * scale, (last - first) * scale))
    return torch.cat(found, dim=min(dim, found[0].ndim - 1))


def starts(length: int, longest: int, overlap: int) -> list[int]:
    """Where equal windows of `longest` begin that cover `length`, neighbours sharing at least `overlap`.

    >>> starts(100, 40, 8), starts(40, 40, 8)
    ([0, 30, 60], [0])
    """
    gaps = math.ceil((length - longest) / (longest - overlap))
    return [round(number * (length - longest) / max(gaps, 1)) for number in range(gaps + 1)]


def fades(length: int, longest: int, begin: list[int], overlap: int) -> list[Tensor]:
    """The weight of each window's frames: rising and falling over `overlap`, and 1 together at every frame."""
    rise = (torch.arange(longest) + 1).clamp(max=overlap) / overlap
    shape = torch.minimum(rise, rise.flip(0))
    total = torch.zeros(length)
    for start in begin:
        total[start : start + longest] += shape
    return [shape / total[start : start + longest] for start in begin]
