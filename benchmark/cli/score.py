"""`score`: measure files against files, or the outputs of a run that is already there."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from benchmark.cli import options


def score(
    run: Annotated[
        str | None, typer.Argument(help="Run directory, or the beginning of its id; or give --estimate.")
    ] = None,
    estimate: Annotated[
        Path | None,
        typer.Option(
            "--estimate",
            "-e",
            help="Speech or faces to be judged: a file, a folder, or a list (a path, or id and path, per line); of "
            "faces a folder or a picture for each person, PERSON/1.png or PERSON.png.",
        ),
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(
            "--reference",
            "-r",
            help="The clean speech, or the true faces, named alike; without it only some metrics apply.",
        ),
    ] = None,
    speakers: Annotated[
        Path | None,
        typer.Option(
            help="Table that says who speaks in each file or whose face it shows (id, speaker), or who the people are "
            "(person, sex, age); intervals are over speakers. "
            "Further columns are kept, to group by.  [default: by folder, else by file]"
        ),
    ] = None,
    texts: Annotated[
        str | None,
        typer.Option(
            help="What is said: a table of id and words, a folder of .txt or .lab files, or `grid` for names as bbaf2n."
        ),
    ] = None,
    align: Annotated[
        bool,
        typer.Option(
            "--align",
            help="First shift each pair into time, by its own delay or by the one that all share; a pair that has "
            "neither is undefined.",
        ),
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Folder of the scores.  [default: scores/NAME-HASH]")] = None,
    metrics: options.Metrics = None,
    face_network: options.FaceNetwork = "dlib",
    metric_sets: options.MetricSets = None,
    workers: options.Workers = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N; where files are scored, not a run.")] = "cpu",
    data_root: options.DataRoot = None,
    limit: options.Limit = None,
    runs: options.Runs = Path("runs"),
    retry_failed: options.RetryFailed = False,
    fail_on_error: options.FailOnError = 0,
    columns: options.Columns = None,
    by: options.By = None,
    signatures: options.Signatures = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Score files of speech or pictures of faces, or a run's outputs; what is measured already is kept.

    Which of the two is judged is seen from the files. A face meets all true faces of its person; everybody of the
    reference is in the gallery. With a row for each person, --speakers brings sex and age to be compared with.

    \b
    python -m benchmark score --reference clean/ --estimate enhanced/
    python -m benchmark score -r clean.wav -e enhanced.wav --metrics pesq_wb,estoi
    python -m benchmark score -e generated/ --texts grid --metrics wer
    python -m benchmark score --reference portraits/ --estimate generated/ --speakers people.csv
    python -m benchmark score -r portraits/ -e generated/ --metrics retrieval --face-network facenet140
    python -m benchmark score runs/sf2f-talkers-3f2a9c01de --metrics retrieval --face-network facenet140
    """
    from benchmark.cli.groups import check_by
    from benchmark.cli.tables import check_columns
    from benchmark.errors import UsageError

    check_columns(options.names(columns))
    asked_by = check_by(by)
    if (run is None) == (estimate is None):
        raise UsageError("score takes either a run, or files: `score RUN`, or `score --reference TRUE --estimate MADE`")
    if estimate is None:
        _refuse("goes with --estimate; a run has its own", reference=reference, speakers=speakers, texts=texts, out=out)
        _refuse("goes with --estimate", align=align or None, device=None if device == "cpu" else device)
        assert run is not None
        _score_run(
            run, metrics, face_network, metric_sets, workers, data_root, limit, runs, retry_failed, fail_on_error,
            options.names(columns), asked_by, signatures, as_json, quiet,
        )  # fmt: skip
        return
    _refuse(
        "goes with a run, not with --estimate",
        data_root=data_root,
        runs=None if runs == Path("runs") else runs,
    )
    from benchmark.cli.console import bars, note, print_json
    from benchmark.cli.groups import of_stored, show_all, told_with, write_all
    from benchmark.cli.tables import retry_notes, show_failures, show_pairs
    from benchmark.pairs.measuring import COLUMNS
    from benchmark.pairs.report import write_pair_report
    from benchmark.pairs.scoring import PairRequest, score_pairs
    from benchmark.results.comparison import scored_run

    request = PairRequest(
        estimate,
        reference,
        speakers,
        texts,
        align,
        options.names(metrics),
        tuple(metric_sets or ()),
        workers,
        device,
        limit,
        out,
        retry_failed,
        face_network,
        partial(check_by, by, of=estimate.name),
    )
    unwritten: list[OSError] = []
    with bars(quiet) as progress:
        scores = score_pairs(request, progress, unwritten)
    folder, result = scores.folder, scores.result
    if not as_json:
        shown = tuple(dict.fromkeys((*COLUMNS, *options.names(metrics)))) if result.judged == "faces" else ()
        show_pairs(result, signatures, options.names(columns), shown)
    for line in [*scores.notes, *write_pair_report(scores).notes]:
        note(line, quiet)
    groups = of_stored(scored_run(folder, result), asked_by, options.names(columns), None, quiet) if asked_by else []
    if as_json:
        print_json(told_with(result.model_dump(), groups))
    show_all([] if as_json else groups, signatures)
    write_all(folder / "report", groups, quiet)
    show_failures(result, quiet)
    for line in retry_notes(result.failures.rows, retry_failed, "measures"):
        note(line, quiet)
    note(f"Scores: {folder}   every file: {folder / 'scores.csv'}", quiet)
    for error in unwritten:
        raise error
    if result.failures.rows > fail_on_error:
        raise typer.Exit(1)


def _refuse(why: str, **given: object) -> None:
    from benchmark.errors import UsageError

    for name, value in given.items():
        if value is not None:
            raise UsageError(f"--{name.replace('_', '-')} {why}")


def _score_run(
    run: str,
    metrics: list[str] | None,
    face_network: str,
    metric_sets: list[str] | None,
    workers: int | None,
    data_root: Path | None,
    limit: int | None,
    runs: Path,
    retry_failed: bool,
    fail_on_error: int,
    columns: tuple[str, ...],
    by: tuple[str, ...],
    signatures: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    from benchmark.cli.console import bars, note
    from benchmark.cli.groups import check_by
    from benchmark.cli.tables import finish
    from benchmark.runs.evaluation import find_run, peers
    from benchmark.runs.session import score_run

    unwritten: list[OSError] = []
    with bars(quiet) as progress:
        path = find_run(run, runs)
        view, result, notes, scorer = score_run(
            path,
            metrics=options.names(metrics),
            face_network=face_network,
            metric_sets=tuple(metric_sets or ()),
            workers=workers,
            data_root=data_root,
            limit=limit,
            retry_failed=retry_failed,
            unwritten=unwritten,
            look_at=partial(check_by, by, of=path.name),
            say=lambda line: note(line, quiet),
            progress=progress,
        )
    finish(
        view,
        [result],
        notes,
        signatures=signatures,
        as_json=as_json,
        quiet=quiet,
        allowed=fail_on_error,
        scorer=scorer,
        retried=retry_failed,
        asked=options.names(metrics),
        columns=columns,
        beside=peers(view),
        unwritten=unwritten,
        verb="measures",
        by=by,
    )
