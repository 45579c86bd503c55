"""Lips in step with the sound: phonemes to mouth shapes at 25 frames a second.

Each phoneme pulls the mouth towards the shape of its viseme; shapes flow into each other, as in speech they do, but
closed lips (p, b, m) and the lip under the teeth (f, v) are reached in full, at the frame of the middle of the hold.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np

from benchmark.datasets.talkers.face_view import Mouth, View, views
from benchmark.datasets.talkers.identity import Person
from benchmark.datasets.talkers.voice import FRAME, RATE, Phone, Speech
from benchmark.errors import MediaError
from benchmark.types import derive_seed

FPS = RATE / FRAME
REST = Mouth()
BILABIAL = Mouth(open=0.0, spread=0.0)
LABIODENTAL = Mouth(open=0.12, spread=0.1, teeth=1.0)
_CONSONANTS = {
    "pbm": BILABIAL,
    "fv": LABIODENTAL,
    "θð": Mouth(0.25, 0.1, 0.6, 1.0),
    "tdnszɾʔ": Mouth(0.22, 0.25, 0.8, 0.3),
    "l": Mouth(0.35, 0.1, 0.5, 0.7),
    "ʃʒ": Mouth(0.30, -0.5, 0.8, 0.1),
    "ɹr": Mouth(0.28, -0.4, 0.3, 0.2),
    "w": Mouth(0.15, -1.0, 0.0, 0.0),
    "j": Mouth(0.25, 0.6, 0.5, 0.2),
    "kɡgŋx": Mouth(0.32, 0.1, 0.4, 0.0),
}
_VOWELS = {
    "i": Mouth(0.30, 0.95, 0.6, 0.1),
    "ɪ": Mouth(0.36, 0.60, 0.5, 0.1),
    "e": Mouth(0.50, 0.60, 0.5, 0.1),
    "ɛ": Mouth(0.58, 0.40, 0.5, 0.1),
    "æ": Mouth(0.78, 0.40, 0.5, 0.1),
    "a": Mouth(0.90, 0.15, 0.4, 0.0),
    "ɑ": Mouth(0.92, -0.05, 0.3, 0.0),
    "ʌɐ": Mouth(0.60, 0.05, 0.4, 0.0),
    "ə": Mouth(0.42, 0.05, 0.4, 0.0),
    "ɜɚ": Mouth(0.45, -0.25, 0.3, 0.0),
    "ɔɒ": Mouth(0.65, -0.60, 0.2, 0.0),
    "o": Mouth(0.55, -0.70, 0.1, 0.0),
    "ʊ": Mouth(0.32, -0.75, 0.1, 0.0),
    "u": Mouth(0.22, -0.95, 0.0, 0.0),
}
_SHAPES = {letter: mouth for table in (_CONSONANTS, _VOWELS) for letters, mouth in table.items() for letter in letters}
_IGNORED = "ːhɦˈˌ"
"""Length marks, and breath, which takes the shape of what follows."""
_HOLDS = {"p": 0.55, "b": 0.55, "m": 0.9, "f": 0.9, "v": 0.9}
"""Share of the phoneme after which the lips part."""
_STEPS = 8
"""Steps of the trajectory within a frame."""
_BLEND_S = 0.018
"""Standard deviation of the smoothing of a trajectory."""
_GLIDE_S = 0.05
"""How long the way from the edge of a phoneme to its shape is, at most."""
_CLOSING_S = 0.05
"""How long before and after a closure the lips are on their way."""


def visemes(ipa: str) -> tuple[Mouth, ...]:
    """The mouth shapes of a phoneme, in order: two for a diphthong, none for breath, rest for a pause.

    Raises:
        MediaError: a letter that has no shape.
    """
    if not ipa:
        return (REST,)
    shapes: list[Mouth] = []
    for letter in ipa:
        if letter in _SHAPES:
            shapes.append(_SHAPES[letter])
        elif letter not in _IGNORED:
            raise MediaError(f"No mouth shape is known for '{letter}' of the phoneme '{ipa}'")
    return tuple(shapes)


def hold(phone: Phone) -> tuple[float, float]:
    """From when to when the lips of a p, b, m, f or v are held: all of it, but stops part with their release."""
    share = _HOLDS[phone.ipa[0]]
    length_s = phone.end_s - phone.start_s
    return phone.start_s + 0.1 * length_s, phone.start_s + share * length_s


def mouth_track(speech: Speech) -> list[Mouth]:
    """One mouth shape for each frame of 40 ms; frame `i` shows the time (i + 0.5) / 25 s."""
    count = len(speech.audio.samples) // FRAME
    times, shapes = _keys(speech.phonemes)
    grid = (np.arange(count * _STEPS) + 0.5) / (_STEPS * FPS)
    track = np.stack([np.interp(grid, times, shapes[:, part]) for part in range(4)], axis=1)
    track = _smooth(track, _BLEND_S * _STEPS * FPS)
    for phone in speech.phonemes:
        if phone.ipa[:1] in _HOLDS and visemes(phone.ipa)[0] is BILABIAL:
            start_s, end_s = hold(phone)
            away = np.maximum(start_s - grid, grid - end_s) / _CLOSING_S
            track[:, 0] *= np.clip(away, 0, 1)
    frames = track.reshape(count, _STEPS, 4)[:, _STEPS // 2 - 1 : _STEPS // 2 + 1].mean(axis=1)
    for phone in speech.phonemes:
        if phone.ipa[:1] in _HOLDS:
            frame = min(int(sum(hold(phone)) / 2 * FPS), count - 1)
            shape = visemes(phone.ipa)[0]
            frames[frame] = _row(replace(shape, spread=frames[frame, 1]) if shape is BILABIAL else shape)
    low, high = np.array([0, -1, 0, 0]), np.ones(4)
    return [Mouth(*(round(float(value), 4) for value in row)) for row in np.clip(frames, low, high)]


def filmed(person: Person, speech: Speech, size: int = 112) -> np.ndarray:
    """A person saying an utterance: `[T, size, size, 3]` uint8 RGB at 25 fps, as long as the sound.

    The head sways by about a hundredth of the width and a degree, and blinks every few seconds.
    """
    from benchmark.datasets.talkers.face import Talking

    random = np.random.default_rng(derive_seed("talkers film", person.id, speech.sentence.code))
    talking = Talking(person, _calm(person, speech), size)
    mouths = mouth_track(speech)
    time_s = np.arange(len(mouths)) / FPS
    sway = [_sway(time_s, random) for _ in range(3)]
    blinks = _blinks(len(mouths), random)
    return np.stack(
        [
            talking.frame(mouth, blink=float(blink), shift=(float(0.008 * x), float(0.006 * y)), tilt=float(0.8 * turn))
            for mouth, blink, x, y, turn in zip(mouths, blinks, *sway, strict=True)
        ]
    )


def _calm(person: Person, speech: Speech) -> View:
    """The view of one recording: like those of the portraits, but with a sober face and closed lips."""
    number = derive_seed("talkers view of", speech.sentence.code) % 16
    view = views(person, 20)[4 + number]
    return replace(view, mouth=REST, blink=0.0, smile=0.15 * view.smile, brow_raise=0.3 * view.brow_raise)


def _keys(phones: tuple[Phone, ...]) -> tuple[np.ndarray, np.ndarray]:
    """When which shape is reached and left: a long phoneme holds its shape, a short one only passes through it."""
    times, shapes = [max(phones[0].start_s - _GLIDE_S, 0.0)], [REST]
    for phone in phones:
        found = visemes(phone.ipa)
        glide_s = min(_GLIDE_S, (phone.end_s - phone.start_s) / 2)
        first, last = phone.start_s + glide_s, phone.end_s - glide_s
        if len(found) == 1:
            times += [first, last]
            shapes += [*found, *found]
        else:
            times += np.linspace(first, last, len(found)).tolist()
            shapes += found
    times.append(phones[-1].end_s + _GLIDE_S)
    shapes.append(REST)
    return np.array(times), np.array([_row(shape) for shape in shapes])


def _row(mouth: Mouth) -> tuple[float, float, float, float]:
    return mouth.open, mouth.spread, mouth.teeth, mouth.tongue


def _smooth(track: np.ndarray, sigma: float) -> np.ndarray:
    """Blur along time, `[T, 4]`, with the ends held."""
    kernel = _bell(sigma)
    half = len(kernel) // 2
    held = np.pad(track, ((half, half), (0, 0)), mode="edge")
    return np.stack([np.convolve(held[:, part], kernel, mode="valid") for part in range(track.shape[1])], axis=1)


@cache
def _bell(sigma: float) -> np.ndarray:
    half = int(np.ceil(3 * sigma))
    weights = np.exp(-0.5 * (np.arange(-half, half + 1) / sigma) ** 2)
    return weights / weights.sum()


def _sway(time_s: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A slow movement, between about -1 and 1."""
    hz, phase = random.uniform(0.2, 0.9, 2), random.uniform(0, 2 * np.pi, 2)
    return 0.6 * np.sin(2 * np.pi * hz[0] * time_s + phase[0]) + 0.4 * np.sin(2 * np.pi * hz[1] * time_s + phase[1])


def _blinks(count: int, random: np.random.Generator) -> np.ndarray:
    """How far the eyes are shut in each frame, 0 to 1; a blink takes 5 frames, one comes in 3 s on average."""
    shut = np.zeros(count)
    frame = int(random.exponential(2.0) * FPS)
    while frame < count:
        shape = np.array([0.5, 1.0, 1.0, 0.6, 0.25])[: count - frame]
        shut[frame : frame + len(shape)] = shape
        frame += 8 + int(random.exponential(3.0) * FPS)
    return shut
