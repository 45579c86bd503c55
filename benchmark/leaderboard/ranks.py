"""Which rows of a table are told apart by what they share: the same outputs of the same speakers.

A bootstrap draws speakers, the same ones for all rows, and gives each pair of rows the differences of their numbers
over the outputs that both have. Row i is ahead of row j where `d_ij > c * s_ij`: `d_ij` the difference, `s_ij` its
standard deviation over the draws, and `c` the 95 % point, over the draws, of the largest `|d*_ij - d_ij| / s_ij` among
all pairs. So all pairs of a table hold together with 95 %, however many rows it has. Where rows rise and fall together
this tells more of them apart than their single intervals do, which may overlap all the same.

The rank of a row then lies between 1 + how many are ahead of it, and the number of rows less how many it is ahead of
(Mogstad, Romano, Shaikh and Wilhelm 2024, Review of Economic Studies 91, 476-518). A group is a best row, among those
that are in no group yet, with all the others that it is not ahead of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

LEVEL = 0.95
_ROUNDING = 1e-9


class Place(NamedTuple):
    """Where a row stands in one number."""

    first: int
    """Best rank that it may have, 1 for the best of all."""
    last: int
    group: int
    """1 for the best row and those that it is not ahead of."""


def ahead(
    differences: Mapping[tuple[int, int], float], draws: Mapping[tuple[int, int], np.ndarray], rows: int
) -> np.ndarray:
    """Which rows are ahead of which, `[R, R]` bool: `[i, j]` where i is ahead of j.

    Args:
        differences: pair (i, j), i < j, to the number of i less that of j, turned so that more is better.
        draws: the same pairs to the difference in each of B draws of speakers, `[B]`; a draw that leaves one undefined
            counts for none.
    """
    told = np.zeros((rows, rows), bool)
    if not differences:
        return told
    pairs = list(differences)
    drawn = np.stack([draws[pair] for pair in pairs])  # [P, B]
    drawn = drawn[:, np.isfinite(drawn).all(axis=0)]
    if drawn.shape[1] < 2:
        return told
    found = np.array([differences[pair] for pair in pairs])
    spread = drawn.std(axis=1, ddof=1)
    moves = spread > _ROUNDING * np.maximum(np.abs(found), 1e-3)
    critical = 0.0
    if moves.any():
        away = np.abs(drawn[moves] - found[moves, None]) / spread[moves, None]
        critical = float(np.quantile(away.max(axis=0), LEVEL))
    # A difference that is the same whoever is drawn is a difference, unless it is none.
    least = np.where(moves, critical * spread, _ROUNDING * np.maximum(np.abs(found), 1e-3))
    for (i, j), difference, needed in zip(pairs, found, least, strict=True):
        told[i, j], told[j, i] = difference > needed, -difference > needed
    return told


def places(values: Sequence[float], told: np.ndarray) -> list[Place]:
    """Ranks and groups.

    Args:
        values: of R rows, turned so that more is better.
        told: `[R, R]`, see `ahead`.
    """
    group = [0] * len(values)
    left = sorted(range(len(values)), key=lambda row: (-values[row], row))
    number = 0
    while left:
        number += 1
        best = left[0]
        for row in left:
            if not told[best, row]:
                group[row] = number
        left = [row for row in left if not group[row]]
    return [
        Place(1 + int(told[:, row].sum()), len(values) - int(told[row].sum()), group[row]) for row in range(len(values))
    ]
