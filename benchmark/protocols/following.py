"""How one command follows a paper's protocol: what fills its options, and each way in which it departs.

What the user gives wins and is told. Where the paper's corpus is here its networks are asked for, and one that is not
here stops the command; elsewhere the metrics' own networks judge, so that a machine that has nothing still measures,
and what needs a network that does not come with the project is left out. Both are told.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.datasets.places import VARIABLE, known_root
from benchmark.errors import MissingWeights, PrerequisiteError, UsageError
from benchmark.protocols.book import Corpus, Judge, PaperProtocol, shown_lengths
from benchmark.registry import metric_of
from benchmark.results.schema import FollowedProtocol
from benchmark.tasks import get_task

EMBEDDED = "talkers"
"""The dataset that every machine has."""
FACE_NETWORK = "dlib"
"""The metrics' own."""
OPTIONS = (
    *("task", "dataset", "split", "data_root", "seconds", "repeats", "enrolment"),
    *("metrics", "face_network", "metric_sets", "limit"),
)
"""Of `run`, which a protocol fills or is departed from by; named as fields of `runs.session.Request`."""


@dataclass(frozen=True)
class Following:
    """A protocol, as one command follows it."""

    protocol: PaperProtocol
    given: Mapping[str, Any]
    """What the user gave."""
    default_networks: bool
    corpus: Corpus | None
    """The paper's, where that is taken."""
    own: bool
    """The data are the paper's, and its networks are asked for."""
    options: Mapping[str, Any]
    """Those of `OPTIONS` that the protocol has a say in, resolved."""
    departures: tuple[str, ...]
    """Each way in which the paper's setting is not kept; a line each."""
    notes: tuple[str, ...] = ()
    """On whose recordings it is, and how it could be others."""
    left_out: tuple[str, ...] = ()
    """Those of `departures` that are numbers which cannot be measured here."""

    @property
    def record(self) -> FollowedProtocol:
        """What a run and its result keep."""
        # Where the user keeps a corpus is nobody else's affair: results are published.
        kept = {name: value for name, value in self.options.items() if name != "data_root"}
        shown = {name: list(value) if isinstance(value, tuple) else value for name, value in kept.items()}
        corpus, whole = self.corpus, kept["split"] == (self.corpus.split if self.corpus else "")
        return FollowedProtocol(
            name=self.protocol.name,
            options=shown,
            departures=list(self.departures),
            speakers=corpus.speakers if corpus and whole else None,
            samples=corpus.samples if corpus and whole else None,
        )


def follow(protocol: PaperProtocol, given: Mapping[str, Any], default_networks: bool = False) -> Following:
    """Fill what the user did not give; nothing is opened or loaded.

    Args:
        given: those of `OPTIONS` that the user gave.
        default_networks: take the metrics' own networks on the paper's corpus, too.

    Raises:
        UsageError: another task than the protocol's; or a folder, where the paper's corpus has no name here.
    """
    return _Filling(protocol, given, default_networks).following()


