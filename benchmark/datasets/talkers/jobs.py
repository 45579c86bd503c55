"""What a corpus is built by: processes that each do one job at a time."""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any, TypeVar

from benchmark.errors import MissingDataset, PrerequisiteError
from benchmark.processes import ProcessPool, WorkerDied

DEATHS = 3
"""So often a job may take its process with it before the building is given up."""

AnyJob = TypeVar("AnyJob", bound=Hashable)


def run(
    jobs: Sequence[AnyJob], do: Callable[[AnyJob], Any], workers: int, name: Callable[[AnyJob], str]
) -> Iterator[tuple[AnyJob, Any]]:
    """Do the jobs, in whatever order they end; without further processes for one worker, or where they cannot start.

    Args:
        do: does one job; other processes must be able to import it.
        name: what a job makes, for a message.
    """
    left = dict.fromkeys(jobs)
    deaths: Counter[AnyJob] = Counter()
    if workers > 1:
        pool = ProcessPool(workers)
        try:
            # a few at a time, so that an interrupt waits for little
            queue, running = deque(jobs), dict[Future[Any], AnyJob]()
            while left:
                while queue and len(running) < 2 * workers:
                    job = queue.popleft()
                    running[pool.submit(do, job)] = job
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    job = running.pop(future)
                    try:
                        result = future.result()
                    except WorkerDied as error:
                        deaths[job] += 1
                        if deaths[job] == DEATHS:
                            raise MissingDataset(
                                f"Talkers cannot be built: the process that made {name(job)} "
                                f"died {DEATHS} times, perhaps for lack of memory"
                            ) from error
                        queue.append(job)
                        continue
                    del left[job]
                    yield job, result
        except PrerequisiteError as error:
            if isinstance(error, MissingDataset):
                raise
            # processes do not start here, as in a script without a main guard: go on in this one
        finally:
            pool.close(finish=True)  # no half-written file is left
    for job in list(left):
        yield job, do(job)


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
