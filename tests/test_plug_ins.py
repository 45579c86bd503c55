"""Methods, metrics and datasets of other packages: the README's example as it stands there, and every way to get one
wrong."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from benchmark import registry
from benchmark.errors import BrokenPlugIn
from benchmark.media import read_image, write_audio, write_image
from benchmark.tasks import TASKS
from benchmark.types import Audio

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Add a method")[2].partition("\n## ")[0]
PACKAGE = ROOT / "tests" / "plug_in"
METHOD = (PACKAGE / "my_package" / "__init__.py").read_text(encoding="utf-8")


def install(site: Path, points: str, package: str = "my-package", **modules: str) -> Path:
    """What `pip install` leaves of a package: its modules, and the record of its entry points."""
    about = site / f"{package.replace('-', '_')}-0.1.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 0.1\n")
    (about / "entry_points.txt").write_text(points)
    for name, source in modules.items():
        (site / name).mkdir()
        (site / name / "__init__.py").write_text(textwrap.dedent(source))
    return site


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., registry.Registry]:
    """Installs a module as the plug-in 'mine' and returns a registry that has just looked."""

    def make(source: str, kind: str = "method", target: str = "plugged:Mine", name: str = "mine") -> registry.Registry:
        site = install(tmp_path / "site", f"[facevoice_bench.{kind}s]\n{name} = {target}\n", plugged=source)
        monkeypatch.syspath_prepend(str(site))
        monkeypatch.delitem(sys.modules, "plugged", raising=False)
        builtin = {"method": registry.methods, "metric": registry.metrics, "dataset": registry.datasets}[kind].builtin
        return registry.Registry(kind, dict(builtin))

    return make


GOOD = """
    from dataclasses import dataclass
    from baselines.method import Method

    class Mine(Method):
        "Says nothing."
        name, task, title = "mine", "speech2face", "Mine (2026)"
        @dataclass(frozen=True)
        class Config:
            pass
        def load(self, device): pass
        def generate(self, examples): return []
