"""The speaker's mouth as lip readers see it: grey, 96 x 96 pixels, 25 frames a second; methods take the centre 88.

The way is that of the published pipelines (Ma et al., ICASSP 2021; AV-HuBERT; BRAVEn): 68 landmarks in each frame,
smoothed over 12 frames, stable points brought onto those of a mean face by a similarity, and a square cut around the
mouth. The stable points are AV-HuBERT's five; BRAVEn's script takes three more, on nose and lips. Their mean face,
`20words_mean_face.npy`, cannot be passed on: `STABLE` are means of dlib's landmarks on real faces, 392 photographs of
the ORL faces and 44 frames of eleven GRID videos, aligned to each other and mirrored, at a scale at which the mouth
takes half of the square, as in the published crops.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmark.errors import MediaError
from benchmark.media import (
    MAX_VIDEO_BYTES,
    decoded_frames,
    frame_pixels,
    pictures_on_screen,
    read_video,
    regular_file,
)
from benchmark.media.face_video import CLOCK_S, FPS, Look, face_detector, faces_in, main_track, nearest, smooth_boxes
from benchmark.media.squares import cut_turned
from benchmark.media.video_cache import VideoCache
from benchmark.types import Grey
from benchmark.weights.table import locate

SIDE = 96
CENTRE = 88
"""Side of the part that methods look at."""
COUNT = 68
"""Landmarks of iBUG 300-W."""
STABLE = {33: (0.0, 40.6), 36: (-40.0, 0.0), 39: (-17.0, 0.7), 42: (17.0, 0.7), 45: (40.0, 0.0)}
"""Base of the nose and corners of the eyes in a mean face, in pixels of the crop from the middle of the eyes."""
MOUTH = slice(48, 68)
"""The landmarks of the lips, whose mean is the middle of the crop."""
WINDOW = 12
"""Frames that the landmarks are smoothed over: a frame and six on either side."""
LOOKS = 3
"""Frames a second in which the face is looked for; landmarks are found in every frame, in the box in between."""
LOOK_SIDES = (300, 480)
"""Shorter side that a picture is scaled to for the detector; the second where the first shows no face."""
FACE_PIXELS = 200
"""Side that the face's box is scaled to for the landmarks, which come in whole pixels."""
CROP_EYES = (0.5, 0.46, 0.2)
"""Where a video shows no face it is taken to be framed as Talkers' and VoxCeleb's: middle of the eyes, x and y, and
the distance of their centres, in parts of the largest square in the middle of the picture."""
MOUTH_Y = 59.3
"""Height of the mouth's middle in the mean face, below the middle of the eyes, in pixels of the crop."""
EYES_APART = 57.0
"""Distance of the eyes' centres there."""
CACHE_BYTES = 64 * 2**20
"""Mouth videos kept in memory; and as much for landmarks."""


class MouthVideo(NamedTuple):
    """A talking mouth, cropped.

    Shape:
        frames: `[N, 96, 96]` uint8 grey, 25 a second
    """

    frames: np.ndarray
    without_face: int = 0
    """Frames in which no face was found; they are cut where the mouth would lie between the frames around them."""


class LandmarkTrack(NamedTuple):
    """The landmarks of the person who speaks in a video."""

    points: np.ndarray
    """`[N, 68, 2]` float32, 25 a second, x and y in pixels of the picture, the upper left corner of the first at
    (0, 0); NaN where no face is found. Not smoothed."""
    pictures: np.ndarray
    """`[N]` int: which of the video's pictures is on screen, from 0."""
    size: tuple[int, int]
    """Height and width of the pictures."""


