"""torchmetrics classes over the functions of this package, for training loops: `update` batches, `compute` once.

They differ from torchmetrics' own in what happens to signals that have no value: those are left out of the mean and
counted in `coverage()`, never taken as zero; and in `lengths`, so that padded batches give what their items give.
States are sums in full precision, so that processes reduce to what one process would have found, whatever dtype the
module that holds a metric is cast to. In a `MetricCollection` each is updated by itself, as if it were alone.

>>> import torch
>>> metric = SiSdr()
>>> clean = torch.sin(torch.arange(800) / 5)
>>> metric.update(reference=clean, estimate=clean + 0.1 * torch.cos(torch.arange(800) / 5))
>>> round(float(metric.compute()))
20
"""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
import torchmetrics
from torch import Tensor, nn

from metrics.metric import Values, checked_values

if TYPE_CHECKING:
    from metrics.networks.dnsmos_models import DnsmosModels


class Sums(torchmetrics.Metric):
    """A metric that is its definition, not its state, and whose states are sums that nothing rounds."""

    is_differentiable: ClassVar[bool] = False
    full_state_update: ClassVar[bool] = False

    def __init__(self, *definition: Any, **kwargs: Any) -> None:
        """Make the metric.

        Args:
            definition: what, beside the class, decides its values.
            kwargs: torchmetrics' own.
        """
        super().__init__(**kwargs)
        # A MetricCollection takes two metrics for one, and updates only that, if their states agree in name and value
        # after the first batch. NaN agrees with nothing; the name keeps states of different definitions from merging.
        name = f"{type(self).__qualname__}({', '.join(map(str, definition))})"
        self.add_state(name, torch.tensor(torch.nan, dtype=torch.float64), dist_reduce_fx="max")

    def _apply(self, fn: Callable[[Tensor], Tensor], exclude_state: Sequence[str] = "") -> nn.Module:
        """Go where the module goes, but keep the precision of the sums."""
        return super()._apply(lambda tensor: tensor.to(fn(tensor).device), exclude_state)


