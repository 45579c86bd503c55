"""How late an estimate is against its reference, by cross-correlation.

A copy of the waveform, in noise, filtered, at any gain or polarity, shows as one sharp peak of the correlation whose
spectrum is whitened (GCC-PHAT: Knapp & Carter 1976), exact to the sample. Speech that was made anew by a vocoder shares
no waveform with its reference; there the magnitudes of 12 bands are correlated over time instead, exact to about 4 ms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.fft

from metrics.metric import Failed, Metric, Report, SpeechItem, Statistics, Undefined, weighted_mean

CONFIDENT = 0.5
"""A delay found with less is not reported. Unrelated speech of 3 s and more has stayed below 0.45."""

BAND_HZ = (100.0, 4000.0)
"""Where speech is strong in all recordings."""


@dataclass(frozen=True)
class Delay:
    """How late an estimate is."""

    seconds: float | None
    """Positive where the estimate is late, negative where it is early; None where no peak is clear."""
    confidence: float
    """From 0 to 1: by how much the peak of the waveforms exceeds its strongest rival, as a part of the peak; or, of
    the bands, the correlation itself. The larger of the two."""


def estimate_delay(*, reference: np.ndarray, estimate: np.ndarray, rate: int, max_s: float = 0.5) -> Delay:
    """Find the delay of an estimate; see the module's docstring for how.

    Args:
        reference: clean signal.
        estimate: signal to be judged; its length may differ.
        rate: of both, Hz.
        max_s: largest delay looked for, in either direction.

    Shape:
        `[T]` and `[T']`.

    Raises:
        ValueError: signals that are not mono, empty, or hold NaN; a rate or range that is not above 0.
    """
    if rate <= 0 or max_s <= 0:
        raise ValueError(f"Expected a rate and a largest delay above 0, got {rate} Hz and {max_s} s")
    signals = [np.asarray(x, np.float64) for x in (reference, estimate)]
    for name, x in zip(("reference", "estimate"), signals, strict=True):
        if x.ndim != 1 or not x.size or not np.isfinite(x).all():
            raise ValueError(f"Expected a mono, finite {name} [T] with T > 0, got shape {list(x.shape)}")
    if not all(x.any() for x in signals):
        return Delay(None, 0.0)
    # Nobody's level decides: the squares of very small samples would vanish.
    signals = [x / np.abs(x).max() for x in signals]
    found = _by_waveform(*signals, rate, max_s)
    if found.confidence < CONFIDENT:
        found = max(found, _by_bands(*signals, rate, max_s), key=lambda delay: delay.confidence)
    return found if found.confidence >= CONFIDENT else Delay(None, found.confidence)


def aligned(reference: np.ndarray, estimate: np.ndarray, delay_s: float, rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Take a delay out of an estimate -> reference and estimate that start together.

    The head of a late estimate is dropped, an early one gets zeros before it. What the shift alone makes the other end
    differ by is cut: the reference is not held against a late estimate that ends with the recording. A difference in
    length that was there before stays, for the metric to judge.

    Raises:
        ValueError: a delay as long as the estimate.
    """
    shift = round(delay_s * rate)
    if shift >= len(estimate) > 0:
        raise ValueError(f"A delay of {delay_s:g} s leaves nothing of an estimate of {len(estimate) / rate:g} s")
    if shift >= 0:
        estimate = estimate[shift:]
        return reference[: len(reference) - min(shift, max(0, len(reference) - len(estimate)))], estimate
    estimate = np.concatenate([np.zeros(-shift, estimate.dtype), estimate])
    return reference, estimate[: len(estimate) - min(-shift, max(0, len(estimate) - len(reference)))]


def _by_waveform(reference: np.ndarray, estimate: np.ndarray, rate: int, max_s: float) -> Delay:
    # Whitened, two recordings that begin or end with a step would be taken for copies of each other.
    reference, estimate = (_faded(x, round(0.02 * rate)) for x in (reference, estimate))
    reach = int(max_s * rate)
    size = scipy.fft.next_fast_len(max(len(reference), len(estimate)) + reach, real=True)
    cross = scipy.fft.rfft(estimate, size) * scipy.fft.rfft(reference, size).conj()
    hz = scipy.fft.rfftfreq(size, 1 / rate)
    strength = np.abs(cross)
    use = (hz >= BAND_HZ[0]) & (hz <= BAND_HZ[1]) & (strength > 0)
    white = np.divide(cross, strength, out=np.zeros_like(cross), where=use)
    correlation = np.abs(_lags(scipy.fft.irfft(white, size), reach))
    peak = int(correlation.argmax())
    rivals = np.abs(np.arange(len(correlation)) - peak) > 0.005 * rate
    if not correlation[peak] or not rivals.any():
        return Delay(None, 0.0)
    return Delay((peak - reach) / rate, float(1 - correlation[rivals].max() / correlation[peak]))


