"""Exact ranks of the right entries of a gallery, without sorting and without the matrix of all similarities.

Recall at K needs only how many wrong entries are more similar than the best right one. That is a chunked matrix product
and a count: O(Q G D) operations, memory that does not grow with the gallery, and every K at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch

from metrics.plain import plain

# Queries and gallery rows of one product: what stays in a processor's cache, what keeps a GPU busy.
_CPU, _GPU = (256, 8192), (1024, 65536)
_PAIRS = 1 << 16


class Ranks(NamedTuple):
    """Where the best right entry of each query stands among the wrong ones."""

    greater: np.ndarray
    """`[Q]`, float64: wrong entries strictly more similar than it; NaN where the gallery holds no right entry."""
    ties: np.ndarray
    """`[Q]`, float64: wrong entries exactly as similar; NaN likewise."""
    size: np.ndarray
    """`[Q]`, float64: wrong entries and the one right that counts, so that chance is K / size."""


def expected_recall(greater: np.ndarray, ties: np.ndarray, k: int) -> np.ndarray:
    """Chance that the target is among the first k if ties come in random order: clip((k - greater) / (ties + 1), 0, 1).

    Never the order of a sort: a method whose outputs are all alike would score by the order of the names.

    >>> expected_recall(np.array([0.0, 4.0, 0.0]), np.array([0.0, 1.0, 9.0]), 5).tolist()
    [1.0, 0.5, 0.5]
    """
    return np.clip((k - np.asarray(greater, np.float64)) / (np.asarray(ties, np.float64) + 1), 0.0, 1.0)


def target_ranks(
    queries: Any,
    gallery: Any,
    query_labels: np.ndarray,
    gallery_labels: np.ndarray,
    *,
    chunk: int | None = None,
) -> Ranks:
    """Rank the right gallery entries of each query by inner product, the cosine of unit vectors.

    Where several entries carry the query's label the best one counts (found if any is found), and the others compete
    with nobody. Products are float32; whatever comes near the target's is computed again in float64, so that `greater`
    and `ties` are exact for the vectors given.

    Args:
        queries: `[Q, D]` array, memory map or tensor, float32, on any device.
        gallery: `[G, D]` likewise; read in chunks.
        query_labels: `[Q]`, whose each query is.
        gallery_labels: `[G]`, whose each entry is.
        chunk: gallery rows at a time, by default 8192 on a CPU and 65536 on a GPU.

    Raises:
        ValueError: shapes or labels that do not fit, or numbers that are not finite.
    """
    _check(queries, gallery, query_labels, gallery_labels, chunk)
    device = queries.device if isinstance(queries, torch.Tensor) else torch.device("cpu")
    if not isinstance(queries, torch.Tensor) and isinstance(gallery, torch.Tensor):
        device = gallery.device
    block_size, default_chunk = _CPU if device.type == "cpu" else _GPU
    chunk = chunk or default_chunk
    wanted, present = _numbered(np.asarray(query_labels), np.asarray(gallery_labels))
    x = _rows(queries, 0, len(queries), torch.device("cpu"))
    if not bool(torch.isfinite(x).all()):
        raise ValueError("expected finite queries, got NaN or infinity; leave out the faces that could not be embedded")
    best = _best_right(x, gallery, wanted, present)
    greater, ties = np.zeros(len(x), np.int64), np.zeros(len(x), np.int64)
    blocks = [(first, x[first : first + block_size].to(device)) for first in range(0, len(x), block_size)]
    products = _Products(min(len(x), block_size), min(len(gallery), chunk), device)
    with plain():  # the margin does not hold for products in TF32 or bfloat16
        for start in range(0, len(gallery), chunk):
            part = _rows(gallery, start, start + chunk, device)
            norm = float(torch.linalg.vector_norm(part, dim=1).max())
            if not np.isfinite(norm):
                raise ValueError(
                    f"expected a finite gallery, got NaN or infinity in rows {start} to {start + len(part)}"
                )
            labels = present[start : start + chunk]
            for first, block in blocks:
                end = first + len(block)
                above, near = products.count(block, part, best[first:end], norm)
                greater[first:end] += above
                for q, g in near:
                    wrong = labels[g] != wanted[q + first]
                    q, g = q[wrong] + first, g[wrong]
                    exact = _dot(x[q], part[torch.from_numpy(g).to(device)].cpu())
                    np.add.at(greater, q[exact > best[q]], 1)
                    np.add.at(ties, q[exact == best[q]], 1)
    counts = np.bincount(present, minlength=wanted.max(initial=0) + 1)[wanted]
    missing = counts == 0
    size = np.where(missing, np.nan, len(gallery) - counts + 1.0)
    return Ranks(np.where(missing, np.nan, greater), np.where(missing, np.nan, ties), size)


class _Products:
    """Products of a block of queries with a part of the gallery, and comparisons with each query's target."""

    def __init__(self, queries: int, entries: int, device: torch.device) -> None:
        """Make room for the largest block: on a CPU fresh memory for each would take as long as the comparisons."""
        self.on_cpu = device.type == "cpu"
        self._products = np.empty(queries * entries if self.on_cpu else 0, np.float32)
        self._true = np.empty(queries * entries if self.on_cpu else 0, bool)

    def count(
        self, x: torch.Tensor, part: torch.Tensor, best: np.ndarray, norm: float
    ) -> tuple[np.ndarray, Iterator[tuple[np.ndarray, np.ndarray]]]:
        """How many products surely exceed each query's target, `[Q]`, and the (query, entry) pairs too near to tell.

        The pairs must be taken before the next call.
        """
        # A float32 product of D terms is off by at most about D half-units of |x| |y| (Higham 2002, Sec. 3.1).
        margin = (x.shape[1] + 8) * 2.0**-24 * torch.linalg.vector_norm(x, dim=1).cpu().numpy() * norm + 1e-30
        high = np.nextafter((best + margin).astype(np.float32), np.float32(np.inf))
        low = np.nextafter((best - margin).astype(np.float32), np.float32(-np.inf))
        if self.on_cpu:
            shape = len(x), len(part)
            size = shape[0] * shape[1]
            products = np.dot(x.numpy(), part.numpy().T, out=self._products[:size].reshape(shape))
            true = self._true[:size].reshape(shape)
            above = _true_in_rows(np.greater(products, high[:, None], out=true))
            reached = _true_in_rows(np.greater_equal(products, low[:, None], out=true))
        else:
            products = x @ part.T
            bounds = torch.from_numpy(np.stack([high, low])).to(x.device)[..., None]
            above = (products > bounds[0]).sum(1).cpu().numpy()
            reached = (products >= bounds[1]).sum(1).cpu().numpy()

        def near() -> Iterator[tuple[np.ndarray, np.ndarray]]:
            for row in np.flatnonzero(reached > above):
                line = products[row] if self.on_cpu else products[row].cpu().numpy()
                hits = np.flatnonzero((line >= low[row]) & (line <= high[row]))
                for start in range(0, len(hits), _PAIRS):
                    some = hits[start : start + _PAIRS]
                    yield np.full(len(some), row), some

        return above, near()


