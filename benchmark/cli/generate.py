"""`generate`: a method's outputs, without scoring them."""

from __future__ import annotations

from pathlib import Path

import typer

from benchmark.cli import options


def generate(
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
    runs: options.Runs = Path("runs"),
    retry_failed: options.RetryFailed = False,
    fresh: options.Fresh = False,
    label: options.Label = None,
    fail_on_error: options.FailOnError = 0,
    dry_run: options.DryRun = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Generate once; score as often as you like with `score RUN`.

    \b
    python -m benchmark generate --method sf2f --shard 1/4
    """
    from benchmark import tracebacks
    from benchmark.cli.console import bars, note, print_json
    from benchmark.cli.tables import retry_notes
    from benchmark.runs.evaluation import evaluate
    from benchmark.runs.generation import batches
    from benchmark.runs.session import Request, Session, notes_on_code, remarks_on

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
        references=False,
        runs=runs,
        fresh=fresh,
        label=label,
    )
    with bars(quiet) as progress:
        session = Session(request, lambda line: note(line, quiet), progress)
        plan = session.plans()[0]
        if dry_run:
            print_json(plan.describe())
            return
        there = evaluate(plan, None, progress(plan.method.label), retry_failed=retry_failed, fresh=fresh)
    known = plan.run.predictions()
    work = batches(plan.samples, plan.protocol.repeats, plan.batch_size, plan.shard)
    made = {key: known[key] for batch in work for key in batch.keys if key in known}
    failed = [row for row in made.values() if row.status != "ok"]
    if as_json:
        print_json({"run": str(plan.run.path), "made": len(made) - len(failed), "failed": len(failed)})
    else:
        print(plan.run.path)
        kept = f"; {there} of them kept from an earlier command" if there else ""
        note(f"{len(made) - len(failed)} outputs, {len(failed)} failed{kept}", quiet)
    makers = plan.run.makers(row.made_by for row in made.values())
    about_code = notes_on_code(plan.method.label, plan.method.name, makers, plan.source)
    for line in [*session.notes, *remarks_on(made.values(), plan.samples), *about_code]:
        note(line, quiet)
    for row in failed[:10]:
        note(f"  failed: {row.sample} repeat {row.repeat}: {row.reason}", quiet)
    for line in [*tracebacks.notes(plan.run.path, failed), *retry_notes(len(failed), retry_failed)]:
        note(line, quiet)
    if len(failed) > fail_on_error:
        raise typer.Exit(1)
