"""How a finished run is told: the table, notes, failures by reason, exit code."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from benchmark.cli.console import note, print_json, print_table
from benchmark.reports import tables
from benchmark.reports.escaping import printable
from benchmark.results.schema import PairResult, Result
from benchmark.results.statistics import FEWEST
from benchmark.runs.evaluation import RunView
from benchmark.runs.scoring import Scorer

SHOWN_REASONS = 10


def show_results(results: Sequence[Result], columns: Sequence[str], signatures: bool) -> None:
    """The first result in full, with the values of the others beside it."""
    first, others = results[0], results[1:]
    spec = first.spec
    length = "whole recordings" if spec.seconds is None else f"{spec.seconds:g} s of speech"
    title = (
        f"{first.label} on {spec.dataset} {spec.split} ({spec.task}): {first.speakers} speakers, {length}, "
        f"{spec.repeats} evaluation run{'s' if spec.repeats > 1 else ''}"
        f"{f'; {first.why_unranked.upper()}, cannot be ranked' if first.why_unranked else ''}"
    )
    rows = []
    for item in tables.chosen(results, columns):
        row = [tables.head(item, first), tables.number(item.value, item.unit), tables.interval(item)]
        row += [tables.number(item.spread, item.unit), f"{item.scored}/{item.total}"]
        for other in others:
            same = tables.same_definition(item, other)
            beside = tables.remarks(same, other, first, item.scored) if same and same.value is not None else ""
            row.append(tables.number(same.value, same.unit) + beside if same else "-")
        rows.append(row)
    heads = [
        "",
        first.label,
        _interval_head("", first.speakers, "speakers"),
        "run s.d.",
        "scored",
        *[tables.label(other).replace("_", " ") for other in others],
    ]
    print_table(heads, rows, title, right=[1, *range(3, len(heads))])
    why: dict[tuple[str, int], list[str]] = {}
    for item in tables.chosen(results, columns):
        for reason, count in item.reasons.items():
            if reason.startswith("undefined: "):
                why.setdefault((reason.removeprefix("undefined: "), count), []).append(item.title)
    for (reason, count), titles in list(why.items())[:SHOWN_REASONS]:
        print(printable(f"undefined in {count}: {', '.join(titles)}: {reason}"))
    _more(len(why))
    for line in tables.without_interval(first, tables.chosen(results, columns)):
        print(printable(line))
    if signatures:
        print_table(["number", "signature"], [[item.name, item.signature] for item in first.aggregates])


def _interval_head(over: str, count: int, who: str) -> str:
    return f"95 % interval{over}" + (f" (from {FEWEST} {who} on)" if count < FEWEST else "")


def show_pairs(result: PairResult, signatures: bool) -> None:
    """A line per reported number."""
    who = result.clusters if result.clusters in ("files", "folders") else "speakers"
    against = f" against {result.spec.reference}" if result.spec.reference else ""
    clusters = "" if who == "files" else f", {result.speakers} {who}"
    title = f"{result.spec.estimate}{against}: {result.pairs} files{clusters}{'; PARTIAL' if result.partial else ''}"
    heads = [
        "",
        "value",
        _interval_head(f" over {who}", result.speakers, who),
        "scored",
        *(["signature"] if signatures else []),
    ]
    rows = []
    for item in result.aggregates:
        row = [tables.head(item, result), tables.number(item.value, item.unit), tables.interval(item)]
        row.append(f"{item.scored}/{item.total}")
        rows.append([*row, *([item.signature] if signatures else [])])
    print_table(heads, rows, title, right=[1, 3])
    for reason, count in list(result.undefined.items())[:SHOWN_REASONS]:
        print(printable(f"undefined in {count}: {reason}"))
    _more(len(result.undefined))
    for line in tables.without_interval(result, result.aggregates):
        print(printable(line))


def _more(reasons: int, quiet: bool = False) -> None:
    if reasons > SHOWN_REASONS:
        note(f"... and {reasons - SHOWN_REASONS} more reasons", quiet)


def show_failures(result: Result | PairResult, quiet: bool) -> None:
    for stage, reasons in (("generation", result.failures.generation), ("scoring", result.failures.scoring)):
        for reason, count in list(reasons.items())[:SHOWN_REASONS]:
            note(f"{result.label}: {count} failed in {stage}: {reason}", quiet)
        _more(len(reasons), quiet)


def retry_notes(failed: int, retried: bool, verb: str = "makes and measures") -> list[str]:
    """How rows that failed are tried again, where there are some and they were not just now.

    Args:
        verb: what the command does with an output.
    """
    if not failed or retried:
        return []
    line = f"The same command leaves failed rows as they are; with --retry-failed it {verb} them again"
    return [line + ("; after a change of the method's code take --fresh" if "makes" in verb else "")]


def finish(
    view: RunView,
    results: Sequence[Result],
    notes: Sequence[str],
    *,
    signatures: bool,
    as_json: bool,
    quiet: bool,
    allowed: int,
    scorer: Scorer | None,
    retried: bool,
    asked: Sequence[str],
    beside: Sequence[Result] = (),
    unwritten: Sequence[OSError] = (),
    verb: str = "makes and measures",
) -> None:
    """Print the table, write the report, and leave with 1 where more rows failed than `allowed`.

    Args:
        asked: what the user named; the table shows such numbers too.
        retried: what had failed before was tried again.
        beside: rows of the report that were not asked for now.
        unwritten: results that could not be written; raised when everything is told.
        verb: what the command does with outputs that failed, where they are to be retried.
    """
    from benchmark.reports.run_report import write_report
    from benchmark.runs.evaluation import fuller_result

    if as_json:
        print_json([result.model_dump() for result in results])
    else:
        show_results(results, tuple(dict.fromkeys([*view.task.columns, *asked])), signatures)
    lacking = write_report(view, [*results, *beside], scorer).notes if fuller_result(view) is None else []
    for result in results:
        show_failures(result, quiet)
    for line in [*notes, *lacking, *retry_notes(results[0].failures.rows, retried, verb)]:
        note(line, quiet)
    note(f"Run: {view.run.path}   report: {view.run.path / 'report'}", quiet)
    for error in unwritten:
        raise error
    if results[0].failures.rows > allowed:
        raise typer.Exit(1)
