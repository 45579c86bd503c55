"""Whether speech keeps time with the mouth: when the lips part and when it grows loud, cross-correlated.

The mouth opens for vowels and closes between them, so its opening and the level of the speech rise and fall together.
Both are brought to 100 values a second: the opening from the 25 frames of the video, the level from the band where the
resonances lie that the opening of the mouth moves most, 1 to 3.5 kHz (Chandrasekaran et al., PLoS Computational Biology
5 (2009) e1000436). What is slower than a syllable, below 2 Hz, is taken out of both: sentences share a beginning, a
middle and an end, and unrelated ones would seem to match. One clip is too short to tell; the curves of all clips are
averaged, and the peak of their mean is the offset of the method.

How high a peak must be to be one is counted in spreads, the standard deviation of the correlation of unrelated curves
that change as fast as these two (Bartlett, J. Royal Statistical Society Supplement 8 (1946) 27-41).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import scipy.fft
from scipy.ndimage import gaussian_filter1d
from scipy.signal import butter, sosfiltfilt

from metrics.metric import Failed, Metric, Report, SpeechItem, Statistics, Undefined, weighted_ratio
from metrics.speech.signals import fault, resampled

FPS = 25
"""Frames of the video a second. Frame k stands for the middle of the time that it is on screen, (k + 0.5) / 25 s."""
STEPS = 100
"""Values of both curves a second."""
STILL = 1e-9
"""Part of its largest value by which a curve that stands still may change: what is taken out leaves rounding."""
REACH = 50
"""Largest offset that is looked for in either direction, in steps."""
RATE = 16_000
BAND_HZ = (1000.0, 3500.0)
SMOOTH_STEPS = 2.0
"""Standard deviation of the Gaussian by which the level is smoothed: two periods of a low voice."""
SLOW_HZ = 2.0
"""What changes more slowly than this is taken out of both curves."""
LEAST_S = 1.0
"""Shorter clips hold too few syllables."""
BAR = 5.0
"""Spreads of the mean of all clips by which its peak must stand out, ..."""
EACH_BAR = 0.75
"""...and of a clip alone: sentences of one grammar match a little wherever they begin together, and many of them make
any trace stand out."""


class LipSync(Metric):
    """One offset for all clips of a method, and how strongly mouth and speech go together at that offset.

    A row holds what one clip tells: `correlation` at each offset, `variance` of the correlation of unrelated curves of
    this kind, and `seconds`, its length.
    """

    name = "lip_sync"
    version = 1
    looks_at_mouth: ClassVar[bool] = True
    reports = (
        Report(
            "lip_sync_ms",
            "LipSync",
            None,
            (-1000.0 * REACH / STEPS, 1000.0 * REACH / STEPS),
            unit="ms",
            weigh="sample",
            description="How late the speech is against the mouth, by the peak of the mean cross-correlation of clips.",
            interval="smooth",
        ),
        Report(
            "lip_sync_strength",
            "LipSync r",
            True,
            (-1.0, 1.0),
            weigh="sample",
            description="Correlation of mouth opening and level of the speech at that peak, mean over clips.",
            interval="correlation",
        ),
    )

    @classmethod
    def create(cls, networks: Any) -> LipSync:
        """Make the metric; where the mouth is, the item says."""
        return cls()

    def signature(self, report: str) -> str:
        low, high = (f"{hz / 1000:g}" for hz in BAND_HZ)
        about = f"{report}|level:{low}-{high}kHz|above:{SLOW_HZ:g}Hz|max:{REACH / STEPS:g}s|agg:pooled"
        return f"{about}|resample:soxr-hq|v{self.version}"

    def measure(self, items: Sequence[SpeechItem]) -> list[Statistics | Undefined | Failed]:
        """Rows of `correlation` `[101]` at offsets of -0.5 to 0.5 s, `variance` and `seconds`."""
        return [fault(item, reference=False) or self._row(item) for item in items]

    def _row(self, item: SpeechItem) -> Statistics | Undefined:
        if item.opening is None:
            return Undefined("the mouth is not seen: there is no video of who speaks")
        opening = np.asarray(item.opening, np.float64)
        seen = np.isfinite(opening)
        if 2 * seen.sum() < len(opening) or not seen.any():
            return Undefined(f"a face is found in {seen.sum()} of {len(opening)} frames; at least half are needed")
        sound = level(resampled(item.estimate, item.rate, RATE))
        count = min(len(sound), len(opening) * STEPS // FPS)
        if count < LEAST_S * STEPS:
            return Undefined(f"{count / STEPS:.2f} s of speech with video; {LEAST_S:g} s are needed")
        frames = np.arange(len(opening))
        times = (np.arange(count) + 0.5) * FPS / STEPS - 0.5
        mouth, sound = np.interp(times, frames[seen], opening[seen]), sound[:count]
        if np.ptp(mouth) <= STILL * np.abs(mouth).max():
            return Undefined("the mouth does not move")
        mouth, sound = without_slow(mouth), without_slow(sound)
        energy = (mouth**2).sum() * (sound**2).sum()
        if not energy > 0:
            return Undefined("the estimate is silent")
        size = scipy.fft.next_fast_len(2 * count, real=True)
        cross = scipy.fft.irfft(scipy.fft.rfft(sound, size) * scipy.fft.rfft(mouth, size).conj(), size)
        correlation = np.concatenate([cross[-REACH:], cross[: REACH + 1]]) / energy**0.5
        # Bartlett's variance of the correlation of independent curves that change no faster than these two.
        own = [scipy.fft.irfft(np.abs(scipy.fft.rfft(curve, size)) ** 2, size) for curve in (mouth, sound)]
        return {
            "correlation": correlation,
            "variance": float((own[0] * own[1]).sum() / energy / count),
            "seconds": count / STEPS,
        }

    def why_undefined(self, report: str) -> str:
        return "mouth and speech go together at no offset more than unrelated ones do; few clips seldom have one"

    def counts(self, report: str, statistics: Mapping[str, np.ndarray]) -> np.ndarray:
        return np.asarray(statistics["seconds"], np.float64)

    def aggregate(self, statistics: Mapping[str, np.ndarray], weights: np.ndarray) -> dict[str, np.ndarray]:
        """The peak of the mean correlation; clips weigh by their lengths.

        Whether it stands out is asked of all rows together, whatever their weights, so that draws agree about it.
        """
        seconds, variance = (np.asarray(statistics[name], np.float64) for name in ("seconds", "variance"))
        curves = np.asarray(statistics["correlation"], np.float64)
        place, strength = peaks(np.stack([weighted_ratio(seconds * r, seconds, weights) for r in curves.T], axis=1))
        share = seconds / seconds.sum()
        bar = max(BAR * (share**2 @ variance) ** 0.5, EACH_BAR * (share @ variance) ** 0.5)
        if (share @ curves).max() < bar:
            place = np.full(len(place), np.nan)
        return {"lip_sync_ms": 1000 * place / STEPS, "lip_sync_strength": strength}


def level(samples: np.ndarray) -> np.ndarray:
    """Level of speech `[T]` at 16 kHz, 100 values a second; value k is of the middle of the k-th 10 ms.

    The square root of the amplitude: loud vowels do not outweigh all others.
    """
    hop = RATE // STEPS
    count = len(samples) // hop
    samples = np.asarray(samples, np.float64)
    if not count or not samples.any():
        return np.zeros(count)
    band = butter(2, BAND_HZ, "bandpass", fs=RATE, output="sos")
    heard = sosfiltfilt(band, samples / np.abs(samples).max(), padlen=min(len(samples) - 1, 3 * hop))
    squares = (heard[: count * hop].reshape(count, hop) ** 2).mean(axis=1)
    return np.asarray(gaussian_filter1d(squares, SMOOTH_STEPS) ** 0.25)


def without_slow(curve: np.ndarray) -> np.ndarray:
    """A curve `[K]` less what changes more slowly than `SLOW_HZ`."""
    return np.asarray(curve - gaussian_filter1d(curve, STEPS / (2 * np.pi * SLOW_HZ)))


def peaks(curves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where in `[B, 101]` curves the highest point lies, in steps from the middle and by a parabola, and its height.

    NaN in a curve of NaN.
    """
    inner = curves[:, 1:-1]
    top = np.where(np.isnan(inner), -np.inf, inner).argmax(axis=1) + 1
    left, middle, right = (curves[np.arange(len(curves)), top + side] for side in (-1, 0, 1))
    bend = left - 2 * middle + right
    between = np.clip(np.divide(left - right, 2 * bend, out=np.zeros_like(bend), where=bend < 0), -0.5, 0.5)
    return np.where(np.isnan(middle), np.nan, top - curves.shape[1] // 2 + between), middle
