"""What the head stands on: neck, ears, clothes."""

from __future__ import annotations

import numpy as np

from benchmark.datasets.talkers.face_fields import box, bump, linear, noise, normals, over, ramp, sample
from benchmark.datasets.talkers.face_light import Light
from benchmark.datasets.talkers.face_skin import Patch, Skin

_CLOTHES = [
    (0.16, 0.19, 0.28),
    (0.75, 0.76, 0.78),
    (0.30, 0.32, 0.34),
    (0.42, 0.14, 0.16),
    (0.20, 0.34, 0.30),
    (0.48, 0.56, 0.66),
    (0.12, 0.12, 0.13),
    (0.66, 0.58, 0.48),
    (0.36, 0.28, 0.42),
]
_FOLDS = noise("talkers folds", size=64, grain=1.5)


def body(canvas: np.ndarray, patch: Patch, own: Skin, light: Light) -> None:
    """Paint neck, shoulders and clothes; `patch` is of the plane of the picture, since the body does not turn."""
    m, u, v, step = patch.measures, patch.u, patch.v, patch.step
    where = (slice(None), slice(None))
    a = np.abs(u)
    random = np.random.default_rng(patch.view.clothes)
    base = m.chin_y + 0.17
    half = (0.56 + 0.14 * m.male + 0.1 * (m.jaw - 0.86)) * (1 + 0.10 * ramp(v, base - 0.6, base + 0.3))
    slope = base - 0.02 + (0.30 - 0.03 * m.male) * np.maximum(a - half, 0) ** 0.9
    shoulders = np.clip((v - slope) / step + 0.5, 0, 1) * (a > half * 0.9)
    neck = np.clip((half - a) / step + 0.5, 0, 1)
    z = 0.62 * np.sqrt(np.maximum(1 - (a / half) ** 2, 0) + 0.02) * (1 - 0.8 * ramp(v, base - 0.35, base + 0.55))
    z = (
        z
        - 0.045 * bump(a - 0.13 - 0.25 * (base + 0.3 - v), v - base, 0.05, 0.5)
        + 0.03 * m.male * bump(u, v - base + 0.12, 0.1, 0.12)
    )
    normal = normals(z, step)
    far = patch.part[where] * patch.radius[where] - patch.radius[where]
    shadow = 1 - 0.78 * np.exp(-np.maximum(far - 0.02, 0) / 0.22)
    skin = (
        own.base * (1 - np.array([0.0, 0.03, 0.04]).reshape(3, 1, 1)) * light.skin(normal, 0.35 + 0.65 * shadow, shadow)
    )
    over(canvas, where, skin, np.maximum(neck, shoulders))
    kind = int(random.integers(3))
    width = half + 0.10 * random.uniform()
    deep = (0.16, 0.24, 0.5)[kind]
    curve = np.sqrt(np.maximum(1 - (a / width) ** 2, 0)) if kind < 2 else np.maximum(1 - a / width, 0)
    line = base + 0.02 + deep * curve
    cover = np.clip((v - line) / step + 0.5, 0, 1) * np.maximum(neck, shoulders)
    tint = np.array(_CLOTHES[int(random.integers(len(_CLOTHES)))]) * random.uniform(0.85, 1.1)
    at = float(random.uniform(0, 64))
    folds = sample(_FOLDS, u * 3 + at + v, v * 4 - a * 3 + at)
    cloth = normals(0.06 * folds - 0.25 * a**2, step)
    level = light.hair(cloth, np.array(0.95)) * (1 - 0.35 * np.exp(-np.maximum(far, 0) / 0.3))
    seam = (
        1 - 0.3 * np.exp(-(((v - line - 0.07) / 0.014) ** 2)) * (kind < 2) - 0.25 * np.exp(-(((v - line) / 0.03) ** 2))
    )
    over(canvas, where, linear(*tint) * level * seam, cover)


def ears(canvas: np.ndarray, patch: Patch, own: Skin, light: Light) -> None:
    """Paint both ears behind the head's outline."""
    m, step = patch.measures, patch.step
    for side in (-1, 1):
        middle = 0.5 * m.nose_y - 0.02
        where = box(side * patch.u, patch.v, 0.95 * m.width, 1.09 * m.width + 0.3, middle - 0.45, middle + 0.45)
        x, y = side * patch.u[where] - 1.09 * m.width, patch.v[where] - middle
        grow = 1 + 0.08 * m.age + 0.04 * m.male
        # an ear leans outwards at the top and narrows to the lobe
        lean = x + 0.18 * y
        width = (0.155 - 0.07 * ramp(y, 0.0, 0.36)) * grow
        out = np.hypot(lean / width, y / (0.35 * grow))
        cover = np.clip((1 - out) * 0.13 / step + 0.5, 0, 1)
        z = (
            -0.10 * out**2
            + 0.09 * np.exp(-(((out - 0.82) / 0.16) ** 2))
            + 0.05 * bump(lean + 0.02, y + 0.02, 0.05, 0.16)
        )
        normal = normals(z - 0.5 * np.abs(x), step)
        inner = bump(lean + 0.01, y + 0.0, 0.06, 0.15) + 0.5 * np.exp(-(((out - 0.68) / 0.1) ** 2)) * (x > 0)
        sky = (0.9 - 0.5 * inner) * (1 - 0.4 * np.exp(-np.maximum(x + 0.05, 0) / 0.04))
        tint = own.base * np.array([1.0, 0.86, 0.84]).reshape(3, 1, 1)
        over(canvas, where, tint * light.skin(normal, sky, sky), cover)
