"""Corpora without pictures: VoxCeleb1 and AudioSet in small trees of their layouts, and LibriSpeech's speakers."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from films import noise

from benchmark.datasets import manifest as manifests
from benchmark.datasets.audioset import AudioSet
from benchmark.datasets.audiovisual import held_out
from benchmark.datasets.dataset import Dataset
from benchmark.datasets.librispeech import LibriSpeech
from benchmark.datasets.manifest import Manifest, Row, read_manifest, write_manifest
from benchmark.datasets.voxceleb1 import VoxCeleb1
from benchmark.errors import MissingDataset, UsageError
from benchmark.media import write_audio
from benchmark.types import Audio

RATE = 16_000
HEADER = "VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet"
VAL = next(name for name in (f"id1{n:04d}" for n in range(1, 999)) if held_out("voxceleb1", name))


def sound(path: Path) -> Path:
    write_audio(path, Audio(noise(RATE, 0.2), RATE))
    return path


def text(path: Path, content: str, encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding=encoding)
    return path


def opened(kind: type[Dataset], root: Path, split: str = "test", task: str | None = None) -> Manifest:
    return kind(root, root.parent / "home").open(split, task or kind.tasks[0])


def has(manifest: Manifest, *words: str) -> bool:
    return any(all(word in line for word in words) for line in manifest.problems)


# ---- VoxCeleb1


@pytest.fixture
def vox1(tmp_path: Path) -> Path:
    root = tmp_path / "vox1"
    lines = [
        HEADER,
        "id10270\tEartha_Kitt\tf\tUSA\ttest",
        "id10271\tEd_Westwick\tm\tUK\ttest",
        "id10002\tAaron_Tveit\tm\tUSA\tdev",
        f"{VAL}\tAaron_Yoo\tm\tUSA\tdev",
    ]
    text(root / "vox1_meta.csv", "\n".join(lines) + "\n")
    for part, speaker in (("test", "id10270"), ("test", "id10271"), ("dev", "id10002"), ("dev", VAL)):
        for video in ("5r0dWxy17C8", "x6uYqmx31kE"):
            sound(root / part / "wav" / speaker / video / "00001.wav")
    return root


def test_voxceleb1_gives_a_voice_without_a_face(vox1: Path) -> None:
    samples = opened(VoxCeleb1, vox1).samples
    assert [sample.id for sample in samples] == ["id10270", "id10271"]
    assert samples[0].attributes == {"sex": "f", "nationality": "USA"} and not samples[0].targets
    assert [path.relative_to(vox1).as_posix() for path in samples[0].inputs["speech"]] == [
        f"test/wav/id10270/{video}/00001.wav" for video in ("5r0dWxy17C8", "x6uYqmx31kE")
    ]
    assert [sample.id for sample in opened(VoxCeleb1, vox1, "train").samples] == ["id10002"]
    assert [sample.id for sample in opened(VoxCeleb1, vox1, "val").samples] == [VAL]


def test_voxceleb1_gives_utterances_to_learn_speech_from(vox1: Path) -> None:
    samples = opened(VoxCeleb1, vox1, task="lip2speech").samples
    assert len(samples) == 4 and samples[0].id == "id10270_5r0dWxy17C8_00001"
    for sample in samples:
        assert sample.inputs["enrolment"] != sample.targets["speech"]
        assert sample.inputs["enrolment"][0].parents[1].name == sample.speaker
        assert sample.inputs["enrolment_decoy"][0].parents[1].name != sample.speaker
        assert sample.attributes["sex"] in "fm"


def test_voxceleb1_may_lie_in_one_folder(vox1: Path) -> None:
    split = opened(VoxCeleb1, vox1).sha256
    for part in ("dev", "test"):
        for speaker in (vox1 / part / "wav").iterdir():
            (vox1 / "wav").mkdir(exist_ok=True)
            speaker.rename(vox1 / "wav" / speaker.name)
        (vox1 / part / "wav").rmdir()
        (vox1 / part).rmdir()
    one = opened(VoxCeleb1, vox1)
    assert [sample.id for sample in one.samples] == ["id10270", "id10271"] and one.sha256 != split


def test_voxceleb1_names_what_it_leaves_out(vox1: Path) -> None:
    table = (vox1 / "vox1_meta.csv").read_text()
    more = "id10270\tAgain\tm\tUK\ttest\nid9\tNobody\tf\tUK\ttest\nid8\tOdd\tf\tUK\tboth\n"
    text(vox1 / "vox1_meta.csv", table + more)
    sound(vox1 / "test" / "wav" / "id7" / "a" / "00001.wav")
    (vox1 / "test" / "wav" / "id10271" / "5r0dWxy17C8" / "00001.wav").write_bytes(b"")
    manifest = opened(VoxCeleb1, vox1)
    assert [len(sample.inputs["speech"]) for sample in manifest.samples] == [2, 1]
    assert has(manifest, "line 6", "again") and has(manifest, "line 8", "dev or test")
    assert has(manifest, "id7", "no row of vox1_meta.csv") and has(manifest, "1 of the speakers of test")
    assert has(manifest, "id10271/5r0dWxy17C8", "0 bytes")


@pytest.mark.parametrize("change", ["bom", "crlf"])
def test_tables_may_have_a_mark_and_other_ends_of_lines(vox1: Path, change: str) -> None:
    expected = opened(VoxCeleb1, vox1).sha256
    table = (vox1 / "vox1_meta.csv").read_bytes()
    changed = b"\xef\xbb\xbf" + table if change == "bom" else table.replace(b"\n", b"\r\n")
    (vox1 / "vox1_meta.csv").write_bytes(changed)
    assert opened(VoxCeleb1, vox1).sha256 == expected


def test_a_table_in_latin1_says_how_to_convert_it(vox1: Path) -> None:
    text(vox1 / "vox1_meta.csv", f"{HEADER}\nid10270\tZo\xeb\tf\tUSA\ttest\n", "latin-1")
    with pytest.raises(MissingDataset, match="line 2: byte 0xeb is not UTF-8.*iconv"):
        opened(VoxCeleb1, vox1)
    (vox1 / "vox1_meta.csv").unlink()
    with pytest.raises(MissingDataset, match="vox1_meta.csv is missing"):
        opened(VoxCeleb1, vox1)


# ---- AudioSet

EVAL = """\
# Segments csv created Sun Mar  5 10:54:31 2017
# num_ytids=4, num_segs=4, num_unique_labels=527, num_positive_labels=6
# YTID, start_seconds, end_seconds, positive_labels
--4gqARaEJE, 0.000, 10.000, "/m/068hy,/m/07q6cd_"
Yo3mZ5Kxvpk, 30.000, 40.000, "/m/09x0r"
-0Gj8-vB1q4, 12.500, 22.500, "/m/04rlf"
zzzzzzzzzzz, 1.000, 11.000, "/m/04rlf"
"""


@pytest.fixture
def audioset(tmp_path: Path) -> Path:
    root = tmp_path / "audioset"
    text(root / "eval_segments.csv", EVAL)
    sound(root / "eval_segments" / "Y--4gqARaEJE.wav")
    sound(root / "eval_segments" / "deep" / "Yo3mZ5Kxvpk_30000_40000.wav")
    sound(root / "eval_segments" / "-0Gj8-vB1q4.wav")
    return root


def test_audioset_is_known_by_its_lists(audioset: Path) -> None:
    manifest = opened(AudioSet, audioset)
    found = {sample.id: sample for sample in manifest.samples}
    assert sorted(found) == ["--4gqARaEJE_0", "-0Gj8-vB1q4_12.5", "Yo3mZ5Kxvpk_30"]
    one = found["--4gqARaEJE_0"]
    assert one.inputs["noise"][0].name == "Y--4gqARaEJE.wav" and not one.targets
    assert one.attributes == {"noise": "audioset", "labels": ["/m/068hy", "/m/07q6cd_"], "speech": False}
    assert found["Yo3mZ5Kxvpk_30"].attributes["speech"] is True
    assert has(manifest, "eval_segments.csv: 1 of 4 are not here")


def test_audioset_names_what_it_leaves_out(audioset: Path) -> None:
    sound(audioset / "eval_segments" / "unknown_id_.wav")
    sound(audioset / "eval_segments" / "deep" / "--4gqARaEJE.flac")
    text(audioset / "eval_segments.csv", EVAL + "short, 1\n")
    manifest = opened(AudioSet, audioset)
    assert len(manifest.samples) == 3
    assert has(manifest, "unknown_id_", "lists nothing") and has(manifest, "another recording of --4gqARaEJE")
    assert has(manifest, "line 8 is no segment")


def test_audioset_trains_on_both_lists_and_validates_on_one_in_fifty(audioset: Path) -> None:
    names = [f"{n:011d}" for n in range(300)]
    for part, some in (("balanced", names[:150]), ("unbalanced", names[100:])):
        lines = [f'{name}, 0.0, 10.0, "/m/04rlf"' for name in some]
        text(audioset / f"{part}_train_segments.csv", "\n".join(lines))
    first = sound(audioset / "audio" / "bal_train" / f"{names[0]}.wav").read_bytes()
    for number, name in enumerate(names[1:], 1):
        path = audioset / ("audio/bal_train" if number < 150 else "unbalanced_train_segments") / f"{name}.wav"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(first)
    split = {part: {s.speaker for s in opened(AudioSet, audioset, part).samples} for part in ("train", "val")}
    assert split["val"] == {name for name in names if held_out("audioset", name)}
    assert split["train"] == set(names) - split["val"]


def test_audioset_without_lists_says_what_is_expected(audioset: Path) -> None:
    with pytest.raises(MissingDataset, match="no list of segments for train"):
        opened(AudioSet, audioset, "train")
    text(audioset / "eval_segments.csv", "# nothing\n")
    with pytest.raises(MissingDataset, match="lists nothing; expected lines of YTID"):
        opened(AudioSet, audioset)


# ---- LibriSpeech


def test_a_folder_of_speakers_is_a_test(tmp_path: Path) -> None:
    for speaker in ("61", "121"):
        for number in range(2):
            sound(tmp_path / "few" / speaker / f"{speaker}-70968-{number:04d}.flac")
    text(tmp_path / "few" / "SPEAKERS.TXT", "61 | M | test-clean\n121 | F | test-clean\n")
    manifest = opened(LibriSpeech, tmp_path / "few")
    assert {(s.speaker, s.attributes["sex"]) for s in manifest.samples} == {("61", "m"), ("121", "f")}
    assert not manifest.problems or all("without its words" in line for line in manifest.problems)
    (tmp_path / "few" / "S5").mkdir()
    assert has(opened(LibriSpeech, tmp_path / "few"), "S5", "a speaker's number")
    voices = opened(LibriSpeech, tmp_path / "few", task="speech2face").samples
    assert [(s.id, len(s.inputs["speech"]), s.attributes["sex"]) for s in voices] == [("121", 2, "f"), ("61", 2, "m")]
    assert not any(sample.targets for sample in voices)
    with pytest.raises(UsageError, match="has only the split 'test'"):
        opened(LibriSpeech, tmp_path / "few", "train")


# ---- rows in temporary files


def row(number: int) -> Row:
    name = f"{number * 7919 % 1000:04d}"
    return Row(name, "ann", {"speech": (f"{name}.wav",)}, {}, {"k": number})


def test_rows_are_sorted_and_packed_alike_whatever_the_size_of_a_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    about = {"dataset": "d", "revision": "1", "split": "test", "task": "speech2face"}
    whole = write_manifest(tmp_path / "whole.jsonl", (row(n) for n in range(500)), **about)
    monkeypatch.setattr(manifests, "_BLOCK", 16)
    spilt = write_manifest(tmp_path / "spilt.jsonl", (row(n) for n in range(500)), **about)
    content = (tmp_path / "whole.jsonl").read_bytes()
    assert (tmp_path / "spilt.jsonl").read_bytes() == content
    lines = content.decode().splitlines()
    assert lines[1:] == sorted(lines[1:], key=lambda line: line.partition('"id":"')[2])
    about = lines[0].replace('"problems":[],', "")
    assert spilt.sha256 == whole.sha256 == hashlib.sha256("\n".join([about, *lines[1:]]).encode()).hexdigest()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["spilt.jsonl", "whole.jsonl"]


def test_packed_samples_are_a_sequence_like_any_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifests, "_BLOCK", 16)
    about = {"dataset": "d", "revision": "1", "split": "test", "task": "speech2face"}
    packed = write_manifest(tmp_path / "m.jsonl", (row(n) for n in range(100)), **about).samples
    plain = list(packed)
    assert [sample.id for sample in plain] == sorted(row(n).id for n in range(100))
    for part in (slice(None), slice(3), slice(5, 70, 13), slice(None, None, -1), slice(-4, None), slice(200, None)):
        assert list(packed[part]) == plain[part] and len(packed[part]) == len(plain[part])
    assert list(packed[10:50][5:8]) == plain[15:18] and packed[-1] == plain[-1] and packed[57] == plain[57]
    with pytest.raises(IndexError):
        packed[100]
    assert packed == plain and packed == tuple(plain) and packed != plain[:-1] and plain[3] in packed
    assert read_manifest(tmp_path / "m.jsonl", tmp_path).samples == packed
    assert all(path.parent == tmp_path for sample in packed for path in sample.inputs["speech"])


def test_packed_samples_can_be_handed_to_another_process(tmp_path: Path) -> None:
    import pickle

    about = {"dataset": "d", "revision": "1", "split": "test", "task": "speech2face"}
    packed = write_manifest(tmp_path / "m.jsonl", (row(n) for n in range(100)), **about).samples
    assert pickle.loads(pickle.dumps(packed[:30])) == list(packed)[:30]
