"""Hair: its cut, its colour, and its picture as lit strands; beards too."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import gaussian_filter

from benchmark.datasets.talkers.face_curves import Lips
from benchmark.datasets.talkers.face_fields import linear, noise, normals, ramp, sample
from benchmark.datasets.talkers.face_geometry import CENTRE_Y, Head, head
from benchmark.datasets.talkers.face_light import Light
from benchmark.datasets.talkers.face_skin import Patch
from benchmark.datasets.talkers.identity import Person
from benchmark.types import derive_seed

_MELANIN = np.array(
    [[0.86, 0.74, 0.52], [0.66, 0.50, 0.31], [0.42, 0.28, 0.17], [0.25, 0.165, 0.11], [0.125, 0.095, 0.08]]
)
"""Hair from light to black as displayed, at even steps of `hair_melanin`."""


@dataclass(frozen=True)
class Hair:
    """One person's cut and colour."""

    kind: str
    """bald, crop, short, parted, curly, afro, tied, bob or long."""
    volume: float
    """How far the hair stands off the head above, head units."""
    sides: float
    """And at the sides."""
    bottom: float
    """Where hanging hair ends, in head units; 0 for hair that does not hang."""
    part: float
    """Where it is parted, in head units."""
    fringe: float
    """0 none to 1 down to the brows."""
    curl: float
    """0 straight to 1 curly."""
    recede: float
    """0 to 1, how far the temples are bare."""
    hairline: float
    colour: np.ndarray
    grey: float
    strands: np.ndarray
    clumps: np.ndarray
    beard: float


@lru_cache(maxsize=64)
def hair(person: Person) -> Hair:
    """The hair that a person's traits give."""
    face, m = person.face, head(person)
    random = np.random.default_rng(derive_seed("talkers hair", person.id))
    side, fringe, curl, choice, volume = random.uniform(size=5).tolist()
    dark = face.skin_tone > 0.62
    curl = float(np.clip(1.5 * curl - 0.45 + (0.5 if dark else 0), 0, 1))
    male = person.sex == "m"
    recede = float(np.clip((face.hairline - 0.35) / 0.5, 0, 1)) if male else 0.0
    length = face.hair_length
    if male:
        kind = "crop" if length < 0.35 else "short" if length < 0.65 else "parted" if length < 0.93 else "long"
        if curl > 0.6 and length > 0.3:
            kind = "curly"
        if recede > 0.92 and person.age > 40:
            kind = "bald"
    else:
        kind = "short" if length < 0.12 else "bob" if length < 0.42 else "long"
        if choice < 0.24 and kind != "short":
            kind = "tied"
        elif curl > 0.8 and choice > 0.55:
            kind = "afro" if dark else "curly"
    above = {
        "bald": 0.0,
        "crop": 0.05,
        "short": 0.13,
        "parted": 0.19,
        "curly": 0.22,
        "afro": 0.42,
        "tied": 0.08,
        "bob": 0.17,
        "long": 0.16,
    }
    beside = {
        "bald": 0.03,
        "crop": 0.03,
        "short": 0.05,
        "parted": 0.06,
        "curly": 0.12,
        "afro": 0.40,
        "tied": 0.03,
        "bob": 0.18,
        "long": 0.17,
    }
    bottom = {"bob": 0.9 + 1.6 * length, "long": 1.5 + 1.3 * length}.get(kind, 0.0)
    if kind == "curly" and not male:
        bottom = 0.7 + 1.1 * length
    volume = 0.75 + 0.5 * volume + 0.25 * curl
    steps = np.linspace(0, 1, len(_MELANIN))
    colour = np.array(
        [
            np.interp(
                face.hair_melanin * (0.55 + 0.45 * ramp(np.array(face.skin_tone), 0, 0.3))
                + 1.2 * max(0.0, face.skin_tone - 0.35) * (1 - face.hair_melanin),
                steps,
                _MELANIN[:, c],
            )
            for c in range(3)
        ]
    )
    red = face.hair_redness * (1 - 0.8 * face.skin_tone)
    colour = colour * (1 - 0.75 * red) + 0.75 * red * np.array([0.62, 0.30, 0.14])
    grey = float(np.clip((person.age - 38 - 12 * choice) / 26, 0, 1)) * (1.0 if male or side > 0.35 else 0.35)
    colour = colour * (1 - 0.85 * grey) + 0.85 * grey * np.array([0.74, 0.73, 0.72])
    clumps = noise("talkers clumps", person.id, size=64, grain=1.2)
    strands = noise("talkers strands", person.id, size=256, grain=0.7)
    return Hair(
        kind=kind,
        volume=above[kind] * volume,
        sides=beside[kind] * volume,
        bottom=bottom * m.chin_y / 1.85,
        part=(0.32 if side < 0.4 else -0.32 if side < 0.75 else 0.0) * (1 if kind != "long" or fringe > 0.5 else 0.3),
        fringe=1.0 if fringe > 0.68 and not male and kind in ("bob", "long") else 0.0,
        curl=curl,
        recede=recede,
        hairline=face.hairline,
        colour=linear(*colour),
        grey=grey,
        strands=strands,
        clumps=clumps,
        beard=face.beard if male else 0.0,
    )


