"""Files that were cut are told so, in whatever container; lengths that the writer left open are read to the end."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from films import SOUND, VIDEO, film, noise
from PIL import Image

from benchmark.errors import MediaError
from benchmark.media import audio_header, audio_seconds, is_video, read_audio, read_image, read_video
from benchmark.media.clips import crop_speech
from benchmark.remarks import remarks
from benchmark.types import Sample

SNDFILE = {
    "a.wav": {},
    "float.wav": {"subtype": "FLOAT"},
    "wide.wav": {"format": "RF64"},
    "big.wav": {"endian": "BIG"},
    "ex.wav": {"format": "WAVEX"},
    "a.flac": {},
    "a.ogg": {"format": "OGG", "subtype": "VORBIS"},
    "a.opus": {"format": "OGG", "subtype": "OPUS"},
    "a.aiff": {},
    "a.sph": {"format": "NIST"},
}
PICTURES = {
    **{f"a.{suffix}": {} for suffix in ("png", "jpg", "gif", "webp", "tif", "bmp", "ppm")},
    "packed.tif": {"compression": "tiff_lzw"},
    "progressive.jpg": {"progressive": True},
}


def made(folder: Path, name: str) -> Path:
    if name in SNDFILE:
        soundfile.write(folder / name, noise(16_000, 3.0), 16_000, **SNDFILE[name])
        return folder / name
    return film(folder / name, *{**VIDEO, **SOUND}[name])


@pytest.mark.parametrize("name", [*SNDFILE, *SOUND, *VIDEO])
def test_what_is_cut_is_told_wherever_it_is_cut(tmp_path: Path, name: str) -> None:
    whole = made(tmp_path, name)
    readers = [read_audio, *([lambda path: read_video(path, grey=True)] if is_video(whole) else [])]
    with remarks() as heard:
        for read in readers:
            read(whole)
        assert abs(audio_seconds(whole) - 3) < 0.11
    assert heard == []
    content = whole.read_bytes()
    cut = tmp_path / f"cut_{name}"
    for part in (0.2, 0.5, 0.77, 0.93, 0.995):
        length = int(part * len(content))
        # Not where a packet of MPEG ends: nothing would tell.
        cut.write_bytes(content[: length - length % 188 + 100 if name in ("a.ts", "a.mpg", "a.mp2") else length])
        for read in readers:
            with pytest.raises(MediaError, match="cut short|corrupt|not a readable|no samples"):
                read(cut)
        if name != "a.flac":
            with pytest.raises(MediaError, match="cut short|not a readable"):
                audio_header(cut)


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_that_is_cut_is_told(tmp_path: Path, name: str) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / name, **PICTURES[name])
    content = (tmp_path / name).read_bytes()
    with remarks() as heard:
        read_image(tmp_path / name)
    assert heard == []
    for part in (0.3, 0.6, 0.9):
        (tmp_path / f"cut_{name}").write_bytes(content[: int(part * len(content))])
        with pytest.raises(MediaError, match="cut short|truncated"):
            read_image(tmp_path / f"cut_{name}")


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.gif", "a.webp", "a.bmp"])
def test_what_follows_a_picture_is_nothing_to_be_told(tmp_path: Path, name: str) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / name)
    before = read_image(tmp_path / name)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes() + b"something else" * 20)
    with remarks() as heard:
        assert np.array_equal(read_image(tmp_path / name), before)
    assert heard == []


@pytest.mark.parametrize("suffix", ["gif", "png"])
def test_an_animation_that_is_cut_behind_its_first_picture_is_read_and_told(tmp_path: Path, suffix: str) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    first, second = Image.fromarray(pixels).quantize(16), Image.fromarray(pixels[::-1]).quantize(16)
    first.save(tmp_path / f"a.{suffix}", save_all=True, append_images=[second])
    content = (tmp_path / f"a.{suffix}").read_bytes()
    (tmp_path / f"cut.{suffix}").write_bytes(content[: int(0.8 * len(content))])
    with remarks() as heard:
        image = read_image(tmp_path / f"cut.{suffix}")
    assert np.array_equal(image, np.array(first.convert("RGB")))
    assert sum("cut short behind its pixels" in line for line in heard) == 1


# ---- lengths that were left open


@pytest.mark.parametrize("length", [0, 0xFFFFFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF - 36])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_a_wav_from_a_pipe_is_read_to_its_end(tmp_path: Path, length: int, subtype: str) -> None:
    soundfile.write(tmp_path / "a.wav", noise(16_000, 1.0), 16_000, subtype=subtype)
    content = (tmp_path / "a.wav").read_bytes()
    at = content.index(b"data") + 4
    open_ = content[:4] + struct.pack("<I", length) + content[8:at] + struct.pack("<I", length) + content[at + 4 :]
    # What libsndfile wrote behind the sound would be taken for sound.
    (tmp_path / "open.wav").write_bytes(open_[: at + 4 + struct.unpack("<I", content[at : at + 4])[0]])
    found = read_audio(tmp_path / "open.wav")
    assert np.array_equal(found.samples, read_audio(tmp_path / "a.wav").samples)
    assert audio_seconds(tmp_path / "open.wav") == 1.0


class Pipe(io.RawIOBase):
    """Takes what is written; nobody can go back in it."""

    def __init__(self) -> None:
        self.content = b""

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self.content += bytes(data)
        return len(data)


@pytest.mark.parametrize(
    ("name", "kind", "codec", "rate"),
    [
        ("a.wav", "wav", "pcm_s16le", 16_000),
        ("a.wav", "wav", "pcm_s24le", 16_000),
        ("a.flac", "flac", "flac", 16_000),
        ("a.aiff", "aiff", "pcm_s16be", 16_000),
        ("a.ogg", "ogg", "libopus", 48_000),
        ("a.oga", "ogg", "flac", 16_000),
        ("a.aac", "adts", "aac", 16_000),
        ("a.mp3", "mp3", "libmp3lame", 44_100),
        ("a.mkv", "matroska", "aac", 16_000),
        ("a.webm", "webm", "libopus", 48_000),
        ("a.avi", "avi", "pcm_s16le", 16_000),
        ("a.flv", "flv", "libmp3lame", 44_100),
        ("a.ts", "mpegts", "mp2", 44_100),
        ("a.mpg", "mpeg", "mp2", 44_100),
    ],
)
def test_what_came_through_a_pipe_is_read_to_its_end(
    tmp_path: Path, name: str, kind: str, codec: str, rate: int
) -> None:
    import av

    pipe = Pipe()
    with av.open(pipe, "w", format=kind) as container:
        stream = container.add_stream(codec, rate=rate, layout="mono")
        form = stream.codec_context.format.name
        samples = noise(rate, 2.0)[None]
        scale = {"s16": (2**15, np.int16), "s32": (2**31, np.int32)}.get(form.rstrip("p"))
        if scale:
            samples = (samples.astype(np.float64) * scale[0]).astype(scale[1])
        size = stream.codec_context.frame_size or 1024
        for at in range(0, samples.shape[1], size):
            frame = av.AudioFrame.from_ndarray(samples[:, at : at + size].copy(), format=form, layout="mono")
            frame.sample_rate, frame.pts = rate, at
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    (tmp_path / name).write_bytes(pipe.content)
    with remarks() as heard:
        assert read_audio(tmp_path / name).seconds == pytest.approx(2, abs=0.12)
        assert audio_seconds(tmp_path / name) == pytest.approx(2, abs=0.12)
    assert heard == []


def test_silence_from_a_pipe_is_no_empty_recording(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(16_000), 16_000)
    content = (tmp_path / "a.wav").read_bytes()
    at = content.index(b"data") + 4
    (tmp_path / "b.wav").write_bytes(content[:at] + bytes(4) + content[at + 4 :])
    assert len(read_audio(tmp_path / "b.wav").samples) == 16_000


def test_an_empty_wav_with_tags_is_empty(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(0), 16_000)
    tags = b"LIST" + struct.pack("<I", 12) + b"INFOISFT\0\0\0\0"
    (tmp_path / "b.wav").write_bytes((tmp_path / "a.wav").read_bytes() + tags)
    with pytest.raises(MediaError, match="zero length"):
        read_audio(tmp_path / "b.wav")


def test_a_flac_from_a_pipe_is_read_to_its_end(tmp_path: Path) -> None:
    samples = noise(16_000, 3.0)
    soundfile.write(tmp_path / "a.flac", samples, 16_000, subtype="PCM_16")
    content = (tmp_path / "a.flac").read_bytes()
    # 36 bits of the header count the samples: none means that nobody knew.
    (tmp_path / "b.flac").write_bytes(content[:21] + bytes([content[21] & 0xF0]) + bytes(4) + content[26:])
    assert np.array_equal(read_audio(tmp_path / "b.flac").samples, read_audio(tmp_path / "a.flac").samples)
    assert audio_seconds(tmp_path / "b.flac") == 3.0
    (tmp_path / "c.flac").write_bytes((tmp_path / "b.flac").read_bytes()[: len(content) // 2])
    with pytest.raises(MediaError, match="corrupt|cut short"):
        read_audio(tmp_path / "c.flac")


@pytest.mark.parametrize("name", ["a.ogg", "a.opus"])
def test_ogg_files_that_were_joined_are_read_to_their_end(tmp_path: Path, name: str) -> None:
    content = made(tmp_path, name).read_bytes()
    (tmp_path / f"b_{name}").write_bytes(content + content)
    assert read_audio(tmp_path / f"b_{name}").seconds == pytest.approx(6, abs=0.05)
    assert audio_seconds(tmp_path / f"b_{name}") == pytest.approx(6, abs=0.05)


def test_an_aiff_from_a_pipe_is_read_to_its_end(tmp_path: Path) -> None:
    content = made(tmp_path, "a.aiff").read_bytes()
    at = content.index(b"SSND") + 4
    for length in (0, 0xFFFFFFFF, 0x7F000000):
        (tmp_path / "b.aiff").write_bytes(content[:at] + struct.pack(">I", length) + content[at + 4 :])
        assert audio_seconds(tmp_path / "b.aiff") == read_audio(tmp_path / "b.aiff").seconds == 3.0


def test_tags_behind_mpeg_sound_are_no_cut_frame(tmp_path: Path) -> None:
    for name in ("a.mp3", "bare.mp3", "a.aac", "a.mp2"):
        content = made(tmp_path, name).read_bytes()
        for tags in (b"TAG" + b"x" * 125, b"APETAGEX" + bytes(56), b"ID3\4\0\0\0\0\0\x0a" + bytes(10), bytes(300)):
            (tmp_path / name).write_bytes(content + tags)
            assert read_audio(tmp_path / name).seconds == pytest.approx(3, abs=0.11)


def test_an_mp3_whose_first_frames_mislead_is_measured_by_decoding(tmp_path: Path) -> None:
    loud = made(tmp_path, "bare.mp3").read_bytes()
    # ffmpeg guesses the length from the bit rate of the first frame; joined files have several.
    import av

    with av.open(str(tmp_path / "low.mp3"), "w", options={"write_xing": "0"}) as container:
        stream = container.add_stream("libmp3lame", rate=44_100, layout="mono")
        stream.bit_rate = 32_000
        for at in range(0, 3 * 44_100, 1152):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1152), np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 44_100, at
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    path = tmp_path / "both.mp3"
    path.write_bytes(loud + (tmp_path / "low.mp3").read_bytes())
    assert audio_seconds(path) == read_audio(path, None).seconds > 5.9


def test_no_crop_believes_a_header(tmp_path: Path) -> None:
    """A recording that states 6 s and holds 3 is no source for a crop of 5; the whole one is."""
    content = made(tmp_path, "a.mkv").read_bytes()
    at = content.index(b"\x44\x89\x88") + 3  # Matroska's duration, a float of milliseconds
    (tmp_path / "lies.mkv").write_bytes(content[:at] + struct.pack(">d", 3290.0) + content[at + 8 :])
    assert audio_seconds(tmp_path / "lies.mkv") == 3.29
    soundfile.write(tmp_path / "true.wav", np.full(4 * 16_000, 0.25), 16_000)
    sample = Sample("s", "s", {"speech": (tmp_path / "lies.mkv", tmp_path / "true.wav")})
    for seed in range(8):
        crop = crop_speech(sample, 3.2, 16_000, seed).samples
        assert len(crop) == 51_200 and np.allclose(crop, 0.25, atol=1e-4)
