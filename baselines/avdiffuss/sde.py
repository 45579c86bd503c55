"""The diffusion process of AVDiffuSS: Ornstein-Uhlenbeck with exploding variance, and its predictor-corrector.

Source: Lee et al. 2024 (AVDiffuSS), after Richter et al. 2023 (SGMSE+); Song et al. 2021 for the sampler.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class OUVE:
    """dx = theta (y - x) dt + g(t) dw, g(t) = sigma_min r^t sqrt(2 ln r), r = sigma_max / sigma_min, t from 0 to 1.

    x starts as clean speech and drifts to y, here the first stage's estimate, while noise grows. Spectrograms are
    complex: noise has a variance of 1 a bin, 1/2 for each part, and the score is -z / deviation for noise z.
    """

    theta: float = 1.5
    sigma_min: float = 0.05
    sigma_max: float = 0.5
    end: float = 0.03
    """Smallest time: training draws no smaller one, and sampling ends there."""

    def mean(self, clean: Tensor, y: Tensor, time: Tensor) -> Tensor:
        """E[x_t] = e^(-theta t) x_0 + (1 - e^(-theta t)) y. Shape: `[B, 2, F, T]`, time `[B]`."""
        left = torch.exp(-self.theta * time)[:, None, None, None]
        return left * clean + (1 - left) * y

    def deviation(self, time: Tensor) -> Tensor:
        """Standard deviation of a complex bin of x_t. Shape: `[B]` -> `[B]`."""
        log_r = math.log(self.sigma_max / self.sigma_min)
        grown = torch.exp(2 * log_r * time) - torch.exp(-2 * self.theta * time)
        return (self.sigma_min**2 * grown * log_r / (self.theta + log_r)).sqrt()

    def diffusion(self, time: float) -> float:
        """g(t)."""
        r = self.sigma_max / self.sigma_min
        return self.sigma_min * r**time * math.sqrt(2 * math.log(r))

    def sample(
        self,
        score: Callable[[Tensor, Tensor], Tensor],
        y: Tensor,
        draw: Callable[[], Tensor],
        steps: int,
        snr: float = 0.5,
    ) -> Tensor:
        """Predictor-corrector: at each time a step of annealed Langevin dynamics and one of reverse diffusion.

        Times fall evenly from 1 to `end`; a step is 1 / steps long, as in the official code, and the mean of what the
        last one arrives at is the output.

        Args:
            score: (x_t, t `[B]`) -> the score.
            draw: noise of variance 1 a bin, shaped like `y`.
            snr: signal-to-noise ratio of the corrector; 0 leaves it out.
        """

        def batch(time: float) -> Tensor:
            return torch.full((len(y),), time, device=y.device)

        step = 1 / steps
        x = y + self.deviation(batch(1.0))[:, None, None, None] * draw()
        for number, time in enumerate(torch.linspace(1, self.end, steps).tolist(), 1):
            t = batch(time)
            if snr:
                size = 2 * (snr * self.deviation(t)[:, None, None, None]) ** 2
                x = x + size * score(x, t) + (2 * size).sqrt() * draw()
            g = self.diffusion(time)
            mean = x - step * self.theta * (y - x) + step * g**2 * score(x, t)
            x = mean + math.sqrt(step) * g * draw() if number < steps else mean
        return x
