"""Tables of words and of speakers: one truth in many spellings is read as it is, or refused with file and line."""

import csv
import os
from pathlib import Path

import pytest

from benchmark.datasets.tables import file_table, read_file_table, read_table, two_columns
from benchmark.errors import MissingDataset, UsageError

WORDS = {
    "s1": "set white with p two soon",
    "s2": "bin\nblue, at\u2028f",
    "s3": 'he said "now"',
    "s4": "naïve\x85 caf\u00e9",
}


def table(path, rows, delimiter=","):
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    return path


def found(path, names=WORDS, what="text"):
    known = read_file_table(path, what)
    return {name: known.find(name) for name in names}


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("head", [("id", "text"), ("File", "Sentence"), ("utt_id", "transcription"), None])
def test_quoted_cells_keep_every_character(tmp_path, delimiter, head):
    rows = [*([head] if head else []), *WORDS.items()]
    assert found(table(tmp_path / "t.csv", rows, delimiter)) == WORDS


@pytest.mark.parametrize("suffix", ["txt", "tsv", "text"])
@pytest.mark.parametrize("mark", [" ", "\t", "   "])
def test_lines_keep_every_character(tmp_path, suffix, mark):
    words = {name: text.replace("\n", " ") for name, text in WORDS.items()}
    (tmp_path / f"t.{suffix}").write_text("\n".join(f"{name}{mark}{text}" for name, text in words.items()), "utf-8")
    assert found(tmp_path / f"t.{suffix}") == words


