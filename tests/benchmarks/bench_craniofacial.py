"""What craniofacial measures are worth on Talkers, where the true landmarks are known, and how fast they are taken.

    python tests/benchmarks/bench_craniofacial.py                    # all of it, a few minutes
    python tests/benchmarks/bench_craniofacial.py --only speed errors
    python tests/benchmarks/bench_craniofacial.py --only recovery --people 250
    python tests/benchmarks/bench_craniofacial.py --only photographs --faces FOLDER

speed: landmarks found in a second of one core, where the first detector finds the face and where only the second does.
errors: measures of dlib's landmarks against those of the true ones, on portraits in the default pose and in others.
recovery: faces are drawn whose traits go together at a known correlation, and the metric says what it sees of it.
portraits: the people of the test split, one portrait at the size of a generated face against the others of the same
person (what no method can be better than), and against another person's.
photographs: a folder of people's folders of pictures (AT&T/ORL). How much of what differs between pictures differs
between people, with the pose removed and kept; and the mean face made anew from them, beside the one that is used.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from benchmark.datasets.talkers.face import Portrait, View, portrait, views
from benchmark.datasets.talkers.identity import Person, people, person
from benchmark.results.statistics import Estimate, with_intervals
from benchmark.runs.scoring import shapes, speaker_values
from metrics.faces.craniofacial import MEASURES, RANDOM_PAIRS, Craniofacial, measured, number_of
from metrics.faces.frontal_pose import MEAN_FACE, MIRROR, eye_distance, fitted_pose, turned_to_front
from metrics.metric import FaceItem, Identity
from metrics.networks import face_landmarks
from metrics.networks.dlib_faces import frame

FIRST = 800_000
"""People of no split and no population."""
TRUE_SIZE = 128
TRAITS = {
    "jaw_width": "jaw_width",
    "nose_height": "nose_length",
    "nose_width": "nose_width",
    "labio_oral_region": "mouth_width",
}
"""Measure to the trait of a person that moves it alone."""


def resized(image: np.ndarray, size: int) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR))


def speed(count: int) -> None:
    drawn = [portrait(person(FIRST + number), View(), TRUE_SIZE).image for number in range(count)]
    for size in (64, 128):
        pictures = [resized(image, size) for image in drawn]
        network = face_landmarks.load()
        network.find([np.zeros((size, size, 3), np.uint8)])  # reads both files
        start = time.process_time()
        network.find(pictures)
        print(f"{size} px: {count / (time.process_time() - start):6.1f} faces/s, found by the first detector")
    start = time.process_time()
    few = [network._by_cnn(frame(picture)) for picture in pictures[:5]]
    print(f"{len(few) / (time.process_time() - start):6.1f} pictures/s more where the second detector has to look")


def truly(drawn: Sequence[Portrait]) -> np.ndarray:
    return measured(turned_to_front(np.stack([one.landmarks for one in drawn])))


def errors(count: int) -> None:
    metric = Craniofacial(face_landmarks.load())
    crowd = [person(FIRST + number) for number in range(count)]
    print("| measure | mean | bias, s.d., r at 64 px | bias, s.d., r at 128 px | the same in other poses, 128 px |")
    print("|---|---:|---:|---:|---:|")
    cells: list[list[str]] = [[] for _ in MEASURES]
    for view, size in ((0, 64), (0, 128), (1, 128)):
        drawn = [portrait(one, views(one, view + 1)[view], TRUE_SIZE) for one in crowd]
        true, found = truly(drawn), metric.measures_of([resized(one.image, size) for one in drawn])
        known = np.isfinite(found).all(axis=1)
        true, found = true[known], found[known]
        for column, cell in enumerate(cells):
            x, y = true[:, column], found[:, column]
            r = np.corrcoef(x, y)[0, 1]
            cell += [f"{100 * x.mean():.0f}"] * (not cell)
            cell.append(f"{100 * (y - x).mean():+.1f}, {100 * (y - x).std(ddof=1):.1f}, {r:.2f}")
        print(f"view {view}, {size} px: a face found in {known.sum()} of {count}")
    for (title, _, _), cell in zip(MEASURES.values(), cells, strict=True):
        print(f"| {title} | {' | '.join(cell)} |")


def estimates(metric: Craniofacial, items: Sequence[FaceItem]) -> dict[str, Estimate]:
    rows = [row for row in metric.measure(items) if isinstance(row, dict)]
    run = np.arange(len(rows)), {key: np.array([row[key] for row in rows]) for key in rows[0]}
    return with_intervals(len(rows), speaker_values(metric, [run]), shapes(metric, [run], len(rows)))


def told(one: Estimate) -> str:
    return f"{one.value:.2f} [{one.low:.2f}, {one.high:.2f}]"


def recovery(count: int, r: float) -> None:
    random = np.random.default_rng(0)
    print(f"{count} people, one sex and age, all traits of generated and true faces at r = {r}")
    true, made = [], []
    for number in range(count):
        one = replace(person(FIRST + number), sex="f", age=30.0)
        traits = vars(one.face)
        moved = {name: traits[name] for name in TRAITS.values()}
        other = {name: r * value + (1 - r**2) ** 0.5 * float(random.normal()) for name, value in moved.items()}
        true.append(one)
        made.append(replace(person(2 * FIRST + number), id=one.id, sex="f", age=30.0))
        made[-1] = replace(made[-1], face=replace(made[-1].face, **other))
    whole = [[portrait(one, views(one, view + 1)[view], TRUE_SIZE) for one in true] for view in (0, 1)]
    drawn = [portrait(one, views(person(2 * FIRST + n), 1)[0], TRUE_SIZE) for n, one in enumerate(made)]
    ids = [f"{number:05}" for number in range(count)]
    print("| measure | r drawn | true landmarks | dlib, 128 px | dlib, 64 px | expected at 64 px |")
    print("|---|---:|---:|---:|---:|---:|")
    metric = Craniofacial(face_landmarks.load())
    metric.prepare([Identity(id, [a.image, b.image]) for id, a, b in zip(ids, *whole, strict=True)])
    by_size = {
        size: estimates(metric, [FaceItem(id, resized(one.image, size)) for id, one in zip(ids, drawn, strict=True)])
        for size in (128, 64)
    }
    made_true, true_true = truly(drawn), np.mean([truly(some) for some in whole], axis=0)
    made_seen = metric.measures_of([resized(one.image, 64) for one in drawn])
    true_seen = np.nanmean([metric.measures_of([one.image for one in some]) for some in whole], axis=0)
    for column, (name, (title, _, _)) in enumerate(MEASURES.items()):
        if name not in TRAITS:
            continue
        trait = TRAITS[name]
        put = np.corrcoef([vars(one.face)[trait] for one in made], [vars(one.face)[trait] for one in true])[0, 1]
        seen = np.corrcoef(made_true[:, column], true_true[:, column])[0, 1]
        known = np.isfinite(made_seen[:, column]) & np.isfinite(true_seen[:, column])
        kept = [
            np.corrcoef(a[known, column], b[known, column])[0, 1]
            for a, b in ((made_true, made_seen), (true_true, true_seen))
        ]
        cells = [told(by_size[size][number_of(name)]) for size in (128, 64)]
        print(f"| {title} | {put:.2f} | {seen:.2f} | {' | '.join(cells)} | {seen * kept[0] * kept[1]:.2f} |")


def portraits(count: int) -> None:
    crowd: list[Person] = people("test")[:count]
    metric = Craniofacial(face_landmarks.load())
    pictures = {one.id: [portrait(one, view, TRUE_SIZE).image for view in views(one, 4)] for one in crowd}
    metric.prepare([Identity(id, images[1:]) for id, images in pictures.items()])
    found = estimates(metric, [FaceItem(id, resized(images[0], 64)) for id, images in pictures.items()])
    print("| measure | first portrait at 64 px against the other three |")
    print("|---|---:|")
    for name, (title, _, _) in MEASURES.items():
        print(f"| {title} | {told(found[number_of(name)])} |")
    print(f"| nasal index, random pairs | {told(found[RANDOM_PAIRS])} |")


def photographs(folder: Path) -> None:
    files = sorted(path for path in folder.glob("*/*") if path.suffix in (".pgm", ".png", ".jpg"))
    images = [np.asarray(Image.open(file).convert("RGB")) for file in files]
    network = face_landmarks.load()
    found = network.find(images)
    known = np.isfinite(found.points).all(axis=(1, 2))
    print(f"a face found in {known.sum()} of {len(files)}, by the second detector in {found.second.sum()}")
    whose = np.array([file.parent.name for file in files])[known]
    print("| measure | pose removed | pose kept |")
    print("|---|---:|---:|")
    both = [Craniofacial(network, pose).measures_of(images)[known] for pose in ("removed", "kept")]
    for column, (title, _, _) in enumerate(MEASURES.values()):
        print(f"| {title} | {' | '.join(f'{reliability(one[:, column], whose):.2f}' for one in both)} |")
    face = made_anew(found.points[known].astype(np.float64))
    r = np.corrcoef(face[:, 2], MEAN_FACE[:, 2])[0, 1]
    off = np.abs(face - MEAN_FACE)[:, :2].max()
    print(f"mean face made anew: x and y within {off:.3f}, correlation of depths {r:.3f}")


def reliability(values: np.ndarray, whose: np.ndarray) -> float:
    """Variance between people over all variance (intraclass correlation, one-way)."""
    groups = [values[whose == one] for one in np.unique(whose)]
    within = np.mean([group.var(ddof=1) for group in groups])
    between = np.var([group.mean() for group in groups], ddof=1) - within / np.mean([len(group) for group in groups])
    return between / (between + within)


def made_anew(points: np.ndarray, rounds: int = 400) -> np.ndarray:
    """A symmetric mean face `[68, 3]` of landmarks `[N, 68, 2]`, as `MEAN_FACE` came about; depth up to a factor."""
    points = np.concatenate([points, points[:, MIRROR] * (-1, 1)])
    seen = (points - points.mean(axis=1, keepdims=True)) @ (1, 1j)
    mean = seen[0]
    for _ in range(20):  # generalised Procrustes, landmarks as complex numbers
        turn = (seen.conj() @ mean) / (np.abs(seen) ** 2).sum(axis=1)
        mean = (turn[:, None] * seen).mean(axis=0)
        mean /= np.linalg.norm(mean)
    flat = np.stack([mean.real, mean.imag], axis=1)
    flat = (flat + flat[MIRROR] * (-1, 1)) / 2
    flat = (flat - (flat[36:42].mean(axis=0) + flat[42:48].mean(axis=0)) / 2) / eye_distance(flat[None])[0]
    dome = np.sqrt(np.maximum(1 - (flat[:, 0] / 1.25) ** 2 - ((flat[:, 1] - 0.2) / 1.3) ** 2, 0.05))
    face = np.column_stack([flat, dome])
    face[27:36, 2] += (0.05, 0.15, 0.25, 0.35, 0, 0.1, 0.15, 0.1, 0)  # a nose, so that in and out cannot be confused
    for _ in range(rounds):  # poses of the face, then the face of the poses
        pose = fitted_pose(points, face)
        rows, at = pose.rotation[:, :2], (points - pose.centre[:, None]) / pose.scale[:, None, None]
        below, above = np.einsum("nki,nkj->ij", rows, rows), np.einsum("nki,npk->pi", rows, at)
        face = np.linalg.solve(below, above.T).T
        face = (face + face[MIRROR] * (-1, 1, 1)) / 2
        face /= eye_distance(face[None, :, :2])[0]
    # Nodded until it looks ahead as the mean of the pictures does.
    nods = np.deg2rad(np.linspace(-15, 15, 601))
    lie = [np.cos(nod) * face[:, 1] - np.sin(nod) * face[:, 2] - flat[:, 1] for nod in nods]
    nod = nods[np.argmin([np.abs(one - one.mean()).sum() for one in lie])]
    return np.column_stack([flat, np.sin(nod) * face[:, 1] + np.cos(nod) * face[:, 2]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = ("speed", "errors", "recovery", "portraits")
    parser.add_argument("--only", nargs="*", default=parts, choices=(*parts, "photographs"))
    parser.add_argument("--faces", type=Path, metavar="FOLDER", help="of `photographs`")
    parser.add_argument("--people", type=int, default=100)
    parser.add_argument("--r", type=float, default=0.7, help="drawn into the faces of `recovery`  [default: 0.7]")
    chosen = parser.parse_args()
    for part in chosen.only:
        print(f"\n{part}")
        if part == "recovery":
            recovery(chosen.people, chosen.r)
        elif part == "photographs":
            photographs(chosen.faces)
        else:
            globals()[part](chosen.people)


if __name__ == "__main__":
    main()
