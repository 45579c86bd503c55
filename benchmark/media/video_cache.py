"""What was read from videos last, kept in memory: several methods and metrics of one run ask for the same."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from benchmark.media.files import file_status
from benchmark.remarks import remark, remarks

R = TypeVar("R", bound=tuple[Any, ...])


class VideoCache(Generic[R]):
    """Results last used, named tuples of arrays among other things, up to a number of bytes of the arrays.

    Rows of a run are opened by several threads.
    """

    def __init__(self, limit: int) -> None:
        self.limit, self.used = limit, 0
        self._known: OrderedDict[tuple[object, ...], _Known] = OrderedDict()
        self._lock = Lock()

    def get(self, path: Path, settings: tuple[object, ...], read: Callable[[], R]) -> R:
        """What `read` gives for a file as it is now, with these settings; its arrays become read-only.

        What is remarked while it is read is remarked again at each call.
        """
        status = file_status(path)
        key = str(path.absolute()), status.st_mtime_ns, status.st_size, *settings
        known = self._find(key)
        if known is None:
            with remarks() as heard:
                result = read()
            for array in _arrays(result):
                array.setflags(write=False)
            known = _Known(result, tuple(heard))
            self._put(key, known)
        for text in known.remarks:
            remark(text)
        return known.result

    def _find(self, key: tuple[object, ...]) -> _Known | None:
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
            return self._known.get(key)

    def _put(self, key: tuple[object, ...], known: _Known) -> None:
        with self._lock:
            if key in self._known:
                return
            self._known[key] = known
            self.used += known.bytes
            while self.used > self.limit:
                self.used -= self._known.popitem(last=False)[1].bytes


class _Known(NamedTuple):
    """A video that was read, and what was said of it."""

    result: Any
    remarks: tuple[str, ...]

    @property
    def bytes(self) -> int:
        return sum(array.nbytes for array in _arrays(self.result))


def _arrays(result: tuple[Any, ...]) -> list[np.ndarray]:
    return [part for part in result if isinstance(part, np.ndarray)]
