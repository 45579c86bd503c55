"""From recordings to what the denoiser learns from: log-mels, speaker embeddings, and what is seen of the lips."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from baselines.lipdiffuser.clips import Clips
from baselines.lipdiffuser.mel import RATE, Framing, LogMel
from baselines.lipdiffuser.speaker import SpeakerEncoder
from baselines.lipdiffuser.utterances import Utterances
from baselines.shards import Progress
from benchmark.errors import MediaError, MethodError, MissingDataset
from benchmark.media import read_audio
from benchmark.types import Sample

KEPT_BYTES = 4 * 2**30
"""Log-mels that are kept in memory; what is beyond is made again whenever it is drawn."""
VOICES = 64
"""Recordings that are embedded together."""


class Mels(Sequence[Tensor]):
    """Log-mels `[80, F]` of recordings, made when they are asked for and kept as float16 while there is room.

    Args:
        read: the samples `[T]` of a recording, by its number.
    """

    def __init__(self, read: Callable[[int], Tensor | np.ndarray], count: int, framing: Framing) -> None:
        self._read, self._count, self._log_mel = read, count, LogMel(framing)
        self._kept: dict[int, Tensor] = {}
        self._room = KEPT_BYTES

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: int) -> Tensor:  # type: ignore[override]
        if number not in self._kept:
            samples = torch.as_tensor(self._read(number), dtype=torch.float32)
            mel = self._log_mel(samples[None])[0].half()
            if self._room < mel.nbytes:
                return mel
            self._kept[number] = mel
            self._room -= mel.nbytes
        return self._kept[number]


class Chosen(Sequence[Tensor]):
    """Some of a sequence, by their numbers, each taken from it when it is asked for."""

    def __init__(self, whole: Sequence[Tensor], numbers: Sequence[int]) -> None:
        self._whole, self._numbers = whole, numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, number: int) -> Tensor:  # type: ignore[override]
        return self._whole[self._numbers[number]]


class Voices:
    """Speaker embeddings of all recordings of a split: of targets and of enrolments.

    Recordings that cannot be used are told in `problems`.

    Raises:
        MissingDataset: none can be used.
    """

    def __init__(self, samples: Sequence[Sample], encoder: SpeakerEncoder, progress: Progress | None = None) -> None:
        speakers: dict[Path, str] = {}
        for sample in samples:
            for path in (*sample.targets.get("speech", ()), *sample.inputs.get("enrolment", ())):
                speakers.setdefault(path, sample.speaker)
        if not speakers:
            raise MissingDataset("No speech in the split: expected one of lip2speech")
        problems, embedded = [], {}
        paths = list(speakers)
        for first in range(0, len(paths), VOICES):
            read: dict[Path, np.ndarray] = {}
            for path in paths[first : first + VOICES]:
                try:
                    read[path] = read_audio(path, RATE).samples
                except MediaError as error:
                    problems.append(str(error))
            for path, voice in _embedded(encoder, read).items():
                if isinstance(voice, MethodError):
                    problems.append(f"{path}: {voice}")
                else:
                    embedded[path] = voice
            if progress:
                progress(min(first + VOICES, len(paths)), len(paths), "voices")
        self.problems = tuple(problems)
        if not embedded:
            raise MissingDataset(f"None of the split's {len(paths)} recordings can be used; {problems[0]}")
        self.paths = list(embedded)
        self.speakers = [speakers[path] for path in self.paths]
        self.vectors = torch.stack(list(embedded.values()))

    def utterances(self, framing: Framing) -> Utterances:
        """All of these recordings, without video."""
        mels = Mels(lambda number: read_audio(self.paths[number], RATE).samples, len(self.paths), framing)
        return Utterances(mels, self.speakers, self.vectors, self.speakers, framing=framing)


def seen_utterances(
    clips: Clips,
    seen: Sequence[Tensor],
    voices: Tensor,
    voice_speakers: Sequence[str],
    framing: Framing,
    unseen: Container[int] = (),
) -> Utterances:
    """The clips of speakers with a voice, with what is seen of each, but for those that nothing is seen of."""
    known = set(voice_speakers)
    own = [number for number in range(len(clips)) if clips.speaker(number) in known and number not in unseen]
    mels = Mels(lambda number: clips.speech(own[number]), len(own), framing)
    speakers = [clips.speaker(number) for number in own]
    return Utterances(mels, speakers, voices, voice_speakers, Chosen(seen, own), framing)


def _embedded(encoder: SpeakerEncoder, read: Mapping[Path, np.ndarray]) -> dict[Path, Tensor | MethodError]:
    """All together, or one by one where one of them cannot be used."""
    try:
        return dict(zip(read, encoder.embed(list(read.values())), strict=True)) if read else {}
    except MethodError as error:
        if len(read) == 1:
            return dict.fromkeys(read, error)
    found: dict[Path, Tensor | MethodError] = {}
    for path, samples in read.items():
        found |= _embedded(encoder, {path: samples})
    return found
