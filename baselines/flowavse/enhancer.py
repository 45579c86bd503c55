"""From noisy speech to clean, with a face or without: what FlowAVSE and its relatives do around their networks."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from baselines.checkpoints import fill, read
from baselines.flowavse.clips import UNSEEN, VIDEO_FRAME, video_frames_of
from baselines.flowavse.config import EnhancerConfig, SpectrogramConfig
from baselines.flowavse.network import FlowAVSENetwork
from baselines.flowavse.official import is_official, read_checkpoint
from baselines.flowavse.spectrogram import HOP, frames_of, noise_like, spectrogram, waveform
from baselines.network_method import NetworkMethod
from benchmark.errors import InvalidConfig, MediaError, MethodError
from benchmark.types import Example, FaceVideo, Grey, derive_seed

RATE = 16_000
SHORTEST = RATE // 10
"""Samples; less is refused."""
PADDED = 64
"""Spectrograms are filled up to a multiple of so many frames, as in the official inference."""
OVERLAP = 16 * VIDEO_FRAME
"""Samples that neighbouring windows of a long recording share at least; one fades into the other there."""
TRAINED_WITH = frozenset(
    {
        *("exponent", "factor", "video_window", "divide_by_time", "prior", "start"),
        *("theta", "sigma_min", "sigma_max", "end", "clean_deviation"),
    }
)
"""Settings that inference has to share with the training, beside those that change shapes."""
FRAMES_AT_ONCE = 4096
"""Frames of a batch on a GPU, all windows together: bounds memory.

