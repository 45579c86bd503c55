"""Measures of faces and their correlations, against hand-placed landmarks, known poses and scipy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation
from scipy.stats import pearsonr

from benchmark.datasets.talkers.face import View, views
from benchmark.datasets.talkers.face_curves import landmarks as true_landmarks
from benchmark.datasets.talkers.face_geometry import Camera, head
from benchmark.datasets.talkers.identity import Person, person
from metrics.faces.correlation import no_correlation_p, weighted_pearson
from metrics.faces.craniofacial import MEASURES, RANDOM_PAIRS, Craniofacial, measured, number_of
from metrics.faces.frontal_pose import MEAN_FACE, MIRROR, eye_distance, fitted_pose, turned_to_front
from metrics.metric import FaceItem, Failed, Identity, Undefined
from metrics.networks.face_landmarks import Landmarks

NAMES = list(MEASURES)


class Toy:
    """Reads landmarks out of pictures: the mean face, its nose as broad as red says; black pictures hold no face."""

    signature = "landmarks:toy"

    def find(self, images) -> Landmarks:
        points = np.repeat(MEAN_FACE[None, :, :2], len(images), axis=0)
        for row, image in enumerate(images):
            points[row, [31, 35], 0] *= image[0, 0, 0] / 100
            points[row] += 0.001 * float(image[0, 0, 1]) * np.sin(np.arange(136)).reshape(68, 2)
            if not image.any():
                points[row] = np.nan
        return Landmarks((100 * points + 200).astype(np.float32), np.zeros(len(images), bool))


def picture(nose: int, other: int = 0) -> np.ndarray:
    return np.full((4, 4, 3), (nose, other, 1 if nose else 0), np.uint8)


def seen(points: np.ndarray, rotation: Rotation, scale: float, shift) -> np.ndarray:
    """Points `[68, 3]` of a face from afar."""
    return scale * rotation.apply(points)[:, :2] + shift


def stacked(rows) -> dict[str, np.ndarray]:
    good = [row for row in rows if isinstance(row, dict)]
    return {key: np.array([row[key] for row in good]) for key in good[0]}


def test_the_mean_face_is_symmetric():
    assert (MIRROR[MIRROR] == np.arange(68)).all()
    assert MEAN_FACE[MIRROR] * (-1, 1, 1) == pytest.approx(MEAN_FACE)
    assert eye_distance(MEAN_FACE[None, :, :2])[0] == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(("yaw", "pitch", "roll"), [(0, 0, 0), (25, 0, 0), (0, -18, 0), (-30, 12, 35)])
def test_a_known_pose_is_found_and_taken_away(yaw, pitch, roll):
    rotation = Rotation.from_euler("zxy", [roll, pitch, yaw], degrees=True)
    points = seen(MEAN_FACE, rotation, 37.0, (80, 60))[None]
    pose = fitted_pose(points)
    assert pose.rotation[0] == pytest.approx(rotation.as_matrix(), abs=1e-3)
    assert pose.scale[0] == pytest.approx(37, rel=1e-3)
    flat = MEAN_FACE[:, :2] / eye_distance(MEAN_FACE[None, :, :2])
    assert turned_to_front(points)[0] == pytest.approx(flat - flat.mean(axis=0), abs=2e-3)


def test_the_pose_is_that_of_the_least_squares():
    random = np.random.default_rng(0)
    points = seen(MEAN_FACE, Rotation.from_euler("zxy", [5, 9, -14], degrees=True), 40, (64, 64))
    points = points + random.normal(0, 3, points.shape)

    def errors(x):
        return (seen(MEAN_FACE, Rotation.from_rotvec(x[:3]), x[3], x[4:]) - points).ravel()

    best = least_squares(errors, [0, 0, 0, 30, 64, 64])
    pose = fitted_pose(points[None])
    assert Rotation.from_matrix(pose.rotation[0]).as_rotvec() == pytest.approx(best.x[:3], abs=1e-3)
    assert pose.scale[0] == pytest.approx(best.x[3], rel=1e-4)


def test_a_turned_head_keeps_its_own_measures():
    """Of a nose that is broader than the mean face's; as it lies in the picture it looks narrower."""
    own = MEAN_FACE.copy()
    own[[31, 35], 0] *= 1.3
    own[[5, 11], 0] *= 0.9
    straight = seen(own, Rotation.identity(), 50, (0, 0))[None]
    turned = seen(own, Rotation.from_euler("zxy", [20, 0, 35], degrees=True), 21, (9, -4))[None]
    expected, found = measured(turned_to_front(straight))[0], measured(turned_to_front(turned))[0]
    assert found == pytest.approx(expected, rel=0.025)
    as_it_lies = measured(turned / eye_distance(turned)[:, None, None])[0]
    assert abs(as_it_lies[NAMES.index("nasal_index")] / expected[NAMES.index("nasal_index")] - 1) > 0.08


