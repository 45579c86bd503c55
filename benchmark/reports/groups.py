"""Numbers over groups as text and as a picture: pure functions of `benchmark.results.groups.Grouped`."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from benchmark.reports import escaping
from benchmark.reports.figures import COLOURS, GREY, INK, PAGE, SMALL, TEXT, drawn_text, figure_file, grid, series
from benchmark.reports.tables import named_number, number, setting, title
from benchmark.results.attributes import NOT_STATED
from benchmark.results.groups import Apart, Grouped, GroupNumber, Number
from benchmark.results.schema import Result
from benchmark.results.statistics import FEWEST

SURE = 0.05
"""A difference whose p, corrected, is below is told as one."""
EVERYBODY = (
    "The faces of a group are looked for among everybody: galleries, mismatched pairs and chance levels are those of "
    "all groups."
)
ONE = "There is one group only: nothing to hold it against."
LEGEND = 90
"""Letters of names that a line of the legend has room for."""
PANELS = 12
"""Numbers that are drawn at most."""


def heads(found: Grouped) -> list[str]:
    """Of the columns of `lines`."""
    return ["", found.grouping.name, "value", "95 % interval", found.grouping.against, "p", "scored", "speakers"]


def lines(found: Grouped) -> list[list[str]]:
    """A line for each number and group; the number stands in the first of its lines."""
    return [
        [
            "" if place else _head(each, found),
            own.group,
            named_number(each.item.name, own.value, each.item.unit),
            _interval(own.low, own.high, each.item.unit),
            signed_interval(own.apart.difference, own.apart.low, own.apart.high, each.item.unit) if own.apart else "",
            p_text(own.apart),
            f"{own.scored}/{own.total}",
            str(own.speakers),
        ]
        for each in found.numbers
        for place, own in enumerate(each.groups)
    ]


def caption(found: Grouped) -> str:
    """`sf2f on talkers test (speech2face) by sex. f: 50 samples of 50 speakers; m: 50 of 50`."""
    spec = found.run.result.spec
    where = f" on {spec.dataset} {spec.split} ({spec.task})" if isinstance(found.run.result, Result) else ""
    return f"{found.run.name}{where} by {sizes(found)}"


def sizes(found: Grouped) -> str:
    """`sex. f: 50 samples of 50 speakers; m: 50 of 50`: what makes the groups, and how large they are."""
    cut = f", {found.grouping.cut}" if found.grouping.cut else ""
    told = [
        f"{label}: {samples} {'samples ' if not place else ''}of {speakers}{' speakers' if not place else ''}"
        for place, (label, (samples, speakers)) in enumerate(found.sizes.items())
    ]
    return f"{found.grouping.name}{cut}. {'; '.join(told)}"


def notes(found: Grouped) -> list[str]:
    """What a reader has to know, a sentence a line."""
    told = [f"Brackets: 95 % interval over the speakers of a group, from {FEWEST} on."]
    stated = found.grouping.stated
    if found.grouping.of_two:
        told.append(f"Difference: {stated[0]} less {stated[1]}.")
    elif len(stated) > 2:
        told.append("Difference: each group less all other groups together.")
    else:
        told.append(ONE)
    if found.tests:
        told.append(
            "p: how often a difference is as large when the groups are dealt at random, corrected for "
            f"{found.tests} difference{'s' if found.tests > 1 else ''} (Holm)."
        )
    if any(among_everybody(each, found) for each in found.numbers):
        told.append(EVERYBODY)
    for why, titles in _by_reason(_of_groups(found.numbers, "no_value")).items():
        told.append(f"No value: {', '.join(titles)}: {why}.")
    for why, titles in _by_reason((each.no_difference, each.item.title) for each in found.numbers).items():
        told.append(f"No difference: {', '.join(titles)}: {why}.")
    if few := _few(found):
        told.append(f"No interval and no test, for fewer than {FEWEST} speakers: {', '.join(few)}.")
    for why, titles in _by_reason(_of_groups(found.numbers, "no_interval", few)).items():
        told.append(f"No interval: {', '.join(titles)}: {why}.")
    told += not_stated(found)
    told += [f"Left out: {name}: {why}" for name, why in found.left_out.items()]
    if why := found.run.result.why_unranked:
        told.append(f"{found.run.name} cannot be ranked: {why}.")
    return told


def among_everybody(each: Number, found: Grouped) -> bool:
    """Whether outputs of a group are held against the people of all groups."""
    return bool(setting(each.item, found.run.result)) or "|others:" in each.item.signature


def not_stated(found: Grouped) -> list[str]:
    """What is said of samples of which the attribute is not known; nothing where there are none."""
    if NOT_STATED not in found.sizes:
        return []
    samples, speakers = found.sizes[NOT_STATED]
    return [
        f"{found.grouping.name} is not stated of {samples} samples of {speakers} speakers: they stand for themselves, "
        "and on neither side of a difference."
    ]


def _of_groups(numbers: Iterable[Number], lacking: str, known: Sequence[str] = ()) -> Iterator[tuple[str, str]]:
    """Reasons why groups lack something, with what each is of: `WER`, or `WER of f` where not all groups lack it so.

    Args:
        lacking: `no_value` or `no_interval`.
        known: groups of which it is told elsewhere.
    """
    for each in numbers:
        told = [own for own in each.groups if own.group not in known]
        whose = _by_reason((getattr(own, lacking), own.group) for own in told)
        for why, labels in whose.items():
            yield why, each.item.title + (f" of {', '.join(labels)}" if len(labels) < len(told) else "")


def _by_reason(reasons: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Reasons, with what each is of."""
    why: dict[str, list[str]] = {}
    for reason, what in reasons:
        if reason:
            why.setdefault(reason, []).append(what)
    return why


