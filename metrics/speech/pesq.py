"""Perceptual evaluation of speech quality (PESQ): ITU-T P.862 with P.862.1 (narrow band) and P.862.2 (wide band).

Every value is the one of the `pesq` package, whose C code has three habits that a batch has to be kept from: it dies on
long signals, it cannot run in two threads, and past 50 utterances it may go on and return a number from tables that it
has overrun. So it runs in processes of its own, which are kept between calls and can die alone.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import numpy as np

from metrics.metric import (
    Failed,
    Metric,
    Report,
    SpeechItem,
    Statistics,
    Undefined,
    Values,
    checked_values,
    weighted_mean,
)

if TYPE_CHECKING:
    from torch import Tensor

# The worker processes import this module, and need no torch: whatever does is imported where it is used.

Mode = Literal["wb", "nb"]

UTTERANCES = 50
"""So many utterances the program has room for."""

OVERRUN_S = 20.0
"""No shorter reference can hold more: an utterance lasts at least 0.2 s, and so does the pause behind it."""

START_LIMIT_S = 300.0
"""A process that is not ready by then is taken for stuck."""

_PROGRAM = "import sys; sys.path[:] = sys.argv[1:]; from metrics.speech.pesq import serve; serve()"
_READY = "ready\n"


class Job(NamedTuple):
    """A pair that can be handed to the program as it is."""

    reference: np.ndarray
    estimate: np.ndarray
    rate: int


def pesq(
    *,
    reference: Tensor,
    estimate: Tensor,
    rate: int,
    mode: Mode = "wb",
    lengths: Tensor | Sequence[int] | None = None,
    estimate_lengths: Tensor | Sequence[int] | None = None,
    workers: int | None = None,
) -> Values:
    """Compute PESQ as MOS-LQO, equal to `pesq.pesq(rate, reference, estimate, mode)` for each pair.

    PESQ aligns in time and level by itself, so both signals go in whole and may differ in length.

    Args:
        reference: clean signals.
        estimate: signals to be judged.
        rate: of both, 16000 Hz, or with `nb` also 8000 Hz.
        mode: `wb` (P.862.2 without its Corrigendum 2, about 1.02 to 4.64) or `nb` (P.862.1, about 1.02 to 4.55).
        lengths: valid samples of each reference, and of each estimate unless `estimate_lengths` are given.
        estimate_lengths: valid samples of each estimate.
        workers: processes; by default one for each core that this process may use.

    Shape:
        reference `[B, T]`, estimate `[B, T']` (or `[T]`, `[T']`), lengths `[B]` -> values `[B]`, float64. Undefined: no
        speech in the reference, a silent estimate, less than 0.25 s. Failed: NaN, nothing at all, over 50 utterances.

    Raises:
        ValueError: shapes, rate or mode that cannot be.
        ImportError: the `pesq` package is missing.
    """
    import torch

    from metrics.plain import plain
    from metrics.speech.signals import checked_lengths, rows

    if mode not in ("wb", "nb"):
        raise ValueError(f"Expected mode 'wb' or 'nb', got '{mode}'")
    if rate != 16000 and (mode, rate) != ("nb", 8000):
        rates = "16000 Hz" if mode == "wb" else "8000 or 16000 Hz"
        raise ValueError(f"PESQ ({mode}) takes {rates}, got {rate}; resample both signals first")
    with plain():
        signals = [rows(x, name) for x, name in ((reference, "references"), (estimate, "estimates"))]
        if len(signals[0]) != len(signals[1]):
            shapes = " and ".join(str(list(x.shape)) for x in signals)
            raise ValueError(f"Expected references [B, T] and as many estimates [B, T'], got {shapes}")
        valid = (
            checked_lengths(signals[0], lengths),
            checked_lengths(signals[1], lengths if estimate_lengths is None else estimate_lengths),
        )
        # The package scales in the precision that it is given, so the precision of the caller is kept.
        arrays = [x.cpu().numpy() for x in signals]
        items = [
            SpeechItem("", estimate=e[:length_e], rate=rate, reference=r[:length_r])
            for r, e, length_r, length_e in zip(*arrays, *(v.tolist() for v in valid), strict=True)
        ]
    scores = _scores(items, mode, _cores() if workers is None else workers)
    found = [s if isinstance(s, float) else float("nan") for s in scores]
    values = torch.tensor(found, dtype=torch.float64, device="cpu")
    return checked_values(values, [None if isinstance(s, float) else s for s in scores], [f"pesq_{mode}"])


def score_pairs(jobs: Iterable[Job], *, mode: Mode, workers: int) -> Iterator[float | Undefined | Failed]:
    """Score pairs as they come, a few ahead of the caller -> one outcome each, in their order.

    Args:
        jobs: read as they are needed, so that any number of them takes the memory of a few; signals are mono, finite
            and not empty, at a rate that the mode takes.
        mode: `wb` or `nb`.
        workers: processes at work.
    """
    if workers < 1:
        raise ValueError(f"Expected at least one worker, got {workers}")
    import_module("pesq")  # says what is missing here, where it can be read
    ahead: deque[Future[float | Undefined | Failed]] = deque()
    # A thread does nothing but feed its process and wait for it.
    threads = ThreadPoolExecutor(workers, thread_name_prefix="pesq")
    try:
        for job in jobs:
            ahead.append(threads.submit(_score, job, mode))
            if len(ahead) >= 4 * workers:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        threads.shutdown(cancel_futures=True)


def _scores(items: Sequence[SpeechItem], mode: Mode, workers: int) -> list[float | Undefined | Failed]:
    """One outcome per item; the longest go first, so that none is left over when the others are done."""
    from metrics.speech.signals import fault, resampled

    outcomes: list[Any] = [fault(item) or _below_the_band(item.rate, mode) for item in items]
    order = [i for i, outcome in enumerate(outcomes) if outcome is None]
    order.sort(key=lambda i: -len(items[i].estimate) / items[i].rate)

    def jobs() -> Iterator[Job]:
        for item in (items[i] for i in order):
            rate = _rate(item.rate, mode)
            reference, estimate = (resampled(x, item.rate, rate) for x in (item.reference, item.estimate))
            yield Job(reference, estimate, rate)

    for i, outcome in zip(order, score_pairs(jobs(), mode=mode, workers=workers), strict=True):
        outcomes[i] = outcome
    return outcomes


def _rate(rate: int, mode: Mode) -> int:
    """The rate that signals of some rate are judged at."""
    return 8000 if mode == "nb" and rate < 16000 else 16000


def _below_the_band(rate: int, mode: Mode) -> Undefined | None:
    lowest = _rate(0, mode)
    if rate >= lowest:
        return None
    advice = "; use pesq_nb" if mode == "wb" and rate >= 8000 else ""
    return Undefined(f"PESQ ({mode}) judges a band that a signal at {rate} Hz does not have (from {lowest} Hz){advice}")


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Worker:
    """A process that scores one pair after the other.

    It is a plain child, not one of `multiprocessing`: that would import the caller's main module (and torch) once more,
    and cannot be started from a script that is not guarded against it.
    """

    def __init__(self) -> None:
        self.used = False
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, *sys.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdin and self._process.stdout
        self._requests, self._answers = self._process.stdin, self._process.stdout
        if not select.select([self._answers], [], [], START_LIMIT_S)[0]:
            self._process.kill()
        if self._answers.readline().decode() != _READY:
            status = self.close()
            raise RuntimeError(
                f"The process that runs PESQ did not start (exit status {status}); what it said is on standard error"
            )

    def ask(self, job: Job, mode: Mode) -> str:
        """The answer to one pair; empty where the process is dead, or died of it."""
        self.used = True
        signals = [np.ascontiguousarray(x, x.dtype if x.dtype == np.float32 else np.float64) for x in job[:2]]
        head = f"{job.rate} {mode} " + " ".join(f"{len(x)} {x.dtype.str}" for x in signals)
        try:
            self._requests.write(f"{head}\n".encode())
            for x in signals:
                self._requests.write(x.data)
            self._requests.flush()
        except OSError:
            return ""
        answer = self._answers.readline().decode()
        return answer if answer.endswith("\n") else ""

    def close(self) -> int:
        """Let the process end -> its exit status."""
        with contextlib.suppress(OSError):  # what it did not read before it died
            self._requests.close()
        self._answers.close()
        return self._process.wait()


_idle: defaultdict[int, list[_Worker]] = defaultdict(list)
"""Workers that wait for work, by the process that started them: a forked child must not talk to its parent's."""


