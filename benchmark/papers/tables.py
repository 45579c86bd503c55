"""A paper's table beside what is measured here, as Markdown, CSV, LaTeX or JSON: pure functions of a filled table.

Heads say whose recordings the numbers below are of. What cannot be measured has a note that says why, and what can be
a command. Kendall's tau of the two orders of rows stands below.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from benchmark.errors import UsageError
from benchmark.papers.beside import Filled, Line, Section, fixed
from benchmark.papers.ranking import Agreement
from benchmark.papers.reported import load
from benchmark.reports import escaping
from benchmark.weights.table import parameters

HEADS = ("95 % interval", "difference")


@dataclass(frozen=True)
class Block:
    """Sections whose numbers are of the same recordings: one table to look at."""

    of: tuple[str, str]
    """Heads of the reported and of the measured numbers, which say whose recordings they are of."""
    parts: tuple[tuple[str, tuple[tuple[str, ...], ...]], ...]
    """Head of a section; for each row its label, reported value, measured value, and what belongs to `more`."""
    more: tuple[str, ...] = HEADS
    """Heads of what stands behind the measured numbers: the last is of a difference."""

    @property
    def heads(self) -> tuple[str, ...]:
        """Of the columns that are shown behind the labels of rows: without differences where there are none."""
        any_difference = any(row[-1] != "-" for _, rows in self.parts for row in rows)
        return (*self.of, *(self.more if any_difference else self.more[:-1]))

    @property
    def shown(self) -> list[tuple[str, list[tuple[str, ...]]]]:
        """`parts`, each row with its label and the cells below `heads`."""
        return [(head, [row[: len(self.heads) + 1] for row in rows]) for head, rows in self.parts]


@dataclass(frozen=True)
class Page:
    """Everything that is said of a table, as text that is not escaped."""

    title: str
    blocks: tuple[Block, ...]
    orders: tuple[tuple[str, str, str, str, str], ...]
    """Head of a section, tau, its range, p-value, and the rows or the reason why there is no tau."""
    notes: tuple[str, ...]
    """The first is meant by `[1]`."""
    remarks: tuple[str, ...]
    commands: tuple[tuple[str, tuple[str, ...]], ...]
    """Labels of rows, and what measures them."""
    protocol: str = ""
    """Its name; empty where nothing is measured."""


ORDER_HEADS = ("order of rows", "Kendall's tau", "range under measuring noise", "p", "rows")
PUBLISHED = "published with the project, in leaderboards/results; measured numbers without this note are of your runs"
ABOUT_ORDERS = (
    "Kendall's tau is 1 where the paper's order of rows holds here and -1 where it is turned round; floors and "
    "ceilings do not count beside methods. Its range under measuring noise: the middle 95 % of the taus when each "
    "measured value is drawn 10,000 times within its own interval, independently. p: share of all possible orders "
    "whose |tau| is at least this large. p can be large although the range lies above 0: the range tells how sure the "
    "measured order of these rows is, p how easily so few rows agree by chance."
)


def page(filled: Filled) -> Page:
    """Lay a table out."""
    notes, blocks, orders, another = Notes(), [], [], another_definition(filled)
    some_own = any(line.item is not None and line.kept and not line.kept.published for line in filled.lines)
    several = len({section.corpus for section in filled.sections}) > 1
    for (reported, dataset), sections in groupby(filled.sections, lambda one: (one.reported_head, one.dataset)):
        parts = []
        for section in sections:
            head = section.head + notes.mark(*about_section(section, another))
            rows = []
            for line in section.lines:
                mixed = line.item is not None and line.kept is not None and line.kept.published and some_own
                value = section.value(line) + notes.mark(
                    line.reason if line.value is None else "", PUBLISHED if mixed else ""
                )
                label = line.cell.row.label + notes.mark(*about_row(section, line))
                rows.append((label, line.cell.printed.text, value, section.interval(line), section.difference(line)))
            parts.append((head, tuple(rows)))
            if section.column.kind == "number" and section.column.better != "neither":
                name = f"{section.head}, {section.column.group or section.corpus}" if several else section.head
                orders.append((name, *_order(section.order)))
        blocks.append(Block((reported, measured_head(filled, dataset)), tuple(parts)))
    asked = commands(filled)
    protocol = filled.table.protocol
    return Page(
        filled.title, tuple(blocks), tuple(orders), tuple(notes.numbers), tuple(remarks(filled)), tuple(asked),
        protocol.name if protocol else "",
    )  # fmt: skip


class Notes:
    """Sentences below a table, each told once, with the marks that lead to them."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def mark(self, *texts: str) -> str:
        """` [1] [3]`, behind what has these notes; nothing for empty ones."""
        told = [text for text in texts if text]
        return "".join(f" [{self.numbers.setdefault(text, len(self.numbers) + 1)}]" for text in told)


