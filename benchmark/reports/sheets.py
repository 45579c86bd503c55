"""Contact sheets: generated faces beside the true ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Cell = np.ndarray | None
"""A picture `[H, W, 3]` uint8, or None where there is none."""


def contact_sheet(
    rows: Sequence[tuple[str, Sequence[Cell]]], heads: Sequence[str], side: int = 96, per_line: int = 1
) -> np.ndarray:
    """Draw labelled rows of pictures on white.

    Args:
        rows: label and pictures of each row; a missing picture is an empty frame.
        heads: a word above each column.
        side: edge of each picture in pixels.
        per_line: how many rows stand side by side.

    Returns:
        `[H, W, 3]` uint8.
    """
    from PIL import Image, ImageDraw, ImageFont

    gap, top, label = 6, 22, 110
    font = ImageFont.load_default(12)
    block = label + len(heads) * (side + gap) + 2 * gap
    lines = -(-len(rows) // per_line)
    sheet = Image.new("RGB", (block * per_line, top + lines * (side + gap) + gap), "white")
    draw = ImageDraw.Draw(sheet)
    for place in range(per_line):
        for column, head in enumerate(heads):
            draw.text((place * block + label + column * (side + gap), 5), head, fill="black", font=font)
    for number, (name, pictures) in enumerate(rows):
        left = (number % per_line) * block
        upper = top + (number // per_line) * (side + gap)
        for line, part in enumerate(name.split("\n")):
            draw.text((left + 4, upper + 4 + 15 * line), part[:16], fill="black", font=font)
        for column, picture in enumerate(pictures):
            x = left + label + column * (side + gap)
            if picture is None:
                draw.rectangle((x, upper, x + side - 1, upper + side - 1), outline="grey")
                draw.text((x + 8, upper + side // 2 - 8), "no output", fill="grey", font=font)
            else:
                sheet.paste(Image.fromarray(picture).resize((side, side), Image.Resampling.BICUBIC), (x, upper))
    return np.asarray(sheet)
