"""Where VoxCeleb's recordings lie: `{dev,test}/<speaker>/<clip>/<file>`, with or without the archives' own folders."""

from __future__ import annotations

from pathlib import Path

from benchmark.datasets.media_files import MediaFinder, is_speech
from benchmark.datasets.names import same

_PARTS = ("dev", "test", "wav", "aac", "mp4")


class SpeakerFolders:
    """The folders of a VoxCeleb corpus by speaker; a speaker may be in both of its parts."""

    def __init__(self, place: Path, finder: MediaFinder) -> None:
        """
        Args:
            place: holds the speakers' folders, directly or below `dev`, `test`, `wav`, `aac`, `dev/wav` and so on.
        """
        self._finder = finder
        self._folders: dict[str, list[Path]] = {}
        self._collect(place, depth=2)

    def _collect(self, place: Path, depth: int) -> None:
        for path in self._finder.folders(place):
            if path.name in _PARTS and depth:
                self._collect(path, depth - 1)
            else:
                self._folders.setdefault(same(path.name), []).append(path)

    def __contains__(self, speaker: str) -> bool:
        return same(speaker) in self._folders

    def recordings(self, *speakers: str) -> list[str]:
        """Usable recordings of a speaker, sorted; of several where one person has several folders."""
        folders = [folder for speaker in speakers for folder in self._folders.get(same(speaker), ())]
        return sorted(file for folder in folders for file in self._finder.media(folder, is_speech))

    def name_strangers(self, known: set[str], table: str) -> None:
        """Name the folders of speakers that the table does not hold."""
        for speaker in sorted(self._folders.keys() - {same(name) for name in known}):
            for folder in self._folders[speaker]:
                self._finder.leave_out(folder, f"no row of {table} has this speaker")
