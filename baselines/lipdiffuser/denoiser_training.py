"""How the denoiser is trained: on speech alone, then with video (Sec. 4)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from baselines.checkpoints import export, fill
from baselines.lipdiffuser.config import INFERENCE_ALONE, Config, Training
from baselines.lipdiffuser.diffusion import (
    SIGMA_DATA,
    Denoiser,
    Uncertainty,
    drawn_sigmas,
    heun,
    noise_levels,
    squared_errors,
    uncertain_loss,
)
from baselines.lipdiffuser.utterances import Utterances
from baselines.post_hoc_ema import WIDTHS, Kept, PowerAverages, kept_in, reconstructed
from baselines.training import Recipe, Update, seeded, without_steps

PREFIX = "denoiser."
MEASURED_AT = (0.2, 0.5, 1.0, 2.0)
"""Noise levels at which validation clips are denoised: those where words are decided."""
VALIDATION, SHOWN = 100, 4
"""Clips that are measured and drawn beside a training."""
SHOWN_STEPS = 16
OF_ELSEWHERE = ("visual_", "vocoder_")
"""Settings with no part in the denoiser's own training begin so."""


class DenoiserRecipe(Recipe):
    """Eq. 2 on random clips, each of one noise level. `audio` has no video, and MP-FiLM no part.

    Two averages of the weights are followed; what is exported is the one of width `ema`.
    """

    name = "denoiser"

    def __init__(
        self,
        config: Config,
        training: Training,
        utterances: Utterances,
        validation: Utterances | None,
        features: int,
        folder: Path,
        start: Mapping[str, Tensor] | None = None,
        further: Mapping[str, Tensor] | None = None,
        sight: Mapping[str, str] | None = None,
    ) -> None:
        """
        Args:
            features: channels of the video features, those that `utterances` have or will have.
            folder: in which averages are kept.
            start: a denoiser's state to begin with, with its mean and deviation of log-mels; otherwise these are
                measured.
            further: tensors that the export holds beside the denoiser's.
            sight: what gave the video features, by its contents; a training that is resumed must have the same.
        """
        self.config, self.training, self.utterances, self.validation = config, training, utterances, validation
        self.folder, self.further, self.sight = folder, dict(further or {}), dict(sight or {})
        with seeded("lipdiffuser", "denoiser", str(self._architecture())):
            self.denoiser = config.denoiser(utterances.voices.shape[1], features, training.dropout)
            self.uncertainty = Uncertainty()
        if start is not None:
            fill(self.denoiser, start, None, "Set channels, multiples, blocks, attention and patch as in training")
        else:
            mean, deviation = utterances.statistics()
            self.denoiser.mean.fill_(mean)
            self.denoiser.deviation.fill_(deviation)
        self.averages = PowerAverages(self.denoiser)
        parameters = [*self.denoiser.parameters(), *self.uncertainty.parameters()]
        self.optimiser = torch.optim.Adam(parameters, lr=training.learning_rate, betas=(0.9, 0.99))
        self._held: dict[str, Tensor] | None = None

    @property
    def steps(self) -> int:
        return self.training.steps

    def modules(self) -> Mapping[str, nn.Module]:
        return {"denoiser": self.denoiser, "uncertainty": self.uncertainty, "averages": self.averages}

    def optimisers(self) -> Mapping[str, torch.optim.Optimizer]:
        return {"denoiser": self.optimiser}

    def pace(self, step: int) -> float:
        """Linear rise, then a fall by the inverse square root of the steps (EDM2, Eq. 67)."""
        rise = min(1.0, (step + 1) * self.training.batch / self.training.ramp_up) if self.training.ramp_up else 1.0
        return rise / math.sqrt(max(1.0, step / self.training.decay_after))

    def description(self) -> Mapping[str, Any]:
        training = {
            name: value for name, value in without_steps(self.training).items() if not name.startswith(OF_ELSEWHERE)
        }
        return {
            "config": self._architecture(),
            "training": {name: value for name, value in training.items() if name not in ("ema", "snapshots")},
            "utterances": len(self.utterances),
            **self.sight,
        }

    def batch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        return self.utterances.draw(rng, self.training.batch, self.training.frames)

    def step(self, batch: Mapping[str, Tensor], update: Update) -> dict[str, Tensor]:
        self.denoiser.train()
        clean = self.denoiser.standardised(batch["mels"])
        sigma = drawn_sigmas(len(clean), self.training.noise_mean, self.training.noise_deviation, clean.device)
        seen = batch.get("seen")
        if seen is not None and self.training.feature_noise:
            seen = seen + self.training.feature_noise * torch.randn_like(seen)
        estimate = self._denoised(self.denoiser, clean, sigma, batch["voices"], seen)
        errors = squared_errors(estimate, clean, sigma)
        loss = uncertain_loss(errors, self.uncertainty(sigma))
        update("denoiser", loss)
        done = self.averages.update(self.denoiser)
        if done == 1:
            for path in kept_in(self.folder).values():  # of a training before
                path.unlink(missing_ok=True)
        if done % max(1, self.steps // self.training.snapshots) == 0 or done == self.steps:
            self.averages.keep(self.folder)
        return {"loss": loss, "error": errors.mean()}

    def validate(self) -> dict[str, float]:
        """Errors of the widest average at some noise levels, with the own video, and with that of the next clip.

        The same clips and noises every time. Where video tells nothing the two are alike.
        """
        held = self._held_clips()
        if held is None:
            return {}
        measures = {}
        for sigma in MEASURED_AT:
            measures[f"error_{sigma}"] = self._error(held, sigma)
            if "seen" in held:
                others = {**held, "seen": held["seen"].roll(1, 0)}
                measures[f"error_{sigma}_shuffled"] = self._error(others, sigma)
        return measures

    def sample_images(self) -> np.ndarray | None:
        """Log-mels of validation clips, and what is sampled with their voices and videos."""
        held = self._held_clips()
        if held is None:
            return None
        clips = {name: tensor[:SHOWN].to(self._device) for name, tensor in held.items()}
        noise = torch.randn(clips["mels"].shape, generator=torch.Generator().manual_seed(0)).to(self._device)
        network = self._average
        said = network.unet.modulations(clips["seen"]) if "seen" in clips else None
        made = heun(
            lambda x, sigma: network(x, torch.full((len(x),), sigma, device=x.device), clips["voices"], said),
            noise,
            noise_levels(SHOWN_STEPS),
        )
        return np.stack([_picture(network.standardised(clips["mels"])), _picture(made)], axis=1)

    def export(self, path: Path) -> Path:
        own = self._averaged() | {"mean": self.denoiser.mean, "deviation": self.denoiser.deviation}
        about = {
            "method": "lipdiffuser",
            "config": dataclasses.asdict(self.config),
            "training": dataclasses.asdict(self.training),
            "steps": int(self.averages.steps),
        }
        return export(path, {**self.further, **{PREFIX + name: tensor for name, tensor in own.items()}}, about)

    def _averaged(self) -> dict[str, Tensor]:
        """The state of the denoiser, its parameters averaged with the width that is asked for."""
        if self.training.ema in WIDTHS:
            return dict(self.averages.networks[WIDTHS.index(self.training.ema)].state_dict())
        wanted = Kept(int(self.averages.steps), self.training.ema)
        return dict(self.denoiser.state_dict()) | reconstructed(kept_in(self.folder), wanted)

    def _denoised(self, network: Denoiser, clean: Tensor, sigma: Tensor, voices: Tensor, seen: Tensor | None) -> Tensor:
        said = None if seen is None else network.unet.modulations(seen)
        return network(clean + sigma[:, None, None] * torch.randn_like(clean), sigma, voices, said)

    def _error(self, held: Mapping[str, Tensor], sigma: float) -> float:
        errors = []
        with torch.random.fork_rng([self._device] if self._device.type == "cuda" else []):
            torch.manual_seed(0)
            for first in range(0, len(held["mels"]), self.training.batch):
                part = {k: v[first : first + self.training.batch].to(self._device) for k, v in held.items()}
                clean = self._average.standardised(part["mels"])
                level = torch.full((len(clean),), sigma, device=self._device)
                estimate = self._denoised(self._average, clean, level, part["voices"], part.get("seen"))
                errors.append(squared_errors(estimate, clean, level))
        return float(torch.cat(errors).mean())

    def _held_clips(self) -> dict[str, Tensor] | None:
        if self.validation is not None and self._held is None:
            chosen = np.arange(min(VALIDATION, len(self.validation)))
            self._held = self.validation.take(chosen, np.random.default_rng(0), self.training.frames)
        return self._held

    @property
    def _average(self) -> Denoiser:
        """The widest, the only one that is of use early in a training."""
        network = self.averages.networks[-1]
        assert isinstance(network, Denoiser)
        return network

    @property
    def _device(self) -> torch.device:
        return self.denoiser.mean.device

    def _architecture(self) -> dict[str, Any]:
        config = dataclasses.asdict(self.config)
        return {k: v for k, v in config.items() if k not in INFERENCE_ALONE and not k.startswith(OF_ELSEWHERE)}


class AudioRecipe(DenoiserRecipe):
    """The same on speech alone."""

    name = "audio"

    @property
    def steps(self) -> int:
        return self.training.audio_steps


def _picture(x: Tensor) -> np.ndarray:
    """Standardised log-mels, low bands at the bottom: `[B, 80, T]` -> `[B, 80, T, 3]` uint8."""
    scaled = ((x.float().cpu() / SIGMA_DATA + 2) / 5).clamp(0, 1).flip(1)
    return np.repeat((255 * scaled).to(torch.uint8).numpy()[..., None], 3, axis=3)


def own_tensors(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Those under a prefix, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
