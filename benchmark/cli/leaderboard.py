"""`leaderboard`: published results: add, validate, keep examples, make tables and page, check, show, refresh."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmark.cli import options

app = typer.Typer(
    help="Published results: add, validate, examples, figures, samples, build, check, show, refresh.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Root = Annotated[
    Path | None, typer.Option("--root", help="Folder of the leaderboards.  [default: leaderboards/ of this checkout]")
]


def _root(root: Path | None) -> Path:
    from benchmark.errors import UsageError
    from benchmark.leaderboard.submissions import FOLDER, ROOT

    found = root or ROOT
    if not (found / FOLDER).is_dir():
        raise UsageError(f"{found} holds no leaderboards: expected a folder '{FOLDER}' in it. Name another with --root")
    return found


def _typed(command: str, root: Path | None) -> str:
    """A command as it is typed to be of the same leaderboards."""
    from benchmark.leaderboard.submissions import at

    return command + at(root)


@app.command("add")
def add(
    names: Annotated[
        list[str],
        typer.Argument(metavar="RUN...", help="Run directories, ids or labels; or published files, for new intervals."),
    ],
    runs: options.Runs = Path("runs"),
    root: Root = None,
    quiet: options.Quiet = False,
) -> None:
    """Publish runs: their results, and what was measured of each output, in place of older ones of the same rows.

    A second time changes nothing. A run that breaks a rule is refused, with the reasons, and nothing of it is written.

    \b
    python -m benchmark leaderboard add sf2f
    python -m benchmark leaderboard add runs/sf2f-talkers-3f2a9c01de
    """
    from benchmark.cli.console import note
    from benchmark.leaderboard.add import add as published
    from benchmark.leaderboard.submissions import WIDEST

    folder, changed = _root(root), False
    for name in names:
        found = published(name, runs, folder)
        changed = changed or found.changed or bool(found.replaced)
        print(folder / found.submission.place)
        assert found.submission.packed is not None
        state = f"{len(found.submission.packed) >> 10} KiB of rows" if found.changed else "there already, unchanged"
        note(f"{found.submission.result.label}: {state}", quiet)
        for other in found.replaced:
            note(f"  in place of {other.place}, which is deleted", quiet)
        for metric in found.left_out:
            note(
                f"  without rows of {metric}: it keeps over {WIDEST} numbers of each output, so it has no ranks", quiet
            )
    if changed:
        note("Now make the tables: " + _typed("python -m benchmark leaderboard build", root), quiet)


@app.command("validate")
def validate(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Result files in the leaderboards' results.")],
    beside: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write each new row with its two neighbours there, as a comment on GitHub."),
    ] = None,
    root: Root = None,
    quiet: options.Quiet = False,
) -> None:
    """Hold result files to the rules; exit with 1 where one is broken.

    \b
    python -m benchmark leaderboard validate FILE
    """
    from benchmark.cli.console import note
    from benchmark.errors import SubmissionError
    from benchmark.leaderboard import board
    from benchmark.leaderboard.rules import Fault, faults, known, path, size
    from benchmark.leaderboard.submissions import Submission, place_below, read, readable
    from benchmark.reports.escaping import github_comment, markdown, printable

    folder = _root(root)
    misplaced: dict[Path, Fault] = {}
    for file in files:
        try:
            place_below(file, folder)
        except SubmissionError as error:
            misplaced[file] = Fault(path.__name__, str(error))
    # Reading all that is published takes its time.
    published = readable(folder) if len(misplaced) < len(set(files)) else []
    against = known(folder, published)
    good: list[Submission] = []
    told: list[str] = []
    for file in files:
        try:
            wrong = [misplaced[file]] if file in misplaced else faults(submission := read(file, folder), against)
        except SubmissionError as error:
            wrong = [Fault(size.__name__, str(error))]
        if wrong:
            print(printable(f"{file}: refused"))
            told.append(f"{markdown(str(file))}: refused\n")
        else:
            good.append(submission)
            print(printable(f"{file}: fine"))
        for fault in wrong:
            print(printable(f"  {fault.rule}: {fault.told}"))
            told.append(f"- {fault.rule}: {markdown(fault.told)}")
    if beside is not None:
        tables = board.boards([each for each in published if not faults(each, against)]) if good else []
        told += [board.neighbours(each, tables) + "\n" for each in good]
        beside.write_text(github_comment("\n".join(told) + "\n"), encoding="utf-8")
        note(f"Written: {beside}", quiet)
    if len(good) < len(files):
        raise typer.Exit(1)


@app.command("examples")
def examples(
    names: Annotated[list[str], typer.Argument(metavar="RUN...", help="Directories, ids or labels of published runs.")],
    runs: options.Runs = Path("runs"),
    root: Root = None,
    quiet: options.Quiet = False,
) -> None:
    """Keep a few outputs of published runs for the page: faces to look at, sounds to listen to.

    Which ones depends on the split alone: the first people, or the first mixture of each kind of noise. A run of a part
    of the split (run --limit) will do.

    \b
    python -m benchmark leaderboard examples sf2f
    """
    from benchmark.cli.console import note
    from benchmark.leaderboard.examples import write

    folder = _root(root)
    for name in names:
        print(write(name, runs, folder))
    note("Now make the page: " + _typed("python -m benchmark leaderboard build", root), quiet)


@app.command("figures")
def figures(
    names: Annotated[
        list[str],
        typer.Argument(metavar="PAPER/N", help="Figures, as sf2f/4; of a paper, or of `all`, those that can be drawn."),
    ],
    runs: options.Runs = Path("runs"),
    root: Root = None,
    quiet: options.Quiet = False,
) -> None:
    """Keep the papers' figures for the page, drawn as `figure` does from runs whose results are published.

    \b
    python -m benchmark leaderboard figures sf2f/4
    python -m benchmark leaderboard figures all
    """
    from benchmark.cli.console import note
    from benchmark.leaderboard.figures import write

    for path in write(names, runs, _root(root), lambda line: note(line, quiet)):
        print(path)
    note("Now make the page: " + _typed("python -m benchmark leaderboard build", root), quiet)


@app.command("samples")
def samples(
    names: Annotated[
        list[str], typer.Argument(metavar="RUN...", help="Run directories, ids or labels, or published files.")
    ],
    runs: options.Runs = Path("runs"),
    root: Root = None,
    quiet: options.Quiet = False,
) -> None:
    """Keep what is known of the samples of published runs (sex, age, noise, SNR), for tables by groups of them.

    One run of each task on each dataset will do. The data have to be here; Talkers is built where it is not.

    \b
    python -m benchmark leaderboard samples sf2f
    """
    from benchmark.cli.console import bars, note
    from benchmark.leaderboard.groups import write

    folder = _root(root)
    with bars(quiet) as progress:
        told = progress("data")
        for name in names:
            print(write(name, runs, folder, lambda done, total, what: told("build", done, total, what)))
    note("Now make the tables: " + _typed("python -m benchmark leaderboard build", root), quiet)


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(metavar="TASK/DATASET", help="A board.")],
    by: Annotated[
        str,
        typer.Option(
            "--by", metavar="ATTRIBUTE", help="What makes the groups: sex, age, or whatever else the dataset tells."
        ),
    ],
    columns: options.Columns = None,
    data_root: options.DataRoot = None,
    root: Root = None,
    quiet: options.Quiet = False,
) -> None:
    """Print a board over groups of people or recordings, with how far these lie apart.

    \b
    python -m benchmark leaderboard show speech2face/talkers --by age --columns recall_at_10
    """
    from benchmark.cli.console import note, print_lines, print_table
    from benchmark.cli.groups import Attributes, check_by
    from benchmark.errors import UsageError, did_you_mean
    from benchmark.leaderboard import groups
    from benchmark.leaderboard.board import boards
    from benchmark.leaderboard.submissions import everything

    folder, (asked,) = _root(root), check_by([by])
    task, _, dataset = name.partition("/")
    published = everything(folder)
    stems = sorted({f"{each.result.spec.task}/{each.result.spec.dataset}" for each in published})
    if name not in stems:
        raise UsageError(f"Unknown board '{name}'.{did_you_mean(name, stems)} Boards: {', '.join(stems)}")
    own = [each for each in published if (each.result.spec.task, each.result.spec.dataset) == (task, dataset)]
    note("Holding groups against each other", quiet)
    (board,) = boards(own)
    attributes = Attributes(data_root, dataset, quiet)
    sections = groups.by_groups(board, asked, lambda each: attributes(groups.scored(each)))
    if not sections:
        raise UsageError(f"--by {by}: all samples of {name} are of one group")
    wanted = options.names(columns)
    for place, section in enumerate(sections):
        heads = [head for head in section.heads if not wanted or {head.name, head.metric} & set(wanted)]
        if not heads:
            known = ", ".join(head.name for head in section.heads)
            raise UsageError(f"--columns {', '.join(wanted)}: {name} has no such number. It has: {known}")
        print_lines([*([""] if place else []), f"{name}, {section.question.title}"])
        for head in heads:
            print()
            titles, rows = groups.lines(section, head)
            print_table(titles, rows, groups.title(section, head), right=range(1, len(titles)))
        print()
        print_lines(groups.notes(section))


@app.command("build")
def build(root: Root = None, quiet: options.Quiet = False) -> None:
    """Make the tables anew from the results and the papers' numbers; the same files always give the same tables."""
    from benchmark.cli.console import note
    from benchmark.leaderboard.board import build as built

    changed = built(_root(root))
    for name in changed:
        print(name)
    note(f"{len(changed)} files changed" if changed else "Everything is as it was", quiet)


