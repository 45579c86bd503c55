"""Two runs against each other: what is joined, p and intervals against independent references, and what is refused."""

import gzip
import itertools
import json
import os
import re
import shutil
import time

import numpy as np
import pytest
import scipy.stats
from commands import ended as command
from toys import Brightness
from typer.testing import CliRunner

from benchmark import registry
from benchmark.cli.compare import coverage, few_speakers, values, verdict
from benchmark.cli.main import app
from benchmark.errors import UsageError
from benchmark.results.comparison import Count, Difference, compare, find_scored, holm, sign_flip
from benchmark.results.schema import Aggregate, Failures, PairResult, PairSpec, Result, RunSpec
from benchmark.runs.directory import Prediction, RunDirectory, ScoreRow
from metrics.faces.craniofacial import MEASURES

SPEAKERS = [f"p{number}" for number in range(6)]
SAMPLES = {f"{speaker}-{take}": speaker for speaker in SPEAKERS for take in range(1 + (speaker < "p3"))}
"""Unequal: three speakers have two recordings, three have one."""
WER = "asr:toy|agg:corpus|v1 asr:toy|align:toy|agg:corpus|v1"
HOSTILE = "a|b<script>\n[red]x[/]\x1b[31m\u202e`=1+1"


def spec_of(**more):
    return RunSpec(
        **{
            "task": "av_enhancement", "task_version": 1, "method": "toy", "config": {}, "weights_sha256": None,
            "dataset": "d", "dataset_revision": "1", "split": "test", "manifest_sha256": "a" * 64, "seconds": None,
            "repeats": 1, "seed": 0, **more,
        }
    )  # fmt: skip


def row(sample, metric, signature, statistics, repeat=0, status="ok", speaker=None):
    reason = None if status == "ok" else "it is broken"
    return ScoreRow(
        sample, speaker or SAMPLES[sample], repeat, metric, signature, status, reason, statistics if not reason else {}
    )


def write(folder, rows, label="toy", aggregates=(), **spec):
    """A run directory with these rows, as far as a comparison looks at it."""
    run, about = RunDirectory(folder), spec_of(config={"of": folder.name}, **spec)
    folder.mkdir(parents=True, exist_ok=True)
    run.write_document("run.json", json.dumps({"spec": about.model_dump()}))
    run.append_scores(rows)
    result = Result(
        run_id=about.run_id(), label=label, spec=about, partial=False, samples=len(SAMPLES), speakers=len(SPEAKERS),
        aggregates=list(aggregates), failures=Failures(), generation_seconds=1.0, provenance={},
    )  # fmt: skip
    run.write_document("result.json", result.model_dump_json())
    return folder


def runs_of(*folders):
    return [find_scored(str(folder), folder.parent) for folder in folders]


def si_sdr(values, repeats=1):
    """Rows of SI-SDR from `{sample: dB}` or `{sample: [dB of each evaluation run]}`."""
    return [
        row(sample, "si_sdr", "si_sdr|v1", {"si_sdr": float(np.ravel(value)[repeat])}, repeat)
        for sample, value in values.items()
        for repeat in range(repeats)
    ]


def shifted(values, by):
    return {sample: value + by for sample, value in values.items()}


def drawn(seed=0):
    random = np.random.default_rng(seed)
    return {sample: random.normal() for sample in SAMPLES}


def only(comparison):
    (item,) = comparison.differences
    return item


# -- p ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("speakers", [1, 2, 5, 9])
def test_p_of_few_speakers_is_exact_as_scipy_finds_it(speakers):
    d = np.random.default_rng(speakers).normal(0.6, 1, speakers)
    reference = scipy.stats.permutation_test(
        (d,), np.mean, permutation_type="samples", n_resamples=np.inf, alternative="two-sided"
    ) if speakers > 1 else None  # fmt: skip
    p = sign_flip(speakers, lambda swaps: {"mean": (1 - 2 * swaps) @ d / speakers}, {"mean": 1e-12})["mean"]
    assert p == pytest.approx(1.0 if reference is None else reference.pvalue)


def test_p_of_many_speakers_is_drawn_near_the_exact_one_by_seed_and_never_zero():
    d = np.random.default_rng(3).normal(0.35, 1, 16)
    exact = np.mean(
        [abs(d @ signs) >= abs(d.sum()) - 1e-9 for signs in itertools.product((1, -1), repeat=16)]
    )  # all 65,536 ways
    differences = lambda swaps: {"sum": (1 - 2 * swaps) @ d}  # noqa: E731
    p = sign_flip(16, differences, {"sum": 1e-9})["sum"]
    assert p == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 10_000))
    assert p == sign_flip(16, differences, {"sum": 1e-9})["sum"]
    sure = sign_flip(40, lambda swaps: {"sum": (1 - 2 * swaps) @ np.ones(40)}, {"sum": 0.0}, draws=999)["sum"]
    assert sure == 1 / 1000


def test_ways_without_a_value_count_as_large_ones():
    p = sign_flip(4, lambda swaps: {"x": np.where(swaps[:, 0] > 0, np.nan, 1 - 2 * swaps[:, 1])}, {"x": 0.0})["x"]
    assert p == 1.0


