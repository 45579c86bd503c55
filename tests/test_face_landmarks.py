"""dlib's 68 landmarks in pixels of the picture, and the second detector."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from test_dlib_faces import drawn_face

from benchmark.datasets.talkers.face import View, portrait
from benchmark.datasets.talkers.identity import person
from metrics.networks import face_landmarks
from metrics.networks.dlib_faces import FaceFinder


@pytest.fixture(scope="module")
def landmarks():
    return face_landmarks.load()


@pytest.mark.parametrize("size", [64, 160, 300])
def test_landmarks_come_in_pixels_of_the_picture(landmarks, size):
    found = landmarks.find([drawn_face(size), np.zeros((size, size, 3), np.uint8)])
    assert found.points.shape == (2, 68, 2)
    assert np.isnan(found.points[1]).all() and not found.second.any()
    part = (found.points[0] + 0.5) / size
    assert part[36:42].mean(0) == pytest.approx([0.39, 0.47], abs=0.03)
    assert part[42:48].mean(0) == pytest.approx([0.61, 0.47], abs=0.03)
    assert part[48:].mean(0) == pytest.approx([0.5, 0.755], abs=0.05)


def test_the_second_detector_finds_what_the_first_does_not(monkeypatch):
    drawn = portrait(person(20_003), View(), 128)
    first = face_landmarks.load().find([drawn.image])
    monkeypatch.setattr(FaceFinder, "largest", lambda self, framed: None)
    second = face_landmarks.load().find([drawn.image, np.full((64, 64, 3), 255, np.uint8)])
    assert (first.second.tolist(), second.second.tolist()) == ([False], [True, False])
    assert np.isnan(second.points[1]).all()
    eyes = np.linalg.norm(drawn.landmarks[42:48].mean(0) - drawn.landmarks[36:42].mean(0))
    for found in (first, second):
        assert np.linalg.norm(found.points[0] - drawn.landmarks, axis=1)[17:].mean() < 0.15 * eyes


def test_what_was_found_is_remembered_and_a_worker_gets_none_of_dlibs_objects(landmarks, monkeypatch):
    before = landmarks.find([drawn_face()]).points
    other = pickle.loads(pickle.dumps(landmarks))
    assert other.find([drawn_face()]).points == pytest.approx(before)
    monkeypatch.setattr(FaceFinder, "largest", lambda self, framed: pytest.fail("looked twice"))
    assert landmarks.find([drawn_face()] * 2).points == pytest.approx(np.concatenate([before] * 2))
    assert landmarks.find([]).points.shape == (0, 68, 2)


def test_a_picture_of_another_kind_is_refused(landmarks):
    with pytest.raises(ValueError, match="expected .H, W, 3. uint8"):
        landmarks.find([np.zeros((64, 64), np.uint8)])
