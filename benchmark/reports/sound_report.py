"""The report of enhancement and separation: numbers by noise and SNR, spectrograms, sounds to listen to.

report/
  by_condition.md    one table a number: kinds of noise and SNRs, each with its difference from the noisy floor
  by_condition.csv   the same for every number that was measured, a line per method, number and cell
  spectrograms.png   a few mixtures: noisy, every method, clean (FlowAVSE, Fig. 5)
  gain.png           SI-SDR of every output over that of its mixture
  audio/             the sounds of spectrograms.png, and index.html to play them

Every number comes from stored rows; nothing is measured again.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from benchmark.reports import escaping, tables
from benchmark.reports.parts import Parts
from benchmark.results.groups import Rows
from benchmark.results.schema import Aggregate, Result
from benchmark.runs.delays import delay_note
from benchmark.runs.directory import Key, RunDirectory, ScoreRow
from benchmark.runs.evaluation import RunView
from benchmark.runs.scoring import Scorer, stacked
from benchmark.types import Sample

if TYPE_CHECKING:
    from benchmark.reports.spectrograms import Column

SHOWN = ("pesq_wb", "estoi", "si_sdr", "wer")
"""Numbers of by_condition.md."""
FLOOR, CEILING = "noisy", "clean"
"""Rows that stand for the mixture and for the clean speech."""
HEARD = "si_sdr"
"""The number by which mixtures are chosen for pictures and sounds."""
SCORED = ("si_sdr", "pesq_wb")
"""Numbers beside each picture and sound."""
PICTURED = 4
"""Mixtures in pictures and sounds, where there are not more kinds of noise."""
ALL = "all"
"""Name of the margins."""


def write_sound_report(view: RunView, results: Sequence[Result], scorer: Scorer, parts: Parts) -> None:
    """Write the files named above; pictures and sounds only of outputs that are there.

    Args:
        view: the run, whose result is the first of `results`.
        results: all rows of the table; their runs lie beside the run's.
        scorer: the metrics that scored them.
        parts: of the report.
    """
    folder = view.run.path / "report"
    rows = read_rows(view, results, scorer)
    with parts.part("by_condition.md"):
        view.run.write_document("report/by_condition.md", by_condition_markdown(view, rows))
    with parts.part("by_condition.csv"):
        view.run.write_document("report/by_condition.csv", by_condition_csv(view, rows))
    sounds = folder / "audio"
    for stale in (folder / "gain.png", folder / "spectrograms.png", sounds / "index.html", *sounds.glob("*.wav")):
        stale.unlink(missing_ok=True)  # of an earlier report, which may have shown other mixtures
    with parts.part("gain.png") as path:
        _write_gain(view, rows, path)
    with parts.part("audio"):
        _write_examples(view, rows, parts)


# -- stored rows -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Measured:
    """What one run stores of one reported number: the rows that have it."""

    item: Aggregate
    of: Rows

    @property
    def rows(self) -> Mapping[Key, ScoreRow]:
        return self.of.rows

    def value(self, keys: Iterable[Key]) -> float | None:
        """The number over some of the rows, computed as for the whole run; None where unknown."""
        value = self.of.values(keys)[self.item.name]
        return value if math.isfinite(value) else None


@dataclass(frozen=True)
class Row:
    """A row of the table, with what its run stores."""

    result: Result
    run: RunDirectory
    measured: Mapping[str, Measured]
    """Name of each reported number to the rows that have it."""
    late: Sequence[str] = ()
    """What its rows of the metric `delay` say of all its outputs together."""

    @property
    def method(self) -> str:
        return self.result.spec.method

    def score(self, name: str, key: Key) -> float | None:
        """One output's number; None where it has none."""
        found = self.measured.get(name)
        return found.value([key]) if found and key in found.rows else None

    @cached_property
    def outputs(self) -> dict[Key, Path]:
        made = self.run.predictions()
        return {key: self.run.path / row.file for key, row in made.items() if row.status == "ok" and row.file}


