"""What is known of each sample, and groups that are made of it: by sex, by decades of age, by SNR, by anything.

Attributes of a run's samples are those of its manifest's rows: `sex`, `age`, `noise`, `snr_db`, and what else the
corpus tells (`face.skin_tone` is `skin_tone` within `face`). Those of files that were scored against files come from
the user's table of speakers; they lie in a manifest beside the scores.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.datasets.dataset import Progress
from benchmark.datasets.manifest import Manifest, read_manifest
from benchmark.datasets.places import known_root
from benchmark.errors import MissingDataset, UsageError, did_you_mean
from benchmark.results.comparison import Scored
from benchmark.results.schema import PairResult, RunSpec
from benchmark.types import Sample

NOT_STATED = "not stated"
"""The group of samples of which the attribute is not known."""
MOST = 24
"""Groups at most."""
FEW_VALUES = 8
"""A number with no more values than this is not cut: each is a group."""
UNITS = {"_db": " dB", "_hz": " Hz", "_s": " s", "_ms": " ms"}
"""Endings of names, and how their numbers are printed."""
FILE = "manifest.jsonl"
"""What is known of files that were scored, beside their scores."""


@dataclass(frozen=True)
class Known:
    """A sample that was asked for."""

    speaker: str
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class Grouping:
    """Samples by what is known of them."""

    name: str
    """The attribute, `sex`; of two at once `sex, snr_db`."""
    of: Mapping[str, str]
    """Sample to its group."""
    labels: tuple[str, ...]
    """All groups in order: by size of the number or by name; `NOT_STATED` last."""
    cut: str = ""
    """How numbers were cut, in words; empty where they were not."""

    @property
    def stated(self) -> tuple[str, ...]:
        """Groups that say something."""
        return tuple(label for label in self.labels if label != NOT_STATED)

    @property
    def of_two(self) -> bool:
        """Whether the groups are held against one another, and not each against all others."""
        return len(self.stated) == 2

    @property
    def against(self) -> str:
        """What a difference is: `f less m`, or `less all others`."""
        return f"{self.stated[0]} less {self.stated[1]}" if self.of_two else "less all others"

    @property
    def file_stem(self) -> str:
        """`by_sex`, `by_face.skin_tone`: a safe file name."""
        return "by_" + (re.sub(r"[^A-Za-z0-9._-]+", "_", self.name).strip("_.-")[:60] or "attribute")


# -- where attributes come from ---------------------------------------------------------------------------------------


def known_samples(run: Scored, data_root: Path | None = None, progress: Progress | None = None) -> dict[str, Known]:
    """Every sample that a run was asked for, or file that was scored, in order.

    Args:
        data_root: where the corpus lies, where that is not where the run found it.
        progress: told of what a generated corpus that is not here is built of.

    Raises:
        UsageError: nothing is known of the files that were scored.
        MissingDataset: the manifest is not found, or is not that of the run.
    """
    if isinstance(run.result, PairResult):
        return _of_files(run)
    manifest = manifest_of(run, data_root, progress)
    return {each.id: Known(each.speaker, each.attributes) for each in manifest.samples[: run.samples]}


def manifest_of(run: Scored, data_root: Path | None = None, progress: Progress | None = None) -> Manifest:
    """The manifest that a run was made from: where the run found it, else as the dataset's adapter gives it now.

    Raises:
        MissingDataset: it is not found, or the data are not those of the run.
    """
    from benchmark.registry import datasets
    from benchmark.runs.directory import RunDirectory
    from benchmark.weights.table import home

    spec = run.result.spec
    assert isinstance(spec, RunSpec)
    about = RunDirectory(run.path).read_run() if run.path.is_dir() else {}
    root = data_root or (Path(about["root"]) if isinstance(about.get("root"), str) else known_root(spec.dataset))
    if data_root is None and root is not None and isinstance(about.get("manifest"), str):
        try:
            kept = read_manifest(Path(about["manifest"]), root)
        except MissingDataset:  # made elsewhere, or cleaned away since
            kept = None
        if kept is not None and kept.sha256 == spec.manifest_sha256:
            return kept
    kind = datasets.load(spec.dataset)
    if kind.needs_root and (root is None or not root.is_dir()):
        where = f"it was made from {root}, which is no folder here" if root else "its file does not say where they lie"
        raise MissingDataset(
            f"What is known of the speakers of {run.name} stands with the data of '{spec.dataset}', and {where}: say "
            "where the corpus lies with --data-root"
        )
    found = kind(root if kind.needs_root else None, home()).open(spec.split, spec.task, progress)
    if found.sha256 != spec.manifest_sha256:
        raise MissingDataset(
            f"{run.name} was made from manifest {spec.manifest_sha256[:12]} of '{spec.dataset}' {spec.split}; here it "
            f"is {found.sha256[:12]} ({found.path}): the data have changed, and who is in which group is not known"
        )
    return found


def _of_files(run: Scored) -> dict[str, Known]:
    folder = run.path if run.path.is_dir() else run.path.parent
    if not (folder / FILE).is_file():
        raise UsageError(
            f"Nothing is known of the files of {run.name} but whose they are: {folder / FILE} is not there. Score them "
            "with a table that tells more of each speaker: `score --speakers TABLE`"
        )
    return known_of(read_manifest(folder / FILE, folder).samples)


def known_of(samples: Iterable[Sample]) -> dict[str, Known]:
    """The same of samples that are open already."""
    return {each.id: Known(each.speaker, each.attributes) for each in samples}


# -- groups -----------------------------------------------------------------------------------------------------------


def parsed(text: str) -> list[tuple[str, tuple[float, ...]]]:
    """Names of attributes, each with the edges that it is to be cut at.

    >>> parsed("age:18,30.5,sex")
    [('age', (18.0, 30.5)), ('sex', ())]

    Raises:
        UsageError: edges that are no ascending numbers, or no name, or more than two.
    """
    found: list[tuple[str, list[float]]] = []
    for part in (part.strip() for part in text.split(",")):
        name, colon, first = part.partition(":")
        edge = _number(first if colon else part)
        if colon:
            found.append((name.strip(), []))
            if edge is None:
                raise UsageError(f"--by {text}: expected a number behind '{name}:', got '{first}'; as in age:18,30,50")
        if edge is not None:
            if not found:
                raise UsageError(f"--by {text}: expected an attribute first, as in age:18,30,50")
            found[-1][1].append(edge)
        elif not colon:
            found.append((part, []))
    for name, edges in found:
        if not name:
            raise UsageError(f"--by '{text}': expected attributes with commas between, as in sex or sex,snr")
        if any(one >= two for one, two in zip(edges, edges[1:], strict=False)):
            raise UsageError(f"--by {text}: the edges of {name} have to ascend")
    if len(found) > 2:
        raise UsageError(f"--by {text}: at most two attributes are crossed; give --by several times for several tables")
    return [(name, tuple(edges)) for name, edges in found]


def grouped_by(text: str, samples: Mapping[str, Known], of: str) -> Grouping:
    """Groups of samples, as `--by` names them.

    Args:
        text: as `parsed` reads it. A name may leave out what it lies within (`skin_tone` of `face.skin_tone`) and its
            unit (`snr` of `snr_db`).
        of: what the samples are of, for messages.

    Raises:
        UsageError: no such attribute, or one that makes no groups.
    """
    flat = {sample: flattened(known.attributes) for sample, known in samples.items()}
    names = sorted({name for each in flat.values() for name in each})
    made = []
    for asked, edges in parsed(text):
        name = _resolved(asked, names, of)
        values = {sample: each.get(name) for sample, each in flat.items()}
        made.append(_by_one(name, values, edges, {sample: known.speaker for sample, known in samples.items()}))
    if len(made) == 1:
        return made[0]
    return _crossed(*made)


def flattened(attributes: Mapping[str, Any], within: str = "") -> dict[str, str | bool | int | float]:
    """Text and numbers by dotted name; lists, and what has no value, are left out.

    >>> flattened({"sex": "f", "age": None, "face": {"skin_tone": 0.2}, "landmarks": [[1, 2]]})
    {'sex': 'f', 'face.skin_tone': 0.2}
    """
    found: dict[str, str | bool | int | float] = {}
    for key, value in attributes.items():
        name = f"{within}{key}"
        if isinstance(value, Mapping):
            found |= flattened(value, f"{name}.")
        elif isinstance(value, str):
            if text := " ".join(value.split()):
                found[name] = text
        elif isinstance(value, bool | int | float) and math.isfinite(value):
            found[name] = value
    return found


def _resolved(asked: str, names: Sequence[str], of: str) -> str:
    """The attribute that is meant."""
    if asked in names:
        return asked
    for fits in (
        [name for name in names if name.rpartition(".")[2] == asked],
        [name for name in names if any(name.rpartition(".")[2] == asked + unit for unit in UNITS)],
    ):
        if len(fits) == 1:
            return fits[0]
        if fits:
            raise UsageError(f"--by {asked}: several attributes are called so: {', '.join(fits)}")
    if not names:
        raise UsageError(f"--by {asked}: nothing is known of the samples of {of} but who speaks")
    short = {name.rpartition(".")[2]: name for name in names}
    raise UsageError(
        f"--by {asked}: nothing of that name is known of the samples of {of}.{did_you_mean(asked, [*names, *short])} "
        f"Known: {', '.join(names)}"
    )


def _by_one(name: str, values: Mapping[str, Any], edges: tuple[float, ...], speakers: Mapping[str, str]) -> Grouping:
    stated = {sample: value for sample, value in values.items() if value is not None}
    numbers = {sample: _number(value) for sample, value in stated.items()}
    unit = next((unit for ending, unit in UNITS.items() if name.endswith(ending)), "")
    if any(number is None for number in numbers.values()):
        if edges:
            example = next(str(value) for sample, value in stated.items() if numbers[sample] is None)
            raise UsageError(f"--by {name}: only numbers can be cut at edges, and '{example}' is none")
        texts = {sample: _text(value) for sample, value in stated.items()}
        order, cut = sorted(set(texts.values())), ""
    else:
        known = {sample: number for sample, number in numbers.items() if number is not None}
        texts, order, cut = _numbers(name, known, edges, unit, speakers)
    if len(order) > MOST:
        raise UsageError(
            f"--by {name}: {len(order)} different values in {len(stated)} samples are too many groups (at most {MOST})"
            + ("; cut it at edges of your own, as in age:18,30,50" if cut else "")
        )
    of = {sample: texts.get(sample, NOT_STATED) for sample in values}
    return Grouping(name, of, (*order, *([NOT_STATED] if len(stated) < len(values) else [])), cut)


def _numbers(
    name: str, numbers: Mapping[str, float], edges: tuple[float, ...], unit: str, speakers: Mapping[str, str]
) -> tuple[dict[str, str], list[str], str]:
    """Sample to group, the groups in order, and how they were cut: at edges; age by decades; few values as they are;
    else into thirds of the speakers."""
    if edges:
        cut = f"cut at {', '.join(f'{edge:g}' for edge in edges)}"
    elif name.rpartition(".")[2] == "age":
        decades = {sample: math.floor(number / 10) for sample, number in numbers.items()}
        labels = {decade: f"{10 * decade}s" if decade > 0 else "0 to 9" for decade in sorted(set(decades.values()))}
        return {sample: labels[decade] for sample, decade in decades.items()}, list(labels.values()), "by decades"
    elif len(set(numbers.values())) <= FEW_VALUES:
        labels = {number: f"{number:g}{unit}" for number in sorted(set(numbers.values()))}
        return {sample: labels[number] for sample, number in numbers.items()}, list(labels.values()), ""
    else:
        own: dict[str, list[float]] = {}
        for sample, number in numbers.items():
            own.setdefault(speakers[sample], []).append(number)
        middles = [float(np.mean(each)) for each in own.values()]
        edges = _rounded(np.quantile(middles, [1 / 3, 2 / 3]), min(numbers.values()), max(numbers.values()))
        cut = "cut into thirds of the speakers"
    ends = [f"{edge:g}{unit}" for edge in edges]
    labels = [f"under {ends[0]}", *(f"{a} to {b}" for a, b in zip(ends, ends[1:], strict=False)), f"from {ends[-1]}"]
    places = {sample: int(np.searchsorted(edges, number, "right")) for sample, number in numbers.items()}
    present = set(places.values())
    return (
        {sample: labels[place] for sample, place in places.items()},
        [label for place, label in enumerate(labels) if place in present],
        cut,
    )


def _rounded(edges: Iterable[float], least: float, most: float) -> tuple[float, ...]:
    """Edges by as few digits, two at least, as leave some numbers on the outer sides: of years, two are too few."""
    exact = list(edges)
    tried = [tuple(dict.fromkeys(float(f"{edge:.{digits}g}") for edge in exact)) for digits in range(2, 7)]
    return next((each for each in tried if len(each) == 2 and least < each[0] and each[1] <= most), tried[0])


def _crossed(one: Grouping, two: Grouping) -> Grouping:
    def label(first: str, second: str) -> str:
        return NOT_STATED if NOT_STATED in (first, second) else f"{first}, {second}"

    of = {sample: label(group, two.of[sample]) for sample, group in one.of.items()}
    present = set(of.values())
    order = [label(first, second) for first in one.stated for second in two.stated]
    labels = [each for each in order if each in present] + [NOT_STATED] * (NOT_STATED in present)
    if len(labels) > MOST:
        raise UsageError(f"--by {one.name},{two.name}: {len(labels)} groups are too many (at most {MOST})")
    cut = "; ".join(f"{each.name} {each.cut}" for each in (one, two) if each.cut)
    return Grouping(f"{one.name}, {two.name}", of, tuple(labels), cut)


def _text(value: str | bool | int | float) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else f"{value:g}"


def _number(value: Any) -> float | None:
    """As a number where it is one, or text that reads as one."""
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
