"""How the size of a file is told."""

from __future__ import annotations


def size_told(count: int) -> str:
    """A number of bytes in the largest unit of which there is at least one.

    >>> size_told(134), size_told(45_123), size_told(28 * 2**20), size_told(3 * 2**30)
    ('134 bytes', '44.1 KiB', '28.0 MiB', '3.0 GiB')
    """
    if count < 2**10:
        return f"{count} bytes"
    return next(f"{count / unit:.1f} {name}" for name, unit in _UNITS if count >= unit)


_UNITS = (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10))
