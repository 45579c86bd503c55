"""What dlib's network sees of a face: how far its descriptor moves when one thing about a Talkers person changes.

python tests/benchmarks/bench_face_traits.py

Everybody is drawn from the front, once as they are and once with one group of traits another person's. The distance of
the two descriptors is given in parts of the mean distance of two different people: 0 where the network does not see the
change, 1 where it takes the drawing for somebody else.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from benchmark.datasets.talkers.face import portrait, views
from benchmark.datasets.talkers.identity import Person, person
from metrics.networks import dlib_faces

FIRST = 800_000
"""People of no split and no population."""
GROUPS = {
    "eyes": ("eye_size", "eye_spacing", "eye_colour"),
    "brows": ("brow_height", "brow_thickness"),
    "nose": ("nose_length", "nose_width"),
    "mouth": ("mouth_width", "lip_fullness"),
    "jaw and chin": ("jaw_width", "chin"),
    "length and width of the head": ("face_length", "head_width"),
    "skin": ("skin_tone", "skin_warmth"),
    "hair and beard": ("hair_melanin", "hair_redness", "hair_length", "hairline", "beard"),
}
Embed = Callable[[Sequence[np.ndarray]], np.ndarray]
"""Pictures to unit vectors `[N, D]`."""


def exchanged(one: Person, other: Person, traits: tuple[str, ...]) -> Person:
    """`one` with these traits of `other`."""
    return replace(one, face=replace(one.face, **{name: getattr(other.face, name) for name in traits}))


def moves(embed: Embed, count: int, size: int) -> dict[str, float]:
    """By group of traits, mean distance moved over mean distance of two people of one sex."""
    crowd = [person(FIRST + number) for number in range(count)]
    # Two numbers on is the next person of the same sex.
    others = [person(FIRST + number + 2) for number in range(count)]

    def described(persons: Sequence[Person]) -> np.ndarray:
        return embed([portrait(one, views(crowd[0], 1)[0], size).image for one in persons])

    before = described(crowd)
    apart = np.linalg.norm(described(others) - before, axis=1).mean()
    return {
        name: float(
            np.linalg.norm(
                described([exchanged(a, b, traits) for a, b in zip(crowd, others, strict=True)]) - before, axis=1
            ).mean()
            / apart
        )
        for name, traits in GROUPS.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=60)
    parser.add_argument("--size", type=int, default=64, help="pixels of a portrait")
    chosen = parser.parse_args()
    judge = dlib_faces.load()
    for name, part in moves(lambda pictures: judge.embed(pictures).vectors, chosen.people, chosen.size).items():
        print(f"{name:30} {part:.2f}")


if __name__ == "__main__":
    main()
