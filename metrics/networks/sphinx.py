"""Words and phones through pocketsphinx, whose package carries its model of US English: works offline, in real time.

Three ways to listen: for sentences of the GRID grammar (Cooke et al., JASA 120(5), 2006, Table I), for any English
with the carried trigrams, and for phones without any words. The model is old and small. Its error rates on free speech
are many times those of today's networks, so compare them with each other, not with published ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import numpy as np

from metrics.networks.recognisers import checked

GRAMMAR = (
    ("bin", "lay", "place", "set"),
    ("blue", "green", "red", "white"),
    ("at", "by", "in", "with"),
    tuple("abcdefghijklmnopqrstuvxyz"),
    ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    ("again", "now", "please", "soon"),
)
"""GRID's sentences: one word of each. W is the letter that it leaves out."""
PAD_S = 0.1
"""Seconds of silence put before and behind a signal: the grammar wants to enter and to leave through silence."""

PEAK = 0.5
"""Level to which a signal's largest sample is brought, so that levels do not matter."""
BEAMS = {"beam": 1e-80, "pbeam": 1e-80, "wbeam": 1e-60}
"""How much less likely than the best a state, a phone and a word may be, with the grammar. The package's own beams lose
the end of noisy sentences, and the grammar is small enough for wider ones."""

_BRITISH = {"z": "Z EH D"}
"""Pronunciations that GRID's talkers use and the carried dictionary lacks."""


class Sphinx:
    """A Recogniser; `kind` is `sphinx_grid`, `sphinx_lm` or `sphinx_allphone`.

    Every signal gets a decoder of its own. One that has decoded before starts from the Gaussians of its last frame,
    and phones and words then depend on the order of the files. A new one without the large dictionary takes
    milliseconds.
    """

    rate = 16_000

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.units = "arpabet" if kind == "sphinx_allphone" else "words"
        self.signature = f"{kind}-pocketsphinx{version('pocketsphinx')},peak{PEAK},pad{PAD_S}"
        self.signature += f",beam{BEAMS['beam']:g}" if kind == "sphinx_grid" else ""
        self._pronunciations: dict[str, str] = {}

    def transcribe(self, signals: Sequence[np.ndarray]) -> list[str]:
        """As `Recogniser.transcribe`; with the grammar, what fits none of its sentences is empty."""
        return [self._transcribe(signal) for signal in checked(signals)]

    def _transcribe(self, signal: np.ndarray) -> str:
        peak = np.abs(signal).max(initial=0.0)
        # With their mean taken away the cepstra of nothing at all are those of average speech, and phones are heard.
        if peak == 0:
            return ""
        # Its samples are 16-bit steps: a quiet signal would lose its consonants to them, a loud one be clipped.
        steps = np.round(signal / peak * (32768 * PEAK)).astype("<i2")
        decoder = self._decoder()
        decoder.start_utt()
        decoder.process_raw(np.pad(steps, int(PAD_S * self.rate)).tobytes(), no_search=False, full_utt=True)
        decoder.end_utt()
        found = decoder.hyp()
        text = found.hypstr if found else ""
        if self.kind != "sphinx_allphone":
            return str(text)
        return " ".join(phone for phone in text.split() if phone != "SIL" and not phone.startswith("+"))

    def _decoder(self) -> Any:
        import pocketsphinx

        # The mean that is taken away from the cepstra is the whole utterance's, not a running one; and only fatal
        # messages, for the grammar reports silence as an error.
        common = {"cmn": "batch", "loglevel": "FATAL"}
        folder = pocketsphinx.get_model_path("en-us")
        if self.kind == "sphinx_lm":
            return pocketsphinx.Decoder(**common)
        if self.kind == "sphinx_allphone":
            return pocketsphinx.Decoder(lm=None, dict=None, allphone=f"{folder}/en-us-phone.lm.bin", **common)
        # The best path through the lattice may stop in the middle of a sentence; the search itself never does.
        decoder = pocketsphinx.Decoder(lm=None, dict=None, bestpath=False, **BEAMS, **common)
        self._pronunciations = self._pronunciations or _of_grammar(f"{folder}/cmudict-en-us.dict")
        for word, phones in self._pronunciations.items():
            decoder.add_word(word, phones, False)
        words = " ".join(f"( {' | '.join(words)} )" for words in GRAMMAR)
        decoder.add_jsgf_string("grid", f"#JSGF V1.0; grammar grid; public <sentence> = {words};")
        decoder.activate_search("grid")
        return decoder


def load(kind: str, model: str | None, device: str = "cpu") -> Sphinx:
    """The recogniser of that kind; always on the CPU.

    Raises:
        ValueError: a model was given, for which there is no use.
    """
    if model is not None:
        raise ValueError(f"Expected '{kind}' alone, got '{kind}:{model}': it uses the model in pocketsphinx")
    return Sphinx(kind)


def _of_grammar(dictionary: str) -> dict[str, str]:
    """The grammar's words, and their other pronunciations as `word(2)`, with their phones."""
    wanted = {word for words in GRAMMAR for word in words}
    found = {}
    with open(dictionary, encoding="utf-8") as lines:
        for line in lines:
            word, _, phones = line.strip().partition(" ")
            if word.partition("(")[0] in wanted:
                found[word] = phones
    return {**found, **{f"{word}(9)": phones for word, phones in _BRITISH.items()}}
