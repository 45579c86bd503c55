"""Kendall's tau of two orders: value and p by scipy and by hand, the interval by what it has to hold."""

from __future__ import annotations

from itertools import combinations, permutations

import numpy as np
import pytest
from scipy.stats import kendalltau

from benchmark.papers.ranking import Measurement, agreement, taus


def rows(reported, values, half=None):
    return [
        Measurement(r, v, None if half is None else v - half, None if half is None else v + half)
        for r, v in zip(reported, values, strict=True)
    ]


def by_hand(one, other):
    """tau-b by its definition: pairs in one order less pairs in the other, over those that are not tied."""
    pairs = list(combinations(range(len(one)), 2))
    signs = [(np.sign(one[i] - one[j]), np.sign(other[i] - other[j])) for i, j in pairs]
    left, right = sum(a != 0 for a, _ in signs), sum(b != 0 for _, b in signs)
    return sum(a * b for a, b in signs) / np.sqrt(left * right)


@pytest.mark.parametrize("seed", range(20))
def test_value_and_p_are_those_of_the_definition(seed):
    random = np.random.default_rng(seed)
    number = int(random.integers(3, 8))
    reported, values = random.integers(0, 5, number).astype(float), random.integers(0, 5, number).astype(float)
    if len(set(reported)) == 1 or len(set(values)) == 1:
        assert "the same" in agreement(rows(reported, values)).reason
        return
    found = agreement(rows(reported, values))
    assert found.tau == pytest.approx(by_hand(reported, values))
    every = [abs(by_hand(reported, order)) for order in permutations(values)]
    assert found.p == pytest.approx(np.mean([tau >= abs(found.tau) - 1e-9 for tau in every]))


def test_many_rows_have_the_p_of_scipy():
    random = np.random.default_rng(1)
    reported = np.arange(12.0)
    values = reported + random.normal(0, 4, 12)
    found, expected = agreement(rows(reported, values, 0.1)), kendalltau(reported, values)
    assert (found.tau, found.p) == pytest.approx((expected.statistic, expected.pvalue))


def test_many_orders_at_once_are_those_one_by_one():
    random = np.random.default_rng(2)
    reported, values = random.integers(0, 4, 6).astype(float), random.integers(0, 4, (50, 6)).astype(float)
    expected = [kendalltau(reported, line).statistic for line in values]
    np.testing.assert_allclose(taus(reported, values), expected)


def test_the_interval_is_a_point_where_measurements_are_sure_and_wide_where_they_are_not():
    reported, values = [1, 2, 3, 4, 5], [10.0, 20.0, 30.0, 40.0, 50.0]
    sure, unsure = agreement(rows(reported, values, 1.0)), agreement(rows(reported, values, 500.0))
    assert (sure.low, sure.tau, sure.high) == pytest.approx((1, 1, 1))
    assert unsure.low < -0.5 < unsure.tau <= unsure.high + 1e-12


def test_the_interval_covers_a_swap_of_two_rows_as_often_as_they_may_be_swapped():
    """A pair that differs by 1, each known to a standard error s, is swapped in Phi(-1 / (s sqrt 2)) of draws."""
    wide = agreement(rows([1, 2, 3], [0.0, 1.0, 100.0], 1.96 * 0.5))  # swapped in 7.9 % of draws
    narrow = agreement(rows([1, 2, 3], [0.0, 1.0, 100.0], 1.96 * 0.3))  # in 0.9 %
    assert (wide.low, wide.high) == pytest.approx((1 / 3, 1))
    assert (narrow.low, narrow.high) == pytest.approx((1, 1))


def test_two_rows_have_no_order_and_a_value_without_interval_costs_the_interval_alone():
    assert agreement(rows([1, 2], [1, 2], 0.1)).tau is None and "3 rows" in agreement(rows([1, 2], [1, 2])).reason
    found = agreement([*rows([1, 2], [1.0, 2.0], 0.1), Measurement(3, 3.0, None, None)])
    assert found.tau == pytest.approx(1) and found.low is found.high is None
    assert "1 of the measured values" in found.reason
