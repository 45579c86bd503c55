"""Whether the voice is still the same: the cosine of speaker embeddings of the estimate and of its reference."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

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
from metrics.speech.signals import checked_lengths, fault, resampled, rows

_REMEMBERED = 1000
"""Embeddings of references that are kept: several methods, or repeats, are compared with the same ones."""


class SpeakerNetwork(Protocol):
    """What the metric needs of a network."""

    rate: int
    """Hertz."""
    signature: str

    def embed(self, samples: np.ndarray) -> np.ndarray | Undefined:
        """`[T]` at its rate -> `[D]` of length 1."""


@plain()
def speaker_similarity(
    *,
    reference: Tensor,
    estimate: Tensor,
    rate: int,
    network: SpeakerNetwork | None = None,
    lengths: Tensor | Sequence[int] | None = None,
    reference_lengths: Tensor | Sequence[int] | None = None,
) -> Values:
    """Cosine of the speaker embeddings of two recordings, which need not say the same nor be equally long.

    Args:
        reference: `[B, T']` (or `[T']`), full scale 1.0.
        estimate: `[B, T]` (or `[T]`).
        rate: Hertz, of both; other rates than the network's are resampled (soxr HQ).
        network: the network, here GE2E with the weights in the package resemblyzer if none is given.
        lengths: `[B]` samples that count of each estimate; all by default.
        reference_lengths: `[B]` of each reference; all by default.

    Returns:
        `[B]`, between -1 and 1; GE2E's embeddings are nowhere negative, so its cosines start at 0. Undefined where one
        of the two holds too little voice; Failed where one is empty or holds NaN.

    Raises:
        ValueError: no two batches of one size, or lengths that do not fit.
    """
    r, e = rows(reference, "a reference", level=True), rows(estimate, "an estimate", level=True)
    if len(r) != len(e):
        raise ValueError(
            f"Expected a reference [B, T'] and an estimate [B, T], got {list(r.shape)} and {list(e.shape)}"
        )
    if network is None:
        from metrics.networks import ge2e

        network = ge2e.load()
    metric = SpeakerSimilarity(network)
    sizes = zip(checked_lengths(r, reference_lengths).tolist(), checked_lengths(e, lengths).tolist(), strict=True)
    found = metric.measure(
        [
            SpeechItem("", e[n, :length].cpu().numpy(), rate, r[n, :reference_length].cpu().numpy())
            for n, (reference_length, length) in enumerate(sizes)
        ]
    )
    reasons = [row if isinstance(row, (Undefined, Failed)) else None for row in found]
    values = [torch.nan if reason else row["cosine"] for row, reason in zip(found, reasons, strict=True)]
    return checked_values(torch.tensor(values, dtype=torch.float64), reasons, ["the cosine"])


class SpeakerSimilarity(Metric):
    """Cosine of the speaker embeddings of estimate and reference."""

    name = "speaker_similarity"
    version = 1
    reports = (
        Report(
            "speaker_similarity",
            "SpkSim",
            True,
            (-1.0, 1.0),
            weigh="sample",
            description="Cosine of the speaker embeddings of estimate and reference, mean over samples.",
        ),
    )

    def __init__(self, network: SpeakerNetwork) -> None:
        self.network = network
        self._seen: OrderedDict[bytes, np.ndarray | Undefined] = OrderedDict()

    @classmethod
    def create(
        cls, networks: Any, speaker_network: str = "ge2e", speaker_model: str = "", device: str = "cpu"
    ) -> SpeakerSimilarity:
        """Make the metric.

        Args:
            speaker_network: `ge2e` (carried), `wespeaker`, or `talkers`, a recogniser of Talkers' voices.
            speaker_model: a WeSpeaker model exported as ONNX, by its path or by its name in the table of weights; only
                with `wespeaker`, whose default is the ResNet-221 that WeSpeaker takes for English.
            device: where a WeSpeaker model runs.
        """
        if speaker_network == "wespeaker":
            from metrics.networks import wespeaker

            name = f"wespeaker:{speaker_model}" if speaker_model else "wespeaker"
            return cls(wespeaker.load(networks.file(name), device))
        if speaker_network not in ("ge2e", "talkers") or speaker_model:
            given = f"'{speaker_network}'" + (f" with a model, {speaker_model}" if speaker_model else "")
            raise ValueError(f"expected speaker_network ge2e, talkers, or wespeaker with a speaker_model, got {given}")
        return cls(networks("ge2e" if speaker_network == "ge2e" else "talkers_voices"))

    def signature(self, report: str) -> str:
        return f"{report}|embed:{self.network.signature}|resample:soxr-hq|v{self.version}"

    def measure(self, items: Sequence[SpeechItem]) -> list[Statistics | Undefined | Failed]:
        """Rows of `cosine`."""
        return [self._measure(item) for item in items]

    def _measure(self, item: SpeechItem) -> Statistics | Undefined | Failed:
        wrong = fault(item, level=True)
        if wrong is not None:
            return wrong
        assert item.reference is not None
        target = self._reference(item.reference, item.rate)
        if isinstance(target, Undefined):
            return Undefined(f"the reference: {target.reason}")
        vector = self._embed(item.estimate, item.rate)
        if isinstance(vector, Undefined):
            return Undefined(f"the estimate: {vector.reason}")
        return {"cosine": float(np.clip(vector @ target, -1.0, 1.0))}

    def _reference(self, samples: np.ndarray, rate: int) -> np.ndarray | Undefined:
        samples = np.ascontiguousarray(samples)
        key = hashlib.blake2b(samples, digest_size=16, key=f"{rate}{samples.dtype}".encode()).digest()
        if key not in self._seen:
            self._seen[key] = self._embed(samples, rate)
            if len(self._seen) > _REMEMBERED:
                self._seen.popitem(last=False)
        return self._seen[key]

    def _embed(self, samples: np.ndarray, rate: int) -> np.ndarray | Undefined:
        return self.network.embed(resampled(samples, rate, self.network.rate))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_seen": OrderedDict()}

    def aggregate(self, statistics: Mapping[str, np.ndarray], weights: np.ndarray) -> dict[str, np.ndarray]:
        return {"speaker_similarity": weighted_mean(statistics["cosine"], weights)}