def _by_bands(reference: np.ndarray, estimate: np.ndarray, rate: int, max_s: float) -> Delay:
    hop = max(1, round(0.008 * rate))
    reach = int(max_s * rate / hop)
    bands = [_bands(x, rate, hop) for x in (reference, estimate)]
    size = scipy.fft.next_fast_len(max(x.shape[1] for x in bands) + reach, real=True)
    spectra = [scipy.fft.rfft(x, size) for x in bands]
    correlation = _lags(scipy.fft.irfft((spectra[1] * spectra[0].conj()).sum(0), size), reach)
    peak = int(correlation.argmax())
    # Each band weighs alike; one that is empty or constant in either signal weighs nothing.
    height = float(correlation[peak] / len(bands[0]))
    if not 0 < peak < len(correlation) - 1:
        return Delay(None, 0.0)
    left, top, right = correlation[peak - 1 : peak + 2]
    curvature = left - 2 * top + right
    between = 0.5 * (left - right) / curvature if curvature < 0 else 0.0
    return Delay((peak - reach + between) * hop / rate, min(max(height, 0.0), 1.0))


def _faded(x: np.ndarray, samples: int) -> np.ndarray:
    """The signal with a raised-cosine fade at both ends, over half of a short one."""
    fade = np.hanning(2 * min(samples, len(x) // 2) + 1)
    envelope = np.ones(len(x))
    envelope[: len(fade) // 2] = fade[: len(fade) // 2]
    envelope[len(x) - len(fade) // 2 :] = fade[len(fade) // 2 + 1 :]
    return x * envelope


def _lags(correlation: np.ndarray, reach: int) -> np.ndarray:
    """Lags from `-reach` to `reach` of a circular correlation."""
    return np.concatenate([correlation[len(correlation) - reach :], correlation[: reach + 1]])


def _bands(x: np.ndarray, rate: int, hop: int) -> np.ndarray:
    """Magnitude in 12 bands over time, each without its mean and of norm 1 (or all zero), `[12, frames]`."""
    window = max(16, round(0.064 * rate))
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(x, window // 2), window)[::hop]
    power = np.abs(scipy.fft.rfft(frames * np.hanning(window), axis=1)) ** 2
    hz = scipy.fft.rfftfreq(window, 1 / rate)
    edges = np.geomspace(*BAND_HZ, 13)
    inside = (hz[:, None] >= edges[:-1]) & (hz[:, None] < edges[1:])
    magnitude = np.sqrt(power @ inside.astype(np.float64)).T
    magnitude -= magnitude.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(magnitude, axis=1, keepdims=True)
    return np.divide(magnitude, norm, out=np.zeros_like(magnitude), where=norm > 0)


class DelayFound(Metric):
    """The delay that was found in each pair, whether it was taken out or not; a row holds `delay_ms`."""

    name = "delay"
    version = 1
    reports = (
        Report(
            "delay_ms",
            "delay",
            None,
            (-500.0, 500.0),
            unit="ms",
            weigh="sample",
            description="How late the estimate is, by cross-correlation of waveforms, else of band magnitudes.",
        ),
    )

    @classmethod
    def create(cls, networks: Any) -> DelayFound:
        """Make the metric."""
        return cls()

    def signature(self, report: str) -> str:
        return f"delay_ms|gcc-phat-or-bands|max:0.5s|v{self.version}"

    def measure(self, items: Sequence[SpeechItem]) -> list[Statistics | Undefined | Failed]:
        """Rows of the delay that the items carry, in milliseconds."""
        return [
            Undefined("no delay stands out") if item.delay_s is None else {"delay_ms": 1000 * item.delay_s}
            for item in items
        ]

    def aggregate(self, statistics: Mapping[str, np.ndarray], weights: np.ndarray) -> dict[str, np.ndarray]:
        return {"delay_ms": weighted_mean(statistics["delay_ms"], weights)}
