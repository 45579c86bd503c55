"""The adversaries of SF2F's training: real or generated, and whose face (Sec. 4, Table 11)."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.layers.width import scaled
from baselines.sf2f.network import Variant

CHANNELS = (64, 128, 256)


class Discriminator(nn.Module):
    """Strided convolutions, mean over the plane, two linear layers (Table 11); returns logits.

    `outputs` is 2 for real or fake, the number of training identities for the identity classifier. At 128 px one more
    convolution (512 channels) stands before the pooling (App. D.3).

    Shape:
        `[B, 3, S, S]` -> `[B, outputs]`
    """

    def __init__(self, outputs: int, resolution: int = 64, width: float = 1.0) -> None:
        super().__init__()
        wanted = CHANNELS if resolution == 64 else (*CHANNELS, 512)
        channels = [3, *(scaled(c, width) for c in wanted)]
        layers: list[nn.Module] = []
        for inputs, outputs_ in pairwise(channels):
            layers += [nn.Conv2d(inputs, outputs_, 4, stride=2, padding=1), nn.BatchNorm2d(outputs_), nn.ReLU()]
        hidden = scaled(1024, width)
        self.convolutions = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.Linear(channels[-1], hidden), nn.ReLU(), nn.Linear(hidden, outputs))

    def forward(self, faces: Tensor) -> Tensor:
        return self.head(self.convolutions(faces).mean(dim=(2, 3)))


class PatchDiscriminator(nn.Module):
    """A map of real/fake logits: the official image discriminator.

    Shape:
        `[B, 3, S, S]` -> `[B, 1, S', S']`
    """

    def __init__(self, resolution: int = 64, width: float = 1.0) -> None:
        super().__init__()
        self.convolutions, channels = _valid_convolutions(resolution, width)
        self.score = nn.Conv2d(channels, 1, 1)

    def forward(self, faces: Tensor) -> Tensor:
        return self.score(self.convolutions(faces))


class AuxiliaryClassifier(nn.Module):
    """The official AC-GAN discriminator: one real/fake logit and identity logits from a shared trunk.

    Shape:
        `[B, 3, S, S]` -> `[B]`, `[B, identities]`
    """

    def __init__(self, identities: int, resolution: int = 64, width: float = 1.0) -> None:
        super().__init__()
        self.convolutions, channels = _valid_convolutions(resolution, width)
        hidden = scaled(1024, width)
        self.trunk = nn.Linear(channels, hidden)
        self.real = nn.Linear(hidden, 1)
        self.identity = nn.Linear(hidden, identities)

    def forward(self, faces: Tensor) -> tuple[Tensor, Tensor]:
        x = self.trunk(self.convolutions(faces).mean(dim=(2, 3)))
        return self.real(x)[:, 0], self.identity(x)


class Adversaries(nn.Module):
    """D_real and D_id at one resolution, with the losses that both sides take from them.

    In the official variant D_id also tells real from generated faces, and learns whose face it is from real ones alone.
    Losses on real and on generated faces are summed there, and averaged in the paper's variant.

    The paper's L_G is written as the minimax game; the generator's side is trained in its non-saturating form, which
    has the same fixed point and gradients that do not vanish while the discriminator wins.
    """

    def __init__(self, identities: int, resolution: int = 64, variant: Variant = "paper", width: float = 1.0) -> None:
        super().__init__()
        self.official = variant == "official"
        self.real: nn.Module
        self.identity: nn.Module
        if self.official:
            self.real = PatchDiscriminator(resolution, width)
            self.identity = AuxiliaryClassifier(identities, resolution, width)
        else:
            self.real = Discriminator(2, resolution, width)
            self.identity = Discriminator(identities, resolution, width)

    def judge(self, faces: Tensor, real: bool) -> Tensor:
        """-log of the probability that D_real gives to `faces` being real (or fake)."""
        return _wrongness(self.real(faces), real)

    def recognise(self, faces: Tensor, people: Tensor) -> Tensor:
        """-log of the probability that D_id gives to the right person; the official one adds that of a real face."""
        if self.official:
            logit, identity = self.identity(faces)
            return F.cross_entropy(identity, people) + _wrongness(logit, True)
        return F.cross_entropy(self.identity(faces), people)

    def lesson_of_real(self, real: Tensor, fake: Tensor) -> Tensor:
        """What D_real has to make small, of true and of generated faces."""
        both = self.judge(real, real=True) + self.judge(fake, real=False)
        return both if self.official else both / 2

    def lesson_of_identity(self, real: Tensor, fake: Tensor, people: Tensor) -> Tensor:
        """What D_id has to make small; only the official one sees generated faces, and learns nobody from them."""
        loss = self.recognise(real, people)
        return loss + _wrongness(self.identity(fake)[0], False) if self.official else loss


def _wrongness(logits: Tensor, real: bool) -> Tensor:
    if logits.ndim == 2:
        return F.cross_entropy(logits, torch.full((len(logits),), int(real), device=logits.device))
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))


def _valid_convolutions(resolution: int, width: float) -> tuple[nn.Sequential, int]:
    """Convolutions 4x4 of stride 2 without padding; before each but the first, normalisation and LeakyReLU 0.1."""
    wanted = CHANNELS if resolution == 64 else (*CHANNELS, 512)
    channels = [3, *(scaled(c, width) for c in wanted)]
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(channels):
        if layers:
            layers += [nn.BatchNorm2d(inputs), nn.LeakyReLU(0.1)]
        layers.append(nn.Conv2d(inputs, outputs, 4, stride=2))
    return nn.Sequential(*layers), channels[-1]
