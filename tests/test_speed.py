"""The `speed` verb on a toy of known size, in its own processes, and on SF2F."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

from baselines.layers.vad import SF2F_VAD, VOICE2FACE_VAD
from baselines.method import Method
from benchmark.cli.main import app
from benchmark.configuration import Presets
from benchmark.errors import InvalidConfig, MethodError, MissingWeights, UnknownName, UsageError
from benchmark.registry import Entry, methods
from benchmark.runs import speed
from benchmark.runs.speed import Conditions, Row, count_parameters, find_candidates, make_example
from benchmark.tasks import get_task
from benchmark.types import Example

ROOT = Path(__file__).parent.parent
PARENT_MIB = 400


class Stubborn(Method):
    """Hands the noisy speech back, notes its calls, and dies where it is told to; takes no random weights."""

    name, task, title = "stubborn", "av_enhancement", "hands the noisy speech back"

    @dataclass(frozen=True)
    class Config:
        held_mib: int = 0
        passing_mib: int = 0
        fault: str = ""
        log: str = ""

    def load(self, device: str) -> None:
        if self.weights is None:
            raise MissingWeights("toy has no weights")
        self.build("file")

    def build(self, origin: str) -> None:
        from torch import nn

        self.origin = origin
        self.first = nn.Linear(3, 4)
        self.second = nn.Sequential(self.first, nn.BatchNorm1d(4))
        self.held = np.ones(self.config.held_mib * 2**20, np.uint8)

    def generate(self, examples: Sequence[Example]) -> list[np.ndarray | Exception]:
        import torch

        match self.config.fault:
            case "exit":
                os._exit(3)
            case "raise":
                raise RuntimeError("out of luck\nand more")
        np.ones(self.config.passing_mib * 2**20, np.uint8)
        shapes = [[len(e.inputs["noisy"].samples), *e.inputs["video"].frames.shape] for e in examples]
        about = {"shapes": shapes, "pid": os.getpid(), "threads": torch.get_num_threads(), "origin": self.origin}
        with open(self.config.log, "a", encoding="utf-8") as file:
            file.write(json.dumps(about) + "\n")
        return [example.inputs["noisy"].samples for example in examples]


class Toy(Stubborn):
    name = "toy"

    def load_random(self, device: str, seed: int) -> None:
        self.build("random")


TABLES = {
    "own": {"weights": "test_speed.py"},
    "large": {"held_mib": 200, "passing_mib": 100},
    "exits": {"fault": "exit"},
    "raises": {"fault": "raise"},
}


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    """The toys under their names, with presets."""
    beside = Presets.beside

    def presets(folder: Path) -> Presets:
        return Presets(folder, "own", TABLES) if folder == Path(__file__).parent else beside(folder)

    monkeypatch.setattr(Presets, "beside", presets)
    for name, kind in (("toy", "Toy"), ("stubborn", "Stubborn")):
        monkeypatch.setitem(methods.entries, name, Entry(f"test_speed:{kind}", "a toy"))


def test_methods_are_measured_side_by_side_and_a_dead_one_is_one_failed_row(toys, tmp_path):
    log, output = tmp_path / "calls.jsonl", tmp_path / "new" / "speed.json"
    held = np.ones(PARENT_MIB * 2**20, np.uint8)  # must not be taken for theirs
    words = ["speed", "-m", "toy,toy:large", "-m", "toy:exits,toy:raises", "--random-weights"]
    words += ["--repeats", "3", "--warm-up", "2", "--batch-size", "2", "--threads", "1", "--device", "cpu"]
    done = CliRunner().invoke(app, [*words, "--set", f"log={log}", "--output", str(output)])
    assert done.exit_code == 1, done.exception  # rows failed
    document = json.loads(output.read_text(encoding="utf-8"))
    own, large, exits, raises = document["rows"]

    assert document["seconds"] == 2.04  # the task takes whole recordings
    assert [row["label"] for row in document["rows"]] == [f"toy:{name}" for name in TABLES]
    assert document["provenance"]["packages"]["torch"]
    assert (own["weights"], large["weights"]) == ("test_speed.py", "random")
    assert large["config"]["held_mib"] == 200
    for row in (own, large):
        assert row["status"] == "ok"
        assert len(row["times_s"]) == 3
        assert row["median_s"] == sorted(row["times_s"])[1]
        assert row["made"] == pytest.approx(2 * 2.04)
        assert row["rtf"] == pytest.approx(row["median_s"] / 4.08)
        assert row["times_real_time"] * row["rtf"] == pytest.approx(1)
        assert row["parameters"] == (3 * 4 + 4) + (4 + 4)  # the layer that is held twice counts once
        assert row["threads"] == 1
        assert row["over_baseline_mib"] == row["peak_mib"] - row["baseline_mib"]
    assert own["times_as_fast_as_first"] == 1
    assert large["times_as_fast_as_first"] == pytest.approx(own["median_s"] / large["median_s"])
    assert 300 <= large["over_baseline_mib"] < 400
    assert own["over_baseline_mib"] < 100
    assert own["peak_mib"] < speed._resident_memory().now_mib - held.nbytes / 2**20 / 2

    assert {row["status"] for row in (exits, raises)} == {"failed"}
    assert exits["reason"] == "its process ended with exit code 3"
    assert raises["reason"] == "RuntimeError: out of luck"
    assert "rtf" not in exits

    calls = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    assert [call["origin"] for call in calls] == ["file"] * 5 + ["random"] * 5
    assert all(call["shapes"] == [[32640, 51, 112, 112]] * 2 and call["threads"] == 1 for call in calls)
    assert len({call["pid"] for call in calls} | {os.getpid()}) == 3  # a process each

    lines = done.stdout.splitlines()
    assert lines[0].startswith("2 x 2.04 s a call, median of 3 calls after 2 to warm up")
    assert "toy:raises failed: RuntimeError: out of luck" in done.output
    assert sum("failed  " in line for line in lines) == 2
    assert any("threads 1; torch" in line for line in lines)


def test_sf2f_is_measured_without_a_dataset():
    line = [sys.executable, "-m", "benchmark", "speed", "-m", "sf2f:talkers", "--repeats", "1", "--threads", "1"]
    line += ["--json", "--quiet", "--device", "cpu", "--batch-size", "2"]
    done = subprocess.run(line, capture_output=True, text=True, cwd=ROOT, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    document = json.loads(done.stdout)
    (row,) = document["rows"]
    assert (document["seconds"], row["made"]) == (5.0, 2.0)
    assert row["faces_per_second"] == pytest.approx(2 / row["times_s"][0])
    assert row["parameters"] == _parameters_in(ROOT / "baselines" / "sf2f" / "talkers.safetensors")
    assert row["over_baseline_mib"] > 4 * row["parameters"] / 2**20  # float32 weights at the least


def _parameters_in(path: Path) -> int:
    """From the header of a safetensors file; statistics of normalisation left out."""
    raw = path.read_bytes()
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    kept = [name for name in header if name != "__metadata__" and "running_" not in name and "num_batches" not in name]
    return sum(int(np.prod(header[name]["shape"])) for name in kept)


@pytest.mark.parametrize("seconds", [0.5, 1.25, 5.0])
def test_detectors_of_voice_activity_keep_the_sound(seconds):
    for number in range(3):
        speech = make_example(get_task("speech2face"), seconds, number).inputs["speech"]
        assert (speech.rate, speech.samples.dtype, len(speech.samples)) == (16_000, np.float32, 16_000 * seconds)
        assert np.abs(speech.samples).max() == pytest.approx(0.5)
        for detector in (SF2F_VAD, VOICE2FACE_VAD):
            assert len(detector(speech.samples)) > 0.9 * len(speech.samples)


@pytest.mark.parametrize(("seconds", "frames"), [(1.0, 25), (0.28, 7), (1.01, 26), (2.04, 51)])
def test_a_video_covers_its_sound(seconds, frames):
    inputs = make_example(get_task("av_enhancement"), seconds, 0).inputs
    assert inputs["video"].frames.shape == (frames, 112, 112)
    assert inputs["video"].frames.dtype == np.uint8


def test_a_mouth_is_made_up_for_lips():
    inputs = make_example(get_task("lip2speech"), 1.01, 0).inputs
    assert inputs["mouth"].frames.shape == (26, 96, 96) and inputs["mouth"].frames.dtype == np.uint8
    assert len(inputs["enrolment"].samples) == len(inputs["noisy"].samples) == 16_160


def test_inputs_are_the_same_for_the_same_number_and_differ_in_a_batch():
    task = get_task("av_enhancement")
    first, again, second = make_example(task, 0.5, 0), make_example(task, 0.5, 0), make_example(task, 0.5, 1)
    assert first.seed == again.seed != second.seed
    assert np.array_equal(first.inputs["noisy"].samples, again.inputs["noisy"].samples)
    assert np.array_equal(first.inputs["video"].frames, again.inputs["video"].frames)
    assert not np.array_equal(first.inputs["noisy"].samples, second.inputs["noisy"].samples)
    assert not np.array_equal(first.inputs["video"].frames, second.inputs["video"].frames)
    odd = SimpleNamespace(name="odd", inputs={"smell": "air"}, rate=16_000)
    with pytest.raises(UsageError, match="'smell' of kind air"):
        make_example(odd, 1.0, 0)


def test_parameters_are_those_of_all_modules():
    from torch import nn

    tied = nn.Embedding(7, 5)
    head = nn.Linear(5, 7, bias=False)
    head.weight = tied.weight
    assert count_parameters({"a": tied, "b": head, "c": nn.Conv1d(2, 3, 4), "d": 1}) == 7 * 5 + (2 * 3 * 4 + 3)
    assert count_parameters({"session": object()}) is None


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")
def test_the_peak_is_that_since_the_last_reset():
    before = speed._resident_memory(reset=True)
    np.ones(200 * 2**20, np.uint8)
    after = speed._resident_memory()
    assert after.peak_mib - before.now_mib == pytest.approx(200, abs=10)
    assert after.now_mib == pytest.approx(before.now_mib, abs=10)
    assert speed._resident_memory(reset=True).peak_mib == pytest.approx(after.now_mib, abs=10)


def test_outputs_that_are_no_outputs_fail():
    sound, face = get_task("av_enhancement"), get_task("speech2face")
    assert speed._made([np.zeros(8000), np.zeros(16_000)], 2, sound) == 1.5
    assert speed._made([np.zeros((4, 4, 3), np.uint8)], 1, face) == 1
    for outputs, task, message in (
        ([], sound, "0 outputs for 1"),
        ([np.zeros((2, 800))], sound, r"expected speech \[T\].*, got \[2, T\]"),
        ([np.zeros(0)], sound, r"got \[0\]"),
        ([MethodError("too short")], sound, "too short"),
        ([np.zeros((4, 4))], face, "expected a face"),
    ):
        with pytest.raises(MethodError, match=message):
            speed._made(outputs, 1, task)


@pytest.mark.parametrize(
    ("names", "sets", "error", "message"),
    [
        ([], (), UsageError, "names no method"),
        (["sf2"], (), UnknownName, "Did you mean 'sf2f'"),
        (["sf2f:papr"], (), UnknownName, "Did you mean 'paper'"),
        (["sf2f:"], (), UsageError, "expected NAME or NAME:PRESET"),
        ([":paper"], (), UsageError, "expected NAME or NAME:PRESET"),
        (["sf2f"], ("widht=1",), InvalidConfig, "Did you mean 'width'"),
        (["chance"], (), UsageError, "reference row"),
        (["sf2f", "ground_truth"], (), UsageError, "reference row"),
        (["sf2f", "toy"], (), UsageError, "makes image, 'toy:own' audio"),
        (["toy:large"], (), MissingWeights, "'toy:large' has no weights.*--random-weights"),
    ],
)
def test_a_choice_that_cannot_be_measured_says_why(toys, names, sets, error, message):
    with pytest.raises(error, match=message):
        find_candidates(names, sets)


def test_random_weights_are_for_methods_that_take_them_and_presets_that_have_none(toys):
    own, large = find_candidates(["toy", "toy:large"], random_weights=True)
    assert (own.random_weights, large.random_weights) == (False, True)
    with pytest.raises(UsageError, match="'stubborn:large' has no weights.*load_random"):
        find_candidates(["stubborn:large"], random_weights=True)


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ({"seconds": 0.0}, "--seconds 0: expected 0.1 to 3600"),
        ({"seconds": float("nan")}, "--seconds nan"),
        ({"batch_size": 0}, "--batch-size 0: expected 1 to"),
        ({"repeats": 0}, "--repeats 0"),
        ({"warm_up": -1}, "--warm-up -1: expected 0"),
        ({"threads": 0}, "--threads 0"),
    ],
)
def test_conditions_out_of_range_are_refused(conditions, message):
    with pytest.raises(UsageError, match=message):
        Conditions(**conditions)


def test_a_report_that_cannot_be_written_says_so(toys, tmp_path, monkeypatch):
    measured = []

    def measure(candidates, conditions, say):
        measured.extend(candidates)
        return [Row(candidate, None, "not tried") for candidate in candidates]

    monkeypatch.setattr(speed, "measure", measure)
    refused = CliRunner().invoke(app, ["speed", "-m", "toy", "-o", str(tmp_path / "speed.txt")])
    assert isinstance(refused.exception, UsageError) and "speed.json" in str(refused.exception)
    assert not measured
    (tmp_path / "file").write_text("")
    unwritable = CliRunner().invoke(app, ["speed", "-m", "toy", "-o", str(tmp_path / "file" / "speed.json")])
    assert isinstance(unwritable.exception, UsageError) and "cannot be written" in str(unwritable.exception)
    assert "toy:own" in unwritable.stdout  # what was measured is not lost
