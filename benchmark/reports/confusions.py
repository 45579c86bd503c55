"""Confusion matrices of a run, and of the ceiling beside it: a row for each true class, normalised to 1."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from benchmark.reports.escaping import csv_cell
from benchmark.reports.figures import COLUMN, SEQUENTIAL, SMALL, drawn_text, figure_file
from benchmark.results.schema import Result
from benchmark.runs.directory import Key, Prediction, RunDirectory
from benchmark.runs.evaluation import RunView
from benchmark.runs.scoring import Scorer, current_rows, stacked
from metrics.metric import Confusion

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CEILING = "ground_truth"
"""The row that is drawn beside the method's."""


class Shown(NamedTuple):
    """A matrix of one run."""

    label: str
    confusion: Confusion


def confusions(view: RunView, results: Sequence[Result], scorer: Scorer) -> list[Shown]:
    """Those of the run, `results[0]`, and of the ceiling, where metrics of classes measured them."""
    found = []
    for number, result in enumerate(results):
        if number and result.spec.method != CEILING:
            continue
        run = RunDirectory(view.run.path.parent / result.run_id) if number else view.run
        wanted = {(sample.id, repeat) for sample in view.samples for repeat in range(result.spec.repeats)}
        outputs = run.as_they_are({key: made for key, made in run.predictions().items() if key in wanted})
        found += of_run(run, scorer, outputs, result.label)
    return found


def of_run(run: RunDirectory, scorer: Scorer, outputs: Mapping[Key, Prediction], label: str) -> list[Shown]:
    """Those of one run's outputs, from rows that were measured before."""
    found = []
    for name, rows in current_rows(scorer, run, outputs).items():
        good = [rows[key] for key in sorted(rows) if rows[key].status == "ok"]
        confusion = scorer.metrics[name].confusion(stacked(good)) if good else None
        if confusion is not None:
            found.append(Shown(label, confusion))
    return found


def as_csv(found: Sequence[Shown]) -> str:
    """A line for each cell, with its count."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["run", "what", "true", "generated", "outputs", "share of row"])
    for label, each in found:
        shares = each.shares
        for (row, column), count in np.ndenumerate(each.counts):
            share = "" if np.isnan(shares[row, column]) else f"{shares[row, column]:.4f}"
            writer.writerow([csv_cell(label), each.what, each.classes[row], each.classes[column], count, share])
    return text.getvalue()


def draw(found: Sequence[Shown], path: Path) -> None:
    """A line of panels for each run, a column for each kind of classes; shares of rows in per cent."""
    labels, kinds = _places(found)
    with figure_file(path, COLUMN / 2 * len(kinds) + 0.3, 2.0 * len(labels)) as figure:
        paint(figure, found)


def paint(figure: Figure, found: Sequence[Shown]) -> None:
    """Draw the panels on a figure; titles name runs that have a label."""
    labels, kinds = _places(found)
    for label, each in found:
        place = labels.index(label) * len(kinds) + kinds.index(each.what) + 1
        axes = figure.add_subplot(len(labels), len(kinds), place)
        axes.imshow(np.nan_to_num(each.shares), vmin=0, vmax=1, cmap=SEQUENTIAL)
        for (row, column), share in np.ndenumerate(each.shares):
            if share > 0:
                colour = "white" if share > 0.5 else "black"
                axes.text(column, row, f"{100 * share:.0f}", ha="center", va="center", fontsize=SMALL, color=colour)
        ticks = range(len(each.classes))
        axes.set_xticks(ticks, each.classes, fontsize=SMALL)
        axes.set_yticks(ticks, each.classes, fontsize=SMALL)
        axes.set_title(f"{drawn_text(label, 24)}: {each.what}, %" if label else f"{each.what}, %")
        axes.set_xlabel("generated")
        axes.set_ylabel("true")


def _places(found: Sequence[Shown]) -> tuple[list[str], list[str]]:
    """Labels of lines, and kinds of classes of columns."""
    return list(dict.fromkeys(label for label, _ in found)), list(dict.fromkeys(each.what for _, each in found))
