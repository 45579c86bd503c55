"""The training split in memory: every person's voice features and faces."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmark.errors import MediaError, MissingDataset
from benchmark.media import read_audio, read_image
from benchmark.types import Audio, Sample

RATE = 16000


@dataclass(frozen=True)
class Person:
    """One speaker.

    Shape:
        voices: each `[bins, T]` float32
        faces: `[N, 3, S, S]` uint8
    """

    id: str
    voices: tuple[Tensor, ...]
    faces: Tensor


@dataclass(frozen=True)
class People:
    """The usable speakers, sorted by name: their position is their class in identity classifiers."""

    persons: tuple[Person, ...]
    problems: tuple[str, ...] = ()
    """A line for each file, or person, that was left out."""

    def __len__(self) -> int:
        return len(self.persons)

    def draw(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Positions of `count` persons, each at most once while there are enough."""
        return rng.choice(len(self.persons), count, replace=count > len(self.persons))

    def faces(self, who: np.ndarray, rng: np.random.Generator) -> Tensor:
        """One random face for each: `[B, 3, S, S]` uint8."""
        chosen = [self.persons[i].faces for i in who]
        return torch.stack([faces[rng.integers(len(faces))] for faces in chosen])

    def mean_faces(self, who: np.ndarray) -> Tensor:
        """The mean of each one's faces: `[B, 3, S, S]` float32, 0 to 255."""
        return torch.stack([self.persons[i].faces.float().mean(0) for i in who])

    def crops(self, who: np.ndarray, rng: np.random.Generator, frames: int, padding: float = 0.0) -> Tensor:
        """A random crop of a random recording for each, filled up with `padding`: `[B, bins, frames]`."""
        return torch.stack([crop(self._voice(i, rng), frames, rng, padding) for i in who])

    def long_crops(self, who: np.ndarray, rng: np.random.Generator, frames: int) -> Tensor:
        """All of a person's recordings in random order, joined, repeated as needed, cropped: `[B, bins, frames]`."""
        return torch.stack([self._joined(i, rng, frames) for i in who])

    def segments(self, who: np.ndarray, rng: np.random.Generator, count: int, frames: int) -> Tensor:
        """`count` pieces of `frames` for each person: `[B, count, bins, frames]`.

        A person's recordings in random order; pieces follow one another from a random frame of each recording on.
        Recordings without room for that are left out, or joined where a person has no others.
        """
        return torch.stack([self._pieces(i, rng, count, frames) for i in who])

    def _pieces(self, index: int, rng: np.random.Generator, count: int, frames: int) -> Tensor:
        voices = [voice for voice in self.persons[index].voices if voice.shape[1] > frames]
        voices = voices or [self._joined(index, rng, frames + 1)]
        parts: list[Tensor] = []
        while len(parts) < count:
            for position in rng.permutation(len(voices)):
                start = int(rng.integers(voices[position].shape[1] - frames))
                parts += voices[position][:, start:].unfold(1, frames, frames).transpose(0, 1)
        return torch.stack(parts[:count])

    def _voice(self, index: int, rng: np.random.Generator) -> Tensor:
        voices = self.persons[index].voices
        return voices[rng.integers(len(voices))]

    def _joined(self, index: int, rng: np.random.Generator, frames: int) -> Tensor:
        voices = self.persons[index].voices
        parts: list[Tensor] = []
        length = 0
        while length < frames:
            for position in rng.permutation(len(voices)):
                parts.append(voices[position])
                length += voices[position].shape[1]
                if length >= frames:
                    break
        return crop(torch.cat(parts, dim=1), frames, rng)


def crop(voice: Tensor, frames: int, rng: np.random.Generator, padding: float = 0.0) -> Tensor:
    """A random stretch of `frames`, or all of a shorter recording with `padding` after it."""
    spare = voice.shape[1] - frames
    if spare < 0:
        return torch.nn.functional.pad(voice, (0, -spare), value=padding)
    start = int(rng.integers(spare + 1))
    return voice[:, start : start + frames]


def load_people(
    samples: Sequence[Sample],
    features: Callable[[Audio], Tensor] | None,
    resolution: int,
    recordings: int = 0,
    progress: Callable[[int, int, str], None] | None = None,
    resampling: Image.Resampling = Image.Resampling.BICUBIC,
) -> People:
    """Read every recording and face of `samples` and group them by speaker.

    Args:
        features: `[bins, T]` of one recording; raises MediaError where it has nothing to give. None reads no sound.
        resolution: side to which faces are resized.
        recordings: at most so many per person, 0 for all: a large corpus does not fit in memory.
        progress: called as progress(done, total, what).
        resampling: how faces are resized.

    Raises:
        MissingDataset: nobody has both a usable recording and a usable face.
    """
    voices: dict[str, list[Path]] = defaultdict(list)
    faces: dict[str, list[Path]] = defaultdict(list)
    for sample in samples:
        voices[sample.speaker] += sample.inputs.get("speech", ())
        faces[sample.speaker] += sample.targets.get("face", ())

    def load(speaker: str) -> tuple[Person | None, list[str]]:
        problems: list[str] = []
        heard = (
            []
            if features is None
            else _usable(lambda p: features(read_audio(p, RATE)), voices[speaker], recordings, problems)
        )
        seen = _usable(lambda p: _face(p, resolution, resampling), faces[speaker], 0, problems)
        if (features is not None and not heard) or not seen:
            return None, [*problems, f"{speaker}: no usable {'face' if heard or features is None else 'recording'}"]
        return Person(speaker, tuple(heard), torch.stack(seen)), problems

    persons: list[Person] = []
    problems: list[str] = []
    speakers = sorted(voices)
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for done, (person, lines) in enumerate(pool.map(load, speakers), 1):
            problems += lines
            if person is not None:
                persons.append(person)
            if progress is not None:
                progress(done, len(speakers), "people")
    if not persons:
        raise MissingDataset(
            f"None of {len(speakers)} training speakers has both a usable recording and a usable face."
            + "".join(f"\n  {line}" for line in problems[:5])
        )
    return People(tuple(persons), tuple(problems))


def _usable(read: Callable[[Path], Tensor], paths: list[Path], limit: int, problems: list[str]) -> list[Tensor]:
    found: list[Tensor] = []
    for path in dict.fromkeys(paths):
        if limit and len(found) == limit:
            break
        try:
            found.append(read(path))
        except MediaError as error:
            problems.append(f"{path}: {error}")
    return found


def _face(path: Path, resolution: int, resampling: Image.Resampling) -> Tensor:
    picture = Image.fromarray(read_image(path))
    if picture.size != (resolution, resolution):
        picture = picture.resize((resolution, resolution), resampling)
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).contiguous()
