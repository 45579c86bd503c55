"""Method x dataset -> predictions on disk.

Batches are fixed slices of the run's order, and an unfinished batch is made again as a whole: a run that was killed and
started again computes exactly what an undisturbed one computes, rounding included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from baselines.method import Remarked
from benchmark import tracebacks
from benchmark.errors import BenchmarkError, MediaError, MethodError, PrerequisiteError
from benchmark.remarks import remarks
from benchmark.runs.directory import Key, Prediction, RunDirectory, content_hash
from benchmark.runs.timing import clock
from benchmark.tasks import Protocol, Task
from benchmark.types import Example, Sample


@dataclass(frozen=True)
class Batch:
    """A fixed slice of a run: always the same items together."""

    number: int
    items: tuple[tuple[Sample, int], ...]
    """Samples with their repeat."""

    @property
    def keys(self) -> list[Key]:
        return [(sample.id, repeat) for sample, repeat in self.items]


def batches(samples: Sequence[Sample], repeats: int, size: int, shard: tuple[int, int] = (1, 1)) -> list[Batch]:
    """All items of a run, repeat by repeat, in slices of `size`; shard (i, n) takes every n-th slice from the i-th."""
    samples = tuple(samples)  # each made once, whatever the number of repeats
    items = [(sample, repeat) for repeat in range(repeats) for sample in samples]
    slices = [tuple(items[start : start + size]) for start in range(0, len(items), size)]
    index, count = shard
    return [Batch(number, part) for number, part in enumerate(slices) if number % count == index - 1]


def unfinished(batch: Batch, done: dict[Key, Prediction], retry_failed: bool) -> bool:
    """Whether a batch lacks a prediction, or holds a failed one that is to be tried again."""
    return any(key not in done or (retry_failed and done[key].status != "ok") for key in batch.keys)


def generate(
    method: Any,
    task: Task,
    protocol: Protocol,
    todo: Sequence[Batch],
    run: RunDirectory,
    *,
    seed: int,
    weights: str,
    made_by: str = "",
    threads: int = 2,
    enhance: Callable[[list[Example]], list[Example | Exception]] | None = None,
    finished: Callable[[Batch, list[Prediction]], None] = lambda batch, rows: None,
) -> None:
    """Make the predictions of `todo` and append them to the run, calling `finished` after each batch.

    Inputs of the next batches are read by threads while the method works. What cannot be read or made becomes a failed
    row with its reason; only KeyboardInterrupt and prerequisite errors end the run.

    Args:
        enhance: prepares a batch's examples, outside the time that counts.
    """

    warm = False
    raised: dict[str, str] = {}
    grey = getattr(method, "grey", "luma")  # a plug-in's class need not come from ours
    wanted = getattr(method, "hears", None)
    timed = getattr(method, "timed", True)

    def opened(item: tuple[Sample, int]) -> _Opened:
        sample, repeat = item
        with remarks() as heard:
            try:
                example = task.open(sample, repeat, protocol, seed, weights, grey, wanted)
            except (BenchmarkError, OSError, ValueError, LookupError, ArithmeticError) as error:
                return _Opened(error, heard)
        if not method.uses_targets:
            example = replace(example, sample=sample.without_targets(), truth=None)
        return _Opened(example, heard)

    with ThreadPoolExecutor(threads) as pool:
        for batch, inputs in _ahead(pool, opened, todo):
            if enhance is not None:
                inputs = _enhanced(inputs, enhance)
            good = [entry.example for entry in inputs if isinstance(entry.example, Example)]
            # The first call loads kernels and allocates; the times of the rest are to be fair.
            if good and timed and not warm:
                outputs_of(method, good[:1])
                warm = True
            start = clock()
            outputs = dict(zip([example.key for example in good], outputs_of(method, good), strict=True))
            seconds = (clock() - start) / max(len(good), 1) if timed else None
            rows = []
            for (sample, repeat), (entry, heard) in zip(batch.items, inputs, strict=True):
                output = entry if isinstance(entry, Exception) else outputs[sample.id, repeat]
                if isinstance(output, Remarked):
                    heard = [*heard, *output.remarks]
                row = replace(_keep(output, sample, repeat, task, run), made_by=made_by, remarks=tuple(heard))
                if isinstance(entry, Example):
                    if isinstance(output, Exception):
                        what = f"{method.name} made sample '{sample.id}', repeat {repeat}"
                        row = replace(row, traceback=tracebacks.keep(output, what, run, raised))
                    row = replace(row, seconds=seconds, without_face=without_face(entry.inputs))
                rows.append(row)
            run.append_predictions(rows)
            finished(batch, rows)


class _Opened(NamedTuple):
    """A row's inputs, or why there are none."""

    example: Example | Exception
    remarks: list[str]