class _Filling:
    """One command on its way."""

    def __init__(
        self,
        protocol: PaperProtocol,
        given: Mapping[str, Any],
        default_networks: bool,
        lacking: Mapping[str, str] | None = None,
    ) -> None:
        """
        Args:
            lacking: metrics to leave out, and why.
        """
        self.protocol, self.given, self.default_networks = protocol, given, default_networks
        self.lacking = lacking or {}
        self.options: dict[str, Any] = {}
        self.departures: list[str] = []
        self.left_out = [
            f"{', '.join(protocol.numbers_of(name))}: not measured: {_without_place(why)}"
            for name, why in self.lacking.items()
        ]
        self.notes: list[str] = []
        task = given.get("task", protocol.task)
        if task != protocol.task:
            raise UsageError(f"--task {task}: protocol {protocol.name} is of {protocol.task}")
        self.task = get_task(task)
        self.options["task"] = task
        self.corpus = self._data()
        self.elsewhere = self.corpus is None
        self.own = self.corpus is not None and not default_networks

    def following(self) -> Following:
        self._clips()
        self._metrics()
        self._networks()
        self._told()
        if self.given.get("limit") is not None:
            self.departures.append(f"--limit {self.given['limit']}: the first samples alone")
        departures, left_out = tuple(dict.fromkeys([*self.departures, *self.left_out])), tuple(self.left_out)
        return Following(
            self.protocol, self.given, self.default_networks, self.corpus, self.own, self.options, departures,
            tuple(self.notes), left_out,
        )  # fmt: skip

    def _data(self) -> Corpus | None:
        """Dataset, split and folder; returns the paper's corpus where that is taken."""
        corpora = [corpus for corpus in self.protocol.corpora if corpus.dataset]
        dataset, root = self.given.get("dataset"), self.given.get("data_root")
        if dataset is not None:
            corpus = next((each for each in corpora if each.dataset == dataset), None)
        elif root is not None:
            if not corpora:
                raise UsageError(
                    f"--data-root {root}: say with --dataset, too, whose recordings lie there; protocol "
                    f"{self.protocol.name} names no dataset"
                )
            corpus = corpora[0]
        else:
            corpus = next((each for each in corpora if known_root(each.dataset)), None)
        dataset = dataset or (corpus.dataset if corpus else EMBEDDED)
        root = root or known_root(dataset)
        self._dataset_and_split(dataset, root, corpus)
        if corpus is None and self.protocol.corpora:
            names = "; or ".join(each.name for each in self.protocol.corpora)
            self.departures.append(f"{dataset}, {self.options['split']} split, in place of {names}")
        if corpora and "dataset" not in self.given:
            self.notes.append(self._which(corpus, corpora, root))
        return corpus

    def _dataset_and_split(self, dataset: str, root: Path | None, corpus: Corpus | None) -> None:
        from benchmark.registry import datasets

        first = next(iter(self.protocol.corpora), None)
        wanted = corpus or first
        split = wanted.split if wanted else "test"
        if corpus is None and split not in datasets.load(dataset).splits:
            split = "test"
        asked = self.given.get("split", split)
        if asked != split:
            self.departures.append(f"--split {asked}, where the protocol has {split}")
        self.options |= {"dataset": dataset, "split": asked}
        if root is not None:
            self.options["data_root"] = root

    def _which(self, corpus: Corpus | None, corpora: Sequence[Corpus], root: Path | None) -> str:
        """On whose recordings the run is."""
        name = self.protocol.name
        if corpus is None:
            asked = " or ".join(dict.fromkeys(each.dataset for each in corpora))
            return (
                f"protocol {name}: no {asked} is here, so Talkers takes its place. `python -m benchmark data info "
                f"{corpora[0].dataset}` says how it is had; give its folder with --data-root, or keep it, or a link to "
                f"it, as ${VARIABLE}/{corpora[0].dataset}"
            )
        others = [each.dataset for each in corpora if each.dataset != corpus.dataset]
        also = f"; --dataset {others[0]} takes the other corpus" if others else ""
        return f"protocol {name}: on {corpus.dataset} in {root}{also}"

    def _clips(self) -> None:
        """Length, runs, enrolment."""
        lengths = self.protocol.seconds
        there = [rule.seconds_elsewhere for rule in self.protocol.rules if rule.seconds_elsewhere is not None]
        usual = there if self.elsewhere and there else lengths[:1]
        self._one("seconds", (*usual, *lengths), "--seconds", shown_lengths(lengths), lambda each: f"{each:g}")
        repeats = [self.protocol.repeats] if self.protocol.repeats is not None else []
        self._one("repeats", repeats, "--repeats", "".join(map(str, repeats)))
        kept = self.protocol.enrolments
        self._one("enrolment", kept, "--enrolment", " or ".join(kept))

    def _one(self, name: str, kept: Sequence[Any], option: str, shown: str, say: Any = str) -> None:
        """The user's value, told where it is none of those that keep to the protocol; else the first of these."""
        if name in self.given:
            self.options[name] = self.given[name]
            if kept and self.given[name] not in kept:
                self.departures.append(f"{option} {say(self.given[name])}, where the protocol has {shown}")
        elif kept:
            self.options[name] = kept[0]

    def _metrics(self) -> None:
        """By name only where the task's own do not yield every number: those never fail for lack of a network."""
        every = dict.fromkeys(map(metric_of, self.protocol.numbers))
        wanted = tuple(name for name in every if name not in self.lacking)
        if "metrics" in self.given:
            self.options["metrics"] = tuple(self.given["metrics"])
            asked = [metric_of(name) for name in self.given["metrics"]]
            if lacking := [number for number in self.protocol.numbers if metric_of(number) not in asked]:
                self.departures.append(f"not asked for: {', '.join(lacking)}")
        elif not set(every) <= set(self.task.metrics):
            self.options["metrics"] = wanted

    def _networks(self) -> None:
        """The paper's, on its own corpus; the metrics' own elsewhere."""
        measured = [metric_of(name) for name in self.options.get("metrics", ())] or list(self.task.metrics)
        sets = list(self.given.get("metric_sets", ()))
        keys = {text.partition("=")[0] for text in sets}
        asked = self.given.get("face_network")
        network = asked or FACE_NETWORK
        others: list[Judge] = []
        for judge in self.protocol.judges:
            numbers = [number for number in judge.numbers if number in self.protocol.numbers]
            if not any(metric_of(number) in measured for number in numbers):
                continue
            kept = True
            if judge.face_network is not None and asked is not None:
                kept = asked == judge.face_network
            elif judge.face_network is not None and self.own:
                network = judge.face_network
            elif judge.face_network is not None:
                kept = False
            for text in judge.metric_sets:
                if text.partition("=")[0] in keys:
                    kept = kept and text in sets
                elif self.own:
                    sets.append(text)
                else:
                    kept = False
            if not kept:
                chosen = self._chosen_instead(judge.metric_sets, judge.face_network is not None)
                self.departures.append(f"{', '.join(numbers)}: by {chosen or judge.in_place}, not by {judge.name}")
                others.append(judge)
            elif judge.differs:
                self.departures.append(f"{', '.join(numbers)}: {judge.differs}")
        if wanted := [*_asked_for(others), *_getting(self.lacking.values())]:
            self.notes.append(f"protocol {self.protocol.name}: to judge as the paper does: {'; '.join(wanted)}")
        self.options["face_network"] = network
        self.options["metric_sets"] = _taken(sets, measured, given=self.given.get("metric_sets", ()))

    def _chosen_instead(self, sets: Iterable[str], of_faces: bool) -> str:
        """What the user asks for in a judge's place; empty where nothing is asked for."""
        keys = {text.partition("=")[0] for text in sets}
        own = [text for text in self.given.get("metric_sets", ()) if text.partition("=")[0] in keys]
        if of_faces and "face_network" in self.given:
            own.append(self.given["face_network"])
        return ", ".join(own)

    def _told(self) -> None:
        """What is said of the corpus and in the rules, of it what holds with these options."""
        remarks = [*self.corpus.differs] if self.corpus else []
        for rule in self.protocol.rules:
            remarks += [*rule.differs, *(rule.elsewhere if self.elsewhere else ())]
        self.departures += [remark.text for remark in remarks if remark.holds(self.options)]