def test_measures_are_those_of_hand_placed_landmarks():
    points = np.zeros((68, 2))
    placed = {27: (0, 0), 33: (0, 50), 62: (0, 72), 66: (0, 74), 51: (0, 64), 57: (0, 85), 8: (0, 113)}
    placed |= {31: (-17, 48), 35: (17, 48), 32: (-6, 51), 34: (8, 51), 50: (-6, 63), 52: (8, 67)}
    placed |= {48: (-25, 73), 54: (25, 73), 5: (-52, 70), 11: (48, 70), 2: (-70, 30), 14: (70, 30)}
    placed |= {39: (-15, 0), 42: (17, 0), 36: (-45, 0), 45: (35, 0)}
    for number, place in placed.items():
        points[number] = place
    expected = {
        "upper_lip_height": 23,
        "lateral_upper_lip_height": (12 + 16) / 2,
        "jaw_width": 100,
        "nose_height": 50,
        "nose_width": 34,
        "labio_oral_region": 50,
        "mandibular_index": 40 / 100,
        "intercanthal_index": 32 / 80,
        "nasal_index": 34 / 50,
        "vermilion_height_index": 9 / 12,
        "mouth_face_width_index": 50 / 140,
    }
    found = measured(points[None])[0]
    assert dict(zip(NAMES, found.tolist(), strict=True)) == pytest.approx(expected)
    ratios = [name.endswith("index") for name in NAMES]
    assert measured(3 * points[None])[0] == pytest.approx(found * np.where(ratios, 1, 3))
    points[57] = points[62] = points[66]  # a lower lip of no height
    without = measured(points[None])[0]
    assert np.isnan(without).tolist() == [name == "vermilion_height_index" for name in NAMES]


def test_p_of_a_correlation_is_scipys():
    random = np.random.default_rng(1)
    for count in (3, 8, 40):
        x, y = random.normal(size=(2, count))
        expected = pearsonr(x, y)
        r = weighted_pearson(x, y, np.ones((1, count)))
        assert r[0] == pytest.approx(expected.statistic)
        assert no_correlation_p(r, np.array([count]))[0] == pytest.approx(expected.pvalue)
    assert np.isnan(no_correlation_p(np.array([0.3, np.nan]), np.array([2, 9]))).all()
    assert no_correlation_p(np.array([-1.0]), np.array([5]))[0] == 0


def made(random, count: int = 12) -> tuple[list[Identity], list[FaceItem]]:
    noses = random.integers(60, 160, count)
    people = [Identity(f"p{n:02}", [picture(nose, n), picture(nose + 6, 3 * n)]) for n, nose in enumerate(noses)]
    items = [
        FaceItem(f"p{n:02}", picture(int(nose) + random.integers(0, 60), random.integers(200)))
        for n, nose in enumerate(noses)
    ]
    return people, items


def test_correlations_are_those_of_scipy_and_p_counts_people_not_faces():
    people, items = made(np.random.default_rng(2))
    metric = Craniofacial(Toy())
    metric.prepare(people)
    rows = metric.measure(items)
    found = metric.aggregate(stacked(rows), np.ones((1, len(items))))
    faces = metric.measures_of([item.image for item in items])
    true = np.array([metric.measures_of(one.images).mean(axis=0) for one in people])
    for column, name in enumerate(NAMES):
        expected = pearsonr(faces[:, column], true[:, column])
        assert found[number_of(name)][0] == pytest.approx(expected.statistic)
        assert found[f"{number_of(name)}_p"][0] == pytest.approx(expected.pvalue)
    assert set(found) == {report.name for report in metric.reports}
    twice = metric.aggregate(stacked(rows + rows), np.full((1, 2 * len(items)), 0.5))
    assert {name: value[0] for name, value in twice.items()} == pytest.approx({n: v[0] for n, v in found.items()})


def test_random_pairs_hold_each_face_against_another_person():
    people, items = made(np.random.default_rng(3))
    metric = Craniofacial(Toy())
    metric.prepare(people)
    rows = stacked(metric.measure(items))
    assert sorted(rows["other"]) == pytest.approx(sorted(rows["nasal_index_true"]))
    assert (rows["other"] != rows["nasal_index_true"]).all()
    r = metric.aggregate(rows, np.ones((1, len(items))))[RANDOM_PAIRS][0]
    assert r == pytest.approx(pearsonr(rows["nasal_index"], rows["other"]).statistic)
    metric.prepare(people[:1])
    (row,) = metric.measure(items[:1])
    assert np.isnan(row["other"]) and not metric.defined(RANDOM_PAIRS, stacked([row])).any()


