"""For whom a method works: every number of a run over groups of its outputs, and how far groups lie apart.

A group's number is what the metric makes of the group's rows, as of a corpus that held nobody else; but what outputs
are held against stays what it was: a recall looks among the whole gallery, and the mismatched pairs of an AUC are with
everybody. Nothing is measured again.

Each group is held against all others together, so that none is the norm by which the rest is judged; two groups are
held against one another, once. Outputs of which the attribute is not stated are a group that is shown, and stand on
neither side.

Interval of a group: that of `benchmark.results.statistics`, over the speakers of the group. There is none from fewer
than 5 speakers, and then no test either.

Interval of a difference: where no speaker is on both sides (sex), it is put together from the intervals of the sides a
and b, whose distances from the values add in squares (Newcombe, Statistics in Medicine 17 (1998) 873-890, method 10;
Zou & Donner, Statistics in Medicine 27 (2008) 1693-1702):

    low = (a - b) - sqrt((a - low_a)**2 + (high_b - b)**2),  high = (a - b) + sqrt((high_a - a)**2 + (b - low_b)**2)

Where speakers are on both sides (SNR, noise) they are left out of both at once, as when two runs are compared.

p: how often the difference is as large when groups are dealt at random: speakers exchange theirs with one another, and
the outputs of one speaker exchange theirs within the speaker, where they are of several groups. Each difference is
measured in standard errors of its own dealing, from what each output does to the number (its influence), summed over
speakers: a small group that merely scatters wider than the others is then not called another one (Janssen, Statistics
& Probability Letters 36 (1997) 9-21; Chung & Romano, Annals of Statistics 41 (2013) 484-507). "As large" is counted
from the median over all dealings, since numbers that depend on how many outputs they stand on differ between groups of
unequal size even so. p is corrected, after Holm (1979), for all numbers and groups that were looked at.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from benchmark.results.attributes import Grouping, Known
from benchmark.results.comparison import (
    Comparison,
    Difference,
    NotCompared,
    Scored,
    holm,
    measured_rows,
    metric_of_rows,
    spoken_by,
)
from benchmark.results.schema import Aggregate, Result, is_probability, stated_signature
from benchmark.results.statistics import FEWEST, Estimate, Shape, Values, Weigh, speaker_index, with_intervals
from benchmark.runs.directory import Key, ScoreRow
from benchmark.runs.scoring import Runs, mean_over_runs, shapes, speaker_values, stacked, weighed

DRAWS = 4_000
"""Dealings of groups that are tried."""
FEW = f"fewer than {FEWEST} speakers on one side"
GROWS = "it depends on how many outputs it stands on, so that random groups of these sizes differ too"
"""Why groups are not held against each other."""
P_VALUES = "p-values of groups are no amounts that one could be taken from another"
"""Why those of p-values are not."""
NOT_MEASURED = "none of its outputs was measured"
"""Why a group has no number."""
TRIALS = 200
"""Dealings that tell whether random groups differ."""
_CHUNK_WEIGHTS = 2_000_000
"""Weights of rows that are held at once."""


@dataclass(frozen=True)
class Rows:
    """Rows of one metric, to be aggregated over any part of them."""

    metric: Any
    rows: Mapping[Key, ScoreRow]

    def values(self, keys: Iterable[Key]) -> dict[str, float]:
        """All numbers over some of the rows, computed as those of a whole run; NaN where one has no value."""
        runs = self.parts(keys)
        found = speaker_values(self.metric, runs, self.speakers)(np.ones((1, self.speakers))) if runs else {}
        return {report.name: float(found[report.name][0]) if runs else math.nan for report in self.metric.reports}

    def parts(self, keys: Iterable[Key]) -> Runs:
        """Of each evaluation run those of the rows, with their speakers' numbers among the speakers of all rows."""
        chosen = sorted(keys)
        found: dict[int, list[int]] = {}
        for key in chosen:
            found.setdefault(key[1], []).append(self._place[key])
        return [
            (self._index[places], {name: each[places] for name, each in self._stacked.items()})
            for _, places in sorted(found.items())
        ]

    @cached_property
    def speakers(self) -> int:
        """How many all rows have."""
        return int(self._index.max()) + 1

    @cached_property
    def _place(self) -> dict[Key, int]:
        return {key: number for number, key in enumerate(self.rows)}

    @cached_property
    def _index(self) -> np.ndarray:
        return speaker_index([row.speaker for row in self.rows.values()])[0]

    @cached_property
    def _stacked(self) -> dict[str, np.ndarray]:
        return stacked(list(self.rows.values()))


