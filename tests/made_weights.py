"""Files that a test makes, in the place of published ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmark.weights import table


def take_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, made: Path) -> Path:
    """`weights add` of a file or folder that has the layout of the published one but not its content; where it is then.

    The folder of weights is one below `tmp_path`, and the table's sizes and sha256 of these weights are taken away.
    """
    monkeypatch.setenv("FACEVOICE_BENCH_HOME", str(tmp_path / "home"))
    item = table.TABLE[name]
    files = tuple(replace(file, sha256=None, size=None) for file in item.files)
    monkeypatch.setitem(table.TABLE, name, replace(item, files=files))
    return table.add(name, made)
