"""The outputs of a system from elsewhere behind the harness's interface."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from baselines.method import Gathered, Method, Remarked
from baselines.outputs.command import Program, read_program
from baselines.outputs.files import OutputFile, content_sha256, find_outputs, looked_for
from baselines.outputs.reading import read_output
from benchmark.errors import InvalidConfig, MediaError, MethodError, UsageError, some
from benchmark.types import Example, Sample


@dataclass(frozen=True)
class Config:
    """Where outputs come from: one of the two has to be given."""

    folder: str = ""
    """Folder of outputs that are called by sample, or a table (.csv) that names them."""
    command: str = ""
    """TOML file that says which program makes them."""


@dataclass(frozen=True)
class GatheredFiles(Gathered):
    """Outputs that are made."""

    files: Mapping[tuple[str, int], Sequence[OutputFile]] = field(default_factory=dict)
    wanted: str = ""
    """`image` or `audio`."""
    rate: int = 0

    def notes_on(self, samples: Sequence[Sample]) -> tuple[str, ...]:
        have = {sample for sample, _ in self.files}
        without = [sample.id for sample in samples if sample.id not in have]
        lacking = f"{len(without)} of {len(samples)} samples have no file in {self.source}: {some(without)}"
        return (*self.notes, lacking) if without else self.notes


@dataclass(frozen=True)
class GatheredProgram(Gathered):
    """A program that makes them."""

    program: Program | None = None


class Outputs(Method):
    """Outputs that another project made, or that a program of another project makes now."""

    name: ClassVar[str] = "outputs"
    task: ClassVar[str] = "speech2face"
    further_tasks: ClassVar[tuple[str, ...]] = ("av_enhancement", "av_separation", "lip2speech")
    title: ClassVar[str] = "outputs of a system from elsewhere: a folder of files, or a command"
    Config: ClassVar[type] = Config
    timed: ClassVar[bool] = False

    @classmethod
    def gather(cls, config: Config, task: Any, samples: Sequence[Sample]) -> Gathered:
        """Look for the files of the samples, or read the program.

        Raises:
            UsageError: neither is named, or both; or there is nothing that can be used.
        """
        if bool(config.folder) == bool(config.command):
            raise InvalidConfig(
                f"{cls.name}: expected --set folder=FOLDER, with a file for each sample (or a table of them), or --set "
                f"command=FILE, a TOML file that says what makes them; got {'both' if config.folder else 'neither'}"
            )
        place = Path(config.folder or config.command).expanduser()
        return _of_files(place, task, samples) if config.folder else _of_program(place, task)

    def load(self, device: str) -> None:
        """Make ready what `gather` found.

        Raises:
            UsageError: nothing was gathered, because no samples of a dataset are asked for.
        """
        found = self.gathered
        self._runner = None
        if isinstance(found, GatheredProgram) and found.program is not None:
            self.hears = found.hears
            self._runner = found.program.started(device)
        elif isinstance(found, GatheredFiles):
            self.hears = ()  # what costs much to read need not be read
            self._files = found
        else:
            raise UsageError(
                f"'{self.name}' has outputs for the samples of a dataset alone: use it with `run` or `generate`"
            )

    def generate(self, examples: Sequence[Example]) -> list[np.ndarray | Remarked | Exception]:
        """The output of each example as its file holds it: a face of any size, or sound, mono at 16 kHz."""
        return self._runner.outputs(examples) if self._runner else [self._read(example) for example in examples]

    def close(self) -> None:
        if self._runner:
            self._runner.close()

    def _read(self, example: Example) -> Remarked | Exception:
        found = self._files.files.get(example.key, ())
        if len(found) != 1:
            return MethodError(_lacking(found, example, self._files))
        (file,) = found
        if file.problem:
            return MethodError(file.problem)
        try:
            if content_sha256(file.path) != file.sha256:
                return MethodError(f"{file.shown} was changed since this command began: give it again")
            return read_output(file.path, self._files.wanted, self._files.rate)
        except (MediaError, OSError) as error:
            return MethodError(str(error))


def _lacking(found: Sequence[OutputFile], example: Example, files: GatheredFiles) -> str:
    """Why there is no output."""
    if found:
        return f"{len(found)} files stand for it: {some(file.shown for file in found)}; keep one"
    if files.source.is_file():
        return f"{files.source} names no file for it (evaluation run {example.repeat})"
    return f"no file for it in {files.source}: looked for {looked_for(*example.key, files.wanted)}"


def _of_files(place: Path, task: Any, samples: Sequence[Sample]) -> GatheredFiles:
    found = find_outputs(place, task.output, [sample.id for sample in samples])
    notes = []
    if found.repeats < task.protocol.repeats:
        runs = "1 evaluation run" if found.repeats == 1 else f"{found.repeats} evaluation runs"
        notes.append(
            f"{place} has outputs of {runs}, where {task.name} has {task.protocol.repeats} by default: files of one "
            "sample that are numbered, as ID.0 and ID.1, are several"
        )
    if found.strangers:
        count = len(found.strangers)
        belong = f"file of {place} belongs" if count == 1 else f"files of {place} belong"
        notes.append(f"{count} {belong} to no sample: {some(found.strangers)}")
    true = {path.resolve() for sample in samples for paths in sample.targets.values() for path in paths}
    used = [file for files in found.files.values() for file in files if not file.problem]
    if copies := [file.shown for file in used if file.path.resolve() in true]:
        notes.append(f"{len(copies)} files of {place} are true ones of the dataset themselves: {some(copies)}")
    if found.links:
        notes.append(f"links to folders are not followed: {some(found.links)}")
    name = place.resolve().name
    return GatheredFiles(
        name, place, found.sha256, Config(), None, found.repeats, tuple(notes), found.files, task.output, task.rate
    )


def _of_program(place: Path, task: Any) -> GatheredProgram:
    program = read_program(place, task)
    hashed = f"on the content of {some(program.hashes, 5)}" if program.hashes else "on no file"
    note = f"by {place} outputs depend on the command and {hashed}; `files` in it names what else they depend on"
    return GatheredProgram(place.stem, place, program.sha256, Config(), program.hears, None, (note,), program)
