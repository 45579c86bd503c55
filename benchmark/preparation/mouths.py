"""Crops of mouths, which lip readers and `lipdiffuser` take as they are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from benchmark.errors import MediaError
from benchmark.media import is_video, write_video
from benchmark.media.face_video import FPS, face_detector
from benchmark.media.mouth_video import CENTRE, SIDE, read_mouth_video
from benchmark.preparation.faces import in_time
from benchmark.preparation.step import Made, Step, renamed
from benchmark.types import Grey
from benchmark.weights.table import locate


@dataclass(frozen=True)
class Mouths(Step):
    """The mouth of the person who speaks in a video, as `benchmark.media.mouth_video` cuts it out, with the sound.

    The video is grey, 25 pictures a second, lossless. Every corpus of this suite may have such videos in place of its
    own: pictures of 96 x 96 or 88 x 88 are taken for a crop of the mouth.
    """

    size: int = SIDE
    """96, what the papers' scripts write; or 88, the middle of it, which methods look at."""
    grey: Grey = "luma"
    """How colours become grey: by the codec's luma, or as OpenCV converts."""
    faces: float = 0.5
    """Part of the pictures in which a face has to be found; in the others the mouth is where it would lie between."""

    name: ClassVar[str] = "mouths"
    title: ClassVar[str] = "crops of mouths from videos, grey, 25 a second, with the sound"
    takes: ClassVar[str] = "videos"
    presets: ClassVar[dict[str, dict[str, Any]]] = {"lipdiffuser": {"size": SIDE}, "centre": {"size": CENTRE}}

    def __post_init__(self) -> None:
        if self.size not in (SIDE, CENTRE):
            raise ValueError(f"size = {self.size}: expected {SIDE} or {CENTRE}")
        if not 0 < self.faces <= 1:
            raise ValueError(f"faces = {self.faces}: expected a part of the pictures, above 0 and up to 1")

    def check(self) -> list[str]:
        face_detector()
        locate("dlib_landmarks68")
        return []

    def accepts(self, file: str) -> bool:
        return is_video(file)

    def products(self, file: str) -> tuple[str, ...]:
        return (renamed(file, ".mkv"),)

    def make(self, source: Path, out: Path, products: tuple[str, ...]) -> Made:
        mouth = read_mouth_video(source, self.grey)
        count = len(mouth.frames)
        if count - mouth.without_face < self.faces * count:
            raise MediaError(
                f"{source}: a face was found in {count - mouth.without_face} of {count} pictures; expected one from "
                f"the front in {self.faces:.0%} of them"
            )
        edge = (SIDE - self.size) // 2
        frames, sound = in_time(source, mouth.frames[:, edge : SIDE - edge, edge : SIDE - edge])
        write_video(out / products[0], frames, FPS, sound)
        return Made(products, {"pictures": len(frames), "without_face": mouth.without_face})
