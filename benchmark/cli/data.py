"""`data`: build the embedded corpus, index and show corpora, write mixtures as files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmark.cli import options
from benchmark.errors import UsageError

if TYPE_CHECKING:
    from benchmark.datasets.manifest import Manifest

app = typer.Typer(help="Build, index, show and export datasets.", no_args_is_help=True, rich_markup_mode=None)

Name = Annotated[str, typer.Argument(help="Dataset; `list datasets` names them.")]
Task = Annotated[str | None, typer.Option(help="Task whose files are wanted.  [default: the dataset's first]")]


@app.command("build")
def build(
    name: Name = "talkers",
    split: options.Split = "test",
    task: Task = None,
    people: options.People = None,
    sets: options.Sets = None,
    data_root: options.DataRoot = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Generate a corpus, or index one on disk: only what the task asks for, continuing where an earlier build stopped.

    With --people N, what `train` with the same --people and --set population.KEY=VALUE trains on and validates by.

    \b
    python -m benchmark data build talkers --split train
    python -m benchmark data build talkers --people 8000 --set population.sentences=2
    python -m benchmark data build lrs3_chime3 --split test_snr --data-root corpora
    """
    from benchmark.cli.console import bars
    from benchmark.configuration import population_of
    from benchmark.datasets.population import TRAINING, VALIDATION
    from benchmark.registry import datasets
    from benchmark.training import draw

    wanted = population_of(options.with_people(sets, people))
    if not wanted.people:
        if sets:
            raise UsageError("--set population.KEY=VALUE says what to draw; --people N, how many: give both")
        _open(name, split, task, data_root, as_json, quiet)
        return
    task = task or datasets.load(name).tasks[0]
    with bars(quiet) as progress:
        training = draw(wanted, TRAINING, name, data_root, task, progress)
        if wanted.validation:
            draw(wanted, VALIDATION, name, data_root, task, progress)
    _tell(training, as_json, quiet)


@app.command("show")
def show(
    name: Name = "talkers",
    split: options.Split = "test",
    task: Task = None,
    data_root: options.DataRoot = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write a contact sheet (.png) of its first 20 speakers.")
    ] = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Print a dataset's layout; with --data-root, or for a generated one, what it holds.

    \b
    python -m benchmark data show folder
    python -m benchmark data show talkers --output talkers.png
    """
    from benchmark.registry import datasets
    from benchmark.weights.table import home

    adapter = datasets.load(name)(data_root, home())
    if adapter.needs_root and data_root is None:
        from benchmark.cli.console import print_json

        if as_json:
            print_json(
                {"dataset": name, "revision": adapter.revision, "splits": adapter.splits, "layout": adapter.layout}
            )
        else:
            about = f"{name}, revision {adapter.revision}; splits: {', '.join(adapter.splits)}"
            print(f"{about}; tasks: {', '.join(adapter.tasks)}")
            print(adapter.layout)
        return
    manifest = _open(name, split, task, data_root, as_json, quiet)
    if output is not None:
        from benchmark.media import read_image, write_image
        from benchmark.reports.sheets import contact_sheet

        rows = []
        for sample in manifest.samples[:20]:
            about = " ".join(
                str(sample.attributes[key]) for key in ("sex", "age") if sample.attributes.get(key) is not None
            )
            rows.append(
                (f"{sample.speaker}\n{about}", [read_image(path) for path in sample.targets.get("face", ())[:4]])
            )
        write_image(output, contact_sheet(rows, [f"face {number + 1}" for number in range(4)], 128, per_line=2))


@app.command("export")
def export(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the files: new, empty, or of the same export.")
    ],
    name: Name = "talkers",
    split: options.Split = "test",
    task: Annotated[
        str | None,
        typer.Option(
            help="Whose inputs are wanted.  [default: the dataset's first task with mixtures, else its first]"
        ),
    ] = None,
    data_root: options.DataRoot = None,
    seconds: options.Seconds = None,
    repeats: options.Repeats = None,
    enrolment: options.Enrolment = None,
    seed: options.Seed = 0,
    limit: Annotated[int | None, typer.Option(help="Only the first N samples; more can be added later.")] = None,
    video: Annotated[
        str,
        typer.Option(
            help="Pictures: `crops` of the face, as a method gets them; `files` of the corpus, as they are; or `none`."
        ),
    ] = "crops",
    fail_on_error: Annotated[
        int, typer.Option(metavar="N", help="Exit with 1 where more than N files cannot be made.")
    ] = 0,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Write what methods are given as files, for a system from elsewhere; score what it makes by `--method outputs`.

    Mixtures with videos, or for speech2face a crop of speech for each evaluation run, as `run` gives them. The same
    command goes on where it was stopped.

    \b
    python -m benchmark data export talkers --output exported
    python -m benchmark data export talkers --task speech2face --output crops
    python -m benchmark data export folder --data-root my_people --split test_snr --output exported --video files
    """
    from benchmark.cli.console import bars, note, print_json
    from benchmark.datasets.dataset import left_out
    from benchmark.registry import datasets
    from benchmark.runs.export import Export, write_mixtures
    from benchmark.runs.session import check_limit
    from benchmark.tasks import TASKS, get_task, with_protocol

    check_limit(limit)
    served = [known for known in datasets.load(name).tasks if known in TASKS]
    if not served:
        raise UsageError(f"{name} has nothing to export: it serves no task")
    chosen = get_task(task) if task else TASKS[next((t for t in served if "noisy" in TASKS[t].inputs), served[0])]
    with bars(quiet) as progress:
        manifest = _manifest(name, split, chosen.name, data_root, progress)
        wanted = Export(manifest, chosen, with_protocol(chosen, seconds, repeats, enrolment), output, seed, video)
        made = write_mixtures(wanted, limit, lambda done, total: progress(f"{name} {split}")("export", done, total))
    for line in [*left_out(manifest), *made.remarks]:
        note(line, quiet)
    if as_json:
        print_json({"folder": str(output), "mixtures": made.mixtures, "kept": made.kept, "failed": made.failed})
    else:
        print(output)
    for sample, reason in list(made.failed.items())[:10]:
        note(f"failed: {sample}: {reason}", quiet)
    told = "" if wanted.table == "mixtures" else f", for {wanted.protocol.repeats} evaluation runs"
    kept = f"{made.kept} of them from before; {len(made.failed)} cannot be made"
    note(f"{made.mixtures} {wanted.table}{told}, {kept}", quiet)
    if len(made.failed) > fail_on_error:
        raise typer.Exit(1)


