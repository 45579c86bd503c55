"""Decoded speech and faces of the clips of a corpus: from shards, or from the files each time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import torch

from baselines.shards import Part, Progress, Shard, Shards, starts
from benchmark.errors import MediaError
from benchmark.media import read_audio, since_sound
from benchmark.media.face_video import FPS, SIDE, read_face_video
from benchmark.types import Grey

RATE = 16000
CLIPS = 32
"""Of a shard: about forty megabytes where a clip lasts three seconds."""


class Recording(NamedTuple):
    """Speech with the face that speaks it, or a noise without one."""

    speech: Path
    video: Path | None = None
    find: bool = False
    """The face is looked for in the pictures."""


def read_speech(recording: Recording) -> np.ndarray:
    """`[L]` float32 at 16 kHz."""
    return read_audio(recording.speech, RATE).samples


def read_video(recording: Recording, seconds: float, grey: Grey) -> np.ndarray:
    """Frames `[N, 112, 112]` uint8, 25 a second, from the first sample of the speech on, which is `seconds` long."""
    assert recording.video is not None
    frames = read_face_video(recording.video, recording.find, grey).frames
    together = recording.video == recording.speech
    return since_sound(recording.video, frames, FPS, seconds) if together else frames


class ClipFiles:
    """Decodes a recording whenever it is asked for."""

    def __init__(self, recordings: Sequence[Recording], grey: Grey) -> None:
        self.recordings, self.grey = recordings, grey

    def speech(self, number: int) -> np.ndarray:
        """`[L]` float32; MediaError where it cannot be used."""
        return read_speech(self.recordings[number])

    def both(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Speech and face, of one moment at the start; MediaError where either cannot be used."""
        speech = self.speech(number)
        return speech, read_video(self.recordings[number], len(speech) / RATE, self.grey)


@dataclass(frozen=True)
class ClipMaker:
    """Decodes recordings into a shard.

    Its arrays: `speech` `[samples]` float32 and `video` `[frames, 112, 112]` uint8, one after another, with
    `speech_starts` and `video_starts`, to which the ends are added. What cannot be used is empty there.
    """

    kind: ClassVar[str] = "clips"
    otherwise: ClassVar[str] = ", or decode clips whenever they are drawn (`--set training.shards=false`)"

    grey: Grey

    def __call__(self, content: tuple[Recording, ...]) -> Shard:
        speech: list[np.ndarray] = []
        video: list[np.ndarray] = []
        faults: dict[str, dict[str, str]] = {"speech": {}, "video": {}}
        for number, recording in enumerate(content):
            kind, sound, frames = "speech", np.zeros(0, np.float32), np.zeros((0, SIDE, SIDE), np.uint8)
            try:
                sound = read_speech(recording)
                if recording.video is not None:
                    kind = "video"
                    frames = read_video(recording, len(sound) / RATE, self.grey)
            except MediaError as error:
                faults[kind][str(number)] = str(error)
            speech.append(sound)
            video.append(frames)
        arrays = {
            "speech": torch.from_numpy(np.concatenate(speech)),
            "speech_starts": starts(speech),
            "video": torch.from_numpy(np.concatenate(video)),
            "video_starts": starts(video),
        }
        return Shard(arrays, faults)


class ClipShards:
    """Decodes all recordings once, and reads them from shards; otherwise as `ClipFiles`."""

    def __init__(self, recordings: Sequence[Recording], grey: Grey, progress: Progress | None = None) -> None:
        groups = [tuple(recordings[first : first + CLIPS]) for first in range(0, len(recordings), CLIPS)]
        parts = [Part(group, tuple(_files(group)), len(group)) for group in groups]
        self._shards = Shards(ClipMaker(grey), parts, "clips", progress)

    def speech(self, number: int) -> np.ndarray:
        return self._take("speech", number)

    def both(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        return self._take("speech", number), self._take("video", number)

    def _take(self, kind: str, number: int) -> np.ndarray:
        shard, own = divmod(number, CLIPS)
        if fault := self._shards.about[shard][kind].get(str(own)):
            raise MediaError(fault)
        arrays = self._shards[shard]
        start, end = arrays[f"{kind}_starts"][own : own + 2].tolist()
        return arrays[kind][start:end].numpy()


def _files(group: Sequence[Recording]) -> list[Path]:
    return [path for recording in group for path in (recording.speech, recording.video) if path is not None]
