"""The real-time factor: a sleep of known length, warm-up left out, total over total."""

import time

import numpy as np
import pytest

from benchmark.runs.timing import timed
from metrics.metric import Failed, SpeechItem, Undefined
from metrics.speech.rtf import RealTimeFactor


def test_a_call_of_known_length_has_its_factor():
    timing = timed(lambda: time.sleep(0.02), repeats=3)
    assert len(timing.times_s) == 3
    assert 0.02 <= timing.median_s < 0.2
    assert timing.rtf(2.0) == timing.median_s / 2


def test_the_first_call_does_not_count():
    calls = []

    def slow_at_first():
        calls.append(0)
        time.sleep(0.2 if len(calls) == 1 else 0.001)

    assert max(timed(slow_at_first, repeats=3).times_s) < 0.15
    assert len(calls) == 4


@pytest.mark.parametrize("wrong", [{"repeats": 0}, {"warm_up": -1}])
def test_wrong_counts_are_refused(wrong):
    with pytest.raises(ValueError, match="repeats >= 1"):
        timed(lambda: None, **wrong)
    with pytest.raises(ValueError, match="above 0 s"):
        timed(lambda: None).rtf(0.0)


def test_the_rate_of_several_is_total_over_total():
    metric = RealTimeFactor.create(None)
    items = [
        SpeechItem("short", np.zeros(8000, np.float32), 16000, seconds=1.0),
        SpeechItem("long", np.zeros(160_000, np.float32), 16000, seconds=1.0),
        SpeechItem("unknown", np.zeros(8000, np.float32), 16000),
        SpeechItem("empty", np.zeros(0, np.float32), 16000, seconds=1.0),
    ]
    rows = metric.measure(items)
    assert isinstance(rows[2], Undefined) and isinstance(rows[3], Failed)
    stacked = {name: np.array([row[name] for row in rows[:2]]) for name in rows[0]}
    assert metric.aggregate(stacked, np.ones((1, 2)))["rtf"][0] == pytest.approx(2.0 / 10.5)
