"""Crops of faces from pictures and videos, framed as VoxCeleb's."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from benchmark.errors import MediaError
from benchmark.media import (
    MAX_VIDEO_BYTES,
    audio_header,
    decoded_frames,
    frame_pixels,
    is_image,
    is_video,
    opencv_grey,
    pictures_on_screen,
    read_audio,
    read_image,
    since_sound,
    write_image,
    write_video,
)
from benchmark.media.face_video import (
    CLOCK_S,
    FACE_SIDE,
    FACE_Y,
    FPS,
    LOOK_SIDES,
    LOOKS,
    Box,
    Look,
    face_detector,
    faces_in,
    main_track,
    nearest,
    smooth_boxes,
)
from benchmark.media.squares import cut_square
from benchmark.preparation.step import Made, Step, renamed
from benchmark.remarks import remark
from benchmark.types import Audio

TRIES = ((LOOK_SIDES, 0.0), (LOOK_SIDES, 0.25), ((2 * LOOK_SIDES[0],), 0.0))
"""Shorter sides that a picture is scaled to, and width of a frame in parts of its shorter side. Where no face is found,
the picture is looked at again: framed by its edge pixels, because a face that fills it is not seen; then twice as
large, for small faces."""


@dataclass(frozen=True)
class Faces(Step):
    """A square crop around the face of a picture, or of the person who speaks in a video.

    dlib's HOG detector finds the face. Its box takes `share` of the crop's side, its middle lies `height` from the
    top. Of a picture with several faces one is taken, by `of_several`. In a video the face with the largest sum of
    areas is followed, as `benchmark.media.face_video` does, and the crop is a video of 25 pictures a second with the
    sound; or with `stills`, so many single pictures of it.

    The papers state the sizes of the presets. How much stands around the face only VoxCeleb2's own crops tell, from
    which `share` and `height` were measured; FlowAVSE takes them whole. The DDPM paper takes frames with a single face,
    by MediaPipe, and states no margin.
    """

    size: int = 224
    """Side of the crop in pixels."""
    share: float = FACE_SIDE
    """Side of the detector's box in parts of the crop: smaller shows more around the face."""
    height: float = FACE_Y
    """Of the box's middle from the top of the crop, in parts of it."""
    grey: Literal["no", "luma", "opencv"] = "no"
    """Colours; or grey by the codec's luma or as OpenCV converts."""
    of_several: Literal["largest", "central", "refuse"] = "largest"
    """Which face of a picture with several is taken."""
    stills: int = 0
    """Single pictures taken of a video, at even distances; 0 makes a video of it."""

    name: ClassVar[str] = "faces"
    title: ClassVar[str] = "square crops of faces from pictures and videos, framed as VoxCeleb's"
    takes: ClassVar[str] = "pictures and videos"
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "voxceleb": {"size": 224},
        "flowavse": {"size": 112, "grey": "luma"},
        "voice2face": {"size": 64},
        "speech2face_ddpm": {"size": 512, "of_several": "refuse", "stills": 1},
    }

    def __post_init__(self) -> None:
        if not 16 <= self.size <= 2048 or self.size % 2:
            raise ValueError(f"size = {self.size}: expected an even number of pixels, 16 to 2048")
        if not 0.1 <= self.share <= 1.5:
            raise ValueError(f"share = {self.share}: expected 0.1 (much around the face) to 1.5 (less than the face)")
        if not 0 < self.height < 1:
            raise ValueError(f"height = {self.height}: expected a part of the crop, between 0 and 1")
        if not 0 <= self.stills <= 1000:
            raise ValueError(f"stills = {self.stills}: expected 0, for a video, to 1000")

    def check(self) -> list[str]:
        face_detector()
        return []

    def accepts(self, file: str) -> bool:
        return is_image(file) or is_video(file)

    def products(self, file: str) -> tuple[str, ...]:
        if is_image(file):
            return (renamed(file, ".png"),)
        if self.stills:
            return tuple(renamed(file, f".{number + 1:03d}.png") for number in range(self.stills))
        return (renamed(file, ".mkv"),)

    def make(self, source: Path, out: Path, products: tuple[str, ...]) -> Made:
        if is_image(source):
            picture = read_image(source)
            box = self.face_of(picture, source)
            write_image(out / products[0], self._cut(_coloured(picture, self.grey), box))
            return Made(products, {"face": _rounded(box), "picture": list(picture.shape[:2])})
        return self._stills(source, out, products) if self.stills else self._video(source, out, products)

    def face_of(self, picture: np.ndarray, source: Path) -> Box:
        """The face of a picture `[H, W, 3]` that is taken; `source` is the file's name for messages.

        The detector's boxes come in steps; the place is the mean over looks at three sizes, as in videos.

        Raises:
            MediaError: no face, or several where those are refused.
        """
        grey = opencv_grey(picture)
        detector = face_detector()
        for sides, frame in TRIES:
            edge = round(frame * min(grey.shape))
            framed = np.pad(grey, edge, mode="edge")
            looks = [faces_in(detector, framed, side) for side in sides]
            if any(looks):
                seen = [[Box(face.x - edge, face.y - edge, face.side) for face in look] for look in looks]
                break
        else:
            height, width = grey.shape
            raise MediaError(f"{source}: no face was found in {width} x {height} pixels; expected one from the front")
        faces = next(look for look in seen if look)
        if len(faces) > 1:
            if self.of_several == "refuse":
                raise MediaError(f"{source}: {len(faces)} faces in the picture; expected a single one")
            remark(f"{source}: {len(faces)} faces in the picture; the {self.of_several} one is taken")
        chosen = max(faces, key=lambda face: self._rank(face, grey.shape))
        same = [face for look in seen for face in look if _way(face, chosen) < 0.5]
        return Box(*np.mean(same, axis=0))

    def _rank(self, face: Box, shape: tuple[int, ...]) -> float:
        if self.of_several == "central":
            return -math.hypot(face.x - shape[1] / 2, face.y - shape[0] / 2)
        return face.side

    def _cut(self, picture: np.ndarray, box: Box) -> np.ndarray:
        side = box.side / self.share
        return cut_square(picture, box.x - side / 2, box.y - self.height * side, side, self.size)

    def _stills(self, source: Path, out: Path, products: tuple[str, ...]) -> Made:
        """The pictures in the middle of as many equal parts of the video; those without a usable face are left out."""
        count = sum(1 for _ in decoded_frames(source)[1])
        if not count:
            raise MediaError(f"{source}: no picture of the video could be decoded")
        wanted = {int((part + 0.5) * count / self.stills): name for part, name in enumerate(products)}
        made, boxes, why = [], [], ""
        for number, (_, frame) in enumerate(decoded_frames(source)[1]):
            if number in wanted:
                picture = frame_pixels(source, frame, None, grey=False)
                try:
                    box = self.face_of(picture, source)
                except MediaError as error:
                    why = f"picture {number + 1}: {str(error).removeprefix(f'{source}: ')}"
                    continue
                write_image(out / wanted[number], self._cut(_coloured(picture, self.grey), box))
                made.append(wanted[number])
                boxes.append(_rounded(box))
        if not made:
            raise MediaError(f"{source}: no usable face in {len(wanted)} pictures of the video; {why}")
        return Made(tuple(made), {"faces": boxes, "looked_at": len(wanted)})

    def _video(self, source: Path, out: Path, products: tuple[str, ...]) -> Made:
        track = _Track(source, self)
        if len(track.pictures) * self.size**2 * 3 > MAX_VIDEO_BYTES:
            raise MediaError(f"{source}: over {MAX_VIDEO_BYTES >> 30} GiB when cropped: cut it into shorter videos")
        frames, sound = in_time(source, np.stack(list(track.crops())))
        write_video(out / products[0], frames, FPS, sound)
        return Made(products, {"pictures": len(frames), "without_face": track.without_face, "face": track.mean_box})


