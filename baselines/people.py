"""The people of a training split: each one's voice features and faces, drawn at random."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from baselines.person_shards import Person, PersonMaker, ShardedPersons, parts
from baselines.shards import Shards
from benchmark.errors import MissingDataset
from benchmark.types import Audio, Sample

__all__ = ["People", "Person", "crop", "load_both", "load_people"]


@dataclass(frozen=True)
class People:
    """The usable speakers, sorted by name: their position is their class in identity classifiers."""

    persons: Sequence[Person]
    problems: tuple[str, ...] = ()
    """A line for each file, or person, that was left out."""

    def __len__(self) -> int:
        return len(self.persons)

    @functools.cached_property
    def voice_counts(self) -> np.ndarray:
        """How many recordings each person has, `[people]`."""
        return np.array([len(person.voices) for person in self.persons])

    @functools.cached_property
    def face_counts(self) -> np.ndarray:
        """How many faces each person has, `[people]`."""
        return np.array([len(person.faces) for person in self.persons])

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
    progress: Callable[[int, int, str], object] | None = None,
    resampling: Image.Resampling = Image.Resampling.BICUBIC,
) -> People:
    """Group the recordings and faces of `samples` by speaker; what was not read before is read, and kept in shards.

    Args:
        features: `[bins, T]` float32 of one recording; raises MediaError or MethodError where it has nothing to give. A
            frozen dataclass with the settings that matter as its fields, of a module that worker processes can import.
            None reads no sound.
        resolution: side to which faces are resized.
        recordings: at most so many per person, 0 for all.
        progress: called as progress(done, total, what).
        resampling: how faces are resized.

    Raises:
        MissingDataset: nobody has both a usable recording and a usable face.
        PrerequisiteError: the shards cannot be written.
    """
    made = PersonMaker(features, resolution, recordings, resampling)
    persons = ShardedPersons(Shards(made, list(parts(samples)), "people", progress))
    if not persons:
        speakers = len({sample.speaker for sample in samples})
        raise MissingDataset(
            f"None of {speakers} training speakers has both a usable recording and a usable face."
            + "".join(f"\n  {line}" for line in persons.problems[:5])
        )
    return People(persons, persons.problems)


def load_both(
    samples: Sequence[Sample],
    validation: Sequence[Sample],
    features: Callable[[Audio], Tensor] | None,
    resolution: int,
    recordings: int = 0,
    progress: Callable[[int, int, str], object] | None = None,
    resampling: Image.Resampling = Image.Resampling.BICUBIC,
) -> tuple[People, People | None]:
    """The people to train on, and those to validate by, where there are any, with one recording each."""
    training = load_people(samples, features, resolution, recordings, progress, resampling)
    return training, load_people(validation, features, resolution, 1, resampling=resampling) if validation else None
