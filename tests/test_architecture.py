"""Dependencies point one way, and listing names imports nothing heavy."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ALLOWED_OF_BENCHMARK = {
    f"benchmark.{name}" for name in ("types", "errors", "files", "weights", "media", "processes", "sources")
}


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def files(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


@pytest.mark.parametrize("path", files("metrics"), ids=str)
def test_metrics_know_neither_harness_nor_methods(path):
    assert not {name for name in imports(path) if name.split(".")[0] in ("benchmark", "baselines")}


@pytest.mark.parametrize("path", files("baselines"), ids=str)
def test_methods_know_little_of_the_harness_and_nothing_of_metrics(path):
    of_harness = {name for name in imports(path) if name.startswith("benchmark.")}
    # The oracle draws with the generator of the dataset whose secrets it knows.
    allowed = ALLOWED_OF_BENCHMARK | ({"benchmark.datasets"} if path.stem == "talkers_oracle" else set())
    # What is made elsewhere is found by the names of samples, and remarked on as inputs are.
    allowed |= {"benchmark.datasets", "benchmark.remarks"} if path.parent.name == "outputs" else set()
    assert {name for name in of_harness if ".".join(name.split(".")[:2]) not in allowed} == set()
    assert not {name for name in imports(path) if name.split(".")[0] == "metrics"}


@pytest.mark.parametrize("path", files("benchmark"), ids=str)
def test_the_harness_names_no_particular_method_or_metric(path):
    # Files of weights have one reader, at the bottom, for metrics and methods alike.
    contracts = ("metrics.metric", "metrics.speech.items")
    contracts += ("metrics.networks.weight_files", "metrics.networks.not_weights", "metrics.networks.onnx_files")
    contracts += ("metrics.sizes",)
    contracts += ("baselines.method", "baselines.settings", "baselines.training")
    for name in imports(path) - {"metrics", "baselines"}:
        if name.split(".")[0] in ("metrics", "baselines"):
            assert name in contracts or name.rpartition(".")[0] in contracts


PACKAGES = sorted(path for room in ("benchmark", "baselines", "metrics") for path in (ROOT / room).rglob("__init__.py"))
PLAIN = {"__init__", "__main__", "method", "config", "network", "training", "official"}
"""What every method's folder may have; `baselines/__init__.py` says what is in them."""


@pytest.mark.parametrize("path", PACKAGES, ids=str)
def test_a_package_says_what_lies_in_it_and_no_more(path):
    folder, text = path.parent, ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    assert text, "a docstring"
    if folder == ROOT / "benchmark" / "datasets" / "talkers":  # any change there makes another corpus of it
        return
    inside = {each.stem for each in folder.glob("*.py")} | {each.parent.name for each in folder.glob("*/__init__.py")}
    if folder.parent == ROOT / "baselines" and len(inside) < 15 and "layers" not in folder.name:
        return  # the method's card tells of it
    assert {name for name in inside - PLAIN if not re.search(rf"\b{name}\b", text)} == set()
    listed = re.findall(r"^ +((?:`?\w+`?, )*`?\w+`?)  +\S", text, re.MULTILINE)
    names = {name.strip("`") for names in listed for name in names.split(", ")}
    assert {name for name in names if name not in inside and not (folder / name).exists()} == set()


def test_listing_imports_nothing_heavy():
    code = (
        "import sys; from benchmark.cli.main import app; "
        "from typer.testing import CliRunner; "
        "assert CliRunner().invoke(app, ['list', 'methods']).exit_code == 0; "
        "print([m for m in ('torch', 'numpy.linalg', 'pandas', 'matplotlib', 'dlib', 'scipy') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    heavy = [name for name in ast.literal_eval(out.stdout.strip().splitlines()[-1]) if name != "numpy.linalg"]
    assert heavy == []
