"""A paper's table beside what is measured here: reported, measured with its interval, difference, or why it is not.

`fill` sets results beside a `reported.Table`; the other functions write what it gives as Markdown, CSV, LaTeX or JSON.
The printed table is turned into sections, one for each of its columns, so that a reported number and a measured one
stand side by side under heads that say whose recordings they are of, and never in one column. Their difference is
taken only where both have the same definition. Below stands Kendall's tau of the two orders of rows, for each section.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.errors import PrerequisiteError, UnknownName, UsageError, did_you_mean
from benchmark.papers.measured import EMBEDDED, SPLIT, Wanted, wanted
from benchmark.papers.ranking import Agreement, Measurement, agreement
from benchmark.papers.reported import Cell, Column, Table, load, papers
from benchmark.reports import escaping

if TYPE_CHECKING:
    from benchmark.results.finding import Kept
    from benchmark.results.schema import Aggregate

ALL = "all"
"""Stands for every table of every paper."""
ARROWS = {"higher": " ↑", "lower": " ↓", "neither": ""}


@dataclass(frozen=True)
class Line:
    """One place of the printed table, and what is measured of it here."""

    cell: Cell
    dataset: str
    """On which it is measured, or would be."""
    wanted: Wanted | None
    """The run that measures it; None where nothing does."""
    kept: Kept | None = None
    item: Aggregate | None = None
    """The measured number; None where there is none."""
    reason: str = ""
    """Why there is none."""

    @property
    def value(self) -> float | None:
        """As the paper prints it: 5.75 where that is a percentage, and our files hold 0.0575."""
        return self._scaled("value")

    @property
    def low(self) -> float | None:
        return self._scaled("low")

    @property
    def high(self) -> float | None:
        return self._scaled("high")

    def _scaled(self, name: str) -> float | None:
        number = getattr(self.item, name) if self.item is not None else None
        return None if number is None else number / self.cell.column.scale

    @property
    def same(self) -> bool:
        """Both are there and have one definition."""
        return self.item is not None and self.cell.column.agrees(self.item.signature)

    @property
    def difference(self) -> float | None:
        """Measured less reported, where both have one definition."""
        printed = self.cell.printed
        if not self.same or self.value is None or printed.value is None or printed.relation:
            return None
        return self.value - printed.value


@dataclass(frozen=True)
class Section:
    """One column of the printed table, row by row."""

    column: Column
    corpus: str
    """Whose recordings the paper's numbers are of; empty where they are of none."""
    dataset: str
    """Whose recordings the measured numbers are of."""
    lines: tuple[Line, ...]
    order: Agreement

    @property
    def head(self) -> str:
        """`R@10 % ↑`."""
        unit = self.column.unit if self.column.unit not in self.column.head else ""
        return f"{self.column.head} {unit}".strip() + ARROWS[self.column.better]

    @property
    def decimals(self) -> int:
        """Of measured values: as many as the paper prints."""
        known = [line.cell.printed.decimals for line in self.lines]
        return max((number for number in known if number is not None), default=3)

    @property
    def reported_head(self) -> str:
        return f"reported: {self.corpus}" if self.corpus else "reported"

    def value(self, line: Line) -> str:
        return "-" if line.value is None else _fixed(line.value, self.decimals)

    def interval(self, line: Line) -> str:
        if line.low is None or line.high is None:
            return "-"
        return f"[{_fixed(line.low, self.decimals)}, {_fixed(line.high, self.decimals)}]"

    def difference(self, line: Line) -> str:
        if line.difference is None:
            return "-"
        text = f"{line.difference:+.{self.decimals}f}"
        return text if float(text) else text.lstrip("-+")


@dataclass(frozen=True)
class Filled:
    """A table of a paper beside what is measured."""

    table: Table
    sections: tuple[Section, ...]

    @property
    def title(self) -> str:
        """`SF2F, Table 3 (Sec. 5): Performance on ...`."""
        paper = load(self.table.paper)
        return f"{paper.name}, Table {self.table.number} ({self.table.place}): {self.table.title}"

    @property
    def lines(self) -> list[Line]:
        return [line for section in self.sections for line in section.lines]

    @property
    def missing(self) -> list[Wanted]:
        """Runs that would measure what is not measured yet, each once."""
        found = {line.wanted.identity: line.wanted for line in self.lines if line.wanted and line.item is None}
        return list(found.values())

    @property
    def count(self) -> str:
        """`12 of 38 numbers are measured`."""
        numbers = [line for line in self.lines if line.cell.printed.value is not None]
        return f"{sum(line.value is not None for line in numbers)} of {len(numbers)}"


