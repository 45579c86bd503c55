"""When which phoneme is spoken in a recording of a talker: the synthesiser tells it again."""

from __future__ import annotations

from benchmark.datasets.talkers.identity import person
from benchmark.datasets.talkers.sentences import Sentence
from benchmark.datasets.talkers.voice import speak


def phonemes_of(number: int, sentence: Sentence) -> list[tuple[str, float]]:
    """The phonemes of a person's recording of a sentence.

    Args:
        number: the person's.

    Returns:
        IPA letters and the start in seconds of each, in order and to a millisecond; empty letters are silence, as at
        both ends.

    Raises:
        MissingDependency: espeak-ng or soxr is not installed.
    """
    phones = speak(person(number), sentence).phonemes
    starts = [(phone.ipa, round(phone.start_s, 3)) for phone in phones]
    return [("", 0.0), *starts, ("", round(phones[-1].end_s, 3))]
