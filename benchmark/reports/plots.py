"""Figures of results."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmark import registry
from benchmark.reports.figures import (
    COLOURS,
    COLUMN,
    DASHES,
    GREY,
    INK,
    PAGE,
    SMALL,
    drawn_text,
    figure_file,
    grid,
    series,
)
from benchmark.results.schema import Aggregate, PairResult, Result

_RECALL = re.compile(r"recall_at_(\d+)$")


def recall_curve(results: Sequence[Result | PairResult], path: Path) -> bool:
    """Draw recall over K for every row, with its 95 % interval and the floor; False where no row has a recall.

    SF2F's Table 3 prints four points of this curve; the distance from the floor and from the ceiling is easier seen.
    """
    curves = [(result, _points(result)) for result in results]
    curves = [(result, points) for result, points in curves if points]
    if not curves:
        return False
    with figure_file(path, COLUMN, 2.5 + 0.16 * ((len(curves) + 2) // 2)) as figure:
        axes = figure.add_subplot()
        for (result, points), look in zip(curves, looks([result for result, _ in curves]), strict=True):
            ks, values, lows, highs = zip(*points, strict=True)
            axes.plot(ks, values, label=drawn_text(result.label, 30), **look)
            axes.fill_between(ks, lows, highs, color=look["color"], alpha=0.12, linewidth=0)
        floor = [(k, item.value) for k, item in _named(curves[0][0], "chance_") if item.value is not None]
        if floor:
            axes.plot(*zip(*floor, strict=True), ":", color=INK, linewidth=0.8, label="permuted labels")
        axes.set(xscale="log", xlabel="K", ylabel="recall at K by speaker, %", ylim=(0, 102))
        ticks = [k for k, *_ in curves[0][1]]
        axes.set_xticks(ticks, [str(k) for k in ticks])
        axes.minorticks_off()
        grid(axes)
        figure.legend(loc="outside lower center", ncols=2)
    return True


def distributions(result: PairResult, scores: Path, path: Path, columns: Sequence[str] = ()) -> bool:
    """Draw how the files' scores lie, one panel a number, with the reported value; False where fewer than three were.

    Args:
        columns: numbers to draw, but for shares, of which single files have all or nothing; every number by default.

    A mean hides two heaps and the file at the far end; here they are seen.
    """
    import csv

    with scores.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    panels = []
    for item in result.aggregates:
        if columns and (item.name not in columns or item.unit == "%"):
            continue
        scale = 100 if item.unit == "%" else 1
        values = [scale * float(row[item.name]) for row in rows if row.get(item.name)]
        if len(values) >= 3 and item.value is not None:
            panels.append((item, values, scale * item.value))
    if not panels:
        return False
    columns = min(4, len(panels))
    lines = -(-len(panels) // columns)
    with figure_file(path, PAGE / 4 * max(columns, 2), 1.4 * lines + 0.2) as figure:
        for place, (item, values, value) in enumerate(panels, 1):
            axes = figure.add_subplot(lines, columns, place)
            axes.hist(values, bins=min(40, max(5, len(values) // 4)), color="#bbbbbb")
            axes.axvline(value, color=COLOURS[1], linewidth=1.5)
            unit = f", {item.unit}" if item.unit else ""
            title = drawn_text(f"{item.title}{unit}: {value:.3g}", 36)
            axes.set_title(f"{title}\nn = {len(values)}", fontsize=SMALL)
        figure.supylabel("files", fontsize=SMALL)
    return True


def looks(results: Sequence[Result | PairResult]) -> list[dict[str, Any]]:
    """Of each row's line: methods in colours, floors grey, ceilings black, and no two alike."""
    found, counts = [], {"": 0, "floor": 0, "ceiling": 0}
    for result in results:
        name = getattr(result.spec, "method", "")
        title = registry.methods.entries[name].title if name in registry.methods else ""
        kind = next((kind for kind in ("floor", "ceiling") if title.startswith(kind)), "")
        number, counts[kind] = counts[kind], counts[kind] + 1
        look = series(number)
        if kind:
            look |= {"color": GREY if kind == "floor" else INK, "linestyle": DASHES[(number + 1) % len(DASHES)]}
        found.append(look)
    return found


def _named(result: Result | PairResult, prefix: str = "") -> list[tuple[int, Aggregate]]:
    found = []
    for item in result.aggregates:
        match = _RECALL.fullmatch(item.name.removeprefix(prefix)) if item.name.startswith(prefix) else None
        if match:
            found.append((int(match[1]), item.model_copy(update={"value": _percent(item.value)})))
    return sorted(found, key=lambda pair: pair[0])


def _points(result: Result | PairResult) -> list[tuple[int, float, float, float]]:
    points = []
    for k, item in _named(result):
        if item.value is not None:
            low, high = _percent(item.low), _percent(item.high)
            points.append((k, item.value, item.value if low is None else low, item.value if high is None else high))
    return points


def _percent(value: float | None) -> float | None:
    return None if value is None else 100 * value
