"""Linear heads for sex, age and identity on dlib's face descriptors, fitted to the training faces of a dataset.

Sex and identity: multinomial logistic regression, `p(y | x) = softmax((W x + b) / T)`, with `W` penalised by its
squared norm and the temperature `T` set on held-out pictures, because a score made of probabilities depends on how
sure they are. Age: ridge regression in closed form, its strength by leaving each person out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from safetensors.numpy import save
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax, softmax

from metrics.networks.dlib_faces import DlibFaces
from metrics.networks.face_embedder import FaceEmbedder

L2 = 1e-2
"""Penalty: half of it times the squared norm of W, beside the mean negative log-likelihood, on standardised numbers."""
_KIND = "facevoice-bench face heads 1"


@dataclass(frozen=True)
class LinearHead:
    """A linear classifier of descriptors."""

    labels: tuple[str, ...]
    """Sorted; the order of the probabilities."""
    weight: np.ndarray
    """`[C, D]`, float32."""
    bias: np.ndarray
    """`[C]`, float32."""
    temperature: float = 1.0
    accuracy: float = float("nan")
    """On the held-out pictures, by a fit that did not see them; NaN where none could be held out."""

    def probabilities(self, descriptors: np.ndarray) -> np.ndarray:
        """`[N, D]` -> `[N, C]`, float64, rows sum to 1.

        Raises:
            ValueError: descriptors of another length, or that hold NaN or infinity.
        """
        descriptors = _checked(descriptors, self.weight.shape[1])
        return softmax((descriptors @ self.weight.T.astype(np.float64) + self.bias) / self.temperature, axis=1)

    def predict(self, descriptors: np.ndarray) -> list[str]:
        """The likeliest label of each descriptor."""
        return [self.labels[index] for index in self.probabilities(descriptors).argmax(axis=1)]


def _checked(descriptors: np.ndarray, width: int) -> np.ndarray:
    """Descriptors `[N, width]` in float64, or a ValueError that says what is wrong with them."""
    descriptors = np.asarray(descriptors, np.float64)
    if not np.isfinite(descriptors).all():
        raise ValueError("expected finite descriptors, got NaN or infinity; leave out what could not be embedded")
    if descriptors.ndim != 2 or descriptors.shape[1] != width:
        raise ValueError(
            f"expected descriptors [N, {width}], got {list(descriptors.shape)}; "
            "use the embedder that the head was fitted to"
        )
    return descriptors


def fit(descriptors: np.ndarray, labels: Sequence[str], *, l2: float = L2) -> LinearHead:
    """Fit a head by L-BFGS in float64 from zero; nothing is random.

    The last fifth of each label's pictures (at least one of those with two) is first held out, to set the temperature
    and to measure the accuracy; then all pictures are fitted.

    Args:
        descriptors: `[N, D]`.
        labels: `[N]`.

    Raises:
        ValueError: fewer than two labels, lengths that differ, or numbers that are not finite.
    """
    x = np.asarray(descriptors, np.float64)
    if x.ndim != 2 or len(x) != len(labels) or not np.isfinite(x).all():
        raise ValueError(f"expected finite descriptors [N, D] and N labels, got {list(x.shape)} and {len(labels)}")
    names, y = np.unique(np.asarray(labels, dtype=str), return_inverse=True)
    if len(names) < 2:
        raise ValueError(f"expected at least two labels to tell apart, got {len(names)}")
    y = y.reshape(-1)
    mean, scale = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-8)
    z = (x - mean) / scale
    held = _held_out(y)
    temperature, accuracy = 1.0, float("nan")
    if held.any():
        weight, bias = _minimise(z[~held], y[~held], len(names), l2)
        scores = z[held] @ weight.T + bias
        accuracy = float((scores.argmax(axis=1) == y[held]).mean())
        temperature = _best_temperature(scores, y[held])
    weight, bias = _minimise(z, y, len(names), l2)
    weight = weight / scale
    return LinearHead(
        tuple(map(str, names)),
        weight.astype(np.float32),
        (bias - weight @ mean).astype(np.float32),
        temperature,
        accuracy,
    )


def _held_out(y: np.ndarray) -> np.ndarray:
    held = np.zeros(len(y), bool)
    for label in np.unique(y):
        rows = np.flatnonzero(y == label)
        if len(rows) > 1:
            held[rows[len(rows) - max(1, len(rows) // 5) :]] = True
    return held


def _minimise(z: np.ndarray, y: np.ndarray, classes: int, l2: float) -> tuple[np.ndarray, np.ndarray]:
    rows, width = z.shape
    one = np.hstack([z, np.ones((rows, 1))])
    target = np.zeros((rows, classes))
    target[np.arange(rows), y] = 1.0

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = flat.reshape(classes, width + 1)
        log_p = log_softmax(one @ weights.T, axis=1)
        gradient = (np.exp(log_p) - target).T @ one / rows
        gradient[:, :-1] += l2 * weights[:, :-1]
        value = -(log_p * target).sum() / rows + l2 / 2 * (weights[:, :-1] ** 2).sum()
        return float(value), gradient.ravel()

    start = np.zeros(classes * (width + 1))
    options = {"maxiter": 500, "maxfun": 1000, "ftol": 1e-8, "gtol": 1e-6}
    best = minimize(loss, start, jac=True, method="L-BFGS-B", options=options).x.reshape(classes, width + 1)
    return best[:, :-1], best[:, -1]


def _best_temperature(scores: np.ndarray, y: np.ndarray) -> float:
    def loss(log_t: float) -> float:
        return -float(log_softmax(scores / np.exp(log_t), axis=1)[np.arange(len(y)), y].mean())

    # Bounded, because pictures that are all told apart would ask for temperature 0.
    return float(np.exp(minimize_scalar(loss, bounds=(-2.0, 2.0), method="bounded").x))


@dataclass(frozen=True)
class AgeHead:
    """A linear guess at the age in descriptors: `age = w x + b`."""

    weight: np.ndarray
    """`[D]`, float32."""
    bias: float
    error: float
    """Mean absolute error in years over the training pictures, each person's by a fit without that person."""

    @cached_property
    def digest(self) -> str:
        """Eight hexadecimal digits of the weights."""
        return hashlib.blake2b(self.weight.tobytes() + np.float64(self.bias).tobytes(), digest_size=4).hexdigest()

    def predict(self, descriptors: np.ndarray) -> np.ndarray:
        """Years, `[N, D]` -> `[N]`, float64.

        Raises:
            ValueError: descriptors of another length, or that hold NaN or infinity.
        """
        return _checked(descriptors, len(self.weight)) @ self.weight.astype(np.float64) + self.bias


