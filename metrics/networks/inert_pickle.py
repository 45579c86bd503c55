"""Unpickle data without running, importing or trusting anything that the pickle names.

Numbers, text, bytes, lists, tuples, dicts, sets and numpy arrays are rebuilt; every class and function that is not one
of those below becomes an `Inert` name. Work and memory stay in proportion to the size of the file.
"""

from __future__ import annotations

import math
import pickle
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np

MOST_OBJECTS = 2_000_000
"""Containers, names and memo entries of one pickle; a training checkpoint has some ten thousands."""
MOST_IN_KEY = 64
"""Values in one tuple or frozenset that is a key. The hash of a nested tuple is computed anew from its leaves each
time, so that 60 pairs within pairs would take for ever."""
MOST_ALIKE = 16
"""Different keys with the same hash: Python compares each with all before it."""


class Unsafe(Exception):
    """What a pickle asks for and does not get: the reason in words."""


class Inert:
    """The name of a class or function in a file, or of an object made by it. It holds nothing and does nothing."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"<pickled {self.name}>"


class Maker:
    """A known class or function: what a file may call, with the unpickler before its arguments."""

    __slots__ = ("make", "name")

    def __init__(self, name: str, make: Callable[..., Any]) -> None:
        self.name, self.make = name, make

    def __repr__(self) -> str:
        return f"<{self.name}>"


class Bounded:
    """A stretch of a file, or all of it, as an unpickler reads it: no more is asked for than there is."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self.left = file, size

    def read(self, count: int) -> bytes:
        if not 0 <= count <= self.left:
            raise Unsafe(f"it is cut short: {count} bytes should follow where {self.left} are left")
        self.left -= count
        return self._file.read(count)

    def readline(self) -> bytes:
        line = self._file.readline(self.left)
        self.left -= len(line)
        return line


