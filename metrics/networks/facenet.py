"""FaceNet as facenet-pytorch publishes it: Inception-ResNet v1, 512 numbers a face, of VGGFace2 or CASIA-WebFace.

SF2F measures with the first and learns from it. Module names are those of the published files,
`20180402-114759-vggface2.pt` and `20180408-102900-casia-webface.pt`, which differ in their classifier alone.
Szegedy et al. 2016, "Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning", Sec. 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from metrics.networks.face_embedder import Embeddings, Remembered, check_image, normalise_rows
from metrics.networks.onnx_files import file_digest
from metrics.networks.state import fill
from metrics.networks.weight_files import read_weights
from metrics.plain import fresh, plain

DIM = 512
CLASSES = 8631
"""Identities of VGGFace2's training split."""
BOX = (0.235, 0.195, 0.765, 0.915)
"""Left, top, right, bottom of SF2F's fixed crop, in parts of the picture."""
Protocol = Literal["facenet140", "facenet160"]
PUBLISHED = {"281cebca": "vggface2-20180402", "7a67afdb": "casia-20180408"}
"""The beginning of a published file's sha256 -> what signatures call it; any other file by the beginning of its own."""


class ConvUnit(nn.Module):
    """Convolution, batch normalisation, ReLU."""

    def __init__(
        self,
        channels_in: int,
        channels: int,
        kernel: int | tuple[int, int],
        stride: int = 1,
        padding: int | tuple[int, int] = 0,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(channels, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.bn(self.conv(x)))


class Branches(nn.Module):
    """Branches side by side, their channels joined; `pool` adds a max-pooled copy of the input."""

    def __init__(self, *branches: nn.Module, pool: bool = False) -> None:
        super().__init__()
        self._names = [f"branch{number}" for number in range(len(branches))]
        for name, branch in zip(self._names, branches, strict=True):
            self.add_module(name, branch)
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        joined = [self.get_submodule(name)(x) for name in self._names]
        if self.pool:
            joined.append(functional.max_pool2d(x, 3, 2))
        return torch.cat(joined, 1)


class ResidualBranches(Branches):
    """x + scale * (branches, joined and brought back to x's channels), then ReLU unless it is the last."""

    def __init__(self, *branches: nn.Module, joined: int, channels: int, scale: float, relu: bool = True) -> None:
        super().__init__(*branches)
        self.conv2d = nn.Conv2d(joined, channels, 1)
        self.scale, self.relu = scale, relu

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv2d(super().forward(x)) * self.scale + x
        return functional.relu(y) if self.relu else y


def _block35() -> ResidualBranches:
    return ResidualBranches(
        ConvUnit(256, 32, 1),
        nn.Sequential(ConvUnit(256, 32, 1), ConvUnit(32, 32, 3, padding=1)),
        nn.Sequential(ConvUnit(256, 32, 1), ConvUnit(32, 32, 3, padding=1), ConvUnit(32, 32, 3, padding=1)),
        joined=96,
        channels=256,
        scale=0.17,
    )


def _block17() -> ResidualBranches:
    tall, wide = ConvUnit(128, 128, (7, 1), padding=(3, 0)), ConvUnit(128, 128, (1, 7), padding=(0, 3))
    return ResidualBranches(
        ConvUnit(896, 128, 1),
        nn.Sequential(ConvUnit(896, 128, 1), wide, tall),
        joined=256,
        channels=896,
        scale=0.10,
    )


def _block8(scale: float, relu: bool) -> ResidualBranches:
    tall, wide = ConvUnit(192, 192, (3, 1), padding=(1, 0)), ConvUnit(192, 192, (1, 3), padding=(0, 1))
    return ResidualBranches(
        ConvUnit(1792, 192, 1),
        nn.Sequential(ConvUnit(1792, 192, 1), wide, tall),
        joined=384,
        channels=1792,
        scale=scale,
        relu=relu,
    )


class Features(NamedTuple):
    """What SF2F's perceptual loss compares, in its order (weights 1/16, 1/8, 1/4, 1)."""

    repeat_1: Tensor
    """`[B, 256, h, w]`"""
    repeat_2: Tensor
    """`[B, 896, h', w']`"""
    repeat_3: Tensor
    """`[B, 1792, h'', w'']`"""
    embedding: Tensor
    """`[B, 512]`, Euclidean norm 1."""


class InceptionResnetV1(nn.Module):
    """Pictures to unit vectors; differentiable, so that it can serve as a loss.

    Shape:
        `[B, 3, H, W]`, RGB as `(x - 127.5) / 128`, H and W from 75 on -> `[B, 512]`
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv2d_1a = ConvUnit(3, 32, 3, stride=2)
        self.conv2d_2a = ConvUnit(32, 32, 3)
        self.conv2d_2b = ConvUnit(32, 64, 3, padding=1)
        self.conv2d_3b = ConvUnit(64, 80, 1)
        self.conv2d_4a = ConvUnit(80, 192, 3)
        self.conv2d_4b = ConvUnit(192, 256, 3, stride=2)
        self.repeat_1 = nn.Sequential(*(_block35() for _ in range(5)))
        self.mixed_6a = Branches(
            ConvUnit(256, 384, 3, stride=2),
            nn.Sequential(ConvUnit(256, 192, 1), ConvUnit(192, 192, 3, padding=1), ConvUnit(192, 256, 3, stride=2)),
            pool=True,
        )
        self.repeat_2 = nn.Sequential(*(_block17() for _ in range(10)))
        self.mixed_7a = Branches(
            nn.Sequential(ConvUnit(896, 256, 1), ConvUnit(256, 384, 3, stride=2)),
            nn.Sequential(ConvUnit(896, 256, 1), ConvUnit(256, 256, 3, stride=2)),
            nn.Sequential(ConvUnit(896, 256, 1), ConvUnit(256, 256, 3, padding=1), ConvUnit(256, 256, 3, stride=2)),
            pool=True,
        )
        self.repeat_3 = nn.Sequential(*(_block8(0.20, relu=True) for _ in range(5)))
        self.block8 = _block8(1.0, relu=False)
        self.last_linear = nn.Linear(1792, DIM, bias=False)
        self.last_bn = nn.BatchNorm1d(DIM, eps=1e-3)

    def features(self, x: Tensor) -> Features:
        """The embedding and the three maps before it."""
        x = self.conv2d_2b(self.conv2d_2a(self.conv2d_1a(x)))
        x = self.conv2d_4b(self.conv2d_4a(self.conv2d_3b(functional.max_pool2d(x, 3, 2))))
        one = self.repeat_1(x)
        two = self.repeat_2(self.mixed_6a(one))
        three = self.repeat_3(self.mixed_7a(two))
        last = self.last_bn(self.last_linear(self.block8(three).mean((2, 3))))
        return Features(one, two, three, functional.normalize(last, dim=1))

    def forward(self, x: Tensor) -> Tensor:
        return self.features(x).embedding


def crop_box(x: Tensor) -> Tensor:
    """Cut SF2F's fixed box out of `[..., H, W]`: each edge `int(part * size)`, both ends included.

    Of 64 x 64 it keeps columns 15 to 48 and rows 12 to 58.
    """
    height, width = x.shape[-2:]
    left, top, right, bottom = BOX
    rows = slice(int(top * height), int(bottom * height) + 1)
    columns = slice(int(left * width), int(right * width) + 1)
    return x[..., rows, columns]


def prepare(x: Tensor, protocol: Protocol) -> Tensor:
    """Crop, resize and scale pictures for the network; differentiable.

    `facenet140` is the paper's: fixed box, bilinear with aligned corners to 140 x 140. `facenet160` is the customary
    one: the whole aligned picture, antialiased bilinear to 160 x 160.

    Shape:
        `[B, 3, H, W]`, RGB in 0..255 -> `[B, 3, S, S]`
    """
    x = (x - 127.5) / 128
    if protocol == "facenet140":
        return functional.interpolate(crop_box(x), (140, 140), mode="bilinear", align_corners=True)
    return functional.interpolate(x, (160, 160), mode="bilinear", align_corners=False, antialias=True)


class FaceNet:
    """A FaceEmbedder of 512 numbers a face. It looks at a fixed place, so `detected` is always True."""

    dim = DIM

    def __init__(
        self,
        network: InceptionResnetV1,
        protocol: Protocol,
        device: str = "cpu",
        batch_size: int = 32,
        weights: str = "vggface2-20180402",
    ) -> None:
        """
        Args:
            weights: what the signature calls them.
        """
        if protocol not in ("facenet140", "facenet160"):
            raise ValueError(f"expected protocol facenet140 or facenet160, got {protocol!r}")
        self.device, self.batch_size = torch.device(device), batch_size
        self.network = network.eval().requires_grad_(False).to(self.device)
        self.name: str = protocol
        self.protocol: Protocol = protocol
        crop = "box" + ",".join(map(str, BOX)) + "-140" if protocol == "facenet140" else "whole-160"
        self.signature = f"facenet-{weights}|crop:{crop}"

    def embed(self, images: Sequence[np.ndarray]) -> Embeddings:
        """Embed pictures of any sizes; see `FaceEmbedder.embed`."""
        images = [check_image(image, number) for number, image in enumerate(images)]
        rows = []
        with plain():
            for start in range(0, len(images), self.batch_size):
                batch = torch.cat([self._prepared(image) for image in images[start : start + self.batch_size]])
                rows.append(self.network(batch).cpu().numpy())
        vectors = np.concatenate(rows) if rows else np.empty((0, DIM), np.float32)
        return Embeddings(normalise_rows(vectors), np.ones(len(images), bool))

    def _prepared(self, image: np.ndarray) -> Tensor:
        # Sizes may differ, so each picture is resized alone.
        pixels = torch.tensor(image, device=self.device).permute(2, 0, 1)[None].float()
        return prepare(pixels, self.protocol)


def load_network(path: Path, device: str = "cpu") -> InceptionResnetV1:
    """The network with published weights, in evaluation mode; the file's classifier is left out.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is not that network.
    """
    with fresh():
        network = InceptionResnetV1()
        fill(network, read_weights(path), path, ignore=("logits.",))
    return network.eval().requires_grad_(False).to(device)


def load(path: Path | None, device: str = "cpu", protocol: Protocol = "facenet140") -> Remembered:
    """The embedder with published weights; it remembers the pictures it has seen.

    Raises:
        FileNotFoundError, ValueError: as `load_network`.
    """
    if path is None:
        raise FileNotFoundError("FaceNet's weights come with no package: give the path of 20180402-114759-vggface2.pt")
    network = load_network(path, device)
    digest = file_digest(path)
    return Remembered(FaceNet(network, protocol, device, weights=PUBLISHED.get(digest, digest)))
