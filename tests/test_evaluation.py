"""Runs as a whole, on toys: resume, shards, failures, workers that die."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from toys import Brightness, Painter

from benchmark.configuration import Settings
from benchmark.errors import MethodError, MissingDependency, PrerequisiteError, UsageError
from benchmark.media import read_image, write_image
from benchmark.runs import provenance
from benchmark.runs.directory import Prediction, RunDirectory
from benchmark.runs.evaluation import (
    MethodPlan,
    RunPlan,
    conclude,
    evaluate,
    find_run,
    fuller_result,
    read_result,
    rescore,
)
from benchmark.runs.generation import checked_image, checked_speech
from benchmark.runs.scoring import Scorer, gallery
from benchmark.runs.session import notes_on, notes_on_code
from benchmark.runs.workers import WorkerPool, parse_shard, pick_device
from benchmark.tasks import Protocol, get_task
from metrics.metric import Failed


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
        "expected a face [H, W, 3] uint8, got [4, 4] float64: three channels, also where all are grey: "
        "np.stack([grey] * 3, -1); values of 0 to 1: (face * 255).round().astype(np.uint8)"
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


def test_failed_scores_are_measured_again_on_request_only(tiny_corpus, tmp_path, monkeypatch):
    plan = plan_of(tiny_corpus, tmp_path)
    measure = Brightness.measure

    def fails(self, items):
        return [Failed("a cable came loose") if i.identity == "p02" else measure(self, [i])[0] for i in items]

    monkeypatch.setattr(Brightness, "measure", fails)
    result = finish(plan, pool_of(tiny_corpus))
    assert result.aggregate("brightness_error").scored == 33 and result.failures.rows == 3
    monkeypatch.undo()
    assert finish(plan, pool_of(tiny_corpus)).aggregate("brightness_error").scored == 33
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
    assert any("at several commits: aaaa, bbbb" in note for note in notes_on(plan.view, result, pool.scorer))


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


SPEECH = r"^expected speech \[T\], T > 0, of finite floats with full scale 1.0, got "
FACE = r"^expected a face \[H, W, 3\] uint8, got "


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (np.array([0.0, np.nan]), SPEECH + r"\[2\] float64 with NaN or infinite samples$"),
        (np.zeros((1, 500)), SPEECH + r"\[1, T\] float64: \.squeeze\(\) it$"),
        (np.zeros((500, 2)), SPEECH + r"\[T, 2\] float64: take a channel, or their mean$"),
        (np.zeros(0), SPEECH + r"\[0\]"),
        (np.zeros(500, np.int16), SPEECH + r"\[T\] int16: divide by 32768, and return float32$"),
        (np.zeros(500, np.int32), "divide by 2147483648"),
        (np.zeros(500, np.uint8), SPEECH + r"\[T\] uint8: convert"),
        (np.zeros(500, complex), SPEECH + r"\[T\] complex128$"),
        (20_000 * np.sin(np.arange(500)), "with samples beyond 64: 16-bit units\\? Divide by 32768$"),
        (
            torch.zeros(500, requires_grad=True),
            SPEECH[:-4] + r"got a torch tensor torch.float32 on cpu: return .detach",
        ),
        (None, SPEECH[:-4] + "got NoneType$"),
        ("voice.wav", SPEECH[:-4] + "got str$"),
    ],
)
def test_speech_that_cannot_be_kept_is_told_without_a_path(output, reason):
    with pytest.raises(MethodError, match=reason):
        checked_speech(output)


def test_speech_of_any_float_type_is_kept_as_it_is():
    for kind in (np.float16, np.float32, np.float64):
        kept = checked_speech(np.array([0.5, -1.5], kind))
        assert kept.dtype == np.float32 and kept.tolist() == [0.5, -1.5]


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (
            np.zeros((3, 64, 48), np.uint8),
            FACE + r"\[3, 64, 48\] uint8: channels come last: np.transpose\(face, \(1, 2, 0",
        ),
        (np.zeros((1, 3, 64, 48), np.uint8), r"without a batch axis: face\[0\]; channels come last"),
        (np.zeros((64, 48), np.uint8), r"np.stack\(\[grey\] \* 3, -1\)$"),
        (np.zeros((64, 48, 4), np.uint8), r"no alpha channel: face\[..., :3\]$"),
        (np.zeros((0, 48, 3), np.uint8), "another shape$"),
        (np.linspace(0, 1, 48).reshape(4, 4, 3), FACE + r"\[4, 4, 3\] float64: values of 0 to 1: \(face \* 255\)"),
        (np.linspace(-1, 1, 48).reshape(4, 4, 3), r": values of -1 to 1: \(\(face \+ 1\) \* 127.5\)"),
        (np.linspace(0, 255, 48).reshape(4, 4, 3), r": values of 0 to 255: face.round\(\)"),
        (np.full((4, 4, 3), 200, np.int64), r"int64: values of 0 to 255"),
        (np.full((4, 4, 3), 300.0), "values beyond 0 to 255$"),
        (np.full((4, 4, 3), np.nan), "values that are not finite$"),
        (np.full((4, 4, 3), "a"), "another type$"),
        (torch.zeros(4, 4, 3), FACE[:-4] + "got a torch tensor torch.float32 on cpu: return .detach"),
    ],
)
def test_a_face_that_cannot_be_kept_is_told_with_what_mends_it(output, reason):
    with pytest.raises(MethodError, match=reason):
        checked_image(output)


@pytest.mark.parametrize(
    "advice", ["(face * 255)", "((face + 1) * 127.5)", "face.round", "np.transpose", "np.stack", "face[...", "face[0]"]
)
def test_the_advice_on_faces_mends_them(advice):
    """Each message's expression, evaluated as it stands, makes an output that is kept."""
    cases = {
        "(face * 255)": np.linspace(0, 1, 48).reshape(4, 4, 3),
        "((face + 1) * 127.5)": np.linspace(-1, 1, 48).reshape(4, 4, 3),
        "face.round": np.linspace(0, 255, 48).reshape(4, 4, 3),
        "np.transpose": np.zeros((3, 64, 48), np.uint8),
        "np.stack": np.zeros((64, 48), np.uint8),
        "face[...": np.zeros((64, 48, 4), np.uint8),
        "face[0]": np.zeros((1, 64, 48, 3), np.uint8),
    }
    with pytest.raises(MethodError) as told:
        checked_image(cases[advice])
    expression = advice + str(told.value).partition(advice)[2]
    mended = eval(expression, {"np": np, "face": cases[advice], "grey": cases[advice]})
    assert checked_image(mended).shape[2] == 3