def _true_in_rows(mask: np.ndarray) -> np.ndarray:
    # Row by row numpy counts bytes, about fifty times faster than it sums them along an axis.
    return np.array([np.count_nonzero(row) for row in mask], np.int64)


def _best_right(x: torch.Tensor, gallery: Any, wanted: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Largest product of each query with an entry of its label, `[Q]` float64; infinity where there is none."""
    order = np.argsort(present, kind="stable")
    first = np.searchsorted(present, wanted, "left", sorter=order)
    count = np.searchsorted(present, wanted, "right", sorter=order) - first
    best = np.full(len(x), -np.inf)
    end = np.cumsum(count)
    queries = np.repeat(np.arange(len(x)), count)
    entries = order[np.repeat(first - (end - count), count) + np.arange(len(queries))]
    for start in range(0, len(queries), _PAIRS):
        q, g = queries[start : start + _PAIRS], entries[start : start + _PAIRS]
        index = torch.from_numpy(g).to(gallery.device) if isinstance(gallery, torch.Tensor) else g
        np.maximum.at(best, q, _dot(x[q], _tensor(gallery[index]).cpu()))
    best[count == 0] = np.inf
    return best


def _dot(a: torch.Tensor, b: torch.Tensor) -> np.ndarray:
    """Products of rows with rows in float64, summed in one order, so that equal rows give equal products."""
    return (a.numpy().astype(np.float64) * b.numpy().astype(np.float64)).sum(axis=1)


def _rows(values: Any, start: int, end: int, device: torch.device) -> torch.Tensor:
    return _tensor(values[start:end]).to(device)


def _tensor(values: Any) -> torch.Tensor:
    if isinstance(values, torch.Tensor):
        return values.detach().float()
    return torch.from_numpy(np.require(values, np.float32, ["C", "W"]))


def _numbered(queries: np.ndarray, gallery: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same whole number for the same label, whatever the labels are."""
    if queries.dtype == object or gallery.dtype == object:
        queries, gallery = queries.astype(str), gallery.astype(str)
    _, number = np.unique(np.concatenate([queries, gallery]), return_inverse=True)
    number = number.reshape(-1)
    return number[: len(queries)], number[len(queries) :]


def _check(queries: Any, gallery: Any, query_labels: np.ndarray, gallery_labels: np.ndarray, chunk: int | None) -> None:
    if queries.ndim != 2 or gallery.ndim != 2 or queries.shape[1] != gallery.shape[1]:
        raise ValueError(
            f"expected queries [Q, D] and gallery [G, D], got {list(queries.shape)} and {list(gallery.shape)}"
        )
    if len(query_labels) != len(queries) or len(gallery_labels) != len(gallery):
        raise ValueError(
            f"expected a label for each of {len(queries)} queries and {len(gallery)} gallery entries, "
            f"got {len(query_labels)} and {len(gallery_labels)}"
        )
    if chunk is not None and chunk < 1:
        raise ValueError(f"expected a chunk of at least one gallery row, got {chunk}")
