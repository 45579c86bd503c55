"""The voices of the talkers: traits to sound.

    trait          what it does to the sound
    sex, age       fundamental frequency and resonances; a voice grows slower, rougher and more tremulous with age
    tract_length   all resonances together, 5 % a standard deviation (longer: lower)
    pitch          fundamental frequency, 12 % a standard deviation
    tilt           3 dB between 1 and 4 kHz a standard deviation (positive: darker)
    rate           speaking rate, 12 % a standard deviation
    pitch_range    width of the melody, at an unchanged median
    breathiness    aspiration noise that follows the loudness of the voice, 4 dB a standard deviation

Resonances are moved by playing espeak-ng's one male tract faster or slower by a factor k; it is asked for a melody and
a rate divided by k, so that both come out as wanted.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmark.datasets.talkers import espeak
from benchmark.datasets.talkers.identity import Person
from benchmark.datasets.talkers.sentences import Sentence
from benchmark.errors import MissingDependency
from benchmark.types import Audio, derive_seed

RATE = 16_000
LEVEL = 0.06
"""Root mean square of an utterance without its silences, give or take 1 dB."""
PEAK = 0.98
FRAME = RATE // 25
"""Samples of a video frame: an utterance is a whole number of them, with 50 to 100 ms of silence at either end."""
MEDIAN_HZ = {"f": 210.0, "m": 120.0}
"""Median fundamental frequency of a young adult."""
RESONANCES = {"f": 1.17, "m": 1.0}
"""Resonances relative to espeak-ng's own voice, which is a man's."""
_WORDS_PER_MINUTE = 160.0
_FLOOR_DB = -72.0


@dataclass(frozen=True)
class Phone:
    """One phoneme of an utterance."""

    start_s: float
    end_s: float
    ipa: str
    """IPA letters; empty for a pause."""


@dataclass(frozen=True)
class SpokenWord:
    """One word of an utterance."""

    start_s: float
    end_s: float
    text: str


@dataclass(frozen=True)
class Speech:
    """One utterance and the truth about it."""

    audio: Audio
    """16 kHz, float32, `PEAK` at most."""
    phonemes: tuple[Phone, ...]
    """Without gaps, from the first sound to the last; silences at the ends are not listed."""
    words: tuple[SpokenWord, ...]
    f0_hz: float
    """Median fundamental frequency of its voiced parts."""
    sentence: Sentence

    @property
    def durations(self) -> tuple[float, ...]:
        """Seconds of each phoneme."""
        return tuple(phone.end_s - phone.start_s for phone in self.phonemes)


def resonance_factor(person: Person) -> float:
    """Resonances relative to espeak-ng's own; above 1 is a shorter vocal tract."""
    return RESONANCES[person.sex] * math.exp(-0.05 * person.voice.tract_length)


def median_hz(person: Person) -> float:
    """Fundamental frequency that sex, age and `pitch` give; women's falls with age, old men's rises a little."""
    ageing = {"f": -0.10 * max(0.0, person.age - 30) / 50, "m": 0.08 * max(0.0, person.age - 60) / 20}
    return MEDIAN_HZ[person.sex] * math.exp(0.12 * person.voice.pitch + ageing[person.sex])


def words_per_minute(person: Person) -> float:
    """Speaking rate; old talkers are up to 12 % slower."""
    return _WORDS_PER_MINUTE * math.exp(0.12 * person.voice.rate - 0.12 * frailty(person))


def frailty(person: Person) -> float:
    """How much age is heard: 0 up to 25 years, 1 from 80 on."""
    return float(np.clip((person.age - 25) / 55, 0, 1))


