"""How SF2F is trained: encoder and decoder on short crops, then the fuser alone on long speech (Sec. 4, App. E).

Where people are few, a stage of our own can stand between: see `SecondEncoderRecipe`.
"""

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

from baselines import identity_network
from baselines.checkpoints import export, fill, load_state, read
from baselines.layers.log_filter_banks import DEVIATION, MEAN
from baselines.layers.perceptual import BoxedFaceNet, FeatureNetwork, perceptual_loss
from baselines.layers.pixels import imagenet_to_unit, to_imagenet, to_pictures, to_unit
from baselines.layers.windows import sliding_windows
from baselines.people import People, load_people
from baselines.sf2f.config import Config, Training
from baselines.sf2f.discriminators import Adversaries
from baselines.sf2f.speech import FrontEnd
from baselines.training import Recipe, Stage, Update, frozen, options, seeded, without_steps
from benchmark.errors import InvalidConfig
from benchmark.types import Sample

PADDING = -MEAN / DEVIATION
"""Short recordings are filled with zeros before normalisation, as the official collation does."""
SHOWN = 8
FRAMES_PER_SECOND = 100


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
    ) -> None:
        self.config, self.training, self.people, self.validation = config, training, people, validation
        self.perceptual = perceptual
        if (perceptual is None) != (training.perceptual == 0):
            raise InvalidConfig("A perceptual weight above 0 needs a perceptual network, and only that does")
        with seeded("sf2f", config):
            self.network = config.network()
            self.adversaries = nn.ModuleDict(
                {
                    str(size): Adversaries(len(people), size, config.variant, training.discriminator_width)
                    for size in self.resolutions()
                }
            )
        self.generator_optimiser = self._adam(self.trained(), self.learning_rate())
        judged = [p for a in self.adversaries.values() for p in self._needed(a)]
        self.critic_optimiser = self._adam(judged, self.critic_learning_rate()) if judged else None

    @abstractmethod
    def trained(self) -> list[nn.Parameter]:
        """The generator's parameters that this stage changes."""

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
        return {"network": self.network, "adversaries": self.adversaries}

    def carried(self) -> Sequence[nn.Module]:
        return [self.perceptual] if isinstance(self.perceptual, nn.Module) else []

    def optimisers(self) -> Mapping[str, torch.optim.Optimizer]:
        critic = {"adversaries": self.critic_optimiser} if self.critic_optimiser else {}
        return {"network": self.generator_optimiser, **critic}

    def averaged(self) -> Mapping[str, nn.Module]:
        return {"network": self.network}

    def description(self) -> Mapping[str, Any]:
        return {
            "config": dataclasses.asdict(self.config),
            "training": without_steps(self.training),
            "people": len(self.people),
        }

    def step(self, batch: Mapping[str, Tensor], update: Update) -> dict[str, Tensor]:
        self.prepare()
        shrink = _thinned if self.official else _resized
        truth = [to_imagenet(shrink(batch["faces"], size)) for size in self.resolutions()]
        made = self.network(batch["speech"])

        def teach_adversaries() -> dict[str, Tensor]:
            if self.critic_optimiser is None:
                return {}
            losses = self.critic_losses(truth, [face.detach() for face in made], batch["people"])
            update("adversaries", torch.stack(list(losses.values())).sum())
            return losses

        def teach_generator() -> dict[str, Tensor]:
            with frozen(self.adversaries):
                parts = self.generator_losses(made, truth, batch["people"])
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
            "adversarial": settings.adversarial,
            "classifier": settings.classifier,
            "perceptual": settings.perceptual,
        }

    def generator_losses(self, made: list[Tensor], truth: list[Tensor], people: Tensor) -> dict[str, Tensor]:
        """Each part with a weight above 0, summed over resolutions, not yet weighted."""
        weights = self.weights()
        parts: dict[str, Tensor] = {}
        for size, face, wanted in zip(self.resolutions(), made, truth, strict=True):
            adversary = self.adversaries[str(size)]
            here = {
                "l1": lambda face=face, wanted=wanted: F.l1_loss(face, wanted),
                "adversarial": lambda face=face, adversary=adversary: adversary.judge(face, real=True),
                "classifier": lambda face=face, adversary=adversary: adversary.recognise(face, people),
                "perceptual": lambda face=face, wanted=wanted: self.perceptual_loss(face, wanted),
            }
            for name, loss in here.items():
                if weights[name]:
                    value = loss()
                    parts[name] = parts[name] + value if name in parts else value
        return parts

    def perceptual_loss(self, face: Tensor, wanted: Tensor) -> Tensor:
        assert self.perceptual is not None
        face = imagenet_to_unit(face)
        # Where the official network's pixels leave the range, this loss neither sees nor moves them.
        return perceptual_loss(self.perceptual, face.clamp(0, 1) if self.official else face, imagenet_to_unit(wanted))

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
            rank = (cosine > cosine.diagonal()[:, None]).sum(1)
            measures["cosine"] = float(cosine.diagonal().mean())
            measures["cosine_other"] = float((cosine.sum() - cosine.trace()) / (cosine.numel() - len(cosine)))
            measures |= {f"recall_at_{k}": float((rank < k).float().mean()) for k in (1, 10)}
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

    def _adam(self, parameters: list[nn.Parameter], rate: float) -> torch.optim.Adam:
        return torch.optim.Adam(parameters, lr=rate, betas=(self.training.beta1, self.training.beta2))

    def _needed(self, adversary: Adversaries) -> list[nn.Parameter]:
        real = list(adversary.real.parameters()) if self.training.adversarial else []
        return real + (list(adversary.identity.parameters()) if self.training.classifier else [])


