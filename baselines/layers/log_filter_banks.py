"""SF2F's log filter banks: the definition of python_speech_features' `logfbank` with 40 filters, as tensors.

Samples at 16-bit scale, pre-emphasis 0.97 over the whole recording, 25 ms rectangular windows every 10 ms, power
spectrum |X|^2 / 512, triangular filters between 0 Hz and half the rate, natural logarithm, then one fixed shift and
scale.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

RATE = 16000
FRAME = 400
HOP = 160
FFT = 512
FILTERS = 40
EMPHASIS = 0.97
FULL_SCALE = 32768.0
MEAN, DEVIATION = 10.9915, 3.1661
"""The official "vox_mel" normalisation: scalars measured over VoxCeleb."""
CHUNK = 40_000
"""Samples transformed at once: more would leave the processor's cache and take several times as long."""
EMPTY = torch.finfo(torch.float64).eps
"""Takes the place of an energy of exactly zero under the logarithm."""


def log_filter_banks(samples: Tensor) -> Tensor:
    """Normalised log filter-bank energies of recordings of one length.

    Computed in double precision: digital silence inside speech otherwise becomes noise of the transform.

    Shape:
        `[..., samples]` at full scale 1.0 and 16 kHz -> `[..., 40, frames]` float32,
        frames = 1 + ceil((samples - 400) / 160), at least 1; the last one is filled with zeros

    >>> log_filter_banks(torch.zeros(2, 20000)).shape
    torch.Size([2, 40, 124])
    """
    if samples.dim() > 1 and len(samples) > 1 and samples.numel() > CHUNK:
        return torch.cat([log_filter_banks(half) for half in samples.tensor_split(2)])
    x = samples.to(torch.float64) * FULL_SCALE
    x = torch.cat([x[..., :1], x[..., 1:] - EMPHASIS * x[..., :-1]], dim=-1)
    count = frame_count(x.shape[-1])
    x = F.pad(x, (0, FRAME + (count - 1) * HOP - x.shape[-1]))
    spectrum = torch.view_as_real(torch.fft.rfft(x.unfold(-1, FRAME, HOP), FFT)).square().sum(dim=-1) / FFT
    energy = spectrum @ filters().to(x.device)
    logarithm = torch.where(energy == 0, EMPTY, energy).log()
    return ((logarithm - MEAN) / DEVIATION).transpose(-1, -2).float()


def frame_count(samples: int) -> int:
    """How many frames `log_filter_banks` makes of so many samples."""
    return 1 if samples <= FRAME else 1 + math.ceil((samples - FRAME) / HOP)


def to_mel(hz: Tensor) -> Tensor:
    """2595 log10(1 + f / 700)."""
    return 2595 * torch.log10(1 + hz / 700)


def to_hz(mel: Tensor) -> Tensor:
    return 700 * (10 ** (mel / 2595) - 1)


@lru_cache(maxsize=1)
def filters() -> Tensor:
    """Triangles of height 1 whose corners are rounded down to FFT bins: `[257, 40]`, float64."""
    ends = to_mel(torch.tensor([0.0, RATE / 2], dtype=torch.float64))
    corners = to_hz(torch.linspace(ends[0], ends[1], FILTERS + 2, dtype=torch.float64))
    bins = torch.floor((FFT + 1) * corners / RATE)
    left, centre, right = bins[:-2], bins[1:-1], bins[2:]
    k = torch.arange(FFT // 2 + 1, dtype=torch.float64)[:, None]
    return torch.minimum((k - left) / (centre - left), (right - k) / (right - centre)).clamp(min=0)
