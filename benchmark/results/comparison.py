"""Whether one run is ahead of another: paired differences over the outputs that both have, speaker by speaker.

Rows are joined by sample and evaluation run; what only one side has is left out of both. Each number of both sides is
what its metric makes of the joined rows, so rates over words, recalls, correlations and entropies are compared as they
are defined and not as means of what single outputs score.

Interval: that of `benchmark.results.statistics`, of the difference, with the same speakers left out of both runs; of a
mean it is the paired t interval over speakers. There is none where fewer than 5 speakers differ.

p: a sign-flip test (Fisher, The Design of Experiments, 1935, Sec. 21; Good, Permutation, Parametric and Bootstrap Tests
of Hypotheses, 2005, Ch. 3). Were the runs alike, each speaker's outputs could as well have been the other run's; so
speakers change sides at random, with all of their outputs and evaluation runs, and p is how often the difference then
is at least as large as it is, in either direction. All ways to change sides are tried where there are few speakers. p
is corrected for how many numbers (and pairs of runs) were looked at, after Holm (Scandinavian J. Statistics 6, 1979).
"""

from __future__ import annotations

import glob
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmark.errors import BenchmarkError, UsageError, did_you_mean
from benchmark.results import finding
from benchmark.results.finding import find_results
from benchmark.results.schema import PairResult, Result, stated_signature
from benchmark.results.statistics import FEWEST, Shape, Weigh, row_weights, speaker_index, with_intervals
from benchmark.runs.directory import Key, RunDirectory, ScoreRow, Scores, read_scores
from benchmark.runs.evaluation import find_run, read_result
from benchmark.runs.scoring import Runs, mean_over_runs, shapes, speaker_values, stacked, weighed

DRAWS = 10_000
"""Ways to change sides that are tried at most."""
BESIDE = (".scores.jsonl.gz", ".scores.jsonl")
"""Endings of the file of rows beside a result file: `ID.json` and `ID.scores.jsonl.gz`."""
SAME = ("task", "task_version", "dataset", "dataset_revision", "split", "manifest_sha256")
"""What two runs must have been asked alike."""
TOLD = ("seconds", "repeats", "seed", "dtype")
"""What of a run's question may differ and is then said: the outputs are still of the same samples."""
_CHUNK_WEIGHTS = 4_000_000
"""Draws times rows that are held at once."""


@dataclass(frozen=True)
class Scored:
    """A result with the rows that it was computed from."""

    path: Path
    result: Result | PairResult
    stored: Scores
    speakers: Mapping[str, str]
    """Sample to speaker."""
    name: str
    """What the run is called in the comparison."""
    published: bool = False
    """With the project, not run by the user."""
    part: frozenset[str] | None = None
    """Samples that these rows are of, where they are not all of the result's."""
    checked: bool = False
    """Whether each row is known to hold what it should."""

    @property
    def samples(self) -> int:
        """How many were asked for."""
        if self.part is not None:
            return len(self.part)
        return self.result.samples if isinstance(self.result, Result) else self.result.pairs

    def of(self, samples: Iterable[str]) -> Scored:
        """The same run with the rows of some samples alone."""
        part = frozenset(samples)
        stored = {name: {key: row for key, row in rows.items() if key[0] in part} for name, rows in self.stored.items()}
        return replace(self, stored={name: rows for name, rows in stored.items() if rows}, part=part)

    def rows(self, metric: str, signature: str) -> dict[Key, ScoreRow]:
        """The metric's rows, each with who speaks as far as the outputs' list knows."""
        return {
            key: spoken_by(row, self.speakers.get(row.sample, row.speaker))
            for key, row in self.stored.get((metric, signature), {}).items()
        }


def spoken_by(row: ScoreRow, speaker: str) -> ScoreRow:
    """The row with that speaker."""
    return row if row.speaker == speaker else replace(row, speaker=speaker)


