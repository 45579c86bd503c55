"""Whether a generated face finds its speaker among others (SF2F, Sec. 5 "Metric on Retrieval Performance")."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np

from metrics.faces.chance import label_hits
from metrics.faces.finite import mean_where_finite
from metrics.faces.gallery import Gallery, identity_means, prepared
from metrics.faces.ranks import expected_recall, target_ranks
from metrics.metric import FaceItem, Failed, Identity, Metric, Report, Statistics, Undefined
from metrics.networks.face_embedder import FaceEmbedder

KS = {"hundreds": (1, 2, 5, 10, 20, 50), "full": (1, 5, 10), "within": (1, 5, 10)}
"""Ranks reported for each kind of gallery."""
ALONE = {
    "hundreds": "the gallery holds nobody else, or the speaker is left over where people are cut into galleries",
    "full": "the gallery holds nobody else",
    "within": "too few others are alike in what is known of the speaker, sex and age",
}
"""Why a face has no rank in each kind of gallery."""
BAND = 10
"""Years of one age band; the bands are 0 to 9, 10 to 19 and so on."""


BY_RECORDING = "_by_recording"
"""Ending of the numbers in which recordings weigh equally; in the others speakers do."""


def report_name(k: int, kind: str, chance: bool = False, by_recording: bool = False) -> str:
    """`recall_at_10`, `recall_at_10_full`, `chance_recall_at_10_within`, `recall_at_10_by_recording`."""
    name = f"{'chance_' if chance else ''}recall_at_{k}{'' if kind == 'hundreds' else f'_{kind}'}"
    return name + (BY_RECORDING if by_recording else "")


def _kind_and_k(report: str) -> tuple[str, int]:
    name = report.removesuffix(BY_RECORDING)
    return next((kind, k) for kind, ks in KS.items() for k in ks if name.endswith(report_name(k, kind)))


def _floor(k: int, kind: str) -> str:
    """Name of the statistic that holds a face's recall at k under a random label."""
    return f"floor_{k}_{kind}"


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


