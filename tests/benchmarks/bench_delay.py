"""How far the search for delays can be trusted: by length and degradation, for one pair and for a method's clips.

    python tests/benchmarks/bench_delay.py --speech FOLDER --speech FOLDER          # about 15 minutes on one core
    python tests/benchmarks/bench_delay.py --speech FOLDER --parts curve --quick    # about 2 minutes

Speech comes from the recordings below each FOLDER (sound files and the sound of videos) and from espeak's voices as in
Talkers; a piece of several recordings takes those of one folder, that is of one speaker. All is compared at 16 kHz.

null     Unrelated speech: how far the highest peak of the bands stands out, and which share passes for a delay.
curve    Damaged copies with delays of -0.45 to 0.48 s, and of 0.6 to 1 s, which lie beyond the range: how many delays
         come out right (within 5 ms), near (within 25 ms), wrong, or refused.
sets     Eight clips of a method each, 110 ms late give or take; how many are aligned by their own delay, by a peak near
         the common one, by that one, wrongly (by more than 40 ms), or not at all; in how many sets the interval of the
         common delay holds 110 ms (to 5 ms), and how wide it is. The last lines are sets of unrelated speech.
memory   Peak memory over what the signals take, and time, for pairs of 1, 20 and 60 minutes.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from scipy.signal import butter, istft, resample_poly, sosfiltfilt, stft

from metrics.speech.delay import BAR, alignments, delay_evidence, estimate_delay
from metrics.speech.signals import resampled

RATE = 16_000
SECONDS = (1.0, 2.0, 3.0, 5.0, 10.0, 30.0)
DELAYS_S = (-0.45, -0.2, -0.08, -0.01, 0.0, 0.005, 0.03, 0.11, 0.3, 0.48)
BEYOND_S = (-1.0, -0.6, 0.6, 1.0)
FRAME = {"fs": RATE, "nperseg": 512, "noverlap": 384}
PARTS = ("null", "curve", "sets", "memory")

Source = list[list[np.ndarray]]
"""Speakers, each with recordings of mono speech at 16 kHz."""


# -- speech -----------------------------------------------------------------------------------------------------------


def recorded(folder: Path) -> Source:
    from benchmark.media import is_audio, is_video, read_audio

    speakers: dict[Path, list[np.ndarray]] = {}
    for path in sorted(folder.rglob("*")):
        if is_audio(path) or is_video(path):
            speakers.setdefault(path.parent, []).append(read_audio(path, RATE).samples.astype(np.float64))
    if not speakers:
        raise SystemExit(f"{folder} holds no sound: give a folder of speech")
    return list(speakers.values())


def spoken(people_count: int = 12, sentence_count: int = 24) -> Source:
    from benchmark.datasets.talkers.identity import people
    from benchmark.datasets.talkers.sentences import sentences
    from benchmark.datasets.talkers.voice import speak

    def said(person: object) -> list[np.ndarray]:
        audio = [speak(person, one).audio for one in sentences(person.id, sentence_count)]
        return [resampled(one.samples, one.rate, RATE).astype(np.float64) for one in audio]

    return [said(person) for person in people("test")[:people_count]]


def halves(source: Source) -> tuple[Source, Source]:
    """What is never of one speaker, or, where there is one speaker alone, never of one recording."""
    if len(source) == 1:
        return [source[0][::2]], [source[0][1::2]]
    return source[::2], source[1::2]


def piece(source: Source, seconds: float, random: np.random.Generator) -> np.ndarray | None:
    """A random piece of one speaker; None where nobody says so much."""
    count = round(seconds * RATE)
    able = [speaker for speaker in source if sum(map(len, speaker)) >= count]
    if not able:
        return None
    speaker = able[int(random.integers(len(able)))]
    whole = np.concatenate([speaker[n] for n in random.permutation(len(speaker))])
    start = int(random.integers(len(whole) - count + 1))
    x = whole[start : start + count]
    return x if x.std() > 1e-4 else piece(source, seconds, random)


def late(x: np.ndarray, delay_s: float) -> np.ndarray:
    """As long as before; what comes in is silent."""
    shift = round(delay_s * RATE)
    return np.concatenate([np.zeros(max(shift, 0)), x, np.zeros(max(-shift, 0))])[max(-shift, 0) :][: len(x)]


# -- damage -----------------------------------------------------------------------------------------------------------


def with_noise(x: np.ndarray, noise: np.ndarray, db: float) -> np.ndarray:
    return x + noise * np.linalg.norm(x) / np.linalg.norm(noise) / 10 ** (db / 20)


def magnitudes(x: np.ndarray) -> np.ndarray:
    return np.abs(stft(x, **FRAME)[2])


def heard(magnitude: np.ndarray, length: int, random: np.random.Generator, turns: int = 12) -> np.ndarray:
    """A signal of these magnitudes, its phases drawn and then made consistent (Griffin and Lim)."""
    phase = np.exp(2j * np.pi * random.random(magnitude.shape))
    for _ in range(turns):
        again = stft(istft(magnitude * phase, **FRAME)[1], **FRAME)[2][:, : magnitude.shape[1]]
        phase = np.exp(1j * np.angle(np.pad(again, ((0, 0), (0, magnitude.shape[1] - again.shape[1])))))
    x = istft(magnitude * phase, **FRAME)[1]
    return np.pad(x, (0, max(0, length - len(x))))[:length]


def mel(count: int = 40) -> np.ndarray:
    """Triangles, `[count, 257]`."""
    edges = 700 * (10 ** (np.linspace(90, 2800, count + 2) / 2595) - 1)
    hz = np.fft.rfftfreq(FRAME["nperseg"], 1 / RATE)
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    return np.maximum(0, np.minimum((hz - low) / (centre - low), (high - hz) / (high - centre)))


MEL = mel()
LINEAR = np.linalg.pinv(MEL)


def from_mel(m: np.ndarray) -> np.ndarray:
    return np.maximum(LINEAR @ m, 0)


def formants_moved(magnitude: np.ndarray, factor: float) -> np.ndarray:
    bins = np.arange(len(magnitude))
    return np.stack([np.interp(bins / factor, bins, column) for column in magnitude.T], axis=1)


def smoothed(x: np.ndarray, frames: int, axis: int) -> np.ndarray:
    window = np.hanning(frames + 2)[1:-1]
    return np.apply_along_axis(np.convolve, axis, x, window / window.sum(), "same")


def white(db: float) -> Callable[..., np.ndarray]:
    return lambda x, random, source: with_noise(x, random.standard_normal(len(x)), db)


def babble(db: float) -> Callable[..., np.ndarray]:
    def damage(x: np.ndarray, random: np.random.Generator, source: Source) -> np.ndarray:
        voices = (np.resize(piece(source, 1.0, random), len(x)) for _ in range(6))
        return with_noise(x, sum(voice / voice.std() for voice in voices), db)

    return damage


def band_limited(x: np.ndarray, random: np.random.Generator, source: Source) -> np.ndarray:
    return sosfiltfilt(butter(4, [300, 3400], "band", fs=RATE, output="sos"), x)


def coded(x: np.ndarray, random: np.random.Generator, source: Source) -> np.ndarray:
    """Four bits of mu-law at 8 kHz."""
    narrow = resample_poly(x, 1, 2)
    peak = np.abs(narrow).max()
    level = np.sign(narrow) * np.log1p(255 * np.abs(narrow) / peak) / np.log(256)
    level = np.round(8 * level) / 8
    return resample_poly(np.sign(level) * np.expm1(np.abs(level) * np.log(256)) / 255 * peak, 2, 1)[: len(x)]


def in_a_room(x: np.ndarray, random: np.random.Generator, source: Source) -> np.ndarray:
    """The direct sound 7 dB below the reverberation, which falls by 60 dB in 0.5 s."""
    seconds = np.arange(RATE // 2) / RATE
    echoes = np.exp(-6.9 * seconds / 0.5) * random.standard_normal(len(seconds))
    echoes[0] = np.linalg.norm(echoes[1:]) * 10 ** (-7 / 20)
    size = len(x) + len(echoes)
    return np.fft.irfft(np.fft.rfft(x, size) * np.fft.rfft(echoes, size), size)[: len(x)]


def phases_drawn(x: np.ndarray, random: np.random.Generator, source: Source) -> np.ndarray:
    return heard(magnitudes(x), len(x), random, turns=0)


def noise_vocoded(x: np.ndarray, random: np.random.Generator, source: Source) -> np.ndarray:
    edges = np.geomspace(100, 7000, 9)
    slow = butter(2, 30, fs=RATE, output="sos")
    y = np.zeros(len(x))
    for low, high in zip(edges, edges[1:], strict=False):
        band = butter(2, [low, high], "band", fs=RATE, output="sos")
        envelope = np.maximum(sosfiltfilt(slow, np.abs(sosfiltfilt(band, x))), 0)
        y += envelope * sosfiltfilt(band, random.standard_normal(len(x)))
    return y


def mel_vocoded(x: np.ndarray, random: np.random.Generator, source: Source) -> np.ndarray:
    return heard(from_mel(MEL @ magnitudes(x)), len(x), random)


def converted(x: np.ndarray, random: np.random.Generator, source: Source) -> np.ndarray:
    """Another's pitch and vocal tract: all 18 % higher."""
    return heard(formants_moved(magnitudes(x), 1.18), len(x), random)


