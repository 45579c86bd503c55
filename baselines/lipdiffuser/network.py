"""LipDiffuser's networks as one: visual encoder, denoiser and vocoder (Fig. 1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from baselines.lipdiffuser.diffusion import Denoiser, heun
from baselines.lipdiffuser.equaliser import Equaliser
from baselines.lipdiffuser.mel import HOP, Framing
from baselines.lipdiffuser.windows import fades, in_pieces, starts

OVERLAP = 64
"""Mel frames that neighbouring windows of the denoiser share at least: a second."""
LONGEST_PICTURES, PICTURES_AROUND = 1500, 200
"""Video frames that go through the visual encoder at once, and how many of them are looked at on either side alone."""
LONGEST_SPOKEN, FRAMES_AROUND = 2500, 24
"""The same for mel frames and the vocoder, which looks no further than 20 to either side."""


class LipDiffuserNetwork(nn.Module):
    """What a checkpoint holds; without a visual encoder where features were computed before."""

    def __init__(
        self,
        visual: nn.Module | None,
        denoiser: Denoiser,
        vocoder: nn.Module,
        framing: Framing = "hifigan",
        equalised: int = 0,
    ) -> None:
        super().__init__()
        self.visual, self.denoiser, self.vocoder, self.framing = visual, denoiser, vocoder, framing
        self.equaliser = Equaliser(framing, equalised)

    def see(self, pictures: Tensor) -> Tensor:
        """Video features. Shape: `[B, N, 88, 88]` in [0, 1] -> `[B, N, C]`."""
        assert self.visual is not None
        return in_pieces(self.visual, pictures, LONGEST_PICTURES, PICTURES_AROUND, dim=1)

    def sample(self, noise: Tensor, seen: Tensor, speakers: Tensor, sigmas: list[float], longest: int) -> Tensor:
        """Log-mels by Heun's method, of features at the rate of these.

        What is longer than a window is denoised in several that overlap, at every step of the one trajectory: their
        estimates are faded into each other, so that neighbours agree on what is said where they meet.

        Shape:
            noise `[B, 80, T]`, seen `[B, C, T]`, speakers `[B, S]` -> `[B, 80, T]`; T and `longest` are multiples of
            `denoiser.multiple`
        """
        length = noise.shape[2]
        window = min(length, longest)
        begin = starts(length, window, min(OVERLAP, window // 2))
        weights = [w.to(noise.device) for w in fades(length, window, begin, min(OVERLAP, window // 2))]
        said = [self.denoiser.unet.modulations(seen[..., start : start + window]) for start in begin]

        def denoise(x: Tensor, sigma: float) -> Tensor:
            levels = torch.full((len(x),), sigma, device=x.device)
            if len(begin) == 1:
                return self.denoiser(x, levels, speakers, said[0])
            total = torch.zeros_like(x)
            for start, weight, modulations in zip(begin, weights, said, strict=True):
                part = slice(start, start + window)
                total[..., part] += weight * self.denoiser(x[..., part], levels, speakers, modulations)
            return total

        return self.denoiser.log_mels(heun(denoise, noise, sigmas))

    def speak(self, mels: Tensor) -> Tensor:
        """The vocoder's sound, equalised. Shape: log-mels `[B, 80, F]` -> `[B, 256 F]`."""
        return self.equaliser(in_pieces(self.vocoder, mels, LONGEST_SPOKEN, FRAMES_AROUND, scale=HOP), mels)


def padded_frames(frames: int, multiple: int) -> int:
    """Frames up to a multiple.

    >>> padded_frames(188, 8), padded_frames(8, 8)
    (192, 8)
    """
    return -(-frames // multiple) * multiple