A CPU takes one window at a time. The tensors of more are so large that the allocator gives each back to the system and
asks for it anew; eight clips of 2.04 s took twice as long together as one by one.
"""


@dataclass(frozen=True)
class Window:
    """A stretch of one example.

    Shape:
        noisy `[L]` float32, video `[N, 112, 112]` uint8, where N is 0 if the method does not look
    """

    owner: int
    """Position of the example."""
    start: int
    noisy: np.ndarray
    video: np.ndarray
    seed: int

    @property
    def frames(self) -> int:
        """Of its spectrogram, padding included."""
        return padded_frames(len(self.noisy))


class SpectrogramEnhancer(NetworkMethod):
    """Speech in, speech out, at 16 kHz and any length; the loudest sample of the input is 1 inside.

    On a GPU windows of one padded length go through the networks together.
    """

    task: ClassVar[str] = "av_enhancement"
    config: SpectrogramConfig
    # Convolutions with few channels run about twice as fast in this layout on CPUs.
    memory_format = torch.channels_last

    def load(self, device: str) -> None:
        """Build the networks and fill them with our own or with the official weights.

        Raises:
            MissingWeights: there is no readable file.
            InvalidConfig: the file is of another architecture, or of another method with the same one.
        """
        if self.weights is not None and is_official(self.weights):
            tensors = self.read_official(self.weights)
        else:
            tensors, about = read(self.weights, self.name)
            self._check(about)
        self._place(device)
        fill(self.network, tensors, self.weights, self.hint)

    hint: ClassVar[str]
    """What to set where weights do not fit the network."""

    @abstractmethod
    def read_official(self, path: Path) -> dict[str, Tensor]:
        """The tensors of a checkpoint of the authors' code, under our names."""

    @abstractmethod
    def enhanced(self, noisy: Tensor, batch: Sequence[Window], draw: Callable[[], Tensor]) -> Tensor:
        """What the networks make of spectrograms. Shape: `[B, 2, 256, T]` -> `[B, 2, 256, T]`.

        Args:
            batch: the windows that they are of.
            draw: complex normal noise of variance 1 a bin, shaped like `noisy`.
        """

    def pictures(self, example: Example, length: int) -> Callable[[int], np.ndarray]:
        """How a window of `length` samples looks at the video of its example, from its start: none at all here.

        Raises:
            MethodError: it cannot be used.
            MediaError: it cannot be read.
        """
        return lambda start: UNSEEN

    def _check(self, about: Mapping[str, str]) -> None:
        """What shapes alone do not tell: whose weights a file holds, and what they were trained to take."""
        if about.get("method", self.name) != self.name:
            raise InvalidConfig(f"{self.weights} holds weights of {about['method']}; expected those of {self.name}")
        if "config" not in about:
            return
        defaults = {field.name: field.default for field in dataclasses.fields(self.config)}
        self.check_trained(defaults | json.loads(about["config"]))  # an older file says nothing of what came later

    def check_trained(self, trained: Mapping[str, Any]) -> None:
        """Compare the settings that weights were trained with to our own.

        Raises:
            InvalidConfig: they differ where inference has to share them.
        """
        own = dataclasses.asdict(self.config)
        for name in sorted(TRAINED_WITH & own.keys() & trained.keys()):
            if (before := trained[name]) != own[name]:
                raise InvalidConfig(
                    f"{self.weights} was trained with {name} = {before}; expected that, got {own[name]}"
                )

    def _place(self, device: str, seed: int = 0) -> None:
        super()._place(device, seed)
        self.frames_at_once = 1 if self.device.type == "cpu" else FRAMES_AT_ONCE

    @torch.inference_mode()
    def generate(self, examples: Sequence[Example]) -> list[np.ndarray | Exception]:
        """Clean speech `[T]` float32 as long as the noisy.

        MethodError where an input cannot be used, MediaError where another person's video cannot be read.
        """
        outputs: list[np.ndarray | Exception] = []
        windows: list[Window] = []
        for index, example in enumerate(examples):
            try:
                windows += self._windows(index, example)
                outputs.append(np.zeros(len(example.inputs["noisy"].samples), np.float32))
            except (MethodError, MediaError) as error:
                outputs.append(error)
        parts: dict[int, list[tuple[int, np.ndarray]]] = {}
        for batch in _batches(windows, self.frames_at_once):
            for window, enhanced in zip(batch, self._enhance(batch), strict=True):
                parts.setdefault(window.owner, []).append((window.start, enhanced))
        for index, pieces in parts.items():
            noisy = examples[index].inputs["noisy"].samples
            joined = _joined(pieces, len(noisy)) * np.abs(noisy).max()
            outputs[index] = (
                joined.astype(np.float32)
                if np.isfinite(joined).all()
                else MethodError("Expected finite samples, the network gave NaN or infinity")
            )
        return outputs

    def _windows(self, index: int, example: Example) -> list[Window]:
        """The example cut into equal windows, or whole where it is short enough."""
        audio = example.inputs.get("noisy")
        if audio is None:
            raise MethodError("there is no noise in this sample, and so nothing to enhance")
        noisy = np.asarray(audio.samples, np.float32)
        if audio.rate != RATE or noisy.ndim != 1:
            raise MethodError(f"Expected mono speech [T] at {RATE} Hz, got {list(noisy.shape)} at {audio.rate} Hz")
        if len(noisy) < SHORTEST:
            raise MethodError(f"{len(noisy) / RATE:.3f} s of speech; expected at least {SHORTEST / RATE} s")
        if not np.isfinite(noisy).all():
            raise MethodError("Expected finite samples, the noisy speech has NaN or infinity")
        length = min(len(noisy), int(self.config.longest_s * RATE) // VIDEO_FRAME * VIDEO_FRAME)
        look = self.pictures(example, length)
        peak = float(np.abs(noisy).max())
        if peak < 1e-6:
            raise MethodError("The noisy speech is silent")
        noisy = noisy / peak
        # Starts are moved to frames of the video, which can take one frame from an overlap.
        gaps = math.ceil((len(noisy) - length) / (length - OVERLAP - VIDEO_FRAME))
        found = []
        for number in range(gaps + 1):
            ideal = number * (len(noisy) - length) / max(gaps, 1)
            start = len(noisy) - length if number and number == gaps else int(ideal // VIDEO_FRAME) * VIDEO_FRAME
            seed = derive_seed(example.seed, number)
            found.append(Window(index, start, noisy[start : start + length], look(start), seed))
        return found

    def _enhance(self, batch: Sequence[Window]) -> list[np.ndarray]:
        """Shape: B windows that are padded to one number of frames -> each as long as it was."""
        settings, frames = (self.config.exponent, self.config.factor), batch[0].frames
        mirrored = self.config.padding == "mirror"
        noisy = []
        for window in batch:
            sound = _mirrored(window.noisy, (frames - 1) * HOP) if mirrored else window.noisy
            x = spectrogram(torch.from_numpy(sound)[None].to(self.device), *settings)
            noisy.append(F.pad(x, (0, frames - x.shape[-1])))
        mixed = torch.cat(noisy)
        generators = [torch.Generator().manual_seed(window.seed) for window in batch]
        with self._precision():
            enhanced = self.enhanced(mixed, batch, lambda: noise_like(mixed, generators))
        lengths = [len(window.noisy) for window in batch]
        return [
            waveform(x[None] if mirrored else x[None, ..., : frames_of(length)], length, *settings)[0].cpu().numpy()
            for x, length in zip(enhanced, lengths, strict=True)
        ]

    def _precision(self) -> contextlib.AbstractContextManager[object]:
        if self.device.type == "cpu" or self.config.precision == "float32":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, getattr(torch, self.config.precision))


class Enhancer(SpectrogramEnhancer):
    """The face is looked at too; the visual encoder runs once for both stages and all steps."""

    further_tasks: ClassVar[tuple[str, ...]] = ("av_separation",)
    hint: ClassVar[str] = "Set size, width and shared_encoder as in training"
    config: EnhancerConfig
    network: FlowAVSENetwork

    @property
    def grey(self) -> Grey:  # type: ignore[override]
        return self.config.grey

    def read_official(self, path: Path) -> dict[str, Tensor]:
        return read_checkpoint(path)

    def pictures(self, example: Example, length: int) -> Callable[[int], np.ndarray]:
        video = self._video(example).frames
        if video.ndim != 3 or video.shape[1:] != (112, 112) or not len(video):
            raise MethodError(f"Expected a video [N, 112, 112] of the face, got {list(video.shape)}")
        held = self.config.pictures == "held"
        shown = np.arange(video_frames_of(padded_frames(length)) if held else math.ceil(length / VIDEO_FRAME))

        def look(start: int) -> np.ndarray:
            numbers = np.minimum(shown + round(start / VIDEO_FRAME), len(video) - 1)
            return video[numbers if held else np.unique(numbers)]

        return look

    def _video(self, example: Example) -> FaceVideo:
        if self.config.video == "own":
            return example.inputs["video"]
        other = example.inputs.get("decoy")
        if other is None:
            raise MethodError("video = shuffled needs a dataset that has other people's videos")
        return other()

    def enhanced(self, noisy: Tensor, batch: Sequence[Window], draw: Callable[[], Tensor]) -> Tensor:
        video = torch.from_numpy(np.stack([window.video for window in batch])).to(self.device)
        seen = self.network.see(video)
        estimate = self.network.predict(noisy, seen).float()
        return self.config.refined(lambda x, t: self.network.refine(x, estimate, t, seen).float(), estimate, draw)


def padded_frames(length: int) -> int:
    """Frames of the spectrogram of `length` samples, padding included.

    >>> padded_frames(32640), padded_frames(32768)
    (256, 320)
    """
    return -(-frames_of(length) // PADDED) * PADDED


def _mirrored(sound: np.ndarray, length: int) -> np.ndarray:
    """A sound made longer by going back and forth.

    >>> _mirrored(np.array([1, 2, 3]), 8).tolist()
    [1, 2, 3, 2, 1, 2, 3, 2]
    """
    return np.pad(sound, (0, max(length - len(sound), 0)), mode="reflect")


def _batches(windows: Sequence[Window], frames_at_once: int) -> Iterator[list[Window]]:
    """Windows of one padded length and number of pictures together, up to `frames_at_once`; the longest first."""
    groups: dict[tuple[int, int], list[Window]] = {}
    for window in windows:
        groups.setdefault((window.frames, len(window.video)), []).append(window)
    for key in sorted(groups, reverse=True):
        group, frames = groups[key], key[0]
        size = max(1, frames_at_once // frames)
        for start in range(0, len(group), size):
            yield group[start : start + size]


def _joined(pieces: Sequence[tuple[int, np.ndarray]], length: int) -> np.ndarray:
    """Windows laid over each other, each fading out as the next fades in: `[length]`."""
    if len(pieces) == 1:
        return pieces[0][1].astype(np.float64)
    total, weight = np.zeros(length), np.zeros(length)
    for start, piece in pieces:
        rise = np.minimum(np.arange(len(piece)) + 1, OVERLAP) / OVERLAP
        fade = np.minimum(rise, rise[::-1])
        total[start : start + len(piece)] += fade * piece
        weight[start : start + len(piece)] += fade
    return total / weight
