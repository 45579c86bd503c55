"""The perceptual loss: L1 between features of a face network (SF2F, Sec. 4, loss 4)."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LAYER_WEIGHTS = (1 / 16, 1 / 8, 1 / 4, 1.0)
"""For three intermediate layers, shallow to deep, and the embedding: those of the official FaceNet loss."""


class FeatureNetwork(Protocol):
    """A frozen face network, FaceNet or dlib's."""

    def features(self, faces: Tensor) -> list[Tensor]:
        """Three intermediate layers and the unit-length embedding, of RGB faces `[B, 3, H, W]` in 0..1."""
        ...


BOX = (0.235, 0.195, 0.765, 0.915)
"""Left, top, right, bottom of the official fixed crop, in parts of the picture; both ends are kept."""
SIZE = 140


class BoxedFaceNet(nn.Module):
    """FaceNet looking at the official fixed crop of a face, at 140 px; no face is searched for.

    Args:
        network: has `features(x)` for RGB as (x - 127.5) / 128.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.eval().requires_grad_(False)

    def features(self, faces: Tensor) -> list[Tensor]:
        height, width = faces.shape[-2:]
        left, top, right, bottom = (int(part * side) for part, side in zip(BOX, (width, height) * 2, strict=True))
        x = (255 * faces - 127.5) / 128
        x = x[..., top : bottom + 1, left : right + 1]
        return list(self.network.features(F.interpolate(x, (SIZE, SIZE), mode="bilinear", align_corners=True)))


DLIB_BOX = (0.213, 0.280, 0.793, 0.860)
"""Left, top, right, bottom of the square that dlib's alignment cuts out of a Talkers portrait, in parts of the picture:
by the least-squares fit of dlib's mean shape to the mean of 40 portraits' five landmarks."""
DLIB_SIZE = 150


class BoxedDlib(nn.Module):
    """dlib's face-recognition network looking at a fixed crop of a portrait; no face is searched for.

    In Talkers portraits the pupils sit at fixed places, so the descriptor is that of dlib's own alignment but for a
    cosine of .996. Pictures framed otherwise need a box of their own.

    Args:
        network: `metrics.networks.dlib_resnet.DlibResNet`, or what has its `features`.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.eval().requires_grad_(False)
        left, top, right, bottom = DLIB_BOX
        part = torch.arange(DLIB_SIZE) / DLIB_SIZE
        rows, columns = torch.meshgrid(top + part * (bottom - top), left + part * (right - left), indexing="ij")
        self.register_buffer("grid", 2 * torch.stack([columns, rows], dim=-1) - 1, persistent=False)

    def features(self, faces: Tensor) -> list[Tensor]:
        grid = self.grid.expand(len(faces), -1, -1, -1)
        x = F.grid_sample(255 * faces, grid, padding_mode="border", align_corners=False)
        *layers, descriptor = self.network.features(x.contiguous(memory_format=torch.channels_last))
        return [*layers, F.normalize(descriptor, dim=1)]


def perceptual_loss(network: FeatureNetwork, faces: Tensor, truth: Tensor) -> Tensor:
    """Weighted sum over layers of the mean absolute difference between features.

    Shape:
        faces, truth: `[B, 3, S, S]`, RGB in 0..1 (not necessarily clamped)
    """
    with torch.no_grad():
        wanted = network.features(truth)
    made = network.features(faces)
    if len(made) != len(LAYER_WEIGHTS):
        raise ValueError(f"features() must return {len(LAYER_WEIGHTS)} tensors, got {len(made)}")
    parts = [w * (a - b).abs().mean() for w, a, b in zip(LAYER_WEIGHTS, made, wanted, strict=True)]
    return torch.stack(parts).sum()
