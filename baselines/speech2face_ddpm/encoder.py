"""The speech encoder: Speech2Face's convolutional network (Oh et al. 2019, Table 1), with another last layer."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from baselines.layers.width import scaled

CHANNELS = (64, 64, 128, 128, 128, 256, 512, 512, 512)
POOLED = (2, 3, 4, 5)
"""After these convolutions, counted from 0, every second frame stays: the larger of two."""
STRIDED = (7, 8)
COLUMNS = 57
"""Bands that are left of 257."""
SHORTEST = 259
"""Frames without which a convolution would have nothing to look at."""
EPSILON = 1e-12


class SpeechEncoder(nn.Module):
    """Nine 4 x 4 convolutions without padding, each with ReLU and batch normalisation; a mean over time; two layers.

    The paper's 598 frames leave six at the end, over which the mean is taken; any other number from 259 on will do.

    Args:
        embedding: 512 for ArcFace's descriptor, 128 for dlib's.
        width: times all channels of the convolutions.
        hidden: units of the first of the two last layers.

    Shape:
        `[B, 2, T, 257]` -> `[B, embedding]`, of unit length
    """

    def __init__(self, embedding: int, width: float = 1.0, hidden: int = 4096) -> None:
        super().__init__()
        channels = [2, *(scaled(c, width) for c in CHANNELS)]
        layers: list[nn.Module] = []
        for place, (before, after) in enumerate(zip(channels[:-1], channels[1:], strict=True)):
            layers.append(nn.Conv2d(before, after, 4, stride=2 if place in STRIDED else 1))
            if place < len(CHANNELS) - 1:
                layers += [nn.ReLU(), nn.BatchNorm2d(after)]
            if place in POOLED:
                layers.append(nn.MaxPool2d((2, 1)))
        self.convolutions = nn.Sequential(*layers)
        self.normalised = nn.BatchNorm2d(channels[-1])
        self.output = nn.Sequential(nn.Linear(channels[-1] * COLUMNS, hidden), nn.ReLU(), nn.Linear(hidden, embedding))

    def forward(self, x: Tensor) -> Tensor:
        x = self.convolutions(x).mean(dim=2, keepdim=True)
        x = self.normalised(F.relu(x)).flatten(1)
        return F.normalize(self.output(x).float(), dim=1, eps=EPSILON)
