"""Floor and ceiling of enhancement: they hand through what they are given."""

from __future__ import annotations

import numpy as np
import pytest

from baselines.reference_speech import Clean, Noisy, ReferenceConfig
from benchmark.errors import MethodError
from benchmark.registry import methods
from benchmark.tasks import TASKS
from benchmark.types import Audio, Example, Sample

RATE = 16_000


def sound(seed: int, length: int = 800) -> Audio:
    return Audio(np.random.default_rng(seed).standard_normal(length).astype(np.float32), RATE)


def example(name: str, noisy: Audio, truth: Audio | None) -> Example:
    return Example(Sample(name, name, {}), 0, 0, {"noisy": noisy}, truth)


def loaded(kind: type) -> Noisy:
    method = kind(ReferenceConfig())
    method.load("cpu")
    return method


def test_each_hands_its_own_signal_through_in_order() -> None:
    examples = [example("a", sound(0), sound(1)), example("b", sound(2, 500), sound(3, 500))]
    for kind, seeds in ((Noisy, (0, 2)), (Clean, (1, 3))):
        outputs = loaded(kind).generate(examples)
        for output, seed, length in zip(outputs, seeds, (800, 500), strict=True):
            assert output.dtype == np.float32 and np.array_equal(output, sound(seed, length).samples)
    assert loaded(Noisy).generate([]) == []


def test_the_ceiling_alone_is_given_the_truth_and_fails_where_there_is_none() -> None:
    assert Clean.uses_targets and not Noisy.uses_targets
    lacking, other = loaded(Clean).generate([example("a", sound(0), None), example("b", sound(0), sound(1))])
    assert isinstance(lacking, MethodError) and "no known clean speech" in str(lacking)
    assert isinstance(other, np.ndarray)
    assert np.array_equal(loaded(Noisy).generate([example("a", sound(0), None)])[0], sound(0).samples)


@pytest.mark.parametrize("task", ["av_enhancement", "av_separation"])
def test_both_are_rows_of_both_tasks(task: str) -> None:
    for name in ("noisy", "clean"):
        kind = methods.load(name)
        assert kind.name == name and task in (kind.task, *kind.further_tasks)
        assert kind.title == methods.entry(name).title
        assert name in TASKS[task].references
