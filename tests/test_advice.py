"""What messages, docstrings and pages advise leads somewhere: every command that they name is one that works, with
options, methods, presets, settings, metrics, corpora and weights that exist."""

from __future__ import annotations

import ast
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import typer
from commands import ROOT, ended
from test_cli import ALL

from benchmark import registry
from benchmark.configuration import Presets, resolve
from benchmark.errors import UsageError
from benchmark.preparation.steps import STEPS, step_called
from benchmark.protocols.book import names as protocols
from benchmark.results.attributes import parsed
from benchmark.runs.scoring import metric_options
from benchmark.tasks import TASKS, get_task
from benchmark.weights import table as weights
from benchmark.weights.networks import NETWORKS

SOURCES = sorted(path for room in ("benchmark", "baselines", "metrics") for path in (ROOT / room).rglob("*.py"))
PAGES = sorted(p for p in ROOT.rglob("*.md") if not any(part.startswith(".") for part in p.relative_to(ROOT).parts))
GAP = "GAP"
"""Stands for what a message fills in; upper case, as the placeholders that people write: NAME, FILE, RUN."""
OPTIONS = {option: item for item in ALL.values() for p in item.params for option in (*p.opts, *p.secondary_opts)}
EVERYWHERE = {"--help", "--version"}
EXAMPLES = {"my_method"}
"""What the README shows how to write; tests/test_plug_ins.py runs it."""

PUBLISHED = {path.stem for path in (ROOT / "leaderboards" / "results").rglob("*.json")}
"""Ids of published results."""


class Advice(NamedTuple):
    """A command, or a part of one, and where it stands."""

    where: str
    words: str


