"""Exact recall in a gallery of a million: target_ranks against faiss's exact search, in one run.

    python tests/benchmarks/bench_retrieval.py            # 1,000,000 x 128 gallery, 1,000 queries
    python tests/benchmarks/bench_retrieval.py --small    # a tenth of the gallery, a fifth of the queries

Each side runs in a process of its own, makes the same gallery, and reports the time of one search and how much its
memory grew during it. faiss's `IndexFlatIP` returns the 50 nearest; target_ranks returns the rank of the target, which
gives recall at every K. Needs faiss: pip install "facevoice-bench[bench]".
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

KS = (1, 2, 5, 10, 20, 50)


class Outcome(NamedTuple):
    seconds: float
    grown_mib: float
    """Peak of resident memory over what the gallery and the queries took before."""
    recall: list[float]


def make(gallery: int, queries: int, dim: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unit vectors, and queries so far from their targets that recall lies well between 0 and 1."""
    random = np.random.default_rng(0)
    entries = random.standard_normal((gallery, dim), dtype=np.float32)
    entries /= np.linalg.norm(entries, axis=1, keepdims=True)
    target = random.integers(0, gallery, queries)
    asked = entries[target] + random.standard_normal((queries, dim), dtype=np.float32) * (2.5 / dim**0.5)
    asked /= np.linalg.norm(asked, axis=1, keepdims=True)
    return asked, entries, target


def resident_mib() -> float:
    status = Path("/proc/self/statm")
    return int(status.read_text().split()[1]) * 4096 / 2**20 if status.exists() else float("nan")


@contextmanager
def watched() -> Iterator[list[float]]:
    """Looks at the memory every 2 ms; holds the growth at its peak, in MiB, once left."""
    start, seen, over = resident_mib(), [0.0], threading.Event()

    def look() -> None:
        while not over.wait(0.002):
            seen[0] = max(seen[0], resident_mib() - start)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def ours(shape: tuple[int, int, int], threads: int) -> Outcome:
    import torch

    from metrics.faces.ranks import expected_recall, target_ranks

    torch.set_num_threads(threads)
    queries, gallery, target = make(*shape)
    target_ranks(queries[:8], gallery[:64], np.arange(8), np.arange(64))
    labels = np.arange(len(gallery))
    with watched() as grown:
        start = time.perf_counter()
        ranks = target_ranks(queries, gallery, target, labels)
        seconds = time.perf_counter() - start
    recall = [float(expected_recall(ranks.greater, ranks.ties, k).mean()) for k in KS]
    return Outcome(seconds, grown[0], recall)


def theirs(shape: tuple[int, int, int], threads: int) -> Outcome:
    import faiss

    faiss.omp_set_num_threads(threads)
    queries, gallery, target = make(*shape)
    with watched() as grown:
        start = time.perf_counter()
        index = faiss.IndexFlatIP(shape[2])
        index.add(gallery)
        _, found = index.search(queries, max(KS))
        seconds = time.perf_counter() - start
    recall = [float((found[:, :k] == target[:, None]).any(axis=1).mean()) for k in KS]
    return Outcome(seconds, grown[0], recall)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="100,000 entries and 200 queries")
    parser.add_argument("--threads", type=int, default=1, help="of each side (default 1)")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each side, alternating (default 3)")
    arguments = parser.parse_args()
    shape = (100_000, 200, 128) if arguments.small else (1_000_000, 1_000, 128)
    for library in ("OMP", "OPENBLAS", "MKL"):
        os.environ[f"{library}_NUM_THREADS"] = str(arguments.threads)  # read by the processes started below
    context = multiprocessing.get_context("spawn")
    runs: dict[str, list[Outcome]] = {"target_ranks": [], "faiss IndexFlatIP": []}
    for _ in range(arguments.repeats):
        for name, side in zip(runs, (ours, theirs), strict=True):
            with context.Pool(1) as pool:
                runs[name].append(pool.apply(side, (shape, arguments.threads)))
    print(f"gallery {shape[0]:,} x {shape[2]}, {shape[1]:,} queries, {arguments.threads} thread(s), exact")
    for name, outcomes in runs.items():
        best = min(outcome.seconds for outcome in outcomes)
        memory = max(outcome.grown_mib for outcome in outcomes)
        recall = "  ".join(f"R@{k} {value:.3f}" for k, value in zip(KS, outcomes[0].recall, strict=True))
        print(f"{name:18} {best:8.3f} s   memory +{memory:6.0f} MiB   {recall}")
    first, second = (min(outcome.seconds for outcome in outcomes) for outcomes in runs.values())
    print(f"ratio {second / first:.2f}x (best of {arguments.repeats})")
    difference = np.abs(np.subtract(*(outcomes[0].recall for outcomes in runs.values()))).max()
    print(f"largest difference of a recall {difference:.4f}")


if __name__ == "__main__":
    main()