@dataclass(frozen=True)
class Apart:
    """How far a group lies from those that it is held against."""

    difference: float
    """The group's number less that of the others."""
    low: float | None
    """Lower end of the 95 % interval; None where there is none."""
    high: float | None
    no_interval: str
    """Why there is none."""
    p: float | None
    """Of this difference alone; None where it was not tested."""
    p_holm: float | None
    """Corrected for all that were tested together."""


@dataclass(frozen=True)
class GroupNumber:
    """One number of one group."""

    group: str
    value: float | None
    low: float | None
    high: float | None
    no_interval: str
    """Why there is no interval, where there is a value and none."""
    no_value: str
    """Why there is no value."""
    scored: int
    """Outputs that the value stands on."""
    total: int
    """Outputs of the group that were asked for."""
    speakers: int
    """Of the outputs that it stands on."""
    apart: Apart | None
    """From the others; None for the second of two groups, for what is not stated, and where a side has no value or the
    two cannot be held against each other."""


@dataclass(frozen=True)
class Number:
    """One number of a run, over groups."""

    item: Aggregate
    """Of all outputs."""
    groups: tuple[GroupNumber, ...]
    """In the order of the grouping."""
    no_difference: str = ""
    """Why its groups are not held against each other."""


@dataclass(frozen=True)
class Grouped:
    """The numbers of one run over groups."""

    run: Scored
    grouping: Grouping
    numbers: tuple[Number, ...]
    left_out: Mapping[str, str]
    """Metrics or numbers that were asked for and are not here, and why."""
    tests: int
    """How many differences were tested together."""
    sizes: Mapping[str, tuple[int, int]]
    """Samples and speakers of each group, as far as they were asked for."""

    def of(self, name: str) -> Number | None:
        """The number of that name."""
        return next((each for each in self.numbers if each.item.name == name), None)

    def why_none(self, name: str, metric: str) -> str:
        """Why there is no number of that name."""
        return self.left_out.get(name) or self.left_out.get(metric) or "it has no value"


def grouped(
    run: Scored,
    samples: Mapping[str, Known],
    grouping: Grouping,
    items: Sequence[Aggregate],
    draws: int = DRAWS,
    *,
    tested: bool = True,
) -> Grouped:
    """Numbers of a run over groups.

    Args:
        samples: all that were asked for, of which `grouping` names the groups.
        items: the numbers of the run's result.
        draws: dealings of groups that are tried for p.
        tested: whether differences are tested; those of numbers of which no direction is better never are.

    Raises:
        UsageError: rows that are not those of the result.
    """
    numbers: list[Number] = []
    left_out: dict[str, str] = {}
    for metric in dict.fromkeys(item.metric for item in items):
        own = [item for item in items if item.metric == metric and item.value is not None]
        left_out |= {item.name: _why_no_value(item) for item in items if item.metric == metric and item.value is None}
        try:
            numbers += _of_metric(run, own, samples, grouping, draws, tested) if own else []
        except NotCompared as error:
            left_out[metric] = str(error)
    order = [item.name for item in items]
    numbers.sort(key=lambda number: order.index(number.item.name))
    tests = [each.apart.p for number in numbers for each in number.groups if each.apart and each.apart.p is not None]
    corrected = iter(holm(tests))
    numbers = [
        replace(number, groups=tuple(_corrected(each, corrected) for each in number.groups)) for number in numbers
    ]
    sizes = {}
    for label in grouping.labels:
        those = [sample for sample in samples if grouping.of[sample] == label]
        sizes[label] = len(those), len({samples[sample].speaker for sample in those})
    return Grouped(run, grouping, tuple(numbers), left_out, len(tests), sizes)


