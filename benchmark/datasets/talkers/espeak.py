"""Speech from espeak-ng, called in this process: samples and the time of every phoneme.

The library comes in the wheel `espeakng_loader`, with its voices. It keeps state between utterances in static
variables (such as the phase of its oscillators) that even espeak_Terminate leaves alone, so it is unloaded after each
one, which takes 2 ms: what comes out depends on the arguments alone, not on what was said before.
"""

from __future__ import annotations

import _ctypes
import ctypes
import sys
import threading
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np

from benchmark.errors import MediaError, MissingDependency

RATE = 22_050
"""Samples per second of everything that espeak-ng returns."""
_SYNCHRONOUS, _CHUNK_MS = 2, 0
_PHONEME_EVENTS, _IPA, _DONT_EXIT = 0x0001, 0x0002, 0x8000
_SPEED = 1
_EVENT_END_OF_LIST, _EVENT_WORD, _EVENT_PHONEME = 0, 1, 7
_CHARS_UTF8 = 1
_STRESS = "\u02c8\u02cc_ "
_STOPS = ("p", "t", "k", "b", "d", "\u0261", "g")
_SILENT = 0.01
_INSTALL = "pip install espeakng_loader"


@dataclass(frozen=True)
class Speaker:
    """How espeak-ng is to say it; its own voice files hold the same numbers."""

    low_hz: int
    """Bottom of the melody, 20..400."""
    high_hz: int
    """Its top, above the bottom and at most 600."""
    words_per_minute: int = 175
    """80..450."""
    flutter: int = 2
    """Unsteadiness of the pitch, 0..20."""
    roughness: int = 2
    """Unevenness of neighbouring periods, 0..7."""

    def __post_init__(self) -> None:
        for name, low, high in (
            ("low_hz", 20, 400),
            ("high_hz", self.low_hz + 1, 600),
            ("words_per_minute", 80, 450),
            ("flutter", 0, 20),
            ("roughness", 0, 7),
        ):
            if not low <= (value := getattr(self, name)) <= high:
                raise ValueError(f"Expected {name} from {low} to {high} but got {value}")

    def file(self) -> str:
        """The text of a voice file: espeak-ng's American English with this speaker's source."""
        return (
            "name talker\nlanguage en-us 2\nphonemes en-us\ndictrules 3 6\n"
            "stressLength 140 120 190 170 0 0 255 300\nstressAmp 17 16 19 19 19 19 21 19\n"
            "replace 03 I i\nreplace 03 I2 i\n"
            f"pitch {self.low_hz} {self.high_hz}\nflutter {self.flutter}\nroughness {self.roughness}\n"
        )


class Phoneme(NamedTuple):
    """One phoneme of an utterance; times in samples from its start."""

    start: int
    end: int
    ipa: str
    """IPA letters, without stress marks; empty for a pause."""


class Word(NamedTuple):
    """Where a word of the text begins in the sound."""

    start: int
    position: int
    """Offset of its first character in the text."""


@dataclass(frozen=True)
class Utterance:
    """What espeak-ng made of a text."""

    samples: np.ndarray
    """`[T]` float32 in -1..1 at `RATE`."""
    phonemes: tuple[Phoneme, ...]
    words: tuple[Word, ...]


class _Identifier(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Identifier),
    ]


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))
_lock = threading.Lock()


def synthesise(text: str, speaker: Speaker) -> Utterance:
    """Say `text`; equal arguments give equal samples, whatever was said before.

    Raises:
        MissingDependency: the library is absent or does not load.
        MediaError: espeak-ng made no sound of the text.
    """
    path, data = _files()
    with _lock, TemporaryDirectory(prefix="talker") as folder:
        voice = Path(folder) / "voice"
        voice.write_text(speaker.file(), encoding="ascii")
        library = _load(path)
        try:
            return _speak(library, data, text, str(voice), speaker.words_per_minute)
        finally:
            _unload(library)


