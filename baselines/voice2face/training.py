"""How voice2face is trained: the voice encoder as a speaker recogniser, then the generator against two critics."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.checkpoints import export, fill, read
from baselines.layers.pixels import symmetric_to_unit, to_pictures, to_symmetric, to_unit
from baselines.people import People, load_people
from baselines.training import Recipe, Stage, Update, frozen, options, seeded, without_steps
from baselines.voice2face.config import Config, Training
from baselines.voice2face.network import FaceCritics, Voice2FaceNetwork, disturbed
from baselines.voice2face.speech import FrontEnd
from benchmark.errors import InvalidConfig
from benchmark.types import Sample

SIZE = 64
SHOWN = 8


class Voice2FaceRecipe(Recipe):
    """What both stages share: the network, and crops of one length per batch."""

    def __init__(self, config: Config, training: Training, people: People, validation: People | None = None) -> None:
        self.config, self.training, self.people, self.validation = config, training, people, validation
        with seeded("voice2face", config):
            self.network = Voice2FaceNetwork(config.width, config.embedding)
            self.build()

    @abstractmethod
    def build(self) -> None:
        """Make what this stage needs beside the network."""

    def description(self) -> Mapping[str, Any]:
        return {
            "config": dataclasses.asdict(self.config),
            "training": without_steps(self.training),
            "people": len(self.people),
        }

    def voices(self, rng: np.random.Generator, who: np.ndarray) -> Tensor:
        low, high = self.training.crop_frames
        return self.people.crops(who, rng, int(rng.integers(low, high + 1)))

    def validation_voices(self) -> Tensor:
        assert self.validation is not None
        rng = np.random.default_rng(0)
        device = next(self.network.parameters()).device
        return self.validation.crops(np.arange(len(self.validation)), rng, self.training.crop_frames[1]).to(device)


class VoiceRecipe(Voice2FaceRecipe):
    """Stage 1: the voice encoder classifies the training speakers, in place of the authors' pretrained recogniser."""

    name = "voice_encoder"

    def build(self) -> None:
        self.classes = nn.Linear(self.config.embedding, len(self.people), bias=False)
        both = [*self.network.encoder.parameters(), *self.classes.parameters()]
        self.optimiser = torch.optim.Adam(both, lr=self.training.voice_learning_rate)

    def modules(self) -> Mapping[str, nn.Module]:
        return {"encoder": self.network.encoder, "classes": self.classes}

    def averaged(self) -> Mapping[str, nn.Module]:
        return {"encoder": self.network.encoder}

    def optimisers(self) -> Mapping[str, torch.optim.Optimizer]:
        return {"encoder": self.optimiser}

    def batch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        who = self.people.draw(rng, self.training.batch)
        return {"voices": self.voices(rng, who), "people": torch.from_numpy(who)}

    def step(self, batch: Mapping[str, Tensor], update: Update) -> dict[str, Tensor]:
        self.network.encoder.train()
        cosine = F.linear(self.network.encoder(batch["voices"]), F.normalize(self.classes.weight, dim=1))
        loss = F.cross_entropy(self.training.voice_scale * cosine, batch["people"])
        update("encoder", loss)
        return {"speaker": loss, "accuracy": (cosine.argmax(1) == batch["people"]).float().mean()}

    def export(self, path: Path) -> Path:
        return export(path, self.network.encoder.state_dict(), {"method": "voice2face voice encoder"}, half=False)


