"""LipDiffuser: seconds per second of speech by sampling steps, and of its parts, on a CPU or a GPU.

python tests/benchmarks/bench_lipdiffuser.py                       # the shipped weights, one video of 3 s
python tests/benchmarks/bench_lipdiffuser.py --threads 1 --steps 4 32
python tests/benchmarks/bench_lipdiffuser.py --device cuda --videos 16 --seconds 3 10
python tests/benchmarks/bench_lipdiffuser.py --paper               # the paper's size, with random weights: 2 GB
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from baselines.lipdiffuser.config import Config
from baselines.lipdiffuser.method import LipDiffuser
from benchmark.configuration import Presets, resolve
from benchmark.media.mouth_video import SIDE, MouthVideo
from benchmark.types import Audio, Example, Sample

FOLDER = Path(__file__).parents[2] / "baselines" / "lipdiffuser"
RATE, FPS = 16_000, 25


def made_up(videos: int, seconds: float) -> list[Example]:
    """Grey noise for mouths, and noise in the rhythm of syllables for voices: both take as long as real ones."""
    rng = np.random.default_rng(0)
    voice = np.repeat(rng.random(60), RATE // 20) * rng.normal(0, 0.1, 3 * RATE)
    frames = rng.integers(0, 256, (videos, round(seconds * FPS), SIDE, SIDE), np.uint8)
    enrolment = Audio(voice.astype(np.float32), RATE)
    return [
        Example(Sample(str(n), "a", {}), 0, n, {"mouth": MouthVideo(shown), "enrolment": enrolment})
        for n, shown in enumerate(frames)
    ]


def seconds_of(work: Callable[[], object], device: str) -> tuple[float, float]:
    """Of the clock, and of all cores together, which other programs disturb less; the better of two."""
    taken = []
    for _ in range(2):
        start = time.perf_counter(), time.process_time()
        work()
        if device != "cpu":
            torch.cuda.synchronize()
        taken.append((time.perf_counter() - start[0], time.process_time() - start[1]))
    return min(one for one, _ in taken), min(two for _, two in taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--videos", type=int, default=1, help="given to the method at once")
    parser.add_argument("--seconds", type=float, nargs="+", default=[3.0])
    parser.add_argument("--steps", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32])
    parser.add_argument("--paper", action="store_true")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    settings = resolve(Config, Presets.beside(FOLDER), "paper" if chosen.paper else None)
    method = LipDiffuser(settings.config, settings.weights)
    if chosen.paper:
        method.load_random(chosen.device)
    else:
        method.load(chosen.device)
    millions = sum(p.numel() for p in method.network.denoiser.parameters()) / 1e6
    on = f"{chosen.threads} thread(s)" if chosen.device == "cpu" else torch.cuda.get_device_name()
    print(f"torch {torch.__version__}, {on}, {chosen.videos} video(s) at once, denoiser of {millions:.2f} M parameters")
    print("seconds per second of speech, by the clock (and of all cores together)")
    method.generate(made_up(1, 1.0))
    for length in chosen.seconds:
        examples, total = made_up(chosen.videos, length), chosen.videos * length
        print(f"videos of {length:g} s")
        for steps in chosen.steps:
            method.config = dataclasses.replace(settings.config, steps=steps)
            clock, cores = seconds_of(lambda examples=examples: method.generate(examples), chosen.device)
            print(f"  {steps:2d} steps: {clock / total:.3f} ({cores / total:.3f})")


if __name__ == "__main__":
    main()
