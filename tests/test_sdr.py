"""SDR: a projection that is solved another way, closed forms, torchmetrics, and what has no value."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from scipy.linalg import toeplitz
from scipy.signal import fftconvolve, resample_poly
from torchmetrics.functional.audio import signal_distortion_ratio

from metrics.metric import Failed, SpeechItem, Undefined
from metrics.speech.sdr import Sdr, sdr
from metrics.speech.si_sdr import si_sdr


def coloured(samples, seed=0):
    """Noise with a spectrum that falls, as that of speech does."""
    return fftconvolve(np.random.default_rng(seed).normal(size=samples), 0.9 ** np.arange(60))[:samples]


def ratio(reference, estimate, **more):
    values, _ = sdr(reference=torch.as_tensor(reference), estimate=torch.as_tensor(estimate), **more)
    return float(values[0])


def reason(reference, estimate, **more):
    values, (found,) = sdr(reference=torch.as_tensor(reference), estimate=torch.as_tensor(estimate), **more)
    assert found is None or torch.isnan(values).all()
    return found


def shifts(x, taps):
    return toeplitz(np.concatenate([x, np.zeros(taps - 1)]), np.concatenate([x[:1], np.zeros(taps - 1)]))


def projected(reference, estimate, taps):
    """SDR from an orthonormal basis of all shifts of the reference, explicit and at full length."""
    basis, _ = np.linalg.qr(shifts(reference, taps))
    y = np.concatenate([estimate, np.zeros(taps - 1)])
    target = basis @ (basis.T @ y)
    return 10 * np.log10((target @ target) / ((y - target) @ (y - target)))


@pytest.mark.parametrize("taps", [2, 64, 512])
def test_equals_the_projection_on_all_shifts(taps):
    reference = coloured(1500)
    estimate = fftconvolve(reference, [0.2, 1.0, -0.4])[:1500] + coloured(1500, 1)
    assert ratio(reference, estimate, taps=taps) == pytest.approx(projected(reference, estimate, taps), abs=1e-9)


@pytest.mark.parametrize("decibels", [-20.0, 0.0, 30.0, 80.0])
def test_a_filtered_reference_with_orthogonal_noise_gives_the_ratio_of_the_two(decibels):
    reference, noise = coloured(3000), coloured(3000, 1)
    reference[-600:] = 0  # every shift of the reference then ends within the signal
    target = fftconvolve(reference, np.random.default_rng(2).normal(size=300) * 0.98 ** np.arange(300))[:3000]
    basis, _ = np.linalg.qr(shifts(reference, 512)[:3000])
    for _ in range(2):
        noise = noise - basis @ (basis.T @ noise)
    noise *= np.linalg.norm(target) / np.linalg.norm(noise) * 10 ** (-decibels / 20)
    assert ratio(reference, target + noise) == pytest.approx(decibels, abs=1e-4)
    assert float(si_sdr(reference=torch.tensor(reference), estimate=torch.tensor(target + noise)).values) < decibels


def test_equals_torchmetrics_on_a_batch():
    reference = torch.tensor(np.stack([coloured(4000, seed) for seed in range(4)]))
    noise = torch.tensor(np.stack([coloured(4000, seed) for seed in range(4, 8)]))
    estimate = reference + torch.tensor([[0.01], [0.3], [1.0], [10.0]]) * noise
    values, reasons = sdr(reference=reference, estimate=estimate)
    assert values.dtype == torch.float64
    assert torch.allclose(values, signal_distortion_ratio(estimate, reference), rtol=0, atol=1e-8)
    assert reasons == (None,) * 4


def test_the_pair_of_real_recordings(realdata):
    import soundfile

    folder = realdata / "speech_pair"
    reference, estimate = (soundfile.read(folder / f"{name}.wav")[0] for name in ("speech", "speech_bab_0dB"))
    assert ratio(reference, estimate) == pytest.approx(0.2211319, abs=1e-6)


def test_a_batch_equals_its_items_whatever_stands_in_the_padding():
    reference = torch.tensor(np.stack([coloured(4000, seed) for seed in range(5)]))
    estimate = reference + 0.5 * torch.tensor(np.stack([coloured(4000, seed) for seed in range(5, 10)]))
    lengths = [4000, 512, 100, 3999, 1777]
    for row, length in enumerate(lengths):
        reference[row, length:] = torch.nan
        estimate[row, length:] = 1e9
    values, reasons = sdr(reference=reference, estimate=estimate, lengths=lengths)
    for row, length in enumerate(lengths):
        alone = sdr(reference=reference[row, :length], estimate=estimate[row, :length])
        assert torch.allclose(alone.values, values[row], rtol=0, atol=1e-8, equal_nan=True)
        assert alone.reasons == (reasons[row],)
    assert reasons[2] == Undefined("100 samples are fewer than the 512 taps of the filter that SDR forgives")


def test_gain_polarity_and_a_short_delay_do_not_count():
    reference, noise = coloured(4000), coloured(4000, 1)
    reference[-600:] = noise[-600:] = 0
    estimate = reference + noise
    value = ratio(reference, estimate)
    for gain in (-1.0, 1e-9, 1e9):
        assert ratio(reference, gain * estimate) == pytest.approx(value, abs=1e-8)
        assert ratio(gain * reference, estimate) == pytest.approx(value, abs=1e-8)
    late = np.roll(estimate, 100)
    assert ratio(reference, late) > value - 1
    assert float(si_sdr(reference=torch.tensor(reference), estimate=torch.tensor(late)).values) < value - 10


def test_a_reference_without_high_frequencies_is_still_solved():
    """Its shifts almost depend on one another: the matrix has a condition of 1e12."""
    reference = resample_poly(coloured(500), 6, 1)
    estimate = reference + 0.1 * coloured(3000, 1)
    assert ratio(reference, estimate) == pytest.approx(projected(reference, estimate, 512), abs=1e-6)


def test_what_has_no_value_says_why():
    x, zeros = coloured(2000), np.zeros(2000)
    assert reason(zeros, x) == Undefined("the reference is silent")
    assert reason(x, zeros) == Undefined("the estimate is silent")
    assert "infinite" in reason(x, -2 * x).reason
    padded = np.concatenate([x, zeros])
    assert "infinite" in reason(padded, fftconvolve(padded, [1.0, 0.5, 0.2])[:4000]).reason
    assert "minus infinite" in reason(np.concatenate([zeros, x]), np.concatenate([x, zeros])).reason
    broken = np.where(np.arange(2000) == 7, np.nan, x)
    assert reason(broken, x) == Failed("the reference holds samples that are NaN or infinite")
    assert reason(x, -np.inf * np.ones(2000)) == Failed("the estimate holds samples that are NaN or infinite")
    assert reason(x, x, lengths=[0]) == Failed("the signals are empty")
    assert reason(x[:0], x[:0]) == Failed("the signals are empty")
    assert isinstance(reason(x[:511], x[:511]), Undefined)


def test_a_reference_that_cannot_be_solved_takes_no_other_with_it(monkeypatch):
    from fast_bss_eval.torch import metrics

    solve = metrics.solve

    def singular(matrix, right):
        if (matrix[:, 0, 0, 1] > 0.999).any():
            raise torch.linalg.LinAlgError("singular")
        return solve(matrix, right)

    monkeypatch.setattr(metrics, "solve", singular)
    reference = torch.tensor(np.stack([coloured(3000), np.ones(3000), coloured(3000, 1)]))
    estimate = reference + torch.tensor(np.stack([coloured(3000, seed) for seed in (2, 3, 4)]))
    values, reasons = sdr(reference=reference, estimate=estimate)
    assert [type(found) for found in reasons] == [type(None), Failed, type(None)]
    assert torch.isfinite(values).tolist() == [True, False, True]


def test_arguments_that_do_not_agree_are_refused():
    with pytest.raises(ValueError, match="at least 2 taps, got 1"):
        sdr(reference=torch.zeros(5), estimate=torch.zeros(5), taps=1)
    with pytest.raises(ValueError, match="one shape"):
        sdr(reference=torch.zeros(5), estimate=torch.zeros(6))


def test_the_random_state_of_the_caller_stays():
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    ratio(coloured(1000), coloured(1000, 1))
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all()


def test_the_metric_measures_ragged_items_in_order():
    metric = pickle.loads(pickle.dumps(Sdr.create(None)))
    clean = coloured(8000).astype(np.float32)
    noisy = clean + coloured(8000, 1).astype(np.float32)
    rows = metric.measure(
        [
            SpeechItem("cut", noisy[:7500], 8000, clean),
            SpeechItem("long", noisy[:7000], 8000, clean),
            SpeechItem("silent", 0 * noisy, 8000, clean),
            SpeechItem("none", noisy, 8000),
            SpeechItem("nan", np.where(noisy > 2, np.nan, noisy), 8000, clean),
        ]
    )
    assert [type(row).__name__ for row in rows] == ["dict", "Failed", "Undefined", "Undefined", "Failed"]
    assert rows[0] == {"sdr": ratio(clean[:7500], noisy[:7500]), "cut_s": 500 / 8000}
    aggregate = metric.aggregate({"sdr": np.array([1.0, 5.0])}, np.array([[1.0, 1.0]]))
    assert aggregate["sdr"].tolist() == [3.0]
    assert metric.signature("sdr") == "sdr|fs:own|bss-eval-v3|taps:512|len:cut0.1|impl:fast_bss_eval|f64|v1"
