"""A program of another project, in an environment and a folder of its own, that is given inputs as files.

    command = ["venv/bin/python", "infer.py", "-i", "{speech}", "-o", "{output}"]
    directory = "."        # where it runs; relative to this file, whose folder is the default
    limit_s = 300          # seconds that it may take for each output
    files = ["weights/*.pt", "models/**/*.py"]      # what outputs depend on besides the files that the command names
    [environment]
    CUDA_VISIBLE_DEVICES = "0"

The command is a list of words and never goes through a shell. In one of three forms it is told what to do:

- for each output: `{output}` is the file to write, each input its file (`{speech}`; `{noisy}`, `{video}`; `{mouth}`,
  `{enrolment}`, `{noisy}`), `{input}` the first of them, `{video_frames}` a folder of its pictures;
- for a batch, by folders: `{output_folder}`, `{speech_folder}`, ...: the output is called as its inputs are;
- for a batch, by a table: `{list}`, a CSV file with the columns sample, repeat, seed, the inputs and output.

Besides `{sample}`, `{repeat}`, `{seed}` (with one output), `{device}`; `{{` and `}}` stand for braces.
"""

from __future__ import annotations

import contextlib
import csv
import glob
import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from baselines.method import Remarked
from baselines.outputs.files import SUFFIXES, content_sha256
from baselines.outputs.reading import read_output
from benchmark.errors import InvalidConfig, MediaError, MethodError, PrerequisiteError, ProgramFailed, did_you_mean
from benchmark.media import write_audio, write_image, write_video
from benchmark.media.face_video import FPS
from benchmark.types import Example

LIMIT_S = 300.0
GRACE_S = 2.0
"""Between the request to end and the end."""
SEEDS = 1 << 31
"""Seeds are below: the most that every library takes."""
_KEYS = ("command", "directory", "limit_s", "files", "environment")
_FOREIGN = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")
"""Of this program's environment, what would lead another Python to this one's packages."""
_TAIL = 1 << 14
_SCRIPTS = (".py", ".sh", ".bash", ".pl", ".R", ".jl", ".js", ".jar")
"""Suffixes by which the word behind a program is known for what that is to run."""
_LINES = 20
"""Of what a program printed, bytes and lines that are kept where it fails."""
_WORD = re.compile(r"\{\{|\}\}|\{(\w+)\}")


@dataclass(frozen=True)
class Form:
    """What a command is given, by its placeholders."""

    by: str
    """`output`, `folder` or `list`."""
    inputs: Mapping[str, str]
    """The task's inputs that it is given, each with its kind: `speech` is `audio`."""
    frames: frozenset[str]
    """Those of them that it is given as folders of pictures."""
    first: str
    """The task's first input, which is `{input}`."""


@dataclass(frozen=True)
class Program:
    """What a TOML file says."""

    file: Path
    words: tuple[str, ...]
    """The command with its placeholders."""
    executable: str
    """Where its first word leads."""
    directory: Path
    limit_s: float
    environment: Mapping[str, str]
    form: Form
    wanted: str
    """`image` or `audio`."""
    rate: int
    hashes: Mapping[str, str]
    """Files that outputs depend on, as they are named, with the hashes of their content."""

    @property
    def sha256(self) -> str:
        """Of the command and its environment, and of the files; neither of where it lies nor of its time limit."""
        text = json.dumps(
            [self.words, dict(self.environment), sorted(self.form.inputs), dict(self.hashes)], sort_keys=True
        )
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def hears(self) -> tuple[str, ...] | None:
        """The inputs that it needs; None where it is given a list of what there is."""
        return None if self.form.by == "list" else tuple(self.form.inputs)

    def started(self, device: str) -> Runner:
        """Ready to work; the program itself starts with the first outputs that are asked for."""
        return Runner(self, device, Path(tempfile.mkdtemp(prefix="facevoice-outputs-")))


