"""How FlowAVSE is trained: both stages and their visual encoders at once (Sec. 2.2, Eq. 8 to 10), or one by one."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from baselines.checkpoints import export, fill, read
from baselines.flowavse.clips import Clips, loaders
from baselines.flowavse.config import INFERENCE_ALONE, Config, EnhancerConfig, Training
from baselines.flowavse.network import Seen
from baselines.flowavse.spectrogram import noise_like, spectrogram, waveform
from baselines.flowavse.visual_training import VisualEncoderRecipe
from baselines.settings import options
from baselines.shards import Progress
from baselines.training import Recipe, Stage, Update, seeded, without_steps
from benchmark.types import Sample

VALIDATION, SHOWN = 32, 4
"""Clips that are measured and drawn beside a training."""
ELSEWHERE = frozenset({"shards", "visual_batch", "visual_learning_rate"})
"""Settings with no part in the joint training; those of an encoder trained ahead are in its own description."""
OF_SECOND_STAGE = frozenset({"at_start", "refiner_weight"})
"""Settings with no part in the first stage alone, so that they may be tried on one."""

Part = Literal["both", "first", "second"]
"""What learns: everything; the first stage and its visual encoder; or what these do not hold."""


class EnhancerRecipe(Recipe):
    """Total loss = lambda1 |x1 - P(y)|^2 + lambda2 L_G, squared norms over all bins, means over clips (Eq. 9, 10).

    The gradient of L_G goes through the estimate into the first stage too, as in the official code. Where the stages
    learn one after the other, each has its own part of the loss, and the second takes the first as it stands.
    """

    def __init__(
        self,
        config: EnhancerConfig,
        training: Training,
        samples: Sequence[Sample],
        validation: Sequence[Sample],
        encoder: Path | None = None,
        first: Path | None = None,
        learns: Part = "both",
        progress: Progress | None = None,
    ) -> None:
        """
        Args:
            encoder: weights of a visual encoder to begin with.
            first: weights of the whole network to begin with, in which the first stage is trained.
        """
        self.config, self.training, self.learns = config, training, learns
        self.loaders = loaders()
        self.averages_statistics = training.ema_statistics
        self.clips = Clips(samples, training, config.grey, progress)
        with seeded(self.name, config.size, config.width):
            self.network = config.network()
        if training.start_from:
            path = Path(training.start_from)
            shipped = Path(__file__).parents[1] / path
            first = shipped if not path.is_file() and shipped.is_file() else path
        if first:
            tensors, _ = read(first, self.name)
            fill(self.network, tensors, first, "start_from wants weights of the same networks")
        self.encoder_ahead = encoder is not None
        if encoder:
            tensors, _ = read(encoder, self.name)
            for own in filter(None, (self.network.predictor_encoder, self.network.refiner_encoder)):
                fill(own, tensors, encoder)
        held = {
            "both": (),
            "first": (self.network.refiner, self.network.refiner_encoder),
            "second": (self.network.predictor, self.network.predictor_encoder),
        }[learns]
        self._fixed = [module for module in held if module is not None]
        """What does not learn: without gradients, and with the statistics that it has."""
        for module in self._fixed:
            module.requires_grad_(False)
        parameters = [p for p in self.network.parameters() if p.requires_grad]
        self.optimiser = torch.optim.Adam(parameters, lr=training.learning_rate)
        self._validation = Clips(validation, training, config.grey) if validation else None
        self._held: dict[str, Tensor] | None = None

    @abstractmethod
    def refiner_loss(self, estimate: Tensor, clean: Tensor, seen: Seen) -> Tensor:
        """L_G of a batch of spectrograms `[B, 2, F, T]`."""

    def modules(self) -> Mapping[str, nn.Module]:
        return {"network": self.network}

    def optimisers(self) -> Mapping[str, torch.optim.Optimizer]:
        return {"network": self.optimiser}

    def averaged(self) -> Mapping[str, nn.Module]:
        return {"network": self.network}

    def description(self) -> Mapping[str, Any]:
        config, training = dataclasses.asdict(self.config), without_steps(self.training)
        elsewhere = ELSEWHERE | (OF_SECOND_STAGE if self.learns == "first" else frozenset())
        return {
            "config": {name: value for name, value in config.items() if name not in INFERENCE_ALONE},
            "training": {name: value for name, value in training.items() if name not in elsewhere},
            "encoder_ahead": self.encoder_ahead,
            "learns": self.learns,
            "clips": len(self.clips.samples),
        }

    def batch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        return self.clips.batch(rng, self.training.batch)

    def step(self, batch: Mapping[str, Tensor], update: Update) -> dict[str, Tensor]:
        self.network.train()
        for module in self._fixed:
            module.eval()
        noisy, clean = self._spectrograms(batch)
        seen = self.network.see(batch["video"])
        estimate = self.network.predict(noisy, seen)
        losses, terms = {"predictor": squared_norm(clean - estimate)}, []
        if self.learns != "second":
            terms.append(self.training.predictor_weight * losses["predictor"])
        if self.learns != "first":
            losses["refiner"] = self.refiner_loss(estimate, clean, seen)
            terms.append(self.training.refiner_weight * losses["refiner"])
        total = torch.stack(terms).sum()
        update("network", total)
        return {"total": total, **losses}

    def validate(self) -> dict[str, float]:
        """SI-SDR of noisy, first estimate and output on clips of the validation people, dB.

        While the first stage learns alone, its estimate is the output.
        """
        found = self._outputs(VALIDATION)
        if found is None:
            return {}
        batch, estimate, output = found
        signals = {"noisy": batch["noisy"], "estimate": estimate, "output": output}
        measures = {f"si_sdr_{name}": float(si_sdr(s, batch["clean"]).mean()) for name, s in signals.items()}
        unusable = sum(self.clips.problems.values())
        return {**measures, "unusable_clips": float(unusable)} if unusable else measures

    def sample_images(self) -> np.ndarray | None:
        """Spectrograms of noisy, output and clean speech, a clip per row."""
        found = self._outputs(SHOWN)
        if found is None:
            return None
        batch, _, output = found
        rows = [picture(signal) for signal in (batch["noisy"], output, batch["clean"])]
        return np.stack(rows, axis=1)

    def export(self, path: Path) -> Path:
        about = {
            "method": self.name,
            "config": dataclasses.asdict(self.config),
            "training": dataclasses.asdict(self.training),
        }
        return export(path, self.network.state_dict(), about)

    def _spectrograms(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        settings = self.config.exponent, self.config.factor
        with torch.autocast(batch["noisy"].device.type, enabled=False):
            return spectrogram(batch["noisy"], *settings), spectrogram(batch["clean"], *settings)

    def _outputs(self, count: int) -> tuple[dict[str, Tensor], Tensor, Tensor] | None:
        """The first held clips, the first stage's estimates of them and the outputs, all on the CPU."""
        if self._validation is None:
            return None
        if self._held is None:
            # The same clips and noises every time.
            self._held = self._validation.batch(np.random.default_rng(0), VALIDATION)
        held = {name: tensor[:count] for name, tensor in self._held.items()}
        device = next(self.network.parameters()).device
        settings = self.config.exponent, self.config.factor
        estimates, outputs = [], []
        for part in range(0, len(held["clean"]), self.training.batch):
            batch = {name: tensor[part : part + self.training.batch].to(device) for name, tensor in held.items()}
            noisy, _ = self._spectrograms(batch)
            seen = self.network.see(batch["video"])
            estimate = self.network.predict(noisy, seen).float()
            output = self._output(estimate, seen, [torch.Generator().manual_seed(part + i) for i in range(len(noisy))])
            length = batch["noisy"].shape[1]
            estimates.append(waveform(estimate, length, *settings).cpu())
            outputs.append(waveform(output, length, *settings).cpu())
        return held, torch.cat(estimates), torch.cat(outputs)

    def _output(self, estimate: Tensor, seen: Seen, generators: Sequence[torch.Generator]) -> Tensor:
        """As the method makes it."""
        if self.learns == "first":
            return estimate
        return self.config.refined(
            lambda x, t: self.network.refine(x, estimate, t, seen).float(),
            estimate,
            lambda: noise_like(estimate, generators),
        )


