"""The papers' figures, drawn anew from runs on Talkers: `python -m benchmark figure flowavse/4`.

`FIGURES` says of each what it needs. One whose method is not built here yet says so, and the change that builds the
method completes it. A figure is prepared first, which reads results, outputs and reported numbers, and then painted
into as many files as are asked for.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmark.errors import MissingDataset, PrerequisiteError, UnknownName, did_you_mean
from benchmark.papers.making import Runner, measure_speed
from benchmark.papers.needs import RunNeeded, Shelves, SpeedNeeded
from benchmark.protocols import book as protocols
from benchmark.reports import escaping

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from benchmark.datasets.manifest import Manifest
    from benchmark.results.finding import Kept

Say = Callable[[str], None]
Progress = Callable[[str], Callable[..., None]]
"""Label of a run to what is told how far it is; see `Session`."""

STEPS = (1, 2, 5, 10, 30)
"""Of FlowAVSE's Figure 4; the paper states none but 1 and 30."""


@dataclass(frozen=True)
class PaperFigure:
    """One figure of a paper, and what it is drawn from here."""

    paper: str
    """Key of the paper: `sf2f`."""
    number: int
    title: str
    """What it shows."""
    draw: str = ""
    """`module:function`, from `Material` to `Drawing`; empty where a method is not built."""
    unbuilt: str = ""
    """The method that is not built here yet."""
    runs: tuple[RunNeeded, ...] = ()
    """Without these there is nothing to see."""
    speeds: tuple[SpeedNeeded, ...] = ()
    """The same, of measured speed."""
    further: tuple[RunNeeded, ...] = ()
    """Drawn where they are there."""

    @property
    def name(self) -> str:
        """`sf2f/5`."""
        return f"{self.paper}/{self.number}"

    @property
    def protocol(self) -> str:
        """`flowavse/figure4`, which there is of figures that show an evaluation."""
        return f"{self.paper}/figure{self.number}"

    @property
    def stem(self) -> str:
        """Of its files."""
        return f"{self.paper}-{self.number}"


@dataclass(frozen=True)
class Drawing:
    """A figure, ready to be painted: everything has been read."""

    width: float
    """Inches, as `height`."""
    height: float
    paint: Callable[[Figure], None]
    caption: str
    """What is seen, from which corpus, and how it was chosen. Plain text."""


@dataclass
class Material:
    """What a figure is drawn from."""

    figure: PaperFigure
    shelves: Shelves
    progress: Progress = lambda label: lambda stage, done, total, about="": None

    def made(self, need: RunNeeded) -> Kept | None:
        return self.shelves.find(need)

    def there(self, need: RunNeeded) -> Kept:
        """One of `runs`, which is there when a figure is drawn."""
        made = self.shelves.find(need)
        assert made is not None
        return made

    @cached_property
    def speeds(self) -> dict[str, dict[str, Any]]:
        """Method to its row in the report of `speed`."""
        return {method: row for need in self.figure.speeds for method, row in self.shelves.speeds(need).items()}

    def manifest(self, made: Kept) -> Manifest:
        """The split that a run was made from, where the run found it; else it is opened, and built where it has to be.

        Raises:
            MissingDataset: the data here are not those of the run.
        """
        from benchmark.datasets.manifest import read_manifest
        from benchmark.runs.directory import RunDirectory
        from benchmark.runs.session import Request, Session
        from benchmark.tasks import get_task

        assert made.folder is not None
        spec = made.result.spec
        about, task = RunDirectory(made.folder).read_run(), get_task(spec.task)
        with contextlib.suppress(MissingDataset, KeyError, TypeError):
            manifest = read_manifest(Path(about["manifest"]), Path(about["root"]))
            if manifest.sha256 == spec.manifest_sha256 and manifest.samples[0].targets[task.target][0].is_file():
                return manifest
        manifest = Session(Request(spec.method, dataset=spec.dataset), progress=self.progress).open(spec.split, task)
        if manifest.sha256 != spec.manifest_sha256:
            raise MissingDataset(f"{made.folder} was made from other data than {spec.dataset} are now: run it again")
        return manifest


