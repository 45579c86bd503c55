"""LipDiffuser's denoiser beside one that stands here, in plain torch from the papers.

The other one is EDM2's, config G (Karras et al. 2024, Sec. 2 and Fig. 21), with Eq. 3 and 5 of LipDiffuser. It
takes the tensors of the network by their names, no more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from baselines.lipdiffuser.config import Config
from baselines.lipdiffuser.unet import Block, Modulation

SPEAKER, FEATURES, HEAD = 12, 10, 8
Named = Mapping[str, Tensor]


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def unit(x: Tensor, *dims: int) -> Tensor:
    """Magnitude 1 over some dimensions."""
    return x / (1e-4 + x.square().mean(dims, keepdim=True).sqrt())


def silu(x: Tensor) -> Tensor:
    return x * torch.sigmoid(x) / 0.596


def blend(a: Tensor, b: Tensor, part: float) -> Tensor:
    return ((1 - part) * a + part * b) / math.hypot(1 - part, part)


def joined(a: Tensor, b: Tensor) -> Tensor:
    """With as much of the magnitude from either."""
    scale = math.sqrt((a.shape[1] + b.shape[1]) / 2)
    return torch.cat([a * scale / math.sqrt(a.shape[1]), b * scale / math.sqrt(b.shape[1])], dim=1)


def layer(weight: Tensor, x: Tensor, gain: Tensor | float = 1.0) -> Tensor:
    """Linear, or a convolution over one or two dimensions, whose outputs have the inputs' magnitude."""
    weight = unit(weight, *range(1, weight.ndim)) / math.sqrt(weight[0].numel()) * gain
    if weight.ndim == 2:
        return x @ weight.T
    return (F.conv1d if weight.ndim == 3 else F.conv2d)(x, weight, padding=weight.shape[-1] // 2)


def attended(named: Named, x: Tensor) -> Tensor:
    heads = x.shape[1] // HEAD
    q, k, v = layer(named["attention.qkv.weight"], x).unflatten(1, (3, heads, HEAD)).flatten(4).unbind(1)
    q, k, v = (unit(each, 2) for each in (q, k, v))
    told = torch.einsum("bhcq,bhck->bhqk", q, k) / math.sqrt(HEAD)
    found = torch.einsum("bhqk,bhck->bhcq", told.softmax(-1), v)
    return blend(x, layer(named["attention.out.weight"], found.reshape(x.shape)), 0.3)


def film(named: Named, x: Tensor, seen: Tensor) -> Tensor:
    """Eq. 5: gamma with a gain and clamped to 0..1, beta; both of two layers, of five frames and of one."""
    gamma, beta = (
        layer(named[f"film.{name}.pointwise.weight"], silu(layer(named[f"film.{name}.wide.weight"], seen)), gain)
        for name, gain in (("gate", named["film.gain"]), ("shift", 1.0))
    )
    gamma, beta = gamma.clamp(0, 1)[:, :, None], beta[:, :, None]
    return ((1 - gamma) * x + gamma * beta) / ((1 - gamma) ** 2 + gamma**2).sqrt()


def block(named: Named, x: Tensor, told: Tensor, seen: Tensor | None, scale: str = "") -> Tensor:
    """An encoder's block where nothing is seen, else a decoder's."""
    if scale == "down":
        x = (x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]) / 4
    elif scale == "up":
        x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
    if seen is None:
        x = unit(layer(named["skip.weight"], x) if "skip.weight" in named else x, 1)
    y = layer(named["first.weight"], silu(x))
    y = y * (1 + layer(named["embedding.weight"], told, named["embedding_gain"]))[:, :, None, None]
    if seen is not None:
        y = film(named, y, seen)
    y = layer(named["second.weight"], silu(y))
    if seen is not None and "skip.weight" in named:
        x = layer(named["skip.weight"], x)
    x = blend(x, y, 0.3)
    return (attended(named, x) if "attention.qkv.weight" in named else x).clamp(-256, 256)


def below(named: Named, prefix: str) -> Named:
    return {name.removeprefix(prefix): tensor for name, tensor in named.items() if name.startswith(prefix)}


