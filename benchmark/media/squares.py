"""Squares cut out of pictures and scaled: upright ones by areas, turned ones by interpolation.

Places are in pixels, x to the right and y down; 0 is the left or upper edge of the first pixel, its centre at 0.5.
Where a square reaches beyond a picture, the picture's edge pixels are repeated.
"""

from __future__ import annotations

import math

import numpy as np


def cut_square(picture: np.ndarray, left: float, top: float, side: float, size: int) -> np.ndarray:
    """Cut an upright square out of a picture and scale it.

    Each pixel of the result is the mean over its area; where the square is enlarged, over the area of one pixel of the
    picture, which is linear interpolation.

    Args:
        left, top: of the square.
        side: its height and width in the picture.
        size: of the result.

    Shape:
        `[H, W]` or `[H, W, 3]` uint8 -> `[size, size]` or `[size, size, 3]` uint8
    """
    rows, down = _coverage(top, side, picture.shape[0], size)
    columns, across = _coverage(left, side, picture.shape[1], size)
    region = picture[rows, columns].astype(np.float32)
    if region.ndim == 2:
        return np.rint(down @ region @ across.T).astype(np.uint8)
    return np.rint(np.stack([down @ plane @ across.T for plane in np.moveaxis(region, -1, 0)], axis=-1)).astype(
        np.uint8
    )


def cut_turned(picture: np.ndarray, middle: complex, step: complex, size: int) -> np.ndarray:
    """Cut a square out of a picture, turned and scaled.

    Where it is enlarged, pixels are interpolated linearly; where it shrinks to a half or less, they are first averaged
    in blocks.

    Args:
        middle: of the square, x + iy.
        step: from one pixel of the result to the one on its right, likewise.
        size: of the result.

    Shape:
        `[H, W]` or `[H, W, 3]` uint8 -> `[size, size]` or `[size, size, 3]` uint8
    """
    from PIL import Image

    reach = abs(step) * size / math.sqrt(2) + 2  # the corners of the square, however it is turned
    rows, above = _reached(middle.imag, reach, picture.shape[0])
    columns, before = _reached(middle.real, reach, picture.shape[1])
    image = Image.fromarray(picture[np.ix_(rows, columns)])
    blocks = max(1, math.floor(abs(step)))
    if blocks > 1:
        image = image.reduce(blocks)
    step /= blocks
    corner = (middle - complex(before, above)) / blocks - step * complex(size, size) / 2
    matrix = (step.real, -step.imag, corner.real, step.imag, step.real, corner.imag)
    return np.asarray(image.transform((size, size), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR))


def _coverage(start: float, length: float, count: int, size: int) -> tuple[slice, np.ndarray]:
    """The pixels of a line of `count` that a stretch of it touches, n of them, and their parts in each of `size` means.

    Returns:
        The pixels; and `[size, n]` float32 whose rows sum to 1.
    """
    first = min(max(math.floor(start) - 1, 0), count - 1)
    end = max(min(math.ceil(start + length) + 1, count), first + 1)
    edges = np.arange(first, end + 1, dtype=float)
    edges[0], edges[-1] = -np.inf, np.inf
    step = length / size
    centres = start + (np.arange(size)[:, None] + 0.5) * step
    half = max(step, 1) / 2
    covered = np.minimum(centres + half, edges[1:]) - np.maximum(centres - half, edges[:-1])
    return slice(first, end), (covered.clip(0) / (2 * half)).astype(np.float32)


def _reached(at: float, reach: float, count: int) -> tuple[np.ndarray, int]:
    """The pixels of a line of `count` within reach of a place, those at its ends repeated; and where they start."""
    first = math.floor(at - reach)
    return np.arange(first, math.ceil(at + reach) + 1).clip(0, count - 1), first