@pytest.mark.parametrize("content", ["[]", "3", '{"sample": "a"}', "nonsense"])
def test_a_line_that_is_no_row_is_named(tmp_path, content):
    (tmp_path / "predictions.jsonl").write_text(content + "\n")
    with pytest.raises(UsageError, match=r"predictions.jsonl, line 1 is not a row of predictions"):
        RunDirectory(tmp_path).predictions()


def test_the_last_row_is_the_one_written_last_whichever_shard_wrote_it_and_whatever_the_clock_says(tmp_path):
    failed = [Prediction("a", "a", 0, "failed", reason=str(number)) for number in range(6)]
    runs = [RunDirectory(tmp_path, shard) for shard in ((1, 1), (1, 4), (2, 4), (1, 1), (2, 4), (1, 4))]
    for run, row in zip(runs, failed, strict=True):
        run.append_predictions([row])
        assert all(reader.predictions()["a", 0] == row for reader in runs)
    text = "".join(path.read_text() for path in tmp_path.glob("predictions*.jsonl"))
    assert all(set(json.loads(line)) == {*failed[0].__dict__, "number"} for line in text.splitlines())


def test_rows_that_were_written_without_a_number_come_first(tmp_path):
    old, new = (Prediction("a", "a", 0, "failed", reason=reason) for reason in ("old", "new"))
    RunDirectory(tmp_path, (1, 2)).append_predictions([new])
    (tmp_path / "predictions.jsonl").write_text(json.dumps({**old.__dict__, "at": 9e9}) + "\n")
    assert RunDirectory(tmp_path).predictions()["a", 0] == new
    RunDirectory(tmp_path).append_predictions([replace(old, reason="newest")])
    assert RunDirectory(tmp_path).predictions()["a", 0].reason == "newest"


