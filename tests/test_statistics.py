"""Intervals over speakers: closed forms, bounds, coverage by simulation, and when there is none."""

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import binomtest, pearsonr, t

from benchmark.results.statistics import FEWEST, Shape, resampled, row_weights, speaker_index, with_intervals
from metrics.faces.correlation import weighted_pearson
from metrics.metric import weighted_mean, weighted_ratio

INF = float("inf")
SHARE = Shape("share", (0.0, 1.0))


def clustered_mean(values, index, weigh="sample"):
    return lambda weights: {"mean": weighted_mean(values, row_weights(index, weights, weigh))}


def mean_of(values, shape=None):
    """The interval of a mean over speakers with one value each."""
    shapes = {"mean": shape} if shape else None
    return with_intervals(len(values), clustered_mean(np.asarray(values, float), np.arange(len(values))), shapes)[
        "mean"
    ]


def wilson(p, n, degrees):
    """Limits x of `|p - x| <= t * sqrt(x (1 - x) / n)`, by a fine grid."""
    x = np.linspace(0, 1, 2_000_001)
    held = x[(p - x) ** 2 <= t.ppf(0.975, degrees) ** 2 * x * (1 - x) / n]
    return pytest.approx((held[0], held[-1]), abs=2e-6)


@pytest.mark.parametrize("count", [5, 8, 30])
def test_a_mean_of_one_value_a_speaker_has_the_ordinary_interval(count):
    values = np.random.default_rng(count).normal(3, 2, count)
    found = mean_of(values)
    low, high = t.interval(0.95, count - 1, values.mean(), values.std(ddof=1) / count**0.5)
    assert found.value == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx((low, high))


def test_rows_of_a_speaker_go_together():
    """Copies of rows tell nothing new, be it all speakers' or, where speakers weigh equally, some speakers'."""
    values = np.random.default_rng(0).normal(size=9)
    single = mean_of(values)
    for repeats, weigh in ((np.full(9, 4), "sample"), (np.arange(1, 10), "speaker")):
        index = np.repeat(np.arange(9), repeats)
        found = with_intervals(9, clustered_mean(values[index], index, weigh))["mean"]
        assert (found.value, found.low, found.high) == pytest.approx((single.value, single.low, single.high))


def test_shares_of_very_different_size_leave_fewer_degrees_of_freedom():
    values = np.random.default_rng(1).normal(size=10)
    shares = np.array([7.0, 5.0, *np.ones(8)])

    def values_of(weights):
        return {"mean": weights @ (shares * values) / (weights @ shares)}

    found = with_intervals(10, values_of, {"mean": Shape(shares=shares)})["mean"]
    mean = shares @ values / shares.sum()
    without = [(shares @ values - n * v) / (shares.sum() - n) for n, v in zip(shares, values, strict=True)]
    error = (9 * np.var(without)) ** 0.5
    effective = 20**2 / (49 + 25 + 8)
    half = t.ppf(0.975, effective - 1) * error
    assert (found.low, found.high) == pytest.approx((mean - half, mean + half))


def test_a_share_of_hits_has_wilsons_interval():
    hits = [1] * 14 + [0] * 6
    found = mean_of(hits, SHARE)
    # The jackknife's variance of 20 hits and misses is p (1 - p) / 19.
    assert (found.low, found.high) == wilson(0.7, 19, 19)
    outside = binomtest(14, 20).proportion_ci(method="wilson")
    assert found.low < outside.low < outside.high < found.high, "t is wider than the normal curve"


@pytest.mark.parametrize("wrong", [0, 1, 2])
def test_where_nearly_all_speakers_are_right_each_counts_as_a_single_trial(wrong):
    """Below three who err, how often they err does not tell how speakers differ."""
    values = np.ones(12)
    values[:wrong] = 0.95
    found = mean_of(values, SHARE)
    assert (found.low, found.high) == wilson(values.mean(), 12, 11)
    below = mean_of(1 - values, SHARE)
    assert (1 - below.high, 1 - below.low) == pytest.approx((found.low, found.high))
    assert mean_of(3 + 2 * values, Shape("share", (3.0, 5.0))).low == pytest.approx(3 + 2 * found.low)


def test_three_who_err_tell_how_speakers_differ():
    values = np.ones(12)
    values[:3] = 0.95
    assert mean_of(values, SHARE).low > 0.9


