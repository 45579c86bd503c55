import csv
import io

import numpy as np
import pytest

from benchmark.reports import tables
from benchmark.reports.sheets import contact_sheet
from benchmark.results import Aggregate, Failures, Result, RunSpec


def result(label="sf2f", value=0.1234, signature="s1", scored=10, partial=False):
    spec = RunSpec(
        task="speech2face", task_version=1, method="sf2f", config={}, weights_sha256=None, dataset="d",
        dataset_revision="1", split="test", manifest_sha256="m", seconds=5, repeats=1, seed=0,
    )  # fmt: skip
    number = Aggregate(
        name="recall_at_10", title="R@10", metric="retrieval", value=value, low=0.1, high=0.2, spread=0.01,
        scored=scored, total=10, signature=signature, higher_is_better=True, unit="%",
    )  # fmt: skip
    return Result(
        run_id=spec.run_id(), label=label, spec=spec, partial=partial, samples=10, speakers=10, aggregates=[number],
        failures=Failures(), generation_seconds=1.0, provenance={},
    )  # fmt: skip


def test_values_carry_interval_and_coverage():
    text = tables.markdown([result()], ["recall_at_10"])
    assert "12.3 [10.0, 20.0]" in text
    assert "10/10" in text
    assert "`s1`" in text


def test_a_number_without_value_says_why():
    row = result("clean", None, scored=0)
    number = row.aggregates[0].model_copy(update={"reasons": {"failed: late": 1, "undefined: infinite": 9}})
    text = tables.markdown([row.model_copy(update={"aggregates": [number]})], ["recall_at_10"])
    assert "| clean | undefined: infinite | 0/10 |" in text


def test_numbers_of_another_definition_never_share_a_column():
    text = tables.markdown([result(), result("other", 0.9, signature="s2")], ["recall_at_10"])
    assert "90.0" not in text
    assert "| other | - |" in text


def test_hostile_labels_are_escaped():
    label = "a|b<script>_\\input{x}%"
    assert "<script>" not in tables.markdown([result(label)], ["recall_at_10"])
    assert r"\textbackslash{}input\{x\}\%" in tables.latex([result(label)], ["recall_at_10"])


def test_csv_keeps_full_precision():
    rows = list(csv.DictReader(io.StringIO(tables.long_csv([result(value=1 / 3)]))))
    assert float(rows[0]["value"]) == 1 / 3


def test_undefined_is_a_dash_and_partial_is_said():
    text = tables.markdown([result(value=None, scored=0, partial=True)], ["recall_at_10"])
    assert "| - [" in text
    assert "0/10 (partial)" in text


def test_a_number_that_cannot_exist_does_not_lower_the_coverage():
    row = result(scored=9)
    never = row.aggregates[0].model_copy(update={"name": "si_sdr", "value": None, "scored": 0})
    assert tables.coverage(row.model_copy(update={"aggregates": [*row.aggregates, never]})) == "9/10"
    assert tables.coverage(row.model_copy(update={"aggregates": [never]})) == "0/10"


def test_latex_heads_have_units():
    assert r"R@10 \% $\uparrow$" in tables.latex([result()], ["recall_at_10"])


@pytest.mark.parametrize("count", [1, 2, 5])
def test_contact_sheet_shows_every_picture(count):
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 0] = 255
    sheet = contact_sheet([(f"p{n}", [red, None]) for n in range(count)], ["true", "made"], side=20)
    assert sheet.dtype == np.uint8
    assert int(np.all(sheet == (255, 0, 0), axis=2).sum()) == count * 400