def named(text: str) -> list[Table]:
    """The tables that a name stands for: `sf2f/3`, `sf2f` for all of a paper, `all`.

    Raises:
        UnknownName: there is no such paper or table.
    """
    if text == ALL:
        return [table for paper in papers() for table in load(paper).tables]
    paper, slash, number = text.partition("/")
    tables = load(paper).tables
    if not slash:
        return list(tables)
    for table in tables:
        if str(table.number) == number:
            return [table]
    names = [table.name for table in tables]
    raise UnknownName(
        f"Unknown table '{text}'.{did_you_mean(text, names)} Tables of results of '{paper}': {', '.join(names)}"
    )


def fill(
    table: Table,
    results: Sequence[Kept],
    *,
    dataset: str | None = None,
    given: Mapping[str, Kept] | None = None,
    columns: Sequence[str] = (),
) -> Filled:
    """Set results beside a printed table.

    Args:
        results: where measured numbers are looked for; of two that fit a place alike the first is taken. Those that
            cannot be ranked (partial, mixed, changed) are not.
        dataset: on which rows are measured; None takes the paper's where a result of it fits, else Talkers.
        given: label of a row to the result that measures it, whatever its settings.
        columns: heads, keys or numbers of ours of the columns to keep; all where there are none.

    Raises:
        UnknownName: no such dataset, column or row.
        UsageError: a given result that is of another task, or of no dataset that is looked at.
    """
    return _Filling(table, results, dataset, _given(table, given or {})).filled(columns)


def _given(table: Table, given: Mapping[str, Kept]) -> dict[str, Kept]:
    labels = {row.label.casefold(): row.label for row in table.rows}
    found = {}
    for name, kept in given.items():
        label = labels.get(name.casefold())
        if label is None:
            known = "; ".join(labels.values())
            raise UnknownName(f"{table.name} has no row '{name}'.{did_you_mean(name, labels.values())} Rows: {known}")
        found[label] = kept
    return found


