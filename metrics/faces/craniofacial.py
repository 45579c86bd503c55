"""Whether measures of a generated face go with those of the true one (Kato & Hashimoto, Sec. 4.2, Table 3).

Eleven distances and ratios of anthropometry (Farkas) on dlib's 68 landmarks, as Oh et al. (Speech2Face, 2019) compare
them; the names of the points are Farkas's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal, Protocol

import numpy as np

from metrics.faces.correlation import no_correlation_p, weighted_pearson
from metrics.faces.frontal_pose import turned_to_front
from metrics.metric import FaceItem, Failed, Identity, Metric, Report, Statistics, Undefined
from metrics.networks.face_landmarks import Landmarks

Points = Callable[[int], np.ndarray]
"""Number of a landmark to where it is, `[N, 2]`."""


def _between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.linalg.norm(a - b, axis=-1)


def _stomion(p: Points) -> np.ndarray:
    """Where the lips meet, `sto`."""
    return (p(62) + p(66)) / 2


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0)


MEASURES: Mapping[str, tuple[str, str, Callable[[Points], np.ndarray]]] = {
    "upper_lip_height": ("upper lip height", "sn-sto", lambda p: _between(p(33), _stomion(p))),
    "lateral_upper_lip_height": (
        "lateral upper lip height",
        "sbal-ls', mean of both sides",
        lambda p: (_between(p(32), p(50)) + _between(p(34), p(52))) / 2,
    ),
    "jaw_width": ("jaw width", "go-go", lambda p: _between(p(5), p(11))),
    "nose_height": ("nose height", "n-sn", lambda p: _between(p(27), p(33))),
    "nose_width": ("nose width", "al-al", lambda p: _between(p(31), p(35))),
    "labio_oral_region": ("labio-oral region", "ch-ch", lambda p: _between(p(48), p(54))),
    "mandibular_index": (
        "mandibular index",
        "sto-gn / go-go",
        lambda p: _ratio(_between(_stomion(p), p(8)), _between(p(5), p(11))),
    ),
    "intercanthal_index": (
        "intercanthal index",
        "en-en / ex-ex",
        lambda p: _ratio(_between(p(39), p(42)), _between(p(36), p(45))),
    ),
    "nasal_index": ("nasal index", "al-al / n-sn", lambda p: _ratio(_between(p(31), p(35)), _between(p(27), p(33)))),
    "vermilion_height_index": (
        "vermilion height index",
        "ls-sto / sto-li",
        lambda p: _ratio(_between(p(51), _stomion(p)), _between(_stomion(p), p(57))),
    ),
    "mouth_face_width_index": (
        "mouth-face width index",
        "ch-ch / zy-zy",
        lambda p: _ratio(_between(p(48), p(54)), _between(p(2), p(14))),
    ),
}
"""Name to title, definition and the function; in the order of Table 3."""
RANDOM = "nasal_index"
"""What is also compared with another person, as in Table 3."""


def measured(points: np.ndarray) -> np.ndarray:
    """All measures of landmarks `[N, 68, 2]` of any unit -> `[N, 11]`, in the order of `MEASURES`.

    Distances are in the unit of the points. NaN where points are, or where a ratio's lower distance is 0.
    """
    points = np.asarray(points, np.float64)
    return np.stack([measure(lambda number: points[:, number]) for _, _, measure in MEASURES.values()], axis=1)


class FindsLandmarks(Protocol):
    """Pictures to landmarks."""

    signature: str

    def find(self, images: Sequence[np.ndarray]) -> Landmarks:
        """As `FaceLandmarks.find`."""
        ...


def number_of(measure: str) -> str:
    """`craniofacial_nasal_index`; its p-value is `craniofacial_nasal_index_p`."""
    return f"craniofacial_{measure}"


RANDOM_PAIRS = "craniofacial_random_pairs"
_NO_FACE = "no face is found"
_NONE_TRUE = "no face is found in any true picture of the speaker"
_FLAT = "the landmarks leave a ratio without a value"


def _reports() -> tuple[Report, ...]:
    about = {
        number_of(name): (title, f"Pearson's correlation of {title} ({points}) of generated and true faces.")
        for name, (title, points, _) in MEASURES.items()
    }
    title = f"{MEASURES[RANDOM][0]} of random pairs"
    about[RANDOM_PAIRS] = title, f"Pearson's correlation of {title}: each face is held against another person's."
    correlations = [
        Report(
            name,
            f"{title} r",
            None if name == RANDOM_PAIRS else True,
            (-1.0, 1.0),
            description=description,
            interval="correlation",
        )
        for name, (title, description) in about.items()
    ]
    ps = [
        Report(
            f"{name}_p",
            f"{title} p",
            None,
            (0.0, 1.0),
            description=f"How probable so large a correlation of {title} is where nothing goes together, two-sided.",
            no_interval="a p-value has none",
        )
        for name, (title, _) in about.items()
    ]
    return (*correlations, *ps)


class Craniofacial(Metric):
    """Correlations over faces of eleven measures with those of the speakers' true faces, the mean over them.

    Heads are turned to the front and brought to one size first (`frontal_pose`). What has no face cannot be measured:
    it is left out and counted in the coverage.
    """

    name = "craniofacial"
    version = 1
    lacking: ClassVar[Mapping[str, str]] = {
        **{f"{measure}{of}": _FLAT for measure in MEASURES for of in ("", "_true")},
        "other": "the gallery holds nobody else",
    }
    reports = _reports()

    def __init__(self, landmarks: FindsLandmarks, pose: Literal["removed", "kept"] = "removed") -> None:
        if pose not in ("removed", "kept"):
            raise ValueError(f"expected pose removed or kept, got {pose!r}")
        self.landmarks, self.pose = landmarks, pose
        self._true: np.ndarray | None = None
        self._others = np.empty(0)
        self._rows: dict[str, int] = {}

    @classmethod
    def create(cls, networks: Any, pose: Literal["removed", "kept"] = "removed") -> Craniofacial:
        """Make the metric.

        Args:
            pose: `removed`, or `kept` for landmarks as they lie in the picture, distances in parts of its width.
        """
        return cls(networks("face_landmarks"), pose)

    def signature(self, report: str) -> str:
        about = {
            "removed": "pose:removed,mean-face1,weak-perspective|unit:eye-distance",
            "kept": "pose:kept|unit:picture-width",
        }[self.pose]
        p = "|p:t,pairs:speakers" if report.endswith("_p") else ""
        return f"{self.landmarks.signature}|{about}|against:mean-of-true-faces{p}|v{self.version}"

    def prepare(self, gallery: Sequence[Identity]) -> None:
        """Measure the true faces; the mean over those of an identity in which a face is found.

        Raises:
            ValueError: an identity without portraits.
        """
        true = np.full((len(gallery), len(MEASURES)), np.nan)
        for row, identity in enumerate(gallery):
            if not len(identity.images):
                raise ValueError(f"identity '{identity.id}' has no portrait; leave it out of the gallery")
            found = self.measures_of(identity.images)
            known = np.isfinite(found)
            count = known.sum(axis=0)
            np.divide(np.where(known, found, 0.0).sum(axis=0), count, out=true[row], where=count > 0)
        self._true, self._rows = true, {identity.id: row for row, identity in enumerate(gallery)}
        # Everybody's other person is the next one of a shuffled circle, so that nobody is their own.
        values = true[:, list(MEASURES).index(RANDOM)]
        circle = np.random.default_rng(0).permutation(np.flatnonzero(np.isfinite(values)))
        self._others = np.full(len(gallery), np.nan)
        if len(circle) > 1:
            self._others[circle] = values[np.roll(circle, -1)]

    def measures_of(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """The measures of pictures, `[N, 11]`; NaN where no face is found."""
        points = self.landmarks.find(images).points.astype(np.float64)
        if self.pose == "removed":
            return measured(turned_to_front(points))
        return measured(points / np.array([image.shape[1] for image in images], np.float64)[:, None, None])

    def measure(self, items: Sequence[FaceItem]) -> list[Statistics | Undefined | Failed]:
        """Rows of each measure of the face, and of the true one (`_true`); `person`, and the `other` person's.

        Raises:
            RuntimeError: before `prepare`.
            ValueError: a picture that cannot be looked at.
        """
        if self._true is None:
            raise RuntimeError(f"{self.name} has no gallery yet; call prepare(gallery) before measure")
        if not items:
            return []
        made = self.measures_of([item.image for item in items])
        return [self._row(item.identity, values) for item, values in zip(items, made, strict=True)]

    def _row(self, identity: str, made: np.ndarray) -> Statistics | Undefined | Failed:
        assert self._true is not None
        row = self._rows.get(identity)
        if row is None:
            return Failed(f"identity '{identity}' is not in the gallery")
        true = self._true[row]
        if not np.isfinite(made).any():
            return Undefined(_NO_FACE)
        if not np.isfinite(true).any():
            return Undefined(_NONE_TRUE)
        found = {"person": float(row), "other": float(self._others[row])}
        for number, name in enumerate(MEASURES):
            found[name], found[f"{name}_true"] = float(made[number]), float(true[number])
        return found

    def defined(self, report: str, statistics: Mapping[str, np.ndarray]) -> np.ndarray:
        made, true = self._pair(report, statistics)
        return np.isfinite(made) & np.isfinite(true)

    def why_undefined(self, report: str) -> str:
        alike = f"{_FLAT}, or all faces are alike"
        return f"{self.lacking['other']}, or {alike}" if report.startswith(RANDOM_PAIRS) else alike

    @staticmethod
    def _pair(report: str, statistics: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """What a number is of, `[N]` and `[N]`."""
        measure = report.removeprefix("craniofacial_").removesuffix("_p")
        names = (RANDOM, "other") if report.startswith(RANDOM_PAIRS) else (measure, f"{measure}_true")
        made, true = (np.asarray(statistics[name], np.float64) for name in names)
        return made, true

    def aggregate(self, statistics: Mapping[str, np.ndarray], weights: np.ndarray) -> dict[str, np.ndarray]:
        weights = np.asarray(weights, np.float64)
        people = np.unique(np.asarray(statistics["person"]), return_inverse=True)[1].reshape(-1)
        values = {}
        for report in self.reports:
            if report.name.endswith("_p"):
                continue
            known = self.defined(report.name, statistics)
            made, true = (column[known] for column in self._pair(report.name, statistics))
            r = values[report.name] = weighted_pearson(made, true, weights[:, known])
            values[f"{report.name}_p"] = no_correlation_p(r, _effective(people[known], weights[:, known]))
        return values


def _effective(people: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """How many people N rows under weights `[B, N]` stand for (Kish), `[B]`: their number where all weigh alike."""
    own = weights @ np.eye(people.max(initial=-1) + 1)[people]
    squares = (own**2).sum(axis=1)
    return np.divide(own.sum(axis=1) ** 2, squares, out=np.zeros(len(own)), where=squares > 0)
