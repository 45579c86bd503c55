"""Your own recordings and portraits: a folder per person, whatever lies in it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from benchmark.datasets.dataset import Dataset
from benchmark.datasets.manifest import Row
from benchmark.datasets.media_files import MediaFinder, is_portrait, is_speech
from benchmark.datasets.names import safe_ids, same
from benchmark.datasets.tables import read_table, sex_of
from benchmark.media import audio_seconds, check_header, is_image

_TABLE = "people.csv"


class Folder(Dataset):
    """`<root>/<person>/`, holding any mix of recordings, videos and portraits at any depth.

    The attribute `media` is a hash of the contents of a person's files, so that the manifest changes with them.
    """

    name = "folder"
    revision = "1"
    splits = ("test",)
    layout = """\
  <person>/...   recordings or videos (wav flac ogg mp3 m4a mp4 mov mkv mpg) and portraits (jpg png pgm ppm bmp webp),
                 at any depth, in any order
  people.csv     optional: person,sex,age with sex f or m, age in years"""

    def rows(self, split: str, task: str) -> Iterable[Row]:
        """One sample per person who has both speech and faces; the others are named in `problems`."""
        root = self.media_root()
        finder = MediaFinder(root, self.problems)
        people = []
        for path in finder.entries(root):
            if path.name.startswith("."):
                finder.leave_out(path, "hidden")
            elif path.is_dir():
                people.append(path)
            elif path.name != _TABLE:
                finder.leave_out(path, "a stray file: expected a folder for each person")
        known = self._people(root / _TABLE, {same(path.name) for path in people})
        ids = safe_ids([path.name for path in people])
        for path in people:
            files = {}
            for file in finder.media(path, _is_medium, _check):
                try:
                    files[file] = _digest(root / file)
                except OSError as error:
                    finder.leave_out(root / file, f"cannot be read ({error.strerror})")
            speech = [file for file in files if not is_image(file)]
            faces = [file for file in files if is_image(file)]
            if not speech or not faces:
                lacking = "speech" if faces else "face" if speech else "speech and no face"
                finder.leave_out(path, f"this person has no usable {lacking}")
                continue
            person = ids[path.name]
            attributes = {
                **known.get(same(path.name), {}),
                "media": _contents([files[file] for file in (*speech, *faces)]),
            }
            yield Row(person, person, {"speech": tuple(speech)}, {"face": tuple(faces)}, attributes)

    def _people(self, table: Path, present: set[str]) -> dict[str, dict[str, Any]]:
        """Person to sex and age, as far as the table states them."""
        if not table.exists():
            return {}
        people: dict[str, dict[str, Any]] = {}
        for row in read_table(table, ("person",)):
            person, where = same(row["person"]), f"{_TABLE}, line {row['line']}"
            if person not in present:
                self.problems.append(f"{where}: there is no folder {person!r}")
                continue
            if person in people:
                self.problems.append(f"{where}: {person!r} again; the first line counts")
                continue
            found: dict[str, Any] = {}
            for key, (read, expected) in _COLUMNS.items():
                if text := row.get(key, ""):
                    value = read(text)
                    if value is None:
                        self.problems.append(f"{where}: {key} {text!r} is not used; expected {expected}")
                    else:
                        found[key] = value
            people[person] = found
        return people


def _age(text: str) -> float | None:
    try:
        age = float(text)
    except ValueError:
        return None
    return age if 0 < age <= 120 else None


_COLUMNS: dict[str, tuple[Callable[[str], Any], str]] = {
    "sex": (sex_of, "f, m, female or male"),
    "age": (_age, "years, above 0 and up to 120"),
}


def _is_medium(path: Path) -> bool:
    return not path.name.startswith(".") and (is_portrait(path) or is_speech(path))


def _check(path: Path) -> None:
    """By the header for a picture; a recording must have a sound track too."""
    check_header(path)
    if not is_image(path):
        audio_seconds(path)


def _digest(path: Path) -> bytes:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()


def _contents(digests: Iterable[bytes]) -> str:
    return hashlib.sha256(b"".join(digests)).hexdigest()[:16]