def read_program(file: Path, task: Any) -> Program:
    """Read what a TOML file says of a program, and look for its files.

    Args:
        task: whose inputs it is given: `inputs` by name and kind, `output`, `rate`.

    Raises:
        InvalidConfig: not TOML, an unknown key or placeholder, or a value of another type.
        PrerequisiteError: the program, its directory or a file is not there.
    """
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidConfig(f"--set command={file}: expected a TOML file; {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidConfig(f"--set command={file}: expected a TOML file; {error}") from error
    _check(file, table)
    words = tuple(table["command"])
    directory = Path(os.path.abspath(file.parent / Path(table.get("directory", ".")).expanduser()))
    if not directory.is_dir():
        raise PrerequisiteError(f"{file}: its directory {directory} is not there")
    environment = dict(table.get("environment", {}))
    executable = _executable(file, words[0], directory, environment)
    script = words[1] if len(words) > 1 else ""
    if Path(script).suffix in _SCRIPTS and not _WORD.search(script) and not (directory / script).exists():
        raise PrerequisiteError(f"{file}: {script} is not there: looked for {directory / script}")
    hashes = _hashes(file, words[1:], directory, table.get("files", []))
    if executable.resolve().is_relative_to(directory.resolve()):  # not an interpreter to which a link leads
        hashes[words[0]] = content_sha256(executable)
    return Program(
        file,
        words,
        str(executable),
        directory,
        float(table.get("limit_s", LIMIT_S)),
        environment,
        _form(file, words, task),
        task.output,
        task.rate,
        dict(sorted(hashes.items())),
    )


def _check(file: Path, table: Mapping[str, Any]) -> None:
    """Raise where a key is unknown, or its value of another type."""
    for key in table:
        if key not in _KEYS:
            raise InvalidConfig(
                f"{file}: unknown key '{key}'.{did_you_mean(key, _KEYS)} Known keys: {', '.join(_KEYS)}"
            )
    command, limit_s = table.get("command"), table.get("limit_s", LIMIT_S)
    if not _is_texts(command) or not command or not all(command):
        raise InvalidConfig(
            f'{file}: command is {command!r}; expected a list of words, as ["python", "infer.py", "{{input}}", '
            '"{output}"]: it does not go through a shell'
        )
    if not isinstance(table.get("directory", "."), str):
        raise InvalidConfig(f"{file}: directory is {table['directory']!r}; expected a path")
    if isinstance(limit_s, bool) or not isinstance(limit_s, int | float) or not 0 < limit_s < 1e7:
        raise InvalidConfig(f"{file}: limit_s is {limit_s!r}; expected seconds above 0")
    if not _is_texts(table.get("files", [])):
        raise InvalidConfig(f"{file}: files is {table['files']!r}; expected a list of paths or patterns")
    environment = table.get("environment", {})
    if not isinstance(environment, dict) or not all(isinstance(value, str) for value in environment.values()):
        raise InvalidConfig(f'{file}: environment is {environment!r}; expected names with texts: NAME = "value"')


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _form(file: Path, words: Sequence[str], task: Any) -> Form:
    """What the placeholders of a command ask for.

    Raises:
        InvalidConfig: one that the task does not have, or no place for the output.
    """
    used = {found[1] for word in words for found in _WORD.finditer(word) if found[1]}
    moving = [field for field, kind in task.inputs.items() if kind != "audio"]
    first = next(iter(task.inputs))
    single = {*task.inputs, "input", *(f"{field}_frames" for field in moving), "output", "sample", "repeat", "seed"}
    folders = {f"{field}_folder" for field in (*task.inputs, "input", "output")}
    allowed = {"output": single, "output_folder": folders, "list": {"list"}}
    for word in sorted(used):
        known = {*single, *folders, "list", "device"}
        if word not in known:
            raise InvalidConfig(
                f"{file}: {{{word}}} is no placeholder of {task.name}.{did_you_mean(word, known)} Known are "
                f"{', '.join(f'{{{name}}}' for name in sorted(known))}; for braces write {{{{ and }}}}"
            )
    places = [place for place in allowed if place in used]
    if len(places) != 1:
        raise InvalidConfig(
            f"{file}: expected in the command one of {{output}}, the file to write, {{output_folder}} and {{list}}, "
            f"got {' and '.join(f'{{{place}}}' for place in places) or 'none'}"
        )
    if strange := sorted(used - allowed[places[0]] - {"device"}):
        raise InvalidConfig(f"{file}: {{{strange[0]}}} cannot stand beside {{{places[0]}}}")
    if places[0] == "list":
        return Form("list", dict(task.inputs), frozenset(), first)
    names = {word.removesuffix("_folder").removesuffix("_frames") for word in used}
    names |= {first} if "input" in names else set()
    inputs = {field: kind for field, kind in task.inputs.items() if field in names}
    by = "folder" if places[0] == "output_folder" else "output"
    return Form(by, inputs, frozenset(field for field in moving if f"{field}_frames" in used), first)


def _executable(file: Path, word: str, directory: Path, environment: Mapping[str, str]) -> Path:
    """Where the first word of a command leads; a link stays one, since virtual environments are told by it."""
    if "/" in word:
        path = Path(os.path.abspath(directory / Path(word).expanduser()))
        if not os.access(path, os.X_OK) or path.is_dir():
            raise PrerequisiteError(f"{file}: its program {path} is not there, or cannot be executed")
        return path
    found = shutil.which(word, path=environment.get("PATH"))
    if found is None:
        raise PrerequisiteError(f"{file}: there is no program '{word}' on the PATH; name it by its path")
    return Path(os.path.abspath(found))


def _hashes(file: Path, words: Sequence[str], directory: Path, patterns: Sequence[str]) -> dict[str, str]:
    """Hashes of the files that a command names, and of those that `files` lists."""
    found: dict[str, str] = {}
    for word in words:
        for name in dict.fromkeys((word, word.partition("=")[2])):
            with contextlib.suppress(OSError, ValueError):  # too long or odd for a name: then it is none
                if name and (path := directory / name).is_file():
                    found[name] = content_sha256(path)
    for pattern in patterns:
        matched = sorted(name for name in glob.glob(pattern, root_dir=directory, recursive=True))
        named = [name for name in matched if (directory / name).is_file()]
        if not named:
            raise PrerequisiteError(f"{file}: no file is called {pattern} in {directory}; `files` lists it")
        found |= {name: content_sha256(directory / name) for name in named}
    return found


@dataclass(frozen=True)
class _Job:
    """One output that is to be made."""

    example: Example
    name: str
    files: Mapping[str, Path]
    output: Path

    @property
    def seed(self) -> int:
        return self.example.seed % SEEDS


@dataclass(frozen=True)
class _Ended:
    """How a call ended."""

    how: str
    """`ended with status 3`."""
    well: bool
    command: str
    printed: str
    """The last lines."""


class Runner:
    """Writes inputs, runs the program, reads outputs."""

    def __init__(self, program: Program, device: str, work: Path) -> None:
        self.program, self.device, self.work = program, device, work
        self._calls = 0

    def close(self) -> None:
        shutil.rmtree(self.work, ignore_errors=True)

    def outputs(self, examples: Sequence[Example]) -> list[np.ndarray | Remarked | Exception]:
        """One output per example, each by a call of its own, or all by one call.

        Where a call for several ends before all are made, the first that is missing may be at fault: the rest is asked
        for again without it, and it alone at the end, so that one input costs no other its output. Two calls in a row
        that make nothing are the end of it.
        """
        if self.program.form.by == "output":
            return [self._call([example])[0][0] for example in examples]
        made: dict[tuple[str, int], Remarked | Exception] = {}
        waiting, suspects, idle = list(examples), [], 0
        while waiting:
            outputs, well = self._call(waiting)
            made |= {example.key: output for example, output in zip(waiting, outputs, strict=True)}
            lacking = [example for example in waiting if isinstance(made[example.key], ProgramFailed)]
            idle = idle + 1 if len(lacking) == len(waiting) else 0
            if well or not lacking or idle == 2 or len(examples) == 1:
                break
            suspects.append(lacking[0])
            waiting = lacking[1:]
        if any(isinstance(output, Remarked) for output in made.values()):
            made |= {example.key: self._call([example])[0][0] for example in suspects}
        return [made[example.key] for example in examples]

    def _call(self, examples: Sequence[Example]) -> tuple[list[Remarked | Exception], bool]:
        """Run the program once; returns an output per example, and whether it ended well."""
        self._calls += 1
        folder = self.work / f"{self._calls:05d}"
        try:
            jobs: list[_Job | Exception] = [self._written(folder, n, example) for n, example in enumerate(examples)]
            good = [job for job in jobs if isinstance(job, _Job)]
            if not good:
                return [job for job in jobs if isinstance(job, Exception)], True
            (folder / "output").mkdir(parents=True)
            ended = self._ran(folder, good)
            files = sorted(path for path in (folder / "output").rglob("*") if path.is_file())
            alone = len(good) == 1
            read = [job if isinstance(job, Exception) else self._read(job, ended, files, alone) for job in jobs]
            return read, ended.well
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _written(self, folder: Path, number: int, example: Example) -> _Job | Exception:
        """Write the inputs of one output."""
        form = self.program.form
        name = f"{number:04d}_" + re.sub(r"[^A-Za-z0-9-]+", "_", example.sample.id)[:60]
        files: dict[str, Path] = {}
        for field, kind in form.inputs.items():
            value = example.inputs.get(field)
            if value is None and form.by == "list":
                continue
            if value is None:
                return MethodError(f"there is no '{field}' in this sample, which the command is to be given")
            files[field] = folder / field / f"{name}{'.wav' if kind == 'audio' else '.mkv'}"
            if kind == "audio":
                write_audio(files[field], value)
            elif field in form.frames:
                files[f"{field}_frames"] = folder / f"{field}_frames" / name
                for place, frame in enumerate(value.frames):
                    write_image(files[f"{field}_frames"] / f"{place:06d}.png", frame)
            if kind != "audio":
                write_video(files[field], value.frames, FPS)
        return _Job(example, name, files, folder / "output" / f"{name}{_SUFFIX[self.program.wanted]}")

    def _ran(self, folder: Path, jobs: Sequence[_Job]) -> _Ended:
        """Run the program once.

        Raises:
            PrerequisiteError: it cannot be started.
        """
        program = self.program
        words = [program.executable, *(self._filled(word, folder, jobs) for word in program.words[1:])]
        limit_s = program.limit_s * len(jobs)
        environment = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
        with open(folder / "printed", "w+b") as printed:
            try:
                process = subprocess.Popen(
                    words,
                    cwd=program.directory,
                    env={**environment, **program.environment},
                    stdin=subprocess.DEVNULL,
                    stdout=printed,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # its processes are a group, which can be ended as a whole
                )
            except OSError as error:
                raise PrerequisiteError(f"{program.file}: {words[0]} cannot be started: {error.strerror}") from error
            try:
                status: int | None = process.wait(limit_s)
            except subprocess.TimeoutExpired:
                status = None
            finally:
                _end(process)  # also at Ctrl-C or SIGTERM, and whatever it left behind
            return _Ended(_told(status, limit_s), status == 0, shlex.join(words), _tail(printed))

    def _filled(self, word: str, folder: Path, jobs: Sequence[_Job]) -> str:
        """A word of the command with its placeholders filled."""
        form, job = self.program.form, jobs[0]
        values: dict[str, object] = {"device": self.device, "output_folder": folder / "output"}
        values |= {f"{field}_folder": folder / field for field in form.inputs}
        values["input_folder"] = folder / form.first
        if form.by == "list":
            values["list"] = self._list(folder, jobs)
        if form.by == "output":
            values |= {**job.files, "input": job.files.get(form.first), "output": job.output, "seed": job.seed}
            values |= {"sample": job.example.sample.id, "repeat": job.example.repeat}

        def value(found: re.Match[str]) -> str:
            return str(values[found[1]]) if found[1] else found[0][0]

        return _WORD.sub(value, word)

    def _list(self, folder: Path, jobs: Sequence[_Job]) -> Path:
        """Write the table of a batch."""
        path = folder / "list.csv"
        with open(path, "w", encoding="utf-8", newline="") as handle:
            writer = csv.writer(handle, lineterminator="\n")
            writer.writerow(["sample", "repeat", "seed", *self.program.form.inputs, "output"])
            for job in jobs:
                files = [job.files.get(field, "") for field in self.program.form.inputs]
                writer.writerow([job.example.sample.id, job.example.repeat, job.seed, *files, job.output])
        return path

    def _read(self, job: _Job, ended: _Ended, files: Sequence[Path], alone: bool) -> Remarked | Exception:
        """What the program wrote for one output; of a call for several that failed, what it had written by then."""
        if alone and not ended.well:
            return self._failed(job, ended)
        found = self._found(job, files)
        if found is None:
            wrote = f"wrote {', '.join(path.name for path in files[:3])}" if files and alone else "wrote nothing there"
            why = f" without the output {job.output} (it {wrote})" if ended.well else " before this output"
            return self._failed(job, ended, why)
        try:
            return read_output(found, self.program.wanted, self.program.rate)
        except MediaError as error:
            if ended.well:
                return MethodError(f"the command's output {self._alike(job, str(error))}")
            return self._failed(job, ended, f" at this output ({error})")

    def _failed(self, job: _Job, ended: _Ended, why: str = "") -> ProgramFailed:
        last = [line.strip() for line in ended.printed.splitlines() if line.strip()][-1:]
        said = f": {self._alike(job, last[0])[-200:]}" if last else ""
        reason = f"the command {ended.how}{self._alike(job, why)}{said}"
        return ProgramFailed(reason, f"{ended.command}\n{ended.how}{why}\n\n{ended.printed}".rstrip())

    def _alike(self, job: _Job, text: str) -> str:
        """A text with this one's files by the placeholders of the command: one cause is one reason.

        In a batch, where files are called as their inputs are, that name is NAME; the folders are gone when it is read.
        """
        if self.program.form.by == "output":
            for field, path in {**job.files, "output": job.output}.items():
                text = text.replace(str(path), f"{{{field}}}")
        return re.sub(rf"{re.escape(str(self.work))}/\d+/", "", text).replace(job.name, "NAME")

    def _found(self, job: _Job, files: Sequence[Path]) -> Path | None:
        """The file that is called as it was asked to be, with any suffix of its kind, or with more behind its name."""
        if job.output in files:
            return job.output
        fit = [path for path in files if path.suffix.lower() in SUFFIXES[self.program.wanted]]
        named = [path for path in fit if path.stem == job.name]
        longer = [path for path in fit if re.fullmatch(rf"{re.escape(job.name)}[._-].+", path.stem)]
        found = named or longer
        return found[0] if len(found) == 1 else None


_SUFFIX = {"image": ".png", "audio": ".wav"}


def _told(status: int | None, limit_s: float) -> str:
    if status is None:
        return f"was ended after {limit_s:g} s, its time limit (limit_s)"
    return f"ended with status {status}" if status >= 0 else f"was killed by signal {-status}"


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a program and all that it started: asked first, if it is still there, and then not asked any more."""
    try:
        if process.poll() is None:
            _signal(process, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE_S)
    finally:  # also where it is Ctrl-C again that ends the wait
        _signal(process, signal.SIGKILL)
        process.wait()


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # nobody of the group is there any more
        os.killpg(process.pid, number)


def _tail(printed: IO[bytes]) -> str:
    """The last lines of what was printed."""
    size = printed.seek(0, os.SEEK_END)
    printed.seek(max(0, size - _TAIL))
    text = printed.read().decode("utf-8", "replace").replace("\r", "\n")
    return "\n".join([line for line in text.split("\n") if line.strip()][-_LINES:])
