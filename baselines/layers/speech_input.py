"""Checks on the speech that a method is given."""

from __future__ import annotations

import numpy as np

from benchmark.errors import MethodError
from benchmark.types import Audio

RATE = 16000
SILENCE = 10 ** (-70 / 20)
"""A peak below -70 dB of full scale is silence."""


def usable_speech(audio: Audio, shortest_s: float, voiced: str = "") -> np.ndarray:
    """The samples, float32, if they are finite, audible, at 16 kHz and at least `shortest_s` long.

    Args:
        voiced: said of the duration in messages, " of it voiced" once pauses were cut.

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
        raise MethodError(f"Expected at least {shortest_s} s of speech, got {len(samples) / RATE:.2f} s{voiced}")
    peak = float(np.abs(samples).max())
    if peak < SILENCE:
        raise MethodError(f"Expected audible speech, got silence (peak {peak:.1e} of full scale)")
    return samples.astype(np.float32, copy=False)
