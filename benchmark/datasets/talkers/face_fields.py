"""Fields over the picture from which the face is built: ramps, bumps, seeded noise, normals."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from benchmark.types import derive_seed

Box = tuple[slice, slice]


def ramp(x: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 below `low`, 1 above `high`, a smooth cubic between."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def bump(x: np.ndarray, y: np.ndarray, width: float, height: float) -> np.ndarray:
    """A Gaussian hill of height 1 at the origin."""
    return np.exp(-((x / width) ** 2) - (y / height) ** 2)


def box(u: np.ndarray, v: np.ndarray, left: float, right: float, top: float, bottom: float) -> Box:
    """Rows and columns of the picture that hold all points with u in [left, right] and v in [top, bottom]."""
    inside = (u >= left) & (u <= right) & (v >= top) & (v <= bottom)
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    if not len(rows):
        return slice(0, 0), slice(0, 0)
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def noise(*seed: object, size: int = 128, grain: float = 1.0) -> np.ndarray:
    """Seeded smooth noise that tiles, mean 0 and deviation 1; `grain` is the smallest feature in cells."""
    white = np.random.default_rng(derive_seed(*seed)).standard_normal((size, size))
    smooth = gaussian_filter(white, grain, mode="wrap") if grain > 0 else white
    return (smooth - smooth.mean()) / smooth.std()


def sample(tile: np.ndarray, s: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Read a tile at cell coordinates (s, t), repeated for ever, linearly between cells; its size is a power of 2."""
    size = len(tile)
    s0, t0 = np.floor(s), np.floor(t)
    a, b = s - s0, t - t0
    i, j = s0.astype(np.int32), t0.astype(np.int32)
    right, down = (i + 1) & (size - 1), ((j + 1) & (size - 1)) * size
    i &= size - 1
    j &= size - 1
    j *= size
    flat = tile.ravel()
    upper, lower = flat.take(j + i), flat.take(down + i)
    upper += a * (flat.take(j + right) - upper)
    lower += a * (flat.take(down + right) - lower)
    return upper + b * (lower - upper)


def normals(z: np.ndarray, step: float) -> np.ndarray:
    """Unit normals `[3, H, W]` of a height field with `step` head units between pixels."""
    down, right = np.gradient(z, step)
    length = 1 / np.sqrt(1 + right**2 + down**2)
    return np.stack([-right * length, -down * length, length])


def over(canvas: np.ndarray, where: Box, colour: np.ndarray, alpha: np.ndarray) -> None:
    """Lay a colour `[3, H, W]` or `[3, 1, 1]` over a part of the canvas `[3, H, W]`."""
    part = canvas[:, where[0], where[1]]
    part += alpha * (colour - part)


def linear(*srgb: float) -> np.ndarray:
    """A display colour (0 to 1) as light `[3, 1, 1]`; gamma 2 stands in for the sRGB curve, since its root is exact."""
    return np.square(np.array(srgb, float)).reshape(3, 1, 1)
