"""LibriSpeech (Panayotov et al. 2015): read books, sound alone; LipDiffuser learns from it what speech is like."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import ClassVar

from benchmark.datasets.audiovisual import shortened
from benchmark.datasets.dataset import Dataset
from benchmark.datasets.facts import Form, Published
from benchmark.datasets.manifest import Row
from benchmark.datasets.media_files import MediaFinder
from benchmark.datasets.mixtures import with_enrolments
from benchmark.datasets.names import SafeIds, same
from benchmark.datasets.spilled import Spilled
from benchmark.datasets.tables import sex_of
from benchmark.datasets.utterances import Utterance, Utterances
from benchmark.errors import MediaError, UsageError
from benchmark.media import check_header, is_audio
from benchmark.text_files import read_lines

SUBSETS = {
    "train": ("train-clean-100", "train-clean-360", "train-other-500"),
    "val": ("dev-clean", "dev-other"),
    "test": ("test-clean", "test-other"),
}
"""The corpus's own; the training ones have 960 hours together."""
_WORDS = ".trans.txt"


class LibriSpeech(Dataset):
    """The published layout. Nobody is seen, so that no method that reads lips can be evaluated on it.

    For faces (`speech2face`) a speaker is a sample, with all recordings and no portrait.
    """

    name: ClassVar[str] = "librispeech"
    revision: ClassVar[str] = "1"
    tasks: ClassVar[tuple[str, ...]] = ("lip2speech", "speech2face")
    layout: ClassVar[str] = """\
  <subset>/<speaker>/<chapter>/<speaker>-<chapter>-<number>.flac   subsets train-clean-100, dev-clean, test-clean ...;
                                                                   all of it may lie in a folder LibriSpeech
  <subset>/<speaker>/<chapter>/<speaker>-<chapter>.trans.txt       the words, a recording on each line
  SPEAKERS.TXT                                                     optional: <speaker> | <F or M> | ...
  <speaker>/...                                                    or, without subsets: a few speakers, to test on"""
    landmarks: ClassVar[tuple[str, ...]] = ("train-*", "dev-*", "test-*", "LibriSpeech/*-*", "[1-9]*/*-*-*.flac")
    obtain: ClassVar[str] = "The archives of the subsets that are wanted, train-clean-100 to test-other, unpacked."
    where: ClassVar[str] = "https://www.openslr.org/12 (no form)."
    terms: ClassVar[str] = (
        "CC BY 4.0, from recordings in the public domain. The readers gave their voices to LibriVox for any use, "
        "under names of their choice."
    )
    use: ClassVar[str] = (
        "LipDiffuser learns from its 960 hours what speech is like, before it sees lips. Its voices, to make faces of."
    )
    published: ClassVar[tuple[Published, ...]] = (
        Published("recordings of train-clean-100", 28_539, r"(?:LibriSpeech/)?train-clean-100/.+\.flac"),
        Published("recordings of train-clean-360", 104_014, r"(?:LibriSpeech/)?train-clean-360/.+\.flac"),
        Published("recordings of train-other-500", 148_688, r"(?:LibriSpeech/)?train-other-500/.+\.flac"),
        Published("recordings of dev-clean", 2_703, r"(?:LibriSpeech/)?dev-clean/.+\.flac"),
        Published("recordings of dev-other", 2_864, r"(?:LibriSpeech/)?dev-other/.+\.flac"),
        Published("recordings of test-clean", 2_620, r"(?:LibriSpeech/)?test-clean/.+\.flac"),
        Published("recordings of test-other", 2_939, r"(?:LibriSpeech/)?test-other/.+\.flac"),
    )
    forms: ClassVar[Mapping[str, Form]] = {"sound": Form(rate=16_000)}

    def rows(self, split: str, task: str) -> Iterator[Row]:
        """One row for each recording: targets `speech`, inputs `enrolment` and that of a decoy; no video, no noise.

        Or one for each speaker, with inputs `speech`.
        """
        root = self.media_root()
        base = root / "LibriSpeech" if (root / "LibriSpeech").is_dir() else root
        finder = self.finder()
        sexes = _sexes(base / "SPEAKERS.TXT", finder)
        files: Spilled[str] = Spilled()
        texts: Spilled[str] = Spilled()
        known = [name for names in SUBSETS.values() for name in names if (base / name).is_dir()]
        speakers = [path for name in SUBSETS[split] if name in known for path in finder.folders(base / name)]
        inside = [] if known else [path for path in finder.entries(base) if path.is_dir()]
        alone = [path for path in inside if path.name.isdecimal()]
        if alone:
            if split != "test":
                raise UsageError(
                    f"A folder of speakers has only the split 'test', not '{split}': {base} holds no subset as "
                    "train-clean-100"
                )
            speakers = alone
            for path in inside:
                if path not in alone:
                    finder.leave_out(path, "expected a folder named by a speaker's number")
        for _, found in finder.media_of(speakers, _is_medium, _check):
            for file in found:
                path = PurePosixPath(file)
                if path.name.lower().endswith(_WORDS):
                    texts.update(_said(root / file, finder))
                elif path.stem.count("-") == 2:
                    files.offer(same(path.stem), file)
                else:
                    finder.leave_out(root / file, "a stray file: expected <speaker>-<chapter>-<number>")
        if task == "speech2face":
            self.problems[:] = shortened(self.problems)
            yield from _voices(files, sexes)
            return
        ids = SafeIds(files)

        def about(name: str) -> dict[str, str]:
            known = {"text": texts.get(name), "sex": sexes.get(name.partition("-")[0])}
            if known["text"] is None:
                where = f"{name.rpartition('-')[0]}{_WORDS}"
                finder.leave_out(root / files[name], f"used without its words: there is no line of it in {where}")
            return {key: value for key, value in known.items() if value is not None}

        spoken = Utterances(
            (name, Utterance(ids[name], name.partition("-")[0], file, None, about(name)))
            for name, file in files.items()
        )
        self.problems[:] = shortened(self.problems)
        rows = (Row(one.id, one.speaker, {}, {"speech": (one.speech,)}, one.attributes) for one in spoken)
        yield from with_enrolments(rows, spoken, of=f"{self.name} {split}")


