from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import find_peaks, get_window, welch
from scipy.stats import kstest, norm, spearmanr

from benchmark.errors import MediaError
from benchmark.media.mixing import NOISES, RATE, RECORDED, TALKER, looped, mix, noise

SECOND = RATE


def speech(seconds: float = 1.0, seed: int = 0) -> np.ndarray:
    """Modulated noise with a constant offset, float32 as recordings are."""
    random = np.random.default_rng(seed)
    time = np.arange(int(seconds * RATE)) / RATE
    syllables = 0.6 + 0.4 * np.sin(2 * np.pi * 4 * time)
    return (0.02 + 0.1 * syllables * random.standard_normal(len(time))).astype(np.float32)


def deviation_db(signal: np.ndarray) -> float:
    return 20 * np.log10(np.std(signal.astype(np.float64)))


def level_db(signal: np.ndarray, low: float, high: float) -> float:
    """Mean spectral density between two frequencies, by Welch's method."""
    hz, density = welch(signal, RATE, nperseg=8192)
    return 10 * np.log10(density[(hz >= low) & (hz < high)].mean())


# two signals


@pytest.mark.parametrize("snr_db", [-30, -10, -5, 0, 5, 10, 30])
@pytest.mark.parametrize("gain", [1e-3, 50.0])
def test_the_parts_of_a_mixture_have_the_snr_that_was_asked_for(snr_db: float, gain: float) -> None:
    noisy, clean = mix(speech(), gain * noise("pink", SECOND, 1), snr_db, seed=0)
    assert deviation_db(clean) - deviation_db(noisy - clean) == pytest.approx(snr_db, abs=1e-3)


def test_speech_and_noise_keep_their_shapes() -> None:
    said, other = speech(), noise("white", SECOND, 1)
    noisy, clean = mix(said, other, 3, seed=0)
    np.testing.assert_allclose(clean / np.std(clean), said / np.std(said), atol=1e-5)
    np.testing.assert_allclose((noisy - clean) / np.std(noisy - clean), other / np.std(other), atol=1e-5)
    assert noisy.dtype == clean.dtype == np.float32 and noisy.shape == clean.shape == said.shape


def test_peaks_follow_the_published_distribution() -> None:
    """N(0.9, 0.5) where that falls into 0.3..0.99, else U(0.3, 0.99)."""
    said, other = speech(0.05), noise("white", SECOND // 20, 1)
    parts = [mix(said, other, snr_db, seed) for seed in range(750) for snr_db in (-20, 20)]
    peaks = np.array([max(np.abs(noisy).max(), np.abs(clean).max()) for noisy, clean in parts])
    assert peaks.min() > 0.3 - 1e-6 and peaks.max() < 0.99 + 1e-6
    normal = norm(0.9, 0.5)
    inside = normal.cdf(0.99) - normal.cdf(0.3)

    def expected(peak: np.ndarray) -> np.ndarray:
        return normal.cdf(peak) - normal.cdf(0.3) + (1 - inside) * (peak - 0.3) / 0.69

    assert kstest(peaks[::2], expected).pvalue > 1e-3


def test_the_louder_of_mixture_and_speech_has_the_peak() -> None:
    """Noise that takes from the speech's peaks leaves the mixture below them."""
    said = speech()
    noisy, clean = mix(said, -said, 20, seed=0)
    assert np.abs(clean).max() > np.abs(noisy).max() and 0.3 - 1e-6 < np.abs(clean).max() < 0.99 + 1e-6


def test_a_mixture_depends_on_its_seed_alone() -> None:
    said, other = speech(), noise("white", SECOND, 1)
    state = np.random.get_state()[1].copy()
    first, again, another = (mix(said, other, 0, seed).noisy for seed in (5, 5, 6))
    assert np.array_equal(first, again) and not np.array_equal(first, another)
    assert np.array_equal(np.random.get_state()[1], state)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (np.zeros(100), "silent"),
        (np.full(100, 0.1, np.float32), "constant"),
        (np.zeros(0), "silent .* 0 samples"),
        (np.full(100, np.nan), "NaN"),
        (np.r_[np.ones(99), np.inf], "infinite"),
    ],
)
def test_what_has_no_level_is_named(bad: np.ndarray, reason: str) -> None:
    good = np.random.default_rng(0).standard_normal(len(bad))
    with pytest.raises(MediaError, match=f"The speech .*{reason}"):
        mix(bad, good, 0, seed=0)
    if len(bad):
        with pytest.raises(MediaError, match=f"The noise .*{reason}"):
            mix(good, bad, 0, seed=0)


