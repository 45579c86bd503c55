"""Networks in ONNX's form that the user gives as files."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from benchmark.errors import InvalidConfig, MissingDependency, MissingWeights
from metrics.networks.onnx_files import OnnxNetwork


class PictureNetwork:
    """A network that takes one picture at a time; on the CPU, one thread: files are worked on in parallel."""

    def __init__(self, path: Path, channels: int, what: str) -> None:
        """
        Args:
            channels: of the input `[1, channels, H, W]`.
            what: the network is to be, for messages.
        """
        if not path.is_file():
            raise MissingWeights(f"{what}: {path} is not a file; expected a network in ONNX's form")
        try:
            self._network = OnnxNetwork(path)
            shape, _ = self._network.shapes()
        except ModuleNotFoundError as error:
            raise MissingDependency(f"{what} needs the package onnxruntime: pip install onnxruntime") from error
        except ValueError as error:
            raise InvalidConfig(f"{what}: {error}") from error
        if len(shape) != 4 or isinstance(shape[1], int) and shape[1] != channels:
            raise InvalidConfig(f"{what}: {path} takes {shape}; expected [1, {channels}, H, W]")
        self.size = tuple(side if isinstance(side, int) else None for side in shape[2:])
        """Height and width that it takes; None where any."""

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """`[channels, H, W]` -> its first output without the batch."""
        return self._network(np.ascontiguousarray(x[None], np.float32))[0][0]


@lru_cache(maxsize=4)
def opened(path: str, channels: int, what: str) -> PictureNetwork:
    """The network of a file, opened once in each process."""
    return PictureNetwork(Path(path), channels, what)
