"""How the three networks are trained, each for itself (Sec. 3.2): only the encoder hears speech."""

from __future__ import annotations

import dataclasses
import functools
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.checkpoints import export, read
from baselines.lamb import Lamb
from baselines.layers.pixels import symmetric_to_unit, to_pictures, to_symmetric, to_unit
from baselines.layers.speech_input import RATE
from baselines.people import People, load_both
from baselines.settings import options
from baselines.speech2face_ddpm.config import DRAWN, INFERENCE_ALONE, Config, Training
from baselines.speech2face_ddpm.network import PARTS, looked_at, shrunk
from baselines.speech2face_ddpm.pictures import Faces, Look, looker
from baselines.speech2face_ddpm.sampling import draw_faces, enlarge_faces
from baselines.speech2face_ddpm.speech import SCALE, FrontEnd, spectrogram
from baselines.training import Recipe, Stage, Update, seeded
from benchmark.errors import InvalidConfig
from benchmark.types import Sample

SHOWN = 8
MEASURED = 200
"""Validation faces whose loss is measured."""
START_OF_WARM_UP = 0.1


class PartRecipe(Recipe):
    """What the trainings of the three have in common."""

    def __init__(self, config: Config, training: Training, faces: Faces, validation: Faces | None, batch: int) -> None:
        self.config, self.training, self.faces, self.validation = config, training, faces, validation
        self.size = batch
        with seeded("speech2face_ddpm", self.name, str(config)):
            self.network = config.network()
        self.part: nn.Module = getattr(self.network, self.name)
        kind = Lamb if training.optimiser == "lamb" else torch.optim.Adam
        self.optimiser = kind(self.part.parameters(), lr=self.rate())
        self.kept: dict[str, Tensor] = {}
        """Of parts that were trained before: the export takes them over."""

    @abstractmethod
    def rate(self) -> float:
        """The learning rate."""

    @abstractmethod
    def loss(self, batch: Mapping[str, Tensor]) -> Tensor: ...

    def modules(self) -> Mapping[str, nn.Module]:
        return {self.name: self.part}

    def optimisers(self) -> Mapping[str, torch.optim.Optimizer]:
        return {self.name: self.optimiser}

    def averaged(self) -> Mapping[str, nn.Module]:
        return self.modules()

    def step(self, batch: Mapping[str, Tensor], update: Update) -> dict[str, Tensor]:
        self.part.train()
        loss = self.loss(batch)
        update(self.name, loss)
        return {"loss": loss}

    def description(self) -> Mapping[str, Any]:
        """Without settings of the other parts, and of sampling."""
        config, training = dataclasses.asdict(self.config), dataclasses.asdict(self.training)
        prefixes = [part.partition("_")[0] + "_" for part in PARTS]
        others = tuple(prefix for prefix in prefixes if not self.name.startswith(prefix.rstrip("_")))
        return {
            "config": {k: v for k, v in config.items() if k not in INFERENCE_ALONE and not k.startswith(others)},
            "training": {
                k: v
                for k, v in training.items()
                if not k.startswith(others) and not k.endswith("steps") and k != "start_from"
            },
            "faces": len(self.faces),
        }

    def take_over(self, path: Path) -> None:
        """Take the other parts of an export into this one's.

        Raises:
            MissingWeights: there is no such file.
        """
        tensors, _ = read(path, "speech2face_ddpm")
        self.kept |= {name: tensor for name, tensor in tensors.items() if not name.startswith(f"{self.name}.")}

    def export(self, path: Path) -> Path:
        about = {
            "method": "speech2face_ddpm",
            "config": dataclasses.asdict(self.config),
            "training": dataclasses.asdict(self.training),
        }
        own = {f"{self.name}.{name}": tensor for name, tensor in self.part.state_dict().items()}
        return export(path, {**self.kept, **own}, about)

    @property
    def device(self) -> torch.device:
        return next(self.part.parameters()).device


