"""Numbers over groups: by hand, against plain numpy, and what is refused."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
import scipy.io.wavfile
import scipy.stats
from commands import ended as command

from benchmark import registry
from benchmark.datasets.manifest import Row, read_manifest, write_manifest
from benchmark.errors import MissingDataset, UsageError
from benchmark.media import read_image
from benchmark.reports import groups as report
from benchmark.results.attributes import NOT_STATED, Known, grouped_by, known_samples, parsed
from benchmark.results.comparison import Scored, compare_parts, find_scored
from benchmark.results.groups import FEW, GROWS, _of_sides, as_large, dealings, grouped, leads
from benchmark.results.schema import Failures, PairResult, PairSpec, Result, RunSpec
from benchmark.results.statistics import Estimate
from benchmark.runs.directory import RunDirectory, ScoreRow
from benchmark.runs.scoring import _aggregate_metric
from metrics.faces.similarity import pooled_auc
from metrics.faces.vggface_score import split_scores

SIGNATURES = {
    "retrieval": "embed:toy|agg:identity-mean|gallery:40x1|ties:expected|by:speaker|v{v}",
    "vggface_score": "classifier:toy|classes:6|splits:5|seed:0|identities:40|v{v}",
}


def row(metric, sample, speaker, statistics, repeat=0):
    version = registry.metrics.load(metric).version
    signature = SIGNATURES.get(metric, "toy|v{v}").format(v=version)
    return ScoreRow(sample, speaker, repeat, metric, signature, "ok", None, statistics)


def run_of(rows, repeats=1, path=Path("nowhere"), manifest="a" * 64, task="speech2face", label="toy", asked=None):
    """A run that holds these rows, and the result that they give."""
    stored: dict = {}
    for each in rows:
        stored.setdefault((each.metric, each.signature), {})[each.key] = each
    samples = sorted({each.sample for each in rows})
    aggregates = []
    for (name, signature), own in stored.items():
        metric = registry.metrics.load(name).for_rows(signature, next(iter(own.values())).statistics)
        total = repeats * (asked or len(samples))
        aggregates += _aggregate_metric(name, metric, own, total, repeats, lambda _, __, s=signature: s)
    spec = RunSpec(
        task=task, task_version=1, method="toy", config={"label": label}, weights_sha256=None, dataset="folder",
        dataset_revision="1", split="test", manifest_sha256=manifest, seconds=None, repeats=repeats, seed=0,
    )  # fmt: skip
    result = Result(
        run_id=spec.run_id(), label=label, spec=spec, partial=False, samples=asked or len(samples),
        speakers=len({each.speaker for each in rows}), aggregates=aggregates, failures=Failures(),
        generation_seconds=1.0, provenance={},
    )  # fmt: skip
    return Scored(path, result, stored, {each.sample: each.speaker for each in rows}, label)


def known(table):
    """Sample to (speaker, attributes)."""
    return {sample: Known(speaker, attributes) for sample, (speaker, attributes) in table.items()}


def by(run, samples, text, names=(), **more):
    grouping = grouped_by(text, samples, run.name)
    items = [item for item in run.result.aggregates if not names or item.name in names]
    return grouped(run, samples, grouping, items, **more)


def of(found, number):
    """Group to its numbers."""
    return {own.group: own for each in found.numbers if each.item.name == number for own in each.groups}


def si_sdr(values):
    """Rows and samples from `{speaker: (attributes, [dB of each recording])}`."""
    rows, samples = [], {}
    for speaker, (attributes, each) in values.items():
        for take, value in enumerate(each):
            rows.append(row("si_sdr", f"{speaker}-{take}", speaker, {"si_sdr": float(value)}))
            samples[f"{speaker}-{take}"] = (speaker, attributes[take] if isinstance(attributes, list) else attributes)
    return rows, known(samples)


# -- groups ------------------------------------------------------------------------------------------------------------


def test_names_and_edges_are_told_apart():
    assert parsed("sex") == [("sex", ())]
    assert parsed("age:18,30,50") == [("age", (18.0, 30.0, 50.0))]
    assert parsed("snr_db:-5,5,sex") == [("snr_db", (-5.0, 5.0)), ("sex", ())]
    for wrong in ("", "age:", "age:x", "18,30", "age:30,18", "a,b,c", "sex,,age"):
        with pytest.raises(UsageError, match="--by"):
            parsed(wrong)


def people(**attributes):
    """A sample a person from columns of values."""
    count = len(next(iter(attributes.values())))
    return {f"s{n}": Known(f"p{n}", {name: values[n] for name, values in attributes.items()}) for n in range(count)}


def labels_of(text, samples):
    grouping = grouped_by(text, samples, "toy")
    return list(grouping.labels), [grouping.of[sample] for sample in samples]


def test_ages_are_cut_by_decades_or_at_edges():
    samples = people(age=[7.9, 30, 39.9, 40.0, None, float("nan")])
    assert labels_of("age", samples) == (
        ["0 to 9", "30s", "40s", NOT_STATED], ["0 to 9", "30s", "30s", "40s", NOT_STATED, NOT_STATED]
    )  # fmt: skip
    ends, own = labels_of("age:18,30,50", samples)
    assert ends == ["under 18", "30 to 50", NOT_STATED]  # nobody is 18 to 30
    assert own[:4] == ["under 18", "30 to 50", "30 to 50", "30 to 50"]


def test_few_numbers_are_groups_and_many_are_cut_into_thirds_of_the_speakers():
    assert labels_of("snr", people(snr_db=[5, -5.0, 0, -5])) == (
        ["-5 dB", "0 dB", "5 dB"], ["5 dB", "-5 dB", "0 dB", "-5 dB"]
    )  # fmt: skip
    tones = np.linspace(0, 1, 31)
    ends, own = labels_of("skin_tone", people(face=[{"skin_tone": float(tone)} for tone in tones]))
    assert ends == ["under 0.33", "0.33 to 0.67", "from 0.67"]
    assert [own.count(label) for label in ends] == [10, 11, 10]
    ends, own = labels_of("year", people(year=list(range(2001, 2016))))
    assert [own.count(label) for label in ends] == [5, 4, 6], "two digits do not tell years apart"


def test_text_truth_and_numbers_written_as_text_make_groups():
    assert labels_of("noise", people(noise=["pink  ", "babble", "", None]))[0] == ["babble", "pink", NOT_STATED]
    assert labels_of("native", people(native=[True, False]))[0] == ["no", "yes"]
    assert labels_of("age", people(age=["31", "29.5"]))[0] == ["20s", "30s"]


def test_two_at_once_are_crossed_and_half_stated_is_not_stated():
    samples = people(sex=["f", "m", "f", None], snr_db=[0, 0, 5, 5])
    assert labels_of("sex,snr", samples) == (
        ["f, 0 dB", "f, 5 dB", "m, 0 dB", NOT_STATED], ["f, 0 dB", "m, 0 dB", "f, 5 dB", NOT_STATED]
    )  # fmt: skip


def test_what_makes_no_groups_is_refused_by_name():
    samples = people(sex=["f"] * 40, text=[f"word {n}" for n in range(40)], landmarks=[[1, 2]] * 40)
    with pytest.raises(UsageError, match="Did you mean 'sex'.* Known: sex, text"):
        grouped_by("sx", samples, "toy")
    with pytest.raises(UsageError, match="40 different values in 40 samples are too many"):
        grouped_by("text", samples, "toy")
    with pytest.raises(UsageError, match="only numbers can be cut at edges, and 'f' is none"):
        grouped_by("sex:1,2", samples, "toy")
    with pytest.raises(UsageError, match="nothing is known of the samples of toy but who speaks"):
        grouped_by("sex", people(landmarks=[[1]]), "toy")


# -- values ------------------------------------------------------------------------------------------------------------


def test_means_of_groups_are_those_of_their_rows_and_add_up_to_the_whole():
    random = np.random.default_rng(0)
    sexes = {f"p{n}": ["f", "m", None][n % 3] for n in range(24)}
    values = {
        p: ({"sex": sex}, random.normal(5 if sex == "f" else 7, 1, 1 + n % 4))
        for n, (p, sex) in enumerate(sexes.items())
    }
    rows, samples = si_sdr(values)
    run = run_of(rows)
    own = of(by(run, samples, "sex", draws=50), "si_sdr")
    assert list(own) == ["f", "m", NOT_STATED]
    for label, each in own.items():
        those = [values[p][1] for p, sex in sexes.items() if (sex or NOT_STATED) == label]
        assert each.value == pytest.approx(np.mean(np.concatenate(those)))
        assert (each.scored, each.total, each.speakers) == (sum(map(len, those)), sum(map(len, those)), 8)
    whole = run.result.aggregate("si_sdr")
    assert sum(each.scored for each in own.values()) == whole.scored
    assert sum(each.total for each in own.values()) == whole.total
    assert sum(each.value * each.scored for each in own.values()) / whole.scored == pytest.approx(whole.value)


def faces(random, people=40, repeats=2):
    """Rows of retrieval, similarity, VFS and craniofacial measures of a gallery of everybody."""
    from metrics.faces.craniofacial import MEASURES
    from metrics.faces.ranks import target_ranks
    from metrics.faces.retrieval import KS

    def unit(x):
        return x / np.linalg.norm(x, axis=-1, keepdims=True)

    gallery = unit(random.normal(size=(people, 8)))
    rows = []
    for repeat in range(repeats):
        made = unit(gallery + 0.5 * random.normal(size=gallery.shape))
        greater, ties, size = target_ranks(made, gallery, np.arange(people), np.arange(people))
        for n in range(people):
            name, cosines = f"p{n:02d}", (gallery @ made[n]).astype(np.float32)
            ranks = {"greater": greater[n], "ties": ties[n], "size": size[n]}
            stored = {f"{key}_{kind}": float(value) for kind in KS for key, value in ranks.items()}
            others = np.delete(cosines, n)
            alike = {"cosine": float(cosines[n]), "l1": 1.0, "mismatched": float(others.mean()), "others": others}
            p = random.dirichlet(np.full(6, 0.3)).astype(np.float32)
            true = random.normal(size=len(MEASURES))
            made_of = 0.5 * true + random.normal(size=len(MEASURES))
            measures = {"person": float(n), "other": float(random.normal())}
            for place, measure in enumerate(MEASURES):
                measures |= {measure: float(made_of[place]), f"{measure}_true": float(true[place])}
            rows += [
                row("retrieval", name, name, stored, repeat),
                row("face_similarity", name, name, alike, repeat),
                row("vggface_score", name, name, {"probabilities": p}, repeat),
                row("craniofacial", name, name, measures, repeat),
            ]
    samples = known({f"p{n:02d}": (f"p{n:02d}", {"sex": "fm"[n % 2 if n < 36 else 0]}) for n in range(people)})
    return rows, samples


def test_corpus_metrics_of_a_group_are_the_metric_of_its_rows_by_hand():
    rows, samples = faces(np.random.default_rng(1))
    run = run_of(rows, repeats=2)
    names = ("recall_at_5", "chance_recall_at_5", "face_auc", "vggface_score", "craniofacial_nose_width")
    found = by(run, samples, "sex", names, draws=20)
    for label in ("f", "m"):
        means = {name: [] for name in names}
        for repeat in range(2):

            def those(metric, repeat=repeat, label=label):
                found = [r for r in rows if r.metric == metric and r.repeat == repeat]
                return [r.statistics for r in found if samples[r.sample].attributes["sex"] == label]

            means["recall_at_5"].append(np.mean([r["greater_hundreds"] < 5 for r in those("retrieval")]))
            means["chance_recall_at_5"].append(5 / 40)  # among everybody, not in the group
            matched = np.array([r["cosine"] for r in those("face_similarity")], np.float32)
            others = np.stack([r["others"] for r in those("face_similarity")])
            assert others.shape[1] == 39
            above = (matched[:, None, None] > others).mean() + 0.5 * (matched[:, None, None] == others).mean()
            assert pooled_auc(matched, others)[0] == pytest.approx(above)
            means["face_auc"].append(above)
            p = np.stack([r["probabilities"] for r in those("vggface_score")])
            means["vggface_score"].append(split_scores(p)[0].mean())
            made, true = (
                np.array([r[f"nose_width{of}"] for r in those("craniofacial")], np.float64) for of in ("", "_true")
            )
            means["craniofacial_nose_width"].append(np.corrcoef(made, true)[0, 1])
        for name in names:
            assert of(found, name)[label].value == pytest.approx(np.mean(means[name])), name


def test_a_p_value_of_a_group_is_never_printed_as_zero_and_none_is_taken_from_another():
    rows, samples = faces(np.random.default_rng(1))
    for each in rows:
        if each.metric == "craniofacial":
            each.statistics["jaw_width"] = each.statistics["jaw_width_true"]
    names = ("craniofacial_jaw_width", "craniofacial_jaw_width_p")
    found = by(run_of(rows, repeats=2), samples, "sex", names, draws=20)
    assert all(0 <= own.value < 1e-6 and own.apart is None for own in of(found, names[1]).values())
    assert of(found, names[0])["f"].apart is not None
    shown = [line[2:5] for line in report.lines(found)[-2:]]
    assert shown == [["< 0.001", "-", ""]] * 2
    assert any(line.startswith("No difference: ") and "p-values" in line for line in report.notes(found))
    (number,) = [each for each in found.numbers if each.item.name == names[1]]
    assert report.beside(number, found, str)[0][-1] == "-"


def test_a_group_has_the_interval_of_a_run_that_holds_nobody_else():
    rows, samples = faces(np.random.default_rng(2))
    found = by(run_of(rows, repeats=2), samples, "sex", draws=20)
    alone = run_of([r for r in rows if samples[r.sample].attributes["sex"] == "m"], repeats=2)
    for name in ("recall_at_5", "face_cosine", "vggface_score", "craniofacial_jaw_width"):
        own, other = of(found, name)["m"], alone.result.aggregate(name)
        assert (own.value, own.low, own.high) == pytest.approx((other.value, other.low, other.high)), name
    auc = of(found, "face_auc")["m"]
    assert alone.result.aggregate("face_auc").low is None  # it lacks the others' faces, and doesn't know who they are
    assert auc.low < auc.value < auc.high


def test_words_are_counted_over_the_group():
    counts = {f"p{n}": (n % 3, 4 + n % 5) for n in range(12)}
    rows = []
    for name, (errors, words) in counts.items():
        none = dict.fromkeys(("deletions", "insertions", "character_errors"), 0.0)
        rows.append(
            row("wer", name, name, {"words": float(words), "substitutions": float(errors), "characters": 9.0, **none})
        )
    samples = known({name: (name, {"sex": "fm"[int(name[1:]) % 2]}) for name in counts})
    own = of(by(run_of(rows, task="av_enhancement"), samples, "sex", ("wer",), draws=20), "wer")
    for label in "fm":
        those = [counts[name] for name in counts if samples[name].attributes["sex"] == label]
        assert own[label].value == pytest.approx(sum(e for e, _ in those) / sum(w for _, w in those))


def test_what_a_group_lacks_counts_against_it_alone():
    rows, samples = si_sdr({f"p{n}": ({"sex": "fm"[n % 2]}, [n, n + 1]) for n in range(12)})
    own = of(by(run_of(rows[2:]), samples, "sex", draws=20), "si_sdr")
    assert [(each.scored, each.total, each.speakers) for each in own.values()] == [(10, 12, 5), (12, 12, 6)]


# -- differences -------------------------------------------------------------------------------------------------------


def wilson(hits, count):
    p, z = hits / count, scipy.stats.norm.ppf(0.975)
    middle, half = p + z**2 / (2 * count), z * math.sqrt(p * (1 - p) / count + z**2 / (4 * count**2))
    return Estimate(p, (middle - half) / (1 + z**2 / count), (middle + half) / (1 + z**2 / count))


@pytest.mark.parametrize(
    "one, two, low, high",
    [((56, 70), (48, 80), 0.0524, 0.3339), ((9, 10), (3, 10), 0.1705, 0.8090), ((10, 10), (0, 20), 0.6791, 1.0)],
)
def test_intervals_of_two_sides_add_up_as_newcombe_printed_them(one, two, low, high):
    """Newcombe (1998), Table II, method 10."""
    found = _of_sides(wilson(*one), wilson(*two))
    assert (found.low, found.high) == pytest.approx((low, high), abs=6e-5)


def two_sexes(random, speakers=60, apart=0.5):
    return {
        f"p{n:03d}": ({"sex": "fm"[n % 2]}, random.normal(apart * (n % 2) + random.normal(), 1, random.integers(1, 5)))
        for n in range(speakers)
    }


def test_the_interval_of_a_difference_is_near_that_of_a_bootstrap_over_speakers():
    random = np.random.default_rng(5)
    values = two_sexes(random, 160)
    rows, samples = si_sdr(values)
    apart = of(by(run_of(rows), samples, "sex", draws=20), "si_sdr")["f"].apart
    sides = [[each for about, each in values.values() if about["sex"] == sex] for sex in "fm"]
    drawn = []
    for _ in range(4000):
        means = []
        for own in sides:
            chosen = [own[n] for n in random.integers(0, len(own), len(own))]
            means.append(np.concatenate(chosen).mean())
        drawn.append(means[0] - means[1])
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert apart.difference == pytest.approx(np.concatenate(sides[0]).mean() - np.concatenate(sides[1]).mean())
    assert (apart.low, apart.high) == pytest.approx((low, high), abs=0.1 * (high - low))


def test_speakers_on_both_sides_are_drawn_for_both_at_once():
    """Voices differ much, levels little: an interval that took the sides for different people would be far wider."""
    random = np.random.default_rng(6)
    values = {}
    for n in range(60):
        voice = random.normal(0, 5)
        values[f"p{n:02d}"] = (
            [{"snr_db": snr} for snr in (-5, 5)],
            [voice + random.normal(), voice + 1 + random.normal()],
        )
    rows, samples = si_sdr(values)
    apart = of(by(run_of(rows), samples, "snr", draws=400), "si_sdr")["-5 dB"].apart
    gaps = np.array([each[0] - each[1] for _, each in values.values()])
    reference = scipy.stats.ttest_1samp(gaps, 0).confidence_interval(0.95)
    assert (apart.low, apart.high) == pytest.approx((reference.low, reference.high), rel=0.02)
    drawn = [gaps[random.integers(0, 60, 60)].mean() for _ in range(4000)]
    assert (apart.low, apart.high) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])), abs=0.06)
    assert apart.p < 0.01


def test_intervals_of_differences_hold_what_they_say():
    held, trials = {"sex": 0, "snr": 0}, 200
    random = np.random.default_rng(7)
    for _ in range(trials):
        rows, samples = si_sdr(two_sexes(random, 24, apart=-0.5))
        apart = of(by(run_of(rows), samples, "sex", tested=False), "si_sdr")["f"].apart
        held["sex"] += apart.low <= 0.5 <= apart.high
        values = {}
        for n in range(12):
            voice = random.normal(0, 2)
            own = random.permutation([-5, 0, 5])[: 2 + n % 2]
            values[f"p{n}"] = ([{"snr_db": int(snr)} for snr in own], [voice + 0.1 * s + random.normal() for s in own])
        rows, samples = si_sdr(values)
        found = of(by(run_of(rows), samples, "snr:5", tested=False), "si_sdr")["under 5 dB"].apart
        # Levels under 5 dB are -5 and 0 as often as each other.
        held["snr"] += found.low <= -0.75 <= found.high
    for kind, count in held.items():
        assert 0.92 <= count / trials <= 0.99, kind


def test_each_of_several_groups_is_held_against_all_others_and_two_against_one_another():
    random = np.random.default_rng(8)
    values = {f"p{n:02d}": ({"age": 20 + n}, random.normal(n / 10, 1, 2)) for n in range(30)}
    rows, samples = si_sdr(values)
    found = by(run_of(rows), samples, "age", draws=50)
    own = of(found, "si_sdr")
    assert list(own) == ["20s", "30s", "40s"] and not found.grouping.of_two and found.tests == 3
    for label, each in own.items():
        sides = [[v for about, v in values.values() if (f"{about['age'] // 10}0s" == label) == side] for side in (1, 0)]
        assert each.apart.difference == pytest.approx(np.mean(sides[0]) - np.mean(sides[1]))
    two = by(run_of(rows), samples, "age:35", draws=50)
    assert two.grouping.of_two and two.tests == 1
    assert [each.apart is None for each in of(two, "si_sdr").values()] == [False, True]


def test_where_one_of_three_groups_is_empty_the_other_two_are_each_held_against_what_is_left():
    random = np.random.default_rng(9)
    noises = ["babble", "pink", "white"]
    values = {f"p{n:02d}": ({"noise": noises[n % 3]}, random.normal(n % 3, 1, 2)) for n in range(30)}
    rows, samples = si_sdr(values)
    heard = [each for each in rows if samples[each.sample].attributes["noise"] != "white"]
    found = by(run_of(heard), samples, "noise", draws=50)
    own = of(found, "si_sdr")
    assert not found.grouping.of_two and found.tests == 2
    assert (own["white"].value, own["white"].apart) == (None, None)

    def mean_and_half(noise):
        """Of speakers, who have two recordings each: Student's interval."""
        means = np.array([each.mean() for about, each in values.values() if about["noise"] == noise])
        return means.mean(), scipy.stats.t.ppf(0.975, len(means) - 1) * means.std(ddof=1) / math.sqrt(len(means))

    (one, half_one), (two, half_two) = mean_and_half("babble"), mean_and_half("pink")
    half = math.hypot(half_one, half_two)
    for noise, difference in (("babble", one - two), ("pink", two - one)):
        apart = own[noise].apart
        expected = (difference, difference - half, difference + half)
        assert (apart.difference, apart.low, apart.high) == pytest.approx(expected), noise
    alone = by(run_of([each for each in heard if samples[each.sample].attributes["noise"] == "pink"]), samples, "noise")
    assert all(each.apart is None for each in of(alone, "si_sdr").values()) and alone.tests == 0