def markdown(runs: Sequence[Grouped]) -> str:
    """A table for each run."""
    parts = []
    for found in runs:
        parts += [f"## {escaping.markdown(caption(found))}", ""]
        parts.append("| " + " | ".join(map(escaping.markdown, ["number", *heads(found)[1:]])) + " |")
        parts.append("|---|---|---:|---|---|---|---:|---:|")
        parts += ["| " + " | ".join(map(escaping.markdown, line)) + " |" for line in lines(found)]
        parts += ["", *(escaping.markdown(line) + "\n" for line in notes(found))]
    return "\n".join(parts).rstrip() + "\n"


def latex(found: Grouped) -> str:
    """A `booktabs` table; wants `\\usepackage{booktabs}` and nothing else."""
    columns = heads(found)
    text = [r"\begin{tabular}{llrllrrr}", r"\toprule", f"{' & '.join(map(escaping.latex, columns))} \\\\"]
    for each in found.numbers:
        text.append(r"\midrule")
        for line in lines(Grouped(**{**vars(found), "numbers": (each,)})):
            text.append(f"{' & '.join(escaping.latex(cell) for cell in line)} \\\\")
    text.append(r"\bottomrule")
    for line in notes(found):
        text.append(rf"\multicolumn{{{len(columns)}}}{{l}}{{\footnotesize {escaping.latex(line)}}} \\")
    return "\n".join([*text, r"\end{tabular}"]) + "\n"


def long_csv(runs: Sequence[Grouped]) -> str:
    """A line for each run, number and group, with all that belongs to it."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        [
            *("method", "run_id", "metric", "by", "group", "value", "low", "high", "scored", "total", "speakers"),
            *("difference", "difference_low", "difference_high", "p", "p_holm", "unit", "signature"),
        ]
    )
    for found in runs:
        for each in found.numbers:
            for own in each.groups:
                apart = own.apart or Apart(*(None,) * 6)  # type: ignore[arg-type]
                about = (
                    found.run.result.label,
                    found.run.result.run_id,
                    each.item.name,
                    found.grouping.name,
                    own.group,
                )
                values = (own.value, own.low, own.high, own.scored, own.total, own.speakers)
                values += (apart.difference, apart.low, apart.high, apart.p, apart.p_holm)
                ends = (each.item.unit, signature(each, own, found))
                writer.writerow(
                    [
                        *map(escaping.csv_cell, about),
                        *("" if value is None else repr(value) for value in values),
                        *map(escaping.csv_cell, ends),
                    ]
                )
    return out.getvalue()


def signature(each: Number, own: GroupNumber, found: Grouped) -> str:
    """Of a group's number: that of all outputs, and which of them it stands on."""
    return f"{each.item.signature}|of:{found.grouping.name}={own.group}"


