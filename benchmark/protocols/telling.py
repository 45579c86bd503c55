"""A protocol for people: what the paper does, what is done here, and what is not the same. Plain text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from benchmark.protocols.book import Corpus, Judge, PaperProtocol, Remark, Rule, shown_lengths


@dataclass(frozen=True)
class Part:
    """One choice of an evaluation."""

    about: str
    paper: str
    """What the paper says, with the place."""
    here: str
    """What is done here; empty where nobody has a say in it."""
    decided: str = ""
    differs: str = ""
    elsewhere: str = ""
    """What is not the same on another corpus than the paper's."""


def parts(protocol: PaperProtocol) -> Iterator[Part]:
    """Everything that is said of a protocol: data, rules, networks."""
    for place, corpus in enumerate(protocol.corpora):
        yield _of_corpus(corpus, first=place == 0)
    yield from map(_of_rule, protocol.rules)
    for judge in protocol.judges:
        yield _of_judge(protocol, judge)


def text(protocol: PaperProtocol) -> str:
    """All of it, a paragraph for each choice."""
    lines = [
        f"{protocol.name}: {protocol.title} ({', '.join(filter(None, [protocol.paper, protocol.place]))})",
        "",
        f"task: {protocol.task}",
        f"numbers: {', '.join(protocol.numbers)}",
        f"any method by it: python -m benchmark run --protocol {protocol.name} --method METHOD",
    ]
    for part in parts(protocol):
        lines += ["", part.about]
        for head, said in (
            ("paper", part.paper),
            ("here", part.here),
            ("decided", part.decided),
            ("not the same", part.differs),
            ("on another corpus", part.elsewhere),
        ):
            lines += [f"  {head}: {said}"] if said else []
    return "\n".join(lines)


def _said(what: str, place: str) -> str:
    return f"{what} ({place})" if place else what


def _of_corpus(corpus: Corpus, first: bool) -> Part:
    here = f"--dataset {corpus.dataset}, {corpus.split} split" if corpus.dataset else corpus.reason
    here += "; taken where it is at hand, else Talkers" if first and corpus.dataset else ""
    return Part("data", _said(corpus.name, corpus.place), here, differs=_joined(corpus.differs))


def _joined(remarks: Iterable[Remark]) -> str:
    return "; ".join(map(str, remarks))


def _of_rule(rule: Rule) -> Part:
    options = []
    if rule.seconds:
        others = shown_lengths(rule.seconds[1:])
        options.append(shown_lengths(rule.seconds[:1]) + (f"; {others} by --seconds" if others else ""))
    if rule.repeats is not None:
        options.append(f"--repeats {rule.repeats}")
    if rule.enrolment:
        others = " or ".join(rule.enrolment[1:])
        options.append(f"--enrolment {rule.enrolment[0]}" + (f"; {others} as well" if others else ""))
    prepare = rule.prepare and f"`python -m benchmark data prepare {rule.prepare}` makes the like of other material"
    here = "; ".join([*options, *filter(None, [rule.ours, prepare])])
    differs, elsewhere = _joined(rule.differs), _joined(rule.elsewhere)
    return Part(rule.about, _said(rule.paper, rule.place), here, rule.decided, differs, elsewhere)


def _of_judge(protocol: PaperProtocol, judge: Judge) -> Part:
    numbers = ", ".join(number for number in judge.numbers if number in protocol.numbers)
    asked = " ".join(judge.options)
    return Part(
        f"network inside {numbers}",
        _said(judge.name, judge.place),
        f"{asked}, on the paper's corpus; on another, and with --default-networks, {judge.in_place}",
        judge.decided,
        judge.differs,
    )
