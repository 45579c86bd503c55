"""Files of weights that an installed package carries: found through its metadata; the package is never imported."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path


def carried(what: str, package: str, place: str, install: str) -> Path:
    """Where a package keeps a file or a folder.

    Args:
        what: lies there, for the message: "GE2E's weights".
        package: its name as pip knows it.
        place: below the folder of installed packages: `resemblyzer/pretrained.pt`.
        install: the command that installs the package.

    Raises:
        ModuleNotFoundError: the package is not installed.
    """
    try:
        return Path(str(importlib.metadata.distribution(package).locate_file(place)))
    except importlib.metadata.PackageNotFoundError as error:
        raise ModuleNotFoundError(f"{what} come with {package}: {install}", name=place.partition("/")[0]) from error
