"""Tables of results as text: pure functions."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence

from benchmark.results import Aggregate, PairResult, Result
from benchmark.statistics import FEWEST


def number(value: float | None, unit: str = "") -> str:
    """A value as it is printed: per cent with one decimal, others with three significant digits or three decimals.

    >>> number(0.12345, "%"), number(0.12345), number(18.237), number(-0.0001), number(None)
    ('12.3', '0.123', '18.24', '0.000', '-')
    """
    if value is None:
        return "-"
    digits = 1 if unit == "%" else 3 if abs(value) < 10 else 2
    text = f"{100 * value if unit == '%' else value:.{digits}f}"
    return text if float(text) else text.lstrip("-")


def interval(item: Aggregate) -> str:
    """`[10.1, 14.9]`, or `-` where there is none."""
    if item.low is None or item.high is None:
        return "-"
    return f"[{number(item.low, item.unit)}, {number(item.high, item.unit)}]"


def head(item: Aggregate) -> str:
    """Column head with unit and direction."""
    arrow = {True: " ↑", False: " ↓", None: ""}[item.higher_is_better]
    return f"{item.title}{f' {item.unit}' if item.unit else ''}{arrow}"


def chosen(results: Sequence[Result | PairResult], columns: Sequence[str]) -> list[Aggregate]:
    """The first result's aggregates named by `columns`; all of them where a custom choice left none of these."""
    own = {item.name: item for item in results[0].aggregates}
    return [own[name] for name in columns if name in own] or list(results[0].aggregates)


def same_definition(item: Aggregate, result: Result | PairResult) -> Aggregate | None:
    """The result's number of that name, unless its signature differs: such numbers never share a column."""
    other = result.aggregate(item.name)
    return other if other is not None and other.signature == item.signature else None


def markdown(results: Sequence[Result | PairResult], columns: Sequence[str]) -> str:
    """One row per result, value with interval."""
    items = chosen(results, columns)
    lines = ["| method | " + " | ".join(head(item) for item in items) + " | scored |"]
    lines.append("|---|" + "---:|" * (len(items) + 1))
    for result in results:
        cells = []
        for item in items:
            own = same_definition(item, result)
            cells.append(_cell(own))
        lines.append(f"| {escape_markdown(result.label)} | " + " | ".join(cells) + f" | {coverage(result)} |")
    lines.append("")
    clusters = getattr(results[0], "clusters", "speakers")
    who = clusters if clusters in ("files", "folders") else "speakers"
    lines.append(f"Brackets: 95 % bootstrap interval over {who}, from {FEWEST} on. Signatures:")
    lines.append("")
    lines.extend(f"- {item.title}: `{item.signature}`" for item in items)
    return "\n".join(lines) + "\n"


def _cell(item: Aggregate | None) -> str:
    """A value with its interval; where no row has a value, the commonest reason."""
    if item is None:
        return "-"
    if item.value is None and item.reasons:
        return escape_markdown(max(item.reasons, key=lambda reason: item.reasons[reason]))
    value = number(item.value, item.unit)
    return value if item.low is None else f"{value} {interval(item)}"


def latex(results: Sequence[Result | PairResult], columns: Sequence[str]) -> str:
    """A `booktabs` table, one row per result."""
    items = chosen(results, columns)
    lines = [r"\begin{tabular}{l" + "r" * len(items) + "}", r"\toprule"]
    heads = [escape_latex(f"{item.title} {item.unit}".strip()) + _DIRECTION[item.higher_is_better] for item in items]
    lines.append("Method & " + " & ".join(heads) + r" \\")
    lines.append(r"\midrule")
    for result in results:
        cells = []
        for item in items:
            own = same_definition(item, result)
            cells.append("--" if own is None or own.value is None else number(own.value, own.unit))
        lines.append(f"{escape_latex(result.label)} & " + " & ".join(cells) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    return "\n".join(lines) + "\n"


def long_csv(results: Sequence[Result | PairResult]) -> str:
    """Every number of every result, one a line, with all that belongs to it."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        ["method", "run_id", "metric", "value", "low", "high", "spread", "scored", "total", "unit", "signature"]
    )
    for result in results:
        for item in result.aggregates:
            numbers = ["" if x is None else repr(x) for x in (item.value, item.low, item.high, item.spread)]
            row = [result.label, result.run_id, item.name, *numbers, item.scored, item.total, item.unit, item.signature]
            writer.writerow(row)
    return out.getvalue()


def coverage(result: Result | PairResult) -> str:
    """Rows scored of rows asked for: the least of any number that the result has."""
    known = [item for item in result.aggregates if item.value is not None] or result.aggregates
    if not known:
        return "-"
    least = min(known, key=lambda item: item.scored)
    return f"{least.scored}/{least.total}{' (partial)' if result.partial else ''}"


_DIRECTION = {True: r" $\uparrow$", False: r" $\downarrow$", None: ""}
_LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}


def escape_latex(text: str) -> str:
    return re.sub(r"[\\~^&%$#_{}]", lambda match: _LATEX.get(match[0], "\\" + match[0]), text)


def escape_markdown(text: str) -> str:
    return re.sub(r"([|<>`*\[\]])", r"\\\1", text)
