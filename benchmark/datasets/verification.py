"""Open every file of a corpus, to its end, and say what is wrong with it.

What was found of each file is a line of a report (JSON lines), written as it is found: a verification that was killed
goes on, and one that is asked for again opens only files that are new or have changed.
"""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmark.datasets.dataset import Dataset
from benchmark.datasets.facts import Form
from benchmark.datasets.lengths import stamp
from benchmark.datasets.media_files import MediaFinder, Progress
from benchmark.datasets.roots import fits, is_archive
from benchmark.datasets.spilled import room
from benchmark.errors import MediaError, MissingDataset, UsageError
from benchmark.files import write_whole
from benchmark.media import check_header, decoded_frames, is_audio, is_image, is_video, read_audio, read_image
from benchmark.processes import DEATHS, each
from benchmark.remarks import remarks
from benchmark.text_files import read_text

VERSION = 1
"""Changes when a file that was fine may no longer be."""
SHORTEST_S = 0.1
"""Shorter sound is no utterance."""
LEAST_PICTURES = 3
QUIET = 2.0**-15
"""A step of 16 bits: sound that never goes beyond it is silent."""
FPS_SLACK = 0.02
"""Part by which the rate of pictures may differ from the corpus's: rates of containers are rounded."""
EXAMPLES = 3
"""Files that are named of each fault; the report names all."""
_TEXTS = (".txt", ".csv", ".json", ".align", ".wrd", ".lst", ".tsv")
_LOOK_EVERY = 5
"""Pictures of a video that are looked at, until one shows something."""

_FAULTS = (
    ("missing", r"no such file|a link to .*, which does not exist"),
    ("empty", r"\(0 bytes\)"),
    ("cannot be opened", r"cannot be (opened|read) \(|is not a regular file"),
    ("cut short", r"cut short"),
    ("another kind of file", r"not a \w+ file: it begins with"),
    ("NaN or infinite", r"NaN or infinite"),
    ("not in units of full scale", r"in units of"),
    ("no pictures", r"has no pictures|no picture of the video"),
    ("no sound", r"has no sound track"),
    ("too short", r"zero length|too short"),
)
"""What is wrong, in a word, by what a reader says; anything else is `corrupt`."""


class Found(NamedTuple):
    """What is known of one file."""

    file: str
    """Relative to the root."""
    kind: str
    """`sound`, `video`, `picture` or `text`; `archive` and `other`, which are not opened."""
    fault: str
    """In a word; empty where nothing is wrong."""
    reason: str
    facts: dict[str, Any]
    """`seconds`, `rate`, `pictures`, `fps`, `height`, `width`; `remarks` of readers."""


class Count(NamedTuple):
    """A published count beside what is here."""

    what: str
    published: int
    here: int


@dataclass
class Verification:
    """What came out."""

    report: Path
    files: int = 0
    kept: int = 0
    """Files that an earlier verification had opened and that have not changed since."""
    kinds: Counter[str] = field(default_factory=Counter)
    faults: dict[str, list[str]] = field(default_factory=dict)
    """Fault to `<file>: <reason>` of the first files that have it."""
    bad: Counter[str] = field(default_factory=Counter)
    """Fault to the number of files."""
    counts: list[Count] = field(default_factory=list)
    """Of what is here at all."""
    not_listed: list[str] = field(default_factory=list)
    """Links that lead out of the root, folders that cannot be listed, names that no manifest can hold."""
    unrecognised: str = ""
    """Why no sample of the corpus is among the files."""

    @property
    def lacking(self) -> list[Count]:
        """Counts below those published, of what is here at all."""
        return [count for count in self.counts if count.here < count.published]

    def as_dict(self) -> dict[str, Any]:
        return {
            "report": str(self.report),
            "files": self.files,
            "kept": self.kept,
            "kinds": dict(self.kinds),
            "bad": dict(self.bad),
            "examples": self.faults,
            "published": [count._asdict() for count in self.counts],
            "not_listed": self.not_listed,
            "unrecognised": self.unrecognised,
        }


class _Job(NamedTuple):
    root: Path
    file: str
    forms: Mapping[str, Form]


