"""Open containers by ffmpeg (PyAV): which track is read, and its frames, in order and to the end.

Nothing here looks at tags, and nothing that a file holds may end the process: samples are taken from a frame's own
planes, channel by channel (PyAV's own conversion of planar sound finds the number of planes by a null pointer that
ffmpeg puts there for fewer than 8 channels only, and reads on behind the last plane where there are more).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.errors import MediaError, MissingDependency
from benchmark.media.files import reason
from benchmark.media.wholeness import check_whole
from benchmark.remarks import remark

# Playlists and concat scripts make ffmpeg open other files and addresses: only containers of their own data are read.
_FFMPEG = {
    "protocol_whitelist": "file",
    "format_whitelist": "aac,asf,avi,flac,flv,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,mp3,mpeg,mpegts,mpegvideo,ogg,wav",
}
_STATING = frozenset({"matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2", "avi", "flv", "asf"})
"""Containers whose headers state a duration; in others ffmpeg estimates one from the data that are there."""
RESTARTING = frozenset({"mpeg", "mpegts", "ogg"})
"""Containers whose clocks begin anew where recordings are joined."""
_LACK_S, _LACK = 0.5, 0.1
"""Seconds and part of the stated duration that may be missing: headers are not exact. The larger one counts."""
_SAMPLES: dict[str, tuple[str, float, float]] = {
    "u8": ("u1", 128.0, 2.0**7),
    "s16": ("i2", 0.0, 2.0**15),
    "s32": ("i4", 0.0, 2.0**31),
    "s64": ("i8", 0.0, 2.0**63),
    "flt": ("f4", 0.0, 1.0),
    "dbl": ("f8", 0.0, 1.0),
}
"""ffmpeg's sample formats: type of numpy, zero, and full scale."""


def av_package() -> Any:
    """The package av, or what to do without it."""
    try:
        import av
    except ModuleNotFoundError as error:
        raise MissingDependency("Compressed sound and video need the package av: pip install av") from error
    av.logging.set_level(None)  # ffmpeg's chatter; what matters comes as an exception
    return av


def open_container(path: Path) -> Any:
    """The container, whatever its tags are written in."""
    av = av_package()
    try:
        return av.open(f"file:{path.absolute()}", options=_FFMPEG, metadata_errors="replace")
    except (av.FFmpegError, ValueError, OSError) as error:
        check_whole(path)
        raise MediaError(f"{path}: not a readable recording or video ({reason(error)})") from error


def track(container: Any, kind: str, path: Path) -> Any:
    """The track of a kind that players take: the first one that is marked as the default, else the first.

    Pictures that are attached, such as covers, are no video.

    Args:
        kind: `audio` or `video`.

    Raises:
        MediaError: there is none, or it is of a codec that cannot be decoded.
    """
    from av.stream import Disposition

    attached = Disposition.attached_pic | Disposition.timed_thumbnails
    tracks = [stream for stream in container.streams if stream.type == kind and not stream.disposition & attached]
    if not tracks or all(stream.codec_context is None for stream in tracks):
        check_whole(path)
    if not tracks:
        lack = "has no sound track" if kind == "audio" else "has no pictures, only sound"
        raise MediaError(f"{path}: the file {lack}")
    default = [stream for stream in tracks if stream.disposition & Disposition.default]
    chosen = (default or tracks)[0]
    if len(tracks) > 1:
        what = f"number {tracks.index(chosen) + 1}, marked as the default," if default else "the first"
        remark(f"{path}: {len(tracks)} {'sound' if kind == 'audio' else 'video'} tracks; {what} is read")
    if chosen.codec_context is None:
        raise MediaError(f"{path}: its {kind} is of a codec that cannot be decoded here")
    return chosen


def frames_of(container: Any, stream: Any, path: Path) -> Iterator[Any]:
    """The decoded frames of one track.

    Raises:
        MediaError: corrupt, or cut short: its data end before its header or its outline says.
    """
    ends: dict[int, float] = {}
    try:
        for packet in container.demux():
            if packet.stream is None:  # of a track that the header did not announce
                continue
            number = packet.stream.index
            if packet.pts is not None and packet.time_base is not None:
                end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
                ends[number] = max(end, ends.get(number, 0.0))
            if number == stream.index and not (container.format.name == "mp3" and _is_tag(packet)):
                yield from packet.decode()
    except IndexError:  # PyAV ends so, behind all others, where there are tracks that the header did not announce
        pass
    except Exception as error:  # PyAV raises many kinds
        check_whole(path)
        raise MediaError(f"{path}: corrupt {stream.type} ({reason(error)})") from error
    _check_duration(container, stream, ends, path)
    check_whole(path)


def _is_tag(packet: Any) -> bool:
    """Whether ffmpeg took a tag or padding between the frames of an mp3 for one of them."""
    content = bytes(packet)
    return content.startswith((b"ID3", b"TAG", b"APE", b"LYR")) or (bool(content) and not any(content))


def _check_duration(container: Any, stream: Any, ends: dict[int, float], path: Path) -> None:
    """Refuse a file whose data end before its header says; ffmpeg reads most such files without a word.

    Args:
        ends: number of each stream that has data to where they end, in seconds.
    """
    if container.format.name not in _STATING:
        return
    # For AVI, ffmpeg makes the duration what the file has room for; the count, in the same unit, is the header's.
    ticks = stream.frames if container.format.name == "avi" else stream.duration
    if ticks and stream.time_base is not None:
        stated, end = float(((stream.start_time or 0) + ticks) * stream.time_base), ends.get(stream.index, 0.0)
    else:  # Matroska states a length of the whole, in which a stream may end early
        stated, end = (container.duration or 0) / 1_000_000, max(ends.values(), default=0.0)
    if stated - end > max(_LACK_S, _LACK * stated):
        raise MediaError(f"{path}: cut short: {end:.2f} of the {stated:.2f} s of {stream.type} that its header states")


def mono(frame: Any) -> np.ndarray:
    """The mean of a frame's channels, however many there are: `[T]` float32, full scale 1.0.

    Raises:
        ValueError: samples of an unknown form, or fewer of them than the frame states.
    """
    from av.audio.plane import AudioPlane

    form = frame.format.name
    planar = frame.format.is_planar
    if (form[:-1] if planar else form) not in _SAMPLES:
        raise ValueError(f"samples of the form {form}")
    kind, zero, scale = _SAMPLES[form[:-1] if planar else form]
    channels = frame.layout.nb_channels
    if channels < 1:
        raise ValueError("no channels")
    if planar:
        planes = [np.frombuffer(AudioPlane(frame, index), kind, frame.samples) for index in range(channels)]
        samples = np.stack(planes)
    else:
        plain = np.frombuffer(AudioPlane(frame, 0), kind, frame.samples * channels)
        samples = np.ascontiguousarray(plain.reshape(frame.samples, channels).T)
    with np.errstate(over="ignore"):  # float64 beyond float32 is infinite, and refused as that
        return ((samples.astype(np.float32) - np.float32(zero)) / np.float32(scale)).mean(axis=0, dtype=np.float32)
