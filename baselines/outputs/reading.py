"""Read one output of a system from elsewhere as the harness keeps it."""

from __future__ import annotations

from pathlib import Path

from baselines.method import Remarked
from benchmark.media import audio_header, converted, read_audio, read_image
from benchmark.remarks import remark, remarks


def read_output(path: Path, wanted: str, rate: int) -> Remarked:
    """A face `[H, W, 3]` uint8 of the size that it has, or speech `[T]` float32 at `rate`, with what was done to it.

    Sound at another rate is converted, and of several channels the mean is taken; the length stays as it is: metrics
    that compare in time say what they make of another one.

    Args:
        wanted: `image` or `audio`.

    Raises:
        MediaError: it cannot be read or used.
    """
    with remarks() as heard:
        if wanted == "image":
            return Remarked(read_image(path), tuple(heard))
        channels = audio_header(path).channels
        sound = read_audio(path, None)
        if channels > 1:
            remark(f"{path}: {channels} channels, of which the mean is taken")
        if sound.rate != rate:
            remark(f"{path}: {sound.rate} Hz, converted to {rate} Hz")
        return Remarked(converted(path, sound, rate).samples, tuple(heard))
