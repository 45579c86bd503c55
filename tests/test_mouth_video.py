"""The speaker's mouth: landmarks followed, a mean face aligned, a square cut; crops of the mouth taken as they are."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmark.datasets.talkers.face import Mouth, Talking, View, portrait
from benchmark.datasets.talkers.identity import person
from benchmark.errors import MediaError
from benchmark.media import mouth_video, read_video, write_video
from benchmark.media.mouth_video import (
    MOUTH,
    STABLE,
    LandmarkTrack,
    mouth_places,
    read_landmarks,
    read_mouth_video,
)
from benchmark.media.squares import cut_turned
from benchmark.media.video_cache import VideoCache

RNG = np.random.default_rng(5)
EYES = (0.5, 0.46, 0.2)
"""Of Talkers: the middle between the eyes, x and y, and the distance of the eyes' centres, in parts of the picture."""


@pytest.fixture(autouse=True)
def nothing_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_MOUTHS", "_TRACKS"):
        monkeypatch.setattr(mouth_video, name, VideoCache(mouth_video.CACHE_BYTES))


@pytest.fixture(scope="module")
def face() -> np.ndarray:
    return portrait(person(20_001), View(), 200).image


def scene(face: np.ndarray, left: int, top: int, shape: tuple[int, int] = (288, 360)) -> np.ndarray:
    picture = np.full((*shape, 3), 225, np.uint8)
    picture[top : top + len(face), left : left + len(face)] = face
    return picture


def film(path: Path, pictures: list[np.ndarray] | np.ndarray, fps: float = 25) -> Path:
    write_video(path, np.asarray(pictures), fps)
    return path


# ---- finding


@pytest.mark.parametrize(("left", "top", "side"), [(100, 40, 200), (30, 60, 150), (0, 0, 112)])
def test_landmarks_are_where_the_face_was_drawn(tmp_path, face, left: int, top: int, side: int) -> None:
    small = np.asarray(Image.fromarray(face).resize((side, side), Image.Resampling.BOX))
    shape = (112, 112) if side == 112 else (288, 360)
    track = read_landmarks(film(tmp_path / "a.mkv", [scene(small, left, top, shape)] * 6))
    assert track.points.shape == (6, 68, 2) and track.size == shape
    eyes = track.points[:, 36:42].mean((0, 1)), track.points[:, 42:48].mean((0, 1))
    middle = (eyes[0] + eyes[1]) / 2
    np.testing.assert_allclose(middle, [left + EYES[0] * side, top + EYES[1] * side], atol=0.04 * side)
    assert eyes[1][0] - eyes[0][0] == pytest.approx(EYES[2] * side, rel=0.12)


@pytest.mark.parametrize(("scale", "degrees"), [(0.75, 0), (1.3, 12), (1.0, -15)])
def test_a_face_gives_one_crop_however_large_it_is_and_however_it_is_tilted(tmp_path, face, scale, degrees) -> None:
    plain = Image.fromarray(scene(face, 80, 44))
    turn = np.exp(1j * math.radians(degrees)) / scale
    centre = complex(180, 144)
    corner = centre - turn * centre
    matrix = (turn.real, -turn.imag, corner.real, turn.imag, turn.real, corner.imag)
    moved = plain.transform(plain.size, Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC, fillcolor=(225,) * 3)
    a, b = (
        read_mouth_video(film(tmp_path / f"{name}.mkv", [np.asarray(picture)] * 3)).frames[1].astype(float)
        for name, picture in (("a", plain), ("b", moved))
    )
    # dlib's landmarks differ by a few pixels of the crop: at the best of small shifts the pictures are nearly the same
    inner = b[16:80, 16:80]
    likeness = [
        np.corrcoef(a[y : y + 64, x : x + 64].ravel(), inner.ravel())[0, 1]
        for y in range(13, 20)
        for x in range(13, 20)
    ]
    assert max(likeness) > 0.93


def test_lips_move_in_the_crop_and_nothing_else_does(tmp_path) -> None:
    talking = Talking(person(20_001), View(), 112)
    shown = [talking.frame(Mouth(open=0.5 + 0.5 * math.sin(k))) for k in range(24)]
    changes = read_mouth_video(film(tmp_path / "a.mp4", shown)).frames.astype(float).std(axis=0)
    assert changes[40:62, 32:64].mean() > 4 * changes[:16].mean()


def test_frames_come_at_25_a_second(tmp_path, face) -> None:
    path = film(tmp_path / "a.mkv", [scene(face, 80 + k, 44) for k in range(24)], fps=50)
    assert read_mouth_video(path).frames.shape == (12, 96, 96)
    np.testing.assert_array_equal(read_landmarks(path).pictures, np.arange(0, 24, 2))


