"""What can be set in voice2face: the architecture and inference, and, apart from them, the training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from baselines.settings import check
from baselines.voice2face.network import FaceCritics, Voice2FaceNetwork


@dataclass(frozen=True)
class Config:
    """Architecture and inference."""

    METHOD: ClassVar[str] = "voice2face"
    width: float = 1.0
    """Multiplies all channels; 1 is the paper's size."""
    embedding: int = 64
    """Length of the voice embedding."""
    vad: bool = True
    """Cut pauses first, as the official inference does."""
    stretch: bool = False
    """Stretch each picture to its own darkest and brightest value, as the official script saves them."""
    shortest_s: float = 0.5
    """Less speech than this is refused."""

    def __post_init__(self) -> None:
        check(self, width="(0, 4]", embedding="[1, inf)", shortest_s="[0.1, inf)")

    def network(self) -> Voice2FaceNetwork:
        return Voice2FaceNetwork(self.width, self.embedding)

    def critics(self, identities: int, training: Training) -> FaceCritics:
        """What the generator plays against; see `FaceCritics` for the number of identities."""
        return FaceCritics(identities, self.embedding, training.critic_width, training.shared_critics)


@dataclass(frozen=True)
class Training:
    """The official hyper-parameters, and the pretraining of the voice encoder, which the authors took ready-made.

    What only the preset `talkers` does, a warm-up and a gentler game, is off by default.
    """

    steps: int = 50_000
    batch: int = 128
    learning_rate: float = 2e-4
    beta1: float = 0.5
    beta2: float = 0.999
    crop_frames: tuple[int, int] = (300, 800)
    """Shortest and longest crop; one length per batch."""
    voice_steps: int = 20_000
    """Of the voice encoder as a recogniser of the training speakers; it is frozen afterwards."""
    voice_batch: int = 0
    """People in a batch of the voice encoder; 0 takes `batch`."""
    voice_learning_rate: float = 1e-3
    voice_scale: float = 16.0
    """Logits are this times the cosine between voice and class, or between two voices."""
    voice_loss: Literal["classes", "pairs"] = "classes"
    """`classes`: whose of all training speakers a recording is, by a weight vector for each. `pairs`: which of the
    batch's other recordings is of the same speaker; nothing is kept per speaker, so thousands are learnt as quickly as
    hundreds."""
    normalised_crops: bool = False
    """Normalise each bin over the crop again, so that a crop looks as a recording of its length does in use."""
    warm_up_steps: int = 0
    """Before the critics come: the generator learns the picture that is to be expected of a voice, by squared error
    against what ridge regression, in closed form, draws from the embedding."""
    warm_up_gain: float = 1.0
    """Times which an expected picture differs from the mean of all as regression says. Regression draws what is
    certain, so its pictures differ less than people do."""
    warm_up_learning_rate: float = 2e-3
    noise: float = 0.05
    """Of the standard normal vector that is added to an embedding in the game."""
    adversarial: float = 1.0
    """Weight of the discriminator's answer in the generator's loss."""
    classifier: float = 1.0
    """Weight of the classifier's answer in the generator's loss."""
    reconstruction: float = 0.0
    """Weight of the squared error to the expected picture, as in the warm-up, in the generator's loss; the authors' has
    no such."""
    real_target: float = 1.0
    """What the discriminator is told about true faces; below 1 (label smoothing) it stays unsure, and gentle."""
    classifier_loss: Literal["classes", "pairs"] = "classes"
    """As `voice_loss`, for the classifier of faces: a generated face is compared with the batch's true faces."""
    classifier_scale: float = 16.0
    """As `voice_scale`, where `classifier_loss` is `pairs`."""
    critic_width: float = 1.0
    shared_critics: bool = False
    """One face network below both critics, as in the authors' code, where the paper gives each its own parameters."""
    drawn_by_file: bool = False
    """Voices and faces drawn apart, each file as often as any other, as the authors'; else the same people for both."""
    face_resampling: Literal["bicubic", "nearest"] = "bicubic"
    """How training faces are resized: `bicubic`, or `nearest` as by the Pillow that the authors name."""
    ema: float = 0.0
    """Decay of the exponential moving average of the generator; 0, as the authors', keeps none."""
    anneal: bool = False
    """The learning rates of each stage fall to zero along half a cosine."""
    recordings: int = 0
    """Recordings per person that are kept, 0 for all."""
    kept_frames: int = 1000
    """Shorter recordings are repeated to so many frames, in which crops are cut; in use, always to 1000."""

    def __post_init__(self) -> None:
        check(self, ema="[0, 1)", real_target="(0.5, 1]", crop_frames="[1, inf)")
        if self.classifier_loss == "pairs" and self.drawn_by_file:
            raise ValueError("classifier_loss = 'pairs' compares faces of the people heard; set drawn_by_file = false")
        if self.kept_frames < self.crop_frames[1]:
            raise ValueError(
                f"kept_frames must be at least the longest crop, {self.crop_frames[1]}, got {self.kept_frames}"
            )
