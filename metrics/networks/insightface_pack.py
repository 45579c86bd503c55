"""Networks of insightface's pack buffalo_l: ArcFace's descriptor of a face, and its reading of sex and age.

The pack is a zip archive or a folder with `det_10g.onnx`, `w600k_r50.onnx` and `genderage.onnx`; neither the package
insightface nor OpenCV is needed to run them. Its licence allows non-commercial research only.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metrics.networks.dlib_faces import EYES
from metrics.networks.face_embedder import Embeddings, PictureMemory, Remembered, check_image, normalise_rows
from metrics.networks.face_judges import Readings
from metrics.networks.not_weights import not_weights
from metrics.networks.onnx_files import OnnxNetwork
from metrics.networks.scrfd import Scrfd, warped

DETECTOR, RECOGNISER, ATTRIBUTES = "det_10g.onnx", "w600k_r50.onnx", "genderage.onnx"
SIDE = 112
TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
"""Where ArcFace wants the five points in a picture of 112 pixels."""
AROUND = 1.5
"""Side of the square that the sex and age are read in, in parts of the longer side of the face's box."""


class ArcFace:
    """A FaceEmbedder of 512 numbers a face (Deng et al., CVPR 2019; AVP-GAN, Table 4).

    Where no face is found the eyes are taken to be at `dlib_faces.EYES`, as in HQ-VoxCeleb's framing, and `detected` is
    False.
    """

    name = "arcface"

    def __init__(self, pack: Path) -> None:
        """Read a pack.

        Raises:
            FileNotFoundError: it lacks a file.
            ValueError: a file is of another network.
        """
        self._detector = Scrfd(_member(pack, DETECTOR))
        self._network = _member(pack, RECOGNISER)
        taken, outputs = self._network.shapes()
        if taken[1:] != [3, SIDE, SIDE] or len(outputs) != 1 or not isinstance(outputs[0][-1], int):
            raise ValueError(
                f"{pack}, {RECOGNISER}: expected ArcFace with an input [N, 3, {SIDE}, {SIDE}] and one output, got "
                f"input {taken} and outputs {outputs}"
            )
        self.dim = int(outputs[0][-1])
        self._mean, self._scale = _normalisation(self._network, 127.5)
        eyes = f"else:eyes{EYES[0]},{EYES[2]}"
        self.signature = f"arcface-{self._network.digest}|{self._detector.signature}|align:5pt,similarity|{eyes}"

    def embed(self, images: Sequence[np.ndarray]) -> Embeddings:
        """Describe the largest face of each picture; see `FaceEmbedder.embed`."""
        vectors, detected = np.empty((len(images), self.dim), np.float32), np.empty(len(images), bool)
        for number, image in enumerate(images):
            chip, detected[number] = self.chip(check_image(image, number))
            # One at a time: the published file states a batch of one for its output.
            vectors[number] = self._network(_prepared(chip, self._mean, self._scale))[0].reshape(-1)
        return Embeddings(normalise_rows(vectors), detected)

    def chip(self, image: np.ndarray) -> tuple[np.ndarray, bool]:
        """The aligned face `[112, 112, 3]` uint8, and whether a face was found."""
        found = self._detector.largest(image)
        if found is None:
            height, width = image.shape[:2]
            eyes = np.array([[EYES[0] * width, EYES[2] * height], [EYES[1] * width, EYES[2] * height]]) - 0.5
            matrix = similarity(eyes, TEMPLATE[:2])
        else:
            matrix = similarity(found[1], TEMPLATE)
        return warped(image, matrix, SIDE), found is not None


