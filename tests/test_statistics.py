from math import comb

import numpy as np
import pytest

from benchmark.results.statistics import FEWEST, bootstrap, row_weights, speaker_index
from metrics.metric import weighted_mean, weighted_ratio


def clustered_mean(values, index):
    return lambda weights: {"mean": weighted_mean(values, row_weights(index, weights, "sample"))}


def test_the_interval_of_independent_rows_is_the_normal_one():
    values = np.random.default_rng(1).normal(size=400)
    estimate = bootstrap(400, clustered_mean(values, np.arange(400)))["mean"]
    half = 1.96 * values.std(ddof=1) / np.sqrt(400)
    assert estimate.value == pytest.approx(values.mean())
    assert estimate.high - estimate.value == pytest.approx(half, rel=0.08)
    assert estimate.value - estimate.low == pytest.approx(half, rel=0.08)


def test_intervals_cover_the_truth_of_clustered_data_and_row_resampling_would_not():
    random = np.random.default_rng(0)
    speakers, each, trials = 40, 10, 150
    index = np.repeat(np.arange(speakers), each)
    covered = naive = 0
    for _ in range(trials):
        values = np.repeat(random.normal(size=speakers), each) + 0.3 * random.normal(size=speakers * each)
        by_speaker = bootstrap(speakers, clustered_mean(values, index), draws=400)["mean"]
        by_row = bootstrap(len(values), clustered_mean(values, np.arange(len(values))), draws=400)["mean"]
        covered += by_speaker.low <= 0 <= by_speaker.high
        naive += by_row.low <= 0 <= by_row.high
    assert 0.88 <= covered / trials <= 0.99
    assert naive / trials < 0.65


def test_speakers_weigh_equally_however_many_rows_they_have():
    index, count = speaker_index(["a", "a", "a", "b"])
    weights = row_weights(index, np.ones((1, count)), "speaker")
    assert weighted_mean(np.array([1.0, 1.0, 1.0, 0.0]), weights)[0] == 0.5


def test_ratios_resample_numerator_and_denominator_together():
    errors, words = np.array([1.0, 0.0, 9.0]), np.array([10.0, 10.0, 10.0])
    assert weighted_ratio(errors, words, np.array([[1, 1, 1], [0, 2, 1]])).tolist() == pytest.approx([1 / 3, 0.3])


def test_draws_are_seeded_and_leave_the_global_state_alone():
    values = np.arange(30.0)
    before = np.random.get_state()[1].copy()
    first = bootstrap(30, clustered_mean(values, np.arange(30)), draws=200)
    assert first == bootstrap(30, clustered_mean(values, np.arange(30)), draws=200)
    assert np.array_equal(before, np.random.get_state()[1])


@pytest.mark.parametrize("count", [1, 2, 4, 5])
def test_fewer_than_five_speakers_have_a_value_and_no_interval(count):
    """Of n speakers there are C(2n - 1, n) different draws: 35 of four, 126 of five; an end needs 40."""
    assert (comb(2 * count - 1, count) >= 40) == (count >= FEWEST)
    estimate = bootstrap(count, clustered_mean(np.arange(count) + 2.0, np.arange(count)))["mean"]
    assert estimate.value == 2 + (count - 1) / 2
    assert np.isnan([estimate.low, estimate.high]).all() == (count < 5)