def as_dict(found: Grouped) -> dict[str, Any]:
    """What `--json` prints of one run."""
    return {
        "run_id": found.run.result.run_id,
        "label": found.run.result.label,
        "by": found.grouping.name,
        "cut": found.grouping.cut,
        "difference": found.grouping.against,
        "tests": found.tests,
        "groups": [
            {"group": label, "samples": samples, "speakers": speakers}
            for label, (samples, speakers) in found.sizes.items()
        ],
        "numbers": [
            {
                "name": each.item.name,
                "title": each.item.title,
                "unit": each.item.unit,
                "higher_is_better": each.item.higher_is_better,
                "value": each.item.value,
                "groups": [{**asdict(own), "signature": signature(each, own, found)} for own in each.groups],
            }
            for each in found.numbers
        ],
        "notes": notes(found),
    }


def draw(runs: Sequence[Grouped], path: Path) -> bool:
    """A panel for each number: every group of every run with its interval; False where there is nothing to draw.

    The first run is drawn in colour, with its number over all outputs as a dashed line; ceilings are black, floors
    grey, others in further colours. A star stands over a group of the first run that differs.
    """
    from benchmark.registry import role

    shown = [each for each in runs[0].numbers if each.item.higher_is_better is not None][:PANELS]
    if not shown:
        return False
    labels = list(runs[0].grouping.labels)
    columns = min(4, len(shown))
    lines = -(-len(shown) // columns)
    turned = sum(map(len, labels)) > 20
    looks = []
    for place, found in enumerate(runs):
        look = series(place)
        spec = found.run.result.spec
        kind = role(spec.method) if isinstance(found.run.result, Result) and place else "method"
        look["color"] = {"floor": GREY, "ceiling": INK}.get(kind, COLOURS[place % len(COLOURS)])
        looks.append(look)
    with figure_file(path, PAGE / 4 * max(columns, 2), (1.75 if turned else 1.5) * lines + 0.5) as figure:
        for at, each in enumerate(shown, 1):
            axes = figure.add_subplot(lines, columns, at)
            scale = 100 if each.item.unit == "%" else 1
            # Where a number grows with how many outputs it stands on, that of all is no measure of a group's.
            if each.item.value is not None and not each.no_difference:
                axes.axhline(scale * each.item.value, color=looks[0]["color"], linewidth=0.8, linestyle=(0, (4, 2)))
            for place, (found, look) in enumerate(zip(runs, looks, strict=True)):
                _draw_run(axes, found, each, scale, (place - (len(runs) - 1) / 2) * 0.16, look, labels, first=not place)
            axes.set_xlim(-0.6, len(labels) - 0.4)
            axes.set_xticks(range(len(labels)), [drawn_text(label, 18) for label in labels])
            if turned:
                for tick in axes.get_xticklabels():
                    tick.set(rotation=40, ha="right", rotation_mode="anchor")
            arrow = "" if each.item.higher_is_better is None else " ↑" if each.item.higher_is_better else " ↓"
            axes.set_title(drawn_text(title(each.item), 26) + arrow, fontsize=SMALL)
            grid(axes, "y")
            _number_ticks(axes)
        what = drawn_text(f"{runs[0].run.name} by {runs[0].grouping.name}", 90)
        signs = f"bars: 95 % intervals; dashed: all together; *: differs, p < {SURE:g}"
        figure.suptitle(f"{what}\n{signs}", x=0.01, ha="left", fontsize=TEXT)
        legends = [axes.get_legend_handles_labels() for axes in figure.axes]
        drawn = {name: handle for handles, names in legends for handle, name in zip(handles, names, strict=True)}
        order = [name for found in runs if (name := drawn_text(found.run.name)) in drawn]
        fit = max(1, min(4, LEGEND // max(map(len, order))))
        figure.legend([drawn[name] for name in order], order, loc="outside lower center", ncols=fit)
    return True


def _number_ticks(axes: Any) -> None:
    """Every tick of the values says its whole number: no power of ten and no offset stand apart from them."""
    most = max(map(abs, axes.get_ylim()))
    if 1e-3 <= most < 1e5:
        axes.ticklabel_format(axis="y", style="plain", useOffset=False)
    else:
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:.6g}")


def _draw_run(
    axes: Any,
    found: Grouped,
    each: Number,
    scale: float,
    offset: float,
    look: dict[str, Any],
    labels: list[str],
    first: bool,
) -> None:
    own = next((one for one in found.numbers if one.item.name == each.item.name), None)
    if own is None or own.item.signature != each.item.signature:
        return
    points = [(labels.index(one.group), one) for one in own.groups if one.value is not None and one.group in labels]
    for place, (x, one) in enumerate(points):
        assert one.value is not None
        low, high = (one.value if end is None else end for end in (one.low, one.high))
        axes.errorbar(
            [x + offset], [scale * one.value], [[scale * (one.value - low)], [scale * (high - one.value)]],
            color=look["color"], marker=look["marker"], linestyle="none", markersize=3.5, elinewidth=1.0,
            label=drawn_text(found.run.name) if not place else None,
        )  # fmt: skip
        if first and one.apart and one.apart.p_holm is not None and one.apart.p_holm < SURE:
            axes.annotate("*", (x + offset, scale * high), (0, 0), textcoords="offset points", ha="center", color=INK)


# -- beside other rows ------------------------------------------------------------------------------------------------


def beside_heads(found: Grouped) -> list[str]:
    """Of the columns of `beside`, with how many speakers are in each of two groups."""
    if not found.grouping.of_two:
        return [found.grouping.name, "value", found.grouping.against]
    return [*(f"{label} ({found.sizes[label][1]})" for label in found.grouping.labels), found.grouping.against]


def beside(each: Number, found: Grouped, written: Callable[[float], str]) -> list[list[str]]:
    """One number of a run for a table whose rows are runs: values with intervals and how far groups lie apart.

    Two groups stand beside each other, in one line; of more each has a line, with how many speakers are in it.

    Args:
        written: a value as the table prints it.
    """
    values = [_with_interval(own.value, own.low, own.high, written) for own in each.groups]
    apart = [
        _signed(_with_interval(own.apart.difference, own.apart.low, own.apart.high, written)) if own.apart else "-"
        for own in each.groups
    ]
    if found.grouping.of_two:
        return [[*values, apart[0]]]
    labels = [f"{own.group} ({found.sizes[own.group][1]})" for own in each.groups]
    return [list(line) for line in zip(labels, values, apart, strict=True)]


def lacks(each: Number, found: Grouped) -> list[str]:
    """What of one number's groups there is not, and why; but for intervals of so few that a table says it of all."""
    told = [f"no difference: {each.no_difference}"] if each.no_difference else []
    for what, name, known in (("no value", "no_value", []), ("no interval", "no_interval", _few(found))):
        told += [f"{what}{of.removeprefix(each.item.title)}: {why}" for why, of in _of_groups([each], name, known)]
    return told


def _few(found: Grouped) -> list[str]:
    """Groups without intervals."""
    return [label for label in found.grouping.labels if found.sizes[label][1] < FEWEST]


def _with_interval(value: float | None, low: float | None, high: float | None, written: Callable[[float], str]) -> str:
    if value is None:
        return "-"
    return written(value) + ("" if low is None or high is None else f" [{written(low)}, {written(high)}]")


def _signed(text: str) -> str:
    """A plus before a difference that is more than nothing.

    >>> _signed("0.3 [0.1, 0.5]"), _signed("-0.3"), _signed("0.0 [-1.0, 1.0]")
    ('+0.3 [0.1, 0.5]', '-0.3', '0.0 [-1.0, 1.0]')
    """
    first = text.split(" ")[0]
    return text if first.startswith("-") or not float(first) else f"+{text}"


# -- cells ------------------------------------------------------------------------------------------------------------


def _head(each: Number, found: Grouped) -> str:
    arrow = {True: " ↑", False: " ↓", None: ""}[each.item.higher_is_better]
    about = setting(each.item, found.run.result)
    return f"{title(each.item)}{f' ({about})' if about else ''}{arrow}"


def _interval(low: float | None, high: float | None, unit: str) -> str:
    return "-" if low is None or high is None else f"[{number(low, unit)}, {number(high, unit)}]"


def signed_interval(value: float, low: float | None, high: float | None, unit: str) -> str:
    """`+15.6 [3.2, 28.2]`; no brackets where there is no interval."""
    return _signed(_with_interval(value, low, high, partial(number, unit=unit)))


def p_text(apart: Apart | None) -> str:
    """p, corrected; where only the uncorrected one is small, that as well."""
    if apart is None or apart.p is None or apart.p_holm is None:
        return ""
    alone = f" ({_p(apart.p)} alone)" if apart.p < SURE <= apart.p_holm else ""
    return _p(apart.p_holm) + alone


def _p(p: float) -> str:
    return f"{p:.2g}"
