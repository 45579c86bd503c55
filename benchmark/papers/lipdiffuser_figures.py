"""The figures of the LipDiffuser paper on Talkers: scores of single clips, and numbers over the SNR of the mixture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from benchmark.errors import PrerequisiteError
from benchmark.papers import reported
from benchmark.papers.figures import Drawing, Material
from benchmark.papers.needs import RunNeeded
from benchmark.registry import metrics
from benchmark.reports.figures import GREY, INK, PAGE, grid, series
from benchmark.results.comparison import find_scored
from benchmark.results.finding import Kept
from benchmark.results.schema import stated_signature
from benchmark.results.statistics import Estimate, speaker_index, with_intervals
from benchmark.runs.directory import ScoreRow
from benchmark.runs.scoring import shapes, speaker_values, stacked

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NUMBERS = {"dnsmos_p808": "DNSMOS", "wer_by_clip": "WER", "speaker_similarity": "SpkSim"}
"""Of Figure 4, and the names of their axes, which are the heads of Table 1."""
BOXES = {"dnsmos_p808": "DNSMOS, in place of quality", "speaker_similarity": "SpkSim, in place of likeness"}
"""Of Figure 3."""
NAMES = {
    "noisy": "noisy", "deepfilternet": "DeepFilterNet", "sgmse": "SGMSE+", "lipdiffuser": "LipDiffuser",
    "clean": "clean",
}  # fmt: skip
LOOKS = {"sgmse": 3, "deepfilternet": 4, "lipdiffuser": 5}
"""Number of a method's colour, the same in all figures."""
AV_GEN = 2
"""Its number in the figures of FlowAVSE."""
TABLE_DB = -10.0
"""SNR of Table 1."""


class Rows(NamedTuple):
    """What a result stands on of one number."""

    metric: Any
    good: Sequence[ScoreRow]


def rows_of(made: Kept, number: str, material: Material) -> Rows | None:
    """The measured rows of one number of a result; None where it lacks it.

    Raises:
        PrerequisiteError: the result has the number, and its rows are not there.
    """
    item = made.result.aggregate(number)
    if item is None or item.value is None:
        return None
    signature = stated_signature(made.result, item.metric)
    found = find_scored(str(made.folder or made.path), material.shelves.runs).rows(item.metric, signature)
    good = [found[key] for key in sorted(found) if found[key].status == "ok"]
    if not good:
        raise PrerequisiteError(
            f"{made.path} has {number}, and no rows of single outputs beside it: "
            "make the run anew, or leave the file out"
        )
    return Rows(metrics.load(item.metric).for_rows(signature, good[0].statistics), good)


def each_output(rows: Rows, number: str) -> np.ndarray:
    """The number of each output alone, `[N]`."""
    statistics = stacked(rows.good)
    values = rows.metric.aggregate(statistics, np.eye(len(rows.good)))[number]
    return np.asarray(values[np.isfinite(values)])


def estimate(rows: Rows, number: str) -> Estimate | None:
    """The number of these rows with its interval over speakers; None where they leave it undefined."""
    index, speakers = speaker_index([row.speaker for row in rows.good])
    repeats = sorted({row.repeat for row in rows.good})
    places = [[n for n, row in enumerate(rows.good) if row.repeat == repeat] for repeat in repeats]
    by_repeat = [(index[chosen], stacked([rows.good[n] for n in chosen])) for chosen in places]
    found = with_intervals(
        speakers, speaker_values(rows.metric, by_repeat), shapes(rows.metric, by_repeat, speakers)
    )[number]  # fmt: skip
    return found if np.isfinite(found.value) else None


def by_snr(rows: Rows, number: str, snr_of: Mapping[str, float]) -> dict[float, Estimate]:
    """The same for the outputs of each SNR, from the lowest on."""
    found = {}
    for snr_db in sorted(set(snr_of.values())):
        good = [row for row in rows.good if snr_of.get(row.sample) == snr_db]
        item = estimate(rows._replace(good=good), number) if good else None
        if item is not None:
            found[snr_db] = item
    return found


def over_snr(material: Material) -> Drawing:
    """Figure 4: DNSMOS, WER and likeness of the voice over the SNR; what Table 1 reports above, measured below."""
    found = [(need, made) for need in _needs(material) if (made := material.made(need))]
    snr_of = {
        sample.id: float(sample.attributes["snr_db"])
        for sample in material.manifest(material.there(material.figure.runs[0])).samples
    }
    curves: dict[str, dict[str, dict[float, Estimate]]] = {number: {} for number in NUMBERS}
    flat: dict[str, Estimate] = {}
    for need, made in found:
        for number in NUMBERS:
            rows = rows_of(made, number, material)
            if rows is None:
                continue
            if need.method == "lipdiffuser":
                whole = estimate(rows, number)
                flat |= {number: whole} if whole is not None else {}
            else:
                curves[number][need.method] = by_snr(rows, number, snr_of)
    caption = (
        "Above: what the paper reports at -10 dB in Table 1 (LRS3-CHiME3; bars: standard deviation over files; the "
        "curves of its Figure 4 are not printed as numbers). Below: measured on the SNRs of Talkers' split test_snr, "
        "with the presets that have shipped weights; bars and the band: 95 % intervals over speakers. LipDiffuser "
        "hears nothing of the mixture, and its enrolment is the clean speech: its line is the mean over the whole "
        "split, and flat by construction. Each utterance stands at one SNR, so that neighbouring points are of other "
        "sentences of the same people. WER is the mean over clips; voices are judged by a recogniser of Talkers' "
        "voices."
    )

    def paint(figure: Figure) -> None:
        cells = figure.subplots(2, len(NUMBERS), sharex=True)
        for place, (number, title) in enumerate(NUMBERS.items()):
            for name, look, printed in _printed(title):
                _point(cells[0, place], printed, look, name)
            for method, points in curves[number].items():
                _curve(cells[1, place], points, method)
            if number in flat:
                _level(cells[1, place], flat[number])
            for axes in cells[:, place]:
                axes.set_ylabel(title)
                axes.set_xlim(-21.5, 6.5)
                axes.set_xticks(sorted(set(snr_of.values())))
                axes.margins(y=0.15)
                grid(axes)
            cells[1, place].set_xlabel("SNR, dB")
        cells[0, 0].set_title("reported: LRS3-CHiME3")
        cells[1, 0].set_title("measured: Talkers")
        handles = {}
        for axes in cells.flat:
            for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
                handles.setdefault(label, handle)
        figure.legend(handles=list(handles.values()), labels=list(handles), loc="outside lower center", ncols=6)

    return Drawing(PAGE, 3.8, paint, caption)


