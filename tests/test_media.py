from __future__ import annotations

import os
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.io.wavfile
import scipy.signal
import soundfile
from PIL import Image

from benchmark import media
from benchmark.errors import MediaError
from benchmark.types import Audio

REALDATA = os.environ.get("FACEVOICE_REALDATA")
RNG = np.random.default_rng(7)
RGB = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)


def tone(rate: int, hz: float = 440, seconds: float = 0.5) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hz * np.arange(int(rate * seconds)) / rate)).astype(np.float32)


def smooth_frames(count: int = 10, height: int = 32, width: int = 48) -> np.ndarray:
    """Frame k is grey of level 20 k, so that a frame tells its own number."""
    return np.repeat(np.arange(count, dtype=np.uint8) * 20, height * width * 3).reshape(count, height, width, 3)


# ---- sound


@pytest.mark.filterwarnings("ignore:Chunk .non-data. not understood")  # scipy's, of libsndfile's PEAK chunk
@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_every_wav_subtype_agrees_with_scipy(tmp_path: Path, subtype: str) -> None:
    soundfile.write(tmp_path / "a.wav", tone(16_000), 16_000, subtype=subtype)
    rate, own = scipy.io.wavfile.read(tmp_path / "a.wav")
    scaled = {"u": lambda x: (x - 128.0) / 128, "i": lambda x: x / (1 << (8 * x.itemsize - 1)), "f": lambda x: x}
    expected = scaled[own.dtype.kind](own)
    audio = media.read_audio(tmp_path / "a.wav")
    assert audio.rate == rate == 16_000 and audio.samples.dtype == np.float32
    np.testing.assert_allclose(audio.samples, expected, atol=1e-7)


def test_channels_are_averaged(tmp_path: Path) -> None:
    left, right = tone(16_000, 300), tone(16_000, 900)
    soundfile.write(tmp_path / "a.flac", np.stack([left, right], axis=1), 16_000, subtype="PCM_24")
    np.testing.assert_allclose(media.read_audio(tmp_path / "a.flac").samples, (left + right) / 2, atol=1e-6)


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
def test_resampling_keeps_the_tone(tmp_path: Path, rate: int) -> None:
    soundfile.write(tmp_path / "a.wav", tone(rate), rate, subtype="FLOAT")
    audio = media.read_audio(tmp_path / "a.wav", 16_000)
    assert abs(len(audio.samples) - 8_000) <= 1
    middle = slice(500, -500)
    np.testing.assert_allclose(audio.samples[middle], tone(16_000)[: len(audio.samples)][middle], atol=1e-4)


def test_resampling_removes_what_would_alias(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(48_000, 11_000), 48_000, subtype="FLOAT")
    assert np.abs(media.read_audio(tmp_path / "a.wav", 16_000).samples[500:-500]).max() < 1e-4


@pytest.mark.parametrize(("suffix", "codec"), [(".mp3", "libmp3lame"), (".m4a", "aac"), (".aac", "aac")])
def test_compressed_sound_keeps_tone_and_length(tmp_path: Path, suffix: str, codec: str) -> None:
    import av

    path = tmp_path / f"a{suffix}"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=44_100, layout="stereo")
        samples = np.stack([tone(44_100, 1000, 1.0)] * 2)
        for start in range(0, samples.shape[1], 1024):
            part = np.ascontiguousarray(samples[:, start : start + 1024])
            frame = av.AudioFrame.from_ndarray(part, format="fltp", layout="stereo")
            frame.sample_rate, frame.pts = 44_100, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    audio = media.read_audio(path)
    assert abs(audio.seconds - 1) < 0.1 and abs(media.audio_seconds(path) - 1) < 0.1
    frequencies, power = scipy.signal.periodogram(audio.samples, 16_000)
    assert abs(frequencies[power.argmax()] - 1000) < 2
    assert abs(np.abs(audio.samples[4000:12_000]).max() - 0.5) < 0.05


