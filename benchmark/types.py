"""The nouns of the harness: what is evaluated, what a method is given, what it returns."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np


class Audio(NamedTuple):
    """Mono sound.

    Shape:
        samples: `[T]`, float32, full scale is 1.0
    """

    samples: np.ndarray
    rate: int

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.rate


Grey = Literal["luma", "opencv"]
"""How colours become grey: the codec's luma, or `benchmark.media.opencv_grey` of the decoded colours."""


class FaceVideo(NamedTuple):
    """A talking face, cropped.

    Shape:
        frames: `[N, 112, 112]` uint8 grey, 25 a second
    """

    frames: np.ndarray
    without_face: int = 0
    """Frames in which no face was found; they show where the nearest ones had theirs, or the middle of the picture."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One row of a manifest. Media are paths; nothing is opened here."""

    id: str
    """Unique in its dataset and split."""
    speaker: str
    """The person: the statistical cluster, and the label in retrieval."""
    inputs: Mapping[str, tuple[Path, ...]]
    """Field of the task (`speech`) to the files that may feed it."""
    targets: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    """Field of the task (`face`) to the true files. Withheld from methods that do not declare `uses_targets`."""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    """What is known of the speaker: `sex` ("f" or "m"), `age` (years), landmarks, traits."""

    def without_targets(self) -> Sample:
        """The sample as a method may see it: without the truth, and without what the truth was mixed with."""
        inputs = {name: paths for name, paths in self.inputs.items() if name != "noise"}
        return replace(self, inputs=inputs, targets={}, attributes={})


@dataclass(frozen=True)
class Example:
    """What a method is given: one sample, one repeat, its inputs opened and cropped by the task's protocol."""

    sample: Sample
    repeat: int
    seed: int
    """Seed of everything random in this one output; a hash of weights, sample, run seed and repeat."""
    inputs: Mapping[str, Any]
    """By the task: `speech`; or `noisy`, `video` and `decoy`. See `benchmark.tasks`."""
    truth: Any = None
    """What a perfect method would return, where that is made of several files. Withheld like the targets."""

    @property
    def key(self) -> tuple[str, int]:
        return self.sample.id, self.repeat


def derive_seed(*parts: object) -> int:
    """Hash anything printable into a seed below 2**63, the same on every machine.

    >>> derive_seed("sf2f", "id_0001", 0, 3) == derive_seed("sf2f", "id_0001", 0, 3)
    True
    """
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
