"""What produced a result: code, packages, hardware."""

from __future__ import annotations

import functools
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = (
    "facevoice-bench",
    "torch",
    "numpy",
    "scipy",
    "dlib-bin",
    "soxr",
    "soundfile",
    "pillow",
    "av",
    "espeakng-loader",
    "pesq",
    "fast_bss_eval",
    "speechmos",
    "pocketsphinx",
    "rapidfuzz",
    "whisper-normalizer",
)


@functools.cache
def collect() -> dict[str, Any]:
    """Git commit and dirty flag of the code, versions of what computes, and the machine."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
    return {"git": _git(), "python": sys.version.split()[0], "packages": versions, "machine": _machine()}


def _git() -> dict[str, Any] | None:
    here = Path(__file__).resolve().parents[2]

    def ask(*words: str) -> str:
        done = subprocess.run(["git", "-C", str(here), *words], capture_output=True, text=True, timeout=10, check=True)
        return done.stdout.strip()

    try:
        if Path(ask("rev-parse", "--show-toplevel")).resolve() != here:
            return None  # installed into some other repository's environment: its commit says nothing of this code
        return {"commit": ask("rev-parse", "HEAD"), "dirty": bool(ask("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return None


def _machine() -> dict[str, Any]:
    import os

    machine: dict[str, Any] = {"system": f"{platform.system()} {platform.machine()}", "cpus": os.cpu_count()}
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                machine["cpu"] = line.partition(":")[2].strip()
                break
    except OSError:
        machine["cpu"] = platform.processor()
    return machine


def device_name(device: str) -> str:
    """`cpu`, or the GPU's name."""
    if not device.startswith("cuda"):
        return device
    import torch

    return torch.cuda.get_device_name(device)
