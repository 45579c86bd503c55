"""BRAVEn's video encoder, in all its sizes, from the checkpoints of its authors (Haliassos et al., ICASSP 2024).

A 3-D convolution, a ResNet-18 on each frame, and a transformer with relative positions, layer scale, and batch
normalisation before its linear layers. The sizes are those that the file has: LipDiffuser takes `Large`, of 24 layers
and 1024 channels (Sec. 4.3). Names are the official ones, so that the keys of the files fit.

Which layer LipDiffuser takes is not said; it is the last one here, after its normalisation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.lipdiffuser.visual_encoder import GREY_DEVIATION, GREY_MEAN, inside_of
from benchmark.errors import InvalidConfig
from benchmark.weights import table as weights

FRONT = 64
TRUNK = (64, 128, 256, 512)
FIRST = "frontend.frontend3D.0.weight"
"""The first key of the encoder, after whatever stands before all of them in a file."""
PARTS = ("frontend.", "embed.", "encoders.", "after_norm.")
"""Keys of the encoder begin so; a lip reader's file also holds a decoder and an output layer for CTC."""


class Size(NamedTuple):
    """Of the transformer."""

    dim: int
    heads: int
    hidden: int
    layers: int


LARGE = Size(1024, 16, 4096, 24)


class BRAVEn(nn.Module):
    """Lips to features.

    Shape:
        `[B, N, 88, 88]` float in [0, 1], grey, 25 frames a second -> `[B, N, dim]`
    """

    def __init__(self, size: Size = LARGE) -> None:
        super().__init__()
        self.dim = size.dim
        self.frontend = FrontEnd()
        self.embed = nn.Sequential(nn.Linear(TRUNK[-1], size.dim))
        self.encoders = nn.ModuleList(Layer(size) for _ in range(size.layers))
        self.after_norm = nn.LayerNorm(size.dim, eps=1e-12)

    def forward(self, video: Tensor, lengths: Tensor | None = None) -> Tensor:
        """
        Args:
            lengths: frames of each clip, `[B]`, where the batch is filled up; the features beyond them are 0.
        """
        inside = inside_of(video, lengths)
        x = (video - GREY_MEAN) / GREY_DEVIATION * inside[..., None, None]
        x = self.embed(self.frontend(x)) * math.sqrt(self.dim)
        codes = relative_codes(video.shape[1], self.dim).to(x)
        own = torch.eye(video.shape[1], dtype=torch.bool, device=video.device)
        seen = (inside.bool()[:, None, :] | own)[:, None]
        for layer in self.encoders:
            x = layer(x, codes, seen)
        return self.after_norm(x) * inside[..., None]


class FrontEnd(nn.Module):
    """3-D convolution and ResNet-18 with swish. Shape: `[B, N, H, W]` -> `[B, N, 512]`."""

    def __init__(self) -> None:
        super().__init__()
        self.frontend3D = nn.Sequential(
            nn.Conv3d(1, FRONT, (5, 7, 7), stride=(1, 2, 2), padding=(2, 3, 3), bias=False),
            nn.BatchNorm3d(FRONT),
            nn.SiLU(),
            nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1)),
        )
        self.trunk = nn.Module()
        before = FRONT
        for number, channels in enumerate(TRUNK, start=1):
            stride = 1 if number == 1 else 2
            self.trunk.add_module(
                f"layer{number}", nn.Sequential(Block(before, channels, stride), Block(channels, channels, 1))
            )
            before = channels

    def forward(self, x: Tensor) -> Tensor:
        count, frames = x.shape[:2]
        x = self.frontend3D(x[:, None]).transpose(1, 2).flatten(0, 1)
        for stage in self.trunk.children():
            x = stage(x)
        return x.mean(dim=(2, 3)).view(count, frames, -1)


class Block(nn.Module):
    """A basic block of ResNet. Shape: `[B, C, H, W]`."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        around = x if self.downsample is None else self.downsample(x)
        return F.silu(self.bn2(self.conv2(F.silu(self.bn1(self.conv1(x))))) + around)


class Layer(nn.Module):
    """Attention and two linear layers, each scaled by channel and added. Shape: `[B, N, C]`."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.self_attn = Attention(size.dim, size.heads)
        self.feed_forward = nn.ModuleDict(
            {"w_1": nn.Linear(size.dim, size.hidden), "w_2": nn.Linear(size.hidden, size.dim)}
        )
        self.norm_mha = nn.LayerNorm(size.dim, eps=1e-12)
        self.norm_ff = nn.BatchNorm1d(size.dim)
        self.gamma_mha = nn.Parameter(torch.full((size.dim,), 0.1))
        self.gamma_ff = nn.Parameter(torch.full((size.dim,), 0.1))

    def forward(self, x: Tensor, codes: Tensor, seen: Tensor) -> Tensor:
        x = x + self.gamma_mha * self.self_attn(self.norm_mha(x), codes, seen)
        y = self.norm_ff(x.transpose(1, 2)).transpose(1, 2)
        return x + self.gamma_ff * self.feed_forward["w_2"](F.relu(self.feed_forward["w_1"](y)))


