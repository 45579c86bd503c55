"""The authors' released voice2face weights: `voice_embedding.pth` and `generator.pth`, plain state dicts."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from baselines.checkpoints import read
from benchmark.errors import InvalidConfig

PARTS = {"encoder": "voice_embedding.pth", "decoder": "generator.pth"}


def read_official(path: Path) -> dict[str, Tensor]:
    """Both files, under our names; their `model.*` keys are ours behind `encoder.` and `decoder.`.

    Args:
        path: the folder with both files, or either file.

    Raises:
        MissingWeights: one of the files is not there or cannot be read.
        InvalidConfig: a key is not `model.*`.
    """
    folder = path if path.is_dir() else path.parent
    tensors: dict[str, Tensor] = {}
    for part, name in PARTS.items():
        state, _ = read(folder / name, "voice2face")
        for key, tensor in state.items():
            bare = key.removeprefix("module.")
            if not bare.startswith("model."):
                raise InvalidConfig(f"Unknown key '{key}' in {folder / name}; expected model.*")
            tensors[f"{part}.{bare}"] = tensor
    return tensors
