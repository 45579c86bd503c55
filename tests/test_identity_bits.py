"""Bits that ranks tell, against closed forms and simulation."""

from __future__ import annotations

import numpy as np
import pytest

from metrics.faces.identity_bits import IdentityBits, octave_shares, octaves, rank_bits
from metrics.metric import FaceItem, Failed, Identity, Undefined
from metrics.networks.face_embedder import Embeddings, normalise_rows


class Toy:
    """Looks at the first pixel alone: an angle."""

    name, dim, signature = "toy", 2, "toy"

    def embed(self, images) -> Embeddings:
        angle = np.array([image[0, 0, 0] for image in images]) * (np.pi / 300)
        return Embeddings(normalise_rows(np.stack([np.cos(angle), np.sin(angle)], axis=1)), np.ones(len(images), bool))


def face(angle: int) -> np.ndarray:
    return np.full((2, 2, 3), angle, np.uint8)


def bits(ranks, size: int, people=None, ties=0.0) -> float:
    ranks = np.asarray(ranks, float)
    people = np.arange(len(ranks)) if people is None else np.asarray(people)
    shares = octave_shares(ranks, np.full(len(ranks), ties), size)
    return float(rank_bits(shares, people, size, np.ones((1, len(ranks))))[0])


@pytest.mark.parametrize("size", [2, 7, 8, 100, 1000])
def test_octaves_hold_each_rank_once(size):
    shares = octave_shares(np.arange(size), np.zeros(size), size)
    assert set(np.unique(shares)) == {0.0, 1.0} and (shares.sum(axis=1) == 1).all()
    assert shares.sum(axis=0).tolist() == np.diff(octaves(size)).tolist()
    assert octave_shares(np.zeros(1), np.full(1, size - 1.0), size)[0] == pytest.approx(np.diff(octaves(size)) / size)


@pytest.mark.parametrize("size", [5, 100, 1000])
def test_perfect_ranks_tell_log2_of_the_gallery_and_ties_nothing(size):
    assert bits(np.zeros(20), size) == pytest.approx(np.log2(size))
    assert bits(np.zeros(20), size, ties=size - 1) == pytest.approx(0, abs=1e-12)


def test_the_entropy_is_that_of_the_octaves_less_millers_correction():
    """Of many people with one face each, the correction is Miller's and Madow's, (K - 1) / 2 n, for few as for many."""
    random = np.random.default_rng(0)
    for count in (200, 20_000):
        ranks = np.minimum(random.geometric(0.1, count) - 1, 99)
        octave = np.floor(np.log2(ranks + 1)).astype(int)
        p = np.bincount(octave) / count
        sizes = np.append(2 ** np.arange(6), 37)[: len(p)]
        entropy = -np.sum(p[p > 0] * np.log(p[p > 0])) + p @ np.log(sizes) + ((p > 0).sum() - 1) / (2 * count)
        expected = np.log2(100) - entropy / np.log(2)
        assert bits(ranks, 100) == pytest.approx(expected, abs=0.1 / count)


@pytest.mark.parametrize(("size", "people"), [(20, 30), (100, 30), (100, 100), (1000, 100)])
def test_chance_tells_nothing_however_large_the_gallery(size, people):
    random = np.random.default_rng(1)
    found = [bits(random.integers(0, size, people), size) for _ in range(200)]
    assert np.mean(found) == pytest.approx(0, abs=0.08)
    counted = [np.bincount(random.integers(0, size, people), minlength=size) / people for _ in range(50)]
    histogram = np.mean([np.log2(size) + np.sum(p[p > 0] * np.log2(p[p > 0])) for p in counted])
    assert np.mean(found) < 0.2 * histogram  # what a count of single ranks would say


def test_faces_of_one_person_are_no_more_evidence_than_one():
    random = np.random.default_rng(2)
    ranks = random.integers(0, 50, 12)
    once, often = bits(ranks, 100), bits(np.repeat(ranks, 9), 100, np.repeat(np.arange(12), 9))
    assert often == pytest.approx(once)


def test_weights_are_how_often_a_face_counts():
    random = np.random.default_rng(3)
    people = np.repeat(np.arange(10), 3)
    shares = octave_shares(random.integers(0, 100, 30), random.integers(0, 3, 30), 100)
    weights = np.stack([np.ones(30), random.uniform(size=30), np.zeros(30), (people != 4) * 1.0])
    found = rank_bits(shares, people, 100, weights)
    assert rank_bits(shares, people, 100, 7 * weights) == pytest.approx(found, nan_ok=True)
    assert np.isnan(found).tolist() == [False, False, True, False]
    kept = people != 4
    assert found[3] == pytest.approx(rank_bits(shares[kept], people[kept], 100, np.ones((1, 27)))[0])


def test_faces_are_ranked_in_the_gallery_of_all():
    metric = IdentityBits(Toy())
    with pytest.raises(RuntimeError, match="prepare"):
        metric.measure([FaceItem("a", face(0))])
    metric.prepare([Identity(name, [face(angle)]) for name, angle in (("a", 0), ("b", 100), ("c", 200), ("d", 250))])
    rows = metric.measure([FaceItem("b", face(90)), FaceItem("a", face(240)), FaceItem("who", face(1))])
    assert [row["greater"] for row in rows[:2]] == [0, 3] and isinstance(rows[2], Failed)
    assert metric.reports[0].bounds[1] == 2
    found = metric.aggregate({key: np.array([row[key] for row in rows[:2]]) for key in rows[0]}, np.ones((1, 2)))
    # Half in {1}, half in {4}, of four ranks: one bit, less what two people's luck makes of it.
    assert found["identity_bits"][0] == pytest.approx(0.5 * np.log2(2) + 0.5 * np.log2(2) - 0.5 / np.log(2))
    again = IdentityBits.for_rows(metric.signature("identity_bits"), rows[0].keys())
    assert again.reports == metric.reports
    metric.prepare([Identity("a", [face(0)])])
    assert metric.measure([FaceItem("a", face(0))]) == [Undefined("the gallery holds nobody else")]
