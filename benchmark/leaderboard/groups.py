"""The boards over groups of people or recordings: for whom each row's numbers are better, and by how much.

leaderboards/samples/<task>/<dataset>/<manifest>.csv    what is known of each sample, as far as tables are made of it
leaderboards/<task>/by_sex/<dataset>.md, .csv           a board by sex

The first is written once, where the data are at hand, so that the second can be made by everybody who has the results:
`leaderboard build` makes no corpus.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from benchmark.datasets.dataset import Progress
from benchmark.errors import SubmissionError, UsageError
from benchmark.files import write_whole
from benchmark.leaderboard.board import MADE, Board, Question, Row
from benchmark.leaderboard.rules import known as known_data
from benchmark.leaderboard.submissions import ROOT, Submission, everything
from benchmark.reports import escaping, tables
from benchmark.reports import groups as report
from benchmark.results.attributes import Grouping, Known, flattened, grouped_by, known_samples
from benchmark.results.comparison import Scored, find_scored
from benchmark.results.groups import Grouped, grouped
from benchmark.results.schema import Aggregate, Result
from benchmark.results.statistics import FEWEST
from benchmark.tasks import TASKS

FOLDER = "samples"
KEPT = ("sex", "age", "noise", "snr_db")
"""Attributes that are published: those that tables are made of, and no more of what a corpus knows of a person."""
BY = ("sex", "noise")
"""What there are tables by, where it makes groups; `leaderboard show` makes one by anything else."""
MOST = 1 << 20
"""Bytes of a file of samples."""


@dataclass(frozen=True)
class GroupedSection:
    """One table of a board over groups."""

    question: Question
    grouping: Grouping
    heads: tuple[Aggregate, ...]
    """Numbers of which one direction is better, as the board has them."""
    rows: tuple[tuple[Row, Grouped], ...]
    """In the order of the board."""


KnownOf = Callable[[Submission], "Mapping[str, Known] | None"]
"""What is known of the samples that a row was asked for; None where nothing is."""


def by_groups(board: Board, by: str, known: KnownOf) -> list[GroupedSection]:
    """The tables of a board over groups; of those whose samples make at least two.

    Args:
        by: an attribute, as `--by` takes it.

    Raises:
        UsageError: there is none, as no samples have such an attribute, or it has too many values.
    """
    found, refused = _by_groups(board, by, known)
    if refused and not found:
        raise refused[0]
    return found


def _by_groups(board: Board, by: str, known: KnownOf) -> tuple[list[GroupedSection], list[UsageError]]:
    """The same, and why others are not made."""
    found, refused = [], []
    for section in board.sections:
        samples = known(section.rows[0].submission)
        if samples is None:
            continue
        try:
            grouping = grouped_by(by, samples, f"{board.task} on {board.dataset}")
        except UsageError as error:
            refused.append(error)
            continue
        if len(grouping.stated) < 2:
            continue
        heads = tuple(head for head in section.heads if head.higher_is_better is not None)
        rows = tuple((row, _grouped(row, heads, samples, grouping)) for row in section.rows)
        found.append(GroupedSection(section.question, grouping, heads, rows))
    return found, refused


def scored(submission: Submission) -> Scored:
    """A published result with its rows, which were held to the rules when it was published."""
    result = submission.result
    return Scored(Path(submission.place), result, submission.rows, {}, result.label, published=True, checked=True)


def _grouped(row: Row, heads: Iterable[Aggregate], samples: Mapping[str, Known], grouping: Grouping) -> Grouped:
    run = scored(row.submission)
    items = [row.cells[head.name].item for head in heads if head.name in row.cells]
    return grouped(run, samples, grouping, items, tested=False)


# -- as text ----------------------------------------------------------------------------------------------------------


def lines(section: GroupedSection, head: Aggregate) -> tuple[list[str], list[list[str]]]:
    """Heads and rows of the table of one number."""
    columns = report.beside_heads(section.rows[0][1])
    told = []
    for row, found in section.rows:
        number = found.of(head.name)
        name = row.result.label + ("" if row.role == "method" else f" ({row.role})")
        if number is not None:
            written = partial(tables.number, unit=head.unit)
            own = report.beside(number, found, written)
            told += [["" if place else name, *cells] for place, cells in enumerate(own)]
        elif head.name in row.cells:
            told.append([name, *("-" for _ in columns)])
    return ["", *columns], told


def title(section: GroupedSection, head: Aggregate) -> str:
    """`R@10 by speaker % (of 100, chance 10.0) ↑`."""
    return tables.head(head, section.rows[0][0].result)


def notes(section: GroupedSection) -> list[str]:
    """What a reader has to know, a sentence a line."""
    first = section.rows[0][1]
    told = [f"By {report.sizes(first)}."]
    told.append(
        f"Brackets: 95 % interval over the speakers of a group, from {FEWEST} on; of a difference, that of the "
        "difference. Of 20 differences that are none, one leaves out 0 by chance; those of one row are tested "
        "together by: python -m benchmark show RUN --by ATTRIBUTE"
    )
    if section.grouping.of_two:
        told.append("In brackets behind the names of groups: their speakers.")
    if any(report.among_everybody(each, found) for _, found in section.rows for each in found.numbers):
        told.append(report.EVERYBODY)
    told += report.not_stated(first)
    lacking: dict[str, list[str]] = {}
    for row, found in section.rows:
        for head in section.heads:
            if head.name in row.cells and (number := found.of(head.name)) is None:
                why = found.why_none(head.name, head.metric)
                lacking.setdefault(f"{head.title}: {why}", []).append(row.result.label)
            elif head.name in row.cells and number is not None:
                for why in report.lacks(number, found):
                    lacking.setdefault(f"{head.title}: {why}", []).append(row.result.label)
    every = len(section.rows)
    return told + [why + ("" if len(of) == every else f" ({', '.join(of)})") + "." for why, of in lacking.items()]


def markdown(board: Board, sections: Sequence[GroupedSection]) -> str:
    """The page of a board by one attribute."""
    escape, name = escaping.markdown, sections[0].grouping.name
    text = [f"# {escape(TASKS[board.task].title)}, on {escape(board.dataset)}, by {escape(name)}", "", MADE]
    text += ["", f"Everybody together, with ranks: [{escape(board.dataset)}.md](../{board.dataset}.md)."]
    for section in sections:
        text += ["", f"## {escape(section.question.title)}", ""]
        text += [line for note in notes(section) for line in (escape(note), "")]
        for head in section.heads:
            heads, rows = lines(section, head)
            if not any(cell != "-" for row in rows for cell in row[1:]):
                continue
            text += [f"### {escape(title(section, head))}", "", "| " + " | ".join(map(escape, heads)) + " |"]
            text.append("|---|" + "---:|" * (len(heads) - 1))
            text += ["| " + " | ".join(map(escape, row)) + " |" for row in rows]
            text.append("")
    return "\n".join(text).rstrip() + "\n"


def files(board: Board, root: Path = ROOT) -> dict[str, str]:
    """Name of each file of a board below the folder of leaderboards to its content.

    Raises:
        SubmissionError: a file of samples that cannot be read, or is not that of the rows.
    """
    known, found = Kept(root), {}
    for by in BY:
        sections, _ = _by_groups(board, by, known)
        if sections:
            stem = f"{board.task}/{sections[0].grouping.file_stem}/{board.dataset}"
            found[f"{stem}.md"] = markdown(board, sections)
            found[f"{stem}.csv"] = report.long_csv([own for section in sections for _, own in section.rows])
    return found


def generated(root: Path = ROOT) -> list[str]:
    """Files of this kind, as they lie there."""
    return [
        path.relative_to(root).as_posix()
        for task in TASKS
        for path in (root / task).glob("by_*/*")
        if path.suffix in (".md", ".csv")
    ]


# -- what is known of samples -----------------------------------------------------------------------------------------


def place_of(result: Result) -> PurePosixPath:
    """Where the samples of a result are told of, below the folder of leaderboards."""
    return place(result.spec.task, result.spec.dataset, result.spec.manifest_sha256)


def place(task: str, dataset: str, manifest: str) -> PurePosixPath:
    """The same of data, by the hash of their manifest."""
    return PurePosixPath(FOLDER, task, dataset, f"{manifest[:12]}.csv")


def text(samples: Mapping[str, Known]) -> str:
    """The file's content."""
    flat = {sample: flattened(each.attributes) for sample, each in samples.items()}
    names = [name for name in KEPT if any(name in each for each in flat.values())]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["sample", "speaker", *names])
    for sample in sorted(samples):
        writer.writerow([sample, samples[sample].speaker, *(flat[sample].get(name, "") for name in names)])
    return out.getvalue()


