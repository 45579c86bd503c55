"""What lies in the place of a file of weights where its download went wrong: told by its first bytes.

A clone without Git LFS holds pointers, a drive that asks for a confirmation sends a page, a proxy its log-in form, a
file server an error in XML or JSON.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from metrics.sizes import size_told

_POINTER = b"version https://git-lfs.github.com/spec/"
_PAGE = re.compile(rb"<(!doctype html|html|head|body|title|script|meta)\b", re.IGNORECASE)
_HEAD = 4096
_MOST_JSON = 1 << 16
"""Bytes; an answer that is an error is not longer."""
_TEXTS = (".json", ".txt", ".yaml", ".yml")
"""Ends of the names of files that may well be text."""


def not_weights(path: Path, suffix: str | None = None) -> str | None:
    """What the file is instead of weights, in words, and what that comes from; None where nothing like it is seen.

    Args:
        path: of a file that is there.
        suffix: the end of the name that it should have, by default of the one it has: JSON may be what is wanted.

    Raises:
        OSError: it cannot be read.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "generator.pth")
    >>> _ = path.write_text("<!DOCTYPE html><title>Quota exceeded</title>")
    >>> not_weights(path)
    "a web page ('Quota exceeded') that a server sent in place of the file"
    """
    path = Path(path)
    size = path.stat().st_size
    if not size:
        return "empty"
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if head.startswith(_POINTER):
        stated = re.search(rb"^size (\d{1,15})$", head, re.MULTILINE)
        whole = f" of {size_told(int(stated[1]))}" if stated else ""
        return f"a Git LFS pointer to the file{whole}, not the file (`git lfs pull` brings it)"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"<"):
        if _PAGE.search(text):
            return f"a web page{_quoted(text, rb'<title[^>]*>(.*?)</title>')} that a server sent in place of the file"
        if text.startswith(b"<?xml") or re.match(rb"<[A-Za-z][\w:.-]*[\s/>]", text):
            return f"an XML text{_quoted(text, rb'<Message>(.*?)</Message>')}, as file servers send for an error"
    if text.startswith(b"{") and size <= _MOST_JSON and (suffix or path.suffix) not in _TEXTS and _is_json(path):
        return f"a JSON text ({_plain(text)!r}), as servers send for an error"
    return None


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return False
    return True


def _quoted(text: bytes, pattern: bytes) -> str:
    """What the text says of itself, or nothing."""
    found = re.search(pattern, text, re.IGNORECASE | re.DOTALL)
    said = _plain(found[1]) if found else ""
    return f" ({said!r})" if said else ""


def _plain(text: bytes) -> str:
    """One line of printable characters, and not much of it."""
    words = " ".join(text.decode("utf-8", "replace").split())
    return "".join(character if character.isprintable() else "?" for character in words)[:60].strip()
