"""What a face embedder is, and one that remembers, so that several metrics share one pass over the pictures."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np


class Embeddings(NamedTuple):
    """Descriptors of N pictures."""

    vectors: np.ndarray
    """`[N, D]`, float32, Euclidean norm 1."""
    detected: np.ndarray
    """`[N]`, bool: whether a detector found the face; all True for a network that looks at a fixed box."""


class FaceEmbedder(Protocol):
    """Pictures to unit vectors that lie close where the people are alike."""

    name: str
    """As `networks(name)` knows it."""
    dim: int
    """Length D of a descriptor."""
    signature: str
    """Pins weights, crop and alignment; part of the signature of every number made from the vectors."""

    def embed(self, images: Sequence[np.ndarray]) -> Embeddings:
        """Embed pictures `[H, W, 3]` uint8 RGB of any sizes.

        Raises:
            ValueError: a picture that is not three-channel uint8, or is empty.
        """
        ...


def check_image(image: np.ndarray, number: int = 0) -> np.ndarray:
    """The picture itself, or a ValueError that says what is wrong with it.

    >>> check_image(np.zeros((64, 64, 1), np.uint8))
    Traceback (most recent call last):
    ...
    ValueError: Picture 0: expected [H, W, 3] uint8 RGB, got [64, 64, 1] uint8; repeat a grey channel three times
    """
    image = np.asarray(image)
    fits = image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8 and min(image.shape) > 0
    if fits:
        return image
    grey = image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 1)
    cure = "repeat a grey channel three times" if grey else "convert it first"
    raise ValueError(f"Picture {number}: expected [H, W, 3] uint8 RGB, got {list(image.shape)} {image.dtype}; {cure}")


class PictureMemory:
    """Keeps what was found of pictures, by their content, and finds it of the rest in batches.

    The oldest findings go first once `capacity` is reached. Pickling forgets them.
    """

    def __init__(
        self, look: Callable[[list[np.ndarray]], Sequence[np.ndarray]], capacity: int = 100_000, batch_size: int = 32
    ) -> None:
        """Remember what `look` finds.

        Args:
            look: N pictures to arrays of N rows each.
        """
        if capacity < 1 or batch_size < 1:
            raise ValueError(f"expected capacity and batch_size of at least 1, got {capacity} and {batch_size}")
        self.look, self.capacity, self.batch_size = look, capacity, batch_size
        self._found: OrderedDict[bytes, tuple[Any, ...]] = OrderedDict()

    def __call__(self, images: Sequence[np.ndarray]) -> list[tuple[Any, ...]]:
        """What was found of each picture, a row of each of the arrays; each different picture is looked at once.

        Raises:
            ValueError: a picture that is not three-channel uint8, or is empty.
        """
        keys = [_fingerprint(check_image(image, number)) for number, image in enumerate(images)]
        # Held here as well, because a call with more pictures than the capacity would forget its own beginning.
        found: dict[bytes, tuple[Any, ...]] = {}
        new: dict[bytes, np.ndarray] = {}
        for key, image in zip(keys, images, strict=True):
            if key in self._found:
                self._found.move_to_end(key)
                found[key] = self._found[key]
            else:
                new.setdefault(key, image)
        names = list(new)
        for start in range(0, len(names), self.batch_size):
            part = names[start : start + self.batch_size]
            rows = zip(*self.look([new[key] for key in part]), strict=True)
            for key, row in zip(part, rows, strict=True):
                found[key] = self._found[key] = tuple(np.array(value) for value in row)
        while len(self._found) > self.capacity:
            self._found.popitem(last=False)
        return [found[key] for key in keys]

    def __len__(self) -> int:
        return len(self._found)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_found": OrderedDict()}


class Remembered:
    """An embedder that keeps what it has seen; see `PictureMemory`."""

    def __init__(self, embedder: FaceEmbedder, capacity: int = 100_000, batch_size: int = 32) -> None:
        self.embedder = embedder
        self.name, self.dim, self.signature = embedder.name, embedder.dim, embedder.signature
        self._memory = PictureMemory(embedder.embed, capacity, batch_size)

    def embed(self, images: Sequence[np.ndarray]) -> Embeddings:
        """Embed pictures, each different one once; as `FaceEmbedder.embed`."""
        vectors = np.empty((len(images), self.dim), np.float32)
        detected = np.empty(len(images), bool)
        for row, found in enumerate(self._memory(images)):
            vectors[row], detected[row] = found
        return Embeddings(vectors, detected)

    def __getattr__(self, name: str) -> Any:
        """Whatever else the embedder offers, such as `detect`."""
        if name.startswith("__") or name == "embedder":
            raise AttributeError(name)
        return getattr(self.embedder, name)


def _fingerprint(image: np.ndarray) -> bytes:
    digest = hashlib.blake2b(repr(image.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(image))
    return digest.digest()


def normalise_rows(vectors: np.ndarray) -> np.ndarray:
    """Scale each row to Euclidean norm 1, float32; a row of zeros stays zero.

    Raises:
        ValueError: a row holds NaN or infinity, as those of a network with broken weights do.
    """
    vectors = np.asarray(vectors, np.float64)
    broken = np.flatnonzero(~np.isfinite(vectors).all(axis=-1))
    if len(broken):
        raise ValueError(
            f"expected finite descriptors, got NaN or infinity in {len(broken)} of {len(vectors)}, first in number "
            f"{broken[0]}; check the weights of the network"
        )
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return (vectors / np.where(norms > 0, norms, 1.0)).astype(np.float32)
