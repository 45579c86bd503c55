"""The run directory: what was made and measured, appended as it happens, safe against a kill at any moment.

    runs/<run_id>/
      run.json            spec and provenance, written first
      predictions.jsonl   appended as they are made; media under outputs/
      scores.jsonl        appended; one row per sample x repeat x metric
      provenance/         code, packages and machine of each process that made outputs
      tracebacks/         what the method raised, a file for each place
      result.json         written last, atomically
      report/             table, contact sheet, plots

A line is whole or it does not count: a torn last line is cut off before the next append. With `--shard I/N` each shard
appends to files of its own (`predictions.2-of-4.jsonl`), and readers take all. Each line holds a number that is larger
than any in the files that its writer saw, so that a later line wins without a look at anybody's clock.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import gzip
import hashlib
import json
import os
import re
import shutil
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from benchmark.errors import PrerequisiteError, UsageError
from benchmark.files import naming, write_whole

Key = tuple[str, int]
"""Sample id and repeat."""


@dataclass(frozen=True)
class Prediction:
    """One output, or the reason why there is none."""

    sample: str
    speaker: str
    repeat: int
    status: str
    """`ok` or `failed`."""
    file: str | None = None
    """Relative to the run directory."""
    reason: str | None = None
    seconds: float | None = 0.0
    """Wall time of the batch over its items; None where the method's time says nothing of the system."""
    version: str = ""
    """Hash of the output's content when it was made; of files that this program did not make, as they are now. What
    was measured on another version is void."""
    without_face: int = 0
    """Frames of the input's video in which no face was found."""
    remarks: tuple[str, ...] = ()
    """What was done to read its inputs; see `benchmark.remarks`."""
    made_by: str = ""
    """Names the record of code and machine in `provenance/`."""
    traceback: str | None = None
    """File with what the method raised, relative to the run directory."""

    @property
    def key(self) -> Key:
        return self.sample, self.repeat


@dataclass(frozen=True)
class ScoreRow:
    """One metric's sufficient statistics for one prediction."""

    sample: str
    speaker: str
    repeat: int
    metric: str
    signature: str
    """Pins the definition that these statistics belong to; rows of another one are ignored."""
    status: str
    """`ok`, `undefined` or `failed`."""
    reason: str | None = None
    statistics: Mapping[str, float | str | np.ndarray] = field(default_factory=dict)
    """Numbers, arrays (kept as float32), or text, such as a transcript."""
    version: str = ""
    """That of the prediction that was measured."""
    source: str = ""
    """Hash of the metric's code: what other code measured is measured again."""
    remarks: tuple[str, ...] = ()
    """What was done to read what was measured; see `benchmark.remarks`."""

    @property
    def key(self) -> Key:
        return self.sample, self.repeat


Row = TypeVar("Row", Prediction, ScoreRow)