def about_section(section: Section, another: str) -> list[str]:
    """What a reader has to know of all rows of a section.

    Args:
        another: as `another_definition` tells it of the whole table.
    """
    return [section.column.note, another if _defined_otherwise(section) else ""]


def about_row(section: Section, line: Line) -> list[str]:
    """What a reader of one place has to know of its row."""
    about = [line.cell.row.note, *(otherwise(line) if line.item is not None else ()), size(line)]
    other = line.cell.corpus is not None and line.cell.corpus.name != section.corpus
    about.append(f"reported of {line.cell.corpus.name}" if other and line.cell.corpus else "")
    about.append(another_run(line))
    unranked = line.kept.result.why_unranked if line.kept else ""
    about.append(f"measured by a result that cannot be ranked: {unranked}" if unranked else "")
    about.append(f"measured on {line.dataset}" if line.dataset != section.dataset else "")
    return about


def measured_head(filled: Filled, dataset: str) -> str:
    """`measured: talkers, test split (100 people)`; no data are named where nothing of the table can be measured."""
    if not any((line.need or line.kept) and line.dataset == dataset for line in filled.lines):
        return "measured"
    people = {line.kept.result.speakers for line in filled.lines if line.kept and line.dataset == dataset}
    split = next(line.split for line in filled.lines if line.dataset == dataset)
    return f"measured: {dataset}, {split} split" + (f" ({people.pop()} people)" if len(people) == 1 else "")


def _defined_otherwise(section: Section) -> bool:
    return any(line.item is not None and not line.same for line in section.lines)


def another_definition(filled: Filled) -> str:
    """One note for all sections that are measured by another definition; names them where they differ in how."""
    hows: dict[str, list[str]] = {}
    for column in dict.fromkeys(section.column for section in filled.sections if _defined_otherwise(section)):
        options = " ".join(column.options)
        how = column.differs + (f"; the paper's by {options}" if options and column.signature else "")
        if column.head not in hows.setdefault(how, []):
            hows[how].append(column.head)
    first = "measured by another definition, so no difference is taken"
    if len(hows) == 1:
        return f"{first}: {next(iter(hows))}"
    return ". ".join([first, *(f"{', '.join(heads)}: {how}" for how, heads in hows.items())])


def otherwise(line: Line) -> list[str]:
    """What is not the same of a row that is measured here."""
    run, protocol = line.cell.row.run, line.cell.table.protocol
    if line.dataset == getattr(line.cell.corpus, "dataset", ""):
        return [run.differs]
    rules = [rule for rule in protocol.rules if rule.seconds_elsewhere is not None] if protocol else []
    return [run.differs, run.elsewhere, *(remark.text for rule in rules for remark in rule.elsewhere)]


def size(line: Line) -> str:
    """Of a number that is measured with another preset than the paper's: which, and how large its network is."""
    paper = line.cell.row.run.preset
    if line.item is None or line.kept is None or line.need is None or not paper:
        return ""
    plan, result = line.need.plan, line.kept.result
    preset = result.preset or plan.settings.preset
    if preset == paper:
        return ""
    shipped = preset == plan.settings.preset
    count = parameters(plan.weights) if shipped and result.spec.weights_sha256 == plan.weights_sha256 else None
    stated = [
        f"where the paper's network has {setting.value} {setting.unit}"
        for setting in load(line.cell.table.paper).settings
        if setting.name == "parameters" and setting.method == line.cell.row.run.method and paper in setting.presets
    ]
    other = "smaller than the paper's" if shipped else f"where the paper's is {paper}"
    first = f"measured with preset {preset}"
    if count is None:
        return f"{first}, {other}"
    return f"{first}, {count / 1e6:.2g} M parameters, {stated[0] if stated else other}"


