"""The speaker's face as audio-visual methods see it: grey, 112 x 112 pixels, 25 frames a second.

The size, the rate and the framing are those of FlowAVSE, which takes VoxCeleb2's face crops whole. A video that shows
more than a face is cropped likewise: dlib's HOG detector looks at a few frames a second, and one square follows the
face that it finds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from threading import local
from typing import Any, NamedTuple

import numpy as np

from benchmark.errors import MediaError, MissingDependency
from benchmark.media import (
    MAX_VIDEO_BYTES,
    decoded_frames,
    frame_pixels,
    pictures_on_screen,
    read_video,
    regular_file,
)
from benchmark.media.squares import cut_square
from benchmark.media.video_cache import VideoCache
from benchmark.types import FaceVideo, Grey

FPS = 25
SIDE = 112
FACE_SIDE = 0.51
"""Side of the detector's box in parts of the crop: its mean on the videos of Talkers, which are framed as VoxCeleb2."""
FACE_Y = 0.57
"""Height of the box's centre in the crop, from the top, in parts of the crop; across, it is in the middle."""
LOOKS = 5
"""Frames a second in which the face is looked for."""
CLOCK_S = 0.005
"""Rounding of time stamps: a look may come so much early."""
# The detector's boxes come in steps of 10 % in place and 20 % in size. Looks at sizes that divide the latter step in
# three see the steps at different places, so that the mean over three looks is finer.
LOOK_SIDES = (480, 452, 426)
"""Shorter side that a picture is scaled to for the detector, look by look; its smallest face has 80 pixels."""
STRETCH = 2
"""The longer side is scaled to at most so many times the shorter side's target."""
REACH = 0.5
"""Way that a face moves from one look to the next at most, in parts of its side."""
PLACE_S = 0.3
"""Standard deviation of the Gaussian by which the place of the crop is smoothed: the head moves in it, but calmly."""
SIZE_S = 2.0
"""That of the size, which changes with the distance from the camera alone."""
CACHE_BYTES = 64 * 2**20
"""Face videos kept in memory: several methods of one run ask for the same."""


class Box(NamedTuple):
    """Where a face is, in pixels of the picture; its upper left corner is (0, 0)."""

    x: float
    """Of the centre."""
    y: float
    side: float


class Look(NamedTuple):
    """What the detector saw in one frame."""

    time: float
    """Seconds."""
    faces: tuple[Box, ...]


def read_face_video(path: str | Path, find: bool = False, grey: Grey = "luma") -> FaceVideo:
    """Read the face of the person who speaks in a video.

    Frame k is the one on screen k / 25 seconds after the first. The same file is read and searched once while it stays
    among the last CACHE_BYTES of results; `frames` is therefore read-only. What there is to be said of the video is
    said at each call (`benchmark.remarks`).

    Faces are looked for in LOOKS frames a second and followed from look to look. Of several the one with the largest
    sum of areas is kept; a face that jumps, as at a cut, counts as another. The crop is a square in which the
    detector's box takes FACE_SIDE, at the height FACE_Y; place and size are smoothed over time, edge pixels are
    repeated outside the picture, and pixels are averaged by area. A look without this face takes the place it had in
    the nearest look with it, and `without_face` counts the frames whose nearest look is such a one. Where no look
    finds any face, the crop is the largest square in the middle of the picture, and all frames count.

    Args:
        find: look for the face. Without it the whole picture is the face (Talkers, VoxCeleb), scaled to 112 x 112.
        grey: of the pictures given; the face is found in luma.

    Raises:
        MediaError: as `benchmark.media.read_video`.
        MissingDependency: no dlib, where `find`.
    """
    path = regular_file(path)

    def read() -> FaceVideo:
        return _find(path, grey) if find else FaceVideo(read_video(path, FPS, (SIDE, SIDE), grey))

    return _CACHE.get(path, (find, grey), read)


def clip_video(video: FaceVideo, start_s: float, seconds: float, source_s: float) -> FaceVideo:
    """Cut the frames on screen during a clip of the sound that belongs to a video; see `clip_frames`.

    `without_face` stays the count in the whole video.

    Raises:
        MediaError: as `clip_frames`.
    """
    return video._replace(frames=clip_frames(video.frames, start_s, seconds, source_s))


def clip_frames(frames: np.ndarray, start_s: float, seconds: float, source_s: float) -> np.ndarray:
    """Cut the pictures on screen during a clip of the sound that belongs to them.

    Frame k is the one on screen at (start_s + k / 25) mod source_s: a clip that is longer than the rest of the sound
    begins again with it. Pictures that end before the sound hold the last one.

    Args:
        start_s: where in the recording the clip starts.
        seconds: length of the clip.
        source_s: length of the recording.

    Shape:
        frames: `[N, H, W]`, 25 a second -> `[ceil(25 seconds), H, W]`

    Raises:
        MediaError: times that are negative, not finite or zero in length, or pictures for less than half of `source_s`.
    """
    if not (math.isfinite(start_s + seconds + source_s) and start_s >= 0 and seconds > 0 and source_s > 0):
        raise MediaError(
            f"Expected a clip that starts at 0 s or later, and lengths above 0 s; got a start at {start_s} s, "
            f"{seconds} s of a recording of {source_s} s"
        )
    shown_s = len(frames) / FPS
    if shown_s < source_s / 2:
        raise MediaError(
            f"The video of the face shows {shown_s:.2f} s of a recording of {source_s:.2f} s: expected at least "
            "half of it; check that the two files belong together"
        )
    # A microsecond, less than a sample of sound, keeps k / 25 from falling short of frame k by rounding.
    times = (start_s + np.arange(math.ceil(seconds * FPS - 1e-6)) / FPS + 1e-6) % source_s
    return frames[np.minimum((times * FPS).astype(np.intp), len(frames) - 1)]


