"""Time stamps decide where pictures and samples lie; their rounding, jitter and new beginnings move nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from films import VIDEO, film, noise, numbers

from benchmark.errors import MediaError
from benchmark.media import read_audio, read_video, sound_delay
from benchmark.media.time_stamps import Clock, frames_on_screen, sound_gaps
from benchmark.remarks import remarks

RANDOM = np.random.default_rng(5)


# ---- rules


@pytest.mark.parametrize("own_fps", [12.0, 23.976, 24.0, 29.97, 30.0, 50.0])
def test_another_rate_shows_what_is_on_screen(own_fps: float) -> None:
    times = np.arange(200) / own_fps
    found = frames_on_screen(times, own_fps, 25)
    expected = [max(k for k in range(200) if times[k] <= slot / 25 + 4e-5) for slot in range(len(found))]
    assert found.tolist() == expected and abs(len(found) - 200 / own_fps * 25) <= 1


@pytest.mark.parametrize("jitter_s", [0.0, 0.0005, 0.009])
def test_a_constant_rate_is_left_as_it_is(jitter_s: float) -> None:
    times = 0.064 + np.arange(10_000) / 25 + RANDOM.uniform(-jitter_s, jitter_s, 10_000)
    assert frames_on_screen(times, 25.0, 25).tolist() == list(range(10_000))
    assert frames_on_screen(np.round(times, 3), 24.99, 25).tolist() == list(range(10_000))
    if jitter_s < 0.005:
        times[5000:] += 0.04
        assert frames_on_screen(times, 25.0, 25).tolist() == [*range(5000), *range(4999, 10_000)]


def test_uneven_pictures_that_average_the_rate_are_shown_at_their_times() -> None:
    times = np.sort(RANDOM.uniform(0, 40, 1000))
    times -= times[0]
    found = frames_on_screen(times, 25.0, 25)
    for slot, index in enumerate(found.tolist()):
        assert times[index] <= slot / 25 + 0.01
        assert index == 999 or times[index + 1] > slot / 25 + 0.01


def test_a_rate_that_is_slightly_off_does_not_drift() -> None:
    found = frames_on_screen(np.arange(15_000) / 24.99, 24.99, 25)
    assert np.abs(found / 24.99 - np.arange(len(found)) / 25).max() < 0.05


def test_a_clock_that_begins_anew_goes_on() -> None:
    clock = Clock(may_jump=True)
    stamps = [95_443.0, 95_443.5, None, 0.2, 0.7, 3000.0, 3000.5]
    assert [clock.at(stamp, 0.5) - 95_443 for stamp in stamps] == [0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0]
    assert clock.restarts == 2
    for stray in (900.0, -900.0, None):
        clock = Clock()
        stamps = [1.0, 1.5, stray, 2.5, 3.0, None]
        pairs = zip(stamps, stamps[1:], strict=False)
        assert [clock.at(stamp, 0.5, following) for stamp, following in pairs] == [1.0, 1.5, 2.0, 2.5, 3.0]
        assert clock.restarts == 0
    clock = Clock()
    assert [clock.at(stamp, 0.5) for stamp in (1.0, 0.9, 61.0)] == [1.0, 1.0, 61.0] and clock.restarts == 0


def pieces(count: int = 200, rate: int = 16_000) -> tuple[np.ndarray, list[int]]:
    """Stamps of sound in pieces of 20 ms."""
    return 7.0 + np.arange(count) * 0.02, [rate // 50] * count


def test_stamps_of_sound_that_are_rounded_drift_a_little_or_err_alone_move_nothing() -> None:
    times, lengths = pieces()
    late = times.copy()
    late[50] += 1.0
    last = times.copy()
    last[-1] += 3600
    for stamps in (times, last, np.round(times, 2), times + RANDOM.uniform(-0.02, 0.02, 200), times * 1.0001, late):
        assert not sound_gaps(stamps, lengths, 16_000).any()


def test_a_gap_in_the_sound_is_as_long_as_the_stamps_say() -> None:
    times, lengths = pieces()
    times[60:] += 1.6
    times[120:] += 0.2
    gaps = sound_gaps(times, lengths, 16_000)
    assert gaps[60] == 25_600 and gaps[120] == 3200 and np.count_nonzero(gaps) == 2
    times[150:] -= 0.3
    gaps = sound_gaps(np.maximum.accumulate(times), lengths, 16_000)
    assert abs(gaps[121:].sum() + 4800) <= 800 and gaps[121:].max() == 0


def test_a_slow_drift_is_made_up_for_in_steps() -> None:
    times, lengths = pieces(5000)
    gaps = sound_gaps(7 + (times - 7) * 1.01, lengths, 16_000)
    lead = (times - 7) * 0.01 - np.cumsum(gaps) / 16_000
    assert np.abs(lead).max() <= 0.0501 and np.count_nonzero(gaps) > 10


# ---- files


@pytest.mark.parametrize("name", VIDEO)
def test_a_video_of_constant_rate_comes_frame_by_frame(tmp_path: Path, name: str) -> None:
    path = film(tmp_path / name, *VIDEO[name])
    with remarks() as heard:
        assert numbers(read_video(path, grey=True)) == list(range(75))
        samples = read_audio(path, None)
    assert abs(samples.seconds - 3) < 0.1 and heard == []


@pytest.mark.parametrize("name", [name for name in VIDEO if name not in ("a.mpg", "a.avi", "a.mov")])
def test_a_camera_that_stalls_shows_its_last_picture_and_lost_packets_are_silent(tmp_path: Path, name: str) -> None:
    kept = [k for k in range(75) if not 20 <= k < 60]
    path = film(tmp_path / name, *VIDEO[name], times=[k / 25 for k in kept], lost=lambda time: 1 <= time < 2)
    with remarks() as heard:
        shown = numbers(read_video(path, grey=True))
        sound = read_audio(path, None)
    # The film's pictures are numbered as they were written: 0 to 19, and 20 to 34 from 2.4 s on.
    assert shown == [*range(20), *[19] * 40, *range(20, 35)]
    assert len(heard) == 2 and "no pictures for up to 1.64 s" in heard[0] and "sound is missing for" in heard[1]
    whole = noise(sound.rate, 3.0)
    tail = whole[round(2.2 * sound.rate) : round(2.8 * sound.rate)]
    found = int(np.correlate(sound.samples, tail, "valid").argmax()) / sound.rate
    first = film(tmp_path / f"whole_{name}", *VIDEO[name])
    padding = int(np.correlate(read_audio(first, None).samples, tail, "valid").argmax()) / sound.rate - 2.2
    assert found - padding == pytest.approx(2.2, abs=0.02)
    assert not sound.samples[round(1.3 * sound.rate) : round(1.8 * sound.rate)].any()


def test_samples_behind_a_gap_lie_exactly(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mkv", *VIDEO["a.mkv"], lost=lambda time: 1.0 <= time < 2.0)
    found, whole = read_audio(path, None).samples, noise(16_000, 3.0)
    assert abs(len(found) - 48_000) <= 16  # the clock of Matroska ticks in milliseconds
    tail = found[-8000:]
    at = int(np.correlate(whole, tail, "valid").argmax())
    assert abs(at - 40_000) <= 16 and np.abs(tail - whole[at : at + 8000]).max() < 1e-4


def test_pictures_at_uneven_times(tmp_path: Path) -> None:
    times = np.cumsum([0, *([0.03, 0.03, 0.06] * 24)])
    path = film(tmp_path / "a.mkv", "ffv1", None, times=times.tolist(), clock=1000)
    shown = numbers(read_video(path, grey=True))
    expected = [int(np.searchsorted(times, slot / 25 + 0.0101, side="right")) - 1 for slot in range(len(shown))]
    assert shown == [min(number, 250) for number in expected] and abs(len(shown) - times[-1] * 25 - 1) < 1


def test_clocks_that_wrap_or_begin_anew_lose_nothing(tmp_path: Path) -> None:
    wrapped = film(tmp_path / "wrap.ts", *VIDEO["a.ts"], start=2**33 / 90_000 - 2.0)
    with remarks() as heard:
        assert numbers(read_video(wrapped, grey=True)) == list(range(75)) and heard == []
        assert abs(read_audio(wrapped, None).seconds - 3) < 0.1 and heard == []
    one = film(tmp_path / "one.ts", *VIDEO["a.ts"]).read_bytes()
    (tmp_path / "two.ts").write_bytes(one + one)
    with remarks() as heard:
        assert numbers(read_video(tmp_path / "two.ts", grey=True)) == [*range(75), *range(75)]
        assert abs(read_audio(tmp_path / "two.ts", None).seconds - 6) < 0.2
    assert len(heard) == 2 and all("begin anew" in text for text in heard)


def test_stamps_hours_apart_are_no_gap_but_an_error(tmp_path: Path) -> None:
    times = [0.0, 0.04, 0.08, 40_000.0]
    path = film(tmp_path / "a.mkv", "ffv1", None, times=times, clock=1000)
    with pytest.raises(MediaError, match="longer than 4 hours, by its time stamps"):
        read_video(path)


def test_the_delay_of_the_sound_is_of_the_first_stamps(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mkv", *VIDEO["a.mkv"], times=[0.2 + k / 25 for k in range(70)])
    assert sound_delay(path) == pytest.approx(-0.2, abs=0.002)