class Count(NamedTuple):
    """How many each side has, and how many are in both."""

    first: int
    second: int
    both: int


@dataclass(frozen=True)
class Difference:
    """One number of two runs."""

    name: str
    title: str
    metric: str
    unit: str
    higher_is_better: bool | None
    signature: str
    """Pins what was stored of each output, in both runs."""
    first: float
    """Over the joined rows."""
    second: float
    difference: float
    """First less second."""
    low: float | None
    """Lower end of the difference's 95 % interval; None where there is none."""
    high: float | None
    no_interval: str
    """Why there is none."""
    p: float
    """Of this number alone."""
    p_holm: float
    """Corrected for all that were looked at together."""
    samples: Count
    rows: Count
    """Samples times evaluation runs."""
    speakers: int
    """In both."""

    @property
    def first_is_ahead(self) -> bool | None:
        """Which run is better by the values alone; None where they are equal, or no direction is better."""
        if self.higher_is_better is None or not self.difference:
            return None
        return (self.difference > 0) == self.higher_is_better


@dataclass(frozen=True)
class Comparison:
    """All numbers of two runs."""

    first: Scored
    second: Scored
    differences: tuple[Difference, ...]
    left_out: Mapping[str, str]
    """Numbers or metrics that are not compared, and why."""
    remarks: tuple[str, ...]


# -- what is compared -------------------------------------------------------------------------------------------------


def find_scored(text: str, runs: Path) -> Scored:
    """A run, or files that were scored, with its rows.

    Args:
        text: a folder, a result file with its rows beside it, the label of a run, or the beginning of its id.
        runs: folder of run directories, where labels and ids are looked for; then among the published results.

    Raises:
        UsageError: none, or several; no result; no rows.
    """
    path = Path(text)
    if path.is_file():
        result = _result(path)
        beside = [path.with_name(path.name.removesuffix(".json") + ending) for ending in BESIDE]
        if (path.parent / "run.json").is_file():
            beside = sorted(path.parent.glob("scores*.jsonl"))
        rows = [file for file in beside if file.is_file()]
        if not rows:
            raise UsageError(
                f"{path} has no rows of single outputs beside it: expected "
                f"{' or '.join(file.name for file in beside) or 'scores.jsonl'}; or give the folder of the run"
            )
        return Scored(path, result, read_scores(*rows), {}, result.label)
    if not (path / "run.json").is_file():
        own = _labelled(text, runs)
        a_name = "/" not in text and not path.exists()
        if own is None and a_name and not any(runs.glob(f"{glob.escape(text)}*/run.json")):
            published = _published(text)
            if published is not None:
                return replace(find_scored(str(published), runs), published=True)
        path = own or find_run(text, runs)
    return scored_run(path, _result(path / "result.json"))


def scored_run(path: Path, result: Result | PairResult) -> Scored:
    """A run directory whose result is known, with its rows.

    Raises:
        UsageError: it has no rows.
    """
    run = RunDirectory(path)
    if not (stored := run.scores()):
        raise UsageError(f"{path} has no scores.jsonl, which holds what was measured of single outputs: score it again")
    speakers = {row.sample: row.speaker for row in run.predictions().values()}
    return Scored(path, result, stored, speakers, result.label)


def _result(file: Path) -> Result | PairResult:
    try:
        about = json.loads(file.read_text(encoding="utf-8"))
        pairs = "estimate" in about["spec"]
    except (OSError, ValueError, KeyError, TypeError):  # read_result says what is wrong
        pairs = False
    return read_result(file, PairResult) if pairs else read_result(file, Result)


