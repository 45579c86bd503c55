"""People beyond the splits, drawn for a training."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from typer.testing import CliRunner

from baselines.flowavse.clips import Clips
from baselines.flowavse.config import Training
from benchmark.cli.main import app
from benchmark.configuration import Presets, resolve
from benchmark.datasets.folder import Folder
from benchmark.datasets.population import TRAINING, VALIDATION, Population
from benchmark.datasets.talkers import corpus, population, voice
from benchmark.datasets.talkers.build import Job, build
from benchmark.datasets.talkers.corpus import Talkers
from benchmark.datasets.talkers.face import portrait, views
from benchmark.datasets.talkers.identity import SPLITS, people, person
from benchmark.datasets.talkers.population_media import Wanted, make
from benchmark.datasets.talkers.sentences import sentences
from benchmark.errors import InvalidConfig, MissingDataset, UsageError
from benchmark.media import read_audio, read_image, read_video
from benchmark.training import TrainingPlan, prepare

TASK = "speech2face"
SMALL = Population(people=2, validation=1, portraits=2, portrait_size=32, sentences=2, videos=1)
_ENV = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people to train on, built in this process."""
    where = tmp_path_factory.mktemp("population")
    Talkers(None, where, workers=1).draw(SMALL, TRAINING, TASK)
    return where


def media(home: Path) -> dict[str, str]:
    """Relative path to hash of every file but manifests."""
    return {
        path.relative_to(home).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(home.rglob("*"))
        if path.suffix in (".flac", ".png", ".mp4") and not path.name.startswith(".")
    }


def times(home: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in home.rglob("talker_*")}


# who


def test_nobody_is_in_a_split_or_in_two_parts() -> None:
    split_ids = {one.id for split in SPLITS for one in people(split)}
    training, validation = population.NUMBERS[TRAINING], population.NUMBERS[VALIDATION]
    assert not set(training) & set(validation)
    assert not split_ids & {f"talker_{number:05d}" for part in (training, validation) for number in part}


@pytest.mark.parametrize("number", [90_000, 100_000, 999_999])
def test_files_bear_the_name_of_the_person(number: int, tmp_path: Path) -> None:
    assert Wanted(tmp_path, number, 1, 1, 64, 0).id == person(number).id


# what is made


def test_a_population_holds_what_was_asked_for(home: Path) -> None:
    manifest = Talkers(None, home).draw(SMALL, TRAINING, TASK)
    assert (manifest.dataset, manifest.split, manifest.task) == ("talkers", TRAINING, TASK)
    assert [sample.id for sample in manifest.samples] == ["talker_100000", "talker_100001"]
    who, sample = person(100_001), manifest.samples[1]
    said = sentences(who.id, 6)[:2]
    assert sample.attributes["sex"] == who.sex and sample.attributes["age"] == round(who.age, 1)
    assert sample.attributes["texts"] == [one.text for one in said]
    for path, length, sentence in zip(sample.inputs["speech"], sample.attributes["samples"], said, strict=True):
        spoken = voice.speak(who, sentence).audio.samples
        assert len(spoken) == length
        np.testing.assert_array_equal(read_audio(path).samples * 2**15, np.round(spoken * 2**15))
    for path, view in zip(sample.targets["face"], views(who, 4)[:2], strict=True):
        np.testing.assert_array_equal(read_image(path), portrait(who, view, 32).image)


def test_recordings_and_portraits_are_made_as_in_the_splits(home: Path, tmp_path: Path) -> None:
    who = person(100_000)
    for kind in ("speech", "face"):
        build(Job(tmp_path, kind, who))
    Talkers(None, home, workers=1).draw(replace(SMALL, people=1, portrait_size=128), TRAINING, TASK)
    (sample,) = Talkers(None, home).draw(replace(SMALL, people=1, portrait_size=128), TRAINING, TASK).samples
    for kind, paths in (("speech", sample.inputs["speech"]), ("face", sample.targets["face"])):
        for path, same in zip(paths, Job(tmp_path, kind, who).files, strict=False):
            assert path.read_bytes() == same.read_bytes()


