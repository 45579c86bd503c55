"""How fast and how big methods are on this machine: wall time, peak memory and parameters, without any dataset.

What is timed is a call of `generate` as a whole (front-end, network and back-end), from inputs in memory to outputs in
memory. Every method runs in a process of its own, so that neither peaks of memory nor threads mix, and one that dies
is one failed row.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmark.errors import BenchmarkError, MethodError, MissingWeights, UsageError
from benchmark.processes import end_with_parent, ending
from benchmark.runs.evaluation import MethodPlan, plan_method
from benchmark.tasks import Task, get_task
from benchmark.types import Audio, Example, FaceVideo, Sample, derive_seed

CLIP_S = 2.04
"""Length of a clip where a task takes whole recordings: that of FlowAVSE's official evaluation."""
FRAME_RATE = 25
FRAME_SIDE = 112
PEAK = 0.5
"""Of the sound that methods are given; full scale is 1."""
WEIGHTS_SEED = 0
MIB = 2**20


@dataclass(frozen=True)
class Conditions:
    """What a measurement has to state.

    Raises:
        UsageError: a value out of its range.
    """

    seconds: float | None = None
    """Length of each clip; None takes the task's own, or 2.04 s where that is whole recordings."""
    batch_size: int = 1
    """Clips in a call."""
    repeats: int = 5
    """Calls that are timed."""
    warm_up: int = 1
    """Calls before them, which load kernels and allocate."""
    device: str = "cpu"
    """`cpu`, `cuda` or `cuda:N`."""
    threads: int | None = None
    """Of torch on a CPU; None leaves torch's choice."""

    def __post_init__(self) -> None:
        if self.seconds is not None and not 0.1 <= self.seconds <= 3600:
            raise UsageError(f"--seconds {self.seconds:g}: expected 0.1 to 3600")
        for option, value, low, high in (
            ("--batch-size", self.batch_size, 1, 4096),
            ("--repeats", self.repeats, 1, 1000),
            ("--warm-up", self.warm_up, 0, 1000),
            ("--threads", 1 if self.threads is None else self.threads, 1, 1024),
        ):
            if not low <= value <= high:
                raise UsageError(f"{option} {value}: expected {low} to {high}")

    def clip_s(self, task: Task) -> float:
        """Length of a clip of `task`, seconds."""
        return self.seconds or task.protocol.seconds or CLIP_S


class Candidate(NamedTuple):
    """A method to measure; nothing is loaded yet."""

    plan: MethodPlan
    random_weights: bool = False
    """Its preset has no weights: `load_random` gives it some."""

    @property
    def label(self) -> str:
        """As `--method` takes it: `flowavse:large`."""
        preset = self.plan.settings.preset
        return f"{self.plan.name}:{preset}" if preset else self.plan.name

    @property
    def task(self) -> Task:
        return get_task(self.plan.kind.task)

    @property
    def weights(self) -> str | None:
        """Name of the file, or `random`."""
        if self.random_weights:
            return "random"
        return self.plan.weights.name if self.plan.weights else None


@dataclass(frozen=True)
class Measurement:
    """What was found of one method."""

    parameters: int | None
    """Of all torch modules that the method holds, each tensor counted once; None where it holds no module."""
    times_s: tuple[float, ...]
    """Wall time of each timed call."""
    median_s: float
    made: float
    """What a call makes: seconds of sound, or number of faces."""
    peak_mib: float
    """From before loading to the last call. CUDA: what torch allocated on the device; CPU: what the process had
    resident, its interpreter and libraries included."""
    baseline_mib: float
    """Of the same, before loading."""
    threads: int
    device_name: str | None
    """Of the GPU; None on a CPU."""

    @property
    def rate(self) -> float:
        """Seconds of sound, or faces, per second of wall time."""
        return self.made / self.median_s

    @property
    def over_baseline_mib(self) -> float:
        """What the method itself needs: weights, buffers, and libraries that it alone loads."""
        return self.peak_mib - self.baseline_mib


class Row(NamedTuple):
    """A method and what was found, or why nothing was."""

    candidate: Candidate
    found: Measurement | None
    reason: str = ""

    def relative(self, first: Row) -> float | None:
        """How many times as fast as `first`; None where either failed."""
        return self.found.rate / first.found.rate if self.found and first.found else None

    def as_dict(self, first: Row) -> dict[str, Any]:
        plan, found = self.candidate.plan, self.found
        about: dict[str, Any] = {
            "label": self.candidate.label,
            "method": plan.name,
            "preset": plan.settings.preset,
            "task": self.candidate.task.name,
            "config": plan.settings.as_dict(),
            "weights": self.candidate.weights,
            "weights_sha256": plan.weights_sha256,
            "status": "ok" if found else "failed",
            "reason": self.reason,
        }
        if found:
            speed = {"faces_per_second": found.rate}
            if self.candidate.task.output == "audio":
                speed = {"rtf": 1 / found.rate, "times_real_time": found.rate}
            about |= asdict(found) | speed | {"over_baseline_mib": found.over_baseline_mib}
            about["times_as_fast_as_first"] = self.relative(first)
        return about


