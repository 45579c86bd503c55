"""Results that are no longer current are made again, by commands that are kept in `leaderboards/commands.toml`.

[[commands]]
run = "run --method sf2f"
task = "speech2face"
dataset = "talkers"
labels = ["sf2f", "chance"]

`seconds = 1.25` stands with a command whose speech is not of the task's own length.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from benchmark.errors import InvalidConfig, PrerequisiteError, SubmissionError, UsageError
from benchmark.leaderboard.add import Added, add
from benchmark.leaderboard.rules import faults, intervals_agree, known
from benchmark.leaderboard.submissions import ROOT, Submission, at, everything
from benchmark.results.schema import Result
from benchmark.tasks import TASKS

FILE = "commands.toml"


class Made(NamedTuple):
    """What tells rows apart for a command."""

    task: str
    dataset: str
    label: str
    seconds: float | None = None
    """Length of the speech, where it is not the task's own; 0 for whole recordings."""

    @classmethod
    def of(cls, result: Result) -> Made:
        spec = result.spec
        own = TASKS[spec.task].protocol.seconds if spec.task in TASKS else None
        return cls(spec.task, spec.dataset, result.label, None if spec.seconds == own else spec.seconds or 0.0)

    def __str__(self) -> str:
        length = "" if self.seconds is None else f", {f'{self.seconds:g} s' if self.seconds else 'whole recordings'}"
        return f"{self.task}/{self.dataset}: {self.label}{length}"


@dataclass(frozen=True)
class Command:
    """A command and the rows that it makes."""

    run: str
    """Words of the command line: `run --method sf2f`."""
    task: str
    dataset: str
    labels: tuple[str, ...]
    seconds: float | None = None
    """Length of the speech that `run` asks for, where it is not the task's own; 0 for whole recordings."""

    @property
    def rows(self) -> tuple[Made, ...]:
        return tuple(Made(self.task, self.dataset, label, self.seconds) for label in self.labels)

    @property
    def method(self) -> str:
        """What `--method` names; the other rows are made beside it."""
        words = shlex.split(self.run)
        return words[words.index("--method") + 1] if "--method" in words[:-1] else ""

    @property
    def line(self) -> str:
        """As it is typed."""
        return " ".join(("python -m benchmark", self.run))


@dataclass(frozen=True)
class Stale:
    """A row that is to be made again."""

    name: str
    """`speech2face/talkers: sf2f`."""
    why: str
    command: Command | None
    """None where no command is known to make it."""
    published: Path | None = None
    """The result file, where it only has to be added again: its rows give other intervals now, and nothing else."""
    root: Path = ROOT
    """The folder of leaderboards."""

    @property
    def line(self) -> str:
        """What makes it current, as it is typed."""
        if self.published is not None:
            return f"python -m benchmark leaderboard add {self.published}{at(self.root)}"
        return self.command.line if self.command else f"no command in {FILE} makes it"


def commands(root: Path = ROOT) -> list[Command]:
    """The commands of `commands.toml`.

    Raises:
        InvalidConfig: the file is not as it should be, or two commands make the same row.
    """
    from benchmark.configuration import checked_fields

    path = root / FILE
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        found = [Command(**checked_fields(Command, item, str(path))) for item in tables.get("commands", ())]
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, TypeError, AttributeError) as error:
        raise InvalidConfig(f"{path} is not a list of commands: {error}") from error
    seen: set[Made] = set()
    for command in found:
        try:
            words = shlex.split(command.run)
        except ValueError as error:  # a quote that nothing closes
            raise InvalidConfig(f"{path}: '{command.run}' cannot be taken apart into words: {error}") from error
        if words[:1] != ["run"]:
            raise InvalidConfig(f"{path}: expected a command that begins with 'run', got '{command.run}'")
        for row in command.rows:
            if row in seen:
                raise InvalidConfig(f"{path}: two commands make {row}")
            seen.add(row)
    return found


def stale(root: Path = ROOT, code: bool = False) -> list[Stale]:
    """Published rows that break a rule as the code is now, and rows that a command makes and nobody has published.

    Args:
        code: also those whose outputs were made by another state of the method's code, though nothing tells that it
            would make others.
    """
    every = commands(root)
    published = everything(root)
    against = known(root, published)
    found: list[Stale] = []
    there: set[Made] = set()
    for each in published:
        task, dataset, *_ = (*each.place.parts[1:], "", "")
        row = Made(task, dataset, each.place.stem)
        broken = faults(each, against)
        wrong = [fault.told for fault in broken]
        again = {fault.rule for fault in broken} == {intervals_agree.__name__}
        try:
            row = Made.of(each.result)
            if code and (other := _other_code(each)):
                wrong, again = [*wrong, *other], False
        except SubmissionError:  # told by `faults`
            pass
        there.add(row)
        if wrong:
            found.append(
                replace(_stale(row, wrong[0], every), published=root / each.place if again else None, root=root)
            )
    for command in every:
        found += [_stale(row, "there is no result of it", every) for row in command.rows if row not in there]
    return sorted(found, key=lambda each: each.name)


def _stale(row: Made, why: str, every: Iterable[Command]) -> Stale:
    return Stale(str(row), why, next((command for command in every if row in command.rows), None))


def _other_code(submission: Submission) -> list[str]:
    from benchmark.runs.evaluation import source_here

    result = submission.result
    now = source_here(result.spec)
    return (
        []
        if now is None or result.sources == [now]
        else [f"its outputs were made by code {result.sources}, and {now} is here"]
    )


def refresh(
    rows: Sequence[Stale], runs: Path, root: Path = ROOT, say: Callable[[str], None] = lambda line: None
) -> list[Added]:
    """Run the commands of rows that are not current, and add what they made; what lacks new intervals alone is added
    again as it is published.

    Args:
        runs: folder of run directories; a command goes on with what is there.

    Raises:
        PrerequisiteError: a command failed.
        UsageError: no command is known to make a row.
        SubmissionError: what was made breaks a rule.
    """
    if unknown := [row.name for row in rows if row.command is None and row.published is None]:
        raise UsageError(f"No command in {root / FILE} makes {', '.join(unknown)}: add one, or delete the result")
    added = []
    for row in rows:
        if row.published is not None:
            say(row.line)
            added.append(add(str(row.published), runs, root))
    to_run = [row for row in rows if row.published is None]
    for command in dict.fromkeys(row.command for row in to_run if row.command):
        say(command.line)
        words = [*shlex.split(command.run), "--runs", str(runs)]
        done = subprocess.run([sys.executable, "-m", "benchmark", *words, "--quiet"], check=False)
        if done.returncode:
            raise PrerequisiteError(f"{command.line} ended with {done.returncode}; mend what it says and refresh again")
        wanted = {row.name for row in to_run if row.command == command}
        added += [add(str(path), runs, root) for name, path in _made(command, runs).items() if name in wanted]
    return added


def _made(command: Command, runs: Path) -> Mapping[str, Path]:
    """Name of each row of a command to the newest run that made it."""
    from benchmark.runs.evaluation import read_result

    found: dict[str, Path] = {}
    for file in sorted(runs.glob("*/result.json"), key=lambda file: file.stat().st_mtime):
        try:
            result = read_result(file)
        except UsageError:  # of another kind
            continue
        if (row := Made.of(result)) in command.rows:
            found[str(row)] = file.parent
    return found
