"""The Wiener filter behind the harness's interface."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from baselines.layers.heard_alone import HeardAlone
from baselines.wiener.filter import wiener_filter


@dataclass(frozen=True)
class Config:
    """There is nothing to set: the settings are those of the literature."""


class Wiener(HeardAlone):
    """What signal processing reaches without a face and without training: what a network has to beat."""

    name: ClassVar[str] = "wiener"
    title: ClassVar[str] = "floor: Wiener filter without a face (Ephraim and Malah 1984)"
    Config: ClassVar[type] = Config

    def load(self, device: str) -> None:
        """Need nothing."""

    def enhance(self, noisy: np.ndarray) -> np.ndarray:
        """`[T]` float32 -> `[T]`."""
        return wiener_filter(noisy)
