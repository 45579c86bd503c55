"""Training clips: mouths with the speech that belongs to them, from shards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from baselines.shards import Part, Progress, Shard, Shards, starts
from benchmark.errors import MediaError, MissingDataset
from benchmark.media import decoded_frames, pictures_on_screen, read_audio, regular_file, since_sound
from benchmark.media.face_video import FPS
from benchmark.media.mouth_video import SIDE, read_mouth_video
from benchmark.types import Grey, Sample

RATE = 16_000
FRAME = RATE // FPS
"""Samples of a video frame."""
CLIPS = 32
"""Of a shard: about twenty megabytes where a clip lasts two seconds."""

Phonemes = Sequence[tuple[str, float]]
"""IPA letters and the start in seconds of each, in order from 0 on; empty letters are silence."""


class Clips(Protocol):
    """Clips, in an order that stays."""

    def __len__(self) -> int: ...

    def mouth(self, number: int) -> Tensor:
        """`[N, 96, 96]` uint8, 25 a second."""

    def speech(self, number: int) -> Tensor:
        """`[640 N]` float32 at 16 kHz, of the same time."""

    def speaker(self, number: int) -> str: ...

    def phonemes(self, number: int) -> Phonemes | None:
        """None where they are not known."""


class ShardClips:
    """The clips of a split of `lip2speech`, decoded once, into shards.

    A recording whose speech or video cannot be used is left out and told in `problems`.

    Args:
        cut: the mouths, which takes most of the time. Otherwise `mouth` has no pixels, `[N, 0, 0]`: enough for who has
            features of them.

    Raises:
        MissingDataset: no clip that can be used.
        PrerequisiteError: the shards cannot be written.
    """

    def __init__(
        self, samples: Sequence[Sample], grey: Grey = "luma", progress: Progress | None = None, cut: bool = True
    ) -> None:
        # rows differ in their noise, too, where the same recording comes several times
        rows = list({(s.targets["speech"][0], s.inputs["video"][0]): s for s in samples}.values())
        recordings = [Recording(s.targets["speech"][0], s.inputs["video"][0]) for s in rows]
        groups = [tuple(recordings[first : first + CLIPS]) for first in range(0, len(recordings), CLIPS)]
        parts = [Part(group, tuple(path for one in group for path in one), len(group)) for group in groups]
        self.maker = ClipMaker(grey, cut)
        self._shards = Shards(self.maker, parts, "clips", progress)
        faults: Mapping[int, str] = {
            CLIPS * shard + int(own): fault
            for shard, about in enumerate(self._shards.about)
            for own, fault in about["faults"].items()
        }
        self.problems = tuple(f"{rows[number].id}: {fault}" for number, fault in faults.items())
        self._numbers = [number for number in range(len(rows)) if number not in faults]
        self._rows = [rows[number] for number in self._numbers]
        self._recordings = [recordings[number] for number in self._numbers]
        if not rows:
            raise MissingDataset("No recordings with video in the split: expected one of lip2speech")
        if not self._rows:
            raise MissingDataset(f"None of the split's {len(rows)} recordings can be used; {self.problems[0]}")

    def __len__(self) -> int:
        return len(self._rows)

    def mouth(self, number: int) -> Tensor:
        return self._take("mouth", number)

    def speech(self, number: int) -> Tensor:
        return self._take("speech", number)

    def id(self, number: int) -> str:
        """Of the sample."""
        return self._rows[number].id

    def recording(self, number: int) -> Recording:
        return self._recordings[number]

    def speaker(self, number: int) -> str:
        return self._rows[number].speaker

    def phonemes(self, number: int) -> Phonemes | None:
        return self._rows[number].attributes.get("phonemes")

    def _take(self, kind: str, number: int) -> Tensor:
        shard, own = divmod(self._numbers[number], CLIPS)
        arrays = self._shards[shard]
        start, end = arrays[f"{kind}_starts"][own : own + 2].tolist()
        return arrays[kind][start:end]


class Recording(NamedTuple):
    """Speech with the video of who speaks it."""

    speech: Path
    video: Path


@dataclass(frozen=True)
class ClipMaker:
    """Decodes recordings into a shard.

    Its arrays: `speech` `[samples]` float32 and `mouth` `[frames, 96, 96]` uint8, `[frames, 0, 0]` where none is cut,
    one clip after another, with `speech_starts` and `mouth_starts`, to which the ends are added. A recording that
    cannot be used is empty there.
    """

    kind: ClassVar[str] = "mouths"
    otherwise: ClassVar[str] = ""

    grey: Grey
    cut: bool = True

    def __call__(self, content: tuple[Recording, ...]) -> Shard:
        speech: list[np.ndarray] = []
        mouth: list[np.ndarray] = []
        faults: dict[str, str] = {}
        side = SIDE if self.cut else 0
        for number, recording in enumerate(content):
            sound, frames = np.zeros(0, np.float32), np.zeros((0, side, side), np.uint8)
            try:
                sound, frames = _both(recording, self.grey, self.cut)
            except MediaError as error:
                faults[str(number)] = str(error)
            speech.append(sound)
            mouth.append(frames)
        arrays = {
            "speech": torch.from_numpy(np.concatenate(speech)),
            "speech_starts": starts(speech),
            "mouth": torch.from_numpy(np.concatenate(mouth)),
            "mouth_starts": starts(mouth),
        }
        return Shard(arrays, {"faults": faults})


def _both(recording: Recording, grey: Grey, cut: bool) -> tuple[np.ndarray, np.ndarray]:
    """Speech and mouth from one moment on, both to the end of the shorter: `[640 N]` float32, `[N, 96, 96]` uint8, or
    without pixels.
    """
    sound = read_audio(recording.speech, RATE).samples
    if cut:
        frames = read_mouth_video(recording.video, grey).frames
    else:
        frames = np.zeros((_pictures(recording.video), 0, 0), np.uint8)
    if recording.video == recording.speech:
        frames = since_sound(recording.video, frames, FPS, len(sound) / RATE)
    count = min(len(frames), len(sound) // FRAME)
    if not count:
        raise MediaError(f"{recording.speech}: {len(sound) / RATE:.3f} s of speech, expected a video frame at least")
    return sound[: count * FRAME], frames[:count]


def _pictures(path: Path) -> int:
    """How many pictures a video shows at 25 a second: as many as `read_mouth_video` cuts mouths."""
    timing, decoded = decoded_frames(regular_file(path))
    times = np.array([time for time, _ in decoded])
    if not len(times):
        raise MediaError(f"{path}: no picture of the video could be decoded")
    return len(pictures_on_screen(path, times, timing, FPS))
