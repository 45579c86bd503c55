"""Results as text, a row per method, fitted to a width: pure functions of results.

Methods stand first, as they were asked for; the floors and ceilings that a table carries for comparison stand below,
apart. A cell is a value and its 95 % interval. Columns come in the task's order (`Task.columns`), so that what is left
out of a narrow table is what matters least.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from benchmark.registry import role
from benchmark.reports import tables
from benchmark.reports.best import RULE, best_group
from benchmark.reports.columns import GAP, cell_width, side_by_side, wrapped
from benchmark.reports.escaping import printable
from benchmark.results.schema import Aggregate, Result
from benchmark.tasks import enrolled

NAME = 16
"""Width up to which no name is broken into lines: that of `mean_face_by_sex`."""
HEADS = (19, 14)
"""Widths up to which no head of a column is: the second where more columns find room then."""
ROLES = ("method", "floor", "ceiling")
"""Groups of rows, from above."""


class Span(NamedTuple):
    """A part of a line."""

    text: str
    best: bool = False
    """Of the best group: to be set in bold where that can be."""


Line = tuple[Span, ...]


@dataclass(frozen=True)
class Fitted:
    """A table as lines, and what it shows."""

    lines: tuple[Line, ...]
    shown: tuple[Aggregate, ...]
    left_out: tuple[Aggregate, ...]
    """Numbers for which there was no room."""
    scored: str
    """Outputs that the numbers stand on, where that is the same in all rows; else the table has a column of it."""

    def __str__(self) -> str:
        return "\n".join("".join(span.text for span in line).rstrip() for line in self.lines)


def caption(result: Result) -> str:
    """What the table is of: method, data, protocol."""
    spec = result.spec
    length = "whole recordings" if spec.seconds is None else f"{spec.seconds:g} s of speech"
    return (
        f"{result.label} on {spec.dataset} {spec.split} ({spec.task}): {result.speakers} "
        f"speaker{'' if result.speakers == 1 else 's'}, {length}, "
        f"{f'enrolment: {enrolled(spec.enrolment)}, ' if spec.enrolment else ''}"
        f"{spec.repeats} evaluation run{'s' if spec.repeats > 1 else ''}"
        f"{f'; {result.why_unranked.upper()}, cannot be ranked' if result.why_unranked else ''}"
    )


def heading(result: Result) -> list[str]:
    """The caption, and below it the paper's protocol with each way in which the paper's setting is not kept."""
    followed = result.protocol
    if followed is None:
        return [caption(result)]
    if not followed.departures:
        return [caption(result), f"Protocol {followed.name}, kept in full"]
    return [caption(result), f"Protocol {followed.name}; not as the paper:", *(f"- {d}" for d in followed.departures)]


def fitted(results: Sequence[Result], items: Sequence[Aggregate], width: int | None, whole: bool = False) -> Fitted:
    """Lay out the numbers `items` of all results.

    Args:
        items: of the first result; each is a column.
        width: columns of the terminal; None for as many as it takes. One column stands there however narrow it is.
        whole: what does not fit beside the others continues below, with the names again, instead of being left out.
    """
    return max((_laid_out(results, items, width, whole, head) for head in HEADS), key=lambda table: len(table.shown))


def _laid_out(
    results: Sequence[Result], items: Sequence[Aggregate], width: int | None, whole: bool, head: int
) -> Fitted:
    groups = [(kind, [row for row in results if role(row.spec.method) == kind]) for kind in ROLES]
    groups = [(kind, rows) for kind, rows in groups if rows]
    ordered = [row for _, rows in groups for row in rows]
    firm = [_names(ordered, width)]
    scored = [_scored(row, items) for row in ordered]
    if len(set(scored)) > 1:
        firm.append(_Column(["scored"], [[(Span(text),)] for text in scored]))
    columns = [_column(item, ordered, results[0], items, head) for item in items]
    room = None if width is None else width + GAP - sum(each.width + GAP for each in firm)
    blocks = side_by_side([column.width + GAP for column in columns], room)
    drawn = blocks if whole else blocks[:1]
    lines: list[Line] = []
    for block in drawn:
        lines += [(), *_drawn([*firm, *(columns[place] for place in block)], groups)]
    shown = tuple(items[place] for block in drawn for place in block)
    return Fitted(
        tuple(lines[1:]),
        shown,
        tuple(items[place] for block in blocks[len(drawn) :] for place in block),
        scored[0] if len(firm) == 1 else "",
    )


def sentences(table: Fitted, results: Sequence[Result], bold: bool) -> list[str]:
    """What a reader has to know to read the table, a sentence a line.

    Args:
        bold: whether the best group can be seen.
    """
    first = results[0]
    lines = []
    if table.left_out:
        names = ", ".join(item.name for item in table.left_out)
        lines.append(f"Left out for want of width (--columns NAME,NAME shows some, --columns all every one): {names}.")
    lines += [*tables.legend(results), *tables.of_drawn_people(results)]
    if bold and any(span.best for line in table.lines for span in line):
        apart = any(role(row.spec.method) != ROLES[0] for row in results)
        lines.append(f"{RULE}{'; floors and ceilings do not compete' if apart else ''}.")
    if table.scored:
        lines.append(f"Scored in every row: {table.scored} outputs.")
    spreads = [f"{item.title} {tables.number(item.spread, item.unit)}" for item in table.shown if item.spread]
    if spreads:
        runs = f"over its {first.spec.repeats} evaluation runs"
        lines.append(f"s.d. of {first.label} {runs}: {', '.join(spreads)}.")
    return lines


@dataclass(frozen=True)
class _Column:
    head: list[str]
    cells: list[list[Line]]
    """Of the rows, from above; each may take several lines."""

    @property
    def width(self) -> int:
        return max(map(cell_width, [*self.head, *(_text(line) for cell in self.cells for line in cell)]))


def _text(line: Line) -> str:
    return "".join(span.text for span in line)


def _scored(row: Result, items: Sequence[Aggregate]) -> str:
    """Outputs that a row's numbers stand on, those apart that say otherwise: `1000/1000`."""
    totals = [item.total for item in row.aggregates]
    return f"{tables.outputs(row, items)}/{max(totals)}" if totals else "-"