def test_chunks_change_nothing():
    d = np.arange(1.0, 11)
    seen = []

    def differences(swaps):
        seen.append(len(swaps))
        return {"sum": (1 - 2 * swaps) @ d}

    whole = sign_flip(10, differences, {"sum": 0.0})
    assert sum(seen) == 1 + 2**10
    assert whole == sign_flip(10, differences, {"sum": 0.0}, rows=1_000_000)


def test_holm_by_a_known_example_and_by_its_closed_form():
    """Of 0.01, 0.04, 0.03 and 0.005: 4 * 0.005, 3 * 0.01, 2 * 0.03, and 0.06 again: no p is below a smaller one's."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []
    p = np.random.default_rng(0).uniform(size=17)
    rank = p.argsort().argsort()
    closed = [max(min(1.0, (17 - rank[j]) * p[j]) for j in range(17) if rank[j] <= rank[i]) for i in range(17)]
    assert holm(list(p)) == pytest.approx(closed)


# -- every metric by its own definition -------------------------------------------------------------------------------


def probabilities(random):
    p = random.dirichlet(np.full(4, 0.3)).astype(np.float32)
    return {"probabilities": p}


def ranks(random):
    kinds = ("hundreds", "full", "within")
    greater = {f"greater_{kind}": float(random.integers(0, 6)) for kind in kinds}
    return {**greater, **{f"ties_{kind}": 1.0 for kind in kinds}, **{f"size_{kind}": 60.0 for kind in kinds}}


def words(random):
    n = float(random.integers(3, 9))
    return {
        "words": n,
        "substitutions": float(random.integers(0, 3)),
        "deletions": 1.0,
        "insertions": 0.0,
        "characters": 5 * n,
        "character_errors": float(random.integers(0, 9)),
        "transcript": "set white",
    }


PEOPLE = itertools.cycle([float(SPEAKERS.index(speaker)) for speaker in SAMPLES.values()])
"""Who speaks in one row after the other, as `SAMPLES` follow each other."""


def traits(random):
    person = next(PEOPLE)
    told = {name: random.normal() for name in MEASURES}
    return {"person": person, "other": random.normal(), **told, **{f"{name}_true": person for name in MEASURES}}


ROWS = {
    "face_similarity": ("embed:toy|v1", lambda r: {
        "cosine": float(np.float32(r.uniform())), "mismatched": 0.5, "l1": 2 + r.uniform(),
        "others": r.uniform(size=5).astype(np.float32),
    }),
    "craniofacial": ("detect:toy|v1", traits),
    "identity_bits": ("embed:toy|gallery:60|ties:expected|v1", lambda r: {
        "person": next(PEOPLE), "greater": float(r.integers(60)), "ties": 1.0, "size": 60.0,
    }),
    "retrieval": ("embed:toy|gallery:60x1|ties:expected|by:speaker|v1", ranks),
    "vggface_score": ("classifier:toy|classes:4|splits:2|seed:0|identities:6|v1", probabilities),
    "sex_agreement": ("judge|v1", lambda r: {"read": float(r.integers(2)), "face": 1.0, "label": 0.0}),
    "age_agreement": ("judge|against:label|v1", lambda r: {
        "read": r.uniform(20, 60), "face": r.uniform(20, 60), "label": r.uniform(20, 60),
    }),
    "face_detection_rate": ("detect:toy|v1", lambda r: {"found": float(r.integers(2))}),
    "pesq_wb": ("pesq|v1", lambda r: {"pesq_wb": 1 + 3 * r.uniform()}),
    "stoi": ("stoi|v1", lambda r: {"stoi": r.uniform(), "estoi": r.uniform()}),
    "si_sdr": ("si_sdr|v1", lambda r: {"si_sdr": r.normal()}),
    "sdr": ("sdr|v1", lambda r: {"sdr": r.normal()}),
    "dnsmos": ("dnsmos|v1", lambda r: {c: 1 + 3 * r.uniform() for c in ("p808", "sig", "bak", "ovrl")}),
    "nisqa": ("nisqa|v1", lambda r: {c: 1 + 3 * r.uniform() for c in ("mos", "noi", "dis", "col", "loud")}),
    "wer": (WER, words),
    "wer_by_clip": ("asr:toy|agg:mean-of-clips|v1", words),
    "lps": ("phones:toy|v1", lambda r: {"lps": r.uniform(), "lps_char": r.uniform()}),
    "speaker_similarity": ("spk|v1", lambda r: {"cosine": r.uniform()}),
    "delay": ("delay|v2", lambda r: {"delay_ms": r.normal(), "confidence": 1.0, "seconds": 2.0, "bands": np.zeros(3)}),
    "lip_sync": ("sync|v1", lambda r: {
        "correlation": np.cos((np.arange(101) - 50 - 5 * r.normal()) / 20),
        "variance": 1e-6,
        "seconds": 2 + r.uniform(),
    }),
}  # fmt: skip


def by_hand(metric, rows):
    """Every number of one run: mean over evaluation runs of the metric's aggregate of rows sorted by sample."""
    values = []
    for repeat in sorted({one.repeat for one in rows}):
        own = sorted((one for one in rows if one.repeat == repeat), key=lambda one: one.sample)
        stack = {name: np.stack([np.asarray(one.statistics[name]) for one in own]) for name in own[0].statistics}
        each = [one.speaker for one in own]
        found = {}
        for report in metric.reports:
            shares = [1 / each.count(s) if report.weigh == "speaker" else 1.0 for s in each]
            found[report.name] = metric.aggregate(stack, np.array([shares]))[report.name][0]
        values.append(found)
    return {name: np.mean([found[name] for found in values]) for name in values[0]}


