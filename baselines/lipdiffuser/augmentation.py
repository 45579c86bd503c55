"""Mouth pictures moved, scaled, mirrored and lit at random, a clip's all alike."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmark.media.mouth_video import CENTRE, SIDE

SHIFT, SCALE = 4.0, 0.1
"""Pixels, and part of the size, by which a clip's pictures are moved and scaled at most, uniformly."""
GAIN, OFFSET = 0.3, 0.15
"""Of the contrast, in parts of it, and of the brightness, in parts of white."""


def augmentation(rng: np.random.Generator, count: int) -> tuple[Tensor, Tensor]:
    """For each clip how its pictures are warped and lit.

    Returns:
        `[B, 2, 3]`, from places in the result to places in the pictures, both in [-1, 1] from edge to edge of the
        centre; and `[B, 2]`, a factor of the contrast and what is added in parts of white.
    """
    mirrored = np.where(rng.random(count) < 0.5, -1.0, 1.0)
    scale = 1 + SCALE * rng.uniform(-1, 1, count)
    shift = SHIFT * rng.uniform(-1, 1, (count, 2)) / (CENTRE / 2)
    warp = np.zeros((count, 2, 3))
    warp[:, 0, 0], warp[:, 1, 1], warp[:, :, 2] = mirrored * scale, scale, shift
    light = np.stack([1 + GAIN * rng.uniform(-1, 1, count), OFFSET * rng.uniform(-1, 1, count)], axis=1)
    return torch.from_numpy(warp).float(), torch.from_numpy(light).float()


def augmented(mouths: Tensor, warp: Tensor, light: Tensor) -> Tensor:
    """Cut the middle out of mouth pictures, moved, scaled, mirrored and lit; with the identity and (1, 0) as `centre`.

    Contrast is about the mean of the clip.

    Shape:
        `[B, N, 96, 96]` uint8 -> `[B, N, 88, 88]` float32, in [0, 1] unless light says otherwise
    """
    grid = F.affine_grid(warp, [len(mouths), 1, CENTRE, CENTRE], align_corners=False) * (CENTRE / SIDE)
    x = F.grid_sample(mouths.float() / 255, grid, padding_mode="border", align_corners=False)
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    gain, offset = light[:, :, None, None].unsqueeze(1).unbind(2)
    return (x - mean) * gain + mean + offset
