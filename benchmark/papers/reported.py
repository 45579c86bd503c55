"""The numbers that the papers report, as `leaderboards/papers/*.toml` hold them.

A file holds one paper. `[columns.KEY]` and `[runs.KEY]` say once what a column means and what measures a row here;
how the paper evaluates stands in `benchmark/protocols`, a file of the same name for each paper: its corpora, its
networks inside numbers, its lengths of speech. Each printed table is then one `[[tables]]`, a line for each printed
row:

    protocol = "table3"
    heads = ["Method", "Len."]
    columns = ["cosine", "vfs"]
    rows = [
      { row = ["SF2F", "5 sec"], values = [0.317, [19.49, 0.59]], run = "sf2f" },
    ]

`row` is what stands under `heads`, word for word; `values` are the numbers in the order of `columns`, with the digits
that are printed: a number, `[number, spread]`, `"< 0.001"`, or `"-"` where nothing is printed. Its numbers are of the
first corpus of its protocol, or of `corpus`; where it has columns of several, `lrs3:pesq` is the column `pesq` of the
corpus `lrs3`. Where rows are of several measures,
`measure` of a row stands for `{measure}` in the `number` of a column. `settings` lists sizes, steps and
hyper-parameters, and `presets.METHOD` those presets of ours that keep to them, unless a setting names others. A key
that is no field of the classes below is refused, and so is a row of another length.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from benchmark.configuration import checked
from benchmark.errors import InvalidConfig, UnknownName, did_you_mean
from benchmark.protocols import book
from benchmark.protocols.book import Book, Corpus, PaperProtocol

FOLDER = Path(__file__).parents[2] / "leaderboards" / "papers"
"""In a checkout, and beside the packages where the project is installed."""

ABSENT = ("-", "N/A")
"""Printed where a table has no number."""


@dataclass(frozen=True)
class Column:
    """What one printed column means, and which number here is meant to be the same."""

    key: str
    head: str
    group: str = ""
    """Printed above several heads."""
    kind: Literal["number", "text"] = "number"
    unit: str = ""
    """As printed: `%` where 5.75 means 0.0575."""
    better: Literal["higher", "lower", "neither"] = "neither"
    about: str = ""
    """Definition, and where the paper gives it."""
    spread: str = ""
    """What stands behind the plus-minus sign; empty where nothing does."""
    over_outputs: bool = False
    """It is the standard deviation over files, which our results state too (`Aggregate.sd`)."""
    corpus: Corpus | None = None
    """Its own, in a table with several."""
    number: str = ""
    """Of our results, e.g. `face_cosine`, with `{measure}` where that differs by row; empty where nothing here measures
    it."""
    in_place: str = ""
    """The number of ours that is shown where a result lacks `number`, as the metric's own network does not yield it:
    another definition."""
    options: tuple[str, ...] = ()
    """Of `run` and `score`, which make our definition the paper's: those of the protocols' judge."""
    signature: str = ""
    """What the signature of our number then holds; empty where it needs no options."""
    differs: str = ""
    """How our definition is another one: always, or where there is a `signature`, without it."""
    reason: str = ""
    """Why nothing here measures it; `{method}` and `{preset}` stand for those of the row's run."""
    note: str = ""

    @property
    def higher_is_better(self) -> bool | None:
        return {"higher": True, "lower": False, "neither": None}[self.better]

    def agrees(self, signature: str) -> bool:
        """Whether our number of this signature has the paper's definition, so that both may stand in one column."""
        return self.signature in signature if self.signature else not self.differs

    @property
    def scale(self) -> float:
        """Times which a printed number is what our result files hold: they keep percentages as parts of 1."""
        return 0.01 if self.unit == "%" else 1.0


@dataclass(frozen=True)
class Run:
    """What measures a row here, in words of the command line; or why nothing does."""

    key: str
    method: str = ""
    preset: str = ""
    """At the paper's size. On Talkers the method's default preset, which has weights, takes its place."""
    set: tuple[str, ...] = ()
    """`KEY=VALUE`, over the preset; those that begin with `training.` are for `train`."""
    seconds: float | None = None
    """Length of speech, one of the protocol's; None takes its first."""
    enrolment: str = ""
    """Whose voice the method is told to give, one of the protocol's; empty takes its first."""
    task: str = ""
    """Where it is not the table's."""
    needs: str = ""
    """What has to be done first, as no weights are shipped for it; empty where those of the default preset serve."""
    differs: str = ""
    """What is not the same here."""
    elsewhere: str = ""
    """What is not the same on another corpus than the paper's."""
    reason: str = ""
    """Why nothing here measures the row."""


