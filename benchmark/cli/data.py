"""`data`: what corpora are, where to get them; index them, check them, show them, write mixtures as files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchmark.cli import options, prepare
from benchmark.errors import UsageError

if TYPE_CHECKING:
    from benchmark.datasets.dataset import Dataset
    from benchmark.datasets.manifest import Manifest

app = typer.Typer(
    help="Corpora: what to get and where, index, check every file, show, export.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Name = Annotated[str, typer.Argument(help="Dataset; `list datasets` names them.")]
Workers = Annotated[int | None, typer.Option(help="Processes that look at files.  [default: one per core]")]
Task = Annotated[str | None, typer.Option(help="Task whose files are wanted.  [default: the dataset's first]")]


@app.command("info")
def info(
    name: Annotated[str | None, typer.Argument(help="Dataset; all of them in short where none is named.")] = None,
    as_json: options.Json = False,
) -> None:
    """Say what a corpus is and where to get it.

    What files, where, under which terms, the tree that is expected, and what is done with it. Nothing has to be on
    disk. What is there is told by `data build`, `data verify` and `data show`.

    \b
    python -m benchmark data info
    python -m benchmark data info lrs3
    """
    from benchmark.cli.console import print_json, print_lines, print_table
    from benchmark.registry import datasets

    if name is None:
        every = {each: datasets.load(each) for each in datasets}
        if as_json:
            print_json([_about(each, kind) for each, kind in every.items()])
            return
        rows = [[each, datasets.described(each).title, ", ".join(kind.tasks)] for each, kind in every.items()]
        print_table(["name", "what", "tasks"], rows)
        return
    about = _about(name, datasets.load(name))
    if as_json:
        print_json(about)
        return
    counts = "; ".join(f"{count['what']} {count['count']:,}" for count in about["published"])
    told = {
        "what to get": about["obtain"],
        "where": about["where"],
        "terms": about["terms"],
        "used for": about["use"],
        "tasks": ", ".join(about["tasks"]),
        "splits": ", ".join(about["splits"]),
        "as published": counts,
    }
    print_lines([f"{name}: {about['what']}"])
    print_table(["", ""], [[key, value] for key, value in told.items() if value])
    print_lines(["", "expected below --data-root:" if about["needs_root"] else "expected on disk:"])
    print(about["layout"])
    root = " --data-root FOLDER" if about["needs_root"] else ""
    split = "test" if "test" in about["splits"] else about["splits"][0]
    if root:
        print_lines(
            ["", "Places and terms are as they were known when this was written; those on the page count. Then:"]
        )
        print(f"  python -m benchmark data verify {name}{root}")
    else:
        print_lines(["", "Then:"])
    print(f"  python -m benchmark data build {name} --split {split}{root}")


def _about(name: str, kind: type[Dataset]) -> dict[str, Any]:
    from benchmark.registry import datasets

    return {
        "dataset": name,
        "what": datasets.described(name).title,
        "revision": kind.revision,
        "obtain": kind.obtain,
        "where": kind.where,
        "terms": kind.terms,
        "use": kind.use,
        "tasks": list(kind.tasks),
        "splits": list(kind.splits),
        "published": [{"what": one.what, "count": one.count} for one in kind.published],
        "needs_root": kind.needs_root,
        "layout": kind.layout,
    }


@app.command("build")
def build(
    name: Name = "talkers",
    split: options.Split = "test",
    task: Task = None,
    people: options.People = None,
    sets: options.Sets = None,
    data_root: options.DataRoot = None,
    workers: Workers = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Generate a corpus, or index one on disk.

    Only what the task asks for, going on where an earlier build stopped. The index names every file of a split and
    says what is left out, by names and headers; `data verify` reads the files to their ends.

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
        _open(name, split, task, data_root, as_json, quiet, workers)
        return
    task = task or datasets.load(name).tasks[0]
    with bars(quiet) as progress:
        training = draw(wanted, TRAINING, name, data_root, task, progress)
        if wanted.validation:
            draw(wanted, VALIDATION, name, data_root, task, progress)
    _tell(training, as_json, quiet)


@app.command("verify")
def verify(
    name: Name = "talkers",
    data_root: options.DataRoot = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File of JSON lines, one for each file.  [default: one for each root]"),
    ] = None,
    partial: Annotated[
        bool,
        typer.Option("--partial", help="A part of the corpus is meant: fewer files than published are no fault."),
    ] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Open all files again, also those that were fine.")] = False,
    workers: Workers = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Open every file of a corpus; name the bad ones.

    First of all the folder has to hold samples of that corpus. Then each file is read to its end; the exit code is 1
    where some are bad, and a file of JSON lines says why. Bad is what
    is missing, empty, cut short, corrupt, silent or blank, has NaN in it, is too short, or has another rate or size
    than the corpus states; and fewer files than published. The same command goes on where it was stopped.

    \b
    python -m benchmark data verify lrs3 --data-root /data/lrs3
    python -m benchmark data verify grid --data-root some_clips --partial --output checked.jsonl
    """
    from benchmark.cli.console import bars, note, print_json, print_table
    from benchmark.datasets.verification import verify as open_all

    adapter = _adapter(name, data_root, workers)
    with bars(quiet) as progress:
        show = progress(name)
        found = open_all(adapter, output, lambda done, total, what: show("verify", done, total, what), fresh)
    lacking = [] if partial else found.lacking
    if as_json:
        print_json({"dataset": name, **found.as_dict()})
    else:
        if found.bad:
            rows = [[fault, str(count), found.faults[fault][0]] for fault, count in found.bad.most_common()]
            print_table(["fault", "files", "for example"], rows, right=[1])
        if found.counts:
            counts = [[one.what, f"{one.published:,}", f"{one.here:,}"] for one in found.counts]
            print_table(["as published", "", "here"], counts, right=[1, 2])
        kinds = ", ".join(f"{count} {kind}" for kind, count in found.kinds.most_common())
        bad = sum(found.bad.values())
        print(f"{found.files} files ({kinds}): {bad or 'none'} bad; {found.report}")
    for line in found.not_listed[:3]:
        note(f"not looked at: {line}", quiet)
    if archives := found.kinds["archive"]:
        note(f"{archives} archives are not read; unpack them, if that is still to be done", quiet)
    if found.kept:
        note(f"{found.kept} files had been opened before and have not changed since", quiet)
    for one in lacking:
        note(f"{one.what}: {one.published - one.here:,} fewer than published; --partial if that is meant", quiet)
    for line in found.unrecognised.splitlines():
        note(line, quiet)
    if found.bad or lacking or found.unrecognised:
        raise typer.Exit(1)


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
    """Print what is here of a dataset.

    With --output, a picture of its people. `data info` says what a corpus is and where to get it.

    \b
    python -m benchmark data show talkers --output talkers.png
    python -m benchmark data show folder --data-root my_people
    """
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