def read_rows(view: RunView, results: Sequence[Result], scorer: Scorer) -> list[Row]:
    """The stored scores of every result."""
    rows = []
    for number, result in enumerate(results):
        run = RunDirectory(view.run.path.parent / result.run_id) if number else view.run
        stored = scorer.rows(run)
        measured = {}
        for item in result.aggregates:
            metric = scorer.metrics.get(item.metric)
            if metric is None or item.signature != scorer.report_signature(item.metric, item.name):
                continue
            found = stored[item.metric]
            good = {key: found[key] for key in sorted(found) if found[key].status == "ok"}
            if good:
                defined = metric.defined(item.name, stacked(list(good.values())))
                good = {key: row for (key, row), known in zip(good.items(), defined, strict=True) if known}
            measured[item.name] = Measured(item, Rows(metric, good))
        wanted = {sample.id for sample in view.samples}
        late = [row for key, row in stored.get("delay", {}).items() if key[0] in wanted]
        rows.append(Row(result, run, measured, delay_note(result.label, late)))
    return rows


def _floor(rows: Sequence[Row]) -> Row | None:
    return next((row for row in rows if row.method == FLOOR), None)


# -- numbers by condition --------------------------------------------------------------------------------------------


class Condition(NamedTuple):
    """A cell of the table; None stands for all."""

    noise: str | None
    snr_db: float | None


class Cell(NamedTuple):
    """One number of one row in one cell."""

    value: float | None
    scored: int
    total: int
    floor: float | None
    """The noisy floor's number on the outputs that both have."""
    difference: float | None
    """The row's number on those outputs less the floor's."""
    paired: int
    """How many those are."""


def condition(sample: Sample) -> Condition:
    """Kind of noise and SNR of one mixture; a recording that is noisy as it is has no SNR."""
    about = sample.attributes
    snr_db = None if sample.inputs.get("noisy") else float(about.get("snr_db", 0.0))
    return Condition(" ".join(str(about.get("noise", "unknown")).split()), snr_db)


def conditions(samples: Iterable[Sample]) -> dict[Condition, list[Sample]]:
    """Every cell and margin with its samples: kinds of noise by name, SNRs from low to high, margins last."""
    cells: dict[Condition, list[Sample]] = {}
    for sample in samples:
        noise, snr_db = condition(sample)
        for cell in dict.fromkeys(Condition(n, s) for n in (noise, None) for s in (snr_db, None)):
            cells.setdefault(cell, []).append(sample)
    return {
        cell: cells[cell]
        for cell in sorted(cells, key=lambda c: (c.noise is None, c.noise or "", c.snr_db is None, c.snr_db or 0.0))
    }


def cell_of(row: Row, floor: Row | None, name: str, samples: Sequence[Sample], repeats: int) -> Cell:
    """One number of one row over some samples, and its difference from the floor, paired by output."""
    keys = {(sample.id, repeat) for sample in samples for repeat in range(repeats)}
    own = row.measured.get(name)
    if own is None:
        return Cell(None, 0, len(keys), None, None, 0)
    known = keys & own.rows.keys()
    other = floor.measured.get(name) if floor and floor is not row else None
    both = known & other.rows.keys() if other else set()
    here, there = (own.value(both), other.value(both)) if other else (None, None)
    difference = None if here is None or there is None else here - there
    return Cell(own.value(known), len(known), len(keys), there, difference, len(both))


