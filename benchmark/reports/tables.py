"""Tables of results as text: pure functions."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence

from benchmark.reports import escaping
from benchmark.results.schema import Aggregate, PairResult, Result, is_probability
from benchmark.results.statistics import FEWEST, INTERVALS

PARTIAL = "A row with a remark behind its name (partial, mixed, changed) cannot be ranked."
"""What `label` means by it."""


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


def value(item: Aggregate) -> str:
    """The number of an aggregate as it is printed."""
    return named_number(item.name, item.value, item.unit)


def named_number(name: str, value: float | None, unit: str = "") -> str:
    """A value of one of our numbers as it is printed; see `number` and `probability`.

    >>> named_number("face_cosine", 0.0), named_number("craniofacial_jaw_width_p", 0.0)
    ('0.000', '< 0.001')
    """
    text = number(value, unit)
    return probability(text) if is_probability(name) else text


def probability(text: str) -> str:
    """A printed p-value, which is small but never 0.

    >>> probability("0.012"), probability("0.000"), probability("0.00"), probability("-")
    ('0.012', '< 0.001', '< 0.01', '-')
    """
    return f"< {text[:-1]}1" if set(text) == {"0", "."} else text


def interval(item: Aggregate) -> str:
    """`[10.1, 14.9]`, or `-` where there is none."""
    if item.low is None or item.high is None:
        return "-"
    return f"[{number(item.low, item.unit)}, {number(item.high, item.unit)}]"


def gallery(item: Aggregate) -> str:
    """How many people a recall looks among, as its signature states it: `100`, `2..14`; empty for other numbers."""
    stated = next((part for part in item.signature.split("|") if part.startswith("gallery:")), "")
    sizes = (re.fullmatch(r"(\d+(?:\.\.\d+)?)(?:x\d+)?", part) for part in stated.removeprefix("gallery:").split(","))
    return next((found[1] for found in sizes if found), "")


def chance(item: Aggregate, result: Result | PairResult) -> str:
    """What the number is when labels mean nothing, as the result measured it, printed like the number; or empty."""
    floor = result.aggregate(f"chance_{item.name}")
    return "" if floor is None or floor.value is None else number(floor.value, floor.unit)


def title(item: Aggregate) -> str:
    """Name and unit."""
    return f"{item.title} {item.unit}".strip()


def setting(item: Aggregate, result: Result | PairResult) -> str:
    """`of 100, chance 10.0` for a recall: without them it says nothing; empty for other numbers."""
    size, floor = gallery(item), chance(item, result)
    if not size or item.name.startswith("chance_"):
        return ""
    return f"of {size}" + (f", chance {floor}" if floor else "")


def head(item: Aggregate, result: Result | PairResult) -> str:
    """Column head: `R@10 % (of 100, chance 10.0) ↑`.

    Args:
        result: the row whose floor is stated; a row with another one says so in its cell.
    """
    arrow = {True: " ↑", False: " ↓", None: ""}[item.higher_is_better]
    about = setting(item, result)
    return f"{title(item)}{f' ({about})' if about else ''}{arrow}"


def label(result: Result | PairResult) -> str:
    """A row's name, with the reason why it cannot be ranked, if there is one."""
    return f"{result.label} ({result.why_unranked})" if result.why_unranked else result.label


def chosen(results: Sequence[Result | PairResult], columns: Sequence[str]) -> list[Aggregate]:
    """The first result's aggregates named by `columns`, then all numbers of each metric that has none among them."""
    own = {item.name: item for item in results[0].aggregates}
    named = [own[name] for name in columns if name in own]
    metrics = {item.metric for item in named}
    return named + [item for item in own.values() if item.metric not in metrics]


ALL = "all"
"""Stands for every number that was measured, where columns are named."""


def named(result: Result | PairResult, names: Sequence[str]) -> list[Aggregate]:
    """The numbers that a user names, in that order: by their names, all of a metric by its name, or `all`."""
    found: dict[str, Aggregate] = {}
    for name in names:
        own = result.aggregate(name)
        for item in [own] if own else result.aggregates:
            if own or name in (ALL, item.metric):
                found[item.name] = item
    return list(found.values())


