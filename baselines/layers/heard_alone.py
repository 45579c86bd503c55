"""Methods of enhancement that take the sound and leave the face alone."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from baselines.method import Method
from benchmark.errors import MethodError
from benchmark.types import Audio, Example

RATE = 16_000


class HeardAlone(Method):
    """Makes every output from the noisy speech of its example, and from nothing else."""

    task: ClassVar[str] = "av_enhancement"
    further_tasks: ClassVar[tuple[str, ...]] = ("av_separation", "lip2speech")
    hears: ClassVar[tuple[str, ...] | None] = ("noisy",)

    @abstractmethod
    def enhance(self, noisy: np.ndarray) -> np.ndarray:
        """Enhance finite speech at 16 kHz: `[T]` float32 -> `[T]`."""

    def generate(self, examples: Sequence[Example]) -> list[np.ndarray | Exception]:
        """Enhanced speech `[T]` float32, as long as the noisy; MethodError where that cannot be used."""
        outputs: list[np.ndarray | Exception] = []
        for example in examples:
            try:
                outputs.append(self.enhance(_usable(example.inputs.get("noisy"))).astype(np.float32))
            except MethodError as error:
                outputs.append(error)
        return outputs


def _usable(audio: Audio | None) -> np.ndarray:
    if audio is None:
        raise MethodError("there is no noise in this sample, and so nothing to enhance")
    noisy = np.asarray(audio.samples, np.float32)
    if audio.rate != RATE or noisy.ndim != 1:
        raise MethodError(f"Expected mono speech [T] at {RATE} Hz, got {list(noisy.shape)} at {audio.rate} Hz")
    if not len(noisy):
        raise MethodError("Expected noisy speech, got no samples")
    if not np.isfinite(noisy).all():
        raise MethodError("Expected finite samples, the noisy speech has NaN or infinity")
    return noisy
