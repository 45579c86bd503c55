"""Tags that nobody needs never make a picture unreadable; the orientation counts wherever it can be read."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmark.media import read_image
from benchmark.remarks import remarks

UPRIGHT = np.zeros((16, 24, 3), np.uint8)
UPRIGHT[:8, :8, 0] = 200
STORED = np.ascontiguousarray(np.rot90(UPRIGHT))
TURN = struct.pack("<HHIHH", 0x112, 3, 1, 6, 0)
BEYOND = struct.pack("<HHII", 0x11A, 5, 1, 0xFFFFFF)
"""A resolution whose numbers lie behind the end of the data."""


def exif(*entries: bytes) -> bytes:
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, len(entries)) + b"".join(entries) + bytes(4)


def saved(path: Path, pixels: np.ndarray, data: bytes | None = None) -> Path:
    options = {".jpg": {"quality": 100, "subsampling": 0}, ".webp": {"lossless": True}}.get(path.suffix, {})
    Image.fromarray(pixels).save(path, **options, **({} if data is None else {"exif": data}))
    return path


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of the tags that it cannot read
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
@pytest.mark.parametrize(
    "entries",
    [
        (TURN,),
        (TURN, BEYOND),
        (BEYOND, TURN),
        (struct.pack("<HHI4s", 0x10E, 99, 5, b"abcd"), TURN),
        (struct.pack("<HHII", 0x10F, 2, 0x7FFFFFFF, 16), TURN),
        (TURN, struct.pack("<HHII", 0x8769, 4, 1, 8)),
        (struct.pack("<HHIi", 0x11A, 10, 1, -1), TURN),
    ],
)
def test_the_orientation_counts_beside_tags_that_are_broken(
    tmp_path: Path, suffix: str, entries: tuple[bytes, ...]
) -> None:
    path = saved(tmp_path / f"a{suffix}", STORED, exif(*entries))
    with remarks() as heard:
        np.testing.assert_allclose(read_image(path), UPRIGHT, atol=3)
    assert heard == []


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
@pytest.mark.parametrize("data", [exif(TURN)[:15], exif(TURN)[:20], b"Exif\0\0nonsense"])
def test_an_orientation_that_cannot_be_read_is_told(tmp_path: Path, suffix: str, data: bytes) -> None:
    path = saved(tmp_path / f"a{suffix}", STORED, data)
    with remarks() as heard:
        np.testing.assert_allclose(read_image(path), STORED, atol=3)
    assert len(heard) == 1 and "EXIF cannot be read" in heard[0]


def part(name: bytes, data: bytes, check: int | None = None) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", check or zlib.crc32(name + data))


@pytest.mark.parametrize(
    "added",
    [
        part(b"zTXt", b"text\0\0" + zlib.compress(bytes(2_000_000))),
        b"".join(part(b"zTXt", b"text%d\0\0" % k + zlib.compress(bytes(1_000_000))) for k in range(70)),
        part(b"tEXt", b"a\0b", check=5),
        part(b"iTXt", b"\xff\xfe\0\1\0\0\0zz"),
        part(b"iCCP", b"x\0\0" + zlib.compress(bytes(3_000_000))),
        part(b"pHYs", b"1"),
        part(b"gAMA", b""),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_text_and_profiles_leave_a_png_readable(tmp_path: Path, added: bytes, turned: bool) -> None:
    path = saved(tmp_path / "a.png", STORED if turned else UPRIGHT, exif(TURN) if turned else None)
    content = path.read_bytes()
    path.write_bytes(content[:33] + added + content[33:])
    assert np.array_equal(read_image(path), UPRIGHT)


def segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    "added",
    [
        segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0\xff\xfe<not xml"),
        segment(0xE2, b"ICC_PROFILE\0"),
        segment(0xE2, b"MPF\0nonsense"),
        segment(0xED, b"Photoshop 3.0\x008BIM\x04\x04\xff"),
        segment(0xE0, b"JFIF\0"),
        segment(0xEE, b"Adobe"),
        segment(0xFE, b"\xff\xfe"),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_the_segments_of_applications_leave_a_jpeg_readable(tmp_path: Path, added: bytes, turned: bool) -> None:
    path = saved(tmp_path / "a.jpg", STORED if turned else UPRIGHT, exif(TURN) if turned else None)
    content = path.read_bytes()
    path.write_bytes(content[:2] + added + content[2:])
    np.testing.assert_allclose(read_image(path), UPRIGHT, atol=3)


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_broken_pixels_stay_unreadable(tmp_path: Path, suffix: str) -> None:
    path = saved(tmp_path / f"a{suffix}", np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(Exception, match="cut short"):
        read_image(path)


@pytest.mark.parametrize("suffix", [".gif", ".png", ".webp", ".tiff"])
def test_the_first_picture_of_an_animation_is_taken_and_told(tmp_path: Path, suffix: str) -> None:
    shades = [Image.new("RGB", (16, 16), (level, level, level)) for level in (0, 255, 0)]
    lossless = {"lossless": True} if suffix == ".webp" else {}
    shades[0].save(tmp_path / f"one{suffix}", **lossless)
    shades[0].save(tmp_path / f"three{suffix}", save_all=True, append_images=shades[1:], **lossless)
    with remarks() as heard:
        assert (read_image(tmp_path / f"one{suffix}") == 0).all()
    assert heard == []
    with remarks() as heard:
        assert (read_image(tmp_path / f"three{suffix}") == 0).all()
    assert heard == [f"{tmp_path / f'three{suffix}'}: holds 3 pictures, as an animation does; the first is taken"]


def test_previews_in_a_photograph_are_no_animation(tmp_path: Path) -> None:
    one = Image.new("RGB", (16, 16), (9, 9, 9))
    one.save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[one])
    with remarks() as heard:
        assert read_image(tmp_path / "a.jpg").shape == (16, 16, 3)
    assert heard == []
