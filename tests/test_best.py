"""The best group of a number: who is told apart from the best by the intervals."""

import numpy as np
import pytest

from benchmark.reports.best import best_group
from benchmark.results.schema import Aggregate


def number(value, low=None, high=None, better=True):
    return Aggregate(
        name="n", title="N", metric="n", value=value, low=low, high=high, spread=None, scored=9, total=9,
        signature="s", higher_is_better=better,
    )  # fmt: skip


def around(value, half, better=True):
    return number(value, value - half, value + half, better)


def mirrored(item):
    """The same number, counted downwards: its interval turns over."""
    return number(-item.value, -item.high, -item.low, not item.higher_is_better)


def random_numbers(seed):
    random = np.random.default_rng(seed)
    return [
        number(value, value - random.uniform(0, 2), value + random.uniform(0, 2)) for value in random.normal(0, 2, 6)
    ]


def test_with_even_intervals_it_is_the_test_of_two_independent_means():
    found = set()
    for seed in range(200):
        random = np.random.default_rng(seed)
        means, errors = random.normal(0, 2, 5), random.uniform(0.1, 2, 5)
        best = int(np.argmax(means))
        z = (means[best] - means) / np.hypot(errors, errors[best])
        expected = {n for n in range(5) if n == best or z[n] <= 1.959964}
        got = best_group([around(m, 1.959964 * e) for m, e in zip(means, errors, strict=True)])
        assert got == expected
        found.add(len(got))
    assert found == {1, 2, 3, 4, 5}


def test_of_two_equal_methods_both_stay_in_19_of_20_draws():
    random = np.random.default_rng(0)
    both = [
        len(best_group([around(a, 1.96), around(b, 1.96 * 2)])) == 2
        for a, b in random.normal(0, [1, 2], size=(4000, 2))
    ]
    assert 0.94 < np.mean(both) < 0.96


def test_the_facing_ends_count():
    """3-4-5: ends that face each other are 3 and 4 away, so a lead of 5 is not told apart and one of 5.1 is."""
    assert best_group([number(5, 2, 100), number(0, -100, 4)]) == {0, 1}
    assert best_group([number(5.1, 2.1, 100), number(0, -100, 4)]) == {0}


@pytest.mark.parametrize("seed", range(30))
def test_less_is_better_mirrors_more_is_better_and_order_does_not_matter(seed):
    items = random_numbers(seed)
    group = best_group(items)
    assert max(range(6), key=lambda n: items[n].value) in group
    assert best_group([mirrored(item) for item in items]) == group
    assert best_group(items[::-1]) == {5 - n for n in group}


@pytest.mark.parametrize("seed", range(30))
def test_who_overlaps_nobody_is_out(seed):
    items = random_numbers(seed)
    best = max(items, key=lambda item: item.value)
    assert {n for n in best_group(items) if items[n].high < best.low} == set()


def test_ties_share_the_place():
    assert best_group([number(1, 1, 1), number(1, 1, 1), number(0.9, 0.9, 0.9)]) == {0, 1}
    assert best_group([number(1, 1, 1, False), number(1, 1, 1, False), number(1.1, 1.1, 1.1, False)]) == {0, 1}


@pytest.mark.parametrize(
    ("items", "group"),
    [
        ([], set()),
        ([around(1, 1)], set()),  # alone
        ([around(1, 1), None, number(None)], set()),
        ([around(1, 0.1), None, around(1, 0.2)], {0, 2}),
        ([number(5), around(1, 9)], set()),  # the best has no interval
        ([around(5, 1), number(4.9)], {0}),
        ([around(5, 1, None), around(1, 1, None)], set()),  # neither direction is better
        ([number(5, 4, float("nan")), around(1, 9)], set()),
    ],
)
def test_what_is_missing_competes_with_nobody(items, group):
    assert best_group(items) == group
