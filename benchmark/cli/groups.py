"""How numbers over groups are told: `--by` of `show`, `run`, `score` and `compare`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.cli.console import note, print_lines, print_table

if TYPE_CHECKING:
    from benchmark.results.attributes import Known
    from benchmark.results.comparison import Scored
    from benchmark.results.groups import Grouped


def check_by(by: Sequence[str] | None) -> tuple[str, ...]:
    """What `--by` was given, refused before anything is done where it cannot be read.

    Raises:
        UsageError: it is no attribute, nor attributes with edges.
    """
    if not by:
        return ()
    from benchmark.results.attributes import parsed

    for text in by:
        parsed(text)
    return tuple(by)


def grouped_runs(
    run: Scored,
    by: str,
    columns: Sequence[str] = (),
    beside: Sequence[Scored] = (),
    data_root: Path | None = None,
    samples: Mapping[str, Known] | None = None,
) -> list[Grouped]:
    """A run's numbers over groups, and those of rows beside it, which are not tested.

    Args:
        by: one `--by`.
        columns: numbers, or metrics for all of theirs; by default those of the task's table.
        beside: runs of the same samples.
        samples: what is known of them, where that is at hand.

    Raises:
        UsageError: no such attribute, or number.
    """
    from benchmark.results.attributes import grouped_by, known_samples
    from benchmark.results.groups import grouped

    samples = known_samples(run, data_root) if samples is None else samples
    grouping = grouped_by(by, samples, run.name)
    found = [grouped(run, samples, grouping, _numbers(run, columns))]
    return found + [grouped(each, samples, grouping, _numbers(each, columns, run), tested=False) for each in beside]


def _numbers(run: Scored, columns: Sequence[str], like: Scored | None = None) -> list[Any]:
    from benchmark.errors import UsageError, did_you_mean
    from benchmark.reports.tables import ALL, chosen, named
    from benchmark.results.comparison import columns_of

    result = run.result
    if not columns:
        return chosen([result], tuple(columns_of(result)))
    known = [ALL, *(item.name for item in result.aggregates), *(item.metric for item in result.aggregates)]
    for name in () if like else columns:
        if name not in known:
            raise UsageError(
                f"--columns {name}: {run.name} has no such number.{did_you_mean(name, known)} It has: "
                f"{', '.join(item.name for item in result.aggregates)}"
            )
    return named(result, columns)


def show_groups(found: Grouped) -> None:
    """Print the table and what it means."""
    from benchmark.reports.groups import caption, heads, lines, notes

    print_table(heads(found), lines(found), caption(found), right=[2, 6, 7])
    print_lines(notes(found))


def write_groups(folder: Path, runs: Sequence[Grouped], quiet: bool) -> None:
    """Write `by_sex.md`, `.csv`, `.tex` and `.png` into a report; a part that fails costs itself alone."""
    from benchmark.files import write_whole
    from benchmark.reports import groups
    from benchmark.reports.parts import Parts

    parts, stem = Parts(folder), runs[0].grouping.file_stem
    texts = {"md": groups.markdown(runs), "csv": groups.long_csv(runs), "tex": groups.latex(runs[0])}
    for ending, text in texts.items():
        with parts.part(f"{stem}.{ending}") as path:
            data = text.encode("utf-8", "backslashreplace")
            write_whole(path, lambda partial, data=data: partial.write_bytes(data))  # type: ignore[misc]
    with parts.part(f"{stem}.png") as path:
        groups.draw(runs, path)
    for line in parts.notes:
        note(line, quiet)
    note(f"By {runs[0].grouping.name}: {folder / stem}.md, .csv, .tex, .png", quiet)


def peers_of(run: Scored, data_root: Path | None) -> list[Scored]:
    """Reference rows that lie beside a run, with their rows; none of a file, or of files that were scored."""
    from benchmark.results.attributes import manifest_of
    from benchmark.results.comparison import find_scored
    from benchmark.results.schema import Result
    from benchmark.runs.directory import RunDirectory
    from benchmark.runs.evaluation import RunView, peers
    from benchmark.tasks import get_task

    if not isinstance(run.result, Result) or not run.path.is_dir():
        return []
    spec, manifest = run.result.spec, manifest_of(run, data_root)
    view = RunView(
        RunDirectory(run.path), get_task(spec.task), spec, run.name, None, manifest, manifest.samples[: run.samples]
    )
    return [find_scored(str(run.path.parent / each.run_id), run.path.parent) for each in peers(view)]
