"""How training faces are degraded for the enhancement to repair (GFP-GAN, Sec. 3.4 and its training options)."""

from __future__ import annotations

import io
import math

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

BLUR = (0.1, 10.0)
"""Standard deviations of the blur along its two axes, in pixels of a face of 512."""
SHRINK = (0.8, 8.0)
"""Times which a face of 512 is made smaller; the smallest has 64 px at every size, as the generator's have."""
NOISE = (0.0, 20.0)
"""Standard deviation, of 255 levels."""
QUALITY = (60, 100)
"""Of JPEG."""
COLOURS = (0.3, 20.0)
"""How often, and by how many of 255 levels at most, each channel is shifted."""
GREY = 0.01
"""How often colour is taken away."""


def degraded(faces: Tensor, rng: np.random.Generator) -> Tensor:
    """Faces blurred, made smaller, noisy and compressed, each by its own draw, at their own size again.

    Shape:
        uint8 `[B, 3, S, S]` -> float32 in -1..1 of the same shape
    """
    return torch.stack([_one(face, rng) for face in faces])


def _one(face: Tensor, rng: np.random.Generator) -> Tensor:
    size = face.shape[-1]
    x = blurred(face.float(), rng.uniform(*BLUR, 2) * size / 512, rng.uniform(0, math.pi), even=rng.random() < 0.5)
    side = round(size / rng.uniform(SHRINK[0], max(size / 64, SHRINK[0])))
    x = F.interpolate(x[None], (side, side), mode="bilinear", align_corners=False)[0]
    x = x + rng.uniform(*NOISE) * torch.from_numpy(rng.standard_normal(x.shape, dtype=np.float32))
    x = compressed(x.round().clamp(0, 255).to(torch.uint8), int(rng.integers(QUALITY[0], QUALITY[1] + 1))).float()
    x = F.interpolate(x[None], (size, size), mode="bilinear", align_corners=False)[0]
    if rng.random() < COLOURS[0]:
        x = x + torch.from_numpy(rng.uniform(-COLOURS[1], COLOURS[1], (3, 1, 1)).astype(np.float32))
    if rng.random() < GREY:
        x = (torch.tensor([0.299, 0.587, 0.114])[:, None, None] * x).sum(0, keepdim=True).expand(3, -1, -1)
    return (x.clamp(0, 255) - 127.5) / 127.5


def blurred(face: Tensor, deviations: np.ndarray, angle: float, even: bool) -> Tensor:
    """Gaussian blur of `[3, S, S]`, the same along both axes where `even`, else with the second axis at `angle`."""
    one, two = (float(deviations[0]),) * 2 if even else map(float, deviations)
    reach = max(1, min(math.ceil(3 * max(one, two)), face.shape[-1] - 1))
    place = torch.arange(-reach, reach + 1, dtype=torch.float32)
    y, x = torch.meshgrid(place, place, indexing="ij")
    along, across = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    kernel = torch.exp(-0.5 * ((along / one) ** 2 + (across / two) ** 2))
    padded = F.pad(face[:, None], (reach,) * 4, mode="reflect")
    return F.conv2d(padded, (kernel / kernel.sum())[None, None])[:, 0]


def compressed(face: Tensor, quality: int) -> Tensor:
    """uint8 `[3, S, S]` after JPEG."""
    kept = io.BytesIO()
    Image.fromarray(face.permute(1, 2, 0).numpy()).save(kept, "jpeg", quality=quality)
    return torch.from_numpy(np.array(Image.open(kept))).permute(2, 0, 1)
