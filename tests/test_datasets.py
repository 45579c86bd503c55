from __future__ import annotations

import hashlib
import json
import os
import re
import string
from pathlib import Path

import numpy as np
import pytest

from benchmark.datasets.dataset import Dataset
from benchmark.datasets.folder import Folder
from benchmark.datasets.hq_voxceleb import HQVoxCeleb
from benchmark.datasets.manifest import Manifest, Row, read_manifest, write_manifest
from benchmark.datasets.names import safe_ids
from benchmark.datasets.vggface_voxceleb1 import VGGFaceVoxCeleb1
from benchmark.errors import MissingDataset, UsageError
from benchmark.media import read_audio, read_image, write_audio, write_image, write_video
from benchmark.types import Audio

REALDATA = os.environ.get("FACEVOICE_REALDATA")
VOX1_HEADER = "VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet"
VOX2_HEADER = "Class_ID,Name,Sample_Num,Flag,Gender_x,VoxCeleb2ID,VGGFace2ID,Gender_y,Set"


def speech(path: Path, value: float = 0.1) -> Path:
    write_audio(path, Audio(np.full(1600, value, np.float32), 16_000))
    return path


def face(path: Path, value: int = 100) -> Path:
    write_image(path, np.full((8, 8, 3), value, np.uint8))
    return path


