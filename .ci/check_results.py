"""Check that the data which results may be made from are the data that this code builds: hashes of a fresh build.

    python .ci/check_results.py

Builds what is missing of Talkers (FACEVOICE_BENCH_HOME). Exits with 1 where `leaderboards/known.toml` states another
manifest, or `leaderboards/samples` another sex, age, noise or SNR of a sample. That results are made from known data,
and keep the other rules, is for `leaderboard check` to say.
"""

from __future__ import annotations

import sys

from benchmark.datasets.talkers.corpus import Talkers
from benchmark.leaderboard import groups
from benchmark.leaderboard.rules import known
from benchmark.leaderboard.submissions import ROOT
from benchmark.results.attributes import known_of
from benchmark.weights.table import home


def main() -> int:
    wrong = 0
    manifests = [item for item in known().manifests if item.dataset == "talkers"]
    for item in manifests:
        manifest = Talkers(None, home()).open(item.split, item.task, fields=item.fields or None)
        here, told = manifest.sha256, groups.place(item.task, item.dataset, item.sha256)
        if (ROOT / told).is_file() and groups.text(known_of(manifest.samples)) != (ROOT / told).read_text("utf-8"):
            wrong += 1
            print(f"{told}: not what the data say: python -m benchmark leaderboard samples RUN")
        if here != item.sha256:
            wrong += 1
            print(f"known.toml: {item.split} of {item.task}: {item.sha256[:12]}; this code builds {here[:12]}")
    print(f"{len(manifests)} manifests of Talkers; {wrong} differ" if wrong else f"{len(manifests)} manifests fit")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
