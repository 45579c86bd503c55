"""Write files so that nobody ever meets half of one, and so that an error says which file it was."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Put a path into an OSError that has none: the system names a file that cannot be opened, not a disk that is full.

    >>> import errno
    >>> with naming(Path("face.png")):
    ...     raise OSError(errno.ENOSPC, "No space left on device")
    Traceback (most recent call last):
    OSError: [Errno 28] No space left on device: 'face.png'
    """
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def write_whole(path: Path, write: Callable[[Path], object]) -> Path:
    """Let `write` make a file beside `path`, then rename it; what is left of one that fails is removed.

    Raises:
        OSError: with `path` as its file name.
    """
    partial = path.with_name(f".{os.getpid()}.{path.name}")  # the suffix stays: it tells writers the format
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        write(partial)
        partial.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        if isinstance(error, OSError) and error.errno and error.filename in (None, str(partial)):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    return path
