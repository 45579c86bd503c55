"""Whether a generated face looks as old as the speaker (Kato and Hashimoto, speech2face by DDPMs, Table 2, Fig. 5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from metrics.faces.correlation import weighted_pearson
from metrics.faces.finite import mean_where_finite
from metrics.faces.judged import Judged, counted
from metrics.metric import Confusion, Report, Statistics
from metrics.networks.face_judges import Readings

DECADE = 10
"""Years of one row and column of the confusion matrix: 0 to 9, 10 to 19 and so on."""
AGAINST = {
    "face": "the age that it reads in the speaker's true faces",
    "label": "the age recorded for the speaker",
}


class AgeAgreement(Judged):
    """Correlation, mean error and same decade of ages: a judge's reading of the face against two other ages.

    Against its reading of the speaker's true faces, as papers do, and against the recorded age. The judge errs too:
    the ceiling is what true faces score.
    """

    name = "age_agreement"
    version = 1
    reads = "age"
    lacking: ClassVar[Mapping[str, str]] = {"label": "the speaker's age is not recorded"}
    reports = tuple(
        report
        for (kind, other), title in zip(AGAINST.items(), ("true face", "label"), strict=True)
        for report in (
            Report(
                f"age_r_{kind}",
                f"age r, {title}",
                True,
                (-1.0, 1.0),
                description=f"Pearson's correlation of the age that a judge reads in the face with {other}.",
                interval="correlation",
            ),
            Report(
                f"age_error_{kind}",
                f"age error, {title}",
                False,
                (0.0, 120.0),
                unit="years",
                description=f"Mean absolute difference of the age that a judge reads in the face from {other}.",
            ),
            Report(
                f"age_decade_{kind}",
                f"age decade, {title}",
                True,
                (0.0, 1.0),
                unit="%",
                description=f"Share of faces in which a judge reads the same decade of life as {other}.",
                interval="share",
            ),
        )
    )

    def signature(self, report: str) -> str:
        against = "its-reading-of-true-faces" if report.endswith("_face") else "label"
        return f"{self._about}|against:{against}|v{self.version}"

    def row(self, read: Readings, true: Readings, recorded: float | None) -> Statistics:
        """Years."""
        label = np.nan if recorded is None or not np.isfinite(recorded) else float(recorded)
        return {"read": float(read.age), "face": float(true.age), "label": label}

    def defined(self, report: str, statistics: Mapping[str, np.ndarray]) -> np.ndarray:
        return np.isfinite(np.asarray(statistics[report.rpartition("_")[2]], np.float64))

    def why_undefined(self, report: str) -> str:
        reasons = [self.lacking["label"]] if report.endswith("_label") else []
        if report == "age_r_face":
            reasons.append("all ages are alike")
        return ", or ".join(reasons)

    def confusion(self, statistics: Mapping[str, np.ndarray]) -> Confusion:
        """Decades in the true faces against those in the generated ones, by the judge, as the DDPM paper's Figure 5."""
        true, read = (decade(statistics[name]).astype(int) for name in ("face", "read"))
        first, last = min(true.min(), read.min()), max(true.max(), read.max())
        classes = tuple(f"{DECADE * n}s" if n else f"0-{DECADE - 1}" for n in range(first, last + 1))
        return Confusion("age", classes, counted(true - first, read - first, len(classes)))

    def aggregate(self, statistics: Mapping[str, np.ndarray], weights: np.ndarray) -> dict[str, np.ndarray]:
        read = np.asarray(statistics["read"], np.float64)
        values = {}
        for kind in AGAINST:
            other = np.asarray(statistics[kind], np.float64)
            known = np.isfinite(other)
            values[f"age_r_{kind}"] = weighted_pearson(read[known], other[known], np.asarray(weights)[:, known])
            values[f"age_error_{kind}"] = mean_where_finite(np.abs(read - other), weights)
            same = np.where(known, decade(read) == decade(other), np.nan)
            values[f"age_decade_{kind}"] = mean_where_finite(same, weights)
        return values


def decade(years: np.ndarray) -> np.ndarray:
    """Number of the decade of life that ages fall in; ages below 0, which a linear judge may read, count as 0.

    >>> decade(np.array([-1.0, 9.9, 10.0, 34.0])).tolist()
    [0.0, 0.0, 1.0, 3.0]
    """
    return np.floor(np.maximum(np.asarray(years, np.float64), 0.0) / DECADE)
