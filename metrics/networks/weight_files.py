"""Read the files of weights that authors publish, and find the state dict in them; nothing in a file is executed.

Read are safetensors, both formats of `torch.save` (the zip archive, and the one before PyTorch 1.6), and pickles of
numpy arrays. Tensors, arrays, numbers, text and containers are rebuilt; everything else is a name that does nothing
(`inert_pickle.Inert`). What a file claims is held against its size before memory is taken for it.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from metrics.networks.inert_pickle import Bounded, Inert, InertUnpickler, Maker, Unsafe
from metrics.networks.not_weights import not_weights
from metrics.networks.onnx_files import first_nodes

OLD_MAGIC = 0x1950A86A20F9469CFC6C
"""What `torch.save` pickled first before PyTorch 1.6."""
_OLD_HEAD = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
OLD_PROTOCOL = 1001
MOST_VALUES = 16, 2**24
"""Values of all tensors together: so many times those stored, and so many more; stride 0 makes many of one."""
DTYPES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexDoubleStorage": torch.complex128,
    "ComplexFloatStorage": torch.complex64,
    "UntypedStorage": torch.uint8,
}
ARRAYS = frozenset(
    {"bool", "float16", "float32", "float64", "complex64", "complex128"}
    | {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}
)
"""Types of arrays that tensors have too."""
AVERAGED = ("params_ema", "state_dict_ema", "model_ema", "ema_state_dict", "ema_model", "g_ema", "G_ema", "ema")
"""Names of moving averages, in the order in which they are looked for: they are what is evaluated."""
PLAIN = (
    *("state_dict", "model_state_dict", "model_state", "model", "net", "network", "params", "weights", "module"),
    *("generator", "generator_state_dict", "netG", "net_g", "G", "g"),
)
"""Names of weights, in the order in which they are looked for."""
LEVELS = 3
"""Tables within tables that are looked through."""
WRAPPERS = ("module.", "_orig_mod.")
"""What DataParallel and torch.compile put before each name."""
STATE_DICTS = (".pt", ".pth", ".ckpt", ".pkl", ".bin", ".safetensors")
"""Ends of the names of files that hold state dicts."""
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
"""Ends of the names of normalisation's statistics, which are no parameters."""


class UnreadableWeights(ValueError):
    """A file that is no file of weights, or none that can be used; the message names it and the reason."""


def read_weights(path: Path, frozen: Collection[str] = ()) -> dict[str, Tensor]:
    """The state dict in a file of weights, on the CPU. As `read_file` and `state_dict`."""
    return state_dict(read_file(path), path, frozen)