def covers_ears(own: Hair) -> bool:
    return own.bottom > 0 or own.kind == "afro"


def _hairline(own: Hair, m: Head, angle: np.ndarray) -> np.ndarray:
    """Radius of the front edge of the hair about the pole, at angles measured from straight up, 0 to pi."""
    w = m.width
    lift = 0.16 - 0.36 * own.hairline
    top = -1.08 + 0.04 * m.male
    points = [
        (0.0, top + lift - 0.25 * own.recede**2),
        (0.35 * w, top + lift + 0.01 - 0.32 * own.recede),
        (0.66 * w, top + 0.12 + 0.6 * lift - 0.40 * own.recede),
        (0.86 * w, -0.74 + 0.2 * lift - 0.20 * own.recede),
        (0.955 * w, -0.42),
        (1.00 * w, -0.10),
        (1.045 * w, 0.18 + 0.1 * m.male),
        (1.22 * w, 0.34 + 0.14 * m.male),
        (1.6 * w, 0.45 + 0.14 * m.male),
        (1.6 * w, 1.0),
    ]
    if own.kind == "bald":
        points[:6] = [(0.0, -2.6), (0.5, -2.5), (1.1, -1.7), (1.35, -1.1), (1.07 * w, -0.55), (1.03 * w, -0.2)]
    if own.bottom > 0:
        points[5:] = [(0.99 * w, -0.05), (1.0 * w, 0.3), (0.98 * w, 0.62), (0.93 * w, 1.0), (0.9 * w, 1.6)]
    if own.fringe > 0:
        low = m.brow_y - 0.03 - 0.22 * own.hairline
        points[:5] = [(0.0, low), (0.3 * w, low), (0.6 * w, low + 0.02), (0.84 * w, low + 0.09), (0.97 * w, low + 0.24)]
    at = np.array(points)
    turn = np.arctan2(at[:, 0], CENTRE_Y - at[:, 1])
    order = np.argsort(turn)
    curve = PchipInterpolator(turn[order], np.hypot(at[:, 0], at[:, 1] - CENTRE_Y)[order], extrapolate=False)
    table = curve(np.linspace(0, np.pi, 361))
    table = np.where(np.isnan(table), table[np.flatnonzero(~np.isnan(table))[-1]], table)
    place = angle * (360 / np.pi)
    index = np.clip(place.astype(np.intp), 0, 359)
    return table[index] + (place - index) * (table[index + 1] - table[index])


def _strands(own: Hair, s: np.ndarray, t: np.ndarray, density: float) -> np.ndarray:
    """Strand texture across `s` and along `t`, head units; mean 0."""
    if own.curl > 0.3:
        s = s + 0.05 * own.curl * np.sin(9 * t + 3 * sample(own.clumps, s * 9, t * 2))
    fine = sample(own.strands, s * 30 * density, t * 2.4)
    broad = sample(own.clumps, s * 13 * density, t * 1.3)
    return 0.55 * fine + 0.75 * broad


