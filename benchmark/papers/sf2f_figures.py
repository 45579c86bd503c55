"""The figures of the SF2F paper: pictures of faces, on Talkers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from benchmark.errors import MediaError, MethodError
from benchmark.papers.figures import Drawing, Material
from benchmark.papers.needs import RunNeeded
from benchmark.reports.figures import COLOURS, INK, PAGE, SMALL, drawn_text
from benchmark.reports.sheets import Cell, paint_picture, paint_pictures
from benchmark.results.finding import Kept
from benchmark.runs.directory import RunDirectory
from benchmark.tasks import get_task
from benchmark.types import Audio, Example, Sample

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TASK = get_task("speech2face")
CHOICE = "People are taken at even steps through the test split, not by hand; of ten evaluation runs the first."
WINDOW_S = 1.25
"""What the fuser's windows last: 125 frames of 10 ms (Sec. 4)."""


def spread_evenly(samples: Sequence[Sample], count: int) -> list[Sample]:
    """`count` of them at even steps; all, where there are not more."""
    count = min(count, len(samples))
    return [samples[(2 * place + 1) * len(samples) // (2 * count)] for place in range(count)]


def true_face(sample: Sample) -> Cell:
    """The first true picture of who speaks; None where none can be read."""
    return _read(next(iter(sample.targets.get(TASK.target, ())), None))


def outputs(made: Kept, samples: Sequence[Sample]) -> list[Cell]:
    """The picture that a run made of each, in its first repeat."""
    assert made.folder is not None
    rows = RunDirectory(made.folder).predictions()
    found = [rows.get((sample.id, 0)) for sample in samples]
    return [_read(made.folder / row.file if row and row.status == "ok" and row.file else None) for row in found]


def _read(path: Any) -> Cell:
    from benchmark.media import read_image

    try:
        return None if path is None else read_image(path)
    except MediaError:  # an empty frame says so
        return None


def side_by_side(material: Material) -> Drawing:
    """Figures 5 and 6: true faces, SF2F's and voice2face's of the same recordings."""
    ours, other = material.figure.runs
    samples = spread_evenly(material.manifest(material.there(ours)).samples, 16)
    rows: list[tuple[str, Sequence[Cell]]] = [("true face", [true_face(sample) for sample in samples])]
    for name, need in (("SF2F", ours), ("voice2face", other)):
        rows.append((name, outputs(material.there(need), samples)))
    sides = sorted({f"{picture.shape[0]} px" for _, cells in rows[1:] for picture in cells if picture is not None})
    caption = (
        f"Faces from 5 s of speech of Talkers, test split ({' and '.join(sides)}). {CHOICE} The paper shows people of "
        "HQ-VoxCeleb, and voice2face as its authors published it besides."
    )
    blocks = 2 if len(samples) > 8 else 1

    across = -(-len(samples) // blocks)

    def paint(figure: Figure) -> None:
        cells = figure.subplots(blocks * len(rows), across, squeeze=False)
        paint_pictures(cells, rows, [sample.speaker for sample in samples])

    return Drawing(PAGE, blocks * (len(rows) * (PAGE - 0.4) / max(across, 8) + 0.25), paint, caption)


def from_a_voice(material: Material) -> Drawing:
    """Figure 1: on the left the task, on the right faces from nothing but speech, above true ones."""
    (need,) = material.figure.runs
    made = material.there(need)
    people = spread_evenly(material.manifest(made).samples, 7)
    faces = outputs(made, people)
    speech = _opened(people[0], made).inputs["speech"]
    rows = [("SF2F", faces[1:]), ("true face", [true_face(sample) for sample in people[1:]])]
    caption = (
        "Left: the task, a face from speech alone. Right: SF2F's faces from 5 s of speech above true ones. Talkers, "
        f"test split. {CHOICE}"
    )

    def paint(figure: Figure) -> None:
        left, right = figure.add_gridspec(1, 2, width_ratios=(2.2, 5.0))
        wave, arrow, picture = left.subgridspec(1, 3, width_ratios=(1, 0.16, 1)).subplots()
        _paint_wave(wave, speech)
        wave.set_box_aspect(1)
        wave.set_title("speech", fontsize=SMALL, pad=2, loc="center")
        paint_picture(picture, faces[0], "SF2F")
        arrow.set_axis_off()
        arrow_look = {"arrowstyle": "-|>", "facecolor": INK}
        arrow.annotate("", (1.3, 0.5), (-0.3, 0.5), xycoords="axes fraction", arrowprops=arrow_look)
        paint_pictures(
            right.subgridspec(2, len(people) - 1).subplots(squeeze=False), rows, [each.speaker for each in people[1:]]
        )

    return Drawing(PAGE, 1.9, paint, caption)


class Fused(NamedTuple):
    """One person of Figure 4."""

    sample: Sample
    speech: Audio
    starts_s: tuple[float, ...]
    local: tuple[Cell, ...]
    """The face of each window alone."""
    fused: Cell


def fuser(material: Material) -> Drawing:
    """Figure 4: faces from three windows alone, and the face from all windows of the same speech, fused."""
    (need,) = material.figure.runs
    made = material.there(need)
    people = spread_evenly(material.manifest(made).samples, 4)
    shown = _fused(people, made, need)
    caption = (
        f"Faces that SF2F draws from three windows of {WINDOW_S:g} s alone (shaded, without the fuser), and from all "
        f"5 s with it. Talkers, test split. {CHOICE} The paper shows one person of HQ-VoxCeleb."
    )

    def paint(figure: Figure) -> None:
        heads = ("window 1", "window 2", "window 3", "fused", "true face")
        cells = figure.subplots(len(shown), 6, squeeze=False, width_ratios=(2.2, 1, 1, 1, 1, 1))
        for place, (line, each) in enumerate(zip(cells, shown, strict=True)):
            _paint_wave(line[0], each.speech)
            for number, start_s in enumerate(each.starts_s):
                line[0].axvspan(start_s, start_s + WINDOW_S, color=COLOURS[number], alpha=0.25, linewidth=0)
            line[0].set_ylabel(drawn_text(each.sample.speaker, 14), fontsize=SMALL)
            faces = (*each.local, each.fused, true_face(each.sample))
            for axes, picture, head in zip(line[1:], faces, heads, strict=True):
                paint_picture(axes, picture, "" if place else head)
            for axes, colour in zip(line[1:4], COLOURS, strict=False):
                axes.spines[:].set_visible(True)
                axes.spines[:].set_color(colour)
                axes.spines[:].set_linewidth(1.2)
        for line in cells[:-1]:
            line[0].set(xlabel="", xticklabels=[])

    return Drawing(PAGE, 0.4 + 1.0 * len(shown), paint, caption)


def _fused(people: Sequence[Sample], made: Kept, need: RunNeeded) -> list[Fused]:
    """Let the network draw; faces of whole crops come from the run."""
    from benchmark.runs.evaluation import plan_method
    from benchmark.runs.generation import outputs_of

    plan = plan_method(need.method, sets=(*need.sets, "fuser=false"))
    opened = [_opened(sample, made) for sample in people]
    windows, starts = [], []
    for example in opened:
        speech = example.inputs["speech"]
        last_s = max(speech.seconds - WINDOW_S, 0.0)
        starts.append(tuple(part * last_s / 2 for part in range(3)))
        for start_s in starts[-1]:
            start = round(start_s * speech.rate)
            cut = Audio(speech.samples[start : start + round(WINDOW_S * speech.rate)], speech.rate)
            windows.append(replace(example, sample=example.sample.without_targets(), inputs={"speech": cut}))
    method = plan.kind(plan.settings.config, plan.weights)
    method.load("cpu")
    try:
        drawn = [None if isinstance(face, Exception) else face for face in outputs_of(method, windows)]
    finally:
        method.close()
    if all(face is None for face in drawn):
        raise MethodError(f"{plan.label} drew no face from windows of {WINDOW_S:g} s")
    return [
        Fused(sample, example.inputs["speech"], begin, tuple(drawn[3 * place : 3 * place + 3]), whole)
        for place, (sample, example, begin, whole) in enumerate(
            zip(people, opened, starts, outputs(made, people), strict=True)
        )
    ]


def _opened(sample: Sample, made: Kept) -> Example:
    """What the method was given in the first repeat."""
    from benchmark.tasks import with_protocol

    spec = made.result.spec
    protocol = with_protocol(TASK, spec.seconds, spec.repeats)
    return TASK.open(sample, 0, protocol, spec.seed, spec.weights_sha256 or "none")


def _paint_wave(axes: Axes, speech: Audio) -> None:
    """The envelope: lowest and highest sample of each of 400 parts."""
    parts = np.array_split(speech.samples, min(400, len(speech.samples)))
    times = np.linspace(0, speech.seconds, len(parts))
    axes.fill_between(times, [part.min() for part in parts], [part.max() for part in parts], color=INK, linewidth=0)
    axes.set(xlim=(0, speech.seconds), yticks=[])
    axes.set_xlabel("time, s", fontsize=SMALL)
    axes.spines["left"].set_visible(False)