def read_file(path: Path) -> Any:
    """All that a file of weights holds, in plain containers; tensors on the CPU, those of one storage sharing it.

    Raises:
        OSError: as the system says, such as FileNotFoundError.
        UnreadableWeights: another kind of file, a corrupt one, or one that claims more than its size can hold.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            head = file.read(64)
            file.seek(0)
            size = path.stat().st_size
            if _is_safetensors(head, size):
                from safetensors.torch import load_file

                return dict(load_file(path))
            if head[:4] == b"PK\x03\x04":
                return _read_zip(file, size)
            if _OLD_HEAD in head:
                return _read_old(file, size)
            if what := not_weights(path):
                raise Unsafe(f"it is {what}")
            if head[:1] not in (b"\x80", b"(", b"}", b"]", b"c"):  # how pickles of all protocols begin
                raise Unsafe("it is another kind of file")
            return _TorchUnpickler(Bounded(file, size), size, makers=_BARE).load()
    except OSError:
        raise
    except Exception as error:  # parsers meeting a corrupt file raise nearly anything
        reason = str(error) if isinstance(error, Unsafe) else f"{type(error).__name__}: {error}"
        raise UnreadableWeights(
            f"{path} cannot be read as weights ({ascii((reason.splitlines() or [''])[0][:200])[1:-1]}): expected "
            "safetensors, a file of torch.save or a pickle of numpy arrays; get the file again"
        ) from error


def state_dict(content: Any, path: Path, frozen: Collection[str] = ()) -> dict[str, Tensor]:
    """Find the state dict in what `read_file` gave.

    It is the whole content, or stands under one of the names that authors use, such as `state_dict`, `model`, `net`,
    `params`; or it is the one table of tensors in the file. A moving average takes the place of the weights that it
    follows: a table (`params_ema`), or the list of torch_ema (`shadow_params`, in the order of the parameters).
    `module.` before each name is left out. Arrays become tensors.

    Args:
        frozen: names of parameters that are not trained. torch_ema before 0.3 leaves them out of its list.

    Raises:
        UnreadableWeights: no such table or several, values that are no tensors, or an average that does not fit.
    """
    tensors, averaged = _named(content, path)
    average = next((v for v in content.values() if isinstance(v, dict) and "shadow_params" in v), None)
    strange = [name for name in AVERAGED if isinstance(content.get(name), dict | Inert) and content[name] != {}]
    if strange and averaged is None and average is None:
        raise UnreadableWeights(
            f"{path} has a moving average ('{strange[0]}') without tensors by name or as 'shadow_params'"
        )
    if average is not None:
        tensors = _listed(tensors, average["shadow_params"], frozen, path)
    while wrapper := next((w for w in WRAPPERS if all(name.startswith(w) for name in tensors)), None):
        tensors = {name.removeprefix(wrapper): tensor for name, tensor in tensors.items()}
    return tensors


def check_file(path: Path, suffix: str) -> None:
    """Read a file as far as is needed to know that it is whole: one of weights, or one that comes with them.

    Args:
        suffix: the end of the name that the file will have, which tells its kind.

    Raises:
        OSError: as the system says.
        UnreadableWeights: it is not of that kind, or is cut short; the message names it and the reason.
    """
    path = Path(path)
    if what := not_weights(path, suffix):
        raise UnreadableWeights(f"{path} is {what}")
    if suffix in STATE_DICTS:
        _named(read_file(path), path)
        return
    try:
        if suffix == ".onnx":
            first_nodes(path.read_bytes(), 1, str(path))
        elif suffix == ".json":
            json.loads(path.read_bytes())
    except ValueError as error:
        raise UnreadableWeights(f"{path} cannot be read as {suffix}: {error}") from error


# Where the state dict is


def _named(content: Any, path: Path) -> tuple[dict[str, Tensor], dict[Any, Any] | None]:
    """The tensors by name, and the table of averages that took their place, where there is one."""
    if not isinstance(content, dict):
        raise UnreadableWeights(f"{path} holds {_what(content)}; expected a table of tensors")
    plain, averaged = _found(content, PLAIN), _found(content, AVERAGED)
    if plain is None and averaged is None:
        plain = _only(content, path)
    tensors: dict[str, Tensor] = {}
    for table in (plain, averaged):
        tensors |= _tensors(table, path) if table is not None else {}
    if averaged is not None and plain is not None and not averaged.keys() <= plain.keys():
        tensors = _tensors(averaged, path)  # of another network, or behind another prefix: not a part of the plain one
    return tensors, averaged


def _is_table(value: Any) -> bool:
    return isinstance(value, dict) and any(isinstance(item, Tensor | np.ndarray) for item in value.values())


def _found(content: dict[Any, Any], names: Collection[str], levels: int = LEVELS) -> dict[Any, Any] | None:
    """The first table of tensors under one of the names, or under such a name below it."""
    for name in names:
        value = content.get(name)
        if isinstance(value, dict):
            within = _found(value, (*AVERAGED, *PLAIN), levels - 1) if levels else None
            if within is not None or _is_table(value):
                return within or value
    return None


def _only(content: dict[Any, Any], path: Path) -> dict[Any, Any]:
    """The content itself where all of it is tensors, or the one table of tensors in it."""
    tables = [name for name, value in content.items() if _is_table(value)]
    if len(tables) == 1:
        return content[tables[0]]
    if _is_table(content):
        return content
    if tables:
        raise UnreadableWeights(
            f"{path} holds several tables of tensors: {some(map(_name, tables))}; expected one, or one named "
            "state_dict, model, net, params or generator"
        )
    held = some(f"{_name(name)} ({_what(value)})" for name, value in content.items())
    raise UnreadableWeights(f"{path} holds no table of tensors: expected a state dict, got {held or 'nothing'}")


def _tensors(table: dict[Any, Any], path: Path) -> dict[str, Tensor]:
    wrong = [
        f"{_name(name)} is {_what(value)}"
        for name, value in table.items()
        if not isinstance(name, str)
        or not (isinstance(value, Tensor) or (isinstance(value, np.ndarray) and value.dtype.name in ARRAYS))
    ]
    if wrong:
        raise UnreadableWeights(f"{path}: expected a state dict of nothing but tensors with names, but {some(wrong)}")
    # A copy in native byte order: what was unpickled need not be writable.
    return {
        name: value
        if isinstance(value, Tensor)
        else torch.from_numpy(np.array(value, value.dtype.newbyteorder("="), order="C"))
        for name, value in table.items()
    }


def _listed(state: dict[str, Tensor], average: Any, frozen: Collection[str], path: Path) -> dict[str, Tensor]:
    """Put a moving average, a list in the order of the parameters, in the place of the parameters."""
    if not isinstance(average, list | tuple) or not all(isinstance(tensor, Tensor) for tensor in average):
        raise UnreadableWeights(f"{path} has a moving average whose 'shadow_params' are no list of tensors")
    followed = [name for name in state if not name.endswith(STATISTICS)]
    trained = [name for name in followed if name not in frozen]
    # torch_ema 0.3 follows every parameter, its earlier versions only those that are trained.
    names = followed if len(average) == len(followed) else trained
    if len(average) != len(names):
        expected = f"{len(followed)}, one for each parameter of its state dict"
        expected += f", or {len(trained)}, one for each that is trained" if len(trained) < len(followed) else ""
        raise UnreadableWeights(f"{path} has a moving average of {len(average)} tensors; expected {expected}")
    wrong = [
        f"{tuple(tensor.shape)} for {_name(name)} of shape {tuple(state[name].shape)}"
        for name, tensor in zip(names, average, strict=True)
        if tensor.shape != state[name].shape
    ]
    if wrong:
        raise UnreadableWeights(f"{path} has a moving average that does not fit its state dict: {some(wrong)}")
    return {**state, **dict(zip(names, average, strict=True))}


def _what(value: Any) -> str:
    if isinstance(value, Inert | Maker):
        return f"a pickled {ascii(value.name)[1:-1][:100]}"
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype}"
    return f"a {type(value).__name__}"


def _name(name: Any) -> str:
    return ascii(name)[1:-1][:100] if isinstance(name, str) else f"the {type(name).__name__} {ascii(name)[:50]}"


def some(items: Iterable[str]) -> str:
    """The first few of what a message has to name, and how many there are besides."""
    items = list(items)
    return "; ".join(items[:3]) + (f" and {len(items) - 3} more" if len(items) > 3 else "")


# Formats


def _is_safetensors(head: bytes, size: int) -> bool:
    """The length of a JSON table, then the table."""
    return len(head) > 8 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") + 8 <= size


def _read_zip(file: BinaryIO, size: int) -> Any:
    if not zipfile.is_zipfile(file):
        raise Unsafe("a zip archive without its end: it is cut short")
    with zipfile.ZipFile(file) as archive:
        names = {name.partition("/")[2]: name for name in archive.namelist()}
        if "constants.pkl" in names:
            raise Unsafe("it is TorchScript, a program; get its state dict")
        if "data.pkl" not in names:
            raise Unsafe("a zip archive without data.pkl")

        def member(name: str) -> zipfile.ZipInfo:
            info = archive.getinfo(names[name])
            if info.compress_type != zipfile.ZIP_STORED:
                raise Unsafe(f"{ascii(name)[:50]} is compressed, which torch.save does not do")
            if info.file_size > size:
                raise Unsafe(f"{ascii(name)[:50]} should have {info.file_size} bytes in a file of {size}")
            return info

        if "byteorder" in names and archive.read(member("byteorder")) != b"little":
            raise Unsafe("its numbers are in the byte order of other machines (big-endian)")

        def fill(key: str, buffer: np.ndarray) -> None:
            info = member(f"data/{key}")
            if info.file_size != len(buffer):
                raise Unsafe(f"a storage of {len(buffer)} bytes beside {info.file_size} bytes of data")
            # Straight into its place: through zipfile each storage would be copied three times.
            file.seek(info.header_offset)
            header = file.read(30)
            name, extra = (int.from_bytes(header[i : i + 2], "little") for i in (26, 28))
            file.seek(info.header_offset + 30 + name + extra)
            _read_into(file, buffer)
            if zlib.crc32(buffer) != info.CRC:
                raise Unsafe("a wrong check sum: it is damaged")

        pickled = archive.read(member("data.pkl"))
        return _TorchUnpickler(Bounded(io.BytesIO(pickled), len(pickled)), size, fill).load()


def _read_old(file: BinaryIO, size: int) -> Any:
    """Magic number, protocol, machine, content, keys of the storages: five pickles; then the storages' bytes."""
    source = Bounded(file, size)
    magic, protocol, machine = (InertUnpickler(source).load() for _ in range(3))
    if magic != OLD_MAGIC or protocol != OLD_PROTOCOL:
        raise Unsafe("a version of torch.save that is not known")
    if not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise Unsafe("its numbers are in the byte order of other machines (big-endian)")
    unpickler = _TorchUnpickler(source, size)
    content = unpickler.load()
    keys = InertUnpickler(source).load()
    if not isinstance(keys, list) or not all(isinstance(key, str) and key in unpickler.storages for key in keys):
        raise Unsafe("a list of storages that are not in it")
    if len(set(keys)) != len(keys) or len(keys) != len(unpickler.storages):
        raise Unsafe("a list of storages with some missing or repeated")
    for key in keys:
        storage = unpickler.storages[key]
        count = int.from_bytes(source.read(8), "little")
        if count * storage.dtype.itemsize != len(storage.buffer):
            raise Unsafe(f"a storage of {len(storage.buffer)} bytes beside {count * storage.dtype.itemsize} of data")
        if source.left < len(storage.buffer):
            raise Unsafe("it is cut short")
        _read_into(file, storage.buffer)
        source.left -= len(storage.buffer)
    return content


