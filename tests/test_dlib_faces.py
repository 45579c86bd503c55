"""dlib in torch against dlib itself: descriptors, alignment, detection."""

from __future__ import annotations

import pickle

import dlib
import numpy as np
import pytest
from PIL import Image

from metrics.networks import dlib_faces, dlib_resnet
from metrics.networks.dlib_faces import EYES, DlibFaces, carried_folder, frame


@pytest.fixture(scope="module")
def faces():
    return DlibFaces(carried_folder())


def drawn_face(size=64, shift=(0, 0)):
    """A shaded head that dlib's detector takes for a face, in the framing of an aligned portrait."""
    y, x = np.mgrid[:256, :256] / 256.0 - np.array(shift)[::-1, None, None] / 256
    image = np.full((256, 256, 3), 230.0)

    def paint(cx, cy, rx, ry, colour, soft=0.15):
        distance = ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2
        alpha = np.clip((1 - distance) / soft, 0, 1)[..., None]
        image[:] = image * (1 - alpha) + np.array(colour) * alpha

    paint(0.5, 0.50, 0.31, 0.42, (60, 45, 40))
    paint(0.5, 0.55, 0.27, 0.36, (205, 165, 140), 0.5)
    for cx in (0.39, 0.61):
        paint(cx, 0.41, 0.075, 0.020, (70, 50, 40))
        paint(cx, 0.47, 0.065, 0.045, (140, 100, 85))
        paint(cx, 0.47, 0.050, 0.022, (245, 245, 245))
        paint(cx, 0.47, 0.020, 0.022, (30, 20, 20))
    paint(0.5, 0.58, 0.035, 0.10, (185, 140, 115), 0.8)
    paint(0.5, 0.655, 0.060, 0.018, (120, 80, 70), 0.8)
    paint(0.5, 0.755, 0.095, 0.025, (150, 60, 60))
    picture = Image.fromarray(image.clip(0, 255).astype(np.uint8))
    return np.asarray(picture.resize((size, size), Image.Resampling.LANCZOS))


def test_descriptors_are_those_of_dlib(faces):
    """Random pictures reach the numbers that faces do not; a wrong layer would show in any of them."""
    random = np.random.default_rng(0)
    chips = [faces.chip(drawn_face())[0], faces.chip(drawn_face(200, (6, -4)))[0]]
    chips += [random.integers(0, 256, (150, 150, 3), dtype=np.uint8) for _ in range(2)]
    chips += [np.full((150, 150, 3), 255, np.uint8), np.zeros((150, 150, 3), np.uint8)]
    oracle = dlib.face_recognition_model_v1(str(carried_folder() / dlib_faces._RESNET))
    expected = np.array([oracle.compute_face_descriptor(chip) for chip in chips])
    found = faces.describe(np.stack(chips))
    assert np.abs(found - expected).max() < 1e-5
    assert np.abs(expected).max() > 0.1


def test_descriptors_of_real_faces_are_those_of_dlib(faces, realdata):
    files = sorted((realdata / "faces_orl").glob("s*/1.pgm"))[:10]
    images = [np.asarray(Image.open(file).convert("RGB")) for file in files]
    chips = [faces.chip(image)[0] for image in images]
    oracle = dlib.face_recognition_model_v1(str(carried_folder() / dlib_faces._RESNET))
    expected = np.array([oracle.compute_face_descriptor(chip) for chip in chips])
    assert np.abs(faces.describe(np.stack(chips)) - expected).max() < 1e-5
    assert faces.embed(images).detected.all()


def test_pictures_of_one_person_lie_closer_than_those_of_two(faces, realdata):
    people = [sorted((realdata / "faces_orl" / f"s{n}").glob("*.pgm"))[:3] for n in range(1, 13)]
    images = [np.asarray(Image.open(file).convert("RGB").resize((64, 78))) for files in people for file in files]
    vectors = faces.embed(images).vectors
    similarity, person = vectors @ vectors.T, np.repeat(np.arange(12), 3)
    same = (person[:, None] == person) & ~np.eye(36, dtype=bool)
    assert similarity[same].min() > similarity[person[:, None] != person].mean() + 0.03


