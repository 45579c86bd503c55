"""FlowAVSE behind the harness's interface."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from baselines.flowavse.config import Config
from baselines.flowavse.enhancer import Enhancer, normal
from baselines.flowavse.network import Seen


class FlowAVSE(Enhancer):
    """Clean speech in one step of flow matching from a first estimate (Jung et al. 2024)."""

    name: ClassVar[str] = "flowavse"
    title: ClassVar[str] = "FlowAVSE, audio-visual enhancement by flow matching (Jung et al. 2024)"
    Config: ClassVar[type] = Config
    config: Config

    def refine(self, estimate: Tensor, seen: Seen, generators: Sequence[torch.Generator]) -> Tensor:
        """Euler steps from the estimate, or from noise where `prior` is `zero`."""
        if not self.config.steps:
            return estimate
        flow = self.config.flow()
        source = flow.source(estimate, normal(estimate, generators) if self.config.prior == "zero" else estimate)
        noise = self.config.temperature * normal(estimate, generators)
        return flow.sample(
            lambda x, t: self.network.refine(x, estimate, t, seen).float(), source, noise, self.config.steps
        )
