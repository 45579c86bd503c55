"""A paper's table over groups: what is measured of each row by sex, by age, by anything that is known of its samples.

Papers print one number for everybody. It stands beside the measured one, and behind that stand the groups of the same
outputs and how far they lie apart, each with its interval (`benchmark.results.groups`). Nothing is measured again: a
number has groups where a value for each output is kept of it, and says why where none is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from benchmark.errors import MissingDataset, UsageError
from benchmark.papers import tables
from benchmark.papers.beside import Filled, Line, Section
from benchmark.reports import groups as report
from benchmark.results.attributes import Known, grouped_by
from benchmark.results.comparison import Scored, find_scored, scored_run
from benchmark.results.finding import Kept
from benchmark.results.groups import Grouped, Number, grouped
from benchmark.results.statistics import FEWEST

KnownOf = Callable[[Scored], Mapping[str, Known]]
"""What is known of each sample that a run was asked for."""


@dataclass(frozen=True)
class GroupedLine:
    """One place of the table, and the groups of what is measured of it."""

    line: Line
    found: Grouped | None
    """Groups of the run that measures it."""
    number: Number | None
    why: str
    """Why it has no groups."""


@dataclass(frozen=True)
class GroupedSection:
    """One column of the table, row by row."""

    section: Section
    lines: tuple[GroupedLine, ...]

    @property
    def first(self) -> Grouped | None:
        """The run whose groups the columns are of; None where no row has groups."""
        return next((each.found for each in self.lines if each.number is not None), None)


@dataclass(frozen=True)
class ByGroups:
    """A paper's table, with what is measured over groups."""

    filled: Filled
    name: str
    """What makes the groups: `sex`."""
    stem: str
    """The same for a file's name: `by_sex`."""
    sections: tuple[GroupedSection, ...]


def by_groups(filled: Filled, by: str, known: KnownOf) -> ByGroups:
    """The measured numbers of a table over groups.

    Args:
        by: one `--by`.

    Raises:
        UsageError: nothing of the table is measured, or its samples have no such attribute, or no rows are kept.
        MissingDataset: what is known of the samples is not here.
    """
    wanted: dict[Path, tuple[Kept, dict[str, Any]]] = {}
    for line in filled.lines:
        if line.kept is not None and line.item is not None and line.value is not None:
            wanted.setdefault(line.kept.path, (line.kept, {}))[1][line.item.name] = line.item
    if not wanted:
        raise UsageError(f"No number of {filled.table.name} is measured, so there is nothing to group")
    runs: dict[Path, Grouped] = {}
    refused: dict[Path, UsageError | MissingDataset] = {}
    for path, (kept, items) in wanted.items():
        try:
            run = scored_run(kept.folder, kept.result) if kept.folder else find_scored(str(kept.path), path.parent)
            samples = known(run)
            grouping = grouped_by(by, samples, run.name)
            runs[path] = grouped(run.of(samples), samples, grouping, list(items.values()), tested=False)
        except (UsageError, MissingDataset) as error:
            refused[path] = error
    if not runs:
        raise next(iter(refused.values()))
    why = {path: str(error) for path, error in refused.items()}
    sections = tuple(
        GroupedSection(section, tuple(_line(line, runs, why) for line in section.lines)) for section in filled.sections
    )
    first = next(iter(runs.values())).grouping
    return ByGroups(filled, first.name, first.file_stem, sections)


def _line(line: Line, runs: Mapping[Path, Grouped], why: Mapping[Path, str]) -> GroupedLine:
    if line.kept is None or line.item is None or line.value is None:
        return GroupedLine(line, None, None, line.reason)
    found = runs.get(line.kept.path)
    if found is None:
        return GroupedLine(line, None, None, f"no groups: {why[line.kept.path]}")
    number = found.of(line.item.name)
    told = "" if number else f"no groups: {found.why_none(line.item.name, line.item.metric)}"
    return GroupedLine(line, found, number, told)


# -- as text ----------------------------------------------------------------------------------------------------------


def page(told: ByGroups) -> tables.Page:
    """Lay it out."""
    notes, blocks = tables.Notes(), []
    shown, another = [each for each in told.sections if each.first is not None], tables.another_definition(told.filled)
    for (reported, dataset, heads), sections in groupby(shown, _of):
        parts = tuple(_part(each, heads, notes, another) for each in sections)
        blocks.append(tables.Block((reported, tables.measured_head(told.filled, dataset)), parts, heads))
    protocol = told.filled.table.protocol
    return tables.Page(
        f"{told.filled.title}, by {told.name}", tuple(blocks), (), tuple(notes.numbers), tuple(_remarks(told)),
        tuple(tables.commands(told.filled)), protocol.name if protocol else "",
    )  # fmt: skip


def _of(each: GroupedSection) -> tuple[str, str, tuple[str, ...]]:
    """Sections alike in this stand in one table."""
    assert each.first is not None
    return each.section.reported_head, each.section.dataset, tuple(report.beside_heads(each.first))


