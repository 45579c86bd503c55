"""Faces and what a face network says of each: all that the decoder learns from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from baselines.layers.perceptual import BoxedDlib
from baselines.layers.pixels import to_unit
from baselines.people import People

Look = Callable[[Tensor], tuple[Tensor, Tensor]]
"""look(faces `[B, 3, S, S]` uint8) -> descriptors `[B, D]` of unit length, and whether there was a face to see `[B]`"""


def looker(name: str, network: Any) -> Look:
    """How a loaded face network looks at faces: `dlib` at its fixed crop, any other by its own detector."""
    if name == "dlib":
        boxed = BoxedDlib(network.network)

        def look(faces: Tensor) -> tuple[Tensor, Tensor]:
            return boxed.features(to_unit(faces))[-1], torch.ones(len(faces), dtype=torch.bool)

        return look

    def find(faces: Tensor) -> tuple[Tensor, Tensor]:
        found = network.embed(list(faces.permute(0, 2, 3, 1).contiguous().numpy()))
        return torch.from_numpy(found.vectors), torch.from_numpy(found.detected)

    return find


@dataclass(frozen=True)
class Faces:
    """Every face of some people in which a face network saw one, and its descriptor.

    Shape:
        where: `[N, 2]` int64, position of the person and of the face among the person's
        descriptors: `[N, D]`, rows of unit length
        centre: `[D]`, taken off every descriptor before it was given unit length; zero for none
    """

    people: People
    where: Tensor
    descriptors: Tensor
    centre: Tensor

    @staticmethod
    def of(people: People, look: Look, centre: Tensor | None = None, centred: bool = False) -> Faces:
        """Look at every face once.

        Args:
            centre: taken off, where other people's was found before.
            centred: take the mean over persons off.
        """
        told, where = [], []
        with torch.no_grad():
            for number, person in enumerate(people.persons):  # one person at a time: numbers do not depend on others
                descriptors, found = look(person.faces)
                places = found.nonzero()[:, 0]
                told.append(descriptors[places])
                where.append(torch.stack([torch.full_like(places, number), places], dim=1))
        return Faces.from_descriptors(people, torch.cat(where), torch.cat(told), centre, centred)

    @staticmethod
    def from_descriptors(
        people: People, where: Tensor, told: Tensor, centre: Tensor | None = None, centred: bool = False
    ) -> Faces:
        """Faces by what was said of each; see `of`."""
        told = told.float()
        if centre is None:
            centre = _means(where[:, 0], told)[1].mean(0) if centred else torch.zeros(told.shape[1])
        return Faces(people, where, F.normalize(told - centre, dim=1), centre)

    def __len__(self) -> int:
        return len(self.where)

    def persons(self) -> tuple[Tensor, Tensor]:
        """Positions `[P]` of those of whom there is a face, and the directions `[P, D]` of their mean descriptors."""
        who, means = _means(self.where[:, 0], self.descriptors)
        return who, F.normalize(means, dim=1)

    def draw(self, rng: np.random.Generator, count: int) -> tuple[Tensor, Tensor]:
        """Faces `[B, 3, S, S]` uint8 and their descriptors `[B, D]`, each at most once while there are enough."""
        return self.take(rng.choice(len(self), count, replace=count > len(self)))

    def take(self, chosen: np.ndarray) -> tuple[Tensor, Tensor]:
        """Those of these numbers, as `draw` gives them."""
        places = self.where[chosen].tolist()
        return torch.stack([self.people.persons[p].faces[f] for p, f in places]), self.descriptors[chosen]


def _means(who: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Each person once, and the mean of their rows."""
    persons, inverse = who.unique(return_inverse=True)
    sums = torch.zeros(len(persons), values.shape[1]).index_add_(0, inverse, values)
    return persons, sums / torch.bincount(inverse)[:, None]
