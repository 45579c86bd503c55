"""VGG-19's convolutions, through which perceptual losses look (Simonyan and Zisserman 2014; Johnson et al. 2016).

Names are those of torchvision's file `vgg19-dcbb9e9d.pth`, trained on ImageNet; its classifier is left out.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from baselines.checkpoints import fill, read
from baselines.layers.pixels import IMAGENET_DEVIATION, IMAGENET_MEAN

CHANNELS = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))
"""Of each block of convolutions, and how many it has; between blocks a maximum over 2 x 2."""
SEEN = (2, 7, 16, 25, 34)
"""conv1_2, conv2_2, conv3_4, conv4_4, conv5_4, by their place in the file; their outputs before the ReLU."""


class VGG19(nn.Module):
    """Features of RGB faces `[B, 3, H, W]` in 0..1, at five depths."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for outputs, count in CHANNELS:
            if layers:
                layers.append(nn.MaxPool2d(2))
            for _ in range(count):
                layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()]
                inputs = outputs
        self.model = nn.Sequential(*layers[: SEEN[-1] + 1])
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(IMAGENET_DEVIATION).view(3, 1, 1), persistent=False)

    def features(self, faces: Tensor) -> list[Tensor]:
        x = (faces - self.mean) / self.deviation
        found = []
        for number, layer in enumerate(self.model):
            x = layer(x)
            if number in SEEN:
                found.append(x)
        return found


def load(path: Path, device: str) -> VGG19:
    """The network with torchvision's weights, frozen.

    Raises:
        MissingWeights, InvalidConfig: the file cannot be read, or is of another network.
    """
    tensors, _ = read(path, "vgg19")
    kept = {f"model.{k.removeprefix('features.')}": v for k, v in tensors.items() if not k.startswith("classifier.")}
    network = VGG19()
    fill(network, kept, path)
    return network.to(device).eval().requires_grad_(False)
