"""The MP-ADM U-Net with MP-FiLM in its decoder blocks (Sec. 3.2, Fig. 2): F of Eq. 3."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.layers.magnitude_preserving import (
    MPAttention,
    MPConv,
    MPFourier,
    mp_cat,
    mp_silu,
    mp_sum,
    unit_magnitude,
)

RESIDUAL = 0.3
"""Part of a block's output that its residual branch has."""
LABEL = 0.5
"""Part of the embedding that the label has."""
LARGEST = 256.0
"""Activations are clipped there."""


class Modulation(NamedTuple):
    """What a video says to one decoder block. Shape: gate in 0..1, shift `[B, C, 1, T]` of the block's resolution."""

    gate: Tensor
    shift: Tensor


def mp_film(x: Tensor, modulation: Modulation) -> Tensor:
    """Eq. 5: the more the gate opens, the more of x gives way to the shift. Shape: `[B, C, H, T]` -> the same."""
    gate, shift = modulation
    return ((1 - gate) * x + gate * shift) / ((1 - gate).square() + gate.square()).sqrt()


class MPFiLM(nn.Module):
    """gamma and beta of Eq. 5, from video features: a convolution over time, then a pointwise one.

    Gamma has a gain that begins at 0, and is clamped to 0..1: a network begins as if there were no video.
    """

    def __init__(self, features: int, channels: int, kernel: int = 5) -> None:
        super().__init__()
        self.shift = _TwoLayers(features, channels, kernel)
        self.gate = _TwoLayers(features, channels, kernel)
        self.gain = nn.Parameter(torch.zeros(()))

    def forward(self, seen: Tensor) -> Modulation:
        """Shape: `[B, features, T]` of magnitude 1."""
        gate = self.gate(seen, self.gain).clamp(0, 1)
        return Modulation(gate[:, :, None], self.shift(seen)[:, :, None])


class _TwoLayers(nn.Module):
    def __init__(self, features: int, channels: int, kernel: int) -> None:
        super().__init__()
        self.wide = MPConv(features, channels, (kernel,))
        self.pointwise = MPConv(channels, channels, (1,))

    def forward(self, seen: Tensor, gain: Tensor | float = 1.0) -> Tensor:
        return self.pointwise(mp_silu(self.wide(seen)), gain)


