"""Whether a generated face looks like the speaker's sex: the coarsest thing that a voice tells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from metrics.metric import FaceItem, Failed, Identity, Metric, Report, Statistics, Undefined, weighted_mean
from metrics.networks.face_embedder import FaceEmbedder
from metrics.networks.face_heads import FaceHeads


class SexAgreement(Metric):
    """Share of faces that a classifier takes for the recorded sex of the speaker.

    The classifier errs too, so the ceiling is what true faces score, not 100 %.
    """

    name = "sex_agreement"
    version = 1
    reports = (
        Report(
            "sex_agreement",
            "sex",
            True,
            (0.0, 1.0),
            unit="%",
            description="Share of faces whose sex, by a linear classifier on dlib's descriptor, is the speaker's.",
        ),
    )

    def __init__(self, embedder: FaceEmbedder, heads: FaceHeads) -> None:
        heads.check(embedder)
        if heads.sex is None:
            raise ValueError(
                f"the heads fitted to {heads.dataset} know no sex: its training faces come with fewer than two; "
                "leave sex_agreement out"
            )
        self.embedder, self.head = embedder, heads.sex
        self._fitted = f"logistic:{heads.dataset},{heads.digest}"
        self._sex: dict[str, str | None] | None = None

    @classmethod
    def create(cls, networks: Any) -> SexAgreement:
        """Make the metric of networks `dlib` and `face_heads`."""
        return cls(networks("dlib"), networks("face_heads"))

    def signature(self, report: str) -> str:
        return f"classifier:{self.embedder.signature}|{self._fitted}|v{self.version}"

    def prepare(self, gallery: Sequence[Identity]) -> None:
        self._sex = {identity.id: identity.sex for identity in gallery}

    def measure(self, items: Sequence[FaceItem]) -> list[Statistics | Undefined | Failed]:
        """Rows of `agrees`, 0 or 1; undefined where the speaker's sex is unknown.

        Raises:
            RuntimeError: before `prepare`.
            ValueError: a picture that cannot be embedded.
        """
        if self._sex is None:
            raise RuntimeError(f"{self.name} has no gallery yet; call prepare(gallery) before measure")
        if not items:
            return []
        predicted = self.head.predict(self.embedder.embed([item.image for item in items]).vectors)
        return [self._row(item.identity, sex) for item, sex in zip(items, predicted, strict=True)]

    def _row(self, identity: str, predicted: str) -> Statistics | Undefined | Failed:
        assert self._sex is not None
        if identity not in self._sex:
            return Failed(f"identity '{identity}' is not in the gallery")
        recorded = self._sex[identity]
        if recorded not in self.head.labels:
            return Undefined(
                "the speaker's sex is not recorded" if recorded is None else f"no class for sex '{recorded}'"
            )
        return {"agrees": float(predicted == recorded)}

    def aggregate(self, statistics: Mapping[str, np.ndarray], weights: np.ndarray) -> dict[str, np.ndarray]:
        return {"sex_agreement": weighted_mean(np.asarray(statistics["agrees"], np.float64), weights)}