def _enhanced(inputs: list[_Opened], enhance: Callable[[list[Example]], list[Example | Exception]]) -> list[_Opened]:
    made = iter(enhance([entry.example for entry in inputs if isinstance(entry.example, Example)]))
    return [entry._replace(example=next(made)) if isinstance(entry.example, Example) else entry for entry in inputs]


def without_face(inputs: Mapping[str, Any]) -> int:
    """Frames without a face in the video of a row, where it has one."""
    return max((getattr(inputs.get(name), "without_face", 0) for name in ("video", "mouth")), default=0)


def _ahead(
    pool: ThreadPoolExecutor, opened: Callable[[Any], Any], todo: Sequence[Batch], depth: int = 2
) -> Iterator[tuple[Batch, list[Any]]]:
    """Each batch with its opened inputs, `depth` batches being read ahead."""
    waiting: list[tuple[Batch, list[Any]]] = []
    for batch in todo:
        waiting.append((batch, [pool.submit(opened, item) for item in batch.items]))
        if len(waiting) > depth:
            first, futures = waiting.pop(0)
            yield first, [future.result() for future in futures]
    for batch, futures in waiting:
        yield batch, [future.result() for future in futures]


def outputs_of(method: Any, examples: list[Example]) -> list[Any]:
    """The method's outputs; where a batch raises, its items are tried one by one, so that only the culprits fail."""
    if not examples:
        return []
    try:
        made = method.generate(examples)
        if made is None or isinstance(made, str | dict):
            raise MethodError(f"{method.name}.generate returned {_kind(made)}, expected a list: an output per example")
        outputs = list(made)
        if len(outputs) != len(examples):
            raise MethodError(
                f"{method.name}.generate returned {len(outputs)} outputs ({_kind(made)}) for {len(examples)} examples, "
                "expected a list: an output per example"
            )
        return outputs
    except PrerequisiteError:  # every sample would fail for the same lack
        raise
    except (Exception, SystemExit) as error:  # a method is foreign code: whatever it raises becomes a failed row
        if len(examples) == 1:
            return [_told_exit(error) if isinstance(error, SystemExit) else error]
        return [outputs_of(method, [example])[0] for example in examples]


def _keep(output: Any, sample: Sample, repeat: int, task: Task, run: RunDirectory) -> Prediction:
    from benchmark.media import write_audio, write_image
    from benchmark.types import Audio

    try:
        if isinstance(output, Exception):
            raise output
        fit = checked(output, task)
    except Exception as error:  # what foreign code raised, or returned, is this row's reason
        kind = "" if isinstance(error, MediaError | MethodError) else f"{type(error).__name__}: "
        reason = f"{kind}{error}".strip().splitlines()[0][:300] if str(error) else type(error).__name__
        return Prediction(sample.id, sample.speaker, repeat, "failed", reason=reason)
    file = run.output_path(sample.id, repeat, task.suffix)
    path = run.path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    if task.output == "image":
        write_image(path, fit)
    else:
        write_audio(path, Audio(fit, task.rate))
    return Prediction(sample.id, sample.speaker, repeat, "ok", file=file, version=content_hash(path))


def checked(output: Any, task: Task) -> np.ndarray:
    """What a method returned for one example, as the task keeps it.

    Raises:
        MethodError: it is something else; the message says what was expected, what came, and how one becomes the other.
    """
    return checked_image(output) if task.output == "image" else checked_speech(output)


def _told_exit(error: SystemExit) -> Exception:
    """An exception in place of the end of the program that a method asked for."""
    told = RuntimeError(f"the method called sys.exit({error.code!r})")
    told.__cause__ = error
    return told.with_traceback(error.__traceback__)


