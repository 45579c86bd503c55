"""Names of people and files: compared in one form, found on disk, and turned into safe ids."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from benchmark.datasets.spilled import scratch
from benchmark.text_files import BLANK


def safe_ids(names: Iterable[str]) -> dict[str, str]:
    """Give each name an id of `[A-Za-z0-9._-]`, unique even where upper and lower case are one.

    Accents are dropped and other characters become `_`. Names that would share an id, and names of which nothing is
    left, take a hash of the name at the end, so that an id never depends on the order of the names.

    >>> safe_ids(["Zoë Smith", "Ann"])
    {'Zoë Smith': 'Zoe_Smith', 'Ann': 'Ann'}
    """
    names = dict.fromkeys(names)
    ids = SafeIds(names)
    return {name: ids[name] for name in names}


class SafeIds:
    """The ids that `safe_ids` gives to names, told when they are asked for: there may be a million of them."""

    def __init__(self, names: Iterable[str]) -> None:
        """
        Args:
            names: each once.
        """
        table = scratch()
        table.execute("CREATE TABLE ids (id TEXT PRIMARY KEY, names, own) WITHOUT ROWID")
        table.executemany(
            "INSERT INTO ids VALUES (?, 1, ?) ON CONFLICT DO UPDATE SET names = names + 1, own = own + excluded.own",
            ((plain.lower(), plain == name) for name, plain in ((name, _plain(name)) for name in names)),
        )
        self._shared: dict[str, int] = dict(table.execute("SELECT id, own FROM ids WHERE names > 1"))
        """What more than one name would have in lower case, and how many of them are that id as they are."""
        table.close()

    def __getitem__(self, name: str) -> str:
        plain = _plain(name)
        if not plain:
            return _hashed(name, plain)
        own = self._shared.get(plain.lower())
        return plain if own is None or (own == 1 and plain == name) else _hashed(name, plain)


def same(name: str) -> str:
    """The form in which two spellings of one name are equal: systems store accents in two ways."""
    return unicodedata.normalize("NFC", name).strip(BLANK)


def readable(name: str) -> str:
    r"""A file's name as text that can be stored and printed, in one normal form.

    Control characters, ends of lines, and bytes that are not UTF-8 become escapes; everything else stays, U+00A0 too.

    >>> readable("a\nb"), readable("Jos\udce9")
    ('a\\nb', 'Jos\\xe9')
    """
    if not _is_utf8(name):  # on disk, or in a process that takes the names of files for ASCII
        name = os.fsencode(name).decode("utf-8", "backslashreplace")
    name = unicodedata.normalize("NFC", name)
    odd = ("Cc", "Cs", "Zl", "Zp")
    return "".join(c.encode("unicode_escape").decode() if unicodedata.category(c) in odd else c for c in name)


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def on_disk(path: Path) -> Path | None:
    """What a written path means: that path, or one whose names differ from it in their Unicode form alone."""
    try:
        if path.exists():
            return path
        if str(path).isascii() or path.parent == path:
            return None
        parent = on_disk(path.parent)
        names = os.listdir(parent) if parent else []
    except OSError:  # too long, no folder, or not ours to read: whoever opens it learns why
        return None
    found = next((name for name in names if same(name) == same(path.name)), None)
    return parent / found if parent and found else None


def _plain(name: str) -> str:
    text = name
    if not name.isascii():
        decomposed = unicodedata.normalize("NFKD", name)
        text = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
    return re.sub(r"[^A-Za-z0-9._-]+", "_", text).strip("._-")[:100]


def _hashed(name: str, clean: str) -> str:
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{clean or 'person'}-{digest}"
