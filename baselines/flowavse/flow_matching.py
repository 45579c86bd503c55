"""Simplified conditional flow matching from the first estimate to clean speech (Sec. 2.2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Prior = Literal["estimate", "zero"]


@dataclass(frozen=True)
class FlowMatching:
    """Probability path p_t = N(t x1 + (1 - t) x0, sigma^2) and its field x1 - x0 (Eq. 6 and 7).

    x0 is the first stage's estimate, or, for the ablation of Table 3, a draw of the standard normal distribution.
    Time begins at `start` above 0: the network divides by it (official code: 0.03). Spectrograms are complex: noise has
    a variance of 1 a bin, 1/2 for each part (`noise_like`).
    """

    sigma: float = 0.04
    start: float = 0.03
    prior: Prior = "estimate"

    def source(self, estimate: Tensor, noise: Tensor) -> Tensor:
        """The mean x0 of the distribution at time 0; `noise` has variance 1 a bin."""
        return estimate if self.prior == "estimate" else noise

    def state(self, source: Tensor, clean: Tensor, time: Tensor, noise: Tensor) -> Tensor:
        """A draw x_t of the path (Eq. 6). Shape: `[B, 2, F, T]` each, time `[B]`."""
        t = time[:, None, None, None]
        return t * clean + (1 - t) * source + self.sigma * noise

    def sample(self, field: Callable[[Tensor, Tensor], Tensor], source: Tensor, noise: Tensor, steps: int) -> Tensor:
        """Follow the field from `start` to 1 in Euler steps of equal length.

        Args:
            field: (x_t, t `[B]`) -> velocity.
            noise: of variance 1 a bin, times sigma added to the source; zeros begin at the mean.
        """
        x = source + self.sigma * noise
        length = (1 - self.start) / steps
        for step in range(steps):
            x = x + length * field(x, torch.full((len(x),), self.start + step * length, device=x.device))
        return x
