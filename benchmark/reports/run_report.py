"""The report of one run, or of files scored against files: tables and pictures under `report/`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmark.evaluation import RunView
from benchmark.reports import tables
from benchmark.reports.plots import distributions, recall_curve
from benchmark.results import PairResult, Result
from benchmark.scoring import Scorer
from benchmark.store import RunDirectory

SHOWN = 20
"""Speakers on a contact sheet."""


def write_report(view: RunView, results: Sequence[Result], scorer: Scorer | None = None) -> Path:
    """Write table.md, table.csv, table.tex, and what shows the outputs; returns the folder.

    Faces: recall.png and contact_sheet.png. Speech, where the scorer is given: what `sound_report` names.
    """
    run = view.run
    run.write_document("report/table.md", tables.markdown(results, view.task.columns))
    run.write_document("report/table.csv", tables.long_csv(results))
    run.write_document("report/table.tex", tables.latex(results, view.task.columns))
    recall_curve(results, run.path / "report" / "recall.png")
    if view.task.output == "image":
        write_contact_sheet(view, results[1:])
    if view.task.output == "audio" and scorer is not None:
        from benchmark.reports.sound_report import write_sound_report

        write_sound_report(view, results, scorer)
    return run.path / "report"


def write_pair_report(folder: Path, result: PairResult) -> Path:
    """Write table.md, table.csv, table.tex and distributions.png; returns the folder."""
    run = RunDirectory(folder)
    run.write_document("report/table.md", tables.markdown([result], ()))
    run.write_document("report/table.csv", tables.long_csv([result]))
    run.write_document("report/table.tex", tables.latex([result], ()))
    distributions(result, folder / "scores.csv", folder / "report" / "distributions.png")
    return folder / "report"


def write_contact_sheet(view: RunView, others: Sequence[Result]) -> None:
    """Three evaluation runs of the method and one of each other row, beside two true faces, for the first speakers."""
    from benchmark.errors import MediaError
    from benchmark.media import read_image, write_image
    from benchmark.reports.sheets import Cell, contact_sheet

    def picture(path: Path | None) -> Cell:
        try:
            return read_image(path) if path else None
        except MediaError:
            return None

    def outputs(run: RunDirectory) -> dict[tuple[str, int], Path]:
        made = run.predictions()
        return {key: run.path / row.file for key, row in made.items() if row.status == "ok" and row.file}

    own = outputs(view.run)
    rest = [(result.label, outputs(RunDirectory(view.run.path.parent / result.run_id))) for result in others]
    shown = min(3, view.spec.repeats)
    heads = [
        "true",
        "true",
        *[f"{view.spec.method} {n + 1}"[:14] for n in range(shown)],
        *[name[:14] for name, _ in rest],
    ]
    step = max(len(view.samples) // SHOWN, 1)
    rows = []
    for sample in view.samples[::step][:SHOWN]:
        true = list(sample.targets.get(view.task.target, ()))[:2]
        cells = [picture(path) for path in true] + [None] * (2 - len(true))
        cells += [picture(own.get((sample.id, repeat))) for repeat in range(shown)]
        cells += [picture(made.get((sample.id, 0))) for _, made in rest]
        about = " ".join(
            str(sample.attributes[key]) for key in ("sex", "age") if sample.attributes.get(key) is not None
        )
        rows.append((f"{sample.speaker}\n{about}", cells))
    path = view.run.path / "report" / "contact_sheet.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, contact_sheet(rows, heads))