def test_few_speakers_have_no_interval_and_no_test_and_what_is_not_stated_is_on_no_side():
    values = {f"p{n:02d}": ({"sex": "f" if n < 4 else "m" if n < 12 else None}, [n, n + 0.5]) for n in range(18)}
    rows, samples = si_sdr(values)
    found = by(run_of(rows), samples, "sex", draws=50)
    own = of(found, "si_sdr")
    assert own["f"].value == pytest.approx(1.75) and own["f"].low is None
    assert own["f"].no_interval == "fewer than 5 speakers"
    assert own["f"].apart.difference == pytest.approx(1.75 - 7.75)  # 12 and more stand on no side
    assert (own["f"].apart.low, own["f"].apart.p, own["f"].apart.no_interval) == (None, None, FEW)
    assert own[NOT_STATED].apart is None and own[NOT_STATED].low is not None
    assert found.tests == 0
    told = " ".join(report.notes(found))
    assert "No interval and no test, for fewer than 5 speakers: f." in told
    assert "sex is not stated of 12 samples of 6 speakers" in told


def test_a_number_that_grows_with_the_size_of_groups_is_not_told_as_a_difference():
    rows, samples = faces(np.random.default_rng(3))
    samples = {name: Known(each.speaker, {"old": int(name[1:]) < 10}) for name, each in samples.items()}
    found = by(run_of(rows, repeats=2), samples, "old", ("vggface_score", "face_cosine"), draws=50)
    vfs = next(each for each in found.numbers if each.item.name == "vggface_score")
    assert vfs.no_difference == GROWS and all(own.apart is None for own in vfs.groups)
    assert [own.value is None for own in vfs.groups] == [False, False]
    assert of(found, "face_cosine")["no"].apart is not None


