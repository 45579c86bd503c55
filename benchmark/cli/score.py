"""`score`: measure the outputs of a run that is already there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmark.cli import options


def score(
    run: Annotated[str, typer.Argument(help="Run directory, or the beginning of its id.")],
    metrics: options.Metrics = None,
    face_network: options.FaceNetwork = "dlib",
    metric_sets: options.MetricSets = None,
    workers: options.Workers = None,
    data_root: options.DataRoot = None,
    limit: options.Limit = None,
    runs: options.Runs = Path("runs"),
    fail_on_error: options.FailOnError = 0,
    signatures: options.Signatures = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Score a run's outputs; rows already measured under the same signature are kept.

    \b
    python -m benchmark score runs/sf2f-talkers-3f2a9c01de --metrics retrieval --face-network facenet140
    python -m benchmark score RUN --metrics vggface_score --metric-set classifier=vggface2_resnet50
    """
    from benchmark.cli.console import bars, note
    from benchmark.cli.tables import finish
    from benchmark.evaluation import find_run
    from benchmark.session import score_run

    with bars(quiet) as progress:
        path = find_run(run, runs)
        view, result, notes = score_run(
            path,
            metrics=tuple(metrics or ()),
            face_network=face_network,
            metric_sets=tuple(metric_sets or ()),
            workers=workers,
            data_root=data_root,
            limit=limit,
            say=lambda line: note(line, quiet),
            progress=progress,
        )
    finish(view, [result], notes, signatures=signatures, as_json=as_json, quiet=quiet, allowed=fail_on_error)
