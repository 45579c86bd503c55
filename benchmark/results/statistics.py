"""Uncertainty: 95 % intervals over speakers, from stored rows; no metric is ever measured twice.

All rows of a speaker go together, over all repeats, because they share a voice and a face. How far a number would lie
from here with other speakers is read from what it becomes without each of them in turn (the jackknife), and an
interval is made of that by Student's t with as many degrees of freedom as the speakers' shares leave. Limits never
pass the bounds of the number: `with_intervals` says how. Nothing is drawn, so the same rows give the same interval.

How often the intervals hold what they say is measured by `tests/benchmarks/bench_interval_coverage.py`; its table is in
`metrics/INTERVALS.md`.

Sources:
    jackknife: Miller, Biometrika 61 (1974) 1-15; by clusters: MacKinnon, Nielsen & Webb, J. Applied Econometrics 38
    (2023) 671-694;
    t for unequal variances: Ibragimov & Müller, J. Business & Economic Statistics 28 (2010) 453-468;
    effective number of clusters: Kish, Survey Sampling (1965); Carter, Schnepel & Steigerwald, Review of
    Economics and Statistics 99 (2017) 698-709;
    score limits with the effective size of a clustered sample: Wilson, J. American Statistical Association 22 (1927)
    209-212; Dean & Pagano, J. Survey Statistics and Methodology 3 (2015) 484-503;
    largest variance within bounds: Bhatia & Davis, American Mathematical Monthly 107 (2000) 353-357;
    correlations: Fisher, Metron 1 (1921) 3-32;
    areas under a ROC on the logit's scale: Qin & Hotilovac, Statistical Methods in Medical Research 17 (2008) 207-221;
    degrees of freedom of a variance: Satterthwaite, Biometrics Bulletin 2 (1946) 110-114.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

INTERVALS = "jackknife-t-2"
"""Kind of the intervals, as results state it; another word when a change of the method moves limits."""
LEVEL = 0.95
FEWEST = 5
"""Speakers from which on there are intervals."""
APART = 3
"""Speakers away from the bound at which all others are, from which on their spread is believed."""
Weigh = Literal["speaker", "sample"]
"""Whether speakers or samples weigh equally in a number."""
_CHUNK = 500
_CHUNK_WEIGHTS = 500_000
"""Draws times speakers that are held at once."""

Values = Callable[[np.ndarray], Mapping[str, np.ndarray]]
"""Weights `[B, S]` of speakers -> named values `[B]`; of any scale, whole or not."""


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval; NaN where there is none."""

    value: float
    low: float
    high: float
    why: str = ""
    """Why there is no interval, where there is a value and none."""


@dataclass(frozen=True)
class Shape:
    """What is known beforehand of a number whose interval is asked for."""

    kind: Literal["mean", "share", "area", "correlation", "smooth"] = "mean"
    """`mean`, or ratio of sums; `share` of hits, a mean between two bounds that single outputs may well reach;
    `area` under a ROC, of pairs of speakers; `correlation`, within -1 and 1; or another number that is `smooth` in the
    weights."""
    bounds: tuple[float, float] = (-np.inf, np.inf)
    """Smallest and largest value that the definition allows."""
    shares: np.ndarray | None = field(default=None, compare=False)
    """`[S]`, how much each speaker counts, of any scale, 0 for one who does not; equally where it is None."""
    without: str = ""
    """Why there is no interval that holds for such a number, where there is none."""


def speaker_index(speakers: Sequence[str]) -> tuple[np.ndarray, int]:
    """Number of each row's speaker, `[N]`, and how many speakers there are: the one partition that everything uses.

    >>> speaker_index(["b", "a", "b"])
    (array([1, 0, 1]), 2)
    """
    names, index = np.unique(np.asarray(speakers, dtype=object).astype(str), return_inverse=True)
    return index.reshape(-1), len(names)


def row_weights(index: np.ndarray, speaker_weights: np.ndarray, weigh: Weigh) -> np.ndarray:
    """Weights `[B, S]` of speakers -> weights `[B, N]` of rows.

    With `weigh="speaker"` the rows of a speaker share the speaker's weight, so that speakers count equally however many
    rows they have.
    """
    counts = np.bincount(index, minlength=speaker_weights.shape[1]).astype(np.float64)
    share = speaker_weights / np.maximum(counts, 1) if weigh == "speaker" else speaker_weights
    return np.asarray(share)[:, index]


