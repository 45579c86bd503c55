"""The report of one run: tables and pictures under `report/`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.reports import tables
from benchmark.reports.parts import Parts
from benchmark.reports.plots import recall_curve
from benchmark.results.schema import PairResult, Result
from benchmark.runs.directory import RunDirectory
from benchmark.runs.evaluation import RunView
from benchmark.runs.scoring import Scorer
from benchmark.types import Sample

if TYPE_CHECKING:
    from benchmark.reports.confusions import Shown
    from benchmark.reports.sheets import Cell

SHOWN = 20
"""Speakers on a contact sheet."""


def write_report(view: RunView, results: Sequence[Result], scorer: Scorer | None = None) -> Parts:
    """Write table.md, table.csv, table.tex, and what shows the outputs; returns the folder, and what it lacks.

    Faces: recall.png and contact_sheet.png, and where the scorer is given and measured classes, confusion.png and
    confusion.csv. Speech, where the scorer is given: what `sound_report` names.
    """
    parts = write_tables(view.run, results, view.task.columns)
    with parts.part("recall.png") as path:
        recall_curve(results, path)
    if view.task.output == "image":
        with parts.part("contact_sheet.png") as path:
            write_contact_sheet(view, results[1:], path)
    if view.task.output == "image" and scorer is not None:
        with parts.part("confusion.png") as path:
            _write_confusions(view, results, scorer, path)
    if view.task.output == "audio" and scorer is not None:
        from benchmark.reports.sound_report import write_sound_report

        with parts.part("by_condition.md"):
            write_sound_report(view, results, scorer, parts)
    return parts


def write_tables(run: RunDirectory, results: Sequence[Result | PairResult], columns: Sequence[str]) -> Parts:
    """Begin a report with table.md, table.csv and table.tex."""
    parts = Parts(run.path / "report")
    with parts.part("table.md"):
        run.write_document("report/table.md", tables.markdown(results, columns))
    with parts.part("table.csv"):
        run.write_document("report/table.csv", tables.long_csv(results))
    with parts.part("table.tex"):
        run.write_document("report/table.tex", tables.latex(results, columns))
    return parts


def _write_confusions(view: RunView, results: Sequence[Result], scorer: Scorer, path: Path) -> None:
    from benchmark.reports import confusions

    write_confusions(view.run, confusions.confusions(view, results, scorer), path)


def write_confusions(run: RunDirectory, found: Sequence[Shown], path: Path) -> None:
    """Write confusion.png and confusion.csv, where classes were measured."""
    from benchmark.reports import confusions

    for stale in (path, path.with_suffix(".csv")):  # of an earlier report, which may have measured classes
        stale.unlink(missing_ok=True)
    if found:
        run.write_document("report/confusion.csv", confusions.as_csv(found))
        confusions.draw(found, path)


def write_contact_sheet(view: RunView, others: Sequence[Result], path: Path) -> None:
    """Three evaluation runs of the method and one of each other row, for speakers evenly spread, beside two true faces
    where any are known.
    """
    from benchmark.media import write_image
    from benchmark.reports.sheets import contact_sheet

    def outputs(run: RunDirectory) -> dict[tuple[str, int], Path]:
        made = run.predictions()
        return {key: run.path / row.file for key, row in made.items() if row.status == "ok" and row.file}

    own = outputs(view.run)
    rest = [(result.label, outputs(RunDirectory(view.run.path.parent / result.run_id))) for result in others]
    shown = min(3, view.spec.repeats)
    samples = spread(view.samples)
    known = min(2, max((len(sample.targets.get(view.task.target, ())) for sample in samples), default=0))
    heads = [
        *["true"] * known,
        *[f"{view.label[:12].rstrip(' (')} {n + 1}" for n in range(shown)],
        *[name[:14] for name, _ in rest],
    ]
    rows = []
    for sample in samples:
        true = list(sample.targets.get(view.task.target, ()))[:known]
        cells = [picture(path) for path in true] + [None] * (known - len(true))
        cells += [picture(own.get((sample.id, repeat))) for repeat in range(shown)]
        cells += [picture(made.get((sample.id, 0))) for _, made in rest]
        rows.append((f"{sample.speaker}\n{about(sample)}", cells))
    write_image(path, contact_sheet(rows, heads))


def spread(samples: Sequence[Sample]) -> Sequence[Sample]:
    """As many as a sheet shows, evenly spread."""
    return samples[:: max(len(samples) // SHOWN, 1)][:SHOWN]


def about(sample: Sample) -> str:
    """`f 33`."""
    known = (sample.attributes.get(key) for key in ("sex", "age"))
    return " ".join(f"{value:g}" if isinstance(value, float) else str(value) for value in known if value is not None)


def picture(path: Path | None) -> Cell:
    """A picture, or None where it cannot be read."""
    from benchmark.errors import MediaError
    from benchmark.media import read_image

    try:
        return read_image(path) if path else None
    except MediaError:
        return None
