"""Whether a face looks neutral, by a classifier of eight expressions.

SF2F names a pretrained CNN whose weights it does not give. A file of the form of FER+ (Barsoum et al., ICMI 2016) takes
its place: `[1, 1, 64, 64]` grey, 0 to 255 -> `[1, 8]` scores, in the order below. ONNX's model zoo has one.
"""

from __future__ import annotations

import numpy as np

from benchmark.errors import InvalidConfig
from benchmark.media import opencv_grey
from benchmark.media.squares import cut_square
from benchmark.preparation.onnx_networks import opened

EXPRESSIONS = ("neutral", "happy", "surprised", "sad", "angry", "disgusted", "afraid", "contemptuous")
SIDE = 64
AROUND = 1.2
"""Side of the square that is looked at, in sides of the landmarks' box."""


def expression(path: str, picture: np.ndarray, points: np.ndarray) -> str:
    """The expression with the highest score.

    Args:
        picture: `[H, W, 3]` uint8 RGB.
        points: `[68, 2]` landmarks in it.
    """
    network = opened(path, 1, "The classifier of expressions")
    low, high = points.min(axis=0), points.max(axis=0)
    side = AROUND * float((high - low).max())
    left, top = (low + high) / 2 - side / 2
    scores = network(cut_square(opencv_grey(picture), left, top, side, SIDE)[None])
    if scores.shape != (len(EXPRESSIONS),):
        raise InvalidConfig(f"The classifier {path} gives {list(scores.shape)}; expected [{len(EXPRESSIONS)}] scores")
    return EXPRESSIONS[int(scores.argmax())]
