"""What a dataset adapter is, and how the harness opens one."""

from __future__ import annotations

import hashlib
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import ClassVar

from benchmark.datasets.manifest import Manifest, Row, parse_manifest, write_manifest
from benchmark.datasets.population import Population
from benchmark.errors import MissingDataset, UsageError

Progress = Callable[[int, int, str], None]
"""Called as progress(done, total, what): `what` is made, and how long all of it takes."""


class Dataset(ABC):
    """An adapter: reads a corpus's public layout under `root` and lists its samples."""

    name: ClassVar[str]
    revision: ClassVar[str]
    """Changes whenever the same corpus on disk would give other rows."""
    splits: ClassVar[tuple[str, ...]] = ("train", "val", "test")
    tasks: ClassVar[tuple[str, ...]] = ("speech2face",)
    layout: ClassVar[str]
    """What `root` must hold, as text for `data show` and for error messages."""
    needs_root: ClassVar[bool] = True

    def __init__(self, root: Path | None, home: Path) -> None:
        """
        Args:
            root: where the user keeps the corpus; None for a generated one.
            home: the folder in which manifests, and generated corpora, are kept.
        """
        self.root = root
        self.home = home
        self.problems: list[str] = []
        """Lines that name each file that was left out, and why; filled by `rows`."""

    @abstractmethod
    def rows(self, split: str, task: str) -> Iterable[Row]:
        """The samples of one split, paths relative to `root`. Missing and stray files go to `problems`."""

    def media_root(self) -> Path:
        """What the rows' paths are relative to."""
        assert self.root is not None
        return self.root

    def open(self, split: str, task: str, progress: Progress | None = None) -> Manifest:
        """Index (or build) one split for one task and read its manifest."""
        self.check(split, task)
        if self.root is None or not self.root.is_dir():
            where = f"'{self.root}' is not a folder" if self.root else "no --data-root was given"
            raise MissingDataset(
                f"Dataset '{self.name}' needs its corpus on disk, but {where}. Expected under it:\n{self.layout}"
            )
        self.problems = []
        rows = list(self.rows(split, task))
        if not rows:
            raise MissingDataset(
                f"No usable sample of '{self.name}' ({split}) under {self.root}. Expected:\n{self.layout}"
                + "".join(f"\n  {line}" for line in self.problems[:10])
            )
        place = hashlib.sha256(os.fsencode(self.root.resolve())).hexdigest()[:10]  # each root has manifests of its own
        path = self.home / "manifests" / f"{self.name}-{place}.{split}.{task}.jsonl"
        about = {"dataset": self.name, "revision": self.revision, "split": split, "task": task}
        return parse_manifest(write_manifest(path, rows, **about, problems=self.problems), path, self.media_root())

    def draw(self, wanted: Population, part: str, task: str, progress: Progress | None = None) -> Manifest:
        """Build one part of a population for one task and read its manifest; for generated corpora alone.

        Args:
            part: `benchmark.datasets.population.TRAINING` or `VALIDATION`; nobody is in both, or in a split.
        """
        raise UsageError(
            f"Dataset '{self.name}' has the people that it has; only of a generated one (talkers) can any number be "
            "drawn. --people 0 takes its own splits"
        )

    def check(self, split: str, task: str) -> None:
        if split not in self.splits:
            raise UsageError(f"Dataset '{self.name}' has no split '{split}'; it has: {', '.join(self.splits)}")
        if task not in self.tasks:
            raise UsageError(f"Dataset '{self.name}' does not serve task '{task}'; it serves: {', '.join(self.tasks)}")


def left_out(manifest: Manifest, shown: int = 3) -> list[str]:
    """Lines for the reader: how much of a corpus is not used, and the first reasons; none where all of it is."""
    if not manifest.problems:
        return []
    about = f"{manifest.dataset} {manifest.split}: {count_left_out(manifest.problems)} left out or not used as they are"
    more = f"; all of them: {manifest.path}" if len(manifest.problems) > shown else ""
    return [f"{about}{more}", *(f"  {line}" for line in manifest.problems[:shown])]


def count_left_out(problems: Iterable[str]) -> int:
    """How many things the lines tell of: one each, save for `... and 90 more of this kind: ...`."""
    more = (re.match(r"\.\.\. and (\d+) more ", line) for line in problems)
    return sum(int(found[1]) if found else 1 for found in more)
