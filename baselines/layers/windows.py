"""The sliding window over feature frames (SF2F, Sec. 4, Pre-Processing)."""

from __future__ import annotations

import math

from torch import Tensor


def stride_of(frames: int, overlap: float) -> int:
    """Frames between the starts of two windows; 63 for 125 frames with 50 % overlap, as in the official inference."""
    return max(1, math.ceil(frames * (1 - overlap)))


def sliding_windows(features: Tensor, frames: int, overlap: float) -> Tensor:
    """Cut features into windows of `frames`, each sharing the part `overlap` with the one before.

    Frames after the last whole window are left out. Features of `frames` or fewer are one window, of their own length.

    Shape:
        `[bins, T]` -> `[N, bins, frames]`, N = 1 + (T - frames) // stride; `[1, bins, T]` where T <= frames
    """
    if features.shape[1] <= frames:
        return features[None]
    return features.unfold(1, frames, stride_of(frames, overlap)).transpose(0, 1)