class FlowAVSERecipe(EnhancerRecipe):
    """L_G = |v(x_t, t) - (x1 - x0)|^2 with t from U[start, 1] (Eq. 8), or `start` itself for a part of the clips."""

    name = "flowavse"
    config: Config

    def refiner_loss(self, estimate: Tensor, clean: Tensor, seen: Seen) -> Tensor:
        flow = self.config.flow()
        source = flow.source(estimate, noise_like(clean))
        time = flow.start + (1 - flow.start) * torch.rand(len(clean), device=clean.device)
        if part := self.training.at_start:
            time[torch.rand(len(clean), device=clean.device) < part] = flow.start
        state = flow.state(source, clean, time, noise_like(clean))
        return squared_norm(self.network.refine(state, estimate, time, seen) - (clean - source))


def squared_norm(x: Tensor) -> Tensor:
    """Mean over the batch of the sum of squares. Shape: `[B, ...]` -> scalar."""
    return x.float().square().flatten(1).sum(1).mean()


def recipes(
    config: Config,
    training: Mapping[str, Any],
    samples: Sequence[Sample],
    validation: Sequence[Sample] = (),
    networks: Callable[[str], Any] | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> list[Stage]:
    """The training of everything at once, ahead of it those of the visual encoder and of the first stage where asked.

    Args:
        config: architecture, from the preset.
        training: the preset's `training` table; see `Training`.
        samples: mixtures of the training split; their speech and faces are used, mixed anew with their kinds of noise.
        validation: mixtures for the measures in the log.
        progress: called as progress(done, total, what) while clips are decoded.

    Raises:
        InvalidConfig: a setting that cannot be used.
    """
    return stages(FlowAVSERecipe, config, training, samples, validation, progress)


def stages(
    recipe: type[EnhancerRecipe],
    config: EnhancerConfig,
    training: Mapping[str, Any],
    samples: Sequence[Sample],
    validation: Sequence[Sample],
    progress: Progress | None = None,
) -> list[Stage]:
    settings = options(Training, training)
    eye, predictor = "visual_encoder", "predictor"

    def build_eye(folder: Path) -> Recipe:
        return VisualEncoderRecipe(config, settings, samples, validation, progress)

    def built(folder: Path, learns: Part) -> Recipe:
        encoder = folder / f"{eye}.safetensors" if settings.visual_steps else None
        first = None
        if settings.predictor_steps and learns != "first":
            encoder, first = None, folder / f"{predictor}.safetensors"
        return recipe(config, settings, samples, validation, encoder, first, learns, progress)

    def build_first(folder: Path) -> Recipe:
        return built(folder, "first")

    def build(folder: Path) -> Recipe:
        return built(folder, "both" if settings.joint else "second")

    ema, clip = settings.ema or None, settings.clip or None
    found = []
    if settings.visual_steps:
        found.append(Stage(eye, settings.visual_steps, build_eye, anneal=True))
    if settings.predictor_steps:
        found.append(Stage(predictor, settings.predictor_steps, build_first, ema, settings.anneal, clip))
    return [*found, Stage(recipe.name, settings.steps, build, ema, settings.anneal, clip)]


def si_sdr(estimate: Tensor, clean: Tensor) -> Tensor:
    """Of signals with their means: `[B, L]` -> `[B]` dB."""
    gain = (estimate * clean).sum(1, keepdim=True) / clean.square().sum(1, keepdim=True)
    return 10 * torch.log10((gain * clean).square().sum(1) / (gain * clean - estimate).square().sum(1))


def picture(audio: Tensor) -> np.ndarray:
    """Log-magnitude spectrograms, 60 dB from black to white, low frequencies at the bottom: `[B, 256, T, 3]` uint8."""
    x = spectrogram(audio, 1.0, 1.0)
    db = 10 * torch.log10(x.square().sum(1) + 1e-10)
    scaled = ((db - db.amax((1, 2), keepdim=True)) / 60 + 1).clamp(0, 1)
    grey = (255 * scaled.flip(1)).to(torch.uint8).numpy()
    return np.repeat(grey[..., None], 3, axis=3)
