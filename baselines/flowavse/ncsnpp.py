"""NCSN++M with cross-attention to the visual features: the U-net of both stages, in three sizes (Sec. 2.3 and 3.2)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.layers.width import scaled

Size = Literal["small", "medium", "large"]
Resample = Literal["down", "up"] | None
CHANNELS = (128, 256, 256, 256)
"""Per level, highest resolution first."""
ATTENTION = (None, 128, 64, 32)
"""Width inside a level's cross-attention; the first level has none."""
HEADS, HEAD_WIDTH = 4, 16
VISUAL = 64
TIME_FACTOR = 4
FOURIER_SCALE = 16.0
PICTURES = 128 / 640
"""Frames of video in a frame of the spectrogram: 25 a second, and 16,000 / 128."""
MULTIPLE = 2 ** (len(CHANNELS) - 1)
"""Frames and bins are halved three times."""
EPSILON = 1e-6
NEAR_ZERO = 1e-5
"""Gain of the last convolution of every branch at the start: a block begins as its own shortcut."""


@dataclass(frozen=True)
class Architecture:
    """What the sizes of the paper differ in."""

    single_convolution: bool
    """A residual block has one 3x3 convolution instead of two, and a 1x1 shortcut only where channels change."""
    deepest_level: bool
    """The lowest resolution has residual blocks, on both paths and between them, and attention."""


ARCHITECTURES: dict[Size, Architecture] = {
    "large": Architecture(single_convolution=False, deepest_level=True),
    "medium": Architecture(single_convolution=True, deepest_level=True),
    "small": Architecture(single_convolution=True, deepest_level=False),
}


