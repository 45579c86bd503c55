"""TCD-TIMIT (Harte and Gillen 2015): 59 volunteers and three lipspeakers who read sentences of TIMIT."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import ClassVar, NamedTuple

from benchmark.datasets.audiovisual import AudioVisualCorpus, spoken_by, with_own_sound
from benchmark.datasets.facts import Published
from benchmark.datasets.media_files import MediaFinder, is_speech
from benchmark.datasets.names import same
from benchmark.datasets.noise_lists import LAYOUT
from benchmark.datasets.spilled import Spilled
from benchmark.datasets.utterances import Utterances
from benchmark.errors import MediaError, UsageError
from benchmark.media import check_header, is_audio
from benchmark.text_files import BLANK, read_lines
from benchmark.types import derive_seed

TEST = frozenset(
    ("08F", "09F", "15F", "18M", "25M", "28M", "33F", "34M", "36F")
    + ("41M", "44F", "45F", "49F", "54M", "55F", "56M", "58F")
)
"""The volunteers that the corpus's authors recommend to test on."""
_VOLUNTEER = re.compile(r"\d\d[FM]")
_WORDS = (".txt", ".wrd")
_TIMED = re.compile(r"\s*\d+\s+\d+\s+(?P<said>\S.*)")
_IN_TEN = 10
"""One volunteer in so many of those to train on validates, drawn by name."""


class TCDTIMIT(AudioVisualCorpus):
    """The published layout, of the camera in front; the lipspeakers train."""

    name: ClassVar[str] = "tcd_timit"
    revision: ClassVar[str] = "1"
    layout: ClassVar[str] = f"""\
  volunteers/<01M>/Clips/straightcam/<sa1>.mp4        the clips; all of it may lie in a folder TCD-TIMIT or TCDTIMIT
  lipspeakers/<Lipspkr1>/Clips/straightcam/<sa1>.mp4
  .../<sa1>.wav                   optional, beside a clip: its speech; without it, the video's own sound
  .../<SA1>.txt                   optional, beside a clip: its words, alone or a line each behind their times
{LAYOUT}"""
    landmarks: ClassVar[tuple[str, ...]] = (
        "volunteers/*/Clips",
        "lipspeakers/*/Clips",
        "TCD-TIMIT/volunteers",
        "TCDTIMIT/volunteers",
    )
    obtain: ClassVar[str] = (
        "The clips of the volunteers and of the lipspeakers from the camera in front (straightcam), unpacked, "
        "with their texts."
    )
    where: ClassVar[str] = (
        "https://sigmedia.tv/datasets/tcd_timit/ (before: sigmedia.tcd.ie/TCDTIMIT): asked for by mail, as "
        "that page says; from an academic address, at least before it moved."
    )
    terms: ClassVar[str] = (
        "For academic research, by the agreement of Trinity College Dublin; not to be passed on. The people sat "
        "for it and agreed to its use in research."
    )
    use: ClassVar[str] = (
        "LipDiffuser's test on people and sentences that it was not trained on, of ntcd_timit with noise."
    )
    published: ClassVar[tuple[Published, ...]] = (
        Published("volunteers", 59, r"(?:TCD-?TIMIT/)?volunteers/([^/]+)/Clips/straightcam/.+\.mp4"),
        Published("lipspeakers", 3, r"(?:TCD-?TIMIT/)?lipspeakers/([^/]+)/Clips/straightcam/.+\.mp4"),
        Published("clips", 6_913, r"(?:TCD-?TIMIT/)?(?:volunteers|lipspeakers)/[^/]+/Clips/straightcam/[^/]+\.mp4"),
    )

    def utterances(self, split: str, finder: MediaFinder) -> Utterances:
        """By `<speaker>/<sentence>`."""
        video, speech, texts = clips(tcd_root(self.media_root()), lambda who: split_of(who, TEST) == split, finder)
        return spoken_by(speech, video, finder, lambda name: about(name, texts, finder))


def tcd_root(root: Path) -> Path:
    """Where the folders of volunteers and lipspeakers lie."""
    return next((root / name for name in ("TCD-TIMIT", "TCDTIMIT") if (root / name).is_dir()), root)


def split_of(speaker: str, test: frozenset[str]) -> str:
    """The split of a speaker, given who tests."""
    if speaker in test:
        return "test"
    held = _VOLUNTEER.fullmatch(speaker) and derive_seed("held out", "tcd_timit", speaker) % _IN_TEN == 0
    return "val" if held else "train"


class Clips(NamedTuple):
    """Files by `<speaker>/<sentence>`, in lower case as corpora differ in it."""

    video: Spilled[str]
    speech: Spilled[str]
    """Recordings, or videos with sound."""
    texts: Spilled[str]


def clips(base: Path, wanted: Callable[[str], bool], finder: MediaFinder) -> Clips:
    """The clips of the speakers who are wanted; what has no usable sound is left out."""
    video: Spilled[str] = Spilled()
    speech: Spilled[str] = Spilled()
    texts: Spilled[str] = Spilled()
    people = [
        person
        for group in ("volunteers", "lipspeakers")
        for person in (finder.folders(base / group) if (base / group).is_dir() else [])
        if wanted(person.name)
    ]
    places = [person / "Clips" / "straightcam" for person in people]
    for person, (_, files) in zip(people, finder.media_of(places, _is_medium, _check), strict=True):
        for file in files:
            name = f"{person.name}/{same(PurePosixPath(file).stem).lower()}"
            kind = texts if _is_text(Path(file)) else speech if is_audio(file) else video
            kind.offer(name, file)
    with_own_sound(video, speech, finder)
    return Clips(video, speech, texts)


def about(name: str, texts: Mapping[str, str], finder: MediaFinder) -> dict[str, str]:
    """The attributes of an utterance: the sex where the speaker's name tells it, and the words where they are there."""
    speaker = name.partition("/")[0]
    found = {"framing": "scene"} | ({"sex": speaker[-1].lower()} if _VOLUNTEER.fullmatch(speaker) else {})
    if name in texts:
        try:
            found["text"] = words(finder.root / texts[name])
        except UsageError as error:
            path = finder.root / texts[name]
            finder.leave_out(path, str(error).removeprefix(str(path)).lstrip(":, "))
    return found


def words(path: Path) -> str:
    """What a file says, as TIMIT's .TXT (a sentence behind its times) or .WRD (a word behind its times on each line).

    Raises:
        UsageError: not text, or without a word.
    """
    lines = [line.strip(BLANK) for line in read_lines(path)]
    said = [timed["said"] if (timed := _TIMED.fullmatch(line)) else line for line in lines]
    text = " ".join(" ".join(said).split())
    if not text:
        raise UsageError(f"{path}: no words in it")
    return text


def _is_medium(path: Path) -> bool:
    return is_speech(path) or _is_text(path)


def _is_text(path: Path) -> bool:
    return path.suffix.lower() in _WORDS


def _check(path: Path) -> None:
    if not _is_text(path):
        check_header(path)
    elif not path.is_file():
        raise MediaError(f"{path}: is not a regular file")
