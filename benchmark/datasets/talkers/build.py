"""What is made for one talker: recordings, portraits, videos; each file once, whole or not at all.

A job is one kind of media of one person. Beside its files it leaves `facts.json`, written last, with what a manifest
says of them; where facts and files are all there, nothing is made again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmark.datasets.talkers.identity import Person
from benchmark.datasets.talkers.sentences import Sentence, sentences
from benchmark.files import write_whole

UTTERANCES = 6
"""Sentences of each person."""
PORTRAITS = 4
"""Portraits of each person."""
PORTRAIT_SIZE = 128
SUFFIX = {"speech": ".flac", "face": ".png", "video": ".mp4"}
FOLDER = {"speech": "speech", "face": "faces", "video": "video"}
COUNT = {"speech": UTTERANCES, "face": PORTRAITS, "video": UTTERANCES}
CORE_S = {"speech": 0.1, "face": 0.3, "video": 2.7}
"""Seconds that a job takes on one core, about: what a user is told before a build begins."""


class Job(NamedTuple):
    """One kind of media (`speech`, `face`, `video`) of one person."""

    root: Path
    """The folder of the split."""
    kind: str
    person: Person

    @property
    def folder(self) -> Path:
        return self.root / FOLDER[self.kind] / self.person.id

    @property
    def files(self) -> list[Path]:
        return [self.folder / f"{number}{SUFFIX[self.kind]}" for number in range(COUNT[self.kind])]


def announced(jobs: Sequence[Job], workers: int) -> str:
    """`speech and faces of 100 people, about 20 seconds on 2 free cores, once`."""
    kinds = " and ".join(dict.fromkeys(FOLDER[job.kind] for job in jobs))
    people = len({job.person.id for job in jobs})
    seconds = sum(CORE_S[job.kind] for job in jobs) / workers
    time = f"{seconds / 60:.0f} minutes" if seconds > 90 else f"{max(10, round(seconds, -1)):.0f} seconds"
    cores = f"{workers} free cores" if workers > 1 else "a free core"
    return f"{kinds} of {people} people, about {time} on {cores}, once"


def known_facts(job: Job) -> dict[str, Any] | None:
    """The facts of a finished job; None where anything is missing, empty or broken."""
    try:
        if any(not file.stat().st_size for file in job.files):
            return None
        facts = json.loads((job.folder / "facts.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return facts if isinstance(facts, dict) and facts.get("of") == len(job.files) else None


def build(job: Job) -> dict[str, Any]:
    """Do what is left of a job and return its facts; other processes may be at the same one."""
    if (facts := known_facts(job)) is not None:
        return facts
    job.folder.mkdir(parents=True, exist_ok=True)
    facts = {"of": len(job.files), **{"speech": _speech, "face": _faces, "video": _video}[job.kind](job)}
    content = json.dumps(facts, separators=(",", ":"))
    write_whole(job.folder / "facts.json", lambda partial: partial.write_text(content, encoding="utf-8"))
    return facts


def _speech(job: Job) -> dict[str, Any]:
    from benchmark.datasets.talkers.voice import speak
    from benchmark.media import write_audio

    samples = []
    for file, sentence in zip(job.files, sentences(job.person.id, UTTERANCES), strict=True):
        audio = speak(job.person, sentence).audio
        samples.append(len(audio.samples))
        if not _there(file):
            # 16 bits: FLAC stores no more than the bits that are used
            write_audio(file, audio._replace(samples=np.round(audio.samples * 2**15) / np.float32(2**15)))
    return {"samples": samples}


def _faces(job: Job) -> dict[str, Any]:
    from benchmark.datasets.talkers.face import portrait, views
    from benchmark.media import write_image

    landmarks = []
    for file, view in zip(job.files, views(job.person, PORTRAITS), strict=True):
        picture = portrait(job.person, view, PORTRAIT_SIZE)
        landmarks.append([[round(float(x), 2), round(float(y), 2)] for x, y in picture.landmarks])
        if not _there(file):
            write_image(file, picture.image)
    return {"landmarks": landmarks}


def _video(job: Job) -> dict[str, Any]:
    frames = []
    for file, sentence in zip(job.files, sentences(job.person.id, UTTERANCES), strict=True):
        frames.append(build_video(job.person, sentence, file))
    return {"frames": frames}


def build_video(person: Person, sentence: Sentence, path: Path) -> int:
    """Write a person saying a sentence, 112 x 112 at 25 fps with sound, unless it is there; the number of frames."""
    from benchmark.datasets.talkers.lips import FPS, filmed
    from benchmark.datasets.talkers.voice import FRAME, speak
    from benchmark.media import write_video

    speech = speak(person, sentence)
    if not _there(path):
        write_video(path, filmed(person, speech), FPS, speech.audio)
    return len(speech.audio.samples) // FRAME


def _there(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError:
        return False
