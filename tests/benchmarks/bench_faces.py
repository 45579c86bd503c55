"""Faces described per second and core: dlib's ResNet in torch against dlib's own call, in one run.

    python tests/benchmarks/bench_faces.py                       # CPU, one thread
    python tests/benchmarks/bench_faces.py --device cuda --faces 4096

Both describe the same aligned pictures; the largest difference of their numbers is printed beside the ratio. The last
lines time the whole way from a 64 x 64 picture (detect, align, describe), and once more from memory.
"""

from __future__ import annotations

import argparse
import time

import dlib
import numpy as np
import torch

from metrics.networks import dlib_faces
from metrics.networks.face_embedder import Remembered


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--faces", type=int, default=128, help="aligned pictures for the torch side (default 128)")
    parser.add_argument("--reference", type=int, default=24, help="of them for dlib's own call (default 24)")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1, help="of torch on a CPU (default 1); dlib uses one")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    random = np.random.default_rng(0)
    chips = random.integers(0, 256, (arguments.faces, 150, 150, 3), dtype=np.uint8)
    folder = dlib_faces.carried_folder()
    faces = dlib_faces.DlibFaces(folder, arguments.device, arguments.batch_size)
    reference = dlib.face_recognition_model_v1(str(folder / "dlib_face_recognition_resnet_model_v1.dat"))

    faces.describe(chips[: arguments.batch_size])
    start = time.perf_counter()
    found = faces.describe(chips)
    ours = arguments.faces / (time.perf_counter() - start)
    few = chips[: arguments.reference]
    start = time.perf_counter()
    expected = np.array([reference.compute_face_descriptor(chip) for chip in few])
    theirs = len(few) / (time.perf_counter() - start)
    where = arguments.device if arguments.device != "cpu" else f"cpu, {arguments.threads} thread(s)"
    print(f"torch ({where}) {ours:10.1f} faces/s")
    print(f"dlib's own call      {theirs:10.1f} faces/s")
    print(f"ratio {ours / theirs:.1f}x, largest difference {np.abs(found[: len(few)] - expected).max():.1e}")

    remembered = Remembered(faces, batch_size=arguments.batch_size)
    pictures = list(random.integers(0, 256, (arguments.faces, 64, 64, 3), dtype=np.uint8))
    for name in ("detect + align + describe", "again, from memory"):
        start = time.perf_counter()
        remembered.embed(pictures)
        print(f"{name:26} {arguments.faces / (time.perf_counter() - start):10.1f} faces/s")


if __name__ == "__main__":
    main()
