"""Small ONNX files of the layouts that published networks have, written without the package onnx."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np


def _varint(number: int) -> bytes:
    number &= (1 << 64) - 1  # negative ones are written as 64 bits
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def _field(number: int, value: int | bytes | str) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    value = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _tensor(name: str, array: np.ndarray) -> bytes:
    kind = {"float32": 1, "int64": 7}[array.dtype.name]
    dims = b"".join(_field(1, side) for side in array.shape)
    return dims + _field(2, kind) + _field(8, name) + _field(9, np.ascontiguousarray(array).tobytes())


def node(operator: str, inputs: Sequence[str], output: str, name: str = "", **attributes: int | Sequence[int]) -> bytes:
    """A NodeProto with whole numbers, or lists of them, for attributes."""
    parts = [_field(1, each) for each in inputs] + [_field(2, output), _field(3, name), _field(4, operator)]
    for key, value in attributes.items():
        if isinstance(value, int):
            about = _field(3, value) + _field(20, 2)
        else:
            about = b"".join(_field(8, each) for each in value) + _field(20, 7)
        parts.append(_field(5, _field(1, key) + about))
    return b"".join(parts)


def _value(name: str, shape: Sequence[int | str]) -> bytes:
    dims = b"".join(_field(1, _field(1 if isinstance(side, int) else 2, side)) for side in shape)
    return _field(1, name) + _field(2, _field(1, _field(1, 1) + _field(2, dims)))


def write_onnx(
    path: Path,
    nodes: Sequence[bytes],
    weights: Mapping[str, np.ndarray],
    taken: tuple[str, Sequence[int | str]],
    given: Mapping[str, Sequence[int | str]],
) -> None:
    """Write a network with one input."""
    graph = b"".join(_field(1, each) for each in nodes) + _field(2, "toy")
    graph += b"".join(_field(5, _tensor(name, array)) for name, array in weights.items())
    graph += _field(11, _value(*taken)) + b"".join(_field(12, _value(*each)) for each in given.items())
    path.write_bytes(_field(1, 7) + _field(8, _field(2, 12)) + _field(7, graph))


def write_scrfd(path: Path, seed: int = 0) -> dict[str, np.ndarray]:
    """A detector of SCRFD's layout that finds faces where the mean over a cell is red.

    Scores are `sigmoid(8 (r - g) - 3)` of the normalised colours in the first anchor, lower in the second; boxes and
    points depend on the colours a little, so that a wrong order of channels, cells or outputs shows. Gives the weights:
    `box8.w` is `[2 * 4, 3, 1, 1]`, for both anchors in turn.
    """
    random = np.random.default_rng(seed)
    nodes: list[bytes] = []
    weights: dict[str, np.ndarray] = {}
    outputs: dict[str, Sequence[int | str]] = {}
    for kind, width in (("score", 1), ("box", 4), ("points", 10)):
        for step in (8, 16, 32):
            name = f"{kind}{step}"
            weight, bias = np.zeros((2, width, 3)), np.zeros((2, width))
            if kind == "score":
                weight[:, 0], bias[:] = [8, -8, 0], [[-3.0], [-4.5]]
            else:
                weight = random.uniform(-0.3, 0.3, (2, width, 3))
                bias = random.uniform(1.5, 2.5, (2, width)) if kind == "box" else random.uniform(-1.5, 1.5, (2, width))
            weights[f"{name}.w"] = weight.reshape(2 * width, 3, 1, 1).astype(np.float32)
            weights[f"{name}.b"] = bias.reshape(-1).astype(np.float32)
            weights[f"{name}.shape"] = np.array([-1, width], np.int64)
            nodes += [
                node("AveragePool", ["x"], f"{name}.p", kernel_shape=[step, step], strides=[step, step]),
                node("Conv", [f"{name}.p", f"{name}.w", f"{name}.b"], f"{name}.c"),
                node("Transpose", [f"{name}.c"], f"{name}.t", perm=[0, 2, 3, 1]),
                node("Reshape", [f"{name}.t", f"{name}.shape"], f"{name}.r"),
                node("Sigmoid" if kind == "score" else "Identity", [f"{name}.r"], name),
            ]
            outputs[name] = [f"n{step}", width]
    write_onnx(path, nodes, weights, ("x", [1, 3, "h", "w"]), outputs)
    return weights


def write_arcface(path: Path, seed: int = 1) -> None:
    """A recogniser of w600k_r50's layout: means over 8 x 8 fields, mixed to 512 numbers."""
    random = np.random.default_rng(seed)
    weights = {"w": random.normal(size=(192, 512)).astype(np.float32), "b": np.zeros(512, np.float32)}
    nodes = [
        node("AveragePool", ["x"], "p", "Conv_0", kernel_shape=[14, 14], strides=[14, 14]),
        node("Flatten", ["p"], "f"),
        node("Gemm", ["f", "w", "b"], "y"),
    ]
    write_onnx(path, nodes, weights, ("x", ["n", 3, 112, 112]), {"y": [1, 512]})


def write_genderage(path: Path) -> None:
    """A network of genderage's layout, which normalises the pixels itself: means of the colours to three numbers."""
    weights = {
        "m": np.array(127.5, np.float32),
        "s": np.array(1 / 128, np.float32),
        "w": np.array([[0.0, 4.0, 0.1], [0.0, -2.0, 0.05], [1.0, 0.0, 0.0]], np.float32),
        "b": np.array([0.2, 0.0, 0.35], np.float32),
    }
    nodes = [
        node("Sub", ["data", "m"], "d", "_minusscalar0"),
        node("Mul", ["d", "s"], "x", "_mulscalar0"),
        node("GlobalAveragePool", ["x"], "p", "pool"),
        node("Flatten", ["p"], "f", "flatten"),
        node("Gemm", ["f", "w", "b"], "fc1", "fc1"),
    ]
    write_onnx(path, nodes, weights, ("data", ["n", 3, 96, 96]), {"fc1": [1, 3]})


def write_pack(folder: Path) -> Path:
    """The three files of insightface's pack buffalo_l that are used; gives the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    write_scrfd(folder / "det_10g.onnx")
    write_arcface(folder / "w600k_r50.onnx")
    write_genderage(folder / "genderage.onnx")
    return folder
