"""Uncertainty: 95 % intervals by bootstrap over speakers, from stored rows; no metric is ever measured twice.

A draw takes as many speakers as there are, with replacement; all rows of a speaker go together, over all repeats,
because they share a voice and a face. Draws are seeded and made in chunks, so that memory stays flat.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

DRAWS = 10_000
LEVEL = 0.95
FEWEST = 5
"""Speakers from which on there are intervals. Fewer give at most 35 different draws, and each end of an interval of
95 % cuts off one in 40."""
Weigh = Literal["speaker", "sample"]
"""Whether speakers or samples weigh equally in a number."""
_CHUNK = 500
_CHUNK_WEIGHTS = 500_000
"""Draws times speakers that are held at once."""


@dataclass(frozen=True)
class Estimate:
    """A value with its interval; NaN where there is none."""

    value: float
    low: float
    high: float


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


def bootstrap(
    speakers: int,
    values: Callable[[np.ndarray], Mapping[str, np.ndarray]],
    *,
    kinds: Mapping[str, str] | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[str, Estimate]:
    """Values and 95 % intervals of statistics of weighted speakers.

    Args:
        speakers: their number S; below 5 there are values alone.
        values: maps weights `[B, S]` to named values `[B]`.
        kinds: name to `percentile` (the default) or `normal`: the estimate +- 1.96 standard deviations of the draws,
            for statistics such as entropies that resampling with repeats shifts.
        draws: number of bootstrap draws B.
        seed: of the draws.
    """
    point = {name: float(value[0]) for name, value in values(np.ones((1, speakers))).items()}
    none = float("nan")
    if speakers < FEWEST:
        return {name: Estimate(value, none, none) for name, value in point.items()}
    random = np.random.default_rng(seed)
    chunks: dict[str, list[np.ndarray]] = {name: [] for name in point}
    chunk = max(1, min(_CHUNK, _CHUNK_WEIGHTS // speakers))
    for start in range(0, draws, chunk):
        counts = random.multinomial(speakers, np.full(speakers, 1 / speakers), size=min(chunk, draws - start))
        for name, value in values(counts.astype(np.float64)).items():
            chunks[name].append(np.asarray(value))
    estimates = {}
    for name, value in point.items():
        drawn = np.concatenate(chunks[name])
        drawn = drawn[np.isfinite(drawn)]
        if not np.isfinite(value) or len(drawn) < draws / 2:
            estimates[name] = Estimate(value, none, none)
        elif (kinds or {}).get(name) == "normal":
            half = 1.959964 * float(drawn.std(ddof=1))
            estimates[name] = Estimate(value, value - half, value + half)
        else:
            low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
            estimates[name] = Estimate(value, float(low), float(high))
    return estimates


def resampled(
    speakers: int,
    values: Callable[[np.ndarray], Mapping[str, np.ndarray]],
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Named values `[draws]` under bootstrap draws of speakers, each of as many as there are, with replacement."""
    random = np.random.default_rng(seed)
    counts = random.multinomial(speakers, np.full(speakers, 1 / speakers), size=draws).astype(np.float64)
    step = max(1, min(_CHUNK, _CHUNK_WEIGHTS // speakers))
    parts = [values(counts[start : start + step]) for start in range(0, draws, step)]
    return {name: np.concatenate([np.asarray(part[name], np.float64) for part in parts]) for name in parts[0]}