def _curls(own: Hair, u: np.ndarray, v: np.ndarray, size: float) -> np.ndarray:
    """Relief of curls: ridges of smooth noise, pulled about; 0 to about 1."""
    a = sample(own.clumps, u / size + 11, v / size)
    b = sample(own.clumps, u / size * 1.7 + 31 + 0.7 * a, v / size * 1.7 + 7)
    return 0.5 + 0.3 * np.sin(2.6 * a + 1.5 * b) + 0.2 * np.sin(4 * b)


def _lit(
    own: Hair, light: Light, z: np.ndarray, texture: np.ndarray, along: np.ndarray, sky: np.ndarray, step: float
) -> np.ndarray:
    """Colour of hair: wrapped diffuse light, and Kajiya and Kay's highlight (1989) along the strands."""
    normal = normals(z, step)
    level = light.hair(normal, sky) * np.clip(1 + 0.30 * texture, 0.25, 1.9)
    half = light.direction + np.array([0, 0, 1.0])
    half /= np.linalg.norm(half)
    tangent = along - np.sum(along * normal, axis=0) * normal
    tangent /= np.sqrt(np.sum(tangent * tangent, axis=0)) + 1e-9
    cosine = np.tensordot(half, tangent, 1) + 0.06 * texture
    shine = np.sqrt(np.clip(1 - cosine**2, 0, 1)) ** 36 * np.clip(np.tensordot(half, normal, 1), 0, 1)
    shine *= (0.20 - 0.13 * own.curl) * light.strength * np.clip(1 + 0.5 * texture, 0, 2) * sky
    return own.colour * level + shine * (0.35 + 0.65 * own.colour / own.colour.max())