def test_a_larger_population_makes_only_what_is_missing(home: Path) -> None:
    before, known = times(home), media(home)
    small = Talkers(None, home).draw(SMALL, TRAINING, TASK)
    more = Population(people=3, portraits=3, portrait_size=32, sentences=3)
    large = Talkers(None, home, workers=1).draw(more, TRAINING, TASK)
    after = times(home)
    assert {path: after[path] for path in before} == before
    assert len([path for path in after if "faces128" not in path.parts]) == 3 * (3 + 3)
    assert {path: content for path, content in media(home).items() if path in known} == known
    for one, same in zip(small.samples, large.samples, strict=False):
        assert one.inputs["speech"] == same.inputs["speech"][:2] and one.targets["face"] == same.targets["face"][:2]
        assert one.attributes["samples"] == same.attributes["samples"][:2]
    assert large.sha256 != small.sha256


def test_a_smaller_population_makes_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voice, "speak", lambda *of: pytest.fail("spoken again"))
    one = Talkers(None, home).draw(replace(SMALL, people=1, portraits=1, sentences=1), TRAINING, TASK)
    assert [len(one.samples), len(one.samples[0].inputs["speech"]), len(one.samples[0].targets["face"])] == [1, 1, 1]
    monkeypatch.setattr(population, "make", lambda wanted: pytest.fail("looked into"))
    assert Talkers(None, home).draw(replace(SMALL, people=1, portraits=1, sentences=1), TRAINING, TASK) == one


def test_workers_change_neither_files_nor_manifest(home: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int, str]] = []
    manifest = Talkers(None, tmp_path, workers=2).draw(SMALL, TRAINING, TASK, lambda *step: seen.append(step))
    assert manifest.sha256 == Talkers(None, home).draw(SMALL, TRAINING, TASK).sha256
    assert media(tmp_path).items() <= media(home).items() and len(media(tmp_path)) == 8
    assert [(done, total) for done, total, _ in seen] == [(0, 2), (1, 2), (2, 2)]
    assert {about for _, _, about in seen} == {"2 people, at most about 1 min on 2 free cores, once"}


def test_a_build_that_was_killed_goes_on_where_it_stopped(home: Path, tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from benchmark.datasets.population import Population; "
        "from benchmark.datasets.talkers.corpus import Talkers; "
        f"Talkers(None, Path({str(tmp_path)!r}), workers=2).draw(Population(**{asdict(SMALL)}), {TRAINING!r}, {TASK!r})"
    )
    process = subprocess.Popen([sys.executable, "-c", code], env=_ENV, stderr=subprocess.PIPE)
    until = time.monotonic() + 120
    while not times(tmp_path) and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    kept = times(tmp_path)
    assert kept and not list(tmp_path.rglob("*.jsonl"))
    again = Talkers(None, tmp_path, workers=1).draw(SMALL, TRAINING, TASK)
    assert again.sha256 == Talkers(None, home).draw(SMALL, TRAINING, TASK).sha256
    assert media(tmp_path).items() <= media(home).items()
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


@pytest.mark.parametrize("harm", ["removed", "garbage"])
def test_what_is_lost_is_made_again(home: Path, harm: str) -> None:
    manifest = Talkers(None, home).draw(SMALL, TRAINING, TASK)
    before = media(home)
    lost = manifest.samples[1].inputs["speech"][1]
    if harm == "removed":
        lost.unlink()
    else:  # a header is looked at when a manifest is made
        lost.write_bytes(b"garbage")
        manifest.path.unlink()
    again = Talkers(None, home, workers=1).draw(SMALL, TRAINING, TASK)
    assert media(home) == before and again.sha256 == manifest.sha256


