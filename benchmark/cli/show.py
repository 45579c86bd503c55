"""`show`: a run's table, or the card of a method, metric, dataset, task or protocol."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmark.cli import options

if TYPE_CHECKING:
    from types import ModuleType

    from benchmark.registry import Registry
    from benchmark.tasks import Task


def show(
    name: Annotated[
        str, typer.Argument(help="Run directory or id; or a method, metric, number, dataset, task, protocol.")
    ],
    runs: options.Runs = Path("runs"),
    columns: options.Columns = None,
    by: options.By = None,
    data_root: options.DataRoot = None,
    signatures: options.Signatures = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Print a run's result again, or what a method, metric, dataset, task or protocol is.

    With --by, every number of a run, of scored files or of a published result over groups of people or recordings, and
    how far these lie apart; a run's report gets the same tables and a picture.

    \b
    python -m benchmark show runs/sf2f-talkers-3f2a9c01de --signatures
    python -m benchmark show runs/sf2f-talkers-3f2a9c01de --by sex --by age
    python -m benchmark show flowavse --by noise
    python -m benchmark show sf2f
    python -m benchmark show sf2f/table3
    """
    if by:
        show_by(name, runs, by, options.names(columns), data_root, signatures, as_json, quiet)
        return
    from benchmark import registry
    from benchmark.cli.console import print_json

    for book in (registry.methods, registry.metrics, registry.datasets):
        own = registry.NUMBERS.get(name, name) if book is registry.metrics else name
        if own in book:
            card = describe(own, book)
            if as_json:
                print_json({"name": name, "kind": book.kind, "card": card})
            else:
                print(card)
            return
    from benchmark.cli.tables import show_failures, show_results
    from benchmark.errors import UsageError
    from benchmark.protocols import book
    from benchmark.runs.evaluation import find_run, read_result
    from benchmark.tasks import TASKS, get_task

    if name in TASKS:
        about = describe_task(TASKS[name])
        if as_json:
            print_json({"name": name, "kind": "task", **about})
        else:
            print("\n".join([f"{name}: {TASKS[name].title}", "", *(f"{k}: {v}" for k, v in about.items())]))
        return
    try:
        path = find_run(name, runs)
    except UsageError as error:
        if is_protocol(name):
            show_protocol(name, as_json)
            return
        if number := titled(name, runs):
            show(number, runs, columns, signatures, as_json)
            return
        names = [*registry.methods, *registry.metrics, *registry.NUMBERS, *registry.datasets, *TASKS, *book.names()]
        if near := registry.did_you_mean(name, names):
            raise UsageError(f"Unknown name '{name}'.{near} {error}") from None
        raise
    result = read_result(path)
    if as_json:
        print_json(result.model_dump())
        return
    show_results([result], get_task(result.spec.task).columns, signatures, options.names(columns))
    show_failures(result, quiet=False)


