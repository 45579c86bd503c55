"""How a finished run is told: the table, notes, failures by reason, exit code."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from benchmark.cli.console import (
    complain,
    note,
    print_json,
    print_lines,
    print_spans,
    print_table,
    shows_bold,
    terminal_width,
)
from benchmark.errors import UnknownName, did_you_mean
from benchmark.reports import fitted, tables
from benchmark.results.schema import Aggregate, PairResult, Result
from benchmark.results.statistics import FEWEST
from benchmark.runs.evaluation import RunView
from benchmark.runs.scoring import Scorer

SHOWN_REASONS = 10


def show_results(
    results: Sequence[Result], columns: Sequence[str], signatures: bool, named: Sequence[str] = ()
) -> None:
    """One result as a list of its numbers; several as a table with a row for each.

    On a terminal the table has the columns that there is room for; elsewhere all of them, whatever that takes.

    Args:
        columns: numbers of the short table, what matters most first.
        named: what the user wants to see instead, however narrow the terminal is.
    """
    items = tables.named(results[0], named)
    _note_absent(results[0], named)
    whole = bool(items)
    items = items or tables.chosen(results, columns)
    if len(results) == 1:
        _show_list(results[0], items)
        print_lines(tables.of_drawn_people(results))
    else:
        items = _show_rows(results, items, whole)
    _show_undefined(results, items)
    print_lines(tables.without_interval(results[0], items))
    if signatures:
        first = results[0]
        print_table(["number", "signature"], [[item.name, item.signature] for item in first.aggregates])


def _show_list(result: Result, items: Sequence[Aggregate]) -> None:
    heads = ["", "value", _interval_head("", result.speakers, "speakers"), "run s.d."]
    rows = [
        [
            tables.head(item, result),
            tables.value(item),
            tables.interval(item),
            tables.number(item.spread, item.unit),
        ]
        for item in items
    ]
    if any(item.sd is not None for item in items):
        heads.append("output s.d.")
        rows = [[*row, tables.number(item.sd, item.unit)] for row, item in zip(rows, items, strict=True)]
    rows = [[*row, f"{item.scored}/{item.total}"] for row, item in zip(rows, items, strict=True)]
    caption, *protocol = fitted.heading(result)
    print_lines([caption, *protocol, ""] if protocol else [])
    title = "" if protocol else caption
    print_table([*heads, "scored"], rows, title, right=[1, *range(3, len(heads) + 1)])


def _show_rows(results: Sequence[Result], items: Sequence[Aggregate], whole: bool) -> Sequence[Aggregate]:
    """Print the table; returns the numbers in it."""
    width = terminal_width()
    table = fitted.fitted(results, items, width, whole)
    print_lines([*fitted.heading(results[0]), ""])
    print_spans([[(span.text, span.best) for span in line] for line in table.lines])
    print_lines(["", *fitted.sentences(table, results, bold=shows_bold())])
    return table.shown


def _show_undefined(results: Sequence[Result | PairResult], items: Sequence[Aggregate]) -> None:
    """Why the first result's numbers stand on fewer outputs, and why others have none."""
    why: dict[tuple[str, str, int], list[str]] = {}
    for result in results:
        for item in filter(None, (tables.same_definition(item, result) for item in items)):
            for reason, count in item.reasons.items():
                if reason.startswith("undefined: ") and (result is results[0] or item.value is None):
                    key = (result.label, reason.removeprefix("undefined: "), count)
                    why.setdefault(key, []).append(item.title)
    for (label, reason, count), titles in list(why.items())[:SHOWN_REASONS]:
        whose = f"{label}, " if len(results) > 1 else ""
        print_lines([f"{whose}undefined in {count}: {', '.join(titles)}: {reason}"])
    _more(len(why))


def _note_absent(result: Result | PairResult, named: Sequence[str]) -> None:
    known = [tables.ALL, *(item.name for item in result.aggregates), *(item.metric for item in result.aggregates)]
    for name in named:
        if name not in known:
            note(
                f"--columns {name}: {result.label} has no such number."
                f"{did_you_mean(name, known) or ' It has: ' + ', '.join(item.name for item in result.aggregates)}"
            )


def check_columns(names: Sequence[str]) -> None:
    """Refuse a column that no metric yields, before anything is done.

    Raises:
        UnknownName: as said; where there are metrics of other packages, whose numbers only a result names, never.
    """
    from benchmark.registry import NUMBERS, metrics

    if any(metrics.entry(name).origin for name in metrics):
        return
    known = [tables.ALL, *metrics, *NUMBERS]
    for name in names:
        if name not in known:
            raise UnknownName(
                f"--columns {name}: no such number.{did_you_mean(name, known)} Numbers: `show TASK` names those of "
                "its table, `--columns all` shows every one"
            )


