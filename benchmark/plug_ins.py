"""What a name of an outside package must stand for: looked at when it is loaded, so that its author is told what is
expected, and where."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
from typing import Any

from benchmark.errors import BrokenPlugIn, did_you_mean

BASES = {
    "method": "baselines.method:Method",
    "metric": "metrics.metric:Metric",
    "dataset": "benchmark.datasets.dataset:Dataset",
}
"""What the class of a kind has to derive from."""

ATTRIBUTES: dict[str, dict[str, tuple[type, str]]] = {
    "method": {
        "name": (str, "its name in the registry"),
        "task": (str, "the task that it serves, for instance 'speech2face'"),
        "title": (str, "one line for `list methods`"),
        "Config": (type, "a frozen dataclass of its settings; one without fields where it has none"),
    },
    "metric": {
        "name": (str, "its name in the registry"),
        "task": (str, "what it measures: 'speech2face' or 'speech'"),
        "version": (int, "changes when the definition does"),
    },
    "dataset": {
        "name": (str, "its name in the registry"),
        "revision": (str, "changes when the same files would give other rows"),
        "layout": (str, "what the folder must hold"),
    },
}
"""Class attributes that each kind must set: their type, and what they are."""


def load(kind: str, name: str, target: str, origin: str) -> Any:
    """Import a plug-in's class and check that it is one.

    Args:
        target: `module:Class`.
        origin: the distribution that it comes with.

    Raises:
        BrokenPlugIn: it cannot be imported, or is not what its kind needs; says what was expected, and where.
    """
    module_name, _, attribute = target.partition(":")
    where = f"{kind} '{name}' ({target}, from {origin})"
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # an author's module: whatever it raises is to be told
        raise BrokenPlugIn(f"{where} {_unimported(error, module_name, kind)}") from error
    if not hasattr(module, attribute):
        classes = [key for key, value in vars(module).items() if inspect.isclass(value)]
        raise BrokenPlugIn(
            f"{where}: module '{module_name}' ({module.__file__}) has no '{attribute}'."
            f"{did_you_mean(attribute, classes)} {_declared(kind)} names MODULE:CLASS"
        )
    thing = getattr(module, attribute)
    if wrong := _faults(kind, name, thing):
        raise BrokenPlugIn("\n  ".join([f"{where} cannot be used ({module.__file__}):", *wrong]))
    return thing


def _declared(kind: str) -> str:
    return f'[project.entry-points."facevoice_bench.{kind}s"]'


def _unimported(error: Exception, module: str, kind: str) -> str:
    from benchmark.tracebacks import last_lines

    if isinstance(error, ModuleNotFoundError) and error.name:
        if module == error.name or module.startswith(f"{error.name}."):
            return f"cannot be found: there is no module '{error.name}'. {_declared(kind)} names MODULE:CLASS"
        top = error.name.partition(".")[0]
        return f"needs the module '{error.name}', which is not installed: pip install {top}"
    return f"does not import:\n{last_lines(error)}"


def _faults(kind: str, name: str, thing: Any) -> list[str]:
    """What is wrong with a class, a line each."""
    base_module, _, base_name = BASES[kind].partition(":")
    base = getattr(importlib.import_module(base_module), base_name)
    if not (inspect.isclass(thing) and issubclass(thing, base)):
        got = f"class {thing.__name__}" if inspect.isclass(thing) else f"a {type(thing).__name__}"
        return [f"expected a class derived from {base_module}.{base_name}, got {got}"]
    wrong = []
    for attribute, (expected, what) in ATTRIBUTES[kind].items():
        value = getattr(thing, attribute, None)
        if value is None:
            wrong.append(f"it has no attribute `{attribute}`: {what}")
        elif not isinstance(value, expected):
            wrong.append(f"`{attribute}` is {value!r}, expected {expected.__name__}: {what}")
    if (
        kind == "method"
        and inspect.isclass(getattr(thing, "Config", None))
        and not dataclasses.is_dataclass(thing.Config)
    ):
        wrong.append("`Config` is not a dataclass: put @dataclass(frozen=True) above it")
    if isinstance(getattr(thing, "name", None), str) and thing.name != name:
        wrong.append(f"its `name` is '{thing.name}', expected '{name}', as {_declared(kind)} calls it")
    for task in _tasks(kind, thing):
        known = _known_tasks(kind)
        if task not in known:
            wrong.append(f"there is no task '{task}'.{did_you_mean(task, known)} Tasks: {', '.join(known)}")
    if missing := sorted(thing.__abstractmethods__):
        wrong.append(f"it lacks {', '.join(f'`{method}`' for method in missing)}: see {base_module}.{base_name}")
    return wrong


def _tasks(kind: str, thing: Any) -> list[str]:
    if kind == "dataset":
        return list(thing.tasks)
    further = thing.further_tasks if kind == "method" else ()
    return [task for task in (getattr(thing, "task", None), *further) if isinstance(task, str)]


def _known_tasks(kind: str) -> list[str]:
    from benchmark.tasks import TASKS

    return ["speech2face", "speech"] if kind == "metric" else list(TASKS)


def described(kind: str, name: str, target: str, origin: str) -> tuple[str, str]:
    """Title (else the first line of its docstring) and tasks as the class itself gives them.

    Raises:
        BrokenPlugIn: as `load`.
    """
    thing = load(kind, name, target, origin)
    title = getattr(thing, "title", None) or (thing.__doc__ or "").strip().partition("\n")[0]
    return title, ", ".join(_tasks(kind, thing))
