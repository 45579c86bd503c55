"""Read and write pictures."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmark.errors import MediaError
from benchmark.files import write_whole
from benchmark.media.files import described, opened, reason, regular_file
from benchmark.media.wholeness import lacking
from benchmark.remarks import remark

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PIXELS = 64_000_000
"""Pictures beyond this are refused before they are decoded."""
_ALPHA = frozenset({"LA", "La", "PA", "RGBA", "RGBa"})


def read_image(path: str | Path) -> np.ndarray:
    """Read a picture as `[H, W, 3]` uint8 RGB.

    Grey and palette become RGB, transparency is laid over white, 16 bits are scaled to 8, the EXIF orientation is
    applied, and of an animation the first picture is taken. Tags that cannot be read are left aside. A remark tells of
    an animation, where the orientation is among those tags, or something is missing behind the pixels
    (`benchmark.remarks`).

    Raises:
        MediaError: missing, unreadable, empty, corrupt, cut short, above MAX_PIXELS, or of floating-point pixels.
    """
    path = regular_file(path)
    try:
        image = _upright(path, path)
    except MediaError:
        raise
    except Exception as error:  # Pillow's parsers raise many kinds
        image = _without_tags(path)
        if image is None:
            if missing := lacking(path):
                raise MediaError(f"{path}: cut short: {missing}") from error
            raise MediaError(f"{path}: not a readable picture ({reason(error)})") from error
    else:
        if missing := lacking(path):
            remark(f"{path}: cut short behind its pixels: {missing}")
    return image


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
        raise MediaError(f"{path}: expected uint8 pixels of shape [H, W, 3] or [H, W], got {described(image)}")
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(buffer, format="PNG", compress_level=6)
    write_whole(path, lambda partial: partial.write_bytes(buffer.getvalue()))


def _upright(source: Path | io.BytesIO, path: Path, exif: bytes = b"") -> np.ndarray:
    """Decode a picture and turn it upright.

    Args:
        source: where it is read from.
        path: what it is called.
        exif: its EXIF data, where they are not in the source.
    """
    from PIL import Image

    with Image.open(source) as picture:
        if picture.width * picture.height > MAX_PIXELS:
            limit = f"{MAX_PIXELS // 10**6} million"
            raise MediaError(f"{path}: {picture.width} x {picture.height} pixels; expected at most {limit}")
        picture.load()
        pixels = np.array(_as_rgb(picture, path), np.uint8)
        turn = _turn(picture, exif or picture.info.get("exif", b""), path)
        _tell_others(picture, path)
    return np.ascontiguousarray(_TURNS.get(turn, lambda pixels: pixels)(pixels))


def _tell_others(picture: Image, path: Path) -> None:
    """Leave a remark where a file holds several pictures: GIF, PNG, WebP and TIFF may. Previews in a JPEG are none."""
    if picture.format not in ("GIF", "PNG", "WEBP", "TIFF"):
        return
    try:
        count = picture.n_frames
    except Exception:  # what is behind the first picture is broken, which `lacking` tells
        return
    if count > 1:
        remark(f"{path}: holds {count} pictures, as an animation does; the first is taken")


def _turn(picture: Image, exif: bytes, path: Path) -> int:
    """The orientation of a picture, by its EXIF data if it has some; else by XMP, or the tags of TIFF.

    Pillow stops at the first tag that it cannot read, which need not be the one that counts.
    """
    try:
        return (orientation(exif) if exif else None) or picture.getexif().get(_ORIENTATION, 1)
    except Exception:  # Pillow's parsers raise many kinds
        remark(f"{path}: its EXIF cannot be read; the picture is taken to be upright")
        return 1


def orientation(exif: bytes) -> int | None:
    """The orientation that EXIF data state, if any.

    Raises:
        ValueError: broken before they come to it.
    """
    exif = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(exif[:2], "?")
    try:
        (start,) = struct.unpack_from(f"{order}I", exif, 4)
        (count,) = struct.unpack_from(f"{order}H", exif, start)
        for at in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind = struct.unpack_from(f"{order}HH", exif, at)
            if tag == _ORIENTATION:
                return struct.unpack_from(f"{order}{'I' if kind == 4 else 'H'}", exif, at + 8)[0]
    except struct.error as error:
        raise ValueError("broken EXIF data") from error
    return None


def _without_tags(path: Path) -> np.ndarray | None:
    """The picture without the parts of its file that hold no pixels, or None where that does not help either."""
    with opened(path) as file:
        content = file.read()
    for head, parts, needed, exif_name in _FORMATS:
        if content.startswith(head):
            exif = b""
            bare = [head]
            for name, part, data in parts(content):
                if needed(name, data):
                    bare.append(part)
                elif name == exif_name and not exif:
                    exif = data
            try:
                image = _upright(io.BytesIO(b"".join(bare)), path, exif)
            except Exception:  # it is not the tags: the first error says what it is
                return None
            remark(f"{path}: some of its tags cannot be read and are left aside")
            return image
    return None


def _png_parts(content: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Name, whole part and data of each part of a PNG file."""
    at = 8
    while at + 8 <= len(content):
        length = int.from_bytes(content[at : at + 4], "big")
        yield content[at + 4 : at + 8], content[at : at + 12 + length], content[at + 8 : at + 8 + length]
        at += 12 + length


def _jpeg_parts(content: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """The same of a JPEG file, where the name is the marker; pixels and what follows are one part."""
    at = 2
    while at + 4 <= len(content) and content[at] == 0xFF and content[at + 1] != 0xDA:
        length = 2 + int.from_bytes(content[at + 2 : at + 4], "big")
        yield content[at + 1 : at + 2], content[at : at + length], content[at + 4 : at + length]
        at += length
    yield b"", content[at:], b""


def _is_adobe(marker: bytes, data: bytes) -> bool:
    """Adobe's marker, whole, tells the colours."""
    return marker == b"\xee" and len(data) >= 12


_ORIENTATION = 0x0112
_TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.transpose(1, 0, 2),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: pixels[::-1, ::-1].transpose(1, 0, 2),
    8: lambda pixels: np.rot90(pixels),
}
"""How stored pixels become upright, by the orientation of EXIF 2.3, section 4.6.4."""
_PNG_PIXELS = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"acTL", b"fcTL", b"fdAT"})
_JPEG_TAGS = frozenset(bytes([marker]) for marker in (*range(0xE0, 0xF0), 0xFE))
"""Markers of applications and of comments."""
_FORMATS = (
    (b"\x89PNG\r\n\x1a\n", _png_parts, lambda name, data: name in _PNG_PIXELS, b"eXIf"),
    (b"\xff\xd8", _jpeg_parts, lambda name, data: name not in _JPEG_TAGS or _is_adobe(name, data), b"\xe1"),
)
"""First bytes, parts, which of them are needed for the pixels, and the name of the one with EXIF."""


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
