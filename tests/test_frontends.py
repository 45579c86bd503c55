"""The front-ends against plain loops written from their definitions, and the voice activity rule."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import webrtcvad

from baselines.layers.log_filter_banks import frame_count, log_filter_banks
from baselines.layers.speech_input import usable_speech
from baselines.layers.sphinx_mel import lengthened, normalised, sphinx_mel
from baselines.layers.vad import SF2F_VAD, VOICE2FACE_VAD, VoiceActivity
from baselines.layers.windows import sliding_windows, stride_of
from benchmark.errors import MethodError
from benchmark.media import read_audio
from benchmark.types import Audio


def speechlike(seconds: float, seed: int = 0, rate: int = 16000) -> np.ndarray:
    """A buzz with formants under a syllable-rate envelope, and noise."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * rate)) / rate
    f0 = 120 + 10 * np.sin(2 * np.pi * 3 * t)
    phase = 2 * np.pi * np.cumsum(f0) / rate
    buzz = sum(np.sin(k * phase) * np.exp(-(((k * 120 - 700) / 600) ** 2)) for k in range(1, 30))
    envelope = 0.5 + 0.5 * np.sin(2 * np.pi * 4 * t)
    return (0.1 * buzz * envelope + 0.001 * rng.standard_normal(len(t))).astype(np.float32)


def mel(hz: float) -> float:
    return 2595 * math.log10(1 + hz / 700)


def hz(m: float) -> float:
    return 700 * (10 ** (m / 2595) - 1)


def plain_log_filter_banks(x: np.ndarray) -> np.ndarray:
    """One sample, one bin, one filter at a time."""
    pcm = x.astype(np.float64) * 32768
    emphasised = [pcm[0]] + [pcm[i] - 0.97 * pcm[i - 1] for i in range(1, len(pcm))]
    frames = 1 if len(pcm) <= 400 else 1 + math.ceil((len(pcm) - 400) / 160)
    corners = [math.floor(513 * hz(mel(8000) * i / 41) / 16000) for i in range(42)]
    rows = []
    for frame in range(frames):
        part = emphasised[160 * frame : 160 * frame + 400]
        spectrum = np.abs(np.fft.fft(np.array(part + [0.0] * (512 - len(part)))))[:257] ** 2 / 512
        row = []
        for left, centre, right in zip(corners, corners[1:], corners[2:], strict=False):
            rising = sum(spectrum[k] * (k - left) / (centre - left) for k in range(left, centre))
            falling = sum(spectrum[k] * (right - k) / (right - centre) for k in range(centre, right))
            row.append(math.log(rising + falling or np.finfo(float).eps))
        rows.append(row)
    return (np.array(rows).T - 10.9915) / 3.1661


def plain_sphinx_mel(x: np.ndarray) -> np.ndarray:
    """One frame after the other, carrying the pre-emphasis along."""
    pcm = x.astype(np.float64) * 32768
    window = 0.54 - 0.46 * np.cos(2 * np.pi * np.arange(400) / 399)
    corners = [round(hz(mel(20) + (mel(7200) - mel(20)) * i / 65) / 15.625) for i in range(66)]
    prior, columns = 0.0, []
    for index in range(int(len(pcm) / 160 + 1)):
        frame = np.resize(pcm[160 * index : 160 * index + 400], 400)
        emphasised = frame - 0.97 * np.concatenate([[prior], frame[:-1]])
        prior = frame[-1]
        power = np.abs(np.fft.rfft(emphasised * window, 1024)) ** 2
        column = []
        for left, centre, right in zip(corners, corners[1:], corners[2:], strict=False):
            height = 2 / ((right - left) * 15.625)
            total = sum(power[k] * height * (k - left) / (centre - left) for k in range(left + 1, centre))
            total += power[centre] * height
            total += sum(power[k] * height * (right - k) / (right - centre) for k in range(centre + 1, right))
            column.append(math.log(max(total, 1e-5)))
        columns.append(column)
    return np.array(columns).T