class EncoderRecipe(PartRecipe):
    """The encoder tells the direction of the speaker's face descriptor: 1 - cosine (Sec. 3.2)."""

    name = "encoder"

    def __init__(self, config: Config, training: Training, faces: Faces, validation: Faces | None = None) -> None:
        super().__init__(config, training, faces, validation, training.encoder_batch)
        self.who, self.wanted = faces.persons()

    def rate(self) -> float:
        return self.training.encoder_rate

    def pace(self, step: int) -> float:
        return self.training.decay ** (step // self.training.decay_every)

    def batch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        chosen = rng.choice(len(self.who), self.size, replace=self.size > len(self.who))
        return {"speech": self._speech(self.faces.people, self.who[chosen], rng), "wanted": self.wanted[chosen]}

    def loss(self, batch: Mapping[str, Tensor]) -> Tensor:
        return 1 - (self._told(batch["speech"]) * batch["wanted"]).sum(1).mean()

    def validate(self) -> dict[str, float]:
        """The loss, and the place of each person's own direction among all by cosine with what was told."""
        if self.validation is None:
            return {}
        who, wanted = self.validation.persons()
        speech = self._speech(self.validation.people, who, np.random.default_rng(0))
        told = torch.cat([self._told(part.to(self.device)) for part in speech.split(16)]).cpu()
        cosine = told @ wanted.T
        rank = (cosine > cosine.diagonal()[:, None]).sum(1)
        recalls = {f"recall_at_{k}": float((rank < k).float().mean()) for k in (1, 10)}
        return {"loss": float(1 - cosine.diagonal().mean()), **recalls}

    def _speech(self, people: People, who: Tensor, rng: np.random.Generator) -> Tensor:
        """16-bit samples `[B, T]`."""
        return people.long_crops(who.numpy(), rng, round(self.training.seconds * RATE))[:, 0]

    def _told(self, speech: Tensor) -> Tensor:
        with torch.autocast(speech.device.type, enabled=False):
            x = spectrogram(speech.float() / SCALE)
        return self.part(x)


class DenoiserRecipe(PartRecipe):
    """What the trainings of both decoders have in common."""

    def pace(self, step: int) -> float:
        """Linear warm-up at the first epochs (Table 1)."""
        done = step * self.size / (len(self.faces) * self.training.warm_up) if self.training.warm_up else 1.0
        return min(1.0, START_OF_WARM_UP + (1 - START_OF_WARM_UP) * done)

    def batch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        faces, descriptors = self.faces.draw(rng, self.size)
        return {"faces": faces, "descriptors": descriptors}

    def noisy(self, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Pictures with noise of random steps, the times of these, and what is to be told."""
        diffusion = self.config.diffusion()
        steps = torch.randint(diffusion.steps, (len(pictures),), device=pictures.device)
        x, wanted = diffusion.noisy(pictures, torch.randn_like(pictures), steps)
        return x, diffusion.times(steps), wanted

    def validate(self) -> dict[str, float]:
        """The loss on validation faces, with the same noise each time."""
        if self.validation is None:
            return {}
        chosen = np.arange(min(MEASURED, len(self.validation)))
        losses = []
        with torch.random.fork_rng([]):
            torch.manual_seed(0)
            for part in np.array_split(chosen, -(-len(chosen) // self.size)):
                faces, descriptors = self.validation.take(part)
                batch = {"faces": faces.to(self.device), "descriptors": descriptors.to(self.device)}
                losses.append(float(self.loss(batch)) * len(part))
        return {"loss": sum(losses) / len(chosen)}

    def shown(self) -> tuple[Tensor, Tensor, list[torch.Generator]]:
        """The first validation faces, their descriptors, and a generator for each."""
        assert self.validation is not None
        faces, descriptors = self.validation.take(np.arange(min(SHOWN, len(self.validation))))
        return faces, descriptors, [torch.Generator().manual_seed(number) for number in range(len(faces))]


class DecoderRecipe(DenoiserRecipe):
    """The decoder draws faces of 64 x 64 with the guidance of their own descriptors, now and then without (Fig. 4)."""

    name = "decoder"

    def __init__(self, config: Config, training: Training, faces: Faces, validation: Faces | None = None) -> None:
        super().__init__(config, training, faces, validation, training.decoder_batch)

    def rate(self) -> float:
        return self.training.decoder_rate

    def loss(self, batch: Mapping[str, Tensor]) -> Tensor:
        pictures = shrunk(to_symmetric(batch["faces"]), DRAWN)
        x, time, wanted = self.noisy(pictures)
        kept = torch.rand(len(x), 1, device=x.device) >= self.training.drop
        return F.mse_loss(self.part(x, time, batch["descriptors"] * kept).float(), wanted)

    def sample_images(self) -> np.ndarray | None:
        """Validation faces, and what is drawn of their descriptors."""
        if self.validation is None:
            return None
        faces, descriptors, generators = self.shown()
        made = draw_faces(self.network, self.config, descriptors.to(self.device), generators)
        return np.stack([to_pictures(shrunk(to_unit(faces), DRAWN)), to_pictures(symmetric_to_unit(made))])


class SuperResolutionRecipe(DenoiserRecipe):
    """Faces of 64 x 64, a little noisy, are drawn large; their own large pictures are the truth."""

    name = "super_resolution"

    def __init__(self, config: Config, training: Training, faces: Faces, validation: Faces | None = None) -> None:
        super().__init__(config, training, faces, validation, training.super_batch)

    def rate(self) -> float:
        return self.training.super_rate

    def loss(self, batch: Mapping[str, Tensor]) -> Tensor:
        pictures = to_symmetric(batch["faces"])
        low = shrunk(pictures, DRAWN)
        level = self.training.augmentation * torch.rand(len(low), device=low.device)
        x, time, wanted = self.noisy(pictures)
        seen = looked_at(low, pictures.shape[-1], torch.randn_like(low), level)
        return F.mse_loss(self.part(x, time, low=seen, level=level).float(), wanted)

    def sample_images(self) -> np.ndarray | None:
        """Validation faces, and what is made of them at 64 x 64."""
        if self.validation is None:
            return None
        faces, _, generators = self.shown()
        low = shrunk(to_symmetric(faces), DRAWN).to(self.device)
        made = enlarge_faces(self.network, self.config, low, generators)
        return np.stack([to_pictures(to_unit(faces)), to_pictures(symmetric_to_unit(made))])


def recipes(
    config: Config,
    training: Mapping[str, Any],
    samples: Sequence[Sample],
    validation: Sequence[Sample] = (),
    networks: Callable[[str], Any] | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> list[Stage]:
    """The stages, in order: encoder, decoder, super-resolution, those with steps.

    Args:
        config: architecture, from the preset.
        training: the preset's `training` table; see `Training`.
        samples: the training people, or pictures alone where no encoder is trained.
        validation: people for the sample grids and the measures in the log.
        networks: gives a loaded face network by name.
        progress: called as progress(done, total, what) while the corpus is read.

    Raises:
        InvalidConfig: a setting that cannot be used.
    """
    settings = options(Training, training)

    @functools.cache
    def people() -> tuple[People, People | None]:
        features = FrontEnd(config.shortest_s) if settings.encoder_steps else None
        return load_both(samples, validation, features, config.large, settings.recordings, progress)

    @functools.cache
    def faces() -> tuple[Faces, Faces | None]:
        if networks is None:
            raise InvalidConfig(f"face_network '{settings.face_network}' was asked for, but none can be loaded here")
        look = at_drawn_size(looker(settings.face_network, networks(settings.face_network)))
        training, known = people()
        own = Faces.of(training, look, centred=settings.centred)
        if own.descriptors.shape[1] != config.embedding:
            raise InvalidConfig(
                f"embedding = {config.embedding}; descriptors of {settings.face_network} have "
                f"{own.descriptors.shape[1]} numbers: --set embedding={own.descriptors.shape[1]}"
            )
        return own, Faces.of(known, look, own.centre) if known else None

    def built(kind: type[Any], folder: Path, earlier: Sequence[str]) -> Recipe:
        recipe = kind(config, settings, *faces())
        if settings.start_from:
            recipe.take_over(Path(settings.start_from))
        for name in earlier:
            recipe.take_over(folder / f"{name}.safetensors")
        return recipe

    stages: list[Stage] = []
    for kind, steps, ema in (
        (EncoderRecipe, settings.encoder_steps, settings.encoder_ema),
        (DecoderRecipe, settings.decoder_steps, settings.ema),
        (SuperResolutionRecipe, settings.super_steps, settings.ema),
    ):
        if steps:
            earlier = [stage.name for stage in stages]
            build = functools.partial(built, kind, earlier=earlier)
            stages.append(Stage(kind.name, steps, build, ema or None, settings.anneal, settings.clip or None))
    return stages


def at_drawn_size(look: Look) -> Look:
    """Look at faces as large as the decoder draws them."""

    def smaller(faces: Tensor) -> tuple[Tensor, Tensor]:
        return look(shrunk(faces.float(), DRAWN).round().clamp(0, 255).to(torch.uint8))

    return smaller