class NCSNpp(nn.Module):
    """The U-net: four resolutions, residual blocks, an input and an output pyramid, cross-attention on three levels.

    Going down a level is one residual block, cross-attention and a block that halves the resolution; the input, halved
    alike, is added to what goes further down. Coming up it is two residual blocks over what the way down has left,
    cross-attention, a picture added to the doubled picture from below, and a block that doubles the resolution.
    Between them: a residual block, self-attention, a residual block.

    With `conditioned`, the logarithm of time enters every residual block and the picture is divided by time before the
    last 1x1 convolution (unless `divide_by_time` is off). Without, neither happens; the maps for time inside the
    blocks are held all the same, frozen: published counts and checkpoints include them.

    Sizes. The paper describes them in words, with the number of parameters of both stages and no code. Here
    `large` is the whole network: 60.20 M, paper 60.2 M.
    `medium` leaves out repeated convolutions: a residual block keeps one of its two 3x3 convolutions, and its 1x1
    shortcut only where the number of channels changes: 39.43 M, paper 39.4 M.
    `small` is medium without the repeated residual blocks of level 4. The blocks that halve and double the resolution
    are the outer ones there and stay; inside them go the group on the way down, the group on the way up, and
    the middle and the attention that belong to them: 28.58 M, paper 28.6 M. The paper says "the inner two blocks";
    leaving out two single blocks, those of the middle, would give 36.5 M.

    Source: Jung et al. 2024; Lemercier et al. 2023 (StoRM) for NCSN++M; Song et al. 2021, App. H, for NCSN++; Lee et
    al. 2024 (AVDiffuSS) for the cross-attention.

    Shape:
        x `[B, channels, F, T]`: real and imaginary parts of one or more spectrograms, any T, F a multiple of 8;
        visual `[B, N, visual]`, any N; time `[B]`, above 0, exactly if `conditioned` -> `[B, 2, F, T]`
    """

    def __init__(
        self,
        channels: int,
        conditioned: bool,
        size: Size = "large",
        width: float = 1.0,
        divide_by_time: bool = True,
        video_window: float = 0.0,
    ) -> None:
        super().__init__()
        architecture = ARCHITECTURES[size]
        self.conditioned = conditioned
        self.divide_by_time = divide_by_time
        widths = [scaled(c, width) for c in CHANNELS]
        inner = [None if w is None else scaled(w, width) for w in ATTENTION]
        visual, head = scaled(VISUAL, width), scaled(HEAD_WIDTH, width)
        lowest = len(widths) - 1
        kept = [architecture.deepest_level or i < lowest for i in range(len(widths))]
        time, single = TIME_FACTOR * widths[0], architecture.single_convolution

        def attention(i: int) -> CrossAttention | None:
            between = inner[i]
            if between is None or not kept[i]:
                return None
            return CrossAttention(widths[i], visual, between, head, video_window, PICTURES * 2**i)

        def block(inputs: int, outputs: int, resample: Resample = None) -> ResidualBlock:
            return ResidualBlock(inputs, outputs, time, single, resample)

        self.shrink, self.enlarge = Halve(), Double()
        self.time = TimeEmbedding(widths[0], conditioned)
        self.input = convolution(channels, widths[0], 3)
        self.down = nn.ModuleList()
        skips = []
        current = widths[0]
        for i in range(len(widths) if kept[lowest] else lowest):
            skips += [current, widths[i]]
            down = block(widths[i], widths[i], "down") if i < lowest else None
            self.down.append(DownLevel(block(current, widths[i]), attention(i), down, channels, widths[i]))
            current = widths[i]
        self.middle = (
            nn.ModuleList([block(current, current), SelfAttention(current), block(current, current)])
            if kept[lowest]
            else None
        )
        self.up = nn.ModuleList()
        for i in reversed(range(len(widths))):
            blocks = []
            for _ in range(2 if kept[i] else 0):
                blocks.append(block(current + skips.pop(), widths[i]))
                current = widths[i]
            up = block(current, current, "up") if i > 0 else None
            self.up.append(UpLevel(blocks, attention(i), up, channels, current))
        self.output = nn.Conv2d(channels, 2, 1)
        if not conditioned:
            for module in self.modules():
                if isinstance(module, ResidualBlock):
                    module.time.requires_grad_(False)

    def forward(self, x: Tensor, visual: Tensor, time: Tensor | None = None) -> Tensor:
        if (time is not None) != self.conditioned:
            raise ValueError(
                f"Expected {'a time per item' if self.conditioned else 'no time'} in a network built with "
                f"conditioned={self.conditioned}, got {'none' if time is None else 'one'}"
            )
        bins, frames = x.shape[-2:]
        if bins % MULTIPLE:
            raise ValueError(f"Expected bins in a multiple of {MULTIPLE} (256 in the paper), got {bins}")
        embedding = None if time is None else self.time(time)
        x = 2 * F.pad(x, (0, -frames % MULTIPLE)) - 1
        h = self.input(x)
        skips = []
        for level in self.down:
            skips.append(h)
            h = level.block(h, embedding)
            if level.attention is not None:
                h = level.attention(h, visual)
            skips.append(h)
            if level.resample is not None:
                x = self.shrink(x)
                h = level.resample(h, embedding) + level.inject(x)
        if self.middle is not None:
            first, attention, second = self.middle
            h = second(attention(first(h, embedding)), embedding)
        picture: Tensor | None = None
        for level in self.up:
            for block in level.blocks:
                h = block(torch.cat([h, skips.pop()], dim=1), embedding)
            if level.attention is not None:
                h = level.attention(h, visual)
            drawn = level.draw(F.silu(level.norm(h)))
            picture = drawn if picture is None else drawn + self.enlarge(picture)
            if level.resample is not None:
                h = level.resample(h, embedding)
        assert picture is not None
        if time is not None and self.divide_by_time:
            picture = picture / time[:, None, None, None]
        return self.output(picture)[..., :frames]


class TimeEmbedding(nn.Module):
    """Random Fourier features of log t, and two linear maps (the latter only where the network uses time).

    The random frequencies are frozen, and rounded to half precision so that weights stored so keep them exactly.

    Shape:
        `[B]` -> `[B, 4 channels]`
    """

    def __init__(self, channels: int, conditioned: bool) -> None:
        super().__init__()
        frequencies = (torch.randn(channels) * FOURIER_SCALE).half().float()
        self.frequencies = nn.Parameter(frequencies, requires_grad=False)
        if conditioned:
            self.hidden = _linear(2 * channels, TIME_FACTOR * channels)
            self.output = _linear(TIME_FACTOR * channels, TIME_FACTOR * channels)

    def forward(self, time: Tensor) -> Tensor:
        phase = 2 * math.pi * time.log()[:, None] * self.frequencies
        return self.output(F.silu(self.hidden(torch.cat([phase.sin(), phase.cos()], dim=1))))


