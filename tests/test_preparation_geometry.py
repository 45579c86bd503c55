"""Similarities: pupils at fixed places, two sides of a face laid on each other."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import procrustes

from benchmark.preparation.geometry import (
    ASYMMETRY_PER_DEGREE,
    MIRROR,
    asymmetry,
    cut,
    inside,
    pupils,
    similarity,
)
from metrics.faces import frontal_pose

RNG = np.random.default_rng(3)


def as_complex(point: np.ndarray) -> complex:
    return complex(point[0], point[1])


@pytest.mark.parametrize("case", range(5))
def test_two_pupils_determine_the_crop(case: int) -> None:
    """Against the four linear equations of u = a x - b y + c, v = b x + a y + d."""
    left, right = RNG.uniform(0, 500, (2, 2))
    size, apart, height = int(RNG.integers(32, 300)), RNG.uniform(0.1, 0.6), RNG.uniform(0.2, 0.8)
    wanted = [((1 - apart) / 2 * size, height * size), ((1 + apart) / 2 * size, height * size)]
    rows, values = [], []
    for (x, y), (u, v) in zip((left, right), wanted, strict=True):
        rows += [[x, -y, 1, 0], [y, x, 0, 1]]
        values += [u, v]
    a, b, c, d = np.linalg.solve(rows, values)
    place = similarity(as_complex(left), as_complex(right), size, apart, height)
    points = RNG.uniform(-100, 600, (7, 2))
    expected = np.stack([a * points[:, 0] - b * points[:, 1] + c, b * points[:, 0] + a * points[:, 1] + d], axis=1)
    for there, here in ((points, expected), (np.array([left, right]), np.array(wanted))):
        z = place.step * (here @ [1, 1j]) + place.corner
        np.testing.assert_allclose(np.stack([z.real, z.imag], axis=1), there, rtol=1e-9, atol=1e-6)


@pytest.mark.parametrize(("distance", "degrees"), [(60, 0), (60, 25), (25, -40), (130, 10)])
def test_dots_come_to_lie_where_the_similarity_says(distance: float, degrees: float) -> None:
    height, width, size = 300, 400, 128
    half = distance / 2 * np.exp(1j * np.radians(degrees))
    places = [complex(203.3, 148.7) - half, complex(203.3, 148.7) + half]
    rows, columns = np.mgrid[:height, :width] + 0.5
    sigma = max(3.0, distance / 15)
    crops = []
    for at in places:
        dot = 250 * np.exp(-((columns - at.real) ** 2 + (rows - at.imag) ** 2) / (2 * sigma**2))
        picture = np.repeat(np.rint(dot).astype(np.uint8)[..., None], 3, axis=2)
        crops.append(cut(picture, similarity(*places, size, 0.25, 0.45), size)[..., 0].astype(float))
    grid = np.arange(size) + 0.5
    found = [[(crop.sum(axis=axis) @ grid) / crop.sum() for axis in (0, 1)] for crop in crops]
    np.testing.assert_allclose(found, [[0.375 * size, 0.45 * size], [0.625 * size, 0.45 * size]], atol=0.15)


def test_what_lies_outside_the_picture_is_known() -> None:
    place = similarity(10 + 20j, 30 + 20j, 80, 0.25, 0.5)  # one pixel each, corner at (-20, -20)
    seen = inside(place, 80, 40, 50)
    expected = np.zeros((80, 80), bool)
    expected[20:60, 20:70] = True
    np.testing.assert_array_equal(seen, expected)
    picture = RNG.integers(0, 256, (40, 50, 3)).astype(np.uint8)
    np.testing.assert_array_equal(cut(picture, place, 80)[20:60, 20:70], picture)
    np.testing.assert_array_equal(cut(picture, place, 80)[:20, 20:70], np.repeat(picture[:1], 20, axis=0))


def test_mirrored_landmarks_are_those_of_the_mean_face() -> None:
    np.testing.assert_array_equal(MIRROR, frontal_pose.MIRROR)


def test_asymmetry_is_the_procrustes_distance_of_a_face_from_its_mirror_image() -> None:
    face = frontal_pose.MEAN_FACE[:, :2] + RNG.normal(0, 0.05, (68, 2))
    mirrored = face[MIRROR] * [-1, 1]
    _, _, disparity = procrustes(face, mirrored)
    left, right = pupils(face)
    spread = ((face - face.mean(axis=0)) ** 2).sum()
    assert asymmetry(face) == pytest.approx(np.sqrt(disparity * spread / 68) / abs(right - left), rel=1e-9)


def test_place_size_and_tilt_make_no_face_asymmetric() -> None:
    turn = 37 * np.exp(0.4j)
    moved = (frontal_pose.MEAN_FACE[:, :2] @ [1, 1j]) * turn + 100 - 20j
    assert asymmetry(np.stack([moved.real, moved.imag], axis=1)) < 1e-12


@pytest.mark.parametrize("degrees", [1, 3, 5, 10])
def test_asymmetry_grows_with_the_angle_of_a_turned_face(degrees: float) -> None:
    angle = np.radians(degrees)
    turned = frontal_pose.MEAN_FACE @ np.array(
        [[np.cos(angle), 0, -np.sin(angle)], [0, 1, 0], [np.sin(angle), 0, np.cos(angle)]]
    )
    assert asymmetry(turned[:, :2]) / degrees == pytest.approx(ASYMMETRY_PER_DEGREE, rel=0.01)