def texts(path: Path) -> Iterator[tuple[str, str]]:
    """Every string of a module, those that lie side by side as one, with the place; or the whole page."""
    name = str(path.relative_to(ROOT))
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        yield name, re.sub(r"(?<!`)`[^`]+`(?!`)", lambda span: span[0].replace("\n", " "), text)
        return
    nodes = list(ast.walk(ast.parse(text)))
    inside = {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in nodes:
        if isinstance(node, ast.JoinedStr):
            yield f"{name}:{node.lineno}", "".join(p.value if isinstance(p, ast.Constant) else GAP for p in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            yield f"{name}:{node.lineno}", node.value


TEXTS = [each for path in (*SOURCES, *PAGES) for each in texts(path)]


def commands() -> Iterator[Advice]:
    """`python -m benchmark ...` anywhere, and verbs with words behind them in backticks."""
    verbs = "|".join(sorted({path[0] for path in ALL}))
    for where, text in TEXTS:
        for words in re.findall(r"python -m benchmark +([a-zG][^`\n|]*)", text):
            yield Advice(where, words)
        for words in re.findall(rf"`((?:{verbs}) [^`\n]+)`", text):
            yield Advice(where, words)


def options() -> Iterator[Advice]:
    """Options that stand alone, with their value where one follows in the same backticks."""
    for where, text in TEXTS:
        if "--" not in text:
            continue
        text = re.sub(r"python tests/[^`\n]+|pip install [^`\n]+", "", text)  # their options are their own
        for words in re.findall(r"`(--[a-z][^`\n]*)`", text):
            yield Advice(where, words)
        if " " not in text:
            continue  # an argument of some program, not a sentence
        for words in re.findall(r"(?<![\w`-])--[a-z][a-z-]+(?: [\w:=,/.]+)?", text):
            yield Advice(where, words)


COMMANDS, LOOSE = sorted(set(commands())), sorted(set(options()))


def check(words: str) -> None:
    """Fails where a command has a word that the command line would refuse, as far as that can be known without data."""
    tokens = shlex.split(re.sub(r"[.,;:)]+$", "", words.replace("'", " ")), comments=True)
    path = tuple(tokens[:2]) if tuple(tokens[:2]) in ALL else tuple(tokens[:1])
    if path not in ALL:
        groups = {name[0] for name in ALL if len(name) > 1}
        assert path[0] in groups, f"there is no verb '{path[0]}'"
        assert len(tokens) == 1, f"'{path[0]}' has no '{tokens[1]}'"
        return
    item = ALL[path]
    arguments = [p for p in item.params if isinstance(p, typer.core.TyperArgument)]
    given: dict[str, list[str]] = {}
    rest = tokens[len(path) :]
    while rest:
        word = rest.pop(0).rstrip(",;")
        if word.startswith("-") and word != "-":
            name, _, value = word.partition("=")
            option = next((p for p in item.params if name in (*p.opts, *p.secondary_opts)), None)
            assert option or name in EVERYWHERE, f"'{' '.join(path)}' has no option {name}"
            if option and not option.is_flag:
                value = value or rest.pop(0).rstrip(",;")
                given.setdefault(option.name, []).append(value)
        elif arguments:
            given.setdefault(arguments.pop(0).name, []).append(word)
        else:
            break  # prose goes on
    meaning(path, given)


def meaning(path: tuple[str, ...], given: dict[str, list[str]]) -> None:
    """The values that are names: each has to exist."""
    verb = " ".join(path)
    values = {name: [part for value in found for part in value.split(",")] for name, found in given.items()}
    named = {name: [value for value in found if not open_(value)] for name, found in values.items()}
    if verb == "list":
        assert ended("list", *named.get("kind", [])).returncode == 0
    if verb == "show":
        known = {*registry.methods, *registry.metrics, *registry.NUMBERS, *registry.datasets, *TASKS}
        known |= {*PUBLISHED, *protocols()}
        assert all(name in known | EXAMPLES or name.startswith("runs/") for name in named["name"])
    if path[0] == "weights":
        assert all(name in weights.TABLE for name in named.get("name", []))
    if path[0] == "data":
        assert all(name in registry.datasets for name in named.get("name", []))
    for text in given.get("by", []):
        assert parsed(text)
    if path == ("data", "prepare") and named.get("step"):
        preset, sets = next(iter(named.get("preset", [])), None), given.get("sets", [])
        step_called(named["step"][0]).configured(preset, None, [item for item in sets if not open_(item)])
    for dataset in named.get("dataset", []):
        assert dataset in registry.datasets
    for task in named.get("task", []):
        assert task in TASKS
    for protocol in named.get("protocol", []):
        assert protocol in protocols()
    for split in named.get("split", []):
        (dataset,) = named.get("dataset") or named.get("name") or ["talkers"]
        assert split in registry.datasets.load(dataset).splits
    book = registry.trainers if verb == "train" else registry.methods
    for method in set(named.get("method", [])) - EXAMPLES:
        name, _, preset = method.partition(":")
        settings(book, name, preset or next(iter(named.get("preset", [])), None), given.get("sets", []))
    if "metrics" in named or "metric_sets" in named or "face_network" in named:
        scored(named)


def settings(book: registry.Registry, name: str, preset: str | None, sets: list[str]) -> None:
    kind = book.load(name)
    module = sys.modules[kind.__module__]
    folder = Path(module.__file__).parent
    config = module.Config if book is registry.trainers else kind.Config
    presets = Presets.beside(folder) if getattr(kind, "has_presets", True) else Presets(folder)
    resolve(config, presets, preset, None, [item for item in sets if not open_(item)])


def scored(named: dict[str, list[str]]) -> None:
    names = [registry.metric_of(name) for name in named.get("metrics", [])] or list(registry.metrics)
    given = (item for item in named.get("metric_sets", []) if not open_(item))
    sets = [item for item in given if not item.endswith("=")]  # the value of one stands on the next line
    found = metric_options(names, next(iter(named.get("face_network", [])), "dlib"), sets)
    for key in ("embedder", "classifier", "recogniser"):
        if key in found and key in [item.partition("=")[0] for item in sets] + ["embedder"]:
            assert str(found[key]).partition(":")[0] in NETWORKS


def open_(word: str) -> bool:
    """Whether a word stands for one that the reader chooses."""
    return bool(re.search(r"\b[A-Z]+\b|GAP|key=value", word)) and not word.startswith("runs/")


@pytest.mark.parametrize("advice", COMMANDS, ids=lambda advice: f"{advice.where} {advice.words[:60]}")
def test_every_command_that_is_advised_is_one(advice):
    check(advice.words)


def test_every_option_that_is_named_exists():
    for where, words in LOOSE:
        name, _, value = re.sub(r"[.,;:)]+$", "", words).partition(" ")
        if name.partition("=")[0] in EVERYWHERE or "GAP" in name:
            continue
        if name in options_of_scripts(where):
            continue
        assert name in OPTIONS, f"{where}: there is no option {name}"
        if name in ("--metrics", "--metric-set", "--face-network", "--dataset", "--task") and value:
            check(f"run {name} {value}")
        if (name == "--set" and "=" in value) or name == "--preset":
            assert taken(f"{name} {value}"), f"{where}: {words}"


def options_of_scripts(page: str) -> set[str]:
    """The options of the scripts that a page names."""
    if not page.endswith(".md"):
        return set()
    scripts = re.findall(r"python (tests/\S+\.py)", (ROOT / page).read_text(encoding="utf-8"))
    sources = [(ROOT / script).read_text(encoding="utf-8") for script in scripts]
    return {option for source in sources for option in re.findall(r'"(--[a-z][a-z-]*)"', source)}


def taken(words: str) -> bool:
    """Whether some method, or some step of `data prepare`, has the preset or the setting."""
    every = [f"run --method {method}" for method in registry.methods] + [f"data prepare {step}" for step in STEPS]
    return any(takes(command, words) for command in every)


def takes(command: str, words: str) -> bool:
    try:
        check(f"{command} {words}")
    except UsageError:
        return False
    return True


def test_the_search_finds_what_there_is():
    """Were it blind, nothing would fail."""
    found = {advice.words for advice in COMMANDS}
    assert {"list GAPs", "weights fetch GAP --accept-license", "train --method GAP --preset GAP"} <= found
    assert "run --method sf2f --seconds 1.25 --set fuser=false" in found and "list methods" in found
    assert len(COMMANDS) > 60 and len(LOOSE) > 40


def test_scripts_and_extras_that_are_named_exist():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    scripts = extras = 0
    for where, text in TEXTS:
        for script, words in re.findall(r"python (tests/\S+\.py)([^`\n]*)", text):
            source = (ROOT / script).read_text(encoding="utf-8")
            for option in re.findall(r"--[a-z][a-z-]*", words):
                assert f'"{option}"' in source, f"{where}: {script} has no {option}"
            scripts += 1
        for extra in re.findall(r"pip install [^`\n]*\.\[(\w+)\]", text):
            assert extra in project["optional-dependencies"], f"{where}: no extra '{extra}'"
            extras += 1
    assert scripts and extras


@pytest.mark.parametrize(
    "wrong",
    [
        "rum --method sf2f",
        "run --methods sf2f",
        "run --method sf3f",
        "run --method sf2f --preset papr",
        "run --method sf2f --set fusr=false",
        "run --method sf2f --metrics face_cosin",
        "run --method sf2f --metric-set splitz=3",
        "run --method sf2f --face-network facenet150",
        "run --method sf2f --dataset folders",
        "run --method flowavse --split test_snrs",
        "train --method chance",
        "weights fetch facenet",
        "weights fits",
        "data show folders",
        "data prepare face",
        "data prepare faces --set sise=64",
        "show sf3f",
        "list trainer",
    ],
)
def test_wrong_advice_would_be_found(wrong):
    with pytest.raises(Exception):  # noqa: B017 - whatever says no
        check(wrong)


@pytest.mark.parametrize(
    "book", [registry.methods, registry.metrics, registry.datasets, registry.trainers], ids=lambda book: book.kind
)
def test_the_list_that_an_unknown_name_points_to_is_there(book):
    with pytest.raises(Exception, match="Unknown") as told:
        book.entry("no_such_name")
    check(str(told.value).partition("python -m benchmark ")[2])


def test_every_number_that_is_reported_can_be_asked_for():
    from unittest.mock import MagicMock

    class Stub(MagicMock):
        def __format__(self, kind: str) -> str:
            return "0"

    found = 0
    for name in registry.metrics.builtin:
        networks = Stub()
        networks.return_value.units = "words"
        try:
            made = registry.metrics.load(name).create(networks)
        except (ImportError, ValueError):  # a package that is not here, or a recogniser of another kind
            continue
        for report in made.reports:
            assert registry.metric_of(report.name) == name, report.name
            found += 1
    assert found > 50
    for task in TASKS.values():
        for number in (*task.columns, task.primary):
            assert registry.metric_of(number) in registry.metrics
        assert get_task(task.name) is task
