"""Runs as a whole, on toys: resume, shards, failures, workers that die."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from toys import Brightness, Painter

from benchmark import provenance
from benchmark.configuration import Settings
from benchmark.errors import MethodError, MissingDependency, UsageError
from benchmark.evaluation import (
    MethodPlan,
    RunPlan,
    conclude,
    evaluate,
    find_run,
    fuller_result,
    read_result,
    rescore,
)
from benchmark.execution import WorkerPool, parse_shard, pick_device
from benchmark.generation import checked_speech
from benchmark.media import read_image
from benchmark.scoring import Scorer, gallery
from benchmark.session import notes_on
from benchmark.store import Prediction, RunDirectory
from benchmark.tasks import Protocol, get_task


def plan_of(corpus, runs: Path, **config) -> RunPlan:
    settings = Settings(None, Painter.Config(**config), None, {})
    method = MethodPlan("painter", Painter, settings, None, None, "painter")
    task = get_task("speech2face")
    return RunPlan(method, task, Protocol(0.5, 3), corpus, None, 0, None, (1, 1), 5, "cpu", runs)


def pool_of(corpus, workers: int = 0, **options) -> WorkerPool:
    metric = Brightness.create(None, **options)
    metric.prepare(gallery(corpus.samples)[0])
    return WorkerPool(Scorer({"brightness": metric}), workers)


def finish(plan: RunPlan, pool: WorkerPool, **kwargs):
    try:
        evaluate(plan, pool, **kwargs)
        return conclude(plan.view, pool.scorer)
    finally:
        pool.close()


def numbers(result):
    return [(item.name, item.value, item.low, item.high, item.spread, item.scored) for item in result.aggregates]


def outputs(plan: RunPlan) -> dict:
    return {key: read_image(plan.run.path / row.file).tobytes() for key, row in plan.run.predictions().items()}


def test_a_run_scores_everything(tiny_corpus, tmp_path):
    plan = plan_of(tiny_corpus, tmp_path / "runs")
    result = finish(plan, pool_of(tiny_corpus))
    error = result.aggregate("brightness_error")
    assert (error.scored, error.total) == (36, 36)
    assert 0 <= error.low <= error.value <= error.high < 6  # the painter hears the pitch within a few hertz
    assert error.spread > 0
    assert not result.partial
    assert read_result(plan.run.path) == result
    assert json.loads((plan.run.path / "run.json").read_text())["spec"] == result.spec.model_dump()


class Killed(BaseException):
    """Stands for a kill: nothing may catch it."""


@pytest.mark.parametrize("after", [1, 2, 5, 9])
def test_a_killed_run_continues_to_the_same_numbers(tiny_corpus, tmp_path, after):
    undisturbed = finish(plan_of(tiny_corpus, tmp_path / "one"), pool_of(tiny_corpus))
    plan = plan_of(tiny_corpus, tmp_path / "two")
    calls = 0

    def kill(stage: str, done: int, total: int) -> None:
        nonlocal calls
        calls += 1
        if calls > 2 * after:
            raise Killed

    with pytest.raises(Killed):
        finish(plan, pool_of(tiny_corpus), progress=kill)
    for name in ("predictions.jsonl", "scores.jsonl"):  # and the last line was torn
        file = plan.run.path / name
        if file.exists():
            file.write_bytes(file.read_bytes()[:-3])
    again = finish(plan, pool_of(tiny_corpus))
    assert numbers(again) == numbers(undisturbed)
    assert outputs(plan) == outputs(plan_of(tiny_corpus, tmp_path / "one"))


def test_a_finished_run_is_not_made_again(tiny_corpus, tmp_path, monkeypatch):
    plan = plan_of(tiny_corpus, tmp_path)
    first = finish(plan, pool_of(tiny_corpus))
    monkeypatch.setattr(Painter, "load", lambda self, device: pytest.fail("loaded again"))
    monkeypatch.setattr(Brightness, "measure", lambda self, items: pytest.fail("measured again"))
    assert numbers(finish(plan, pool_of(tiny_corpus))) == numbers(first)


def test_batch_size_and_shards_change_nothing(tiny_corpus, tmp_path):
    whole = plan_of(tiny_corpus, tmp_path / "one")
    expected = numbers(finish(whole, pool_of(tiny_corpus)))
    small = replace(plan_of(tiny_corpus, tmp_path / "two"), batch_size=1)
    assert numbers(finish(small, pool_of(tiny_corpus))) == expected
    sharded = plan_of(tiny_corpus, tmp_path / "three")
    for index in (3, 1, 2):
        evaluate(replace(sharded, shard=(index, 3)), None)
    pool = pool_of(tiny_corpus)
    rescore(sharded.view, pool, 4)
    assert numbers(conclude(sharded.view, pool.scorer)) == expected
    assert outputs(sharded) == outputs(whole)


def test_one_failing_sample_is_its_own_rows_and_can_be_retried(tiny_corpus, tmp_path):
    plan = plan_of(tiny_corpus, tmp_path, fail="p03")
    result = finish(plan, pool_of(tiny_corpus))
    error = result.aggregate("brightness_error")
    assert (error.scored, error.total) == (33, 36)
    assert error.reasons == {"failed: no output: asked to fail": 3}
    assert result.failures.generation == {"asked to fail": 3}
    assert result.failures.scoring == {}


def test_failed_rows_are_made_again_on_request_only(tiny_corpus, tmp_path, monkeypatch):
    plan = plan_of(tiny_corpus, tmp_path)
    monkeypatch.setattr(Painter, "_one", lambda self, example: MethodError("full disk"))
    finish(plan, pool_of(tiny_corpus))
    monkeypatch.undo()
    assert finish(plan, pool_of(tiny_corpus)).aggregate("brightness_error").scored == 0
    assert finish(plan, pool_of(tiny_corpus), retry_failed=True).aggregate("brightness_error").scored == 36


def test_a_batch_that_raises_is_tried_item_by_item(tiny_corpus, tmp_path):
    expected = numbers(finish(plan_of(tiny_corpus, tmp_path / "one"), pool_of(tiny_corpus)))
    crashing = plan_of(tiny_corpus, tmp_path / "two", crash_batch=True)
    assert numbers(finish(crashing, pool_of(tiny_corpus))) == expected


def test_unreadable_inputs_fail_alone(tiny_corpus, tmp_path):
    tiny_corpus.samples[2].inputs["speech"][0].write_bytes(b"RIFF nonsense")
    tiny_corpus.samples[5].inputs["speech"][0].unlink()
    result = finish(plan_of(tiny_corpus, tmp_path), pool_of(tiny_corpus))
    assert result.aggregate("brightness_error").scored == 30
    assert sum(result.failures.generation.values()) == 6
    assert all("a.wav" in reason for reason in result.failures.generation)


def test_undefined_is_counted_apart_from_failed(tiny_corpus, tmp_path):
    result = finish(plan_of(tiny_corpus, tmp_path), pool_of(tiny_corpus, undefined="p01"))
    error = result.aggregate("brightness_error")
    assert error.scored == 33
    assert error.reasons == {"undefined: asked to be undefined": 3}
    assert result.failures.rows == 0


def test_workers_give_the_same_rows_and_a_dying_one_takes_only_its_item(tiny_corpus, tmp_path):
    once = Protocol(0.5, 1)
    one, plan = (replace(plan_of(tiny_corpus, tmp_path / name), protocol=once) for name in ("one", "two"))
    expected = finish(one, pool_of(tiny_corpus, undefined="p07"))
    result = finish(plan, pool_of(tiny_corpus, workers=1, deadly="p07"))
    error = result.aggregate("brightness_error")
    assert error.scored == 11
    assert error.reasons == {"failed: the worker process died in metric 'brightness'": 1}
    assert numbers(result) == numbers(expected)


def test_limit_is_partial_and_completing_it_keeps_the_work(tiny_corpus, tmp_path):
    plan = plan_of(tiny_corpus, tmp_path)
    part = finish(replace(plan, limit=4), pool_of(tiny_corpus))
    assert part.partial
    assert part.run_id == plan.spec.run_id()
    assert not finish(plan, pool_of(tiny_corpus)).partial


def test_identity_follows_what_changes_outputs_and_nothing_else(tiny_corpus, tmp_path):
    plan = plan_of(tiny_corpus, tmp_path)
    same = replace(plan, batch_size=9, device="cuda", limit=2, shard=(1, 2), runs=tmp_path / "other")
    assert same.spec.run_id() == plan.spec.run_id()
    others = [replace(plan, seed=1), replace(plan, protocol=Protocol(0.5, 4)), plan_of(tiny_corpus, tmp_path, gain=2.0)]
    assert len({plan.spec.run_id(), *(other.spec.run_id() for other in others)}) == 4


def test_interrupt_is_not_swallowed(tiny_corpus, tmp_path, monkeypatch):
    def interrupt(self, examples):
        raise KeyboardInterrupt

    monkeypatch.setattr(Painter, "generate", interrupt)
    with pytest.raises(KeyboardInterrupt):
        evaluate(plan_of(tiny_corpus, tmp_path), None)


def test_something_missing_ends_the_run_instead_of_failing_every_row(tiny_corpus, tmp_path, monkeypatch):
    def lacks(self, examples):
        raise MissingDependency("pip install something")

    monkeypatch.setattr(Painter, "generate", lacks)
    with pytest.raises(MissingDependency):
        evaluate(plan_of(tiny_corpus, tmp_path), None)


def test_a_wrong_output_is_a_failed_row(tiny_corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(Painter, "generate", lambda self, examples: [np.zeros((4, 4)) for _ in examples])
    plan = plan_of(tiny_corpus, tmp_path)
    evaluate(plan, None)
    assert {row.reason for row in plan.run.predictions().values()} == {
        "expected a face [H, W, 3] uint8, got [4, 4] float64"
    }


def test_finding_runs(tmp_path):
    for name in ("sf2f-talkers-aa", "sf2f-talkers-ab"):
        RunDirectory(tmp_path / name).write_document("run.json", "{}")
    assert find_run("sf2f-talkers-ab", tmp_path).name == "sf2f-talkers-ab"
    with pytest.raises(UsageError, match="fits 2 runs"):
        find_run("sf2f", tmp_path)
    with pytest.raises(UsageError, match="No run"):
        find_run("x", tmp_path)


@pytest.mark.parametrize("text", ["0/2", "3/2", "a/b", "2", "1/0", "-1/2"])
def test_bad_shards_are_usage_errors(text):
    with pytest.raises(UsageError, match="--shard takes I/N"):
        parse_shard(text)


def test_bad_devices_are_usage_errors():
    with pytest.raises(UsageError, match="auto, cpu, cuda"):
        pick_device("gpu")


# ---- what must not leak, be lost or be taken for the whole


def test_rows_of_a_method_that_fails_midway_stay_in_its_own_run(tiny_corpus, tmp_path, monkeypatch):
    pool = pool_of(tiny_corpus, workers=1)
    failing, next_one = plan_of(tiny_corpus, tmp_path, gain=3.0), plan_of(tiny_corpus, tmp_path)
    generate, calls = Painter.generate, []

    def lacks(self, examples):
        calls.append(len(examples))
        if len(calls) > 3:  # one to warm up, two batches
            raise MissingDependency("pip install something")
        return generate(self, examples)

    monkeypatch.setattr(Painter, "generate", lacks)
    with pytest.raises(MissingDependency):
        evaluate(failing, pool)
    monkeypatch.undo()
    finish(next_one, pool)
    (kept,) = failing.run.scores().values()
    (own,) = next_one.run.scores().values()
    assert len(kept) == 10 and len(own) == 36
    alone = plan_of(tiny_corpus, tmp_path / "alone")
    finish(alone, pool_of(tiny_corpus))
    (expected,) = alone.run.scores().values()
    assert {key: row.statistics for key, row in own.items()} == {k: row.statistics for k, row in expected.items()}


def test_a_run_of_which_only_some_outputs_are_measured_is_partial(tiny_corpus, tmp_path):
    plan = plan_of(tiny_corpus, tmp_path)
    evaluate(plan, None)
    pool = pool_of(tiny_corpus)
    rescore(replace(plan, limit=4).view, pool, 5)
    result = conclude(plan.view, pool.scorer)
    assert result.partial and result.aggregate("brightness_error").reasons == {"not measured": 24}
    rescore(plan.view, pool, 5)
    assert not conclude(plan.view, pool.scorer).partial


def test_a_part_that_is_asked_for_later_leaves_the_whole_result(tiny_corpus, tmp_path):
    plan = plan_of(tiny_corpus, tmp_path)
    whole = finish(plan, pool_of(tiny_corpus))
    part = replace(plan, limit=3)
    assert finish(part, pool_of(tiny_corpus)).partial
    assert read_result(plan.run.path) == whole and fuller_result(part.view) == whole
    assert fuller_result(plan.view) is None
    assert plan.run.read_run()["limit"] is None


def test_the_limit_of_a_run_grows_with_what_is_asked_for(tiny_corpus, tmp_path):
    limits = []
    for limit in (2, 4, 3, None, 5):
        plan = replace(plan_of(tiny_corpus, tmp_path), limit=limit)
        finish(plan, pool_of(tiny_corpus))
        limits.append(plan.run.read_run()["limit"])
    assert limits == [2, 4, 4, None, None]


def test_failed_scores_are_measured_again_on_request_only(tiny_corpus, tmp_path):
    plan = plan_of(tiny_corpus, tmp_path)
    evaluate(plan, None)
    broken = plan.run.path / plan.run.predictions()["p02", 1].file
    content = broken.read_bytes()
    broken.write_bytes(content[:50])
    result = finish(plan, pool_of(tiny_corpus))
    assert result.aggregate("brightness_error").scored == 35 and result.failures.rows == 1
    broken.write_bytes(content)
    assert finish(plan, pool_of(tiny_corpus)).aggregate("brightness_error").scored == 35
    pool = pool_of(tiny_corpus)
    rescore(plan.view, pool, 5, retry_failed=True)
    assert conclude(plan.view, pool.scorer).aggregate("brightness_error").scored == 36


def test_an_output_that_fails_in_every_metric_is_one_failed_row(tiny_corpus, tmp_path):
    plan = plan_of(tiny_corpus, tmp_path, fail="p03")
    evaluate(plan, None)
    broken = plan.run.path / plan.run.predictions()["p02", 1].file
    broken.write_bytes(b"no picture")
    metrics = {name: pool_of(tiny_corpus).scorer.metrics["brightness"] for name in ("one", "two")}
    pool = WorkerPool(Scorer(metrics), 0)
    assert finish(plan, pool).failures.rows == 3 + 1


def test_results_name_the_code_that_made_the_outputs(tiny_corpus, tmp_path, monkeypatch):
    def code(commit):
        monkeypatch.setattr(provenance, "collect", lambda: {"git": {"commit": commit, "dirty": False}})

    plan = plan_of(tiny_corpus, tmp_path)
    code("aaaa")
    evaluate(replace(plan, shard=(1, 2)), None)
    code("bbbb")
    evaluate(plan, None)
    code("cccc")
    evaluate(plan, None)
    pool = pool_of(tiny_corpus)
    rescore(plan.view, pool, 5)
    result = conclude(plan.view, pool.scorer)
    assert result.provenance["git"]["commit"] == "cccc"
    assert sorted(maker["git"]["commit"] for maker in result.generated_by) == ["aaaa", "bbbb"]
    assert {maker["device"] for maker in result.generated_by} == {"cpu"}
    assert any("several states of the code: aaaa, bbbb" in note for note in notes_on(plan.view, result))


def test_unreadable_inputs_take_no_time_of_the_method(tiny_corpus, tmp_path):
    tiny_corpus.samples[2].inputs["speech"][0].unlink()
    plan = plan_of(tiny_corpus, tmp_path)
    evaluate(plan, None)
    made = plan.run.predictions()
    assert all((row.seconds > 0) == (row.status == "ok") for row in made.values())


def test_whatever_an_output_is_it_fails_alone(tiny_corpus, tmp_path, monkeypatch):
    class Odd:
        def __array__(self, *args, **kwargs):
            raise RuntimeError("cannot be an array")

    plan = plan_of(tiny_corpus, tmp_path)
    one = Painter._one
    monkeypatch.setattr(Painter, "_one", lambda self, e: Odd() if e.sample.id == "p01" else one(self, e))
    evaluate(plan, None)
    failed = [row for row in plan.run.predictions().values() if row.status != "ok"]
    assert {(row.sample, row.reason) for row in failed} == {("p01", "RuntimeError: cannot be an array")}


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (np.array([0.0, np.nan]), r"expected finite speech \[T\], T > 0, got \[2\] with NaN or infinite samples"),
        (np.zeros((2, 5)), r"got \[2, 5\]"),
        (np.zeros(0), r"got \[0\]"),
    ],
)
def test_speech_that_cannot_be_kept_is_told_without_a_path(output, reason):
    with pytest.raises(MethodError, match=reason):
        checked_speech(output)


@pytest.mark.parametrize("content", ["[]", "3", '{"sample": "a"}', "nonsense"])
def test_a_line_that_is_no_row_is_named(tmp_path, content):
    (tmp_path / "predictions.jsonl").write_text(content + "\n")
    with pytest.raises(UsageError, match=r"predictions.jsonl, line 1 is not a row of predictions"):
        RunDirectory(tmp_path).predictions()


def test_the_last_row_is_the_one_written_last_whichever_shard_wrote_it(tmp_path, monkeypatch):
    times = iter([10.0, 20.0, 30.0])
    monkeypatch.setattr("benchmark.store.time.time", lambda: next(times))
    failed = [Prediction("a", "a", 0, "failed", reason=str(number)) for number in range(3)]
    whole, shard = RunDirectory(tmp_path), RunDirectory(tmp_path, (1, 4))
    for run, row in ((whole, failed[0]), (shard, failed[1])):
        run.append_predictions([row])
        assert whole.predictions()["a", 0] == row
    whole.append_predictions([failed[2]])
    assert shard.predictions()["a", 0] == failed[2]


@pytest.mark.parametrize("name", ["/nowhere/run", "**x", "a[b", "../x"])
def test_names_of_runs_are_no_patterns(tmp_path, name):
    with pytest.raises(UsageError, match="No run"):
        find_run(name, tmp_path)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[]", b'{"schema_version": 99}'])
def test_a_file_that_is_no_result_is_named(tmp_path, content):
    (tmp_path / "result.json").write_bytes(content)
    with pytest.raises(UsageError, match=r"result.json"):
        read_result(tmp_path)


def test_fewer_than_no_workers_are_refused(tiny_corpus):
    with pytest.raises(UsageError, match="--workers -1"):
        pool_of(tiny_corpus, workers=-1)
