"""Mel spectrograms as the networks of this folder were trained on them: librosa's (Slaney) and Kaldi's."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

# Slaney's scale (Auditory Toolbox): linear to 1 kHz, 15 mels there, then 27 mels for each factor of 6.4.
_HZ_PER_MEL = 200 / 3
_KNEE_HZ = 1000.0
_KNEE_MEL = _KNEE_HZ / _HZ_PER_MEL
_LOG_STEP = np.log(6.4) / 27


def slaney_filters(rate: int, n_fft: int, n_mels: int) -> Tensor:
    """Triangles of equal area between 0 Hz and the Nyquist frequency, as `librosa.filters.mel`.

    Shape:
        -> `[n_fft // 2 + 1, n_mels]` float64, to be multiplied by power spectra from the left.
    """
    top = _KNEE_MEL + np.log(rate / 2 / _KNEE_HZ) / _LOG_STEP if rate / 2 >= _KNEE_HZ else rate / 2 / _HZ_PER_MEL
    mels = np.linspace(0.0, top, n_mels + 2)
    curved = _KNEE_HZ * np.exp(_LOG_STEP * (np.maximum(mels, _KNEE_MEL) - _KNEE_MEL))
    edges = np.where(mels < _KNEE_MEL, _HZ_PER_MEL * mels, curved)
    bins = np.arange(n_fft // 2 + 1) * (rate / n_fft)
    return torch.from_numpy(_triangles(bins, edges) * (2 / (edges[2:] - edges[:-2])))


def kaldi_filters(rate: int, n_fft: int, n_mels: int, low_hz: float = 20.0) -> Tensor:
    """Triangles in mels (1127 ln(1 + f/700)) of height 1, as Kaldi's `compute-fbank-feats`; the Nyquist bin weighs 0.

    Shape:
        -> `[n_fft // 2 + 1, n_mels]` float64
    """

    def mel(hz: np.ndarray | float) -> np.ndarray:
        return 1127 * np.log1p(np.asarray(hz) / 700)

    edges = np.linspace(mel(low_hz), mel(rate / 2), n_mels + 2)
    return torch.from_numpy(_triangles(mel(np.arange(n_fft // 2 + 1) * (rate / n_fft)), edges))


def mel_power(x: Tensor, filters: Tensor, n_fft: int, hop: int) -> Tensor:
    """Power in mel bands of the whole frames of a signal: periodic Hann window, no padding.

    librosa's `melspectrogram` centres its frames: pad `n_fft // 2` zeros at both ends for the same.

    Shape:
        `[..., T]` -> `[..., (T - n_fft) // hop + 1, n_mels]`, in x's precision.
    """
    window = torch.hann_window(n_fft, periodic=True, dtype=x.dtype, device=x.device)
    spectrum = torch.fft.rfft(x.unfold(-1, n_fft, hop) * window)
    return (spectrum.real.square() + spectrum.imag.square()) @ filters.to(x)


def kaldi_fbank(x: Tensor, rate: int, n_mels: int) -> Tensor:
    """Log energies in mel bands as Kaldi computes them: 25 ms Hamming frames every 10 ms, no dither, whole frames only.

    Each frame loses its mean, then is pre-emphasised by 0.97; the FFT has the next power of two.

    Args:
        x: `[T]`, full scale 32768, as Kaldi reads 16-bit files.

    Shape:
        `[T]` -> `[(T - 0.025 rate) // (0.010 rate) + 1, n_mels]`, in x's precision; no frame where T is shorter.
    """
    length, hop = round(0.025 * rate), round(0.010 * rate)
    if len(x) < length:
        return x.new_empty((0, n_mels))
    frames = x.unfold(0, length, hop)
    frames = frames - frames.mean(dim=1, keepdim=True)
    frames = frames - 0.97 * torch.cat([frames[:, :1], frames[:, :-1]], dim=1)
    n_fft = 1 << (length - 1).bit_length()
    window = torch.hamming_window(length, periodic=False, dtype=x.dtype, device=x.device)
    power = torch.fft.rfft(functional.pad(frames * window, (0, n_fft - length))).abs().square()
    energies = power @ kaldi_filters(rate, n_fft, n_mels).to(x)
    return energies.clamp(min=torch.finfo(torch.float32).eps).log()


def _triangles(places: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """How far each of P places lies up the triangles whose feet and tip are three successive edges -> `[P, n]`."""
    rise = (places[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - places[:, None]) / (edges[2:] - edges[1:-1])
    return np.maximum(0.0, np.minimum(rise, fall))
