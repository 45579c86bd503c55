"""`weights`: pretrained networks: where they come from and their terms; fetch, add, verify, fit."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmark.cli import options
from benchmark.errors import PrerequisiteError
from benchmark.weights.published import Weights
from metrics.sizes import size_told

app = typer.Typer(
    help="Pretrained networks: list, show, fetch, add, verify, fit.", no_args_is_help=True, rich_markup_mode=None
)

Name = Annotated[str, typer.Argument(help="Name; `weights list` prints them.")]


@app.command("list")
def list_weights(as_json: options.Json = False) -> None:
    """List the weights this suite knows: which are here, their size, their terms, and what they are for."""
    from benchmark.cli.console import print_json, print_table

    if as_json:
        print_json(records())
    else:
        columns, rows = overview()
        print_table(columns, rows)


@app.command("show")
def show(name: Name, as_json: options.Json = False) -> None:
    """Print everything about one network's weights: files, addresses, sha256, terms, and how to get them.

    \b
    python -m benchmark weights show nisqa
    """
    from benchmark.cli.console import print_json, print_lines
    from benchmark.weights import table as weights

    item = weights.entry(name)
    if as_json:
        print_json(_record(item))
        return
    lines = [
        f"{item.name}: {item.source}",
        f"For: {item.purpose}",
        f"Asked for by: {item.used_by}",
        f"Licence: {_terms(item)}",
    ]
    for file in item.files:
        size = f"{file.size} bytes" if file.size else "size not stated"
        where = "" if item.package else f", {file.url or 'no address'}"
        lines.append(f"File: {file.name} ({size}, sha256 {file.sha256 or 'not stated'}{where})")
    lines += [f"Held to: {weights.held_to(name)}", f"Here: {_here(item)}"]
    if not weights.is_here(name):
        lines += ["", *weights.how_to_get(name).splitlines()]
    print_lines(lines)


@app.command("fetch")
def fetch(
    name: Name,
    accept_license: Annotated[
        bool, typer.Option("--accept-license", help="Accept the licence, which is shown, without being asked.")
    ] = False,
    quiet: options.Quiet = False,
) -> None:
    """Download weights, verify their sha256, and keep them; a download that broke off is continued.

    \b
    python -m benchmark weights fetch facenet_vggface2
    python -m benchmark weights fetch nisqa --accept-license
    """
    from benchmark.cli.console import bars, note
    from benchmark.weights import table as weights

    item = weights.entry(name)
    if not weights.is_here(name) and all(file.url for file in item.files):
        _accept(item, accept_license)
    with bars(quiet) as progress:
        show = progress(name)

        def moved(done: int, total: int) -> None:
            whole = -(-total >> 20)
            show("MiB", whole if done == total else done >> 20, whole)

        path = weights.fetch(name, moved, lambda line: note(line, quiet))
    _tell_first_copy(item, quiet)
    print(path)


@app.command("add")
def add(
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="Name; may be left out where the file tells it.")],
    path: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="What you downloaded: a file, or a folder of several.")
    ] = None,
) -> None:
    """Take in weights that you downloaded by hand, and verify them.

    \b
    python -m benchmark weights add vggface2_resnet50 resnet50_ft_weight.pkl
    python -m benchmark weights add whisper_large_v3 Downloads/whisper-large-v3
    """
    from benchmark.cli.console import note
    from benchmark.weights import table as weights

    if path is None:
        path, name = Path(name), weights.recognise(Path(name))
    kept = weights.add(name, path)
    note(f"{name}: licence {_terms(weights.entry(name))}")
    _tell_first_copy(weights.entry(name))
    print(kept)


@app.command("verify")
def verify(
    name: Annotated[str | None, typer.Argument(help="Name.  [default: all that are here]")] = None,
    as_json: options.Json = False,
) -> None:
    """Check every file that is here: what it is, that it is whole, its sha256.

    Exits with 1 where one is wrong, or where weights that are named are not here.
    """
    from benchmark.cli.console import note, print_json
    from benchmark.weights import table as weights

    names = [name] if name else [item for item in weights.TABLE if _begun(weights.entry(item))]
    found = [finding for each in names for finding in weights.inspect(each)]
    if as_json:
        print_json([{**finding._asdict(), "path": str(finding.path)} for finding in found])
    else:
        for finding in found:
            state = "ok    " if finding.sound else "WRONG " if finding.here else "absent"
            held = "  (of the first copy here: none is published)" if finding.sound and finding.first_copy else ""
            print(f"{state}  {finding.weights}  {finding.path.name}  {finding.about}{held}")
    absent = len({finding.weights for finding in found if not finding.here})
    looked = [finding for finding in found if finding.here]
    wrong = sum(not finding.sound for finding in looked)
    networks = _several(len(names) - absent, "network")
    away = f"; {_several(absent, 'network')} not here" if absent else ""
    note(f"{_several(len(looked), 'file')} of {networks}, {wrong or 'none'} wrong{away}")
    if wrong or absent:
        raise typer.Exit(1)


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


def overview() -> tuple[list[str], list[list[str]]]:
    """Columns and rows of the list."""
    from benchmark.weights import table as weights

    return ["weights", "here", "MiB", "sha256", "licence", "for"], [
        [item.name, _here(item), _mib(item), _sha256(item), _terms(item), item.purpose]
        for item in weights.TABLE.values()
    ]


def records() -> list[dict[str, Any]]:
    """The list in full."""
    from benchmark.weights import table as weights

    return [_record(item) for item in weights.TABLE.values()]


def _record(item: Weights) -> dict[str, Any]:
    from benchmark.weights import table as weights

    return {
        "weights": item.name,
        "here": _here(item),
        "MiB": round(item.size_mib, 1) or None,
        "licence": item.licence,
        "limits": item.limits,
        "source": item.source,
        "purpose": item.purpose,
        "used by": item.used_by,
        "package": item.package,
        "by hand": item.by_hand,
        "held to": weights.held_to(item.name),
        "files": [{"name": f.name, "url": f.url, "sha256": f.sha256, "bytes": f.size} for f in item.files],
    }


def _several(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _tell_first_copy(item: Weights, quiet: bool = False) -> None:
    """Where nobody publishes what a file should be: what later ones are held to."""
    from benchmark.cli.console import note
    from benchmark.weights import table as weights

    if item.package is None and any(file.sha256 is None for file in item.files):
        note(f"{item.name}: {weights.held_to(item.name)}", quiet)


def _terms(item: Weights) -> str:
    return f"{item.licence}; {item.limits}" if item.limits else item.licence


def _mib(item: Weights) -> str:
    about = "~" if any(file.size is None for file in item.files) else ""
    return f"{about}{item.size_mib:.1f}" if item.size_mib else "?"


def _sha256(item: Weights) -> str:
    return "first copy's" if any(file.sha256 is None for file in item.files) else "published"


def _here(item: Weights) -> str:
    from benchmark.weights import table as weights

    return "yes" if weights.is_here(item.name) else "in part" if _begun(item) else "no"


def _begun(item: Weights) -> bool:
    """Whether any file, or a part of a download, is here."""
    from benchmark.weights import table as weights

    paths = [weights.folder() / file.name for file in item.files]
    begun = any(path.is_file() or path.with_name(f"{path.name}.part").is_file() for path in paths)
    return weights.is_here(item.name) or (begun and item.package is None)


def _accept(item: Weights, accepted: bool) -> None:
    """Show the licence; go on where it is accepted.

    Raises:
        PrerequisiteError: it is not.
    """
    from benchmark.cli.console import note

    note(f"{item.name}: {item.source}{f', {size_told(round(item.size_mib * 2**20))}' if item.size_mib else ''}")
    note(f"Licence: {_terms(item)}")
    if accepted:
        return
    again = f"python -m benchmark weights fetch {item.name} --accept-license"
    if not _on_a_terminal():
        raise PrerequisiteError(f"The licence of '{item.name}' has to be accepted: {again}")
    if not typer.confirm("Do you accept it?", err=True):
        raise PrerequisiteError(f"The licence of '{item.name}' was not accepted, and nothing was fetched")


def _on_a_terminal() -> bool:
    """Whether somebody can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()
