"""`compare`: whether one run is ahead of another, number by number."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchmark.cli import options

if TYPE_CHECKING:
    from benchmark.results.comparison import Comparison, Difference, Scored

SURE = 0.05
"""A difference whose p, corrected, is below is told as one."""


def compare(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN",
            help="Two or more: run directories, ids, labels, folders of scored files, or result files with their rows "
            "beside them; an id or label that is not among your runs is looked for among the published results. The "
            "first is held against each of the others.",
        ),
    ],
    metrics: Annotated[
        list[str] | None,
        typer.Option(
            "--metrics",
            metavar="NAMES",
            help="Only these numbers, or all of a metric's, with commas between; repeatable.  [default: those of the "
            "task's table in which one direction is better]",
        ),
    ] = None,
    by: options.By = None,
    runs: options.Runs = Path("runs"),
    data_root: options.DataRoot = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Tell which of two runs is ahead, by how much, and whether that may be chance.

    The outputs are paired, and p, from a sign-flip test over speakers, is corrected for all numbers shown (Holm).

    \b
    python -m benchmark compare sf2f linear
    python -m benchmark compare runs/sf2f-talkers-3f2a9c01de runs/linear-talkers-c71b69084a --metrics recall_at_10
    python -m benchmark compare flowavse wiener --by noise --metrics si_sdr,wer
    """
    from benchmark.cli.console import note, print_json, print_table
    from benchmark.errors import UsageError
    from benchmark.results.comparison import compare as compared
    from benchmark.results.comparison import find_scored

    if len(names) < 2:
        raise UsageError(f"compare takes two runs or more, got '{names[0]}' alone: `compare RUN RUN`")
    sides = [find_scored(name, runs) for name in names]
    if by:
        from benchmark.cli.groups import compare_groups

        compare_groups(sides, by, options.names(metrics), data_root, as_json, quiet)
        return
    found = compared(sides, options.names(metrics))
    tests = sum(len(each.differences) for each in found)
    if as_json:
        print_json({"tests": tests, "comparisons": [as_dict(each) for each in found]})
        return
    for place, each in enumerate(found):
        if place:
            print()
        one, two = each.first, each.second
        heads = ["", one.name, two.name, f"{one.name} against {two.name}"]
        rows = [[head(item), *values(item), verdict(item, one.name, two.name)] for item in each.differences]
        print_table(heads, rows, title_of(each), right=[1, 2])
        left_out = (f"Not compared: {name}: {why}" for name, why in each.left_out.items())
        for line in [*coverage(each), *few_speakers(each, tests), *without_interval(each), *each.remarks, *left_out]:
            note(line, quiet)
    for line in dict.fromkeys(f"Published with the project: {side.path}" for side in sides if side.published):
        note(line, quiet)
    note(
        f"p: how often the difference is as large when speakers change sides at random, corrected for {tests} "
        f"number{'s' if tests > 1 else ''} (Holm). Brackets: 95 % interval of the difference, over speakers.",
        quiet,
    )


def title_of(comparison: Comparison) -> str:
    """What is compared, on which data."""
    from benchmark.results.schema import Result

    one = comparison.first.result
    what = f"on {one.spec.dataset} {one.spec.split} ({one.spec.task})" if isinstance(one, Result) else "(scored files)"
    return f"{comparison.first.name} against {comparison.second.name} {what}"


def head(item: Difference) -> str:
    """Title, unit, and which direction is better."""
    arrow = {True: " ↑", False: " ↓", None: ""}[item.higher_is_better]
    return f"{item.title} {item.unit}".strip() + arrow


def values(item: Difference) -> list[str]:
    """The number of both runs."""
    from benchmark.reports.tables import named_number

    return [named_number(item.name, value, item.unit) for value in (item.first, item.second)]


def verdict(item: Difference, first: str, second: str) -> str:
    """One number in plain words: `sf2f is ahead by 48.4 points [38.5, 58.4], p = 0.0016`."""
    sure = f"p {_p(item.p_holm)}"
    if item.p < SURE <= item.p_holm:
        sure += f", {_p(item.p).removeprefix('= ')} alone"
    if not item.difference:
        return f"no difference at all, {sure}"
    sign = 1 if item.difference > 0 else -1
    shown = item.p_holm < SURE
    if not shown:
        sign = 1
    ends = sorted(sign * end for end in (item.low, item.high) if end is not None)
    amount, *limits = _digits([sign * item.difference, *ends], item.unit)
    amount += " points" if item.unit == "%" else f" {item.unit}".rstrip()
    amount += f" [{', '.join(limits)}]" if limits else ""
    if not shown:
        people = f"{item.speakers} speaker{'s' if item.speakers > 1 else ''}"
        return f"no difference that {people} can show: {amount}, {sure}"
    if item.higher_is_better is None:
        return f"{first} is {'higher' if item.difference > 0 else 'lower'} by {amount}, {sure}"
    ahead = first if item.first_is_ahead else second
    return f"{ahead} is ahead{'' if item.higher_is_better else ', lower'} by {amount}, {sure}"


