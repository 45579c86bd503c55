"""What scoring speech costs: each metric beside the packages that people use, workers, and memory.

    python tests/benchmarks/bench_speech_speed.py                                  # all three parts, about 8 minutes
    python tests/benchmarks/bench_speech_speed.py --part metrics --speech FOLDER   # on recordings of one's own
    python tests/benchmarks/bench_speech_speed.py --part metrics --device cuda     # what runs there, there

metrics: pairs of 3.1 s at 16 kHz (where nothing else is said), everything on one thread, in turns so that all meet the
same load; each time is that of one pair, the best of its rounds, by itself for wall and for CPU time. Ratios are of CPU
time (of wall time on a GPU), the first package of a metric being 1.
workers: `score_pairs`, which is what `python -m benchmark score` runs, over 200 pairs with one and two workers, from
the call to the result, and once more without what starting the workers takes; and PESQ alone, beside the package's
`pesq_batch`.
memory: the same over 1,000 and 10,000 short pairs; the largest sum of the resident memory of all its processes (pages
that they share count in each) and the largest of the main process alone.

Workers and memory are read from /proc (Linux). References: pip install pystoi jiwer librosa, and for resemblyzer also
pip install --no-deps resemblyzer.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from bench_speech_agreement import Recordings, damaged, named, piece, published_dnsmos, recorded, resemblyzer, spoken
from torch import Tensor

from benchmark.media import write_audio
from benchmark.runs import provenance
from benchmark.types import Audio
from metrics.metric import SpeechItem

ROOT = Path(__file__).resolve().parents[2]
RATE, SECONDS, BATCH, FEW = 16_000, 3.1, 32, 8
PACKAGES = (
    *("torch", "numpy", "pesq", "pystoi", "torchmetrics", "fast_bss_eval", "speechmos", "librosa", "onnxruntime"),
    *("jiwer", "rapidfuzz", "resemblyzer"),
)
TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
PAGE_MIB = 4096 / 2**20


class Run(NamedTuple):
    """One way to measure `count` items."""

    call: Callable[[], object]
    count: int


class Cost(NamedTuple):
    wall_s: float
    cpu_s: float


class Work(NamedTuple):
    """A metric, the ways to measure it in packages (or what is missing of them), and the ways here."""

    name: str
    theirs: Mapping[str, Run | str]
    ours: Mapping[str, Run]


# -- processes --------------------------------------------------------------------------------------------------------


def descendants(process: int) -> Iterator[int]:
    """All processes below one; children belong to the thread that started them."""
    with suppress(OSError):
        for thread in os.listdir(f"/proc/{process}/task"):
            with suppress(OSError):
                for child in Path(f"/proc/{process}/task/{thread}/children").read_text().split():
                    yield int(child)
                    yield from descendants(int(child))


def usage(process: int) -> tuple[float, float]:
    """Seconds of CPU time and MiB of resident memory of one process."""
    with suppress(OSError):
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS, int(fields[21]) * PAGE_MIB
    return 0.0, 0.0


def elsewhere_s() -> float:
    """CPU time of the processes that this one started."""
    ended = os.times()
    return ended.children_user + ended.children_system + sum(usage(child)[0] for child in descendants(os.getpid()))


def busy_s() -> float:
    """CPU time of everything on this machine; NaN where the system does not tell."""
    with suppress(OSError, ValueError):
        user, nice, system, _, _, *rest = map(int, Path("/proc/stat").read_text().splitlines()[0].split()[1:9])
        return (user + nice + system + sum(rest)) / TICKS
    return float("nan")


# -- metrics ----------------------------------------------------------------------------------------------------------


def best_of(runs: Mapping[str, Run], seconds: float) -> dict[str, Cost]:
    """Cost per item of each, in turns for so many seconds, at least three."""
    best = dict.fromkeys(runs, Cost(np.inf, np.inf))
    for run in runs.values():
        run.call()
    end, rounds = time.perf_counter() + seconds, 0
    while rounds < 3 or time.perf_counter() < end:
        for name, (call, count) in runs.items():
            before = elsewhere_s()
            wall, cpu = time.perf_counter(), time.process_time()
            call()
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            cpu += elsewhere_s() - before
            best[name] = Cost(min(best[name].wall_s, wall / count), min(best[name].cpu_s, cpu / count))
        rounds += 1
    return best


def metric_costs(speech: Recordings, device: str, seconds: float) -> None:
    print(f"\n{'metric':19} {'':35} {'wall, ms':>9} {'CPU, ms':>9} {'ratio':>7}")
    for work in works(speech, device):
        runs = {name: run for name, run in work.theirs.items() if isinstance(run, Run)} | dict(work.ours)
        best = best_of(runs, seconds)
        kind = "wall_s" if device != "cpu" else "cpu_s"
        against = next((getattr(best[name], kind) for name in work.theirs if name in best), None)
        title = work.name
        for name in (*work.theirs, *work.ours):
            if name in best:
                ratio = f"{against / getattr(best[name], kind):7.2f}" if against else ""
                print(f"{title:19} {name:35} {1000 * best[name].wall_s:9.3f} {1000 * best[name].cpu_s:9.3f} {ratio}")
            else:
                print(f"{title:19} {name:35} {work.theirs[name]}")
            title = ""
        sys.stdout.flush()


def works(speech: Recordings, device: str) -> Iterator[Work]:
    random = np.random.default_rng(0)
    clean = np.stack([piece(speech, SECONDS, RATE, random) for _ in range(FEW)])
    noisy = np.stack([damaged(x, "5 dB noise", RATE, random) for x in clean]).astype(np.float32)
    noisy *= 0.8 / np.abs(noisy).max()
    # The large batch is made of the same pairs, because what a pair costs depends on what is said in it.
    x, y = (torch.from_numpy(side).repeat(BATCH // FEW, 1) for side in (clean, noisy))
    yield from pesq_works(clean, noisy, x, y)
    yield from stoi_works(clean, noisy, x, y, device)
    yield from ratio_works(x, y, device)
    yield from network_works(speech, device)
    yield speaker_work(clean, noisy)
    yield from word_works()


def one_by_one(function: Callable[..., Any], x: Any, y: Any) -> Run:
    """`function(reference, estimate)` of each of the first pairs."""

    def call() -> None:
        for pair in zip(x[:FEW], y[:FEW], strict=True):
            function(*pair)

    return Run(call, min(FEW, len(x)))


def here(function: Callable[..., Any], x: Tensor, y: Tensor, device: str = "cpu", **options: Any) -> dict[str, Run]:
    """A function of this suite: one at a time, and a whole batch."""
    x, y = x.to(device), y.to(device)

    def score(reference: Tensor, estimate: Tensor) -> None:
        function(reference=reference, estimate=estimate, **options).values.tolist()  # reading waits for the device

    return {
        "here, one at a time": one_by_one(score, x, y),
        f"here, batch of {len(x)}": Run(lambda: score(x, y), len(x)),
    }


def pesq_works(clean: np.ndarray, noisy: np.ndarray, x: Tensor, y: Tensor) -> Iterator[Work]:
    import pesq as package
    from torchmetrics.functional.audio import perceptual_evaluation_speech_quality

    from metrics.speech.pesq import pesq

    for mode in ("wb", "nb"):
        theirs = {
            named("pesq"): one_by_one(partial(package.pesq, RATE, mode=mode), clean, noisy),
            f"{named('torchmetrics')}, batch of {FEW}": Run(
                lambda mode=mode: perceptual_evaluation_speech_quality(y[:FEW], x[:FEW], RATE, mode), FEW
            ),
        }
        yield Work(f"pesq_{mode}", theirs, here(pesq, x, y, rate=RATE, mode=mode, workers=1))


def stoi_works(clean: np.ndarray, noisy: np.ndarray, x: Tensor, y: Tensor, device: str) -> Iterator[Work]:
    from pystoi import stoi as package
    from torchmetrics.functional.audio import short_time_objective_intelligibility

    from metrics.speech.stoi import estoi, intelligibility, stoi

    def both(reference: np.ndarray, estimate: np.ndarray) -> None:
        package(reference, estimate, RATE), package(reference, estimate, RATE, extended=True)

    for function, extended in ((stoi, False), (estoi, True)):
        theirs = {
            named("pystoi"): one_by_one(partial(package, fs_sig=RATE, extended=extended), clean, noisy),
            f"{named('torchmetrics')}, batch of {FEW}": Run(
                lambda extended=extended: short_time_objective_intelligibility(y[:FEW], x[:FEW], RATE, extended), FEW
            ),
        }
        yield Work(function.__name__, theirs, here(function, x, y, device, rate=RATE))
    theirs = {f"{named('pystoi')}, twice": one_by_one(both, clean, noisy)}
    yield Work("stoi and estoi", theirs, here(intelligibility, x, y, device, rate=RATE))


def ratio_works(x: Tensor, y: Tensor, device: str) -> Iterator[Work]:
    import fast_bss_eval
    from torchmetrics.functional import audio

    from metrics.speech.sdr import sdr
    from metrics.speech.si_sdr import si_sdr, si_snr

    x, y = x.double().to(device), y.double().to(device)

    def there(package: str, function: Callable[[Tensor, Tensor], Tensor]) -> dict[str, Run]:
        def score(reference: Tensor, estimate: Tensor) -> None:
            function(reference, estimate).tolist()

        whole = Run(lambda: score(x, y), len(x))
        return {f"{package}, one at a time": one_by_one(score, x, y), f"{package}, batch of {len(x)}": whole}

    package = named("torchmetrics")
    for function, other in (
        (si_sdr, audio.scale_invariant_signal_distortion_ratio),
        (si_snr, audio.scale_invariant_signal_noise_ratio),
    ):
        theirs = there(package, lambda reference, estimate, other=other: other(estimate, reference))
        yield Work(function.__name__, theirs, here(function, x, y, device))
    theirs = there(package, lambda reference, estimate: audio.signal_distortion_ratio(estimate, reference))
    theirs |= there(
        named("fast_bss_eval"),
        lambda reference, estimate: fast_bss_eval.sdr(reference[..., None, :], estimate[..., None, :]),
    )
    yield Work("sdr", theirs, here(sdr, x, y, device))


def network_works(speech: Recordings, device: str) -> Iterator[Work]:
    """Several lengths, because windows share their frames here: 10 s are one window, and nothing to share."""
    from metrics.networks import dnsmos_models
    from metrics.speech.dnsmos import dnsmos

    script, models, random = published_dnsmos(), dnsmos_models.load(device=device), np.random.default_rng(0)

    def score(_: None, estimate: Tensor) -> None:
        dnsmos(estimate=estimate, models=models)

    for seconds, count in ((SECONDS, 4), (10.0, 4), (60.0, 1)):
        signals = np.stack([piece(speech, seconds, RATE, random) for _ in range(count)])
        nothing, theirs = [None] * count, script
        if not isinstance(script, str):
            theirs = one_by_one(lambda _, x: script(SpeechItem("", x, RATE)), nothing, signals)
        ours = one_by_one(score, nothing, torch.from_numpy(signals))
        yield Work(f"dnsmos, {seconds:g} s", {named("speechmos"): theirs}, {"here, one at a time": ours})


def speaker_work(clean: np.ndarray, noisy: np.ndarray) -> Work:
    from metrics.networks import ge2e
    from metrics.speech.speaker_similarity import speaker_similarity

    package, x, y = resemblyzer(), torch.from_numpy(clean), torch.from_numpy(noisy)
    theirs: Run | str = package
    if not isinstance(package, str):
        theirs = one_by_one(lambda a, b: package(SpeechItem("", b, RATE, a)), clean, noisy)
    ours = here(speaker_similarity, x, y, rate=RATE, network=ge2e.load())
    return Work("speaker_similarity", {named("resemblyzer"): theirs}, ours)


def word_works(count: int = 200) -> Iterator[Work]:
    """Sentences of 20 words, a fifth of them wrong."""
    import jiwer
    from torchmetrics.functional.text import char_error_rate, word_error_rate

    from metrics.speech.word_errors import cer, wer

    random = np.random.default_rng(0)
    vocabulary = np.array(["".join(random.choice(list("abcdefghij"), random.integers(1, 9))) for _ in range(500)])
    words = random.choice(vocabulary, (count, 20))
    wrong = np.where(random.random(words.shape) < 0.2, random.choice(vocabulary, words.shape), words)
    said, heard = ([" ".join(line) for line in side] for side in (words, wrong))
    for ours, package, other in ((wer, jiwer.wer, word_error_rate), (cer, jiwer.cer, char_error_rate)):
        yield Work(
            f"{ours.__name__}, a sentence",
            {
                named("jiwer"): Run(partial(package, said, heard), count),
                named("torchmetrics"): Run(partial(other, heard, said), count),
            },
            {f"here, batch of {count}": Run(partial(ours, reference=said, estimate=heard, normaliser="none"), count)},
        )


# -- workers and memory -----------------------------------------------------------------------------------------------

_PROGRAM = """
import json, sys, time
from pathlib import Path
from benchmark.pairs.scoring import PairRequest, score_pairs
root, metrics, workers, limit = Path(sys.argv[1]), tuple(sys.argv[2].split(",")), int(sys.argv[3]), int(sys.argv[4])
start = time.perf_counter()
result = score_pairs(PairRequest(root / "made", root / "clean", metrics=metrics, workers=workers, limit=limit,
                                 out=root / f"scores-{time.time_ns()}")).result