@pytest.mark.parametrize("other", [np.ones(99), np.ones((100, 2)), np.ones((1, 100))])
def test_signals_of_other_shapes_are_refused(other: np.ndarray) -> None:
    with pytest.raises(MediaError, match="of one length"):
        mix(np.ones(100), other, 0, seed=0)
    with pytest.raises(MediaError, match="of one length"):
        mix(np.ones((100, 2)), np.ones((100, 2)), 0, seed=0)


@pytest.mark.parametrize("snr_db", [float("nan"), float("inf"), -1e6])
def test_an_snr_that_no_float_holds_is_refused(snr_db: float) -> None:
    with pytest.raises(MediaError, match="-100 to 100 dB"):
        mix(speech(), noise("white", SECOND, 0), snr_db, seed=0)


# noises


def voices(count: int = 6, seconds: float = 0.7) -> list[np.ndarray]:
    """Of very different loudness."""
    return [10.0 ** -(number % 3) * speech(seconds + 0.01 * number, 100 + number) for number in range(count)]


@pytest.mark.parametrize("kind", [*NOISES, TALKER, RECORDED])
@pytest.mark.parametrize("length", [1601, 32_640])
def test_a_noise_is_as_long_as_asked_and_the_same_for_its_seed(kind: str, length: int) -> None:
    given = voices(1 if kind in (TALKER, RECORDED) else 6)
    first, again, other = (noise(kind, length, seed, given) for seed in (3, 3, 4))
    assert first.shape == (length,) and np.isfinite(first).all()
    assert np.array_equal(first, again)
    assert np.array_equal(first, other) == (kind in (TALKER, RECORDED))


@pytest.mark.parametrize("kind", ["white", "pink", "music"])
@pytest.mark.parametrize("length", [1, 2, 3])
def test_a_noise_of_no_time_is_made(kind: str, length: int) -> None:
    assert np.isfinite(noise(kind, length, 0)).all() and noise(kind, length, 0).shape == (length,)


def test_white_noise_is_flat() -> None:
    signal = noise("white", 20 * SECOND, 0)
    edges = 62.5 * 2.0 ** np.arange(8)
    levels = [level_db(signal, low, 2 * low) for low in edges[:-1]]
    assert np.ptp(levels) < 1
    assert kstest(signal[:20_000], "norm").pvalue > 1e-3


def test_pink_noise_falls_by_3_db_an_octave() -> None:
    """Density in inverse proportion to frequency, from 20 Hz up; flat below."""
    signal = noise("pink", 20 * SECOND, 0)
    edges = 31.25 * 2.0 ** np.arange(9)
    levels = np.array([level_db(signal, low, 2 * low) for low in edges[:-1]])
    slopes = np.diff(levels)
    assert slopes.mean() == pytest.approx(-10 * np.log10(2), abs=0.15)
    assert np.abs(slopes + 3.01).max() < 1
    slow = np.abs(np.fft.rfft(noise("pink", 200 * SECOND, 1))) ** 2
    hz = np.fft.rfftfreq(200 * SECOND, 1 / RATE)
    below = slow[(hz > 1) & (hz < 6)].mean() / slow[(hz >= 14) & (hz < 19)].mean()
    assert 10 * np.log10(below) == pytest.approx(0, abs=1)


def test_babble_holds_every_voice_at_equal_strength() -> None:
    """Each is found at some place, looped, and least squares give it the weight of its own level."""
    length, given = 2 * SECOND, voices()
    babble = noise("babble", length, 7, given)
    parts = []
    for voice in given:
        period = len(voice)
        # correlation of the babble, folded to the period of the voice, with the voice at every start
        folded = np.zeros(period)
        np.add.at(folded, np.arange(length) % period, babble)
        match = np.fft.irfft(np.fft.rfft(folded).conj() * np.fft.rfft(voice - voice.mean()), period)
        parts.append(looped(voice, length, int(np.argmax(match))))
    weights, residual, *_ = np.linalg.lstsq(np.stack(parts, axis=1), babble, rcond=None)
    assert residual[0] < 1e-9 * np.sum(babble**2)
    np.testing.assert_allclose(weights * [np.std(part) for part in parts], 1, rtol=1e-4)
    starts = {noise("babble", 100, seed, given[:1])[0] for seed in range(20)}
    assert len(starts) > 15, "voices start anywhere"


