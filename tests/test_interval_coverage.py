"""Intervals of the real metric classes hold the truth as often as they say; the page of coverages is of the simulation.

The whole simulation is `tests/benchmarks/bench_interval_coverage.py`.
"""

import importlib.util
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def simulation():
    path = ROOT / "tests" / "benchmarks" / "bench_interval_coverage.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look up their module by name
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["SI-SDR", "SI-SDR, very uneven counts", "WER 20 %", "sex 90 %", "age r"])
def test_metrics_intervals_hold_the_truth_where_percentiles_do_not(simulation, name, monkeypatch):
    monkeypatch.setattr(simulation, "OLD_EVERY", 2)
    case = next(case for case in simulation.cases() if case.name == name)
    found = simulation.coverage(case, 8, 400)
    assert 0.93 <= found.new <= 0.99
    assert found.old < found.new - 0.02
    assert found.none < 0.05


def test_every_simulated_number_is_in_the_table(simulation):
    page = (ROOT / "metrics" / "INTERVALS.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (.+?) \|(?: \d+ → \S.*?\|){5}$", page, re.MULTILINE)
    assert rows == [case.name for case in simulation.cases()]
    heads = re.search(r"^\| number \| (.+) \|$", page, re.MULTILINE)
    assert heads[1].split(" | ") == [f"{count} speakers" for count in simulation.SPEAKERS]
