"""What of a sample a method is given: random crops of speech, and clips of mixtures."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmark.errors import MediaError
from benchmark.media import audio_seconds, converted, read_audio, read_part
from benchmark.media.mixing import Mixture, looped, mix, noise
from benchmark.types import Audio, Sample, derive_seed

SHORTEST_S = 1.2
"""Recordings shorter than this are not repeated to fill a clip (FlowAVSE's official evaluation skips them)."""
TOLERANCE_S = 0.1
"""By how much a noisy recording and its clean speech may differ in length, as with metrics that compare two signals."""


def crop_speech(sample: Sample, seconds: float | None, rate: int, seed: int) -> Audio:
    """A random crop of a speaker's recordings.

    Recordings are taken in random order; the first that is long enough is cropped at a random place. Where none is long
    enough, recordings are joined in that order until they are; a speaker with less speech than asked gives all of it.
    A header only says which recordings are worth a look: how long one is, its samples decide.

    Raises:
        MediaError: there is no recording, or one that is looked at cannot be read.
    """
    paths = sample.inputs.get("speech", ())
    if not paths:
        raise MediaError(f"Sample '{sample.id}' has no recording")
    random = np.random.default_rng(seed)
    order = [paths[index] for index in random.permutation(len(paths))]
    if seconds is None:
        return read_audio(order[0], rate)
    where = random.random()
    length = int(round(seconds * rate))
    for path in order:
        if audio_seconds(path) >= seconds and (whole := read_audio(path, None)).seconds >= seconds:
            samples = converted(path, whole, rate).samples
            break
    else:
        pieces: list[np.ndarray] = []
        for path in order:
            pieces.append(read_audio(path, rate).samples)
            if sum(map(len, pieces)) >= length:
                break
        samples = np.concatenate(pieces)
    start = int(where * (max(len(samples) - length, 0) + 1))
    return Audio(np.ascontiguousarray(samples[start : start + length]), rate)


class SpokenClip(NamedTuple):
    """A clip of the speech of a recording, before anything is mixed with it."""

    clean: np.ndarray | None
    """`[T]` float32, at the recording's own level; None where nobody knows it."""
    recorded: np.ndarray | None
    """`[T]` float32, of a recording that is noisy as it is; None where noise is still to be added."""
    start: int
    """First sample of the clip in the recording."""
    source_s: float
    """Length of the recording; a clip that is longer begins again at its end."""


def spoken_clip(sample: Sample, seconds: float | None, rate: int) -> SpokenClip:
    """Read what is said in one row of a mixing list: the whole recording, or its first `seconds`.

    The clip of fixed length follows FlowAVSE's official evaluation: a shorter recording is repeated to fill it, one
    below 1.2 s is refused, and where the first clip is silent the next one is taken.

    Raises:
        MediaError: a file cannot be read, is too short, or is silent.
    """
    recording = sample.inputs.get("noisy", ())
    if recording:
        speech, known = _recorded_pair(sample, recording, rate)
    else:
        speech = read_audio(only_file(sample, sample.targets.get("speech", ()), "clean recording"), rate).samples
    start, length = 0, len(speech)
    if seconds is not None:
        length = int(round(seconds * rate))
        shortest_s = min(seconds, SHORTEST_S)
        if len(speech) < int(shortest_s * rate):
            raise MediaError(
                f"Sample '{sample.id}' has {len(speech) / rate:.2f} s of speech; a clip wants {shortest_s:g} s or more"
            )
        while start + length < len(speech) and not speech[start : start + length].any():
            start += length
    cut = looped(speech, length, start)
    if not recording:
        return SpokenClip(cut, None, start, len(speech) / rate)
    return SpokenClip(None if known is None else looped(known, length, start), cut, start, len(speech) / rate)


class MixtureClip(NamedTuple):
    """A clip of speech in noise, and where in its recording it lies."""

    mixture: Mixture
    start: int
    """First sample of the clip in the recording."""
    source_s: float
    """Length of the recording; a clip that is longer begins again at its end."""


def mixture_clip(sample: Sample, seconds: float | None, rate: int, seed: int) -> MixtureClip:
    """Mix one row of a mixing list, or read one that is noisy as it is: a clip as `spoken_clip` cuts it.

    Raises:
        MediaError: a file cannot be read, is too short, or is silent.
    """
    clip = spoken_clip(sample, seconds, rate)
    return MixtureClip(mixed(sample, clip, rate, seed), clip.start, clip.source_s)


def mixed(sample: Sample, clip: SpokenClip, rate: int, seed: int, snr_db: float | None = None) -> Mixture:
    """The mixture that a row of a mixing list asks for; a recording that is noisy as it is stays so.

    Args:
        snr_db: in place of the row's own.

    Raises:
        MediaError: a file of noise cannot be read, or a signal is silent.
    """
    if clip.recorded is not None:
        return Mixture(clip.recorded, clip.clean)
    assert clip.clean is not None
    about = sample.attributes
    where = about.get("noise_start_s")
    voices = [
        (read_audio(path, rate) if where is None else read_part(path, rate, float(where), len(clip.clean))).samples
        for path in sample.inputs.get("noise", ())
    ]
    drawn = derive_seed("noise", sample.id, seed)
    other = noise(str(about.get("noise")), len(clip.clean), drawn, voices)
    level = float(about.get("snr_db", 0.0)) if snr_db is None else snr_db
    return mix(clip.clean, other, level, derive_seed("level", sample.id, seed))


def _recorded_pair(sample: Sample, recording: tuple[Path, ...], rate: int) -> tuple[np.ndarray, np.ndarray | None]:
    """A noisy recording and its clean speech, where there is any, cut to the shorter of the two.

    Raises:
        MediaError: they differ by more than a tenth of a second in length, or a file cannot be read.
    """
    noisy = read_audio(only_file(sample, recording, "noisy recording"), rate).samples
    if not sample.targets.get("speech"):
        return noisy, None
    clean = read_audio(only_file(sample, sample.targets["speech"], "clean recording"), rate).samples
    if abs(len(noisy) - len(clean)) > TOLERANCE_S * rate:
        raise MediaError(
            f"Sample '{sample.id}' has {len(noisy) / rate:.2f} s of noisy and {len(clean) / rate:.2f} s of clean "
            f"speech; expected the same moments in both, {TOLERANCE_S:g} s apart in length at most"
        )
    length = min(len(noisy), len(clean))
    return noisy[:length], clean[:length]


def only_file(sample: Sample, paths: tuple[Path, ...], what: str) -> Path:
    """The one file that a field names, or MediaError where it names none or several."""
    if len(paths) != 1:
        raise MediaError(f"Sample '{sample.id}' has {len(paths)} files as its {what}; expected 1")
    return paths[0]
