"""Whether dlib's detector, by which faces are judged, finds everybody's face as easily.

    python tests/benchmarks/bench_detection_by_group.py          # true portraits of Talkers' test people, a minute

The true portraits of the test split are shown to the detector as they are, smaller, darker and with less contrast, as
weak generators may draw them; printed is in how many a face is found, by skin tone (0 is light, 1 dark), sex and age.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
from PIL import Image

from benchmark.datasets.dataset import Dataset
from benchmark.media import read_image
from benchmark.registry import datasets
from benchmark.results.attributes import grouped_by, known_of
from benchmark.results.statistics import Shape, with_intervals
from benchmark.weights.table import home
from metrics.networks import dlib_faces

GROUPS = ("skin_tone", "sex", "age:30,50")


def smaller(side: int) -> Callable[[np.ndarray], np.ndarray]:
    """Pictures of that side."""
    return lambda image: np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.LANCZOS))


def darker(factor: float) -> Callable[[np.ndarray], np.ndarray]:
    """Pictures with all values multiplied."""
    return lambda image: np.round(image * factor).astype(np.uint8)


def flatter(factor: float) -> Callable[[np.ndarray], np.ndarray]:
    """Pictures with differences from their mean multiplied."""
    return lambda image: np.clip(np.round(image.mean() + factor * (image - image.mean())), 0, 255).astype(np.uint8)


SHOWN: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "as they are": lambda image: image,
    "48 px": smaller(48),
    "32 px": smaller(32),
    "24 px": smaller(24),
    "a quarter as bright": darker(0.25),
    "a twelfth as bright": darker(1 / 12),
    "a quarter of the contrast": flatter(0.25),
    "an eighth of the contrast": flatter(0.125),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--portraits", type=int, default=3, help="of each person")
    asked = parser.parse_args()
    adapter: Dataset = datasets.load("talkers")(None, home())
    samples = list(adapter.open("test", "speech2face").samples)
    faces = dlib_faces.load()
    pictures = [[read_image(path) for path in sample.targets["face"][: asked.portraits]] for sample in samples]
    groupings = [grouped_by(text, known_of(samples), "talkers") for text in GROUPS]
    heads = [f"{grouping.name} {label}" for grouping in groupings for label in grouping.labels]
    print("| portraits | all | " + " | ".join(heads) + " |")
    print("|---|---:|" + "---:|" * len(heads))
    for name, change in SHOWN.items():
        found = np.array([np.mean(faces.detect([change(image) for image in own])) for own in pictures])
        parts = [np.ones(len(samples), bool)]
        for grouping in groupings:
            parts += [np.array([grouping.of[s.id] == label for s in samples]) for label in grouping.labels]
        print(f"| {name} | " + " | ".join(told(found[part]) for part in parts) + " |", flush=True)


def told(found: np.ndarray) -> str:
    """Per cent, with its interval over people."""
    one = with_intervals(
        len(found), lambda w: {"found": w @ found / w.sum(axis=1)}, {"found": Shape("share", (0.0, 1.0))}
    )["found"]
    return f"{100 * one.value:.1f} [{100 * one.low:.1f}, {100 * one.high:.1f}]"


if __name__ == "__main__":
    main()
