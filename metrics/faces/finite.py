"""Means over the rows that have a value: a row without one weighs nothing, and is not counted as zero."""

from __future__ import annotations

import numpy as np

from metrics.metric import weighted_ratio


def mean_where_finite(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean of `[N]` values under each of `[B, N]` weights -> `[B]`; NaN where a draw holds no value.

    >>> mean_where_finite(np.array([1.0, np.nan, 4.0]), np.array([[1, 1, 1], [0, 1, 0]])).tolist()
    [2.5, nan]
    """
    values = np.asarray(values, np.float64)
    known = np.isfinite(values)
    return weighted_ratio(np.where(known, values, 0.0), known, weights)
