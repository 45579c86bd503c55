"""Settings that name files: what lies there belongs to the identity of a run, where it lies does not."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import typing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import ended

from baselines.method import Method
from baselines.outputs.method import Outputs
from baselines.settings import FILES, files_of_samples
from benchmark import registry
from benchmark.datasets.talkers.corpus import Talkers
from benchmark.errors import MissingDependency, MissingWeights
from benchmark.leaderboard import rules
from benchmark.papers.needs import RunNeeded
from benchmark.results.finding import Kept
from benchmark.results.schema import Failures, Result, RunSpec
from benchmark.runs.evaluation import plan_method, read_result, with_files_of
from benchmark.types import Sample
from benchmark.weights import table


def _shade(folder: Path, sample: Sample) -> Path | None:
    file = folder / f"{sample.id}.txt"
    return file if file.is_file() else None


class Tinted(Method):
    """Faces of the one colour that a file holds."""

    name = "tinted"
    task = "speech2face"
    title = "a colour from a file"
    hears = ("speech",)

    @dataclasses.dataclass(frozen=True)
    class Config:
        colour: str = dataclasses.field(default="", metadata=FILES)
        shades: str = dataclasses.field(default="", metadata=files_of_samples(lambda folder, one: _shade(folder, one)))
        size: int = 16
        mood: str = ""

    def load(self, device: str) -> None:
        self.level = int(table.given(self.config.colour).read_text())

    def generate(self, examples: Any) -> list[Any]:
        return [np.full((self.config.size, self.config.size, 3), self.level, np.uint8) for _ in examples]


@pytest.fixture(autouse=True)
def tinted(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = registry.Entry(f"{__name__}:Tinted", "a colour", "speech2face")
    monkeypatch.setitem(registry.methods.entries, "tinted", entry)


def planned(*sets: str) -> dict[str, Any]:
    plan = plan_method("tinted", sets=sets)
    return {"files": dict(plan.files), "label": plan.label, "config": plan.settings.for_identity()}


def test_the_hash_is_of_the_content(tmp_path: Path):
    one, two = tmp_path / "here" / "grey.txt", tmp_path / "there" / "grey.txt"
    for file in (one, two):
        file.parent.mkdir()
        file.write_text("90")
    about = planned(f"colour={one}")
    assert about["files"] == {"colour": hashlib.sha256(b"90").hexdigest()}
    assert about["label"] == "tinted (colour=grey.txt)", "no folder of the user's stands in a table"
    assert planned(f"colour={two}") == about, "where a file lies makes no other run of it"
    two.write_text("91")
    assert planned(f"colour={two}")["files"] != about["files"]
    assert planned("size=8", "mood=90")["files"] == {}


def test_of_a_folder_every_file_counts_by_its_place_and_content(tmp_path: Path):
    folder = tmp_path / "features"
    for name in ("s1/a.npy", "s1/b.npy", "s2/a.npy"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    seen = [planned(f"colour={folder}")["files"]["colour"]]
    (folder / "s2/a.npy").write_bytes(b"other")
    seen.append(planned(f"colour={folder}")["files"]["colour"])
    (folder / "s2/a.npy").rename(folder / "s2/c.npy")
    seen.append(planned(f"colour={folder}")["files"]["colour"])
    assert len(set(seen)) == 3


def test_of_files_of_samples_those_of_the_split_count_and_no_others(tiny_corpus: Any, tmp_path: Path):
    folder, samples = tmp_path / "shades", tiny_corpus.samples
    (folder / "val").mkdir(parents=True)

    def put(name: str, text: str) -> dict[str, str]:
        (folder / name).write_text(text)
        told: list[tuple[Any, ...]] = []
        plan = with_files_of(
            plan_method("tinted", sets=[f"shades={folder}"]), samples, lambda *about: told.append(about)
        )
        count = len(list(folder.glob("p*.txt")))
        assert told == [("read", done, count, "shades") for done in range(1, count + 1)], "hashing is told"
        return dict(plan.files)

    put("p00.txt", "a")
    first = put("p01.txt", "b")
    listing = "\n".join(
        f"{name}.txt {hashlib.sha256(text).hexdigest()}" for name, text in (("p00", b"a"), ("p01", b"b"))
    )
    assert first == {"shades": hashlib.sha256(listing.encode()).hexdigest()}
    assert put("val/p00.txt", "c") == first
    assert put("other.txt", "d") == first
    assert put("p01.txt", "e") != first, "another content of a sample's file"
    assert put("p01.txt", "b") == first
    assert put("p02.txt", "f") != first, "a sample that had none"


def test_files_of_other_samples_make_no_other_run(tiny_corpus: Any, tmp_path: Path):
    folder = tmp_path / "shades"
    folder.mkdir()
    (folder / "colour.txt").write_text("10")
    words = ("run", "--method", "tinted", "--dataset", "folder", "--data-root", tiny_corpus.root, "--no-references")
    words += ("--set", f"shades={folder}", "--set", f"colour={folder / 'colour.txt'}", "--runs", tmp_path / "runs")
    words += ("--repeats", "1", "--metrics", "face_detection_rate", "--workers", "0")

    def run(*more: str) -> set[str]:
        done = ended(*words, *more)
        assert done.returncode == 0, done.stderr
        return {path.name for path in (tmp_path / "runs").iterdir()}

    (one,) = run("--limit", "2")
    ids = [
        json.loads(line)["sample"] for line in (tmp_path / "runs" / one / "predictions.jsonl").read_text().splitlines()
    ]
    (folder / "val.txt").write_text("features of another split")
    assert run("--limit", "3") == {one}, "neither a further file nor a further sample asked for"
    (folder / f"{ids[0]}.txt").parent.mkdir(parents=True, exist_ok=True)
    (folder / f"{ids[0]}.txt").write_text("11")
    assert len(run("--limit", "2")) == 2


def test_what_is_not_there_is_told_before_anything_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MissingWeights, match=rf"colour=nowhere\.txt: expected a file, .*{tmp_path}"):
        planned("colour=nowhere.txt")
    with pytest.raises(MissingWeights, match="Did you mean 'braven_large'"):
        planned("colour=braven_larg")
    with pytest.raises(MissingWeights, match="weights add braven_large"):
        planned("colour=braven_large")


def test_a_replaced_file_is_never_answered_with_old_outputs(tiny_corpus: Any, tmp_path: Path):
    colour, people = tmp_path / "colour.txt", tiny_corpus.root
    words = ("run", "--method", "tinted", "--dataset", "folder", "--data-root", people, "--set", f"colour={colour}")
    words += ("--no-references", "--repeats", "1", "--metrics", "face_detection_rate", "--workers", "0", "--limit", "2")

    def run() -> set[str]:
        done = ended(*words, "--runs", tmp_path / "runs")
        assert done.returncode == 0, done.stderr
        return {path.name for path in (tmp_path / "runs").iterdir()}

    colour.write_text("10")
    first = run()
    assert run() == first, "the same file continues the run"
    colour.write_text("200")
    (second,) = run() - first
    spec = read_result(tmp_path / "runs" / second).spec
    assert spec.files == {"colour": hashlib.sha256(b"200").hexdigest()} and spec.config["colour"] == "colour.txt"
    about = json.loads((tmp_path / "runs" / second / "run.json").read_text())
    assert about["files"] == {"colour": str(colour)}, "the user's own record says where it lies"


def test_a_run_of_another_file_of_the_same_name_is_not_the_plan_s(tmp_path: Path, tiny_corpus: Any):
    files = [tmp_path / name / "colour.txt" for name in ("one", "two")]
    for number, file in enumerate(files):
        file.parent.mkdir()
        file.write_text(str(number))
    one, two = (plan_method("tinted", sets=[f"colour={file}"]) for file in files)
    spec = RunSpec(
        task="speech2face", task_version=1, method="tinted", config=one.settings.for_identity(), weights_sha256=None,
        dataset="talkers", dataset_revision=Talkers.revision, split="test", manifest_sha256="m", seconds=5.0, repeats=1,
        seed=0, files=dict(one.files),
    )  # fmt: skip
    assert one.is_of(spec) and not two.is_of(spec)
    assert not one.is_of(spec.model_copy(update={"files": None})), "nobody knows which file it was"
    assert not one.is_of(spec.model_copy(update={"weights_sha256": "0" * 64}))
    result = Result(
        run_id=spec.run_id(), label="tinted", spec=spec, partial=False, samples=1, speakers=1, aggregates=[],
        failures=Failures(), generation_seconds=1.0, provenance={},
    )  # fmt: skip
    fits = [RunNeeded("tinted", "speech2face", (f"colour={file}",)).fits(Kept(tmp_path, result)) for file in files]
    assert fits == [True, False]


def test_settings_of_several_numbers_are_the_same_when_they_are_read_back():
    """A file holds a list where a setting is a tuple."""
    plan = plan_method("lipdiffuser")
    spec = RunSpec(
        task="lip2speech", task_version=1, method="lipdiffuser", config=plan.settings.for_identity(),
        weights_sha256=plan.weights_sha256, dataset="talkers", dataset_revision="1", split="test", manifest_sha256="m",
        seconds=None, repeats=1, seed=0,
    )  # fmt: skip
    assert plan.is_of(RunSpec.model_validate_json(spec.model_dump_json()))


def test_run_ids_of_runs_without_such_files_stay():
    given = {
        "task": "speech2face", "task_version": 1, "method": "sf2f", "config": {"width": 1.0}, "weights_sha256": "ab",
        "dataset": "talkers", "dataset_revision": "1", "split": "test", "manifest_sha256": "cd",
        "training_sha256": None, "seconds": 5.0, "repeats": 10, "seed": 0, "dtype": "float32",
    }  # fmt: skip
    text = json.dumps(given, sort_keys=True).encode()
    spec = RunSpec(**given)
    assert spec.run_id() == f"sf2f-talkers-{hashlib.sha256(text).hexdigest()[:10]}"
    assert spec.model_copy(update={"files": {"visual": "ef"}}).run_id() != spec.run_id()


def test_every_text_setting_of_the_project_s_methods_is_one_of_files_or_gathered():
    """What else a text could be has a type that says which texts there are."""
    undeclared = []
    for name in registry.methods.builtin:
        with contextlib.suppress(MissingDependency):
            kind = registry.methods.load(name)
            hints = typing.get_type_hints(kind.Config)
            undeclared += [
                (name, item.name)
                for item in dataclasses.fields(kind.Config)
                if hints[item.name] is str and not item.metadata.get("names_files") and kind is not Outputs
            ]
    assert undeclared == []


def test_a_leaderboard_wants_files_that_anybody_can_have():
    known = "0" * 64
    spec = RunSpec(
        task="lip2speech", task_version=1, method="lipdiffuser", config={}, weights_sha256=None, dataset="lrs3",
        dataset_revision="1", split="test", manifest_sha256="m", seconds=None, repeats=1, seed=0,
        files={"vocoder_weights": known},
    )  # fmt: skip

    class Submitted:
        result = dataclasses.make_dataclass("R", [("spec", RunSpec)])(spec)

    Known = dataclasses.make_dataclass("Known", ["manifests", "weights"])
    Listed = dataclasses.make_dataclass("Listed", ["sha256", "method"])
    told = list(rules.hashes(Submitted, Known((), ())))
    assert any("vocoder_weights" in line and known[:12] in line for line in told)
    told = list(rules.hashes(Submitted, Known((), (Listed(known, "lipdiffuser"),))))
    assert not any("vocoder_weights" in line for line in told)


def test_lipdiffuser_s_files_are_part_of_its_runs(tmp_path: Path):
    file = tmp_path / "vocoder.pth"
    file.write_bytes(os.urandom(64))
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    names = ("vocoder_weights", "visual_weights", "speaker_model")
    folder = tmp_path / "features"
    for name in ("t10/00001.npy", "t11/00001.npy", "id/with/slashes.npy"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_bytes(name.encode())
    plan = plan_method("lipdiffuser", sets=[*(f"{name}={file}" for name in names), f"visual_features={folder}"])
    assert plan.files == dict.fromkeys(names, digest)
    samples = [Sample("id/with/slashes", "s", {}), Sample("x", "s", {"video": (Path("/films/t10/00001.mp4"),)})]
    listing = "\n".join(
        f"{name} {hashlib.sha256(name.encode()).hexdigest()}" for name in ("id/with/slashes.npy", "t10/00001.npy")
    )
    found = with_files_of(plan, samples).files
    assert found == {**plan.files, "visual_features": hashlib.sha256(listing.encode()).hexdigest()}
