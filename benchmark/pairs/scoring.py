"""Score files against files: pair them, measure what is not measured yet, aggregate, write a table of every file.

<out>/
  run.json            what is compared, and provenance
  predictions.jsonl   the estimates, with the versions of the files
  scores.jsonl        appended; one row per file and metric
  scores.csv          the same as a table: a line per file, a column per number, reasons and remarks at the end; an id
                      or text that a spreadsheet would take for a formula (= + - @ in front) has an apostrophe before it
  result.json         aggregates, written last
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.errors import InvalidConfig, MediaError, PrerequisiteError, UsageError
from benchmark.media import audio_header
from benchmark.pairs.alignment import PairDelays, decide
from benchmark.pairs.matching import FilePair, PairReader, Pairs, find_pairs, with_speakers, with_texts
from benchmark.remarks import counted
from benchmark.reports.escaping import csv_cell
from benchmark.results.schema import Failures, PairResult, PairSpec
from benchmark.results.statistics import INTERVALS
from benchmark.runs.directory import Key, Prediction, RunDirectory, ScoreRow
from benchmark.runs.evaluation import Progress
from benchmark.runs.recognition import OF_WORDS, default_recogniser
from benchmark.runs.scoring import Scorer, Work, aggregate, make_metrics, metric_options, stacked, unscored
from benchmark.runs.session import check_limit
from benchmark.runs.workers import WorkerPool, default_workers, pick_device
from benchmark.types import Sample

WITH_REFERENCE = ("pesq_wb", "pesq_nb", "stoi", "si_sdr", "sdr", "dnsmos", "delay")
WITHOUT_REFERENCE = ("dnsmos",)
WITH_TEXTS = ("wer",)
"""Measured by default: what needs neither the network nor a choice."""
BATCH_FILES, BATCH_SECONDS = 32, 240.0
"""A batch holds at most so much: enough to fill one, little enough to show progress and to lose."""


@dataclass(frozen=True)
class PairRequest:
    """What the user asked for, as the command line gives it."""

    estimate: Path
    reference: Path | None = None
    speakers: Path | None = None
    texts: str | None = None
    align: bool = False
    metrics: tuple[str, ...] = ()
    metric_sets: tuple[str, ...] = ()
    workers: int | None = None
    device: str = "cpu"
    limit: int | None = None
    out: Path | None = None
    retry_failed: bool = False


def score_pairs(
    request: PairRequest,
    progress: Callable[[str], Progress] = lambda label: lambda stage, done, total: None,
    unwritten: list[OSError] | None = None,
) -> tuple[Path, PairResult, list[str]]:
    """Score what is not scored yet; returns the folder, the result, and notes for the reader.

    Raises:
        UsageError: nothing pairs, or an argument cannot be used.
        PrerequisiteError: a metric that was asked for lacks something.
    """
    check_limit(request.limit)
    if request.align and request.reference is None:
        raise UsageError("--align takes out how late an estimate is against its reference: give --reference")
    found = _found(request)
    scorer, notes = _scorer(request, found)
    spec = PairSpec(
        estimate=str(request.estimate.resolve()),
        reference=str(request.reference.resolve()) if request.reference else None,
        align=request.align,
        limit=request.limit,
    )
    run = RunDirectory(request.out or Path("scores") / spec.run_id())
    notes = [*_pairing_notes(found), *_format_notes(found.pairs), *notes]
    samples = tuple(Sample(pair.id, pair.speaker, {}) for pair in found.pairs)
    with run.locked():
        _write_run(run, spec, found)
        predictions = {
            (pair.id, 0): Prediction(pair.id, pair.speaker, 0, "ok", str(pair.estimate), version=pair.version())
            for pair in found.pairs
        }
        run.write_document(
            "predictions.jsonl",
            "".join(json.dumps(row.__dict__, ensure_ascii=False) + "\n" for row in predictions.values()),
        )
        reader = PairReader({pair.id: pair for pair in found.pairs}, request.align)
        report = progress(request.estimate.name)
        at_once = Scorer({n: metric for n, metric in scorer.metrics.items() if not reader.aligns(metric)}, reader)
        missing = unscored(at_once, run, predictions, request.retry_failed)
        _measure(at_once, run, found, predictions, missing, request, partial(report, "score"))
        rows = _current(run, at_once, predictions)
        delays = decide((pair.id for pair in found.pairs), rows["delay"]) if "delay" in rows else None
        if request.align:
            assert delays is not None
            aligned = Scorer(
                {n: metric for n, metric in scorer.metrics.items() if reader.aligns(metric)},
                replace(reader, delays_s=delays.seconds()),
            )
            marked = delays.marked(predictions)
            missing = unscored(aligned, run, marked, request.retry_failed)
            run.append_scores(_without_delay(aligned, delays, marked, missing))
            missing = {n: {key for key in keys if key[0] in delays.seconds()} for n, keys in missing.items()}
            _measure(aligned, run, found, marked, missing, request, partial(report, "score aligned"))
            rows |= _current(run, aligned, marked)
        rows = {name: rows[name] for name in scorer.metrics}
        result = _conclude(scorer, spec, found, samples, rows, request)
        table = _per_file(scorer, rows, found.pairs, delays if request.align else None)
        documents = {"scores.csv": table, "result.json": result.model_dump_json(indent=2) + "\n"}
        try:
            for name, content in documents.items():
                run.write_document(name, content)
        except OSError as error:
            if unwritten is None:
                raise
            unwritten.append(error)
        notes += [
            *counted(_remarks(rows).values()),
            *_cut_notes(rows),
            *(delays.notes(request.align) if delays else []),
        ]
    return run.path, result, notes


def _measure(
    scorer: Scorer,
    run: RunDirectory,
    found: Pairs,
    predictions: Mapping[Key, Prediction],
    missing: Mapping[str, set[Key]],
    request: PairRequest,
    report: Callable[[int, int], None],
) -> None:
    """Append the rows that are missing."""
    total = sum(map(len, missing.values()))
    done = 0
    report(0, total)

    def receive(rows: list[ScoreRow]) -> None:
        nonlocal done
        run.append_scores(rows)
        done += len(rows)
        report(done, total)

    if not total:
        return
    pool = WorkerPool(scorer, request.workers if pick_device(request.device) == "cpu" else 0)
    try:
        for number, keys in enumerate(_batches(found.pairs, missing, pool.workers)):
            lacking = tuple(metric for metric in scorer.metrics if missing[metric] & set(keys))
            pool.submit(Work(number, tuple(predictions[key] for key in keys), run.path, lacking))
            pool.collect(receive, wait=False)
        pool.collect(receive, wait=True)
    finally:
        pool.close()


def _without_delay(
    scorer: Scorer, delays: PairDelays, predictions: Mapping[Key, Prediction], missing: Mapping[str, set[Key]]
) -> list[ScoreRow]:
    """Rows of what cannot be compared in time, because nobody knows how late it is."""
    rows = []
    for name, keys in missing.items():
        for key in sorted(keys):
            one, pair = predictions[key], delays.pairs[key[0]]
            if pair.seconds is None:
                rows.append(scorer.without_value(one, name, pair.status, pair.reason))
    return rows


def _found(request: PairRequest) -> Pairs:
    found = find_pairs(request.estimate, request.reference)
    if request.speakers:
        found = with_speakers(found, request.speakers)
    if request.texts:
        found = with_texts(found, request.texts)
    if request.limit is not None:
        found = replace(found, pairs=found.pairs[: request.limit])
    return found


def _scorer(request: PairRequest, found: Pairs) -> tuple[Scorer, list[str]]:
    """The metrics asked for; or those that fit what is there, with a note for each that lacks something."""
    from benchmark.weights.networks import Networks

    device = pick_device(request.device)
    networks = Networks(device)
    names = tuple(dict.fromkeys(_metric(name) for name in request.metrics))
    asked = bool(names)
    if not names:
        names = WITH_REFERENCE if request.reference else WITHOUT_REFERENCE
        names += WITH_TEXTS if request.texts else ()
    elif request.reference and "delay" not in names:
        names += ("delay",)  # a shift that nobody knows of makes the other numbers wrong
    options = {"device": device, **metric_options(names, "dlib", request.metric_sets)}
    if device != "cpu" or request.workers == 0:
        options["workers"] = request.workers or default_workers()
    made: dict[str, Any] = {}
    notes = []
    if request.texts and not set(OF_WORDS).isdisjoint(names) and "recogniser" not in options:
        options["recogniser"], why = default_recogniser(pair.text for pair in found.pairs)
        notes.append(why)
    for name in names:
        try:
            made.update(make_metrics([name], networks, options))
        except (PrerequisiteError, ImportError, FileNotFoundError) as error:
            if asked:
                if isinstance(error, PrerequisiteError):
                    raise
                raise PrerequisiteError(f"metric '{name}': {error}") from error
            notes.append(f"metric {name} is left out: {str(error).splitlines()[0]}")
        except ValueError as error:
            raise InvalidConfig(f"metric '{name}': {error}") from error
        if name in made and made[name].paired and request.reference is None:
            raise UsageError(f"metric '{name}' compares with a reference: give --reference")
    numbers = {report.name for metric in made.values() for report in metric.reports}
    for name in request.metrics:
        if name not in numbers and name not in made:
            raise InvalidConfig(
                f"'{name}' is not measured with these options; '{_metric(name)}' yields {', '.join(sorted(numbers))}"
            )
    pairs: Mapping[str, FilePair] = {pair.id: pair for pair in found.pairs}
    return Scorer(made, PairReader(pairs, request.align)), notes


def _metric(name: str) -> str:
    """The metric that yields a number: `estoi` is one of `stoi`'s."""
    from benchmark.registry import metric_of, metrics

    name = metric_of(name)
    if metrics.described(name).task != "speech":
        raise UsageError(f"metric '{name}' does not measure speech; `list metrics` tells which do")
    return name


