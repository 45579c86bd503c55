"""Read and write sound."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmark.errors import MediaError
from benchmark.files import write_whole
from benchmark.media.containers import RESTARTING, channels, frames_of, mono, open_container, track
from benchmark.media.files import (
    SNDFILE_SUFFIXES,
    check_header,
    described,
    opened,
    reason,
    regular_file,
)
from benchmark.media.time_stamps import Clock, sound_gaps
from benchmark.media.wholeness import check_whole, left_open, mp3_states_its_length, ogg_links, wav_data
from benchmark.remarks import remark
from benchmark.types import Audio

MAX_SECONDS = 4 * 3600
"""Recordings beyond this are refused: a wrong header, not an utterance."""
MAX_PEAK = 64.0
"""Float samples beyond this (+36 dB over full scale) are in units of integers, and refused."""
LOUD_PEAK = 4.0
"""Float samples beyond this are kept and told."""
_RATES = range(1_000, 768_001)
_BLOCK = 1 << 20
_OPEN_FRAMES = 1 << 62
"""libsndfile's count from here on is its word for a length that the writer left open."""
_GUESSED = frozenset({"aac", "flac", "ogg", "wav"})
"""Kinds that come to ffmpeg without a length: see `_by_ffmpeg`."""


def read_audio(path: str | Path, rate: int | None = 16_000) -> Audio:
    """Read a recording, or the sound track of a video, as mono float32 at `rate`, or at its own where that is None.

    Channels are averaged; another rate is converted by soxr at its HQ setting. Integer samples are divided by full
    scale. Float samples are kept as they are, also beyond 1.0, up to a peak of 64: speech of unit variance stays below,
    while samples in units of 8, 16, 24 or 32-bit integers go beyond, and are refused, for nobody can tell which.

    Samples lie where the time stamps of their packets say, counted from the first: missing packets are silence. That,
    and which of several tracks was read, is told by a remark (`benchmark.remarks`). A length that the writer left open
    is read to its end.

    Raises:
        MediaError: missing, unreadable, empty, corrupt, cut short, without sound, of zero length, with NaN or infinite
            samples, or with float samples beyond a peak of 64.
    """
    path = regular_file(path)
    blocks, own_rate = _decoded(path)
    samples = np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
    if not len(samples):
        raise MediaError(f"{path}: the recording holds no samples (zero length)")
    if not np.isfinite(samples).all():
        raise MediaError(f"{path}: {int((~np.isfinite(samples)).sum())} of {len(samples)} samples are NaN or infinite")
    peak = float(max(samples.max(), -samples.min()))
    if peak > MAX_PEAK:
        units = next((bits for bits in (8, 16, 24) if peak <= 2.0 ** (bits - 1)), 32)
        raise MediaError(
            f"{path}: float samples with a peak of {peak:.6g}; expected full scale to be 1.0. Are they in units of "
            f"{units}-bit integers? Then divide them by {2 ** (units - 1)}"
        )
    if peak > LOUD_PEAK:
        remark(f"{path}: float samples with a peak of {peak:.3g}, where full scale is 1.0; kept as they are")
    return converted(path, Audio(np.ascontiguousarray(samples, np.float32), own_rate), rate)


def read_part(path: str | Path, rate: int, start_s: float, length: int) -> Audio:
    """Read `length` samples of a recording at `rate` from `start_s` on, as they are in `read_audio` of all of it.

    Of a long WAV or FLAC at that rate only the part is decoded. A part that reaches beyond the end begins again.

    Raises:
        MediaError: as `read_audio`; or a part that begins behind the end.
    """
    path, first = regular_file(path), round(start_s * rate)
    if not _by_ffmpeg(path):
        with _open_sndfile(path) as file:
            if file.samplerate == rate and first + length <= file.frames:
                file.seek(first)
                part = file.read(length, dtype="float32", always_2d=True).mean(axis=1)
                if len(part) == length and np.isfinite(part).all() and np.abs(part).max(initial=0) <= LOUD_PEAK:
                    return Audio(np.ascontiguousarray(part, np.float32), rate)
    whole = read_audio(path, rate).samples  # which also says what is wrong with it
    if first >= len(whole):
        raise MediaError(f"{path}: {len(whole) / rate:.2f} s long; expected a part from {start_s:g} s on")
    return Audio(np.take(whole, np.arange(first, first + length), mode="wrap"), rate)