def test_faces_that_are_not_found_have_no_value_and_a_reason():
    none = picture(0)
    metric = Craniofacial(Toy())
    with pytest.raises(RuntimeError, match="prepare"):
        metric.measure([FaceItem("a", picture(90))])
    metric.prepare([Identity("a", [picture(120), none]), Identity("b", [none]), Identity("c", [picture(80)])])
    a, b, c, who, seen_as = metric.measure(
        [
            FaceItem("a", none),
            FaceItem("b", picture(90)),
            FaceItem("c", picture(90)),
            FaceItem("who", picture(90)),
            FaceItem("a", picture(120)),
        ]
    )
    assert a == Undefined("no face is found")
    assert b == Undefined("no face is found in any true picture of the speaker")
    assert isinstance(c, dict) and isinstance(who, Failed)
    assert seen_as["nose_width_true"] == pytest.approx(seen_as["nose_width"])  # the picture without a face left out
    with pytest.raises(ValueError, match="'d' has no portrait"):
        metric.prepare([Identity("d", [])])


def test_pictures_of_two_sizes_compare_where_the_pose_is_kept():
    metric = Craniofacial(Toy(), pose="kept")
    wide = np.repeat(picture(100), 2, axis=1)
    small, large = metric.measures_of([picture(100), wide])
    assert small[:6] == pytest.approx(2 * large[:6])
    assert "pose:kept" in metric.signature(number_of("nose_width"))
    assert "pose:removed" in Craniofacial(Toy()).signature(number_of("nose_width"))
    with pytest.raises(ValueError, match="removed or kept"):
        Craniofacial(Toy(), pose="off")


def test_each_number_has_a_signature_of_its_own_kind():
    metric = Craniofacial(Toy())
    kinds = {metric.signature(report.name) for report in metric.reports}
    assert len(kinds) == 2  # correlations and p
    assert all(one.startswith("landmarks:toy|") and one.endswith("|v1") for one in kinds)


def drawn(who: Person, view: View) -> np.ndarray:
    measures = head(who)
    return Camera.of(measures, view, 128).project(true_landmarks(measures, view))


def test_correlations_that_were_drawn_into_faces_come_out():
    """Noses of generated and true faces go together at a known r; heads are turned at random, landmarks are true."""
    random, count, r = np.random.default_rng(4), 400, 0.7
    true = [person(700_000 + number) for number in range(count)]
    noses = random.normal(size=(2, count))
    noses[1] = r * noses[0] + (1 - r**2) ** 0.5 * noses[1]
    sides = []
    for side in noses:
        people = [
            replace(one, sex="f", age=30.0, face=replace(one.face, nose_width=float(nose), eye_spacing=0.0))
            for one, nose in zip(true, side, strict=True)
        ]
        turned = [replace(View(), **{key: getattr(views(one, 2)[1], key) for key in ("yaw", "pitch")}) for one in true]
        random.shuffle(turned)
        sides.append(measured(turned_to_front(np.stack([drawn(*both) for both in zip(people, turned, strict=True)]))))
    found = [pearsonr(sides[0][:, column], sides[1][:, column]).statistic for column in range(len(NAMES))]
    expected = np.corrcoef(noses)[0, 1]
    assert found[NAMES.index("nose_width")] == pytest.approx(expected, abs=0.03)
    assert found[NAMES.index("jaw_width")] > 0.95  # the rest of the face is the same person's


def test_p_is_small_no_oftener_than_it_says_however_many_faces_each_person_has():
    random, metric, found = np.random.default_rng(5), Craniofacial(Toy()), []
    for _ in range(400):
        index = np.repeat(np.arange(12), random.integers(1, 15, 12))
        true, own = random.normal(size=(2, 12))
        rows = {f"{name}_true": true[index] for name in NAMES}
        rows |= {name: own[index] + 0.2 * random.normal(size=len(index)) for name in NAMES}
        rows |= {"person": index.astype(float), "other": true[index]}
        weights = (1 / np.bincount(index))[index][None]
        found.append(metric.aggregate(rows, weights)["craniofacial_nose_width_p"][0])
    assert 0.02 < np.mean(np.array(found) < 0.05) < 0.08
    assert np.mean(found) == pytest.approx(0.5, abs=0.06)
