"""What adapters say of their corpora; roots that are wrong; one manifest for each root."""

from __future__ import annotations

import json
import re
import sqlite3
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from commands import ended
from films import noise

from benchmark.datasets import media_files, utterances
from benchmark.datasets.dataset import Dataset
from benchmark.datasets.folder import Folder
from benchmark.datasets.grid import Grid
from benchmark.datasets.lengths import Lengths, stamp
from benchmark.datasets.lrs3 import LRS3
from benchmark.datasets.lrs3_chime3 import LRS3CHiME3
from benchmark.datasets.media_files import MediaFinder, is_speech
from benchmark.datasets.roots import advice
from benchmark.datasets.voxceleb2 import VoxCeleb2
from benchmark.errors import MissingDataset
from benchmark.media import audio_seconds, write_audio, write_image, write_video
from benchmark.registry import datasets
from benchmark.types import Audio

RATE = 16_000
ON_DISK = [name for name in datasets if datasets.load(name).needs_root]


def sound(path: Path, seconds: float = 0.2) -> Path:
    write_audio(path, Audio(noise(RATE, seconds), RATE))
    return path


def clip(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, np.full((5, 16, 16), 90, np.uint8), 25, Audio(noise(RATE, 0.2), RATE))
    return path


def text(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return path


# ---- what they say


@pytest.mark.parametrize("name", datasets.builtin)
def test_every_corpus_says_what_to_get_where_and_under_which_terms(name: str) -> None:
    kind: type[Dataset] = datasets.load(name)
    for told in (kind.obtain, kind.where, kind.terms, kind.use):
        assert told.endswith((".", "/")), told
    done = ended("data", "info", name)
    assert done.returncode == 0 and kind.layout in done.stdout
    split = "test" if "test" in kind.splits else kind.splits[0]
    assert f"python -m benchmark data build {name} --split {split}" in done.stdout
    about = json.loads(ended("data", "info", name, "--json").stdout)
    assert about["terms"] == kind.terms and about["splits"] == list(kind.splits)


def test_all_of_them_are_listed() -> None:
    done = ended("data", "info")
    assert all(re.search(rf"^{name} ", done.stdout, re.MULTILINE) for name in datasets.builtin)
    assert [one["dataset"] for one in json.loads(ended("data", "info", "--json").stdout)] == list(datasets)


PUBLISHED = {
    "voxceleb2": {"test/mp4/id00017/01dfn2spqyE/00001.mp4": (118, 36_237)},
    "lrs3": {"lrs3/test/0Fi83BHQsMA/00002.mp4": (412, 1321), "trainval/00j9bKdiOjk/50001.mp4": (4004, 31_982)},
    "tcd_timit": {"volunteers/01M/Clips/straightcam/sa1.mp4": (59, 6913)},
    "ntcd_timit": {"Clean/volunteers/01M/straightcam/sa1.wav": (56, 5488)},
    "librispeech": {"LibriSpeech/test-other/367/130732/367-130732-0000.flac": (2939,)},
    "grid": {"s1/mpg_6000/bbaf2n.mpg": (33, 33_000)},
    "ffhq": {"images1024x1024/00000/00001.png": (70_000,)},
    "hq_voxceleb": {"VoxCeleb/vox1/masked_faces/A.J._Buckley/1.jpg": (3638, 8028)},
    "vggface_voxceleb1": {"data/VGG_ALL_FRONTAL/A.J._Buckley/1.jpg": (1225,)},
    "voxceleb1": {"test/wav/id10270/5r0dWxy17C8/00001.wav": (40, 4874), "wav/id10001/a/00001.wav": (1251, 153_516)},
    "audioset": {"eval_segments/Y--4gqARaEJE.wav": (20_371,), "audio/bal_train/--PJHxphWEs.flac": (22_160,)},
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_counts_are_of_the_files_of_the_layout(name: str) -> None:
    kind: type[Dataset] = datasets.load(name)
    for file, counts in PUBLISHED[name].items():
        assert tuple(one.count for one in kind.published if re.fullmatch(one.pattern, file)) == counts


def test_a_dataset_that_says_nothing_of_itself_can_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("obtain", "where", "terms", "use"):
        monkeypatch.delattr(Grid, name)
    done = ended("data", "info", "grid")
    assert done.returncode == 0 and "what to get" not in done.stdout and Grid.layout in done.stdout


# ---- where they are looked for


@pytest.fixture
def lrs3(tmp_path: Path) -> Path:
    for number in range(2):
        clip(tmp_path / "corpora" / "LRS3" / "test" / "0Fi83BHQsMA" / f"{number:05d}.mp4")
    return tmp_path / "corpora" / "LRS3"


def refused(kind: type[Dataset], root: Path, split: str = "test") -> str:
    with pytest.raises(MissingDataset) as told:
        kind(root, root.parent / "home").open(split, kind.tasks[0])
    return str(told.value)


def test_a_root_that_is_too_high_or_too_low_is_said_to_be(lrs3: Path) -> None:
    for wrong in (lrs3.parent, lrs3.parent.parent, lrs3 / "test", lrs3 / "test" / "0Fi83BHQsMA"):
        told = refused(LRS3, wrong)
        assert re.search(rf"{re.escape(str(wrong))} is not its folder. Did you mean {re.escape(str(lrs3))}\?", told)


def test_names_in_another_case_are_said_to_be(lrs3: Path) -> None:
    (lrs3 / "test").rename(lrs3 / "Test")
    assert "'Test' is there; expected 'test'" in refused(LRS3, lrs3)
    (lrs3 / "Test").rename(lrs3 / "tset")
    assert "'tset' is there. Did you mean 'test'?" in refused(LRS3, lrs3)


def test_archives_are_said_to_be_packed(tmp_path: Path) -> None:
    root = tmp_path / "vox"
    for name in ("vox2_dev_mp4_partaa", "vox2_test_mp4.zip", "inner/vox2_test_aac.zip", "a.tar.gz"):
        text(root / name, "PK")
    told = refused(VoxCeleb2, root)
    assert "archives are not read" in told and "a.tar.gz, vox2_dev_mp4_partaa, vox2_test_mp4.zip and 1 more" in told
    assert "vox2_test_mp4.zip is an archive: unpack it" in refused(VoxCeleb2, root / "vox2_test_mp4.zip")


def test_there_is_no_advice_where_nothing_is_known(tmp_path: Path) -> None:
    assert advice(tmp_path, ()) == "" and advice(tmp_path, ("test/*",)) == ""
    (tmp_path / "test" / "x").mkdir(parents=True)
    (tmp_path / "tests").mkdir()
    assert advice(tmp_path, ("test/*",)) == ""  # the right folder; what is wrong lies in it


def test_an_empty_split_says_what_is_there(lrs3: Path) -> None:
    told = refused(LRS3, lrs3, "val")
    assert "No usable sample of 'lrs3' (val)" in told and "is not its folder" not in told


def test_what_macos_leaves_is_no_file_of_a_corpus(lrs3: Path) -> None:
    talk = lrs3 / "test" / "0Fi83BHQsMA"
    (talk / "._00000.mp4").write_bytes(b"\0\5\x16\7")
    clip(lrs3 / "test" / "__MACOSX" / "00000.mp4")
    manifest = LRS3(lrs3, lrs3.parent / "home").open("test", "av_enhancement")
    assert {sample.speaker for sample in manifest.samples} == {"0Fi83BHQsMA"} and len(manifest.samples) == 2
    assert sum("left by macOS" in line for line in manifest.problems) == 2


# ---- one manifest for each root


@pytest.mark.parametrize("name", ON_DISK)
def test_two_roots_share_no_file(name: str, tmp_path: Path) -> None:
    kind: type[Dataset] = datasets.load(name)
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "one")
    one, two, link = (kind(tmp_path / place, tmp_path / "home").place() for place in ("one", "two", "link"))
    assert one != two and one == link
    (tmp_path / "link").unlink()
    (tmp_path / "link").symlink_to(tmp_path / "two")
    assert kind(tmp_path / "link", tmp_path / "home").place() == two


def test_a_root_that_was_renamed_has_a_manifest_of_its_own(lrs3: Path, tmp_path: Path) -> None:
    first = LRS3(lrs3, tmp_path / "home").open("test", "av_enhancement")
    lrs3.rename(lrs3.with_name("moved"))
    clip(lrs3 / "test" / "another" / "00000.mp4")
    second = LRS3(lrs3, tmp_path / "home").open("test", "av_enhancement")
    moved = LRS3(lrs3.with_name("moved"), tmp_path / "home").open("test", "av_enhancement")
    assert first.sha256 == moved.sha256 != second.sha256 and first.path == second.path != moved.path
    assert all(sample.inputs["video"][0].is_file() for sample in (*second.samples, *moved.samples))


def test_linked_halves_are_told_apart_by_where_they_lead(tmp_path: Path) -> None:
    for number, seconds in enumerate((0.2, 0.4)):
        sound(tmp_path / f"speech{number}" / "test" / "talk" / "00001.wav", seconds)
        clip(tmp_path / f"speech{number}" / "test" / "talk" / "00001.mp4")
        sound(tmp_path / "noise" / "BGD_1_010_BUS.CH1.wav", 2.0)
        (tmp_path / f"root{number}").mkdir()
        (tmp_path / f"root{number}" / "lrs3").symlink_to(tmp_path / f"speech{number}")
        (tmp_path / f"root{number}" / "chime3").symlink_to(tmp_path / "noise")
    one, two = (LRS3CHiME3(tmp_path / f"root{n}", tmp_path / "home").open("test", "lip2speech") for n in range(2))
    assert one.path != two.path
    starts = [manifest.samples[0].attributes["noise_start_s"] for manifest in (one, two)]
    assert starts[0] / 1.8 == pytest.approx(starts[1] / 1.6, abs=1e-3)  # the same place in what is left of the noise


def test_the_folder_of_this_suite_is_no_corpus(tmp_path: Path) -> None:
    root = tmp_path / "people"
    sound(root / "ann" / "1.wav")
    write_image(root / "ann" / "1.png", np.zeros((8, 8, 3), np.uint8))
    manifest = Folder(root, root / "home").open("test", "speech2face")
    again = Folder(root, root / "home").open("test", "speech2face")
    assert [sample.id for sample in again.samples] == ["ann"] and again.sha256 == manifest.sha256
    assert any("keeps its own files" in line for line in again.problems)
    with pytest.raises(MissingDataset, match="keeps its own files"):
        Folder(root, root).open("test", "speech2face")


# ---- lengths, and several processes


def test_lengths_are_remembered_for_as_long_as_a_file_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [sound(tmp_path / "data" / f"{n}.wav", 0.1 + n / 10).name for n in range(3)]
    (tmp_path / "data" / "bad.wav").write_bytes(b"RIFF")
    probed: list[str] = []

    def watched(path: Path) -> float:
        probed.append(path.name)
        return audio_seconds(path)

    monkeypatch.setattr(media_files, "audio_seconds", watched)

    def told(*names: str) -> dict[str, float]:
        probed.clear()
        problems: list[str] = []
        finder = MediaFinder(tmp_path / "data", problems, kept=Lengths(tmp_path / "home" / "l.sqlite"))
        found = finder.lengths(names)
        assert bool(problems) == ("bad.wav" in names)
        return found

    assert told(*files, "bad.wav") == {"0.wav": 0.1, "1.wav": 0.2, "2.wav": 0.3}
    assert probed == [*files, "bad.wav"]
    assert list(told("2.wav", "0.wav", "bad.wav")) == ["2.wav", "0.wav"]  # in the order asked for
    assert probed == ["bad.wav"]  # what may get better is looked at again
    before = stamp(tmp_path / "data" / "1.wav")
    sound(tmp_path / "data" / "1.wav", 0.2)  # as long, and yet another file
    assert stamp(tmp_path / "data" / "1.wav") != before and told(*files)["1.wav"] == 0.2 and probed == ["1.wav"]


def test_a_broken_file_of_lengths_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "l.sqlite").write_bytes(b"no database" * 100)
    kept = Lengths(tmp_path / "l.sqlite")
    assert kept.known({"a": "1"}) == {}
    kept.keep([("a", "1", 2.5)])
    assert kept.known({"a": "1", "b": "1"}) == {"a": 2.5} and kept.known({"a": "2"}) == {}
    assert sqlite3.connect(tmp_path / "l.sqlite").execute("SELECT count(*) FROM lengths").fetchone() == (1,)


