"""Turn landmarks of a face to the front, by fitting a mean 3-D face to them.

The mean face is a rigid body seen from afar (weak perspective): landmarks `p = s R2 X + t` with the first two rows R2
of a rotation R. With the pose of the least squares each landmark keeps the mean face's depth z and is moved to where
it would lie in a face that looks at the camera: `R2 (x, y, z) = (p - t) / s`, solved for x and y. The face itself stays
what it is; only the depth is the mean face's. The scale is then taken out by the distance of the eyes, not by the s of
the fit, in which a broad jaw counts as a near face.

A face that is symmetric gives yaw and roll away by itself. Pitch moves a nose as a longer one would lie: part of what
differs between faces goes into it.

The least squares is a projection Procrustes problem: fill in the unseen third coordinate and rotate onto it, in turn,
which never increases the sum of squares (Gower & Dijksterhuis, Procrustes Problems, 2004; Green and Gower's way).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

ITERATIONS = 40
_HALF = {
    # outline, from the chin up
    8: (0, 1.72, -0.24),
    9: (0.29, 1.68, -0.33),
    10: (0.54, 1.53, -0.56),
    11: (0.76, 1.35, -0.75),
    12: (0.92, 1.12, -0.91),
    13: (1.01, 0.86, -1.00),
    14: (1.07, 0.59, -1.03),
    15: (1.10, 0.31, -1.05),
    16: (1.12, 0.03, -1.09),
    # brow, from within
    22: (0.18, -0.24, 0.41),
    23: (0.38, -0.31, 0.33),
    24: (0.59, -0.33, 0.21),
    25: (0.80, -0.29, 0.03),
    26: (0.93, -0.15, -0.19),
    # bridge and tip of the nose
    27: (0, -0.05, 0.39),
    28: (0, 0.13, 0.52),
    29: (0, 0.30, 0.66),
    30: (0, 0.49, 0.80),
    # base of the nose
    33: (0, 0.70, 0.49),
    34: (0.12, 0.67, 0.44),
    35: (0.23, 0.63, 0.36),
    # eye: inner corner, upper lid, outer corner, lower lid
    42: (0.30, 0.02, 0.03),
    43: (0.43, -0.06, 0.03),
    44: (0.57, -0.06, 0),
    45: (0.69, 0.01, -0.08),
    46: (0.58, 0.05, 0),
    47: (0.43, 0.05, 0.03),
    # outer lips
    51: (0, 0.92, 0.29),
    52: (0.12, 0.89, 0.28),
    53: (0.27, 0.93, 0.12),
    54: (0.44, 0.99, -0.15),
    55: (0.28, 1.11, 0.06),
    56: (0.12, 1.17, 0.20),
    57: (0, 1.18, 0.22),
    # inner lips
    62: (0, 0.99, 0.25),
    63: (0.12, 0.98, 0.22),
    64: (0.37, 0.99, -0.11),
    65: (0.12, 1.03, 0.20),
    66: (0, 1.05, 0.22),
}
"""Half of the mean face: x to the right of the picture, y down, z towards the viewer, from between the eyes; 1 is the
distance of the eyes."""
MIRROR = np.array(
    [
        *range(16, -1, -1),
        *range(26, 16, -1),
        *(27, 28, 29, 30, 35, 34, 33, 32, 31),
        *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),
        *(54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55),
        *(64, 63, 62, 61, 60, 67, 66, 65),
    ]
)
"""`[68]`, number of each landmark's mirror image."""
MEAN_FACE = np.array([_HALF[n] if n in _HALF else np.multiply(_HALF[MIRROR[n]], (-1, 1, 1)) for n in range(68)])
"""`[68, 3]`, symmetric. x and y: mean of dlib's landmarks on 399 photographs of 40 people (AT&T/ORL), mirrored too. z:
factorised from the same landmarks, times a factor, which nearly frontal pictures leave open (the
bas-relief ambiguity; Belhumeur, Kriegman & Yuille, IJCV 35 (1999) 33-44):
the nose stands 0.31 out from its base, as 20 mm do to 63 mm between pupils (Farkas's nose protrusion and interpupillary
distance of adults)."""


class Pose(NamedTuple):
    """How N faces are turned, and where and how large they are in their pictures."""

    rotation: np.ndarray
    """`[N, 3, 3]`, of the mean face."""
    scale: np.ndarray
    """`[N]`, pixels in a distance of the mean face's eyes."""
    centre: np.ndarray
    """`[N, 2]`, pixels; mean of the landmarks."""


def fitted_pose(points: np.ndarray, face: np.ndarray = MEAN_FACE) -> Pose:
    """Weak-perspective pose of a face by least squares.

    Args:
        points: `[N, 68, 2]`, x and y down, in pixels.
        face: `[68, 3]`, by default the mean face.
    """
    points = np.asarray(points, np.float64)
    centre = points.mean(axis=1)
    seen, body = points - centre[:, None], face - face.mean(axis=0)
    turned = np.broadcast_to(body, (len(points), 68, 3))
    rotation = np.broadcast_to(np.eye(3), (len(points), 3, 3))
    scale = np.ones(len(points))
    for _ in range(ITERATIONS):
        flat = turned[..., :2]
        scale = _ratio((flat * seen).sum(axis=(1, 2)), (flat**2).sum(axis=(1, 2)))
        # The rotation that best carries the body onto what is seen, with the depth that it has now.
        across = np.concatenate([_ratio(seen, scale[:, None, None]), turned[..., 2:]], axis=2).transpose(0, 2, 1) @ body
        u, _, v = np.linalg.svd(across)
        u[..., 2] *= np.linalg.det(u @ v)[:, None]
        rotation = u @ v
        turned = body @ rotation.transpose(0, 2, 1)
    return Pose(rotation, scale, centre)


def turned_to_front(points: np.ndarray) -> np.ndarray:
    """Landmarks of faces as they would lie if each looked at the camera, in distances of its eyes.

    Shape:
        `[N, 68, 2]` in pixels -> `[N, 68, 2]` from the middle of the landmarks; NaN where points are, or all are one
    """
    points = np.asarray(points, np.float64)
    known = np.isfinite(points).all(axis=(1, 2)) & (np.ptp(points, axis=1) > 0).all(axis=1)
    front = np.full(points.shape, np.nan)
    if known.any():
        pose = fitted_pose(points[known])
        depth = (MEAN_FACE - MEAN_FACE.mean(axis=0))[:, 2]
        seen = (points[known] - pose.centre[:, None]) / pose.scale[:, None, None]
        flat = seen - pose.rotation[:, None, :2, 2] * depth[:, None]
        front[known] = flat @ np.linalg.inv(pose.rotation[:, :2, :2]).transpose(0, 2, 1)
    return _ratio(front, eye_distance(front)[:, None, None])


def eye_distance(points: np.ndarray) -> np.ndarray:
    """From the middle of one eye's six landmarks to the other's, `[N, 68, 2]` -> `[N]`."""
    return np.linalg.norm(points[:, 42:48].mean(axis=1) - points[:, 36:42].mean(axis=1), axis=1)


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.full(np.broadcast(above, below).shape, np.nan), where=below > 0)
