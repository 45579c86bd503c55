"""The skin of the face: its relief and its colour."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from benchmark.datasets.talkers.face_curves import Eye, Lips
from benchmark.datasets.talkers.face_fields import Box, box, bump, linear, noise, ramp, sample
from benchmark.datasets.talkers.face_geometry import CENTRE_Y, DEPTH, Head, jaw_drop, limited, outline, radius_at
from benchmark.datasets.talkers.face_view import View
from benchmark.datasets.talkers.identity import Person
from benchmark.types import derive_seed

_TONES = np.array(
    [[0.955, 0.80, 0.715], [0.90, 0.71, 0.59], [0.795, 0.585, 0.45], [0.655, 0.455, 0.335], [0.53, 0.355, 0.26]]
)
"""Skin from light to dark as displayed, at even steps of `skin_tone`."""


@dataclass(frozen=True)
class Skin:
    """Colours and textures of one person's skin."""

    base: np.ndarray
    lips: np.ndarray
    tone: float
    pores: np.ndarray
    mottle: np.ndarray
    freckles: float
    moles: np.ndarray
    """`[N, 3]`: x, y, radius in head units."""


@lru_cache(maxsize=64)
def skin(person: Person) -> Skin:
    """The skin that a person's traits give."""
    face, random = person.face, np.random.default_rng(derive_seed("talkers skin", person.id))
    tone = face.skin_tone
    steps = np.linspace(0, 1, len(_TONES))
    base = np.array([np.interp(tone, steps, _TONES[:, channel]) for channel in range(3)])
    warmth = limited(face.skin_warmth)
    base *= 1 + warmth * np.array([-0.004, 0.006, -0.042])
    base[2] = min(base[2], 0.96 * base[1])
    rosy, rouge = random.uniform(size=2)
    tint = np.array([0.93, 0.60, 0.60]) * (1 - 0.35 * tone) + np.array([0, 0.05, 0.02]) * tone
    lips = 0.45 * base * np.array([0.98, 0.80, 0.84]) + 0.55 * tint * (base.mean() * 0.45 + 0.5)
    if person.sex == "f" and rouge > 0.45:  # lipstick
        lips = lips * np.array([0.98, 0.80 - 0.2 * rosy, 0.86 - 0.12 * rosy])
    light = max(0.0, 1 - 2.2 * tone)
    freckles = light * float(np.clip(1.6 * random.uniform() - 1.0 + 0.9 * face.hair_redness, 0, 1))
    moles = random.uniform((-0.8, -0.8, 0.008), (0.8, 1.6, 0.022), size=(int(random.integers(0, 4)), 3))
    seed = ("talkers skin", person.id)
    return Skin(
        base=linear(*base),
        lips=linear(*lips),
        tone=tone,
        pores=noise(*seed, "pores", grain=0.8),
        mottle=noise(*seed, "mottle", size=64, grain=2.0),
        freckles=freckles,
        moles=moles,
    )


@dataclass(frozen=True)
class Patch:
    """A part of the picture in the head's own coordinates, with the face's posed shape."""

    measures: Head
    view: View
    u: np.ndarray
    v: np.ndarray
    step: float
    """Head units between pixels."""
    part: np.ndarray
    """Distance from the pole as part of the outline's: 1 on the outline."""
    angle: np.ndarray
    radius: np.ndarray
    """Of the outline at each pixel's angle."""

    @classmethod
    def of(cls, measures: Head, view: View, u: np.ndarray, v: np.ndarray, step: float) -> Patch:
        down = v - CENTRE_Y
        angle = np.arctan2(down, u)
        radius = radius_at(outline(measures, jaw_drop(view)), angle)
        return cls(measures, view, u, v, step, np.sqrt(u * u + down * down) / radius, angle, radius)

    def crop(self, where: Box) -> Patch:
        """A part of the patch."""
        arrays = {name: getattr(self, name)[where] for name in ("u", "v", "part", "angle", "radius")}
        return replace(self, **arrays)

    def inside(self) -> np.ndarray:
        """Coverage of the head's outline, antialiased."""
        return np.clip((1 - self.part) * self.radius / self.step + 0.5, 0, 1)


def dome(patch: Patch) -> np.ndarray:
    """The head without features: a dome on the outline, whose rim at the chin stands forward of that at the ears."""
    part = np.minimum(patch.part, 1.0)
    below = np.maximum(patch.v - CENTRE_Y, 0) / np.maximum(patch.part * patch.radius, 1e-9)
    rim = 0.8 * below**3
    return rim + (DEPTH - rim) * np.sqrt(np.maximum(1 - part ** (2.3 + 2.2 * below**2), 0) + 0.0025) - DEPTH


