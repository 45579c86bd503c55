"""A Wiener filter in short-time spectra; every setting is the literature's, none was tried on the data at hand.

The a-priori SNR xi comes by the decision-directed approach (Ephraim and Malah 1984) with the gain of Wiener's
filter, xi / (1 + xi) (Scalart and Filho 1996), not below -15 dB (Cappé 1994). The noise power is tracked by the
probability that a bin holds speech (Gerkmann and Hendriks 2012, "Unbiased MMSE-based noise power estimation with low
complexity and low tracking delay").
"""

from __future__ import annotations

import numpy as np

WINDOW, HOP = 512, 256
"""32 ms at 16 kHz under the square root of a Hann window, half of it shared, as in Gerkmann and Hendriks."""
DIRECTED = 0.98
"""Weight of the frame before in the a-priori SNR (Ephraim and Malah 1984)."""
LEAST_SNR = 10 ** (-15 / 10)
SPEECH_SNR = 10 ** (15 / 10)
"""A-priori SNR where there is speech, for its probability alone."""
SMOOTHED_NOISE, SMOOTHED_PRESENCE = 0.8, 0.9
SURE = 0.99
"""The most that a frame may say once the smoothed probability exceeds it, so that a rise of the noise is noticed."""
FIRST_FRAMES = 5
"""Their mean is the first noise power."""
LEAST_NOISE = 1e-12
"""Of the loudest bin's power: digital silence has none, and SNRs are divided by it."""


def wiener_filter(noisy: np.ndarray) -> np.ndarray:
    """Enhance speech at 16 kHz.

    Shape:
        `[T]` -> `[T]` float64

    >>> wiener_filter(np.zeros(1000)).any()
    np.False_
    """
    spectrum = analysed(noisy)
    power = np.abs(spectrum) ** 2
    if not power.any():
        return np.zeros(len(noisy))
    return synthesised(spectrum * gains(power, noise_power(power)), len(noisy))


def noise_power(power: np.ndarray) -> np.ndarray:
    """Track the noise in power spectra: `[frames, bins]` -> `[frames, bins]`."""
    least = LEAST_NOISE * power.max()
    noise = np.maximum(power[:FIRST_FRAMES].mean(axis=0), least)
    presence = np.zeros(power.shape[1])
    tracked = np.empty_like(power)
    slope = SPEECH_SNR / (1 + SPEECH_SNR)
    for index, frame in enumerate(power):
        # P(speech | frame), where speech and its absence are as likely before the frame is seen
        probability = 1 / (1 + (1 + SPEECH_SNR) * np.exp(-slope * np.minimum(frame / noise, 700)))
        presence = SMOOTHED_PRESENCE * presence + (1 - SMOOTHED_PRESENCE) * probability
        probability = np.where(presence > SURE, np.minimum(probability, SURE), probability)
        expected = probability * noise + (1 - probability) * frame
        noise = np.maximum(SMOOTHED_NOISE * noise + (1 - SMOOTHED_NOISE) * expected, least)
        tracked[index] = noise
    return tracked


def gains(power: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Gain of each bin, 0.03 to 1, given its power and that of the noise: both `[frames, bins]`."""
    posterior = power / noise
    gain = np.empty_like(power)
    before = np.ones(power.shape[1])  # the estimate's power in the frame before, over the noise's
    for index, now in enumerate(posterior):
        prior = np.maximum(DIRECTED * before + (1 - DIRECTED) * np.maximum(now - 1, 0), LEAST_SNR)
        gain[index] = prior / (1 + prior)
        before = gain[index] ** 2 * now
    return gain


def analysed(samples: np.ndarray) -> np.ndarray:
    """Short-time spectra in which each sample lies in two windows: `[T]` -> `[frames, 257]`."""
    behind = HOP + -len(samples) % HOP
    padded = np.pad(samples.astype(np.float64), (HOP, behind), "symmetric")
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    return np.fft.rfft(frames * _window(), axis=1)


def synthesised(spectrum: np.ndarray, length: int) -> np.ndarray:
    """The inverse of `analysed`: `[frames, 257]` -> `[length]`."""
    frames = np.fft.irfft(spectrum, WINDOW, axis=1) * _window()
    halves = np.zeros((len(frames) + 1, HOP))
    halves[:-1] += frames[:, :HOP]
    halves[1:] += frames[:, HOP:]
    return halves.reshape(-1)[HOP : HOP + length]


def _window() -> np.ndarray:
    """Square root of the periodic Hann window, whose squares add up to 1 at half a window's distance."""
    return np.sin(np.pi * np.arange(WINDOW) / WINDOW)
