"""The figures of the DDPM paper, on Talkers: faces, and confusion matrices of what a judge reads in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from benchmark.errors import PrerequisiteError
from benchmark.papers.figures import Drawing, Material
from benchmark.papers.needs import EMBEDDED
from benchmark.papers.sf2f_figures import CHOICE, outputs, spread_evenly, true_face
from benchmark.reports import confusions
from benchmark.reports.figures import COLUMN, PAGE
from benchmark.reports.sheets import Cell, paint_pictures
from benchmark.runs.directory import RunDirectory
from benchmark.runs.scoring import Scorer, make_metrics
from benchmark.weights.networks import Networks

if TYPE_CHECKING:
    from matplotlib.figure import Figure

JUDGED = ("age_agreement", "sex_agreement")


def samples(material: Material) -> Drawing:
    """Figure 1: faces of the decoders that there are, beside true ones."""
    (ours,) = material.figure.runs
    people = spread_evenly(material.manifest(material.there(ours)).samples, 8)
    rows: list[tuple[str, Sequence[Cell]]] = [("true face", [true_face(sample) for sample in people])]
    for need in (*material.figure.further, ours):
        if made := material.made(need):
            name = "SF2F" if need.method == "sf2f" else "DDPM"
            cells = outputs(made, people)
            side = next((picture.shape[0] for picture in cells if picture is not None), None)
            rows.append((f"{name}, {side} px" if side else name, cells))
    caption = (
        f"Faces from 5 s of speech of Talkers, test split. {CHOICE} The paper shows faces of three kinds of decoders, "
        "one of them based on an autoencoder, which is not built here; its own are of 512 px."
    )

    def paint(figure: Figure) -> None:
        cells = figure.subplots(len(rows), len(people), squeeze=False)
        paint_pictures(cells, rows, [sample.speaker for sample in people])

    return Drawing(PAGE, len(rows) * (PAGE - 0.4) / 8 + 0.25, paint, caption)


def confusion(material: Material) -> Drawing:
    """Figure 5: age and sex that a judge reads in generated faces, against what it reads in the true ones."""
    (need,) = material.figure.runs
    made = material.there(need)
    assert made.folder is not None
    run = RunDirectory(made.folder)
    scorer = Scorer(make_metrics(JUDGED, Networks("cpu", EMBEDDED), {}))
    shown = confusions.of_run(run, scorer, run.as_they_are(run.predictions()), "")
    if not shown:
        raise PrerequisiteError(
            f"{made.folder} holds no ages and sexes that were read as they are now: score it with "
            f"--metrics {','.join(JUDGED)}"
        )
    caption = (
        "Age and sex that the judge of Talkers, linear on dlib's descriptors, reads in generated faces (columns) "
        "against those that it reads in the true ones (rows), per cent of a row. Talkers, test split, all evaluation "
        "runs, guidance weight 4 as in the paper, whose judge is inaFaceAnalyzer."
    )
    return Drawing(COLUMN * len(shown), 3.2, lambda figure: confusions.paint(figure, shown), caption)
