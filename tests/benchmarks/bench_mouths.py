"""How long it takes to cut the mouth out of a video, and how still it then stands.

    python tests/benchmarks/bench_mouths.py VIDEO [VIDEO ...]

seconds: of one core's time, of a video that was not read before, and without loading the landmarks' network. still: by
how many grey levels the upper rows of the crop, about the nose, change from frame to frame; lips: those at the mouth.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from benchmark.media import mouth_video, read_video
from benchmark.media.mouth_video import read_mouth_video
from benchmark.media.video_cache import VideoCache


def main(paths: list[str]) -> None:
    print(
        "| video | pixels | frames | without a face | seconds | seconds a second | still | lips |\n|---|" + "---:|" * 7
    )
    total_s = shown_s = 0.0
    read_mouth_video(paths[0])
    for path in paths:
        mouth_video._MOUTHS, mouth_video._TRACKS = VideoCache(2**26), VideoCache(2**26)
        began = time.process_time()
        video = read_mouth_video(path)
        took = time.process_time() - began
        total_s, shown_s = total_s + took, shown_s + len(video.frames) / 25
        steps = np.abs(np.diff(video.frames.astype(float), axis=0)).mean(axis=0)
        size = " x ".join(map(str, read_video(path, 25, None, True).shape[:0:-1]))
        print(
            f"| {Path(path).name} | {size} | {len(video.frames)} | {video.without_face} | {took:.2f} "
            f"| {25 * took / len(video.frames):.3f} | {steps[:20].mean():.2f} | {steps[40:62, 30:66].mean():.2f} |"
        )
    print(f"\n{total_s / shown_s:.3f} seconds of a core for a second of video")


if __name__ == "__main__":
    main(sys.argv[1:])
