"""The papers' evaluations, as `benchmark/protocols/*.toml` hold them; `--protocol` takes a file of the user's, too.

A file holds one paper. `[corpora.KEY]`, `[judges.KEY]` and `[rules.KEY]` say once whose recordings are used, which
networks stand inside which numbers, and everything else that the paper states or leaves open. Each evaluation is then
a table of its own, named after what it yields in the paper:

    [table3]
    title = "SF2F and voice2face on HQ-VoxCeleb"
    place = "Sec. 5"
    task = "speech2face"
    corpora = ["hq_voxceleb"]
    numbers = ["face_cosine", "recall_at_10", "vggface_score"]
    rules = ["lengths", "runs", "gallery"]

Of `corpora`, and of the lengths and enrolments of a rule, the first is taken where the user does not say; the others
keep to the protocol as well. `place` is where the paper says it. What we decided where the paper is silent, or where
its released code does otherwise, stands in `decided`; what cannot be kept even on the paper's own corpus in `differs`,
and what cannot be kept on another one in `elsewhere`: a text, or several, of which those that hang on an option say so:

    differs = ["the list of mixtures is not published", { text = "which enhancer it was", where = "--enrolment noisy" }]

A key that is no field of the classes below is refused.
`leaderboards/papers/*.toml`, which hold the papers' numbers, refer to these files.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from benchmark.configuration import checked
from benchmark.errors import InvalidConfig, UnknownName, UsageError, did_you_mean
from benchmark.text_files import read_text

FOLDER = Path(__file__).parent
HANGING = ("--dataset", "--seconds", "--enrolment")
"""Options that a remark may hang on."""
LIST = "List them with: python -m benchmark list protocols"


@dataclass(frozen=True)
class Remark:
    """One thing that is not kept, always or with some options only."""

    text: str
    where: tuple[str, ...] = ()
    """Options of `run`, with one of which it is so: `--enrolment noisy`; with any where none is named."""
    unless: tuple[str, ...] = ()
    """Options with one of which it is not so."""

    def holds(self, options: Mapping[str, Any]) -> bool:
        """Whether it is so of a run.

        Args:
            options: name to value, as `enrolment` to `noisy`, and `seconds` to 5.0.
        """
        return not any(_given(text, options) for text in self.unless) and (
            not self.where or any(_given(text, options) for text in self.where)
        )

    def __str__(self) -> str:
        """With what it hangs on."""
        told = [f"with {' or '.join(self.where)}"] if self.where else []
        told += [f"not with {' or '.join(self.unless)}"] if self.unless else []
        return f"{self.text} ({', '.join(told)})" if told else self.text


@dataclass(frozen=True)
class Corpus:
    """Whose recordings an evaluation is of."""

    key: str
    name: str
    """With the split and its size, as the paper states them."""
    place: str = ""
    head: str = ""
    """Printed above the columns of a table with several corpora."""
    dataset: str = ""
    """Name here, as `--dataset` takes it; empty where there is none."""
    split: str = "test"
    speakers: int | None = None
    """In the split, as the paper states."""
    samples: int | None = None
    """The same of recordings or mixtures."""
    differs: tuple[Remark, ...] = ()
    """What is not the same here."""
    reason: str = ""
    """Why there is no such dataset here."""


@dataclass(frozen=True)
class Judge:
    """A network inside numbers, that the metric's own default is not."""

    key: str
    name: str
    numbers: tuple[str, ...]
    """Those that it stands in, of our results."""
    options: tuple[str, ...]
    """Of `run` and `score`, which ask for it: `--face-network facenet140`, `--metric-set recogniser=quartznet`."""
    in_place: str
    """What judges by default."""
    place: str = ""
    signature: str = ""
    """What the signature of our numbers then holds; empty where even then they are not known to be the paper's."""
    decided: str = ""
    differs: str = ""
    """What is not kept even with it."""

    @property
    def face_network(self) -> str | None:
        return next((text.partition(" ")[2] for text in self.options if text.startswith("--face-network ")), None)

    @property
    def metric_sets(self) -> tuple[str, ...]:
        return tuple(text.partition(" ")[2] for text in self.options if text.startswith("--metric-set "))