class RunDirectory:
    """Reads and appends one run."""

    def __init__(self, path: Path, shard: tuple[int, int] = (1, 1)) -> None:
        self.path = path
        self.shard = shard

    def __str__(self) -> str:
        return str(self.path)

    def locked(self) -> contextlib.AbstractContextManager[None]:
        """Hold this shard of the run, so that no second process appends to it."""
        self.path.mkdir(parents=True, exist_ok=True)
        return self._lock(self._tag)

    @contextlib.contextmanager
    def _lock(self, tag: str) -> Iterator[None]:
        with open(self.path / f".lock{tag}", "w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise PrerequisiteError(
                    f"Another process is writing {self.path}{' shard ' + tag[1:] if tag else ''}; "
                    "wait for it, or give each process its own --shard I/N"
                ) from error
            except OSError as error:  # some network file systems have no locks
                raise PrerequisiteError(
                    f"{self.path} cannot be locked ({error.strerror}): choose a folder on another file system (--runs, "
                    "or --out where files are scored)"
                ) from error
            yield

    def clear(self) -> None:
        """Delete everything that was made and measured, so that the run begins anew.

        Raises:
            PrerequisiteError: another process is writing it, or a shard of it.
        """
        if not (self.path / "run.json").is_file():
            return
        with contextlib.ExitStack() as held:
            for tag in {"", *(path.name.removeprefix(".lock") for path in self.path.glob(".lock*"))}:
                held.enter_context(self._lock(tag))
            for path in self.path.iterdir():
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                elif path.name != "run.json" and not path.name.startswith(".lock"):
                    path.unlink()
            (self.path / "run.json").unlink()  # last: without it the next command would take the rest for nothing

    @property
    def _tag(self) -> str:
        index, count = self.shard
        return "" if count == 1 else f".{index}-of-{count}"

    # -- documents ---------------------------------------------------------------------------------------------------

    def write_document(self, name: str, content: str) -> Path:
        """Write a whole file atomically."""
        # Names that are not UTF-8 on disk are escaped, which JSON reads back.
        data = content.encode("utf-8", "backslashreplace")
        return write_whole(self.path / name, lambda partial: partial.write_bytes(data))

    def read_run(self) -> dict[str, Any]:
        try:
            about = json.loads((self.path / "run.json").read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise UsageError(f"'{self.path}' is not a run directory: it has no run.json") from error
        except ValueError as error:
            raise UsageError(f"{self.path}/run.json is not JSON: {error}") from error
        if not isinstance(about, dict):
            raise UsageError(f"{self.path}/run.json holds a {type(about).__name__}, expected an object")
        return about

    def write_maker(self, about: Mapping[str, Any]) -> str:
        """Keep what makes outputs now; returns its name for `Prediction.made_by`."""
        text = json.dumps(about, sort_keys=True)
        name = hashlib.sha256(text.encode()).hexdigest()[:10]
        self.write_document(f"provenance/{name}.json", json.dumps(about, indent=2, ensure_ascii=False) + "\n")
        return name

    def makers(self, names: Iterable[str]) -> list[dict[str, Any]]:
        """What made outputs, by the names that `write_maker` gave; what is no longer there is left out."""
        paths = [self.path / "provenance" / f"{name}.json" for name in sorted(set(names)) if name]
        try:
            return [json.loads(path.read_text(encoding="utf-8")) for path in paths if path.is_file()]
        except ValueError as error:
            raise UsageError(f"{self.path}/provenance holds a file that is not JSON ({error}): delete it") from error

    # -- predictions -------------------------------------------------------------------------------------------------

    def output_path(self, sample: str, repeat: int, suffix: str) -> str:
        """Where an output goes, relative to the run directory; ids come from manifests and are not trusted."""
        return f"outputs/{_file_name(sample)}/{repeat:03d}{suffix}"

    def append_predictions(self, rows: Iterable[Prediction]) -> None:
        self._append(f"predictions{self._tag}.jsonl", (row.__dict__ for row in rows))

    def predictions(self) -> dict[Key, Prediction]:
        """The last row of each sample and repeat, over all shards; ok rows whose file is gone do not count."""
        latest = {row.key: row for row in self._read("predictions", Prediction)}
        return {
            key: row
            for key, row in latest.items()
            if row.status != "ok" or (row.file is not None and (self.path / row.file).is_file())
        }

    def as_they_are(self, predictions: Mapping[Key, Prediction]) -> dict[Key, Prediction]:
        """The same rows with the versions of their files now: a file that was changed since it was made has another."""
        return {
            key: row if row.file is None else replace(row, version=content_hash(self.path / row.file))
            for key, row in predictions.items()
        }

    # -- scores ------------------------------------------------------------------------------------------------------

    def append_scores(self, rows: Iterable[ScoreRow]) -> None:
        self._append(f"scores{self._tag}.jsonl", map(as_record, rows))

    def scores(self) -> dict[tuple[str, str], dict[Key, ScoreRow]]:
        """As `read_scores`, over all shards."""
        return read_scores(*self._files("scores"))

    # -- lines -------------------------------------------------------------------------------------------------------

    def _append(self, name: str, records: Iterable[Mapping[str, Any]]) -> None:
        records = list(records)
        if not records:
            return
        number = 1 + max((_last_number(path) for path in self._files(name.partition(".")[0])), default=0)
        text = "".join(json.dumps({**record, "number": number}, ensure_ascii=False) + "\n" for record in records)
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with naming(path), open(path, "ab+") as handle:
            _cut_torn_line(handle)
            handle.write(text.encode("utf-8", "backslashreplace"))
            handle.flush()
            os.fsync(handle.fileno())

    def _files(self, stem: str) -> list[Path]:
        return sorted(self.path.glob(f"{stem}*.jsonl"))

    def _read(self, stem: str, kind: type[Row]) -> list[Row]:
        return _read_rows(self._files(stem), kind)


Scores = dict[tuple[str, str], dict[Key, ScoreRow]]
"""(metric, signature) -> sample and repeat -> last row."""


def read_scores(*paths: Path) -> Scores:
    """Rows of scores from files of lines, compressed ones too (`.gz`).

    Raises:
        UsageError: a line that is no row, or a file that cannot be unpacked.
    """
    found: Scores = {}
    for row in _read_rows(paths, ScoreRow):
        found.setdefault((row.metric, row.signature), {})[row.key] = row
    return found


def _read_rows(paths: Iterable[Path], kind: type[Row]) -> list[Row]:
    """All rows in the order of their numbers, whichever shard wrote them; those of old runs, without one, first."""
    found = [item for path in paths for item in _read_lines(path, kind)]
    return [row for _, row in sorted(found, key=lambda item: item[0])]


def _read_lines(path: Path, kind: type[Row]) -> Iterator[tuple[int, Row]]:
    what = "scores" if kind is ScoreRow else "predictions"
    with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as handle:
        try:
            for number, line in enumerate(handle, 1):  # noqa: B007 - told where a row is refused
                if line.endswith(b"\n"):  # a torn last line was never finished
                    yield read_row(json.loads(line), kind)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise UsageError(f"{path} cannot be unpacked ({error}): restore it") from error
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise UsageError(
                f"{path}, line {number} is not a row of {what} ({error}): restore or delete that line"
            ) from error


def as_record(row: ScoreRow) -> dict[str, Any]:
    """A row as a line of JSON holds it: arrays in single precision, as base64 of their `_bytes_by_weight`."""
    return {**row.__dict__, "statistics": {name: _pack(value) for name, value in row.statistics.items()}}


def read_row(record: dict[str, Any], kind: type[Row]) -> tuple[int, Row]:
    """A line's number and its row, whose place among others is of the right types: ids come from anywhere.

    Raises:
        ValueError, TypeError, AttributeError, KeyError: it is no such row.
    """
    record.pop("at", None)  # the time, in old runs
    record["remarks"] = tuple(record.get("remarks", ()))
    number = record.pop("number", 0)
    if "statistics" in record:
        record["statistics"] = {name: _unpack(value) for name, value in record["statistics"].items()}
    row = kind(**record)
    texts = (row.sample, row.speaker, row.status, *((row.metric, row.signature) if isinstance(row, ScoreRow) else ()))
    if not all(isinstance(text, str) for text in texts) or not all(type(n) is int for n in (row.repeat, number)):
        raise TypeError("expected text and whole numbers for what names it")
    return number, row


def content_hash(path: Path) -> str:
    """Sixteen hexadecimal digits of the sha256 of a file's content, or `-` where it cannot be read."""
    if not path.is_file():  # a pipe would block for ever
        return "-"
    try:
        with open(path, "rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()[:16]
    except (OSError, ValueError):  # ValueError: a zero byte in a name that a list holds
        return "-"


def _last_number(path: Path) -> int:
    """The number of the last whole line of a file of rows; 0 where it has none."""
    with open(path, "rb") as handle:
        end, tail = handle.seek(0, os.SEEK_END), b""
        while end > 0 and tail[: tail.rfind(b"\n")].count(b"\n") < 1:
            start = max(0, end - (1 << 16))
            handle.seek(start)
            tail, end = handle.read(end - start) + tail, start
    lines = tail[: tail.rfind(b"\n") + 1].splitlines()
    try:
        number = json.loads(lines[-1])["number"]
        return number if isinstance(number, int) else 0
    except (IndexError, ValueError, KeyError, TypeError):
        return 0


def _cut_torn_line(handle: Any) -> None:
    end = handle.seek(0, os.SEEK_END)
    if end == 0:
        return
    handle.seek(end - 1)
    if handle.read(1) == b"\n":
        return
    handle.seek(0)
    content = handle.read()
    handle.truncate(content.rfind(b"\n") + 1)
    handle.seek(0, os.SEEK_END)


def _file_name(sample: str) -> str:
    """A sample id as a folder name: itself where that is safe, else a hash that keeps what is readable."""
    if re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}", sample):
        return sample
    from benchmark.types import derive_seed

    return re.sub(r"[^A-Za-z0-9_-]+", "_", sample)[:60] + f"-{derive_seed(sample):016x}"


def _pack(value: float | str | np.ndarray) -> Any:
    if isinstance(value, str):
        return value
    if isinstance(value, np.ndarray) and value.ndim:
        return {"planes": base64.b64encode(_bytes_by_weight(value)).decode("ascii"), "shape": list(value.shape)}
    number = float(value)
    return number if np.isfinite(number) else None


def _unpack(value: Any) -> float | str | np.ndarray:
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        if "f4" in value:  # runs until November 2026: number after number, little-endian
            return np.frombuffer(base64.b64decode(value["f4"]), dtype="<f4").reshape(value["shape"])
        planes = np.frombuffer(base64.b64decode(value["planes"]), dtype=np.uint8).reshape(4, -1)
        return np.ascontiguousarray(planes.T).view(">f4").astype(np.float32).reshape(value["shape"])
    return float("nan") if value is None else float(value)


def _bytes_by_weight(numbers: np.ndarray) -> bytes:
    """Numbers in single precision: the most significant byte of each, then the next of each, and so on.

    Numbers of one kind share their first bytes: where these lie together, packed rows of faces are a fifth smaller.
    """
    return np.ascontiguousarray(numbers, dtype=">f4").reshape(-1, 1).view(np.uint8).T.tobytes()
