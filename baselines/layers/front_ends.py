"""What two papers' front-ends make of a whole recording, by name: `benchmark.registry.front_ends`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from baselines.layers.log_filter_banks import DEVIATION, MEAN, log_filter_banks
from baselines.layers.sphinx_mel import lengthened, normalised, sphinx_mel
from baselines.layers.vad import SF2F_VAD, VOICE2FACE_VAD, VoiceActivity


@dataclass(frozen=True)
class FrontEnd:
    """From samples at 16 kHz to what the authors' own code keeps on disk."""

    vad: VoiceActivity
    energies: Callable[[torch.Tensor], torch.Tensor]

    def without_pauses(self, samples: np.ndarray) -> np.ndarray:
        """The voiced parts, joined; empty where nothing is voiced. Shape: `[T]` float32 -> `[T']`, T' <= T"""
        return self.vad(samples)

    def log_mel(self, samples: np.ndarray) -> np.ndarray:
        """Log-mel energies, float32, laid out as on the authors' disks. Shape: see `SF2F` and `VOICE2FACE`"""
        return np.ascontiguousarray(self.energies(torch.from_numpy(samples)).numpy(), np.float32)


def _sf2f(samples: torch.Tensor) -> torch.Tensor:
    return log_filter_banks(samples).double() * DEVIATION + MEAN


def _voice2face(samples: torch.Tensor) -> torch.Tensor:
    return lengthened(normalised(sphinx_mel(samples))).T


SF2F = FrontEnd(SF2F_VAD, _sf2f)
"""`[40, T]`, natural logarithms of energies; SF2F's loader subtracts 10.9915 and divides by 3.1661."""
VOICE2FACE = FrontEnd(VOICE2FACE_VAD, _voice2face)
"""`[T, 64]`, each bin of mean 0 and deviation 1 over the recording, T at least 1000."""
