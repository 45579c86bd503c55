"""The face recogniser of GFPGAN's identity loss: an 18-layer residual network trained by ArcFace (Deng et al. 2019).

It sees grey faces of 128 x 128. Names are those of the file `arcface_resnet18.pth`.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.checkpoints import fill, read

SIDE = 128
GREY = (0.2989, 0.5870, 0.1140)


class Block(nn.Module):
    """Normalisation, two convolutions with PReLU between them, added to the input; one PReLU serves both places."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.bn0 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, inputs, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(inputs)
        self.prelu = nn.PReLU()
        self.conv2 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = (
            nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
            if stride != 1 or inputs != outputs
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.prelu(self.bn1(self.conv1(self.bn0(x))))))
        return self.prelu(y + (x if self.downsample is None else self.downsample(x)))


class ArcFace18(nn.Module):
    """Descriptor `[B, 512]` of RGB faces `[B, 3, H, W]` in 0..1."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 64, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.prelu = nn.PReLU()
        inputs = 64
        for number, (outputs, stride) in enumerate(((64, 1), (128, 2), (256, 2), (512, 2)), 1):
            blocks = nn.Sequential(Block(inputs, outputs, stride), Block(outputs, outputs, 1))
            self.add_module(f"layer{number}", blocks)
            inputs = outputs
        self.bn4 = nn.BatchNorm2d(512)
        self.fc5 = nn.Linear(512 * 8 * 8, 512)
        self.bn5 = nn.BatchNorm1d(512)

    def features(self, faces: Tensor) -> list[Tensor]:
        weights = torch.tensor(GREY, device=faces.device).view(1, 3, 1, 1)
        x = ((2 * faces - 1) * weights).sum(1, keepdim=True)
        x = F.interpolate(x, (SIDE, SIDE), mode="bilinear", align_corners=False)
        x = F.max_pool2d(self.prelu(self.bn1(self.conv1(x))), 2)
        for number in range(1, 5):
            x = getattr(self, f"layer{number}")(x)
        return [self.bn5(self.fc5(self.bn4(x).flatten(1)))]


def load(path: Path, device: str) -> ArcFace18:
    """The network with the published weights, frozen.

    Raises:
        MissingWeights, InvalidConfig: the file cannot be read, or is of another network.
    """
    tensors, _ = read(path, "arcface18")
    network = ArcFace18()
    fill(network, {k.removeprefix("module."): v for k, v in tensors.items()}, path)
    return network.to(device).eval().requires_grad_(False)