@dataclass
class _Filling:
    """One table on its way."""

    table: Table
    results: Sequence[Kept]
    dataset: str | None
    given: Mapping[str, Kept]

    def __post_init__(self) -> None:
        self._runs: dict[tuple[str, str], Wanted | str] = {}
        self._used: set[str] = set()

    def filled(self, columns: Sequence[str]) -> Filled:
        if self.dataset is not None:
            from benchmark.registry import datasets

            datasets.entry(self.dataset)
        sections = tuple(self._section(column) for column in self._columns(columns))
        for label in self.given.keys() - self._used:
            spec = self.given[label].result.spec
            raise UsageError(
                f"{self.given[label].path} ({spec.task} on {spec.dataset}, {spec.split} split) does not measure row "
                f"'{label}' of {self.table.name}: expected {self.table.task or 'no run'} on "
                f"{', '.join(dict.fromkeys(section.dataset for section in sections))}, {SPLIT} split"
            )
        return Filled(self.table, sections)

    def _columns(self, names: Sequence[str]) -> Iterable[Column]:
        if not names:
            return self.table.columns
        known = {
            name.casefold(): None for column in self.table.columns for name in (column.head, column.key, column.number)
        }
        for name in names:
            if name.casefold() not in known:
                heads = ", ".join(column.head for column in self.table.columns)
                raise UnknownName(
                    f"{self.table.name} has no column '{name}'.{did_you_mean(name.casefold(), known)} Columns: {heads}"
                )
        asked = {name.casefold() for name in names}
        return [
            column
            for column in self.table.columns
            if asked & {name.casefold() for name in (column.head, column.key, column.number)}
        ]

    def _section(self, column: Column) -> Section:
        cells = [cell for cell in self.table.cells() if cell.column is column]
        counted = Counter(cell.corpus for cell in cells if cell.corpus is not None)
        corpus = counted.most_common(1)[0][0] if counted else None
        dataset = self._dataset(cells, corpus.dataset if corpus else "")
        of_paper = corpus is not None and dataset == corpus.dataset
        lines = []
        for cell in cells:
            own = cell.corpus is not None and cell.corpus is not corpus and of_paper and self.dataset is None
            on = (cell.corpus.dataset or EMBEDDED) if own and cell.corpus else dataset
            lines.append(self._line(cell, on))
        lines = self._one_definition(lines)
        # A row of other people, reported or measured, is in no order with these.
        compared = [
            Measurement(line.cell.printed.value, line.value, line.low, line.high)
            for line in lines
            if line.cell.printed.value is not None and not line.cell.printed.relation and line.value is not None
            if line.dataset == dataset and line.cell.corpus is corpus
        ]
        return Section(column, corpus.name if corpus else "", dataset, tuple(lines), agreement(compared))

    def _dataset(self, cells: Sequence[Cell], of_paper: str) -> str:
        if self.dataset is not None:
            return self.dataset
        if of_paper and any(self._candidates(cell, of_paper) for cell in cells):
            return of_paper
        return EMBEDDED

    def _run(self, cell: Cell, dataset: str) -> Wanted | str:
        """What measures the cell's row on a dataset, or why nothing does."""
        key = cell.row.label, dataset
        if key not in self._runs:
            of_row = [other for other in self.table.cells() if other.row is cell.row]
            alike = [other for other in of_row if not other.reason]
            own = [other for other in alike if other.corpus is not None and other.corpus.dataset == dataset]
            try:
                self._runs[key] = wanted(own or alike, dataset)
            except (PrerequisiteError, UsageError) as error:
                self._runs[key] = str(error).splitlines()[0]
        return self._runs[key]

    def _candidates(self, cell: Cell, dataset: str) -> list[Kept]:
        """Results that measure the cell's row on a dataset, best first."""
        if cell.reason:
            return []
        named = self.given.get(cell.row.label)
        if named is not None:
            spec = named.result.spec
            fitting = (spec.task, spec.dataset, spec.split) == (cell.task, dataset, SPLIT)
            return [named] if fitting else []
        run = self._run(cell, dataset)
        if isinstance(run, str) or not self._told_apart(run):
            return []
        from benchmark.tasks import get_task

        usual = get_task(run.task).protocol.repeats
        found = [kept for kept in self.results if run.fits(kept) and not kept.result.why_unranked]
        return sorted(found, key=lambda kept: (kept.result.spec.repeats != usual, kept.result.spec.seed != 0))

    def _line(self, cell: Cell, dataset: str) -> Line:
        """With the first result that has the number; which definition all lines share is chosen afterwards."""
        if cell.reason:
            return Line(cell, dataset, None, reason=cell.reason)
        run = self._run(cell, dataset)
        if isinstance(run, str):
            return Line(cell, dataset, None, reason=run)
        candidates = self._candidates(cell, dataset)
        if cell.row.label in self.given and candidates:
            self._used.add(cell.row.label)
        if candidates:
            return Line(cell, dataset, run, reason="no result of this row has this number")
        return Line(cell, dataset, run, reason=self._why_none(run))

    def _told_apart(self, run: Wanted) -> bool:
        """Whether results of the run can be known by their settings: a special training is no part of them."""
        if run.training or not run.row.run.needs:
            return not run.training
        cells = [cell for cell in self.table.cells() if cell.row is not run.row and not cell.reason]
        others = [self._run(cell, run.dataset) for cell in cells]
        return not any(isinstance(other, Wanted) and run.like(other) for other in others)

    def _why_none(self, run: Wanted) -> str:
        if not self._told_apart(run):
            return f"needs {run.lacking}; a result does not say how weights were trained, so name it with --row"
        if any(run.fits(kept) for kept in self.results):
            return "not measured in full: the result that is here cannot be ranked"
        return f"needs {run.lacking}" if run.lacking else "not measured yet"

    def _one_definition(self, lines: Sequence[Line]) -> list[Line]:
        """The lines with their numbers, all of one signature (the paper's definition if any has it, else that of most)
        and all of one dataset on the same data.
        """
        numbers: list[list[tuple[Kept, Aggregate]]] = []
        for line in lines:
            found = []
            for kept in self._candidates(line.cell, line.dataset):
                item = kept.result.aggregate(line.cell.column.number)
                if item is not None:
                    found.append((kept, item))
            numbers.append(found)
        counts = Counter(signature for found in numbers for signature in {item.signature for _, item in found})
        if not counts:
            return list(lines)
        column = lines[0].cell.column
        chosen = min(counts, key=lambda signature: (not column.agrees(signature), -counts[signature], signature))
        data: dict[str, Counter[str]] = {}
        for line, found in zip(lines, numbers, strict=True):
            manifests = {kept.result.spec.manifest_sha256 for kept, item in found if item.signature == chosen}
            data.setdefault(line.dataset, Counter()).update(manifests)
        return [
            _measured(line, found, chosen, min(counted, key=lambda sha256: (-counted[sha256], sha256), default=""))
            for line, found in zip(lines, numbers, strict=True)
            for counted in [data[line.dataset]]
        ]


