"""Faces through dlib: found by its HOG detector, aligned by five landmarks, described by its ResNet.

Weights come with the package face_recognition_models, which is read but never imported.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import dlib
import numpy as np
import torch
from PIL import Image

from metrics.networks import dlib_resnet
from metrics.networks.carried import carried
from metrics.networks.face_embedder import Embeddings, Remembered, check_image, normalise_rows
from metrics.plain import plain

SIDE = 160
"""Pictures with a shorter side below this are enlarged to it before detection, which needs faces of 80 pixels."""
BORDER = 0.15
"""Part of the shorter side by which the edge pixels are repeated, so that tightly cropped faces are found too."""
PADDING = 0.25
"""Border of the aligned picture around the face, as in dlib's training."""
EYES = (0.38, 0.62, 0.45)
"""Pupils, x of the left and the right one in parts of the width, y of the height, assumed where no face is found."""

_RESNET = "dlib_face_recognition_resnet_model_v1.dat"
_FIVE = "shape_predictor_5_face_landmarks.dat"
# dlib's mean shape of outer and inner corner of the right eye, of the left eye (as in the picture), and nose base.
_MEAN_SHAPE = np.array(
    [
        [0.8595674595992, 0.2134981538014],
        [0.6460604764104, 0.2289674387677],
        [0.1205750620789, 0.2137274526848],
        [0.3340850613712, 0.2290642403242],
        [0.4901123135679, 0.6277975316475],
    ]
)


class Framed(NamedTuple):
    """A picture made ready for the detector."""

    pixels: np.ndarray
    """`[H', W', 3]` uint8, enlarged and with its edges repeated."""
    scale: float
    """Pixels here for a pixel of the picture."""
    border: int
    """Repeated pixels at each edge."""


class FaceFinder:
    """dlib's HOG detector and its five landmarks, on pictures made ready by `frame`.

    Where no face is found the picture is taken to be framed as HQ-VoxCeleb's, with the eyes at `EYES`.
    """

    signature = f"detect:hog,side{SIDE},border{BORDER}|align:5pt|else:eyes{EYES[0]},{EYES[2]}"

    def __init__(self, folder: Path) -> None:
        self._five = carried_file(folder, _FIVE)
        self._tools: dict[str, Any] = {}

    def chips(self, image: np.ndarray, *kinds: tuple[int, float]) -> tuple[list[np.ndarray], bool]:
        """The largest face, aligned, once for each side in pixels and padding; and whether a face was found.

        Returns:
            Pictures `[side, side, 3]` uint8; each is cut from the framed picture, none from another chip.
        """
        framed = frame(image)
        box = self.largest(framed)
        if box is None:
            shape = _assumed_shape(framed, image.shape)
        else:
            shape = self._tool("five", lambda: dlib.shape_predictor(str(self._five)))(framed.pixels, box)
        # dlib.get_face_chip rounds the padding to single precision, which moves a pixel now and then
        details = [dlib.get_face_chip_details(shape, size=side, padding=padding) for side, padding in kinds]
        cut = [dlib.extract_image_chip(framed.pixels, detail) for detail in details]
        return cut, box is not None

    def largest(self, framed: Framed) -> Any | None:
        """The largest face as dlib's rectangle, or None."""
        boxes = self._tool("detector", dlib.get_frontal_face_detector)(framed.pixels, 0)
        # Equal areas are told apart by place, so that the choice never depends on the detector's order.
        return max(boxes, key=lambda box: (box.area(), -box.top(), -box.left()), default=None)

    def _tool(self, name: str, make: Any) -> Any:
        """dlib's objects are made where they are used: they belong to one process."""
        if name not in self._tools:
            self._tools[name] = make()
        return self._tools[name]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_tools": {}}


