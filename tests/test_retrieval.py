"""Ranks against brute force, the traps of other implementations, and the floor under permuted labels."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from metrics.faces.chance import permutation_floor
from metrics.faces.ranks import expected_recall, target_ranks
from metrics.faces.retrieval import Retrieval, consecutive_galleries, people_like, report_name
from metrics.metric import FaceItem, Failed, Identity
from metrics.networks.face_embedder import Embeddings


def unit(x: np.ndarray) -> np.ndarray:
    return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)


def brute_force(queries, gallery, query_labels, gallery_labels):
    """One Python loop over float64 products."""
    rows = []
    for query, label in zip(queries.astype(np.float64), query_labels, strict=True):
        products = (gallery.astype(np.float64) * query).sum(1)
        right = np.asarray(gallery_labels) == label
        if not right.any():
            rows.append((np.nan, np.nan, np.nan))
            continue
        best, wrong = products[right].max(), products[~right]
        rows.append(((wrong > best).sum(), (wrong == best).sum(), len(wrong) + 1))
    return np.array(rows, float).T


@pytest.mark.parametrize("chunk", [1, 7, 64, 4096])
def test_ranks_equal_brute_force_with_many_entries_per_identity(chunk):
    random = np.random.default_rng(0)
    labels = random.integers(0, 30, 200)
    gallery, queries = unit(random.normal(size=(200, 16))), unit(random.normal(size=(60, 16)))
    wanted = random.integers(0, 33, 60)  # three labels that the gallery lacks
    assert np.array_equal(
        np.array(target_ranks(queries, gallery, wanted, labels, chunk=chunk)),
        brute_force(queries, gallery, wanted, labels),
        equal_nan=True,
    )


def test_ranks_see_exact_ties_and_differences_that_float32_cannot():
    random = np.random.default_rng(1)
    gallery = unit(random.normal(size=(50, 128)))
    gallery[20:40] = gallery[3]  # exact duplicates under other names
    gallery[41] = gallery[3]
    gallery[41, np.abs(gallery[3]).argmax()] += np.float32(6e-8) * 2  # one unit in the last place
    queries = np.stack([gallery[3], gallery[20], gallery[41], gallery[0]])
    labels = np.arange(50)
    wanted = np.array([3, 25, 3, 0])
    ranks = target_ranks(queries, gallery, wanted, labels)
    assert np.array_equal(np.array(ranks), brute_force(queries, gallery, wanted, labels))
    assert ranks.ties[0] == 20
    assert ranks.greater[2] >= 1


def test_a_method_that_ignores_its_input_scores_chance_whatever_the_order():
    """All queries alike against a gallery of duplicates: a sort would give R@1 of 1 or 0, the expectation gives 1/N."""
    same = np.tile(unit(np.ones(8)), (40, 1))
    ranks = target_ranks(same, same, np.arange(40), np.arange(40))
    for k in (1, 5, 40):
        assert expected_recall(ranks.greater, ranks.ties, k) == pytest.approx(np.full(40, k / 40))


def test_expected_recall_is_the_mean_over_all_orders_of_ties():
    for greater, ties, k in itertools.product(range(4), range(4), range(1, 8)):
        places = [greater + place for place in range(ties + 1)]
        assert expected_recall(np.array(greater), np.array(ties), k) == pytest.approx(np.mean([p < k for p in places]))


def test_an_identity_counts_once_however_many_entries_it_has():
    gallery = unit(np.array([[1, 0.0], [1, 0.1], [1, 0.2], [1, 0.5], [0, 1.0]]))
    ranks = target_ranks(unit(np.array([[1.0, 0.0]])), gallery, ["a"], ["a", "a", "a", "b", "c"])
    assert (ranks.greater[0], ranks.ties[0], ranks.size[0]) == (0, 0, 3)


def test_strings_objects_tensors_and_memory_maps_are_alike(tmp_path):
    random = np.random.default_rng(2)
    gallery, queries = unit(random.normal(size=(90, 12))), unit(random.normal(size=(90, 12)))
    names = np.array([f"id{n:02}" for n in range(90)], dtype=object)
    expected = np.array(target_ranks(queries, gallery, np.arange(90), np.arange(90)))
    mapped = np.memmap(tmp_path / "gallery", np.float32, "w+", shape=gallery.shape)
    mapped[:] = gallery
    for g in (gallery, torch.from_numpy(gallery), mapped):
        assert np.array_equal(np.array(target_ranks(queries, g, names, names.astype(str), chunk=40)), expected)
    assert np.array_equal(np.array(target_ranks(torch.from_numpy(queries), gallery, names, names)), expected)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_ranks_on_a_gpu_are_those_of_the_cpu():
    random = np.random.default_rng(3)
    gallery, queries = unit(random.normal(size=(5000, 128))), unit(random.normal(size=(200, 128)))
    gallery[100:200] = gallery[0]
    wanted = random.integers(0, 300, 200)
    on_gpu = target_ranks(torch.from_numpy(queries).cuda(), torch.from_numpy(gallery).cuda(), wanted, np.arange(5000))
    assert np.array_equal(np.array(on_gpu), np.array(target_ranks(queries, gallery, wanted, np.arange(5000))))


def test_lower_matmul_precision_of_the_caller_changes_nothing_and_is_given_back():
    random = np.random.default_rng(4)
    x = unit(random.normal(size=(50, 8)))
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        ranks = target_ranks(x, x, np.arange(50), np.arange(50))
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)
    assert not ranks.greater.any()


@pytest.mark.parametrize(
    ("queries", "labels", "message"),
    [
        (np.zeros((2, 3)), [0, 1], "got \\[2, 3\\] and \\[4, 5\\]"),
        (np.zeros((2, 5)), [0], "label for each"),
        (np.full((2, 5), np.nan), [0, 1], "finite queries"),
    ],
)
def test_bad_arguments_are_named(queries, labels, message):
    with pytest.raises(ValueError, match=message):
        target_ranks(queries, np.zeros((4, 5)), labels, [0, 1, 2, 3])


def test_a_gallery_with_nan_is_refused():
    gallery = np.eye(4, dtype=np.float32)
    gallery[2, 2] = np.nan
    with pytest.raises(ValueError, match="finite gallery"):
        target_ranks(np.eye(4, dtype=np.float32), gallery, [0, 1, 3, 3], [0, 1, 2, 3])


def loose_floor(queries, gallery, query_labels, gallery_labels, k, weigh, draws=150):
    """Permute and rank, over and over."""
    random = np.random.default_rng(9)
    values = []
    for _ in range(draws):
        labels = query_labels[random.permutation(len(query_labels))]
        ranks = target_ranks(queries, gallery, labels, gallery_labels)
        hit = expected_recall(ranks.greater, ranks.ties, k)
        if weigh == "speaker":
            values.append(np.mean([hit[labels == label].mean() for label in np.unique(labels)]))
        else:
            values.append(hit.mean())
    return np.array(values)


@pytest.fixture
def hubs():
    """Queries of unequal counts that all lie near the entries of the commonest label."""
    random = np.random.default_rng(5)
    gallery_labels = np.repeat(np.arange(12), [3, 1, 1, 1, 1, 1, 1, 1, 2, 1, 1, 2])
    gallery = unit(random.normal(size=(16, 6)) + np.eye(6)[0] * (gallery_labels == 0)[:, None] * 4)
    query_labels = np.repeat(np.arange(12), [20, 1, 1, 1, 2, 1, 1, 1, 1, 3, 1, 1])
    queries = unit(random.normal(size=(34, 6)) + np.eye(6)[0] * 3)
    return queries, gallery, query_labels, gallery_labels


@pytest.mark.parametrize("weigh", ["speaker", "sample"])
def test_floor_on_unequal_counts_is_the_mean_over_permutations(hubs, weigh):
    floor = permutation_floor(*hubs, 3, weigh=weigh, permutations=1000)
    drawn = loose_floor(*hubs, 3, weigh)
    assert floor.mean == pytest.approx(drawn.mean(), abs=4 * drawn.std() / 150**0.5)
    assert floor.low == pytest.approx(np.quantile(drawn, 0.025), abs=0.06)
    assert floor.high == pytest.approx(np.quantile(drawn, 0.975), abs=0.06)


def test_unequal_counts_lift_chance_above_k_over_n_unless_speakers_weigh_equally(hubs):
    queries, gallery, query_labels, gallery_labels = hubs
    first = np.unique(gallery_labels, return_index=True)[1]
    single = gallery[first], query_labels, gallery_labels[first]
    assert permutation_floor(queries, *single, 3, weigh="sample").mean > 2 * 3 / 12
    assert permutation_floor(queries, *single, 3, weigh="speaker").mean == pytest.approx(3 / 12)


def test_floor_with_duplicates_and_absent_labels():
    same = np.tile(unit(np.ones(4)), (10, 1))
    labels = np.arange(10)
    assert permutation_floor(same, same, labels, labels, 3).mean == pytest.approx(0.3)
    assert permutation_floor(same, same[:5], labels, labels[:5], 3).mean == pytest.approx(0.6)
    with pytest.raises(ValueError, match="labels are in the gallery"):
        permutation_floor(same, same, labels, labels + 10, 3)


class Pixels:
    """Pictures that hold their own descriptor in the first row."""

    name, dim, signature = "pixels", 16, "pixels"

    def embed(self, images):
        vectors = unit(np.stack([image[0, :16, 0].astype(np.float64) - 127.5 for image in images]))
        return Embeddings(vectors, np.ones(len(images), bool))


def people(count, seed=0, known=True):
    random = np.random.default_rng(seed)
    return [
        Identity(
            f"p{n:04}",
            [random.integers(0, 256, (4, 16, 3), dtype=np.uint8) for _ in range(2)],
            "fm"[n % 2] if known else None,
            20.0 + n % 37,
        )
        for n in range(count)
    ]


def metric(identities, size=100):
    made = Retrieval.create(lambda name: Pixels(), embedder="pixels", gallery_size=size)
    made.prepare(identities)
    return made


def stacked(rows):
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def test_recall_by_hand_in_each_gallery():
    """Galleries of consecutive identities, of all, and of like people, each recomputed from the full matrix."""
    identities = people(50)
    made = metric(identities, size=20)
    random = np.random.default_rng(1)
    items = [FaceItem(p.id, random.integers(0, 256, (4, 16, 3), dtype=np.uint8)) for p in identities]
    rows = made.measure(items)
    reported = made.aggregate(stacked(rows), np.ones((1, 50)))
    pixels = Pixels()
    means = unit(np.stack([pixels.embed(p.images).vectors.mean(0) for p in identities]))
    similarity = pixels.embed([i.image for i in items]).vectors @ means.T
    groups = {
        "hundreds": [range(20), range(20, 40)],
        "full": [range(50)],
        "within": [
            [n for n, p in enumerate(identities) if p.sex == s and p.age // 10 == band]
            for s in "fm"
            for band in (2, 3, 4, 5)
        ],
    }
    for kind, galleries in groups.items():
        hits: dict[int, list[bool]] = {1: [], 5: [], 10: []}
        chance: dict[int, list[float]] = {1: [], 5: [], 10: []}
        for gallery in galleries:
            members = list(gallery)
            for q in members:
                place = int((similarity[q, members] > similarity[q, q]).sum())
                for k in hits:
                    if kind != "within" or len(members) > k:
                        hits[k].append(place < k)
                        chance[k].append(min(1.0, k / len(members)))
        for k, found in hits.items():
            expected = np.mean(found) if found else np.nan
            assert reported[report_name(k, kind)][0] == pytest.approx(expected, nan_ok=True), (kind, k)
            assert sum(made.defined(report_name(k, kind), stacked(rows))) == len(found)
            if found:
                assert reported[report_name(k, kind, True)][0] == pytest.approx(np.mean(chance[k]))
    assert np.isnan(reported["recall_at_10_within"][0])
    assert np.isfinite(reported["recall_at_5_within"][0])
    assert sum(made.defined("recall_at_10", stacked(rows))) == 40
    assert made.defined("recall_at_10_full", stacked(rows)).all()


def test_true_faces_find_themselves_and_reports_stay_in_bounds():
    identities = [replace(person, images=person.images[:1]) for person in people(30)]
    made = metric(identities)
    rows = made.measure([FaceItem(p.id, p.images[0]) for p in identities])
    reported = made.aggregate(stacked(rows), np.random.default_rng(0).integers(0, 3, (50, 30)).astype(float))
    assert set(reported) == {report.name for report in made.reports}
    assert reported["recall_at_1"] == pytest.approx(1.0)
    for report in made.reports:
        low, high = report.bounds
        values = reported[report.name]
        # Groups of five at most, a gallery of 30.
        assert np.isnan(values).all() == report.name.endswith(("_at_5_within", "_at_10_within", "_at_50"))
        assert np.all(np.isnan(values) | ((values >= low) & (values <= high)))
    assert np.isnan(made.aggregate(stacked(rows), np.zeros((1, 30)))["recall_at_1"]).all()


def test_unknown_sex_leaves_only_the_recall_within_undefined():
    identities = people(30, known=False)
    made = metric(identities)
    rows = stacked(made.measure([FaceItem(p.id, p.images[0]) for p in identities]))
    assert np.isnan(made.aggregate(rows, np.ones((1, 30)))["recall_at_10_within"][0])
    assert not made.defined("recall_at_10_within", rows).any()
    assert made.defined("recall_at_10", rows).all()


BANDS = {
    "both": (lambda n: {"sex": "fm"[n % 2], "age": 20.0 + n % 37}, "sex+10y"),
    "sex alone": (lambda n: {"sex": "fm"[n % 2], "age": None}, "sex"),
    "age alone": (lambda n: {"sex": None, "age": 20.0 + n % 37}, "10y"),
    "some ages": (lambda n: {"sex": "fm"[n % 2], "age": 20.0 + n % 37 if n % 3 else None}, "sex+10y/sex"),
    "not finite": (lambda n: {"sex": "fm"[n % 2], "age": float("nan")}, "sex"),
    "one age": (lambda n: {"sex": "fm"[n % 2], "age": None if n else 30.0}, "sex"),
    "nothing": (lambda n: {"sex": None, "age": None}, "none"),
}


@pytest.mark.parametrize("case", BANDS)
def test_bands_are_of_what_is_known(case):
    """Two people share a band where the same is known of both and is alike; the signature says what it is."""
    known, made_of = BANDS[case]
    identities = [replace(person, **known(n)) for n, person in enumerate(people(40))]
    number, named = people_like(identities)

    def key(person):
        age = None if person.age is None or person.age != person.age else person.age // 10
        return None if person.sex is None and age is None else (person.sex, age)

    for a, one in zip(number, identities, strict=True):
        assert (a == -1) == (key(one) is None)
        for b, other in zip(number, identities, strict=True):
            assert (a == b) == (key(one) == key(other))
    assert named == made_of
    made = metric(identities)
    signature = made.signature("recall_at_1_within")
    assert f"|gallery:{made_of}," in signature
    rows = stacked(made.measure([FaceItem(p.id, p.images[0]) for p in identities]))
    shared = [sum(key(p) == key(other) for other in identities) if key(p) else 0 for p in identities]
    expected = [count if count > 1 else np.nan for count in shared]
    assert np.array_equal(rows["size_within"], expected, equal_nan=True)
    assert made.defined("recall_at_1_within", rows).sum() == sum(count > 1 for count in shared)


def test_recordings_that_weigh_equally_have_a_floor_of_their_own():
    """Unequal counts, faces near to those who have many: the closed form is the mean over drawn permutations."""
    random = np.random.default_rng(3)
    counts = [15, 1, 1, 2, 1, 1, 1, 9, 1, 1, 2, 1]
    identities = [replace(p, recordings=c) for p, c in zip(people(12), counts, strict=True)]
    made = metric(identities, size=6)
    items = []
    for person, count in zip(identities, counts, strict=True):
        for _ in range(count):
            near = identities[0 if random.random() < 0.5 else 7].images[0].astype(int)
            noise = random.integers(-70, 71, near.shape)
            items.append(FaceItem(person.id, np.clip(near + noise, 0, 255).astype(np.uint8)))
    rows = stacked(made.measure(items))
    owner = np.repeat(np.arange(12), counts)
    by_recording = made.aggregate(rows, np.ones((1, len(items))))
    by_speaker = made.aggregate(rows, (1 / np.array(counts))[owner][None])
    weights = {report.name: report.weigh for report in made.reports}

    pixels = Pixels()
    means = unit(np.stack([pixels.embed(p.images).vectors.mean(0) for p in identities]))
    similarity = pixels.embed([i.image for i in items]).vectors.astype(float) @ means.T
    for kind, size in {"hundreds": 6, "full": 12}.items():
        block = owner // size

        def hit(labels, k, size=size, block=block):
            own = similarity[np.arange(len(items)), labels]
            rivals = np.stack([similarity[q, b * size : (b + 1) * size] for q, b in enumerate(block)])
            return ((rivals > own[:, None]).sum(1) < k).mean()

        for k in (1, 5):
            drawn = []
            for _ in range(400):
                labels = owner.copy()
                for b in np.unique(block):
                    labels[block == b] = random.permutation(owner[block == b])
                drawn.append(hit(labels, k))
            name = report_name(k, kind, by_recording=True)
            floor = by_recording[f"chance_{name}"][0]
            assert floor == pytest.approx(np.mean(drawn), abs=4 * np.std(drawn) / 20)
            assert by_recording[name][0] == pytest.approx(hit(owner, k))
            assert weights[name] == weights[f"chance_{name}"] == "sample"
            assert by_speaker[report_name(k, kind, chance=True)][0] == pytest.approx(k / size)
        assert by_recording[report_name(1, kind, True, True)][0] > 1.5 / size, "not K / N"
    assert permutation_floor(
        pixels.embed([i.image for i in items]).vectors, means, owner, np.arange(12), 1, weigh="sample"
    ).mean == pytest.approx(by_recording["chance_recall_at_1_full_by_recording"][0])


def test_numbers_say_whose_weights_are_equal():
    one, several = metric(people(12)), metric([replace(p, recordings=2) for p in people(12)])
    assert all(r.title.endswith(" by speaker") and r.weigh == "speaker" for r in one.reports)
    new = several.reports[len(one.reports) :]
    assert [r.name for r in new] == [f"{r.name}_by_recording" for r in one.reports]
    assert all(r.title.endswith(" by recording") and r.weigh == "sample" for r in new)
    assert "|by:speaker|" in several.signature("chance_recall_at_10")
    assert "|by:recording|" in several.signature("recall_at_10_by_recording")
    assert "|gallery:12|" in several.signature("recall_at_10_full_by_recording")


def test_batches_and_their_order_change_nothing():
    identities = people(24)
    made = metric(identities, size=10)
    items = [FaceItem(p.id, p.images[1]) for p in identities]
    whole = made.measure(items)
    for row, item in zip(whole, items, strict=True):
        alone = made.measure([item])[0]
        assert {name: str(value) for name, value in alone.items()} == {name: str(value) for name, value in row.items()}
    assert made.measure([]) == []


def test_strangers_fail_and_misuse_is_said():
    made = metric(people(5))
    stranger = made.measure([FaceItem("nobody", people(5)[0].images[0])])
    assert isinstance(stranger[0], Failed)
    assert "nobody" in stranger[0].reason
    with pytest.raises(ValueError, match="sorted"):
        made.prepare(list(reversed(people(5))))
    with pytest.raises(RuntimeError, match="prepare"):
        Retrieval(Pixels()).measure([])


def test_signature_states_the_galleries():
    made = metric(people(250))
    assert "|gallery:100x2|" in made.signature("recall_at_10")
    assert "|gallery:250|" in made.signature("recall_at_1_full")
    assert "sex+10y" in made.signature("recall_at_10_within")
    assert "|gallery:40x1|" in metric(people(40)).signature("recall_at_10")


def test_leftover_identities_are_left_out_unless_they_are_all():
    assert consecutive_galleries(378, 100).max() == 2
    assert (consecutive_galleries(378, 100) == -1).sum() == 78
    assert (consecutive_galleries(99, 100) == 0).all()


def test_what_has_no_rank_says_why():
    made = metric(people(5, known=False), size=2)
    rows = made.measure([FaceItem(f"p{n:04}", people(5)[n].images[0]) for n in (0, 4)])
    assert np.isfinite(rows[0]["size_hundreds"]) and np.isnan(rows[1]["size_hundreds"])
    assert "left over" in made.why_undefined("chance_recall_at_1")
    assert "sex and age" in made.why_undefined("recall_at_1_within")
    assert "nobody else" in made.why_undefined("recall_at_1_full")


def test_where_everyone_is_found_there_is_no_recall_and_it_says_why():
    identities = people(7)
    made = metric(identities)
    rows = made.measure([FaceItem(p.id, p.images[0]) for p in identities])
    signature = " ".join(made.signature(report.name) for report in made.reports)
    for each in (made, Retrieval.for_rows(signature, rows[0])):
        reported = each.aggregate(stacked(rows), np.ones((1, 7)))
        for kind, k in [("hundreds", 5), ("hundreds", 10), ("full", 5), ("full", 10)]:
            name, chance = report_name(k, kind), report_name(k, kind, chance=True)
            assert each.defined(name, stacked(rows)).all() == (k < 7) == bool(np.isfinite(reported[name][0]))
            assert reported[chance] == pytest.approx(5 / 7 if k == 5 else np.nan, nan_ok=True)
        for name in ("recall_at_10", "chance_recall_at_10_full", "recall_at_50"):
            k = 50 if "50" in name else 10
            assert each.why_undefined(name) == f"in a gallery of 7 people everyone is among the first {k}"


def test_the_floor_of_numbers_that_are_not_finite_is_refused(hubs):
    queries, *rest = hubs
    with pytest.raises(ValueError, match="expected finite queries and gallery"):
        permutation_floor(np.where(queries == queries.max(), np.nan, queries), *rest, 3)
