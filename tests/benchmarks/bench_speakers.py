"""How well speaker embeddings tell Talkers' voices apart: cosines of two sentences of one person, and of two people.

    python tests/benchmarks/bench_speakers.py talkers ge2e
    python tests/benchmarks/bench_speakers.py wespeaker:FILE.onnx --people 100

People: Talkers' validation people of the population, from number 90000, two sentences each, as they speak them. AUC:
how often the cosine of the same is above that of others. EER: where as many of the same are below as others are above.
right: how often a first sentence is nearest to the second of its own speaker, of all people.
"""

from __future__ import annotations

import argparse
import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from baselines.lipdiffuser.speaker import SpeakerEncoder
from benchmark.datasets.talkers.identity import person
from benchmark.datasets.talkers.sentences import sentences
from benchmark.datasets.talkers.voice import speak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="+", help="talkers, ge2e, wespeaker:FILE.onnx")
    parser.add_argument("--people", type=int, default=200)
    settings = parser.parse_args()
    torch.set_num_threads(1)
    everybody = [person(90_000 + number) for number in range(settings.people)]
    said = [[speak(who, what).audio.samples for what in sentences(who.id, 2)] for who in everybody]
    print("| | numbers | same | other | AUC | EER | right | s a recording |\n|---|" + "---:|" * 7)
    for given in settings.kinds:
        kind, _, model = given.partition(":")
        encoder = SpeakerEncoder(kind, model)
        began = time.perf_counter()
        first, second = (encoder.embed([two[which] for two in said]) for which in (0, 1))
        seconds = (time.perf_counter() - began) / (2 * len(said))
        cosines = (first @ second.T).numpy()
        own = np.eye(len(said), dtype=bool)
        same, other = cosines[own], np.sort(cosines[~own])
        above = len(other) - np.searchsorted(other, same, "right")
        ties = np.searchsorted(other, same, "right") - np.searchsorted(other, same, "left")
        auc = 1 - (above + ties / 2).mean() / len(other)
        levels = np.unique(cosines)
        missed = np.searchsorted(np.sort(same), levels) / len(same)
        taken = 1 - np.searchsorted(other, levels) / len(other)
        error = np.minimum(1, np.maximum(missed, taken)).min()
        right = (cosines.argmax(1) == np.arange(len(said))).mean()
        print(
            f"| {kind} | {encoder.dim} | {same.mean():.3f} | {other.mean():.3f} | {auc:.4f} | {100 * error:.1f} % "
            f"| {100 * right:.0f} % | {seconds:.3f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
