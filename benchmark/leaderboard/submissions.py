"""A result as it is published: the result file, and beside it what was measured of each output.

Whoever sends a result may have written anything into it. Files are read with limits on their size, JSON with limits on
what it may hold, and each fault is a SubmissionError that says what was expected, what came and what to do.
"""

from __future__ import annotations

import gzip
import io
import json
import math
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

import numpy as np

from benchmark.errors import SubmissionError
from benchmark.files import write_whole
from benchmark.results.schema import Aggregate, Result, stated_signature
from benchmark.results.statistics import INTERVALS, Estimate
from benchmark.runs.directory import Key, ScoreRow, Scores, as_record, read_row

ROOT = Path(__file__).parents[2] / "leaderboards"
"""In a checkout."""
FOLDER = "results"
ROWS = ".scores.jsonl.gz"
"""Ending of the file of rows beside `RUN_ID.json`."""
MOST_RESULT = 1 << 18
MOST_ROWS = 1 << 21
MOST_UNPACKED = 1 << 26
"""Bytes of a result, of its rows, and of its rows unpacked."""
WIDEST = 256
"""Numbers in a row of scores. A metric that keeps more for each output (the 400 probabilities of `vggface_score`) has
no rows here, and so no rank."""
_DEEPEST = 12


@dataclass(frozen=True)
class Submission:
    """A result and its rows, as the bytes of two files."""

    place: PurePosixPath
    """Below the folder of leaderboards: `results/speech2face/talkers/sf2f/sf2f-talkers-3f2a9c01de.json`."""
    text: bytes
    packed: bytes | None
    """The rows, compressed; None where there is no such file."""

    @cached_property
    def result(self) -> Result:
        """
        Raises:
            SubmissionError: it is not JSON as it should be, or not a result.
        """
        from pydantic import ValidationError

        try:
            return Result.model_validate(strict_json(self.text), strict=True)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            more = f" and {error.error_count() - 1} faults more" if error.error_count() > 1 else ""
            raise SubmissionError(
                f"expected a result as `run` writes it, got at '{where}': {first['msg']}{more}; send the run's own "
                "result.json, unchanged: python -m benchmark leaderboard add RUN"
            ) from error

    @cached_property
    def rows(self) -> Scores:
        """
        Raises:
            SubmissionError: they are missing, cannot be unpacked, or one is no row of scores.
        """
        if self.packed is None:
            raise SubmissionError(
                f"expected the scores of each output beside the result, as {rows_beside(self.place).name}, got no such "
                "file; write both with: python -m benchmark leaderboard add RUN"
            )
        found: Scores = {}
        for number, line in enumerate(unpacked(self.packed).splitlines(), 1):
            try:
                _, row = read_row(_object(strict_json(line)), ScoreRow)
                if row.status not in ("ok", "undefined", "failed") or not isinstance(row.reason, str | None):
                    raise ValueError(f"status {row.status!r}, reason {row.reason!r}")
            except (ValueError, TypeError, AttributeError, KeyError, SubmissionError) as error:
                raise SubmissionError(
                    f"expected rows of scores, got in line {number} of {rows_beside(self.place).name}: {error}; write "
                    "them anew: python -m benchmark leaderboard add RUN"
                ) from error
            known = found.setdefault((row.metric, row.signature), {})
            if row.key in known:
                raise SubmissionError(
                    f"expected one row for each output and metric, got two of {row.metric} for '{row.sample}', run "
                    f"{row.repeat}; write them anew: python -m benchmark leaderboard add RUN"
                )
            known[row.key] = row
        return found

    @property
    def row_key(self) -> tuple[Any, ...]:
        """What makes it the same row of a table as another: a newer result of it takes the older one's place."""
        spec = self.result.spec
        return spec.task, spec.dataset, spec.split, spec.seconds or 0.0, spec.repeats, spec.method, self.result.label

    def of_metric(self, metric: str) -> Mapping[Key, ScoreRow]:
        """The rows that the metric's numbers were computed from; none where they are not kept."""
        return self.rows.get((metric, stated_signature(self.result, metric)), {})