def relief(patch: Patch, lips: Lips, eye: Eye) -> np.ndarray:
    """Depth of the face in head units."""
    m, view, v = patch.measures, patch.view, patch.v
    u = patch.u
    a = np.sqrt(u * u + 0.003)  # |u|, without a crease down the middle
    z = dome(patch)
    drop, smile = jaw_drop(view), max(view.smile, 0.0)
    ridge = 0.035 + 0.04 * m.male
    ex = eye.x
    z += ridge * bump(a - 0.42, v - m.brow_y - 0.05, 0.42, 0.11)
    z += 0.03 * bump(a - 0.45, v + 0.85, 0.5, 0.25)
    z -= 0.13 * bump(a - ex - 0.02, v - 0.02, 0.32, 0.19)
    z -= 0.07 * bump(a - ex + 0.28, v + 0.02, 0.10, 0.16)
    z += 0.085 * bump(a - ex, v - 0.005, 0.2, 0.12)
    z += (0.075 + 0.02 * m.cheek) * bump(a - 0.66 * m.width, v - 0.46 + 0.05 * smile, 0.27, 0.2 + 0.02 * smile)
    z += 0.05 * smile * bump(a - 0.52, v - 0.56, 0.2, 0.16)
    z -= (0.045 - 0.015 * m.cheek + 0.02 * m.age) * bump(a - 0.7, v - m.mouth_y + 0.15, 0.2, 0.3)
    z -= 0.05 * bump(a - 1.02 * m.width, v + 0.4, 0.16, 0.35)
    z += 0.10 * bump(u, v - m.mouth_y, 0.45, 0.3)
    z += 0.10 * bump(u, v - m.chin_y - drop + 0.23, 0.2 + m.chin_width * 0.2, 0.15)
    z -= 0.03 * m.chin_square * 10 * bump(u, v - m.chin_y - drop + 0.18, 0.035, 0.08)
    _nose(z, patch)
    _folds(z, patch, lips)
    _lips(z, patch, lips)
    return z


def _nose(z: np.ndarray, patch: Patch) -> None:
    m = patch.measures
    wide = m.nose_half_width
    where = box(patch.u, patch.v, -0.75, 0.75, -0.55, m.nose_y + 0.3)
    u, v = patch.u[where], patch.v[where]
    a = np.abs(u)
    root, tip = -0.10, m.nose_y - 0.17
    along = np.clip((v - root) / (tip - root), 0, 1)
    profile = 0.10 + 0.27 * along**1.25 + 0.03 * m.nose_bridge * np.sin(np.pi * along)
    begin, end = ramp(v, -0.42, 0.08), 1 - ramp(v + 0.9 * (a - 0.03).clip(0) ** 2 - 0.012, tip + 0.01, m.nose_y + 0.01)
    thick = 0.092 + 0.03 * along + 0.22 * (wide - 0.27)
    ridge = profile * np.exp(-(np.abs(u / (thick * 1.25)) ** 2.3)) * begin * end
    flank = 0.42 * profile * np.exp(-((u / (thick * 2.3)) ** 2)) * begin * end
    ball = 0.10 * bump(u, v - tip - 0.01, 0.125 + 0.25 * (wide - 0.27), 0.10)
    wing = 0.16 * bump(a - wide + 0.085, v - m.nose_y + 0.10, 0.085, 0.088)
    crease = -0.035 * bump(a - wide - 0.015, v - m.nose_y + 0.14, 0.03, 0.12)
    philtrum = -0.016 * bump(u, v - m.nose_y - 0.12, 0.035, 0.09) + 0.008 * bump(
        a - 0.075, v - m.nose_y - 0.12, 0.03, 0.1
    )
    z[where] += np.maximum(ridge, flank) * 0.6 + 0.4 * (ridge + 0.6 * flank) + ball + wing + crease + philtrum