class InertUnpickler(pickle._Unpickler):  # type: ignore[misc, name-defined]
    """Reads one pickle of protocol 0 to 5, also of Python 2.

    This is pickle's form in Python. The one in C takes all memory for a corrupt number, since it keeps what it has read
    in an array, and hashes whatever a file makes a key.

    Args:
        makers: what may be called beside the containers and arrays known here, by module and name.
    """

    def __init__(self, file: Bounded, makers: Mapping[tuple[str, str], Any] | None = None) -> None:
        super().__init__(file, encoding="latin1")
        self.makers = {**_MAKERS, **(makers or {})}
        self._objects = 0
        self._copies = 4 * file.left + 2**24
        self._keys: dict[int, list[Any]] = {}

    def load(self) -> Any:
        """The pickle's content.

        Raises:
            Unsafe: it claims more than a file of its size can hold, or is made to take for ever.
            Exception: nearly any, where the file is corrupt.
        """
        return super().load()

    def find_class(self, module: str, name: str) -> Any:
        self.count()
        found = self.makers.get((module, name))
        return Inert(f"{module}.{name}") if found is None else found

    def count(self, number: int = 1) -> None:
        self._objects += number
        if self._objects > MOST_OBJECTS:
            raise Unsafe(f"more than {MOST_OBJECTS:,} objects in one pickle")

    def copy(self, size: int) -> None:
        """Count bytes that are copied: a pickle could ask for the same ones over and over."""
        self._copies -= size
        if self._copies < 0:
            raise Unsafe("copies of several times its own size")

    def call(self, function: Any, arguments: Any) -> Any:
        self.count()
        if not isinstance(function, Maker):
            return Inert(function.name if isinstance(function, Inert) else type(function).__name__)
        if not isinstance(arguments, tuple):
            raise Unsafe(f"arguments of {function.name} that are no tuple")
        return function.make(self, *arguments)

    def check_key(self, key: Any) -> None:
        """Refuse a key whose hash, or whose comparison with others, would take long."""
        kind = type(key)
        if kind in (tuple, frozenset):
            self.count(_size_of_key(key))
        elif kind is int and key.bit_length() > 64:
            raise Unsafe("a key that is a number of more than 64 bits")
        elif kind not in _KEYS:
            raise Unsafe(f"a key of type {kind.__name__}")
        alike = self._keys.setdefault(hash(key), [])
        if key not in alike:
            if len(alike) == MOST_ALIKE:
                raise Unsafe("keys that are made to have one hash")
            alike.append(key)

    # What is overridden: whatever calls, imports, sets attributes, hashes, or allots memory by a number in the file.

    dispatch = dict(pickle._Unpickler.dispatch)  # type: ignore[attr-defined]

    def _reduce(self) -> None:
        arguments = self.stack.pop()
        self.stack[-1] = self.call(self.stack[-1], arguments)

    def _newobj_ex(self) -> None:
        self.stack.pop()  # keywords
        self._reduce()

    def _inst(self) -> None:
        function = self.find_class(self.readline()[:-1].decode("ascii"), self.readline()[:-1].decode("ascii"))
        arguments = self.pop_mark()
        self.append(self.call(function, tuple(arguments)))

    def _obj(self) -> None:
        arguments = self.pop_mark()
        self.append(self.call(arguments[0], tuple(arguments[1:])))

    def _build(self) -> None:
        state = self.stack.pop()
        target = self.stack[-1]
        if isinstance(target, _Type):
            target.build(state)
        elif isinstance(target, np.ndarray):
            _fill(self, target, state)

    def _extension(self) -> None:
        raise Unsafe("an extension code, which stands for a class of one installation")

    def _out_of_band(self) -> None:
        raise Unsafe("a buffer outside the pickle")

    def _bytearray(self) -> None:
        (length,) = np.frombuffer(self.read(8), "<u8").tolist()
        self.append(bytearray(self.read(length)))

    def _put(self, place: int) -> None:
        if place < 0:
            raise Unsafe("a negative place in the memo")
        self.count()
        self.memo[place] = self.stack[-1]

    def _mark(self) -> None:
        self.count()
        super().load_mark()

    def _append(self) -> None:
        value = self.stack.pop()
        if isinstance(self.stack[-1], list):
            self.stack[-1].append(value)

    def _appends(self) -> None:
        values = self.pop_mark()
        if isinstance(self.stack[-1], list):
            self.stack[-1].extend(values)

    def _setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._set([key, value])

    def _setitems(self) -> None:
        self._set(self.pop_mark())

    def _set(self, items: Sequence[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict):
            return
        for key, value in zip(items[::2], items[1::2], strict=True):
            self.check_key(key)
            target[key] = value

    def _dict(self) -> None:
        items = self.pop_mark()
        self.append({})
        self._set(items)

    def _additems(self) -> None:
        items = self.pop_mark()
        if isinstance(self.stack[-1], set):
            for item in items:
                self.check_key(item)
                self.stack[-1].add(item)

    def _frozenset(self) -> None:
        items = self.pop_mark()
        for item in items:
            self.check_key(item)
        self.append(frozenset(items))

    def _counted(self, load: Callable[[InertUnpickler], None]) -> None:
        self.count()
        load(self)


def _overridden() -> dict[int, Callable[[InertUnpickler], None]]:
    """Opcode to what is done for it, where that is not pickle's own."""
    of = InertUnpickler
    found: dict[bytes, Callable[[InertUnpickler], None]] = {
        pickle.REDUCE: of._reduce,
        pickle.NEWOBJ: of._reduce,
        pickle.NEWOBJ_EX: of._newobj_ex,
        pickle.INST: of._inst,
        pickle.OBJ: of._obj,
        pickle.BUILD: of._build,
        pickle.EXT1: of._extension,
        pickle.EXT2: of._extension,
        pickle.EXT4: of._extension,
        pickle.NEXT_BUFFER: of._out_of_band,
        pickle.READONLY_BUFFER: of._out_of_band,
        pickle.BYTEARRAY8: of._bytearray,
        pickle.PUT: lambda self: self._put(int(self.readline()[:-1])),
        pickle.BINPUT: lambda self: self._put(self.read(1)[0]),
        pickle.LONG_BINPUT: lambda self: self._put(int.from_bytes(self.read(4), "little")),
        pickle.MEMOIZE: lambda self: self._put(len(self.memo)),
        pickle.MARK: of._mark,
        pickle.APPEND: of._append,
        pickle.APPENDS: of._appends,
        pickle.SETITEM: of._setitem,
        pickle.SETITEMS: of._setitems,
        pickle.DICT: of._dict,
        pickle.ADDITEMS: of._additems,
        pickle.FROZENSET: of._frozenset,
    }
    for code in (
        *(pickle.EMPTY_LIST, pickle.EMPTY_DICT, pickle.EMPTY_SET, pickle.LIST),
        *(pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3),
    ):
        own = pickle._Unpickler.dispatch[code[0]]  # type: ignore[attr-defined]
        found[code] = lambda self, own=own: self._counted(own)
    return {code[0]: load for code, load in found.items()}


InertUnpickler.dispatch.update(_overridden())


# Keys


_KEYS = frozenset({str, int, float, bool, bytes, type(None), Inert})


def _size_of_key(key: Any) -> int:
    """How many values a tuple or frozenset holds, those within it included."""
    size, waiting = 0, [key]
    while waiting:
        value = waiting.pop()
        size += 1
        if isinstance(value, tuple | frozenset):
            size += len(value)
            if size <= MOST_IN_KEY:
                waiting.extend(value)
        elif (type(value) is int and value.bit_length() > 64) or type(value) not in _KEYS:
            raise Unsafe(f"a key that holds a {type(value).__name__}")
        if size > MOST_IN_KEY:
            raise Unsafe(f"a key of more than {MOST_IN_KEY} values within each other")
    return size


# Arrays


class _Type:
    """A numpy type, as a pickle builds it: a code (`f4`) first, its byte order after."""

    __slots__ = ("code", "order")

    def __init__(self, code: Any) -> None:
        found = re.fullmatch(r"([<>|=]?)([a-zA-Z?]\d{0,8})", code) if isinstance(code, str) else None
        if found is None:
            raise Unsafe("a numpy type without a code")
        self.order, self.code = found[1] or "=", found[2]

    def build(self, state: Any) -> None:
        if isinstance(state, tuple) and len(state) > 1 and isinstance(state[1], str) and state[1] in "<>|=":
            self.order = state[1]

    def type(self) -> np.dtype:
        """The type itself; records and times, which nothing here computes with, are bytes without a meaning."""
        if self.code[0] == "O":
            return np.dtype(object)
        if self.code[0] in "?bBhHiIlLqQefdgFDGSUu" or self.code[0] == "c":
            return np.dtype(self.order.replace("|", "=") + self.code)
        return np.dtype(f"V{np.dtype(self.code).itemsize}")


def _array(*_: Any) -> np.ndarray:
    """What `numpy._reconstruct` gives: an empty array, which BUILD fills."""
    return np.empty(0, np.uint8)


def _fill(unpickler: InertUnpickler, array: np.ndarray, state: Any) -> None:
    """numpy's `__setstate__`, once nothing is left in its arguments that could mislead it."""
    shape, of, fortran, data = state[-4:] if isinstance(state, tuple) and len(state) in (4, 5) else (None,) * 4
    if not isinstance(of, _Type) or not _is_shape(shape) or array.size:
        raise Unsafe("an array with a state of another form")
    data = data.encode("latin1") if isinstance(data, str) else data
    kind, count = of.type(), math.prod(shape)
    if isinstance(data, list) and len(data) == count:
        kind = np.dtype(object)
    elif not isinstance(data, bytes) or kind.hasobject or len(data) != count * kind.itemsize:
        raise Unsafe(f"an array of {count} values beside data of another size")
    unpickler.copy(count * kind.itemsize)
    array.__setstate__((1, shape, kind, bool(fortran), data))


def _from_buffer(unpickler: InertUnpickler, data: Any, of: Any, shape: Any, order: Any = "C") -> np.ndarray:
    if not isinstance(of, _Type) or not _is_shape(shape) or not isinstance(data, bytes | bytearray):
        raise Unsafe("an array with a state of another form")
    kind = of.type()
    if kind.hasobject or len(data) != math.prod(shape) * kind.itemsize:
        raise Unsafe(f"an array of {math.prod(shape)} values beside data of another size")
    return np.frombuffer(data, kind).reshape(shape, order="F" if order == "F" else "C")


def _scalar(unpickler: InertUnpickler, of: Any, data: Any = b"") -> Any:
    data = data.encode("latin1") if isinstance(data, str) else data
    kind = of.type() if isinstance(of, _Type) else np.dtype(object)
    if kind.hasobject or not kind.itemsize or not isinstance(data, bytes) or len(data) != kind.itemsize:
        raise Unsafe("a numpy number beside data of another size")
    unpickler.copy(kind.itemsize)
    return np.frombuffer(data, kind)[0].item()


def _is_shape(shape: Any) -> bool:
    return isinstance(shape, tuple) and len(shape) <= 32 and all(type(n) is int and 0 <= n < 2**48 for n in shape)


# Containers


def _table(unpickler: InertUnpickler, items: Any = ()) -> dict[Any, Any]:
    """A dict of what an ordered or counting one is pickled with: nothing, a dict, or pairs."""
    pairs = list(items.items()) if isinstance(items, dict) else items
    if not isinstance(pairs, list | tuple) or not all(isinstance(p, list | tuple) and len(p) == 2 for p in pairs):
        raise Unsafe(f"a dict made of a {type(items).__name__}")
    unpickler.copy(64 * len(pairs))
    found: dict[Any, Any] = {}
    for key, value in pairs:
        unpickler.check_key(key)
        found[key] = value
    return found


def _set_of(kind: type) -> Callable[..., Any]:
    def make(unpickler: InertUnpickler, items: Any = ()) -> Any:
        if not isinstance(items, list | tuple | set | frozenset):
            raise Unsafe(f"a {kind.__name__} made of a {type(items).__name__}")
        unpickler.copy(64 * len(items))
        for item in items:
            unpickler.check_key(item)
        return kind(items)

    return make


def _sequence_of(kind: type) -> Callable[..., Any]:
    def make(unpickler: InertUnpickler, items: Any = (), *_: Any) -> Any:
        if not isinstance(items, list | tuple):
            raise Unsafe(f"a {kind.__name__} made of a {type(items).__name__}")
        unpickler.copy(8 * len(items))
        return kind(items)

    return make


def _bytes(unpickler: InertUnpickler, content: Any = b"", *_: Any) -> bytes:
    """Protocol 2 writes bytes as Latin-1 text, to be encoded."""
    if not isinstance(content, str | bytes | bytearray):
        raise Unsafe(f"bytes made of a {type(content).__name__}")
    unpickler.copy(len(content))
    return content.encode("latin1") if isinstance(content, str) else bytes(content)


def _complex(_: InertUnpickler, real: Any = 0.0, imaginary: Any = 0.0) -> complex:
    if type(real) is not float or type(imaginary) is not float:
        raise Unsafe("a complex number of other things than two numbers")
    return complex(real, imaginary)


def _makers() -> dict[tuple[str, str], Maker]:
    found: dict[tuple[str, str], Callable[..., Any]] = {
        ("collections", "OrderedDict"): _table,
        ("collections", "Counter"): _table,
        ("collections", "defaultdict"): lambda *_: {},
        ("collections", "deque"): _sequence_of(list),
        ("_codecs", "encode"): _bytes,
        ("numpy", "dtype"): lambda _, code, *flags: _Type(code),
    }
    for builtins in ("builtins", "__builtin__"):
        found |= {
            (builtins, "set"): _set_of(set),
            (builtins, "frozenset"): _set_of(frozenset),
            (builtins, "list"): _sequence_of(list),
            (builtins, "tuple"): _sequence_of(tuple),
            (builtins, "dict"): _table,
            (builtins, "bytes"): _bytes,
            (builtins, "bytearray"): _bytes,
            (builtins, "complex"): _complex,
        }
    for core in ("numpy.core", "numpy._core"):
        found |= {
            (f"{core}.multiarray", "_reconstruct"): _array,
            (f"{core}.multiarray", "scalar"): _scalar,
            (f"{core}.numeric", "_frombuffer"): _from_buffer,
        }
    return {place: Maker(".".join(place), make) for place, make in found.items()}


_MAKERS = _makers()
