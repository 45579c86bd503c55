"""Read files of weights without running anything that they hold."""

from __future__ import annotations

import pickle
import re
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.errors import PrerequisiteError

# What torch.save wrote before 1.6 begins with this number, pickled.
_OLD_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."


def read_state(path: Path) -> dict[str, Any]:
    """Read a state dict; see `benchmark.weights.load_state`.

    Raises:
        PrerequisiteError: a corrupt file, one that holds no dict, or one that holds pickled classes or functions.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return dict(load_file(path))
        with path.open("rb") as file:
            head = file.read(len(_OLD_TORCH))
        if zipfile.is_zipfile(path) or head == _OLD_TORCH:
            import torch

            state = torch.load(path, map_location="cpu", weights_only=True)
        else:
            with path.open("rb") as file:
                state = _as_tensors(_ArraysOnly(file, encoding="latin1").load())
    except Exception as error:  # parsers meeting a corrupt file raise nearly anything
        if foreign := _foreign(error):
            raise PrerequisiteError(
                f"{path} is refused: expected nothing but tensors, but it holds {foreign}. A file that needs pickled "
                "code to load could run any program; get its state dict as safetensors"
            ) from error
        lines = str(error).splitlines() or [""]
        raise PrerequisiteError(
            f"{path} cannot be read as weights ({type(error).__name__}: {lines[0][:200]}): "
            "expected safetensors or a PyTorch state dict; get the file again"
        ) from error
    if not isinstance(state, Mapping):
        raise PrerequisiteError(f"{path} holds a {type(state).__name__}; expected a dict of tensors")
    return dict(state)


class _Foreign(Exception):
    """Something that is no plain number, text, container or array."""


class _ArraysOnly(pickle.Unpickler):
    """Unpickles numpy arrays in plain containers; also those that Python 2 and older numpy wrote."""

    def find_class(self, module: str, name: str) -> Any:
        numpy_core = module in ("numpy.core.multiarray", "numpy._core.multiarray")
        if numpy_core and name == "_reconstruct":
            return np.empty(0).__reduce__()[0]
        if numpy_core and name == "scalar":
            return np.float32(0).__reduce__()[0]
        if module in ("numpy.core.numeric", "numpy._core.numeric") and name == "_frombuffer":
            return np.empty(0).__reduce_ex__(5)[0]
        if module == "numpy" and name in ("ndarray", "dtype"):
            return getattr(np, name)
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("_codecs", "encode"):
            return _encode_latin1
        raise _Foreign(f"{module}.{name}")


def _encode_latin1(text: str, encoding: str = "latin1") -> bytes:
    """What numpy's pickles of protocol 2 use `_codecs.encode` for, and nothing more."""
    return text.encode("latin1")


def _as_tensors(value: Any) -> Any:
    import torch

    if isinstance(value, Mapping):
        return {key: _as_tensors(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "fiub":
            raise _Foreign(f"an array of {value.dtype}")
        # A copy in native byte order: what was unpickled need not be writable.
        return torch.from_numpy(np.array(value, value.dtype.newbyteorder("="), order="C"))
    return value


def _foreign(error: Exception) -> str | None:
    """What the file would have imported, where it was refused for that."""
    if isinstance(error, _Foreign):
        return str(error)
    # torch names it only within its advice.
    found = re.search(r"(?:GLOBAL|Unsupported (?:class|operand)) ([\w.]+)", str(error))
    return found[1] if found and isinstance(error, pickle.UnpicklingError) else None