@atexit.register
def _close() -> None:
    for worker in _idle.pop(os.getpid(), []):
        worker.close()


def _score(job: Job, mode: Mode) -> float | Undefined | Failed:
    mine = _idle[os.getpid()]
    try:
        worker = mine.pop()
    except IndexError:
        worker = _Worker()
    known = worker.used
    answer = worker.ask(job, mode)
    if not answer and known:
        # A pair is blamed only for the death of a process that has done nothing else.
        worker.close()
        worker = _Worker()
        answer = worker.ask(job, mode)
    if not answer:
        status, seconds = worker.close(), len(job.reference) / job.rate
        cause = signal.Signals(-status).name if status < 0 else f"exit status {status}"
        return Failed(
            f"the PESQ program died on this signal ({seconds:.1f} s, {cause}; it is built for at most {UTTERANCES} "
            "utterances): score shorter pieces"
        )
    mine.append(worker)
    kind, _, text = answer.rstrip("\n").partition(" ")
    if kind == "value":
        return float(text)
    return Undefined(text) if kind == "undefined" else Failed(text)


def serve() -> None:
    """Answer requests on standard input until it closes; the whole life of a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "w")
    import_module("pesq")
    answers.write(_READY)
    answers.flush()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):  # what the C code prints, above all when it dies, is nobody's to read
        os.dup2(nowhere, stream)
    leaks = 0
    while head := requests.readline():
        rate, mode, *kinds = head.decode().split()
        reference, estimate = (
            np.frombuffer(requests.read(int(size) * np.dtype(dtype).itemsize), dtype)
            for size, dtype in zip(kinds[::2], kinds[1::2], strict=True)
        )
        value, utterances = _measured(reference, estimate, int(rate), mode)
        answers.write(_answer(value, utterances, reference, estimate, int(rate)) + "\n")
        answers.flush()
        # An overrun may have reached into memory that the next pair uses, and a pair without speech is never freed.
        leaks += value == _NO_UTTERANCES
        if utterances > UTTERANCES or leaks == 100:
            return


_TOO_SHORT, _NO_UTTERANCES = -6, -7


def _answer(value: float, utterances: int, reference: np.ndarray, estimate: np.ndarray, rate: int) -> str:
    if utterances > UTTERANCES:
        return (
            f"failed the reference has {utterances} utterances in {len(reference) / rate:.1f} s; the PESQ program has "
            f"room for {UTTERANCES}, and what it returns beyond is not PESQ: score shorter pieces"
        )
    if value == _TOO_SHORT:
        name, x = min((("reference", reference), ("estimate", estimate)), key=lambda pair: len(pair[1]))
        return f"undefined the {name} lasts {len(x) / rate:.3f} s; PESQ needs at least 0.25 s"
    if value == _NO_UTTERANCES:
        return "undefined PESQ finds no speech in the reference (silence, or nothing that the estimate overlaps)"
    if np.isnan(value):
        return "undefined PESQ yields NaN: the estimate is silent above 300 Hz, where PESQ sets its level"
    if value < 0:
        return f"failed the PESQ program stopped with its error {value:.0f}"
    return f"value {value!r}"


def _measured(reference: np.ndarray, estimate: np.ndarray, rate: int, mode: str) -> tuple[float, int]:
    """The package's value or (negative) error, and the number of utterances where it may be above the limit, else 0."""
    from pesq import PesqError
    from pesq import pesq as measured

    library = _library() if len(reference) >= OVERRUN_S * rate else None
    if library is None:
        return float(measured(rate, reference, estimate, mode, on_error=PesqError.RETURN_VALUES)), 0
    return _counted(library, reference, estimate, rate, mode)


