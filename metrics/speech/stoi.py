"""Short-time objective intelligibility, STOI and ESTOI: exact, of ragged batches, on CPU and GPU.

C. H. Taal, R. C. Hendriks, R. Heusdens, J. Jensen, "An Algorithm for Intelligibility Prediction of Time-Frequency
Weighted Noisy Speech", IEEE TASLP 19 (7), 2011. J. Jensen, C. H. Taal, "An Algorithm for Predicting the
Intelligibility of Speech Masked by Modulated Noise Maskers", IEEE/ACM TASLP 24 (11), 2016. Where the papers leave
something open (resampler, window, last frame), the authors' Matlab code decides, as it does in pystoi.

All frames of a batch lie end to end on one time axis, and time is the innermost axis throughout: a segment is then a
view of 30 shifted copies of the envelopes, no matter whose they are, and those that straddle two items are left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from metrics.metric import (
    Failed,
    Metric,
    Report,
    SpeechItem,
    Statistics,
    Undefined,
    Values,
    checked_values,
    weighted_ratio,
)
from metrics.plain import plain
from metrics.speech.octave_resample import octave_resample, resampled_length
from metrics.speech.signals import TOLERANCE_S, batch, fault, padded, same_length

RATE_HZ = 10_000
NOTHING_VARIES = "no envelope of one of the signals varies where the reference speaks"
FRAME, HOP, FFT = 256, 128, 512
BANDS, LOWEST_HZ = 15, 150.0
SEGMENT = 30
"""Frames over which envelopes are correlated, 0.4 s."""
RANGE_DB = 40.0
"""A frame is speech where the reference is less than this below its loudest frame."""
CEILING = 1 + 10 ** (15 / 20)
"""STOI clips the estimate's envelope at this times the reference's: -15 dB of signal to distortion."""
EPS = float(np.finfo(np.float64).eps)
"""Kept where pystoi has it in a formula: it decides for signals near 1e-15."""
SILENT_DB = 20 * math.log10(2 * EPS)
"""Level of a frame that holds nothing but this."""
HUGE = 1e100
FLAT = 1e-12
"""What varies by less, relative to itself, is rounding: its correlation would be 0/0."""


def stoi(*, reference: Tensor, estimate: Tensor, rate: int, lengths: Tensor | Sequence[int] | None = None) -> Values:
    """Short-time objective intelligibility (Taal et al. 2011, eq. 1-6).

    Mean correlation of the third-octave envelopes of both signals over segments of 0.4 s of speech, the estimate's
    scaled to the reference's energy and clipped.

    Args:
        reference: the clean signals, which decide what is speech.
        estimate: the signals to judge, of the same shape.
        rate: hertz; other than 10 kHz is resampled as Octave does.
        lengths: samples of each item; the rest of a row is ignored.

    Shape: `[B, T]` or `[T]`, any real dtype -> `[B]` float64, -1 to 1, higher is better, on the same device.

    Returns:
        NaN and a reason where fewer than 30 frames of speech remain, or a signal has no envelope that varies
        (Undefined), and where a signal is empty or not finite (Failed).

    Raises:
        ValueError: shapes, lengths or a rate that cannot be meant.
    """
    found = _intelligibility(reference, estimate, rate, lengths, (True, False))
    return checked_values(found.values[:, 0], found.reasons, ["stoi"])


def estoi(*, reference: Tensor, estimate: Tensor, rate: int, lengths: Tensor | Sequence[int] | None = None) -> Values:
    """Extended STOI (Jensen and Taal 2016), which also notices where the spectrum's shape is wrong.

    Each segment of 15 bands by 30 frames is normalised band by band over time and then frame by frame over bands; the
    score is the mean correlation of the frames. A band or frame that does not vary contributes 0.

    Arguments, shapes, reasons and errors as in `stoi`.
    """
    found = _intelligibility(reference, estimate, rate, lengths, (False, True))
    return checked_values(found.values[:, 1], found.reasons, ["estoi"])


def intelligibility(
    *, reference: Tensor, estimate: Tensor, rate: int, lengths: Tensor | Sequence[int] | None = None
) -> Values:
    """STOI and ESTOI -> `[B, 2]`, sharing all that comes before their correlations; otherwise as `stoi`.

    >>> x = torch.randn(1, 16000, generator=torch.Generator().manual_seed(0))
    >>> intelligibility(reference=x, estimate=-2 * x, rate=16000).values.round(decimals=6).tolist()
    [[1.0, 1.0]]
    """
    return checked_values(*_intelligibility(reference, estimate, rate, lengths, (True, True)), ["stoi", "estoi"])


class _Speech(NamedTuple):
    """Where the references of a batch speak."""

    blocks: Tensor
    """`[K]`: where each kept frame starts, in blocks of the whole batch; items with too few of them are left out."""
    kept: list[int]
    """Frames of each item in there, 0 for one that is left out."""
    found: list[int]
    """Frames of each item once silence is removed and the last frame is dropped."""
    silent: list[bool]
    """Whether the reference holds nothing."""


def _room(device: torch.device) -> tuple[int, int]:
    """Samples of one signal in a pass, and frames or segments in a step of it: for a core's cache, a GPU's memory."""
    return (2**17, 256) if device.type == "cpu" else (2**24, 2**14)


@lru_cache(maxsize=4)
def _window(device: torch.device) -> Tensor:
    """Matlab's `hanning(256)`, `[256]`: unlike NumPy's, its ends are not zero."""
    return torch.from_numpy(np.hanning(FRAME + 2)[1:-1]).to(device)


@lru_cache(maxsize=4)
def _bands(device: torch.device) -> list[tuple[slice, slice, Tensor]]:
    """Which columns, of a row of 257 real and imaginary parts, belong to which bands, for a few bands at a time.

    Edges lie a sixth of an octave around the centres, each moved to the nearest bin. Bands do not overlap, so a product
    with all of them at once would mostly multiply zeros.
    """
    bins = np.linspace(0, RATE_HZ, FFT + 1)[: FFT // 2 + 1]
    edges = LOWEST_HZ * 2.0 ** ((2 * np.arange(BANDS + 1) - 1) / 6)
    edge = 2 * np.abs(bins[None] - edges[:, None]).argmin(axis=1)
    groups = []
    for first in range(0, BANDS, 4):
        last = min(first + 4, BANDS)
        column = np.arange(edge[first], edge[last])
        member = (column >= edge[first:last, None]) & (column < edge[first + 1 : last + 1, None])
        columns = slice(int(edge[first]), int(edge[last]))
        groups.append((slice(first, last), columns, torch.from_numpy(member.astype(np.float64)).to(device)))
    return groups


def _speech(reference: Tensor, lengths: Sequence[int]) -> _Speech:
    """Frames less than 40 dB below the loudest of each item in `[B, blocks, HOP]`."""
    blocks = reference.shape[1]
    # The authors' loop stops before the last frame that would fit.
    frames = [max(0, -((FRAME - length) // HOP)) for length in lengths]
    most = max(frames)
    if not most:
        return _Speech(torch.empty(0, dtype=torch.int64), [0] * len(frames), [0] * len(frames), [False] * len(frames))
    energy = reference.square() @ _window(reference.device).square().view(2, HOP).T
    energy = energy[:, :most, 0] + energy[:, 1 : most + 1, 1]
    level = energy.sqrt_().add_(EPS).log10_().mul_(20)
    if min(frames) < most:
        behind = torch.arange(most) >= torch.tensor(frames)[:, None]
        level.masked_fill_(behind.to(level.device), -torch.inf)
    loudest = level.amax(dim=1, keepdim=True)
    speaks = level > loudest - RANGE_DB
    counts = speaks.sum(dim=1).tolist()
    silent = [number > 0 and peak <= SILENT_DB for number, (peak,) in zip(frames, loudest.tolist(), strict=True)]
    kept = [0 if none or count <= SEGMENT else count for count, none in zip(counts, silent, strict=True)]
    if kept != counts:
        speaks &= torch.tensor(kept, device=speaks.device)[:, None] > 0
    item, frame = speaks.nonzero(as_tuple=True)
    return _Speech(item * blocks + frame, kept, [max(0, count - 1) for count in counts], silent)


def _envelopes(signals: Tensor, speech: _Speech) -> Tensor:
    """Third-octave envelopes (eq. 1) of the speech in `[2, B, blocks, HOP]`, end to end -> `[2, BANDS, K - 1]`.

    Kept frames are windowed, overlapped and added to a signal without silence, and that is cut into frames again. An
    item that kept K_b frames has K_b - 1 of these; the one behind them reaches into the next item and means nothing.
    """
    window = _window(signals.device)
    signals = signals.reshape(2, -1, HOP)
    joined = signals.index_select(1, speech.blocks).mul_(window[:HOP])
    second = signals.index_select(1, speech.blocks[:-1] + 1).mul_(window[HOP:])
    ends = [end - 1 for end in accumulate(kept for kept in speech.kept if kept)][:-1]
    if ends:
        second.index_fill_(1, torch.tensor(ends, device=second.device), 0.0)
    joined[:, 1:] += second
    total = len(speech.blocks) - 1
    envelopes = joined.new_empty(2, BANDS, total)
    step = min(_room(signals.device)[1], total)
    padded_frames = joined.new_zeros(2, step, FFT)
    for start in range(0, total, step):
        count = min(step, total - start)
        frames = joined.as_strided((2, count, FRAME), (joined.stride(0), HOP, 1), start * HOP)
        torch.mul(frames, window, out=padded_frames[:, :count, :FRAME])
        power = torch.view_as_real(torch.fft.rfft(padded_frames[:, :count])).square_().flatten(2)
        for bands, columns, member in _bands(signals.device):
            envelopes[:, bands, start : start + count] = member @ power[..., columns].mT
    return envelopes.sqrt_()


def _window_sums(x: Tensor) -> Tensor:
    """Sums over `SEGMENT` = 16 + 8 + 4 + 2 neighbours, `[..., T]` -> `[..., T - 29]`, without cancellation."""
    by_two = x[..., :-1] + x[..., 1:]
    by_four = by_two[..., :-2] + by_two[..., 2:]
    by_eight = by_four[..., :-4] + by_four[..., 4:]
    by_sixteen = by_eight[..., :-8] + by_eight[..., 8:]
    count = x.shape[-1] - SEGMENT + 1
    parts = (by_sixteen, 0), (by_eight, 16), (by_four, 24), (by_two, 28)
    return sum(part[..., start : start + count] for part, start in parts)  # type: ignore[return-value]


def _correlations(envelopes: Tensor, which: tuple[bool, bool]) -> Tensor:
    """Correlations summed over each segment that starts in `[2, BANDS, T]`, of STOI and of ESTOI.

    Args:
        which: whether STOI, and whether ESTOI is wanted.

    Returns:
        `[4, T - 29]`: the two sums (0 for the one that was not asked for), and how many correlations are not 0/0.
    """
    bands, count = envelopes.flatten(0, 1), envelopes.shape[2] - SEGMENT + 1
    found = envelopes.new_zeros(4, count)
    # [2 * BANDS, SEGMENT, count], without a copy. PyTorch would arrange what it makes of a view whose strides are equal
    # in an order that is slow to sum over, hence the explicit outputs.
    segments = bands.as_strided((len(bands), SEGMENT, count), (bands.stride(0), 1, 1), bands.storage_offset())
    mean = _window_sums(bands).div_(SEGMENT)
    unit = torch.sub(segments, mean[:, None], out=bands.new_empty(segments.shape))
    norm = unit.square().sum(dim=1).sqrt_()
    varies = norm > FLAT * mean + EPS
    unit *= (varies / norm.clamp_(min=EPS))[:, None]
    if which[0]:
        size = _window_sums(bands.square()).sqrt_()
        gain = size[:BANDS] / (size[BANDS:] + EPS)
        clipped = torch.mul(segments[BANDS:], gain[:, None], out=torch.empty_like(unit[BANDS:]))
        limit = torch.mul(segments[:BANDS], CEILING, out=torch.empty_like(clipped))
        torch.minimum(clipped, limit, out=clipped)
        clipped -= clipped.mean(dim=1, keepdim=True)
        norm = clipped.square().sum(dim=1).sqrt_()
        defined = (norm > FLAT * size[:BANDS]) & varies[:BANDS]
        dot = clipped.mul_(unit[:BANDS]).sum(dim=1)
        found[0] = (dot / norm).masked_fill_(~defined, 0).sum(dim=0)
        found[2] = defined.sum(dim=0)
    if which[1]:
        frames = unit.view(2, BANDS, SEGMENT * count)
        frames -= frames.mean(dim=1, keepdim=True)
        energy = frames.square().sum(dim=1)
        defined = torch.minimum(energy[0], energy[1]) > FLAT**2
        dot = frames[0].mul_(frames[1]).sum(dim=0)
        correlation = dot.div_((energy[0] * energy[1]).sqrt_()).masked_fill_(~defined, 0)
        found[1] = correlation.view(SEGMENT, count).sum(dim=0)
        found[3] = defined.view(SEGMENT, count).sum(dim=0)
    return found


def _means(speech: _Speech, envelopes: Tensor, which: tuple[bool, bool]) -> Tensor:
    """STOI and ESTOI of the items of one pass -> `[B, 2]`; NaN where no correlation is defined."""
    starts = len(speech.blocks) - SEGMENT
    step = _room(envelopes.device)[1]
    found = torch.cat(
        [
            _correlations(envelopes[..., start : min(start + step, starts) + SEGMENT - 1], which)
            for start in range(0, starts, step)
        ],
        dim=1,
    )
    # A segment counts if it ends within the item in which it starts.
    segments = torch.tensor([max(0, kept - SEGMENT) for kept in speech.kept])[:, None]
    offset = torch.tensor([end - kept for end, kept in zip(accumulate(speech.kept), speech.kept, strict=True)])
    position = torch.arange(int(segments.max()))
    index = torch.where(position < segments, position + offset[:, None], starts)
    found = torch.nn.functional.pad(found, (0, 1))
    total = found[:, index.to(found.device)].sum(dim=2)
    correlations = (segments.T * torch.tensor([[BANDS], [SEGMENT]])).to(found.device)
    return torch.where(total[2:] > 0, total[:2] / correlations, torch.nan).T


@lru_cache(maxsize=1)
def _keep_freed_memory() -> None:
    """Free 16 MiB, once, without ever touching them.

    glibc returns freed memory to the system beyond twice the largest block that was ever freed; without this, a file of
    3 s costs a thousand page faults, which may take as long as everything else.
    """
    torch.empty(2**24, dtype=torch.uint8)


def _pass(reference: Tensor, estimate: Tensor, rate: int, lengths: list[int], which: tuple[bool, bool]) -> Values:
    """A part of a batch that fits into memory at once."""
    signals = torch.stack((reference, estimate))
    if min(lengths) < signals.shape[2]:
        behind = torch.arange(signals.shape[2]) >= torch.tensor(lengths)[:, None]
        signals.masked_fill_(behind.to(signals.device), 0)
    if signals.dtype == torch.float64 and signals.shape[2]:
        # Squares of what is beyond this would be infinite; how loud such signals are counts for nothing.
        peak = signals.abs().amax(dim=2, keepdim=True)
        signals *= torch.where((peak > HUGE) & peak.isfinite(), 1 / peak, 1.0)
    peaks = signals.abs().amax(dim=2).T.tolist() if signals.shape[2] else [[0.0, 0.0]] * len(lengths)
    names = ("reference", "estimate")
    broken = [[name for name, peak in zip(names, pair, strict=True) if not math.isfinite(peak)] for pair in peaks]
    if any(broken):
        signals[:, [row for row, found in enumerate(broken) if found]] = 0
    signals = octave_resample(signals, rate, RATE_HZ)
    blocks = signals.shape[2] // HOP
    signals = signals[..., : blocks * HOP].unflatten(2, (blocks, HOP))
    speech = _speech(signals[0], [resampled_length(length, rate, RATE_HZ) for length in lengths])
    values = signals.new_full((len(lengths), 2), torch.nan)
    if len(speech.blocks):
        values = _means(speech, _envelopes(signals, speech), which)
    reasons: list[Undefined | Failed | None] = []
    for row, scores in enumerate(values.tolist()):
        reason: Undefined | Failed | None = None
        if not lengths[row]:
            reason = Failed("the signals are empty")
        elif broken[row]:
            reason = Failed(f"expected finite samples, got NaN or infinite ones in the {' and the '.join(broken[row])}")
        elif speech.silent[row]:
            reason = Undefined("the reference is silent")
        elif speech.found[row] < SEGMENT:
            reason = Undefined(
                f"fewer than {SEGMENT} frames (0.4 s) of speech remain once silence is removed: {speech.found[row]}"
            )
        elif peaks[row][1] == 0:
            reason = Undefined("the estimate is silent")
        elif any(math.isnan(score) for score, asked in zip(scores, which, strict=True) if asked):
            reason = Undefined(NOTHING_VARIES)
        reasons.append(reason)
    return Values(values, tuple(reasons))


@plain()
def _intelligibility(
    reference: Tensor,
    estimate: Tensor,
    rate: int,
    lengths: Tensor | Sequence[int] | None,
    which: tuple[bool, bool],
) -> Values:
    _keep_freed_memory()
    reference, estimate, checked = batch(reference, estimate, lengths)
    sizes = checked.tolist()
    rows = max(1, _room(reference.device)[0] // max(1, reference.shape[1]))
    parts = []
    for start in range(0, len(sizes), rows):
        part = slice(start, start + rows)
        longest = max(sizes[part])
        parts.append(_pass(reference[part, :longest], estimate[part, :longest], rate, sizes[part], which))
    values = torch.cat([reference.new_empty(0, 2, dtype=torch.float64), *(part.values for part in parts)])
    reasons = [reason for part in parts for reason in part.reasons]
    return Values(values, tuple(reasons))


class Stoi(Metric):
    """STOI and ESTOI of each file; the aggregate is their mean over files."""

    name = "stoi"
    version = 1
    paired = True
    lacking: ClassVar[Mapping[str, str]] = {"estoi": NOTHING_VARIES}
    reports = (
        Report(
            "stoi",
            "STOI",
            True,
            (-1.0, 1.0),
            weigh="sample",
            description="Mean correlation of third-octave envelopes over 0.4 s of speech (Taal et al. 2011).",
        ),
        Report(
            "estoi",
            "ESTOI",
            True,
            (-1.0, 1.0),
            weigh="sample",
            description="Mean correlation of normalised spectra over 0.4 s of speech (Jensen and Taal 2016).",
        ),
    )

    def __init__(self, device: str = "cpu") -> None:
        self.device = torch.device(device)

    @classmethod
    def create(cls, networks: Any, device: str = "cpu") -> Stoi:
        """Make the metric; `device` is where it computes, `cpu` or `cuda`."""
        return cls(device)

    def signature(self, report: str) -> str:
        return f"{report}|fs:{RATE_HZ}|resample:octave|len:cut{TOLERANCE_S:g}|impl:facevoice|v{self.version}"

    def measure(self, items: Sequence[SpeechItem]) -> list[Statistics | Undefined | Failed]:
        """Rows of `stoi`, `estoi` (NaN where it alone is undefined) and `cut_s`."""
        rows: dict[int, Statistics | Undefined | Failed] = {}
        pairs = {}
        for number, item in enumerate(items):
            pair = fault(item) or same_length(item)
            if isinstance(pair, Undefined | Failed):
                rows[number] = pair
            else:
                pairs[number] = pair
        order = sorted(pairs, key=lambda number: (pairs[number].rate, len(pairs[number].reference)))
        while order:
            # The longest of a rate first, as many at once as one pass takes: little padding, and memory stays flat.
            first = pairs[order[-1]]
            room = max(1, _room(self.device)[0] // len(first.reference))
            taken = [number for number in order[-room:] if pairs[number].rate == first.rate]
            del order[-len(taken) :]
            reference, lengths = padded([pairs[number].reference for number in taken])
            estimate, _ = padded([pairs[number].estimate for number in taken])
            values, reasons = intelligibility(
                reference=reference.to(self.device),
                estimate=estimate.to(self.device),
                rate=first.rate,
                lengths=lengths,
            )
            for number, (of_stoi, of_estoi), reason in zip(taken, values.tolist(), reasons, strict=True):
                if reason is not None and math.isnan(of_stoi):
                    rows[number] = reason
                else:
                    rows[number] = {"stoi": of_stoi, "estoi": of_estoi, "cut_s": pairs[number].cut_s}
        return [rows[number] for number in range(len(items))]

    def defined(self, report: str, statistics: Mapping[str, np.ndarray]) -> np.ndarray:
        return np.isfinite(np.asarray(statistics[report], np.float64))

    def aggregate(self, statistics: Mapping[str, np.ndarray], weights: np.ndarray) -> dict[str, np.ndarray]:
        means = {}
        for report in ("stoi", "estoi"):
            known = self.defined(report, statistics)
            means[report] = weighted_ratio(np.where(known, statistics[report], 0.0), known, weights)
        return means
