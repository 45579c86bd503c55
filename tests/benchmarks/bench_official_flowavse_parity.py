"""Rows for `bench_official_parity.py`: FlowAVSE, AVDiffuSS and SGMSE+ against the authors' modules, at equal weights.

python tests/benchmarks/bench_official_flowavse_parity.py --repositories FOLDER

FOLDER holds the authors' repositories `FlowAVSE` and `AVDiffuSS` (kaistmm) and `sgmse` (sp-uhh; the package sgmse,
unpacked, is the same). Networks of the first two need einops, two rows need
torch_ema or opencv-python-headless; a row says so where its package is missing.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from types import SimpleNamespace
from unittest import mock

import numpy as np
import torch
from bench_official_parity import Bench, Outputs, Package, check, filled, main
from torch import Tensor, nn

from baselines.avdiffuss.config import Config as AVDiffuSSConfig
from baselines.avdiffuss.method import AVDiffuSS
from baselines.ema import ExponentialAverage
from baselines.flowavse.config import Config, EnhancerConfig
from baselines.flowavse.enhancer import Enhancer
from baselines.flowavse.method import FlowAVSE
from baselines.flowavse.spectrogram import spectrogram, waveform
from baselines.sgmse.config import Config as SGMSEConfig
from baselines.sgmse.method import SGMSE
from benchmark.media import write_video
from benchmark.media.face_video import read_face_video
from benchmark.types import Audio, Example, FaceVideo, Sample

RATE = 16_000
DUMMIES = (
    *(
        "wandb",
        "pydub",
        "pypapi",
        "h5py",
        "librosa",
        "pesq",
        "pystoi",
        "tensorboard",
        "tqdm",
        "soundfile",
        "torchaudio",
    ),
    *("sgmse.util.inference", "sgmse.util.graphics"),
)
"""What the authors' files import and the compared parts never call."""


def sgmse(name: str, bench: Bench) -> object:
    """One of the authors' modules, without what their packages' beginnings import."""
    for package in ("sgmse", "sgmse.backbones", "sgmse.util"):
        sys.modules.setdefault(package, Package(package, bench.repository.joinpath(*package.split("."))))
    sys.modules["pytorch_lightning"] = mock.MagicMock(LightningModule=nn.Module)
    for dummy in DUMMIES:
        try:
            importlib.import_module(dummy)
        except (ImportError, RuntimeError):
            sys.modules[dummy] = mock.MagicMock()
    return bench.module(name)


def official_networks(bench: Bench) -> nn.ModuleDict:
    """Both stages as their model names them, the first without time."""
    backbone = sgmse("sgmse.backbones.ncsnpp", bench).NCSNpp_crossatt  # type: ignore[attr-defined]
    stages = {
        "denoiser_net": backbone(input_channels=2, discriminative=True),
        "score_net": backbone(input_channels=4, discriminative=False),
    }
    return filled(nn.ModuleDict(stages))  # type: ignore[return-value]


def ours(bench: Bench, official: nn.ModuleDict, kind: type[Enhancer], config: EnhancerConfig) -> Enhancer:
    """Our method, loaded from a checkpoint as PyTorch Lightning writes it, whose moving average is what counts."""
    state = official.state_dict()
    average = {"decay": 0.999, "num_updates": 9, "shadow_params": [p.detach() for p in official.parameters()]}
    followed = {name for name, _ in official.named_parameters()}
    last = {name: t + 1 if name in followed else t for name, t in state.items()}
    path = bench.scratch / "last.ckpt"
    torch.save(
        {"epoch": 3, "state_dict": last, "ema": average, "hyper_parameters": {"kwargs": SimpleNamespace()}}, path
    )
    method = kind(config, path)
    method.load("cpu")
    return method


