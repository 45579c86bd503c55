"""How far a mouth is open, frame by frame: what lip sync is measured by."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmark.media.mouth_video import read_landmarks

OPENING = "mouth:dlib68,lips/eyes"
"""Part of the signature of a number that is measured with it."""
LIPS = ((50, 58), (51, 57), (52, 56))
"""Landmarks at the upper edge of the upper lip, and those below them at the lower edge of the lower one. The inner
edges are what opens, but of teeth, tongue and shadow between them landmarks make less than of skin beside red."""
EYES = (slice(36, 42), slice(42, 48))


def mouth_opening(path: str | Path) -> np.ndarray:
    """Height of the lips of the person who speaks in a video over the distance of the eyes, in each frame.

    Returns:
        `[N]` float64, 25 a second, frame k on screen k / 25 seconds after the first; NaN where no face is found.

    Raises:
        MediaError, MissingDependency: as `benchmark.media.mouth_video.read_landmarks`.
    """
    points = read_landmarks(path).points.astype(np.float64)
    heights = [np.linalg.norm(points[:, above] - points[:, below], axis=1) for above, below in LIPS]
    left, right = (points[:, eye].mean(axis=1) for eye in EYES)
    apart = np.linalg.norm(right - left, axis=1)
    known = apart > 0  # NaN is not, nor are eyes in one place
    return np.divide(np.mean(heights, axis=0), apart, out=np.full(len(points), np.nan), where=known)