def fit_age(descriptors: np.ndarray, people: Sequence[str], ages: Sequence[float]) -> AgeHead:
    """Fit ridge regression in closed form; nothing is random.

    On standardised numbers `z` with the singular values `s_k` and vectors `u_k` of their matrix, the fitted values are
    `H y` with `H = 1/N + sum_k s_k^2 / (s_k^2 + c) u_k u_k'`. Without a person's rows `G` their errors would be
    `(I - H_GG)^-1 (y - H y)_G`, so all people are left out at the price of one fit. The penalty `c` with the least
    squared error of that kind is taken.

    Args:
        descriptors: `[N, D]`.
        people: `[N]`, whose picture each row is.
        ages: `[N]`, years.

    Raises:
        ValueError: fewer than two people, lengths that differ, or numbers that are not finite.
    """
    x, y = np.asarray(descriptors, np.float64), np.asarray(ages, np.float64)
    if x.ndim != 2 or not len(x) == len(y) == len(people) or not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError(f"expected finite descriptors [N, D], N people and N ages, got {list(x.shape)} and {len(y)}")
    _, who = np.unique(np.asarray(people, dtype=str), return_inverse=True)
    groups = [np.flatnonzero(who == number) for number in range(who.max(initial=-1) + 1)]
    if len(groups) < 2:
        raise ValueError(f"expected at least two people of known age, got {len(groups)}")
    mean, scale = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-8)
    u, s, rows = np.linalg.svd((x - mean) / scale, full_matrices=False)
    centred = y - y.mean()

    def left_out(penalty: float) -> np.ndarray:
        """Error of each row by the fit without its person."""
        kept = s**2 / (s**2 + penalty)
        errors = centred - (u * kept) @ (u.T @ centred)
        return np.concatenate(
            [np.linalg.solve(np.eye(len(g)) - 1 / len(y) - (u[g] * kept) @ u[g].T, errors[g]) for g in groups]
        )

    penalties = len(x) * np.logspace(-4, 1, 21)
    penalty = min(penalties, key=lambda c: float((left_out(c) ** 2).mean()))
    weight = rows.T @ (s / (s**2 + penalty) * (u.T @ centred)) / scale
    error = float(np.abs(left_out(penalty)).mean())
    weight = weight.astype(np.float32)
    return AgeHead(weight, float(y.mean() - weight.astype(np.float64) @ mean), error)