def test_every_metric_that_has_rows_to_pair_is_tried_here():
    assert {*ROWS, "rtf"} >= {*registry.metrics.builtin} - {"pesq_nb", "si_snr"}


@pytest.mark.parametrize("metric", ROWS)
def test_differences_and_p_are_those_of_rows_that_change_sides_one_speaker_after_another(metric, tmp_path):
    """Swapped by hand, in all 64 ways, and given to the metric as one run's rows: what weights do must be the same."""
    random = np.random.default_rng(11)
    signature, one = ROWS[metric]
    folders, rows = [], []
    for name in "ab":
        own = [row(s, metric, signature, one(random), repeat) for repeat in (0, 1) for s in SAMPLES]
        folders.append(write(tmp_path / name, own, name))
        rows.append(list(RunDirectory(folders[-1]).scores()[metric, signature].values()))
    kind = registry.metrics.load(metric).for_rows(signature, rows[0][0].statistics)
    first, second = (by_hand(kind, side) for side in rows)
    (found,) = compare(runs_of(*folders), list(first))
    numbers = {item.name: item for item in found.differences}
    assert set(numbers) == {name for name in first if np.isfinite(first[name] - second[name])}
    assert numbers
    count = dict.fromkeys(numbers, 0)
    for changed in itertools.product((False, True), repeat=len(SPEAKERS)):
        who = {s for s, swap in zip(SPEAKERS, changed, strict=True) if swap}
        sides = [[y if x.speaker in who else x for x, y in zip(*pair, strict=True)] for pair in (rows, rows[::-1])]
        one, two = (by_hand(kind, side) for side in sides)
        for name in numbers:
            count[name] += not abs(one[name] - two[name]) < abs(first[name] - second[name]) - 1e-9
    for name, item in numbers.items():
        assert (item.first, item.second) == pytest.approx((first[name], second[name]), abs=1e-9)
        assert item.difference == pytest.approx(first[name] - second[name], abs=1e-9)
        assert item.p == pytest.approx(count[name] / 64), name
        assert item.speakers == 6 and item.samples == (9, 9, 9) and item.rows == (18, 18, 18)


def test_the_interval_of_a_mean_is_the_paired_t_interval_over_speakers(tmp_path):
    values = {sample: value for sample, value in drawn(4).items() if sample.endswith("-0")}
    other = {sample: np.random.default_rng(5).normal() * n for n, sample in enumerate(values)}
    folders = [write(tmp_path / n, si_sdr(v), n) for n, v in (("a", values), ("b", other))]
    item = only(compare(runs_of(*folders))[0])
    d = np.array([values[s] - other[s] for s in values])
    low, high = scipy.stats.t.interval(0.95, len(d) - 1, d.mean(), scipy.stats.sem(d))
    assert (item.low, item.high) == pytest.approx((low, high))
    paired = scipy.stats.permutation_test(
        (d,), np.mean, permutation_type="samples", n_resamples=np.inf, alternative="two-sided"
    )
    assert item.p == item.p_holm == pytest.approx(paired.pvalue)


def test_speakers_change_sides_with_all_of_their_outputs(tmp_path):
    """Six speakers, however many outputs they have, give no p below 2 / 2**6; nine samples by themselves would."""
    values = {sample: [value, value + 1] for sample, value in drawn().items()}
    folders = [
        write(tmp_path / "a", si_sdr(values, 2), "a"),
        write(tmp_path / "b", si_sdr({s: [x - 3 for x in v] for s, v in values.items()}, 2), "b"),
    ]
    (found,) = compare(runs_of(*folders))
    assert only(found).p == 2 / 2**6
    assert only(found).difference == pytest.approx(3)
    assert few_speakers(found, 1) == [] and "give no p below 0.031" in few_speakers(found, 2)[0]


def test_p_is_corrected_over_all_numbers_and_pairs_of_runs(tmp_path):
    values = drawn(1)
    folders = [write(tmp_path / "a", si_sdr(values), "a")]
    folders += [write(tmp_path / n, si_sdr(shifted(drawn(k), -2)), n) for k, n in enumerate("bcd")]
    found = compare(runs_of(*folders))
    assert [(each.first.name, each.second.name) for each in found] == [("a", "b"), ("a", "c"), ("a", "d")]
    assert [only(each).p_holm for each in found] == holm([only(each).p for each in found])
    assert only(compare(runs_of(*folders[:2]))[0]).p_holm == only(found[0]).p


# -- what is joined ---------------------------------------------------------------------------------------------------


