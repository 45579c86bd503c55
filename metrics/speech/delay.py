"""How late an estimate is against its reference, by cross-correlation.

A copy of the waveform, in noise, filtered, at any gain or polarity, shows as one sharp peak of the correlation whose
spectrum is whitened (GCC-PHAT: Knapp & Carter 1976), exact to the sample. Speech that was made anew by a vocoder shares
no waveform with its reference; there the changes of the magnitudes in 12 bands are correlated over time. Changes,
because the magnitudes themselves follow the rise and fall that all sentences share, and unrelated ones seem to match.

How high such a peak must be depends on how much speech there is: two unrelated seconds match better by accident than
two unrelated minutes do. A correlation is therefore held against its spread, the root of the correlation of the squared
changes at the same lag, which is what independent changes of these sizes come to. In that unit one bar holds for all
lengths, pauses count for nothing, and the curves of several clips of one method add up to one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.fft

from metrics.metric import Failed, Metric, Report, SpeechItem, Statistics, Undefined, weighted_mean
from metrics.speech.signals import fault

CONFIDENT = 0.5
"""A delay found with less is not reported."""

NO_DELAY = "no delay stands out"

BAR = 3.5
"""Spreads by which a peak of the bands must stand out: fewer than 1 in 1000 unrelated pairs of read speech do by
accident (`tests/benchmarks/bench_delay.py`)."""

NEAR_BAR = 2.5
"""The same for a peak that is looked for near a known delay only, where there are ten times fewer to fall for."""

NEAR_S = 0.04
"""How far the delays of one method's clips may lie from their common one."""

COMMON_BAR = 5.0
"""The same for the summed curves of several clips, ..."""

DRAWS = 400
"""Sets of clips that the interval of a common delay is made from."""

EACH_BAR = 1.25
"""...and for their mean, because sentences of one grammar by one voice match a little wherever they begin together."""

BAND_HZ = (100.0, 4000.0)
"""Where speech is strong in all recordings."""

SMOOTHING = np.array([1, 2, 3, 4, 3, 2, 1]) / 16
"""Weights of neighbouring lags where the place of a peak is read."""

STEP_S = 0.008
"""Between two lags of the bands."""

FRAMES = 512
"""Transformed at a time."""

BLOCK_S = 60.0
"""Of longer signals so much is looked at at a time, so that memory does not grow with length."""


@dataclass(frozen=True)
class Delay:
    """How late an estimate is."""

    seconds: float | None
    """Positive where the estimate is late, negative where it is early; None where no peak is clear."""
    confidence: float
    """From 0 to 1; found from 0.5 on. Of the waveforms, by how much the peak exceeds its strongest rival, as a part of
    the peak; of the bands, z / (z + `BAR`) of a peak that stands out by z spreads. The larger of the two."""


@dataclass(frozen=True)
class Evidence:
    """What the two signals of a pair say of the delay between them, and what a set of pairs is decided on."""

    own: Delay
    """What the pair says alone."""
    seconds: float
    """Length of the shorter signal."""
    bands: np.ndarray
    """`[2 n + 1]`: by how many spreads the correlation of the bands stands out at lags of -n to n steps of 8 ms."""


@dataclass(frozen=True)
class Alignment:
    """The delay that one clip of a set is aligned by."""

    seconds: float | None
    """None where there is none: the clip cannot be compared in time."""
    by: str
    """`own`: its peak is clear alone. `near`: its best peak near the common delay. `common`: that delay. `none`."""


@dataclass(frozen=True)
class Alignments:
    """What a set of clips of one method says together."""

    clips: tuple[Alignment, ...]
    """One for each, in order."""
    common_s: float | None
    """The delay that the clips share; None where none stands out, or where the clear ones disagree."""
    agreeing: int
    """Clips with a peak of their own near the common delay."""
    interval_s: tuple[float, float] | None = None
    """In which the common delay lies with 95 %, by drawing the clips anew; None without one."""


def estimate_delay(*, reference: np.ndarray, estimate: np.ndarray, rate: int, max_s: float = 0.5) -> Delay:
    """Find the delay of an estimate; see the module's docstring for how.

    Args:
        reference: clean signal.
        estimate: signal to be judged; its length may differ.
        rate: of both, Hz.
        max_s: largest delay looked for, in either direction.

    Shape:
        `[T]` and `[T']`.

    Raises:
        ValueError: signals that are not mono, empty, or hold NaN; a rate or range that is not above 0.
    """
    return delay_evidence(reference=reference, estimate=estimate, rate=rate, max_s=max_s).own