def test_p_of_few_speakers_is_near_the_exact_one():
    random = np.random.default_rng(9)
    values = {f"p{n}": ({"sex": "fm"[n % 2]}, [random.normal(n % 2)]) for n in range(10)}
    rows, samples = si_sdr(values)
    p = of(by(run_of(rows), samples, "sex", draws=4000), "si_sdr")["f"].apart.p
    sides = [np.concatenate([each for about, each in values.values() if about["sex"] == sex]) for sex in "fm"]
    exact = scipy.stats.permutation_test(
        sides, lambda x, y: np.mean(x) - np.mean(y), n_resamples=np.inf, alternative="two-sided"
    ).pvalue
    assert p == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 4000))


def test_p_of_groups_of_unequal_size_and_spread_is_that_of_differences_in_standard_errors():
    random = np.random.default_rng(10)
    sides = [random.normal(0.8, 3, 5), random.normal(0, 1, 9)]
    values = {f"p{n:02d}": ({"sex": "fm"[n > 4]}, [value]) for n, value in enumerate(np.concatenate(sides))}
    rows, samples = si_sdr(values)
    p = of(by(run_of(rows), samples, "sex", draws=4000), "si_sdr")["f"].apart.p

    def welch(x, y, axis):
        return scipy.stats.ttest_ind(x, y, axis=axis, equal_var=False).statistic

    def mean(x, y, axis):
        return x.mean(axis) - y.mean(axis)

    def exact(statistic):
        """Over all 2,002 ways to choose five of fourteen."""
        found = scipy.stats.permutation_test(sides, statistic, n_resamples=np.inf, vectorized=True)
        middle = np.median(found.null_distribution)
        return np.mean(abs(found.null_distribution - middle) >= abs(found.statistic - middle) - 1e-9)

    assert p == pytest.approx(exact(welch), abs=0.03) and abs(exact(mean) - exact(welch)) > 0.1


