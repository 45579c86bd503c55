"""Method x dataset -> predictions on disk.

Batches are fixed slices of the run's order, and an unfinished batch is made again as a whole: a run that was killed and
started again computes exactly what an undisturbed one computes, rounding included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from benchmark.errors import BenchmarkError, MediaError, MethodError, PrerequisiteError
from benchmark.remarks import remarks
from benchmark.store import Key, Prediction, RunDirectory
from benchmark.tasks import Protocol, Task
from benchmark.timing import clock
from benchmark.types import Example, FaceVideo, Sample


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
    finished: Callable[[Batch, list[Prediction]], None] = lambda batch, rows: None,
) -> None:
    """Make the predictions of `todo` and append them to the run, calling `finished` after each batch.

    Inputs of the next batches are read by threads while the method works. What cannot be read or made becomes a failed
    row with its reason; only KeyboardInterrupt and prerequisite errors end the run.
    """

    warm = False

    def opened(item: tuple[Sample, int]) -> _Opened:
        sample, repeat = item
        with remarks() as heard:
            try:
                example = task.open(sample, repeat, protocol, seed, weights)
            except (BenchmarkError, OSError, ValueError, LookupError, ArithmeticError) as error:
                return _Opened(error, heard)
        if not method.uses_targets:
            example = replace(example, sample=sample.without_targets(), truth=None)
        return _Opened(example, heard)

    with ThreadPoolExecutor(threads) as pool:
        for batch, inputs in _ahead(pool, opened, todo):
            good = [entry.example for entry in inputs if isinstance(entry.example, Example)]
            if good and not warm:  # the first call loads kernels and allocates; the times of the rest are to be fair
                _outputs(method, good[:1])
                warm = True
            start = clock()
            outputs = dict(zip([example.key for example in good], _outputs(method, good), strict=True))
            seconds = (clock() - start) / max(len(good), 1)
            rows = []
            for (sample, repeat), (entry, heard) in zip(batch.items, inputs, strict=True):
                output = entry if isinstance(entry, Exception) else outputs[sample.id, repeat]
                row = replace(_keep(output, sample, repeat, task, run), made_by=made_by, remarks=tuple(heard))
                if isinstance(entry, Example):
                    video = entry.inputs.get("video")
                    lost = video.without_face if isinstance(video, FaceVideo) else 0
                    row = replace(row, seconds=seconds, without_face=lost)
                rows.append(row)
            run.append_predictions(rows)
            finished(batch, rows)


class _Opened(NamedTuple):
    """A row's inputs, or why there are none."""

    example: Example | Exception
    remarks: list[str]


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


def _outputs(method: Any, examples: list[Example]) -> list[Any]:
    """The method's outputs; where a batch raises, its items are tried one by one, so that only the culprits fail."""
    if not examples:
        return []
    try:
        outputs = list(method.generate(examples))
        if len(outputs) != len(examples):
            raise MethodError(f"{method.name} returned {len(outputs)} outputs for {len(examples)} examples")
        return outputs
    except PrerequisiteError:  # every sample would fail for the same lack
        raise
    except Exception as error:  # a method is foreign code: whatever it raises becomes a failed row
        if len(examples) == 1:
            return [error]
        return [_outputs(method, [example])[0] for example in examples]


def _keep(output: Any, sample: Sample, repeat: int, task: Task, run: RunDirectory) -> Prediction:
    from benchmark.media import write_audio, write_image
    from benchmark.types import Audio

    try:
        if isinstance(output, Exception):
            raise output
        checked = checked_image(output) if task.output == "image" else checked_speech(output)
    except Exception as error:  # what foreign code raised, or returned, is this row's reason
        kind = "" if isinstance(error, MediaError | MethodError) else f"{type(error).__name__}: "
        reason = f"{kind}{error}".strip().splitlines()[0][:300] if str(error) else type(error).__name__
        return Prediction(sample.id, sample.speaker, repeat, "failed", reason=reason)
    file = run.output_path(sample.id, repeat, task.suffix)
    path = run.path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    if task.output == "image":
        write_image(path, checked)
    else:
        write_audio(path, Audio(checked, task.rate))
    return Prediction(sample.id, sample.speaker, repeat, "ok", file=file)


def checked_image(output: Any) -> np.ndarray:
    """The output as `[H, W, 3]` uint8, or MethodError saying what came instead."""
    image = np.asarray(output)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise MethodError(f"expected a face [H, W, 3] uint8, got {list(image.shape)} {image.dtype}")
    return image


def checked_speech(output: Any) -> np.ndarray:
    """The output as finite samples `[T]` float32, or MethodError saying what came instead."""
    samples = np.asarray(output, np.float32)
    if samples.ndim != 1 or not len(samples) or not np.isfinite(samples).all():
        unfit = "" if np.isfinite(samples).all() else " with NaN or infinite samples"
        raise MethodError(f"expected finite speech [T], T > 0, got {list(samples.shape)}{unfit}")
    return samples
