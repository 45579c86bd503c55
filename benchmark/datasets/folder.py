"""Your own people: a folder for each, with recordings and portraits, or with videos to enhance."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from benchmark.datasets.audiovisual import AudioVisualCorpus
from benchmark.datasets.manifest import Row
from benchmark.datasets.media_files import MediaFinder, is_portrait, is_speech
from benchmark.datasets.mixtures import as_recorded_rows, with_enrolments
from benchmark.datasets.names import SafeIds, safe_ids, same
from benchmark.datasets.noise_lists import LAYOUT, NAMES
from benchmark.datasets.prepared import RECORD, framed_as_prepared
from benchmark.datasets.spilled import Spilled
from benchmark.datasets.tables import OF_PEOPLE, lrs3_words, read_table
from benchmark.datasets.utterances import Utterance, Utterances
from benchmark.errors import MediaError, UsageError
from benchmark.media import check_header, is_audio, is_image, is_video
from benchmark.text_files import read_text

_TABLE = "people.csv"
_NOISY = "noisy"
"""The split whose videos are mixtures already."""
_CLEAN = ".clean"
"""Ends the name, before the suffix, of the clean speech of a video that is noisy."""
_NOISES = ("noise", "audioset")
"""Folders that hold recordings of noise, not a person."""


class Folder(AudioVisualCorpus):
    """`<root>/<person>/`, holding any mix of recordings, videos and portraits at any depth.

    For faces (`speech2face`) a person is a sample: all the recordings, and all the portraits. For enhancement and
    separation, and for lips to speech, a video is: noise, or another person's speech, is added to its clean speech
    (splits `test` and `test_snr`), or it is noisy as it is (split `noisy`). Numbers that compare with clean speech
    exist where there is some; elsewhere outputs are made, and judged by what needs none.

    The attribute `media` is a hash of the contents of a sample's files, so that the manifest changes with them.
    """

    name: ClassVar[str] = "folder"
    revision: ClassVar[str] = "1"
    splits: ClassVar[tuple[str, ...]] = ("test", "test_snr", _NOISY)
    tasks: ClassVar[tuple[str, ...]] = ("speech2face", "av_enhancement", "av_separation", "lip2speech")
    layout: ClassVar[str] = f"""\
  <person>/...                    recordings or videos (wav flac ogg mp3 m4a mp4 mov mkv mpg) and portraits (jpg png
                                  pgm ppm bmp webp), at any depth, in any order: a face from a voice
  <person>/.../NAME.mp4           a video with its sound: enhancement, separation, lips to speech
  <person>/.../NAME.wav           optional: its sound, from the same start, where not its own sound is to be used
  <person>/.../NAME{_CLEAN}.wav     optional: its clean speech, where its sound is noisy
  <person>/.../NAME.txt           optional: the words, for word errors
  people.csv                      optional: person,sex,age with sex f or m, age in years
{LAYOUT}
  --split test                    noise, or another person's speech, is added to the clean speech at 0 dB; so the sound
                                  has to be clean, or NAME{_CLEAN}.wav has to be there
  --split test_snr                the same over -10 to 10 dB
  --split {_NOISY}                   the sound is cleaned as it is, and compared with NAME{_CLEAN}.wav if there"""
    obtain: ClassVar[str] = "Recordings, videos and portraits of your own."
    where: ClassVar[str] = "Wherever they are: nothing is copied, nothing leaves this machine."
    terms: ClassVar[str] = (
        "Yours to settle: ask the people in them. A face that is made of a voice, or a voice of a face, tells of "
        "a person, and may be wrong about them."
    )
    use: ClassVar[str] = "Any method on your own people: faces from voices, enhancement, separation, lips to speech."

    def check(self, split: str, task: str) -> None:
        super().check(split, task)
        if task == "speech2face" and split != "test":
            raise UsageError(f"Split '{split}' of {self.name} is of videos, not for {task}; take --task av_enhancement")

    def rows(self, split: str, task: str) -> Iterator[Row]:
        """The people, or the mixtures; what is left out is named in `problems`."""
        if task == "speech2face":
            yield from self._portrayed(self.finder())
            return
        if split == _NOISY:
            finder = self.finder()
            utterances = framed_as_prepared(finder.root, self.utterances(split, finder))
            of = f"{self.name} {split}"
            rows = as_recorded_rows(utterances, of=of)
            if task == "lip2speech":
                rows = with_enrolments(rows, utterances, of=of)
        else:
            rows = super().rows(split, task)
        digests: Spilled[str] = Spilled()
        faults = []

        def digest(file: str) -> bytes:
            if file not in digests:
                digests[file] = _digest(self.media_root() / file).hex()
            return bytes.fromhex(digests[file])

        for row in rows:
            try:
                media = _together(digest(file) for file in _files(row))
            except MediaError as error:
                faults.append(f"{row.id}: {error}")
            else:
                yield replace(row, attributes={**row.attributes, "media": media})
        self.problems += faults

    def utterances(self, split: str, finder: MediaFinder) -> Utterances:
        """The usable videos by `<person>/<name>`: with their clean speech, or in the split `noisy` with their sound."""
        clips: Spilled[str] = Spilled()
        """Name to the person and the files, as JSON."""
        folders, about = self._folders(finder, but=_NOISES)
        for path in folders:
            for name, parts in _clips(path, finder).items():
                clips[name] = json.dumps((path.name, parts))
        people, ids = safe_ids([path.name for path in folders]), SafeIds(clips)

        def sounds() -> Iterator[tuple[str, str, str | None]]:
            for name, clip in clips.items():
                _, parts = json.loads(clip)
                speech, clean = parts.get("sound", parts["video"]), parts.get("clean")
                yield (name, speech, clean) if split == _NOISY else (name, clean or speech, None)

        for name, clip in clips.items():
            if not _is_usable(finder, json.loads(clip)[1]["video"], check_header):
                del clips[name]
        heard = finder.lengths(file for _, *both in sounds() for file in both if file)

        def found() -> Iterator[tuple[str, Utterance]]:
            for name, speech, clean in sounds():
                if speech not in heard:
                    continue
                person, parts = json.loads(clips[name])
                attributes = {"framing": "scene", **about.get(same(person), {})}
                if "words" in parts and _is_usable(finder, parts["words"], _words):
                    attributes["text"] = _words(finder.root / parts["words"])
                clean = clean if clean and clean in heard else None
                yield name, Utterance(ids[name], people[person], speech, parts["video"], attributes, clean)

        return Utterances(found())

    def _portrayed(self, finder: MediaFinder) -> Iterable[Row]:
        """One sample per person who has both speech and faces."""
        root = finder.root
        folders, known = self._folders(finder)
        ids = safe_ids([path.name for path in folders])
        listed: Spilled[str] = Spilled()
        """Folder to the files in it, as JSON."""
        for path in folders:
            listed[path.name] = json.dumps(list(finder.media(path, _is_medium)))
        heard = finder.lengths(
            file for several in listed.values() for file in json.loads(several) if not is_image(file)
        )
        for path in folders:
            files = {}
            for file in json.loads(listed[path.name]):
                if is_image(file) or file in heard:
                    try:
                        files[file] = _digest(root / file)
                    except MediaError as error:
                        finder.leave_out(root / file, str(error).removeprefix(f"{root / file}: "))
            speech = [file for file in files if not is_image(file)]
            faces = [file for file in files if is_image(file)]
            if not speech or not faces:
                lacking = "speech" if faces else "face" if speech else "speech and no face"
                finder.leave_out(path, f"this person has no usable {lacking}")
                continue
            person = ids[path.name]
            media = _together(files[file] for file in [*speech, *faces])
            attributes = {**known.get(same(path.name), {}), "media": media}
            yield Row(person, person, {"speech": tuple(speech)}, {"face": tuple(faces)}, attributes)

    def _folders(self, finder: MediaFinder, but: Sequence[str] = ()) -> tuple[list[Path], dict[str, dict[str, Any]]]:
        """The people's folders, and what the table says of each person.

        Args:
            but: names of folders that are not a person's.
        """
        lists = {name.format(split=split) for name in NAMES for split in ("train", "val", "test")} if but else set()
        people = []
        for path in finder.entries(finder.root):
            if path.name.startswith("."):
                finder.leave_out(path, "hidden")
            elif path.is_dir():
                people += [path] if path.name not in but else []
            elif path.name not in (_TABLE, RECORD) and path.name not in lists:
                finder.leave_out(path, "a stray file: expected a folder for each person")
        return people, self._people(finder.root / _TABLE, {same(path.name) for path in people})

    def _people(self, table: Path, present: set[str]) -> dict[str, dict[str, Any]]:
        """Person to sex and age, as far as the table states them."""
        if not table.exists():
            return {}
        people: dict[str, dict[str, Any]] = {}
        for row in read_table(table, ("person",)):
            person, where = same(row["person"]), f"{_TABLE}, line {row['line']}"
            if person not in present:
                self.problems.append(f"{where}: there is no folder {person!r}")
                continue
            if person in people:
                self.problems.append(f"{where}: {person!r} again; the first line counts")
                continue
            found: dict[str, Any] = {}
            for key, (read, expected) in OF_PEOPLE.items():
                if text := row.get(key, ""):
                    value = read(text)
                    if value is None:
                        self.problems.append(f"{where}: {key} {text!r} is not used; expected {expected}")
                    else:
                        found[key] = value
            people[person] = found
        return people


def _is_medium(path: Path) -> bool:
    return not path.name.startswith(".") and (is_portrait(path) or is_speech(path))


def _clips(folder: Path, finder: MediaFinder) -> dict[str, dict[str, str]]:
    """Name of each video of a person, with the folders above it, to its files: `video`, `sound`, `clean`, `words`."""
    clips: dict[str, dict[str, str]] = {}
    # Nothing is checked here: without its clean speech, a noisy video would be taken for a clean one.
    for file in finder.media(folder, _is_part, lambda path: None):
        path = PurePosixPath(file)
        if is_image(file):
            continue
        kind = "video" if is_video(file) else "sound" if is_audio(file) else "words"
        name = same(path.with_suffix("").as_posix())
        if kind == "sound" and path.stem.endswith(_CLEAN):
            kind, name = "clean", name.removesuffix(_CLEAN)
        other = clips.setdefault(name, {}).setdefault(kind, file)
        if other != file:
            finder.leave_out(finder.root / file, f"there is {PurePosixPath(other).name!r}, of the same name")
    for parts in list(clips.values()):
        for file in parts.values() if "video" not in parts else ():
            finder.leave_out(finder.root / file, "there is no video of this name")
    return {name: parts for name, parts in clips.items() if "video" in parts}


def _is_part(path: Path) -> bool:
    return _is_medium(path) or (path.suffix.lower() == ".txt" and not path.name.startswith("."))


def _is_usable(finder: MediaFinder, file: str, check: Callable[[Path], object]) -> bool:
    """Whether a file passes a check; else it is named in the finder's problems."""
    path = finder.root / file
    try:
        check(path)
    except MediaError as error:
        finder.leave_out(path, str(error).removeprefix(f"{path}: "))
        return False
    return True


def _words(path: Path) -> str:
    """The text of a file, on one line.

    Raises:
        MediaError: not UTF-8, or without a word.
    """
    try:
        text = read_text(path)
    except UsageError as error:
        raise MediaError(f"{path}: {str(error).removeprefix(str(path)).lstrip(', :')}") from error
    words = lrs3_words(text) or " ".join(text.split())
    if not words:
        raise MediaError(f"{path}: no words in it")
    return words


def _files(row: Row) -> list[str]:
    """All files that a row names, each once."""
    fields: Iterable[Mapping[str, tuple[str, ...]]] = (row.targets, row.inputs)
    return list(dict.fromkeys(file for field in fields for name in sorted(field) for file in field[name]))


def _digest(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").digest()
    except OSError as error:
        raise MediaError(f"{path}: cannot be read ({error.strerror})") from error


def _together(digests: Iterable[bytes]) -> str:
    return hashlib.sha256(b"".join(digests)).hexdigest()[:16]
