"""`weights`: pretrained networks: where they come from, fetch, add, verify."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmark.cli import options

app = typer.Typer(
    help="Pretrained networks: list, fetch, add, verify, fit.", no_args_is_help=True, rich_markup_mode=None
)

Name = Annotated[str, typer.Argument(help="Name; `weights list` prints them.")]


@app.command("list")
def list_weights(as_json: options.Json = False) -> None:
    """List the weights this suite knows, and which are here."""
    from benchmark.cli.listing import listing

    listing("weights", Path("runs"), as_json)


@app.command("fetch")
def fetch(name: Name, quiet: options.Quiet = False) -> None:
    """Download weights, verify their sha256, and keep them.

    \b
    python -m benchmark weights fetch facenet_vggface2
    """
    from benchmark.cli.console import bars
    from benchmark.weights import table as weights

    with bars(quiet) as progress:
        show = progress(name)
        path = weights.fetch(name, lambda done, total: show("download", done, total))
    print(path)


@app.command("add")
def add(name: Name, path: Annotated[Path, typer.Argument(help="The file that you downloaded.")]) -> None:
    """Take in weights that you downloaded by hand."""
    from benchmark.weights import table as weights

    print(weights.add(name, path))


@app.command("verify")
def verify() -> None:
    """Check every file that is here against its recorded sha256."""
    from benchmark.weights import table as weights

    for name in weights.TABLE:
        if weights.is_here(name):
            print(f"ok  {name}  {weights.verify(name)}")


@app.command("fit")
def fit(
    dataset: Annotated[
        str,
        typer.Option(help="Dataset whose training split the heads are fitted to (of `folder`, all people)."),
    ] = "talkers",
    data_root: options.DataRoot = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where to write them.  [default: the weights folder]")
    ] = None,
    quiet: options.Quiet = False,
) -> None:
    """Fit the heads for sex, age and identity of the offline metrics to a dataset's training faces.

    \b
    python -m benchmark weights fit --dataset hq_voxceleb --data-root /data/hq
    python -m benchmark weights fit --dataset folder --data-root my_people
    """
    from benchmark.cli.console import bars, note
    from benchmark.training import fit_face_heads

    with bars(quiet) as progress:
        path, about = fit_face_heads(dataset, data_root, output, progress)
    note(about, quiet)
    print(path)