def _interval_head(over: str, count: int, who: str) -> str:
    return f"95 % interval{over}" + (f" (from {FEWEST} {who} on)" if count < FEWEST else "")


def show_pairs(result: PairResult, signatures: bool, named: Sequence[str] = (), columns: Sequence[str] = ()) -> None:
    """A line per reported number, or per number that the user named.

    Args:
        columns: the numbers shown of metrics that have many, what matters most first. Of these what no file has is left
            out of the list and told below it.
    """
    who = tables.clusters(result)
    against = f" against {result.spec.reference}" if result.spec.reference else ""
    clusters = "" if who == "files" else f", {result.speakers} {who}"
    files = "faces" if result.judged == "faces" else "files"
    title = f"{result.spec.estimate}{against}: {result.pairs} {files}{clusters}{'; PARTIAL' if result.partial else ''}"
    heads = [
        "",
        "value",
        _interval_head(f" over {who}", result.speakers, who),
        "scored",
        *(["signature"] if signatures else []),
    ]
    rows = []
    _note_absent(result, named)
    items = tables.named(result, named)
    absent: list[Aggregate] = []
    if not items:
        items = tables.chosen([result], columns)
        absent = [item for item in items if columns and item.value is None]
        items = [item for item in items if item not in absent]
    for item in items:
        row = [tables.head(item, result), tables.value(item), tables.interval(item)]
        row.append(f"{item.scored}/{item.total}")
        rows.append([*row, *([item.signature] if signatures else [])])
    print_table(heads, rows, title, right=[1, 3])
    for reason, count in list(result.undefined.items())[:SHOWN_REASONS]:
        print_lines([f"undefined in {count}: {reason}"])
    _more(len(result.undefined))
    _show_undefined([result], absent)
    print_lines(tables.without_interval(result, items if columns else result.aggregates))


def _more(reasons: int, quiet: bool = False) -> None:
    if reasons > SHOWN_REASONS:
        note(f"... and {reasons - SHOWN_REASONS} more reasons", quiet)


def show_failures(result: Result | PairResult, quiet: bool) -> None:
    for stage, reasons in (("generation", result.failures.generation), ("scoring", result.failures.scoring)):
        for reason, count in list(reasons.items())[:SHOWN_REASONS]:
            note(f"{result.label}: {count} failed in {stage}: {reason}", quiet)
        _more(len(reasons), quiet)


def _why_nothing(result: Result) -> str:
    """That a row has no output at all, and the reasons."""
    reasons = list(result.failures.generation.items())
    head = f"{result.label} made none of {sum(result.failures.generation.values())} outputs"
    if len(reasons) == 1:
        return f"{head}: {reasons[0][0]}"
    more = [f"  ... and {len(reasons) - SHOWN_REASONS} more reasons"] if len(reasons) > SHOWN_REASONS else []
    return "\n".join([f"{head}:", *(f"  {count}: {why}" for why, count in reasons[:SHOWN_REASONS]), *more])


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
    columns: Sequence[str] = (),
    beside: Sequence[Result] = (),
    unwritten: Sequence[OSError] = (),
    verb: str = "makes and measures",
    by: Sequence[str] = (),
) -> None:
    """Print the table, write the report, and leave with 1 where more rows failed than `allowed`.

    Args:
        asked: metrics that the user named; the table shows such numbers too.
        columns: numbers that the user wants in the table, instead of those it would have.
        retried: what had failed before was tried again.
        beside: rows of the report that were not asked for now.
        unwritten: results that could not be written; raised when everything is told.
        verb: what the command does with outputs that failed, where they are to be retried.
        by: attributes that every number is shown over groups of.
    """
    from benchmark.cli.groups import of_view, show_all, told_with, write_all
    from benchmark.reports.run_report import write_report
    from benchmark.runs.evaluation import fuller_result, made_nothing

    nothing = made_nothing(view)
    if nothing:
        complain(_why_nothing(results[0]))
    if not as_json and (len(results) > 1 or not nothing):
        show_results(results, tuple(dict.fromkeys([*view.task.columns, *asked])), signatures, columns)
    lacking = write_report(view, [*results, *beside], scorer).notes if fuller_result(view) is None else []
    groups = of_view(view, [*results, *beside], by, columns) if by else []
    if as_json:
        print_json(told_with([result.model_dump() for result in results], groups))
    show_all([] if as_json else groups, signatures)
    write_all(view.run.path / "report", groups, quiet)
    for result in results[1:] if nothing else results:
        show_failures(result, quiet)
    for line in [*notes, *lacking, *retry_notes(results[0].failures.rows, retried, verb)]:
        note(line, quiet)
    note(f"Run: {view.run.path}   report: {view.run.path / 'report'}", quiet)
    for error in unwritten:
        raise error
    if results[0].failures.rows > allowed:
        raise typer.Exit(1)
