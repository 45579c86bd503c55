"""The page `leaderboards/index.html`: the tables to sort and to filter, the papers', faces to see, sounds to hear.

One file that asks the network for nothing: style, script, pictures and sounds are inside, and its policy forbids all
else. It is made of published results, the papers' numbers, commands.toml and what `examples` and `figures` keep: the
same files give the same bytes. What comes from results and papers is text, never markup: all of it is escaped.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

import numpy as np

from benchmark import registry
from benchmark.leaderboard import board as boards
from benchmark.leaderboard import drawings, examples, figures
from benchmark.leaderboard.refresh import Command, Made, commands
from benchmark.leaderboard.submissions import Submission, measured, rows_beside
from benchmark.reports import escaping, tables
from benchmark.results.schema import Aggregate, Result
from benchmark.tasks import TASKS

if TYPE_CHECKING:
    from metrics.metric import Report

NAME = "index.html"
"""Below the folder of leaderboards."""
TEMPLATES = Path(__file__).parent / "templates"
BESIDE = {"image": "face_cosine", "audio": "si_sdr"}
"""The number beside each example, by what the task makes."""
_RECALL = re.compile(r"recall_at_(\d+)")
_DIRECTIONS = {True: "higher is better", False: "lower is better", None: "neither direction is better"}
_LINKS = (
    (re.compile(r"doi:(10\.\d{4,}/[\w.()/:-]*\w)"), "https://doi.org/"),
    (re.compile(r"arXiv:(\d{4}\.\d{4,5})"), "https://arxiv.org/abs/"),
)
"""What a paper's source names, and where that leads."""


class Number(NamedTuple):
    """What one column's numbers are."""

    id: str
    title: str
    unit: str
    direction: str
    bounds: str
    text: str
    signature: str
    card: str
    """A link, or empty."""


class Column(NamedTuple):
    """A head of a table."""

    title: str
    about: str
    """`of 100, chance 10.0`."""
    arrow: str
    better: str
    """`high`, `low`, or empty."""
    number: Number
    scale: drawings.Scale | None
    """Of all drawings; None where nothing has a number."""
    ends: tuple[str, str] | None
    """Of the scale, as they are printed."""
    marks: str
    """SVG behind all drawings."""


class Cell(NamedTuple):
    """A place of a table."""

    value: str
    interval: str
    remark: str
    best: bool
    sort: str
    """The number in full; empty where there is none."""
    drawing: str
    """SVG."""


class Line(NamedTuple):
    """A row of a table."""

    id: str
    label: str
    role: str
    title: str
    """What the method is, in a few words."""
    rank: str
    sort: str
    coverage: str
    cells: Sequence[Cell]
    command: str
    """What is typed to make it."""
    beside: str
    """The method that the command names, where it makes this row besides; or empty."""
    card: str
    result: str
    rows: str
    weights: str
    notes: Sequence[str]


class Shown(NamedTuple):
    """An output to see or to hear."""

    picture: str
    sound: str
    about: str
    """`0.964`."""
    remark: str


class Gallery(NamedTuple):
    """Outputs of one table's rows for the same inputs."""

    heads: Sequence[tuple[str, str]]
    """Of each input: what it is, and the words that are said."""
    rows: Sequence[tuple[str, str, Sequence[Shown | None]]]
    """Label, role, and an output for each input."""
    number: str
    """What the number beside each output is."""


class Section(NamedTuple):
    """A table with what belongs to it."""

    id: str
    title: str
    about: str
    columns: Sequence[Column]
    lines: Sequence[Line]
    ceilings: Sequence[Line]
    legend: Sequence[str]
    recall: drawings.Plot | None
    gallery: Gallery | None


class Task(NamedTuple):
    """All tables of a task on a dataset."""

    id: str
    name: str
    title: str
    dataset: str
    output: str
    sections: Sequence[Section]
    files: Sequence[tuple[str, str]]
    """What a file is, and the link to it."""


class Paper(NamedTuple):
    """A paper's tables beside what is measured here."""

    name: str
    title: str
    about: str
    links: Sequence[tuple[str, str]]
    tables: Sequence[tuple[str, Any]]
    """Name, and the `papers.tables.Page` of it."""
    figures: Sequence[tuple[figures.Figure, str]]
    """With its picture."""