def _measured(line: Line, numbers: Sequence[tuple[Kept, Aggregate]], signature: str, manifest: str) -> Line:
    """The line with the first number of a definition on the data of a manifest; without, why not."""
    defined = [(kept, item) for kept, item in numbers if item.signature == signature]
    for kept, item in defined:
        if kept.result.spec.manifest_sha256 == manifest:
            reasons = item.reasons
            why = max(reasons, key=lambda reason: reasons[reason]) if item.value is None and reasons else ""
            return replace(line, kept=kept, item=item, reason=why)
    if defined:
        other = defined[0][0].result.spec.manifest_sha256
        return replace(line, reason=f"measured on other data of that name than the other rows: manifest {other[:12]}")
    if numbers:
        return replace(line, reason=f"measured by another definition than the other rows: {numbers[0][1].signature}")
    return line


def _fixed(value: float, decimals: int) -> str:
    text = f"{value:.{decimals}f}"
    return text if float(text) else text.lstrip("-")


# As a page, before it is Markdown, LaTeX or a terminal's


@dataclass(frozen=True)
class Block:
    """Sections whose numbers are of the same recordings: one table to look at."""

    of: tuple[str, str]
    """Heads of the reported and of the measured numbers, which say whose recordings they are of."""
    parts: tuple[tuple[str, tuple[tuple[str, str, str, str, str], ...]], ...]
    """Head of a section; for each row its label, reported value, measured value, interval and difference."""


@dataclass(frozen=True)
class Page:
    """Everything that is said of a table, as text that is not escaped."""

    title: str
    blocks: tuple[Block, ...]
    orders: tuple[tuple[str, str, str, str, str], ...]
    """Head of a section, tau, its interval, p-value, and the rows or the reason why there is no tau."""
    notes: tuple[str, ...]
    """The first is meant by `[1]`."""
    remarks: tuple[str, ...]
    commands: tuple[tuple[str, tuple[str, ...]], ...]
    """Labels of rows, and what measures them."""


HEADS = ("95 % interval", "difference")
ORDER_HEADS = ("order of rows", "Kendall's tau", "95 % interval", "p", "rows")
ABOUT_ORDERS = (
    "Kendall's tau is 1 where the paper's order of rows holds here and -1 where it is turned round. Its interval is of "
    "the measured order: each value is drawn 10,000 times within its own interval, independently. p: part of all "
    "orders that agree or disagree as much."
)


def page(filled: Filled) -> Page:
    """Lay a table out."""
    notes: dict[str, int] = {}

    def mark(*texts: str) -> str:
        told = [text for text in texts if text]
        return "".join(f" [{notes.setdefault(text, len(notes) + 1)}]" for text in told)

    blocks, orders = [], []
    several = len({section.corpus for section in filled.sections}) > 1
    for (reported, dataset), sections in groupby(filled.sections, lambda one: (one.reported_head, one.dataset)):
        parts = []
        for section in sections:
            any_measured = any(line.item is not None for line in section.lines)
            head = section.head + mark(*_about(section, any_measured))
            rows = []
            for line in section.lines:
                about = [line.cell.row.note, line.cell.row.run.differs if line.item is not None else ""]
                other = line.cell.corpus is not None and line.cell.corpus.name != section.corpus
                about.append(f"reported of {line.cell.corpus.name}" if other and line.cell.corpus else "")
                unranked = line.kept.result.why_unranked if line.kept else ""
                about.append(f"measured by a result that cannot be ranked: {unranked}" if unranked else "")
                about.append(f"measured on {line.dataset}" if line.dataset != section.dataset else "")
                value = section.value(line) + mark(line.reason if line.value is None else "")
                cells = section.interval(line), section.difference(line)
                rows.append((line.cell.row.label + mark(*about), line.cell.printed.text, value, *cells))
            parts.append((head, tuple(rows)))
            if section.column.kind == "number" and section.column.better != "neither":
                name = f"{section.head}, {section.column.group or section.corpus}" if several else section.head
                orders.append((name, *_order(section.order)))
        blocks.append(Block((reported, _measured_head(filled, dataset)), tuple(parts)))
    return Page(
        filled.title, tuple(blocks), tuple(orders), tuple(notes), tuple(_remarks(filled)), tuple(commands(filled))
    )


