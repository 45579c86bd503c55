"""Check that the data which results may be made from are the data that this code builds: hashes of a fresh build.

    python .ci/check_results.py

Builds what is missing of Talkers (FACEVOICE_BENCH_HOME). Exits with 1 where `leaderboards/known.toml` states another
manifest. That results are made from known data, and keep the other rules, is for `leaderboard check` to say.
"""

from __future__ import annotations

import sys

from benchmark.datasets.talkers.corpus import Talkers
from benchmark.leaderboard.rules import known
from benchmark.weights.table import home


def main() -> int:
    wrong = 0
    manifests = [item for item in known().manifests if item.dataset == "talkers"]
    for item in manifests:
        here = Talkers(None, home()).open(item.split, item.task, fields=item.fields or None).sha256
        if here != item.sha256:
            wrong += 1
            print(f"known.toml: {item.split} of {item.task}: {item.sha256[:12]}; this code builds {here[:12]}")
    print(f"{len(manifests)} manifests of Talkers; {wrong} differ" if wrong else f"{len(manifests)} manifests fit")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