@dataclass(frozen=True)
class _Maker:
    """What all parts of the page are made from."""

    root: Path
    boards: Sequence[boards.Board]

    @cached_property
    def commands(self) -> Mapping[Made, Command]:
        """Row to what makes it."""
        return {row: command for command in commands(self.root) for row in command.rows}

    def link(self, path: Path) -> str:
        """To a file of the checkout, from the page; empty where it is not there."""
        inside = path.is_relative_to(self.root.parent) and path.is_file()
        if not inside:
            return ""
        if path.is_relative_to(self.root):
            return quote(path.relative_to(self.root).as_posix())
        return quote(f"../{path.relative_to(self.root.parent).as_posix()}")

    # -- tables --------------------------------------------------------------------------------------------------------

    def task(self, board: boards.Board) -> Task:
        task = TASKS[board.task]
        files = [("these tables as Markdown", f"{board.stem}.md"), ("every number as CSV", f"{board.stem}.csv")]
        if (self.root / "papers").is_dir() and boards.reported(board.task, self.root / "papers"):
            files.append(("what papers report for this task", f"{board.task}/reported.md"))
        return Task(
            _id(board.stem),
            board.task,
            task.title,
            board.dataset,
            task.output,
            [self.section(board, each) for each in board.sections],
            [(about, quote(file)) for about, file in files],
        )

    def section(self, board: boards.Board, section: boards.Section) -> Section:
        columns = [self.column(section, head) for head in section.heads]
        lines = [self.line(section, row, columns) for row in section.rows]
        speakers = max(row.result.speakers for row in section.rows)
        outputs = max(row.result.samples * row.result.spec.repeats for row in section.rows)
        curves = [drawings.Curve(row.result.label, row.role, _points(row)) for row in section.rows]
        return Section(
            _id(board.stem, str(board.sections.index(section))),
            section.question.title,
            f"{speakers} speakers, {outputs} outputs a row",
            columns,
            [line for line in lines if line.role != "ceiling"],
            [line for line in lines if line.role == "ceiling"],
            [line for line in boards.plain_legend(section) if line],
            drawings.recall(curves),
            self.gallery(board, section),
        )

    def column(self, section: boards.Section, head: Aggregate) -> Column:
        cells = [(row.role, row.cells[head.name]) for row in section.rows if head.name in row.cells]
        scale = drawings.scale(cell.item for _, cell in cells)
        leading = [cell.item for _, cell in cells if cell.place is not None and cell.place.group == 1]
        behind = ""
        if scale is not None:
            best = _best(leading)
            floor, ceiling = (_best([cell.item for own, cell in cells if own == role]) for role in ("floor", "ceiling"))
            behind = drawings.marks(scale, best, floor and floor.value, ceiling and ceiling.value)
        return Column(
            tables.title(head),
            tables.setting(head, section.rows[0].result),
            {True: "↑", False: "↓", None: ""}[head.higher_is_better],
            {True: "high", False: "low", None: ""}[head.higher_is_better],
            self.number(section, head),
            scale,
            scale and (tables.number(scale.low, head.unit), tables.number(scale.high, head.unit)),
            behind,
        )

    def number(self, section: boards.Section, head: Aggregate) -> Number:
        report = _report(section, head)
        if report is not None:
            text, bounds = " ".join([report.description, *boards.galleries(head)]), _bounds(report)
        else:  # a metric whose rows are too wide to be kept
            text = registry.metrics.described(head.metric).title if head.metric in registry.metrics else ""
            bounds = ""
        return Number(
            _id("number", head.name, hashlib.sha256(head.signature.encode()).hexdigest()[:8]),
            head.title,
            head.unit,
            _DIRECTIONS[head.higher_is_better],
            bounds,
            text,
            head.signature,
            self.card_of_metric(head.metric),
        )

    def card_of_metric(self, metric: str) -> str:
        """The page beside the metric's module."""
        return self._card(registry.metrics, metric, lambda module: f"{module}.md")

    def card_of_method(self, method: str) -> str:
        return self._card(registry.methods, method, lambda module: str(Path(module).parent / "README.md"))

    def _card(self, names: registry.Registry, name: str, card: Any) -> str:
        entry = names.builtin.get(name)
        if entry is None:
            return ""
        module = entry.target.partition(":")[0].replace(".", "/")
        return self.link(self.root.parent / card(module))

    def line(self, section: boards.Section, row: boards.Row, columns: Sequence[Column]) -> Line:
        result, first = row.result, section.rows[0].result
        place = row.place(section.primary)
        cells = [_cell(row, head, first, column.scale) for head, column in zip(section.heads, columns, strict=True)]
        entry = registry.methods.builtin.get(result.spec.method)
        failed = sum(result.failures.generation.values())
        command = self.commands.get(Made.of(result))
        notes = [f"{failed} outputs were not made" if failed else "", *tables.without_interval(result, section.heads)]
        return Line(
            _id("row", result.run_id),
            result.label,
            row.role,
            re.sub(r"^(floor|ceiling)[^:]*: ", "", entry.title) if entry else "",
            boards.rank(place),
            str(place.first + place.last) if place else "",
            tables.coverage(result, section.heads),
            cells,
            command.line if command else "",
            command.method if command and command.method != result.spec.method else "",
            self.card_of_method(result.spec.method),
            quote(str(row.submission.place)),
            quote(str(rows_beside(row.submission.place))) if row.submission.packed is not None else "",
            result.spec.weights_sha256 or "",
            [note for note in notes if note],
        )

    # -- examples ------------------------------------------------------------------------------------------------------

    def gallery(self, board: boards.Board, section: boards.Section) -> Gallery | None:
        """Faces from the truth down, as the ceilings are it; sounds from the mixture to the clean speech."""
        task = TASKS[board.task]
        output, order = task.output, ("floor", "method", "ceiling")
        rows = sorted(section.rows, key=lambda row: order.index(row.role), reverse=output == "image")
        if output == "audio":
            usual = {name: place for place, name in enumerate(task.references)}
            rows.sort(key=lambda row: (order.index(row.role), usual.get(row.result.spec.method, len(usual))))
        found = []
        for row in rows:
            shown = examples.read(row.submission, self.root)
            if shown is not None:
                found.append((row, shown))
        if not found:
            return None
        inputs = {each.sample: each for _, shown in found for each in shown.examples}
        head = next((head for head in section.heads if head.name == BESIDE[output]), None)
        lines = []
        for row, shown in found:
            own = {each.sample: self.shown(row, each, head) for each in shown.examples}
            lines.append((row.result.label, row.role, [own.get(sample) for sample in inputs]))
        return Gallery(
            [(each.title, each.text) for each in inputs.values()],
            lines,
            tables.title(head) if head is not None else "",
        )

    def shown(self, row: boards.Row, example: examples.Example, head: Aggregate | None) -> Shown:
        def inside(name: str) -> str:
            return _inside(*examples.content(row.submission, name, self.root))

        value = _of_output(row.submission, head, example) if head is not None else None
        down = f"turned down by {example.turned_down_db:g} dB" if example.turned_down_db else ""
        return Shown(
            inside(example.spectrogram or example.file),
            inside(example.file) if example.spectrogram else "",
            "" if value is None or head is None else tables.number(value, head.unit),
            down,
        )

    # -- papers --------------------------------------------------------------------------------------------------------

    def papers(self) -> Iterator[Paper]:
        from benchmark.papers import tables as paper_tables
        from benchmark.papers.beside import fill
        from benchmark.papers.reported import load, papers
        from benchmark.results.finding import Kept

        folder = self.root / "papers"
        if not folder.is_dir():
            return
        rows = [row for board in self.boards for section in board.sections for row in section.rows]
        kept = [Kept(Path(row.submission.place), row.result, published=True) for row in rows]
        published = {each.result.run_id for each in kept}
        drawn = [each for each in figures.read(self.root) if published.issuperset(each[0].runs)]
        for key in papers(folder):
            paper = load(key, folder)
            yield Paper(
                paper.name,
                paper.title,
                f"{paper.authors}. {paper.source} ({paper.year}).",
                [(found[0], where + found[1]) for link, where in _LINKS for found in link.finditer(paper.source)],
                [(table.name, paper_tables.page(fill(table, kept))) for table in paper.tables],
                [(each, _inside("image/webp", data)) for each, data in drawn if each.name.startswith(f"{key}/")],
            )


