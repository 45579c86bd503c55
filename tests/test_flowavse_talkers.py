"""The shipped weights do what they were trained for, on a validation person in white noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmark.datasets.talkers.identity import people
from benchmark.datasets.talkers.lips import filmed
from benchmark.datasets.talkers.sentences import sentences
from benchmark.datasets.talkers.voice import speak
from benchmark.media.mixing import Mixture, mix, noise
from benchmark.runs.evaluation import plan_method
from benchmark.types import Audio, Example, FaceVideo, Sample


@pytest.fixture(scope="module")
def example() -> tuple[Example, Mixture]:
    person = people("val")[0]
    speech = speak(person, sentences(person.id, 1)[0])
    frames = filmed(person, speech) @ np.array([0.299, 0.587, 0.114])
    clean = speech.audio.samples
    mixture = mix(clean, noise("white", len(clean), 1), 0.0, 2)
    inputs = {"noisy": Audio(mixture.noisy, 16_000), "video": FaceVideo(np.rint(frames).astype(np.uint8))}
    return Example(Sample(person.id, person.id, {}), 0, 0, inputs), mixture


def ratio_db(estimate: np.ndarray, clean: np.ndarray) -> float:
    target = (estimate @ clean) / (clean @ clean) * clean
    return float(10 * np.log10(np.sum(target**2) / np.sum((target - estimate) ** 2)))


@pytest.mark.parametrize("name", ["flowavse", "avdiffuss", "sgmse"])
def test_white_noise_is_taken_away(name: str, example: tuple[Example, Mixture]) -> None:
    given, mixture = example
    plan = plan_method(name)
    assert plan.weights is not None and plan.weights.stat().st_size < 8 * 2**20
    method = plan.kind(plan.settings.config, Path(plan.weights))
    method.load("cpu")
    (output,) = method.generate([given])
    assert isinstance(output, np.ndarray)
    assert abs(ratio_db(mixture.noisy, mixture.clean)) < 0.5
    assert ratio_db(output, mixture.clean) > 4
