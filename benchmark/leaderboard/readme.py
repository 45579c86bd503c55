"""The tables in README, as `run` prints them, made of published results.

In README a line `<!-- table: TASK/DATASET METHOD -->` stands above a code block, which is replaced: the method first,
then the reference rows of its task, 120 places wide.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from benchmark.errors import SubmissionError
from benchmark.reports import fitted, tables
from benchmark.results.schema import Result
from benchmark.tasks import TASKS

WIDTH = 120
_BLOCK = re.compile(r"(<!-- table: (\w+)/(\w+) (\w+) -->\n```\n).*?(?=\n```\n)", re.DOTALL)


def rewritten(text: str, results: Iterable[Result]) -> str:
    """README with its tables made anew.

    Raises:
        SubmissionError: a table is asked for of whose method nothing is published.
    """
    published = list(results)

    def block(found: re.Match[str]) -> str:
        head, task, dataset, method = found.groups()
        rows = {each.label: each for each in published if (each.spec.task, each.spec.dataset) == (task, dataset)}
        if task not in TASKS or method not in rows:
            raise SubmissionError(
                f"README asks for a table of {method} ({task}, {dataset}), of which there is no result"
            )
        order = [rows[name] for name in dict.fromkeys([method, *TASKS[task].references]) if name in rows]
        columns = tables.chosen(order, TASKS[task].columns)
        return head + f"{fitted.caption(order[0])}\n\n{fitted.fitted(order, columns, WIDTH)}".rstrip()

    return _BLOCK.sub(block, text)
