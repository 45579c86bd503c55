"""The closed forms are those of ridge regression that is fitted anew without each row in turn."""

import numpy as np
import pytest

from baselines.layers.ridge import STRENGTHS, fit


def problem(rows: int, inputs: int, outputs: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    x = random.normal(3, 2, (rows, inputs))
    return x, x @ random.normal(size=(inputs, outputs)) + random.normal(-5, 2, (rows, outputs))


def solved(x: np.ndarray, y: np.ndarray, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """Weights and bias by the normal equations; the bias is a column of ones that is not penalised."""
    ones = np.column_stack([x, np.ones(len(x))])
    penalty = strength * np.diag([1.0] * x.shape[1] + [0.0])
    both = np.linalg.solve(ones.T @ ones + penalty, ones.T @ y)
    return both[:-1], both[-1]


@pytest.mark.parametrize(("rows", "inputs", "outputs"), [(30, 4, 3), (12, 40, 3), (15, 15, 5000), (2, 3, 1)])
def test_errors_are_those_of_fits_that_leave_one_row_out(rows: int, inputs: int, outputs: int) -> None:
    x, y = problem(rows, inputs, outputs)
    strengths = (0.03, 1.0, 40.0, 900.0)
    ridge = fit(x, y, strengths)
    assert tuple(strength for strength, _ in ridge.errors) == strengths
    for strength, error in ridge.errors:
        squares = []
        for row in range(rows):
            rest = np.arange(rows) != row
            weights, bias = solved(x[rest], y[rest], strength)
            squares.append((y[row] - x[row] @ weights - bias) ** 2)
        assert error == pytest.approx(np.mean(squares), rel=1e-7)
    best = min(ridge.errors, key=lambda pair: pair[1])[0]
    assert ridge.strength == best
    weights, bias = solved(x, y, best)
    assert np.allclose(ridge.weights, weights, atol=1e-8) and np.allclose(ridge.bias, bias, atol=1e-7)
    assert np.allclose(ridge(x[0]), x[0] @ weights + bias, atol=1e-7) and ridge(x).shape == y.shape


def test_strength_follows_how_much_there_is_to_learn() -> None:
    random = np.random.default_rng(1)
    x = random.normal(size=(200, 10))
    exact, nothing = fit(x, x[:, :2] + 7), fit(x, random.normal(size=(200, 50)))
    assert np.allclose(exact(x), x[:, :2] + 7, atol=1e-4)
    assert np.abs(nothing(x) - nothing.bias).max() < 1  # near the mean, whatever is said
    assert nothing.strength > 100 * exact.strength
    assert len(nothing.errors) == len(STRENGTHS)


def test_scale_of_the_data_changes_nothing_by_default() -> None:
    x, y = problem(40, 6, 2)
    assert np.allclose(fit(x, y)(x), fit(x * 1e4, y)(x * 1e4))


def test_bytes_are_fitted_as_the_numbers_that_they_are() -> None:
    x, _ = problem(20, 3, 1)
    pictures = np.random.default_rng(2).integers(0, 256, (20, 12), np.uint8)
    whole, given = fit(x, pictures.astype(np.float64)), pictures.copy()
    ridge = fit(x, given)
    assert np.array_equal(ridge.weights, whole.weights) and ridge.errors == whole.errors
    assert np.array_equal(given, pictures)


def test_inputs_that_say_nothing_give_the_mean() -> None:
    _, y = problem(9, 2, 4)
    for x in (np.full((9, 3), 0.1), np.empty((9, 0))):
        assert np.allclose(fit(x, y)(x), y.mean(axis=0))


def test_what_cannot_be_fitted_is_named() -> None:
    x, y = problem(5, 2, 3)
    with pytest.raises(ValueError, match=r"same 2 or more rows, got \(4, 2\) and \(5, 3\)"):
        fit(x[:4], y)
    with pytest.raises(ValueError, match="2 or more rows"):
        fit(x[:1], y[:1])
    with pytest.raises(ValueError, match="above 0"):
        fit(x, y, [1.0, 0.0])
    with pytest.raises(ValueError, match="finite x"):
        fit(x * np.nan, y)
    with pytest.raises(ValueError, match="finite y"):
        fit(x, y * np.inf)