class _Track:
    """The face of the person who speaks in a video; `benchmark.media.face_video` in any size and colour."""

    def __init__(self, path: Path, step: Faces) -> None:
        self.path, self.step = path, step
        self.form = False if step.grey == "no" else step.grey
        times: list[float] = []
        looks: list[Look] = []
        timing, decoded = decoded_frames(path)
        for time, frame in decoded:
            if not looks or time > looks[-1].time + 1 / LOOKS - CLOCK_S:
                picture = frame_pixels(path, frame, None, "luma" if step.grey == "no" else step.grey)
                looks.append(Look(time, faces_in(face_detector(), picture, LOOK_SIDES[len(looks) % len(LOOK_SIDES)])))
            times.append(time)
        if not times:
            raise MediaError(f"{path}: no picture of the video could be decoded")
        clock, looked = np.asarray(times), [look.time for look in looks]
        self.pictures = pictures_on_screen(path, clock, timing, FPS)
        track = main_track(looks)
        if not track:
            raise MediaError(
                f"{path}: no face was found in {len(looks)} looks at the video; expected one from the front"
            )
        self.boxes = smooth_boxes(track, looked, clock)
        self.mean_box = _rounded(Box(*self.boxes.mean(axis=0)))
        seen = np.isin(nearest(clock[self.pictures], looked), list(track))
        self.without_face = int((~seen).sum())

    def crops(self) -> Iterator[np.ndarray]:
        """A crop for each of 25 pictures a second; decodes anew: pictures of full size would fill the memory."""
        wanted = np.bincount(self.pictures, minlength=len(self.boxes))
        shape = None
        for number, (_, frame) in enumerate(decoded_frames(self.path)[1]):
            if wanted[number]:
                picture = frame_pixels(self.path, frame, None, self.form)
                if shape not in (None, picture.shape):
                    raise MediaError(f"{self.path}: the size of the pictures changes within the video")
                shape = picture.shape
                crop = self.step._cut(picture, Box(*self.boxes[number]))
                for _ in range(wanted[number]):
                    yield crop


def in_time(source: Path, frames: np.ndarray) -> tuple[np.ndarray, Audio | None]:
    """The pictures of a video with its sound, both from the start of the sound on; the pictures alone if it has none.

    Args:
        frames: `[T, ...]`, 25 a second.
    """
    try:
        audio_header(source)
    except MediaError:
        return frames, None
    sound = read_audio(source, None)
    return since_sound(source, frames, FPS, sound.seconds), _within_scale(source, sound)


def _within_scale(source: Path, sound: Audio) -> Audio:
    """Sound that 16 bits can hold."""
    peak = float(np.abs(sound.samples).max())
    if peak > 1:
        remark(f"{source}: its sound peaks at {peak:.2f} of full scale and is turned down to 1")
        return Audio(sound.samples / peak, sound.rate)
    return sound


def _coloured(picture: np.ndarray, grey: str) -> np.ndarray:
    return picture if grey == "no" else opencv_grey(picture)


def _way(face: Box, other: Box) -> float:
    """How far two faces are apart, in sides of the second; 1 or more where their sizes differ by half."""
    if abs(math.log(face.side / other.side)) > math.log(1.5):
        return 1.0
    return math.hypot(face.x - other.x, face.y - other.y) / other.side


def _rounded(box: Box | Sequence[float]) -> list[float]:
    return [round(float(value), 2) for value in box]
