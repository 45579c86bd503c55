"""NISQA v2.0: predicted mean opinion score and four dimensions of quality (Mittag et al., Interspeech 2021).

The network is torchmetrics' port; its weights (CC BY-NC-SA 4.0) are the user's to fetch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

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
from metrics.networks import nisqa_model
from metrics.networks.nisqa_model import NisqaModel
from metrics.plain import plain
from metrics.speech.signals import checked_lengths, fault, plain_samples, rows

COLUMNS = ("mos", "noi", "dis", "col", "loud")
"""In the order in which the network answers; the papers name coloration before discontinuity."""


@plain()
def nisqa(
    *,
    estimate: Tensor,
    rate: int,
    lengths: Tensor | Sequence[int] | None = None,
    network: NisqaModel | None = None,
) -> Values:
    """Predict overall quality, noisiness, discontinuity, coloration and loudness of each signal.

    Signals are judged one by one, because padding changes the scores, and at their own rate, as published: the bands
    of the spectrogram follow the rate, so scores of one recording at 16 and at 48 kHz differ.

    Args:
        estimate: `[B, T]` (or `[T]`), full scale 1.0.
        rate: Hertz.
        lengths: `[B]` samples that count of each row; all by default.
        network: the network, by default with the weights in torchmetrics' own folder, `~/.torchmetrics/NISQA`.

    Returns:
        `[B, 5]`, on a scale from 1 to 5, 5 always the best. Undefined where a signal is silent, too short for the
        network (below about 0.15 s) or too long for it (above about 52 s); Failed where it is empty or holds NaN.

    Raises:
        ValueError: the estimate is no `[B, T]`, or lengths do not fit it.
        ModuleNotFoundError: librosa, requests or torchmetrics is not installed.
        FileNotFoundError: the weights are not on this machine.
    """
    x = rows(estimate, "an estimate", level=True)
    network = network or nisqa_model.load()
    values = torch.full((len(x), len(COLUMNS)), torch.nan, dtype=torch.float64)
    reasons: list[Undefined | Failed | None] = []
    for row, signal, length in zip(values, x, checked_lengths(x, lengths).tolist(), strict=True):
        scores = _scores(SpeechItem("", signal[:length].cpu().numpy(), rate), network)
        if isinstance(scores, Tensor):
            row[:] = scores
        reasons.append(None if isinstance(scores, Tensor) else scores)
    return checked_values(values, reasons, COLUMNS)


def _scores(item: SpeechItem, network: NisqaModel) -> Tensor | Undefined | Failed:
    """The five scores of one item."""
    wrong = fault(item, reference=False, level=True)
    if wrong is not None:
        return wrong
    if not np.any(item.estimate):
        return Undefined("the estimate is silent")
    seconds = len(item.estimate) / item.rate
    signal = torch.from_numpy(plain_samples(item.estimate)).float()
    try:
        return network(signal, item.rate)
    except RuntimeError as error:
        if "too short" in str(error):
            return Undefined(f"{seconds:.2f} s are too short for NISQA, which needs about 0.15 s")
        if "Maximum number" in str(error):
            return Undefined(f"{seconds:.1f} s are too long for NISQA, which takes about 52 s")
        return Failed(f"NISQA: {error}")


class Nisqa(Metric):
    """Overall quality and four dimensions of it by NISQA; needs no reference."""

    name = "nisqa"
    version = 1
    reports = tuple(
        Report(
            f"nisqa_{column}",
            title,
            True,
            (1.0, 5.0),
            weigh="sample",
            description=f"Predicted rating of {what} (NISQA v2.0, Mittag et al. 2021), mean over samples.",
        )
        for column, title, what in (
            ("mos", "NISQA", "overall quality"),
            ("noi", "NISQA noi", "noisiness, 5 for none"),
            ("dis", "NISQA dis", "discontinuity, 5 for none"),
            ("col", "NISQA col", "coloration, 5 for none"),
            ("loud", "NISQA loud", "loudness, 5 for the right one"),
        )
    )

    def __init__(self, network: NisqaModel) -> None:
        self.network = network

    @classmethod
    def create(cls, networks: Any) -> Nisqa:
        """Make the metric."""
        return cls(networks("nisqa"))

    def signature(self, report: str) -> str:
        return f"{report}|fs:own|norm:none|model:{self.network.signature}|v{self.version}"

    def measure(self, items: Sequence[SpeechItem]) -> list[Statistics | Undefined | Failed]:
        """Rows of `mos`, `noi`, `dis`, `col` and `loud`."""
        scores = [_scores(item, self.network) for item in items]
        return [dict(zip(COLUMNS, row.tolist(), strict=True)) if isinstance(row, Tensor) else row for row in scores]

    def aggregate(self, statistics: Mapping[str, np.ndarray], weights: np.ndarray) -> dict[str, np.ndarray]:
        return {f"nisqa_{column}": weighted_mean(statistics[column], weights) for column in COLUMNS}
