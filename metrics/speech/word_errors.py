"""How many words a recogniser gets wrong: word and character error rates of a corpus (Levenshtein 1966).

    WER = (S + D + I) / N

with the substitutions S, deletions D and insertions I of the shortest edit of all references into their transcripts,
summed over the corpus before dividing by the N words of the references: long sentences weigh more than short ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any, ClassVar, NamedTuple

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
    weighted_ratio,
)
from metrics.networks.recognisers import Recogniser
from metrics.speech.normalisers import Normaliser
from metrics.speech.normalisers import normaliser as find_normaliser
from metrics.speech.signals import fault, resampled


class Errors(NamedTuple):
    """The edits that turn a reference into its estimate."""

    substitutions: int
    deletions: int
    insertions: int
    length: int
    """Words, or characters, of the reference."""

    @property
    def total(self) -> int:
        return self.substitutions + self.deletions + self.insertions


def word_errors(
    *, reference: Sequence[str], estimate: Sequence[str], normaliser: str = "whisper_english"
) -> list[Errors]:
    """Count S, D and I of each sentence.

    Where several shortest edits exist, their total is the same and its parts are those of rapidfuzz's.

    Args:
        reference: sentences that were said, `[B]`.
        estimate: what was understood, `[B]`; empty where nothing was.
        normaliser: see `metrics.speech.normalisers`.

    Raises:
        ValueError: lists of different lengths, or not of strings.

    >>> word_errors(reference=["set white in a two now"], estimate=["set wide in two now"], normaliser="none")
    [Errors(substitutions=1, deletions=1, insertions=0, length=6)]
    """
    return [_errors(*pair) for pair in _tokens(reference, estimate, normaliser)]


def character_errors(
    *, reference: Sequence[str], estimate: Sequence[str], normaliser: str = "whisper_english"
) -> list[Errors]:
    """Count S, D and I of each sentence's characters; one space between words, and it counts. As `word_errors`."""
    return [_errors(" ".join(said), " ".join(heard)) for said, heard in _tokens(reference, estimate, normaliser)]


def error_rate(*, reference: Sequence[str], estimate: Sequence[str], normaliser: str = "whisper_english") -> Values:
    """Word error rate of each sentence, without an alignment.

    The mean of these is not the corpus rate, which is `wer`.

    Returns:
        `[B]` from 0, unbounded above; Undefined where the reference has no words.

    >>> error_rate(reference=["set white in a two now", ""], estimate=["set wide in two now", "a"]).values.tolist()
    [0.3333333333333333, nan]
    """
    from rapidfuzz.distance import Levenshtein

    rates, reasons = [], []
    for said, heard in _tokens(reference, estimate, normaliser):
        rates.append(Levenshtein.distance(said, heard) / len(said) if said else float("nan"))
        reasons.append(None if said else Undefined("the reference has no words"))
    return checked_values(torch.tensor(rates, dtype=torch.float64, device="cpu"), reasons, ["the rate"])


def wer(*, reference: Sequence[str], estimate: Sequence[str], normaliser: str = "whisper_english") -> float:
    """Word error rate of a corpus, total errors over total words of the references.

    What is understood where nothing was said counts as insertions, and adds no words to divide by (as in jiwer).

    Returns:
        From 0, unbounded above; NaN where no reference has a word.

    >>> wer(reference=["set white", "now"], estimate=["set wide", "now"], normaliser="none")
    0.3333333333333333
    """
    from rapidfuzz.distance import Levenshtein

    pairs = _tokens(reference, estimate, normaliser)
    return _ratio(sum(Levenshtein.distance(*pair) for pair in pairs), sum(len(said) for said, _ in pairs))


def cer(*, reference: Sequence[str], estimate: Sequence[str], normaliser: str = "whisper_english") -> float:
    """Character error rate of a corpus; one space between words, and it counts (as in jiwer). As `wer`.

    >>> cer(reference=["ab cd"], estimate=["abcd"], normaliser="none")
    0.2
    """
    from rapidfuzz.distance import Levenshtein

    pairs = [(" ".join(said), " ".join(heard)) for said, heard in _tokens(reference, estimate, normaliser)]
    return _ratio(sum(Levenshtein.distance(*pair) for pair in pairs), sum(len(said) for said, _ in pairs))


