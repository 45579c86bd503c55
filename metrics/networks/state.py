"""Put published weights into a network, all names and shapes as they must be."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from metrics.networks.weight_files import some


def fill(network: nn.Module, state: Mapping[str, Tensor], path: Path, ignore: tuple[str, ...] = ()) -> None:
    """Copy a state dict into a network.

    Args:
        ignore: beginnings of names that the file may hold and the network does not.

    Raises:
        ValueError: a name is missing, left over or of another shape.
    """
    # Files older than torch 0.4.1, and those from Caffe, lack the batch counters, which evaluation does not use.
    own = {name: value for name, value in network.state_dict().items() if not name.endswith("num_batches_tracked")}
    given = {
        name: value
        for name, value in state.items()
        if not name.endswith("num_batches_tracked") and not name.startswith(ignore)
    }
    wrong = [f"no {name}" for name in own if name not in given] + [
        f"unknown {name}" for name in given if name not in own
    ]
    wrong += [
        f"{name} of {list(given[name].shape)}, not {list(value.shape)}"
        for name, value in own.items()
        if name in given and given[name].shape != value.shape
    ]
    if wrong:
        raise ValueError(
            f"{path}: expected the weights of {type(network).__name__}, got {some(wrong)}; give the published file"
        )
    network.load_state_dict(given, strict=False)