print(json.dumps([time.perf_counter() - start, [[a.name, a.scored, a.total] for a in result.aggregates]]))
"""


class Watched(NamedTuple):
    """What a run took, of all its processes."""

    wall_s: float
    """Of `score_pairs` alone, without the start of the interpreter."""
    cpu_s: float
    """Of all processes, starts included."""
    all_mib: float
    main_mib: float
    scored: dict[str, int]
    others: float
    """Cores that other processes kept busy meanwhile."""


def watched(root: Path, metrics: str, workers: int, pairs: int) -> Watched:
    """Score so many pairs of a folder in a process of its own, and look at it ten times a second."""
    busy, start = busy_s(), time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, str(root), metrics, str(workers), str(pairs)], stdout=subprocess.PIPE, cwd=ROOT
    )
    assert process.stdout
    spent: dict[int, float] = {}
    all_mib = main_mib = 0.0
    while process.poll() is None:
        sizes = {}
        for number in (process.pid, *descendants(process.pid)):
            cpu, sizes[number] = usage(number)
            # The last that was seen of a process that has ended.
            spent[number] = max(cpu, spent.get(number, 0.0))
        all_mib, main_mib = max(all_mib, sum(sizes.values())), max(main_mib, sizes[process.pid])
        time.sleep(0.1)
    if process.returncode:
        raise SystemExit(f"scoring ended with exit status {process.returncode}; what it said is above")
    seconds, aggregates = json.loads(process.stdout.read())
    cpu = sum(spent.values())
    others = (busy_s() - busy - cpu) / (time.perf_counter() - start)
    scored = {name: count for name, count, _ in aggregates}
    return Watched(seconds, cpu, all_mib, main_mib, scored, max(others, 0.0))


def make_folder(root: Path, speech: Recordings, count: int, seconds: float, different: int) -> None:
    """`count` pairs below `root`, of which so many are different; the rest are links to them."""
    random = np.random.default_rng(0)
    for side in ("clean", "made"):
        (root / side).mkdir(parents=True)
    for number in range(count):
        paths = [root / side / f"{number:05d}.wav" for side in ("clean", "made")]
        if number >= different:
            for path in paths:
                path.hardlink_to(path.with_name(f"{number % different:05d}.wav"))
            continue
        clean = piece(speech, seconds, RATE, random)
        for path, samples in zip(paths, (clean, damaged(clean, "5 dB noise", RATE, random)), strict=True):
            write_audio(path, Audio(samples.astype(np.float32), RATE))


def worker_scaling(speech: Recordings, pairs: int = 200, rounds: int = 2) -> None:
    metrics = "pesq_wb,stoi,si_sdr,sdr"
    print(f"\nscore_pairs, {pairs} pairs of {SECONDS} s, metrics {metrics}, best of {rounds} rounds in turns")
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        make_folder(root, speech, pairs, SECONDS, pairs)
        seen: dict[int, list[Watched]] = {1: [], 2: []}
        starts = []
        for _ in range(rounds):
            # One pair is next to nothing but the start of a worker, which imports torch; several start at once.
            starts.append(watched(root, metrics, 1, 1).wall_s)
            for workers, runs in seen.items():
                runs.append(watched(root, metrics, workers, pairs))
    best, start = {workers: min(runs) for workers, runs in seen.items()}, min(starts)
    print(f"{'workers':>7} {'wall, s':>8} {'pairs/s':>8} {'CPU, s':>7} {'efficiency':>10} {'others, cores':>14}")
    for workers, run in best.items():
        assert set(run.scored.values()) == {pairs}, run.scored
        efficiency = best[1].wall_s / (workers * run.wall_s)
        print(
            f"{workers:7} {run.wall_s:8.1f} {pairs / run.wall_s:8.1f} {run.cpu_s:7.1f} {efficiency:10.0%} "
            f"{run.others:14.2f}"
        )
    after = (best[1].wall_s - start) / (2 * (best[2].wall_s - start))
    print(f"of this the start of the workers: {start:.1f} s; efficiency of two without it: {after:.0%}")


def pesq_scaling(speech: Recordings, pairs: int = 40, rounds: int = 3) -> None:
    """Equal lengths, because `pesq_batch` takes no others; it starts its processes each time, and these are kept."""
    import pesq as package

    from metrics.speech.pesq import Job, score_pairs

    random = np.random.default_rng(0)
    clean = np.stack([piece(speech, SECONDS, RATE, random) for _ in range(pairs)])
    noisy = np.stack([damaged(x, "5 dB noise", RATE, random) for x in clean]).astype(np.float32)

    def ours(workers: int) -> list[Any]:
        jobs = (Job(x, y, RATE) for x, y in zip(clean, noisy, strict=True))
        return list(score_pairs(jobs, mode="wb", workers=workers))

    runs: dict[str, Callable[[], list[Any]]] = {
        f"{named('pesq')} in a loop": lambda: [package.pesq(RATE, x, y) for x, y in zip(clean, noisy, strict=True)]
    }
    for count in (1, 2):
        runs[f"its pesq_batch, processes: {count}"] = partial(
            package.pesq_batch, RATE, clean, noisy, "wb", n_processor=count
        )
        runs[f"here, workers: {count}"] = partial(ours, count)
    expected, best = ours(2), dict.fromkeys(runs, np.inf)
    began, busy, own = time.perf_counter(), busy_s(), time.process_time() + elsewhere_s()
    for _ in range(rounds):
        for name, run in runs.items():
            start = time.perf_counter()
            assert run() == expected, name
            best[name] = min(best[name], time.perf_counter() - start)
    others = (busy_s() - busy - (time.process_time() + elsewhere_s() - own)) / (time.perf_counter() - began)
    print(
        f"\npesq_wb alone, {pairs} pairs of {SECONDS} s, wall time, best of {rounds} rounds in turns; "
        f"others kept {max(others, 0.0):.2f} cores busy"
    )
    loop = next(iter(best.values()))
    for name, seconds in best.items():
        print(f"{name:30} {pairs / seconds:6.1f} pairs/s {loop / seconds:6.2f} x the loop")


def memory(speech: Recordings, sizes: tuple[int, ...] = (1000, 10_000)) -> None:
    metrics = "si_sdr,stoi"
    print(f"\nscore_pairs, pairs of 0.5 s, metrics {metrics}, one worker: largest resident memory")
    print(f"{'pairs':>7} {'all, MiB':>9} {'main, MiB':>10} {'wall, s':>8} {'CPU, s':>7} {'ms a pair':>10}  scored")
    for size in sizes:
        with tempfile.TemporaryDirectory() as place:
            make_folder(Path(place), speech, size, 0.5, 50)
            run = watched(Path(place), metrics, 1, size)
        scored = ", ".join(f"{name} {count}" for name, count in run.scored.items())
        print(
            f"{size:7} {run.all_mib:9.0f} {run.main_mib:10.0f} {run.wall_s:8.1f} {run.cpu_s:7.1f} "
            f"{1000 * run.wall_s / size:10.1f}  {scored}",
            flush=True,
        )


def about(device: str) -> None:
    """Hardware and versions."""
    machine = provenance.collect()["machine"]
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    print(f"{machine.get('cpu')}, {machine['cpus']} cores, {machine['system']}; load before the start: {load}")
    if device != "cpu":
        print(f"device: {provenance.device_name(device)}")
    versions = []
    for package in PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            versions.append(f"{package} {metadata.version(package)}")
    print(f"Python {platform.python_version()}, {', '.join(versions)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=("metrics", "workers", "memory"), help="only this (default: all)")
    parser.add_argument("--speech", type=Path, help="a folder of recordings (default: espeak's voices)")
    parser.add_argument("--device", default="cpu", help="for the metrics that run on a GPU (default cpu)")
    parser.add_argument("--seconds", type=float, default=12, help="to spend on each metric (default 12)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # what the packages say of one another
    about(arguments.device)
    speech = recorded(arguments.speech) if arguments.speech else spoken()
    if arguments.part in (None, "metrics"):
        metric_costs(speech, arguments.device, arguments.seconds)
    if arguments.part in (None, "workers"):
        worker_scaling(speech)
        pesq_scaling(speech)
    if arguments.part in (None, "memory"):
        memory(speech)


if __name__ == "__main__":
    main()
