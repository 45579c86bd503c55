"""How two recordings become an item that metrics of speech can measure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from metrics.metric import SpeechItem, Statistics
from metrics.speech.delay import Alignments, aligned, alignments, evidence_of
from metrics.speech.signals import resampled

ALIGNED = "delay:corrected-v2,own-else-common"
"""Part of the signature of a number that is measured on aligned items."""


def speech_item(
    key: str,
    estimate: np.ndarray,
    estimate_rate: int,
    reference: np.ndarray | None = None,
    reference_rate: int | None = None,
    *,
    text: str | None = None,
    seconds: float | None = None,
) -> SpeechItem:
    """Bring an estimate and its reference, mono `[T]`, to one rate, the lower of theirs."""
    if reference is None or reference_rate is None:
        return SpeechItem(key, estimate, estimate_rate, text=text, seconds=seconds)
    rate = min(estimate_rate, reference_rate)
    return SpeechItem(
        key,
        resampled(estimate, estimate_rate, rate),
        rate,
        resampled(reference, reference_rate, rate),
        text,
        seconds,
    )


def alignments_of(rows: Sequence[Statistics]) -> Alignments:
    """Decide on the delays of a set of clips from what the metric `delay` kept of each."""
    return alignments([evidence_of(row) for row in rows])


def aligned_item(item: SpeechItem, delay_s: float) -> SpeechItem:
    """The item with a delay taken out of its estimate."""
    if item.reference is None:
        return item
    reference, estimate = aligned(item.reference, item.estimate, delay_s, item.rate)
    return replace(item, reference=reference, estimate=estimate)
