"""How AVP-GAN is trained: voice2face's stages with other networks (Eq. 12-14), then the enhancement (Eq. 7-11)."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.avp_gan.config import Config, Training
from baselines.avp_gan.degradation import degraded
from baselines.avp_gan.discriminators import COMPONENTS, EnhancementDiscriminators, regions
from baselines.avp_gan.enhancement import Enhancer
from baselines.avp_gan.enhancement_losses import (
    discriminator_loss,
    feature_distance,
    local_loss,
    realism_loss,
    style_distance,
)
from baselines.avp_gan.network import AVPGANNetwork, enlarged, normalise_spectra
from baselines.checkpoints import export, fill, read
from baselines.layers.perceptual import LAYER_WEIGHTS, BoxedDlib, FeatureNetwork
from baselines.layers.pixels import symmetric_to_unit, to_pictures, to_symmetric, to_unit
from baselines.layers.sphinx_mel import normalised
from baselines.people import People, Person, load_both
from baselines.settings import options
from baselines.training import Recipe, Stage, Update, frozen, seeded, without_steps
from baselines.voice2face.config import Training as GameTraining
from baselines.voice2face.speech import FrontEnd
from baselines.voice2face.training import SIZE, FaceRecipe, drawing_stages, voice_stage
from benchmark.errors import InvalidConfig
from benchmark.types import Sample

PLAIN = "plain_decoder"
"""The second generator, without attention, in a file of weights."""
SUFFIX = "_no_cbam"
"""Of the stages that train it."""
RECOGNISER = Path(__file__).parents[1] / "voice2face" / "talkers.safetensors"
"""Holds the voice encoder of `ready_recogniser`."""
RIDGE = 1e-2
"""Of the mean variance of the features in `start_at_input`: large weights that cancel out would be shaken apart."""
PIXELS = 7
"""Of the pixels of a batch each so many is taken in `start_at_input`."""
BEGUN_WITH = 24
"""Faces in that."""
SHOWN = 8
CODED_AT = 16
"""Side at which portraits are told by their principal components."""
CODED = 4000
"""Portraits that the principal components are those of, at most."""
PERCEPTUAL_WEIGHTS = {"vgg19": (0.1, 0.1, 1.0, 1.0, 1.0), "dlib": LAYER_WEIGHTS[:3]}
"""Of layers, shallow to deep; VGG-19's are those of GFPGAN's training options."""


class GameRecipe(FaceRecipe):
    """voice2face's game (Eq. 12 to 14); a generator that was warmed up without spectral normalisation is given it."""

    config: Config
    depends_on = tuple(
        field.name for field in dataclasses.fields(GameTraining) if not field.name.endswith("steps")
    )  # the enhancement's settings may change without playing it again

    def take(self, exported: Path) -> None:
        tensors, _ = read(exported, self.config.METHOD)
        warmed = dataclasses.replace(self.config, spectral=False).network()
        fill(warmed, tensors, exported)
        if self.config.spectral:
            normalise_spectra(warmed.decoder)
        self.network.load_state_dict(warmed.state_dict())


