"""Diffusion around the U-Net: preconditioning (Eq. 3), the loss (Eq. 1 and 2) and the sampler (EDM, Algorithm 1)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from baselines.layers.magnitude_preserving import MPConv, MPFourier
from baselines.lipdiffuser.mel import HOP, Framing
from baselines.lipdiffuser.unet import Modulation, UNet

SIGMA_DATA = 0.5
"""Standard deviation of standardised log-mels, which Sec. 4.2 calls a variance (see the card)."""
VIDEO_FRAME = 640
"""Samples at 16 kHz in a frame of the video; one of the log-mel has 256."""


class Denoiser(nn.Module):
    """D of Eq. 3: from a noisy log-mel to an estimate of it without noise; both standardised.

    Args:
        unet: F of Eq. 3.
        patch: neighbouring mel bands that go in as channels; 1 in the paper.
    """

    def __init__(self, unet: UNet, patch: int = 1) -> None:
        super().__init__()
        self.unet, self.patch = unet, patch
        # Of natural logarithms of mels; those of the authors' earlier model until a training measures its own.
        self.register_buffer("mean", torch.tensor(-7.98))
        self.register_buffer("deviation", torch.tensor(2.43))

    @property
    def multiple(self) -> int:
        """Frames come in multiples of this."""
        return 2 ** max(self.unet.levels)

    def standardised(self, mels: Tensor) -> Tensor:
        """Log-mels to mean 0 and standard deviation 0.5 over the training set."""
        return (mels - self.mean) * (SIGMA_DATA / self.deviation)

    def log_mels(self, x: Tensor) -> Tensor:
        """Undo `standardised`."""
        return x * (self.deviation / SIGMA_DATA) + self.mean

    def forward(
        self, x: Tensor, sigma: Tensor, speaker: Tensor, modulations: Sequence[Modulation] | None = None
    ) -> Tensor:
        """Shape: x `[B, 80, T]`, T a multiple of `multiple`; sigma `[B]`; speaker `[B, S]` of length 1 -> x's."""
        total = (sigma.square() + SIGMA_DATA**2)[:, None, None]
        told = self.unet(self._folded(x / total.sqrt()), noise_level(sigma), speaker, modulations)
        skip, out = SIGMA_DATA**2 / total, sigma[:, None, None] * SIGMA_DATA / total.sqrt()
        return skip * x + out * self._unfolded(told.float())

    def _folded(self, x: Tensor) -> Tensor:
        return x.unflatten(1, (-1, self.patch)).transpose(1, 2)

    def _unfolded(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2).flatten(1, 2)


class Uncertainty(nn.Module):
    """u of Eq. 2: how hard a noise level is, learnt beside the denoiser and of no use after. Shape: `[B]` -> `[B]`."""

    def __init__(self, channels: int = 128) -> None:
        super().__init__()
        self.fourier = MPFourier(channels)
        self.linear = MPConv(channels, 1)

    def forward(self, sigma: Tensor) -> Tensor:
        return self.linear(self.fourier(noise_level(sigma)))[:, 0].float()


def noise_level(sigma: Tensor) -> Tensor:
    """As networks are told it: ln(sigma) / 4."""
    return sigma.log() / 4


def drawn_sigmas(count: int, mean: float, deviation: float, device: torch.device) -> Tensor:
    """ln(sigma) from N(mean, deviation^2) (Sec. 3.1). Shape: `[count]`."""
    return (mean + deviation * torch.randn(count, device=device)).exp()


def squared_errors(estimate: Tensor, clean: Tensor, sigma: Tensor) -> Tensor:
    """lambda(t) J of Eq. 2 for each of a batch, a mean over bins: about 1 for a network that tells nothing. `[B]`."""
    weight = (sigma.square() + SIGMA_DATA**2) / (sigma * SIGMA_DATA).square()
    return weight * (estimate - clean).square().flatten(1).mean(1)


def uncertain_loss(errors: Tensor, uncertainty: Tensor) -> Tensor:
    """Eq. 2, a mean over the batch. Shape: `[B]`, `[B]` -> scalar."""
    return (errors / uncertainty.exp() + uncertainty).mean()


def noise_levels(steps: int, low: float = 0.002, high: float = 80.0, rho: float = 7.0) -> list[float]:
    """sigma at each step, falling from `high` to `low`, and 0 at the end: `steps + 1` numbers (EDM, Eq. 5).

    >>> [round(sigma, 3) for sigma in noise_levels(3)]
    [80.0, 2.515, 0.002, 0.0]
    """
    one, other = high ** (1 / rho), low ** (1 / rho)
    parts = [step / max(steps - 1, 1) for step in range(steps)]
    return [(one + part * (other - one)) ** rho for part in parts] + [0.0]


def heun(denoise: Callable[[Tensor, float], Tensor], noise: Tensor, sigmas: Sequence[float]) -> Tensor:
    """From noise to data along the probability flow, dx/dsigma = (x - D(x, sigma)) / sigma, in steps of second order.

    The last one, to 0, is Euler's: 2 steps - 1 calls of the denoiser. Nothing is drawn (EDM, Algorithm 1).

    Args:
        denoise: (x, sigma) -> D.
        noise: normal.
        sigmas: falling, 0 at the end.
    """
    x = noise * sigmas[0]
    for sigma, after in zip(sigmas[:-1], sigmas[1:], strict=True):
        slope = (x - denoise(x, sigma)) / sigma
        ahead = x + (after - sigma) * slope
        if after:
            slope = (slope + (ahead - denoise(ahead, after)) / after) / 2
            ahead = x + (after - sigma) * slope
        x = ahead
    return x


def at_mel_rate(features: Tensor, frames: int, framing: Framing = "hifigan") -> Tensor:
    """Video features, 25 a second, where every mel frame lies, 62.5 a second, on the line between two pictures.

    A picture stands for the middle of its 40 ms. Before the first one and after the last one these are held.

    Args:
        framing: of the log-mel: whether frame m lies at the middle of its 16 ms, or at their beginning.

    Shape:
        `[B, N, C]` -> `[B, C, frames]`
    """
    middle = 0.5 if framing == "hifigan" else 0.0
    at = (torch.arange(frames, device=features.device) + middle) * (HOP / VIDEO_FRAME) - 0.5
    at = at.clamp(0, features.shape[1] - 1)
    before = at.floor().long()
    after = (before + 1).clamp(max=features.shape[1] - 1)
    part = (at - before).to(features.dtype)[:, None]
    return torch.lerp(features[:, before], features[:, after], part).transpose(1, 2)


def mel_frames(pictures: int) -> int:
    """Mel frames that cover a video: 2.5 for each picture, the last one begun.

    >>> mel_frames(75), mel_frames(2)
    (188, 5)
    """
    return math.ceil(pictures * VIDEO_FRAME / HOP)