def clip(seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """Noise `[L]` and its pictures `[N, 112, 112]`."""
    rng = np.random.default_rng(int(100 * seconds))
    samples = rng.standard_normal(round(seconds * RATE)).astype(np.float32) / 4
    return samples, rng.integers(0, 256, (round(seconds * 25), 112, 112), dtype=np.uint8)


def parts(x: Tensor) -> Tensor:
    """A complex spectrogram `[B, 1, F, T]` as `[B, 2, F, T]`."""
    return torch.cat([x.real, x.imag], dim=1)


def networks(kind: type[Enhancer], config: EnhancerConfig) -> Callable[[Bench], tuple[Outputs, Outputs]]:
    """Both stages at 0.56 s, of which the spectrogram is filled up from 71 to 128 frames, beside 14 pictures."""

    def run(bench: Bench) -> tuple[Outputs, Outputs]:
        official = official_networks(bench)
        method = ours(bench, official, kind, config)
        _, video = clip(0.56)
        frames = torch.from_numpy(video)[None]
        y, x = torch.randn(2, 1, 1, 256, 128, dtype=torch.complex64, generator=torch.Generator().manual_seed(0)) / 4
        time = torch.tensor([0.3])
        first, _ = official["denoiser_net"](y, frames.float())
        second, _ = official["score_net"](torch.cat([x, y], dim=1), frames.float(), time)
        seen = method.network.see(frames)
        found = method.network.predict(parts(y), seen), method.network.refine(parts(x), parts(y), time, seen)
        # What the second stage gives is large: the division by time is part of it.
        return [parts(first), parts(-second)], list(found)

    return run


check("FlowAVSE", "both stages, 0.56 s", "FlowAVSE")(networks(FlowAVSE, Config(sigma=1e-4)))
check("AVDiffuSS", "both stages, 0.56 s", "AVDiffuSS")(networks(AVDiffuSS, AVDiffuSSConfig()))


@check("FlowAVSE", "enhancement in one step, 0.56 and 2.04 s", "FlowAVSE", 5e-3)
def flowavse_enhance(bench: Bench) -> tuple[Outputs, Outputs]:
    """Without the noise at the start, which is 1e-4; in parts of their RMS.

    Random weights, divided by a time of 0.03, make the output hundreds of times louder than speech, and its rounding.
    """
    model = sgmse("sgmse.model", bench).StochasticRegenerationModel  # type: ignore[attr-defined]
    networks = official_networks(bench)
    method = ours(bench, networks, FlowAVSE, Config(sigma=1e-4, temperature=0.0))
    official = model.__new__(model)
    nn.Module.__init__(official)
    official.denoiser_net, official.score_net = networks["denoiser_net"], networks["score_net"]
    official.t_eps, official.sigma_min, official.mode = 0.03, 0.0, "regen-joint-training"
    # Their front-end is compared by the tests of ours; here both have one.
    official._stft = lambda y: torch.view_as_complex(spectrogram(y).movedim(1, -1).contiguous())
    official._forward_transform = lambda y: y
    theirs, mine = [], []
    for seconds in (0.56, 2.04):
        samples, video = clip(seconds)
        spectrum, _, _, length, peak = official.enhance(
            torch.from_numpy(samples)[None], torch.from_numpy(video).float(), return_stft=True
        )
        sound = peak * waveform(torch.view_as_real(spectrum)[None].movedim(-1, 1), length)[0]
        inputs = {"noisy": Audio(samples, RATE), "video": FaceVideo(video)}
        (found,) = method.generate([Example(Sample("a", "a", {}), 0, 0, inputs)])
        rms = sound.square().mean().sqrt()
        theirs.append(sound / rms)
        mine.append(torch.from_numpy(found) / rms)
    return theirs, mine


@check("FlowAVSE", "moving average of 20 steps", "FlowAVSE", 1e-6)
def moving_average(bench: Bench) -> tuple[Outputs, Outputs]:
    from torch_ema import ExponentialMovingAverage

    layers = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    official = ExponentialMovingAverage(layers.parameters(), decay=0.999)
    average = ExponentialAverage({"": layers}, 0.999)
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        for tensor in layers.state_dict().values():
            tensor.copy_(torch.randn(tensor.shape, generator=generator))
        official.update()
        average.update()
    with official.average_parameters():
        theirs = [tensor.clone() for tensor in layers.state_dict().values()]
    with average.applied():
        return theirs, [tensor.clone() for tensor in layers.state_dict().values()]


@check("FlowAVSE", "grey pictures of a 224 x 224 video", "FlowAVSE", 0)
def grey_pictures(bench: Bench) -> tuple[Outputs, Outputs]:
    import cv2  # noqa: F401 - theirs needs it; a dummy in its place would be compared

    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (15, 28, 28, 3), dtype=np.uint8)
    path = bench.scratch / "video.mp4"
    write_video(path, coarse.repeat(8, axis=1).repeat(8, axis=2), 25)
    sgmse("sgmse.util.other", bench)
    videocap = bench.module("test_whole").videocap
    return [videocap(str(path), 0)], [read_face_video(path, grey=FlowAVSE(Config()).grey).frames]


@check("SGMSE+", "score model, from a checkpoint", "sgmse")
def score_model(bench: Bench) -> tuple[Outputs, Outputs]:
    """At full size, two times, 64 frames; in parts of the largest value, as it is divided by time."""
    official = filled(sgmse("sgmse.backbones.ncsnpp", bench).NCSNpp())  # type: ignore[attr-defined]
    state = {f"dnn.{name}": tensor for name, tensor in official.state_dict().items()}
    path = bench.scratch / "last.ckpt"
    torch.save({"state_dict": state, "hyper_parameters": {"backbone": "ncsnpp", "sde": "ouve", "theta": 1.5}}, path)
    method = SGMSE(SGMSEConfig(), path)
    method.load("cpu")
    x, y = torch.randn(2, 2, 1, 256, 64, dtype=torch.complex64, generator=torch.Generator().manual_seed(0)) / 4
    time = torch.tensor([0.03, 0.8])
    theirs, mine = parts(-official(torch.cat([x, y], dim=1), time)), method.network(parts(x), parts(y), time)
    return theirs / theirs.abs().amax(), mine / theirs.abs().amax()


@check("SGMSE+", "mean, deviation and diffusion of the process", "sgmse", 1e-6)
def process(bench: Bench) -> tuple[Outputs, Outputs]:
    official = sgmse("sgmse.sdes", bench).OUVESDE(theta=1.5, sigma_min=0.05, sigma_max=0.5)  # type: ignore[attr-defined]
    own = SGMSEConfig().process()
    x, y = torch.randn(2, 9, 1, 4, 5, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    time = torch.linspace(0.03, 1, 9)
    mean, deviation = official.marginal_prob(x, y, time)
    _, diffusion = official.sde(x, y, time)
    found = own.mean(parts(x), parts(y), time), own.deviation(time)
    return [parts(mean), deviation, diffusion], [*found, torch.tensor([own.diffusion(t) for t in time.tolist()])]


if __name__ == "__main__":
    main()