def _measured_head(filled: Filled, dataset: str) -> str:
    """`measured: talkers, test split (100 people)`; no data are named where nothing of the table can be measured."""
    if not any(line.wanted and line.dataset == dataset for line in filled.lines):
        return "measured"
    people = {line.kept.result.speakers for line in filled.lines if line.kept and line.dataset == dataset}
    return f"measured: {dataset}, {SPLIT} split" + (f" ({people.pop()} people)" if len(people) == 1 else "")


def _about(section: Section, any_measured: bool) -> list[str]:
    """What a reader has to know of a section."""
    column = section.column
    told = [column.note]
    if any_measured and any(line.item is not None and not line.same for line in section.lines):
        options = " ".join(column.options)
        mend = f"; the paper's by {options}" if options and column.signature else ""
        told.append(f"measured by another definition, so no difference is taken: {column.differs}{mend}")
    return told


def _order(order: Agreement) -> tuple[str, str, str, str]:
    if order.tau is None:
        return "-", "-", "-", f"{order.rows}: {order.reason}"
    ends = "-" if order.low is None or order.high is None else f"[{_fixed(order.low, 2)}, {_fixed(order.high, 2)}]"
    about = f"{order.rows}" + (f": {order.reason}" if order.reason else "")
    return _fixed(order.tau, 2), ends, "-" if order.p is None else f"{order.p:.2g}", about


def _remarks(filled: Filled) -> list[str]:
    """Sentences below a table."""
    table = filled.table
    told = [table.note] if table.note else []
    spreads: dict[str, list[str]] = {}
    for section in filled.sections:
        if section.column.spread and section.column.head not in spreads.setdefault(section.column.spread, []):
            spreads[section.column.spread].append(section.column.head)
    told += [f"± of {', '.join(heads)}, as printed: {spread}." for spread, heads in spreads.items()]
    lines = filled.lines
    for corpus in dict.fromkeys(line.cell.corpus for line in lines if line.cell.corpus is not None):
        if any(line.cell.corpus is corpus and line.dataset == corpus.dataset for line in lines):
            told += [f"{corpus.name}: {corpus.differs}."] if corpus.differs else []
        elif corpus.reason:
            told.append(f"{corpus.name}: {corpus.reason}.")
    measured = [line for line in lines if line.item is not None]
    if any(line.wanted and line.wanted.row.run.preset and not line.wanted.preset for line in measured):
        told.append(
            "Measured methods run by their default presets, whose weights are shipped: smaller than the paper's."
        )
    if any(line.dataset != getattr(line.cell.corpus, "dataset", "") for line in measured):
        told.append("Reported and measured numbers are of different people: compare orders, not values.")
    at_hand = {cell.corpus.dataset for line in lines if (cell := line.cell).corpus and line.wanted} - {""}
    for dataset in sorted(at_hand - {line.dataset for line in lines}):
        told.append(
            f"Where {dataset} is at hand: python -m benchmark table {table.name} --dataset {dataset} --data-root FOLDER"
        )
    if any(line.cell.printed.value is not None for line in lines):
        told.append(f"{filled.count} reported numbers have one that is measured here beside them.")
    return told


def commands(filled: Filled) -> list[tuple[str, tuple[str, ...]]]:
    """For each row of the table what measures it, or why nothing does; rows of one answer together."""
    answers: dict[tuple[str, ...], list[str]] = {}
    for row in filled.table.rows:
        for answer in dict.fromkeys(_answer(line) for line in filled.lines if line.cell.row is row):
            answers.setdefault(answer, []).append(row.label)
    # What the whole row's reason does not explain is explained where it stands.
    measurable = {row for answer, rows in answers.items() if answer and answer[0].startswith("python ") for row in rows}
    told = []
    for answer, rows in answers.items():
        if answer[0].startswith("python ") or not measurable.issuperset(rows):
            told.append(("; ".join(rows), answer))
    return told


