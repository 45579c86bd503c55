"""How SF2F is trained: encoder and decoder on short crops, then the fuser alone on long speech (Sec. 4, App. E).

A stage of our own can stand before them: see `VoiceEncoderRecipe`.
"""

from __future__ import annotations

import copy
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

from baselines.checkpoints import export, fill, load_state, read
from baselines.layers.log_filter_banks import DEVIATION, MEAN
from baselines.layers.perceptual import BoxedDlib, BoxedFaceNet, FeatureNetwork, perceptual_loss
from baselines.layers.pixels import imagenet_to_unit, to_imagenet, to_pictures, to_unit
from baselines.layers.windows import sliding_windows
from baselines.people import People, load_both
from baselines.settings import options
from baselines.sf2f.config import Config, Training
from baselines.sf2f.descriptors import Descriptors
from baselines.sf2f.discriminators import Adversaries
from baselines.sf2f.linear_start import fit_linear_start
from baselines.sf2f.speech import FrontEnd
from baselines.training import Recipe, Stage, Update, frozen, seeded, without_steps
from benchmark.errors import InvalidConfig
from benchmark.types import Sample

PADDING = -MEAN / DEVIATION
"""Short recordings are filled with zeros before normalisation, as the official collation does."""
SHOWN = 8
FRAMES_PER_SECOND = 100
VOICE_ENCODER_SETTINGS = (
    *("voice_encoder_batch", "voice_encoder_learning_rate", "beta1", "beta2", "crop_frames"),
    *("perceptual_network", "recordings"),
)
"""The settings of `Training` that the voice encoder's own stage depends on."""
FITTED_AT_ONCE = 100
"""People in a batch of the linear fit."""
FITTED_CROPS = 4
"""Crops of each person in the linear fit."""


class VoiceEncoderRecipe(Recipe):
    """Before stage 1: the encoder alone learns to tell the face network's descriptor of the speaker; not in the paper.

    A linear map from the embedding, dropped afterwards, predicts in which direction the speaker's face differs from
    the average face. No picture is drawn, so a step costs little, and thousands of people can be heard.
    """

    name = "voice_encoder"

    def __init__(
        self,
        config: Config,
        training: Training,
        people: People,
        validation: People | None,
        descriptors: Descriptors,
        known: Descriptors | None = None,
    ) -> None:
        self.config, self.training, self.people, self.validation = config, training, people, validation
        self.descriptors, self.known = descriptors, known
        with seeded("sf2f", _without_defaults(config)):
            self.network = config.network()
            self.head = nn.Linear(self.network.embedding, descriptors.persons.shape[1])
        trained = [*self.network.encoder.parameters(), *self.head.parameters()]
        rate = training.voice_encoder_learning_rate
        self.optimiser = torch.optim.Adam(trained, lr=rate, betas=(training.beta1, training.beta2))

    def modules(self) -> Mapping[str, nn.Module]:
        return {"encoder": self.network.encoder, "head": self.head}

    def optimisers(self) -> Mapping[str, torch.optim.Optimizer]:
        return {"encoder": self.optimiser}

    def averaged(self) -> Mapping[str, nn.Module]:
        return self.modules()

    def description(self) -> Mapping[str, Any]:
        """Without the settings of later stages, which may be tried on one voice encoder."""
        known = without_steps(self.training).items()
        settings = {name: value for name, value in known if name in VOICE_ENCODER_SETTINGS}
        return {"config": dataclasses.asdict(self.config), "training": settings, "people": len(self.people)}

    def batch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        who = self.people.draw(rng, self.training.voice_encoder_batch)
        low, high = self.training.crop_frames
        return {
            "speech": self.people.crops(who, rng, int(rng.integers(low, high + 1)), PADDING),
            "descriptors": self.descriptors.persons[who],
        }

    def step(self, batch: Mapping[str, Tensor], update: Update) -> dict[str, Tensor]:
        self.network.train()
        told = self.head(self.network.encoder(batch["speech"]))
        loss = (told - batch["descriptors"]).square().sum(dim=1).mean()
        update("encoder", loss)
        return {"descriptor": loss}

    def validate(self) -> dict[str, float]:
        """The loss, and the place of each person's own direction among all by cosine with what was told."""
        if self.validation is None or self.known is None:
            return {}
        device = self.head.weight.device
        who = np.arange(len(self.validation))
        speech = self.validation.crops(who, np.random.default_rng(0), self.config.window_frames, PADDING)
        told = torch.cat([self.head(self.network.encoder(part.to(device))) for part in speech.split(64)]).cpu()
        loss = (told - self.known.persons).square().sum(dim=1).mean()
        return {"descriptor": float(loss), **_recalls(F.normalize(told, dim=1) @ self.known.persons.T)}

    def export(self, path: Path) -> Path:
        kept = {k: v for k, v in self.network.state_dict().items() if k.startswith("encoder.")}
        metadata = {**_metadata(self, fuser=False), "parts": "encoder"}
        return export(path, kept, metadata, half=False)


