"""What `identity_bits` says of ranks whose information is known, and what the voices of Talkers tell of the faces.

    python tests/benchmarks/bench_identity_bits.py
    python tests/benchmarks/bench_identity_bits.py --trials 1000

bias: galleries of several sizes and few or many speakers, each with one face: mean and deviation of the number over
trials; before it what ranks counted one by one would say, with Miller's and Madow's correction. Ranks are drawn so that
the part of the gallery that stands ahead of the speaker follows a beta distribution.

voice: each test person of Talkers is sought by the true traits of the voice, through the known link of voice and face
and nothing else, among the true traits of all faces. No method hears more of the shape of a face.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict

import numpy as np
from scipy.stats import betabinom

from benchmark.datasets.talkers.identity import LINK, LINKED, people
from benchmark.results.statistics import Shape, with_intervals
from metrics.faces.identity_bits import octave_shares, rank_bits

WORLDS = {"chance": (1.0, 1.0), "weak": (0.6, 1.0), "middling": (0.25, 2.0), "strong": (0.08, 4.0)}


def entropy(p: np.ndarray) -> float:
    p = p[p > 0]
    return float(-(p * np.log2(p)).sum())


def counted(ranks: np.ndarray, size: int) -> float:
    """Bits by a histogram of single ranks."""
    count = np.bincount(ranks, minlength=size)
    return np.log2(size) - entropy(count / len(ranks)) - ((count > 0).sum() - 1) / (2 * len(ranks) * np.log(2))


def bias(trials: int) -> None:
    random = np.random.default_rng(0)
    sizes = (15, 30, 100)
    print(f"| gallery | ranks | true bits | {' | '.join(f'{n} speakers' for n in (8, *sizes))} |")
    print("|---|---|---:|" + "---:|" * (1 + len(sizes)))
    for size in (20, 100, 1000):
        for name, (a, b) in WORLDS.items():
            true = np.log2(size) - entropy(betabinom.pmf(np.arange(size), size - 1, a, b))
            cells = []
            for speakers in (8, *sizes):
                ones, people_ = np.ones((1, speakers)), np.arange(speakers)
                found = []
                for _ in range(trials):
                    ranks = random.binomial(size - 1, random.beta(a, b, speakers))
                    shares = octave_shares(ranks, np.zeros(speakers), size)
                    found.append((counted(ranks, size), rank_bits(shares, people_, size, ones)[0]))
                naive, ours = np.mean(found, axis=0)
                cells.append(f"{naive:.2f} → {ours:.2f} ± {np.std(found, axis=0)[1]:.2f}")
            print(f"| {size} | {name} | {abs(true):.2f} | {' | '.join(cells)} |", flush=True)


def voice() -> None:
    crowd = people("test")
    heard = np.array([[sign * asdict(one.voice)[source] for source, sign in LINKED.values()] for one in crowd])
    seen = np.array([[asdict(one.face)[trait] for trait in LINKED] for one in crowd])
    sex = np.array([one.sex for one in crowd])
    far = ((seen[None] - LINK * heard[:, None]) ** 2).sum(axis=2) / (2 * (1 - LINK**2))
    for about, cost in (("linked traits", far), ("linked traits and sex", far + 1e6 * (sex[:, None] != sex))):
        own = np.diagonal(cost)
        greater = (cost < own[:, None]).sum(axis=1)
        shares, ids = octave_shares(greater, np.zeros(len(crowd)), len(crowd)), np.arange(len(crowd))

        def values(weights: np.ndarray, shares: np.ndarray = shares, ids: np.ndarray = ids) -> dict[str, np.ndarray]:
            return {"bits": rank_bits(shares, ids, len(crowd), weights)}

        one = with_intervals(len(crowd), values, {"bits": Shape("mean", (-np.inf, np.log2(len(crowd))))})["bits"]
        print(f"{about}: {one.value:.2f} [{one.low:.2f}, {one.high:.2f}] of {np.log2(len(crowd)):.2f} bits")
    sources = [source for source, _ in LINKED.values()]
    told = sum(0.5 * np.log2(1 + sources.count(one) * LINK**2 / (1 - LINK**2)) for one in set(sources))
    print(f"in all the linked traits of a voice tell {told:.2f} bits of those of the face, the sex one more")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=300)
    bias(parser.parse_args().trials)
    voice()


if __name__ == "__main__":
    main()
