"""How fast a tree of files is indexed, and how much memory that takes, by the number of files.

    python tests/benchmarks/bench_index.py
    python tests/benchmarks/bench_index.py --layout lrs3 --files 1000 10000 --workers 2

Makes a tree of each size in the published layout of a corpus, deletes it afterwards, and indexes its training split in
a process of its own, twice. Of `voxceleb2` half of the files are videos and half recordings, of which only the first
bytes are looked at: they hold no more than these. Of `lrs3` every second file is a video of a fifth of a second whose
sound is heard, so that its length has to be told, and the others its words; lengths are kept, and the second time none
is told anew. Memory: that of the process alone (RssAnon) with the modules imported, and when the manifest is open;
`most` is the largest that was seen; `peak` counts mapped files too (VmHWM). Needs Linux.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench_training_memory import Most, anonymous, status

LINKS = 30_000
"""Names of one file; file systems allow some ten thousand."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, nargs="+", default=[1000, 10_000, 100_000, 300_000])
    parser.add_argument("--layout", choices=sorted(LAYOUTS), default="voxceleb2")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where trees are put")
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.root:
        measure(arguments.layout, arguments.root, arguments.workers)
        return
    print(f"{arguments.layout}, {arguments.workers} workers: files; files a second, seconds; memory (MiB)")
    for files in arguments.files:
        with tempfile.TemporaryDirectory(prefix="facevoice-index-", dir=arguments.folder) as root:
            LAYOUTS[arguments.layout](Path(root) / "corpus", files)
            about = ["--layout", arguments.layout, "--workers", str(arguments.workers), "--root", root]
            for which in ("first", "again"):
                command = [sys.executable, __file__, *about]
                environment = {**os.environ, "OMP_NUM_THREADS": "1"}
                done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
                print(f"{files:8,}  {which}  {done.stdout}", end="", flush=True)


def measure(layout: str, root: Path, workers: int) -> None:
    from benchmark.registry import datasets

    dataset = datasets.load(layout)(root / "corpus", root / "home")
    dataset.workers = workers
    files = sum(len(names) for _, _, names in os.walk(root / "corpus"))
    begun, most = anonymous(), Most()
    clock, cpu = time.perf_counter(), time.process_time()
    manifest = dataset.open("train", "av_enhancement")
    clock, cpu = time.perf_counter() - clock, time.process_time() - cpu
    print(
        f"{files / clock:7,.0f} a second  {clock:6.2f} s ({cpu:.2f} s of this process)  "
        f"imports {begun / 2**20:.0f}  opened {anonymous() / 2**20:.0f}  most {most.end() / 2**20:.0f}  "
        f"peak {status('VmHWM') / 2**20:.0f}  {len(manifest.samples):,} samples, {len(manifest.problems)} left out"
    )


def voxceleb2(root: Path, files: int) -> None:
    """Half videos, half recordings, of no more than their first bytes; 200 utterances a speaker."""
    for number in range(files // 2):
        name = f"id{number // 200:05d}/v{number // 10:06d}/{number % 10:05d}"
        for kind, head in (("mp4", b"\0\0\0\x20ftypisom\0\0\0\0"), ("wav", b"RIFF\x24\0\0\0WAVEfmt ")):
            path = root / "dev" / kind / f"{name}.{kind}"
            if not number % 10:
                path.parent.mkdir(parents=True)
            path.write_bytes(head)


def lrs3(root: Path, files: int) -> None:
    """Half videos, half words; ten utterances a talk. Videos are names of the same few files."""
    import numpy as np

    from benchmark.media import write_video
    from benchmark.types import Audio

    sound = Audio(np.random.default_rng(0).uniform(-0.3, 0.3, 3200).astype(np.float32), 16_000)
    for number in range(files // 2):
        path = root / "trainval" / f"talk{number // 10:06d}" / f"{number % 10:05d}.mp4"
        if not number % 10:
            path.parent.mkdir(parents=True)
        if not number % LINKS:
            source = path
            write_video(path, np.zeros((5, 16, 16), np.uint8), 25, sound)
        else:
            path.hardlink_to(source)
        path.with_suffix(".txt").write_text("Text:  A WORD\n", encoding="utf-8")


LAYOUTS = {"voxceleb2": voxceleb2, "lrs3": lrs3}


if __name__ == "__main__":
    main()