def test_other_code_finds_nothing_of_this_code(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = Talkers(None, home).draw(SMALL, TRAINING, TASK)
    asked = []
    monkeypatch.setattr(corpus, "_generator", lambda module: asked.append(module) or "other")
    monkeypatch.setattr(population, "make", lambda wanted: (1, 1))
    assert Talkers(None, home, workers=1).draw(SMALL, TRAINING, TASK).root != ours.root
    assert asked == [make.__module__]


# tasks with lips


@pytest.fixture(scope="module")
def filmed(home: Path) -> Path:
    Talkers(None, home, workers=1).draw(SMALL, TRAINING, "av_enhancement")
    return home


def test_a_video_lies_beside_its_recording(filmed: Path) -> None:
    manifest = Talkers(None, filmed).draw(SMALL, TRAINING, "lip2speech")
    assert [sample.id[:16] for sample in manifest.samples] == ["talker_100000_0_", "talker_100001_0_"]
    heard = Talkers(None, filmed).draw(SMALL, TRAINING, TASK)
    for sample, same in zip(manifest.samples, heard.samples, strict=True):
        assert sample.targets["speech"] == same.inputs["speech"][:1]
        frames = read_video(sample.inputs["video"][0])
        assert frames.shape == (sample.attributes["frames"], 112, 112, 3)
        assert 640 * len(frames) == sample.attributes["samples"] == len(read_audio(sample.targets["speech"][0]).samples)


def test_people_who_are_filmed_for_their_lips_tell_when_which_phoneme_is_spoken(filmed: Path) -> None:
    talkers = Talkers(None, filmed)
    for sample in talkers.draw(SMALL, TRAINING, "lip2speech").samples:
        spoken = sample.attributes["phonemes"]
        said = voice.speak(person(int(sample.speaker[7:])), sentences(sample.speaker, 1)[0])
        assert [ipa for ipa, _ in spoken] == ["", *(phone.ipa for phone in said.phonemes), ""]
        starts = [phone.start_s for phone in said.phonemes] + [said.phonemes[-1].end_s]
        np.testing.assert_allclose([start for _, start in spoken], [0, *starts], atol=6e-4)
    assert all("phonemes" not in s.attributes for s in talkers.draw(SMALL, TRAINING, "av_enhancement").samples)


@pytest.mark.parametrize("task", ["av_enhancement", "av_separation"])
def test_training_clips_are_drawn_from_the_mixtures(filmed: Path, task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voice, "speak", lambda *of: pytest.fail("spoken again"))
    samples = Talkers(None, filmed).draw(SMALL, TRAINING, task).samples
    assert {sample.speaker for sample in samples} == {"talker_100000", "talker_100001"}
    clip = Clips(samples, Training(frames=64)).draw(np.random.default_rng(0))
    assert np.abs(clip.noisy).max() == 1 and np.abs(clip.clean).max() > 0.05 and clip.video.shape[1:] == (112, 112)


def test_a_validation_person_has_one_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(population, "make", lambda wanted: (28_160,) * wanted.recordings)
    wanted = replace(SMALL, videos=3)
    talkers = Talkers(None, tmp_path, workers=1)
    counts = [len(talkers.draw(wanted, part, "lip2speech").samples) for part in (TRAINING, VALIDATION)]
    assert counts == [2 * 3, 1 * 1]


# what is asked for


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("people=-3", "population.people = -3; expected 0 or more"),
        ("validation=-1", "population.validation = -1; expected 0 or more"),
        ("people=many", "people = 'many' .str.; expected int"),
        ("poeple=3", "unknown key 'poeple'. Did you mean 'people'.*Known keys: people, validation, portraits"),
        ("portrait_size=8", "population.portrait_size = 8; expected 16 to 512"),
    ],
)
def test_a_wrong_setting_says_what_was_expected(setting: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match=message):
        resolve(Population, Presets(tmp_path), sets=[f"population.{setting}"])


def test_what_cannot_be_drawn_says_why(tmp_path: Path) -> None:
    talkers = Talkers(None, tmp_path)
    for changed, part, message in (
        ({"people": 900_001}, TRAINING, "population.people = 900001; Talkers draws 1 to 900000 of them"),
        ({"people": 0}, TRAINING, "population.people = 0; Talkers draws 1 to 900000"),
        ({"validation": 10_001}, VALIDATION, "population.validation = 10001; Talkers draws 1 to 10000"),
        ({"sentences": 0}, TRAINING, "population.sentences = 0; speech2face needs at least 1 of each person"),
        ({"portraits": 0}, VALIDATION, "population.portraits = 0; speech2face needs"),
    ):
        with pytest.raises(InvalidConfig, match=message):
            talkers.draw(replace(SMALL, **changed), part, TASK)
    with pytest.raises(InvalidConfig, match="population.sentences = 0; lip2speech needs"):
        talkers.draw(replace(SMALL, sentences=0), TRAINING, "lip2speech")
    with pytest.raises(InvalidConfig, match="population.videos = 0; av_enhancement needs"):
        talkers.draw(replace(SMALL, videos=0), TRAINING, "av_enhancement")
    with pytest.raises(UsageError, match="got 'train'"):
        talkers.draw(SMALL, "train", TASK)
    with pytest.raises(UsageError, match="does not serve task 'sing'"):
        talkers.draw(SMALL, TRAINING, "sing")
    with pytest.raises(UsageError, match="'folder' has the people that it has.*--people 0"):
        Folder(tmp_path, tmp_path).draw(SMALL, TRAINING, TASK)
    assert not list(tmp_path.iterdir())
    (tmp_path / "talkers").write_text("a file where a folder should be")
    with pytest.raises(MissingDataset, match="FACEVOICE_BENCH_HOME"):
        Talkers(None, tmp_path, workers=1).draw(SMALL, TRAINING, TASK)


