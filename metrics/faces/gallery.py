"""The people a face may belong to, as one descriptor each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from metrics.metric import Identity
from metrics.networks.face_embedder import FaceEmbedder, normalise_rows


@dataclass(frozen=True)
class Gallery:
    """Identities and the mean descriptor of all portraits of each."""

    identities: tuple[Identity, ...]
    """Without their portraits, which are no longer needed and would travel to every worker."""
    means: np.ndarray
    """`[M, D]`, float32: `u_n = sum_j u_nj / K` of unit descriptors, by default scaled to norm 1 (SF2F, App. E.2)."""
    unit_means: np.ndarray
    """`[M, D]`, float32, always of norm 1: what cosines are taken with."""

    @cached_property
    def rows(self) -> Mapping[str, int]:
        return {identity.id: row for row, identity in enumerate(self.identities)}

    def __len__(self) -> int:
        return len(self.identities)


def identity_means(identities: Sequence[Identity], embedder: FaceEmbedder, renormalise: bool = True) -> Gallery:
    """Describe each identity by the mean over its portraits.

    Portraits in which no face is found count with the embedder's fixed alignment, so that no identity drops out.

    Args:
        renormalise: scale each mean to norm 1, as the paper says; the official code leaves it shorter.

    Raises:
        ValueError: an identity twice, or without portraits.
    """
    if len({identity.id for identity in identities}) < len(identities):
        raise ValueError("expected each identity once in the gallery; merge the portraits of those that come twice")
    means = np.zeros((len(identities), embedder.dim), np.float64)
    for row, identity in enumerate(identities):
        if not len(identity.images):
            raise ValueError(f"identity '{identity.id}' has no portrait; leave it out of the gallery")
        means[row] = embedder.embed(identity.images).vectors.astype(np.float64).mean(axis=0)
    unit = normalise_rows(means)
    people = tuple(replace(identity, images=()) for identity in identities)
    return Gallery(people, unit if renormalise else means.astype(np.float32), unit)


def prepared(gallery: Gallery | None, metric: str) -> Gallery:
    """The gallery, or a RuntimeError where a metric was not told it."""
    if gallery is None:
        raise RuntimeError(f"{metric} has no gallery yet; call prepare(gallery) before measure")
    return gallery