@dataclass(frozen=True)
class Rule:
    """One thing that the paper states of its evaluation, or should have."""

    key: str
    about: str
    """Of what: `length of speech`."""
    paper: str
    """What it says; `not stated` where it says nothing."""
    place: str = ""
    """Empty where it says nothing."""
    seconds: tuple[float, ...] = ()
    """Lengths of clips, 0 for whole recordings."""
    seconds_elsewhere: float | None = None
    """Length on another corpus than the paper's, where that is not the first of `seconds`."""
    repeats: int | None = None
    enrolment: tuple[str, ...] = ()
    ours: str = ""
    """What is done here, where `run` has no option that says it."""
    prepare: str = ""
    """What `data prepare` is told to make the like of other material: `faces --preset flowavse`."""
    decided: str = ""
    """Why so, where the paper leaves it open or its code does otherwise."""
    differs: tuple[Remark, ...] = ()
    """What is not kept."""
    elsewhere: tuple[Remark, ...] = ()
    """What is not kept on another corpus than the paper's."""


@dataclass(frozen=True)
class PaperProtocol:
    """One evaluation: what fills the options of `run`, and what else there is to be known."""

    book: str
    """Key of the paper (`sf2f`), or name of the user's file (`my.toml`)."""
    key: str
    """`table3`."""
    paper: str
    """The paper's name."""
    title: str
    place: str
    task: str
    numbers: tuple[str, ...]
    """Of our results: what the evaluation yields."""
    corpora: tuple[Corpus, ...]
    judges: tuple[Judge, ...]
    """Those of the file that stand in one of `numbers`."""
    rules: tuple[Rule, ...]

    @property
    def name(self) -> str:
        """`sf2f/table3`."""
        return f"{self.book}/{self.key}"

    @property
    def seconds(self) -> tuple[float, ...]:
        """Lengths that keep to it, the usual one first; none where it has no say in them."""
        return tuple(item for rule in self.rules for item in rule.seconds)

    @property
    def repeats(self) -> int | None:
        return next((rule.repeats for rule in self.rules if rule.repeats is not None), None)

    @property
    def enrolments(self) -> tuple[str, ...]:
        """Enrolments that keep to it, the usual one first; none where it has no say in them."""
        return tuple(item for rule in self.rules for item in rule.enrolment)

    def numbers_of(self, metric: str) -> tuple[str, ...]:
        """Those of its numbers that a metric yields."""
        from benchmark.registry import metric_of

        return tuple(number for number in self.numbers if metric_of(number) == metric)


@dataclass(frozen=True)
class Book:
    """Everything that a file says."""

    key: str
    paper: str
    corpora: Mapping[str, Corpus]
    judges: Mapping[str, Judge]
    protocols: Mapping[str, PaperProtocol]

    def judge_of(self, number: str) -> Judge | None:
        """The network inside a number; None where the metric's own is the paper's."""
        return next((judge for judge in self.judges.values() if number in judge.numbers), None)


def books(folder: Path = FOLDER) -> tuple[str, ...]:
    """Keys of all papers that have a file, sorted."""
    return tuple(sorted(path.stem for path in folder.glob("*.toml")))


def names(folder: Path = FOLDER) -> tuple[str, ...]:
    """Of all protocols: `sf2f/table3`, ..."""
    return tuple(each.name for key in books(folder) for each in load(key, folder).protocols.values())


@lru_cache
def load(key: str, folder: Path = FOLDER) -> Book:
    """Read a paper's file.

    Raises:
        UnknownName: there is none.
        InvalidConfig: it is not as it should be; names file and table.
    """
    known = books(folder)
    if key not in known:
        raise UnknownName(f"Unknown paper '{key}'.{did_you_mean(key, known)} Papers: {', '.join(known)}. {LIST}")
    return _read(folder / f"{key}.toml", key)


def find(name: str, folder: Path = FOLDER) -> PaperProtocol:
    """A protocol by what `--protocol` takes, with every name in it known here.

    Args:
        name: `sf2f/table3`, or `sf2f/3`; `my.toml/table1` of a file of the user's, or `my.toml` where it holds one.

    Raises:
        UnknownName: there is no such paper or protocol.
        InvalidConfig: the file is not as it should be.
        UsageError: the file cannot be read, or it holds several.
    """
    if ".toml" in name:
        path, _, key = name.rpartition(".toml")
        file = Path(f"{path}.toml")
        book = _read(file, file.name)  # by its name alone: results are published, and tell nobody's folders
        key = key.removeprefix("/")
        if not key and len(book.protocols) > 1:
            each = ", ".join(f"{file}/{key}" for key in book.protocols)
            raise UsageError(f"--protocol {name}: the file holds several; name one: {each}")
        found = _one(book, key or next(iter(book.protocols)), name)
    else:
        paper, slash, key = name.partition("/")
        if paper not in books(folder):
            known = names(folder)
            raise UnknownName(f"Unknown protocol '{name}'.{did_you_mean(name, (*known, *books(folder)))} {LIST}")
        book = load(paper, folder)
        if not slash:
            each = ", ".join(f"{book.key}/{key}" for key in book.protocols)
            raise UnknownName(f"--protocol {name}: name one of its evaluations: {each}")
        found = _one(book, key, name)
    check(found)
    return found