class EncoderDecoderRecipe(SF2FRecipe):
    """Stage 1: encoder and decoder on one crop of 1 to 1.5 s per person."""

    name = "encoder_decoder"

    def trained(self) -> list[nn.Parameter]:
        return [*self.network.encoder.parameters(), *self.network.decoder.parameters()]

    def batch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        who = self.people.draw(rng, self.training.batch)
        low, high = self.training.crop_frames
        return {
            "speech": self.people.crops(who, rng, int(rng.integers(low, high + 1)), PADDING),
            "faces": self.people.faces(who, rng),
            "people": torch.from_numpy(who),
        }

    def validation_speech(self) -> Tensor:
        assert self.validation is not None
        rng = np.random.default_rng(0)
        return self.validation.crops(np.arange(len(self.validation)), rng, self.config.window_frames, PADDING)

    def export(self, path: Path) -> Path:
        """Without the fuser, which is not trained yet; such a file serves `fuser = false`."""
        kept = {k: v for k, v in self.network.state_dict().items() if not k.startswith("fuser.")}
        return export(path, kept, _metadata(self, fuser=False))


class SecondEncoderRecipe(EncoderDecoderRecipe):
    """A new encoder for the trained decoder, briefly; not in the paper.

    With a few hundred people the encoder knows each of them by heart long before the decoder can draw an eye, and a new
    voice then gets the skin and hair of whichever of them it resembles. The decoder keeps what it learnt from them; an
    encoder that starts afresh beside it learns what voices share before it learns who is who, and is stopped there.
    From here on there are no adversaries: theirs know the training people by heart too, and ask for nobody else.
    """

    name = "second_encoder"

    def learning_rate(self) -> float:
        return self.training.second_encoder_learning_rate

    def start_from(self, exported: Path) -> None:
        """Take the decoder from stage 1's export."""
        tensors, _ = read(exported, "sf2f")
        own = {k: v for k, v in self.network.state_dict().items() if not k.startswith("decoder.")}
        fill(self.network, {**{k: v for k, v in tensors.items() if k.startswith("decoder.")}, **own}, exported)


