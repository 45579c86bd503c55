"""The figures of the FlowAVSE paper: what it reports on VoxCeleb2 and LRS3, beside what is measured on Talkers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from benchmark.errors import MissingDataset
from benchmark.papers import reported
from benchmark.papers.figures import STEPS, Drawing, Material, steps_needed
from benchmark.reports.figures import GREY, INK, PAGE, SMALL, drawn_text, grid, series
from benchmark.reports.spectrograms import paint_spectrograms, spectrograms_size
from benchmark.results.finding import Kept
from benchmark.results.schema import Aggregate
from benchmark.tasks import get_task

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TASK = get_task("av_enhancement")
NUMBERS = {"pesq_wb": "PESQ", "estoi": "ESTOI", "si_sdr": "SI-SDR, dB"}
"""Of Figure 4, and the names of their axes."""
LOOKS = {"avdiffuss": 0, "flowavse": 1, "av_gen": 2}
"""Number of a method's colour, the same in all figures."""


HEIGHT_PT = 150.0
"""Of a panel of Figure 1, about: how far apart names are."""


class Spot(NamedTuple):
    """One method of Figure 1."""

    name: str
    look: int
    rtf: float
    rtf_range: tuple[float, float]
    """Fastest and slowest call; twice the value where that is not known."""
    si_sdr: float
    si_sdr_range: tuple[float, float]
    parameters_m: float
    """Millions."""


def speed_size_quality(material: Material) -> Drawing:
    """Figure 1: SI-SDR over the real-time factor, areas as sizes; reported on the left, measured on the right."""
    runs = (material.figure.runs[0], material.figure.further[0])
    measured = []
    for need in runs:
        made, speed = material.made(need), material.speeds.get(need.method)
        item = made.result.aggregate("si_sdr") if made else None
        if made and speed and item and item.value is not None:
            scale = speed["rtf"] / speed["median_s"]
            times = min(speed["times_s"]) * scale, max(speed["times_s"]) * scale
            measured.append(
                Spot(made.result.label, LOOKS[need.method], speed["rtf"], times, item.value, _ends(item),
                     speed["parameters"] / 1e6)
            )  # fmt: skip
    noisy = _value(material.made(material.figure.further[1]), "si_sdr")
    printed = _printed_spots()
    machine = next(iter(material.speeds.values()))["machine"]
    caption = (
        "SI-SDR over the real-time factor (time that a second of sound takes; both axes: up and left is better); the "
        "area of a circle is the number of parameters, millions, on a scale of its own in each panel. Left: as the "
        "paper reports it, VoxCeleb2, RTX A4000 (Table 1, where AVDiffuSS with one step is left out: -17.3 dB). "
        f"Right: measured on Talkers, test split, networks of the presets with shipped weights, {machine}; bars: 95 % "
        "intervals over speakers, and the fastest and slowest call."
    )

    def paint(figure: Figure) -> None:
        left, right = figure.subplots(1, 2)
        _paint_spots(left, printed, hollow=True)
        left.set_title("reported: VoxCeleb2")
        _paint_spots(right, measured, hollow=False, floor=noisy)
        right.set_title("measured: Talkers")
        if noisy is not None:
            right.axhline(noisy, color=GREY, linewidth=0.8, linestyle="--")
            right.annotate("the mixture itself", (0.99, noisy), xycoords=("axes fraction", "data"), xytext=(0, 2),
                           textcoords="offset points", ha="right", fontsize=SMALL, color=GREY)  # fmt: skip

    return Drawing(PAGE, 2.9, paint, caption)


def _printed_spots() -> list[Spot]:
    table = reported.table("flowavse", 1)
    heads = [column.head for column in table.columns]
    found = []
    for row in table.rows:
        if row.run.key == "avdiffuss_1_step":
            continue
        size, rtf = (row.values[heads.index(head)] for head in ("Params (M)", "RTF"))
        si_sdr = _printed(table, row, "si_sdr", "voxceleb2")
        assert size.value is not None and rtf.value is not None and si_sdr.value is not None
        spread = si_sdr.spread or 0.0
        name = row.method.partition(" [")[0].replace("Ours (", "FlowAVSE ").rstrip(")")
        found.append(
            Spot(name, LOOKS[row.run.method or row.run.key], rtf.value, (rtf.value,) * 2, si_sdr.value,
                 (si_sdr.value - spread, si_sdr.value + spread), size.value)
        )  # fmt: skip
    return found