class SF2FRecipe(Recipe):
    """What both stages share: the conjugated loss of the generator, and its adversaries' losses.

    L = lambda1 L1 + lambda2 L_G + lambda3 L_C + lambda4 L_P, summed over resolutions where there are two.

    In the paper's variant the adversaries learn before the generator, of which the paper says nothing; in the official
    one after it, from the same faces.
    """

    def __init__(
        self,
        config: Config,
        training: Training,
        people: People,
        validation: People | None,
        perceptual: FeatureNetwork | None,
        descriptors: Descriptors | None = None,
    ) -> None:
        self.config, self.training, self.people, self.validation = config, training, people, validation
        self.perceptual, self.descriptors = perceptual, descriptors
        if (perceptual is None) != (training.perceptual == training.descriptor == 0):
            raise InvalidConfig("A perceptual or descriptor weight above 0 needs a face network, and only that does")
        if training.descriptor and descriptors is None:
            raise InvalidConfig("A descriptor weight above 0 needs the people's descriptors")
        with seeded("sf2f", _without_defaults(config)):
            self.network = config.network()
            self.adversaries = nn.ModuleDict(
                {
                    str(size): Adversaries(len(people), size, config.variant, training.discriminator_width)
                    for size in self.resolutions()
                }
            )
        if training.target == "linear" and self.network.linear_start is None:
            raise InvalidConfig("target = 'linear' holds faces against a linear start: set linear_start above 0")
        self.reference: nn.Module | None = None
        """The linear start as it is when the stage begins, where faces are held against its pictures."""
        self.generator_optimiser = self._adam(self.trained(), self.learning_rate())
        judged = [p for a in self.adversaries.values() for p in self._needed(a)]
        self.critic_optimiser = self._adam(judged, self.critic_learning_rate()) if judged else None

    @abstractmethod
    def trained(self) -> list[dict[str, Any]]:
        """The generator's parameters that this stage changes, as an optimiser takes them: in groups, with own rates."""

    def learning_rate(self) -> float:
        return self.training.learning_rate

    def critic_learning_rate(self) -> float:
        return self.training.critic_learning_rate

    @property
    def official(self) -> bool:
        return self.config.variant == "official"

    def resolutions(self) -> tuple[int, ...]:
        both = self.config.multi_resolution or (self.official and self.config.resolution == 128)
        return (64, 128) if both else (self.config.resolution,)

    def modules(self) -> Mapping[str, nn.Module]:
        reference = {} if self.reference is None else {"reference": self.reference}
        return {"network": self.network, "adversaries": self.adversaries, **reference}

    def carried(self) -> Sequence[nn.Module]:
        return [self.perceptual] if isinstance(self.perceptual, nn.Module) else []

    def optimisers(self) -> Mapping[str, torch.optim.Optimizer]:
        critic = {"adversaries": self.critic_optimiser} if self.critic_optimiser else {}
        return {"network": self.generator_optimiser, **critic}

    def averaged(self) -> Mapping[str, nn.Module]:
        return {"network": self.network}

    def description(self) -> Mapping[str, Any]:
        return _description(self.config, self.training, self.people)

    def seen(self, who: np.ndarray, rng: np.random.Generator) -> dict[str, Tensor]:
        """A portrait of each, and who they are."""
        return {"faces": self.people.faces(who, rng), "people": torch.from_numpy(who)}

    def begin_at_the_reference(self) -> None:
        """Keep the linear start as it is now, where the training asks for it."""
        if self.training.target == "linear":
            self.reference = copy.deepcopy(self.network.linear_start).eval().requires_grad_(False)

    def step(self, batch: Mapping[str, Tensor], update: Update) -> dict[str, Tensor]:
        self.prepare()
        shrink = _thinned if self.official else _resized
        truth = [to_imagenet(shrink(batch["faces"], size)) for size in self.resolutions()]
        embedding = self.network.embed(batch["speech"])
        made = self.network.draw(embedding)
        wanted = truth if self.reference is None else [self.reference(embedding.detach())]

        def teach_adversaries() -> dict[str, Tensor]:
            if self.critic_optimiser is None:
                return {}
            losses = self.critic_losses(truth, [face.detach() for face in made], batch["people"])
            update("adversaries", torch.stack(list(losses.values())).sum())
            return losses

        def teach_generator() -> dict[str, Tensor]:
            with frozen(self.adversaries):
                parts = self.generator_losses(made, wanted, batch["people"])
                weights = self.weights()
                total = torch.stack([weights[name] * value for name, value in parts.items()]).sum()
                update("network", total)
            return {"total": total, **parts}

        turns = (teach_generator, teach_adversaries) if self.official else (teach_adversaries, teach_generator)
        return {name: loss for turn in turns for name, loss in turn().items()}

    def weights(self) -> dict[str, float]:
        settings = self.training
        return {
            "l1": settings.l1,
            "l2": settings.l2,
            "adversarial": settings.adversarial,
            "classifier": settings.classifier,
            "perceptual": settings.perceptual,
            "descriptor": settings.descriptor,
        }

    def generator_losses(self, made: list[Tensor], target: list[Tensor], people: Tensor) -> dict[str, Tensor]:
        """Each part with a weight above 0, summed over resolutions, not yet weighted."""
        weights = self.weights()
        parts: dict[str, Tensor] = {}
        for size, face, wanted in zip(self.resolutions(), made, target, strict=True):
            adversary = self.adversaries[str(size)]
            here = {
                "l1": lambda face=face, wanted=wanted: F.l1_loss(face, wanted),
                "l2": lambda face=face, wanted=wanted: F.mse_loss(face, wanted),
                "adversarial": lambda face=face, adversary=adversary: adversary.judge(face, real=True),
                "classifier": lambda face=face, adversary=adversary: adversary.recognise(face, people),
                "perceptual": lambda face=face, wanted=wanted: self.perceptual_loss(face, wanted),
                "descriptor": lambda face=face: self.descriptor_loss(face, people),
            }
            for name, loss in here.items():
                if weights[name]:
                    value = loss()
                    parts[name] = parts[name] + value if name in parts else value
        return parts

    def perceptual_loss(self, face: Tensor, wanted: Tensor) -> Tensor:
        assert self.perceptual is not None
        face = imagenet_to_unit(self.seen_again(face))
        # Where the official network's pixels leave the range, this loss neither sees nor moves them.
        return perceptual_loss(self.perceptual, face.clamp(0, 1) if self.official else face, imagenet_to_unit(wanted))

    def seen_again(self, face: Tensor) -> Tensor:
        """Generated faces as the face network gets to see them: a little blurred and moved, at random, where asked."""
        settings = self.training
        if settings.blurs:
            face = blurred(face, int(torch.randint(settings.blurs + 1, ())))
        return shaken(face, settings.shake) if settings.shake else face

    def descriptor_loss(self, face: Tensor, people: Tensor) -> Tensor:
        assert self.perceptual is not None and self.descriptors is not None
        described = self.perceptual.features(imagenet_to_unit(self.seen_again(face)))[-1]
        return self.descriptors.unlikeness(described, self.descriptors.persons[people.cpu()])

    def critic_losses(self, truth: list[Tensor], made: list[Tensor], people: Tensor) -> dict[str, Tensor]:
        """Of each adversary with a weight above 0, by resolution."""
        losses: dict[str, Tensor] = {}
        for size, real, fake in zip(self.resolutions(), truth, made, strict=True):
            adversary = self.adversaries[str(size)]
            if self.training.adversarial:
                losses[f"real_{size}"] = adversary.lesson_of_real(real, fake)
            if self.training.classifier:
                losses[f"identity_{size}"] = adversary.lesson_of_identity(real, fake, people)
        return losses

    def prepare(self) -> None:
        """Put each module in the mode that this stage needs."""
        self.network.train()
        self.adversaries.train()

    @abstractmethod
    def validation_speech(self) -> Tensor:
        """A fixed piece of each validation person's speech, as this stage takes it."""

    def validate(self) -> dict[str, float]:
        """L1, and the perceptual network's cosine with the true face and with the next person's."""
        if self.validation is None or len(self.validation) < 2:
            return {}
        device = next(self.network.parameters()).device
        speech = self.validation_speech()
        made = torch.cat([self.network(part.to(device))[-1] for part in speech.split(64)])
        truth = torch.stack([person.faces[0] for person in self.validation.persons]).to(device)
        measures = {"l1": float(F.l1_loss(made, to_imagenet(_resized(truth, self.config.resolution))))}
        if self.perceptual is not None:
            one = self.perceptual.features(imagenet_to_unit(made).clamp(0, 1))[-1]
            two = self.perceptual.features(to_unit(truth))[-1]
            cosine = one @ two.T
            measures["cosine"] = float(cosine.diagonal().mean())
            measures["cosine_other"] = float((cosine.sum() - cosine.trace()) / (cosine.numel() - len(cosine)))
            measures |= _recalls(cosine)
        return measures

    def sample_images(self) -> np.ndarray | None:
        if self.validation is None:
            return None
        device = next(self.network.parameters()).device
        made = self.network(self.validation_speech()[:SHOWN].to(device))[-1]
        truth = torch.stack([person.faces[0] for person in self.validation.persons[:SHOWN]]).to(device)
        return np.stack(
            [to_pictures(to_unit(_resized(truth, self.config.resolution))), to_pictures(imagenet_to_unit(made))]
        )

    def _adam(self, parameters: Sequence[Any], rate: float) -> torch.optim.Adam:
        return torch.optim.Adam(parameters, lr=rate, betas=(self.training.beta1, self.training.beta2))

    def _needed(self, adversary: Adversaries) -> list[nn.Parameter]:
        real = list(adversary.real.parameters()) if self.training.adversarial else []
        return real + (list(adversary.identity.parameters()) if self.training.classifier else [])