class ResidualBlock(nn.Module):
    """BigGAN's residual block: normalise, swish, resample, 3x3, add time; normalise, swish, 3x3; plus the shortcut.

    The sum is divided by sqrt(2). With `single`, the second half (normalise, swish, 3x3) is left out.

    Shape:
        `[B, inputs, F, T]`, time `[B, time]` or None -> `[B, outputs, F', T']`, doubled or halved as `resample` says
    """

    def __init__(self, inputs: int, outputs: int, time: int, single: bool, resample: Resample = None) -> None:
        super().__init__()
        self.resample = None if resample is None else Halve() if resample == "down" else Double()
        self.norm_in = group_norm(inputs)
        self.conv_in = convolution(inputs, outputs, 3, gain=NEAR_ZERO if single else 1.0)
        self.time = _linear(time, outputs)
        self.norm_out = None if single else group_norm(outputs)
        self.conv_out = None if single else convolution(outputs, outputs, 3, gain=NEAR_ZERO)
        # The original also maps the shortcut of every block that resamples, though its channels already fit.
        mapped = inputs != outputs or (resample is not None and not single)
        self.shortcut = convolution(inputs, outputs, 1) if mapped else None

    def forward(self, x: Tensor, time: Tensor | None) -> Tensor:
        h = F.silu(self.norm_in(x))
        if self.resample is not None:
            h, x = self.resample(h), self.resample(x)
        h = self.conv_in(h)
        if time is not None:
            h = h + self.time(F.silu(time))[:, :, None, None]
        if self.conv_out is not None:
            h = self.conv_out(F.silu(self.norm_out(h)))
        if self.shortcut is not None:
            x = self.shortcut(x)
        return (x + h) / math.sqrt(2)


class DownLevel(nn.Module):
    """What one resolution holds on the way down; `inject` maps the halved input to be added."""

    def __init__(
        self,
        block: ResidualBlock,
        attention: CrossAttention | None,
        resample: ResidualBlock | None,
        channels: int,
        width: int,
    ) -> None:
        super().__init__()
        self.block = block
        self.attention = attention
        self.resample = resample
        self.inject = None if resample is None else convolution(channels, width, 1)


