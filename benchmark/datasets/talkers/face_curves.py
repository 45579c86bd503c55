"""The curves of the face that move: lids, brows and lips; and the 68 landmarks on them.

Curves are symmetric about x = 0, so they are functions of the distance from the middle of the face, the
mouth or the eye.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmark.datasets.talkers.face_geometry import CENTRE_Y, Head, jaw_drop, outline, radius_at
from benchmark.datasets.talkers.face_view import View

OUTSIDE = 0.028
"""How far the pupil lies outside the middle of the lids, head units."""


@dataclass(frozen=True)
class Lips:
    """Outer and inner edges of the lips; `e` is |x| / half_width, 0 in the middle and 1 at the corners."""

    y: float
    half_width: float
    upper: float
    lower: float
    gap: float
    lift: float
    pout: float
    """How far the lips are pushed forward, 0 to 1."""

    @classmethod
    def of(cls, m: Head, view: View) -> Lips:
        mouth = view.mouth
        spread, round_ = max(mouth.spread, 0.0), max(-mouth.spread, 0.0)
        thin = (1 - 0.15 * spread + 0.12 * round_) * (1 - 0.18 * max(view.smile, 0) - 0.12 * mouth.open)
        return cls(
            y=m.mouth_y - 0.01 * view.smile,
            half_width=m.mouth_half_width
            * (1 + 0.13 * spread - 0.30 * round_ - 0.06 * mouth.open + 0.13 * max(view.smile, 0)),
            upper=m.upper_lip * thin,
            lower=m.lower_lip * thin,
            gap=mouth.open * (0.30 - 0.04 * round_),
            lift=0.085 * view.smile - 0.012 * m.age,
            pout=round_,
        )

    def line(self, e: np.ndarray) -> np.ndarray:
        """Where closed lips meet."""
        return self.y - self.lift * (e**2 - 0.25) + 0.014 * np.exp(-((e / 0.22) ** 2)) - 0.006 * e

    def top(self, e: np.ndarray) -> np.ndarray:
        bow = 1 - 0.2 * np.exp(-((e / 0.14) ** 2))
        fall = np.clip(1 - e**1.6, 0, 1) ** 0.8
        return self.line(e) - 0.25 * self.gap * np.sqrt(np.clip(1 - e**2, 0, 1)) - self.upper * bow * fall

    def upper_inner(self, e: np.ndarray) -> np.ndarray:
        return self.line(e) - 0.25 * self.gap * np.sqrt(np.clip(1 - e**2, 0, 1))

    def lower_inner(self, e: np.ndarray) -> np.ndarray:
        return self.line(e) + 0.75 * self.gap * np.clip(1 - e**2, 0, 1) ** 0.6

    def bottom(self, e: np.ndarray) -> np.ndarray:
        return self.lower_inner(e) + self.lower * np.clip(1 - e**2.3, 0, 1) ** 0.75


@dataclass(frozen=True)
class Eye:
    """Edges of the lids of the right-hand eye, whose pupil lies a little outside the middle.

    `e` runs from -1 at the inner to 1 at the outer corner.
    """

    x: float
    half_width: float
    upper: float
    lower: float
    tilt: float
    closed: float

    @classmethod
    def of(cls, m: Head, view: View) -> Eye:
        squint = 1 - 0.22 * max(view.smile, 0) + 0.15 * view.brow_raise
        return cls(
            x=m.eye_distance / 2 - OUTSIDE,
            half_width=m.eye_half_width,
            upper=0.56 * m.eye_height * (1 - 0.1 * (1 - squint)),
            lower=0.44 * m.eye_height * squint,
            tilt=m.eye_tilt,
            closed=view.blink,
        )

    def middle(self, e: np.ndarray) -> np.ndarray:
        return -self.tilt * e + 0.008

    def low(self, e: np.ndarray) -> np.ndarray:
        """The lower lid, fullest towards the outer corner."""
        return self.middle(e) + self.lower * np.clip(1 - e**2, 0, 1) ** 0.75 * (1 + 0.2 * e)

    def open_high(self, e: np.ndarray) -> np.ndarray:
        return self.middle(e) - self.upper * np.clip(1 - e**2, 0, 1) ** 0.58 * (1 - 0.12 * e)

    def high(self, e: np.ndarray) -> np.ndarray:
        """The upper lid, which alone moves in a blink."""
        opened = self.open_high(e)
        return opened + self.closed * (self.low(e) - 0.008 - opened)


@dataclass(frozen=True)
class Brow:
    """The right-hand brow; `e` runs from 0 at the inner to 1 at the outer end."""

    inner: float
    outer: float
    y: float
    arch: float
    raised: float

    @classmethod
    def of(cls, m: Head, view: View) -> Brow:
        shift = m.eye_distance / 2 - 0.5
        return cls(0.16 + shift + 0.02 * min(view.brow_raise, 0), 0.84 + shift, m.brow_y, m.brow_arch, view.brow_raise)

    def middle(self, e: np.ndarray) -> np.ndarray:
        up = self.arch * np.where(e < 0.62, ((e - 0.62) / 0.62) ** 2, 2.2 * ((e - 0.62) / 0.38) ** 2)
        frown = np.where(self.raised < 0, 1.6 * (1 - e) - 0.2, 1.0)
        return self.y + up - 0.09 * self.raised * frown


def landmarks(m: Head, view: View) -> np.ndarray:
    """The 68 points of the iBUG annotation in head units; shape `[68, 2]`, x then y."""
    lips, eye, brow = Lips.of(m, view), Eye.of(m, view), Brow.of(m, view)
    points = np.empty((68, 2))

    table = outline(m, jaw_drop(view))
    angle = np.linspace(-0.5 * np.pi, 0.5 * np.pi, 721)
    radius = radius_at(table, angle)
    edge = np.stack([radius * np.cos(angle), CENTRE_Y + radius * np.sin(angle)], axis=1)
    bottom = edge[-1, 1]
    lower = edge[edge[:, 1] > 0.0]
    length = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(lower, axis=0).T))])
    at = np.linspace(0, length[-1], 9)
    right = np.stack([np.interp(at, length, lower[:, 0]), np.interp(at, length, lower[:, 1])], axis=1)
    points[16:7:-1] = right[:9]
    points[8] = (0, bottom)
    points[0:8] = right[:8] * (-1, 1)

    e = np.array([0.03, 0.26, 0.54, 0.80, 0.98])
    points[22:27] = np.stack(
        [brow.inner + e * (brow.outer - brow.inner), brow.middle(e) - 0.5 * m.brow_thickness * np.sin(np.pi * e)],
        axis=1,
    )
    points[17:22] = points[26:21:-1] * (-1, 1)

    root = -0.02
    points[27:31, 0] = 0
    points[27:31, 1] = np.linspace(root, m.nose_y - 0.19, 4)
    wing = m.nose_half_width
    points[31:36, 0] = np.array([-0.76, -0.39, 0, 0.39, 0.76]) * wing
    points[31:36, 1] = m.nose_y - np.array([0.055, 0.02, 0.0, 0.02, 0.055])

    e = np.array([-1, -0.36, 0.36, 1])
    x = eye.x + e * eye.half_width
    points[42:46] = np.stack([x, eye.high(e)], axis=1)
    points[46:48] = np.stack([x, eye.low(e)], axis=1)[2:0:-1]
    points[[39, 38, 37, 36, 41, 40]] = points[[42, 43, 44, 45, 46, 47]] * (-1, 1)

    e = np.array([-0.96, -0.58, -0.23, 0, 0.23, 0.58, 0.96])
    points[48:55] = np.stack([e * lips.half_width, lips.top(np.abs(e))], axis=1)
    points[55:60] = np.stack([e * lips.half_width, lips.bottom(np.abs(e))], axis=1)[5:0:-1]
    e = np.array([-0.79, -0.26, 0, 0.26, 0.79])
    points[60:65] = np.stack([e * lips.half_width, lips.upper_inner(np.abs(e))], axis=1)
    points[65:68] = np.stack([e * lips.half_width, lips.lower_inner(np.abs(e))], axis=1)[3:0:-1]
    return points
