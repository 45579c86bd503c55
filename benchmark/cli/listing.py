"""`list`: what there is; imports nothing heavy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmark import registry
from benchmark.cli import options
from benchmark.cli.console import print_json, print_table
from benchmark.errors import UnknownName

KINDS = ("methods", "metrics", "datasets", "tasks", "weights", "runs")


def listing(
    kind: Annotated[str, typer.Argument(help=f"One of: {', '.join(KINDS)}.", metavar="KIND")] = "methods",
    runs: options.Runs = Path("runs"),
    as_json: options.Json = False,
) -> None:
    """List methods, metrics, datasets, tasks, weights or runs.

    \b
    python -m benchmark list metrics
    """
    if kind not in KINDS:
        raise UnknownName(f"Unknown kind '{kind}'.{registry.did_you_mean(kind, KINDS)} Expected: {', '.join(KINDS)}")
    if kind == "runs":
        columns, rows = ["run", "method", "task", "dataset", "clips", "state"], _runs(runs)
    elif kind == "tasks":
        from benchmark.tasks import TASKS

        columns = ["task", "what", "primary", "metrics"]
        rows = [[task.name, task.title, task.primary, ", ".join(task.metrics)] for task in TASKS.values()]
    elif kind == "weights":
        from benchmark import weights

        columns = ["weights", "MiB", "licence", "here"]
        rows = [
            [item.name, f"{item.size_mib:.1f}", item.licence, "yes" if weights.is_here(item.name) else "no"]
            for item in weights.TABLE.values()
        ]
    else:
        book = {"methods": registry.methods, "metrics": registry.metrics, "datasets": registry.datasets}[kind]
        columns = [kind[:-1], "what"] + ([] if kind == "datasets" else ["task"])
        rows = [
            [name, book.entry(name).title] + ([] if kind == "datasets" else [book.entry(name).task])
            for name in sorted(book)
        ]
    if as_json:
        print_json([dict(zip(columns, row, strict=True)) for row in rows])
    else:
        print_table(columns, rows)


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