def _batches(
    pairs: Sequence[FilePair], missing: Mapping[str, set[Any]], workers: int
) -> Iterator[list[tuple[str, int]]]:
    """Keys that lack a score, the longest recordings first: no worker is left alone with a long one at the end."""
    lengths = []
    for pair in pairs:
        if any((pair.id, 0) in keys for keys in missing.values()):
            try:
                lengths.append((audio_header(pair.estimate).seconds, pair.id))
            except MediaError:
                lengths.append((0.0, pair.id))
    most = min(BATCH_FILES, max(1, len(lengths) // (4 * max(workers, 1))))
    batch: list[tuple[str, int]] = []
    seconds = 0.0
    for length, key in sorted(lengths, reverse=True):
        if batch and (len(batch) == most or seconds + length > BATCH_SECONDS):
            yield batch
            batch, seconds = [], 0.0
        batch.append((key, 0))
        seconds += length
    if batch:
        yield batch


def _write_run(run: RunDirectory, spec: PairSpec, found: Pairs) -> None:
    from benchmark.runs import provenance

    if (run.path / "run.json").is_file():
        there = run.read_run().get("spec")
        if there != spec.model_dump():
            raise UsageError(f"--out {run.path} holds scores of something else ({there}); choose another folder")
    about = {
        "kind": "pairs",
        "spec": spec.model_dump(),
        "clusters": found.clusters,
        "provenance": provenance.collect(),
    }
    run.write_document("run.json", json.dumps(about, indent=2, ensure_ascii=False) + "\n")


def _current(
    run: RunDirectory, scorer: Scorer, predictions: Mapping[tuple[str, int], Prediction]
) -> dict[str, dict[str, ScoreRow]]:
    """metric -> id -> row, of the files as they are now."""
    return {
        name: {
            key[0]: row for key, row in rows.items() if key in predictions and row.version == predictions[key].version
        }
        for name, rows in scorer.rows(run).items()
    }


def _conclude(
    scorer: Scorer,
    spec: PairSpec,
    found: Pairs,
    samples: Sequence[Sample],
    rows: Mapping[str, Mapping[str, ScoreRow]],
    request: PairRequest,
) -> PairResult:
    from benchmark.runs import provenance

    measured = {name: {(key, 0): row for key, row in each.items()} for name, each in rows.items()}
    aggregates = aggregate(scorer, measured, samples, 1)
    result = PairResult(
        run_id=spec.run_id(),
        label=request.estimate.name,
        spec=spec,
        pairs=len(found.pairs),
        speakers=len({pair.speaker for pair in found.pairs}),
        clusters=found.clusters,
        reference_only=list(found.reference_only),
        estimate_only=list(found.estimate_only),
        partial=request.limit is not None,
        aggregates=aggregates,
        intervals=INTERVALS,
        failures=Failures(
            scoring=_reasons(rows, "failed"),
            rows=len({key for each in rows.values() for key, row in each.items() if row.status == "failed"}),
        ),
        undefined=_reasons(rows, "undefined"),
        provenance=provenance.collect(),
    )
    return result


def _per_file(
    scorer: Scorer,
    rows: Mapping[str, Mapping[str, ScoreRow]],
    pairs: Sequence[FilePair],
    delays: PairDelays | None,
) -> str:
    """CSV: a line per file, a column per reported number, then what could not be measured and why, then remarks.

    Where pairs were aligned, two columns more say by which delay and whose it is.
    """
    values: dict[str, dict[str, float]] = {pair.id: {} for pair in pairs}
    lacking: dict[str, list[str]] = {pair.id: [] for pair in pairs}
    columns = []
    for name, metric in scorer.metrics.items():
        columns += [report.name for report in metric.reports]
        good = [row for row in rows[name].values() if row.status == "ok"]
        for start in range(0, len(good), 256):
            part = good[start : start + 256]
            for report, each in metric.aggregate(stacked(part), np.eye(len(part))).items():
                for row, value in zip(part, each, strict=True):
                    if np.isfinite(value):
                        values[row.sample][report] = float(value)
                    else:
                        lacking[row.sample].append(f"{report} undefined: {metric.why_undefined(report)}")
    faults, heard = _faults(rows), _remarks(rows)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    aligned = ["aligned_ms", "aligned_by"] if delays else []
    writer.writerow(["id", "speaker", *columns, *aligned, "reasons", "remarks"])
    for pair in pairs:
        cells = [f"{values[pair.id][name]:.7g}" if name in values[pair.id] else "" for name in columns]
        if delays:
            delay = delays.pairs[pair.id]
            cells += ["" if delay.seconds is None else f"{1000 * delay.seconds:.7g}", delay.by]
        faulty = (f"{' '.join(names)} {status}: {why}" for (status, why), names in faults.get(pair.id, {}).items())
        reasons = "; ".join([*faulty, *lacking[pair.id]])
        told = "; ".join(heard.get(pair.id, ()))
        writer.writerow([csv_cell(pair.id), csv_cell(pair.speaker), *cells, csv_cell(reasons), csv_cell(told)])
    return text.getvalue()


def _faults(rows: Mapping[str, Mapping[str, ScoreRow]]) -> dict[str, dict[tuple[str, str], list[str]]]:
    """id -> status and reason -> the metrics that have no value for it."""
    found: dict[str, dict[tuple[str, str], list[str]]] = {}
    for name, each in rows.items():
        for key, row in each.items():
            if row.status != "ok":
                found.setdefault(key, {}).setdefault((row.status, row.reason or ""), []).append(name)
    return found


def _reasons(rows: Mapping[str, Mapping[str, ScoreRow]], status: str) -> dict[str, int]:
    """How many files have no value and why, with the metrics in front where it is not all of them."""
    counts: Counter[str] = Counter()
    for faults in _faults(rows).values():
        for (kind, reason), names in faults.items():
            if kind == status:
                counts[reason if len(names) == len(rows) else f"{', '.join(names)}: {reason}"] += 1
    return dict(counts.most_common())


def _remarks(rows: Mapping[str, Mapping[str, ScoreRow]]) -> dict[str, list[str]]:
    """id -> what was done to read its files, whichever metric's row says so."""
    found: dict[str, list[str]] = {}
    for each in rows.values():
        for key, row in each.items():
            known = found.setdefault(key, [])
            known.extend(text for text in row.remarks if text not in known)
    return found


def _pairing_notes(found: Pairs) -> list[str]:
    notes = []
    for side, names in (("reference", found.reference_only), ("estimate", found.estimate_only)):
        if names:
            shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
            notes.append(f"{len(names)} files of the {side} have no partner and are not scored: {shown}")
    if found.skipped:
        shown = ", ".join(Path(name).name for name in found.skipped[:5]) + (", ..." if len(found.skipped) > 5 else "")
        notes.append(f"{len(found.skipped)} files are neither sound nor video: {shown}")
    return [*notes, *found.notes]


def _format_notes(pairs: Sequence[FilePair]) -> list[str]:
    """What was done to files that are not mono, or not of one rate."""
    meetings: Counter[tuple[int, int]] = Counter()
    several = 0
    for pair in pairs:
        headers = []
        for path in (pair.estimate, pair.reference):
            with contextlib.suppress(MediaError):
                headers += [audio_header(path)] if path is not None else []
        several += any(header.channels > 1 for header in headers)
        rates = {header.rate for header in headers}
        if len(rates) == 2:
            meetings[min(rates), max(rates)] += 1
    notes = [
        f"{count} pairs have one file at {high} Hz and one at {low} Hz: they are compared at {low} Hz (soxr)"
        for (low, high), count in sorted(meetings.items())
    ]
    return notes + ([f"{several} of {len(pairs)} have several channels: their mean is scored"] if several else [])


def _cut_notes(rows: Mapping[str, Mapping[str, ScoreRow]]) -> list[str]:
    """How many pairs were not of one length, by the metrics that compare sample by sample."""
    cut = {
        key: abs(float(row.statistics["cut_s"]))  # type: ignore[arg-type]
        for each in rows.values()
        for key, row in each.items()
        if row.status == "ok" and row.statistics.get("cut_s")
    }
    if not cut:
        return []
    return [f"{len(cut)} pairs differ in length, by up to {1000 * max(cut.values()):.1f} ms: the longer file was cut"]
