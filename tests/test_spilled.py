"""Collections in temporary files against plain dicts and lists."""

from __future__ import annotations

import os
import random
import sqlite3
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmark.datasets import manifest
from benchmark.datasets import spilled as spilling
from benchmark.datasets.manifest import Row, read_manifest, write_manifest
from benchmark.datasets.names import SafeIds, safe_ids
from benchmark.datasets.spilled import Spilled
from benchmark.datasets.utterances import Utterance, Utterances
from benchmark.errors import MissingDataset


def test_it_does_what_a_dict_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spilling, "PAGE", 7)  # so that pages end in the middle
    draw = random.Random(0)
    ours: Spilled[float] = Spilled()
    plain: dict[str, float] = {}
    for number in range(2000):
        key = draw.choice("aäb\u2028ж😀 /'%") + str(draw.randrange(60))
        action = draw.randrange(4)
        if action == 0:
            ours[key] = plain[key] = float(number)
        elif action == 1:
            ours.offer(key, float(number))
            plain.setdefault(key, float(number))
        elif action == 2:
            assert ours.get(key) == plain.get(key) and (key in ours) == (key in plain)
        elif key in plain:
            del ours[key], plain[key]
    assert list(ours) == list(plain) and list(ours.items()) == list(plain.items()) and ours == plain
    assert list(ours.values()) == list(plain.values()) and len(ours) == len(plain) and bool(ours)
    assert list(ours.in_order()) == sorted(plain.items())
    for key in ours:  # it may be changed while it is gone through
        del ours[key]
    assert not ours and list(ours.in_order()) == []
    for missing in (lambda: ours["a"], lambda: ours.pop("a")):
        with pytest.raises(KeyError):
            missing()


@pytest.mark.parametrize("made", [Spilled, lambda: Utterances(())])
def test_it_may_be_let_go_of_in_another_thread(made: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    unraisable: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda told: unraisable.append(told.exc_value))
    monkeypatch.setattr(sys, "excepthook", lambda *told: unraisable.append(told[1]))  # weakref.finalize tells here
    held = [made()]
    thread = threading.Thread(target=held.clear)
    thread.start()
    thread.join()
    assert not held and not unraisable


def test_a_full_disk_is_told_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def small() -> sqlite3.Connection:
        database = spilling.scratch()
        database.execute("PRAGMA max_page_count = 3")
        return database

    monkeypatch.setattr(manifest, "scratch", small)
    about = {"dataset": "d", "revision": "1", "split": "test", "task": "speech2face"}
    with pytest.raises(MissingDataset, match=r"disk is full\): set TMPDIR to a folder"):
        write_manifest(tmp_path / "m.jsonl", (Row(str(n), "ann", {}, {}, {"k": "x" * 999}) for n in range(99)), **about)
    assert not list(tmp_path.iterdir())


def test_a_disk_that_fills_up_within_a_block_is_told_and_not_left_for_the_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    about = {"dataset": "d", "revision": "1", "split": "test", "task": "speech2face"}
    rows = [Row(str(n), "ann", {}, {}, {}) for n in range(300)]
    whole = write_manifest(tmp_path / "m.jsonl", rows, **about)
    write = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, block, at: write(file, block[: max(0, 100 - at)], at))
    told = r"temporary file, and it cannot be written \(No space left on device\): set TMPDIR to a folder"
    with pytest.raises(MissingDataset, match=told):
        write_manifest(tmp_path / "n.jsonl", rows, **about)
    assert list(tmp_path.iterdir()) == [whole.path]
    with pytest.raises(MissingDataset, match=told):
        write_manifest(tmp_path / "n.jsonl", rows[:100], **about)  # less than is packed together
    with pytest.raises(MissingDataset, match=told):
        read_manifest(whole.path, tmp_path)


def test_no_folder_for_temporary_files_is_told_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    about = {"dataset": "d", "revision": "1", "split": "test", "task": "speech2face"}
    whole = write_manifest(tmp_path / "m.jsonl", [Row("a", "ann", {}, {}, {})], **about)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    for indexed in (
        lambda: write_manifest(tmp_path / "n.jsonl", [Row("a", "ann", {}, {}, {})], **about),
        lambda: read_manifest(whole.path, tmp_path),
    ):
        with pytest.raises(MissingDataset, match=r"written \(No such file or directory\): set TMPDIR to a folder"):
            indexed()


