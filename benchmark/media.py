"""Read and write sound, pictures and video: the only module that touches codecs.

Sound comes out as mono float32 at the rate asked for, pictures as `[H, W, 3]` uint8 RGB, video as `[T, H, W, 3]` uint8.
A file that cannot be used raises MediaError, which names the file and the reason; nothing is ever repaired silently.
"""

from __future__ import annotations

import io
import os
import stat
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from benchmark.errors import MediaError, MissingDependency
from benchmark.files import write_whole
from benchmark.types import Audio, Grey

if TYPE_CHECKING:
    from PIL.Image import Image

_SNDFILE = frozenset({".wav", ".flac", ".ogg", ".oga", ".opus", ".aiff", ".aif", ".sph"})
_COMPRESSED = frozenset({".mp3", ".m4a", ".aac", ".wma", ".mp2"})
AUDIO_SUFFIXES = _SNDFILE | _COMPRESSED
IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".pgm", ".ppm", ".pnm", ".pbm", ".bmp", ".webp", ".tif", ".tiff", ".gif"}
)
VIDEO_SUFFIXES = frozenset(
    {".mp4", ".mov", ".mkv", ".mpg", ".mpeg", ".avi", ".webm", ".m4v", ".ts", ".flv", ".3gp", ".wmv"}
)

MAX_SECONDS = 4 * 3600
"""Recordings beyond this are refused: a wrong header, not an utterance."""
MAX_PIXELS = 64_000_000
"""Pictures beyond this are refused before they are decoded."""
MAX_VIDEO_BYTES = 4 * 2**30
"""Decoded video beyond this is refused: ask for a smaller `size`, or grey."""
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
_STATING = frozenset({"matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2", "avi", "flv", "asf"})
"""Containers whose headers state a duration; in others ffmpeg estimates one from the data that are there."""
_LACK_S, _LACK = 0.5, 0.1
"""Seconds and part of the stated duration that may be missing: headers are not exact. The larger one counts."""
_thread = threading.local()
_RATES = range(1_000, 768_001)
_BLOCK = 1 << 20
_ALPHA = frozenset({"LA", "La", "PA", "RGBA", "RGBa"})
# Playlists and concat scripts make ffmpeg open other files and addresses: only containers of their own data are read.
_FFMPEG = {
    "protocol_whitelist": "file",
    "format_whitelist": "aac,asf,avi,flac,flv,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,mp3,mpeg,mpegts,mpegvideo,ogg,wav",
}


def is_audio(path: str | Path) -> bool:
    """Say whether the suffix is that of a sound file."""
    return Path(path).suffix.lower() in AUDIO_SUFFIXES


def is_image(path: str | Path) -> bool:
    """Say whether the suffix is that of a picture."""
    return Path(path).suffix.lower() in IMAGE_SUFFIXES


def is_video(path: str | Path) -> bool:
    """Say whether the suffix is that of a video; its sound track can be read as sound."""
    return Path(path).suffix.lower() in VIDEO_SUFFIXES


def check_header(path: str | Path) -> None:
    """Refuse a file that no reader here could open, judging by its existence, size, suffix and first bytes alone.

    Raises:
        MediaError: missing, a folder, empty, of an unknown suffix, or with the first bytes of something else.
    """
    path = regular_file(path)
    suffix = path.suffix.lower()
    with path.open("rb") as file:
        head = file.read(12)
    if suffix in IMAGE_SUFFIXES:
        fits = head.startswith(_IMAGE_HEADS)
    elif suffix in _SNDFILE:
        fits = head.startswith(_SNDFILE_HEADS)
    elif suffix in _COMPRESSED | VIDEO_SUFFIXES:
        fits = head.startswith(_FFMPEG_HEADS) or head[4:8] in _MOV_ATOMS
    else:
        raise MediaError(f"{path}: the suffix '{path.suffix}' is that of no sound, picture or video that can be read")
    if not fits:
        raise MediaError(f"{path}: not a {suffix[1:]} file: it begins with {head!r}")


