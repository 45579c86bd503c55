"""`data prepare`: what is printed, exit codes, corpora made of its products."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from commands import ended
from films import film

from benchmark.datasets.grid import Grid
from benchmark.datasets.prepared import face_crops
from benchmark.datasets.talkers.face import View, portrait
from benchmark.datasets.talkers.identity import person
from benchmark.media import is_image, read_image, write_audio, write_image, write_video
from benchmark.preparation.record import RECORD
from benchmark.preparation.steps import STEPS
from benchmark.tasks import get_task
from benchmark.types import Audio


def tone(seconds: float = 1.0) -> Audio:
    return Audio((0.3 * np.sin(np.arange(round(16_000 * seconds)) * 0.1)).astype(np.float32), 16_000)


def filmed(path: Path, seed: int = 20_001, pictures: int = 12) -> None:
    face = portrait(person(seed), View(), 160).image
    scene = np.full((200, 260, 3), 225, np.uint8)
    scene[20:180, 60:220] = face
    write_video(path, np.stack([scene] * pictures), 25, tone(pictures / 25))


def test_without_words_the_steps_are_listed_and_each_explains_itself() -> None:
    listed = ended("data", "prepare")
    assert listed.returncode == 0 and all(name in listed.stdout for name in STEPS)
    for name, step in STEPS.items():
        told = ended("data", "prepare", name)
        assert told.returncode == 0 and all(preset in told.stdout for preset in step.presets)
        about = json.loads(ended("data", "prepare", name, "--json").stdout)
        assert about["settings"] and all(setting in told.stdout for setting in about["settings"])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["fases", "."], "Did you mean 'faces'"),
        (["faces", "."], "--out is missing"),
        (["faces", ".", "--dataset", "grid", "--out", "x"], "not both"),
        (["faces", "nowhere", "--out", "x"], "'nowhere' is not a folder"),
        (["faces", ".", "--out", "x", "--preset", "voxcelebb"], "Did you mean 'voxceleb'"),
        (["faces", ".", "--out", "x", "--set", "sise=3"], "Did you mean 'size'"),
        (["faces", ".", "--out", "x", "--set", "size=3"], "expected an even number"),
        (["faces", ".", "--out", "x", "--sheet", "x.jpg"], "expected the suffix .png"),
        (["vad", ".", "--out", "x", "--sheet", "x.png"], "makes no pictures"),
        (["vad", ".", "--out", "x", "--workers", "-1"], "expected 0 or more"),
        (["vad", ".", "--out", "inside"], "only read"),
        (["vad", "--dataset", "grid", "--out", "x"], "no --data-root was given"),
    ],
)
def test_what_cannot_be_done_is_told_before_anything_is_written(tmp_path: Path, words: list[str], told: str) -> None:
    write_audio(tmp_path / "a.wav", tone())
    out = ended("data", "prepare", *words, cwd=tmp_path)
    assert out.returncode == 2 and told in out.stderr, out.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]


def test_bad_files_are_rows_with_reasons_and_set_the_exit_code(tmp_path: Path) -> None:
    root = tmp_path / "in"
    (root / "ä ö").mkdir(parents=True)
    write_image(root / "ä ö" / "Zoë.png", portrait(person(20_001), View(), 200).image)
    write_image(root / "nobody.png", np.full((80, 80, 3), 90, np.uint8))
    (root / "empty.mp4").write_bytes(b"")
    (root / "text.mp4").write_text("a text")
    film(root / "sound.mp4", None, "aac", seconds=1.0)
    (root / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 broken")
    (root / "notes.txt").write_text("not media")
    words = ["data", "prepare", "faces", root, "--out", tmp_path / "out", "--workers", "0", "--json"]
    done = ended(*words, "--sheet", tmp_path / "sheet.png")
    told = json.loads(done.stdout)
    assert done.returncode == 1
    assert (told["files"], told["made"], told["failed"], told["other files"]) == (6, 1, 5, 1)
    reasons = {file: why for alike in told["failed because"].values() for file, why in alike.items()}
    assert set(reasons) == {"nobody.png", "empty.mp4", "text.mp4", "sound.mp4", "broken.jpg"}
    assert "empty" in reasons["empty.mp4"] and "no face" in reasons["nobody.png"] and all(reasons.values())
    assert not any(str(root) in why for why in reasons.values())
    assert read_image(tmp_path / "out/ä ö/Zoë.png").shape == (224, 224, 3)
    assert {path.name for path in (tmp_path / "out").rglob("*") if path.is_file()} == {"Zoë.png", RECORD}
    assert read_image(tmp_path / "sheet.png").shape[2] == 3
    assert ended(*words, "--fail-on-error", "5").returncode == 0
    text = ended(*words[:-1])
    assert text.returncode == 1 and "failed: nobody.png: no face was found" in text.stderr
    assert "6 of 6 were there from before" in text.stderr


def test_a_dry_run_says_what_would_be_done(tmp_path: Path) -> None:
    write_audio(tmp_path / "in/a.wav", tone())
    told = json.loads(ended("data", "prepare", "vad", tmp_path / "in", "--dry-run", "--json").stdout)
    assert told == {"step": "vad", "version": 1, "front_end": "sf2f", "shortest_s": 0.0, "files": 1, "other files": 0}


def test_a_dataset_is_read_by_its_manifest(tmp_path: Path) -> None:
    root = tmp_path / "people"
    for name in ("ann", "bob"):
        write_audio(root / name / "a.wav", tone())
        write_image(root / name / "face.png", portrait(person(20_001), View(), 128).image)
    write_audio(root / "cy" / "a.wav", tone())  # no face: not in the dataset
    done = ended(
        *("data", "prepare", "faces", "--dataset", "folder", "--data-root", root),
        *("--out", tmp_path / "out", "--workers", "0", "--set", "size=64"),
    )
    assert done.returncode == 0, done.stderr
    products = sorted(path for path in (tmp_path / "out").rglob("*") if is_image(path))
    assert [path.relative_to(tmp_path / "out").as_posix() for path in products] == ["ann/face.png", "bob/face.png"]


def test_a_recording_beside_a_video_is_its_speech(tmp_path: Path) -> None:
    write_audio(tmp_path / "in/a.wav", tone(2.0))
    film(tmp_path / "in/a.mp4", "libx264", "aac", seconds=1.0)
    words = ["data", "prepare", "enhance", tmp_path / "in", "--preset", "wiener", "--workers", "0"]
    told = json.loads(ended(*words, "--out", tmp_path / "out", "--json").stdout)
    assert (told["made"], told["failed"], told["other files"]) == (1, 0, 1)
    assert json.loads((tmp_path / "out" / RECORD).read_text())["source"] == "a.wav"


@pytest.mark.parametrize(("step", "size"), [("faces", 112), ("mouths", 96)])
def test_methods_are_given_the_same_of_raw_clips_and_of_crops(tmp_path: Path, step: str, size: int) -> None:
    """GRID's adapter over the clips, and over what was made of them: no face is looked for in a crop."""
    clips, crops = tmp_path / "clips", tmp_path / "crops"
    filmed(clips / "bbaf2n.mkv")
    preset = ["--preset", "flowavse"] if step == "faces" else []
    assert ended("data", "prepare", step, clips, "--out", crops, *preset, "--workers", "0").returncode == 0
    assert face_crops(crops) == (frozenset({"bbaf2n.mkv"}) if step == "faces" else frozenset())
    task = get_task("av_enhancement" if step == "faces" else "lip2speech")
    field = "video" if step == "faces" else "mouth"
    given = []
    for root in (clips, crops):
        manifest = Grid(root, tmp_path / "home").open("test", task.name)
        assert not manifest.problems
        example = task.open(manifest.samples[0], 0, task.protocol, 0, "none", wanted=(field,))
        given.append(example.inputs[field].frames)
    assert given[0].shape[1:] == (size, size)
    np.testing.assert_array_equal(given[1], given[0])


