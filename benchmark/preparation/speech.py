"""Pauses taken out of speech, and its log-mel energies, as SF2F and voice2face prepare them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from benchmark.errors import MediaError
from benchmark.files import write_whole
from benchmark.media import is_audio, is_video, read_audio, write_audio
from benchmark.preparation.step import Made, Step, renamed
from benchmark.registry import front_ends
from benchmark.types import Audio

RATE = 16_000
FrontEnd = Literal["sf2f", "voice2face"]


class _OfSpeech(Step):
    """What steps over recordings share."""

    takes: ClassVar[str] = "recordings, and videos for their sound"
    pictures: ClassVar[bool] = False

    def accepts(self, file: str) -> bool:
        return is_audio(file) or is_video(file)


@dataclass(frozen=True)
class Vad(_OfSpeech):
    """Speech with the pauses taken out: WebRTC's detector, 16 kHz, by the rules of a paper's front-end.

    `sf2f`: aggressiveness 1, frames of 30 ms, padding of 300 ms. `voice2face`: 2, 20 ms, 50 ms. Both begin and end
    speech where more than 90 % of the padding say so. The result is 32-bit float WAV at 16 kHz.
    """

    front_end: FrontEnd = "sf2f"
    """Whose rules."""
    shortest_s: float = 0.0
    """Recordings with less speech than this are failures."""

    name: ClassVar[str] = "vad"
    title: ClassVar[str] = "speech with the pauses taken out, 16 kHz WAV"
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "sf2f": {"front_end": "sf2f"},
        "voice2face": {"front_end": "voice2face"},
    }

    def __post_init__(self) -> None:
        if not 0 <= self.shortest_s <= 3600:
            raise ValueError(f"shortest_s = {self.shortest_s}: expected seconds, 0 to 3600")

    def products(self, file: str) -> tuple[str, ...]:
        return (renamed(file, ".wav"),)

    def make(self, source: Path, out: Path, products: tuple[str, ...]) -> Made:
        audio = read_audio(source, RATE)
        voiced = spoken(source, audio, self.front_end, self.shortest_s)
        write_audio(out / products[0], Audio(voiced, RATE))
        return Made(products, {"seconds": round(audio.seconds, 4), "spoken_s": round(len(voiced) / RATE, 4)})


@dataclass(frozen=True)
class LogMel(_OfSpeech):
    """Log-mel energies of whole recordings, for training elsewhere, in NumPy's own format without pickles.

    `sf2f`: 40 bins, `[40, T]`, not normalised, which is what its code finds under `LogMel_Features` in its pickles and
    brings to scale while reading. `voice2face`: 64 bins, `[T, 64]`, each bin normalised over the recording, short ones
    repeated to 1000 frames: the files that its code reads below `data/fbank`.

    Methods and trainers here start from sound and never read these files: they crop recordings before pauses are taken
    out, and trainers keep features of their own.
    """

    front_end: FrontEnd = "sf2f"
    """Whose energies."""
    vad: bool = True
    """Take the pauses out first, as both papers' code does."""

    name: ClassVar[str] = "log_mel"
    title: ClassVar[str] = "log-mel energies of recordings as SF2F (40 bins) and voice2face (64) read them, .npy"
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "sf2f": {"front_end": "sf2f"},
        "voice2face": {"front_end": "voice2face"},
    }

    def products(self, file: str) -> tuple[str, ...]:
        return (renamed(file, ".npy"),)

    def make(self, source: Path, out: Path, products: tuple[str, ...]) -> Made:
        audio = read_audio(source, RATE)
        samples = spoken(source, audio, self.front_end) if self.vad else audio.samples
        energies = front_ends.load(self.front_end).log_mel(samples)

        def write(partial: Path) -> None:
            with partial.open("wb") as file:
                np.save(file, energies, allow_pickle=False)

        write_whole(out / products[0], write)
        return Made(products, {"spoken_s": round(len(samples) / RATE, 4), "shape": list(energies.shape)})


def spoken(source: Path, audio: Audio, front_end: str, shortest_s: float = 0.0) -> np.ndarray:
    """The speech of a recording without its pauses, `[T]` float32 at 16 kHz.

    Raises:
        MediaError: there is none, or less than `shortest_s`.
    """
    voiced: np.ndarray = front_ends.load(front_end).without_pauses(audio.samples)
    if not len(voiced):
        raise MediaError(f"{source}: expected speech, but no frame of {audio.seconds:.2f} s is voiced")
    if len(voiced) < shortest_s * RATE:
        raise MediaError(f"{source}: {len(voiced) / RATE:.2f} s of speech; expected at least {shortest_s:g} s")
    return voiced