def on_this_machine(following: Following, *, lenient: bool = False) -> Following:
    """The same, with its networks looked for.

    Elsewhere than on the paper's corpus, metrics that are no default ones and lack their network are left out, and that
    is told. Metrics that the user named are not looked at here: without their networks they stop the command anyway.

    Args:
        lenient: leave them out on the paper's corpus, too.

    Raises:
        MissingWeights: the paper's corpus is here and a network of the paper is not.
        PrerequisiteError: nothing is left to be measured.
    """
    protocol, named = following.protocol, following.options.get("metrics", ())
    if "metrics" in following.given:
        return following
    judged = [metric_of(number) for judge in protocol.judges for number in judge.numbers if number in protocol.numbers]
    default = () if following.own else get_task(protocol.task).metrics
    lacking = _lacking(following, [name for name in dict.fromkeys((*named, *judged)) if name not in default])
    if not lacking:
        return following
    if following.own and not lenient:
        by_reason: dict[str, list[str]] = {}
        for name, why in lacking.items():
            by_reason.setdefault(why, []).extend(protocol.numbers_of(name))
        raise MissingWeights(
            "\n".join(
                [
                    f"protocol {protocol.name}: networks of the paper are not on this machine:",
                    *(f"  {', '.join(numbers)}: {why}" for why, numbers in by_reason.items()),
                    "--default-networks measures by the metrics' own ones in their place, which are other definitions",
                ]
            )
        )
    if named and lacking.keys() >= set(named):
        raise PrerequisiteError(f"none of its metrics can be had: {next(iter(lacking.values()))}")
    filling = _Filling(protocol, following.given, following.default_networks, lacking if named else {})
    return filling.following()


def _asked_for(judges: Iterable[Judge]) -> list[str]:
    """How networks that do not judge here are asked for, and had where they are not here."""
    from benchmark.weights.networks import NETWORKS
    from benchmark.weights.table import is_here

    told = []
    for judge in judges:
        named = [text.rpartition(" ")[2].rpartition("=")[2].partition(":")[0] for text in judge.options]
        entries = [entry for name in named if name in NETWORKS and (entry := NETWORKS[name][1])]
        away = [f"`python -m benchmark weights fetch {entry}`" for entry in entries if not is_here(entry)]
        told.append(f"{' '.join(judge.options)}{' after ' + ' and '.join(away) if away else ''}")
    return told


def _getting(reasons: Iterable[str]) -> list[str]:
    """The commands that get weights which are not here."""
    names = [name for why in reasons for name in _ABSENT.findall(why)]
    return [f"`python -m benchmark weights fetch {name}`" for name in dict.fromkeys(names)]


def _without_place(why: str) -> str:
    """A reason without where it was looked: results are published, and tell nobody's folders."""
    return re.sub(r" \(looked for .*\)\.?$", "", why.splitlines()[0])


_ABSENT = re.compile(r"Weights '(\w+)' are not here")


def _lacking(following: Following, metrics: Iterable[str]) -> dict[str, str]:
    """Metric to the reason why it cannot be made here."""
    from benchmark.runs.scoring import make_metrics, metric_options
    from benchmark.weights.networks import Networks

    options, found = following.options, {}
    networks = Networks("cpu", options["dataset"])
    for name in metrics:
        sets = _taken(options["metric_sets"], [name])
        try:
            make_metrics([name], networks, metric_options([name], options["face_network"], sets))
        except (PrerequisiteError, ImportError, FileNotFoundError, ValueError) as error:
            found[name] = str(error)
    return found


def _taken(sets: Iterable[str], measured: Iterable[str], given: Sequence[str] = ()) -> tuple[str, ...]:
    """Of the options `KEY=VALUE` those that one of the metrics takes, and those that the user gave in any case."""
    import inspect

    from benchmark.registry import metrics as registry

    taken = {key for name in measured for key in inspect.signature(registry.load(name).create).parameters}
    return tuple(text for text in sets if text in given or text.partition("=")[0] in taken)
