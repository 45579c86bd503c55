"""The compressed complex spectrogram that both stages work on."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

N_FFT, HOP = 510, 128
"""256 bins; 8 ms."""


def spectrogram(audio: Tensor, exponent: float = 0.5, factor: float = 0.33) -> Tensor:
    """Short-time Fourier transform (Hann, centred) with its magnitude compressed: factor |X|^exponent e^(i phase).

    Source: the official code of FlowAVSE; the paper states no front-end.

    Shape:
        `[B, L]`, L above 255 -> `[B, 2, 256, 1 + floor(L / 128)]`: real part, imaginary part
    """
    x = torch.stft(audio, N_FFT, HOP, window=_window(audio), center=True, return_complex=True)
    # Below 1e-8 nothing is heard, and the negative power of zero would be infinite.
    x = factor * x * x.abs().clamp(min=1e-8) ** (exponent - 1)
    return torch.view_as_real(x).permute(0, 3, 1, 2)


def waveform(x: Tensor, length: int, exponent: float = 0.5, factor: float = 0.33) -> Tensor:
    """Undo `spectrogram`.

    Shape:
        `[B, 2, 256, T]`, length below 128 T -> `[B, length]`
    """
    z = torch.view_as_complex(x.permute(0, 2, 3, 1).contiguous().float()) / factor
    z = z * z.abs() ** (1 / exponent - 1)
    return torch.istft(z, N_FFT, HOP, window=_window(z.real), center=True, length=length)


def noise_like(x: Tensor, generators: Sequence[torch.Generator] | None = None) -> Tensor:
    """Complex normal noise of variance 1 a bin: 1/2 each for real and imaginary part, as torch draws complex tensors.

    Args:
        x: a batch of spectrograms, for shape and device.
        generators: one for each item, whose draw then does not depend on its batch; torch's own without.
    """
    if generators is None:
        drawn = torch.randn_like(x)
    else:
        drawn = torch.stack([torch.randn(x.shape[1:], generator=generator) for generator in generators]).to(x.device)
    return drawn * math.sqrt(0.5)


def frames_of(length: int) -> int:
    """Frames of a signal of `length` samples.

    >>> frames_of(32640)
    256
    """
    return 1 + length // HOP


def _window(like: Tensor) -> Tensor:
    return torch.hann_window(N_FFT, periodic=True, dtype=like.dtype, device=like.device)