def _paint_spots(axes: Axes, spots: Sequence[Spot], hollow: bool, floor: float | None = None) -> None:
    """Circles with their names; the axis reaches `floor` too, before names are put where they have room."""
    from matplotlib.ticker import LogLocator

    largest = max(spot.parameters_m for spot in spots)
    for spot in spots:
        colour = series(spot.look)["color"]
        axes.scatter(
            spot.rtf, spot.si_sdr, s=220 * spot.parameters_m / largest, alpha=0.8,
            facecolors="none" if hollow else colour, edgecolors=colour, linewidths=1.2,
        )  # fmt: skip
        low, high = spot.si_sdr_range
        fast, slow = spot.rtf_range
        axes.errorbar(
            spot.rtf, spot.si_sdr, yerr=[[spot.si_sdr - low], [high - spot.si_sdr]],
            xerr=[[spot.rtf - fast], [slow - spot.rtf]], color=INK, linewidth=0.8, zorder=3,
        )  # fmt: skip
    axes.set(xscale="log", xlabel="real-time factor", ylabel="SI-SDR, dB")
    speeds, levels = [spot.rtf for spot in spots], [spot.si_sdr for spot in spots]
    levels += [] if floor is None else [floor]
    axes.set_xlim(min(speeds) / 2.5, max(max(speeds) * 2.5, min(speeds) * 20))
    margin = 0.2 * max(max(levels) - min(levels), 4.0)
    axes.set_ylim(min(levels) - margin, max(levels) + margin)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if max(speeds) < 10 * min(speeds) else (1, 3)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.minorticks_off()
    _name_spots(axes, spots)
    grid(axes)


def _name_spots(axes: Axes, spots: Sequence[Spot]) -> None:
    """Names beside or above the circles, apart by a line where neighbours are near."""
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    for slow in (False, True):
        side = sorted((s for s in spots if (s.rtf > (left * right) ** 0.5) == slow), key=lambda spot: spot.si_sdr)
        places = _apart([HEIGHT_PT * (spot.si_sdr - low) / (high - low) for spot in side], SMALL + 2)
        for spot, place in zip(side, places, strict=True):
            shift = place - HEIGHT_PT * (spot.si_sdr - low) / (high - low)
            timed = spot.rtf_range[1] > spot.rtf_range[0]  # a bar across the circle: the name stands above
            axes.annotate(
                f"{drawn_text(spot.name, 22)}, {spot.parameters_m:.3g} M",
                (spot.rtf, spot.si_sdr),
                xytext=(0 if timed else -12 if slow else 12, shift + (10 if timed else 0)),
                textcoords="offset points",
                ha="center" if timed else "right" if slow else "left",
                va="bottom" if timed else "center",
                fontsize=SMALL,
            )


def _apart(places: Sequence[float], least: float) -> list[float]:
    """The same ascending places, moved until neighbours are `least` apart, with their middles kept.

    >>> _apart([0.0, 1.0, 20.0], 5.0)
    [-2.0, 3.0, 20.0]
    """
    groups: list[list[float]] = []
    for place in places:
        groups.append([place])
        while len(groups) > 1 and _ends_of(groups[-1], least)[0] - _ends_of(groups[-2], least)[1] < least:
            groups[-2:] = [groups[-2] + groups[-1]]
    return [_ends_of(group, least)[0] + least * number for group in groups for number in range(len(group))]


def _ends_of(group: Sequence[float], least: float) -> tuple[float, float]:
    middle, half = sum(group) / len(group), least * (len(group) - 1) / 2
    return middle - half, middle + half


class Point(NamedTuple):
    """One number at one count of steps."""

    steps: int
    value: float
    low: float
    high: float


def sampling_steps(material: Material) -> Drawing:
    """Figure 4: PESQ, ESTOI and SI-SDR by sampling steps; what Table 1 reports above, measured below."""
    measured: dict[str, dict[str, list[Point]]] = {}
    for method in ("avdiffuss", "flowavse"):
        made = {steps: material.made(need) for steps, need in zip(STEPS, steps_needed(method), strict=True)}
        measured[method] = {name: _points(made, name) for name in NUMBERS}
    floor = material.made(material.figure.further[-1])
    printed = _printed_steps()
    caption = (
        "Above: what the paper reports on LRS3 in Table 1 (AVDiffuSS with 1 and 30 steps, FlowAVSE large with one; "
        "bars: its plus-minus, not explained; the curves of its Figure 4 are not printed as numbers). Below: measured "
        "on Talkers, test split, with the presets that have shipped weights; bars: 95 % intervals over "
        "speakers; dashed: the mixture itself."
    )

    def paint(figure: Figure) -> None:
        cells = figure.subplots(2, len(NUMBERS), sharex=True)
        for place, (name, title) in enumerate(NUMBERS.items()):
            for line, curves in enumerate((printed, measured)):
                axes = cells[line, place]
                for method, numbers in curves.items():
                    _paint_steps(axes, numbers[name], method, hollow=line == 0)
                axes.set(xscale="log", ylabel=title)
                axes.set_xticks(STEPS, [str(steps) for steps in STEPS])
                axes.set_xlim(0.8, 38)
                axes.minorticks_off()
                axes.margins(y=0.15)
                grid(axes)
            cells[1, place].set_xlabel("sampling steps")
            value = _value(floor, name)
            if value is not None:
                cells[1, place].axhline(value, color=GREY, linewidth=0.8, linestyle="--")
        cells[0, 0].set_title("reported: LRS3")
        cells[1, 0].set_title("measured: Talkers")
        handles = [_key(cells[0, 0], "AVDiffuSS", "avdiffuss"), _key(cells[0, 0], "FlowAVSE", "flowavse")]
        figure.legend(handles=handles, loc="outside lower center", ncols=2)

    return Drawing(PAGE, 3.6, paint, caption)