def test_lines_longer_than_what_is_read_at_once_keep_their_order(tmp_path):
    for number in range(3):
        row = Prediction("a", "a", 0, "failed", reason=str(number) + "x" * 200_000)
        RunDirectory(tmp_path, (1 + number % 2, 2)).append_predictions([row])
    assert RunDirectory(tmp_path).predictions()["a", 0].reason[0] == "2"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("/nowhere/run", "no such file or folder"),
        ("../x", "no such file or folder"),
        ("**x", "No run"),
        ("a[b", "No run"),
    ],
)
def test_names_of_runs_are_no_patterns(tmp_path, name, told):
    with pytest.raises(UsageError, match=told):
        find_run(name, tmp_path)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[]", b'{"schema_version": 99}'])
def test_a_file_that_is_no_result_is_named(tmp_path, content):
    (tmp_path / "result.json").write_bytes(content)
    with pytest.raises(UsageError, match=r"result.json"):
        read_result(tmp_path)


def test_fewer_than_no_workers_are_refused(tiny_corpus):
    with pytest.raises(UsageError, match="--workers -1"):
        pool_of(tiny_corpus, workers=-1)


# ---- changed code, changed outputs


def with_code(monkeypatch, name):
    """Plans that are made from here on are of this state of the code."""
    monkeypatch.setattr("benchmark.runs.evaluation.source_of_method", lambda kind: name)


def test_outputs_of_two_states_of_the_code_are_never_mixed_without_a_word(tiny_corpus, tmp_path, monkeypatch):
    with_code(monkeypatch, "before")
    finish(replace(plan_of(tiny_corpus, tmp_path), limit=5), pool_of(tiny_corpus))
    with_code(monkeypatch, "after")
    plan = plan_of(tiny_corpus, tmp_path)
    mixed = finish(plan, pool_of(tiny_corpus))
    assert mixed.sources == ["after", "before"] and mixed.partial
    assert mixed.why_unranked == "mixed: outputs of 2 states of the code"
    (note,) = notes_on(plan.view, mixed, pool_of(tiny_corpus).scorer, "after")
    assert "2 states of its code and are mixed" in note and "--fresh" in note
    makers = plan.run.makers(row.made_by for row in plan.run.predictions().values())
    assert "mixed" in notes_on_code("painter", "painter", makers, "after")[0]
    anew = finish(plan, pool_of(tiny_corpus), fresh=True)
    assert (
        anew.sources == ["after"]
        and not anew.partial
        and not notes_on(plan.view, anew, pool_of(tiny_corpus).scorer, "after")
    )
    shutil.rmtree(plan.run.path / "provenance")  # what nobody knows is not taken for the same
    assert conclude(plan.view, pool_of(tiny_corpus).scorer).sources == ["unknown"]


def test_outputs_of_older_code_are_told(tiny_corpus, tmp_path, monkeypatch):
    with_code(monkeypatch, "before")
    finish(plan_of(tiny_corpus, tmp_path), pool_of(tiny_corpus))
    with_code(monkeypatch, "after")
    plan, pool = plan_of(tiny_corpus, tmp_path), pool_of(tiny_corpus)
    assert evaluate(plan, pool) == 36  # kept
    (note,) = notes_on(plan.view, conclude(plan.view, pool.scorer), pool.scorer, plan.method.source)
    assert "made by other code than is here now" in note


def test_an_edit_after_the_start_is_not_taken_for_what_ran(tiny_corpus, tmp_path, monkeypatch):
    with_code(monkeypatch, "imported")
    plan = plan_of(tiny_corpus, tmp_path)
    with_code(monkeypatch, "edited meanwhile")
    assert finish(plan, pool_of(tiny_corpus)).sources == ["imported"]


def test_rows_that_other_code_measured_or_whose_output_is_gone_are_not_counted(tiny_corpus, tmp_path, monkeypatch):
    plan = plan_of(tiny_corpus, tmp_path)
    finish(plan, pool_of(tiny_corpus))
    (plan.run.path / plan.run.predictions()["p01", 0].file).unlink()
    result = conclude(plan.view, pool_of(tiny_corpus).scorer)
    assert result.aggregate("brightness_error").scored == 35
    assert result.aggregate("brightness_error").reasons == {"not measured": 1} and result.partial
    monkeypatch.setattr("benchmark.runs.scoring.source_of_metric", lambda kind: "edited")
    assert conclude(plan.view, pool_of(tiny_corpus).scorer).aggregate("brightness_error").scored == 0


