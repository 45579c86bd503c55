"""Released GFPGAN v1.3 and v1.4 checkpoints, under our names.

Each is a torch file with `params_ema`, the averaged weights of `GFPGANv1Clean` (v1.3's may be under `params` alone).
What trains only is left: `toRGB`, the U-Net's intermediate pictures.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from benchmark.errors import InvalidConfig, MissingWeights

PRIOR = r"stylegan_decoder\."
# Ours <- released. Digits stay as they are but for the prior's mapping, whose first layer normalises.
RULES: tuple[tuple[str, str], ...] = (
    (r"conv_body_first\.", "first."),
    (r"conv_body_(down|up)\.(\d+)\.conv1\.", r"\1.\2.first."),
    (r"conv_body_(down|up)\.(\d+)\.conv2\.", r"\1.\2.second."),
    (r"conv_body_(down|up)\.(\d+)\.skip\.", r"\1.\2.skip."),
    (r"final_conv\.", "bottom."),
    (r"final_linear\.", "styles."),
    (r"condition_(scale|shift)\.(\d+)\.(\d)\.", r"\1s.\2.\3."),
    (PRIOR + r"constant_input\.weight$", "prior.constant"),
    (PRIOR + r"noises\.noise(\d+)$", r"prior.noise\1"),
    (PRIOR + r"style_conv1\.", "prior.first."),
    (PRIOR + r"to_rgb1\.", "prior.first_picture."),
    (PRIOR + r"style_convs\.(\d+)\.", r"prior.layers.\1."),
    (PRIOR + r"to_rgbs\.(\d+)\.", r"prior.pictures.\1."),
)
MAPPING = re.compile(PRIOR + r"style_mlp\.(\d+)\.(weight|bias)$")
UNUSED = "toRGB."


def is_gfpgan(tensors: Mapping[str, Any]) -> bool:
    """Say whether a loaded file looks like a GFPGAN checkpoint."""
    return "params_ema" in tensors or "params" in tensors or any(k.startswith("stylegan_decoder.") for k in tensors)


def find_gfpgan(folder: Path) -> tuple[Path, Path]:
    """The checkpoint (.pth) of GFPGAN, and our own weights (.safetensors), of a folder that has one of each.

    Raises:
        MissingWeights: it has not.
    """
    found = [sorted(folder.glob(pattern)) for pattern in ("*.pth", "*.safetensors")]
    if [len(files) for files in found] != [1, 1]:
        there = ", ".join(file.name for files in found for file in files) or "neither"
        raise MissingWeights(
            f"Expected one GFPGAN checkpoint (.pth) and one file of avp_gan's weights (.safetensors) in {folder}, got "
            f"{there}"
        )
    return found[0][0], found[1][0]


def from_gfpgan(checkpoint: Mapping[str, Any], path: Path) -> dict[str, Tensor]:
    """The tensors of the enhancement under our names.

    Raises:
        InvalidConfig: a key that GFPGANv1Clean has not; that of v1 (with CUDA operations) is told by it.
    """
    state = checkpoint.get("params_ema", checkpoint.get("params", checkpoint))
    tensors: dict[str, Tensor] = {}
    for key, tensor in state.items():
        name = key.removeprefix("module.")
        if name.startswith(UNUSED):
            continue
        ours = _renamed(name)
        if ours is None:
            raise InvalidConfig(
                f"Unknown key '{key}' in {path}; expected a checkpoint of GFPGANv1Clean, such as GFPGAN v1.3 or v1.4"
            )
        tensors[ours] = (tensor[0] if ours.endswith("convolution.weight") else tensor).float()
    return tensors


def _renamed(name: str) -> str | None:
    if found := MAPPING.fullmatch(name):
        return f"prior.mapping.{int(found[1]) - 1}.{found[2]}"
    for pattern, replacement in RULES:
        renamed, count = re.subn(f"^{pattern}", replacement, name)
        if count:
            return _of_layer(renamed) if renamed.startswith("prior.") else renamed
    return None


def _of_layer(name: str) -> str:
    """The parts of a styled layer; `weight` alone is the strength of its noise."""
    name = name.replace(".modulated_conv.", ".convolution.")
    return re.sub(r"^(prior\.(?:first|layers\.\d+))\.weight$", r"\1.noise_strength", name)
