"""Mixing lists: of made-up utterances, and those of Talkers, whose media are not built for it."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmark.datasets.manifest import Row, read_manifest, write_manifest
from benchmark.datasets.mixtures import SNRS_DB, Utterance, noisy_rows, pair_row, recorded_row, two_talker_rows
from benchmark.datasets.talkers import corpus
from benchmark.datasets.talkers.build import UTTERANCES
from benchmark.datasets.talkers.corpus import Talkers
from benchmark.datasets.talkers.identity import people
from benchmark.errors import UsageError

MADE = {"white", "pink", "babble", "music"}


def spoken(people: int, each: int) -> list[Utterance]:
    """Sorted by id; files tell who is heard and seen."""
    return [
        Utterance(
            f"p{person:02d}_{number}", f"p{person:02d}", f"p{person:02d}/{number}.wav", f"p{person:02d}/{number}.mp4"
        )
        for person in range(people)
        for number in range(each)
    ]


def whose(file: str) -> str:
    return file.partition("/")[0]


def others(row: Row) -> list[str]:
    """Everybody in a row but its speaker's own recording and video."""
    return [whose(file) for field in ("noise", "decoy") for file in row.inputs.get(field, ())]


def key(row: Row) -> tuple[str, float]:
    return row.attributes["noise"], row.attributes["snr_db"]


# noise


@pytest.mark.parametrize("people", [2, 7, 13])
@pytest.mark.parametrize("per_speaker", [None, 1, 3])
@pytest.mark.parametrize("snrs_db", [(0.0,), SNRS_DB])
def test_kinds_and_levels_are_dealt_out_evenly(people: int, per_speaker: int | None, snrs_db: tuple) -> None:
    rows = list(noisy_rows(spoken(people, 5), of="a", per_speaker=per_speaker, snrs_db=snrs_db))
    assert len(rows) == people * (per_speaker or 5)
    cells = Counter({(kind, snr): 0 for kind in MADE for snr in snrs_db})
    cells.update(map(key, rows))
    assert len(cells) == 4 * len(snrs_db) and max(cells.values()) - min(cells.values()) <= 1


def test_a_row_holds_its_own_speech_and_face() -> None:
    utterances = [replace(one, attributes={"text": "bin blue", "framing": "scene"}) for one in spoken(4, 3)]
    by_id = {one.id: one for one in utterances}
    for row in noisy_rows(utterances, of="a"):
        own = by_id[row.id.rpartition("_")[0]]
        assert (row.speaker, row.targets, row.inputs["video"]) == (own.speaker, {"speech": (own.speech,)}, (own.video,))
        assert row.attributes == {
            "text": "bin blue",
            "framing": "scene",
            "noise": row.id.rpartition("_")[2],
            "snr_db": 0.0,
        }
    assert {row.attributes["framing"] for row in noisy_rows(spoken(4, 3), of="a")} == {"face"}


def test_nobody_is_mixed_with_himself() -> None:
    utterances = spoken(9, 4)
    rows = [*noisy_rows(utterances, of="a", snrs_db=SNRS_DB), *two_talker_rows(utterances, of="a")]
    assert all(row.speaker not in others(row) for row in rows)
    babble = [row for row in rows if row.attributes["noise"] == "babble"]
    assert babble and all(len(set(map(whose, row.inputs["noise"]))) == 6 for row in babble), "six different people"
    assert all(file.endswith(".wav") for row in rows for file in row.inputs.get("noise", ()))
    assert all("noise" not in row.inputs for row in rows if row.attributes["noise"] in MADE - {"babble"})
    assert all(len(row.inputs["decoy"]) == 1 and row.inputs["decoy"][0].endswith(".mp4") for row in rows)


def test_few_people_make_a_babble_of_those_there_are() -> None:
    rows = list(noisy_rows(spoken(3, 8), of="a"))
    voices = {tuple(sorted(map(whose, row.inputs["noise"]))) for row in rows if row.attributes["noise"] == "babble"}
    assert voices <= {("p00", "p01"), ("p00", "p02"), ("p01", "p02")} and voices


