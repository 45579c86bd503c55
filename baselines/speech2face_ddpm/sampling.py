"""Faces from embeddings, and large faces from small ones, as settings say."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from baselines.speech2face_ddpm.config import DRAWN, Config
from baselines.speech2face_ddpm.diffusion import drawn
from baselines.speech2face_ddpm.network import Cascade, looked_at


def draw_faces(network: Cascade, config: Config, embeddings: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
    """Faces `[B, 3, 64, 64]` in -1..1 from embeddings `[B, D]`; the noise of each by its own generator."""
    return (
        config.diffusion()
        .sample(
            lambda x, time: network.denoise(x, time, embeddings, config.guidance),
            (3, DRAWN, DRAWN),
            generators,
            config.solver,
            config.steps,
            config.threshold,
            embeddings.device,
        )
        .clamp(-1, 1)
    )


def enlarge_faces(network: Cascade, config: Config, faces: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
    """Faces `[B, 3, 64, 64]` in -1..1 at the large size."""
    noise = drawn(faces.shape[1:], generators).to(faces.device)
    level = torch.full((len(faces),), config.augmentation, device=faces.device)
    seen = looked_at(faces, config.large, noise, level)
    return (
        config.diffusion()
        .sample(
            lambda x, time: network.super_resolution(x, time, low=seen, level=level),
            (3, config.large, config.large),
            generators,
            config.solver,
            config.super_steps,
            config.threshold,
            faces.device,
        )
        .clamp(-1, 1)
    )
