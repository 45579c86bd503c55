from dataclasses import replace

import numpy as np
import pytest

from benchmark.errors import MediaError, UnknownName, UsageError
from benchmark.media import write_audio
from benchmark.tasks import Protocol, crop_speech, get_task, with_protocol
from benchmark.types import Audio, Sample

RATE = 16_000


def recordings(folder, *seconds):
    paths = []
    for number, length in enumerate(seconds):
        path = folder / f"{number}.wav"
        ramp = np.linspace(0.1 * number, 0.1 * number + 0.09, int(length * RATE), dtype=np.float32)
        write_audio(path, Audio(ramp, RATE))
        paths.append(path)
    return Sample("s", "s", {"speech": tuple(paths)})


def test_a_long_recording_is_cropped_inside_itself(tmp_path):
    sample = recordings(tmp_path, 0.5, 3.0)
    starts = []
    for seed in range(40):
        crop = crop_speech(sample, 2.0, RATE, seed).samples
        assert len(crop) == 2 * RATE
        assert np.all((crop >= 0.0999) & (crop <= 0.1901)), "the 3 s recording alone is long enough"
        starts.append(crop[0])
    assert min(starts) < 0.11
    assert max(starts) > 0.12, "crops start all over the second that is free"


def test_short_recordings_are_joined_until_there_is_enough(tmp_path):
    crop = crop_speech(recordings(tmp_path, 1.0, 1.0, 1.0), 2.5, RATE, 0).samples
    assert len(crop) == int(2.5 * RATE)


def test_a_speaker_with_too_little_gives_all(tmp_path):
    assert len(crop_speech(recordings(tmp_path, 0.5, 0.5), 5.0, RATE, 0).samples) == RATE


def test_all_methods_hear_the_same_and_repeats_differ(tmp_path):
    sample, task = recordings(tmp_path, 3.0), get_task("speech2face")
    protocol = Protocol(1.0, 10)
    first = task.open(sample, 0, protocol, 0, "weights of one")
    other = task.open(sample, 0, protocol, 0, "weights of another")
    assert np.array_equal(first.inputs["speech"].samples, other.inputs["speech"].samples)
    assert first.seed != other.seed
    again = task.open(sample, 1, protocol, 0, "weights of one")
    assert not np.array_equal(first.inputs["speech"].samples, again.inputs["speech"].samples)


def test_whole_recordings(tmp_path):
    assert len(crop_speech(recordings(tmp_path, 1.7), None, RATE, 0).samples) == int(1.7 * RATE)


def test_no_recording_is_named(tmp_path):
    with pytest.raises(MediaError, match="'s' has no recording"):
        crop_speech(Sample("s", "s", {"speech": ()}), 1.0, RATE, 0)


@pytest.mark.parametrize(("seconds", "repeats"), [(-1, None), (0.01, None), (None, 0), (9999, None)])
def test_bad_protocols_are_usage_errors(seconds, repeats):
    with pytest.raises(UsageError, match="expected"):
        with_protocol(get_task("speech2face"), seconds, repeats)


def test_zero_seconds_means_whole():
    assert with_protocol(get_task("speech2face"), 0, None) == replace(Protocol(), seconds=None)


def test_an_unknown_task_names_the_nearest():
    with pytest.raises(UnknownName, match="Did you mean 'speech2face'"):
        get_task("speech2fac")