class UpLevel(nn.Module):
    """What one resolution holds on the way up; `draw` makes its part of the picture."""

    def __init__(
        self,
        blocks: list[ResidualBlock],
        attention: CrossAttention | None,
        resample: ResidualBlock | None,
        channels: int,
        width: int,
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.attention = attention
        self.norm = group_norm(width)
        self.draw = convolution(width, channels, 3, gain=NEAR_ZERO)
        self.resample = resample


class SelfAttention(nn.Module):
    """One-headed attention among all bins and frames, plus its input, divided by sqrt(2).

    Shape:
        `[B, C, F, T]` -> `[B, C, F, T]`
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = group_norm(channels)
        self.query, self.key, self.value = (_linear(channels, channels) for _ in range(3))
        self.output = _linear(channels, channels, gain=NEAR_ZERO)

    def forward(self, x: Tensor) -> Tensor:
        points = self.norm(x).flatten(2).transpose(1, 2)
        # The explicit axis of one head is what lets the fused kernels apply.
        q, k, v = (to(points)[:, None] for to in (self.query, self.key, self.value))
        mixed = self.output(F.scaled_dot_product_attention(q, k, v)[:, 0])
        return (x + mixed.transpose(1, 2).unflatten(2, x.shape[2:])) / math.sqrt(2)


class CrossAttention(nn.Module):
    """Let every frame of sound look at every frame of video (AVDiffuSS, as its code computes it).

    The mean over frequency of the normalised input is a sequence over time. One transformer block (attention to
    itself, to the visual features, gated feed-forward) works on it, and the result is added to all bins alike.
    There is no positional code, so the numbers of frames need not agree: what links them is learnt. That takes long;
    `window` gives it instead: attention to the video falls off around the moment of the sound, as a Gaussian whose
    standard deviation is so many frames of video. There are `pictures` of them in a frame of sound.

    Shape:
        `[B, C, F, T]`, visual `[B, N, visual]` -> `[B, C, F, T]`
    """

    def __init__(
        self, channels: int, visual: int, width: int, head: int, window: float = 0.0, pictures: float = 1.0
    ) -> None:
        super().__init__()
        self.window, self.pictures = window, pictures
        self.norm = group_norm(channels)
        self.enter = nn.Linear(channels, width)
        self.norm_own = nn.LayerNorm(width)
        # Keys and values of the attention to itself come from its queries, not from the sequence.
        self.own = Attention(width, HEADS * head, head)
        self.norm_seen = nn.LayerNorm(width)
        self.seen = Attention(width, visual, head)
        self.norm_feed = nn.LayerNorm(width)
        self.feed_in = nn.Linear(width, 8 * width)
        self.feed_out = nn.Linear(4 * width, width)
        self.leave = nn.Linear(width, channels)

    def forward(self, x: Tensor, visual: Tensor) -> Tensor:
        h = self.enter(self.norm(x).mean(dim=2).transpose(1, 2))
        h = h + self.own(self.norm_own(h), None)
        near = None
        if self.window:
            sound = self.pictures * (torch.arange(h.shape[1], device=h.device) + 0.5)
            video = torch.arange(visual.shape[1], device=h.device) + 0.5
            near = (-0.5 * ((sound[:, None] - video) / self.window) ** 2).to(h.dtype)
        h = h + self.seen(self.norm_seen(h), visual, near)
        value, gate = self.feed_in(self.norm_feed(h)).chunk(2, dim=-1)
        h = h + self.feed_out(value * F.gelu(gate))
        return x + self.leave(h).transpose(1, 2)[:, :, None]


class Attention(nn.Module):
    """Multi-head attention to `context`, or to the projected queries themselves where it is None.

    Shape:
        `[B, T, width]`, context `[B, N, source]`, bias of the logits `[T, N]` -> `[B, T, width]`
    """

    def __init__(self, width: int, source: int, head: int) -> None:
        super().__init__()
        self.query = nn.Linear(width, HEADS * head, bias=False)
        self.key = nn.Linear(source, HEADS * head, bias=False)
        self.value = nn.Linear(source, HEADS * head, bias=False)
        self.output = nn.Linear(HEADS * head, width)

    def forward(self, x: Tensor, context: Tensor | None, bias: Tensor | None = None) -> Tensor:
        query = self.query(x)
        source = query if context is None else context
        q, k, v = (y.unflatten(2, (HEADS, -1)).transpose(1, 2) for y in (query, self.key(source), self.value(source)))
        return self.output(F.scaled_dot_product_attention(q, k, v, attn_mask=bias).transpose(1, 2).flatten(2))


class Halve(nn.Module):
    """Half the resolution through the filter [1, 3, 3, 1] / 8 along both axes, zeros outside the input.

    Shape:
        `[B, C, F, T]` -> `[B, C, F / 2, T / 2]`
    """

    filter: Tensor

    def __init__(self) -> None:
        super().__init__()
        # Not saved: it is a constant, held as a buffer only to be on the network's device.
        self.register_buffer("filter", _filter(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        return F.conv2d(x, self.filter.expand(channels, 1, 4, 4), stride=2, padding=1, groups=channels)


class Double(nn.Module):
    """Twice the resolution through the filter [1, 3, 3, 1] / 4 along both axes, zeros outside the input.

    Shape:
        `[B, C, F, T]` -> `[B, C, 2 F, 2 T]`
    """

    filter: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("filter", 4 * _filter(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        return F.conv_transpose2d(x, self.filter.expand(channels, 1, 4, 4), stride=2, padding=1, groups=channels)


def _filter() -> Tensor:
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    return taps[:, None] * taps


def group_norm(channels: int) -> nn.GroupNorm:
    """At most 32 groups of at least four channels, as many as divide the channels evenly."""
    groups = next(g for g in range(min(channels // 4, 32), 0, -1) if channels % g == 0)
    return nn.GroupNorm(groups, channels, eps=EPSILON)


def convolution(inputs: int, outputs: int, kernel: int, gain: float = 1.0) -> nn.Conv2d:
    """As large as its input; `gain` shrinks the weights that it starts with."""
    layer = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
    nn.init.xavier_uniform_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer


def _linear(inputs: int, outputs: int, gain: float = 1.0) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    nn.init.xavier_uniform_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer
