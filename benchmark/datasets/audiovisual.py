"""What the adapters of corpora with talking faces share: they list utterances, and the rows are mixtures of them."""

from __future__ import annotations

import re
import sys
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

from benchmark.datasets.dataset import Dataset
from benchmark.datasets.manifest import Row
from benchmark.datasets.media_files import MediaFinder
from benchmark.datasets.mixtures import GRIDS, SNRS_DB, lip_snrs, noisy_rows, two_talker_rows, with_enrolments
from benchmark.datasets.names import SafeIds, same
from benchmark.datasets.noise_lists import missing_noise_list, noise_files, noise_list
from benchmark.datasets.pair_lists import pair_list, pair_rows
from benchmark.datasets.prepared import framed_as_prepared
from benchmark.datasets.spilled import Spilled
from benchmark.datasets.utterances import Utterance, Utterances
from benchmark.errors import UsageError
from benchmark.types import derive_seed

_SHOWN = 10
"""Problems of one kind that are named; a corpus of a million files may have as many."""


class AudioVisualCorpus(Dataset):
    """A corpus that has a video for every recording.

    Utterances are mixed with recordings of noise where there are any in the root, else with noises that are made
    (`av_enhancement`), or with another person's speech (`av_separation`). A published list of pairs in the root defines
    the mixtures of `test` instead. `test_snr` is the test utterances over the grid of SNRs. For `lip2speech` the
    mixtures are what enhancers are given beside it, at its own SNRs.
    """

    splits: ClassVar[tuple[str, ...]] = ("train", "val", "test", "test_snr")
    tasks: ClassVar[tuple[str, ...]] = ("av_enhancement", "av_separation", "lip2speech")
    pair_lists: ClassVar[tuple[str, ...]] = ()
    """Names of published lists of pairs of the test split, without suffix."""

    @abstractmethod
    def utterances(self, split: str, finder: MediaFinder) -> Utterances:
        """The usable utterances of `train`, `val` or `test`, with the names that a list of pairs gives them."""

    def check(self, split: str, task: str) -> None:
        super().check(split, task)
        if split == "test_snr" and task not in GRIDS:
            grids = " and ".join(GRIDS)
            raise UsageError(f"Split '{split}' of {self.name} is a grid of SNRs for {grids}, not for {task}")

    def rows(self, split: str, task: str) -> Iterator[Row]:
        """The mixtures of one split; the files that are left out are named in `problems`, the first few of a kind."""
        root = self.media_root()
        finder = self.finder()
        part = "test" if split == "test_snr" else split
        pairs = pair_list(root, self.pair_lists) if split == "test" and task != "lip2speech" else None
        noises = noise_list(root, part, finder) if pairs and task == "av_enhancement" else None
        if pairs and task == "av_enhancement" and noises is None:
            raise missing_noise_list(root, part, pairs.name)
        spoken = framed_as_prepared(root, self.utterances(part, finder))
        of = f"{self.name} {split}"
        if not spoken:
            pass
        elif pairs:
            yield from pair_rows(pairs, spoken, self.problems, noises)
        elif task == "av_separation":
            if not spoken.of_several():
                self.problems.append("all utterances are of one person: there is nobody else to talk over them")
            yield from two_talker_rows(spoken, of=of)
        elif task == "lip2speech":
            mixtures = noisy_rows(spoken, of=of, snrs_db=lip_snrs(split), recorded=noise_files(root, part, finder))
            yield from with_enrolments(mixtures, spoken, of=of)
        else:
            levels = SNRS_DB if split == "test_snr" else (0.0,)
            yield from noisy_rows(spoken, of=of, snrs_db=levels, recorded=noise_files(root, part, finder))
        self.problems[:] = shortened(self.problems)


def speaker_of(name: str) -> str:
    """The first part of `<speaker>/<video>/<utterance>`."""
    return name.partition("/")[0]


def spoken_by(
    speech: Spilled[str],
    video: Spilled[str],
    finder: MediaFinder,
    about: Callable[[str], Mapping[str, Any]],
    speaker: Callable[[str], str] = speaker_of,
) -> Utterances:
    """The utterances that have both speech and video; the others are named in the finder's problems.

    Args:
        speech, video: name of the utterance to its file.
        about: the attributes of an utterance, by its name.
        speaker: who says it, by its name.
    """
    for files, others, lacking in ((video, speech, "recording"), (speech, video, "video")):
        for file in (file for _, file, other in _together(files, others) if other is None):
            finder.leave_out(finder.root / file, f"no usable {lacking} goes with it")

    def both() -> Iterator[tuple[str, str, str]]:
        return ((name, own, other) for name, own, other in _together(speech, video) if other is not None)

    people: Spilled[str] = Spilled()

    def names() -> Iterator[str]:
        last = ""
        for name, _, _ in both():
            yield name
            if (person := speaker(name)) != last:
                people.offer(person, "")
            last = person

    ids = SafeIds(names())
    persons = SafeIds(people)
    return Utterances(
        (name, Utterance(ids[name], persons[speaker(name)], own, seen, about(name))) for name, own, seen in both()
    )


def _together(files: Spilled[str], others: Spilled[str]) -> Iterator[tuple[str, str, str | None]]:
    """Names in order, each with its file and, where there is one, the other file of this name."""
    besides = others.in_order()
    name, other = next(besides, (None, None))
    for key, file in files.in_order():
        while name is not None and name < key:
            name, other = next(besides, (None, None))
        yield key, file, other if name == key else None


def with_own_sound(video: Spilled[str], speech: Spilled[str], finder: MediaFinder) -> None:
    """Let videos that no recording goes with be heard themselves; those that cannot be are left out of `video`.

    Args:
        video, speech: name of the utterance to its file; both are changed.
    """

    def mute() -> Iterator[tuple[str, str]]:
        return ((name, file) for name, file, other in _together(video, speech) if other is None)

    heard = finder.lengths(file for _, file in mute())
    for name, file in mute():
        if file in heard:
            speech.offer(name, file)
        else:
            del video[name]


def name_below(file: str, folder: str) -> str:
    """The name of an utterance, in one normal form: its file's path below a folder, without the suffix.

    >>> name_below("dev/wav/id1/clip/00001.wav", "dev/wav")
    'id1/clip/00001'
    """
    below = file if folder == "." else file.removeprefix(f"{folder}/")
    parents, slash, last = below.rpartition("/")
    return sys.intern(same(f"{parents}{slash}{last.rpartition('.')[0] or last}"))


def held_out(corpus: str, speaker: str) -> bool:
    """Whether a speaker of the training part is kept for validation: one in 50, drawn by name."""
    return derive_seed("held out", corpus, speaker) % 50 == 0


def shortened(problems: list[str]) -> list[str]:
    """The first few problems of each kind, and how many more there are; a kind differs in names and numbers only."""
    reasons = [re.split(r"['\"]: ", line, maxsplit=1)[-1] for line in problems]
    kinds: dict[str, list[int]] = {}
    for index, reason in enumerate(reasons):
        kinds.setdefault(re.sub(r"'.*'|\".*\"|\d+", "", reason), []).append(index)
    shown = []
    for lines in kinds.values():
        shown += [problems[index] for index in lines[:_SHOWN]]
        if len(lines) > _SHOWN:
            shown.append(f"... and {len(lines) - _SHOWN} more of this kind: {reasons[lines[0]]}")
    return shown
