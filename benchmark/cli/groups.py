"""How numbers over groups are told: `--by` of `show`, `run`, `score` and `compare`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.cli.console import bars, note, print_json, print_lines, print_table

if TYPE_CHECKING:
    from benchmark.results.attributes import Grouping, Known
    from benchmark.results.comparison import Comparison, Scored
    from benchmark.results.groups import Grouped, Lead
    from benchmark.results.schema import Result
    from benchmark.runs.evaluation import RunView
    from benchmark.types import Sample


def check_by(by: Sequence[str] | None, samples: Iterable[Sample] | None = None, of: str = "") -> tuple[str, ...]:
    """What `--by` was given, refused before anything is done where it makes no groups.

    Args:
        samples: to be grouped, where they are at hand.
        of: what they are of.

    Raises:
        UsageError: it is no attribute, nor attributes with edges; or the samples have none of that name.
    """
    if not by:
        return ()
    from benchmark.results.attributes import grouped_by, known_of, parsed

    for text in by:
        parsed(text)
        if samples is not None:
            grouped_by(text, known_of(samples), of)
    return tuple(by)


def grouped_runs(
    run: Scored,
    by: str,
    columns: Sequence[str],
    samples: Mapping[str, Known],
    beside: Sequence[Scored] = (),
) -> list[Grouped]:
    """A run's numbers over groups, and those of rows beside it, which are not tested.

    Args:
        by: one `--by`.
        columns: numbers, or metrics for all of theirs; by default those of the task's table.
        samples: all that the run was asked for.
        beside: runs of the same samples.

    Raises:
        UsageError: no such attribute, or number.
    """
    from benchmark.results.attributes import grouped_by
    from benchmark.results.groups import grouped

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


def of_view(view: RunView, results: Sequence[Result], by: Sequence[str], columns: Sequence[str]) -> list[list[Grouped]]:
    """Of each `--by` the groups of a run that is at hand, and of the rows beside it.

    Args:
        results: the run's first; the runs of the others lie beside it.
    """
    from benchmark.results.attributes import known_of
    from benchmark.results.comparison import scored_run

    paths = [view.run.path, *(view.run.path.parent / result.run_id for result in results[1:])]
    samples = known_of(view.samples)
    runs = [scored_run(path, result).of(samples) for path, result in zip(paths, results, strict=True)]
    return [grouped_runs(runs[0], each, columns, samples, runs[1:]) for each in by]


def told_with(results: Any, groups: Sequence[Sequence[Grouped]]) -> Any:
    """What `--json` prints: results as they are, or with groups, where such were asked for."""
    from benchmark.reports.groups import as_dict

    return {"results": results, "by": [as_dict(found[0]) for found in groups]} if groups else results


def show_all(groups: Sequence[Sequence[Grouped]], signatures: bool = False) -> None:
    """Print the table of each `--by` below what was printed before, and what it means."""
    from benchmark.reports.groups import caption, heads, lines, notes, signature

    for found, *_ in groups:
        print()
        print_table(heads(found), lines(found), caption(found), right=[2, 6, 7])
        print_lines(notes(found))
        if signatures:
            each = [
                [number.item.name, own.group, signature(number, own, found)]
                for number in found.numbers
                for own in number.groups
            ]
            print_table(["number", found.grouping.name, "signature"], each)


def write_all(folder: Path, groups: Sequence[Sequence[Grouped]], quiet: bool) -> None:
    """Write the tables and the picture of each `--by` into a report."""
    for found in groups:
        _write(folder, found, quiet)


def _write(folder: Path, runs: Sequence[Grouped], quiet: bool) -> None:
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


def compare_groups(
    sides: Sequence[Scored],
    by: Sequence[str],
    metrics: Sequence[str],
    data_root: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Print whether the first run is ahead of the others within each group."""
    from benchmark.cli.compare import as_dict
    from benchmark.results.attributes import grouped_by
    from benchmark.results.comparison import compare_parts

    samples = _known(sides[0], data_root, quiet)
    told: list[dict[str, Any]] = []
    for place, text in enumerate(check_by(by)):
        grouping = grouped_by(text, samples, sides[0].name)
        parts = {label: [s for s, group in grouping.of.items() if group == label] for label in grouping.labels}
        found = compare_parts(sides, parts, metrics)
        tests = sum(len(each.differences) for several in found.values() for each in several)
        if as_json:
            groups = [
                {"group": label, "comparisons": [as_dict(each) for each in several]} for label, several in found.items()
            ]
            told.append({"by": grouping.name, "cut": grouping.cut, "tests": tests, "groups": groups})
            told[-1]["leads"] = [
                {"against": other.name, "name": lead.number.name, "difference": lead.difference, "low": lead.low}
                | {"high": lead.high}
                for number, other in enumerate(sides[1:])
                for lead in _leads({label: each[number] for label, each in found.items()}, grouping, samples)
            ]
            continue
        if place:
            print()
        for number in range(len(sides) - 1):
            _show_compared({label: several[number] for label, several in found.items()}, grouping, samples, quiet)
        if absent := [label for label in grouping.labels if label not in found]:
            note(f"Nothing can be compared in: {', '.join(absent)}", quiet)
        note(
            "p: how often the difference is as large when speakers change sides at random, corrected for "
            f"{tests} differences (Holm). Brackets: 95 % interval of the difference, over the speakers of the group.",
            quiet,
        )
    if as_json:
        print_json(told)


