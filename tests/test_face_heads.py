"""Linear heads: the optimum's own condition, held-out temperature, files, and the metrics that stand on them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import softmax

from metrics.faces.detection import FaceDetectionRate
from metrics.faces.sex_agreement import SexAgreement
from metrics.faces.vggface_score import VGGFaceScore
from metrics.metric import FaceItem, Failed, Identity
from metrics.networks.dlib_faces import DlibFaces
from metrics.networks.face_embedder import Embeddings, normalise_rows
from metrics.networks.face_heads import (
    L2,
    IdentityClassifier,
    LinearHead,
    fit,
    fit_file,
    fit_heads,
    load,
    load_heads,
    save_heads,
)


def clusters(classes=6, each=8, width=12, spread=0.35, seed=0):
    random = np.random.default_rng(seed)
    centres = random.normal(size=(classes, width)) + 3 * np.ones(width)
    labels = [f"p{n}" for n in range(classes) for _ in range(each)]
    return normalise_rows(
        np.repeat(centres, each, axis=0) + random.normal(size=(classes * each, width)) * spread
    ), labels


def test_the_fit_is_the_optimum_of_its_penalised_likelihood():
    """At the optimum mean((p - y) z') + L2 W = 0, on standardised numbers z and with the temperature taken out."""
    x, labels = clusters()
    head = fit(x, labels)
    x = x.astype(np.float64)
    scale = x.std(axis=0)
    z = (x - x.mean(axis=0)) / scale
    weight = head.weight.astype(np.float64) * scale
    p = softmax(x @ head.weight.T.astype(np.float64) + head.bias, axis=1)
    y = np.array(labels)[:, None] == np.array(head.labels)
    assert np.abs((p - y).T @ z / len(z) + L2 * weight).max() < 2e-4
    assert np.abs((p - y).mean(axis=0)).max() < 2e-4


def test_clusters_are_told_apart_and_the_held_out_accuracy_says_so():
    x, labels = clusters(each=10)
    head = fit(x, labels)
    fresh, _ = clusters(each=10)
    assert head.predict(fresh) == labels
    assert head.accuracy > 0.9
    assert head.labels == tuple(sorted(set(labels)))


def test_temperature_cools_what_is_too_unsure_and_warms_what_is_too_sure():
    """Noisy labels at a tiny penalty overfit, so the held-out pictures ask for a temperature above 1."""
    random = np.random.default_rng(1)
    x, labels = clusters(spread=0.02, each=10)
    assert fit(x, labels).temperature < 1
    noisy = random.normal(size=(80, 60))
    assert fit(noisy, [f"p{n}" for n in random.integers(0, 2, 80)], l2=1e-8).temperature > 1


def test_probabilities_by_hand():
    head = LinearHead(
        ("a", "b"), np.array([[1.0, 0.0], [0.0, 1.0]], np.float32), np.zeros(2, np.float32), temperature=0.5
    )
    expected = 1 / (1 + np.exp(-2 * (3 - 1)))
    assert head.probabilities(np.array([[3.0, 1.0]]))[0] == pytest.approx([expected, 1 - expected])
    with pytest.raises(ValueError, match=r"\[N, 2\], got \[1, 3\]"):
        head.probabilities(np.zeros((1, 3)))


def test_fitting_twice_gives_the_same_and_leaves_the_random_state():
    x, labels = clusters()
    before = np.random.get_state()[1].copy()
    one, two = fit(x, labels), fit(x, labels)
    assert np.array_equal(one.weight, two.weight) and one.temperature == two.temperature
    assert np.array_equal(before, np.random.get_state()[1])


def test_one_picture_each_holds_nothing_out():
    x, _ = clusters(each=1)
    head = fit(x, [f"p{n}" for n in range(6)])
    assert head.temperature == 1.0 and np.isnan(head.accuracy)


@pytest.mark.parametrize(
    ("x", "labels", "message"),
    [
        (np.zeros((3, 2)), ["a", "a", "a"], "at least two labels"),
        (np.zeros((3, 2)), ["a", "b"], "got \\[3, 2\\] and 2"),
        (np.full((2, 2), np.nan), ["a", "b"], "finite"),
    ],
)
def test_bad_training_data_is_named(x, labels, message):
    with pytest.raises(ValueError, match=message):
        fit(x, labels)


@pytest.fixture
def heads():
    x, people = clusters()
    return fit_heads(
        x, people, [None if p == "p5" else "fm"[int(p[1]) % 2] for p in people], dataset="toy", embedder="toy"
    )


def test_a_file_gives_back_the_heads(tmp_path, heads):
    path = tmp_path / "deep" / "face_heads.toy.safetensors"
    save_heads(heads, path)
    again = load(path, "cpu")
    assert again.digest == heads.digest and again.dataset == "toy" and again.embedder == "toy"
    x, _ = clusters(seed=3)
    assert np.array_equal(again.identity.probabilities(x), heads.identity.probabilities(x))
    assert again.sex.labels == ("f", "m")
    assert replace(again, sex=None).digest != again.digest


def test_fit_file_writes_and_says_how_good_it_is(tmp_path):
    x, people = clusters()
    about = fit_file(
        tmp_path / "h.safetensors", list(x), people, [None] * len(people), dataset="toy", manifest_sha256="ab"
    )
    assert "48 faces" in about and "of 6" in about and "sex" not in about
    again = load_heads(tmp_path / "h.safetensors")
    assert again.sex is None and again.manifest_sha256 == "ab" and again.embedder == DlibFaces.signature


def test_a_file_of_something_else_is_refused(tmp_path):
    from safetensors.numpy import save_file

    save_file({"x": np.zeros(2, np.float32)}, tmp_path / "x.safetensors")
    (tmp_path / "y.safetensors").write_bytes(b"nothing")
    for name in ("x", "y"):
        with pytest.raises(ValueError, match="holds no face heads"):
            load(tmp_path / f"{name}.safetensors")
    with pytest.raises(FileNotFoundError, match="weights fit"):
        load(tmp_path / "z.safetensors")
    with pytest.raises(FileNotFoundError):
        load(None)


class Toy:
    """Pictures that hold their own descriptor; dark ones have no face."""

    name, dim, signature = "dlib", 12, "toy"

    def embed(self, images):
        x = np.stack([image[0, :12, 0].astype(np.float64) for image in images])
        return Embeddings(normalise_rows(x), x.max(axis=1) > 0)


def picture(descriptor):
    image = np.zeros((2, 12, 3), np.uint8)
    image[0, :, 0] = np.clip(np.asarray(descriptor) * 200, 0, 255)
    return image


def networks(heads):
    return {"dlib": Toy(), "face_heads": heads}.__getitem__


def test_sex_agreement_counts_known_speakers(heads):
    x, people = clusters()
    metric = SexAgreement.create(networks(heads), judge="face_heads")
    sexes = {"p0": "f", "p1": "m", "p2": "m", "p3": None, "p4": "x"}
    metric.prepare([Identity(name, [picture(x[8 * int(name[1])])], sex) for name, sex in sexes.items()])
    rows = metric.measure([FaceItem(person, picture(v)) for v, person in zip(x, people, strict=True) if person != "p5"])
    labels = [row["label"] for row in rows]
    assert labels == pytest.approx([0.0] * 8 + [1.0] * 16 + [np.nan] * 16, nan_ok=True)
    assert [row["read"] for row in rows] == [0.0] * 8 + [1.0] * 8 + [0.0] * 8 + [1.0] * 8 + [0.0] * 8
    assert isinstance(metric.measure([FaceItem("who", picture(x[0]))])[0], Failed)
    assert metric.signature("sex_agreement") == f"classifier:toy|logistic:toy,{heads.digest}|v1"


def test_heads_of_other_descriptors_or_without_sex_are_refused(heads):
    def made(heads):
        return SexAgreement.create(networks(heads), judge="face_heads")

    with pytest.raises(ValueError, match="fit them again"):
        made(replace(heads, embedder="dlib-resnet-v0"))
    with pytest.raises(ValueError, match="know no sex"):
        made(replace(heads, sex=None))
    with pytest.raises(ValueError, match="fit them again"):
        IdentityClassifier(Toy(), replace(heads, embedder="other"))
    with pytest.raises(RuntimeError, match="prepare"):
        made(heads).measure([])


def test_vggface_score_stands_on_the_identity_head(heads):
    x, _ = clusters()
    metric = VGGFaceScore.create(networks(heads), splits=1)
    rows = metric.measure([FaceItem("p0", picture(v)) for v in x])
    value = metric.aggregate({"probabilities": np.stack([row["probabilities"] for row in rows])}, np.ones((1, 48)))
    assert 4 < value["vggface_score"][0] <= 6
    assert "classes:6" in metric.signature("vggface_score") and heads.digest in metric.signature("vggface_score")


def test_face_detection_rate_is_the_share_of_faces_found():
    embedder = Toy()
    embedder.signature = "toy|detect:all,side1|align:none"
    metric = FaceDetectionRate.create({"dlib": embedder}.__getitem__)
    rows = metric.measure([FaceItem("a", picture(np.ones(12))), FaceItem("a", picture(np.zeros(12)))])
    assert rows == [{"found": 1.0}, {"found": 0.0}]
    found = metric.aggregate({"found": np.array([1.0, 0.0])}, np.array([[1.0, 1.0], [3.0, 1.0]]))["face_detection_rate"]
    assert found == pytest.approx([0.5, 0.75])
    assert metric.signature("face_detection_rate") == "detect:all,side1|v1"


def test_the_shipped_heads_know_the_people_of_the_corpus(tmp_path):
    """They were fitted to portraits that anybody can draw again: if the corpus changes, they have to be fitted anew."""
    from benchmark.datasets.talkers.corpus import Talkers
    from benchmark.media import read_image
    from benchmark.weights.networks import Networks

    manifest = Talkers(None, tmp_path, limit=8, workers=1).open("train", "speech2face", fields=("face",))
    networks = Networks()
    heads = networks("face_heads")
    right = {"identity": [], "sex": []}
    for sample in {sample.speaker: sample for sample in manifest.samples}.values():
        vectors = networks("dlib").embed([read_image(path) for path in sample.targets["face"]]).vectors
        right["identity"] += [name == sample.speaker for name in heads.identity.predict(vectors)]
        right["sex"] += [name == sample.attributes["sex"] for name in heads.sex.predict(vectors)]
    assert len(right["identity"]) == 32
    assert np.mean(right["identity"]) > 0.9 and np.mean(right["sex"]) > 0.9


def test_descriptors_that_are_not_finite_have_no_label(heads):
    """The largest of several NaN would be the first label."""
    for wrong in (np.nan, np.inf):
        with pytest.raises(ValueError, match="expected finite descriptors"):
            heads.identity.predict(np.full((1, 12), wrong))
