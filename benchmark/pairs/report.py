"""The report of files scored against files: tables and pictures under `report/`."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.pairs.faces import TARGET, Faces
from benchmark.pairs.measuring import COLUMNS
from benchmark.pairs.scoring import Scores
from benchmark.reports.escaping import csv_cell
from benchmark.reports.parts import Parts
from benchmark.reports.plots import distributions, recall_curve
from benchmark.reports.run_report import about, picture, spread, write_confusions, write_tables
from benchmark.runs.directory import RunDirectory
from benchmark.types import Sample

if TYPE_CHECKING:
    from benchmark.reports.sheets import Cell


def write_pair_report(scores: Scores) -> Parts:
    """Write table.md, table.csv, table.tex and distributions.png; returns the folder, and what it lacks.

    Of faces also recall.png, contact_sheet.png, and confusion.png and confusion.csv where classes were measured.
    """
    result, run = scores.result, RunDirectory(scores.folder)
    faces = scores.found if isinstance(scores.found, Faces) else None
    parts = write_tables(run, [result], COLUMNS if faces else ())
    with parts.part("distributions.png") as path:
        distributions(result, scores.folder / "scores.csv", path, COLUMNS if faces else ())
    if faces:
        with parts.part("recall.png") as path:
            recall_curve([result], path)
        with parts.part("contact_sheet.png") as path:
            write_face_sheet(faces, scores.folder / "scores.csv", path)
        with parts.part("confusion.png") as path:
            from benchmark.reports import confusions

            write_confusions(run, confusions.of_run(run, scores.scorer, scores.outputs, result.label), path)
    return parts


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
        own = alike.setdefault(pair.speaker, [])
        own += [cosines[csv_cell(pair.id)]] if csv_cell(pair.id) in cosines else []
    true = {person.speaker: person.targets[TARGET] for person in found.people}
    shown = min(3, max(map(len, faces.values())))
    beside = min(2, max(map(len, true.values()), default=0))
    rows = []
    for sample in spread([person for person in found.people if person.speaker in faces] or _alone(faces)):
        cells: list[Cell] = []
        for paths, count in ((true.get(sample.speaker, ()), beside), (faces[sample.speaker], shown)):
            cells += [picture(file) for file in paths[:count]] + [None] * (count - len(paths))
        own = alike[sample.speaker]
        mean = f"cos {sum(own) / len(own):.2f}" if own else ""
        rows.append((f"{sample.speaker}\n{about(sample)}\n{mean}", cells))
    heads = ["true"] * beside + [f"face {n + 1}" for n in range(shown)]
    write_image(path, contact_sheet(rows, heads, absent=""))


def _alone(people: Iterable[str]) -> list[Sample]:
    """People of whom no true face is known."""
    return [Sample(person, person, {}) for person in sorted(people)]
