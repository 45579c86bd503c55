"""Predictions -> rows of statistics -> aggregates with intervals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from benchmark.remarks import remarks
from benchmark.results.schema import Aggregate
from benchmark.results.statistics import Shape, Values, Weigh, row_weights, speaker_index, with_intervals
from benchmark.runs.directory import Key, Prediction, RunDirectory, ScoreRow
from benchmark.sources import source_of_metric
from benchmark.types import Sample

NOT_MEASURED = "not measured"
"""Reason of a number that an output lacks because nobody has looked yet."""


@dataclass(frozen=True)
class Work:
    """One batch of predictions to measure; what a worker process is sent."""

    number: int
    predictions: tuple[Prediction, ...]
    root: Path
    """The run directory."""
    metrics: tuple[str, ...]
    """Those still to be measured for this batch."""


class Reader(Protocol):
    """Opens what a prediction's metrics look at."""

    def __call__(self, prediction: Prediction, root: Path) -> Any:
        """The item to be measured; raises what is wrong with it."""
        ...

    def for_metric(self, metric: Any, item: Any) -> Any:
        """The item as this metric takes it."""
        ...

    def signature(self, metric: Any) -> str:
        """What the reader adds to a metric's signatures, beginning with `|`, or nothing."""
        ...


class FaceReader:
    """Opens generated faces."""

    def __call__(self, prediction: Prediction, root: Path) -> Any:
        from benchmark.media import read_image
        from metrics.metric import FaceItem

        assert prediction.file is not None
        return FaceItem(prediction.speaker, read_image(root / prediction.file))

    def for_metric(self, metric: Any, item: Any) -> Any:
        return item

    def signature(self, metric: Any) -> str:
        return ""


class SpeechReader:
    """Opens generated speech, and the clean speech as it was in the mixture."""

    def __init__(self, task: Any, protocol: Any, seed: int, samples: Iterable[Sample]) -> None:
        self.task, self.protocol, self.seed = task, protocol, seed
        self.samples = {sample.id: sample for sample in samples}

    def __call__(self, prediction: Prediction, root: Path) -> Any:
        """Both signals; what is said only where the clip is the whole recording."""
        from benchmark.media import read_audio
        from metrics.speech.items import speech_item

        assert prediction.file is not None
        sample = self.samples[prediction.sample]
        estimate = read_audio(root / prediction.file, self.task.rate)
        clean = self.task.truth(sample, self.protocol, self.seed)
        text = sample.attributes.get("text") if self.protocol.seconds is None else None
        return speech_item(
            sample.id,
            estimate.samples,
            estimate.rate,
            clean and clean.samples,
            clean and clean.rate,
            text=text,
            seconds=prediction.seconds,
        )

    def for_metric(self, metric: Any, item: Any) -> Any:
        """With what is seen of the mouth, where the metric asks for it: no other waits for a search of the video."""
        if not getattr(metric, "looks_at_mouth", False):
            return item
        return replace(item, opening=self.task.opening(self.samples[item.id], self.protocol, self.seed))

    def signature(self, metric: Any) -> str:
        from benchmark.media.mouth_opening import OPENING

        seconds = self.protocol.seconds
        clip = "|clip:whole" if seconds is None else f"|clip:first-{seconds:g}s-looped"
        return f"|{OPENING}{clip}" if getattr(metric, "looks_at_mouth", False) else clip


