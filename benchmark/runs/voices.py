"""Who judges voices that are synthetic, as those of Talkers are.

GE2E and WeSpeaker learned from recorded people and tell Talkers' voices apart much less well than the recogniser that
voice2face ships, which was trained on such voices of other people.
"""

from __future__ import annotations

import hashlib
import importlib
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.errors import MethodError
from metrics.metric import Undefined

ENCODER = "baselines.lipdiffuser.speaker"


class VoiceJudge:
    """A SpeakerNetwork (`metrics.speech.speaker_similarity`): the recogniser of drawn voices, 64 numbers a voice."""

    rate = 16_000

    def __init__(self, encoder: Any, weights: Path) -> None:
        self.encoder = encoder
        self.signature = f"voice2face-talkers:{hashlib.sha256(weights.read_bytes()).hexdigest()[:8]}|fs:{self.rate}"

    def embed(self, samples: np.ndarray) -> np.ndarray | Undefined:
        """The embedding of a voice, `[T]` at 16 kHz -> `[64]` float64 of length 1; Undefined without enough of it."""
        try:
            found = self.encoder.embed([np.asarray(samples, np.float32)])[0].double().numpy()
        except MethodError as error:
            return Undefined(str(error))
        return np.asarray(found / np.linalg.norm(found))


def load(path: Path | None = None, device: str = "cpu") -> VoiceJudge:
    """The judge with the weights that voice2face ships: there are no others, so `path` is None."""
    module = importlib.import_module(ENCODER)
    return VoiceJudge(module.SpeakerEncoder("talkers", device=device), module.RECOGNISER)
