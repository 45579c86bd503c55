"""Speech in noise: the noises that need no recording, and how two signals are mixed.

The rule is FlowAVSE's (its official evaluation): both signals are brought to one standard deviation over the clip, the
noise is moved by the SNR asked for, and the sum is scaled to a random peak.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from benchmark.errors import MediaError

RATE = 16_000
NOISES = ("white", "pink", "babble", "music")
"""Kinds that are made here: babble of given voices, the others of nothing but a seed."""
TALKER, RECORDED = "talker", "recorded"
"""Kinds that are read: one other person's speech, a recording of noise."""
AS_RECORDED = "as recorded"
"""What is in a recording that is noisy already: nothing is made or added."""
BABBLE_VOICES = 6
PEAK_MEAN, PEAK_DEVIATION, PEAK_LOW, PEAK_HIGH = 0.9, 0.5, 0.3, 0.99


class Mixture(NamedTuple):
    """Shape: both `[T]` float32; of what is mixed here the peak of the louder is at most 0.99."""

    noisy: np.ndarray
    clean: np.ndarray | None
    """The speech as it is in `noisy`: what an enhancer should give back. None where nobody knows it."""


def mix(clean: np.ndarray, noise: np.ndarray, snr_db: float, seed: int) -> Mixture:
    """Add noise to speech at an SNR of standard deviations over the whole clip, at a random peak.

    The peak t of the mixture (and of the clean speech, should that be louder) is drawn from N(0.9, 0.5), from
    U(0.3, 0.99) where that leaves 0.3..0.99.

    Args:
        clean, noise: `[T]` of one length.
        snr_db: -100 to 100.

    Raises:
        MediaError: either is empty, silent or constant, or holds NaN or infinite samples; their lengths differ; an SNR
            out of range.
    """
    if not -100 <= snr_db <= 100:
        raise MediaError(f"Expected an SNR of -100 to 100 dB, got {snr_db}")
    if clean.shape != noise.shape or clean.ndim != 1:
        raise MediaError(f"Expected speech and noise [T] of one length, got {clean.shape} and {noise.shape}")
    speech, other = _unit(clean, "speech"), _unit(noise, "noise")
    other = other * 10 ** (-snr_db / 20)
    noisy = speech + other
    random = np.random.default_rng(seed)
    peak = random.normal(PEAK_MEAN, PEAK_DEVIATION)
    if not PEAK_LOW <= peak <= PEAK_HIGH:
        peak = random.uniform(PEAK_LOW, PEAK_HIGH)
    gain = peak / max(float(np.abs(noisy).max()), float(np.abs(speech).max()))
    return Mixture((noisy * gain).astype(np.float32), (speech * gain).astype(np.float32))


def noise(kind: str, length: int, seed: int, voices: Sequence[np.ndarray] = ()) -> np.ndarray:
    """Noise of a kind of `NOISES`, `TALKER` or `RECORDED`: `[length]` float64, the same for the same seed.

    Args:
        kind: `white` and `pink` are Gaussian, pink falling by 3 dB an octave above 20 Hz; `babble` adds the voices at
            equal strength, each from a random place; `music` is plucked chords with bass and beat; `talker` and
            `recorded` are the one signal in `voices`.
        voices: signals `[T]` at 16 kHz, repeated where they are shorter.

    Raises:
        MediaError: an unknown kind, or voices that are missing, empty or silent.
    """
    random = np.random.default_rng(seed)
    if kind == "white":
        return random.standard_normal(length)
    if kind == "pink":
        return _pink(length, random)
    if kind == "music":
        return _music(length, random)
    if kind in ("babble", TALKER, RECORDED):
        if not voices:
            raise MediaError(f"Noise of kind '{kind}' needs recordings, got none")
        total = np.zeros(length)
        for voice in voices:
            part = looped(voice, length, int(random.integers(max(len(voice), 1))) if kind == "babble" else 0)
            total += _unit(part, f"recording of {kind}")
        return total
    raise MediaError(f"Unknown noise '{kind}'; expected one of {', '.join((*NOISES, TALKER, RECORDED))}")


def looped(signal: np.ndarray, length: int, start: int = 0) -> np.ndarray:
    """`length` samples of a signal from `start` on, beginning again where it ends.

    >>> looped(np.array([1, 2, 3]), 5, start=2).tolist()
    [3, 1, 2, 3, 1]
    """
    if not len(signal):
        raise MediaError("Expected a recording with samples, got an empty one")
    return signal[np.arange(start, start + length) % len(signal)]


def _unit(signal: np.ndarray, what: str) -> np.ndarray:
    if not np.isfinite(signal).all():
        raise MediaError(f"The {what} holds NaN or infinite samples")
    deviation = float(np.std(signal, dtype=np.float64)) if len(signal) else 0.0
    if not deviation > 1e-7:
        raise MediaError(f"The {what} is silent or constant over these {len(signal)} samples: no SNR can be set")
    return np.asarray(signal, np.float64) / deviation


def _pink(length: int, random: np.random.Generator) -> np.ndarray:
    spectrum = np.fft.rfft(random.standard_normal(length))
    hz = np.fft.rfftfreq(length, 1 / RATE)
    return np.fft.irfft(spectrum / np.sqrt(np.maximum(hz, 20.0)), length)


_SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10))
"""Major and minor, in semitones."""


def _music(length: int, random: np.random.Generator) -> np.ndarray:
    """Four chords over a bass, a melody on top and a beat beneath: harmonic and rhythmic, without being speech."""
    scale = _SCALES[random.integers(2)]
    key_hz = 110 * 2 ** (random.integers(12) / 12)
    beat = int(RATE * 60 / random.uniform(80, 150))
    brightness = random.uniform(0.4, 0.75)
    offset = int(random.integers(4 * beat))
    out = np.zeros(length + offset + 4 * beat)

    def note(at: int, degree: int, octave: int, beats: float, gain: float) -> None:
        hz = key_hz * 2 ** (octave + degree // 7) * 2 ** (scale[degree % 7] / 12)
        time = np.arange(min(int(beats * beat), len(out) - at)) / RATE
        tone = np.zeros(len(time))
        for harmonic in range(1, 9):
            if harmonic * hz < RATE / 2:
                decay = np.exp(-(1.5 + 0.7 * harmonic) * time)
                tone += brightness ** (harmonic - 1) * decay * np.sin(2 * np.pi * harmonic * hz * time)
        attack = np.minimum(time / 0.008, 1)
        out[at : at + len(time)] += gain * attack * tone

    for number, at in enumerate(range(0, length + offset, beat)):
        if number % 4 == 0:
            root = int(random.integers(7))
            for step in (0, 2, 4):
                note(at, root + step, 1, 4, 0.5)
        if number % 2 == 0:
            note(at, root, 0, 2, 0.8)
        note(at, int(random.integers(14)), 2, 1, 0.6)
        click = random.standard_normal(min(int(0.08 * RATE), len(out) - at))
        out[at : at + len(click)] += (0.5 if number % 2 else 0.25) * click * np.exp(-np.arange(len(click)) / 250)
    return out[offset : offset + length]
