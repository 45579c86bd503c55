"""voice2face's front-end: 64 log-mel energies in the manner of CMU Sphinx, each bin normalised over its recording."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from baselines.layers.log_filter_banks import to_hz, to_mel

RATE = 16000
FRAME = 400
HOP = 160
FFT = 1024
FILTERS = 64
LOW_HZ, HIGH_HZ = 20.0, 7200.0
EMPHASIS = 0.97
FULL_SCALE = 32768.0
FLOOR = 1e-5
SHORTEST = 1000
"""Frames: shorter recordings are repeated up to this length."""


def sphinx_mel(samples: Tensor) -> Tensor:
    """Log-mel energies of one recording, not normalised.

    25 ms Hamming windows every 10 ms; the pre-emphasis of a frame starts from the last sample of the frame before it
    (not from the sample before its own first), 0 for the first frame; frames that reach past the end repeat their
    samples.

    Shape:
        `[samples]` at full scale 1.0 and 16 kHz -> `[64, int(samples / 160 + 1)]` float32
    """
    frames = _frames(samples.to(torch.float64) * FULL_SCALE)
    prior = torch.cat([frames.new_zeros(1), frames[:-1, -1]])
    before = torch.cat([prior[:, None], frames[:, :-1]], dim=1)
    window = torch.hamming_window(FRAME, periodic=False, dtype=torch.float64, device=frames.device)
    power = torch.view_as_real(torch.fft.rfft((frames - EMPHASIS * before) * window, FFT)).square().sum(dim=-1)
    return (power @ filters().to(frames.device)).clamp(min=FLOOR).log().T.float()


def normalised(mel: Tensor) -> Tensor:
    """Subtract each bin's mean over time and divide by its standard deviation. Shape: `[64, T]` -> `[64, T]`."""
    deviation = mel.std(dim=1, correction=0, keepdim=True)
    return (mel - mel.mean(dim=1, keepdim=True)) / (deviation + torch.finfo(torch.float32).eps)


def lengthened(mel: Tensor, frames: int = SHORTEST) -> Tensor:
    """Repeat a recording of fewer frames and cut it at exactly `frames`; longer ones stay whole."""
    if mel.shape[1] >= frames:
        return mel
    return mel.repeat(1, -(-frames // mel.shape[1]))[:, :frames]


def _frames(x: Tensor) -> Tensor:
    """`[frames, 400]`; a frame cut short by the end starts over at its own first sample until it is full."""
    count = int(len(x) / HOP + 1)
    starts = torch.arange(count, device=x.device) * HOP
    kept = (len(x) - starts).clamp(0, FRAME)
    offsets = torch.arange(FRAME, device=x.device) % kept.clamp(min=1)[:, None]
    index = (starts[:, None] + offsets).clamp(max=len(x) - 1)
    # A last frame that holds nothing at all is silent.
    return torch.where(kept[:, None] > 0, x[index], 0.0)


@lru_cache(maxsize=1)
def filters() -> Tensor:
    """Triangles of area 1 whose corners are rounded to FFT bins: `[513, 64]`, float64."""
    width_hz = RATE / FFT
    ends = to_mel(torch.tensor([LOW_HZ, HIGH_HZ], dtype=torch.float64))
    corners = to_hz(torch.linspace(ends[0], ends[1], FILTERS + 2, dtype=torch.float64))
    bins = np.round(corners.numpy() / width_hz)
    left, centre, right = bins[:-2], bins[1:-1], bins[2:]
    k = np.arange(FFT // 2 + 1)[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        shape = np.minimum((k - left) / (centre - left), (right - k) / (right - centre))
    return torch.from_numpy(np.clip(np.nan_to_num(shape), 0, 1) * 2 / ((right - left) * width_hz))
