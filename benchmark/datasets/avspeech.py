"""AVSpeech (Ephrat et al. 2018): clips of talking people, listed by the corpus and fetched by its users."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from pathlib import Path

from benchmark.datasets.dataset import Dataset
from benchmark.datasets.manifest import Row
from benchmark.datasets.media_files import MediaFinder, is_portrait, is_speech
from benchmark.datasets.names import safe_ids
from benchmark.errors import MissingDataset, UsageError
from benchmark.text_files import read_text


class AVSpeech(Dataset):
    """A listed clip with its face is a sample, and a person of its own: the lists name no speakers.

    The lists say where in a frame the face is; the picture is cut out by whoever fetches the clips.
    """

    name = "avspeech"
    revision = "1"
    splits = ("train", "test")
    layout = """\
  avspeech_train.csv, avspeech_test.csv        as published: YouTube id, start and end in seconds, x, y; no header
  clips/<split>/<YouTube id>_<start>.<suffix>  the clips, videos or their sound; <start> as in the list, or its number
  faces/<split>/<YouTube id>_<start>.<suffix>  the speaker's face, cut out of one frame (jpg png webp)"""
    landmarks = ("avspeech_*.csv",)
    obtain = (
        "The two lists, avspeech_train.csv and avspeech_test.csv. They name parts of YouTube videos: fetch those "
        "that still exist, and cut out each speaker's face, yourself."
    )
    where = "https://looking-to-listen.github.io/avspeech/ (no form)."
    terms = (
        "CC BY 4.0 for the lists; the videos belong to those who uploaded them, and YouTube's terms hold for "
        "fetching them. The people were not asked: no identification, no impersonation."
    )
    use = "The DDPM speech-to-face paper trains and tests on it."

    def rows(self, split: str, task: str) -> Iterable[Row]:
        """The clips of one split that are listed and have a face; others are named in `problems`."""
        root = self.media_root()
        listed = _listed(root / f"avspeech_{split}.csv")
        finder = self.finder()
        clips = _by_key(finder, root / "clips" / split, is_speech)
        faces = _by_key(finder, root / "faces" / split, is_portrait)
        heard = finder.lengths(clips.values())
        clips = {key: file for key, file in clips.items() if file in heard}
        for key in sorted(clips.keys() | faces.keys()):
            known = listed.get(key)
            if known is None:
                finder.leave_out(root / (clips.get(key) or faces[key]), f"avspeech_{split}.csv lists no such clip")
            elif key not in faces or key not in clips:
                lacking = "clip" if key in faces else "face"
                finder.leave_out(root / (clips.get(key) or faces[key]), f"there is no {lacking} of this name")
        if missing := len(listed.keys() - clips.keys()):
            self.problems.append(f"avspeech_{split}.csv: {missing} of {len(listed)} listed clips are not here")
        usable = sorted(listed.keys() & clips.keys() & faces.keys())
        ids = safe_ids([listed[key] for key in usable])
        for key in usable:
            name = ids[listed[key]]
            yield Row(name, name, {"speech": (clips[key],)}, {"face": (faces[key],)})


def _listed(path: Path) -> dict[tuple[str, float], str]:
    """Clips by YouTube id and start, each with its name."""
    try:
        lines = list(csv.reader(read_text(path).splitlines()))
        return {(line[0], float(line[1])): f"{line[0]}_{float(line[1]):.3f}" for line in lines if line}
    except (UsageError, ValueError, IndexError) as error:
        raise MissingDataset(
            f"{path} cannot be read ({error}); expected lines of YouTube id, start, end, x and y"
        ) from error


def _by_key(finder: MediaFinder, folder: Path, accepts: Callable[[Path], bool]) -> dict[tuple[str, float], str]:
    """Usable files by YouTube id and start."""
    found: dict[tuple[str, float], str] = {}
    for file in finder.media(folder, accepts):
        name, underscore, start = Path(file).stem.rpartition("_")
        try:
            key = name, float(start)
        except ValueError:
            key = "", 0.0
        if not (name and underscore):
            finder.leave_out(finder.root / file, "expected <YouTube id>_<start> for a name")
        elif key in found:
            finder.leave_out(finder.root / file, f"there is {Path(found[key]).name!r}, of the same clip")
        else:
            found[key] = file
    return found
