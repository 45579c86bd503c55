"""How a finished run is told: the table, notes, failures by reason, exit code."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from benchmark.cli.console import note, print_json, print_table
from benchmark.evaluation import RunView
from benchmark.reports import tables
from benchmark.results import Result


def show_results(results: Sequence[Result], columns: Sequence[str], signatures: bool) -> None:
    """The first result in full, with the values of the others beside it."""
    first, others = results[0], results[1:]
    spec = first.spec
    length = "whole recordings" if spec.seconds is None else f"{spec.seconds:g} s of speech"
    title = (
        f"{first.label} on {spec.dataset} {spec.split}: {first.speakers} speakers, {length}, "
        f"{spec.repeats} evaluation runs{'; PARTIAL, cannot be ranked' if first.partial else ''}"
    )
    rows = []
    for item in tables.chosen(results, columns):
        row = [tables.head(item), tables.number(item.value, item.unit), tables.interval(item)]
        row += [tables.number(item.spread, item.unit), f"{item.scored}/{item.total}"]
        for other in others:
            same = tables.same_definition(item, other)
            row.append(tables.number(same.value, same.unit) if same else "-")
        rows.append(row)
    heads = [
        "",
        first.label,
        "95 % interval",
        "run s.d.",
        "scored",
        *[other.label.replace("_", " ") for other in others],
    ]
    print_table(heads, rows, title, right=[1, *range(3, len(heads))])
    if signatures:
        print_table(["number", "signature"], [[item.name, item.signature] for item in first.aggregates])


def show_failures(result: Result, quiet: bool) -> None:
    for stage, reasons in (("generation", result.failures.generation), ("scoring", result.failures.scoring)):
        for reason, count in list(reasons.items())[:10]:
            note(f"{result.label}: {count} failed in {stage}: {reason}", quiet)


def finish(
    view: RunView,
    results: Sequence[Result],
    notes: Sequence[str],
    *,
    signatures: bool,
    as_json: bool,
    quiet: bool,
    allowed: int,
) -> None:
    """Write the report, print the table, and leave with 1 where more rows failed than `allowed`."""
    from benchmark.reports.run_report import write_report

    folder = write_report(view, results)
    if as_json:
        print_json([result.model_dump() for result in results])
    else:
        show_results(results, view.task.columns, signatures)
    for line in notes:
        note(line, quiet)
    for result in results:
        show_failures(result, quiet)
    note(f"Run: {view.run.path}   report: {folder}", quiet)
    if results[0].failures.count > allowed:
        raise typer.Exit(1)