def find_candidates(
    names: Sequence[str], sets: Sequence[str] = (), *, random_weights: bool = False
) -> tuple[Candidate, ...]:
    """Resolve methods and find their weights.

    Args:
        names: `NAME` or `NAME:PRESET`.
        sets: settings `key=value`, of all of them.
        random_weights: take a preset that has no weights with random ones: how fast it is does not depend on them.

    Raises:
        UnknownName, InvalidConfig: as `configuration.resolve`.
        MissingWeights: a preset without weights, unless `random_weights`.
        UsageError: no method, a reference row that needs a dataset, a method that cannot take random weights, or
            methods that make different things.
    """
    if not names:
        raise UsageError("--method names no method, expected for instance: --method sf2f --method voice2face")
    found = tuple(_candidate(name, sets, random_weights) for name in names)
    first = found[0]
    for other in found[1:]:
        if other.task.output != first.task.output:
            raise UsageError(
                f"'{first.label}' makes {first.task.output}, '{other.label}' {other.task.output}: their speeds cannot "
                "be compared; measure them in two commands"
            )
    return found


def _candidate(text: str, sets: Sequence[str], random_weights: bool) -> Candidate:
    name, colon, preset = text.partition(":")
    if not name or (colon and not preset):
        raise UsageError(f"--method '{text}': expected NAME or NAME:PRESET, for instance sf2f:talkers")
    try:
        plan = plan_method(name, preset or None, sets=sets)
    except MissingWeights as error:
        plan = plan_method(name, preset or None, sets=sets, without_weights=True)
        lack = f"'{Candidate(plan).label}' has no weights" if plan.settings.weights is None else str(error)
        if not random_weights:
            raise MissingWeights(f"{lack}; random ones are as fast: --random-weights measures with them") from error
        if not hasattr(plan.kind, "load_random"):
            raise UsageError(f"{lack}, and cannot take random ones: it has no `load_random(device, seed)`") from error
    if plan.kind.uses_targets or plan.kind.uses_training_split:
        raise UsageError(f"'{name}' is a reference row made from a dataset; it has no speed of its own")
    return Candidate(plan, random_weights and plan.weights is None and hasattr(plan.kind, "load_random"))


