"""`show`: a run's table, or the card of a method, metric or dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmark.cli import options


def show(
    name: Annotated[str, typer.Argument(help="Run directory or id; or a method, metric, dataset.")],
    runs: options.Runs = Path("runs"),
    signatures: options.Signatures = False,
    as_json: options.Json = False,
) -> None:
    """Print a run's result again, or what a method, metric or dataset is.

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
    from benchmark.tasks import get_task

    result = read_result(find_run(name, runs))
    if as_json:
        print_json(result.model_dump())
        return
    show_results([result], get_task(result.spec.task).columns, signatures)
    show_failures(result, quiet=False)


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