def same_definition(item: Aggregate, result: Result | PairResult) -> Aggregate | None:
    """The result's number of that name, unless its signature differs: such numbers never share a column."""
    other = result.aggregate(item.name)
    return other if other is not None and other.signature == item.signature else None


def coverage(result: Result | PairResult, items: Sequence[Aggregate]) -> str:
    """Outputs that the numbers shown stand on, of those asked for: `200/200`, or `370..1000/1000` where they differ."""
    shown = _counted(result, items)
    if not shown:
        return "-"
    least, most = min(item.scored for item in shown), max(item.scored for item in shown)
    return f"{least if least == most else f'{least}..{most}'}/{shown[0].total}"


def outputs(result: Result | PairResult, items: Sequence[Aggregate]) -> int:
    """How many outputs the reader takes a row's numbers to stand on: the most that one of them does."""
    return max((item.scored for item in _counted(result, items)), default=0)


def _counted(result: Result | PairResult, items: Sequence[Aggregate]) -> list[Aggregate]:
    """The row's numbers in the columns; of those the ones that have a value, where any has."""
    shown = [own for item in items if (own := same_definition(item, result))]
    return [item for item in shown if item.value is not None] or shown


def remarks(item: Aggregate, result: Result | PairResult, first: Result | PairResult, outputs: int) -> str:
    """What a reader of one cell has to know beside the column's head: ` (n 980)`, ` (chance 12.5)`, or nothing.

    Args:
        item: the result's own number.
        first: the row that the head is of.
        outputs: how many outputs the reader takes the number to stand on.
    """
    told = [f"n {item.scored}"] if item.scored != outputs else []
    floor = chance(item, result)
    told += [f"chance {floor}"] if setting(item, result) and floor != chance(item, first) else []
    return f" ({', '.join(told)})" if told else ""


def markdown(results: Sequence[Result | PairResult], columns: Sequence[str]) -> str:
    """One row per result, value with interval."""
    items = chosen(results, columns)
    heads = [escaping.markdown(head(item, results[0])) for item in items]
    lines = _protocol(results[0])
    lines += ["| method | " + " | ".join(heads) + " | scored |"]
    lines.append("|---|" + "---:|" * (len(items) + 1))
    for result in results:
        cells = [_cell(item, result, results[0], items) for item in items]
        name = escaping.markdown(label(result))
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {coverage(result, items)} |")
    lines += ["", *legend(results)]
    lines += map(escaping.markdown, of_drawn_people(results))
    for result in results:
        lines += [escaping.markdown(f"{result.label}: {line}") for line in without_interval(result, items)]
    lines += ["", "Signatures:", ""]
    lines.extend(f"- {escaping.markdown(item.title)}: {escaping.markdown_code(item.signature)}" for item in items)
    return "\n".join(lines) + "\n"


def _protocol(result: Result | PairResult) -> list[str]:
    """Whose evaluation it is, and what of it is not kept; nothing where no paper's was asked for."""
    followed = getattr(result, "protocol", None)
    if followed is None:
        return []
    about = "; not as the paper:" if followed.departures else ", kept in full."
    departures = [f"- {escaping.markdown(line)}" for line in followed.departures]
    return [f"Protocol {escaping.markdown(followed.name)}{about}", "", *departures, *([""] if departures else [])]


def clusters(result: Result | PairResult) -> str:
    """What an interval is over, in a word."""
    known = getattr(result, "clusters", "speakers")
    return known if known in ("files", "folders", "people") else "speakers"


def legend(results: Sequence[Result | PairResult]) -> list[str]:
    """What the marks of a table mean, a sentence a line."""
    who = clusters(results[0])
    lines = [f"Brackets: 95 % interval over {who}, from {FEWEST} on; n: outputs that a number stands on."]
    if any(result.partial for result in results):
        lines.append(PARTIAL)
    if older := sum(result.intervals != INTERVALS for result in results):
        rows = f"{older} of {len(results)} rows"
        lines.append(f"The intervals of {rows} are of an older kind, too narrow for few {who}: score them again.")
    return lines