def test_portraits_smaller_than_the_faces_asked_for_are_refused_before_anything_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Talkers, "draw", lambda *of: pytest.fail("drawn"))
    for sets, message in (
        (("resolution=128", "linear_start=0"), "population.portrait_size = 64; faces of 128 pixels are asked for"),
        (("training.stepz=3",), "Unknown training setting 'stepz'"),
    ):
        given = ("population.people=2", *sets)
        with pytest.raises(InvalidConfig, match=message):
            prepare("sf2f", None, None, given, "talkers", None, tmp_path, lambda label: lambda *step: None)


# trainings


QUICK = {"voice_steps": 1, "steps": 1, "batch": 2, "critic_width": 0.1, "crop_frames": "[40,50]"}


def plan(out: Path, *sets: str) -> TrainingPlan:
    given = (
        *(f"training.{k}={v}" for k, v in QUICK.items()),
        *(f"population.{k}={v}" for k, v in asdict(SMALL).items()),
    )
    own = ("width=0.1", *given, *sets)
    return prepare("voice2face", "paper", None, own, "talkers", None, out, lambda label: lambda *step: None)


def test_a_training_learns_of_drawn_people_and_says_so(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACEVOICE_BENCH_HOME", str(home))
    how = {"seed": 0, "device": "cpu", "precision": "no", "resume": True}
    made = plan(tmp_path)
    assert [sample.id for sample in made.training.samples] == ["talker_100000", "talker_100001"]
    assert made.validation and [sample.id for sample in made.validation.samples] == ["talker_90000"]
    drawn = {"people": 2, "validation": 1, "sentences": 2, "portraits": 2, "portrait_size": 32}
    assert made.describe()["population"] == drawn and made.describe()["people"] == 2
    weights = made.train(**how)
    with safe_open(weights, framework="pt") as file:
        said, width = json.loads(file.metadata()["population"]), json.loads(file.metadata()["config"])
    assert said == {"dataset": "talkers", "manifest_sha256": made.training.sha256, **drawn}
    assert width["width"] == 0.1
    assert json.loads((tmp_path / "training.json").read_text())["population"] == drawn
    written = weights.stat().st_mtime_ns
    assert plan(tmp_path).train(**how) == weights and weights.stat().st_mtime_ns == written
    with pytest.raises(InvalidConfig, match="population is .*'people': 2.* there, .*'people': 1.* here"):
        plan(tmp_path, "population.people=1").train(**how)


def test_without_people_a_training_is_of_the_splits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    monkeypatch.setattr(Talkers, "open", lambda self, split, task, progress: opened.append(split))
    monkeypatch.setattr(Talkers, "draw", lambda *of: pytest.fail("drawn"))
    with pytest.raises(AttributeError):  # nothing was opened
        plan(tmp_path, "population.people=0")
    assert opened == ["train", "val"]


def test_data_build_makes_what_a_training_asks_for(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEVOICE_BENCH_HOME", str(home))
    sets = [f"--set=population.{name}={value}" for name, value in asdict(SMALL).items() if name != "people"]
    told = CliRunner().invoke(app, ["data", "build", "--people", "2", *sets, "--json", "--quiet"])
    assert told.exit_code == 0, told.output
    about = json.loads(told.stdout)
    assert (about["split"], about["speakers"], about["inputs"], about["targets"]) == (TRAINING, 2, 4, 4)
    assert about["sha256"] == Talkers(None, home).draw(SMALL, TRAINING, TASK).sha256
    assert list((home / "talkers").rglob("talker_90000.*"))
