"""Turn people's names into ids that are safe as file names on every system."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable


def safe_ids(names: Iterable[str]) -> dict[str, str]:
    """Give each name an id of `[A-Za-z0-9._-]`, unique even where upper and lower case are one.

    Accents are dropped and other characters become `_`. Names that would share an id, and names of which nothing is
    left, take a hash of the name at the end, so that an id never depends on the order of the names.

    >>> safe_ids(["Zoë Smith", "Ann"])
    {'Zoë Smith': 'Zoe_Smith', 'Ann': 'Ann'}
    """
    plain = {name: _plain(name) for name in names}
    sharing: dict[str, list[str]] = {}
    for name, clean in plain.items():
        sharing.setdefault(clean.lower(), []).append(name)
    ids: dict[str, str] = {}
    for name, clean in plain.items():
        group = sharing[clean.lower()]
        own = [other for other in group if plain[other] == other]
        ids[name] = clean if clean and (group == [name] or own == [name]) else _hashed(name, clean)
    return ids


def same(name: str) -> str:
    """The form in which two spellings of one name are equal: systems store accents in two ways."""
    return unicodedata.normalize("NFC", name).strip()


def _plain(name: str) -> str:
    decomposed = unicodedata.normalize("NFKD", name)
    text = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
    return re.sub(r"[^A-Za-z0-9._-]+", "_", text).strip("._-")[:100]


def _hashed(name: str, clean: str) -> str:
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{clean or 'person'}-{digest}"
