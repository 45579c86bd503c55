"""Networks inside packages that not every environment has: a test that needs one is skipped without it."""

from __future__ import annotations

from typing import Any

import pytest


def loaded(module: Any) -> Any:
    """`module.load()`, or a skipped test where a package is missing."""
    try:
        return module.load()
    except ModuleNotFoundError as error:
        pytest.skip(str(error))
