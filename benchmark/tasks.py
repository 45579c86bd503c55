"""The tasks: what goes in, what must come out, how it is scored by default."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmark.errors import UnknownName, UsageError, did_you_mean
from benchmark.media import is_video, read_audio, since_sound
from benchmark.media.clips import crop_speech, mixture_clip, only_file
from benchmark.registry import CRANIOFACIAL
from benchmark.types import Audio, Example, Grey, Sample, derive_seed


@dataclass(frozen=True)
class Protocol:
    """The choices of an evaluation that a table has to state."""

    seconds: float | None = 5.0
    """Length of each clip; None takes whole recordings."""
    repeats: int = 10
    """Evaluation runs, each with other random crops (SF2F, App. E.2), or where nothing is cropped with other noise
    inside the method."""

    def __post_init__(self) -> None:
        if self.seconds is not None and not 0.1 <= self.seconds <= 3600:
            raise UsageError(f"--seconds {self.seconds}: expected 0.1 to 3600, or 0 for whole recordings")
        if not 1 <= self.repeats <= 1000:
            raise UsageError(f"--repeats {self.repeats}: expected 1 to 1000")

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Task(ABC):
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
    without_truth: tuple[str, ...]
    """Measured by default where the truth of some sample is not known: what needs none."""
    primary: str
    """The number that ranks."""
    columns: tuple[str, ...]
    """Reported numbers of the short table, what matters most first: a narrow terminal leaves out the last ones."""
    references: tuple[str, ...]
    """Rows that every table of this task carries beside a method: floors, peers and the ceiling."""
    rate: int = 16_000
    protocol: Protocol = Protocol()
    batch_size: int = 50
    """Examples given to a method at once, where the user does not say; what a kill can lose."""

    @property
    def suffix(self) -> str:
        return {"image": ".png", "audio": ".wav"}[self.output]

    @abstractmethod
    def open(
        self, sample: Sample, repeat: int, protocol: Protocol, seed: int, weights: str, grey: Grey = "luma"
    ) -> Example:
        """Read and crop one sample's inputs for one repeat.

        What a method is given depends on sample, repeat and run seed but not on the method, so that all get the same.

        Args:
            grey: of pictures, as the method takes them (`Method.grey`).

        Raises:
            MediaError: what the sample needs cannot be read or used.
        """

    @abstractmethod
    def read(self, source: Path, video: Path | None, grey: Grey = "luma") -> dict[str, Any]:
        """The inputs that a user's own files give, whole.

        Args:
            source: a recording, or a video with its sound.
            video: the pictures, where they are another file.
            grey: of pictures, as for `open`.

        Raises:
            MediaError: a file cannot be read or used.
            UsageError: a video where the task looks at none, or none where it needs one.
        """


class FaceFromSpeech(Task):
    """Inputs `speech`: Audio, a random crop of the speaker's recordings."""

    def open(
        self, sample: Sample, repeat: int, protocol: Protocol, seed: int, weights: str, grey: Grey = "luma"
    ) -> Example:
        crop = derive_seed("crop", self.name, self.version, sample.id, repeat, seed)
        speech = crop_speech(sample, protocol.seconds, self.rate, crop)
        return Example(sample, repeat, derive_seed(weights, sample.id, seed, repeat), {"speech": speech})

    def read(self, source: Path, video: Path | None, grey: Grey = "luma") -> dict[str, Any]:
        if video is not None:
            raise UsageError(f"--video {video}: {self.name} looks at no video")
        return {"speech": read_audio(source, self.rate)}


