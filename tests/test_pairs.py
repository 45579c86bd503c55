"""Pairing files: folders, lists, names on one side only, speakers, words."""

import os
from pathlib import Path

import numpy as np
import pytest

from benchmark.errors import UsageError
from benchmark.media import write_audio
from benchmark.pairs import find_pairs, read_table, with_speakers, with_texts
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
    assert [(pair.id, pair.estimate.name) for pair in found.pairs] == [("b c", "b c.wav"), ("first", "a.wav")]
    assert found.skipped == ("nonsense",)
    (tmp_path / "clean.scp").write_text("first made/a.wav\n")
    assert ids(find_pairs(listing, tmp_path / "clean.scp")) == ["first"]


@pytest.mark.parametrize(
    ("estimate", "message"),
    [("missing", "no such file or folder"), ("empty", "holds no sound"), ("picture.png", "neither a sound file")],
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
    with pytest.raises(UsageError, match="cannot be read"):
        read_table(tmp_path / "none.csv")


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