def _labelled(label: str, runs: Path) -> Path | None:
    """The run of that label; None where there is none.

    Raises:
        UsageError: several.
    """
    found = []
    for file in sorted(runs.glob("*/result.json")):
        try:
            about = json.loads(file.read_text(encoding="utf-8"))
            if about["label"] == label:
                found.append((file, about["spec"]))
        except (OSError, ValueError, KeyError, TypeError):  # broken, and so of no label
            continue
    if len(found) > 1:
        shown = "; ".join(f"{file.parent.name} ({_settings(spec)}, {_measured(file)})" for file, spec in found[:5])
        raise UsageError(f"{len(found)} runs are labelled '{label}'; name one by its id: {shown}")
    return found[0][0].parent if found else None


def _measured(file: Path) -> str:
    """When a result was written last, by this machine's clock: `measured 2026-03-01 14:05`."""
    return f"measured {datetime.fromtimestamp(file.stat().st_mtime):%Y-%m-%d %H:%M}"


def _published(text: str) -> Path | None:
    """The published result of that label, or whose id begins so; None where there is none.

    Raises:
        UsageError: several.
    """
    kept = find_results([finding.PUBLISHED]).kept if finding.PUBLISHED.is_dir() else []
    found = [each for each in kept if each.result.label == text]
    found = found or [each for each in kept if each.result.run_id.startswith(text)]
    if len(found) > 1:
        specs = [each.result.spec for each in found]
        shown = "; ".join(
            f"{each.result.run_id} ({spec.task}, {_settings(spec.model_dump())})"
            for each, spec in zip(found, specs, strict=True)
        )
        raise UsageError(f"'{text}' fits {len(found)} published results; name one by its id: {shown}")
    return found[0].path if found else None


def _settings(spec: Any) -> str:
    """What tells runs of one label apart: also the files, which may be others than before."""
    if not isinstance(spec, dict):
        return ""
    names = ("dataset", "split", "seconds", "seed", "estimate")
    told = [f"{name} {spec[name]}" for name in names if spec.get(name) is not None]
    files = "outputs" if spec.get("method") == "outputs" else "weights"
    told += [f"{files} {sha256[:8]}"] if (sha256 := spec.get("weights_sha256")) else []
    told += [f"{name} {sha256[:8]}" for name, sha256 in (spec.get("files") or {}).items()]
    return ", ".join(told)


def named_apart(runs: Sequence[Scored]) -> list[Scored]:
    """The same runs; those that share a label have their id behind it."""
    labels = [run.name for run in runs]
    return [
        replace(run, name=f"{run.name} [{run.result.run_id}]") if labels.count(run.name) > 1 else run for run in runs
    ]


def compare(runs: Sequence[Scored], asked: Sequence[str] = (), draws: int = DRAWS) -> list[Comparison]:
    """The first run against each of the others, with p corrected over all numbers of all of these pairs.

    Args:
        runs: two or more.
        asked: names of numbers, or of metrics for all of theirs; by default the numbers of the task's table in which
            one direction is better.
        draws: ways to change sides that are tried at most.

    Raises:
        UsageError: runs of which no number can be compared, or that were asked for different things; a number that was
            asked for and cannot be compared.
    """
    first, *others = named_apart(runs)
    return _corrected([_compare(first, other, asked, draws) for other in others])


def compare_parts(
    runs: Sequence[Scored], parts: Mapping[str, Iterable[str]], asked: Sequence[str] = (), draws: int = DRAWS
) -> dict[str, list[Comparison]]:
    """The same within each of several parts of the samples, with p corrected over all of them together.

    Args:
        parts: names to samples; one of which nothing can be compared is left out.

    Raises:
        UsageError: as `compare`, where that is so in every part.
    """
    first, *others = named_apart(runs)
    found: dict[str, list[Comparison]] = {}
    refused: list[UsageError] = []
    for name, samples in parts.items():
        own = frozenset(samples)
        try:
            found[name] = [_compare(first.of(own), other.of(own), asked, draws) for other in others]
        except UsageError as error:
            refused.append(error)
    if not found:
        raise refused[0]
    corrected = iter(_corrected([each for several in found.values() for each in several]))
    return {name: [next(corrected) for _ in several] for name, several in found.items()}