class Scorer:
    """The metrics of a table, prepared with the gallery; measures batches, in this process or in a worker.

    Pickled whole into the workers, so that the gallery is embedded once and not once in each.
    """

    def __init__(self, metrics: Mapping[str, Any], reader: Reader | None = None) -> None:
        self.metrics = dict(metrics)
        self.sources = {name: source_of_metric(type(metric)) for name, metric in self.metrics.items()}
        self.reader: Reader = reader or FaceReader()

    def signature(self, metric: str) -> str:
        """Pins the statistics that a metric stores: all its reports' signatures together."""
        reports = self.metrics[metric].reports
        return " ".join(dict.fromkeys(self.report_signature(metric, report.name) for report in reports))

    def report_signature(self, metric: str, report: str) -> str:
        """Pins the definition of one reported number."""
        instance = self.metrics[metric]
        return instance.signature(report) + self.reader.signature(instance)

    def measure(self, work: Work) -> list[ScoreRow]:
        """Rows for each prediction and metric; a bad file or a metric that raises is a failed row."""
        items: list[tuple[Prediction, Any]] = []
        rows: list[ScoreRow] = []
        heard: dict[Key, list[str]] = {}
        for prediction in work.predictions:
            reason = f"no output: {prediction.reason}"
            if prediction.status == "ok" and prediction.file is not None:
                with remarks() as heard[prediction.key]:
                    try:
                        items.append((prediction, self.reader(prediction, work.root)))
                        continue
                    except Exception as error:  # whatever the codec raises is this row's reason
                        reason = str(error)
            rows.extend(self.failed(prediction, metric, reason) for metric in work.metrics)
        for metric in work.metrics:
            for (prediction, _), outcome in zip(
                items, self._measured(metric, [item for _, item in items]), strict=True
            ):
                if isinstance(outcome, Mapping):
                    rows.append(self._row(prediction, metric, "ok", None, outcome))
                else:
                    evidence = getattr(outcome, "evidence", {})
                    rows.append(self._row(prediction, metric, type(outcome).__name__.lower(), outcome.reason, evidence))
        return [replace(row, remarks=tuple(heard.get(row.key, ()))) for row in rows]

    def rows(self, run: RunDirectory) -> dict[str, dict[Key, ScoreRow]]:
        """Metric -> sample and repeat -> what is stored under the metric's signature.

        A row with a number that it must not lack is failed, whoever wrote it: it would take its whole column along.
        """
        stored = run.scores()
        return {
            name: {key: self._kept(name, row) for key, row in stored.get((name, self.signature(name)), {}).items()}
            for name in self.metrics
        }

    def _kept(self, metric: str, row: ScoreRow) -> ScoreRow:
        from metrics.metric import Failed, checked_row

        if row.status != "ok":
            return row
        outcome = checked_row(row.statistics, getattr(self.metrics[metric], "lacking", ()))
        if isinstance(outcome, Failed):
            return replace(row, status="failed", reason=outcome.reason, statistics={})
        return row

    def _measured(self, metric: str, items: list[Any]) -> list[Any]:
        from metrics.metric import Failed

        if not items:
            return []
        instance = self.metrics[metric]
        try:
            return list(instance.measure([self.reader.for_metric(instance, item) for item in items]))
        except Exception as error:  # one bad item must not lose its batch
            if len(items) == 1:
                return [Failed(f"{type(error).__name__}: {error}".splitlines()[0][:300])]
            return [self._measured(metric, [item])[0] for item in items]

    def failed(self, prediction: Prediction, metric: str, reason: str) -> ScoreRow:
        """The row of a prediction that a metric could not measure."""
        return self._row(prediction, metric, "failed", reason)

    def without_value(self, prediction: Prediction, metric: str, status: str, reason: str) -> ScoreRow:
        """The row of a prediction of which it is known, without a look at it, that the metric has no value."""
        return self._row(prediction, metric, status, reason)

    def _row(
        self,
        prediction: Prediction,
        metric: str,
        status: str,
        reason: str | None,
        statistics: Mapping[str, Any] | None = None,
    ) -> ScoreRow:
        return ScoreRow(
            prediction.sample,
            prediction.speaker,
            prediction.repeat,
            metric,
            self.signature(metric),
            status,
            reason,
            statistics or {},
            prediction.version,
            self.sources[metric],
        )


