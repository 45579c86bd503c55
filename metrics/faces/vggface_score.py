"""VGGFace score: an Inception score whose classifier tells people apart (SF2F, Sec. 5 "Image Quality Evaluation").

`VFS = exp(mean_i KL(p(y | x_i) || p(y)))`, by entropies `exp(H(mean p) - mean H(p))`: high where each face is surely
somebody and all of them are different people. The number depends on the classifier, on how many faces there are and on
the splits, so the signature carries them all.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol, Self

import numpy as np
from scipy.special import entr

from metrics.metric import FaceItem, Failed, Identity, Metric, Report, Statistics, Undefined
from metrics.networks.face_heads import IdentityClassifier

_NUMBERS = 1 << 22


class FaceClassifier(Protocol):
    """Pictures to probabilities of identities."""

    classes: int
    signature: str

    def probabilities(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """`[N, classes]`, rows sum to 1."""
        ...


def split_scores(
    probabilities: np.ndarray,
    weights: np.ndarray | None = None,
    *,
    splits: int = 5,
    seed: int = 0,
    parts: np.ndarray | None = None,
) -> np.ndarray:
    """VGGFace score of each split of shuffled faces, under each of B weightings.

    Faces are shuffled once, with a fixed seed, and cut into `splits` parts whose sizes differ by one at most. Weights
    act within a part, so that a bootstrap never moves a face from one part to another.

    Args:
        probabilities: `[N, C]`; rows are brought to sum 1 in float64.
        weights: `[B, N]`; one draw of ones by default.
        parts: `[N]`, the split of each face; shuffled and cut by default.

    Returns:
        `[B, splits]`, float64, 1 to C; NaN for a part that weighs nothing.

    Raises:
        ValueError: fewer faces than splits, or rows that are no probabilities.
    """
    p = np.asarray(probabilities, np.float64)
    if p.ndim != 2 or not np.isfinite(p).all() or (p < 0).any() or (p.sum(axis=-1) <= 0).any():
        raise ValueError("expected probabilities [N, C], finite, not negative and with a positive sum in each row")
    if splits < 1 or len(p) < splits:
        raise ValueError(f"expected a face at least for each of {splits} splits, got {len(p)} faces; take fewer")
    p = p / p.sum(axis=1, keepdims=True)
    weights = np.ones((1, len(p))) if weights is None else np.asarray(weights, np.float64)
    entropy = entr(p).sum(axis=1)
    scores = np.full((len(weights), splits), np.nan)
    step = max(1, _NUMBERS // p.shape[1])
    cut = _cut(len(p), splits, seed) if parts is None else [np.flatnonzero(parts == split) for split in range(splits)]
    for number, part in enumerate(cut):
        for start in range(0, len(weights), step):
            w = weights[start : start + step, part]
            total = w.sum(axis=1)
            some = total > 0
            w = w[some] / total[some, None]
            # Rounding may leave the difference a hair below 0, and with it the score below 1.
            information = np.maximum(entr(w @ p[part]).sum(axis=1) - w @ entropy[part], 0.0)
            scores[start : start + step, number][some] = np.exp(information)
    return scores


def _cut(faces: int, splits: int, seed: int) -> list[np.ndarray]:
    """Numbers of the faces of each split."""
    return np.array_split(np.random.default_rng(seed).permutation(faces), splits)


class VGGFaceScore(Metric):
    """Mean over splits of the VGGFace score, and its population standard deviation over them."""

    name = "vggface_score"
    version = 1

    def __init__(self, classifier: FaceClassifier, splits: int = 5, seed: int = 0) -> None:
        if splits < 1:
            raise ValueError(f"expected at least one split, got {splits}")
        self.classifier, self.splits, self.seed = classifier, splits, seed
        self._identities: int | None = None
        self.reports = self._reports(splits, classifier.classes)

    @staticmethod
    def _reports(splits: int, classes: int) -> tuple[Report, ...]:
        about = f"exp of the mean KL divergence of p(identity | face) from its mean, mean over {splits} splits"
        return (
            Report(
                "vggface_score",
                "VFS",
                True,
                (1.0, float(classes)),
                description=f"VGGFace score: {about} (SF2F, Sec. 5).",
                interval="smooth",
            ),
            Report(
                "vggface_score_split_std",
                "VFS std",
                None,
                (0.0, float(classes)),
                description=f"Population standard deviation of the VGGFace score over {splits} splits.",
                no_interval="a deviation over a few splits has no interval that holds what it says",
            ),
        )

    @classmethod
    def for_rows(cls, signature: str, statistics: Collection[str]) -> Self:
        """As of every metric."""
        stated = re.search(r"\|classes:(\d+)\|splits:(\d+)\|seed:(\d+)\|", signature)
        if stated is None:
            raise ValueError(f"expected classes, splits and their seed in the signature, got {signature}")
        metric = cls.__new__(cls)
        classes, metric.splits, metric.seed = map(int, stated.groups())
        metric.reports = cls._reports(metric.splits, classes)
        return metric

    @classmethod
    def create(cls, networks: Any, classifier: str = "face_heads", splits: int = 5, seed: int = 0) -> VGGFaceScore:
        """Make the metric.

        Args:
            classifier: `face_heads`, linear on dlib's descriptors and fitted to the dataset's people, those of another
                one as `face_heads:talkers`; or `vggface2_resnet50`, as in SF2F's tables.
            splits: parts that are scored apart and averaged.
            seed: of the shuffle before splitting.
        """
        if classifier.partition(":")[0] == "face_heads":
            return cls(IdentityClassifier(networks("dlib"), networks(classifier)), splits, seed)
        return cls(networks(classifier), splits, seed)

    def signature(self, report: str) -> str:
        faces = "all" if self._identities is None else self._identities
        about = f"classifier:{self.classifier.signature}|classes:{self.classifier.classes}"
        return f"{about}|splits:{self.splits}|seed:{self.seed}|identities:{faces}|v{self.version}"

    def prepare(self, gallery: Sequence[Identity]) -> None:
        self._identities = len(gallery)

    def measure(self, items: Sequence[FaceItem]) -> list[Statistics | Undefined | Failed]:
        """Rows of `probabilities`, `[C]` float32; failed where the classifier answers with something else.

        Raises:
            ValueError: a picture that cannot be classified.
        """
        if not items:
            return []
        rows: list[Statistics | Undefined | Failed] = []
        for row in self.classifier.probabilities([item.image for item in items]):
            p = np.asarray(row, np.float32)
            if (p < 0).any() or p.sum() == 0:
                rows.append(Failed("the classifier's answer is no distribution: it is negative somewhere, or all zero"))
            else:
                rows.append({"probabilities": p})
        return rows

    def why_undefined(self, report: str) -> str:
        return f"there are fewer faces than the {self.splits} splits that they are cut into"

    def placed(self, statistics: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """The rows with the split that each is in."""
        part = np.empty(len(statistics["probabilities"]), int)
        for split, faces in enumerate(_cut(len(part), self.splits, self.seed)):
            part[faces] = split
        return {**statistics, "part": part}

    def aggregate(self, statistics: Mapping[str, np.ndarray], weights: np.ndarray) -> dict[str, np.ndarray]:
        p = statistics["probabilities"]
        if len(p) < self.splits:
            none = np.full(len(weights), np.nan)
            return {report.name: none for report in self.reports}
        scores = split_scores(p, weights, splits=self.splits, seed=self.seed, parts=statistics.get("part"))
        # A draw of few speakers may leave a part empty; the parts that are left count.
        known = np.isfinite(scores)
        count = np.maximum(known.sum(axis=1), 1)
        mean = np.where(known, scores, 0.0).sum(axis=1) / count
        variance = np.where(known, (scores - mean[:, None]) ** 2, 0.0).sum(axis=1) / count
        some = known.any(axis=1)
        return {
            "vggface_score": np.where(some, mean, np.nan),
            "vggface_score_split_std": np.where(some, np.sqrt(variance), np.nan),
        }