class _Signal(ctypes.Structure):
    """SIGNAL_INFO of the program's pesq.h."""

    _fields_: ClassVar = [
        ("path_name", ctypes.c_char * 512),
        ("file_name", ctypes.c_char * 128),
        ("samples", ctypes.c_long),
        ("apply_swap", ctypes.c_long),
        ("input_filter", ctypes.c_long),
        *((name, ctypes.c_void_p) for name in ("data", "VAD", "logVAD")),
    ]


class _Findings(ctypes.Structure):
    """ERROR_INFO of the program's pesq.h."""

    _fields_: ClassVar = [
        ("utterances", ctypes.c_long),
        *((name, ctypes.c_long) for name in ("largest", "surfaces", "crude_delay")),
        ("crude_confidence", ctypes.c_float),
        *((name, ctypes.c_long * UTTERANCES) for name in ("search_start", "search_end", "delay_guess", "delay")),
        ("confidence", ctypes.c_float * UTTERANCES),
        *((name, ctypes.c_long * UTTERANCES) for name in ("start", "end")),
        ("raw", ctypes.c_float),
        ("mapped", ctypes.c_float),
        ("mode", ctypes.c_short),
    ]


def _library() -> ctypes.CDLL | None:
    """The package's compiled program, where its structures are known to be the two above."""
    if metadata.version("pesq") != "0.0.4":
        return None
    library = ctypes.CDLL(import_module("pesq.cypesq").__file__)
    return library if hasattr(library, "pesq_measure") and hasattr(library, "select_rate") else None


