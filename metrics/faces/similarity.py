"""How alike a generated face is to the speaker's true faces (SF2F, Sec. 5 "Metric on Similarity" and App. E.2).

A cosine means little alone: with some descriptors the faces of different people already reach 0.8. So the cosine with
everyone else stands beside it, and the area under the ROC of matched against mismatched pairs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from metrics.faces.finite import mean_where_finite
from metrics.faces.gallery import Gallery, identity_means, prepared
from metrics.metric import FaceItem, Failed, Identity, Metric, Report, Statistics, Undefined
from metrics.networks.face_embedder import FaceEmbedder

OTHERS = 500
"""At most so many other identities enter the ROC area of one face; drawn once and seeded from a larger gallery."""


def pairwise_cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosine of rows `[N, D]` with rows `[N, D]` -> `[N]`, float64; NaN where a row is all zeros.

    >>> pairwise_cosine(np.array([[3.0, 4.0]]), np.array([[4.0, 3.0]])).round(2).tolist()
    [0.96]
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    dot, norms = (a * b).sum(axis=-1), np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    return np.divide(dot, norms, out=np.full(norms.shape, np.nan), where=norms > 0)


def pairwise_l1(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Sum (not mean) over dimensions of `|a - b|`, rows with rows -> `[N]`, float64.

    The sum is what SF2F's tables hold: unit vectors of 512 numbers with cosine 0.2 lie about 23 apart.

    >>> pairwise_l1(np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])).tolist()
    [2.0]
    """
    return np.abs(np.asarray(a, np.float64) - np.asarray(b, np.float64)).sum(axis=-1)


def pooled_auc(
    matched: np.ndarray,
    mismatched: np.ndarray,
    weights: np.ndarray | None = None,
    own: np.ndarray | None = None,
) -> np.ndarray:
    """Chance that a matched pair is more similar than a mismatched one, all pairs pooled; ties count half.

    With `A[i, k]` the part of face k's mismatched pairs that face i's matched pair exceeds, the area under weights w is
    `w' A w / (sum w)**2`, so many weightings are one matrix product.

    With `own` the others weigh in A what their own faces weigh: who is left out of a draw is so as a face and as one
    of those that faces are held against. This is the statistic over people, of which each is in all parts of it (a
    V-statistic; Hoeffding, Annals of Mathematical Statistics 19 (1948) 293-325), so that leaving people out one by one
    tells how it varies with them (Arvesen, Annals of Mathematical Statistics 40 (1969) 2076-2100).

    Args:
        matched: `[N]` similarity of each face with its own identity.
        mismatched: `[N, M]` its similarities with M others.
        weights: `[B, N]` of the faces; one draw of ones by default.
        own: `[N]`, place of each face's identity among the M + 1, whose order the M others keep; None where the others
            weigh alike in every draw. Those without a face weigh 1, and all do in a draw of a single identity.

    Returns:
        `[B]`, 0.5 for chance; NaN where a draw weighs nothing or M is 0.

    Raises:
        ValueError: similarities that are not finite, which would be sorted as the largest.
    """
    matched, mismatched = np.asarray(matched), np.asarray(mismatched)
    if not (np.isfinite(matched).all() and np.isfinite(mismatched).all()):
        raise ValueError("expected finite similarities, got NaN or infinity; leave out the faces that have none")
    weights = np.ones((1, len(matched))) if weights is None else np.asarray(weights, np.float64)
    total = weights.sum(axis=1)
    if not mismatched.size:
        return np.full(len(weights), np.nan)
    if own is not None and not (weights == 1).all():
        above = _above_weighed_others(matched, mismatched, weights, np.asarray(own))
        return np.divide(above, total**2, out=np.full(len(weights), np.nan), where=total > 0)
    part = np.empty((len(matched), len(matched)))
    for k, others in enumerate(np.sort(mismatched, axis=1)):
        below = np.searchsorted(others, matched, "left") + np.searchsorted(others, matched, "right")
        part[:, k] = below / (2 * len(others))
    above = ((weights @ part) * weights).sum(axis=1)
    return np.divide(above, total**2, out=np.full(len(weights), np.nan), where=total > 0)


def _above_weighed_others(
    matched: np.ndarray, mismatched: np.ndarray, weights: np.ndarray, own: np.ndarray
) -> np.ndarray:
    """`w' A w` of `pooled_auc` under each of `[B, N]` weights, with A of the draw's own weights of the others."""
    people = np.zeros((len(weights), mismatched.shape[1] + 1))
    np.add.at(people, (slice(None), own), weights)
    people[:, np.setdiff1d(np.arange(people.shape[1]), own)] = 1
    people[(people > 0).sum(axis=1) < 2] = 1
    above = np.zeros(len(weights))
    for k, others in enumerate(mismatched):
        order = np.argsort(others, kind="stable")
        theirs = np.delete(people, own[k], axis=1)[:, order]
        below = np.concatenate([np.zeros((len(weights), 1)), np.cumsum(theirs, axis=1)], axis=1)  # [B, M + 1]
        ranks = [np.searchsorted(others[order], matched, side) for side in ("left", "right")]
        part = (below[:, ranks[0]] + below[:, ranks[1]]) / (2 * np.maximum(below[:, -1:], 1e-300))
        above += weights[:, k] * (weights * part).sum(axis=1)
    return above


