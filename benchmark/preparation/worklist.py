"""The files of a folder or of a dataset, and what each is to become."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmark.datasets.manifest import Manifest
from benchmark.datasets.media_files import MediaFinder
from benchmark.errors import UsageError
from benchmark.media import is_audio, is_video
from benchmark.preparation.step import Step


@dataclass(frozen=True)
class Worklist:
    """What a step is to work on."""

    root: Path
    files: Mapping[str, tuple[str, ...]]
    """Name below the root, with `/`, to the names of the products."""
    clashes: Mapping[str, str] = field(default_factory=dict)
    """Files whose product would be another file's too, and why they are not used."""
    others: int = 0
    """Files of kinds that the step does not take, and videos whose speech is a recording beside them."""
    strays: tuple[str, ...] = ()
    """Lines that name what cannot be listed, and why."""


def in_folder(root: Path, step: Step) -> Worklist:
    """The files that a step takes, at any depth below a folder; hidden ones are passed over.

    Raises:
        UsageError: not a folder.
    """
    if not root.is_dir():
        raise UsageError(f"'{root}' is not a folder; expected one with {step.takes}")
    strays: list[str] = []
    found = MediaFinder(root, strays).media(root, lambda path: not _hidden(path, root), lambda path: None)
    files = list(found)
    return _worklist(
        root, files, step, [line for line in strays if not line.endswith(": not a kind of file that is used here")]
    )


def in_dataset(manifest: Manifest, step: Step) -> Worklist:
    """The files of a split that a step takes."""
    root = manifest.root
    paths = {
        path
        for sample in manifest.samples
        for fields in (sample.inputs, sample.targets)
        for group in fields.values()
        for path in group
    }
    return _worklist(root, sorted(path.relative_to(root).as_posix() for path in paths), step, [])


def check_out(root: Path, out: Path) -> None:
    """See that products do not come to lie among what is read.

    Raises:
        UsageError: one folder lies in the other, or both are one.
    """
    read, written = root.resolve(), out.resolve()
    if written.is_relative_to(read):
        raise UsageError(f"--out {out} lies in {root}, which is only read: choose a folder beside it")
    if read.is_relative_to(written):
        raise UsageError(f"--out {out} holds {root}, which is only read: choose an empty folder")


def _worklist(root: Path, files: Iterable[str], step: Step, strays: list[str]) -> Worklist:
    every = list(files)
    taken = [file for file in every if step.accepts(file)]
    # A recording beside a video is its speech, as in LRS3 and VoxCeleb2.
    taken.sort(key=lambda file: not is_audio(file))
    owners: dict[str, str] = {}
    chosen: dict[str, tuple[str, ...]] = {}
    clashes: dict[str, str] = {}
    spoken = 0
    for file in taken:
        products = step.products(file)
        owner = next((owners[name] for name in products if name in owners), None)
        if owner is None:
            owners |= dict.fromkeys(products, file)
            chosen[file] = products
        elif is_audio(owner) and is_video(file):
            spoken += 1
        else:
            clashes[file] = f"would be written as {products[0]}, as {owner} is: rename one of them"
    ordered = {file: chosen[file] for file in sorted(chosen)}
    return Worklist(root, ordered, clashes, len(every) - len(taken) + spoken, tuple(strays))


def _hidden(path: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(root).parts)
