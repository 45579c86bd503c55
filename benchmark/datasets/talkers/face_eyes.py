"""Eyes and brows: sclera, iris, pupil, catch light, lids, lashes, hairs."""

from __future__ import annotations

import numpy as np

from benchmark.datasets.talkers.face_curves import OUTSIDE, Brow, Eye
from benchmark.datasets.talkers.face_fields import box, bump, linear, over, ramp, sample
from benchmark.datasets.talkers.face_light import Light
from benchmark.datasets.talkers.face_skin import Patch
from benchmark.datasets.talkers.identity import Person

_IRIS = np.array([[0.42, 0.56, 0.68], [0.42, 0.52, 0.40], [0.46, 0.36, 0.20], [0.33, 0.20, 0.11], [0.22, 0.13, 0.08]])
"""Irises from blue over green and hazel to brown as displayed, at even steps of `eye_colour`."""
_RADIUS = 0.097


def lids(patch: Patch, eye: Eye, albedo: np.ndarray) -> None:
    """Darken the skin along the crease of the upper lid and the rim of the lower."""
    m = patch.measures
    for side in (-1, 1):
        where = box(side * patch.u, patch.v, eye.x - 0.4, eye.x + 0.42, -0.35, 0.3)
        e = (side * patch.u[where] - eye.x) / eye.half_width
        v = patch.v[where]
        ends = 1 - ramp(np.abs(e), 0.8, 1.25)
        opened = eye.open_high(np.clip(e, -1, 1))
        gap = 0.052 + 0.012 * e - 0.018 * m.age + 0.3 * (m.eye_height - 0.165)
        crease = np.exp(-(((v - opened + gap) / 0.020) ** 2)) * ends
        lid = ramp(v, -0.2, 0) * np.exp(-(((v - opened + 0.4 * gap) / 0.03) ** 2)) * ends
        low = eye.low(np.clip(e, -1, 1))
        rim = np.exp(-(((v - low - 0.03) / 0.02) ** 2)) * ends
        albedo[:, where[0], where[1]] *= 1 - 0.42 * crease + 0.05 * lid - 0.16 * rim
        if m.age > 0.2:
            f, w = side * patch.u[where] - eye.x - eye.half_width, v + 0.01
            feet = np.maximum(np.sin(26 * np.arctan2(w, np.maximum(f, 0.02) + 0.12)), 0)
            albedo[:, where[0], where[1]] *= 1 - 0.2 * min(m.age, 1) * feet * bump(f - 0.1, w, 0.08, 0.12)


