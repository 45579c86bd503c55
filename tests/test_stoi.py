"""STOI and ESTOI against pystoi, in ragged batches, and where they have no value."""

from __future__ import annotations

import doctest
import warnings

import numpy as np
import pytest
import torch

from metrics.metric import Failed, SpeechItem, Undefined
from metrics.speech import octave_resample as octave
from metrics.speech import stoi as module
from metrics.speech.stoi import Stoi, estoi, intelligibility, stoi

RATES = (8000, 10_000, 16_000, 22_050, 44_100, 48_000)


def talk(seed: int, seconds: float, rate: int) -> np.ndarray:
    """Something with the ups, downs and pauses of speech: a hoarse buzz whose loudness and colour change -> `[T]`."""
    random = np.random.default_rng(seed)
    count = round(seconds * rate)
    time = np.arange(count) / rate
    knots = np.arange(0, seconds + 0.2, 0.1)
    loudness = np.interp(time, knots, random.random(len(knots)) ** 2 * (random.random(len(knots)) > 0.2))
    pitch = 2 * np.pi * np.cumsum(np.interp(time, knots, 100 + 60 * random.random(len(knots)))) / rate
    voice = sum(
        np.interp(time, knots, random.random(len(knots)) ** 2) * np.sin(n * pitch) / n
        for n in range(1, min(30, rate // 400))
    )
    return 0.3 * loudness * (voice + 0.1 * random.standard_normal(count)) + 1e-4 * random.standard_normal(count)


def degraded(clean: np.ndarray, how: str, rate: int) -> np.ndarray:
    random = np.random.default_rng(7)
    noise = random.standard_normal(len(clean)) * clean.std()
    room = np.exp(-np.arange(rate // 5) / (0.05 * rate)) * random.standard_normal(rate // 5)
    return {
        "20 dB": clean + 0.1 * noise,
        "-5 dB": clean + 1.8 * noise,
        "noise alone": noise,
        "clipped": np.clip(clean, -0.02, 0.02),
        "a room": np.convolve(clean, room)[: len(clean)],
        "late": np.roll(clean, rate // 50),
        "soft": 1e-4 * (clean + 0.3 * noise),
        "coarse": np.round(clean * 200) / 200,
    }[how]


def tensors(*signals: np.ndarray) -> list[torch.Tensor]:
    return [torch.from_numpy(signal) for signal in signals]


def by_pystoi(clean: np.ndarray, other: np.ndarray, rate: int) -> np.ndarray:
    from pystoi import stoi as pystoi

    state = np.random.get_state()
    np.random.seed(0)
    both = np.array([pystoi(clean, other, rate, extended=extended) for extended in (False, True)])
    np.random.set_state(state)
    return both


def ours(clean: np.ndarray, other: np.ndarray, rate: int) -> np.ndarray:
    reference, estimate = tensors(clean, other)
    return intelligibility(reference=reference, estimate=estimate, rate=rate).values[0].numpy()


@pytest.mark.parametrize("rate", [*RATES, 11_025, 16_001, 20_000])
@pytest.mark.parametrize("length", [1, 7, 4321])
def test_the_resampler_is_octaves(rate, length):
    from pystoi.utils import resample_oct

    x = np.random.default_rng(length).standard_normal((3, length))
    found = octave.octave_resample(torch.from_numpy(x), rate, 10_000)
    assert found.dtype == torch.float64
    expected = x if rate == 10_000 else np.stack([resample_oct(row, 10_000, rate) for row in x])
    assert found.shape == expected.shape == (3, octave.resampled_length(length, rate, 10_000))
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-13)


def test_the_resampler_keeps_shapes_and_silence():
    x = torch.randn(2, 3, 8000, generator=torch.Generator().manual_seed(0))
    x[..., 2000:6000] = 0
    found = octave.octave_resample(x, 16_000, 10_000)
    assert found.shape == (2, 3, 5000)
    assert not found[..., 1300:3700].any() and found[..., :1200].any()
    torch.testing.assert_close(octave.octave_resample(x[0, 0], 16_000, 10_000), found[0, 0], rtol=0, atol=1e-13)
    with pytest.raises(ValueError, match="above 0 Hz, got 0"):
        octave.octave_resample(x, 0, 10_000)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("how", ["20 dB", "-5 dB", "noise alone", "clipped", "a room", "late", "soft", "coarse"])
def test_equals_pystoi(rate, how):
    clean = talk(rate, 1.7, rate)
    other = degraded(clean, how, rate)
    np.testing.assert_allclose(ours(clean, other, rate), by_pystoi(clean, other, rate), rtol=0, atol=1e-9)


@pytest.mark.parametrize("seconds", [0.45, 0.8, 8.0])
def test_equals_pystoi_for_short_and_long(seconds):
    # A steady voice, so that even the shortest keeps its 30 frames.
    clean = talk(3, seconds, 16_000) + 0.1 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * 16_000)) / 16_000)
    other = degraded(clean, "20 dB", 16_000)
    np.testing.assert_allclose(ours(clean, other, 16_000), by_pystoi(clean, other, 16_000), rtol=0, atol=1e-9)


def test_equals_pystoi_on_recordings(realdata):
    import soundfile

    files = sorted((realdata / "librispeech").glob("*/*.flac"))[::8]
    pairs = [(realdata / "speech_pair" / "speech.wav", realdata / "speech_pair" / "speech_bab_0dB.wav")]
    pairs += list(zip(files, files[1:], strict=False))
    for one, two in pairs:
        clean, rate = soundfile.read(one, dtype="float32", frames=80_000)
        other, _ = soundfile.read(two, dtype="float32", frames=80_000)
        length = min(len(clean), len(other))
        mixed = other[:length] if one.stem == "speech" else clean[:length] + other[:length]
        expected = by_pystoi(clean[:length], mixed, rate)
        np.testing.assert_allclose(ours(clean[:length], mixed, rate), expected, rtol=0, atol=1e-9)


def test_the_published_pair(realdata):
    import soundfile

    clean, rate = soundfile.read(realdata / "speech_pair" / "speech.wav")
    noisy, _ = soundfile.read(realdata / "speech_pair" / "speech_bab_0dB.wav")
    np.testing.assert_allclose(ours(clean, noisy, rate), [0.6739177, 0.3904500], rtol=0, atol=1e-6)


def test_partial_silence_lies_where_pystoi_scatters_around():
    from pystoi import stoi as pystoi

    clean = talk(5, 3.0, 10_000)
    gated = np.where(np.arange(len(clean)) % 15_000 < 7000, clean, 0)
    found = ours(clean, gated, 10_000)
    assert found[0] == pytest.approx(pystoi(clean, gated, 10_000), abs=1e-9)
    state = np.random.get_state()
    np.random.seed(1)
    spread = np.array([pystoi(clean, gated, 10_000, extended=True) for _ in range(12)])
    np.random.set_state(state)
    assert spread.std() > 1e-5
    assert abs(found[1] - spread.mean()) < 4 * spread.std()


def test_a_band_that_does_not_vary_counts_zero():
    clean = talk(6, 2.0, 10_000)
    # A frame and a hop further on it looks the same to every window: nothing varies, ESTOI is 0/0 throughout.
    constant = np.sin(2 * np.pi * 10_000 / 128 * 8 * np.arange(len(clean)) / 10_000) * 0 + 0.5
    clicks = (np.arange(len(clean)) % 4000 == 0).astype(float)
    reference, estimate = tensors(np.stack([clean, clean]), np.stack([constant, clicks]))
    values, reasons = intelligibility(reference=reference, estimate=estimate, rate=10_000)
    assert values[:, 0].isfinite().all()
    assert values[1, 1].isnan() and "varies" in reasons[1].reason
    expected = [by_pystoi(clean, other, 10_000)[0] for other in (constant, clicks)]
    np.testing.assert_allclose(values[:, 0].numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("function", [stoi, estoi])
def test_a_perfect_estimate_scores_one_at_any_gain_and_polarity(function):
    (clean,) = tensors(talk(1, 1.5, 16_000))
    for gain in (1.0, -1.0, 1e-5, 100.0):
        found = function(reference=clean, estimate=gain * clean, rate=16_000)
        assert found.values.shape == (1,) and found.reasons == (None,)
        assert found.values[0].item() == pytest.approx(1.0, abs=1e-9)


def test_each_function_is_a_column_of_both():
    reference, estimate = tensors(talk(1, 1.5, 16_000)[None], talk(2, 1.5, 16_000)[None])
    arguments = {"reference": reference, "estimate": estimate, "rate": 16_000}
    both = intelligibility(**arguments).values
    assert both.shape == (1, 2) and both.dtype == torch.float64
    torch.testing.assert_close(stoi(**arguments).values, both[:, 0], rtol=0, atol=1e-13)
    torch.testing.assert_close(estoi(**arguments).values, both[:, 1], rtol=0, atol=1e-13)
    doctest_results = doctest.testmod(module), doctest.testmod(octave)
    assert all(result.attempted and not result.failed for result in doctest_results)


def ragged(rate: int) -> tuple[torch.Tensor, torch.Tensor, list[int]]:
    """Ten items of many lengths, half of which have no value, and NaN behind each."""
    lengths = [round(seconds * rate) for seconds in (1.2, 0.7, 2.1, 1.0, 0.3, 0.0, 0.9, 1.1, 1.3, 0.01)]
    reference, estimate = np.full((2, len(lengths), max(lengths) + 100), np.nan)
    for row, length in enumerate(lengths):
        reference[row, :length] = talk(row, length / rate, rate)[:length] + 0.02
        estimate[row, :length] = reference[row, :length] + talk(row + 20, length / rate, rate)[:length]
    reference[3, : lengths[3]] = 0
    estimate[6, : lengths[6]] = 0
    estimate[8, 17] = np.inf
    return *tensors(reference, estimate), lengths


@pytest.mark.parametrize("rate", [10_000, 16_000, 44_100])
@pytest.mark.parametrize("room", [(2**18, 256), (70_000, 50)])
def test_a_ragged_batch_equals_its_items(rate, room, monkeypatch):
    reference, estimate, lengths = ragged(rate)
    before = reference.clone(), estimate.clone()
    alone = [
        intelligibility(reference=reference[row, :length], estimate=estimate[row, :length], rate=rate)
        for row, length in enumerate(lengths)
    ]
    monkeypatch.setattr(module, "_room", lambda device: room)
    values, reasons = intelligibility(reference=reference, estimate=estimate, rate=rate, lengths=lengths)
    expected = torch.cat([found.values for found in alone])
    torch.testing.assert_close(values, expected, rtol=0, atol=1e-12, equal_nan=True)
    assert list(reasons) == [found.reasons[0] for found in alone]
    assert [type(reason) for reason in reasons] == [
        *(type(None), type(None), type(None), Undefined, Undefined),
        *(Failed, Undefined, type(None), Failed, Undefined),
    ]
    assert values.isnan().any(dim=1).tolist() == [reason is not None for reason in reasons]
    for now, then in zip((reference, estimate), before, strict=True):
        torch.testing.assert_close(now, then, rtol=0, atol=0, equal_nan=True)


def test_reasons_say_what_is_wrong():
    reference, estimate, lengths = ragged(16_000)
    reasons = intelligibility(reference=reference, estimate=estimate, rate=16_000, lengths=lengths).reasons
    words = {3: "reference is silent", 4: "fewer than 30 frames", 5: "empty", 6: "estimate is silent", 8: "estimate"}
    for row, expected in words.items():
        assert expected in reasons[row].reason
    assert "NaN or infinite" in reasons[8].reason


def test_thirty_frames_are_enough_and_one_less_is_not():
    # 31 whole frames, the last of which the authors' loop leaves out once more when it cuts the joined frames.
    noise = np.random.default_rng(0).standard_normal(4097)
    np.testing.assert_allclose(ours(noise, noise**3, 10_000), by_pystoi(noise, noise**3, 10_000), atol=1e-12)
    with pytest.warns(RuntimeWarning, match="Not enough STFT frames"):
        assert by_pystoi(noise[:-1], noise[:-1] ** 3, 10_000).tolist() == [1e-5, 1e-5]
    reference, estimate = tensors(noise[:-1], noise[:-1] ** 3)
    values, (reason,) = intelligibility(reference=reference, estimate=estimate, rate=10_000)
    assert values.isnan().all() and reason.reason.endswith(": 29")


def test_any_dtype_and_gradients_are_fine():
    samples = (talk(1, 1.0, 16_000) * 20_000).astype(np.int16)
    reference = torch.from_numpy(samples)
    estimate = torch.from_numpy(degraded(samples.astype(float), "20 dB", 16_000)).requires_grad_()
    whole = intelligibility(reference=reference.double(), estimate=estimate, rate=16_000).values
    assert not whole.requires_grad
    mixed = intelligibility(reference=reference, estimate=estimate, rate=16_000).values
    torch.testing.assert_close(mixed, whole, rtol=0, atol=0)


def test_the_random_state_is_left_alone():
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    ours(talk(1, 1.0, 16_000), talk(2, 1.0, 16_000), 16_000)
    assert torch.equal(before[0], torch.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])


def test_arguments_that_cannot_be_meant():
    x = torch.randn(2, 8000)
    for reference, estimate in ((x, x[:, 1:]), (x[None], x[None])):
        with pytest.raises(ValueError, match=r"one shape, \[B, T\] or \[T\]"):
            intelligibility(reference=reference, estimate=estimate, rate=16_000)
    for lengths in ([8000], [8000, 8001], [-1, 5]):
        with pytest.raises(ValueError, match="Expected 2 lengths from 0 to 8000"):
            stoi(reference=x, estimate=x, rate=16_000, lengths=lengths)
    with pytest.raises(ValueError, match="above 0 Hz, got -1"):
        estoi(reference=x, estimate=x, rate=-1)
    empty = intelligibility(reference=x[:0], estimate=x[:0], rate=16_000)
    assert empty.values.shape == (0, 2) and empty.reasons == ()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gives_the_same():
    reference, estimate, lengths = ragged(16_000)
    here = intelligibility(reference=reference, estimate=estimate, rate=16_000, lengths=lengths)
    there = intelligibility(reference=reference.cuda(), estimate=estimate.cuda(), rate=16_000, lengths=lengths)
    assert there.values.is_cuda and there.reasons == here.reasons
    torch.testing.assert_close(there.values.cpu(), here.values, rtol=0, atol=1e-9, equal_nan=True)


def item(name: str, reference: np.ndarray | None, estimate: np.ndarray, rate: int = 16_000) -> SpeechItem:
    kept = None if reference is None else reference.astype(np.float32)
    return SpeechItem(name, estimate.astype(np.float32), rate, kept)


def test_the_metric_gives_a_row_or_a_reason_for_each_item(monkeypatch):
    monkeypatch.setattr(module, "_room", lambda device: (40_000, 64))
    clean, noisy, wide = talk(1, 1.0, 16_000), talk(2, 1.0, 16_000), talk(3, 0.9, 44_100)
    clicks = (np.arange(16_000) % 8000 == 0).astype(float)
    items = [
        item("plain", clean, clean + 0.3 * noisy),
        item("wide", wide, degraded(wide, "20 dB", 44_100), 44_100),
        item("longer", clean, np.append(clean, np.zeros(800))),
        item("far too long", clean, np.append(clean, np.zeros(4000))),
        item("stereo", clean, np.stack([clean, clean])),
        item("no reference", None, clean),
        item("nan", clean, np.where(np.arange(16_000) == 5, np.nan, clean)),
        item("empty", clean[:0], clean[:0]),
        item("silent", clean, 0 * clean),
        item("clicks", clean, clicks),
        item("plain again", clean, clean + 0.3 * noisy),
    ]
    metric = Stoi.create(None)
    rows = metric.measure(items)
    kinds = [dict, dict, dict, Failed, Failed, Undefined, Failed, Failed, Undefined, dict, dict]
    assert [type(row) for row in rows] == kinds
    assert rows[0] == pytest.approx(rows[10], abs=1e-12)
    for row, (rate, reference, estimate) in {
        0: (16_000, items[0].reference, items[0].estimate),
        1: (44_100, items[1].reference, items[1].estimate),
        2: (16_000, items[2].reference, items[2].estimate[:16_000]),
    }.items():
        np.testing.assert_allclose(
            [rows[row]["stoi"], rows[row]["estoi"]], by_pystoi(reference, estimate, rate), atol=1e-9
        )
    assert [rows[row]["cut_s"] for row in range(3)] == [0, 0, -0.05]
    assert np.isfinite(rows[9]["stoi"]) and np.isnan(rows[9]["estoi"])
    assert metric.measure([]) == []


def test_the_metric_averages_what_is_defined():
    metric = Stoi.create(None)
    assert [report.name for report in metric.reports] == ["stoi", "estoi"]
    assert metric.signature("estoi") == "estoi|fs:10000|resample:octave|len:cut0.1|impl:facevoice|v1"
    statistics = {"stoi": np.array([0.5, 0.7, 0.9]), "estoi": np.array([0.2, np.nan, 0.4]), "cut_s": np.zeros(3)}
    assert metric.defined("estoi", statistics).tolist() == [True, False, True]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        means = metric.aggregate(statistics, np.array([[1.0, 1, 1], [0, 1, 0], [2, 0, 1]]))
    np.testing.assert_allclose(means["stoi"], [0.7, 0.7, 1.9 / 3])
    np.testing.assert_allclose(means["estoi"], [0.3, np.nan, 0.8 / 3])
