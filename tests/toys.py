"""A method, a metric and a dataset small enough to reason about; workers import them by name."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from baselines.method import Method
from benchmark.errors import MethodError
from benchmark.types import Example
from metrics.metric import Failed, Metric, Report, Undefined, weighted_mean


class Painter(Method):
    """Paints a square whose brightness is the pitch it hears, plus noise from the example's seed."""

    name = "painter"
    task = "speech2face"
    title = "a square from a tone"

    @dataclass(frozen=True)
    class Config:
        gain: float = 1.0
        fail: str = ""
        """Speaker for which generation fails."""
        crash_batch: bool = False
        """Raise for whole batches, so that the harness has to try items one by one."""

    def load(self, device: str) -> None:
        self.device = device

    def generate(self, examples: Sequence[Example]) -> list[np.ndarray | Exception]:
        if self.config.crash_batch and len(examples) > 1:
            raise RuntimeError("out of memory")
        return [self._one(example) for example in examples]

    def _one(self, example: Example) -> np.ndarray | Exception:
        if example.sample.id == self.config.fail:
            return MethodError("asked to fail")
        assert not example.sample.targets and not example.sample.attributes, "targets must be withheld"
        audio = example.inputs["speech"]
        crossings = int(np.sum(np.diff(np.signbit(audio.samples)))) / audio.seconds / 2
        noise = np.random.default_rng(example.seed).integers(0, 3)
        value = np.clip((crossings - 100) * self.config.gain + 10 + noise, 0, 255)
        return np.full((16, 16, 3), value, np.uint8)


class Brightness(Metric):
    """Mean absolute difference of brightness to the true face; undefined for one speaker, deadly for another."""

    name = "brightness"
    version = 1
    reports = (
        Report("brightness_error", "err", False, (0, 255)),
        Report("brightness_sum", "sum", None, (0, 255), weigh="sample"),
    )

    def __init__(self, undefined: str, deadly: str) -> None:
        self.undefined, self.deadly = undefined, deadly

    @classmethod
    def create(cls, networks: Any, undefined: str = "", deadly: str = "") -> Brightness:
        return cls(undefined, deadly)

    def signature(self, report: str) -> str:
        return f"{report}|v{self.version}"

    def prepare(self, gallery: Sequence[Any]) -> None:
        self.true = {identity.id: float(np.mean(identity.images)) for identity in gallery}

    def measure(self, items: Sequence[Any]) -> list[Any]:
        rows: list[Any] = []
        for item in items:
            if item.identity == self.deadly:
                os._exit(139)
            if item.identity == self.undefined:
                rows.append(Undefined("asked to be undefined"))
            elif item.identity not in self.true:
                rows.append(Failed("not in the gallery"))
            else:
                rows.append({"error": abs(float(np.mean(item.image)) - self.true[item.identity])})
        return rows

    def aggregate(self, statistics: Mapping[str, np.ndarray], weights: np.ndarray) -> dict[str, np.ndarray]:
        mean = weighted_mean(statistics["error"], weights)
        return {"brightness_error": mean, "brightness_sum": mean}


class Echo(Method):
    """Says what it was enrolled with, as long as the video, as loud as the first picture of the mouth is bright."""

    name = "echo"
    task = "lip2speech"
    title = "the enrolment again"

    @dataclass(frozen=True)
    class Config:
        pass

    def load(self, device: str) -> None:
        self.device = device

    def generate(self, examples: Sequence[Example]) -> list[np.ndarray | Exception]:
        outputs: list[np.ndarray | Exception] = []
        for example in examples:
            assert example.truth is None and not example.sample.targets, "targets must be withheld"
            mouth, voice = example.inputs["mouth"], example.inputs["enrolment"]
            heard = np.resize(voice.samples, 640 * len(mouth.frames))
            outputs.append((heard * mouth.frames[0].mean() / 255).astype(np.float32))
        return outputs


class Halver(Method):
    """Enhances nothing: half of the noisy speech."""

    name = "halver"
    task = "av_enhancement"
    further_tasks = ("lip2speech",)
    title = "half as loud"
    hears = ("noisy",)

    @dataclass(frozen=True)
    class Config:
        pass

    def load(self, device: str) -> None:
        self.device = device

    def generate(self, examples: Sequence[Example]) -> list[np.ndarray | Exception]:
        return [example.inputs["noisy"].samples / 2 for example in examples]
