"""The 1D Inception module of SF2F (Table 9)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

KERNELS = (2, 3, 5, 7)


class Inception1D(nn.Module):
    """Four parallel convolutions along time, kernels 2, 3, 5 and 7, stride 2, concatenated (SF2F, Table 9).

    Each branch gives a quarter of `outputs`. Convolutions carry no bias: batch normalisation follows at once.

    Shape:
        `[B, inputs, T]` -> `[B, outputs, ceil(T / 2)]`
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        if outputs % len(KERNELS):
            raise ValueError(f"outputs must be a multiple of {len(KERNELS)}, one part per branch; got {outputs}")
        self.branches = nn.ModuleList(
            nn.Sequential(
                nn.Conv1d(inputs, outputs // len(KERNELS), kernel, stride=2, padding=kernel // 2, bias=False),
                nn.BatchNorm1d(outputs // len(KERNELS)),
                nn.ReLU(),
            )
            for kernel in KERNELS
        )

    def forward(self, x: Tensor) -> Tensor:
        # Kernel 2 with padding 1 gives one frame more than the others where T is even; that last frame is dropped.
        frames = (x.shape[-1] + 1) // 2
        return torch.cat([branch(x)[..., :frames] for branch in self.branches], dim=1)
