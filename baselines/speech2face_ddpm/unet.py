"""The U-Nets of face decoder and super-resolution, in the manner of Imagen (Saharia et al. 2022, App. F).

A level of the U-Net is a block that looks at the condition, further blocks, and where asked self-attention over the
picture. Pixels are moved into channels and back where the size changes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SKIP_SCALE = 2**-0.5
TIME_TOKENS = 2
LONGEST_PERIOD = 10_000.0


@dataclass(frozen=True)
class Shape:
    """What a U-Net is made of: a column of Table 1."""

    dim: int
    """Channels after the first convolution."""
    multiples: tuple[int, ...]
    """Channels of each level in times of `dim`."""
    blocks: tuple[int, ...]
    """Residual blocks of each level after its first, which every level has."""
    attention: tuple[bool, ...]
    """Which levels have self-attention, and cross-attention to the condition."""
    heads: int = 4
    head_dim: int = 64
    groups: int = 32
    """Of group normalisation."""
    patch: int = 1
    """Side of the squares of pixels that are taken as one, their colours as channels."""
    efficient: bool = False
    """Levels begin by halving the size, as Imagen's super-resolution does, rather than end so."""


class UNet(nn.Module):
    """A denoiser: from a noisy picture and its time to noise, or whatever it was taught to tell.

    Args:
        embedding: length of the vector that conditions it; 0 for none. The zero vector stands for no condition.
        low_resolution: whether it looks at a small picture too, brought to size, itself a little noisy.

    Shape:
        x `[B, 3, S, S]` in about -1..1, time `[B]` in 0..1 -> `[B, 3, S, S]`; S a multiple of `patch` times two to the
        number of halvings
    """

    def __init__(self, shape: Shape, embedding: int = 0, low_resolution: bool = False) -> None:
        super().__init__()
        self.patch = shape.patch
        pixels = 3 * shape.patch**2
        dim = shape.dim
        wide, kernel = 4 * dim, 7 if shape.patch == 1 else 3
        self.time = TimeEmbedding(dim, wide)
        self.level = TimeEmbedding(dim, wide) if low_resolution else None
        self.to_tokens = nn.Linear(wide, TIME_TOKENS * wide)
        self.condition = Condition(embedding, wide) if embedding else None
        self.token_norm = nn.LayerNorm(wide)
        self.first = nn.Conv2d(2 * pixels if low_resolution else pixels, dim, kernel, padding=kernel // 2)
        sizes = [dim, *(dim * multiple for multiple in shape.multiples)]
        last = len(shape.multiples) - 1
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for place, (before, after) in enumerate(zip(sizes[:-1], sizes[1:], strict=True)):
            here = after if shape.efficient else before
            start: nn.Module = Halve(before, after) if shape.efficient else nn.Identity()
            end: nn.Module = nn.Identity()
            if not shape.efficient:
                end = Halve(here, after) if place < last else _fitted(here, after)
            attention, blocks = shape.attention[place], shape.blocks[place]
            self.down.append(Level(here, 0, blocks, attention, wide, shape, start, end))
            grown = Double(after, before) if shape.efficient or place > 0 else _fitted(after, before)
            self.up.insert(0, Level(after, here, blocks, attention, wide, shape, nn.Identity(), grown))
        self.middle = Level(sizes[-1], 0, 1, True, wide, shape, nn.Identity(), nn.Identity())
        self.final = Block(2 * dim, dim, wide, shape, attention=False)
        self.last = nn.Conv2d(dim, pixels, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(
        self,
        x: Tensor,
        time: Tensor,
        embedding: Tensor | None = None,
        low: Tensor | None = None,
        level: Tensor | None = None,
    ) -> Tensor:
        """
        Args:
            embedding: `[B, D]`, of unit length or zero.
            low: the small picture at the size of `x`, with noise.
            level: how much noise, as a time `[B]`.
        """
        if low is not None:
            x = torch.cat([x, low], dim=1)
        x = self.first(F.pixel_unshuffle(x, self.patch))
        t = self.time(time)
        if self.level is not None:
            t = t + self.level(level)
        tokens = self.to_tokens(F.silu(t)).unflatten(1, (TIME_TOKENS, -1))
        if self.condition is not None:
            told = self.condition(embedding)
            tokens = torch.cat([tokens, told[:, None]], dim=1)
            t = t + told
        tokens, t = self.token_norm(tokens), F.silu(t)
        begin, skips = x, []
        for one in self.down:
            x, seen = one(x, t, tokens)
            skips += seen
        x, _ = self.middle(x, t, tokens)
        for one in self.up:
            x, _ = one(x, t, tokens, skips)
        x = self.final(torch.cat([x, begin], dim=1), t, tokens)
        return F.pixel_shuffle(self.last(x), self.patch)


class TimeEmbedding(nn.Module):
    """Sines and cosines of a time in 0..1, through two layers. Shape: `[B]` -> `[B, wide]`."""

    def __init__(self, dim: int, wide: int) -> None:
        super().__init__()
        self.half = dim // 2
        self.layers = nn.Sequential(nn.Linear(2 * self.half, wide), nn.SiLU(), nn.Linear(wide, wide))

    def forward(self, time: Tensor) -> Tensor:
        steps = torch.arange(self.half, device=time.device) / self.half
        angles = 1000 * time.float()[:, None] * torch.exp(-math.log(LONGEST_PERIOD) * steps)
        return self.layers(torch.cat([angles.sin(), angles.cos()], dim=1))


class Condition(nn.Module):
    """An embedding of unit length, through two layers; zero for no condition. Shape: `[B, D]` -> `[B, wide]`."""

    def __init__(self, embedding: int, wide: int) -> None:
        super().__init__()
        self.scale = embedding**0.5
        self.layers = nn.Sequential(nn.Linear(embedding, wide), nn.SiLU(), nn.Linear(wide, wide))

    def forward(self, embedding: Tensor) -> Tensor:
        return self.layers(self.scale * embedding)


class Level(nn.Module):
    """Blocks at one size, each with what the same level had on the way down where `skip` says how many channels."""

    def __init__(
        self,
        dim: int,
        skip: int,
        blocks: int,
        attention: bool,
        wide: int,
        shape: Shape,
        start: nn.Module,
        end: nn.Module,
    ) -> None:
        super().__init__()
        self.start, self.end = start, end
        self.blocks = nn.ModuleList(
            Block(dim + skip, dim, wide, shape, attention=attention and place == 0) for place in range(blocks + 1)
        )
        self.attention = Transformer(dim, shape) if attention else nn.Identity()

    def forward(
        self, x: Tensor, t: Tensor, tokens: Tensor, skips: list[Tensor] | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """The level's output, and what it had after each block; `skips` are taken from the end."""
        x = self.start(x)
        seen: list[Tensor] = []
        for place, block in enumerate(self.blocks):
            if skips is not None:
                x = torch.cat([x, SKIP_SCALE * skips.pop()], dim=1)
            x = block(x, t, tokens)
            if place == len(self.blocks) - 1:
                x = self.attention(x)
            seen.append(x)
        return self.end(x), seen


class Block(nn.Module):
    """A residual block that time scales and shifts, with cross-attention to the condition between its convolutions."""

    def __init__(self, before: int, after: int, wide: int, shape: Shape, attention: bool) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.GroupNorm(shape.groups, before), nn.SiLU(), nn.Conv2d(before, after, 3, padding=1)
        )
        self.cross = CrossAttention(after, wide, shape) if attention else None
        self.norm = nn.GroupNorm(shape.groups, after)
        self.modulation = nn.Linear(wide, 2 * after)
        self.second = nn.Conv2d(after, after, 3, padding=1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)
        self.shortcut = _fitted(before, after)

    def forward(self, x: Tensor, t: Tensor, tokens: Tensor) -> Tensor:
        h = self.first(x)
        if self.cross is not None:
            h = h + self.cross(h, tokens)
        scale, shift = self.modulation(t)[:, :, None, None].chunk(2, dim=1)
        h = self.norm(h) * (1 + scale) + shift
        return self.second(F.silu(h)) + self.shortcut(x)


class CrossAttention(nn.Module):
    """From each place of a picture to the tokens of the condition. Shape: `[B, C, H, W]`, `[B, N, wide]`."""

    def __init__(self, dim: int, wide: int, shape: Shape) -> None:
        super().__init__()
        self.heads, inner = shape.heads, shape.heads * shape.head_dim
        self.norm = nn.LayerNorm(dim)
        self.query = nn.Linear(dim, inner, bias=False)
        self.key_value = nn.Linear(wide, 2 * inner, bias=False)
        self.output = nn.Linear(inner, dim, bias=False)

    def forward(self, x: Tensor, tokens: Tensor) -> Tensor:
        places = x.flatten(2).transpose(1, 2)
        mixed = _attend(self.query(self.norm(places)), *self.key_value(tokens).chunk(2, dim=2), self.heads)
        return self.output(mixed).transpose(1, 2).view_as(x)


class Transformer(nn.Module):
    """Self-attention over a picture and two layers at each place. Shape: `[B, C, H, W]`."""

    def __init__(self, dim: int, shape: Shape) -> None:
        super().__init__()
        self.heads, inner = shape.heads, shape.heads * shape.head_dim
        self.norm = nn.LayerNorm(dim)
        self.query_key_value = nn.Linear(dim, 3 * inner, bias=False)
        self.output = nn.Linear(inner, dim, bias=False)
        self.layers = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        places = x.flatten(2).transpose(1, 2)
        mixed = _attend(*self.query_key_value(self.norm(places)).chunk(3, dim=2), self.heads)
        places = places + self.output(mixed)
        places = places + self.layers(places)
        return places.transpose(1, 2).view_as(x)


class Halve(nn.Module):
    """Half the size: four pixels become channels, and these are mixed."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(4 * before, after, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.mix(F.pixel_unshuffle(x, 2))


class Double(nn.Module):
    """Twice the size: channels become four pixels."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(before, 4 * after, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(F.silu(self.mix(x)), 2)


def _attend(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    """`[B, N, heads * D]`, `[B, M, heads * D]` twice -> `[B, N, heads * D]`."""
    q, k, v = (part.unflatten(2, (heads, -1)).transpose(1, 2) for part in (query, key, value))
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


def _fitted(before: int, after: int) -> nn.Module:
    """From one number of channels to another, at each place; nothing where they are the same."""
    return nn.Conv2d(before, after, 1) if before != after else nn.Identity()
