"""Worker processes that may die: one dies alone, takes only its own task with it, and nobody waits for the dead.

Each worker has a pipe of its own, so that the parent sees its end at once, also in the middle of a message. What all
workers need is handed over as a file: a large object written into the pipe of a process that died while it started
would block the parent for ever.
"""

from __future__ import annotations

import itertools
import multiprocessing
import multiprocessing.connection
import os
import pickle
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, TypeVar

from benchmark.errors import PrerequisiteError
from benchmark.files import naming

START_LIMIT_S = 300.0
"""A worker that is not ready by then is taken for stuck; on a busy machine the imports alone take half a minute."""
STARTS = 3
"""So often a worker is started before its death is taken for a rule."""
DEATHS = 3
"""So often a job may take its process with it before it is given up."""

Job = TypeVar("Job")


class WorkerDied(Exception):
    """The process that worked on a task ended without an answer."""


class PoolDoesNotStart(PrerequisiteError):
    """Processes cannot be started here."""


class JobKills(WorkerDied):
    """A job took its process with it, again and again."""

    def __init__(self, job: Any) -> None:
        super().__init__(f"the process died {DEATHS} times, perhaps for lack of memory")
        self.job = job


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def each(
    function: Callable[[Job], Any],
    jobs: Iterable[Job],
    workers: int,
    killed: Callable[[Job], Any] | None = None,
) -> Iterator[tuple[Job, Any]]:
    """Call a function that workers can import with each job; yields job and answer in whatever order they end.

    Jobs are taken a few at a time, so that they may be without end. With one worker, or where processes do not start,
    as in a script without a main guard, this process does the work. Closing the iterator waits for the jobs that have
    begun.

    Args:
        killed: gives the answer for a job whose process died three times.

    Raises:
        JobKills: there is such a job, and no `killed`.
    """
    waiting = iter(jobs)
    again: list[Job] = []
    if workers > 1:
        pool = ProcessPool(workers)
        running: dict[Future[Any], tuple[Job, int]] = {}

        def start(job: Job, deaths: int) -> None:
            running[pool.submit(function, job)] = job, deaths

        try:
            # a few at a time, so that an interrupt waits for little
            for job in itertools.islice(waiting, 2 * workers):
                start(job, 0)
            while running:
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    job, deaths = running[future]
                    try:
                        answer = future.result()
                    except WorkerDied as error:
                        del running[future]
                        if deaths + 1 < DEATHS:
                            start(job, deaths + 1)
                            continue
                        if killed is None:
                            raise JobKills(job) from error
                        answer = killed(job)
                    else:
                        del running[future]
                    for following in itertools.islice(waiting, 1):
                        start(following, 0)
                    yield job, answer
        except PoolDoesNotStart:
            again = [job for job, _ in running.values()]  # go on in this process
        finally:
            pool.close(finish=True)  # no half-written file is left
    for job in itertools.chain(again, waiting):
        yield job, function(job)


