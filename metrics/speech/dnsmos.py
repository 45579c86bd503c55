"""DNSMOS: mean opinion scores that networks predict from the sound alone (Reddy et al., ICASSP 2021 and 2022).

P.808 is one overall score. P.835 parts speech (SIG), background (BAK) and overall (OVRL); its raw outputs pass through
quadratic fits to listeners' ratings, as in the published script. Each is the mean over windows of 9.01 s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.polynomial.polynomial import polyval
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
from metrics.networks.dnsmos_models import HOP, RATE, WINDOW, DnsmosModels, load
from metrics.plain import plain
from metrics.speech.signals import checked_lengths, fault, resampled, rows

COLUMNS = ("p808", "sig", "bak", "ovrl")

# Powers ascending; SIG, BAK, OVRL.
_FITS = np.array(
    [
        [0.0052439, 1.22083953, -0.08397278],
        [-0.39604546, 1.60915514, -0.13166888],
        [0.04602535, 1.11546468, -0.06766283],
    ]
)


@plain()
def dnsmos(
    *,
    estimate: Tensor,
    rate: int = RATE,
    lengths: Tensor | Sequence[int] | None = None,
    models: DnsmosModels | None = None,
) -> Values:
    """Predict P.808, SIG, BAK and OVRL of each signal; the level counts, nothing is normalised.

    Signals below 9.01 s are repeated until long enough, as published. Samples beyond full scale are taken as they are.

    Args:
        estimate: `[B, T]` (or `[T]`), full scale 1.0.
        rate: Hertz; other rates than 16000 are resampled (soxr HQ).
        lengths: `[B]` samples that count of each row; all by default.
        models: loaded networks, here those in the package speechmos if none are given.

    Returns:
        `[B, 4]`. Undefined where a signal is silent; Failed where it is empty or holds NaN.

    Raises:
        ValueError: the estimate is no `[B, T]`, or lengths do not fit it.
        ModuleNotFoundError: no models are given and speechmos is not installed.
    """
    x = rows(estimate, "an estimate", level=True)
    models = models or load()
    values = torch.full((len(x), len(COLUMNS)), torch.nan, dtype=torch.float64)
    reasons: list[Undefined | Failed | None] = []
    for row, signal, length in zip(values, x, checked_lengths(x, lengths).tolist(), strict=True):
        scores = _scores(SpeechItem("", signal[:length].cpu().numpy(), rate), models)
        if isinstance(scores, np.ndarray):
            row[:] = torch.from_numpy(scores)
        reasons.append(None if isinstance(scores, np.ndarray) else scores)
    return checked_values(values, reasons, COLUMNS)


def window_starts(samples: int) -> list[int]:
    """Where the windows begin that the published script scores, in samples of a signal of at least `WINDOW`.

    They come every second, but the script's arithmetic leaves some out: one that ends within the last second of the
    signal or so, because it counts whole seconds, and every one whose end, `int((s + 9.01) * 16000)`, is rounded to one
    sample less than a window: those at seconds 7 to 23 and 119 to 122. Scores are comparable with published ones only
    if the same are left out here.
    """
    seconds = range(int(samples // RATE - 9.01) + 1)
    return [s * RATE for s in seconds if int((s + 9.01) * RATE) - s * RATE == WINDOW]


def _scores(item: SpeechItem, models: DnsmosModels) -> np.ndarray | Undefined | Failed:
    """The four scores of one item."""
    wrong = fault(item, reference=False, level=True)
    if wrong is not None:
        return wrong
    if not np.any(item.estimate):
        return Undefined("the estimate is silent")
    signal = resampled(item.estimate, item.rate, RATE)
    if not len(signal):
        return Failed(f"{len(item.estimate)} samples at {item.rate} Hz are less than one at {RATE} Hz")
    repeated = signal
    while len(repeated) < WINDOW:
        repeated = np.concatenate([repeated, repeated])
    # Windows that a repeated signal repeats are scored once; modulo whole frames, which is what they share.
    cycle = np.lcm(len(signal), HOP)
    starts, times = np.unique(np.array(window_starts(len(repeated))) % cycle, return_counts=True)
    raw = models(repeated, starts.tolist(), len(signal))
    raw[:, 1:] = polyval(raw[:, 1:], _FITS.T, tensor=False)
    return np.average(raw, axis=0, weights=times)


class Dnsmos(Metric):
    """P.808, SIG, BAK and OVRL of DNSMOS; needs no reference."""

    name = "dnsmos"
    version = 1
    reports = tuple(
        Report(
            f"dnsmos_{column}",
            column.upper(),
            True,
            (1.0, 5.0),
            weigh="sample",
            description=f"Predicted mean opinion score of {what} ({source}), mean over samples.",
        )
        for column, what, source in (
            ("p808", "overall quality", "DNSMOS, Reddy et al. 2021"),
            ("sig", "the speech", "DNSMOS P.835, Reddy et al. 2022"),
            ("bak", "the background", "DNSMOS P.835, Reddy et al. 2022"),
            ("ovrl", "overall quality", "DNSMOS P.835, Reddy et al. 2022"),
        )
    )

    def __init__(self, models: DnsmosModels) -> None:
        self.models = models

    @classmethod
    def create(cls, networks: Any) -> Dnsmos:
        """Make the metric with the network `dnsmos`."""
        return cls(networks("dnsmos"))

    def signature(self, report: str) -> str:
        model = self.models.p808_name if report == "dnsmos_p808" else self.models.p835_name
        return f"{report}|fs:{RATE}|resample:soxr-hq|norm:none|win:9.01/1|short:repeat|model:{model}|v{self.version}"

    def measure(self, items: Sequence[SpeechItem]) -> list[Statistics | Undefined | Failed]:
        """Rows of `p808`, `sig`, `bak` and `ovrl`."""
        scores = [_scores(item, self.models) for item in items]
        return [dict(zip(COLUMNS, row.tolist(), strict=True)) if isinstance(row, np.ndarray) else row for row in scores]

    def aggregate(self, statistics: Mapping[str, np.ndarray], weights: np.ndarray) -> dict[str, np.ndarray]:
        return {f"dnsmos_{column}": weighted_mean(statistics[column], weights) for column in COLUMNS}