@pytest.mark.parametrize(("few", "wide"), [(10, 3.0), (30, 1 / 3)])
@pytest.mark.parametrize("recordings", [1, 2])
def test_a_small_group_that_scatters_wider_is_not_called_another(few, wide, recordings):
    random = np.random.default_rng(few)
    called = 0
    for _ in range(150):
        values = {}
        for n in range(60):
            spread = wide if n < few else 1.0
            voice = random.normal(0, spread)
            values[f"p{n:02d}"] = ({"sex": "fm"[n < few]}, voice + random.normal(0, spread / 3, recordings))
        rows, samples = si_sdr(values)
        called += of(by(run_of(rows), samples, "sex", draws=99), "si_sdr")["f"].apart.p <= 0.05
    assert 1 <= called <= 17, "of 150, where 7.5 are expected"


@pytest.mark.parametrize("number", ["wer", "estoi"])
def test_a_small_group_of_shorter_or_half_defined_outputs_is_not_called_another(number):
    """Two words against twelve; of twelve outputs six without a value."""
    random = np.random.default_rng(3)
    called = 0
    for _ in range(150):
        rows, samples = [], {}
        for n in range(72):
            few, name = n < 12, f"p{n:02d}"
            if number == "wer":
                words = 2 if few else 12
                wrong = float(random.binomial(words, random.beta(2, 6)))
                counts = {"substitutions": wrong, "deletions": 0.0, "insertions": 0.0, "character_errors": wrong}
                rows.append(row("wer", name, name, {**counts, "words": float(words), "characters": float(words)}))
            else:
                value = math.nan if n < 6 else random.normal(0.5, 0.1)
                rows.append(row("stoi", name, name, {"stoi": 0.5, "estoi": value, "cut_s": 0.0}))
            samples[name] = Known(name, {"sex": "fm"[few]})
        task = "lip2speech" if number == "wer" else "av_enhancement"
        found = by(run_of(rows, task=task), samples, "sex", (number,), draws=99)
        called += of(found, number)["f"].apart.p <= 0.05
    assert called <= 17, "of 150, where 7.5 are expected"


