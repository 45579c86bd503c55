"""Write what methods are given as files, for a system from elsewhere: the mixtures of a list, or crops of speech.

<folder>/
  export.json        which list and clips these are; written first
  noisy/<id>.wav     what a method is given: 16 kHz, 32-bit float, sample for sample
  clean/<id>.wav     the speech in it, where it is known: the reference for `score`
  video/<id>.mkv     the pictures that a method is given: grey, 25 a second, lossless, in time with the sound; of the
                     face 112 x 112, or where lips are read of the mouth 96 x 96
  speech/<id>.N.wav  where a face is to be drawn: the crop of evaluation run N; <id>.wav where there is one run
  enrolment/<id>.wav where lips are read: the voice that a method is told to give
  source/...         instead of video/, where asked for: the videos of the corpus as they are
  mixtures.csv       a line per mixture: its id, who speaks, noise and SNR, its files, where in the recording it begins
                     (`start_s`), the words
  mixtures.jsonl     the same with all attributes
  crops.csv, .jsonl  in their place where a face is to be drawn: id, sample, evaluation run (`repeat`), file

The method `outputs` finds what is made of them by the same names, with any suffix.

The same list gives the same bytes. A file is whole or not there, and what is there is kept: the same command goes on
where it was stopped, and a larger limit adds to what a smaller one made.
"""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmark.datasets.manifest import Manifest
from benchmark.datasets.names import safe_ids
from benchmark.errors import BenchmarkError, PrerequisiteError, UsageError
from benchmark.media import regular_file, write_audio, write_video
from benchmark.media.clips import only_file
from benchmark.media.face_video import FPS
from benchmark.remarks import counted, remark, remarks
from benchmark.reports.escaping import csv_cell
from benchmark.runs.directory import RunDirectory, content_hash
from benchmark.sources import INPUTS, source_of_modules
from benchmark.tasks import Protocol, Task
from benchmark.types import Audio, Sample

FORMAT = 1
PICTURES = ("crops", "files", "none")
"""What is written of the videos: what a method is given, the corpus's own files, nothing."""
_KINDS = ("noisy", "clean", "video", "enrolment", "speech")
COLUMNS = ("id", "speaker", "noise", "snr_db", "seconds", "noisy", "clean", "video", "start_s", "text")
OF_CROPS = ("id", "sample", "repeat", "speaker", "seconds", "speech")
_ABOUT = "export.json"
_AHEAD = 4
"""Mixtures that are read while one is written."""


@dataclass(frozen=True)
class Export:
    """One list of mixtures, and how it is to be written."""

    manifest: Manifest
    task: Task
    protocol: Protocol
    """Its seconds are those of the clips; None takes whole recordings."""
    folder: Path
    seed: int = 0
    """Of the run whose mixtures these are."""
    pictures: str = "crops"
    """One of PICTURES."""

    @property
    def table(self) -> str:
        """What the table of its rows is called, without suffix."""
        return "mixtures" if "noisy" in self.task.inputs else "crops"

    @property
    def items(self) -> list[tuple[str, Sample, int]]:
        """Each file's name, with its sample and evaluation run: a mixture is the same in all, a crop is not."""
        names = safe_ids(sample.id for sample in self.manifest.samples)
        repeats = 1 if self.table == "mixtures" else self.protocol.repeats
        return [
            (names[sample.id] if repeats == 1 else f"{names[sample.id]}.{repeat}", sample, repeat)
            for sample in self.manifest.samples
            for repeat in range(repeats)
        ]

    def identity(self) -> dict[str, Any]:
        """What the files depend on."""
        return {
            "export": FORMAT,
            "dataset": self.manifest.dataset,
            "revision": self.manifest.revision,
            "split": self.manifest.split,
            "task": self.task.name,
            "task_version": self.task.version,
            "manifest_sha256": self.manifest.sha256,
            "seconds": self.protocol.seconds,
            "seed": self.seed,
            **({"enrolment": self.protocol.enrolment} if self.protocol.enrolment else {}),
            **({"repeats": self.protocol.repeats} if self.table == "crops" else {}),
            "video": self.pictures,
            "code": source_of_modules(__name__, within=("benchmark.runs.export", *INPUTS)),
        }


@dataclass(frozen=True)
class Exported:
    """What is there now."""

    mixtures: int
    """Whole ones, of those asked for."""
    kept: int
    """Those of them that an earlier command had written."""
    failed: dict[str, str] = field(default_factory=dict)
    """Id of each mixture that cannot be made, to the reason."""
    remarks: list[str] = field(default_factory=list)
    """What the readers said of files that they read all the same; of those written now."""


