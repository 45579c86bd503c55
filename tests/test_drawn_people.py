"""Weights that learnt drawn people alone say so wherever what they make of others is read."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import ended
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from benchmark.errors import MissingDependency
from benchmark.media import write_audio, write_image
from benchmark.registry import methods
from benchmark.runs.evaluation import plan_method, presets_of, read_result
from benchmark.types import Audio

SHIPPED = ("sf2f", "voice2face", "avp_gan", "speech2face_ddpm", "flowavse", "avdiffuss", "sgmse", "lipdiffuser")
TOLD = "the drawn people of talkers alone"


def shipped(method: str) -> Path:
    path = plan_method(method).weights
    assert path is not None
    return path


def test_every_preset_with_weights_in_the_project_says_whom_they_learnt():
    telling = {}
    for name in methods:
        try:
            presets = presets_of(methods.load(name))
        except MissingDependency:
            continue
        telling |= {
            (name, key): table.get("drawn_people") for key, table in presets.tables.items() if "weights" in table
        }
    assert telling == {(name, "talkers"): "talkers" for name in SHIPPED}


@pytest.mark.parametrize("method", ["sf2f", "sgmse"])
def test_only_the_preset_s_own_weights_say_it(method: str, tmp_path: Path):
    own = shipped(method)
    with safe_open(own, framework="pt") as file:
        about = file.metadata()
    same, other = tmp_path / "same.safetensors", tmp_path / "other.safetensors"
    same.write_bytes(own.read_bytes())
    save_file({name: tensor + torch.ones_like(tensor) for name, tensor in load_file(own).items()}, other, about)
    assert plan_method(method).drawn_people == "talkers"
    assert plan_method(method, weights=same).drawn_people == "talkers", "the same weights from another place"
    assert plan_method(method, weights=other).drawn_people == ""


def test_methods_without_weights_say_nothing():
    for name in ("mean_face", "ground_truth", "wiener", "noisy", "outputs"):
        assert plan_method(name).drawn_people == ""


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """Two people, a voice and a picture of each."""
    for number, pitch in enumerate((110, 220)):
        time = np.arange(32_000) / 16_000
        voice = 0.3 * np.sign(np.sin(2 * np.pi * pitch * time)) * (1 + np.sin(2 * np.pi * 4 * time)) / 2
        write_audio(tmp_path / f"corpus/p{number}/voice.wav", Audio(voice.astype(np.float32), 16_000))
        write_image(tmp_path / f"corpus/p{number}/face.png", np.full((64, 64, 3), 60 + 90 * number, np.uint8))
    return tmp_path


def test_a_run_on_recorded_people_tells_it_in_plan_table_report_and_result(recorded: Path):
    words = ("run", "--method", "voice2face", "--dataset", "folder", "--data-root", "corpus", "--runs", "runs")
    words += ("--no-references", "--repeats", "1", "--metrics", "face_detection_rate", "--workers", "0")
    plan = ended(*words, "--dry-run", cwd=recorded)
    assert plan.returncode == 0, plan.stderr
    assert json.loads(plan.stdout)[0]["drawn_people"] == "talkers"
    assert TOLD in plan.stderr and "folder" in plan.stderr and "--weights" in plan.stderr
    done = ended(*words, cwd=recorded)
    assert done.returncode == 0, done.stderr
    assert TOLD in done.stdout and done.stderr.count(TOLD) == 1
    (run,) = (recorded / "runs").iterdir()
    for name in ("table.md", "table.tex"):
        assert f"{TOLD}: voice2face." in (run / "report" / name).read_text(encoding="utf-8")
    assert read_result(run).drawn_people == "talkers" and read_result(run).learnt_others
    again = ended("score", run, "--metrics", "face_detection_rate", "--workers", "0", cwd=recorded)
    assert again.returncode == 0 and TOLD in again.stdout
    assert TOLD in ended("show", run).stdout
    assert not read_result(run).model_copy(update={"drawn_people": "folder"}).learnt_others


def test_a_prediction_tells_it_in_one_line(recorded: Path):
    words = ("predict", "--method", "voice2face", "--input", "corpus/p0/voice.wav", "--output", "face.png")
    done = ended(*words, cwd=recorded)
    assert done.returncode == 0, done.stderr
    assert [TOLD in line for line in done.stderr.splitlines()].count(True) == 1
    assert json.loads(ended(*words, "--json", cwd=recorded).stdout)["drawn_people"] == "talkers"
    assert TOLD not in ended(*words, "--quiet", cwd=recorded).stderr
