"""How well speaker networks tell Talkers' voices apart: cosines of one voice and of two, area under the ROC, nearest.

python tests/benchmarks/bench_voices.py                # 100 people, two sentences each; GE2E where resemblyzer is there
"""

from __future__ import annotations

import argparse

import numpy as np

from benchmark.datasets.talkers.identity import person
from benchmark.datasets.talkers.sentences import sentences
from benchmark.datasets.talkers.voice import speak
from benchmark.weights.networks import Networks
from metrics.metric import Undefined


def area(same: np.ndarray, other: np.ndarray) -> float:
    return float((same[:, None] > other[None]).mean() + (same[:, None] == other[None]).mean() / 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=100)
    chosen = parser.parse_args()
    people = [person(number) for number in range(90_000, 90_000 + chosen.people)]
    spoken = [[speak(who, sentence).audio.samples for sentence in sentences(who.id, 2)] for who in people]
    sexes = np.array([who.sex for who in people])
    others = ~np.eye(len(people), dtype=bool)
    for name in ("talkers_voices", "ge2e"):
        try:
            network = Networks()(name)
        except ModuleNotFoundError as error:
            print(f"{name}: {error}")
            continue
        first, second = (np.stack([network.embed(each[take]) for each in spoken]) for take in (0, 1))
        assert not any(isinstance(vector, Undefined) for vector in (*first, *second))
        cosines = first @ second.T
        same, within = np.diag(cosines), others & (sexes[:, None] == sexes[None])
        nearest = (cosines.argmax(axis=1) == np.arange(len(people))).mean()
        print(
            f"{name}: same voice {same.mean():.3f}, other voice {cosines[others].mean():.3f}, area "
            f"{area(same, cosines[others]):.3f}, within a sex {area(same, cosines[within]):.3f}, nearest {nearest:.0%}"
        )


if __name__ == "__main__":
    main()
