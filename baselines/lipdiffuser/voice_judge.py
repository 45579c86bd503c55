"""The recogniser of drawn voices as a judge: the network of `speaker_similarity` on Talkers.

GE2E and WeSpeaker learned from recorded people and tell Talkers' synthetic voices apart much less well than the
recogniser that voice2face ships, which was trained on such voices of other people.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from baselines.lipdiffuser.speaker import RECOGNISER, SpeakerEncoder
from benchmark.errors import MethodError
from metrics.metric import Undefined


class VoiceJudge:
    """A SpeakerNetwork (`metrics.speech.speaker_similarity`): `embed` makes 64 numbers of a voice."""

    rate = 16_000

    def __init__(self, device: str = "cpu") -> None:
        self._encoder = SpeakerEncoder("talkers", device=device)
        self.signature = f"voice2face-talkers:{hashlib.sha256(RECOGNISER.read_bytes()).hexdigest()[:8]}|fs:{self.rate}"

    def embed(self, samples: np.ndarray) -> np.ndarray | Undefined:
        """The embedding of a voice, `[T]` at 16 kHz -> `[64]` float64 of length 1; Undefined without enough of it."""
        try:
            found = self._encoder.embed([np.asarray(samples, np.float32)])[0].double().numpy()
        except MethodError as error:
            return Undefined(str(error))
        return found / np.linalg.norm(found)


def load(path: Path | None = None, device: str = "cpu") -> VoiceJudge:
    """The judge with the weights that voice2face ships; there are no others, so `path` is None."""
    return VoiceJudge(device)
