"""Small results for tests of the leaderboards: numbers of outputs, and the result file that belongs to them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.leaderboard.submissions import Measured, Submission, pack, place_of, write
from benchmark.registry import methods, metrics
from benchmark.results.schema import Aggregate, Failures, Result, RunSpec
from benchmark.runs.directory import Prediction, RunDirectory, ScoreRow

MANIFEST = "a" * 64
SIGNATURES = {
    "si_sdr": "si_sdr|fs:own|mean:kept|len:cut0.1|f64|v1|clip:whole",
    "pesq_wb": "pesq_wb|fs:16000|impl:pesq-0.0.4|P.862.2-without-Cor.2|resample:soxr-hq|len:whole|v1|clip:whole",
}
UNITS = {"si_sdr": "dB", "pesq_wb": ""}
CLEAN = {"git": {"commit": "c" * 40, "dirty": False}, "packages": {}, "source": "0123456789ab"}
KNOWN = f"""
[[manifests]]
dataset = "talkers"
revision = "1"
split = "test"
task = "av_enhancement"
sha256 = "{MANIFEST}"
"""


def samples(speakers: int, each: int) -> dict[str, str]:
    """Sample to speaker."""
    return {f"p{who:02d}_{number}": f"p{who:02d}" for who in range(speakers) for number in range(each)}


def made(
    si_sdr: Mapping[str, float | None], people: Mapping[str, str], method: str = "noisy", label: str = "", **spec: Any
) -> tuple[Result, list[ScoreRow]]:
    """A result of SI-SDR and PESQ and its rows.

    Args:
        si_sdr: of each sample; None where it is undefined.
        people: sample to speaker.
    """
    pesq = {name: 2.0 if value is None else 2 + float(np.tanh(value / 20)) for name, value in si_sdr.items()}
    rows, aggregates = [], []
    for metric, values in (("si_sdr", si_sdr), ("pesq_wb", pesq)):
        for name in sorted(values):
            value = values[name]
            about = {"status": "undefined", "reason": "silence"} if value is None else {"status": "ok"}
            held = {} if value is None else {metric: value} | ({"cut_s": 0.0} if metric == "si_sdr" else {})
            rows.append(ScoreRow(name, people[name], 0, metric, SIGNATURES[metric], **about, statistics=held))
        known = [value for value in values.values() if value is not None]
        own = {row.key: row for row in rows if row.metric == metric and row.status == "ok"}
        kind = metrics.load(metric).for_rows(SIGNATURES[metric], [metric])
        found = Measured(kind, own).estimates[metric]
        aggregates.append(
            Aggregate(
                name=metric,
                title=metric,
                metric=metric,
                value=float(np.mean(known)),
                low=None if math.isnan(found.low) else found.low,
                high=None if math.isnan(found.high) else found.high,
                spread=None,
                scored=len(known),
                total=len(values),
                reasons={"undefined: silence": len(values) - len(known)} if len(known) < len(values) else {},
                signature=SIGNATURES[metric],
                higher_is_better=True,
                unit=UNITS[metric],
            )
        )
    kind = methods.load(method).Config
    # Two methods of a test have a run id each.
    weights = hashlib.sha256(label.encode()).hexdigest() if label else None
    asked = {"task": "av_enhancement", "task_version": 1, "method": method, "config": dataclasses.asdict(kind())}
    asked |= {"weights_sha256": weights, "dataset": "talkers", "dataset_revision": "1", "split": "test"}
    asked |= {"manifest_sha256": MANIFEST, "seconds": None, "repeats": 1, "seed": 0} | spec
    run = RunSpec(**asked)
    result = Result(
        schema_version=1,
        run_id=run.run_id(),
        label=label or method,
        spec=run,
        partial=False,
        samples=len(people),
        speakers=len(set(people.values())),
        aggregates=aggregates,
        failures=Failures(),
        generation_seconds=1.0,
        generated_by=[CLEAN],
        sources=["0123456789ab"],
        provenance=CLEAN,
    )
    return result, rows


def submission(result: Result, rows: list[ScoreRow]) -> Submission:
    return Submission(place_of(result), (result.model_dump_json(indent=2) + "\n").encode(), pack(rows))


def publish(root: Path, *results: tuple[Result, list[ScoreRow]]) -> Path:
    """A folder of leaderboards that holds these results."""
    (root / "results").mkdir(parents=True, exist_ok=True)
    (root / "known.toml").write_text(KNOWN)
    for result, rows in results:
        write(submission(result, rows), root)
    return root


def run_directory(path: Path, result: Result, rows: list[ScoreRow]) -> Path:
    """A run as `run` leaves it, without media."""
    run = RunDirectory(path / result.run_id)
    run.write_document("run.json", json.dumps({"run_id": result.run_id}))
    run.append_predictions([Prediction(row.sample, row.speaker, 0, "failed") for row in rows if row.metric == "si_sdr"])
    run.append_scores([dataclasses.replace(row, version="v", source="s") for row in rows])
    run.write_document("result.json", result.model_dump_json(indent=2) + "\n")
    return run.path
