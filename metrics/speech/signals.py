"""What all metrics of speech share: checking a pair of signals, their lengths and rates, ragged batches.

One policy, part of every signature: signals are mono; a metric that needs another rate resamples both with soxr (HQ);
metrics that compare sample by sample cut the longer signal at its end if the two differ by no more than `TOLERANCE_S`,
and count what they cut; beyond that the pair fails, because its signals are probably not two of the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from metrics.metric import Failed, SpeechItem, Undefined

TOLERANCE_S = 0.1
"""Seconds by which a reference and its estimate may differ in length."""


class Pair(NamedTuple):
    """A reference and an estimate of the same length."""

    reference: np.ndarray
    estimate: np.ndarray
    rate: int
    cut_s: float
    """Seconds cut from the end of the longer; negative where the estimate was the longer one."""


def fault(item: SpeechItem, reference: bool = True) -> Undefined | Failed | None:
    """Why an item cannot be measured at all: shape, emptiness, NaN. Silence is for each metric to judge."""
    if item.rate <= 0:
        return Failed(f"expected a sampling rate above 0 Hz, got {item.rate}")
    if reference and item.reference is None:
        return Undefined("there is no reference")
    signals = {"estimate": item.estimate} | ({"reference": item.reference} if reference else {})
    for name, signal in signals.items():
        x = np.asarray(signal)
        if x.ndim != 1:
            return Failed(f"expected a mono {name} [T], got shape {list(x.shape)}")
        if not x.size:
            return Failed(f"the {name} is empty")
        if not np.isfinite(x).all():
            return Failed(f"the {name} holds {int((~np.isfinite(x)).sum())} samples that are NaN or infinite")
    return None


def same_length(item: SpeechItem, tolerance_s: float = TOLERANCE_S) -> Pair | Failed:
    """Both signals cut to the shorter one, at the end; Failed where they differ by more than the tolerance."""
    assert item.reference is not None
    difference = len(item.reference) - len(item.estimate)
    if abs(difference) > tolerance_s * item.rate:
        return Failed(
            f"reference and estimate differ by {abs(difference) / item.rate:.2f} s "
            f"({len(item.reference) / item.rate:.2f} s and {len(item.estimate) / item.rate:.2f} s); "
            f"at most {tolerance_s:g} s is cut"
        )
    length = min(len(item.reference), len(item.estimate))
    return Pair(item.reference[:length], item.estimate[:length], item.rate, difference / item.rate)


def resampled(samples: np.ndarray, rate: int, to: int) -> np.ndarray:
    """`samples` at another rate (soxr HQ), in its own precision; itself where the rates agree."""
    if rate == to:
        return samples
    import soxr

    return np.asarray(soxr.resample(samples, rate, to, quality="HQ"))


def padded(signals: Sequence[np.ndarray], dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Ragged signals as a batch `[B, T]`, zeros behind each, and their lengths `[B]`."""
    lengths = torch.tensor([len(signal) for signal in signals], dtype=torch.int64)
    batch = torch.zeros(len(signals), int(lengths.max()) if len(signals) else 0, dtype=dtype)
    for row, signal in zip(batch, signals, strict=True):
        row[: len(signal)] = torch.from_numpy(np.ascontiguousarray(signal)).to(dtype)
    return batch, lengths


def batch(reference: Tensor, estimate: Tensor, lengths: Tensor | Sequence[int] | None) -> tuple[Tensor, Tensor, Tensor]:
    """Check the arguments of a metric of pairs: two equal shapes `[B, T]` (or `[T]`), and `[B]` lengths.

    Raises:
        ValueError: says what was expected and what came.
    """
    reference, estimate = torch.as_tensor(reference), torch.as_tensor(estimate)
    if reference.shape != estimate.shape or reference.ndim not in (1, 2):
        raise ValueError(
            "Expected reference and estimate of one shape, [B, T] or [T], "
            f"got {list(reference.shape)} and {list(estimate.shape)}"
        )
    reference, estimate = torch.atleast_2d(reference), torch.atleast_2d(estimate)
    return reference, estimate, checked_lengths(reference, lengths)


def checked_lengths(x: Tensor, lengths: Tensor | Sequence[int] | None) -> Tensor:
    """Lengths `[B]` (int64, on the CPU) of the rows of `[B, T]`; all of T where none are given."""
    count, longest = x.shape
    if lengths is None:
        return torch.full((count,), longest, dtype=torch.int64)
    given = torch.as_tensor(lengths, dtype=torch.int64).cpu().reshape(-1)
    if len(given) != count or (count and not 0 <= int(given.min()) <= int(given.max()) <= longest):
        raise ValueError(f"Expected {count} lengths from 0 to {longest}, got {given.tolist()[:10]}")
    return given
