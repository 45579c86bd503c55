"""The corpora of LipDiffuser in small trees of their published layouts."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from benchmark.datasets import chime3, tcd_timit
from benchmark.datasets.chime3 import CHiME3
from benchmark.datasets.dataset import Dataset
from benchmark.datasets.folder import Folder
from benchmark.datasets.grid import Grid
from benchmark.datasets.librispeech import LibriSpeech
from benchmark.datasets.lrs3 import LRS3
from benchmark.datasets.lrs3_chime3 import LRS3CHiME3
from benchmark.datasets.manifest import Manifest
from benchmark.datasets.ntcd_timit import NTCDTIMIT
from benchmark.datasets.tcd_timit import TCDTIMIT
from benchmark.errors import MediaError, MissingDataset, UsageError
from benchmark.media import mouth_video, read_audio, read_part, write_audio, write_video
from benchmark.tasks import Protocol, get_task
from benchmark.types import Audio, Sample

RATE = 16_000
LIPS = get_task("lip2speech")
SIX = {5.0, 0.0, -5.0, -10.0, -15.0, -20.0}


def tone(path: Path, seconds: float = 0.4, hz: float = 200, rate: int = RATE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = 0.2 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)
    write_audio(path, Audio(samples.astype(np.float32), rate))
    return path


def clip(path: Path, seconds: float = 0.4, sound: bool = True) -> Path:
    """A video that is a mouth already."""
    path.parent.mkdir(parents=True, exist_ok=True)
    audio = Audio(np.full(round(seconds * RATE), 0.1, np.float32), RATE) if sound else None
    write_video(path, np.full((round(25 * seconds), 96, 96), 90, np.uint8), 25, audio)
    return path


def text(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return path


def opened(kind: type[Dataset], root: Path, split: str = "test", task: str = "lip2speech") -> Manifest:
    return kind(root, root.parent / "home").open(split, task)


def files(sample: Sample, root: Path) -> dict[str, str]:
    """Field to its only file, relative to the root."""
    fields = {**sample.inputs, **sample.targets}
    return {name: path.relative_to(root).as_posix() for name, (path,) in fields.items()}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "corpus"


# TCD-TIMIT


@pytest.fixture
def tcd(root: Path) -> Path:
    for who in ("volunteers/08F", "volunteers/58F", "volunteers/01M", "lipspeakers/Lipspkr1"):
        for name in ("sa1", "si453"):
            clip(root / who / "Clips" / "straightcam" / f"{name}.mp4")
    clip(root / "volunteers" / "08F" / "Clips" / "30degcam" / "sa1.mp4")
    here = root / "volunteers" / "08F" / "Clips" / "straightcam"
    tone(here / "sa1.wav")
    text(here / "SA1.txt", "0 9000 she\n9000 21000 had\n21000 30000 your\n")
    text(here / "SI453.txt", "0 46797 Just a sentence.\n")
    return root


def test_tcd_timit_tests_on_its_authors_volunteers(tcd: Path) -> None:
    samples = opened(TCDTIMIT, tcd).samples
    assert {sample.speaker for sample in samples} == {"08F", "58F"} and len(samples) == 4
    assert {sample.attributes["snr_db"] for sample in samples} == {-10.0}
    first = next(sample for sample in samples if sample.id.startswith("08F_sa1"))
    about = files(first, tcd)
    assert about["video"] == "volunteers/08F/Clips/straightcam/sa1.mp4"
    assert about["speech"] == "volunteers/08F/Clips/straightcam/sa1.wav"
    assert about["enrolment"] == "volunteers/08F/Clips/straightcam/si453.mp4"  # by its own sound
    assert about["enrolment_decoy"].startswith("volunteers/58F/")
    assert {key: first.attributes[key] for key in ("text", "sex", "framing")} == {
        "text": "she had your",
        "sex": "f",
        "framing": "scene",
    }
    other = next(sample for sample in samples if sample.id.startswith("08F_si453"))
    assert other.attributes["text"] == "Just a sentence."


def test_tcd_timit_trains_on_the_others(tcd: Path) -> None:
    kinds = {who: tcd_timit.split_of(who, tcd_timit.TEST) for who in ("08F", "58F", "Lipspkr1")}
    assert kinds == {"08F": "test", "58F": "test", "Lipspkr1": "train"}
    who = {sample.speaker for split in ("train", "val") for sample in _samples(TCDTIMIT, tcd, split)}
    assert who == {"01M", "Lipspkr1"}
    volunteers = [f"{n:02d}{'FM'[n % 2]}" for n in range(1, 60)]
    counts = Counter(tcd_timit.split_of(who, tcd_timit.TEST) for who in volunteers)
    assert 1 <= counts["val"] <= 12 and counts["train"] > 25


def _samples(kind: type[Dataset], root: Path, split: str) -> tuple[Sample, ...]:
    try:
        return opened(kind, root, split).samples
    except MissingDataset:
        return ()


def test_tcd_timit_may_lie_in_a_folder_of_its_name(tcd: Path, tmp_path: Path) -> None:
    (tmp_path / "over").mkdir()
    tcd.rename(tmp_path / "over" / "TCDTIMIT")
    sample = opened(TCDTIMIT, tmp_path / "over").samples[0]
    assert files(sample, tmp_path / "over")["video"].startswith("TCDTIMIT/volunteers/08F/")


def test_tcd_timit_names_what_it_leaves_out(tcd: Path) -> None:
    here = tcd / "volunteers" / "58F" / "Clips" / "straightcam"
    clip(here / "si1.mp4", sound=False)
    tone(here / "si2.wav")
    text(here / "SA1.txt", "\n")
    problems = "\n".join(opened(TCDTIMIT, tcd).problems)
    assert "si1.mp4': " in problems and "si2.wav': no usable video goes with it" in problems
    assert "SA1.txt': no words in it" in problems


# NTCD-TIMIT


@pytest.fixture
def ntcd(root: Path) -> Path:
    for who in ("09F", "24M", "01M"):
        for name in ("sa1", "si2"):
            clip(root / "TCD-TIMIT" / "volunteers" / who / "Clips" / "straightcam" / f"{name}.mp4")
            tone(root / "Clean" / "volunteers" / who / "straightcam" / f"{name}.wav")
            for noise in ("Babble", "White"):
                for snr in (-5, 0, 20):
                    tone(root / noise / str(snr) / "volunteers" / who / "straightcam" / f"{name}.wav", hz=400 + snr)
    text(root / "TCD-TIMIT" / "volunteers" / "09F" / "Clips" / "straightcam" / "SA1.txt", "0 9 she\n9 12 had\n")
    return root


def test_ntcd_timit_is_heard_as_it_was_recorded(ntcd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = opened(NTCDTIMIT, ntcd).samples
    assert len(samples) == 2 * 2 * 2 and {sample.attributes["snr_db"] for sample in samples} == {-5.0}
    assert {sample.attributes["noise"] for sample in samples} == {"babble", "white"}
    sample = next(one for one in samples if one.id == "09F_sa1_babble_-5dB")
    assert files(sample, ntcd) | {"decoy": "", "enrolment_decoy": ""} == {
        "video": "TCD-TIMIT/volunteers/09F/Clips/straightcam/sa1.mp4",
        "noisy": "Babble/-5/volunteers/09F/straightcam/sa1.wav",
        "speech": "Clean/volunteers/09F/straightcam/sa1.wav",
        "enrolment": "Clean/volunteers/09F/straightcam/si2.wav",
        "decoy": "",
        "enrolment_decoy": "",
    }
    assert sample.attributes["text"] == "she had" and sample.attributes["sex"] == "f"
    example = LIPS.open(sample, 0, Protocol(None, 1, "noisy"), 0, "")
    noisy, clean = (read_audio(ntcd / files(sample, ntcd)[name]).samples for name in ("noisy", "speech"))
    assert np.array_equal(example.inputs["noisy"].samples, noisy) and np.array_equal(example.truth.samples, clean)
    assert np.array_equal(example.inputs["enrolment"].samples, noisy)
    assert len(example.inputs["mouth"].frames) == 10


def test_ntcd_timit_sweeps_the_snrs_that_are_there(ntcd: Path) -> None:
    samples = opened(NTCDTIMIT, ntcd, "test_snr").samples
    assert Counter(sample.attributes["snr_db"] for sample in samples) == {-5.0: 8, 0.0: 8, 20.0: 8}
    assert opened(NTCDTIMIT, ntcd, "test", "av_enhancement").samples[0].inputs.keys() >= {"noisy", "video", "decoy"}


def test_ntcd_timit_names_what_it_leaves_out(ntcd: Path) -> None:
    (ntcd / "TCD-TIMIT" / "volunteers" / "24M" / "Clips" / "straightcam" / "si2.mp4").unlink()
    (ntcd / "Clean" / "volunteers" / "09F" / "straightcam" / "sa1.wav").unlink()
    (ntcd / "White" / "loud").mkdir()
    manifest = opened(NTCDTIMIT, ntcd)
    assert {sample.id for sample in manifest.samples} == {
        *(f"09F_si2_{noise}_-5dB" for noise in ("babble", "white")),
        *(f"24M_sa1_{noise}_-5dB" for noise in ("babble", "white")),
    }
    problems = "\n".join(manifest.problems)
    assert "White/loud': expected a folder named by an SNR in dB" in problems
    assert "Clean/volunteers/24M/straightcam/si2.wav': no usable video goes with it" in problems
    assert "Babble/-5/volunteers/09F/straightcam/sa1.wav': no usable clean recording with a video" in problems
    assert not any("enrolment" in sample.inputs for sample in manifest.samples)  # one utterance each is left


# LibriSpeech


@pytest.fixture
def libri(root: Path) -> Path:
    base = root / "LibriSpeech"
    for subset, speakers in {"test-clean": (61, 121), "train-clean-100": (103,), "train-other-500": (20,)}.items():
        for speaker in speakers:
            for number in range(2):
                tone(base / subset / str(speaker) / "70968" / f"{speaker}-70968-{number:04d}.flac", hz=100 + speaker)
            said = f"{speaker}-70968-0000 HE BEGAN\n{speaker}-70968-0001 A CONFUSED COMPLAINT\n"
            text(base / subset / str(speaker) / "70968" / f"{speaker}-70968.trans.txt", said)
    text(base / "SPEAKERS.TXT", ";ID |SEX|\n61   | M | test-clean | 8.0 | Name\n121  | F | test-clean | 8.1 | N\n")
    return root


def test_librispeech_is_heard_and_not_seen(libri: Path) -> None:
    samples = {sample.id: sample for sample in opened(LibriSpeech, libri).samples}
    assert sorted(samples) == ["121-70968-0000", "121-70968-0001", "61-70968-0000", "61-70968-0001"]
    one = samples["61-70968-0001"]
    assert (one.speaker, one.attributes) == ("61", {"sex": "m", "text": "A CONFUSED COMPLAINT"})
    about = files(one, libri)
    assert about["speech"] == "LibriSpeech/test-clean/61/70968/61-70968-0001.flac"
    assert about["enrolment"] == "LibriSpeech/test-clean/61/70968/61-70968-0000.flac"
    assert set(about) == {"speech", "enrolment", "enrolment_decoy"}
    assert {sample.speaker for sample in opened(LibriSpeech, libri, "train").samples} == {"103", "20"}
    with pytest.raises(MissingDataset, match="No usable sample of 'librispeech' .val."):
        opened(LibriSpeech, libri, "val")
    with pytest.raises(MediaError, match="has 0 files as its video"):
        LIPS.open(one, 0, Protocol(None, 1, "other"), 0, "")


def test_librispeech_tells_of_words_that_lack(libri: Path) -> None:
    (libri / "LibriSpeech" / "test-clean" / "61" / "70968" / "61-70968.trans.txt").unlink()
    tone(libri / "LibriSpeech" / "test-clean" / "61" / "70968" / "stray.flac")
    manifest = opened(LibriSpeech, libri)
    assert len(manifest.samples) == 4
    lacking = "used without its words: there is no line of it in 61-70968.trans.txt"
    assert sum(lacking in problem for problem in manifest.problems) == 2
    assert any("stray.flac': a stray file" in problem for problem in manifest.problems)


# CHiME-3


@pytest.fixture
def chime(root: Path) -> Path:
    for place in ("BUS", "CAF"):
        for number in range(4):
            for channel in (1, 5):
                name = f"BGD_15020{number}_010_{place}.CH{channel}.wav"
                seconds = 2.0 + number / 10 + channel / 100
                rng = np.random.default_rng([number, channel])
                path = root / "chime3" / "data" / "audio" / "16kHz" / "backgrounds" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                write_audio(path, Audio(rng.uniform(-0.3, 0.3, round(seconds * RATE)).astype(np.float32), RATE))
    return root


def test_chime3_keeps_a_recording_in_one_split(chime: Path) -> None:
    found = {split: opened(CHiME3, chime / "chime3", split).samples for split in ("train", "val", "test")}
    sessions = {split: {sample.id.partition(".")[0] for sample in samples} for split, samples in found.items()}
    assert sessions["test"] == {"BGD_150203_010_BUS", "BGD_150203_010_CAF"}
    assert sessions["val"] == {"BGD_150202_010_BUS", "BGD_150202_010_CAF"}
    assert len(sessions["train"]) == 4 and [len(found[split]) for split in ("train", "val", "test")] == [8, 4, 4]
    sample = found["test"][0]
    assert sample.attributes == {"noise": "bus", "seconds": 2.31} and not sample.targets
    assert files(sample, chime / "chime3") == {"noise": f"{chime3.BACKGROUNDS}/BGD_150203_010_BUS.CH1.wav"}


def test_chime3_leaves_out_what_is_no_background(chime: Path) -> None:
    tone(chime / "chime3" / chime3.BACKGROUNDS / "M03_052C010I_BTH.CH1.wav")
    problems = opened(CHiME3, chime / "chime3").problems
    assert any("expected a name like BGD_150203_010_CAF.CH1.wav" in problem for problem in problems)


# LRS3


@pytest.fixture
def lrs3(chime: Path) -> Path:
    for talk, said in {"0Fi83BHQsMA": 3, "1AW8sy8Z7TE": 2, "alone": 1}.items():
        for number in range(1, said + 1):
            path = chime / "lrs3" / "test" / talk / f"{number:05d}.mp4"
            clip(path, 0.4 + 0.04 * number)
            text(path.with_suffix(".txt"), f"Text:  WORDS OF {talk.upper()} {number}\nConf:  4\n")
    return chime


def test_lrs3_enrols_another_utterance_of_the_talk(lrs3: Path) -> None:
    samples = opened(LRS3, lrs3 / "lrs3").samples
    assert len(samples) == 6 and {sample.attributes["snr_db"] for sample in samples} == {-10.0}
    lonely = [sample.speaker for sample in samples if "enrolment" not in sample.inputs]
    assert lonely == ["alone"]
    for sample in samples:
        if sample.speaker != "alone":
            assert sample.inputs["enrolment"][0].parent == sample.inputs["video"][0].parent
            assert sample.inputs["enrolment"] != sample.targets["speech"]


def test_lrs3_chime3_has_every_utterance_at_six_snrs(lrs3: Path) -> None:
    samples = opened(LRS3CHiME3, lrs3, "test_snr").samples
    assert len(samples) == 6 * 6
    assert Counter(sample.attributes["snr_db"] for sample in samples) == dict.fromkeys(SIX, 6)
    for sample in samples:
        (noise,) = sample.inputs["noise"]
        assert noise.name.startswith("BGD_150203")  # of the test alone
        length = read_audio(sample.targets["speech"][0]).seconds
        assert 0 <= sample.attributes["noise_start_s"] <= read_audio(noise).seconds - length + 1e-3
    assert len({(s.inputs["noise"], s.attributes["noise_start_s"]) for s in samples}) == 36
    test = {sample.id: sample for sample in opened(LRS3CHiME3, lrs3).samples}
    assert test == {sample.id: sample for sample in samples if sample.attributes["snr_db"] == -10}
    assert len(opened(LRS3CHiME3, lrs3, "test_snr", "av_enhancement").samples) == 36


def test_the_several_of_lrs3_chime3_are_the_mixtures_of_the_test_that_have_another_to_enrol(lrs3: Path) -> None:
    test = opened(LRS3CHiME3, lrs3).samples
    several = opened(LRS3CHiME3, lrs3, "test_several").samples
    assert several == tuple(sample for sample in test if "enrolment" in sample.inputs)
    assert {sample.speaker for sample in test} - {sample.speaker for sample in several} == {"alone"}


def test_the_list_of_lrs3_chime3_is_kept_and_hashed(lrs3: Path, tmp_path: Path) -> None:
    first = opened(LRS3CHiME3, lrs3, "test_snr")
    header, *lines = first.path.read_text().splitlines()
    assert json.loads(header)["dataset"] == "lrs3_chime3" and len(lines) == 36
    assert {"noise_start_s", "snr_db", "place"} <= set(json.loads(lines[0])["attributes"])
    moved = tmp_path / "elsewhere"
    lrs3.rename(moved)
    again = opened(LRS3CHiME3, moved, "test_snr")
    assert again.sha256 == first.sha256 and again.path != first.path
    (moved / "chime3" / chime3.BACKGROUNDS / "BGD_150203_010_BUS.CH1.wav").unlink()
    assert opened(LRS3CHiME3, moved, "test_snr").sha256 != first.sha256


def test_lrs3_chime3_mixes_the_part_that_its_list_names(lrs3: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for sample in opened(LRS3CHiME3, lrs3, "test_snr").samples[::5]:
        noisy = LIPS.open(sample, 0, Protocol(None, 1, "other"), 0, "", wanted=("noisy",)).inputs["noisy"].samples
        speech = read_audio(sample.targets["speech"][0]).samples.astype(float)
        start = round(sample.attributes["noise_start_s"] * RATE)
        noise = read_audio(sample.inputs["noise"][0]).samples[start : start + len(speech)].astype(float)
        mixture = speech / speech.std() + noise / noise.std() * 10 ** (-sample.attributes["snr_db"] / 20)
        heard = noisy[: len(speech)].astype(float)
        np.testing.assert_allclose(heard / heard.std(), mixture / mixture.std(), atol=1e-4)


def test_both_corpora_may_lie_elsewhere(lrs3: Path, tmp_path: Path) -> None:
    (tmp_path / "linked").mkdir()
    for name in ("lrs3", "chime3"):
        (tmp_path / "linked" / name).symlink_to(lrs3 / name)
    assert opened(LRS3CHiME3, tmp_path / "linked").sha256 == opened(LRS3CHiME3, lrs3).sha256


def test_lrs3_chime3_says_what_lacks(lrs3: Path, tmp_path: Path) -> None:
    (lrs3 / "chime3").rename(tmp_path / "away")
    with pytest.raises(MissingDataset, match="No usable recording of noise under .*chime3"):
        opened(LRS3CHiME3, lrs3)
    with pytest.raises(UsageError, match="does not serve task 'av_separation'"):
        opened(LRS3CHiME3, lrs3, "test", "av_separation")


# others


def test_grid_serves_the_task(realdata: Path, tmp_path: Path) -> None:
    manifest = Grid(realdata / "grid", tmp_path).open("test", "lip2speech")
    assert manifest.samples and all(sample.attributes["snr_db"] == -10 for sample in manifest.samples)
    enrolled = [sample for sample in manifest.samples if "enrolment" in sample.inputs]
    assert all(sample.inputs["enrolment"] != sample.targets["speech"] for sample in enrolled)
    sample = manifest.samples[0]
    example = LIPS.open(sample, 0, Protocol(None, 1, "clean"), 0, "")
    frames = example.inputs["mouth"].frames
    assert len(example.truth.samples) == 640 * len(frames) and frames.shape[1:] == (mouth_video.SIDE,) * 2


def test_a_folder_of_own_videos_serves_the_task(root: Path) -> None:
    for who in ("ann", "bob"):
        for name in ("one", "two"):
            clip(root / who / f"{name}.mkv")
    samples = opened(Folder, root).samples
    assert len(samples) == 4 and all(sample.inputs["enrolment"][0].parent.name == sample.speaker for sample in samples)
    tone(root / "ann" / "two.clean.wav")
    recorded = {sample.id: sample for sample in opened(Folder, root, "noisy").samples}
    assert len(recorded) == 4 and all("enrolment" in sample.inputs for sample in recorded.values())
    one, two = (next(s for name, s in recorded.items() if name.endswith(end)) for end in ("ann_one", "ann_two"))
    assert not one.targets and files(one, root)["enrolment"] == "ann/two.clean.wav"
    assert files(two, root)["speech"] == "ann/two.clean.wav" and files(two, root)["enrolment"] == "ann/one.mkv"


@pytest.mark.parametrize("kind", [TCDTIMIT, NTCDTIMIT, LibriSpeech, CHiME3, LRS3CHiME3])
def test_an_empty_root_says_what_is_expected(kind: type[Dataset], root: Path) -> None:
    root.mkdir()
    with pytest.raises(MissingDataset, match="Expected"):
        opened(kind, root)
    assert kind.layout.strip().splitlines()[0].strip().split()[0]


# parts of recordings


@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
def test_a_part_is_what_reading_all_of_it_gives(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    write_audio(path, Audio(np.random.default_rng(0).uniform(-1, 1, 5000).astype(np.float32), RATE))
    whole = read_audio(path).samples
    assert np.array_equal(read_part(path, RATE, 0.1, 800).samples, whole[1600:2400])
    assert np.array_equal(read_part(path, RATE, 0.3, 400).samples, np.r_[whole[4800:], whole[:200]])
    assert np.array_equal(read_part(path, RATE, 0.0, 5000).samples, whole)
    np.testing.assert_allclose(read_part(path, 8000, 0.1, 300).samples, read_audio(path, 8000).samples[800:1100])
    with pytest.raises(MediaError, match=r"0.31 s long; expected a part from 1 s on"):
        read_part(path, RATE, 1.0, 10)