class Block(nn.Module):
    """A residual block (EDM2, Fig. 21 config G): an encoder's normalises its input, a decoder's listens to the video.

    Args:
        embedding: channels of the embedding of noise level and speaker.
        features: channels of the video features, for decoder blocks; None makes an encoder block.
        head_channels: of self-attention after the residual branch; None has none.
        resample: factor 2 `up` or `down` at the block's start, or None.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        embedding: int,
        features: int | None = None,
        kernel: int = 5,
        head_channels: int | None = None,
        resample: str | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.decodes, self.resample, self.dropout = features is not None, resample, dropout
        self.skip = MPConv(inputs, outputs, (1, 1)) if inputs != outputs else None
        self.first = MPConv(inputs if self.decodes else outputs, outputs, (3, 3))
        self.second = MPConv(outputs, outputs, (3, 3))
        self.embedding = MPConv(embedding, outputs)
        self.embedding_gain = nn.Parameter(torch.zeros(()))
        self.film = MPFiLM(features, outputs, kernel) if features is not None else None
        self.attention = MPAttention(outputs, head_channels) if head_channels else None

    def forward(self, x: Tensor, embedding: Tensor, modulation: Modulation | None = None) -> Tensor:
        """Shape: x `[B, inputs, H, T]`, embedding `[B, E]` -> `[B, outputs, H', T']`."""
        if self.resample == "down":
            x = F.avg_pool2d(x, 2)
        elif self.resample == "up":
            x = F.interpolate(x, scale_factor=2, mode="nearest")
        if not self.decodes:
            x = unit_magnitude(x if self.skip is None else self.skip(x), 1)
        y = self.first(mp_silu(x))
        y = y * (self.embedding(embedding, self.embedding_gain) + 1)[:, :, None, None].to(y.dtype)
        if modulation is not None:
            y = mp_film(y, modulation)
        y = mp_silu(y)
        if self.dropout:
            y = F.dropout(y, self.dropout, self.training)
        y = self.second(y)
        if self.decodes and self.skip is not None:
            x = self.skip(x)
        x = mp_sum(x, y.to(x.dtype), RESIDUAL)
        if self.attention is not None:
            x = self.attention(x)
        return x.clip(-LARGEST, LARGEST)


class UNet(nn.Module):
    """Encoder and decoder with skips, as EDM2's, for pictures that need not be square: attention goes by level.

    The lowest level always begins its decoder with attention. A constant channel of ones comes in beside the input.

    Args:
        channels: at full resolution; `multiples` of it at each level, every one half as large as the one above.
        attention: for every level, whether its blocks have self-attention.
        label: numbers in a label, here a speaker embedding of length 1.
        features: channels of the video features.
    """

    def __init__(
        self,
        inputs: int,
        channels: int,
        multiples: Sequence[int],
        blocks: int,
        attention: Sequence[bool],
        label: int,
        features: int,
        head_channels: int = 64,
        kernel: int = 5,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        widths = [channels * multiple for multiple in multiples]
        size = max(widths)
        self.fourier = MPFourier(widths[0])
        self.noise_level = MPConv(widths[0], size)
        self.label = MPConv(label, size)
        heads = [head_channels if asked else None for asked in attention]
        common = {"embedding": size, "dropout": dropout}
        self.enter = MPConv(inputs + 1, widths[0], (3, 3))
        encoder, skips, width = [], [widths[0]], widths[0]
        for level, own in enumerate(widths):
            if level:
                encoder.append(Block(width, width, **common, resample="down"))
                skips.append(width)
            for _ in range(blocks):
                encoder.append(Block(width, own, **common, head_channels=heads[level]))
                width = own
                skips.append(width)
        self.encoder = nn.ModuleList(encoder)
        common |= {"features": features, "kernel": kernel}
        decoder: list[nn.Module] = []
        self.levels, self.joins = [], []
        """Of each decoder block: its resolution's level, and whether it takes a skip in."""
        for level, own in reversed(list(enumerate(widths))):
            if level == len(widths) - 1:
                own_blocks = [Block(own, own, **common, head_channels=head_channels), Block(own, own, **common)]
            else:
                own_blocks = [Block(width, width, **common, resample="up")]
            joins = [False] * len(own_blocks)
            for _ in range(blocks + 1):
                own_blocks.append(Block(width + skips.pop(), own, **common, head_channels=heads[level]))
                width = own
                joins.append(True)
            decoder += own_blocks
            self.joins += joins
            self.levels += [level] * len(own_blocks)
        self.decoder = nn.ModuleList(decoder)
        self.leave = MPConv(width, inputs, (3, 3))
        self.gain = nn.Parameter(torch.zeros(()))

    def modulations(self, seen: Tensor) -> list[Modulation]:
        """What the video says to each decoder block, which depends on no noise. Shape: `[B, features, T]`.

        Features are halved in time for every level, as the activations are, and have magnitude 1 in each frame.
        """
        halved = [seen]
        for _ in range(max(self.levels)):
            halved.append(F.avg_pool1d(halved[-1], 2))
        unit = [unit_magnitude(x, 1) for x in halved]
        return [block.film(unit[level]) for block, level in zip(self.decoder, self.levels, strict=True)]

    def forward(
        self, x: Tensor, noise_level: Tensor, label: Tensor, modulations: Sequence[Modulation] | None = None
    ) -> Tensor:
        """Shape: x `[B, inputs, H, T]`, both multiples of 2^(levels - 1), noise_level `[B]`, label `[B, label]`.

        Without modulations there is no video, and MP-FiLM leaves everything as it is.
        """
        given = modulations or [None] * len(self.decoder)
        embedding = self.noise_level(self.fourier(noise_level))
        told = self.label(label * math.sqrt(label.shape[1]))
        embedding = mp_silu(mp_sum(embedding, told.to(embedding.dtype), LABEL))
        x = self.enter(torch.cat([x, torch.ones_like(x[:, :1])], dim=1))
        skips = [x]
        for block in self.encoder:
            x = block(x, embedding)
            skips.append(x)
        for block, joins, modulation in zip(self.decoder, self.joins, given, strict=True):
            if joins:
                x = mp_cat(x, skips.pop())
            x = block(x, embedding, modulation)
        return self.leave(x, self.gain)
