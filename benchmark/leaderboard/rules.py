"""What a result has to be to stand on a leaderboard: one small rule a function.

Each rule looks at a submission and yields its faults, each a sentence that says what was expected, what came, and what
to do. `faults` applies all of them; a file that cannot be read as a result has that one fault.
"""

from __future__ import annotations

import math
import re
import shlex
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmark.errors import InvalidConfig, PrerequisiteError, SubmissionError
from benchmark.leaderboard.submissions import (
    MOST_RESULT,
    MOST_ROWS,
    ROOT,
    Measured,
    Submission,
    at,
    measured,
    place_of,
    rows_beside,
)
from benchmark.results.schema import Aggregate, Result, stated_signature
from benchmark.results.statistics import Estimate
from benchmark.runs.scoring import NOT_MEASURED
from benchmark.tasks import TASKS

FAILED = 0.05
"""Share of outputs that may have failed."""
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}")
_LONGEST = 200
"""Letters of a label, a title, a unit."""
AGAIN = "python -m benchmark leaderboard add RUN"
UNCHANGED = "send the result unchanged"


@dataclass(frozen=True)
class KnownManifest:
    """Data that results may be made from."""

    dataset: str
    revision: str
    split: str
    task: str
    sha256: str
    fields: tuple[str, ...] = ()
    """What is built of a training split; all, where there are none."""


@dataclass(frozen=True)
class KnownWeights:
    """Weights that are not shipped with the method."""

    method: str
    sha256: str
    source: str
    """Where anybody can get them."""


@dataclass(frozen=True)
class Known:
    """What a submission is held against."""

    manifests: tuple[KnownManifest, ...] = ()
    weights: tuple[KnownWeights, ...] = ()
    published: tuple[Submission, ...] = field(default=(), repr=False)
    """The other results of the leaderboards."""
    root: Path = ROOT
    """Their folder."""

    def besides(self, submission: Submission) -> Iterator[Submission]:
        """Published results at another place, those that can be read."""
        for other in self.published:
            if other.place != submission.place and _readable(other):
                yield other

    @cached_property
    def signatures(self) -> Mapping[tuple[Any, ...], Mapping[str, set[str]]]:
        """Data and number to signature to the places that state it."""
        found: dict[tuple[Any, ...], dict[str, set[str]]] = {}
        for other in filter(_readable, self.published):
            for item in other.result.aggregates:
                key = (*_question(other.result), item.name)
                found.setdefault(key, {}).setdefault(item.signature, set()).add(str(other.place))
        return found


def known(root: Path = ROOT, published: Iterable[Submission] = ()) -> Known:
    """What `known.toml` lists, with the results that are published.

    Raises:
        InvalidConfig: the file is not as it should be.
    """
    from benchmark.configuration import checked_fields

    path = root / "known.toml"
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidConfig(f"{path} is not TOML: {error}") from error
    if extra := sorted(tables.keys() - {"manifests", "weights"}):
        raise InvalidConfig(f"{path}: unknown key '{extra[0]}'. Known keys: manifests, weights")

    def made(kind: type, name: str) -> tuple[Any, ...]:
        try:
            return tuple(kind(**checked_fields(kind, item, f"{path}, {name}")) for item in tables.get(name, ()))
        except (TypeError, AttributeError) as error:
            raise InvalidConfig(f"{path}, {name}: {error}") from error

    return Known(made(KnownManifest, "manifests"), made(KnownWeights, "weights"), tuple(published), root)


class Fault(NamedTuple):
    """A rule that is broken."""

    rule: str
    told: str


Rule = Callable[[Submission, Known], Iterator[str]]


def faults(submission: Submission, against: Known) -> list[Fault]:
    """What is wrong with a submission; nothing where it may stand.

    Raises:
        PrerequisiteError: a metric needs a package that is not installed.
    """
    for rule in FIRST:
        if told := [Fault(rule.__name__, each) for each in rule(submission, against)]:
            return told
    return [Fault(rule.__name__, told) for rule in RULES for told in rule(submission, against)]


def _readable(submission: Submission) -> bool:
    try:
        return bool(submission.result)
    except SubmissionError:
        return False


# -- what has to hold before anything else is looked at ----------------------------------------------------------------


def size(submission: Submission, against: Known) -> Iterator[str]:
    """Both files are small."""
    for name, content, most in (
        (submission.place.name, submission.text, MOST_RESULT),
        (rows_beside(submission.place).name, submission.packed or b"", MOST_ROWS),
    ):
        if len(content) > most:
            yield (
                f"expected at most {most >> 10} KiB in {name}, got {len(content) >> 10}; `leaderboard add RUN` leaves "
                "out what is too wide"
            )


