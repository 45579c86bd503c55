"""The house style of all pictures of results, and how they become files.

Sizes are those of print: a figure is drawn as wide as it will stand in a paper (`COLUMN` or `PAGE`), with text of 7 and
8 points, so that it is legible at that width. Colours are those of Okabe and Ito (jfly.uni-koeln.de/color), which
people with any common colour vision tell apart; markers and dashes differ as well, for print without colour. What a
paper reports is hollow, what was measured here is filled; intervals are drawn wherever there are any.

Files are the same to the byte whatever display, backend or style the user has set, and hold no time stamps. In PDF the
fonts are embedded, in SVG letters are outlines: both look alike everywhere.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.files import write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMN, PAGE = 3.5, 7.2
"""Width of one column and of a page of two, inches."""
TEXT, SMALL = 8.0, 7.0
"""Points: titles and names of axes; everything else."""
DPI = 220
"""Of PNG: a column has 770 pixels."""
FORMATS = ("png", "pdf", "svg")
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P")
DASHES = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (5, 1.5, 1, 1.5)))
INK, GREY = "#000000", "#767676"
"""Of ceilings and text; of floors and what stands behind the numbers."""
SEQUENTIAL, SOUND = "Blues", "magma"
"""Colour maps: of shares, and of spectrograms. Lightness runs one way in both."""

_STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so that every machine has it
    "font.size": TEXT,
    "axes.titlesize": TEXT,
    "axes.titlelocation": "left",
    "axes.labelsize": TEXT,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "lines.linewidth": 1.2,
    "lines.markersize": 4.0,
    "grid.linewidth": 0.4,
    "grid.color": "#dddddd",
    "axes.axisbelow": True,
    "image.interpolation": "nearest",
    "pdf.fonttype": 42,
    "svg.fonttype": "path",
    "svg.hashsalt": "facevoice-bench",
}
_METADATA: dict[str, dict[str, None]] = {
    "png": {"Software": None},
    "pdf": {"Creator": None, "Producer": None, "CreationDate": None},
    "svg": {"Creator": None, "Date": None},
}


@contextlib.contextmanager
def figure_file(path: Path, width: float, height: float, dpi: int = DPI) -> Iterator[Figure]:
    """A figure to draw into, written when the block ends; an older file of that name is removed first.

    Args:
        path: ends in one of `FORMATS`.
        width, height: in inches.
        dpi: of PNG, and of pictures inside the others.
    """
    kind = path.suffix.lower().removeprefix(".")
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
        matplotlib.rcParams.update(_STYLE)
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure
        # The solver of the layout answers with other last digits from time to time, and names in SVG hash them.
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
        for axes in figure.axes:
            axes.set_position([round(float(value), 6) for value in axes.get_position(original=True).bounds])
        write_whole(path, lambda partial: figure.savefig(partial, dpi=dpi, format=kind, metadata=_METADATA[kind]))


def series(number: int) -> dict[str, Any]:
    """Colour, marker and dashes of the n-th line of a plot, n from 0: no two of the first 24 are alike."""
    turn = number // len(COLOURS)
    return {
        "color": COLOURS[number % len(COLOURS)],
        "marker": MARKERS[(number + turn) % len(MARKERS)],
        "linestyle": DASHES[turn % len(DASHES)],
    }


def grid(axes: Axes, axis: str = "both") -> None:
    """Faint lines behind the numbers."""
    axes.grid(visible=True, axis=axis)  # type: ignore[arg-type]


def drawn_text(text: str, most: int | None = 48) -> str:
    """Text without what matplotlib takes for mathematics or its font lacks (beyond Latin, Greek and Cyrillic)."""
    plain = "".join(c if c.isprintable() and ord(c) < 0x500 else "?" for c in text)
    if most is not None and len(plain) > most:
        plain = plain[: most - 3] + "..."
    return plain.replace("$", r"\$")
