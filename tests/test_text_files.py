"""Text is UTF-8 with or without a mark; anything else is named with its line, and only line ends end a line."""

import os

import pytest

from benchmark.errors import UsageError
from benchmark.text_files import read_lines, read_text

TEXT = "José\u2028 says\x85 9.41\u202fAM\x0b\x0c\x1c\n\nyes"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_utf8_comes_back_as_it_is(tmp_path, encoding):
    (tmp_path / "t").write_bytes(TEXT.encode(encoding))
    assert read_text(tmp_path / "t") == TEXT
    assert read_lines(tmp_path / "t") == TEXT.split("\n")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_the_ends_of_lines_of_every_system_end_lines(tmp_path, end):
    (tmp_path / "t").write_bytes(end.join(["a b ", "", " c\u2028", "", " "]).encode())
    assert read_lines(tmp_path / "t") == ["a b ", "", " c\u2028"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf16_is_recognised_and_its_cure_is_told(tmp_path, encoding):
    (tmp_path / "t").write_bytes("s1 set white\ns2 bin blue".encode(encoding))
    with pytest.raises(UsageError, match=r"t, line 1: this looks like UTF-16.*iconv -f UTF-16 -t UTF-8 '.*t'"):
        read_text(tmp_path / "t")


def test_another_encoding_is_named_with_its_line(tmp_path):
    (tmp_path / "t").write_bytes("a\nb\nJosé\n".encode("latin-1"))
    with pytest.raises(UsageError, match=r"t, line 3: byte 0xe9 is not UTF-8.*iconv -f LATIN1"):
        read_text(tmp_path / "t")


def test_a_carriage_return_within_a_line_is_named(tmp_path):
    (tmp_path / "t").write_bytes(b"s1 set white\ns2 bin\rblue\n")
    with pytest.raises(UsageError, match="line 2: a carriage return"):
        read_lines(tmp_path / "t")


def test_what_cannot_be_read_is_named(tmp_path):
    for path in (tmp_path / "none", tmp_path, tmp_path / ("x" * 400), tmp_path / "a\0b"):
        with pytest.raises(UsageError, match="cannot be read: "):
            read_text(path)
    if hasattr(os, "mkfifo"):
        reading, writing = os.pipe()
        os.write(writing, b"from a pipe")
        os.close(writing)
        assert read_text(type(tmp_path)(f"/dev/fd/{reading}")) == "from a pipe"
        os.close(reading)