def test_ogg_keeps_tone_and_length(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.ogg", tone(16_000, 1000), 16_000)
    audio = media.read_audio(tmp_path / "a.ogg")
    assert len(audio.samples) == 8000 and media.audio_seconds(tmp_path / "a.ogg") == 0.5
    assert np.abs(audio.samples - tone(16_000, 1000))[500:-500].max() < 0.05


def test_sound_comes_back_from_wav_exactly_and_from_flac_to_24_bits(tmp_path: Path) -> None:
    audio = Audio(RNG.uniform(-1, 1, 5000).astype(np.float32), 22_050)
    loud = Audio(audio.samples * 3, 22_050)
    media.write_audio(tmp_path / "a.wav", loud)
    assert np.array_equal(media.read_audio(tmp_path / "a.wav", 22_050).samples, loud.samples)
    assert np.array_equal(scipy.io.wavfile.read(tmp_path / "a.wav")[1], loud.samples)
    media.write_audio(tmp_path / "a.flac", audio)
    np.testing.assert_allclose(media.read_audio(tmp_path / "a.flac", 22_050).samples, audio.samples, atol=2**-23)
    assert media.audio_seconds(tmp_path / "a.flac") == media.audio_seconds(tmp_path / "a.wav") == audio.seconds
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.flac", "a.wav"]


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_the_same_sound_gives_the_same_bytes(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    audio = Audio(tone(16_000), 16_000)
    media.write_audio(tmp_path / f"a{suffix}", audio)
    monkeypatch.setattr("time.time", lambda: 0.0)
    media.write_audio(tmp_path / f"b{suffix}", audio)
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()
    assert b"PEAK" not in (tmp_path / f"a{suffix}").read_bytes()  # libsndfile's chunk with the time of writing


@pytest.mark.parametrize(
    ("name", "samples", "words"),
    [
        ("a.wav", np.zeros((2, 5), np.float32), r"shape \[T\]"),
        ("a.wav", np.zeros(0, np.float32), r"T > 0"),
        ("a.wav", np.array([np.nan], np.float32), "NaN"),
        ("a.flac", np.array([1.5], np.float32), "clip"),
        ("a.mp3", np.zeros(5, np.float32), "suffix .wav or .flac"),
    ],
)
def test_sound_that_cannot_be_written(tmp_path: Path, name: str, samples: np.ndarray, words: str) -> None:
    with pytest.raises(MediaError, match=words):
        media.write_audio(tmp_path / name, Audio(samples, 16_000))
    assert not list(tmp_path.iterdir())


def hostile_sounds(folder: Path) -> dict[str, str]:
    """Makes files, and says which word each error has to hold."""
    whole = folder / "whole.wav"
    soundfile.write(whole, tone(16_000), 16_000)
    (folder / "cut.wav").write_bytes(whole.read_bytes()[:5000])
    (folder / "head.wav").write_bytes(whole.read_bytes()[:30])
    soundfile.write(folder / "whole.flac", tone(16_000, seconds=3), 16_000)
    flac = (folder / "whole.flac").read_bytes()
    (folder / "cut.flac").write_bytes(flac[: len(flac) // 2])
    # 36 bits of the header count the samples: all ones promise 68 thousand million.
    (folder / "huge.flac").write_bytes(flac[:21] + bytes([flac[21] | 0x0F]) + b"\xff" * 4 + flac[26:])
    soundfile.write(folder / "nan.wav", np.array([0, np.nan, np.inf]), 16_000, subtype="FLOAT")
    soundfile.write(folder / "none.wav", np.zeros(0), 16_000)
    soundfile.write(folder / "one.wav", np.array([0.5]), 48_000)
    soundfile.write(folder / "slow.wav", np.zeros(100), 1)
    for suffix in ("wav", "flac", "ogg", "mp3", "m4a", "mp4", "mkv", "mpg"):
        (folder / f"empty.{suffix}").touch()
        (folder / f"text.{suffix}").write_text("just text, " * 500)
        (folder / f"noise.{suffix}").write_bytes(np.random.default_rng(1).bytes(20_000))
    (folder / "folder.wav").mkdir()
    (folder / "link.wav").symlink_to(folder / "absent.wav")
    os.mkfifo(folder / "pipe.wav")
    media.write_video(folder / "mute.mp4", smooth_frames(), 25)
    return {
        "absent.wav": "no such file",
        "link.wav": "link",
        "folder.wav": "folder",
        "pipe.wav": "not a regular file",
        "cut.wav": "cut short",
        "head.wav": "not a readable",
        "cut.flac": "corrupt|cut short",
        "huge.flac": "at most",
        "nan.wav": "2 of 3 samples are NaN or infinite",
        "none.wav": "zero length",
        "one.wav": "too short",
        "slow.wav": "1 Hz",
        "mute.mp4": "no sound track",
        **{f"empty.{suffix}": "0 bytes" for suffix in ("wav", "flac", "ogg", "mp3", "m4a", "mp4", "mkv", "mpg")},
        **{f"text.{suffix}": "not a" for suffix in ("wav", "flac", "ogg", "mp3", "m4a", "mp4", "mkv", "mpg")},
        **{f"noise.{suffix}": "not a|corrupt" for suffix in ("wav", "flac", "ogg", "mp3", "m4a", "mp4", "mkv", "mpg")},
    }


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes or links there")
def test_hostile_sounds_raise_errors_that_name_file_and_reason(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for name, words in hostile_sounds(tmp_path).items():
        with pytest.raises(MediaError, match=rf"{name}.*({words})"):
            media.read_audio(tmp_path / name)
        if name not in ("cut.wav", "nan.wav", "one.wav", "cut.flac"):  # what only decoding shows
            with pytest.raises(MediaError, match=name):
                media.audio_seconds(tmp_path / name)
    assert capfd.readouterr().err == ""


def test_wav_of_a_pipe_states_no_length_and_is_read_whole(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(16_000), 16_000)
    content = (tmp_path / "a.wav").read_bytes()
    at = content.index(b"data") + 4
    (tmp_path / "b.wav").write_bytes(content[:at] + struct.pack("<I", 0xFFFFFFFF) + content[at + 4 :])
    assert len(media.read_audio(tmp_path / "b.wav").samples) == 8_000


def test_playlists_open_no_other_file(tmp_path: Path) -> None:
    media.write_audio(tmp_path / "secret.wav", Audio(tone(16_000), 16_000))
    playlists = {
        "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{tmp_path}/secret.wav\n#EXT-X-ENDLIST\n",
        "concat": "ffconcat version 1.0\nfile 'secret.wav'\n",
    }
    for name, content in playlists.items():
        for suffix in (".mp4", ".m4a", ".mp3", ".mkv"):
            (tmp_path / f"{name}{suffix}").write_text(content)
            with pytest.raises(MediaError):
                media.read_audio(tmp_path / f"{name}{suffix}")


# ---- pictures


@pytest.mark.parametrize("suffix", ["png", "ppm", "bmp", "tif"])
def test_lossless_pictures_come_back_exactly(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(RGB).save(tmp_path / f"a.{suffix}")
    assert np.array_equal(media.read_image(tmp_path / f"a.{suffix}"), RGB)


def test_grey_palette_and_transparency_become_rgb(tmp_path: Path) -> None:
    grey = RGB[..., 0]
    Image.fromarray(grey).save(tmp_path / "grey.pgm")
    assert np.array_equal(media.read_image(tmp_path / "grey.pgm"), np.repeat(grey[..., None], 3, axis=2))
    palette = Image.fromarray(RGB).quantize(8)
    palette.save(tmp_path / "palette.png")
    assert np.array_equal(media.read_image(tmp_path / "palette.png"), np.array(palette.convert("RGB")))
    alpha = RNG.integers(0, 256, (20, 30, 1), dtype=np.uint8)
    Image.fromarray(np.concatenate([RGB, alpha], axis=2)).save(tmp_path / "alpha.png")
    over_white = RGB * (alpha / 255) + 255 * (1 - alpha / 255)
    np.testing.assert_allclose(media.read_image(tmp_path / "alpha.png"), over_white, atol=1)
    Image.new("P", (2, 1)).save(tmp_path / "clear.png", transparency=0)
    assert (media.read_image(tmp_path / "clear.png") == 255).all()


def test_16_bits_are_scaled_to_8(tmp_path: Path) -> None:
    deep = np.array([[0, 200, 257 * 100, 65_535]], np.uint16)
    Image.fromarray(deep).save(tmp_path / "a.png")
    (tmp_path / "a.pgm").write_bytes(b"P5\n4 1\n65535\n" + deep.astype(">u2").tobytes())
    for name in ("a.png", "a.pgm"):
        assert media.read_image(tmp_path / name)[0, :, 1].tolist() == [0, 1, 100, 255]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    upright = np.zeros((16, 24, 3), np.uint8)
    upright[:8, :8, 0] = 200  # a red corner at the top left
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(media.read_image(tmp_path / "a.png"), upright)


def test_hostile_pictures_raise_errors_that_name_file_and_reason(tmp_path: Path) -> None:
    for suffix in ("jpg", "png", "bmp", "ppm"):
        Image.fromarray(RGB).save(tmp_path / f"whole.{suffix}")
        content = (tmp_path / f"whole.{suffix}").read_bytes()
        (tmp_path / f"cut.{suffix}").write_bytes(content[: len(content) // 2])
        (tmp_path / f"text.{suffix}").write_text("just text")
        (tmp_path / f"empty.{suffix}").touch()
        for kind in ("cut", "text", "empty", "absent"):
            with pytest.raises(MediaError, match=rf"{kind}.{suffix}"):
                media.read_image(tmp_path / f"{kind}.{suffix}")
    (tmp_path / "bomb.pgm").write_bytes(b"P5\n60000 60000\n255\n")
    (tmp_path / "large.pgm").write_bytes(b"P5\n8001 8000\n255\n")
    Image.fromarray(np.zeros((2, 2), np.float32)).save(tmp_path / "float.tif")
    for name, words in {"bomb.pgm": "bomb", "large.pgm": "at most 64 million", "float.tif": "floating-point"}.items():
        with pytest.raises(MediaError, match=rf"{name}.*{words}"):
            media.read_image(tmp_path / name)
    with pytest.raises(MediaError, match="is a folder"):
        media.read_image(tmp_path)


def test_pictures_are_written_exactly_and_reproducibly(tmp_path: Path) -> None:
    media.write_image(tmp_path / "new" / "a.png", RGB)
    media.write_image(tmp_path / "new" / "b.png", np.asfortranarray(RGB))
    assert np.array_equal(np.array(Image.open(tmp_path / "new" / "a.png")), RGB)
    assert (tmp_path / "new" / "a.png").read_bytes() == (tmp_path / "new" / "b.png").read_bytes()
    assert len(list((tmp_path / "new").iterdir())) == 2


@pytest.mark.parametrize("image", [RGB / 255, RGB[..., :2], RGB[:0], RGB[None]])
def test_pictures_of_another_form_are_refused(tmp_path: Path, image: np.ndarray) -> None:
    with pytest.raises(MediaError, match=r"uint8 pixels of shape \[H, W, 3\]"):
        media.write_image(tmp_path / "a.png", image)
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    media.write_image(tmp_path / "a.png", RGB)

    def full(self: Path, content: bytes) -> int:
        raise OSError("no space left")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="no space"):
        media.write_image(tmp_path / "a.png", RGB[::-1])
    monkeypatch.undo()
    assert np.array_equal(media.read_image(tmp_path / "a.png"), RGB)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


# ---- video


def test_video_comes_back_from_mkv_exactly_with_its_sound(tmp_path: Path) -> None:
    frames = RNG.integers(0, 256, (7, 31, 45, 3), dtype=np.uint8)
    audio = Audio(tone(16_000, seconds=0.28), 16_000)
    media.write_video(tmp_path / "a.mkv", frames, 25, audio)
    media.write_video(tmp_path / "b.mkv", frames, 25, audio)
    assert np.array_equal(media.read_video(tmp_path / "a.mkv"), frames)
    np.testing.assert_allclose(media.read_audio(tmp_path / "a.mkv").samples, audio.samples, atol=2**-15)
    assert (tmp_path / "a.mkv").read_bytes() == (tmp_path / "b.mkv").read_bytes()


def test_mp4_is_close_and_takes_grey(tmp_path: Path) -> None:
    media.write_video(tmp_path / "a.mp4", smooth_frames()[..., 0], 25)
    back = media.read_video(tmp_path / "a.mp4")
    assert np.abs(back.astype(int) - smooth_frames()).max() < 6
    assert media.read_video(tmp_path / "a.mp4", grey=True).shape == (10, 32, 48)


@pytest.mark.parametrize(("fps", "expected"), [(50, np.repeat(range(10), 2)), (12.5, range(0, 10, 2)), (25, range(10))])
def test_another_rate_shows_the_frame_on_screen(tmp_path: Path, fps: float, expected: object) -> None:
    media.write_video(tmp_path / "a.mkv", smooth_frames(), 25)
    levels = media.read_video(tmp_path / "a.mkv", fps=fps)[:, 0, 0, 0]
    assert (levels // 20).tolist() == list(expected)  # type: ignore[call-overload]


def test_30_pictures_a_second_become_25_without_drift(tmp_path: Path) -> None:
    frames = np.repeat(np.arange(60, dtype=np.uint8) * 4, 16 * 16 * 3).reshape(60, 16, 16, 3)
    media.write_video(tmp_path / "a.mkv", frames, 30)
    numbers = media.read_video(tmp_path / "a.mkv", fps=25)[:, 0, 0, 0] // 4
    assert numbers.tolist() == [int(k * 30 / 25 + 1e-3) for k in range(50)]


def test_video_is_scaled(tmp_path: Path) -> None:
    frames = np.zeros((3, 32, 48, 3), np.uint8)
    frames[:, :, 24:] = 255
    media.write_video(tmp_path / "a.mkv", frames, 25)
    small = media.read_video(tmp_path / "a.mkv", size=(8, 12), grey=True)
    assert small.shape == (3, 8, 12)
    assert small[:, :, :5].max() < 30 and small[:, :, 7:].min() > 225


def test_hostile_videos_raise_errors_that_name_file_and_reason(tmp_path: Path) -> None:
    media.write_video(tmp_path / "whole.mp4", smooth_frames(), 25)
    (tmp_path / "cut.mp4").write_bytes((tmp_path / "whole.mp4").read_bytes()[:500])
    (tmp_path / "text.mkv").write_text("just text")
    (tmp_path / "empty.mpg").touch()
    media.write_audio(tmp_path / "sound.wav", Audio(tone(16_000), 16_000))
    for name in ("cut.mp4", "text.mkv", "empty.mpg", "absent.avi"):
        with pytest.raises(MediaError, match=name):
            media.read_video(tmp_path / name)
    with pytest.raises(MediaError, match="no pictures"):
        media.read_video(tmp_path / "sound.wav")
    for name, frames, words in (
        ("a.gif", smooth_frames(), "suffix"),
        ("a.mkv", smooth_frames() / 255, "uint8"),
        ("a.mp4", smooth_frames(height=33), "even"),
    ):
        with pytest.raises(MediaError, match=words):
            media.write_video(tmp_path / name, frames, 25)
        assert not (tmp_path / name).exists()


def filmed(path: Path, late_s: float = 0.0, options: dict[str, str] | None = None, seconds: float = 3.0) -> Path:
    """Noise of `seconds` with 25 pictures a second, of random pixels; the sound starts `late_s` after the pictures."""
    import av

    codecs = {".mkv": ("ffv1", "flac", "s16"), ".avi": ("mpeg4", "mp2", "s16"), ".mpg": ("mpeg1video", "mp2", "s16")}
    video_codec, audio_codec, form = codecs.get(path.suffix, ("libx264", "aac", "fltp"))
    with av.open(str(path), "w", options=options or {}) as container:
        video = container.add_stream(video_codec, rate=25)
        video.width, video.height, video.pix_fmt = 64, 64, "bgr0" if video_codec == "ffv1" else "yuv420p"
        sound = container.add_stream(audio_codec, rate=16_000, layout="mono")
        packets = []
        for number in range(round(seconds * 25)):
            pixels = np.random.default_rng(number).integers(0, 256, (64, 64, 3), dtype=np.uint8)
            picture = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            picture.pts = number + max(0, round(-late_s * 25))
            packets += video.encode(picture)
        size = sound.codec_context.frame_size or 1024
        samples = np.random.default_rng(1).uniform(-0.3, 0.3, (1, round(seconds * 16_000))).astype(np.float32)
        if form == "s16":
            samples = (samples * 32_768).astype(np.int16)
        for start in range(0, samples.shape[1], size):
            part = av.AudioFrame.from_ndarray(samples[:, start : start + size].copy(), format=form, layout="mono")
            part.sample_rate, part.pts = 16_000, start + max(0, round(late_s * 16_000))
            packets += sound.encode(part)
        packets += [*video.encode(None), *sound.encode(None)]
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            container.mux(packet)
    return path


@pytest.mark.parametrize(
    ("name", "options"),
    [("a.mkv", {}), ("a.avi", {}), ("a.mp4", {"movflags": "faststart"}), ("b.mp4", {"movflags": "frag_keyframe"})],
)
def test_a_video_that_ends_before_its_header_says_is_refused(
    tmp_path: Path, name: str, options: dict[str, str]
) -> None:
    whole = filmed(tmp_path / name, options=options)
    assert len(media.read_video(whole)) == 75 and media.read_audio(whole).seconds == pytest.approx(3, abs=0.1)
    content = whole.read_bytes()
    for part in (0.3, 0.75):
        cut = tmp_path / f"cut_{name}"
        cut.write_bytes(content[: int(part * len(content))])
        for read, kind in ((media.read_audio, "audio"), (media.read_video, "video")):
            with pytest.raises(MediaError, match=rf"cut_{name}: (cut short: \d+.* of |corrupt {kind})"):
                read(cut)
    if name == "a.mkv":
        for read in (media.read_audio, media.read_video):
            with pytest.raises(MediaError, match=r"cut short: \d\.\d\d of the 3\.00 s of"):
                read(cut)


@pytest.mark.parametrize(("name", "options"), [("a.mkv", {"live": "1"}), ("a.mpg", {}), ("a.ts", {})])
def test_a_video_that_states_no_length_is_read_as_far_as_it_goes(
    tmp_path: Path, name: str, options: dict[str, str]
) -> None:
    whole = filmed(tmp_path / name, options=options)
    assert len(media.read_video(whole)) == 75 and media.read_audio(whole).seconds == pytest.approx(3, abs=0.1)


def test_sound_and_pictures_may_end_apart_and_headers_be_slightly_wrong(tmp_path: Path) -> None:
    long, short = Audio(tone(16_000, seconds=3), 16_000), Audio(tone(16_000, seconds=0.5), 16_000)
    for suffix in (".mkv", ".mp4"):
        media.write_video(tmp_path / f"a{suffix}", smooth_frames(10), 25, long)
        media.write_video(tmp_path / f"b{suffix}", np.tile(smooth_frames(10), (8, 1, 1, 1)), 25, short)
        assert len(media.read_video(tmp_path / f"a{suffix}")) == 10
        assert len(media.read_video(tmp_path / f"b{suffix}")) == 80
        assert media.read_audio(tmp_path / f"a{suffix}").seconds == pytest.approx(3, abs=0.1)
        assert media.read_audio(tmp_path / f"b{suffix}").seconds == pytest.approx(0.5, abs=0.1)
    content = filmed(tmp_path / "c.mkv").read_bytes()
    at = content.index(b"\x44\x89\x88") + 3  # Matroska's duration, a float of milliseconds
    assert struct.unpack(">d", content[at : at + 8]) == (3000.0,)
    for stated, fits in ((3400.0, True), (2000.0, True), (3600.0, False)):
        (tmp_path / "d.mkv").write_bytes(content[:at] + struct.pack(">d", stated) + content[at + 8 :])
        if fits:
            assert len(media.read_video(tmp_path / "d.mkv")) == 75
        else:
            with pytest.raises(MediaError, match="cut short: 3.00 of the 3.60 s"):
                media.read_video(tmp_path / "d.mkv")


@pytest.mark.parametrize("late_s", [1.0, 0.0, -0.4])
@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.mpg", "a.ts", "a.flv"])
def test_the_delay_of_the_sound_is_that_of_its_samples(tmp_path: Path, name: str, late_s: float) -> None:
    """Whatever padding the encoder adds: the end of the sound, which has no padding of note, says what is true."""
    path = filmed(tmp_path / name, late_s)
    delay, sound = media.sound_delay(path), media.read_audio(path).samples
    played = np.random.default_rng(1).uniform(-0.3, 0.3, 3 * 16_000)[8000:24_000]
    padding = int(scipy.signal.correlate(sound, played, "valid", "fft").argmax()) - 8000
    assert abs(delay + padding / 16_000 - late_s) < 0.02, (delay, padding)
    if name == "a.mkv":
        assert padding == 0 and delay == late_s


def test_pictures_begin_with_their_sound(tmp_path: Path) -> None:
    frames = np.arange(75)
    shifted = {
        late_s: media.since_sound(filmed(tmp_path / "a.mkv", late_s), frames, 25, 3.0).tolist()
        for late_s in (1.0, 0.015, 0.0, -0.015, -0.4)
    }
    whole = list(range(75))
    assert shifted == {1.0: whole[25:], 0.015: whole, 0.0: whole, -0.015: whole, -0.4: [0] * 10 + whole}
    for late_s, seconds in ((3.0, 3.0), (-1.6, 3.0)):
        with pytest.raises(MediaError, match=r"a\.mkv: the sound, of 3.00 s, begins -?\d\.\d0 s after the pictures"):
            media.since_sound(filmed(tmp_path / "a.mkv", late_s), frames, 25, seconds)
    media.write_video(tmp_path / "mute.mkv", smooth_frames(), 25)
    with pytest.raises(MediaError, match="no sound track"):
        media.since_sound(tmp_path / "mute.mkv", frames, 25, 3.0)
    media.write_audio(tmp_path / "blind.wav", Audio(tone(16_000), 16_000))
    with pytest.raises(MediaError, match="no pictures"):
        media.sound_delay(tmp_path / "blind.wav")


# ---- names and headers


def test_suffixes_tell_the_kind() -> None:
    assert media.is_audio("a/B.WAV") and media.is_audio("a.m4a") and not media.is_audio("a.mp4")
    assert media.is_image(Path("s1/1.pgm")) and media.is_image("x.JPeG") and not media.is_image("notes.txt")
    assert media.is_video("a.mpg") and not media.is_video("a") and not media.is_audio(".wav")


def test_headers_are_checked_without_decoding(tmp_path: Path) -> None:
    media.write_audio(tmp_path / "a.wav", Audio(tone(16_000), 16_000))
    media.write_video(tmp_path / "a.mp4", smooth_frames(), 25)
    media.write_image(tmp_path / "a.png", RGB)
    for name in ("a.wav", "a.mp4", "a.png"):
        media.check_header(tmp_path / name)
        (tmp_path / f"wrong{name}").write_text("just text")
        with pytest.raises(MediaError, match="begins with"):
            media.check_header(tmp_path / f"wrong{name}")
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(MediaError, match="'.txt'"):
        media.check_header(tmp_path / "notes.txt")


# ---- real recordings


@pytest.mark.skipif(not REALDATA, reason="FACEVOICE_REALDATA is not set")
def test_real_recordings_and_portraits_are_read() -> None:
    assert REALDATA
    sounds = [
        *sorted(Path(REALDATA).rglob("*.flac"))[:8],
        *Path(REALDATA).rglob("*.wav"),
        *Path(REALDATA).rglob("*.mpg"),
    ]
    for path in sounds:
        media.check_header(path)
        audio = media.read_audio(path)
        assert audio.rate == 16_000 and 0.02 < np.abs(audio.samples).max() < 1.2
        assert abs(audio.seconds - media.audio_seconds(path)) < 0.05
    for path in sorted(Path(REALDATA).rglob("*.pgm"))[:40]:
        assert media.read_image(path).shape == (112, 92, 3)


@pytest.mark.skipif(not REALDATA, reason="FACEVOICE_REALDATA is not set")
def test_real_video_has_3_seconds_at_25_pictures() -> None:
    assert REALDATA
    for path in sorted(Path(REALDATA).rglob("*.mpg"))[:3]:
        frames = media.read_video(path, size=(72, 90))
        assert frames.shape == (75, 72, 90, 3)
        assert frames.std() > 20 and not np.array_equal(frames[0], frames[40])