def show_by(
    name: str,
    runs: Path,
    by: list[str],
    columns: tuple[str, ...],
    data_root: Path | None,
    signatures: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Numbers of a run, of scored files or of a published result over groups."""
    from benchmark.cli.console import note, print_json
    from benchmark.cli.groups import check_by, of_stored, show_all, write_all
    from benchmark.reports.groups import as_dict
    from benchmark.results.comparison import find_scored

    asked = check_by(by)
    run = find_scored(name, runs)
    groups = of_stored(run, asked, columns, data_root, quiet)
    if as_json:
        print_json([as_dict(found[0]) for found in groups])
    else:
        show_all(groups, signatures)
    if run.path.is_dir():
        write_all(run.path / "report", groups, quiet)
    if run.published:
        note(f"Published with the project: {run.path}", quiet)


def is_protocol(name: str) -> bool:
    """Whether a name is meant as `PAPER/TABLE`, or as the user's own file of protocols."""
    from benchmark.protocols import book

    paper, slash, _ = name.partition("/")
    return (bool(slash) and paper in book.books()) or ".toml" in name


def show_protocol(name: str, as_json: bool) -> None:
    from benchmark.cli.console import print_json, print_lines
    from benchmark.protocols import book, telling

    protocol = book.find(name)
    if as_json:
        about = {"name": protocol.name, "kind": "protocol", "title": protocol.title, "place": protocol.place}
        about |= {"task": protocol.task, "numbers": protocol.numbers}
        print_json({**about, "parts": [dataclasses.asdict(part) for part in telling.parts(protocol)]})
    else:
        print_lines(telling.text(protocol).split("\n"))


def titled(title: str, runs: Path) -> str | None:
    """The number that tables print by that title, of papers or of results that are here: `R@10` is `recall_at_10`."""
    from benchmark import registry
    from benchmark.papers.needs import Shelves
    from benchmark.papers.reported import load, papers

    printed = [(item.head, item.number) for paper in papers() for table in load(paper).tables for item in table.columns]
    printed += [(item.title, item.name) for kept in Shelves(runs).results for item in kept.result.aggregates]
    known = (number for head, number in printed if head.casefold() == title.casefold())
    return next((number for number in known if number in registry.metrics or number in registry.NUMBERS), None)


def describe_task(task: Task) -> dict[str, str]:
    """What goes in and out, how it is scored, and who serves it."""
    from benchmark.registry import methods
    from benchmark.tasks import enrolled

    protocol = task.protocol
    length = "whole recordings" if protocol.seconds is None else f"clips of {protocol.seconds:g} s"
    enrolment = f", enrolment: {enrolled(protocol.enrolment)}" if protocol.enrolment else ""
    return {
        "inputs": ", ".join(f"{field} ({kind})" for field, kind in task.inputs.items()),
        "output": task.output,
        "truth": task.target,
        "protocol": f"{length}, {protocol.repeats} repeat{'s' if protocol.repeats > 1 else ''}{enrolment}",
        "metrics": ", ".join(task.metrics),
        "ranked by": task.primary,
        "columns": ", ".join(task.columns),
        "rows beside a method": ", ".join(task.references),
        "methods": ", ".join(name for name in sorted(methods) if task.name in _tasks(methods, name)),
    }


def _tasks(methods: Registry, name: str) -> list[str]:
    """Those that a method serves; none where it is a plug-in that cannot be used, which `list methods` tells."""
    from benchmark.errors import BrokenPlugIn

    try:
        return methods.described(name).task.split(", ")
    except BrokenPlugIn:
        return []


def describe(name: str, book: Registry) -> str:
    """The card beside the code; where there is none, and for plug-ins, the docstring and the settings."""
    import inspect
    import sys

    kind, entry = book.load(name), book.described(name)
    module = sys.modules[kind.__module__]
    card = _card(module, book.kind)
    if card and not entry.origin:
        return card
    title = f"{name}: {entry.title}" + (f" ({entry.task})" if entry.task else "")
    # Of the class itself: inspect.getdoc would answer with that of the class it derives from.
    parts = [title, *(inspect.cleandoc(text) for text in (module.__doc__, kind.__doc__) if text)]
    if entry.origin:
        parts.append(f"From {entry.origin}: {entry.target}")
    if book.kind == "method" and dataclasses.fields(kind.Config):
        parts.append("Settings (--set):\n" + "\n".join(_settings(kind.Config)))
    if book.kind == "dataset":
        about = f"Revision {kind.revision}; splits: {', '.join(kind.splits)}; tasks: {', '.join(kind.tasks)}"
        parts.append(f"{about}\n{kind.layout}")
    return "\n\n".join([*parts, *([card] if card else [])]).rstrip()


def _card(module: ModuleType, kind: str) -> str | None:
    """`README.md` beside a method's module, `stoi.md` beside `stoi.py`; nothing lies beside a module in no package."""
    source = Path(module.__file__ or "")
    path = {"method": source.with_name("README.md"), "metric": source.with_suffix(".md")}.get(kind)
    if path is None or not module.__package__ or not path.is_file():
        return None
    return path.read_text(encoding="utf-8").rstrip()


def _settings(config: type) -> Iterator[str]:
    for field in dataclasses.fields(config):
        if field.default is not dataclasses.MISSING:
            yield f"  {field.name} = {field.default!r}"
        elif field.default_factory is not dataclasses.MISSING:
            yield f"  {field.name} = {field.default_factory()!r}"
        else:
            yield f"  {field.name}, which has to be given"