def test_a_kill_while_a_run_is_cleared_leaves_it_to_be_cleared(tiny_corpus, tmp_path, monkeypatch):
    plan = plan_of(tiny_corpus, tmp_path)
    finish(plan, pool_of(tiny_corpus))

    def killed(path):
        raise Killed

    monkeypatch.setattr("benchmark.runs.directory.shutil.rmtree", killed)
    with pytest.raises(Killed):
        plan.run.clear()
    monkeypatch.undo()
    assert evaluate(plan, None, fresh=True) == 0


def test_rows_that_nobody_collected_go_to_no_other_run(tiny_corpus, tmp_path, monkeypatch):
    pool = pool_of(tiny_corpus)

    def full(self, rows):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(RunDirectory, "append_scores", full)
    with pytest.raises(OSError):
        evaluate(plan_of(tiny_corpus, tmp_path, gain=3.0), pool)
    monkeypatch.undo()
    assert not pool._pending


def test_a_fresh_run_keeps_nothing(tiny_corpus, tmp_path):
    plan = plan_of(tiny_corpus, tmp_path)
    expected = numbers(finish(plan, pool_of(tiny_corpus)))
    (plan.run.path / "outputs" / "stray.png").write_bytes(b"x")
    (plan.run.path / "report").mkdir()
    assert evaluate(plan, None, fresh=True) == 0
    assert not (plan.run.path / "scores.jsonl").exists() and not (plan.run.path / "report").exists()
    assert not (plan.run.path / "outputs" / "stray.png").exists()
    assert numbers(finish(plan, pool_of(tiny_corpus))) == expected


def test_a_fresh_run_waits_for_shards_that_are_being_written(tiny_corpus, tmp_path):
    plan = plan_of(tiny_corpus, tmp_path)
    evaluate(replace(plan, shard=(1, 2)), None)
    with RunDirectory(plan.run.path, (2, 2)).locked(), pytest.raises(PrerequisiteError, match="shard 2-of-2"):
        evaluate(plan, None, fresh=True)
    assert len(plan.run.predictions()) == 20


def test_an_output_that_was_changed_is_measured_again_and_told(tiny_corpus, tmp_path):
    plan = plan_of(tiny_corpus, tmp_path)
    finish(plan, pool_of(tiny_corpus))
    path = plan.run.path / plan.run.predictions()["p02", 1].file
    status = path.stat()
    write_image(path, np.full((16, 16, 3), 255, np.uint8))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # the content counts, not the date
    result = finish(plan, pool_of(tiny_corpus))
    (rows,) = plan.run.scores().values()
    true = 10 + 20 * 2
    assert rows["p02", 1].statistics["error"] == 255 - true
    assert result.changed == 1 and result.partial and result.why_unranked == "1 outputs changed since they were made"
    assert (
        "1 outputs of painter are not as they were made" in notes_on(plan.view, result, pool_of(tiny_corpus).scorer)[0]
    )


def test_a_date_alone_measures_nothing_again(tiny_corpus, tmp_path, monkeypatch):
    plan = plan_of(tiny_corpus, tmp_path)
    first = finish(plan, pool_of(tiny_corpus))
    for path in plan.run.path.rglob("*.png"):
        os.utime(path, (1, 1))
    monkeypatch.setattr(Brightness, "measure", lambda self, items: pytest.fail("measured again"))
    assert numbers(finish(plan, pool_of(tiny_corpus))) == numbers(first)


def test_what_other_code_of_a_metric_measured_is_measured_again(tiny_corpus, tmp_path, monkeypatch):
    plan = plan_of(tiny_corpus, tmp_path)
    finish(plan, pool_of(tiny_corpus))
    measure, calls = Brightness.measure, []
    monkeypatch.setattr(Brightness, "measure", lambda self, items: calls.append(len(items)) or measure(self, items))
    monkeypatch.setattr("benchmark.runs.scoring.source_of_metric", lambda kind: "edited")
    finish(plan, pool_of(tiny_corpus))
    finish(plan, pool_of(tiny_corpus))
    assert sum(calls) == 36