def eyes(canvas: np.ndarray, patch: Patch, eye: Eye, person: Person, light: Light, lit: np.ndarray) -> None:
    """Paint both eyes over the lit skin."""
    step = patch.step
    # dark skin seldom goes with light eyes: melanin makes both
    eye_colour, tone = person.face.eye_colour, person.face.skin_tone
    brown = eye_colour + 0.6 * (1 - eye_colour) * float(ramp(np.array(tone), 0.35, 0.85))
    hue = np.array([np.interp(brown, np.linspace(0, 1, 5), _IRIS[:, c]) for c in range(3)])
    lash_strength = 0.95 if person.sex == "f" else 0.75
    lash_width = 0.030 if person.sex == "f" else 0.021
    turn = np.deg2rad([patch.view.yaw, patch.view.pitch])
    for side in (-1, 1):
        where = box(side * patch.u, patch.v, eye.x - 0.36, eye.x + 0.40, -0.22, 0.22)
        u, v = side * patch.u[where] - eye.x, patch.v[where]
        e = u / eye.half_width
        inner = np.clip(e, -1, 1)
        high, low = eye.high(inner), eye.low(inner)
        within = np.clip(np.minimum(v - high, low - v) / step + 0.5, 0, 1) * np.clip(
            (1 - np.abs(e)) * eye.half_width / step + 0.5, 0, 1
        )
        # the gaze stays on the camera while the head turns
        x, y = u - OUTSIDE + side * 0.1 * turn[0] * 1.6, v + 0.012 + 0.1 * turn[1]
        out = np.sqrt(x * x + y * y)
        curve = 1 - 0.55 * np.clip((u * u + v * v) / 0.075, 0, 1)
        shaded = ramp(v - high, -0.01, 0.075) * 0.5 + 0.5
        facing = 0.78 + 0.22 * np.clip(light.direction[0] * side * u / 0.2 + 0.6, 0, 1)
        around = (0.55 + 0.45 * lit[where]) * (0.62 * light.strength + 0.5 * light.ambient)
        level = curve * shaded * facing * around * 1.08
        white = linear(0.93, 0.90, 0.88) * (1 - np.array([0.0, 0.16, 0.14]).reshape(3, 1, 1) * ramp(-e, 0.62, 0.95))
        colour = white * level
        angle = np.arctan2(y, x)
        fibre = 0.88 + 0.2 * np.sin(angle * 17 + 2 * np.sin(5 * angle)) * ramp(out, 0.03, 0.08)
        ring = 1 - 0.62 * ramp(out, _RADIUS * 0.72, _RADIUS)
        glow = 0.85 + 0.55 * np.clip(y / _RADIUS * 0.7 - light.direction[0] * side * x / _RADIUS * 0.6, -0.6, 1)
        iris = linear(*hue) * fibre * ring * glow * shaded * 1.1 * (0.6 * light.strength + 0.5 * light.ambient)
        colour = colour + np.clip((_RADIUS - out) / step + 0.5, 0, 1) * (iris - colour)
        colour = colour + np.clip((0.041 - out) / step + 0.5, 0, 1) * (linear(0.05, 0.04, 0.04) - colour)
        gx, gy = side * light.direction[0] * 0.055, light.direction[1] * 0.055
        spark = np.clip((0.021 - np.hypot(x - gx, y - gy)) / step + 0.5, 0, 1)
        spark = np.maximum(spark, 0.22 * bump(x + gx, y - 0.05, 0.03, 0.02))
        colour = colour + spark * (1.0 - colour)
        over(canvas, where, colour, within)
        wet = np.exp(-(((v - low) / 0.011) ** 2)) * (np.abs(e) < 0.95)
        over(canvas, where, linear(0.86, 0.66, 0.62) * (1 - 0.6 * person.face.skin_tone), 0.45 * wet)
        lashes = np.clip(1 - np.abs(e) ** 6, 0, 1) * (0.65 + 0.35 * ramp(e, -0.9, 0.6))
        thick = lash_width * (0.6 + 0.35 * ramp(e, -1, 1))
        band = np.exp(-(((v - high + 0.3 * thick) / thick) ** 2))
        dark = linear(0.09, 0.07, 0.06)
        over(canvas, where, dark, lash_strength * band * lashes)
        wing = (
            np.exp(-(((v - high + 0.08 * np.maximum(e - 0.9, 0)) / 0.02) ** 2))
            * ramp(e, 0.8, 1)
            * (1 - ramp(e, 1, 1.16))
        )
        over(canvas, where, dark, 0.5 * lash_strength * wing)
        over(canvas, where, dark, 0.28 * np.exp(-(((v - low - 0.012) / 0.016) ** 2)) * lashes * ramp(e, -0.6, 0.6))


def brows(patch: Patch, brow: Brow, albedo: np.ndarray, hair: np.ndarray, strands: np.ndarray, bushy: float) -> None:
    """Paint both brows into the skin's albedo as strokes of hair."""
    m = patch.measures
    for side in (-1, 1):
        where = box(side * patch.u, patch.v, brow.inner - 0.1, brow.outer + 0.1, brow.y - 0.3, brow.y + 0.35)
        e = (side * patch.u[where] - brow.inner) / (brow.outer - brow.inner)
        inner = np.clip(e, 0, 1)
        thick = m.brow_thickness * (1 - 0.72 * ramp(inner, 0.35, 1.0)) * (0.72 + 0.28 * ramp(inner, 0, 0.25))
        d = (patch.v[where] - brow.middle(inner)) / thick
        slant = e * 0.68 + 0.05 * d * (0.4 + e)
        hairs = sample(strands, slant * 34 + 50 * (side > 0), d * 0.8 + 10 + 3 * e)
        edge = 1 - ramp(np.abs(d) + 0.16 * hairs, 0.55, 1.35)
        ends = ramp(e, -0.07, 0.1) * (1 - ramp(e, 0.9, 1.07))
        alpha = edge * ends * np.clip(0.72 + 0.16 * hairs + bushy, 0, 0.96) * (0.72 + 0.28 * ramp(inner, 0, 0.2))
        over(albedo, where, hair, alpha)
