"""Keys of the authors' released SF2F checkpoints, in our names.

A checkpoint is a torch file whose `model_state` holds `encoder.*` and `decoder.*`, perhaps behind `module.` where it
was trained on several GPUs. Discriminators, optimisers and counters beside it are not needed and not kept.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from baselines.layers.inception1d import KERNELS
from baselines.sf2f.config import Config
from benchmark.errors import InvalidConfig

# Ours <- official. `{n}` are indices that stay as they are.
RULES: tuple[tuple[str, str], ...] = (
    *(
        (rf"encoder\.model\.(\d)\.conv_k{kernel}\.model\.(\d)\.", rf"encoder.model.\1.branches.{i}.\2.")
        for i, kernel in enumerate(KERNELS)
    ),
    (r"encoder\.model\.(\d+)\.", r"encoder.model.\1."),
    (r"encoder\.attn_fuser\.attention\.linear_in\.", r"fuser.query."),
    (r"encoder\.attn_fuser\.attention\.linear_out\.", r"fuser.output."),
    (r"decoder\.fc\.(\d)\.", r"decoder.start.\1."),
    (r"decoder\.(?:up_layers|up_low_layers)\.(\d)\.1\.", r"decoder.low.\1.convolution."),
    (r"decoder\.(?:up_layers|up_low_layers)\.(\d)\.2\.", r"decoder.low.\1.normalisation."),
    (r"decoder\.(?:gnet|gnet_low)\.(\d)\.", r"decoder.heads.64.\1."),
    (r"decoder\.up_mid_layer\.1\.", r"decoder.high.convolution."),
    (r"decoder\.up_mid_layer\.2\.", r"decoder.high.normalisation."),
    (r"decoder\.gnet_mid\.(\d)\.", r"decoder.heads.128.\1."),
    (r"decoder\.model\.(\d+)\.model\.0\.", r"decoder.model.\1."),
)


def is_official(tensors: Mapping[str, Any]) -> bool:
    """Say whether a loaded file looks like the authors' checkpoint."""
    return "model_state" in tensors or any(
        name.removeprefix("module.").startswith("encoder.model.0.conv_k") for name in tensors
    )


def from_official(checkpoint: Mapping[str, Any], config: Config) -> dict[str, Tensor]:
    """The tensors of an official checkpoint under our names, without the fuser where the configuration has none.

    Raises:
        InvalidConfig: a key that belongs to no part of the network, or a configuration of the paper's variant.
    """
    if config.variant != "official":
        raise InvalidConfig("This is a checkpoint of the official SF2F code: choose --preset official or official-128")
    state = checkpoint.get("model_state", checkpoint)
    tensors: dict[str, Tensor] = {}
    for key, tensor in state.items():
        name = key.removeprefix("module.")
        ours = _renamed(name)
        if ours is None:
            raise InvalidConfig(f"Unknown key '{key}' in an official SF2F checkpoint; expected encoder.*, decoder.*")
        if config.fuser or not ours.startswith("fuser."):
            tensors[ours] = tensor.float() if tensor.is_floating_point() else tensor
    if config.decoder == "baseline":
        return {_spaced(name): tensor for name, tensor in tensors.items()}
    return tensors


def _renamed(name: str) -> str | None:
    for pattern, replacement in RULES:
        renamed, count = re.subn(rf"^{pattern}", replacement, name)
        if count:
            return renamed
    return None


def _spaced(name: str) -> str:
    """The official deconvolution blocks hold their ReLU; ours stand apart, so the block k is layer 2k."""
    found = re.fullmatch(r"decoder\.model\.(\d+)\.(weight|bias)", name)
    return f"decoder.model.{2 * int(found[1])}.{found[2]}" if found else name