def read_audio(path: str | Path, rate: int | None = 16_000) -> Audio:
    """Read a recording, or the sound track of a video, as mono float32 at `rate`, or at its own where that is None.

    Channels are averaged; another rate is converted by soxr at its HQ setting. Integer samples are divided
    by full scale; float samples are kept, also beyond 1.0.

    Raises:
        MediaError: missing, empty, corrupt, cut short, without sound, with NaN or infinite samples, of zero length.
    """
    path = regular_file(path)
    blocks, own_rate = _decode_sndfile(path) if path.suffix.lower() in _SNDFILE else _decode_av(path)
    samples = np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
    if not len(samples):
        raise MediaError(f"{path}: the recording holds no samples (zero length)")
    if not np.isfinite(samples).all():
        raise MediaError(f"{path}: {int((~np.isfinite(samples)).sum())} of {len(samples)} samples are NaN or infinite")
    if rate is None:
        rate = own_rate
    if own_rate != rate:
        import soxr

        samples = soxr.resample(samples, own_rate, rate, quality="HQ")
        if not len(samples):
            raise MediaError(f"{path}: the recording is too short to be converted from {own_rate} to {rate} Hz")
    return Audio(np.ascontiguousarray(samples, np.float32), rate)


class AudioHeader(NamedTuple):
    """What a recording's header says of it."""

    seconds: float
    rate: int
    channels: int


def audio_header(path: str | Path) -> AudioHeader:
    """Tell length, rate and channels of a recording, from its header where the format has one; else by decoding it.

    Raises:
        MediaError: as `read_audio`, save for what only decoding would show.
    """
    path = regular_file(path)
    if path.suffix.lower() in _SNDFILE:
        with _open_sndfile(path) as file:
            header = AudioHeader(file.frames / file.samplerate, file.samplerate, file.channels)
    else:
        with _open_av(path) as container:
            stream = _sound_track(container, path)
            if stream.duration is not None and stream.time_base is not None:
                seconds = float(stream.duration * stream.time_base)
            elif container.duration is not None:
                seconds = container.duration / 1_000_000
            else:
                seconds = 0.0
            header = AudioHeader(seconds, stream.rate or 0, stream.channels)
        if header.seconds <= 0:
            blocks, rate = _decode_av(path)
            header = header._replace(seconds=sum(map(len, blocks)) / rate, rate=rate)
    if not header.seconds > 0:
        raise MediaError(f"{path}: the recording holds no samples (zero length)")
    return header


def audio_seconds(path: str | Path) -> float:
    """Tell how long a recording is; see `audio_header`."""
    return audio_header(path).seconds


def write_audio(path: str | Path, audio: Audio) -> None:
    """Write sound as 32-bit float WAV or 24-bit FLAC, by suffix, atomically; the same sound gives the same bytes.

    Raises:
        MediaError: another suffix, not `[T]`, no samples, NaN or infinite samples, or beyond full scale for FLAC.
    """
    path = Path(path)
    samples = np.asarray(audio.samples)
    if samples.ndim != 1 or not len(samples) or not np.isfinite(samples).all():
        raise MediaError(f"{path}: expected finite samples of shape [T], T > 0, got {_describe(samples)}")
    suffix = path.suffix.lower()
    if suffix == ".wav":
        content = _float_wav(samples.astype("<f4"), audio.rate)
    elif suffix == ".flac":
        if np.abs(samples).max() > 1:
            raise MediaError(f"{path}: FLAC would clip samples beyond 1.0 (peak {np.abs(samples).max():.3f}): use .wav")
        import soundfile

        buffer = io.BytesIO()
        soundfile.write(buffer, samples, audio.rate, format="FLAC", subtype="PCM_24")
        content = buffer.getvalue()
    else:
        raise MediaError(f"{path}: expected the suffix .wav or .flac, got '{suffix}'")
    write_whole(path, lambda partial: partial.write_bytes(content))


def read_image(path: str | Path) -> np.ndarray:
    """Read a picture as `[H, W, 3]` uint8 RGB.

    Grey and palette become RGB, transparency is laid over white, 16 bits are scaled to 8, the EXIF orientation is
    applied, and of an animation the first frame is taken.

    Raises:
        MediaError: missing, empty, corrupt, cut short, above MAX_PIXELS, or of floating-point pixels.
    """
    from PIL import Image, ImageOps

    path = regular_file(path)
    try:
        with Image.open(path) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                limit = f"{MAX_PIXELS // 10**6} million"
                raise MediaError(f"{path}: {picture.width} x {picture.height} pixels; expected at most {limit}")
            picture.load()
            return np.array(_as_rgb(ImageOps.exif_transpose(picture), path), np.uint8)
    except MediaError:
        raise
    except Exception as error:  # Pillow's parsers raise many kinds
        raise MediaError(f"{path}: not a readable picture ({_reason(error)})") from error


