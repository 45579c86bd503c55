"""`data`: build the embedded corpus, index and show corpora."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmark.cli import options

app = typer.Typer(help="Build, index and show datasets.", no_args_is_help=True, rich_markup_mode=None)

Name = Annotated[str, typer.Argument(help="Dataset; `list datasets` names them.")]
Task = Annotated[str | None, typer.Option(help="Task whose files are wanted.  [default: the dataset's first]")]


@app.command("build")
def build(
    name: Name = "talkers",
    split: options.Split = "test",
    task: Task = None,
    data_root: options.DataRoot = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Generate a corpus, or index one on disk: only what the task asks for, continuing where an earlier build stopped.

    \b
    python -m benchmark data build talkers --split train
    """
    _open(name, split, task, data_root, as_json, quiet)


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
    from benchmark.weights import home

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


def _open(name: str, split: str, task: str | None, data_root: Path | None, as_json: bool, quiet: bool):  # type: ignore[no-untyped-def]
    from benchmark.cli.console import bars, note, print_json, print_table
    from benchmark.datasets.dataset import count_left_out
    from benchmark.registry import datasets
    from benchmark.weights import home

    with bars(quiet) as progress:
        show_progress = progress(f"{name} {split}")
        adapter = datasets.load(name)(data_root, home())
        manifest = adapter.open(
            split, task or adapter.tasks[0], lambda done, total, what: show_progress("build", done, total, what)
        )
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
    return manifest