class ProcessPool:
    """Runs functions in up to `size` processes, which start when there is work and end with `close`, or this process.

    Args:
        size: number of processes.
        prepare: called once in each with `content`, before its first task.
        content: whatever `prepare` needs; pickled once, into a temporary file.
        start_limit_s: seconds after which a process that is not ready is ended.
    """

    def __init__(
        self,
        size: int,
        prepare: Callable[[Any], object] | None = None,
        content: Any = None,
        *,
        start_limit_s: float = START_LIMIT_S,
    ) -> None:
        self._start_limit_s = start_limit_s
        self._folder = Path(tempfile.mkdtemp(prefix="facevoice-workers-"))
        self._handed_over = self._folder / "content.pickle"
        try:
            with naming(self._handed_over):
                self._handed_over.write_bytes(pickle.dumps((prepare, content), pickle.HIGHEST_PROTOCOL))
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        self._threads = ThreadPoolExecutor(size, thread_name_prefix="worker")  # each feeds a process and waits for it
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []
        self._all: set[_Worker] = set()
        self._closed = False

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Queue a call of a function that workers can import.

        The future raises what the function raises, WorkerDied where its process ended, PrerequisiteError where none
        starts.
        """
        return self._threads.submit(self._run, function, arguments)

    def close(self, finish: bool = False) -> None:
        """End all processes, whatever they do; with `finish`, when they have done the tasks that they are at."""
        if finish:
            self._threads.shutdown(wait=True, cancel_futures=True)
        with self._lock:
            self._closed = True
            workers = list(self._all)
        for worker in workers:
            worker.process.kill()
        self._threads.shutdown(wait=True, cancel_futures=True)
        for worker in workers:
            worker.end()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        with self._lock:
            worker = self._idle.pop() if self._idle else None
        worker = worker or self._started()
        try:
            answer = worker.ask((function, arguments))
        except BaseException:  # dead, or its answer cannot be unpickled
            self._forget(worker)
            raise
        with self._lock:
            self._idle.append(worker)
        if isinstance(answer, _Raised):
            raise answer.error
        return answer

    def _started(self) -> _Worker:
        reason = ""
        for _ in range(STARTS):
            with self._lock:
                if self._closed:
                    raise WorkerDied("the pool is closed")
                worker = _Worker(self._handed_over)
                self._all.add(worker)
            reason = worker.wait_until_ready(self._start_limit_s)
            if not reason:
                return worker
            self._forget(worker)
        raise PoolDoesNotStart(
            f"Worker processes do not start ({reason}, {STARTS} times). In a script of your own, put what runs under "
            '`if __name__ == "__main__":`; --workers 0 does without processes'
        )

    def _forget(self, worker: _Worker) -> None:
        with self._lock:
            self._all.discard(worker)
        worker.end()


class _Raised:
    """What a task raised, on its way to who asked for it."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


class _Worker:
    """One process, seen from its parent."""

    def __init__(self, handed_over: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, str(handed_over)), daemon=True)
        try:
            self.process.start()
        finally:
            theirs.close()  # the process holds the only other end, so that its death closes the pipe

    def wait_until_ready(self, limit_s: float) -> str:
        """Nothing, or the reason why the process will never be ready."""
        try:
            if self._pipe.poll(limit_s):
                return self._pipe.recv()
        except (EOFError, OSError):
            self.process.join(10)
            return ending(self.process.exitcode or 0)
        return f"not ready after {limit_s:.0f} s"

    def ask(self, task: Any) -> Any:
        try:
            self._pipe.send(task)
            return self._pipe.recv()
        except (EOFError, OSError) as error:
            raise WorkerDied("the worker process died") from error

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self._pipe.close()


def ending(exit_code: int) -> str:
    """Why a process that ended without an answer ended.

    >>> ending(3), ending(-11)
    ('its process ended with exit code 3', 'its process was killed by signal 11')
    """
    if exit_code >= 0:
        return f"its process ended with exit code {exit_code}"
    memory = ", perhaps for lack of memory" if exit_code == -9 else ""
    return f"its process was killed by signal {-exit_code}{memory}"


def end_with_parent(leftover: Path | None = None) -> None:
    """End this worker process when its parent does: the workers of one that was killed would wait for ever.

    Args:
        leftover: a folder of the parent's that is to go with it.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None
    sentinel = parent.sentinel

    def watch() -> None:
        multiprocessing.connection.wait([sentinel])
        if leftover:
            shutil.rmtree(leftover, ignore_errors=True)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _serve(pipe: multiprocessing.connection.Connection, handed_over: str) -> None:
    """The whole life of a worker."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    # A library's lock, as a progress bar's, has a name by the method of this process's start, and would outlive a
    # worker that is killed. By the other method it has none; no process is started by either, for workers may not.
    multiprocessing.set_start_method("fork", force=True)
    end_with_parent(Path(handed_over).parent)
    try:
        prepare, content = pickle.loads(Path(handed_over).read_bytes())
        if prepare is not None:
            prepare(content)
    except Exception as error:
        pipe.send(f"{type(error).__name__}: {error}")
        return
    pipe.send("")
    while True:
        try:
            function, arguments = pipe.recv()
        except EOFError:  # the parent is gone
            shutil.rmtree(Path(handed_over).parent, ignore_errors=True)
            return
        try:
            answer = function(*arguments)
        except Exception as error:
            answer = _Raised(error)
        try:
            pipe.send(answer)
        except Exception as error:  # an answer, or an exception, that cannot be pickled
            pipe.send(_Raised(RuntimeError(f"{type(error).__name__}: {error}")))
