"""Score files against files: pair them, measure what is not measured yet, aggregate, write a table of every file.

<out>/
  run.json            what is compared, and provenance
  manifest.jsonl      each estimate with its speaker, and what is known of it
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
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmark.datasets.manifest import Row, write_manifest
from benchmark.errors import MediaError, UsageError
from benchmark.media import audio_header
from benchmark.pairs.alignment import PairDelays, decide
from benchmark.pairs.faces import Faces, find_faces
from benchmark.pairs.listing import FACES, Judged, holds_both, medium_of, quoted
from benchmark.pairs.matching import FilePair, PairReader, Pairs, find_pairs, with_speakers, with_texts
from benchmark.pairs.measuring import TASK_OF, PairRequest, as_asked, face_scorer, judged_by, speech_scorer
from benchmark.remarks import counted
from benchmark.reports.escaping import csv_cell
from benchmark.results.schema import Failures, PairResult, PairSpec
from benchmark.results.statistics import INTERVALS
from benchmark.runs.directory import Key, Prediction, RunDirectory, ScoreRow
from benchmark.runs.evaluation import Progress, read_result
from benchmark.runs.scoring import Scorer, Work, aggregate, stacked, unscored
from benchmark.runs.session import check_limit
from benchmark.runs.workers import WorkerPool, pick_device
from benchmark.types import Sample
from metrics.metric import Report

BATCH_FILES, BATCH_SECONDS = 32, 240.0
"""A batch holds at most so much: enough to fill one, little enough to show progress and to lose."""


class Scores(NamedTuple):
    """What was scored, and what to tell of it."""

    folder: Path
    result: PairResult
    notes: list[str]
    found: Pairs
    scorer: Scorer
    outputs: Mapping[Key, Prediction]
    """The estimates as they are now."""


def score_pairs(
    request: PairRequest,
    progress: Callable[[str], Progress] = lambda label: lambda stage, done, total: None,
    unwritten: list[OSError] | None = None,
) -> Scores:
    """Score what is not scored yet.

    Raises:
        UsageError: nothing pairs, or an argument cannot be used.
        PrerequisiteError: a metric that was asked for lacks something.
    """
    check_limit(request.limit)
    if request.align and request.reference is None:
        raise UsageError("--align takes out how late an estimate is against its reference: give --reference")
    found = _found(request)
    samples = tuple(Sample(pair.id, pair.speaker, {}, {}, pair.attributes) for pair in found.pairs)
    request.look_at(samples)
    spec = PairSpec(
        estimate=str(request.estimate.resolve()),
        reference=str(request.reference.resolve()) if request.reference else None,
        align=request.align,
        limit=request.limit,
        of_both=_judged(found) if holds_both(request.estimate) else None,
    )
    run = RunDirectory(request.out or Path("scores") / spec.run_id())
    _refuse_place(run, request, spec, _judged(found))
    report = progress(request.estimate.name)
    if isinstance(found, Faces):
        report("look at true faces", 0, len(found.people))
        scorer, notes = face_scorer(request, found)
        report("look at true faces", len(found.people), len(found.people))
    else:
        scorer, notes = speech_scorer(request, found)
    notes = [*_pairing_notes(found), *_format_notes(found), *notes]
    with run.locked():
        _write_run(run, spec, found)
        predictions = {
            (pair.id, 0): Prediction(pair.id, pair.speaker, 0, "ok", str(pair.estimate), version=found.version(pair))
            for pair in found.pairs
        }
        run.write_document(
            "predictions.jsonl",
            "".join(json.dumps(row.__dict__, ensure_ascii=False) + "\n" for row in predictions.values()),
        )
        write_manifest(
            run.path / "manifest.jsonl",
            [Row(sample.id, sample.speaker, {}, {}, sample.attributes) for sample in samples],
            dataset="files",
            revision="1",
            split="all",
            task=TASK_OF[_judged(found)],
        )
        at_once, reader = scorer, scorer.reader
        if isinstance(reader, PairReader):
            at_once = Scorer({n: metric for n, metric in scorer.metrics.items() if not reader.aligns(metric)}, reader)
        missing = unscored(at_once, run, predictions, request.retry_failed)
        _measure(at_once, run, found, predictions, missing, request, partial(report, "score"))
        rows = _current(run, at_once, predictions)
        delays = decide((pair.id for pair in found.pairs), rows["delay"]) if "delay" in rows else None
        if request.align:
            assert delays is not None and isinstance(reader, PairReader)
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
    return Scores(run.path, result, notes, found, scorer, predictions)


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
        for number, keys in enumerate(_batches(found, missing, pool.workers)):
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
    """Everything that is to be scored, whichever kind of files it is.

    Raises:
        UsageError: nothing pairs, files of two kinds, or options that mean nothing for these.
    """
    medium = medium_of(request.estimate, request.reference, judged_by(request.metrics))
    as_asked(medium, request)
    if medium is FACES:
        found: Pairs = find_faces(request.estimate, request.reference, request.speakers)
    else:
        found = find_pairs(request.estimate, request.reference)
        if request.speakers:
            found = with_speakers(found, request.speakers)
        if request.texts:
            found = with_texts(found, request.texts)
    if request.limit is not None:
        found = replace(found, pairs=found.pairs[: request.limit])
    return found


def _batches(found: Pairs, missing: Mapping[str, set[Any]], workers: int) -> Iterator[list[tuple[str, int]]]:
    """Keys that lack a score, the longest recordings first: no worker is left alone with a long one at the end."""
    lengths = []
    for pair in found.pairs:
        if any((pair.id, 0) in keys for keys in missing.values()):
            if isinstance(found, Faces):
                lengths.append((0.0, pair.id))
                continue
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
        _refuse_others(run, spec, _judged(found))  # another command may have begun in the meantime
    about = {
        "kind": "pairs",
        "spec": spec.model_dump(),
        "judged": _judged(found),
        "clusters": found.clusters,
        "provenance": provenance.collect(),
    }
    run.write_document("run.json", json.dumps(about, indent=2, ensure_ascii=False) + "\n")


def _refuse_place(run: RunDirectory, request: PairRequest, spec: PairSpec, judged: Judged) -> None:
    """
    Raises:
        UsageError: the folder of the scores is none, or that of others; or it would lie among the files, and the
            pictures of its report be taken for some of them.
    """
    out = run.path
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out} is a file; expected the folder of the scores")
    if (out / "run.json").is_file():
        _refuse_others(run, spec, judged)
    for option, place in (("--estimate", request.estimate), ("--reference", request.reference)):
        if place is not None and place.is_dir() and out.resolve().is_relative_to(place.resolve()):
            raise UsageError(
                f"{out}, the folder of the scores, lies in {option} {place}, whose files are scored: give --out a "
                "folder elsewhere"
            )


def _refuse_others(run: RunDirectory, spec: PairSpec, judged: Judged) -> None:
    """
    Raises:
        UsageError: the folder holds scores of other files, or of the other kind of them.
    """
    about = run.read_run()
    there = about.get("spec")
    if about.get("kind") != "pairs" or not isinstance(there, dict):
        raise UsageError(f"--out {run.path} is the folder of a run of a method; choose another folder")
    own = spec.model_dump(exclude={"of_both"})
    if other := [f"{name} {there.get(name)}" for name, value in own.items() if there.get(name) != value]:
        raise UsageError(f"--out {run.path} holds scores of something else ({', '.join(other)}); choose another folder")
    if about.get("judged", _judged_before(run)) not in (None, judged):
        raise UsageError(
            f"--out {run.path} holds scores of the {'speech' if judged == 'faces' else 'faces'} of these files; choose "
            f"another folder for those of the {judged}, or let each have its own by leaving --out away"
        )


def _judged_before(run: RunDirectory) -> Judged | None:
    """What scores are of whose `run.json` does not say it yet."""
    try:
        return read_result(run.path, PairResult).judged
    except UsageError:
        return None


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
        judged=_judged(found),
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
        own = [report.name for report in metric.reports if _of_one_file(report)]
        columns += own
        good = [row for row in rows[name].values() if row.status == "ok"]
        for start in range(0, len(good), 256):
            part = good[start : start + 256]
            found = metric.aggregate(stacked(part), np.eye(len(part))) if own else {}
            for place, row in enumerate(part):
                undefined: dict[str, list[str]] = {}
                for report in own:
                    if np.isfinite(found[report][place]):
                        values[row.sample][report] = float(found[report][place])
                    else:
                        undefined.setdefault(metric.why_undefined(report), []).append(report)
                lacking[row.sample] += [f"{' '.join(names)} undefined: {why}" for why, names in undefined.items()]
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


def _of_one_file(report: Report) -> bool:
    """Whether a number says something of a single file, and not only of many together."""
    return report.interval not in ("correlation", "smooth") and not report.no_interval


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


def _judged(found: Pairs) -> Judged:
    return "faces" if isinstance(found, Faces) else "speech"


def _pairing_notes(found: Pairs) -> list[str]:
    if isinstance(found, Faces):
        return _meeting_notes(found)
    notes = []
    for side, names in (("reference", found.reference_only), ("estimate", found.estimate_only)):
        if names:
            notes.append(f"{len(names)} files of the {side} have no partner and are not scored: {quoted(names, 5)}")
    if found.skipped:
        shown = quoted((Path(name).name for name in found.skipped), 5)
        notes.append(f"{len(found.skipped)} files are neither sound nor video: {shown}")
    return [*notes, *found.notes]


def _meeting_notes(found: Faces) -> list[str]:
    """Who met, who did not, and what makes these numbers others than a run's."""
    notes = [*found.notes]
    if found.reference_only:
        notes.append(
            f"{len(found.reference_only)} people of the reference have no face to be judged and are in the gallery "
            f"alone: {quoted(found.reference_only, 5)}"
        )
    if found.estimate_only:
        notes.append(
            f"{len(found.estimate_only)} people of the estimate are not in the reference and are not scored: "
            f"{quoted(found.estimate_only, 5)}"
        )
    if found.skipped:
        shown = quoted((Path(name).name for name in found.skipped), 5)
        notes.append(f"{len(found.skipped)} files are no pictures: {shown}")
    if copies := found.copies():
        notes.append(f"{len(copies)} faces are copies of true pictures, byte for byte: {quoted(copies, 5)}")
    if max(found.judged.values(), default=1) > 1:
        notes.append(
            "several faces of a person count together; `run` takes them as evaluation runs, whose ROC areas, VGGFace "
            "scores and correlations it averages"
        )
    return notes


def _format_notes(found: Pairs) -> list[str]:
    """What was done to files that are not mono, or not of one rate."""
    if isinstance(found, Faces):
        return []
    pairs = found.pairs
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
