"""What a dataset adapter is, and how the harness opens one."""

from __future__ import annotations

import hashlib
import itertools
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import ClassVar

from benchmark.datasets.facts import Form, Published
from benchmark.datasets.lengths import Lengths
from benchmark.datasets.manifest import Manifest, Row, write_manifest
from benchmark.datasets.media_files import MediaFinder, Progress
from benchmark.datasets.places import VARIABLE, known_root
from benchmark.datasets.population import Population
from benchmark.datasets.roots import advice, held, unpacked
from benchmark.datasets.spilled import room
from benchmark.errors import MissingDataset, UsageError


class Dataset(ABC):
    """An adapter: reads a corpus's public layout under `root` and lists its samples."""

    name: ClassVar[str]
    revision: ClassVar[str]
    """Changes whenever the same corpus on disk would give other rows."""
    splits: ClassVar[tuple[str, ...]] = ("train", "val", "test")
    tasks: ClassVar[tuple[str, ...]] = ("speech2face",)
    layout: ClassVar[str]
    """What `root` must hold, as text for `data info` and for error messages."""
    needs_root: ClassVar[bool] = True
    landmarks: ClassVar[tuple[str, ...]] = ()
    """Patterns of paths below the root; where one of them is there, it is the right folder."""

    # What `data info` tells, as text. Counts and forms are what `data verify` holds the files against.
    obtain: ClassVar[str] = ""
    """The files to get."""
    where: ClassVar[str] = ""
    """Addresses, and what has to be asked for."""
    terms: ClassVar[str] = ""
    """Licence, consent of those who are seen and heard, limits of use."""
    use: ClassVar[str] = ""
    """What this suite does with the corpus."""
    published: ClassVar[tuple[Published, ...]] = ()
    """Counts as its authors state them."""
    forms: ClassVar[Mapping[str, Form]] = {}
    """What the corpus fixes of its `sound`, its `video` and its `picture` files."""

    def __init__(self, root: Path | None, home: Path) -> None:
        """
        Args:
            root: where the user keeps the corpus; None for a generated one, or to look where the user keeps corpora
                (`benchmark.datasets.places`).
            home: the folder in which manifests, and generated corpora, are kept.
        """
        self.root = root or (known_root(self.name) if self.needs_root else None)
        self.home = home
        self.workers = 1
        """Processes that look at files where that takes long; more than one in programs with a main guard alone."""
        self.progress: Progress | None = None
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
        root = self.present_root()
        self.progress = progress
        self.problems = []
        about = {"dataset": self.name, "revision": self.revision, "split": split, "task": task}
        try:
            rows = iter(self.rows(split, task))
            with room():
                first = next(rows, None)
            if first is None:
                raise MissingDataset(
                    f"No usable sample of '{self.name}' ({split}) under {self.root}. Expected:\n{self.layout}"
                    + "".join(f"\n  {line}" for line in self.problems[:10])
                )
            rows = itertools.chain([first], rows)
            path = self.home / "manifests" / f"{self.name}-{self.place()}.{split}.{task}.jsonl"
            return write_manifest(path, rows, **about, problems=self.problems, root=self.media_root())
        except MissingDataset as error:
            raise MissingDataset(f"{error}{advice(root, self.landmarks)}") from error

    def unrecognised(self) -> str:
        """Why the root does not look like this corpus: no split has a sample there. Empty where one has."""
        root = self.present_root()
        reasons: dict[str, None] = {}
        for split, task in itertools.product(sorted(self.splits, key="test".__ne__), self.tasks):
            self.problems = []
            try:
                self.check(split, task)
                if next(iter(self.rows(split, task)), None) is not None:
                    return ""
            except UsageError:  # no such split for this task, or for a corpus of this form
                continue
            except MissingDataset as error:
                reasons[str(error).partition("\n")[0].removesuffix(" Expected:")] = None
            reasons.update(dict.fromkeys(self.problems[:3]))
        return (
            f"This does not look like {self.name}: not one sample of it is in {root}. Expected below it:\n{self.layout}"
            f"\n  it holds: {held(root)}"
            + "".join(f"\n  {line}" for line in list(reasons)[:5])
            + advice(root, self.landmarks)
            + f"\n  `data info {self.name}` says what to get; --data-root names the folder that holds this tree"
        )

    def present_root(self) -> Path:
        """The folder of the corpus, or MissingDataset."""
        if self.root is None or not self.root.is_dir():
            where = f"no --data-root was given, and ${VARIABLE}/{self.name} is not there"
            where = f"'{self.root}' is not a folder" if self.root else where
            raise MissingDataset(
                f"Dataset '{self.name}' needs its corpus on disk, but {where}. Expected under it:\n{self.layout}"
                f"{unpacked(self.root) if self.root else ''}"
            )
        if self.root.resolve() == self.home.resolve():
            raise MissingDataset(
                f"{self.root} is the folder in which this suite keeps its own files; expected that of the corpus:\n"
                f"{self.layout}"
            )
        return self.root

    def places(self) -> list[Path]:
        """The folders in which the corpus's files lie: the root, or what it may hold as links."""
        return [self.media_root()]

    def place(self) -> str:
        """What tells this root from others in the names of files that are kept about it."""
        return hashlib.sha256(os.fsencode(self.media_root().resolve())).hexdigest()[:10]

    def finder(self) -> MediaFinder:
        """What walks the corpus; it names what it leaves out in `problems`."""
        return MediaFinder(
            self.media_root(),
            self.problems,
            kept=Lengths(self.home / "manifests" / f"{self.name}-{self.place()}.lengths.sqlite"),
            but=self.home,
            workers=self.workers,
            progress=self.progress,
        )

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