def make_example(task: Task, seconds: float, number: int) -> Example:
    """Inputs of a task from nothing but a number, always the same.

    Sound is pink noise: it has no pauses, and detectors of voice activity keep it, so that all of it is worked on.
    Pictures are uniform noise.

    Raises:
        UsageError: an input of a kind that is neither sound nor video.
    """
    from benchmark.media.mixing import noise

    samples = round(seconds * task.rate)
    inputs: dict[str, Any] = {}
    for field, kind in task.inputs.items():
        seed = derive_seed("speed", field, number)
        if kind == "audio":
            sound = noise("pink", samples, seed)
            inputs[field] = Audio((PEAK * sound / np.abs(sound).max()).astype(np.float32), task.rate)
        elif kind == "video":
            frames = -(-samples * FRAME_RATE // task.rate)  # rounded up: the last frame may be cut short
            shape = (frames, FRAME_SIDE, FRAME_SIDE)
            inputs[field] = FaceVideo(np.random.default_rng(seed).integers(0, 256, shape, np.uint8))
        elif kind == "mouth video":
            from benchmark.media.mouth_video import SIDE, MouthVideo

            shape = (-(-samples * FRAME_RATE // task.rate), SIDE, SIDE)
            inputs[field] = MouthVideo(np.random.default_rng(seed).integers(0, 256, shape, np.uint8))
        else:
            raise UsageError(f"Task '{task.name}' takes '{field}' of kind {kind}; only audio and video can be made up")
    name = f"speed_{number}"
    return Example(Sample(name, name, {}), 0, derive_seed("speed", number), inputs)


def measure(candidates: Sequence[Candidate], conditions: Conditions, say: Callable[[str], None]) -> list[Row]:
    """Measure one after the other, each in a process of its own.

    Args:
        say: told the label of each before it begins.
    """
    rows = []
    for candidate in candidates:
        say(f"{candidate.label}: {conditions.warm_up} + {conditions.repeats} calls")
        found = _in_own_process(candidate, conditions)
        rows.append(Row(candidate, None, found) if isinstance(found, str) else Row(candidate, found))
    return rows


def _in_own_process(candidate: Candidate, conditions: Conditions) -> Measurement | str:
    """The measurement, or the reason why there is none."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(sender, candidate, conditions))
    process.start()
    sender.close()  # the process holds the only end that is left, so its death ends the waiting
    try:
        return receiver.recv()
    except EOFError:
        process.join()
        return ending(process.exitcode or 0)
    finally:
        process.kill()  # it has answered, or the user does not want the answer any more
        process.join()
        receiver.close()


def _answer(sender: Connection, candidate: Candidate, conditions: Conditions) -> None:
    """Runs in the process of its own."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    end_with_parent()
    try:
        sender.send(_measure(candidate, conditions))
    except Exception as error:  # a method is foreign code: whatever it raises becomes a failed row
        kind = "" if isinstance(error, BenchmarkError) else f"{type(error).__name__}: "
        lines = str(error).strip().splitlines()
        sender.send(f"{kind}{lines[0]}"[:300] if lines else type(error).__name__)


def _measure(candidate: Candidate, conditions: Conditions) -> Measurement:
    import torch

    from benchmark.runs import provenance
    from benchmark.runs.timing import timed

    device, task, plan = conditions.device, candidate.task, candidate.plan
    on_cuda = device.startswith("cuda")
    if conditions.threads:
        torch.set_num_threads(conditions.threads)
    if on_cuda:
        torch.cuda.set_device(int(device.partition(":")[2] or 0))  # the clock waits for the current device
    examples = [make_example(task, conditions.clip_s(task), number) for number in range(conditions.batch_size)]
    method = plan.kind(plan.settings.config, plan.weights)
    memory = _device_memory if on_cuda else _resident_memory
    baseline = memory(reset=True).now_mib
    if candidate.random_weights:
        method.load_random(device, WEIGHTS_SEED)
    else:
        method.load(device)
    outputs: list[Any] = []

    def call() -> None:
        outputs[:] = method.generate(examples)

    timing = timed(call, warm_up=conditions.warm_up, repeats=conditions.repeats)
    return Measurement(
        parameters=count_parameters(vars(method)),
        times_s=timing.times_s,
        median_s=timing.median_s,
        made=_made(outputs, len(examples), task),
        peak_mib=memory().peak_mib,
        baseline_mib=baseline,
        threads=torch.get_num_threads(),
        device_name=provenance.device_name(device) if on_cuda else None,
    )


def _made(outputs: Sequence[Any], expected: int, task: Task) -> float:
    """Seconds of sound or number of faces in the outputs of one call; raises for what is neither."""
    from benchmark.runs.generation import checked

    if len(outputs) != expected:
        raise MethodError(f"it returned {len(outputs)} outputs for {expected} examples")
    total = 0.0
    for output in outputs:
        if isinstance(output, Exception):
            raise output
        made = checked(output, task)
        total += len(made) / task.rate if task.output == "audio" else 1
    return total


def count_parameters(attributes: Mapping[str, Any]) -> int | None:
    """Number of parameters of the torch modules among an object's attributes; None where there is no module.

    A tensor that several modules share counts once. Buffers, such as the statistics of normalisation, do not count.
    """
    from torch import nn

    modules = [value for value in attributes.values() if isinstance(value, nn.Module)]
    if not modules:
        return None
    tensors = {id(tensor): tensor.numel() for module in modules for tensor in module.parameters()}
    return sum(tensors.values())


class _Memory(NamedTuple):
    now_mib: float
    peak_mib: float


def _device_memory(reset: bool = False) -> _Memory:
    """What torch has allocated on the current CUDA device, and its highest since the last reset."""
    import torch

    if reset:
        torch.cuda.reset_peak_memory_stats()
    return _Memory(torch.cuda.memory_allocated() / MIB, torch.cuda.max_memory_allocated() / MIB)


def _resident_memory(reset: bool = False) -> _Memory:
    """What this process has resident, and its highest since the last reset."""
    if reset:
        with suppress(OSError):  # a kernel without it: the highest since the process began
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    try:
        kib = dict(_status_kib())
        return _Memory(kib["VmRSS"] / 1024, kib["VmHWM"] / 1024)
    except (OSError, KeyError):
        return _peak_by_getrusage()


def _status_kib() -> Iterator[tuple[str, int]]:
    # Not getrusage: on Linux its highest includes that of the parent process, from before this one began.
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if value.endswith(" kB"):
            yield name, int(value.removesuffix(" kB"))


def _peak_by_getrusage() -> _Memory:
    """Where there is no /proc: the highest alone is known, and stands for what is resident now."""
    import resource
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (MIB if sys.platform == "darwin" else 1024)
    return _Memory(peak, peak)


def is_report(file: Path) -> bool:
    """Whether a file holds what `report` gives, as one does among runs where a figure is drawn from it."""
    import json

    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(document, dict) and {"rows", "provenance"} <= document.keys()


def report(rows: Sequence[Row], conditions: Conditions, sets: Sequence[str] = ()) -> dict[str, Any]:
    """All of a measurement as JSON takes it: conditions, every call's time, hardware and versions."""
    from benchmark.runs import provenance

    task = rows[0].candidate.task
    return {
        **asdict(conditions),
        "seconds": conditions.clip_s(task),
        "output": task.output,
        "sets": list(sets),
        "rows": [row.as_dict(rows[0]) for row in rows],
        "provenance": provenance.collect(),
    }