def _read_into(file: Any, buffer: np.ndarray) -> None:
    view, done = memoryview(buffer), 0
    while done < len(view):
        count = file.readinto(view[done:])
        if not count:
            raise Unsafe("it is cut short")
        done += count


class _Storage:
    """A stretch of memory that tensors look at."""

    __slots__ = ("buffer", "dtype", "memory")

    def __init__(self, buffer: np.ndarray, dtype: torch.dtype) -> None:
        self.buffer, self.dtype = buffer, dtype
        self.memory = torch.from_numpy(buffer)


class _TorchUnpickler(InertUnpickler):
    """Rebuilds tensors too, all on the CPU.

    Args:
        size: bytes that all storages together can have: those of the file.
        fill: writes a storage's bytes into a buffer, by its key; without it the buffers stay to be filled.
        makers: what may be called; by default what torch.save names.
    """

    def __init__(
        self, file: Bounded, size: int, fill: Any = None, makers: Mapping[tuple[str, str], Any] | None = None
    ) -> None:
        super().__init__(file, makers or _TORCH)
        self.storages: dict[str, _Storage] = {}
        self._left, self._size, self._fill = size, size, fill
        self._values = 0

    def persistent_load(self, pid: Any) -> _Storage | Inert:
        if isinstance(pid, tuple) and len(pid) == 4 and pid[0] == "module":  # a class with its source text
            return pid[1] if isinstance(pid[1], Inert) else Inert("module")
        if not (isinstance(pid, tuple) and len(pid) in (5, 6) and pid[0] == "storage"):
            raise Unsafe("a reference to something that is no storage")
        _, kind, key, _, count, *view = pid
        if any(view) or not isinstance(key, str) or type(count) is not int or count < 0:
            raise Unsafe("a storage of another form")
        if not isinstance(kind, torch.dtype):
            raise Unsafe(f"tensors of type {_what(kind)}")
        if key not in self.storages:
            length = count * kind.itemsize
            self._left -= length
            if self._left < 0:
                raise Unsafe(f"storages of more bytes than the file has ({self._size})")
            self.count()
            buffer = np.empty(length, np.uint8)
            if self._fill is not None:
                self._fill(key, buffer)
            self.storages[key] = _Storage(buffer, kind)
        storage = self.storages[key]
        return storage if storage.dtype == kind else _Storage(storage.buffer, kind)

    def tensor(self, storage: Any, offset: Any, shape: Any, stride: Any, dtype: torch.dtype | None = None) -> Tensor:
        numbers = [offset, *shape, *stride] if isinstance(shape, tuple) and isinstance(stride, tuple) else [None]
        if not isinstance(storage, _Storage) or not all(type(n) is int and 0 <= n < 2**48 for n in numbers):
            raise Unsafe("a tensor of another form")
        if len(shape) != len(stride) or len(shape) > 32:
            raise Unsafe(f"a tensor of {len(shape)} dimensions with {len(stride)} strides")
        dtype = dtype or storage.dtype
        count = math.prod(shape)
        last = offset + sum((n - 1) * step for n, step in zip(shape, stride, strict=True)) + 1 if count else 0
        if last * dtype.itemsize > len(storage.buffer):
            raise Unsafe(f"a tensor of shape {list(shape)} that reaches beyond its {len(storage.buffer)} bytes")
        times, more = MOST_VALUES
        self._values += count
        if self._values > times * self._size + more:
            raise Unsafe("tensors of many times the values that are stored")
        if not count:
            return torch.empty(shape, dtype=dtype)
        whole = len(storage.buffer) // dtype.itemsize * dtype.itemsize
        return storage.memory[:whole].view(dtype).as_strided(shape, stride, offset)


