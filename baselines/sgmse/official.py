"""Checkpoints of the official SGMSE+ code under our names.

Such a file is what PyTorch Lightning writes: the state dict (`dnn.*`), the moving average of torch_ema, with which the
official code evaluates, and the settings of the training, which say what the weights are for. The same code trains
other networks and other processes, some with tensors of the same names and shapes; those are refused by their settings.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor

from baselines.flowavse.official import BLOCK, INJECT, SELF_ATTENTION, WHOLE, Parts, joined, renamed
from baselines.flowavse.spectrogram import HOP, N_FFT
from baselines.sgmse.ncsnpp import ATTENTIVE, CHANNELS
from benchmark.errors import InvalidConfig
from benchmark.weights import table as weights

FOURIER = {"dnn.all_modules.0.W": ""}
"""The frozen frequencies; the only parameters that are not trained."""
EXPECTED = {
    "backbone": ("ncsnpp",),
    "sde": ("ouve",),
    "loss_type": ("score_matching", "mse", "mae"),
    "n_fft": (N_FFT,),
    "hop_length": (HOP,),
    "window": ("hann",),
    "transform_type": ("exponent",),
    "centered": (True,),
}
"""What the settings of the official code can be for this network and process, where a file tells them."""
SETTINGS = {
    "theta": "theta",
    "sigma_min": "sigma_min",
    "sigma_max": "sigma_max",
    "t_eps": "end",
    "spec_factor": "factor",
    "spec_abs_exponent": "exponent",
}
"""Settings of the official code that inference has to share, and our names of them."""


def read_checkpoint(path: Path, blocks: int = 2) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors of an official checkpoint under the names of `NCSNpp`, and those of its settings that we have too.

    Weights are those of the moving average where the file has one. Whether the tensors are complete and fit a width is
    for `checkpoints.fill` to say.

    Raises:
        MissingWeights: no such file, or one without a state dict, or with a moving average of other weights.
        InvalidConfig: a key that belongs to no part of the network, values that are not finite, or settings of another
            network, process or transform.
    """
    state, told = weights.load_checkpoint(path, frozen=FOURIER)
    for name, expected in EXPECTED.items():
        if name in told and told[name] not in expected:
            wanted = " or ".join(map(repr, expected))
            raise InvalidConfig(f"{path} was trained with {name} = {told[name]!r}; expected {wanted}, as in SGMSE+")
    modules = dict(_modules(blocks))
    tensors = renamed(path, state, modules, FOURIER, "SGMSE+", "tensors under dnn.* (backbone ncsnpp)")
    return tensors, {ours: told[name] for name, ours in SETTINGS.items() if name in told}


def _unet(blocks: int) -> Iterator[tuple[str, Parts]]:
    """The list `all_modules`, in order: our place of each, and its parts."""
    yield "time", WHOLE
    yield "time.hidden", WHOLE
    yield "time.output", WHOLE
    yield "input", WHOLE
    levels = len(CHANNELS)
    for level in range(levels):
        for i in range(blocks):
            yield f"down.{level}.blocks.{i}", BLOCK
            if level == ATTENTIVE:
                yield f"down.{level}.attention.{i}", SELF_ATTENTION
        if level < levels - 1:
            yield f"down.{level}.resample", BLOCK
            yield f"down.{level}.inject", INJECT
    yield "middle.0", BLOCK
    yield "middle.1", SELF_ATTENTION
    yield "middle.2", BLOCK
    for place in range(levels):
        for i in range(blocks + 1):
            yield f"up.{place}.blocks.{i}", BLOCK
        if place == levels - 1 - ATTENTIVE:
            yield f"up.{place}.attention", SELF_ATTENTION
        yield f"up.{place}.norm", WHOLE
        yield f"up.{place}.draw", WHOLE
        if place < levels - 1:
            yield f"up.{place}.resample", BLOCK


def _modules(blocks: int) -> Iterator[tuple[str, str]]:
    """Every module that holds tensors: official name and ours."""
    yield "dnn.output_layer", "output"
    for number, (place, parts) in enumerate(_unet(blocks)):
        for part, name in parts.items():
            yield joined("dnn", "all_modules", str(number), part), joined(place, name)
