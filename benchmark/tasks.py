"""The tasks: what goes in, what must come out, how it is scored by default."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmark.errors import MediaError, UnknownName, UsageError, did_you_mean
from benchmark.media import is_video, read_audio, since_sound
from benchmark.media.clips import crop_speech, mixed, mixture_clip, only_file, spoken_clip
from benchmark.registry import CRANIOFACIAL
from benchmark.types import Audio, Example, Grey, Sample, derive_seed

ENHANCED = "enhanced:"
"""Begins the enrolment that is made by an enhancer: `enhanced:deepfilternet`."""
ENROLMENTS = {
    "other": "another utterance of the speaker",
    "clean": "the clean speech itself",
    "noisy": "the speech itself in noise, at -10 dB or as it was recorded",
}
"""Where a method that is told whose voice to give hears it (LipDiffuser, Table 3), and what a table says of it."""
LEAST_ENROLLED_S = 0.5
"""A shorter recording tells too little of a voice."""
LEAST_PICTURES = 5
"""A fifth of a second: shorter than any syllable."""
ENROLLED_DB = -10.0
"""SNR of an enrolment in noise, whatever that of the row; a recording that is noisy as it is stays so."""


@dataclass(frozen=True)
class Protocol:
    """The choices of an evaluation that a table has to state."""

    seconds: float | None = 5.0
    """Length of each clip; None takes whole recordings."""
    repeats: int = 10
    """Evaluation runs, each with other random crops (SF2F, App. E.2), or where nothing is cropped with other noise
    inside the method."""
    enrolment: str | None = None
    """One of ENROLMENTS, or ENHANCED and the name of the method that enhances the noisy one; None where the task has
    none, or a method does not hear it."""

    def __post_init__(self) -> None:
        if self.seconds is not None and not 0.1 <= self.seconds <= 3600:
            raise UsageError(f"--seconds {self.seconds}: expected 0.1 to 3600, or 0 for whole recordings")
        if not 1 <= self.repeats <= 1000:
            raise UsageError(f"--repeats {self.repeats}: expected 1 to 1000")
        known = self.enrolment in (None, *ENROLMENTS) or self.enhancer
        if not known:
            raise UsageError(
                f"--enrolment {self.enrolment}: expected {', '.join(ENROLMENTS)} or {ENHANCED}METHOD, as "
                f"{ENHANCED}deepfilternet"
            )

    @property
    def enhancer(self) -> str | None:
        """The method that makes the enrolment of noisy speech, where one does."""
        return enhancer_of(self.enrolment)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def enhancer_of(enrolment: str | None) -> str | None:
    """The method that an enrolment names to enhance it: `deepfilternet` of `enhanced:deepfilternet`; None of others."""
    name = (enrolment or "").removeprefix(ENHANCED)
    return name if name and name != enrolment else None


def enrolled(enrolment: str) -> str:
    """What a table says of an enrolment: `another utterance of the speaker`."""
    if enrolment.startswith(ENHANCED):
        return f"{ENROLMENTS['noisy']}, enhanced by {enrolment.removeprefix(ENHANCED)}"
    return ENROLMENTS.get(enrolment, enrolment)


class Signals(NamedTuple):
    """What is known of a sample beside the outputs: what they are compared with, by numbers, eyes and ears.

    Shape: both `[T]` float32
    """

    noisy: np.ndarray | None
    clean: np.ndarray | None
    start_s: float = 0.0
    """Where in the recording they begin."""


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
        self,
        sample: Sample,
        repeat: int,
        protocol: Protocol,
        seed: int,
        weights: str,
        grey: Grey = "luma",
        wanted: Collection[str] | None = None,
    ) -> Example:
        """Read and crop one sample's inputs for one repeat.

        What a method is given depends on sample, repeat and run seed but not on the method, so that all get the same.

        Args:
            grey: of pictures, as the method takes them (`Method.grey`).
            wanted: the inputs that the method makes use of (`Method.hears`); what is costly to read is read for those
                alone. None reads all.

        Raises:
            MediaError: what the sample needs cannot be read or used.
        """

    @abstractmethod
    def read(
        self,
        source: Path,
        video: Path | None,
        grey: Grey = "luma",
        enrolment: Path | None = None,
        wanted: Collection[str] | None = None,
    ) -> dict[str, Any]:
        """The inputs that a user's own files give, whole.

        Args:
            source: a recording, or a video with its sound.
            video: the pictures, where they are another file.
            grey: of pictures, as for `open`.
            enrolment: a recording of the voice that is to be heard.
            wanted: as for `open`: of sound alone a method that does not look is given the sound.

        Raises:
            MediaError: a file cannot be read or used.
            UsageError: a video or an enrolment where the task takes none, or none where it needs one.
        """

    def opening(self, sample: Sample, protocol: Protocol, seed: int) -> np.ndarray | None:
        """How far the mouth of who is to be heard is open while the output lasts; None where no video shows it.

        Returns:
            `[N]`, 25 a second, of any scale; NaN where no face is found.

        Raises:
            MediaError: a file cannot be read or used.
        """
        return None

    @abstractmethod
    def lacks(self, sample: Sample, protocol: Protocol, heard: Collection[str] | None = None) -> str | None:
        """Why a method can make nothing of a sample, as far as its row tells, no file is opened; None where it may.

        Args:
            heard: the inputs that the method makes use of (`Method.hears`); None is those that every dataset has.
        """

    def lacks_enrolment(self, sample: Sample, protocol: Protocol) -> str | None:
        """Why a sample has nothing to enrol of the kind that the protocol asks for, if for any; None where it has."""
        return None

    def all_lack(
        self, samples: Sequence[Sample], protocol: Protocol, heard: Collection[str] | None = None
    ) -> str | None:
        """Why a method can make nothing of any sample, as `lacks` says of the first; None where it may of one."""
        reasons = (self.lacks(sample, protocol, heard) for sample in samples)
        first = next(reasons, None)
        return first if first and all(reasons) else None

    def signals(self, sample: Sample, protocol: Protocol, seed: int) -> Signals:
        """Noisy and clean speech as `open` gives them, as far as they are known, without a look at the video.

        Raises:
            MediaError: as `open`.
        """
        return Signals(None, None)


class FaceFromSpeech(Task):
    """Inputs `speech`: Audio, a random crop of the speaker's recordings."""

    def open(
        self,
        sample: Sample,
        repeat: int,
        protocol: Protocol,
        seed: int,
        weights: str,
        grey: Grey = "luma",
        wanted: Collection[str] | None = None,
    ) -> Example:
        crop = derive_seed("crop", self.name, self.version, sample.id, repeat, seed)
        speech = crop_speech(sample, protocol.seconds, self.rate, crop)
        return Example(sample, repeat, derive_seed(weights, sample.id, seed, repeat), {"speech": speech})

    def read(
        self,
        source: Path,
        video: Path | None,
        grey: Grey = "luma",
        enrolment: Path | None = None,
        wanted: Collection[str] | None = None,
    ) -> dict[str, Any]:
        if video is not None:
            raise UsageError(f"--video {video}: {self.name} looks at no video")
        _refuse(enrolment, self.name)
        return {"speech": read_audio(source, self.rate)}

    def lacks(self, sample: Sample, protocol: Protocol, heard: Collection[str] | None = None) -> str | None:
        return None if sample.inputs.get("speech") else "no speech is in it"