def _one(book: Book, key: str, name: str) -> PaperProtocol:
    key = f"table{key}" if key.isdecimal() else key
    if key in book.protocols:
        return book.protocols[key]
    near = did_you_mean(f"{book.key}/{key}", [each.name for each in book.protocols.values()])
    raise UnknownName(f"Unknown protocol '{name}'.{near} {book.key} has: {', '.join(book.protocols)}. {LIST}")


def check(protocol: PaperProtocol) -> None:
    """Every name in it is one that this project knows.

    Raises:
        InvalidConfig: one is not, or an option is out of range; names the protocol.
    """
    from benchmark.registry import datasets, metric_of, metrics
    from benchmark.runs.scoring import metric_options
    from benchmark.tasks import TASKS, with_protocol
    from benchmark.weights.networks import NETWORKS

    def refuse(why: object) -> InvalidConfig:
        return InvalidConfig(f"protocol {protocol.name}: {why}")

    if protocol.task not in TASKS:
        near = did_you_mean(protocol.task, TASKS)
        raise refuse(f"unknown task '{protocol.task}'.{near} Tasks: {', '.join(TASKS)}")
    task = TASKS[protocol.task]
    kind = "speech" if task.output == "audio" else task.name
    try:
        for seconds in (*protocol.seconds, *(rule.seconds_elsewhere for rule in protocol.rules)):
            with_protocol(task, seconds, None)
        with_protocol(task, None, protocol.repeats)
        for enrolment in protocol.enrolments:
            with_protocol(task, None, None, enrolment)
        for part in (*protocol.corpora, *protocol.rules):
            for remark in (*part.differs, *(part.elsewhere if isinstance(part, Rule) else ())):
                for text in (*remark.where, *remark.unless):
                    _check_option(text, task)
        for rule in protocol.rules:
            if rule.prepare:
                _check_prepare(rule.prepare)
        for number in protocol.numbers:
            if (what := metrics.described(metric_of(number)).task) != kind:
                raise refuse(f"number '{number}' is of {what}, not of {task.name}")
        for corpus in protocol.corpora:
            if corpus.dataset:
                datasets.load(corpus.dataset)(None, Path()).check(corpus.split, task.name)
        for judge in protocol.judges:
            asked = [metric_of(number) for number in judge.numbers]
            options = metric_options(asked, judge.face_network or "dlib", judge.metric_sets)
            for name in [judge.face_network, *options.values()]:
                known = str(name).partition(":")[0]
                if isinstance(name, str) and known not in NETWORKS:
                    near = did_you_mean(known, NETWORKS)
                    raise refuse(f"judge '{judge.key}': unknown network '{known}'.{near}")
    except (UnknownName, UsageError) as error:
        if isinstance(error, InvalidConfig) and str(error).startswith("protocol "):
            raise
        raise refuse(error) from error


@dataclass(frozen=True)
class _ProtocolText:
    """A protocol as its file writes it."""

    title: str
    task: str
    numbers: tuple[str, ...]
    place: str = ""
    corpora: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()


def _read(path: Path, key: str) -> Book:
    try:
        found = tomllib.loads(read_text(path))
    except tomllib.TOMLDecodeError as error:
        raise InvalidConfig(f"{path} is not TOML: {error}") from error
    where = path.name
    name = found.pop("name", path.stem)
    if not isinstance(name, str):
        raise InvalidConfig(f"{where}: expected 'name' to be text, got {name!r}")
    corpora = _keyed(found, "corpora", Corpus, where)
    judges = _keyed(found, "judges", Judge, where)
    rules = _keyed(found, "rules", Rule, where)
    for own, corpus in corpora.items():
        if bool(corpus.dataset) == bool(corpus.reason):
            raise InvalidConfig(f"{where}, corpora.{own}: expected either 'dataset' or 'reason', and only one of them")
    judged: dict[str, str] = {}
    for own, judge in judges.items():
        for text in judge.options:
            option, _, value = text.partition(" ")
            if option not in ("--face-network", "--metric-set") or not value:
                raise InvalidConfig(
                    f"{where}, judges.{own}: expected options '--face-network NAME' or '--metric-set KEY=VALUE', got "
                    f"{text!r}"
                )
        for number in judge.numbers:
            if judged.setdefault(number, own) != own:
                raise InvalidConfig(f"{where}: '{number}' has two judges, {judged[number]} and {own}; expected one")
    protocols = {}
    for own, given in found.items():
        place = f"{where}, {own}"
        text = checked(_ProtocolText, _listed(_ProtocolText, given), place)
        numbers = set(text.numbers)
        chosen = tuple(_named(rules, each, "rule", place) for each in text.rules)
        if sum(bool(rule.seconds) for rule in chosen) > 1 or sum(bool(rule.enrolment) for rule in chosen) > 1:
            raise InvalidConfig(f"{place}: two rules state the length of clips, or the enrolment; expected one of each")
        if not text.numbers:
            raise InvalidConfig(f"{place}: expected 'numbers', got none")
        protocols[own] = PaperProtocol(
            key, own, name, text.title, text.place, text.task, text.numbers,
            tuple(_named(corpora, each, "corpus", place) for each in text.corpora),
            tuple(judge for judge in judges.values() if numbers.intersection(judge.numbers)),
            chosen,
        )  # fmt: skip
    if not protocols:
        raise InvalidConfig(f"{where}: expected an evaluation, such as [table1] with title, task and numbers; got none")
    return Book(key, name, corpora, judges, protocols)