def make_metrics(names: Sequence[str], networks: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """Metrics by name, each with those of the options that it takes."""
    import inspect

    from benchmark.registry import metrics as registry

    made = {}
    for name in names:
        kind = registry.load(name)
        takes = inspect.signature(kind.create).parameters
        made[name] = kind.create(networks, **{key: value for key, value in options.items() if key in takes})
    return made


def check_face_network(networks: Any, name: str) -> None:
    """Raise for a network of `--face-network` that cannot be had.

    Raises:
        PrerequisiteError: it lacks a file or a package.
        UnknownName: it is none, or of another kind.
        InvalidConfig: what it names behind a colon cannot be used.
    """
    from benchmark.errors import InvalidConfig, PrerequisiteError
    from benchmark.weights.networks import check_suits

    check_suits("--face-network", "embedder", name)
    try:
        networks(name)
    except (FileNotFoundError, ImportError) as error:
        raise PrerequisiteError(f"--face-network {name}: {error}") from error
    except ValueError as error:
        raise InvalidConfig(f"--face-network {name}: {error}") from error


def takes_one_of(metric: str, face_network: str, sets: Sequence[str]) -> bool:
    """Whether a metric is made by something that `--face-network` or `--metric-set` chose."""
    import inspect

    from benchmark.registry import metrics as registry

    chosen = {item.partition("=")[0] for item in sets} | ({"embedder"} if face_network != "dlib" else set())
    return not chosen.isdisjoint(inspect.signature(registry.load(metric).create).parameters)


def metric_options(names: Sequence[str], face_network: str, sets: Sequence[str]) -> dict[str, Any]:
    """Options for metrics from `--face-network` and `--metric-set key=value`.

    Raises:
        InvalidConfig: an item that is not key=value, or a key that none of the metrics takes.
        UnknownName: a network of another kind than the option takes, or none.
    """
    import inspect

    from benchmark.configuration import literal
    from benchmark.errors import InvalidConfig, did_you_mean
    from benchmark.registry import metrics as registry
    from benchmark.weights.networks import check_suits

    takes = {name: {*inspect.signature(registry.load(name).create).parameters} - {"networks"} for name in names}
    taken = {key for keys in takes.values() for key in keys}
    ours = {key for name, keys in takes.items() for key in keys if not registry.entry(name).origin}
    options: dict[str, Any] = {"embedder": face_network}
    for item in sets:
        key, equals, text = item.partition("=")
        if not equals or key not in taken:
            known = ", ".join(sorted(taken))
            raise InvalidConfig(f"--metric-set {item}: expected KEY=VALUE.{did_you_mean(key, taken)} Keys: {known}")
        options[key] = literal(text)
        if key in ours:  # a plug-in's metric may call its own networks what it likes
            check_suits(f"--metric-set {key}", key, text)
    return options


def gallery(samples: Iterable[Sample]) -> tuple[list[Any], list[str]]:
    """The true faces of each speaker, sorted by id, and a line for each picture that cannot be read, or not wholly."""
    from benchmark.errors import MediaError
    from benchmark.media import read_image
    from metrics.metric import Identity

    paths: dict[str, list[Path]] = {}
    attributes: dict[str, Mapping[str, Any]] = {}
    recordings: Counter[str] = Counter()
    for sample in samples:
        recordings[sample.speaker] += 1
        known = paths.setdefault(sample.speaker, [])
        known.extend(path for path in sample.targets.get("face", ()) if path not in known)
        attributes.setdefault(sample.speaker, sample.attributes)
    identities, problems = [], []
    for speaker in sorted(paths):
        images = []
        for path in paths[speaker]:
            with remarks() as heard:
                try:
                    images.append(read_image(path))
                except MediaError as error:
                    problems.append(str(error))
            problems.extend(heard)
        if images:
            about = attributes[speaker]
            identities.append(Identity(speaker, images, about.get("sex"), about.get("age"), recordings[speaker]))
        elif paths[speaker]:
            problems.append(f"'{speaker}' has no readable face and is not in the gallery")
    return identities, problems


def unscored(
    scorer: Scorer, run: RunDirectory, predictions: Mapping[Key, Prediction], retry_failed: bool = False
) -> dict[str, set[Key]]:
    """Metric -> keys that lack a row, or whose row is of another version of the output or of the metric's code.

    With `retry_failed` those whose measuring failed too.
    """
    missing: dict[str, set[Key]] = {}
    for metric, rows in current_rows(scorer, run, predictions).items():
        missing[metric] = {
            key
            for key, prediction in predictions.items()
            if key not in rows or (prediction.status == "ok" and retry_failed and rows[key].status == "failed")
        }
    return missing


def current_rows(
    scorer: Scorer, run: RunDirectory, predictions: Mapping[Key, Prediction]
) -> dict[str, dict[Key, ScoreRow]]:
    """Metric -> key -> row, of these outputs as they are now, measured by the metric's code as it is now."""
    return {
        name: {
            key: row
            for key, row in rows.items()
            if key in predictions and (row.version, row.source) == (predictions[key].version, scorer.sources[name])
        }
        for name, rows in scorer.rows(run).items()
    }


def aggregate(
    scorer: Scorer,
    measured: Mapping[str, Mapping[Key, ScoreRow]],
    samples: Sequence[Sample],
    repeats: int,
) -> list[Aggregate]:
    """All reported numbers of a run, computed from its rows alone.

    Args:
        measured: as `current_rows` gives them. Who speaks is said by `samples`: it may have been unknown when a row was
            measured.
    """
    wanted = {(sample.id, repeat) for sample in samples for repeat in range(repeats)}
    speakers = {sample.id: sample.speaker for sample in samples}
    found: list[Aggregate] = []
    for name, stored in measured.items():
        rows = {key: replace(row, speaker=speakers[row.sample]) for key, row in stored.items() if key in wanted}
        metric = scorer.metrics[name]
        found.extend(_aggregate_metric(name, metric, rows, len(wanted), repeats, scorer.report_signature))
    return found


def _aggregate_metric(
    name: str,
    metric: Any,
    rows: Mapping[Key, ScoreRow],
    total: int,
    repeats: int,
    signature: Callable[[str, str], str],
) -> list[Aggregate]:
    good = [rows[key] for key in sorted(rows) if rows[key].status == "ok"]
    reasons = Counter(f"{row.status}: {row.reason}" for row in rows.values() if row.status != "ok")
    if total > len(rows):
        reasons[NOT_MEASURED] += total - len(rows)
    estimates: dict[str, Any] = {}
    spreads: dict[str, float] = {}
    deviations: dict[str, float] = {}
    if good:
        index, speakers = speaker_index([row.speaker for row in good])
        by_repeat = []
        for repeat in range(repeats):
            rows_of = [number for number, row in enumerate(good) if row.repeat == repeat]
            if rows_of:
                by_repeat.append((index[rows_of], stacked([good[number] for number in rows_of])))

        estimates = with_intervals(speakers, speaker_values(metric, by_repeat), shapes(metric, by_repeat, speakers))
        ones = np.ones((1, speakers))
        for report in metric.reports:
            each = [
                float(metric.aggregate(statistics, row_weights(rows_index, ones, report.weigh))[report.name][0])
                for rows_index, statistics in by_repeat
            ]
            spreads[report.name] = float(np.std(each, ddof=1)) if len(each) > 1 else float("nan")
        deviations = over_outputs(metric, [statistics for _, statistics in by_repeat])
    aggregates = []
    for report in metric.reports:
        estimate = estimates.get(report.name)
        known = estimate is not None and np.isfinite(estimate.value)
        scored = sum(int(np.sum(metric.defined(report.name, rows))) for _, rows in by_repeat) if known else 0
        why = reasons.copy()
        if scored < len(good):
            why[f"undefined: {metric.why_undefined(report.name)}"] += len(good) - scored
        aggregates.append(
            Aggregate(
                name=report.name,
                title=report.title,
                metric=name,
                value=_number(estimate.value if estimate else None),
                low=_number(estimate.low if estimate else None),
                high=_number(estimate.high if estimate else None),
                no_interval=estimate.why if estimate else "",
                spread=_number(spreads.get(report.name)),
                sd=_number(deviations.get(report.name)),
                scored=scored,
                total=total,
                reasons=dict(sorted(why.items())),
                signature=signature(name, report.name),
                higher_is_better=report.higher_is_better,
                unit=report.unit,
            )
        )
    return aggregates


_AT_ONCE = 500
"""Outputs that are looked at one by one."""


def over_outputs(metric: Any, runs: Sequence[Mapping[str, np.ndarray]]) -> dict[str, float]:
    """Standard deviation over all outputs of those numbers that are the mean of what single outputs have.

    A rate over the words of all outputs is no such mean, unless all say as many; nor is a correlation.

    Args:
        runs: of each evaluation run the stacked statistics.
    """
    names = [report.name for report in metric.reports if report.weigh == "sample" and report.interval == "mean"]
    found: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for statistics in runs if names else ():
        count = len(next(iter(statistics.values())))
        whole = metric.aggregate(statistics, np.ones((1, count)))
        each = [
            metric.aggregate(statistics, np.eye(min(_AT_ONCE, count - start), count, start))
            for start in range(0, count, _AT_ONCE)
        ]
        for name in names:
            values = np.concatenate([part[name] for part in each])
            values = values[np.isfinite(values)]
            if len(values) and np.isclose(values.mean(), whole[name][0], rtol=1e-9, atol=1e-12):
                found[name].append(values)
    return {
        name: float(np.std(np.concatenate(parts), ddof=1))
        for name, parts in found.items()
        if len(parts) == len(runs) and sum(map(len, parts)) > 1
    }


Runs = Sequence[tuple[np.ndarray, Mapping[str, np.ndarray]]]
"""Of each evaluation run the rows of one metric: numbers of their speakers `[N]`, and statistics `[N, ...]` by name."""


def weighed(
    metric: Any, statistics: Mapping[str, np.ndarray], weights: Callable[[Weigh], np.ndarray]
) -> dict[str, np.ndarray]:
    """All reported numbers of one evaluation run's rows, each under the weights that suit it.

    Args:
        weights: given whether speakers or samples weigh equally, the weights `[B, N]` of the rows.

    Returns:
        report name to `[B]` values.
    """
    found: dict[str, np.ndarray] = {}
    for weigh in {report.weigh for report in metric.reports}:
        values = metric.aggregate(statistics, weights(weigh))
        found.update({report.name: values[report.name] for report in metric.reports if report.weigh == weigh})
    return found


def mean_over_runs(runs: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Mean over evaluation runs of each of their numbers, `[B]`; a run that leaves a draw undefined does not count in
    it."""
    return {name: _mean([run[name] for run in runs]) for name in runs[0]}


def speaker_values(metric: Any, runs: Runs, speakers: int | None = None) -> Values:
    """What a metric reports of weighted speakers: the mean over evaluation runs of each number.

    Args:
        speakers: how many there are, where the last ones may have no rows.
    """
    speakers = speakers or 1 + max(int(index.max()) for index, _ in runs)
    runs = [(index, metric.by_speaker(statistics, index, speakers)) for index, statistics in runs]

    def values(weights: np.ndarray) -> dict[str, np.ndarray]:
        return mean_over_runs(
            [weighed(metric, statistics, partial(row_weights, index, weights)) for index, statistics in runs]
        )

    return values


def shapes(metric: Any, runs: Runs, speakers: int) -> dict[str, Shape]:
    """What is known of a metric's numbers for their intervals, with what each of the speakers counts in them."""
    everyone = np.ones((1, speakers))
    found = {}
    for report in metric.reports:
        shares, without = np.zeros(speakers), report.no_interval
        for index, statistics in runs:
            without = without or metric.without_interval(report.name, statistics, speakers)
            rows = row_weights(index, everyone, report.weigh)[0] * metric.defined(report.name, statistics)
            shares += np.bincount(index, rows, speakers)
        found[report.name] = Shape(report.interval, report.bounds, shares, without)
    return found


def stacked(rows: Sequence[ScoreRow]) -> dict[str, np.ndarray]:
    """Statistics of rows, by name, one after another."""
    return {name: np.stack([np.asarray(row.statistics[name]) for row in rows]) for name in rows[0].statistics}


def _mean(values: Sequence[np.ndarray]) -> np.ndarray:
    stacked = np.stack(values)
    count = np.isfinite(stacked).sum(axis=0)
    total = np.where(np.isfinite(stacked), stacked, 0.0).sum(axis=0)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def _number(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else float(value)