def test_an_area_has_an_even_interval_on_the_logits_scale_with_as_many_degrees_as_its_variance_is_known_by():
    values = np.array([0.9, 0.95, 0.97, 0.99, 0.999, 0.98, 0.4, 0.96])
    found = mean_of(values, Shape("area", (0.0, 1.0)))
    mean, squares = values.mean(), (values - values.mean()) ** 2
    error = (squares.sum() / 8 / 7) ** 0.5 / (mean * (1 - mean))
    # The variance of a sum of eight independent squares, as the squares themselves tell it.
    freedom = min(7, 2 * squares.sum() ** 2 / (8 * squares.var()))
    assert freedom < 4
    ends = logit(mean) + np.array([-1, 1]) * t.ppf(0.975, freedom) * error
    assert (found.low, found.high) == pytest.approx(tuple(expit(ends)))
    turned = mean_of(1 - values, Shape("area", (0.0, 1.0)))
    assert (turned.low, turned.high) == pytest.approx((1 - found.high, 1 - found.low))
    wide = mean_of(5 * values - 2, Shape("area", (-2.0, 3.0)))
    assert (wide.low, wide.high) == pytest.approx((5 * found.low - 2, 5 * found.high - 2))
    even = mean_of([0.4, 0.6] * 10, Shape("area", (0.0, 1.0)))
    assert logit(even.high) == pytest.approx(t.ppf(0.975, 19) * 0.1 / 19**0.5 / 0.25)


def test_all_right_is_not_certain():
    found = mean_of(np.ones(8), SHARE)
    assert (found.value, found.high, found.why) == (1.0, 1.0, "")
    assert found.low == pytest.approx(8 / (8 + t.ppf(0.975, 7) ** 2))
    assert found.low < 0.025 ** (1 / 8), "not narrower than Clopper and Pearson's"


def test_a_rate_without_ceiling_stays_above_nought_and_reaches_further_up():
    errors, words = np.array([1, 0, 9, 2, 1, 1, 30, 3.0]), np.full(8, 40.0)

    def values(weights):
        return {"wer": weighted_ratio(errors, words, weights)}

    plain = with_intervals(8, values)["wer"]
    found = with_intervals(8, values, {"wer": Shape(bounds=(0.0, INF))})["wer"]
    assert plain.low < 0 < found.low < found.value < plain.high < found.high
    variance = ((plain.high - plain.value) / t.ppf(0.975, 7)) ** 2
    for limit in (found.low, found.high):
        squared = t.ppf(0.975, 7) ** 2 * variance * limit / found.value
        assert (limit - found.value) ** 2 == pytest.approx(squared)
    mirrored = with_intervals(8, lambda w: {"wer": -values(w)["wer"]}, {"wer": Shape(bounds=(-INF, 0.0))})["wer"]
    assert (mirrored.low, mirrored.high) == pytest.approx((-found.high, -found.low))


def test_far_from_its_bounds_a_number_has_the_ordinary_interval():
    values = np.random.default_rng(3).normal(0.5, 0.001, 20)
    plain = mean_of(values)
    for bounds in ((0.0, 1.0), (0.0, INF), (-INF, 1.0)):
        found = mean_of(values, Shape(bounds=bounds))
        assert (found.low, found.high) == pytest.approx((plain.low, plain.high), abs=1e-5)


def test_a_correlation_has_fishers_interval_and_stays_below_one():
    random = np.random.default_rng(4)
    x = random.normal(size=400)
    for noise in (0.05, 1.0):
        y = x + noise * random.normal(size=400)
        found = with_intervals(
            400, lambda w, y=y: {"r": weighted_pearson(x, y, w)}, {"r": Shape("correlation", (-1.0, 1.0))}
        )["r"]
        outside = pearsonr(x, y).confidence_interval()
        assert np.arctanh([found.low, found.high]) == pytest.approx(np.arctanh([outside.low, outside.high]), abs=0.03)
    few = with_intervals(
        6, lambda w: {"r": weighted_pearson(x[:6], -x[:6] + 0.1 * y[:6], w)}, {"r": Shape("correlation", (-1.0, 1.0))}
    )["r"]
    assert -1 < few.low < few.value < few.high < 1


def test_a_smooth_number_is_cut_off_at_its_bounds():
    values = np.array([0.1, 0.2, 0.1, 5.0, 0.3])
    found = mean_of(values, Shape("smooth", (0.0, 10.0)))
    plain = mean_of(values)
    assert plain.low < 0 == found.low
    assert found.high == plain.high


@pytest.mark.parametrize("count", [1, 2, 4, 5])
def test_fewer_than_five_speakers_have_a_value_and_no_interval(count):
    found = mean_of(np.arange(count) + 2.0)
    assert found.value == 2 + (count - 1) / 2
    assert np.isnan([found.low, found.high]).all() == (count < FEWEST) == bool(found.why)


def test_speakers_who_do_not_count_make_no_interval():
    """The age of four of twenty is known: that is four speakers."""
    known = np.arange(20) < 4
    shape = Shape(shares=known.astype(float))

    def values(weights):
        return {"mean": weighted_ratio(np.arange(20.0) * known, known, weights)}

    found = with_intervals(20, values, {"mean": shape})["mean"]
    assert (found.value, found.why) == (1.5, "fewer than 5 speakers")
    assert np.isnan([found.low, found.high]).all()


