"""Floor and ceiling of speech from noise or from lips: what no work, and perfect work, score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from baselines.method import Method
from benchmark.errors import MethodError
from benchmark.types import Example


@dataclass(frozen=True)
class ReferenceConfig:
    """There is nothing to set."""


class Noisy(Method):
    """The mixture as it is: what a method has to beat."""

    name: ClassVar[str] = "noisy"
    task: ClassVar[str] = "av_enhancement"
    further_tasks: ClassVar[tuple[str, ...]] = ("av_separation", "lip2speech")
    title: ClassVar[str] = "floor: the mixture as it is"
    Config: ClassVar[type] = ReferenceConfig
    hears: ClassVar[tuple[str, ...] | None] = ("noisy",)

    def load(self, device: str) -> None:
        """Need nothing."""

    def generate(self, examples: Sequence[Example]) -> list[np.ndarray | Exception]:
        """Hand the noisy speech through: `[T]` float32."""
        return [
            np.asarray(example.inputs["noisy"].samples, np.float32)
            if "noisy" in example.inputs
            else MethodError("there is no noise in this sample, and so no mixture to hand through")
            for example in examples
        ]


class Clean(Noisy):
    """The clean speech itself: the ceiling of the metrics."""

    name: ClassVar[str] = "clean"
    title: ClassVar[str] = "ceiling: the clean speech"
    uses_targets: ClassVar[bool] = True
    hears: ClassVar[tuple[str, ...] | None] = ()

    def generate(self, examples: Sequence[Example]) -> list[np.ndarray | Exception]:
        """Hand the clean speech through: `[T]` float32."""
        return [
            MethodError("there is no known clean speech to hand through")
            if example.truth is None
            else np.asarray(example.truth.samples, np.float32)
            for example in examples
        ]
