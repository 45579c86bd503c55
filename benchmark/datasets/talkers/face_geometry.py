"""The measures of a head, its outline and its 68 landmarks, in head units.

Head units: the origin lies between the pupils, x to the right of the picture, y down, z towards the viewer; 1 is the
mean distance between adult pupils (63 mm). The mean measures are those of adult anthropometry rounded (face height,
bizygomatic, bigonial, mouth and nose breadth, fissure length).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.interpolate import CubicSpline

from benchmark.datasets.talkers.face_view import View
from benchmark.datasets.talkers.identity import Person
from benchmark.types import derive_seed

PUPIL_X = 0.39
"""Of the picture's width; the other pupil is at 1 - PUPIL_X."""
PUPIL_Y = 0.46
"""Of the picture's height."""
CENTRE_Y = 0.1
"""The pole of the outline's polar coordinates."""
DEPTH = 1.2
"""From the outline to the middle of the face."""
PIVOT_Z = 0.35
"""Where the head turns, in z; near the eyes, so that pose moves them little."""
_TABLE = 720


@dataclass(frozen=True)
class Head:
    """The measures of one person's resting head, in head units unless said otherwise."""

    male: float
    age: float
    """0 at 30 years and less, 1 at 70."""
    eye_distance: float
    eye_half_width: float
    eye_height: float
    eye_tilt: float
    vertex: float
    width: float
    """Scale of the head's breadth."""
    jaw: float
    """Half breadth at the angle of the jaw."""
    chin_width: float
    chin_square: float
    cheek: float
    brow_y: float
    brow_thickness: float
    brow_arch: float
    nose_y: float
    """Where the nose meets the lip."""
    nose_half_width: float
    nose_bridge: float
    mouth_y: float
    mouth_half_width: float
    upper_lip: float
    lower_lip: float
    chin_y: float

    def scale(self, size: int) -> float:
        """Pixels in one head unit."""
        return (1 - 2 * PUPIL_X) * size / self.eye_distance


def limited(trait: float) -> float:
    """A standard-normal trait kept within what a face can bear."""
    return float(2.4 * np.tanh(trait / 2.4))


@lru_cache(maxsize=256)
def head(person: Person) -> Head:
    """The measures that a person's traits give."""
    traits = person.face
    male = 1.0 if person.sex == "m" else 0.0
    age = float(np.clip((person.age - 30) / 40, 0, 1.25))
    own = np.random.default_rng(derive_seed("talkers head", person.id)).standard_normal(6)
    tilt, arch, bridge, cheek, fissure, square = np.clip(own, -2, 2).tolist()
    long = limited(traits.face_length)
    nose_y = 0.80 * (1 + 0.05 * long) + 0.05 * limited(traits.nose_length) + 0.03 * male + 0.02 * age
    mouth_y = nose_y + 0.33 * (1 + 0.07 * long) + 0.015 * male + 0.02 * age
    full = limited(traits.lip_fullness)
    thin = 1 - 0.12 * male - 0.18 * age
    eye = 1 + 0.075 * limited(traits.eye_size)
    return Head(
        male=male,
        age=age,
        eye_distance=1 + 0.04 * limited(traits.eye_spacing),
        eye_half_width=0.219 * (1 + 0.6 * (eye - 1)),
        eye_height=0.165 * (1 + 1.7 * (eye - 1) + 0.04 * fissure) * (1 - 0.05 * male - 0.12 * age),
        eye_tilt=0.02 + 0.02 * tilt - 0.02 * age,
        vertex=-1.70 - 0.04 * male - 0.02 * long,
        width=1 + 0.055 * limited(traits.head_width) + 0.01 * male,
        jaw=(0.83 + 0.07 * male + 0.02 * age) * (1 + 0.085 * limited(traits.jaw_width)),
        chin_width=0.25 + 0.06 * male + 0.035 * limited(traits.chin) + 0.03 * limited(traits.jaw_width),
        chin_square=0.06 * male + 0.02 * square,
        cheek=cheek,
        brow_y=-0.37 + 0.03 * male - 0.045 * limited(traits.brow_height) + 0.02 * age,
        brow_thickness=(0.052 + 0.018 * male) * (1 + 0.22 * limited(traits.brow_thickness)),
        brow_arch=0.055 - 0.03 * male + 0.012 * arch,
        nose_y=nose_y,
        nose_half_width=(0.265 + 0.025 * male + 0.015 * age) * (1 + 0.1 * limited(traits.nose_width)),
        nose_bridge=bridge,
        mouth_y=mouth_y,
        mouth_half_width=0.40 * (1 + 0.09 * limited(traits.mouth_width)) + 0.01 * male,
        upper_lip=0.115 * (1 + 0.2 * full) * thin,
        lower_lip=0.155 * (1 + 0.2 * full) * thin,
        chin_y=mouth_y + 0.68 * (1 + 0.09 * long) + 0.04 * male + 0.035 * limited(traits.chin),
    )


def jaw_drop(view: View) -> float:
    """How far the open mouth lowers the chin."""
    return 0.17 * view.mouth.open