def _keyed(found: dict[str, Any], name: str, kind: type, where: str) -> dict[str, Any]:
    given = found.pop(name, {})
    if not isinstance(given, dict):
        raise InvalidConfig(f"{where}: expected [{name}.KEY], got {given!r}")
    made, remarks = {}, {field.name for field in fields(kind) if str(field.type).startswith("tuple[Remark")}
    for key, each in given.items():
        place = f"{where}, {name}.{key}"
        if isinstance(each, dict) and "key" in each:
            raise InvalidConfig(f"{place}: unknown key 'key'")
        if isinstance(each, dict):
            each = {**_listed(kind, each), "key": key}
            for field in remarks & each.keys():
                each[field] = [_remark(item, f"{place}: {field}") for item in each[field]]
        made[key] = checked(kind, each, place)
    return made


def _remark(given: Any, where: str) -> Remark:
    """From a text, or from a table with the options that it hangs on."""
    remark = Remark(given) if isinstance(given, str) else checked(Remark, _listed(Remark, given), where)
    for text in (*remark.where, *remark.unless):
        option, _, value = text.partition(" ")
        if option not in HANGING or not value:
            raise InvalidConfig(f"{where}: expected {' or '.join(HANGING)} with a value, got {text!r}")
    return remark


def _given(text: str, options: Mapping[str, Any]) -> bool:
    """Whether `--enrolment noisy` is among options: name to value."""
    option, _, value = text.partition(" ")
    own = options.get(option.removeprefix("--"))
    return own == float(value) if isinstance(own, int | float) else own == value


def _check_option(text: str, task: Any) -> None:
    """
    Raises:
        UsageError, UnknownName: the option of a remark has a value that `run` does not take.
    """
    from benchmark.registry import datasets
    from benchmark.tasks import with_protocol

    option, _, value = text.partition(" ")
    if option == "--dataset":
        datasets.load(value)
    elif option == "--enrolment":
        with_protocol(task, None, None, value)
    else:
        try:
            with_protocol(task, float(value), None)
        except ValueError as error:
            raise UsageError(f"{text}: expected seconds") from error


def _check_prepare(text: str) -> None:
    """
    Raises:
        UsageError, UnknownName: `data prepare` has no such step or preset.
    """
    from benchmark.preparation.steps import step_called

    step, *more = text.split() or [""]
    if more and (len(more) != 2 or more[0] != "--preset"):
        raise UsageError(f"prepare = {text!r}: expected a step, or one with `--preset NAME`")
    step_called(step).configured(more[1] if more else None)


def _listed(kind: type, given: Any) -> Any:
    """With a single value for a field that takes several as a list of one: `seconds = 5`."""
    if not isinstance(given, dict):
        return given
    several = {field.name for field in fields(kind) if str(field.type).startswith("tuple[")}
    return {key: [value] if key in several and not isinstance(value, list) else value for key, value in given.items()}


def _named(known: Mapping[str, Any], key: str, kind: str, where: str) -> Any:
    if key in known:
        return known[key]
    raise InvalidConfig(
        f"{where}: unknown {kind} '{key}'.{did_you_mean(key, known)} The file defines: {', '.join(known) or 'none'}"
    )


def shown_lengths(seconds: Iterable[float]) -> str:
    """`5 s or 1.25 s`, `whole recordings`."""
    return " or ".join("whole recordings" if each == 0 else f"{each:g} s" for each in seconds)
