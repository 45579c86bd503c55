"""What every verb prints with: tables on stdout, progress and messages on stderr."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from benchmark.reports.escaping import json_text, printable

WIDTH = 170
"""Columns used where stdout is not a terminal, so that piped tables do not wrap."""


def print_json(value: Any) -> None:
    print(json_text(json.dumps(value, indent=2, ensure_ascii=False)))


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], title: str = "", right: Sequence[int] = ()
) -> None:
    """A table; columns whose numbers are in `right` are aligned right. Nothing in it is taken for markup."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(header_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for number, name in enumerate(columns):
        justify = "right" if number in right else "left"
        table.add_column(Text(printable(name)), justify=justify, overflow="fold")  # type: ignore[arg-type]
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    console = Console() if sys.stdout.isatty() else Console(width=WIDTH)
    if title:
        console.print(Text(printable(title)))
    console.print(table)


def note(line: str, quiet: bool = False) -> None:
    """A line for the reader, not for the pipe."""
    if not quiet:
        print(printable(line), file=sys.stderr)


@contextlib.contextmanager
def bars(quiet: bool) -> Iterator[Callable[[str], Callable[[str, int, int], None]]]:
    """Progress bars: yields a function from a row's label to its callback `progress(stage, done, total)`.

    Where stderr is no terminal, each finished stage is one line instead.
    """
    if quiet:
        yield lambda label: lambda stage, done, total: None
        return
    if not sys.stderr.isatty():
        told: set[tuple[str, str]] = set()

        def plain(label: str) -> Callable[[str, int, int], None]:
            def callback(stage: str, done: int, total: int) -> None:
                if done >= total > 0 and (label, stage) not in told:
                    told.add((label, stage))
                    print(printable(f"{label}: {stage} {done}/{total}"), file=sys.stderr)

            return callback

        yield plain
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
    tasks: dict[tuple[str, str], Any] = {}
    with progress:

        def live(label: str) -> Callable[[str, int, int], None]:
            def callback(stage: str, done: int, total: int) -> None:
                key = (label, stage)
                if key not in tasks:
                    tasks[key] = progress.add_task(escape(printable(f"{label}: {stage}")), total=total)
                progress.update(tasks[key], completed=done, total=total)

            return callback

        yield live
