"""Small recordings and videos of every container, made with PyAV: pictures that tell their number, and noise."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path

import numpy as np

SIDE = 32
STEP = 3
"""Grey levels from one picture to the next."""
VIDEO = {
    "a.mkv": ("ffv1", "flac", {}),
    "a.webm": ("libvpx", "libopus", {}),
    "a.mp4": ("libx264", "aac", {}),
    "fast.mp4": ("libx264", "aac", {"movflags": "faststart"}),
    "pieces.mp4": ("libx264", "aac", {"movflags": "frag_keyframe+empty_moov"}),
    "a.mov": ("libx264", "pcm_s16le", {}),
    "a.3gp": ("mpeg4", "aac", {}),
    "a.avi": ("mpeg4", "mp2", {}),
    "a.mpg": ("mpeg2video", "mp2", {}),
    "a.ts": ("libx264", "mp2", {}),
    "a.flv": ("flv", "libmp3lame", {}),
    "live.mkv": ("libx264", "aac", {"live": "1"}),
    "live.webm": ("libvpx", "libopus", {"live": "1"}),
}
"""Name to codecs of pictures and sound, and options of the container."""
SOUND = {
    "a.m4a": (None, "aac", {}),
    "alac.m4a": (None, "alac", {}),
    "a.aac": (None, "aac", {}),
    "a.mp3": (None, "libmp3lame", {}),
    "bare.mp3": (None, "libmp3lame", {"write_xing": "0"}),
    "a.mp2": (None, "mp2", {}),
}
_RATES = {"libopus": 48_000, "libmp3lame": 44_100, "mp2": 44_100}
_FORMS = {"libopus": "flt", "alac": "s16p", "flac": "s16", "pcm_s16le": "s16", "mp2": "s16"}


def noise(rate: int, seconds: float, seed: int = 1) -> np.ndarray:
    """White noise `[T]` float32, up to 0.3."""
    return np.random.default_rng(seed).uniform(-0.3, 0.3, round(seconds * rate)).astype(np.float32)


def film(
    path: Path,
    video: str | None,
    audio: str | None,
    options: dict[str, str] | None = None,
    *,
    seconds: float = 3.0,
    times: Iterable[float] | None = None,
    lost: Callable[[float], bool] = lambda time: False,
    start: float = 0.0,
    clock: int = 25,
) -> Path:
    """Write pictures at 25 a second and noise.

    Args:
        times: when picture k is shown, in seconds; by default at k / 25.
        lost: whether the packet of sound at a time is left out.
        start: added to all stamps.
        clock: ticks a second of the pictures' stamps.
    """
    import av

    with av.open(str(path), "w", options=options or {}) as container:
        packets = []
        if video:
            stream = container.add_stream(video, rate=25)
            stream.width = stream.height = SIDE
            stream.pix_fmt = "bgr0" if video == "ffv1" else "yuv420p"
            stream.bit_rate = 400_000
            if clock != 25:
                stream.codec_context.time_base = Fraction(1, clock)
            places = [k / 25 for k in range(round(seconds * 25))] if times is None else list(times)
            for number, time in enumerate(places):
                pixels = np.full((SIDE, SIDE, 3), number * STEP % 250, np.uint8)
                picture = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                picture.pts, picture.time_base = round((time + start) * clock), Fraction(1, clock)
                packets += stream.encode(picture)
            packets += stream.encode(None)
        if audio:
            rate = _RATES.get(audio, 16_000)
            form = _FORMS.get(audio, "fltp")
            sound = container.add_stream(audio, rate=rate, layout="mono")
            size = sound.codec_context.frame_size or 1024
            samples = noise(rate, seconds)[None]
            if form.startswith("s16"):
                samples = np.round(samples * 32_768).astype(np.int16)
            for at in range(0, samples.shape[1], size):
                part = av.AudioFrame.from_ndarray(samples[:, at : at + size].copy(), format=form, layout="mono")
                part.sample_rate, part.pts = rate, at + round(start * rate)
                packets += sound.encode(part)
            packets += sound.encode(None)
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            if packet.stream.type == "video" or not lost(float(packet.pts * packet.time_base) - start):
                container.mux(packet)
    return path


def numbers(pictures: np.ndarray) -> list[int]:
    """Which picture each frame of a film shows, by its level."""
    return np.rint(pictures.reshape(len(pictures), -1).mean(axis=1) / STEP).astype(int).tolist()