@dataclass(frozen=True)
class Printed:
    """What stands in one place of a table."""

    text: str
    """With the digits that are printed: `19.49 ± 0.59`, `< 0.001`, `-`."""
    value: float | None = None
    spread: float | None = None
    relation: Literal["<", ">"] | None = None
    """Where only a bound is printed."""

    @property
    def decimals(self) -> int | None:
        """Digits that are printed behind the point of the value; None where there is no number."""
        found = re.search(r"\d+(?:\.(\d+))?", self.text) if self.value is not None else None
        return len(found[1] or "") if found else None


@dataclass(frozen=True)
class Row:
    """One printed row."""

    method: str
    """The paper's name of it."""
    setting: Mapping[str, str] = field(hash=False)
    """Head to what stands under it, as printed; with the method, where that has a head."""
    values: tuple[Printed, ...]
    """In the order of the table's columns."""
    run: Run
    corpus: Corpus | None
    """Its own, where it is not the table's."""
    measure: str
    """What stands for `{measure}` in the numbers of the columns; empty where they are the same for all rows."""
    note: str

    @property
    def label(self) -> str:
        """What tells the row from the others of its table: `SF2F, 5 sec`."""
        return ", ".join(text for text in self.setting.values() if text not in ("", *ABSENT))


@dataclass(frozen=True)
class Table:
    """One printed table."""

    paper: str
    """Key of the paper: `sf2f`."""
    number: int
    title: str
    place: str
    task: str
    corpus: Corpus | None
    heads: tuple[str, ...]
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    turned: bool
    """The printed table stands the other way: what are rows here stands across."""
    note: str
    protocol: PaperProtocol | None
    """How it was made; None where it holds no measurements."""

    @property
    def name(self) -> str:
        """`sf2f/3`."""
        return f"{self.paper}/{self.number}"

    def cells(self) -> Iterator[Cell]:
        """Every place of the table, row by row."""
        for row in self.rows:
            for column, printed in zip(self.columns, row.values, strict=True):
                yield Cell(self, row, column, printed)


@dataclass(frozen=True)
class Cell:
    """One place of a table, with everything about it."""

    table: Table
    row: Row
    column: Column
    printed: Printed

    @property
    def corpus(self) -> Corpus | None:
        """None in a table that is not about recordings."""
        return self.row.corpus or self.column.corpus or self.table.corpus

    @property
    def task(self) -> str:
        return self.row.run.task or self.table.task

    @property
    def number(self) -> str:
        """Of our results, which is meant to be the same; empty where nothing here measures it."""
        return self.column.number.replace("{measure}", self.row.measure)

    @property
    def reason(self) -> str:
        """Why this is not measured here; empty where it can be."""
        run = self.row.run
        return run.reason or self.column.reason.replace("{method}", run.method).replace("{preset}", run.preset)

    @property
    def where(self) -> str:
        """`sf2f/3, SF2F, 5 sec: Retrieval R@10`."""
        return f"{self.table.name}, {self.row.label}: {f'{self.column.group} {self.column.head}'.strip()}"


@dataclass(frozen=True)
class Setting:
    """A size, a number of steps or another hyper-parameter that the paper states."""

    name: str
    value: int | float | str | tuple[int | float, ...]
    place: str
    """Table, section or appendix."""
    unit: str = ""
    of: str = ""
    """Which part or variant it belongs to, where the paper has several."""
    method: str = ""
    """Ours, where the paper's is built here."""
    presets: tuple[str, ...] = ()
    """Of the method, which keep to it; where a file does not say, those that its `presets` lists."""
    keys: tuple[str, ...] = ()
    """As `--set` takes them, or `parameters`, the count of the network's, `parameters.PART` of a part of it; none where
    we have no such setting."""
    ours: int | float | str | bool | tuple[int | float, ...] | None = None
    """What the presets hold instead, or in their own unit; `note` says why."""
    note: str = ""


@dataclass(frozen=True)
class Paper:
    """Everything that is taken from one paper."""

    key: str
    """Name of the file: `sf2f`."""
    name: str
    title: str
    authors: str
    year: int
    source: str
    tables: tuple[Table, ...]
    settings: tuple[Setting, ...]

    def table(self, number: int) -> Table:
        """One of its tables.

        Raises:
            UnknownName: the paper has no such table, or it holds no results.
        """
        for table in self.tables:
            if table.number == number:
                return table
        known = ", ".join(str(table.number) for table in self.tables)
        raise UnknownName(f"No Table {number} of '{self.key}'. Its tables of results: {known}")

    def cells(self) -> Iterator[Cell]:
        """Every place of every table."""
        for table in self.tables:
            yield from table.cells()


