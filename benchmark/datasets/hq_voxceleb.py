"""HQ-VoxCeleb (Bai et al. 2020, SF2F): VoxCeleb1 and 2 speech with filtered, frontal, background-free portraits."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from benchmark.datasets.dataset import Dataset
from benchmark.datasets.facts import Published
from benchmark.datasets.manifest import Row
from benchmark.datasets.media_files import MediaFinder, is_portrait
from benchmark.datasets.names import safe_ids, same
from benchmark.datasets.tables import read_table, sex_of
from benchmark.datasets.voxceleb import SpeakerFolders
from benchmark.errors import MissingDataset, UsageError
from benchmark.text_files import read_text


@dataclass(frozen=True)
class _Subset:
    """One of the two corpora, and how its table names things."""

    name: str
    table: str
    delimiter: str
    speaker: str
    person: str
    sex: str
    others: tuple[str, ...]
    """Further columns of the published table, for the error message alone."""

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.speaker, self.person, self.sex)


_SUBSETS = (
    _Subset("vox1", "vox1_meta.csv", "\t", "VoxCeleb1 ID", "VGGFace1 ID", "Gender", ("Nationality", "Set")),
    _Subset("vox2", "full_vox2_meta.csv", ",", "VoxCeleb2ID", "Name", "Gender_x", ()),
)


class HQVoxCeleb(Dataset):
    """The published layout and split; a person with both speech and faces is one sample.

    Row i of each table (counted from 0) is in `test` where i % 10 is 8, in `val` where it is 9, else in `train`, unless
    `split.json` lists the names itself. Ids begin with the corpus, so that samples are sorted as the authors sort them,
    VoxCeleb1 first and then by name.
    """

    name = "hq_voxceleb"
    revision = "1"
    layout = """\
  VoxCeleb/vox1/vox1_meta.csv                            tab-separated: VoxCeleb1 ID, VGGFace1 ID, Gender, ...
  VoxCeleb/vox2/full_vox2_meta.csv                       Class_ID,Name,...,Gender_x,VoxCeleb2ID,VGGFace2ID,Gender_y,Set
  VoxCeleb/{vox1,vox2}/masked_faces/<Name>/*             the portraits of HQ-VoxCeleb
  VoxCeleb/raw_wav/{vox1,vox2}/{dev,test}/<id>/<clip>/*  the recordings (wav of VoxCeleb1, m4a of VoxCeleb2)
  VoxCeleb/split.json                                    optional: {"vox1": {"train": [names], "val": ...}}"""
    landmarks = ("VoxCeleb/vox1", "VoxCeleb/vox2", "data/VoxCeleb", "vox1/vox1_meta.csv", "vox2/full_vox2_meta.csv")
    obtain = (
        "The portraits of HQ-VoxCeleb (masked_faces of its archive), two tables, and the sound of VoxCeleb1 "
        "and VoxCeleb2, unpacked below raw_wav. The tables are VoxCeleb1's vox1_meta.csv and "
        "full_vox2_meta.csv, which SF2F's scripts read: look for it in the archive; where else it is handed "
        "out is not known here."
    )
    where = (
        "https://github.com/SF2F/HQ-VoxCeleb links to the archive of portraits (Google Drive, no form); "
        "https://github.com/BAI-Yeqi/SF2F_PyTorch says in GETTING_STARTED.md how it is laid out. For the "
        "sound and for vox1_meta.csv see `data info voxceleb1` and `data info voxceleb2`."
    )
    terms = (
        "Those of VoxCeleb for the sound. Of the portraits no licence is known here but that of SF2F's code, "
        "which their page shows: they come from VGGFace and VGGFace2, for research. The people are "
        "celebrities who were not asked: no identification of private persons, no impersonation."
    )
    use = "SF2F's training and test (Tables 2 to 4), and voice2face beside it."
    published = (
        Published("people with portraits", 3_638, r"(?:data/)?(?:VoxCeleb/)?(vox[12]/masked_faces/[^/]+)/.+"),
        Published("portraits", 8_028, r"(?:data/)?(?:VoxCeleb/)?vox[12]/masked_faces/[^/]+/.+"),
    )

    def rows(self, split: str, task: str) -> Iterable[Row]:
        """The people of one split who have both speech and faces; the others are named in `problems`."""
        root = self.media_root()
        base = next((root / place for place in ("VoxCeleb", "data/VoxCeleb") if (root / place).is_dir()), root)
        present = [subset for subset in _SUBSETS if (base / subset.name).is_dir()]
        for subset in _SUBSETS:
            if subset not in present:
                self.problems.append(f"'{subset.name}': this half of the corpus is not here")
        finder = self.finder()
        chosen = _listed(base / "split.json")
        for subset in present:
            yield from self._subset_rows(subset, base, split, chosen, finder)

    def _subset_rows(
        self, subset: _Subset, base: Path, split: str, chosen: dict[str, dict[str, list[str]]], finder: MediaFinder
    ) -> Iterable[Row]:
        table = base / subset.name / subset.table
        people: dict[str, tuple[dict[str, str], str]] = {}
        for index, row in enumerate(read_table(table, subset.columns, subset.delimiter)):
            person = same(row[subset.person])
            if person in people:
                finder.leave_out(table, f"line {row['line']}: {row[subset.person]!r} again; the first line counts")
            elif not row[subset.person] or not row[subset.speaker]:
                finder.leave_out(table, f"line {row['line']}: no name or no speaker id")
            else:
                people[person] = row, {8: "test", 9: "val"}.get(index % 10, "train")
        listed = chosen.get(subset.name)
        by_row = [name for name, (_, own) in people.items() if own == split]
        names = by_row if listed is None else [same(name) for name in listed.get(split, [])]
        speech = SpeakerFolders([base / "raw_wav" / subset.name], finder)
        faces = {same(path.name): path for path in finder.folders(base / subset.name / "masked_faces")}
        for name in sorted(faces.keys() - people.keys()):
            finder.leave_out(faces[name], f"no row of {subset.table} has this name")
        speech.name_strangers({row[subset.speaker] for row, _ in people.values()}, subset.table)
        ids = safe_ids(people)
        self.problems += [
            f"split.json lists {name!r}, and no row of {subset.table} has this name"
            for name in sorted(set(names) - people.keys())
        ]
        wanted = [(name, people[name][0]) for name in sorted(set(names) & people.keys())]
        heard = speech.recordings([row[subset.speaker]] for _, row in wanted)
        for (name, row), recordings in zip(wanted, heard, strict=True):
            portraits = list(finder.media(faces[name], is_portrait)) if name in faces else []
            if not recordings or not portraits:
                lacking = "recording" if portraits else "portrait" if recordings else "recording and no portrait"
                self.problems.append(f"{subset.table}, line {row['line']}: {name!r} has no usable {lacking}")
                continue
            person = f"{subset.name}-{ids[name]}"
            sex = sex_of(row[subset.sex])
            yield Row(
                person,
                person,
                {"speech": tuple(recordings)},
                {"face": tuple(portraits)},
                {"sex": sex} if sex else {},
            )


def _listed(path: Path) -> dict[str, dict[str, list[str]]]:
    """Corpus to split to names, where `split.json` states them."""
    expected = 'expected {"vox1": {"train": [names], "val": [names], "test": [names]}, "vox2": ...}'
    try:
        listed = json.loads(read_text(path)) if path.exists() else {}
    except (UsageError, ValueError) as error:
        raise MissingDataset(f"{path} cannot be read ({error}); {expected}, or no such file") from error
    sound = isinstance(listed, dict) and all(
        isinstance(splits, dict)
        and all(isinstance(names, list) and all(isinstance(name, str) for name in names) for names in splits.values())
        for splits in listed.values()
    )
    if not sound:
        raise MissingDataset(f"{path} has another form; {expected}, or no such file")
    return listed
