"""What a face network says of each training person: the aim of the voice encoder's own stage."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from baselines.layers.perceptual import FeatureNetwork
from baselines.layers.pixels import to_unit
from baselines.people import People


@dataclass(frozen=True)
class Descriptors:
    """Directions in which people's faces differ from the average face, as a face network sees them.

    A network's descriptors of any two faces are much alike. What tells people apart is the difference from the mean
    of everybody, so that is taken off, and the rest is given unit length.

    Shape:
        centre: `[D]`, the mean over persons
        persons: `[people, D]`, rows of unit length
    """

    centre: Tensor
    persons: Tensor

    @staticmethod
    def of(network: FeatureNetwork, people: People) -> Descriptors:
        """Look at every portrait once; a person's descriptor is the mean over the portraits."""
        table = _described(network, people)
        centre = table.mean(0)
        return Descriptors(centre, F.normalize(table - centre, dim=1))

    def others(self, network: FeatureNetwork, people: People) -> Descriptors:
        """Other people's, as differences from the same mean."""
        return Descriptors(self.centre, F.normalize(_described(network, people) - self.centre, dim=1))

    def unlikeness(self, described: Tensor, wanted: Tensor) -> Tensor:
        """1 - cosine between the directions of descriptors `[B, D]` and the wanted ones; the mean over the batch."""
        return 1 - F.cosine_similarity(described - self.centre.to(described), wanted.to(described)).mean()


def _described(network: FeatureNetwork, people: People) -> Tensor:
    """One person at a time, so that the numbers do not depend on who else is there."""
    with torch.no_grad():
        return torch.stack([network.features(to_unit(person.faces))[-1].mean(0) for person in people.persons])