def _show_compared(
    found: Mapping[str, Comparison], grouping: Grouping, samples: Mapping[str, Known], quiet: bool
) -> None:
    """Two runs: a line for each number and group, and for two groups whether the lead is larger in one."""
    from benchmark.cli.compare import coverage, head, title_of, values, verdict, without_interval
    from benchmark.reports.groups import signed_interval

    one, two = next(iter(found.values())).first.name, next(iter(found.values())).second.name
    lines = []
    names = list(dict.fromkeys(item.name for each in found.values() for item in each.differences))
    for name in names:
        items = [(label, item) for label, each in found.items() for item in each.differences if item.name == name]
        for place, (label, item) in enumerate(items):
            about = [head(item) if not place else "", label, str(item.speakers)]
            lines.append([*about, *values(item), verdict(item, one, two)])
    heads = ["", grouping.name, "speakers", one, two, f"{one} against {two}"]
    caption = f"{title_of(next(iter(found.values())))} by {grouping.name}"
    print_table(heads, lines, caption + (f", {grouping.cut}" if grouping.cut else ""), right=[2, 3, 4])
    for lead in _leads(found, grouping, samples):
        amount = signed_interval(lead.difference, lead.low, lead.high, lead.number.unit)
        first, second = grouping.stated
        note(f"{lead.number.title}: {one} less {two} in {first}, less the same in {second}: {amount}", quiet)
    for line in next(iter(found.values())).remarks:
        note(line, quiet)
    for label, each in found.items():
        for line in (*coverage(each), *without_interval(each)):
            note(f"{label}: {line}", quiet)


def _leads(found: Mapping[str, Comparison], grouping: Grouping, samples: Mapping[str, Known]) -> list[Lead]:
    """Of two groups without a common speaker, how much larger the first run's lead is in one than in the other."""
    from benchmark.results.groups import leads

    if len(grouping.stated) != 2 or not set(grouping.stated) <= set(found):
        return []
    one, two = (
        {samples[sample].speaker for sample, group in grouping.of.items() if group == label}
        for label in grouping.stated
    )
    return [] if one & two else leads(*(found[label] for label in grouping.stated))


class Attributes:
    """What is known of the samples of runs; a corpus is opened once."""

    def __init__(self, data_root: Path | None, dataset: str | None, quiet: bool) -> None:
        """
        Args:
            data_root: where the corpus of `dataset` lies, where that is not where a run found it.
        """
        self.data_root, self.dataset, self.quiet = data_root, dataset, quiet
        self._opened: dict[tuple[str, str, int], dict[str, Known]] = {}

    def __call__(self, run: Scored) -> dict[str, Known]:
        spec = run.result.spec
        assert not hasattr(spec, "estimate")
        key = spec.task, spec.manifest_sha256, run.samples
        if key not in self._opened:
            root = self.data_root if spec.dataset == self.dataset else None
            self._opened[key] = _known(run, root, self.quiet)
        return self._opened[key]


def _known(run: Scored, data_root: Path | None, quiet: bool) -> dict[str, Known]:
    from benchmark.results.attributes import known_samples

    with bars(quiet) as progress:
        told = progress("data")
        return known_samples(run, data_root, lambda done, total, what: told("build", done, total, what))


def of_stored(
    run: Scored, by: Sequence[str], columns: Sequence[str], data_root: Path | None, quiet: bool
) -> list[list[Grouped]]:
    """Of each `--by` the groups of a run that is on disk, and of the reference rows that lie beside it."""
    from benchmark.results.attributes import grouped_by

    samples = _known(run, data_root, quiet)
    for each in by:  # so that none is refused when others have been worked out
        grouped_by(each, samples, run.name)
    beside = _peers(run, data_root)
    note("Holding groups against each other", quiet)
    return [grouped_runs(run, each, columns, samples, beside) for each in by]


def _peers(run: Scored, data_root: Path | None) -> list[Scored]:
    """Reference rows that lie beside a run, with their rows; none of a file, or of files that were scored."""
    from benchmark.results.attributes import manifest_of
    from benchmark.results.comparison import scored_run
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
    found = [(run.path.parent / each.run_id, each) for each in peers(view)]
    return [scored_run(path, each) for path, each in found if any(path.glob("scores*.jsonl"))]