def papers(folder: Path = FOLDER) -> tuple[str, ...]:
    """Keys of all papers, sorted."""
    return tuple(sorted(path.stem for path in folder.glob("*.toml")))


@lru_cache
def load(paper: str, folder: Path = FOLDER, protocols: Path = book.FOLDER) -> Paper:
    """Read a paper's file.

    Args:
        paper: its key, e.g. `sf2f`.
        folder: that holds the files.
        protocols: that holds the files of how papers evaluate.

    Raises:
        UnknownName: there is no such paper, or no file of how it evaluates.
        InvalidConfig: the file is not as it should be; names file, table and row.
    """
    known = papers(folder)
    if paper not in known:
        raise UnknownName(f"Unknown paper '{paper}'.{did_you_mean(paper, known)} Papers: {', '.join(known)}")
    path = folder / f"{paper}.toml"
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidConfig(f"{path.name} is not TOML: {error}") from error
    return _File(path.name, paper, found, book.load(paper, protocols)).paper()


def table(paper: str, number: int, folder: Path = FOLDER) -> Table:
    """One printed table: `table("sf2f", 3)`.

    Raises:
        As `load`, and UnknownName where the paper has no such table.
    """
    return load(paper, folder).table(number)


@dataclass(frozen=True)
class _PaperText:
    """What a file says of its paper."""

    name: str
    title: str
    authors: str
    year: int
    source: str


@dataclass(frozen=True)
class _TableText:
    """A table as its file writes it."""

    number: int
    title: str
    place: str
    heads: tuple[str, ...]
    columns: tuple[str, ...]
    rows: list
    protocol: str = ""
    corpus: str = ""
    """Where it is not the protocol's first."""
    method: str = ""
    """Of all rows, where no head says `Method`."""
    turned: bool = False
    note: str = ""


@dataclass(frozen=True)
class _RowText:
    """A row as its file writes it."""

    row: tuple[str, ...]
    values: list
    run: str
    method: str = ""
    corpus: str = ""
    measure: str = ""
    note: str = ""


