"""The files of one person of a population; each once, whole or not at all.

    <root>/speech/<block>/<id>.<k>.flac          as in the splits
    <root>/faces<size>/<block>/<id>.<k>.png      a portrait as in the splits, drawn at `size`
    <root>/video/<block>/<id>.<k>.mp4            as in the splits

A block is a hundred people, so that few folders are listed to see what is there. File k of a person is the same
however many are asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmark.datasets.talkers.identity import person
from benchmark.datasets.talkers.sentences import sentences

BLOCK = 100
CORE_S = {"speech": 0.03, "video": 0.7}
"""Seconds that a recording, or a video, takes on one core, about."""


def portrait_core_s(size: int) -> float:
    """Seconds that a portrait takes on one core, about: half of it goes with its area."""
    return 0.015 + 0.065 * (size / 128) ** 2


class Wanted(NamedTuple):
    """What is wanted of one person. Beside each video lies a recording of the same sentence."""

    root: Path
    number: int
    recordings: int
    portraits: int
    portrait_size: int
    videos: int

    @property
    def id(self) -> str:
        return f"talker_{self.number:05d}"

    def speech(self) -> list[Path]:
        return self._files("speech", self.recordings, "flac")

    def faces(self) -> list[Path]:
        return self._files(f"faces{self.portrait_size}", self.portraits, "png")

    def video(self) -> list[Path]:
        return self._files("video", self.videos, "mp4")

    def files(self) -> Iterator[Path]:
        yield from self.speech()
        yield from self.faces()
        yield from self.video()

    def _files(self, kind: str, count: int, suffix: str) -> list[Path]:
        folder = self.root / kind / str(self.number // BLOCK)
        return [folder / f"{self.id}.{k}.{suffix}" for k in range(count)]


def make(wanted: Wanted) -> tuple[int, ...]:
    """Make the files that are not there; other processes may be at the same ones.

    Returns:
        Samples of each recording, at 16 kHz.
    """
    _make_faces(wanted)
    return _make_recordings(wanted)


def _make_faces(wanted: Wanted) -> None:
    from benchmark.datasets.talkers.face import portrait, views
    from benchmark.media import write_image

    missing = [k for k, file in enumerate(wanted.faces()) if not _there(file)]
    if not missing:
        return
    who = person(wanted.number)
    shown = views(who, wanted.portraits)
    for k in missing:
        write_image(wanted.faces()[k], portrait(who, shown[k], wanted.portrait_size).image)


def _make_recordings(wanted: Wanted) -> tuple[int, ...]:
    from benchmark.datasets.talkers.lips import FPS, filmed
    from benchmark.datasets.talkers.voice import speak
    from benchmark.media import write_audio, write_video

    lengths = []
    videos = dict(enumerate(wanted.video()))
    for k, (file, sentence) in enumerate(zip(wanted.speech(), sentences(wanted.id, wanted.recordings), strict=True)):
        length, video = _length(file), videos.get(k)
        if length is None or (video and not _there(video)):
            who = person(wanted.number)
            speech = speak(who, sentence)
            audio = speech.audio
            if length is None:
                length = len(audio.samples)
                # 16 bits: FLAC stores no more than the bits that are used
                write_audio(file, audio._replace(samples=np.round(audio.samples * 2**15) / np.float32(2**15)))
            if video and not _there(video):
                write_video(video, filmed(who, speech), FPS, audio)
        lengths.append(length)
    return tuple(lengths)


def _length(path: Path) -> int | None:
    """Samples of a recording, by its header; None where there is none that can be read."""
    import soundfile

    try:
        return int(soundfile.info(str(path)).frames) if _there(path) else None
    except soundfile.LibsndfileError:
        return None


def _there(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError:
        return False
