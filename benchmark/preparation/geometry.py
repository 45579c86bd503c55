"""Where a picture's pixels go: squares cut out and scaled, similarities that bring pupils to fixed places.

Places are in pixels, x to the right and y down; 0 is the left or upper edge of the first pixel, its centre at 0.5.
Where a crop reaches beyond a picture its edge pixels are repeated.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

LEFT_EYE, RIGHT_EYE = slice(36, 42), slice(42, 48)
"""Landmarks of iBUG 300-W: the eye on the left side of the picture, and the other."""
PAIRS = (
    *((number, 16 - number) for number in range(8)),  # outline
    *((17 + number, 26 - number) for number in range(5)),  # brows
    *((31, 35), (32, 34)),  # base of the nose
    *((36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46)),  # eyes
    *((48, 54), (49, 53), (50, 52), (58, 56), (59, 55), (60, 64), (61, 63), (67, 65)),  # lips
)
"""Landmarks that mirror each other; the others lie in the middle."""
MIRROR = np.arange(68)
for _left, _right in PAIRS:
    MIRROR[_left], MIRROR[_right] = _right, _left
ASYMMETRY_PER_DEGREE = 0.0167
"""`asymmetry` of a symmetric face with the mean face's depth for each degree that it is turned aside; to within 1 % up
to 10 degrees."""


class Similarity(NamedTuple):
    """From places in a crop to places in the picture: z -> step z + corner, with z = x + iy."""

    step: complex
    """Its length: pixels of the picture in one of the crop; its angle: by how much the crop is turned there."""
    corner: complex
    """Where the upper left corner of the crop lies in the picture."""


def pupils(points: np.ndarray) -> tuple[complex, complex]:
    """Middles of the eyes, x + iy, of the one on the left first.

    Args:
        points: `[68, 2]` landmarks.
    """
    return tuple(complex(*points[eye].mean(axis=0)) for eye in (LEFT_EYE, RIGHT_EYE))  # type: ignore[return-value]


def similarity(left: complex, right: complex, size: int, apart: float, height: float) -> Similarity:
    """The crop that shows two pupils at the same height, as far from the middle on either side.

    Two places and their images determine it: `step = (right - left) / (apart size)`.

    Args:
        left, right: the pupils in the picture.
        size: side of the crop in pixels.
        apart: distance of the pupils in it, in parts of its side.
        height: theirs from its top, likewise.
    """
    step = (right - left) / (apart * size)
    return Similarity(step, left - step * size * complex((1 - apart) / 2, height))


def cut(picture: np.ndarray, place: Similarity, size: int) -> np.ndarray:
    """Cut a square out of a picture, turned and scaled.

    Where it is enlarged, pixels are interpolated linearly; where it shrinks to a half or less, they are first averaged
    in blocks.

    Shape:
        `[H, W, 3]` uint8 -> `[size, size, 3]` uint8
    """
    from PIL import Image

    middle = place.corner + place.step * complex(size, size) / 2
    reach = abs(place.step) * size / math.sqrt(2) + 2  # the corners of the square, however it is turned
    rows, columns = (np.arange(math.floor(at - reach), math.ceil(at + reach) + 1) for at in (middle.imag, middle.real))
    height, width = picture.shape[:2]
    image = Image.fromarray(picture[np.ix_(rows.clip(0, height - 1), columns.clip(0, width - 1))])
    blocks = max(1, math.floor(abs(place.step)))
    if blocks > 1:
        image = image.reduce(blocks)
    step, corner = place.step / blocks, (place.corner - complex(columns[0], rows[0])) / blocks
    matrix = (step.real, -step.imag, corner.real, step.imag, step.real, corner.imag)
    return np.asarray(image.transform((size, size), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR))


def inside(place: Similarity, size: int, height: int, width: int) -> np.ndarray:
    """Which pixels of a crop show the picture, not its repeated edge, by their centres: `[size, size]` bool."""
    across = np.arange(size) + 0.5
    seen = place.step * (across[None] + 1j * across[:, None]) + place.corner
    return (seen.real >= 0) & (seen.real < width) & (seen.imag >= 0) & (seen.imag < height)


def cut_square(picture: np.ndarray, left: float, top: float, side: float, size: int) -> np.ndarray:
    """Cut an upright square out of a picture and scale it, each pixel the mean over its area.

    Where the square is enlarged, the mean is over the area of one pixel of the picture, which is linear interpolation:
    the arithmetic of `benchmark.media.face_video.cut_square`, at any size and in colour.

    Shape:
        `[H, W]` or `[H, W, 3]` uint8 -> `[size, size]` or `[size, size, 3]` uint8
    """
    rows, down = _coverage(top, side, picture.shape[0], size)
    columns, across = _coverage(left, side, picture.shape[1], size)
    region = picture[rows, columns].astype(np.float32)
    planes = [
        down @ plane @ across.T for plane in (region[..., None] if region.ndim == 2 else region).transpose(2, 0, 1)
    ]
    found = np.rint(np.stack(planes, axis=-1)).astype(np.uint8)
    return found[..., 0] if picture.ndim == 2 else found


def asymmetry(points: np.ndarray) -> float:
    """How far the landmarks of the two sides of a face are from each other when one is mirrored onto the other.

    The mirror image is brought onto the face by the similarity of the least squares, so that neither place nor size
    nor a head held aslant counts; the rest is the root mean square over landmarks, in distances of the pupils.

    Args:
        points: `[68, 2]` landmarks.
    """
    face = np.asarray(points, float) @ np.array([1, 1j])
    face = face - face.mean()
    mirrored = face[MIRROR].conj()
    step = (mirrored.conj() @ face) / (mirrored.conj() @ mirrored)
    left, right = pupils(np.asarray(points, float))
    return float(np.sqrt(np.mean(np.abs(face - step * mirrored) ** 2)) / abs(right - left))


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
