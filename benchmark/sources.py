"""Hash the code that makes something, so that what another state of the code made can be told apart.

Of this project's code the modules that a module imports are hashed, directly or through others, as far as they lie in
the packages that are named; of other code all Python files of its distribution. A hash is of the files as they are,
comments included: whether a change matters is not for a hash to judge.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The folder of the packages `benchmark`, `baselines` and `metrics`."""
OWN = ("benchmark", "baselines", "metrics")
INPUTS = ("benchmark.tasks", "benchmark.media", "benchmark.runs.generation")
"""What opens and crops the inputs of a method, and writes its outputs."""
_READERS = ("metrics.speech.items", "benchmark.media.clips", "benchmark.media.mixing", "benchmark.media")
"""What opens outputs and true files for metrics."""


def source_of_method(kind: type) -> str:
    """Hash of what a method's outputs depend on: its code, and what opens its inputs and writes its outputs."""
    return _short(_source_of(kind, ("baselines", *INPUTS)), *_files_behind(INPUTS, INPUTS))


def source_together(*sources: str) -> str:
    """Hash of the code of methods that made outputs together, by the hash of each; of one, its own.

    >>> source_together("0123456789ab")
    '0123456789ab'
    """
    return sources[0] if len(sources) == 1 else _short(" ".join(sources))


def source_of_metric(kind: type) -> str:
    """Hash of what a metric's rows depend on: its code, the networks, which are found by name, and what reads files."""
    networks = tuple(f"metrics.networks.{path.stem}" for path in sorted((ROOT / "metrics" / "networks").glob("*.py")))
    shared = _files_behind((*networks, *_READERS), ("metrics", *_READERS))
    return _short(_source_of(kind, ("metrics",)), *shared)


def source_of_modules(*names: str, within: Iterable[str], also: str = "") -> str:
    """Hash of modules of this project, of what they import from the packages or modules `within`, and of a text."""
    return _short(also, *_files_behind(names, tuple(within)))


def _source_of(kind: type, within: tuple[str, ...]) -> str:
    module = kind.__module__
    if module.partition(".")[0] in OWN:
        return _short("", *_files_behind((module,), (module.rpartition(".")[0], *within)))
    return _short("", *_foreign_files(module))


@functools.cache
def _files_behind(names: tuple[str, ...], within: tuple[str, ...]) -> tuple[Path, ...]:
    """The files of modules, and of those that they import, as far as these are `within`."""
    found: dict[str, Path] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in found or not any(name == base or name.startswith(f"{base}.") for base in (*names, *within)):
            continue
        base = ROOT / name.replace(".", "/")
        file = next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)
        if file is None:  # a name imported from a module, not a module
            continue
        found[name] = file
        waiting += _imports(file, name if file.name == "__init__.py" else name.rpartition(".")[0])
    return tuple(found[name] for name in sorted(found))


@functools.cache
def _imports(file: Path, package: str) -> tuple[str, ...]:
    """Everything that might be a module among what a file imports, wherever in it."""
    names: list[str] = []
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return tuple(names)


@functools.cache
def _foreign_files(module: str) -> tuple[Path, ...]:
    """The Python files of a module's top package, and of the distribution that it was installed from."""
    from importlib import metadata

    top = module.partition(".")[0]
    files: set[Path] = set()
    loaded = sys.modules.get(top)
    for folder in getattr(loaded, "__path__", ()):
        files.update(path.resolve() for path in Path(folder).rglob("*.py"))
    if (own := getattr(loaded, "__file__", None)) and not files:  # a file by itself, with what is loaded from beside it
        folder = Path(own).resolve().parent
        known = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
        files.update(path for path in (Path(file).resolve() for file in known if file) if path.parent == folder)
    for name in set(metadata.packages_distributions().get(top, ())):
        with suppress(metadata.PackageNotFoundError):
            listed = metadata.files(name) or ()
            files.update(Path(str(file.locate())).resolve() for file in listed if file.suffix == ".py")
    return tuple(sorted(file for file in files if file.is_file()))


def _short(seed: str, *files: Path) -> str:
    """Twelve hexadecimal digits of the sha256 of files, by their names below their common roots, after a `seed`."""
    digest = hashlib.sha256(seed.encode())
    for file in files:
        name = file.relative_to(ROOT).as_posix() if file.is_relative_to(ROOT) else file.name
        digest.update(f"\0{name}\0".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]
