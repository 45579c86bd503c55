"""Weights on disk: safetensors with their configuration for use, one atomic file for resuming a training."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from benchmark.errors import InvalidConfig, MissingWeights, some
from benchmark.files import write_whole
from benchmark.weights import table as weights


def export(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any], half: bool = True) -> Path:
    """Write a network's state, atomically.

    With `half`, weights are stored as float16. Statistics of normalisation layers stay float32: a running variance can
    leave the range of float16.
    """

    def stored(name: str, tensor: Tensor) -> Tensor:
        kept = not half or not tensor.is_floating_point() or "running_" in name
        return tensor.detach().cpu().to(tensor.dtype if kept else torch.float16).contiguous()

    return _write(path, {name: stored(name, tensor) for name, tensor in tensors.items()}, _as_text(metadata))


def add_metadata(path: Path, more: Mapping[str, Any]) -> None:
    """Let an exported file say more of itself; its tensors stay as they are, and so does one that says it already."""
    with safe_open(path, framework="pt") as file:
        known = file.metadata() or {}
        if (wanted := known | _as_text(more)) == known:
            return
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    _write(path, tensors, wanted)


def _as_text(metadata: Mapping[str, Any]) -> dict[str, str]:
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in metadata.items()}


def _write(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> Path:
    content = save(tensors, metadata=metadata)
    return write_whole(path, lambda partial: partial.write_bytes(content))


def read(path: Path | None, method: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors as float32 (integers unchanged), and metadata, of our safetensors or of any file that authors publish.

    Raises:
        MissingWeights: no path, no file, or a file in which there is no state dict.
    """
    if path is None or not path.is_file():
        where = f"{path} is not a file" if path else "this configuration names no weights"
        raise MissingWeights(
            f"{method} needs trained weights, but {where}. Train them: python -m benchmark train --method {method}"
        )
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
                metadata = file.metadata() or {}
        else:
            tensors, metadata = weights.load_state(path), {}
    except (SafetensorError, OSError) as error:
        what = weights.not_weights(path)
        reason = f"it is {what}" if what else error
        raise MissingWeights(f"{method}: {path} cannot be read as weights: {reason}") from error
    if not tensors:
        raise MissingWeights(f"{method}: {path} holds no tensors")
    return {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}, metadata


def fill(network: nn.Module, tensors: Mapping[str, Tensor], path: Path | None, hint: str = "") -> None:
    """Load every tensor of `network`, none missing, none left over.

    Raises:
        InvalidConfig: the file is of another architecture; the message names the first differences.
    """
    own = network.state_dict()
    wrong = [f"{name} is missing" for name in own if name not in tensors]
    wrong += [f"{name} is not part of the network" for name in tensors if name not in own]
    wrong += [
        f"{name} is {tuple(tensors[name].shape)}, expected {tuple(own[name].shape)}"
        for name in own
        if name in tensors and tensors[name].shape != own[name].shape
    ]
    if wrong:
        found = some(wrong, between="; ")
        raise InvalidConfig(f"{path} does not fit the configured network: {found}. {hint}".strip())
    network.load_state_dict(dict(tensors))


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write a training's state so that a kill leaves either the old file or the new one."""

    def write(partial: Path) -> None:
        with partial.open("wb") as file:
            try:
                torch.save(dict(state), file)
            except RuntimeError as error:  # what torch says where the disk is full, with the cause in its context
                raise error.__context__ if isinstance(error.__context__, OSError) else error from None
            file.flush()
            os.fsync(file.fileno())

    write_whole(path, write)


def load_state(path: Path) -> dict[str, Any]:
    """Read what `save_state` wrote; nothing in it is executed."""
    return torch.load(path, map_location="cpu", weights_only=True)
