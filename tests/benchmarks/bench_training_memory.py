"""Memory of a training by the number of people it reads: shards on disk, or everything held as it once was.

    python tests/benchmarks/bench_training_memory.py --people 400 2000 20000 --folder /tmp

Each number of people is a process of its own, with shards of its own that are deleted afterwards (140 KB a person). A
person has two recordings of 3 s as SF2F's front-end leaves them and three portraits of 64 x 64, each of one level: what
is measured is where they lie, not what they show. The training is SF2F's first stage with a small network. What is
told is memory of the process alone (RssAnon of /proc/self/status): with the modules imported, the samples listed, the
shards opened, after the training, and the most of it. `classes` is the part of the network, with its gradients and
Adam's moments, that has a row for each person. `peak` counts mapped files too (VmHWM), pages that the system takes back
when it needs them. Needs Linux.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

FRAMES, BINS, SIDE = 300, 40, 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, nargs="+", default=[400, 2000, 20_000])
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--folder", type=Path, help="where shards are put")
    parser.add_argument("--held", action="store_true", help="copy everything into memory first")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.alone:
        measure(arguments.people[0], arguments.steps, arguments.held)
        return
    print("people, shards, anonymous memory by and by, classes, peak (MiB); opening, a step (s)")
    for people in arguments.people:
        with tempfile.TemporaryDirectory(prefix="facevoice-memory-", dir=arguments.folder) as home:
            command = [sys.executable, __file__, "--alone", "--people", str(people), "--steps", str(arguments.steps)]
            for _ in range(2):  # the first makes the shards
                again = subprocess.run(
                    [*command, *["--held"] * arguments.held],
                    env={**os.environ, "FACEVOICE_BENCH_HOME": home, "OMP_NUM_THREADS": "1"},
                    check=True,
                    capture_output=True,
                    text=True,
                )
            print(again.stdout, end="", flush=True)


def measure(count: int, steps: int, held: bool) -> None:
    import numpy as np
    import torch

    from baselines import person_shards, shards
    from baselines.people import People, Person, load_people
    from baselines.sf2f.config import Config, Training
    from baselines.sf2f.training import EncoderDecoderRecipe
    from baselines.training import Loop, train
    from benchmark.types import Audio, Sample

    def read_image(path: Path) -> np.ndarray:
        return np.full((SIDE, SIDE, 3), level(path), np.uint8)

    def read_audio(path: Path, rate: int) -> Audio:
        return Audio(np.full(1, level(path) / 128 - 1, np.float32), rate)

    person_shards.read_image, person_shards.read_audio = read_image, read_audio  # type: ignore[assignment]
    shards.cores = lambda: 1  # type: ignore[assignment]

    readings = {"imports": anonymous()}
    folder = Path("/nowhere/corpus")
    samples = [
        Sample(
            f"p{n:06d}",
            f"p{n:06d}",
            {"speech": tuple(folder / "speech" / f"p{n:06d}" / f"{k}.flac" for k in range(2))},
            {"face": tuple(folder / "faces" / f"p{n:06d}" / f"{k}.png" for k in range(3))},
            {"sex": "f", "age": 30},
        )
        for n in range(count)
    ]
    readings["samples"] = anonymous()
    begun = time.perf_counter()
    people = load_people(samples, Level(), SIDE)
    opened_s = time.perf_counter() - begun
    readings["opened"] = anonymous()
    if held:
        people = People(
            tuple(Person(p.id, tuple(v.clone() for v in p.voices), p.faces.clone()) for p in people.persons)
        )
    most = Most()
    recipe = EncoderDecoderRecipe(Config(width=0.1), Training(batch=16, perceptual=0.0), people, None, None)
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as out:
        train(recipe, Path(out), steps, Loop(device="cpu", checkpoint_every=10 * steps, sample_every=10 * steps))
    step_s = (time.perf_counter() - begun) / steps
    readings["trained"] = anonymous()
    readings["most"] = most.end()
    rows = sum(4 * p.numel() * 4 for p in recipe.adversaries.parameters() if p.shape[:1] == torch.Size([count]))
    size = sum(path.stat().st_size for path in Path(os.environ["FACEVOICE_BENCH_HOME"]).rglob("*.safetensors"))
    figures = "  ".join(f"{name} {value / 2**20:.0f}" for name, value in readings.items())
    print(
        f"{count:6}  {size / 2**20:8.0f}  {figures}  classes {rows / 2**20:.0f}  peak {status('VmHWM') / 2**20:.0f}  "
        f"{opened_s:.2f} s  {step_s:.3f} s"
    )


@dataclass(frozen=True)
class Level:
    """A front-end whose features are the first sample, everywhere."""

    def __call__(self, audio: object):  # type: ignore[no-untyped-def]
        import torch

        return torch.full((BINS, FRAMES), float(audio.samples[0]))  # type: ignore[attr-defined]


def level(path: Path) -> int:
    """A grey level of the file's own, 0 to 255."""
    return zlib.crc32(str(path).encode()) % 256


class Most:
    """The most anonymous memory that is seen, looked at fifty times a second."""

    def __init__(self) -> None:
        self._seen, self._over = 0, threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        while not self._over.wait(0.02):
            self._seen = max(self._seen, anonymous())

    def end(self) -> int:
        self._over.set()
        self._thread.join()
        return self._seen


def anonymous() -> int:
    return status("RssAnon")


def status(name: str) -> int:
    """Bytes, by a line of /proc/self/status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


if __name__ == "__main__":
    main()
