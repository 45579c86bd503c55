"""Similarity of faces: closed forms, the ROC area as scipy's Mann-Whitney U, and SF2F's identity mean."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from benchmark.results.statistics import with_intervals
from benchmark.runs.scoring import shapes, speaker_values
from metrics.faces.finite import mean_where_finite
from metrics.faces.gallery import identity_means
from metrics.faces.similarity import OTHERS, FaceSimilarity, pairwise_cosine, pairwise_l1, pooled_auc
from metrics.metric import FaceItem, Failed, Identity
from metrics.networks.face_embedder import Embeddings, Remembered, check_image, normalise_rows


class Pixels:
    """Pictures that hold their own descriptor in the first row; counts how many it has seen."""

    name, dim, signature = "pixels", 16, "pixels"

    def __init__(self):
        self.seen = 0

    def embed(self, images):
        self.seen += len(images)
        vectors = np.stack([check_image(image)[0, :16, 0].astype(np.float64) - 127.5 for image in images])
        return Embeddings(normalise_rows(vectors), np.ones(len(images), bool))


def people(count, portraits=3, seed=0):
    random = np.random.default_rng(seed)
    return [
        Identity(f"p{n:04}", [random.integers(0, 256, (2, 16, 3), dtype=np.uint8) for _ in range(portraits)])
        for n in range(count)
    ]


def metric(identities, **options):
    made = FaceSimilarity.create(lambda name: Pixels(), embedder="pixels", **options)
    made.prepare(identities)
    return made


def mann_whitney_auc(positive, negative):
    """The ROC area is U / (n m) of the rank-sum test, with ties counted half."""
    return mannwhitneyu(positive, negative).statistic / (len(positive) * len(negative))


def stacked(rows):
    return {name: np.stack([np.asarray(row[name]) for row in rows]) for name in rows[0]}


def test_cosine_and_l1_by_hand():
    a, b = np.array([[3.0, 4.0], [1.0, 0.0]]), np.array([[4.0, 3.0], [-2.0, 0.0]])
    assert pairwise_cosine(a, b) == pytest.approx([0.96, -1.0])
    assert pairwise_l1(a, b) == pytest.approx([2.0, 3.0])


def test_l1_is_a_sum_on_the_scale_of_the_paper():
    """Unit vectors of 512 numbers with cosine 0.202 lie sqrt(2 (1 - 0.202)) apart, in L1 about 512 * sqrt(2 / pi) times
    the standard deviation of a coordinate: 22.8. SF2F's Table 3 reports 23.46 at that cosine."""
    random = np.random.default_rng(0)
    a = normalise_rows(random.normal(size=(2000, 512)))
    other = random.normal(size=(2000, 512))
    other -= (other * a).sum(1, keepdims=True) * a
    b = 0.202 * a + np.sqrt(1 - 0.202**2) * normalise_rows(other)
    assert pairwise_cosine(a, b).mean() == pytest.approx(0.202, abs=1e-5)
    assert pairwise_l1(a, b).mean() == pytest.approx(512 * np.sqrt(2 / np.pi) * np.sqrt(2 * 0.798 / 512), rel=0.01)


@pytest.mark.parametrize("rounding", [1, 8])
def test_auc_is_the_mann_whitney_statistic_with_and_without_ties_and_weights(rounding):
    random = np.random.default_rng(1)
    matched = random.normal(0.5, 1, 40).round(rounding)
    mismatched = random.normal(0, 1, (40, 25)).round(rounding)
    weights = np.vstack([np.ones(40), random.integers(0, 4, (6, 40))]).astype(int)
    for draw, value in zip(weights, pooled_auc(matched, mismatched, weights), strict=True):
        negative = np.repeat(mismatched, draw, axis=0).ravel()
        assert value == pytest.approx(mann_whitney_auc(np.repeat(matched, draw), negative))


