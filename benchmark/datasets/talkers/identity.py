"""Who the talkers are: traits drawn once per person, which drive both the voice and the face.

The link between the two is partial and known. A person has latent traits; some show only in the face (skin, hair,
colour of the eyes), and some in both:

    latent           voice                         face                                        correlation
    sex              pitch, vocal-tract length     shape, brow, beard, hair                    1
    age              rate, roughness, tremor       skin folds, grey hair, hairline             1
    tract length     resonances                    face length, nose length, chin              LINK
    residual pitch   pitch                         jaw width, brow height and thickness        LINK
    spectral tilt    brightness of the source      head width, nose width                      LINK
    speaking rate    rate                          mouth width, fullness of the lips           LINK
    pitch range      melody                        size of the eyes                            LINK
    breathiness      aspiration noise              distance of the eyes                        LINK

`voice.x` and `face.y` of a linked pair are standard normal with correlation LINK (times the sign in `LINKED`), so the
best possible guess of a linked face trait is LINK times the voice trait, and its squared error is 1 - LINK**2.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

REVISION = "1"
LINK = 0.85
"""Correlation of linked traits of voice and face."""
LINKED = {
    "face_length": ("tract_length", 1),
    "nose_length": ("tract_length", 1),
    "chin": ("tract_length", 1),
    "jaw_width": ("pitch", -1),
    "brow_thickness": ("pitch", -1),
    "brow_height": ("pitch", 1),
    "head_width": ("tilt", 1),
    "nose_width": ("tilt", 1),
    "mouth_width": ("rate", 1),
    "lip_fullness": ("rate", 1),
    "eye_size": ("pitch_range", 1),
    "eye_spacing": ("breathiness", 1),
}
"""Trait of the face to the trait of the voice that it goes with, and the sign."""
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
    """Liveliness of the melody."""
    breathiness: float
    """Aspiration noise."""


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
    shape = random.standard_normal(len(LINKED) + 1)
    tone = random.uniform(size=7)
    face = FaceTraits(
        **{
            trait: LINK * sign * getattr(voice, source) + (1 - LINK**2) ** 0.5 * float(noise)
            for (trait, (source, sign)), noise in zip(LINKED.items(), shape, strict=False)
        },
        skin_warmth=float(shape[-1]),
        skin_tone=float(tone[0]),
        hair_melanin=float(tone[1]),
        hair_redness=float(tone[2] ** 4),
        hair_length=float(tone[3]),
        hairline=float(np.clip(0.5 * tone[4] + (0.6 * tone[4] * (age - 25) / 55 if sex == "m" else 0), 0, 1)),
        beard=float(np.clip(2.2 * tone[5] - 1.2, 0, 1)) if sex == "m" else 0.0,
        eye_colour=float(tone[6]),
    )
    return Person(f"talker_{number:05d}", sex, age, voice, face)