@app.command("check")
def check(root: Root = None, quiet: options.Quiet = False) -> None:
    """Hold all results to the rules, and the tables to what `build` makes; exit with 1 where anything differs."""
    from benchmark.cli.console import note
    from benchmark.leaderboard.board import differences
    from benchmark.leaderboard.rules import faults, known
    from benchmark.leaderboard.submissions import everything
    from benchmark.reports.escaping import printable, printable_lines

    folder = _root(root)
    published = everything(folder)
    against = known(folder, published)
    wrong = 0
    for each in published:
        for fault in faults(each, against):
            wrong += 1
            print(printable(f"{each.place}: {fault.rule}: {fault.told}"))
    if wrong:
        note(
            "What the results break is listed by: " + _typed("python -m benchmark leaderboard refresh --dry-run", root),
            quiet,
        )
        raise typer.Exit(1)
    if found := differences(folder):
        for each in found:
            print(printable_lines(each))
        note(
            "The tables are not those of the results. Make them: "
            + _typed("python -m benchmark leaderboard build", root),
            quiet,
        )
        raise typer.Exit(1)
    note(f"{len(published)} results keep the rules, and the tables are theirs", quiet)


@app.command("refresh")
def refresh(
    runs: options.Runs = Path("runs"),
    code: Annotated[
        bool, typer.Option("--code", help="Also rows whose outputs were made by another state of the method's code.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be run, and why, and stop.")] = False,
    root: Root = None,
    quiet: options.Quiet = False,
) -> None:
    """Run again what is not current, by the commands in commands.toml, add it, and make the tables.

    Rows of which only the intervals are computed otherwise now are added again; nothing is run for them.
    """
    from benchmark.cli.console import note
    from benchmark.leaderboard.board import build as built
    from benchmark.leaderboard.refresh import refresh as rerun
    from benchmark.leaderboard.refresh import stale
    from benchmark.reports.escaping import printable

    folder = _root(root)
    rows = stale(folder, code)
    for row in rows:
        print(printable(f"{row.name}: {row.line}"))
        note(f"  {row.why}", quiet)
    if not rows:
        note("Every row is current", quiet)
    if dry_run or not rows:
        return
    for each in rerun(rows, runs, folder, lambda line: note(line, quiet)):
        print(folder / each.submission.place)
    for name in built(folder):
        print(name)