def test_auc_with_weighed_others_is_the_share_of_weighed_triples():
    random = np.random.default_rng(2)
    people, own = 6, np.array([0, 1, 1, 2, 4, 5, 5])  # nobody's face is that of person 3
    matched = random.normal(0.5, 1, len(own)).round(1)
    cosines = random.normal(0, 1, (len(own), people)).round(1)
    others = np.stack([np.delete(row, mine) for row, mine in zip(cosines, own, strict=True)])
    for draw in (np.ones(people), 1 - np.eye(people)[1], np.array([2, 0, 1, 1, 0.5, 3])):
        weights = draw[own] / np.bincount(own, minlength=people)[own]
        above = total = 0.0
        for i, k in itertools.product(range(len(own)), repeat=2):
            held = [(j, 1.0 if j == 3 else draw[j]) for j in range(people) if j != own[k]]
            wins = sum(w * ((matched[i] > cosines[k, j]) + (matched[i] == cosines[k, j]) / 2) for j, w in held)
            above += weights[i] * weights[k] * wins / sum(w for _, w in held)
            total += weights[i] * weights[k]
        assert pooled_auc(matched, others, weights[None], own)[0] == pytest.approx(above / total)


def test_who_is_left_out_of_the_interval_of_auc_is_so_from_the_gallery_too():
    """The value without a speaker is that of a gallery, and of faces, without them."""
    random = np.random.default_rng(3)
    pictures = random.integers(0, 255, (2, 8, 16, 16, 3)).astype(np.uint8)
    identities = [Identity(f"p{n}", [picture]) for n, picture in enumerate(pictures[0])]
    items = [FaceItem(f"p{n}", picture) for n, picture in enumerate(pictures[1] // 2 + pictures[0] // 4)]
    made = metric(identities)
    rows = stacked(made.measure(items))
    values = speaker_values(made, [(np.arange(8), rows)])
    assert made.without_interval("face_auc", rows, 8) == ""
    for left_out in range(8):
        smaller = metric([identity for n, identity in enumerate(identities) if n != left_out])
        rest = stacked(smaller.measure([item for n, item in enumerate(items) if n != left_out]))
        expected = smaller.aggregate(rest, np.ones((1, 7)))["face_auc"]
        found = values(1 - np.eye(8)[[left_out]])["face_auc"]
        assert found == pytest.approx(expected) and 0 < found < 1
    # A gallery of which not all have a face that is judged says nothing of other galleries.
    part = {name: stored[:6] for name, stored in rows.items()}
    assert "gallery" in made.without_interval("face_auc", part, 6)
    assert made.without_interval("face_cosine", part, 6) == "" and "own" not in made.by_speaker(part, np.arange(6), 6)
    found = with_intervals(6, speaker_values(made, [(np.arange(6), part)]), shapes(made, [(np.arange(6), part)], 6))
    assert np.isfinite(found["face_auc"].value) and np.isnan(found["face_auc"].low) and found["face_auc"].why


def test_auc_at_its_ends_and_where_nothing_tells_apart():
    apart = np.array([2.0, 3.0]), np.array([[0.0, 1.0], [1.0, 0.5]])
    assert pooled_auc(*apart)[0] == 1.0
    assert pooled_auc(-apart[0], -apart[1])[0] == 0.0
    assert pooled_auc(np.zeros(3), np.zeros((3, 4)))[0] == 0.5
    assert np.isnan(pooled_auc(apart[0], apart[1], np.zeros((1, 2)))[0])
    assert np.isnan(pooled_auc(apart[0], np.zeros((2, 0)))[0])


def test_identity_mean_is_renormalised_as_in_the_paper_or_left_as_in_the_code():
    identities = people(5)
    embedder = Pixels()
    raw = np.stack([embedder.embed(p.images).vectors.astype(np.float64).mean(0) for p in identities])
    assert identity_means(identities, embedder, renormalise=False).means == pytest.approx(raw, abs=1e-6)
    unit = identity_means(identities, embedder).means
    assert np.linalg.norm(unit, axis=1) == pytest.approx(np.ones(5))
    assert pairwise_cosine(unit, raw) == pytest.approx(np.ones(5))


def test_reports_from_first_principles():
    identities = people(12)
    random = np.random.default_rng(2)
    items = [FaceItem(p.id, random.integers(0, 256, (2, 16, 3), dtype=np.uint8)) for p in identities for _ in range(2)]
    made = metric(identities)
    rows = stacked(made.measure(items))
    reported = made.aggregate(rows, np.ones((1, 24)))
    embedder = Pixels()
    means = normalise_rows(np.stack([embedder.embed(p.images).vectors.mean(0) for p in identities])).astype(np.float64)
    vectors = embedder.embed([item.image for item in items]).vectors.astype(np.float64)
    similarity, own = vectors @ means.T, np.repeat(np.arange(12), 2)
    matched = np.zeros((24, 12), bool)
    matched[np.arange(24), own] = True
    assert reported["face_cosine"][0] == pytest.approx(similarity[matched].mean(), abs=1e-6)
    assert reported["face_cosine_mismatched"][0] == pytest.approx(similarity[~matched].mean(), abs=1e-6)
    assert reported["face_l1"][0] == pytest.approx(np.abs(vectors - means[own]).sum(1).mean(), abs=1e-5)
    assert reported["face_auc"][0] == pytest.approx(mann_whitney_auc(similarity[matched], similarity[~matched]))
    assert set(reported) == {report.name for report in made.reports}


def test_the_official_codes_gallery_changes_l1_and_the_signature_but_no_cosine():
    identities = people(6)
    items = [FaceItem(p.id, p.images[0]) for p in identities]
    paper, code = metric(identities), metric(identities, renormalise=False)
    first, second = (made.aggregate(stacked(made.measure(items)), np.ones((1, 6))) for made in (paper, code))
    assert first["face_cosine"] == pytest.approx(second["face_cosine"])
    assert abs(first["face_l1"][0] - second["face_l1"][0]) > 0.01
    assert paper.signature("face_l1") != code.signature("face_l1")
    assert paper.signature("face_cosine") == code.signature("face_cosine")
    assert "sum" in paper.signature("face_l1")


def test_a_bootstrap_draw_is_the_metric_of_the_drawn_rows():
    identities = people(10)
    random = np.random.default_rng(3)
    items = [FaceItem(p.id, random.integers(0, 256, (2, 16, 3), dtype=np.uint8)) for p in identities]
    made = metric(identities)
    rows = stacked(made.measure(items))
    counts = random.multinomial(10, np.full(10, 0.1), size=5)
    drawn = made.aggregate(rows, counts.astype(float))
    for number, count in enumerate(counts):
        picked = np.repeat(np.arange(10), count)
        alone = made.aggregate({name: value[picked] for name, value in rows.items()}, np.ones((1, 10)))
        for name, value in alone.items():
            assert drawn[name][number] == pytest.approx(value[0])


def test_large_galleries_keep_a_fixed_number_of_others():
    identities = people(OTHERS + 30, portraits=1)
    made = metric(identities)
    rows = made.measure([FaceItem(p.id, p.images[0]) for p in identities])
    assert {len(row["others"]) for row in rows} == {OTHERS}
    assert f"others:{OTHERS}|" in made.signature("face_auc")
    assert f"others:{OTHERS + 29}|" in made.signature("face_cosine_mismatched")
    assert all(row["cosine"] == pytest.approx(1.0) and row["others"].max() < 1.0 for row in rows)


def test_one_identity_has_no_others():
    made = metric(people(1))
    rows = stacked(made.measure([FaceItem("p0000", people(1)[0].images[0])]))
    reported = made.aggregate(rows, np.ones((1, 1)))
    assert np.isnan(reported["face_auc"][0]) and np.isnan(reported["face_cosine_mismatched"][0])
    assert np.isfinite(reported["face_cosine"][0])
    assert not made.defined("face_auc", rows).any() and made.defined("face_cosine", rows).all()


def test_bad_items_are_named():
    made = metric(people(3))
    assert "'nobody'" in made.measure([FaceItem("nobody", people(1)[0].images[0])])[0].reason
    assert isinstance(made.measure([FaceItem("nobody", people(1)[0].images[0])])[0], Failed)
    with pytest.raises(ValueError, match=r"\[64, 64, 1\]"):
        made.measure([FaceItem("p0001", np.zeros((64, 64, 1), np.uint8))])
    with pytest.raises(RuntimeError, match="prepare"):
        FaceSimilarity(Pixels()).measure([FaceItem("p0001", people(1)[0].images[0])])
    with pytest.raises(ValueError, match="no portrait"):
        made.prepare([Identity("x", [])])
    with pytest.raises(ValueError, match="each identity once"):
        made.prepare(people(2) + people(1))


class Broken(Pixels):
    """Knows nothing of pictures that begin with a white pixel."""

    def embed(self, images):
        vectors, detected = super().embed(images)
        vectors[[image[0, 0, 0] == 255 for image in images]] = np.nan
        return Embeddings(vectors, detected)


def test_a_face_without_a_descriptor_fails_alone():
    identities = people(4)
    made = FaceSimilarity(Broken())
    white = np.full((2, 16, 3), 255, np.uint8)
    for person in identities:
        for image in person.images:
            image[0, 0, 0] = min(image[0, 0, 0], 254)
    made.prepare(identities)
    first, broken, last = made.measure(
        [
            FaceItem("p0000", identities[0].images[0]),
            FaceItem("p0001", white),
            FaceItem("p0000", identities[0].images[0]),
        ]
    )
    assert first.keys() == last.keys() and first["cosine"] == last["cosine"]
    assert broken == Failed("cosine and l1 and others came out as NaN or infinity")
    with pytest.raises(
        ValueError, match="expected finite descriptors, got NaN or infinity in 1 of 2, first in number 1"
    ):
        made.prepare([identities[0], Identity("p0009", [white])])


def test_a_network_of_nan_is_told():
    with pytest.raises(ValueError, match=r"in 2 of 3, first in number 1; check the weights"):
        normalise_rows(np.array([[1.0, 2.0], [np.nan, 1.0], [np.inf, 1.0]]))


def test_similarities_that_are_not_finite_have_no_area():
    """Sorted, NaN would count as the largest."""
    for matched, mismatched in (([0.5, np.nan], np.zeros((2, 3))), ([0.5, 0.1], [[0.0, np.nan], [0.0, 0.1]])):
        with pytest.raises(ValueError, match="expected finite similarities"):
            pooled_auc(np.array(matched), np.array(mismatched))


def test_a_row_of_zeros_has_no_cosine():
    found = pairwise_cosine(np.array([[0.0, 0.0], [1.0, 0.0]]), np.array([[1.0, 0.0], [1.0, 0.0]]))
    np.testing.assert_array_equal(found, [np.nan, 1.0])


def test_missing_networks_are_not_hidden():
    def networks(name):
        raise LookupError(name)

    with pytest.raises(LookupError, match="facenet140"):
        FaceSimilarity.create(networks, embedder="facenet140")


def test_mean_where_finite_drops_what_has_no_value():
    values = np.array([1.0, np.nan, 3.0])
    assert mean_where_finite(values, np.array([[1.0, 5.0, 1.0], [0, 1, 0]])) == pytest.approx(
        [2.0, np.nan], nan_ok=True
    )


def test_remembered_embeds_each_picture_once_and_forgets_the_oldest():
    images = [person.images[0] for person in people(8)]
    inner = Pixels()
    embedder = Remembered(inner, capacity=4, batch_size=3)
    whole = embedder.embed(images + images[:2])
    assert inner.seen == 8
    assert np.array_equal(whole.vectors[:2], whole.vectors[8:])
    assert whole.vectors == pytest.approx(inner.embed(images + images[:2]).vectors)
    inner.seen = 0
    embedder.embed(images[4:])
    assert inner.seen == 0
    embedder.embed(images[:1])
    assert inner.seen == 1
    assert embedder.embed([]).vectors.shape == (0, 16)


def test_remembered_tells_apart_same_bytes_of_other_shapes():
    image = np.arange(96, dtype=np.uint8).reshape(2, 16, 3)
    embedder = Remembered(Pixels())
    turned = np.ascontiguousarray(image.reshape(1, 32, 3))
    vectors = embedder.embed([image, turned, image[::-1]]).vectors
    assert not np.allclose(vectors[0], vectors[2])
    assert len(embedder._memory) == 3
