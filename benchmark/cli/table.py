"""`table`: a paper's table, reported beside measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmark.cli import options

if TYPE_CHECKING:
    from benchmark.papers.beside import Filled
    from benchmark.papers.reported import Table
    from benchmark.papers.tables import Block, Page

HEADS = (26, 20, 14)
"""Widths at which heads of columns break into lines: the first that leaves room for the names of rows."""
NAME = 12
"""Least width of these."""


def table(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[PAPER/N]", help="Table, paper, or `all`; without it the tables are listed."),
    ] = None,
    run: Annotated[bool, typer.Option("--run", help="Run first what is not measured yet.")] = False,
    dataset: Annotated[
        str | None,
        typer.Option(
            help="Dataset to measure on.  [default: the paper's, if there are results on it, --data-root is given, or "
            "--run finds it on this machine; else talkers]"
        ),
    ] = None,
    data_root: options.DataRoot = None,
    rows: Annotated[
        list[str] | None,
        typer.Option(
            "--row", metavar="LABEL=RUN", help="Run directory or result file that measures a row; repeatable."
        ),
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option("--columns", metavar="NAMES", help="Only these columns, with commas between; repeatable."),
    ] = None,
    by: options.By = None,
    runs: options.Runs = Path("runs"),
    device: options.Device = "auto",
    workers: options.Workers = None,
    out: Annotated[
        Path | None,
        typer.Option(help="File that ends in .md, .csv, .tex or .json, or a folder for all four and an index."),
    ] = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Print a paper's table beside what is measured here, with the command that measures each row.

    Measured numbers come from the folder of runs and, in a checkout, from leaderboards/results. With --by they stand
    over groups of people or recordings, with how far these lie apart; what a paper reports has no groups.

    \b
    python -m benchmark table
    python -m benchmark table sf2f/3
    python -m benchmark table sf2f/3 --run --columns cosine,R@10
    python -m benchmark table sf2f/3 --by sex
    python -m benchmark table all --out tables
    """
    from benchmark.cli.console import note, print_json
    from benchmark.cli.groups import check_by
    from benchmark.cli.listing import listing
    from benchmark.errors import UsageError
    from benchmark.papers import tables
    from benchmark.papers.beside import named

    if name is None:
        listing("tables", as_json=as_json)
        return
    asked, groups = named(name), check_by(by)
    if out is not None and out.suffix in tables.FORMATS and (count := len(asked) * max(len(groups), 1)) > 1:
        raise UsageError(f"--out {out}: {count} tables want a folder, not a file")
    if out is not None and out.suffix and out.suffix not in tables.FORMATS and not out.is_dir():
        raise UsageError(f"--out {out}: expected a name that ends in {', '.join(tables.FORMATS)}, or a folder")
    if (rows or columns) and len(asked) > 1:
        raise UsageError("--row and --columns are of one table; name it, as in sf2f/3")
    if data_root is not None and dataset is None:
        of_papers = {cell.corpus.dataset for item in asked for cell in item.cells() if cell.corpus} - {""}
        if len(of_papers) != 1:
            raise UsageError("--data-root: say with --dataset, too, whose recordings lie there")
        (dataset,) = of_papers
    shown = _filled(asked, run, dataset, data_root, rows or [], columns, runs, device, workers, quiet)
    if groups:
        _show_groups(shown, groups, data_root, dataset, out, as_json, quiet)
    elif out is not None:
        if out.suffix in tables.FORMATS:
            tables.write(shown[0], out)
            note(f"Table: {out}", quiet)
        else:
            tables.write_folder(shown, out)
            note(f"Tables: {out / 'index.md'}", quiet)
    elif as_json:
        print_json([{"table": filled.table.name, "cells": tables.records(filled)} for filled in shown])
    else:
        for place, filled in enumerate(shown):
            if place:
                print()
            show_page(tables.page(filled))