class PriorRecipe(Recipe):
    """The face prior alone learns to draw training portraits: in place of a StyleGAN2 that was trained on photographs.

    A portrait is told to it by its principal components, each of unit variance: what is nearly normal in each, and so
    what a random vector of the mapping network is like. The loss is the mean absolute difference of pixels. It is our
    own; the released GFPGAN took a prior that had learnt as StyleGAN2 does.
    """

    name = "prior"

    def __init__(self, config: Config, training: Training, people: People, validation: People | None = None) -> None:
        self.config, self.training, self.people, self.validation = config, training, people, validation
        with seeded(config.METHOD, "prior", config):
            self.prior = config.enhancer().prior
        faces = torch.stack([person.faces[0] for person in people.persons[:CODED]])
        self.codes = PrincipalComponents(faces, config.prior_style)
        self.optimiser = torch.optim.Adam(self.prior.parameters(), lr=training.prior_learning_rate, betas=(0.0, 0.99))

    def modules(self) -> Mapping[str, nn.Module]:
        return {"prior": self.prior, "codes": self.codes}

    def optimisers(self) -> Mapping[str, torch.optim.Optimizer]:
        return {"prior": self.optimiser}

    def averaged(self) -> Mapping[str, nn.Module]:
        return {"prior": self.prior}

    def description(self) -> Mapping[str, Any]:
        settings = {name: value for name, value in without_steps(self.training).items() if name.startswith("prior_")}
        return {"config": dataclasses.asdict(self.config), "training": settings, "people": len(self.people)}

    def batch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        return {"faces": self.people.faces(self.people.draw(rng, self.training.prior_batch), rng)}

    def step(self, batch: Mapping[str, Tensor], update: Update) -> dict[str, Tensor]:
        loss = F.l1_loss(self.drawn(batch["faces"]), to_symmetric(batch["faces"]))
        update("prior", loss)
        return {"l1": loss}

    def drawn(self, faces: Tensor) -> Tensor:
        return self.prior(self.prior.mapped(self.codes(faces)))

    def sample_images(self) -> np.ndarray | None:
        faces = torch.stack([person.faces[0] for person in (self.validation or self.people).persons[:SHOWN]])
        made = self.drawn(faces.to(self.prior.constant.device))
        return np.stack([to_pictures(to_unit(faces)), to_pictures(symmetric_to_unit(made))])

    def export(self, path: Path) -> Path:
        return export(path, self.prior.state_dict(), {"method": f"{self.config.METHOD} face prior"}, half=False)


class PrincipalComponents(nn.Module):
    """Faces as their first principal components at 16 px, each of unit variance over the faces it was made from.

    Shape:
        uint8 `[B, 3, S, S]` -> `[B, count]`; components beyond those that there are stay 0
    """

    def __init__(self, faces: Tensor, count: int) -> None:
        super().__init__()
        small = self._small(faces)
        mean = small.mean(0)
        covariance = (small - mean).T @ (small - mean) / len(small)
        found = min(count, len(small) - 1)
        values, vectors = torch.linalg.eigh(covariance)
        values, vectors = values.flip(0)[:found], vectors.flip(1)[:, :found]
        components = torch.zeros(small.shape[1], count)
        components[:, :found] = vectors / values.clamp(min=1e-6).sqrt()
        self.register_buffer("mean", mean)
        self.register_buffer("components", components)

    def forward(self, faces: Tensor) -> Tensor:
        return (self._small(faces) - self.mean) @ self.components

    @staticmethod
    def _small(faces: Tensor) -> Tensor:
        unit = to_symmetric(faces)
        return F.interpolate(unit, (CODED_AT, CODED_AT), mode="bilinear", antialias=True).flatten(1)


@torch.no_grad()
def start_at_input(enhancer: Enhancer, faces: Tensor) -> None:
    """Let an enhancer begin near drawing what it is given, in closed form.

    The features of all sizes but the smallest two, as its last layers see them, are mapped to what is missing in the
    picture below them by least squares; those maps, 1 x 1 convolutions, become its own.

    Args:
        faces: `[B, 3, S, S]`, examples of what it will be given, in -1..1.
    """
    layers = list(enhancer.prior.pictures)[1:]
    seen: list[tuple[Tensor, Tensor]] = []
    hooks = [
        layer.register_forward_hook(
            lambda layer, inputs, _: seen.append(
                (inputs[0] * layer.convolution.modulation(inputs[1])[:, :, None, None], inputs[2])
            )
        )
        for layer in layers
    ]
    for part in faces.split(4):
        enhancer(part)
    for hook in hooks:
        hook.remove()
    batches = [seen[first : first + len(layers)] for first in range(0, len(seen), len(layers))]
    features = torch.cat([torch.cat([_enlarged(x, enhancer.size) for x, _ in batch], dim=1) for batch in batches])
    missing = faces - torch.cat([_enlarged(batch[0][1], enhancer.size) for batch in batches])
    inputs, wanted = (x.movedim(1, -1).flatten(0, 2)[::PIXELS].double() for x in (features, missing))
    centre, mean = inputs.mean(0), wanted.mean(0)
    covariance = (inputs - centre).T @ (inputs - centre)
    strengthened = covariance + RIDGE * covariance.diagonal().mean() * torch.eye(len(covariance)).to(covariance)
    maps = torch.linalg.solve(strengthened, (inputs - centre).T @ (wanted - mean))
    widths = [layer.convolution.weight.shape[1] for layer in layers]
    for layer, weight in zip(layers, maps.split(widths), strict=True):
        layer.convolution.weight.copy_(weight.T[:, :, None, None])
        layer.bias.zero_()
    layers[-1].bias.copy_((mean - centre @ maps).view(1, 3, 1, 1))


