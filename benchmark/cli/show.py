"""`show`: a run's table, or the card of a method, metric, dataset or task."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmark.cli import options

if TYPE_CHECKING:
    from benchmark.tasks import Task


def show(
    name: Annotated[str, typer.Argument(help="Run directory or id; or a method, metric, dataset, task.")],
    runs: options.Runs = Path("runs"),
    signatures: options.Signatures = False,
    as_json: options.Json = False,
) -> None:
    """Print a run's result again, or what a method, metric, dataset or task is.

    \b
    python -m benchmark show runs/sf2f-talkers-3f2a9c01de --signatures
    python -m benchmark show sf2f
    """
    from benchmark import registry
    from benchmark.cli.console import print_json

    for book in (registry.methods, registry.metrics, registry.datasets):
        if book is registry.metrics:
            name = registry.NUMBERS.get(name, name)
        if name in book:
            card = describe(name, book)
            if as_json:
                print_json({"name": name, "kind": book.kind, "card": card})
            else:
                print(card)
            return
    from benchmark.cli.tables import show_failures, show_results
    from benchmark.evaluation import find_run, read_result
    from benchmark.tasks import TASKS, get_task

    if name in TASKS:
        about = describe_task(TASKS[name])
        if as_json:
            print_json({"name": name, "kind": "task", **about})
        else:
            print("\n".join([f"{name}: {TASKS[name].title}", "", *(f"{k}: {v}" for k, v in about.items())]))
        return
    result = read_result(find_run(name, runs))
    if as_json:
        print_json(result.model_dump())
        return
    show_results([result], get_task(result.spec.task).columns, signatures)
    show_failures(result, quiet=False)


def describe_task(task: Task) -> dict[str, str]:
    """What goes in and out, how it is scored, and who serves it."""
    from benchmark.registry import methods

    protocol = task.protocol
    length = "whole recordings" if protocol.seconds is None else f"clips of {protocol.seconds:g} s"
    return {
        "inputs": ", ".join(f"{field} ({kind})" for field, kind in task.inputs.items()),
        "output": task.output,
        "truth": task.target,
        "protocol": f"{length}, {protocol.repeats} repeat{'s' if protocol.repeats > 1 else ''}",
        "metrics": ", ".join(task.metrics),
        "ranked by": task.primary,
        "rows beside a method": ", ".join(task.references),
        "methods": ", ".join(name for name in sorted(methods) if task.name in methods.entry(name).task.split(", ")),
    }


def describe(name: str, book: object) -> str:
    """The card beside the code, or the docstring where there is no card."""
    import inspect
    import sys

    from benchmark.registry import Registry

    assert isinstance(book, Registry)
    kind = book.load(name)
    source = sys.modules[kind.__module__].__file__
    module = Path(source or "")
    card = {"method": module.with_name("README.md"), "metric": module.with_suffix(".md")}.get(book.kind)
    if card is not None and card.is_file():
        return card.read_text(encoding="utf-8").rstrip()
    lines = [f"{name}: {book.entry(name).title}", "", inspect.getdoc(sys.modules[kind.__module__]) or ""]
    lines += ["", inspect.getdoc(kind) or ""]
    if book.kind == "dataset":
        lines += [
            "",
            f"Revision {kind.revision}; splits: {', '.join(kind.splits)}; tasks: {', '.join(kind.tasks)}",
            kind.layout,
        ]
    return "\n".join(lines).rstrip()