class Lack(NamedTuple):
    """Something that a figure is drawn from and that is not there."""

    commands: tuple[str, ...]
    """What makes it, one after the other."""
    essential: bool


_SF2F = RunNeeded("sf2f", "speech2face", outputs=True)
_VOICE2FACE = RunNeeded("voice2face", "speech2face", outputs=True)
_SF2F_128 = RunNeeded("sf2f", "speech2face", preset="paper-multi", trained="a training at 128 x 128", outputs=True)

_GUIDED = RunNeeded("speech2face_ddpm", "speech2face", ("guidance=4",), outputs=True)
"""By the guidance weight of the paper's Figure 5."""
_GUIDED_LARGE = RunNeeded("speech2face_ddpm", "speech2face", ("guidance=4", "resolution=128"), outputs=True)


def _at_8_s(method: str, *sets: str) -> RunNeeded:
    return RunNeeded(method, "speech2face", sets, seconds=8, outputs=True)


_AVP_GAN_LENGTHS = tuple(RunNeeded("avp_gan", "speech2face", seconds=seconds, outputs=True) for seconds in (2, 4, 6, 8))


def _enhanced(method: str, *sets: str, outputs: bool = False) -> RunNeeded:
    return RunNeeded(method, "av_enhancement", sets, outputs=outputs)


def steps_needed(method: str) -> tuple[RunNeeded, ...]:
    """Runs of FlowAVSE's Figure 4, by the number of sampling steps; the preset's own number needs no setting."""
    own = {"flowavse": 1, "avdiffuss": 30}[method]
    return tuple(_enhanced(method, *([] if steps == own else [f"steps={steps}"])) for steps in STEPS)


def _spoken(method: str, swept: bool = False) -> RunNeeded:
    """A run of lip2speech, at the SNR of Table 1 or swept over those of Figure 4; the enrolment is the paper's."""
    split = "test_snr" if swept else "test"
    enrolment = "clean" if method == "lipdiffuser" else ""
    return RunNeeded(method, "lip2speech", enrolment=enrolment, split=split, outputs=swept)


_SOUND, _FACES = "benchmark.papers.flowavse_figures", "benchmark.papers.sf2f_figures"
_AVP_GAN = "benchmark.papers.avp_gan_figures"
_LIPDIFFUSER = "benchmark.papers.lipdiffuser_figures"
_DDPM = "benchmark.papers.ddpm_figures"

