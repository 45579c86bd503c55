"""What is done to a text before its words are counted: named and versioned, because it moves a word error rate.

A rate without its normaliser's name cannot be compared: contractions, numbers and spellings alone are worth half a
point on the usual corpora.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
"""Words of the ten digits."""


@dataclass(frozen=True)
class Normaliser:
    """A function of a text; call it. Holds nothing but its name, so that it goes into a worker as it is."""

    name: str
    version: str

    def __call__(self, text: str) -> str:
        return _FUNCTIONS[self.name]()(text)

    @property
    def signature(self) -> str:
        """As it stands in a metric's signature, e.g. `norm:grid-1`."""
        return f"norm:{self.name}-{self.version}"


def normaliser(name: str) -> Normaliser:
    """The normaliser of that name: `whisper_english`, `grid` or `none`.

    - `whisper_english`: OpenAI's English one (Radford et al. 2023, App. C), from the package whisper_normalizer. It
      writes number words as digits, joins runs of them, and takes the letter o for a nought: `at o two` becomes
      `at 02`, so it does not suit sentences that spell letters.
    - `grid`: for sentences of the GRID grammar, see `grid`.
    - `none`: the text as it is. Words are still what stands between white space.

    Raises:
        ValueError: there is none of that name.
        ModuleNotFoundError: `whisper_english` without its package.

    >>> normaliser("grid")("Bin blue at F2, now.")
    'bin blue at f two now'
    """
    if name not in _FUNCTIONS:
        close = difflib.get_close_matches(name, _FUNCTIONS, 1)
        meant = f" Did you mean '{close[0]}'?" if close else ""
        raise ValueError(f"Unknown normaliser '{name}'.{meant} Normalisers: {', '.join(_FUNCTIONS)}")
    return Normaliser(name, _whisper_version() if name == "whisper_english" else "1")


def grid(text: str) -> str:
    """Lower case, letters and digits only, each digit a word; `zed` is z, and `sil` and `sp` of GRID's alignments go.

    >>> grid("sil Set white with P 2, soon! sil")
    'set white with p two soon'
    """
    words = re.findall(r"[^\W\d_]+(?:'[^\W\d_]+)*|[0-9]", text.lower().replace("’", "'"))
    spoken = (DIGITS[int(word)] if word in "0123456789" else "z" if word == "zed" else word for word in words)
    return " ".join(word for word in spoken if word not in ("sil", "sp"))


@cache
def _whisper() -> Callable[[str], str]:
    _whisper_version()
    from whisper_normalizer.english import EnglishTextNormalizer

    return EnglishTextNormalizer()


@cache
def _whisper_version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("whisper_normalizer")
    except PackageNotFoundError as error:
        raise ModuleNotFoundError(
            "The normaliser 'whisper_english' needs the package whisper_normalizer: pip install whisper_normalizer"
        ) from error


_FUNCTIONS: dict[str, Callable[[], Callable[[str], str]]] = {
    "whisper_english": _whisper,
    "grid": lambda: grid,
    "none": lambda: str,
}
