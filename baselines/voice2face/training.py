"""How voice2face is trained: the voice encoder as a speaker recogniser, then the generator against two critics.

AVP-GAN, which is built on it, trains its first modules by the same recipes: its configuration gives other networks.
"""

from __future__ import annotations

import dataclasses
import functools
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.checkpoints import export, fill, read
from baselines.layers.pixels import symmetric_to_unit, to_pictures, to_symmetric, to_unit
from baselines.layers.sphinx_mel import normalised
from baselines.people import People, crop, load_both
from baselines.settings import options
from baselines.sf2f.linear_start import reduced_rank_ridge
from baselines.training import Recipe, Stage, Update, frozen, seeded, without_steps
from baselines.voice2face.config import Config, Training
from baselines.voice2face.network import disturbed
from baselines.voice2face.speech import FrontEnd
from benchmark.types import Sample

SIZE = 64
SHOWN = 8
PORTION = 64
"""People whose voices and pictures are read at once for the regression."""
HEARD = (
    *("voice_batch", "voice_learning_rate", "voice_scale", "voice_loss", "batch"),
    *("crop_frames", "normalised_crops", "recordings", "kept_frames"),
)
"""The settings on which the voice encoder depends; those of later stages may change without training it again."""


class Voice2FaceRecipe(Recipe):
    """What the stages share: the network, and crops of one length per batch."""

    depends_on: tuple[str, ...] = ()
    """Settings of the training that decide this stage's weights; empty for all."""

    def __init__(self, config: Config, training: Training, people: People, validation: People | None = None) -> None:
        self.config, self.training, self.people, self.validation = config, training, people, validation
        self.known: dict[str, Any] = {}
        """What follows from people and voice encoder alone; stages behind one voice encoder may share it."""
        with seeded(config.METHOD, config):
            self.network = config.network()
            self.build()

    @abstractmethod
    def build(self) -> None:
        """Make what this stage needs beside the network."""

    def description(self) -> Mapping[str, Any]:
        settings = without_steps(self.training)
        return {
            "config": dataclasses.asdict(self.config),
            "training": {name: settings[name] for name in self.depends_on or settings},
            "people": len(self.people),
        }

    def voices(self, rng: np.random.Generator, who: np.ndarray) -> Tensor:
        return self.prepared(self.people.crops(who, rng, self.crop_length(rng)))

    def crop_length(self, rng: np.random.Generator) -> int:
        low, high = self.training.crop_frames
        return int(rng.integers(low, high + 1))

    def prepared(self, crops: Tensor) -> Tensor:
        """Crops as the encoder takes them in this training."""
        return torch.stack([normalised(one) for one in crops]) if self.training.normalised_crops else crops

    def take(self, exported: Path) -> None:
        """Fill encoder and generator from an earlier stage's file."""
        tensors, _ = read(exported, self.config.METHOD)
        fill(self.network, tensors, exported)

    def hear_by(self, exported: Path) -> None:
        """Fill the voice encoder, from the file of its own stage or from one of a whole network."""
        tensors, _ = read(exported, self.config.METHOD)
        within = {k.removeprefix("encoder."): v for k, v in tensors.items() if k.startswith("encoder.")}
        fill(self.network.encoder, within or tensors, exported)

    @property
    def device(self) -> torch.device:
        return next(self.network.parameters()).device


