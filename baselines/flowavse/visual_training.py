"""A visual encoder that learns to see speech before the rest learns: when which frequencies are loud, from the lips.

In a short training of everything at once the way through the face is the last to be found, for noisy sound says more
at first. The paper has no such stage; its million steps need none.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.checkpoints import export
from baselines.flowavse.clips import Clips, loaders
from baselines.flowavse.config import EnhancerConfig, Training
from baselines.flowavse.spectrogram import N_FFT, spectrogram
from baselines.flowavse.visual_encoder import VisualEncoder
from baselines.shards import Progress
from baselines.training import Recipe, Update, seeded
from benchmark.media.mixing import RATE
from benchmark.types import Sample

BANDS = 16
FLOOR = 1e-4
"""Below the clip's mean power by this factor (40 dB), a band counts as silent."""
VALIDATION = 64
"""Clips that are measured beside the training."""


class VisualEncoderRecipe(Recipe):
    """Mean squared error of the log energies of clean speech, in 16 mel bands, once per frame of video.

    Both are taken about their means over the clip. What a face says of a voice as a whole is a much larger part of the
    variance, and with it in the loss the lips are found much later.
    """

    name = "visual_encoder"

    def __init__(
        self,
        config: EnhancerConfig,
        training: Training,
        samples: Sequence[Sample],
        validation: Sequence[Sample],
        progress: Progress | None = None,
    ) -> None:
        self.config, self.training = config, training
        self.loaders = loaders()
        self.clips = Clips(samples, training, config.grey, progress)
        with seeded(self.name, config.width):
            self.encoder = VisualEncoder(config.width)
            self.head = nn.Linear(self.encoder.features, BANDS)
        parameters = [p for p in (*self.encoder.parameters(), *self.head.parameters()) if p.requires_grad]
        self.optimiser = torch.optim.Adam(parameters, lr=training.visual_learning_rate)
        self._validation = Clips(validation, training, config.grey) if validation else None
        self._held: dict[str, Tensor] | None = None

    def modules(self) -> Mapping[str, nn.Module]:
        return {"encoder": self.encoder, "head": self.head}

    def optimisers(self) -> Mapping[str, torch.optim.Optimizer]:
        return {"encoder": self.optimiser}

    def description(self) -> Mapping[str, Any]:
        own = ("frames", "visual_batch", "visual_learning_rate")
        training = {name: getattr(self.training, name) for name in own}
        return {
            "width": self.config.width,
            "grey": self.config.grey,
            "training": training,
            "clips": len(self.clips.samples),
        }

    def batch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        return self.clips.batch_in_quiet(rng, self.training.visual_batch)

    def step(self, batch: Mapping[str, Tensor], update: Update) -> dict[str, Tensor]:
        self.encoder.train()
        loss = (self._seen(batch) - self._said(batch)).square().mean()
        update("encoder", loss)
        return {"energies": loss}

    def validate(self) -> dict[str, float]:
        """Correlation of energies seen and spoken, a mean over bands, and the loss."""
        if self._validation is None:
            return {}
        if self._held is None:
            self._held = self._validation.batch_in_quiet(np.random.default_rng(0), VALIDATION)
        device, count = self.head.weight.device, self.training.visual_batch
        parts = [
            {name: tensor[first : first + count].to(device) for name, tensor in self._held.items()}
            for first in range(0, VALIDATION, count)
        ]
        seen, said = (torch.cat([f(part) for part in parts]).flatten(0, 1) for f in (self._seen, self._said))
        both = torch.stack([seen - seen.mean(0), said - said.mean(0)])
        covariance, (a, b) = both.prod(0).sum(0), both.norm(dim=1)
        correlation = covariance / (a * b).clamp(min=1e-12)
        return {"correlation": float(correlation.mean()), "energies": float((seen - said).square().mean())}

    def export(self, path: Path) -> Path:
        about = {"config": dataclasses.asdict(self.config), "training": dataclasses.asdict(self.training)}
        return export(path, self.encoder.state_dict(), {"method": self.name, **about}, half=False)

    def _seen(self, batch: Mapping[str, Tensor]) -> Tensor:
        return _about_mean(self.head(self.encoder(batch["video"])).float())

    def _said(self, batch: Mapping[str, Tensor]) -> Tensor:
        with torch.autocast(batch["clean"].device.type, enabled=False):
            return _about_mean(band_energies(batch["clean"], batch["video"].shape[1]))


def band_energies(audio: Tensor, frames: int) -> Tensor:
    """log10 of the energies in 16 mel bands over the clip's mean, at least -4.

    Shape:
        audio at 16 kHz `[B, L]` -> `[B, frames, 16]`
    """
    power = spectrogram(audio, 1.0, 1.0).square().sum(1)
    mel = torch.linspace(0, 2595 * np.log10(1 + RATE / 2 / 700), BANDS + 1, dtype=torch.float64)
    edges = (700 * (10 ** (mel / 2595) - 1) / RATE * N_FFT).round().long().tolist()
    bands = torch.stack([power[:, low : max(high, low + 1)].mean(1) for low, high in pairwise(edges)], dim=1)
    bands = F.adaptive_avg_pool1d(bands, frames)
    mean = bands.mean((1, 2), keepdim=True).clamp(min=1e-12)
    return torch.log10(bands / mean + FLOOR).transpose(1, 2)


def _about_mean(x: Tensor) -> Tensor:
    return x - x.mean(1, keepdim=True)