def _ratio(errors: int, length: int) -> float:
    return errors / length if length else float("nan")


def _tokens(reference: Sequence[str], estimate: Sequence[str], normaliser: str) -> list[tuple[list[str], list[str]]]:
    """Words of each pair of sentences."""
    normalise = find_normaliser(normaliser)
    for name, sentences in (("reference", reference), ("estimate", estimate)):
        if isinstance(sentences, str):
            raise ValueError(f"Expected a list of sentences as {name}, got one string; put it into a list")
        wrong = next((number for number, sentence in enumerate(sentences) if not isinstance(sentence, str)), None)
        if wrong is not None:
            kind = type(sentences[wrong]).__name__
            raise ValueError(f"Expected strings as {name}, got {kind} at {wrong}; leave such pairs out")
    if len(reference) != len(estimate):
        raise ValueError(f"Expected as many references as estimates, got {len(reference)} and {len(estimate)}")
    if normaliser == "none":
        return [(said.split(), heard.split()) for said, heard in zip(reference, estimate, strict=True)]
    return [(normalise(s).split(), normalise(h).split()) for s, h in zip(reference, estimate, strict=True)]


def _errors(said: Sequence[str], heard: Sequence[str]) -> Errors:
    from rapidfuzz.distance import Levenshtein

    if said == heard:
        return Errors(0, 0, 0, len(said))
    tags = [edit[0] for edit in Levenshtein.editops(said, heard).as_list()]
    return Errors(tags.count("replace"), tags.count("delete"), tags.count("insert"), len(said))


_OVER_WORDS = "over words of the references, summed over the corpus first."