class VoiceRecipe(Voice2FaceRecipe):
    """Stage 1: the voice encoder learns to know the training speakers, in place of the authors' ready recogniser.

    By `classes`, softmax over all speakers; by `pairs`, softmax over the people of the batch, each known by a second
    crop of another recording of theirs (Chung et al. 2020, "In defence of metric learning for speaker recognition").
    """

    name = "voice_encoder"
    depends_on = HEARD

    def build(self) -> None:
        self.classes = (
            nn.Linear(self.config.embedding, len(self.people), bias=False)
            if self.training.voice_loss == "classes"
            else None
        )
        parameters = [p for module in self.modules().values() for p in module.parameters()]
        self.optimiser = torch.optim.Adam(parameters, lr=self.training.voice_learning_rate)

    def modules(self) -> Mapping[str, nn.Module]:
        return {"encoder": self.network.encoder} | ({"classes": self.classes} if self.classes is not None else {})

    def averaged(self) -> Mapping[str, nn.Module]:
        return {"encoder": self.network.encoder}

    def optimisers(self) -> Mapping[str, torch.optim.Optimizer]:
        return {"encoder": self.optimiser}

    def batch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        who = self.people.draw(rng, self.training.voice_batch or self.training.batch)
        if self.classes is not None:
            return {"voices": self.voices(rng, who), "people": torch.from_numpy(who)}
        first, second = self.pairs(rng, who)
        return {"voices": self.prepared(first), "others": self.prepared(second)}

    def pairs(self, rng: np.random.Generator, who: np.ndarray) -> tuple[Tensor, Tensor]:
        """Crops of two recordings of each person, of one where there is no other: twice `[B, bins, frames]`."""
        frames = self.crop_length(rng)
        every = [self.people.persons[person].voices for person in who]
        crops = [[crop(voices[number], frames, rng) for number in _two(len(voices), rng)] for voices in every]
        first, second = (torch.stack(part) for part in zip(*crops, strict=True))
        return first, second

    def step(self, batch: Mapping[str, Tensor], update: Update) -> dict[str, Tensor]:
        self.network.encoder.train()
        scale = self.training.voice_scale
        if self.classes is not None:
            cosine = F.linear(self.network.encoder(batch["voices"]), F.normalize(self.classes.weight, dim=1))
            loss, right = F.cross_entropy(scale * cosine, batch["people"]), cosine.argmax(1) == batch["people"]
        else:
            first, second = self.network.encoder(torch.cat([batch["voices"], batch["others"]])).chunk(2)
            loss = _same(first, second, scale)
            right = (first @ second.T).argmax(1) == torch.arange(len(first), device=first.device)
        update("encoder", loss)
        return {"speaker": loss, "accuracy": right.float().mean()}

    def export(self, path: Path) -> Path:
        return export(
            path, self.network.encoder.state_dict(), {"method": f"{self.config.METHOD} voice encoder"}, half=False
        )


class DrawingRecipe(Voice2FaceRecipe):
    """A stage that trains the generator behind the frozen voice encoder."""

    @property
    def embeddings(self) -> Tensor:
        """One of each training person's voice, `[people, embedding]`."""
        if "embeddings" not in self.known:
            self.known["embeddings"] = self._embeddings()
        return self.known["embeddings"]

    def _embeddings(self) -> Tensor:
        self.network.encoder.eval()
        rng = np.random.default_rng(0)
        with torch.no_grad():
            return torch.cat([self.network.encoder(self.voices(rng, who).to(self.device)) for who in self._portions()])

    @property
    def regression(self) -> tuple[Tensor, Tensor, Tensor]:
        """Ridge regression of people's mean pictures, -1..1, by their embeddings: see `reduced_rank_ridge`."""
        if "regression" not in self.known:
            self.known["regression"] = self._regression()
        return self.known["regression"]

    def _regression(self) -> tuple[Tensor, Tensor, Tensor]:
        pictures = (to_symmetric(self.people.mean_faces(who)).flatten(1).to(self.device) for who in self._portions())
        pairs = zip(self.embeddings.split(PORTION), pictures, strict=True)
        rank = max(1, min(self.config.embedding, len(self.people) - 1))
        found = reduced_rank_ridge(pairs, rank, self.training.warm_up_gain)
        codes, components, constant = (part.float() for part in found)
        return codes, components, constant

    def expected(self, embedding: Tensor) -> Tensor:
        """The pictures that are to be expected of voices, `[B, embedding]` -> `[B, 3, 64, 64]`."""
        codes, components, constant = self.regression
        with torch.no_grad():
            return (embedding @ codes.T @ components.T + constant).unflatten(1, (3, SIZE, SIZE))

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

    def validation_voices(self) -> Tensor:
        assert self.validation is not None
        rng = np.random.default_rng(0)
        who = np.arange(len(self.validation))
        return self.prepared(self.validation.crops(who, rng, self.training.crop_frames[1])).to(self.device)

    def _portions(self) -> Iterator[np.ndarray]:
        for first in range(0, len(self.people), PORTION):
            yield np.arange(first, min(first + PORTION, len(self.people)))