def cap(patch: Patch, own: Hair, light: Light) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hair before the head: its colour `[3, H, W]`, coverage `[H, W]`, and how it shades the skin beneath `[H, W]`."""
    m, u, v, step = patch.measures, patch.u, patch.v, patch.step
    up = np.abs(np.arctan2(u, CENTRE_Y - v))
    rho = patch.part * patch.radius
    parted = own.kind in ("parted", "bob", "long")
    if parted or own.kind == "short":  # arcs about the face, from the parting down both sides
        shift = own.part * np.exp(-np.maximum(v - m.vertex, 0) * 1.2)
        s = (
            np.hypot((u - shift) * 1.25, v - CENTRE_Y - 0.4)
            if parted
            else np.arctan2(u - own.part * 2.2, -(v - 0.6)) * 1.5
        )
        t = np.abs(np.arctan2(u - shift, CENTRE_Y - v)) * 1.2 if parted else rho
        t = t + 7.0 * (u > shift)
    else:
        s, t = np.arctan2(u, 0.5 - v) * 1.4, rho * 1.2
    gradient = np.gradient(s, step)
    tangent = np.stack([gradient[0], -gradient[1], np.zeros_like(s)])
    curly = own.kind in ("curly", "afro")
    coil = (
        _curls(own, u, v, 0.13 if own.kind == "curly" else 0.085) if curly or own.curl > 0.6 else np.full_like(u, 0.5)
    )
    density = 1.3 if own.kind == "crop" else 1.0
    texture = _strands(own, s, t, density) * (0.5 if curly else 1.0) + (coil - 0.5) * (2.4 if curly else 0.6)
    ragged = sample(own.strands, s * 26, t * 0.7 + 3)
    if own.fringe:  # combed down over the brow
        down = ramp(v, -1.3, -0.9) * (1 - ramp(np.abs(u), 0.65 * m.width, 0.95 * m.width))
        texture = texture + down * (_strands(own, u * (1.15 - 0.2 * v), v * 0.8, 1.1) - texture)
        straight = np.stack([-0.3 * u, np.ones_like(u), np.zeros_like(u)])
        tangent = tangent * np.sign(tangent[1] + 1e-9)
        tangent = tangent + down * (straight - tangent)
        ragged = ragged + down * (sample(own.strands, u * 26, v * 0.7 + 3) - ragged)

    top = np.cos(up / 2) ** 2
    thick = own.volume * top**1.5 + own.sides * (1 - top**1.5)
    if own.kind == "parted":
        thick = thick * (1 + 0.35 * np.tanh(2 * (own.part - u) * np.sign(own.part))) if own.part else thick
    if own.recede > 0.6 and own.kind != "bald":
        thick = thick * (1 - 0.5 * (own.recede - 0.6))
    if own.bottom <= 0:
        thick = thick * (1 - ramp(v, 0.0 if own.kind != "afro" else 0.3, 0.45 if own.kind != "afro" else 1.0))
    outer = (
        patch.radius + thick + (0.05 * (coil - 0.5) * (2 if own.kind == "curly" else 1) if curly else 0.008 * ragged)
    )
    front = _hairline(own, m, up)
    if parted and not own.fringe and own.part:  # the larger side sweeps lower over the brow
        front = front - 0.13 * np.exp(-(((u + np.sign(own.part) * 0.42) / 0.4) ** 2)) * (v < 0)
    shadow = 1 - 0.32 * np.exp(-np.maximum(front - rho, 0) / 0.07) * (own.volume > 0.06) * (1 - ramp(v, 0.5, 1.0))
    frayed = {"crop": 0.05, "bald": 0.05, "short": 0.045, "tied": 0.02, "curly": 0.06, "afro": 0.05}.get(own.kind, 0.03)
    front = front + 0.7 * frayed * ragged * (1.5 if own.fringe else 1.0) - (0.07 * (coil - 0.5) if curly else 0)
    soft = {"crop": 0.09, "bald": 0.12, "short": 0.05, "afro": 0.06}.get(own.kind, 0.035)
    cover = ramp(rho - front, -0.2 * soft, soft) * np.clip((outer - rho) / (2 * step) + 0.5, 0, 1)
    if own.recede > 0.5 and own.kind != "bald":
        cover *= 1 - 0.4 * (own.recede - 0.5) * (1 - ramp(rho - front, 0.1, 0.5))

    fall = np.clip(rho / np.maximum(outer, 0.1), 0, 1)
    z = 1.25 * np.sqrt(np.maximum(1 - fall**2.2, 0) + 0.004) + 0.018 * gaussian_filter(texture, 0.6)
    if curly:
        z = z + 0.16 * gaussian_filter(coil, 1.0)
    sky = 0.62 + 0.38 * ramp(rho - front, 0.0, 0.22)
    if own.bottom > 0:
        hang, depth = _hanging(patch, own, ragged)
        under = ramp(v, -0.45, 0.45)
        held = ramp(v, -0.05, 0.2)
        cover = cover * (1 - held) + hang * held
        z = z * (1 - under) + depth * under
        sky = sky * (1 - under) + under * (0.7 + 0.3 * ramp(np.abs(u), 0.85 * m.width, 1.15 * m.width))
        straight = np.stack([0.25 * np.sign(u) * np.ones_like(u), np.ones_like(u), np.zeros_like(u)])
        tangent = tangent * np.sign(tangent[1] + 1e-9) * (1 - under) + straight * under
        down = _strands(own, np.abs(u) + 0.12 * np.sin(2.2 * v) * own.curl + 4 * (u > 0), v * 0.8, 1.0)
        texture = texture * (1 - under) + down * under
    colour = _lit(own, light, z, texture, tangent, sky, step)
    if own.bottom <= 0:
        cover = cover * (1 - ramp(v, 0.35, 0.75))
    if own.kind in ("crop", "bald"):
        cover = cover * np.where(patch.part < 1, 0.80 if own.kind == "crop" else 0.6, 1.0)
    return colour, cover, shadow


def _edges(own: Hair, m: Head, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Inner and outer half breadth of hanging hair at each height."""
    w = m.width
    rise = np.clip(v / max(own.bottom, 0.3), 0, 1)
    flare = 0.10 * own.curl + (0.06 if own.kind == "long" else 0.02)
    outer = 1.13 * w + own.sides + flare * np.sin(np.pi * rise**0.8) - (0.14 if own.kind == "bob" else 0.04) * rise**3
    inner = w * (0.985 - 0.10 * ramp(v, 0.45, 1.5)) + 0.01 * np.sin(3 * v)
    return inner, outer


