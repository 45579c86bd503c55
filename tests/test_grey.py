"""Grey pictures as OpenCV makes them, and who is given them."""

from pathlib import Path

import numpy as np
import pytest

from baselines.avdiffuss.method import AVDiffuSS
from baselines.flowavse.method import FlowAVSE
from benchmark.configuration import Presets, resolve
from benchmark.media import opencv_grey, read_video, write_audio, write_video
from benchmark.media.face_video import read_face_video
from benchmark.tasks import AV_ENHANCEMENT
from benchmark.types import Audio

ROOT = Path(__file__).parents[1] / "baselines"


def test_grey_is_that_of_opencv():
    # What cv2.cvtColor(..., cv2.COLOR_BGR2GRAY) of OpenCV 5.0.0 gives; the last four are not the nearest whole numbers.
    known = {
        (255, 0, 0): 76,
        (0, 255, 0): 150,
        (0, 0, 255): 29,
        (255, 255, 255): 255,
        (1, 1, 1): 1,
        (0, 0, 0): 0,
        (228, 205, 35): 193,
        (195, 32, 65): 85,
        (12, 103, 118): 77,
        (64, 6, 253): 51,
    }
    assert opencv_grey(np.array(list(known), np.uint8)).tolist() == list(known.values())
    colours = np.stack(np.meshgrid(*[np.arange(0, 256, 5, dtype=np.uint8)] * 3), axis=-1)
    exact = colours @ np.array([0.299, 0.587, 0.114])
    found = opencv_grey(colours)
    assert found.dtype == np.uint8 and found.shape == exact.shape and np.abs(found - exact).max() < 0.51


@pytest.fixture
def coloured(tmp_path: Path) -> Path:
    """Coloured pictures of twice the face's size; MP4 keeps its colours as luma and chroma."""
    random = np.random.default_rng(0)
    small = random.integers(0, 256, (5, 14, 14, 3), dtype=np.uint8)
    write_video(tmp_path / "a.mp4", small.repeat(16, axis=1).repeat(16, axis=2), 25)
    return tmp_path / "a.mp4"


def test_a_video_is_turned_grey_from_its_colours_and_then_scaled(coloured: Path):
    weighed = np.rint(read_video(coloured) @ np.array([0.299, 0.587, 0.114]))
    halved = weighed.reshape(5, 112, 2, 112, 2).mean(axis=(2, 4))
    found = read_face_video(coloured, grey="opencv").frames
    assert found.shape == (5, 112, 112) and np.abs(found - halved).max() <= 1
    luma = read_face_video(coloured).frames
    assert np.array_equal(luma, read_video(coloured, size=(112, 112), grey=True))
    assert np.abs(luma - halved).mean() > 0.5  # which tells the two apart
    cropped = [read_face_video(coloured, True, grey).frames.astype(int) for grey in ("luma", "opencv")]
    assert 0 < np.abs(cropped[0] - cropped[1]).mean() < 3


@pytest.mark.parametrize("kind", [FlowAVSE, AVDiffuSS])
def test_the_official_code_is_given_grey_of_opencv_and_the_shipped_weights_what_they_know(kind, coloured: Path):
    write_audio(coloured.with_suffix(".wav"), Audio(np.full(3200, 0.1, np.float32), 16_000))
    given = {}
    for preset in ("official", "talkers"):
        settings = resolve(kind.Config, Presets.beside(ROOT / kind.name), preset)
        method = kind(settings.config)
        given[preset] = AV_ENHANCEMENT.read(coloured.with_suffix(".wav"), coloured, method.grey)["video"].frames
    for preset, grey in (("official", "opencv"), ("talkers", "luma")):
        assert np.array_equal(given[preset], read_face_video(coloured, True, grey).frames)
    assert not np.array_equal(given["official"], given["talkers"])
