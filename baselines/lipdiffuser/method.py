"""LipDiffuser behind the harness's interface."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from baselines.checkpoints import fill, read
from baselines.layers.speech_input import usable_speech
from baselines.lipdiffuser.config import SPEAKER_DIMS, Config
from baselines.lipdiffuser.denoiser_training import PREFIX
from baselines.lipdiffuser.diffusion import VIDEO_FRAME, at_mel_rate, mel_frames, noise_levels
from baselines.lipdiffuser.mel import BANDS, RATE
from baselines.lipdiffuser.network import LipDiffuserNetwork, padded_frames
from baselines.lipdiffuser.speaker import SHORTEST_S, SpeakerEncoder
from baselines.lipdiffuser.visual_encoder import SIDE, centre
from baselines.lipdiffuser.visual_features import NAMES, read_features
from baselines.lipdiffuser.vocoder import read_published
from baselines.network_method import NetworkMethod
from baselines.post_hoc_ema import Kept, kept_in, reconstructed
from baselines.training import seeded
from benchmark.errors import InvalidConfig, MediaError, MethodError
from benchmark.types import Example
from benchmark.weights import table as weights

FRAMES_AT_ONCE = 16 * 640
"""Mel frames that go through the denoiser together on a GPU; bounds memory. A CPU takes one video after the other."""
TRAINED_WITH = ("framing", "speaker", "head_channels")
"""Settings that the shapes of weights do not tell."""


@dataclass(frozen=True)
class Silent:
    """What is made into speech.

    Shape:
        seen `[N, 96, 96]` uint8, or features `[N, C]` that were computed before; voice `[S]` of length 1
    """

    owner: int
    """Position of the example."""
    seen: np.ndarray | Tensor
    voice: Tensor
    seed: int


class LipDiffuser(NetworkMethod):
    """Speech from silent video and a sample of the voice, by a diffusion model of log-mels and a vocoder.

    The output is as long as the video. Noise is drawn for the frames of each video alone, and videos of one padded
    length go through the denoiser together.
    """

    name: ClassVar[str] = "lipdiffuser"
    task: ClassVar[str] = "lip2speech"
    title: ClassVar[str] = "LipDiffuser, speech from lips by diffusion (de Oliveira et al. 2025)"
    Config: ClassVar[type] = Config
    hears: ClassVar[tuple[str, ...] | None] = ("mouth", "enrolment")
    config: Config
    network: LipDiffuserNetwork
    voices: SpeakerEncoder | None
    """None where weights are random: then every voice is one and the same vector."""
    # Convolutions with few channels run faster in this layout on CPUs.
    memory_format = torch.channels_last

    def load(self, device: str) -> None:
        """Build the networks and fill them; take published ones where the settings name such.

        Raises:
            MissingWeights: there is no readable file.
            MissingDependency: the speaker encoder's package is not installed.
            InvalidConfig: a file is of another architecture, or does not fit the others.
        """
        if self.config.visual == "features" and not self.config.visual_features:
            raise InvalidConfig(f"visual = features needs visual_features: a folder with {NAMES} of each sample")
        tensors, about = read(self.weights, self.name)
        self._check(about)
        self._place(device)
        if self.config.vocoder_weights:
            self.network.vocoder = self._published_vocoder().to(self.device)
        published = ("vocoder.",) if self.config.vocoder_weights else ()
        published += ("visual.",) if self.config.visual != "talkers" else ()
        tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith(published)}
        state = self.network.state_dict()
        tensors |= {name: tensor for name, tensor in state.items() if name.startswith(published)}
        if self.config.ema:
            tensors |= self._of_another_width(about)
        fill(self.network, tensors, self.weights, "Set channels, multiples, blocks, attention and patch as in training")
        self.voices = SpeakerEncoder(self.config.speaker, self.config.speaker_model, device)
        if self.voices.dim != SPEAKER_DIMS[self.config.speaker]:
            raise InvalidConfig(
                f"{self.config.speaker_model} embeds voices in {self.voices.dim} numbers; expected "
                f"{SPEAKER_DIMS[self.config.speaker]}, which the denoiser is told"
            )

    def load_random(self, device: str, seed: int = 0) -> None:
        self._place(device, seed, published=False)
        self.voices = None

    @torch.inference_mode()
    def generate(self, examples: Sequence[Example]) -> list[np.ndarray | Exception]:
        """Speech `[640 N]` float32 at 16 kHz, as long as the N pictures.

        MethodError where an input cannot be used, MediaError where another person's cannot be read.
        """
        outputs: list[np.ndarray | Exception] = [MethodError("no output") for _ in examples]
        usable: list[Silent] = []
        for index, example in enumerate(examples):
            try:
                seen = self._seen(example)
                if mel_frames(len(seen)) < self.network.vocoder.shortest:
                    raise MethodError(f"{len(seen)} picture of the mouth; the vocoder can speak no less than 2")
                usable.append(Silent(index, seen, self._voice(example), example.seed))
            except (MethodError, MediaError) as error:
                outputs[index] = error
        for batch in self._batches(usable):
            for one, samples in zip(batch, self._spoken(batch), strict=True):
                outputs[one.owner] = (
                    samples
                    if np.isfinite(samples).all()
                    else MethodError("Expected finite samples, the network gave NaN or infinity")
                )
        return outputs

    def _seen(self, example: Example) -> np.ndarray | Tensor:
        frames, config = example.inputs["mouth"].frames, self.config
        if config.visual == "features":
            if config.video == "shuffled":
                raise MethodError("video = shuffled needs a visual encoder: features of another video are not known")
            sample, folder = example.sample, Path(config.visual_features)
            (video,) = sample.inputs.get("video", (None,))[:1]
            return read_features(folder, sample.id, config.visual_dim, len(frames), video)
        if config.video == "shuffled":
            other = example.inputs.get("decoy")
            if other is None:
                raise MethodError("video = shuffled needs a dataset that has other people's videos")
            frames = _as_long(other().frames, len(frames))
        if frames.ndim != 3 or frames.shape[1:] != (SIDE, SIDE) or not len(frames):
            raise MethodError(f"Expected a video [N, {SIDE}, {SIDE}] of the mouth, got {list(frames.shape)}")
        return frames

    def _voice(self, example: Example) -> Tensor:
        enrolment = example.inputs["enrolment"]
        if self.config.enrolment == "shuffled":
            other = example.inputs.get("enrolment_decoy")
            if other is None:
                raise MethodError("enrolment = shuffled needs a dataset that has other people's voices")
            enrolment = other()
        samples = usable_speech(enrolment, SHORTEST_S)
        if self.voices is None:
            return F.normalize(torch.ones(SPEAKER_DIMS[self.config.speaker]), dim=0)
        return self.voices.embed([samples])[0]

    def _batches(self, usable: Sequence[Silent]) -> Iterator[list[Silent]]:
        """Videos of one padded length together, the longest first."""
        groups: dict[int, list[Silent]] = {}
        for one in usable:
            groups.setdefault(self._frames(one), []).append(one)
        for frames in sorted(groups, reverse=True):
            size = 1 if self.device.type == "cpu" else max(1, FRAMES_AT_ONCE // frames)
            for start in range(0, len(groups[frames]), size):
                yield groups[frames][start : start + size]

    def _frames(self, one: Silent) -> int:
        return padded_frames(mel_frames(len(one.seen)), self.network.denoiser.multiple)

    def _spoken(self, batch: Sequence[Silent]) -> list[np.ndarray]:
        frames, config = self._frames(batch[0]), self.config
        noise = [torch.randn(BANDS, frames, generator=torch.Generator().manual_seed(one.seed)) for one in batch]
        multiple = self.network.denoiser.multiple
        longest = max(multiple, mel_frames(int(config.longest_s * RATE / VIDEO_FRAME)) // multiple * multiple)
        with self._precision():
            seen = torch.cat([at_mel_rate(self._features(one), frames, config.framing) for one in batch])
            mels = self.network.sample(
                torch.stack(noise).to(self.device),
                seen,
                torch.stack([one.voice for one in batch]).to(self.device),
                noise_levels(config.steps, config.sigma_low, config.sigma_high, config.rho),
                longest,
            )
        found = []
        for one, mel in zip(batch, mels, strict=True):
            # The frames that fill up are not heard: what is spoken depends on them no more.
            sound = self.network.speak(mel[None, :, : mel_frames(len(one.seen))])[0]
            found.append(sound[: len(one.seen) * VIDEO_FRAME].float().cpu().numpy())
        return found

    def _features(self, one: Silent) -> Tensor:
        """What is seen of the lips: `[1, N, C]`."""
        if isinstance(one.seen, Tensor):
            return one.seen[None].to(self.device)
        return self.network.see(centre(torch.tensor(one.seen, device=self.device))[None]).float()

    def _place(self, device: str, seed: int = 0, published: bool = True) -> None:
        with seeded(self.name, seed):
            network = self.config.network(published)
        self.device = torch.device(device)
        self.network = network.to(self.device).eval()
        for parameter in self.network.parameters():
            if parameter.ndim == 4:  # BRAVEn begins with a convolution over time, which has no such layout
                parameter.data = parameter.data.to(memory_format=self.memory_format)

    def _check(self, about: Mapping[str, str]) -> None:
        """What shapes alone do not tell: what the weights in the file were trained with."""
        trained, own = json.loads(about.get("config", "{}")), dataclasses.asdict(self.config)
        for name in TRAINED_WITH:
            if name in trained and trained[name] != own[name]:
                raise InvalidConfig(
                    f"{self.weights} was trained with {name} = {trained[name]}; expected that, got {own[name]}"
                )

    def _published_vocoder(self) -> torch.nn.Module:
        vocoder, framing = read_published(weights.given(self.config.vocoder_weights))
        if framing != self.config.framing:
            raise InvalidConfig(
                f"{self.config.vocoder_weights} speaks mel spectrograms whose framing is {framing}; the denoiser was "
                f"trained with {self.config.framing}: train one with --set framing={framing}"
            )
        return vocoder

    def _of_another_width(self, about: Mapping[str, str]) -> dict[str, Tensor]:
        """The denoiser's parameters averaged with width `ema`, of what its training kept.

        Raises:
            InvalidConfig: nothing was kept beside the weights.
        """
        assert self.weights is not None
        folder = self.weights.parent / "denoiser" / "averages"
        kept, step = kept_in(folder), int(about.get("steps", 0))
        if step not in {k.step for k in kept}:
            raise InvalidConfig(
                f"ema = {self.config.ema}: expected the averages that the training of {self.weights} kept at step "
                f"{step} in {folder}, which are not there; ema = 0 takes the average in the file"
            )
        found = reconstructed(kept, Kept(step, self.config.ema))
        return {PREFIX + name: tensor for name, tensor in found.items()}

    def _precision(self) -> contextlib.AbstractContextManager[object]:
        if self.device.type == "cpu" or self.config.precision == "float32":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, getattr(torch, self.config.precision))


def _as_long(frames: np.ndarray, count: int) -> np.ndarray:
    """Another video at the length of this one; a shorter one begins again."""
    return frames[np.arange(count) % len(frames)] if len(frames) else frames