def _corrected(found: Sequence[Comparison]) -> list[Comparison]:
    """The same with p corrected over all of their numbers."""
    corrected = iter(holm([item.p for each in found for item in each.differences]))
    return [
        replace(each, differences=tuple(replace(item, p_holm=next(corrected)) for item in each.differences))
        for each in found
    ]


def _compare(first: Scored, second: Scored, asked: Sequence[str], draws: int) -> Comparison:
    remarks = _alike(first, second)
    differences: list[Difference] = []
    left_out: dict[str, str] = {}
    measured: set[str] = set()
    columns = columns_of(first.result)
    for metric in dict.fromkeys(name for name, _ in (*first.stored, *second.stored)):
        try:
            signature = _definition(metric, first, second)
            joined = _joined(metric, signature, first, second)
        except NotCompared as error:
            left_out[metric] = str(error)
            continue
        if why := joined.metric.why_unpaired:
            left_out[metric] = why
            continue
        reports = {report.name for report in joined.metric.reports}
        measured |= {metric, *reports}
        wanted = _wanted(joined.metric, asked, columns)
        both = [sig for name, sig in first.stored if name == metric and (name, sig) in second.stored]
        if wanted and (others := [other for other in both if other != signature]):
            remarks.append(
                f"Both have {metric} by {len(both)} definitions; compared by {_parted(signature, others[-1])[0]}"
            )
        for names, part in joined.of_equal_coverage(wanted):
            try:
                differences += part.differences(names, draws)
            except NotCompared as error:
                left_out |= dict.fromkeys(names, str(error))
        known = {item.name for item in differences}
        left_out |= {name: joined.metric.why_undefined(name) for name in sorted(wanted - known) if name not in left_out}
    if asked:
        about = {*asked, *map(_metric_of, asked)}
        left_out = {name: why for name, why in left_out.items() if name in about}
    order = {name: place for place, name in enumerate(columns)}
    differences.sort(key=lambda item: order.get(item.name, len(order)))
    _refuse_empty(first, second, asked, differences, left_out, measured)
    return Comparison(first, second, tuple(differences), left_out, tuple(remarks))


def _wanted(metric: Any, asked: Sequence[str], columns: Mapping[str, None]) -> set[str]:
    """Names of a metric's numbers that are compared: those asked for, or those of the task's table, or all of a metric
    that has none there; of these what has a better direction."""
    names = {report.name for report in metric.reports}
    if asked:  # a number may be called as its metric is, and is meant then
        return names if metric.name in set(asked) - names else names.intersection(asked)
    undirected = {report.name for report in metric.reports if report.higher_is_better is None}
    return (names.intersection(columns) or names) - undirected


def columns_of(result: Result | PairResult) -> dict[str, None]:
    """Names of the numbers of the task's table, in order; none for speech files that were scored."""
    from benchmark.tasks import SPEECH2FACE, TASKS

    faces = SPEECH2FACE if isinstance(result, PairResult) and result.judged == "faces" else None
    task = TASKS.get(result.spec.task) if isinstance(result, Result) else faces
    return dict.fromkeys(task.columns if task else ())


def _refuse_empty(
    first: Scored,
    second: Scored,
    asked: Sequence[str],
    differences: Sequence[Difference],
    left_out: Mapping[str, str],
    measured: set[str],
) -> None:
    known = {name: item for item in differences for name in (item.name, item.metric)}
    for name in asked:
        if name not in known:
            why = next((left_out[key] for key in (name, _metric_of(name)) if key in left_out), None)
            told = why or f"it is not measured.{did_you_mean(name, measured)} Measured: {', '.join(sorted(measured))}"
            raise UsageError(f"'{name}' of {first.name} and {second.name} cannot be compared: {told}")
    if not differences:
        reasons = "".join(f"\n  {name}: {why}" for name, why in left_out.items())
        raise UsageError(f"{first.name} and {second.name} have no number that can be compared:{reasons}")