def test_what_one_side_lacks_counts_on_neither(tmp_path):
    """b failed on what is hardest: its mean over what it has would flatter it."""
    values = drawn(2)
    hard = min(values, key=values.get)
    rows = si_sdr({s: v - 1 for s, v in values.items() if s != hard})
    rows.append(row(hard, "si_sdr", "si_sdr|v1", {}, status="failed"))
    folders = [write(tmp_path / "a", si_sdr(values), "a"), write(tmp_path / "b", rows, "b")]
    (found,) = compare(runs_of(*folders))
    item = only(found)
    assert item.difference == pytest.approx(1)
    assert item.first == pytest.approx(np.mean([v for s, v in values.items() if s != hard]))
    assert (item.samples, item.rows) == ((9, 8, 8), (9, 8, 8))
    (line,) = coverage(found)
    assert "a 9 of 9 samples, b 8 of 9; both have 8 samples of" in line and "flatters" in line


def test_a_number_that_one_row_lacks_is_left_out_of_that_number_alone(tmp_path):
    one = {s: {"stoi": v, "estoi": v / 2} for s, v in drawn(6).items()}
    two = {s: {"stoi": v["stoi"] + 1, "estoi": v["estoi"] + 1} for s, v in one.items()}
    two["p0-0"]["estoi"] = float("nan")
    folders = [
        write(tmp_path / n, [row(s, "stoi", "stoi|v1", v) for s, v in rows.items()], n)
        for n, rows in (("a", one), ("b", two))
    ]
    items = {item.name: item for item in compare(runs_of(*folders))[0].differences}
    assert items["stoi"].samples == (9, 9, 9) and items["estoi"].samples == (9, 8, 8)
    assert items["stoi"].difference == items["estoi"].difference == pytest.approx(-1)


def test_a_run_against_itself_shows_nothing(tmp_path):
    folder = write(tmp_path / "a", si_sdr(drawn()), "a")
    item = only(compare(runs_of(folder, folder))[0])
    assert (item.difference, item.p, item.p_holm, item.low) == (0.0, 1.0, 1.0, None)
    assert verdict(item, "a", "b") == "no difference at all, p = 1"


def test_too_few_speakers_who_differ_have_no_interval(tmp_path):
    values = drawn()
    other = {s: v + (s in ("p0-0", "p4-0")) for s, v in values.items()}
    folders = [write(tmp_path / n, si_sdr(v), n) for n, v in (("a", values), ("b", other))]
    item = only(compare(runs_of(*folders))[0])
    assert item.low is None and item.no_interval == "fewer than 5 speakers differ"
    assert item.p == 0.5
    assert verdict(item, "a", "b").startswith("no difference that 6 speakers can show: -0.222 dB, p = 0.5")


def test_times_are_not_paired(tmp_path):
    rows = [row(s, "rtf", "rtf|v1", {"seconds": 1.0, "audio_s": 2.0}) for s in SAMPLES]
    folders = [write(tmp_path / n, [*rows, *si_sdr(drawn(k))], n) for k, n in enumerate("ab")]
    (found,) = compare(runs_of(*folders))
    assert only(found).name == "si_sdr"
    assert "machine" in found.left_out["rtf"]
    with pytest.raises(UsageError, match="'rtf' of a and b cannot be compared: time hangs on the machine"):
        compare(runs_of(*folders), ["rtf"])


def test_speakers_are_those_of_the_list_of_outputs(tmp_path):
    """Who speaks may have become known after the rows were measured."""
    folders = []
    for name, by in (("a", 0), ("b", 2)):
        rows = [row(s, "si_sdr", "si_sdr|v1", {"si_sdr": v + by}, speaker=s) for s, v in drawn().items()]
        folder = tmp_path / name
        folder.mkdir()
        (folder / "x.wav").write_bytes(b"")
        RunDirectory(folder).append_predictions(Prediction(s, SAMPLES[s], 0, "ok", "x.wav") for s in SAMPLES)
        folders.append(write(folder, rows, name))
    assert only(compare(runs_of(*folders))[0]).speakers == 6


# -- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("other", "shown"),
    [
        ({"dataset": "grid"}, "dataset d against grid"),
        ({"split": "val"}, "split test against val"),
        ({"manifest_sha256": "b" * 64}, "manifest_sha256 aaaaaaaaaaaa against bbbbbbbbbbbb"),
        ({"dataset_revision": "2"}, "dataset_revision 1 against 2"),
        ({"task": "av_separation"}, "task av_enhancement against av_separation"),
    ],
)
def test_runs_of_other_questions_are_refused_and_told_by_what(other, shown, tmp_path):
    folders = [write(tmp_path / "a", si_sdr(drawn())), write(tmp_path / "b", si_sdr(drawn()), **other)]
    with pytest.raises(UsageError, match=re.escape(shown)):
        compare(runs_of(*folders))


