"""Voice features and faces of the people of a corpus, as shards."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import ClassVar, NamedTuple, overload

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from baselines.shards import Part, Shard, Shards, starts
from benchmark.errors import MediaError, MethodError
from benchmark.media import read_audio, read_image
from benchmark.types import Audio, Sample

RATE = 16000
FILES = 512
"""Files of a shard, of whole people: some ten megabytes, and of a hundred people where each has five."""


@dataclass(frozen=True)
class Person:
    """One speaker.

    Shape:
        voices: each `[bins, T]` float32
        faces: `[N, 3, S, S]` uint8
    """

    id: str
    voices: Sequence[Tensor]
    faces: Tensor


class Files(NamedTuple):
    """Where one speaker's recordings and faces are, each once."""

    speaker: str
    voices: tuple[Path, ...]
    faces: tuple[Path, ...]


@dataclass(frozen=True)
class PersonMaker:
    """Reads people into a shard.

    Its arrays: `voices` `[frames, bins]` float32, recordings one after another, with `voice_starts`; `faces`
    `[N, 3, S, S]` uint8; `first_voice` and `first_face` of each person. All of the starts have the end added.
    """

    kind: ClassVar[str] = "people"
    otherwise: ClassVar[str] = ""

    features: Callable[[Audio], Tensor] | None
    resolution: int
    recordings: int
    resampling: Image.Resampling

    def __call__(self, content: tuple[Files, ...]) -> Shard:
        ids: list[str] = []
        problems: list[str] = []
        voices: list[list[Tensor]] = []
        faces: list[Tensor] = []
        features = self.features
        for files in content:
            heard: list[Tensor] = []
            if features is not None:
                heard = _usable(lambda p: features(read_audio(p, RATE)), files.voices, self.recordings, problems)
            seen = _usable(self._face, files.faces, 0, problems)
            if (features is not None and not heard) or not seen:
                what = "face" if heard or features is None else "recording"
                problems.append(f"{files.speaker}: no usable {what}")
                continue
            ids.append(files.speaker)
            voices.append(heard)
            faces.append(torch.stack(seen))
        spoken = [voice.T for each in voices for voice in each]
        arrays = {
            "voices": torch.cat(spoken) if spoken else torch.zeros(0, 0),
            "voice_starts": starts(spoken),
            "first_voice": starts(voices),
            "faces": torch.cat(faces) if faces else torch.zeros(0, 3, self.resolution, self.resolution).byte(),
            "first_face": starts(faces),
        }
        return Shard(arrays, {"ids": ids, "problems": problems})

    def _face(self, path: Path) -> Tensor:
        picture = Image.fromarray(read_image(path))
        size = self.resolution, self.resolution
        if picture.size != size:
            picture = picture.resize(size, self.resampling)
        return torch.from_numpy(np.array(picture)).permute(2, 0, 1).contiguous()


class ShardedPersons(Sequence[Person]):
    """The usable people, sorted by name. What is taken of one is a view into a file, and read when it is looked at."""

    def __init__(self, shards: Shards) -> None:
        self._shards = shards
        self._ends = list(accumulate(len(about["ids"]) for about in shards.about))
        self.problems = tuple(line for about in shards.about for line in about["problems"])

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @overload
    def __getitem__(self, index: int) -> Person: ...
    @overload
    def __getitem__(self, index: slice) -> list[Person]: ...
    def __getitem__(self, index: int | slice) -> Person | list[Person]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        place = range(len(self))[index]  # an IndexError, and positions from the end
        number = bisect_right(self._ends, place)
        about, arrays = self._shards.about[number], self._shards[number]
        own = place - self._ends[number] + len(about["ids"])
        first, end = arrays["first_face"][own : own + 2].tolist()
        return Person(about["ids"][own], _Voices(arrays, own), arrays["faces"][first:end])


class _Voices(Sequence[Tensor]):
    """The recordings of one person in a shard."""

    def __init__(self, arrays: dict[str, Tensor], person: int) -> None:
        first, end = arrays["first_voice"][person : person + 2].tolist()
        self._starts = arrays["voice_starts"][first : end + 1]
        self._voices = arrays["voices"]

    def __len__(self) -> int:
        return len(self._starts) - 1

    @overload
    def __getitem__(self, index: int) -> Tensor: ...
    @overload
    def __getitem__(self, index: slice) -> list[Tensor]: ...
    def __getitem__(self, index: int | slice) -> Tensor | list[Tensor]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        place = range(len(self))[index]
        start, end = self._starts[place : place + 2].tolist()
        return self._voices[start:end].T


def parts(samples: Iterable[Sample]) -> Iterator[Part]:
    """Speakers sorted by name, as many whole ones at a time as have 512 files together, or one with more."""
    voices: dict[str, dict[Path, None]] = defaultdict(dict)
    faces: dict[str, dict[Path, None]] = defaultdict(dict)
    for sample in samples:
        voices[sample.speaker].update(dict.fromkeys(sample.inputs.get("speech", ())))
        faces[sample.speaker].update(dict.fromkeys(sample.targets.get("face", ())))
    waiting: list[Files] = []
    count = 0
    for speaker in sorted(voices):
        files = Files(speaker, tuple(voices[speaker]), tuple(faces[speaker]))
        size = len(files.voices) + len(files.faces)
        if waiting and count + size > FILES:
            yield _part(waiting)
            waiting, count = [], 0
        waiting.append(files)
        count += size
    if waiting:
        yield _part(waiting)


def _part(content: list[Files]) -> Part:
    files = tuple(path for person in content for path in (*person.voices, *person.faces))
    return Part(tuple(content), files, len(content))


def _usable(read: Callable[[Path], Tensor], paths: Sequence[Path], limit: int, problems: list[str]) -> list[Tensor]:
    found: list[Tensor] = []
    for path in paths:
        if limit and len(found) == limit:
            break
        try:
            found.append(read(path))
        except (MediaError, MethodError) as error:
            problems.append(f"{path}: {error}")
    return found