@pytest.mark.parametrize(("name", "mark"), [("t.csv", ","), ("t.csv", "|"), ("t.tsv", "\t")])
def test_of_several_columns_the_named_ones_are_taken(tmp_path, name, mark):
    rows = [("speaker", "text", "id", "sex"), ("anna", "set white", "s1", "f"), ("ben", "bin blue", "s2", "m")]
    (tmp_path / name).write_text("\n".join(mark.join(row) for row in rows))
    assert found(tmp_path / name, ["s1", "s2"]) == {"s1": "set white", "s2": "bin blue"}
    assert found(tmp_path / name, ["s1", "s2"], "speaker") == {"s1": "anna", "s2": "ben"}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", "id,text\ns1,set white, with p\n", r"t\.csv, line 2: 3 cells, and the header has 2"),
        ("t.csv", "s1,set white\ns2,bin, blue\n", r"line 2: 3 cells, expected an id and a text"),
        ("t.csv", "id,speaker,words of it\ns1,anna,set\n", r"line 1: 3 cells.*name them all in a first row"),
        ("t.csv", "id,text\ns1,set\nwhite\n", r"line 3: 1 cells, and the header has 2"),
        ("t.csv", 'id,text\ns1,"set\nwhite"\ns2,"bin\ns3,lay\n', r"line 4: not a row of a csv file"),
        ("t.csv", 'id,text\ns1,"set" white\n', r"line 2: not a row of a csv file"),
        ("t.csv", "id,text,text\ns1,a,b\n", r"line 1: two columns are called 'text'"),
        ("t.csv", "id,text\n,a\n", r"line 2: no name of a file"),
        ("t.tsv", "s1\tset\nwhite\n", r"line 2: no tab"),
        ("t.tsv", "s1\tanna\tset\n", r"line 1: 3 cells"),
        ("t.txt", "s1 set\twhite\ns2 bin\n", r"line 2: no tab"),
    ],
)
def test_nothing_is_cut_or_glued(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(UsageError, match=message):
        read_file_table(tmp_path / name, "text")


def test_a_name_that_comes_twice_must_say_the_same(tmp_path):
    (tmp_path / "t.csv").write_text("id,text\ns1,a b\ns2,c\ns1.wav,a b\n")
    assert found(tmp_path / "t.csv", ["s1", "s2"]) == {"s1": "a b", "s2": "c"}
    (tmp_path / "t.csv").write_text("id,text\ns1,a b\ns2,c\ns1.flac,d\n")
    with pytest.raises(UsageError, match=r"t\.csv: lines 2 and 4: 's1' is there twice"):
        read_file_table(tmp_path / "t.csv", "text")


def test_names_match_by_stem_last_part_and_normal_form(tmp_path):
    given = ["S.FLAC", "p/q.wav", "Jose\u0301", "9.41\u202fAM", "c\u00a0", "v1.0"]
    known = file_table(tmp_path, [(n, name, str(n)) for n, name in enumerate(given)])
    wanted = {"S": "0", "q": "1", "p/q": "1", "x/S": "0", "José": "2", "9.41\u202fAM": "3", "c\u00a0": "4", "v1.0": "5"}
    assert {name: known.find(name) for name in wanted} == wanted
    assert [known.find(name) for name in ("s", "v1", "c", "pq")] == [None] * 4
    assert known.strangers(["S", "q", "José"]) == ["9.41\u202fAM", "c\u00a0", "v1.0"]


def test_a_name_that_could_mean_several_rows_is_refused(tmp_path):
    known = file_table(tmp_path / "t", [(1, "a/x", "one"), (2, "b/x", "two"), (3, "a/y", "three"), (4, "b/y", "three")])
    assert known.find("a/x") == "one" and known.find("y") == "three"
    with pytest.raises(UsageError, match=r"meant by 'x'.*a/x, b/x"):
        known.find("x")


def test_a_table_of_a_corpus_names_its_lines(tmp_path):
    path = tmp_path / "people.csv"
    path.write_text('\ufeffperson,born in,sex\n"Ann, of\nLeeds",Ely,f\n\nBen\n', "utf-8")
    assert read_table(path, ("person",)) == [
        {"person": "Ann, of\nLeeds", "born in": "Ely", "sex": "f", "line": "2"},
        {"person": "Ben", "born in": "", "sex": "", "line": "5"},
    ]
    path.write_text("person,sex\nAnn,f\nBen, of Leeds,m\n")
    with pytest.raises(MissingDataset, match=r"people\.csv, line 3: 3 cells, and the header has 2"):
        read_table(path, ("person",))
    path.write_text('person,sex\nAnn,f\n"Ben,m\n')
    with pytest.raises(MissingDataset, match=r"people\.csv, line 3: not a row of a csv file.*expected"):
        read_table(path, ("person",))


def test_another_mark_in_a_cell_does_no_harm(tmp_path):
    path = tmp_path / "people.csv"
    path.write_text('person;born, in;sex\n"Ann";"Ely, \tUK";f\n')
    assert read_table(path, ("person",)) == [{"person": "Ann", "born, in": "Ely, \tUK", "sex": "f", "line": "2"}]
    path.write_text('\n"s1";"a, b"\n"s2";"c"\n')
    assert found(path, ["s1", "s2"]) == {"s1": "a, b", "s2": "c"}
    for mark, other in (",;", ";,", "|,", "\t,"):
        path.write_text(f"s1{mark}a{other} b\ns2{mark}c{other} d\n")
        assert found(path, ["s1", "s2"]) == {"s1": f"a{other} b", "s2": f"c{other} d"}


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="no /dev/fd")
def test_a_table_may_come_through_a_pipe():
    reading, writing = os.pipe()
    os.write(writing, b"s1\tset white\ns2\tbin blue\n")
    os.close(writing)
    assert found(Path(f"/dev/fd/{reading}"), ["s1", "s2"]) == {"s1": "set white", "s2": "bin blue"}
    os.close(reading)


@pytest.mark.parametrize(("what", "head"), [("text", "id,speaker"), ("speaker", "id\ttext")])
def test_a_table_of_something_else_is_refused(tmp_path, what, head):
    path = tmp_path / ("t.csv" if "," in head else "t.tsv")
    path.write_text(head + "\n" + head.replace("id", "a").replace("speaker", "anna").replace("text", "bin blue") + "\n")
    with pytest.raises(UsageError, match=f"its columns are called id and .*; expected one called {what}"):
        two_columns(path, what)
