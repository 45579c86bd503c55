"""Names, first bytes and the opening of files, which every reader and writer shares."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import numpy as np

from benchmark.errors import MediaError

SNDFILE_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".oga", ".opus", ".aiff", ".aif", ".sph"})
"""Read by libsndfile; the others by ffmpeg."""
_COMPRESSED = frozenset({".mp3", ".m4a", ".aac", ".wma", ".mp2"})
AUDIO_SUFFIXES = SNDFILE_SUFFIXES | _COMPRESSED
IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".pgm", ".ppm", ".pnm", ".pbm", ".bmp", ".webp", ".tif", ".tiff", ".gif"}
)
VIDEO_SUFFIXES = frozenset(
    {".mp4", ".mov", ".mkv", ".mpg", ".mpeg", ".avi", ".webm", ".m4v", ".ts", ".flv", ".3gp", ".wmv"}
)
_SNDFILE_HEADS = (b"RIFF", b"RIFX", b"RF64", b"fLaC", b"ID3", b"OggS", b"FORM", b"NIST_1A")
_MPEG_HEADS = (b"\x00\x00\x01\xba", b"\x00\x00\x01\xb3", b"G")
"""Programme stream, bare video, transport stream."""
_FFMPEG_HEADS = (
    *(b"ID3", b"ADIF", b"OggS", b"fLaC", b"RIFF", b"FLV", b"\x1aE\xdf\xa3", b"0&\xb2u"),
    *(b"\xff" + bytes([second]) for second in range(0xE2, 0x100)),  # mp3 and aac frames without a tag before them
    *_MPEG_HEADS,
)
_MOV_ATOMS = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp")
_IMAGE_HEADS = (
    *(b"\xff\xd8\xff", b"\x89PNG\r\n", b"BM", b"GIF8", b"RIFF", b"II*\0", b"MM\0*"),
    *(f"P{kind}".encode() for kind in range(1, 7)),
)


def is_audio(path: str | Path) -> bool:
    """Say whether the suffix is that of a sound file."""
    return _suffix(path) in AUDIO_SUFFIXES


def is_image(path: str | Path) -> bool:
    """Say whether the suffix is that of a picture."""
    return _suffix(path) in IMAGE_SUFFIXES


def is_video(path: str | Path) -> bool:
    """Say whether the suffix is that of a video; its sound track can be read as sound."""
    return _suffix(path) in VIDEO_SUFFIXES


def _suffix(path: str | Path) -> str:
    return (path if isinstance(path, Path) else Path(path)).suffix.lower()  # a Path would be parsed again


def check_header(path: str | Path) -> None:
    """Refuse a file that no reader here could open, judging by its existence, size, suffix and first bytes alone.

    Raises:
        MediaError: missing, a folder, empty, of an unknown suffix, or with the first bytes of something else.
    """
    path = regular_file(path)
    suffix = path.suffix.lower()
    with opened(path) as file:
        head = file.read(12)
    if suffix in IMAGE_SUFFIXES:
        fits = head.startswith(_IMAGE_HEADS)
    elif suffix in SNDFILE_SUFFIXES:
        fits = head.startswith(_SNDFILE_HEADS)
    elif suffix in _COMPRESSED | VIDEO_SUFFIXES:
        fits = head.startswith(_FFMPEG_HEADS) or head[4:8] in _MOV_ATOMS
    else:
        raise MediaError(f"{path}: the suffix '{path.suffix}' is that of no sound, picture or video that can be read")
    if not fits:
        raise MediaError(f"{path}: not a {suffix[1:]} file: it begins with {head!r}")


def regular_file(path: str | Path) -> Path:
    """The path, after the checks that every reader shares. A pipe or a device would block for ever."""
    path = path if isinstance(path, Path) else Path(path)
    status = file_status(path)
    if stat.S_ISDIR(status.st_mode):
        raise MediaError(f"{path}: is a folder; expected a file")
    if not stat.S_ISREG(status.st_mode):
        raise MediaError(f"{path}: is not a regular file")
    if not status.st_size:
        raise MediaError(f"{path}: the file is empty (0 bytes)")
    return path


def file_status(path: Path) -> os.stat_result:
    """What the operating system says of a file; what it refuses is a MediaError, as everything that one file does."""
    try:
        return path.stat()
    except FileNotFoundError as error:
        target = ": no such file"
        with suppress(OSError):
            target = f": a link to {os.readlink(path)}, which does not exist"
        raise MediaError(f"{path}{target}") from error
    except (OSError, ValueError) as error:
        raise MediaError(f"{path}: cannot be opened ({reason(error)})") from error


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """The file to read bytes from; what the operating system refuses, also while it is read, is a MediaError."""
    try:
        with path.open("rb") as file:
            yield file
    except (OSError, ValueError) as error:
        raise MediaError(f"{path}: cannot be read ({reason(error)})") from error


def described(array: np.ndarray) -> str:
    """Type and shape, and whether it holds what is not a number, for messages."""
    finite = "" if array.dtype.kind != "f" or np.isfinite(array).all() else " with NaN or infinite values"
    return f"{array.dtype} of shape {list(array.shape)}{finite}"


def reason(error: BaseException) -> str:
    """The error in one line, without the path, which the message already holds."""
    text = (
        getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error) or type(error).__name__
    )
    return " ".join(str(text).split())[:200]
