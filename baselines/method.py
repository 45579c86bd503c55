"""What a method is: load, generate, close. The harness does the rest."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from benchmark.types import Example, Grey, Sample


class Method(ABC):
    """A system under test.

    Deterministic given (weights, example): all randomness comes from `example.seed`, so batch size, order and shards
    change an output by no more than rounding.
    """

    name: ClassVar[str]
    """The registry name; equal to the folder name."""
    task: ClassVar[str]
    """Name of the task in `benchmark.tasks` that it runs where none is asked for."""
    further_tasks: ClassVar[tuple[str, ...]] = ()
    """Other tasks with the same inputs that it serves."""
    title: ClassVar[str]
    """One line for `list methods`."""
    Config: ClassVar[type]
    """A frozen dataclass; its fields are what `--set`, `--config` and presets may give."""
    uses_targets: ClassVar[bool] = False
    """True only for reference rows that hand the truth through: `ground_truth`."""
    uses_training_split: ClassVar[bool] = False
    """True for rows made from the training split of the run's dataset: `chance`, `mean_face`, `linear`."""
    training_inputs: ClassVar[tuple[str, ...]] = ()
    """The inputs of the training split (`speech`) that it reads beside the truth, where `uses_training_split`."""
    hears: ClassVar[tuple[str, ...] | None] = None
    """The inputs of its tasks that it makes use of, where those are not all: what is costly to read is then not read.
    Without any of them in a dataset it cannot run there."""
    published: ClassVar[str] = ""
    """How `run` takes the weights that its authors publish: `--preset official --weights FILE.ckpt`. May be empty."""
    grey: Grey = "luma"
    """How the colours of the videos that it is given become grey."""

    def __init__(self, config: Any, weights: Path | None = None, training: Sequence[Sample] = ()) -> None:
        """Keep the configuration; touch no file yet.

        Args:
            config: an instance of `Config`.
            weights: the safetensors (or official checkpoint) file, already found and verified by the harness.
            training: the training split, where `uses_training_split`.
        """
        self.config = config
        self.weights = weights
        self.training = training

    @abstractmethod
    def load(self, device: str) -> None:
        """Build the network on `device` ("cpu", "cuda", "cuda:1") and load its weights."""

    # A method that also has `load_random(device, seed)` can be timed where its preset has no weights.

    @abstractmethod
    def generate(self, examples: Sequence[Example]) -> list[np.ndarray | Exception]:
        """One output per example, in order: `[H, W, 3]` uint8 RGB for a face, `[T]` float32 for sound.

        An input that cannot be used takes a MethodError in its place; the others of the batch are not lost.
        """

    def close(self) -> None:  # noqa: B027 - most methods hold nothing that the collector would not free
        """Free what `load` took."""