def by_condition_markdown(view: RunView, rows: Sequence[Row]) -> str:
    """A table a number. With one SNR its columns are the methods; with several they are the SNRs."""
    cells = conditions(view.samples)
    floor = _floor(rows)
    kinds = list(dict.fromkeys(cell.noise for cell in cells))
    snrs = list(dict.fromkeys(cell.snr_db for cell in cells if cell.noise is None))
    kinds, snrs = (each[:1] if len(each) == 2 else each for each in (kinds, snrs))  # no margin that repeats the one
    spec, repeats = view.spec, view.spec.repeats
    heads = [_snr(snr) for snr in snrs]
    plain, of = escaping.markdown, f"{spec.dataset} {spec.split} ({spec.task})"
    lines = [f"# {plain(tables.label(rows[0].result))} on {plain(of)} by noise and SNR", ""]
    if floor and len(rows) > 1:
        lines += [f"In brackets: the difference from `{FLOOR}`, paired by output.", ""]
    lines += ["`n` stands where not every output of a cell has the number.", ""]
    if any(row.result.partial for row in rows):
        lines += [tables.PARTIAL, ""]
    for row in rows:
        for line in row.late:
            lines += [plain(line[0].upper() + line[1:]) + ".", ""]
    counts = [[_noise(kind), *(str(len(cells.get(Condition(kind, snr), ()))) for snr in snrs)] for kind in kinds]
    lines += ["## Mixtures", "", *_table(["noise", *heads], counts, left=1)]
    own = [item for name in SHOWN if (item := rows[0].result.aggregate(name))]
    for item in own or rows[0].result.aggregates:

        def text(row: Row, kind: str | None, snr: float | None, item: Aggregate = item) -> str:
            return _text(cell_of(row, floor, item.name, cells.get(Condition(kind, snr), ()), repeats), item.unit)

        lines += ["", f"## {plain(tables.head(item, rows[0].result))}", ""]
        if len(snrs) == 1:
            body = [[_noise(kind), *(text(row, kind, snrs[0]) for row in rows)] for kind in kinds]
            lines += _table(
                [
                    f"noise, {heads[0]}" if snrs[0] is not None else "noise",
                    *(plain(tables.label(row.result)) for row in rows),
                ],
                body,
                left=1,
            )
        else:
            body = [
                [
                    "" if number else _noise(kind),
                    plain(tables.label(row.result)),
                    *(text(row, kind, snr) for snr in snrs),
                ]
                for kind in kinds
                for number, row in enumerate(rows)
            ]
            lines += _table(["noise", "method", *heads], body, left=2)
    return "\n".join(lines) + "\n"


def by_condition_csv(view: RunView, rows: Sequence[Row]) -> str:
    """Every number of every row in every cell and margin, one a line."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    heads = ["method", "run_id", "metric", "noise", "snr_db", "value", "scored", "total"]
    writer.writerow([*heads, FLOOR, "difference", "paired", "unit", "signature"])
    floor, cells = _floor(rows), conditions(view.samples)
    for row in rows:
        for item in row.result.aggregates:
            for at, samples in cells.items():
                cell = cell_of(row, floor, item.name, samples, view.spec.repeats)
                value, base, difference = (
                    "" if x is None else repr(x) for x in (cell.value, cell.floor, cell.difference)
                )
                snr_db = ALL if at.snr_db is None else f"{at.snr_db:g}"
                writer.writerow(
                    [*map(escaping.csv_cell, (row.result.label, row.result.run_id, item.name, at.noise or ALL)), snr_db]
                    + [value, cell.scored, cell.total, base, difference, cell.paired]
                    + [escaping.csv_cell(item.unit), escaping.csv_cell(item.signature)]
                )
    return out.getvalue()


def _text(cell: Cell, unit: str) -> str:
    """`12.31 (+12.30)`, with `n 9/10` where one of ten has no number."""
    text = tables.number(cell.value, unit)
    if cell.difference is not None:
        text += f" ({'-' if cell.difference < 0 else '+'}{tables.number(abs(cell.difference), unit)})"
    return text + (f" n {cell.scored}/{cell.total}" if 0 < cell.scored < cell.total else "")


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], left: int) -> list[str]:
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * left + "---:|" * (len(heads) - left)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


def _noise(kind: str | None) -> str:
    return ALL if kind is None else escaping.markdown(kind)


def _snr(snr_db: float | None) -> str:
    return ALL if snr_db is None else f"{snr_db:g} dB"


# -- pictures and sounds ---------------------------------------------------------------------------------------------


class Signal(NamedTuple):
    """A row of the figure."""

    name: str
    file: str
    """Ending of the sound files' names."""
    row: Row | None
    """Whose scores stand beside it; None where there are none."""