FIGURES = {
    figure.name: figure
    for figure in (
        PaperFigure(
            "sf2f", 1, "A voice, the face made from it, and true faces", f"{_FACES}:from_a_voice", runs=(_SF2F,)
        ),
        PaperFigure("sf2f", 4, "What the embedding fuser does", f"{_FACES}:fuser", runs=(_SF2F,)),
        PaperFigure(
            "sf2f", 5, "Faces of SF2F and voice2face, 64 x 64", f"{_FACES}:side_by_side", runs=(_SF2F, _VOICE2FACE)
        ),
        PaperFigure(
            "sf2f", 6, "Faces of SF2F and voice2face, 128 x 128", f"{_FACES}:side_by_side",
            runs=(_SF2F_128, _VOICE2FACE),
        ),
        PaperFigure(
            "speech2face_ddpm", 1, "Faces of different kinds of decoders", f"{_DDPM}:samples",
            runs=(_GUIDED,), further=(_SF2F, _GUIDED_LARGE),
        ),
        PaperFigure(
            "speech2face_ddpm", 5, "Confusion of age and gender", f"{_DDPM}:confusion", runs=(_GUIDED,)
        ),
        PaperFigure(
            "avp_gan", 6, "Faces from voices of 2, 4, 6 and 8 seconds", f"{_AVP_GAN}:lengths", runs=_AVP_GAN_LENGTHS
        ),
        PaperFigure(
            "avp_gan", 7, "Faces before and after the image is enhanced", f"{_AVP_GAN}:enhancement",
            runs=(_at_8_s("avp_gan"), _at_8_s("avp_gan", "enhance=false")),
        ),
        PaperFigure(
            "avp_gan", 8, "Faces of AVP-GAN and voice2face", f"{_AVP_GAN}:against_voice2face",
            runs=(_at_8_s("avp_gan"), _at_8_s("voice2face")),
        ),
        PaperFigure(
            "avp_gan", 9, "Faces of women and men beside true ones", f"{_AVP_GAN}:women_and_men",
            runs=(_at_8_s("avp_gan"),),
        ),
        PaperFigure(
            "lipdiffuser", 3, "Box plots of instrumental scores", f"{_LIPDIFFUSER}:boxes",
            runs=(_spoken("lipdiffuser"),),
            further=tuple(_spoken(method) for method in ("noisy", "deepfilternet", "sgmse", "clean")),
        ),
        PaperFigure(
            "lipdiffuser", 4, "Quality, word errors and likeness of the voice by SNR", f"{_LIPDIFFUSER}:over_snr",
            runs=(_spoken("lipdiffuser", swept=True),),
            further=tuple(_spoken(method, swept=True) for method in ("noisy", "deepfilternet", "sgmse")),
        ),
        PaperFigure(
            "flowavse", 1, "Speed, size and SI-SDR", f"{_SOUND}:speed_size_quality",
            runs=(_enhanced("flowavse"),),
            speeds=(SpeedNeeded("flowavse-1", ("flowavse", "avdiffuss")),),
            further=(_enhanced("avdiffuss"), _enhanced("noisy")),
        ),
        PaperFigure(
            "flowavse", 4, "Quality by the number of sampling steps", f"{_SOUND}:sampling_steps",
            runs=steps_needed("flowavse")[:1],
            further=(*steps_needed("flowavse")[1:], *steps_needed("avdiffuss"), _enhanced("noisy")),
        ),
        PaperFigure(
            "flowavse", 5, "Spectrograms of a mixture and of what was made of it", f"{_SOUND}:spectrograms",
            runs=(_enhanced("flowavse", outputs=True),),
            further=tuple(_enhanced(method, outputs=True) for method in ("avdiffuss", "noisy", "clean")),
        ),
    )
}  # fmt: skip
"""Name to figure, in the order of the papers."""


def find(names: Sequence[str]) -> list[PaperFigure]:
    """Figures by name, each once; a paper's key stands for all of it, `all` for every one.

    Raises:
        UnknownName: there is no such figure.
    """
    found: dict[str, PaperFigure] = {}
    for name in names:
        named = {key: each for key, each in FIGURES.items() if name in ("all", each.paper, key)}
        if not named:
            papers = dict.fromkeys(each.paper for each in FIGURES.values())
            near = did_you_mean(name, [*FIGURES, *papers, "all"])
            raise UnknownName(f"Unknown figure '{name}'.{near} Papers: {', '.join(papers)}. List figures with: {_LIST}")
        found |= named
    return list(found.values())


_LIST = "python -m benchmark list figures"


def why_not(figure: PaperFigure) -> str:
    """Why it cannot be drawn whatever is run; empty where it can."""
    if not figure.unbuilt:
        return ""
    return f"it shows what the method '{figure.unbuilt}' makes, which is not built here yet"


def lacks(figure: PaperFigure, shelves: Shelves) -> list[Lack]:
    """What is not there of all that a figure is drawn from."""
    found = []
    for need in (*figure.runs, *figure.further):
        if not shelves.find(need):
            found.append(Lack(need.commands(shelves.runs), need in figure.runs))
    for speed in figure.speeds:
        if set(shelves.speeds(speed)) < set(speed.methods):
            found.append(Lack((speed.command(shelves.runs),), essential=True))
    return found


