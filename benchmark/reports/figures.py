"""Figures as files: drawn alike whatever display, backend or style the user has set."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.files import write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@contextlib.contextmanager
def figure_file(path: Path, width: float, height: float, dpi: int) -> Iterator[Figure]:
    """A figure to draw into, written as PNG when the block ends; an older one of that name is removed first.

    Args:
        width, height: in inches.
    """
    path.unlink(missing_ok=True)  # where drawing fails, no picture of earlier numbers stays beside the new ones
    asked = os.environ.pop("MPLBACKEND", None)  # the import fails where matplotlib doesn't know its name
    try:
        import matplotlib
    finally:
        if asked is not None:
            os.environ["MPLBACKEND"] = asked
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure
        write_whole(path, lambda partial: figure.savefig(partial, dpi=dpi, format="png", metadata={"Software": None}))


def drawn_text(text: str, most: int | None = 48) -> str:
    """Text without what matplotlib takes for mathematics or its font lacks (beyond Latin, Greek and Cyrillic)."""
    plain = "".join(c if c.isprintable() and ord(c) < 0x500 else "?" for c in text)
    if most is not None and len(plain) > most:
        plain = plain[: most - 3] + "..."
    return plain.replace("$", r"\$")
