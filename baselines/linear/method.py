"""Ridge regression from a voice to a face, fitted to a training split in seconds."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from baselines.layers import ridge
from baselines.linear.statistics import bands, statistics
from baselines.method import Method
from baselines.reference import portrait, portraits_by_person
from benchmark.errors import InvalidConfig, MediaError, MethodError, MissingDataset
from benchmark.media import read_audio
from benchmark.types import Example

RATE = 16_000
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Config:
    """Size of the picture, and how much of a large training split is read."""

    resolution: int = 64
    """Height and width of the output, in pixels."""
    people: int = 4_000
    """At most so many people, drawn at random but always the same ones."""
    recordings: int = 8
    """At most so many recordings of each."""
    portraits: int = 8
    """At most so many portraits of each."""

    def __post_init__(self) -> None:
        if not 8 <= self.resolution <= 256:
            raise InvalidConfig(f"resolution = {self.resolution}; expected 8 to 256: each pixel is fitted by itself")
        if self.people < 2:
            raise InvalidConfig(f"people = {self.people}; expected 2 or more")
        for name in ("recordings", "portraits"):
            if getattr(self, name) < 1:
                raise InvalidConfig(f"{name} = {getattr(self, name)}; expected 1 or more")


class Linear(Method):
    """Statistics of the speech to the person's mean picture: what a network that hears a voice has to beat.

    Fitted anew in each run to the training split of the run's dataset. Ridge strength by leave-one-person-out error.
    """

    name: ClassVar[str] = "linear"
    task: ClassVar[str] = "speech2face"
    title: ClassVar[str] = "floor: ridge regression from the speech's statistics"
    Config: ClassVar[type] = Config
    uses_training_split: ClassVar[bool] = True
    training_inputs: ClassVar[tuple[str, ...]] = ("speech",)
    config: Config

    def load(self, device: str) -> None:
        """Read the training people and fit.

        Raises:
            MissingDataset: no training split, or fewer than two people with both a usable recording and a portrait.
        """
        x, y = self._read()
        self._centre, deviation = x.mean(axis=0), x.std(axis=0)
        self._scale = np.where(deviation > 0, deviation, 1.0)
        self._map = ridge.fit((x - self._centre) / self._scale, y)

    def generate(self, examples: Sequence[Example]) -> list[np.ndarray | Exception]:
        """Faces `[R, R, 3]` uint8; MethodError where the speech cannot be used."""
        return [self._draw(example) for example in examples]

    def close(self) -> None:
        del self._map

    def _draw(self, example: Example) -> np.ndarray | Exception:
        try:
            heard = statistics([bands(example.inputs["speech"])])
        except MethodError as error:
            return error
        pixels = self._map((heard - self._centre) / self._scale)
        side = self.config.resolution
        return np.rint(pixels.clip(0, 255)).astype(np.uint8).reshape(side, side, 3)

    def _read(self) -> tuple[np.ndarray, np.ndarray]:
        """Statistics `[N, 440]` and mean pictures `[N, R * R * 3]`, in bytes so that thousands of people are little."""
        portraits = portraits_by_person(self.training, self.name)
        recordings: dict[str, set[Path]] = {}
        for sample in self.training:
            recordings.setdefault(sample.speaker, set()).update(sample.inputs.get("speech", ()))
        names = [name for name in portraits if recordings[name]]
        random = np.random.default_rng(0)
        names = [names[index] for index in _some(len(names), self.config.people, random)]
        if len(names) < len(portraits):
            _log.info("'%s' is fitted to %d of %d training people", self.name, len(names), len(portraits))
        jobs = []
        for name in names:
            spoken, seen = sorted(recordings[name]), portraits[name]
            jobs.append(
                (
                    [spoken[index] for index in _some(len(spoken), self.config.recordings, random)],
                    [seen[index] for index in _some(len(seen), self.config.portraits, random)],
                )
            )
        problems: list[str] = []
        heard, faces = [], []
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            for numbers, face, lines in pool.map(self._person, jobs):
                problems += lines
                if numbers is not None and face is not None:
                    heard.append(numbers)
                    faces.append(face)
        if len(heard) < 2:
            raise MissingDataset(
                f"'{self.name}' needs 2 or more training people with both a usable recording and a usable portrait; "
                f"of {len(portraits)} there are {len(heard)}" + (f": {problems[0]}" if problems else "")
            )
        if problems:
            _log.warning("%d training files are left out of '%s': %s", len(problems), self.name, problems[0])
        return np.stack(heard), np.stack(faces)

    def _person(self, files: tuple[list[Path], list[Path]]) -> tuple[np.ndarray | None, np.ndarray | None, list[str]]:
        problems, voices, faces = [], [], []
        for path in files[0]:
            try:
                voices.append(bands(read_audio(path, RATE)))
            except (MediaError, MethodError) as error:
                problems.append(f"{path}: {error}")
        for path in files[1]:
            face = portrait(path, self.config.resolution)
            if isinstance(face, Exception):
                problems.append(str(face))
            else:
                faces.append(face)
        numbers = statistics(voices) if voices else None
        mean = np.rint(np.mean(faces, axis=0)).astype(np.uint8).reshape(-1) if faces else None
        return numbers, mean, problems


def _some(count: int, limit: int, random: np.random.Generator) -> list[int]:
    """Positions of at most `limit` of `count`, in order."""
    return sorted(random.permutation(count)[:limit].tolist())
