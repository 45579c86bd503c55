"""How much of the phones survives: Levenshtein phoneme similarity of an estimate with its clean signal.

    LPS = 1 - Lev(phones of the estimate, phones of the clean signal) / number of phones of the clean signal

(Pirklbauer et al., ITG Speech Communication 2023.) Both are what one recogniser hears, so no transcript is needed and
its own errors are part of the yardstick. The published script counts characters of the phones' spelling instead of
phones; that is `lps_char`, another number.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Self

import numpy as np
import torch

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
from metrics.networks.recognisers import Recogniser
from metrics.speech.signals import fault, resampled

REMEMBERED = 10_000
"""Clean signals whose phones are kept: several methods, or repeats, are held against the same ones."""


def lps(*, reference: Sequence[str | Sequence[str]], estimate: Sequence[str | Sequence[str]]) -> Values:
    """Similarity of phone sequences; a phone counts one, however it is spelled.

    Args:
        reference: `[B]` sequences of phones, or strings with spaces between the phones.
        estimate: `[B]`, likewise.

    Returns:
        `[B]` up to 1, unbounded below; Undefined where the reference has no phones.

    Raises:
        ValueError: lists of different lengths, or a single string.

    >>> lps(reference=["tʃ ɪ n"], estimate=["t ɪ n"]).values.item()
    0.6666666666666667
    """
    return _similarities(*_phones(reference, estimate))


def lps_char(*, reference: Sequence[str | Sequence[str]], estimate: Sequence[str | Sequence[str]]) -> Values:
    """Similarity of the phones' spellings, joined without spaces; each code point counts one. As `lps`.

    >>> lps_char(reference=["tʃ ɪ n"], estimate=["t ɪ n"]).values.item()
    0.75
    """
    said, heard = _phones(reference, estimate)
    return _similarities(["".join(phones) for phones in said], ["".join(phones) for phones in heard])


def _phones(
    reference: Sequence[str | Sequence[str]], estimate: Sequence[str | Sequence[str]]
) -> tuple[list[list[str]], list[list[str]]]:
    for name, sequences in (("reference", reference), ("estimate", estimate)):
        if isinstance(sequences, str):
            raise ValueError(f"Expected a list of phone sequences as {name}, got one string; put it into a list")
    if len(reference) != len(estimate):
        raise ValueError(f"Expected as many references as estimates, got {len(reference)} and {len(estimate)}")
    split = [
        [one.split() if isinstance(one, str) else list(one) for one in sequences] for sequences in (reference, estimate)
    ]
    return split[0], split[1]


def _similarities(reference: Sequence[Sequence[str]], estimate: Sequence[Sequence[str]]) -> Values:
    from rapidfuzz.distance import Levenshtein

    values = [
        1 - Levenshtein.distance(said, heard) / len(said) if said else float("nan")
        for said, heard in zip(reference, estimate, strict=True)
    ]
    none = Undefined("the recogniser hears no phones in the reference")
    found = torch.tensor(values, dtype=torch.float64, device="cpu")
    return checked_values(found, [None if said else none for said in reference], ["the similarity"])


class LevenshteinPhonemeSimilarity(Metric):
    """LPS of phones, and of their characters where they are spelled in IPA; rows hold the phones as well."""

    name = "lps"
    version = 1

    def __init__(self, recogniser: Recogniser) -> None:
        if recogniser.units == "words":
            raise ValueError("Expected a recogniser of phones, got one of words; it can serve the metric wer")
        self.recogniser = recogniser
        self._remembered: dict[bytes, str] = {}
        # The name of an ARPAbet phone is a code; how many of its letters agree means nothing.
        self.reports = self._reports(spelled=recogniser.units == "ipa")

    @staticmethod
    def _reports(spelled: bool) -> tuple[Report, ...]:
        how = (
            "1 - edit distance over length of the phones that one recogniser hears in the estimate and the clean signal"
        )
        reports = [Report("lps", "LPS", True, (-np.inf, 1.0), weigh="sample", description=f"{how}.")]
        if spelled:
            about = f"The same of the characters that spell the phones: {how}; URGENT 2024's published script."
            reports.append(Report("lps_char", "LPS (char)", True, (-np.inf, 1.0), weigh="sample", description=about))
        return tuple(reports)

    @classmethod
    def for_rows(cls, signature: str, statistics: Collection[str]) -> Self:
        """As of every metric; of characters too where the rows hold it."""
        metric = cls.__new__(cls)
        metric.reports = cls._reports("lps_char" in statistics)
        return metric

    @classmethod
    def create(cls, networks: Any, phoneme_recogniser: str = "sphinx_allphone") -> LevenshteinPhonemeSimilarity:
        """Make the metric.

        Args:
            phoneme_recogniser: `sphinx_allphone` (carried), or `wav2vec2_espeak` (the papers'), whose folder may
                follow a colon.
        """
        return cls(networks(phoneme_recogniser))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_remembered": {}}

    def signature(self, report: str) -> str:
        about = f"phones:{self.recogniser.signature}|fs:{self.recogniser.rate}|resample:soxr-hq|ref:clean-signal"
        return f"{about}|unit:{'char' if report == 'lps_char' else self.recogniser.units}|v{self.version}"

    def measure(self, items: Sequence[SpeechItem]) -> list[Statistics | Undefined | Failed]:
        """Rows of each report, and of `phones` and `reference_phones`.

        A silent estimate has no phones left and scores 0. The two signals need not be equally long.
        """
        faults = [fault(item) for item in items]
        sound = [item for item, wrong in zip(items, faults, strict=True) if wrong is None]
        heard = iter(self._estimates(sound))
        said = iter(self._references(sound))
        return [self._row(next(said), next(heard)) if wrong is None else wrong for wrong in faults]

    def _row(self, said: str, heard: str) -> Statistics | Undefined:
        values: dict[str, float | str] = {}
        for report in self.reports:
            measure = lps_char if report.name == "lps_char" else lps
            found = measure(reference=[said], estimate=[heard])
            if isinstance(found.reasons[0], Undefined):
                return found.reasons[0]
            values[report.name] = float(found.values[0])
        return {**values, "phones": heard, "reference_phones": said}

    def _estimates(self, items: Sequence[SpeechItem]) -> list[str]:
        return self.recogniser.transcribe([resampled(i.estimate, i.rate, self.recogniser.rate) for i in items])

    def _references(self, items: Sequence[SpeechItem]) -> list[str]:
        """Phones of the clean signals, each different one recognised once."""
        keys = [_fingerprint(item) for item in items]
        found = {key: self._remembered[key] for key in keys if key in self._remembered}
        new = {key: item for key, item in zip(keys, items, strict=True) if key not in found}
        signals = [resampled(np.asarray(i.reference), i.rate, self.recogniser.rate) for i in new.values()]
        found |= dict(zip(new, self.recogniser.transcribe(signals), strict=True))
        self._remembered |= found
        while len(self._remembered) > REMEMBERED:
            del self._remembered[next(iter(self._remembered))]
        return [found[key] for key in keys]

    def aggregate(self, statistics: Mapping[str, np.ndarray], weights: np.ndarray) -> dict[str, np.ndarray]:
        return {r.name: weighted_mean(np.asarray(statistics[r.name], np.float64), weights) for r in self.reports}


def _fingerprint(item: SpeechItem) -> bytes:
    samples = np.ascontiguousarray(item.reference)
    return hashlib.blake2b(samples.data, digest_size=16, key=f"{item.rate} {samples.dtype}".encode()).digest()
