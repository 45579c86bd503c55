"""A paper's table beside what is measured here: `fill` finds for each printed number the result that measures it.

The printed table is turned into sections, one for each of its columns, so that a reported number and a measured one
stand side by side and never in one column. Their difference is taken only where both have the same definition. With
each section goes Kendall's tau of the two orders of its rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from benchmark.errors import PrerequisiteError, UnknownName, UsageError, did_you_mean
from benchmark.papers.needs import EMBEDDED, SPLIT, RunNeeded, fitting
from benchmark.papers.ranking import Agreement, Measurement, agreement
from benchmark.papers.reported import Cell, Column, Table, load, papers
from benchmark.registry import role
from benchmark.reports.tables import probability
from benchmark.results.schema import is_probability

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
    need: RunNeeded | None
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
    def deviation(self) -> float | None:
        """Of what stands behind the plus-minus sign of the paper; None where it states another, or ours has none."""
        return self._scaled("sd" if self.cell.column.over_outputs else "spread")

    @property
    def split(self) -> str:
        return split_of(self.cell, self.dataset)

    @property
    def number(self) -> str:
        """Of our results, that is shown or would be."""
        return self.cell.number if self.item is None else self.item.name

    @property
    def same(self) -> bool:
        """Both are there and have one definition."""
        column = self.cell.column
        return self.item is not None and self.item.name != column.in_place and column.agrees(self.item.signature)

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
        """`3.64`, or `3.64 ± 0.30` where the paper prints a deviation over files; `< 0.001` of a small p-value."""
        if line.value is None:
            return "-"
        text = self.text(line, line.value)
        if is_probability(line.cell.number) or not self.column.over_outputs or line.deviation is None:
            return text
        return f"{text} ± {fixed(line.deviation, self.decimals)}"

    def text(self, line: Line, value: float) -> str:
        """A value of a line's number, in the paper's unit, with the decimals of the section."""
        text = fixed(value, self.decimals)
        return probability(text) if is_probability(line.cell.number) else text

    def interval(self, line: Line) -> str:
        if line.low is None or line.high is None:
            return "-"
        return f"[{fixed(line.low, self.decimals)}, {fixed(line.high, self.decimals)}]"

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
    def missing(self) -> list[RunNeeded]:
        """Runs that would measure what is not measured yet, each once."""
        return list(dict.fromkeys(line.need for line in self.lines if line.need and line.item is None))

    @property
    def count(self) -> str:
        """Reported numbers beside which a measured one stands: `12 of 38`."""
        numbers = [line for line in self.lines if line.cell.printed.value is not None]
        return f"{sum(line.value is not None for line in numbers)} of {len(numbers)}"


def needed(cells: Sequence[Cell], dataset: str) -> RunNeeded:
    """The run that measures cells of one row on a dataset.

    Args:
        cells: of one row, those that something here measures (`Cell.reason` is empty).

    Raises:
        UnknownName, InvalidConfig: the method, preset, setting or dataset is not known.
        UsageError: the dataset does not serve the task.
        PrerequisiteError: the method needs a package that is not installed.
    """
    from benchmark.protocols.following import follow
    from benchmark.registry import datasets, methods
    from benchmark.runs.evaluation import protocol_for
    from benchmark.tasks import get_task

    row, task = cells[0].row, get_task(cells[0].task)
    serves = datasets.load(dataset).tasks
    if task.name not in serves:
        raise UsageError(f"dataset '{dataset}' does not serve task '{task.name}'; it serves: {', '.join(serves)}")
    own = all(cell.corpus is not None and cell.corpus.dataset == dataset for cell in cells)
    protocol = cells[0].table.protocol
    assert protocol is not None, "what is measured has one"
    kept = follow(protocol, {"dataset": dataset}, default_networks=not own).options
    # A method that hears no enrolment has none.
    heard = protocol_for(methods.load(row.run.method), task, enrolment=row.run.enrolment or kept.get("enrolment"))
    training = tuple(item for item in row.run.set if item.startswith("training."))
    need = RunNeeded(
        row.run.method,
        task.name,
        tuple(item for item in row.run.set if item not in training),
        # The paper's size belongs to the paper's data and to trainings; else the method's default, which has weights.
        preset=(row.run.preset or None) if own or row.run.needs else None,
        seconds=row.run.seconds or kept.get("seconds") or None,
        enrolment=heard.enrolment or "",
        dataset=dataset,
        split=kept["split"],
        trained=row.run.needs,
        training=training,
        folder=f"{row.run.method}-{row.run.key}" if row.run.needs else "",
        own=own,
        protocol=protocol.name,
        metrics=kept.get("metrics", ()),
        options=tuple(dict.fromkeys(option for cell in cells for option in cell.column.options)) if own else (),
        label=row.label,
    )
    _ = need.plan  # what cannot be resolved is known now
    return need


def named(text: str) -> list[Table]:
    """The tables that a name stands for: `sf2f/3` or `sf2f/table3`, `sf2f` for all of a paper, `all`.

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
        if str(table.number) == number.removeprefix("table"):
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
    at_hand: Collection[str] = (),
) -> Filled:
    """Set results beside a printed table.

    Args:
        results: where measured numbers are looked for; of two that fit a place alike the first is taken. Those that
            cannot be ranked (partial, mixed, changed) are not.
        dataset: on which rows are measured; None takes the paper's where a result of it fits, else Talkers.
        given: label of a row to the result that measures it, whatever its settings; also of a row that nothing here
            makes, such as a system whose outputs lie at hand (`run --method outputs`).
        columns: heads, keys or numbers of ours of the columns to keep; all where there are none.
        at_hand: datasets on which the rows of papers that used them are measured, though no result is there yet.

    Raises:
        UnknownName: no such dataset, column or row.
        UsageError: a given result that is of another task, or of no dataset that is looked at.
    """
    return _Filling(table, results, dataset, _given(table, given or {}), at_hand).filled(columns)


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
    at_hand: Collection[str]

    def __post_init__(self) -> None:
        self._runs: dict[tuple[str, str], RunNeeded | str] = {}
        self._used: set[str] = set()
        methods = [row for row in self.table.rows if role(row.run.method) == "method"]
        self._competing = methods or self.table.rows

    def filled(self, columns: Sequence[str]) -> Filled:
        if self.dataset is not None:
            from benchmark.registry import datasets

            datasets.entry(self.dataset)
        sections = tuple(self._section(column) for column in self._columns(columns))
        for label in self.given.keys() - self._used:
            spec = self.given[label].result.spec
            places = dict.fromkeys(f"{line.dataset}, {line.split} split" for each in sections for line in each.lines)
            raise UsageError(
                f"{self.given[label].path} ({spec.task} on {spec.dataset}, {spec.split} split) does not measure row "
                f"'{label}' of {self.table.name}: expected {self.table.task or 'no run'} on {' or '.join(places)}"
            )
        return Filled(self.table, sections)

    def _columns(self, names: Sequence[str]) -> Iterable[Column]:
        if not names:
            return self.table.columns
        known = {name.casefold(): None for column in self.table.columns for name in _names(column)}
        for name in names:
            if name.casefold() not in known:
                heads = ", ".join(column.head for column in self.table.columns)
                raise UnknownName(
                    f"{self.table.name} has no column '{name}'.{did_you_mean(name.casefold(), known)} Columns: {heads}"
                )
        asked = {name.casefold() for name in names}
        return [column for column in self.table.columns if asked & {name.casefold() for name in _names(column)}]

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
        # A row of other people, reported or measured, is in no order with these, nor are floors and ceilings with
        # methods.
        compared = [
            Measurement(line.cell.printed.value, line.value, line.low, line.high)
            for line in lines
            if line.cell.printed.value is not None and not line.cell.printed.relation and line.value is not None
            if line.dataset == dataset and line.cell.corpus is corpus and line.cell.row in self._competing
        ]
        return Section(column, corpus.name if corpus else "", dataset, tuple(lines), agreement(compared))

    def _dataset(self, cells: Sequence[Cell], of_paper: str) -> str:
        if self.dataset is not None:
            return self.dataset
        if of_paper and (of_paper in self.at_hand or any(self._candidates(cell, of_paper) for cell in cells)):
            return of_paper
        return EMBEDDED

    def _run(self, cell: Cell, dataset: str) -> RunNeeded | str:
        """What measures the cell's row on a dataset, or why nothing does."""
        key = cell.row.label, dataset
        if key not in self._runs:
            of_row = [other for other in self.table.cells() if other.row is cell.row]
            alike = [other for other in of_row if not other.reason]
            own = [other for other in alike if other.corpus is not None and other.corpus.dataset == dataset]
            try:
                self._runs[key] = needed(own or alike, dataset)
            except (PrerequisiteError, UsageError) as error:
                self._runs[key] = str(error).splitlines()[0]
        return self._runs[key]

    def _named(self, cell: Cell, dataset: str) -> Kept | None:
        """The result that is named for the cell's row, where it is of this dataset."""
        named = self.given.get(cell.row.label)
        if named is None:
            return None
        spec = named.result.spec
        return named if (spec.task, spec.dataset, spec.split) == (cell.task, dataset, split_of(cell, dataset)) else None

    def _candidates(self, cell: Cell, dataset: str) -> list[Kept]:
        """Results that measure the cell's row on a dataset, best first."""
        if cell.column.reason:
            return []
        if cell.row.label in self.given:
            named = self._named(cell, dataset)
            return [] if named is None else [named]
        if cell.reason:
            return []
        run = self._run(cell, dataset)
        if isinstance(run, str) or not self._told_apart(run):
            return []
        return fitting(run, self.results)

    def _line(self, cell: Cell, dataset: str) -> Line:
        """With the first result that has the number; which definition all lines share is chosen afterwards."""
        named = self._named(cell, dataset)
        if named is not None:
            self._used.add(cell.row.label)
        if cell.column.reason or (cell.reason and named is None):
            return Line(cell, dataset, None, reason=cell.reason)
        run = cell.reason or self._run(cell, dataset)  # a reason of the row alone: a result of it was named
        if isinstance(run, str) and named is None:
            return Line(cell, dataset, None, reason=run)
        need = None if isinstance(run, str) else run
        if named is not None or self._candidates(cell, dataset):
            return Line(cell, dataset, need, named, reason="no result of this row has this number")
        return Line(cell, dataset, need, reason=self._why_none(need))

    def _told_apart(self, run: RunNeeded) -> bool:
        """Whether results of the run can be known by their settings: a special training is no part of them."""
        if run.training or not run.trained:
            return not run.training
        cells = [cell for cell in self.table.cells() if cell.row.label != run.label and not cell.reason]
        others = [self._run(cell, run.dataset) for cell in cells]
        return not any(isinstance(other, RunNeeded) and run.like(other) for other in others)

    def _why_none(self, run: RunNeeded) -> str:
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
                item = kept.result.aggregate(line.cell.number) or kept.result.aggregate(line.cell.column.in_place)
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


def split_of(cell: Cell, dataset: str) -> str:
    """Of a dataset, on which a cell is measured."""
    return cell.corpus.split if cell.corpus is not None and cell.corpus.dataset == dataset else SPLIT


def _names(column: Column) -> list[str]:
    """By which it is asked for."""
    return list(filter(None, (column.head, column.key, column.number, column.in_place)))


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


def fixed(value: float, decimals: int) -> str:
    """A number with so many digits behind the point, and no minus before a zero."""
    text = f"{value:.{decimals}f}"
    return text if float(text) else text.lstrip("-")