def outline_points(measures: Head, drop: float = 0.0) -> np.ndarray:
    """Control points of the right half of the head's outline, from the vertex to the chin; shape `[N, 2]`."""
    m, wide = measures, measures.width
    height = m.chin_y - m.mouth_y
    cheekbone = 1.09 * wide
    sag = 0.05 * m.age
    points = np.array(
        [
            (0.0, m.vertex),
            (0.55 * wide, m.vertex + 0.14),
            (0.93 * wide, m.vertex + 0.50),
            (1.11 * wide, -0.72),
            (1.135 * wide, -0.25),
            (cheekbone, 0.2),
            (0.55 * cheekbone + 0.45 * m.jaw + 0.05 + 0.015 * m.cheek, 0.2 + 0.5 * (m.mouth_y - 0.2)),
            (m.jaw, m.mouth_y + 0.02),
            (0.62 * m.jaw + 0.38 * m.chin_width + sag, m.mouth_y + 0.52 * height),
            (m.chin_width + 0.02, m.chin_y - 0.085 + m.chin_square * 0.5),
            (0.0, m.chin_y),
        ]
    )
    points[:, 1] += drop * np.clip((points[:, 1] - 0.5) / (m.chin_y - 0.5), 0, 1) ** 1.5
    return points


def outline(measures: Head, drop: float = 0.0) -> np.ndarray:
    """Radius of the head's outline about (0, CENTRE_Y) at `_TABLE` + 1 angles from -pi to pi; shape `[721]`."""
    right = outline_points(measures, drop) - np.array([0, CENTRE_Y])
    angle = np.arctan2(right[:, 1], right[:, 0])  # -pi/2 at the vertex to pi/2 at the chin
    radius = np.hypot(right[:, 0], right[:, 1])
    mirrored = np.pi - angle[-2:0:-1]
    knots = np.concatenate([angle, mirrored, [angle[0] + 2 * np.pi]])
    values = np.concatenate([radius, radius[-2:0:-1], radius[:1]])
    spline = CubicSpline(knots, values, bc_type="periodic")
    return spline(np.linspace(-np.pi, np.pi, _TABLE + 1))


def radius_at(table: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Read a table of `outline` at angles from -pi to pi."""
    place = (angle + np.pi) * (_TABLE / (2 * np.pi))
    index = np.clip(place.astype(np.intp), 0, _TABLE - 1)
    part = place - index
    return table[index] * (1 - part) + table[index + 1] * part


def pose_depth(measures: Head, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A smooth stand-in for the head's depth, by which pixels and landmarks alike are turned."""
    inside = 1 - (x / (1.13 * measures.width)) ** 2 - ((y - 0.05) / (measures.chin_y + 0.1)) ** 2
    dome = np.sqrt(np.maximum(inside, 0) + 0.01)
    nose = 0.38 * np.exp(-((x / 0.2) ** 2) - ((y - measures.nose_y + 0.2) / 0.25) ** 2)
    return 0.95 * dome + nose - 0.35


@dataclass(frozen=True)
class Camera:
    """Where points of the head land in the picture, and back."""

    measures: Head
    rotation: np.ndarray
    size: int

    @classmethod
    def of(cls, measures: Head, view: View, size: int) -> Camera:
        yaw, pitch, roll = np.deg2rad([view.yaw, view.pitch, view.roll])
        about_y = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
        about_x = np.array([[1, 0, 0], [0, np.cos(pitch), np.sin(pitch)], [0, -np.sin(pitch), np.cos(pitch)]])
        about_z = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
        return cls(measures, about_z @ about_x @ about_y, size)

    def project(self, points: np.ndarray) -> np.ndarray:
        """Pixels `[N, 2]` of points of the face `[N, 2]` in head units; pixel (0, 0) has its centre at 0."""
        depth = pose_depth(self.measures, points[:, 0], points[:, 1]) - PIVOT_Z
        turned = points @ self.rotation[:2, :2].T + depth[:, None] * self.rotation[:2, 2]
        origin = np.array([0.5, PUPIL_Y]) * self.size - 0.5
        return turned * self.measures.scale(self.size) + origin

    def plane(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Head units of pixels before the head is turned."""
        scale = self.measures.scale(self.size)
        return (x + 0.5 - 0.5 * self.size) / scale, (y + 0.5 - PUPIL_Y * self.size) / scale

    def unproject(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Points of the face, in head units, that `project` sends to plane positions (x, y) in head units."""
        inverse = np.linalg.inv(self.rotation[:2, :2])
        if np.array_equal(self.rotation, np.eye(3)):
            return x, y
        u, v = x, y
        for _ in range(3):  # a contraction, since the turn is small
            depth = pose_depth(self.measures, u, v) - PIVOT_Z
            a, b = x - self.rotation[0, 2] * depth, y - self.rotation[1, 2] * depth
            u, v = inverse[0, 0] * a + inverse[0, 1] * b, inverse[1, 0] * a + inverse[1, 1] * b
        return u, v
