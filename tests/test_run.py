"""The commands of the README on real methods and metrics: a folder of a few people, and recordings of all kinds."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import ROOT, ended

from benchmark.datasets.talkers.corpus import Talkers
from benchmark.media import read_image, write_audio
from benchmark.types import Audio


def command(*words: object, code: int = 0, alone: bool = False) -> subprocess.CompletedProcess:
    """Run a command; `alone` in a process of its own."""
    if alone:
        line = [sys.executable, "-m", "benchmark", *map(str, words)]
        done = subprocess.run(line, capture_output=True, text=True, cwd=ROOT, timeout=300, check=False)
    else:
        done = ended(*words)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three talkers as a user's own folder."""
    home = tmp_path_factory.mktemp("talkers")
    folder = tmp_path_factory.mktemp("people")
    lines = ["person,sex,age"]
    for sample in Talkers(None, home, workers=1, limit=3).open("test", "speech2face").samples:
        (folder / sample.id).mkdir()
        for number, path in enumerate([*sample.inputs["speech"], *sample.targets["face"]]):
            shutil.copy(path, folder / sample.id / f"{number}{path.suffix}")
        lines.append(f"{sample.id},{sample.attributes['sex']},{sample.attributes['age']}")
    (folder / "people.csv").write_text("\n".join(lines) + "\n")
    return folder


def run(people: Path, runs: Path, *more: object, **how: object) -> Any:
    words = ["run", "-m", "sf2f", "--dataset", "folder", "--data-root", people, "--runs", runs]
    words += ["--repeats", 2, "--workers", 0, "--no-references", "--json", *more]
    return json.loads(command(*words, **how).stdout)


def test_a_folder_of_people_goes_through_and_leaves_a_whole_report(people, tmp_path):
    (result,) = run(people, tmp_path, alone=True)
    numbers = {item["name"]: item for item in result["aggregates"]}
    for name in ("face_cosine", "face_l1", "face_auc", "recall_at_1", "face_detection_rate"):
        assert (numbers[name]["scored"], numbers[name]["total"]) == (6, 6)
        assert numbers[name]["value"] is not None
    assert "gallery:3x1" in numbers["recall_at_1"]["signature"]
    assert numbers["sex_agreement"]["scored"] == numbers["age_r_face"]["scored"] == 6
    assert "dlib-gender-v1" in numbers["sex_agreement"]["signature"]
    assert "vggface_score" not in numbers, "no classifier is fitted to this corpus, and none is borrowed"
    folder = tmp_path / result["run_id"]
    for name in ("run.json", "result.json", "predictions.jsonl", "scores.jsonl"):
        assert (folder / name).stat().st_size > 0
    for name in (
        "table.md",
        "table.csv",
        "table.tex",
        "recall.png",
        "contact_sheet.png",
        "confusion.png",
        "confusion.csv",
    ):
        assert (folder / "report" / name).stat().st_size > 0
    assert read_image(folder / "report" / "contact_sheet.png").shape[1] > 500
    assert len(list((folder / "outputs").rglob("*.png"))) == 6
    before = (folder / "scores.jsonl").read_bytes()
    (again,) = run(people, tmp_path)
    assert again["aggregates"] == result["aggregates"]
    assert (folder / "scores.jsonl").read_bytes() == before
    scored = command("score", folder, "--workers", 0, "--json")
    assert json.loads(scored.stdout)[0]["aggregates"] == result["aggregates"]
    assert "R@1 by speaker %" in command("show", folder, "--signatures").stdout
    (listed,) = json.loads(command("list", "runs", "--runs", tmp_path, "--json").stdout)
    assert listed["state"] == "scored"


def test_groups_are_told_with_the_result_and_kept_in_its_report(people, tmp_path):
    refused = ["run", "-m", "sf2f", "--dataset", "folder", "--data-root", people, "--runs", tmp_path, "--by", "sx"]
    assert "Did you mean 'sex'?" in command(*refused, code=2).stderr and not list(tmp_path.iterdir())
    told = run(people, tmp_path, "--metrics", "face_detection_rate", "--by", "sex", "--by", "age:40")
    (result,), (by_sex, by_age) = told["results"], told["by"]
    assert [by_sex["by"], by_age["cut"]] == ["sex", "cut at 40"]
    assert sum(group["samples"] for group in by_age["groups"]) == result["samples"] == 3
    (number,) = by_sex["numbers"]
    assert all(group["no_interval"] == "fewer than 5 speakers" for group in number["groups"])
    for name in ("by_sex.md", "by_sex.csv", "by_sex.tex", "by_sex.png", "by_age.md"):
        assert (tmp_path / result["run_id"] / "report" / name).stat().st_size > 0
    again = command("score", tmp_path / result["run_id"], "--by", "sex", "--metrics", "face_detection_rate", "--quiet")
    assert "by sex." in again.stdout and "No interval and no test, for fewer than 5 speakers" in again.stdout


def test_what_is_advised_for_a_metric_that_is_left_out_brings_it(people, tmp_path):
    words = ["run", "-m", "sf2f", "--dataset", "folder", "--data-root", people, "--runs", tmp_path]
    words += ["--repeats", 1, "--workers", 0, "--no-references"]
    told = command(*words).stderr
    assert "metric vggface_score is left out" in told
    advised = re.search(r"python -m benchmark (weights fit .+ --data-root) FOLDER", told)[1]
    command(*advised.split(), people)
    asked = ["--metrics", "sex_agreement,age_error_face,face_cosine,recall_at_5_full,vggface_score"]
    shown = command(*words, *asked, "--metric-set", "judge=face_heads", "--signatures")
    assert "left out" not in shown.stderr
    for head in ("sex %", "age error, true face", "cos ↑", "R@5 full by speaker %", "VFS"):
        assert re.search(rf"^{head}", shown.stdout, re.MULTILINE), shown.stdout