def text(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return path


def opened(kind: type[Dataset], root: Path, tmp_path: Path, split: str = "test") -> Manifest:
    return kind(root, tmp_path / "home").open(split, "speech2face")


def ids(manifest: Manifest) -> list[str]:
    return [sample.id for sample in manifest.samples]


def has(manifest: Manifest, *words: str) -> bool:
    """One line of problems holds all the words."""
    return any(all(word in line for word in words) for line in manifest.problems)


# ---- folder


@pytest.fixture
def people(tmp_path: Path) -> Path:
    root = tmp_path / "my people"
    speech(root / "Zoë Smith" / "2.wav")
    speech(root / "Zoë Smith" / "deep" / "er" / "1.flac")
    face(root / "Zoë Smith" / "b.png")
    face(root / "Zoë Smith" / "deep" / "a.png")
    speech(root / "s1" / "x.wav")
    face(root / "s1" / "1.png")
    return root


def test_folder_lists_each_person_once_with_sorted_files(people: Path, tmp_path: Path) -> None:
    manifest = opened(Folder, people, tmp_path)
    assert ids(manifest) == ["Zoe_Smith", "s1"] and manifest.problems == ()
    zoe = manifest.samples[0]
    assert [path.relative_to(people).as_posix() for path in zoe.inputs["speech"]] == [
        "Zoë Smith/2.wav",
        "Zoë Smith/deep/er/1.flac",
    ]
    assert [path.relative_to(people).as_posix() for path in zoe.targets["face"]] == [
        "Zoë Smith/b.png",
        "Zoë Smith/deep/a.png",
    ]
    assert all(
        path.is_file() for sample in manifest.samples for path in (*sample.inputs["speech"], *sample.targets["face"])
    )


def test_a_corpus_is_found_where_the_user_keeps_corpora(people: Path, tmp_path: Path, monkeypatch) -> None:
    kept = tmp_path / "corpora"
    kept.mkdir()
    monkeypatch.setenv("FACEVOICE_BENCH_DATA", str(kept))
    with pytest.raises(MissingDataset, match=r"no --data-root was given, and \$FACEVOICE_BENCH_DATA/folder is not"):
        Folder(None, tmp_path / "home").open("test", "speech2face")
    (kept / "folder").symlink_to(people)
    found = Folder(None, tmp_path / "home").open("test", "speech2face")
    assert found.sha256 == opened(Folder, people, tmp_path).sha256
    assert Folder(tmp_path, tmp_path / "home").root == tmp_path, "what is given wins"


def test_folder_reads_videos_for_their_sound(people: Path, tmp_path: Path) -> None:
    frames = np.zeros((5, 16, 16, 3), np.uint8)
    write_video(people / "v" / "talk.mp4", frames, 25, Audio(np.zeros(3200, np.float32), 16_000))
    write_video(people / "v" / "mute.mp4", frames, 25)
    face(people / "v" / "1.png")
    manifest = opened(Folder, people, tmp_path)
    assert [path.name for path in manifest.samples[-1].inputs["speech"]] == ["talk.mp4"]
    assert has(manifest, "v/mute.mp4", "no sound track")


def test_folder_names_what_it_leaves_out(people: Path, tmp_path: Path) -> None:
    text(people / "s1" / ".DS_Store", "x")
    text(people / "s1" / "notes.txt", "x")
    text(people / "s1" / "empty.wav", "")
    text(people / "s1" / "fake.wav", "this is text")
    text(people / "s1" / "fake.jpg", "this is text")
    text(people / "stray.txt", "x")
    speech(people / "no face" / "1.wav")
    face(people / "mute" / "1.png")
    (people / "nothing").mkdir()
    manifest = opened(Folder, people, tmp_path)
    assert ids(manifest) == ["Zoe_Smith", "s1"]
    assert len(manifest.samples[1].inputs["speech"]) == 1
    for name, reason in {
        "s1/.DS_Store": "not a kind",
        "s1/notes.txt": "not a kind",
        "s1/empty.wav": "0 bytes",
        "s1/fake.wav": "begins with",
        "s1/fake.jpg": "begins with",
        "stray.txt": "stray",
        "'no face'": "no usable face",
        "'mute'": "no usable speech",
        "'nothing'": "no usable speech and no face",
    }.items():
        assert has(manifest, name, reason), (name, manifest.problems)
    assert len(manifest.problems) == 9
    assert not any(str(people) in line for line in manifest.problems)  # the manifest is the same wherever the data lie


def test_folder_rejects_links_that_lead_out(people: Path, tmp_path: Path) -> None:
    secret = speech(tmp_path / "elsewhere" / "secret.wav")
    (people / "s1" / "out.wav").symlink_to(secret)
    (people / "s1" / "gone.wav").symlink_to(tmp_path / "nowhere.wav")
    (people / "s1" / "loop").symlink_to(people / "s1")
    (people / "away").symlink_to(tmp_path / "elsewhere")
    (people / "s1" / "again.wav").symlink_to(people / "s1" / "x.wav")
    manifest = opened(Folder, people, tmp_path)
    assert [path.name for path in manifest.samples[1].inputs["speech"]] == ["again.wav", "x.wav"]
    assert has(manifest, "s1/out.wav", "outside the root")
    assert has(manifest, "'away'", "outside the root")
    assert has(manifest, "s1/gone.wav", "leads nowhere")
    assert has(manifest, "s1/loop", "holds it")


def test_folder_survives_folders_that_hold_each_other(people: Path, tmp_path: Path) -> None:
    (people / "s1" / "other").symlink_to(people / "Zoë Smith")
    (people / "Zoë Smith" / "other").symlink_to(people / "s1")
    manifest = opened(Folder, people, tmp_path)
    assert ids(manifest) == ["Zoe_Smith", "s1"] and has(manifest, "holds it")


def test_folder_takes_strange_names(people: Path, tmp_path: Path) -> None:
    speech(people / "new\nline" / 'quo"te\n.wav')
    face(people / "new\nline" / "tab\t.png")
    speech(people / "李 小龙" / "语音.wav")
    face(people / "李 小龙" / "脸.png")
    speech(people / "s1" / "back\\slash.wav")
    speech(people / "s1" / "line\u2028separator.wav")
    manifest = opened(Folder, people, tmp_path)
    assert len(manifest.samples) == 4
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+", name) for name in ids(manifest))
    strange = next(sample for sample in manifest.samples if sample.id.startswith("new"))
    assert read_audio(strange.inputs["speech"][0]).rate == 16_000
    assert has(manifest, "separator", "rename") and has(manifest, "slash", "rename")
    assert all("\n" not in line and "\u2028" not in line for line in manifest.problems)


def test_folder_reads_people_csv(people: Path, tmp_path: Path) -> None:
    text(people / "people.csv", "person,sex,age\nZoe\u0308 Smith,Female,41.5\ns1, m ,\ns1,f,9\nnobody,f,20\n")
    manifest = opened(Folder, people, tmp_path)
    known = [{key: value for key, value in sample.attributes.items() if key != "media"} for sample in manifest.samples]
    assert known == [{"sex": "f", "age": 41.5}, {"sex": "m"}]
    assert has(manifest, "line 4", "again") and has(manifest, "line 5", "no folder", "nobody")
    text(people / "people.csv", "\ufeffperson;sex;age\ns1;x;old\n")
    manifest = opened(Folder, people, tmp_path)
    assert set(manifest.samples[1].attributes) == {"media"}
    assert has(manifest, "sex 'x'") and has(manifest, "age 'old'")
    text(people / "people.csv", "name,sex\ns1,f\n")
    with pytest.raises(MissingDataset, match="no column 'person'"):
        opened(Folder, people, tmp_path)


def test_folder_hash_is_stable_and_follows_the_contents(people: Path, tmp_path: Path) -> None:
    first = opened(Folder, people, tmp_path)
    moved = people.rename(tmp_path / "elsewhere")
    assert opened(Folder, moved, tmp_path).sha256 == first.sha256
    speech(moved / "s1" / "x.wav", 0.2)  # the same name and size, other samples
    changed = opened(Folder, moved, tmp_path)
    assert changed.sha256 != first.sha256
    face(moved / "s1" / "2.png")
    assert opened(Folder, moved, tmp_path).sha256 not in (first.sha256, changed.sha256)


def test_folder_has_only_a_test_split(people: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no split 'train'"):
        opened(Folder, people, tmp_path, "train")


def test_folder_without_a_usable_person_says_what_is_wrong(tmp_path: Path) -> None:
    speech(tmp_path / "root" / "ann" / "1.wav")
    with pytest.raises(MissingDataset, match=r"(?s)Expected:.*'ann': this person has no usable face"):
        opened(Folder, tmp_path / "root", tmp_path)
    with pytest.raises(MissingDataset, match="is not a folder"):
        opened(Folder, tmp_path / "absent", tmp_path)


@pytest.mark.skipif(not REALDATA, reason="FACEVOICE_REALDATA is not set")
def test_folder_takes_real_portraits_beside_real_speech(tmp_path: Path) -> None:
    assert REALDATA
    root = tmp_path / "people"
    recordings = sorted(Path(REALDATA, "librispeech").rglob("*.flac"))
    for number, person in enumerate(sorted(Path(REALDATA, "faces_orl").iterdir())[:5]):
        (root / person.name).mkdir(parents=True)
        for source in (*sorted(person.glob("*.pgm"))[:3], recordings[number]):
            (root / person.name / source.name).write_bytes(source.read_bytes())
    manifest = opened(Folder, root, tmp_path)
    assert len(manifest.samples) == 5 and manifest.problems == ()
    sample = manifest.samples[0]
    assert read_image(sample.targets["face"][0]).shape == (112, 92, 3)
    assert read_audio(sample.inputs["speech"][0]).seconds > 1


# ---- names


def test_ids_are_unique_and_do_not_depend_on_the_order() -> None:
    names = ["Ann", "ann", "a b", "a_b", "é", "e", "...", "李", "A.J._Buckley"]
    found = safe_ids(names)
    assert found == {name: safe_ids(names[::-1])[name] for name in names}
    assert len({value.lower() for value in found.values()}) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", value) for value in found.values())
    assert found["a_b"] == "a_b" and found["A.J._Buckley"] == "A.J._Buckley" and found["e"] == "e"


# ---- HQ-VoxCeleb


def test_hq_voxceleb_finds_names_in_any_normal_form(hq: Path, tmp_path: Path) -> None:
    base = hq / "VoxCeleb"
    table = base / "vox1" / "vox1_meta.csv"
    table.write_text(table.read_text().replace(vox1_name(8), "I_Jos\u00e9_08"), encoding="utf-8")
    faces = base / "vox1" / "masked_faces"
    (faces / vox1_name(8)).rename(faces / "I_Jose\u0301_08")
    assert "vox1-I_Jose_08" in ids(opened(HQVoxCeleb, hq, tmp_path))


def vox1_name(number: int) -> str:
    return f"{string.ascii_uppercase[number % 26]}_Person_{number:02d}"


@pytest.fixture
def hq(tmp_path: Path) -> Path:
    """20 people of VoxCeleb1 and 10 of VoxCeleb2 in the published layout, all with a voice and a face."""
    base = tmp_path / "data" / "VoxCeleb"
    lines = [VOX1_HEADER]
    for number in range(20):
        speaker, name = f"id1{number:04d}", vox1_name(number)
        lines.append(f"{speaker}\t{name}\t{'mf'[number % 2]}\tUK\tdev")
        speech(base / "raw_wav" / "vox1" / ("test" if number == 8 else "dev") / speaker / "clip" / "00001.wav")
        face(base / "vox1" / "masked_faces" / name / "0.png")
    text(base / "vox1" / "vox1_meta.csv", "\n".join(lines) + "\n")
    lines = [VOX2_HEADER]
    for number in range(10):
        speaker, name = f"id0{number:04d}", f"Other_{number}"
        lines.append(f"n{number}, {name} ,10,1, {'mf'[number % 2]} ,{speaker},n{number},m,dev")
        m4a = base / "raw_wav" / "vox2" / "dev" / speaker / "clip" / "00001.m4a"
        m4a.parent.mkdir(parents=True)
        m4a.write_bytes(b"\0\0\0\x20ftypM4A \0\0\0\0")
        face(base / "vox2" / "masked_faces" / name / "0.png")
    text(base / "vox2" / "full_vox2_meta.csv", "\n".join(lines) + "\n")
    return tmp_path / "data"


def test_hq_voxceleb_splits_by_row(hq: Path, tmp_path: Path) -> None:
    splits = {split: opened(HQVoxCeleb, hq, tmp_path, split) for split in ("train", "val", "test")}
    assert ids(splits["test"]) == ["vox1-I_Person_08", "vox1-S_Person_18", "vox2-Other_8"]
    assert ids(splits["val"]) == ["vox1-J_Person_09", "vox1-T_Person_19", "vox2-Other_9"]
    assert len(splits["train"].samples) == 24
    assert all(manifest.problems == () for manifest in splits.values())
    assert [sample.attributes for sample in splits["val"].samples] == [{"sex": "f"}] * 3
    assert splits["test"].samples[2].inputs["speech"][0].name == "00001.m4a"


def test_hq_voxceleb_prefers_split_json(hq: Path, tmp_path: Path) -> None:
    listed = {"vox1": {"train": [], "val": [], "test": [vox1_name(0), "Nobody"]}, "vox2": {"test": ["Other_1"]}}
    text(hq / "VoxCeleb" / "split.json", json.dumps(listed))
    manifest = opened(HQVoxCeleb, hq, tmp_path)
    assert ids(manifest) == ["vox1-A_Person_00", "vox2-Other_1"]
    assert has(manifest, "split.json", "Nobody")
    text(hq / "VoxCeleb" / "split.json", '{"vox1": ["A_Person_00"]}')
    with pytest.raises(MissingDataset, match="split.json has another form"):
        opened(HQVoxCeleb, hq, tmp_path)


def test_hq_voxceleb_names_what_it_leaves_out(hq: Path, tmp_path: Path) -> None:
    base = hq / "VoxCeleb"
    (base / "vox1" / "masked_faces" / vox1_name(8) / "0.png").unlink()
    text(base / "raw_wav" / "vox1" / "dev" / "id10018" / "clip" / "00002.wav", "")
    text(base / "vox1" / "masked_faces" / vox1_name(18) / "notes.txt", "x")
    text(base / "vox1" / "masked_faces" / ".DS_Store", "x")
    face(base / "vox1" / "masked_faces" / "Stranger" / "0.png")
    speech(base / "raw_wav" / "vox1" / "dev" / "id19999" / "clip" / "1.wav")
    manifest = opened(HQVoxCeleb, hq, tmp_path)
    assert ids(manifest) == ["vox1-S_Person_18", "vox2-Other_8"]
    assert [path.name for path in manifest.samples[0].inputs["speech"]] == ["00001.wav"]
    for words in (
        ("vox1_meta.csv, line 10", vox1_name(8), "no usable portrait"),
        ("id10018/clip/00002.wav", "0 bytes"),
        ("notes.txt", "not a kind"),
        (".DS_Store", "stray"),
        ("masked_faces/Stranger", "no row"),
        ("dev/id19999", "no row"),
    ):
        assert has(manifest, *words), (words, manifest.problems)
    assert len(manifest.problems) == 6


def test_hq_voxceleb_without_its_table_says_which(hq: Path, tmp_path: Path) -> None:
    table = hq / "VoxCeleb" / "vox2" / "full_vox2_meta.csv"
    content = table.read_text(encoding="utf-8")
    table.unlink()
    with pytest.raises(MissingDataset, match=r"full_vox2_meta.csv is missing; expected .*VoxCeleb2ID,Name,Gender_x"):
        opened(HQVoxCeleb, hq, tmp_path)
    table.write_text(content.replace("Gender_x", "Sex"), encoding="utf-8")
    with pytest.raises(MissingDataset, match="no column 'Gender_x'"):
        opened(HQVoxCeleb, hq, tmp_path)
    table.write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(MissingDataset, match="line 1: this looks like UTF-16.*expected a text file with the header"):
        opened(HQVoxCeleb, hq, tmp_path)


def test_hq_voxceleb_serves_one_half_alone(hq: Path, tmp_path: Path) -> None:
    (hq / "VoxCeleb" / "vox2").rename(tmp_path / "away")
    manifest = opened(HQVoxCeleb, hq / "VoxCeleb", tmp_path)
    assert len(manifest.samples) == 2 and has(manifest, "vox2", "not here")


# ---- filtered VGGFace with VoxCeleb1


@pytest.fixture
def vgg(tmp_path: Path) -> Path:
    data = tmp_path / "data"
    lines = [VOX1_HEADER]
    for number, letter in enumerate(string.ascii_uppercase):
        speaker, name = f"id1{number:04d}", f"{letter}ames_Bond"
        lines.append(f"{speaker}\t{name}\t{'mf'[number % 2]}\tUK\tdev")
        speech(data / "wav" / speaker / "clip" / "00001.wav")
        face(data / "VGG_ALL_FRONTAL" / name / "0.png")
    text(data / "vox1_meta.csv", "\n".join(lines) + "\n")
    return tmp_path


def test_vggface_splits_by_first_letter(vgg: Path, tmp_path: Path) -> None:
    found = {split: opened(VGGFaceVoxCeleb1, vgg, tmp_path, split) for split in ("train", "val", "test")}
    letters = {split: "".join(name[0] for name in ids(manifest)) for split, manifest in found.items()}
    assert letters == {"train": string.ascii_uppercase[5:], "val": "AB", "test": "CDE"}
    assert found["val"].samples[1].attributes == {"sex": "f"}
    assert all(manifest.problems == () for manifest in found.values())


def test_vggface_names_what_it_leaves_out(vgg: Path, tmp_path: Path) -> None:
    data = vgg / "data"
    (data / "wav" / "id10002" / "clip" / "00001.wav").write_bytes(b"")
    (data / "VGG_ALL_FRONTAL" / "Dames_Bond" / "0.png").unlink()
    face(data / "VGG_ALL_FRONTAL" / "Stranger" / "0.png")
    text(data / "wav" / "Thumbs.db", "x")
    with (data / "vox1_meta.csv").open("a", encoding="utf-8") as table:
        table.write("id19998\tÅsa\tf\tSweden\tdev\nid19999\tEames_Bond\tm\tUK\tdev\n\n")
    manifest = opened(VGGFaceVoxCeleb1, vgg, tmp_path)
    assert ids(manifest) == ["Eames_Bond"]
    for words in (
        ("id10002/clip/00001.wav", "0 bytes"),
        ("Cames_Bond", "no usable recording"),
        ("Dames_Bond", "no usable portrait"),
        ("Stranger", "no row"),
        ("Thumbs.db", "stray"),
        ("line 28", "Åsa", "no split"),
        ("line 29", "Eames_Bond", "again"),
    ):
        assert has(manifest, *words), (words, manifest.problems)
    assert len(manifest.problems) == 7


def test_vggface_finds_recordings_by_name_and_in_the_archives_folders(vgg: Path, tmp_path: Path) -> None:
    wav = vgg / "data" / "wav"
    (wav / "dev" / "wav").mkdir(parents=True)
    (wav / "id10002").rename(wav / "dev" / "wav" / "id10002")
    (wav / "id10003").rename(wav / "Dames_Bond")
    manifest = opened(VGGFaceVoxCeleb1, vgg, tmp_path)
    assert len(manifest.samples) == 3 and manifest.problems == ()


def test_vggface_with_features_alone_asks_for_the_recordings(vgg: Path, tmp_path: Path) -> None:
    (vgg / "data" / "wav").rename(vgg / "data" / "fbank")
    with pytest.raises(MissingDataset, match="wav is missing.*fbank holds features"):
        opened(VGGFaceVoxCeleb1, vgg, tmp_path)
    (vgg / "data" / "vox1_meta.csv").unlink()
    with pytest.raises(MissingDataset, match="vox1_meta.csv is missing; expected .*VoxCeleb1 ID<TAB>VGGFace1 ID"):
        opened(VGGFaceVoxCeleb1, vgg, tmp_path)


# ---- manifest


def test_manifest_round_trip_is_independent_of_row_order(tmp_path: Path) -> None:
    rows = [
        Row("b", "ann", {"speech": ("a/1.wav", "new\nline.wav")}, {"face": ("ü.png",)}, {"sex": "f", "age": 30.5}),
        Row("a", "bob", {"speech": ("b.wav",)}),
    ]
    about = {"dataset": "d", "revision": "1", "split": "test", "task": "speech2face", "problems": ["one", "another"]}
    write_manifest(tmp_path / "m.jsonl", rows, **about)
    write_manifest(tmp_path / "n.jsonl", rows[::-1], **about)
    assert (tmp_path / "m.jsonl").read_bytes() == (tmp_path / "n.jsonl").read_bytes()
    manifest = read_manifest(tmp_path / "m.jsonl", tmp_path)
    assert ids(manifest) == ["a", "b"]
    assert manifest.samples[1].inputs["speech"] == (tmp_path / "a/1.wav", tmp_path / "new\nline.wav")
    assert manifest.samples[1].attributes == {"sex": "f", "age": 30.5}
    assert manifest.problems == ("another", "one")
    lines = (tmp_path / "m.jsonl").read_text(encoding="utf-8").rstrip("\n").split("\n")
    lines[0] = lines[0].replace('"problems":["another","one"],', "")
    assert manifest.sha256 == hashlib.sha256("\n".join(lines).encode()).hexdigest()


def test_what_samples_have_in_common_is_in_memory_once(tmp_path: Path) -> None:
    about = {"dataset": "d", "revision": "1", "split": "train", "task": "lip2speech"}
    files = [f"speaker_ann/{n}.wav" for n in range(2)]
    rows = [Row(f, "ann smith", {"speech": (f,)}, {"speech": (f,)}, {"noise": "a white one"}) for f in files]
    write_manifest(tmp_path / "m.jsonl", rows, **about)
    one, two = read_manifest(tmp_path / "m.jsonl", tmp_path).samples
    assert one.inputs["speech"][0] is one.targets["speech"][0]
    assert one.speaker is two.speaker and one.attributes["noise"] is two.attributes["noise"]
    assert next(iter(one.attributes)) is next(iter(two.attributes))
    assert not hasattr(one, "__dict__")


def test_a_stray_file_does_not_change_the_identity_of_the_data(tmp_path: Path) -> None:
    about = {"dataset": "d", "revision": "1", "split": "test", "task": "speech2face"}
    rows = [Row("a\u2028b", "a", {"speech": ("a\u2028.wav",)})]  # a line separator to str.splitlines, not to a manifest
    found = set()
    for problems in ([], ["x/.DS_Store: not a recording"]):
        write_manifest(tmp_path / "m.jsonl", rows, **about, problems=problems)
        found.add(read_manifest(tmp_path / "m.jsonl", tmp_path).sha256)
    assert len(found) == 1


@pytest.mark.parametrize("path", ["../x.wav", "/etc/passwd", "a/../../x.wav", "a\\..\\x.wav", "", "a\0b"])
def test_manifest_paths_cannot_leave_the_root(tmp_path: Path, path: str) -> None:
    about = {"dataset": "d", "revision": "1", "split": "test", "task": "t"}
    write_manifest(tmp_path / "m.jsonl", [Row("a", "a", {"speech": (path,)})], **about)
    with pytest.raises(MissingDataset, match="outside its root"):
        read_manifest(tmp_path / "m.jsonl", tmp_path)


def test_manifest_with_an_id_twice_is_refused(tmp_path: Path) -> None:
    about = {"dataset": "d", "revision": "1", "split": "test", "task": "t"}
    with pytest.raises(MissingDataset, match="'a' more than once"):
        write_manifest(tmp_path / "m.jsonl", [Row("a", "a", {}), Row("b", "a", {}), Row("a", "b", {})], **about)
    assert not list(tmp_path.iterdir())
    write_manifest(tmp_path / "m.jsonl", [Row("a", "a", {}), Row("b", "a", {})], **about)
    header, one, two = (tmp_path / "m.jsonl").read_text().splitlines()
    (tmp_path / "m.jsonl").write_text("\n".join([header, one, two, one]))
    with pytest.raises(MissingDataset, match="'a' more than once"):
        read_manifest(tmp_path / "m.jsonl", tmp_path)


def test_a_manifest_belongs_to_one_root(people: Path, tmp_path: Path) -> None:
    other = tmp_path / "other people"
    speech(other / "s9" / "x.wav")
    face(other / "s9" / "1.png")
    ours, theirs = opened(Folder, people, tmp_path), opened(Folder, other, tmp_path)
    assert ours.path != theirs.path
    assert read_manifest(ours.path, people).sha256 == ours.sha256
    assert ids(theirs) == ["s9"] and ids(ours) == ["Zoe_Smith", "s1"]


def test_what_another_process_writes_meanwhile_is_never_read(
    people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = Path.replace

    def overtaken(self: Path, target: Path) -> Path:
        replace(self, target)
        Path(target).write_text('{"manifest": 1}\n')
        return target

    monkeypatch.setattr(Path, "replace", overtaken)
    assert ids(opened(Folder, people, tmp_path)) == ["Zoe_Smith", "s1"]
