"""lip_sync: known shifts of mouths and speech, what has none, and the mouths of Talkers and of real videos."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from benchmark.results.schema import Result
from metrics.metric import Failed, SpeechItem, Undefined
from metrics.speech.lip_sync import FPS, LipSync, peaks

ROOT = Path(__file__).parent.parent
RATE = 16_000
METRIC = LipSync.create(None)


def syllables(seed, seconds=2.6):
    """When a mouth opens, and how loud it then is, as a function of time: a syllable every 120 to 300 ms."""
    random = np.random.default_rng(seed)
    centres = np.cumsum(random.uniform(0.12, 0.3, int(seconds / 0.12)))
    sizes = random.uniform(0.3, 1.0, len(centres))

    grid = np.arange(-0.5, seconds + 0.5, 0.002)
    curve = (sizes * np.exp(-(((grid[:, None] - centres) / 0.05) ** 2))).sum(axis=1)
    return lambda time: np.interp(time, grid, curve)


def spoken(seed, late_s=0.0, seconds=2.6, rate=RATE):
    """Noise that is as loud as the mouth is open, later by `late_s`."""
    time = np.arange(int(seconds * rate)) / rate
    return syllables(seed, seconds)(time - late_s) * np.random.default_rng(seed + 1000).normal(size=len(time)) * 0.1


def filmed(seed, seconds=2.6):
    """The mouth in each frame, at the middle of its 40 ms."""
    return syllables(seed, seconds)((np.arange(int(seconds * FPS)) + 0.5) / FPS)


def items(count=12, late_s=0.0, other=0, **more):
    return [
        SpeechItem(str(n), spoken(n + other, late_s), RATE, opening=filmed(n), **more) for n in range(count)
    ]  # fmt: skip


def pooled(rows, weights=None):
    statistics = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    found = METRIC.aggregate(statistics, np.ones((1, len(rows))) if weights is None else np.asarray(weights))
    return {name: values if len(values) > 1 else float(values[0]) for name, values in found.items()}


@pytest.mark.parametrize("late_ms", [-200, -125, -40, 0, 40, 90, 200])
def test_speech_that_is_late_by_a_known_time_is_found_to_be(late_ms):
    found = pooled(METRIC.measure(items(late_s=late_ms / 1000)))
    assert found["lip_sync_ms"] == pytest.approx(late_ms, abs=4)
    assert found["lip_sync_strength"] > 0.7


def test_speech_of_others_goes_with_no_mouth():
    own, others = (pooled(METRIC.measure(items(30, other=shift))) for shift in (0, 1))
    assert np.isnan(others["lip_sync_ms"]) and others["lip_sync_strength"] < 0.25 < 0.7 < own["lip_sync_strength"]


def test_correlations_are_those_of_numpy():
    """Row by row: Pearson's correlation of the two curves, the speech shifted, by its definition."""
    from metrics.speech.lip_sync import level, without_slow

    item = items(1, late_s=0.03)[0]
    (row,) = METRIC.measure([item])
    sound, frames = level(item.estimate), np.arange(len(item.opening))
    count = min(len(sound), 4 * len(frames))
    steps = (np.arange(count) + 0.5) / 100
    mouth = without_slow(np.interp(steps, (frames + 0.5) / FPS, item.opening))
    sound = without_slow(sound[:count])
    norm = np.sqrt((mouth**2).sum() * (sound**2).sum())
    for lag in (-50, -13, 0, 3, 50):
        first, second = max(0, -lag), max(0, lag)
        length = count - abs(lag)
        expected = (mouth[first : first + length] * sound[second : second + length]).sum() / norm
        assert row["correlation"][50 + lag] == pytest.approx(expected, abs=1e-12)
    own = [np.correlate(curve, curve, "full") for curve in (mouth, sound)]
    assert row["variance"] == pytest.approx((own[0] * own[1]).sum() / norm**2 / count)
    assert row["seconds"] == pytest.approx(count / 100)


def test_the_variance_is_that_of_unrelated_pairs():
    rows = METRIC.measure([item for other in range(1, 8) for item in items(8, other=other * 50)])
    measured = np.mean([row["correlation"][50] ** 2 for row in rows])
    assert np.mean([row["variance"] for row in rows]) == pytest.approx(measured, rel=0.3)


