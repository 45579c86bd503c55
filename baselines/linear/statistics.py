"""What ridge regression is given of a voice: statistics over time of each log-mel band."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from baselines.layers.log_filter_banks import DEVIATION, FILTERS, log_filter_banks
from baselines.layers.speech_input import usable_speech
from benchmark.types import Audio

SHORTEST_S = 0.5
"""Less speech than this is refused, as by the networks."""
QUANTILES = (0.02, 0.1, 0.25, 0.4, 0.5, 0.6, 0.75, 0.9, 0.98)
NUMBERS = FILTERS * (2 + len(QUANTILES))
RANGE_DB = 40.0
"""Frames of so much less energy than the loudest one are pauses, and say nothing of a voice."""


def bands(audio: Audio) -> np.ndarray:
    """Log-mel bands of the frames that hold speech: `[40, T]` float32, T >= 1.

    Raises:
        MethodError: the speech cannot be used; says what was expected.
    """
    features = log_filter_banks(torch.from_numpy(usable_speech(audio, SHORTEST_S)))
    energy = torch.logsumexp(features * DEVIATION, dim=0)
    return features[:, energy >= energy.max() - RANGE_DB * np.log(10) / 10].numpy()


def statistics(recordings: Sequence[np.ndarray]) -> np.ndarray:
    """Mean, deviation and nine quantiles of each band over all frames, whatever the level of the recordings.

    Shape:
        recordings: each `[40, T]` -> `[440]` float64

    >>> statistics([np.zeros((40, 3)), np.ones((40, 5))]).shape
    (440,)
    """
    levelled = np.concatenate([one - one.mean() for one in recordings], axis=1, dtype=np.float64)
    parts = levelled.mean(axis=1), levelled.std(axis=1), *np.quantile(levelled, QUANTILES, axis=1)
    return np.concatenate(parts)