def _names(rows: Sequence[Result], width: int | None) -> _Column:
    """The first column; a name that would take more than a third of the terminal breaks into lines."""
    names = [printable(tables.label(row)) for row in rows]
    broken = [[name] if width is None else wrapped(name.split(" "), max(width // 3, NAME)) for name in names]
    return _Column([""], [[(Span(line),) for line in lines] for lines in broken])


def _column(item: Aggregate, rows: Sequence[Result], first: Result, items: Sequence[Aggregate], head: int) -> _Column:
    """A number of all rows: value, interval, and what is special about a cell."""
    own = [tables.same_definition(item, row) for row in rows]
    competing = [
        None if role(row.spec.method) != ROLES[0] or row.why_unranked else found
        for row, found in zip(rows, own, strict=True)
    ]
    best = best_group(competing)
    outputs = [tables.outputs(row, items) for row in rows]
    counts = {found.scored for found in own if found and found.value is not None}
    fewer = len(counts) == 1 and all(count not in counts for count in outputs)
    values = [tables.value(found) if found else "-" for found in own]
    widest = max(map(len, values))
    cells: list[list[Line]] = []
    for place, (row, found, value) in enumerate(zip(rows, own, values, strict=True)):
        after = ""
        if found and found.value is not None:
            known = "" if found.low is None else f" {tables.interval(found)}"
            after = known + tables.remarks(found, row, first, found.scored if fewer else outputs[place])
        cells.append([(Span(" " * (widest - len(value))), Span(value, place in best), Span(after))])
    about = tables.setting(item, first)
    settings = [*about.split(", ")] if about else []
    settings += [f"n {counts.pop()}"] if fewer else []
    arrow = {True: "↑", False: "↓", None: ""}[item.higher_is_better]
    title = [*printable(item.title).split(), " ".join(filter(None, (printable(item.unit), arrow)))]
    width = max(head, *(cell_width(_text(line)) for cell in cells for line in cell))
    marks = [f"{setting}," for setting in settings[:-1]] + settings[-1:]
    return _Column([line for part in (title, marks) if part for line in wrapped(part, width) if line], cells)


def _drawn(columns: Sequence[_Column], groups: Sequence[tuple[str, list[Result]]]) -> list[Line]:
    """Lines of columns side by side; heads end on one line, and where there are several groups each has its name."""
    height = max(len(column.head) for column in columns)
    heads = [[""] * (height - len(column.head)) + column.head for column in columns]
    lines = [_joined([(Span(head[number]),) for head in heads], columns) for number in range(height)]
    whole = sum(column.width + GAP for column in columns) - GAP
    place = 0
    for kind, rows in groups:
        if len(groups) > 1:
            lines.append((Span(f"-- {kind}{'s' if len(rows) > 1 else ''} ".ljust(whole, "-")),))
        for _ in rows:
            cells = [column.cells[place] for column in columns]
            for number in range(max(map(len, cells))):
                lines.append(_joined([cell[number] if number < len(cell) else () for cell in cells], columns))
            place += 1
    return lines


def _joined(cells: Sequence[Line], columns: Sequence[_Column]) -> Line:
    spans: list[Span] = []
    for cell, column in zip(cells, columns, strict=True):
        spans += [*cell, Span(" " * (column.width + GAP - cell_width(_text(cell))))]
    return tuple(spans[:-1])
