"""What a judge reads in generated faces against what it reads in true ones: confusion matrices of sex and of decades.

As Figure 5 of the speech2face DDPM paper: a row for each reading of the true faces, normalised to 1.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmark.evaluation import RunView
from benchmark.reports.escaping import csv_cell
from benchmark.reports.figures import drawn_text, figure_file
from benchmark.reports.sound_report import Row, read_rows
from benchmark.results import Result
from benchmark.scoring import Scorer

CEILING = "ground_truth"
"""The row that stands beside the method's: how well the judge agrees with itself."""


@dataclass(frozen=True)
class Confusion:
    """How often the true faces' class and the generated face's came together in one run."""

    label: str
    """Of the run."""
    what: str
    """`sex` or `age`."""
    classes: tuple[str, ...]
    counts: np.ndarray
    """`[C, C]`: true class, generated class."""

    @property
    def shares(self) -> np.ndarray:
        """`[C, C]`, rows sum to 1; NaN in a row that holds nobody."""
        total = self.counts.sum(axis=1, keepdims=True)
        return np.divide(self.counts, total, out=np.full(self.counts.shape, np.nan), where=total > 0)


def confusions(view: RunView, results: Sequence[Result], scorer: Scorer) -> list[Confusion]:
    """Those of the run and of the ceiling beside it, as far as the judges' readings are stored."""
    shown = [result for number, result in enumerate(results) if not number or result.spec.method == CEILING]
    rows = read_rows(view, shown, scorer)
    return [found for row in rows for found in (_of_sex(row), _of_age(row)) if found is not None]


def _readings(row: Row, number: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Readings of the true faces and of the generated ones, `[N]` each."""
    stored = row.measured.get(number)
    if stored is None or not stored.rows:
        return None
    pairs = [(score.statistics["face"], score.statistics["read"]) for score in stored.rows.values()]
    true, read = np.array(pairs, np.float64).T
    return true, read


def _of_sex(row: Row) -> Confusion | None:
    found = _readings(row, "sex_agreement_face")
    return None if found is None else Confusion(row.result.label, "sex", ("f", "m"), _counted(*found, 2))


def _of_age(row: Row) -> Confusion | None:
    from metrics.faces.age_agreement import DECADE, decade

    found = _readings(row, "age_error_face")
    if found is None:
        return None
    true, read = (decade(years).astype(int) for years in found)
    first, last = min(true.min(), read.min()), max(true.max(), read.max())
    classes = tuple(f"{DECADE * n}s" if n else f"0-{DECADE - 1}" for n in range(first, last + 1))
    return Confusion(row.result.label, "age", classes, _counted(true - first, read - first, len(classes)))


def _counted(true: np.ndarray, read: np.ndarray, classes: int) -> np.ndarray:
    counts = np.zeros((classes, classes), int)
    np.add.at(counts, (true.astype(int), read.astype(int)), 1)
    return counts


def as_csv(found: Sequence[Confusion]) -> str:
    """A line for each cell, with its count."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["run", "what", "true face", "generated face", "faces", "share of row"])
    for each in found:
        for row, true in enumerate(each.classes):
            for column, read in enumerate(each.classes):
                share = each.shares[row, column]
                about = [csv_cell(each.label), each.what, true, read, each.counts[row, column]]
                writer.writerow([*about, "" if np.isnan(share) else f"{share:.4f}"])
    return text.getvalue()


def draw(found: Sequence[Confusion], path: Path) -> None:
    """A line of panels for each run, sex and age side by side."""
    labels = list(dict.fromkeys(each.label for each in found))
    kinds = [kind for kind in ("sex", "age") if any(each.what == kind for each in found)]
    with figure_file(path, 3.6 * len(kinds), 3.4 * len(labels), dpi=150) as figure:
        for each in found:
            place = labels.index(each.label) * len(kinds) + kinds.index(each.what) + 1
            axes = figure.add_subplot(len(labels), len(kinds), place)
            shares = each.shares
            axes.imshow(np.nan_to_num(shares), vmin=0, vmax=1, cmap="Blues")
            for (row, column), share in np.ndenumerate(shares):
                if share > 0:
                    colour = "white" if share > 0.5 else "black"
                    axes.text(column, row, f"{share:.2f}", ha="center", va="center", fontsize=7, color=colour)
            ticks = range(len(each.classes))
            axes.set_xticks(ticks, each.classes, fontsize=7)
            axes.set_yticks(ticks, each.classes, fontsize=7)
            axes.set_title(drawn_text(f"{each.label}: {each.what}"), fontsize=9)
            axes.set_xlabel("generated face", fontsize=8)
            axes.set_ylabel("true face", fontsize=8)
