"""From a recording to what the speech encoder takes; the same for training and for inference (Sec. 3.3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from baselines.layers.speech_input import RATE, usable_speech
from benchmark.types import Audio

WINDOW, HOP, FFT = 400, 160, 512
"""Samples: 25 ms, 10 ms, and a transform of 257 bands."""
BANDS = FFT // 2 + 1
EXPONENT = 0.3
SECONDS = 6.0
SCALE = 2**15


@dataclass(frozen=True)
class FrontEnd:
    """Checked speech as 16-bit samples `[1, T]`: shards keep these, a twentieth of the spectrograms' size."""

    shortest_s: float

    def __call__(self, audio: Audio) -> Tensor:
        """
        Raises:
            MethodError: the speech cannot be used; says what was expected.
        """
        samples = usable_speech(audio, self.shortest_s)
        return torch.from_numpy(np.clip(np.round(samples * SCALE), -SCALE, SCALE - 1).astype(np.int16))[None]


def repeated(samples: Tensor, seconds: float = SECONDS) -> Tensor:
    """The beginning of speech, repeated from its start until it is long enough. Shape: `[T]` -> `[seconds * 16000]`."""
    length = round(seconds * RATE)
    return samples.repeat(-(-length // len(samples)))[:length]


def spectrogram(samples: Tensor) -> Tensor:
    """Real and imaginary parts S of the short-time Fourier transform, each as sgn(S) |S|^0.3.

    Frames lie wholly within the speech: 6 s give 598.

    Shape:
        `[B, T]` float32, full scale 1, at 16 kHz -> `[B, 2, 1 + (T - 400) // 160, 257]`
    """
    frames = samples.unfold(1, WINDOW, HOP) * torch.hann_window(WINDOW, device=samples.device)
    parts = torch.view_as_real(torch.fft.rfft(frames, FFT)).permute(0, 3, 1, 2)
    return parts.sign() * parts.abs().pow(EXPONENT)
