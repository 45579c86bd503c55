"""Checkpoints of the official FlowAVSE code, and of AVDiffuSS, which has the same networks, under our names.

Such a file is what PyTorch Lightning 1.9 writes. Kept of it are the state dict (`denoiser_net.*`, the first stage, and
`score_net.*`, the second) and the moving average of torch_ema, which the official code evaluates with. Beside them
stand optimiser states, and hyper-parameters with a pickled class: nothing that the file names is imported or called.
"""

from __future__ import annotations

import pickle
import tarfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from benchmark.errors import InvalidConfig, MissingWeights

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
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def is_official(path: Path) -> bool:
    """Say whether a file of weights is to be read as an official checkpoint: ours are safetensors."""
    return path.suffix != ".safetensors"


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The tensors of an official checkpoint under the names of `FlowAVSENetwork("large")`, on the CPU.

    Weights are those of the moving average where the file has one; statistics of normalisation have none. Floating
    point becomes float32. Whether the tensors are complete and fit a width is for `checkpoints.fill` to say.

    Raises:
        MissingWeights: no such file, or one that is not a PyTorch checkpoint.
        InvalidConfig: no state dict, a key that belongs to no part of the network, a moving average of other weights,
            or values that are not finite.
    """
    checkpoint = _load(path)
    state = checkpoint.get("state_dict") if isinstance(checkpoint, dict) else None
    if not isinstance(state, dict) or not state:
        raise InvalidConfig(
            f"{path} has no 'state_dict'; expected the .ckpt file of the official FlowAVSE or AVDiffuSS code, or "
            "a .safetensors file of this package"
        )
    unknown = [str(key) for key, value in state.items() if not isinstance(value, Tensor) or _renamed(key) is None]
    if unknown:
        raise InvalidConfig(
            f"{path} is not an official FlowAVSE or AVDiffuSS checkpoint: {_some(unknown)} in its state dict; expected "
            "tensors under denoiser_net.* and score_net.* with cross-attention (backbone ncsnpp_crossatt)"
        )
    if checkpoint.get("ema") is not None:
        state = _averaged(state, checkpoint["ema"], path)
    broken = [key for key, tensor in state.items() if not tensor.isfinite().all()]
    if broken:
        raise InvalidConfig(
            f"{path} holds values that are not finite, in {_some(broken)}: its training diverged; get another file"
        )
    return {name: _shaped(key, tensor) for key, tensor in state.items() if (name := _renamed(key))}


def _averaged(state: Mapping[str, Tensor], ema: Any, path: Path) -> dict[str, Tensor]:
    """Put the moving average, a list in the order of the parameters, in the place of the parameters."""
    average = ema.get("shadow_params") if isinstance(ema, dict) else None
    if not isinstance(average, list) or not all(isinstance(tensor, Tensor) for tensor in average):
        raise InvalidConfig(f"{path} has a moving average ('ema') without 'shadow_params', a list of tensors")
    followed = [key for key in state if not key.endswith(STATISTICS)]
    trained = [key for key in followed if key not in FOURIER]
    # torch_ema 0.3 follows every parameter, its earlier versions only those that are trained.
    names = followed if len(average) == len(followed) else trained
    if len(average) != len(names):
        raise InvalidConfig(
            f"{path} has a moving average of {len(average)} tensors; expected {len(followed)}, one for each parameter "
            f"of its state dict, or {len(trained)}, one for each that is trained"
        )
    wrong = [
        f"{tuple(tensor.shape)} for {name} of shape {tuple(state[name].shape)}"
        for name, tensor in zip(names, average, strict=True)
        if tensor.shape != state[name].shape
    ]
    if wrong:
        raise InvalidConfig(f"{path} has a moving average that does not fit its state dict: {_some(wrong)}")
    return {**state, **dict(zip(names, average, strict=True))}


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
            yield _joined(theirs, "all_modules", str(i), part), _joined(own, place, name)


def _joined(*names: str) -> str:
    return ".".join(name for name in names if name)


MODULES = dict(_stage("denoiser_net", "predictor", conditioned=False)) | dict(
    _stage("score_net", "refiner", conditioned=True)
)
"""Every module that holds tensors: official name to ours."""


def _renamed(key: Any) -> str | None:
    if not isinstance(key, str):
        return None
    if key in FOURIER:
        return f"{FOURIER[key]}.time.frequencies"
    module, _, leaf = key.rpartition(".")
    return f"{MODULES[module]}.{LEAVES.get(leaf, leaf)}" if module in MODULES else None


def _shaped(key: str, tensor: Tensor) -> Tensor:
    """A tensor in the shape in which our modules hold it."""
    leaf = key.rpartition(".")[2]
    tensor = tensor.detach()
    if leaf == "W" and tensor.ndim == 2:  # `[inputs, outputs]`
        tensor = tensor.T
    elif leaf in ("gamma", "beta"):  # `[1, C, 1]`
        tensor = tensor.flatten()
    elif tensor.ndim == 5:  # `[C, 1, frames, H, W]`: a 3D convolution of one grey channel
        tensor = tensor.squeeze(1)
    return tensor.float() if tensor.is_floating_point() else tensor


def _some(items: list[str]) -> str:
    return "; ".join(items[:3]) + (f" and {len(items) - 3} more" if len(items) > 3 else "")


# Reading without trust


class _StandIn(dict[Any, Any]):
    """What any class or function in a file becomes: a table of what is put into it by key, inert otherwise.

    So an ordered dict keeps its items, and an object of an unknown class is an empty table.
    """

    __hash__ = object.__hash__  # a key of the file's tables, as enumerations are

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def __call__(self, *args: Any, **kwargs: Any) -> _StandIn:
        return self

    def _ignore(self, *args: Any) -> None:
        pass

    __setstate__ = append = extend = add = _ignore


class _Sealed:
    """A function that an unpickler can call and, unlike the function itself, not set attributes of."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[..., Tensor]) -> None:
        self._call = call

    def __call__(self, *args: Any) -> Tensor:
        return self._call(*args)

    def __setstate__(self, state: Any) -> None:
        pass