def _answer(line: Line) -> tuple[str, ...]:
    if line.wanted is None:
        return (f"not measured: {line.reason}",)
    return line.wanted.commands()


def markdown(filled: Filled) -> str:
    """A page of Markdown: title, tables, orders, notes, commands."""
    told, escape = page(filled), escaping.markdown
    lines = [f"## {escape(told.title)}", ""]
    for block in told.blocks:
        lines += _markdown_row(["row", *block.of, *HEADS])
        lines.append("|---|" + "---:|" * 4)
        for head, rows in block.parts:
            lines.append(f"| **{escape(head)}** | | | | |")
            for row in rows:
                lines += _markdown_row(row)
        lines.append("")
    lines += [escape(line) + "  " for line in _noted(told.notes)]
    lines += ["", *_markdown_orders(told.orders)]
    lines += [f"- {escape(line)}" for line in told.remarks]
    lines += ["", "What measures each row:", ""]
    for rows, answer in told.commands:
        lines.append(f"- {escape(rows)}: " + ", then ".join(_command(text) for text in answer))
    return "\n".join(lines) + "\n"


def _markdown_row(cells: Iterable[str]) -> list[str]:
    return ["| " + " | ".join(map(escaping.markdown, cells)) + " |"]


def _markdown_orders(orders: Sequence[tuple[str, ...]]) -> list[str]:
    if why := no_order(orders):
        return [escaping.markdown(why), ""] if orders else []
    lines = [*_markdown_row(ORDER_HEADS), "|---|---:|---:|---:|---|"]
    for order in orders:
        lines += _markdown_row(order)
    return [*lines, "", escaping.markdown(ABOUT_ORDERS), ""]


def _command(text: str) -> str:
    return escaping.markdown_code(text) if text.startswith("python ") else escaping.markdown(text)


def _noted(notes: Iterable[str]) -> list[str]:
    return [f"[{number}] {note}" for number, note in enumerate(notes, 1)]


def no_order(orders: Sequence[tuple[str, ...]]) -> str:
    """One sentence where no section has a tau; empty where one has."""
    if any(tau != "-" for _, tau, *_ in orders):
        return ""
    whys = dict.fromkeys(about.partition(": ")[2] for *_, about in orders)
    return f"No Kendall's tau of the paper's order and the measured one: {'; '.join(whys)}."


def latex(filled: Filled) -> str:
    """The same tables for a paper; wants `\\usepackage{booktabs}` and nothing else."""
    told, escape = page(filled), escaping.latex
    lines = [rf"\noindent\textbf{{{escape(told.title)}}}\par\medskip"]
    wide = r"\multicolumn{5}{@{}l}{\textbf{"
    for block in told.blocks:
        # Heads are long: they break into lines of a fixed width.
        heads = [rf"\parbox[b]{{2.4cm}}{{\raggedleft {escape(text)}}}" for text in block.of]
        lines += [r"\noindent{\footnotesize\tabcolsep=4pt\begin{tabular}{@{}lrrrr@{}}", r"\toprule"]
        lines += [" & ".join(["", *heads, *map(escape, HEADS)]) + r" \\"]
        for head, rows in block.parts:
            lines += [r"\midrule", f"{wide}{escape(head)}}}}} " + r"\\"]
            lines += [" & ".join(map(_latex_cell, row)) + r" \\" for row in rows]
        lines += [r"\bottomrule", r"\end{tabular}\par}\medskip"]
    if why := no_order(told.orders):
        lines += [rf"\noindent{{\footnotesize {escape(why)}\par}}\medskip"] if told.orders else []
    else:
        lines += [r"\noindent{\footnotesize\tabcolsep=4pt\begin{tabular}{@{}lrrrl@{}}", r"\toprule"]
        lines += [" & ".join(map(escape, ORDER_HEADS)) + r" \\", r"\midrule"]
        lines += [" & ".join(map(_latex_cell, order)) + r" \\" for order in told.orders]
        lines += [r"\bottomrule", r"\end{tabular}\par}\medskip"]
        lines.append(rf"\noindent{{\footnotesize {escape(ABOUT_ORDERS)}\par}}\medskip")
    lines += [rf"\noindent{{\footnotesize {escape(line)}\par}}" for line in (*_noted(told.notes), *told.remarks)]
    return "\n".join(lines) + "\n"


def _latex_cell(text: str) -> str:
    return "--" if text == "-" else escaping.latex(text)


