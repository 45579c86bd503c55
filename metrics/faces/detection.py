"""Whether an output is a face at all, to a detector that was never trained on outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from metrics.metric import FaceItem, Failed, Metric, Report, Statistics, Undefined, weighted_mean
from metrics.networks.face_embedder import FaceEmbedder


class FaceDetectionRate(Metric):
    """Share of outputs in which dlib's HOG detector finds a face, small ones enlarged first as the signature states."""

    name = "face_detection_rate"
    version = 1
    reports = (
        Report(
            "face_detection_rate",
            "face found",
            True,
            (0.0, 1.0),
            unit="%",
            description="Share of outputs in which dlib's HOG detector finds a face.",
            interval="share",
        ),
    )

    def __init__(self, embedder: FaceEmbedder) -> None:
        self.embedder = embedder

    @classmethod
    def create(cls, networks: Any) -> FaceDetectionRate:
        """Make the metric of network `dlib`."""
        return cls(networks("dlib"))

    def signature(self, report: str) -> str:
        detector = next(part for part in self.embedder.signature.split("|") if part.startswith("detect:"))
        return f"{detector}|v{self.version}"

    def measure(self, items: Sequence[FaceItem]) -> list[Statistics | Undefined | Failed]:
        """Rows of `found`, 0 or 1.

        Raises:
            ValueError: a picture that cannot be looked at.
        """
        if not items:
            return []
        return [{"found": float(found)} for found in self.embedder.embed([item.image for item in items]).detected]

    def aggregate(self, statistics: Mapping[str, np.ndarray], weights: np.ndarray) -> dict[str, np.ndarray]:
        return {"face_detection_rate": weighted_mean(np.asarray(statistics["found"], np.float64), weights)}