def guessed(x: np.ndarray, random: np.random.Generator, source: Source) -> np.ndarray:
    """As read from lips: a mel spectrogram blurred over 120 ms and 5 bands, another voice, loudness astray, noise."""
    m = smoothed(smoothed(np.sqrt(MEL @ magnitudes(x)), 15, 1) ** 2, 5, 0)
    knots = np.arange(0, m.shape[1] + 40, 20)
    gain = np.exp(np.interp(np.arange(m.shape[1]), knots, random.normal(0, 0.6, len(knots))))
    y = heard(formants_moved(from_mel(m), 1.12) * gain, len(x), random)
    return with_noise(y, random.standard_normal(len(x)), 10)


WAYS: Mapping[str, Callable[..., np.ndarray]] = {
    "as it is": lambda x, random, source: x,
    "quiet, inverted": lambda x, random, source: -0.01 * x,
    **{f"white noise {db:+d} dB": white(db) for db in (10, 0, -5)},
    **{f"babble {db:+d} dB": babble(db) for db in (10, 0, -5)},
    "300 to 3400 Hz": band_limited,
    "4-bit mu-law, 8 kHz": coded,
    "in a room": in_a_room,
    "phases drawn": phases_drawn,
    "noise vocoder": noise_vocoded,
    "mel, Griffin-Lim": mel_vocoded,
    "voice converted": converted,
    "guessed from lips": guessed,
}


