"""HiFi-GAN (Kong et al. 2020): a generator that makes sound of log-mel spectrograms, and the critics that train it.

Names of weights are those of the official code (`jik876/hifi-gan`), with each normalised weight multiplied out.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from baselines.checkpoints import fill, read
from baselines.lipdiffuser.mel import BANDS, HOP, Framing

UPSAMPLING = ((8, 16), (8, 16), (2, 4), (2, 4))
"""Stride and kernel of each transposed convolution; the strides make up the hop of 256."""
KERNELS = (3, 7, 11)
"""Of the residual blocks side by side behind each of them."""
DILATIONS = (1, 3, 5)
SLOPE = 0.1
PERIODS = (2, 3, 5, 7, 11)

NORMALISED = {
    ".weight_g": ".weight_v",
    ".parametrizations.weight.original0": ".parametrizations.weight.original1",
}
"""Ends of the names of a normalised weight's lengths and directions."""

Edges = Literal["zeros", "reflect"]


class Generator(nn.Module):
    """Sound from a log-mel spectrogram as `LogMel` makes it, which is not standardised.

    Args:
        channels: after the first convolution, halved by each of four upsamplings; 512 is the paper's V1 (13.92 million
            parameters), 128 its V2 (0.92 million).
        edges: what the convolutions find beyond both ends: `zeros`, or `reflect` in vocoders trained by SpeechBrain.

    Shape:
        `[B, 80, F]` -> `[B, 256 F]` in [-1, 1]; with `reflect`, F is at least 4.
    """

    def __init__(self, channels: int = 512, edges: Edges = "zeros") -> None:
        super().__init__()
        if channels < 16 or channels % 16:
            raise ValueError(f"channels must be a multiple of 16, got {channels}")
        self.edges = edges
        # What is mirrored has to be longer than the widest convolution reaches, 25 of the 8 F samples behind the first
        # upsampling.
        self.shortest = 4 if edges == "reflect" else 1
        self.conv_pre = nn.Conv1d(BANDS, channels, 7, padding=3, padding_mode=edges)
        self.ups = nn.ModuleList()
        self.resblocks = nn.ModuleList()
        for stride, kernel in UPSAMPLING:
            up = nn.ConvTranspose1d(channels, channels // 2, kernel, stride, padding=(kernel - stride) // 2)
            channels //= 2
            self.ups.append(up)
            self.resblocks.extend(ResidualBlock(channels, kernel, edges) for kernel in KERNELS)
        self.conv_post = nn.Conv1d(channels, 1, 7, padding=3, padding_mode=edges)

    def forward(self, mels: Tensor) -> Tensor:
        x = self.conv_pre(mels)
        for number, up in enumerate(self.ups):
            x = up(F.leaky_relu(x, SLOPE))
            blocks = self.resblocks[number * len(KERNELS) : (number + 1) * len(KERNELS)]
            x = torch.stack([block(x) for block in blocks]).mean(0)
        # The last slope is torch's default in the official code, not that of the others.
        return torch.tanh(self.conv_post(F.leaky_relu(x)))[:, 0]


class ResidualBlock(nn.Module):
    """Three times a dilated and a plain convolution beside an identity. Shape: `[B, channels, T]` -> the same."""

    def __init__(self, channels: int, kernel: int, edges: Edges = "zeros") -> None:
        super().__init__()

        def convolution(dilation: int) -> nn.Conv1d:
            padding = dilation * (kernel - 1) // 2
            return nn.Conv1d(channels, channels, kernel, padding=padding, dilation=dilation, padding_mode=edges)

        self.convs1 = nn.ModuleList(convolution(dilation) for dilation in DILATIONS)
        self.convs2 = nn.ModuleList(convolution(1) for _ in DILATIONS)

    def forward(self, x: Tensor) -> Tensor:
        for dilated, plain in zip(self.convs1, self.convs2, strict=True):
            x = x + plain(F.leaky_relu(dilated(F.leaky_relu(x, SLOPE)), SLOPE))
        return x


class Critics(nn.Module):
    """Five critics of the signal folded at a period, and three of the signal as it is and at a half and quarter rate.

    Args:
        width: multiplies all channels; 1 is the paper's size.

    Returns:
        of each critic, its scores `[B, N]`, 1 for true and 0 for generated, and its features, layer by layer.
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        self.periods = nn.ModuleList(PeriodCritic(period, width) for period in PERIODS)
        self.scales = nn.ModuleList(ScaleCritic(width, spectral=not number) for number in range(3))
        self.halved = nn.AvgPool1d(4, 2, padding=2)

    def forward(self, x: Tensor) -> list[tuple[Tensor, list[Tensor]]]:
        """`x` is `[B, T]`."""
        found = [critic(x) for critic in self.periods]
        for number, critic in enumerate(self.scales):
            x = self.halved(x[:, None])[:, 0] if number else x
            found.append(critic(x))
        return found


class PeriodCritic(nn.Module):
    """Looks at every P-th sample: 2D convolutions along the columns of the signal written in rows of P."""

    def __init__(self, period: int, width: float = 1.0) -> None:
        super().__init__()
        self.period = period
        channels = [1, *(_scaled(count, width) for count in (32, 128, 512, 1024, 1024))]
        self.layers = nn.ModuleList(
            parametrizations.weight_norm(nn.Conv2d(inputs, outputs, (5, 1), (stride, 1), padding=(2, 0)))
            for inputs, outputs, stride in zip(channels, channels[1:], (3, 3, 3, 3, 1), strict=False)
        )
        self.last = parametrizations.weight_norm(nn.Conv2d(channels[-1], 1, (3, 1), padding=(1, 0)))

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        x = F.pad(x[:, None], (0, -x.shape[1] % self.period), mode="reflect")
        return _judged(x.unflatten(2, (-1, self.period)), self.layers, self.last)


class ScaleCritic(nn.Module):
    """Strided convolutions over the signal, most of them in groups."""

    def __init__(self, width: float = 1.0, spectral: bool = False) -> None:
        super().__init__()
        norm = parametrizations.spectral_norm if spectral else parametrizations.weight_norm
        channels = [1, *(_scaled(count, width) for count in (128, 128, 256, 512, 1024, 1024, 1024))]
        kernels, strides, groups = (15, 41, 41, 41, 41, 41, 5), (1, 2, 2, 4, 4, 1, 1), (1, 4, 16, 16, 16, 16, 1)
        self.layers = nn.ModuleList(
            norm(nn.Conv1d(inputs, outputs, kernel, stride, padding=kernel // 2, groups=group))
            for inputs, outputs, kernel, stride, group in zip(
                channels, channels[1:], kernels, strides, groups, strict=False
            )
        )
        self.last = norm(nn.Conv1d(channels[-1], 1, 3, padding=1))

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        return _judged(x[:, None], self.layers, self.last)


def _judged(x: Tensor, layers: nn.ModuleList, last: nn.Module) -> tuple[Tensor, list[Tensor]]:
    features = []
    for layer in layers:
        x = F.leaky_relu(layer(x), SLOPE)
        features.append(x)
    features.append(last(x))
    return features[-1].flatten(1), features


def _scaled(channels: int, width: float) -> int:
    """A multiple of 16, which the groups divide."""
    return max(16, 16 * round(channels * width / 16))


# Weights


def with_weight_norm(generator: Generator) -> Generator:
    """Every convolution's weight as a direction and a length, as HiFi-GAN is trained; in place."""
    for module in list(generator.modules()):
        if isinstance(module, nn.Conv1d | nn.ConvTranspose1d):
            parametrizations.weight_norm(module)
    return generator


def folded(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A generator's weights under the names of `Generator`.

    Known are lengths and directions as torch's two kinds of weight normalisation name them, weights that are multiplied
    out already, and the names of SpeechBrain, whose layers hold their convolution as `conv`.
    """
    found = {name.replace(".conv.", "."): tensor for name, tensor in tensors.items()}
    for length, direction in NORMALISED.items():
        for bare in [name.removesuffix(length) for name in found if name.endswith(length)]:
            if bare + direction in found:
                along = found.pop(bare + direction)
                found[f"{bare}.weight"] = along * (
                    found.pop(bare + length) / along.flatten(1).norm(dim=1)[:, None, None]
                )
    return found


def read_published(path: Path) -> tuple[Generator, Framing]:
    """A generator that was published for 16 kHz, 80 bands and a hop of 256, and the framing it was trained with.

    Read are the official code's files (`generator` within them) and SpeechBrain's `generator.ckpt`, known by its names:
    its convolutions mirror the ends, and its frames are centred.

    Raises:
        MissingWeights: there is no readable file.
        InvalidConfig: it is no generator with these upsamplings and residual blocks.
    """
    tensors, _ = read(path, "lipdiffuser")
    speechbrain = any(name.startswith("conv_pre.conv.") for name in tensors)
    tensors = folded(tensors)
    first = tensors.get("conv_pre.weight")
    channels = first.shape[0] if first is not None and first.ndim == 3 and first.shape[0] % 16 == 0 else 512
    with torch.random.fork_rng([]):
        generator = Generator(channels, "reflect" if speechbrain else "zeros")
    expected = f"Expected a HiFi-GAN generator of kind V1 or V2 for {BANDS} bands and a hop of {HOP}"
    fill(generator, tensors, path, expected)
    return generator.eval(), "centred" if speechbrain else "hifigan"