def place_of(result: Result) -> PurePosixPath:
    """Where a result belongs, below the folder of leaderboards."""
    spec = result.spec
    return PurePosixPath(FOLDER, spec.task, spec.dataset, spec.method, f"{result.run_id}.json")


def rows_beside(path: PurePosixPath) -> PurePosixPath:
    """The file of rows of a result file."""
    return path.with_name(path.name.removesuffix(".json") + ROWS)


def read(path: Path, root: Path = ROOT) -> Submission:
    """A submission from its result file.

    Raises:
        SubmissionError: it is not there, no plain file, too large, or does not lie in the folder of leaderboards.
    """
    try:
        place = PurePosixPath(path.absolute().relative_to(root.absolute()).as_posix())
    except ValueError as error:
        raise SubmissionError(
            f"expected a file in {root / FOLDER}, got {path}; add it with: python -m benchmark leaderboard add RUN"
        ) from error
    if any(link.is_symlink() for link in (path, *path.parents) if link.is_relative_to(root)):
        raise SubmissionError(f"expected a plain file, got a link at {path}; put the file itself there")
    packed = path.with_name(rows_beside(place).name)
    if packed.is_symlink():
        raise SubmissionError(f"expected a plain file, got a link at {packed}; put the file itself there")
    return Submission(place, _bytes(path, MOST_RESULT), _bytes(packed, MOST_ROWS) if packed.exists() else None)


def everything(root: Path = ROOT) -> list[Submission]:
    """All published results, sorted by their place.

    Raises:
        SubmissionError: one cannot be read at all.
    """
    return [read(path, root) for path in sorted((root / FOLDER).rglob("*.json"))]


def readable(root: Path = ROOT) -> list[Submission]:
    """The published results that can be read, whatever lies beside them; for a look at one of several."""
    found = []
    for path in sorted((root / FOLDER).rglob("*.json")):
        try:
            each = read(path, root)
            each.result, each.rows  # noqa: B018 - that they can be read
        except SubmissionError:  # told where that file itself is looked at
            continue
        found.append(each)
    return found


def _bytes(path: Path, most: int) -> bytes:
    if not path.is_file():
        raise SubmissionError(f"expected a file, got none at {path}; check the name")
    with path.open("rb") as handle:
        content = handle.read(most + 1)
    if len(content) > most:
        raise SubmissionError(
            f"expected at most {most >> 10} KiB, got {path.stat().st_size >> 10} KiB in {path.name}; write it with "
            "`leaderboard add RUN`, which leaves out what is too wide"
        )
    return content


def unpacked(packed: bytes) -> bytes:
    """
    Raises:
        SubmissionError: it is no gzip file, or larger than a leaderboard takes.
    """
    try:
        with gzip.open(io.BytesIO(packed)) as handle:
            content = handle.read(MOST_UNPACKED + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise SubmissionError(
            f"expected rows of scores packed by gzip, got what cannot be unpacked ({error}); write them anew: "
            "python -m benchmark leaderboard add RUN"
        ) from error
    if len(content) > MOST_UNPACKED:
        raise SubmissionError(
            f"expected rows of at most {MOST_UNPACKED >> 20} MiB when unpacked, got more; write them with "
            "`leaderboard add RUN`, which leaves out what is too wide"
        )
    return content


# -- JSON from anybody -------------------------------------------------------------------------------------------------


def strict_json(text: bytes) -> Any:
    """What a JSON text holds; NaN, infinities, numbers beyond double precision, doubled keys and deep nesting are
    refused.

    Raises:
        SubmissionError: says what it holds instead.
    """
    try:
        found = json.loads(
            text.decode("utf-8"), parse_constant=_no_constant, parse_float=_finite, object_pairs_hook=_no_doubles
        )
    except (ValueError, RecursionError) as error:
        raise SubmissionError(
            f"expected JSON without NaN, infinities, doubled keys or deep nesting, got: {str(error)[:200]}; send the "
            "files that `leaderboard add RUN` writes"
        ) from error
    for depth, value in _values(found):
        if depth > _DEEPEST:
            raise SubmissionError(
                f"expected at most {_DEEPEST} levels of nesting, got more; send the files that `leaderboard add RUN` "
                "writes"
            )
        if isinstance(value, int) and abs(value) > 2**53:
            raise SubmissionError(f"expected whole numbers up to 2**53, got one of {value.bit_length()} bits; mend it")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"the number {name}")


