"""Which recogniser counts word errors by default, and transcripts that are kept, so that nothing is heard twice."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.datasets.talkers.sentences import are_sentences
from benchmark.files import write_whole
from benchmark.remarks import remark
from benchmark.sources import source_of_modules

OF_WORDS = ("wer", "wer_by_clip")
"""Metrics that count words: of what clips of fixed length cut off they know nothing."""
GRID, ENGLISH, WEAK = "sphinx_grid", "whisper:tiny.en", "sphinx_lm"


def default_recogniser(texts: Iterable[str | None]) -> tuple[str, str]:
    """The recogniser for what is said, and a line that tells which it is and why.

    It follows from the texts alone, never from what is installed: the same command gives the same number everywhere,
    or none, with the reason.
    """
    if are_sentences(texts):
        name, why = GRID, "all texts are sentences of the GRID grammar"
    else:
        name, why = ENGLISH, f"not every text is a GRID sentence; the weak {WEAK} needs no further package"
    return name, f"words by {name}: {why}. Choose another with --metric-set recogniser=NAME"


@dataclass
class KeptTranscripts:
    """A Recogniser that keeps each transcript as a small file, named by the samples that it heard.

    Other texts, another normaliser, the clean speech beside another method: none needs a second hearing. Transcripts
    lie in a folder for each signature and state of the recogniser's code, and may be deleted at any time.
    """

    recogniser: Any
    home: Path
    """Folder of all recognisers' transcripts."""

    def __post_init__(self) -> None:
        self.signature: str = self.recogniser.signature
        self.rate: int = self.recogniser.rate
        self.units: str = self.recogniser.units
        also = f"{self.signature}|{_settings_of(getattr(self.recogniser, 'folder', None))}"
        code = source_of_modules(type(self.recogniser).__module__, within=("metrics",), also=also)
        self.folder = self.home / code

    def transcribe(self, signals: Sequence[np.ndarray]) -> list[str]:
        """As the recogniser's own."""
        return [self._transcript(signal) for signal in signals]

    def _transcript(self, signal: np.ndarray) -> str:
        about = f"{signal.dtype.str}{list(signal.shape)}".encode()
        name = hashlib.sha256(about + np.ascontiguousarray(signal).tobytes()).hexdigest()[:32]
        path = self.folder / name[:2] / f"{name}.txt"
        if path.is_file():
            return path.read_text(encoding="utf-8")
        text = str(self.recogniser.transcribe([signal])[0])
        try:
            write_whole(path, lambda partial: partial.write_text(text, encoding="utf-8"))
        except OSError as error:  # what was heard counts all the same
            remark(f"{self.home}: transcripts cannot be kept: {error.strerror}")
        return text


def _settings_of(folder: Path | None) -> str:
    """Hash of a model's small files, its tokenizer among them: signatures tell its weights alone."""
    digest = hashlib.sha256()
    for path in sorted([*folder.glob("*.json"), *folder.glob("*.txt")] if folder else []):
        digest.update(f"\0{path.name}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:8]


def load(name: str, device: str = "cpu") -> KeptTranscripts:
    """The recogniser of that name, see `metrics.networks.recognisers`, with its transcripts kept below `home()`."""
    from benchmark.weights.table import home

    recogniser = importlib.import_module("metrics.networks.recognisers").load(name, device)
    return KeptTranscripts(recogniser, home() / "transcripts")