class Clip:
    """One mixture as a method gets it, and what its row of the table says; read by a thread."""

    def __init__(self, export: Export, sample: Sample, repeat: int = 0) -> None:
        """
        Raises:
            BenchmarkError: what the mixture needs cannot be read or used.
        """
        self.sample, self.repeat = sample, repeat
        self.heard: tuple[str, ...] = ()
        self.source: Path | None = None
        self.start_s = 0.0
        self.inputs: Mapping[str, Any] = {}
        task, protocol = export.task, export.protocol
        if reason := task.lacks_enrolment(sample, protocol):
            remark(f"{sample.id}: exported without an enrolment, for {reason}")
            protocol = replace(protocol, enrolment=None)
        if export.pictures == "crops" or "enrolment" in task.inputs or export.table == "crops":
            wanted = None if export.pictures == "crops" else ("noisy", "enrolment")
            example = task.open(sample, repeat, protocol, export.seed, "none", wanted=wanted)
            self.inputs, self.noisy, self.clean = example.inputs, example.inputs.get("noisy"), example.truth
        if export.pictures != "crops" and export.table == "mixtures":
            known = task.signals(sample, protocol, export.seed)
            self.noisy = None if known.noisy is None else Audio(known.noisy, task.rate)
            self.clean = None if known.clean is None else Audio(known.clean, task.rate)
            self.start_s = known.start_s
            if export.pictures == "files":
                self.source = regular_file(only_file(sample, sample.inputs.get("video", ()), "video"))

    def write(self, export: Export, name: str) -> dict[str, Any]:
        """Write its files; returns its row."""
        about = self.sample.attributes
        row: dict[str, Any] = {"id": name, "sample": self.sample.id, "speaker": self.sample.speaker}
        sounds = {"noisy": self.noisy, "clean": self.clean, "enrolment": self.inputs.get("enrolment")}
        if export.table == "crops":
            row["repeat"], sounds = self.repeat, {"speech": self.inputs["speech"]}
        else:
            row["start_s"] = self.start_s
        for kind, sound in sounds.items():
            if sound is not None:
                row[kind] = f"{kind}/{name}.wav"
                write_audio(export.folder / row[kind], sound)
        pictures = self.inputs.get("video") or self.inputs.get("mouth")
        if (lasting := self.noisy or self.clean or self.inputs.get("speech")) is not None:
            row["seconds"] = lasting.seconds
        elif pictures is not None:
            row["seconds"] = len(pictures.frames) / FPS
        if pictures is not None:
            row |= {"video": f"video/{name}.mkv", "without_face": pictures.without_face}
            write_video(export.folder / row["video"], pictures.frames, FPS)
        elif self.source is not None:
            row["video"] = f"source/{self.source.relative_to(export.manifest.root).as_posix()}"
            _copy(self.source, export.folder / row["video"])
        hashes = {kind: content_hash(export.folder / row[kind]) for kind in _KINDS if kind in row}
        return {**row, "hashes": hashes, "attributes": dict(about)}


def write_mixtures(
    export: Export, limit: int | None = None, progress: Callable[[int, int], None] = lambda done, total: None
) -> Exported:
    """Write the first `limit` mixtures of a list, or all. One that cannot be made is told, and does not end the rest.

    Raises:
        UsageError: the folder holds other files, or another export.
        PrerequisiteError: a package is missing.
        OSError, MediaError: a file cannot be written.
    """
    if export.pictures not in PICTURES:
        raise UsageError(f"--video {export.pictures}: expected one of {', '.join(PICTURES)}")
    if export.protocol.enhancer:
        raise UsageError(
            f"--enrolment {export.protocol.enrolment}: an export is of what is given to methods; export with "
            "--enrolment noisy, and enhance the files of its folder enrolment"
        )
    seen = () if export.pictures == "none" else ("video",)
    if reason := export.task.all_lack(export.manifest.samples, replace(export.protocol, enrolment=None), seen):
        about = export.manifest
        raise UsageError(f"{about.dataset} {about.split} has nothing to export for {export.task.name}: {reason}")
    folder = export.folder
    _claim(folder, export.identity())
    limited = {sample.id for sample in export.manifest.samples[:limit]}
    items = [item for item in export.items if item[1].id in limited]
    rows = {row["id"]: row for row in _rows(folder / f"{export.table}.jsonl") if _is_whole(folder, row)}
    _write_tables(export, rows)  # without what a kill has torn, so that lines can be added
    todo = [item for item in items if item[0] not in rows]
    kept, failed, heard = len(items) - len(todo), {}, []
    progress(kept, len(items))
    with ThreadPoolExecutor(2) as pool, (folder / f"{export.table}.jsonl").open("a", encoding="utf-8") as table:
        for done, (name, clip) in enumerate(_ahead(pool, partial(_opened, export), todo), kept + 1):
            if isinstance(clip, PrerequisiteError):  # every mixture would fail for the same lack
                raise clip
            if isinstance(clip, Exception):
                failed[name] = str(clip)
            else:
                heard.append(clip.heard)
                row = rows[name] = clip.write(export, name)
                table.write(_line(row))
                table.flush()
            progress(done, len(items))
    _write_tables(export, rows)
    return Exported(len(items) - len(failed), kept, failed, counted(heard))


