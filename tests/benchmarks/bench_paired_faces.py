"""One run of `speech2face` against another, paired by speaker: differences of R@K and of faces' cosine, 95 % intervals.

python tests/benchmarks/bench_paired_faces.py runs/sf2f-talkers-1a2b3c runs/linear-talkers-4d5e6f

Both runs are of one dataset and split; their rows are read from `scores.jsonl`, so nothing is measured again. The
interval is that of the speakers' differences.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path

import numpy as np

from benchmark.results.statistics import with_intervals

KS = (1, 10)


def by_speaker(run: Path) -> dict[str, dict[str, float]]:
    """Of each speaker, the mean over evaluation runs of each number."""
    rows: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for line in (run / "scores.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if row["status"] != "ok":
            continue
        numbers, own = row["statistics"], rows[row["speaker"]]
        if row["metric"] == "retrieval":
            # Ties count by expectation, as in the table.
            greater, ties = numbers["greater_hundreds"], numbers["ties_hundreds"]
            for k in KS:
                own[f"R@{k} %"].append(100 * float(np.clip((k - greater) / (ties + 1), 0, 1)))
            others = numbers["size_hundreds"] - 1
            own["others behind, %"].append(100 * (1 - (greater + ties / 2) / others))
        elif row["metric"] == "face_similarity":
            own["cosine"].append(numbers["cosine"])
            own["cosine, own less others'"].append(numbers["cosine"] - numbers["mismatched"])
    return {speaker: {name: float(np.mean(v)) for name, v in own.items()} for speaker, own in rows.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs=2, metavar="RUN", help="folders under runs/")
    first, second = (by_speaker(run) for run in parser.parse_args().runs)
    if set(first) != set(second):
        parser.error(f"the runs have {len(set(first) ^ set(second))} speakers that are not in both")
    speakers = sorted(first)
    for name in first[speakers[0]]:
        difference = np.array([first[s][name] - second[s][name] for s in speakers])
        found = with_intervals(len(speakers), lambda w, d=difference: {"mean": w @ d / w.sum(1)})["mean"]
        means = [np.mean([run[s][name] for s in speakers]) for run in (first, second)]
        print(f"{name:26} {means[0]:9.4f} - {means[1]:9.4f} = {found.value:+.4f} [{found.low:+.4f}, {found.high:+.4f}]")


if __name__ == "__main__":
    main()
