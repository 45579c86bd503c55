"""Where the user keeps corpora, for commands that are not told so by `--data-root`."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "FACEVOICE_BENCH_DATA"
"""Names a folder with a folder, or a link to one, for each corpus: `$FACEVOICE_BENCH_DATA/hq_voxceleb`."""


def known_root(dataset: str) -> Path | None:
    """The folder of that name in `$FACEVOICE_BENCH_DATA`; None where there is none, or the variable is not set."""
    kept = os.environ.get(VARIABLE)
    place = Path(kept) / dataset if kept else None
    return place if place is not None and place.is_dir() else None