def _why_no_value(item: Aggregate) -> str:
    return max(item.reasons, key=lambda why: (item.reasons[why], why), default="it has no value")


def _corrected(each: GroupNumber, p: Any) -> GroupNumber:
    if each.apart is None or each.apart.p is None:
        return each
    return replace(each, apart=replace(each.apart, p_holm=next(p)))


def _of_metric(
    run: Scored,
    items: Sequence[Aggregate],
    samples: Mapping[str, Known],
    grouping: Grouping,
    draws: int,
    tested: bool,
) -> list[Number]:
    name = items[0].metric
    signature = _signature(run, name)
    good = measured_rows(run, name, signature)
    if not good:
        raise NotCompared("none of its rows holds a value")
    metric = metric_of_rows([run], name, signature, [good])
    good = {key: spoken_by(good[key], samples[key[0]].speaker) for key in sorted(good) if key[0] in samples}
    rows = Rows(metric, good)
    repeats = run.result.spec.repeats if isinstance(run.result, Result) else 1
    keys = {label: [key for key in good if grouping.of[key[0]] == label] for label in grouping.labels}
    totals = {label: repeats * sum(grouping.of[sample] == label for sample in samples) for label in grouping.labels}
    names = [item.name for item in items]
    estimates = {label: _estimates(rows, keys[label], names) for label in grouping.labels}
    counted = {label: _counted(rows, keys[label], names) for label in grouping.labels}
    amounts = [item for item in items if not is_probability(item.name)]
    apart, grows = _differences(rows, keys, grouping.stated, estimates, counted, amounts, draws, tested)
    found = []
    for item in items:
        groups = []
        for label in grouping.labels:
            estimate = estimates[label].get(item.name)
            value = None if estimate is None else _number(estimate.value)
            scored, speakers = counted[label][item.name]
            groups.append(
                GroupNumber(
                    label,
                    value,
                    _number(estimate.low) if estimate else None,
                    _number(estimate.high) if estimate else None,
                    estimate.why if estimate and value is not None else "",
                    "" if value is not None else metric.why_undefined(item.name) if keys[label] else NOT_MEASURED,
                    scored if value is not None else 0,
                    totals[label],
                    speakers if value is not None else 0,
                    apart.get((label, item.name)),
                )
            )
        why = P_VALUES if is_probability(item.name) else GROWS if item.name in grows else ""
        found.append(Number(item, tuple(groups), why))
    return found


def _signature(run: Scored, metric: str) -> str:
    """Of the rows that the run's result was computed from.

    Raises:
        NotCompared: there are none.
    """
    stated = stated_signature(run.result, metric)
    if (metric, stated) in run.stored:
        return stated
    if any(name == metric for name, _ in run.stored):
        raise NotCompared("its rows are of another definition than the result states; score the run again")
    raise NotCompared("no rows of single outputs are kept of it")


def _counted(rows: Rows, keys: Sequence[Key], names: Sequence[str]) -> dict[str, tuple[int, int]]:
    """How many outputs a group's numbers stand on, and how many speakers these have."""
    found = {}
    for name in names:
        scored, speakers = 0, set()
        for index, statistics in rows.parts(keys):
            known = rows.metric.defined(name, statistics)
            scored += int(np.sum(known))
            speakers.update(index[known].tolist())
        found[name] = scored, len(speakers)
    return found


def _estimates(rows: Rows, keys: Sequence[Key], names: Sequence[str]) -> dict[str, Estimate]:
    """Numbers of a group with intervals over its speakers."""
    runs = rows.parts(keys)
    if not runs:
        return {}
    present = np.unique(np.concatenate([index for index, _ in runs]))
    known = shapes(rows.metric, runs, rows.speakers)
    cut = {name: replace(known[name], shares=_among(known[name].shares, present)) for name in names}
    return with_intervals(len(present), _named(_spread(rows, runs, present), names), cut)


