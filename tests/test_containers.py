"""Which track is read, whatever it is tagged with; any number of channels, in any sample format."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from films import SOUND, VIDEO, film

from benchmark.errors import MediaError
from benchmark.media import audio_header, read_audio, read_video, sound_delay
from benchmark.media.sound import LOUD_PEAK, MAX_PEAK
from benchmark.remarks import counted, remark, remarks

FORMATS = {
    "pcm_u8": ("u8", lambda x: np.round(x * 128 + 128).astype(np.uint8), 2**-8),
    "pcm_s16le": ("s16", lambda x: np.round(x * 2**15).astype(np.int16), 2**-16),
    "pcm_s32le": ("s32", lambda x: np.round(x * 2**31).astype(np.int32), 1e-7),
    "pcm_f32le": ("flt", lambda x: x.astype(np.float32), 1e-7),
    "pcm_f64le": ("dbl", lambda x: x.astype(np.float64), 1e-7),
}


def packed(
    path: Path, codec: str, form: str, samples: np.ndarray, rate: int, options: dict[str, str], layout: str = ""
) -> Path:
    """Write samples `[T, C]`, channels interleaved."""
    import av

    layout = layout or f"{samples.shape[1]} channels"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        stream.options = options
        size = stream.codec_context.frame_size or 256
        for at in range(0, len(samples), size):
            part = np.ascontiguousarray(samples[at : at + size]).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(part, format=form, layout=layout)
            frame.sample_rate, frame.pts = rate, at
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("codec", FORMATS)
@pytest.mark.parametrize("channels", [1, 2, 5, 8, 9, 24, 64])
def test_channels_are_averaged_however_many_there_are(tmp_path: Path, codec: str, channels: int) -> None:
    form, cast, error = FORMATS[codec]
    samples = np.random.default_rng(channels).uniform(-0.9, 0.9, (400, channels))
    path = packed(tmp_path / "a.mkv", codec, form, cast(samples), 16_000, {})
    np.testing.assert_allclose(read_audio(path).samples, samples.mean(axis=1), atol=error)
    assert audio_header(path).channels == channels


@pytest.mark.parametrize("channels", [8, 9, 16, 64])
def test_planar_sound_of_many_channels_is_averaged(tmp_path: Path, channels: int) -> None:
    """Opus is decoded into a plane for each channel."""
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(24_000) / 48_000)
    samples = np.zeros((24_000, channels), np.float32)
    samples[:, ::2] = tone[:, None]
    path = packed(tmp_path / "a.webm", "libopus", "flt", samples, 48_000, {"mapping_family": "255"})
    found = read_audio(path, None).samples
    part = np.ceil(channels / 2) / channels
    assert len(found) == 24_000 and np.abs(found - part * tone)[2000:-2000].max() < 0.02


def test_channels_that_change_within_a_file_are_averaged_and_told(tmp_path: Path) -> None:
    tone = np.round(8000 * np.sin(2 * np.pi * 440 * np.arange(44_100) / 44_100)).astype(np.int16)
    content = b""
    for layout, count in (("mono", 1), ("stereo", 2)):
        samples = np.repeat(tone[:, None], count, axis=1)
        content += packed(tmp_path / "a.mp2", "mp2", "s16", samples, 44_100, {}, layout).read_bytes()
    (tmp_path / "b.mp2").write_bytes(content)
    with remarks() as heard:
        found = read_audio(tmp_path / "b.mp2", None)
    assert found.seconds == pytest.approx(2, abs=0.1) and len(heard) == 1 and "channels change" in heard[0]
    levels = [np.abs(part).max() for part in np.array_split(found.samples, 8)]
    np.testing.assert_allclose(levels, 8000 / 2**15, rtol=0.1)


def labelled(path: Path, labels: list[int]) -> Path:
    """A QuickTime film whose sound names its channels one by one, as multi-microphone recorders do."""
    samples = np.random.default_rng(1).uniform(-0.9, 0.9, (4000, len(labels)))
    content = packed(path, "pcm_s16le", "s16", FORMATS["pcm_s16le"][1](samples), 16_000, {}, "stereo").read_bytes()
    at = content.index(b"chan") - 4
    length = struct.unpack(">I", content[at : at + 4])[0]
    described = b"".join(struct.pack(">IIfff", label, 0, 0, 0, 0) for label in labels)
    part = struct.pack(">I4sIIII", 24 + len(described), b"chan", 0, 0, 0, len(labels)) + described
    changed = bytearray(content[:at] + part + content[at + length :])
    first = changed.index(b"moov")
    around = [changed.index(name, first) - 4 for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd")]
    for place in (*around, around[-1] + 16):  # the last is the entry of the track in stsd
        struct.pack_into(">I", changed, place, struct.unpack_from(">I", changed, place)[0] + len(part) - length)
    path.write_bytes(changed)
    return path


@pytest.mark.parametrize("labels", [[2, 1], [3, 3], [38, 33], [0xFFFFFFFF, 1], [65_537, 65_536]])
def test_channels_in_any_order_end_no_process(tmp_path: Path, labels: list[int]) -> None:
    code = (
        "import gc, sys; from benchmark.media import audio_header, read_audio\n"
        "for _ in range(10): print(len(read_audio(sys.argv[1]).samples), audio_header(sys.argv[1]).channels)\n"
        "gc.collect()"
    )
    path = labelled(tmp_path / "a.mov", labels)
    run = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == ["4000", "2"] * 10


def two_tracks(path: Path, default: int | None) -> Path:
    """Silence and a tone, after a cover and before a video; `default` is the number of the sound that is marked."""
    import av
    from av.stream import Disposition

    with av.open(str(path), "w") as container:
        cover = container.add_stream("mjpeg", rate=25)
        cover.width = cover.height = 64
        cover.pix_fmt = "yuvj420p"
        cover.disposition = Disposition.attached_pic
        video = container.add_stream("mpeg4", rate=25)
        video.width = video.height = 32
        video.pix_fmt = "yuv420p"
        sounds = [container.add_stream("aac", rate=16_000, layout="mono") for _ in range(2)]
        packets = []
        for stream, side, count in ((cover, 64, 1), (video, 32, 10)):
            for number in range(count):
                picture = av.VideoFrame.from_ndarray(np.full((side, side, 3), 20 * number, np.uint8), format="rgb24")
                picture.pts = number
                packets += stream.encode(picture)
            packets += stream.encode(None)
        for number, stream in enumerate(sounds):
            stream.disposition = Disposition.default if number == default else 0
            for at in range(0, 6400, 1024):
                tone = number * 0.3 * np.sin(0.2 * np.arange(at, at + 1024)).astype(np.float32)
                frame = av.AudioFrame.from_ndarray(tone[None].astype(np.float32), format="fltp", layout="mono")
                frame.sample_rate, frame.pts = 16_000, at
                packets += stream.encode(frame)
            packets += stream.encode(None)
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            container.mux(packet)
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_the_default_sound_is_read_and_told(tmp_path: Path, suffix: str) -> None:
    path = two_tracks(tmp_path / f"a{suffix}", 1)
    with remarks() as heard:
        assert np.abs(read_audio(path).samples).max() > 0.2
        sound_delay(path)
    assert [text for text in heard if " sound tracks" in text] == [
        f"{path}: 2 sound tracks; number 2, marked as the default, is read"
    ]


def test_without_a_mark_the_first_sound_is_read_and_told(tmp_path: Path) -> None:
    path = two_tracks(tmp_path / "a.mkv", None)
    with remarks() as heard:
        assert np.abs(read_audio(path).samples).max() < 0.01
    assert heard == [f"{path}: 2 sound tracks; the first is read"]


def test_a_cover_is_no_video(tmp_path: Path) -> None:
    path = two_tracks(tmp_path / "a.mp4", 1)
    with remarks() as heard:
        assert read_video(path, grey=True).shape == (10, 32, 32)
    assert heard == []


@pytest.mark.parametrize("name", ["a.m4a", "a.mp3", "a.avi", "a.mkv", "a.flv"])
def test_tags_in_another_encoding_leave_sound_readable(tmp_path: Path, name: str) -> None:
    import av

    source = film(tmp_path / f"plain_{name}", *{**SOUND, **VIDEO}[name])
    with av.open(str(source)) as old, av.open(str(tmp_path / name), "w") as new:
        new.metadata["title"] = "Qxxxxxxxxxx"
        streams = {stream.index: new.add_stream_from_template(stream) for stream in old.streams}
        for packet in old.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                new.mux(packet)
    content = (tmp_path / name).read_bytes()
    assert content.count(b"Qxxxxxxxxxx") >= 1
    (tmp_path / name).write_bytes(content.replace(b"Qxxxxxxxxxx", b"Q\xe9\xe8\xff\xfe\xfc\xf6\xe4xxx"))
    assert read_audio(tmp_path / name).seconds == pytest.approx(3, abs=0.11)
    assert audio_header(tmp_path / name).seconds == pytest.approx(3, abs=0.11)


# ---- scale


def test_float_samples_beyond_full_scale_are_kept_and_units_of_integers_refused(tmp_path: Path) -> None:
    speech = np.random.default_rng(0).standard_normal(16_000)
    unit_peak = speech / np.abs(speech).max()
    for peak, told in ((0.5, 0), (1.5, 0), (LOUD_PEAK, 0), (LOUD_PEAK * 1.01, 1), (17.0, 1), (MAX_PEAK, 1)):
        soundfile.write(tmp_path / "a.wav", unit_peak * peak, 16_000, subtype="FLOAT")
        with remarks() as heard:
            assert np.abs(read_audio(tmp_path / "a.wav").samples).max() == np.float32(peak)
        assert len(heard) == told
    for peak, bits in ((100.0, 8), (12_000.0, 16), (32_768.0, 16), (7e6, 24), (2e9, 32)):
        soundfile.write(tmp_path / "a.wav", unit_peak * peak, 16_000, subtype="FLOAT")
        with pytest.raises(MediaError, match=f"full scale to be 1.0.*{bits}-bit integers.*{2 ** (bits - 1)}"):
            read_audio(tmp_path / "a.wav")


def test_the_loudest_integers_are_full_scale(tmp_path: Path) -> None:
    for subtype in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32"):
        soundfile.write(tmp_path / "a.wav", np.array([-1.0, 0.0, 1.0]), 16_000, subtype=subtype)
        assert 0.99 <= np.abs(read_audio(tmp_path / "a.wav").samples).max() <= 1.0


# ---- remarks


def test_remarks_stay_with_who_listens() -> None:
    from concurrent.futures import ThreadPoolExecutor

    def listen(number: int) -> list[str]:
        with remarks() as heard:
            for _ in range(3):
                remark(f"{number}.wav: something")
        return heard

    with remarks() as outer, ThreadPoolExecutor(8) as pool:
        assert list(pool.map(listen, range(50))) == [[f"{number}.wav: something"] for number in range(50)]
        with remarks() as inner:
            remark("a.wav: inside")
        remark("b.wav: outside")
    remark("c.wav: nobody hears this")
    assert (outer, inner) == (["b.wav: outside"], ["a.wav: inside"])


def test_remarks_of_a_kind_are_counted_by_row() -> None:
    rows = [["a.mkv: 2 sound tracks; the first is read", "a.mkv: a gap of 1.5 s"], [], ["b.mkv: a gap of 0.3 s"] * 2]
    assert counted(rows) == ["a.mkv: 2 sound tracks; the first is read", "2 x a gap of 1.5 s (a.mkv) and the like"]


def test_examples_in_docstrings() -> None:
    import doctest

    from benchmark import remarks as module
    from benchmark.media import time_stamps

    for result in (doctest.testmod(module), doctest.testmod(time_stamps)):
        assert result.attempted and not result.failed