def _enlarged(x: Tensor, size: int) -> Tensor:
    """As the prior enlarges its pictures: doubled until it is there."""
    while x.shape[-1] < size:
        x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    return x


class EnhancementRecipe(Recipe):
    """The image enhancement learns to repair faces: degraded portraits, and the generators' own where asked.

    Its discriminators learn in turn with it, from the same faces.

    Args:
        people: with faces of the enhanced size, as those of the validation.
        perceptual, identity: frozen face networks (Eq. 7 and 10); None where no loss asks.
    """

    name = "enhancement"

    def __init__(
        self,
        config: Config,
        training: Training,
        people: People,
        validation: People | None,
        perceptual: FeatureNetwork | None,
        identity: FeatureNetwork | None,
    ) -> None:
        self.config, self.training, self.people, self.validation = config, training, people, validation
        self.perceptual, self.identity = perceptual, identity
        if (perceptual is None) != (training.perceptual == 0) or (identity is None) != (training.identity == 0):
            raise InvalidConfig("A perceptual or identity weight above 0 needs its face network, and only that does")
        with seeded(config.METHOD, "enhancement", config):
            self.network: AVPGANNetwork = config.network()
            self.plain = (
                dataclasses.replace(config, cbam=False, enhance=False).network() if training.without_cbam else None
            )
            self.critics = EnhancementDiscriminators(config.resolution, training.discriminator_width)
        enhancer = self.network.enhancer
        assert enhancer is not None
        self.enhancer: Enhancer = enhancer
        for module in (self.network, self.plain):
            if module is not None:
                module.eval().requires_grad_(False)
        self.enhancer.train().requires_grad_(True)
        if training.frozen_prior:
            self.enhancer.prior.requires_grad_(False)
        rate, betas = training.enhancement_learning_rate, (training.enhancement_beta1, 0.99)
        learning = [parameter for parameter in self.enhancer.parameters() if parameter.requires_grad]
        self.optimiser = torch.optim.Adam(learning, lr=rate, betas=betas)
        self.critic_optimiser = torch.optim.Adam(self.critics.parameters(), lr=rate, betas=betas)

    def take(self, folder: Path) -> None:
        """Fill what earlier stages trained: encoder and generators, and the prior where it had steps."""
        tensors, _ = read(folder / "generator.safetensors", self.config.METHOD)
        own = {f"enhancer.{name}": tensor for name, tensor in self.enhancer.state_dict().items()}
        fill(self.network, {**own, **tensors}, folder / "generator.safetensors")
        if self.plain is not None:
            path = folder / f"generator{SUFFIX}.safetensors"
            fill(self.plain, read(path, self.config.METHOD)[0], path)
        if self.training.prior_steps:
            path = folder / f"{PriorRecipe.name}.safetensors"
            fill(self.enhancer.prior, read(path, self.config.METHOD)[0], path)

    def begin_at_inputs(self) -> None:
        """Draw what is given at first: the prior's last layers are fitted to that."""
        rng = np.random.default_rng(0)
        wanted = dataclasses.replace(self.training, enhancement_batch=BEGUN_WITH)
        start_at_input(self.enhancer, self.inputs(self.batch(rng, wanted)))

    def modules(self) -> Mapping[str, nn.Module]:
        plain = {} if self.plain is None else {"plain": self.plain}
        return {"network": self.network, "critics": self.critics, **plain}

    def carried(self) -> Sequence[nn.Module]:
        return [network for network in (self.perceptual, self.identity) if isinstance(network, nn.Module)]

    def optimisers(self) -> Mapping[str, torch.optim.Optimizer]:
        return {"enhancer": self.optimiser, "critics": self.critic_optimiser}

    def averaged(self) -> Mapping[str, nn.Module]:
        return {"enhancer": self.enhancer}

    def description(self) -> Mapping[str, Any]:
        settings = without_steps(self.training)
        return {"config": dataclasses.asdict(self.config), "training": settings, "people": len(self.people)}

    def batch(self, rng: np.random.Generator, settings: Training | None = None) -> dict[str, Tensor]:
        settings = settings or self.training
        who = self.people.draw(rng, settings.enhancement_batch)
        truth = self.people.faces(who, rng)
        flip = torch.from_numpy(rng.random(len(who)) < 0.5)[:, None, None, None]
        truth = torch.where(flip, truth.flip(3), truth)
        heard = round(settings.generated * len(who))
        low, high = settings.crop_frames
        voices = self.people.crops(who[:heard], rng, int(rng.integers(low, high + 1))) if heard else torch.zeros(0)
        second = self.plain is not None and rng.random() < 0.5
        return {
            "truth": truth,
            "degraded": degraded(truth[heard:], rng) if heard < len(who) else torch.zeros(0),
            "voices": _as_in_use(voices, settings),
            "by_plain": torch.tensor(second),
            "flip": flip[:heard],
        }

    def inputs(self, batch: Mapping[str, Tensor]) -> Tensor:
        """What the enhancement is to repair: the generator's faces, turned as the portraits are, then degraded ones."""
        parts = [batch["degraded"]] if len(batch["degraded"]) else []
        if len(batch["voices"]):
            network = self.plain if self.plain is not None and batch["by_plain"] else self.network
            made = self._generated(network, batch["voices"])
            parts.insert(0, torch.where(batch["flip"], made.flip(3), made))
        return torch.cat(parts)

    @torch.no_grad()
    def _generated(self, network: AVPGANNetwork, voices: Tensor) -> Tensor:
        return enlarged(network.decoder(network.encoder(voices)).clamp(-1, 1), self.config.resolution)

    def step(self, batch: Mapping[str, Tensor], update: Update) -> dict[str, Tensor]:
        truth = to_symmetric(batch["truth"])
        made = self.enhancer(self.inputs(batch))
        critic = self.critic_losses(truth, made.detach())
        update("critics", torch.stack(list(critic.values())).sum())
        with frozen(self.critics):
            parts = self.losses(made, truth)
            update("enhancer", self.total(parts))
        return {**parts, **critic}

    def critic_losses(self, truth: Tensor, made: Tensor) -> dict[str, Tensor]:
        """What each discriminator makes small."""
        losses = {"d_face": discriminator_loss(self.critics["face"](truth), self.critics["face"](made))}
        real, fake = self.cut(truth), self.cut(made)
        for name in COMPONENTS:
            judge = self.critics[name]
            losses[f"d_{name}"] = discriminator_loss(judge(real[name])[0], judge(fake[name])[0])
        return losses

    def losses(self, made: Tensor, truth: Tensor) -> dict[str, Tensor]:
        """The parts of Eq. 11, not yet weighted."""
        settings = self.training
        parts = {"l1": F.l1_loss(made, truth)}
        parts["realism"] = realism_loss(self.critics["face"](made), settings.adversarial_form)
        local, style = [], []
        real, fake = self.cut(truth), self.cut(made)
        for name in COMPONENTS:
            logits, features = self.critics[name](fake[name])
            local.append(local_loss(logits, settings.adversarial_form))
            with torch.no_grad():
                _, wanted = self.critics[name](real[name])
            style.append(style_distance(features, wanted))
        parts["local"], parts["style"] = torch.stack(local).sum(), torch.stack(style).sum()
        seen = self._seen(made)
        with torch.no_grad():
            wanted_seen = self._seen(truth)
        if self.perceptual is not None:
            weights = PERCEPTUAL_WEIGHTS[settings.perceptual_network]
            layers = len(weights)
            parts["perceptual"] = feature_distance(
                seen["perceptual"][:layers], wanted_seen["perceptual"][:layers], weights
            )
        if self.identity is not None:
            parts["identity"] = feature_distance(seen["identity"][-1:], wanted_seen["identity"][-1:], (1.0,))
        return parts

    def _seen(self, faces: Tensor) -> dict[str, list[Tensor]]:
        """Features of both networks; where they are one, it looks once."""
        unit = symmetric_to_unit(faces)
        found: dict[str, list[Tensor]] = {}
        if self.perceptual is not None:
            found["perceptual"] = self.perceptual.features(unit)
        if self.identity is not None:
            same = self.identity is self.perceptual
            found["identity"] = found["perceptual"] if same else self.identity.features(unit)
        return found

    def total(self, parts: Mapping[str, Tensor]) -> Tensor:
        """Eq. 11."""
        return torch.stack([getattr(self.training, name) * value for name, value in parts.items()]).sum()

    def cut(self, faces: Tensor) -> Mapping[str, Tensor]:
        s = self.training
        return regions(faces, s.eye_height, s.eye_distance, s.eye_side, s.mouth_height, s.mouth_side)

    def validate(self) -> dict[str, float]:
        """Of faces from voices, enhanced: L1, and by the identity network the cosine with the own true face and with
        others', and the part of people whose own is among the 10 nearest."""
        if self.validation is None:
            return {}
        truth = torch.stack([person.faces[0] for person in self.validation.persons]).to(self.device)
        _, made = self._validation_faces(len(truth))
        measures = {"l1": float(F.l1_loss(made, to_symmetric(truth)))}
        if self.identity is not None and len(truth) > 1:
            one = torch.cat(
                [self.identity.features(part)[-1] for part in symmetric_to_unit(made).clamp(0, 1).split(32)]
            )
            two = torch.cat([self.identity.features(part)[-1] for part in to_unit(truth).split(32)])
            cosine = F.normalize(one, dim=1) @ F.normalize(two, dim=1).T
            own = cosine.diagonal()
            measures["cosine"] = float(own.mean())
            measures["cosine_other"] = float((cosine.sum() - own.sum()) / (cosine.numel() - len(cosine)))
            measures["recall_at_10"] = float(((cosine > own[:, None]).sum(1) < 10).float().mean())
        return measures

    def sample_images(self) -> np.ndarray | None:
        if self.validation is None:
            return None
        before, after = self._validation_faces(SHOWN)
        truth = torch.stack([person.faces[0] for person in self.validation.persons[:SHOWN]])
        rows = [to_pictures(symmetric_to_unit(faces)) for faces in (before, after)]
        return np.stack([to_pictures(to_unit(truth)), *rows])

    def _validation_faces(self, count: int) -> tuple[Tensor, Tensor]:
        assert self.validation is not None
        who = np.arange(min(count, len(self.validation)))
        voices = self.validation.crops(who, np.random.default_rng(0), self.training.crop_frames[1])
        before = self._generated(self.network, _as_in_use(voices, self.training).to(self.device))
        return before, torch.cat([self.enhancer(part) for part in before.split(16)])

    @property
    def device(self) -> torch.device:
        return self.enhancer.first.weight.device

    def export(self, path: Path) -> Path:
        tensors = dict(self.network.state_dict())
        if self.plain is not None:
            tensors |= {f"{PLAIN}.{name}": tensor for name, tensor in self.plain.decoder.state_dict().items()}
        metadata = {
            "method": self.config.METHOD,
            "config": dataclasses.asdict(self.config),
            "training": dataclasses.asdict(self.training),
        }
        return export(path, tensors, metadata)