def _speak(library: ctypes.CDLL, data: str, text: str, voice: str, words_per_minute: int) -> Utterance:
    chunks: list[np.ndarray] = []
    marks: list[tuple[int, str]] = []
    words: list[Word] = []

    def collect(wave, count, events) -> int:  # type: ignore[no-untyped-def]
        if wave and count > 0:
            chunks.append(np.ctypeslib.as_array(wave, (count,)).copy())
        index = 0
        while (event := events[index]).type != _EVENT_END_OF_LIST:
            if event.type == _EVENT_PHONEME:
                marks.append((event.sample, event.id.string.decode("utf-8", "ignore")))
            elif event.type == _EVENT_WORD:
                words.append(Word(event.sample, event.text_position - 1))
            index += 1
        return 0

    callback = _Callback(collect)
    options = _PHONEME_EVENTS | _IPA | _DONT_EXIT
    rate = library.espeak_Initialize(_SYNCHRONOUS, _CHUNK_MS, data.encode(), options)
    if rate != RATE:
        raise MissingDependency(
            f"espeak-ng did not start with its data in {data} (expected {RATE} Hz, got {rate}); "
            f"a path longer than about 150 characters is too long for it. Install it again: {_INSTALL}"
        )
    try:
        library.espeak_ng_SetRandSeed(1)
        library.espeak_SetSynthCallback(callback)
        if library.espeak_SetVoiceByFile(voice.encode()) != 0:
            raise MediaError(f"espeak-ng does not accept the voice file {voice}")
        library.espeak_SetParameter(_SPEED, words_per_minute, 0)
        content = text.encode("utf-8")
        status = library.espeak_Synth(content, len(content) + 1, 0, 0, 0, _CHARS_UTF8, None, None)
        library.espeak_Synchronize()
    finally:
        library.espeak_Terminate()
    if status != 0 or not any(chunk.any() for chunk in chunks):
        raise MediaError(f"espeak-ng made no sound of {text!r} (status {status})")
    samples = np.concatenate(chunks).astype(np.float32) / 32768.0
    return Utterance(samples, _phonemes(marks, samples), tuple(words))


def _phonemes(marks: list[tuple[int, str]], samples: np.ndarray) -> tuple[Phoneme, ...]:
    """Each phoneme lasts until the next begins.

    espeak-ng announces a stop at its release; the silence before it, when the mouth is shut, is made its first part.
    """
    starts = [start for start, _ in marks]
    for index in range(1, len(marks)):
        if marks[index][1].strip(_STRESS)[:1] in _STOPS:
            earliest = max((starts[index - 1] + marks[index][0]) // 2, marks[index][0] - RATE // 10)
            starts[index] = _silence_before(samples, marks[index][0], earliest)
    return tuple(
        Phoneme(start, end, ipa.strip(_STRESS))
        for start, end, (_, ipa) in zip(starts, [*starts[1:], len(samples)], marks, strict=True)
        if end > start
    )


def _silence_before(samples: np.ndarray, end: int, earliest: int) -> int:
    """Where the silence that lasts until about `end` begins, not before `earliest`; `end` where there is none."""
    loud = np.flatnonzero(np.abs(samples[earliest : max(end - RATE // 200, earliest)]) > _SILENT)
    start = earliest + int(loud[-1]) + 1 if len(loud) else earliest
    return start if end - start > RATE // 100 else end


@cache
def _files() -> tuple[str, str]:
    try:
        import espeakng_loader
    except ModuleNotFoundError as error:
        raise MissingDependency(f"Talkers needs espeak-ng: {_INSTALL}") from error
    return str(espeakng_loader.get_library_path()), str(espeakng_loader.get_data_path())


def _load(path: str) -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(path)
    except OSError as error:
        raise MissingDependency(f"espeak-ng at {path} does not load ({error}); install it again: {_INSTALL}") from error
    library.espeak_Initialize.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_int]
    library.espeak_SetSynthCallback.argtypes = [_Callback]
    library.espeak_SetSynthCallback.restype = None
    library.espeak_SetVoiceByFile.argtypes = [ctypes.c_char_p]
    library.espeak_SetParameter.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int]
    library.espeak_ng_SetRandSeed.argtypes = [ctypes.c_long]
    library.espeak_Synth.argtypes = [
        *(ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int),
        *(ctypes.c_uint, ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p),
    ]
    return library


def _unload(library: ctypes.CDLL) -> None:
    close = _ctypes.FreeLibrary if sys.platform == "win32" else _ctypes.dlclose
    close(library._handle)
