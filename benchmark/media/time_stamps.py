"""Where pictures and samples lie: time stamps decide, not their number.

Recordings have holes: a camera stalls, packets are lost, silence is not sent. What comes behind a hole keeps its time;
the hole shows the last picture, and sounds as silence. Time stamps are rounded, jitter and may begin anew, which moves
nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

BACK_S = 0.5
"""A stamp that goes back by more than this begins a new clock, unless the next one takes no notice of it."""
JUMP_S = 10.0
"""A clock that may begin anew (MPEG streams are cut and joined) does so where it jumps by more; as in ffmpeg."""
SOUND_SLACK_S = 0.05
"""So far may a sample lie from its stamp: half the delay at which lips begin to look late."""
AGREED_S = 0.5
"""A shift of the sound counts where all stamps of so long a time agree on it: one late stamp is no gap."""
SLACK = 0.25
"""So far, in pictures, may a picture lie from its place in a video of constant rate."""
GUESSED_SLACK = 0.55
"""The same in a programme stream, where few pictures have a stamp and ffmpeg guesses the others, by one too late."""
LONG, LONG_S = 2.5, 0.1
"""A gap between pictures is longer than so many usual intervals, and so many seconds."""


class Clock:
    """Makes stamps rise: fills those that are missing or wrong, and goes on where the clock begins anew.

    >>> clock = Clock()
    >>> [clock.at(time, 1.0) for time in (5.0, None, 7.0, 2.0, 3.0)]
    [5.0, 6.0, 7.0, 8.0, 9.0]
    >>> clock.restarts
    1
    """

    def __init__(self, may_jump: bool = False) -> None:
        """
        Args:
            may_jump: whether a jump ahead by more than JUMP_S is a new clock, and not a gap.
        """
        self.may_jump = may_jump
        self.restarts = 0
        self._shift = 0.0
        self._last: float | None = None
        self._end = 0.0

    def at(self, stamp: float | None, seconds: float, following: float | None = None) -> float:
        """The time of the next picture or piece of sound.

        Args:
            stamp: its own.
            seconds: how long it lasts.
            following: the stamp behind it.
        """
        time = self._end if stamp is None else stamp + self._shift
        if self._last is not None and following is not None and abs(time - self._end) > BACK_S:
            on_time = abs(following + self._shift - self._end - seconds) <= BACK_S
            time = self._end if on_time else time
        if self._last is not None:
            if time < self._last - BACK_S or (self.may_jump and time > self._end + JUMP_S):
                self.restarts += 1
                self._shift += self._end - time
                time = self._end
            time = max(time, self._last)
        self._last, self._end = time, time + seconds
        return time


def frames_on_screen(times: np.ndarray, own_fps: float, fps: float, slack: float = SLACK) -> np.ndarray:
    """Indices of the frames on screen at 0, 1/fps, 2/fps ... seconds after the first.

    A video of this very rate, whose stamps are `slack` pictures from it at most, is shown frame by frame.

    Args:
        times: `[T]`, seconds, rising.
        own_fps: the video's average rate.
    """
    times = times - times[0]
    usual = usual_interval(times, own_fps)
    same = min(abs(own_fps - fps), abs(1 / usual - fps)) <= 1e-3 * fps
    if same and np.ptp(times - np.arange(len(times)) / fps) <= 2 * slack / fps:
        return np.arange(len(times))
    # The average rate counts holes in, unlike the usual interval, which is rounded to the container's clock.
    last = usual if usual * own_fps < 0.9 else 1 / own_fps
    count = max(1, round((times[-1] + last) * fps))
    # Else a thousandth of a frame of tolerance: time stamps are rounded to the container's clock.
    late = (SLACK if same else 1e-3) / fps
    return np.clip(np.searchsorted(times, np.arange(count) / fps + late, side="right") - 1, 0, len(times) - 1)


def usual_interval(times: np.ndarray, own_fps: float) -> float:
    """Seconds from one picture to the next, as most are apart; by the average rate where there are too few."""
    middle = float(np.median(np.diff(times))) if len(times) > 2 else 0.0
    return middle if middle > 0 else 1 / own_fps


def picture_gaps(times: np.ndarray, own_fps: float) -> np.ndarray:
    """Lengths, in seconds, of the intervals in which pictures are missing."""
    intervals = np.diff(times)
    return intervals[intervals > max(LONG_S, LONG * usual_interval(times, own_fps))]


def sound_gaps(times: Sequence[float], lengths: Sequence[int], rate: int) -> np.ndarray:
    """Samples of silence before each piece of sound; negative where it begins before the last one ends.

    Args:
        times: when each piece begins, in seconds, rising.
        lengths: its samples.
    """
    gaps = np.zeros(len(times), np.int64)
    if not len(times):
        return gaps
    starts = np.concatenate([[0], np.cumsum(lengths[:-1], dtype=np.int64)])
    stamps = np.asarray(times, np.float64)
    lead = np.rint((stamps - stamps[0]) * rate).astype(np.int64) - starts
    slack = SOUND_SLACK_S * rate
    if np.abs(lead).max() <= slack:
        return gaps
    shift = 0
    for number in np.flatnonzero(np.abs(np.diff(lead, prepend=0)) > 0):
        if abs(lead[number] - shift) <= slack:
            continue
        agreed = lead[number : np.searchsorted(stamps, stamps[number] + AGREED_S, side="right")] - shift
        if len(times) - 1 == number and agreed[0] > JUMP_S * rate:  # nothing behind it bears it out
            continue
        if agreed.min() > slack or agreed.max() < -slack:
            gaps[number] = lead[number] - shift
            shift = int(lead[number])
    return gaps
