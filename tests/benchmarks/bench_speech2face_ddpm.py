"""The DDPM cascade: seconds a face by solver and steps, and a training step of the paper's networks, not in outline.

python tests/benchmarks/bench_speech2face_ddpm.py                 # the shipped weights, 16 faces at once
python tests/benchmarks/bench_speech2face_ddpm.py --threads 1 --faces 4 --steps 8 20
python tests/benchmarks/bench_speech2face_ddpm.py --paper         # needs 12 GB of memory
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from baselines.lamb import Lamb
from baselines.speech2face_ddpm.config import Config
from baselines.speech2face_ddpm.method import Speech2FaceDDPM
from baselines.speech2face_ddpm.unet import UNet
from benchmark.configuration import Presets, resolve
from benchmark.types import Audio, Example, Sample

FOLDER = Path(__file__).parents[2] / "baselines" / "speech2face_ddpm"
SECONDS = 5


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """Of the clock, and of all cores together, which other programs disturb less; the better of two."""
    taken = []
    for _ in range(2):
        start = time.perf_counter(), time.process_time()
        work()
        taken.append((time.perf_counter() - start[0], time.process_time() - start[1]))
    return min(one for one, _ in taken), min(two for _, two in taken)


def sampling(chosen: argparse.Namespace) -> None:
    settings = resolve(Config, Presets.beside(FOLDER))
    made = Speech2FaceDDPM(settings.config, settings.weights)
    made.load("cpu")
    rng = np.random.default_rng(0)
    examples = [
        Example(Sample("a", "a", {}), 0, n, {"speech": Audio(rng.normal(0, 0.1, SECONDS * 16000).astype("f4"), 16000)})
        for n in range(chosen.faces)
    ]

    def measured(**fields: object) -> str:
        made.config = dataclasses.replace(settings.config, **fields)
        clock, cores = seconds(lambda: made.generate(examples))
        return f"{clock / chosen.faces:.2f} ({cores / chosen.faces:.2f})"

    made.generate(examples[:1])
    print(f"torch {torch.__version__}, {chosen.threads} thread(s), {chosen.faces} faces at once")
    print("seconds a face by the clock (and of all cores together)")
    own = settings.config
    for size in (64, own.large):
        each = measured(resolution=size)
        print(f"{size} px as set ({own.solver}, {own.steps} steps, w = {own.guidance:g}): {each}")
    for solver in ("dpm", "ddim", "ddpm"):
        each = [f"{steps}: {measured(solver=solver, steps=steps)}" for steps in chosen.steps]
        print(f"{solver}, by steps, 64 px: {', '.join(each)}")
    print(f"w = 0, {own.steps} steps, 64 px: {measured(guidance=0.0)}")


def paper_step() -> None:
    config = Config()
    shapes = {"decoder": (config.decoder_shape(), 64), "super_resolution": (config.super_shape(), config.large)}
    for name, (shape, side) in shapes.items():
        guided = name == "decoder"
        network = UNet(shape, config.embedding if guided else 0, not guided)
        optimiser = Lamb(network.parameters(), lr=2e-4)
        x, time_ = torch.randn(1, 3, side, side), torch.full((1,), 0.5)
        extra = {"embedding": torch.zeros(1, config.embedding)} if guided else {"low": x, "level": time_}
        start = time.perf_counter()
        losses = []
        for _ in range(2):
            loss = (network(x, time_, **extra) - x).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(float(loss.detach()))
        parameters = sum(p.numel() for p in network.parameters()) / 1e6
        print(f"{name}: {parameters:.1f} million parameters, {side} px, two steps of one picture in ", end="")
        print(f"{time.perf_counter() - start:.0f} s, loss {losses[0]:.4f} -> {losses[1]:.4f}")
        del network, optimiser


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--faces", type=int, default=16)
    parser.add_argument("--steps", type=int, nargs="+", default=[4, 8, 16, 32])
    parser.add_argument("--paper", action="store_true")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    if chosen.paper:
        paper_step()
    else:
        sampling(chosen)


if __name__ == "__main__":
    main()
