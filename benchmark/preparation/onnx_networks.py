"""A network in ONNX's form that the user gives as a file."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.errors import InvalidConfig, MissingDependency, MissingWeights


class OnnxNetwork:
    """One input, one output; on the CPU, one thread: files are worked on in parallel."""

    def __init__(self, path: Path, channels: int, what: str) -> None:
        """
        Args:
            channels: of the input `[1, channels, H, W]`.
            what: the network is to be, for messages.
        """
        try:
            import onnxruntime
        except ModuleNotFoundError as error:
            raise MissingDependency(f"{what} needs the package onnxruntime: pip install onnxruntime") from error
        if not path.is_file():
            raise MissingWeights(f"{what}: {path} is not a file; expected a network in ONNX's form")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own kinds derive from nothing narrower
            raise InvalidConfig(f"{what}: {path} is no network in ONNX's form ({str(error)[:200]})") from error
        (first, *_), self._name = self._session.get_inputs(), self._session.get_inputs()[0].name
        if len(first.shape) != 4 or first.shape[1] not in (channels, None) and not isinstance(first.shape[1], str):
            raise InvalidConfig(f"{what}: {path} takes {first.shape}; expected [1, {channels}, H, W]")
        self.size = tuple(side if isinstance(side, int) else None for side in first.shape[2:])
        """Height and width that it takes; None where any."""

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """`[channels, H, W]` -> its first output without the batch."""
        result: np.ndarray = self._session.run(None, {self._name: np.ascontiguousarray(x[None], np.float32)})[0]
        return result[0]


@lru_cache(maxsize=4)
def opened(path: str, channels: int, what: str) -> Any:
    """The network of a file, opened once in each process."""
    return OnnxNetwork(Path(path), channels, what)