def test_other_definitions_are_refused_by_the_part_that_differs(tmp_path):
    one, two = "embed:dlib|detect:hog|v1", "embed:facenet|detect:hog|v1"
    folders = []
    for name, signature in (("a", one), ("b", two)):
        rows = [row(s, "speaker_similarity", signature, {"cosine": 0.5}) for s in SAMPLES]
        folders.append(write(tmp_path / name, rows, name))
    with pytest.raises(UsageError, match=r"speaker_similarity: .*: embed:dlib against embed:facenet$"):
        compare(runs_of(*folders))
    for folder, by in zip(folders, (0.0, 1.0), strict=True):
        RunDirectory(folder).append_scores(si_sdr(shifted(drawn(), by)))
    (found,) = compare(runs_of(*folders))
    assert only(found).name == "si_sdr" and "embed:dlib against embed:facenet" in found.left_out["speaker_similarity"]
    with pytest.raises(UsageError, match="'speaker_similarity' of a and b cannot be compared: .*embed:dlib"):
        compare(runs_of(*folders), ["speaker_similarity"])


def test_of_several_definitions_the_one_of_the_first_result_is_taken(tmp_path):
    folders = []
    for name in "ab":
        rows = [
            row(s, "speaker_similarity", f"net:{net}|v1", {"cosine": value if name == "a" else 0.0})
            for net, value in (("old", 0.25), ("new", 0.5))
            for s in SAMPLES
        ]
        stated = Aggregate(
            name="speaker_similarity", title="s", metric="speaker_similarity", value=0.25, low=None, high=None,
            spread=None, scored=9, total=9, signature="net:old|v1", higher_is_better=True,
        )  # fmt: skip
        folders.append(write(tmp_path / name, rows, name, [stated] if name == "a" else ()))
    (found,) = compare(runs_of(*folders))
    assert only(found).difference == 0.25
    assert found.remarks == ("Both have speaker_similarity by 2 definitions; compared by net:old",)
    assert only(compare(runs_of(*reversed(folders)))[0]).difference == -0.5  # the newest, where none is stated


def test_rows_that_are_not_those_of_the_result_are_refused(tmp_path):
    stated = Aggregate(
        name="si_sdr", title="SI-SDR", metric="si_sdr", value=99.0, low=None, high=None, spread=None, scored=9, total=9,
        signature="si_sdr|v1", higher_is_better=True, unit="dB",
    )  # fmt: skip
    folders = [write(tmp_path / "a", si_sdr(drawn())), write(tmp_path / "b", si_sdr(drawn()), aggregates=[stated])]
    with pytest.raises(UsageError, match="the result has si_sdr 99, and its rows give .*score it again"):
        compare(runs_of(*folders))


def test_one_sample_of_two_speakers_is_refused(tmp_path):
    other = [row(s, "si_sdr", "si_sdr|v1", {"si_sdr": 1.0}, speaker="somebody") for s in SAMPLES]
    folders = [write(tmp_path / "a", si_sdr(drawn()), "a"), write(tmp_path / "b", other, "b")]
    with pytest.raises(UsageError, match="sample 'p0-0' is of speaker 'p0' in one, of 'somebody' in the other"):
        compare(runs_of(*folders))


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        ({"loudness": 1.0}, "KeyError: 'si_sdr'"),
        ({"si_sdr": "loud"}, "cannot be read"),
    ],
)
def test_rows_of_another_form_leave_their_metric_out(broken, why, tmp_path):
    rows = [row(s, "si_sdr", "si_sdr|v1", broken) for s in SAMPLES]
    folders = [write(tmp_path / n, rows, n) for n in "ab"]
    with pytest.raises(UsageError, match=why):
        compare(runs_of(*folders))


def test_rows_of_an_older_version_and_of_unknown_metrics_are_left_out(tmp_path):
    rows = [row(s, "si_sdr", "si_sdr|v0", {"si_sdr": 1.0}) for s in SAMPLES]
    rows += [row(s, "nobody", "nobody|v1", {"x": 1.0}) for s in SAMPLES]
    folders = [write(tmp_path / n, rows, n) for n in "ab"]
    with pytest.raises(
        UsageError, match="si_sdr: its rows are of version 0, and version 1 is here(?s:.*)Unknown metric"
    ):
        compare(runs_of(*folders))


def test_metrics_of_plug_ins_are_compared_by_their_rows(tmp_path, monkeypatch):
    monkeypatch.setitem(registry.metrics.builtin, "brightness", registry.Entry("toys:Brightness", ""))
    monkeypatch.setattr(registry.metrics, "_all", None)
    assert registry.metrics.load("brightness") is Brightness
    signature = "brightness_error|v1 brightness_sum|v1"
    folders = [
        write(tmp_path / n, [row(s, "brightness", signature, {"error": abs(v) + by}) for s, v in drawn().items()], n)
        for n, by in (("a", 0.0), ("b", 1.5))
    ]
    (found,) = compare(runs_of(*folders))
    assert only(found).name == "brightness_error"  # the other has no direction
    assert verdict(only(found), "a", "b") == "a is ahead, lower by 1.500, p = 0.031"
    assert only(found).first_is_ahead
    (asked,) = compare(runs_of(*folders), ["brightness_sum"])
    assert only(asked).first_is_ahead is None and only(asked).difference == pytest.approx(-1.5)