def test_one_recording_of_a_stranger_among_many_is_found() -> None:
    """Rejection of the speaker's own would hardly ever come upon it."""
    utterances = [*spoken(1, 4000), Utterance("q_0", "q", "q/0.wav", "q/0.mp4")]
    rows = [*noisy_rows(utterances, of="a", per_speaker=40), *two_talker_rows(utterances, of="a", per_speaker=40)]
    assert len(rows) == 82 and all(row.speaker not in others(row) and row.inputs["decoy"] for row in rows)
    assert all(row.inputs["noise"] for row in rows if row.attributes["noise"] in ("babble", "talker"))


def test_a_single_speaker_has_noise_without_babble_and_nobody_to_talk_over() -> None:
    rows = list(noisy_rows(spoken(1, 9), of="a"))
    assert Counter(row.attributes["noise"] for row in rows) == {"white": 3, "pink": 3, "music": 3}
    assert all(set(row.inputs) == {"video"} for row in rows)
    assert list(two_talker_rows(spoken(1, 9), of="a")) == []


def test_without_utterances_there_are_no_rows() -> None:
    assert list(noisy_rows([], of="a")) == list(two_talker_rows([], of="a")) == []


def test_recordings_of_noise_take_the_place_of_what_is_made() -> None:
    rows = list(noisy_rows(spoken(6, 10), of="a", snrs_db=(-5.0, 5.0), recorded=("n/1.wav", "n/2.wav", "n/3.wav")))
    assert Counter(map(key, rows)) == {("recorded", -5.0): 30, ("recorded", 5.0): 30}
    files = Counter(row.inputs["noise"] for row in rows)
    assert files.keys() == {("n/1.wav",), ("n/2.wav",), ("n/3.wav",)} and min(files.values()) >= 8


def test_the_order_of_utterances_changes_nothing_and_the_name_of_the_list_does() -> None:
    utterances = spoken(8, 4)
    shuffled = [utterances[k] for k in np.random.default_rng(0).permutation(len(utterances))]
    for listed in (noisy_rows, two_talker_rows):
        for per_speaker in (None, 2):
            rows = list(listed(utterances, of="a", per_speaker=per_speaker))
            assert rows == list(listed(shuffled, of="a", per_speaker=per_speaker))
            assert rows != list(listed(utterances, of="b", per_speaker=per_speaker))


def test_some_utterances_of_each_speaker_are_drawn() -> None:
    rows = list(noisy_rows(spoken(20, 6), of="a", per_speaker=2))
    assert Counter(row.speaker for row in rows) == {f"p{person:02d}": 2 for person in range(20)}
    assert len({row.targets["speech"][0].partition("/")[2] for row in rows}) == 6, "not always the first ones"
    few = [one for one in spoken(2, 5) if one.id != "p00_1"][:6]
    assert Counter(row.speaker for row in noisy_rows(few, of="a", per_speaker=9)) == {"p00": 4, "p01": 2}


