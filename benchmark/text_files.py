"""Read text that people hand in: UTF-8, with or without a mark at its beginning, and never guessed at."""

from __future__ import annotations

from pathlib import Path

from benchmark.errors import UsageError

MAX_BYTES = 2**30
"""Longer files are refused: no table of words or paths has as much."""
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
BLANK = " \t\r\n"
"""What may stand around a cell or a line: other spaces, such as U+00A0, are characters of names."""


def read_text(path: Path) -> str:
    r"""The text of a file, its line ends as they are.

    Raises:
        UsageError: not readable, or not UTF-8; the message names the line.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if len(content) > MAX_BYTES:
        raise UsageError(f"{path} cannot be read: it has over {MAX_BYTES >> 20} MiB; expected a text file")
    # Without a mark, English in UTF-16 is valid UTF-8 that has a zero between any two letters.
    head = content[:200]
    if content.startswith(_UTF16) or (head and head.count(b"\0") >= 0.3 * len(head)):
        raise UsageError(
            f"{path}, line 1: this looks like UTF-16; expected UTF-8. Convert it: "
            f"iconv -f UTF-16 -t UTF-8 '{path}' > utf8.txt"
        )
    content = content.removeprefix(b"\xef\xbb\xbf")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UsageError(
            f"{path}, line {line}: byte 0x{content[error.start]:02x} is not UTF-8. Where the file is in Latin-1, "
            f"convert it: iconv -f LATIN1 -t UTF-8 '{path}' > utf8.txt"
        ) from error


def read_lines(path: Path) -> list[str]:
    r"""The lines of a file, without their ends; the first is line 1.

    A line ends with `\n` or `\r\n` (or `\r`, in files that have no `\n`), and with nothing else: U+2028, U+0085 and
    their like are characters of the text. Empty lines stay, save at the end.

    Raises:
        UsageError: as `read_text`; or a carriage return within a line.
    """
    text = read_text(path)
    lines = [line.removesuffix("\r") for line in text.split("\n" if "\n" in text else "\r")]
    for number, line in enumerate(lines, 1):
        if "\r" in line:
            raise UsageError(f"{path}, line {number}: a carriage return within the line; expected one line end")
    while lines and not lines[-1].strip(BLANK):
        lines.pop()
    return lines