# -- what is asked ----------------------------------------------------------------------------------------------------


def null(sources: Mapping[str, Source], share: float, lengths: Sequence[float]) -> None:
    print(f"Unrelated speech: by how many spreads its highest peak stands out; {BAR:g} pass")
    head = f"{'speech':14} {'s':>4} {'pairs':>6} {'median':>7} {'99 %':>6} {'99.9 %':>7} {'largest':>8}"
    print(f"{head} {'pass for a delay':>17}")
    passed: Counter[str] = Counter()
    pairs: Counter[str] = Counter()
    for name, source in sources.items():
        if sum(map(len, source)) < 4:
            print(f"{name:14} fewer than 4 recordings")
            continue
        ours, theirs = halves(source)
        for seconds in lengths:
            random = np.random.default_rng(round(seconds))
            count = round((60 if seconds < 4 else 40 if seconds < 20 else 16) * share**0.5)
            sides = [[piece(side, seconds, random) for _ in range(count)] for side in (ours, theirs)]
            if any(x is None for side in sides for x in side):
                print(f"{name:14} {seconds:4g}: there is less of one speaker")
                continue
            found = [delay_evidence(reference=x, estimate=y, rate=RATE) for x in sides[0] for y in sides[1]]
            heights = np.array([one.bands[1:-1].max() for one in found])
            taken = sum(one.own.seconds is not None for one in found)
            passed[name], pairs[name] = passed[name] + taken, pairs[name] + len(found)
            middle, most, nearly = np.quantile(heights, [0.5, 0.99, 0.999])
            print(
                f"{name:14} {seconds:4g} {len(found):6} {middle:7.2f} {most:6.2f} {nearly:7.2f} {heights.max():8.2f} "
                f"{taken:8} {100 * taken / len(found):6.2f} %",
                flush=True,
            )
    for name in pairs:
        print(f"{name}: {passed[name]} of {pairs[name]} unrelated pairs ({100 * passed[name] / pairs[name]:.2f} %)")


def curve(sources: Mapping[str, Source], share: float, lengths: Sequence[float]) -> None:
    each = max(1, round(3 * share))
    print("Damaged copies: right (within 5 ms) / near (within 25 ms) / wrong / refused; the largest error of the right")
    print(f"{'':22}" + "".join(f"{f'{seconds:g} s':>22}" for seconds in lengths))
    ways = [(way, damage, DELAYS_S) for way, damage in WAYS.items()]
    ways.append(("beyond the range", WAYS["as it is"], BEYOND_S))
    for way, damage, delays in ways:
        cells = []
        for seconds in lengths:
            random = np.random.default_rng(round(1000 * seconds))
            tally, worst = Counter(), 0.0
            for source in sources.values():
                for delay_s in delays * each if seconds < 20 else delays:
                    x = piece(source, seconds, random)
                    if x is None:
                        continue
                    y = damage(late(x, delay_s), random, source)
                    found = estimate_delay(reference=x, estimate=y, rate=RATE).seconds
                    error = np.inf if found is None else abs(found - delay_s)
                    kind = next((n for n, most in enumerate((0.005, 0.025)) if error <= most), 2)
                    tally[3 if found is None else kind] += 1
                    worst = max(worst, error if kind == 0 else 0.0)
            cells.append(f"{'/'.join(str(tally[n]) for n in range(4))} {1000 * worst:4.1f}")
        print(f"{way:22}" + "".join(f"{cell:>22}" for cell in cells), flush=True)