def test_level_rate_and_polarity_do_not_matter():
    import soxr

    plain = pooled(METRIC.measure(items(6, late_s=0.05)))
    for change in (
        lambda x, rate: (x * 1e-4, rate),
        lambda x, rate: (-x * 1e3, rate),
        lambda x, rate: (soxr.resample(x, rate, 48_000), 48_000),
    ):
        changed = []
        for item in items(6, late_s=0.05):
            samples, rate = change(item.estimate, item.rate)
            changed.append(SpeechItem(item.id, samples, rate, opening=3 * item.opening + 1))
        found = pooled(METRIC.measure(changed))
        assert found["lip_sync_ms"] == pytest.approx(plain["lip_sync_ms"], abs=0.5)
        assert found["lip_sync_strength"] == pytest.approx(plain["lip_sync_strength"], abs=0.01)


def test_frames_without_a_face_are_bridged_and_half_of_them_are_too_many():
    whole, gaps = items(8), items(8)
    for item in gaps:
        item.opening[10:14] = np.nan
    near, found = (pooled(METRIC.measure(which)) for which in (whole, gaps))
    assert found["lip_sync_ms"] == pytest.approx(near["lip_sync_ms"], abs=8)
    blind = items(1)[0]
    blind.opening[: len(blind.opening) // 2 + 1] = np.nan
    (row,) = METRIC.measure([blind])
    assert row == Undefined("a face is found in 32 of 65 frames; at least half are needed")


def test_what_cannot_be_measured_says_why():
    speech, mouth = spoken(0), filmed(0)
    reasons = {
        "no video": SpeechItem("", speech, RATE),
        "0 of 0 frames": SpeechItem("", speech, RATE, opening=np.zeros(0)),
        "0.48 s": SpeechItem("", speech, RATE, opening=mouth[:12]),
        "0.50 s": SpeechItem("", speech[: RATE // 2], RATE, opening=mouth),
        "estimate is silent": SpeechItem("", 0 * speech, RATE, opening=mouth),
        "mouth does not move": SpeechItem("", speech, RATE, opening=0 * mouth + 0.3),
        "empty": SpeechItem("", speech[:0], RATE, opening=mouth),
    }
    for reason, item in reasons.items():
        (row,) = METRIC.measure([item])
        assert isinstance(row, Undefined | Failed) and reason in row.reason


def test_a_mouth_that_stands_still_does_not_move_by_rounding():
    speech = spoken(0)
    for opening in np.random.default_rng(0).random(20):
        (row,) = METRIC.measure([SpeechItem("", speech, RATE, opening=np.full(len(filmed(0)), opening))])
        assert row == Undefined("the mouth does not move")


def test_clips_weigh_by_their_length_and_a_draw_that_leaves_one_out_is_as_if_it_were_not_there():
    rows = METRIC.measure(
        [SpeechItem("", spoken(n, s / 1000, t), RATE, opening=filmed(n, t)) for n, (s, t) in enumerate(
            [(0, 2.0), (0, 2.0), (0, 2.0), (0, 2.0), (0, 2.0), (0, 2.0), (20, 8.0), (20, 8.0)]
        )]
    )  # fmt: skip
    found = pooled(rows)
    assert 10 < found["lip_sync_ms"] < 20  # 12 s say 0, 16 s say 20
    draws = pooled(rows, [[1] * 6 + [0] * 2, [0] * 6 + [1] * 2, [0] * 8])
    alone = [pooled(rows[:6]), pooled(rows[6:])]
    for name in found:
        np.testing.assert_allclose(draws[name][0], alone[0][name])
        assert np.isnan(draws[name][2])
    assert draws["lip_sync_strength"][1] == pytest.approx(alone[1]["lip_sync_strength"])


def test_the_peak_between_steps_is_that_of_the_parabola_through_three():
    lags = np.arange(-50, 51)
    curves = np.stack([1 - ((lags - place) / 60) ** 2 for place in (-12.3, 0.0, 7.45)])
    place, height = peaks(curves)
    assert place == pytest.approx([-12.3, 0.0, 7.45])
    assert height == pytest.approx(curves.max(axis=1))


# -- mouths in videos -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def talkers():
    """Four people of Talkers saying two sentences each: speech, and how far their mouths are open in each frame."""
    from benchmark.datasets.talkers.identity import person
    from benchmark.datasets.talkers.lips import mouth_track
    from benchmark.datasets.talkers.sentences import sentences
    from benchmark.datasets.talkers.voice import speak

    found = []
    for number in range(90_000, 90_004):
        who = person(number)
        for sentence in sentences(who.id, 2):
            speech = speak(who, sentence)
            opening = np.array([mouth.open for mouth in mouth_track(speech)])
            found.append((speech, opening))
    return found


@pytest.mark.parametrize("late_ms", [-200, 0, 120])
def test_talkers_true_times_are_found_again(talkers, late_ms):
    """Phones are loudest a little before the mouth is widest: that much clean speech is early."""
    shift = late_ms * RATE // 1000

    def moved(x):
        return np.concatenate([np.zeros(max(shift, 0)), x, np.zeros(max(-shift, 0))])[max(-shift, 0) :][: len(x)]

    rows = METRIC.measure(
        [SpeechItem("", moved(speech.audio.samples), RATE, opening=mouth) for speech, mouth in talkers]
    )
    found = pooled(rows)
    assert found["lip_sync_ms"] == pytest.approx(late_ms - 10, abs=15)
    assert found["lip_sync_strength"] > 0.6
    wrong = METRIC.measure(
        [
            SpeechItem("", moved(talkers[n - 3][0].audio.samples), RATE, opening=mouth)
            for n, (_, mouth) in enumerate(talkers)
        ]
    )
    assert np.isnan(pooled(wrong)["lip_sync_ms"]) and pooled(wrong)["lip_sync_strength"] < 0.5


@pytest.mark.skipif("FACEVOICE_REALDATA" not in os.environ, reason="needs real recordings")
def test_real_videos_are_in_step_and_their_landmarks_tell_it():
    from benchmark.media import read_audio
    from benchmark.media.mouth_opening import mouth_opening

    paths = sorted((Path(os.environ["FACEVOICE_REALDATA"]) / "grid").glob("*.mpg"))[:5]
    mouths = [mouth_opening(path) for path in paths]
    sounds = [read_audio(path, RATE).samples for path in paths]
    found = pooled(METRIC.measure([SpeechItem("", s, RATE, opening=m) for s, m in zip(sounds, mouths, strict=True)]))
    assert found["lip_sync_ms"] == pytest.approx(-15, abs=25) and found["lip_sync_strength"] > 0.45
    turned = zip(sounds[1:] + sounds[:1], mouths, strict=True)
    wrong = pooled(METRIC.measure([SpeechItem("", s, RATE, opening=m) for s, m in turned]))
    assert np.isnan(wrong["lip_sync_ms"]) and wrong["lip_sync_strength"] < 0.35


@pytest.mark.parametrize("name", ["lip2speech", "av_enhancement"])
def test_a_run_hands_the_metric_the_mouth_of_its_sample_and_no_other_metric_waits_for_it(name, tmp_path, talkers):
    from benchmark.datasets.talkers.identity import person
    from benchmark.datasets.talkers.lips import filmed
    from benchmark.media import write_audio, write_video
    from benchmark.media.mouth_opening import mouth_opening
    from benchmark.runs.directory import Prediction
    from benchmark.runs.scoring import SpeechReader
    from benchmark.tasks import Protocol, get_task
    from benchmark.types import Sample
    from metrics.speech.si_sdr import SiSdr

    speech = talkers[0][0]
    video, sound = tmp_path / "v.mp4", tmp_path / "s.wav"
    write_video(video, filmed(person(90_000), speech), FPS, speech.audio)
    write_audio(sound, speech.audio)
    sample = Sample("a", "a", {"video": (video,)}, {"speech": (sound,)}, {"noise": "white", "snr_db": 0.0})
    task = get_task(name)
    for seconds in (None, 3.0):
        reader = SpeechReader(task, Protocol(seconds, 1), 0, [sample])
        item = reader(Prediction("a", "a", 0, "ok", "s.wav"), tmp_path)
        assert reader.for_metric(SiSdr(), item).opening is None
        seen, whole = reader.for_metric(METRIC, item).opening, mouth_opening(video)
        length = len(whole) if seconds is None else 75
        np.testing.assert_array_equal(seen, whole[np.arange(length) % len(whole)])  # a longer clip begins again
        assert "|mouth:dlib68" in reader.signature(METRIC) and "mouth" not in reader.signature(SiSdr())
    without = Sample("b", "b", {}, {"speech": (sound,)}, {"noise": "white", "snr_db": 0.0})
    with pytest.raises(Exception, match="0 files as its video"):
        task.opening(without, Protocol(None, 1), 0)


def test_both_numbers_have_one_name_in_tables_old_files_included():
    assert [report.title for report in LipSync.reports] == ["LipSync", "LipSync r"]
    kept = sorted((ROOT / "leaderboards" / "results" / "lip2speech").rglob("*.json"))
    titles = {
        item.title
        for path in kept
        for item in Result.model_validate_json(path.read_text(encoding="utf-8")).aggregates
        if item.metric == "lip_sync"
    }
    assert titles == {"LipSync", "LipSync r"}


def test_where_there_is_no_offset_it_is_told_that_few_clips_seldom_have_one():
    found = pooled(METRIC.measure(items(3, other=40)))
    assert np.isnan(found["lip_sync_ms"]) and np.isfinite(found["lip_sync_strength"])
    assert "few clips seldom have one" in METRIC.why_undefined("lip_sync_ms")
