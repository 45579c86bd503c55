"""`data prepare`: the preprocessing of the papers, over a folder or a dataset."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmark.cli import options
from benchmark.errors import UsageError

if TYPE_CHECKING:
    from benchmark.preparation.step import Step
    from benchmark.preparation.work import Prepared
    from benchmark.preparation.worklist import Worklist

SHOWN = 3
"""Files named for each reason."""


def prepare(
    step: Annotated[
        str | None,
        typer.Argument(
            help="What to make. Without a step all are listed; without a folder or dataset, the step's settings."
        ),
    ] = None,
    source: Annotated[
        Path | None, typer.Argument(help="Folder to read, with files at any depth; it is never written into.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="Folder for the products, under the same names: new, empty, or of an earlier command."
        ),
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Read the files of a dataset's split instead of a folder.")
    ] = None,
    data_root: options.DataRoot = None,
    split: options.Split = "test",
    task: Annotated[
        str | None, typer.Option(help="Task whose files are wanted.  [default: the dataset's first]")
    ] = None,
    preset: Annotated[str | None, typer.Option(help="Named settings of the step.  [default: its first]")] = None,
    config: options.Config = None,
    sets: options.Sets = None,
    sheet: Annotated[
        Path | None, typer.Option(help="Write a contact sheet (.png) of files before and after the step.")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            help="Processes that work; 0 works in this one.  [default: one per core, or one where a GPU works]"
        ),
    ] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try again what failed before.")] = False,
    fail_on_error: Annotated[
        int, typer.Option(metavar="N", help="Exit with 1 where more than N files cannot be used.")
    ] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print settings and number of files, and stop.")] = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Make crops, aligned portraits, speech without pauses, log-mel energies or enhanced speech of a folder of files.

    What was made is kept: the same command goes on where it was stopped, and makes again only what changed. The file
    prepared.jsonl in the folder of products says what came from what, with which settings.

    \b
    python -m benchmark data prepare
    python -m benchmark data prepare faces
    python -m benchmark data prepare faces my_videos --out faces --preset flowavse
    python -m benchmark data prepare hq_voxceleb my_portraits --out portraits --set background=keep --sheet sheet.png
    python -m benchmark data prepare vad --dataset librispeech --data-root corpora --split train --out voiced
    """
    from benchmark.cli.console import bars, note
    from benchmark.preparation.steps import step_called
    from benchmark.preparation.work import prepare as prepare_files

    if step is None:
        _list_steps(as_json)
        return
    kind = step_called(step)
    if source is None and dataset is None:
        _explain(kind, as_json)
        return
    chosen: Step = kind.configured(preset, config, tuple(sets or ()))
    _check(chosen, source, out, dataset, sheet, workers, dry_run)
    said = chosen.check()
    with bars(quiet) as progress:
        worklist = _worklist(chosen, source, dataset, data_root, split, task, progress)
        if dry_run:
            _plan(chosen, worklist, as_json)
            return
        assert out is not None
        told = partial(progress(f"prepare {step}"), "files")
        many = chosen.workers() if workers is None else workers
        made = prepare_files(chosen, worklist, out, many, retry_failed, told)
    if sheet is not None:
        from benchmark.media import write_image
        from benchmark.preparation.sheets import before_and_after

        write_image(sheet, before_and_after(made, worklist.root, out))
    for line in said:
        note(line, quiet)
    _tell(chosen, worklist, made, out, as_json, quiet)
    if made.count("failed") > fail_on_error:
        raise typer.Exit(1)


def _check(
    step: Step,
    source: Path | None,
    out: Path | None,
    dataset: str | None,
    sheet: Path | None,
    workers: int | None,
    dry_run: bool,
) -> None:
    if source is not None and dataset is not None:
        raise UsageError(f"{source} and --dataset {dataset}: give a folder or a dataset, not both")
    if out is None and not dry_run:
        raise UsageError("--out is missing: give a folder for the products")
    if sheet is not None and sheet.suffix.lower() != ".png":
        raise UsageError(f"--sheet {sheet}: expected the suffix .png")
    if sheet is not None and not step.pictures:
        raise UsageError(f"--sheet {sheet}: '{step.name}' makes no pictures")
    if workers is not None and workers < 0:
        raise UsageError(f"--workers {workers}: expected 0 or more")


