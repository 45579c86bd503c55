"""`figure`: the papers' figures, drawn from runs on Talkers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmark.cli import options

if TYPE_CHECKING:
    from benchmark.papers.figures import PaperFigure


def figure(
    name: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PAPER/N]...", help="Figures, papers, or `all`; without one the figures are listed."),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder of the files; with a paper or `all` it gets an index.")
    ] = Path("figures"),
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format", metavar="KINDS", help="png, pdf, svg, with commas between; repeatable.  [default: png]"
        ),
    ] = None,
    runs: options.Runs = Path("runs"),
    run_missing: Annotated[bool, typer.Option("--run", help="Run and measure first what the figures lack.")] = False,
    quiet: options.Quiet = False,
) -> None:
    """Draw a paper's figure from runs on Talkers, beside what the paper reports.

    Runs that it lacks are named with the command that makes each; --run makes them.

    \b
    python -m benchmark figure
    python -m benchmark figure flowavse/4
    python -m benchmark figure sf2f/5 --run --format pdf
    python -m benchmark figure all --out figures
    """
    from benchmark.cli.console import bars, note
    from benchmark.cli.listing import listing
    from benchmark.errors import BenchmarkError, UsageError, did_you_mean
    from benchmark.files import write_whole
    from benchmark.papers import figures
    from benchmark.papers.needs import Shelves
    from benchmark.reports.figures import FORMATS

    if not name:
        listing("figures")
        return
    kinds = options.names(formats) or ("png",)
    for kind in kinds:
        if kind not in FORMATS:
            near = did_you_mean(kind, FORMATS)
            raise UsageError(f"--format {kind}: expected one of {', '.join(FORMATS)}.{near}")
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out}: expected a folder, got a file; --format chooses the kind of the files in it")
    asked = figures.find(name)
    whole = not set(name) <= figures.FIGURES.keys()  # a paper, or all
    shelves, page, failed = Shelves(runs), figures.Page(), 0
    with bars(quiet) as progress:
        if run_missing:
            able = [each for each in asked if not figures.why_not(each)]
            for line in figures.make_missing(able, shelves, lambda line: note(line, quiet), progress):
                note(line)
            shelves = Shelves(runs)
        for each in asked:
            try:
                drawing = figures.prepare(figures.Material(each, shelves, progress))
            except BenchmarkError as error:
                if not whole:
                    raise type(error)("\n".join([str(error), *_elsewhere(each)])) from error
                for line in str(error).split("\n"):
                    note(line, quiet)
                page.leave_out(each, str(error))
                failed += 1
                continue
            paths = figures.write(each, drawing, out, kinds)
            commands = [command for lack in figures.lacks(each, shelves) for command in lack.commands]
            page.add(each, paths, drawing.caption, commands)
            note(f"{each.name}: {drawing.caption}", quiet)
            for command in commands:
                note(f"  not measured yet: {command}", quiet)
            for path in paths:
                print(path)
    if whole:
        index = out / "index.md"
        write_whole(index, lambda partial: partial.write_text(page.text(), encoding="utf-8"))
        print(index)
        why = f"; {index} says why the others were not" if failed else ""
        note(f"{len(asked) - failed} of {len(asked)} figures were drawn{why}", quiet)


def _elsewhere(figure: PaperFigure) -> list[str]:
    """A line where the project has the figure, drawn from published runs."""
    from benchmark.leaderboard.figures import FOLDER
    from benchmark.leaderboard.submissions import ROOT

    if not (ROOT / FOLDER / f"{figure.stem}.json").is_file():
        return []
    return [f"Drawn from published runs it can be seen on {ROOT.name}/index.html."]