def _counted(
    library: ctypes.CDLL, reference: np.ndarray, estimate: np.ndarray, rate: int, mode: str
) -> tuple[float, int]:
    """What the package does, and then a look at the number of utterances, which it does not return.

    An utterance too many is written into the next table without a check, and nothing tells: 51 sentences, each with a
    delay of its own, have come out 0.27 below what the same code with larger tables gives.
    """
    loudest = max(np.abs(reference).max(), np.abs(estimate).max()) or 1.0
    signals = [np.ascontiguousarray(x / loudest, np.float32) for x in (reference, estimate)]
    about = [_Signal(samples=len(x), input_filter=2 if mode == "wb" else 1, data=x.ctypes.data) for x in signals]
    room = ctypes.create_string_buffer(ctypes.sizeof(_Findings) + len(reference))  # the overrun ends in here
    found = _Findings.from_buffer(room)
    found.mode = int(mode == "wb")
    error, text = ctypes.c_long(0), ctypes.c_char_p(b"")
    library.select_rate(ctypes.c_long(rate), ctypes.byref(error), ctypes.byref(text))
    library.pesq_measure(*map(ctypes.byref, (*about, found, error, text)))
    return float(error.value or found.mapped), found.utterances


class _Pesq(Metric):
    """PESQ of one mode; a row holds the value under the metric's name."""

    version = 1
    mode: ClassVar[Mode]

    def __init__(self, workers: int = 1) -> None:
        import_module("pesq")
        self.workers = workers
        self._implementation = f"pesq-{metadata.version('pesq')}"

    @classmethod
    def create(cls, networks: Any, workers: int = 1) -> _Pesq:
        """Make the metric; `workers` processes of its own run the PESQ program."""
        return cls(workers)

    def signature(self, report: str) -> str:
        standard = "fs:16000|{}|P.862.2-without-Cor.2" if self.mode == "wb" else "fs:8000,16000|{}|P.862.1"
        pinned = standard.format(f"impl:{self._implementation}")
        return f"{self.name}|{pinned}|resample:soxr-hq|len:whole|v{self.version}"

    def measure(self, items: Sequence[SpeechItem]) -> list[Statistics | Undefined | Failed]:
        """Rows of the value. Rates above 16 kHz are judged at 16 kHz; with `nb`, those from 8 to 16 kHz at 8 kHz."""
        return [{self.name: s} if isinstance(s, float) else s for s in _scores(items, self.mode, self.workers)]

    def aggregate(self, statistics: Mapping[str, np.ndarray], weights: np.ndarray) -> dict[str, np.ndarray]:
        return {self.name: weighted_mean(statistics[self.name], weights)}


class PesqWb(_Pesq):
    """Wide-band PESQ."""

    name = "pesq_wb"
    mode = "wb"
    reports = (
        Report(
            "pesq_wb",
            "PESQ-WB",
            True,
            (0.999, 4.644),
            weigh="sample",
            description="MOS-LQO of wide-band PESQ (ITU-T P.862.2, 2007, without Corrigendum 2).",
        ),
    )


class PesqNb(_Pesq):
    """Narrow-band PESQ."""

    name = "pesq_nb"
    mode = "nb"
    reports = (
        Report(
            "pesq_nb",
            "PESQ-NB",
            True,
            (0.999, 4.549),
            weigh="sample",
            description="MOS-LQO of narrow-band PESQ (ITU-T P.862 mapped by P.862.1).",
        ),
    )
