"""PESQ: equal to the package on every pair, and whole where the package dies, raises, or is silently wrong."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys

import numpy as np
import pesq as package
import pytest
import soxr
import torch

from metrics.metric import Failed, SpeechItem, Undefined
from metrics.speech import pesq as module
from metrics.speech.pesq import Job, PesqNb, PesqWb, pesq, score_pairs

RATE = 16000


def voice(seed=0, seconds=2.0, rate=RATE):
    """Syllables of a gliding voice, with pauses."""
    random = np.random.default_rng(seed)
    time = np.arange(int(seconds * rate)) / rate
    knots = np.arange(0, seconds + 0.3, 0.15)
    pitch = np.cumsum(np.interp(time, knots, random.uniform(90, 200, len(knots)))) / rate
    centre = np.interp(time, knots, random.uniform(300, 2500, len(knots)))
    level = np.interp(time, knots, random.choice([0.0, 0.4, 1.0], len(knots), p=[0.2, 0.4, 0.4]))
    gains = (np.exp(-(((h * 140 - centre) / 500) ** 2)) for h in range(1, 25))
    signal_ = level * sum(g * np.sin(2 * np.pi * h * pitch) for h, g in enumerate(gains, 1))
    return (0.3 * signal_ / np.abs(signal_).max()).astype(np.float32)


def worse(x, seed=1, gain=0.03):
    return x + gain * np.random.default_rng(seed).normal(size=len(x)).astype(np.float32)


def bursts(count, rate=RATE):
    """So many utterances of 0.3 s, each with a pause of 0.3 s."""
    random = np.random.default_rng(5)
    noise = random.normal(size=(count, int(0.3 * rate))).astype(np.float32)
    return np.concatenate([0.1 * noise, np.zeros_like(noise)], axis=1).ravel()


def one(reference, estimate, rate=RATE, mode="wb"):
    values, (reason,) = pesq(
        reference=torch.as_tensor(reference), estimate=torch.as_tensor(estimate), rate=rate, mode=mode, workers=1
    )
    assert values.dtype == torch.float64
    assert (reason is None) == bool(torch.isfinite(values).all())
    return float(values[0]) if reason is None else reason


@pytest.mark.parametrize(("mode", "expected"), [("wb", 1.0832337141036987), ("nb", 1.6072081327438354)])
def test_the_pair_that_everyone_quotes(realdata, mode, expected):
    import soundfile

    folder = realdata / "speech_pair"
    reference, estimate = (
        soundfile.read(folder / f"{name}.wav", dtype="float32")[0] for name in ("speech", "speech_bab_0dB")
    )
    assert one(reference, estimate, mode=mode) == expected


@pytest.mark.parametrize(("rate", "mode"), [(16000, "wb"), (16000, "nb"), (8000, "nb")])
def test_equals_the_package_bit_for_bit_on_ragged_batches(rate, mode):
    clean = [voice(seed, seconds, rate) for seed, seconds in enumerate((2.0, 1.0, 0.3, 1.5))]
    # Late, quiet, cut, longer than the reference: both go in whole.
    noisy = [
        np.concatenate([np.zeros(rate // 10, np.float32), worse(clean[0])]),
        1e-3 * worse(clean[1], gain=0.3),
        worse(clean[2])[: int(0.26 * rate)],
        np.tile(worse(clean[3]), 2),
    ]
    reference, estimate = (torch.full((4, max(map(len, xs))), torch.nan) for xs in (clean, noisy))
    for row, (a, b) in enumerate(zip(clean, noisy, strict=True)):
        reference[row, : len(a)], estimate[row, : len(b)] = torch.from_numpy(a), torch.from_numpy(b)
    values, reasons = pesq(
        reference=reference,
        estimate=estimate,
        rate=rate,
        mode=mode,
        lengths=[len(x) for x in clean],
        estimate_lengths=[len(x) for x in noisy],
        workers=2,
    )
    assert values.tolist() == [package.pesq(rate, a, b, mode) for a, b in zip(clean, noisy, strict=True)]
    assert reasons == (None,) * 4


@pytest.mark.parametrize("dtype", [np.int16, np.float64])
def test_keeps_the_precision_that_it_is_given(dtype):
    reference = (20000 * voice()).astype(dtype)
    estimate = (20000 * worse(voice())).astype(dtype) / (1 if dtype is np.int16 else 3)
    assert one(reference, estimate) == package.pesq(RATE, reference, estimate, "wb")


def test_one_pair_that_has_no_value_is_one_row():
    x = voice()
    rows = {
        "good": (x, worse(x)),
        "silent reference": (0 * x, x),
        "silent estimate": (x, 0 * x),
        "both silent": (0 * x, 0 * x),
        "NaN": (x, np.where(np.arange(len(x)) == 9, np.nan, x)),
        "infinite": (np.where(np.arange(len(x)) == 9, np.inf, x), x),
        "good again": (x, worse(x, gain=0.1)),
    }
    values, reasons = pesq(
        reference=torch.tensor(np.stack([a for a, _ in rows.values()])),
        estimate=torch.tensor(np.stack([b for _, b in rows.values()])),
        rate=RATE,
        lengths=[len(x)] * 7,
        workers=1,
    )
    found = dict(zip(rows, reasons, strict=True))
    assert found["good"] is None and found["good again"] is None
    assert float(values[0]) == package.pesq(RATE, *rows["good"], "wb")
    assert float(values[6]) == package.pesq(RATE, *rows["good again"], "wb")
    assert torch.isnan(values[1:6]).all()
    assert (
        isinstance(found["silent reference"], Undefined) and "no speech in the reference" in found["both silent"].reason
    )
    assert isinstance(found["silent estimate"], Undefined) and "estimate is silent" in found["silent estimate"].reason
    assert found["NaN"] == Failed("the estimate holds 1 samples that are NaN or infinite")
    assert found["infinite"] == Failed("the reference holds 1 samples that are NaN or infinite")


def test_the_package_itself_decides_what_is_too_short():
    x = voice()
    assert one(x[8000:12000], worse(x)[8000:12000]) == package.pesq(RATE, x[8000:12000], worse(x)[8000:12000], "wb")
    assert one(x, x[:3999]) == Undefined("the estimate lasts 0.250 s; PESQ needs at least 0.25 s")
    assert one(x[:1600], x) == Undefined("the reference lasts 0.100 s; PESQ needs at least 0.25 s")
    assert one(x[:0], x) == Failed("the reference is empty")


def test_the_scale_goes_below_what_is_often_quoted_as_its_end():
    """MOS-LQO at a raw score of -0.5 is 1.04 (wb), and raw scores go lower; the mapping itself ends at 0.999."""
    x = voice()
    tone = 0.3 * np.sin(2 * np.pi * 100 * np.arange(len(x)) / RATE)
    value = one(x, tone)
    low, high = PesqWb.reports[0].bounds
    assert low < value < 1.04
    assert 4.6 < one(x, x) < high
    assert 4.5 < one(x, x, mode="nb") < PesqNb.reports[0].bounds[1]


@pytest.mark.parametrize("mode", ["wb", "nb"])
def test_fifty_utterances_are_scored_and_more_are_refused(mode):
    """Past 50 the package goes on and returns a number, from tables that it has written over."""
    rate = RATE if mode == "wb" else 8000
    x = bursts(50, rate)
    assert len(x) > module.OVERRUN_S * rate
    assert one(x, worse(x), rate, mode) == package.pesq(rate, x, worse(x), mode)
    x = bursts(52, rate)
    reason = one(x, worse(x), rate, mode)
    assert isinstance(reason, Failed)
    assert reason.reason.startswith("the reference has 52 utterances in 31.2 s; the PESQ program has room for 50")
    assert one(voice(rate=rate), worse(voice(rate=rate)), rate, mode) > 1


def test_no_shorter_reference_can_overrun():
    """The densest bursts that stay apart: 0.2 s each, and 0.2 s between."""
    x = np.concatenate([np.tile(np.r_[np.ones(3264), np.zeros(3328)], 52)]) * 0.1
    x = (x * np.random.default_rng(0).normal(size=len(x))).astype(np.float32)[: int(module.OVERRUN_S * RATE)]
    library = module._library()
    assert library is not None
    _, utterances = module._counted(library, x, worse(x), RATE, "wb")
    assert 40 < utterances <= 50


@pytest.fixture
def fragile(monkeypatch):
    """Workers whose program dies of references of one length, as the real one does of long ones."""
    deadly = (
        "import sys; sys.path[:] = sys.argv[1:]; import os, signal, pesq; real = pesq.pesq\n"
        "def fatal(rate, reference, *more, **options):\n"
        "    if len(reference) == 12345: os.kill(os.getpid(), signal.SIGSEGV)\n"
        "    return real(rate, reference, *more, **options)\n"
        "pesq.pesq = fatal; from metrics.speech.pesq import serve; serve()"
    )
    module._close()
    monkeypatch.setattr(module, "_PROGRAM", deadly)
    yield
    module._close()


def test_a_pair_that_kills_its_worker_fails_alone(fragile):
    x = voice()
    pairs = [x, x[:12345], x[:20000], x[:12345], x[:30000]]
    rows = PesqWb.create(None).measure([SpeechItem(str(n), worse(r), RATE, r) for n, r in enumerate(pairs)])
    assert [type(row) for row in rows] == [dict, Failed, dict, Failed, dict]
    assert "died on this signal (0.8 s, SIGSEGV; it is built for at most 50 utterances)" in rows[1].reason
    for row in (0, 2, 4):
        assert rows[row]["pesq_wb"] == package.pesq(RATE, pairs[row], worse(pairs[row]), "wb")


def test_a_worker_that_died_idle_is_nobodys_fault():
    x = voice()
    expected = one(x, worse(x))
    for worker in module._idle[os.getpid()]:
        os.kill(worker._process.pid, signal.SIGKILL)
        worker._process.wait()
    assert one(x, worse(x)) == expected


def test_workers_are_kept_between_calls():
    x = voice()
    one(x, worse(x))
    before = [worker._process.pid for worker in module._idle[os.getpid()]]
    one(x, worse(x))
    assert [worker._process.pid for worker in module._idle[os.getpid()]] == before


def test_pairs_without_speech_do_not_fill_the_memory():
    """Each of them leaks in the package, so a worker is replaced after a hundred."""
    x = voice(seconds=0.3)
    one(x, worse(x))
    before = {worker._process.pid for worker in module._idle[os.getpid()]}
    outcomes = list(score_pairs((Job(0 * x, x, RATE) for _ in range(101)), mode="wb", workers=1))
    assert all(isinstance(outcome, Undefined) for outcome in outcomes)
    assert {worker._process.pid for worker in module._idle[os.getpid()]} != before


def test_pairs_are_read_as_they_are_needed_and_come_back_in_order():
    x, read = voice(seconds=0.3), []

    def jobs():
        for n in range(20):
            read.append(n)
            yield Job(x, worse(x, gain=0.002 * (n + 1)), RATE)

    ahead, values = [], []
    for value in score_pairs(jobs(), mode="wb", workers=1):
        values.append(value)
        ahead.append(len(read) - len(values))
    assert max(ahead) <= 4
    assert values == [package.pesq(RATE, x, worse(x, gain=0.002 * (n + 1)), "wb") for n in range(20)]


def test_works_in_an_unguarded_script_and_in_its_fork_and_leaves_nothing_behind():
    script = (
        "import os, sys, torch\n"
        "from metrics.speech import pesq as module\n"
        "x = torch.randn(2, 8000, generator=torch.Generator().manual_seed(0))\n"
        "run = lambda: module.pesq(reference=x[:1], estimate=x[1:], rate=16000, workers=1).values.item()\n"
        "mine = run()\n"
        "pid = os.fork()\n"
        "if not pid:\n"
        "    same = run() == mine and module._idle[os.getpid()][0]._process.pid\n"
        "    module._close()\n"
        "    os._exit(0 if same else 1)\n"
        "print(os.waitpid(pid, 0)[1], run() == mine, module._idle[os.getpid()][0]._process.pid)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-"], input=script, capture_output=True, text=True, check=True
    )
    status, same, worker = done.stdout.split()
    assert (status, same, done.stderr) == ("0", "True", "")
    with pytest.raises(ProcessLookupError):
        os.kill(int(worker), 0)


def test_a_worker_imports_no_torch():
    code = "import sys; from metrics.speech.pesq import serve; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


def test_a_worker_that_cannot_start_says_so(monkeypatch):
    module._close()
    monkeypatch.setattr(module, "_PROGRAM", "raise SystemExit(3)")
    with pytest.raises(RuntimeError, match=r"did not start \(exit status 3\)"):
        one(voice(), voice())


def test_arguments_that_cannot_be_are_refused():
    x = torch.zeros(2, 8000)
    for arguments, message in (
        ({"rate": 8000}, "takes 16000 Hz, got 8000"),
        ({"rate": 44100, "mode": "nb"}, "takes 8000 or 16000 Hz, got 44100"),
        ({"rate": 16000, "mode": "swb"}, "'wb' or 'nb', got 'swb'"),
        ({"rate": 16000, "lengths": [8000]}, "2 lengths from 0 to 8000"),
        ({"rate": 16000, "workers": 0}, "at least one worker, got 0"),
    ):
        with pytest.raises(ValueError, match=message):
            pesq(reference=x, estimate=x, **arguments)
    with pytest.raises(ValueError, match=r"as many estimates .* \[2, 8000\] and \[1, 8000\]"):
        pesq(reference=x, estimate=x[:1], rate=16000)


def test_the_random_state_of_the_caller_stays():
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    one(voice(), worse(voice()))
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all()


def test_the_metric_brings_other_rates_to_one_that_pesq_knows():
    clean = {rate: voice(rate=rate) for rate in (6000, 8000, 11025, 16000, 44100)}
    items = [SpeechItem(str(rate), worse(x), rate, x) for rate, x in clean.items()]
    items.insert(2, SpeechItem("stereo", np.zeros((2, 100)), 16000, clean[16000]))
    items.append(SpeechItem("none", clean[16000], 16000))
    wide, narrow = PesqWb.create(None), PesqNb.create(None, workers=2)

    def at(rate, new):
        return (soxr.resample(x, rate, new, quality="HQ") for x in (clean[rate], worse(clean[rate])))

    rows = wide.measure(items)
    kinds = ["Undefined", "Undefined", "Failed", "Undefined", "dict", "dict", "Undefined"]
    assert [type(row).__name__ for row in rows] == kinds
    assert rows[1].reason.endswith("a signal at 8000 Hz does not have (from 16000 Hz); use pesq_nb")
    assert rows[5] == {"pesq_wb": package.pesq(16000, *at(44100, 16000), "wb")}
    rows = narrow.measure(items)
    assert [type(row).__name__ for row in rows] == ["Undefined", "dict", "Failed", "dict", "dict", "dict", "Undefined"]
    assert rows[1] == {"pesq_nb": package.pesq(8000, clean[8000], worse(clean[8000]), "nb")}
    assert rows[3] == {"pesq_nb": package.pesq(8000, *at(11025, 8000), "nb")}
    assert rows[4] == {"pesq_nb": package.pesq(16000, clean[16000], worse(clean[16000]), "nb")}
    assert rows[5] == {"pesq_nb": package.pesq(16000, *at(44100, 16000), "nb")}


def test_the_metric_travels_into_a_worker_and_pins_its_definition():
    metric = PesqWb.create(None)
    x = voice()
    item = SpeechItem("a", worse(x), RATE, x)
    row = metric.measure([item])
    assert pickle.loads(pickle.dumps(metric)).measure([item]) == row
    assert metric.measure([]) == []
    from importlib.metadata import version

    implementation = f"impl:pesq-{version('pesq')}"
    assert metric.signature("pesq_wb") == (
        f"pesq_wb|fs:16000|{implementation}|P.862.2-without-Cor.2|resample:soxr-hq|len:whole|v1"
    )
    assert PesqNb.create(None).signature("pesq_nb") == (
        f"pesq_nb|fs:8000,16000|{implementation}|P.862.1|resample:soxr-hq|len:whole|v1"
    )
    aggregate = metric.aggregate({"pesq_wb": np.array([1.0, 4.0])}, np.array([[1.0, 1.0], [0.0, 0.0]]))
    assert aggregate["pesq_wb"][0] == 2.5 and np.isnan(aggregate["pesq_wb"][1])


@pytest.mark.parametrize("program", ["import time; time.sleep(60)", "import os; os.kill(os.getpid(), 9)"])
def test_a_process_that_never_gets_ready_is_an_error_and_not_a_wait(monkeypatch, program):
    monkeypatch.setattr(module, "_PROGRAM", program)
    monkeypatch.setattr(module, "START_LIMIT_S", 0.5)
    with pytest.raises(RuntimeError, match="did not start"):
        module._Worker()