def test_a_worker_that_dies_leaves_a_row_of_the_version_that_it_died_of(tiny_corpus, tmp_path):
    plan = replace(plan_of(tiny_corpus, tmp_path), protocol=Protocol(0.5, 1))
    pool = pool_of(tiny_corpus, workers=1, deadly="p07")
    result = finish(plan, pool)
    (rows,) = plan.run.scores().values()
    made = plan.run.predictions()
    assert rows["p07", 0].version == made["p07", 0].version != ""
    assert result.failures.rows == 1
    assert result.failures.scoring == {"brightness: the worker process died in metric 'brightness'": 1}


def test_what_a_method_raises_is_kept_once_for_each_place(tiny_corpus, tmp_path, monkeypatch):
    one = Painter._one

    def raising(self, example):
        if example.sample.id in ("p01", "p02"):
            raise KeyError(f"{example.sample.id} has\nno face")
        if example.sample.id == "p03":
            return [][example.repeat]
        if example.sample.id == "p04":
            return MethodError("too quiet")
        return one(self, example)

    monkeypatch.setattr(Painter, "_one", raising)
    plan = plan_of(tiny_corpus, tmp_path)
    pool = pool_of(tiny_corpus)
    result = finish(plan, pool)
    made = plan.run.predictions()
    files = {row.sample: row.traceback for row in made.values() if row.status != "ok"}
    assert set(files) == {"p01", "p02", "p03", "p04"}
    assert files["p01"] == files["p02"] != files["p03"] and files["p04"] is None
    assert all(row.traceback is None for row in made.values() if row.status == "ok")
    assert (
        "KeyError" in (plan.run.path / files["p01"]).read_text() and len(list(plan.run.path.glob("tracebacks/*"))) == 2
    )
    lines = notes_on(plan.view, result, pool.scorer)
    assert lines[0] == f"6 outputs failed where the method raised; traceback: {plan.run.path / files['p01']}"
    assert lines[1].startswith(f'    File "{__file__}", line ') and "KeyError: 'p01 has" in lines[3]
    assert lines[-1] == "  IndexError: list index out of range"
    assert sum(line.startswith("3 outputs failed where the method raised") for line in lines) == 1
    assert not any("\n" in line for line in lines)


@pytest.mark.parametrize(
    ("returned", "reason"),
    [
        (None, "painter.generate returned NoneType, expected a list: an output per example"),
        ("face.png", "painter.generate returned str, expected a list: an output per example"),
        (
            np.zeros((16, 16, 3), np.uint8),
            "painter.generate returned 16 outputs (ndarray [16, 16, 3]) for 1 examples, expected a list: an output per "
            "example",
        ),
    ],
)
def test_what_is_no_list_of_outputs_is_told(tiny_corpus, tmp_path, monkeypatch, returned, reason):
    monkeypatch.setattr(Painter, "generate", lambda self, examples: returned)
    plan = plan_of(tiny_corpus, tmp_path)
    evaluate(plan, None)
    assert {row.reason for row in plan.run.predictions().values()} == {reason}


def test_a_method_that_ends_the_program_fails_its_rows_alone(tiny_corpus, tmp_path, monkeypatch):
    one = Painter._one

    def leave(self, example):
        if example.sample.id == "p04":
            raise SystemExit(3)
        return one(self, example)

    monkeypatch.setattr(Painter, "_one", leave)
    plan = plan_of(tiny_corpus, tmp_path)
    evaluate(plan, None)
    failed = [row for row in plan.run.predictions().values() if row.status != "ok"]
    assert {(row.sample, row.reason) for row in failed} == {("p04", "RuntimeError: the method called sys.exit(3)")}
    assert all((plan.run.path / row.traceback).is_file() for row in failed)


def test_what_a_method_prints_is_no_part_of_the_table(tiny_corpus, tmp_path, monkeypatch, capsys):
    generate = Painter.generate
    monkeypatch.setattr(Painter, "generate", lambda self, examples: print("hello") or generate(self, examples))
    evaluate(plan_of(tiny_corpus, tmp_path), None)
    said = capsys.readouterr()
    assert not said.out and "hello" in said.err