_CACHE: VideoCache[FaceVideo] = VideoCache(CACHE_BYTES)
_THREAD = local()


def _find(path: Path, grey: Grey) -> FaceVideo:
    """Decode twice, to look and to crop: the pictures of some minutes at full size would fill the memory."""
    detector = face_detector()
    times: list[float] = []
    looks: list[Look] = []
    shape: tuple[int, ...] = (0, 0)
    timing, decoded = decoded_frames(path)
    for time, frame in decoded:
        if not looks or time > looks[-1].time + 1 / LOOKS - CLOCK_S:
            picture = frame_pixels(path, frame, None, grey)
            if not looks:
                shape = picture.shape
            looks.append(Look(time, faces_in(detector, picture, LOOK_SIDES[len(looks) % len(LOOK_SIDES)])))
        times.append(time)
    if not times:
        raise MediaError(f"{path}: no picture of the video could be decoded")
    clock, looked = np.asarray(times), [look.time for look in looks]
    indices = pictures_on_screen(path, clock, timing, FPS)
    if len(indices) * SIDE**2 > MAX_VIDEO_BYTES:
        raise MediaError(f"{path}: over {MAX_VIDEO_BYTES >> 30} GiB when cropped: cut it into shorter videos")

    track = main_track(looks)
    squares = _squares(track, looked, clock, shape)
    wanted = set(indices.tolist())
    faces: dict[int, np.ndarray] = {}
    for number, (_, frame) in enumerate(decoded_frames(path)[1]):
        if number in wanted:
            picture = frame_pixels(path, frame, None, grey)
            if picture.shape != shape:
                raise MediaError(f"{path}: the size of the pictures changes within the video")
            faces[number] = cut_square(picture, *squares[number], SIDE)
    seen = np.isin(nearest(clock[indices], looked), list(track))
    return FaceVideo(np.stack([faces[number] for number in indices.tolist()]), int((~seen).sum()))


def face_detector() -> Any:
    """The detector of this thread: it works in memory of its own, and rows are opened by several threads."""
    try:
        import dlib
    except ModuleNotFoundError as error:
        raise MissingDependency("Finding faces in videos needs the package dlib: pip install dlib-bin") from error
    if not hasattr(_THREAD, "detector"):
        _THREAD.detector = dlib.get_frontal_face_detector()
    return _THREAD.detector


def faces_in(detector: Any, picture: np.ndarray, side: int) -> tuple[Box, ...]:
    """Every face in a grey picture `[H, W]`, which is scaled to a shorter side of `side` for the detector."""
    from PIL import Image

    height, width = picture.shape
    scale = min(side / min(height, width), STRETCH * side / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    scaled = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR))
    x, y = width / size[0], height / size[1]
    return tuple(
        # dlib's right and bottom are the last pixels inside
        Box((box.left() + box.right() + 1) / 2 * x, (box.top() + box.bottom() + 1) / 2 * y, box.width() * x)
        for box in detector(scaled, 0)
    )


def main_track(looks: Sequence[Look]) -> dict[int, Box]:
    """Follow each face from look to look, and keep the one whose areas sum to the most.

    A face continues the track whose last box is nearest, at most REACH of its side away for each look since; the
    nearest pairs are joined first.

    Returns:
        Number of the look to the face's box in it; empty where no look has a face.
    """
    tracks: list[dict[int, Box]] = []
    for number, look in enumerate(looks):
        pairs = []
        for face in look.faces:
            for index, track in enumerate(tracks):
                last = next(reversed(track))
                way = math.hypot(face.x - track[last].x, face.y - track[last].y) / track[last].side
                if way <= REACH * (number - last):
                    pairs.append((way, index, face))
        left = list(look.faces)
        for _, index, face in sorted(pairs):
            if face in left and number not in tracks[index]:
                tracks[index][number] = face
                left.remove(face)
        tracks.extend({number: face} for face in left)
    return max(tracks, key=lambda track: sum(face.side**2 for face in track.values()), default={})


def _squares(track: dict[int, Box], looked: Sequence[float], times: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Left, top and side of the square to cut out of each frame, `[N, 3]`, in pixels."""
    if not track:
        side = min(shape)
        return np.tile([(shape[1] - side) / 2, (shape[0] - side) / 2, side], (len(times), 1)).astype(float)
    x, y, side = smooth_boxes(track, looked, times).T
    side = side / FACE_SIDE
    return np.stack([x - side / 2, y - FACE_Y * side, side], axis=1)


def smooth_boxes(track: dict[int, Box], looked: Sequence[float], times: np.ndarray) -> np.ndarray:
    """Place and size of a tracked face's box in each frame, smoothed over time: the columns of `Box`, `[N, 3]`.

    Args:
        track: as `main_track` gives it, with one look at least.
        looked: times of the looks.
        times: of the frames, `[N]`, in seconds.
    """
    from scipy.ndimage import gaussian_filter1d

    found = sorted(track)
    boxes = np.array([track[found[index]] for index in nearest(np.arange(len(looked)), found)])
    step_s = (looked[-1] - looked[0]) / max(1, len(looked) - 1) or 1 / LOOKS
    boxes[:, :2] = gaussian_filter1d(boxes[:, :2], PLACE_S / step_s, axis=0)
    boxes[:, 2] = gaussian_filter1d(boxes[:, 2], SIZE_S / step_s)
    return np.stack([np.interp(times, looked, column) for column in boxes.T], axis=1)


def nearest(values: np.ndarray, grid: Sequence[float]) -> np.ndarray:
    """Indices of the entries of a rising grid that are nearest to the values; halfway, the earlier."""
    grid = np.asarray(grid)
    return np.searchsorted((grid[1:] + grid[:-1]) / 2, values)
