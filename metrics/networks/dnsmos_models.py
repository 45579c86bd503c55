"""The two networks of DNSMOS (Reddy et al. 2021, 2022), with their published weights, run so that windows share work.

The published script hands each window of 9.01 s to the networks afresh. But a window of the P.835 network is 900
frames, 10 ms apart, the next window starts 100 frames later, and nearly all of its cost lies in four 3 x 3 convolutions
at full resolution, which see 4 frames to each side. So these run once over all frames of a file, and once more over the
8 frames at each edge of each window, where the network sees zeros instead of neighbours. What comes out is that of
separate windows, up to rounding.

Weights come with the package speechmos, which is read but never imported (importing it needs librosa).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from metrics.networks.carried import carried
from metrics.networks.mel import mel_power, slaney_filters
from metrics.networks.onnx_files import file_digest, onnx_tensors
from metrics.networks.state import fill
from metrics.plain import fresh, plain

RATE = 16_000
HOP = 160
"""Samples between two frames, of both networks."""
WINDOW = 144_160
"""Samples in a window: 9.01 s."""

_FRAMES = 900
_REACH = 4
"""Frames to each side that the four convolutions at full resolution see."""
_BLOCK = 64
"""Windows of one file that share their frames, so that an hour of sound needs little more memory than a minute."""
_CHUNK = 223
"""Frames that go through the large convolutions at a time, a quarter of those that see no edge of a window: what they
make of more is too large for the allocator to keep."""


class DnsmosModels:
    """Both networks, in torch."""

    def __init__(self, p808: Path, p835: Path, device: str = "cpu") -> None:
        """Read `model_v8.onnx` and `sig_bak_ovr.onnx`.

        Raises:
            ValueError: a file holds other weights than these.
        """
        self.device = torch.device(device)
        self.p808_name, self.p835_name = (f"{path.stem}-{file_digest(path)}" for path in (p808, p835))
        """File name and the beginning of the sha256, for signatures."""
        with fresh():
            self._p808, self._p835 = _p808_network(), _P835()
            _fill(self._p808, p808, [f"conv2d_{n}" for n in range(5, 10)], "mos_estimator_small_1/dense_{}", (3, 4, 5))
            convolutions = ["conv2d", *(f"conv2d_{n}" for n in range(1, 7))]
            _fill(self._p835, p835, convolutions, "mos_estimator_logpow/dense{}", ("", "_1", "_3"))
            for network in (self._p808, self._p835):
                network.eval().requires_grad_(False).to(self.device, memory_format=torch.channels_last)
        self._filters = slaney_filters(RATE, 2 * HOP + 1, 120).to(self.device)

    def __call__(self, samples: np.ndarray, starts: Sequence[int], period: int) -> np.ndarray:
        """What the networks say of windows of one signal.

        Args:
            samples: `[T]` at 16 kHz.
            starts: where the W windows begin, ascending multiples of `HOP`, none beyond T - `WINDOW`.
            period: samples after which the signal repeats itself exactly; T where it does not.

        Returns:
            `[W, 4]` float64: P.808, then SIG, BAK and OVRL of P.835 before their polynomials.
        """
        x = torch.from_numpy(np.ascontiguousarray(samples, np.float64))
        cycle = int(np.lcm(period, HOP)) // HOP
        parts = []
        with plain():
            for first in range(0, len(starts), _BLOCK):
                block = starts[first : first + _BLOCK]
                part = x[block[0] : block[-1] + WINDOW].to(self.device)
                frames = torch.tensor([(start - block[0]) // HOP for start in block], device=self.device)
                windows = zip(self._mels(part, frames), self._features(part, frames, cycle), strict=True)
                # One by one: the networks keep a core busy with a single window, and more of them leave its cache.
                rows = [torch.cat([_see(self._p808, mel), _see(self._p835.small, y)], dim=1) for mel, y in windows]
                parts.append(torch.cat(rows).double().cpu().numpy())
        return np.concatenate(parts)

    def _mels(self, x: Tensor, starts: Tensor) -> Iterator[Tensor]:
        """What the P.808 network sees of each window, `[900, 120, 1]`: dB below the window's maximum, / 40, + 1.

        Its frames are centred every 10 ms from the window's first sample on. The first and the last one reach 160
        samples and 1 sample beyond the window's 9 s, where they find zeros.
        """
        n_fft = 2 * HOP + 1
        inner = _decibels(mel_power(x, self._filters, n_fft, HOP))
        heads = functional.pad(x.unfold(0, HOP + 1, HOP)[starts], (HOP, 0))
        tails = functional.pad(x.unfold(0, 2 * HOP, HOP)[starts + _FRAMES - 2], (0, 1))
        edges = _decibels(mel_power(torch.stack([heads, tails], dim=1), self._filters, n_fft, HOP))[:, :, 0]
        for start, (head, tail) in zip(starts.tolist(), edges, strict=True):
            db = torch.cat([head[None], inner[start : start + _FRAMES - 2], tail[None]])
            yield (((db - db.max()).clamp(min=-80) + 40) / 40).float()[..., None]

    def _features(self, x: Tensor, starts: Tensor, cycle: int) -> Iterator[Tensor]:
        """What the large convolutions of P.835 make of each window, `[900, 80, 32]`."""
        frames = self._p835.log_power(x.float())
        # Beyond one cycle there is nothing new.
        once = frames[: cycle + 2 * _REACH]
        bounds = [*range(0, len(once) - 2 * _REACH, _CHUNK), len(once) - 2 * _REACH]
        inner = torch.cat(
            [self._p835.features(once[None, a : b + 2 * _REACH])[0, _REACH:-_REACH] for a, b in pairwise(bounds)]
        )
        edge = torch.arange(2 * _REACH, device=x.device)
        heads = self._p835.features(frames[starts[:, None] + edge])[:, :_REACH]
        tails = self._p835.features(frames[starts[:, None] + _FRAMES - 2 * _REACH + edge])[:, _REACH:]
        middle = torch.arange(_FRAMES - 2 * _REACH, device=x.device)
        for start, head, tail in zip(starts, heads, tails, strict=True):
            yield torch.cat([head, inner[(start + middle) % cycle], tail])


class _P835(nn.Module):
    """`sig_bak_ovr.onnx`: a spectrogram, the `large` convolutions at full resolution, and the `small` rest."""

    def __init__(self) -> None:
        super().__init__()
        self.real = nn.Parameter(torch.empty(161, 2 * HOP, 1))
        self.imag = nn.Parameter(torch.empty(161, 2 * HOP, 1))
        self.large = nn.Sequential(
            *_convolution(1, 128), *_convolution(128, 64), *_convolution(64, 64), *_convolution(64, 32)
        )
        # The first pooling is parted, so that frequencies are pooled before frames are gathered into windows.
        self.large.append(nn.MaxPool2d((1, 2)))
        self.small = nn.Sequential(
            nn.MaxPool2d((2, 1)),
            *_convolution(32, 32),
            nn.MaxPool2d(2),
            *_convolution(32, 32),
            nn.MaxPool2d(2),
            *_convolution(32, 64),
            nn.AdaptiveMaxPool2d(1),
            nn.Flatten(),
            *(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 3)),
        )

    def log_power(self, x: Tensor) -> Tensor:
        """Common logarithm of the power in frames of 20 ms, `[T]` -> `[T // 160 - 1, 161]`."""
        spectrum = x.unfold(0, 2 * HOP, HOP) @ torch.cat([self.real, self.imag])[..., 0].T
        return (spectrum[:, :161].square() + spectrum[:, 161:].square()).clamp(min=1e-12).log10()

    def features(self, frames: Tensor) -> Tensor:
        """`[N, T, 161]` -> `[N, T, 80, 32]`."""
        return self.large(frames[..., None].permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


def _p808_network() -> nn.Sequential:
    """`model_v8.onnx`."""
    return nn.Sequential(
        *_convolution(1, 32),
        nn.MaxPool2d(2),
        *_convolution(32, 32),
        nn.MaxPool2d(2),
        *_convolution(32, 32),
        *_convolution(32, 32),
        nn.MaxPool2d(2),
        *_convolution(32, 64),
        nn.AdaptiveMaxPool2d(1),
        nn.Flatten(),
        *(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1)),
    )


def _convolution(inputs: int, outputs: int) -> tuple[nn.Module, nn.Module]:
    return nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(inplace=True)


def _see(network: nn.Module, picture: Tensor) -> Tensor:
    """`[H, W, C]` -> `[1, K]`."""
    return network(picture[None].permute(0, 3, 1, 2))


def _decibels(power: Tensor) -> Tensor:
    return 10 * power.clamp(min=1e-10).log10()


def _fill(
    network: nn.Module, path: Path, convolutions: Sequence[str], dense: str, numbers: Sequence[int | str]
) -> None:
    """Give a network's layers, in order, the weights that an ONNX file keeps under Keras' names."""
    tensors = onnx_tensors(path)
    names = [(f"{name}/kernel:0", f"{name}/bias:0") for name in convolutions]
    for number in numbers:
        layer = dense.format(number)
        names.append(tuple(f"{layer}/{part}/ReadVariableOp/resource:0" for part in ("MatMul", "BiasAdd")))
    places = [place for place, layer in network.named_modules() if isinstance(layer, (nn.Conv2d, nn.Linear))]
    state = {part: tensors.get(f"time2freq/stft-{part}/kernel:0") for part in ("real", "imag")}
    for place, (weight, bias) in zip(places, names, strict=True):
        state |= {f"{place}.weight": tensors.get(weight), f"{place}.bias": tensors.get(bias)}
        if weight.endswith("resource:0") and tensors.get(weight) is not None:
            state[f"{place}.weight"] = tensors[weight].T
    fill(network, {name: torch.tensor(array) for name, array in state.items() if array is not None}, path)


def load(path: Path | None = None, device: str = "cpu") -> DnsmosModels:
    """Both networks, from a folder that holds `model_v8.onnx` and `sig_bak_ovr.onnx`, or the carried one.

    Raises:
        ModuleNotFoundError: no folder is given and the package speechmos is not installed.
        FileNotFoundError: the folder lacks a file.
    """
    path = path or carried("DNSMOS's networks", "speechmos", "speechmos/dnsmos_models", "pip install speechmos")
    files = [Path(path) / name for name in ("model_v8.onnx", "sig_bak_ovr.onnx")]
    for file in files:
        if not file.is_file():
            raise FileNotFoundError(
                f"{path} holds no {file.name}: give the folder of DNSMOS's networks, or none for the carried one"
            )
    return DnsmosModels(*files, device)
