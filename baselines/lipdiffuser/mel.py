"""The log-mel spectrogram between denoiser and vocoder (Sec. 4.2): 80 bands at 62.5 frames a second."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

RATE = 16_000
N_FFT = 1024
HOP = 256
BANDS = 80
FLOOR = 1e-5
"""Smaller magnitudes count as this."""

Framing = Literal["hifigan", "centred"]


class LogMel(nn.Module):
    """Natural logarithms of magnitudes in 80 bands of Slaney's mel scale, 0 to 8000 Hz: Hann window of 1024, hop 256.

    Args:
        framing: where frame f lies. `hifigan`, as in the official code of HiFi-GAN: about the middle of the samples
            256 f to 256 (f + 1), which the vocoder makes of it. `centred`, as in torchaudio and in vocoders trained by
            SpeechBrain: about sample 256 f, which is 8 ms earlier; the one further frame that these have at the end is
            left out. Both mirror the ends of the signal.

    Shape:
        in [-1, 1] at 16 kHz `[B, T]`, T over half a window -> `[B, 80, T // 256]` float32
    """

    def __init__(self, framing: Framing = "hifigan") -> None:
        super().__init__()
        self.framing = framing
        self.filters: Tensor
        self.window: Tensor
        self.register_buffer("filters", slaney_filters(), persistent=False)
        self.register_buffer("window", torch.hann_window(N_FFT), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """
        Raises:
            ValueError: the signal is not `[B, T]`, or is no longer than the half window that its ends are mirrored by.
        """
        before = N_FFT // 2 if self.framing == "centred" else (N_FFT - HOP) // 2
        if x.ndim != 2 or x.shape[1] <= N_FFT // 2:
            raise ValueError(f"expected a signal [B, T] with T over {N_FFT // 2}, got {list(x.shape)}")
        frames = x.shape[1] // HOP
        with torch.autocast(x.device.type, enabled=False):
            padded = F.pad(x.float()[:, None], (before, before), mode="reflect")[:, 0]
            spectrum = torch.stft(padded, N_FFT, HOP, window=self.window, center=False, return_complex=True)
            # The root of 0 has no gradient; what is added stays under the floor.
            magnitudes = (spectrum.real.square() + spectrum.imag.square() + 1e-9).sqrt()
            return (self.filters @ magnitudes[..., :frames]).clamp(min=FLOOR).log()


def slaney_filters() -> Tensor:
    """Triangles of area 1 between 0 and 8000 Hz, evenly spaced on Slaney's scale, linear up to 1000 Hz and logarithmic
    above -> `[80, 513]` float32."""
    knee = 15  # mels, of 200/3 Hz each; from there on 27 mels multiply the frequency by 6.4
    step = math.log(6.4) / 27
    mels = torch.linspace(0, knee + math.log(RATE / 2 / 1000) / step, BANDS + 2, dtype=torch.float64)
    hz = torch.where(mels < knee, mels * 200 / 3, 1000 * torch.exp(step * (mels - knee)))
    low, tip, high = (hz[start : start + BANDS, None] for start in (0, 1, 2))
    bins = torch.arange(N_FFT // 2 + 1, dtype=torch.float64) * RATE / N_FFT
    heights = torch.minimum((bins - low) / (tip - low), (high - bins) / (high - tip)).clamp(min=0)
    return (heights * 2 / (high - low)).float()
