"""Delays: exact shifts of real and synthetic speech, re-synthesised speech, and what has none."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import butter, istft, sosfilt, stft

from metrics.metric import SpeechItem, Undefined
from metrics.speech import delay
from metrics.speech.delay import (
    CONFIDENT,
    NEAR_S,
    STEP_S,
    Delay,
    DelayFound,
    Evidence,
    aligned,
    alignments,
    delay_evidence,
    estimate_delay,
    evidence_of,
)

RATE = 16000


def voice(seed=0, seconds=3.0, rate=RATE):
    """Something like speech: syllables of a gliding voice with formants that move, pauses, and a little noise."""
    random = np.random.default_rng(seed)
    time = np.arange(int(seconds * rate)) / rate
    knots = np.arange(0, seconds + 0.3, 0.12)

    def wander(low, high):
        return np.interp(time, knots, random.uniform(low, high, len(knots)))

    pitch = np.cumsum(wander(90, 180)) / rate
    formants = [(wander(300, 800), 120), (wander(900, 2200), 200), (wander(2300, 3200), 300)]
    level = np.interp(time, knots, random.choice([0.0, 0.3, 1.0], len(knots)))
    signal = 0.01 * random.normal(size=len(time)) * level
    for harmonic in range(1, 30):
        hz = harmonic * np.gradient(pitch) * rate
        gain = sum(np.exp(-(((hz - centre) / width) ** 2)) for centre, width in formants)
        signal += level * gain * np.sin(2 * np.pi * harmonic * pitch) / harmonic**0.5
    return signal / np.abs(signal).max()


def shifted(x, samples):
    return np.concatenate([np.zeros(max(samples, 0)), x, np.zeros(max(-samples, 0))])[-min(samples, 0) :][: len(x)]


def noise_for(x, seed=9):
    noise = np.random.default_rng(seed).normal(size=len(x))
    return noise * np.linalg.norm(x) / np.linalg.norm(noise)


def phases_redrawn(x, rate=RATE, seed=3):
    """The magnitudes of a short-time spectrum with random phases: what a poor vocoder leaves of the waveform."""
    frame = {"nperseg": rate // 40, "noverlap": 3 * (rate // 160)}
    _, _, spectrum = stft(x, rate, **frame)
    turned = np.abs(spectrum) * np.exp(2j * np.pi * np.random.default_rng(seed).random(spectrum.shape))
    return istft(turned, rate, **frame)[1][: len(x)]


@pytest.fixture(scope="module")
def speech(request):
    """Synthetic voices, and two real ones where there are recordings."""
    import os
    from pathlib import Path

    found = [voice(seed) for seed in range(3)]
    folder = os.environ.get("FACEVOICE_REALDATA")
    if folder:
        import soundfile

        paths = sorted((Path(folder) / "librispeech").glob("*/*.flac"))
        found += [soundfile.read(path, stop=3 * RATE)[0] for path in paths[:20:10]]
    return found


@pytest.mark.parametrize("milliseconds", [-300.0, -1.0, 0.0, 0.0625, 90.0, 130.0, 480.0])
def test_shifts_are_found_to_the_sample(speech, milliseconds):
    samples = round(milliseconds * RATE / 1000)
    for x in speech:
        late = shifted(x, samples)
        for estimate in (late, -0.01 * late, late + noise_for(x), late + 0.3 * noise_for(x)):
            found = estimate_delay(reference=x, estimate=estimate, rate=RATE)
            assert found.seconds is not None
            assert round(found.seconds * RATE) == samples
            assert CONFIDENT <= found.confidence <= 1


@pytest.mark.parametrize("milliseconds", [-200.0, 0.0, 90.0, 130.0])
def test_speech_that_shares_no_waveform_is_found_within_milliseconds(speech, milliseconds):
    for x in speech:
        estimate = phases_redrawn(shifted(x, round(milliseconds * RATE / 1000)))
        found = estimate_delay(reference=x, estimate=estimate, rate=RATE)
        assert found.seconds is not None
        assert 1000 * found.seconds == pytest.approx(milliseconds, abs=5)


def test_a_filter_does_not_hide_the_delay(speech):
    low_pass = butter(4, 1000, fs=RATE, output="sos")
    for x in speech:
        found = estimate_delay(reference=x, estimate=sosfilt(low_pass, shifted(x, 1600)), rate=RATE)
        assert found.seconds == pytest.approx(0.1, abs=0.001)


def test_what_is_not_the_same_has_no_delay(speech):
    for x, other in zip(speech, speech[1:] + speech[:1], strict=True):
        for estimate in (noise_for(x), other, phases_redrawn(other), np.zeros_like(x), np.ones_like(x)):
            found = estimate_delay(reference=x, estimate=estimate, rate=RATE)
            assert found.seconds is None
            assert found.confidence < CONFIDENT
    found = estimate_delay(reference=noise_for(speech[0], 1), estimate=noise_for(speech[0], 2), rate=RATE)
    assert found.seconds is None


def test_a_delay_beyond_the_range_is_not_found(speech):
    late = shifted(speech[0], round(0.3 * RATE))
    assert estimate_delay(reference=speech[0], estimate=late, rate=RATE, max_s=0.2).seconds is None
    assert estimate_delay(reference=speech[0], estimate=late, rate=RATE, max_s=0.4).seconds == pytest.approx(0.3)


@pytest.mark.parametrize("rate", [8000, 44100])
def test_other_rates_and_lengths(rate):
    x = voice(rate=rate)
    estimate = np.concatenate([np.zeros(rate // 10), x[: 2 * rate]])
    found = estimate_delay(reference=x.astype(np.float32), estimate=estimate, rate=rate)
    assert found.seconds == pytest.approx(0.1)
    found = estimate_delay(reference=x[: 2 * rate], estimate=phases_redrawn(shifted(x, rate // 10), rate), rate=rate)
    assert found.seconds == pytest.approx(0.1, abs=0.005)


def test_level_decides_nothing_and_reasons_about_tiny_signals_hold():
    x = voice()
    late = shifted(x, 800)
    for gain in (1e-200, 1e200):
        assert estimate_delay(reference=x, estimate=gain * late, rate=RATE).seconds == pytest.approx(0.05)
    for size in (1, 2, 50, 700):
        found = estimate_delay(reference=x[20000 : 20000 + size], estimate=x[:size] + 0.1, rate=RATE)
        assert 0 <= found.confidence <= 1


def test_bad_signals_are_refused():
    x = voice()
    for bad in (x[:0], np.stack([x, x]), np.where(np.arange(len(x)) == 5, np.nan, x)):
        with pytest.raises(ValueError, match="mono, finite estimate"):
            estimate_delay(reference=x, estimate=bad, rate=RATE)
    with pytest.raises(ValueError, match="above 0, got 0 Hz"):
        estimate_delay(reference=x, estimate=x, rate=0)


def test_the_random_state_of_the_caller_stays():
    before = np.random.get_state()[1].copy()
    estimate_delay(reference=voice(), estimate=voice(1), rate=RATE)
    assert (before == np.random.get_state()[1]).all()


@pytest.mark.parametrize("samples", [-900, -1, 0, 1, 1600])
@pytest.mark.parametrize("more", [-500, 0, 5000])
def test_aligned_signals_start_together_and_keep_the_difference_that_was_theirs(samples, more):
    x = np.arange(1.0, 20001.0)
    late = np.concatenate([np.zeros(max(samples, 0)), x, np.zeros(6000)])[max(-samples, 0) :][: len(x) + more]
    reference, estimate = aligned(x, late, samples / RATE, RATE)
    both = min(len(reference), len(estimate))
    start = max(-samples, 0)
    assert (reference[start:both] == estimate[start:both])[: len(x) - abs(samples)].all()
    assert not estimate[:start].any()
    if more == 0:
        assert len(reference) == len(estimate) == len(x) - max(samples, 0)
    elif more < 0:
        assert len(reference) - len(estimate) <= -more
    else:
        assert len(reference) == len(x)
        assert len(estimate) == len(x) + more - max(samples, 0)


def test_an_estimate_that_ends_before_it_begins_cannot_be_aligned():
    with pytest.raises(ValueError, match="leaves nothing"):
        aligned(np.ones(100), np.ones(100), 0.1, 1000)


def test_the_metric_reports_delays_and_keeps_what_it_decided_on():
    metric = DelayFound.create(None)
    x, other = voice().astype(np.float32), voice(1).astype(np.float32)
    late = shifted(x, 1760).astype(np.float32)
    items = [SpeechItem(key, y, RATE, x) for key, y in (("late", late), ("other", other), ("silent", 0 * x))]
    found, unknown, silent = metric.measure(items)
    assert found["delay_ms"] == pytest.approx(110.0)
    assert unknown == Undefined("no delay stands out") and silent == Undefined("the estimate is silent")
    assert not silent.evidence
    for row, y in ((found, late), (unknown.evidence, other)):
        kept, expected = evidence_of(row), delay_evidence(reference=x, estimate=y, rate=RATE)
        assert (kept.own, kept.seconds) == (expected.own, expected.seconds) and (kept.bands == expected.bands).all()
    assert metric.aggregate({"delay_ms": np.array([110.0, 90.0])}, np.ones((1, 2)))["delay_ms"].tolist() == [100.0]


def test_pauses_and_length_make_unrelated_speech_no_surer():
    """One bar for all: the height of accidental peaks depends neither on length nor on the silence around a clip."""
    voices = [voice(seed, 12.0) for seed in range(8)]

    def heights(cut, pause_s=0.0):
        around = np.zeros(round(pause_s * RATE))
        clips = [np.concatenate([around, x[: round(cut * RATE)], around]) for x in voices]
        pairs = ((x, y) for n, x in enumerate(clips) for y in clips[n + 1 :])
        return np.median([delay_evidence(reference=x, estimate=y, rate=RATE).bands.max() for x, y in pairs])

    middle = [heights(2.0), heights(12.0), heights(2.0, 4.0)]
    assert max(middle) < 1.25 * min(middle)


@pytest.mark.parametrize("seconds", [1.5, 3.0])
def test_a_second_of_noisy_vocoded_speech_is_enough_where_it_is_alike(seconds):
    for seed in range(6):
        x = voice(seed, seconds)
        estimate = phases_redrawn(shifted(x, 1760))
        found = estimate_delay(reference=x, estimate=estimate + 0.3 * noise_for(estimate), rate=RATE)
        assert found.seconds == pytest.approx(0.11, abs=0.008)


def flat(own_s, height=0.0, at_s=0.11, seconds=3.0, seed=0):
    """Evidence of one clip: a curve of noise with a peak of some height."""
    lags = (np.arange(125) - 62) * STEP_S
    bands = np.random.default_rng(seed).normal(0, 0.7, 125)
    bands += height * np.exp(-0.5 * ((lags - at_s) / 0.012) ** 2)
    return Evidence(Delay(own_s, 0.6 if own_s is not None else 0.3), seconds, bands)


def test_what_no_clip_says_alone_all_say_together():
    clips = [flat(None, 2.6 if n else 0.0, 0.112, seed=n) for n in range(8)]
    found = alignments(clips)
    assert found.common_s == pytest.approx(0.112, abs=0.008)
    assert found.agreeing >= 4
    assert all(abs(clip.seconds - 0.112) <= NEAR_S + STEP_S for clip in found.clips)
    assert {clip.by for clip in found.clips} == {"near", "common"}
    one_clear = [flat(0.112, 30.0, 0.112), flat(None, seed=1), flat(None, seed=2)]
    assert [clip.by for clip in alignments(one_clear).clips] == ["own", "none", "none"], "one clip is no method"


def test_a_clear_delay_stays_and_an_unclear_one_is_the_methods():
    clips = [flat(0.11, 6.0, seed=n) for n in range(6)] + [flat(-0.2, 6.0, -0.2, seed=6), flat(None, seed=7)]
    found = alignments(clips)
    assert [clip.by for clip in found.clips[:7]] == ["own"] * 7
    assert [clip.seconds for clip in found.clips[:7]] == [0.11] * 6 + [-0.2]
    assert found.clips[7].by in ("near", "common") and found.clips[7].seconds == pytest.approx(0.11, abs=NEAR_S)
    assert found.common_s == 0.11 and found.agreeing >= 6


def test_clips_that_disagree_or_say_nothing_have_no_common_delay():
    apart = [flat(s, 6.0, s, seed=n) for n, s in enumerate((-0.4, -0.25, -0.1, 0.05, 0.2, 0.35))] + [flat(None, seed=9)]
    nothing = [flat(None, seed=n) for n in range(30)]
    faint = [flat(None, 0.9, 0.0, seed=n) for n in range(100)]  # as sentences of one grammar begin together
    for clips in (apart, nothing, faint):
        found = alignments(clips)
        assert found.common_s is None and found.agreeing == 0
        assert [clip.by for clip in found.clips] == ["none" if clip.own.seconds is None else "own" for clip in clips]
    assert alignments([]).clips == ()


def test_a_vocoded_method_is_found_whose_clips_are_too_short_alone():
    """Three quarters of a second each, vocoded in noise; delays from 90 to 130 ms."""
    truths = np.linspace(0.09, 0.13, 8)
    clips = []
    for seed, truth in enumerate(truths):
        x = voice(seed, 0.8)
        estimate = phases_redrawn(shifted(x, round(truth * RATE)))
        clips.append(delay_evidence(reference=x, estimate=estimate + 0.7 * noise_for(estimate), rate=RATE))
    assert any(clip.own.seconds is None for clip in clips)
    found = alignments(clips)
    assert found.common_s == pytest.approx(0.11, abs=0.015)
    assert all(abs(clip.seconds - truth) < 0.04 for clip, truth in zip(found.clips, truths, strict=True))


def test_clips_shifted_by_one_time_tell_it_with_an_interval_around_it():
    """Copies tell it exactly; clips of 0.8 s whose phases are drawn anew, in noise, within a few milliseconds."""
    exact, vocoded = [], []
    for seed in range(8):
        x = voice(seed, 0.8)
        late = shifted(x, 1760)
        exact.append(delay_evidence(reference=x, estimate=0.5 * late, rate=RATE))
        estimate = phases_redrawn(late)
        vocoded.append(delay_evidence(reference=x, estimate=estimate + 0.7 * noise_for(estimate), rate=RATE))
    assert alignments(exact).interval_s == (0.11, 0.11)
    found = alignments(vocoded)
    low, high = found.interval_s
    assert low <= found.common_s <= high
    assert low - 0.003 <= 0.11 <= high + 0.003 and 0 < high - low < 0.025
    assert alignments(vocoded) == found, "the same clips give the same interval"


def test_the_interval_covers_the_methods_delay_and_shrinks_with_more_clips():
    """Clips of a method that is late by 110 ms, give or take 10 ms."""
    random = np.random.default_rng(5)
    covered, widths = 0, {8: [], 32: []}
    for count in [8] * 15 + [32] * 60:
        places = random.normal(0.11, 0.01, count)
        clips = [flat(s, 6.0, s, seed=int(random.integers(1000))) for s in places]
        low, high = alignments(clips).interval_s
        covered += count == 32 and low <= 0.11 <= high
        widths[count].append(high - low)
    assert covered >= 51  # of 60; of 600 such sets 94 % are covered, so fewer come once in a hundred times
    assert np.mean(widths[32]) < 0.7 * np.mean(widths[8])


def test_clips_without_a_common_delay_have_no_interval_of_it():
    apart = [flat(s, 6.0, s, seed=n) for n, s in enumerate((-0.4, -0.25, -0.1, 0.05, 0.2, 0.35))]
    assert alignments(apart).interval_s is None and alignments([]).interval_s is None


@pytest.mark.parametrize("samples", [-3000, 0, 1760])
@pytest.mark.parametrize("vocoded", [False, True])
@pytest.mark.parametrize("more", [-9000, 0, 20000])
def test_looking_at_a_minute_at_a_time_finds_what_looking_at_all_finds(monkeypatch, samples, vocoded, more):
    x = voice(2, 8.0)
    estimate = np.concatenate([shifted(x, samples), 0.1 * voice(3, 2.0)])[: len(x) + more]
    estimate = phases_redrawn(estimate) if vocoded else estimate + 0.1 * noise_for(estimate)
    whole = delay_evidence(reference=x, estimate=estimate, rate=RATE)
    monkeypatch.setattr(delay, "BLOCK_S", 3.1)
    parts = delay_evidence(reference=x, estimate=estimate, rate=RATE)
    assert whole.own.seconds == pytest.approx(samples / RATE, abs=0.006 if vocoded else 1e-9)
    assert parts.own.seconds == pytest.approx(whole.own.seconds, abs=0.002 if vocoded else 1e-9)
    assert abs(int(parts.bands.argmax()) - int(whole.bands.argmax())) <= 1


def test_memory_does_not_grow_with_length(monkeypatch):
    import tracemalloc

    rate = 2000
    monkeypatch.setattr(delay, "BLOCK_S", 10.0)
    taken = []
    for seconds in (30, 300):
        x = np.random.default_rng(0).normal(size=seconds * rate).astype(np.float32)
        y = shifted(x, 150)
        tracemalloc.start()
        found = estimate_delay(reference=x, estimate=y, rate=rate)
        taken.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert found.seconds == 0.075
    assert taken[1] < 1.1 * taken[0]
