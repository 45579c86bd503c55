"""How the vocoder is trained: against critics (Kong et al. 2020), and before that, where asked, by spectra alone."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.checkpoints import export, fill, read
from baselines.lipdiffuser.config import Config, Training
from baselines.lipdiffuser.mel import HOP, RATE, LogMel
from baselines.lipdiffuser.vocoder import Critics, Generator, folded, with_weight_norm
from baselines.training import Recipe, Stage, Update, frozen, seeded
from benchmark.errors import MediaError, MissingDataset

VALIDATION, SHOWN = 16, 3
"""Recordings that are measured and drawn beside a training."""
ATTEMPTS = 20
"""Recordings that are drawn before one that cannot be used ends the training."""
RESOLUTIONS = (512, 1024, 2048)
"""Windows of the spectra by which the generator is told apart from the truth, a quarter of each being its hop."""
NOISE = 0.2
"""Largest standard deviation of the noise on disturbed spectrograms."""
START, NAME = "vocoder_start", "vocoder"
PREFIX = "vocoder."
"""Of the names in exported files."""


class Recordings(Protocol):
    """Speech at 16 kHz, each recording `[T]` float32 in [-1, 1] or int16; to read one may raise MediaError."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int, /) -> np.ndarray: ...


class SpeechFiles:
    """Recordings that are read whenever they are drawn, so that a corpus of any size needs no memory."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = list(paths)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, number: int) -> np.ndarray:
        from benchmark.media.sound import read_audio

        return read_audio(self.paths[number], RATE).samples


class VocoderStage(Recipe):
    """What both stages share: the generator, with normalised weights, and crops of speech."""

    of_training: tuple[str, ...]
    """The settings that decide this stage's weights."""

    def __init__(
        self,
        config: Config,
        training: Training,
        recordings: Recordings,
        validation: Recordings | None = None,
        start: Path | None = None,
    ) -> None:
        """
        Args:
            start: weights of the generator to begin with, in the file of the stage before.
        """
        if not len(recordings):
            raise MissingDataset("No speech to train the vocoder on: expected recordings in the split")
        self.config, self.training = config, training
        self.recordings, self.validation = recordings, validation
        self.started = start is not None
        self.problems: Counter[str] = Counter()
        """Why recordings were passed over, and how often."""
        with seeded(NAME, config.vocoder_channels):
            generator = Generator(config.vocoder_channels)
            self.build()
        if start:
            tensors, _ = read(start, "lipdiffuser")
            fill(generator, {name.removeprefix(PREFIX): tensor for name, tensor in tensors.items()}, start)
        self.generator = with_weight_norm(generator)
        self.log_mel = LogMel(config.framing)

    @abstractmethod
    def build(self) -> None:
        """Make what the stage has beside the generator."""

    def modules(self) -> Mapping[str, nn.Module]:
        return {"generator": self.generator}

    def carried(self) -> Sequence[nn.Module]:
        return (self.log_mel,)

    def description(self) -> Mapping[str, Any]:
        return {
            "config": {name: getattr(self.config, name) for name in ("framing", "vocoder_channels")},
            "training": {name: getattr(self.training, name) for name in self.of_training},
            "started": self.started,
            "recordings": len(self.recordings),
        }

    def batch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        return {"sound": torch.stack([self.crop(rng) for _ in range(self.training.vocoder_batch)])}

    def crop(self, rng: np.random.Generator) -> Tensor:
        """A stretch of a recording, float32; a shorter one is followed by zeros.

        Raises:
            MissingDataset: nothing usable in 20 draws.
        """
        reason = ""
        length = self.training.vocoder_frames * HOP
        for _ in range(ATTEMPTS):
            try:
                samples = as_float(self.recordings[int(rng.integers(len(self.recordings)))])
            except MediaError as error:
                reason = str(error)
                self.problems[reason] += 1
                continue
            first = int(rng.integers(max(0, len(samples) - length) + 1))
            found = samples[first : first + length]
            return torch.from_numpy(np.pad(found, (0, length - len(found))))
        raise MissingDataset(f"{ATTEMPTS} recordings in a row cannot be used, the last one because: {reason}")

    def spoken(self, mels: Tensor) -> Tensor:
        """The generator's sound, in float32 whatever the training's precision: 8 bits of bfloat16 would be heard."""
        with torch.autocast(mels.device.type, enabled=False):
            return self.generator(disturbed(mels, self.training.vocoder_disturbed))

    def by_spectra(self, sound: Tensor, generated: Tensor, mels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The part of the generator's loss that needs no critics, and what it consists of."""
        losses = {"mel": (self.log_mel(generated) - mels).abs().mean()}
        total = self.training.vocoder_mel_weight * losses["mel"]
        if weight := self.training.vocoder_spectra_weight:
            losses["spectra"] = spectral_distance(sound, generated)
            total = total + weight * losses["spectra"]
        return total, losses

    def validate(self) -> dict[str, float]:
        """Mean absolute difference of log-mel spectrograms of recordings and what is made of these."""
        errors = [float((self.log_mel(made) - mels).abs().mean()) for mels, made in self._copied(VALIDATION)]
        return {"mel": float(np.mean(errors))} if errors else {}

    def sample_images(self) -> np.ndarray | None:
        """Mel spectrograms, true and of the generated sound, a recording per row, 2 s at most."""
        rows = []
        for mels, made in self._copied(SHOWN):
            pair = torch.stack([mels[0], self.log_mel(made)[0]])[..., :125]
            grey = ((pair + 10) / 10).clamp(0, 1).mul(255).to(torch.uint8).flip(1).cpu()
            rows.append(F.pad(grey, (0, 125 - grey.shape[2])).numpy()[..., None].repeat(3, axis=3))
        return np.stack(rows) if rows else None

    def export(self, path: Path) -> Path:
        about = {
            "method": NAME,
            "config": dataclasses.asdict(self.config),
            "training": dataclasses.asdict(self.training),
        }
        tensors = {PREFIX + name: tensor for name, tensor in folded(self.generator.state_dict()).items()}
        return export(path, tensors, about, half=False)

    @torch.no_grad()
    def _copied(self, count: int) -> list[tuple[Tensor, Tensor]]:
        """The first validation recordings: mel spectrograms `[1, 80, F]` and the sound that is made of them."""
        device = next(self.generator.parameters()).device
        found = []
        for number in range(min(count, len(self.validation) if self.validation else 0)):
            sound = torch.from_numpy(as_float(self.validation[number])).to(device)
            mels = self.log_mel(sound[None])
            found.append((mels, self.generator(mels)))
        return found


class VocoderStartRecipe(VocoderStage):
    """The generator alone, by the differences of spectra. Its speech is plain, but buzzes."""

    name = START
    of_training = (
        *("vocoder_start_learning_rate", "vocoder_batch", "vocoder_frames"),
        *("vocoder_mel_weight", "vocoder_spectra_weight", "vocoder_disturbed"),
    )

    def build(self) -> None:
        """Nothing: there are no critics."""

    def optimisers(self) -> Mapping[str, torch.optim.Optimizer]:
        return {"generator": _adam(self.generator, self.training.vocoder_start_learning_rate)}

    def step(self, batch: Mapping[str, Tensor], update: Update) -> dict[str, Tensor]:
        mels = self.log_mel(batch["sound"])
        total, losses = self.by_spectra(batch["sound"], self.spoken(mels), mels)
        update("generator", total)
        return losses


class VocoderRecipe(VocoderStage):
    """Least-squares game against the critics, with their features and the mel spectrogram compared (Eq. 1 to 6)."""

    name = NAME
    of_training = (
        *("vocoder_learning_rate", "vocoder_decay", "vocoder_batch", "vocoder_frames", "vocoder_critic_width"),
        *("vocoder_mel_weight", "vocoder_feature_weight", "vocoder_spectra_weight", "vocoder_disturbed"),
    )

    def build(self) -> None:
        self.critics = Critics(self.training.vocoder_critic_width)

    def modules(self) -> Mapping[str, nn.Module]:
        return {"generator": self.generator, "critics": self.critics}

    def optimisers(self) -> Mapping[str, torch.optim.Optimizer]:
        rate = self.training.vocoder_learning_rate
        return {"generator": _adam(self.generator, rate), "critics": _adam(self.critics, rate)}

    def pace(self, step: int) -> float:
        return self.training.vocoder_decay ** (step * self.training.vocoder_batch // len(self.recordings))

    def step(self, batch: Mapping[str, Tensor], update: Update) -> dict[str, Tensor]:
        sound = batch["sound"]
        mels = self.log_mel(sound)
        generated = self.spoken(mels)
        judged = self.critics(torch.cat([sound, generated.detach()]))
        told_apart = torch.stack([critic_loss(scores) for scores, _ in judged]).sum()
        update("critics", told_apart)
        total, losses = self.by_spectra(sound, generated, mels)
        with frozen(self.critics):
            judged = self.critics(torch.cat([sound, generated]))
            believed = torch.stack([generator_loss(scores) for scores, _ in judged]).sum()
            features = torch.stack([feature_distance(layers) for _, layers in judged]).sum()
            update("generator", total + believed + self.training.vocoder_feature_weight * features)
        return {"critics": told_apart, "believed": believed, "features": features, **losses}


def critic_loss(scores: Tensor) -> Tensor:
    """Squared distance from 1 for the true half of a batch, from 0 for the generated one (Eq. 1)."""
    true, generated = scores.float().chunk(2)
    return (true - 1).square().mean() + generated.square().mean()


def generator_loss(scores: Tensor) -> Tensor:
    """Squared distance from 1 for the generated half of a batch (Eq. 2)."""
    return (scores.float().chunk(2)[1] - 1).square().mean()


def feature_distance(layers: Sequence[Tensor]) -> Tensor:
    """Mean absolute difference of the two halves of a batch, summed over the layers of a critic (Eq. 4)."""
    halves = [layer.float().chunk(2) for layer in layers]
    return torch.stack([(true.detach() - generated).abs().mean() for true, generated in halves]).sum()


def spectral_distance(sound: Tensor, generated: Tensor) -> Tensor:
    """Spectral convergence and difference of log magnitudes, means over three resolutions (Yamamoto et al. 2020, Eq. 4
    and 5). Shape: twice `[B, T]` -> scalar."""
    parts = []
    for window in RESOLUTIONS:
        true, made = (_magnitudes(x, window) for x in (sound, generated))
        apart = (true - made).norm(dim=(1, 2)) / true.norm(dim=(1, 2)).clamp(min=1e-3)
        parts.append(apart.mean() + (true.log() - made.log()).abs().mean())
    return torch.stack(parts).mean()


def disturbed(mels: Tensor, part: float) -> Tensor:
    """Log-mel spectrograms of which a part is drawn towards its neighbours and made noisy, each by a random amount.

    Shape:
        `[B, 80, F]` -> the same
    """
    if not part:
        return mels
    amount, strength = torch.rand(2, len(mels), 1, 1, device=mels.device)
    amount = amount * (torch.rand_like(amount) < part)
    smooth = F.avg_pool2d(F.pad(mels[:, None], (1, 1, 1, 1), mode="replicate"), 3, 1)[:, 0]
    noise = NOISE * strength * torch.randn_like(mels)
    return torch.lerp(mels, smooth, amount) + noise * (amount > 0)


def stages(
    config: Config, training: Training, recordings: Recordings, validation: Recordings | None = None
) -> list[Stage]:
    """The trainings of the vocoder, in order: `vocoder_start` where asked for, and `vocoder`."""

    def build_start(folder: Path) -> Recipe:
        return VocoderStartRecipe(config, training, recordings, validation)

    def build(folder: Path) -> Recipe:
        start = folder / f"{START}.safetensors" if training.vocoder_start_steps else None
        return VocoderRecipe(config, training, recordings, validation, start)

    anneal = training.vocoder_anneal
    first = [Stage(START, training.vocoder_start_steps, build_start, anneal=anneal)]
    return [*(first if training.vocoder_start_steps else ()), Stage(NAME, training.vocoder_steps, build, anneal=anneal)]


def as_float(samples: np.ndarray | Tensor) -> np.ndarray:
    """A recording, int16 or float, as float32 with full scale 1.0."""
    samples = np.asarray(samples)
    return samples.astype(np.float32) / 32768 if samples.dtype == np.int16 else samples.astype(np.float32, copy=False)


def _adam(module: nn.Module, rate: float) -> torch.optim.Optimizer:
    return torch.optim.AdamW(module.parameters(), rate, betas=(0.8, 0.99))


def _magnitudes(x: Tensor, window: int) -> Tensor:
    with torch.autocast(x.device.type, enabled=False):
        hann = torch.hann_window(window, device=x.device)
        spectrum = torch.stft(x.float(), window, window // 4, window=hann, return_complex=True)
        return (spectrum.real.square() + spectrum.imag.square()).clamp(min=1e-7).sqrt()
