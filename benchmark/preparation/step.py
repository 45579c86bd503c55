"""What a step of preprocessing is."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from benchmark.configuration import Presets, resolve
from benchmark.processes import cores


class LeftOut(Exception):
    """A rule takes a file out: nothing is wrong with it, and it is not wanted.

    Args:
        rule: in a word or two, for the count.
        why: what was expected and what came.
    """

    def __init__(self, rule: str, why: str) -> None:
        super().__init__(rule, why)
        self.rule, self.why = rule, why


@dataclass(frozen=True)
class Made:
    """What a step made of one file."""

    products: tuple[str, ...]
    """Names below the folder of products."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """What is to be known of them, for the record: where the face was, how much speech is left."""


@dataclass(frozen=True)
class Step(ABC):
    """One kind of preprocessing; its fields are its settings, which `--set` and presets give."""

    name: ClassVar[str]
    title: ClassVar[str]
    """One line for the list of steps."""
    takes: ClassVar[str]
    """The kinds of files it takes, in words."""
    version: ClassVar[int] = 1
    """Changes whenever the same file and settings would give something else."""
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Name to settings; the first is the default."""
    pictures: ClassVar[bool] = True
    """Whether a sheet can show what it makes."""

    @classmethod
    def configured(cls, preset: str | None = None, file: Path | None = None, sets: Sequence[str] = ()) -> Any:
        """The step with its settings: defaults < preset < file < `key=value`.

        Raises:
            UsageError: no such preset or key, or a value that cannot be used.
        """
        presets = Presets(Path(__file__).parent, next(iter(cls.presets), None), cls.presets)
        return resolve(cls, presets, preset, file, sets).config

    def identity(self) -> dict[str, Any]:
        """What the products depend on beside the file; goes into the record."""
        return {"step": self.name, "version": self.version, **dataclasses.asdict(self)}

    def check(self) -> list[str]:
        """See, before any file is touched, whether the step can be made; returns what is to be said of it.

        Raises:
            PrerequisiteError: a package or a network is missing; says what to do.
        """
        return []

    def workers(self) -> int:
        """Processes that work where the user does not say."""
        return cores()

    @abstractmethod
    def accepts(self, file: str) -> bool:
        """Whether a file is of a kind that the step takes, by its name."""

    @abstractmethod
    def products(self, file: str) -> tuple[str, ...]:
        """The names of all that may be made of a file, below the folder of products."""

    @abstractmethod
    def make(self, source: Path, out: Path, products: tuple[str, ...]) -> Made:
        """Make the products of one file; each is written whole or not at all.

        Raises:
            LeftOut: a rule takes it out.
            MediaError, MethodError: it cannot be used; says what was expected and what came.
        """


def renamed(file: str, suffix: str) -> str:
    """The same name with another suffix: `s1/a.b.mpg` -> `s1/a.b.png`."""
    return PurePosixPath(file).with_suffix(suffix).as_posix()