def _folds(z: np.ndarray, patch: Patch, lips: Lips) -> None:
    """Folds from nose to mouth, bags under the eyes, lines of the forehead, hollow under the lip."""
    m, view = patch.measures, patch.view
    drop, smile = jaw_drop(view), max(view.smile, 0.0)
    where = box(patch.u, patch.v, -1.1, 1.1, 0.1, m.chin_y + drop + 0.1)
    u, v = patch.u[where], patch.v[where]
    a = np.abs(u)
    top, bottom = m.nose_y - 0.1, m.mouth_y + 0.12
    t = np.clip((v - top) / (bottom - top), -0.2, 1.3)
    fold_x = m.nose_half_width + 0.05 + (lips.half_width + 0.15 - m.nose_half_width) * np.maximum(t, 0) ** 0.8
    depth = (0.010 + 0.026 * m.age + 0.024 * smile) * ramp(t, -0.2, 0.15) * (1 - ramp(t, 0.75, 1.25))
    z[where] -= depth * np.exp(-(((a - fold_x) / 0.042) ** 2))
    z[where] += 0.9 * depth * np.exp(-(((a - fold_x - 0.1) / 0.09) ** 2))
    under = float(lips.bottom(np.zeros(1))[0])
    z[where] -= 0.06 * bump(u, v - under - 0.075, 0.26, 0.065)
    z[where] -= 0.02 * m.age * np.exp(-(((a - lips.half_width - 0.05) / 0.03) ** 2) - ((v - lips.y - 0.16) / 0.15) ** 2)
    z[where] -= 0.03 * bump(a - lips.half_width - 0.015, v - lips.y + lips.lift * 0.75, 0.05, 0.05)
    z[where] += 0.07 * m.age * bump(a - 0.66, v - m.chin_y + 0.38, 0.14, 0.16)
    bags = box(patch.u, patch.v, -1.0, 1.0, 0.0, 0.55)
    u, v = patch.u[bags], patch.v[bags]
    a = np.abs(u) - m.eye_distance / 2
    curve = 0.19 + 0.04 * m.age - 0.35 * (a + 0.02) ** 2
    z[bags] += (0.012 + 0.03 * m.age) * bump(a, v - curve + 0.035, 0.2, 0.045)
    z[bags] -= (0.010 + 0.025 * m.age) * np.exp(-((a / 0.24) ** 2) - ((v - curve - 0.02) / 0.028) ** 2)
    if m.age > 0.15 or view.brow_raise > 0.15:
        brow = box(patch.u, patch.v, -0.85, 0.85, -1.15, -0.3)
        u, v = patch.u[brow], patch.v[brow]
        lines = np.sin(2 * np.pi * (v + 0.06 * u * u + 0.012 * np.sin(5 * u)) / 0.165)
        strength = 0.0065 * m.age + 0.006 * max(view.brow_raise, 0) * (0.4 + m.age)
        z[brow] -= strength * np.maximum(lines - 0.25, 0) * bump(u, v + 0.75, 0.6, 0.24)
        z[brow] -= 0.014 * m.age * bump(np.abs(u) - 0.085, v - m.brow_y, 0.022, 0.11)


def _lips(z: np.ndarray, patch: Patch, lips: Lips) -> None:
    half = lips.half_width
    where = box(patch.u, patch.v, -half, half, lips.y - 0.4, lips.y + 0.65)
    u, v = patch.u[where], patch.v[where]
    e = np.abs(u) / half
    top, upper, lower, bottom = lips.top(e), lips.upper_inner(e), lips.lower_inner(e), lips.bottom(e)
    q = np.clip((v - top) / np.maximum(upper - top, 0.01), 0, 1)
    r = np.clip((v - lower) / np.maximum(bottom - lower, 0.01), 0, 1)
    side = np.clip(1 - e**2, 0, 1) ** 0.6
    push = (0.9 + 0.8 * lips.pout) * side
    z[where] += push * (0.36 * lips.upper * np.sin(np.pi * q**1.5) * (q < 1))
    z[where] += push * (0.42 * lips.lower * np.sin(np.pi * r**0.8) * (r > 0))
    seam = np.where(v < 0.5 * (upper + lower), v - upper, v - lower)
    z[where] -= 0.03 * side * np.exp(-((seam / 0.022) ** 2))


def colour(patch: Patch, own: Skin) -> np.ndarray:
    """Albedo of the skin `[3, H, W]`, before lips, brows and beard."""
    m, u, v = patch.measures, patch.u, patch.v
    a = np.abs(u)
    mottle = sample(own.mottle, u * 14 + 7, v * 14)
    pores = sample(own.pores, u * 34, v * 34)
    blush = bump(a - 0.62, v - 0.6, 0.3, 0.26) + 0.9 * bump(u, v - m.nose_y + 0.15, 0.22, 0.18)
    blush += 0.5 * bump(u, v - m.chin_y + 0.15, 0.25, 0.15)
    blush = (blush + 0.12 * mottle) * (0.14 - 0.07 * own.tone)
    lum = 1 + 0.022 * mottle + 0.022 * pores
    around = bump(a - m.eye_distance / 2, v - 0.04, 0.34, 0.24)
    inner = bump(a - m.eye_distance / 2 + 0.2, v - 0.1, 0.16, 0.12)
    lum -= (0.10 + 0.05 * m.age) * around + (0.10 + 0.06 * m.age) * inner
    nostril = bump(a - 0.45 * m.nose_half_width, v - m.nose_y + 0.035 + 0.12 * (a - 0.12), 0.052, 0.026)
    lum -= 0.62 * nostril
    if own.freckles > 0.05:
        spots = ramp(sample(own.pores, u * 22 + 9, v * 22 + 40), 1.0, 1.7)
        lum -= 0.28 * own.freckles * spots * (bump(a - 0.4, v - 0.5, 0.5, 0.4) + 0.25)
    if m.age > 0.5:
        lum -= 0.16 * (m.age - 0.5) * ramp(sample(own.mottle, u * 9 + 30, v * 9 + 11), 1.0, 1.6)
    for x, y, size in own.moles:
        lum -= 0.55 * bump(u - x, v - y, size, size)
    albedo = own.base * lum
    albedo[0] *= 1 + 0.25 * blush
    albedo[1] *= 1 - 1.25 * blush
    albedo[2] *= 1 - 1.05 * blush
    return albedo