class _File:
    """A parsed file on its way to a `Paper`."""

    def __init__(self, name: str, key: str, found: Mapping[str, Any], protocols: Book) -> None:
        self.name, self.key, self.protocols = name, key, protocols
        self.about = dict(found)
        self.presets = self._presets()
        self.corpora = protocols.corpora
        self.columns = {key: self._judged(column) for key, column in self._keyed("columns", Column).items()}
        self.runs = self._keyed("runs", Run)
        for key, run in self.runs.items():
            self._one_of(f"runs.{key}", method=run.method, reason=run.reason)
        for key, column in self.columns.items():
            self._one_of(f"columns.{key}", number=column.number, reason=column.reason)

    def paper(self) -> Paper:
        tables = tuple(self._table(item) for item in self._listed("tables"))
        numbers = [table.number for table in tables]
        if numbers != sorted(set(numbers)):
            raise InvalidConfig(f"{self.name}: expected tables in the order of their numbers, each once, got {numbers}")
        settings = tuple(self._setting(item) for item in self._listed("settings"))
        text = checked(_PaperText, self.about, self.name)
        return Paper(self.key, text.name, text.title, text.authors, text.year, text.source, tables, settings)

    def _table(self, item: Any) -> Table:
        where = f"{self.name}, Table {item.get('number', '?') if isinstance(item, dict) else '?'}"
        text = checked(_TableText, item, where)
        if len(set(text.columns)) < len(text.columns):
            raise InvalidConfig(f"{where}: expected each column once, got {_shown(text.columns)}")
        columns = tuple(self._column(key, where) for key in text.columns)
        known = self.protocols.protocols
        protocol = self._named(known, text.protocol, "protocol", where) if text.protocol else None
        corpus = self._named(self.corpora, text.corpus, "corpus", where) if text.corpus else None
        if protocol is not None:
            corpus = corpus or next(iter(protocol.corpora), None)
            self._kept(protocol, columns, where)
        rows = tuple(self._row(row, text, columns, f"{where}, row {n}") for n, row in enumerate(text.rows, 1))
        if not rows:
            raise InvalidConfig(f"{where}: expected rows, got none")
        for number, row in enumerate(rows, 1):
            if [other.label for other in rows].index(row.label) != number - 1:
                raise InvalidConfig(f"{where}, row {number}: '{row.label}' stands there twice")
        if corpus is None and any(
            column.kind == "number" and not (row.corpus or column.corpus) for row in rows for column in columns
        ):
            raise InvalidConfig(f"{where}: expected 'corpus' of the table, or of each row or column of numbers")
        if protocol is None and any(row.run.method and column.number for row in rows for column in columns):
            raise InvalidConfig(f"{where}: something here measures it, so expected 'protocol'")
        task = protocol.task if protocol else ""
        return Table(
            self.key, text.number, text.title, text.place, task, corpus, text.heads, columns, rows, text.turned,
            text.note, protocol,
        )  # fmt: skip

    def _judged(self, column: Column) -> Column:
        """With the options and the signature of the network inside it."""
        judge = self.protocols.judge_of(column.number)
        return replace(column, options=judge.options, signature=judge.signature) if judge else column

    def _kept(self, protocol: PaperProtocol, columns: Sequence[Column], where: str) -> None:
        """What the table is to show is what its protocol yields."""
        for column in columns:
            for number in filter(None, (column.number, column.in_place)):
                if "{measure}" not in number and number not in protocol.numbers:
                    known = ", ".join(protocol.numbers)
                    raise InvalidConfig(f"{where}: protocol {protocol.name} yields no '{number}'. It yields: {known}")

    def _column(self, text: str, where: str) -> Column:
        """`pesq`, or `lrs3:pesq` of one of the table's corpora."""
        corpus, colon, key = text.rpartition(":")
        column = self._named(self.columns, key, "column", where)
        if not colon:
            return column
        above = self._named(self.corpora, corpus, "corpus", f"{where}, column '{text}'")
        if not above.head:
            raise InvalidConfig(
                f"{self.name}, corpora.{corpus}: lacks 'head', to stand above column '{key}' of {where}"
            )
        return replace(column, key=text, corpus=above, group=above.head)

    def _row(self, item: Any, table: _TableText, columns: tuple[Column, ...], where: str) -> Row:
        text = checked(_RowText, item, where)
        for name, got, expected in (("row", text.row, table.heads), ("values", text.values, columns)):
            if len(got) != len(expected):
                raise InvalidConfig(f"{where}: expected {len(expected)} in '{name}', got {len(got)}: {_shown(got)}")
        setting = dict(zip(table.heads, text.row, strict=True))
        method = text.method or setting.get("Method") or table.method
        if not method:
            raise InvalidConfig(f"{where}: expected a head 'Method', or 'method' of the row or table")
        values = tuple(
            _printed(value, column, f"{where} ({', '.join(text.row)}), column '{column.key}'")
            for value, column in zip(text.values, columns, strict=True)
        )
        run = self._named(self.runs, text.run, "run", where)
        if table.protocol in self.protocols.protocols:
            protocol = self.protocols.protocols[table.protocol]
            for option, value, kept in (
                ("seconds", run.seconds, protocol.seconds),
                ("enrolment", run.enrolment or None, protocol.enrolments),
            ):
                if value is not None and value not in kept:
                    raise InvalidConfig(
                        f"{where}: run '{run.key}' has {option} = {value!r}, and protocol {protocol.name} "
                        f"{', '.join(map(repr, kept)) or 'none'}"
                    )
        corpus = self._named(self.corpora, text.corpus, "corpus", where) if text.corpus else None
        by_row = any("{measure}" in column.number for column in columns)
        if by_row != bool(text.measure):
            wanted = (
                "expected 'measure'" if by_row else "no number of a column names {measure}, so expected no 'measure'"
            )
            raise InvalidConfig(f"{where}: {wanted}")
        return Row(method, setting, values, run, corpus, text.measure, text.note)

    def _setting(self, item: Any) -> Setting:
        named = f" '{item['name']}'" if isinstance(item, dict) and "name" in item else ""
        where = f"{self.name}, setting{named}"
        setting = checked(Setting, _plain(item, where), where)
        if setting.keys and not setting.presets and setting.method in self.presets:
            setting = replace(setting, presets=self.presets[setting.method])
        if len({bool(setting.method), bool(setting.presets), bool(setting.keys)}) > 1:
            raise InvalidConfig(f"{where}: expected 'method', 'presets' and 'keys' together, or none of them")
        if setting.ours is not None and not (setting.presets and setting.note):
            raise InvalidConfig(f"{where}: 'ours' wants 'presets' that hold it and a 'note' that says why")
        return setting

    def _keyed(self, name: str, kind: type) -> Mapping[str, Any]:
        found = self.about.pop(name, {})
        if not isinstance(found, dict):
            raise InvalidConfig(f"{self.name}: expected [{name}.KEY], got {_shown(found)}")
        made = {}
        for key, given in found.items():
            where = f"{self.name}, {name}.{key}"
            if not isinstance(given, dict):
                raise InvalidConfig(f"{where}: expected a table, got {_shown(given)}")
            for own in given.keys() & {"key", "corpus", "options", "signature"}:  # fields that are set here
                raise InvalidConfig(f"{where}: unknown key '{own}'")
            made[key] = checked(kind, {**_plain(given, where), "key": key}, where)
        return made

    def _presets(self) -> Mapping[str, tuple[str, ...]]:
        found = self.about.pop("presets", {})
        if not isinstance(found, dict) or not all(
            isinstance(names, list) and all(isinstance(name, str) for name in names) for names in found.values()
        ):
            raise InvalidConfig(f"{self.name}: expected 'presets.METHOD' to be a list of names, got {_shown(found)}")
        return {method: tuple(names) for method, names in found.items()}

    def _listed(self, name: str) -> list[Any]:
        found = self.about.pop(name, [])
        if not isinstance(found, list):
            raise InvalidConfig(f"{self.name}: expected a list of tables '{name}', got {_shown(found)}")
        return found

    def _named(self, known: Mapping[str, Any], key: str, kind: str, where: str) -> Any:
        if key not in known:
            raise InvalidConfig(
                f"{where}: unknown {kind} '{key}'.{did_you_mean(key, known)} The file defines: "
                f"{', '.join(known) or 'none'}"
            )
        return known[key]

    def _one_of(self, where: str, **given: str) -> None:
        if sum(map(bool, given.values())) != 1:
            names = " or ".join(f"'{name}'" for name in given)
            raise InvalidConfig(f"{self.name}, {where}: expected either {names}, and only one of them")


