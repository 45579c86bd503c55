"""What of a sample a method is given: crops of speech, clips of mixtures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmark.errors import MediaError
from benchmark.media import read_audio, write_audio
from benchmark.media.clips import SHORTEST_S, crop_speech, mixture_clip
from benchmark.types import Audio, Sample

RATE = 16_000


# crops


def recordings(folder, *seconds):
    paths = []
    for number, length in enumerate(seconds):
        path = folder / f"{number}.wav"
        ramp = np.linspace(0.1 * number, 0.1 * number + 0.09, int(length * RATE), dtype=np.float32)
        write_audio(path, Audio(ramp, RATE))
        paths.append(path)
    return Sample("s", "s", {"speech": tuple(paths)})


def test_a_long_recording_is_cropped_inside_itself(tmp_path):
    sample = recordings(tmp_path, 0.5, 3.0)
    starts = []
    for seed in range(40):
        crop = crop_speech(sample, 2.0, RATE, seed).samples
        assert len(crop) == 2 * RATE
        assert np.all((crop >= 0.0999) & (crop <= 0.1901)), "the 3 s recording alone is long enough"
        starts.append(crop[0])
    assert min(starts) < 0.11
    assert max(starts) > 0.12, "crops start all over the second that is free"


def test_short_recordings_are_joined_until_there_is_enough(tmp_path):
    crop = crop_speech(recordings(tmp_path, 1.0, 1.0, 1.0), 2.5, RATE, 0).samples
    assert len(crop) == int(2.5 * RATE)


def test_a_speaker_with_too_little_gives_all(tmp_path):
    assert len(crop_speech(recordings(tmp_path, 0.5, 0.5), 5.0, RATE, 0).samples) == RATE


def test_whole_recordings(tmp_path):
    assert len(crop_speech(recordings(tmp_path, 1.7), None, RATE, 0).samples) == int(1.7 * RATE)


@pytest.mark.parametrize("inputs", [{"speech": ()}, {}])
def test_no_recording_is_named(inputs):
    with pytest.raises(MediaError, match="'s' has no recording"):
        crop_speech(Sample("s", "s", inputs), 1.0, RATE, 0)


# mixtures


def said(seconds: float, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(int(seconds * RATE))).astype(np.float32)


def row(folder: Path, speech: np.ndarray, kind: str = "white", snr_db: float = 0.0, *noises: np.ndarray) -> Sample:
    """One row of a mixing list, its media written."""
    files = []
    for number, samples in enumerate((speech, *noises)):
        files.append(folder / f"{number}.wav")
        write_audio(files[-1], Audio(samples, RATE))
    inputs = {"noise": tuple(files[1:])} if noises else {}
    return Sample("a_white", "a", inputs, {"speech": (files[0],)}, {"noise": kind, "snr_db": snr_db})


def shape(signal: np.ndarray) -> np.ndarray:
    """Without its gain."""
    return signal / np.std(signal.astype(np.float64))


def test_a_whole_recording_is_mixed_over_its_whole_length(tmp_path: Path) -> None:
    speech = said(3.3)
    clip = mixture_clip(row(tmp_path, speech, "pink", -5.0), None, RATE, 0)
    noisy, clean = clip.mixture
    assert (clip.start, clip.source_s) == (0, 3.3) and noisy.shape == clean.shape == speech.shape
    np.testing.assert_allclose(shape(clean), shape(speech), atol=1e-5)
    assert 20 * np.log10(np.std(clean) / np.std(noisy - clean)) == pytest.approx(-5, abs=1e-3)


def test_a_clip_is_the_beginning_and_has_the_snr_of_its_own_length(tmp_path: Path) -> None:
    """Speech that grows louder later on, and noise that does, change nothing."""
    speech = said(5)
    speech[4 * RATE :] *= 7
    noise = said(5, 1)
    noise[3 * RATE :] *= 50
    clip = mixture_clip(row(tmp_path, speech, "recorded", 5.0, noise), 2.04, RATE, 0)
    noisy, clean = clip.mixture
    assert len(noisy) == 32_640 and (clip.start, clip.source_s) == (0, 5.0)
    np.testing.assert_allclose(shape(clean), shape(speech[:32_640]), atol=1e-5)
    np.testing.assert_allclose(shape(noisy - clean), shape(noise[:32_640]), atol=1e-4)
    assert 20 * np.log10(np.std(clean) / np.std(noisy - clean)) == pytest.approx(5, abs=1e-3)


def test_a_shorter_recording_begins_again(tmp_path: Path) -> None:
    speech, noise = said(1.5), said(0.4, 1)
    clip = mixture_clip(row(tmp_path, speech, "recorded", 0.0, noise), 2.04, RATE, 0)
    assert (clip.start, clip.source_s) == (0, 1.5)
    np.testing.assert_allclose(shape(clip.mixture.clean), shape(np.tile(speech, 2)[:32_640]), atol=1e-5)
    other = clip.mixture.noisy - clip.mixture.clean
    np.testing.assert_allclose(shape(other), shape(np.tile(noise, 6)[:32_640]), atol=1e-4)


def test_recordings_below_the_shortest_are_refused_where_they_would_be_repeated(tmp_path: Path) -> None:
    enough, short = row(tmp_path, said(SHORTEST_S)), said(SHORTEST_S)[:-1]
    assert len(mixture_clip(enough, 2.04, RATE, 0).mixture.noisy) == 32_640
    brief = row(tmp_path, short)
    with pytest.raises(MediaError, match=r"'a_white' has 1.20 s of speech; a clip wants 1.2 s or more"):
        mixture_clip(brief, 2.04, RATE, 0)
    assert len(mixture_clip(brief, None, RATE, 0).mixture.noisy) == len(short), "whole, it is as good as any"
    assert len(mixture_clip(brief, 1.0, RATE, 0).mixture.noisy) == RATE, "nothing is repeated"
    with pytest.raises(MediaError, match="has 0.20 s of speech; a clip wants 0.5 s or more"):
        mixture_clip(row(tmp_path, said(0.2)), 0.5, RATE, 0)


@pytest.mark.parametrize(("silent_s", "start"), [(1.0, 0), (2.03, 0), (2.04, 1), (3.0, 1), (4.08, 2), (5.0, 2)])
def test_where_a_clip_is_silent_the_next_one_is_taken(tmp_path: Path, silent_s: float, start: int) -> None:
    speech = said(8)
    speech[: round(silent_s * RATE)] = 0
    clip = mixture_clip(row(tmp_path, speech), 2.04, RATE, 0)
    assert clip.start == start * 32_640
    np.testing.assert_allclose(shape(clip.mixture.clean), shape(speech[clip.start : clip.start + 32_640]), atol=1e-5)


def test_the_last_clip_begins_again_at_the_start_of_the_recording(tmp_path: Path) -> None:
    speech = said(3)
    speech[:32_640] = 0
    clip = mixture_clip(row(tmp_path, speech), 2.04, RATE, 0)
    assert clip.start == 32_640
    np.testing.assert_allclose(shape(clip.mixture.clean), shape(np.r_[speech, speech][32_640:65_280]), atol=1e-5)


def test_silence_cannot_be_mixed(tmp_path: Path) -> None:
    for seconds in (None, 2.04):
        with pytest.raises(MediaError, match="speech is silent"):
            mixture_clip(row(tmp_path, np.zeros(5 * RATE, np.float32)), seconds, RATE, 0)
        with pytest.raises(MediaError, match="recording of recorded is silent"):
            mixture_clip(row(tmp_path, said(5), "recorded", 0.0, np.zeros(RATE, np.float32)), seconds, RATE, 0)


def test_noise_is_another_for_another_row_or_seed_and_the_same_again(tmp_path: Path) -> None:
    sample = row(tmp_path, said(1.3))
    first, again, seeded = (mixture_clip(sample, None, RATE, seed).mixture for seed in (0, 0, 1))
    renamed = mixture_clip(Sample("b_white", "a", sample.inputs, sample.targets, sample.attributes), None, RATE, 0)
    assert np.array_equal(first.noisy, again.noisy)
    for other in (seeded, renamed.mixture):
        assert abs(np.corrcoef(first.noisy - first.clean, other.noisy - other.clean)[0, 1]) < 0.05


def test_recordings_at_another_rate_are_converted(tmp_path: Path) -> None:
    sample = row(tmp_path, said(2))
    write_audio(sample.targets["speech"][0], Audio(np.repeat(said(2), 3), 3 * RATE))
    clip = mixture_clip(sample, None, RATE, 0)
    expected = read_audio(sample.targets["speech"][0], RATE).samples
    np.testing.assert_allclose(shape(clip.mixture.clean), shape(expected), atol=1e-5)
    assert clip.source_s == 2.0


@pytest.mark.parametrize("count", [0, 2])
def test_a_row_has_one_clean_recording(tmp_path: Path, count: int) -> None:
    sample = row(tmp_path, said(2))
    for targets in ({"speech": sample.targets["speech"] * count}, {} if not count else {"speech": (tmp_path,) * count}):
        with pytest.raises(MediaError, match=f"'a_white' has {count} files as its clean recording; expected 1"):
            mixture_clip(Sample("a_white", "a", {}, targets, sample.attributes), None, RATE, 0)


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({}, "Unknown noise 'None'"),
        ({"noise": "thunder"}, "Unknown noise 'thunder'"),
        ({"noise": "babble"}, "'babble' needs recordings"),
        ({"noise": "white", "snr_db": float("nan")}, "100 dB, got nan"),
    ],
)
def test_a_row_that_says_nothing_usable_of_its_noise_is_refused(tmp_path: Path, attributes: dict, reason: str) -> None:
    sample = row(tmp_path, said(2))
    with pytest.raises(MediaError, match=reason):
        mixture_clip(Sample("a", "a", {}, sample.targets, attributes), None, RATE, 0)


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("content", [None, b"", b"RIFF nonsense"])
def test_files_that_cannot_be_read_are_named(tmp_path: Path, which: int, content: bytes | None) -> None:
    sample = row(tmp_path, said(2), "recorded", 0.0, said(1))
    bad = tmp_path / f"{which}.wav"
    bad.unlink()
    if content is not None:
        bad.write_bytes(content)
    with pytest.raises(MediaError, match=str(bad)):
        mixture_clip(sample, None, RATE, 0)
