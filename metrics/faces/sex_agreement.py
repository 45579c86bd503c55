"""Whether a generated face looks like the speaker's sex: the coarsest thing that a voice tells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from metrics.faces.finite import mean_where_finite
from metrics.faces.judged import Judged, counted
from metrics.metric import Confusion, Report, Statistics
from metrics.networks.face_judges import Readings

_CODES = {"f": 0.0, "m": 1.0}


class SexAgreement(Judged):
    """Share of faces that a judge takes for the sex that is recorded, and for the sex that it reads in true faces.

    The judge errs too, so the ceiling is what true faces score, not 100 %.
    """

    name = "sex_agreement"
    version = 1
    reads = "sex"
    lacking: ClassVar[Mapping[str, str]] = {"label": "the speaker's sex is not recorded as f or m"}
    reports = (
        Report(
            "sex_agreement",
            "sex",
            True,
            (0.0, 1.0),
            unit="%",
            description="Share of faces whose sex, to a judge, is the one recorded for the speaker.",
            interval="share",
        ),
        Report(
            "sex_agreement_face",
            "sex, true face",
            True,
            (0.0, 1.0),
            unit="%",
            description="Share of faces whose sex, to a judge, is the one that it reads in the speaker's true faces.",
            interval="share",
        ),
    )

    def signature(self, report: str) -> str:
        against = "|against:its-reading-of-true-faces" if report == "sex_agreement_face" else ""
        return f"{self._about}{against}|v{self.version}"

    def row(self, read: Readings, true: Readings, recorded: str | None) -> Statistics:
        """1 for m and 0 for f."""
        return {
            "read": float(read.male > 0.5),
            "face": float(true.male > 0.5),
            "label": _CODES.get(recorded or "", np.nan),
        }

    def defined(self, report: str, statistics: Mapping[str, np.ndarray]) -> np.ndarray:
        return np.isfinite(np.asarray(statistics[_against(report)], np.float64))

    def confusion(self, statistics: Mapping[str, np.ndarray]) -> Confusion:
        """Sex in the true faces against sex in the generated ones, by the judge."""
        return Confusion("sex", tuple(_CODES), counted(statistics["face"], statistics["read"], len(_CODES)))

    def aggregate(self, statistics: Mapping[str, np.ndarray], weights: np.ndarray) -> dict[str, np.ndarray]:
        read = np.asarray(statistics["read"], np.float64)
        values = {}
        for report in self.reports:
            other = np.asarray(statistics[_against(report.name)], np.float64)
            agrees = np.where(np.isfinite(other), read == other, np.nan)
            values[report.name] = mean_where_finite(agrees, weights)
        return values


def _against(report: str) -> str:
    return "face" if report == "sex_agreement_face" else "label"