def write(name: str, runs: Path, root: Path = ROOT, progress: Progress | None = None) -> Path:
    """Keep what is known of the samples of a published row.

    Args:
        name: run directory, id, label, or published file.

    Raises:
        UsageError: no such run.
        MissingDataset: its data are not here.
        SubmissionError: its result is not published, its data are not known to the leaderboards, or what is known of
            their samples is more than is read.
    """
    scored = find_scored(name, runs)
    result = scored.result
    if not isinstance(result, Result) or result.run_id not in {each.result.run_id for each in everything(root)}:
        raise SubmissionError(
            f"expected a run whose result is published, got {name}; add it first: python -m benchmark leaderboard add "
            "RUN"
        )
    if result.spec.manifest_sha256 not in {item.sha256 for item in known_data(root).manifests}:
        raise SubmissionError(
            f"expected data that known.toml lists, got manifest {result.spec.manifest_sha256[:12]} of "
            f"'{result.spec.dataset}'"
        )
    samples = known_samples(scored, progress=progress)
    content, path = text(samples).encode(), root / place_of(result)
    if len(content) > MOST:
        raise SubmissionError(
            f"expected at most {MOST >> 10} KiB of what is known of samples, got {-(-len(content) >> 10)} KiB of "
            f"{len(samples)} of '{result.spec.dataset}': boards of data of this size have no tables by groups, and "
            f"{path} is not written"
        )
    write_whole(path, lambda partial: partial.write_bytes(content))
    return path