def html(found: Sequence[boards.Board], root: Path) -> str:
    """The page.

    Args:
        found: all tables, sorted.
        root: the folder of leaderboards.

    Raises:
        SubmissionError: rows of a result are not those of its metrics, or examples are not as they are written.
        InvalidConfig: commands.toml or a paper's file cannot be read.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    from benchmark.papers.tables import ORDER_HEADS

    maker = _Maker(root.absolute(), found)
    around = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # Marks that turn the direction of writing, and all else that does not show, are told by their names.
        finalize=lambda value: value if type(value) is not str or value.isprintable() else escaping.printable(value),
    )
    style, script = ((TEMPLATES / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    # The first task of the table of tasks is what a reader comes for first.
    tasks = [maker.task(each) for each in sorted(found, key=lambda each: (list(TASKS).index(each.task), each.dataset))]
    numbers: dict[str, dict[str, Number]] = {}
    for task in tasks:
        for section in task.sections:
            own = numbers.setdefault(TASKS[task.name].output, {})
            own |= {column.number.id: column.number for column in section.columns if column.number.id not in own}
    text = around.get_template("page.html.j2").render(
        tasks=tasks,
        numbers=numbers,
        papers=list(maker.papers()),
        order_heads=ORDER_HEADS,
        datasets=sorted({task.dataset for task in tasks}),
        style=Markup(style),
        script=Markup(script),
        hashes={"style": _hash(style), "script": _hash(script)},
        svg=Markup,
    )
    return text.rstrip("\n") + "\n"


def _inside(kind: str, content: bytes) -> str:
    """A file as the address of a picture or a sound."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _hash(text: str) -> str:
    """As a Content-Security-Policy names what may stand inside a page."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}"


def _id(*parts: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", "-".join(parts).lower()).strip("-")


def _best(items: Iterable[Aggregate]) -> Aggregate | None:
    """The best by its direction, of several of one number."""
    known = [item for item in items if item.value is not None and item.higher_is_better is not None]
    if not known:
        return None
    sign = 1 if known[0].higher_is_better else -1
    return max(known, key=lambda item: sign * (item.value or 0.0))


def _cell(row: boards.Row, head: Aggregate, first: Result, scale: drawings.Scale | None) -> Cell:
    if head.name not in row.cells:
        return Cell("-", "", "", False, "", "")
    item, place = row.cells[head.name]
    if item.value is None:
        why = max(item.reasons, key=lambda reason: (item.reasons[reason], reason)) if item.reasons else ""
        return Cell("-", "", why, False, "", "")
    return Cell(
        tables.value(item),
        "" if item.low is None else tables.interval(item),
        tables.remarks(item, row.result, first, item.scored).strip(),
        place is not None and place.group == 1,
        repr(item.value),
        drawings.interval(scale, item) if scale is not None else "",
    )


def _report(section: boards.Section, head: Aggregate) -> Report | None:
    """What the metric says of the number; None where no row's outputs are kept."""
    for row in section.rows:
        item = row.result.aggregate(head.name)
        if item is not None and item.signature == head.signature:
            found = measured(row.submission, head.metric)
            if found is not None:
                return next((report for report in found.metric.reports if report.name == head.name), None)
    return None


def _bounds(report: Report) -> str:
    low, high = (f"{100 * end:g} %" if report.unit == "%" and np.isfinite(end) else f"{end:g}" for end in report.bounds)
    if report.bounds == (-np.inf, np.inf):
        return "any value"
    if report.bounds[1] == np.inf:
        return f"{low} or more"
    return f"{low} to {high}"


def _points(row: boards.Row) -> list[tuple[int, float, float, float]]:
    found = []
    for name, (item, _) in row.cells.items():
        match = _RECALL.fullmatch(name)
        if match and item.value is not None:
            low, high = (item.value if end is None else end for end in (item.low, item.high))
            found.append((int(match[1]), item.value, low, high))
    return sorted(found)


def _of_output(submission: Submission, head: Aggregate, example: examples.Example) -> float | None:
    """One output's number, from the published rows; None where it has none."""
    found = measured(submission, head.metric)
    key = (example.sample, 0)
    if found is None or key not in found.rows:
        return None
    value = float(found.values({found.rows[key].speaker: 0}, frozenset([key]), np.ones((1, 1)))[head.name][0])
    return value if np.isfinite(value) else None