class FaceSimilarity(Metric):
    """Cosine and L1 with the speaker's mean descriptor, cosine with everyone else's, and the ROC area between them.

    An interval over speakers says how these vary with whose faces are judged. That of the ROC area takes in that others
    would then be in the gallery, too, and is there where all of the gallery have a face that is judged. That of the
    mismatched cosine is against the gallery as it is.
    """

    name = "face_similarity"
    version = 1
    lacking: ClassVar[Mapping[str, str]] = {"mismatched": "the gallery holds nobody else"}

    reports = (
        Report(
            "face_cosine",
            "cos",
            True,
            (-1.0, 1.0),
            description="Cosine of the face with the mean descriptor of the speaker's faces (SF2F, Sec. 5).",
        ),
        Report(
            "face_cosine_mismatched",
            "cos others",
            None,
            (-1.0, 1.0),
            description="Mean cosine of the face with the mean descriptors of all other identities.",
        ),
        Report(
            "face_l1",
            "L1",
            False,
            (0.0, np.inf),
            description="Sum over dimensions of |difference| to the speaker's mean descriptor (SF2F, Sec. 5).",
        ),
        Report(
            "face_auc",
            "AUC",
            True,
            (0.0, 1.0),
            description="Area under the ROC of matched against mismatched cosines, all pairs pooled; chance 0.5.",
            interval="area",
        ),
    )

    def __init__(self, embedder: FaceEmbedder, renormalise: bool = True) -> None:
        self.embedder, self.renormalise = embedder, renormalise
        self._gallery: Gallery | None = None
        self._others = np.empty(0, int)
        farthest = 2 * embedder.dim**0.5  # of two unit vectors
        self.reports = tuple(
            replace(report, bounds=(0.0, farthest)) if report.name == "face_l1" else report for report in self.reports
        )

    @classmethod
    def create(cls, networks: Any, embedder: str = "dlib", renormalise: bool = True) -> FaceSimilarity:
        """Make the metric.

        Args:
            embedder: `dlib`, `facenet140` (the paper's), `facenet160`, `arcface`, or `arcface:PACK`.
            renormalise: scale an identity's mean descriptor to norm 1, as the paper; False as the official code.
        """
        return cls(networks(embedder), renormalise)

    def signature(self, report: str) -> str:
        about = f"embed:{self.embedder.signature}|agg:identity-mean"
        about += "" if report.startswith("face_cosine") or report == "face_auc" or self.renormalise else "-raw"
        if report == "face_l1":
            about += "|sum"
        if report in ("face_cosine_mismatched", "face_auc"):
            about += f"|others:{self._size(report)}"
        return f"{about}|v{self.version}"

    def _size(self, report: str) -> str:
        if self._gallery is None:
            return "gallery"
        others = max(len(self._gallery) - 1, 0)
        return str(min(others, OTHERS) if report == "face_auc" else others)

    def prepare(self, gallery: Sequence[Identity]) -> None:
        self._gallery = identity_means(gallery, self.embedder, self.renormalise)
        everyone = np.arange(len(gallery))
        if len(everyone) > OTHERS + 1:
            everyone = np.sort(np.random.default_rng(0).permutation(everyone)[: OTHERS + 1])
        self._others = everyone

    def measure(self, items: Sequence[FaceItem]) -> list[Statistics | Undefined | Failed]:
        """Rows of `cosine`, `l1`, `mismatched` (mean) and `others` (similarities, float32).

        Raises:
            RuntimeError: before `prepare`.
            ValueError: a picture that cannot be embedded.
        """
        gallery = prepared(self._gallery, self.name)
        if not items:
            return []
        vectors = self.embedder.embed([item.image for item in items]).vectors.astype(np.float64)
        unit = gallery.unit_means.astype(np.float64)
        rows: list[Statistics | Undefined | Failed] = []
        for item, vector in zip(items, vectors, strict=True):
            own = gallery.rows.get(item.identity)
            if own is None:
                rows.append(Failed(f"identity '{item.identity}' is not in the gallery"))
                continue
            cosines = unit @ vector
            mismatched = (cosines.sum() - cosines[own]) / (len(cosines) - 1) if len(cosines) > 1 else np.nan
            others = self._others[self._others != own][: min(OTHERS, len(gallery) - 1)]
            rows.append(
                {
                    # Rounded as the others are, so that a tie stays a tie once stored.
                    "cosine": float(np.float32(cosines[own])),
                    "mismatched": float(mismatched),
                    "l1": float(pairwise_l1(vector, gallery.means[own])),
                    "others": cosines[others].astype(np.float32),
                }
            )
        return rows

    def defined(self, report: str, statistics: Mapping[str, np.ndarray]) -> np.ndarray:
        column = {"face_l1": "l1", "face_cosine": "cosine"}.get(report, "mismatched")
        return np.isfinite(np.asarray(statistics[column], np.float64))

    def without_interval(self, report: str, statistics: Mapping[str, np.ndarray], speakers: int) -> str:
        alone = report == "face_auc" and statistics["others"].shape[1] + 1 != speakers
        return "not everyone of the gallery has a face that is judged" if alone else ""

    def by_speaker(
        self, statistics: Mapping[str, np.ndarray], index: np.ndarray, speakers: int
    ) -> Mapping[str, np.ndarray]:
        # The gallery is sorted by name, as speakers are numbered; where all of it are judged, the numbers are the same.
        known = statistics["others"].shape[1] + 1 == speakers
        return {**statistics, "own": index} if known else statistics

    def aggregate(self, statistics: Mapping[str, np.ndarray], weights: np.ndarray) -> dict[str, np.ndarray]:
        matched = np.asarray(statistics["cosine"], np.float32)
        auc = pooled_auc(matched, statistics["others"], weights, statistics.get("own"))
        return {
            "face_cosine": mean_where_finite(statistics["cosine"], weights),
            "face_cosine_mismatched": mean_where_finite(statistics["mismatched"], weights),
            "face_l1": mean_where_finite(statistics["l1"], weights),
            "face_auc": auc,
        }