def converted(path: Path, audio: Audio, rate: int | None) -> Audio:
    """A recording at another rate.

    Raises:
        MediaError: too short for a single sample.
    """
    if rate is None or rate == audio.rate:
        return audio
    import soxr

    samples = soxr.resample(audio.samples, audio.rate, rate, quality="HQ")
    if not len(samples):
        raise MediaError(f"{path}: the recording is too short to be converted from {audio.rate} to {rate} Hz")
    return Audio(np.ascontiguousarray(samples, np.float32), rate)


class AudioHeader(NamedTuple):
    """What a recording's header says of it."""

    seconds: float
    rate: int
    channels: int


def audio_header(path: str | Path) -> AudioHeader:
    """Tell length, rate and channels of a recording, from its header where the format has one; else by decoding it.

    A header may be wrong all the same: what is cut out of a recording is measured on its samples.

    Raises:
        MediaError: as `read_audio`, save for what only decoding would show.
    """
    path = regular_file(path)
    if _by_ffmpeg(path):
        with open_container(path) as container:
            stream = track(container, "audio", path)
            check_whole(path)
            seconds = _stated_seconds(container, stream, path)
            header = AudioHeader(seconds, stream.rate or 0, channels(stream))
        if header.seconds <= 0:
            blocks, rate = _decode_av(path)
            header = header._replace(seconds=sum(map(len, blocks)) / rate, rate=rate)
    else:
        with _open_sndfile(path) as file:
            header = AudioHeader(file.frames / file.samplerate, file.samplerate, file.channels)
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
        raise MediaError(f"{path}: expected finite samples of shape [T], T > 0, got {described(samples)}")
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


def _decoded(path: Path) -> tuple[list[np.ndarray], int]:
    """Blocks of mono samples, and their rate."""
    if _by_ffmpeg(path):
        return _decode_av(path)
    with _open_sndfile(path) as file:
        return _sndfile_blocks(path, file), file.samplerate


def _by_ffmpeg(path: Path) -> bool:
    """Whether ffmpeg reads a recording: a compressed one, or one that libsndfile would not read to its end.

    That is a WAV or FLAC whose length was left open, Ogg files that were joined, and FLAC in Ogg as some write it.
    """
    if path.suffix.lower() not in SNDFILE_SUFFIXES:
        return True
    check_header(path)  # libsndfile would take anything for mp3, and chat about it on stderr
    check_whole(path)
    with opened(path) as file:
        size = file.seek(0, 2)
        file.seek(0)
        head = file.read(4)
        file.seek(0)
        data = wav_data(file, size) if head in (b"RIFF", b"RIFX", b"RF64") else None
        if data is not None and data[1] == 0 and not _parts_follow(file, data[0] + 4, size):
            return True
    if head == b"OggS" and ogg_links(path) > 1:
        return True
    try:
        with _open_sndfile(path) as recording:
            return recording.frames >= _OPEN_FRAMES
    except MediaError:
        if head == b"OggS":
            return True
        raise


def _stated_seconds(container: Any, stream: Any, path: Path) -> float:
    """The length that the header of a container states, or 0 where ffmpeg would only guess one."""
    kind = container.format.name
    if kind in _GUESSED or (kind == "mp3" and not mp3_states_its_length(path)) or left_open(path):
        return 0.0
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    return (container.duration or 0) / 1_000_000


@contextmanager
def _open_sndfile(path: Path) -> Iterator[Any]:
    import soundfile

    try:
        file = soundfile.SoundFile(os.fsencode(path))  # as bytes: a name may be other than UTF-8
    except (soundfile.LibsndfileError, OSError, TypeError, UnicodeError) as error:
        raise MediaError(f"{path}: not a readable recording ({reason(error)})") from error
    with file:
        too_long = _OPEN_FRAMES > file.frames > MAX_SECONDS * file.samplerate
        if file.samplerate not in _RATES or too_long:
            raise MediaError(
                f"{path}: the header states {file.samplerate} Hz and {file.frames} samples; expected {_RATES.start} to "
                f"{_RATES.stop - 1} Hz and at most {MAX_SECONDS // 3600} hours"
            )
        yield file


