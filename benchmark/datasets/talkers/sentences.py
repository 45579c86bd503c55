"""What the talkers say: sentences of the GRID grammar (Cooke et al., JASA 120(5), 2006, Table I).

Six words each: command, colour, preposition, letter, digit, adverb; `bin blue at f two now` has the code `bbaf2n`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from benchmark.errors import UsageError
from benchmark.types import derive_seed

COMMANDS = ("bin", "lay", "place", "set")
COLOURS = ("blue", "green", "red", "white")
PREPOSITIONS = ("at", "by", "in", "with")
LETTERS = tuple("abcdefghijklmnopqrstuvxyz")
"""Without w, the only one whose name has more than one syllable."""
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
ADVERBS = ("again", "now", "please", "soon")
GRAMMAR = (COMMANDS, COLOURS, PREPOSITIONS, LETTERS, DIGITS, ADVERBS)
COUNT = 64_000
"""Sentences that the grammar has."""


@dataclass(frozen=True)
class Sentence:
    """Six words of the grammar, in its order."""

    words: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.words) != len(GRAMMAR) or any(
            word not in words for word, words in zip(self.words, GRAMMAR, strict=True)
        ):
            raise UsageError(f"Expected a sentence like 'bin blue at f two now' but got '{' '.join(self.words)}'")

    @property
    def text(self) -> str:
        return " ".join(self.words)

    @property
    def code(self) -> str:
        """The corpus's name for it: initials, with the digit as a figure and z for zero."""
        command, colour, preposition, letter, digit, adverb = self.words
        figure = "z" if digit == "zero" else str(DIGITS.index(digit))
        return command[0] + colour[0] + preposition[0] + letter + figure + adverb[0]

    @property
    def spoken(self) -> str:
        """The text as a synthesiser must be given it: a lone `a` would be read as the article, `eh` as the letter."""
        return " ".join("eh" if place == 3 and word == "a" else word for place, word in enumerate(self.words))

    @classmethod
    def parse(cls, code: str) -> Sentence:
        """The sentence that a code names.

        >>> Sentence.parse("bbaf2n").text
        'bin blue at f two now'
        """
        initials = [{word[0]: word for word in words} for words in GRAMMAR]
        initials[4] = {"z": "zero", **{str(value): DIGITS[value] for value in range(1, 10)}}
        try:
            return cls(tuple(table[sign] for table, sign in zip(initials, code.lower(), strict=True)))
        except (KeyError, ValueError) as error:
            raise UsageError(f"Expected a code like 'bbaf2n' but got '{code}'") from error


def sentence(number: int) -> Sentence:
    """Sentence `number` of the grammar, 0 to `COUNT` - 1, the last word varying fastest."""
    if not 0 <= number < COUNT:
        raise UsageError(f"Expected a sentence number from 0 to {COUNT - 1} but got {number}")
    words: list[str] = []
    for choices in reversed(GRAMMAR):
        number, place = divmod(number, len(choices))
        words.append(choices[place])
    return Sentence(tuple(reversed(words)))


def sentences(person: str, count: int) -> list[Sentence]:
    """The first `count` sentences of a person, all different; more never change the ones before.

    Args:
        person: the id.
        count: at most 10,000.
    """
    if not 0 <= count <= 10_000:
        raise UsageError(f"Expected 0 to 10000 sentences but got {count}")
    random = np.random.default_rng(derive_seed("talkers sentences", person))
    numbers: dict[int, None] = {}
    while len(numbers) < count:
        numbers[int(random.integers(COUNT))] = None
    return [sentence(number) for number in numbers]


def are_sentences(texts: Iterable[str | None]) -> bool:
    """Whether there are texts and all of them are sentences of the grammar; None is no text."""
    known = [text for text in texts if text is not None]
    try:
        for text in known:
            Sentence(tuple(re.findall(r"\w+", text.lower())))
    except UsageError:
        return False
    return bool(known)
