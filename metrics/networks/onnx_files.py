"""ONNX files: their weights and nodes, read without the package onnx, and their networks, run by onnxruntime.

Such a file is a protobuf message. `ModelProto.graph` is field 7; of a `GraphProto` 1 are the nodes and 5 the
initializers; of a `NodeProto` 3 is the name and 4 the operator; of a `TensorProto` 1 is dims, 2 the type (1: float32),
4 its numbers one by one, 8 the name, 9 its numbers as bytes.
"""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from metrics.networks.not_weights import not_weights

MOST_BYTES = 1 << 30
"""Of a network in an archive, which is unpacked in memory alone: several times the largest of the published ones."""


class OnnxNetwork:
    """A network in an ONNX file, run on one core of the CPU; loaded when first used, so that it can be pickled.

    The file may be a member of a zip archive.
    """

    def __init__(self, path: Path, member: str | None = None, optimise: bool = True) -> None:
        """Find the file.

        Args:
            member: its name in the archive `path`.
            optimise: let onnxruntime fuse layers; without it the numbers are those of the graph as it is written.

        Raises:
            FileNotFoundError, KeyError: it is not there.
            ValueError: the archive is damaged, or holds something else.
        """
        self.path, self.member, self.optimise = Path(path), member, optimise
        if what := not_weights(self.path):
            raise ValueError(f"{path}: expected an ONNX model, got {what}")
        content = self._content()
        self.digest = hashlib.sha256(content).hexdigest()[:8]
        """The beginning of the file's sha256, for signatures."""
        self.first_nodes = first_nodes(content, 8, self._where())
        self._session: Any = None

    def __call__(self, x: np.ndarray) -> list[np.ndarray]:
        """All outputs, in the file's order, for the network's one input, float32."""
        session = self._loaded()
        outputs: list[np.ndarray] = session.run(None, {session.get_inputs()[0].name: x})
        return outputs

    def shapes(self) -> tuple[list[Any], list[list[Any]]]:
        """Shape of the first input and those of all outputs as the file states them; free sizes are no integers."""
        session = self._loaded()
        return session.get_inputs()[0].shape, [output.shape for output in session.get_outputs()]

    def _content(self) -> bytes:
        if self.member is None:
            return self.path.read_bytes()
        try:
            with zipfile.ZipFile(self.path) as archive:
                size = archive.getinfo(self.member).file_size
                if size > MOST_BYTES:
                    raise ValueError(f"{self._where()}: expected a network of at most {MOST_BYTES} bytes, got {size}")
                return archive.read(self.member)
        except (zipfile.BadZipFile, zlib.error, RuntimeError, EOFError) as error:  # NotImplementedError among them
            raise ValueError(f"{self._where()}: the archive cannot be read ({error}); fetch it anew") from error

    def _where(self) -> str:
        return f"{self.path}" + (f", {self.member}" if self.member else "")

    def _loaded(self) -> Any:
        if self._session is None:
            import onnxruntime

            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = options.inter_op_num_threads = 1
            options.log_severity_level = 3
            if not self.optimise:
                options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
            source = str(self.path) if self.member is None else self._content()
            try:
                self._session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
            except Exception as error:  # onnxruntime has a class of its own for each kind of fault
                reason = str(error).splitlines()[0]
                raise ValueError(f"{self._where()}: onnxruntime cannot load it ({reason})") from error
        return self._session

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_session": None}


def onnx_tensors(path: Path) -> dict[str, np.ndarray]:
    """The float32 weights in an ONNX file by name.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file cannot be read as ONNX.
    """
    if what := not_weights(path):
        raise ValueError(f"{path}: expected an ONNX model, got {what}")
    content = memoryview(Path(path).read_bytes())
    found = {}
    try:
        for graph in (value for field, value in _fields(content) if field == 7):
            for tensor in (value for field, value in _fields(graph) if field == 5):
                parts: dict[int, list] = {}
                for field, value in _fields(tensor):
                    parts.setdefault(field, []).append(value)
                if parts.get(2) != [1]:
                    continue
                numbers = b"".join(parts.get(9) or parts.get(4) or [])
                found[bytes(parts[8][0]).decode()] = np.frombuffer(numbers, "<f4").reshape(parts.get(1, []))
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: expected an ONNX model, got something else ({error})") from error
    if not found:
        raise ValueError(f"{path}: expected an ONNX model, got no weights")
    return found


def first_nodes(content: bytes, count: int, where: str) -> list[tuple[str, str]]:
    """Name and operator of the first nodes of a graph.

    Raises:
        ValueError: the content cannot be read as ONNX; the message begins with `where`.
    """
    found = []
    try:
        for graph in (value for field, value in _fields(memoryview(content)) if field == 7):
            for node in (value for field, value in _fields(graph) if field == 1):
                parts = dict(_fields(node))
                found.append(tuple(str(parts.get(number, b""), "utf-8") for number in (3, 4)))
                if len(found) == count:
                    return found
    except (IndexError, TypeError, ValueError) as error:
        raise ValueError(f"{where}: expected an ONNX model, got something else ({error})") from error
    if not found:
        raise ValueError(f"{where}: expected an ONNX model, got no layers")
    return found


def file_digest(path: Path) -> str:
    """The first eight hexadecimal digits of a file's sha256, for signatures."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:8]


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Fields of a protobuf message in order: numbers as they are, everything longer as bytes."""
    place = 0

    def number() -> int:
        nonlocal place
        value = shift = 0
        while True:
            byte = message[place]
            place += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while place < len(message):
        field, kind = divmod(number(), 8)
        if kind == 0:
            yield field, number()
            continue
        length = {1: 8, 5: 4}.get(kind) if kind != 2 else number()
        if length is None or place + length > len(message):
            raise ValueError(f"field {field} of kind {kind} at byte {place}")
        yield field, message[place : place + length]
        place += length
