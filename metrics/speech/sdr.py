"""Signal-to-distortion ratio of BSS Eval, version 3 (Vincent et al. 2006), for one source at a time.

The reference may be filtered before it is compared: the part of the estimate that a filter of 512 taps makes of it
counts as signal, the rest as distortion. `fast_bss_eval` (Scheibler, ICASSP 2022) solves it, in double precision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from metrics.metric import (
    Failed,
    Metric,
    Report,
    SpeechItem,
    Statistics,
    Undefined,
    Values,
    checked_values,
    weighted_mean,
)
from metrics.plain import plain
from metrics.speech.signals import batch, fault, same_length

LIMIT_DB = 120.0
"""Beyond it, in either direction, the filter's rounding is a sizeable part of what is left."""


@plain()
def sdr(
    *, reference: Tensor, estimate: Tensor, lengths: Tensor | Sequence[int] | None = None, taps: int = 512
) -> Values:
    """Compute the BSS Eval SDR in dB, with a distortion filter of `taps` taps, not clamped, no diagonal loading.

    Args:
        reference: clean signals.
        estimate: signals to be judged.
        lengths: valid samples of each pair; what lies behind them is never read.
        taps: of the filter that is forgiven, at least 2.

    Shape:
        `[B, T]` (or `[T]`) on any device -> values `[B]`, float64, on the CPU. Undefined: a silent signal, one shorter
        than the filter, an estimate that is the reference filtered (infinite) or has nothing of it (minus infinite).
        Failed: NaN, nothing, a reference whose filter cannot be solved.

    Raises:
        ValueError: shapes or lengths that do not agree, too few taps.
        ImportError: the `fast_bss_eval` package is missing.
    """
    if taps < 2:
        raise ValueError(f"Expected a filter of at least 2 taps, got {taps}; one tap is SI-SDR")
    reference, estimate, lengths = batch(reference, estimate, lengths)
    inside = torch.arange(reference.shape[1], device=reference.device) < lengths.to(reference.device)[:, None]
    signals = [torch.where(inside, x.double(), 0.0) for x in (reference, estimate)]
    peaks = torch.stack([x.abs().amax(1) if x.shape[1] else x.new_zeros(len(x)) for x in signals]).T.tolist()
    reasons = [_fault(int(length), taps, *peak) for length, peak in zip(lengths, peaks, strict=True)]
    values = torch.full((len(reasons),), torch.nan, dtype=torch.float64)
    good = [i for i, reason in enumerate(reasons) if reason is None]
    if good:
        # Scaled first: fast_bss_eval takes a signal of norm below 1e-6 for silence.
        ratios = _ratios(*(x[good] / x[good].abs().amax(1, keepdim=True) for x in signals), taps)
        for i, ratio in zip(good, ratios.tolist(), strict=True):
            reasons[i] = _limit(ratio)
            values[i] = ratio if reasons[i] is None else torch.nan
    return checked_values(values, reasons, ["sdr"])


def _ratios(s: Tensor, s_hat: Tensor, taps: int) -> Tensor:
    """SDR of each row `[B]`; NaN where the filter cannot be solved. Zeros behind a signal do not change it."""
    from fast_bss_eval.torch.metrics import sdr_loss

    try:
        return -sdr_loss(s_hat[:, None], s[:, None], filter_length=taps, pairwise=False)[:, 0].cpu()
    except torch.linalg.LinAlgError:  # one singular reference stops a whole batch
        if len(s) == 1:
            return torch.full((1,), torch.nan, dtype=torch.float64)
        return torch.cat([_ratios(a, b, taps) for a, b in zip(s.split(1), s_hat.split(1), strict=True)])


def _fault(length: int, taps: int, peak: float, peak_hat: float) -> Undefined | Failed | None:
    if not length:
        return Failed("the signals are empty")
    for name, x in (("reference", peak), ("estimate", peak_hat)):
        if not np.isfinite(x):
            return Failed(f"the {name} holds samples that are NaN or infinite")
        if not x:
            return Undefined(f"the {name} is silent")
    if length < taps:
        return Undefined(f"{length} samples are fewer than the {taps} taps of the filter that SDR forgives")
    return None


def _limit(ratio: float) -> Undefined | Failed | None:
    if np.isnan(ratio):
        return Failed("the filter cannot be solved: shifts of the reference depend on one another")
    if ratio > LIMIT_DB:
        return Undefined(f"the estimate is the reference, filtered: the ratio is infinite (above {LIMIT_DB:g} dB)")
    if ratio < -LIMIT_DB:
        return Undefined(
            f"the estimate holds nothing of the reference: the ratio is minus infinite (below -{LIMIT_DB:g} dB)"
        )
    return None


class Sdr(Metric):
    """SDR with a filter of 512 taps; a row holds it as `sdr`, and the seconds cut to make the lengths equal."""

    name = "sdr"
    version = 1
    paired: ClassVar[bool] = True
    reports = (
        Report(
            "sdr",
            "SDR",
            True,
            (-np.inf, np.inf),
            unit="dB",
            weigh="sample",
            description="BSS Eval v3 SDR, distortion filter of 512 taps (Vincent et al. 2006).",
        ),
    )

    @classmethod
    def create(cls, networks: Any) -> Sdr:
        """Make the metric."""
        import fast_bss_eval  # noqa: F401 - says what is missing before anything is measured

        return cls()

    def signature(self, report: str) -> str:
        return f"{self.name}|fs:own|bss-eval-v3|taps:512|len:cut0.1|impl:fast_bss_eval|f64|v{self.version}"

    def measure(self, items: Sequence[SpeechItem]) -> list[Statistics | Undefined | Failed]:
        """Rows of `sdr` in dB and `cut_s`."""
        return [self._row(item) for item in items]

    def _row(self, item: SpeechItem) -> Statistics | Undefined | Failed:
        pair = fault(item) or same_length(item)
        if isinstance(pair, Undefined | Failed):
            return pair
        reference, estimate = (torch.from_numpy(x) for x in (pair.reference, pair.estimate))
        values, (reason,) = sdr(reference=reference, estimate=estimate)
        return reason or {"sdr": float(values[0]), "cut_s": pair.cut_s}

    def aggregate(self, statistics: Mapping[str, np.ndarray], weights: np.ndarray) -> dict[str, np.ndarray]:
        return {"sdr": weighted_mean(statistics["sdr"], weights)}