def test_a_run_is_found_by_folder_label_id_and_result_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runs = tmp_path / "runs"
    folder = write(runs / "toy-d-1a", si_sdr(drawn()), "toy (loud)")
    write(runs / "toy-d-2b", si_sdr(drawn()), "twice", seconds=5)
    write(runs / "toy-d-3c", si_sdr(drawn()), "twice", seconds=1.25)
    (runs / "broken").mkdir()
    (runs / "broken" / "result.json").write_text("[")
    published = tmp_path / "published.json"
    shutil.copy(folder / "result.json", published)
    with pytest.raises(UsageError, match=r"no rows of single outputs beside it.*published\.scores\.jsonl\.gz"):
        find_scored(str(published), runs)
    with gzip.open(tmp_path / "published.scores.jsonl.gz", "wb") as packed:
        packed.write((folder / "scores.jsonl").read_bytes())
    for text in ("toy (loud)", "toy-d-1", str(folder), str(folder / "result.json"), str(published)):
        assert find_scored(text, runs).stored == find_scored(str(folder), runs).stored
    with pytest.raises(UsageError, match=r"2 runs are labelled 'twice'.*toy-d-2b \(.*seconds 5.*toy-d-3c \(.*1\.25"):
        find_scored("twice", runs)
    for number, method in ((4, "outputs"), (5, "outputs"), (6, "toy"), (7, "toy")):  # files that were replaced
        name = write(runs / f"f-{number}", si_sdr(drawn()), method, method=method, weights_sha256=f"{number}" * 64)
        os.utime(name / "result.json", (1_700_000_000 + 86_400 * number,) * 2)
    for label, what, days in (("outputs", "outputs", (4, 5)), ("toy", "weights", (6, 7))):
        with pytest.raises(UsageError) as told:
            find_scored(label, runs)
        for day in days:
            date = time.strftime("%Y-%m-%d %H:%M", time.localtime(1_700_000_000 + 86_400 * day))
            assert f"{what} {str(day) * 8}, measured {date})" in str(told.value)
    for number in (8, 9):
        write(runs / f"f-{number}", si_sdr(drawn()), "tinted", files={"colour": f"{number}" * 64})
    with pytest.raises(UsageError, match="colour 88888888, measured.*colour 99999999, measured"):
        find_scored("tinted", runs)
    with pytest.raises(UsageError, match="No run 'nothing'"):
        find_scored("nothing", runs)
    (folder / "scores.jsonl").unlink()
    with pytest.raises(UsageError, match="has no scores.jsonl"):
        find_scored("toy-d-1a", runs)
    packed = (tmp_path / "published.scores.jsonl.gz").read_bytes()
    for damage in (packed[:60], packed[:30] + b"\0\0\0\0" + packed[34:], b"no archive\n"):
        (tmp_path / "published.scores.jsonl.gz").write_bytes(damage)
        with pytest.raises(UsageError, match="cannot be unpacked"):
            find_scored(str(published), runs)


def publish(folder, run):
    """A run's result and rows, as they lie among published results."""
    run_id = json.loads((run / "result.json").read_text())["run_id"]
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(run / "result.json", folder / f"{run_id}.json")
    with gzip.open(folder / f"{run_id}.scores.jsonl.gz", "wb") as packed:
        packed.write((run / "scores.jsonl").read_bytes())
    return run_id


def test_published_results_are_found_where_the_user_has_no_run_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    published = tmp_path / "published"
    monkeypatch.setattr("benchmark.results.finding.PUBLISHED", published)
    made = {name: write(tmp_path / "elsewhere" / name, si_sdr(drawn(k)), name) for k, name in enumerate("ab")}
    made |= {seconds: write(tmp_path / "elsewhere" / str(seconds), si_sdr(drawn()), "twice", seconds=seconds)
             for seconds in (5, 1.25)}  # fmt: skip
    ids = {name: publish(published / "x", run) for name, run in made.items()}
    for text in ("a", ids["a"], ids["a"][:-3]):
        found = find_scored(text, tmp_path / "runs")
        assert found.published and found.result.run_id == ids["a"]
    with pytest.raises(UsageError, match="'twice' fits 2 published results") as told:
        find_scored("twice", tmp_path / "runs")
    assert all(text in str(told.value) for text in (ids[5], "seconds 5.0", ids[1.25], "seconds 1.25"))
    done = invoke("a", "b")
    assert done.exit_code == 0 and done.stderr.count("Published with the project") == 2
    # A run of the user's comes first.
    shutil.copytree(made["b"], tmp_path / "runs" / "mine")
    write(tmp_path / "runs" / "other", si_sdr(drawn(3)), "a")
    assert find_scored("a", tmp_path / "runs").path == tmp_path / "runs" / "other"
    assert "Published" not in invoke("a", "b").stderr


def test_a_run_against_itself_is_told_by_whichever_name_it_is_given(tmp_path):
    folder = write(tmp_path / "a", si_sdr(drawn(), repeats=1), "a")
    other = write(tmp_path / "b", si_sdr(drawn(1)), "b")
    assert "Both are the same run: " in invoke(folder, folder / "result.json").stderr
    assert "Both are the same run" not in invoke(folder, other).stderr