def _finite(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError(f"the number {text[:40]}, which is beyond double precision")
    return value


def _no_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object with the same key twice")
    return found


def _values(value: Any, depth: int = 0) -> Iterator[tuple[int, Any]]:
    """Everything within, with how deep it lies, as far as one level too deep."""
    yield depth, value
    if depth <= _DEEPEST:
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        for item in inner:
            yield from _values(item, depth + 1)


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"expected an object, got {type(value).__name__}")
    return value


# -- from a run --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Prepared:
    """A run as it is to be published."""

    submission: Submission
    left_out: tuple[str, ...]
    """Metrics whose rows are too wide to be kept."""


def prepare(run: str, runs: Path) -> Prepared:
    """The result of a run and its rows, ready to be written; intervals are computed from the rows as it is done now.

    Args:
        run: directory, id or label.
        runs: folder of run directories.

    Raises:
        UsageError: no such run, or it has no result or no rows.
        SubmissionError: it is the result of scored files.
    """
    from benchmark.results.comparison import find_scored

    scored = find_scored(run, runs)
    result = scored.result
    if not isinstance(result, Result):
        raise SubmissionError(f"expected the run of a method, got {run}, files that were scored; they have no rank")
    rows: list[ScoreRow] = []
    left_out = []
    estimates: dict[str, Estimate] = {}
    for metric in dict.fromkeys(item.metric for item in result.aggregates):
        own = scored.rows(metric, stated_signature(result, metric))
        if (found := _measured(result, metric, own)) is not None:
            estimates |= found.estimates
        if any(_width(row) > WIDEST for row in own.values()):
            left_out.append(metric)
        else:
            rows += [own[key] for key in sorted(own)]
    now = result.model_copy(
        update={
            "aggregates": [_with_interval(i, estimates.get(i.name)) for i in result.aggregates],
            "intervals": INTERVALS,
        }
    )
    text = (now.model_dump_json(indent=2) + "\n").encode("utf-8", "backslashreplace")
    return Prepared(Submission(place_of(result), text, pack(rows)), tuple(left_out))


def _with_interval(item: Aggregate, estimate: Estimate | None) -> Aggregate:
    """A number with its interval as it is computed now; the number itself stays."""
    if estimate is None:
        return item
    low, high = (float(end) if math.isfinite(end) else None for end in (estimate.low, estimate.high))
    return item.model_copy(update={"low": low, "high": high, "no_interval": estimate.why})


def _width(row: ScoreRow) -> int:
    return sum(np.size(value) for value in row.statistics.values() if not isinstance(value, str))


def pack(rows: list[ScoreRow]) -> bytes:
    """Rows as lines of JSON, compressed; the same rows give the same bytes.

    What says which code measured which version of an output stays in the run: here the rows belong to one result.
    """
    lines = []
    for row in rows:
        record = as_record(replace(row, version="", source="", remarks=()))
        kept = {name: value for name, value in record.items() if value not in ("", None, ())}
        lines.append(json.dumps(kept, ensure_ascii=True, separators=(",", ":")) + "\n")
    return gzip.compress("".join(lines).encode("ascii"), 9, mtime=0)


def write(submission: Submission, root: Path = ROOT) -> bool:
    """Write both files; False where they are there already, with the same content."""
    path = root / submission.place
    beside = root / rows_beside(submission.place)
    assert submission.packed is not None
    # Compressed by another library, the same rows may be other bytes.
    if path.is_file() and beside.is_file() and path.read_bytes() == submission.text:
        try:
            if unpacked(beside.read_bytes()) == unpacked(submission.packed):
                return False
        except SubmissionError:  # damaged, and so written anew
            pass
    for target, content in ((path, submission.text), (beside, submission.packed)):
        write_whole(target, lambda partial, content=content: partial.write_bytes(content))  # type: ignore[misc]
    return True


