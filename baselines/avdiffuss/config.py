"""What can be set in AVDiffuSS beside what FlowAVSE shares with it; its diffusion serves SGMSE+ too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from baselines.avdiffuss.sde import OUVE
from baselines.flowavse.config import EnhancerConfig, Field, SpectrogramConfig
from baselines.settings import check


@dataclass(frozen=True)
class DiffusionConfig(SpectrogramConfig):
    """The diffusion process and its sampler."""

    steps: int = 30
    """Of the sampler, each with one corrector and one predictor."""
    theta: float = 1.5
    sigma_min: float = 0.05
    sigma_max: float = 0.5
    end: float = 0.03
    """Smallest time."""
    corrector_snr: float = 0.5
    """Signal-to-noise ratio of annealed Langevin dynamics; 0 leaves the corrector out."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self, steps="[0, 1000]", theta="(0, inf)", sigma_min="(0, inf)", end="(0, 1)", corrector_snr="[0, inf)")
        if not self.sigma_min < self.sigma_max:
            raise ValueError(f"sigma_min must be below sigma_max, got {self.sigma_min} and {self.sigma_max}")

    def process(self) -> OUVE:
        return OUVE(self.theta, self.sigma_min, self.sigma_max, self.end)

    def refined(self, field: Field, estimate: Tensor, draw: Callable[[], Tensor]) -> Tensor:
        """Predictor and corrector from the estimate under noise; the estimate itself in 0 steps."""
        if not self.steps:
            return estimate
        return self.process().sample(field, estimate, draw, self.steps, self.corrector_snr)


@dataclass(frozen=True)
class Config(DiffusionConfig, EnhancerConfig):
    """AVDiffuSS's own: 0 steps give the first stage alone."""