def test_outputs_are_told_as_samples_times_runs(tmp_path):
    twice = {sample: [value, value + 1] for sample, value in drawn().items()}
    folders = [write(tmp_path / name, si_sdr(twice, repeats=2), name, repeats=2) for name in "ab"]
    (line,) = coverage(compare(runs_of(*folders))[0])
    assert line == "Measured: a 9 of 9 samples, b 9 of 9; both have 9 samples of 6 speakers, each sample made 2 times"


def test_a_path_that_is_not_there_is_no_name_of_a_run(tmp_path):
    for text in (f"{tmp_path}/nowhere", "nowhere.json"):
        with pytest.raises(UsageError, match=f"{re.escape(text)}: no such file or folder"):
            find_scored(text, tmp_path)


PLACE = {"sample": "p0-0", "speaker": "p0", "repeat": 0, "metric": "m", "signature": "s", "status": "ok"}


@pytest.mark.parametrize(
    "record",
    [
        [],
        {"sample": 3},
        {**PLACE, "sample": {}},
        {**PLACE, "repeat": 0.5},
        {**PLACE, "statistics": 1},
        {**PLACE, "statistics": {"x": {"f4": "AAAA", "shape": [7]}}},
    ],
)
def test_a_line_that_is_no_row_is_named(record, tmp_path):
    folder = write(tmp_path / "a", si_sdr(drawn()))
    with open(folder / "scores.jsonl", "a") as file:
        file.write(json.dumps(record) + "\n")
    with pytest.raises(UsageError, match=r"scores\.jsonl, line 10 is not a row of scores"):
        find_scored(str(folder), tmp_path)


def write_files(folder, rows, reference="/clean"):
    """What `score --estimate` leaves, as far as a comparison looks at it."""
    run, spec = RunDirectory(folder), PairSpec(estimate=f"/{folder.name}", reference=reference, align=False)
    folder.mkdir()
    run.write_document("run.json", json.dumps({"kind": "pairs", "spec": spec.model_dump()}))
    run.append_scores(rows)
    result = PairResult(
        run_id=spec.run_id(), label=folder.name, spec=spec, pairs=9, speakers=6, clusters="folders", reference_only=[],
        estimate_only=[], partial=False, aggregates=[], failures=Failures(), undefined={}, provenance={},
    )  # fmt: skip
    run.write_document("result.json", result.model_dump_json())
    return folder


def test_scored_files_are_compared_and_never_with_runs_or_other_references(tmp_path):
    values = drawn()
    one, two = (write_files(tmp_path / n, si_sdr(shifted(values, by))) for n, by in (("a", 0.0), ("b", 1.0)))
    assert only(compare(runs_of(one, two))[0]).difference == pytest.approx(-1)
    with pytest.raises(UsageError, match="reference /clean against /other"):
        compare(runs_of(one, write_files(tmp_path / "c", si_sdr(values), "/other")))
    with pytest.raises(UsageError, match="a is files scored against files, toy a method's run"):
        compare(runs_of(one, write(tmp_path / "d", si_sdr(values))))


# -- what is printed --------------------------------------------------------------------------------------------------


def invoke(*words):
    return CliRunner().invoke(app, ["compare", *map(str, words)])


def difference(**more):
    return Difference(
        **{
            "name": "x", "title": "X", "metric": "m", "unit": "%", "higher_is_better": True, "signature": "s",
            "first": 0.85, "second": 0.366, "difference": 0.484, "low": 0.385, "high": 0.584, "no_interval": "",
            "p": 0.00005, "p_holm": 0.00005, "samples": Count(1, 1, 1), "rows": Count(1, 1, 1), "speakers": 100, **more,
        }
    )  # fmt: skip


@pytest.mark.parametrize(
    ("item", "told"),
    [
        (difference(), "sf2f is ahead by 48.4 points [38.5, 58.4], p < 0.0001"),
        (
            difference(difference=-0.484, low=-0.584, high=-0.385, p_holm=0.0024),
            "linear is ahead by 48.4 points [38.5, 58.4], p = 0.0024",
        ),
        (
            difference(unit="", higher_is_better=False, difference=-0.548, low=-0.63, high=-0.467),
            "sf2f is ahead, lower by 0.548 [0.467, 0.630], p < 0.0001",
        ),
        (
            difference(unit="dB", higher_is_better=False, difference=12.0, low=11.0, high=13.0),
            "linear is ahead, lower by 12.00 dB [11.00, 13.00], p < 0.0001",
        ),
        (
            difference(higher_is_better=None, difference=-0.1, low=None, high=None, no_interval="few"),
            "sf2f is lower by 10.0 points, p < 0.0001",
        ),
        (
            difference(difference=-0.002, low=-0.01, high=0.006, p=0.6, p_holm=1.0),
            "no difference that 100 speakers can show: -0.2 points [-1.0, 0.6], p = 1",
        ),
        (
            difference(unit="", difference=0.00055, low=-0.00034, high=0.00143, p=0.02, p_holm=0.24, speakers=1),
            "no difference that 1 speaker can show: 0.0006 [-0.0003, 0.0014], p = 0.24, 0.02 alone",
        ),
        (difference(difference=0.0, low=None, high=None, p=1.0, p_holm=1.0), "no difference at all, p = 1"),
    ],
)
def test_the_verdict_is_in_plain_words(item, told):
    assert verdict(item, "sf2f", "linear") == told


