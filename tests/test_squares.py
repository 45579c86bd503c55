"""Squares cut out of pictures: means over areas, interpolation, and edges that go on outside."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage

from benchmark.media.squares import cut_square, cut_turned

RNG = np.random.default_rng(11)


def test_a_square_is_averaged_by_area() -> None:
    picture = RNG.integers(0, 256, (400, 500), dtype=np.uint8)
    blocks = picture[10:234, 20:244].reshape(112, 2, 112, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(cut_square(picture, 20, 10, 224, 112), blocks, atol=0.501)
    doubled = np.kron(picture, np.ones((2, 2)))  # pixels of half the size: 1.5 of the picture's are 3 of these
    blocks = doubled[7:343, 41:377].reshape(112, 3, 112, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(cut_square(picture, 20.5, 3.5, 168, 112), blocks, atol=0.501)
    assert np.array_equal(cut_square(picture, 3, 4, 112, 112), picture[4:116, 3:115])


@pytest.mark.parametrize(("left", "top"), [(-50, -31), (40, -60), (30, 20), (-120, -100), (180, 140)])
def test_edges_go_on_outside_the_picture(left: int, top: int) -> None:
    picture = RNG.integers(0, 256, (150, 200), dtype=np.uint8)
    inside = np.pad(picture, 300, mode="edge")[300 + top : 524 + top, 300 + left : 524 + left]
    blocks = inside.reshape(112, 2, 112, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(cut_square(picture, left, top, 224, 112), blocks, atol=0.501)


def test_a_small_square_is_interpolated_linearly() -> None:
    picture = RNG.integers(0, 256, (60, 70), dtype=np.uint8)
    at = np.arange(112) * 0.5 + 0.25 - 0.5
    expected = scipy.ndimage.map_coordinates(
        picture.astype(float), np.meshgrid(at + 2, at + 9, indexing="ij"), order=1, mode="nearest"
    )
    np.testing.assert_allclose(cut_square(picture, 9, 2, 56, 112), expected, atol=0.51)


@pytest.mark.parametrize("square", [(13.3, 20.7, 150.2), (-40.0, 30.0, 260.0), (100.0, 90.0, 40.5)])
def test_squares_of_any_size_and_in_colour(square: tuple[float, float, float]) -> None:
    picture = RNG.integers(0, 256, (200, 260, 3)).astype(np.uint8)
    crop = cut_square(picture, *square, 112)
    for plane in range(3):
        np.testing.assert_array_equal(crop[..., plane], cut_square(picture[..., plane], *square, 112))
    half = cut_square(picture[..., 0], *square, 56).astype(float)
    if square[2] > 112:  # means of means
        np.testing.assert_allclose(half, crop[..., 0].reshape(56, 2, 56, 2).mean(axis=(1, 3)), atol=1.01)


@pytest.mark.parametrize(
    ("middle", "step"), [(60 + 50j, 0.6 + 0.2j), (5 + 95j, 0.5 - 0.4j), (70 + 40j, 1.0 + 0j), (300 - 40j, 0.3 + 0j)]
)
def test_cutting_interpolates_linearly_and_repeats_the_edges(middle: complex, step: complex) -> None:
    picture = scipy.ndimage.gaussian_filter(RNG.uniform(0, 255, (100, 130)), 2).astype(np.uint8)
    y, x = np.mgrid[:96, :96] + 0.5 - 48
    place = middle + step * (x + 1j * y) - complex(0.5, 0.5)
    expected = scipy.ndimage.map_coordinates(picture.astype(float), [place.imag, place.real], order=1, mode="nearest")
    np.testing.assert_allclose(cut_turned(picture, middle, step, 96).astype(float), expected, atol=1)


def test_a_large_face_is_averaged_before_it_shrinks() -> None:
    stripes = np.tile(np.array([0, 255], np.uint8), (600, 300))
    assert np.abs(cut_turned(stripes, 300 + 300j, 4 + 0j, 96).astype(float) - 127.5).max() <= 1


def test_colours_of_a_turned_square_are_cut_alike() -> None:
    picture = RNG.integers(0, 256, (120, 150, 3)).astype(np.uint8)
    crop = cut_turned(picture, 140 + 20j, 1.7 + 0.6j, 48)  # reaches beyond the picture
    for plane in range(3):
        np.testing.assert_array_equal(crop[..., plane], cut_turned(picture[..., plane], 140 + 20j, 1.7 + 0.6j, 48))
