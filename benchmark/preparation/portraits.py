"""HQ-VoxCeleb's way with portraits (Bai et al. 2020, SF2F, Appendix B.1): rules, alignment, white background."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from benchmark.errors import MediaError
from benchmark.media import is_image, read_image, write_image
from benchmark.preparation.expressions import expression
from benchmark.preparation.geometry import ASYMMETRY_PER_DEGREE, asymmetry, cut, inside, pupils, similarity
from benchmark.preparation.onnx_networks import opened
from benchmark.preparation.segmenters import MEDIAPIPE, segmenter
from benchmark.preparation.step import LeftOut, Made, Step, renamed

SEGMENTED = 256
"""Least side of the picture that the segmenter looks at."""
LEAST_PERSON = 0.05
"""Part of the crop that the person fills at least; less, and the segmenter has missed them."""


@dataclass(frozen=True)
class HQPortraits(Step):
    """Portraits as HQ-VoxCeleb has them. The rules, in their order:

    - no face: landmarks are found in none of the picture (dlib's HOG detector, then its CNN; of several faces the
      largest counts);
    - turned: the landmarks of the left and the right side cannot be well aligned. How well, the paper does not say; it
      wants faces turned by 5 degrees at most. Here the two sides may differ by what a symmetric face shows at that
      angle (`geometry.asymmetry`);
    - small: the pupils are less than 30 pixels apart;
    - expression: a classifier reads another one than neutral. Judged where `expressions` names one; else not at all.

    The picture is then turned, scaled and cropped so that both pupils lie at fixed places, and the background is made
    white. The paper states no places: `apart` and `pupil_height` are such that a face fills, from ear to ear and from
    hair to chin, the box that SF2F's evaluation cuts out of these pictures. At 30 pixels between the pupils a crop of
    128 pixels, its larger size, is then not enlarged.

    What people chose by eye, three to seven pictures of each person, no program does.
    """

    size: int = 128
    """Side in pixels: SF2F makes faces of 64 and of 128."""
    apart: float = 0.236
    """Distance of the pupils, in parts of the side."""
    pupil_height: float = 0.48
    """Of the pupils from the top, likewise."""
    least_pupils: float = 30.0
    """Pixels between the pupils in the picture that is given; 0 takes any."""
    largest_turn: float = 5.0
    """Degrees; 90 takes any."""
    expressions: str | None = None
    """A classifier's file in ONNX's form, as FER+; see `benchmark.preparation.expressions`."""
    background: Literal["white", "keep"] = "white"
    """White around the person, as in the paper; or as it is."""
    segmenter: str = "auto"
    """What tells the person from the background; see `benchmark.preparation.segmenters`."""

    name: ClassVar[str] = "hq_voxceleb"
    title: ClassVar[str] = "portraits as HQ-VoxCeleb has them: rules, pupils at fixed places, white background"
    takes: ClassVar[str] = "pictures"
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "sf2f": {"size": 128},
        "sf2f-64": {"size": 64},
        "align": {"size": 128, "least_pupils": 0.0, "largest_turn": 90.0, "background": "keep"},
    }

    def __post_init__(self) -> None:
        if not 16 <= self.size <= 2048:
            raise ValueError(f"size = {self.size}: expected pixels, 16 to 2048")
        if not 0.05 <= self.apart <= 0.9 or not 0 < self.pupil_height < 1:
            raise ValueError(
                f"apart = {self.apart}, pupil_height = {self.pupil_height}: expected parts of the side, 0.05 to 0.9 "
                "and between 0 and 1"
            )
        if not 0 <= self.least_pupils <= 10_000 or not 0 < self.largest_turn <= 90:
            raise ValueError(
                f"least_pupils = {self.least_pupils}, largest_turn = {self.largest_turn}: expected pixels from 0 on, "
                "and degrees above 0 and up to 90"
            )

    def identity(self) -> dict[str, Any]:
        known = super().identity()
        for key in ("expressions", "segmenter"):
            if (value := known[key]) and Path(value).is_file():
                known[key] = {"file": Path(value).name, "sha256": hashlib.sha256(Path(value).read_bytes()).hexdigest()}
        if self.background == "keep":
            known["segmenter"] = None
        elif self.segmenter in ("auto", MEDIAPIPE):
            known["segmenter"] = f"{MEDIAPIPE} {metadata.version(MEDIAPIPE)}"
        return known

    def check(self) -> list[str]:
        _landmarks()
        said = []
        if self.background == "white":
            segmenter(self.segmenter)
        else:
            said.append("the background is left as it is; HQ-VoxCeleb's is white")
        if self.expressions:
            opened(self.expressions, 1, "The classifier of expressions")
        else:
            said.append("expressions are not judged: --set expressions=FILE.onnx names a classifier, as FER+")
        return said

    def accepts(self, file: str) -> bool:
        return is_image(file)

    def products(self, file: str) -> tuple[str, ...]:
        return (renamed(file, ".png"),)

    def make(self, source: Path, out: Path, products: tuple[str, ...]) -> Made:
        picture = read_image(source)
        points = _landmarks().find([picture]).points[0] + 0.5  # from centres of pixels to their edges
        if np.isnan(points).any():
            raise LeftOut("no face", "no face was found; expected one from the front")
        left, right = pupils(points)
        turn, distance = asymmetry(points) / ASYMMETRY_PER_DEGREE, abs(right - left)
        if turn > self.largest_turn:
            raise LeftOut(
                "turned", f"its sides differ as at {turn:.1f} degrees; expected {self.largest_turn:g} at most"
            )
        if distance < self.least_pupils:
            raise LeftOut("small", f"{distance:.1f} pixels between the pupils; expected at least {self.least_pupils:g}")
        if self.expressions and (read := expression(self.expressions, picture, points)) != "neutral":
            raise LeftOut("expression", f"looks {read}; expected neutral")
        write_image(out / products[0], self._aligned(source, picture, left, right))
        place = similarity(left, right, self.size, self.apart, self.pupil_height)
        outside = 1 - float(inside(place, self.size, *picture.shape[:2]).mean())
        about = {"turn_degrees": round(turn, 2), "pupils_apart": round(distance, 2), "outside": round(outside, 4)}
        return Made(products, {**about, "pupils": [[round(p.real, 2), round(p.imag, 2)] for p in (left, right)]})

    def _aligned(self, source: Path, picture: np.ndarray, left: complex, right: complex) -> np.ndarray:
        """The crop; where the background is filled, made larger first, so that the person's outline is smooth."""
        from PIL import Image

        if self.background == "keep":
            return cut(picture, similarity(left, right, self.size, self.apart, self.pupil_height), self.size)
        times = -(-SEGMENTED // self.size)
        side = times * self.size
        place = similarity(left, right, side, self.apart, self.pupil_height)
        crop = cut(picture, place, side)
        person = segmenter(self.segmenter)(crop) & inside(place, side, *picture.shape[:2])
        if person.mean() < LEAST_PERSON:
            seen = f"{person.mean():.0%} of the crop"
            raise MediaError(f"{source}: the segmenter sees a person in {seen}; expected {LEAST_PERSON:.0%} at least")
        filled = Image.fromarray(np.where(person[..., None], crop, np.uint8(255)))
        return np.asarray(filled.reduce(times) if times > 1 else filled)


@lru_cache(maxsize=1)
def _landmarks() -> Any:
    from benchmark.weights.networks import Networks

    return Networks()("face_landmarks")
