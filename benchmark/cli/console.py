"""What every verb prints with: tables on stdout, progress and messages on stderr."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from benchmark.reports.escaping import json_text, printable

GAP = 2
"""Columns between those of a table."""
WIDTH = 170
"""Columns used where stdout is not a terminal, so that piped tables do not wrap."""


def print_json(value: Any) -> None:
    narrow = not (sys.stdout.encoding or "").lower().startswith("utf")
    print(json_text(json.dumps(value, indent=2, ensure_ascii=narrow)))


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], title: str = "", right: Sequence[int] = ()
) -> None:
    """A table. Nothing in it is taken for markup.

    Where it is too wide, a table that has numbers continues below, with its first column again; one of words alone
    breaks its cells between words. A word, or a number, is never cut.

    Args:
        right: columns of numbers, aligned right.
    """
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    lines = [[printable(cell) for cell in line] for line in (columns, *rows)]
    console = Console() if sys.stdout.isatty() else Console(width=WIDTH)
    if title:
        console.print(Text(printable(title)))
    whole = [max(map(cell_len, column)) + GAP for column in zip(*lines, strict=True)]
    for place, block in enumerate(_blocks(whole, console.width + GAP) if right else [list(range(len(columns)))]):
        shown = [[line[number] for number in block] for line in lines]
        widths = _widths(shown, console.width)
        table = Table(header_style="bold", box=None, pad_edge=False, padding=(0, GAP, 0, 0))
        for number, name, width in zip(block, shown[0], widths, strict=True):
            justify = "right" if number in right else "left"
            table.add_column(Text(name), justify=justify, overflow="fold", width=width)  # type: ignore[arg-type]
        for line in shown[1:]:
            table.add_row(*map(Text, line))
        if place:
            console.print()
        Console(width=max(console.width, sum(widths) + GAP * len(widths))).print(table)


def _blocks(widths: Sequence[int], room: int) -> list[list[int]]:
    """Columns that stand side by side, the first one in every block.

    >>> _blocks([10, 5, 5, 5, 30, 5], 20)
    [[0, 1, 2], [0, 3], [0, 4], [0, 5]]
    """
    blocks = [[0]]
    for number, width in enumerate(widths[1:], 1):
        if len(blocks[-1]) > 1 and sum(widths[known] for known in blocks[-1]) + width > room:
            blocks.append([0])
        blocks[-1].append(number)
    return blocks


def _widths(lines: Sequence[Sequence[str]], most: int) -> list[int]:
    """Of columns: their longest cells; where that is too much the widest give way, down to their longest word."""
    from rich.cells import cell_len

    columns = list(zip(*lines, strict=True))
    least = [max(cell_len(word) for text in column for word in ["", *text.split()]) for column in columns]
    widths = [max(map(cell_len, column)) for column in columns]
    for _ in range(sum(widths) + GAP * len(widths) - most):
        widest = max(range(len(widths)), key=lambda place: (widths[place] > least[place], widths[place]))
        widths[widest] = max(widths[widest] - 1, least[widest])
    return widths


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
