"""What a user is told of names, options and commands that do not fit, each as it is typed."""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pytest
from commands import ended

from benchmark import registry
from benchmark.cli.main import whose_options
from benchmark.media import write_audio, write_image
from benchmark.protocols.book import books, load
from benchmark.protocols.following import follow, on_this_machine
from benchmark.types import Audio
from benchmark.weights.networks import NETWORKS, TAKEN


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Two people, a voice and a face of each."""
    for number in range(2):
        tone = 0.3 * np.sin(2 * np.pi * (110 + 100 * number) * np.arange(16_000) / 16_000).astype(np.float32)
        write_audio(tmp_path / f"people/p{number}/voice.wav", Audio(tone, 16_000))
        write_image(tmp_path / f"people/p{number}/face.png", np.full((32, 32, 3), 60 + 90 * number, np.uint8))
    return tmp_path


# -- networks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["run", "score"])
@pytest.mark.parametrize(("name", "near"), [("nosuch", ""), ("facenet14", "Did you mean 'facenet140'?"), ("nisqa", "")])
def test_a_face_network_that_is_none_is_told_beside_those_that_are(people: Path, verb: str, name: str, near: str):
    words = {"run": ("--method", "sf2f"), "score": ("-e", "people", "-r", "people", "--metrics", "face_similarity")}
    done = ended(verb, *words[verb], "--face-network", name, cwd=people)
    assert done.returncode == 2 and near in done.stderr
    assert done.stderr.endswith("It takes: dlib, facenet140, facenet160, arcface\n") and "sphinx" not in done.stderr
    assert ("of another kind" in done.stderr) == (name in NETWORKS)


def test_every_option_of_the_metrics_that_names_a_network_says_which_it_takes():
    assert {name for names in TAKEN.values() for name in names} <= set(NETWORKS)
    named = {}
    for name in registry.metrics.builtin:
        for key, parameter in inspect.signature(registry.metrics.load(name).create).parameters.items():
            if isinstance(parameter.default, str) and parameter.default.partition(":")[0] in NETWORKS:
                named.setdefault(key, set()).add(parameter.default.partition(":")[0])
    del named["speaker_network"]  # checked by its metric, which knows one that is none of these
    assert set(named) == set(TAKEN)
    assert all(defaults <= set(TAKEN[key]) for key, defaults in named.items())


# -- options -----------------------------------------------------------------------------------------------------------


def test_an_option_of_other_verbs_is_told(people: Path):
    done = ended("score", "-e", "people", "--label", "X", cwd=people)
    assert done.returncode == 2
    assert "--label is an option of `run`, `generate`, not of `score`" in done.stderr
    assert whose_options(["score", "--dataset=X", "--metrics", "wer"]) == [
        "--dataset is an option of `run`, `generate`, `train`, `table`, not of `score`, which takes a run, or files, "
        "as they are"
    ]
    assert whose_options(["run", "--no-references", "--nosuch", "--method", "sf2f"]) == []
    assert whose_options(["run", "--method", "outputs", "--set", "a=b", "folder=faces"]) == [
        "A setting stands behind --set: --set folder=faces"
    ]
    assert whose_options(["weights", "list", "--label"]) == whose_options([]) == []


# -- protocols ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", [(), ("--dataset", "hq_voxceleb"), ("--data-root", "people")])
def test_a_method_of_another_task_is_told_before_any_word_on_corpora(people: Path, more: tuple[str, ...]):
    done = ended("run", "--method", "noisy", "--protocol", "sf2f/table3", *more, cwd=people)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "'noisy' does not serve task 'speech2face', which protocol sf2f/table3 is of; it serves: " in line


@pytest.mark.parametrize("book", books())
def test_the_head_of_a_protocol_has_the_commands_that_get_what_is_not_here(book: str):
    for protocol in load(book).protocols.values():
        following = on_this_machine(follow(protocol, {}))
        told = "\n".join(following.notes)
        corpora = [corpus.dataset for corpus in protocol.corpora if corpus.dataset]
        assert not corpora or f"`python -m benchmark data info {corpora[0]}`" in told
        for judge in protocol.judges:
            lines = [line for line in following.departures if line.endswith(f"not by {judge.name}")]
            assert not lines or " ".join(judge.options) in told
        assert not any("nisqa" in line for line in following.left_out) or "weights fetch nisqa`" in told
        assert "looked for" not in "\n".join(following.departures), "what is published tells nobody's folders"


def test_what_is_here_need_not_be_fetched(monkeypatch: pytest.MonkeyPatch):
    protocol = load("sf2f").protocols["table3"]
    assert any("weights fetch facenet_vggface2" in note for note in follow(protocol, {}).notes)
    monkeypatch.setattr("benchmark.weights.table.is_here", lambda name: True)
    (note,) = [note for note in follow(protocol, {}).notes if "to judge as the paper does" in note]
    assert "--face-network facenet140" in note and "fetch" not in note


# -- nothing made ------------------------------------------------------------------------------------------------------


def test_the_reason_comes_first_and_once_where_nothing_could_be_made(people: Path):
    (people / "it").mkdir()
    (people / "it/infer.py").write_text("import sys\nsys.exit('no checkpoint for ' + sys.argv[1])\n")
    (people / "it/system.toml").write_text('command = ["python3", "infer.py", "{input}", "{output}"]\n')
    words = ("run", "--method", "outputs", "--set", "command=it/system.toml", "--dataset", "folder", "--data-root")
    words += ("people", "--metrics", "face_detection_rate", "--workers", "0", "--repeats", "2", "--runs", "runs")
    done = ended(*words, cwd=people)
    assert done.returncode == 1
    assert done.stdout == "", "no table of dashes"
    told = "error: outputs (system) made none of 4 outputs: the command ended with status 1: no checkpoint for {speech}"
    lines = [line for line in done.stderr.splitlines() if not line.startswith(("Preparing", "outputs (system): "))]
    assert lines[0] == told and done.stderr.count("made none of") == 1
    assert "the rows beside outputs (system) are left out until it makes something" in done.stderr
    assert len(list((people / "runs").iterdir())) == 1, "no other row was made"
    quiet = ended(*words, "--quiet", cwd=people)
    assert quiet.returncode == 1 and quiet.stderr == f"{told}\n"


def test_one_output_is_enough_for_a_table(people: Path):
    (people / "it").mkdir()
    script = "import pathlib, shutil, sys\nsample, output = sys.argv[1:]\n"
    script += "shutil.copy(f'../people/{sample}/face.png', output) if sample == 'p1' else sys.exit('no')\n"
    (people / "it/infer.py").write_text(script)
    (people / "it/system.toml").write_text('command = ["python3", "infer.py", "{sample}", "{output}"]\n')
    words = ("run", "--method", "outputs", "--set", "command=it/system.toml", "--dataset", "folder", "--data-root")
    words += ("people", "--metrics", "face_detection_rate", "--workers", "0", "--repeats", "1", "--no-references")
    done = ended(*words, "--runs", "runs", cwd=people)
    assert done.returncode == 1 and "face found" in done.stdout and "made none" not in done.stderr
    assert "1 failed in generation: the command ended with status 1: no" in done.stderr


# -- folders -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["--estimate", "--reference"])
def test_a_folder_that_is_not_there_is_told_before_what_the_other_one_holds(people: Path, option: str):
    words = {"--estimate": "people", "--reference": "people", option: "peple"}
    done = ended("score", *(word for pair in words.items() for word in pair), cwd=people)
    assert done.returncode == 2 and done.stderr == f"error: {option} peple: no such file or folder\n"


def test_true_pictures_that_are_given_as_outputs_are_told(people: Path):
    words = ("run", "--method", "outputs", "--dataset", "folder", "--data-root", "people", "--metrics")
    words += ("face_detection_rate", "--workers", "0", "--no-references", "--runs", "runs", "--set")
    done = ended(*words, "folder=people", cwd=people)
    assert "2 files of people are true ones of the dataset themselves: p0/face.png, p1/face.png" in done.stderr
    (people / "copies").mkdir()
    for number in range(2):
        (people / f"copies/p{number}.png").write_bytes((people / f"people/p{number}/face.png").read_bytes())
    assert "true ones" not in ended(*words, "folder=copies", cwd=people).stderr
    (people / "empty").mkdir()
    done = ended(*words, "folder=empty", cwd=people)
    assert (
        done.returncode == 2 and "--set folder=empty: holds no file and no pictures. Expected pictures" in done.stderr
    )