def _digits(values: list[float], unit: str) -> list[str]:
    """A difference and its limits, with as many decimals as a number of that unit has, or as one digit of them needs.

    >>> _digits([0.484, 0.385, 0.584], "%"), _digits([0.00055, -0.00034, 0.00143], "")
    (['48.4', '38.5', '58.4'], ['0.0006', '-0.0003', '0.0014'])
    """
    from math import floor, log10

    from benchmark.reports.tables import number

    scale = 100 if unit == "%" else 1
    size = scale * ((values[2] - values[1]) / 2 if len(values) == 3 and values[2] > values[1] else abs(values[0]))
    usual = len(number(values[0], unit).partition(".")[2])
    digits = max(usual, -floor(log10(size))) if size else usual
    texts = [f"{scale * value:.{digits}f}" for value in values]
    return [text if float(text) else text.lstrip("-") for text in texts]


def _p(p: float) -> str:
    return "< 0.0001" if p < 1e-4 else f"= {p:.2g}"


def coverage(comparison: Comparison) -> list[str]:
    """How many samples each side has and how many are in both; a line more for numbers that have other counts."""
    one, two = comparison.first, comparison.second
    lines: dict[str, list[str]] = {}
    for item in comparison.differences:
        text = (
            f"{one.name} {item.samples.first} of {one.samples} samples, {two.name} {item.samples.second} of "
            f"{two.samples}; both have {item.samples.both} samples of {item.speakers} "
            f"speaker{'' if item.speakers == 1 else 's'}"
        )
        if item.rows.both != item.samples.both:
            each, left = divmod(item.rows.both, item.samples.both)
            text += f", {item.rows.both} outputs in all" if left else f", each sample made {each} times"
        if not item.rows.first == item.rows.second == item.rows.both:
            text += "; what one side lacks counts on neither, which flatters a method that fails where it is hard"
        lines.setdefault(text, []).append(item.title)
    most = max(lines, key=lambda text: len(lines[text]))
    return [f"Measured: {text}{'' if text == most else ': ' + ', '.join(lines[text])}" for text in lines]


def without_interval(comparison: Comparison) -> list[str]:
    """Why differences have no interval, a line for each reason; of no difference there is none to be had."""
    reasons: dict[str, list[str]] = {}
    for item in comparison.differences:
        if item.no_interval and item.difference:
            reasons.setdefault(item.no_interval, []).append(item.title)
    return [f"No interval: {', '.join(titles)}: {why}" for why, titles in reasons.items()]


def few_speakers(comparison: Comparison, tests: int) -> list[str]:
    """A line where there are so few speakers that no difference could be shown, however large."""
    people = min(item.speakers for item in comparison.differences)
    least = 2 / 2**people  # as it is, and with everybody changed
    if least * tests < SURE:
        return []
    told = f"{people} speaker{'s' if people > 1 else ''} can give no p below {least:.2g}"
    fewer = " Fewer numbers need less correction: name them with --metrics." if least < SURE else ""
    return [f"{told}; none is shown here unless p is below {SURE:g} for {tests} numbers together.{fewer}"]


def as_dict(comparison: Comparison) -> dict[str, Any]:
    """What `--json` prints of two runs."""
    one, two = comparison.first, comparison.second
    return {
        "first": _side(one),
        "second": _side(two),
        "numbers": [
            {
                **{name: value for name, value in asdict(item).items() if name not in ("samples", "rows")},
                "samples": item.samples._asdict(),
                "rows": item.rows._asdict(),
                "verdict": verdict(item, one.name, two.name),
            }
            for item in comparison.differences
        ],
        "left_out": dict(comparison.left_out),
        "remarks": list(comparison.remarks),
    }


def _side(run: Scored) -> dict[str, Any]:
    return {
        "name": run.name,
        "label": run.result.label,
        "run_id": run.result.run_id,
        "path": str(run.path),
        "samples": run.samples,
        "published": run.published,
        "partial": run.result.partial,
    }
