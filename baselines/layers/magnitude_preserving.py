"""Layers that keep magnitudes: the building blocks of the MP-ADM networks (EDM2, Karras et al. 2024).

An activation's magnitude is the root of its mean square. Where what comes in has magnitude 1 and is not correlated, so
has what goes out, at the start of a training and all along it: convolutions have no bias and weights whose norm is
forced, and sums and concatenations are scaled. Equations are those of the paper's appendix B.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SMALLEST = 1e-4
"""Added to a magnitude before anything is divided by it."""
SILU = 0.596
"""Magnitude of silu(x) where x is normal."""


def unit_magnitude(x: Tensor, dim: int | tuple[int, ...]) -> Tensor:
    """x over its magnitude along `dim`: weights over all but the first, activations along channels (pixel norm)."""
    of = [dim] if isinstance(dim, int) else list(dim)
    count = math.prod(x.shape[d] for d in of)
    norm = torch.linalg.vector_norm(x, dim=of, keepdim=True, dtype=torch.float32)
    return x / (SMALLEST + norm / math.sqrt(count)).to(x.dtype)


def mp_silu(x: Tensor) -> Tensor:
    """SiLU that keeps the magnitude of normal values (Eq. 81)."""
    return F.silu(x) / SILU


def mp_sum(a: Tensor, b: Tensor, part: float) -> Tensor:
    """Weighted sum of two uncorrelated inputs, `part` of it b (Eq. 88)."""
    return torch.lerp(a, b, part) / math.hypot(1 - part, part)


def mp_cat(a: Tensor, b: Tensor, part: float = 0.5) -> Tensor:
    """Channels of both, `part` of the result's power from b, however many channels each has (Eq. 103)."""
    own, other = a.shape[1], b.shape[1]
    scale = math.sqrt((own + other) / ((1 - part) ** 2 + part**2))
    return torch.cat([a * (scale * (1 - part) / math.sqrt(own)), b * (scale * part / math.sqrt(other))], dim=1)


class MPFourier(nn.Module):
    """Cosines of a number at random frequencies and phases (Eq. 75). Shape: `[B]` -> `[B, C]`."""

    def __init__(self, channels: int, bandwidth: float = 1.0) -> None:
        super().__init__()
        # Rounded as files with float16 keep them, so that a network knows its noise levels after it was stored.
        self.register_buffer("frequencies", (2 * math.pi * bandwidth * torch.randn(channels)).half().float())
        self.register_buffer("phases", (2 * math.pi * torch.rand(channels)).half().float())

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return (x.float()[:, None] * self.frequencies + self.phases).cos() * math.sqrt(2)


class MPConv(nn.Module):
    """Convolution, or linear layer, whose weights are normalised for every output channel (Eq. 47).

    In training the stored weights are themselves set to magnitude 1 before each use (Eq. 66), so that steps of an
    optimiser stay equally large beside them. The number of positions along each axis stays as it is.

    Args:
        kernel: its size along each axis, odd numbers; () is a linear layer.
    """

    def __init__(self, inputs: int, outputs: int, kernel: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, *kernel))
        self.kernel = kernel

    def forward(self, x: Tensor, gain: Tensor | float = 1.0) -> Tensor:
        """Shape: `[B, inputs, *positions]` -> `[B, outputs, *positions]`; the output is `gain` times as large."""
        dims = tuple(range(1, self.weight.ndim))
        if self.training:
            with torch.no_grad():
                self.weight.copy_(unit_magnitude(self.weight, dims))
        weight = unit_magnitude(self.weight, dims) * (gain / math.sqrt(self.weight[0].numel()))
        padding = tuple(size // 2 for size in self.kernel)
        if not self.kernel:
            return F.linear(x, weight)
        return F.conv1d(x, weight, padding=padding) if len(padding) == 1 else F.conv2d(x, weight, padding=padding)


class MPAttention(nn.Module):
    """Self-attention over all positions by cosines: queries, keys and values have magnitude 1.

    Shape:
        `[B, C, H, W]` -> the same; C is a multiple of `head_channels`.
    """

    def __init__(self, channels: int, head_channels: int = 64, part: float = 0.3) -> None:
        super().__init__()
        if channels % head_channels:
            raise ValueError(f"channels must be a multiple of {head_channels}, a head's, got {channels}")
        self.heads, self.part = channels // head_channels, part
        self.qkv = MPConv(channels, 3 * channels, (1, 1))
        self.out = MPConv(channels, channels, (1, 1))

    def forward(self, x: Tensor) -> Tensor:
        qkv = self.qkv(x).unflatten(1, (3, self.heads, -1)).flatten(4)
        q, k, v = unit_magnitude(qkv, 3).transpose(3, 4).unbind(1)
        found = F.scaled_dot_product_attention(q, k, v)
        return mp_sum(x, self.out(found.transpose(2, 3).reshape(x.shape)), self.part)
