"""Words through Whisper and wav2vec2, and phones through wav2vec2, by Hugging Face's transformers.

Signals go through one at a time: padding to a common length changes what wav2vec2 answers, and a score must not depend
on which files it shared a batch with.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from importlib.metadata import version
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from metrics.networks.not_weights import not_weights
from metrics.networks.recognisers import checked
from metrics.plain import fresh

MODELS = {
    "whisper": "openai/whisper-large-v3",
    "wav2vec2": "facebook/wav2vec2-large-960h-lv60-self",
    "wav2vec2_espeak": "facebook/wav2vec2-lv-60-espeak-cv-ft",
}
"""The model of each kind where none is named."""
LEAST = 400
"""Samples of wav2vec2's first frame; shorter signals get zeros behind them."""
WINDOW_S = 30
"""Seconds that Whisper hears at once; longer signals are heard in pieces, as in its Sec. 3.8."""


class Whisper:
    """A Recogniser of words: Whisper (Radford et al. 2023), English, greedy, without temperature or fallback."""

    rate = 16_000
    units = "words"

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        self.folder, self.device = folder, device
        self.signature = f"whisper-{_digest(folder)},transformers{version('transformers')},en,greedy"

    def __reduce__(self) -> tuple[type[Whisper], tuple[Path, str]]:
        return type(self), (self.folder, self.device)

    def transcribe(self, signals: Sequence[np.ndarray]) -> list[str]:
        """As `Recogniser.transcribe`. Whisper may well hear words in silence; they are insertions."""
        with fresh():  # layers of older versions draw random numbers, for a layer drop that is off
            return [self._transcribe(signal) for signal in checked(signals)]

    def _transcribe(self, signal: np.ndarray) -> str:
        processor, network = self._loaded
        long = len(signal) > WINDOW_S * self.rate
        whole = {"truncation": False, "padding": "longest"} if long else {}
        heard = processor.feature_extractor(
            signal, sampling_rate=self.rate, return_tensors="pt", return_attention_mask=True, **whole
        )
        # An English-only model refuses to be told its language.
        multilingual = getattr(network.generation_config, "is_multilingual", False)
        ids = network.generate(
            heard.input_features.to(self.device),
            attention_mask=heard.attention_mask.to(self.device),
            do_sample=False,
            num_beams=1,
            return_timestamps=long,
            **({"language": "en", "task": "transcribe"} if multilingual else {}),
        )
        return str(processor.tokenizer.decode(ids[0], skip_special_tokens=True)).strip()

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        from transformers import WhisperForConditionalGeneration, WhisperProcessor

        return WhisperProcessor.from_pretrained(self.folder), _network(
            WhisperForConditionalGeneration, self.folder, self.device
        )


class Wav2Vec2:
    """A Recogniser by wav2vec 2.0 with a CTC head (Baevski et al. 2020; phones: Xu, Baevski and Auli 2022), greedy.

    Characters, or phones, are read from the model's vocab.json, so that no espeak is needed to have phones.
    """

    rate = 16_000

    def __init__(self, folder: Path, device: str = "cpu", units: str = "words") -> None:
        self.folder, self.device, self.units = folder, device, units
        self.signature = f"wav2vec2-{_digest(folder)},transformers{version('transformers')},greedy"
        vocabulary = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
        special = ("<pad>", "<s>", "</s>", "<unk>")
        self._symbols = {number: symbol for symbol, number in vocabulary.items() if symbol not in special}

    def __reduce__(self) -> tuple[type[Wav2Vec2], tuple[Path, str, str]]:
        return type(self), (self.folder, self.device, self.units)

    def transcribe(self, signals: Sequence[np.ndarray]) -> list[str]:
        """As `Recogniser.transcribe`."""
        with fresh():  # layers of older versions draw random numbers, for a layer drop that is off
            return [self._transcribe(signal) for signal in checked(signals)]

    def _transcribe(self, signal: np.ndarray) -> str:
        extractor, network = self._loaded
        signal = np.pad(signal, (0, max(LEAST - len(signal), 0)))
        heard = extractor(signal, sampling_rate=self.rate, return_tensors="pt").input_values
        best = network(heard.to(self.device)).logits[0].argmax(dim=-1).tolist()
        blank = network.config.pad_token_id
        symbols = [self._symbols[number] for number, _ in groupby(best) if number != blank and number in self._symbols]
        if self.units == "words":
            return " ".join("".join(symbols).replace("|", " ").split())
        return " ".join(symbols)

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        from transformers import Wav2Vec2FeatureExtractor, Wav2Vec2ForCTC

        return Wav2Vec2FeatureExtractor.from_pretrained(self.folder), _network(Wav2Vec2ForCTC, self.folder, self.device)


def load(kind: str, model: str | None, device: str = "cpu") -> Whisper | Wav2Vec2:
    """The recogniser of that kind, from a folder or from what transformers has in its cache.

    Raises:
        ModuleNotFoundError: transformers is not installed.
        FileNotFoundError: the model is not on this machine.
        ValueError: something else lies in the place of one of its files.
    """
    if find_spec("transformers") is None:
        raise ModuleNotFoundError(f"The recogniser '{kind}' needs transformers: pip install 'transformers>=4.45'")
    folder = _folder(kind, model or MODELS[kind])
    if kind == "whisper":
        return Whisper(folder, device)
    return Wav2Vec2(folder, device, "ipa" if kind == "wav2vec2_espeak" else "words")


def _folder(kind: str, model: str) -> Path:
    """Where the model's files lie."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    folder = Path(model)
    if not folder.is_dir():
        get = f"The recogniser '{kind}' needs the model {model}, which is not on this machine"
        try:
            folder = Path(snapshot_download(model, local_files_only=True))
        except HFValidationError as error:
            raise FileNotFoundError(f"{get}: there is no such folder") from error
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f"{get}: run `hf download {model}` where there is a network, or copy it and say {kind}:FOLDER"
            ) from error
    names = ["config.json", "preprocessor_config.json", *(["vocab.json"] if kind != "whisper" else [])]
    missing = [name for name in names if not (folder / name).is_file()]
    missing += [] if _weights(folder) else ["model.safetensors"]
    if missing:
        raise FileNotFoundError(f"{folder}: expected a model for '{kind}', but there is no {', no '.join(missing)}")
    for path in (*(folder / name for name in names), *_weights(folder)):
        if what := not_weights(path):
            raise ValueError(f"{path}: expected a file of a model for '{kind}', got {what}")
    return folder


def _weights(folder: Path) -> list[Path]:
    """The files of weights; those that transformers prefers where there are both kinds."""
    return sorted(folder.glob("model*.safetensors")) or sorted(folder.glob("pytorch_model*.bin"))


def _digest(folder: Path) -> str:
    """First digits of the sha256 of the weights."""
    whole = hashlib.sha256()
    for path in _weights(folder):
        with open(path, "rb") as file:
            whole.update(hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()[:8]


def _network(kind: Any, folder: Path, device: str) -> Any:
    """The network in float32, whatever precision its file has."""
    return kind.from_pretrained(folder, local_files_only=True).float().eval().to(device)
