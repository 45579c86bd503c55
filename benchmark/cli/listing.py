"""`list`: what there is; imports nothing heavy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmark import registry
from benchmark.cli import options
from benchmark.cli.console import note, print_json, print_table
from benchmark.errors import BrokenPlugIn, UnknownName

BOOKS = {
    "methods": registry.methods,
    "metrics": registry.metrics,
    "datasets": registry.datasets,
    "trainers": registry.trainers,
}
KINDS = (*BOOKS, "tasks", "weights", "runs", "figures", "tables", "protocols")


def listing(
    kind: Annotated[str, typer.Argument(help=f"One of: {', '.join(KINDS)}.", metavar="KIND")] = "methods",
    runs: options.Runs = Path("runs"),
    as_json: options.Json = False,
) -> None:
    """List methods, metrics, datasets, trainers, tasks, weights, runs, or the papers' figures, tables or protocols.

    \b
    python -m benchmark list metrics
    """
    if kind not in KINDS:
        raise UnknownName(f"Unknown kind '{kind}'.{registry.did_you_mean(kind, KINDS)} Expected: {', '.join(KINDS)}")
    if kind == "runs":
        columns, rows = ["run", "method", "task", "dataset", "clips", "state"], _runs(runs)
    elif kind == "figures":
        from benchmark.papers.figures import FIGURES

        columns = ["figure", "what", "state"]
        rows = [
            [each.name, each.title, f"waits for {each.unbuilt}" if each.unbuilt else "built"]
            for each in FIGURES.values()
        ]
    elif kind == "tables":
        from benchmark.papers.reported import load, papers

        columns = ["table", "paper", "title"]
        rows = [[item.name, load(paper).name, item.title] for paper in papers() for item in load(paper).tables]
    elif kind == "protocols":
        from benchmark.protocols import book

        columns = ["protocol", "paper", "task", "what"]
        known = [each for key in book.books() for each in book.load(key).protocols.values()]
        rows = [[each.name, f"{each.paper}, {each.place}", each.task, each.title] for each in known]
    elif kind == "tasks":
        from benchmark.tasks import TASKS

        columns = ["task", "what", "primary", "metrics"]
        rows = [[task.name, task.title, task.primary, ", ".join(task.metrics)] for task in TASKS.values()]
    elif kind == "weights":
        from benchmark.cli import weights

        columns, rows = weights.overview()
        if as_json:
            print_json(weights.records())
            return
    else:
        book = BOOKS[kind]
        entries = {name: _described(book, name) for name in sorted(book)}
        about = ["title"] if kind == "datasets" else ["title", "task"]
        if as_json or any(entry.origin for entry in entries.values()):
            about.append("origin")
        columns = [kind[:-1], *({"title": "what", "origin": "from"}.get(column, column) for column in about)]
        rows = [[name, *(getattr(entry, column) for column in about)] for name, entry in entries.items()]
        for line in book.hidden:
            note(line)
    if as_json:
        print_json([dict(zip(columns, row, strict=True)) for row in rows])
    else:
        print_table(columns, rows)


def _described(book: registry.Registry, name: str) -> registry.Entry:
    """What there is to be said of a name, also of a plug-in that cannot be used."""
    try:
        return book.described(name)
    except BrokenPlugIn as error:
        entry = book.entry(name)
        return registry.Entry(entry.target, str(error).splitlines()[0], "?", entry.origin)


def _runs(folder: Path) -> list[list[str]]:
    rows: list[list[Any]] = []
    for path in sorted(folder.glob("*/run.json")):
        broken = path.name
        try:
            about = json.loads(path.read_text(encoding="utf-8"))
            spec = about["spec"]
            clips = "whole" if spec["seconds"] is None else f"{spec['seconds']:g} s"
            row = [path.parent.name, about["label"], spec["task"], f"{spec['dataset']} {spec['split']}", clips]
            state = "unscored"
            result = path.with_name("result.json")
            if result.is_file():
                broken = result.name
                state = "partial" if json.loads(result.read_text(encoding="utf-8"))["partial"] else "scored"
            state += f", first {about['limit']} samples" if about.get("limit") else ""
            rows.append([*map(str, row), state])
        except (OSError, ValueError, KeyError, TypeError):
            rows.append([path.parent.name, *["?"] * 4, f"{broken} is broken"])
    return rows
