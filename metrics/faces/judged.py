"""What a judge reads in the speakers' true faces: what its readings of generated faces are compared with."""

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
