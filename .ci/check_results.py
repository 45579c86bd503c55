"""Check that the published results stand on the data that this code builds: manifest hashes of a fresh build.

    python .ci/check_results.py

Builds what is missing of Talkers (FACEVOICE_BENCH_HOME). Exits with 1 where a result was made from other data.
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmark.datasets.talkers.corpus import Talkers
from benchmark.registry import methods
from benchmark.runs.evaluation import read_result
from benchmark.tasks import get_task
from benchmark.weights.table import home

RESULTS = Path(__file__).resolve().parent.parent / "leaderboards" / "results"


def main() -> int:
    here: dict[tuple[str, str, tuple[str, ...] | None], str] = {}
    wrong = 0
    files = sorted(RESULTS.rglob("*.json"))
    for file in files:
        spec = read_result(file).spec
        wanted = [(spec.split, None, spec.manifest_sha256)]
        if spec.training_sha256:
            fields = (*methods.load(spec.method).training_inputs, get_task(spec.task).target)
            wanted.append(("train", fields, spec.training_sha256))
        for split, fields, stated in wanted:
            key = split, spec.task, fields
            if key not in here:
                here[key] = Talkers(None, home()).open(split, spec.task, fields=fields).sha256
            if here[key] != stated:
                wrong += 1
                print(f"{file.name}: made from manifest {stated[:12]} of {split}; this code builds {here[key][:12]}")
    print(f"{len(files)} results, {len(here)} manifests; {wrong} do not fit" if wrong else f"{len(files)} results fit")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