def pick(view: RunView, rows: Sequence[Row]) -> list[Sample]:
    """Mixtures to look at and to listen to, chosen by rank alone.

    Of each kind of noise at the SNR nearest 0 dB, those whose first repeat has an output are ranked by gain in SI-SDR
    (by SI-SDR without a floor, by id without either), and the middle one of each of k equal parts is taken: with four
    kinds or more k is 1, and it is the median; with fewer kinds k rises so that there are about four.
    """
    own, floor = rows[0], _floor(rows)
    kinds: dict[str, list[Sample]] = {}
    for at, samples in conditions(view.samples).items():
        if at.noise is not None and at.snr_db is None:
            there = [sample for sample in samples if (sample.id, 0) in own.outputs]
            levels = [condition(sample).snr_db or 0.0 for sample in there]
            if levels:
                nearest = min(levels, key=lambda snr_db: (abs(snr_db), snr_db))
                kinds[at.noise] = [sample for sample, level in zip(there, levels, strict=True) if level == nearest]
    picked = []
    for found in kinds.values():
        ranks: dict[str, float] = {}
        for sample in found:
            key = (sample.id, 0)
            value = own.score(HEARD, key)
            base = floor.score(HEARD, key) if floor and floor is not own else 0.0
            if value is not None and base is not None:
                ranks[sample.id] = value - base
        ranked = [sample for sample in found if sample.id in ranks] or found
        ranked.sort(key=lambda sample: (ranks.get(sample.id, 0.0), sample.id))
        parts = min(len(ranked), max(1, PICTURED // len(kinds)))
        picked += [ranked[(2 * part + 1) * len(ranked) // (2 * parts)] for part in range(parts)]
    return picked


class Examples(NamedTuple):
    """What spectrograms.png shows."""

    signals: Sequence[Signal]
    """A row of the figure each."""
    columns: Sequence[tuple[Sample, Column]]
    """A mixture each; those whose data went away after the run are left out."""
    caption: str


def examples(view: RunView, rows: Sequence[Row]) -> Examples:
    """Read the mixtures of `pick`, what each row made of them, and the clean speech."""
    from benchmark.errors import MediaError
    from benchmark.media import read_audio
    from benchmark.reports.spectrograms import Column, Panel
    from benchmark.tasks import Protocol

    rate, picked = view.task.rate, pick(view, rows)
    spoken = any(sample.targets.get(view.task.target) for sample in picked)
    signals = [signal for signal in _signals(rows) if spoken or signal.file != CEILING]
    columns = []
    for sample in picked:
        try:
            known = view.task.signals(sample, Protocol(view.spec.seconds, view.spec.repeats), view.spec.seed)
        except MediaError:  # the data went away after the run
            continue
        panels = []
        for signal in signals:
            samples: np.ndarray | None = {FLOOR: known.noisy, CEILING: known.clean}.get(signal.file)
            if samples is None and signal.row and (path := signal.row.outputs.get((sample.id, 0))):
                try:
                    samples = read_audio(path, rate).samples
                except MediaError:
                    samples = None
            panels.append(Panel(samples, "" if samples is None else _about(signal.row, sample)))
        noise, snr_db = condition(sample)
        about = str(noise) if snr_db is None else f"{noise}, {_snr(snr_db)}"
        columns.append((sample, Column(sample.id, about, panels)))
    return Examples(signals, columns, _caption(rows, picked))


def _write_examples(view: RunView, rows: Sequence[Row], parts: Parts) -> None:
    """spectrograms.png, and audio/ with its page; nothing where there is no output."""
    from benchmark.media import write_audio
    from benchmark.reports.spectrograms import draw_spectrograms
    from benchmark.types import Audio

    shown = examples(view, rows)
    columns, names = [column for _, column in shown.columns], [signal.name for signal in shown.signals]
    files = []
    for column, stem in zip(columns, file_names([sample.id for sample, _ in shown.columns]), strict=True):
        sounds = []
        for signal, panel in zip(shown.signals, column.panels, strict=True):
            file = f"{stem}_{signal.file}.wav"
            if panel.samples is not None:
                write_audio(parts.folder / "audio" / file, Audio(panel.samples, view.task.rate))
            sounds.append(None if panel.samples is None else file)
        files.append(sounds)
    if columns:
        with parts.part("spectrograms.png") as path:
            draw_spectrograms(columns, names, view.task.rate, shown.caption, path)
        page = _page(view.label, names, columns, files, shown.caption)
        view.run.write_document("report/audio/index.html", page)


def _signals(rows: Sequence[Row]) -> list[Signal]:
    """The mixture, the run's method, the others, the clean speech."""
    made = [row for row in rows if row.method not in (FLOOR, CEILING)]
    names = [row.result.label for row in made]
    labels = ["enhanced" if row is rows[0] else row.result.label.replace("_", "-") for row in made]
    endings = file_names([FLOOR, CEILING, *labels])[2:]
    outputs = [Signal(*each) for each in zip(names, endings, made, strict=True)]
    ceiling = next((row for row in rows if row.method == CEILING), None)
    return [Signal(FLOOR, FLOOR, _floor(rows)), *outputs, Signal(CEILING, CEILING, ceiling)]


def file_names(texts: Iterable[str]) -> list[str]:
    """A safe file name for each text, no two alike (nor alike but for case).

    >>> file_names(["flowavse (video=shuffled)", "../a", "..a", "A"])
    ['flowavse-video-shuffled', 'a', 'a-2', 'A-3']
    """
    names: list[str] = []
    for text in texts:
        stem = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.")[:80] or "unnamed"
        name, number = stem, 1
        while name.lower() in {other.lower() for other in names}:
            number += 1
            name = f"{stem}-{number}"
        names.append(name)
    return names


def _about(row: Row | None, sample: Sample) -> str:
    """`SI-SDR 12.31 dB, PESQ-WB 2.105`: what is known of one output."""
    parts = []
    for name in SCORED:
        value = row.score(name, (sample.id, 0)) if row else None
        if row and value is not None:
            item = row.measured[name].item
            parts.append(" ".join(filter(None, (item.title, tables.number(value, item.unit), item.unit))))
    return ", ".join(parts)


def _caption(rows: Sequence[Row], picked: Sequence[Sample]) -> str:
    own, floor = rows[0], _floor(rows)
    by = "id"
    if own.measured.get(HEARD) and own.measured[HEARD].rows:
        by = own.measured[HEARD].item.title + (" gain" if floor and floor is not own else "")
    several = len(picked) > len({condition(sample).noise for sample in picked})
    which = f"mixtures spread evenly over the ranking by {by}" if several else f"the mixture of median {by}"
    return (
        f"Chosen by rank, not by hand: of each kind of noise at the SNR nearest 0 dB, {which} of {own.result.label}. "
        "No level is changed."
    )


def _page(
    label: str,
    names: Sequence[str],
    columns: Sequence[Column],
    files: Sequence[Sequence[str | None]],
    caption: str,
) -> str:
    """A page of players: a line per mixture, a column per signal. It opens from disk and asks the network nothing."""
    from urllib.parse import quote

    head = "".join(f"<th>{escaping.html(name)}</th>" for name in ("", *names))
    body = []
    for column, sounds in zip(columns, files, strict=True):
        cells = [f"<th>{escaping.html(column.id)}<br>{escaping.html(column.condition)}</th>"]
        for panel, file in zip(column.panels, sounds, strict=True):
            player = f'<audio controls preload="none" src="{quote(file)}"></audio>' if file else "no output"
            cells.append(f"<td>{player}<br>{escaping.html(panel.about)}</td>")
        body.append(f"<tr>{''.join(cells)}</tr>")
    return "\n".join(
        [
            "<!DOCTYPE html>",
            f'<html lang="en"><head><meta charset="utf-8"><title>{escaping.html(label)}</title>',
            "<style>body{font:14px sans-serif}th{text-align:left;font-weight:600}td,th{padding:6px}"
            "audio{width:230px}img{max-width:100%}</style></head><body>",
            f"<h1>{escaping.html(label)}</h1>",
            f"<p>{escaping.html(caption)}</p>",
            f"<table><tr>{head}</tr>",
            *body,
            "</table>",
            '<img src="../spectrograms.png" alt="spectrograms of these sounds">',
            "</body></html>",
            "",
        ]
    )


def _write_gain(view: RunView, rows: Sequence[Row], path: Path) -> None:
    """gain.png, where the run's method and the noisy floor both have SI-SDR: a mean hides what was made worse."""
    from benchmark.reports.spectrograms import draw_gain

    floor = _floor(rows)
    if floor is None or floor is rows[0] or HEARD not in rows[0].measured or HEARD not in floor.measured:
        return
    points: dict[str, list[tuple[float, float]]] = {}
    for sample in view.samples:
        for repeat in range(view.spec.repeats):
            before, after = (row.score(HEARD, (sample.id, repeat)) for row in (floor, rows[0]))
            if before is not None and after is not None:
                points.setdefault(str(condition(sample).noise), []).append((before, after))
    item = rows[0].measured[HEARD].item
    title = f"{view.label} on {view.spec.dataset} {view.spec.split}"
    draw_gain(points, item.title, item.unit, title, path)