def test_a_small_p_value_of_a_run_is_not_shown_as_zero():
    about = {"unit": "", "first": 0.00002, "second": 0.3}
    assert values(difference(name="craniofacial_jaw_width_p", **about)) == ["< 0.001", "0.300"]
    assert values(difference(name="face_cosine", **about)) == ["0.000", "0.300"]


def spread(by):
    """What `drawn` gives, lower by about so much, which differs from sample to sample."""
    return {s: v - by * (1 + n / 50) for n, (s, v) in enumerate(drawn(3).items())}


def test_the_table_has_a_line_per_number_and_notes_go_elsewhere(tmp_path):
    random, folders = np.random.default_rng(0), []
    for name, by in (("good", 0.0), ("bad", 4.0)):
        faults = [row(s, "wer", WER, {**words(random), "words": 10.0, "substitutions": by}) for s in SAMPLES]
        folders.append(write(tmp_path / name, [*faults, *si_sdr(spread(by))], name))
    done = invoke(*folders, "--metrics", "si_sdr")
    assert done.exit_code == 0
    assert re.search(r"SI-SDR dB ↑ .* good is ahead by 4\.\d\d\d dB \[4\.\d+, 4\.\d+\], p = 0\.031", done.stdout)
    assert "both have 9 samples of 6 speakers" in done.stderr and "corrected for 1 number (Holm)" in done.stderr
    done = invoke(*folders)
    assert done.stdout.splitlines()[0] == "good against bad on d test (av_enhancement)"
    assert "WER % ↓" in done.stdout and "Fewer numbers need less correction" in done.stderr
    assert "corrected for 2 numbers (Holm)" in done.stderr
    assert not invoke(*folders, "--quiet").stderr


def test_a_number_called_as_its_metric_is_meant_and_else_all_of_the_metrics(tmp_path):
    random, folders = np.random.default_rng(0), []
    for name in "ab":
        rows = [row(s, "wer", WER, words(random)) for s in SAMPLES]
        rows += [row(s, "dnsmos", "dnsmos|v1", ROWS["dnsmos"][1](random)) for s in SAMPLES]
        folders.append(write(tmp_path / name, rows, name))
    (found,) = compare(runs_of(*folders), ["wer"])
    assert [item.name for item in found.differences] == ["wer"]
    (found,) = compare(runs_of(*folders), ["dnsmos", "cer"])
    assert {item.name for item in found.differences} == {
        "cer",
        *(f"dnsmos_{c}" for c in ("p808", "sig", "bak", "ovrl")),
    }


def test_json_says_the_same_and_nothing_else(tmp_path):
    folders = [write(tmp_path / n, si_sdr(spread(by)), n) for n, by in (("a", 0.0), ("b", 1.0), ("c", 0.0))]
    said = json.loads(invoke(*folders, "--json").stdout)
    assert said["tests"] == 2
    one, two = said["comparisons"]
    assert one["first"]["name"] == "a" and one["second"]["run_id"].startswith("toy-d-")
    (number,) = one["numbers"]
    assert number["samples"] == {"first": 9, "second": 9, "both": 9} and number["speakers"] == 6
    assert number["p"] == 2 / 64 and number["p_holm"] == 4 / 64 and number["higher_is_better"] is True
    assert number["low"] < number["difference"] < number["high"]
    assert two["numbers"][0]["low"] is None and two["numbers"][0]["verdict"] == "no difference at all, p = 1"


def test_hostile_names_stay_text(tmp_path):
    people = dict.fromkeys(SAMPLES, HOSTILE) | {"p0-0": "\x1b]0;p\x07", "p1-0": "ok"}
    folders = []
    for name, by in (("a", 0.0), ("b", 1.0)):
        rows = [row(s, "si_sdr", "si_sdr|v1", {"si_sdr": v + by}, speaker=people[s]) for s, v in drawn().items()]
        rows += [row(s, HOSTILE, f"{HOSTILE}|v1", {"x": 1.0}) for s in SAMPLES]
        folders.append(write(tmp_path / name, rows, HOSTILE))
    done = invoke(*folders)
    assert done.exit_code == 0
    assert "\x1b" not in done.output and "\u202e" not in done.output
    assert "Not compared: a|b<script>\\n[red]x[/]" in done.stderr
    names = [each["name"] for each in json.loads(invoke(*folders, "--json").stdout)["comparisons"][0].values()
             if isinstance(each, dict) and "name" in each]  # fmt: skip
    assert len(set(names)) == 2 and all(name.startswith(HOSTILE) for name in names)  # told apart by their ids


def test_what_cannot_be_compared_ends_with_2_and_says_what_to_do(tmp_path):
    folders = [write(tmp_path / n, si_sdr(drawn(k)), n) for k, n in enumerate("ab")]
    for words_of, message in (
        ([folders[0]], "compare takes two runs or more"),
        ([*folders, "--metrics", "si_sdrr"], "Did you mean 'si_sdr'? Measured: si_sdr"),
        ([folders[0], "nowhere", "--runs", tmp_path], "No run 'nowhere'"),
    ):
        done = command("compare", *map(str, words_of))
        assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr
