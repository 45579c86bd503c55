"""The image enhancement module of AVP-GAN (Sec. 3.3): GFP-GAN, Wang et al. 2021.

A U-Net removes degradations. It tells a face prior, a StyleGAN2 generator that has learnt to draw faces, its styles,
and at each size how to scale and shift half of its channels: the channel-split spatial feature transform (CS-SFT). The
architecture is that of the released GFPGAN v1.3 and v1.4 ("clean": StyleGAN2 with bilinear interpolation), in which the
U-Net gives each layer of the prior a style of its own, past the prior's mapping network.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SLOPE = 0.2
"""Of every leaky ReLU."""
EPSILON = 1e-8
BRANCH = 0.1
"""Times which convolutions beside a way straight through begin smaller."""


def channels(size: int, width: float, multiplier: int) -> int:
    """Channels of the prior at a side of `size` pixels: 512 up to 32 px, from 64 px on `multiplier` times 16384 / size.

    >>> channels(32, 1.0, 2), channels(64, 1.0, 2), channels(512, 1.0, 2)
    (512, 512, 64)
    """
    return int((512 if size <= 32 else multiplier * 16384 // size) * width)


def check_size(size: int) -> int:
    """The number of doublings from 4 px to `size`.

    Raises:
        ValueError: it is not a power of two from 8 to 1024.
    """
    doublings = int(math.log2(size)) - 2 if size > 0 else 0
    if not 8 <= size <= 1024 or 4 * 2**doublings != size:
        raise ValueError(f"expected a power of two from 8 to 1024, got {size}")
    return doublings


class ModulatedConvolution(nn.Module):
    """A convolution whose weights a style scales, input channel by input channel (StyleGAN2, Sec. 2.2).

    With demodulation the scaled weights of each output channel have norm 1. Scaling the input by the style and the
    output by the norm is the same as weights for each example, and quicker.

    Shape:
        x `[B, inputs, H, W]`, style `[B, S]` -> `[B, outputs, H, W]`
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, style: int, demodulate: bool = True) -> None:
        super().__init__()
        self.modulation = nn.Linear(style, inputs)
        nn.init.normal_(self.modulation.weight, std=style**-0.5)
        nn.init.ones_(self.modulation.bias)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel) / math.sqrt(inputs * kernel**2))
        self.demodulate = demodulate

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        scale = self.modulation(style)
        y = F.conv2d(x * scale[:, :, None, None], self.weight, padding=self.weight.shape[-1] // 2)
        if not self.demodulate:
            return y
        squares = scale.square() @ self.weight.square().sum((2, 3)).T
        return y * (squares + EPSILON).rsqrt()[:, :, None, None]


class StyledLayer(nn.Module):
    """Modulated convolution, noise, bias, leaky ReLU; bilinear x2 before it where `doubled`."""

    def __init__(self, inputs: int, outputs: int, style: int, doubled: bool) -> None:
        super().__init__()
        self.convolution = ModulatedConvolution(inputs, outputs, 3, style)
        self.noise_strength = nn.Parameter(torch.zeros(1))
        self.bias = nn.Parameter(torch.zeros(1, outputs, 1, 1))
        self.doubled = doubled

    def forward(self, x: Tensor, style: Tensor, noise: Tensor) -> Tensor:
        if self.doubled:
            x = _resized(x, 2)
        y = math.sqrt(2) * self.convolution(x, style) + self.noise_strength * noise + self.bias
        return F.leaky_relu(y, SLOPE)


class ToPicture(nn.Module):
    """Three channels from features, added to the picture of half the size."""

    def __init__(self, inputs: int, style: int) -> None:
        super().__init__()
        self.convolution = ModulatedConvolution(inputs, 3, 1, style, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(1, 3, 1, 1))

    def forward(self, x: Tensor, style: Tensor, before: Tensor | None = None) -> Tensor:
        picture = self.convolution(x, style) + self.bias
        return picture if before is None else picture + _resized(before, 2)


Condition = tuple[Tensor, Tensor]
"""Scale and shift of the second half of the channels at one size."""


class FacePrior(nn.Module):
    """StyleGAN2's generator with bilinear interpolation, as the released GFPGAN has it.

    Noise is drawn once, with the weights, and kept: a picture depends on its styles and conditions alone.

    Args:
        size: of the picture; a power of two.
        style: length of a style.
        width: multiplies all channels.
        multiplier: of the channels from 64 px on.
        mapping: layers of the mapping network.
    """

    def __init__(self, size: int, style: int = 512, width: float = 1.0, multiplier: int = 2, mapping: int = 8) -> None:
        super().__init__()
        doublings = check_size(size)
        self.styles = 2 * doublings + 2
        """How many styles one picture takes."""
        linear: list[nn.Module] = []
        for _ in range(mapping):
            linear += [nn.Linear(style, style), nn.LeakyReLU(SLOPE)]
            nn.init.kaiming_normal_(linear[-2].weight, SLOPE)  # type: ignore[arg-type]
            nn.init.zeros_(linear[-2].bias)  # type: ignore[arg-type]
        self.mapping = nn.Sequential(*linear)
        widths = [channels(4 * 2**k, width, multiplier) for k in range(doublings + 1)]
        self.constant = nn.Parameter(torch.randn(1, widths[0], 4, 4))
        self.first = StyledLayer(widths[0], widths[0], style, doubled=False)
        self.first_picture = ToPicture(widths[0], style)
        self.layers, self.pictures = nn.ModuleList(), nn.ModuleList()
        for inputs, outputs in zip(widths, widths[1:], strict=False):
            self.layers.append(StyledLayer(inputs, outputs, style, doubled=True))
            self.layers.append(StyledLayer(outputs, outputs, style, doubled=False))
            self.pictures.append(ToPicture(outputs, style))
        for number in range(len(self.layers) + 1):
            side = 4 * 2 ** ((number + 1) // 2)
            self.register_buffer(f"noise{number}", torch.randn(1, 1, side, side))

    def mapped(self, z: Tensor) -> Tensor:
        """Styles `[B, styles, S]` of random vectors `[B, S]`, one for all layers."""
        z = z * (z.square().mean(1, keepdim=True) + EPSILON).rsqrt()
        return self.mapping(z)[:, None].expand(-1, self.styles, -1)

    def forward(self, styles: Tensor, conditions: Sequence[Condition] = ()) -> Tensor:
        """Pictures `[B, 3, S, S]`, nominally in -1..1.

        Args:
            styles: `[B, styles, S]`.
            conditions: for each size from 8 px on, behind its first layer; none for the prior alone.
        """
        x = self.constant.expand(len(styles), -1, -1, -1)
        x = self.first(x, styles[:, 0], self.noise0)
        picture = self.first_picture(x, styles[:, 1])
        for level, to_picture in enumerate(self.pictures):
            number = 2 * level + 1
            x = self.layers[number - 1](x, styles[:, number], getattr(self, f"noise{number}"))
            if conditions:
                x = channel_split_transform(x, *conditions[level])
            x = self.layers[number](x, styles[:, number + 1], getattr(self, f"noise{number + 1}"))
            picture = to_picture(x, styles[:, number + 2], picture)
        return picture


def channel_split_transform(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Keep the first half of the channels, scale and shift the second (GFP-GAN, Sec. 3.3).

    Shape:
        x `[B, 2C, H, W]`; scale, shift `[B, C, H, W]`
    """
    kept, changed = x.chunk(2, dim=1)
    return torch.cat([kept, changed * scale + shift], dim=1)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with bilinear resizing between them, beside a 1x1 one of the resized input."""

    def __init__(self, inputs: int, outputs: int, factor: float) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, inputs, 3, padding=1)
        self.second = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.skip = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        y = _resized(F.leaky_relu(self.first(x), SLOPE), self.factor)
        return F.leaky_relu(self.second(y), SLOPE) + self.skip(_resized(x, self.factor))


class Enhancer(nn.Module):
    """Degradation removal and face prior: GFPGANv1Clean of the released code, at size 512, width 1 and multiplier 2.

    Shape:
        `[B, 3, S, S]` -> `[B, 3, S, S]`, both nominally in -1..1
    """

    def __init__(self, size: int, style: int = 512, width: float = 1.0, multiplier: int = 2, mapping: int = 8) -> None:
        super().__init__()
        doublings = check_size(size)
        self.size, self.style = size, style
        # The U-Net has half as many channels as the prior.
        widths = [channels(4 * 2**k, width / 2, multiplier) for k in range(doublings + 1)]
        self.first = nn.Conv2d(3, widths[-1], 1)
        sizes = list(zip(widths, widths[1:], strict=False))
        self.down = nn.ModuleList(ResidualBlock(large, small, 0.5) for small, large in reversed(sizes))
        self.bottom = nn.Conv2d(widths[0], widths[0], 3, padding=1)
        self.up = nn.ModuleList(ResidualBlock(small, large, 2) for small, large in sizes)
        self.prior = FacePrior(size, style, width, multiplier, mapping)
        self.styles = nn.Linear(16 * widths[0], self.prior.styles * style)
        self.scales = nn.ModuleList(_two_convolutions(large) for _, large in sizes)
        self.shifts = nn.ModuleList(_two_convolutions(large) for _, large in sizes)
        self._begin()

    def _begin(self) -> None:
        """Weights with which the colours of the input come through to the shifts, and scales that begin at 1.

        The first layer has each colour twice, the second time negative, so that no ReLU loses it; every other layer
        begins as the identity and `BRANCH` times what is usually drawn.
        """
        for name, module in self.named_modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, SLOPE)
                straight = name.endswith("skip") or name.startswith("shifts")
                if straight or name.endswith("second") or name.startswith("scales"):
                    module.weight.data.mul_(BRANCH)
                if straight:
                    module.weight.data.add_(nn.init.dirac_(torch.empty_like(module.weight)))
                if module.bias is not None:
                    nn.init.constant_(module.bias, float(name.startswith("scales") and name.endswith("2")))
        colours = torch.eye(3)[:, :, None, None]
        both = torch.cat([colours, -colours])[: len(self.first.weight)]
        self.first.weight.data[: len(both)] = both

    def forward(self, faces: Tensor) -> Tensor:
        x = F.leaky_relu(self.first(faces), SLOPE)
        skipped: list[Tensor] = []
        for block in self.down:
            x = block(x)
            skipped.append(x)
        x = F.leaky_relu(self.bottom(x), SLOPE)
        styles = self.styles(x.flatten(1)).unflatten(1, (self.prior.styles, self.style))
        conditions: list[Condition] = []
        for block, scale, shift in zip(self.up, self.scales, self.shifts, strict=True):
            x = block(x + skipped.pop())
            conditions.append((scale(x), shift(x)))
        return self.prior(styles, conditions)


def _two_convolutions(width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(width, width, 3, padding=1), nn.LeakyReLU(SLOPE), nn.Conv2d(width, width, 3, padding=1)
    )


def _resized(x: Tensor, factor: float) -> Tensor:
    return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)
