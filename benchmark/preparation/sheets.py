"""Pictures before and after a step, for eyes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmark.errors import MediaError
from benchmark.media import decoded_frames, frame_pixels, is_image, read_image
from benchmark.preparation.record import MADE, Line
from benchmark.preparation.work import Prepared
from benchmark.reports.sheets import contact_sheet

SHOWN = 24
"""Files shown of those of which something was made, at even distances."""
SHOWN_OF_A_KIND = 4
"""Files shown of each reason for which nothing was."""


def before_and_after(prepared: Prepared, root: Path, out: Path) -> np.ndarray:
    """A contact sheet: the file, and what was made of it or the reason why nothing was; of videos the middle picture.

    Returns:
        `[H, W, 3]` uint8.
    """
    lines = _spread([line for line in prepared.lines.values() if line.state == MADE], SHOWN)
    for state in ("left out", "failed"):
        for alike in prepared.reasons(state).values():
            lines += alike[:SHOWN_OF_A_KIND]
    rows = []
    for line in lines:
        after = _shown(out / next(iter(line.products))) if line.products else None
        rows.append((_label(line), [_shown(root / line.source), after]))
    return contact_sheet(rows, ["before", "after"], 128, per_line=4)


def _label(line: Line) -> str:
    path = Path(line.source)
    words = line.kind.split() if line.state != MADE else []
    named = [_fitting(name) for name in (path.parent.name, path.name) if name]
    text, rows = "", []
    for word in words:
        if len(text) + len(word) > 15:
            rows.append(text)
            text = ""
        text = f"{text} {word}".strip()
    return "\n".join([*named, *rows, text][:7])


def _fitting(name: str) -> str:
    """The two ends of a name that is too long for the sheet."""
    return name if len(name) <= 14 else f"{name[:5]}..{name[-7:]}"


def _spread(lines: Sequence[Line], count: int) -> list[Line]:
    if len(lines) <= count:
        return list(lines)
    return [lines[int((part + 0.5) * len(lines) / count)] for part in range(count)]


def _shown(path: Path) -> np.ndarray | None:
    """A picture, or the middle one of a video, on a white square; None where it cannot be read."""
    try:
        picture = read_image(path) if is_image(path) else _middle(path)
    except MediaError:
        return None
    height, width = picture.shape[:2]
    side = max(height, width)
    square = np.full((side, side, 3), 255, np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = picture
    return square


def _middle(path: Path) -> np.ndarray:
    count = sum(1 for _ in decoded_frames(path)[1])
    for number, (_, frame) in enumerate(decoded_frames(path)[1]):
        if number == count // 2:
            return frame_pixels(path, frame, None, grey=False)
    raise MediaError(f"{path}: no picture of the video could be decoded")