def with_intervals(speakers: int, values: Values, shapes: Mapping[str, Shape] | None = None) -> dict[str, Estimate]:
    """Values and 95 % intervals of statistics of weighted speakers.

    With `d_s` how far the value without speaker s lies from the mean of all S such values, the variance is
    `V = (S - 1) / S * sum d_s**2` and the interval what lies within `t * sqrt(V)`. Speakers who count p_s of the whole
    leave `1 / sum p_s**2 - 1` degrees of freedom: S - 1 where all count alike. How V changes along the interval depends
    on the kind of number.

    `mean` and `share`: as `(x - a) * (b - x)` between bounds a and b, as `x - a` above a single one, not at all without
    bounds. For hits and misses this is Wilson's interval with their effective number; far from the bounds it is the
    ordinary one. Where fewer than 3 speakers are elsewhere than at one and the same bound (all are right, but for a
    few), they cannot tell how much speakers differ. Of a share V is then the largest that there is within the bounds:
    each speaker counts as a single trial, which holds the true share more often than in 95 %. Of other means there is
    no interval.

    `area`: on the scale of `log((x - a) / (b - x))`, where its distribution is nearly even. A few speakers who are hard
    to tell apart make most of V then, so t has only as many degrees of freedom as V is known by (Satterthwaite): twice
    the square of its value by its own variance, which is read from the `d_s**2`. Near a bound it is as a share.

    `correlation`: as `(1 - x**2)**2`, so that Fisher's `artanh x` has the same variance everywhere.

    `smooth`: not at all; limits are cut off at the bounds.

    There is no interval from fewer than 5 speakers, nor where one counts for more than half, nor where the value is the
    same without whichever speaker (but for a share at a bound): then nothing says how far others lie.

    Args:
        speakers: their number S.
        values: maps weights `[B, S]` to named values `[B]`.
        shapes: what is known of each number; by default a `mean` without bounds over speakers who count alike.

    >>> ages = np.array([31.0, 44.0, 29.0, 35.0, 41.0])
    >>> found = with_intervals(5, lambda weights: {"age": weights @ ages / weights.sum(axis=1)})["age"]
    >>> round(found.value, 1), round(found.low, 1), round(found.high, 1)
    (36.0, 28.0, 44.0)
    """
    point = {name: float(value[0]) for name, value in values(np.ones((1, speakers))).items()}
    if speakers < FEWEST:
        return {name: _none(value, _FEW) for name, value in point.items()}
    own = _in_chunks(values, np.eye(speakers))
    without = _in_chunks(values, 1 - np.eye(speakers))
    return {
        name: _estimate(value, own[name], without[name], (shapes or {}).get(name, Shape()))
        for name, value in point.items()
    }


def resampled(speakers: int, values: Values, draws: int = 10_000, seed: int = 0) -> dict[str, np.ndarray]:
    """Named values `[draws]` under bootstrap draws of speakers, each of as many as there are, with replacement.

    For what a distribution is needed for, such as ranks. Its percentiles are no intervals of 95 % for few speakers.
    """
    random = np.random.default_rng(seed)
    return _in_chunks(values, random.multinomial(speakers, np.full(speakers, 1 / speakers), size=draws))


_FEW = f"fewer than {FEWEST} speakers"
_SAME = "nothing differs between speakers"


def _none(value: float, why: str) -> Estimate:
    return Estimate(value, float("nan"), float("nan"), why if np.isfinite(value) else "")