class SpeechFromMixture(Task):
    """Inputs `noisy`: Audio; `video`: FaceVideo of who is to be heard. The truth is the clean speech, if it is known.

    `decoy`, where the mixing list has one, is a function without arguments that opens another person's video.

    A mixture is the same in every repeat; what differs is the noise inside a method. Sound and pictures of one file are
    paired by their time stamps; those of two files are taken to begin at once.
    """

    def open(
        self,
        sample: Sample,
        repeat: int,
        protocol: Protocol,
        seed: int,
        weights: str,
        grey: Grey = "luma",
        wanted: Collection[str] | None = None,
    ) -> Example:
        from benchmark.media.face_video import FPS, clip_video, read_face_video

        wanted = self.inputs if wanted is None else wanted
        clip = mixture_clip(sample, protocol.seconds, self.rate, seed)
        find = sample.attributes.get("framing") == "scene"
        start_s, seconds = clip.start / self.rate, len(clip.mixture.noisy) / self.rate
        inputs: dict[str, Any] = {}
        if "noisy" in wanted:
            inputs["noisy"] = Audio(clip.mixture.noisy, self.rate)
        if "video" in wanted:
            path = only_file(sample, sample.inputs.get("video", ()), "video")
            video = read_face_video(path, find, grey)
            if (sample.inputs.get("noisy") or sample.targets["speech"]) == (path,):
                video = video._replace(frames=since_sound(path, video.frames, FPS, clip.source_s))
            inputs["video"] = clip_video(video, start_s, seconds, clip.source_s)
        for path in sample.inputs.get("decoy", ()):
            inputs["decoy"] = partial(read_face_video, path, find, grey)
        truth = None if clip.mixture.clean is None else Audio(clip.mixture.clean, self.rate)
        return Example(sample, repeat, derive_seed(weights, sample.id, seed, repeat), inputs, truth)

    def read(
        self,
        source: Path,
        video: Path | None,
        grey: Grey = "luma",
        enrolment: Path | None = None,
        wanted: Collection[str] | None = None,
    ) -> dict[str, Any]:
        from benchmark.media.face_video import FPS, clip_video, read_face_video

        _refuse(enrolment, self.name)
        noisy = read_audio(source, self.rate)
        if video is None and not is_video(source):
            if wanted is not None and "video" not in wanted:
                return {"noisy": noisy}
            raise UsageError(f"{source} has no pictures: give a video, or the video of this recording with --video")
        face = read_face_video(video or source, True, grey)
        if video in (None, source):
            face = face._replace(frames=since_sound(source, face.frames, FPS, noisy.seconds))
        return {"noisy": noisy, "video": clip_video(face, 0.0, noisy.seconds, noisy.seconds)}

    def lacks(self, sample: Sample, protocol: Protocol, heard: Collection[str] | None = None) -> str | None:
        if not _is_heard(sample):
            return "no speech is in it"
        if not _has_noise(sample):
            return "nothing is mixed with noise there"
        return _unseen(sample) if heard is None or "video" in heard else None

    def signals(self, sample: Sample, protocol: Protocol, seed: int) -> Signals:
        clip = mixture_clip(sample, protocol.seconds, self.rate, seed)
        return Signals(*clip.mixture, clip.start / self.rate)

    def opening(self, sample: Sample, protocol: Protocol, seed: int) -> np.ndarray | None:
        return _opening(sample, protocol.seconds, self.rate)

    def truth(self, sample: Sample, protocol: Protocol, seed: int) -> Audio | None:
        """The clean speech alone, as `open` gives it, without a look at the video; None where nobody knows it."""
        if not sample.targets.get(self.target):
            return None
        clean = mixture_clip(sample, protocol.seconds, self.rate, seed).mixture.clean
        assert clean is not None
        return Audio(clean, self.rate)


