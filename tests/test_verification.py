"""`data verify`: every file is opened to its end, and what is wrong with it is said in a word."""

from __future__ import annotations

import json
import sqlite3
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from commands import ended
from films import SOUND, VIDEO, film, noise

from benchmark.datasets import spilled, verification
from benchmark.datasets.dataset import Dataset
from benchmark.datasets.facts import Form, Published
from benchmark.datasets.grid import Grid
from benchmark.datasets.manifest import Row
from benchmark.datasets.talkers.corpus import Talkers
from benchmark.datasets.verification import Verification, look_at, verify
from benchmark.datasets.voxceleb1 import VoxCeleb1
from benchmark.errors import MissingDataset, UsageError
from benchmark.media import write_audio, write_image, write_video
from benchmark.types import Audio

RATE = 16_000
FORMS = {
    "sound": Form(rate=RATE),
    "video": Form(fps=25, size=(32, 32)),
    "picture": Form(size=(8, 8)),
}


def sound(path: Path, samples: np.ndarray | None = None, rate: int = RATE) -> None:
    write_audio(path, Audio(noise(rate, 0.5) if samples is None else samples.astype(np.float32), rate))


def picture(path: Path, side: int = 8) -> None:
    write_image(path, np.random.default_rng(0).integers(0, 255, (side, side, 3), dtype=np.uint8))


def pictures(count: int = 10, side: int = 32) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 255, (count, side, side), dtype=np.uint8)


