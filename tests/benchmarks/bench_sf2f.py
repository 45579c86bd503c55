"""SF2F's encoder: windows of 1.25 s per second and core, all windows in one call against one call a window.

python tests/benchmarks/bench_sf2f.py            # the paper's size
python tests/benchmarks/bench_sf2f.py --width 0.4
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from baselines.layers.log_filter_banks import log_filter_banks
from baselines.sf2f.config import Config

FRAMES, RATE = 125, 16_000


def seconds(work: Callable[[], object], repeats: int) -> float:
    """Median over `repeats` after one warm-up."""
    work()
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=float, default=1.0, help="1 is the paper's size")
    parser.add_argument("--windows", type=int, default=350, help="50 speakers of 5 s")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    network = Config(width=chosen.width).network().eval()
    speech = torch.randn(chosen.windows, int(1.25 * RATE), generator=torch.Generator().manual_seed(0)) * 0.1
    with torch.inference_mode():
        banks = torch.stack([log_filter_banks(one) for one in speech])[..., :FRAMES]
        together = seconds(lambda: network.encoder(banks), chosen.repeats)
        apart = (
            seconds(lambda: [network.encoder(one[None]) for one in banks[:50]], chosen.repeats) / 50 * chosen.windows
        )
        front_end = seconds(lambda: log_filter_banks(speech), chosen.repeats)
    print(f"torch {torch.__version__}, {chosen.threads} thread(s), width {chosen.width:g}, {chosen.windows} windows")
    print(f"encoder, all windows in one call: {chosen.windows / together:8.0f} windows/s")
    print(f"encoder, one call a window:       {chosen.windows / apart:8.0f} windows/s   ratio {apart / together:.2f}")
    print(f"front-end, all in one call:       {chosen.windows / front_end:8.0f} windows/s")


if __name__ == "__main__":
    main()
