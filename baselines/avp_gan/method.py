"""AVP-GAN behind the harness's interface."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from baselines.avp_gan.config import Config
from baselines.avp_gan.network import AVPGANNetwork
from baselines.avp_gan.official import find_gfpgan, from_gfpgan, is_gfpgan
from baselines.avp_gan.training import PLAIN
from baselines.checkpoints import fill, read
from baselines.layers.pixels import symmetric_to_unit, to_pictures
from baselines.voice2face.method import Voice2Face
from benchmark.errors import InvalidConfig, MethodError, MissingWeights


class AVPGAN(Voice2Face):
    """A face from a speaker recogniser's embedding by a generator with attention, enhanced by a face prior."""

    name: ClassVar[str] = "avp_gan"
    task: ClassVar[str] = "speech2face"
    title: ClassVar[str] = "AVP-GAN (Mao et al. 2024)"
    published: ClassVar[str] = ""
    Config: ClassVar[type] = Config
    config: Config
    network: AVPGANNetwork
    chunk: ClassVar[int] = 16

    def load(self, device: str) -> None:
        """Build the network and fill it with our own weights; the enhancement's may come from a GFPGAN checkpoint.

        Raises:
            MissingWeights: there is no readable file.
            InvalidConfig: a file is of another architecture.
        """
        self._place(device)
        tensors = self.chosen(*weights_of(self.weights))
        fill(self.network, tensors, self.weights, "Set width, cbam, resolution and the prior's sizes as in training")

    def chosen(self, tensors: Mapping[str, Tensor], enhancer: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Of the tensors of a file those of this configuration.

        Raises:
            InvalidConfig: the file has no generator of this kind, or no enhancement where one is asked for.
        """
        kept = {name: tensor for name, tensor in tensors.items() if not name.startswith(f"{PLAIN}.")}
        second = {
            f"decoder.{name.removeprefix(f'{PLAIN}.')}": tensor
            for name, tensor in tensors.items()
            if name.startswith(f"{PLAIN}.")
        }
        if second and not self.config.cbam:
            kept = {name: tensor for name, tensor in kept.items() if not name.startswith("decoder.")} | second
        kept |= {f"enhancer.{name}": tensor for name, tensor in enhancer.items()}
        if not self.config.enhance:
            return {name: tensor for name, tensor in kept.items() if not name.startswith("enhancer.")}
        if not any(name.startswith("enhancer.") for name in kept):
            raise InvalidConfig(
                f"{self.weights} has no image enhancement: set enhance = false, or give a folder with these weights "
                "and a GFPGAN checkpoint (preset talkers-gfpgan)"
            )
        return kept

    def _draw(self, group: Sequence[tuple[int, Tensor]], outputs: list[np.ndarray | Exception]) -> None:
        faces = self.network(torch.stack([features for _, features in group]).to(self.device))
        finite = faces.isfinite().flatten(1).all(1).tolist()
        for (index, _), good, picture in zip(group, finite, to_pictures(symmetric_to_unit(faces)), strict=True):
            outputs[index] = (
                picture if good else MethodError("Expected finite pixels, the network gave NaN or infinity")
            )


def weights_of(path: Path | None) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Our own tensors, and those of a GFPGAN checkpoint that lies beside them in a folder.

    Raises:
        MissingWeights: a file is not there, or is a GFPGAN checkpoint alone.
    """
    if path is not None and path.is_dir():
        checkpoint, own = find_gfpgan(path)
        return read(own, AVPGAN.name)[0], from_gfpgan(read(checkpoint, AVPGAN.name)[0], checkpoint)
    tensors, _ = read(path, AVPGAN.name)
    if is_gfpgan(tensors):
        raise MissingWeights(
            f"{path} is a GFPGAN checkpoint, which enhances faces and makes none: put it into a folder with trained "
            "weights of avp_gan (a .safetensors file) and give the folder with --weights"
        )
    return tensors, {}
