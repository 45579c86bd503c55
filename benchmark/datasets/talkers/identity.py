"""Who the talkers are: traits drawn once per person, which drive both the voice and the face.

The link between the two is partial and known. A person has latent traits; some show only in the face (skin, hair, eyes),
some only in the voice (pitch range), and some in both:

    latent           voice                         face                         correlation
    sex              pitch, vocal-tract length     shape, brow, beard, hair     1
    age              pitch, rate, roughness        skin folds, grey hair        1
    tract length     resonances                    face length                  LINK
    residual pitch   pitch                         jaw width (lower: wider)     -LINK
    spectral tilt    brightness of the source      head width                   LINK
    speaking rate    rate                          mouth width                  LINK

`voice.x` and `face.y` of a linked pair are standard normal with correlation LINK, so the best possible guess of a linked
face trait is LINK times the voice trait, and its squared error is 1 - LINK**2.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

REVISION = "1"
LINK = 0.85
"""Correlation of linked traits of voice and face."""
SPLITS = {"train": 400, "val": 50, "test": 100}
"""Identities in each split; disjoint, because each split has its own range of numbers."""
_FIRST = {"train": 0, "val": 10_000, "test": 20_000}


@dataclass(frozen=True)
class VoiceTraits:
    """What is heard. Standard normal unless a unit is given."""

    tract_length: float
    """Vocal-tract length beyond what sex explains."""
    pitch: float
    """Fundamental frequency beyond what sex and age explain."""
    tilt: float
    """Spectral tilt: positive is darker."""
    rate: float
    """Speaking rate."""
    pitch_range: float
    """Liveliness of the melody; not linked to the face."""
    breathiness: float
    """Aspiration noise; not linked to the face."""


@dataclass(frozen=True)
class FaceTraits:
    """What is seen. Standard normal unless a range is given."""

    face_length: float
    jaw_width: float
    head_width: float
    mouth_width: float
    brow_height: float
    brow_thickness: float
    eye_size: float
    eye_spacing: float
    nose_length: float
    nose_width: float
    lip_fullness: float
    chin: float
    skin_tone: float
    """0 light to 1 dark, uniform."""
    skin_warmth: float
    hair_melanin: float
    """0 light to 1 black, before greying."""
    hair_redness: float
    """0 to 1."""
    hair_length: float
    """0 to 1 within what is usual for the sex."""
    hairline: float
    """0 low to 1 high; rises with age in men."""
    beard: float
    """0 none to 1 full; 0 for women."""
    eye_colour: float
    """0 blue, 0.5 green, 1 brown."""


@dataclass(frozen=True)
class Person:
    """One talker."""

    id: str
    sex: str
    """"f" or "m"."""
    age: float
    """Years, 18 to 80."""
    voice: VoiceTraits
    face: FaceTraits

    def attributes(self) -> dict[str, object]:
        """What the manifest records, rounded so that its text is the same on every machine."""
        return {
            "sex": self.sex,
            "age": round(self.age, 1),
            "voice": {name: round(value, 4) for name, value in asdict(self.voice).items()},
            "face": {name: round(value, 4) for name, value in asdict(self.face).items()},
        }


def people(split: str) -> list[Person]:
    """The persons of a split, in order of id."""
    return [person(_FIRST[split] + number) for number in range(SPLITS[split])]


def person(number: int) -> Person:
    """Draw one person; depends on the number alone."""
    random = np.random.default_rng([int(REVISION), number])
    sex = "fm"[number % 2]  # half and half in every split
    age = float(18 + 62 * random.beta(1.3, 1.9))
    tract_length, pitch, tilt, rate, pitch_range, breathiness = random.standard_normal(6).tolist()
    voice = VoiceTraits(tract_length, pitch, tilt, rate, pitch_range, breathiness)
    shape = random.standard_normal(14)
    tone = random.uniform(size=7)
    face = FaceTraits(
        face_length=_linked(tract_length, shape[0]),
        jaw_width=_linked(-pitch, shape[1]),
        head_width=_linked(tilt, shape[2]),
        mouth_width=_linked(rate, shape[3]),
        brow_height=float(shape[4]),
        brow_thickness=float(shape[5]),
        eye_size=float(shape[6]),
        eye_spacing=float(shape[7]),
        nose_length=float(shape[8]),
        nose_width=float(shape[9]),
        lip_fullness=float(shape[10]),
        chin=float(shape[11]),
        skin_warmth=float(shape[12]),
        skin_tone=float(tone[0]),
        hair_melanin=float(tone[1]),
        hair_redness=float(tone[2] ** 4),
        hair_length=float(tone[3]),
        hairline=float(np.clip(0.5 * tone[4] + (0.6 * tone[4] * (age - 25) / 55 if sex == "m" else 0), 0, 1)),
        beard=float(np.clip(2.2 * tone[5] - 1.2, 0, 1)) if sex == "m" else 0.0,
        eye_colour=float(tone[6]),
    )
    return Person(f"talker_{number:05d}", sex, age, voice, face)


def _linked(cause: float, noise: float) -> float:
    return float(LINK * cause + np.sqrt(1 - LINK**2) * noise)
