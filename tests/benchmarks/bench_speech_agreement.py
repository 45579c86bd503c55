"""Every metric of speech against the package that people know it from, in one table.

    python tests/benchmarks/bench_speech_agreement.py --speech FOLDER --speech FOLDER     # about 6 minutes on one core
    python tests/benchmarks/bench_speech_agreement.py --speech FOLDER --quick             # about 1 minute

Speech comes from the recordings below each FOLDER (any rate), from espeak's voices as in Talkers, and from formulas
alone; it is cut into pieces of several lengths, brought to several rates, and damaged in several ways. What is measured
here goes through the classes that the harness uses, ragged and in batches; what is measured there goes through the
package, one pair at a time. A package that takes fewer rates than the metric gets signals resampled as the metric's
signature says (soxr HQ). Single signals are float32, as read from files; pystoi and the ratios get them in double.

A case without a value (an error, NaN, infinite, pystoi's 1e-5) on both sides is agreement and counted apart; without a
value on one side only, the lines below the table say why and what the other side returned. pystoi adds noise to ESTOI,
which decides wherever a band is exactly silent: where its second answer differs from its first by more than 1e-9, the
case is counted below the table, with our distance from their mean. The last lines hand PESQ longer references than its
program has room for.

The references need: pip install pystoi jiwer librosa, and for resemblyzer also pip install --no-deps resemblyzer.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib import metadata
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from metrics.metric import Metric, SpeechItem
from metrics.speech.signals import resampled

RATES = (8000, 10_000, 16_000, 44_100, 48_000)
SECONDS = (0.5, 1.0, 2.0, 3.1, 8.0, 20.0)
WAYS = (
    *("20 dB noise", "5 dB noise", "-5 dB noise", "clipped", "band limited", "in a room", "40 ms late"),
    *("quiet, inverted", "half of it gated", "50 ms shorter", "other speech"),
)
EDGES = (("silent estimate", 1.0), ("silent reference", 1.0), ("identical", 1.0), ("20 dB noise", 0.2))
"""Cases in which a value is in doubt, a few of each."""
RANDOM_BEYOND = 1e-9

Answer = float
"""NaN where there is no value."""
Recordings = list[tuple[np.ndarray, int]]
"""Mono float32 signals, each with its rate."""


class Unsure(NamedTuple):
    """What a package returns that does not always return the same."""

    mean: float
    spread: float


Reference = Callable[[Any], Mapping[str, "Answer | Unsure"]]
"""What a package says of one case, by the names of the numbers."""


class Case(NamedTuple):
    name: str
    content: Any


class Found(NamedTuple):
    """What is measured here: values by the names of the numbers, and why there are none."""

    values: Mapping[str, Answer]
    reason: str = ""


@dataclass(frozen=True)
class Comparison:
    """One measurement here and in one or several packages."""

    numbers: tuple[str, ...]
    cases: list[Case]
    ours: Callable[[list[Any]], list[Found]]
    references: Mapping[str, Reference | str]
    """Package -> what measures with it, or what is missing."""


@dataclass
class Tally:
    """How one number compares with one package."""

    cases: int = 0
    largest: float = 0.0
    worst: str = ""
    both: int = 0
    here: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Why there is no value here alone -> what the package returned."""
    there: Counter[str] = field(default_factory=Counter)
    """Ways in which the package alone has no value."""
    unsure: list[tuple[float, float]] = field(default_factory=list)
    """Spread of the package's own answers, and the distance from their mean."""

    def take(self, case: Case, found: Found, value: Answer, answer: Answer | Unsure) -> None:
        expected = answer.mean if isinstance(answer, Unsure) else answer
        if np.isnan(value) and np.isnan(expected):
            self.both += 1
        elif np.isnan(value):
            # Reasons that differ in their numbers alone are one.
            self.here[re.sub(r"-?\d+\.?\d*", "#", found.reason)].append(expected)
        elif np.isnan(expected):
            self.there[case.name.rpartition(", ")[2]] += 1
        elif isinstance(answer, Unsure):
            self.unsure.append((answer.spread, abs(value - expected)))
        else:
            self.cases += 1
            difference = abs(value - expected)
            if difference > self.largest or not self.worst:
                self.largest, self.worst = difference, case.name