def _spread(rows: Rows, runs: Runs, present: np.ndarray) -> Values:
    """Values of weights of some speakers, where the others have no rows but are in the gallery."""
    of_all = speaker_values(rows.metric, runs, rows.speakers)

    def values(weights: np.ndarray) -> Mapping[str, np.ndarray]:
        every = np.zeros((len(weights), rows.speakers))
        every[:, present] = weights
        return of_all(every)

    return values


def _named(values: Values, names: Sequence[str]) -> Values:
    def only(weights: np.ndarray) -> Mapping[str, np.ndarray]:
        found = values(weights)
        return {name: found[name] for name in names}

    return only


def _among(shares: np.ndarray | None, present: np.ndarray) -> np.ndarray:
    assert shares is not None
    return shares[present]


@dataclass(frozen=True)
class Lead:
    """How much further one run is ahead of another in one group than in a second."""

    number: Difference
    """In the first group."""
    difference: float
    low: float | None
    high: float | None


def leads(one: Comparison, two: Comparison) -> list[Lead]:
    """Of each number the lead in one group less that in another, of other speakers; with its interval, put together
    from those of both where there are such."""
    others = {item.name: item for item in two.differences}
    found = []
    for item in one.differences:
        if other := others.get(item.name):
            both = _of_sides(_of_lead(item), _of_lead(other))
            found.append(Lead(item, both.value, _number(both.low), _number(both.high)))
    return found


def _of_lead(item: Difference) -> Estimate:
    low, high = (math.nan if end is None else end for end in (item.low, item.high))
    return Estimate(item.difference, low, high, item.no_interval)


# -- differences ------------------------------------------------------------------------------------------------------


def _differences(
    rows: Rows,
    keys: Mapping[str, Sequence[Key]],
    labels: Sequence[str],
    estimates: Mapping[str, Mapping[str, Estimate]],
    counted: Mapping[str, Mapping[str, tuple[int, int]]],
    items: Sequence[Aggregate],
    draws: int,
    tested: bool,
) -> tuple[dict[tuple[str, str], Apart], set[str]]:
    """Group and number to how far the group lies from the others; and numbers that depend on the size of groups."""
    names = [item.name for item in items]
    # Of two groups the second would tell the same again; of more each is told, whichever are empty for this metric.
    sides = [label for label in (labels[:1] if len(labels) == 2 else labels) if keys[label]]
    found: dict[tuple[str, str], Apart] = {}
    for label in sides:
        rest = [key for other in labels if other != label for key in keys[other]]
        if not rest:
            continue
        if len(labels) == 2:
            others, many = estimates[labels[1]], counted[labels[1]]
        else:
            others, many = _estimates(rows, rest, names), _counted(rows, rest, names)
        shared = {rows.rows[key].speaker for key in keys[label]} & {rows.rows[key].speaker for key in rest}
        paired = _paired(rows, keys[label], rest, names) if shared else {}
        for name in names:
            own, other = estimates[label][name], others[name]
            if not (math.isfinite(own.value) and math.isfinite(other.value)):
                continue
            few = min(counted[label][name][1], many[name][1]) < FEWEST
            both = Estimate(own.value - other.value, math.nan, math.nan, FEW)
            both = both if few else paired[name] if shared else _of_sides(own, other)
            found[label, name] = Apart(both.value, _number(both.low), _number(both.high), both.why, None, None)
    if not found:
        return {}, set()
    group = {key: label for label in labels for key in keys[label]}
    several = len({(rows.rows[key].speaker, label) for key, label in group.items()}) > len(
        {rows.rows[key].speaker for key in group}
    )
    trial = dealings(rows, group, sorted(found), TRIALS, within_speakers=not several)
    grows = {name for (_, name), values in trial.items() if _off_centre(values[1:])}
    found = {pair: apart for pair, apart in found.items() if pair[1] not in grows}
    better = {item.name for item in items if item.higher_is_better is not None}
    enough = {pair for pair in found if pair[1] in better and found[pair].no_interval != FEW}
    if tested and enough and not rows.metric.why_unpaired:
        for pair, values in dealings(rows, group, sorted(enough), draws, in_errors=True).items():
            found[pair] = replace(found[pair], p=as_large(values), p_holm=None)
    return found, grows