def recipes(
    config: Config,
    training: Mapping[str, Any],
    samples: Sequence[Sample],
    validation: Sequence[Sample] = (),
    networks: Callable[[str], Any] | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> list[Stage]:
    """Voice encoder, warm-up if it is to have steps, generator; the last two again for `without_cbam`; the prior if it
    is to have steps, and the enhancement, where `enhance` is set. Arguments as in `baselines.sf2f.training.recipes`.

    Raises:
        InvalidConfig: a setting that cannot be used.
    """
    settings = options(Training, training)
    if settings.without_cbam and not (config.cbam and config.enhance):
        raise InvalidConfig("without_cbam trains a second generator beside one with attention: set cbam and enhance")
    drawing = dataclasses.replace(config, enhance=False)
    size = config.resolution if config.enhance else SIZE

    @functools.cache
    def large() -> tuple[People, People | None]:
        features = FrontEnd(config.shortest_s, config.vad, settings.kept_frames)
        how = Image.Resampling[settings.face_resampling.upper()]
        return load_both(samples, validation, features, size, settings.recordings, progress, how)

    @functools.cache
    def small() -> tuple[People, People | None]:
        training, known = large()
        return of_side(training, SIZE), of_side(known, SIZE) if known else None

    known: dict[str, Any] = {}
    recogniser = RECOGNISER if settings.ready_recogniser else None

    def generator(config: Config, suffix: str = "") -> list[Stage]:
        free = dataclasses.replace(config, spectral=False)
        return drawing_stages(config, settings, small, suffix, free, GameRecipe, recogniser, known)

    stages = [] if recogniser else [voice_stage(drawing, settings, small)]
    stages += generator(drawing)
    if settings.without_cbam:
        stages += generator(dataclasses.replace(drawing, cbam=False), SUFFIX)
    if not config.enhance:
        return stages

    @functools.cache
    def network(name: str) -> FeatureNetwork:
        if networks is None:
            raise InvalidConfig(f"face network '{name}' was asked for, but none can be loaded here")
        return BoxedDlib(networks(name).network) if name == "dlib" else networks(name)

    def prior(folder: Path) -> Recipe:
        return PriorRecipe(config, settings, *large())

    def enhancement(folder: Path) -> Recipe:
        perceptual = network(settings.perceptual_network) if settings.perceptual else None
        identity = network(settings.identity_network) if settings.identity else None
        recipe = EnhancementRecipe(config, settings, *large(), perceptual, identity)
        recipe.take(folder)
        if settings.begin_at_inputs:
            recipe.begin_at_inputs()
        return recipe

    ema = settings.ema or None
    if settings.prior_steps:
        stages.append(Stage(PriorRecipe.name, settings.prior_steps, prior, ema, settings.anneal))
    return [*stages, Stage(EnhancementRecipe.name, settings.enhancement_steps, enhancement, ema, settings.anneal)]


def _as_in_use(voices: Tensor, settings: Training) -> Tensor:
    return torch.stack([normalised(one) for one in voices]) if settings.normalised_crops and len(voices) else voices


def of_side(people: People, side: int) -> People:
    """The same people with smaller portraits, made when they are looked at."""
    return People(_Smaller(people.persons, side), people.problems)


class _Smaller(Sequence[Person]):
    def __init__(self, persons: Sequence[Person], side: int) -> None:
        self._persons, self._side = persons, side

    def __len__(self) -> int:
        return len(self._persons)

    @overload
    def __getitem__(self, index: int) -> Person: ...
    @overload
    def __getitem__(self, index: slice) -> list[Person]: ...
    def __getitem__(self, index: int | slice) -> Person | list[Person]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        person = self._persons[index]
        if person.faces.shape[-1] == self._side:
            return person
        small = F.interpolate(person.faces.float(), (self._side,) * 2, mode="bilinear", antialias=True)
        return dataclasses.replace(person, faces=small.round().clamp(0, 255).to(torch.uint8))