def spoken(count: int) -> list[Utterance]:
    draw = random.Random(1)
    ids = [f"u{number:03d}" for number in range(count)]
    draw.shuffle(ids)
    return [
        Utterance(key, f"p{number % 5}", f"{key}.wav", f"{key}.mp4" if number % 3 else None, {"age": 1.5, "text": "é"})
        for number, key in enumerate(ids)
    ]


def test_utterances_are_a_sorted_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmark.datasets.utterances.PAGE", 7)
    several = [replace(one, attributes={}, clean="c.wav") if one.speaker == "p0" else one for one in spoken(50)]
    ours, plain = Utterances.of(several), sorted(several, key=lambda one: one.id)
    assert list(ours) == plain and len(ours) == 50 and Utterances.of(ours) is ours
    assert [ours[place] for place in (0, 17, -1)] == [plain[0], plain[17], plain[-1]] and ours[3:40:9] == plain[3:40:9]
    with pytest.raises(IndexError):
        ours[50]
    assert dict(ours.named()) == {one.id: one for one in plain}
    assert ours.by("speech", plain[4].speech) == ours.by("name", plain[4].id) == plain[4]
    assert ours.by("name", "nobody") is None and ours.by("name", "\udce9") is None
    assert ours.of_several() and not Utterances.of(plain[:1]).of_several() and not Utterances([]).of_several()
    assert dict(ours.by_speaker()) == {f"p{n}": [one for one in plain if one.speaker == f"p{n}"] for n in range(5)}


def test_what_is_drawn_is_what_would_be_drawn_of_lists() -> None:
    plain = sorted(spoken(50), key=lambda one: one.id)
    ours = Utterances.of(plain)
    for number, own in enumerate(plain):
        siblings = [one for one in plain if one.speaker == own.speaker and one.speech != own.speech]
        strangers = [one for one in plain if one.speaker != own.speaker]
        place = int(np.random.default_rng(number).integers(len(siblings)))
        assert ours.sibling(own, np.random.default_rng(number)) == siblings[place]
        place = int(np.random.default_rng(number).integers(len(strangers)))
        assert ours.stranger(own, np.random.default_rng(number)) == strangers[place]
    alone = Utterances.of(plain[:1])
    assert (
        alone.sibling(plain[0], np.random.default_rng(0)) is alone.stranger(plain[0], np.random.default_rng(0)) is None
    )


def test_a_draw_is_the_same_where_one_person_speaks_most_and_files_are_said_twice() -> None:
    draw = random.Random(2)
    plain = [
        Utterance(f"u{number:03d}", draw.choice("aaaaaaabcc"), f"{draw.randrange(30)}.wav", None)
        for number in range(80)
    ]
    plain.append(Utterance("u999", "alone", "x.wav", None))
    ours = Utterances.of(plain)
    for number, own in enumerate(plain):
        siblings = [one for one in plain if one.speaker == own.speaker and one.speech != own.speech]
        strangers = [one for one in plain if one.speaker != own.speaker]
        for drawn, of in ((ours.sibling, siblings), (ours.stranger, strangers)):
            found = [drawn(own, np.random.default_rng((number, each))) for each in range(9)]
            picks = [np.random.default_rng((number, each)) for each in range(9)]
            assert found == [of[int(pick.integers(len(of)))] if of else None for pick in picks]


@pytest.mark.parametrize("others", [0, 3])
def test_a_draw_takes_hardly_more_steps_of_more_utterances(others: int) -> None:
    def steps(count: int) -> int:
        several = [Utterance(f"u{n:05d}", "b" if n < others else "a", f"{n}.wav", None) for n in range(count)]
        ours = Utterances.of(several)
        ours.sibling(several[-1], np.random.default_rng(0))  # what is set up once
        taken: list[None] = []
        ours._table.set_progress_handler(lambda: taken.append(None), 10)
        for number in range(50):
            ours.sibling(several[-number], np.random.default_rng(number))
            ours.stranger(several[-1], np.random.default_rng(number))
        return len(taken)

    assert steps(4000) < 2 * steps(400)


def test_ids_are_the_same_however_they_are_asked_for() -> None:
    names = ["a", "A", "b", "B b", "B_b", "é", "e", "ж", "щ", "c", "C é", "c_e", "C_e"]
    ids = SafeIds(names)
    assert {name: ids[name] for name in names} == safe_ids(names)
    assert len({key.lower() for key in safe_ids(names).values()}) == len(names)
    assert safe_ids(names)["b"] == "b" and safe_ids(names)["B_b"] == "B_b" and safe_ids(names)["B b"] != "B_b"
