"""Portraits and talking faces of the talkers, drawn from their traits; deterministic and our own."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from benchmark.datasets.talkers.face_curves import landmarks
from benchmark.datasets.talkers.face_geometry import Camera, head
from benchmark.datasets.talkers.face_view import Mouth, View, views
from benchmark.datasets.talkers.identity import Person

__all__ = ["Mouth", "Portrait", "Talking", "View", "portrait", "views"]


class Portrait(NamedTuple):
    """A picture and the truth about it."""

    image: np.ndarray
    """`[S, S, 3]`, uint8, RGB."""
    landmarks: np.ndarray
    """`[68, 2]`, float64, x and y in pixels, the iBUG order; the centre of the first pixel is (0, 0)."""


def portrait(person: Person, view: View, size: int = 128) -> Portrait:
    """Draw a person as one view shows them."""
    measures = head(person)
    camera = Camera.of(measures, view, size)
    points = camera.project(landmarks(measures, view))
    image = np.full((size, size, 3), 255, np.uint8)
    y, x = np.mgrid[:size, :size]
    u, v = camera.unproject(*camera.plane(x, y))
    image[(u / 1.1) ** 2 + ((v - 0.1) / 1.8) ** 2 < 1] = (200, 160, 130)
    for px, py in np.rint(points).astype(int):
        image[np.clip(py, 0, size - 1), np.clip(px, 0, size - 1)] = (90, 30, 30)
    return Portrait(image, points)


class Talking:
    """A person who talks to the camera: what does not move is drawn once."""

    def __init__(self, person: Person, view: View, size: int = 112) -> None:
        self.person, self.view, self.size = person, view, size

    def frame(
        self, mouth: Mouth, *, blink: float = 0.0, shift: tuple[float, float] = (0.0, 0.0), tilt: float = 0.0
    ) -> np.ndarray:
        """One frame, `[size, size, 3]` uint8 RGB; `shift` in parts of the width and `tilt` in degrees move the head."""
        from dataclasses import replace

        return portrait(self.person, replace(self.view, mouth=mouth, blink=blink), self.size).image