class SpeechFromLips(Task):
    """Inputs `mouth`: MouthVideo of who speaks; `enrolment`: Audio of the voice; `noisy`: Audio, where noise is known.

    Output and truth are as long as the video: of N pictures, N x 640 samples. The pictures are those on screen while
    the speech lasts, counted up, and silence fills what the last one lasts beyond it; of a video whose speech nobody
    knows all pictures are taken. The truth is the clean speech at its own level; `noisy` is what enhancers are given
    beside it, mixed as for `av_enhancement`.

    `decoy` and `enrolment_decoy`, where the list has them, are functions without arguments that open the mouth and
    the voice of another person.
    """

    def open(
        self,
        sample: Sample,
        repeat: int,
        protocol: Protocol,
        seed: int,
        weights: str,
        grey: Grey = "luma",
        wanted: Collection[str] | None = None,
    ) -> Example:
        from benchmark.media.face_video import FPS, clip_frames
        from benchmark.media.mouth_video import read_mouth_video

        wanted = self.inputs if wanted is None else wanted
        inputs: dict[str, Any] = {}
        path = only_file(sample, sample.inputs.get("video", ()), "video")
        mouth = read_mouth_video(path, grey) if "mouth" in wanted or not _is_heard(sample) else None
        if _is_heard(sample):
            clip = spoken_clip(sample, protocol.seconds, self.rate)
            speech = clip.clean if clip.clean is not None else clip.recorded
            assert speech is not None
            length, start_s, source_s = len(speech), clip.start / self.rate, clip.source_s
            truth = None if clip.clean is None else Audio(self._padded(clip.clean), self.rate)
            if "noisy" in wanted and _has_noise(sample):
                inputs["noisy"] = Audio(self._padded(mixed(sample, clip, self.rate, seed).noisy), self.rate)
            if mouth is not None and (sample.inputs.get("noisy") or sample.targets["speech"]) == (path,):
                mouth = mouth._replace(frames=since_sound(path, mouth.frames, FPS, source_s))
        else:
            assert mouth is not None
            start_s, source_s = 0.0, len(mouth.frames) / FPS
            length, truth = round((protocol.seconds or source_s) * self.rate), None
        if mouth is not None:
            inputs["mouth"] = mouth._replace(frames=clip_frames(mouth.frames, start_s, length / self.rate, source_s))
        if "enrolment" in wanted and protocol.enrolment is not None:
            inputs["enrolment"] = self._enrolment(sample, protocol, seed)
        for decoy in sample.inputs.get("decoy", ()):
            inputs["decoy"] = partial(read_mouth_video, decoy, grey)
        for decoy in sample.inputs.get("enrolment_decoy", ()):
            inputs["enrolment_decoy"] = partial(read_audio, decoy, self.rate)
        return Example(sample, repeat, derive_seed(weights, sample.id, seed, repeat), inputs, truth)

    def read(
        self,
        source: Path,
        video: Path | None,
        grey: Grey = "luma",
        enrolment: Path | None = None,
        wanted: Collection[str] | None = None,
    ) -> dict[str, Any]:
        from benchmark.media.mouth_video import read_mouth_video

        if video is not None:
            raise UsageError(f"--video {video}: {self.name} hears nothing but --enroll; give the video with --input")
        if not is_video(source):
            raise UsageError(f"--input {source}: expected a video of who speaks, for {self.name} reads lips")
        if enrolment is None:
            raise UsageError(
                f"{self.name} needs a recording of the voice that is to be heard: give any speech of the person, or "
                "of somebody else, with --enroll voice.wav"
            )
        voice = _voice(enrolment, self.rate)
        mouth = read_mouth_video(source, grey)
        if len(mouth.frames) < LEAST_PICTURES:
            raise MediaError(
                f"{source}: {len(mouth.frames)} pictures at 25 a second; expected at least {LEAST_PICTURES}"
            )
        if mouth.without_face == len(mouth.frames):
            raise MediaError(
                f"{source}: no face was found in any of its {len(mouth.frames)} pictures, and so no lips to read; "
                "expected one from the front"
            )
        return {"enrolment": voice, "mouth": mouth}

    def opening(self, sample: Sample, protocol: Protocol, seed: int) -> np.ndarray | None:
        return _opening(sample, protocol.seconds, self.rate)

    def lacks(self, sample: Sample, protocol: Protocol, heard: Collection[str] | None = None) -> str | None:
        if reason := _unseen(sample):
            return reason
        if "noisy" in (heard or ()) and not (_is_heard(sample) and _has_noise(sample)):
            return "nothing is mixed with noise there"
        return self.lacks_enrolment(sample, protocol) if heard is None or "enrolment" in heard else None

    def lacks_enrolment(self, sample: Sample, protocol: Protocol) -> str | None:
        if protocol.enrolment is None:
            return None
        if protocol.enrolment == "other":
            lonely = "there is no other utterance of this speaker to enrol; --enrolment clean takes this one"
            return None if sample.inputs.get("enrolment") else lonely
        if not _is_heard(sample) or (protocol.enrolment == "clean" and not sample.targets.get(self.target)):
            return "nobody knows the speech itself, which is to enrol; --enrolment other takes another utterance"
        if protocol.enrolment != "clean" and not _has_noise(sample):
            return "there is no noise to enrol in; --enrolment other or clean takes speech without"
        return None

    def signals(self, sample: Sample, protocol: Protocol, seed: int) -> Signals:
        if not _is_heard(sample):
            return Signals(None, None)
        clip = spoken_clip(sample, protocol.seconds, self.rate)
        noisy = mixed(sample, clip, self.rate, seed).noisy if _has_noise(sample) else None
        padded = (None if signal is None else self._padded(signal) for signal in (noisy, clip.clean))
        return Signals(*padded, clip.start / self.rate)

    def truth(self, sample: Sample, protocol: Protocol, seed: int) -> Audio | None:
        """The clean speech alone, as `open` gives it, without a look at the video; None where nobody knows it."""
        if not sample.targets.get(self.target):
            return None
        clean = spoken_clip(sample, protocol.seconds, self.rate).clean
        assert clean is not None
        return Audio(self._padded(clean), self.rate)

    def _enrolment(self, sample: Sample, protocol: Protocol, seed: int) -> Audio:
        """What the protocol gives of the speaker's voice; where a method is to enhance it, what that is given.

        Raises:
            MediaError: the sample has nothing of the kind.
        """
        if reason := self.lacks_enrolment(sample, protocol):
            raise MediaError(reason)
        if protocol.enrolment == "other":
            return _voice(only_file(sample, sample.inputs["enrolment"], "enrolment"), self.rate)
        whole = spoken_clip(sample, None, self.rate)
        if protocol.enrolment == "clean":
            assert whole.clean is not None
            return Audio(whole.clean, self.rate)
        return Audio(mixed(sample, whole, self.rate, seed, ENROLLED_DB).noisy, self.rate)

    def _padded(self, speech: np.ndarray) -> np.ndarray:
        """Silence up to the end of the last picture."""
        return np.pad(speech, (0, -len(speech) % (self.rate // 25)))


def _opening(sample: Sample, seconds: float | None, rate: int) -> np.ndarray:
    """Of the mouth in a sample's video, in the pictures that a method is given."""
    from benchmark.media.face_video import FPS, clip_frames
    from benchmark.media.mouth_opening import mouth_opening

    path = only_file(sample, sample.inputs.get("video", ()), "video")
    opening = mouth_opening(path)
    if not _is_heard(sample):
        return clip_frames(opening, 0.0, seconds or len(opening) / FPS, len(opening) / FPS)
    clip = spoken_clip(sample, seconds, rate)
    speech = clip.clean if clip.clean is not None else clip.recorded
    assert speech is not None
    if (sample.inputs.get("noisy") or sample.targets["speech"]) == (path,):
        opening = since_sound(path, opening, FPS, clip.source_s)
    return clip_frames(opening, clip.start / rate, len(speech) / rate, clip.source_s)


def _voice(path: Path, rate: int) -> Audio:
    """A recording to enrol.

    Raises:
        MediaError: unusable, too short or silent.
    """
    voice = read_audio(path, rate)
    if voice.seconds < LEAST_ENROLLED_S:
        raise MediaError(
            f"{path}: {voice.seconds:.2f} s of the voice that is to be heard; expected at least "
            f"{LEAST_ENROLLED_S:g} s, better some seconds"
        )
    if not voice.samples.any():
        raise MediaError(f"{path}: the voice that is to be heard is silent")
    return voice


def _is_heard(sample: Sample) -> bool:
    """Whether the speech of a video is known, clean or as it was recorded."""
    return bool(sample.targets.get("speech") or sample.inputs.get("noisy"))


def _has_noise(sample: Sample) -> bool:
    """Whether a row is a mixture, or noisy as it was recorded."""
    return bool(sample.inputs.get("noisy")) or "noise" in sample.attributes


def _unseen(sample: Sample) -> str | None:
    return None if sample.inputs.get("video") else "no video shows who speaks"


def _refuse(enrolment: Path | None, task: str) -> None:
    if enrolment is not None:
        raise UsageError(f"--enroll {enrolment}: {task} is not told whose voice to give")


SPEECH2FACE = FaceFromSpeech(
    name="speech2face",
    title="a face from a voice",
    version=1,
    inputs={"speech": "audio"},
    output="image",
    target="face",
    metrics=("face_similarity", "retrieval", "vggface_score", "sex_agreement", "age_agreement", "face_detection_rate"),
    without_truth=("face_detection_rate",),
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

LIP2SPEECH = SpeechFromLips(
    name="lip2speech",
    title="speech from silent video and a sample of the voice",
    version=1,
    inputs={"mouth": "mouth video", "enrolment": "audio", "noisy": "audio"},
    output="audio",
    target="speech",
    metrics=("wer", "wer_by_clip", "dnsmos", "speaker_similarity", "lps", "lip_sync", "delay", "rtf"),
    without_truth=("dnsmos", "wer", "lip_sync", "rtf"),
    primary="wer",
    columns=(
        *("wer", "dnsmos_p808", "speaker_similarity", "lps", "lip_sync_strength", "lip_sync_ms", "dnsmos_ovrl"),
        *("dnsmos_sig", "dnsmos_bak", "rtf", "wer_by_clip"),
        "delay_ms",
        "nisqa_mos",  # where it is asked for: its network is published, not shipped
    ),
    references=("noisy", "deepfilternet", "lipdiffuser", "clean"),
    protocol=Protocol(None, 1, "other"),
    batch_size=8,
)

TASKS = {task.name: task for task in (SPEECH2FACE, AV_ENHANCEMENT, AV_SEPARATION, LIP2SPEECH)}


def get_task(name: str) -> Task:
    if name not in TASKS:
        raise UnknownName(f"Unknown task '{name}'.{did_you_mean(name, TASKS)} Tasks: {', '.join(TASKS)}")
    return TASKS[name]


def with_protocol(task: Task, seconds: float | None, repeats: int | None, enrolment: str | None = None) -> Protocol:
    """The task's protocol with what the user set; 0 seconds means whole recordings.

    Raises:
        UsageError: out of range, or an enrolment for a task that takes none.
    """
    protocol = task.protocol
    if enrolment is not None:
        if protocol.enrolment is None:
            raise UsageError(f"--enrolment {enrolment}: {task.name} is not told whose voice to give")
        protocol = replace(protocol, enrolment=enrolment)
    if seconds is not None:
        protocol = replace(protocol, seconds=None if seconds == 0 else seconds)
    if repeats is not None:
        protocol = replace(protocol, repeats=repeats)
    return protocol
