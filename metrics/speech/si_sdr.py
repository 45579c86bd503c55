"""Scale-invariant signal-to-distortion ratio (Le Roux et al., "SDR - half-baked or well done?", ICASSP 2019, Eq. 3).

SI-SDR is the definition as printed, and leaves the means in. SI-SNR is the same after both means are taken out, as
separation papers have it. Nothing is added to a denominator: a ratio that is 0/0, zero or infinite has no value.
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

LIMIT_DB = 280.0
"""Beyond it, in either direction, double precision holds only the rounding of what is zero."""


def si_sdr(*, reference: Tensor, estimate: Tensor, lengths: Tensor | Sequence[int] | None = None) -> Values:
    """Compute `10 log10(|a s|^2 / |a s - s_hat|^2)` with `a = <s, s_hat> / |s|^2`, in dB; the means are left in.

    Args:
        reference: clean signals `s`.
        estimate: signals `s_hat`.
        lengths: valid samples of each pair; what lies behind them is never read.

    Shape:
        `[B, T]` (or `[T]`) on any device -> values `[B]`, float64, on the CPU. Undefined: a silent signal, an estimate
        that equals the reference up to scale (infinite), one with nothing of it (minus infinite). Failed: NaN, nothing.

    Raises:
        ValueError: shapes or lengths that do not agree.
    """
    return _ratio(reference, estimate, lengths, zero_mean=False)


def si_snr(*, reference: Tensor, estimate: Tensor, lengths: Tensor | Sequence[int] | None = None) -> Values:
    """Compute SI-SDR after the mean of the valid part is taken out of both signals, in dB; otherwise as `si_sdr`.

    A signal that is constant is silent here.
    """
    return _ratio(reference, estimate, lengths, zero_mean=True)


@plain()
def _ratio(reference: Any, estimate: Any, lengths: Tensor | Sequence[int] | None, *, zero_mean: bool) -> Values:
    reference, estimate, lengths = batch(reference, estimate, lengths)
    count = lengths.to(reference.device)[:, None]
    inside = torch.arange(reference.shape[1], device=reference.device) < count

    def valid(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = torch.where(inside, x.double(), 0.0)
        peak = x.abs().amax(1, keepdim=True) if x.shape[1] else x.new_zeros(len(x), 1)
        # Brought to a peak from 0.5 to 1 by a power of two, which rounds nothing: no square is too large or too small.
        x = x * (torch.frexp(peak).mantissa / peak.clamp(min=2.0**-1000))
        energy = x.square().sum(1)
        if zero_mean:
            x = torch.where(inside, x - x.sum(1, keepdim=True) / count, 0.0)
        left = x.square().sum(1)
        # What is left of a constant is the rounding of its mean.
        return x, energy, torch.where(left > energy * 10 ** (-LIMIT_DB / 10), left, 0.0)

    s, energy, power = valid(reference)
    s_hat, energy_hat, power_hat = valid(estimate)
    target = (s * s_hat).sum(1, keepdim=True) / power[:, None] * s
    ratio = 10 * torch.log10(target.square().sum(1) / (s_hat - target).square().sum(1))
    found = torch.stack([ratio, energy, power, energy_hat, power_hat]).cpu()
    reasons = [_reason(int(length), *row) for length, row in zip(lengths, found.T.tolist(), strict=True)]
    defined = torch.tensor([reason is None for reason in reasons], dtype=torch.bool)
    return checked_values(torch.where(defined, found[0], torch.nan), reasons, ["the ratio"])


def _reason(
    length: int, ratio: float, energy: float, power: float, energy_hat: float, power_hat: float
) -> Undefined | Failed | None:
    if not length:
        return Failed("the signals are empty")
    for name, before, left in (("reference", energy, power), ("estimate", energy_hat, power_hat)):
        if not np.isfinite(before):
            return Failed(f"the {name} holds samples that are NaN or infinite")
        if not left:
            return Undefined(f"the {name} is {'constant' if before else 'silent'}")
    if ratio > LIMIT_DB:
        return Undefined("the estimate equals the reference up to scale: the ratio is infinite")
    if ratio < -LIMIT_DB:
        return Undefined("the estimate holds nothing of the reference (orthogonal): the ratio is minus infinite")
    return None


class _ScaleInvariant(Metric):
    """One ratio; a row holds it under the metric's name, and the seconds that were cut to make the lengths equal."""

    version = 1
    paired: ClassVar[bool] = True
    zero_mean: ClassVar[bool]

    @classmethod
    def create(cls, networks: Any) -> _ScaleInvariant:
        """Make the metric."""
        return cls()

    def signature(self, report: str) -> str:
        return f"{self.name}|fs:own|mean:{'removed' if self.zero_mean else 'kept'}|len:cut0.1|f64|v{self.version}"

    def measure(self, items: Sequence[SpeechItem]) -> list[Statistics | Undefined | Failed]:
        """Rows of the ratio in dB and `cut_s`."""
        return [self._row(item) for item in items]

    def _row(self, item: SpeechItem) -> Statistics | Undefined | Failed:
        pair = fault(item) or same_length(item)
        if isinstance(pair, Undefined | Failed):
            return pair
        values, (reason,) = _ratio(pair.reference, pair.estimate, None, zero_mean=self.zero_mean)
        return reason or {self.name: float(values[0]), "cut_s": pair.cut_s}

    def aggregate(self, statistics: Mapping[str, np.ndarray], weights: np.ndarray) -> dict[str, np.ndarray]:
        return {self.name: weighted_mean(statistics[self.name], weights)}


class SiSdr(_ScaleInvariant):
    """Scale-invariant SDR."""

    name = "si_sdr"
    zero_mean = False
    reports = (
        Report(
            "si_sdr",
            "SI-SDR",
            True,
            (-np.inf, np.inf),
            unit="dB",
            weigh="sample",
            description="Scale-invariant SDR, means left in (Le Roux et al. 2019, Eq. 3).",
        ),
    )


class SiSnr(_ScaleInvariant):
    """Scale-invariant SNR: scale-invariant SDR of signals without their means."""

    name = "si_snr"
    zero_mean = True
    reports = (
        Report(
            "si_snr",
            "SI-SNR",
            True,
            (-np.inf, np.inf),
            unit="dB",
            weigh="sample",
            description="Scale-invariant SDR of both signals without their means (Luo & Mesgarani 2018).",
        ),
    )