def test_sides_that_are_each_alike_within_differ_beyond_all_dealings(monkeypatch):
    monkeypatch.setattr("benchmark.results.groups._CHUNK_WEIGHTS", 1)  # one dealing at a time
    rows, samples = si_sdr({f"p{n:02d}": ({"sex": "fm"[n < 8]}, [10.0 * (n < 8)]) for n in range(20)})
    assert of(by(run_of(rows), samples, "sex", draws=199), "si_sdr")["f"].apart.p == pytest.approx(1 / 200, abs=0.006)


@pytest.mark.parametrize("design", ["speakers", "within", "some of each"])
def test_p_is_even_where_the_groups_say_nothing(design):
    """Voices differ, and recordings of one voice are alike: what is dealt has to keep that."""
    random = np.random.default_rng({"speakers": 1, "within": 2, "some of each": 3}[design])
    found = []
    for _ in range(200):
        values = {}
        for n in range(18):
            if design == "speakers":
                own = ["ab"[n % 2]] * int(random.integers(1, 4))
            elif design == "within":
                own = ["a", "b"]
            else:
                own = list(random.permutation(["a", "b", "c"])[:2]) if n < 12 else ["abc"[n % 3]] * 2
            about = [{"kind": str(kind)} for kind in own]
            values[f"p{n:02d}"] = (about, random.normal(0, 2) + random.normal(0, 1, len(own)))
        rows, samples = si_sdr(values)
        found.append(of(by(run_of(rows), samples, "kind", draws=99), "si_sdr")["a"].apart.p)
    assert 0.01 <= np.mean(np.array(found) <= 0.05) <= 0.1
    assert scipy.stats.kstest(found, "uniform").pvalue > 0.005