app.command("prepare")(prepare.prepare)


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


def _adapter(name: str, data_root: Path | None, workers: int | None) -> Dataset:
    from benchmark.processes import cores
    from benchmark.registry import datasets
    from benchmark.weights.table import home

    if workers is not None and workers < 1:
        raise UsageError(f"--workers {workers}: expected 1 or more")
    adapter: Dataset = datasets.load(name)(data_root, home())
    adapter.workers = workers or cores()
    return adapter


def _manifest(
    name: str,
    split: str,
    task: str | None,
    data_root: Path | None,
    progress: Callable[[str], Callable[..., None]],
    workers: int | None = None,
) -> Manifest:
    """Open a split; without a task, for the dataset's first one."""
    adapter = _adapter(name, data_root, workers)
    show = progress(f"{name} {split}")
    opened: Manifest = adapter.open(
        split, task or adapter.tasks[0], lambda done, total, what: show("build", done, total, what)
    )
    return opened


def _open(
    name: str,
    split: str,
    task: str | None,
    data_root: Path | None,
    as_json: bool,
    quiet: bool,
    workers: int | None = None,
) -> Manifest:
    from benchmark.cli.console import bars

    with bars(quiet) as progress:
        manifest = _manifest(name, split, task, data_root, progress, workers)
    _tell(manifest, as_json, quiet)
    return manifest


def _tell(manifest: Manifest, as_json: bool, quiet: bool) -> None:
    """Print what a manifest holds."""
    from benchmark.cli.console import note, print_json, print_table
    from benchmark.datasets.dataset import count_left_out

    inputs = targets = 0
    speakers = set()
    for sample in manifest.samples:
        inputs += sum(map(len, sample.inputs.values()))
        targets += sum(map(len, sample.targets.values()))
        speakers.add(sample.speaker)
    about = {
        "dataset": manifest.dataset,
        "revision": manifest.revision,
        "split": manifest.split,
        "task": manifest.task,
        "samples": len(manifest.samples),
        "speakers": len(speakers),
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