def _part(
    each: GroupedSection, heads: Sequence[str], notes: tables.Notes, another: str
) -> tuple[str, tuple[tuple[str, ...], ...]]:
    section, scale = each.section, each.section.column.scale

    rows: list[tuple[str, ...]] = []
    for own in each.lines:

        def written(value: float, line: Line = own.line) -> str:
            return section.text(line, value / scale)

        label = own.line.cell.row.label + notes.mark(*tables.about_row(section, own.line))
        first = label, own.line.cell.printed.text
        measured = section.value(own.line)
        if own.number is None or own.found is None or tuple(report.beside_heads(own.found)) != tuple(heads):
            why = own.why or "no groups here: its samples make other groups than those of the other rows"
            rows.append((*first, measured + notes.mark(why), *("-" for _ in heads)))
            continue
        measured += notes.mark(*report.lacks(own.number, own.found))
        for place, cells in enumerate(report.beside(own.number, own.found, written)):
            rows.append((*(("", "", "") if place else (*first, measured)), *cells))
    return section.head + notes.mark(*tables.about_section(section, another)), tuple(rows)


def _remarks(told: ByGroups) -> list[str]:
    """Sentences below the table."""
    shown = [each for each in told.sections if each.first is not None]
    firsts = [each.first for each in shown if each.first is not None]
    lines = ["What the paper reports has no groups: it stands beside what is measured of everybody."]
    lines += dict.fromkeys(
        f"Measured on {found.run.result.spec.dataset}, by {report.sizes(found)}."  # type: ignore[union-attr]
        for found in firsts
    )
    if any(found.grouping.of_two for found in firsts):
        lines.append("In brackets behind the names of groups: their speakers.")
    if any(len(found.grouping.stated) < 2 for found in firsts):
        lines.append(report.ONE)
    lines.append(
        f"Brackets behind numbers: 95 % interval over the speakers of a group, from {FEWEST} on; of a difference that "
        "of the difference. Of 20 such differences that are none, one leaves out 0 by chance; those of one "
        "run are tested together by: python -m benchmark show RUN --by ATTRIBUTE"
    )
    if any(
        report.among_everybody(own.number, own.found)
        for each in told.sections
        for own in each.lines
        if own.number is not None and own.found is not None
    ):
        lines.append(report.EVERYBODY)
    lines += dict.fromkeys(line for found in firsts for line in report.not_stated(found))
    without: dict[str, list[str]] = {}
    for each in told.sections:
        if each.first is None and (why := next((own.why for own in each.lines if own.line.value is not None), "")):
            without.setdefault(why.removeprefix("no groups: "), []).append(each.section.head)
    lines += [f"No groups of {', '.join(dict.fromkeys(heads))}: {why}." for why, heads in without.items()]
    return lines + tables.remarks(replace(told.filled, sections=tuple(each.section for each in shown)))


FIELDS = (
    *("paper", "table", "row", "method", "group", "column", "better", "unit", "reported", "measured_on", "split"),
    *("measured", "by", "of", "value", "low", "high", "scored", "total", "speakers"),
    *("difference", "difference_low", "difference_high", "number", "signature", "run_id", "label", "published"),
    "reason",
)
"""Of a line of `records`; numbers are in the paper's unit."""


def records(told: ByGroups) -> list[dict[str, Any]]:
    """Every place of the table and every group of it, in full precision; a place without groups once, with the reason.
    Keys are `FIELDS`."""
    found = []
    for each in told.sections:
        for own in each.lines:
            line, column = own.line, own.line.cell.column
            result = line.kept.result if line.kept else None
            about = (
                *(told.filled.table.paper, told.filled.table.number, line.cell.row.label, line.cell.row.method),
                *(
                    column.group,
                    column.head,
                    column.better,
                    column.unit,
                    line.cell.printed.value,
                    line.dataset,
                    line.split,
                ),
                *(line.value, told.name),
            )
            ends = (
                *(result.run_id if result else "", result.label if result else ""),
                line.kept.published if line.kept else None,
            )
            lines: list[tuple[Any, ...]] = []
            if own.number is None or own.found is None:
                lines.append((*about, "", *(None,) * 9, line.number, "", *ends, own.why))
            else:
                for group in own.number.groups:
                    apart = group.apart
                    numbers = [
                        None if value is None else value / column.scale
                        for value in (group.value, group.low, group.high)
                    ]
                    differences = [
                        None if value is None else value / column.scale
                        for value in ((apart.difference, apart.low, apart.high) if apart else (None,) * 3)
                    ]
                    counts = group.scored, group.total, group.speakers
                    signature = report.signature(own.number, group, own.found)
                    why = group.no_value or group.no_interval
                    lines.append(
                        (*about, group.group, *numbers, *counts, *differences, line.number, signature, *ends, why)
                    )
            found += [dict(zip(FIELDS, values, strict=True)) for values in lines]
    return found


FORMATS: dict[str, Callable[[ByGroups], str]] = {
    ".md": lambda told: tables.page_markdown(page(told)),
    ".csv": lambda told: tables.csv_text(FIELDS, records(told)),
    ".tex": lambda told: tables.page_latex(page(told)),
    ".json": lambda told: tables.json_page(page(told), records(told)),
}
"""By the end of a file's name."""


def write(told: ByGroups, path: Path) -> None:
    """Write one file, in the format that its name ends in.

    Raises:
        OSError: it cannot be written.
    """
    from benchmark.files import write_whole

    text = FORMATS[path.suffix](told)
    write_whole(path, lambda partial: partial.write_text(text, encoding="utf-8"))


def write_folder(told: Sequence[ByGroups], folder: Path) -> list[Path]:
    """Write each table in every format, as `sf2f-3.by_sex.md`; the Markdown files.

    Raises:
        OSError: a file cannot be written.
    """
    written = []
    for each in told:
        stem = f"{each.filled.table.name.replace('/', '-')}.{each.stem}"
        for suffix in FORMATS:
            write(each, folder / f"{stem}{suffix}")
        written.append(folder / f"{stem}.md")
    return written
