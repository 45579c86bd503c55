"""CHiME-3 (Barker et al. 2015): the recordings of its four places without speech, by six microphones of a tablet."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, NamedTuple

from benchmark.datasets.dataset import Dataset
from benchmark.datasets.facts import Form
from benchmark.datasets.manifest import Row
from benchmark.datasets.media_files import MediaFinder
from benchmark.media import is_audio

PLACES = {"BUS": "bus", "CAF": "cafe", "PED": "pedestrian area", "STR": "street junction"}
BACKGROUNDS = "data/audio/16kHz/backgrounds"
_NAME = re.compile(r"(?P<session>.+_(?P<place>BUS|CAF|PED|STR))(?:\.CH(?P<channel>[0-6]))?\.wav", re.IGNORECASE)
LAYOUT = f"""\
  {BACKGROUNDS}/BGD_<date>_<number>_<place>.CH<1 to 6>.wav   places BUS, CAF, PED and STR;
        all of it may lie in a folder CHiME3, and the recordings in the root"""


class Background(NamedTuple):
    """One recording of one microphone."""

    file: str
    """Relative to the root."""
    session: str
    place: str
    seconds: float


class CHiME3(Dataset):
    """A recording of noise is a sample, and its place counts as who makes it; nothing can be evaluated on it alone.

    What belongs to one recording by several microphones stays in one split. Of each place the last recording by name is
    the test's and the one before validates, where there are three or more; else all of them serve every split.
    """

    name: ClassVar[str] = "chime3"
    revision: ClassVar[str] = "1"
    tasks: ClassVar[tuple[str, ...]] = ("lip2speech", "av_enhancement")
    layout: ClassVar[str] = LAYOUT
    landmarks: ClassVar[tuple[str, ...]] = (
        "data/audio/16kHz/backgrounds",
        "CHiME3/data",
        "CHIME3/data",
        "backgrounds",
        "BGD_*.wav",
    )
    obtain: ClassVar[str] = "The background recordings (data/audio/16kHz/backgrounds); the speech is not read."
    where: ClassVar[str] = (
        "Linguistic Data Consortium, https://catalog.ldc.upenn.edu/LDC2017S24, by its order form; "
        "https://www.chimechallenge.org/challenges/chime3/data describes it."
    )
    terms: ClassVar[str] = (
        "The LDC's agreement, with a fee for those who are not members; not to be passed on. Recorded in public "
        "places: voices of passers-by may be heard."
    )
    use: ClassVar[str] = "The noise of lrs3_chime3 (LipDiffuser). Noise alone: nothing can be evaluated on it."
    forms: ClassVar[Mapping[str, Form]] = {"sound": Form(rate=16_000)}

    def rows(self, split: str, task: str) -> list[Row]:
        """Inputs `noise`; attributes `noise` (its place) and `seconds`."""
        found = backgrounds(self.media_root(), split, self.finder())
        return [
            Row(
                Path(one.file).stem, one.place, {"noise": (one.file,)}, {}, {"noise": one.place, "seconds": one.seconds}
            )
            for one in found
        ]


def backgrounds(root: Path, split: str, finder: MediaFinder) -> list[Background]:
    """The recordings of a split, by name.

    Args:
        root: the corpus, in or below the finder's root.
        split: `train`, `val` or `test`.
    """
    base = next((root / name for name in ("CHiME3", "CHIME3") if (root / name).is_dir()), root)
    folder = next((base / name for name in (BACKGROUNDS, "backgrounds") if (base / name).is_dir()), base)
    named: dict[str, re.Match[str]] = {}
    for file in finder.media(folder, is_audio):
        if name := _NAME.fullmatch(Path(file).name):
            named[file] = name
        else:
            finder.leave_out(finder.root / file, "expected a name like BGD_150203_010_CAF.CH1.wav")
    found = [
        Background(file, named[file]["session"], PLACES[named[file]["place"].upper()], seconds)
        for file, seconds in finder.lengths(named).items()
    ]
    sessions = {place: sorted({one.session for one in found if one.place == place}) for place in PLACES.values()}
    return [one for one in found if _serves(sessions[one.place], one.session, split)]


def _serves(sessions: list[str], session: str, split: str) -> bool:
    if len(sessions) < 3:
        return True
    last = {sessions[-1]: "test", sessions[-2]: "val"}
    return last.get(session, "train") == split