def schema(submission: Submission, against: Known) -> Iterator[str]:
    """The result is one, and the rows are rows."""
    try:
        submission.result  # noqa: B018 - reading it is the test
        submission.rows  # noqa: B018
    except SubmissionError as error:
        yield str(error)


FIRST: tuple[Rule, ...] = (size, schema)


# -- the rules ---------------------------------------------------------------------------------------------------------


def names(submission: Submission, against: Known) -> Iterator[str]:
    """What names things can stand in a path and in a table."""
    from benchmark.reports.escaping import printable

    result = submission.result
    for what in ("task", "dataset", "method"):
        if not _NAME.fullmatch(value := getattr(result.spec, what)):
            yield f"expected letters, digits, '_', '.' and '-' as the {what}, got {value[:80]!r}; name it otherwise"
    texts = {"label": result.label, "split": result.spec.split}
    texts |= {f"title of {n.name[:40]!r}": n.title for n in result.aggregates}
    texts |= {f"unit of {n.name[:40]!r}": n.unit for n in result.aggregates}
    for what, text in texts.items():
        if printable(text) != text or len(text) > _LONGEST:
            yield f"expected at most {_LONGEST} printable letters as the {what}, got {text[:80]!r}; shorten it"


def label(submission: Submission, against: Known) -> Iterator[str]:
    """The row is called by its method, and by its preset and settings where they are not the default.

    A system from elsewhere is called as its author says (`--label`), whose outputs `outputs` reads; so may a
    plug-in be.
    """
    from benchmark.configuration import checked_fields
    from benchmark.errors import BenchmarkError
    from benchmark.registry import methods
    from benchmark.runs.evaluation import enrolled_label, label_of

    result, spec = submission.result, submission.result.spec
    stated = result.label
    if spec.label is not None or gathers(spec.method):
        yield from _given_label(result)
        return
    if spec.method not in methods.builtin:  # of a plug-in, whose defaults are not known here
        if stated != spec.method and not (stated.startswith(f"{spec.method} (") and stated.endswith(")")):
            yield f"expected the label {spec.method}, or it with settings in brackets, got {stated[:80]!r}; {UNCHANGED}"
        return
    kind = methods.load(spec.method)
    if _settings_of(spec.method) != set(spec.config):  # told by `settings`
        return
    try:
        config = checked_fields(kind.Config, spec.config, f"settings of {spec.method}")
        plain, marked = (label_of(spec.method, kind, result.preset, config, w) for w in (None, spec.weights_sha256))
        if spec.task in TASKS:
            plain, marked = (enrolled_label(label, TASKS[spec.task], spec.enrolment) for label in (plain, marked))
    except BenchmarkError as error:
        yield f"expected a preset and settings that {spec.method} takes, got others: {str(error)[:200]}; {UNCHANGED}"
        return
    own = spec.weights_sha256 is None or spec.weights_sha256 in shipped_weights(spec.method)
    if stated not in ((plain, marked) if own else (marked,)):
        yield f"expected the label {plain if own else marked} of these settings, got {stated[:80]!r}; {UNCHANGED}"


def gathers(method: str) -> bool:
    """Whether a method of this project takes its outputs from elsewhere: its own name says nothing of the system."""
    from baselines.method import Method
    from benchmark.registry import methods

    return method in methods.builtin and methods.load(method).gather.__func__ is not Method.gather.__func__


def _given_label(result: Result) -> Iterator[str]:
    """What is wrong with a name that somebody gave to a row."""
    from benchmark.errors import UsageError
    from benchmark.registry import methods
    from benchmark.runs.evaluation import checked_label, enrolled_label

    spec = result.spec
    if spec.label is None:
        yield f"expected a name of the system, got {result.label[:80]!r}; run it again with --label NAME"
        return
    if spec.method in methods.builtin and not gathers(spec.method):
        yield (
            f"expected a row of {spec.method} to be called by it and by its settings, got {spec.label[:80]!r}; run it "
            "again without --label"
        )
        return
    try:
        label = checked_label(spec.label)
    except UsageError as error:
        yield f"expected a name that --label takes, got another: {str(error)[:200]}; {UNCHANGED}"
        return
    if spec.task in TASKS:
        label = enrolled_label(label, TASKS[spec.task], spec.enrolment)
    if result.label != label:
        yield f"expected the label {label} that was given, got {result.label[:80]!r}; {UNCHANGED}"


