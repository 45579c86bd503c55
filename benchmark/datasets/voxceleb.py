"""What VoxCeleb1 and VoxCeleb2 share: their terms, and where recordings lie: `{dev,test}/<speaker>/<clip>/<file>`, with
or without the archives' own folders.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from benchmark.datasets.media_files import MediaFinder, is_speech
from benchmark.datasets.names import same

TERMS = (
    "Told in two ways: CC BY 4.0 where the files are handed out, for research; CC BY-SA 4.0, for the metadata, on "
    "Oxford's pages. The videos belong to those who uploaded them. The people are celebrities of YouTube who were not "
    "asked: no identification of private persons, no impersonation; keep to the authors' privacy notice, and delete "
    "what they withdraw."
)
"""Of both."""
_PARTS = ("dev", "test", "wav", "aac", "mp4")


class SpeakerFolders:
    """The folders of a VoxCeleb corpus by speaker; a speaker may be in both of its parts."""

    def __init__(self, places: Iterable[Path], finder: MediaFinder) -> None:
        """
        Args:
            places: hold the speakers' folders, directly or below `dev`, `test`, `wav`, `aac`, `dev/wav` and so on.
        """
        self._finder = finder
        self._folders: dict[str, list[Path]] = {}
        for place in places:
            self._collect(place, depth=2)

    def _collect(self, place: Path, depth: int) -> None:
        for path in self._finder.folders(place):
            if path.name in _PARTS and depth:
                self._collect(path, depth - 1)
            else:
                self._folders.setdefault(same(path.name), []).append(path)

    def __contains__(self, speaker: str) -> bool:
        return same(speaker) in self._folders

    def recordings(self, people: Iterable[Sequence[str]]) -> Iterator[list[str]]:
        """Usable recordings of each person, sorted.

        Args:
            people: the speakers as whom each person may have folders.
        """
        several = [[folder for name in names for folder in self._folders.get(same(name), ())] for names in people]
        found = self._finder.media_of([folder for folders in several for folder in folders], is_speech)
        for folders in several:
            yield sorted(file for _, files in itertools.islice(found, len(folders)) for file in files)

    def name_strangers(self, known: Iterable[str], table: str) -> None:
        """Name the folders of speakers that the table does not hold."""
        for speaker in sorted(self._folders.keys() - {same(name) for name in known}):
            for folder in self._folders[speaker]:
                self._finder.leave_out(folder, f"no row of {table} has this speaker")