def _tensor(of: _TorchUnpickler, storage: Any, offset: Any, shape: Any, stride: Any, *more: Any) -> Tensor:
    """`_rebuild_tensor` and its version 2, which adds requires_grad, hooks and marks of lazy views."""
    if len(more) > 2 and more[2]:
        raise Unsafe("a tensor that is a conjugate or negative view")
    return of.tensor(storage, offset, shape, stride)


def _tensor_of_dtype(of: _TorchUnpickler, storage: Any, offset: Any, shape: Any, stride: Any, *more: Any) -> Tensor:
    """`_rebuild_tensor_v3`: requires_grad, hooks, the type, marks."""
    if len(more) < 3 or not isinstance(more[2], torch.dtype) or any(more[3:]):
        raise Unsafe("a tensor of another form")
    return of.tensor(storage, offset, shape, stride, more[2])


def _parameter(of: _TorchUnpickler, tensor: Any, *_: Any) -> Any:
    return tensor


def _subclass(of: _TorchUnpickler, make: Any, kind: Any, arguments: Any, *_: Any) -> Any:
    """A tensor of another class, or with attributes of its own: the tensor."""
    return of.call(make, arguments)


def _size(of: _TorchUnpickler, numbers: Any = ()) -> tuple[Any, ...]:
    if not isinstance(numbers, tuple | list):
        raise Unsafe("a torch.Size of something that is no tuple")
    of.copy(8 * len(numbers))
    return tuple(numbers)