def read_mouth_video(path: str | Path, grey: Grey = "luma") -> MouthVideo:
    """Read the mouth of the person who speaks in a video.

    Frame k is the one on screen k / 25 seconds after the first. The whole scene or a crop of the face may be shown;
    landmarks are those of `read_landmarks`, interpolated over frames without a face. A video of 96 x 96 or 88 x 88
    pixels is a crop of the mouth already and taken as it is; of the latter the edges are repeated.

    In each frame the shape of the stable points is a mean over WINDOW frames, their place the frame's own, so that the
    crop follows the head at once. Where the square reaches beyond the picture its edges are repeated.

    The same file is read once while it stays among the last CACHE_BYTES of results; `frames` is therefore read-only.
    What there is to be said of the video is said at each call (`benchmark.remarks`).

    Args:
        grey: of the pictures given; the face is found in luma.

    Raises:
        MediaError: as `benchmark.media.read_video`.
        MissingDependency: no dlib, or not its landmarks, for a video that is no crop of the mouth.
    """
    path = regular_file(path)
    return _MOUTHS.get(path, (grey,), lambda: _mouth(path, grey))


def read_landmarks(path: str | Path) -> LandmarkTrack:
    """Find the 68 landmarks of the person who speaks in a video, in each frame at 25 a second.

    The face is looked for in LOOKS frames a second and followed as `face_video` does. Landmarks are found in the box
    of the face, smoothed and interpolated over time, in every frame; a frame whose nearest look lacks the face has
    none. Remembered as mouth videos are.

    Raises:
        MediaError: as `benchmark.media.read_video`.
        MissingDependency: no dlib, or not its landmarks.
    """
    path = regular_file(path)
    return _TRACKS.get(path, (), lambda: _landmarks(path))


_MOUTHS: VideoCache[MouthVideo] = VideoCache(CACHE_BYTES)
_TRACKS: VideoCache[LandmarkTrack] = VideoCache(CACHE_BYTES)


def _mouth(path: Path, grey: Grey) -> MouthVideo:
    first = next((frame for _, frame in decoded_frames(path)[1]), None)
    if first is not None and (first.height, first.width) in ((SIDE, SIDE), (CENTRE, CENTRE)):
        frames = read_video(path, FPS, None, grey)
        edge = (SIDE - first.height) // 2
        return MouthVideo(np.pad(frames, ((0, 0), (edge, edge), (edge, edge)), mode="edge"))
    track = read_landmarks(path)
    if len(track.points) * SIDE**2 > MAX_VIDEO_BYTES:
        raise MediaError(f"{path}: over {MAX_VIDEO_BYTES >> 30} GiB when cropped: cut it into shorter videos")
    places = mouth_places(track)
    mouths = [
        cut_turned(picture, *place, SIDE)
        for picture, place in zip(_shown(path, track.pictures, grey), places, strict=True)
    ]
    return MouthVideo(np.stack(mouths), int(np.isnan(track.points[:, 0, 0]).sum()))


def _landmarks(path: Path) -> LandmarkTrack:
    """Decode twice, to look and to find landmarks: the pictures of some minutes at full size would fill the memory."""
    detector, predictor = face_detector(), _predictor()
    times: list[float] = []
    looks: list[Look] = []
    size = (0, 0)
    timing, decoded = decoded_frames(path)
    for time, frame in decoded:
        if not looks or time > looks[-1].time + 1 / LOOKS - CLOCK_S:
            picture = frame_pixels(path, frame, None, "luma")
            size = picture.shape[:2]
            looks.append(Look(time, next((f for side in LOOK_SIDES if (f := faces_in(detector, picture, side))), ())))
        times.append(time)
    if not times:
        raise MediaError(f"{path}: no picture of the video could be decoded")
    pictures = pictures_on_screen(path, np.asarray(times), timing, FPS)
    shown = np.asarray(times)[pictures]
    points = np.full((len(shown), COUNT, 2), np.nan, np.float32)
    track, looked = main_track(looks), [look.time for look in looks]
    if track:
        boxes = smooth_boxes(track, looked, shown)
        seen = np.isin(nearest(shown, looked), list(track))
        for number, picture in enumerate(_shown(path, pictures, "luma")):
            if seen[number]:
                points[number] = _points(predictor, picture, *boxes[number])
    return LandmarkTrack(points, pictures, size)


