"""Read and write video."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmark.errors import MediaError
from benchmark.files import write_whole
from benchmark.media.containers import RESTARTING, av_package, frames_of, open_container, track
from benchmark.media.files import described, reason, regular_file
from benchmark.media.pictures import MAX_PIXELS
from benchmark.media.sound import MAX_SECONDS
from benchmark.media.time_stamps import GUESSED_SLACK, SLACK, Clock, frames_on_screen, picture_gaps
from benchmark.remarks import remark
from benchmark.types import Audio, Grey

MAX_VIDEO_BYTES = 4 * 2**30
"""Decoded video beyond this is refused: ask for a smaller `size`, or grey."""
_thread = threading.local()


def read_video(
    path: str | Path, fps: float = 25, size: tuple[int, int] | None = None, grey: bool | Grey = False
) -> np.ndarray:
    """Read the pictures of a video at a constant rate.

    Picture k is the one on screen at k / fps seconds after the first, by the time stamps: where pictures are missing
    the last one is held, which a remark tells (`benchmark.remarks`). A video whose stamps differ from this rate by a
    quarter of a picture at most is returned as it is. The rotation that phones record is applied.

    Args:
        fps: pictures per second wanted.
        size: (height, width) to scale to, area-averaged; None keeps the video's own.
        grey: luma alone; or the name of another grey.

    Returns:
        `[T, H, W, 3]` uint8 RGB, or `[T, H, W]` uint8 where grey.

    Raises:
        MediaError: missing, empty, corrupt, cut short, no pictures, or above MAX_VIDEO_BYTES when decoded.
    """
    path = regular_file(path)
    if not fps > 0:
        raise MediaError(f"{path}: expected a rate above 0 pictures per second, got {fps}")
    times: list[float] = []
    pictures: list[np.ndarray] = []
    timing, decoded = decoded_frames(path)
    for time, frame in decoded:
        pictures.append(frame_pixels(path, frame, size, grey))
        times.append(time)
        _check_bytes(path, len(pictures) * pictures[0].nbytes)
    if not pictures:
        raise MediaError(f"{path}: no picture of the video could be decoded")
    if len({picture.shape for picture in pictures}) > 1:
        raise MediaError(f"{path}: the size of the pictures changes within the video: give a size to scale to")
    indices = shown(path, np.asarray(times), timing, fps)
    _check_bytes(path, len(indices) * pictures[0].nbytes)
    return np.stack([pictures[index] for index in indices])


def sound_delay(path: str | Path) -> float:
    """Tell how many seconds after the first picture of a video its sound begins; negative where the sound is first.

    `read_audio` and `read_video` begin with the first sample and picture, whenever these are to be played. An encoder's
    padding before the sound, as AAC has, counts as sound where the decoder gives it out. Without time stamps both are
    taken to begin at once.

    Raises:
        MediaError: missing, corrupt, without sound or without pictures.
    """
    path = regular_file(path)
    with open_container(path) as container:
        sound = next(frames_of(container, track(container, "audio", path), path), None)
    picture = next((frame for _, frame in decoded_frames(path)[1]), None)
    for frame, kind in ((sound, "sound"), (picture, "picture")):
        if frame is None:
            raise MediaError(f"{path}: no {kind} of the video could be decoded")
    return 0.0 if sound.time is None or picture.time is None else float(sound.time - picture.time)


def since_sound(path: str | Path, frames: np.ndarray, fps: float, seconds: float) -> np.ndarray:
    """Shift the pictures of a video so that the first is the one on screen when its own sound begins.

    Where the sound begins later, the pictures before it are cut; where the pictures do, the first one is held. The
    shift is of whole pictures, so that half of one or less is left alone.

    Args:
        frames: `[T, ...]`, at `fps`, as `read_video` gives them.
        seconds: length of the sound.

    Raises:
        MediaError: as `sound_delay`; or the pictures end before the sound begins, or begin in its second half.
    """
    delay_s = sound_delay(path)
    shift = round(delay_s * fps)
    if not -seconds / 2 <= shift / fps < len(frames) / fps:
        raise MediaError(
            f"{path}: the sound, of {seconds:.2f} s, begins {delay_s:.2f} s after the pictures, of "
            f"{len(frames) / fps:.2f} s; expected pictures from its first half on"
        )
    return frames[shift:] if shift >= 0 else np.concatenate([np.repeat(frames[:1], -shift, axis=0), frames])


def write_video(path: str | Path, frames: np.ndarray, fps: float, audio: Audio | None = None) -> None:
    """Write `[T, H, W, 3]` RGB or `[T, H, W]` grey uint8 pictures, with sound where given, atomically.

    `.mkv` is lossless (FFV1, 16-bit FLAC); `.mp4` and `.mov` are for looking at (H.264, AAC) and want
    an even height and width.

    Raises:
        MediaError: another suffix, shape, type or size.
    """
    from fractions import Fraction

    path = Path(path)
    frames = np.asarray(frames)
    suffix = path.suffix.lower()
    if suffix not in (".mkv", ".mp4", ".mov"):
        raise MediaError(f"{path}: expected the suffix .mkv, .mp4 or .mov, got '{suffix}'")
    if (
        frames.dtype != np.uint8
        or not (frames.ndim == 3 or (frames.ndim == 4 and frames.shape[3] == 3))
        or not frames.size
    ):
        raise MediaError(f"{path}: expected uint8 pictures of shape [T, H, W, 3] or [T, H, W], got {described(frames)}")
    if audio is not None and (audio.samples.ndim != 1 or not np.isfinite(audio.samples).all()):
        raise MediaError(f"{path}: expected finite sound of shape [T], got {described(audio.samples)}")
    if frames.ndim == 3:
        frames = np.repeat(frames[..., None], 3, axis=3)
    height, width = frames.shape[1:3]
    lossless = suffix == ".mkv"
    if not lossless and (height % 2 or width % 2):
        raise MediaError(f"{path}: H.264 wants an even height and width, got {height} x {width}: use .mkv, or scale")

    def encode(partial: Path) -> None:
        av = av_package()
        with av.open(str(partial), "w", options={"fflags": "+bitexact"}) as container:
            video = container.add_stream("ffv1" if lossless else "libx264", rate=Fraction(fps).limit_denominator(1001))
            video.width, video.height = width, height
            video.pix_fmt = "bgr0" if lossless else "yuv420p"
            if not lossless:
                video.options = {"crf": "17", "threads": "1"}
            sound = None
            if audio is not None:
                sound = container.add_stream("flac" if lossless else "aac", rate=audio.rate, layout="mono")
            for picture in frames:
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
                container.mux(video.encode(frame))
            container.mux(video.encode(None))
            if sound is not None and audio is not None:
                _encode_sound(av, container, sound, audio, "s16" if lossless else "fltp")

    try:
        write_whole(path, encode)
    except (av_package().FFmpegError, ValueError) as error:
        raise MediaError(f"{path}: the video cannot be written ({reason(error)})") from error


class VideoTrack(NamedTuple):
    """How the pictures of a video are timed."""

    fps: float
    """The average rate."""
    slack: float
    """By how much, in pictures, a stamp may differ from its place in a video of constant rate."""


def decoded_frames(path: Path) -> tuple[VideoTrack, Iterator[tuple[float, Any]]]:
    """Decode a video frame by frame.

    Returns:
        Its timing; and each frame's time in seconds, which never falls, with the frame.

    Raises:
        MediaError: not readable, corrupt, cut short, or without pictures; also while it is iterated.
    """
    container = open_container(path)
    try:
        stream = track(container, "video", path)
    except MediaError:
        container.close()
        raise
    context = stream.codec_context
    if context.width * context.height > MAX_PIXELS:
        container.close()
        limit = f"{MAX_PIXELS // 10**6} million"
        raise MediaError(f"{path}: pictures of {context.width} x {context.height} pixels; expected at most {limit}")
    kind = container.format.name
    fps = float(stream.average_rate or stream.guessed_rate or 25)
    clock = Clock(may_jump=kind in RESTARTING)

    def timed() -> Iterator[tuple[float, Any]]:
        waiting = None
        with container:
            for frame in frames_of(container, stream, path):
                if waiting is not None:
                    yield clock.at(waiting.time, 1 / fps, frame.time), waiting
                waiting = frame
        if waiting is not None:
            yield clock.at(waiting.time, 1 / fps), waiting
        if clock.restarts:
            remark(f"{path}: the time stamps of its pictures begin anew {clock.restarts} times; they go on without gap")

    return VideoTrack(fps, GUESSED_SLACK if kind == "mpeg" else SLACK), timed()


def shown(path: Path, times: np.ndarray, timing: VideoTrack, fps: float) -> np.ndarray:
    """Indices of the frames on screen at 0, 1/fps, 2/fps ... seconds after the first; gaps are told.

    Args:
        times: `[T]`, as `decoded_frames` gives them.
    """
    if times[-1] - times[0] > MAX_SECONDS:
        raise MediaError(f"{path}: longer than {MAX_SECONDS // 3600} hours, by its time stamps")
    indices = frames_on_screen(times, timing.fps, fps, timing.slack)
    gaps = picture_gaps(times, timing.fps)
    if len(gaps):
        remark(f"{path}: no pictures for up to {gaps.max():.2f} s ({len(gaps)} gaps): the last one is held")
    return indices


def _check_bytes(path: Path, count: int) -> None:
    if count > MAX_VIDEO_BYTES:
        raise MediaError(f"{path}: over {MAX_VIDEO_BYTES >> 30} GiB when decoded: ask for a smaller size, or grey")


def opencv_grey(rgb: np.ndarray) -> np.ndarray:
    """What OpenCV's BGR2GRAY makes of these colours: 0.299 R + 0.587 G + 0.114 B in units of 2^-15, rounded.

    Shape:
        `[..., 3]` uint8 -> `[...]` uint8
    """
    return ((rgb.astype(np.int32) @ np.array([9798, 19235, 3735], np.int32) + (1 << 14)) >> 15).astype(np.uint8)


def frame_pixels(path: Path, frame: Any, size: tuple[int, int] | None, grey: bool | Grey) -> np.ndarray:
    """A decoded frame of a video as an array, scaled and upright; grey by luma where that is all that is said.

    Raises:
        MediaError: a form of pixels that cannot be converted.
    """
    turns = round(getattr(frame, "rotation", 0) / 90) % 4
    if grey == "opencv":  # before scaling, as those do who use OpenCV
        colours = frame_pixels(path, frame, None, grey=False)
        frame, turns = av_package().VideoFrame.from_ndarray(opencv_grey(colours), format="gray"), 0
    height, width = size or (frame.height, frame.width)
    if size and turns % 2:
        height, width = width, height
    form = "gray" if grey else "rgb24"
    # Scaling whole pictures by area is exact; what is only converted differs in the colours' resolution.
    way = "AREA" if size or grey else "BICUBIC"
    if not hasattr(_thread, "reformatter"):  # a new one for every frame takes longer than its work
        _thread.reformatter = av_package().video.reformatter.VideoReformatter()
    try:
        picture = _thread.reformatter.reformat(frame, width=width, height=height, format=form, interpolation=way)
        pixels = picture.to_ndarray()
    except (av_package().FFmpegError, ValueError, OSError) as error:
        raise MediaError(f"{path}: its pixels, {frame.format.name}, cannot be converted ({reason(error)})") from error
    return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels


def _encode_sound(av: Any, container: Any, stream: Any, audio: Audio, form: str) -> None:
    samples = np.asarray(audio.samples, np.float32)[None, :]
    if form == "s16":
        samples = np.round(np.clip(samples, -1, 32_767 / 32_768) * 32_768).astype(np.int16)
    for start in range(0, samples.shape[1], 4096):
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(samples[:, start : start + 4096]), format=form, layout="mono"
        )
        frame.sample_rate = audio.rate
        frame.pts = start
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
