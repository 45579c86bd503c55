"""Does a paper's order of methods hold here? Kendall's tau between reported and measured values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np

FEWEST = 3
"""Rows from which on there is a tau: the order of two is either right or wrong."""
DRAWS = 10_000
LEVEL = 0.95
_NORMAL = 1.959964
"""Standard deviations from the middle of an interval of 95 % to its ends."""
_EXACT = 7
"""Rows up to which each order is looked at for the p-value: 5,040 of them."""


@dataclass(frozen=True)
class Measurement:
    """What a paper reports of a row, and what is measured here."""

    reported: float
    value: float
    low: float | None
    """Ends of the 95 % interval; None where there is none."""
    high: float | None


@dataclass(frozen=True)
class Agreement:
    """How far two orders agree."""

    rows: int
    """That are both reported and measured."""
    tau: float | None = None
    """Kendall's tau-b, -1 (turned round) to 1 (the same order); None where there is none."""
    low: float | None = None
    """Ends of its range under measuring noise; None where there is none."""
    high: float | None = None
    p: float | None = None
    """Share of all possible orders whose |tau| is at least this large."""
    reason: str = ""
    """Why there is no tau, or no range."""


def agreement(rows: Sequence[Measurement], seed: int = 0) -> Agreement:
    """Kendall's tau-b of reported and measured values, with its range under measuring noise and a p-value.

    Range: 10,000 times each measured value is drawn within its own uncertainty (a normal distribution with 1.96
    standard deviations to each end of its 95 % interval; independently, which is cautious, as methods meet the same
    speakers), and the middle 95 % of their taus are taken, rounded outwards to values that were drawn. It tells how
    sure the measured order of these rows is, and nothing of other methods; reported values stand as they are printed.

    p-value: exact over all orders of the measured values up to 7 rows, of scipy from there on; two-sided.

    Source: M. G. Kendall, "A new measure of rank correlation", Biometrika 30, 1938; tau-b, with ties: Biometrika 33,
    1945.
    """
    if len(rows) < FEWEST:
        return Agreement(len(rows), reason=f"an order takes {FEWEST} rows that are reported and measured")
    from scipy.stats import kendalltau

    reported = np.array([row.reported for row in rows])
    value = np.array([row.value for row in rows])
    if len(set(reported)) == 1 or len(set(value)) == 1:
        which = "reported" if len(set(reported)) == 1 else "measured"
        return Agreement(len(rows), reason=f"all {which} values are the same")
    found = kendalltau(reported, value)
    tau = float(found.statistic)
    p = float(found.pvalue)
    if len(rows) <= _EXACT:
        orders = np.array(list(permutations(value)))
        p = float(np.mean(np.abs(taus(reported, orders)) >= abs(tau) - 1e-9))
    without = sum(row.low is None or row.high is None for row in rows)
    if without:
        return Agreement(len(rows), tau, p=p, reason=f"{without} of the measured values have no interval")
    low = value - np.array([row.low for row in rows], dtype=float)
    high = np.array([row.high for row in rows], dtype=float) - value
    normal = np.random.default_rng(seed).standard_normal((DRAWS, len(rows)))
    drawn = taus(reported, value + normal * np.where(normal < 0, low, high) / _NORMAL)
    drawn = drawn[np.isfinite(drawn)]
    tail = (1 - LEVEL) / 2
    ends = np.quantile(drawn, tail, method="lower"), np.quantile(drawn, 1 - tail, method="higher")
    return Agreement(len(rows), tau, float(min(ends[0], tau)), float(max(ends[1], tau)), p)


def taus(reported: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Kendall's tau-b of values `[N]` with each line of `[B, N]` -> `[B]`; NaN where all of a line are the same."""
    first, second = np.triu_indices(len(reported), 1)
    one = np.sign(reported[first] - reported[second])
    other = np.sign(values[:, first] - values[:, second])
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((other @ one) / np.sqrt(np.sum(one != 0) * np.sum(other != 0, axis=1)))