FIELDS = (
    *("paper", "table", "row", "method", "setting", "group", "column", "better", "unit"),
    *("reported_on", "printed", "reported", "reported_spread", "reported_spread_is"),
    *("measured_on", "split", "measured", "low", "high", "spread", "scored", "total", "difference", "same_definition"),
    *("number", "signature", "run_id", "label", "reason", "commands"),
    *("tau", "tau_low", "tau_high", "tau_p", "tau_rows"),
)
"""Of a line of `records`; numbers are in the paper's unit."""


def records(filled: Filled) -> list[dict[str, Any]]:
    """Every place of the table with all that belongs to it, in full precision; keys are `FIELDS`."""
    told = []
    for section in filled.sections:
        for line in section.lines:
            cell, item, result = line.cell, line.item, line.kept.result if line.kept else None
            spread = None if item is None or item.spread is None else item.spread / cell.column.scale
            values = (
                *(filled.table.paper, filled.table.number, cell.row.label, cell.row.method, dict(cell.row.setting)),
                *(cell.column.group, cell.column.head, cell.column.better, cell.column.unit),
                *(cell.corpus.name if cell.corpus else "", cell.printed.text, cell.printed.value),
                *(cell.printed.spread, cell.column.spread if cell.printed.spread is not None else ""),
                *(line.dataset, SPLIT, line.value, line.low, line.high, spread),
                *(item.scored if item else None, item.total if item else None, line.difference),
                *(None if item is None else line.same, cell.column.number, item.signature if item else ""),
                *(result.run_id if result else "", result.label if result else "", line.reason),
                list(line.wanted.commands()) if line.wanted else [],
                *(section.order.tau, section.order.low, section.order.high, section.order.p, section.order.rows),
            )
            told.append(dict(zip(FIELDS, values, strict=True)))
    return told


def as_csv(filled: Filled) -> str:
    """`records`, one a line; a cell is empty where there is nothing."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(FIELDS)
    for record in records(filled):
        writer.writerow(map(_csv_cell, record.values()))
    return out.getvalue()


def _csv_cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, dict):
        value = "; ".join(f"{key}: {text}" for key, text in value.items())
    return escaping.csv_cell("; ".join(value) if isinstance(value, list) else value)


def as_json(filled: Filled) -> str:
    """Title, remarks and `records`."""
    told = page(filled)
    about = {"title": told.title, "remarks": told.remarks, "cells": records(filled)}
    return escaping.json_text(json.dumps(about, indent=2, ensure_ascii=False)) + "\n"


FORMATS = {".md": markdown, ".csv": as_csv, ".tex": latex, ".json": as_json}
"""By the end of a file's name."""


def write(filled: Filled, path: Path) -> None:
    """Write one file, in the format that its name ends in.

    Raises:
        UsageError: the name ends in none of `FORMATS`.
        OSError: it cannot be written.
    """
    from benchmark.files import write_whole

    if path.suffix not in FORMATS:
        raise UsageError(f"{path}: expected a name that ends in {', '.join(FORMATS)}, or a folder")
    text = FORMATS[path.suffix](filled)
    write_whole(path, lambda partial: partial.write_text(text, encoding="utf-8"))


def write_folder(tables: Sequence[Filled], folder: Path) -> None:
    """Write each table in every format, and `index.md`, which lists them.

    Raises:
        OSError: a file cannot be written.
    """
    from benchmark.files import write_whole

    escape = escaping.markdown
    lines = ["# The papers' tables, reported and measured", ""]
    lines += ["| table | title | reported numbers with a measured one | Kendall's tau of the two orders |"]
    lines += ["|---|---|---:|---|"]
    for filled in tables:
        stem = filled.table.name.replace("/", "-")
        for suffix in FORMATS:
            write(filled, folder / f"{stem}{suffix}")
        links = ", ".join(f"[{suffix[1:]}]({stem}{suffix})" for suffix in FORMATS if suffix != ".md")
        orders = [f"{head} {tau}" for head, tau, *_ in page(filled).orders if tau != "-"]
        name = f"[{filled.table.name}]({stem}.md) ({links})"
        lines.append(f"| {name} | {escape(filled.title)} | {filled.count} | {escape(', '.join(orders) or '-')} |")
    text = "\n".join(lines) + "\n"
    write_whole(folder / "index.md", lambda partial: partial.write_text(text, encoding="utf-8"))
