"""Persons told from their background.

SF2F takes a pyramid scene parsing network trained on Pascal VOC 2012, whose weights its authors do not name. Two ways
are open here:

    mediapipe    the package's selfie segmentation, whose network it carries; releases with `mediapipe.solutions`
    FILE.onnx    any network with the 21 classes of Pascal VOC 2012, `[1, 3, H, W]` RGB in ImageNet's mean and deviation
                 -> `[1, 21, h, w]` scores
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Callable
from functools import lru_cache

import numpy as np

from benchmark.errors import InvalidConfig, MissingDependency
from benchmark.preparation.onnx_networks import opened

Segmenter = Callable[[np.ndarray], np.ndarray]
"""`[H, W, 3]` uint8 RGB -> `[H, W]` bool: which pixels are of a person."""
MEDIAPIPE = "mediapipe"
PERSON = 15
"""Of Pascal VOC 2012, background being 0."""
MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
"""Of ImageNet, RGB, full scale 1."""
_WAYS = (
    f"pip install 'mediapipe==0.10.14' (--set segmenter={MEDIAPIPE}), or a network with the classes of Pascal VOC 2012 "
    "in ONNX's form (--set segmenter=FILE.onnx); or leave the background as it is: --set background=keep"
)


def segmenter(name: str) -> Segmenter:
    """The segmenter of that name; `auto` is mediapipe.

    Raises:
        MissingDependency: its package is not here; says what else can be done.
        UsageError: neither a name nor a network of the form above.
    """
    if name in ("auto", MEDIAPIPE):
        return _mediapipe()
    if not name.endswith(".onnx"):
        raise InvalidConfig(f"segmenter = '{name}': expected auto, {MEDIAPIPE} or FILE.onnx")
    opened(name, 3, "The segmenter")
    return lambda picture: _voc(name, picture)


@lru_cache(maxsize=1)
def _mediapipe() -> Segmenter:
    if importlib.util.find_spec("mediapipe") is None:
        raise MissingDependency(f"A white background needs a segmenter, and none is here: {_WAYS}")
    os.environ.setdefault("GLOG_minloglevel", "2")
    try:
        solutions = importlib.import_module("mediapipe").solutions
    except (ImportError, AttributeError) as error:
        raise MissingDependency(f"This release of mediapipe has no selfie segmentation ({error}): {_WAYS}") from error
    network = solutions.selfie_segmentation.SelfieSegmentation(model_selection=0)

    def person(picture: np.ndarray) -> np.ndarray:
        mask: np.ndarray = network.process(np.ascontiguousarray(picture)).segmentation_mask > 0.5
        return mask

    return person


def _voc(path: str, picture: np.ndarray) -> np.ndarray:
    from PIL import Image

    network = opened(path, 3, "The segmenter")
    height, width = picture.shape[:2]
    taken = network.size[1] or width, network.size[0] or height
    scaled = np.asarray(Image.fromarray(picture).resize(taken, Image.Resampling.BILINEAR))
    scores = network(((scaled / 255 - MEAN) / DEVIATION).transpose(2, 0, 1))
    if scores.ndim != 3 or len(scores) <= PERSON:
        raise InvalidConfig(f"The segmenter {path} gives {list(scores.shape)}; expected [21, h, w] scores")
    mask = Image.fromarray((scores.argmax(axis=0) == PERSON).astype(np.uint8) * 255)
    return np.asarray(mask.resize((width, height), Image.Resampling.BILINEAR)) > 127
