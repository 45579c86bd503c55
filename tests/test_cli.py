"""The command line: every verb has help, errors exit with 2 and say what to do, JSON is JSON."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import typer
from commands import ROOT, ended

from benchmark.cli.ending import heeded
from benchmark.cli.main import app
from benchmark.media import write_audio
from benchmark.registry import methods
from benchmark.runs.evaluation import presets_of
from benchmark.types import Audio

VERBS = (
    "run",
    "generate",
    "score",
    "compare",
    "leaderboard",
    "table",
    "predict",
    "train",
    "speed",
    "figure",
    "list",
    "show",
    "data",
    "weights",
    "doctor",
)


def command(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess:
    """In a process of its own."""
    code = "from benchmark.cli.main import main; main()"
    line = [sys.executable, "-c", code, *words]
    return subprocess.run(line, capture_output=True, text=True, cwd=cwd or ROOT, timeout=120, check=False)


def commands(group: typer.core.TyperGroup, path: tuple[str, ...] = ()):
    for name, item in group.commands.items():
        if hasattr(item, "commands"):
            yield from commands(item, (*path, name))
        else:
            yield (*path, name), item


ALL = dict(commands(typer.main.get_command(app)))


def test_the_verbs_are_those_of_the_readme():
    assert {path[0] for path in ALL} == set(VERBS)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for verb in VERBS:
        assert f"`{verb}`" in readme


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_verb_and_option_has_help(path):
    item = ALL[path]
    assert item.help
    for parameter in item.params:
        if parameter.name != "help":
            assert parameter.help, f"{parameter.name} has no help"


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_examples_in_help_use_real_options(path):
    for line in re.findall(r"python -m benchmark (.+)", ALL[path].help):
        words = line.split()
        assert tuple(words[: len(path)]) == path
        known = {option for parameter in ALL[path].params for option in [*parameter.opts, *parameter.secondary_opts]}
        assert {word for word in words if word.startswith("-")} <= known


FILM = ("--input", "a.mp4", "--enroll", "a.wav", "--output", "b.wav")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("run", "--method", "sf2"), "Unknown method 'sf2'. Did you mean 'sf2f'"),
        (("run", "--method", "sf2f", "--set", "widht=1"), "unknown key 'widht'. Did you mean 'width'"),
        (("run", "--method", "sf2f", "--preset", "papr"), "Did you mean 'paper'"),
        (("run", "--method", "sf2f", "--preset", "paper"), "train --method sf2f --preset paper"),
        (("run", "--method", "sf2f", "--preset", "paper"), "publish with `--preset official --weights sf2f_official`"),
        (
            ("run", "--method", "flowavse", "--preset", "small"),
            "weights fetch flowavse_official` says how they are had), train them",
        ),
        (("run", "--method", "lipdiffuser", "--preset", "paper"), "preset 'paper': train them with"),
        (("predict", "--method", "lipdiffuser", "--set", "video=shuffled", *FILM), "--set video=shuffled` has one"),
        (("predict", "--method", "lipdiffuser", "--set", "enrolment=shuffled", *FILM), "another person's enrolment"),
        (("run", "--method", "sf2f", "--weights", "nowhere.safetensors"), "nowhere.safetensors is not a file"),
        (("run", "--method", "sf2f", "--dataset", "folder"), "no --data-root was given"),
        (("run", "--method", "sf2f", "--dataset", "folder", "--data-root", "nowhere"), "'nowhere' is not a folder"),
        (("run", "--method", "sf2f", "--dataset", "talker"), "Did you mean 'talkers'"),
        (("run", "--method", "sf2f", "--split", "dev"), "it has: train, val, test"),
        (("run", "--method", "sf2f", "--device", "gpu"), "auto, cpu, cuda"),
        (("run", "--method", "sf2f", "--limit", "0"), "expected 1 or more"),
        (("run", "--method", "sf2f", "--metric-set", "split=3"), "Did you mean 'splits'"),
        (("run", "--method", "sf2f", "--face-network", "facenet140"), "weights fetch facenet_vggface2"),
        (("score", "no_such_run"), "list runs"),
        (("score", "/no/such/run"), "list runs"),
        (("score", "run", "--align"), "--align goes with --estimate"),
        (("score", "run", "--device", "cuda"), "--device goes with --estimate"),
        (("score", "run", "--limit", "-3"), "--limit -3: expected 1 or more"),
        (("score", "--estimate", "a.wav", "--data-root", "x"), "--data-root goes with a run"),
        (("score", "--estimate", "a.wav", "--limit", "0"), "--limit 0: expected 1 or more"),
        (("show", "no_such_thing"), "No run 'no_such_thing'"),
        (("list", "method"), "Did you mean 'methods'"),
        (("predict", "--method", "chance", "--input", "a.wav", "--output", "b.png"), "reference row"),
        (("predict", "--method", "sf2f", "--input", "a.wav", "--output", "b.jpg"), "b.png"),
        (("predict", "--method", "sf2f", "--input", "a.wav", "--output", "b.png"), "a.wav"),
        (("predict", "--method", "sf2f", "--input", "broken.wav", "--output", "b.png"), "broken.wav"),
        (("predict", "--method", "flowavse", "--input", "broken.mp4", "--output", "b.wav"), "broken.mp4"),
        (("weights", "fetch", "facenet"), "Did you mean 'facenet_vggface2'"),
    ],
)
def test_a_mistake_exits_with_2_and_says_what_to_do(words, message, tmp_path):
    (tmp_path / "run").mkdir()
    for name in ("broken.wav", "broken.mp4"):
        (tmp_path / name).write_bytes(b"no recording")
    (tmp_path / "run" / "run.json").write_text("{}")
    done = ended(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_an_output_that_a_method_cannot_make_is_a_failure_and_no_mistake(tmp_path):
    """The command and its files are right, and the method says why it has nothing to give."""
    write_audio(tmp_path / "short.wav", Audio(np.full(800, 0.1, np.float32), 16_000))
    done = ended("predict", "--method", "sf2f", "--input", "short.wav", "--output", "b.png", cwd=tmp_path)
    assert done.returncode == 1 and done.stderr.startswith("error: short.wav: ") and not (tmp_path / "b.png").exists()


def test_each_preset_that_takes_published_weights_is_there():
    """What `published` tells to type has a preset of the method, and one whose weights are not shipped."""
    named = {}
    for name in methods:
        kind = methods.load(name)
        if kind.published:
            preset = re.fullmatch(rf"--preset (\S+) --weights {name}_official", kind.published)[1]
            assert presets_of(kind).table(preset).get("weights") is None
            named[name] = preset
    assert named == {
        "sgmse": "paper",
        **dict.fromkeys(("sf2f", "voice2face", "flowavse", "avdiffuss"), "official"),
    }


def test_json_is_json_and_nothing_else():
    assert {row["method"] for row in json.loads(command("list", "methods", "--json").stdout)} >= {"sf2f", "voice2face"}


def test_a_card_is_shown():
    assert "SF2F" in ended("show", "sf2f").stdout
    assert "recall" in ended("show", "retrieval").stdout


def test_a_number_is_shown_by_the_title_that_tables_print():
    for title in ("R@10", "si-sdr"):
        number = {"R@10": "retrieval", "si-sdr": "si_sdr"}[title]
        assert ended("show", title).stdout == ended("show", number).stdout
    done = ended("show", "recal_at_10")
    told = "Unknown name 'recal_at_10'. Did you mean 'recall_at_10'? No run 'recal_at_10' in runs/. List runs with: "
    assert done.returncode == 2 and told in done.stderr


def test_a_task_is_shown():
    shown = json.loads(ended("show", "av_enhancement", "--json").stdout)
    assert shown["inputs"] == "noisy (audio), video (video)" and "flowavse" in shown["methods"].split(", ")
    assert "protocol: clips of 5 s, 10 repeats" in ended("show", "speech2face").stdout


def test_runs_are_listed_with_what_tells_them_apart(tmp_path):
    spec = {"task": "av_enhancement", "dataset": "talkers", "split": "test", "seconds": 2.04}
    for name, more, partial in (("a", {}, None), ("b", {"limit": 3}, True), ("c", {}, False)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text(json.dumps({"label": "noisy", "spec": spec, **more}))
        if partial is not None:
            (tmp_path / name / "result.json").write_text(json.dumps({"partial": partial}))
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "run.json").write_text("[]")
    for name, content in (("e", "{"), ("f", "{}"), ("g", "[]")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text(json.dumps({"label": "[x]", "spec": spec}))
        (tmp_path / name / "result.json").write_text(content)
    rows = json.loads(ended("list", "runs", "--json", "--runs", str(tmp_path)).stdout)
    states = ["unscored", "partial, first 3 samples", "scored", "run.json is broken", *["result.json is broken"] * 3]
    assert [row["state"] for row in rows] == states
    assert (rows[0]["task"], rows[0]["dataset"], rows[0]["clips"]) == ("av_enhancement", "talkers test", "2.04 s")


def test_a_path_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    done = command("run", "--method", "noisy", "--dataset", "grid", "--data-root", ".", "--runs", "file", cwd=tmp_path)
    assert done.returncode == 2 and "Traceback" not in done.stderr and done.stderr.startswith("error: ")


def test_an_empty_runs_folder_lists_nothing(tmp_path):
    assert json.loads(ended("list", "runs", "--json", "--runs", str(tmp_path)).stdout) == []


def test_a_second_request_to_end_disturbs_nothing_and_handlers_are_as_before():
    before = signal.getsignal(signal.SIGTERM)
    with heeded() as requests:
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)
        assert requests.first is signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_request_that_is_ignored_stays_so():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with heeded():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