# -- speech -----------------------------------------------------------------------------------------------------------


def recorded(folder: Path, count: int = 60) -> Recordings:
    """Up to `count` recordings, evenly from all of a folder."""
    import soundfile

    paths = sorted(path for path in folder.rglob("*") if path.suffix in (".flac", ".wav"))
    if not paths:
        raise SystemExit(f"{folder} holds no .flac and no .wav: give a folder of speech")
    chosen = [paths[number * len(paths) // count] for number in range(count)] if len(paths) > count else paths
    read = (soundfile.read(path, dtype="float32", always_2d=True) for path in chosen)
    return [(np.ascontiguousarray(samples[:, 0]), rate) for samples, rate in read]


def spoken(count: int = 12) -> Recordings:
    """espeak's voices, a sentence each."""
    from benchmark.datasets.talkers.identity import people
    from benchmark.datasets.talkers.sentences import sentences
    from benchmark.datasets.talkers.voice import speak

    audio = [speak(person, sentences(person.id, 1)[0]).audio for person in people("test")[:count]]
    return [(one.samples, one.rate) for one in audio]


def formula(seed: int, seconds: float = 3.0, rate: int = 48_000) -> np.ndarray:
    """A buzz under a wandering formant whose loudness changes ten times a second, some noise, and a pause."""
    random = np.random.default_rng(seed)
    time_s = np.arange(round(seconds * rate)) / rate
    knots = np.arange(0, seconds + 0.2, 0.1)

    def wander(low: float, high: float) -> np.ndarray:
        return np.interp(time_s, knots, low + (high - low) * random.random(len(knots)))

    pitch, centre, loudness = wander(90, 220), wander(300, 2500), wander(0, 1) ** 2
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    buzz = sum(np.exp(-(((n * pitch - centre) / 600) ** 2)) * np.sin(n * phase) for n in range(1, 30))
    x = 0.15 * loudness * buzz + 1e-3 * random.standard_normal(len(time_s))
    x[: rate // 4] *= 0.01
    return x.astype(np.float32)


def piece(speech: Recordings, seconds: float, rate: int, random: np.random.Generator) -> np.ndarray:
    """A random piece, over as many recordings as it takes."""
    count = round(seconds * rate)
    number, parts = int(random.integers(len(speech))), []
    while sum(map(len, parts)) < count + rate // 2:
        parts.append(resampled(*speech[number % len(speech)], rate))
        number += 1
    whole = np.concatenate(parts)
    start = int(random.integers(min(len(parts[0]), len(whole) - count)))
    return limited(whole[start : start + count])


def limited(x: np.ndarray) -> np.ndarray:
    """As a file of integers would hold it: scaled where it would clip, with room for the overshoot of a resampler."""
    return (x * min(1.0, 0.8 / max(float(np.abs(x).max()), 1e-9))).astype(np.float32)


def damaged(clean: np.ndarray, way: str, rate: int, random: np.random.Generator) -> np.ndarray:
    """An estimate of `clean`."""
    x, time_s = clean.astype(np.float64), np.arange(len(clean)) / rate
    if way.endswith("dB noise"):
        return x + random.standard_normal(len(x)) * x.std() * 10 ** (-float(way.split()[0]) / 20)
    if way == "clipped":
        return np.clip(x, -x.std(), x.std())
    if way == "band limited":
        spectrum, hz = np.fft.rfft(x), np.fft.rfftfreq(len(x), 1 / rate)
        return np.fft.irfft(spectrum / (1 + (hz / 2000) ** 8) / (1 + (200 / np.maximum(hz, 1)) ** 8), len(x))
    if way == "in a room":
        echoes = np.exp(-time_s[: rate // 4] / 0.06) * random.standard_normal(len(time_s[: rate // 4]))
        echoes[0] = 3.0
        size = len(x) + len(echoes)
        return np.fft.irfft(np.fft.rfft(x, size) * np.fft.rfft(echoes, size), size)[: len(x)]
    if way == "40 ms late":
        return np.concatenate([np.zeros(rate // 25), x])[: len(x)]
    if way == "quiet, inverted":
        return -0.01 * (x + 0.1 * x.std() * random.standard_normal(len(x)))
    if way == "half of it gated":
        return np.where((time_s + 0.25) % 1.0 < 0.5, x, 0.0)  # longer gaps than a segment of STOI
    if way == "50 ms shorter":
        return damaged(clean, "20 dB noise", rate, random)[: len(x) - rate // 20]
    return x if way in ("identical", "silent reference") else np.zeros_like(x)


def pair(name: str, speech: Recordings, seconds: float, rate: int, way: str, seed: int) -> Case:
    random = np.random.default_rng(seed)
    clean = piece(speech, seconds, rate, random)
    other = piece(speech, seconds, rate, random) if way == "other speech" else damaged(clean, way, rate, random)
    reference = np.zeros_like(clean) if way == "silent reference" else clean
    title = f"{name}, {rate / 1000:g} kHz, {seconds:g} s, {way}"
    return Case(title, SpeechItem(title, limited(other), rate, reference))


def cases(sources: Mapping[str, Recordings], rates: Sequence[int], count: int) -> list[Case]:
    """`count` cases drawn from all combinations, and the edges."""
    grid = list(product(sources, SECONDS, rates, WAYS))
    drawn = [grid[n] for n in np.random.default_rng(0).permutation(len(grid))[:count]]
    drawn += [
        (name, seconds, rates[n % len(rates)], way)
        for n, (name, (way, seconds)) in enumerate(product(sources, EDGES * 2 if count > 100 else EDGES))
    ]
    return [
        pair(name, sources[name], seconds, rate, way, seed) for seed, (name, seconds, rate, way) in enumerate(drawn)
    ]


# -- here and there ---------------------------------------------------------------------------------------------------


def measured(metric: Metric, items: list[SpeechItem]) -> list[Found]:
    """What the harness would report of each item alone."""
    found = []
    for row in metric.measure(items):
        if isinstance(row, Mapping):
            stacked = {name: np.array([value]) for name, value in row.items()}
            reported = metric.aggregate(stacked, np.ones((1, 1)))
            found.append(Found({name: float(value[0]) for name, value in reported.items()}, "it alone is undefined"))
        else:
            found.append(Found({}, f"{type(row).__name__.lower()}: {row.reason}"))
    return found


def asked(reference: Reference, content: Any) -> Mapping[str, Answer | Unsure]:
    """What a package returns; nothing where it raises."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            return reference(content)
        except Exception:  # a package may refuse with whatever it likes
            return {}


def compare(one: Comparison) -> Iterator[tuple[str, str, Tally | str]]:
    """Number, package, and how they compare or what is missing."""
    found: list[Found] = []
    for start in range(0, len(one.cases), 16):
        found += one.ours([case.content for case in one.cases[start : start + 16]])
    for package, reference in one.references.items():
        if isinstance(reference, str):
            yield from ((number, package, reference) for number in one.numbers)
            continue
        tallies = {number: Tally() for number in one.numbers}
        for case, here in zip(one.cases, found, strict=True):
            there = asked(reference, case.content)
            for number, tally in tallies.items():
                value, answer = here.values.get(number, np.nan), there.get(number, np.nan)
                if not isinstance(answer, Unsure) and not np.isfinite(answer):
                    answer = np.nan
                tally.take(case, here, value, answer)
        yield from ((number, package, tally) for number, tally in tallies.items())


def doubles(item: SpeechItem) -> tuple[np.ndarray, np.ndarray]:
    """Reference and estimate, the common part, in double precision."""
    assert item.reference is not None
    length = min(len(item.reference), len(item.estimate))
    return item.reference[:length].astype(np.float64), item.estimate[:length].astype(np.float64)


def named(package: str) -> str:
    try:
        return f"{package} {metadata.version(package)}"
    except metadata.PackageNotFoundError:
        return package


def of_pesq(mode: str, item: SpeechItem) -> Mapping[str, Answer]:
    import pesq

    rate = 8000 if mode == "nb" and item.rate < 16_000 else 16_000
    signals = (resampled(x, item.rate, rate) for x in (item.reference, item.estimate))
    return {f"pesq_{mode}": float(pesq.pesq(rate, *signals, mode))}


def of_pystoi(item: SpeechItem) -> Mapping[str, Answer | Unsure]:
    from pystoi import stoi

    clean, other = doubles(item)
    first, *extended = (stoi(clean, other, item.rate, extended=number > 0) for number in range(3))
    if first == 1e-5:  # too short
        return {}
    spread = abs(extended[0] - extended[1])
    sure = spread <= RANDOM_BEYOND
    return {"stoi": first, "estoi": extended[0] if sure else Unsure(sum(extended) / 2, spread)}


def of_torchmetrics(number: str, item: SpeechItem) -> Mapping[str, Answer]:
    from torchmetrics.functional import audio

    functions = {
        "si_sdr": audio.scale_invariant_signal_distortion_ratio,
        "si_snr": audio.scale_invariant_signal_noise_ratio,
        "sdr": audio.signal_distortion_ratio,
    }
    clean, other = map(torch.from_numpy, doubles(item))
    return {number: float(functions[number](other, clean))}


def of_fast_bss_eval(item: SpeechItem) -> Mapping[str, Answer]:
    import fast_bss_eval

    clean, other = doubles(item)
    return {"sdr": float(np.squeeze(fast_bss_eval.sdr(clean[None], other[None])))}


def published_dnsmos() -> Reference | str:
    """The published script, on one thread."""
    try:
        import onnxruntime
        from speechmos import dnsmos as script
    except ImportError as error:
        return f"not here ({error}): pip install speechmos librosa"
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession
    script.ort.InferenceSession = lambda path: session(path, options, providers=["CPUExecutionProvider"])

    def of_script(item: SpeechItem) -> Mapping[str, Answer]:
        found = script.run(resampled(item.estimate, item.rate, 16_000), 16_000)
        return {f"dnsmos_{name}": float(found[f"{name}_mos"]) for name in ("p808", "sig", "bak", "ovrl")}

    return of_script


def resemblyzer() -> Reference | str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from resemblyzer import VoiceEncoder, preprocess_wav
    except ImportError as error:
        return f"not here ({error}): pip install librosa; pip install --no-deps resemblyzer"
    encoder = VoiceEncoder("cpu", verbose=False)

    def of_resemblyzer(item: SpeechItem) -> Mapping[str, Answer]:
        signals = (resampled(x, item.rate, 16_000) for x in (item.reference, item.estimate))
        clean, other = (encoder.embed_utterance(preprocess_wav(x)) for x in signals)
        return {"speaker_similarity": float(clean @ other)}

    return of_resemblyzer


# -- words ------------------------------------------------------------------------------------------------------------

VOCABULARY = "the of and to a in is that it was he for on are with as his they be at one have this Mr. don't 25 naïve"


class Texts(NamedTuple):
    """What was said and what was understood, sentence by sentence."""

    said: list[str]
    heard: list[str]
    normaliser: str


def text_cases(count: int) -> list[Case]:
    """Sentences alone, and every twentieth a corpus of 40; GRID's and arbitrary ones, from perfect to hopeless."""
    from benchmark.datasets.talkers.sentences import COUNT, sentence

    random = np.random.default_rng(0)
    words = VOCABULARY.split()
    found = []
    for number in range(count):
        many = 40 if number % 20 == 0 else 1
        name = ("none", "whisper_english", "grid")[number % 3]
        said, heard = [], []
        for _ in range(many):
            if number % 50 == 7 or random.random() < 0.1 * (many > 1):  # nothing is said
                text = []
            elif name == "grid":
                text = sentence(int(random.integers(COUNT))).text.split()
            else:
                text = list(random.choice(words, random.integers(1, 25)))
            wrong = random.choice([0.0, 0.1, 0.4, 1.0])
            other = [word for word in text if random.random() > wrong / 3]
            other = [str(random.choice(words)) if random.random() < wrong / 3 else word for word in other]
            for _ in range(random.binomial(len(text) + 3, wrong / 3)):
                other.insert(int(random.integers(len(other) + 1)), str(random.choice(words)))
            said.append(" ".join(text))
            heard.append(" ".join(other))
        what = f"a corpus of {many}" if many > 1 else f"{len(said[0].split())} words"
        found.append(Case(f"normaliser {name}, text {number}, {what}", Texts(said, heard, name)))
    return found


def our_words(items: list[Texts]) -> list[Found]:
    from metrics.speech.word_errors import cer, wer

    found = []
    for item in items:
        texts = {"reference": item.said, "estimate": item.heard, "normaliser": item.normaliser}
        found.append(Found({"wer": wer(**texts), "cer": cer(**texts)}, "undefined: the references have no words"))
    return found


def of_jiwer(item: Texts) -> Mapping[str, Answer]:
    import jiwer

    from metrics.speech.normalisers import normaliser

    said, heard = ([" ".join(normaliser(item.normaliser)(x).split()) for x in side] for side in item[:2])
    return {"wer": float(jiwer.wer(said, heard)), "cer": float(jiwer.cer(said, heard))}


# -- all of it --------------------------------------------------------------------------------------------------------


def comparisons(sources: Mapping[str, Recordings], share: float) -> Iterator[Comparison]:
    """One after the other, so that only one's cases are in memory."""
    from metrics.networks import dnsmos_models, ge2e
    from metrics.speech.dnsmos import Dnsmos
    from metrics.speech.pesq import PesqNb, PesqWb
    from metrics.speech.sdr import Sdr
    from metrics.speech.si_sdr import SiSdr, SiSnr
    from metrics.speech.speaker_similarity import SpeakerSimilarity
    from metrics.speech.stoi import Stoi

    def drawn(rates: Sequence[int], count: int) -> list[Case]:
        return cases(sources, rates, round(count * share))

    pesq, torchmetrics = named("pesq"), named("torchmetrics")
    wide = measured, PesqWb.create(None)
    yield Comparison(("pesq_wb",), drawn(RATES[2:], 250), partial(*wide), {pesq: partial(of_pesq, "wb")})
    narrow = measured, PesqNb.create(None)
    yield Comparison(("pesq_nb",), drawn(RATES, 250), partial(*narrow), {pesq: partial(of_pesq, "nb")})
    stoi = partial(measured, Stoi.create(None))
    yield Comparison(("stoi", "estoi"), drawn(RATES, 500), stoi, {named("pystoi"): of_pystoi})
    for metric in (SiSdr.create(None), SiSnr.create(None)):
        reference = partial(of_torchmetrics, metric.name)
        ours = partial(measured, metric)
        yield Comparison((metric.name,), drawn(RATES, 500), ours, {f"{torchmetrics}, float64": reference})
    references = {named("fast_bss_eval"): of_fast_bss_eval, torchmetrics: partial(of_torchmetrics, "sdr")}
    yield Comparison(("sdr",), drawn(RATES, 500), partial(measured, Sdr.create(None)), references)
    columns = tuple(f"dnsmos_{name}" for name in ("p808", "sig", "bak", "ovrl"))
    ours = partial(measured, Dnsmos(dnsmos_models.load()))
    yield Comparison(columns, drawn((16_000, 8000, 48_000), 50), ours, {named("speechmos"): published_dnsmos()})
    yield Comparison(("wer", "cer"), text_cases(round(4000 * share)), our_words, {named("jiwer"): of_jiwer})
    ours = partial(measured, SpeakerSimilarity(ge2e.load()))
    rates = (16_000, 8000, 48_000)
    yield Comparison(("speaker_similarity",), drawn(rates, 150), ours, {named("resemblyzer"): resemblyzer()})


def notes(found: Sequence[tuple[str, str, Tally | str]]) -> list[str]:
    """What the table has no room for, of one comparison; what holds for several of its numbers is said once."""
    lines: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for number, package, tally in found:
        if isinstance(tally, str):
            continue
        for reason, values in tally.here.items():
            low, high = f"{min(values):.4g}", f"{max(values):.4g}"
            head = f"{len(values)} without a value here alone ({reason}); {package} returns "
            lines[head, ""][number] = low if low == high else f"{low} to {high}"
        for way, count in tally.there.items():
            lines[f"{count} without a value in {package} alone ({way})", ""][number] = ""
        if tally.unsure:
            spread, distance = (max(column) for column in zip(*tally.unsure, strict=True))
            head = f"{len(tally.unsure)} cases in which {package} answers twice differently, by up to "
            lines[head, "; farthest from the mean of its two answers "][number] = f"{spread:.1e}|{distance:.1e}"
    printed = []
    for (head, middle), told in lines.items():
        values = "; ".join(told.values()).replace("|", middle) if any(told.values()) else ""
        printed.append(f"{', '.join(told)}: {head}{values}")
    return printed


def overrun() -> Iterator[str]:
    """References of more utterances than the PESQ program has room for; in a process of its own, which may die."""
    from metrics.speech.pesq import PesqWb

    random = np.random.default_rng(0)
    for count in (50, 55, 300):
        sound = 0.1 * random.normal(size=(count, 4800))
        x = np.concatenate([sound, np.zeros_like(sound)], axis=1).ravel().astype(np.float32)
        y = x + 0.03 * random.normal(size=len(x)).astype(np.float32)
        code = (
            f"import sys, numpy, pesq; x = numpy.frombuffer(sys.stdin.buffer.read(), 'float32').reshape(2, {len(x)})\n"
            "print(f\"{pesq.pesq(16000, x[0], x[1], 'wb'):.4f}\")"
        )
        done = subprocess.run([sys.executable, "-c", code], input=x.tobytes() + y.tobytes(), capture_output=True)
        theirs = done.stdout.decode().strip() or f"dies (exit status {done.returncode})"
        (found,) = measured(PesqWb.create(None), [SpeechItem("", y, 16_000, x)])
        ours = f"{found.values['pesq_wb']:.4f}" if found.values else found.reason.split(";")[0]
        yield f"pesq_wb: {count} utterances in {len(x) / 16_000:.0f} s: {named('pesq')} {theirs}; here {ours}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speech", type=Path, action="append", default=[], help="folder of recordings; repeatable")
    parser.add_argument("--quick", action="store_true", help="an eighth of the cases")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    np.random.seed(0)  # pystoi draws from it
    start, cpu = time.perf_counter(), os.times()
    sources = {folder.name: recorded(folder) for folder in arguments.speech}
    sources |= {"espeak": spoken(), "formula": [(formula(seed), 48_000) for seed in range(12)]}

    print(f"speech: {', '.join(f'{name} ({len(speech)} recordings)' for name, speech in sources.items())}")
    print(f"rates: {', '.join(f'{rate / 1000:g}' for rate in RATES)} kHz; lengths: {', '.join(map(str, SECONDS))} s")
    print(f"estimates: {', '.join((*WAYS, *(way for way, _ in EDGES[:3])))}\n")
    print(f"{'number':18} {'against':28} {'cases':>5} {'largest':>8} {'both':>4} {'here':>4} {'there':>5}  worst case")
    print(f"{'':18} {'':28} {'':>5} {'differ.':>8} {'no value: only':>15}")
    remarks = []
    for comparison in comparisons(sources, 0.125 if arguments.quick else 1.0):
        found = list(compare(comparison))
        for number, package, tally in found:
            if isinstance(tally, str):
                print(f"{number:18} {package:28} {tally}")
                continue
            alone = f"{tally.both:4} {sum(map(len, tally.here.values())):4} {sum(tally.there.values()):5}"
            worst = tally.worst if tally.largest else "none: equal to the last bit"
            print(f"{number:18} {package:28} {tally.cases:5} {tally.largest:8.1e} {alone}  {worst}", flush=True)
        remarks += notes(found)
    print()
    print("\n".join([*remarks, *overrun()]))
    spent = sum(os.times()[:4]) - sum(cpu[:4])
    print(f"\n{spent:.0f} s of CPU time, {time.perf_counter() - start:.0f} s of wall time")


if __name__ == "__main__":
    main()
