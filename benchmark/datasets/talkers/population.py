"""Talkers beyond the splits: as many people as a training asks for, with numbers of their own.

    <root>/<part>.<task>.<asked>.<lister>.jsonl    the manifest, written last
    <root>/{speech,faces64,video}/...              see `population_media`

`root` is named by a hash of the code that makes the media. The first people of a larger population are those of a
smaller one, and so are the first portraits and recordings of a person: what is there is never made again. A row says
sex, age and what is spoken; further traits, which no training is told, follow from the person's number.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from benchmark.datasets.dataset import Progress
from benchmark.datasets.manifest import Manifest, Row
from benchmark.datasets.mixtures import Utterance, lip_snrs, noisy_rows, two_talker_rows, with_enrolments
from benchmark.datasets.population import TRAINING, VALIDATION, Population
from benchmark.datasets.talkers.identity import person
from benchmark.datasets.talkers.phonemes import phonemes_of
from benchmark.datasets.talkers.population_media import CORE_S, Wanted, make, portrait_core_s
from benchmark.datasets.talkers.sentences import sentences
from benchmark.errors import InvalidConfig, MissingDataset, UsageError
from benchmark.processes import JobKills, each

NUMBERS = {TRAINING: range(100_000, 1_000_000), VALIDATION: range(90_000, 100_000)}
"""Of the people of each part; the splits have numbers below 90,000."""
_FRAME = 640
"""Samples of a video frame."""


def everyone(root: Path, population: Population, part: str, task: str) -> list[Wanted]:
    """What is wanted of each person of a part for a task.

    Raises:
        UsageError: no such part.
        InvalidConfig: more people than there are numbers; nobody; nothing of a kind that the task needs.
    """
    if part not in NUMBERS:
        raise UsageError(f"A population has the parts {', '.join(NUMBERS)}; got '{part}'")
    name = "people" if part == TRAINING else "validation"
    count, numbers = getattr(population, name), NUMBERS[part]
    if not 0 < count <= len(numbers):
        raise InvalidConfig(f"population.{name} = {count}; Talkers draws 1 to {len(numbers)} of them")
    taken = population.taken(task)
    videos = taken.get("videos", 0) if part == TRAINING else min(taken.get("videos", 0), 1)
    recordings = max(taken.get("sentences", 0), videos)
    portraits, size = taken.get("portraits", 0), population.portrait_size
    return [Wanted(root, number, recordings, portraits, size, videos) for number in numbers[:count]]


def asked(wanted: list[Wanted]) -> str:
    """`8000people.4speech.2faces64`: what a manifest of these people is called."""
    one = wanted[0]
    kinds = {"speech": one.recordings, f"faces{one.portrait_size}": one.portraits, "video": one.videos}
    return ".".join([f"{len(wanted)}people", *(f"{count}{kind}" for kind, count in kinds.items() if count)])


def all_there(manifest: Manifest) -> bool:
    """Whether every file lies in its folder; each folder is listed once, and no file is looked at."""
    folders = _Folders()
    return all(
        folders.hold(files)
        for sample in manifest.samples
        for fields in (sample.inputs, sample.targets)
        for files in fields.values()
    )


def build(wanted: list[Wanted], workers: int, progress: Progress | None) -> dict[int, tuple[int, ...]]:
    """Make what is missing; the samples of each person's recordings, by their numbers."""
    folders = _Folders()
    waiting = [one for one in wanted if not folders.hold(one.files())]
    workers = min(workers, len(waiting))
    about = _announced(waiting, workers) if waiting else ""
    # of those who are there only headers are read
    lengths = {one.number: make(one) for one in wanted if folders.hold(one.files())}
    if progress and waiting:
        progress(len(lengths), len(wanted), about)
    try:
        for one, made in each(make, waiting, workers):
            lengths[one.number] = made
            if progress:
                progress(len(lengths), len(wanted), about)
    except JobKills as error:
        raise MissingDataset(f"Talkers cannot be built: at the files of {error.job.id} {error}") from error
    return lengths


def rows(wanted: list[Wanted], lengths: Mapping[int, tuple[int, ...]], part: str, task: str) -> Iterator[Row]:
    """The rows of a part, as the splits have them for the task."""
    if task == "speech2face":
        return (_row_of_person(one, lengths[one.number]) for one in wanted)
    read = task == "lip2speech"
    spoken = [utterance for one in wanted for utterance in _utterances(one, lengths[one.number], read)]
    filmed, of = [utterance for utterance in spoken if utterance.video], f"talkers {part}"
    if task == "lip2speech":
        return with_enrolments(noisy_rows(filmed or spoken, of=of, snrs_db=lip_snrs("train")), spoken, of=of)
    return (two_talker_rows if task == "av_separation" else noisy_rows)(filmed, of=of)


def _row_of_person(one: Wanted, lengths: tuple[int, ...]) -> Row:
    about = {**_attributes(one), "texts": [said.text for said in sentences(one.id, one.recordings)]}
    about["samples"] = list(lengths)
    return Row(one.id, one.id, {"speech": _relative(one, one.speech())}, {"face": _relative(one, one.faces())}, about)


def _utterances(one: Wanted, lengths: tuple[int, ...], read: bool) -> Iterator[Utterance]:
    """A person's recordings; where lips are to be `read`, those with video tell when which phoneme is spoken."""
    about = _attributes(one)
    speech, video = _relative(one, one.speech()), _relative(one, one.video())
    for k, said in enumerate(sentences(one.id, one.recordings)):
        more = {"text": said.text, "code": said.code, "samples": lengths[k], "frames": lengths[k] // _FRAME}
        if read and k < one.videos:
            more["phonemes"] = phonemes_of(one.number, said)
        yield Utterance(f"{one.id}_{k}", one.id, speech[k], video[k] if k < one.videos else None, {**about, **more})


def _attributes(one: Wanted) -> dict[str, object]:
    who = person(one.number).attributes()
    return {"sex": who["sex"], "age": who["age"]}


def _relative(one: Wanted, files: list[Path]) -> tuple[str, ...]:
    return tuple(file.relative_to(one.root).as_posix() for file in files)


class _Folders:
    """The names in folders, each listed once."""

    def __init__(self) -> None:
        self._names: dict[str, frozenset[str]] = {}

    def hold(self, files: Iterable[Path]) -> bool:
        places = (str(file).rpartition(os.sep) for file in files)
        return all(name in self._listed(folder) for folder, _, name in places)

    def _listed(self, folder: str) -> frozenset[str]:
        if folder not in self._names:
            try:
                self._names[folder] = frozenset(os.listdir(folder))
            except FileNotFoundError:
                self._names[folder] = frozenset()
        return self._names[folder]


def _announced(waiting: list[Wanted], workers: int) -> str:
    """`8000 people, about 10 minutes on 2 free cores, once`."""
    one = waiting[0]
    each_s = (
        one.recordings * CORE_S["speech"]
        + one.videos * CORE_S["video"]
        + one.portraits * portrait_core_s(one.portrait_size)
    )
    minutes = max(1, round(len(waiting) * each_s / workers / 60))
    cores = f"{workers} free cores" if workers > 1 else "a free core"
    return f"{len(waiting)} people, at most about {minutes} min on {cores}, once"