def path(submission: Submission, against: Known) -> Iterator[str]:
    """The file lies where its content says, under the id that its settings have."""
    result = submission.result
    if result.spec.task not in TASKS:
        yield f"expected one of the tasks {', '.join(TASKS)}, got {result.spec.task[:80]!r}; mend the result"
    if result.run_id != (own := result.spec.run_id()):
        yield f"expected the run id {own} of these settings, got {result.run_id[:120]!r}; {UNCHANGED}"
    if submission.place != (place := place_of(result)):
        yield f"expected the file at {place}, got {submission.place}; move it, or write it with: {AGAIN}"


def complete(submission: Submission, against: Known) -> Iterator[str]:
    """The whole split was made by one state of clean code, and every output has its rows."""
    result = submission.result
    if result.why_unranked:
        yield (
            f"expected the whole split, made by one state of the code, got a run that is {result.why_unranked}; make "
            "it without --limit, and after a change of the code anew with --fresh"
        )
    for made_by in (result.provenance, *result.generated_by):
        git = made_by.get("git")
        if not (isinstance(git, dict) and isinstance(git.get("commit"), str) and git.get("dirty") is False):
            yield (
                f"expected results of committed code, got git {str(git)[:80]}; commit what was changed, run from the "
                "checkout, and make the run anew with --fresh"
            )
            break
    if len(result.sources) != 1 or not result.generated_by:
        yield f"expected the record of what made the outputs, got {len(result.sources)}; make the run anew with --fresh"
    yield from _rows_complete(submission)


def _rows_complete(submission: Submission) -> Iterator[str]:
    result = submission.result
    outputs: set[tuple[str, int]] | None = None
    speakers: dict[str, str] = {}
    for (metric, signature), rows in submission.rows.items():
        if signature != stated_signature(result, metric):
            yield f"expected rows of the numbers that the result states, got others of {metric[:80]!r}; write: {AGAIN}"
            continue
        outputs = outputs or set(rows)
        if set(rows) != outputs or len(rows) != result.samples * result.spec.repeats:
            expected = result.samples * result.spec.repeats
            yield f"expected a row of {metric} for each of {expected} outputs, got {len(rows)}; write: {AGAIN}"
        for row in rows.values():
            if speakers.setdefault(row.sample, row.speaker) != row.speaker:
                yield f"expected one speaker of '{row.sample[:80]}', got two; write the rows with: {AGAIN}"
                return
    found = len(set(speakers.values()))
    if speakers and found != result.speakers:
        yield f"expected rows of {result.speakers} speakers, got {found}; write the rows with: {AGAIN}"
    if not submission.rows:
        yield f"expected rows of each output, got none; write them with: {AGAIN}"


def coverage(submission: Submission, against: Known) -> Iterator[str]:
    """Every output has a number or a reason, the numbers that rank are there, and few outputs failed."""
    result = submission.result
    total = result.samples * result.spec.repeats
    for item in result.aggregates:
        if item.total != total or not 0 <= item.scored <= total:
            yield f"expected {item.name[:40]} of {total} outputs, got {item.scored} of {item.total}; score it again"
        elif item.scored + sum(item.reasons.values()) != total or min(item.reasons.values(), default=0) < 0:
            unsaid = total - item.scored - sum(item.reasons.values())
            yield f"expected {item.name[:40]} or a reason for each output, {unsaid} have neither; score it again"
        if NOT_MEASURED in item.reasons:
            yield f"expected {item.name[:40]} of every output, {item.reasons[NOT_MEASURED]} lack it; score it again"
    task = TASKS.get(result.spec.task)
    if task and result.aggregate(task.primary) is None:
        yield f"expected {task.primary}, which ranks, got a result without it; measure it with `score RUN`"
    doubled = {item.name for item in result.aggregates if result.aggregate(item.name) is not item}
    if doubled:
        yield f"expected each number once, got {sorted(doubled)[0][:40]!r} twice; {UNCHANGED}"
    if not 0 <= result.failures.rows <= FAILED * total:
        yield (
            f"expected at most {FAILED:.0%} of {total} outputs to fail, got {result.failures.rows}; mend what fails "
            "and run it again with --retry-failed"
        )