def verify(
    dataset: Dataset, report: Path | None = None, progress: Progress | None = None, fresh: bool = False
) -> Verification:
    """Open every file of a corpus by as many processes as `dataset.workers` says.

    Args:
        report: the file of JSON lines, by default one for each root; what an earlier verification left there is gone on
            from.
        fresh: open all files again.

    Raises:
        MissingDataset: there is no such folder, no file in it, or neither a sample nor a landmark of this corpus; hours
            are not spent on the files of another one. Or there is no room for temporary files.
        UsageError: the report is a file of something else.
    """
    unrecognised = _unrecognised(dataset) if dataset.needs_root else ""
    root = dataset.media_root()
    report = report or dataset.home / "verified" / f"{dataset.name}-{dataset.place()}.jsonl"
    header = {"verified": VERSION, "dataset": dataset.name, "root": str(root.resolve())}
    header["forms"] = {kind: asdict(form) for kind, form in sorted(dataset.forms.items())}
    header = json.loads(json.dumps(header))
    if report.is_file() and report.stat().st_size and "verified" not in next(_records(report), {}):
        raise UsageError(f"{report} is no report of `data verify`, and is not overwritten: name another file")
    earlier = {} if fresh else dict(_earlier(report, header))
    finder = MediaFinder(root, [], but=dataset.home if dataset.needs_root else None)
    present = {file: _stamp(root / file) for place in dataset.places() for file in finder.media(place, _any, _nothing)}
    if not present:
        raise MissingDataset(f"There is no file of {dataset.name} in {root}. Expected:\n{dataset.layout}")
    outcome = Verification(report, not_listed=sorted(finder.problems), unrecognised=unrecognised)
    gone = sorted({*earlier, *_named_by_manifests(dataset)} - present.keys())
    left = [file for file, mark in present.items() if earlier.get(file) != mark]
    outcome.kept = len(present) - len(left)
    report.parent.mkdir(parents=True, exist_ok=True)
    with report.open("a" if earlier else "w", encoding="utf-8") as stream:
        stream.write("\n" if earlier else _line(header))  # a line that a kill tore ends here
        jobs = (_Job(root, file, dataset.forms) for file in left)
        for done, (job, found) in enumerate(each(_looked_at, jobs, min(dataset.workers, len(left)), _killed), 1):
            stream.write(_line({**_asdict(found), "stamp": present[job.file]}))
            stream.flush()
            if progress:
                progress(done, len(left), "")
    lost = [Found(file, _kind(Path(file)), "missing", "it was here, or a manifest names it", {}) for file in gone]
    _settle(report, header, present, lost, outcome)
    outcome.counts = _counts(dataset, present)
    return outcome


def _unrecognised(dataset: Dataset) -> str:
    """Why no sample of the corpus is in its root; MissingDataset where nothing else speaks for it either."""
    from benchmark.registry import datasets

    with room():
        reason, root = dataset.unrecognised(), dataset.media_root()
    if reason and dataset.landmarks and not fits(root, dataset.landmarks):
        others = [name for name in datasets if name != dataset.name and fits(root, datasets.load(name).landmarks)]
        if others:
            command = f"python -m benchmark data verify {others[0]} --data-root {root}"
            reason += f"\n  It looks like {' or '.join(others)}: {command}"
        raise MissingDataset(reason)
    return reason


def look_at(path: Path, forms: Mapping[str, Form]) -> tuple[str, str, dict[str, Any]]:
    """Read a file to its end: its fault (empty where there is none), the reason, and facts."""
    facts: dict[str, Any] = {}
    kind = _kind(path)
    with remarks() as heard:
        try:
            if kind in ("sound", "video", "picture"):
                check_header(path)
            fault, reason = _LOOKS[kind](path, forms.get(kind), facts)
        except MediaError as error:
            reason = str(error).removeprefix(f"{path}: ")
            fault = next((word for word, pattern in _FAULTS if re.search(pattern, reason)), "corrupt")
        except UsageError as error:
            reason = str(error).removeprefix(str(path)).lstrip(":, ").replace(str(path), path.name)
            fault = "not UTF-8" if "UTF" in reason else "corrupt"
    if heard:
        facts["remarks"] = [line.removeprefix(f"{path}: ") for line in heard]
    return fault, reason, facts


def _kind(path: Path) -> str:
    if is_audio(path):
        return "sound"
    if is_video(path):
        return "video"
    if is_image(path):
        return "picture"
    if path.suffix.lower() in _TEXTS:
        return "text"
    return "archive" if is_archive(path.name) else "other"


def _sound(path: Path, form: Form | None, facts: dict[str, Any]) -> tuple[str, str]:
    audio = read_audio(path, rate=None)
    peak = float(np.abs(audio.samples).max())
    facts.update(seconds=round(audio.seconds, 3), rate=audio.rate, peak=round(peak, 5))
    if form and form.rate and audio.rate != form.rate:
        return "wrong rate", f"{audio.rate} Hz; the corpus has {form.rate} Hz"
    if audio.seconds < SHORTEST_S:
        return "too short", f"{audio.seconds:.3f} s of sound; expected {SHORTEST_S:g} s at least"
    if peak <= QUIET:
        return "silent", f"no sample beyond {peak:.2g}, where full scale is 1"
    return "", ""


def _picture(path: Path, form: Form | None, facts: dict[str, Any]) -> tuple[str, str]:
    pixels = read_image(path)
    height, width = pixels.shape[:2]
    facts.update(height=height, width=width)
    if form and form.size and (height, width) != form.size:
        return "wrong size", f"{width} x {height} pixels; the corpus has {form.size[1]} x {form.size[0]}"
    return ("blank", "all pixels are alike") if _is_flat(pixels) else ("", "")