def test_the_groups_as_they_are_are_the_first_dealing_and_count():
    rows, samples = si_sdr({f"p{n:02d}": ({"sex": "fm"[n < 8]}, [10.0 * (n < 8)]) for n in range(16)})
    run = run_of(rows)
    apart = of(by(run, samples, "sex", draws=199), "si_sdr")["f"].apart
    assert apart.difference == -10 and apart.p == pytest.approx(1 / 200, abs=0.006)
    from benchmark.results.groups import Rows

    metric = registry.metrics.load("si_sdr").for_rows("toy|v1", ["si_sdr"])
    stored = Rows(metric, {each.key: each for each in rows})
    group = {each.key: samples[each.sample].attributes["sex"] for each in rows}
    dealt = dealings(stored, group, [("f", "si_sdr")], 99)["f", "si_sdr"]
    assert len(dealt) == 100 and dealt[0] == pytest.approx(-10) and abs(dealt[1:].mean()) < 2
    assert as_large(np.array([1.0, np.nan, -1.0, 0.0])) == 0.75
    assert as_large(np.array([np.nan, 1.0])) == 1.0


def test_p_is_corrected_over_numbers_and_groups():
    rows, samples = faces(np.random.default_rng(4))
    found = by(run_of(rows, repeats=2), samples, "sex", ("face_cosine", "recall_at_5", "face_auc"), draws=99)
    alone = [own.apart for each in found.numbers for own in each.groups if own.apart]
    assert found.tests == len(alone) == 3
    order = sorted(alone, key=lambda apart: apart.p)
    worst = 0.0
    for place, apart in enumerate(order):
        worst = max(worst, min(1.0, (3 - place) * apart.p))
        assert apart.p_holm == pytest.approx(worst)