class FuserRecipe(SF2FRecipe):
    """Stage 2: the fuser alone, on windows of 6 to 25 s of one person's speech; the adversaries go on learning."""

    name = "fuser"

    def trained(self) -> list[nn.Parameter]:
        assert self.network.fuser is not None
        return list(self.network.fuser.parameters())

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
        self.network.encoder.eval().requires_grad_(False)
        self.network.decoder.eval().requires_grad_(False)

    def batch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        who = self.people.draw(rng, self.training.batch)
        low, high = (round(s * FRAMES_PER_SECOND) for s in self.training.fuser_seconds)
        return {
            "speech": self.windows(self.people, who, rng, int(rng.integers(low, high + 1))),
            "faces": self.people.faces(who, rng),
            "people": torch.from_numpy(who),
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
    """The stages, in order: identity network, encoder and decoder, second encoder, fuser, where settings ask for them.

    Args:
        config: architecture, from the preset.
        training: the preset's `training` table; see `Training`.
        samples: the training split.
        validation: people for the sample grids and the measures in the log.
        networks: gives a loaded feature network by name; needed unless `perceptual_network` is "identity".
        progress: called as progress(done, total, what) while the corpus is read.

    Raises:
        InvalidConfig: a setting that cannot be used.
    """
    if not samples:
        raise InvalidConfig("sf2f: the training split is empty")
    settings = options(Training, training)
    loaded: dict[str, People | None] = {}

    def people() -> tuple[People, People | None]:
        if not loaded:
            size = config.resolution
            how = Image.Resampling.BILINEAR if config.variant == "official" else Image.Resampling.BICUBIC
            features = FrontEnd(config.shortest_s, config.vad)
            loaded["train"] = load_people(samples, features, size, settings.recordings, progress, how)
            loaded["validation"] = load_people(validation, features, size, 1, resampling=how) if validation else None
        assert loaded["train"] is not None
        return loaded["train"], loaded["validation"]

    def perceptual(folder: Path) -> FeatureNetwork | None:
        if settings.perceptual == 0:
            return None
        if settings.perceptual_network == "identity":
            return identity_network.load_identity_network(folder / "identity_network.safetensors")
        if networks is None:
            raise InvalidConfig(
                f"perceptual_network '{settings.perceptual_network}' was asked for, but none can be loaded here"
            )
        return BoxedFaceNet(networks(settings.perceptual_network).network)

    def first(folder: Path) -> Recipe:
        return EncoderDecoderRecipe(config, settings, *people(), perceptual(folder))

    alone = dataclasses.replace(settings, adversarial=0.0, classifier=0.0)

    def second(folder: Path) -> Recipe:
        recipe = SecondEncoderRecipe(config, alone, *people(), perceptual(folder))
        recipe.start_from(folder / "encoder_decoder.safetensors")
        return recipe

    def last(folder: Path) -> Recipe:
        if settings.second_encoder_steps:
            recipe = FuserRecipe(config, alone, *people(), perceptual(folder))
            recipe.start_from(folder / "second_encoder.safetensors")
        else:
            recipe = FuserRecipe(config, settings, *people(), perceptual(folder))
            recipe.start_from(folder / "encoder_decoder.safetensors", folder / "encoder_decoder" / "checkpoint.pt")
        return recipe

    ema = settings.ema or None
    stages = [Stage("encoder_decoder", settings.steps, first, ema)]
    if settings.second_encoder_steps:
        stages.append(Stage("second_encoder", settings.second_encoder_steps, second, ema, anneal=True))
    if config.fuser:
        stages.append(Stage("fuser", settings.fuser_steps, last))
    if settings.perceptual and settings.perceptual_network == "identity":
        own = identity_network.Config(settings.identity_width)
        table = {"steps": settings.identity_steps}
        stages = identity_network.recipes(own, table, samples, validation) + stages
    return stages


def _metadata(recipe: SF2FRecipe, fuser: bool) -> dict[str, Any]:
    config = {**dataclasses.asdict(recipe.config), "fuser": fuser}
    return {"method": "sf2f", "config": config, "training": dataclasses.asdict(recipe.training)}


def _resized(faces: Tensor, size: int) -> Tensor:
    """uint8 faces at `size`, averaged where smaller."""
    if faces.shape[-1] == size:
        return faces
    mean = F.interpolate(faces.float(), size=(size, size), mode="bilinear", align_corners=False, antialias=True)
    return mean.round().clamp(0, 255).to(torch.uint8)


def _thinned(faces: Tensor, size: int) -> Tensor:
    """uint8 faces at `size`, by leaving out rows and columns: the first of each group stays."""
    step = faces.shape[-1] // size
    return faces[..., ::step, ::step]