def _points(made: Mapping[int, Kept | None], name: str) -> list[Point]:
    found = []
    for steps, one in made.items():
        item = one.result.aggregate(name) if one else None
        if item and item.value is not None:
            found.append(Point(steps, item.value, *_ends(item)))
    return found


def _printed_steps() -> dict[str, dict[str, list[Point]]]:
    """Method to number to what Table 1 says on LRS3."""
    table = reported.table("flowavse", 1)
    found: dict[str, dict[str, list[Point]]] = {}
    for row in table.rows:
        if row.run.method == "avdiffuss" or row.run.key == "large":
            for name in NUMBERS:
                printed = _printed(table, row, name, "lrs3")
                assert printed.value is not None
                spread = printed.spread or 0.0
                point = Point(int(row.setting["Steps"]), printed.value, printed.value - spread, printed.value + spread)
                found.setdefault(row.run.method, {}).setdefault(name, []).append(point)
    return {method: {name: sorted(points) for name, points in each.items()} for method, each in sorted(found.items())}


def _printed(table: reported.Table, row: reported.Row, number: str, corpus: str) -> reported.Printed:
    """What a row of a table says of one of our numbers on a corpus."""
    cells = (cell for cell in table.cells() if cell.row is row and cell.column.number == number)
    return next(cell.printed for cell in cells if cell.corpus and cell.corpus.key == corpus)


def _paint_steps(axes: Axes, points: Sequence[Point], method: str, hollow: bool) -> None:
    if not points:
        return
    look = series(LOOKS[method])
    steps, values, lows, highs = zip(*points, strict=True)
    below = [value - low for value, low in zip(values, lows, strict=True)]
    above = [high - value for value, high in zip(values, highs, strict=True)]
    axes.errorbar(
        steps, values, yerr=[below, above], elinewidth=0.8, capsize=2, color=look["color"], marker=look["marker"],
        linestyle="none" if hollow else "-", markerfacecolor="white" if hollow else look["color"],
    )  # fmt: skip


def _key(axes: Axes, label: str, method: str):  # type: ignore[no-untyped-def]
    """An entry of the legend, which stands for both rows."""
    look = series(LOOKS[method])
    (line,) = axes.plot([], [], color=look["color"], marker=look["marker"], label=label)
    return line


def spectrograms(material: Material) -> Drawing:
    """Figure 5: spectrograms of a mixture of each kind of noise, of what was made of it, and of the clean speech."""
    from benchmark.reports.sound_report import examples, read_rows
    from benchmark.runs.directory import RunDirectory
    from benchmark.runs.evaluation import RunView
    from benchmark.runs.session import Request, Session
    from benchmark.tasks import with_protocol

    (need,) = material.figure.runs
    own = material.there(need)
    manifest, spec = material.manifest(own), own.result.spec
    assert own.folder is not None
    others = [made.result for further in material.figure.further if (made := material.made(further))]
    view = RunView(
        RunDirectory(own.folder), TASK, spec, own.result.label, own.result.preset, manifest, manifest.samples
    )
    session = Session(Request(spec.method, metrics=("si_sdr",)))
    scorer = session.scorer(TASK, manifest, with_protocol(TASK, spec.seconds, spec.repeats))
    shown = examples(view, read_rows(view, [own.result, *others], scorer))
    columns, names = [column for _, column in shown.columns], [signal.name for signal in shown.signals]
    if not columns:
        raise MissingDataset(f"no output of {own.folder} can be read together with its mixture")
    caption = (
        f"Spectrograms of mixtures of Talkers, {manifest.split} split. {shown.caption} The paper shows a recording "
        "with what AVDiffuSS and FlowAVSE made of it."
    )

    def paint(figure: Figure) -> None:
        paint_spectrograms(figure, columns, names, TASK.rate)

    return Drawing(*spectrograms_size(columns, names), paint, caption)


def _ends(item: Aggregate) -> tuple[float, float]:
    """Of the interval; the value itself where there is none."""
    assert item.value is not None
    return (item.value if item.low is None else item.low, item.value if item.high is None else item.high)


def _value(made: Kept | None, name: str) -> float | None:
    item = made.result.aggregate(name) if made else None
    return item.value if item else None