def _worklist(
    step: Step,
    source: Path | None,
    dataset: str | None,
    data_root: Path | None,
    split: str,
    task: str | None,
    progress: Callable[[str], Callable[..., None]],
) -> Worklist:
    """The files of the folder, or of the dataset's split."""
    from benchmark.preparation.worklist import in_dataset, in_folder
    from benchmark.registry import datasets
    from benchmark.weights.table import home

    if source is not None:
        return in_folder(source, step)
    assert dataset is not None
    adapter = datasets.load(dataset)(data_root, home())
    show = progress(f"{dataset} {split}")
    manifest = adapter.open(split, task or adapter.tasks[0], lambda done, total, what: show("build", done, total, what))
    return in_dataset(manifest, step)


def _plan(step: Step, worklist: Worklist, as_json: bool) -> None:
    """What would be done."""
    from benchmark.cli.console import print_json, print_table

    about = {**step.identity(), "files": len(worklist.files), "other files": worklist.others}
    if as_json:
        print_json(about)
    else:
        print_table(["", ""], [[key, _shown(value)] for key, value in about.items()])


def _tell(step: Step, worklist: Worklist, made: Prepared, out: Path, as_json: bool, quiet: bool) -> None:
    """What is there now, and why the rest is not."""
    from benchmark.cli.console import note, print_json, print_table
    from benchmark.preparation.record import FAILED, LEFT_OUT, MADE, RECORD

    reasons = {state: made.reasons(state) for state in (LEFT_OUT, FAILED)}
    if as_json:
        found: dict[str, object] = {"step": step.name, "folder": str(out), "record": str(out / RECORD)}
        found |= {"files": len(made.lines), MADE: made.count(MADE)}
        for state, kinds in reasons.items():
            told = {kind: {line.source: line.reason for line in lines} for kind, lines in kinds.items()}
            found |= {state: made.count(state), f"{state} because": told}
        found |= {"kept": made.kept, "removed": made.removed, "other files": made.others}
        print_json({**found, "strays": list(worklist.strays), "remarks": list(made.heard)})
        return
    counts = [(state, kind, lines) for state, kinds in reasons.items() for kind, lines in kinds.items()]
    rows = [[state, kind, str(len(lines))] for state, kind, lines in counts]
    print_table([step.name, "because", "files"], [[MADE, "", str(made.count(MADE))], *rows], right=[2])
    print(out)
    for _, _, lines in counts:
        for line in lines[:SHOWN]:
            note(f"{line.state}: {line.source}: {line.reason}", quiet)
        if len(lines) > SHOWN:
            note(f"... and {len(lines) - SHOWN} like the last", quiet)
    for line in [*worklist.strays[:20], *made.heard]:
        note(line, quiet)
    others = f"; other files passed over: {made.others}" if made.others else ""
    gone = f"; sources that are gone, their products deleted: {made.removed}" if made.removed else ""
    there = f"{made.kept} of {len(made.lines)} were there from before{others}{gone}"
    note(f"{there}; what came from what: {out / RECORD}", quiet)


def _list_steps(as_json: bool) -> None:
    from benchmark.cli.console import print_json, print_table
    from benchmark.preparation.steps import STEPS

    if as_json:
        print_json([_about(kind) for kind in STEPS.values()])
    else:
        rows = [[name, kind.title, kind.takes, ", ".join(kind.presets)] for name, kind in STEPS.items()]
        print_table(["step", "what", "takes", "presets"], rows)


def _about(kind: type[Step]) -> dict[str, object]:
    settings = {item.name: item.default for item in dataclasses.fields(kind)}
    about = {"step": kind.name, "what": kind.title, "takes": kind.takes}
    return {**about, "settings": settings, "presets": dict(kind.presets)}


def _explain(kind: type[Step], as_json: bool) -> None:
    """What a step does, its settings and presets."""
    import inspect

    from benchmark.cli.console import print_json, print_table

    if as_json:
        print_json(_about(kind))
        return
    print(f"{kind.name}: {kind.title}; takes {kind.takes}\n")
    print(inspect.getdoc(kind), end="\n\n")
    notes, presets = _field_notes(kind), kind.presets.items()
    rows = [[item.name, _shown(item.default), notes[item.name]] for item in dataclasses.fields(kind)]
    print_table(["setting", "default", "what"], rows)
    print()
    shown = [[name, ", ".join(f"{key}={_shown(value)}" for key, value in table.items())] for name, table in presets]
    print_table(["preset", "sets"], shown)


def _field_notes(kind: type[Step]) -> dict[str, str]:
    """The line below each field of a dataclass."""
    import ast
    import inspect
    import textwrap

    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(tree, ast.ClassDef)
    notes = {}
    for field, below in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
            notes[field.target.id] = " ".join(ast.literal_eval(below.value).split())
    return notes


def _shown(value: object) -> str:
    return value if isinstance(value, str) else "none" if value is None else json.dumps(value)
