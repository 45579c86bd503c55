"""Pairing files: folders, lists, names on one side only, speakers, words."""

import os
from pathlib import Path

import numpy as np
import pytest

from benchmark.errors import MediaError, UsageError
from benchmark.media import write_audio
from benchmark.pairs.matching import PairReader, find_pairs, with_speakers, with_texts
from benchmark.runs.directory import Prediction
from benchmark.types import Audio


def wav(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_audio(path, Audio(np.full(800, 0.1, np.float32), 16_000))
    return path


def tree(root: Path, *names: str) -> Path:
    for name in names:
        wav(root / name)
    return root


def ids(found) -> list[str]:
    return [pair.id for pair in found.pairs]


def test_folders_pair_by_name_whatever_the_suffix_and_tell_who_is_alone(tmp_path):
    clean = tree(tmp_path / "clean", "a.wav", "b.wav", "c.wav", ".hidden.wav")
    made = tree(tmp_path / "made", "a.flac", "b.wav", "d.wav")
    (made / "notes.txt").write_text("x")
    found = find_pairs(made, clean)
    assert ids(found) == ["a", "b"]
    assert found.pairs[0].estimate == made / "a.flac" and found.pairs[0].reference == clean / "a.wav"
    assert (found.reference_only, found.estimate_only) == (("c",), ("d",))
    assert [Path(name).name for name in found.skipped] == ["notes.txt"]
    assert [pair.speaker for pair in found.pairs] == ["a", "b"] and found.clusters == "files"


def test_subfolders_are_part_of_the_name_and_name_the_speaker(tmp_path):
    clean = tree(tmp_path / "clean", "s1/a.wav", "s1/b.wav", "s2/a.wav")
    made = tree(tmp_path / "made", "s1/a.wav", "s1/b.wav", "s2/a.wav")
    found = find_pairs(made, clean)
    assert [(pair.id, pair.speaker) for pair in found.pairs] == [("s1/a", "s1"), ("s1/b", "s1"), ("s2/a", "s2")]
    assert found.clusters == "folders"


def test_folders_laid_out_differently_pair_by_the_last_part_where_it_is_unique(tmp_path):
    clean = tree(tmp_path / "clean", "s1/a.wav", "s2/b.wav")
    assert ids(find_pairs(tree(tmp_path / "made", "a.wav", "b.wav"), clean)) == ["a", "b"]
    with pytest.raises(UsageError, match="'a' alone is not unique"):
        find_pairs(tree(tmp_path / "other", "x/a.wav", "y/a.wav"), tree(tmp_path / "flat", "a.wav"))


def test_two_files_of_one_name_are_an_error_that_names_both(tmp_path):
    with pytest.raises(UsageError, match=r"'a': .*a\.flac, .*a\.wav"):
        find_pairs(tree(tmp_path / "made", "a.wav", "a.flac"))


def test_two_files_pair_whatever_their_names(tmp_path):
    found = find_pairs(wav(tmp_path / "mine.wav"), wav(tmp_path / "clean.flac"))
    assert [(pair.id, pair.reference.name) for pair in found.pairs] == [("mine", "clean.flac")]


def test_lists_hold_paths_or_ids_and_paths(tmp_path):
    made = tree(tmp_path / "made", "a.wav", "b c.wav")
    listing = tmp_path / "made.scp"
    listing.write_text(f"# ours\nfirst {made / 'a.wav'}\n{made / 'b c.wav'}\nnonsense\n\n")
    found = find_pairs(listing)
    assert [(pair.id, pair.estimate.name) for pair in found.pairs] == [
        ("b c", "b c.wav"), ("first", "a.wav"), ("nonsense", "nonsense"),
    ]  # fmt: skip
    assert found.notes == (f"1 lines of {listing} name no file: they count as failed",)
    (tmp_path / "clean.scp").write_text("first made/a.wav\n")
    found = find_pairs(listing, tmp_path / "clean.scp")
    assert [(pair.id, pair.reference and pair.reference.name) for pair in found.pairs] == [
        ("first", "a.wav"), ("nonsense", None),
    ]  # fmt: skip
    assert found.estimate_only == ("b c",)


@pytest.mark.parametrize(
    ("estimate", "message"),
    [
        ("missing", "no such file or folder"),
        ("empty", "holds no sound"),
        ("picture.png", "expected a sound file or video"),
    ],
)
def test_what_cannot_be_scored_is_said(tmp_path, estimate, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n\x00\xff")
    with pytest.raises(UsageError, match=message):
        find_pairs(tmp_path / estimate)


def test_no_name_in_common_shows_both_sides(tmp_path):
    with pytest.raises(UsageError, match=r"'b'.*'a'"):
        find_pairs(tree(tmp_path / "made", "b.wav"), tree(tmp_path / "clean", "a.wav"))


def test_a_loop_of_links_ends(tmp_path):
    made = tree(tmp_path / "made", "a.wav")
    os.symlink(made, made / "loop")
    assert ids(find_pairs(made)) == ["a"]


def test_speakers_come_from_a_table(tmp_path):
    found = find_pairs(tree(tmp_path / "made", "a.wav", "b.wav"))
    (tmp_path / "who.csv").write_text("id,speaker\na,anna\nb.wav,ben\n")
    assert [pair.speaker for pair in with_speakers(found, tmp_path / "who.csv").pairs] == ["anna", "ben"]
    (tmp_path / "who.txt").write_text("a anna\n")
    with pytest.raises(UsageError, match="no speaker for 1 of 2 files: 'b'"):
        with_speakers(found, tmp_path / "who.txt")
    with pytest.raises(UsageError, match=r"none\.csv cannot be read: No such file"):
        with_speakers(found, tmp_path / "none.csv")


def test_words_come_from_a_table_a_folder_or_grid_names(tmp_path):
    found = find_pairs(tree(tmp_path / "made", "s1/bbaf2n.wav", "s1/other.wav", "s1/s1_lgiz8p.wav"))
    assert [pair.text for pair in with_texts(found, "grid").pairs] == [
        "bin blue at f two now",
        None,
        "lay green in z eight please",
    ]
    (tmp_path / "texts.tsv").write_text("bbaf2n\tBin blue, at F two now.\n")
    assert with_texts(found, str(tmp_path / "texts.tsv")).pairs[0].text == "Bin blue, at F two now."
    folder = tmp_path / "labels" / "s1"
    folder.mkdir(parents=True)
    (folder / "other.lab").write_text("hello there\n")
    assert [pair.text for pair in with_texts(found, str(folder.parent)).pairs] == [None, "hello there", None]
    (tmp_path / "none.tsv").write_text("x\ty\n")
    with pytest.raises(UsageError, match="words for none of 3 files"):
        with_texts(found, str(tmp_path / "none.tsv"))


def test_a_changed_file_has_another_version(tmp_path):
    (pair,) = find_pairs(wav(tmp_path / "a.wav")).pairs
    before = pair.version()
    os.utime(tmp_path / "a.wav", (1, 1))
    assert pair.version() == before
    write_audio(tmp_path / "a.wav", Audio(np.full(900, 0.1, np.float32), 16_000))
    assert pair.version() != before


NFC, NFD, MAC, FIXED = "José", "Jose\u0301", "Recording 9.41.10\u202fAM", "Aufnahme\u00a012"


def test_names_compare_in_one_normal_form_and_hold_any_character_of_text(tmp_path):
    clean = tree(tmp_path / "clean", f"{NFC}.wav", f"{MAC}.wav", f"{FIXED}.wav", "👩‍🎤.wav")
    made = tree(tmp_path / "made", f"{NFD}.wav", f"{MAC}.wav", f"{FIXED}.wav", "👩‍🎤.wav")
    found = find_pairs(made, clean)
    assert ids(found) == sorted([NFC, MAC, FIXED, "👩‍🎤"])
    assert not (found.skipped or found.notes or found.reference_only or found.estimate_only)
    assert {pair.reference.name for pair in found.pairs} == {path.name for path in clean.iterdir()}
    (tmp_path / "texts.csv").write_text(f"id,text\n{NFD}.wav,a\n{MAC},b\n{FIXED},c\n👩‍🎤,d\n", "utf-8")
    assert {pair.text for pair in with_texts(found, str(tmp_path / "texts.csv")).pairs} == set("abcd")
    tree(tmp_path / "made", f"{NFC}.wav")
    with pytest.raises(UsageError, match="1 names stand for several files"):
        find_pairs(made, clean)


def test_names_that_are_no_text_are_escaped_and_pair(tmp_path):
    for folder in ("clean", "made"):
        (tmp_path / folder).mkdir()
        for name in (b"Jos\xe9.wav", b"a\nb.wav", b"c\xe2\x80\xa8d.wav"):
            os.rename(wav(tmp_path / "x.wav"), os.path.join(os.fsencode(tmp_path / folder), name))
    found = find_pairs(tmp_path / "made", tmp_path / "clean")
    assert ids(found) == ["Jos\\xe9", "a\\nb", "c\\u2028d"]
    reader = PairReader({pair.id: pair for pair in found.pairs})
    for pair in found.pairs:
        item = reader(Prediction(pair.id, pair.speaker, 0, "ok", str(pair.estimate)), tmp_path)
        assert item.reference.shape == item.estimate.shape == (800,)


def test_a_list_resolves_its_paths_beside_itself(tmp_path, monkeypatch):
    root = tree(tmp_path / "lists", "rec room/take 1.wav", "rec room/take2.wav", f"{NFD}.wav", f"{FIXED}.wav", "#1.wav")
    tree(tmp_path / "elsewhere", "rec room/take 1.wav")
    monkeypatch.chdir(tmp_path / "elsewhere")
    lines = ["# ours", "u1 rec room/take 1.wav", "u2\trec room/take2.wav", f"u3 {NFC}.wav", f'u4  "{FIXED}.wav"']
    (root / "a.scp").write_text("\ufeff" + "\r\n".join(lines), "utf-8")
    files = {"u1": "rec room/take 1.wav", "u2": "rec room/take2.wav", "u3": f"{NFD}.wav", "u4": f"{FIXED}.wav"}
    assert {pair.id: pair.estimate for pair in find_pairs(root / "a.scp").pairs} == {
        key: root / name for key, name in files.items()
    }
    (root / "b.csv").write_text("id,path\n" + "".join(f"{key},{name}\n" for key, name in files.items()), "utf-8")
    assert ids(find_pairs(root / "b.csv")) == list(files)
    (root / "c.txt").write_text(
        f"rec room/take 1.wav\nrec room/take2.wav\n{NFC}.wav\n#1.wav\nrec room/gone 9.wav\n", "utf-8"
    )
    found = find_pairs(root / "c.txt")
    assert ids(found) == ["#1", NFC, "gone 9", "take 1", "take2"]
    assert [pair.id for pair in found.pairs if not pair.estimate.is_file()] == ["gone 9"]
    (tmp_path / "elsewhere" / "d.txt").write_text("u1 ../lists/rec room/take2.wav\n")
    assert ids(find_pairs(tmp_path / "elsewhere" / "d.txt")) == ["u1"]


def test_lines_of_a_list_that_name_no_file_count(tmp_path):
    made = tree(tmp_path / "made", "a.wav", "b.wav")
    lines = ["u1 a.wav", "u2 b.wav", "u3 gone.wav", "u4 sox x.wav -t wav - |", "u5 \0.wav", "u6 notes.txt", "u1 a.wav"]
    (made / "notes.txt").write_text("x")
    (made / "list").write_text("\n".join(lines))
    found = find_pairs(made / "list")
    assert ids(found) == ["u1", "u2", "u3", "u4", "u5", "u6"]
    reader = PairReader({pair.id: pair for pair in found.pairs})
    for pair in found.pairs:
        prediction = Prediction(pair.id, pair.speaker, 0, "ok", str(pair.estimate), version=pair.version())
        if pair.id in ("u1", "u2"):
            assert reader(prediction, made).id == pair.id
        else:
            with pytest.raises(MediaError):
                reader(prediction, made)
    (made / "list").write_text("u1 a.wav\nu1 b.wav\n")
    with pytest.raises(UsageError, match=r"'u1': line 1: a\.wav, line 2: b\.wav"):
        find_pairs(made / "list")
    (made / "list").write_text("\nnot a list\nof files\n")
    with pytest.raises(
        UsageError, match=r"none of its 2 lines names a file that is here, such as line 2, 'not a list'"
    ):
        find_pairs(made / "list")


def test_texts_beside_the_recordings_are_utf8_and_one_a_recording(tmp_path):
    found = find_pairs(tree(tmp_path / "made", f"{NFC}.wav", "b.wav"))
    texts = tmp_path / "texts"
    texts.mkdir()
    (texts / f"{NFD}.txt").write_bytes("\ufeffset white\r\nnow".encode())
    (texts / "b.txt").write_text("Text:  LAY GREEN\nConf:  4\n\nWORD START END\nLAY 0 1\n")
    (texts / "other.lab").write_text("x")
    told = with_texts(found, str(texts))
    assert {pair.id: pair.text for pair in told.pairs} == {"b": "LAY GREEN", NFC: "set white\r\nnow"}
    assert told.notes == (f"1 texts of {texts} are of none of these files: 'other'",)
    (texts / "b.lab").write_text("bin blue")
    with pytest.raises(UsageError, match="'b' is there twice"):
        with_texts(found, str(texts))
    (texts / "b.lab").write_bytes("bin blue".encode("utf-16"))
    with pytest.raises(UsageError, match=r"b\.lab, line 1: this looks like UTF-16"):
        with_texts(found, str(texts))