def of_drawn_people(results: Sequence[Result | PairResult]) -> list[str]:
    """Which rows are of weights that learnt drawn people alone, and are measured on others; no line where none is."""
    rows = [result for result in results if isinstance(result, Result) and result.learnt_others]
    if not rows:
        return []
    names = ", ".join(dict.fromkeys(row.label for row in rows))
    whose = " and ".join(sorted({row.drawn_people for row in rows}))
    return [
        f"Trained on the drawn people of {whose} alone: {names}. On others such numbers say how far these weights "
        "carry, not what the method can do."
    ]


def without_interval(result: Result | PairResult, items: Sequence[Aggregate]) -> list[str]:
    """Why numbers of a row that have a value have no interval, a line for each reason.

    Where there are too few speakers for any number, the head of the column tells it.
    """
    why: dict[str, list[str]] = {}
    for item in items:
        own = same_definition(item, result)
        if own is not None and own.no_interval and result.speakers >= FEWEST:
            why.setdefault(own.no_interval, []).append(own.title)
    return [f"no interval: {', '.join(titles)}: {reason}" for reason, titles in why.items()]


def _cell(item: Aggregate, result: Result | PairResult, first: Result | PairResult, items: Sequence[Aggregate]) -> str:
    """A value with its interval; where there is no value, the commonest reason."""
    own = same_definition(item, result)
    if own is None:
        return "-"
    if own.value is None and own.reasons:
        return escaping.markdown(max(own.reasons, key=lambda reason: own.reasons[reason]))
    return value(own) + _beside(own, result, first, items)


def _beside(own: Aggregate, result: Result | PairResult, first: Result | PairResult, items: Sequence[Aggregate]) -> str:
    """What follows a value in its cell: the interval, and remarks."""
    told = remarks(own, result, first, outputs(result, items))
    return ("" if own.low is None else f" {interval(own)}") + told


def latex(results: Sequence[Result | PairResult], columns: Sequence[str]) -> str:
    """A `booktabs` table, one row per result; wants `\\usepackage{booktabs}` and nothing else."""
    items = chosen(results, columns)
    heads = []
    for item in items:
        name, about = escaping.latex(title(item)) + _DIRECTION[item.higher_is_better], setting(item, results[0])
        heads.append(rf"\shortstack[r]{{{name}\\{escaping.latex(about)}}}" if about else name)
    lines = [r"\begin{tabular}{l" + "r" * (len(items) + 1) + "}", r"\toprule"]
    lines += [f"Method & {' & '.join([*heads, 'Scored'])} \\\\", r"\midrule"]
    for result in results:
        cells = [_latex_cell(item, result, results[0], items) for item in items]
        lines.append(f"{escaping.latex(label(result))} & {' & '.join([*cells, coverage(result, items)])} \\\\")
    lines.append(r"\bottomrule")
    for line in [*legend(results), *of_drawn_people(results)]:
        lines.append(rf"\multicolumn{{{len(items) + 2}}}{{l}}{{\footnotesize {escaping.latex(line)}}} \\")
    lines.append(r"\end{tabular}")
    return "\n".join(lines) + "\n"


def _latex_cell(
    item: Aggregate, result: Result | PairResult, first: Result | PairResult, items: Sequence[Aggregate]
) -> str:
    own = same_definition(item, result)
    if own is None or own.value is None:
        return "--"
    more = _beside(own, result, first, items).strip()
    return f"${value(own)}$" + (rf" {{\scriptsize {more}}}" if more else "")


def long_csv(results: Sequence[Result | PairResult]) -> str:
    """Every number of every result, one a line, with all that belongs to it."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        [
            *("method", "run_id", "metric", "value", "low", "high", "spread", "scored", "total", "unit", "signature"),
            *("gallery", "chance", "partial", "sd"),
        ]
    )
    for result in results:
        for item in result.aggregates:
            floor = result.aggregate(f"chance_{item.name}")
            numbers = (item.value, item.low, item.high, item.spread, floor.value if floor else None)
            *about, by_chance = ["" if x is None else repr(x) for x in numbers]
            row = [*map(escaping.csv_cell, (result.label, result.run_id, item.name)), *about, item.scored, item.total]
            row += [*map(escaping.csv_cell, (item.unit, item.signature, gallery(item))), by_chance]
            writer.writerow([*row, str(result.partial).lower(), "" if item.sd is None else repr(item.sd)])
    return out.getvalue()


_DIRECTION = {True: r" $\uparrow$", False: r" $\downarrow$", None: ""}
