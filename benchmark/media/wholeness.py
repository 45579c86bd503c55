"""Whether a file is whole, by its own outline: containers state the length of each part, and the last must be there.

Decoders read a file that was cut short without a word. Lengths that the writer left open, as on its way through a pipe,
state nothing: such a file is whole whatever its length.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from benchmark.errors import MediaError
from benchmark.media.files import opened

_OPEN = 0x7FFFF000
"""Lengths of 32 bits from here on are left open."""
_EBML_SEGMENT, _EBML_CLUSTER = 0x18538067, 0x1F43B675
_ASF_FILE = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_LOST_BYTES = 1 << 16
"""Bytes between two frames of MPEG sound beyond which nothing is said of the file."""


def check_whole(path: Path) -> None:
    """Refuse a file that ends before its outline does.

    Raises:
        MediaError: cut short, with what is missing; or it cannot be read.
    """
    if missing := lacking(path):
        raise MediaError(f"{path}: cut short: {missing}")


def lacking(path: Path) -> str | None:
    """What a file lacks at its end, or None where it is whole or its outline says nothing."""
    with opened(path) as file:
        size = file.seek(0, 2)
        file.seek(0)
        head = file.read(16)
        for begins, look in _LOOKS:
            if re.match(begins, head, re.DOTALL):
                file.seek(0)
                return look(file, size)
    return None


def ogg_links(path: Path) -> int:
    """Number of recordings that follow each other in an Ogg file; readers of one link stop after the first."""
    links, inside = 0, False
    with opened(path) as file:
        for flags, _ in _ogg_pages(file, file.seek(0, 2)):
            first = bool(flags & 2)
            links += first and not inside
            inside = first
    return links


def mp3_states_its_length(path: Path) -> bool:
    """Whether an mp3 file counts its frames in the first one; else its length can only be guessed from its rate."""
    with opened(path) as file:
        file.seek(_id3_length(file.read(10)))
        return _counted_frames(file.read(4096)) is not None


def wav_data(file: IO[bytes], size: int) -> tuple[int, int] | None:
    """Where the length of a WAV's sound is written, and that length in bytes; None where there is no such part."""
    order = ">" if file.read(4) == b"RIFX" else "<"
    file.seek(12)
    large = None
    while len(head := file.read(8)) == 8:
        name, length = struct.unpack(f"{order}4sI", head)
        if name == b"ds64" and len(wide := file.read(16)) == 16:
            large = struct.unpack("<8xQ", wide)[0]
            file.seek(-16, 1)
        if name == b"data":
            at = file.tell()
            return at - 4, large if large is not None and length == 0xFFFFFFFF else length
        if file.tell() + length > size:
            return None
        file.seek(length + length % 2, 1)
    return None


def _short(what: str, stated: int, there: int) -> str | None:
    return f"{there} of the {stated} bytes of {what} that it states" if there < stated else None


def _wav(file: IO[bytes], size: int) -> str | None:
    found = wav_data(file, size)
    if found is None or found[1] == 0 or _OPEN <= found[1] <= 0xFFFFFFFF or found[1] >= 1 << 63:
        return None
    there = size - found[0] - 4
    if there < found[1]:
        return f"{there} of the {found[1]} bytes of sound its header states"
    return None


def _aiff(file: IO[bytes], size: int) -> str | None:
    file.seek(12)
    while len(head := file.read(8)) == 8:
        name, length = struct.unpack(">4sI", head)
        if name == b"SSND":
            return None if length == 0 or length >= 0x7F000000 else _short("sound", length, size - file.tell())
        file.seek(length + length % 2, 1)
    return "its sound"


def _nist(file: IO[bytes], size: int) -> str | None:
    head = file.read(4096).decode("latin-1").split("end_head")[0]
    number = re.match(r"NIST_1A\s+(\d+)", head)
    values = [re.search(rf"{name} -i (\d+)", head) for name in ("sample_count", "channel_count", "sample_n_bytes")]
    if number is None or None in values or "shorten" in head:
        return None
    samples, channels, width = (int(value[1]) for value in values if value)
    return _short("sound", samples * channels * width, size - int(number[1]))


def _riff(file: IO[bytes], size: int) -> str | None:
    """AVI, which goes on in further RIFF lists where it is long, and WebP."""
    position = 0
    while position + 8 <= size:
        file.seek(position)
        name, length = struct.unpack("<4sI", file.read(8))
        if name not in (b"RIFF", b"JUNK") or length == 0 or length >= _OPEN:
            return None
        if short := _short("its parts", 8 + length, size - position):
            return short
        position += 8 + length + length % 2
    return None


