"""The circumstances of one picture of a talker: pose, light, expression, mouth."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from benchmark.datasets.talkers.identity import Person
from benchmark.types import derive_seed

YAW = 8.0
"""Largest turn of the head in `views`, degrees; positive turns the nose to the right of the picture."""
PITCH = 5.0
"""Largest nod in `views`, degrees; positive looks down."""
ROLL = 4.0
"""Largest tilt in `views`, degrees; positive is clockwise in the picture."""


@dataclass(frozen=True)
class Mouth:
    """What the lips, teeth and tongue do."""

    open: float = 0.0
    """0 closed to 1 as wide as in speech it gets."""
    spread: float = 0.0
    """-1 rounded and pushed forward to 1 spread."""
    teeth: float = 0.0
    """0 hidden to 1 upper teeth in full sight, where the lips leave room."""
    tongue: float = 0.0
    """0 down to 1 seen between the teeth."""


@dataclass(frozen=True)
class View:
    """One picture's circumstances. The default is a neutral face in a soft frontal light."""

    yaw: float = 0.0
    """Degrees; made for -10 to 10, as are pitch and roll. Positive turns the nose to the right of the picture."""
    pitch: float = 0.0
    """Degrees; positive looks down."""
    roll: float = 0.0
    """Degrees; positive is clockwise in the picture."""
    light_azimuth: float = -20.0
    """Degrees; where the key light stands, positive on the right of the picture. `views` draws -50 to 50."""
    light_elevation: float = 35.0
    """Degrees above the eyes. `views` draws 15 to 50."""
    light_strength: float = 1.0
    """Of the key light. `views` draws 0.8 to 1.15."""
    ambient: float = 0.5
    """Of the light from all round. `views` draws 0.42 to 0.62."""
    smile: float = 0.0
    """-0.3 sad to 1 broad."""
    brow_raise: float = 0.0
    """-0.5 frown to 1 raised."""
    blink: float = 0.0
    """0 open to 1 closed eyes."""
    mouth: Mouth = field(default_factory=Mouth)
    clothes: int = 0
    """Seed of the clothes, which differ from picture to picture and so say nothing of the person."""


def views(person: Person, count: int) -> list[View]:
    """Draw the views of a person's pictures; view `i` depends on the person's id and `i` alone.

    The first is the most neutral: frontal, soft light, lips closed.
    """
    return [_view(person, index) for index in range(count)]


def _view(person: Person, index: int) -> View:
    random = np.random.default_rng(derive_seed("talkers view", person.id, index))
    calm = 0.25 if index == 0 else 1.0

    def within(limit: float) -> float:
        return float(np.clip(random.standard_normal() * limit / 2, -limit, limit)) * calm

    view = View(
        yaw=within(YAW),
        pitch=within(PITCH),
        roll=within(ROLL),
        light_azimuth=float(random.uniform(-50, 50)) * (0.5 if index == 0 else 1.0),
        light_elevation=float(random.uniform(15, 50)),
        light_strength=float(random.uniform(0.8, 1.15)),
        ambient=float(random.uniform(0.42, 0.62)),
        smile=float(random.uniform(-0.15, 0.8)) * calm,
        brow_raise=within(0.5),
        blink=float(random.uniform(0, 0.2)) * calm,
        clothes=int(random.integers(1 << 30)),
    )
    talks = random.uniform() < 0.4
    opened = Mouth(float(random.uniform(0.1, 0.6)), float(random.uniform(-0.5, 0.7)), float(random.uniform()), 0.2)
    return replace(view, mouth=opened) if talks and index else view
