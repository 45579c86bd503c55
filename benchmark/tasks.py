"""The tasks: what goes in, what must come out, how it is scored by default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from benchmark.errors import MediaError, UnknownName, UsageError
from benchmark.registry import did_you_mean
from benchmark.types import Audio, Example, Sample, derive_seed


@dataclass(frozen=True)
class Protocol:
    """The choices of an evaluation that a table has to state."""

    seconds: float | None = 5.0
    """Length of each speech crop; None takes whole recordings."""
    repeats: int = 10
    """Evaluation runs: repeat r uses another random crop of every sample (SF2F, App. E.2)."""

    def __post_init__(self) -> None:
        if self.seconds is not None and not 0.1 <= self.seconds <= 3600:
            raise UsageError(f"--seconds {self.seconds}: expected 0.1 to 3600, or 0 for whole recordings")
        if not 1 <= self.repeats <= 1000:
            raise UsageError(f"--repeats {self.repeats}: expected 1 to 1000")

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Task:
    """One direction between voice and face."""

    name: str
    title: str
    version: int
    """Part of every run's identity; changes when the same sample would be opened or cropped differently."""
    inputs: Mapping[str, str]
    """Field to kind: `speech` is `audio`."""
    output: str
    """Kind of what a method returns: `image` or `audio`."""
    target: str
    """Field of the truth among a sample's targets."""
    metrics: tuple[str, ...]
    """Measured by default; none of them needs the network."""
    primary: str
    """The number that ranks."""
    columns: tuple[str, ...]
    """Reported numbers of the short table, in order."""
    references: tuple[str, ...]
    """Rows that every table of this task carries beside a method: floors, peers and the ceiling."""
    rate: int = 16_000
    protocol: Protocol = Protocol()

    @property
    def suffix(self) -> str:
        return {"image": ".png", "audio": ".flac"}[self.output]

    def open(self, sample: Sample, repeat: int, protocol: Protocol, seed: int, weights: str) -> Example:
        """Read and crop one sample's inputs for one repeat.

        The crop depends on sample, repeat and run seed but not on the method, so that all methods hear the same.

        Raises:
            MediaError: no recording of the sample can be read.
        """
        crop = derive_seed("crop", self.name, self.version, sample.id, repeat, seed)
        speech = crop_speech(sample, protocol.seconds, self.rate, crop)
        return Example(sample, repeat, derive_seed(weights, sample.id, seed, repeat), {"speech": speech})


def crop_speech(sample: Sample, seconds: float | None, rate: int, seed: int) -> Audio:
    """A random crop of a speaker's recordings.

    Recordings are taken in random order; the first that is long enough is cropped at a random place. Where none is long
    enough, recordings are joined in that order until they are; a speaker with less speech than asked gives all of it.
    """
    from benchmark.media import audio_seconds, read_audio

    paths = sample.inputs["speech"]
    if not paths:
        raise MediaError(f"Sample '{sample.id}' has no recording")
    random = np.random.default_rng(seed)
    order = [paths[index] for index in random.permutation(len(paths))]
    if seconds is None:
        return read_audio(order[0], rate)
    where = random.random()
    length = int(round(seconds * rate))
    long_enough = next((path for path in order if audio_seconds(path) >= seconds), None)
    if long_enough is not None:
        samples = read_audio(long_enough, rate).samples
    else:
        pieces: list[np.ndarray] = []
        for path in order:
            pieces.append(read_audio(path, rate).samples)
            if sum(map(len, pieces)) >= length:
                break
        samples = np.concatenate(pieces)
    start = int(where * (max(len(samples) - length, 0) + 1))
    return Audio(np.ascontiguousarray(samples[start : start + length]), rate)


SPEECH2FACE = Task(
    name="speech2face",
    title="a face from a voice",
    version=1,
    inputs={"speech": "audio"},
    output="image",
    target="face",
    metrics=("face_similarity", "retrieval", "vggface_score", "sex_agreement", "face_detection_rate"),
    primary="recall_at_10",
    columns=(
        "face_cosine",
        "face_cosine_mismatched",
        "face_l1",
        "face_auc",
        "recall_at_1",
        "recall_at_2",
        "recall_at_5",
        "recall_at_10",
        "chance_recall_at_10",
        "recall_at_1_within",
        "chance_recall_at_1_within",
        "vggface_score",
        "sex_agreement",
        "face_detection_rate",
    ),
    references=("voice2face", "sf2f", "talkers_oracle", "chance", "mean_face", "mean_face_by_sex", "ground_truth"),
)

TASKS = {task.name: task for task in (SPEECH2FACE,)}


def get_task(name: str) -> Task:
    if name not in TASKS:
        raise UnknownName(f"Unknown task '{name}'.{did_you_mean(name, TASKS)} Tasks: {', '.join(TASKS)}")
    return TASKS[name]


def with_protocol(task: Task, seconds: float | None, repeats: int | None) -> Protocol:
    """The task's protocol with what the user set; 0 seconds means whole recordings."""
    protocol = task.protocol
    if seconds is not None:
        protocol = replace(protocol, seconds=None if seconds == 0 else seconds)
    if repeats is not None:
        protocol = replace(protocol, repeats=repeats)
    return protocol