def _mov(file: IO[bytes], size: int) -> str | None:
    position = 0
    while position + 8 <= size:
        file.seek(position)
        length, name = struct.unpack(">I4s", file.read(8))
        if length == 1 and len(wide := file.read(8)) == 8:
            length = struct.unpack(">Q", wide)[0]
        if length == 0 or length < 8 or not name.isalnum():  # the rest of the file, or no part at all
            return None
        if short := _short(f"'{name.decode('latin-1')}'", length, size - position):
            return short
        position += length
    return None


def _ebml(file: IO[bytes], size: int) -> str | None:
    """Matroska and WebM. A live recording leaves the length of the whole and of its clusters open."""
    while (position := file.tell()) < size:
        name, length = _vint(file, keep=True), _vint(file, keep=False)
        if name is None or length is None:
            return "the end of its last part"
        number, width = name
        value, digits = length
        if number == 0 or digits == 0:  # no element at all
            return None
        if value == (1 << 7 * digits) - 1:  # left open
            if number not in (_EBML_SEGMENT, _EBML_CLUSTER):
                return None
            continue
        if short := _short("a part", width + digits + value, size - position):
            return short
        file.seek(position + width + digits + value)
    return None


def _vint(file: IO[bytes], keep: bool) -> tuple[int, int] | None:
    """A number of EBML and its bytes; the number of an element keeps the mark of its length. None at the end."""
    first = file.read(1)
    if not first:
        return None
    width = 9 - first[0].bit_length()
    if width > 8:
        return 0, 0
    rest = file.read(width - 1)
    if len(rest) < width - 1:
        return None
    value = int.from_bytes(first + rest, "big")
    return (value if keep else value & ((1 << 7 * width) - 1)), width


def _flv(file: IO[bytes], size: int) -> str | None:
    file.seek(5)
    position = int.from_bytes(file.read(4), "big") + 4
    while position < size:
        file.seek(position)
        head = file.read(11)
        if short := _short("a part", 11 + int.from_bytes(head[1:4], "big"), size - position):
            return short
        position += 15 + int.from_bytes(head[1:4], "big")
    return None


def _asf(file: IO[bytes], size: int) -> str | None:
    head = file.read(1 << 16)
    at = head.find(_ASF_FILE)
    if at < 0 or len(head) < at + 92:
        return None
    (stated,), (flags,) = struct.unpack_from("<Q", head, at + 40), struct.unpack_from("<I", head, at + 88)
    return None if flags & 1 else _short("the file", stated, size)  # a broadcast states nothing


def _programme_stream(file: IO[bytes], size: int) -> str | None:
    position = 0
    while position + 4 <= size:
        file.seek(position)
        head = file.read(14)
        if head[:3] != b"\0\0\1" or head[3] < 0xB9:  # padding, or what is no programme stream
            return None
        if head[3] == 0xB9:
            length = 4
        elif head[3] == 0xBA:
            length = 12 if len(head) > 4 and head[4] >> 4 == 2 else 14 + (head[13] & 7 if len(head) == 14 else 0)
        else:
            length = 6 + int.from_bytes(head[4:6], "big")
        if short := _short("a packet", length, size - position):
            return short
        position += length
    return None


def _transport_stream(file: IO[bytes], size: int) -> str | None:
    head = file.read(1024)
    for packet in (188, 192, 204):
        if head[packet : packet + 1] == b"G" and head[2 * packet : 2 * packet + 1] == b"G":
            return _short("a packet", packet, size % packet) if size % packet else None
    return None


def _ogg_pages(file: IO[bytes], size: int) -> Iterator[tuple[int, int]]:
    """Flags of each page, and the bytes that it lacks."""
    position = 0
    while position < size:
        file.seek(position)
        head = file.read(27)
        if head[:4] != b"OggS"[: len(head)]:  # a tag behind the last page
            return
        if len(head) < 27:
            yield 0, 27 - len(head)
            return
        table = file.read(head[26])
        length = 27 + head[26] + sum(table)
        yield head[5], max(0, position + length - size) or head[26] - len(table)
        position += length


def _ogg(file: IO[bytes], size: int) -> str | None:
    last = 4
    for flags, missing in _ogg_pages(file, size):
        if missing:
            return f"its last page lacks {missing} bytes"
        last = flags
    return None if last & 4 else "its last page is not marked as the end"


def _id3_length(head: bytes) -> int:
    """Bytes of an ID3v2 tag that begins so; 0 where none does."""
    if head[:3] != b"ID3" or len(head) < 10:
        return 0
    length = sum((byte & 0x7F) << 7 * place for place, byte in enumerate(reversed(head[6:10])))
    return 10 + length + (10 if head[5] & 0x10 else 0)


