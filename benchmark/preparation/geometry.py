"""Where a picture's pixels go: similarities that bring pupils to fixed places, and how far a face is turned aside.

Places are those of `benchmark.media.squares`: in pixels, x to the right and y down.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from benchmark.media.squares import cut_turned

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
    """Cut a crop out of a picture: `[H, W, 3]` uint8 -> `[size, size, 3]` uint8, by `benchmark.media.squares`."""
    return cut_turned(picture, place.corner + place.step * complex(size, size) / 2, place.step, size)


def inside(place: Similarity, size: int, height: int, width: int) -> np.ndarray:
    """Which pixels of a crop show the picture, not its repeated edge, by their centres: `[size, size]` bool."""
    across = np.arange(size) + 0.5
    seen = place.step * (across[None] + 1j * across[:, None]) + place.corner
    return (seen.real >= 0) & (seen.real < width) & (seen.imag >= 0) & (seen.imag < height)


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
