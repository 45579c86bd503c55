"""A small face recogniser, trained on the training split of the run's dataset by classification.

It stands in for FaceNet in perceptual losses where FaceNet's weights are not at hand, or where it does
not know the dataset's kind of face.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.checkpoints import export, fill, read
from baselines.layers.pixels import to_unit
from baselines.layers.width import scaled
from baselines.people import People, load_people
from baselines.training import Recipe, Stage, Update, options, seeded
from benchmark.errors import InvalidConfig
from benchmark.types import Sample

SIZE = 64
CHANNELS = (32, 64, 128, 256)


class IdentityNetwork(nn.Module):
    """Four strided convolutions and a linear embedding of unit length, from faces at 64 px.

    Shape:
        `[B, 3, S, S]`, RGB in 0..1, any S -> `[B, 128]`
    """

    def __init__(self, width: float = 0.5, embedding: int = 128) -> None:
        super().__init__()
        channels = [3, *(scaled(c, width) for c in CHANNELS)]
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU())
            for a, b in pairwise(channels)
        )
        side = SIZE // 2 ** len(CHANNELS)
        self.project = nn.Linear(channels[-1] * side * side, embedding)

    def features(self, faces: Tensor) -> list[Tensor]:
        """The outputs of the last three blocks, and the embedding."""
        if faces.shape[-1] != SIZE:
            faces = F.interpolate(faces, size=(SIZE, SIZE), mode="bilinear", align_corners=False, antialias=True)
        x = 2 * faces - 1
        maps = []
        for block in self.blocks:
            x = block(x)
            maps.append(x)
        return [*maps[1:], F.normalize(self.project(x.flatten(1)), dim=1)]

    def forward(self, faces: Tensor) -> Tensor:
        return self.features(faces)[-1]


@dataclass(frozen=True)
class Config:
    """Architecture."""

    width: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.width <= 4:
            raise ValueError(f"width must be in (0, 4], got {self.width}")


@dataclass(frozen=True)
class Training:
    """How it is trained."""

    steps: int = 800
    batch: int = 64
    learning_rate: float = 1e-3
    scale: float = 16.0
    """Logits are this times the cosine between face and class: unit vectors alone could not become certain."""


class IdentityRecipe(Recipe):
    """Classify training faces by person, under shifts, changes of colour, blur, noise and holes."""

    name = "identity_network"

    def __init__(self, config: Config, training: Training, people: People, validation: People | None = None) -> None:
        self.config, self.training, self.people, self.validation = config, training, people, validation
        with seeded("identity_network", config):
            self.network = IdentityNetwork(config.width)
            self.classes = nn.Linear(self.network.project.out_features, len(people), bias=False)
        both = [*self.network.parameters(), *self.classes.parameters()]
        self.optimiser = torch.optim.Adam(both, lr=training.learning_rate)

    def modules(self) -> Mapping[str, nn.Module]:
        return {"network": self.network, "classes": self.classes}

    def optimisers(self) -> Mapping[str, torch.optim.Optimizer]:
        return {"network": self.optimiser}

    def averaged(self) -> Mapping[str, nn.Module]:
        return {"network": self.network}

    def description(self) -> Mapping[str, Any]:
        return {"config": dataclasses.asdict(self.config), "training": dataclasses.asdict(self.training)}

    def batch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        who = self.people.draw(rng, self.training.batch)
        faces = to_unit(self.people.faces(who, rng))
        return {"faces": _varied(faces, rng), "people": torch.from_numpy(who)}

    def step(self, batch: Mapping[str, Tensor], update: Update) -> dict[str, Tensor]:
        self.network.train()
        cosine = F.linear(self.network(batch["faces"]), F.normalize(self.classes.weight, dim=1))
        loss = F.cross_entropy(self.training.scale * cosine, batch["people"])
        update("network", loss)
        return {"identity": loss, "accuracy": (cosine.argmax(1) == batch["people"]).float().mean()}

    def validate(self) -> dict[str, float]:
        """Cosine between two faces of one new person, and of two new persons."""
        persons = [p for p in (self.validation.persons if self.validation else ()) if len(p.faces) > 1]
        if len(persons) < 2:
            return {}
        device = self.classes.weight.device
        first, second = (self.network(to_unit(torch.stack([p.faces[i] for p in persons])).to(device)) for i in (0, 1))
        cosine = first @ second.T
        same = cosine.diagonal().mean()
        other = (cosine.sum() - cosine.diagonal().sum()) / (len(persons) * (len(persons) - 1))
        return {
            "cosine_same": float(same),
            "cosine_other": float(other),
            "recall_at_1": float((cosine.argmax(1).cpu() == torch.arange(len(persons))).float().mean()),
        }

    def export(self, path: Path) -> Path:
        metadata = {"method": self.name, "config": dataclasses.asdict(self.config)}
        return export(path, self.network.state_dict(), metadata, half=False)


def load_identity_network(path: Path, config: Config | None = None) -> IdentityNetwork:
    """A trained identity network, frozen, in evaluation mode."""
    tensors, metadata = read(path, "identity_network")
    if config is None:
        import json

        config = Config(**json.loads(metadata.get("config", "{}")))
    network = IdentityNetwork(config.width)
    fill(network, tensors, path)
    return network.eval().requires_grad_(False)


def recipes(
    config: Config,
    training: Mapping[str, Any],
    samples: Sequence[Sample],
    validation: Sequence[Sample] = (),
    networks: Callable[[str], Any] | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> list[Stage]:
    """One stage. Arguments as in `baselines.sf2f.training.recipes`."""
    if not samples:
        raise InvalidConfig("identity_network: the training split is empty")
    settings = options(Training, training)

    def build(folder: Path) -> Recipe:
        people = load_people(samples, None, SIZE, progress=progress)
        known = load_people(validation, None, SIZE) if validation else None
        return IdentityRecipe(config, settings, people, known)

    return [Stage("identity_network", settings.steps, build)]


def _varied(faces: Tensor, rng: np.random.Generator) -> Tensor:
    """Each face on its own: shift, flip, colour, blur, noise, and a square cut out.

    Features that hold through all this stand for the shape of a face, and are hard to please with texture alone.
    """
    count, _, height, width = faces.shape
    padded = F.pad(faces, (3, 3, 3, 3), mode="replicate")
    out = []
    for face in padded:
        y, x = rng.integers(0, 7, 2)
        moved = face[:, y : y + height, x : x + width]
        if rng.random() < 0.5:
            moved = moved.flip(2)
        if rng.random() < 0.5:
            sigma = rng.uniform(0.3, 2.0)
            taps = torch.from_numpy(np.exp(-0.5 * (np.arange(-4, 5) / sigma) ** 2)).float()
            taps /= taps.sum()
            soft = F.pad(moved[None], (4, 4, 4, 4), mode="replicate").transpose(0, 1)
            moved = F.conv2d(F.conv2d(soft, taps[None, None, :, None]), taps[None, None, None]).transpose(0, 1)[0]
        gain, tint = rng.uniform(0.6, 1.3), rng.uniform(0.85, 1.15, 3)
        moved = moved * torch.from_numpy(gain * tint).float()[:, None, None]
        moved = moved + float(rng.uniform(0, 0.06)) * torch.from_numpy(rng.standard_normal(moved.shape)).float()
        if rng.random() < 0.5:
            side = int(rng.integers(height // 8, height // 3))
            top, left = rng.integers(0, height - side), rng.integers(0, width - side)
            moved = moved.clone()
            moved[:, top : top + side, left : left + side] = torch.from_numpy(rng.random(3)).float()[:, None, None]
        out.append(moved.clamp(0, 1))
    return torch.stack(out)
