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

from baselines.talkers_oracle import Oracle, OracleConfig, expected
from benchmark.datasets.talkers import corpus
from benchmark.datasets.talkers.build import PORTRAITS, UTTERANCES
from benchmark.datasets.talkers.corpus import Talkers
from benchmark.datasets.talkers.face_geometry import head
from benchmark.datasets.talkers.identity import LINK, LINKED, SPLITS, VoiceTraits, people, person
from benchmark.datasets.talkers.sentences import sentences
from benchmark.errors import InvalidConfig, MethodError, MissingDataset, UsageError
from benchmark.media import read_audio, read_image, read_video
from benchmark.types import Audio, Example, Sample

TASK = "speech2face"
_ENV = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people of the test split, built in this process."""
    where = tmp_path_factory.mktemp("talkers")
    Talkers(None, where, workers=1, limit=2).open("test", TASK)
    return where


def media(home: Path) -> dict[str, str]:
    """Relative path to hash of every file that a manifest names."""
    root = home / "talkers"
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.suffix in (".flac", ".png", ".mp4", ".jsonl") and not path.name.startswith(".")
    }


def builder(home: Path, workers: int, people: int = 2) -> subprocess.Popen[bytes]:
    code = (
        "from pathlib import Path; from benchmark.datasets.talkers.corpus import Talkers; "
        f"Talkers(None, Path({str(home)!r}), workers={workers}, limit={people}).open('test', {TASK!r})"
    )
    return subprocess.Popen([sys.executable, "-c", code], env=_ENV, stderr=subprocess.PIPE)


# identities


def test_no_identity_is_in_two_splits() -> None:
    ids = [one.id for split in SPLITS for one in people(split)]
    assert len(ids) == len(set(ids)) == 550
    assert {split: len(people(split)) for split in SPLITS} == {"train": 400, "val": 50, "test": 100}


def test_linked_traits_correlate_by_link_and_others_do_not() -> None:
    crowd = [person(number) for number in range(50_000, 54_000)]
    voice = {name: np.array([asdict(one.voice)[name] for one in crowd]) for name in asdict(crowd[0].voice)}
    face = {name: np.array([asdict(one.face)[name] for one in crowd]) for name in asdict(crowd[0].face)}
    # linked traits of the face share nothing but their voice trait: two of one cause correlate by LINK squared
    links = {(cause, name): sign * LINK for name, (cause, sign) in LINKED.items()}
    pairs = [("nose_length", "chin"), ("brow_thickness", "jaw_width"), ("head_width", "nose_width")]
    for one, other in pairs:
        assert np.corrcoef(face[one], face[other])[0, 1] == pytest.approx(LINK**2, abs=0.02)
    assert {name for name in face if all((cause, name) not in links for cause in voice)} == {
        "skin_tone",
        "skin_warmth",
        "hair_melanin",
        "hair_redness",
        "hair_length",
        "hairline",
        "beard",
        "eye_colour",
    }
    for cause, heard in voice.items():
        for name, seen in face.items():
            wanted = links.get((cause, name), 0.0)
            assert np.corrcoef(heard, seen)[0, 1] == pytest.approx(wanted, abs=0.015 if wanted else 0.07), (cause, name)


# the corpus


def test_a_split_holds_what_it_says(home: Path) -> None:
    manifest = Talkers(None, home, limit=2).open("test", TASK)
    assert (manifest.dataset, manifest.split, manifest.task) == ("talkers", "test", TASK)
    assert manifest.path == Talkers(None, home).media_root() / f"test.speech2face.first2.{corpus._lister()}.jsonl"
    assert [sample.id for sample in manifest.samples] == [one.id for one in people("test")[:2]]
    sample, who = manifest.samples[0], people("test")[0]
    assert sample.speaker == who.id
    assert {key: sample.attributes[key] for key in who.attributes()} == who.attributes()
    assert sample.attributes["texts"] == [one.text for one in sentences(who.id, UTTERANCES)]
    assert len(sample.inputs["speech"]) == UTTERANCES and len(sample.targets["face"]) == PORTRAITS
    for path, length in zip(sample.inputs["speech"], sample.attributes["samples"], strict=True):
        audio = read_audio(path)
        assert audio.rate == 16_000 and len(audio.samples) == length and np.abs(audio.samples).max() > 0.1
        assert np.array_equal(audio.samples * 2**15, np.round(audio.samples * 2**15))  # 16 bits
    for path, points in zip(sample.targets["face"], sample.attributes["landmarks"], strict=True):
        assert read_image(path).shape == (128, 128, 3)
        assert np.shape(points) == (68, 2) and np.min(points) > 0 and np.max(points) < 128


def test_an_open_corpus_is_not_built_again(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "build", lambda job: pytest.fail("built again"))
    monkeypatch.setattr(corpus, "known_facts", lambda job: pytest.fail("looked into"))
    assert len(Talkers(None, home, limit=2).open("test", TASK).samples) == 2


def test_other_code_finds_neither_manifests_nor_media_of_this_code(home: Path, monkeypatch) -> None:
    ours = Talkers(None, home, limit=2).open("test", TASK)
    made = []
    monkeypatch.setattr(corpus, "known_facts", lambda job: made.append(job) or {"landmarks": [], "samples": [1] * 6})
    monkeypatch.setattr(corpus, "_lister", lambda: "other lister")
    again = Talkers(None, home, limit=2).open("test", TASK)
    again.path.unlink()
    assert len(made) == 4 and again.path != ours.path and again.root == ours.root
    monkeypatch.setattr(corpus, "_generator", lambda: "other generator")
    assert Talkers(None, home).media_root() != ours.root


def test_what_makes_the_corpus_is_in_its_name(monkeypatch) -> None:
    from benchmark import sources

    seen = []
    monkeypatch.setattr(
        sources, "_short", lambda seed, *files: seen.append((seed, {file.name for file in files})) or ""
    )
    corpus._generator.__wrapped__()
    corpus._lister.__wrapped__()
    (writers, generator), (_, lister) = seen
    assert {"voice.py", "espeak.py", "face_hair.py", "lips.py", "identity.py", "types.py"} <= generator
    assert "crf" in writers and "espeakng-loader 0" in writers
    assert {"corpus.py", "mixtures.py", "mixing.py", "manifest.py"} <= lister and not {"corpus.py"} & generator


def test_workers_change_no_byte(home: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int, str]] = []
    manifest = Talkers(None, tmp_path, workers=2, limit=2).open("test", TASK, lambda *step: seen.append(step))
    assert media(tmp_path) == media(home)
    assert manifest.sha256 == Talkers(None, home, limit=2).open("test", TASK).sha256
    assert [done for done, _, _ in seen] == [0, 1, 2, 3, 4] and {total for _, total, _ in seen} == {4}
    assert {what for _, _, what in seen} == {"speech and faces of 2 people, about 10 seconds on 2 free cores, once"}


def test_a_build_that_was_killed_goes_on_where_it_stopped(home: Path, tmp_path: Path) -> None:
    process = builder(tmp_path, workers=2)
    until = time.monotonic() + 60
    while not list(tmp_path.rglob("0.*")) and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("[0-9].*")}
    assert kept and not list(tmp_path.rglob("*.jsonl"))
    Talkers(None, tmp_path, workers=1, limit=2).open("test", TASK)
    assert media(tmp_path) == media(home)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


def test_two_builders_at_once_do_not_disturb_each_other(home: Path, tmp_path: Path) -> None:
    processes = [builder(tmp_path, workers=1), builder(tmp_path, workers=1)]
    errors = [process.communicate(timeout=100)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    assert media(tmp_path) == media(home)
    assert not [path for path in tmp_path.rglob(".*")]


def test_a_script_without_a_main_guard_gets_its_corpus(home: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from pathlib import Path\nfrom benchmark.datasets.talkers.corpus import Talkers\n"
        f"Talkers(None, Path({str(tmp_path)!r}), workers=2, limit=1).open('test', 'speech2face')\n"
    )
    subprocess.run([sys.executable, str(script)], env=_ENV, check=True, capture_output=True, timeout=100)
    built = media(tmp_path)
    assert any(path.endswith(f"/test.speech2face.first1.{corpus._lister()}.jsonl") for path in built)
    assert all(media(home)[path] == content for path, content in built.items() if not path.endswith(".jsonl"))


def test_an_interrupt_leaves_no_manifest_and_no_partial_file(tmp_path: Path) -> None:
    def interrupt(done: int, total: int, what: str) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Talkers(None, tmp_path, workers=2, limit=2).open("test", TASK, interrupt)
    assert not list(tmp_path.rglob("*.jsonl")) and not list(tmp_path.rglob(".*"))


@pytest.mark.parametrize("harm", ["remove", "empty", "facts", "manifest"])
def test_a_damaged_corpus_is_repaired(home: Path, harm: str) -> None:
    before = media(home)
    root = Talkers(None, home).media_root()
    manifest = root / f"test.speech2face.first2.{corpus._lister()}.jsonl"
    portrait_file = next((root / "test" / "faces").rglob("2.png"))
    if harm == "remove":
        portrait_file.unlink()
    elif harm == "empty":
        portrait_file.write_bytes(b"")
    elif harm == "facts":
        portrait_file.unlink()
        (portrait_file.parent / "facts.json").write_text("{")
    else:
        manifest.write_text("{}\n")
    Talkers(None, home, workers=1, limit=2).open("test", TASK)
    assert media(home) == before


def test_some_fields_have_a_manifest_of_their_own_and_build_no_more(tmp_path: Path) -> None:
    manifest = Talkers(None, tmp_path, workers=1, limit=1).open("train", TASK, fields=("face",))
    sample = manifest.samples[0]
    assert not sample.inputs and len(sample.targets["face"]) == PORTRAITS and "texts" not in sample.attributes
    assert not list(tmp_path.rglob("*.flac"))
    assert manifest.path.name == f"train.speech2face.face.first1.{corpus._lister()}.jsonl"
    with pytest.raises(UsageError, match="no field 'video'"):
        Talkers(None, tmp_path, limit=1).open("train", TASK, fields=("video",))


def test_the_manifest_says_nothing_that_a_codec_decides(home: Path) -> None:
    text = Talkers(None, home, limit=2).open("test", TASK).path.read_text()
    assert not any(content in text for content in media(home).values())
    for line in text.splitlines()[1:]:
        points = np.array(json.loads(line)["attributes"]["landmarks"])
        assert np.array_equal(points, np.round(points, 2))


@pytest.fixture(scope="module")
def filmed_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("filmed")
    Talkers(None, where, workers=1, limit=1).open("val", "lip2speech")
    return where


def test_video_is_in_step_with_its_recording(filmed_home: Path) -> None:
    manifest = Talkers(None, filmed_home, limit=1).open("val", "lip2speech")
    assert len(manifest.samples) == 2  # of the six
    sample = manifest.samples[1]
    (video,), (speech,) = sample.inputs["video"], sample.targets["speech"]
    assert sample.speaker == speech.parent.name == video.parent.name == "talker_10000" and speech.stem == video.stem
    assert sample.attributes["text"] == sentences("talker_10000", UTTERANCES)[int(speech.stem)].text
    frames, clean = read_video(video), read_audio(speech).samples
    assert frames.shape == (sample.attributes["frames"], 112, 112, 3)
    assert len(clean) == 640 * len(frames) == sample.attributes["samples"]
    track = read_audio(video).samples  # its own sound: the recording, but for what AAC loses
    length = min(len(track), len(clean))
    lags = range(-80, 81, 8)
    fits = [np.corrcoef(clean[100 : length - 100], track[100 + lag : length - 100 + lag])[0, 1] for lag in lags]
    assert max(fits) > 0.9 and abs(lags[int(np.argmax(fits))]) <= 80


def test_the_tasks_with_lips_share_their_media(filmed_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "build", lambda job: pytest.fail("built again"))
    manifest = Talkers(None, filmed_home, workers=1, limit=1).open("val", "av_enhancement")
    assert manifest.task == "av_enhancement" and len(manifest.samples) == 2


def test_what_cannot_be_built_says_why(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no split 'dev'"):
        Talkers(None, tmp_path).open("dev", TASK)
    with pytest.raises(UsageError, match="does not serve task 'sing'"):
        Talkers(None, tmp_path).open("test", "sing")
    for wrong in ({"workers": 0}, {"limit": 0}):
        with pytest.raises(UsageError, match="got 0"):
            Talkers(None, tmp_path, **wrong)
    (tmp_path / "talkers").write_text("a file where a folder should be")
    with pytest.raises(MissingDataset, match="FACEVOICE_BENCH_HOME"):
        Talkers(None, tmp_path, workers=1, limit=1).open("test", TASK)


# the ceiling


def example(attributes: dict[str, object]) -> Example:
    return Example(Sample("x", "x", {}, {}, attributes), 0, 0, {"speech": Audio(np.zeros(16_000, np.float32), 16_000)})


def oracle(resolution: int = 64) -> Oracle:
    method = Oracle(OracleConfig(resolution))
    method.load("cpu")
    return method


def test_the_oracle_states_the_conditional_mean_of_every_trait() -> None:
    crowd = [person(number) for number in range(60_000, 64_000)]
    for sex in "fm":
        own = [one for one in crowd if one.sex == sex]
        guesses = [asdict(expected(sex, one.age, one.voice).face) for one in own]
        for name in guesses[0]:
            error = np.array([asdict(one.face)[name] for one in own]) - [guess[name] for guess in guesses]
            assert error.mean() == pytest.approx(0, abs=4 * error.std() / np.sqrt(len(own)) + 1e-9), (sex, name)
            if name in ("face_length", "jaw_width", "head_width", "mouth_width"):
                assert error.var() == pytest.approx(1 - LINK**2, rel=0.1)


def test_the_oracle_comes_nearer_than_an_average_face() -> None:
    """In the measures that the voice drives, for most people."""
    method, wins = oracle(64), 0
    crowd = people("val")[:12]
    mean = VoiceTraits(0, 0, 0, 0, 0, 0)
    for one in crowd:
        near, far = (
            sum(
                abs(getattr(head(guess), name) - getattr(head(one), name))
                for name in ("jaw", "width", "mouth_half_width")
            )
            for guess in (expected(one.sex, one.age, one.voice), expected(one.sex, one.age, mean))
        )
        wins += near < far
    assert wins >= 9
    face = method.generate([example(crowd[0].attributes())])[0]
    assert isinstance(face, np.ndarray) and face.shape == (64, 64, 3) and face.dtype == np.uint8


def test_the_oracles_details_are_ordinary() -> None:
    measures = np.array(
        [
            [*asdict(head(replace(expected("m", 40, VoiceTraits(0, 0, 0, 0, 0, 0)), id=f"{n}"))).values()]
            for n in range(400)
        ],
        float,
    )
    own = np.array([*asdict(head(expected("m", 40, VoiceTraits(0, 0, 0, 0, 0, 0)))).values()], float)
    assert (np.abs(own - measures.mean(axis=0)) < 0.8 * measures.std(axis=0) + 1e-9).all()


def test_the_oracle_ignores_what_the_voice_does_not_tell() -> None:
    one = people("test")[1]
    other = replace(one, id="someone", face=people("test")[3].face)
    first, second = oracle().generate([example(one.attributes()), example(other.attributes())])
    np.testing.assert_array_equal(first, second)


def test_the_oracle_draws_at_the_resolution_asked_for() -> None:
    small, large = (oracle(size).generate([example(people("test")[0].attributes())])[0] for size in (64, 128))
    halved = large.reshape(64, 2, 64, 2, 3).mean(axis=(1, 3))
    assert large.shape == (128, 128, 3) and np.abs(halved - small).mean() < 6
    with pytest.raises(InvalidConfig, match="resolution = 8"):
        OracleConfig(8)


@pytest.mark.parametrize(
    "attributes",
    [{}, {"sex": "f", "age": 30}, {"sex": "x", "age": 30, "voice": {}}, {"sex": "m", "age": "old", "voice": {}}],
)
def test_a_sample_without_traits_is_one_failed_row(attributes: dict[str, object]) -> None:
    good = people("test")[0].attributes()
    outputs = oracle().generate([example(attributes), example(good)])
    assert isinstance(outputs[0], MethodError) and "Talkers" in str(outputs[0])
    assert isinstance(outputs[1], np.ndarray)


def test_a_trait_that_is_not_a_number_is_one_failed_row() -> None:
    good = people("test")[0].attributes()
    (output,) = oracle().generate([example({**good, "voice": {**good["voice"], "pitch": float("nan")}})])
    assert isinstance(output, MethodError)