def remove(submission: Submission, root: Path = ROOT) -> None:
    """Delete both files, and the folder where it is empty then."""
    for place in (submission.place, rows_beside(submission.place)):
        (root / place).unlink(missing_ok=True)
    folder = (root / submission.place).parent
    if not any(folder.iterdir()):
        folder.rmdir()


# -- numbers from rows -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Measured:
    """One metric's rows of one submission, ready to be weighed."""

    metric: Any
    rows: Mapping[Key, ScoreRow]
    """Those with numbers."""

    @cached_property
    def estimates(self) -> dict[str, Estimate]:
        """Its reported numbers over all rows, with their intervals."""
        from benchmark.results.statistics import speaker_index, with_intervals
        from benchmark.runs.scoring import shapes, speaker_values, stacked

        rows = [self.rows[key] for key in sorted(self.rows)]
        index, speakers = speaker_index([row.speaker for row in rows])
        runs = []
        for repeat in sorted({row.repeat for row in rows}):
            own = [place for place, row in enumerate(rows) if row.repeat == repeat]
            runs.append((index[own], stacked([rows[place] for place in own])))
        return with_intervals(speakers, speaker_values(self.metric, runs), shapes(self.metric, runs, speakers))

    def values(self, names: Mapping[str, int], keys: frozenset[Key], weights: np.ndarray) -> dict[str, np.ndarray]:
        """Its reported numbers `[B]` over some outputs under weights `[B, S]` of speakers.

        Args:
            names: speaker to column of the weights.
        """
        from functools import partial

        from benchmark.results.statistics import row_weights
        from benchmark.runs.scoring import mean_over_runs, stacked, weighed

        runs = []
        for repeat in sorted({key[1] for key in keys}):
            rows = [self.rows[key] for key in sorted(keys) if key[1] == repeat]
            index = np.array([names[row.speaker] for row in rows])
            runs.append(weighed(self.metric, stacked(rows), partial(row_weights, index, weights)))
        return mean_over_runs(runs)

    def defined(self, report: str) -> frozenset[Key]:
        """Outputs that have the number."""
        from benchmark.runs.scoring import stacked

        known = self.metric.defined(report, stacked(list(self.rows.values())))
        return frozenset(key for key, has in zip(self.rows, known, strict=True) if has)


@lru_cache(maxsize=256)
def measured(submission: Submission, metric: str) -> Measured | None:
    """A metric's rows that have numbers, with the metric itself; None where there are none.

    Raises:
        SubmissionError: they are not rows of this metric as it is now.
        PrerequisiteError: the metric needs a package that is not installed.
    """
    return _measured(submission.result, metric, submission.of_metric(metric))


def _measured(result: Result, metric: str, rows: Mapping[Key, ScoreRow]) -> Measured | None:
    from benchmark.registry import metrics
    from metrics.metric import Failed, checked_row

    good = {key: rows[key] for key in sorted(rows) if rows[key].status == "ok"}
    if not good:
        return None
    kind = metrics.load(metric)
    for key, row in good.items():
        if isinstance(outcome := checked_row(row.statistics, kind.lacking), Failed):
            raise SubmissionError(
                f"expected finite numbers in the rows of {metric}, got for '{key[0]}', run {key[1]}: {outcome.reason}; "
                "score the run again: python -m benchmark score RUN"
            )
    try:
        found = Measured(kind.for_rows(stated_signature(result, metric), next(iter(good.values())).statistics), good)
        found.estimates  # noqa: B018 - that they can be had is what is asked
    except (ValueError, KeyError, AttributeError, TypeError, IndexError) as error:
        raise SubmissionError(
            f"expected rows of {metric}, got what it cannot read ({type(error).__name__}: {str(error)[:200]}); score "
            "the run again: python -m benchmark score RUN"
        ) from error
    return found
