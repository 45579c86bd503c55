"""Result files that are published are whole, valid and of clean code."""

from pathlib import Path

import pytest

from benchmark.runs.evaluation import plan_method, read_result
from benchmark.runs.scoring import NOT_MEASURED
from benchmark.tasks import get_task

FILES = sorted((Path(__file__).parent.parent / "leaderboards" / "results").glob("*.json"))


def test_there_are_results():
    assert FILES


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_published_result_is_whole_and_traceable(path):
    result = read_result(path)
    assert path.stem == result.run_id == result.spec.run_id()
    assert not result.partial
    primary = result.aggregate(get_task(result.spec.task).primary)
    assert primary is not None
    # The clean speech has no finite SI-SDR.
    assert primary.value is not None or all(reason.startswith("undefined: ") for reason in primary.reasons)
    for made_by in (result.provenance, *result.generated_by):
        assert made_by["git"] == {"commit": made_by["git"]["commit"], "dirty": False}
    for item in result.aggregates:
        assert NOT_MEASURED not in item.reasons
        assert 0 <= item.scored <= item.total == result.samples * result.spec.repeats
        assert item.signature
        if item.value is not None and item.low is not None:
            assert item.low <= item.high


def test_numbers_of_one_definition_share_a_signature():
    seen: dict[tuple[str, str], set[str]] = {}
    for path in FILES:
        result = read_result(path)
        for item in result.aggregates:
            seen.setdefault((result.spec.manifest_sha256, item.name), set()).add(item.signature)
    assert all(len(signatures) == 1 for signatures in seen.values())


def test_published_rows_belong_to_the_weights_that_are_shipped():
    for path in FILES:
        spec = read_result(path).spec
        if spec.weights_sha256:
            assert plan_method(spec.method).weights_sha256 == spec.weights_sha256
