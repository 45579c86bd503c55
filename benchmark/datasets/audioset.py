"""AudioSet (Gemmeke et al. 2017): ten seconds of two million YouTube videos, by published lists; noise for mixtures."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from benchmark.datasets.audiovisual import held_out, shortened
from benchmark.datasets.dataset import Dataset
from benchmark.datasets.facts import Published
from benchmark.datasets.manifest import Row
from benchmark.datasets.media_files import MediaFinder, is_speech
from benchmark.datasets.spilled import Spilled
from benchmark.errors import MissingDataset, UsageError
from benchmark.text_files import read_lines

LISTS = {
    "eval": ("eval_segments", "eval"),
    "balanced": ("balanced_train_segments", "bal_train", "balanced_train"),
    "unbalanced": ("unbalanced_train_segments", "unbal_train", "unbalanced_train"),
}
"""List to its name, which is that of its folder too, and other names of that folder."""
_SPEECH = "/m/09x0r"
"""Label of human speech."""
_ID = r"[A-Za-z0-9_-]{11}"


class AudioSet(Dataset):
    """A recording is a sample, its video counts as who makes it; nothing can be evaluated on it alone.

    `test` is the evaluation list, from which FlowAVSE's noises come; `train` the two training lists, save for one
    recording in 50, which validate. A file is known by the YouTube id that its name begins with, or that follows a `Y`.
    """

    name: ClassVar[str] = "audioset"
    revision: ClassVar[str] = "1"
    tasks: ClassVar[tuple[str, ...]] = ("av_enhancement",)
    layout: ClassVar[str] = """\
  {eval,balanced_train,unbalanced_train}_segments.csv     as published: YTID, start_seconds, end_seconds, labels
  {eval,balanced_train,unbalanced_train}_segments/.../<YouTube id>*.wav   the recordings, at any depth (wav flac m4a
        mp4 ...); also Y<YouTube id>.wav, and folders eval, bal_train, unbal_train; all of them may lie in `audio`"""
    landmarks: ClassVar[tuple[str, ...]] = ("*_segments.csv",)
    obtain: ClassVar[str] = (
        "The lists of segments (csv). They name parts of YouTube videos: fetch the sound of those that still exist "
        "yourself."
    )
    where: ClassVar[str] = "https://research.google.com/audioset/download.html (no form)."
    terms: ClassVar[str] = (
        "CC BY 4.0 for the lists; the videos belong to those who uploaded them, and YouTube's terms hold for fetching "
        "them. Speech of people who were not asked is among the sounds."
    )
    use: ClassVar[str] = (
        "The noise of FlowAVSE and AVDiffuSS. To be mixed with voxceleb2, lrs3 or grid it lies in (or is linked as) "
        "`audioset` below their roots, with a list audioset_test.txt of its files beside it, one a line; the authors' "
        "own list is not published. Nothing can be evaluated on it alone."
    )
    published: ClassVar[tuple[Published, ...]] = (
        Published("recordings of eval", 20_371, rf"(?:audio/)?eval(?:_segments)?/(?:.+/)?Y?({_ID})[^/]*\.\w+"),
        Published(
            "recordings of balanced_train",
            22_160,
            rf"(?:audio/)?(?:balanced_train(?:_segments)?|bal_train)/(?:.+/)?Y?({_ID})[^/]*\.\w+",
        ),
        Published(
            "recordings of unbalanced_train",
            2_041_789,
            rf"(?:audio/)?(?:unbalanced_train(?:_segments)?|unbal_train)/(?:.+/)?Y?({_ID})[^/]*\.\w+",
        ),
    )

    def rows(self, split: str, task: str) -> Iterator[Row]:
        """Inputs `noise`; attributes `labels`, and `speech` where that is one of them."""
        root = self.media_root()
        finder = self.finder()
        found: Spilled[str] = Spilled()
        listed: Spilled[str] = Spilled()
        for part in ("eval",) if split == "test" else ("balanced", "unbalanced"):
            own = _listed(root / f"{LISTS[part][0]}.csv", finder)
            if own is None:
                continue
            listed.update(own)
            places = [base / name for base in (root, root / "audio") for name in LISTS[part]]
            here: Spilled[str] = Spilled()
            for _, files in finder.media_of([place for place in places if place.is_dir()], is_speech):
                for file in files:
                    key = _key(Path(file).stem, own)
                    if key is None:
                        finder.leave_out(root / file, f"{LISTS[part][0]}.csv lists nothing of this name")
                    elif key in here:
                        finder.leave_out(root / file, f"another recording of {key} is used")
                    else:
                        here[key] = file
                        found.offer(key, file)
            if len(here) < len(own):
                self.problems.append(f"{LISTS[part][0]}.csv: {len(own) - len(here)} of {len(own)} are not here")
        if not listed:
            raise MissingDataset(f"{root} holds no list of segments for {split}. Expected:\n{self.layout}")
        self.problems[:] = shortened(self.problems)
        for key, file in found.items():
            if split == "test" or held_out("audioset", key) == (split == "val"):
                start_s, labels = json.loads(listed[key])
                about = {"noise": "audioset", "labels": labels, "speech": _SPEECH in labels}
                yield Row(f"{key}_{start_s:g}", key, {"noise": (file,)}, {}, about)


def _listed(path: Path, finder: MediaFinder) -> Spilled[str] | None:
    """YouTube id to start and labels, as JSON; None where there is no such list. Lines with `#` first are remarks."""
    if not path.is_file():
        return None
    expected = "expected lines of YTID, start_seconds, end_seconds and labels in quotes"
    try:
        lines = read_lines(path)
    except UsageError as error:
        raise MissingDataset(f"{error}; {expected}") from error
    found: Spilled[str] = Spilled()
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        cells = next(csv.reader([line], skipinitialspace=True))
        try:
            key, start_s = cells[0], float(cells[1])
        except (ValueError, IndexError):
            key, start_s = "", 0.0
        if len(cells) < 4 or not re.fullmatch(_ID, key):
            finder.leave_out(path, f"line {number} is no segment; {expected}")
        else:
            found[key] = json.dumps((start_s, [label.strip() for label in cells[3].split(",")]))
    if not found:
        raise MissingDataset(f"{path} lists nothing; {expected}")
    return found


def _key(stem: str, listed: Spilled[str]) -> str | None:
    """The YouTube id in a file's name, where the list has it."""
    return next((key for key in (stem[:11], stem[1:12] if stem.startswith("Y") else "") if key in listed), None)