def make_missing(figures: Sequence[PaperFigure], shelves: Shelves, say: Say, progress: Progress) -> list[str]:
    """Run what figures lack; returns a line for each run that could not be made, or waits for a training."""
    runner = Runner(shelves.runs, say=say, progress=progress)
    known = protocols.names()
    needs = (
        replace(need, protocol=figure.protocol if figure.protocol in known else "")
        for figure in figures
        for need in (*figure.runs, *figure.further)
    )
    runner.run(need for need in needs if not shelves.find(need))
    for speed in dict.fromkeys(speed for figure in figures for speed in figure.speeds):
        if set(shelves.speeds(speed)) < set(speed.methods):
            say(speed.command(shelves.runs))
            measure_speed(speed, shelves.runs, say)
    return runner.notes


def prepare(material: Material) -> Drawing:
    """Read everything that a figure shows.

    Raises:
        PrerequisiteError: its method is not built, or something is missing without which there is nothing to see;
            says which commands make it.
    """
    figure, shelves = material.figure, material.shelves
    if reason := why_not(figure):
        raise PrerequisiteError(f"Figure '{figure.name}' cannot be drawn: {reason}")
    missing = [lack for lack in lacks(figure, shelves) if lack.essential]
    if missing:
        lines = [f"  {command}" for lack in missing for command in lack.commands]
        also = "" if any(need.lacking for need in figure.runs) else ", and so does --run"
        needs = f"Figure '{figure.name}' needs what is not in {shelves.runs}/ yet; these make it{also}:"
        raise PrerequisiteError("\n".join([needs, *lines]))
    module, _, name = figure.draw.partition(":")
    drawing: Drawing = getattr(importlib.import_module(module), name)(material)
    return drawing


def write(figure: PaperFigure, drawing: Drawing, folder: Path, formats: Sequence[str]) -> list[Path]:
    """Paint a figure into a file for each format; the same drawing gives the same bytes."""
    from benchmark.reports.figures import figure_file

    paths = [folder / f"{figure.stem}.{kind}" for kind in formats]
    for path in paths:
        with figure_file(path, drawing.width, drawing.height) as canvas:
            drawing.paint(canvas)
    return paths


@dataclass
class Page:
    """What `figure all` leaves beside the files: one page that shows them and says what is missing."""

    parts: list[str] = field(default_factory=list)

    def add(self, figure: PaperFigure, paths: Sequence[Path], caption: str, missing: Sequence[str]) -> None:
        """A figure that was drawn.

        Args:
            missing: commands for what it does not show yet.
        """
        plain = escaping.markdown
        shown = next((path for path in paths if path.suffix in (".png", ".svg")), None)
        lines = [f"![{plain(figure.title)}]({shown.name})", ""] if shown else []
        lines += [plain(caption), "", ", ".join(f"[{path.suffix[1:].upper()}]({path.name})" for path in paths), ""]
        lines += ["Not measured yet:", "", *(f"    {command}" for command in missing), ""] if missing else []
        self._put(figure, lines)

    def leave_out(self, figure: PaperFigure, reason: str) -> None:
        """A figure that could not be drawn."""
        first, *commands = escaping.printable_lines(reason).split("\n")
        first = first.removeprefix(f"Figure '{figure.name}' ")
        lines = [escaping.markdown(first[0].upper() + first[1:]), ""]
        self._put(figure, [*lines, *(f"    {line.strip()}" for line in commands), *([""] if commands else [])])

    def _put(self, figure: PaperFigure, lines: Sequence[str]) -> None:
        from benchmark.papers import reported

        plain = escaping.markdown
        if not any(part.startswith(f"<!-- {figure.paper} -->") for part in self.parts):
            paper = reported.load(figure.paper)
            self.parts.append(
                f"<!-- {figure.paper} -->\n## {plain(paper.name)}\n\n{plain(paper.title)} ({paper.year})\n"
            )
        self.parts.append("\n".join([f"### Figure {figure.number}: {figure.title}", "", *lines]))

    def text(self) -> str:
        head = (
            "# Figures of the papers, drawn here\n\nWhat a paper reports was measured on another corpus than what was "
            "measured here, on Talkers: they stand side by side, never in one.\n"
        )
        return "\n".join([head, *self.parts])