def _parts_follow(file: Any, position: int, size: int) -> bool:
    """Whether what lies behind the head of an empty part is further parts, up to the very end of the file."""
    while position + 8 <= size:
        file.seek(position)
        name, length = struct.unpack("<4sI", file.read(8))
        if not name.isascii() or not name.decode("ascii").isprintable():
            return False
        position += 8 + length + length % 2
    return position in (size, size + 1)


def _sndfile_blocks(path: Path, file: Any) -> list[np.ndarray]:
    import soundfile

    # By blocks: a corrupt FLAC header may state 2**36 samples, which one read would try to allocate.
    blocks: list[np.ndarray] = []
    fault = ""
    try:
        while len(block := file.read(_BLOCK, dtype="float32", always_2d=True)):
            blocks.append(block.mean(axis=1))
    except (soundfile.LibsndfileError, OSError) as error:
        fault = f" ({reason(error)})"
    found = sum(map(len, blocks))
    if found < file.frames:
        raise MediaError(f"{path}: cut short or corrupt: fewer than the {file.frames} samples its header states{fault}")
    if fault:
        raise MediaError(f"{path}: corrupt recording{fault}")
    return blocks


def _decode_av(path: Path) -> tuple[list[np.ndarray], int]:
    blocks: list[np.ndarray] = []
    stamps: list[float | None] = []
    layouts: set[str] = set()
    rate = length = 0
    with open_container(path) as container:
        stream = track(container, "audio", path)
        clock = Clock(may_jump=container.format.name in RESTARTING)
        for frame in frames_of(container, stream, path):
            if frame.sample_rate not in _RATES:
                raise MediaError(f"{path}: the sound track states {frame.sample_rate} Hz")
            if frame.sample_rate != (rate := rate or frame.sample_rate):
                raise MediaError(f"{path}: the rate of the sound track changes within the file")
            layouts.add(frame.layout.name)
            try:
                blocks.append(mono(frame))
            except ValueError as error:
                raise MediaError(f"{path}: corrupt audio ({reason(error)})") from error
            stamps.append(frame.time)
            length += len(blocks[-1])
            if length > MAX_SECONDS * rate:
                raise MediaError(f"{path}: longer than {MAX_SECONDS // 3600} hours")
    pieces = zip(blocks, stamps, [*stamps[1:], None], strict=False)
    times = [clock.at(stamp, len(block) / rate, following) for block, stamp, following in pieces]
    if times and times[-1] - times[0] > MAX_SECONDS:
        raise MediaError(f"{path}: longer than {MAX_SECONDS // 3600} hours, by its time stamps")
    if clock.restarts:
        remark(f"{path}: the time stamps of its sound begin anew {clock.restarts} times; it goes on without a gap")
    if len(layouts) > 1:
        remark(f"{path}: the channels change within the file ({', '.join(sorted(layouts))}); their mean is read")
    return _placed(path, blocks, times, rate), max(rate, 1)


def _placed(path: Path, blocks: list[np.ndarray], times: list[float], rate: int) -> list[np.ndarray]:
    """The blocks with silence where samples are missing, and without those that come twice."""
    gaps = sound_gaps(times, [len(block) for block in blocks], rate)
    if not gaps.any():
        return blocks
    placed: list[np.ndarray] = []
    double = 0
    for block, gap in zip(blocks, gaps.tolist(), strict=True):
        if gap > 0:
            placed.append(np.zeros(gap, np.float32))
        double += max(0, -gap)
        placed.append(block[double:])
        double -= min(double, len(block))
    silent, twice = gaps[gaps > 0], -gaps[gaps < 0]
    if len(silent):
        remark(f"{path}: sound is missing for {silent.sum() / rate:.2f} s ({len(silent)} gaps): silence there")
    if len(twice):
        remark(f"{path}: sound comes twice for {twice.sum() / rate:.2f} s ({len(twice)} places): read once")
    return placed


def _float_wav(samples: np.ndarray, rate: int) -> bytes:
    """The bytes of a 32-bit float WAV. libsndfile would add the time of writing, so no two files would be equal."""
    data = samples.tobytes()
    form = struct.pack("<4sIHHIIHHH", b"fmt ", 18, 3, 1, rate, 4 * rate, 4, 32, 0)
    fact = struct.pack("<4sII", b"fact", 4, len(samples))
    body = b"WAVE" + form + fact + struct.pack("<4sI", b"data", len(data)) + data
    return struct.pack("<4sI", b"RIFF", len(body)) + body
