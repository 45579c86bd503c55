"""The diffusion process: cosine schedule, noising, what is learnt (Eq. 1 to 5), and sampling with guidance (Eq. 6)."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

OFFSET = 0.008
"""Keeps the first steps of the cosine schedule from adding too little noise (Nichol & Dhariwal 2021)."""
LARGEST_BETA = 0.999
LOWEST_LOG_SNR = -5.1
"""Half the logarithm of the ratio of signal to noise below which DPM-Solver does not begin, as its authors advise for
this schedule."""

Prediction = Literal["epsilon", "v"]
Solver = Literal["ddpm", "ddim", "dpm"]
Denoiser = Callable[[Tensor, Tensor], Tensor]
"""denoiser(x `[B, 3, S, S]`, time `[B]` in 0..1) -> what the network was taught to tell, guided."""


@dataclass(frozen=True)
class Diffusion:
    """The process of `steps` steps; what the network tells of a noisy picture.

    `epsilon` is the noise (Eq. 4). `v` is sqrt(a) noise - sqrt(1 - a) picture, from which noise and picture follow
    alike however strong the noise (Salimans & Ho 2022); a is the share of signal, alpha-bar.
    """

    steps: int = 2000
    prediction: Prediction = "epsilon"

    def betas(self) -> Tensor:
        """`[steps]` float64, of the cosine schedule."""
        ends = _signal(torch.arange(self.steps + 1, dtype=torch.float64) / self.steps)
        return (1 - ends[1:] / ends[:-1]).clamp(max=LARGEST_BETA)

    def signal(self, device: torch.device | str = "cpu") -> Tensor:
        """alpha-bar after each step, `[steps]` float32."""
        return _shares(self, torch.device(device))

    def times(self, steps: Tensor) -> Tensor:
        """Steps, counted from 0, as the network is told them: 0 to below 1, `[B]` float32."""
        return steps.float() / self.steps

    def noisy(self, pictures: Tensor, noise: Tensor, steps: Tensor) -> tuple[Tensor, Tensor]:
        """Pictures `[B, 3, S, S]` after so many steps `[B]` (Eq. 5), and what the network is to tell of them."""
        share = self.signal(pictures.device)[steps][:, None, None, None]
        kept, added = share.sqrt(), (1 - share).sqrt()
        x = kept * pictures + added * noise
        return x, noise if self.prediction == "epsilon" else kept * noise - added * pictures

    def sample(
        self,
        denoise: Denoiser,
        shape: Sequence[int],
        generators: Sequence[torch.Generator],
        solver: Solver,
        steps: int,
        threshold: float = 1.0,
        device: torch.device | str = "cpu",
    ) -> Tensor:
        """Pictures out of noise, of about -1..1, by the schedulers of diffusers.

        Args:
            shape: of one picture.
            generators: one a picture, on the CPU: a picture's noise is its own, whatever it is drawn with.
            solver: `ddpm` samples each step's distribution, `ddim` and `dpm` (DPM-Solver++, second order) go straight.
            steps: 1 to the steps of the process.
            threshold: the part of a picture's values by which it is scaled back where they leave -1..1, at each step
                (Saharia et al. 2022); 1 cuts them off.

        Returns:
            `[len(generators), *shape]`
        """
        scheduler = self._scheduler(solver, threshold)
        with warnings.catch_warnings():  # of numpy's about how torch's arrays are copied
            warnings.simplefilter("ignore", DeprecationWarning)
            scheduler.set_timesteps(steps)
        x = drawn(shape, generators).to(device) * scheduler.init_noise_sigma
        own = list(generators)
        more: dict[str, Any] = {} if solver == "dpm" else {"generator": own}
        for step in scheduler.timesteps:
            time = self.times(step.expand(len(own)).to(device))
            told = denoise(scheduler.scale_model_input(x, step), time)
            x = scheduler.step(told.float(), step, x, **more).prev_sample
        return x

    def _scheduler(self, solver: Solver, threshold: float) -> Any:
        # Importing diffusers takes seconds, which only sampling is to cost.
        from diffusers.schedulers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler

        common = {
            "num_train_timesteps": self.steps,
            "trained_betas": self.betas().float().numpy(),
            "prediction_type": "epsilon" if self.prediction == "epsilon" else "v_prediction",
            "thresholding": True,
            "dynamic_thresholding_ratio": threshold,
            "sample_max_value": 1.0 if threshold == 1 else math.inf,
        }
        if solver == "dpm":
            # Where less than this is left of the picture, a solver could only guess its way.
            return DPMSolverMultistepScheduler(
                **common, algorithm_type="dpmsolver++", solver_order=2, lambda_min_clipped=LOWEST_LOG_SNR
            )
        kind = DDPMScheduler if solver == "ddpm" else DDIMScheduler
        return kind(**common, clip_sample=False, timestep_spacing="trailing")


def guided(conditional: Tensor, unconditional: Tensor, weight: float) -> Tensor:
    """(1 + w) conditional - w unconditional (Eq. 6)."""
    return (1 + weight) * conditional - weight * unconditional


def drawn(shape: Sequence[int], generators: Sequence[torch.Generator]) -> Tensor:
    """Normal noise `[B, *shape]`, each picture's by its own generator."""
    return torch.stack([torch.randn(tuple(shape), generator=generator) for generator in generators])


def noised(pictures: Tensor, noise: Tensor, level: Tensor) -> Tensor:
    """Pictures with noise of a level `[B]` in 0..1, the time of the cosine schedule at which there is as much."""
    share = _signal(level)[:, None, None, None]
    return share.sqrt() * pictures + (1 - share).sqrt() * noise


@functools.cache
def _shares(diffusion: Diffusion, device: torch.device) -> Tensor:
    return torch.cumprod(1 - diffusion.betas(), 0).float().to(device)


def _signal(time: Tensor) -> Tensor:
    """alpha-bar of the cosine schedule at a time in 0..1, 1 at time 0."""
    angle = (time + OFFSET) / (1 + OFFSET) * math.pi / 2
    return (angle.cos() / math.cos(OFFSET / (1 + OFFSET) * math.pi / 2)).square()