class GenderAge:
    """A FaceJudge. Where no face is found it reads the whole picture, which is about what a portrait's box gives."""

    def __init__(self, pack: Path) -> None:
        """Read a pack; raises as `ArcFace`."""
        self._detector = Scrfd(_member(pack, DETECTOR))
        self._network = _member(pack, ATTRIBUTES)
        taken, outputs = self._network.shapes()
        if len(taken) != 4 or taken[2] != taken[3] or not isinstance(taken[2], int) or [s[-1] for s in outputs] != [3]:
            raise ValueError(
                f"{pack}, {ATTRIBUTES}: expected an input [N, 3, 96, 96] and one output of width 3 (female, male, "
                f"age / 100), got input {taken} and outputs {outputs}"
            )
        self._side = int(taken[2])
        self._mean, self._scale = _normalisation(self._network, 128.0)
        about = f"insightface-genderage,{self._network.digest}|{self._detector.signature}|square{AROUND}|else:whole"
        self.signatures = {"sex": f"classifier:{about}", "age": f"ages:{about}"}
        self.lacks: dict[str, str] = {}
        self._memory = PictureMemory(self._look)

    def read(self, images: Sequence[np.ndarray]) -> Readings:
        """Read the largest face of each picture; see `FaceJudge.read`."""
        rows = np.array(self._memory(images), np.float64).reshape(len(images), 2)
        return Readings(rows[:, 0], rows[:, 1])

    def answer(self, image: np.ndarray) -> np.ndarray:
        """What the network says of a picture, `[3]` float32: logits of female and male, and age / 100."""
        found = self._detector.largest(check_image(image))
        height, width = image.shape[:2]
        if found is None:
            centre, side = np.array([width, height]) / 2, float(min(height, width))
        else:
            box = found[0]
            centre, side = (box[:2] + box[2:]) / 2, AROUND * float((box[2:] - box[:2]).max())
        scale = self._side / side
        matrix = np.column_stack([scale * np.eye(2), self._side / 2 - scale * centre])
        chip = warped(image, matrix, self._side)
        return self._network(_prepared(chip, self._mean, self._scale))[0].reshape(-1)

    def _look(self, images: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        answers = np.array([self.answer(image) for image in images], np.float64)
        if not np.isfinite(answers).all():
            raise ValueError("expected finite answers of genderage, got NaN or infinity; the pack may be broken")
        female, male, age = answers.T
        with np.errstate(over="ignore"):
            return 1 / (1 + np.exp(female - male)), 100 * age


def similarity(points: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The turn, uniform scale and shift that bring points `[N, 2]` closest to targets `[N, 2]`, `[2, 3]`.

    Least squares in closed form: with points as complex numbers, `target = a point + b` is a regression with complex
    coefficients, and a mirror image cannot come out.

    Raises:
        ValueError: all points are one.
    """
    z, t = (np.asarray(p, np.float64) @ np.array([1, 1j]) for p in (points, targets))
    centred = z - z.mean()
    spread = np.vdot(centred, centred).real
    if not spread > 0:
        raise ValueError("expected points that lie apart, got one place alone; the detector's file may be broken")
    a = np.vdot(centred, t) / spread
    b = t.mean() - a * z.mean()
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def _normalisation(network: OnnxNetwork, scale: float) -> tuple[float, float]:
    """Mean and scale of the pixels; 0 and 1 where the file's own first layers subtract and multiply."""
    names = [name for name, _ in network.first_nodes]
    subtracts = any(name.startswith(("Sub", "_minus")) for name in names)
    multiplies = any(name.startswith(("Mul", "_mul")) for name in names)
    inside = (subtracts and multiplies) or "bn_data" in names[:3]
    return (0.0, 1.0) if inside else (127.5, scale)


def _prepared(chip: np.ndarray, mean: float, scale: float) -> np.ndarray:
    """`[S, S, 3]` uint8 -> `[1, 3, S, S]` float32."""
    x = ((chip.astype(np.float32) - np.float32(mean)) / np.float32(scale)).transpose(2, 0, 1)[None]
    return np.ascontiguousarray(x)


def _member(pack: Path, name: str) -> OnnxNetwork:
    """A network of a pack: a file in a folder, or in an archive, wherever it lies there."""
    pack = Path(pack)
    if pack.is_dir():
        if (pack / name).is_file():
            return OnnxNetwork(pack / name)
    elif pack.is_file():
        if not zipfile.is_zipfile(pack):
            what = not_weights(pack)
            got = f", got {what}" if what else "; it may be cut short"
            raise ValueError(f"{pack}: expected a zip archive, or the folder that it was unpacked to{got}")
        with zipfile.ZipFile(pack) as archive:
            members = sorted(member for member in archive.namelist() if member.rpartition("/")[2] == name)
        if members:
            return OnnxNetwork(pack, members[0])
    raise FileNotFoundError(
        f"{pack} holds no {name}: expected insightface's pack buffalo_l, as the archive or unpacked, with {DETECTOR}, "
        f"{RECOGNISER} and {ATTRIBUTES}"
    )


def load(path: Path | None, device: str = "cpu", kind: str = "arcface") -> Any:
    """The embedder `arcface`, which remembers the pictures it has seen, or the judge `genderage`, of a pack.

    They run on the CPU whatever the device.

    Raises:
        FileNotFoundError: no pack, or one that lacks a file.
        ValueError: a file is of another network.
    """
    del device
    if path is None:
        raise FileNotFoundError("insightface's networks come as a pack: give its folder or archive")
    return GenderAge(path) if kind == "genderage" else Remembered(ArcFace(path))
