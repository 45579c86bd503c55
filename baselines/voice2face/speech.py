"""From a recording to what voice2face's encoder takes; the same for training and for inference."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from baselines.layers.speech_input import usable_speech
from baselines.layers.sphinx_mel import SHORTEST, lengthened, normalised, sphinx_mel
from baselines.layers.vad import VOICE2FACE_VAD
from baselines.voice2face.config import Config
from benchmark.errors import MethodError
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
    samples = usable_speech(audio, config.shortest_s)
    if config.vad:
        voiced = VOICE2FACE_VAD(samples, audio.rate)
        if not len(voiced):
            raise MethodError(f"Expected speech, but no frame of {len(samples) / audio.rate:.2f} s is voiced")
        samples = usable_speech(Audio(voiced, audio.rate), config.shortest_s, " after pauses were cut")
    return lengthened(normalised(sphinx_mel(torch.from_numpy(samples))), frames)