def _show_groups(
    shown: Sequence[Filled],
    by: Sequence[str],
    data_root: Path | None,
    dataset: str | None,
    out: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Print or write each table over the groups of each `--by`; of several, one that has none is told of and left out.

    Raises:
        UsageError, MissingDataset: none has groups.
    """
    from benchmark.cli.console import note, print_json
    from benchmark.cli.groups import Attributes
    from benchmark.errors import MissingDataset, UsageError
    from benchmark.papers import groups

    attributes = Attributes(data_root, dataset, quiet)
    found: list[groups.ByGroups] = []
    refused: list[UsageError | MissingDataset] = []
    for filled in shown:
        for text in by:
            try:
                found.append(groups.by_groups(filled, text, attributes))
            except (UsageError, MissingDataset) as error:
                refused.append(error)
                if len(shown) > 1:
                    note(f"Without {filled.table.name}: {error}", quiet)
    if refused and (len(shown) == 1 or not found):
        raise refused[0]
    if out is not None and out.suffix in groups.FORMATS:
        groups.write(found[0], out)
        note(f"Table: {out}", quiet)
    elif out is not None:
        for path in groups.write_folder(found, out):
            note(f"Table: {path}", quiet)
    elif as_json:
        print_json([{"table": e.filled.table.name, "by": e.name, "cells": groups.records(e)} for e in found])
    else:
        for place, each in enumerate(found):
            if place:
                print()
            show_page(groups.page(each))


def _filled(
    asked: Sequence[Table],
    run: bool,
    dataset: str | None,
    data_root: Path | None,
    rows: Sequence[str],
    columns: list[str] | None,
    runs: Path,
    device: str,
    workers: int | None,
    quiet: bool,
) -> list[Filled]:
    """The tables with what is measured; what is missing is run before, if that is asked for."""
    from benchmark.cli.console import bars, note
    from benchmark.datasets.places import known_root
    from benchmark.errors import UsageError
    from benchmark.papers.beside import fill
    from benchmark.papers.making import Runner
    from benchmark.papers.needs import RUNS, Shelves
    from benchmark.results.finding import Kept
    from benchmark.runs.evaluation import find_run, read_result

    given = {}
    for text in rows:
        label, equals, place = text.rpartition("=")
        if not equals or not label:
            raise UsageError(f"--row takes LABEL=RUN, got '{text}'")
        path = Path(place) if Path(place).is_file() else find_run(place, runs)
        given[label] = Kept(path, read_result(path))

    of_papers = {cell.corpus.dataset for item in asked for cell in item.cells() if cell.corpus} - {""}
    # What is run is run on the paper's corpus where the user keeps it, as `run --protocol` does.
    at_hand = {name for name in of_papers if known_root(name)} if run and data_root is None else set()

    def filled() -> list[Filled]:
        shelves = Shelves(runs)
        if runs != RUNS and not run and not runs.is_dir():
            note(f"--runs {runs}: no such folder, so all measured numbers are published ones", quiet)
        for line in shelves.unread:
            note(line, quiet)
        return [
            fill(item, shelves.results, dataset=dataset, given=given, columns=options.names(columns), at_hand=at_hand)
            for item in asked
        ]

    shown = filled()
    if not run:
        return shown
    missing = [item for table in shown for item in table.missing]
    with bars(quiet) as progress:
        runner = Runner(runs, data_root, device, workers, lambda line: note(line, quiet), progress)
        runner.run(missing)
    for line in runner.notes:
        note(line, quiet)
    return filled()


def show_page(page: Page) -> None:
    """Print a table as wide as the terminal allows; heads and names break into lines, numbers never do."""
    import sys
    import textwrap

    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table as Grid
    from rich.text import Text

    from benchmark.cli.console import GAP, WIDTH, print_table
    from benchmark.papers import tables
    from benchmark.reports.escaping import printable

    console = Console() if sys.stdout.isatty() else Console(width=WIDTH)

    def say(line: str, whole: bool = not sys.stdout.isatty()) -> None:
        console.print(Text(printable(line)), soft_wrap=whole)

    say(page.title)
    for block in page.blocks:
        console.print()
        labels = [printable(f"  {label}") for _, rows in block.shown for label, *_ in rows]
        cells = [[printable(text) for text in column] for column in _columns(block)]
        heads = [printable(text) for text in block.heads]
        widths = _widths(heads, cells, console.width - max(map(cell_len, labels)))
        shown = Grid(header_style="bold", box=None, pad_edge=False, padding=(0, GAP, 0, 0))
        room = console.width - sum(widths) - GAP * (len(widths) + 1)
        name = max(NAME, min(room, max(map(cell_len, labels))))
        shown.add_column("", width=name, overflow="fold")
        for head, width in zip(heads, widths, strict=True):
            shown.add_column(Text("\n".join(textwrap.wrap(head, width))), justify="right", width=width)
        place = 0
        for head, rows in block.shown:
            shown.add_row(Text(printable(head), style="bold"))
            for _ in rows:
                shown.add_row(Text(labels[place]), *(Text(column[place]) for column in cells))
                place += 1
        whole = name + sum(widths) + GAP * (len(widths) + 1)
        Console(width=max(console.width, whole)).print(shown)  # no number is ever cut
    console.print()
    for number, line in enumerate(page.notes, 1):
        say(f"[{number}] {line}")
    if why := tables.no_order(page.orders):
        if page.orders:
            say(why)
    else:
        console.print()
        print_table(tables.ORDER_HEADS, page.orders, right=[1, 2, 3])
        say(tables.ABOUT_ORDERS)
    console.print()
    for line in page.remarks:
        say(line)
    console.print()
    say("What measures each row:")
    for rows, answer in page.commands:
        say(f"  {rows}:")
        for line in answer:
            say(f"    {line}", whole=True)  # to be copied
    for about, command in tables.by_protocol(page.protocol) if page.protocol else ():
        say(f"  {about}:")
        say(f"    {command}", whole=True)


def _columns(block: Block) -> list[tuple[str, ...]]:
    """Cells of a block behind the labels of its rows, by column."""
    return list(zip(*(cells for _, rows in block.shown for _, *cells in rows), strict=True))


def _widths(heads: Sequence[str], cells: Sequence[Sequence[str]], room: int) -> list[int]:
    """Of columns: as wide as their cells, and where that leaves room as their heads in two lines or so."""
    from rich.cells import cell_len

    from benchmark.cli.console import GAP

    words = [max(map(cell_len, head.split())) for head in heads]
    least = [max(width, *map(cell_len, column)) for width, column in zip(words, cells, strict=True)]
    for most in HEADS:
        widths = [max(width, min(cell_len(head), most)) for head, width in zip(heads, least, strict=True)]
        if sum(widths) + GAP * (len(widths) + 1) <= room:
            break
    return widths
