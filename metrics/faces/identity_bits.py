"""How much of who the speaker is a face gives away, in bits: what is left of log2 N when the speaker's rank is known.

A gallery of N people, sorted by how alike they are to a face, leaves no more doubt about the speaker than there is
about the rank R at which the speaker stands: `H(speaker | order) <= H(R)`. So the order tells at least
`log2 N - H(R)` bits of `log2 N` (Shannon's guessing game, Bell System Technical Journal 30 (1951) 50-64).

Too few faces are there to count N ranks: the entropy of such a histogram is far too small. Ranks are therefore counted
in octaves, {1}, {2, 3}, {4 .. 7} and so on, and taken as even within an octave, which can only add to the entropy:

    bits = sum_k p_k log2(p_k N / n_k)

with p_k the share of octave k and n_k its ranks. What luck adds to it is taken off: half of `sum_k var(p_k) / p_k`, in
nats, as of Miller's and Madow's correction for independent counts (Miller 1955), with the variance between speakers.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Self

import numpy as np

from metrics.faces.gallery import Gallery, identity_means, prepared
from metrics.faces.ranks import target_ranks
from metrics.metric import FaceItem, Failed, Identity, Metric, Report, Statistics, Undefined
from metrics.networks.face_embedder import FaceEmbedder

_ALONE = "the gallery holds nobody else"


def octaves(size: int) -> np.ndarray:
    """First ranks of octaves, from 0, and at last the size of the gallery.

    >>> octaves(20).tolist()
    [0, 1, 3, 7, 15, 20]
    """
    firsts = 2 ** np.arange(int(size).bit_length()) - 1
    return np.append(firsts[firsts < size], size)


def octave_shares(greater: np.ndarray, ties: np.ndarray, size: int) -> np.ndarray:
    """How each face's rank is spread over octaves, `[N, K]`: ties come in random order.

    >>> octave_shares(np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.0, 6.0]), 7).round(2).tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.14, 0.29, 0.57]]
    """
    first, last = octaves(size)[:-1], octaves(size)[1:]
    low = np.asarray(greater, np.float64)[:, None]
    count = np.asarray(ties, np.float64)[:, None] + 1
    return np.maximum(np.minimum(low + count, last) - np.maximum(low, first), 0) / count


def rank_bits(shares: np.ndarray, people: np.ndarray, size: int, weights: np.ndarray) -> np.ndarray:
    """Bits that ranks tell, what luck adds taken off.

    Args:
        shares: `[N, K]`, as of `octave_shares`.
        people: `[N]`, whose each face is, in order: rows of one person go together.
        size: of the gallery.
        weights: `[B, N]` of the faces.

    Returns:
        `[B]`, about 0 for chance (a little below 0 at times), at most `log2 size`; NaN where a draw weighs nothing.
    """
    weights = np.asarray(weights, np.float64)
    total = weights.sum(axis=1, keepdims=True)
    part = np.divide(weights, total, out=np.full(weights.shape, np.nan), where=total > 0)
    starts = np.flatnonzero(np.append(True, people[1:] != people[:-1]))
    own = np.add.reduceat(part, starts, axis=1)
    count = 1 / (own**2).sum(axis=1)  # of people, as far as they weigh alike
    p = part @ shares
    bits = np.zeros(len(weights))
    for k, ranks in enumerate(np.diff(octaves(size))):
        some = p[:, k] > 0
        share = np.where(some, p[:, k], 1.0)
        apart = np.add.reduceat(part * shares[:, k], starts, axis=1) - own * p[:, k, None]
        variance = (apart**2).sum(axis=1) * np.divide(count, count - 1, out=np.ones(len(count)), where=count > 1 + 1e-9)
        luck = variance / share / (2 * np.log(2))
        bits += np.where(some, share * np.log2(share * size / ranks) - luck, 0.0)
    return np.where(total[:, 0] > 0, bits, np.nan)


class IdentityBits(Metric):
    """Bits that faces tell of who speaks, in the gallery of all identities."""

    name = "identity_bits"
    version = 1

    def __init__(self, embedder: FaceEmbedder) -> None:
        self.embedder = embedder
        self._gallery: Gallery | None = None
        self.reports = self._reports(None)

    @staticmethod
    def _reports(size: int | None) -> tuple[Report, ...]:
        return (
            Report(
                "identity_bits",
                "identity",
                True,
                (-np.inf, np.inf if size is None else float(np.log2(size))),
                unit="bits",
                description="log2 N less the entropy of the speaker's rank among N people, counted in octaves.",
            ),
        )

    @classmethod
    def create(cls, networks: Any, embedder: str = "dlib") -> IdentityBits:
        """Make the metric.

        Args:
            embedder: `dlib`, `facenet140`, `facenet160`, `arcface`, or `arcface:PACK`.
        """
        return cls(networks(embedder))

    @classmethod
    def for_rows(cls, signature: str, statistics: Collection[str]) -> Self:
        """As of every metric."""
        stated = re.search(r"\|gallery:(\d+)\|", signature)
        if stated is None:
            raise ValueError(f"expected the size of the gallery in the signature, got {signature}")
        metric = cls.__new__(cls)
        metric.reports = cls._reports(int(stated[1]))
        return metric

    def signature(self, report: str) -> str:
        size = "all" if self._gallery is None else len(self._gallery)
        about = f"embed:{self.embedder.signature}|agg:identity-mean|gallery:{size}"
        return f"{about}|ties:expected|entropy:octaves,less-luck|v{self.version}"

    def prepare(self, gallery: Sequence[Identity]) -> None:
        self._gallery = identity_means(gallery, self.embedder)
        self.reports = self._reports(max(len(gallery), 1))

    def measure(self, items: Sequence[FaceItem]) -> list[Statistics | Undefined | Failed]:
        """Rows of `person` and of `greater`, `ties` and `size`, see `Ranks`.

        Raises:
            RuntimeError: before `prepare`.
            ValueError: a picture that cannot be embedded.
        """
        gallery = prepared(self._gallery, self.name)
        if not items:
            return []
        if len(gallery) < 2:
            return [Undefined(_ALONE)] * len(items)
        own = np.array([gallery.rows.get(item.identity, -1) for item in items])
        vectors = self.embedder.embed([item.image for item in items]).vectors
        found = np.stack(target_ranks(vectors, gallery.unit_means, own, np.arange(len(gallery))), axis=1)
        return [
            {"person": float(row), **dict(zip(("greater", "ties", "size"), map(float, ranks), strict=True))}
            if row >= 0
            else Failed(f"identity '{item.identity}' is not in the gallery")
            for item, row, ranks in zip(items, own, found, strict=True)
        ]

    def aggregate(self, statistics: Mapping[str, np.ndarray], weights: np.ndarray) -> dict[str, np.ndarray]:
        greater, ties, size, person = (
            np.asarray(statistics[name], np.float64) for name in ("greater", "ties", "size", "person")
        )
        order = np.argsort(person, kind="stable")
        shares = octave_shares(greater[order], ties[order], int(size[0]))
        return {"identity_bits": rank_bits(shares, person[order], int(size[0]), np.asarray(weights)[:, order])}
