"""VGGFace score: closed forms, a plain float64 implementation, splits, and bootstrap weights."""

from __future__ import annotations

import numpy as np
import pytest

from metrics.faces.vggface_score import VGGFaceScore, split_scores
from metrics.metric import FaceItem, Failed, Identity


def plain_score(p):
    """exp of the mean divergence, as the formula is written (SF2F, Sec. 5)."""
    p = np.asarray(p, np.float64)
    marginal = p.mean(axis=0)
    divergences = []
    for row in p:
        some = row > 0
        divergences.append((row[some] * (np.log(row[some]) - np.log(marginal[some]))).sum())
    return np.exp(np.mean(divergences))


def some_probabilities(rows, classes, seed=0):
    return np.random.default_rng(seed).dirichlet(np.full(classes, 0.2), rows)


class Table:
    """A classifier that looks its answer up: the first pixel is the number of the row."""

    signature = "table"

    def __init__(self, p):
        self.p, self.classes = np.asarray(p), np.shape(p)[1]

    def probabilities(self, images):
        return np.stack([self.p[int(image[0, 0, 0])] for image in images])


def items(count):
    return [FaceItem(f"p{n}", np.full((2, 2, 3), n, np.uint8)) for n in range(count)]


def measured(p, **options):
    made = VGGFaceScore(Table(p), **options)
    rows = made.measure(items(len(p)))
    return made, {"probabilities": np.stack([row["probabilities"] for row in rows])}


def test_uniform_answers_score_one():
    assert split_scores(np.full((10, 7), 1 / 7), splits=5) == pytest.approx(np.ones((1, 5)))


def test_equal_answers_score_one_however_sure():
    assert split_scores(np.tile([0.9, 0.1, 0.0], (9, 1)), splits=3) == pytest.approx(np.ones((1, 3)))


def test_a_face_for_each_class_scores_the_number_of_classes_in_one_split():
    assert split_scores(np.eye(12), splits=1)[0, 0] == pytest.approx(12)


def test_splits_bound_the_score_by_their_size():
    assert split_scores(np.eye(12), splits=4) == pytest.approx(np.full((1, 4), 3.0))


@pytest.mark.parametrize(("rows", "splits"), [(50, 1), (53, 5), (9, 9)])
def test_equals_the_formula_on_each_split(rows, splits):
    p = some_probabilities(rows, 30)
    order = np.random.default_rng(4).permutation(rows)
    expected = [plain_score(part) for part in np.array_split(p[order], splits)]
    assert split_scores(p, splits=splits, seed=4)[0] == pytest.approx(expected, rel=1e-12)


def test_underflow_and_unnormalised_float32_rows_are_no_trouble():
    logits = np.array([[0.0, -200.0, -800.0], [-900.0, 0.0, -3.0]])
    p = np.exp(logits).astype(np.float32)
    assert np.isfinite(split_scores(p, splits=1)).all()
    assert split_scores(p * 3, splits=1) == pytest.approx(split_scores(p, splits=1))


def test_weights_are_repeats():
    p = some_probabilities(20, 15)
    random = np.random.default_rng(1)
    weights = random.integers(0, 3, (4, 20)).astype(float)
    order = np.random.default_rng(0).permutation(20)
    for scores, draw in zip(split_scores(p, weights, splits=4), weights, strict=True):
        for score, part in zip(scores, np.array_split(order, 4), strict=True):
            repeated = np.repeat(p[part], draw[part].astype(int), axis=0)
            assert score == pytest.approx(plain_score(repeated) if len(repeated) else np.nan, nan_ok=True)


def test_metric_reports_mean_and_population_deviation_over_splits():
    p = some_probabilities(40, 25)
    made, rows = measured(p, splits=5, seed=3)
    reported = made.aggregate(rows, np.ones((1, 40)))
    parts = [plain_score(part) for part in np.array_split(p[np.random.default_rng(3).permutation(40)], 5)]
    assert reported["vggface_score"][0] == pytest.approx(np.mean(parts), rel=1e-6)
    assert reported["vggface_score_split_std"][0] == pytest.approx(np.std(parts), rel=1e-5)
    assert made.reports[0].interval == "smooth"
    assert made.reports[0].bounds == (1.0, 25.0)


def test_draws_that_empty_a_split_use_the_others_and_empty_draws_have_no_value():
    p = some_probabilities(6, 5)
    made, rows = measured(p, splits=3)
    first, second, third = np.array_split(np.random.default_rng(0).permutation(6), 3)
    weights = np.zeros((2, 6))
    weights[0, first] = weights[0, third] = 1
    found = made.aggregate(rows, weights)["vggface_score"]
    assert found[0] == pytest.approx(np.mean([plain_score(p[first]), plain_score(p[third])]), rel=1e-6)
    assert np.isnan(found[1])


def test_fewer_faces_than_splits_are_undefined_not_a_number():
    made, rows = measured(some_probabilities(3, 4), splits=5)
    assert np.isnan(made.aggregate(rows, np.ones((2, 3)))["vggface_score"]).all()
    with pytest.raises(ValueError, match="5 splits, got 3"):
        split_scores(some_probabilities(3, 4), splits=5)


@pytest.mark.parametrize("bad", [np.nan, -0.1])
def test_rows_that_are_no_probabilities_are_refused(bad):
    p = some_probabilities(6, 4)
    p[2, 1] = bad
    with pytest.raises(ValueError, match="expected probabilities"):
        split_scores(p)


def test_signature_pins_what_the_number_depends_on():
    made, _ = measured(some_probabilities(6, 4), splits=2, seed=7)
    made.prepare([Identity("a", []), Identity("b", [])])
    signature = made.signature("vggface_score")
    for part in ("classifier:table", "classes:4", "splits:2", "seed:7", "identities:2"):
        assert part in signature


def test_the_callers_random_state_is_untouched():
    before = np.random.get_state()[1].copy()
    split_scores(some_probabilities(10, 4))
    assert np.array_equal(before, np.random.get_state()[1])


def test_answers_that_are_no_distribution_fail_alone():
    p = np.array([[0.5, 0.5], [np.nan, 0.5], [-0.1, 1.1], [0.0, 0.0], [0.1, 0.9]])
    rows = VGGFaceScore(Table(p), splits=1).measure(items(5))
    none = Failed("the classifier's answer is no distribution: it is negative somewhere, or all zero")
    assert rows[1:4] == [Failed("probabilities came out as NaN or infinity"), none, none]
    np.testing.assert_allclose([row["probabilities"] for row in (rows[0], rows[4])], p[[0, 4]], rtol=1e-6)
