"""The mouth: lips, teeth, tongue and the dark behind them."""

from __future__ import annotations

import numpy as np

from benchmark.datasets.talkers.face_curves import Lips
from benchmark.datasets.talkers.face_fields import box, linear, over, ramp, sample
from benchmark.datasets.talkers.face_light import Light
from benchmark.datasets.talkers.face_skin import Patch, Skin


def lip_cover(patch: Patch, lips: Lips) -> tuple[tuple[slice, slice], np.ndarray, np.ndarray]:
    """Where the lips may be, and there the coverage of the lips and of the gap between them."""
    half, step = lips.half_width, patch.step
    where = box(patch.u, patch.v, -half - 0.05, half + 0.05, lips.y - 0.4, lips.y + 0.65)
    e = np.abs(patch.u[where]) / half
    v = patch.v[where]
    soft = 1.6 * step
    whole = np.clip(np.minimum(v - lips.top(e), lips.bottom(e) - v) / (2 * soft) + 0.5, 0, 1) * (
        1 - ramp(e, 0.96, 1.03)
    )
    gap = np.clip(np.minimum(v - lips.upper_inner(e), lips.lower_inner(e) - v) / step + 0.5, 0, 1) * (e < 1)
    if lips.gap <= 0:
        gap = np.zeros_like(gap)
    return where, whole, gap


def paint_lips(patch: Patch, lips: Lips, own: Skin, albedo: np.ndarray) -> np.ndarray:
    """Colour the lips in the skin's albedo; gives their coverage `[H, W]`, where gloss is higher."""
    where, whole, _ = lip_cover(patch, lips)
    u, v = patch.u[where], patch.v[where]
    e = np.abs(u) / lips.half_width
    lines = sample(own.pores, u * 60, v * 9)
    line = np.exp(-(((v - lips.line(e)) / 0.016) ** 2)) * (1 - ramp(e, 0.9, 1.08)) if lips.gap < 0.03 else 0.0
    over(albedo, where, own.lips * (1 + 0.035 * lines), 0.88 * whole)
    albedo[:, where[0], where[1]] *= 1 - 0.72 * line
    corner = np.exp(-(((e - 1.0) / 0.09) ** 2) - ((v - lips.line(np.minimum(e, 1))) / 0.03) ** 2)
    albedo[:, where[0], where[1]] *= 1 - 0.5 * corner
    gloss = np.zeros_like(patch.u)
    gloss[where] = whole
    return gloss


def inside_mouth(canvas: np.ndarray, patch: Patch, lips: Lips, light: Light) -> None:
    """Paint what the open lips show."""
    if lips.gap <= 0:
        return
    mouth = patch.view.mouth
    where, _, gap = lip_cover(patch, lips)
    u, v = patch.u[where], patch.v[where]
    half = lips.half_width
    e = np.abs(u) / half
    upper, lower = lips.upper_inner(e), lips.lower_inner(e)
    level = 0.6 * light.strength + 0.5 * light.ambient
    colour = np.broadcast_to(linear(0.20, 0.07, 0.07), (3, *u.shape)) * (0.6 + 0.8 * ramp(e, 1, 0))
    tongue_top = (
        lips.y
        + 0.75 * lips.gap
        - (0.05 + 0.8 * lips.gap * mouth.tongue) * np.sqrt(np.clip(1 - (u / (0.75 * half)) ** 2, 0, 1))
    )
    tongue = ramp(v, tongue_top - 0.02, tongue_top + 0.03) * (np.abs(u) < 0.75 * half)
    body = linear(0.70, 0.34, 0.34) * (0.55 + 0.4 * ramp(v - tongue_top, 0, 0.1)) * level
    colour = colour + tongue * (0.35 + 0.65 * mouth.tongue) * (body - colour)
    edge = upper + (0.02 + 0.125 * mouth.teeth) * (1 - 0.25 * e**2)
    teeth = ramp(edge - v, -0.012, 0.012) * (1 - ramp(e, 0.62, 0.9)) * min(1.0, 4 * mouth.teeth)
    seams = 1 - 0.16 * np.exp(-(((np.mod(u + 0.0675, 0.135) - 0.0675) / 0.012) ** 2))
    enamel = linear(0.93, 0.90, 0.84) * seams * (1 - 0.45 * e**2) * (0.68 + 0.32 * ramp(v - upper, 0, 0.05)) * level
    colour = colour + teeth * (enamel - colour)
    row = (
        ramp(v - lower, -0.075 * mouth.teeth - 0.01, -0.045 * mouth.teeth)
        * (1 - ramp(e, 0.5, 0.75))
        * ramp(lips.gap, 0.14, 0.22)
    )
    colour = colour + 0.7 * row * mouth.teeth * (1 - 0.8 * mouth.tongue) * (0.75 * enamel - colour)
    shade = 0.45 + 0.55 * ramp(v - upper, -0.01, 0.06)
    over(canvas, where, colour * shade, gap)
