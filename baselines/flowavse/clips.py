"""Training clips: speech with its face or without, mixed anew each time with whatever noise the mixing list knows."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from baselines.flowavse.clip_shards import ClipFiles, ClipShards, Recording
from baselines.flowavse.config import MixtureTraining
from baselines.flowavse.spectrogram import HOP
from baselines.shards import Progress
from benchmark.errors import MediaError, MissingDataset
from benchmark.media.mixing import BABBLE_VOICES, NOISES, RATE, RECORDED, TALKER, looped, mix, noise
from benchmark.types import Grey, Sample

VIDEO_FRAME = RATE // 25
"""Samples of sound in a frame of video."""
ATTEMPTS = 20
"""Clips that are drawn before one that cannot be used ends the training."""
MOST_LOADERS = 8
UNSEEN = np.zeros((0, 112, 112), np.uint8)
"""The video of those who do not look."""


class Clip(NamedTuple):
    """Shape: noisy, clean `[L]` float32, the peak of `noisy` at 1; video `[N, 112, 112]` uint8, N = 0 without faces."""

    noisy: np.ndarray
    clean: np.ndarray
    video: np.ndarray


class InQuiet(NamedTuple):
    """Shape: clean `[L]` float32; video `[N, 112, 112]` uint8."""

    clean: np.ndarray
    video: np.ndarray


Drawn = TypeVar("Drawn", Clip, InQuiet)


def video_frames_of(frames: int) -> int:
    """Frames of video beside a spectrogram of `frames`: those on screen from its first to its last centre.

    >>> video_frames_of(256)
    51
    """
    return max(1, math.ceil((frames - 1) * HOP / VIDEO_FRAME))


def loaders() -> int:
    """Threads that draw batches ahead, on the cores that this process of the training may use.

    Decoding takes longer than a step on a GPU; one core is left to the step.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(MOST_LOADERS, cores // int(os.environ.get("LOCAL_WORLD_SIZE") or 1) - 1))


class Clips:
    """Draws clips from a training split, which is decoded once, into shards, unless `settings` say otherwise.

    Raises:
        MissingDataset: the split lacks what the settings need.
        PrerequisiteError: the shards cannot be written.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        settings: MixtureTraining,
        grey: Grey = "luma",
        progress: Progress | None = None,
        faces: bool = True,
    ) -> None:
        """`faces`: clips have their video; without, no video is read and theirs are empty."""
        rows = {sample.targets["speech"][0]: sample for sample in samples if sample.targets.get("speech")}
        self.samples = list(rows.values())
        if not self.samples:
            raise MissingDataset("No clean speech in the split: expected one of av_enhancement or av_separation")
        self.settings = settings
        self.recorded = sorted(
            {path for s in samples if s.attributes.get("noise") == RECORDED for path in s.inputs.get("noise", ())}
        )
        several = len({sample.speaker for sample in self.samples}) > 1
        self.kinds = (RECORDED,) if self.recorded else tuple(k for k in NOISES if several or k != "babble")
        if settings.talker_share and not several:
            raise MissingDataset("talker_share needs more than one speaker for training and for validation, got one")
        self.length = (settings.frames - 1) * HOP
        self.video_length = video_frames_of(settings.frames)
        self.problems: Counter[str] = Counter()
        """Why clips were passed over, and how often."""
        self.faces = faces
        spoken = map(_recording, self.samples) if faces else (Recording(s.targets["speech"][0]) for s in self.samples)
        recordings = [*spoken, *map(Recording, self.recorded)]
        self._decoded = ClipShards(recordings, grey, progress) if settings.shards else ClipFiles(recordings, grey)

    def batch(self, rng: np.random.Generator, count: int) -> dict[str, Tensor]:
        """`noisy`, `clean` `[B, L]` float32 and `video` `[B, N, 112, 112]` uint8."""
        return _stacked([self.draw(rng) for _ in range(count)])

    def batch_in_quiet(self, rng: np.random.Generator, count: int) -> dict[str, Tensor]:
        """`clean` and `video` alone, the speech as loud as it was recorded."""
        return _stacked([self._draw(self._in_quiet, rng) for _ in range(count)])

    def draw(self, rng: np.random.Generator) -> Clip:
        """One clip. A file that cannot be used, or a silent stretch, is passed over and noted in `problems`.

        Raises:
            MissingDataset: nothing usable in 20 draws.
        """
        return self._draw(self._mixed, rng)

    def _draw(self, of: Callable[[int, np.random.Generator], Drawn], rng: np.random.Generator) -> Drawn:
        reason = ""
        for _ in range(ATTEMPTS):
            number = int(rng.integers(len(self.samples)))
            try:
                return of(number, rng)
            except MediaError as error:
                reason = f"{self.samples[number].id}: {error}"
                self.problems[reason] += 1
        raise MissingDataset(f"{ATTEMPTS} training clips in a row cannot be used, the last one because: {reason}")

    def _in_quiet(self, number: int, rng: np.random.Generator) -> InQuiet:
        if not self.faces:
            speech = self._decoded.speech(number)
            spare = len(speech) - self.length
            return InQuiet(looped(speech, self.length, int(rng.integers(spare + 1)) if spare > 0 else 0), UNSEEN)
        speech, video = self._decoded.both(number)
        if len(video) * VIDEO_FRAME < len(speech) / 2:
            raise MediaError(f"{len(video)} frames of video beside {len(speech) / RATE:.2f} s of speech: under a half")
        spare = min(len(video), len(speech) // VIDEO_FRAME) - self.video_length
        first = int(rng.integers(spare + 1)) if spare > 0 else 0
        clean = looped(speech, self.length, first * VIDEO_FRAME)
        shown = video[np.minimum((first + np.arange(self.video_length)) % _whole(speech), len(video) - 1)]
        return InQuiet(clean, shown)

    def _mixed(self, number: int, rng: np.random.Generator) -> Clip:
        clean, shown = self._in_quiet(number, rng)
        snr_db = float(rng.uniform(self.settings.snr_low_db, self.settings.snr_high_db))
        other = self._noise(number, rng)
        noisy, clean = mix(clean, other, snr_db, int(rng.integers(2**62)))
        peak = np.float32(np.abs(noisy).max())
        return Clip(noisy / peak, clean / peak, shown)

    def _noise(self, number: int, rng: np.random.Generator) -> np.ndarray:
        seed = int(rng.integers(2**62))
        if rng.random() < self.settings.talker_share:
            voice = self._other(number, rng)
            return noise(TALKER, self.length, seed, [looped(voice, self.length, int(rng.integers(len(voice))))])
        kind = self.kinds[int(rng.integers(len(self.kinds)))]
        if kind == "babble":
            return noise(kind, self.length, seed, [self._other(number, rng) for _ in range(BABBLE_VOICES)])
        if kind == RECORDED:
            sound = self._decoded.speech(len(self.samples) + int(rng.integers(len(self.recorded))))
            return noise(kind, self.length, seed, [looped(sound, self.length, int(rng.integers(len(sound))))])
        return noise(kind, self.length, seed)

    def _other(self, number: int, rng: np.random.Generator) -> np.ndarray:
        """A recording of somebody else."""
        while True:
            other = int(rng.integers(len(self.samples)))
            if self.samples[other].speaker != self.samples[number].speaker:
                return self._decoded.speech(other)


def _recording(sample: Sample) -> Recording:
    find = sample.attributes.get("framing") == "scene"
    return Recording(sample.targets["speech"][0], sample.inputs["video"][0], find)


def _stacked(clips: Sequence[Clip] | Sequence[InQuiet]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(np.stack([getattr(c, name) for c in clips])) for name in clips[0]._fields}


def _whole(speech: np.ndarray) -> int:
    """Video frames after which the sound begins again."""
    return max(1, math.ceil(len(speech) / VIDEO_FRAME))
