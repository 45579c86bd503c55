"""What every metric and every function of a batch is held to: a number is finite, or there is a reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from metrics.metric import Failed, Metric, Report, Undefined, checked_row, checked_values, weighted_mean

WRONG = [float("nan"), float("inf"), -float("inf")]


class Echo(Metric):
    """Rows are the items themselves; `b` may be missing where `a` is there."""

    name = "echo"
    version = 1
    reports = (Report("a", "A", True, (-np.inf, np.inf)), Report("b", "B", True, (-np.inf, np.inf)))
    lacking = {"b": "the item has no b"}  # noqa: RUF012

    @classmethod
    def create(cls, networks: Any) -> Echo:
        return cls()

    def signature(self, report: str) -> str:
        return report

    def measure(self, items: Sequence[Any]) -> list[Any]:
        return [item for item in items if item != "dropped"]

    def aggregate(self, statistics: Mapping[str, np.ndarray], weights: np.ndarray) -> dict[str, np.ndarray]:
        return {name: weighted_mean(statistics[name], weights) for name in ("a", "b")}


class Louder(Echo):
    """Says more than its parent."""

    def measure(self, items: Sequence[Any]) -> list[Any]:
        return [{**row, "c": np.inf} if isinstance(row, dict) else row for row in super().measure(items)]


@pytest.mark.parametrize("wrong", WRONG)
def test_a_row_with_a_number_that_is_not_finite_fails_alone_and_names_it(wrong):
    rows = Echo().measure([{"a": 1.0, "b": 2.0}, {"a": wrong, "b": 2.0}, {"a": 3.0, "b": 4.0}])
    assert rows == [{"a": 1.0, "b": 2.0}, Failed("a came out as NaN or infinity"), {"a": 3.0, "b": 4.0}]


def test_what_a_metric_says_may_be_missing_may_be_missing_but_never_infinite():
    (kept,) = Echo().measure([{"a": 1.0, "b": np.nan}])
    assert kept["a"] == 1.0 and np.isnan(kept["b"])
    assert Echo().measure([{"a": 1.0, "b": np.inf}]) == [Failed("b came out as NaN or infinity")]
    assert Echo().measure([{"a": np.nan, "b": np.inf}]) == [Failed("a and b came out as NaN or infinity")]
    assert Echo().why_undefined("b") == "the item has no b"


def test_reasons_pass_through_and_subclasses_are_held_to_it_too():
    given = [Undefined("silent"), Failed("empty")]
    assert Echo().measure(given) == given
    assert Louder().measure([{"a": 1.0, "b": 2.0}, *given]) == [Failed("c came out as NaN or infinity"), *given]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"a": np.array([1.0, np.nan])}, "a came out as NaN or infinity"),
        ({"a": np.array([1.0, 1e39])}, "a came out as NaN or infinity"),  # arrays are stored as float32
        ({"a": None}, "expected a number, an array or text as 'a', got NoneType"),
        ({"a": 1j}, "expected a number, an array or text as 'a', got complex"),
        ({"a": [1.0, "x"]}, "expected a number, an array or text as 'a', got list"),
        ({}, "expected a row of statistics of the metric, got dict {}"),
        (0.5, "expected a row of statistics of the metric, got float 0.5"),
        (None, "expected a row of statistics of the metric, got NoneType None"),
    ],
)
def test_what_is_no_row_fails_with_what_came(row, reason):
    assert checked_row(row) == Failed(reason)


def test_numbers_arrays_and_text_are_a_row():
    row = {"a": 1e300, "b": np.float32(2), "c": 3, "d": True, "e": np.zeros((2, 3)), "f": "nan", "g": np.zeros(0)}
    assert checked_row(row) is row


def test_as_many_rows_as_items_are_due():
    with pytest.raises(ValueError, match="a row of metric 'echo' for each of 2 items, got 1"):
        Echo().measure([{"a": 1.0}, "dropped"])


@pytest.mark.parametrize("wrong", WRONG)
def test_a_value_that_is_not_finite_gets_a_reason_that_names_it(wrong):
    undefined = Undefined("silent")
    values = torch.tensor([[1.0, 2.0], [wrong, 3.0], [torch.nan, torch.nan]])
    found = checked_values(values, [None, None, undefined], ["left", "right"])
    assert found.reasons == (None, Failed("left came out as NaN or infinity"), undefined)
    assert found.values.dtype == torch.float64
    np.testing.assert_array_equal(found.values, [[1, 2], [np.nan, 3], [np.nan, np.nan]])
    assert checked_values(values[:, 0], [None, None, undefined], ["left"]).reasons == found.reasons


def test_of_nothing_there_is_nothing():
    assert checked_values(torch.empty(0, 2), [], ["left", "right"]).reasons == ()
    assert Echo().measure([]) == []
