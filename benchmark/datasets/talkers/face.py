"""Portraits and talking faces of the talkers, drawn from their traits.

A head is a height field over its outline (`face_geometry`, `face_skin`), lit by one key light and light from all round
(`face_light`), with eyes, mouth and hair painted in (`face_eyes`, `face_mouth`, `face_hair`) and laid together in
`face_scene`. Pictures depend on the person and the view alone. As in HQ-VoxCeleb the ground is white, the picture
square, and the pupils of a face that looks straight at the camera always lie at the same place (0.39 and 0.61 of the
width, 0.46 of the height).
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from benchmark.datasets.talkers.face_curves import landmarks
from benchmark.datasets.talkers.face_fields import box
from benchmark.datasets.talkers.face_geometry import Camera, head
from benchmark.datasets.talkers.face_scene import Scene, develop, even
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
    points = Camera.of(measures, view, size).project(landmarks(measures, view))
    return Portrait(_image(develop(Scene(person, view, size).whole())), points)


class Talking:
    """A person who talks to the camera: what does not move is drawn once.

    Frames share the pose, the light and the expression of `view`; its mouth is closed and its eyes are open.
    """

    def __init__(self, person: Person, view: View, size: int = 112) -> None:
        self.person, self.size = person, size
        self.view = replace(view, mouth=Mouth(), blink=0.0)
        scene = self._scene = Scene(person, self.view, size)
        m = scene.measures
        self._measures = m
        self._mouth_box = even(
            box(scene.patch.u, scene.patch.v, -1.0 * m.width, 1.0 * m.width, m.nose_y - 0.12, m.chin_y + 0.24)
        )
        self._blank = scene.behind.copy()
        lit = np.ones(self._blank.shape[1:])
        lit[scene.face_box] = scene.face(self._blank, self.view, scene.face_box)
        self._lit = lit[scene.eye_box]
        self._eye_box = even(scene.eye_box)
        canvas = self._blank.copy()
        scene.eyes(canvas, self.view, self._lit)
        scene.front(canvas, scene.hair_box)
        self._still = develop(canvas)
        self._scratch = scene.behind.copy()
        self._shut: dict[int, np.ndarray] = {}

    def frame(
        self, mouth: Mouth, *, blink: float = 0.0, shift: tuple[float, float] = (0.0, 0.0), tilt: float = 0.0
    ) -> np.ndarray:
        """Draw one frame, `[size, size, 3]` uint8 RGB.

        Args:
            mouth: what the mouth does.
            blink: 0 open to 1 closed; drawn in steps of 1/8.
            shift: of the head to the right and down, in parts of the width.
            tilt: of the head, degrees clockwise; 3 or less look natural.
        """
        picture = self._still.copy()
        if blink > 1 / 16:
            _paste(picture, self._eye_box, self._eyes(round(8 * min(blink, 1.0))))
        if mouth.open > 0 or mouth.spread != 0:
            _paste(picture, self._mouth_box, self._mouth(mouth))
        if shift != (0.0, 0.0) or tilt:
            picture = _moved(picture, shift, tilt)
        return _image(picture)

    def landmarks(
        self, mouth: Mouth, *, blink: float = 0.0, shift: tuple[float, float] = (0.0, 0.0), tilt: float = 0.0
    ) -> np.ndarray:
        """The 68 points of that frame, as in `Portrait`."""
        view = replace(self.view, mouth=mouth, blink=round(8 * min(max(blink, 0.0), 1.0)) / 8)
        points = Camera.of(self._measures, view, self.size).project(landmarks(self._measures, view))
        centre, turn = _pivot(self.size), _turn(tilt)
        return (points - centre) @ turn.T + centre + self.size * np.asarray(shift)

    def _eyes(self, eighths: int) -> np.ndarray:
        if eighths not in self._shut:
            canvas = self._blank.copy()
            self._scene.eyes(canvas, replace(self.view, blink=eighths / 8), self._lit)
            self._scene.front(canvas, self._eye_box)
            self._shut[eighths] = develop(canvas[:, self._eye_box[0], self._eye_box[1]])
        return self._shut[eighths]

    def _mouth(self, mouth: Mouth) -> np.ndarray:
        scene, inner = self._scene, self._mouth_box
        # a margin, so that blurred light at the edge of the part equals that of the whole
        margin = 10 * self.size // 112
        where = tuple(
            slice(max(side.start - margin, outer.start), min(side.stop + margin, outer.stop))
            for side, outer in zip(inner, scene.face_box, strict=True)
        )
        canvas, part = self._scratch, (slice(None), *where)
        canvas[part] = scene.behind[part]
        scene.face(canvas, replace(self.view, mouth=mouth), where)
        scene.front(canvas, inner)
        return develop(canvas[:, inner[0], inner[1]])


def _paste(picture: np.ndarray, where: tuple[slice, slice], part: np.ndarray) -> None:
    rows, columns = (slice(side.start // 2, side.stop // 2) for side in where)
    picture[:, rows, columns] = part


def _image(picture: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.rint(picture).astype(np.uint8).transpose(1, 2, 0))


def _pivot(size: int) -> np.ndarray:
    return np.array([0.5, 0.95]) * size - 0.5


def _turn(tilt: float) -> np.ndarray:
    angle = np.deg2rad(tilt)
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def _moved(picture: np.ndarray, shift: tuple[float, float], tilt: float) -> np.ndarray:
    """Move a picture as a whole, by linear interpolation; its edges go on outside it."""
    size = picture.shape[1]
    centre, back = _pivot(size), _turn(-tilt)
    y, x = np.mgrid[:size, :size]
    x, y = x - size * shift[0] - centre[0], y - size * shift[1] - centre[1]
    a = np.clip(back[0, 0] * x + back[0, 1] * y + centre[0], 0, size - 1.001)
    b = np.clip(back[1, 0] * x + back[1, 1] * y + centre[1], 0, size - 1.001)
    left, top = a.astype(np.intp), b.astype(np.intp)
    a, b = a - left, b - top
    flat, at = picture.reshape(3, -1), top * size + left
    upper = flat[:, at] * (1 - a) + flat[:, at + 1] * a
    lower = flat[:, at + size] * (1 - a) + flat[:, at + size + 1] * a
    return upper * (1 - b) + lower * b
