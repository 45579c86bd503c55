"""The DDPM cascade behind the harness's interface."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import ClassVar

import numpy as np
import torch

from baselines.checkpoints import fill, read
from baselines.layers.pixels import symmetric_to_unit, to_pictures
from baselines.layers.speech_input import usable_speech
from baselines.network_method import NetworkMethod
from baselines.speech2face_ddpm.config import DRAWN, Config
from baselines.speech2face_ddpm.network import Cascade
from baselines.speech2face_ddpm.sampling import draw_faces, enlarge_faces
from baselines.speech2face_ddpm.speech import repeated, spectrogram
from benchmark.errors import MethodError, MissingDependency
from benchmark.types import Example

CHUNK = 16
"""Faces that are drawn at once; bounds memory."""


class Speech2FaceDDPM(NetworkMethod):
    """A face from noise, with the guidance of an embedding of speech (Kato & Hashimoto 2023)."""

    name: ClassVar[str] = "speech2face_ddpm"
    task: ClassVar[str] = "speech2face"
    title: ClassVar[str] = "Speech-to-face by a cascade of diffusion models (Kato & Hashimoto 2023)"
    Config: ClassVar[type] = Config
    config: Config
    network: Cascade
    memory_format = torch.channels_last

    def load(self, device: str) -> None:
        """Build the three networks and fill them.

        Raises:
            MissingDependency: the package of the solvers is not installed.
            MissingWeights: there is no readable file.
            InvalidConfig: the file is of another architecture.
        """
        # It is imported at the first face, as that takes seconds; what lacks it is to say so once, not at each face.
        if find_spec("diffusers") is None:
            raise MissingDependency("speech2face_ddpm draws by the solvers of diffusers: pip install diffusers")
        tensors, _ = read(self.weights, self.name)
        self._place(device)
        fill(self.network, tensors, self.weights, "Set embedding, encoder_*, decoder_* and super_* as in training")

    @torch.inference_mode()
    def generate(self, examples: Sequence[Example]) -> list[np.ndarray | Exception]:
        """Faces `[S, S, 3]` uint8 at `resolution`; MethodError where the speech cannot be used."""
        outputs: list[np.ndarray | Exception] = []
        usable: list[int] = []
        speech: list[torch.Tensor] = []
        for index, example in enumerate(examples):
            try:
                samples = usable_speech(example.inputs["speech"], self.config.shortest_s)
            except MethodError as error:
                outputs.append(error)
                continue
            outputs.append(MethodError("no output"))
            usable.append(index)
            speech.append(repeated(torch.from_numpy(samples)))
        for start in range(0, len(usable), CHUNK):
            chosen = usable[start : start + CHUNK]
            generators = [torch.Generator().manual_seed(examples[index].seed) for index in chosen]
            heard = spectrogram(torch.stack(speech[start : start + CHUNK]).to(self.device))
            faces = draw_faces(self.network, self.config, self.network.encoder(heard), generators)
            if self.config.resolution != DRAWN:
                faces = enlarge_faces(self.network, self.config, faces, generators)
            for index, finite, picture in zip(
                chosen, faces.isfinite().flatten(1).all(1).tolist(), to_pictures(symmetric_to_unit(faces)), strict=True
            ):
                outputs[index] = (
                    picture if finite else MethodError("Expected finite pixels, the network gave NaN or infinity")
                )
        return outputs