def another_run(line: Line) -> str:
    """Of a result that was named for a row and is of another run than the row's: how."""
    unlike = line.need.unlike(line.kept.result) if line.need and line.kept else []
    return f"measured by a run that was named for this row, and is another: {'; '.join(unlike)}" if unlike else ""


def _order(order: Agreement) -> tuple[str, str, str, str]:
    if order.tau is None:
        return "-", "-", "-", f"{order.rows}: {order.reason}"
    ends = "-" if order.low is None or order.high is None else f"[{fixed(order.low, 2)}, {fixed(order.high, 2)}]"
    about = f"{order.rows}" + (f": {order.reason}" if order.reason else "")
    return fixed(order.tau, 2), ends, "-" if order.p is None else f"{order.p:.2g}", about


def remarks(filled: Filled) -> list[str]:
    """Sentences below a table."""
    table, measured = filled.table, [line for line in filled.lines if line.item is not None]
    people = any(line.dataset != getattr(line.cell.corpus, "dataset", "") for line in measured)
    whats = {"different people": people, "networks of another size": any(map(size, measured))}
    other = " and ".join(what for what, is_so in whats.items() if is_so)
    told = [f"Reported and measured numbers are of {other}: compare orders, not values."] if other else []
    told += [table.note] if table.note else []
    spreads: dict[str, list[str]] = {}
    for section in filled.sections:
        if section.column.spread and section.column.head not in spreads.setdefault(section.column.spread, []):
            spreads[section.column.spread].append(section.column.head)
    told += [f"± of {', '.join(heads)}, as printed: {spread}." for spread, heads in spreads.items()]
    if any(line.cell.column.over_outputs and line.deviation is not None for line in filled.lines):
        told.append(
            "± of measured numbers: the same of their outputs; the interval beside is of the mean, over speakers."
        )
    lines = filled.lines
    for corpus in dict.fromkeys(line.cell.corpus for line in lines if line.cell.corpus is not None):
        if any(line.cell.corpus is corpus and line.dataset == corpus.dataset for line in lines):
            told += [f"{corpus.name}: {remark}." for remark in corpus.differs]
        elif corpus.reason:
            told.append(f"{corpus.name}: {corpus.reason}.")
    if measured and all(line.kept and line.kept.published for line in measured):
        told.append("All measured numbers are published with the project, in leaderboards/results.")
    at_hand = {cell.corpus.dataset for line in lines if (cell := line.cell).corpus and line.need} - {""}
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


def by_protocol(name: str) -> tuple[tuple[str, str], ...]:
    """What a table's protocol is good for, and the command of each."""
    return (
        ("any other method", f"python -m benchmark run --protocol {name} --method METHOD"),
        ("how the paper evaluates, and what is kept of it", f"python -m benchmark show {name}"),
    )


def _answer(line: Line) -> tuple[str, ...]:
    if line.need is not None:
        return line.need.commands()
    cell = line.cell
    outside = bool(cell.row.run.reason) and any(column.number for column in cell.table.columns)
    if line.kept is not None and outside:
        return (f"measured by {line.kept.result.label}, the run that --row names",)
    if not outside:
        return (f"not measured: {line.reason}",)
    return (
        f"not measured: {line.reason}. Files that it made are measured by `run --method outputs --task {cell.task} "
        "--set folder=FOLDER`, and --row 'LABEL=RUN' puts that run in this row",
    )


def markdown(filled: Filled) -> str:
    """A page of Markdown: title, tables, orders, notes, commands."""
    return page_markdown(page(filled))


def page_markdown(told: Page) -> str:
    """The same of a page."""
    escape = escaping.markdown
    lines = [f"## {escape(told.title)}", "", *_markdown_numbers(told), "", "What measures each row:", ""]
    for rows, answer in told.commands:
        lines.append(f"- {escape(rows)}: " + ", then ".join(_command(text) for text in answer))
    for about, command in by_protocol(told.protocol) if told.protocol else ():
        lines.append(f"- {about}: {_command(command)}")
    return "\n".join(lines) + "\n"


