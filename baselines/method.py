"""What a method is: load, generate, close. The harness does the rest."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from benchmark.types import Example, Grey, Sample


class Remarked(NamedTuple):
    """An output with what is to be known of it, a line each: `<file>: <what>`."""

    output: np.ndarray
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class Gathered:
    """What a method takes from outside this project, as it is now: outputs that are made, or a program."""

    name: str
    """Stands in brackets behind the method's name, where the user gives no label."""
    source: Path
    """Where it lies."""
    sha256: str
    """Hash of all that outputs depend on: it takes the place of that of weights, and so makes the run another one."""
    config: Any
    """The settings without what only says where things lie."""
    hears: tuple[str, ...] | None = None
    """The inputs that it makes use of, as `Method.hears`; None where nobody knows."""
    repeats: int | None = None
    """How many evaluation runs it has outputs for; None where it has them for any number."""
    notes: tuple[str, ...] = ()

    def notes_on(self, samples: Sequence[Sample]) -> tuple[str, ...]:
        """What is to be told of it where outputs for these samples are asked for."""
        return self.notes


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
    """A frozen dataclass; its fields are what `--set`, `--config` and presets may give. Those that name files are told
    by `baselines.settings.FILES`."""
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
    """How `run` takes the weights that its authors publish: `--preset official --weights NAME`, a name of the
    table of weights. May be empty."""
    grey: Grey = "luma"
    """How the colours of the videos that it is given become grey."""
    timed: ClassVar[bool] = True
    """False where the time that `generate` takes says nothing of the system."""
    gathered: Gathered | None = None
    """What `gather` found."""

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

    @classmethod
    def gather(cls, config: Any, task: Any, samples: Sequence[Sample]) -> Gathered | None:
        """What it takes from outside for the samples of a task; None for methods that take nothing.

        Args:
            config: an instance of `Config`.
            task: one of `benchmark.tasks`.

        Raises:
            UsageError: there is nothing to be used.
        """
        return None

    @abstractmethod
    def load(self, device: str) -> None:
        """Build the network on `device` ("cpu", "cuda", "cuda:1") and load its weights."""

    # A method that also has `load_random(device, seed)` can be timed where its preset has no weights.

    @abstractmethod
    def generate(self, examples: Sequence[Example]) -> list[np.ndarray | Remarked | Exception]:
        """One output per example, in order: `[H, W, 3]` uint8 RGB for a face, `[T]` float32 for sound.

        An input that cannot be used takes a MethodError in its place; the others of the batch are not lost.
        """

    def close(self) -> None:  # noqa: B027 - most methods hold nothing that the collector would not free
        """Free what `load` took."""
