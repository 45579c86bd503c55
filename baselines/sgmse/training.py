"""How SGMSE+ is trained: denoising score matching on mixtures, without a face (Sec. II-C)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from baselines.checkpoints import export
from baselines.flowavse.clips import Clips, loaders
from baselines.flowavse.config import INFERENCE_ALONE
from baselines.flowavse.spectrogram import noise_like, spectrogram, waveform
from baselines.flowavse.training import SHOWN, VALIDATION, picture, si_sdr, squared_norm
from baselines.settings import options
from baselines.sgmse.config import Config, Training
from baselines.shards import Progress
from baselines.training import Recipe, Stage, Update, seeded, without_steps
from benchmark.types import Sample


class SGMSERecipe(Recipe):
    """Loss = weight(t) |deviation(t) score(x_t, y, t) + z|^2, x_t = mean(t) + deviation(t) z, t from U[end, 1].

    Squared norms over all bins, means over clips; the weight is 1 in the paper. The authors' code halves the loss,
    which Adam does not notice.
    """

    name = "sgmse"

    def __init__(self, config: Config, training: Training, clips: Clips, validation: Clips | None = None) -> None:
        """Train on `clips`, which have no faces, and measure on `validation`."""
        self.config, self.training, self.clips = config, training, clips
        self.loaders = loaders()
        with seeded(self.name, config.width, config.blocks):
            self.network = config.network()
        parameters = [p for p in self.network.parameters() if p.requires_grad]
        self.optimiser = torch.optim.Adam(parameters, lr=training.learning_rate)
        self._validation = validation
        self._held: dict[str, Tensor] | None = None

    def modules(self) -> Mapping[str, nn.Module]:
        return {"network": self.network}

    def optimisers(self) -> Mapping[str, torch.optim.Optimizer]:
        return {"network": self.optimiser}

    def averaged(self) -> Mapping[str, nn.Module]:
        return {"network": self.network}

    def description(self) -> Mapping[str, Any]:
        config, training = dataclasses.asdict(self.config), without_steps(self.training)
        return {
            "config": {name: value for name, value in config.items() if name not in INFERENCE_ALONE},
            "training": {name: value for name, value in training.items() if name != "shards"},
            "clips": len(self.clips.samples),
        }

    def batch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        batch = self.clips.batch(rng, self.training.batch)
        return {name: batch[name] for name in ("noisy", "clean")}

    def step(self, batch: Mapping[str, Tensor], update: Update) -> dict[str, Tensor]:
        self.network.train()
        with torch.autocast(batch["noisy"].device.type, enabled=False):
            noisy, clean = (self._spectrogram(batch[name]) for name in ("noisy", "clean"))
            process = self.config.process()
            time = process.end + (1 - process.end) * torch.rand(len(clean), device=clean.device)
            noise = noise_like(clean)
            deviation = process.deviation(time)[:, None, None, None]
            state = process.mean(clean, noisy, time) + deviation * noise
            weight = self.config.weight(time)
        loss = squared_norm(weight.sqrt() * (deviation * self.config.score(self.network, state, noisy, time) + noise))
        update("network", loss)
        return {"score": loss}

    def validate(self) -> dict[str, float]:
        """SI-SDR of noisy and output on clips of the validation people, dB."""
        held = self._held_out(VALIDATION)
        if held is None:
            return {}
        signals = {"noisy": held["noisy"], "output": self._outputs(held)}
        measures = {f"si_sdr_{name}": float(si_sdr(s, held["clean"]).mean()) for name, s in signals.items()}
        unusable = sum(self.clips.problems.values())
        return {**measures, "unusable_clips": float(unusable)} if unusable else measures

    def sample_images(self) -> np.ndarray | None:
        """Spectrograms of noisy, output and clean speech, a clip per row."""
        held = self._held_out(SHOWN)
        if held is None:
            return None
        return np.stack([picture(x) for x in (held["noisy"], self._outputs(held), held["clean"])], axis=1)

    def export(self, path: Path) -> Path:
        about = {
            "method": self.name,
            "config": dataclasses.asdict(self.config),
            "training": dataclasses.asdict(self.training),
        }
        return export(path, self.network.state_dict(), about)

    def _spectrogram(self, audio: Tensor) -> Tensor:
        return spectrogram(audio, self.config.exponent, self.config.factor)

    def _held_out(self, count: int) -> dict[str, Tensor] | None:
        """The first held clips: the same clips and noises every time."""
        if self._validation is None:
            return None
        if self._held is None:
            self._held = self._validation.batch(np.random.default_rng(0), VALIDATION)
        return {name: tensor[:count] for name, tensor in self._held.items()}

    def _outputs(self, held: Mapping[str, Tensor]) -> Tensor:
        """As the method makes them, on the CPU."""
        device, outputs = next(self.network.parameters()).device, []
        for first in range(0, len(held["noisy"]), self.training.batch):
            part = held["noisy"][first : first + self.training.batch].to(device)
            noisy = self._spectrogram(part)
            generators = [torch.Generator().manual_seed(first + i) for i in range(len(part))]

            def score(x: Tensor, t: Tensor, noisy: Tensor = noisy) -> Tensor:
                return self.config.score(self.network, x, noisy, t)

            def draw(noisy: Tensor = noisy, generators: list[torch.Generator] = generators) -> Tensor:
                return noise_like(noisy, generators)

            output = self.config.refined(score, noisy, draw)
            outputs.append(waveform(output, part.shape[1], self.config.exponent, self.config.factor).cpu())
        return torch.cat(outputs)


def recipes(
    config: Config,
    training: Mapping[str, Any],
    samples: Sequence[Sample],
    validation: Sequence[Sample] = (),
    networks: Callable[[str], Any] | None = None,
    progress: Progress | None = None,
) -> list[Stage]:
    """One training, of the score model.

    Args:
        config: architecture and process, from the preset.
        training: the preset's `training` table; see `Training`.
        samples: mixtures of the training split; their speech is used, mixed anew with their kinds of noise.
        validation: mixtures for the measures in the log.
        progress: called as progress(done, total, what) while clips are decoded.

    Raises:
        InvalidConfig: a setting that cannot be used.
    """
    settings = options(Training, training)

    def build(folder: Path) -> Recipe:
        held = Clips(validation, settings, faces=False) if validation else None
        return SGMSERecipe(config, settings, Clips(samples, settings, progress=progress, faces=False), held)

    return [Stage("sgmse", settings.steps, build, settings.ema or None, settings.anneal, settings.clip or None)]