class FaceRecipe(Voice2FaceRecipe):
    """Stage 2: the generator makes faces that one critic takes for real and the other for the speaker's."""

    name = "generator"

    def build(self) -> None:
        settings = self.training
        self.critics = FaceCritics(
            len(self.people), self.config.embedding, settings.critic_width, settings.shared_critics
        )
        betas = (self.training.beta1, self.training.beta2)
        self.generator_optimiser = torch.optim.Adam(
            self.network.decoder.parameters(), lr=self.training.learning_rate, betas=betas
        )
        self.critic_optimiser = torch.optim.Adam(self.critics.parameters(), lr=self.training.learning_rate, betas=betas)

    def start_from(self, exported: Path) -> None:
        """Take the voice encoder from stage 1."""
        tensors, _ = read(exported, "voice2face")
        fill(self.network.encoder, tensors, exported)

    def modules(self) -> Mapping[str, nn.Module]:
        return {"network": self.network, "critics": self.critics}

    def averaged(self) -> Mapping[str, nn.Module]:
        return {"network": self.network}

    def optimisers(self) -> Mapping[str, torch.optim.Optimizer]:
        return {"decoder": self.generator_optimiser, "critics": self.critic_optimiser}

    def batch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        if self.training.drawn_by_file:
            heard = _drawn(self.people.voice_counts, rng, self.training.batch)
            seen = _drawn(self.people.face_counts, rng, self.training.batch)
        else:
            heard = seen = self.people.draw(rng, self.training.batch)
        faces = self.people.faces(seen, rng)
        flip = torch.from_numpy(rng.random(len(seen)) < 0.5)[:, None, None, None]
        noise = rng.standard_normal((len(heard), self.config.embedding), dtype=np.float32)
        return {
            "voices": self.voices(rng, heard),
            "heard": torch.from_numpy(heard),
            "faces": torch.where(flip, faces.flip(3), faces),
            "seen": torch.from_numpy(seen),
            "noise": torch.from_numpy(noise),
        }

    def step(self, batch: Mapping[str, Tensor], update: Update) -> dict[str, Tensor]:
        self.network.encoder.eval().requires_grad_(False)
        self.network.decoder.train()
        self.critics.train()
        truth = to_symmetric(batch["faces"])
        made = self.network.decoder(disturbed(self.network.encoder(batch["voices"]), batch["noise"]))

        real_logit, identity = self.critics(truth)
        fake_logit = self.critics.real(self.critics.discriminator(made.detach()))[:, 0]
        critic = {
            "real": _bce(real_logit, 1.0) + _bce(fake_logit, 0.0),
            "identity": F.cross_entropy(identity, batch["seen"]),
        }
        update("critics", critic["real"] + critic["identity"])

        with frozen(self.critics):
            logit, identity = self.critics(made)
            generator = {"adversarial": _bce(logit, 1.0), "classifier": F.cross_entropy(identity, batch["heard"])}
            update("decoder", generator["adversarial"] + generator["classifier"])
        return {**generator, **critic}

    def validate(self) -> dict[str, float]:
        if self.validation is None:
            return {}
        made = self.network(self.validation_voices())
        truth = torch.stack([person.faces[0] for person in self.validation.persons]).to(made.device)
        return {"l1": float(F.l1_loss(made, to_symmetric(truth)))}

    def sample_images(self) -> np.ndarray | None:
        if self.validation is None:
            return None
        made = self.network(self.validation_voices()[:SHOWN])
        truth = torch.stack([person.faces[0] for person in self.validation.persons[:SHOWN]])
        return np.stack([to_pictures(to_unit(truth)), to_pictures(symmetric_to_unit(made))])

    def export(self, path: Path) -> Path:
        metadata = {
            "method": "voice2face",
            "config": dataclasses.asdict(self.config),
            "training": dataclasses.asdict(self.training),
        }
        return export(path, self.network.state_dict(), metadata)


def recipes(
    config: Config,
    training: Mapping[str, Any],
    samples: Sequence[Sample],
    validation: Sequence[Sample] = (),
    networks: Callable[[str], Any] | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> list[Stage]:
    """Two stages: voice encoder, generator. Arguments as in `baselines.sf2f.training.recipes`."""
    if not samples:
        raise InvalidConfig("voice2face: the training split is empty")
    settings = options(Training, training)
    loaded: dict[str, People | None] = {}

    def people() -> tuple[People, People | None]:
        if not loaded:
            features = FrontEnd(config.shortest_s, config.vad)
            how = Image.Resampling[settings.face_resampling.upper()]
            loaded["train"] = load_people(samples, features, SIZE, settings.recordings, progress, how)
            loaded["validation"] = load_people(validation, features, SIZE, 1, resampling=how) if validation else None
        assert loaded["train"] is not None
        return loaded["train"], loaded["validation"]

    def voice(folder: Path) -> Recipe:
        return VoiceRecipe(config, settings, *people())

    def generator(folder: Path) -> Recipe:
        recipe = FaceRecipe(config, settings, *people())
        recipe.start_from(folder / "voice_encoder.safetensors")
        return recipe

    return [
        Stage("voice_encoder", settings.voice_steps, voice),
        Stage("generator", settings.steps, generator, settings.ema or None),
    ]


def _drawn(files: np.ndarray, rng: np.random.Generator, count: int) -> np.ndarray:
    """Positions of `count` people, each as often as they have files."""
    return rng.choice(len(files), count, p=files / files.sum())


def _bce(logits: Tensor, target: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))