def finite(submission: Submission, against: Known) -> Iterator[str]:
    """Every number can be reckoned with, and what counts things is not negative."""
    result = submission.result
    counts = {"samples": result.samples, "speakers": result.speakers, "repeats": result.spec.repeats}
    for name, value in counts.items():
        if not 1 <= value <= 10**7:
            yield f"expected 1 to 10,000,000 {name}, got {value}; {UNCHANGED}"
    for item in result.aggregates:
        for name in ("value", "low", "high", "spread", "sd"):
            value = getattr(item, name)
            if value is not None and not (math.isfinite(value) and abs(value) < 1e12):
                yield f"expected a finite {name} of {item.name[:40]}, got {value}; score the run again"
    if not (math.isfinite(result.generation_seconds) and result.generation_seconds >= 0):
        yield f"expected the seconds that were spent, got {result.generation_seconds}; {UNCHANGED}"


def bounds(submission: Submission, against: Known) -> Iterator[str]:
    """A number lies within what its definition allows, and its interval goes from low to high."""
    for item, rows in _numbers(submission):
        if item.value is not None and item.low is not None and item.high is not None and not item.low <= item.high:
            yield f"expected low <= high of {item.name[:40]}, got [{item.low:g}, {item.high:g}]; score the run again"
        report = next((r for r in rows.metric.reports if r.name == item.name), None) if rows else None
        if report is None:
            continue
        low, high = report.bounds
        slack = 1e-9 * max(1.0, abs(item.value or 0))
        if item.value is not None and not low - slack <= item.value <= high + slack:
            yield f"expected {item.name[:40]} from {low:g} to {high:g}, got {item.value:g}; score the run again"
        stated = item.higher_is_better, item.unit
        if stated != (report.higher_is_better, report.unit):
            yield (
                f"expected {item.name[:40]} with direction and unit {(report.higher_is_better, report.unit)}, got "
                f"{stated}; score the run again"
            )


def rows_agree(submission: Submission, against: Known) -> Iterator[str]:
    """The rows give the numbers that the result states."""
    yield from _disagreeing(submission, ("value",), AGAIN)


def intervals_agree(submission: Submission, against: Known) -> Iterator[str]:
    """The rows give the intervals that the result states, as this code makes them."""
    folder = ROOT.name if against.root == ROOT else against.root
    file = shlex.quote(f"{folder}/{submission.place}")
    mend = f"python -m benchmark leaderboard add {file}{at(against.root)}"
    yield from _disagreeing(submission, ("low", "high"), mend)


def _disagreeing(submission: Submission, about: Sequence[str], mend: str) -> Iterator[str]:
    for item, rows in _numbers(submission):
        if rows is None:
            continue
        found = rows.estimates.get(item.name, Estimate(math.nan, math.nan, math.nan))
        for what in about:
            states, gives = getattr(item, what), getattr(found, what)
            states = math.nan if states is None else states
            if not np.isclose(gives, states, rtol=1e-6, atol=1e-9, equal_nan=True):
                yield (
                    f"expected rows that give the {what} of {item.name[:40]} as {states:g}, got rows that give "
                    f"{gives:g}; write both from the same run: {mend}"
                )
                break


def _numbers(submission: Submission) -> Iterator[tuple[Aggregate, Measured | None]]:
    """The result's numbers, each with the rows of its metric; None where those are not kept or cannot be read."""
    found: dict[str, Measured | None] = {}
    for item in submission.result.aggregates:
        if item.metric not in found:
            try:
                found[item.metric] = measured(submission, item.metric)
            except SubmissionError:  # `signatures` tells
                found[item.metric] = None
        yield item, found[item.metric]


def signatures(submission: Submission, against: Known) -> Iterator[str]:
    """Each number is of the definition that this code has, and that the other rows of its table have."""
    from benchmark.registry import metrics

    result = submission.result
    for metric in dict.fromkeys(item.metric for item in result.aggregates):
        if metric not in metrics:
            yield f"expected a metric of this project, got {metric[:80]!r}; leave it out with --metrics"
            continue
        version = metrics.load(metric).version
        stated = re.findall(r"\|v(\d+)(?=[| ]|$)", stated_signature(result, metric))
        if any(number != str(version) for number in stated) or not stated:
            yield (
                f"expected {metric} of version {version}, got {', '.join(sorted(set(stated))) or 'none'}; score the "
                "run again: python -m benchmark score RUN"
            )
            continue
        try:
            measured(submission, metric)
        except SubmissionError as error:
            yield str(error)
    for item in result.aggregates:
        stands = against.signatures.get((*_question(result), item.name), {})
        # An older version of a definition goes out row by row.
        version = "".join(re.findall(r"\|v\d+(?=\||$)", item.signature))
        others = {text for text, places in stands.items() if version in text and places - {str(submission.place)}}
        if others and item.signature not in others:
            yield (
                f"expected {item.name} by the definition of the other rows, {sorted(others)[0]}, got {item.signature}; "
                "measure it with the face network and the options that are the default"
            )


