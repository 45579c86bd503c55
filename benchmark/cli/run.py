"""`run`: generate and score a method, beside its reference rows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmark.cli import options


def run(
    method: options.Method,
    task: options.Task = None,
    preset: options.Preset = None,
    config: options.Config = None,
    sets: options.Sets = None,
    weights: options.Weights = None,
    dataset: options.Dataset = "talkers",
    split: options.Split = "test",
    data_root: options.DataRoot = None,
    seconds: options.Seconds = None,
    repeats: options.Repeats = None,
    enrolment: options.Enrolment = None,
    seed: options.Seed = 0,
    limit: options.Limit = None,
    shard: options.Shard = None,
    batch_size: options.BatchSize = None,
    device: options.Device = "auto",
    workers: options.Workers = None,
    metrics: options.Metrics = None,
    face_network: options.FaceNetwork = "dlib",
    metric_sets: options.MetricSets = None,
    references: Annotated[bool, typer.Option(help="Also run the floors, peers and ceilings of the task.")] = True,
    runs: options.Runs = Path("runs"),
    retry_failed: options.RetryFailed = False,
    fresh: options.Fresh = False,
    label: options.Label = None,
    fail_on_error: options.FailOnError = 0,
    dry_run: options.DryRun = False,
    columns: options.Columns = None,
    signatures: options.Signatures = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Generate with a method, score, and print the table beside floors, peers and the ceiling.

    Finished work is kept: the same command continues an interrupted run, and --fresh begins anew.

    \b
    python -m benchmark run --method sf2f
    python -m benchmark run --method sf2f --seconds 1.25 --set fuser=false
    python -m benchmark run --method voice2face --dataset folder --data-root my_people
    python -m benchmark run --method sf2f --columns recall_at_1,face_auc
    python -m benchmark run --method flowavse
    python -m benchmark run --method flowavse --task av_separation --set video=shuffled
    python -m benchmark run --method lipdiffuser --enrolment clean
    python -m benchmark run --method wiener --task lip2speech --split test_snr
    python -m benchmark run --method outputs --set folder=FACES --label "Speech2Face"
    """
    from benchmark.cli.console import bars, note, print_json
    from benchmark.cli.tables import check_columns, finish
    from benchmark.runs.session import Request, Session

    check_columns(options.names(columns))
    request = Request(
        method=method,
        task=task,
        preset=preset,
        config=config,
        sets=tuple(sets or ()),
        weights=weights,
        dataset=dataset,
        split=split,
        data_root=data_root,
        seconds=seconds,
        repeats=repeats,
        enrolment=enrolment,
        seed=seed,
        limit=limit,
        shard=shard,
        batch_size=batch_size,
        device=device,
        workers=workers,
        metrics=options.names(metrics),
        face_network=face_network,
        metric_sets=tuple(metric_sets or ()),
        references=references,
        runs=runs,
        retry_failed=retry_failed,
        fresh=fresh,
        label=label,
    )
    with bars(quiet) as progress:
        session = Session(request, lambda line: note(line, quiet), progress)
        plans = session.plans()
        if dry_run:
            print_json([plan.describe() for plan in plans])
            return
        results = session.run(plans)
    finish(
        plans[0].view,
        results,
        session.notes,
        signatures=signatures,
        as_json=as_json,
        quiet=quiet,
        allowed=fail_on_error,
        scorer=session.scored_with,
        unwritten=session.unwritten,
        retried=retry_failed,
        asked=options.names(metrics),
        columns=options.names(columns),
    )