def _opened(export: Export, sample: Sample, repeat: int) -> Clip | Exception:
    try:
        with remarks() as heard:
            clip = Clip(export, sample, repeat)
        clip.heard = tuple(heard)
        return clip
    except (BenchmarkError, OSError, ValueError, LookupError, ArithmeticError) as error:  # as a run would
        return error


def _ahead(
    pool: ThreadPoolExecutor,
    opened: Callable[[Sample, int], Clip | Exception],
    todo: Iterable[tuple[str, Sample, int]],
) -> Iterator[tuple[str, Clip | Exception]]:
    waiting: deque[tuple[str, Future[Clip | Exception]]] = deque()
    for name, sample, repeat in todo:
        waiting.append((name, pool.submit(opened, sample, repeat)))
        if len(waiting) > _AHEAD:
            first, future = waiting.popleft()
            yield first, future.result()
    for name, future in waiting:
        yield name, future.result()


def _claim(folder: Path, identity: Mapping[str, Any]) -> None:
    """Say in the folder what it holds, unless it holds something else."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--output {folder} is a file; expected a folder, new or empty")
    there = folder / _ABOUT
    if there.is_file():
        try:
            known = json.loads(there.read_text(encoding="utf-8"))
        except ValueError as error:
            raise UsageError(f"{there} is not JSON ({error}); choose another folder") from error
        keys = sorted(identity.keys() | known.keys()) if isinstance(known, dict) else ["export"]
        differing = [key for key in keys if not isinstance(known, dict) or known.get(key) != identity.get(key)]
        if differing:
            what = ", ".join(differing)
            raise UsageError(f"--output {folder} holds another export (it differs in {what}); choose another folder")
        return
    inside = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
    others = [name for name in inside if not name.startswith(f".{_ABOUT}.")]  # what a kill left of writing it is ours
    if others:
        raise UsageError(
            f"--output {folder} is not empty and holds no export ({others[0]!r} is in it); choose a new or empty folder"
        )
    RunDirectory(folder).write_document(_ABOUT, json.dumps(identity, indent=2, ensure_ascii=False) + "\n")


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows that were written, without a last line that was never finished."""
    if not path.is_file():
        return
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True), 1):
        if line.endswith(b"\n"):
            try:
                row = json.loads(line)
                row["id"], row["hashes"]
            except (ValueError, TypeError, KeyError) as error:
                raise UsageError(
                    f"{path}, line {number} is not a row of an export ({error}): delete that line"
                ) from error
            yield row


def _is_whole(folder: Path, row: Mapping[str, Any]) -> bool:
    """Whether every file of a row is there, as it was written."""
    return all(content_hash(folder / row[kind]) == row.get("hashes", {}).get(kind) for kind in _KINDS if kind in row)


def _write_tables(export: Export, rows: Mapping[str, Mapping[str, Any]]) -> None:
    """Both tables, in order of id."""
    run, ordered = RunDirectory(export.folder), [rows[name] for name in sorted(rows)]
    run.write_document(f"{export.table}.jsonl", "".join(map(_line, ordered)))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = (*COLUMNS, *(["enrolment"] if any("enrolment" in row for row in ordered) else []))
    columns = OF_CROPS if export.table == "crops" else columns
    writer.writerow(columns)
    for row in ordered:
        known = {**row["attributes"], **row}
        writer.writerow([_cell(name, known.get(name)) for name in columns])
    run.write_document(f"{export.table}.csv", text.getvalue())


def _cell(name: str, value: Any) -> str:
    if value is None:
        return ""
    if name == "text":  # as it is, because word errors count what is there
        return " ".join(str(value).split())
    return csv_cell(value) if isinstance(value, str) else repr(value)


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n"


def _copy(source: Path, target: Path) -> None:
    """Copy a file, so that it is whole or not there; many mixtures may have one video."""
    if target.is_file():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    partial_copy = target.with_name(f".{os.getpid()}.{target.name}")
    shutil.copyfile(source, partial_copy)
    partial_copy.replace(target)