class DlibFaces:
    """A FaceEmbedder of 128 numbers a face, and a detector.

    Where `FaceFinder` finds no face `detected` is False: a bad face still has a descriptor, and it is counted.
    """

    name = "dlib"
    dim = dlib_resnet.DIM
    signature = f"dlib-resnet-v1|{FaceFinder.signature}"

    def __init__(self, folder: Path, device: str = "cpu", batch_size: int = 32) -> None:
        self.folder, self.device, self.batch_size = folder, torch.device(device), batch_size
        network = dlib_resnet.load(carried_file(folder, _RESNET))
        self.network = network.to(self.device, memory_format=torch.channels_last)
        self.finder = FaceFinder(folder)

    def embed(self, images: Sequence[np.ndarray]) -> Embeddings:
        """Describe the largest face of each picture; see `FaceEmbedder.embed`."""
        if not len(images):
            return Embeddings(np.empty((0, self.dim), np.float32), np.empty(0, bool))
        chips, detected = zip(*(self.chip(check_image(image, n)) for n, image in enumerate(images)), strict=True)
        return Embeddings(normalise_rows(self.describe(np.stack(chips))), np.array(detected))

    def describe(self, chips: np.ndarray) -> np.ndarray:
        """Raw descriptors of aligned pictures, as dlib's `compute_face_descriptor`.

        Shape:
            `[N, 150, 150, 3]` uint8 -> `[N, 128]` float32
        """
        rows = []
        with plain():
            for start in range(0, len(chips), self.batch_size):
                part = torch.from_numpy(chips[start : start + self.batch_size]).to(self.device)
                rows.append(self.network(part.permute(0, 3, 1, 2).float()).cpu().numpy())
        return np.concatenate(rows) if rows else np.empty((0, self.dim), np.float32)

    def chip(self, image: np.ndarray) -> tuple[np.ndarray, bool]:
        """The aligned face `[150, 150, 3]` uint8, and whether a face was found."""
        (chip,), found = self.finder.chips(image, (dlib_resnet.SIDE, PADDING))
        return chip, found

    def detect(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Whether the HOG detector finds a face in each picture, `[N]` bool."""
        found = [self.finder.largest(frame(check_image(image, n))) is not None for n, image in enumerate(images)]
        return np.array(found, bool)


def frame(image: np.ndarray) -> Framed:
    """Enlarge a small picture (bilinear) and repeat its edges; sizes are `SIDE` and `BORDER`."""
    height, width = image.shape[:2]
    scale = max(1.0, SIDE / min(height, width))
    pixels = image
    if scale > 1:
        size = (round(width * scale), round(height * scale))
        pixels = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
    border = round(BORDER * min(pixels.shape[:2]))
    pixels = np.pad(pixels, ((border, border), (border, border), (0, 0)), mode="edge")
    return Framed(np.ascontiguousarray(pixels), scale, border)


def _assumed_shape(framed: Framed, size: tuple[int, ...]) -> Any:
    """Five landmarks where `EYES` puts them, for dlib's own alignment."""
    height, width = size[:2]
    left, right, y = EYES
    eyes = (_MEAN_SHAPE[2:4].mean(0), _MEAN_SHAPE[0:2].mean(0))
    unit = (right - left) * width / (eyes[1][0] - eyes[0][0])
    centre = np.array([(left + right) / 2 * width, y * height])
    points = (centre + (_MEAN_SHAPE - (eyes[0] + eyes[1]) / 2) * unit) * framed.scale + framed.border
    rows, columns = framed.pixels.shape[:2]
    parts = [dlib.point(int(round(px)), int(round(py))) for px, py in points]
    return dlib.full_object_detection(dlib.rectangle(0, 0, columns - 1, rows - 1), parts)


def carried_folder() -> Path:
    """Where the package face_recognition_models keeps dlib's networks.

    Raises:
        ModuleNotFoundError: the package is not installed.
    """
    package = "face_recognition_models"
    return carried("dlib's networks", package, f"{package}/models", "pip install face_recognition_models")


def carried_file(folder: Path, name: str) -> Path:
    if not (folder / name).is_file():
        raise FileNotFoundError(
            f"{folder} holds no {name}: give the folder of dlib's networks, or none for the carried one"
        )
    return folder / name


def load(path: Path | None = None, device: str = "cpu") -> Remembered:
    """The embedder, from a folder of dlib's `.dat` files or the carried one; it remembers the pictures it has seen."""
    return Remembered(DlibFaces(path or carried_folder(), device))