def _video(path: Path, form: Form | None, facts: dict[str, Any]) -> tuple[str, str]:
    track, frames = decoded_frames(path)
    sizes: set[tuple[int, int]] = set()
    pictures, shows = 0, False
    for pictures, (_, frame) in enumerate(frames, 1):
        sizes.add((frame.height, frame.width))
        if not shows and pictures % _LOOK_EVERY == 1:
            shows = not _is_flat(frame.to_ndarray(format="gray"))
    if not pictures:
        return "no pictures", "no picture of the video could be decoded"
    height, width = next(iter(sizes))
    facts.update(pictures=pictures, fps=round(track.fps, 3), height=height, width=width)
    if form and form.size and sizes != {form.size}:
        return "wrong size", f"pictures of {width} x {height}; the corpus has {form.size[1]} x {form.size[0]}"
    if form and form.fps and abs(track.fps / form.fps - 1) > FPS_SLACK:
        return "wrong rate", f"{track.fps:.2f} pictures a second; the corpus has {form.fps:g}"
    if pictures < LEAST_PICTURES:
        return "too short", f"{pictures} pictures; expected {LEAST_PICTURES} at least"
    if not shows:
        return "blank", "no picture shows anything: each is one level all over"
    try:
        return _sound(path, None, facts)
    except MediaError as error:
        if "has no sound track" not in str(error):
            raise
        facts["sound"] = False  # as the videos of some corpora are; the index says where it is wanted
        return "", ""


def _text(path: Path, form: Form | None, facts: dict[str, Any]) -> tuple[str, str]:
    return ("", "") if read_text(path).strip() else ("empty", "no text in it")


def _unread(path: Path, form: Form | None, facts: dict[str, Any]) -> tuple[str, str]:
    return "", ""


_LOOKS = {"sound": _sound, "video": _video, "picture": _picture, "text": _text, "archive": _unread, "other": _unread}


def _is_flat(pixels: np.ndarray) -> bool:
    return bool((pixels == pixels.reshape(-1, *pixels.shape[2:])[0]).all())


def _looked_at(job: _Job) -> Found:
    path = job.root / job.file
    return Found(job.file, _kind(path), *look_at(path, job.forms))


def _killed(job: _Job) -> Found:
    reason = f"the process that read it died {DEATHS} times"
    return Found(job.file, _kind(Path(job.file)), "kills its reader", reason, {})


def _any(path: Path) -> bool:
    return True


def _nothing(path: Path) -> None:
    """No check: every file is opened later."""


def _stamp(path: Path) -> str:
    try:
        return stamp(path)
    except OSError:  # whoever reads it learns why
        return ""


def _asdict(found: Found) -> dict[str, Any]:
    return {**{key: value for key, value in found._asdict().items() if key != "facts"}, **found.facts}


def _line(record: Mapping[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False) + "\n"


def _records(report: Path) -> Iterator[dict[str, Any]]:
    """The lines of a report; the last one may be torn by a kill."""
    with report.open(encoding="utf-8", errors="replace") as stream:
        for line in stream:
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict):
                yield record


def _earlier(report: Path, header: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """File to its stamp, of an earlier verification by the same rules; nothing where it is of something else."""
    if not report.is_file():
        return
    records = _records(report)
    if next(records, None) != header:
        return
    for record in records:
        if record.get("stamp"):
            yield record["file"], record["stamp"]


def _settle(
    report: Path, header: Mapping[str, Any], present: Mapping[str, str], lost: Iterable[Found], outcome: Verification
) -> None:
    """Write the report anew, with one line for each file, and count what is in it."""
    last: dict[str, int] = {}
    for number, record in enumerate(_records(report)):
        if "file" in record and present.get(record["file"]) == record.get("stamp"):
            last[record["file"]] = number

    def write(partial: Path) -> None:
        with partial.open("w", encoding="utf-8") as stream:
            stream.write(_line(header))
            known = (record for number, record in enumerate(_records(report)) if last.get(record.get("file")) == number)
            for record in itertools.chain(known, map(_asdict, lost)):
                stream.write(_line(record))
                _count(record, outcome)

    write_whole(report, write)


def _count(record: Mapping[str, Any], outcome: Verification) -> None:
    outcome.files += 1
    outcome.kinds[record["kind"]] += 1
    if fault := record["fault"]:
        outcome.bad[fault] += 1
        examples = outcome.faults.setdefault(fault, [])
        if len(examples) < EXAMPLES:
            examples.append(f"{record['file']!r}: {record['reason']}")


def _named_by_manifests(dataset: Dataset) -> Iterator[str]:
    """The files that kept manifests of this root name."""
    for path in (dataset.home / "manifests").glob(f"{dataset.name}-{dataset.place()}.*.jsonl"):
        for record in _records(path):
            for fields in (record.get("inputs", {}), record.get("targets", {})):
                for files in fields.values():
                    yield from files


def _counts(dataset: Dataset, files: Iterable[str]) -> list[Count]:
    patterns = [(one, re.compile(one.pattern)) for one in dataset.published if one.pattern]
    seen: list[set[str]] = [set() for _ in patterns]
    for file in files:
        for number, (_, pattern) in enumerate(patterns):
            if found := pattern.fullmatch(file):
                seen[number].add(found[1] if pattern.groups else file)
    return [Count(one.what, one.count, len(here)) for (one, _), here in zip(patterns, seen, strict=True) if here]
