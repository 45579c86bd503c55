"""The ceiling on Talkers: the best guess of a face by one who knows the voice's traits exactly.

Linked traits of the face take their conditional mean, LINK times the voice's trait; the others, which the voice does
not tell, take their mean given sex and age. A method that hears the voice can come near it. It is a ceiling of
likeness: a method taught by the very network that judges may pass it there, since it draws what that network looks at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from baselines.method import Method
from benchmark.datasets.talkers.identity import LINK, LINKED, FaceTraits, Person, VoiceTraits
from benchmark.errors import InvalidConfig, MethodError
from benchmark.types import Example, Sample

_AVERAGE = "average_2451"
"""The details of a face that hang on the id alone (cheeks, arch of the brows, freckles) are ordinary for this one."""


@dataclass(frozen=True)
class OracleConfig:
    """Settings of the ceiling."""

    resolution: int = 64
    """Height and width of the output, in pixels."""

    def __post_init__(self) -> None:
        if not 16 <= self.resolution <= 512:
            raise InvalidConfig(f"resolution = {self.resolution}; expected 16 to 512")


class Oracle(Method):
    """The face that sex, age and the true traits of the voice lead to expect."""

    name = "talkers_oracle"
    task = "speech2face"
    title = "ceiling on Talkers: best face from the true voice traits"
    Config = OracleConfig
    uses_targets = True

    def load(self, device: str) -> None:
        """Nothing to load: it draws."""

    def generate(self, examples: Sequence[Example]) -> list[np.ndarray | Exception]:
        """Draw the expected face of each speaker, frontal and neutral: `[R, R, 3]` uint8."""
        return [self._draw(example.sample) for example in examples]

    def _draw(self, sample: Sample) -> np.ndarray | Exception:
        try:
            sex, age, voice = known(sample)
        except MethodError as error:
            return error
        return _portrait(expected(sex, age, voice), self.config.resolution).copy()


def known(sample: Sample) -> tuple[str, float, VoiceTraits]:
    """Sex, age and the voice's traits of a Talkers sample.

    Raises:
        MethodError: the sample lacks them.
    """
    about = sample.attributes
    try:
        voice = about["voice"]
        if about["sex"] not in ("f", "m") or not isinstance(voice, Mapping):
            raise ValueError(f"sex {about['sex']!r}, voice {voice!r}")
        return about["sex"], float(about["age"]), VoiceTraits(**_numbers(voice))
    except (KeyError, TypeError, ValueError) as error:
        raise MethodError(
            "talkers_oracle knows only samples of Talkers, with sex, age and voice traits; "
            f"'{sample.id}' lacks them ({error})"
        ) from error


def expected(sex: str, age: float, voice: VoiceTraits) -> Person:
    """The person whose face has every trait at its mean given sex, age and voice."""
    face = FaceTraits(
        **{trait: LINK * sign * getattr(voice, source) for trait, (source, sign) in LINKED.items()},
        skin_tone=0.5,
        skin_warmth=0.0,
        hair_melanin=0.5,
        hair_redness=1 / 5,  # mean of u**4
        hair_length=0.5,
        hairline=_mean_hairline(sex, age),
        beard=0.5 / 2.2 if sex == "m" else 0.0,  # mean of clip(2.2 u - 1.2, 0, 1): a triangle of height 1
        eye_colour=0.5,
    )
    return Person(_AVERAGE, sex, age, voice, face)


def _mean_hairline(sex: str, age: float) -> float:
    """Mean of clip(c u, 0, 1) for u uniform in 0 to 1, where c grows with a man's age."""
    c = 0.5 + (0.6 * (age - 25) / 55 if sex == "m" else 0.0)
    return c / 2 if c <= 1 else 1 - 1 / (2 * c)


def _numbers(voice: Mapping[str, Any]) -> dict[str, float]:
    numbers = {name: float(value) for name, value in voice.items()}
    if not np.isfinite(list(numbers.values())).all():
        raise ValueError("a voice trait is not finite")
    return numbers


@lru_cache(maxsize=256)
def _portrait(person: Person, resolution: int) -> np.ndarray:
    from benchmark.datasets.talkers.face import View, portrait

    # drawn at twice the size and halved, as the true portraits are when they are compared at 64 pixels
    large = portrait(person, View(), 2 * resolution).image.astype(np.float32)
    return np.rint(large.reshape(resolution, 2, resolution, 2, 3).mean(axis=(1, 3))).astype(np.uint8)
