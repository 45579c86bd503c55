"""Where scoring runs: this process, or workers that can die alone.

Metrics call native code that can crash. A worker that dies takes no run with it: the batch that it worked on is
measured again, then item by item, then metric by metric, and only what kills its worker becomes a failed row.
"""

from __future__ import annotations

import concurrent.futures
import os
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

from benchmark.errors import PrerequisiteError, UsageError
from benchmark.processes import ProcessPool, WorkerDied
from benchmark.runs.directory import ScoreRow
from benchmark.runs.scoring import Scorer, Work

_scorer: Scorer | None = None


def _prepare(scorer: Scorer) -> None:
    """Runs once in each worker: single-threaded arithmetic, because there are as many workers as cores."""
    import torch

    torch.set_num_threads(1)
    global _scorer
    _scorer = scorer


def _measure(work: Work) -> list[ScoreRow]:
    assert _scorer is not None
    return _scorer.measure(work)


class WorkerPool:
    """Measures batches in `workers` processes; with 0 workers in this process."""

    def __init__(self, scorer: Scorer, workers: int | None = None) -> None:
        if workers is not None and workers < 0:
            raise UsageError(f"--workers {workers}: expected 0 or more")
        self.scorer = scorer
        self.workers = default_workers() if workers is None else workers
        self._pool: ProcessPool | None = None
        self._pending: dict[Future[list[ScoreRow]], Work] = {}

    def submit(self, work: Work) -> None:
        """Queue a batch."""
        if self.workers == 0:
            future: Future[list[ScoreRow]] = Future()
            future.set_result(self.scorer.measure(work))
        else:
            future = self._processes().submit(_measure, work)
        self._pending[future] = work

    def collect(self, receive: Callable[[list[ScoreRow]], Any], wait: bool) -> None:
        """Hand finished batches to `receive`; with `wait`, all of them.

        Raises:
            PrerequisiteError: worker processes do not start here.
        """
        while self._pending:
            done = [future for future in self._pending if future.done()]
            if not done:
                if not wait:
                    return
                concurrent.futures.wait(self._pending, return_when=concurrent.futures.FIRST_COMPLETED)
                continue
            for future in done:
                work = self._pending.pop(future)
                try:
                    rows = future.result()
                except WorkerDied:
                    rows = self._narrowed(work)
                receive(rows)

    def forget(self) -> None:
        """What is not collected yet is nobody's any more."""
        self._pending.clear()

    def _narrowed(self, work: Work) -> list[ScoreRow]:
        """Measure once more what its worker died of, and narrow the cause down to an item and a metric."""
        try:
            return self._processes().submit(_measure, work).result()
        except WorkerDied:
            pass
        if len(work.predictions) > 1:
            parts = [replace(work, predictions=(prediction,)) for prediction in work.predictions]
        elif len(work.metrics) > 1:
            parts = [replace(work, metrics=(metric,)) for metric in work.metrics]
        else:
            reason = f"the worker process died in metric '{work.metrics[0]}'"
            return [self.scorer.failed(work.predictions[0], work.metrics[0], reason)]
        return [row for part in parts for row in self._narrowed(part)]

    def _processes(self) -> ProcessPool:
        if self._pool is None:
            self._pool = ProcessPool(self.workers, _prepare, self.scorer)
        return self._pool

    def close(self) -> None:
        if self._pool is not None:
            self._pool.close()
            self._pool = None


def default_workers() -> int:
    """One per core that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def parse_shard(text: str | None) -> tuple[int, int]:
    """`2/4` -> (2, 4); None -> (1, 1)."""
    if text is None:
        return 1, 1
    index, slash, count = text.partition("/")
    if slash and index.isdecimal() and count.isdecimal() and 1 <= int(index) <= int(count):
        return int(index), int(count)
    raise UsageError(f"--shard takes I/N with 1 <= I <= N, for instance 2/4; got '{text}'")


def pick_device(asked: str) -> str:
    """`auto` -> `cuda` where there is one, else `cpu`; a CUDA device that is not there is an error."""
    if asked == "cpu":
        return asked
    if asked != "auto" and asked != "cuda" and not (asked.startswith("cuda:") and asked[5:].isdecimal()):
        raise UsageError(f"--device takes auto, cpu, cuda or cuda:N; got '{asked}'")
    import torch

    if not torch.cuda.is_available():
        if asked == "auto":
            return "cpu"
        raise PrerequisiteError(f"--device {asked}: torch {torch.__version__} sees no CUDA device; use --device cpu")
    if asked.startswith("cuda:") and int(asked[5:]) >= torch.cuda.device_count():
        raise PrerequisiteError(f"--device {asked}: this machine has {torch.cuda.device_count()} CUDA device(s)")
    return "cuda" if asked == "auto" else asked