class EncoderDecoderRecipe(SF2FRecipe):
    """Stage 1: encoder and decoder on one crop of 1 to 1.5 s per person."""

    name = "encoder_decoder"

    def trained(self) -> list[dict[str, Any]]:
        learning = [self.network.decoder] + ([] if self.training.frozen_encoder else [self.network.encoder])
        groups: list[dict[str, Any]] = [{"params": [p for module in learning for p in module.parameters()]}]
        if self.network.linear_start is not None:
            own = list(self.network.linear_start.parameters())
            groups.append({"params": own, "lr": self.training.linear_learning_rate})
        return groups

    def prepare(self) -> None:
        super().prepare()
        if self.training.frozen_encoder:
            self.network.encoder.eval().requires_grad_(False)

    def start_from(self, exported: Path) -> None:
        """Take the encoder from its own stage's export."""
        tensors, _ = read(exported, "sf2f")
        own = {k: v for k, v in self.network.state_dict().items() if not k.startswith("encoder.")}
        fill(self.network, {**own, **tensors}, exported)

    def start_linearly(self) -> None:
        """Fit the linear map from embeddings of crops to people's mean pictures, in closed form."""

        def pairs() -> Iterator[tuple[Tensor, Tensor]]:
            for first in range(0, len(self.people), FITTED_AT_ONCE):
                who = np.arange(first, min(first + FITTED_AT_ONCE, len(self.people)))
                pictures = to_imagenet(self.people.mean_faces(who))
                for again in range(FITTED_CROPS):
                    rng = np.random.default_rng([first, again])
                    speech = self.people.crops(who, rng, self.config.window_frames, PADDING)
                    yield self.network.encoder(speech), pictures

        self.network.eval()
        with torch.no_grad():
            fit_linear_start(self.network, pairs(), self.training.linear_gain)

    def batch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        who = self.people.draw(rng, self.training.batch)
        low, high = self.training.crop_frames
        return {
            "speech": self.people.crops(who, rng, int(rng.integers(low, high + 1)), PADDING),
            **self.seen(who, rng),
        }

    def validation_speech(self) -> Tensor:
        assert self.validation is not None
        rng = np.random.default_rng(0)
        return self.validation.crops(np.arange(len(self.validation)), rng, self.config.window_frames, PADDING)

    def export(self, path: Path) -> Path:
        """Without the fuser, which is not trained yet; such a file serves `fuser = false`."""
        kept = {k: v for k, v in self.network.state_dict().items() if not k.startswith("fuser.")}
        return export(path, kept, _metadata(self, fuser=False))


