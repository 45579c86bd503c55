"""Talkers as a dataset: built where it is missing, one split and one task at a time.

    <home>/talkers/<generator>/<split>.<task>.<lister>.jsonl    the manifest, written last: a split with one is whole
    <home>/talkers/<generator>/<split>/speech/<id>/<k>.flac     16 kHz, 6 sentences of the GRID grammar
    <home>/talkers/<generator>/<split>/faces/<id>/<k>.png       128 x 128, 4 portraits; speech2face
    <home>/talkers/<generator>/<split>/video/<id>/<k>.mp4       112 x 112, 25 fps, with sound; the tasks with lips

`generator` is a hash of the code that makes voices and faces, `lister` of the code that writes manifests: what older
code has left is never taken for what this code makes. Manifests hold traits, texts, lengths and landmarks, but no
hashes of media, which codecs may change between machines.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar

from benchmark.datasets.dataset import Dataset, Progress
from benchmark.datasets.facts import Form
from benchmark.datasets.manifest import Manifest, Row, read_manifest, write_manifest
from benchmark.datasets.mixtures import (
    GRIDS,
    SNRS_DB,
    Utterance,
    lip_snrs,
    noisy_rows,
    two_talker_rows,
    with_enrolments,
)
from benchmark.datasets.population import Population
from benchmark.datasets.talkers import population
from benchmark.datasets.talkers.build import Job, announced, build, known_facts
from benchmark.datasets.talkers.identity import REVISION, SPLITS, Person, people
from benchmark.datasets.talkers.sentences import sentences
from benchmark.errors import MissingDataset, UsageError
from benchmark.processes import DEATHS, JobKills, cores, each
from benchmark.sources import source_of_modules

_FIELDS = {
    "speech2face": ("speech", "face"),
    "av_enhancement": ("speech", "video"),
    "av_separation": ("speech", "video"),
    "lip2speech": ("speech", "video"),
}
_MIXED = ("av_enhancement", "av_separation", "lip2speech")
_PEOPLE = {"test_snr": "test"}
"""Splits that are another list of mixtures of the same people."""
_PER_SPEAKER = {"val": 2, "test": 2, "test_snr": 4}
"""Utterances of each person in a mixing list; all of them in training."""


class Talkers(Dataset):
    """The generated corpus of talking people: 400, 50 and 100 identities, no download, no licence to agree to."""

    name: ClassVar[str] = "talkers"
    revision: ClassVar[str] = REVISION
    splits: ClassVar[tuple[str, ...]] = (*SPLITS, *_PEOPLE)
    tasks: ClassVar[tuple[str, ...]] = tuple(_FIELDS)
    layout: ClassVar[str] = "nothing: the corpus is generated"
    obtain: ClassVar[str] = "Nothing: it is generated here, from a seed."
    where: ClassVar[str] = "This package: `data build talkers`."
    terms: ClassVar[str] = (
        "That of this package. Nobody is depicted: faces and voices are drawn, so that nobody's consent is needed "
        "and no private data are held."
    )
    use: ClassVar[str] = (
        "The default of every command. What is reached on it says how a method compares under known conditions, "
        "not how it does on people."
    )
    forms: ClassVar[Mapping[str, Form]] = {"sound": Form(rate=16_000), "video": Form(fps=25, size=(112, 112))}
    needs_root: ClassVar[bool] = False

    def __init__(self, root: Path | None, home: Path, *, workers: int | None = None, limit: int | None = None) -> None:
        """
        Args:
            root: unused; there is nothing to point at.
            home: the folder in which it is built, about 170 MB for the splits of `speech2face`.
            workers: processes that build; by default as many as there are cores.
            limit: the first so many people of each split, under a manifest of their own.
        """
        super().__init__(root, home)
        if workers is not None and workers < 1:
            raise UsageError(f"Expected at least 1 worker but got {workers}")
        if limit is not None and limit < 1:
            raise UsageError(f"Expected a limit of at least 1 but got {limit}")
        self.workers, self.limit = workers or cores(), limit

    def media_root(self) -> Path:
        return self.home / "talkers" / _generator()

    def people(self, split: str) -> list[Person]:
        """The persons of a split, or the first `limit` of them."""
        return people(_PEOPLE.get(split, split))[: self.limit]

    def open(
        self, split: str, task: str, progress: Progress | None = None, *, fields: Sequence[str] | None = None
    ) -> Manifest:
        """Read the manifest of one split for one task; build first what is missing.

        Args:
            progress: told of every finished job as (done, total, what), and before the first.
            fields: only these of the task's (`("face",)`), under a manifest of their own that names no others. Lists
                of mixtures always name both of theirs.
        """
        self.check(split, task)
        if split in _PEOPLE and task not in GRIDS:
            raise UsageError(f"Split '{split}' of Talkers is a grid of SNRs for {' and '.join(GRIDS)}, not for {task}")
        wanted = self._wanted(task, fields)
        path = self.media_root() / f"{split}.{task}{self._part(task, wanted)}.{_lister()}.jsonl"
        return self._opened(path, split, task, _all_there, lambda: self._build(split, task, wanted, progress))

    def draw(self, wanted: Population, part: str, task: str, progress: Progress | None = None) -> Manifest:
        """Read the manifest of a part of a population; build first what is missing of it.

        A manifest is believed where every file that it names is listed in its folder.
        """
        self.check(self.splits[0], task)
        root = self.home / "talkers" / _generator("benchmark.datasets.talkers.population_media") / "population"
        persons = population.everyone(root, wanted, part, task)
        path = root / f"{part}.{task}.{population.asked(persons)}.{_lister()}.jsonl"
        return self._opened(
            path,
            part,
            task,
            population.all_there,
            lambda: population.rows(persons, population.build(persons, self.workers, progress), part, task),
        )

    def _opened(
        self, path: Path, split: str, task: str, whole: Callable[[Manifest], bool], make: Callable[[], Iterable[Row]]
    ) -> Manifest:
        """The manifest at `path`, made anew unless it is there and `whole`; its paths are relative to its folder."""
        if path.is_file():
            try:
                manifest = read_manifest(path, path.parent)
                if whole(manifest):
                    return manifest
            except MissingDataset:
                path.unlink(missing_ok=True)
        try:
            about = {"dataset": self.name, "revision": self.revision, "split": split, "task": task}
            return write_manifest(path, make(), **about)
        except OSError as error:
            raise MissingDataset(
                f"Talkers cannot be built in {path.parent} ({error.strerror or error}): "
                "set FACEVOICE_BENCH_HOME to a folder that can be written and has room"
            ) from error

    def rows(self, split: str, task: str) -> Iterable[Row]:
        """The samples of one split, built where missing."""
        return self._build(split, task, self._wanted(task, None), None)

    def _wanted(self, task: str, fields: Sequence[str] | None) -> tuple[str, ...]:
        known = _FIELDS[task]
        for field in fields or ():
            if field not in known:
                raise UsageError(f"Task '{task}' of Talkers has no field '{field}'; it has: {', '.join(known)}")
        return tuple(field for field in known if not fields or task in _MIXED or field in fields)

    def _part(self, task: str, wanted: tuple[str, ...]) -> str:
        part = "" if wanted == _FIELDS[task] else "." + "+".join(wanted)
        return part + (f".first{self.limit}" if self.limit else "")

    def _build(self, split: str, task: str, wanted: tuple[str, ...], progress: Progress | None) -> list[Row]:
        folder, persons = self.media_root() / _PEOPLE.get(split, split), self.people(split)
        jobs = [Job(folder, kind, person) for person in persons for kind in wanted]
        facts: dict[tuple[str, str], dict[str, Any]] = {}
        waiting = []
        for job in jobs:
            if (found := known_facts(job)) is None:
                waiting.append(job)
            else:
                facts[job.kind, job.person.id] = found
        workers = min(self.workers, len(waiting))
        about = announced(waiting, workers) if waiting else ""
        if progress and waiting:
            progress(len(facts), len(jobs), about)
        for job, made in _run(waiting, workers):
            facts[job.kind, job.person.id] = made
            if progress:
                progress(len(facts), len(jobs), about)
        if task in _MIXED:
            spoken = [u for person in persons for u in _utterances(self.media_root(), folder, person, facts)]
            of, some = f"talkers {split}", _PER_SPEAKER.get(split)
            if task == "av_separation":
                return list(two_talker_rows(spoken, of=of, per_speaker=some))
            if task == "lip2speech":
                mixtures = noisy_rows(spoken, of=of, per_speaker=some, snrs_db=lip_snrs(split))
                return list(with_enrolments(mixtures, spoken, of=of))
            grid = {"snrs_db": SNRS_DB} if split == "test_snr" else {}
            return list(noisy_rows(spoken, of=of, per_speaker=some, **grid))
        return [row for person in persons for row in _rows_of_people(self.media_root(), folder, person, wanted, facts)]


@functools.cache
def _generator(module: str = "benchmark.datasets.talkers.build") -> str:
    """Hash of what makes the media: a module with all its drawing, how files are written, and the synthesiser."""
    import inspect

    from benchmark.media import pictures, sound, video

    writers = (sound.write_audio, pictures.write_image, video.write_video, video._encode_sound)
    espeak = metadata.version("espeakng-loader")
    also = "".join(inspect.getsource(writer) for writer in writers) + f"espeakng-loader {espeak}"
    return source_of_modules(module, within=("benchmark.datasets.talkers", "benchmark.types"), also=also)


@functools.cache
def _lister() -> str:
    """Hash of what writes the manifests."""
    return source_of_modules(__name__, within=("benchmark.datasets", "benchmark.media.mixing", "benchmark.types"))


def _rows_of_people(
    root: Path, folder: Path, person: Person, wanted: tuple[str, ...], facts: dict[tuple[str, str], dict[str, Any]]
) -> Iterator[Row]:
    files = {kind: tuple(_relative(root, file) for file in Job(folder, kind, person).files) for kind in wanted}
    attributes = person.attributes()
    if "speech" in wanted:
        samples = facts["speech", person.id]["samples"]
        attributes["texts"] = [sentence.text for sentence in sentences(person.id, len(samples))]
        attributes["samples"] = samples
    if "face" in wanted:
        attributes["landmarks"] = facts["face", person.id]["landmarks"]
    inputs = {kind: files[kind] for kind in wanted if kind == "speech"}
    targets = {kind: files[kind] for kind in wanted if kind == "face"}
    yield Row(person.id, person.id, inputs, targets, attributes)


def _utterances(
    root: Path, folder: Path, person: Person, facts: dict[tuple[str, str], dict[str, Any]]
) -> Iterator[Utterance]:
    speech, video = (Job(folder, kind, person).files for kind in ("speech", "video"))
    for number, sentence in enumerate(sentences(person.id, len(speech))):
        about = {**person.attributes(), "text": sentence.text, "code": sentence.code}
        about["samples"] = facts["speech", person.id]["samples"][number]
        about["frames"] = facts["video", person.id]["frames"][number]
        files = (_relative(root, kind[number]) for kind in (speech, video))
        yield Utterance(f"{person.id}_{number}", person.id, *files, about)


def _run(jobs: list[Job], workers: int) -> Iterator[tuple[Job, dict[str, Any]]]:
    """Do the jobs, in whatever order they end."""
    try:
        yield from each(build, jobs, workers)
    except JobKills as error:
        raise MissingDataset(
            f"Talkers cannot be built: the process that made the {error.job.kind} of {error.job.person.id} "
            f"died {DEATHS} times, perhaps for lack of memory"
        ) from error


def _all_there(manifest: Manifest) -> bool:
    """Whether every file that the manifest names is on disk and not empty."""
    paths = {
        path
        for sample in manifest.samples
        for fields in (sample.inputs, sample.targets)
        for files in fields.values()
        for path in files
    }
    try:
        return all(os.stat(path).st_size for path in paths)
    except OSError:
        return False


def _relative(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix()