def test_classifiers_that_know_no_sex_leave_its_metric_out(people, tmp_path):
    unknown = tmp_path / "people"
    shutil.copytree(people, unknown)
    (unknown / "people.csv").unlink()
    command("weights", "fit", "--dataset", "folder", "--data-root", unknown)
    words = ["run", "-m", "sf2f", "--dataset", "folder", "--data-root", unknown, "--runs", tmp_path, "--repeats", 1]
    words += ["--workers", 0, "--no-references"]
    judged = ["--metric-set", "judge=face_heads"]
    assert "the heads fitted to folder know no sex" in command(*words, *judged, code=2).stderr
    assert "know no age" in command(*words, "--metrics", "age_agreement", *judged, code=2).stderr


def test_a_silent_speaker_is_failed_rows_and_exit_code_1(people, tmp_path):
    mixed = tmp_path / "people"
    shutil.copytree(people, mixed)
    quiet = sorted(path for path in mixed.iterdir() if path.is_dir())[0]
    for path in quiet.glob("*.flac"):
        write_audio(path, Audio(np.zeros(48_000, np.float32), 16_000))
    (result,) = run(mixed, tmp_path / "runs", code=1)
    assert {item["scored"] for item in result["aggregates"] if item["name"] == "face_cosine"} == {4}
    ((reason, count),) = result["failures"]["generation"].items()
    assert count == 2
    assert "silence" in reason
    assert run(mixed, tmp_path / "runs", "--fail-on-error", 2)


def test_data_that_changed_are_not_scored_under_the_old_run(people, tmp_path):
    mixed = tmp_path / "people"
    shutil.copytree(people, mixed)
    (result,) = run(mixed, tmp_path / "runs")
    shutil.rmtree(sorted(path for path in mixed.iterdir() if path.is_dir())[0])
    done = command("score", tmp_path / "runs" / result["run_id"], code=2)
    assert "the data have changed" in done.stderr


@pytest.mark.parametrize("method", ["sf2f", "voice2face"])
def test_predict_makes_a_face_and_the_same_one_again(people, tmp_path, method):
    recording = sorted(people.rglob("*.flac"))[0]
    for name in ("a.png", "b.png"):
        command("predict", "-m", method, "-i", recording, "-o", tmp_path / name)
    face = read_image(tmp_path / "a.png")
    assert face.shape == (64, 64, 3)
    assert face.std() > 10
    assert np.array_equal(face, read_image(tmp_path / "b.png"))


def test_predict_reads_real_recordings_and_sound_tracks(realdata, tmp_path):
    from benchmark.media import read_audio
    from benchmark.runs.evaluation import plan_method
    from benchmark.types import Example, Sample

    sources = [
        *realdata.glob("librispeech/*/*.flac"),
        *realdata.glob("grid/*.mpg"),
        *realdata.glob("speech_pair/*.wav"),
    ]
    assert len(sources) > 50
    examples = [
        Example(Sample(path.stem, path.stem, {"speech": (path,)}), 0, 0, {"speech": read_audio(path)})
        for path in sources
    ]
    for name in ("sf2f", "voice2face"):
        plan = plan_method(name)
        method = plan.kind(plan.settings.config, plan.weights)
        method.load("cpu")
        for path, made in zip(sources, method.generate(examples), strict=True):
            assert isinstance(made, np.ndarray), f"{name} {path}: {made}"
        method.close()


def test_voices_without_faces_make_a_sheet_of_what_is_made_alone(people, tmp_path):
    for number, person in enumerate(sorted(path for path in people.iterdir() if path.is_dir()), 11):
        (tmp_path / f"voices/{number}").mkdir(parents=True)
        shutil.copy(next(person.glob("*.flac")), tmp_path / f"voices/{number}/{number}-1-0000.flac")
    words = ["run", "-m", "sf2f", "--dataset", "librispeech", "--data-root", tmp_path / "voices"]
    words += ["--task", "speech2face", "--runs", tmp_path / "runs"]
    done = command(*words, "--repeats", 2, "--workers", 0, "--no-references")
    assert "the true face of 3 of 3 samples is not known" in done.stderr and "no readable face" not in done.stderr
    (sheet,) = (tmp_path / "runs").glob("*/report/contact_sheet.png")
    assert read_image(sheet).shape[1] == 110 + 2 * (96 + 6) + 12, "a column of labels and two of faces"


def test_real_voices_with_real_faces_go_through_a_folder(realdata, tmp_path):
    folder = tmp_path / "people"
    voices = sorted(path for path in (realdata / "librispeech").iterdir() if path.is_dir())[:4]
    for voice, faces in zip(voices, sorted((realdata / "faces_orl").iterdir()), strict=False):
        target = folder / f"reader {voice.name}"
        shutil.copytree(voice, target / "voice")
        shutil.copytree(faces, target / "face")
    (result,) = run(folder, tmp_path / "runs")
    numbers = {item["name"]: item for item in result["aggregates"]}
    assert numbers["face_cosine"]["scored"] == 8
    assert numbers["recall_at_1_within"]["scored"] == 0, "neither sex nor age is known"