def people_like(identities: Sequence[Identity]) -> tuple[np.ndarray, str]:
    """Number of each identity's band, `[M]`, -1 where nothing is known; and what the bands are made of.

    A band holds the people of whom the same is known, sex and age or one of the two, and who are alike in it: same
    sex, same ten years. It is `sex+10y` where that is known of all, `sex` or `10y` where it is, and `sex+10y/sex` where
    some have an age and others none; those without are then compared with one another. Bands of one person, who has no
    rank in them, are not named.
    """
    bands: dict[tuple[str | None, int | None], int] = {}
    number = np.full(len(identities), -1)
    for row, person in enumerate(identities):
        age = int(person.age // BAND) if person.age is not None and np.isfinite(person.age) else None
        if person.sex is not None or age is not None:
            number[row] = bands.setdefault((person.sex, age), len(bands))
    sizes = np.bincount(number[number >= 0], minlength=len(bands))
    made_of = {
        "+".join([*(["sex"] if sex is not None else []), *([f"{BAND}y"] if age is not None else [])])
        for (sex, age), band in bands.items()
        if sizes[band] > 1
    }
    return number, "/".join(sorted(made_of, key=lambda names: (-len(names), -ord(names[0])))) or "none"


class Retrieval(Metric):
    """Recall at K in galleries of 100, in the gallery of all, and among people of the same sex and age.

    A recall at K counts the faces whose gallery has more than K people, because in a smaller one everyone is found: of
    seven people there is no recall at 10.

    The last gallery asks for more than sex and age, which a voice gives away easily. Where only one of the two is
    known, people alike in that one are taken: see `people_like`.

    Each recall has its chance level beside it: the mean over all permutations of the labels within the gallery. By
    speaker it is K / N, because each identity has one entry and speakers weigh equally. Where some speaker has several
    recordings each recall is also given by recording, and there the mean is measured: a face's chance of a hit when it
    carries the label of a random recording. It is above K / N where faces come near to those who have many recordings.

    An interval over speakers says how a recall varies with who is looked for, in the galleries as they are: those of
    other people may be harder or easier.
    """

    name = "retrieval"
    version = 1
    lacking: ClassVar[Mapping[str, str]] = {
        **{f"{name}_{kind}": why for kind, why in ALONE.items() for name in ("greater", "ties", "size")},
        **{_floor(k, kind): ALONE[kind] for kind, ks in KS.items() for k in ks},
    }

    def __init__(self, embedder: FaceEmbedder, gallery_size: int = 100) -> None:
        if gallery_size < 2:
            raise ValueError(f"expected a gallery_size of at least 2, got {gallery_size}")
        self.embedder, self.gallery_size = embedder, gallery_size
        self._gallery: Gallery | None = None
        self._members: dict[str, np.ndarray] = {}
        self._people: dict[str, int] = {}
        self._recordings = np.zeros(0)
        self._bands = f"sex+{BAND}y"
        self.reports = self._reports(False)

    def _all_reports(self, several: bool) -> tuple[Report, ...]:
        """By speaker, and where some speaker has several recordings by recording, too."""
        return self._reports(False) + (self._reports(True) if several else ())

    def _reports(self, by_recording: bool) -> tuple[Report, ...]:
        where = {
            "hundreds": f"a gallery of {self.gallery_size} consecutive identities",
            "full": "the gallery of all identities",
            "within": f"the gallery of the identities of the same sex and {BAND}-year age band, as far as known",
        }
        reports = []
        for chance in (False, True):
            for kind, ks in KS.items():
                for k in ks:
                    short = "" if kind == "hundreds" else f" {kind}"
                    nearest = "the most similar" if k == 1 else f"among the {k} most similar"
                    about = f"Share of faces whose speaker is {nearest} of {where[kind]}"
                    if chance:
                        level = "measured" if by_recording else "K / N"
                        about = f"The same share under permuted labels, {level}: {about[0].lower()}{about[1:]}"
                    by = "recording" if by_recording else "speaker"
                    about += f" (SF2F, Sec. 5); ties count by their expectation, {by}s weigh equally."
                    reports.append(
                        Report(
                            report_name(k, kind, chance, by_recording),
                            f"{'chance ' if chance else ''}R@{k}{short} by {by}",
                            None if chance else True,
                            (0.0, 1.0),
                            unit="%",
                            weigh="sample" if by_recording else "speaker",
                            description=about,
                            interval="mean" if chance else "share",
                        )
                    )
        return tuple(reports)

    @classmethod
    def create(cls, networks: Any, embedder: str = "dlib", gallery_size: int = 100) -> Retrieval:
        """Make the metric.

        Args:
            embedder: `dlib`, `facenet140` (the paper's), `facenet160`, `arcface`, or `arcface:PACK`.
            gallery_size: identities of one gallery of the main protocol.
        """
        return cls(networks(embedder), gallery_size)

    @classmethod
    def for_rows(cls, signature: str, statistics: Collection[str]) -> Self:
        """As of every metric; by recording too where the rows hold it."""
        metric = cls.__new__(cls)
        stated = re.search(r"\|gallery:(\d+)", signature)
        if stated is None:
            raise ValueError(f"expected the size of a gallery in the signature, got {signature}")
        metric.gallery_size = int(stated[1])
        full = re.search(r"\|gallery:(\d+)\|", signature)
        metric._people = {"hundreds": metric.gallery_size} | ({"full": int(full[1])} if full else {})
        metric.reports = metric._all_reports(_floor(KS["hundreds"][0], "hundreds") in statistics)
        return metric

    def signature(self, report: str) -> str:
        kind, by = _kind_and_k(report)[0], "recording" if report.endswith(BY_RECORDING) else "speaker"
        about = f"embed:{self.embedder.signature}|agg:identity-mean"
        more = ",over-k" if kind == "within" else ""
        return f"{about}|gallery:{self._size(kind)}{more}|ties:expected|by:{by}|v{self.version}"

    def _size(self, kind: str) -> str:
        if self._gallery is None:
            return {"hundreds": str(self.gallery_size), "full": "all", "within": self._bands}[kind]
        if kind == "full":
            return str(len(self._gallery))
        sizes = np.bincount(self._members[kind][self._members[kind] >= 0])
        if kind == "hundreds":
            return f"{sizes[0]}x{len(sizes)}" if len(sizes) else "0"
        sizes = sizes[sizes > 1]
        return f"{self._bands},{sizes.min()}..{sizes.max()}" if len(sizes) else self._bands

    def prepare(self, gallery: Sequence[Identity]) -> None:
        """Take in the identities, sorted by id. Where one has several recordings there are numbers by recording too.

        Raises:
            ValueError: they are not sorted, so that the galleries of 100 would differ from run to run.
        """
        ids = [identity.id for identity in gallery]
        if ids != sorted(ids):
            raise ValueError("expected identities sorted by id; sort them before prepare")
        self._gallery = identity_means(gallery, self.embedder)
        self._recordings = np.array([identity.recordings for identity in gallery], np.float64)
        several = bool((self._recordings > 1).any())
        self.reports = self._all_reports(several)
        like, self._bands = people_like(gallery)
        self._members = {
            "hundreds": consecutive_galleries(len(gallery), self.gallery_size),
            "full": np.zeros(len(gallery), int),
            "within": like,
        }
        self._people = {"hundreds": min(self.gallery_size, len(gallery)), "full": len(gallery)}

    def measure(self, items: Sequence[FaceItem]) -> list[Statistics | Undefined | Failed]:
        """Rows of `greater_*`, `ties_*`, `size_*` for each kind of gallery; NaN where the identity is in none.

        Where there are numbers by recording also `floor_K_*`, the face's recall at K under a random recording's label.

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
            floors = np.full((len(KS[kind]), len(items)), np.nan)
            block = np.where(own >= 0, member[own], -1)
            for number in np.unique(block[block >= 0]):
                those, candidates = np.flatnonzero(block == number), np.flatnonzero(member == number)
                if len(candidates) > 1:
                    found[:, those] = target_ranks(
                        vectors[those], gallery.unit_means[candidates], own[those], candidates
                    )
                    if self._by_recording:
                        floors[:, those] = self._random_label(vectors[those], candidates, KS[kind])
            columns.update(
                {f"{name}_{kind}": row for name, row in zip(("greater", "ties", "size"), found, strict=True)}
            )
            if self._by_recording:
                columns.update({_floor(k, kind): row for k, row in zip(KS[kind], floors, strict=True)})
        return [
            {name: float(column[row]) for name, column in columns.items()}
            if own[row] >= 0
            else Failed(f"identity '{item.identity}' is not in the gallery")
            for row, item in enumerate(items)
        ]

    @property
    def _by_recording(self) -> bool:
        return any(report.weigh == "sample" for report in self.reports)

    def _random_label(self, vectors: np.ndarray, candidates: np.ndarray, ks: Sequence[int]) -> np.ndarray:
        """Each face's recall at each k if it carried the label of a random recording of these identities, `[K, Q]`."""
        gallery = prepared(self._gallery, self.name)
        share = self._recordings[candidates] / self._recordings[candidates].sum()
        return label_hits(vectors, gallery.unit_means[candidates], np.arange(len(candidates)), ks) @ share

    def defined(self, report: str, statistics: Mapping[str, np.ndarray]) -> np.ndarray:
        kind, k = _kind_and_k(report)
        # A gallery of k or fewer, where everyone is found, would put its whole hundred per cent into the mean.
        return np.asarray(statistics[f"size_{kind}"], np.float64) > k

    def why_undefined(self, report: str) -> str:
        kind, k = _kind_and_k(report)
        people = self._people.get(kind)
        if people is not None and 1 < people <= k:
            return f"in a gallery of {people} people everyone is among the first {k}"
        return ALONE[kind]

    def aggregate(self, statistics: Mapping[str, np.ndarray], weights: np.ndarray) -> dict[str, np.ndarray]:
        values = {}
        for kind, ks in KS.items():
            greater, ties, size = (
                np.asarray(statistics[f"{name}_{kind}"], np.float64) for name in ("greater", "ties", "size")
            )
            for k in ks:
                counts = self.defined(report_name(k, kind), statistics)
                shares = {
                    report_name(k, kind): expected_recall(greater, ties, k),
                    report_name(k, kind, chance=True): k / size,
                }
                if self._by_recording:
                    floor = np.asarray(statistics[_floor(k, kind)], np.float64)
                    shares[report_name(k, kind, by_recording=True)] = shares[report_name(k, kind)]
                    shares[report_name(k, kind, chance=True, by_recording=True)] = floor
                for name, share in shares.items():
                    values[name] = mean_where_finite(np.where(counts, share, np.nan), weights)
        return values