class WarmUpRecipe(DrawingRecipe):
    """A stage of ours before the game: the generator alone learns to draw the picture to be expected of a voice.

    That is the linear regression of people's mean pictures by their embeddings. Squared error against a function
    without noise puts eyes, nose and mouth in their places, and makes faces differ with voices, within some hundred
    steps; against the people's own pictures most of the error is what no voice tells, such as the colour of the hair.
    """

    name = "warm_up"
    depends_on = (*HEARD, "face_resampling", "warm_up_learning_rate", "warm_up_gain")

    def build(self) -> None:
        self.optimiser = torch.optim.Adam(
            self.network.decoder.parameters(), lr=self.training.warm_up_learning_rate, betas=(0.9, 0.98)
        )

    def modules(self) -> Mapping[str, nn.Module]:
        return {"network": self.network}

    def averaged(self) -> Mapping[str, nn.Module]:
        return {"decoder": self.network.decoder}

    def optimisers(self) -> Mapping[str, torch.optim.Optimizer]:
        return {"decoder": self.optimiser}

    def batch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        return {"people": torch.from_numpy(self.people.draw(rng, self.training.batch))}

    def step(self, batch: Mapping[str, Tensor], update: Update) -> dict[str, Tensor]:
        self.network.decoder.train()
        embedding = self.embeddings[batch["people"]]
        loss = F.mse_loss(self.network.decoder(embedding), self.expected(embedding))
        update("decoder", loss)
        return {"l2": loss}

    def export(self, path: Path) -> Path:
        return export(path, self.network.state_dict(), {"method": f"{self.config.METHOD} before its game"}, half=False)


