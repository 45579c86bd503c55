"""Checkpoints of the official FlowAVSE code, and of AVDiffuSS, which has the same networks, under our names.

Such a file is what PyTorch Lightning 1.9 writes. Kept of it are the state dict (`denoiser_net.*`, the first stage, and
`score_net.*`, the second) and the moving average of torch_ema, which the official code evaluates with.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from torch import Tensor

from benchmark.errors import InvalidConfig, some
from benchmark.weights import table as weights

Parts = Mapping[str, str]
"""Module names inside a module: official to ours. An empty name is the module itself."""

WHOLE: Parts = {"": ""}
INJECT: Parts = {"Conv_0": ""}
BLOCK: Parts = {
    "GroupNorm_0": "norm_in",
    "Conv_0": "conv_in",
    "Dense_0": "time",
    "GroupNorm_1": "norm_out",
    "Conv_1": "conv_out",
    "Conv_2": "shortcut",
}
SELF_ATTENTION: Parts = {"GroupNorm_0": "norm", "NIN_0": "query", "NIN_1": "key", "NIN_2": "value", "NIN_3": "output"}
CROSS_ATTENTION: Parts = {
    "norm": "norm",
    "proj1": "enter",
    "proj2": "leave",
    "transformer_blocks.0.norm1": "norm_own",
    "transformer_blocks.0.norm2": "norm_seen",
    "transformer_blocks.0.norm3": "norm_feed",
    "transformer_blocks.0.ff.net.0.proj": "feed_in",
    "transformer_blocks.0.ff.net.2": "feed_out",
    **{
        f"transformer_blocks.0.{attention}.{theirs}": f"{own}.{name}"
        for attention, own in (("attn1", "own"), ("attn2", "seen"))
        for theirs, name in (("to_q", "query"), ("to_k", "key"), ("to_v", "value"), ("to_out.0", "output"))
    },
}
ENCODER: Parts = {
    "frontend3D.0": "front",
    "frontend3D.1": "front_norm",
    **{
        f"resnet.layer{i + 1}.{theirs}": f"stages.{i}.{own}"
        for i in range(4)
        for theirs, own in (
            *(("conv1a", "conv_a1"), ("bn1a", "norm_a1"), ("conv2a", "conv_a2"), ("outbna", "norm_a2")),
            *(("conv1b", "conv_b1"), ("bn1b", "norm_b1"), ("conv2b", "conv_b2"), ("outbnb", "norm_b2")),
            ("downsample", "shortcut"),
        )
    },
    **{
        f"visualTCN.net.{i}.net.{place}": f"temporal.{i}.{own}"
        for i in range(5)
        for place, own in enumerate(("norm", "depthwise", "activation", "global_norm", "pointwise"), start=1)
    },
    "visualConv1D.net.0": "output",
    "visualConv1D.net.1": "output_norm",
}
LEAVES = {"W": "weight", "b": "bias", "gamma": "weight", "beta": "bias"}
FOURIER = {"denoiser_net.all_modules.0.W": "predictor", "score_net.all_modules.0.W": "refiner"}
"""The frozen frequencies of each stage; the only parameters that are not trained."""


def is_official(path: Path) -> bool:
    """Say whether a file of weights is to be read as an official checkpoint: ours are safetensors."""
    return path.suffix != ".safetensors"


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The tensors of an official checkpoint under the names of `FlowAVSENetwork("large")`, on the CPU.

    Weights are those of the moving average where the file has one; statistics of normalisation have none. Floating
    point becomes float32. Whether the tensors are complete and fit a width is for `checkpoints.fill` to say.

    Raises:
        MissingWeights: no such file, or one without a state dict, or with a moving average of other weights.
        InvalidConfig: a key that belongs to no part of the network, or values that are not finite.
    """
    state = weights.load_state(path, frozen=FOURIER)
    expected = "tensors under denoiser_net.* and score_net.* with cross-attention (backbone ncsnpp_crossatt)"
    return renamed(path, state, MODULES, FOURIER, "FlowAVSE or AVDiffuSS", expected)