def _metric_of(number: str) -> str:
    from benchmark.registry import NUMBERS

    return NUMBERS.get(number, number)


class NotCompared(Exception):
    """Why a metric or a number is left out."""


def _alike(first: Scored, second: Scored) -> list[str]:
    """Refuse runs of different questions; what else differs, in sentences.

    Raises:
        UsageError: says what differs.
    """
    one, two = first.result, second.result
    if isinstance(one, PairResult) != isinstance(two, PairResult):
        kinds = ["files scored against files" if isinstance(r, PairResult) else "a method's run" for r in (one, two)]
        raise UsageError(f"{first.name} is {kinds[0]}, {second.name} {kinds[1]}: they share no samples")
    if different := _different(one, two, ("reference",) if isinstance(one, PairResult) else SAME):
        raise UsageError(
            f"{first.name} and {second.name} were asked different things and cannot be compared: {different}"
        )
    told = _different(one, two, ("limit", "align") if isinstance(one, PairResult) else TOLD)
    remarks = [f"The outputs were asked for in different ways: {told}"] if told else []
    if _file(first) == _file(second):
        remarks.insert(0, f"Both are the same run: {one.run_id}")
    return remarks + [
        f"{run.name} cannot be ranked: {run.result.why_unranked}" for run in (first, second) if run.result.why_unranked
    ]


def _file(run: Scored) -> Path:
    """Of its result, by whichever of its names it was asked for."""
    return (run.path / "result.json" if run.path.is_dir() else run.path).resolve()


def _different(one: Result | PairResult, two: Result | PairResult, names: Sequence[str]) -> str:
    """What two specs do not share: `split test against val`; or nothing."""
    return "; ".join(
        f"{name} {_short(getattr(one.spec, name))} against {_short(getattr(two.spec, name))}"
        for name in names
        if getattr(one.spec, name) != getattr(two.spec, name)
    )


