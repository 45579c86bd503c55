"""The three networks as one: what a checkpoint holds."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.speech2face_ddpm.diffusion import guided, noised
from baselines.speech2face_ddpm.encoder import SpeechEncoder
from baselines.speech2face_ddpm.unet import Shape, UNet

PARTS = ("encoder", "decoder", "super_resolution")
"""In the order in which they work, and are trained."""


class Cascade(nn.Module):
    """Speech encoder, face decoder and super-resolution (Fig. 2), which never learn together."""

    def __init__(self, embedding: int, width: float, hidden: int, decoder: Shape, super_resolution: Shape) -> None:
        super().__init__()
        self.encoder = SpeechEncoder(embedding, width, hidden)
        self.decoder = UNet(decoder, embedding)
        self.super_resolution = UNet(super_resolution, low_resolution=True)

    def denoise(self, x: Tensor, time: Tensor, embedding: Tensor, guidance: float) -> Tensor:
        """What the decoder tells of noisy faces `[B, 3, 64, 64]`, guided by their embeddings `[B, D]` (Eq. 6)."""
        if not guidance:
            return self.decoder(x, time, embedding)
        both = torch.cat([embedding, torch.zeros_like(embedding)])
        told = self.decoder(x.repeat(2, 1, 1, 1), time.repeat(2), both)
        return guided(*told.chunk(2), guidance)


def enlarged(faces: Tensor, side: int) -> Tensor:
    """Pictures `[B, 3, S, S]` brought to a larger side."""
    return F.interpolate(faces, (side, side), mode="bilinear", align_corners=False)


def shrunk(faces: Tensor, side: int) -> Tensor:
    """Pictures `[B, 3, S, S]` brought to a smaller side, averaged."""
    if faces.shape[-1] == side:
        return faces
    return F.interpolate(faces, (side, side), mode="bilinear", align_corners=False, antialias=True)


def looked_at(low: Tensor, side: int, noise: Tensor, level: Tensor) -> Tensor:
    """The small picture as super-resolution sees it: at the large side, with `noise` of a level `[B]`.

    Args:
        noise: of the small picture's shape.
    """
    return enlarged(noised(low, noise, level), side)
