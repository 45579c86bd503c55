"""`predict`: one recording in, one output out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmark.cli import options


def predict(
    method: options.Method,
    source: Annotated[
        Path,
        typer.Option(
            "--input",
            "-i",
            help="Recording: wav, flac, ogg, mp3, m4a, or a video and its sound track; where lips are read, a video, "
            "with or without sound.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File to write: .png for a face, .wav or .flac for sound.")
    ],
    video: Annotated[
        Path | None,
        typer.Option(
            help="Video of who speaks in --input, where that is sound alone; both start together, and a shorter video "
            "holds its last picture."
        ),
    ] = None,
    enroll: Annotated[
        Path | None,
        typer.Option(help="Where lips are read: a recording of the voice that is to be heard, or a video with sound."),
    ] = None,
    preset: options.Preset = None,
    config: options.Config = None,
    sets: options.Sets = None,
    weights: options.Weights = None,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Run a method on your own recording: any rate, mono or stereo; video of any size and rate.

    \b
    python -m benchmark predict --method sf2f --input voice.wav --output face.png
    python -m benchmark predict --method flowavse --input talk.mp4 --output clean.wav
    python -m benchmark predict --method flowavse --input noisy.wav --video talk.mp4 --output clean.wav
    python -m benchmark predict --method lipdiffuser --input silent.mp4 --enroll voice.wav --output speech.wav
    """
    import numpy as np

    from benchmark.cli.console import note, print_json
    from benchmark.errors import BenchmarkError, MethodError, UsageError
    from benchmark.media import write_audio, write_image
    from benchmark.media.face_video import FPS
    from benchmark.remarks import remarks
    from benchmark.runs.evaluation import plan_method
    from benchmark.runs.generation import checked, outputs_of, without_face
    from benchmark.runs.workers import pick_device
    from benchmark.tasks import get_task
    from benchmark.tracebacks import last_lines
    from benchmark.types import Audio, Example, Sample, derive_seed

    plan = plan_method(method, preset, config, tuple(sets or ()), weights)
    task = get_task(plan.kind.task)
    if plan.kind.uses_training_split or plan.kind.uses_targets:
        raise UsageError(f"'{method}' is a reference row made from a dataset's files: a recording alone is not enough")
    for name, value in plan.settings.as_dict().items():
        if value == "shuffled":
            raise UsageError(
                f"--set {name}=shuffled takes another person's {name} from a dataset, and there is none here: "
                f"`python -m benchmark run --method {method} --set {name}=shuffled` has one"
            )
    written = (".png",) if task.output == "image" else (".wav", ".flac")
    if output.suffix.lower() not in written:
        better = output.with_suffix(written[0])
        raise UsageError(
            f"--output {output}: {task.output} is written as {' or '.join(written)}, for instance {better}"
        )
    if output.exists() and any(output.samefile(path) for path in (source, video, enroll) if path and path.exists()):
        raise UsageError(f"--output {output} is the input itself: choose another file")
    instance = plan.kind(plan.settings.config, plan.weights)
    with remarks() as heard:
        inputs = task.read(source, video, getattr(instance, "grey", "luma"), enroll, getattr(plan.kind, "hears", None))
    instance.load(pick_device(device))
    sample = Sample(source.stem, source.stem, {"input": (source,)})
    example = Example(sample, 0, derive_seed(plan.weights_id, seed), inputs)
    try:
        (made,) = outputs_of(instance, [example])
    finally:
        instance.close()
    if isinstance(made, BenchmarkError):
        raise MethodError(f"{source}: {made}") from made
    if isinstance(made, Exception):
        raise MethodError(f"{source}: {plan.name} raised\n{last_lines(made)}") from made
    made = checked(made, task)
    output.parent.mkdir(parents=True, exist_ok=True)
    if task.output == "image":
        write_image(output, made)
    else:
        peak = float(np.abs(made).max())
        if output.suffix.lower() == ".flac" and peak > 1:
            note(f"{output}: peak {peak:.3f} turned down to 1, the most that FLAC holds; .wav keeps the level", quiet)
            made = made / peak
        write_audio(output, Audio(made, task.rate))
    shown = next((len(inputs[name].frames) for name in ("video", "mouth") if name in inputs), None)
    heard_s = next(value.seconds for value in inputs.values() if isinstance(value, Audio))
    seconds = shown / FPS if shown is not None and "mouth" in inputs else heard_s
    about: dict[str, object] = {"input": str(source), "output": str(output), "seconds": seconds, "method": plan.label}
    if shown is not None:
        about |= {"video_frames": shown, "without_face": without_face(inputs)}
        if without_face(inputs):
            lost = f"no face in {without_face(inputs)} of {shown} frames of {video or source}"
            note(f"{lost}: there the crop stays where it was, or in the middle", quiet)
    if heard:
        about["remarks"] = heard
    for text in heard:
        note(text, quiet)
    if plan.drawn_people:
        about["drawn_people"] = plan.drawn_people
        note(
            f"{plan.label} learnt the drawn people of {plan.drawn_people} alone: what it makes of a recorded person "
            "tells nothing of that person. --weights takes others; "
            f"`python -m benchmark show {plan.name}` tells of such",
            quiet,
        )
    if as_json:
        print_json(about)
    else:
        note(f"{source} ({seconds:.2f} s) -> {output}", quiet)
