"""What retrieval scores when the labels mean nothing: the floor under every recall.

K / N is that floor only where each identity has one entry in the gallery and equal weight among the queries. With
unequal counts the entries that many queries come near to (hubs) may also be the labels that many queries carry; then
permuted labels, not K / N, say what chance is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from metrics.faces.ranks import expected_recall


class Floor(NamedTuple):
    """Recall under permuted labels."""

    mean: float
    """Over all permutations, in closed form."""
    low: float
    """2.5 % point of the drawn permutations."""
    high: float
    """97.5 % point: a recall below it does not differ from chance."""


def permutation_floor(
    queries: np.ndarray,
    gallery: np.ndarray,
    query_labels: np.ndarray,
    gallery_labels: np.ndarray,
    k: int,
    *,
    weigh: Literal["speaker", "sample"] = "speaker",
    permutations: int = 200,
    seed: int = 0,
) -> Floor:
    """Recall at k when the labels of the queries are shuffled among them, the similarities kept.

    Queries whose label the gallery lacks are left out. An identity with several entries is found if any is.

    Args:
        queries: `[Q, D]`; gallery: `[G, D]`; similarity is the inner product.
        query_labels: `[Q]`; gallery_labels: `[G]`.
        weigh: `speaker`, where the queries of a label share its weight, or `sample`, where all queries weigh equally.
        permutations: how many are drawn for the interval.

    Raises:
        ValueError: no query has its label in the gallery, or numbers that are not finite.
    """
    if not (np.isfinite(queries).all() and np.isfinite(gallery).all()):
        raise ValueError("expected finite queries and gallery, got NaN or infinity; leave out what has no descriptor")
    labels = np.unique(np.asarray(gallery_labels))
    known = np.isin(query_labels, labels)
    if not known.any():
        raise ValueError("expected queries whose labels are in the gallery, got none; check the names")
    wanted = np.searchsorted(labels, np.asarray(query_labels)[known])
    present = np.searchsorted(labels, np.asarray(gallery_labels))
    hits = label_hits(np.asarray(queries)[known], np.asarray(gallery), present, (k,))[0]
    count = np.bincount(wanted, minlength=len(labels))
    # Weight of a query that carries label l, and with it the expectation over which query that is.
    per_label = 1 / (count[wanted] * (count > 0).sum()) if weigh == "speaker" else np.full(len(wanted), 1 / len(wanted))
    mean = float(per_label @ hits.mean(axis=0)[wanted])
    random = np.random.default_rng(seed)
    drawn = [float(per_label @ hits[random.permutation(len(wanted)), wanted]) for _ in range(permutations)]
    low, high = np.quantile(drawn, [0.025, 0.975]) if drawn else (np.nan, np.nan)
    return Floor(mean, float(low), float(high))


def label_hits(queries: np.ndarray, gallery: np.ndarray, present: np.ndarray, ks: Sequence[int]) -> np.ndarray:
    """Expected recall at each k of each query if it carried each label, `[K, Q, L]`.

    Args:
        queries: `[Q, D]`; gallery: `[G, D]`; similarity is the inner product, in float64.
        present: `[G]`, the label of each entry, from 0 to L - 1.
        ks: ranks, K of them.
    """
    labels = int(present.max()) + 1
    hits = np.empty((len(ks), len(queries), labels))
    own = np.empty(labels)
    entries = np.asarray(gallery, np.float64)
    for row, query in enumerate(np.asarray(queries, np.float64)):
        similarity = (entries * query).sum(axis=1)
        own.fill(-np.inf)
        np.maximum.at(own, present, similarity)
        order = np.sort(similarity)
        reached = len(order) - np.searchsorted(order, own, "left")
        greater = len(order) - np.searchsorted(order, own, "right")
        # The label's own entries never stand above its best one, but those as good as it are no competitors.
        equal = np.bincount(present[similarity == own[present]], minlength=labels)
        for place, k in enumerate(ks):
            hits[place, row] = expected_recall(greater, reached - greater - equal, k)
    return hits