def _question(result: Result) -> tuple[Any, ...]:
    spec = result.spec
    return spec.task, spec.manifest_sha256, spec.seconds


def settings(submission: Submission, against: Known) -> Iterator[str]:
    """The method has these settings now, and the task is asked as it is now."""
    from benchmark.registry import methods

    spec = submission.result.spec
    task = TASKS.get(spec.task)
    if task and spec.task_version != task.version:
        yield f"expected version {task.version} of {task.name}, got {spec.task_version}; run it again"
    if spec.method in methods.builtin:
        now = _settings_of(spec.method)
        if now != set(spec.config):
            differ = ", ".join(sorted(now ^ set(spec.config)))[:200]
            yield f"expected the settings that {spec.method} has now, got others ({differ}); run it again"


def _settings_of(method: str) -> set[str]:
    """Names of what can be set of a method that is registered here."""
    import dataclasses

    from benchmark.registry import methods

    return {item.name for item in dataclasses.fields(methods.load(method).Config)}


def hashes(submission: Submission, against: Known) -> Iterator[str]:
    """Data and weights are ones that anybody can have."""
    spec = submission.result.spec
    named = [("manifest_sha256", spec.split, spec.manifest_sha256)]
    named += [("training_sha256", "train", spec.training_sha256)] if spec.training_sha256 else []
    for what, split, stated in named:
        fits = [
            item.sha256
            for item in against.manifests
            if (item.dataset, item.split, item.task) == (spec.dataset, split, spec.task)
        ]
        if stated not in fits:
            listed = ", ".join(text[:12] for text in fits) or "none"
            yield (
                f"expected as {what} a manifest of {spec.dataset} {split} ({spec.task}) that known.toml lists "
                f"({listed}), got {stated[:12]}; run it on the data that this code builds, or propose yours"
            )
    listed_weights = [item.sha256 for item in against.weights if item.method == spec.method]
    used = {"": spec.weights_sha256, **(spec.files or {})}
    for setting, digest in used.items():
        if digest is not None and digest not in (*listed_weights, *shipped_weights(spec.method)):
            what = "outputs" if gathers(spec.method) else f"weights that are shipped with {spec.method} or"
            yield (
                f"expected {f'as {setting} ' if setting else ''}{what} listed in known.toml, got {digest[:12]}; say in "
                "known.toml, under weights, where anybody can get them"
            )


@cache
def shipped_weights(method: str) -> tuple[str, ...]:
    """Hashes of the weights that a method's presets have, as far as they are on this machine, and of those that the
    table of downloads lists."""
    import sys

    from benchmark.configuration import Presets
    from benchmark.registry import methods
    from benchmark.runs.evaluation import plan_method
    from benchmark.weights.table import TABLE

    if method not in methods:
        return ()
    kind = methods.load(method)
    file = sys.modules[kind.__module__].__file__
    assert file is not None
    found = [file.sha256 for item in TABLE.values() for file in item.files if file.sha256]
    for preset in Presets.beside(Path(file).parent).tables or (None,):
        try:
            digest = plan_method(method, preset).weights_sha256
        except PrerequisiteError:  # a preset without weights
            continue
        found += [digest] if digest else []
    return tuple(dict.fromkeys(found))


def duplicate(submission: Submission, against: Known) -> Iterator[str]:
    """No other file is the same row."""
    for other in against.besides(submission):
        if other.row_key == submission.row_key:
            yield (
                f"expected one result of {submission.result.label}, got {other.place} too; delete the older one, as "
                "`leaderboard add RUN` does"
            )
        elif other.result.run_id == submission.result.run_id:
            yield f"expected one file of this run, got {other.place} too; delete one of them"


RULES: tuple[Rule, ...] = (
    names, label, path, complete, coverage, finite, bounds, rows_agree, intervals_agree, signatures, settings, hashes,
    duplicate,
)  # fmt: skip
"""Those that are looked at once the files can be read, in this order."""


def table() -> Sequence[tuple[str, str]]:
    """Names of all rules and what they ask, for the page that explains them."""
    return [(rule.__name__, (rule.__doc__ or "").splitlines()[0]) for rule in (*FIRST, *RULES)]