class FaceRecipe(DrawingRecipe):
    """Last stage: the generator makes faces that one critic takes for real and the other for the speaker's."""

    name = "generator"

    def build(self) -> None:
        settings = self.training
        identities = len(self.people) if settings.classifier_loss == "classes" else 0
        self.critics = self.config.critics(identities, settings)
        betas = (self.training.beta1, self.training.beta2)
        self.generator_optimiser = torch.optim.Adam(
            self.network.decoder.parameters(), lr=self.training.learning_rate, betas=betas
        )
        self.critic_optimiser = torch.optim.Adam(self.critics.parameters(), lr=self.training.learning_rate, betas=betas)

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
        pictures = self.portraits(rng, seen)
        noise = rng.standard_normal((len(heard), self.config.embedding), dtype=np.float32)
        batch = {
            "voices": self.voices(rng, heard),
            "heard": torch.from_numpy(heard),
            "faces": pictures[0],
            "seen": torch.from_numpy(seen),
            "noise": torch.from_numpy(noise),
        }
        if len(pictures) > 1:
            batch["others"] = pictures[1]
        return batch

    def portraits(self, rng: np.random.Generator, who: np.ndarray) -> list[Tensor]:
        """A portrait of each person, flipped or not; two where the classifier compares."""
        if self.training.classifier_loss == "classes":
            pictures = [self.people.faces(who, rng)]
        else:
            every = [self.people.persons[person].faces for person in who]
            both = torch.stack([faces[_two(len(faces), rng)] for faces in every])
            pictures = list(both.unbind(1))
        flips = [torch.from_numpy(rng.random(len(who)) < 0.5)[:, None, None, None] for _ in pictures]
        return [torch.where(flip, faces.flip(3), faces) for flip, faces in zip(flips, pictures, strict=True)]

    def step(self, batch: Mapping[str, Tensor], update: Update) -> dict[str, Tensor]:
        settings = self.training
        self.critics.train()
        self.network.encoder.eval().requires_grad_(False)
        self.network.decoder.train()
        embedding = disturbed(self.network.encoder(batch["voices"]), batch["noise"], settings.noise)
        made = self.network.decoder(embedding)
        truth = to_symmetric(batch["faces"])
        if "others" in batch:
            truth = torch.cat([truth, to_symmetric(batch["others"])])

        real_logit, known = self.critics(truth)
        fake_logit = self.critics.real(self.critics.discriminator(made.detach()))[:, 0]
        if "others" in batch:
            known, others = known.chunk(2)
            identity = _same(known, others, settings.classifier_scale)
        else:
            identity = F.cross_entropy(known, batch["seen"])
        critic = {"real": _bce(real_logit, settings.real_target) + _bce(fake_logit, 0.0), "identity": identity}
        update("critics", critic["real"] + critic["identity"])

        with frozen(self.critics):
            logit, identity = self.critics(made)
            if "others" in batch:
                identity = _cosines(identity, known.detach(), settings.classifier_scale)
                generator = {"classifier": F.cross_entropy(identity, torch.arange(len(made), device=made.device))}
            else:
                generator = {"classifier": F.cross_entropy(identity, batch["heard"])}
            generator["adversarial"] = _bce(logit, 1.0)
            loss = settings.adversarial * generator["adversarial"] + settings.classifier * generator["classifier"]
            if settings.reconstruction:
                generator["reconstruction"] = F.mse_loss(made, self.expected(embedding))
                loss = loss + settings.reconstruction * generator["reconstruction"]
            update("decoder", loss)
        return {**generator, **critic}

    def export(self, path: Path) -> Path:
        metadata = {
            "method": self.config.METHOD,
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
    """Voice encoder, warm-up if it is to have steps, generator. Arguments as in `baselines.sf2f.training.recipes`."""
    settings = options(Training, training)

    @functools.cache
    def people() -> tuple[People, People | None]:
        features = FrontEnd(config.shortest_s, config.vad, settings.kept_frames)
        how = Image.Resampling[settings.face_resampling.upper()]
        return load_both(samples, validation, features, SIZE, settings.recordings, progress, how)

    return [voice_stage(config, settings, people), *drawing_stages(config, settings, people)]


Readable = Callable[[], tuple[People, People | None]]
"""Training and validation people, read when they are first asked for."""


def voice_stage(config: Config, settings: Training, people: Readable) -> Stage:
    def voice(folder: Path) -> Recipe:
        return VoiceRecipe(config, settings, *people())

    return Stage(VoiceRecipe.name, settings.voice_steps, voice, settings.ema or None, settings.anneal)


def drawing_stages(
    config: Config,
    settings: Training,
    people: Readable,
    suffix: str = "",
    warmed_as: Config | None = None,
    game: type[FaceRecipe] = FaceRecipe,
    recogniser: Path | None = None,
    known: dict[str, Any] | None = None,
) -> list[Stage]:
    """Warm-up if it is to have steps, and generator, behind the voice encoder's stage; their names end in `suffix`.

    Args:
        warmed_as: another configuration for the warm-up, of whose file `game` can make use.
        recogniser: a file with a voice encoder, in place of the one that the first stage trains.
        known: what stages behind the same voice encoder share, if others are beside these.
    """
    shared = {} if known is None else known
    warmed, last = WarmUpRecipe.name + suffix, FaceRecipe.name + suffix

    def warm_up(folder: Path) -> Recipe:
        recipe = WarmUpRecipe(warmed_as or config, settings, *people())
        recipe.known = shared
        recipe.hear_by(recogniser or folder / f"{VoiceRecipe.name}.safetensors")
        return recipe

    def generator(folder: Path) -> Recipe:
        recipe = game(config, settings, *people())
        recipe.known = shared
        if settings.warm_up_steps:
            recipe.take(folder / f"{warmed}.safetensors")
        else:
            recipe.hear_by(recogniser or folder / f"{VoiceRecipe.name}.safetensors")
        return recipe

    stages = [Stage(last, settings.steps, generator, settings.ema or None, settings.anneal)]
    if settings.warm_up_steps:
        stages.insert(0, Stage(warmed, settings.warm_up_steps, warm_up, settings.ema or None, settings.anneal))
    return stages


def _drawn(files: np.ndarray, rng: np.random.Generator, count: int) -> np.ndarray:
    """Positions of `count` people, each as often as they have files."""
    return rng.choice(len(files), count, p=files / files.sum())


def _two(count: int, rng: np.random.Generator) -> np.ndarray:
    """Two different positions among `count`; twice the same where there is one."""
    return rng.choice(count, 2, replace=count < 2)


def _cosines(first: Tensor, second: Tensor, scale: float) -> Tensor:
    """`scale` times the cosine between every two rows: `[B, D]`, `[B, D]` -> `[B, B]`."""
    return scale * F.normalize(first, dim=1) @ F.normalize(second, dim=1).T


def _same(first: Tensor, second: Tensor, scale: float) -> Tensor:
    """Cross-entropy of finding each row of `first` among those of `second` by its cosine, and the other way round."""
    logits = _cosines(first, second, scale)
    own = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


def _bce(logits: Tensor, target: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))
