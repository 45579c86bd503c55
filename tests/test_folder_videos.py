"""A folder of people's videos: which of their files go together, what is mixed, and runs over them."""

from __future__ import annotations

import csv
import io
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from benchmark.cli.tables import show_results
from benchmark.datasets.dataset import count_left_out, left_out
from benchmark.datasets.folder import Folder
from benchmark.datasets.manifest import Manifest
from benchmark.errors import MediaError, UsageError
from benchmark.media import read_audio, write_audio, write_video
from benchmark.media.clips import mixture_clip
from benchmark.reports.run_report import write_report
from benchmark.runs.session import Request, Session, score_run
from benchmark.tasks import Protocol, get_task
from benchmark.types import Audio

RATE = 16_000
ENHANCE = get_task("av_enhancement")
REALDATA = os.environ.get("FACEVOICE_REALDATA")


def voice(seed: int, seconds: float = 1.5) -> np.ndarray:
    """Noise whose loudness moves as syllables do."""
    random = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    return (0.1 * (1 + np.sin(2 * np.pi * (3 + seed) * time)) * random.standard_normal(len(time))).astype(np.float32)


def video(path: Path, sound: np.ndarray | None, level: int = 100) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = np.full((40, 64, 64), level, np.uint8)
    write_video(path, frames, 25, None if sound is None else Audio(sound, RATE))
    return path


