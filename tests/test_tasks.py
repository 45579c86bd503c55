from dataclasses import replace

import numpy as np
import pytest

from benchmark.errors import UnknownName, UsageError
from benchmark.media import write_audio
from benchmark.tasks import Protocol, get_task, with_protocol
from benchmark.types import Audio, Sample

RATE = 16_000


def recording(folder, seconds):
    path = folder / "a.wav"
    write_audio(path, Audio(np.linspace(0.1, 0.19, int(seconds * RATE), dtype=np.float32), RATE))
    return Sample("s", "s", {"speech": (path,)})


def test_all_methods_hear_the_same_and_repeats_differ(tmp_path):
    sample, task = recording(tmp_path, 3.0), get_task("speech2face")
    protocol = Protocol(1.0, 10)
    first = task.open(sample, 0, protocol, 0, "weights of one")
    other = task.open(sample, 0, protocol, 0, "weights of another")
    assert np.array_equal(first.inputs["speech"].samples, other.inputs["speech"].samples)
    assert first.seed != other.seed
    again = task.open(sample, 1, protocol, 0, "weights of one")
    assert not np.array_equal(first.inputs["speech"].samples, again.inputs["speech"].samples)


@pytest.mark.parametrize(("seconds", "repeats"), [(-1, None), (0.01, None), (None, 0), (9999, None)])
def test_bad_protocols_are_usage_errors(seconds, repeats):
    with pytest.raises(UsageError, match="expected"):
        with_protocol(get_task("speech2face"), seconds, repeats)


def test_zero_seconds_means_whole():
    assert with_protocol(get_task("speech2face"), 0, None) == replace(Protocol(), seconds=None)


def test_an_unknown_task_names_the_nearest():
    with pytest.raises(UnknownName, match="Did you mean 'speech2face'"):
        get_task("speech2fac")
