"""Checks on the speech that a method is given, and its pauses taken out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmark.errors import MethodError
from benchmark.types import Audio

RATE = 16000
SILENCE = 10 ** (-70 / 20)
"""A peak below -70 dB of full scale is silence."""


def usable_speech(audio: Audio, shortest_s: float, after: str = "") -> np.ndarray:
    """The samples, float32, if they are finite, audible, at 16 kHz and at least `shortest_s` long.

    Args:
        after: said of the duration in messages: what was done to the speech before.

    Raises:
        MethodError: what was expected and what came.
    """
    samples = np.asarray(audio.samples)
    if audio.rate != RATE:
        raise MethodError(f"Expected speech at {RATE} Hz, got {audio.rate} Hz: resample it first")
    if samples.ndim != 1:
        raise MethodError(f"Expected mono speech of shape [T], got shape {samples.shape}")
    if not np.isfinite(samples).all():
        raise MethodError("Expected finite samples, got NaN or infinity in the speech")
    if len(samples) < shortest_s * RATE:
        raise MethodError(f"Expected at least {shortest_s} s of speech, got {len(samples) / RATE:.2f} s{after}")
    peak = float(np.abs(samples).max())
    if peak < SILENCE:
        raise MethodError(f"Expected audible speech, got silence (peak {peak:.1e} of full scale)")
    return samples.astype(np.float32, copy=False)


def voiced_speech(audio: Audio, shortest_s: float, vad: Callable[[np.ndarray, int], np.ndarray]) -> np.ndarray:
    """The samples of usable speech without its pauses, at least `shortest_s` long before and after.

    Args:
        vad: the voiced parts of samples at a rate, joined; see `baselines.layers.vad`.

    Raises:
        MethodError: what was expected and what came.
    """
    samples = usable_speech(audio, shortest_s)
    voiced = vad(samples, audio.rate)
    if not len(voiced):
        raise MethodError(f"Expected speech, but no frame of {len(samples) / audio.rate:.2f} s is voiced")
    return usable_speech(Audio(voiced, audio.rate), shortest_s, " after pauses were cut")