def recording(path: Path, samples: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_audio(path, Audio(samples, RATE))
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Anna: a clean video, and a noisy one with its clean speech; Bo: a video with a recording; Cy: a noisy video."""
    root = tmp_path / "people"
    video(root / "anna" / "one.mkv", voice(1))
    video(root / "anna" / "deep" / "two.mkv", voice(2) + voice(12))
    recording(root / "anna" / "deep" / "two.clean.wav", voice(2))
    video(root / "bo" / "three.mkv", None)
    recording(root / "bo" / "three.flac", voice(3))
    video(root / "cy" / "four.mkv", voice(4) + voice(14))
    (root / "bo" / "three.txt").write_text("bin blue\nat f two now\n", encoding="utf-8")
    return root


def opened(root: Path, tmp_path: Path, split: str = "test", task: str = "av_enhancement") -> Manifest:
    return Folder(root, tmp_path / "home").open(split, task)


def files(manifest: Manifest, field: str) -> dict[str, str | None]:
    """Id of each sample, without the noise, to the one file of a field."""
    found: dict[str, str | None] = {}
    for sample in manifest.samples:
        paths = {**sample.inputs, **sample.targets}.get(field, ())
        key = sample.id.rpartition("_")[0] if sample.attributes["noise"] != "as recorded" else sample.id
        found[key] = paths[0].relative_to(manifest.root).as_posix() if paths else None
    return found


def has(manifest: Manifest, *words: str) -> bool:
    return any(all(word in line for word in words) for line in manifest.problems)


VIDEOS = {
    "anna_deep_two": "anna/deep/two.mkv",
    "anna_one": "anna/one.mkv",
    "bo_three": "bo/three.mkv",
    "cy_four": "cy/four.mkv",
}


def test_noise_is_added_to_the_clean_speech_of_every_video(root: Path, tmp_path: Path) -> None:
    manifest = opened(root, tmp_path)
    assert manifest.problems == ()
    assert files(manifest, "video") == VIDEOS
    assert files(manifest, "speech") == VIDEOS | {
        "anna_deep_two": "anna/deep/two.clean.wav",
        "bo_three": "bo/three.flac",
    }
    assert [sample.speaker for sample in manifest.samples] == ["anna", "anna", "bo", "cy"]
    assert {sample.attributes["framing"] for sample in manifest.samples} == {"scene"}
    texts = {sample.speaker: sample.attributes.get("text") for sample in manifest.samples}
    assert texts == {"anna": None, "bo": "bin blue at f two now", "cy": None}


def test_the_split_noisy_takes_the_sound_as_it_is(root: Path, tmp_path: Path) -> None:
    manifest = opened(root, tmp_path, "noisy")
    assert files(manifest, "video") == VIDEOS
    assert files(manifest, "noisy") == VIDEOS | {"bo_three": "bo/three.flac"}
    assert files(manifest, "speech") == {key: None for key in VIDEOS} | {"anna_deep_two": "anna/deep/two.clean.wav"}
    assert all(sample.attributes["noise"] == "as recorded" for sample in manifest.samples)
    assert not any("snr_db" in sample.attributes for sample in manifest.samples)
    assert all(sample.inputs["decoy"][0].parent.name != sample.speaker for sample in manifest.samples)


def test_other_splits_and_tasks(root: Path, tmp_path: Path) -> None:
    assert len(opened(root, tmp_path, "test", "av_separation").samples) == 4
    assert {s.attributes["snr_db"] for s in opened(root, tmp_path, "test_snr").samples} <= {-10, -5, 0, 5, 10}
    with pytest.raises(UsageError, match="'noisy' of folder is of videos, not for speech2face"):
        opened(root, tmp_path, "noisy", "speech2face")


def test_recordings_of_noise_and_lists_are_no_people(root: Path, tmp_path: Path) -> None:
    recording(root / "noise" / "rain.wav", voice(9))
    manifest = opened(root, tmp_path)
    assert {sample.attributes["noise"] for sample in manifest.samples} == {"recorded"} and manifest.problems == ()
    shutil.move(root / "noise", root / "audioset")
    (root / "audioset_test.txt").write_text("rain.wav\n")
    manifest = opened(root, tmp_path)
    assert files(manifest, "noise") == {key: "audioset/rain.wav" for key in VIDEOS} and manifest.problems == ()


def test_a_noisy_video_is_never_taken_for_a_clean_one(root: Path, tmp_path: Path) -> None:
    (root / "anna" / "deep" / "two.clean.wav").write_bytes(b"no sound")
    manifest = opened(root, tmp_path)
    assert "anna_deep_two" not in files(manifest, "speech") and has(manifest, "two.clean.wav", "not a wav file")
    noisy = opened(root, tmp_path, "noisy")
    assert files(noisy, "speech")["anna_deep_two"] is None and has(noisy, "two.clean.wav", "not a wav file")


def test_what_is_left_out_is_named(root: Path, tmp_path: Path) -> None:
    video(root / "bo" / "mute.mkv", None)
    (root / "bo" / "broken.mp4").write_bytes(b"x" * 100)
    recording(root / "bo" / "alone.wav", voice(5))
    recording(root / "bo" / "three.wav", voice(6))
    (root / "bo" / "three.txt").write_bytes("bin blü".encode("latin-1"))
    (root / "stray.mkv").write_bytes(b"")
    manifest = opened(root, tmp_path)
    assert files(manifest, "video") == VIDEOS
    for words in (
        ("bo/mute.mkv", "no sound track"),
        ("bo/broken.mp4", "not a mp4 file"),
        ("bo/alone.wav", "no video of this name"),
        ("bo/three.wav", "'three.flac', of the same name"),
        ("bo/three.txt", "UTF-8"),
        ("stray.mkv", "expected a folder for each person"),
    ):
        assert has(manifest, *words), words
    assert len(manifest.problems) == 6
    first, *reasons = left_out(manifest)
    assert first.startswith("folder test: 6 left out") and str(manifest.path) in first and len(reasons) == 3


def test_left_out_counts_what_is_not_shown() -> None:
    assert count_left_out(["'a': x", "... and 90 more of this kind: x", "'b': ... and 3 more"]) == 92


def test_the_manifest_follows_the_contents(root: Path, tmp_path: Path) -> None:
    first = {split: opened(root, tmp_path, split).sha256 for split in ("test", "noisy")}
    shutil.move(root, tmp_path / "moved")
    assert {split: opened(tmp_path / "moved", tmp_path, split).sha256 for split in first} == first
    recording(tmp_path / "moved" / "anna" / "deep" / "two.clean.wav", voice(7))
    assert not {opened(tmp_path / "moved", tmp_path, split).sha256 for split in first} & set(first.values())


# what a method is given


def test_a_noisy_recording_is_handed_over_as_it_is(root: Path, tmp_path: Path) -> None:
    samples = {sample.id: sample for sample in opened(root, tmp_path, "noisy").samples}
    example = ENHANCE.open(samples["anna_deep_two"], 0, Protocol(None, 1), 0, "none")
    assert np.array_equal(example.inputs["noisy"].samples, read_audio(root / "anna" / "deep" / "two.mkv").samples)
    assert np.array_equal(example.truth.samples, voice(2))
    assert len(example.inputs["video"].frames) == 38  # 1.5 s
    example = ENHANCE.open(samples["cy_four"], 0, Protocol(None, 1), 0, "none")
    assert example.truth is None and len(example.inputs["noisy"].samples) == len(voice(4))


def test_noisy_and_clean_are_cut_to_the_shorter_or_refused(root: Path, tmp_path: Path) -> None:
    sample = opened(root, tmp_path, "noisy").samples[0]
    recording(root / "anna" / "deep" / "two.clean.wav", voice(2)[:-800])
    noisy, clean = mixture_clip(sample, None, RATE, 0).mixture
    assert clean is not None and len(noisy) == len(clean) == len(voice(2)) - 800
    noisy, clean = mixture_clip(sample, 2.0, RATE, 0).mixture  # begins again
    assert clean is not None and len(noisy) == len(clean) == 2 * RATE
    assert np.array_equal(clean[len(voice(2)) - 800 :], clean[: 2 * RATE - len(voice(2)) + 800])
    recording(root / "anna" / "deep" / "two.clean.wav", voice(2)[: RATE // 2])
    with pytest.raises(MediaError, match=r"1\.50 s of noisy and 0\.50 s of clean"):
        mixture_clip(sample, None, RATE, 0)


# runs


def session(root: Path, tmp_path: Path, **more: object) -> Session:
    settings = {"dataset": "folder", "data_root": root, "workers": 0, "device": "cpu", "runs": tmp_path / "runs"}
    return Session(Request("noisy", task="av_enhancement", **(settings | more)))  # type: ignore[arg-type]


def test_a_run_without_clean_speech_measures_what_needs_none(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (root / "anna" / "deep" / "two.clean.wav").unlink()
    (root / "bo" / "notes.pdf").write_bytes(b"x")
    one = session(root, tmp_path, split="noisy")
    plans = one.plans()
    assert "clean" not in {plan.method.name for plan in plans}
    (result, *_) = one.run(plans[:1])
    assert not result.partial and result.failures.rows == 0
    numbers = {item.name: item for item in result.aggregates}
    assert {name for name, item in numbers.items() if item.metric == "dnsmos"} and "pesq_wb" not in numbers
    assert all(item.value is not None and item.scored == 4 for item in numbers.values() if item.metric == "dnsmos")
    assert numbers["wer"].scored == 1, "one video has its words beside it"
    assert any("4 of 4 samples" in note for note in one.notes)
    assert any(note.startswith("clean is left out") for note in one.notes)
    assert any("1 left out" in note for note in one.notes) and any("notes.pdf" in note for note in one.notes)
    show_results([result], ENHANCE.columns, False)
    assert "OVRL" in capsys.readouterr().out
    folder = write_report(plans[0].view, [result], one.scored_with).folder
    by_condition = (folder / "by_condition.md").read_text()
    assert "| as recorded |" in by_condition and " dB" not in by_condition
    assert {path.name.rpartition("_")[2] for path in (folder / "audio").glob("*.wav")} == {"noisy.wav"}
    _, again, notes, _ = score_run(plans[0].run.path, workers=0)
    assert [item.value for item in again.aggregates] == [item.value for item in result.aggregates]
    assert any("notes.pdf" in note for note in notes)


def test_where_some_clean_speech_is_known_the_others_are_undefined(root: Path, tmp_path: Path) -> None:
    one = session(root, tmp_path, split="noisy", references=False)
    plans = one.plans()
    (result,) = one.run(plans)
    numbers = {item.name: item for item in result.aggregates}
    assert (numbers["si_sdr"].scored, numbers["si_sdr"].total) == (1, 4)
    assert numbers["si_sdr"].reasons == {"undefined: there is no reference": 3}
    clean, noisy = voice(2), read_audio(root / "anna" / "deep" / "two.mkv").samples
    scale = np.dot(noisy, clean) / np.dot(clean, clean)
    expected = 10 * np.log10(np.sum((scale * clean) ** 2) / np.sum((noisy - scale * clean) ** 2))
    assert numbers["si_sdr"].value == pytest.approx(expected, abs=1e-4)
    assert numbers["dnsmos_ovrl"].scored == 4
    table = (write_report(plans[0].view, [result], one.scored_with).folder / "table.csv").read_text()
    assert {row["metric"]: row["scored"] for row in csv.DictReader(io.StringIO(table))}["si_sdr"] == "1"


@pytest.mark.skipif(not REALDATA, reason="FACEVOICE_REALDATA is not set")
def test_real_videos_are_mixed_and_run(tmp_path: Path) -> None:
    assert REALDATA
    for name, person in (("bbaf2n", "a"), ("lrwp9a", "b")):
        (tmp_path / "people" / person).mkdir(parents=True)
        shutil.copy(Path(REALDATA, "grid", f"{name}.mpg"), tmp_path / "people" / person)
    one = session(tmp_path / "people", tmp_path, references=False, metrics=("si_sdr",))
    plans = one.plans()
    (result,) = one.run(plans)
    assert result.failures.rows == 0 and plans[0].manifest.problems == ()
    assert result.aggregates[0].value == pytest.approx(0, abs=1)