def _in_chunks(values: Values, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Values under each of `[B, S]` weights, of which a number expands few at a time to rows."""
    size = max(1, min(_CHUNK, _CHUNK_WEIGHTS // weights.shape[1]))
    parts = [values(weights[start : start + size].astype(np.float64)) for start in range(0, len(weights), size)]
    return {name: np.concatenate([np.asarray(part[name], np.float64) for part in parts]) for name in parts[0]}


def _estimate(value: float, own: np.ndarray, without: np.ndarray, shape: Shape) -> Estimate:
    """The interval of one number.

    Args:
        own: `[S]`, the value of each speaker alone; NaN where a speaker alone has none.
        without: `[S]`, the value without each speaker.
    """
    from scipy.special import stdtrit

    shares = np.ones(len(without)) if shape.shares is None else np.asarray(shape.shares, np.float64)
    counted = shares > 0
    number = int(counted.sum())
    if not np.isfinite(value):
        return _none(value, "")
    if shape.without or number < FEWEST:
        return _none(value, shape.without or _FEW)
    if not np.isfinite(without[counted]).all():
        return _none(value, "it has no value without one of the speakers")
    effective = shares.sum() ** 2 / (shares**2).sum()
    if effective < 2:
        return _none(value, "one of the speakers counts for more than half")
    t = float(stdtrit(effective - 1, (1 + LEVEL) / 2))
    # Around their own mean: what they all change alike is how the number depends on how many speakers there are.
    changes = without[counted].mean() - without[counted]
    variance = (number - 1) / number * float((changes**2).sum())
    low, high = shape.bounds
    reached = next((bound for bound in shape.bounds if _at(own[counted], bound) > number - APART), None)
    if shape.kind in ("share", "area") and reached is not None:
        return Estimate(value, *_within(value, 1 / effective, t, low, high))
    if np.abs(changes).max() <= _ROUNDING * max(abs(value), 1e-3):
        return _none(value, _SAME)
    if shape.kind == "mean" and reached is not None:
        return _none(value, f"fewer than {APART} speakers differ from {reached:g}")
    if shape.kind == "area":
        squares = changes**2
        peaked = number * float((squares**2).sum()) / float(squares.sum()) ** 2  # 1 where all speakers change it alike
        freedom = min(effective - 1, 2 * number / max(peaked - 1, 1e-9))
        t = float(stdtrit(freedom, (1 + LEVEL) / 2))
    return Estimate(value, *_limits(value, variance, t, shape))


_ROUNDING = 1e-9
"""Differences as small as this, as a part of the value, are none."""


def _at(own: np.ndarray, bound: float) -> int:
    """How many speakers' own values are at a bound."""
    return int((np.abs(own - bound) <= _ROUNDING).sum()) if np.isfinite(bound) else 0


def _limits(value: float, variance: float, t: float, shape: Shape) -> tuple[float, float]:
    low, high = shape.bounds
    half = t * variance**0.5
    if shape.kind == "correlation" and abs(value) < 1:
        z, half = np.arctanh(value), half / (1 - value**2)
        return float(np.tanh(z - half)), float(np.tanh(z + half))
    if shape.kind == "area" and low < value < high:
        p, width = (value - low) / (high - low), high - low
        z, half = np.log(p / (1 - p)), half / (width * p * (1 - p))
        return tuple(low + width / (1 + float(np.exp(-end))) for end in (z - half, z + half))
    if shape.kind == "smooth" or not low < value < high:
        return max(low, value - half), min(high, value + half)
    if np.isfinite(low) and np.isfinite(high):
        return _within(value, variance / ((value - low) * (high - value)), t, low, high)
    if np.isfinite(low):
        return _above(value, variance, t, low)
    if np.isfinite(high):
        under, over = _above(-value, variance, t, -high)
        return -over, -under
    return value - half, value + half


def _within(value: float, inverse: float, t: float, low: float, high: float) -> tuple[float, float]:
    """Solutions x of `(value - x)**2 = t**2 * inverse * (x - low) * (high - x)`; `inverse` is 1 / effective size."""
    p, k = (value - low) / (high - low), t**2 * inverse
    middle, half = p + k / 2, (k * p * (1 - p) + k**2 / 4) ** 0.5
    lower, upper = (float(np.clip((middle + sign * half) / (1 + k), 0, 1)) for sign in (-1, 1))
    return min(low + (high - low) * lower, value), max(low + (high - low) * upper, value)


def _above(value: float, variance: float, t: float, low: float) -> tuple[float, float]:
    """Solutions x of `(value - x)**2 = t**2 * variance * (x - low) / (value - low)`."""
    above = value - low
    h = t**2 * variance / (2 * above)
    half = (h**2 + 2 * h * above) ** 0.5
    return max(low, value + h - half), value + h + half