def _saved_storage(of: _TorchUnpickler, content: Any) -> Any:
    """A storage as a bare pickle holds it: a file of `torch.save` within the file. It holds no further one."""
    if not isinstance(content, bytes):
        raise Unsafe("a storage of another form")
    of.copy(len(content))
    return _read_old(io.BytesIO(content), len(content))


def _known() -> Iterator[tuple[tuple[str, str], Any]]:
    for version in ("_rebuild_tensor", "_rebuild_tensor_v2"):
        yield ("torch._utils", version), Maker(version, _tensor)
    yield ("torch._utils", "_rebuild_tensor_v3"), Maker("_rebuild_tensor_v3", _tensor_of_dtype)
    for version in ("_rebuild_parameter", "_rebuild_parameter_with_state"):
        yield ("torch._utils", version), Maker(version, _parameter)
    yield ("torch._tensor", "_rebuild_from_type_v2"), Maker("_rebuild_from_type_v2", _subclass)
    yield ("torch", "Size"), Maker("torch.Size", _size)
    for name, dtype in DTYPES.items():
        for module in ("torch", "torch.cuda", "torch.storage"):
            yield (module, name), dtype
    for name, dtype in vars(torch).items():
        if isinstance(dtype, torch.dtype) and not name.startswith(("q", "bits")):
            yield ("torch", name), dtype


_TORCH: Mapping[tuple[str, str], Any] = dict(_known())
_BARE = {**_TORCH, ("torch.storage", "_load_from_bytes"): Maker("_load_from_bytes", _saved_storage)}
"""With what `pickle.dump` names for tensors."""