@pytest.mark.parametrize("length", [300, 400, 401, 8000, 12345])
def test_log_filter_banks_match_their_definition(length: int) -> None:
    x = speechlike(1.0)[:length]
    expected = plain_log_filter_banks(x)
    got = log_filter_banks(torch.from_numpy(x)).numpy()
    assert got.shape == expected.shape == (40, frame_count(length))
    np.testing.assert_allclose(got, expected, atol=2e-5)


def test_digital_silence_takes_the_smallest_double() -> None:
    got = log_filter_banks(torch.zeros(1600))
    expected = (math.log(np.finfo(float).eps) - 10.9915) / 3.1661
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-6)


def test_many_recordings_at_once_equal_one_at_a_time() -> None:
    batch = torch.stack([torch.from_numpy(speechlike(0.5, seed)) for seed in range(3)])
    together = log_filter_banks(batch)
    for row, alone in zip(batch, together, strict=True):
        torch.testing.assert_close(log_filter_banks(row), alone)


@pytest.mark.parametrize("length", [250, 1600, 8000, 8123])
def test_sphinx_mel_matches_its_definition(length: int) -> None:
    x = speechlike(1.0, 1)[:length]
    expected = plain_sphinx_mel(x)
    got = sphinx_mel(torch.from_numpy(x)).numpy()
    assert got.shape == expected.shape == (64, length // 160 + 1)
    np.testing.assert_allclose(got, expected, atol=2e-4)


def test_normalisation_and_repetition_of_sphinx_mel() -> None:
    features = normalised(sphinx_mel(torch.from_numpy(speechlike(1.0))))
    np.testing.assert_allclose(features.mean(1).numpy(), 0, atol=1e-5)
    np.testing.assert_allclose(features.std(1, correction=0).numpy(), 1, atol=1e-5)
    long = lengthened(features)
    assert long.shape == (64, 1000)
    torch.testing.assert_close(long[:, :101], features)
    torch.testing.assert_close(long[:, 909:], features[:, :91])
    assert lengthened(torch.zeros(64, 1001)).shape == (64, 1001)


def test_windows_share_half_of_their_frames() -> None:
    features = torch.arange(40 * 499.0).view(40, 499)
    windows = sliding_windows(features, 125, 0.5)
    assert stride_of(125, 0.5) == 63
    assert windows.shape == (6, 40, 125)
    for k, window in enumerate(windows):
        torch.testing.assert_close(window, features[:, 63 * k : 63 * k + 125])
    assert sliding_windows(features[:, :124], 125, 0.5).shape == (1, 40, 124)
    assert sliding_windows(features[:, :250], 125, 0.0).shape == (2, 40, 125)


class FlagDetector:
    """Stands in for WebRTC's: a frame is voiced where its first sample is not zero."""

    def __init__(self, aggressiveness: int) -> None:
        self.aggressiveness = aggressiveness

    def is_speech(self, frame: bytes, rate: int) -> bool:
        assert len(frame) == 2 * rate * 10 // 1000
        return np.frombuffer(frame, "<i2")[0] != 0


def test_voice_activity_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    """Worked by hand for a ring of 4 frames: speech begins, and ends, when all 4 agree (4 > 0.9 * 4)."""
    monkeypatch.setattr("baselines.layers.vad.webrtcvad.Vad", FlagDetector)
    flags = [0, 1, 1, 0, 1, 1, 1, 1, 0, 0, 0, 0, 0, 1, 1, 0]
    x = np.repeat(np.array(flags) * np.arange(1, 17) / 100, 160).astype(np.float32)
    activity = VoiceActivity(1, 10, 40)
    # Frames 4 to 7 are the first four voiced in a row; after them frames 8 to 11 are unvoiced and end it.
    np.testing.assert_array_equal(activity(x), x[4 * 160 : 12 * 160])
    # A last frame that nothing follows is dropped, so with frame 11 at the end speech has not ended and 11 is lost.
    np.testing.assert_array_equal(activity(x[: 12 * 160]), x[4 * 160 : 11 * 160])


def plain_collector(samples: np.ndarray, mode: int, ms: int, capacity: int, again: bool) -> np.ndarray:
    """The padding rule, one frame after the other; `again` asks the detector about the whole ring at each step."""
    vad = webrtcvad.Vad(mode)
    size = 16 * ms
    frames = [samples[i : i + size] for i in range(0, len(samples) - size, size)]

    def speech(frame: np.ndarray) -> bool:
        return vad.is_speech((frame * 32768).astype("<i2").tobytes(), 16000)

    ring, answers, voiced, kept = [], [], False, []
    for frame in frames:
        ring = [*ring, frame][-capacity:]
        answers = [speech(one) for one in ring] if again else [*answers, speech(frame)][-capacity:]
        kept += [frame] if voiced else []
        if sum(answer is not voiced for answer in answers) > 0.9 * capacity:
            kept += [] if voiced else ring
            voiced, ring, answers = not voiced, [], []
    return np.concatenate(kept) if kept else samples[:0]


def halting(seed: int) -> np.ndarray:
    """Bursts of speech between pauses of noise, exact in 16 bits, on which how often one asks makes a difference."""
    rng = np.random.default_rng(seed)
    parts = []
    for burst in range(8):
        parts.append(speechlike(rng.uniform(0.1, 0.6), 10 * seed + burst) * rng.uniform(0.05, 1))
        parts.append(rng.normal(0, 10 ** rng.uniform(-3.5, -2), int(16000 * rng.uniform(0.05, 0.4))))
    return (np.round(np.concatenate(parts) * 32768) / 32768).astype(np.float32)


def test_each_voice_activity_asks_as_its_authors_do() -> None:
    differ = 0
    for seed in range(10):
        x = halting(seed)
        once, again = plain_collector(x, 2, 20, 2, again=False), plain_collector(x, 2, 20, 2, again=True)
        np.testing.assert_array_equal(VOICE2FACE_VAD(x), again)
        np.testing.assert_array_equal(SF2F_VAD(x), plain_collector(x, 1, 30, 10, again=False))
        activity = VoiceActivity(1, 30, 300, asks_again=True)
        np.testing.assert_array_equal(activity(x), plain_collector(x, 1, 30, 10, again=True))
        differ += not np.array_equal(once, again)
    assert differ > 5


def test_each_voice_activity_asks_as_its_authors_do_about_real_speech(realdata: Path) -> None:
    for path in sorted((realdata / "librispeech").rglob("*.flac"))[:10]:
        x = read_audio(path, 16000).samples
        np.testing.assert_array_equal(VOICE2FACE_VAD(x), plain_collector(x, 2, 20, 2, again=True))
        np.testing.assert_array_equal(SF2F_VAD(x), plain_collector(x, 1, 30, 10, again=False))


@pytest.mark.parametrize("activity", [SF2F_VAD, VOICE2FACE_VAD])
def test_voice_activity_cuts_silence(activity: VoiceActivity) -> None:
    assert len(activity(np.zeros(16000, np.float32))) == 0
    speech = speechlike(2.0)
    padded = np.concatenate([np.zeros(16000, np.float32), speech, np.zeros(16000, np.float32)])
    kept = len(activity(padded))
    assert 0.8 * len(speech) < kept < len(speech) + 16000


@pytest.mark.parametrize(
    ("samples", "rate", "message"),
    [
        (np.zeros(16000), 16000, "silence"),
        (np.full(16000, np.nan), 16000, "NaN"),
        (np.append(np.ones(16000), np.inf), 16000, "infinity"),
        (np.ones(800), 16000, "at least 0.5 s"),
        (np.ones(0), 16000, "at least 0.5 s"),
        (np.ones(16000), 8000, "8000 Hz"),
        (np.ones((16000, 2)), 16000, "mono"),
    ],
)
def test_unusable_speech_is_refused_by_name(samples: np.ndarray, rate: int, message: str) -> None:
    with pytest.raises(MethodError, match=message):
        usable_speech(Audio(samples.astype(np.float32), rate), 0.5)
