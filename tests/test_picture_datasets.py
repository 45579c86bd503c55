"""AVSpeech and FFHQ: what is listed, what is left out and why."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_datasets import face, has, ids, opened, speech, text

from baselines.people import load_people
from benchmark.datasets.avspeech import AVSpeech
from benchmark.datasets.ffhq import FFHQ
from benchmark.errors import MissingDataset, UsageError


def test_ffhq_is_split_by_number_and_has_nobody_speaking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "ffhq"
    for number in (7, 59_999, 60_000):
        face(root / "images1024x1024" / f"{number // 1000:02d}000" / f"{number:05d}.png", number % 200)
    face(root / "images1024x1024" / "mine.png")
    face(root / "thumbnails128x128" / "00008.png")
    train = opened(FFHQ, root, tmp_path, "train")
    assert ids(train) == ["00007", "59999"] and ids(opened(FFHQ, root, tmp_path, "val")) == ["60000"]
    assert has(train, "mine.png", "expected a number")
    with pytest.raises(UsageError, match="no split 'test'"):
        opened(FFHQ, root, tmp_path, "test")
    monkeypatch.setenv("FACEVOICE_BENCH_HOME", str(tmp_path / "shards"))
    people = load_people(train.samples, None, 8)
    assert [len(person.voices) for person in people.persons] == [0, 0]
    assert int(people.persons[0].faces[0, 0, 0, 0]) == 7


def test_ffhq_takes_thumbnails_where_there_is_nothing_larger(tmp_path: Path) -> None:
    face(tmp_path / "ffhq" / "thumbnails128x128" / "00008.png")
    assert ids(opened(FFHQ, tmp_path / "ffhq", tmp_path, "train")) == ["00008"]


@pytest.fixture
def avspeech(tmp_path: Path) -> Path:
    root = tmp_path / "avspeech"
    text(root / "avspeech_test.csv", "a_-B,90.000000,93.500000,0.5,0.3\nccc,1.250000,5.0,0.1,0.2\nddd,2,6,0.1,0.2\n")
    speech(root / "clips" / "test" / "a_-B_90.000000.wav")
    face(root / "faces" / "test" / "a_-B_90.png")
    speech(root / "clips" / "test" / "ccc_1.25.wav")
    return root


def test_avspeech_pairs_clips_and_faces_by_its_list(avspeech: Path, tmp_path: Path) -> None:
    face(avspeech / "faces" / "test" / "eee_3.png")
    speech(avspeech / "clips" / "test" / "unnamed.wav")
    manifest = opened(AVSpeech, avspeech, tmp_path)
    assert ids(manifest) == ["a_-B_90.000"]
    (sample,) = manifest.samples
    assert sample.inputs["speech"][0].name == "a_-B_90.000000.wav" and sample.targets["face"][0].name == "a_-B_90.png"
    assert has(manifest, "ccc_1.25.wav", "there is no face") and has(manifest, "eee_3.png", "lists no such clip")
    assert has(manifest, "unnamed.wav", "<YouTube id>_<start>") and has(manifest, "1 of 3 listed clips are not here")


def test_a_clip_counts_once(avspeech: Path, tmp_path: Path) -> None:
    speech(avspeech / "clips" / "test" / "a_-B_90.0.wav")
    manifest = opened(AVSpeech, avspeech, tmp_path)
    assert len(manifest.samples) == 1 and has(manifest, "of the same clip")


def test_avspeech_without_its_list_says_what_is_expected(avspeech: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingDataset, match="avspeech_train.csv cannot be read .* YouTube id, start, end"):
        opened(AVSpeech, avspeech, tmp_path, "train")
    text(avspeech / "avspeech_test.csv", "a_-B,soon\n")
    with pytest.raises(MissingDataset, match="cannot be read"):
        opened(AVSpeech, avspeech, tmp_path)
