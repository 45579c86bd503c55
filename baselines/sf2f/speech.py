"""From a recording to what SF2F's encoder takes; the same for training and for inference."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from baselines.layers.log_filter_banks import log_filter_banks
from baselines.layers.speech_input import usable_speech, voiced_speech
from baselines.layers.vad import SF2F_VAD
from baselines.sf2f.config import Config
from benchmark.types import Audio


@dataclass(frozen=True)
class FrontEnd:
    """`speech_features` by the settings that they depend on, by which shards of features are known."""

    shortest_s: float
    vad: bool

    def __call__(self, audio: Audio) -> Tensor:
        return speech_features(audio, self)


def speech_features(audio: Audio, config: Config | FrontEnd) -> Tensor:
    """Normalised log filter banks `[40, T]` of checked speech, pauses cut where the configuration says so.

    Raises:
        MethodError: the speech cannot be used; says what was expected.
    """
    shortest_s = config.shortest_s
    samples = voiced_speech(audio, shortest_s, SF2F_VAD) if config.vad else usable_speech(audio, shortest_s)
    return log_filter_banks(torch.from_numpy(samples))
