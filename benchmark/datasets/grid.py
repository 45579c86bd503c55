"""GRID (Cooke et al., JASA 120(5), 2006): 34 people who each say 1000 sentences of six words, filmed from the front.

Speaker 21 has sound alone: 33 people have video, and only those are used.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from benchmark.datasets.audiovisual import AudioVisualCorpus, speaker_of, spoken_by
from benchmark.datasets.facts import Form, Published
from benchmark.datasets.media_files import MediaFinder, is_speech
from benchmark.datasets.noise_lists import LAYOUT
from benchmark.datasets.spilled import Spilled
from benchmark.datasets.talkers.sentences import Sentence
from benchmark.datasets.utterances import Utterances
from benchmark.errors import MediaError, UsageError
from benchmark.media import check_header, is_audio

SPEAKERS = {"test": ("s1", "s2", "s20", "s22"), "val": ("s3", "s4")}
"""The test is the unseen speakers of LipNet (Assael et al. 2016); s3 and s4 validate, the other 27 with
video train."""
CLIP_S, TOLERANCE_S = 3.0, 0.1
"""Length of every clip, and by how much a recording that is in time with it may differ."""
_FOLDER = re.compile(r"s([1-9]|[12]\d|3[0-4])")
_OWNER = re.compile(r"(?:id|s)\d+")


class Grid(AudioVisualCorpus):
    """The published layout, or a flat folder of clips, which has only a test.

    File names spell the sentence: `bbaf2n` is bin blue at f two now. Speech is the video's own sound track, which is in
    time with the lips; a recording serves where a video has none and it is as long as the video. The corpus's
    `audio_25k` is cut to the speech and so out of time: it is never read.

    In a flat folder the speaker is the first part of a name like `id2_vcd_swwp2s` or `s2_swwp2s`. A clip without one
    counts as a speaker of its own, so two clips of one person may come to be mixed.
    """

    name: ClassVar[str] = "grid"
    revision: ClassVar[str] = "1"
    layout: ClassVar[str] = f"""\
  s1/ ... s34/                    the clips (mpg), directly or in folders such as video, mpg_6000
  audio/s1/ ... audio/s34/        optional: recordings of {CLIP_S:g} s, for clips without sound; also beside the clips
  *.mpg                           or, without folders of speakers: clips named like bbaf2n or id2_vcd_swwp2s
{LAYOUT}"""
    landmarks: ClassVar[tuple[str, ...]] = ("s[1-9]*/*.mpg", "s[1-9]*/video", "s[1-9]*/mpg*", "*.mpg")
    obtain: ClassVar[str] = (
        "The clips of the speakers, in normal (mpg) or high quality (mpg_6000), unpacked; or a few clips in one folder."
    )
    where: ClassVar[str] = "https://zenodo.org/records/3625687 (no form, some 16 GB in normal quality)."
    terms: ClassVar[str] = "CC BY 4.0. The people sat for it and agreed to its use in research."
    use: ClassVar[str] = (
        "Sentences of a small grammar, with the words in the file's name, so that word errors can be told "
        "exactly. No paper here is tested on it."
    )
    published: ClassVar[tuple[Published, ...]] = (
        Published("speakers with video", 33, r"(s\d+)/.+\.mpg"),
        Published("clips", 33_000, r"s\d+/.+\.mpg"),
    )
    forms: ClassVar[Mapping[str, Form]] = {"video": Form(fps=25)}

    def utterances(self, split: str, finder: MediaFinder) -> Utterances:
        """By `<speaker>/<sentence>`, or by the name of the clip in a flat folder."""
        root = self.media_root()
        inside = finder.entries(root)
        folders = [path for path in inside if path.is_dir() and _FOLDER.fullmatch(path.name)]
        files: Spilled[str] = Spilled()
        """File to the speaker and a slash, as far as a folder tells who speaks."""
        if folders:
            wanted = [folder for folder in folders if _split_of(folder.name) == split]
            places = [place for folder in wanted for place in (folder, root / "audio" / folder.name)]
            for place, found in finder.media_of(places, _is_medium, _check):
                for file in found:
                    files.offer(file, f"{place.name}/")
        else:
            for path in inside:
                if is_speech(path) and _is_usable(path, finder):
                    files.offer(path.name, "")
            if files and split != "test":
                raise UsageError(
                    f"A flat folder of clips has only the split 'test', not '{split}': {root} holds no folder s1 to s34"
                )

        video: Spilled[str] = Spilled()
        speech: Spilled[str] = Spilled()
        texts: Spilled[str] = Spilled()
        for file, person in files.items():
            stem = Path(file).stem
            if not is_speech(Path(file)):
                continue
            try:
                sentence = Sentence.parse(stem.rpartition("_")[2])
            except UsageError:
                finder.leave_out(root / file, "its name spells no sentence of the corpus, as bbaf2n does")
                continue
            name = person + (sentence.code if person else stem)
            texts.offer(name, sentence.text)
            (speech if is_audio(file) else video).offer(name, file)
        recordings = (file for name, file in speech.items() if name in video)
        seconds = finder.seconds(itertools.chain(video.values(), recordings))
        for name, file in video.items():
            try:
                speech[name] = _speech_of(file, speech.get(name), seconds)
            except MediaError as error:
                finder.leave_out(root / file, str(error))
                del video[name]
                speech.pop(name, None)
        speaker = speaker_of if folders else _speaker_of_clip
        return spoken_by(speech, video, finder, lambda name: {"framing": "scene", "text": texts[name]}, speaker)


def _split_of(speaker: str) -> str:
    return next((split for split, speakers in SPEAKERS.items() if speaker in speakers), "train")


def _speaker_of_clip(name: str) -> str:
    head = name.partition("_")[0]
    return head if head != name and _OWNER.fullmatch(head) else name


def _speech_of(video: str, recording: str | None, seconds: Mapping[str, float | str]) -> str:
    """The file with the speech of a clip.

    Args:
        seconds: how long the sound of either is, or why that cannot be told.

    Raises:
        MediaError: the video has no sound, and no recording is in time with it.
    """
    own = seconds[video]
    if not isinstance(own, str):
        return video
    if recording is None:
        raise MediaError(own)
    length = seconds[recording]
    if isinstance(length, str):
        raise MediaError(f"no sound, and {recording!r} cannot be used: {length}")
    if abs(length - CLIP_S) > TOLERANCE_S:
        raise MediaError(
            f"no sound, and {recording!r} is out of time with the video: {length:.2f} s, expected {CLIP_S:g} s"
        )
    return recording


def _is_medium(path: Path) -> bool:
    return is_speech(path) or path.suffix.lower() == ".align"


def _check(path: Path) -> None:
    if is_speech(path):
        check_header(path)


def _is_usable(path: Path, finder: MediaFinder) -> bool:
    try:
        check_header(path)
    except MediaError as error:
        finder.leave_out(path, str(error).removeprefix(f"{path}: "))
        return False
    return True
