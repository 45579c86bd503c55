"""What every verb prints with: tables on stdout, progress and messages on stderr."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from benchmark.reports.escaping import json_text, printable

WIDTH = 170
"""Columns used where stdout is not a terminal, so that piped tables do not wrap."""


def print_json(value: Any) -> None:
    narrow = not (sys.stdout.encoding or "").lower().startswith("utf")
    print(json_text(json.dumps(value, indent=2, ensure_ascii=narrow)))


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], title: str = "", right: Sequence[int] = ()
) -> None:
    """A table; columns whose numbers are in `right` are aligned right. Nothing in it is taken for markup.

    Where it is too wide its cells break between words; a word, or a number, is never cut.
    """
    from rich.console import Console
    from rich.measure import Measurement
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
    needed = Measurement.get(console, console.options.update(max_width=sys.maxsize), table).minimum
    Console(width=max(console.width, needed)).print(table, soft_wrap=needed > console.width)


def note(line: str, quiet: bool = False) -> None:
    """A line for the reader, not for the pipe."""
    if not quiet:
        print(printable(line), file=sys.stderr)


@contextlib.contextmanager
def bars(quiet: bool) -> Iterator[Callable[[str], Callable[..., None]]]:
    """Progress on stderr: yields a function from a row's label to its callback `progress(stage, done, total, about)`.

    On a terminal every running stage is a bar; elsewhere it is a line every half minute.
    """
    if quiet:
        yield lambda label: lambda stage, done, total, about="": None
        return
    from rich.console import Console

    from benchmark.cli.progress import Bars, Lines

    console = Console(stderr=True)
    display = Bars(console) if sys.stderr.isatty() and console.is_interactive else Lines()
    try:
        yield lambda label: partial(display.tell, printable(label))
    finally:
        display.close()
