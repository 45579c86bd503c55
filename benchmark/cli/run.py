"""`run`: generate and score a method, beside its reference rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchmark.cli import options

if TYPE_CHECKING:
    from benchmark.protocols.following import Following


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
    protocol: options.PaperProtocol = None,
    default_networks: options.DefaultNetworks = False,
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
    by: options.By = None,
    signatures: options.Signatures = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    context: typer.Context = None,  # type: ignore[assignment]  # of the command line
) -> None:
    """Generate with a method, score, and print the table beside floors, peers and the ceiling.

    Finished work is kept: the same command continues an interrupted run, and --fresh begins anew.

    \b
    python -m benchmark run --method sf2f
    python -m benchmark run --method sf2f --seconds 1.25 --set fuser=false
    python -m benchmark run --method voice2face --dataset folder --data-root my_people
    python -m benchmark run --method sf2f --columns recall_at_1,face_auc
    python -m benchmark run --method sf2f --by sex
    python -m benchmark run --method flowavse
    python -m benchmark run --method flowavse --task av_separation --set video=shuffled
    python -m benchmark run --method lipdiffuser --enrolment clean
    python -m benchmark run --method wiener --task lip2speech --split test_snr
    python -m benchmark run --method sf2f --protocol sf2f/table3
    python -m benchmark run --method outputs --set folder=FACES --label "Speech2Face"
    """
    from dataclasses import replace

    from benchmark.cli.console import bars, note, print_json
    from benchmark.cli.groups import check_by
    from benchmark.cli.tables import check_columns, finish
    from benchmark.errors import UsageError
    from benchmark.runs.session import Request, Session

    check_columns(options.names(columns))
    asked_by = check_by(by)
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
    followed = None
    if protocol is not None:
        followed = followed_by(protocol, method, options.given(context), default_networks)
        request = replace(request, **followed.options, followed=followed.record)
        for line in followed.notes:
            note(line, quiet)
    elif default_networks:
        raise UsageError("--default-networks goes with --protocol: without one the metrics' own networks judge anyway")
    with bars(quiet) as progress:
        session = Session(request, lambda line: note(line, quiet), progress)
        plans = session.plans()
        check_by(by, plans[0].samples if by else None, f"{request.dataset} {request.split}")
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
        asked=options.names(metrics) or (followed.protocol.numbers if followed else ()),
        columns=options.names(columns),
        by=asked_by,
    )


def followed_by(name: str, method: str, given: Mapping[str, Any], default_networks: bool) -> Following:
    """A paper's protocol with what the user gave; its networks are here, or what needs them is left out.

    Raises:
        UsageError: the method is none for its task; that comes before any word on corpora and networks.
    """
    from benchmark.protocols.book import find
    from benchmark.protocols.following import OPTIONS, follow, on_this_machine
    from benchmark.registry import methods
    from benchmark.runs.session import check_serves

    protocol = find(name)
    check_serves(method, methods.load(method), protocol.task, f", which protocol {protocol.name} is of")
    asked = {key: given[key] for key in OPTIONS if key in given}
    if "metrics" in asked:
        asked["metrics"] = options.names(asked["metrics"])
    return on_this_machine(follow(protocol, asked, default_networks))