def _short(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text[:12] if re.fullmatch("[0-9a-f]{64}", text) else text


def _definition(metric: str, first: Scored, second: Scored) -> str:
    """The signature under which both have rows: the one that the first's result states, else the newest.

    Raises:
        NotCompared: there is none; says where the definitions part.
    """
    own, other = ([sig for name, sig in run.stored if name == metric] for run in (first, second))
    for signatures, run in ((own, first), (other, second)):
        if not signatures:
            raise NotCompared(f"{run.name} has no rows of it; measure it with `score RUN --metrics NAMES`")
    stated = stated_signature(first.result, metric)
    common = [signature for signature in own if signature in other]
    if not common:
        parts = _parted(stated if stated in own else own[-1], other[-1])
        raise NotCompared(f"it was measured by different definitions: {parts[0]} against {parts[1]}")
    return stated if stated in common else common[-1]


def _parted(one: str, two: str) -> tuple[str, str]:
    """Of two signatures, the parts that the other one lacks.

    >>> _parted("embed:dlib|detect:hog|v1", "embed:facenet|detect:hog|v1")
    ('embed:dlib', 'embed:facenet')
    """
    sides = [dict.fromkeys(re.split(r"[| ]", signature)) for signature in (one, two)]
    first, second = ("|".join(part for part in sides[n] if part not in sides[1 - n]) or "nothing more" for n in (0, 1))
    return first, second


# -- rows of both -----------------------------------------------------------------------------------------------------


def _joined(name: str, signature: str, first: Scored, second: Scored) -> _Joined:
    """Rows of a metric by sample and evaluation run, of both.

    Raises:
        NotCompared: the metric is not installed, its rows cannot be read, or no output is in both.
        UsageError: the rows are not those that a result was computed from.
    """
    sides = [measured_rows(run, name, signature) for run in (first, second)]
    keys = sorted(sides[0].keys() & sides[1].keys())
    if not keys:
        raise NotCompared("no output is measured in both")
    for key in keys:
        if (one := sides[0][key].speaker) != (two := sides[1][key].speaker):
            raise UsageError(
                f"{first.name} and {second.name} cannot be compared: sample '{key[0]}' is of speaker '{one}' in one, "
                f"of '{two}' in the other"
            )
    metric = metric_of_rows((first, second), name, signature, sides)
    return _Joined(metric, name, signature, sides[0], sides[1], keys)


def measured_rows(run: Scored, name: str, signature: str) -> dict[Key, ScoreRow]:
    """A run's rows of a metric that hold what they should.

    Raises:
        NotCompared: the metric is not installed, or is here in another version.
    """
    from metrics.metric import checked_row

    kind = _kind(name)
    versions = re.findall(r"\|v(\d+)(?=[| ]|$)", signature)
    if versions and str(kind.version) not in versions:
        raise NotCompared(
            f"its rows are of version {versions[0]}, and version {kind.version} is here: score the runs again"
        )
    return {
        key: row
        for key, row in run.rows(name, signature).items()
        if row.status == "ok" and (run.checked or isinstance(checked_row(row.statistics, kind.lacking), Mapping))
    }


def metric_of_rows(runs: Sequence[Scored], name: str, signature: str, rows: Sequence[Mapping[Key, ScoreRow]]) -> Any:
    """The metric of stored rows, which give what each run's result states.

    Args:
        rows: of each run, some at least.

    Raises:
        NotCompared: the rows cannot be read.
        UsageError: they are not those that a result was computed from.
    """
    try:
        metric = _kind(name).for_rows(signature, next(iter(rows[0].values())).statistics)
        for run, each in zip(runs, rows, strict=True):
            _check(metric, run, name, signature, [each[key] for key in sorted(each)])
    except (ValueError, KeyError, AttributeError, TypeError, IndexError) as error:
        raise NotCompared(f"its rows cannot be read: {type(error).__name__}: {error}") from error
    return metric


def _kind(name: str) -> Any:
    """The class of a metric."""
    from benchmark.registry import metrics

    try:
        return metrics.load(name)
    except BenchmarkError as error:
        raise NotCompared(str(error)) from error


def _check(metric: Any, run: Scored, name: str, signature: str, rows: Sequence[ScoreRow]) -> None:
    """Hold a run's rows to its result, where that states the same definition.

    Raises:
        UsageError: the result was computed from other rows.
    """
    index, speakers = speaker_index([row.speaker for row in rows])
    parts = [(index[places], stacked([rows[place] for place in places])) for places in by_repeat(rows)]
    found = speaker_values(metric, parts)(np.ones((1, speakers)))
    if run.part is not None or stated_signature(run.result, name) != signature:
        return
    for item in run.result.aggregates:
        if item.metric == name and item.name in found:
            value, stated = float(found[item.name][0]), math.nan if item.value is None else item.value
            if not np.isclose(value, stated, rtol=1e-6, atol=1e-9, equal_nan=True):
                raise UsageError(
                    f"{run.path}: the result has {item.name} {stated:g}, and its rows give {value:g}: they are not the "
                    "rows that it was computed from; score it again"
                )


def by_repeat(rows: Sequence[ScoreRow]) -> list[list[int]]:
    """Numbers of the rows of each evaluation run."""
    found: dict[int, list[int]] = {}
    for number, row in enumerate(rows):
        found.setdefault(row.repeat, []).append(number)
    return [found[repeat] for repeat in sorted(found)]


@dataclass(frozen=True)
class _Joined:
    """Rows of one metric that both runs have."""

    metric: Any
    name: str
    signature: str
    first: Mapping[Key, ScoreRow]
    """All that are measured, also those that are not in both."""
    second: Mapping[Key, ScoreRow]
    keys: Sequence[Key]
    """In both, sorted."""

    def of_equal_coverage(self, names: set[str]) -> list[tuple[list[str], _Joined]]:
        """Numbers by the rows that count for them: a row that has a number in one run alone counts in neither.

        What a row lacks in both runs it may lack: the metric's own aggregate leaves it out.
        """
        groups: dict[tuple[Key, ...], list[str]] = {}
        one, two = (stacked([side[key] for key in self.keys]) for side in (self.first, self.second))
        for report in self.metric.reports:
            if report.name in names:
                both = self.metric.defined(report.name, one) == self.metric.defined(report.name, two)
                keys = tuple(key for key, same in zip(self.keys, both, strict=True) if same)
                groups.setdefault(keys, []).append(report.name)
        return [(names, replace(self, keys=keys)) for keys, names in groups.items() if keys]

    def differences(self, names: Sequence[str], draws: int) -> list[Difference]:
        """Of the numbers of those names that have a value in both runs.

        Raises:
            NotCompared: the rows of the two runs are not of one form.
        """
        own = [self.first[key] for key in self.keys]
        index, speakers = speaker_index([row.speaker for row in own])
        sides: tuple[list[Any], list[Any]] = [], []
        for places in by_repeat(own):
            for side, rows in zip(sides, (self.first, self.second), strict=True):
                side.append((index[places], stacked([rows[self.keys[place]] for place in places])))
        for (_, one), (_, two) in zip(*sides, strict=True):
            if {name: x.shape for name, x in one.items()} != {name: x.shape for name, x in two.items()}:
                raise NotCompared("the rows of one run hold other things than those of the other")
        of_first, of_second = (speaker_values(self.metric, side) for side in sides)

        def difference(weights: np.ndarray) -> dict[str, np.ndarray]:
            one, two = of_first(weights), of_second(weights)
            return {name: one[name] - two[name] for name in names}

        ones = np.ones((1, speakers))
        values = [{name: float(value[0]) for name, value in of_side(ones).items()} for of_side in (of_first, of_second)]
        # Rounding is no difference.
        slack = {name: 1e-12 * max(abs(side[name]) for side in values) for name in names}
        alone = difference(np.eye(speakers))
        estimates = with_intervals(
            speakers,
            difference,
            {
                name: _shape_of_difference(shape, int(np.sum(~(np.abs(alone[name]) <= slack[name]))))
                for name, shape in shapes(self.metric, sides[0], speakers).items()
                if name in names
            },
        )
        p = sign_flip(speakers, self._swapper(*sides, names), slack, draws, rows=4 * max(map(len, by_repeat(own))))
        return [
            Difference(
                name=report.name,
                title=report.title,
                metric=self.name,
                unit=report.unit,
                higher_is_better=report.higher_is_better,
                signature=self.signature,
                first=values[0][report.name],
                second=values[1][report.name],
                difference=estimates[report.name].value,
                low=_number(estimates[report.name].low),
                high=_number(estimates[report.name].high),
                no_interval=estimates[report.name].why,
                p=p[report.name],
                p_holm=p[report.name],
                **self._coverage(report.name),
            )
            for report in self.metric.reports
            if report.name in names and math.isfinite(estimates[report.name].value)
        ]

    def _swapper(
        self, first: Runs, second: Runs, names: Sequence[str]
    ) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
        """A function of which speakers change sides, `[B, S]` of 0 and 1, to each number's difference, `[B]`."""
        both = []
        for (index, one), (_, two) in zip(first, second, strict=True):
            one, two = self.metric.placed(one), self.metric.placed(two)
            both.append((index, {name: np.concatenate([one[name], two[name]]) for name in one}))

        def weights(index: np.ndarray, swaps: np.ndarray, weigh: Weigh) -> np.ndarray:
            stay, change = row_weights(index, 1 - swaps, weigh), row_weights(index, swaps, weigh)
            return np.concatenate([np.hstack([stay, change]), np.hstack([change, stay])])

        def swapped(swaps: np.ndarray) -> dict[str, np.ndarray]:
            runs = [weighed(self.metric, rows, partial(weights, index, swaps)) for index, rows in both]
            values = mean_over_runs(runs)
            return {name: values[name][: len(swaps)] - values[name][len(swaps) :] for name in names}

        return swapped

    def _coverage(self, report: str) -> dict[str, Any]:
        """Samples and rows that have the number, on each side and in both, and the speakers in both."""
        sides: list[set[Key]] = []
        for rows in (self.first, self.second):
            defined = self.metric.defined(report, stacked(list(rows.values())))
            sides.append({key for key, known in zip(rows, defined, strict=True) if known})
        sides.append(set(self.keys) & sides[0] & sides[1])
        return {
            "samples": Count(*(len({sample for sample, _ in keys}) for keys in sides)),
            "rows": Count(*map(len, sides)),
            "speakers": len({self.first[key].speaker for key in sides[2]}),
        }


def _shape_of_difference(shape: Shape, differing: int) -> Shape:
    """What is known of the difference of two such numbers.

    Args:
        differing: speakers who alone have another value in one run than in the other.
    """
    low, high = shape.bounds
    # A speaker alone has the same entropy and no correlation in any run; of a mean each has a difference of his own.
    few = (
        f"fewer than {FEWEST} speakers differ" if shape.kind in ("mean", "share", "area") and differing < FEWEST else ""
    )
    return Shape("smooth", (low - high, high - low), shape.shares, shape.without or few)


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


# -- p ----------------------------------------------------------------------------------------------------------------


def sign_flip(
    speakers: int,
    differences: Callable[[np.ndarray], Mapping[str, np.ndarray]],
    slack: Mapping[str, float],
    draws: int = DRAWS,
    *,
    rows: int = 1,
    seed: int = 0,
) -> dict[str, float]:
    """Two-sided p of differences under changes of sides by speaker.

    All `2**S` ways are tried where there are no more of them than `draws`, and p is exact; otherwise the way as it is
    counts as one of `draws + 1`, so that p is never 0 and the test keeps its level (Phipson & Smyth 2010).

    Args:
        speakers: their number S.
        differences: maps which speakers change sides, `[B, S]` of 0 and 1, to named differences `[B]`. A way in which
            one is NaN counts as one that is at least as large.
        slack: name to what a difference may be smaller by and still count as large as the one that was found: rounding.
        draws: random ways at most.
        rows: weights that `differences` holds per way, for chunks that fit into memory.
        seed: of the draws.
    """
    found = {name: float(value[0]) for name, value in differences(np.zeros((1, speakers))).items()}
    every = speakers < 63 and 2**speakers <= draws
    ways = 2**speakers if every else draws
    random = np.random.default_rng(seed)
    step = max(1, min(1000, _CHUNK_WEIGHTS // max(rows, speakers)))
    count = dict.fromkeys(found, 0)
    for start in range(0, ways, step):
        size = min(step, ways - start)
        if every:
            swaps = (np.arange(start, start + size)[:, None] >> np.arange(speakers)) & 1
        else:
            swaps = random.integers(0, 2, size=(size, speakers))
        for name, value in differences(swaps.astype(np.float64)).items():
            smaller = np.abs(value) < abs(found[name]) - slack[name]
            count[name] += int(np.sum(~smaller))
    return {name: (number if every else number + 1) / (ways if every else ways + 1) for name, number in count.items()}


def holm(p: Sequence[float]) -> list[float]:
    """p-values corrected for their number, after Holm (1979): the chance of any false finding stays at the level.

    With the p-values in order, `max over j <= i of min(1, (m - j + 1) p_j)`.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    corrected, least = [0.0] * len(p), 0.0
    for rank, place in enumerate(sorted(range(len(p)), key=lambda number: p[number])):
        least = max(least, min(1.0, (len(p) - rank) * p[place]))
        corrected[place] = least
    return corrected