def _voices(files: Spilled[str], sexes: Mapping[str, str]) -> Iterator[Row]:
    """All recordings of each speaker."""
    for speaker, own in itertools.groupby(files.in_order(), key=lambda pair: pair[0].partition("-")[0]):
        about = {"sex": sexes[speaker]} if speaker in sexes else {}
        yield Row(speaker, speaker, {"speech": tuple(file for _, file in own)}, {}, about)


def _sexes(table: Path, finder: MediaFinder) -> dict[str, str]:
    """Speaker to sex, as far as the table states it; lines that begin with `;` are remarks."""
    if not table.is_file():
        return {}
    try:
        lines = [line.split("|") for line in read_lines(table) if not line.startswith(";")]
    except UsageError as error:
        finder.leave_out(table, str(error).removeprefix(str(table)).lstrip(":, "))
        return {}
    found = {cells[0].strip(): sex_of(cells[1].strip()) for cells in lines if len(cells) > 1}
    return {speaker: sex for speaker, sex in found.items() if sex}


def _said(path: Path, finder: MediaFinder) -> dict[str, str]:
    try:
        lines = [line.partition(" ") for line in read_lines(path)]
    except UsageError as error:
        finder.leave_out(path, str(error).removeprefix(str(path)).lstrip(":, "))
        return {}
    return {same(name): " ".join(said.split()) for name, _, said in lines if said.strip()}


def _is_medium(path: Path) -> bool:
    return is_audio(path) or path.name.lower().endswith(_WORDS)


def _check(path: Path) -> None:
    if is_audio(path):
        check_header(path)
    elif not path.is_file():
        raise MediaError(f"{path}: is not a regular file")
