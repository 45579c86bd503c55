"""VoxCeleb1 speech with manually filtered VGGFace portraits: the data of voice2face (Wen et al. 2019) and AVP-GAN."""

from __future__ import annotations

import string
from collections.abc import Iterable

from benchmark.datasets.dataset import Dataset
from benchmark.datasets.facts import Form, Published
from benchmark.datasets.manifest import Row
from benchmark.datasets.media_files import is_portrait
from benchmark.datasets.names import safe_ids, same
from benchmark.datasets.tables import read_table, sex_of
from benchmark.datasets.voxceleb import SpeakerFolders
from benchmark.errors import MissingDataset

_LETTERS = {"val": "AB", "test": "CDE", "train": string.ascii_uppercase[5:]}
_ID, _NAME, _SEX = "VoxCeleb1 ID", "VGGFace1 ID", "Gender"


class VGGFaceVoxCeleb1(Dataset):
    """The authors' layout with VoxCeleb1's recordings; split by the first letter of the name.

    F to Z train, A to E validate and test (voice2face). Which of A to E do which is not stated there. A and B for
    validation, C to E for the test is the division into whole, consecutive letters that gives the 112 and 189 people of
    the published 924/112/189: VoxCeleb1's table has 942, 116 and 193 such names, a few of them without portraits.
    """

    name = "vggface_voxceleb1"
    revision = "1"
    layout = """\
  data/vox1_meta.csv                  tab-separated: VoxCeleb1 ID, VGGFace1 ID, Gender, Nationality, Set
  data/VGG_ALL_FRONTAL/<Name>/*.jpg   the aligned portraits that voice2face's authors offer
  data/wav/<id>/<clip>/*.wav          the recordings of VoxCeleb1 (also below dev and test)"""
    landmarks = ("data/vox1_meta.csv", "data/VGG_ALL_FRONTAL", "VGG_ALL_FRONTAL")
    obtain = (
        "The aligned portraits, which unpack to VGG_ALL_FRONTAL; the table data/vox1_meta.csv of voice2face's "
        "repository; the sound of VoxCeleb1. The features of speech (fbank) that its authors offer too are "
        "not read."
    )
    where = (
        "https://github.com/cmu-mlsp/reconstructing_faces_from_voices holds the table and links to the "
        "portraits, as `Face data (aligned face images)` on Google Drive, no form; for the sound see `data "
        "info voxceleb1`."
    )
    terms = (
        "Those of VoxCeleb for the sound. The portraits state no licence of their own (the repository's "
        "GPL-3.0 is for its code): they are a selection from VGGFace, for research that earns nothing. The "
        "people are celebrities who were not asked: no identification of private persons, no impersonation."
    )
    use = "voice2face's and AVP-GAN's training and test."
    published = (Published("people with portraits", 1_225, r"(?:data/)?VGG_ALL_FRONTAL/([^/]+)/.+"),)
    forms = {"sound": Form(rate=16_000)}

    def rows(self, split: str, task: str) -> Iterable[Row]:
        """The people of one split who have both speech and faces; the others are named in `problems`."""
        root = self.media_root()
        base = root / "data" if (root / "data").is_dir() else root
        finder = self.finder()
        table = base / "vox1_meta.csv"
        people: dict[str, dict[str, str]] = {}
        for row in read_table(table, (_ID, _NAME, _SEX, "Nationality", "Set"), "\t"):
            if not row[_ID] or not row[_NAME]:
                finder.leave_out(table, f"line {row['line']}: no name or no speaker id")
            elif same(row[_NAME]) in people:
                finder.leave_out(table, f"line {row['line']}: {row[_NAME]!r} again; the first line counts")
            elif row[_NAME][0] not in string.ascii_uppercase:
                finder.leave_out(
                    table, f"line {row['line']}: {row[_NAME]!r} begins with no letter from A to Z: in no split"
                )
            else:
                people[same(row[_NAME])] = row
        place = next((base / name for name in ("wav", "raw_wav") if (base / name).is_dir()), None)
        if place is None:
            features = (
                f"; {base / 'fbank'} holds features, and the methods here start from sound"
                if (base / "fbank").is_dir()
                else ""
            )
            raise MissingDataset(f"{base / 'wav'} is missing: expected VoxCeleb1's recordings in it{features}")
        speech = SpeakerFolders([place], finder)
        speech.name_strangers(people.keys() | {row[_ID] for row in people.values()}, table.name)
        faces = {same(path.name): path for path in finder.folders(base / "VGG_ALL_FRONTAL")}
        for name in sorted(faces.keys() - people.keys()):
            finder.leave_out(faces[name], f"no row of {table.name} has this name")
        ids = safe_ids(people)
        wanted = [(name, people[name]) for name in sorted(people) if name[0] in _LETTERS[split]]
        heard = speech.recordings((row[_ID], name) for name, row in wanted)
        for (name, row), recordings in zip(wanted, heard, strict=True):
            portraits = list(finder.media(faces[name], is_portrait)) if name in faces else []
            if not recordings or not portraits:
                lacking = "recording" if portraits else "portrait" if recordings else "recording and no portrait"
                self.problems.append(f"{table.name}, line {row['line']}: {name!r} has no usable {lacking}")
                continue
            sex = sex_of(row[_SEX])
            attributes = {"sex": sex} if sex else {}
            yield Row(ids[name], ids[name], {"speech": tuple(recordings)}, {"face": tuple(portraits)}, attributes)
