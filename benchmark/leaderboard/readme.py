"""The tables in README, made of published results.

A line `<!-- table: TASK/DATASET METHOD -->` stands above a code block, which becomes what `run` prints: the method
first, then the reference rows of its task, 120 places wide.

Between `<!-- paper: PAPER/N COLUMNS -->` and `<!-- /paper -->` stands what `table PAPER/N --columns COLUMNS` makes of
published results on the embedded dataset; all columns where none are named.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from benchmark.errors import BenchmarkError, SubmissionError
from benchmark.reports import fitted, tables
from benchmark.results.schema import Result
from benchmark.tasks import TASKS

WIDTH = 120
_MARK = re.compile(r"^<!-- (?:table|paper):.*$", re.MULTILINE)
_BLOCK = re.compile(r"(<!-- table: (\w+)/(\w+) (\w+) -->\n```\n).*?(?=^```\n)", re.DOTALL | re.MULTILINE)
_PAPER = re.compile(r"(<!-- paper: (\w+/\d+)(?: ([^\n]+?))? -->\n).*?(?=\n<!-- /paper -->\n)", re.DOTALL)


def rewritten(text: str, results: Sequence[Result]) -> str:
    """README with its tables made anew.

    Raises:
        SubmissionError: a table is asked for of whose method nothing is published, or that no paper has, or a line
            that asks for one is not understood.
    """
    understood = sum(len(pattern.findall(text)) for pattern in (_BLOCK, _PAPER))
    if understood != len(marks := _MARK.findall(text)):
        raise SubmissionError(
            f"README asks for tables by {'; '.join(marks)}: expected each to be <!-- table: TASK/DATASET METHOD --> "
            "above a code block, or <!-- paper: PAPER/N COLUMNS --> with <!-- /paper --> below it"
        )
    text = _BLOCK.sub(lambda found: f"{found[1]}{_run(results, *found.groups()[1:])}\n", text)
    return _PAPER.sub(lambda found: found[1] + _paper(results, *found.groups()[1:]), text)


def _run(published: Sequence[Result], task: str, dataset: str, method: str) -> str:
    rows = {each.label: each for each in published if _is_of(each, task, dataset)}
    if method not in rows:
        raise SubmissionError(f"README asks for a table of {method} ({task}, {dataset}), of which there is no result")
    order = [rows[name] for name in dict.fromkeys([method, *TASKS[task].references]) if name in rows]
    columns = tables.chosen(order, TASKS[task].columns)
    return f"{fitted.caption(order[0])}\n\n{fitted.fitted(order, columns, WIDTH)}".rstrip()


def _is_of(result: Result, task: str, dataset: str) -> bool:
    """Whether it is a row of what `run` measures where nothing else is said: the test split, the task's own lengths."""
    if task not in TASKS or (result.spec.task, result.spec.dataset, result.spec.split) != (task, dataset, "test"):
        return False
    protocol = TASKS[task].protocol
    return (result.spec.seconds, result.spec.repeats, result.spec.seed) == (protocol.seconds, protocol.repeats, 0)


def _paper(published: Sequence[Result], name: str, columns: str | None) -> str:
    from benchmark.papers.beside import fill, named
    from benchmark.papers.needs import EMBEDDED
    from benchmark.papers.tables import markdown_part
    from benchmark.results.finding import Kept

    kept = [Kept(Path(result.run_id), result, published=True) for result in published]
    asked = [part.strip() for part in columns.split(",")] if columns else ()
    try:
        (table,) = named(name)
        return markdown_part(fill(table, kept, dataset=EMBEDDED, columns=asked)).rstrip()
    except BenchmarkError as error:
        raise SubmissionError(f"README asks for {name}: {error}") from error
