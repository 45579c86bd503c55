"""`score --align`: the delay that each pair is aligned by, decided when those of all pairs have been looked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from benchmark.runs.delays import MAY_BE_NONE, MAY_BE_NONE_MS, SHIFTED_MS, common_delay
from benchmark.runs.directory import Key, Prediction, ScoreRow


@dataclass(frozen=True)
class PairDelay:
    """What is known of one pair's delay."""

    seconds: float | None
    """None where the pair cannot be aligned."""
    by: str = ""
    """Whose delay it is: `own`, `near` (a peak of its own near the method's), or `common` (the method's)."""
    status: str = "undefined"
    """Of the aligned metrics where there is none: `undefined` or `failed`."""
    reason: str = ""
    """Why there is none."""


@dataclass(frozen=True)
class PairDelays:
    """The delays of all pairs."""

    pairs: Mapping[str, PairDelay]
    """By id."""
    common_s: float | None
    """The method's own delay; None where the pairs have none in common."""
    agreeing: int
    """Pairs that show it by themselves."""
    interval_s: tuple[float, float] | None = None
    """In which the method's delay lies with 95 %."""

    def seconds(self) -> dict[str, float]:
        """Of the pairs that can be aligned."""
        return {key: pair.seconds for key, pair in self.pairs.items() if pair.seconds is not None}

    def marked(self, predictions: Mapping[Key, Prediction]) -> dict[Key, Prediction]:
        """Versions that name the delay, so that what was measured under another one is void."""
        marked = {}
        for key, prediction in predictions.items():
            pair = self.pairs[prediction.sample]
            mark = "not aligned" if pair.seconds is None else f"aligned {1000 * pair.seconds:+.4f} ms {pair.by}"
            marked[key] = replace(prediction, version=f"{prediction.version} {mark}")
        return marked

    def notes(self, align: bool) -> list[str]:
        """What a reader has to know: how late the estimates are, and what was done about it."""
        known = [pair for pair in self.pairs.values() if pair.seconds is not None]
        delays = [1000 * pair.seconds for pair in known if pair.by != "common"]
        late = [delay for delay in delays if abs(delay) >= SHIFTED_MS]
        common_ms = 0.0 if self.common_s is None else 1000 * self.common_s
        notes = []
        if self.common_s is not None and (align or abs(common_ms) >= SHIFTED_MS):
            found = common_delay(self.common_s, self.interval_s, self.agreeing, len(self.pairs))
            notes.append(f"method delay: {found}")
        if late:
            line = f"{len(late)} of {len(self.pairs)} estimates are shifted by {SHIFTED_MS:g} ms or more"
            line += f" ({_spread(late)})"
            if np.median(np.abs(late)) < MAY_BE_NONE_MS:
                line += MAY_BE_NONE
            notes.append(line)
        if notes and not align:
            notes[-1] += "; not corrected: STOI, SI-SDR and SDR suffer; --align takes it out"
        if align:
            ways = [pair.by for pair in known]
            line = f"aligned: {ways.count('own')} of {len(self.pairs)} by a delay of their own"
            line += f", {ways.count('near')} by a peak near the method's" if "near" in ways else ""
            line += f", {ways.count('common')} by the method's" if "common" in ways else ""
            if lacking := len(self.pairs) - len(ways):
                line += f"; {lacking} without a delay are not counted in the aligned numbers"
            notes.append(line)
        return notes


def decide(ids: Iterable[str], rows: Mapping[str, ScoreRow]) -> PairDelays:
    """Decide on all pairs together from their rows of the metric `delay`, by id."""
    from metrics.speech.items import alignments_of

    evidence = {key: row.statistics for key, row in rows.items() if row.statistics}
    together = alignments_of(list(evidence.values()))
    aligned = dict(zip(evidence, together.clips, strict=True))
    pairs = {}
    for key in ids:
        one, row = aligned.get(key), rows.get(key)
        if one is not None and one.seconds is not None:
            pairs[key] = PairDelay(one.seconds, one.by)
        elif row is None:
            pairs[key] = PairDelay(None, status="failed", reason="not aligned: the delay could not be measured")
        else:
            pairs[key] = PairDelay(None, status=row.status, reason=f"not aligned: {row.reason}")
    return PairDelays(pairs, together.common_s, together.agreeing, together.interval_s)


def _spread(delays: list[float]) -> str:
    """Medians of signed delays cancel, so their sizes and their range are told."""
    low, high = min(delays), max(delays)
    if f"{low:.1f}" == f"{high:.1f}":
        return f"{low:+.1f} ms"
    return f"{low:+.1f} to {high:+.1f} ms, median size {np.median(np.abs(delays)):.1f} ms"