def _off_centre(differences: np.ndarray) -> bool:
    """Whether random groups differ by more than chance: their mean is farther from 0 than half a standard deviation."""
    known = differences[np.isfinite(differences)]
    return len(known) > 1 and abs(known.mean()) > max(known.std() / 2, 1e-9)


def _of_sides(one: Estimate, two: Estimate) -> Estimate:
    """The difference of two numbers of different speakers, from their intervals.

    >>> found = _of_sides(Estimate(0.7, 0.6, 0.8), Estimate(0.5, 0.4, 0.6))
    >>> round(found.value, 3), round(found.low, 3), round(found.high, 3)
    (0.2, 0.059, 0.341)
    """
    value = one.value - two.value
    if why := one.why or two.why:
        return Estimate(value, math.nan, math.nan, f"one side has none: {why}")
    low = value - math.hypot(one.value - one.low, two.high - two.value)
    high = value + math.hypot(one.high - one.value, two.value - two.low)
    return Estimate(value, low, high)


def _paired(rows: Rows, own: Sequence[Key], rest: Sequence[Key], names: Sequence[str]) -> dict[str, Estimate]:
    """Differences of numbers of which some speakers are on both sides: each is left out of both at once."""
    sides = [rows.parts(keys) for keys in (own, rest)]
    present = np.unique(np.concatenate([index for runs in sides for index, _ in runs]))
    one, two = (_named(_spread(rows, runs, present), names) for runs in sides)
    known = [shapes(rows.metric, runs, rows.speakers) for runs in sides]

    def difference(weights: np.ndarray) -> dict[str, np.ndarray]:
        first, second = one(weights), two(weights)
        return {name: first[name] - second[name] for name in names}

    of_both = {}
    for name in names:
        first, second = (_among(each[name].shares, present) for each in known)
        low, high = known[0][name].bounds
        # What a speaker adds to the variance, were all alike: few speakers on one side leave few degrees of freedom.
        shares = (first / first.sum()) ** 2 + (second / second.sum()) ** 2 if first.sum() and second.sum() else first
        without = known[0][name].without or known[1][name].without
        of_both[name] = Shape("smooth", (low - high, high - low), shares, without)
    return with_intervals(len(present), difference, of_both)