def checked_image(output: Any) -> np.ndarray:
    """The output as `[H, W, 3]` uint8, or MethodError saying what came instead."""
    wanted = "expected a face [H, W, 3] uint8"
    image = _array(output, wanted)
    unfit = [*_layout(image.shape), *_levels(image)]
    if unfit:
        raise MethodError(f"{wanted}, got {list(image.shape)} {image.dtype}: {'; '.join(unfit)}")
    return image


def checked_speech(output: Any) -> np.ndarray:
    """The output as finite samples `[T]` float32, full scale 1.0, or MethodError saying what came instead."""
    from benchmark.media.sound import MAX_PEAK

    wanted = "expected speech [T], T > 0, of finite floats with full scale 1.0"
    samples = _array(output, wanted)
    shape = ", ".join(str(size) if size < 16 else "T" for size in samples.shape)  # alike for clips of any length
    got = f"{wanted}, got [{shape}] {samples.dtype}"
    if samples.dtype.kind in "iu":
        scale = f"divide by {np.iinfo(samples.dtype).max + 1}" if samples.dtype.kind == "i" else "convert"
        raise MethodError(f"{got}: {scale}, and return float32")
    if samples.dtype.kind != "f":
        raise MethodError(got)
    if samples.ndim != 1 or not samples.size:
        long = [size for size in samples.shape if size > 1]
        hint = "" if samples.ndim < 2 else ": take a channel, or their mean" if len(long) > 1 else ": .squeeze() it"
        raise MethodError(got + hint)
    if not np.isfinite(samples).all():
        raise MethodError(f"{got} with NaN or infinite samples")
    if np.abs(samples).max() > MAX_PEAK:  # it could not be read again
        raise MethodError(f"{got} with samples beyond {MAX_PEAK:g}: 16-bit units? Divide by 32768")
    return samples.astype(np.float32, copy=False)


def _kind(value: Any) -> str:
    """The type of a value, with its shape where it has one, for a message."""
    shape = getattr(value, "shape", None)
    return type(value).__name__ + (f" {list(shape)}" if shape is not None else "")


def _array(output: Any, wanted: str) -> np.ndarray:
    if isinstance(output, Remarked):
        output = output.output
    if isinstance(output, np.ndarray):
        return output
    if type(output).__module__.partition(".")[0] == "torch":
        kept = f"{wanted}, got a torch tensor {output.dtype} on {output.device}"
        raise MethodError(f"{kept}: return .detach().cpu().numpy() of it")
    if output is None or isinstance(output, str | bytes | dict):
        raise MethodError(f"{wanted}, got {_kind(output)}")
    return np.asarray(output)


def _layout(shape: tuple[int, ...]) -> list[str]:
    """What is wrong with the shape of a face, and what mends it."""
    if len(shape) == 3 and shape[2] == 3 and 0 not in shape:
        return []
    if len(shape) == 3 and shape[0] == 3:
        return ["channels come last: np.transpose(face, (1, 2, 0))"]
    if len(shape) == 4 and shape[0] == 1:
        return ["one face without a batch axis: face[0]", *_layout(shape[1:])]
    if len(shape) == 3 and shape[2] == 4:
        return ["no alpha channel: face[..., :3]"]
    if len(shape) == 2 or (len(shape) == 3 and shape[2] == 1):
        return ["three channels, also where all are grey: np.stack([grey] * 3, -1)"]
    return ["another shape"]


def _levels(image: np.ndarray) -> list[str]:
    """What is wrong with the values of a face, and what mends it."""
    if image.dtype == np.uint8:
        return []
    if image.dtype.kind not in "fiub" or not image.size:
        return ["another type"]
    if not np.isfinite(image).all():
        return ["values that are not finite"]
    low, high = float(image.min()), float(image.max())
    if low < -1 or high > 255:
        return ["values beyond 0 to 255"]
    if image.dtype.kind in "iu" or high > 1:
        return ["values of 0 to 255: face.round().clip(0, 255).astype(np.uint8)"]
    if low < 0:
        return ["values of -1 to 1: ((face + 1) * 127.5).round().astype(np.uint8)"]
    return ["values of 0 to 1: (face * 255).round().astype(np.uint8)"]