@pytest.fixture
def speakers(tmp_path: Path) -> Path:
    for number in range(5):
        for take in range(3):
            sound(tmp_path / "data" / f"id{number}" / "x" / f"{take}.wav", 0.1 + number / 10)
        text(tmp_path / "data" / f"id{number}" / "notes.md", "x")
    text(tmp_path / "data" / "id3" / "x" / "bad.wav", "text")
    return tmp_path / "data"


def test_several_processes_find_what_one_finds(speakers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for workers in (1, 2):
        monkeypatch.setattr(media_files, "_PATIENCE_S", 0.0)
        monkeypatch.setattr(media_files, "_TOGETHER", 4)
        told: list[tuple[object, ...]] = []
        tell = told.append
        finder = MediaFinder(speakers, [], workers=workers, progress=lambda *about, tell=tell: tell(about))
        folders = finder.folders(speakers)
        listed = list(finder.media_of(folders, is_speech))
        lengths = finder.lengths(file for _, files in listed for file in files)
        assert told[-1][0] == told[-1][1] == 15
        found.append((listed, lengths, finder.problems))
    assert found[0] == found[1]
    assert [len(files) for _, files in found[0][0]] == [3] * 5 and len(found[0][2]) == 6


def test_a_tree_is_indexed_alike_by_one_process_and_by_two(
    tmp_path: Path, speakers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in sorted(speakers.rglob("[0-9].wav")):
        clip(tmp_path / "vox" / "test" / "mp4" / path.relative_to(speakers).with_suffix(".mp4"))
    hashes = set()
    for workers in (1, 2):
        monkeypatch.setattr(media_files, "_PATIENCE_S", 0.0)
        dataset = VoxCeleb2(tmp_path / "vox", tmp_path / f"home{workers}")
        dataset.workers = workers
        hashes.add(dataset.open("test", "av_enhancement").sha256)
    assert len(hashes) == 1


def test_build_and_show_tell_of_what_is_there(lrs3: Path) -> None:
    done = ended("data", "build", "lrs3", "--root", lrs3, "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["samples"], told["speakers"]) == (0, 2, 1)
    assert json.loads(ended("data", "show", "lrs3", "--data-root", lrs3, "--json").stdout) == told
    done = ended("data", "show", "lrs3")
    assert done.returncode == 2 and "no --data-root was given" in done.stderr and "trainval" in done.stderr
    assert ended("data", "build", "lrs3", "--root", lrs3, "--workers", 0).returncode == 2


def test_archives_in_a_zip_are_not_opened(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "corpus.zip", "w") as packed:
        packed.writestr("test/mp4/id1/a/1.mp4", "x")
    assert "is an archive" in refused(VoxCeleb2, tmp_path / "corpus.zip")


# ---- memory


def test_the_memory_of_an_index_does_not_grow_with_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(utterances, "_KEPT", 100)
    peaks, counts = [], (600, 3600)
    for count in counts:
        root = tmp_path / str(count)
        for number in range(count // 2):
            name = f"id{number // 100:05d}/video/{number % 100:05d}"
            for kind, head in (("mp4", b"\0\0\0\x20ftypisom\0\0\0\0"), ("wav", b"RIFF\x24\0\0\0WAVEfmt ")):
                path = root / "test" / kind / f"{name}.{kind}"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(head)
        VoxCeleb2(root, tmp_path / "home").open("test", "lip2speech")  # imports, and whatever is kept for ever
        tracemalloc.start()
        manifest = VoxCeleb2(root, tmp_path / "home").open("test", "lip2speech")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert len(manifest.samples) == count // 2
    assert peaks[1] - peaks[0] < 60 * (counts[1] - counts[0])  # bytes; a dict with the names alone takes 200 for each