def _printed(head: str) -> list[tuple[str, int | None, reported.Printed]]:
    """Name, colour and what Table 1 says under a head of the systems of Figure 4 and of the mixture."""
    table = reported.table("lipdiffuser", 1)
    (place,) = [n for n, column in enumerate(table.columns) if column.head == head]
    looks = {"Noisy": None, "SGMSE+": LOOKS["sgmse"], "AV-Gen": AV_GEN, "LipDiffuser (ours)": LOOKS["lipdiffuser"]}
    return [
        (row.method.partition(" (")[0].replace("Noisy", "noisy"), looks[row.method], row.values[place])
        for row in table.rows
        if row.method in looks
    ]


def _point(axes: Axes, printed: reported.Printed, look: int | None, name: str) -> None:
    style = {"color": GREY, "marker": "x"} if look is None else series(look)
    axes.errorbar(
        TABLE_DB + 0.6 * {None: -1.5, LOOKS["sgmse"]: -0.5, AV_GEN: 0.5}.get(look, 1.5), printed.value,
        yerr=printed.spread, elinewidth=0.8, capsize=2, color=style["color"], marker=style["marker"],
        markerfacecolor="white", linestyle="none", label=name,
    )  # fmt: skip


def _curve(axes: Axes, points: Mapping[float, Estimate], method: str) -> None:
    if not points:
        return
    style = series(LOOKS[method]) if method in LOOKS else {"color": GREY, "marker": "x", "linestyle": "--"}
    values = np.array([point.value for point in points.values()])
    ends = np.array([_ends(point) for point in points.values()])
    axes.errorbar(
        list(points), values, yerr=np.abs(ends.T - values), elinewidth=0.8, capsize=2, label=NAMES[method], **style
    )


def _level(axes: Axes, whole: Estimate) -> None:
    look = series(LOOKS["lipdiffuser"])
    axes.axhline(whole.value, color=look["color"], label=NAMES["lipdiffuser"])
    axes.axhspan(*_ends(whole), color=look["color"], alpha=0.2, linewidth=0)


def _ends(item: Estimate) -> tuple[float, float]:
    """Of the interval; the value itself where there is none."""
    return (item.low, item.high) if np.isfinite(item.low) else (item.value, item.value)


def boxes(material: Material) -> Drawing:
    """Figure 3, as far as it can be had: boxes of what networks say of single clips, not of what listeners say."""
    values: dict[str, dict[str, np.ndarray]] = {number: {} for number in BOXES}
    for need in _needs(material):
        made = material.made(need)
        for number in BOXES if made else ():
            assert made is not None
            if rows := rows_of(made, number, material):
                values[number][need.method] = each_output(rows, number)
    caption = (
        "The paper's Figure 3 is a listening test: 15 people rated quality and likeness of the voice from 0 to 100; "
        "the ratings are not printed as numbers. Nothing here can measure it. In its place: scores of networks, clip "
        "by clip, of Talkers' test split at -10 dB; boxes and whiskers are the paper's (quartiles, median as a line, "
        "mean as a diamond, whiskers to what lies within 1.5 times the height of the box). What listeners would say "
        "these scores foretell poorly: read them as Table 1's columns with all their clips."
    )

    def paint(figure: Figure) -> None:
        for axes, (number, title) in zip(figure.subplots(1, len(BOXES)), BOXES.items(), strict=True):
            shown = {method: each for method, each in values[number].items() if len(each)}
            axes.set_title(title)
            if shown:
                _boxes(axes, shown)
            grid(axes, "y")

    return Drawing(PAGE, 2.6, paint, caption)


def _boxes(axes: Axes, shown: Mapping[str, np.ndarray]) -> None:
    drawn = axes.boxplot(
        list(shown.values()), showmeans=True, widths=0.6, patch_artist=True,
        flierprops={"marker": ".", "markersize": 2, "markeredgecolor": GREY},
        meanprops={"marker": "D", "color": INK, "markersize": 3, "markerfacecolor": "white", "markeredgecolor": INK},
        medianprops={"color": INK},
    )  # fmt: skip
    for box, method in zip(drawn["boxes"], shown, strict=True):
        box.set_facecolor(series(LOOKS[method])["color"] if method in LOOKS else "#dddddd")
    axes.set_xticks(range(1, len(shown) + 1), [NAMES[method] for method in shown], rotation=20)


def _needs(material: Material) -> list[RunNeeded]:
    """Runs in the order of the names."""
    needs = (*material.figure.runs, *material.figure.further)
    return sorted(needs, key=lambda need: list(NAMES).index(need.method))
