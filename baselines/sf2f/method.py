"""SF2F behind the harness's interface."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from baselines.checkpoints import fill, read
from baselines.layers.pixels import imagenet_to_unit, official_pictures, to_pictures
from baselines.layers.windows import sliding_windows
from baselines.network_method import NetworkMethod
from baselines.sf2f.config import Config
from baselines.sf2f.network import SF2FNetwork
from baselines.sf2f.official import from_official, is_official
from baselines.sf2f.speech import speech_features
from benchmark.errors import MethodError
from benchmark.types import Example

CHUNK = 256
"""Windows that go through the encoder at once; bounds memory for long recordings."""


class SF2F(NetworkMethod):
    """A face from the embeddings of short windows of speech, fused by self-attention (Bai et al. 2020)."""

    name: ClassVar[str] = "sf2f"
    task: ClassVar[str] = "speech2face"
    title: ClassVar[str] = "SF2F, Speech Fusion to Face (Bai et al. 2020)"
    published: ClassVar[str] = "--preset official --weights sf2f_official"
    Config: ClassVar[type] = Config
    config: Config
    network: SF2FNetwork

    def load(self, device: str) -> None:
        """Build the network and fill it with our own or with the official weights.

        Raises:
            MissingWeights: there is no readable file.
            InvalidConfig: the file is of another architecture.
        """
        tensors, _ = read(self.weights, self.name)
        if is_official(tensors):
            tensors = from_official(tensors, self.config)
        elif not self.config.fuser:
            tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith("fuser.")}
        self._place(device)
        fill(
            self.network, tensors, self.weights, "Set variant, width, resolution, fuser and linear_start as in training"
        )

    @torch.inference_mode()
    def generate(self, examples: Sequence[Example]) -> list[np.ndarray | Exception]:
        """Faces `[S, S, 3]` uint8 at the network's resolution; MethodError where the speech cannot be used."""
        outputs: list[np.ndarray | Exception] = []
        windows: list[Tensor] = []
        owners: list[int] = []
        for index, example in enumerate(examples):
            try:
                features = speech_features(example.inputs["speech"], self.config)
            except MethodError as error:
                outputs.append(error)
                continue
            outputs.append(MethodError("no output"))
            cut = sliding_windows(features, self.config.window_frames, self.config.overlap)
            parts = list(cut) if self.config.fuser else [features]
            windows += parts
            owners += [index] * len(parts)
        if not windows:
            return outputs
        embeddings = self._encode(windows)
        order = np.asarray(owners)
        usable = sorted(set(owners))
        official = self.config.variant == "official"
        if self.network.fuser is not None:
            embeddings = torch.cat([self.network.fuser(embeddings[order == index][None]) for index in usable])
        for start in range(0, len(usable), CHUNK):
            faces = self.network.draw(embeddings[start : start + CHUNK])[-1]
            for index, finite, picture in zip(
                usable[start : start + CHUNK],
                faces.isfinite().flatten(1).all(1).tolist(),
                official_pictures(faces) if official else to_pictures(imagenet_to_unit(faces)),
                strict=True,
            ):
                outputs[index] = (
                    picture if finite else MethodError("Expected finite pixels, the network gave NaN or infinity")
                )
        return outputs

    def _encode(self, windows: Sequence[Tensor]) -> Tensor:
        """One embedding for each window, in order; windows of one length go together."""
        groups: dict[int, list[int]] = defaultdict(list)
        for position, window in enumerate(windows):
            groups[window.shape[1]].append(position)
        encoded: dict[int, Tensor] = {}
        for positions in groups.values():
            for start in range(0, len(positions), CHUNK):
                chosen = positions[start : start + CHUNK]
                batch = torch.stack([windows[p] for p in chosen]).to(self.device)
                encoded.update(zip(chosen, self.network.encoder(batch), strict=True))
        return torch.stack([encoded[position] for position in range(len(windows))])