def _hanging(patch: Patch, own: Hair, ragged: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    u, v, step = np.abs(patch.u), patch.v, patch.step
    inner, outer = _edges(own, patch.measures, v)
    wave = 0.045 * own.curl * np.sin(7.5 * v + 2 * np.sign(patch.u)) + 0.012 * ragged
    cover = np.clip((u - inner - wave) / (2 * step) + 0.5, 0, 1) * np.clip((outer + wave - u) / (2 * step) + 0.5, 0, 1)
    cover *= 1 - ramp(v + 0.035 * ragged, own.bottom - 0.1, own.bottom + 0.04)
    across = np.clip((u - inner) / np.maximum(outer - inner, 0.05), 0, 1)
    return cover, 0.22 * np.sqrt(np.maximum(1 - (1.6 * across - 0.6) ** 2, 0) + 0.02)


def back(patch: Patch, own: Hair, light: Light) -> tuple[np.ndarray, np.ndarray]:
    """Hair behind the head and the neck: colour and coverage."""
    m, u, v, step = patch.measures, patch.u, patch.v, patch.step
    texture = _strands(own, np.abs(u) + 4 * (u > 0), v, 1.0)
    if own.kind == "tied":
        x, y = u - 0.12 * np.sign(own.part or 1), v - m.vertex + 0.02
        out = np.hypot(x / 0.46, y / 0.36)
        cover = np.clip((1 - out) * 0.36 / step + 0.5, 0, 1)
        z = 0.4 * np.sqrt(np.maximum(1 - out**2, 0) + 0.01)
        around = _strands(own, out * 0.8, np.arctan2(y, x) + 0.0, 1.0)
        tangent = np.stack([-y, x, np.zeros_like(x)])
        return _lit(own, light, z, around, tangent, np.full_like(u, 0.85), step), cover
    _, outer = _edges(own, m, v)
    cover = np.clip((outer - 0.03 - np.abs(u)) / (2 * step) + 0.5, 0, 1) * ramp(v, -0.3, 0.1)
    cover *= 1 - ramp(v + 0.03 * texture, own.bottom - 0.08, own.bottom + 0.05)
    z = np.zeros_like(u)
    tangent = np.stack([np.zeros_like(u), np.ones_like(u), np.zeros_like(u)])
    dim = 0.34 + 0.4 * ramp(np.abs(u), 0.75, 1.3)
    return _lit(own, light, z, texture, tangent, dim, step), cover


def beard_texture(patch: Patch, own: Hair) -> np.ndarray:
    """Strands of the beard `[H, W]`, mean 0; the same however the mouth moves."""
    s, t = np.arctan2(patch.u, patch.v - 0.2) * 1.6, patch.part * patch.radius
    return 0.8 * sample(own.strands, s * 34, t * 12) + 0.4 * sample(own.clumps, s * 10, t * 7)


def beard_cover(patch: Patch, texture: np.ndarray, lips: Lips) -> np.ndarray:
    """Where the beard grows `[H, W]`, 0 to 1, given its texture."""
    m, u, v = patch.measures, patch.u, patch.v
    a = np.abs(u)
    line = np.interp(
        a,
        [0, 0.25, 0.5, 0.75, 0.95, 1.1],
        [m.nose_y + 0.05, m.nose_y + 0.06, m.mouth_y - 0.02, m.mouth_y - 0.16, 0.42, 0.22],
    )
    line = np.where(
        a < lips.half_width + 0.08, np.minimum(line, m.nose_y + 0.07 + 0.25 * np.maximum(a - 0.15, 0)), line
    )
    e = np.minimum(a / (lips.half_width + 0.02), 1)
    under = np.minimum(v - lips.top(e), lips.bottom(e) - v)
    lip = np.maximum(ramp(-under, -0.01, 0.045), ramp(a, lips.half_width - 0.01, lips.half_width + 0.04))
    hollow = 1 - 0.75 * np.exp(-(((a - 0.19) / 0.10) ** 2) - ((v - lips.bottom(e) - 0.07) / 0.06) ** 2)
    cover = ramp(v - line + 0.05 * texture, -0.02, 0.16) * lip * hollow
    cover *= 1 - 0.6 * np.exp(-(((a) / 0.035) ** 2)) * (v < lips.y)
    return cover
