"""How two recordings become an item that metrics of speech can measure."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from metrics.metric import SpeechItem
from metrics.speech.delay import aligned, estimate_delay
from metrics.speech.signals import resampled


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
    """Bring an estimate and its reference, mono `[T]`, to one rate, the lower of theirs, and look for a delay."""
    if reference is None or reference_rate is None:
        return SpeechItem(key, estimate, estimate_rate, text=text, seconds=seconds)
    rate = min(estimate_rate, reference_rate)
    item = SpeechItem(
        key,
        resampled(estimate, estimate_rate, rate),
        rate,
        resampled(reference, reference_rate, rate),
        text,
        seconds,
        converted_from=max(estimate_rate, reference_rate) if estimate_rate != reference_rate else None,
    )
    assert item.reference is not None
    delay = estimate_delay(reference=item.reference, estimate=item.estimate, rate=rate)
    return replace(item, delay_s=delay.seconds)


def aligned_item(item: SpeechItem) -> SpeechItem:
    """The item with its delay, where one was found, taken out of the estimate."""
    if item.reference is None or not item.delay_s:
        return item
    reference, estimate = aligned(item.reference, item.estimate, item.delay_s, item.rate)
    return replace(item, reference=reference, estimate=estimate)