def sets(sources: Mapping[str, Source], share: float) -> None:
    print("Sets of 8 clips: own / near / common / wrong / none; sets with a common delay, its largest error")
    print("  and those whose interval holds it, with its median width")
    for way in ("mel, Griffin-Lim", "guessed from lips", "babble -5 dB", "noise vocoder", "unrelated"):
        for seconds in (1.0, 3.0):
            for jitter_ms in (0, 20, 40) if way != "unrelated" else (0,):
                random = np.random.default_rng(jitter_ms)
                tally: Counter[str] = Counter()
                common, count, worst, held, widths = 0, 0, 0.0, 0, []
                for source in (source for source in sources.values() if sum(map(len, source)) >= 4):
                    ours, theirs = halves(source)
                    for _ in range(max(1, round(6 * share))):
                        clips, truths = [], []
                        for _ in range(8):
                            truths.append(0.11 + random.uniform(-1, 1) * jitter_ms / 1000)
                            x = piece(ours, min(seconds, 2.9), random)
                            if way == "unrelated":
                                y = piece(theirs, min(seconds, 2.9), random)
                            else:
                                y = WAYS[way](late(x, truths[-1]), random, source)
                            clips.append(delay_evidence(reference=x, estimate=y, rate=RATE))
                        found = alignments(clips)
                        count += 1
                        if found.common_s is not None:
                            common += 1
                            worst = max(worst, abs(found.common_s - 0.11))
                            low, high = found.interval_s
                            held += low - 0.005 <= 0.11 <= high + 0.005
                            widths.append(high - low)
                        for clip, truth in zip(found.clips, truths, strict=True):
                            far = clip.seconds is not None and (way == "unrelated" or abs(clip.seconds - truth) > 0.04)
                            tally["wrong" if far else clip.by] += 1
                print(
                    f"{way:18} {seconds:g} s, +-{jitter_ms:2} ms: "
                    + " / ".join(str(tally[kind]) for kind in ("own", "near", "common", "wrong", "none"))
                    + f"; {common} of {count} sets"
                    + (f", {1000 * worst:.1f} ms; {held}, {1000 * np.median(widths):.1f} ms" if widths else ""),
                    flush=True,
                )


def peak_kib() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def memory(minutes: float) -> None:
    """One pair of noise with a rhythm, as float32, in this process."""
    random = np.random.default_rng(0)
    count = round(60 * minutes * RATE)
    x = random.standard_normal(count, dtype=np.float32)
    for start in range(0, count, RATE):
        part = x[start : start + RATE]
        part *= np.interp(np.arange(len(part)), np.arange(0, RATE + 2000, 2000), random.random(9))
    y = np.concatenate([np.zeros(RATE // 10, np.float32), x])[:count]
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew (Linux)
    before, start = peak_kib(), time.perf_counter()
    found = estimate_delay(reference=x, estimate=y, rate=RATE).seconds
    spent, peak = time.perf_counter() - start, peak_kib()
    print(
        f"{minutes:g} minutes: {(peak - before) / 1024:.0f} MiB beside the signals' {8 * count / 2**20:.0f} MiB, "
        f"{spent:.1f} s, found {'nothing' if found is None else f'{1000 * found:.2f} ms'} (100 ms)",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speech", type=Path, action="append", default=[], help="folder of recordings; repeatable")
    parser.add_argument("--parts", default=",".join(PARTS), help=f"of {', '.join(PARTS)}")
    parser.add_argument("--seconds", type=float, nargs="+", default=SECONDS, help="lengths, of null and curve")
    parser.add_argument("--quick", action="store_true", help="a third of the cases")
    parser.add_argument("--minutes", type=float, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.minutes:
        memory(arguments.minutes)
        return
    parts = arguments.parts.split(",")
    if unknown := set(parts) - set(PARTS):
        raise SystemExit(f"--parts takes {', '.join(PARTS)}; got {', '.join(sorted(unknown))}")
    share = 1 / 3 if arguments.quick else 1.0
    start = time.perf_counter()
    sources = {folder.name: recorded(folder) for folder in arguments.speech} | {"Talkers": spoken()}
    print("speech: " + ", ".join(f"{name} ({sum(map(len, source))} recordings)" for name, source in sources.items()))
    for part in parts:
        print()
        if part == "memory":
            for minutes in (1, 20, 60):
                subprocess.run([sys.executable, __file__, "--minutes", str(minutes)], check=True)
        elif part == "sets":
            sets(sources, share)
        else:
            {"null": null, "curve": curve}[part](sources, share, arguments.seconds)
    print(f"\n{time.perf_counter() - start:.0f} s of wall time")


if __name__ == "__main__":
    main()
