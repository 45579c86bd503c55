"""Ridge regression whose strength is chosen by leave-one-out error, all in closed form.

With centred data and the thin SVD X = U S V^T, the fit is Y_hat = U diag(d) U^T Y, d = s^2 / (s^2 + lambda). It is
linear in Y, so that the error at a row that is left out follows from the error at the row that is not:
e_i = (y_i - y_hat_i) / (1 - h_i), h_i = 1/N + sum_k d_k U_ik^2 (Allen's PRESS; 1/N is the bias's part, which is not
penalised). With A = U^T Y, |y_i - y_hat_i|^2 needs |y_i|^2, Y A^T and A A^T alone, so that every further strength costs
as little for pictures as for numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

STRENGTHS = tuple(10.0 ** (exponent / 4) for exponent in range(-24, 13))
"""1e-6 to 1e3, four a decade, in units of the mean squared singular value of the centred data."""
COLUMNS = 2048
"""Columns of Y in double precision at once."""


@dataclass(frozen=True)
class Ridge:
    """A linear map with its bias: `x @ weights + bias`.

    Shape:
        weights: `[D, K]` float64
        bias: `[K]` float64
    """

    weights: np.ndarray
    bias: np.ndarray
    strength: float
    """The lambda of sum |y - x W - b|^2 + lambda |W|^2."""
    errors: tuple[tuple[float, float], ...]
    """Each strength tried and its leave-one-out error: the mean of squares over rows and columns."""

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Predict `[..., D]` -> `[..., K]`."""
        return x @ self.weights + self.bias


def fit(x: np.ndarray, y: np.ndarray, strengths: Sequence[float] | None = None) -> Ridge:
    """Fit `y` by `x` with the strength of smallest leave-one-out error.

    Columns of `x` should be of comparable scale, since the penalty is one for all.

    Shape:
        x: `[N, D]`, N >= 2; y: `[N, K]`, of any type of number and as large as a memory map

    Args:
        strengths: values of lambda to choose from, above 0; by default STRENGTHS, scaled to `x`.

    Raises:
        ValueError: shapes that do not fit, numbers that are not finite, or a strength of 0 or less.

    >>> line = fit(np.array([[0.0], [1.0], [2.0]]), np.array([[1.0], [3.0], [5.0]]), [1e-9])
    >>> line(np.array([10.0])).round(3)
    array([21.])
    """
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y) or len(x) < 2:
        raise ValueError(f"Expected x [N, D] and y [N, K] of the same 2 or more rows, got {x.shape} and {y.shape}")
    x = x.astype(np.float64)
    if not np.isfinite(x).all():
        raise ValueError("Expected finite x, got NaN or infinity")
    centre = x.mean(axis=0)
    u, s, vt = np.linalg.svd(x - centre, full_matrices=False)
    solid = s > np.linalg.norm(x) * max(x.shape) * np.finfo(np.float64).eps  # what rounding left of x - centre is none
    u, s, vt = u[:, solid], s[solid], vt[solid]
    squares = s**2
    if strengths is None:
        strengths = [strength * (squares.mean() if len(squares) else 1.0) for strength in STRENGTHS]
    if not len(strengths) or not min(strengths) > 0:
        raise ValueError(f"Expected strengths above 0, got {list(strengths)}")

    bias = np.empty(y.shape[1])
    a = np.empty((len(s), y.shape[1]))
    norms, cross = np.zeros(len(y)), np.zeros(u.shape)
    for first in range(0, y.shape[1], COLUMNS):
        columns = slice(first, first + COLUMNS)
        part = y[:, columns].astype(np.float64)
        if not np.isfinite(part).all():
            raise ValueError("Expected finite y, got NaN or infinity")
        bias[columns] = part.mean(axis=0)
        part -= bias[columns]
        a[:, columns] = u.T @ part
        norms += np.einsum("ij,ij->i", part, part)
        cross += part @ a[:, columns].T
    gram = u.T @ cross  # A A^T = U^T Y A^T

    errors = []
    for strength in strengths:
        shrunk = u * (squares / (squares + strength))
        leverage = 1 / len(x) + np.einsum("ij,ij->i", u, shrunk)
        residual = norms - 2 * np.einsum("ij,ij->i", shrunk, cross) + np.einsum("ij,ij->i", shrunk @ gram, shrunk)
        errors.append((float(strength), float((residual / (1 - leverage) ** 2).mean() / y.shape[1])))
    best = min(errors, key=lambda pair: pair[1])[0]
    weights = (vt.T * (s / (squares + best))) @ a
    return Ridge(weights, bias - centre @ weights, best, tuple(errors))
