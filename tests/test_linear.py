"""`linear` learns what is linear, refuses what the networks refuse, and is a row wherever there is a training split."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from baselines.linear.method import Config, Linear
from baselines.linear.statistics import NUMBERS, RANGE_DB, bands, statistics
from benchmark.errors import InvalidConfig, MethodError, MissingDataset
from benchmark.media import write_audio, write_image
from benchmark.registry import methods
from benchmark.tasks import TASKS
from benchmark.types import Audio, Example, Sample

RATE = 16_000


def voice(tilt: float, seed: int, seconds: float = 1.0) -> Audio:
    """Noise whose spectrum leans by `tilt`, from dull (-1) to bright (1)."""
    noise = np.random.default_rng(seed).standard_normal(int(seconds * RATE))
    spectrum = np.fft.rfft(noise) * np.linspace(1 - 0.9 * tilt, 1 + 0.9 * tilt, len(noise) // 2 + 1)
    return Audio((0.05 * np.fft.irfft(spectrum, len(noise))).astype(np.float32), RATE)


def example(speech: Audio) -> Example:
    return Example(Sample("x", "x", {}), 0, 0, {"speech": speech})


def colour(tilt: float) -> int:
    return round(120 + 100 * tilt)


@pytest.fixture
def training(tmp_path: Path) -> list[Sample]:
    """Thirty people of two recordings and portraits; the brighter the voice, the brighter the red of the left half."""
    people = []
    for number, tilt in enumerate(np.linspace(-1, 1, 30)):
        sounds, faces = [], []
        for take in (0, 1):
            write_audio(sound := tmp_path / f"{number}_{take}.wav", voice(tilt, 2 * number + take))
            picture = np.zeros((16, 16, 3), np.uint8)
            picture[:, :8, 0] = colour(tilt) + (10, -10)[take]
            write_image(face := tmp_path / f"{number}_{take}.png", picture)
            sounds.append(sound)
            faces.append(face)
        people.append(Sample(f"p{number:02}", f"p{number:02}", {"speech": tuple(sounds)}, {"face": tuple(faces)}))
    return people


def loaded(training: list[Sample], **settings: int) -> Linear:
    method = Linear(Config(**{"resolution": 16, **settings}), None, training)
    method.load("cpu")
    return method


def test_a_linear_link_is_found(training: list[Sample]) -> None:
    tilts = (-0.7, -0.1, 0.5)
    faces = loaded(training).generate([example(voice(tilt, 900 + n, 0.8)) for n, tilt in enumerate(tilts)])
    for face, tilt in zip(faces, tilts, strict=True):
        assert face.shape == (16, 16, 3) and face.dtype == np.uint8
        assert face[:, :8, 0].mean() == pytest.approx(colour(tilt), abs=12)
        assert not face[:, 8:].any() and not face[..., 1:].any()


def test_order_level_and_batch_change_nothing(training: list[Sample]) -> None:
    method, speech = loaded(training), voice(0.3, 77)
    (face,) = method.generate([example(speech)])
    again = loaded(training[::-1]).generate([example(voice(0, 1)), example(speech)])[1]
    louder = method.generate([example(Audio(speech.samples * 5, RATE))])[0]
    assert np.array_equal(face, again)
    assert np.abs(face.astype(int) - louder).max() <= 1


def test_pauses_change_nothing() -> None:
    speech = voice(0.3, 5).samples
    silent = np.concatenate([speech, np.zeros(4 * RATE, np.float32)])
    hum = np.concatenate([speech, 1e-5 * voice(0, 6, 4.0).samples])
    frames = bands(Audio(speech, RATE))
    for longer in (silent, hum):
        kept = bands(Audio(longer, RATE))
        assert abs(kept.shape[1] - frames.shape[1]) <= 3 and RANGE_DB == 40
    assert statistics([frames]).shape == (NUMBERS,)


def test_statistics_are_those_of_all_frames() -> None:
    random = np.random.default_rng(3)
    one, two = random.normal(4, 1, (40, 30)), random.normal(-2, 1, (40, 50))
    joined = np.concatenate([one - one.mean(), two - two.mean()], axis=1)
    found = statistics([one, two]).reshape(-1, 40)
    assert np.allclose(found[0], joined.mean(1)) and np.allclose(found[1], joined.std(1))
    assert np.allclose(found[6], np.median(joined, axis=1))
    assert (np.diff(found[2:], axis=0) >= 0).all()


@pytest.mark.parametrize(
    ("speech", "reason"),
    [
        (Audio(np.zeros(RATE, np.float32), RATE), "got silence"),
        (Audio(np.full(RATE, np.nan, np.float32), RATE), "NaN or infinity"),
        (Audio(np.ones(100, np.float32), RATE), "at least 0.5 s of speech, got 0.01 s"),
        (Audio(np.ones(8000, np.float32), 8000), "at 16000 Hz, got 8000 Hz"),
    ],
)
def test_speech_that_cannot_be_used_fails_one_row(training: list[Sample], speech: Audio, reason: str) -> None:
    bad, good = loaded(training).generate([example(speech), example(voice(0, 1))])
    assert isinstance(bad, MethodError) and reason in str(bad)
    assert isinstance(good, np.ndarray)


def test_files_that_cannot_be_read_are_logged_and_left_out(training: list[Sample], tmp_path: Path, caplog) -> None:
    (tmp_path / "0_0.wav").write_text("not a sound")
    (tmp_path / "1_1.png").write_text("not a picture")
    loaded(training)
    assert "2 training files are left out of 'linear'" in caplog.text and "0_0.wav" in caplog.text
    (tmp_path / "0_1.wav").unlink()
    loaded(training)


def test_who_is_left_of_a_large_split_is_always_the_same(training: list[Sample]) -> None:
    asked = [example(voice(tilt, 77)) for tilt in np.linspace(-1, 1, 9)]

    def faces(split: list[Sample], **limits: int) -> np.ndarray:
        return np.stack(loaded(split, **limits).generate(asked))

    few = faces(training, people=5)
    assert np.array_equal(few, faces(training[::-1], people=5)) and not np.array_equal(few, faces(training))
    one = faces(training, recordings=1, portraits=1)
    assert np.array_equal(one, faces(training[::-1], recordings=1, portraits=1))


def test_what_is_missing_is_said(training: list[Sample]) -> None:
    with pytest.raises(MissingDataset, match="'linear' is made from the portraits of a training split"):
        loaded([])
    with pytest.raises(MissingDataset, match="of 1 there are 1"):
        loaded(training[:1])
    mute = [Sample(sample.id, sample.speaker, {}, sample.targets) for sample in training]
    with pytest.raises(MissingDataset, match="both a usable recording and a usable portrait; of 30 there are 0"):
        loaded(mute)


@pytest.mark.parametrize("setting", [{"resolution": 512}, {"people": 1}, {"recordings": 0}, {"portraits": 0}])
def test_settings_are_checked(setting: dict[str, int]) -> None:
    with pytest.raises(InvalidConfig, match=f"{next(iter(setting))} = "):
        Config(**setting)


def test_it_stands_in_every_table_of_faces() -> None:
    kind = methods.load("linear")
    assert kind is Linear and kind.title == methods.entry("linear").title
    assert "linear" in TASKS["speech2face"].references
    assert kind.uses_training_split and not kind.uses_targets