class WordErrors(Metric):
    """WER and CER of what a recogniser understands of the estimate, against the words that were said.

    Rows hold the raw transcript, so that other normalisers can be tried without recognising again: see `rows`.
    """

    name = "wer"
    version = 1
    _pooled: ClassVar[str] = "corpus"

    reports = tuple(
        Report(name, title, False, (0.0, high), unit="%", weigh="sample", description=f"{what} {how}")
        for name, title, high, what, how in (
            ("wer", "WER", np.inf, "Substitutions, deletions and insertions", _OVER_WORDS),
            ("cer", "CER", np.inf, "The same of characters,", "the spaces between words among them."),
            ("wer_substitutions", "Sub", 1.0, "Substitutions", _OVER_WORDS),
            ("wer_deletions", "Del", 1.0, "Deletions", _OVER_WORDS),
            ("wer_insertions", "Ins", np.inf, "Insertions", _OVER_WORDS),
        )
    )

    def __init__(self, recogniser: Recogniser, normaliser: Normaliser) -> None:
        if recogniser.units != "words":
            raise ValueError(
                f"Expected a recogniser of words, got one of {recogniser.units} phones; it can serve the metric lps"
            )
        self.recogniser, self.normaliser = recogniser, normaliser

    @classmethod
    def create(cls, networks: Any, recogniser: str = "sphinx_grid", normaliser: str | None = None) -> WordErrors:
        """Make the metric.

        Args:
            recogniser: `sphinx_grid` for sentences of the GRID grammar, `whisper:tiny.en` for other English,
                `sphinx_lm`, `whisper`, `wav2vec2`, `quartznet`; a model of one's own follows a colon: see
                `metrics.networks.recognisers`.
            normaliser: of both texts; by default `grid` with `sphinx_grid`, and `whisper_english` otherwise.
        """
        fitting = "grid" if recogniser == "sphinx_grid" else "whisper_english"
        return cls(networks(recogniser), find_normaliser(normaliser or fitting))

    def signature(self, report: str) -> str:
        about = (
            f"asr:{self.recogniser.signature}|fs:{self.recogniser.rate}|resample:soxr-hq|{self.normaliser.signature}"
        )
        about += "|chars:spaces" if report == "cer" else ""
        about += "" if report in ("wer", "cer") else f"|align:rapidfuzz-{version('rapidfuzz')}"
        return f"{about}|agg:{self._pooled}|v{self.version}"

    def transcripts(self, items: Sequence[SpeechItem]) -> list[str | Failed]:
        """What the recogniser understands of each estimate, as it puts it."""
        faults = [fault(item, reference=False) for item in items]
        rate = self.recogniser.rate
        sound = [resampled(i.estimate, i.rate, rate) for i, wrong in zip(items, faults, strict=True) if wrong is None]
        heard = iter(self.recogniser.transcribe(sound))
        return [next(heard) if wrong is None else Failed(wrong.reason) for wrong in faults]

    def rows(
        self, texts: Sequence[str | None], transcripts: Sequence[str | Failed]
    ) -> list[Statistics | Undefined | Failed]:
        """Rows from the words that were said and from transcripts, new or stored."""
        return [self._row(text, transcript) for text, transcript in zip(texts, transcripts, strict=True)]

    def _row(self, text: str | None, transcript: str | Failed) -> Statistics | Undefined | Failed:
        if text is None:
            return Undefined("the words that are said are not known; where files are scored, --texts gives them")
        if isinstance(transcript, Failed):
            return transcript
        said, heard = self.normaliser(text).split(), self.normaliser(transcript).split()
        words, characters = _errors(said, heard), _errors(" ".join(said), " ".join(heard))
        return {
            "words": float(words.length),
            "substitutions": float(words.substitutions),
            "deletions": float(words.deletions),
            "insertions": float(words.insertions),
            "characters": float(characters.length),
            "character_errors": float(characters.total),
            "transcript": transcript,
        }

    def measure(self, items: Sequence[SpeechItem]) -> list[Statistics | Undefined | Failed]:
        """Rows of `words`, `substitutions`, `deletions`, `insertions`, `characters`, `character_errors`, `transcript`.

        Silence is measured: nothing is understood, and all words are deleted. A text without words gives a row too,
        for what is understood there is inserted. Items without a text are not recognised.
        """
        known = [item for item in items if item.text is not None]
        heard = iter(self.transcripts(known))
        none = Failed("not recognised")
        return self.rows([item.text for item in items], [none if i.text is None else next(heard) for i in items])

    def counts(self, report: str, statistics: Mapping[str, np.ndarray]) -> np.ndarray:
        return np.asarray(statistics["characters" if report == "cer" else "words"], np.float64)

    def why_undefined(self, report: str) -> str:
        return f"the reference has no {'characters' if report == 'cer' else 'words'}"

    def aggregate(self, statistics: Mapping[str, np.ndarray], weights: np.ndarray) -> dict[str, np.ndarray]:
        count = {name: np.asarray(values, np.float64) for name, values in statistics.items() if name != "transcript"}
        parts = {name: count[name] for name in ("substitutions", "deletions", "insertions")}
        return {
            "wer": weighted_ratio(sum(parts.values()), count["words"], weights),
            "cer": weighted_ratio(count["character_errors"], count["characters"], weights),
            **{f"wer_{name}": weighted_ratio(part, count["words"], weights) for name, part in parts.items()},
        }


class WordErrorsByClip(WordErrors):
    """Mean over clips of the word error rate of each, as some papers print it (LipDiffuser, Sec. 4.3).

    A wrong word in a short clip counts more than in a long one; where all clips have as many words it is the corpus
    rate.
    """

    name = "wer_by_clip"
    version = 1
    _pooled: ClassVar[str] = "mean-of-clips"

    reports = (
        Report(
            "wer_by_clip",
            "WER/clip",
            False,
            (0.0, np.inf),
            unit="%",
            weigh="sample",
            description="Mean over clips of each clip's substitutions, deletions and insertions over its words.",
        ),
    )

    def signature(self, report: str) -> str:
        return super().signature("wer")

    def _row(self, text: str | None, transcript: str | Failed) -> Statistics | Undefined | Failed:
        row = super()._row(text, transcript)
        if isinstance(row, Mapping) and not row["words"]:
            return Undefined(self.why_undefined("wer"))
        return row

    def counts(self, report: str, statistics: Mapping[str, np.ndarray]) -> np.ndarray:
        return np.ones(len(statistics["words"]))

    def aggregate(self, statistics: Mapping[str, np.ndarray], weights: np.ndarray) -> dict[str, np.ndarray]:
        errors = sum(np.asarray(statistics[name]) for name in ("substitutions", "deletions", "insertions"))
        return {"wer_by_clip": weighted_mean(errors / np.asarray(statistics["words"], np.float64), weights)}