# -- two runs ----------------------------------------------------------------------------------------------------------


def test_runs_are_compared_within_groups_and_leads_between_them():
    random = np.random.default_rng(11)
    values = {f"p{n:02d}": ({"sex": "fm"[n % 2]}, random.normal(0, 1, 2)) for n in range(40)}
    ahead = {
        p: (about, each + (2 if about["sex"] == "f" else 0) + random.normal(0, 0.3, 2))
        for p, (about, each) in values.items()
    }
    (rows, samples), (more, _) = si_sdr(values), si_sdr(ahead)
    runs = [run_of(more, label="ahead", task="av_enhancement"), run_of(rows, label="plain", task="av_enhancement")]
    parts = {sex: [s for s, each in samples.items() if each.attributes["sex"] == sex] for sex in "fm"}
    found = compare_parts(runs, parts, ["si_sdr"], 999)
    own = {sex: each[0].differences[0] for sex, each in found.items()}
    for sex, item in own.items():
        gaps = [np.mean(ahead[p][1] - values[p][1]) for p, (about, _) in values.items() if about["sex"] == sex]
        assert item.difference == pytest.approx(np.mean(gaps)) and item.samples.both == 40
        reference = scipy.stats.ttest_1samp(gaps, 0).confidence_interval(0.95)
        assert (item.low, item.high) == pytest.approx((reference.low, reference.high), rel=1e-6)
    assert own["f"].p_holm == pytest.approx(2 * own["f"].p) and own["m"].p_holm == own["m"].p
    (lead,) = leads(found["f"][0], found["m"][0])
    assert lead.difference == pytest.approx(own["f"].difference - own["m"].difference)
    reach = math.hypot(own["f"].difference - own["f"].low, own["m"].high - own["m"].difference)
    assert lead.low == pytest.approx(lead.difference - reach)


# -- where attributes come from ----------------------------------------------------------------------------------------


HOSTILE = "=1+1|<b>\n`x`"


@pytest.fixture
def kept(tmp_path):
    """A run directory beside the corpus's manifest."""
    random = np.random.default_rng(12)
    values = {
        f"p{n:02d}": ({"sex": ["f", "m", None, HOSTILE][n % 4], "age": 20.0 + n}, random.normal(n, 1, 2))
        for n in range(24)
    }
    rows, samples = si_sdr(values)
    file = tmp_path / "test.jsonl"
    write_manifest(
        file, [Row(name, each.speaker, {}, {}, each.attributes) for name, each in samples.items()],
        dataset="folder", revision="1", split="test", task="av_enhancement",
    )  # fmt: skip
    sha256 = read_manifest(file, tmp_path).sha256
    run = run_of(rows, manifest=sha256, task="av_enhancement")
    folder = RunDirectory(tmp_path / "runs" / run.result.run_id)
    folder.append_scores(rows)
    about = {"spec": run.result.spec.model_dump(), "manifest": str(file), "root": str(tmp_path)}
    folder.write_document("run.json", json.dumps(about))
    folder.write_document("result.json", run.result.model_dump_json())
    return folder.path


def test_attributes_are_those_of_the_manifest_that_the_run_was_made_from(kept):
    samples = known_samples(find_scored(str(kept), kept.parent))
    assert len(samples) == 48 and samples["p05-1"] == Known("p05", {"sex": "m", "age": 25.0})


def test_a_run_whose_data_are_elsewhere_says_where_to_point(kept, tmp_path):
    about = json.loads((kept / "run.json").read_text())
    (kept / "run.json").write_text(json.dumps({**about, "root": str(tmp_path / "gone"), "manifest": "gone.jsonl"}))
    with pytest.raises(MissingDataset, match="gone, which is no folder here: say where .* with --data-root"):
        known_samples(find_scored(str(kept), kept.parent))
    beside = tmp_path / "alone.json"
    beside.write_text((kept / "result.json").read_text())
    (tmp_path / "alone.scores.jsonl").write_text((kept / "scores.jsonl").read_text())
    with pytest.raises(MissingDataset, match="its file does not say where they lie: say where"):
        known_samples(find_scored(str(beside), kept.parent))


def test_a_changed_corpus_is_refused(kept, tmp_path, monkeypatch):
    monkeypatch.setenv("FACEVOICE_BENCH_HOME", str(tmp_path / "home"))
    (tmp_path / "test.jsonl").unlink()
    with pytest.raises(MissingDataset):  # the folder holds no people
        known_samples(find_scored(str(kept), kept.parent))