def markdown_part(filled: Filled) -> str:
    """The same for the middle of another page: no heading, and no commands."""
    told = page(filled)
    return "\n".join([f"**{escaping.markdown(told.title)}**", "", *_markdown_numbers(told)]) + "\n"


def _markdown_numbers(told: Page) -> list[str]:
    """Tables, notes, orders, remarks."""
    escape, lines = escaping.markdown, []
    for block in told.blocks:
        lines += _markdown_row(["row", *block.heads])
        lines.append("|---|" + "---:|" * len(block.heads))
        for head, rows in block.shown:
            lines.append(f"| **{escape(head)}** |" + " |" * len(block.heads))
            for row in rows:
                lines += _markdown_row(row)
        lines.append("")
    lines += [escape(line) + "  " for line in _noted(told.notes)]
    lines += ["", *_markdown_orders(told.orders)]
    return lines + [f"- {escape(line)}" for line in told.remarks]


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
    return page_latex(page(filled))


def page_latex(told: Page) -> str:
    """The same of a page."""
    escape = escaping.latex
    lines = [rf"\noindent\textbf{{{escape(told.title)}}}\par\medskip"]
    for block in told.blocks:
        # Heads are long: they break into lines of a fixed width.
        heads = [rf"\parbox[b]{{2.4cm}}{{\raggedleft {escape(text)}}}" for text in block.of]
        aligned, wide = "r" * len(block.heads), rf"\multicolumn{{{len(block.heads) + 1}}}{{@{{}}l}}{{\textbf{{"
        lines += [rf"\noindent{{\footnotesize\tabcolsep=4pt\begin{{tabular}}{{@{{}}l{aligned}@{{}}}}", r"\toprule"]
        lines += [" & ".join(["", *heads, *map(escape, block.heads[len(block.of) :])]) + r" \\"]
        for head, rows in block.shown:
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
    *("number", "signature", "run_id", "label", "published", "reason", "commands"),
    *("tau", "tau_low", "tau_high", "tau_p", "tau_rows"),
)
"""Of a line of `records`; numbers are in the paper's unit."""


def records(filled: Filled) -> list[dict[str, Any]]:
    """Every place of the table with all that belongs to it, in full precision; keys are `FIELDS`."""
    told = []
    for section in filled.sections:
        for line in section.lines:
            cell, item, result = line.cell, line.item, line.kept.result if line.kept else None
            values = (
                *(filled.table.paper, filled.table.number, cell.row.label, cell.row.method, dict(cell.row.setting)),
                *(cell.column.group, cell.column.head, cell.column.better, cell.column.unit),
                *(cell.corpus.name if cell.corpus else "", cell.printed.text, cell.printed.value),
                *(cell.printed.spread, cell.column.spread if cell.printed.spread is not None else ""),
                *(line.dataset, line.split, line.value, line.low, line.high, line.deviation),
                *(item.scored if item else None, item.total if item else None, line.difference),
                *(None if item is None else line.same, line.number),
                item.signature if item else "",
                *(result.run_id if result else "", result.label if result else ""),
                *(line.kept.published if line.kept else None, line.reason),
                list(line.need.commands()) if line.need else [],
                *(section.order.tau, section.order.low, section.order.high, section.order.p, section.order.rows),
            )
            told.append(dict(zip(FIELDS, values, strict=True)))
    return told


def as_csv(filled: Filled) -> str:
    """`records`, one a line; a cell is empty where there is nothing."""
    return csv_text(FIELDS, records(filled))


def csv_text(fields: Sequence[str], lines: Iterable[dict[str, Any]]) -> str:
    """Records as lines, below their keys."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(fields)
    for record in lines:
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
    return json_page(page(filled), records(filled))


def json_page(told: Page, cells: Sequence[dict[str, Any]]) -> str:
    """A page with its records."""
    about = {"title": told.title, "remarks": told.remarks, "cells": cells}
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
