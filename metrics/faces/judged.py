"""What a judge reads in the speakers' true faces, and how often it reads the same in generated ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from metrics.metric import Identity
from metrics.networks.face_judges import FaceJudge, Readings


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
