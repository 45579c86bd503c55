"""Whether a generated face finds its speaker among others (SF2F, Sec. 5 "Metric on Retrieval Performance")."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from metrics.faces.finite import mean_where_finite
from metrics.faces.gallery import Gallery, identity_means, prepared
from metrics.faces.ranks import expected_recall, target_ranks
from metrics.metric import FaceItem, Failed, Identity, Metric, Report, Statistics, Undefined
from metrics.networks.face_embedder import FaceEmbedder

KS = {"hundreds": (1, 2, 5, 10, 20, 50), "full": (1, 5, 10), "within": (1, 5, 10)}
"""Ranks reported for each kind of gallery."""
ALONE = {
    "hundreds": "the speaker is left over where the identities are cut into galleries",
    "full": "the gallery holds nobody else",
    "within": "too few others are known to be of the speaker's sex and age",
}
"""Why a face has no rank in each kind of gallery."""
BAND = 10
"""Years of one age band; the bands are 0 to 9, 10 to 19 and so on."""


def report_name(k: int, kind: str, chance: bool = False) -> str:
    """`recall_at_10`, `recall_at_10_full`, `chance_recall_at_10_within`."""
    return f"{'chance_' if chance else ''}recall_at_{k}{'' if kind == 'hundreds' else f'_{kind}'}"


def _kind_and_k(report: str) -> tuple[str, int]:
    return next((kind, k) for kind, ks in KS.items() for k in ks if report.endswith(report_name(k, kind)))


def consecutive_galleries(identities: int, size: int) -> np.ndarray:
    """Gallery number of each of the sorted identities, `[M]`; -1 for those left over.

    Blocks of `size` in order; a remainder that fills none is left out (SF2F's code), but fewer than `size` in all make
    one gallery of all.

    >>> consecutive_galleries(7, 3).tolist(), consecutive_galleries(2, 3).tolist()
    ([0, 0, 0, 1, 1, 1, -1], [0, 0])
    """
    if identities < size:
        return np.zeros(identities, int)
    number = np.arange(identities) // size
    number[number >= identities // size] = -1
    return number


def people_like(identities: Sequence[Identity]) -> np.ndarray:
    """Number of each identity's group of same sex and age band, `[M]`; -1 where either is unknown."""
    groups: dict[tuple[str, int], int] = {}
    number = np.full(len(identities), -1)
    for row, person in enumerate(identities):
        if person.sex is not None and person.age is not None and np.isfinite(person.age):
            number[row] = groups.setdefault((person.sex, int(person.age // BAND)), len(groups))
    return number


class Retrieval(Metric):
    """Recall at K in galleries of 100, in the gallery of all, and among people of the same sex and age.

    The last asks for more than sex and age, which a voice gives away easily; its recall at K counts the faces whose
    speaker has at least K others alike, because in a smaller gallery everyone is found. Each recall has its chance
    level beside it: the mean over all permutations of the labels within the gallery, which is K / N because each
    identity has one entry and speakers weigh equally.
    """

    name = "retrieval"
    version = 1
    lacking: ClassVar[Mapping[str, str]] = {
        f"{name}_{kind}": why for kind, why in ALONE.items() for name in ("greater", "ties", "size")
    }

    def __init__(self, embedder: FaceEmbedder, gallery_size: int = 100) -> None:
        if gallery_size < 2:
            raise ValueError(f"expected a gallery_size of at least 2, got {gallery_size}")
        self.embedder, self.gallery_size = embedder, gallery_size
        self._gallery: Gallery | None = None
        self._members: dict[str, np.ndarray] = {}
        where = {
            "hundreds": f"a gallery of {gallery_size} consecutive identities",
            "full": "the gallery of all identities",
            "within": f"the gallery of the identities of the same sex and {BAND}-year age band",
        }
        reports = []
        for chance in (False, True):
            for kind, ks in KS.items():
                for k in ks:
                    short = "" if kind == "hundreds" else f" {kind}"
                    about = f"Share of faces whose speaker is among the {k} most similar of {where[kind]}"
                    if chance:
                        about = f"The same share under permuted labels, K / N: {about[0].lower()}{about[1:]}"
                    reports.append(
                        Report(
                            report_name(k, kind, chance),
                            f"{'chance ' if chance else ''}R@{k}{short}",
                            None if chance else True,
                            (0.0, 1.0),
                            unit="%",
                            description=f"{about} (SF2F, Sec. 5); ties count by their expectation.",
                        )
                    )
        self.reports = tuple(reports)

    @classmethod
    def create(cls, networks: Any, embedder: str = "dlib", gallery_size: int = 100) -> Retrieval:
        """Make the metric.

        Args:
            embedder: `dlib`, `facenet140` (the paper's), `facenet160`, `arcface`, or `arcface:PACK`.
            gallery_size: identities of one gallery of the main protocol.
        """
        return cls(networks(embedder), gallery_size)

    def signature(self, report: str) -> str:
        kind = next((kind for kind in ("full", "within") if report.endswith(f"_{kind}")), "hundreds")
        about = f"embed:{self.embedder.signature}|agg:identity-mean"
        more = ",over-k" if kind == "within" else ""
        return f"{about}|gallery:{self._size(kind)}{more}|ties:expected|v{self.version}"

    def _size(self, kind: str) -> str:
        if self._gallery is None:
            return {"hundreds": str(self.gallery_size), "full": "all", "within": f"sex+{BAND}y"}[kind]
        if kind == "full":
            return str(len(self._gallery))
        sizes = np.bincount(self._members[kind][self._members[kind] >= 0])
        if kind == "hundreds":
            return f"{sizes[0]}x{len(sizes)}" if len(sizes) else "0"
        sizes = sizes[sizes > 1]
        return f"sex+{BAND}y,{sizes.min()}..{sizes.max()}" if len(sizes) else f"sex+{BAND}y,none"

    def prepare(self, gallery: Sequence[Identity]) -> None:
        """Take in the identities, sorted by id.

        Raises:
            ValueError: they are not sorted, so that the galleries of 100 would differ from run to run.
        """
        ids = [identity.id for identity in gallery]
        if ids != sorted(ids):
            raise ValueError("expected identities sorted by id; sort them before prepare")
        self._gallery = identity_means(gallery, self.embedder)
        self._members = {
            "hundreds": consecutive_galleries(len(gallery), self.gallery_size),
            "full": np.zeros(len(gallery), int),
            "within": people_like(gallery),
        }

    def measure(self, items: Sequence[FaceItem]) -> list[Statistics | Undefined | Failed]:
        """Rows of `greater_*`, `ties_*`, `size_*` for each kind of gallery; NaN where the identity is in none.

        Raises:
            RuntimeError: before `prepare`.
            ValueError: a picture that cannot be embedded.
        """
        gallery = prepared(self._gallery, self.name)
        if not items:
            return []
        vectors = self.embedder.embed([item.image for item in items]).vectors
        own = np.array([gallery.rows.get(item.identity, -1) for item in items])
        columns: dict[str, np.ndarray] = {}
        for kind, member in self._members.items():
            found = np.full((3, len(items)), np.nan)
            block = np.where(own >= 0, member[own], -1)
            for number in np.unique(block[block >= 0]):
                those, candidates = np.flatnonzero(block == number), np.flatnonzero(member == number)
                if len(candidates) > 1:
                    found[:, those] = target_ranks(
                        vectors[those], gallery.unit_means[candidates], own[those], candidates
                    )
            columns.update(
                {f"{name}_{kind}": row for name, row in zip(("greater", "ties", "size"), found, strict=True)}
            )
        return [
            {name: float(column[row]) for name, column in columns.items()}
            if own[row] >= 0
            else Failed(f"identity '{item.identity}' is not in the gallery")
            for row, item in enumerate(items)
        ]

    def defined(self, report: str, statistics: Mapping[str, np.ndarray]) -> np.ndarray:
        kind, k = _kind_and_k(report)
        return self._counts(kind, k, np.asarray(statistics[f"size_{kind}"], np.float64))

    def why_undefined(self, report: str) -> str:
        return ALONE[_kind_and_k(report)[0]]

    @staticmethod
    def _counts(kind: str, k: int, size: np.ndarray) -> np.ndarray:
        # Groups of like people differ in size; one of k or fewer would put its whole hundred per cent into the mean.
        return size > k if kind == "within" else np.isfinite(size)

    def aggregate(self, statistics: Mapping[str, np.ndarray], weights: np.ndarray) -> dict[str, np.ndarray]:
        values = {}
        for kind, ks in KS.items():
            greater, ties, size = (
                np.asarray(statistics[f"{name}_{kind}"], np.float64) for name in ("greater", "ties", "size")
            )
            for k in ks:
                counts = self._counts(kind, k, size)
                for chance, hit in ((False, expected_recall(greater, ties, k)), (True, np.minimum(k / size, 1.0))):
                    values[report_name(k, kind, chance)] = mean_where_finite(np.where(counts, hit, np.nan), weights)
        return values