@pytest.mark.parametrize("kind", [TALKER, RECORDED])
def test_a_recording_starts_at_its_start_and_begins_again(kind: str) -> None:
    (voice,) = voices(1, 0.5)
    signal = noise(kind, SECOND, 5, [voice])
    expected = np.r_[voice, voice].astype(np.float64)
    np.testing.assert_allclose(signal, expected / np.std(expected), rtol=1e-6)


def pitches(signal: np.ndarray, low: float, high: float) -> np.ndarray:
    """The 30 strongest spectral peaks of a band, in semitones above A."""
    spectrum = np.abs(np.fft.rfft(signal * get_window("hann", len(signal)), 4 * len(signal)))
    hz = np.fft.rfftfreq(4 * len(signal), 1 / RATE)
    band = (hz > low) & (hz < high)
    spectrum, hz = spectrum[band], hz[band]
    peaks, _ = find_peaks(spectrum, distance=4 * len(signal) // RATE)
    strongest = peaks[np.argsort(spectrum[peaks])[-30:]]
    return 12 * np.log2(hz[strongest] / 440)


def off_grid(semitones: np.ndarray) -> float:
    """Median distance from the nearest key of the piano."""
    return float(np.median(np.abs(semitones - np.round(semitones))))


def test_music_keeps_to_a_scale_of_equal_temperament() -> None:
    played = [pitches(noise("music", 12 * SECOND, seed), 200, 900) for seed in range(6)]
    for found in played:
        assert off_grid(found) < 0.08
        keys = np.round(found[np.abs(found - np.round(found)) < 0.1]).astype(int) % 12
        assert len(set(keys)) <= 10, "tones of one key and overtones near them, not all twelve"
    random = pitches(noise("white", 12 * SECOND, 0), 200, 900)
    assert off_grid(random) > 0.15


def rhythm(signal: np.ndarray) -> float:
    """How much the loudness above 7 kHz, where tones hardly reach, repeats after a beat or two, 80 to 150 a minute."""
    spectrum = np.fft.rfft(signal)
    spectrum[: int(7000 / RATE * len(signal))] = 0
    envelope = np.fft.irfft(spectrum, len(signal)).reshape(-1, 160).std(axis=1)
    envelope -= envelope.mean()
    again = np.correlate(envelope, envelope, "full")[len(envelope) - 1 :] / np.sum(envelope**2)
    return float(again[40:152].max())


def test_music_is_never_silent_and_has_a_beat() -> None:
    for seed in range(6):
        signal = noise("music", 8 * SECOND, seed)
        half_seconds = np.convolve(signal**2, np.ones(SECOND // 2) / (SECOND // 2), "valid")
        assert half_seconds.min() > 0.05 * np.mean(signal**2)
        assert rhythm(signal) > 0.25 > 0.15 > rhythm(noise("white", 8 * SECOND, seed))


def test_kinds_are_told_apart_by_their_spectra() -> None:
    """Music and pink noise fall with frequency, white does not."""
    octaves = 125 * 2.0 ** np.arange(6)
    for kind, falls in (("white", False), ("pink", True), ("music", True)):
        levels = [level_db(noise(kind, 8 * SECOND, 0), low, 2 * low) for low in octaves]
        assert (spearmanr(np.arange(6), levels).statistic < -0.8 and levels[0] - levels[-1] > 10) == falls


@pytest.mark.parametrize("kind", ["babble", TALKER, RECORDED])
@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ([], "needs recordings"),
        ([np.zeros(0, np.float32)], "empty"),
        ([np.zeros(100, np.float32)], "silent"),
        ([np.full(100, np.nan, np.float32)], "NaN"),
    ],
)
def test_recordings_that_cannot_be_noise_are_refused(kind: str, given: list[np.ndarray], reason: str) -> None:
    with pytest.raises(MediaError, match=reason):
        noise(kind, 1000, 0, given)


@pytest.mark.parametrize("kind", ["brown", "", "None", "WHITE"])
def test_an_unknown_kind_names_those_that_there_are(kind: str) -> None:
    with pytest.raises(MediaError, match="white, pink, babble, music, talker, recorded"):
        noise(kind, 100, 0)


@pytest.mark.parametrize(("length", "start"), [(0, 0), (3, 0), (5, 2), (12, 1), (4, 9)])
def test_looped_is_the_tiled_signal_from_a_place_on(length: int, start: int) -> None:
    signal = np.arange(5)
    assert looped(signal, length, start).tolist() == np.tile(signal, 8)[start : start + length].tolist()
    with pytest.raises(MediaError, match="empty"):
        looped(signal[:0], length, start)
