"""How AVDiffuSS is trained: as FlowAVSE, with denoising score matching in the second stage."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from baselines.avdiffuss.config import Config
from baselines.flowavse.network import Seen
from baselines.flowavse.spectrogram import noise_like
from baselines.flowavse.training import EnhancerRecipe, squared_norm, stages
from baselines.training import Stage
from benchmark.types import Sample


class AVDiffuSSRecipe(EnhancerRecipe):
    """L_G = |deviation(t) score(x_t, t) + z|^2 with x_t = mean(t) + deviation(t) z and t from U[end, 1]."""

    name = "avdiffuss"
    config: Config

    def refiner_loss(self, estimate: Tensor, clean: Tensor, seen: Seen) -> Tensor:
        process = self.config.process()
        time = process.end + (1 - process.end) * torch.rand(len(clean), device=clean.device)
        noise = noise_like(clean)
        deviation = process.deviation(time)[:, None, None, None]
        state = process.mean(clean, estimate, time) + deviation * noise
        return squared_norm(deviation * self.network.refine(state, estimate, time, seen) + noise)


def recipes(
    config: Config,
    training: Mapping[str, Any],
    samples: Sequence[Sample],
    validation: Sequence[Sample] = (),
    networks: Callable[[str], Any] | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> list[Stage]:
    """As for FlowAVSE."""
    return stages(AVDiffuSSRecipe, config, training, samples, validation, progress)