def test_there_is_no_interval_where_nothing_says_how_far_others_lie():
    alike = mean_of(np.full(9, 0.1), SHARE)
    assert np.isnan(alike.low)
    assert alike.why == "nothing differs between speakers"
    faultless = mean_of([0] * 9 + [0.2, 0.3], Shape(bounds=(0.0, INF)))
    assert np.isnan(faultless.low)
    assert faultless.why == "fewer than 3 speakers differ from 0"
    most = mean_of(np.arange(9), Shape(shares=np.array([40.0, *np.ones(8)])))
    assert most.why == "one of the speakers counts for more than half"
    clean = mean_of([1] * 9 + [0.9], Shape(bounds=(-1.0, 1.0)))
    assert clean.why == "fewer than 3 speakers differ from 1"
    known_not_to_hold = mean_of(np.arange(9), Shape(without="a deviation over splits"))
    assert (known_not_to_hold.value, known_not_to_hold.why) == (4.0, "a deviation over splits")

    def needs_the_first(weights):
        return {"mean": np.where(weights[:, 0] > 0, 1.0, np.nan)}

    assert with_intervals(9, needs_the_first)["mean"].why == "it has no value without one of the speakers"
    undefined = with_intervals(9, lambda w: {"mean": np.full(len(w), np.nan)})["mean"]
    assert np.isnan(undefined.value)
    assert undefined.why == ""


def test_the_value_is_that_of_weights_of_one_to_the_last_bit():
    values = np.random.default_rng(5).normal(size=50)
    index = np.sort(np.random.default_rng(6).integers(0, 10, 50))
    statistic = clustered_mean(values, index, "speaker")
    assert with_intervals(10, statistic)["mean"].value == statistic(np.ones((1, 10)))["mean"][0]


def test_many_speakers_are_weighed_a_few_at_a_time():
    seen = []

    def values(weights):
        seen.append(weights.shape)
        return {"mean": weights @ np.arange(2000.0) / weights.sum(axis=1)}

    found = with_intervals(2000, values)["mean"]
    assert max(rows * speakers for rows, speakers in seen) <= 500_000
    half = t.ppf(0.975, 1999) * np.arange(2000).std(ddof=1) / 2000**0.5
    assert found.high - found.value == pytest.approx(half)


def differing(random, index):
    return random.normal(size=index[-1] + 1)[index] + random.normal(size=len(index)), 1.0


def wrong_words(random, index):
    return random.poisson(6 * random.gamma(3, 0.2 / 3, index[-1] + 1)[index]), 6.0


def hits(random, index):
    return random.random(len(index)) < random.beta(1.2, 2.8, index[-1] + 1)[index], 1.0


WORLDS = {"mean": (differing, 0.0), "ratio": (wrong_words, 0.2), "share": (hits, 0.3)}
BOUNDS = {"mean": (-INF, INF), "ratio": (0.0, INF), "share": (0.0, 1.0)}


@pytest.mark.parametrize("kind", WORLDS)
@pytest.mark.parametrize("speakers", [8, 15])
def test_intervals_hold_the_truth_as_often_as_they_say(kind, speakers):
    """Speakers with 1 to 20 recordings. Percentiles of a bootstrap hold it in 85 to 92 % of these very trials."""
    make, truth = WORLDS[kind]
    random = np.random.default_rng(0)
    trials, held = 1500, 0
    for _ in range(trials):
        index = np.repeat(np.arange(speakers), random.integers(1, 21, speakers))
        above, each = make(random, index)
        below = np.full(len(index), each)
        sums, words = np.bincount(index, above, speakers), np.bincount(index, below, speakers)
        shape = Shape("share" if kind == "share" else "mean", BOUNDS[kind], np.bincount(index))
        one = with_intervals(
            speakers, lambda w, sums=sums, words=words: {"x": weighted_ratio(sums, words, w)}, {"x": shape}
        )
        held += one["x"].low <= truth <= one["x"].high
    assert 0.93 <= held / trials <= 0.97


def test_speakers_weigh_equally_however_many_rows_they_have():
    index, count = speaker_index(["a", "a", "a", "b"])
    weights = row_weights(index, np.ones((1, count)), "speaker")
    assert weighted_mean(np.array([1.0, 1.0, 1.0, 0.0]), weights)[0] == 0.5


def test_ratios_resample_numerator_and_denominator_together():
    errors, words = np.array([1.0, 0.0, 9.0]), np.array([10.0, 10.0, 10.0])
    assert weighted_ratio(errors, words, np.array([[1, 1, 1], [0, 2, 1]])).tolist() == pytest.approx([1 / 3, 0.3])


def test_draws_are_seeded_and_leave_the_global_state_alone():
    values = np.random.default_rng(1).normal(size=400)
    before = np.random.get_state()[1].copy()
    drawn = resampled(400, clustered_mean(values, np.arange(400)), 2000)["mean"]
    assert np.array_equal(drawn, resampled(400, clustered_mean(values, np.arange(400)), 2000)["mean"])
    assert np.array_equal(before, np.random.get_state()[1])
    assert drawn.std() == pytest.approx(values.std() / 400**0.5, rel=0.05)