"""


# -- the README's example --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package of the README as pip installs it, and its weights."""
    folder = tmp_path_factory.mktemp("plug_in")
    shutil.copytree(PACKAGE, folder / "package")  # a build leaves its files there
    site = folder / "site"
    offline = ["--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check", "--quiet"]
    line = [sys.executable, "-m", "pip", "install", *offline, "--target", str(site), str(folder / "package")]
    done = subprocess.run(line, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    layer = np.random.default_rng(0).uniform(0, 0.2, (64 * 64 * 3, 257)).astype(np.float32)
    save_file({"layer": layer}, site / "my.safetensors")
    return site


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three people of tones and grey portraits, one of whom says next to nothing."""
    folder = tmp_path_factory.mktemp("people")
    for number, name in enumerate(("anna", "bo", "cleo")):
        (folder / name).mkdir()
        samples = 0.3 * np.sin(np.arange(32_000) * (0.05 + 0.02 * number))
        write_audio(folder / name / "a.wav", Audio(samples.astype(np.float32), 16_000))
        write_image(folder / name / "f.png", np.full((64, 64, 3), 60 * number, np.uint8))
    return folder


def command(site: Path, *words: object, code: int = 0) -> subprocess.CompletedProcess:
    line = [sys.executable, "-m", "benchmark", *map(str, words)]
    paths = os.pathsep.join([str(site), str(ROOT)])
    done = subprocess.run(
        line,
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=300,
        check=False,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert done.returncode == code, done.stderr
    return done


def generate(site: Path, people: Path, runs: Path, *more: object, code: int = 0) -> subprocess.CompletedProcess:
    words = ["generate", "-m", "my_method", "--dataset", "folder", "--data-root", people, "--runs", runs]
    return command(site, *words, "--weights", site / "my.safetensors", "--repeats", 2, *more, code=code)


def test_the_example_of_the_readme_is_the_package():
    blocks = {kind: re.findall(rf"```{kind}\n(.+?)```", README, re.DOTALL) for kind in ("python", "toml")}
    assert blocks["python"] == [METHOD] and METHOD.count("\n") <= 30
    assert blocks["toml"] == [(PACKAGE / "pyproject.toml").read_text(encoding="utf-8")]


def test_the_example_of_the_readme_gets_the_table_of_its_task(site, people, tmp_path):
    words = ["run", "-m", "my_method", "--weights", site / "my.safetensors", "--label", "Mine <i>"]
    words += ["--dataset", "folder", "--data-root", people, "--runs", tmp_path, "--repeats", 1, "--workers", 0]
    done = command(site, *words)
    for head in ("R@10", "R@1 ", "AUC", "cos ", "L1", "face found"):
        assert head in done.stdout, head
    assert re.search(r"^-- methods? -+\nMine <i> ", done.stdout, re.MULTILINE), done.stdout
    assert re.search(r"^-- ceilings? -+\nground_truth ", done.stdout, re.MULTILINE)
    (result,) = (json.loads(file.read_text()) for file in tmp_path.glob("my_method-*/result.json"))
    assert result["label"] == "Mine <i>" and result["spec"]["method"] == "my_method"


def test_the_example_of_the_readme_runs(site, people, tmp_path):
    done = generate(site, people, tmp_path)
    run = Path(done.stdout.strip())
    faces = sorted((run / "outputs").rglob("*.png"))
    assert len(faces) == 6 and read_image(faces[0]).shape == (64, 64, 3)
    assert read_image(faces[0]).tobytes() != read_image(faces[2]).tobytes(), "another voice, another face"
    generate(site, people, tmp_path, "--set", "noise=0.2")
    generate(site, people, tmp_path, "--seconds", 0.2, code=1)
    files = ["--input", people / "bo" / "a.wav", "--output", tmp_path / "bo.png"]
    command(site, "predict", "-m", "my_method", "--weights", site / "my.safetensors", *files)
    assert read_image(tmp_path / "bo.png").shape == (64, 64, 3)


def test_the_example_of_the_readme_is_listed_and_shown(site):
    rows = {row["method"]: row for row in json.loads(command(site, "list", "methods", "--json").stdout)}
    assert rows["my_method"] == {
        "method": "my_method",
        "what": "My method (2026)",
        "task": "speech2face",
        "from": "my-package 0.1",
    }
    assert rows["sf2f"]["from"] == ""
    assert re.search(r"my_method +My method \(2026\) +speech2face +my-package 0.1", command(site, "list").stdout)
    shown = command(site, "show", "my_method").stdout
    assert "A face that is linear in the spectrum of the voice." in shown
    assert "A system under test" not in shown, "the docstring of the class that it derives from"
    assert "noise = 0.1" in shown and "my-package 0.1" in shown
    assert "my_method" in json.loads(command(site, "show", "speech2face", "--json").stdout)["methods"]


def test_what_the_readme_says_of_inputs_is_what_tasks_give():
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+?) \|", README, re.MULTILINE))
    assert set(rows) == set(TASKS)
    for name, task in TASKS.items():
        told = rows["av_enhancement"] if name == "av_separation" else rows[name]
        assert set(re.findall(r"`(\w+)`[:,]", told)) - {"decoy", "enrolment_decoy"} == set(task.inputs)
    assert TASKS["speech2face"].protocol.seconds == 5 and TASKS["av_enhancement"].protocol.seconds is None
    assert {task.rate for task in TASKS.values()} == {16_000}


# -- what a method raises --------------------------------------------------------------------------------------------


def test_a_raising_method_leaves_its_traceback_and_its_last_lines(site, people, tmp_path):
    broken = tmp_path / "site"
    shutil.copytree(site, broken)
    module = broken / "my_package" / "__init__.py"
    module.write_text(METHOD.replace("self.layer @ (spectrum + noise)", "self.layer @ spectrum[:10]"))
    done = generate(broken, people, tmp_path / "runs", code=1)
    run = Path(done.stdout.strip())
    rows = [json.loads(line) for line in (run / "predictions.jsonl").read_text().splitlines()]
    assert {row["reason"].partition(":")[0] for row in rows} == {"ValueError"}
    assert all("\n" not in row["reason"] for row in rows)
    (file,) = {row["traceback"] for row in rows}  # one fault in one place is one file
    text = (run / file).read_text()
    assert "(self.layer @ spectrum[:10])" in text and "ValueError: matmul" in text and "Traceback (most" in text
    assert text.startswith("First while my_method made sample 'anna', repeat 0\n")
    assert f"6 outputs failed where the method raised; traceback: {run / file}" in done.stderr
    assert re.search(r'File ".+my_package/__init__.py", line \d+, in face', done.stderr)
    assert "ValueError: matmul" in done.stderr.splitlines()[-2]
    assert "--retry-failed" in done.stderr.splitlines()[-1]

    again = generate(site, people, tmp_path / "runs", code=1)
    assert "--retry-failed" in again.stderr, "failed rows were kept"
    module.write_text(METHOD)
    assert "6 outputs, 0 failed" in generate(broken, people, tmp_path / "runs", "--retry-failed").stderr


def test_a_method_that_cannot_be_loaded_says_where(site, people, tmp_path):
    save_file({"other": np.zeros(3)}, tmp_path / "other.safetensors")
    done = generate(site, people, tmp_path / "runs", "--weights", tmp_path / "other.safetensors", code=1)
    assert "Traceback" not in done.stderr
    assert "my_method cannot be loaded; traceback: " in done.stderr
    assert "KeyError: 'layer'" in done.stderr and 'self.layer = load_file(self.weights)["layer"]' in done.stderr
    (file,) = (tmp_path / "runs").glob("*/tracebacks/*.txt")
    assert str(file) in done.stderr and "Traceback (most recent" in file.read_text()


# -- what is no method -----------------------------------------------------------------------------------------------


def test_a_good_one_is_loaded(book):
    methods = book(GOOD)
    assert methods.load("mine").title == "Mine (2026)"
    assert methods.described("mine") == registry.Entry("plugged:Mine", "Mine (2026)", "speech2face", "my-package 0.1")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("class Mine(", "class Mime("), r"module 'plugged' \(.+__init__.py\) has no 'Mine'. Did you mean 'Mime'"),
        (("(Method)", "()"), r"expected a class derived from baselines.method.Method, got class Mine"),
        (("class Mine(Method):", "Mine = 3\n    class Other(Method):"), "got a int"),
        (('name, task, title = "mine", "speech2face"', 'name, title = "mine"'), "no attribute `task`: the task that"),
        (('name, task, title = "mine", ', "task, title = "), "no attribute `name`: its name in the registry"),
        (
            ('task, title = "mine", "speech2face", "Mine (2026)"', 'task = "mine", "speech2face"'),
            "no attribute `title`",
        ),
        (("class Config:", "class Options:"), "no attribute `Config`: a frozen dataclass of its settings"),
        (("@dataclass(frozen=True)\n", "\n"), "`Config` is not a dataclass"),
        (('"speech2face"', '"speech2faces"'), "no task 'speech2faces'. Did you mean 'speech2face'"),
        (('"mine"', '"other"'), "its `name` is 'other', expected 'mine', as .project.entry-points"),
        (("def generate(", "def produce("), "it lacks `generate`: see baselines.method.Method"),
        (("import dataclass", "import data_class"), r"does not import:\n.+File .+plugged/__init__.py.+, line \d"),
        (("    class Mine", "    1 / 0\n    class Mine"), r"ZeroDivisionError: division by zero"),
        (("    class Mine", "    class class Mine"), r"SyntaxError"),
        (("    from dataclasses", "    import not_here_at_all\n    from dataclasses"), "pip install not_here_at_all"),
    ],
)
def test_a_broken_one_is_told_with_what_was_expected_and_where(book, change, message):
    assert change[0] in GOOD
    methods = book(GOOD.replace(*change))
    with pytest.raises(BrokenPlugIn, match="(?s)" + message) as told:
        methods.load("mine")
    assert str(told.value).startswith("method 'mine' (plugged:Mine, from my-package 0.1)")


def test_a_module_that_is_not_there_is_told(book):
    with pytest.raises(BrokenPlugIn, match=r"there is no module 'plucked'. \[project.entry-points."):
        book(GOOD, target="plucked:Mine").load("mine")


def test_a_name_that_is_taken_is_told(book):
    methods = book(GOOD, name="sf2f")
    assert methods.load("sf2f").__module__ == "baselines.sf2f.method"
    assert methods.hidden == ["method 'sf2f' from my-package 0.1 is hidden by a built-in one of that name"]


def test_a_broken_one_spoils_no_list(site, tmp_path):
    broken = tmp_path / "site"
    shutil.copytree(site, broken)
    (broken / "my_package" / "__init__.py").write_text("1 / 0\n")
    rows = {row["method"]: row for row in json.loads(command(broken, "list", "methods", "--json").stdout)}
    assert rows["my_method"]["what"].endswith("does not import:") and "sf2f" in rows
    assert "my_method" not in json.loads(command(broken, "show", "speech2face", "--json").stdout)["methods"]
    done = command(broken, "run", "-m", "my_method", code=2)
    assert "ZeroDivisionError" in done.stderr and "Traceback" not in done.stderr


METRIC = """
    from metrics.metric import Metric, Report

    class Mine(Metric):
        "Mean of red and of blue."
        name, version, task = "mine", 1, "speech2face"
        reports = Report("red", "red", None, (0, 255)), Report("blue", "blue", None, (0, 255))
        @classmethod
        def create(cls, networks): return cls()
        def signature(self, report): return f"{report}|v1"
        def measure(self, items):
            return [{"red": float(i.image[..., 0].mean()), "blue": float(i.image[..., 2].mean())} for i in items]
        def aggregate(self, statistics, weights):
            return {k: (weights @ v) / weights.sum(-1) for k, v in statistics.items()}
"""


def test_a_metric_is_described_too(book):
    metrics = book(METRIC, "metric")
    assert metrics.described("mine") == registry.Entry(
        "plugged:Mine", "Mean of red and of blue.", "speech2face", "my-package 0.1"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ((', task = "mine", 1, "speech2face"', ' = "mine", 1'), "no attribute `task`: what it measures"),
        (('1, "speech2face"', '1, "faces"'), "no task 'faces'.* Tasks: speech2face, speech"),
        (('"mine", 1,', '"mine", "1",'), "`version` is '1', expected int: changes when"),
    ],
)
def test_a_broken_metric_is_told(book, change, message):
    assert change[0] in METRIC
    with pytest.raises(BrokenPlugIn, match=message):
        book(METRIC.replace(*change), "metric").load("mine")


def test_a_dataset_needs_what_it_needs(book):
    source = """
    from benchmark.datasets.dataset import Dataset

    class Mine(Dataset):
        "My people."
        name, revision, tasks = "mine", "1", ("lips",)
    """
    with pytest.raises(BrokenPlugIn, match="(?s)no attribute `layout`.*no task 'lips'.*it lacks `rows`"):
        book(source, "dataset").load("mine")


def test_a_metric_of_another_package_measures_a_run(site, people, tmp_path):
    both = tmp_path / "site"
    shutil.copytree(site, both)
    install(both, "[facevoice_bench.metrics]\nmine = plugged:Mine\n", "their-package", plugged=METRIC)
    words = [
        "run",
        "-m",
        "my_method",
        "--weights",
        both / "my.safetensors",
        "--dataset",
        "folder",
        "--data-root",
        people,
    ]
    words += ["--runs", tmp_path, "--repeats", 1, "--workers", 0, "--no-references", "--metrics", "face_cosine,mine"]
    shown = command(both, *words).stdout
    for head in ("cos", "red", "blue"):
        assert re.search(rf"^{head} .* 3/3", shown, re.MULTILINE), shown