def half(path: Path, make: Callable[[Path], object]) -> None:
    """The first half of a file."""
    make(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def float_wav(path: Path, samples: np.ndarray) -> None:
    """32-bit float samples of any value, by the bytes of the format."""
    data = samples.astype("<f4").tobytes()
    body = b"WAVE" + struct.pack("<4sIHHIIHH", b"fmt ", 16, 3, 1, RATE, 4 * RATE, 4, 32)
    body += struct.pack("<4sI", b"data", len(data)) + data
    path.write_bytes(struct.pack("<4sI", b"RIFF", len(body)) + body)


TONE = np.sin(np.arange(RATE) / 10)
BAD: dict[str, tuple[str, Callable[[Path], object]]] = {
    "gone.wav": ("missing", lambda path: path.symlink_to("nowhere.wav")),
    "empty.wav": ("empty", lambda path: path.touch()),
    "empty.mp4": ("empty", lambda path: path.touch()),
    "page.mp4": ("another kind of file", lambda path: path.write_text("<html>404</html>")),
    "page.png": ("another kind of file", lambda path: path.write_text("<html>404</html>")),
    "half.wav": ("cut short", lambda path: half(path, sound)),
    "half.mkv": ("cut short", lambda path: half(path, lambda p: write_video(p, pictures(), 25))),
    "half.png": ("cut short", lambda path: half(path, lambda p: picture(p, 64))),
    "nan.wav": ("NaN or infinite", lambda path: float_wav(path, np.r_[TONE, np.nan])),
    "int16.wav": ("not in units of full scale", lambda path: float_wav(path, 20_000 * TONE)),
    "none.wav": ("too short", lambda path: float_wav(path, TONE[:0])),
    "short.wav": ("too short", lambda path: float_wav(path, TONE[:1000])),
    "silent.wav": ("silent", lambda path: sound(path, np.zeros(RATE))),
    "noisefloor.wav": ("silent", lambda path: float_wav(path, TONE * 2.0**-16)),
    "8k.wav": ("wrong rate", lambda path: sound(path, rate=8000)),
    "large.png": ("wrong size", lambda path: picture(path, 16)),
    "flat.png": ("blank", lambda path: write_image(path, np.full((8, 8, 3), 7, np.uint8))),
    "black.mkv": ("blank", lambda path: write_video(path, np.zeros((10, 32, 32), np.uint8), 25)),
    "two.mkv": ("too short", lambda path: write_video(path, pictures(2), 25)),
    "fast.mkv": ("wrong rate", lambda path: write_video(path, pictures(), 30)),
    "small.mkv": ("wrong size", lambda path: write_video(path, pictures(side=16), 25)),
    "mute.mkv": ("silent", lambda path: write_video(path, pictures(), 25, Audio(np.zeros(6400, np.float32), RATE))),
    "heard.mp4": ("no pictures", lambda path: film(path, None, "aac", seconds=1)),
    "latin.txt": ("not UTF-8", lambda path: path.write_bytes("Zo\xeb".encode("latin-1"))),
    "blank.txt": ("empty", lambda path: path.write_text("\n")),
}


@pytest.mark.parametrize("name", BAD)
def test_each_fault_is_called_by_its_name(tmp_path: Path, name: str) -> None:
    fault, make = BAD[name]
    make(tmp_path / name)
    found, reason, _ = look_at(tmp_path / name, FORMS)
    assert found == fault, reason
    assert reason and str(tmp_path) not in reason  # the report holds the file's name already


@pytest.mark.parametrize("name", [*VIDEO, *SOUND])
def test_nothing_is_wrong_with_a_whole_file_of_any_container(tmp_path: Path, name: str) -> None:
    codecs = {**VIDEO, **SOUND}[name]
    film(tmp_path / name, *codecs, seconds=2.0)
    fault, reason, facts = look_at(tmp_path / name, {})
    if name in VIDEO:  # films show one level all over
        assert fault == "blank", reason
        assert facts["pictures"] == 50 and facts["height"] == 32
    else:
        assert fault == "", reason
        assert facts["seconds"] == pytest.approx(2.0, abs=0.15)


def test_facts_are_those_of_the_file(tmp_path: Path) -> None:
    sound(tmp_path / "a.flac", TONE[:8000] * 0.5)
    write_video(tmp_path / "a.mkv", pictures(12), 25, Audio(noise(RATE, 0.48), RATE))
    write_video(tmp_path / "b.mkv", pictures(12), 25)
    picture(tmp_path / "a.png")
    facts = {path.name: look_at(path, FORMS) for path in sorted(tmp_path.iterdir())}
    assert {name: fault for name, (fault, _, _) in facts.items()} == dict.fromkeys(facts, "")
    assert facts["a.flac"][2] == {"seconds": 0.5, "rate": RATE, "peak": 0.5}
    assert facts["a.mkv"][2].items() >= {"pictures": 12, "fps": 25.0, "height": 32, "width": 32, "rate": RATE}.items()
    assert facts["b.mkv"][2]["sound"] is False
    assert facts["a.png"][2] == {"height": 8, "width": 8}


def test_archives_and_strays_are_told_and_not_opened(root: Path) -> None:
    with zipfile.ZipFile(root / "all.zip", "w") as packed:
        packed.writestr("a/0.wav", b"")
    (root / "vox1_dev_wav_partaa").write_bytes(b"PK")
    (root / "a" / "Thumbs.db").touch()
    found = checked(root)
    assert found.kinds == {"sound": 6, "other": 2, "archive": 2} and found.bad == {"empty": 1}


def test_what_is_generated_can_be_verified(tmp_path: Path) -> None:
    corpus = Talkers(None, tmp_path, workers=1, limit=1)
    with pytest.raises(MissingDataset, match="no file of talkers"):
        verify(corpus)
    corpus.open("val", "speech2face")
    found = verify(corpus)
    assert not found.bad and found.kinds["picture"] == 4 and found.kinds["sound"] == 6
    spoken = next(iter(corpus.media_root().rglob("0.flac")))
    spoken.write_bytes(spoken.read_bytes()[:2000])
    assert verify(corpus).bad == {"cut short": 1}


class Choir(Dataset):
    """Recordings of people, some of them published."""

    name: ClassVar[str] = "choir"
    revision: ClassVar[str] = "1"
    layout: ClassVar[str] = "  <person>/*.wav"
    published = (Published("people", 4, r"([^/]+)/.+\.wav"), Published("songs", 5, r".+\.wav"), Published("hours", 9))
    forms = FORMS

    def rows(self, split: str, task: str) -> Iterator[Row]:
        for file in self.finder().media(self.media_root(), _is_wav):
            yield Row(file.replace("/", "_"), file[0], {"speech": (file,)})


def _is_wav(path: Path) -> bool:
    return path.suffix == ".wav"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for person in "abc":
        for number in range(2):
            sound(tmp_path / "choir" / person / f"{number}.wav")
    (tmp_path / "choir" / "b" / "1.wav").write_bytes(b"")
    (tmp_path / "choir" / "a" / ".DS_Store").write_bytes(b"x")
    return tmp_path / "choir"


def checked(root: Path, report: str = "report.jsonl", workers: int = 1, **options: bool) -> Verification:
    dataset = Choir(root, root.parent / "home")
    dataset.workers = workers
    return verify(dataset, root.parent / report, **options)


def rows(report: Path) -> dict[str, dict[str, object]]:
    _, *lines = report.read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    assert len({record["file"] for record in records}) == len(records)
    return {record["file"]: record for record in records}


def test_every_file_has_a_line_and_counts_are_told(root: Path) -> None:
    found = checked(root)
    assert found.files == 7 and found.bad == {"empty": 1} and found.kinds == {"sound": 6, "other": 1}
    assert found.faults == {"empty": ["'b/1.wav': the file is empty (0 bytes)"]}
    assert [tuple(count) for count in found.counts] == [("people", 4, 3), ("songs", 5, 6)]
    assert [count.what for count in found.lacking] == ["people"]
    lines = rows(found.report)
    assert set(lines) == {path.relative_to(root).as_posix() for path in root.rglob("*.*")}
    assert lines["a/0.wav"]["seconds"] == 0.5 and lines["b/1.wav"]["fault"] == "empty"


def test_processes_find_what_one_finds(root: Path) -> None:
    one, two = checked(root), checked(root, "other.jsonl", workers=2)
    assert rows(one.report) == rows(two.report) and one.bad == two.bad


def test_a_kill_loses_nothing_that_was_opened(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = checked(root, "whole.jsonl")

    def killed(done: int, total: int, what: str) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        verify(Choir(root, root.parent / "home"), root.parent / "report.jsonl", killed)
    report = root.parent / "report.jsonl"
    report.write_bytes(report.read_bytes()[:-9])  # the last line is torn
    opened: list[str] = []
    look = verification._looked_at

    def watched(job):  # type: ignore[no-untyped-def]
        opened.append(job.file)
        return look(job)

    monkeypatch.setattr(verification, "_looked_at", watched)
    found = checked(root)
    assert found.kept == 2 and len(opened) == 5
    assert rows(found.report) == rows(whole.report) and found.bad == whole.bad


def test_only_what_changed_is_opened_again(root: Path) -> None:
    checked(root)
    sound(root / "b" / "1.wav")
    (root / "c" / "0.wav").unlink()
    found = checked(root)
    assert found.kept == 5 and found.bad == {"missing": 1} and found.files == 7
    assert found.faults["missing"][0].startswith("'c/0.wav'")
    assert checked(root, fresh=True).kept == 0


def test_what_a_kept_manifest_names_is_missed(root: Path) -> None:
    dataset = Choir(root, root.parent / "home")
    dataset.open("test", "speech2face")
    (root / "a" / "1.wav").unlink()
    assert verify(dataset, root.parent / "report.jsonl").bad == {"empty": 1, "missing": 1}


def test_a_report_of_something_else_is_begun_anew(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checked(root)
    root.rename(root.with_name("moved"))
    assert checked(root.with_name("moved")).kept == 0
    monkeypatch.setattr(Choir, "forms", {"sound": Form(rate=8000)})
    assert checked(root.with_name("moved")).bad["wrong rate"] == 5


def test_a_file_that_is_no_report_is_left_alone(root: Path) -> None:
    own = root.parent / "thesis.tex"
    own.write_text("\\section{Corpora}\n")
    with pytest.raises(UsageError, match="no report of `data verify`"):
        verify(Choir(root, root.parent / "home"), own)
    assert own.read_text() == "\\section{Corpora}\n"


def test_without_files_there_is_nothing_to_verify(tmp_path: Path) -> None:
    (tmp_path / "choir").mkdir()
    with pytest.raises(MissingDataset, match="no file of choir"):
        checked(tmp_path / "choir")
    with pytest.raises(MissingDataset, match="is not a folder"):
        checked(tmp_path / "nowhere")


# ---- the command


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """A part of GRID in folders of speakers."""
    for speaker in ("s1", "s2"):
        path = tmp_path / "grid" / speaker / "bbaf2n.mkv"
        path.parent.mkdir(parents=True)
        write_video(path, pictures(), 25, Audio(noise(RATE, 0.4), RATE))
    return tmp_path / "grid"


def test_the_command_ends_with_1_where_something_is_bad(clips: Path, tmp_path: Path) -> None:
    done = ended("data", "verify", "grid", "--root", clips, "--workers", 1, "--quiet")
    assert (done.returncode, done.stderr) == (0, "") and "2 files (2 video): none bad" in done.stdout
    (clips / "s2" / "lbax4n.mpg").write_bytes(b"")
    output = tmp_path / "checked.jsonl"
    done = ended("data", "verify", "grid", "--data-root", clips, "--workers", 1, "--partial", "-o", output, "--json")
    told = json.loads(done.stdout)
    assert done.returncode == 1 and told["bad"] == {"empty": 1} and told["report"] == str(output)
    assert rows(output)["s2/lbax4n.mpg"]["fault"] == "empty"


def test_a_folder_of_something_else_is_no_sound_corpus(tmp_path: Path) -> None:
    (tmp_path / "faces").mkdir()
    write_image(tmp_path / "faces" / "1.png", np.arange(192, dtype=np.uint8).reshape(8, 8, 3))
    done = ended("data", "verify", "grid", "--root", tmp_path / "faces", "--workers", 1)
    assert done.returncode == 2 and done.stdout == ""
    assert f"This does not look like grid: not one sample of it is in {tmp_path / 'faces'}" in done.stderr
    assert "clips named like bbaf2n" in done.stderr and "it holds: 1.png" in done.stderr


def test_videos_of_another_corpus_are_not_opened_but_called_by_their_name(clips: Path) -> None:
    for name in ("s1", "s2"):
        (clips / name / "bbaf2n.mkv").rename(clips / name / "bbaf2n.mpg")
    done = ended("data", "verify", "lrs3", "--data-root", clips, "--workers", 1)
    assert done.returncode == 2 and "wrong size" not in done.stdout + done.stderr
    assert f"This does not look like lrs3: not one sample of it is in {clips}" in done.stderr
    assert "{trainval,test}/<video>/<utterance>.mp4" in done.stderr and "it holds: s1/, s2/" in done.stderr
    assert f"It looks like grid: python -m benchmark data verify grid --data-root {clips}" in done.stderr


def test_a_level_too_low_is_told_before_any_file_is_opened(clips: Path) -> None:
    (clips / "s1" / "bbaf2n.mkv").rename(clips / "s1" / "bbaf2n.mpg")
    with pytest.raises(MissingDataset, match=rf"is not its folder. Did you mean {clips}\?"):
        verify(Grid(clips.parent, clips.parent / "home"))


def test_no_room_for_temporary_files_is_not_told_of_the_corpus(clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = spilled.scratch

    def full() -> sqlite3.Connection:
        database = scratch()
        database.execute("PRAGMA max_page_count = 1")
        return database

    monkeypatch.setattr(spilled, "scratch", full)
    with pytest.raises(MissingDataset, match=r"^An index needs a temporary file.* is full\): set TMPDIR to a folder"):
        verify(Grid(clips, clips.parent / "home"))


def test_bad_files_in_the_right_tree_are_still_reported(clips: Path) -> None:
    for name in ("s1", "s2"):
        (clips / name / "bbaf2n.mkv").unlink()
        (clips / name / "bbaf2n.mpg").touch()
    done = ended("data", "verify", "grid", "--data-root", clips, "--workers", 1, "--partial")
    assert done.returncode == 1 and "2 bad" in done.stdout and "empty" in done.stdout
    assert "\nThis does not look like grid: not one sample of it" in done.stderr


@pytest.mark.parametrize("landmark", [mark for mark in VoxCeleb1.landmarks if "/" in mark])
def test_where_voxceleb1_is_recognised_it_can_be_indexed(tmp_path: Path, landmark: str) -> None:
    speaker = tmp_path / "vox" / landmark.replace("*", "0001")
    speaker = speaker if speaker.name.startswith("id") else speaker / "id10001"
    (speaker / "video").mkdir(parents=True)
    sound(speaker / "video" / "00001.wav")
    table = "VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet\nid10001\tA.J._Buckley\tm\tIreland\ttest\n"
    (tmp_path / "vox" / "vox1_meta.csv").write_text(table)
    assert VoxCeleb1(tmp_path / "vox", tmp_path / "home").unrecognised() == ""
    (tmp_path / "vox" / "vox1_meta.csv").unlink()
    (speaker / "vox1_meta.csv").write_text(table)  # speakers are looked for where rows look for them, and nowhere else
    assert VoxCeleb1(speaker, tmp_path / "home").unrecognised() != ""


def test_fewer_files_than_published_are_a_fault_unless_meant(tmp_path: Path) -> None:
    for number in range(2):
        path = tmp_path / "lrs3" / "test" / "0Fi83BHQsMA" / f"{number:05d}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_video(path, pictures(side=224), 25, Audio(noise(RATE, 0.4), RATE))
    line = ("data", "verify", "lrs3", "--data-root", tmp_path / "lrs3", "--workers", 1)
    done = ended(*line)
    assert done.returncode == 1 and "utterances of test: 1,319 fewer than published" in done.stderr
    assert "1,321" in done.stdout and "trainval" not in done.stdout
    assert ended(*line, "--partial").returncode == 0
    assert ended(*line[:3]).returncode == 2


def test_real_clips_are_whole(realdata: Path, tmp_path: Path) -> None:
    done = ended("data", "verify", "grid", "--data-root", realdata / "grid", "--workers", 1, "-o", tmp_path / "r.jsonl")
    assert done.returncode == 0, done.stdout
    assert all(row["pictures"] == 75 for row in rows(tmp_path / "r.jsonl").values() if row["kind"] == "video")