def test_frames_without_a_face_are_counted_and_cut_in_between(tmp_path, face) -> None:
    """Looks at frames 0, 9, 18, 27, 36 (three a second): the face is away in that of frame 18."""
    with_face, away = scene(face, 80, 44), np.full((288, 360, 3), 225, np.uint8)
    path = film(tmp_path / "a.mkv", [with_face] * 14 + [away] * 9 + [with_face] * 17)
    video, track = read_mouth_video(path), read_landmarks(path)
    lost = np.isnan(track.points[:, 0, 0])
    np.testing.assert_array_equal(np.flatnonzero(lost), np.arange(14, 23))
    assert video.without_face == 9 and len(video.frames) == 40
    assert video.frames[18].std() < 1 < video.frames[30].std()
    assert np.isfinite(mouth_places(track)).all()


def test_a_video_without_any_face_is_taken_for_a_crop_of_one(tmp_path) -> None:
    pattern = RNG.integers(100, 140, (7, 7)).repeat(16, 0).repeat(16, 1).astype(np.uint8)
    video = read_mouth_video(film(tmp_path / "a.mkv", [pattern] * 5))
    assert video.without_face == 5
    step = 0.2 * 112 / mouth_video.EYES_APART
    expected = cut_turned(pattern, complex(56, 0.46 * 112 + step * mouth_video.MOUTH_Y), step, 96)
    np.testing.assert_allclose(video.frames[0], expected, atol=2)


# ---- crops that are there already


@pytest.mark.parametrize("side", [96, 88])
def test_a_crop_of_the_mouth_is_taken_as_it_is(tmp_path, side: int) -> None:
    path = film(tmp_path / "a.mkv", RNG.integers(0, 256, (6, side, side), np.uint8))
    video, edge = read_mouth_video(path), (96 - side) // 2
    expected = read_video(path, 25, None, "luma")
    assert video.frames.shape == (6, 96, 96) and video.without_face == 0
    np.testing.assert_array_equal(video.frames[:, edge : 96 - edge, edge : 96 - edge], expected)
    np.testing.assert_array_equal(video.frames[:, :, 0], video.frames[:, :, edge])


# ---- alignment


def published(points: np.ndarray) -> np.ndarray:
    """Landmarks smoothed over 12 frames about the place of the stable ones, frame by frame."""
    smooth = []
    for k in range(len(points)):
        half = min(6, k, len(points) - 1 - k)
        about = points[k - half : k + half + 1]
        places = about[:, list(STABLE)].mean(1, keepdims=True)
        smooth.append((about - places).mean(0) + points[k, list(STABLE)].mean(0))
    return np.array(smooth)


def test_places_are_those_of_a_similarity_by_least_squares_on_smoothed_landmarks() -> None:
    points = RNG.normal(0, 20, (68, 2)) + RNG.normal(0, 3, (20, 68, 2)) + 200
    points[:, list(STABLE)] = 1.5 * np.array(list(STABLE.values())) + RNG.normal(0, 2, (20, 5, 2)) + 180
    found = mouth_places(LandmarkTrack(points.astype(np.float32), np.arange(20), (400, 400)))
    smooth = published(points)
    mean_face = np.array(list(STABLE.values()))
    for k in range(20):
        # a, b, x, y of  (a u - b v + x,  b u + a v + y)
        u, v, one, zero = mean_face[:, 0], mean_face[:, 1], np.ones(5), np.zeros(5)
        system = np.concatenate([np.stack([u, -v, one, zero], 1), np.stack([v, u, zero, one], 1)])
        a, b, *_ = np.linalg.lstsq(system, smooth[k, list(STABLE)].T.ravel(), rcond=None)[0]
        assert found[k, 1] == pytest.approx(complex(a, b), abs=1e-4)
        assert found[k, 0] == pytest.approx(complex(*smooth[k, MOUTH].mean(0)), abs=1e-3)


# ---- reading


def test_a_file_is_read_once_while_it_stays_the_same(tmp_path) -> None:
    path = film(tmp_path / "a.mkv", np.full((4, 96, 96), 50, np.uint8))
    first = read_mouth_video(path)
    assert read_mouth_video(str(path)) is first
    with pytest.raises(ValueError, match="read-only"):
        first.frames[0] = 0
    film(path, np.full((4, 96, 96), 90, np.uint8))
    os.utime(path, ns=(1, 1))
    assert read_mouth_video(path).frames.mean() == pytest.approx(90, abs=1)


def test_a_broken_file_is_an_error_of_that_file(tmp_path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no video")
    with pytest.raises(MediaError, match=r"a\.mp4"):
        read_mouth_video(tmp_path / "a.mp4")


def test_grid_speakers_have_mouths(realdata) -> None:
    for path in sorted(realdata.glob("grid/*.mpg"))[:3]:
        video = read_mouth_video(path)
        assert video.frames.shape == (75, 96, 96) and video.without_face == 0
        changes = video.frames.astype(float).std(axis=0)
        assert changes[40:60, 30:66].mean() > 1.3 * changes[:12].mean()
