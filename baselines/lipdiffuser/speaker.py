"""Speaker embeddings of the enrolment: one unit vector of a voice, which tells the denoiser how to sound."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from baselines.checkpoints import fill, read
from baselines.layers.speech_input import RATE, usable_speech
from benchmark.errors import MethodError, MissingDependency, MissingWeights
from benchmark.types import Audio
from benchmark.weights.networks import Networks

SpeakerKind = Literal["wespeaker", "ge2e", "talkers"]

SHORTEST_S = 0.5
"""Less of an enrolment is refused."""
RECOGNISER = Path(__file__).parents[1] / "voice2face" / "talkers.safetensors"
CHUNK = 64
"""Recordings that the recogniser of voice2face hears at once."""


class SpeakerEncoder:
    """Embeds voices.

    Args:
        kind: `wespeaker`, as in the paper: a network of WeSpeaker (Wang et al. 2023), 256 numbers where it is a ResNet.
            `ge2e`: Wan et al. 2018 with the weights in the package resemblyzer, 256. `talkers`: the recogniser that
            voice2face ships (`baselines/voice2face/talkers.safetensors`), trained on drawn voices, 64.
        model: the file of `wespeaker`, or its name in the table of weights; by default the table's ResNet-221.

    Raises:
        MissingWeights: the file of `wespeaker` is not there, or is something else.
        MissingDependency: `ge2e` without its package.
    """

    dim: int
    """Numbers in an embedding."""

    def __init__(self, kind: SpeakerKind, model: str | Path = "", device: str = "cpu") -> None:
        self.kind, self.device = kind, device
        if kind == "talkers":
            self._hear_by_recogniser()
            return
        self._network = _network(kind, model, device)
        # An exported model need not tell the length of what it returns.
        tone = 0.1 * np.sin(2 * np.pi * 220 * np.arange(RATE) / RATE)
        self.dim = 256 if kind == "ge2e" else len(self._judged(tone.astype(np.float32)))

    def embed(self, recordings: Sequence[np.ndarray]) -> Tensor:
        """Embeddings of recordings, each `[T]` float32 at 16 kHz, full scale 1.0 -> `[B, dim]` float32 of length 1.

        A recording's embedding does not depend on those beside it.

        Raises:
            MethodError: one of them cannot be used: shorter than 0.5 s, silent, not finite, or without enough voice.
        """
        usable = [usable_speech(Audio(recording, RATE), SHORTEST_S) for recording in recordings]
        if self.kind == "talkers":
            return self._recognised(usable)
        return torch.stack([self._judged(recording) for recording in usable])

    def _judged(self, recording: np.ndarray) -> Tensor:
        found = self._network.embed(recording)
        if not isinstance(found, np.ndarray):
            raise MethodError(f"Expected a voice in the enrolment: {found.reason}")
        return torch.from_numpy(found).float()

    def _hear_by_recogniser(self) -> None:
        from baselines.voice2face.config import Config

        tensors, about = read(RECOGNISER, "voice2face")
        self._settings = Config(**json.loads(about["config"]))
        encoder = self._settings.network().encoder
        own = {name.removeprefix("encoder."): t for name, t in tensors.items() if name.startswith("encoder.")}
        fill(encoder, own, RECOGNISER)
        self.dim = self._settings.embedding
        self._encoder = encoder.eval().requires_grad_(False).to(self.device)

    @torch.no_grad()
    def _recognised(self, recordings: Sequence[np.ndarray]) -> Tensor:
        from baselines.voice2face.speech import speech_features

        heard: dict[int, list[tuple[int, Tensor]]] = defaultdict(list)
        for index, recording in enumerate(recordings):
            features = speech_features(Audio(recording, RATE), self._settings)
            heard[features.shape[1]].append((index, features))
        found = torch.empty(len(recordings), self.dim)
        for group in heard.values():
            for start in range(0, len(group), CHUNK):
                places, features = zip(*group[start : start + CHUNK], strict=True)
                found[list(places)] = self._encoder(torch.stack(features).to(self.device)).cpu()
        return found


def _network(kind: SpeakerKind, model: str | Path, device: str) -> Any:
    networks = Networks("cpu" if device == "cpu" else "cuda")
    try:
        return networks(f"wespeaker:{model}" if kind == "wespeaker" and model else kind)
    except ModuleNotFoundError as error:
        raise MissingDependency(str(error)) from error
    except (FileNotFoundError, ValueError, MissingWeights) as error:
        if kind != "wespeaker":
            raise
        raise MissingWeights(
            f"speaker = 'wespeaker': {error}\n  Or: --set speaker_model=FILE.onnx for another model of WeSpeaker, "
            "--set speaker=talkers for weights trained with that"
        ) from error
