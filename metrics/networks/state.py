"""Read published weights into a network without running anything that the file holds."""

from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

# What torch.save wrote before 1.6 begins with this number, pickled.
_OLD_TORCH = bytes.fromhex("80028a0a6cfc9c46f9206aa85019")


def read_tensors(path: Path) -> dict[str, Tensor]:
    """A state dict from safetensors, a torch file of tensors, or a pickled dict of numpy arrays.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a corrupt file, or one that needs code of its own to load.
    """
    path = Path(path)
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return dict(load_file(path))
        with path.open("rb") as file:
            head = file.read(len(_OLD_TORCH))
            if zipfile.is_zipfile(path) or head == _OLD_TORCH:
                state = torch.load(path, map_location="cpu", weights_only=True)
            else:
                file.seek(0)
                state = _ArraysOnly(file, encoding="latin1").load()
        return {str(key): _tensor(value) for key, value in state.items()}
    except FileNotFoundError:
        raise
    except Exception as error:  # parsers meeting a corrupt file raise nearly anything
        reason = (str(error).splitlines() or [""])[0][:200]
        raise ValueError(
            f"{path}: expected a state dict of tensors and nothing else, got {type(error).__name__}: {reason}; "
            "fetch the file again, or save its tensors as safetensors"
        ) from error


def fill(network: nn.Module, state: Mapping[str, Tensor], path: Path, ignore: tuple[str, ...] = ()) -> None:
    """Copy a state dict into a network, all names and shapes as they must be.

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
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise ValueError(
            f"{path}: expected the weights of {type(network).__name__}, got {', '.join(wrong[:3])}{more}; "
            "give the published file"
        )
    network.load_state_dict(given, strict=False)


class _ArraysOnly(pickle.Unpickler):
    """Makes numpy arrays in plain containers, as Python 2 and 3 pickle them, and refuses everything else."""

    def find_class(self, module: str, name: str) -> Any:
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
            return np.empty(0).__reduce__()[0]
        if module == "numpy" and name in ("ndarray", "dtype"):
            return getattr(np, name)
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("_codecs", "encode"):
            return lambda text, _: text.encode("latin1")  # how protocol 2 of Python 3 writes bytes
        raise pickle.UnpicklingError(f"{module}.{name} is no array")


def _tensor(value: Any) -> Tensor:
    if isinstance(value, Tensor):
        return value
    array = np.asarray(value)
    if array.dtype.kind not in "fiu":
        raise ValueError(f"an entry of type {type(value).__name__}")
    return torch.from_numpy(np.array(array, array.dtype.newbyteorder("="), order="C"))
