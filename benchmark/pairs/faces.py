"""Pictures of faces to compare: whose each is, and who stands in the gallery.

A face is held against all true faces of its person, as in a run, so pictures meet by person and not one by one: the
person is the top folder that a picture lies in, or the name of a picture that lies in none (`PERSON/1.jpg`,
`PERSON.png`), or who a table says. Pictures that share no person with the other side meet by their names alone, each
for a person of its own. Everybody of the reference is in the gallery, also who has no face to be judged.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from benchmark.errors import UsageError
from benchmark.media import read_image
from benchmark.pairs.listing import FACES, Listing, by_stem, is_single, listed, quoted
from benchmark.pairs.matching import FilePair, Pairs, clustered, in_folders, whose
from benchmark.pairs.people import People, read_people
from benchmark.runs.directory import Prediction, content_hash
from benchmark.runs.scoring import FaceReader
from benchmark.types import Sample

if TYPE_CHECKING:
    from metrics.metric import FaceItem

TARGET = "face"


@dataclass(frozen=True)
class Faces(Pairs):
    """Faces to be judged; `speaker` is the person, and `reference` is None: that is everybody of the gallery."""

    people: tuple[Sample, ...] = ()
    """The gallery: everybody of the reference, sorted by name, with their pictures and what is known of them."""

    @cached_property
    def judged(self) -> Mapping[str, int]:
        """How many faces each person has."""
        return Counter(pair.speaker for pair in self.pairs)

    @cached_property
    def hashes(self) -> Mapping[Path, str]:
        """Of all pictures, true ones and those to be judged, each read once."""
        true = (path for person in self.people for path in person.targets[TARGET])
        return {path: content_hash(path) for path in dict.fromkeys([*true, *(pair.estimate for pair in self.pairs)])}

    @cached_property
    def gallery_version(self) -> str:
        """Changes with whatever of the gallery a number can depend on: who is in it, how they look, sex and age."""
        everybody = [
            [
                person.speaker,
                person.attributes.get("sex"),
                person.attributes.get("age"),
                self.judged[person.speaker],
                [self.hashes[path] for path in person.targets[TARGET]],
            ]
            for person in self.people
        ]
        return hashlib.sha256(json.dumps(everybody).encode()).hexdigest()[:16]

    def version(self, pair: FilePair) -> str:
        """Changes with the content of the picture and of the gallery."""
        return f"{self.hashes[pair.estimate]} {self.gallery_version}"

    def copies(self) -> list[str]:
        """Ids of faces that are true pictures themselves, byte for byte."""
        true = {self.hashes[path] for person in self.people for path in person.targets[TARGET]} - {"-"}
        return [pair.id for pair in self.pairs if self.hashes[pair.estimate] in true]


class PictureReader(FaceReader):
    """Opens faces where the user has them."""

    def __init__(self, pairs: Iterable[FilePair]) -> None:
        self.pairs = {pair.id: pair for pair in pairs}

    def __call__(self, prediction: Prediction, root: Path) -> FaceItem:
        """Read one picture.

        Raises:
            MediaError: it cannot be read.
        """
        from metrics.metric import FaceItem

        pair = self.pairs[prediction.sample]
        return FaceItem(pair.speaker, read_image(pair.estimate))


def find_faces(estimate: Path, reference: Path | None = None, speakers: Path | None = None) -> Faces:
    """Find whose faces there are.

    Args:
        estimate, reference: a picture; a folder; or a list, whose ids are people (see `listed`). Without a reference
            there is no gallery, and only what needs none can be measured.
        speakers: a table of people, or of files and whose they are; see `read_people`.

    Raises:
        UsageError: a path that is not there, no picture, nobody on both sides, one name for several pictures, or a
            picture that the table does not name.
    """
    ours = listed(estimate, "--estimate", FACES)
    table = read_people(speakers) if speakers else None
    theirs = listed(reference, "--reference", FACES) if reference else None
    if theirs is None:
        pairs = clustered(FilePair(key, path) for key, path in ours.files.items())
        clusters = "people" if in_folders(list(ours.files)) else "files"
        if table and table.files is not None:
            named = whose(table.files, [pair.id for pair in pairs])
            pairs, clusters = _named(pairs, named), "people"
        found = Faces(pairs, skipped=ours.skipped, notes=ours.notes, clusters=clusters)
    elif reference and is_single(estimate) and is_single(reference):
        (key, path), (other,) = next(iter(ours.files.items())), theirs.files.values()
        found = Faces((FilePair(key, path, None, key),), clusters="people", people=_gallery({key: [other]}))
    else:
        found = _by_person(ours, theirs, table, f"{estimate} has", f"{reference} has")
    return _described(found, table)


def _by_person(ours: Listing, theirs: Listing, table: People | None, *sides: str) -> Faces:
    """The faces of people who are on both sides."""
    person_of: Callable[[str], str] = _top
    reading = "by the top folder of each picture, or by its name where it lies in none"
    if table and table.files is not None:
        sought = [*ours.files, *theirs.files]
        person_of = dict(zip(sought, whose(table.files, sought), strict=True)).__getitem__
        reading = f"as {table.path} says"
    elif not {*map(_top, ours.files)} & {*map(_top, theirs.files)}:  # the folders may be laid out differently
        _refuse_strangers(ours, theirs, sides)
        ours, theirs = by_stem(ours, "--estimate"), by_stem(theirs, "--reference")
        reading = "by the name of each picture: the folders differ"
    everybody: dict[str, list[Path]] = {}
    for key, path in theirs.files.items():
        everybody.setdefault(person_of(key), []).append(path)
    pairs = [FilePair(key, path, None, person_of(key)) for key, path in ours.files.items()]
    strangers = sorted({pair.speaker for pair in pairs} - everybody.keys())
    pairs = sorted((pair for pair in pairs if pair.speaker in everybody), key=lambda pair: pair.id)
    alone = sorted(everybody.keys() - {pair.speaker for pair in pairs})
    if not pairs:
        raise UsageError(_nobody(strangers, alone, sides))
    told = f"whose face is whose: {reading}; {_counted(len(everybody) - len(alone), len(pairs))}"
    notes = [told, *ours.notes, *theirs.notes]
    lower = {name.lower(): name for name in everybody}
    if alike := [f"'{name}' and '{lower[name.lower()]}'" for name in strangers if name.lower() in lower]:
        notes.append(f"{len(alike)} people differ in upper and lower case alone, and do not meet: {alike[0]}")
    return Faces(
        tuple(pairs),
        tuple(alone),
        tuple(strangers),
        ours.skipped + theirs.skipped,
        tuple(notes),
        "people",
        _gallery(everybody),
    )


def _refuse_strangers(ours: Listing, theirs: Listing, sides: tuple[str, ...]) -> None:
    """Say who is where, if names alone bring nobody together either."""
    if not {*map(_last, ours.files)} & {*map(_last, theirs.files)}:
        raise UsageError(_nobody(sorted({*map(_top, ours.files)}), sorted({*map(_top, theirs.files)}), sides))


def _nobody(mine: Iterable[str], others: Iterable[str], sides: tuple[str, ...]) -> str:
    one, two = sides
    return (
        f"Nobody is on both sides: {one} {quoted(mine)}, {two} {quoted(others)}. A face meets the true faces of its "
        "person: name folders alike, `PERSON/1.png` and `PERSON/a.jpg`, or pictures, `PERSON.png`; or say whose each "
        "is by lists of `PERSON path`, or by --speakers with a table `id,person`"
    )


def _counted(people: int, faces: int) -> str:
    return f"{faces} faces of {people} people"


def _top(key: str) -> str:
    return key.partition("/")[0]


def _last(key: str) -> str:
    return PurePosixPath(key).name


def _named(pairs: Iterable[FilePair], people: Iterable[str]) -> tuple[FilePair, ...]:
    return tuple(replace(pair, speaker=person) for pair, person in zip(pairs, people, strict=True))


def _gallery(pictures: Mapping[str, list[Path]]) -> tuple[Sample, ...]:
    return tuple(Sample(person, person, {}, {TARGET: tuple(pictures[person])}) for person in sorted(pictures))


def _described(found: Faces, table: People | None) -> Faces:
    """With what the table says of everybody."""
    if table is None:
        return found
    pairs = tuple(replace(pair, attributes=table.of(pair.speaker, pair.id)) for pair in found.pairs)
    people = tuple(replace(person, attributes=table.about(person.speaker)) for person in found.people)
    known: dict[str, Any] = dict.fromkeys([*(person.speaker for person in people), *(pair.speaker for pair in pairs)])
    notes = (*found.notes, *table.notes, *table.told(known))
    return replace(found, pairs=pairs, people=people, notes=notes)