def _shown(path: Path, wanted: np.ndarray, grey: Grey) -> Iterator[np.ndarray]:
    """Decode the pictures of these numbers, which never fall, `[H, W]` uint8, holding one at a time."""
    count, shape = 0, None
    for number, (_, frame) in enumerate(decoded_frames(path)[1]):
        if count == len(wanted) or number != wanted[count]:
            continue
        picture = frame_pixels(path, frame, None, grey)
        if shape not in (None, picture.shape):
            raise MediaError(f"{path}: the size of the pictures changes within the video")
        shape = picture.shape
        while count < len(wanted) and number == wanted[count]:
            yield picture
            count += 1


@cache
def _predictor() -> Any:
    import dlib

    return dlib.shape_predictor(str(locate("dlib_landmarks68")))


def _points(predictor: Any, picture: np.ndarray, x: float, y: float, side: float) -> np.ndarray:
    """The landmarks of the face in a box, `[68, 2]`: in the box and half its side around it, at FACE_PIXELS a side."""
    import dlib
    from PIL import Image

    height, width = picture.shape
    left, top = (max(0, math.floor(at - side)) for at in (x, y))
    right, bottom = (min(end, math.ceil(at + side)) for at, end in ((x, width), (y, height)))
    scale = FACE_PIXELS / side
    # sides in whole pixels; each axis has the scale that results
    size = max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale))
    region = Image.fromarray(picture[top:bottom, left:right]).resize(size, Image.Resampling.BILINEAR)
    scales = np.array([size[0] / (right - left), size[1] / (bottom - top)])
    corner = np.array([left, top])
    low, high = (np.rint((np.array([x, y]) + sign * side / 2 - corner) * scales) for sign in (-1, 1))
    box = dlib.rectangle(int(low[0]), int(low[1]), int(high[0]) - 1, int(high[1]) - 1)
    found = np.array([(point.x, point.y) for point in predictor(np.asarray(region), box).parts()])
    return (found + 0.5) / scales + corner


def mouth_places(track: LandmarkTrack) -> np.ndarray:
    """Where the mouth lies in each frame.

    Returns:
        `[N, 2]` complex, x + iy: the middle of the mouth in pixels of the picture; and what one pixel of the crop is
        there, the step to the right.
    """
    points = track.points.astype(float) @ np.array([1, 1j])
    mean_face = np.array([complex(*place) for place in STABLE.values()])
    seen = np.flatnonzero(~np.isnan(points[:, 0]))
    if not len(seen):
        height, width = track.size
        side = min(height, width)
        middle = complex(width, height) / 2 + side * complex(CROP_EYES[0] - 0.5, CROP_EYES[1] - 0.5)
        step = CROP_EYES[2] * side / EYES_APART
        return np.tile([middle + step * 1j * MOUTH_Y, step], (len(points), 1))
    frames = np.arange(len(points))
    whole = np.stack([np.interp(frames, seen, column[seen]) for column in points.T], axis=1)
    stable = whole[:, list(STABLE)]
    place = stable.mean(axis=1, keepdims=True)
    shape = _smoothed(whole - place) + place
    stable, about = shape[:, list(STABLE)], mean_face - mean_face.mean()
    # The similarity z -> step z + place that brings the mean face nearest to the points, by least squares.
    step = (stable - stable.mean(axis=1, keepdims=True)) @ about.conj() / (about @ about.conj())
    return np.stack([shape[:, MOUTH].mean(axis=1), step], axis=1)


def _smoothed(track: np.ndarray) -> np.ndarray:
    """Mean over up to WINDOW / 2 frames on either side, as many on one as on the other. Shape: `[N, K]`."""
    count = len(track)
    sums = np.concatenate([np.zeros_like(track[:1]), np.cumsum(track, axis=0)])
    frames = np.arange(count)
    half = np.minimum(np.minimum(frames, count - 1 - frames), WINDOW // 2)
    return (sums[frames + half + 1] - sums[frames - half]) / (2 * half + 1)[:, None]