def test_the_network_has_the_size_of_dlibs():
    """dlib calls it a ResNet of 29 convolutions; each has its biases, and one matrix has none."""
    network = dlib_resnet.DlibResNet()
    convolutions = [m for m in network.modules() if m.__class__.__name__ == "Conv2d"]
    assert len(convolutions) == 29
    assert sum(p.numel() for p in network.parameters()) == 5_607_488


def test_embeddings_are_unit_vectors_in_order_whatever_the_batch(faces):
    images = [drawn_face(64), drawn_face(100, (4, 2)), np.zeros((80, 60, 3), np.uint8)]
    found = faces.embed(images)
    assert found.vectors.shape == (3, 128) and found.vectors.dtype == np.float32
    assert np.linalg.norm(found.vectors, axis=1) == pytest.approx(np.ones(3), abs=1e-6)
    assert found.detected.tolist() == [True, True, False]
    for number, image in enumerate(images):
        assert faces.embed([image]).vectors[0] == pytest.approx(found.vectors[number], abs=1e-5)
    assert faces.embed([]).vectors.shape == (0, 128)


def test_a_face_keeps_its_descriptor_where_it_moves_in_the_picture(faces):
    """Alignment at work: a shift of the face moves the descriptor less than a change of the face does."""
    still, moved = drawn_face(128), drawn_face(128, (14, 10))
    other = drawn_face(128).copy()
    other[80:, :] = other[80:, :] // 2
    vectors = faces.embed([still, moved, other]).vectors
    assert vectors[0] @ vectors[1] > max(0.97, vectors[0] @ vectors[2])


def test_detection_agrees_with_embedding_and_finds_no_face_in_noise(faces):
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    images = [drawn_face(), noise, drawn_face(400)]
    assert faces.detect(images).tolist() == [True, False, True]
    assert faces.embed(images).detected.tolist() == [True, False, True]


def test_without_a_face_the_eyes_are_assumed_at_their_stated_place(faces):
    """Two dots at the assumed pupils come to lie where dlib's mean shape has the eyes."""
    image = np.full((64, 64, 3), 128, np.uint8)
    for x, colour in ((EYES[0], (255, 0, 0)), (EYES[1], (0, 255, 0))):
        column, row = round(x * 64), round(EYES[2] * 64)
        image[row - 1 : row + 1, column - 1 : column + 1] = colour
    chip, detected = faces.chip(image)
    assert not detected
    for channel, eye in ((0, [2, 3]), (1, [0, 1])):
        bright = (chip[..., channel].astype(int) - chip[..., 1 - channel]) > 60
        rows, columns = np.nonzero(bright)
        expected = (dlib_faces._MEAN_SHAPE[eye].mean(0) + 0.25) / 1.5 * 150
        assert [columns.mean(), rows.mean()] == pytest.approx(expected, abs=3)


def test_small_pictures_are_enlarged_and_large_ones_left():
    assert frame(np.zeros((64, 80, 3), np.uint8)).pixels.shape == (160 + 48, 200 + 48, 3)
    assert frame(np.zeros((300, 200, 3), np.uint8)).scale == 1.0


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((64, 64, 1), np.uint8),
        np.zeros((64, 64), np.uint8),
        np.zeros((64, 64, 3)),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_other_pictures_are_refused_by_number(faces, image):
    with pytest.raises(ValueError, match="Picture 1: expected \\[H, W, 3\\] uint8 RGB"):
        faces.embed([drawn_face(), image])


def test_a_pickled_embedder_is_the_same_embedder(faces):
    copy = pickle.loads(pickle.dumps(dlib_faces.load()))
    assert np.array_equal(copy.embed([drawn_face()]).vectors, faces.embed([drawn_face()]).vectors)
    assert copy.detect([drawn_face()]).tolist() == [True]


def test_a_file_that_is_another_network_is_refused(tmp_path):
    path = tmp_path / dlib_faces._RESNET
    path.write_bytes((carried_folder() / dlib_faces._RESNET).read_bytes()[:1_000_000])
    with pytest.raises(ValueError, match="expected dlib's face-recognition ResNet"):
        dlib_resnet.load(path)
    with pytest.raises(FileNotFoundError, match=r"shape_predictor_5"):
        (tmp_path / dlib_faces._RESNET).write_bytes((carried_folder() / dlib_faces._RESNET).read_bytes())
        DlibFaces(tmp_path)
