"""Worker processes die at every moment of their life; whoever waits for them is told."""

import itertools
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from benchmark import processes
from benchmark.errors import PrerequisiteError
from benchmark.processes import JobKills, ProcessPool, WorkerDied, each, ending

_content = None


def remember(content):
    global _content
    _content = content


def size_of_content():
    return len(_content)


def die(_=None):
    os.kill(os.getpid(), signal.SIGKILL)


def die_the_first_time(marker):
    if not os.path.exists(marker):
        open(marker, "w").close()
        die()


def stand_still(_):
    time.sleep(60)


def fail(_=None):
    raise ValueError("no such thing")


def large_answer(megabytes):
    return np.ones(megabytes << 20, np.uint8)


def die_in_the_middle_of_an_answer():
    class Deadly:
        def __reduce__(self):
            return _never, ()

    pipe = [cell for cell in sys._getframe(1).f_locals.values() if hasattr(cell, "send_bytes")][0]
    os.write(pipe.fileno(), b"\x00\x10\x00\x00half an answer")
    die()


def _never():
    raise AssertionError


@pytest.fixture
def pool(request):
    made = ProcessPool(*getattr(request, "param", (2,)))
    yield made
    made.close()


def test_what_all_workers_need_is_handed_over_whatever_its_size():
    pool = ProcessPool(2, remember, b"x" * (5 << 20))
    try:
        answers = [pool.submit(size_of_content) for _ in range(6)]
        assert [answer.result(60) for answer in answers] == [5 << 20] * 6
        folder = pool._folder
    finally:
        pool.close()
    assert not folder.exists()


def test_a_worker_that_dies_takes_its_own_task_alone(pool):
    good = [pool.submit(abs, -number) for number in range(5)]
    bad = pool.submit(die)
    more = [pool.submit(abs, -number) for number in range(5)]
    with pytest.raises(WorkerDied):
        bad.result(60)
    assert [answer.result(60) for answer in good + more] == [*range(5), *range(5)]


def test_half_an_answer_is_a_death_and_not_a_wait(pool):
    with pytest.raises(WorkerDied):
        pool.submit(die_in_the_middle_of_an_answer).result(60)


def test_what_a_task_raises_comes_back(pool):
    with pytest.raises(ValueError, match="no such thing"):
        pool.submit(fail).result(60)
    assert len(pool.submit(large_answer, 3).result(60)) == 3 << 20


@pytest.mark.parametrize("prepare", [die, fail])
def test_workers_that_never_start_are_an_error_that_says_so(prepare):
    pool = ProcessPool(1, prepare, b"x" * (1 << 20))
    try:
        with pytest.raises(PrerequisiteError, match=r"do not start .*(signal 9|ValueError: no such thing).*3 times"):
            pool.submit(abs, 1).result(60)
    finally:
        pool.close()


def test_a_worker_killed_while_it_starts_is_started_again(tmp_path):
    pool = ProcessPool(1, die_the_first_time, str(tmp_path / "marker"))
    try:
        assert pool.submit(abs, -3).result(60) == 3
    finally:
        pool.close()


def test_a_worker_that_stands_still_at_its_start_is_given_up():
    pool = ProcessPool(1, stand_still, None, start_limit_s=1.0)
    try:
        with pytest.raises(PrerequisiteError, match="not ready after 1 s"):
            pool.submit(abs, 1).result(60)
    finally:
        pool.close()


def test_closing_ends_what_is_at_work():
    pool = ProcessPool(1)
    waiting = pool.submit(time.sleep, 600)
    while not pool._all:
        time.sleep(0.01)
    (worker,) = pool._all
    pool.close()
    assert waiting.done() and worker.process.exitcode is not None


def test_locks_that_a_library_makes_in_a_worker_leave_nothing_behind(tmp_path):
    """Progress bars make one; a worker is killed in the end, and nobody else would take it away."""
    script = tmp_path / "script.py"
    script.write_text(
        "import multiprocessing\n"
        "from benchmark.processes import ProcessPool\n"
        "kept = []\n"
        "def lock():\n"
        "    kept.append(multiprocessing.RLock())\n"
        "    return 'locked'\n"
        "if __name__ == '__main__':\n"
        "    pool = ProcessPool(1)\n"
        "    print(pool.submit(lock).result())\n"
        "    pool.close()\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "locked\n", "")


def test_workers_and_their_folder_go_with_a_parent_that_is_killed(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(
        "import os, sys, time\n"
        "from benchmark.processes import ProcessPool\n"
        "if __name__ == '__main__':\n"
        "    pool = ProcessPool(1)\n"
        "    print(pool.submit(os.getpid).result(), pool._folder, flush=True)\n"
        "    time.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    worker, folder = parent.stdout.readline().split()
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 30
    while (is_running(int(worker)) or os.path.exists(folder)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(int(worker)) and not os.path.exists(folder)


def is_running(number):
    try:
        with open(f"/proc/{number}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Unreadable(Exception):
    def __init__(self, one, two):
        super().__init__(f"{one} {two}")


def raise_unreadable():
    raise Unreadable("a", "b")


def test_an_exception_that_cannot_be_read_back_is_an_error_and_leaves_no_worker(pool):
    with pytest.raises(TypeError):
        pool.submit(raise_unreadable).result(60)
    assert not pool._all
    assert pool.submit(abs, -1).result(60) == 1


def test_content_that_cannot_be_handed_over_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmark.processes.tempfile.mkdtemp", lambda prefix: str(tmp_path))
    with pytest.raises(Exception, match="pickle"):
        ProcessPool(1, None, lambda: None)
    assert not tmp_path.exists()


def test_how_a_process_ended_is_told():
    assert ending(0) == "its process ended with exit code 0"
    assert ending(-11) == "its process was killed by signal 11"
    assert "lack of memory" in ending(-9)


def squared_by(number):
    return number * number, os.getpid()


def die_of_two(number):
    if number == 2:
        die()
    return number


@pytest.mark.parametrize("workers", [1, 2])
def test_each_job_is_done_once(workers):
    found = list(each(squared_by, [3, 1, 2, 3], workers))
    assert sorted((job, square) for job, (square, _) in found) == [(1, 1), (2, 4), (3, 9), (3, 9)]
    assert (os.getpid() in {process for _, (_, process) in found}) == (workers == 1)


def test_a_job_that_kills_its_process_is_named():
    with pytest.raises(JobKills, match="died 3 times") as caught:
        list(each(die_of_two, [1, 2], 2))
    assert caught.value.job == 2


def test_what_a_job_raises_is_raised():
    with pytest.raises(ValueError, match="no such thing"):
        list(each(fail, [1], 2))


def test_where_no_process_starts_this_one_works(monkeypatch):
    monkeypatch.setattr(processes._Worker, "wait_until_ready", lambda self, limit: "it does not")
    assert {process for _, (_, process) in each(squared_by, [1, 2], 2)} == {os.getpid()}


def test_a_job_that_kills_its_process_may_have_an_answer_all_the_same():
    found = dict(each(die_of_two, [1, 2, 3], 2, killed=lambda job: f"{job} kills"))
    assert found[2] == "2 kills" and set(found) == {1, 2, 3}


def test_jobs_are_taken_as_they_are_needed():
    taken = []

    def jobs():
        for number in itertools.count():
            taken.append(number)
            yield number

    answers = each(squared_by, jobs(), 1)
    assert [next(answers)[0] for _ in range(3)] == [0, 1, 2] and len(taken) == 3
    answers.close()
