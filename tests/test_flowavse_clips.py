"""Training clips of FlowAVSE: sound and picture of one moment, whose noise is added, and what cannot be used."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

from baselines.flowavse import clip_shards
from baselines.flowavse import clips as module
from baselines.flowavse.clips import Clips, video_frames_of
from baselines.flowavse.config import Training
from benchmark.errors import MissingDataset
from benchmark.media import write_audio, write_video
from benchmark.media.mixing import RECORDED
from benchmark.types import Audio, Sample

RATE = 16_000
LENGTH = 31 * 128
"""Samples of a clip of 32 frames; 6.2 frames of video."""
SHADES = 5
"""Grey levels between a frame of video and the next."""


def film(path: Path, frames: int) -> Path:
    """Frame k is SHADES k all over."""
    levels = (SHADES * np.arange(frames)).astype(np.uint8)
    write_video(path, np.broadcast_to(levels[:, None, None], (frames, 112, 112)), 25)
    return path


def record(path: Path, samples: np.ndarray) -> Path:
    write_audio(path, Audio(samples.astype(np.float32), RATE))
    return path


def tone(hz: float, seconds: float = 1.0) -> np.ndarray:
    return 0.3 * np.sin(2 * np.pi * hz * np.arange(int(seconds * RATE)) / RATE)


def person(folder: Path, number: int, samples: np.ndarray, frames: int, name: str | None = None) -> Sample:
    """A mixture whose speaker is `p<number>`."""
    name = name or f"p{number}"
    files = record(folder / f"{name}.wav", samples), film(folder / f"{name}.mkv", frames)
    return Sample(name, f"p{number}", {"video": (files[1],)}, {"speech": (files[0],)}, {"noise": "white"})


HZ = (400, 800, 1200, 1600)


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    """Four people, two recordings each, all of a pitch of their own."""
    folder = tmp_path_factory.mktemp("tones")
    return [person(folder, n, tone(hz), 25, f"p{n}{take}") for n, hz in enumerate(HZ) for take in "ab"]


def settings(**fields: object) -> Training:
    return Training(**{"frames": 32, **fields})  # type: ignore[arg-type]


def draws(samples: Sequence[Sample], count: int = 20, **fields: object) -> list[module.Clip]:
    clips, random = Clips(samples, settings(**fields)), np.random.default_rng(7)
    return [clips.draw(random) for _ in range(count)]


def shown(clip: module.Clip) -> list[int]:
    """Which frames of `film` they are."""
    assert (clip.video == clip.video[:, :1, :1]).all()
    return np.round(clip.video[:, 0, 0] / SHADES).astype(int).tolist()


def pitches(x: np.ndarray) -> set[int]:
    """Which of the tones are in a sound, by least squares against all of them."""
    time = np.arange(len(x)) / RATE
    basis = np.exp(2j * np.pi * np.outer(time, HZ))
    weights, *_ = np.linalg.lstsq(np.concatenate([basis.real, basis.imag], axis=1), x, rcond=None)
    strength = np.hypot(weights[:4], weights[4:])
    return {hz for hz, s in zip(HZ, strength, strict=True) if s > 1e-3 * strength.max()}


@pytest.mark.parametrize(("frames", "expected"), [(256, 51), (128, 26), (32, 7), (2, 1), (1, 1)])
def test_a_video_is_as_long_as_its_spectrogram(frames: int, expected: int) -> None:
    assert video_frames_of(frames) == expected


@pytest.mark.parametrize(("seconds", "frames", "last"), [(2, 48, 41), (1, 48, 18)])
def test_sound_and_picture_are_of_one_moment(tmp_path: Path, seconds: int, frames: int, last: int) -> None:
    """The last clip starts seven frames before the end of whichever ends first."""
    speech = 0.1 * np.random.default_rng(0).standard_normal(seconds * RATE)
    starts = set()
    for clip in draws([person(tmp_path, 0, speech, frames)], 60):
        assert clip.noisy.shape == clip.clean.shape == (LENGTH,)
        assert clip.noisy.dtype == clip.clean.dtype == np.float32
        assert clip.video.shape == (7, 112, 112) and clip.video.dtype == np.uint8
        assert np.abs(clip.noisy).max() == 1
        first, *others = shown(clip)
        assert others == list(range(first + 1, first + 7))
        assert np.corrcoef(clip.clean, speech[640 * first : 640 * first + LENGTH])[0, 1] > 0.999999
        starts.add(first)
    assert min(starts) <= 4 and last - 4 <= max(starts) <= last


def test_a_short_recording_begins_again_with_its_picture(tmp_path: Path) -> None:
    speech = 0.1 * np.random.default_rng(0).standard_normal(2000)
    (clip,) = draws([person(tmp_path, 0, speech, 4)], 1)
    assert shown(clip) == [0, 1, 2, 3, 0, 1, 2]
    assert np.corrcoef(clip.clean, np.resize(speech, LENGTH))[0, 1] > 0.999999


def test_a_video_that_ends_before_the_sound_holds_its_last_frame(tmp_path: Path) -> None:
    speech = tone(400, 0.24)
    (clip,) = draws([person(tmp_path, 0, speech, 3)], 1)
    assert shown(clip) == [0, 1, 2, 2, 2, 2, 0]
    np.testing.assert_allclose(clip.clean / np.abs(clip.clean).max(), np.resize(speech, LENGTH) / 0.3, atol=1e-4)


def test_a_video_of_less_than_half_the_sound_is_passed_over(tmp_path: Path) -> None:
    short, whole = person(tmp_path, 0, tone(400), 12), person(tmp_path, 1, tone(800), 25)
    clips, random = Clips([short, whole], settings()), np.random.default_rng(0)
    assert all(pitches(clips.draw(random).clean) == {800} for _ in range(12))
    assert list(clips.problems) == ["p0: 12 frames of video beside 1.00 s of speech: under a half"]


def test_ratios_are_those_asked_for(tones: list[Sample]) -> None:
    ratios = []
    for clip in draws(tones, 60, snr_low_db=-6.0, snr_high_db=9.0):
        noise = clip.noisy.astype(float) - clip.clean
        ratios.append(20 * np.log10(np.std(clip.clean) / np.std(noise)))
    assert -6.001 < min(ratios) < -4 and 7 < max(ratios) < 9.001
    assert np.mean(ratios) == pytest.approx(1.5, abs=5 * 15 / np.sqrt(12 * 60))
    for clip in draws(tones, 5):
        assert np.std(clip.clean) == pytest.approx(np.std(clip.noisy.astype(float) - clip.clean), rel=1e-4)


def test_another_talker_is_never_the_speaker(tones: list[Sample]) -> None:
    heard = set()
    for clip in draws(tones, 40, talker_share=1.0):
        (own,) = pitches(clip.clean)
        (other,) = pitches(clip.noisy - clip.clean)
        assert own != other
        heard.add((own, other))
    assert len(heard) == 4 * 3


def test_the_share_of_talkers_is_kept(tones: list[Sample], monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = watched(monkeypatch)
    draws(tones, 300, talker_share=0.3)
    share = kinds.count("talker") / 300
    assert share == pytest.approx(0.3, abs=4 * np.sqrt(0.3 * 0.7 / 300))


def watched(monkeypatch: pytest.MonkeyPatch, only: str | None = None) -> list[str]:
    """The kinds of noise that are made, or one kind in the place of all."""
    kinds, make = [], module.noise

    def noise(kind: str, *arguments: object) -> np.ndarray:
        kinds.append(kind)
        return make(kind, *arguments)

    monkeypatch.setattr(module, "noise", noise)
    if only:
        monkeypatch.setattr(module, "NOISES", (only,))
    return kinds


def test_babble_is_of_other_people(tones: list[Sample], monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = watched(monkeypatch, only="babble")
    several = 0
    for clip in draws(tones, 30):
        (own,) = pitches(clip.clean)
        others = pitches(clip.noisy - clip.clean)
        assert others and own not in others
        several += len(others) > 1
    assert set(kinds) == {"babble"} and several > 25


def test_all_kinds_of_noise_come_and_babble_only_among_several(
    tones: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = watched(monkeypatch)
    draws(tones, 60)
    assert set(kinds) == {"white", "pink", "babble", "music"}
    kinds.clear()
    draws(tones[:2], 60)
    assert set(kinds) == {"white", "pink", "music"}


def test_recordings_of_noise_take_the_place_of_made_ones(tones: list[Sample], tmp_path: Path) -> None:
    path = record(tmp_path / "machine.wav", tone(1600, 0.1))
    samples = [noisy(sample, path) for sample in tones[:4]]
    assert all(pitches(clip.noisy - clip.clean) == {1600} for clip in draws(samples))


def test_a_draw_is_a_function_of_its_generator(tones: list[Sample]) -> None:
    clips = Clips(tones, settings(talker_share=0.5))
    one, two, three = (clips.batch(np.random.default_rng(seed), 3) for seed in (1, 1, 2))
    fresh = Clips(tones, settings(talker_share=0.5, shards=False)).batch(np.random.default_rng(1), 3)
    assert {k: tuple(v.shape) for k, v in one.items()} == {
        "noisy": (3, LENGTH),
        "clean": (3, LENGTH),
        "video": (3, 7, 112, 112),
    }
    for name, tensor in one.items():
        assert tensor.equal(two[name]) and tensor.equal(fresh[name]), name
    assert not one["noisy"].equal(three["noisy"])


@pytest.mark.parametrize("kept", [True, False])
def test_files_are_decoded_once_where_they_are_kept(
    tones: list[Sample], monkeypatch: pytest.MonkeyPatch, kept: bool
) -> None:
    opened: list[object] = []
    read_audio, read_face_video = clip_shards.read_audio, clip_shards.read_face_video
    monkeypatch.setattr(clip_shards, "read_audio", lambda path, rate: opened.append(path) or read_audio(path, rate))
    monkeypatch.setattr(
        clip_shards,
        "read_face_video",
        lambda path, find, grey: opened.append(path) or read_face_video(path, find, grey),
    )
    for _ in range(2):
        draws(tones[:2], 12, shards=kept)
    assert (len(opened) == len(set(opened))) == kept


def test_what_is_drawn_is_what_the_files_hold(tones: list[Sample], tmp_path: Path) -> None:
    """Over several shards, with recorded noise: bit for bit what is decoded when it is drawn."""
    noise_path = record(tmp_path / "hiss.wav", 0.1 * np.random.default_rng(3).standard_normal(5000))
    extra = [person(tmp_path, n % 9, 0.1 * np.random.default_rng(n).standard_normal(4000), 8) for n in range(10, 45)]
    broken = Sample("x", "x", {"video": (noise_path,)}, {"speech": (noise_path,)})
    for samples in ([*extra, broken, *tones], [noisy(sample, noise_path) for sample in [*extra, *tones]]):
        drawn = []
        for kept in (True, False):
            clips, random = Clips(samples, settings(talker_share=0.4, shards=kept)), np.random.default_rng(2)
            drawn.append([clips.draw(random) for _ in range(60)])
            assert clips.problems or broken not in samples
        for one, two in zip(*drawn, strict=True):
            for a, b in zip(one, two, strict=True):
                assert a.dtype == b.dtype and np.array_equal(a, b)


def noisy(sample: Sample, path: Path) -> Sample:
    return Sample(sample.id, sample.speaker, {**sample.inputs, "noise": (path,)}, sample.targets, {"noise": RECORDED})


def test_the_progress_of_decoding_is_told(tones: list[Sample]) -> None:
    told: list[tuple[int, int, str]] = []
    Clips(tones, settings(), progress=lambda *report: told.append(report))
    assert told == [(0, 8, "clips"), (8, 8, "clips")]


def test_several_mixtures_of_one_recording_count_once(tones: list[Sample]) -> None:
    again = [Sample(f"{s.id}_2", s.speaker, s.inputs, s.targets, s.attributes) for s in tones]
    assert len(Clips([*tones, *again], settings()).samples) == len(tones)


def test_files_that_cannot_be_used_are_passed_over_and_noted(tones: list[Sample], tmp_path: Path) -> None:
    def altered(name: str, speech: Path | None = None, video: Path | None = None) -> Sample:
        good = person(tmp_path, 9, tone(2000), 25, name)
        return Sample(
            name,
            "p9",
            {"video": (video or good.inputs["video"][0],)},
            {"speech": (speech or good.targets["speech"][0],)},
        )

    garbage, broken, blind = tmp_path / "garbage.wav", tmp_path / "nan.wav", tmp_path / "blind.mkv"
    garbage.write_bytes(b"not a recording")
    blind.write_bytes(b"not a video")
    soundfile.write(broken, np.full(RATE, np.nan, np.float32), RATE, subtype="FLOAT")
    bad = [
        altered("one", garbage),
        altered("two", tmp_path / "absent.wav"),
        altered("three", broken),
        altered("four", record(tmp_path / "quiet.wav", np.zeros(RATE))),
        altered("five", video=blind),
        altered("six", video=tmp_path / "unfilmed.mkv"),
    ]
    clips, random = Clips([*bad, *tones], settings()), np.random.default_rng(0)
    for _ in range(40):
        clip = clips.draw(random)
        assert np.isfinite(clip.noisy).all() and pitches(clip.clean) <= set(HZ)
    own = {reason.split(":")[0]: reason for reason in clips.problems}
    expected = ("garbage.wav", "absent.wav", "nan.wav", "silent", "blind.mkv", "unfilmed.mkv")
    for sample, reason in zip(bad, expected, strict=True):
        assert reason in own[sample.id]
    assert sum(clips.problems.values()) > len(clips.problems)
    with pytest.raises(MissingDataset, match=r"20 training clips in a row.*: (one|two|three|four|five|six): "):
        Clips(bad, settings()).draw(random)


def test_splits_without_what_is_needed_are_refused(tones: list[Sample]) -> None:
    with pytest.raises(MissingDataset, match="No clean speech"):
        Clips([Sample("a", "a", {"speech": (Path("a.wav"),)}, {"face": (Path("a.png"),)})], settings())
    with pytest.raises(MissingDataset, match="more than one speaker"):
        Clips(tones[:2], settings(talker_share=0.1))


@pytest.mark.parametrize(
    ("cores", "processes", "expected"),
    [(1, None, 1), (4, None, 3), (64, None, 8), (12, "3", 3), (12, "", 8), (4, "8", 1)],
)
def test_loaders_share_the_cores_that_the_process_may_use(
    monkeypatch: pytest.MonkeyPatch, cores: int, processes: str | None, expected: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(100, 100 + cores)), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 96)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    if processes is not None:
        monkeypatch.setenv("LOCAL_WORLD_SIZE", processes)
    assert module.loaders() == expected
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    assert module.loaders() == expected
