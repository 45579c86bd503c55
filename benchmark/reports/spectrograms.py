"""Figures of sound: spectrograms side by side, and each mixture's gain."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from benchmark.reports.figures import COLUMN, GREY, INK, SMALL, SOUND, drawn_text, figure_file, grid, series

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

N_FFT, HOP = 510, 128
"""Of the spectrograms, in samples: those that FlowAVSE works on."""
RANGE_DB = 80.0
"""What lies further below the reference level is drawn black."""
ONE_LEVEL = 2.0
"""Mixtures whose numbers lie within this began alike, in dB."""
_TINY = 1e-12


class Panel(NamedTuple):
    """One signal of one mixture."""

    samples: np.ndarray | None
    """`[T]`; None where there is no output."""
    about: str = ""
    """Its scores."""


class Column(NamedTuple):
    """One mixture, and a panel for every row of the figure."""

    id: str
    condition: str
    """`white, 0 dB`."""
    panels: Sequence[Panel]
    """The first is the mixture itself, whose loudest bin is 0 dB in the whole column."""


def log_magnitude(samples: np.ndarray) -> np.ndarray:
    """Compute `20 log10 |STFT|` with a Hann window of 510 and a hop of 128 samples.

    Shape:
        `[T]` -> `[256, 1 + T // 128]`, dB; frame k is centred on sample 128 k, zeros lie beyond both ends.
    """
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(N_FFT) / N_FFT)
    padded = np.pad(np.asarray(samples, np.float64), N_FFT // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::HOP]
    return 20 * np.log10(np.maximum(np.abs(np.fft.rfft(frames * window)), _TINY)).T


def draw_spectrograms(columns: Sequence[Column], names: Sequence[str], rate: int, caption: str, path: Path) -> None:
    """Draw mixtures as columns and signals as rows, on one scale of 80 dB below the mixture's loudest bin.

    Args:
        columns: at least one.
        names: of the rows; the first is the mixture.
        rate: of all signals, in Hz.
        caption: printed below.
        path: of the file.
    """
    with figure_file(path, *spectrograms_size(columns, names)) as figure:
        paint_spectrograms(figure, columns, names, rate)
        lines = textwrap.wrap(drawn_text(caption, None), round(16 * figure.get_figwidth()))
        figure.supxlabel("\n".join(lines), fontsize=SMALL, x=0.01, ha="left")


def spectrograms_size(columns: Sequence[Column], names: Sequence[str]) -> tuple[float, float]:
    """Width and height in inches: four mixtures fill a page."""
    return 0.8 + max(1.6 * len(columns), COLUMN - 0.8), 0.9 + 1.1 * len(names)


def paint_spectrograms(figure: Figure, columns: Sequence[Column], names: Sequence[str], rate: int) -> None:
    """What `draw_spectrograms` draws, without a caption, into a figure that is there."""
    cells = figure.subplots(len(names), len(columns), squeeze=False, sharex="col", sharey=True)
    image = None
    for place, column in enumerate(columns):
        noisy = column.panels[0].samples
        assert noisy is not None
        level = log_magnitude(noisy).max()
        for axes, panel in zip(cells[:, place], column.panels, strict=True):
            if panel.samples is None:
                axes.text(0.5, 0.5, "no output", transform=axes.transAxes, ha="center", color=GREY)
            else:
                spectrum = log_magnitude(panel.samples) - level
                half_frame, half_bin = HOP / rate / 2, rate / N_FFT / 2000
                image = axes.imshow(
                    spectrum,
                    origin="lower",
                    aspect="auto",
                    cmap=SOUND,
                    vmin=-RANGE_DB,
                    vmax=0,
                    interpolation="auto",
                    extent=(
                        -half_frame,
                        (2 * spectrum.shape[1] - 1) * half_frame,
                        -half_bin,
                        (2 * spectrum.shape[0] - 1) * half_bin,
                    ),
                )
            axes.set(xlim=(0, len(noisy) / rate), ylim=(0, rate / 2000))
            axes.set_title(_wrapped(panel.about), fontsize=SMALL, pad=2)
        head = (drawn_text(column.id, 26), drawn_text(column.condition, 26), _wrapped(column.panels[0].about))
        cells[0, place].set_title("\n".join(line for line in head if line), fontsize=SMALL, pad=2)
        cells[-1, place].set_xlabel("time, s", fontsize=SMALL)
    for axes, name in zip(cells[:, 0], names, strict=True):
        axes.set_ylabel("\n".join([*textwrap.wrap(drawn_text(name, 32), 16), "kHz"]), fontsize=SMALL)
    if image is not None:
        bar = figure.colorbar(image, ax=cells, pad=0.01, aspect=40, shrink=0.8)
        bar.set_label("dB, re the mixture's loudest bin", fontsize=SMALL)
        bar.outline.set_visible(False)


def _wrapped(about: str) -> str:
    return "\n".join(textwrap.wrap(drawn_text(about), 24))


def draw_gain(
    points: Mapping[str, Sequence[tuple[float, float]]], name: str, unit: str, title: str, path: Path
) -> bool:
    """Draw each mixture's number after enhancement over the one before, by kind of noise; False where there is none.

    Where all mixtures begin at one level, as at a single SNR, it is the gains that are drawn.

    Args:
        points: kind of noise to (before, after) of each mixture.
        name: of the number.
        unit: of the number; may be empty.
        title: of the figure.
        path: of the PNG.
    """
    found = np.array([point for pairs in points.values() for point in pairs], np.float64).reshape(-1, 2)
    if not len(found):
        return False
    with figure_file(path, COLUMN, 3.4) as figure:
        axes = figure.add_subplot()
        kinds = {kind: np.array(pairs, np.float64) for kind, pairs in sorted(points.items()) if pairs}
        low, high = found[:, 0].min(), found[:, 0].max()
        ending = f", {unit}" if unit else ""
        if high - low < ONE_LEVEL:
            _strips(axes, kinds)
            axes.set_ylabel(f"gain in {drawn_text(name)}{ending}")
        else:
            margin = 0.05 * (high - low) + 0.1
            ends = [low - margin, high + margin]
            for number, (kind, pairs) in enumerate(kinds.items()):
                axes.scatter(*pairs.T, **_dots(number), label=_counted(kind, pairs))
            axes.plot(ends, ends, "--", color=INK, linewidth=0.8, label="unchanged")
            axes.set(
                xlim=ends,
                xlabel=f"{drawn_text(name)} of the mixture{ending}",
                ylabel=f"{drawn_text(name)} of the output{ending}",
            )
        axes.set_title(drawn_text(title, 54), fontsize=SMALL)
        grid(axes)
        figure.legend(loc="outside lower center", ncols=2, columnspacing=1)
    return True


def _strips(axes: Axes, kinds: Mapping[str, np.ndarray]) -> None:
    """Gains side by side, a strip a kind of noise, sorted from left to right, with the median."""
    for number, (kind, pairs) in enumerate(kinds.items()):
        gains = np.sort(pairs[:, 1] - pairs[:, 0])
        places = number + np.linspace(-0.35, 0.35, len(gains)) if len(gains) > 1 else [number]
        axes.scatter(places, gains, **_dots(number), label=_counted(kind, pairs))
        axes.hlines(float(np.median(gains)), number - 0.4, number + 0.4, color=INK, linewidth=1.2)
    axes.axhline(0, color=INK, linestyle="--", linewidth=0.8, label="unchanged")
    axes.set_xticks(range(len(kinds)), [drawn_text(kind) for kind in kinds])
    axes.set_xlim(-0.6, len(kinds) - 0.4)


def _dots(number: int) -> dict[str, Any]:
    """Of the n-th kind of noise."""
    look = series(number)
    return {"color": look["color"], "marker": look["marker"], "s": 9, "alpha": 0.6, "linewidths": 0}


def _counted(kind: str, pairs: np.ndarray) -> str:
    return f"{drawn_text(kind)} (n = {len(pairs)}, {(pairs[:, 1] < pairs[:, 0]).sum()} worse)"
