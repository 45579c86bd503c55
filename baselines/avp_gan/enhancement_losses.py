"""The losses of the image enhancement module (AVP-GAN, Eq. 7 to 11; GFP-GAN, Sec. 3.4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Form = Literal["paper", "gfpgan"]
"""Of the adversarial terms; see `Training.adversarial_form`."""


def feature_distance(made: Sequence[Tensor], wanted: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """The weighted sum over layers of the mean absolute difference: the second part of Eq. 7.

    Raises:
        ValueError: as many layers, features and weights are not there.
    """
    if not len(made) == len(wanted) == len(weights):
        raise ValueError(f"expected {len(weights)} layers, got {len(made)} and {len(wanted)}")
    parts = [w * (a - b).abs().mean() for w, a, b in zip(weights, made, wanted, strict=True)]
    return torch.stack(parts).sum()


def realism_loss(logits: Tensor, form: Form) -> Tensor:
    """Eq. 8 without its weight, of a discriminator's answers to enhanced faces.

    `paper`: -softplus(D), as printed, which has no lower bound. `gfpgan`: softplus(-D).
    """
    return -F.softplus(logits).mean() if form == "paper" else F.softplus(-logits).mean()


def local_loss(logits: Tensor, form: Form) -> Tensor:
    """The first part of Eq. 9 without its weight, of one region; D is the sigmoid of the logits.

    `paper`: log(1 - D), as printed. `gfpgan`: -log D.
    """
    # log(1 - sigmoid(x)) = -softplus(x), -log sigmoid(x) = softplus(-x): the two forms are those of Eq. 8
    return realism_loss(logits, form)


def style_distance(made: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
    """The second part of Eq. 9 without its weight: mean absolute difference of Gram matrices, summed over features."""
    parts = [(gram(a) - gram(b)).abs().mean() for a, b in zip(made, wanted, strict=True)]
    return torch.stack(parts).sum()


def gram(features: Tensor) -> Tensor:
    """Inner products of channels over places, divided by C H W: `[B, C, H, W]` -> `[B, C, C]`."""
    flat = features.flatten(2)
    return flat @ flat.transpose(1, 2) / flat[0].numel()


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """What a discriminator makes small, of its logits: -log D of true faces, -log(1 - D) of enhanced ones."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()