class FuserRecipe(SF2FRecipe):
    """Stage 2: the fuser alone, on windows of 6 to 25 s of one person's speech; the adversaries go on learning."""

    name = "fuser"

    def trained(self) -> list[dict[str, Any]]:
        assert self.network.fuser is not None
        return [{"params": list(self.network.fuser.parameters())}]

    def learning_rate(self) -> float:
        return self.training.fuser_learning_rate

    def critic_learning_rate(self) -> float:
        return self.training.fuser_critic_learning_rate

    def start_from(self, exported: Path, checkpoint: Path | None = None) -> None:
        """Take encoder and decoder from the export before, and the adversaries from a checkpoint of stage 1."""
        tensors, _ = read(exported, "sf2f")
        own = {f"fuser.{k}": v for k, v in self.network.fuser.state_dict().items()} if self.network.fuser else {}
        fill(self.network, {**own, **tensors}, exported)
        if checkpoint is not None and checkpoint.is_file():
            self.adversaries.load_state_dict(load_state(checkpoint)["modules"]["adversaries"])

    def prepare(self) -> None:
        super().prepare()
        # Frozen includes the statistics of batch normalisation.
        for part in (self.network.encoder, self.network.decoder, self.network.linear_start):
            if part is not None:
                part.eval().requires_grad_(False)

    def batch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        who = self.people.draw(rng, self.training.batch)
        low, high = (round(s * FRAMES_PER_SECOND) for s in self.training.fuser_seconds)
        return {
            "speech": self.windows(self.people, who, rng, int(rng.integers(low, high + 1))),
            **self.seen(who, rng),
        }

    def validation_speech(self) -> Tensor:
        assert self.validation is not None
        frames = round(self.training.fuser_seconds[0] * FRAMES_PER_SECOND)
        return self.windows(self.validation, np.arange(len(self.validation)), np.random.default_rng(0), frames)

    def windows(self, people: People, who: np.ndarray, rng: np.random.Generator, frames: int) -> Tensor:
        """`[B, N, 40, window]`; the official pieces do not overlap, and none spans two recordings."""
        window = self.config.window_frames
        if self.official:
            return people.segments(who, rng, max(1, frames // window), window)
        speech = people.long_crops(who, rng, frames)
        return torch.stack([sliding_windows(x, window, self.config.overlap) for x in speech])

    def export(self, path: Path) -> Path:
        return export(path, self.network.state_dict(), _metadata(self, fuser=True))


def recipes(
    config: Config,
    training: Mapping[str, Any],
    samples: Sequence[Sample],
    validation: Sequence[Sample] = (),
    networks: Callable[[str], Any] | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> list[Stage]:
    """The stages, in order: voice encoder, encoder and decoder, fuser, where settings ask for them.

    Args:
        config: architecture, from the preset.
        training: the preset's `training` table; see `Training`.
        samples: the training people.
        validation: people for the sample grids and the measures in the log.
        networks: gives a loaded feature network by name; needed where a loss or stage looks through one.
        progress: called as progress(done, total, what) while the corpus is read.

    Raises:
        InvalidConfig: a setting that cannot be used.
    """
    settings = options(Training, training)

    @functools.cache
    def people() -> tuple[People, People | None]:
        how = Image.Resampling.BILINEAR if config.variant == "official" else Image.Resampling.BICUBIC
        features = FrontEnd(config.shortest_s, config.vad)
        return load_both(samples, validation, features, config.resolution, settings.recordings, progress, how)

    @functools.cache
    def face_network() -> FeatureNetwork:
        if networks is None:
            raise InvalidConfig(
                f"perceptual_network '{settings.perceptual_network}' was asked for, but none can be loaded here"
            )
        boxed = BoxedDlib if settings.perceptual_network == "dlib" else BoxedFaceNet
        return boxed(networks(settings.perceptual_network).network)

    @functools.cache
    def descriptors() -> Descriptors:
        return Descriptors.of(face_network(), people()[0])

    def voice(folder: Path) -> Recipe:
        train, known = people()
        theirs = descriptors().others(face_network(), known) if known else None
        return VoiceEncoderRecipe(config, settings, train, known, descriptors(), theirs)

    def seeing() -> tuple[FeatureNetwork | None, Descriptors | None]:
        looks = settings.perceptual or settings.descriptor
        return face_network() if looks else None, descriptors() if settings.descriptor else None

    def first(folder: Path) -> Recipe:
        recipe = EncoderDecoderRecipe(config, settings, *people(), *seeing())
        if settings.voice_encoder_steps:
            recipe.start_from(folder / "voice_encoder.safetensors")
        if config.linear_start:
            recipe.start_linearly()
        recipe.begin_at_the_reference()
        return recipe

    def last(folder: Path) -> Recipe:
        recipe = FuserRecipe(config, settings, *people(), *seeing())
        recipe.start_from(folder / "encoder_decoder.safetensors", folder / "encoder_decoder" / "checkpoint.pt")
        recipe.begin_at_the_reference()
        return recipe

    ema = settings.ema or None
    stages = [Stage("encoder_decoder", settings.steps, first, ema, settings.anneal)]
    if settings.voice_encoder_steps:
        stages.insert(0, Stage("voice_encoder", settings.voice_encoder_steps, voice, anneal=True))
    if config.fuser:
        stages.append(Stage("fuser", settings.fuser_steps, last, anneal=settings.anneal))
    return stages


def _description(config: Config, training: Training, people: People) -> dict[str, Any]:
    return {
        "config": dataclasses.asdict(config),
        "training": without_steps(training),
        "people": len(people),
    }


def blurred(faces: Tensor, passes: int) -> Tensor:
    """A 3x3 binomial blur, so many times, edges repeated."""
    if not passes:
        return faces
    taps = torch.tensor([1.0, 2.0, 1.0], device=faces.device)
    kernel = (taps[:, None] * taps / 16).expand(faces.shape[1], 1, 3, 3)
    for _ in range(passes):
        faces = F.conv2d(F.pad(faces, (1, 1, 1, 1), mode="replicate"), kernel, groups=faces.shape[1])
    return faces


def shaken(faces: Tensor, deviation: float) -> Tensor:
    """Each face on its own scaled by 1 + d and shifted by d of its sides, d normal; edges repeated."""
    drawn = deviation * torch.randn(len(faces), 3, device=faces.device)
    zoom = (1 + drawn[:, :1, None]) * torch.eye(2, device=faces.device)
    # The sides are 2 long in the coordinates of the grid.
    grid = F.affine_grid(torch.cat([zoom, 2 * drawn[:, 1:, None]], dim=2), list(faces.shape), align_corners=False)
    return F.grid_sample(faces, grid, padding_mode="border", align_corners=False)


def _recalls(cosine: Tensor) -> dict[str, float]:
    """Part of the rows of `[N, N]` whose own column is among the K highest."""
    rank = (cosine > cosine.diagonal()[:, None]).sum(1)
    return {f"recall_at_{k}": float((rank < k).float().mean()) for k in (1, 10)}


def _without_defaults(config: Config) -> str:
    """What initial weights are drawn by: a setting that says nothing leaves them as they were before there was one."""
    return str(config).replace(", linear_start=0", "")


def _metadata(recipe: SF2FRecipe, fuser: bool) -> dict[str, Any]:
    config = {**dataclasses.asdict(recipe.config), "fuser": fuser}
    return {"method": "sf2f", "config": config, "training": dataclasses.asdict(recipe.training)}


def _resized(faces: Tensor, size: int) -> Tensor:
    """Faces of 0..255 at `size`, averaged where smaller; uint8 unless they have that size already."""
    if faces.shape[-1] == size:
        return faces
    mean = F.interpolate(faces.float(), size=(size, size), mode="bilinear", align_corners=False, antialias=True)
    return mean.round().clamp(0, 255).to(torch.uint8)


def _thinned(faces: Tensor, size: int) -> Tensor:
    """uint8 faces at `size`, by leaving out rows and columns: the first of each group stays."""
    step = faces.shape[-1] // size
    return faces[..., ::step, ::step]
