"""Pearson's correlation under weights, and how probable one as large is where nothing goes together."""

from __future__ import annotations

import numpy as np


def weighted_pearson(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Pearson's correlation of `[N]` with `[N]` under each of `[B, N]` weights -> `[B]`.

    NaN where a draw holds fewer than two different values of either.

    >>> weighted_pearson(np.array([1.0, 2.0, 4.0]), np.array([2.0, 4.0, 8.0]), np.array([[1, 1, 1], [1, 0, 0]]))
    array([ 1., nan])
    """
    # Shifted by a value of their own, so that numbers that are all alike have no variance at all, not even rounding.
    x, y = (np.asarray(v, np.float64) - (v[0] if len(v) else 0.0) for v in (x, y))
    weights = np.asarray(weights, np.float64)
    total = weights.sum(axis=1)
    share = np.divide(weights, total[:, None], out=np.zeros_like(weights), where=total[:, None] > 0)
    mean_x, mean_y = share @ x, share @ y
    squares_x, squares_y = share @ x**2, share @ y**2
    variance_x, variance_y = squares_x - mean_x**2, squares_y - mean_y**2
    # Of a draw that holds one value many times, rounding leaves about this much.
    known = (variance_x > 1e-12 * squares_x) & (variance_y > 1e-12 * squares_y)
    below = np.sqrt(np.where(known, variance_x * variance_y, 1.0))
    r = np.clip((share @ (x * y) - mean_x * mean_y) / below, -1.0, 1.0)
    return np.where(known, r, np.nan)


def no_correlation_p(r: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """How probable a correlation of `|r|` or more is among independent normal pairs: Student's t, two-sided.

    Args:
        r: of any shape, -1 to 1.
        pairs: how many there are, of the same shape; need not be whole.

    Returns:
        Of the same shape, 0 to 1; NaN where r is, or where there are no more than two pairs.

    >>> no_correlation_p(np.array([0.0, 0.5, 1.0]), np.array([20.0, 20.0, 20.0])).round(4).tolist()
    [1.0, 0.0248, 0.0]
    """
    from scipy.special import stdtr

    r, freedom = np.asarray(r, np.float64), np.asarray(pairs, np.float64) - 2
    known = np.isfinite(r) & (freedom > 0)
    with np.errstate(divide="ignore"):
        t = np.abs(r) * np.sqrt(np.where(known, freedom, 1.0) / (1 - r**2))
    return np.where(known, 2 * stdtr(np.where(known, freedom, 1.0), -t), np.nan)