def stale(submissions: Iterable[Submission], root: Path = ROOT) -> list[str]:
    """Files of samples that no published row was made from."""
    wanted = {str(place_of(each.result)) for each in submissions}
    there = (path.relative_to(root).as_posix() for path in (root / FOLDER).rglob("*") if path.is_file())
    return sorted(name for name in there if name not in wanted)


class Kept:
    """What is kept of samples, by file."""

    def __init__(self, root: Path = ROOT) -> None:
        self.root = root
        self._read: dict[PurePosixPath, dict[str, Known] | None] = {}

    def __call__(self, submission: Submission) -> Mapping[str, Known] | None:
        """
        Raises:
            SubmissionError: the file cannot be read, or is not of these rows.
        """
        place = place_of(submission.result)
        if place not in self._read:
            self._read[place] = read(self.root / place) if (self.root / place).is_file() else None
        samples = self._read[place]
        if samples is not None:
            _check(submission, samples, place)
        return samples


def read(path: Path) -> dict[str, Known]:
    """
    Raises:
        SubmissionError: it is not as `leaderboard samples` writes it.
    """
    from benchmark.text_files import read_text

    if path.is_symlink() or path.stat().st_size > MOST:
        raise SubmissionError(f"expected a plain file of at most {MOST >> 10} KiB, got {path}; make it anew")
    table = list(csv.reader(io.StringIO(read_text(path))))
    heads = table[0] if table else []
    if heads[:2] != ["sample", "speaker"] or not set(heads[2:]) <= set(KEPT) or len(set(heads)) < len(heads):
        raise SubmissionError(f"expected the columns sample, speaker and some of {', '.join(KEPT)} in {path}")
    found: dict[str, Known] = {}
    for number, row in enumerate(table[1:], 2):
        if len(row) != len(heads) or row[0] in found:
            raise SubmissionError(f"expected {len(heads)} cells of another sample in line {number} of {path}")
        attributes = {name: value for name, value in zip(heads[2:], row[2:], strict=True) if value}
        found[row[0]] = Known(row[1], attributes)
    return found


def _check(submission: Submission, samples: Mapping[str, Known], place: PurePosixPath) -> None:
    for rows in submission.rows.values():
        for row in rows.values():
            if row.sample not in samples or samples[row.sample].speaker != row.speaker:
                raise SubmissionError(
                    f"expected the samples of {submission.place} in {place}, got none '{row.sample}' of "
                    f"'{row.speaker}'; write it anew: python -m benchmark leaderboard samples RUN"
                )
