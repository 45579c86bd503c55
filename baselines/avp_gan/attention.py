"""Convolutional block attention (CBAM): Woo et al. 2018; AVP-GAN, Sec. 3.3, Eq. 2 to 5."""

from __future__ import annotations

import torch
from torch import Tensor, nn

OPEN = 2.0
"""Where the logit of a place begins: sigmoid(2) = 0.88."""


class ChannelAttention(nn.Module):
    """Weigh each channel by what its mean and its maximum over the picture say (Eq. 2 and 3).

    M_C(F) = sigmoid(W1 relu(W0 avg(F)) + W1 relu(W0 max(F))), F' = M_C(F) * F; one W0 and W1 for both, without bias.
    W1 begins at 0, so that all channels begin alike.

    Shape:
        `[B, C, H, W]` -> `[B, C, H, W]`
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = max(1, channels // reduction)
        self.model = nn.Sequential(
            nn.Linear(channels, hidden, bias=False), nn.ReLU(), nn.Linear(hidden, channels, bias=False)
        )
        nn.init.zeros_(self.model[2].weight)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        weight = torch.sigmoid(self.model(x.mean((2, 3))) + self.model(x.amax((2, 3))))
        return weight[:, :, None, None] * x

    def rescale(self, factor: float) -> None:
        """See features that are smaller by `factor` as they were seen before."""
        self.model[0].weight.mul_(factor)  # type: ignore[operator]


class SpatialAttention(nn.Module):
    """Weigh each place by what the mean and the maximum over channels around it say (Eq. 4 and 5).

    M_S(F') = sigmoid(f7x7([avg(F'); max(F')])), F'' = M_S(F') * F'. The convolution has a bias, of which the paper
    says nothing; it begins where most passes, the weights at 0.

    Shape:
        `[B, C, H, W]` -> `[B, C, H, W]`
    """

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(2, 1, 7, padding=3)
        nn.init.zeros_(self.convolution.weight)
        nn.init.constant_(self.convolution.bias, OPEN)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.convolution(torch.cat([x.mean(1, True), x.amax(1, True)], dim=1))) * x

    def rescale(self, factor: float) -> None:
        """See features that are smaller by `factor` as they were seen before."""
        self.convolution.weight.mul_(factor)


class CBAM(nn.Sequential):
    """Channel attention, then spatial attention (Fig. 3)."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__(ChannelAttention(channels, reduction), SpatialAttention())
