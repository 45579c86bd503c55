"""Shared fixtures: an isolated home, and a tiny corpus of tones and coloured squares."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmark.datasets.manifest import Row, read_manifest, write_manifest

RATE = 16_000


def pytest_configure() -> None:
    """One thread each: tests share cores with other work, and threads that wait for each other are slower than one."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of its own for each test; `mktemp` would list all earlier ones to find the next number."""
    folder = tmp_path_factory.mktemp("homes")
    return (folder / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def isolated_home(homes: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's own folder of weights and corpora."""
    home = next(homes)
    home.mkdir()
    monkeypatch.setenv("FACEVOICE_BENCH_HOME", str(home))


@pytest.fixture(scope="session")
def realdata() -> Path:
    """The folder of real recordings, where the environment names one."""
    folder = os.environ.get("FACEVOICE_REALDATA")
    if not folder:
        pytest.skip("FACEVOICE_REALDATA is not set")
    return Path(folder)


@pytest.fixture
def tiny_corpus(tmp_path: Path):  # type: ignore[no-untyped-def]
    """Twelve speakers, each a tone of its own pitch and a square of its own colour -> a read manifest."""
    from benchmark.media import write_audio, write_image
    from benchmark.types import Audio

    root = tmp_path / "corpus"
    rows = []
    for number in range(12):
        name = f"p{number:02d}"
        (root / name).mkdir(parents=True)
        time = np.arange(RATE) / RATE
        tone = 0.3 * np.sin(2 * np.pi * (100 + 20 * number) * time).astype(np.float32)
        write_audio(root / name / "a.wav", Audio(tone, RATE))
        face = np.full((16, 16, 3), 10 + 20 * number, np.uint8)
        write_image(root / name / "f.png", face)
        attributes = {"sex": "fm"[number % 2], "age": 20 + number}
        rows.append(Row(name, name, {"speech": (f"{name}/a.wav",)}, {"face": (f"{name}/f.png",)}, attributes))
    path = tmp_path / "tiny.jsonl"
    write_manifest(path, rows, dataset="tiny", revision="1", split="test", task="speech2face")
    return read_manifest(path, root)