def unet(named: Named, x: Tensor, level_of_noise: Tensor, speaker: Tensor, seen: Tensor, config: Config) -> Tensor:
    levels = len(config.multiples)
    waves = torch.outer(level_of_noise, named["fourier.frequencies"]) + named["fourier.phases"]
    noise = layer(named["noise_level.weight"], math.sqrt(2) * waves.cos())
    label = layer(named["label.weight"], math.sqrt(speaker.shape[1]) * speaker)
    told = silu(blend(noise, label, 0.5))
    pictures = [seen]
    for _ in range(levels - 1):
        pictures.append((pictures[-1][..., ::2] + pictures[-1][..., 1::2]) / 2)
    pictures = [unit(each, 1) for each in pictures]

    x = layer(named["enter.weight"], torch.cat([x, torch.ones_like(x[:, :1])], dim=1))
    skips, number = [x], 0
    for level in range(levels):
        for scale in ["down"] * (level > 0) + [""] * config.blocks:
            x = block(below(named, f"encoder.{number}."), x, told, None, scale)
            skips.append(x)
            number += 1
    number = 0
    for level in reversed(range(levels)):
        first = ["", ""] if level == levels - 1 else ["up"]
        for place in range(len(first) + config.blocks + 1):
            scale = first[place] if place < len(first) else ""
            x = x if place < len(first) else joined(x, skips.pop())
            x = block(below(named, f"decoder.{number}."), x, told, pictures[level], scale)
            number += 1
    return layer(named["leave.weight"], x, named["gain"])


def lively(module: torch.nn.Module) -> Named:
    """Its tensors, after all gains, which begin at 0, let their parts matter."""
    with torch.no_grad():
        for number, (name, tensor) in enumerate(module.named_parameters()):
            if name.endswith("gain"):
                tensor.fill_(0.6 + 0.01 * (number % 7))
    return {name: tensor.detach().double() for name, tensor in module.state_dict().items()}


def test_the_denoiser_is_edm2s_with_equations_3_and_5():
    torch.manual_seed(0)
    config = Config(channels=16, multiples=(1, 2, 3), blocks=2, attention=(False, True, True), head_channels=HEAD)
    denoiser = config.denoiser(SPEAKER, FEATURES).eval()
    named = below(lively(denoiser), "unet.")
    x, seen = torch.randn(2, 80, 16), torch.randn(2, FEATURES, 16)
    sigma, speaker = torch.tensor([0.3, 7.0]), F.normalize(torch.randn(2, SPEAKER), dim=1)
    with torch.no_grad():
        found = denoiser(x, sigma, speaker, denoiser.unet.modulations(seen))
    x, seen, sigma, speaker = (each.double() for each in (x, seen, sigma, speaker))
    total = (sigma**2 + 0.25)[:, None, None]
    told = unet(named, (x / total.sqrt())[:, None], sigma.log() / 4, speaker, seen, config)[:, 0]
    expected = 0.25 / total * x + sigma[:, None, None] * 0.5 / total.sqrt() * told
    assert float(told.abs().mean()) > 0.1  # the network matters
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("scale", ["", "up", "down"])
@pytest.mark.parametrize("large", [1.0, 3000.0])
@pytest.mark.parametrize("outputs", [16, 24])
def test_a_block_is_edm2s(scale, large, outputs):
    """Of an encoder and of a decoder, whose activations are clipped; with attention."""
    torch.manual_seed(1)
    x, told = large * torch.randn(2, 16, 8, 8), torch.randn(2, 20)
    frames = {"": 8, "up": 16, "down": 4}[scale]
    for seen in (None, torch.randn(2, FEATURES, frames)):
        features = None if seen is None else FEATURES
        made = Block(16, outputs, 20, features, head_channels=HEAD, resample=scale or None).eval()
        named = lively(made)
        with torch.no_grad():
            modulation = None if made.film is None else made.film(seen)
            assert modulation is None or isinstance(modulation, Modulation)
            found = made(x, told, modulation)
        expected = block(named, x.double(), told.double(), None if seen is None else seen.double(), scale)
        torch.testing.assert_close(found.double(), expected, rtol=1e-3, atol=1e-4)
        assert bool((expected.abs() == 256).any()) == (seen is not None and large > 1)
