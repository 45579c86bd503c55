"""What all metrics of speech share: checking a pair of signals, their lengths and rates, ragged batches.

One policy, part of every signature: signals are mono; a metric that needs another rate resamples both with soxr (HQ);
metrics that compare sample by sample cut the longer signal at its end if the two differ by no more than `TOLERANCE_S`,
and count what they cut; beyond that the pair fails, because its signals are probably not two of the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from metrics.metric import Failed, SpeechItem, Undefined
from metrics.plain import plain

TOLERANCE_S = 0.1
"""Seconds by which a reference and its estimate may differ in length."""


class Pair(NamedTuple):
    """A reference and an estimate of the same length."""

    reference: np.ndarray
    estimate: np.ndarray
    rate: int
    cut_s: float
    """Seconds cut from the end of the longer; negative where the estimate was the longer one."""


def fault(item: SpeechItem, reference: bool = True, level: bool = False) -> Undefined | Failed | None:
    """Why an item cannot be measured at all: shape, emptiness, NaN. Silence is for each metric to judge.

    Args:
        reference: whether it needs one.
        level: whether the level counts, so that samples that are whole numbers, of a full scale unknown, are refused.
    """
    if item.rate <= 0:
        return Failed(f"expected a sampling rate above 0 Hz, got {item.rate}")
    if reference and item.reference is None:
        return Undefined("there is no reference")
    signals = {"estimate": item.estimate} | ({"reference": item.reference} if reference else {})
    for name, signal in signals.items():
        x = np.asarray(signal)
        if x.ndim != 1:
            return Failed(f"expected a mono {name} [T], got shape {list(x.shape)}")
        if x.dtype.kind not in "biuf":
            return Failed(f"expected real numbers as samples of the {name}, got {x.dtype}")
        if level and x.dtype.kind != "f":
            return Failed(f"expected a {name} in floating point with full scale 1.0, got {x.dtype}: the level counts")
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
    reference, estimate = (plain_samples(x)[:length] for x in (item.reference, item.estimate))
    return Pair(reference, estimate, item.rate, difference / item.rate)


def plain_samples(x: Any) -> np.ndarray:
    """Real numbers as torch and soxr take them: float32 where they fit into it, else float64; in one writable piece."""
    x = np.asarray(x)
    fits = x.dtype.kind == "f" and x.dtype.itemsize <= 4
    return np.require(x, np.float32 if fits else np.float64, ["C", "W"])


def real(x: Any) -> Tensor:
    """A tensor of float32 where the numbers fit into it, else of float64, without gradients.

    Raises:
        ValueError: they are not real numbers.
    """
    if not isinstance(x, Tensor):
        x = np.asarray(x)
        if x.dtype.kind not in "biuf":
            raise ValueError(f"Expected real numbers as samples, got {x.dtype}")
        return torch.from_numpy(plain_samples(x))
    if x.is_complex():
        raise ValueError(f"Expected real numbers as samples, got {x.dtype}")
    if x.dtype in (torch.float32, torch.float64):
        return x.detach()
    return x.detach().float() if x.is_floating_point() else x.detach().double()


def resampled(samples: np.ndarray, rate: int, to: int) -> np.ndarray:
    """`samples` at another rate (soxr HQ), in float32, or float64 where they are wider."""
    samples = plain_samples(samples)
    if rate == to:
        return samples
    import soxr

    return np.asarray(soxr.resample(samples, rate, to, quality="HQ"))


@plain()
def padded(signals: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
    """Ragged signals as a batch `[B, T]`, zeros behind each, and their lengths `[B]`; float64 if any of them is."""
    arrays = [plain_samples(signal) for signal in signals]
    lengths = torch.tensor([len(array) for array in arrays], dtype=torch.int64)
    wide = any(array.dtype == np.float64 for array in arrays)
    dtype = torch.float64 if wide else torch.float32
    batch = torch.zeros(len(arrays), int(lengths.max()) if arrays else 0, dtype=dtype)
    for row, array in zip(batch, arrays, strict=True):
        row[: len(array)] = torch.from_numpy(array)
    return batch, lengths


def rows(x: Any, name: str, level: bool = False) -> Tensor:
    """A batch of signals `[B, T]` as `real` makes it; `[T]` is a batch of one.

    Raises:
        ValueError: another shape, or no real numbers; with `level`, which counts then, no floating point.
    """
    kind = x.dtype if isinstance(x, Tensor) else np.asarray(x).dtype
    if level and not (kind.is_floating_point if isinstance(x, Tensor) else kind.kind == "f"):
        raise ValueError(f"Expected floating point with full scale 1.0, got {kind}: the level counts here")
    tensor = torch.atleast_2d(real(x))
    if tensor.ndim != 2:
        raise ValueError(f"Expected {name} [B, T] or [T], got {list(tensor.shape)}")
    return tensor


def batch(reference: Tensor, estimate: Tensor, lengths: Tensor | Sequence[int] | None) -> tuple[Tensor, Tensor, Tensor]:
    """Check the arguments of a metric of pairs: two equal shapes `[B, T]` (or `[T]`), and `[B]` lengths.

    Raises:
        ValueError: says what was expected and what came.
    """
    reference, estimate = real(reference), real(estimate)
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