def test_show_tells_groups_and_a_report_keeps_them(kept):
    shown = command("show", str(kept), "--by", "sex", "--by", "age:32", "--columns", "si_sdr")
    assert shown.returncode == 0, shown.stderr
    assert "by sex. =1+1|<b> `x`: 12 samples of 6 speakers; f: 12 of 6; m: 12 of 6; not stated: 12 of 6" in shown.stdout
    assert "under 32 less from 32" in shown.stdout
    text = (kept / "report" / "by_sex.md").read_text()
    assert "<b>" not in text.replace("\\<b>", "").replace("&lt;b&gt;", "")
    lines = list(csv.DictReader(io.StringIO((kept / "report" / "by_sex.csv").read_text())))
    assert [line["group"] for line in lines] == ["'=1+1|<b> `x`", "f", "m", NOT_STATED]
    assert lines[1]["signature"].endswith("|of:sex=f") and lines[3]["difference"] == ""
    for name in ("by_sex.png", "by_age.png"):
        assert read_image(kept / "report" / name).shape[1] > 300
    latex = (kept / "report" / "by_age.tex").read_text()
    assert latex.count(r"\\") == 1 + 2 + len(latex.split(r"\bottomrule")[1].split(r"\\")) - 1
    json_out = json.loads(command("show", str(kept), "--by", "sex", "--json").stdout)
    assert json_out[0]["by"] == "sex" and json_out[0]["numbers"][0]["groups"][1]["value"] == pytest.approx(
        float(lines[1]["value"])
    )


def test_compare_tells_each_group_and_unknown_attributes_end_with_what_there_is(kept):
    both = command("compare", str(kept), str(kept), "--by", "age:32", "--metrics", "si_sdr")
    assert both.returncode == 0 and "from 32" in both.stdout and "no difference at all" in both.stdout
    unknown = command("show", str(kept), "--by", "sxe")
    assert unknown.returncode == 2 and "Did you mean 'sex'? Known: age, sex" in unknown.stderr
    assert command("show", str(kept), "--by", "sex", "--columns", "si_sd").returncode == 2


def files(folder, table):
    """Scored files of these people, with a manifest of what is known of them, where there is a table."""
    rows = [row("si_sdr", name, f"p{n // 2}", {"si_sdr": float(n)}) for n, name in enumerate("abcdefghijkl")]
    run = run_of(rows, task="av_enhancement")
    result = PairResult(
        run_id="files-1", label="files", spec=PairSpec(estimate="e", reference=None, align=False), pairs=12, speakers=6,
        clusters="table.csv", reference_only=[], estimate_only=[], partial=False, aggregates=run.result.aggregates,
        failures=Failures(), undefined={}, provenance={},
    )  # fmt: skip
    if table:
        listed = [Row(each.sample, each.speaker, {}, {}, {"sex": "fm"[int(each.speaker[1]) % 2]}) for each in rows]
        about = {"dataset": "files", "revision": "1", "split": "test", "task": "speech"}
        write_manifest(folder / "manifest.jsonl", listed, **about)
    return Scored(folder, result, run.stored, {}, "files")


def test_files_that_were_scored_are_grouped_by_what_their_table_says(tmp_path):
    run = files(tmp_path, table=True)
    own = of(by(run, known_samples(run), "sex", draws=20), "si_sdr")
    assert {label: each.value for label, each in own.items()} == pytest.approx({"f": 4.5, "m": 6.5})
    assert [(each.scored, each.speakers) for each in own.values()] == [(6, 3), (6, 3)]


def test_files_of_which_nothing_is_known_say_so(tmp_path):
    with pytest.raises(UsageError, match="Nothing is known of the files of files but whose they are"):
        known_samples(files(tmp_path, table=False))


def test_ticks_of_a_picture_say_whole_numbers():
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    for values in ([2.4e-6, 2.6e-6], [1.0e6, 1.2e6], [0.9701, 0.9702], [60.0, 80.0]):
        figure = Figure()
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        axes.plot(values)
        report._number_ticks(axes)
        figure.draw_without_rendering()
        assert axes.yaxis.get_offset_text().get_text() == ""
        told = {
            tick.get_position()[1]: float(tick.get_text().replace("\N{MINUS SIGN}", "-"))
            for tick in axes.get_yticklabels()
        }
        assert list(told.values()) == pytest.approx(list(told), rel=1e-3)


def test_a_group_without_a_value_says_why():
    rows, samples = faces(np.random.default_rng(3), people=12, repeats=1)
    samples = {name: Known(each.speaker, {"sex": "f" if name < "p02" else "m"}) for name, each in samples.items()}
    lost = [each for each in rows if each.metric != "retrieval" or each.sample >= "p02"]
    found = by(run_of(lost), samples, "sex", ("recall_at_5", "recall_at_50", "vggface_score"), draws=20)
    assert of(found, "recall_at_5")["f"].no_value == "none of its outputs was measured"
    told = " ".join(report.notes(found))
    assert "No value: R@5 by speaker of f: none of its outputs was measured." in told
    assert of(found, "vggface_score")["f"].no_value and "No value: VFS of f: " in told


def test_an_attribute_that_nobody_knows_is_refused_before_anything_is_measured(tmp_path):
    for n, name in enumerate("ab"):
        (tmp_path / "made").mkdir(exist_ok=True)
        scipy.io.wavfile.write(tmp_path / "made" / f"{name}.wav", 16000, np.float32(np.sin(np.arange(8000) * (n + 1))))
    out = tmp_path / "out"
    refused = command("score", "--estimate", str(tmp_path / "made"), "--out", str(out), "--by", "colour")
    assert refused.returncode == 2 and "--by colour" in refused.stderr
    assert not list(out.rglob("scores*"))
