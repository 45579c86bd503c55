"""Results as a pandas frame: what the files say, one line for each number."""

from __future__ import annotations

import json
import pydoc
import re
import subprocess
import sys
from pathlib import Path

import pandas
import pytest
from test_tables import result

from benchmark.errors import UsageError
from benchmark.results import frame
from benchmark.results.finding import PUBLISHED
from benchmark.results.frame import COLUMNS


def keep(folder: Path, name: str = "result.json", **changes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(result(**changes).model_dump_json(), encoding="utf-8")
    return path


def test_a_line_holds_what_the_file_says(tmp_path):
    path = keep(tmp_path / "a", value=1 / 3)
    made = frame(path)
    assert list(made.columns) == list(COLUMNS)
    said = json.loads(path.read_text())
    assert len(made) == len(said["aggregates"])
    for (_, line), item in zip(made.iterrows(), said["aggregates"], strict=True):
        assert (line.number, line.signature, line.unit) == (item["name"], item["signature"], item["unit"])
        for name in ("value", "low", "high", "spread"):
            assert pandas.isna(line[name]) if item[name] is None else line[name] == item[name]
        assert (line.scored, line.total, line.method) == (item["scored"], item["total"], said["spec"]["method"])
        assert (line.run_id, line.path) == (said["run_id"], str(path))


def test_folders_are_searched_and_what_else_runs_keep_is_passed_over(tmp_path):
    keep(tmp_path / "runs" / "one")
    (tmp_path / "runs" / "one" / "run.json").write_text("{}")
    (tmp_path / "runs" / "one" / "provenance").mkdir()
    (tmp_path / "runs" / "one" / "provenance" / "abc.json").write_text("{}")
    (tmp_path / "runs" / "unscored").mkdir()
    (tmp_path / "runs" / "unscored" / "run.json").write_text("{}")
    keep(tmp_path / "board" / "speech2face" / "talkers", "sf2f-talkers-0123456789.json", label="other")
    (tmp_path / "board" / "notes.txt").write_text("no result")
    both = frame([tmp_path / "runs", str(tmp_path / "board")])
    assert list(dict.fromkeys(both.label)) == ["sf2f", "other"]
    assert len(frame(tmp_path / "runs" / "one")) == len(both) / 2


def test_a_broken_file_of_a_folder_is_named_and_one_that_is_asked_for_is_refused(tmp_path):
    keep(tmp_path / "good")
    (tmp_path / "bad.json").write_text("{]")
    with pytest.warns(UserWarning, match="bad.json"):
        made = frame(tmp_path)
    assert set(made.label) == {"sf2f"}
    with pytest.raises(UsageError, match="bad.json"):
        frame(tmp_path / "bad.json")
    with pytest.raises(UsageError, match="is not there"):
        frame(tmp_path / "nowhere")


def test_none_is_an_empty_frame_with_the_same_columns(tmp_path):
    made = frame(tmp_path)
    assert len(made) == 0 and list(made.columns) == list(COLUMNS)


def test_a_number_without_value_is_missing_and_no_sentinel(tmp_path):
    (line,) = frame(keep(tmp_path / "a", value=None, scored=0)).itertuples()
    assert pandas.isna(line.value) and line.scored == 0


def test_a_percentage_is_a_fraction_and_a_role_tells_methods_from_floors_and_ceilings(tmp_path):
    for method in ("chance", "ground_truth", "sf2f"):
        made = result(value=0.85)
        spec = made.spec.model_copy(update={"method": method})
        (tmp_path / f"{method}.json").write_text(made.model_copy(update={"spec": spec}).model_dump_json())
    made = frame(tmp_path)
    assert dict(zip(made.method, made.role, strict=True)) == {
        "chance": "floor", "ground_truth": "ceiling", "sf2f": "method",
    }  # fmt: skip
    assert set(made.value[made.unit == "%"]) == {0.85}


def test_help_lists_the_columns_and_its_example_has_each_label_once():
    shown = pydoc.plain(pydoc.render_doc(frame))
    assert all(f"    {name}: {text}" in shown for name, text in COLUMNS.items())
    assert "a value is a fraction of 1" in shown
    (query,) = re.findall(r'numbers\.query\("(.*)"\)', shown)
    for place in sorted({path.parent.parent for path in PUBLISHED.rglob("*.json")} if PUBLISHED.is_dir() else []):
        found = frame(place).query(query)
        assert found.label.is_unique and (place.parent.name != "speech2face" or len(found) > 2)


def test_importing_results_imports_nothing_heavy():
    heavy = "('pandas', 'numpy', 'pydantic', 'torch')"
    code = f"import benchmark.results, sys; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