def _printed(given: Any, column: Column, where: str) -> Printed:
    """What a file writes for one place of a table."""
    if column.kind == "text":
        if not isinstance(given, str):
            raise InvalidConfig(f"{where}: expected text, got {_shown(given)}")
        return Printed(given)
    if isinstance(given, str):
        if given in ABSENT:
            return Printed(given)
        relation, _, bound = given.partition(" ")
        try:
            if relation not in ("<", ">"):
                raise InvalidOperation
            return Printed(given, _finite(Decimal(bound), where), relation=relation)
        except InvalidOperation:
            raise InvalidConfig(
                f"{where}: expected a number, [number, spread], '< number', '> number', or one of "
                f"{', '.join(map(repr, ABSENT))}, got {given!r}"
            ) from None
    if isinstance(given, list):
        if len(given) != 2 or not all(_is_number(item) for item in given):
            raise InvalidConfig(f"{where}: expected [number, spread], got {_shown(given)}")
        if not column.spread:
            raise InvalidConfig(f"{where}: [{given[0]}, {given[1]}] has a spread, but the column does not say what of")
        value, spread = (_finite(item, where) for item in given)
        if spread < 0:
            raise InvalidConfig(f"{where}: expected a spread of 0 or more, got {given[1]}")
        return Printed(f"{_shown(given[0])} ± {_shown(given[1])}", value, spread)
    if not _is_number(given):
        raise InvalidConfig(f"{where}: expected a number, got {_shown(given)}")
    return Printed(_shown(given), _finite(given, where))


def _is_number(given: Any) -> bool:
    return isinstance(given, int | Decimal) and not isinstance(given, bool)


def _finite(number: int | Decimal, where: str) -> float:
    if not Decimal(number).is_finite():
        raise InvalidConfig(f"{where}: expected a finite number, got {number}")
    return float(number)


def _plain(given: Any, where: str) -> Any:
    """The same with finite floats in place of decimals, whose digits matter in tables alone."""
    if isinstance(given, dict):
        return {key: _plain(value, where) for key, value in given.items()}
    if isinstance(given, list):
        return [_plain(item, where) for item in given]
    return _finite(given, where) if isinstance(given, Decimal) else given


def _shown(given: Any) -> str:
    """Decimals with the digits that the file writes; anything else as Python shows it."""
    if isinstance(given, list | tuple):
        return f"[{', '.join(map(_shown, given))}]"
    return f"{given:f}" if isinstance(given, Decimal) else repr(given)
