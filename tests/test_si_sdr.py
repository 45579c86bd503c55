"""SI-SDR and SI-SNR: closed forms, torchmetrics in double precision, and what has no value."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio

from metrics.metric import Failed, SpeechItem, Undefined
from metrics.speech.si_sdr import SiSdr, SiSnr, si_sdr, si_snr

BOTH = pytest.mark.parametrize(("function", "zero_mean"), [(si_sdr, False), (si_snr, True)])


def pairs(count=6, samples=4000, seed=0, mean=0.2):
    """Noise with a mean, and estimates of it from good to bad."""
    random = torch.Generator().manual_seed(seed)
    reference = torch.randn(count, samples, generator=random, dtype=torch.float64) + mean
    noise = torch.randn(count, samples, generator=random, dtype=torch.float64)
    gain = torch.logspace(-3, 1, count, dtype=torch.float64)[:, None]
    return reference, reference + gain * noise


def orthogonal(x, y):
    return y - (x * y).sum() / x.square().sum() * x


@pytest.mark.parametrize("decibels", [-30.0, 0.0, 7.5, 60.0, 200.0])
def test_orthogonal_noise_at_a_ratio_gives_that_ratio(decibels):
    reference, noise = pairs(1)
    noise = orthogonal(reference[0], noise[0])
    noise *= reference.norm() / noise.norm() * 10 ** (-decibels / 20)
    assert float(si_sdr(reference=reference[0], estimate=3.7 * (reference[0] + noise)).values) == pytest.approx(
        decibels, abs=1e-5
    )


@BOTH
def test_equals_torchmetrics_where_its_epsilon_does_not_show(function, zero_mean):
    reference, estimate = pairs()
    expected = scale_invariant_signal_distortion_ratio(estimate, reference, zero_mean=zero_mean)
    values, reasons = function(reference=reference, estimate=estimate)
    assert values.dtype == torch.float64
    assert torch.allclose(values, expected, rtol=0, atol=1e-9)
    assert reasons == (None,) * 6


def test_the_mean_separates_the_two():
    """Signals that are never negative share their mean, which SI-SDR takes for signal and SI-SNR does not."""
    random = torch.Generator().manual_seed(1)
    reference, estimate = torch.rand(2, 16000, generator=random, dtype=torch.float64)
    kept = si_sdr(reference=reference, estimate=estimate).values
    removed = si_snr(reference=reference, estimate=estimate).values
    # For uniform noise: E[x]^2 / E[x^2] = 3/4, so the cosine is 3/4.
    assert float(kept) == pytest.approx(10 * np.log10((9 / 16) / (7 / 16)), abs=0.1)
    assert float(removed) < -30
    centred = {"reference": reference - reference.mean(), "estimate": estimate - estimate.mean()}
    assert torch.allclose(removed, si_sdr(**centred).values, rtol=0, atol=1e-9)


@BOTH
def test_gain_and_polarity_do_not_count_and_order_does(function, zero_mean):
    reference, estimate = pairs()
    values = function(reference=reference, estimate=estimate).values
    for gain in (-1.0, 1e-6, 1e6):
        assert torch.allclose(function(reference=reference, estimate=gain * estimate).values, values, atol=1e-8)
        assert torch.allclose(function(reference=gain * reference, estimate=estimate).values, values, atol=1e-8)
    signals = torch.ones(1, 3), torch.tensor([[1.0, 2.0, 6.0]])
    assert float(si_sdr(reference=signals[0], estimate=signals[1]).values) == pytest.approx(10 * np.log10(27 / 14))


@BOTH
def test_a_batch_equals_its_items_whatever_stands_in_the_padding(function, zero_mean):
    reference, estimate = pairs()
    lengths = torch.tensor([4000, 1, 37, 2000, 3999, 4000])
    for row, length in enumerate(lengths):
        reference[row, length:] = torch.nan
        estimate[row, length:] = torch.inf
    values, reasons = function(reference=reference, estimate=estimate, lengths=lengths)
    for row, length in enumerate(lengths):
        alone = function(reference=reference[row, :length], estimate=estimate[row, :length])
        assert torch.allclose(alone.values, values[row], rtol=0, atol=1e-9, equal_nan=True)
        assert alone.reasons == (reasons[row],)
    assert [reason is None for reason in reasons] == [True, False, True, True, True, True]


def reason(function, reference, estimate, **more):
    values, (reason,) = function(reference=torch.as_tensor(reference), estimate=torch.as_tensor(estimate), **more)
    assert torch.isnan(values).all()
    return reason


@BOTH
def test_what_has_no_value_says_why(function, zero_mean):
    x = np.random.default_rng(0).normal(size=1000)
    zeros = np.zeros(1000)
    assert reason(function, zeros, x) == Undefined("the reference is silent")
    assert reason(function, x, zeros) == Undefined("the estimate is silent")
    assert reason(function, zeros, zeros) == Undefined("the reference is silent")
    assert "infinite" in reason(function, x, x).reason
    assert "infinite" in reason(function, x, -0.3 * x).reason
    late, early = np.concatenate([zeros, x - x.mean()]), np.concatenate([x - x.mean(), zeros])
    assert "minus infinite" in reason(function, early, late).reason
    broken = np.where(np.arange(1000) == 7, np.nan, x)
    assert reason(function, broken, x) == Failed("the reference holds samples that are NaN or infinite")
    infinite = np.where(np.arange(1000) == 7, np.inf, x)
    assert reason(function, x, infinite) == Failed("the estimate holds samples that are NaN or infinite")
    assert reason(function, x, x, lengths=[0]) == Failed("the signals are empty")
    assert isinstance(reason(function, x[:0], x[:0]), Failed)


def test_a_constant_is_silent_only_once_its_mean_is_gone():
    x, constant = np.random.default_rng(0).normal(size=1000), np.full(1000, 0.3)
    assert reason(si_snr, constant, x) == Undefined("the reference is constant")
    assert reason(si_snr, x, constant) == Undefined("the estimate is constant")
    assert si_sdr(reference=torch.tensor(constant), estimate=torch.tensor(x)).reasons == (None,)


def test_a_copy_in_single_precision_is_as_good_as_its_rounding():
    x = torch.randn(16000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    value = float(si_sdr(reference=x, estimate=x.float()).values)
    assert 145 < value < 165


def test_shapes_and_lengths_that_do_not_agree_are_refused():
    with pytest.raises(ValueError, match=r"one shape.*\[2, 5\] and \[2, 6\]"):
        si_sdr(reference=torch.zeros(2, 5), estimate=torch.zeros(2, 6))
    with pytest.raises(ValueError, match="2 lengths from 0 to 5"):
        si_sdr(reference=torch.zeros(2, 5), estimate=torch.zeros(2, 5), lengths=[5, 6])


def test_the_random_state_of_the_caller_stays():
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    si_snr(reference=pairs()[0], estimate=pairs()[1])
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all()


@pytest.mark.parametrize("kind", [SiSdr, SiSnr])
def test_the_metric_measures_ragged_items_in_order(kind):
    random = np.random.default_rng(0)
    metric = pickle.loads(pickle.dumps(kind.create(None)))
    clean = random.normal(size=16000).astype(np.float32)
    noisy = clean + 0.5 * random.normal(size=16000).astype(np.float32)
    items = [
        SpeechItem("same", noisy, 16000, clean),
        SpeechItem("cut", noisy[:15000], 16000, clean),
        SpeechItem("long", noisy, 16000, clean[:14000]),
        SpeechItem("none", noisy, 16000),
        SpeechItem("silent", 0 * noisy, 16000, clean),
        SpeechItem("stereo", np.stack([noisy, noisy]), 16000, clean),
        SpeechItem("8k", noisy[:8000], 8000, clean[:8000]),
    ]
    rows = metric.measure(items)
    assert [type(row).__name__ for row in rows] == [
        "dict",
        "dict",
        "Failed",
        "Undefined",
        "Undefined",
        "Failed",
        "dict",
    ]
    assert rows[1]["cut_s"] == pytest.approx(1000 / 16000)
    function = si_sdr if kind is SiSdr else si_snr
    expected = function(reference=torch.tensor(clean[:15000]), estimate=torch.tensor(noisy[:15000])).values
    assert rows[1][metric.name] == float(expected)
    assert "differ by 0.12 s" in rows[2].reason
    aggregate = metric.aggregate({metric.name: np.array([1.0, 5.0])}, np.array([[1.0, 1.0], [3.0, 1.0]]))
    assert aggregate[metric.name].tolist() == [3.0, 2.0]
    assert metric.measure([]) == []


def test_signatures_tell_the_two_apart():
    assert SiSdr.create(None).signature("si_sdr") == "si_sdr|fs:own|mean:kept|len:cut0.1|f64|v1"
    assert SiSnr.create(None).signature("si_snr") == "si_snr|fs:own|mean:removed|len:cut0.1|f64|v1"


@pytest.mark.gpu
def test_the_gpu_gives_the_same():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    reference, estimate = pairs()
    expected = si_sdr(reference=reference, estimate=estimate, lengths=[4000, 9, 37, 2000, 3999, 4000]).values
    found = si_sdr(reference=reference.cuda(), estimate=estimate.cuda(), lengths=[4000, 9, 37, 2000, 3999, 4000])
    assert torch.allclose(found.values, expected, rtol=0, atol=1e-9)
