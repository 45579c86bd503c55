"""The networks of voice2face (Wen et al. 2019, Sec. 3); SF2F's Table 7 uses the first two as its baselines."""

from __future__ import annotations

import functools
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.layers.width import scaled

VOICE_CHANNELS = (256, 384, 576, 864)
FACE_CHANNELS = (1024, 512, 256, 128, 64)
EPSILON = 1e-12


class PlainVoiceEncoder(nn.Module):
    """Plain 1D-CNN over log-mel frames, mean over time, unit length.

    Shape:
        `[B, bins, T]` -> `[B, embedding]`
    """

    def __init__(self, bins: int = 64, embedding: int = 64, width: float = 1.0) -> None:
        super().__init__()
        self.bins = bins
        self.embedding = embedding
        channels = [bins, *(scaled(c, width) for c in VOICE_CHANNELS)]
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(channels):
            layers += [
                nn.Conv1d(inputs, outputs, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm1d(outputs),
                nn.ReLU(),
            ]
        self.model = nn.Sequential(*layers, nn.Conv1d(channels[-1], embedding, 3, stride=2, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(self.model(x).mean(dim=2), dim=1, eps=EPSILON)


class DeconvolutionDecoder(nn.Module):
    """Transposed convolutions from one point to a 64 px face; linear output.

    Shape:
        `[B, embedding]` -> `[B, 3, 64, 64]`
    """

    def __init__(self, embedding: int = 64, width: float = 1.0) -> None:
        super().__init__()
        channels = [scaled(c, width) for c in FACE_CHANNELS]
        layers: list[nn.Module] = [nn.ConvTranspose2d(embedding, channels[0], 4), nn.ReLU()]
        for inputs, outputs in pairwise(channels):
            layers += [nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1), nn.ReLU()]
        self.model = nn.Sequential(*layers, nn.ConvTranspose2d(channels[-1], 3, 1))

    def forward(self, embedding: Tensor) -> Tensor:
        return self.model(embedding[:, :, None, None])


class Voice2FaceNetwork(nn.Module):
    """Voice encoder and generator, as one: what a checkpoint holds."""

    def __init__(self, width: float = 1.0, embedding: int = 64) -> None:
        super().__init__()
        self.encoder = PlainVoiceEncoder(64, embedding, width)
        self.decoder = DeconvolutionDecoder(embedding, width)

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        """Faces `[B, 3, 64, 64]`, nominally in -1..1, from log-mel `[B, 64, T]`; `noise` is added in training only."""
        return self.decoder(disturbed(self.encoder(x), noise))


def disturbed(embedding: Tensor, noise: Tensor | None, scale: float = 0.05) -> Tensor:
    """Add `scale` times standard normal `noise` to unit vectors and normalise again, as the authors' training does."""
    return embedding if noise is None else F.normalize(embedding + scale * noise, dim=1, eps=EPSILON)


class FaceCritics(nn.Module):
    """Face embedding with two heads: is it real, and whose is it (voice2face, Sec. 3.2).

    Each head has a face network of its own, as the paper gives discriminator and classifier their own parameters;
    with `shared` both stand on one, as in the authors' code.

    Args:
        identities: classes of the identity head; 0 leaves it out, for identities that are told by comparing embeddings.
        network: makes a face network in place of `FaceEmbedding` of this width.

    Returns:
        one real/fake logit `[B]`, and identity logits `[B, identities]` or the identity's embedding `[B, embedding]`
    """

    def __init__(
        self,
        identities: int,
        embedding: int = 64,
        width: float = 1.0,
        shared: bool = False,
        network: Callable[[], FaceEmbedding] | None = None,
    ) -> None:
        super().__init__()
        made = network or functools.partial(FaceEmbedding, embedding, width)
        self.discriminator = made()
        self.real = nn.Linear(embedding, 1, bias=False)
        self.classifier = None if shared else made()
        self.identity = nn.Linear(embedding, identities, bias=False) if identities else nn.Identity()

    def forward(self, faces: Tensor) -> tuple[Tensor, Tensor]:
        seen = self.discriminator(faces)
        known = seen if self.classifier is None else self.classifier(faces)
        return self.real(seen)[:, 0], self.identity(known)


class FaceEmbedding(nn.Module):
    """Strided convolutions with LeakyReLU 0.2 from a 64 px face to one vector.

    Shape:
        `[B, 3, 64, 64]` -> `[B, embedding]`
    """

    def __init__(self, embedding: int = 64, width: float = 1.0) -> None:
        super().__init__()
        channels = [scaled(c, width) for c in (32, 64, 128, 256, 512)]
        layers: list[nn.Module] = [nn.Conv2d(3, channels[0], 1), nn.LeakyReLU(0.2)]
        for inputs, outputs in pairwise(channels):
            layers += [nn.Conv2d(inputs, outputs, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        self.model = nn.Sequential(*layers, nn.Conv2d(channels[-1], embedding, 4))

    def forward(self, faces: Tensor) -> Tensor:
        return torch.flatten(self.model(faces), 1)