@dataclass(frozen=True)
class FaceHeads:
    """The heads that one dataset's training faces gave."""

    identity: LinearHead
    sex: LinearHead | None
    """None where fewer than two sexes are known."""
    dataset: str
    manifest_sha256: str
    embedder: str
    """Signature of the embedder that made the descriptors."""
    age: AgeHead | None = None
    """None where fewer than two people's age is known."""

    @cached_property
    def digest(self) -> str:
        """Eight hexadecimal digits of the weights of the classifiers; the head for ages has its own."""
        digest = hashlib.blake2b(digest_size=4)
        for head in (self.identity, self.sex):
            if head is not None:
                digest.update(json.dumps([head.labels, round(head.temperature, 9)]).encode())
                digest.update(head.weight.tobytes() + head.bias.tobytes())
        return digest.hexdigest()

    def check(self, embedder: FaceEmbedder) -> None:
        """Raise a ValueError unless the heads were fitted to this embedder's descriptors."""
        if embedder.signature != self.embedder:
            raise ValueError(
                f"expected heads fitted to descriptors of {embedder.signature}, got heads for {self.embedder}; "
                "fit them again: python -m benchmark weights fit"
            )


class IdentityClassifier:
    """Probabilities of the training identities for pictures: an embedder and its identity head."""

    name = "face_heads"

    def __init__(self, embedder: FaceEmbedder, heads: FaceHeads) -> None:
        heads.check(embedder)
        self.embedder, self.head = embedder, heads.identity
        self.classes = len(self.head.labels)
        fitted = f"logistic:{heads.dataset},{heads.digest},T{self.head.temperature:.3f}"
        self.signature = f"{embedder.signature}|{fitted}"

    def probabilities(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """`[N, classes]`, float64, rows sum to 1."""
        return self.head.probabilities(self.embedder.embed(images).vectors)


def fit_heads(
    descriptors: np.ndarray,
    people: Sequence[str],
    sexes: Sequence[str | None],
    ages: Sequence[float | None] = (),
    *,
    dataset: str,
    manifest_sha256: str = "",
    embedder: str = DlibFaces.signature,
) -> FaceHeads:
    """Fit all heads; pictures of unknown sex or age do not count for that head.

    Args:
        ages: `[N]` in years, or none at all.

    Raises:
        ValueError: as `fit`.
    """
    x = np.asarray(descriptors)
    known = [row for row, sex in enumerate(sexes) if sex is not None]
    named = [str(sexes[row]) for row in known]
    sex = fit(x[known], named) if len(set(named)) > 1 else None
    aged = [row for row, age in enumerate(ages) if age is not None]
    whose = [people[row] for row in aged]
    age = fit_age(x[aged], whose, [float(ages[row] or 0) for row in aged]) if len(set(whose)) > 1 else None
    return FaceHeads(fit(x, people), sex, dataset, manifest_sha256, embedder, age)


def save_heads(heads: FaceHeads, path: Path) -> None:
    """Write heads as safetensors, whole or not at all."""
    tensors, about = {}, {}
    for name, head in (("identity", heads.identity), ("sex", heads.sex)):
        if head is not None:
            tensors[f"{name}.weight"], tensors[f"{name}.bias"] = head.weight, head.bias
            about[name] = {"labels": head.labels, "temperature": head.temperature, "accuracy": head.accuracy}
    if heads.age is not None:
        tensors["age.weight"] = heads.age.weight
        about["age"] = {"bias": heads.age.bias, "error": heads.age.error}
    metadata = {
        "kind": _KIND,
        "heads": json.dumps(about),
        "dataset": heads.dataset,
        "manifest_sha256": heads.manifest_sha256,
        "embedder": heads.embedder,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.part")
    partial.write_bytes(save(tensors, metadata))
    partial.replace(path)


def load_heads(path: Path) -> FaceHeads:
    """Read heads.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file holds no heads.
    """
    from safetensors import safe_open

    if not Path(path).is_file():
        raise FileNotFoundError(f"No face heads at {path}; fit them: python -m benchmark weights fit")
    try:
        with safe_open(path, "np") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - the file is no dict
        if metadata.get("kind") != _KIND:
            raise ValueError(f"its kind is {metadata.get('kind')!r}, not {_KIND!r}")
        abouts = json.loads(metadata["heads"])
        age = abouts.pop("age", None)
        heads = {
            name: LinearHead(
                tuple(about["labels"]),
                tensors[f"{name}.weight"],
                tensors[f"{name}.bias"],
                float(about["temperature"]),
                float(about["accuracy"]),
            )
            for name, about in abouts.items()
        }
        return FaceHeads(
            heads["identity"],
            heads.get("sex"),
            metadata["dataset"],
            metadata["manifest_sha256"],
            metadata["embedder"],
            AgeHead(tensors["age.weight"], float(age["bias"]), float(age["error"])) if age else None,
        )
    except Exception as error:  # the parser of safetensors raises its own kind
        raise ValueError(f"{path} holds no face heads ({error}); fit them: python -m benchmark weights fit") from error


def fit_file(
    path: Path,
    descriptors: Sequence[np.ndarray] | np.ndarray,
    people: Sequence[str],
    sexes: Sequence[str | None],
    ages: Sequence[float | None] = (),
    *,
    dataset: str,
    manifest_sha256: str = "",
) -> str:
    """Fit all heads and write them; returns a line about how well they do on held-out pictures.

    Raises:
        ValueError: as `fit`.
    """
    heads = fit_heads(np.asarray(descriptors), people, sexes, ages, dataset=dataset, manifest_sha256=manifest_sha256)
    save_heads(heads, Path(path))
    about = [f"identity {heads.identity.accuracy:.1%} of {len(heads.identity.labels)}"]
    if heads.sex is not None:
        about.append(f"sex {heads.sex.accuracy:.1%}")
    off = f"; age {heads.age.error:.1f} years off for people left out" if heads.age is not None else ""
    right, temperature = ", ".join(about), heads.identity.temperature
    return f"{len(people)} faces; right on held-out ones: {right}; temperature {temperature:.2f}{off}"


def load(path: Path | None, device: str = "cpu") -> FaceHeads:
    """The heads in a file; they run on the CPU whatever the device.

    Raises:
        FileNotFoundError, ValueError: as `load_heads`.
    """
    del device
    if path is None:
        raise FileNotFoundError("Face heads belong to a dataset: give the file that `weights fit` wrote")
    return load_heads(path)