def dealings(
    rows: Rows,
    group: Mapping[Key, str],
    pairs: Sequence[tuple[str, str]],
    draws: int,
    *,
    within_speakers: bool = True,
    in_errors: bool = False,
    seed: int = 0,
) -> dict[tuple[str, str], np.ndarray]:
    """Differences between each group and all others, `[1 + draws]`: of the groups as they are, then dealt at random.

    Args:
        group: of each row that is in one.
        pairs: groups and numbers.
        draws: how many dealings.
        within_speakers: keep what outputs of a speaker have in common, as a test has to; otherwise any sample may be
            in any group, so that no group has better speakers than another.
        in_errors: each difference in standard errors of its own dealing.
    """
    labels = {label: number for number, label in enumerate(dict.fromkeys(group.values()))}
    samples = sorted({sample for sample, _ in group})
    of_sample = {sample: number for number, sample in enumerate(samples)}
    label = np.zeros(len(samples), int)
    speaker = np.zeros(len(samples), dtype=object)
    for key, name in group.items():
        label[of_sample[key[0]]], speaker[of_sample[key[0]]] = labels[name], rows.rows[key].speaker
    deal = _dealer(label, speaker_index(list(speaker))[0] if within_speakers else np.arange(len(label)))
    runs = []
    for (index, statistics), places in zip(rows.parts(group), _sample_places(group, of_sample), strict=True):
        runs.append((index, rows.metric.placed(statistics), places))
    influence = []
    if in_errors:
        names = {name for _, name in pairs}
        together = len({(who, own) for who, own in zip(speaker, label, strict=True)}) == len(set(speaker))
        influence = [_influences(rows.metric, index, statistics, names, together) for index, statistics, _ in runs]
    wanted = sorted({labels[name] for name, _ in pairs})
    found: dict[tuple[str, str], list[np.ndarray]] = {pair: [] for pair in pairs}
    errors: dict[tuple[str, str], list[np.ndarray]] = {pair: [] for pair in pairs}
    random = np.random.default_rng(seed)
    step = max(1, _CHUNK_WEIGHTS // (2 * len(wanted) * max(len(index) for index, _, _ in runs)))
    for start in range(0, draws + 1, step):
        size = min(step, draws + 1 - start)
        dealt_labels = deal(random, size)
        if start == 0:
            dealt_labels[0] = label
        members = np.concatenate([dealt_labels == number for number in wanted]).astype(np.float64)
        sides = np.concatenate([members, 1 - members])
        each = [
            weighed(rows.metric, statistics, partial(_group_weights, index, sides[:, places]))
            for index, statistics, places in runs
        ]
        values = mean_over_runs(each)
        for name, number in pairs:
            at = wanted.index(labels[name]) * size
            both = values[number]
            own, rest = slice(at, at + size), slice(len(members) + at, len(members) + at + size)
            found[name, number].append(both[own] - both[rest])
            if in_errors:
                errors[name, number].append(_errors(rows, number, runs, influence, (sides[own], sides[rest])))
    whole = {pair: np.concatenate(parts) for pair, parts in found.items()}
    return (
        {pair: _in_errors(each, np.concatenate(errors[pair])) for pair, each in whole.items()} if in_errors else whole
    )


def _influences(
    metric: Any, index: np.ndarray, statistics: Mapping[str, np.ndarray], names: Iterable[str], together: bool
) -> dict[str, np.ndarray]:
    """How far each of an evaluation run's rows moves a number, a word (or whatever rows count there) of it, `[N]`.

    That is the number less the one without the row, over what the row counts; 0 where one of the two has no value.

    Args:
        together: a speaker's rows are always on one side, so that they are left out at once and share what they do.
    """
    count = len(index)
    units = index if together else np.arange(count)
    left_out = np.unique(units)
    whole = {
        report.name: _counted_in(metric, report, index, statistics, np.ones((1, count)))[0] for report in metric.reports
    }
    found = {name: np.zeros(count) for name in names}
    for part in np.array_split(left_out, max(1, len(left_out) * count // _CHUNK_WEIGHTS)):

        def weights(weigh: Weigh, part: np.ndarray = part) -> np.ndarray:
            # Above them the number of all rows.
            each = np.tile(_group_weights(index, np.ones((1, count)), weigh), (1 + len(part), 1))
            each[1:][units == part[:, None]] = 0
            return each

        values = weighed(metric, statistics, weights)
        for name, known in found.items():
            counts = np.bincount(units, whole[name])[part]
            change = np.nan_to_num(values[name][0] - values[name][1:])
            each = np.divide(change, counts, out=np.zeros(len(part)), where=counts > 0)
            own = np.isin(units, part)
            known[own] = each[np.searchsorted(part, units[own])]
    return found


def _counted_in(
    metric: Any, report: Any, index: np.ndarray, statistics: Mapping[str, np.ndarray], members: np.ndarray
) -> np.ndarray:
    """What rows `[B, N]` that are on a side or not count in a number there: words in a word error rate."""
    return _group_weights(index, members, report.weigh) * metric.counts(report.name, statistics)


def _errors(
    rows: Rows,
    number: str,
    runs: Sequence[tuple[np.ndarray, Mapping[str, np.ndarray], np.ndarray]],
    influence: Sequence[Mapping[str, np.ndarray]],
    sides: tuple[np.ndarray, np.ndarray],
) -> np.ndarray:
    """Standard errors `[B]` of the difference between two sides, `[B, samples]` of 1 and 0, up to a factor that all
    dealings share: of a mean of influences, in which each speaker's outputs are one, on whichever side they stand."""
    report = next(report for report in rows.metric.reports if report.name == number)
    found = np.zeros((len(sides[0]), rows.speakers))
    for (index, statistics, places), known in zip(runs, influence, strict=True):
        order = np.argsort(index, kind="stable")
        starts = np.flatnonzero(np.diff(index[order], prepend=-1))
        own = known[number][order]
        for sign, side in zip((1, -1), sides, strict=True):
            weights = _counted_in(rows.metric, report, index, statistics, side[:, places])[:, order]
            weights /= np.maximum(weights.sum(axis=1, keepdims=True), 1e-12)
            parts = np.add.reduceat(weights * (own - (weights @ own)[:, None]), starts, axis=1)
            shares = np.add.reduceat(weights, starts, axis=1)
            # n / (n - 1) of n speakers who weigh alike.
            parts /= np.sqrt(np.maximum(1 - (shares**2).sum(axis=1, keepdims=True), 1e-12))
            found[:, index[order][starts]] += sign * parts
    return np.sqrt((found**2).sum(axis=1)) / len(runs)


def _in_errors(differences: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Differences in their standard errors; those of sides in which all is alike, which have none, are beyond all."""
    least = 1e-9 * max(float(errors.max(initial=0.0)), np.finfo(float).tiny)
    scaled = differences / np.maximum(errors, least)
    return np.where(np.abs(differences) <= 1e-12, 0.0, scaled)


def _sample_places(group: Mapping[Key, str], of_sample: Mapping[str, int]) -> list[np.ndarray]:
    """Of each evaluation run the numbers of its rows' samples, in the order of `Rows.parts`."""
    found: dict[int, list[int]] = {}
    for sample, repeat in sorted(group):
        found.setdefault(repeat, []).append(of_sample[sample])
    return [np.array(places) for _, places in sorted(found.items())]


def _dealer(label: np.ndarray, speaker: np.ndarray) -> Callable[[np.random.Generator, int], np.ndarray]:
    """A function of a generator and a size to labels `[B, samples]`, dealt anew.

    Speakers exchange all of their labels among themselves, and then each speaker's are dealt among the speaker's
    samples. A speaker of a single group exchanges with any other such one, others with those of as many samples.
    """
    people = [np.flatnonzero(speaker == number) for number in range(speaker.max() + 1)]
    single = [own for own in people if len(set(label[own].tolist())) == 1]
    of_size: dict[int, list[np.ndarray]] = {}
    for own in people:
        if len(set(label[own].tolist())) > 1:
            of_size.setdefault(len(own), []).append(own)

    def deal(random: np.random.Generator, size: int) -> np.ndarray:
        found = np.tile(label, (size, 1))
        if single:
            theirs = random.permuted(np.tile([label[own[0]] for own in single], (size, 1)), axis=1)
            found[:, np.concatenate(single)] = np.repeat(theirs, [len(own) for own in single], axis=1)
        for several in of_size.values():
            places = np.stack(several)
            whose = random.permuted(np.tile(np.arange(len(places)), (size, 1)), axis=1)
            found[:, places.ravel()] = random.permuted(label[places][whose], axis=2).reshape(size, -1)
        return found

    return deal


def _group_weights(index: np.ndarray, members: np.ndarray, weigh: Weigh) -> np.ndarray:
    """Weights `[B, N]` of rows that are in a group or not (`[B, N]` of 1 and 0); with `speaker` those of a speaker in
    the group share a weight of 1."""
    if weigh == "sample":
        return members
    order = np.argsort(index, kind="stable")
    starts = np.flatnonzero(np.diff(index[order], prepend=-1))
    counts = np.add.reduceat(members[:, order], starts, axis=1)
    number = np.empty(len(index), int)
    number[order] = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(index))))
    return members / np.maximum(counts[:, number], 1)


def as_large(differences: np.ndarray) -> float:
    """Two-sided p: the share of dealings whose difference lies as far from the median of all as the first one's.

    The groups as they are count as one of the dealings, so that p is never 0; a dealing that leaves a number without a
    value counts as one in which it is as large.
    """
    if not math.isfinite(differences[0]):
        return 1.0
    apart = np.abs(differences - np.median(differences[np.isfinite(differences)]))
    smaller = apart < apart[0] - 1e-9 * max(1.0, abs(differences[0]))
    return float(np.mean(~smaller))


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
