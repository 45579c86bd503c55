"""From a recording to what voice2face's encoder takes; the same for training and for inference."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from baselines.layers.speech_input import usable_speech, voiced_speech
from baselines.layers.sphinx_mel import SHORTEST, lengthened, normalised, sphinx_mel
from baselines.layers.vad import VOICE2FACE_VAD
from baselines.voice2face.config import Config
from benchmark.types import Audio


@dataclass(frozen=True)
class FrontEnd:
    """`speech_features` by the settings that they depend on, by which shards of features are known."""

    shortest_s: float
    vad: bool
    frames: int = SHORTEST
    """Repeated to this length; where no crop is longer, less need be kept."""

    def __call__(self, audio: Audio) -> Tensor:
        return speech_features(audio, self, self.frames)


def speech_features(audio: Audio, config: Config | FrontEnd, frames: int = SHORTEST) -> Tensor:
    """Log-mel energies `[64, T]`, T at least `frames`, each bin normalised over the recording.

    Raises:
        MethodError: the speech cannot be used; says what was expected.
    """
    shortest_s = config.shortest_s
    samples = voiced_speech(audio, shortest_s, VOICE2FACE_VAD) if config.vad else usable_speech(audio, shortest_s)
    return lengthened(normalised(sphinx_mel(torch.from_numpy(samples))), frames)
