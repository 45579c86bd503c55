"""The Wiener filter against its closed forms and against the recursions written for one bin at a time."""

from __future__ import annotations

import numpy as np
import pytest

from baselines.wiener.filter import analysed, gains, noise_power, synthesised, wiener_filter
from baselines.wiener.method import Config, Wiener
from benchmark.errors import MethodError
from benchmark.registry import methods
from benchmark.tasks import TASKS
from benchmark.types import Audio, Example, Sample

RATE = 16_000


def white(seconds: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(int(seconds * RATE))


def spoken(seconds: float = 4.0) -> np.ndarray:
    """A buzz of 120 Hz that is on for 0.3 s and off for 0.3 s, first off."""
    time = np.arange(int(seconds * RATE)) / RATE
    buzz = sum(np.sin(2 * np.pi * 120 * k * time) / k for k in range(1, 30))
    return buzz * (time % 0.6 >= 0.3)


def si_sdr(reference: np.ndarray, estimate: np.ndarray) -> float:
    scaled = reference * (reference @ estimate) / (reference @ reference)
    return 10 * np.log10((scaled**2).sum() / ((estimate - scaled) ** 2).sum())


@pytest.mark.parametrize("length", [1, 255, 256, 257, 512, 5000])
def test_analysis_and_synthesis_give_the_samples_back(length: int) -> None:
    samples = white(1)[:length]
    spectrum = analysed(samples)
    assert spectrum.shape[1] == 257
    assert np.allclose(synthesised(spectrum, length), samples, atol=1e-12)
    assert wiener_filter(samples).shape == (length,)


def test_noise_of_one_level_is_found_and_removed() -> None:
    noise = 0.02 * white(20)
    power = np.abs(analysed(noise)) ** 2
    found = noise_power(power)[60:].mean(axis=0)
    # A periodogram of white noise is the variance times the window's energy, 256, on average; a little is taken for
    # speech and lost.
    assert 10 * np.log10(found[1:-1].mean() / (0.02**2 * 256)) == pytest.approx(-1, abs=0.5)
    left = wiener_filter(noise)[RATE:]
    assert 10 * np.log10(noise[RATE:].var() / left.var()) > 15


def test_gain_at_a_steady_ratio_is_that_ratio_over_one_more() -> None:
    # Where power = noise (1 + ratio) in each frame, the recursion rests at x = a G(x)^2 (1 + ratio) + (1 - a) ratio,
    # G = x / (1 + x), of which x = ratio is no exact but, for large ratios, the limit: G -> ratio / (1 + ratio).
    for ratio in (30.0, 300.0, 3000.0):
        found = gains(np.full((4000, 1), 1 + ratio), np.ones((4000, 1)))[-1, 0]
        assert found == pytest.approx(ratio / (1 + ratio), rel=2 / ratio)
    least = 10**-1.5
    assert gains(np.full((900, 1), 1.0), np.ones((900, 1)))[-1, 0] == pytest.approx(least / (1 + least))


def test_recursions_are_those_of_one_bin_at_a_time() -> None:
    power = np.random.default_rng(1).exponential(1, (80, 4)) * np.linspace(1, 60, 80)[:, None] ** 1.3
    noise, gain = noise_power(power), gains(power, noise_power(power))
    for column in range(4):
        tracked = power[:5, column].sum() / 5
        smooth, amplitude_square = 0.0, None
        for row, value in enumerate(power[:, column]):
            p = 1 / (1 + (1 + 10**1.5) * np.exp(-value / tracked * 10**1.5 / (1 + 10**1.5)))
            smooth = 0.9 * smooth + 0.1 * p
            if smooth > 0.99:
                p = min(p, 0.99)
            tracked = 0.8 * tracked + 0.2 * (p * tracked + (1 - p) * value)
            assert noise[row, column] == pytest.approx(tracked, rel=1e-9)
            posterior = value / tracked
            before = 1.0 if amplitude_square is None else amplitude_square
            prior = max(0.98 * before + 0.02 * max(posterior - 1, 0), 10**-1.5)
            wiener = prior / (1 + prior)
            amplitude_square = wiener**2 * posterior
            assert gain[row, column] == pytest.approx(wiener, rel=1e-9)


def test_speech_in_noise_gains() -> None:
    clean = spoken()
    noisy = clean + white(4) * np.sqrt(clean.var() / 10**0.5)
    assert si_sdr(clean, wiener_filter(noisy)) > si_sdr(clean, noisy) + 4
    assert si_sdr(clean, wiener_filter(clean + 1e-4 * white(4))) > 25


def test_level_is_kept_and_silence_stays_silent() -> None:
    noisy = spoken(1.0) + 0.2 * white(1)
    assert np.array_equal(wiener_filter(noisy * 2.0**-9), wiener_filter(noisy) * 2.0**-9)
    assert np.allclose(wiener_filter(-0.3 * noisy), -0.3 * wiener_filter(noisy))
    assert not wiener_filter(np.zeros(3000)).any()
    begun = wiener_filter(np.concatenate([np.zeros(8000), noisy]))
    assert np.isfinite(begun).all() and not begun[:7000].any() and begun[12000:].any()


def test_a_rise_of_the_noise_is_followed() -> None:
    noise = white(12) * np.where(np.arange(12 * RATE) < 4 * RATE, 0.01, 0.05)
    left = wiener_filter(noise)
    assert 10 * np.log10(noise[9 * RATE :].var() / left[9 * RATE :].var()) > 12


def test_it_is_a_row_of_both_tasks_that_looks_at_no_face() -> None:
    kind = methods.load("wiener")
    assert kind is Wiener and kind.title == methods.entry("wiener").title
    assert all(task in (kind.task, *kind.further_tasks) for task in ("av_enhancement", "av_separation"))
    assert all("wiener" in TASKS[task].references for task in ("av_enhancement", "av_separation"))
    method = Wiener(Config())
    method.load("cpu")
    speech = (0.1 * white(0.5)).astype(np.float32)
    bad = (Audio(speech * np.nan, RATE), Audio(speech, 8000), Audio(speech[:0], RATE))
    outputs = method.generate([Example(Sample("x", "x", {}), 0, 0, {"noisy": a}) for a in (*bad, Audio(speech, RATE))])
    for output, reason in zip(outputs, ("NaN or infinity", "at 16000 Hz", "no samples"), strict=False):
        assert isinstance(output, MethodError) and reason in str(output)
    assert outputs[-1].dtype == np.float32 and len(outputs[-1]) == len(speech)
