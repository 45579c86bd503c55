"""Floors and ceilings of `speech2face`: what a face scores when nothing, or everything, is known of the speaker.

None of them hears the speech. Portraits are resized as SF2F resizes its data (to a square, without a crop).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from baselines.method import Method
from benchmark.errors import InvalidConfig, MediaError, MethodError, MissingDataset
from benchmark.media import read_image
from benchmark.types import Example, Sample

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReferenceConfig:
    """Settings of every reference row."""

    resolution: int = 64
    """Height and width of the output, in pixels: that of the methods it stands beside."""

    def __post_init__(self) -> None:
        if not 8 <= self.resolution <= 1024:
            raise InvalidConfig(f"resolution = {self.resolution}; expected 8 to 1024")


class Chance(Method):
    """A portrait of a random person of the training split."""

    name = "chance"
    task = "speech2face"
    title = "floor: a face of the training split at random"
    Config = ReferenceConfig
    uses_training_split = True

    def load(self, device: str) -> None:
        """List the training portraits by person."""
        self._people = list(portraits_by_person(self.training, self.name).values())

    def generate(self, examples: Sequence[Example]) -> list[np.ndarray | Exception]:
        """Draw a person, then a portrait of theirs, by `example.seed`: `[R, R, 3]` uint8."""
        return [self._draw(example) for example in examples]

    def _draw(self, example: Example) -> np.ndarray | Exception:
        random = np.random.default_rng(example.seed)
        portraits = self._people[random.integers(len(self._people))]
        return portrait(portraits[random.integers(len(portraits))], self.config.resolution)


class MeanFace(Method):
    """The pixel mean of the training portraits; each person weighs equally, however many portraits there are."""

    name = "mean_face"
    task = "speech2face"
    title = "floor: mean of the training faces"
    Config = ReferenceConfig
    uses_training_split = True

    def load(self, device: str) -> None:
        """Read every training portrait once.

        Raises:
            MissingDataset: no training split, or none of its portraits can be read.
        """
        people = portraits_by_person(self.training, self.name)
        self._face = _mean_face(people.values(), self.config.resolution)

    def generate(self, examples: Sequence[Example]) -> list[np.ndarray | Exception]:
        """Give the same `[R, R, 3]` uint8 face to every speaker."""
        return [self._face.copy() for _ in examples]


class MeanFaceBySex(MeanFace):
    """The mean training face of the speaker's sex: what a method reaches that hears the sex and nothing else."""

    name = "mean_face_by_sex"
    title = "floor: mean training face of the true sex"
    uses_targets = True

    def load(self, device: str) -> None:
        """Read every training portrait of a person of known sex once.

        Raises:
            MissingDataset: no training split, no sex in its attributes, or none of its portraits can be read.
        """
        self._faces: dict[str, np.ndarray] = {}
        for sex in ("f", "m"):
            group = [sample for sample in self.training if sample.attributes.get("sex") == sex]
            if group:
                self._faces[sex] = _mean_face(portraits_by_person(group, self.name).values(), self.config.resolution)
        if not self._faces:
            portraits_by_person(self.training, self.name)  # says so where there is no training split at all
            raise MissingDataset(
                f"'{self.name}' needs the sex of the people of the training split, and none is recorded"
            )

    def generate(self, examples: Sequence[Example]) -> list[np.ndarray | Exception]:
        """Give each speaker the `[R, R, 3]` uint8 mean face of their sex."""
        return [self._face_of(example.sample) for example in examples]

    def _face_of(self, sample: Sample) -> np.ndarray | Exception:
        sex = sample.attributes.get("sex")
        if sex in self._faces:
            return self._faces[sex].copy()
        if sex is None:
            return MethodError(
                f"Sample '{sample.id}': the speaker's sex is not recorded, so no mean face can be chosen"
            )
        known = ", ".join(map(repr, self._faces))
        return MethodError(f"Sample '{sample.id}': the training split has nobody of sex {sex!r}, only {known}")


class GroundTruth(Method):
    """A true portrait of the speaker: the ceiling that any other method can be compared with."""

    name = "ground_truth"
    task = "speech2face"
    title = "ceiling: a true face of the speaker"
    Config = ReferenceConfig
    uses_targets = True

    def load(self, device: str) -> None:
        """Need nothing."""

    def generate(self, examples: Sequence[Example]) -> list[np.ndarray | Exception]:
        """Give portrait number `repeat` of the speaker, counting round: `[R, R, 3]` uint8."""
        return [self._portrait_of(example) for example in examples]

    def _portrait_of(self, example: Example) -> np.ndarray | Exception:
        portraits = example.sample.targets.get("face", ())
        if not portraits:
            return MethodError(f"Sample '{example.sample.id}' has no portrait to hand through")
        return portrait(portraits[example.repeat % len(portraits)], self.config.resolution)


def portraits_by_person(samples: Iterable[Sample], method: str) -> Mapping[str, tuple[Path, ...]]:
    """Each person's distinct portraits, persons in order of name, so that the order of the samples changes nothing."""
    people: dict[str, set[Path]] = {}
    for sample in samples:
        people.setdefault(sample.speaker, set()).update(sample.targets.get("face", ()))
    found = {speaker: tuple(sorted(people[speaker])) for speaker in sorted(people) if people[speaker]}
    if not found:
        raise MissingDataset(f"'{method}' is made from the portraits of a training split, and this dataset has none")
    return found


def _mean_face(people: Iterable[Sequence[Path]], resolution: int) -> np.ndarray:
    """Mean over persons of the mean over their portraits, `[R, R, 3]` uint8."""
    total = np.zeros((resolution, resolution, 3))
    count = 0
    unreadable: list[Exception] = []
    for portraits in people:
        faces = [portrait(path, resolution) for path in portraits]
        unreadable += [face for face in faces if isinstance(face, Exception)]
        readable = [face for face in faces if isinstance(face, np.ndarray)]
        if readable:
            total += np.mean(readable, axis=0, dtype=np.float64)
            count += 1
    if not count:
        raise MissingDataset(f"None of the {len(unreadable)} training portraits can be read: {unreadable[0]}")
    if unreadable:
        _log.warning("%d training portraits are left out of the mean face: %s", len(unreadable), unreadable[0])
    return np.rint(total / count).astype(np.uint8)


def portrait(path: Path, resolution: int) -> np.ndarray | Exception:
    """A picture resized with antialiasing; a picture that cannot be read comes back as the error to record."""
    try:
        image = read_image(path)
    except MediaError as error:
        return MethodError(str(error))
    if image.shape[:2] == (resolution, resolution):
        return image
    return np.array(Image.fromarray(image).resize((resolution, resolution), Image.Resampling.BILINEAR))
