"""One run of `speech2face` against another in two numbers that no metric reports, paired by speaker.

python tests/benchmarks/bench_paired_faces.py runs/sf2f-talkers-1a2b3c runs/linear-talkers-4d5e6f

The cosine with the speaker's own face less that with others' faces, and the part of the others who are less similar.
What metrics report is compared by `python -m benchmark compare RUN RUN`, whose intervals and p these are too.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np

from benchmark.results.comparison import find_scored, sign_flip
from benchmark.results.statistics import with_intervals


def by_speaker(run: str) -> dict[str, dict[str, float]]:
    """Of each speaker, the mean over evaluation runs of each number."""
    rows: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for (metric, _), stored in find_scored(run, Path("runs")).stored.items():
        for row in stored.values():
            numbers, own = row.statistics, rows[row.speaker]
            if row.status == "ok" and metric == "retrieval":
                behind = numbers["greater_hundreds"] + numbers["ties_hundreds"] / 2
                own["others behind, %"].append(100 * (1 - behind / (numbers["size_hundreds"] - 1)))
            elif row.status == "ok" and metric == "face_similarity":
                own["cosine, own less others'"].append(numbers["cosine"] - numbers["mismatched"])
    return {speaker: {name: float(np.mean(v)) for name, v in own.items()} for speaker, own in rows.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs=2, metavar="RUN", help="folders, ids or labels")
    first, second = (by_speaker(run) for run in parser.parse_args().runs)
    if set(first) != set(second):
        parser.error(f"the runs have {len(set(first) ^ set(second))} speakers that are not in both")
    speakers = sorted(first)
    for name in first[speakers[0]]:
        sides = [np.array([run[s][name] for s in speakers]) for run in (first, second)]
        d = sides[0] - sides[1]
        found = with_intervals(len(d), lambda w, d=d: {"mean": w @ d / w.sum(1)})["mean"]
        p = sign_flip(len(d), lambda swaps, d=d: {"mean": (1 - 2 * swaps) @ d / len(d)}, {"mean": 1e-12})["mean"]
        means = f"{sides[0].mean():9.4f} - {sides[1].mean():9.4f}"
        print(f"{name:26} {means} = {found.value:+.4f} [{found.low:+.4f}, {found.high:+.4f}], p {p:.2g}")


if __name__ == "__main__":
    main()
