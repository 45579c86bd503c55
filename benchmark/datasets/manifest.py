"""The manifest: JSON lines that name every file of one split of one dataset, for one task.

The first line is a header, each further line a sample. Paths are POSIX and relative to the root; none may lead
outside it. The sha256 of header and samples identifies the data in a run's identity; a stray file that was left out
does not change it.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmark.errors import MissingDataset
from benchmark.files import write_whole
from benchmark.types import Sample

FORMAT = 1


@dataclass(frozen=True)
class Row:
    """A sample as the manifest holds it: paths relative to the root."""

    id: str
    speaker: str
    inputs: Mapping[str, tuple[str, ...]]
    targets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Manifest:
    """One split, read."""

    dataset: str
    revision: str
    split: str
    task: str
    samples: tuple[Sample, ...]
    sha256: str
    path: Path
    root: Path
    problems: tuple[str, ...] = ()
    """What the adapter left out and why, a line each."""


def write_manifest(
    path: Path, rows: Iterable[Row], *, dataset: str, revision: str, split: str, task: str, problems: Iterable[str] = ()
) -> str:
    """Write rows sorted by id, atomically, so that the same rows always give the same bytes.

    Returns:
        What was written. To be parsed instead of read back: by then another process may have written the same path.
    """
    header = {"manifest": FORMAT, "dataset": dataset, "revision": revision, "split": split, "task": task}
    header["problems"] = sorted(problems)
    lines = [_dumps(header)]
    for row in sorted(rows, key=lambda row: row.id):
        lines.append(
            _dumps(
                {
                    "id": row.id,
                    "speaker": row.speaker,
                    "inputs": {key: list(value) for key, value in row.inputs.items()},
                    "targets": {key: list(value) for key, value in row.targets.items()},
                    "attributes": dict(row.attributes),
                }
            )
        )
    content = "\n".join(lines) + "\n"
    write_whole(path, lambda partial: partial.write_text(content, encoding="utf-8"))
    return content


def read_manifest(path: Path, root: Path) -> Manifest:
    """Read a manifest and resolve its paths under `root`.

    Raises:
        MissingDataset: the file is absent, broken, of another format, or names a path outside the root.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise MissingDataset(f"Manifest {path} cannot be read: {error.strerror}") from error
    try:
        return parse_manifest(content.decode("utf-8"), path, root)
    except UnicodeDecodeError as error:
        raise MissingDataset(f"Manifest {path} is broken ({error}): delete it and build it again") from error


def parse_manifest(content: str, path: Path, root: Path) -> Manifest:
    """Make a manifest of what `path` holds, or held; see `read_manifest`."""
    try:
        lines = (line for line in content.split("\n") if line.strip())
        header = json.loads(next(lines, ""))
        if header.get("manifest") != FORMAT:
            raise MissingDataset(
                f"Manifest {path} has format {header.get('manifest')!r}; expected {FORMAT}: build it again"
            )
        problems = tuple(header.pop("problems", ()))
        identity = hashlib.sha256(_dumps(header).encode("utf-8"))
        samples = tuple(_sample(json.loads(line), root, identity) for line in lines)
        ids = [sample.id for sample in samples]
        if len(set(ids)) != len(ids):
            twice = sorted({name for name in ids if ids.count(name) > 1})[0]
            raise MissingDataset(f"Manifest {path} holds the id '{twice}' more than once")
        return Manifest(
            dataset=header["dataset"],
            revision=header["revision"],
            split=header["split"],
            task=header["task"],
            samples=samples,
            sha256=identity.hexdigest(),
            path=path,
            root=root,
            problems=problems,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise MissingDataset(f"Manifest {path} is broken ({error}): delete it and build it again") from error


def inside(root: Path, relative: str) -> Path:
    """`root / relative`, or MissingDataset where that would lead outside the root."""
    parts = set(relative.split("/"))
    if relative.startswith("/") or ".." in parts or "\\" in relative or "\0" in relative or parts <= {"", "."}:
        raise MissingDataset(f"Path {relative!r} in a manifest leads outside its root {root}")
    return root / relative


def _sample(record: Mapping[str, Any], root: Path, identity: Any) -> Sample:
    """A line of a manifest, which its `identity` takes in.

    What lines have in common is kept once: of a large corpus there are a million.
    """
    identity.update(f"\n{_dumps(record)}".encode())
    known: dict[str, Path] = {}

    def resolve(fields: Mapping[str, list[str]]) -> dict[str, tuple[Path, ...]]:
        for paths in fields.values():
            known.update((path, inside(root, path)) for path in paths if path not in known)
        return {sys.intern(name): tuple(known[path] for path in paths) for name, paths in fields.items()}

    return Sample(
        id=str(record["id"]),
        speaker=sys.intern(str(record["speaker"])),
        inputs=resolve(record["inputs"]),
        targets=resolve(record["targets"]),
        attributes={sys.intern(k): sys.intern(v) if isinstance(v, str) else v for k, v in record["attributes"].items()},
    )


def _dumps(value: object) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
