"""Upsampling blocks of the face decoders: SF2F's own, and the one of its official implementation."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class UpBlock(nn.Module):
    """Bilinear x2, 3x3 convolution, ReLU, batch normalisation (SF2F, Table 10).

    The text of the paper (Sec. 4) says a 4x4 convolution, Table 10 a 3x3 one with stride 2. Neither keeps the sizes
    that Table 10 lists after its bilinear x2; 3x3 with stride 1 and padding 1 does, so that is what this block holds.

    Shape:
        `[B, inputs, H, W]` -> `[B, outputs, 2H, 2W]`
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.normalisation = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        return self.normalisation(F.relu(self.convolution(x)))


class GatedUpBlock(nn.Module):
    """Nearest x2, 3x3 convolution without bias, batch normalisation, gated linear unit: the official SF2F decoder.

    Shape:
        `[B, inputs, H, W]` -> `[B, outputs, 2H, 2W]`
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, 2 * outputs, 3, padding=1, bias=False)
        self.normalisation = nn.BatchNorm2d(2 * outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = F.interpolate(x, scale_factor=2, mode="nearest")
        return F.glu(self.normalisation(self.convolution(x)), dim=1)
