"""Speech from espeak-ng, called in this process: samples and the time of every phoneme.

The library comes in the wheel `espeakng_loader`, with its voices. It keeps state between utterances (the phase of its
oscillators, its random numbers, the pitch of the last clause), so it is started afresh for each one: what comes out
depends on the arguments alone, not on what was said before.
"""

from __future__ import annotations

import ctypes
import threading
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np

from benchmark.errors import MediaError, MissingDependency

RATE = 22_050
"""Samples per second of everything that espeak-ng returns."""
VOICE = "en-us"
_SYNCHRONOUS, _CHUNK_MS = 2, 0
_PHONEME_EVENTS, _IPA, _DONT_EXIT = 0x0001, 0x0002, 0x8000
_SPEED, _PITCH, _RANGE = 1, 3, 4
_EVENT_END_OF_LIST, _EVENT_WORD, _EVENT_PHONEME = 0, 1, 7
_CHARS_UTF8, _ENDPAUSE = 1, 0x1000
_INSTALL = "pip install espeakng_loader"


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


def synthesise(
    text: str, *, pitch: int = 50, words_per_minute: int = 175, pitch_range: int = 50, voice: str = VOICE, seed: int = 1
) -> Utterance:
    """Say `text`; equal arguments give equal samples, whatever was said before.

    Args:
        pitch: 0..99, espeak-ng's scale; `voice.py` maps hertz onto it.
        words_per_minute: 80..450.
        pitch_range: 0..99, from a drone to a lively melody.
        seed: of espeak-ng's random numbers (flutter of the voice), 0 to 2**31 - 1.

    Raises:
        MissingDependency: the library is absent or does not load.
        MediaError: espeak-ng refused the text or the voice.
        ValueError: a number out of range.
    """
    for name, value, low, high in (
        ("pitch", pitch, 0, 99),
        ("words_per_minute", words_per_minute, 80, 450),
        ("pitch_range", pitch_range, 0, 99),
    ):
        if not low <= value <= high:
            raise ValueError(f"Expected {name} from {low} to {high} but got {value}")
    with _lock:
        return _synthesise(text, pitch, words_per_minute, pitch_range, voice, seed)


def _synthesise(text: str, pitch: int, words_per_minute: int, pitch_range: int, voice: str, seed: int) -> Utterance:
    library, data = _library()
    chunks: list[np.ndarray] = []
    marks: list[tuple[int, str]] = []
    words: list[Word] = []

    def collect(wave, count, events) -> int:  # type: ignore[no-untyped-def]
        if wave and count > 0:
            chunks.append(np.ctypeslib.as_array(wave, (count,)).copy())
        index = 0
        while events[index].type != _EVENT_END_OF_LIST:
            event = events[index]
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
        library.espeak_ng_SetRandSeed(seed)
        library.espeak_SetSynthCallback(callback)
        if library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise MediaError(f"espeak-ng has no voice '{voice}'")
        for parameter, value in ((_SPEED, words_per_minute), (_PITCH, pitch), (_RANGE, pitch_range)):
            library.espeak_SetParameter(parameter, value, 0)
        content = text.encode("utf-8")
        status = library.espeak_Synth(content, len(content) + 1, 0, 0, 0, _CHARS_UTF8, None, None)
        library.espeak_Synchronize()
    finally:
        library.espeak_Terminate()
    if status != 0 or not chunks:
        raise MediaError(f"espeak-ng made no sound of {text!r} (status {status})")
    samples = np.concatenate(chunks).astype(np.float32) / 32768.0
    return Utterance(samples, _phonemes(marks, len(samples)), tuple(words))


def _phonemes(marks: list[tuple[int, str]], length: int) -> tuple[Phoneme, ...]:
    """Each phoneme lasts until the next begins."""
    ends = [start for start, _ in marks[1:]] + [length]
    return tuple(
        Phoneme(start, end, ipa.strip("\u02c8\u02cc_ ")) for (start, ipa), end in zip(marks, ends, strict=True) if end > start
    )


@cache
def _library() -> tuple[ctypes.CDLL, str]:
    try:
        import espeakng_loader
    except ModuleNotFoundError as error:
        raise MissingDependency(f"Talkers needs espeak-ng: {_INSTALL}") from error
    path, data = espeakng_loader.get_library_path(), espeakng_loader.get_data_path()
    try:
        library = ctypes.CDLL(path)
    except OSError as error:
        raise MissingDependency(f"espeak-ng at {path} does not load ({error}); install it again: {_INSTALL}") from error
    library.espeak_Initialize.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_int]
    library.espeak_SetSynthCallback.argtypes = [_Callback]
    library.espeak_SetSynthCallback.restype = None
    library.espeak_SetVoiceByName.argtypes = [ctypes.c_char_p]
    library.espeak_SetParameter.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int]
    library.espeak_ng_SetRandSeed.argtypes = [ctypes.c_long]
    library.espeak_Synth.argtypes = [
        ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int,
        ctypes.c_uint, ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p,
    ]  # fmt: skip
    return library, data