def _manifest(
    name: str, split: str, task: str | None, data_root: Path | None, progress: Callable[[str], Callable[..., None]]
) -> Manifest:
    """Open a split; without a task, for the dataset's first one."""
    from benchmark.registry import datasets
    from benchmark.weights.table import home

    adapter = datasets.load(name)(data_root, home())
    show = progress(f"{name} {split}")
    opened: Manifest = adapter.open(
        split, task or adapter.tasks[0], lambda done, total, what: show("build", done, total, what)
    )
    return opened


def _open(name: str, split: str, task: str | None, data_root: Path | None, as_json: bool, quiet: bool) -> Manifest:
    from benchmark.cli.console import bars

    with bars(quiet) as progress:
        manifest = _manifest(name, split, task, data_root, progress)
    _tell(manifest, as_json, quiet)
    return manifest


def _tell(manifest: Manifest, as_json: bool, quiet: bool) -> None:
    """Print what a manifest holds."""
    from benchmark.cli.console import note, print_json, print_table
    from benchmark.datasets.dataset import count_left_out

    inputs = sum(len(paths) for sample in manifest.samples for paths in sample.inputs.values())
    targets = sum(len(paths) for sample in manifest.samples for paths in sample.targets.values())
    about = {
        "dataset": manifest.dataset,
        "revision": manifest.revision,
        "split": manifest.split,
        "task": manifest.task,
        "samples": len(manifest.samples),
        "speakers": len({sample.speaker for sample in manifest.samples}),
        "inputs": inputs,
        "targets": targets,
        "manifest": str(manifest.path),
        "sha256": manifest.sha256,
        "left out": count_left_out(manifest.problems),
    }
    if as_json:
        print_json({**about, "problems": list(manifest.problems)})
    else:
        print_table(["", ""], [[key, str(value)] for key, value in about.items()])
        for line in manifest.problems[:20]:
            note(f"left out: {line}", quiet)
        if len(manifest.problems) > 20:
            note(f"... and {len(manifest.problems) - 20} more; all of them with --json", quiet)
