"""Between 8-bit pictures and what the networks see."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


def to_unit(faces: Tensor) -> Tensor:
    """uint8 to 0..1 float32."""
    return faces.float() / 255


def to_imagenet(faces: Tensor) -> Tensor:
    """uint8 `[..., 3, H, W]` to channels of zero mean and unit deviation over ImageNet."""
    mean, deviation = _imagenet(faces.device)
    return (to_unit(faces) - mean) / deviation


def imagenet_to_unit(faces: Tensor) -> Tensor:
    """Undo `to_imagenet`'s normalisation; not clamped."""
    mean, deviation = _imagenet(faces.device)
    return faces * deviation + mean


def to_symmetric(faces: Tensor) -> Tensor:
    """uint8 to (x - 127.5) / 127.5, so -1..1."""
    return (faces.float() - 127.5) / 127.5


def symmetric_to_unit(faces: Tensor) -> Tensor:
    """-1..1 to 0..1; not clamped."""
    return (faces + 1) / 2


def to_pictures(faces: Tensor) -> np.ndarray:
    """0..1 `[B, 3, H, W]`, clamped, to uint8 `[B, H, W, 3]`."""
    scaled = (faces.detach().float().clamp(0, 1) * 255).round().to(torch.uint8)
    return np.ascontiguousarray(scaled.permute(0, 2, 3, 1).cpu().numpy())


def official_pictures(faces: Tensor) -> np.ndarray:
    """What SF2F's authors save of ImageNet-normalised faces `[B, 3, H, W]`: uint8 `[B, H, W, 3]`, fractions cut off.

    The order of the operations is theirs: near a whole number another order would cut to the level below.
    """
    mean, deviation = _imagenet(faces.device)
    levels = ((faces.detach().float() / (1 / deviation) + mean) * 255).clamp(0, 255).to(torch.uint8)
    return np.ascontiguousarray(levels.permute(0, 2, 3, 1).cpu().numpy())


def _imagenet(device: torch.device) -> tuple[Tensor, Tensor]:
    return (
        torch.tensor(IMAGENET_MEAN, device=device).view(3, 1, 1),
        torch.tensor(IMAGENET_DEVIATION, device=device).view(3, 1, 1),
    )