def test_ids_are_unique_and_names_of_files() -> None:
    utterances = spoken(6, 5)
    rows = [*noisy_rows(utterances, of="a"), *two_talker_rows(utterances, of="a")]
    grid = list(noisy_rows(utterances, of="a", snrs_db=SNRS_DB))
    for listed in (rows, grid):
        assert len({row.id for row in listed}) == len(listed)
        assert all(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", row.id) for row in listed)
    assert {row.id.rpartition("_")[2] for row in grid} == {"-10dB", "-5dB", "0dB", "5dB", "10dB"}


def test_rows_go_through_a_manifest(tmp_path: Path) -> None:
    rows = list(noisy_rows(spoken(3, 2), of="a", snrs_db=SNRS_DB))
    write_manifest(tmp_path / "m.jsonl", rows, dataset="d", revision="1", split="test", task="av_enhancement")
    samples = {sample.id: sample for sample in read_manifest(tmp_path / "m.jsonl", tmp_path).samples}
    for row in rows:
        assert samples[row.id].attributes == row.attributes
        assert samples[row.id].inputs["video"] == (tmp_path / row.inputs["video"][0],)


# two talkers


def test_two_talkers_are_at_0_db_and_the_other_has_no_picture() -> None:
    rows = list(two_talker_rows(spoken(5, 3), of="a", per_speaker=2))
    assert len(rows) == 10 and {key(row) for row in rows} == {("talker", 0.0)}
    for row in rows:
        (other,) = row.inputs["noise"]
        assert other.endswith(".wav") and whose(row.inputs["video"][0]) == row.speaker != whose(other)
        assert row.id.endswith(f"_with_{whose(other)}_{Path(other).stem}")


def test_a_pair_and_a_recording_can_be_given() -> None:
    first, second, third = spoken(3, 1)
    random = np.random.default_rng(0)
    row = pair_row(first, second, (first, second, third), random)
    assert (row.id, row.inputs["noise"], key(row)) == ("p00_0_with_p01_0", ("p01/0.wav",), ("talker", 0.0))
    row = recorded_row(first, "n/1.wav", "00001a", (first, second, third), random)
    assert (row.id, row.inputs["noise"], key(row)) == ("p00_0_00001a", ("n/1.wav",), ("recorded", 0.0))
    assert row.targets == {"speech": ("p00/0.wav",)} and others(row)[1] in ("p01", "p02")


# Talkers


@pytest.fixture
def talkers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Talkers:
    """The corpus as if it were built."""
    facts = {"samples": [28_160] * UTTERANCES, "frames": [44] * UTTERANCES}
    monkeypatch.setattr(corpus, "known_facts", lambda job: facts)
    monkeypatch.setattr(corpus, "build", lambda job: pytest.fail("built"))
    return Talkers(None, tmp_path, workers=1)


def test_the_test_of_talkers_has_two_sentences_of_everybody_and_fifty_of_each_noise(talkers: Talkers) -> None:
    rows = talkers.rows("test", "av_enhancement")
    assert Counter(row.speaker for row in rows) == {one.id: 2 for one in people("test")}
    assert Counter(map(key, rows)) == {(kind, 0.0): 50 for kind in MADE}
    assert all(row.attributes["text"] and row.attributes["samples"] == 28_160 for row in rows)
    assert all(row.targets["speech"][0].startswith(f"test/speech/{row.speaker}/") for row in rows)
    assert all(row.inputs["video"][0].startswith(f"test/video/{row.speaker}/") for row in rows)
    assert len({row.targets["speech"] for row in rows}) == 200


def test_the_grid_of_talkers_has_every_cell_twenty_times(talkers: Talkers) -> None:
    rows = talkers.rows("test_snr", "av_enhancement")
    assert Counter(row.speaker for row in rows) == {one.id: 4 for one in people("test")}
    assert Counter(map(key, rows)) == {(kind, snr): 20 for kind in MADE for snr in (-10.0, -5.0, 0.0, 5.0, 10.0)}
    assert {row.targets["speech"][0].partition("/")[0] for row in rows} == {"test"}, "the media of test serve"


@pytest.mark.parametrize("task", ["av_enhancement", "av_separation"])
def test_no_voice_or_face_of_one_split_is_in_another(talkers: Talkers, task: str) -> None:
    used = {}
    for split in ("train", "val", "test"):
        rows = talkers.rows(split, task)
        files = [
            file for row in rows for field in (row.inputs, row.targets) for part in field.values() for file in part
        ]
        used[split] = {Path(file).parent.name for file in files}
        assert used[split] == {one.id for one in people(split)}
        expected = len(people(split)) * (UTTERANCES if split == "train" else 2)
        assert len(rows) == len({row.id for row in rows}) == expected
        for row in rows:
            strangers = [Path(file).parent.name for field in ("noise", "decoy") for file in row.inputs.get(field, ())]
            assert row.speaker not in strangers and len(row.inputs["decoy"]) == 1
    assert not used["train"] & used["test"] and not used["val"] & used["test"]


def test_the_separation_of_talkers_is_of_other_people(talkers: Talkers) -> None:
    rows = talkers.rows("test", "av_separation")
    assert len(rows) == 200 and {key(row) for row in rows} == {("talker", 0.0)}
    assert len({row.inputs["noise"] for row in rows}) > 100
    with pytest.raises(UsageError, match="'test_snr' of Talkers is a grid of SNRs for av_enhancement"):
        talkers.open("test_snr", "av_separation")


def test_a_list_of_mixtures_names_both_media_whatever_fields_are_asked_for(talkers: Talkers) -> None:
    for fields in (("speech",), ("video",), ("speech", "video"), None):
        manifest = talkers.open("val", "av_enhancement", fields=fields)
        assert manifest.path.name.startswith("val.av_enhancement.") and len(manifest.samples) == 100
        assert all(sample.inputs["video"] and sample.targets["speech"] for sample in manifest.samples)
    with pytest.raises(UsageError, match="no field 'face'"):
        talkers.open("val", "av_enhancement", fields=("face",))