def delay_evidence(*, reference: np.ndarray, estimate: np.ndarray, rate: int, max_s: float = 0.5) -> Evidence:
    """`estimate_delay` with what `alignments` needs beside it; memory does not grow with length."""
    if rate <= 0 or max_s <= 0:
        raise ValueError(f"Expected a rate and a largest delay above 0, got {rate} Hz and {max_s} s")
    signals = [np.asarray(x) for x in (reference, estimate)]
    for name, x in zip(("reference", "estimate"), signals, strict=True):
        if x.ndim != 1 or not x.size or not np.isfinite([x.min(), x.max()]).all():
            raise ValueError(f"Expected a mono, finite {name} [T] with T > 0, got shape {list(x.shape)}")
    seconds = min(map(len, signals)) / rate
    if not all(x.any() for x in signals):
        return Evidence(Delay(None, 0.0), seconds, np.zeros(2 * int(max_s / STEP_S) + 1))
    found = _by_waveform(*signals, rate, max_s)
    correlation, bands = _by_bands(*signals, rate, max_s)
    if found.confidence < CONFIDENT:
        found = max(found, _peak(bands, correlation), key=lambda delay: delay.confidence)
    return Evidence(found if found.confidence >= CONFIDENT else Delay(None, found.confidence), seconds, bands)


def alignments(clips: Sequence[Evidence]) -> Alignments:
    """Decide on the delays of all clips of one method together.

    A method is mostly late by one time for all its clips, give or take a few frames. The curves of the clips, summed,
    tell it even where hardly a clip does alone; it takes three. A clip whose own delay is clear keeps that. One whose
    delay is not takes the highest of its peaks within `NEAR_S` of the common delay, where that stands out by
    `NEAR_BAR`, else the common delay itself: a clip that resembles its reference too little to be found is the
    method's as well, and leaving it out would flatter the method. There is no common delay where the sum does not
    stand out, or where more than half of the clear delays lie elsewhere.
    """
    own = [clip.own.seconds for clip in clips]
    common_s = _common(clips, own)
    if common_s is None:
        return Alignments(tuple(Alignment(s, "none" if s is None else "own") for s in own), None, 0)
    near = [_near(clip.bands, common_s) if s is None else None for clip, s in zip(clips, own, strict=True)]
    agreeing = _agreeing((*own, *near), common_s)
    if agreeing:  # the middle of what is exact is more exact than a sum of curves
        common_s = float(np.median(agreeing))
    chosen = (
        Alignment(alone, "own")
        if alone is not None
        else Alignment(beside, "near")
        if beside is not None
        else Alignment(common_s, "common")
        for alone, beside in zip(own, near, strict=True)
    )
    return Alignments(tuple(chosen), common_s, len(agreeing), _interval(clips, own))