class Attention(nn.Module):
    """Attention by content and by distance in time (Dai et al., ACL 2019, Sec. 3.3). Shape: `[B, N, C]`."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.linear_q, self.linear_k, self.linear_v = nn.Linear(dim, dim), nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.linear_out = nn.Linear(dim, dim)
        self.linear_pos = nn.Linear(dim, dim, bias=False)
        self.pos_bias_u = nn.Parameter(torch.zeros(heads, dim // heads))
        self.pos_bias_v = nn.Parameter(torch.zeros(heads, dim // heads))

    def forward(self, x: Tensor, codes: Tensor, seen: Tensor) -> Tensor:
        frames = x.shape[1]
        q, k, v, p = (
            y.unflatten(-1, (self.heads, -1)).transpose(-3, -2)
            for y in (self.linear_q(x), self.linear_k(x), self.linear_v(x), self.linear_pos(codes))
        )
        # p: [heads, 2 N - 1, D], of the distances N - 1 ... 1 - N; the one of query i and key j is at N - 1 - (i - j)
        by_distance = (q + self.pos_bias_v[:, None]) @ p.transpose(-2, -1)
        place = torch.arange(frames, device=x.device)
        index = (frames - 1 - (place[:, None] - place)).expand(*by_distance.shape[:2], -1, -1)
        bias = by_distance.gather(-1, index) / math.sqrt(q.shape[-1])
        bias = bias.masked_fill(~seen, float("-inf"))
        y = F.scaled_dot_product_attention(q + self.pos_bias_u[:, None], k, v, attn_mask=bias)
        return self.linear_out(y.transpose(1, 2).flatten(2))


def relative_codes(frames: int, dim: int) -> Tensor:
    """Sines and cosines, in turn, of the distances in time from `frames` - 1 down to 1 - `frames`.

    Shape:
        `[2 frames - 1, dim]`
    """
    distance = torch.arange(frames - 1, -frames, -1.0)[:, None]
    angle = distance * torch.exp(torch.arange(0, dim, 2.0) * -(math.log(10000.0) / dim))
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)


def read_visual(path: Path) -> BRAVEn:
    """The video encoder of an official checkpoint, in evaluation mode: of a pretrained one, or of a lip reader.

    Raises:
        MissingWeights: no such file, or one that cannot be read.
        InvalidConfig: a file with another network in it.
    """
    state = weights.load_state(path)
    root = next((key.removesuffix(FIRST) for key in state if key.endswith(FIRST)), None)
    if root is None:
        raise InvalidConfig(f"{path} holds no {FIRST}: expected a checkpoint of BRAVEn's video encoder")
    own = {key.removeprefix(root): tensor for key, tensor in state.items() if key.startswith(root)}
    own = {key: tensor for key, tensor in own.items() if key.startswith(PARTS)}
    size = _size(own)
    encoder = None if size is None else BRAVEn(size)
    wanted = {} if encoder is None else encoder.state_dict()
    odd = [key for key in sorted({*own, *wanted}) if key not in own or key not in wanted]
    odd += [key for key in wanted if key in own and wanted[key].shape != own[key].shape]
    if encoder is None or odd:
        raise InvalidConfig(
            f"{path} is no video encoder of BRAVEn or RAVEn: {len(odd)} of its tensors are missing, left over or of "
            f"another shape, such as {', '.join(odd[:3]) or 'encoders.0.self_attn.pos_bias_u'}"
        )
    encoder.load_state_dict(own)
    return encoder.eval()


def _size(state: Mapping[str, Tensor]) -> Size | None:
    """What the tensors say of the transformer; None where they have none like BRAVEn's."""
    bias, wide = state.get("encoders.0.self_attn.pos_bias_u"), state.get("encoders.0.feed_forward.w_1.weight")
    if bias is None or wide is None or bias.ndim != 2 or wide.ndim != 2:
        return None
    layers = 1 + max(int(key.split(".")[1]) for key in state if key.startswith("encoders."))
    return Size(bias.numel(), len(bias), len(wide), layers)