class SpeechFromMixture(Task):
    """Inputs `noisy`: Audio; `video`: FaceVideo of who is to be heard. The truth is the clean speech, if it is known.

    `decoy`, where the mixing list has one, is a function without arguments that opens another person's video.

    A mixture is the same in every repeat; what differs is the noise inside a method. Sound and pictures of one file are
    paired by their time stamps; those of two files are taken to begin at once.
    """

    def open(
        self, sample: Sample, repeat: int, protocol: Protocol, seed: int, weights: str, grey: Grey = "luma"
    ) -> Example:
        from benchmark.media.face_video import FPS, clip_video, read_face_video

        clip = mixture_clip(sample, protocol.seconds, self.rate, seed)
        find = sample.attributes.get("framing") == "scene"
        start_s, seconds = clip.start / self.rate, len(clip.mixture.noisy) / self.rate
        path = only_file(sample, sample.inputs.get("video", ()), "video")
        video = read_face_video(path, find, grey)
        if (sample.inputs.get("noisy") or sample.targets["speech"]) == (path,):
            video = video._replace(frames=since_sound(path, video.frames, FPS, clip.source_s))
        inputs = {
            "noisy": Audio(clip.mixture.noisy, self.rate),
            "video": clip_video(video, start_s, seconds, clip.source_s),
        }
        for path in sample.inputs.get("decoy", ()):
            inputs["decoy"] = partial(read_face_video, path, find, grey)
        truth = None if clip.mixture.clean is None else Audio(clip.mixture.clean, self.rate)
        return Example(sample, repeat, derive_seed(weights, sample.id, seed, repeat), inputs, truth)

    def read(self, source: Path, video: Path | None, grey: Grey = "luma") -> dict[str, Any]:
        from benchmark.media.face_video import FPS, clip_video, read_face_video

        noisy = read_audio(source, self.rate)
        if video is None and not is_video(source):
            raise UsageError(f"{source} has no pictures: give a video, or the video of this recording with --video")
        face = read_face_video(video or source, True, grey)
        if video in (None, source):
            face = face._replace(frames=since_sound(source, face.frames, FPS, noisy.seconds))
        return {"noisy": noisy, "video": clip_video(face, 0.0, noisy.seconds, noisy.seconds)}

    def truth(self, sample: Sample, protocol: Protocol, seed: int) -> Audio | None:
        """The clean speech alone, as `open` gives it, without a look at the video; None where nobody knows it."""
        if not sample.targets.get(self.target):
            return None
        clean = mixture_clip(sample, protocol.seconds, self.rate, seed).mixture.clean
        assert clean is not None
        return Audio(clean, self.rate)


SPEECH2FACE = FaceFromSpeech(
    name="speech2face",
    title="a face from a voice",
    version=1,
    inputs={"speech": "audio"},
    output="image",
    target="face",
    metrics=("face_similarity", "retrieval", "vggface_score", "sex_agreement", "age_agreement", "face_detection_rate"),
    without_truth=(),
    primary="recall_at_10",
    columns=(
        "recall_at_10",
        "recall_at_1",
        "face_auc",
        "recall_at_1_within",
        "face_cosine",
        "face_cosine_mismatched",  # beside it: a cosine means little alone
        "face_l1",
        "vggface_score",
        "sex_agreement",
        "age_r_face",
        "recall_at_5",
        "recall_at_2",
        "face_detection_rate",
        *(f"recall_at_{k}_by_recording" for k in (10, 1)),  # where speakers have several recordings
        "recall_at_1_within_by_recording",
        "identity_bits",  # this and what follows where they are asked for
        *(f"craniofacial_{measure}" for measure in CRANIOFACIAL),
    ),
    references=(
        *("voice2face", "sf2f", "linear", "talkers_oracle"),
        *("chance", "mean_face", "mean_face_by_sex", "ground_truth"),
    ),
)

_ENHANCED = ("si_sdr", "pesq_wb", "estoi", "wer", "stoi", "rtf")

AV_ENHANCEMENT = SpeechFromMixture(
    name="av_enhancement",
    title="clean speech from noisy speech and the speaker's face",
    version=1,
    inputs={"noisy": "audio", "video": "video"},
    output="audio",
    target="speech",
    metrics=("pesq_wb", "stoi", "si_sdr", "wer", "rtf"),
    without_truth=("dnsmos", "wer", "rtf"),
    primary="si_sdr",
    columns=_ENHANCED,
    references=("noisy", "wiener", "flowavse", "clean"),
    protocol=Protocol(None, 1),
    batch_size=8,
)

AV_SEPARATION = replace(
    AV_ENHANCEMENT, name="av_separation", title="one talker's speech from a mixture of two and the talker's face"
)

TASKS = {task.name: task for task in (SPEECH2FACE, AV_ENHANCEMENT, AV_SEPARATION)}


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
