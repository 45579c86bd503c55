"""`speed`: how fast and how big methods are on this machine."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchmark.cli import options

if TYPE_CHECKING:
    from benchmark.runs.speed import Conditions, Row


def speed(
    method: Annotated[
        list[str],
        typer.Option(
            "--method", "-m", metavar="NAME[:PRESET]", help="Method to measure, with commas between; repeatable."
        ),
    ],
    sets: options.Sets = None,
    random_weights: Annotated[
        bool, typer.Option("--random-weights", help="Random weights where a preset has none: speed is the same.")
    ] = False,
    seconds: Annotated[
        float | None, typer.Option(help="Length of each clip.  [default: the task's; 2.04 where it has none]")
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Clips in a call.")] = 1,
    repeats: Annotated[int, typer.Option(help="Calls that are timed; their median counts.")] = 5,
    warm_up: Annotated[int, typer.Option(help="Calls before them that do not count.")] = 1,
    device: options.Device = "auto",
    threads: Annotated[int | None, typer.Option(help="Threads of torch on a CPU.  [default: torch's choice]")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Also write the JSON to this file.")] = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure parameters, speed and peak memory of methods side by side; needs no dataset.

    A whole call is timed, from inputs in memory to outputs in memory. Every method runs in a process of its own.

    \b
    python -m benchmark speed --method sf2f --method voice2face
    python -m benchmark speed --method sf2f:talkers --seconds 1.25 --batch-size 50 --threads 1
    python -m benchmark speed --method avdiffuss:paper,flowavse:large --random-weights
    """
    from benchmark.cli.console import note, print_json
    from benchmark.errors import UsageError
    from benchmark.runs.speed import Conditions, find_candidates, measure, report
    from benchmark.runs.workers import pick_device

    if output and output.suffix.lower() != ".json":
        raise UsageError(f"--output {output}: the report is JSON, for instance {output.with_suffix('.json')}")
    conditions = Conditions(seconds, batch_size, repeats, warm_up, pick_device(device), threads)
    candidates = find_candidates(options.names(method), tuple(sets or ()), random_weights=random_weights)
    rows = measure(candidates, conditions, lambda line: note(line, quiet))
    document = report(rows, conditions, tuple(sets or ()))
    if as_json:
        print_json(document)
    else:
        _show(rows, conditions, document)
    if output:
        _write(output, document)
    failed = [row for row in rows if row.found is None]
    for row in failed:
        note(f"{row.candidate.label} failed: {row.reason}", False)
    if failed:
        raise typer.Exit(1)


def _write(path: Path, document: Mapping[str, Any]) -> None:
    from benchmark.errors import UsageError
    from benchmark.files import write_whole

    content = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    try:
        write_whole(path, lambda partial: partial.write_text(content, encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"--output {path} cannot be written: {error.strerror}") from error


def _show(rows: Sequence[Row], conditions: Conditions, document: Mapping[str, Any]) -> None:
    from benchmark.cli.console import print_table

    sound = document["output"] == "audio"
    heads = ["method", "weights", "parameters M", "s per call", "min..max"]
    heads += ["RTF ↓", "x real time ↑"] if sound else ["faces/s ↑"]
    heads += ["peak MiB", "over baseline MiB", *(["times as fast"] if len(rows) > 1 else [])]
    cells = []
    for row in rows:
        found, line = row.found, [row.candidate.label, row.candidate.weights or "-"]
        if found is None:
            line += ["failed", *["-"] * (len(heads) - 3)]
        else:
            line.append("-" if found.parameters is None else f"{found.parameters / 1e6:.2f}")
            line += [_figure(found.median_s), f"{_figure(min(found.times_s))}..{_figure(max(found.times_s))}"]
            line += [_figure(1 / found.rate)] if sound else []
            line += [_figure(found.rate), f"{found.peak_mib:.0f}", f"{found.over_baseline_mib:.0f}"]
            relative = row.relative(rows[0])
            line += ["-" if relative is None else _figure(relative)] if len(rows) > 1 else []
        cells.append(line)
    settings = "".join(f", {item}" for item in document["sets"])
    title = (
        f"{conditions.batch_size} x {document['seconds']:g} s a call, median of {conditions.repeats} calls after "
        f"{conditions.warm_up} to warm up{settings}"
    )
    print_table(heads, cells, title, right=range(2, len(heads)))
    print(_machine(rows, document["provenance"]))


def _machine(rows: Sequence[Row], provenance: Mapping[str, Any]) -> str:
    """Hardware and versions in a line."""
    machine, packages = provenance["machine"], provenance["packages"]
    parts = [f"{machine['cpu']}, {machine['cpus']} cores"]
    found = next((row.found for row in rows if row.found), None)
    if found:
        parts = [*([found.device_name] if found.device_name else []), *parts, f"threads {found.threads}"]
    commit = (provenance["git"] or {}).get("commit", "")[:10]
    parts += [f"torch {packages['torch']}", f"Python {provenance['python']}"]
    return "; ".join([*parts, f"facevoice-bench {packages['facevoice-bench']} {commit}".strip()])


def _figure(value: float) -> str:
    """Three significant digits, without an exponent for large numbers.

    >>> _figure(0.012345), _figure(12.345), _figure(1234.5)
    ('0.0123', '12.3', '1234')
    """
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