def speak(person: Person, sentence: Sentence, take: int = 0) -> Speech:
    """Let a person say a sentence; depends on the arguments alone.

    Takes differ as a person's utterances do: 2 % in pitch, 3 % in rate, 1 dB in level.

    Raises:
        MissingDependency: espeak-ng or soxr is not installed.
    """
    random = np.random.default_rng(derive_seed("talkers voice", person.id, sentence.code, take))
    k = resonance_factor(person)
    f0_hz = median_hz(person) * math.exp(0.02 * random.standard_normal())
    pace = words_per_minute(person) * math.exp(0.03 * random.standard_normal())
    gain_db, lead_s = random.uniform(-1, 1), random.uniform(0.05, 0.10)
    frail = frailty(person)
    low, high = melody(f0_hz / k, person.voice.pitch_range)
    speaker = espeak.Speaker(
        low,
        high,
        int(np.clip(round(pace / k), 80, 450)),
        flutter=round(2 + 8 * frail),
        roughness=round(2 + 4 * frail),
    )
    said = espeak.synthesise(sentence.spoken, speaker)

    first, last = _sounding(said)
    clock = espeak.RATE * k  # samples a second once played k times faster
    lead = round(lead_s * RATE)
    voice = _resample(said.samples[first:last], clock)
    voice = _tremor(voice, frail, random)
    voice = _breathe(voice, person.voice.breathiness + frail, random)
    voice = _tilt(voice, person.voice.tilt)
    voice = voice * (LEVEL * 10 ** (gain_db / 20) / math.sqrt(float(np.mean(voice**2))))
    tail = round(0.05 * RATE)
    tail += -(lead + len(voice) + tail) % FRAME
    samples = np.pad(voice, (lead, tail))
    samples += 10 ** (_FLOOR_DB / 20) * random.standard_normal(len(samples))
    samples *= min(1.0, PEAK / float(np.abs(samples).max()))

    def seconds(sample: int) -> float:
        return lead / RATE + (min(max(sample, first), last) - first) / clock

    phones = tuple(
        Phone(seconds(start), seconds(end), ipa) for start, end, ipa in said.phonemes if start < last and end > first
    )
    starts = [seconds(word.start) for word in said.words]
    words = tuple(
        SpokenWord(start, end, text)
        for start, end, text in zip(starts, [*starts[1:], seconds(last)], sentence.words, strict=True)
    )
    return Speech(Audio(samples.astype(np.float32), RATE), phones, words, f0_hz, sentence)


def melody(f0_hz: float, pitch_range: float) -> tuple[int, int]:
    """Bottom and top of espeak-ng's melody for a wanted median.

    Measured on sentences of the grammar, with bottoms from 70 to 200 Hz and tops 1.15 to 1.6 times as high, the median
    of the voiced frames is 0.163 bottom + 0.837 top - 9 Hz, to within 0.1 %.
    """
    ratio = math.exp(float(np.clip(0.28 + 0.06 * pitch_range, 0.08, 0.5)))
    low = round((f0_hz + 9) / (0.163 + 0.837 * ratio))
    return low, max(low + 1, round((f0_hz + 9 - 0.163 * low) / 0.837))


def _sounding(said: espeak.Utterance) -> tuple[int, int]:
    """First and last sample of the sound between espeak-ng's own pauses."""
    loud = np.flatnonzero(np.abs(said.samples) > 1e-3)
    return int(loud[0]), int(loud[-1]) + 1


def _resample(samples: np.ndarray, rate: float) -> np.ndarray:
    try:
        import soxr
    except ModuleNotFoundError as error:
        raise MissingDependency("Talkers needs the package soxr: pip install soxr") from error
    return soxr.resample(samples.astype(np.float64), rate, RATE, quality="HQ")


def _tremor(voice: np.ndarray, frail: float, random: np.random.Generator) -> np.ndarray:
    """A slow swell at about 5 Hz, up to a quarter of the amplitude."""
    hz, phase = random.uniform(4, 6), random.uniform(0, 2 * np.pi)
    time_s = np.arange(len(voice)) / RATE
    return voice * (1 + 0.25 * frail * np.sin(2 * np.pi * hz * time_s + phase))


def _breathe(voice: np.ndarray, breathiness: float, random: np.random.Generator) -> np.ndarray:
    """Add noise between 1 and 7 kHz that follows the envelope, -30 dB below the voice at 0."""
    level = 10 ** (float(np.clip(-30 + 4 * breathiness, -44, -16)) / 20)
    noise = _equalise(random.standard_normal(len(voice)), lambda hz: ((hz > 1000) & (hz < 7000)).astype(float))
    power = _equalise(voice**2, lambda hz: np.exp(-0.5 * (hz / 40) ** 2))
    return voice + level * np.sqrt(np.maximum(power, 0)) * noise / noise.std()


def _tilt(voice: np.ndarray, tilt: float) -> np.ndarray:
    """Turn the spectrum about 1 kHz: -3 dB from 4 kHz on for each standard deviation, and 1.5 dB up below 500 Hz."""
    slope_db = -3.0 * float(np.clip(tilt, -3.5, 3.5))
    return _equalise(voice, lambda hz: 10 ** (slope_db * np.clip(np.log2(np.maximum(hz, 1) / 1000) / 2, -0.5, 1) / 20))


def _equalise(samples: np.ndarray, gain: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Multiply the spectrum by `gain(hz)`, without delay; padded so that ends do not meet."""
    size = 1 << (len(samples) + 1024).bit_length()
    spectrum = np.fft.rfft(samples, size) * gain(np.fft.rfftfreq(size, 1 / RATE))
    return np.fft.irfft(spectrum, size)[: len(samples)]