class _Unpickler(pickle._Unpickler):  # type: ignore[misc, name-defined]
    """Rebuilds tensors, plain values and plain containers; torch.load resolves the types of storages before it.

    This is pickle's form in Python: a corrupt number in a file makes the one in C ask for all memory, since it keeps
    what it has read in an array. So would BYTEARRAY8 here, which no checkpoint needs.
    """

    dispatch = {
        code: load
        for code, load in pickle._Unpickler.dispatch.items()
        if code != pickle.BYTEARRAY8[0]  # type: ignore[attr-defined]
    }
    tensors = {
        ("torch._utils", "_rebuild_tensor_v2"): _Sealed(torch._utils._rebuild_tensor_v2),
        ("torch._utils", "_rebuild_parameter"): _Sealed(torch._utils._rebuild_parameter),
    }

    def find_class(self, module: str, name: str) -> Any:
        return self.tensors.get((module, name), _StandIn)


_PICKLE = SimpleNamespace(
    __name__="pickle", Unpickler=_Unpickler, load=lambda file, **options: _Unpickler(file, **options).load()
)


def _load(path: Path) -> Any:
    if not path.is_file():
        raise MissingWeights(f"{path} is not a file; expected a checkpoint of the official FlowAVSE or AVDiffuSS code")
    try:
        # torch.load would unpack such a file, of PyTorch before 0.1.10, into a temporary folder.
        if tarfile.is_tarfile(path):
            raise ValueError("a tar archive")
        with warnings.catch_warnings():
            # It would hand TorchScript, which is a program, to torch.jit.load, but warns before.
            warnings.filterwarnings("error", message=".*TorchScript")
            return torch.load(path, map_location="cpu", weights_only=False, pickle_module=_PICKLE)
    except Exception as error:  # parsers meeting a corrupt file raise nearly anything
        reason = (str(error).splitlines() or [""])[0][:200]
        raise MissingWeights(
            f"{path} cannot be read as a PyTorch checkpoint ({type(error).__name__}: {reason}); get the file again"
        ) from error
