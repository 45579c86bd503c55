"""Columns of text on a terminal: how wide they are, which stand side by side, where words break."""

from __future__ import annotations

from collections.abc import Sequence

GAP = 2
"""Places between two columns."""


def cell_width(text: str) -> int:
    """Places that a text takes on a terminal: two for a wide character, none for an accent on another."""
    from rich.cells import cell_len

    return cell_len(text)


def side_by_side(widths: Sequence[int], room: int | None) -> list[list[int]]:
    """Columns that stand beside each other, by their places; one that is too wide stands alone.

    >>> side_by_side([5, 5, 5, 30, 5], 10)
    [[0, 1], [2], [3], [4]]
    """
    blocks: list[list[int]] = [[]]
    for place, width in enumerate(widths):
        if blocks[-1] and room is not None and sum(widths[known] for known in blocks[-1]) + width > room:
            blocks.append([])
        blocks[-1].append(place)
    return blocks


def wrapped(pieces: Sequence[str], width: int) -> list[str]:
    """Pieces on lines of at most `width`, a space between; a piece that is longer goes over several lines.

    >>> wrapped(["of", "100,", "chance", "10.0"], 8)
    ['of 100,', 'chance', '10.0']
    """
    from rich.cells import chop_cells

    lines = [""]
    for piece in pieces:
        joined = f"{lines[-1]} {piece}" if lines[-1] else piece
        if cell_width(joined) <= width:
            lines[-1] = joined
        else:
            lines += chop_cells(piece, width)
    return [line for line in lines if line] or [""]
