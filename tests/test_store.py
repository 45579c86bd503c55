import json

import numpy as np
import pytest

from benchmark.errors import PrerequisiteError, UsageError
from benchmark.runs.directory import Prediction, RunDirectory, ScoreRow


def prediction(sample: str, repeat: int = 0, status: str = "ok", file: str | None = None) -> Prediction:
    return Prediction(sample, sample, repeat, status, file)


def test_rows_come_back_and_the_last_one_of_a_key_counts(tmp_path):
    run = RunDirectory(tmp_path)
    (tmp_path / "x.png").write_bytes(b"x")
    run.append_predictions([prediction("a", status="failed"), prediction("b", file="x.png")])
    run.append_predictions([prediction("a", file="x.png")])
    assert {key: row.status for key, row in run.predictions().items()} == {("a", 0): "ok", ("b", 0): "ok"}


def test_an_ok_row_without_its_file_does_not_count(tmp_path):
    run = RunDirectory(tmp_path)
    run.append_predictions([prediction("a", file="gone.png"), prediction("b", status="failed")])
    assert list(run.predictions()) == [("b", 0)]


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_torn_last_line_is_dropped_and_the_next_append_is_whole(tmp_path, cut):
    run = RunDirectory(tmp_path)
    run.append_predictions([prediction("a", status="failed"), prediction("b", status="failed")])
    file = tmp_path / "predictions.jsonl"
    content = file.read_bytes()
    file.write_bytes(content[:-cut])
    assert list(run.predictions()) == [("a", 0)]
    run.append_predictions([prediction("c", status="failed")])
    assert list(run.predictions()) == [("a", 0), ("c", 0)]
    assert all(json.loads(line) for line in file.read_text().splitlines())


def test_a_line_that_is_no_row_is_named_by_its_number(tmp_path):
    run = RunDirectory(tmp_path)
    run.append_predictions([prediction("a", status="failed"), prediction("b", status="failed")])
    file = tmp_path / "predictions.jsonl"
    file.write_bytes(file.read_bytes().replace(b'"sample": "b"', b'"sampel": "b"'))
    with pytest.raises(UsageError, match=r"predictions\.jsonl, line 2 is not a row of predictions"):
        run.predictions()


def test_arrays_and_undefined_numbers_survive(tmp_path):
    run = RunDirectory(tmp_path)
    vector = np.linspace(-1, 1, 7, dtype=np.float32).reshape(7, 1)
    run.append_scores([ScoreRow("a", "a", 0, "m", "s", "ok", None, {"v": vector, "x": 0.1, "none": float("nan")})])
    row = run.scores()["m", "s"]["a", 0]
    assert np.array_equal(row.statistics["v"], vector)
    assert row.statistics["x"] == 0.1
    assert np.isnan(row.statistics["none"])


def test_shards_write_apart_and_are_read_together(tmp_path):
    for index in (1, 2):
        RunDirectory(tmp_path, (index, 2)).append_predictions([prediction(f"s{index}", status="failed")])
    assert sorted(RunDirectory(tmp_path).predictions()) == [("s1", 0), ("s2", 0)]
    assert not (tmp_path / "predictions.jsonl").exists()


def test_two_processes_cannot_hold_one_run(tmp_path):
    with RunDirectory(tmp_path).locked():
        with pytest.raises(PrerequisiteError, match="Another process"), RunDirectory(tmp_path).locked():
            pass
        with RunDirectory(tmp_path, (1, 2)).locked():
            pass


@pytest.mark.parametrize("sample", ["../../etc/passwd", "a/b", ".hidden", "x" * 300, "naïve name", "", "a\nb"])
def test_hostile_ids_stay_inside_the_run(tmp_path, sample):
    file = RunDirectory(tmp_path).output_path(sample, 0, ".png")
    assert (tmp_path / file).resolve().is_relative_to(tmp_path.resolve() / "outputs")
    assert len(file) < 150
    assert file.count("/") == 2


def test_hostile_ids_do_not_collide(tmp_path):
    run = RunDirectory(tmp_path)
    assert run.output_path("a/b", 0, ".png") != run.output_path("a_b", 0, ".png") != run.output_path("a\\b", 0, ".png")


def test_a_folder_that_is_no_run_says_so(tmp_path):
    with pytest.raises(UsageError, match="not a run directory"):
        RunDirectory(tmp_path).read_run()
