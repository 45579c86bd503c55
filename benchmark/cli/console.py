"""What every verb prints with: tables on stdout, progress and messages on stderr."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from benchmark.reports.columns import GAP, side_by_side
from benchmark.reports.escaping import json_text, printable, printable_lines

FIRST = 14
"""Width down to which the first column of a table of numbers gives way, where its words allow."""
WIDTH = 170
"""Columns used where stdout is not a terminal, so that piped tables do not wrap."""


def print_json(value: Any) -> None:
    narrow = not (sys.stdout.encoding or "").lower().startswith("utf")
    print(json_text(json.dumps(value, indent=2, ensure_ascii=narrow)))


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], title: str = "", right: Sequence[int] = ()
) -> None:
    """A table. Nothing in it is taken for markup.

    Where it is too wide, a table that has numbers breaks its first column between words, and where that is not enough
    continues below, with its first column again; one of words alone breaks all its cells. A word, or a number, is never
    cut.

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
    room = console.width + GAP - min(whole[0], FIRST + GAP) if right else None
    beside = side_by_side(whole[1:], room)
    for place, block in enumerate([0, *(number + 1 for number in rest)] for rest in beside):
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


def _widths(lines: Sequence[Sequence[str]], most: int) -> list[int]:
    """Of columns: their longest cells; where that is too much the widest give way, down to their longest word."""
    from rich.cells import cell_len

    columns = list(zip(*lines, strict=True))
    least = [max(cell_len(word) for text in column for word in ["", *text.split()]) for column in columns]
    widths = [max(map(cell_len, column)) for column in columns]
    for _ in range(sum(widths) + GAP * (len(widths) - 1) - most):
        widest = max(range(len(widths)), key=lambda place: (widths[place] > least[place], widths[place]))
        widths[widest] = max(widths[widest] - 1, least[widest])
    return widths


def terminal_width() -> int | None:
    """Places on a line of the terminal; None where stdout is none, and lines may be as long as they are."""
    from rich.console import Console

    return Console().width if sys.stdout.isatty() else None


def shows_bold() -> bool:
    """Whether stdout is a terminal that can set words in bold."""
    from rich.console import Console

    return sys.stdout.isatty() and Console().color_system is not None


def print_lines(lines: Sequence[str]) -> None:
    """Sentences, each on a line of its own; on a terminal they break between words."""
    from rich.console import Console
    from rich.text import Text

    for line in map(printable, lines):
        if sys.stdout.isatty():
            Console().print(Text(line))
        else:
            print(line)


def print_spans(lines: Sequence[Sequence[tuple[str, bool]]]) -> None:
    """Lines of a table as they are, of parts that are bold or not; elsewhere than on a terminal none is.

    Args:
        lines: parts as (printable text, bold).
    """
    from rich.console import Console
    from rich.text import Text

    for line in lines:
        text = Text.assemble(*((part, "bold" if bold else "") for part, bold in line))
        text.rstrip()
        if sys.stdout.isatty():
            Console().print(text, soft_wrap=True)
        else:
            print(text.plain)


def note(line: str, quiet: bool = False) -> None:
    """A line for the reader, not for the pipe."""
    if not quiet:
        print(printable(line), file=sys.stderr)


def complain(what: str) -> None:
    """What went wrong, however quiet the command is to be."""
    print(printable_lines(f"error: {what}"), file=sys.stderr)


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
