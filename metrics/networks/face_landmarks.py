"""The 68 landmarks of iBUG 300-W on a face, by dlib's regression trees; a second detector where the first finds none.

Weights come with the package face_recognition_models, which is read but never imported.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import dlib
import numpy as np

from metrics.networks.dlib_faces import BORDER, SIDE, FaceFinder, Framed, carried_file, carried_folder, frame
from metrics.networks.face_embedder import PictureMemory, check_image

COUNT = 68
_TREES = "shape_predictor_68_face_landmarks.dat"
_CNN = "mmod_human_face_detector.dat"


class Landmarks(NamedTuple):
    """Where the landmarks of N pictures lie."""

    points: np.ndarray
    """`[N, 68, 2]` float32, x and y in pixels of the picture, the centre of the first pixel at (0, 0); NaN where no
    face is found."""
    second: np.ndarray
    """`[N]` bool: the first detector found no face, and the second did."""


class FaceLandmarks:
    """Landmarks of the largest face, which dlib's HOG detector finds, or where it finds none dlib's CNN.

    Both look at the picture enlarged to a shorter side of `SIDE` pixels and framed by its own edge (`BORDER`), at that
    one size and larger faces. dlib gives whole pixels of that picture. What was found of a picture is remembered.
    """

    signature = f"landmarks:dlib68|detect:hog,then:mmod-cnn,side{SIDE},border{BORDER},upsample0"

    def __init__(self, folder: Path) -> None:
        self._files = {name: carried_file(folder, name) for name in (_TREES, _CNN)}
        self._finder = FaceFinder(folder)
        self._tools: dict[str, Any] = {}
        self._memory = PictureMemory(self._look)

    def find(self, images: Sequence[np.ndarray]) -> Landmarks:
        """The landmarks of pictures `[H, W, 3]` uint8 RGB of any sizes.

        Raises:
            ValueError: a picture that is not three-channel uint8, or is empty.
        """
        points, second = np.empty((len(images), COUNT, 2), np.float32), np.empty(len(images), bool)
        for row, found in enumerate(self._memory(images)):
            points[row], second[row] = found
        return Landmarks(points, second)

    def _look(self, images: Sequence[np.ndarray]) -> Landmarks:
        points, second = np.full((len(images), COUNT, 2), np.nan, np.float32), np.zeros(len(images), bool)
        trees = self._tool(_TREES, dlib.shape_predictor)
        for number, image in enumerate(images):
            framed = frame(check_image(image, number))
            box = self._finder.largest(framed)
            if box is None:
                box = self._by_cnn(framed)
                second[number] = box is not None
            if box is not None:
                found = np.array([(point.x, point.y) for point in trees(framed.pixels, box).parts()])
                points[number] = (found - framed.border + 0.5) / framed.scale - 0.5
        return Landmarks(points, second)

    def _by_cnn(self, framed: Framed) -> Any | None:
        boxes = [found.rect for found in self._tool(_CNN, dlib.cnn_face_detection_model_v1)(framed.pixels, 0)]
        return max(boxes, key=lambda box: (box.area(), -box.top(), -box.left()), default=None)

    def _tool(self, name: str, make: Any) -> Any:
        """dlib's objects are made where they are used: they belong to one process."""
        if name not in self._tools:
            self._tools[name] = make(str(self._files[name]))
        return self._tools[name]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_tools": {}}


def load(path: Path | None = None, device: str = "cpu") -> FaceLandmarks:
    """The landmarks of dlib's `.dat` files in a folder, or of the carried ones; on the CPU, whatever `device`."""
    return FaceLandmarks(path or carried_folder())