def test_a_record_that_is_torn_or_of_another_step_marks_no_crops(tmp_path: Path) -> None:
    lines = [
        json.dumps({"settings": {"step": "faces"}, "products": {"a.mkv": 1}}),
        json.dumps({"settings": {"step": "mouths"}, "products": {"b.mkv": 1}}),
        '{"settings": {"st',
        "[]",
    ]
    (tmp_path / RECORD).write_text("\n".join(lines))
    assert face_crops(tmp_path) == {"a.mkv"} and face_crops(tmp_path / "nowhere") == frozenset()


def test_real_clips_and_portraits_are_prepared(realdata: Path, tmp_path: Path) -> None:
    clip = realdata / "grid/bbaf2n.mpg"
    (tmp_path / "in").mkdir()
    (tmp_path / "in/bbaf2n.mpg").write_bytes(clip.read_bytes())
    for name in ("1", "2"):
        (tmp_path / f"in/{name}.pgm").write_bytes((realdata / f"faces_orl/s13/{name}.pgm").read_bytes())
    words = ["data", "prepare", "faces", tmp_path / "in", "--out", tmp_path / "faces", "--workers", "0", "--json"]
    assert json.loads(ended(*words).stdout)["made"] == 3
    options = ["--set", "background=keep", "--workers", "0", "--json", "--out", tmp_path / "hq"]
    told = json.loads(ended("data", "prepare", "hq_voxceleb", tmp_path / "in", *options).stdout)
    assert told["made"] + told["left out"] == 2 and told["failed"] == 0
