"""VoxCeleb1 (Nagrani et al. 2017): utterances of 1,251 celebrities, sound alone, with their sex and nationality."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from benchmark.datasets.audiovisual import held_out, shortened
from benchmark.datasets.dataset import Dataset
from benchmark.datasets.facts import Form, Published
from benchmark.datasets.manifest import Row
from benchmark.datasets.mixtures import with_enrolments
from benchmark.datasets.names import safe_ids, same
from benchmark.datasets.tables import read_table, sex_of
from benchmark.datasets.utterances import Utterance, Utterances
from benchmark.datasets.voxceleb import TERMS, SpeakerFolders
from benchmark.errors import MissingDataset

_TABLE = "vox1_meta.csv"
_ID, _NAME, _SEX, _NATION, _SET = "VoxCeleb1 ID", "VGGFace1 ID", "Gender", "Nationality", "Set"


class VoxCeleb1(Dataset):
    """The published layout; the 40 speakers of its verification test are the `test`, and of the others one in 50
    validates.

    For faces (`speech2face`) a speaker is a sample, with all recordings and no portrait: faces are made, and judged by
    what needs no true one. For lips to speech an utterance is: nobody is seen, so methods can only learn from it.
    """

    name: ClassVar[str] = "voxceleb1"
    revision: ClassVar[str] = "1"
    tasks: ClassVar[tuple[str, ...]] = ("speech2face", "lip2speech")
    layout: ClassVar[str] = """\
  vox1_meta.csv                             tab-separated: VoxCeleb1 ID, VGGFace1 ID, Gender, Nationality, Set
  {dev,test}/wav/<id>/<video>/<number>.wav  the recordings; also wav/<id>/... without dev and test"""
    landmarks: ClassVar[tuple[str, ...]] = (_TABLE, "dev/wav", "test/wav", "dev/id1*", "test/id1*", "wav/id1*")
    obtain: ClassVar[str] = (
        "The table vox1_meta.csv and the archives vox1_dev_wav and vox1_test_wav, unpacked. The lists of pairs for "
        "verification (veri_test2.txt) are not read: no task here verifies speakers."
    )
    where: ClassVar[str] = (
        "https://mm.kaist.ac.kr/datasets/voxceleb/ hands out the files, by a form, and has the table at "
        "meta/vox1_meta.csv; https://www.robots.ox.ac.uk/~vgg/data/voxceleb/vox1.html describes the corpus "
        "and has its files no more."
    )
    terms: ClassVar[str] = TERMS
    use: ClassVar[str] = (
        "The voices of hq_voxceleb and vggface_voxceleb1, which need its files in their own layouts. Alone: faces "
        "made of voices whose portraits are not at hand, and speech for LipDiffuser to learn from."
    )
    published: ClassVar[tuple[Published, ...]] = (
        Published("speakers of dev", 1_211, r"dev/(?:wav/)?([^/]+)/.+\.wav"),
        Published("utterances of dev", 148_642, r"dev/(?:wav/)?[^/]+/[^/]+/[^/]+\.wav"),
        Published("speakers of test", 40, r"test/(?:wav/)?([^/]+)/.+\.wav"),
        Published("utterances of test", 4_874, r"test/(?:wav/)?[^/]+/[^/]+/[^/]+\.wav"),
        Published("speakers", 1_251, r"wav/([^/]+)/.+\.wav"),
        Published("utterances", 153_516, r"wav/[^/]+/[^/]+/[^/]+\.wav"),
    )
    forms: ClassVar[Mapping[str, Form]] = {"sound": Form(rate=16_000)}

    def rows(self, split: str, task: str) -> Iterator[Row]:
        """Attributes `sex` and `nationality`; inputs `speech` of a speaker, or targets `speech` of an utterance."""
        root = self.media_root()
        finder = self.finder()
        people: dict[str, dict[str, str]] = {}
        for row in read_table(root / _TABLE, (_ID, _NAME, _SEX, _NATION, _SET), "\t"):
            part = row[_SET].lower()
            if not row[_ID] or part not in ("dev", "test"):
                finder.leave_out(root / _TABLE, f"line {row['line']}: expected a speaker's id, and dev or test as Set")
            elif same(row[_ID]) in people:
                finder.leave_out(root / _TABLE, f"line {row['line']}: {row[_ID]!r} again; the first line counts")
            else:
                people[same(row[_ID])] = row
        parts = [root / name for name in ("dev", "test", "wav") if (root / name).is_dir()]
        if not parts:
            raise MissingDataset(f"{root} holds no recordings. Expected:\n{self.layout}")
        speech = SpeakerFolders(parts, finder)
        speech.name_strangers(people.keys(), _TABLE)
        wanted = [name for name in sorted(people) if name in speech and _split_of(people[name]) == split]
        if lacking := sum(_split_of(row) == split and name not in speech for name, row in people.items()):
            self.problems.append(f"{_TABLE}: {lacking} of the speakers of {split} have no folder here")
        ids = safe_ids(people)
        heard = speech.recordings([name] for name in wanted)

        def voices() -> Iterator[Row]:
            for name, recordings in zip(wanted, heard, strict=True):
                row = people[name]
                about = {"sex": sex_of(row[_SEX]), "nationality": row[_NATION] or None}
                about = {key: value for key, value in about.items() if value}
                if recordings:
                    yield Row(ids[name], ids[name], {"speech": tuple(recordings)}, {}, about)
                else:
                    self.problems.append(f"{_TABLE}, line {row['line']}: {row[_ID]!r} has no usable recording")

        if task == "speech2face":
            yield from voices()
        else:
            spoken = Utterances.of(
                _utterance(one.speaker, file, one.attributes) for one in voices() for file in one.inputs["speech"]
            )
            rows = (Row(one.id, one.speaker, {}, {"speech": (one.speech,)}, one.attributes) for one in spoken)
            yield from with_enrolments(rows, spoken, of=f"{self.name} {split}")
        self.problems[:] = shortened(self.problems)


def _split_of(row: Mapping[str, str]) -> str:
    if row[_SET].lower() == "test":
        return "test"
    return "val" if held_out("voxceleb1", same(row[_ID])) else "train"


def _utterance(speaker: str, file: str, about: Mapping[str, str]) -> Utterance:
    """Named by the last three parts of its path: speaker, video, number."""
    video, number = Path(file).parts[-2:]
    return Utterance(f"{speaker}_{video}_{Path(number).stem}", speaker, file, None, about)
