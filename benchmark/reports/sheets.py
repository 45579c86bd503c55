"""Contact sheets: generated faces beside the true ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from PIL.ImageFont import FreeTypeFont

Cell = np.ndarray | None
"""A picture `[H, W, 3]` uint8, or None where there is none."""


def contact_sheet(
    rows: Sequence[tuple[str, Sequence[Cell]]],
    heads: Sequence[str],
    side: int = 96,
    per_line: int = 1,
    absent: str = "no output",
) -> np.ndarray:
    """Draw labelled rows of pictures on white.

    Args:
        rows: label and pictures of each row; a missing picture is an empty frame.
        heads: a word above each column.
        side: edge of each picture in pixels.
        per_line: how many rows stand side by side.
        absent: what stands in the frame of a missing picture.

    Returns:
        `[H, W, 3]` uint8.
    """
    from PIL import Image, ImageDraw, ImageFont, ImageOps

    gap, top, label = 6, 22, 110
    font = ImageFont.load_default(12)
    block = label + len(heads) * (side + gap) + 2 * gap
    lines = -(-len(rows) // per_line)
    sheet = Image.new("RGB", (block * per_line, top + lines * (side + gap) + gap), "white")
    draw = ImageDraw.Draw(sheet)
    for place in range(per_line):
        for column, head in enumerate(heads):
            own = font if head.isascii() else _of_all_letters()
            draw.text((place * block + label + column * (side + gap), 5), head, fill="black", font=own)
    for number, (name, pictures) in enumerate(rows):
        left = (number % per_line) * block
        upper = top + (number // per_line) * (side + gap)
        for line, part in enumerate(name.split("\n")):
            own = font if part.isascii() else _of_all_letters()
            draw.text((left + 4, upper + 4 + 15 * line), part[:16], fill="black", font=own)
        for column, picture in enumerate(pictures):
            x = left + label + column * (side + gap)
            if picture is None:
                draw.rectangle((x, upper, x + side - 1, upper + side - 1), outline="grey")
                draw.text((x + 8, upper + side // 2 - 8), absent, fill="grey", font=font)
            else:
                fitting = ImageOps.contain(Image.fromarray(picture), (side, side), Image.Resampling.BICUBIC)
                sheet.paste(fitting, (x + (side - fitting.width) // 2, upper + (side - fitting.height) // 2))
    return np.asarray(sheet)


def _of_all_letters() -> FreeTypeFont:
    """A font that has more letters than Pillow's own."""
    from pathlib import Path

    import matplotlib
    from PIL import ImageFont

    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"), 11)


def paint_pictures(cells: np.ndarray, rows: Sequence[tuple[str, Sequence[Cell]]], heads: Sequence[str]) -> None:
    """Paint named rows of pictures in the house style.

    Args:
        cells: axes, `[blocks * rows, columns]`: the columns are cut into blocks, one below the other.
        rows: name and pictures of each row, as many as there are heads; a missing picture is an empty frame.
        heads: a word above each column.
    """
    from benchmark.reports.figures import SMALL, drawn_text

    across = cells.shape[1]
    for axes in cells.flat:
        axes.set_axis_off()
    for number, head in enumerate(heads):
        block, column = divmod(number, across)
        for line, (name, pictures) in enumerate(rows):
            axes = cells[block * len(rows) + line, column]
            axes.set_axis_on()
            paint_picture(axes, pictures[number], "" if line else head)
            if column == 0:
                axes.set_ylabel(drawn_text(name, 16), fontsize=SMALL)


def paint_picture(axes: Axes, picture: Cell, head: str) -> None:
    """One picture with a word above it; a frame that says so where there is none."""
    from benchmark.reports.figures import GREY, SMALL, drawn_text

    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(picture is None)
    axes.spines[:].set_color(GREY)
    axes.set_title(drawn_text(head, 14), fontsize=SMALL, pad=2, loc="center")
    if picture is None:
        axes.set_box_aspect(1)
        axes.text(0.5, 0.5, "no output", transform=axes.transAxes, ha="center", va="center", color=GREY, fontsize=SMALL)
    else:
        axes.imshow(picture)
