"""voice2face behind the harness's interface."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from baselines.checkpoints import fill, read
from baselines.layers.pixels import symmetric_to_unit, to_pictures
from baselines.network_method import NetworkMethod
from baselines.voice2face.config import Config
from baselines.voice2face.network import Voice2FaceNetwork
from baselines.voice2face.official import read_official
from baselines.voice2face.speech import speech_features
from benchmark.errors import MethodError
from benchmark.types import Example


class Voice2Face(NetworkMethod):
    """A face from a speaker recogniser's embedding, by a generator trained against two critics (Wen et al. 2019)."""

    name: ClassVar[str] = "voice2face"
    task: ClassVar[str] = "speech2face"
    title: ClassVar[str] = "voice2face (Wen et al. 2019)"
    published: ClassVar[str] = "--preset official --weights voice2face_official"
    Config: ClassVar[type] = Config
    config: Config
    network: Voice2FaceNetwork
    chunk: ClassVar[int] = 64
    """Faces that are drawn at once; bounds memory."""

    def load(self, device: str) -> None:
        """Build the network and fill it with our own weights, or with a folder of the two official files.

        Raises:
            MissingWeights: there is no readable file.
            InvalidConfig: the file is of another architecture.
        """
        if self.weights is not None and (self.weights.is_dir() or self.weights.suffix == ".pth"):
            tensors = read_official(self.weights)
        else:
            tensors, _ = read(self.weights, self.name)
        self._place(device)
        fill(self.network, tensors, self.weights, "Set width and embedding as in training")

    @torch.inference_mode()
    def generate(self, examples: Sequence[Example]) -> list[np.ndarray | Exception]:
        """Faces `[S, S, 3]` uint8, S 64 here; MethodError where the speech cannot be used."""
        outputs: list[np.ndarray | Exception] = [MethodError("no output") for _ in examples]
        voices: dict[int, list[tuple[int, Tensor]]] = defaultdict(list)
        for index, example in enumerate(examples):
            try:
                features = speech_features(example.inputs["speech"], self.config)
            except MethodError as error:
                outputs[index] = error
            else:
                voices[features.shape[1]].append((index, features))
        for group in voices.values():
            for start in range(0, len(group), self.chunk):
                self._draw(group[start : start + self.chunk], outputs)
        return outputs

    def _draw(self, group: Sequence[tuple[int, Tensor]], outputs: list[np.ndarray | Exception]) -> None:
        faces = self.network(torch.stack([features for _, features in group]).to(self.device))
        finite = faces.isfinite().flatten(1).all(1).tolist()
        faces = faces.clamp(-1, 1)
        faces = stretched(faces) if self.config.stretch else symmetric_to_unit(faces)
        for (index, _), good, picture in zip(group, finite, to_pictures(faces), strict=True):
            outputs[index] = (
                picture if good else MethodError("Expected finite pixels, the network gave NaN or infinity")
            )


def stretched(faces: Tensor) -> Tensor:
    """Map each picture's own minimum to 0 and maximum to 1, or a hair below, as torchvision 0.3 saves pictures."""
    low, high = faces.amin((1, 2, 3), keepdim=True), faces.amax((1, 2, 3), keepdim=True)
    return (faces - low) / (high - low + 1e-5)
