"""A small visual front-end for Talkers, in the place of the paper's BRAVEn: lips to features.

Of the same kind, a 3-D convolution, a residual network on each frame and a transformer over time, at half a hundredth
of the size; it learns to read phonemes from lips (`visual_training.py`).
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.media.mouth_video import CENTRE, SIDE

STAGES = (24, 32, 48, 64, 96)
"""Channels of the first convolution and of the four residual stages; all but the first stage halve the picture."""
FRAMES = 5
"""Neighbouring frames that the first convolution sees."""
BLOCKS, HEADS, KERNEL = 2, 4, 7
"""Of the transformer over time; its convolutions see so many frames."""
REACH = 75
"""Frames before and after that attention sees: three seconds."""
GREY_MEAN, GREY_DEVIATION = 0.421, 0.165
"""Of mouths, as the published pipelines have them."""


def centre(mouths: Tensor) -> Tensor:
    """The middle of mouth pictures as the encoders take it. Shape: `[..., 96, 96]` uint8 -> `[..., 88, 88]` float32."""
    edge = (SIDE - CENTRE) // 2
    return mouths[..., edge:-edge, edge:-edge].float() / 255


class VisualEncoder(nn.Module):
    """Features of a mouth, frame by frame.

    The 5x7x7 convolution is computed as a 2-D one over five neighbouring frames as channels. What lies before a clip
    and after its end is grey of the mean; with `lengths` the frames that fill a batch up are taken for that too, so
    that the other clips of a batch change nothing.

    Args:
        dim: channels of the features.

    Shape:
        `[B, N, 88, 88]` float in [0, 1], 25 frames a second -> `[B, N, dim]`
    """

    def __init__(self, dim: int = 128) -> None:
        super().__init__()
        self.dim = dim
        self.front = nn.Conv2d(FRAMES, STAGES[0], 7, stride=2, padding=3, bias=False)
        self.front_norm = nn.BatchNorm2d(STAGES[0])
        self.stages = nn.Sequential(*(Residual(a, b, 1 if i == 0 else 2) for i, (a, b) in enumerate(pairwise(STAGES))))
        self.project = nn.Linear(STAGES[-1] * 9, dim)
        self.blocks = nn.ModuleList(TemporalBlock(dim) for _ in range(BLOCKS))
        self.norm = nn.LayerNorm(dim)

    def forward(self, video: Tensor, lengths: Tensor | None = None) -> Tensor:
        """
        Args:
            lengths: frames of each clip, `[B]`, where the batch is filled up; the features beyond them are 0.
        """
        count, frames = video.shape[:2]
        inside = inside_of(video, lengths)
        x = (video - GREY_MEAN) / GREY_DEVIATION * inside[..., None, None]
        windows = F.pad(x, (0, 0, 0, 0, FRAMES // 2, FRAMES // 2)).unfold(1, FRAMES, 1).movedim(-1, 2)
        x = F.silu(self.front_norm(self.front(windows.flatten(0, 1))))
        x = self.stages(F.max_pool2d(x, 3, stride=2, padding=1))
        # [B N, C, 3, 3]: the parts of the mouth lie in known places, which a mean over all would forget
        x = self.project(x.flatten(1)).view(count, frames, -1)
        seen = seen_of(inside)
        for block in self.blocks:
            x = block(x, inside, seen)
        return self.norm(x) * inside[..., None]


class Residual(nn.Module):
    """Two 3x3 convolutions, each with batch normalisation, beside a 1x1 one. Shape: `[B, C, H, W]`."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv_a = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.norm_a = nn.BatchNorm2d(outputs)
        self.conv_b = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm_b = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = F.silu(self.norm_a(self.conv_a(x)))
        return F.silu(self.norm_b(self.conv_b(y)) + self.shortcut(x))


class TemporalBlock(nn.Module):
    """Convolution, attention and two linear layers over time, each about a residual. Shape: `[B, N, C]`."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv_norm = nn.LayerNorm(dim)
        self.conv_in = nn.Linear(dim, 2 * dim)
        self.depthwise = nn.Conv1d(dim, dim, KERNEL, padding=KERNEL // 2, groups=dim)
        self.conv_out = nn.Linear(dim, dim)
        self.attention_norm = nn.LayerNorm(dim)
        self.queries_keys_values = nn.Linear(dim, 3 * dim)
        self.attention_out = nn.Linear(dim, dim)
        self.linear_norm = nn.LayerNorm(dim)
        self.wide = nn.Linear(dim, 2 * dim)
        self.narrow = nn.Linear(2 * dim, dim)
        self.dropout = nn.Dropout(0.1)

    def forward(self, x: Tensor, inside: Tensor, seen: Tensor) -> Tensor:
        """
        Args:
            inside: 1 where a frame belongs to its clip, 0 elsewhere, `[B, N]`.
            seen: whether a frame (rows) attends to another, `[B, 1, N, N]`.
        """
        y = F.glu(self.conv_in(self.conv_norm(x))) * inside[..., None]
        y = self.depthwise(y.transpose(1, 2)).transpose(1, 2)
        x = x + self.dropout(self.conv_out(F.silu(y)))
        q, k, v = self.queries_keys_values(self.attention_norm(x)).unflatten(-1, (3, HEADS, -1)).movedim(2, 0)
        q, k = rotated(q.transpose(1, 2)), rotated(k.transpose(1, 2))
        y = F.scaled_dot_product_attention(q, k, v.transpose(1, 2), attn_mask=seen)
        x = x + self.dropout(self.attention_out(y.transpose(1, 2).flatten(2)))
        return x + self.dropout(self.narrow(F.silu(self.wide(self.linear_norm(x)))))


def rotated(x: Tensor) -> Tensor:
    """Rotary position codes (Su et al. 2021): products of queries and keys then depend on their distance in time.

    Shape:
        `[B, heads, N, D]` -> the same
    """
    half = x.shape[-1] // 2
    frequencies = 100.0 ** -(torch.arange(half, device=x.device) / half)
    angle = torch.arange(x.shape[-2], device=x.device)[:, None] * frequencies
    a, b = x.float().chunk(2, dim=-1)
    turned = torch.cat([a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()], dim=-1)
    return turned.to(x.dtype)


def inside_of(video: Tensor, lengths: Tensor | None) -> Tensor:
    """1 for frames of the clips, 0 for what fills the batch up: `[B, N]`, of the video's type."""
    count, frames = video.shape[:2]
    if lengths is None:
        return video.new_ones(count, frames)
    return (torch.arange(frames, device=video.device) < lengths.to(video.device)[:, None]).to(video.dtype)


def seen_of(inside: Tensor) -> Tensor:
    """Frames attend to those of their own clip within REACH; what fills up attends to itself."""
    place = torch.arange(inside.shape[1], device=inside.device)
    near = (place[:, None] - place).abs() <= REACH
    own = torch.eye(len(place), dtype=torch.bool, device=inside.device)
    return ((near & inside.bool()[:, None, :]) | own)[:, None]