def renamed(
    path: Path,
    state: Mapping[str, Tensor],
    modules: Mapping[str, str],
    fourier: Mapping[str, str],
    whose: str,
    expected: str,
) -> dict[str, Tensor]:
    """The state dict of an official checkpoint under our names, in our shapes, as float32.

    Args:
        modules: every module that holds tensors: official name to ours.
        fourier: key of each U-net's frozen frequencies to our name of that U-net.
        whose, expected: for the message where a key belongs to none of them.

    Raises:
        InvalidConfig: such a key, or values that are not finite.
    """

    def name_of(key: str) -> str | None:
        if key in fourier:
            return joined(fourier[key], "time.frequencies")
        module, _, leaf = key.rpartition(".")
        return f"{modules[module]}.{LEAVES.get(leaf, leaf)}" if module in modules else None

    unknown = [key for key in state if name_of(key) is None]
    if unknown:
        raise InvalidConfig(
            f"{path} is not an official {whose} checkpoint: {some(unknown)} in its state dict; expected {expected}"
        )
    broken = [key for key, tensor in state.items() if not tensor.isfinite().all()]
    if broken:
        raise InvalidConfig(
            f"{path} holds values that are not finite, in {some(broken)}: its training diverged; get another file"
        )
    return {name: _shaped(key, tensor) for key, tensor in state.items() if (name := name_of(key))}


# Names


def _unet() -> Iterator[tuple[str, Parts]]:
    """The list `all_modules` of the second stage, in order: our place of each, and its parts."""
    yield "time", WHOLE
    yield "time.hidden", WHOLE
    yield "time.output", WHOLE
    yield "input", WHOLE
    for i in range(4):
        yield f"down.{i}.block", BLOCK
        if i > 0:
            yield f"down.{i}.attention", CROSS_ATTENTION
        if i < 3:
            yield f"down.{i}.resample", BLOCK
            yield f"down.{i}.inject", INJECT
    yield "middle.0", BLOCK
    yield "middle.1", SELF_ATTENTION
    yield "middle.2", BLOCK
    for i in range(4):
        yield f"up.{i}.blocks.0", BLOCK
        yield f"up.{i}.blocks.1", BLOCK
        if i < 3:
            yield f"up.{i}.attention", CROSS_ATTENTION
        yield f"up.{i}.norm", WHOLE
        yield f"up.{i}.draw", WHOLE
        if i < 3:
            yield f"up.{i}.resample", BLOCK


def _stage(theirs: str, own: str, conditioned: bool) -> Iterator[tuple[str, str]]:
    """Module names of one stage, official and ours. The first stage has no maps for time in its list."""
    yield f"{theirs}.output_layer", f"{own}.output"
    for part, name in ENCODER.items():
        yield f"{theirs}.visual_encoder.{part}", f"{own}_encoder.{name}"
    modules = [module for module in _unet() if conditioned or not module[0].startswith("time.")]
    for i, (place, parts) in enumerate(modules):
        for part, name in parts.items():
            yield joined(theirs, "all_modules", str(i), part), joined(own, place, name)


def joined(*names: str) -> str:
    """Names with dots between them, empty ones left out."""
    return ".".join(name for name in names if name)


MODULES = dict(_stage("denoiser_net", "predictor", conditioned=False)) | dict(
    _stage("score_net", "refiner", conditioned=True)
)
"""Every module that holds tensors: official name to ours."""


def _shaped(key: str, tensor: Tensor) -> Tensor:
    """A tensor in the shape in which our modules hold it."""
    leaf = key.rpartition(".")[2]
    if leaf == "W" and tensor.ndim == 2:  # `[inputs, outputs]`
        tensor = tensor.T
    elif leaf in ("gamma", "beta"):  # `[1, C, 1]`
        tensor = tensor.flatten()
    elif tensor.ndim == 5:  # `[C, 1, frames, H, W]`: a 3D convolution of one grey channel
        tensor = tensor.squeeze(1)
    return tensor.float() if tensor.is_floating_point() else tensor