class SpeechMean(Sums):
    """Mean over all signals that have a value; subclasses say of what."""

    names: ClassVar[tuple[str, ...]] = ()
    """Of the values, where a signal has several; `compute` then returns a dictionary."""
    total: Tensor
    scored: Tensor
    seen: Tensor

    def __init__(self, *definition: Any, **kwargs: Any) -> None:
        super().__init__(*definition, **kwargs)
        shape = (max(len(self.names), 1),)
        self.add_state("total", torch.zeros(shape, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("scored", torch.zeros(shape, dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("seen", torch.zeros(1, dtype=torch.int64), dist_reduce_fx="sum")
        self.reasons: Counter[str] = Counter()
        """Why signals had no value, in this process, since the last `reset`."""

    @abstractmethod
    def values(self, **arguments: Any) -> Values:
        """Measure one batch."""

    def update(self, **arguments: Any) -> None:
        """Take in a batch, which may be empty; arguments as those of the function."""
        found = self.values(**arguments)
        values, reasons = checked_values(*found, self.names or (type(self).__name__,))
        values = values.reshape(len(reasons), len(self.total)).to(self.total)
        finite = torch.isfinite(values)
        # Not in place: states that were reset under inference mode could not be changed outside it.
        self.total = self.total + torch.where(finite, values, 0.0).sum(0)
        self.scored = self.scored + finite.sum(0)
        self.seen = self.seen + len(reasons)
        self.reasons.update(reason.reason for reason in reasons if reason is not None)

    def forward(self, **arguments: Any) -> Any:
        """Take in a batch, and return what `compute` gives for it alone."""
        before = self.reasons
        value = super().forward(**arguments)  # resets on its way
        self.reasons = before + self.reasons
        return value

    def reset(self) -> None:
        """Forget all batches."""
        super().reset()
        self.reasons = Counter()

    def compute(self) -> Tensor | dict[str, Tensor]:
        """The mean, NaN where nothing had a value."""
        mean = torch.where(self.scored > 0, self.total / self.scored.clamp(min=1), torch.nan)
        return dict(zip(self.names, mean, strict=True)) if self.names else mean[0]

    def coverage(self) -> tuple[int, int]:
        """How many signals had a value, and how many were seen, in this process."""
        return int(self.scored.min()), int(self.seen)


class Pesq(SpeechMean):
    """Mean PESQ (MOS-LQO); arguments of `update` as those of `metrics.speech.pesq.pesq` but for rate and mode."""

    higher_is_better = True

    def __init__(self, rate: int = 16_000, mode: str = "wb", workers: int | None = None, **kwargs: Any) -> None:
        super().__init__(rate, mode, **kwargs)
        if mode not in ("wb", "nb") or rate not in ((16_000,) if mode == "wb" else (8_000, 16_000)):
            raise ValueError(f"Expected mode wb at 16000 Hz, or nb at 8000 or 16000 Hz; got {mode} at {rate} Hz")
        self.rate, self.mode, self.workers = rate, mode, workers

    def values(self, **arguments: Any) -> Values:
        from metrics.speech.pesq import pesq

        return pesq(rate=self.rate, mode=self.mode, workers=self.workers, **arguments)


class Stoi(SpeechMean):
    """Mean STOI and ESTOI, from one pass."""

    higher_is_better = True
    names = ("stoi", "estoi")

    def __init__(self, rate: int = 16_000, **kwargs: Any) -> None:
        super().__init__(rate, **kwargs)
        self.rate = rate

    def values(self, **arguments: Any) -> Values:
        from metrics.speech.stoi import intelligibility

        return intelligibility(rate=self.rate, **arguments)


class SiSdr(SpeechMean):
    """Mean scale-invariant SDR in dB, without mean removal."""

    higher_is_better = True

    def values(self, **arguments: Any) -> Values:
        from metrics.speech.si_sdr import si_sdr

        return si_sdr(**arguments)


class SiSnr(SpeechMean):
    """Mean scale-invariant SNR in dB: SI-SDR of signals whose mean was removed."""

    higher_is_better = True

    def values(self, **arguments: Any) -> Values:
        from metrics.speech.si_sdr import si_snr

        return si_snr(**arguments)


class Sdr(SpeechMean):
    """Mean SDR in dB (BSS-eval, a filter of 512 taps allowed)."""

    higher_is_better = True

    def values(self, **arguments: Any) -> Values:
        from metrics.speech.sdr import sdr

        return sdr(**arguments)


class Dnsmos(SpeechMean):
    """Mean DNSMOS: P.808, and SIG, BAK, OVRL of P.835."""

    higher_is_better = True
    names = ("dnsmos_p808", "dnsmos_sig", "dnsmos_bak", "dnsmos_ovrl")

    def __init__(self, rate: int = 16_000, **kwargs: Any) -> None:
        super().__init__(rate, **kwargs)
        self.rate = rate
        self._models: DnsmosModels | None = None

    def values(self, **arguments: Any) -> Values:
        from metrics.networks.dnsmos_models import load
        from metrics.speech.dnsmos import dnsmos

        arguments.pop("reference", None)  # a MetricCollection hands everything to everyone
        self._models = self._models or load()
        return dnsmos(rate=self.rate, models=self._models, **arguments)


class WordErrorRate(Sums):
    """Corpus word error rate: all errors over all words of the references, across processes."""

    higher_is_better = False
    errors: Tensor
    words: Tensor

    def __init__(self, normaliser: str = "whisper_english", **kwargs: Any) -> None:
        super().__init__(normaliser, **kwargs)
        self.normaliser = normaliser
        self.add_state("errors", torch.zeros(3, dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("words", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, *, reference: Sequence[str], estimate: Sequence[str]) -> None:
        """Take in what was said, and what was recognised."""
        from metrics.speech.word_errors import word_errors

        found = word_errors(reference=reference, estimate=estimate, normaliser=self.normaliser)
        edits = [[one.substitutions, one.deletions, one.insertions] for one in found]
        counts = torch.tensor(edits, dtype=torch.int64, device=self.errors.device).reshape(-1, 3)
        self.errors = self.errors + counts.sum(0)
        self.words = self.words + sum(one.length for one in found)

    def compute(self) -> Tensor:
        """The rate, NaN where the references hold no word."""
        rate = self.errors.sum().double() / self.words.clamp(min=1)
        return rate if self.words > 0 else torch.full_like(rate, torch.nan)
