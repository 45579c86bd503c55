"""NCSN++, the score model of SGMSE+ (Richter et al. 2023), of the blocks of FlowAVSE's NCSN++M."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.flowavse.ncsnpp import (
    NEAR_ZERO,
    TIME_FACTOR,
    Double,
    Halve,
    Resample,
    ResidualBlock,
    SelfAttention,
    TimeEmbedding,
    convolution,
    group_norm,
)
from baselines.layers.width import scaled

CHANNELS = (128, 128, 256, 256, 256, 256, 256)
"""Per level, highest resolution first."""
ATTENTIVE = 4
"""The level whose residual blocks are followed by self-attention: 16 bins of 256."""
MULTIPLE = 2 ** (len(CHANNELS) - 1)
"""Frames and bins are halved six times."""
PARTS = 4
"""Channels of the input: real and imaginary parts of the state and of the noisy speech."""


class NCSNpp(nn.Module):
    """The U-net: seven resolutions, residual blocks, an input and an output pyramid, self-attention at 16 bins.

    It differs from FlowAVSE's NCSN++M in its depth, in two residual blocks a level (three on the way up), in taking its
    input as it is, and in seeing nothing. At full width and two blocks it has 65,590,822 parameters, the authors' 65 M.

    The output is the score: the negative of what the layers give, divided by time before the last 1x1 convolution.

    Args:
        width: multiplies all channels.
        blocks: residual blocks of a level on the way down; there is one more on the way up.
        divide_by_time: off where the output is not the score, but something of the same size at all times.

    Source: Richter et al. 2023, Sec. III-C; Song et al. 2021, App. H.

    Shape:
        state, noisy `[B, 2, F, T]`: real part, imaginary part; F a multiple of 64, any T; time `[B]`, above 0
        -> `[B, 2, F, T]`
    """

    def __init__(self, width: float = 1.0, blocks: int = 2, divide_by_time: bool = True) -> None:
        super().__init__()
        self.divide_by_time = divide_by_time
        widths = [scaled(channels, width) for channels in CHANNELS]
        time = TIME_FACTOR * widths[0]

        def block(inputs: int, outputs: int, resample: Resample = None) -> ResidualBlock:
            return ResidualBlock(inputs, outputs, time, single=False, resample=resample)

        self.shrink, self.enlarge = Halve(), Double()
        self.time = TimeEmbedding(widths[0], conditioned=True)
        self.input = convolution(PARTS, widths[0], 3)
        skips, current = [widths[0]], widths[0]
        self.down = nn.ModuleList()
        for level, channels in enumerate(widths):
            residual = [block(current if i == 0 else channels, channels) for i in range(blocks)]
            attention = [SelfAttention(channels) for _ in residual] if level == ATTENTIVE else []
            last = level == len(widths) - 1
            self.down.append(DownLevel(residual, attention, None if last else block(channels, channels, "down")))
            skips += [channels] * (blocks + (not last))
            current = channels
        self.middle = nn.ModuleList([block(current, current), SelfAttention(current), block(current, current)])
        self.up = nn.ModuleList()
        for level, channels in reversed(list(enumerate(widths))):
            residual = []
            for _ in range(blocks + 1):
                residual.append(block(current + skips.pop(), channels))
                current = channels
            attention = SelfAttention(channels) if level == ATTENTIVE else None
            self.up.append(UpLevel(residual, attention, None if level == 0 else block(channels, channels, "up")))
        self.output = nn.Conv2d(PARTS, 2, 1)

    def forward(self, state: Tensor, noisy: Tensor, time: Tensor) -> Tensor:
        bins, frames = state.shape[-2:]
        if bins % MULTIPLE:
            raise ValueError(f"Expected bins in a multiple of {MULTIPLE} (256 in the paper), got {bins}")
        embedding = self.time(time)
        x = F.pad(torch.cat([state, noisy], dim=1), (0, -frames % MULTIPLE))
        h = self.input(x)
        skips = [h]
        for level in self.down:
            for i, block in enumerate(level.blocks):
                h = block(h, embedding)
                if level.attention:
                    h = level.attention[i](h)
                skips.append(h)
            if level.resample is not None:
                x = self.shrink(x)
                h = level.resample(h, embedding) + level.inject(x)
                skips.append(h)
        first, attention, second = self.middle
        h = second(attention(first(h, embedding)), embedding)
        picture: Tensor | None = None
        for level in self.up:
            for block in level.blocks:
                h = block(torch.cat([h, skips.pop()], dim=1), embedding)
            if level.attention is not None:
                h = level.attention(h)
            drawn = level.draw(F.silu(level.norm(h)))
            picture = drawn if picture is None else drawn + self.enlarge(picture)
            if level.resample is not None:
                h = level.resample(h, embedding)
        assert picture is not None
        if self.divide_by_time:
            picture = picture / time[:, None, None, None]
        return -self.output(picture)[..., :frames]


class DownLevel(nn.Module):
    """What one resolution holds on the way down; `inject` maps the halved input to be added."""

    def __init__(
        self, blocks: list[ResidualBlock], attention: list[SelfAttention], resample: ResidualBlock | None
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.attention = nn.ModuleList(attention)
        self.resample = resample
        self.inject = None if resample is None else convolution(PARTS, resample.conv_in.out_channels, 1)


class UpLevel(nn.Module):
    """What one resolution holds on the way up; `draw` makes its part of the picture."""

    def __init__(
        self, blocks: list[ResidualBlock], attention: SelfAttention | None, resample: ResidualBlock | None
    ) -> None:
        super().__init__()
        channels = blocks[-1].conv_in.out_channels
        self.blocks = nn.ModuleList(blocks)
        self.attention = attention
        self.norm = group_norm(channels)
        self.draw = convolution(channels, PARTS, 3, gain=NEAR_ZERO)
        self.resample = resample
