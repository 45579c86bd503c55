"""Rows of statistics: what a metric cannot tell of one output takes nothing from the others."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import t
from test_evaluation import finish, plan_of
from test_pair_scoring import noisy, put, scored, speechlike, table
from toys import Brightness

from benchmark.results.statistics import INTERVALS
from benchmark.runs.directory import ScoreRow
from benchmark.runs.scoring import Scorer, aggregate, gallery, over_outputs, unscored
from benchmark.runs.workers import WorkerPool
from metrics.faces.retrieval import Retrieval
from metrics.faces.vggface_score import VGGFaceScore
from metrics.metric import FaceItem, Report, weighted_mean, weighted_ratio
from metrics.networks.face_embedder import Embeddings
from metrics.speech.si_sdr import SiSdr


class Careless(Brightness):
    """Brightness that lets something through for one speaker."""

    reports = (Report("brightness_error", "err", False, (0, 255)), Report("shade", "shade", None, (0, 1)))
    lacking = {"shade": "the picture has no shade"}  # noqa: RUF012

    def __init__(self, speaker: str, error: Any = 1.0, shade: Any = 0.5) -> None:
        super().__init__("", "")
        self.speaker, self.answer = speaker, {"error": error, "shade": shade}

    def measure(self, items: Sequence[Any]) -> list[Any]:
        return [
            self.answer if item.identity == self.speaker else {**row, "shade": 0.25}
            for item, row in zip(items, super().measure(items), strict=True)
        ]

    def defined(self, report: str, statistics: Mapping[str, np.ndarray]) -> np.ndarray:
        return np.isfinite(statistics["shade" if report == "shade" else "error"])

    def aggregate(self, statistics: Mapping[str, np.ndarray], weights: np.ndarray) -> dict[str, np.ndarray]:
        known = np.isfinite(statistics["shade"])
        shade = np.where(known, statistics["shade"], 0.0)
        return {
            "brightness_error": super().aggregate(statistics, weights)["brightness_error"],
            "shade": (weights @ shade) / np.maximum(weights @ known, 1e-9),
        }


def run_of(corpus, folder, speaker: str = "p03", **answer):
    metric = Careless(speaker, **answer)
    metric.prepare(gallery(corpus.samples)[0])
    plan = plan_of(corpus, folder)
    return plan, Scorer({"careless": metric}), finish(plan, WorkerPool(Scorer({"careless": metric}), 0))


class Turned:
    """Describes a picture by its brightness, as an angle."""

    name, dim, signature = "turned", 2, "turned"

    def embed(self, images):
        angles = np.array([image.mean() / 255 for image in images])
        return Embeddings(np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32), np.ones(len(images), bool))


def test_drawing_whoever_has_most_recordings_is_chance_by_recording_too(tiny_corpus):
    """Eleven people of one recording and one of four, whose face is drawn for everybody."""
    more = [replace(tiny_corpus.samples[0], id=f"p00 {number}") for number in range(3)]
    samples = sorted([*tiny_corpus.samples, *more], key=lambda sample: sample.id)
    identities, _ = gallery(samples)
    assert [person.recordings for person in identities] == [4] + 11 * [1]
    metric = Retrieval(Turned())
    metric.prepare(identities)
    scorer = Scorer({"retrieval": metric})
    drawn = identities[0].images[0]
    found = metric.measure([FaceItem(sample.speaker, drawn) for sample in samples])
    rows = {
        (sample.id, 0): ScoreRow(
            *(sample.id, sample.speaker, 0, "retrieval", scorer.signature("retrieval"), "ok", None, statistics, "", "")
        )
        for sample, statistics in zip(samples, found, strict=True)
    }
    numbers = {item.name: item for item in aggregate(scorer, {"retrieval": rows}, samples, 1)}
    for name, share in (("recall_at_1", 1 / 12), ("recall_at_1_by_recording", 4 / 15)):
        assert numbers[name].value == pytest.approx(share)
        assert numbers[f"chance_{name}"].value == pytest.approx(share), "not K / N by recording"
        assert numbers[name].scored == numbers[f"chance_{name}"].scored == 15
    assert (numbers["recall_at_1"].title, numbers["recall_at_1_by_recording"].title) == (
        "R@1 by speaker",
        "R@1 by recording",
    )


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), np.float32("nan"), None, [1.0, "x"]])
def test_a_number_that_is_none_fails_its_rows_and_leaves_the_column(tiny_corpus, tmp_path, wrong):
    others = replace(tiny_corpus, samples=[s for s in tiny_corpus.samples if s.speaker != "p03"])
    expected = run_of(others, tmp_path / "others")[2].aggregate("brightness_error").value
    _, _, result = run_of(tiny_corpus, tmp_path / "all", error=wrong)
    error = result.aggregate("brightness_error")
    assert error.value == pytest.approx(expected)
    assert (error.scored, error.total) == (33, 36)
    ((reason, count),) = error.reasons.items()
    assert reason.startswith("failed: ") and "error" in reason and count == 3
    assert result.failures.rows == 3


def test_what_a_row_may_lack_is_counted_with_its_reason(tiny_corpus, tmp_path):
    _, _, result = run_of(tiny_corpus, tmp_path, shade=float("nan"))
    error, shade = result.aggregate("brightness_error"), result.aggregate("shade")
    assert (error.scored, error.reasons) == (36, {})
    assert (shade.value, shade.scored) == (pytest.approx(0.25), 33)
    assert shade.reasons == {"undefined: the picture has no shade": 3}
    assert (shade.low, shade.no_interval) == (None, "nothing differs between speakers")
    assert error.low < error.value < error.high
    assert (result.failures.rows, result.intervals) == (0, INTERVALS)


def test_a_number_that_measured_rows_do_not_give_together_has_a_reason(tiny_corpus, tmp_path):
    """An Inception score of five splits needs five faces."""

    class Sure:
        classes, signature = 2, "sure"

        def probabilities(self, images):
            return np.full((len(images), 2), 0.5)

    few = replace(tiny_corpus, samples=tiny_corpus.samples[:1])
    plan = plan_of(few, tmp_path)
    result = finish(plan, WorkerPool(Scorer({"vggface_score": VGGFaceScore(Sure())}), 0))
    score = result.aggregate("vggface_score")
    assert (score.value, score.scored, score.total) == (None, 0, 3)
    assert score.reasons == {"undefined: there are fewer faces than the 5 splits that they are cut into": 3}


def test_rows_that_an_older_version_stored_are_checked_as_they_are_read(tiny_corpus, tmp_path):
    plan, scorer, whole = run_of(tiny_corpus, tmp_path, speaker="nobody")
    file = plan.run.path / "scores.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    rows[5]["statistics"]["error"] = None  # how a number that is not finite was, and is, stored
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = finish(plan, WorkerPool(scorer, 0))
    error = result.aggregate("brightness_error")
    assert error.scored == 35 and np.isfinite([error.value, error.low, error.high]).all()
    assert error.reasons == {"failed: error came out as NaN or infinity": 1}
    predictions = plan.run.predictions()
    assert unscored(scorer, plan.run, predictions) == {"careless": set()}
    assert unscored(scorer, plan.run, predictions, retry_failed=True) == {
        "careless": {(rows[5]["sample"], rows[5]["repeat"])}
    }
    again = finish(plan, WorkerPool(scorer, 0), retry_failed=True).aggregate("brightness_error")
    assert again == whole.aggregate("brightness_error")


def test_one_file_takes_no_cell_of_another(tmp_path, monkeypatch):
    """A cell is a mean with the weight of one row, and 0 times NaN is NaN."""
    for number in range(4):
        put(tmp_path / "clean" / f"{number}.wav", speechlike(number))
        put(tmp_path / "made" / f"{number}.wav", noisy(speechlike(number), 5.0 * number))
    measured = SiSdr._row
    monkeypatch.setattr(
        SiSdr, "_row", lambda self, item: {"si_sdr": np.nan, "cut_s": 0.0} if item.id == "2" else measured(self, item)
    )
    folder, result, _ = scored(tmp_path)
    rows = table(folder)
    assert [float(rows[key]["si_sdr"]) for key in "013"] == pytest.approx([0, 5, 15], abs=0.01)
    assert (rows["2"]["si_sdr"], rows["2"]["reasons"]) == ("", "si_sdr failed: si_sdr came out as NaN or infinity")
    assert result.aggregate("si_sdr").value == pytest.approx(20 / 3, abs=0.01)


def test_a_cell_that_is_empty_has_its_reason_beside_it(tmp_path):
    """Of an impulse STOI has a value and ESTOI none."""
    put(tmp_path / "clean/a.wav", speechlike(0))
    put(tmp_path / "made/a.wav", np.eye(1, 24_000, 16_000)[0])
    folder, _, _ = scored(tmp_path, metrics=("stoi",))
    with (folder / "scores.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["stoi"] and not row["estoi"]
    assert "estoi undefined: no envelope of one of the signals varies" in row["reasons"]


def test_stored_rows_of_other_definitions_are_none_of_a_metrics_own(tmp_path):
    from benchmark.runs.directory import RunDirectory

    run = RunDirectory(tmp_path)
    metric = SiSdr()
    scorer = Scorer({"si_sdr": metric})
    mine = ScoreRow("a", "a", 0, "si_sdr", scorer.signature("si_sdr"), "ok", None, {"si_sdr": 1.0, "cut_s": 0.0})
    run.append_scores([mine, replace(mine, sample="b", signature="another")])
    assert list(scorer.rows(run)["si_sdr"]) == [("a", 0)]


def test_a_choice_concerns_the_metrics_that_it_makes() -> None:
    from benchmark.runs.scoring import takes_one_of

    assert takes_one_of("sex_agreement", "dlib", ("judge=genderage",))
    assert not takes_one_of("vggface_score", "dlib", ("judge=genderage",))
    assert takes_one_of("retrieval", "arcface", ())
    assert not takes_one_of("retrieval", "dlib", ())


def test_intervals_know_bounds_kinds_and_who_counts(tiny_corpus):
    """Twelve people of one output each, in two runs; the shade of four is known."""
    metric = Careless("p00")
    metric.reports = (
        Report("brightness_error", "err", False, (0, 255)),
        Report("shade", "shade", None, (0, 1)),
    )
    row = ScoreRow("", "", 0, "careless", "s", "ok", None, {}, "v", "s")
    rows = {
        (sample.id, repeat): replace(
            row,
            sample=sample.id,
            repeat=repeat,
            statistics={"error": float(place), "shade": 0.5 if place < 4 else np.nan},
        )
        for place, sample in enumerate(tiny_corpus.samples)
        for repeat in range(2)
    }
    scorer = Scorer({"careless": metric})
    error, shade = aggregate(scorer, {"careless": rows}, tiny_corpus.samples, 2)
    count = len(tiny_corpus.samples)
    mean, half = (count - 1) / 2, t.ppf(0.975, count - 1) * np.arange(count).std(ddof=1) / count**0.5
    share = (mean / 255) * (1 - mean / 255)
    for limit in (error.low, error.high):
        there = (limit / 255) * (1 - limit / 255)
        assert (limit - mean) ** 2 == pytest.approx(half**2 * there / share)
    assert (shade.value, shade.low, shade.no_interval) == (0.5, None, "fewer than 5 speakers")
    metric.reports = (replace(metric.reports[0], no_interval="none is known to hold"), metric.reports[1])
    error, _ = aggregate(scorer, {"careless": rows}, tiny_corpus.samples, 2)
    assert (error.value, error.low, error.no_interval) == (mean, None, "none is known to hold")


class Rates:
    """A mean, a rate over lengths, a correlation, and a mean over speakers."""

    reports = (
        Report("mean", "mean", True, (-9, 9), weigh="sample"),
        Report("rate", "rate", True, (-9, 9), weigh="sample"),
        Report("r", "r", True, (-1, 1), weigh="sample", interval="correlation"),
        Report("speakers", "speakers", True, (-9, 9)),
    )

    def aggregate(self, statistics, weights):
        mean = weighted_mean(statistics["x"], weights)
        rate = weighted_ratio(statistics["x"], statistics["length"], weights)
        return {"mean": mean, "rate": rate, "r": mean, "speakers": mean}


def test_the_deviation_over_outputs_is_that_of_numbers_that_are_means_of_outputs():
    random = np.random.default_rng(1)
    runs = [{"x": random.normal(size=n), "length": random.integers(1, 9, n) / 1.0} for n in (1203, 1203)]
    found = over_outputs(Rates(), runs)
    assert found == {"mean": pytest.approx(np.concatenate([run["x"] for run in runs]).std(ddof=1))}
    alike = [{**run, "length": np.full(1203, 2.0)} for run in runs]  # the rate is a mean where all are as long
    assert over_outputs(Rates(), alike)["rate"] == pytest.approx(found["mean"] / 2)
    assert over_outputs(Rates(), [{"x": np.ones(1), "length": np.ones(1)}]) == {}


def test_a_result_states_the_deviation_and_no_other_number_moves(tiny_corpus, tmp_path):
    plan, scorer, result = run_of(tiny_corpus, tmp_path / "runs")
    assert [item.sd for item in result.aggregates] == [None, None]  # means over speakers
    for report in Careless.reports:
        object.__setattr__(report, "weigh", "sample")
    try:
        rows = scorer.rows(plan.run)
        (error, shade) = aggregate(scorer, rows, plan.samples, 3)
    finally:
        for report in Careless.reports:
            object.__setattr__(report, "weigh", "speaker")
    values = [row.statistics["shade"] for row in rows["careless"].values()]
    assert shade.sd == pytest.approx(np.std(values, ddof=1)) and error.sd > 0
    before = result.aggregate("shade")
    assert (shade.value, shade.scored) == (pytest.approx(before.value), before.scored)
