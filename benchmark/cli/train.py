"""`train`: train a method on a dataset's training split, or on people drawn for it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmark.cli import options


def train(
    method: Annotated[
        str, typer.Option("--method", "-m", help="Method to train; `list trainers` names those that can be.")
    ],
    preset: options.Preset = None,
    config: options.Config = None,
    sets: options.Sets = None,
    people: options.People = None,
    dataset: options.Dataset = "talkers",
    data_root: options.DataRoot = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of checkpoints, log, samples and weights.  [default: runs/train/METHOD-PRESET]"),
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Seed of data order and noise; initial weights are the same for all seeds.")
    ] = 0,
    device: options.Device = "auto",
    precision: Annotated[str, typer.Option(help="no, bf16 or fp16.")] = "no",
    resume: Annotated[
        bool, typer.Option(help="Continue from the last checkpoint; --no-resume removes what is there first.")
    ] = True,
    dry_run: options.DryRun = False,
    quiet: options.Quiet = False,
) -> None:
    """Train a method; the same command goes on after a kill, and with more steps goes on with a finished training.

    Other settings need another folder. Settings of the training are changed by --set training.KEY=VALUE,
    what is drawn by --set population.KEY=VALUE: people, validation, portraits, portrait_size, sentences, videos.

    \b
    python -m benchmark train --method sf2f --preset talkers
    python -m benchmark train --method sf2f --people 8000 --set population.portraits=4
    python -m benchmark train --method lipdiffuser --preset talkers
    """
    from benchmark.cli.console import bars, note, print_json
    from benchmark.datasets.dataset import left_out
    from benchmark.training import prepare

    with bars(quiet) as progress:
        plan = prepare(method, preset, config, options.with_people(sets, people), dataset, data_root, out, progress)
        if not dry_run:
            show = progress(method)
            weights = plan.train(seed=seed, device=device, precision=precision, resume=resume, progress=show)
    for manifest in (plan.training, plan.validation):
        for line in left_out(manifest) if manifest else ():
            note(line, quiet)
    if dry_run:
        print_json(plan.describe())
        return
    note(f"Weights: {weights}", quiet)
