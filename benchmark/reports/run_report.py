"""The report of one run, or of files scored against files: tables and pictures under `report/`."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.pairs.faces import TARGET, Faces
from benchmark.pairs.measuring import COLUMNS
from benchmark.pairs.scoring import Scores
from benchmark.reports import tables
from benchmark.reports.escaping import csv_cell
from benchmark.reports.parts import Parts
from benchmark.reports.plots import distributions, recall_curve
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
    parts = _tables(view.run, results, view.task.columns)
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


def write_pair_report(scores: Scores) -> Parts:
    """Write table.md, table.csv, table.tex and distributions.png; returns the folder, and what it lacks.

    Of faces also recall.png, contact_sheet.png, and confusion.png and confusion.csv where classes were measured.
    """
    result, run = scores.result, RunDirectory(scores.folder)
    faces = scores.found if isinstance(scores.found, Faces) else None
    parts = _tables(run, [result], COLUMNS if faces else ())
    with parts.part("distributions.png") as path:
        distributions(result, scores.folder / "scores.csv", path, COLUMNS if faces else ())
    if faces:
        with parts.part("recall.png") as path:
            recall_curve([result], path)
        with parts.part("contact_sheet.png") as path:
            write_face_sheet(faces, scores.folder / "scores.csv", path)
        with parts.part("confusion.png") as path:
            from benchmark.reports import confusions

            _draw_confusions(run, confusions.of_run(run, scores.scorer, scores.outputs, result.label), path)
    return parts


def _tables(run: RunDirectory, results: Sequence[Result | PairResult], columns: Sequence[str]) -> Parts:
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

    _draw_confusions(view.run, confusions.confusions(view, results, scorer), path)


def _draw_confusions(run: RunDirectory, found: Sequence[Shown], path: Path) -> None:
    from benchmark.reports import confusions

    for stale in (path, path.with_suffix(".csv")):  # of an earlier report, which may have measured classes
        stale.unlink(missing_ok=True)
    if found:
        run.write_document("report/confusion.csv", confusions.as_csv(found))
        confusions.draw(found, path)


def write_contact_sheet(view: RunView, others: Sequence[Result], path: Path) -> None:
    """Three evaluation runs of the method and one of each other row, beside two true faces, for the first speakers."""
    from benchmark.media import write_image
    from benchmark.reports.sheets import contact_sheet

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
    rows = []
    for sample in _spread(view.samples):
        true = list(sample.targets.get(view.task.target, ()))[:2]
        cells = [_picture(path) for path in true] + [None] * (2 - len(true))
        cells += [_picture(own.get((sample.id, repeat))) for repeat in range(shown)]
        cells += [_picture(made.get((sample.id, 0))) for _, made in rest]
        rows.append((f"{sample.speaker}\n{_about(sample)}", cells))
    write_image(path, contact_sheet(rows, heads))


def write_face_sheet(found: Faces, table: Path, path: Path) -> None:
    """Up to three faces of each of some people beside up to two true ones, with the mean cosine of all of theirs.

    Args:
        table: scores.csv.
    """
    from benchmark.media import write_image
    from benchmark.reports.sheets import contact_sheet

    with table.open(encoding="utf-8", newline="") as file:
        cosines = {row["id"]: float(row["face_cosine"]) for row in csv.DictReader(file) if row.get("face_cosine")}
    faces: dict[str, list[Path]] = {}
    alike: dict[str, list[float]] = {}
    for pair in found.pairs:
        faces.setdefault(pair.speaker, []).append(pair.estimate)
        alike.setdefault(pair.speaker, []).extend(filter(None, [cosines.get(csv_cell(pair.id))]))
    true = {person.speaker: person.targets[TARGET] for person in found.people}
    shown = min(3, max(map(len, faces.values())))
    beside = min(2, max(map(len, true.values()), default=0))
    rows = []
    for sample in _spread([person for person in found.people if person.speaker in faces] or _alone(faces)):
        cells: list[Cell] = []
        for paths, count in ((true.get(sample.speaker, ()), beside), (faces[sample.speaker], shown)):
            cells += [_picture(file) for file in paths[:count]] + [None] * (count - len(paths))
        own = alike[sample.speaker]
        mean = f"cos {sum(own) / len(own):.2f}" if own else ""
        rows.append((f"{sample.speaker}\n{_about(sample)}\n{mean}", cells))
    heads = ["true"] * beside + [f"face {n + 1}" for n in range(shown)]
    write_image(path, contact_sheet(rows, heads, absent=""))


def _alone(people: Iterable[str]) -> list[Sample]:
    """People of whom no true face is known."""
    return [Sample(person, person, {}) for person in sorted(people)]


def _spread(samples: Sequence[Sample]) -> Sequence[Sample]:
    """As many as a sheet shows, evenly spread."""
    return samples[:: max(len(samples) // SHOWN, 1)][:SHOWN]


def _about(sample: Sample) -> str:
    """`f 33`."""
    known = (sample.attributes.get(key) for key in ("sex", "age"))
    return " ".join(f"{value:g}" if isinstance(value, float) else str(value) for value in known if value is not None)


def _picture(path: Path | None) -> Cell:
    from benchmark.errors import MediaError
    from benchmark.media import read_image

    try:
        return read_image(path) if path else None
    except MediaError:
        return None