_BIT_RATES = {
    (3, 3): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (3, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (3, 1): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 3): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""kbit/s by version (3 is MPEG-1, 2 is MPEG-2 and 2.5) and layer (3 is I, 2 is II, 1 is III)."""


def _frame_length(head: bytes) -> int | None:
    """Bytes of a frame of MPEG sound, layers I to III and AAC (ISO 11172-3, 13818-3 and -7), by its first 6 bytes."""
    if len(head) < 6 or head[0] != 0xFF or head[1] < 0xE0:
        return None
    if head[1] & 0xF6 == 0xF0:  # the AAC of ADTS
        length = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
        return length if length >= 7 else None
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    rate, hz = head[2] >> 4, (44_100, 48_000, 32_000, 0)[head[2] >> 2 & 3]
    if version == 1 or not layer or not 0 < rate < 15 or not hz:
        return None
    hz >>= 3 - version if version else 2
    old = version == 3
    table = _BIT_RATES[3 if old else 2, layer if old or layer == 3 else 2]
    bits, padding = table[rate - 1] * 1000, head[2] >> 1 & 1
    if layer == 3:
        return (12 * bits // hz + padding) * 4
    return (144 if old or layer == 2 else 72) * bits // hz + padding


def _counted_frames(frame: bytes) -> int | None:
    """The number of frames that the first frame of an mp3 states, by Xing or LAME, or by Fraunhofer."""
    for mark, flagged, at in ((b"Xing", True, 8), (b"Info", True, 8), (b"VBRI", False, 14)):
        place = frame.find(mark, 4, 60)
        if place > 0 and len(frame) >= place + at + 4 and (not flagged or frame[place + 7] & 1):
            return int.from_bytes(frame[place + at : place + at + 4], "big")
    return None


def _mpeg_sound(file: IO[bytes], size: int) -> str | None:
    position, frames, lost, stated = 0, 0, 0, None
    while position < size and lost < _LOST_BYTES:
        file.seek(position)
        head = file.read(10 if frames else 4096)
        if tag := _id3_length(head):
            position += tag
            continue
        if head[:3] in (b"TAG", b"APE", b"LYR"):
            break
        length = _frame_length(head)
        if length is None:
            position, lost = position + 1, lost + 1
            continue
        if frames == 0:
            stated = _counted_frames(head)
        if frames and (short := _short("its last frame", length, size - position)):
            return short
        position, frames, lost = position + length, frames + 1, 0
    # The frame that holds the count is counted by some encoders.
    if stated and lost < _LOST_BYTES and frames < stated:
        return f"{frames} of the {stated} frames that it states"
    return None


def _png(file: IO[bytes], size: int) -> str | None:
    position = 8
    while position + 8 <= size:
        file.seek(position)
        length, name = struct.unpack(">I4s", file.read(8))
        if short := _short(f"'{name.decode('latin-1')}'", 12 + length, size - position):
            return short
        if name == b"IEND":
            return None
        position += 12 + length
    return "its end mark"


def _gif(file: IO[bytes], size: int) -> str | None:
    file.seek(max(0, size - 64))
    return None if file.read().rstrip(b"\0").endswith(b";") else "its end mark"


def _jpeg(file: IO[bytes], size: int) -> str | None:
    position, found = 2, b""
    while (position := max(position, 2)) < size:
        file.seek(position)
        block = found[-1:] + file.read(1 << 20)
        if b"\xff\xd9" in block:
            return None
        found, position = block, position + (1 << 20)
    return "its end mark"


def _tiff(file: IO[bytes], size: int) -> str | None:
    order = "<" if file.read(2) == b"II" else ">"
    kind, at = struct.unpack(f"{order}HI", file.read(6))
    return _short("the file", at + 2, size) if kind == 42 else None


_LOOKS = (
    (rb"(RIFF|RIFX|RF64)....WAVE", _wav),
    (rb"RIFF....", _riff),
    (rb"FORM....AIF", _aiff),
    (rb"NIST_1A", _nist),
    (rb"OggS", _ogg),
    (rb"\x1aE\xdf\xa3", _ebml),
    (rb"FLV", _flv),
    (rb"0&\xb2u", _asf),
    (rb"\x00\x00\x01\xba", _programme_stream),
    (rb"GIF8", _gif),
    (rb"G", _transport_stream),
    (rb"\x89PNG", _png),
    (rb"\xff\xd8\xff", _jpeg),
    (rb"II\*\x00|MM\x00\*", _tiff),
    (rb"....(ftyp|moov|mdat|free|skip|wide|pnot|styp)", _mov),
    (rb"ID3|\xff[\xe2-\xff]", _mpeg_sound),
)
"""First bytes of a kind of file, and what looks for its end."""
