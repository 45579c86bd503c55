"""The VGGFace2 ResNet-50 with 8631 classes that the VGGFace score of SF2F's tables is computed with.

The weights come from Caffe (`resnet50_ft`, Cao et al. 2018), so a block halves the picture in its first 1x1
convolution, the first pooling rounds up, and the network was trained on BGR.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from metrics.networks.face_embedder import check_image
from metrics.networks.state import fill
from metrics.networks.weight_files import read_weights
from metrics.plain import fresh, plain

CLASSES = 8631
MEAN = (131.0912, 103.8827, 91.4953)
"""Mean red, green and blue of VGGFace2."""
SIDE = 224
ChannelOrder = Literal["rgb", "bgr"]


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions beside a skip; the first strides."""

    def __init__(self, channels_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, width, 1, stride, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.downsample: nn.Module | None = None
        if stride != 1 or channels_in != 4 * width:
            skip = nn.Conv2d(channels_in, 4 * width, 1, stride, bias=False)
            self.downsample = nn.Sequential(skip, nn.BatchNorm2d(4 * width))

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.bn1(self.conv1(x)))
        y = self.bn3(self.conv3(functional.relu(self.bn2(self.conv2(y)))))
        return functional.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet50(nn.Module):
    """Pictures to class scores.

    Shape:
        `[B, 3, 224, 224]`, 0..255 less the mean -> `[B, classes]`
    """

    def __init__(self, classes: int = CLASSES) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = _layer(64, 64, 3, 1)
        self.layer2 = _layer(256, 128, 4, 2)
        self.layer3 = _layer(512, 256, 6, 2)
        self.layer4 = _layer(1024, 512, 3, 2)
        self.fc = nn.Linear(2048, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.max_pool2d(functional.relu(self.bn1(self.conv1(x))), 3, 2, ceil_mode=True)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3)))


def _layer(channels_in: int, width: int, blocks: int, stride: int) -> nn.Sequential:
    first = Bottleneck(channels_in, width, stride)
    return nn.Sequential(first, *(Bottleneck(4 * width, width, 1) for _ in range(blocks - 1)))


def prepare(x: Tensor, channel_order: ChannelOrder = "rgb") -> Tensor:
    """Subtract the mean and resize, bilinear with aligned corners as SF2F's numbers were made, to 224 x 224.

    Args:
        x: `[B, 3, H, W]`, RGB in 0..255.
        channel_order: `rgb` feeds red first, as SF2F's published numbers were made; `bgr` is what the weights expect.
    """
    mean = torch.tensor(MEAN, dtype=x.dtype, device=x.device).view(1, 3, 1, 1)
    x = functional.interpolate(x - mean, (SIDE, SIDE), mode="bilinear", align_corners=True)
    return x.flip(1) if channel_order == "bgr" else x


class VGGFace2Classifier:
    """Probabilities of VGGFace2's 8631 identities for the whole picture."""

    name = "vggface2_resnet50"

    def __init__(
        self, network: ResNet50, device: str = "cpu", channel_order: ChannelOrder = "rgb", batch_size: int = 16
    ) -> None:
        if channel_order not in ("rgb", "bgr"):
            raise ValueError(f"expected channel_order rgb or bgr, got {channel_order!r}")
        self.device, self.batch_size = torch.device(device), batch_size
        self.channel_order: ChannelOrder = channel_order
        self.network = network.eval().requires_grad_(False).to(self.device)
        self.classes = network.fc.out_features
        self.signature = f"vggface2-resnet50ft|in:whole-{SIDE},corners,{channel_order}|in-v2"

    def probabilities(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """`[N, classes]`, float64, rows sum to 1; pictures `[H, W, 3]` uint8 RGB of any sizes."""
        images = [check_image(image, number) for number, image in enumerate(images)]
        rows = [np.empty((0, self.classes))]
        with plain():
            for start in range(0, len(images), self.batch_size):
                batch = torch.cat([self._prepared(image) for image in images[start : start + self.batch_size]])
                rows.append(functional.softmax(self.network(batch).double(), dim=1).cpu().numpy())
        return np.concatenate(rows)

    def _prepared(self, image: np.ndarray) -> Tensor:
        # Sizes may differ, so each picture is resized alone.
        return prepare(torch.tensor(image, device=self.device).permute(2, 0, 1)[None].float(), self.channel_order)


def load(path: Path | None, device: str = "cpu", channel_order: ChannelOrder = "rgb") -> VGGFace2Classifier:
    """The classifier with published weights: `resnet50_ft_weight.pkl`, or its tensors as a torch or safetensors file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is not that network, or holds more than arrays.
    """
    if path is None:
        raise FileNotFoundError("VGGFace2's ResNet-50 comes with no package: give the path of resnet50_ft_weight.pkl")
    with fresh():
        network = ResNet50()
        fill(network, read_weights(path), path)
    return VGGFace2Classifier(network, device, channel_order)