def write_image(path: str | Path, image: np.ndarray) -> None:
    """Write `[H, W, 3]` uint8 RGB (or `[H, W]` grey) as PNG, atomically; the same picture gives the same bytes.

    Raises:
        MediaError: another suffix, shape or type.
    """
    from PIL import Image

    path = Path(path)
    image = np.asarray(image)
    if path.suffix.lower() != ".png":
        raise MediaError(f"{path}: expected the suffix .png, got '{path.suffix}'")
    if image.dtype != np.uint8 or not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)) or not image.size:
        raise MediaError(f"{path}: expected uint8 pixels of shape [H, W, 3] or [H, W], got {_describe(image)}")
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(buffer, format="PNG", compress_level=6)
    write_whole(path, lambda partial: partial.write_bytes(buffer.getvalue()))


def read_video(
    path: str | Path, fps: float = 25, size: tuple[int, int] | None = None, grey: bool | Grey = False
) -> np.ndarray:
    """Read the pictures of a video at a constant rate.

    Picture k is the one on screen at k / fps seconds after the first; a video that already has this rate is returned
    as it is. The rotation that phones record is applied.

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
    frames: list[np.ndarray] = []
    own_fps, used = fps, 0
    for rate, time, frame in decoded_frames(path):
        own_fps = rate
        frames.append(frame_pixels(frame, size, grey))
        times.append(time)
        used += frames[-1].nbytes
        if used > MAX_VIDEO_BYTES:
            raise MediaError(f"{path}: over {MAX_VIDEO_BYTES >> 30} GiB when decoded: ask for a smaller size, or grey")
    if not frames:
        raise MediaError(f"{path}: no picture of the video could be decoded")
    if len({frame.shape for frame in frames}) > 1:
        raise MediaError(f"{path}: the size of the pictures changes within the video: give a size to scale to")
    if abs(own_fps - fps) > 1e-3 * fps:
        frames = [frames[index] for index in frames_on_screen(np.asarray(times), own_fps, fps)]
    return np.stack(frames)


def sound_delay(path: str | Path) -> float:
    """Tell how many seconds after the first picture of a video its sound begins; negative where the sound is first.

    `read_audio` and `read_video` begin with the first sample and picture, whenever these are to be played. An encoder's
    padding before the sound, as AAC has, counts as sound where the decoder gives it out. Without time stamps both are
    taken to begin at once.

    Raises:
        MediaError: missing, corrupt, without sound or without pictures.
    """
    path = regular_file(path)
    with _open_av(path) as container:
        sound = next(_frames(container, _sound_track(container, path), path), None)
    picture = next((frame for _, _, frame in decoded_frames(path)), None)
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
        raise MediaError(f"{path}: expected uint8 pictures of shape [T, H, W, 3] or [T, H, W], got {_describe(frames)}")
    if audio is not None and (audio.samples.ndim != 1 or not np.isfinite(audio.samples).all()):
        raise MediaError(f"{path}: expected finite sound of shape [T], got {_describe(audio.samples)}")
    if frames.ndim == 3:
        frames = np.repeat(frames[..., None], 3, axis=3)
    height, width = frames.shape[1:3]
    lossless = suffix == ".mkv"
    if not lossless and (height % 2 or width % 2):
        raise MediaError(f"{path}: H.264 wants an even height and width, got {height} x {width}: use .mkv, or scale")

    def encode(partial: Path) -> None:
        av = _av()
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
    except (_av().FFmpegError, ValueError) as error:
        raise MediaError(f"{path}: the video cannot be written ({_reason(error)})") from error


def regular_file(path: str | Path) -> Path:
    """The path, after the checks that every reader shares. A pipe or a device would block for ever."""
    path = Path(path)
    try:
        status = path.stat()
    except FileNotFoundError as error:
        target = f": a link to {os.readlink(path)}, which does not exist" if path.is_symlink() else ": no such file"
        raise MediaError(f"{path}{target}") from error
    except (OSError, ValueError) as error:
        raise MediaError(f"{path}: cannot be opened ({_reason(error)})") from error
    if stat.S_ISDIR(status.st_mode):
        raise MediaError(f"{path}: is a folder; expected a file")
    if not stat.S_ISREG(status.st_mode):
        raise MediaError(f"{path}: is not a regular file")
    if not status.st_size:
        raise MediaError(f"{path}: the file is empty (0 bytes)")
    return path


def _open_sndfile(path: Path) -> Any:
    import soundfile

    check_header(path)  # libsndfile would take anything for mp3, and chat about it on stderr
    try:
        file = soundfile.SoundFile(os.fsencode(path))  # as bytes: a name may be other than UTF-8
    except (soundfile.LibsndfileError, OSError, TypeError, UnicodeError) as error:
        raise MediaError(f"{path}: not a readable recording ({_reason(error)})") from error
    if file.samplerate not in _RATES or file.frames / file.samplerate > MAX_SECONDS:
        file.close()
        raise MediaError(
            f"{path}: the header states {file.samplerate} Hz and {file.frames} samples; expected {_RATES.start} to "
            f"{_RATES.stop - 1} Hz and at most {MAX_SECONDS // 3600} hours"
        )
    return file


def _decode_sndfile(path: Path) -> tuple[list[np.ndarray], int]:
    import soundfile

    if path.suffix.lower() == ".wav":
        _check_wav_is_whole(path)
    with _open_sndfile(path) as file:
        # By blocks: a corrupt FLAC header may state 2**36 samples, which one read would try to allocate.
        blocks = []
        try:
            while len(block := file.read(_BLOCK, dtype="float32", always_2d=True)):
                blocks.append(block.mean(axis=1))
        except (soundfile.LibsndfileError, OSError) as error:
            raise MediaError(f"{path}: corrupt recording ({_reason(error)})") from error
        found = sum(map(len, blocks))
        if path.suffix.lower() == ".flac" and found < file.frames:
            raise MediaError(f"{path}: cut short: {found} of the {file.frames} samples that its header states")
        return blocks, file.samplerate


def _check_wav_is_whole(path: Path) -> None:
    """Refuse a WAV whose data end before its header says; libsndfile reads such a file without a word."""
    size = path.stat().st_size
    with path.open("rb") as file:
        if file.read(4) != b"RIFF":
            return
        file.seek(12)
        while len(head := file.read(8)) == 8:
            name, length = struct.unpack("<4sI", head)
            # Programs that write to a pipe leave 0 or all ones here: such a file is whole whatever its length.
            if name == b"data":
                found = size - file.tell()
                if length < 0x7FFFF000 and found < length:
                    raise MediaError(f"{path}: cut short: {found} of the {length} bytes of sound its header states")
                return
            file.seek(length + length % 2, os.SEEK_CUR)


def _av() -> Any:
    try:
        import av
    except ModuleNotFoundError as error:
        raise MissingDependency("Compressed sound and video need the package av: pip install av") from error
    av.logging.set_level(None)  # ffmpeg's chatter; what matters comes as an exception
    return av


def _open_av(path: Path) -> Any:
    av = _av()
    try:
        return av.open(f"file:{path.absolute()}", options=_FFMPEG)
    except (av.FFmpegError, ValueError, OSError) as error:
        raise MediaError(f"{path}: not a readable recording or video ({_reason(error)})") from error


def _sound_track(container: Any, path: Path) -> Any:
    if not container.streams.audio:
        raise MediaError(f"{path}: the file has no sound track")
    return container.streams.audio[0]


def _frames(container: Any, stream: Any, path: Path) -> Iterator[Any]:
    ends: dict[int, float] = {}
    try:
        for packet in container.demux():
            number = packet.stream.index
            if packet.pts is not None and packet.time_base is not None:
                end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
                ends[number] = max(end, ends.get(number, 0.0))
            if number == stream.index:
                yield from packet.decode()
    except (_av().FFmpegError, ValueError, OSError) as error:
        raise MediaError(f"{path}: corrupt {stream.type} ({_reason(error)})") from error
    _check_is_whole(container, stream, ends, path)


def _check_is_whole(container: Any, stream: Any, ends: dict[int, float], path: Path) -> None:
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


def decoded_frames(path: Path) -> Iterator[tuple[float, float, Any]]:
    """Decode a video frame by frame: the video's own rate, the frame's time in seconds, the frame.

    Raises:
        MediaError: not readable, corrupt, or without pictures.
    """
    with _open_av(path) as container:
        if not container.streams.video:
            raise MediaError(f"{path}: the file has no pictures, only sound")
        stream = container.streams.video[0]
        fps = float(stream.average_rate or stream.guessed_rate or 25)
        for number, frame in enumerate(_frames(container, stream, path)):
            yield fps, float(frame.time) if frame.time is not None else number / fps, frame


def _decode_av(path: Path) -> tuple[list[np.ndarray], int]:
    av = _av()
    blocks: list[np.ndarray] = []
    with _open_av(path) as container:
        stream = _sound_track(container, path)
        shape: tuple[int, str] | None = None
        resampler = None
        length = 0
        for frame in _frames(container, stream, path):
            if shape is None:
                shape = frame.sample_rate, frame.layout.name
                if frame.sample_rate not in _RATES:
                    raise MediaError(f"{path}: the sound track states {frame.sample_rate} Hz")
                resampler = av.AudioResampler(format="fltp", layout=frame.layout, rate=frame.sample_rate)
            if shape != (frame.sample_rate, frame.layout.name):
                raise MediaError(f"{path}: rate or channels of the sound track change within the file")
            frame.pts = None
            for part in resampler.resample(frame):  # type: ignore[union-attr]
                blocks.append(part.to_ndarray().mean(axis=0, dtype=np.float32))
                length += len(blocks[-1])
            if length > MAX_SECONDS * shape[0]:
                raise MediaError(f"{path}: longer than {MAX_SECONDS // 3600} hours")
        return blocks, shape[0] if shape else 1


def _as_rgb(picture: Image, path: Path) -> Image:
    from PIL import Image

    if picture.mode == "F":
        raise MediaError(f"{path}: floating-point pixels have no agreed range; expected 8 or 16 bits")
    if picture.mode.startswith("I"):  # 16 bits, also where Pillow holds them in 32
        deep = np.asarray(picture).astype(np.int64)
        if deep.min() < 0 or deep.max() > 65_535:
            raise MediaError(f"{path}: pixels from {deep.min()} to {deep.max()}; expected 8 or 16 bits")
        return Image.fromarray(((deep + 128) // 257).astype(np.uint8)).convert("RGB")
    if picture.mode in _ALPHA or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    return picture.convert("RGB")


def opencv_grey(rgb: np.ndarray) -> np.ndarray:
    """What OpenCV's BGR2GRAY makes of these colours: 0.299 R + 0.587 G + 0.114 B in units of 2^-15, rounded.

    Shape:
        `[..., 3]` uint8 -> `[...]` uint8
    """
    return ((rgb.astype(np.int32) @ np.array([9798, 19235, 3735], np.int32) + (1 << 14)) >> 15).astype(np.uint8)


def frame_pixels(frame: Any, size: tuple[int, int] | None, grey: bool | Grey) -> np.ndarray:
    """A decoded video frame as an array, scaled and upright; grey by luma where that is all that is said."""
    turns = round(getattr(frame, "rotation", 0) / 90) % 4
    if grey == "opencv":  # before scaling, as those do who use OpenCV
        colours = frame_pixels(frame, None, grey=False)
        frame, turns = _av().VideoFrame.from_ndarray(opencv_grey(colours), format="gray"), 0
    height, width = size or (frame.height, frame.width)
    if size and turns % 2:
        height, width = width, height
    form = "gray" if grey else "rgb24"
    # Scaling whole pictures by area is exact; what is only converted differs in the colours' resolution.
    way = "AREA" if size or grey else "BICUBIC"
    if not hasattr(_thread, "reformatter"):  # a new one for every frame takes longer than its work
        _thread.reformatter = _av().video.reformatter.VideoReformatter()
    picture = _thread.reformatter.reformat(frame, width=width, height=height, format=form, interpolation=way)
    pixels = picture.to_ndarray()
    return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels


def frames_on_screen(times: np.ndarray, own_fps: float, fps: float) -> np.ndarray:
    """Indices of the frames on screen at 0, 1/fps, 2/fps ... seconds after the first."""
    times = times - times[0]
    count = max(1, round((times[-1] + 1 / own_fps) * fps))
    # A thousandth of a frame of tolerance: time stamps are rounded to the container's clock.
    return np.clip(np.searchsorted(times, np.arange(count) / fps + 1e-3 / fps, side="right") - 1, 0, len(times) - 1)


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


def _float_wav(samples: np.ndarray, rate: int) -> bytes:
    """The bytes of a 32-bit float WAV. libsndfile would add the time of writing, so no two files would be equal."""
    data = samples.tobytes()
    form = struct.pack("<4sIHHIIHHH", b"fmt ", 18, 3, 1, rate, 4 * rate, 4, 32, 0)
    fact = struct.pack("<4sII", b"fact", 4, len(samples))
    body = b"WAVE" + form + fact + struct.pack("<4sI", b"data", len(data)) + data
    return struct.pack("<4sI", b"RIFF", len(body)) + body


def _describe(array: np.ndarray) -> str:
    finite = "" if array.dtype.kind != "f" or np.isfinite(array).all() else " with NaN or infinite values"
    return f"{array.dtype} of shape {list(array.shape)}{finite}"


def _reason(error: BaseException) -> str:
    """The error in one line, without the path, which the message already holds."""
    text = (
        getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error) or type(error).__name__
    )
    return " ".join(str(text).split())[:200]
