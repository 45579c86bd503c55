"""`predict`: one recording in, one output out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmark.cli import options


def predict(
    method: options.Method,
    source: Annotated[
        Path, typer.Option("--input", "-i", help="Recording: wav, flac, ogg, mp3, m4a, or a video's sound track.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write: .png for a face.")],
    preset: options.Preset = None,
    config: options.Config = None,
    sets: options.Sets = None,
    weights: options.Weights = None,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Run a method on your own recording: any rate, mono or stereo.

    \b
    python -m benchmark predict --method sf2f --input voice.wav --output face.png
    """
    from benchmark.cli.console import note, print_json
    from benchmark.errors import MethodError, UsageError
    from benchmark.evaluation import plan_method
    from benchmark.execution import pick_device
    from benchmark.generation import checked_image
    from benchmark.media import read_audio, write_image
    from benchmark.tasks import get_task
    from benchmark.types import Example, Sample, derive_seed

    plan = plan_method(method, preset, config, tuple(sets or ()), weights)
    task = get_task(plan.kind.task)
    if plan.kind.uses_training_split or plan.kind.uses_targets:
        raise UsageError(
            f"'{method}' is a reference row made from a dataset's faces; it has nothing to predict from a recording"
        )
    if output.suffix.lower() != task.suffix:
        better = output.with_suffix(task.suffix)
        raise UsageError(f"--output {output}: a {task.output} is written as {task.suffix}, for instance {better}")
    speech = read_audio(source, task.rate)
    instance = plan.kind(plan.settings.config, plan.weights)
    instance.load(pick_device(device))
    sample = Sample(source.stem, source.stem, {"speech": (source,)})
    example = Example(sample, 0, derive_seed(plan.weights_id, seed), {"speech": speech})
    try:
        (made,) = instance.generate([example])
    finally:
        instance.close()
    if isinstance(made, Exception):
        raise MethodError(f"{source}: {made}") from made
    output.parent.mkdir(parents=True, exist_ok=True)
    write_image(output, checked_image(made))
    if as_json:
        print_json({"input": str(source), "output": str(output), "seconds": speech.seconds, "method": plan.label})
    else:
        note(f"{source} ({speech.seconds:.2f} s) -> {output}", quiet)
