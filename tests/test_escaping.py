"""Foreign text in each medium: one line, nothing executed, and to be read back where that is asked of it."""

from __future__ import annotations

import csv
import html as standard
import io
import json
import unicodedata
from html.parser import HTMLParser

import pytest

from benchmark.reports import escaping

ALL = "".join(chr(number) for number in (*range(0x3000), *range(0xD800, 0xD802), 0xFEFF, 0x1F600, 0xE0001))
MOVES = [mark for mark in ALL if unicodedata.category(mark) in ("Cc", "Zl", "Zp", "Cs")] + list(
    "\u202e\u2066\u200f\ufeff"
)
WORDS = ["José Müller", "山田", "Анна", "a\u200db", "9.41.10\u202fAM", "x\xa0y", "mean_face", "sf2f (fuser=false)"]


@pytest.mark.parametrize("medium", ["printable", "markdown", "latex", "csv_cell", "html", "markdown_code"])
def test_nothing_that_moves_the_cursor_or_turns_the_text_gets_through(medium: str) -> None:
    safe = getattr(escaping, medium)(ALL)
    assert not set(MOVES) & set(safe)
    assert len(safe.splitlines()) == 1
    safe.encode("utf-8")


@pytest.mark.parametrize("word", WORDS)
def test_names_of_people_and_settings_stay_as_they_are(word: str) -> None:
    assert escaping.printable(word) == escaping.markdown(word) == escaping.csv_cell(word) == escaping.html(word) == word


def test_messages_keep_their_lines() -> None:
    assert escaping.printable_lines("a\n  b\x1b") == "a\n  b\\x1b"


def test_a_cell_of_a_table_is_one_cell() -> None:
    out = io.StringIO()
    csv.writer(out).writerow([escaping.csv_cell(mark + "1" + mark) for mark in ALL])
    (row,) = csv.reader(io.StringIO(out.getvalue()))
    assert len(row) == len(ALL)
    assert not [cell for cell in row if cell.strip()[0] in "=+-@"]


def test_a_page_shows_the_text_and_nothing_else() -> None:
    found: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: object) -> None:
            found.append(f"tag {tag}")

        def handle_data(self, data: str) -> None:
            found.append(data)

    hostile = "<script>alert(1)</script>&amp;\"' onload='x'"
    reader = Reader()
    reader.feed(f"<p title='{escaping.html(hostile)}'>{escaping.html(hostile)}</p>")
    reader.close()
    assert found[0] == "tag p" and "".join(found[1:]) == hostile
    assert standard.unescape(escaping.html(hostile)) == hostile


def test_json_is_the_same_value() -> None:
    document = json.dumps({ALL: [ALL, 1.5]}, ensure_ascii=False)
    safe = escaping.json_text(document)
    assert json.loads(safe) == json.loads(document)
    assert not {mark for mark in MOVES if mark not in "\n"} & set(safe)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a|b", r"a\|b"),
        ("a\\|b", r"a\\\|b"),
        ("_x_", r"\_x\_"),
        ("x_1 (y=2)", "x_1 (y=2)"),
        ("![i](http://x)", r"!\[i\](http://x)"),
        ("&lt;b&gt; & c", "&amp;lt;b&amp;gt; & c"),
        ("~~x~~ $y$", r"\~\~x\~\~ \$y\$"),
    ],
)
def test_markdown_is_not_formatted(text: str, shown: str) -> None:
    assert escaping.markdown(text) == shown


@pytest.mark.parametrize("text", ["x", "a`b", "``", "a|b", "`x`"])
def test_code_keeps_its_backticks(text: str) -> None:
    code = escaping.markdown_code(text)
    fence = code[: len(code) - len(code.lstrip("`"))]
    inside = code.removeprefix(fence).removesuffix(fence)
    assert fence not in inside and inside.strip() == text


def test_options_keep_their_two_hyphens_in_latex():
    assert escaping.latex("--set a-b ---") == "-{}-set a-b -{}-{}-"