def aligned(reference: np.ndarray, estimate: np.ndarray, delay_s: float, rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Take a delay out of an estimate -> reference and estimate that start together.

    The head of a late estimate is dropped, an early one gets zeros before it. What the shift alone makes the other end
    differ by is cut: the reference is not held against a late estimate that ends with the recording. A difference in
    length that was there before stays, for the metric to judge.

    Raises:
        ValueError: a delay as long as the estimate.
    """
    shift = round(delay_s * rate)
    if shift >= len(estimate) > 0:
        raise ValueError(f"A delay of {delay_s:g} s leaves nothing of an estimate of {len(estimate) / rate:g} s")
    if shift >= 0:
        estimate = estimate[shift:]
        return reference[: len(reference) - min(shift, max(0, len(reference) - len(estimate)))], estimate
    estimate = np.concatenate([np.zeros(-shift, estimate.dtype), estimate])
    return reference, estimate[: len(estimate) - min(-shift, max(0, len(estimate) - len(reference)))]


# -- one pair ---------------------------------------------------------------------------------------------------------


def _by_waveform(reference: np.ndarray, estimate: np.ndarray, rate: int, max_s: float) -> Delay:
    reach, block = int(max_s * rate), round(BLOCK_S * rate)
    longest = max(len(reference), len(estimate))
    size = scipy.fft.next_fast_len((longest if longest <= block else block + reach) + reach, real=True)
    cross = np.zeros(size // 2 + 1, complex)
    # Whitened, two recordings that begin or end with a step would be taken for copies of each other.
    x, y = (_Faded(signal, round(0.02 * rate)) for signal in (reference, estimate))
    for start in range(0, longest, block):
        stop = min(start + block, longest)
        # What lies before the block goes to the end of the circle, so that lags count from its start in every block.
        around = np.zeros(size)
        after, before = y.part(start, stop + reach), y.part(start - reach, start)
        around[: len(after)] = after
        around[size - len(before) :] = before
        cross += scipy.fft.rfft(around) * scipy.fft.rfft(x.part(start, stop), size).conj()
    hz = scipy.fft.rfftfreq(size, 1 / rate)
    strength = np.abs(cross)
    use = (hz >= BAND_HZ[0]) & (hz <= BAND_HZ[1]) & (strength > 0)
    white = np.divide(cross, strength, out=np.zeros_like(cross), where=use)
    correlation = np.abs(_lags(scipy.fft.irfft(white, size), reach))
    peak = int(correlation.argmax())
    rivals = np.abs(np.arange(len(correlation)) - peak) > 0.005 * rate
    if not correlation[peak] or not rivals.any():
        return Delay(None, 0.0)
    return Delay((peak - reach) / rate, float(1 - correlation[rivals].max() / correlation[peak]))


class _Faded:
    """A signal at peak 1 with a raised-cosine fade at both ends, over half of a short one; read in parts."""

    def __init__(self, x: np.ndarray, samples: int) -> None:
        self.x = x
        # Nobody's level decides: the squares of very small samples would vanish.
        self.peak = max(float(x.max()), -float(x.min()))
        count = min(samples, len(x) // 2)
        self.rise = np.hanning(2 * count + 1)[:count]

    def part(self, start: int, stop: int) -> np.ndarray:
        """The samples from `start` to `stop` that there are, in double precision."""
        start, stop = max(start, 0), min(stop, len(self.x))
        if start >= stop:
            return np.zeros(0)
        part = self.x[start:stop].astype(np.float64) / self.peak
        count, end = len(self.rise), len(self.x)
        head, tail = (
            self.rise[start:stop],
            self.rise[::-1][max(0, start - (end - count)) : max(0, stop - (end - count))],
        )
        part[: len(head)] *= head
        part[len(part) - len(tail) :] *= tail
        return part


def _by_bands(reference: np.ndarray, estimate: np.ndarray, rate: int, max_s: float) -> np.ndarray:
    """Correlation at lags of 8 ms and how far it stands out, over all blocks together, `[2, 2 n + 1]`."""
    hop = max(1, round(STEP_S * rate))
    reach, block = int(max_s * rate / hop), max(1, round(BLOCK_S * rate / hop))
    longest = max(len(reference), len(estimate)) // hop + 1
    curves, weights = [], []
    for start in range(0, longest, block):
        stop = min(start + block, longest)
        x = _changes(reference, rate, hop, start, stop)
        y = _changes(estimate, rate, hop, start - reach, stop + reach)
        if x.any() and y.any():
            curves.append(_standing_out(x, y, start - max(start - reach, 0), reach))
            weights.append(x.shape[1])
    count = int(max_s / STEP_S)
    if not curves:
        return np.zeros((2, 2 * count + 1))
    lags_s = np.arange(-reach, reach + 1) * hop / rate
    both = zip(*curves, strict=True)
    return np.stack([np.interp(np.arange(-count, count + 1) * STEP_S, lags_s, _pooled(each, weights)) for each in both])


def _standing_out(x: np.ndarray, y: np.ndarray, before: int, reach: int) -> np.ndarray:
    """Correlation of `[12, frames]` and how many spreads it is, `[2, 2 reach + 1]`; y begins `before` frames early."""
    size = scipy.fft.next_fast_len(max(x.shape[1], y.shape[1]) + 2 * reach, real=True)

    def correlation(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        spectra = scipy.fft.rfft(y, size) * scipy.fft.rfft(x, size).conj()
        return _lags(np.roll(scipy.fft.irfft(spectra.sum(0), size), -before), reach)

    found = correlation(x, y)
    # Bands rise and fall together, so their energies are added before they are correlated.
    variance = correlation((x**2).sum(0, keepdims=True), (y**2).sum(0, keepdims=True))
    least = 1e-9 * len(x) ** 2 / max(x.shape[1], y.shape[1])  # no lag stands out by the rounding of the transform
    return np.stack([found, found / np.sqrt(np.maximum(variance, least))])


def _changes(x: np.ndarray, rate: int, hop: int, start: int, stop: int) -> np.ndarray:
    """From frame to frame: differences of the magnitudes in 12 bands, each of norm 1 (or all zero), `[12, frames]`."""
    window = max(16, round(0.064 * rate))
    hann = np.hanning(window)
    hz = scipy.fft.rfftfreq(window, 1 / rate)
    edges = np.geomspace(*BAND_HZ, 13)
    inside = ((hz[:, None] >= edges[:-1]) & (hz[:, None] < edges[1:])).astype(np.float64)
    peak = max(float(x.max()), -float(x.min()))
    start, stop = max(start, 0), min(stop, len(x) // hop + 1)
    parts = []
    for first in range(start, stop, FRAMES):
        last = min(first + FRAMES, stop)
        begin, end = first * hop - window // 2, (last - 1) * hop - window // 2 + window
        part = x[max(begin, 0) : end].astype(np.float64) / peak
        part = np.pad(part, (max(-begin, 0), end - max(begin, 0) - len(part)))
        frames = np.lib.stride_tricks.sliding_window_view(part, window)[::hop]
        parts.append(np.sqrt((np.abs(scipy.fft.rfft(frames * hann, axis=1)) ** 2) @ inside).T)
    if not parts:
        return np.zeros((12, 0))
    changes = np.diff(np.concatenate(parts, axis=1), axis=1)
    norm = np.linalg.norm(changes, axis=1, keepdims=True)
    return np.divide(changes, norm, out=np.zeros_like(changes), where=norm > 0)


def _peak(bands: np.ndarray, correlation: np.ndarray | None = None) -> Delay:
    """The highest point of a curve, None where it lies at an end; between its lags by a parabola.

    The parabola goes through the correlation where that is given: its peak is not flattened by the spread's own. The
    correlation is smoothed first: frames of 64 ms make its peak wider than what noise does to single lags of 8 ms.
    """
    peak = int(bands.argmax())
    if not 0 < peak < len(bands) - 1 or bands[peak] <= 0:
        return Delay(None, 0.0)
    curve = bands if correlation is None else np.convolve(correlation, SMOOTHING, mode="same")
    top = peak - 1 + int(curve[peak - 1 : peak + 2].argmax())
    between = 0.0
    if 0 < top < len(curve) - 1:
        left, middle, right = curve[top - 1 : top + 2]
        curvature = left - 2 * middle + right
        between = float(np.clip(0.5 * (left - right) / curvature, -0.5, 0.5)) if curvature < 0 else 0.0
    height = float(bands[peak])
    return Delay((top - len(bands) // 2 + between) * STEP_S, height / (height + BAR))


def _lags(correlation: np.ndarray, reach: int) -> np.ndarray:
    """Lags from `-reach` to `reach` of a circular correlation."""
    return np.concatenate([correlation[len(correlation) - reach :], correlation[: reach + 1]])


# -- several pairs ----------------------------------------------------------------------------------------------------


def _pooled(curves: Sequence[np.ndarray], weights: Sequence[float]) -> np.ndarray:
    """Curves in spreads, as one: each weighs by its length, and the sum has spread 1 again (Stouffer)."""
    share = np.sqrt(np.asarray(weights, np.float64))
    return share @ np.stack(curves) / np.linalg.norm(share)


def _common(clips: Sequence[Evidence], own: Sequence[float | None]) -> float | None:
    """The peak of the summed curves, where it is clear and most of the clear delays lie near it."""
    if not clips:
        return None
    seconds = [clip.seconds for clip in clips]
    curve = _pooled([_levelled(clip.bands) for clip in clips], seconds)
    common_s = _peak(curve).seconds
    share = np.sqrt(seconds)
    if common_s is None or curve.max() < max(COMMON_BAR, EACH_BAR * share.sum() / np.linalg.norm(share)):
        return None
    clear = [s for s in own if s is not None]
    return common_s if 2 * sum(abs(s - common_s) <= NEAR_S for s in clear) >= len(clear) else None


def _levelled(bands: np.ndarray) -> np.ndarray:
    """A curve of at most `BAR`: one that is clear beyond doubt says no more than one that is just clear."""
    return bands * min(1.0, BAR / max(float(bands.max()), BAR))


def _agreeing(delays: Iterable[float | None], common_s: float) -> list[float]:
    """Those near the common delay."""
    return [s for s in delays if s is not None and abs(s - common_s) <= NEAR_S + STEP_S / 2]


def _interval(clips: Sequence[Evidence], own: Sequence[float | None]) -> tuple[float, float] | None:
    """Where the common delay of other clips of the method would lie: of clips drawn from these, as many as there are.

    Each set of clips is estimated as the whole one is, by its summed curves and the middle of the delays near their
    peak. A set whose sum has its peak at an end is left out.
    """
    curves, share = np.stack([_levelled(clip.bands) for clip in clips]), np.sqrt([clip.seconds for clip in clips])
    random, found = np.random.default_rng(0), []
    alone: dict[int, list[float | None]] = {}
    for _ in range(DRAWS):
        drawn = random.integers(len(clips), size=len(clips))
        common_s = _peak(share[drawn] @ curves[drawn] / np.linalg.norm(share[drawn])).seconds
        if common_s is None:
            continue
        step = round(common_s / STEP_S)
        if step not in alone:  # peaks near two delays of one step are the same
            alone[step] = [_near(clip.bands, common_s) if s is None else s for clip, s in zip(clips, own, strict=True)]
        agreeing = _agreeing((alone[step][number] for number in drawn), common_s)
        found.append(float(np.median(agreeing)) if agreeing else common_s)
    if not found:
        return None
    low, high = np.quantile(found, (0.025, 0.975))
    return float(low), float(high)


def _near(bands: np.ndarray, common_s: float) -> float | None:
    """The highest peak near the common delay, in seconds; None where none stands out."""
    middle, reach = len(bands) // 2 + round(common_s / STEP_S), round(NEAR_S / STEP_S)
    first = max(middle - reach - 1, 0)
    part = bands[first : middle + reach + 2]
    peak_s = _peak(part).seconds
    if peak_s is None or part.max() < NEAR_BAR:
        return None
    return peak_s + (first + len(part) // 2 - len(bands) // 2) * STEP_S


class DelayFound(Metric):
    """The delay that stands out in each pair, whether it was taken out or not.

    A row holds `delay_ms`; with or without it, what `alignments` needs to decide on the whole set.
    """

    name = "delay"
    version = 2
    reports = (
        Report(
            "delay_ms",
            "delay",
            None,
            (-500.0, 500.0),
            unit="ms",
            weigh="sample",
            description="How late the estimate is, by cross-correlation of waveforms, else of changes in bands.",
        ),
    )

    @classmethod
    def create(cls, networks: Any) -> DelayFound:
        """Make the metric."""
        return cls()

    def signature(self, report: str) -> str:
        return f"delay_ms|gcc-phat-or-band-changes|max:0.5s|v{self.version}"

    def measure(self, items: Sequence[SpeechItem]) -> list[Statistics | Undefined | Failed]:
        """Rows of the delay in milliseconds and of the evidence; a pair whose delay is unknown keeps the evidence."""
        return [fault(item) or self._row(item) for item in items]

    def _row(self, item: SpeechItem) -> Statistics | Undefined:
        assert item.reference is not None
        if silent := [name for name in ("estimate", "reference") if not getattr(item, name).any()]:
            return Undefined(f"the {silent[0]} is silent")
        evidence = delay_evidence(reference=item.reference, estimate=item.estimate, rate=item.rate)
        kept = {"confidence": evidence.own.confidence, "seconds": evidence.seconds, "bands": evidence.bands}
        if evidence.own.seconds is None:
            return Undefined(NO_DELAY, kept)
        return {"delay_ms": 1000 * evidence.own.seconds, **kept}

    def aggregate(self, statistics: Mapping[str, np.ndarray], weights: np.ndarray) -> dict[str, np.ndarray]:
        return {"delay_ms": weighted_mean(statistics["delay_ms"], weights)}


def evidence_of(row: Statistics) -> Evidence:
    """The evidence that `DelayFound` kept in a row, its curve to float32."""
    delay_ms = row.get("delay_ms")
    own = Delay(None if delay_ms is None else float(delay_ms) / 1000, float(row["confidence"]))
    return Evidence(own, float(row["seconds"]), np.asarray(row["bands"], np.float64))
