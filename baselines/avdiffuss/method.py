"""AVDiffuSS behind the harness's interface."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from baselines.avdiffuss.config import Config
from baselines.flowavse.enhancer import Enhancer, normal
from baselines.flowavse.network import Seen


class AVDiffuSS(Enhancer):
    """Clean speech by reverse diffusion around a first estimate (Lee et al. 2024): FlowAVSE's baseline."""

    name: ClassVar[str] = "avdiffuss"
    title: ClassVar[str] = "AVDiffuSS, audio-visual separation by diffusion (Lee et al. 2024)"
    Config: ClassVar[type] = Config
    config: Config

    def refine(self, estimate: Tensor, seen: Seen, generators: Sequence[torch.Generator]) -> Tensor:
        """Predictor-corrector from the estimate under noise."""
        if not self.config.steps:
            return estimate
        return self.config.process().sample(
            lambda x, t: self.network.refine(x, estimate, t, seen).float(),
            estimate,
            lambda: normal(estimate, generators),
            self.config.steps,
            self.config.corrector_snr,
        )
