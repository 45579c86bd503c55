"""FlowAVSE and AVDiffuSS: what each speed-up brings, with and without it in one run, and how far it moves the output.

python tests/benchmarks/bench_flowavse.py               # the size of the `talkers` presets, about 2 minutes on a core
python tests/benchmarks/bench_flowavse.py --size large --threads 8
python tests/benchmarks/bench_flowavse.py --size large --device cuda

Weights are random. Times are real-time factors, seconds of work for a second of sound: medians over the repeats, in
which the two variants take turns. Differences are the largest of a sample, in parts of the output's peak.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from baselines.avdiffuss.method import AVDiffuSS
from baselines.flowavse.enhancer import FRAMES_AT_ONCE, Enhancer
from baselines.flowavse.method import FlowAVSE
from baselines.flowavse.network import Seen
from benchmark.types import Audio, Example, FaceVideo, Sample

RATE, FPS = 16_000, 25
CLIP_S = 2.04
SIZES: dict[str, dict[str, Any]] = {
    "talkers": {"size": "small", "width": 0.125, "shared_encoder": True},
    "small": {"size": "small"},
    "medium": {"size": "medium"},
    "large": {"size": "large"},
}

Work = Callable[[], Sequence[np.ndarray]]


def examples(count: int, seconds: float) -> list[Example]:
    """Noise of changing loudness, with pictures of noise."""
    found = []
    for number in range(count):
        random = np.random.default_rng(number)
        length = round(seconds * RATE)
        sound = random.standard_normal(length) * (0.1 + np.abs(np.sin(np.arange(length) / 3000)))
        video = random.integers(0, 256, (-(-length * FPS // RATE), 112, 112), dtype=np.uint8)
        inputs = {"noisy": Audio((0.1 * sound).astype(np.float32), RATE), "video": FaceVideo(video)}
        found.append(Example(Sample(str(number), "", {}), 0, number, inputs))
    return found


def built(kind: type[Enhancer], chosen: argparse.Namespace, **fields: object) -> Enhancer:
    method = kind(kind.Config(**SIZES[chosen.size], **fields))
    method.load_random(chosen.device)
    return method


def outputs(method: Enhancer, given: Sequence[Example]) -> Sequence[np.ndarray]:
    made = method.generate(given)
    for output in made:
        if isinstance(output, Exception):
            raise output
    return made  # type: ignore[return-value]


def looking_anew(method: Enhancer) -> Enhancer:
    """Run the visual encoder of a stage each time that the stage is run."""
    network, video = method.network, Tensor()
    predict, refine = network.predict, network.refine

    def see(shown: Tensor) -> Seen:
        nonlocal video
        video = shown
        return Seen(shown, shown)

    def predict_anew(noisy: Tensor, seen: Seen) -> Tensor:
        found = network.predictor_encoder(video)
        return predict(noisy, Seen(found, found))

    def refine_anew(state: Tensor, estimate: Tensor, at: Tensor, seen: Seen) -> Tensor:
        found = (network.refiner_encoder or network.predictor_encoder)(video)
        return refine(state, estimate, at, Seen(found, found))

    network.see, network.predict, network.refine = see, predict_anew, refine_anew
    return method


def row(title: str, seconds: float, repeats: int, device: str, on: tuple[str, Work], off: tuple[str, Work]) -> None:
    """Time both in turns after one warm-up of each, and print a line."""
    made, taken = [work()[0] for _, work in (on, off)], ([], [])
    for _ in range(repeats):
        for (_, work), times in zip((on, off), taken, strict=True):
            start = time.perf_counter()
            work()
            if device != "cpu":
                torch.cuda.synchronize()
            times.append((time.perf_counter() - start) / seconds)
    fast, slow = map(statistics.median, taken)
    difference = np.abs(made[0] - made[1]).max() / np.abs(made[1]).max()
    variants = f"{on[0]:>16} {fast:8.4f}  {off[0]:>18} {slow:8.4f}"
    print(f"{title:29} {variants} {slow / fast:7.2f} {difference:11.1e}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="talkers")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--long-s", type=float, default=30.0, help="length of the long recording")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    cuda = chosen.device != "cpu"

    def line(title: str, seconds: float, on: tuple[str, Work], off: tuple[str, Work]) -> None:
        row(title, seconds, chosen.repeats, chosen.device, on, off)

    where = torch.cuda.get_device_name(chosen.device) if cuda else f"CPU, {chosen.threads} thread(s)"
    print(f"torch {torch.__version__}, {where}, size {chosen.size}, clips of {CLIP_S} s, {chosen.repeats} repeats")
    print(f"{'':29} {'with':>16} {'RTF':>8}  {'without':>18} {'RTF':>8} {'ratio':>7} {'difference':>11}")
    clips = examples(8, CLIP_S)
    method = built(FlowAVSE, chosen)

    plain = built(FlowAVSE, chosen)
    plain.network.to(memory_format=torch.contiguous_format)
    line(
        "layout of tensors",
        CLIP_S,
        ("channels last", lambda: outputs(method, clips[:1])),
        ("default", lambda: outputs(plain, clips[:1])),
    )
    for kind, steps in ((FlowAVSE, 1), (AVDiffuSS, 30)):
        once, anew = built(kind, chosen, steps=steps), looking_anew(built(kind, chosen, steps=steps))
        line(
            f"visual encoder, {kind.name}",
            CLIP_S,
            ("once", lambda once=once: outputs(once, clips[:1])),  # type: ignore[misc]
            (f"each of {1 + steps * (1 + (kind is AVDiffuSS))} runs", lambda anew=anew: outputs(anew, clips[:1])),  # type: ignore[misc]
        )
    # Without noise: windows of one recording draw their own.
    together, single = built(FlowAVSE, chosen, temperature=0.0), built(FlowAVSE, chosen, temperature=0.0)
    together.frames_at_once, single.frames_at_once = FRAMES_AT_ONCE, 1
    line(
        "8 clips of one length",
        8 * CLIP_S,
        ("a batch", lambda: outputs(together, clips)),
        ("one by one", lambda: outputs(single, clips)),
    )
    long = examples(1, chosen.long_s)
    whole = built(FlowAVSE, chosen, temperature=0.0, longest_s=600.0)
    windows: tuple[str, Work] = ("windows together", lambda: outputs(together, long))
    apart: tuple[str, Work] = ("window by window", lambda: outputs(single, long))
    line(f"a recording of {chosen.long_s:g} s", chosen.long_s, windows, apart)
    line(f"a recording of {chosen.long_s:g} s", chosen.long_s, apart, ("whole", lambda: outputs(whole, long)))
    for precision in ("bfloat16", "float16") if cuda else ():
        mixed = built(FlowAVSE, chosen, precision=precision)
        line(
            "precision",
            8 * CLIP_S,
            (precision, lambda mixed=mixed: outputs(mixed, clips)),  # type: ignore[misc]
            ("float32", lambda: outputs(method, clips)),
        )
    if not cuda:
        print("precision: skipped, a CPU always takes float32 (--device cuda)")


if __name__ == "__main__":
    main()
