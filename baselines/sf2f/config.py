"""What can be set in SF2F: the architecture and inference, and, apart from them, the training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from baselines.layers.width import scaled
from baselines.settings import check
from baselines.sf2f.network import EMBEDDING, SF2FNetwork


@dataclass(frozen=True)
class Config:
    """Architecture and inference; every ablation of Table 7 that is not a loss is here."""

    variant: Literal["paper", "official"] = "paper"
    """`paper` follows the text and its tables, `official` the released code, in training too."""
    width: float = 1.0
    """Multiplies all channels; 1 is the paper's size."""
    resolution: int = 64
    """Side of the output in pixels: 64 or 128."""
    multi_resolution: bool = False
    """Train heads for 64 and 128 px together (Fig. 8); the larger face is the output."""
    encoder: Literal["inception", "baseline"] = "inception"
    """`baseline` is voice2face's plain 1D-CNN (Table 7)."""
    decoder: Literal["upsampling", "baseline"] = "upsampling"
    """`baseline` is voice2face's deconvolution (Table 7)."""
    linear_start: int = 0
    """Rank of a linear map from the embedding to a picture to which the decoder adds; 0, as in the paper, for none."""
    fuser: bool = True
    """False: the encoder takes all of the speech in one pass ("SF2F (no fuser)" in Table 3)."""
    window_frames: int = 125
    """Frames of 10 ms in a window: 1.25 s (Sec. 4)."""
    overlap: float = 0.5
    """Part that a window shares with the one before."""
    vad: bool = False
    """Cut pauses first, as the official preparation of VoxCeleb does."""
    shortest_s: float = 0.5
    """Less speech than this is refused: the shortest of Table 4."""

    def __post_init__(self) -> None:
        check(self, width="(0, 4]", overlap="[0, 1)", window_frames="[10, inf)", shortest_s="[0.1, inf)")
        if self.resolution not in (64, 128):
            raise ValueError(f"resolution must be 64 or 128, got {self.resolution}")
        if self.multi_resolution and self.resolution != 128:
            raise ValueError("multi_resolution trains 64 px beside 128 px: set resolution = 128")
        if self.decoder == "baseline" and self.resolution != 64:
            raise ValueError("decoder = 'baseline' makes 64 px only: set resolution = 64")
        longest = scaled(EMBEDDING, self.width)
        if not 0 <= self.linear_start <= longest:
            raise ValueError(
                f"linear_start must be 0 to {longest}, the length of the embedding at width {self.width}, "
                f"got {self.linear_start}"
            )
        if self.linear_start and (self.multi_resolution or (self.variant == "official" and self.resolution == 128)):
            raise ValueError("linear_start draws one resolution, this configuration two: set linear_start = 0")

    def network(self) -> SF2FNetwork:
        return SF2FNetwork(
            self.variant,
            self.width,
            self.resolution,
            self.multi_resolution,
            self.encoder,
            self.decoder,
            self.fuser,
            self.linear_start,
        )


@dataclass(frozen=True)
class Training:
    """The paper's hyper-parameters (Table 13, App. E.1); a loss weight of 0 is one of Table 7's ablations."""

    voice_encoder_steps: int = 0
    """Of the encoder alone, which learns the face network's descriptor of the speaker; 0, as in the paper, for none."""
    steps: int = 120_000
    """Of the encoder and decoder."""
    fuser_steps: int = 360
    batch: int = 256
    voice_encoder_batch: int = 64
    anneal: bool = False
    """Learning rates of encoder and decoder, and of the fuser, fall to zero along half a cosine; the paper's do not."""
    learning_rate: float = 5e-4
    voice_encoder_learning_rate: float = 2e-3
    linear_learning_rate: float = 3e-5
    """Of the linear start, where there is one, beside the decoder."""
    frozen_encoder: bool = False
    """Keep the encoder as its own stage left it while the decoder learns; the paper trains both together."""
    fuser_learning_rate: float = 5e-4
    critic_learning_rate: float = 5e-4
    """Of D_real and D_id; the paper does not set it apart."""
    fuser_critic_learning_rate: float = 5e-4
    """The same while the fuser is trained."""
    beta1: float = 0.9
    beta2: float = 0.98
    l1: float = 10.0
    """Lambda 1, of the image reconstruction."""
    l2: float = 0.0
    """Of squared differences of pixels; not in the paper."""
    adversarial: float = 1.0
    """Lambda 2, of D_real."""
    classifier: float = 0.05
    """Lambda 3, of D_id."""
    perceptual: float = 100.0
    """Lambda 4, of the face network's features."""
    descriptor: float = 0.0
    """Of 1 - cosine between the face network's descriptors of the face and of the person, both less everyone's mean;
    not in the paper."""
    linear_gain: float = 1.0
    """Times which the linear start's faces differ from the mean face as regression says: it draws what is certain."""
    target: Literal["portrait", "linear"] = "portrait"
    """What pixels and features are held against: one portrait at random, or, with a linear start, what that draws of
    the same voice as the stage begins, so that the decoder departs from it where the face network asks for it alone."""
    blurs: int = 0
    """The face network sees generated faces after up to so many passes of a 3x3 binomial blur, at random by batch: no
    pattern of single pixels pleases it then. Not in the paper."""
    shake: float = 0.0
    """It sees them shifted, and scaled, at random by this standard deviation in parts of the picture, as a judge's
    alignment would leave them. Not in the paper."""
    crop_frames: tuple[int, int] = (100, 150)
    """Shortest and longest crop of the first stage; one length per batch (1 to 1.5 s)."""
    fuser_seconds: tuple[float, float] = (6.0, 25.0)
    """Shortest and longest speech of the second stage; one length per batch."""
    perceptual_network: Literal["facenet140", "dlib"] = "facenet140"
    """`facenet140`, FaceNet on the paper's crop; or `dlib`, dlib's network on a crop of its own."""
    discriminator_width: float = 1.0
    ema: float = 0.0
    """Decay of the exponential moving average of encoder and decoder; 0, as in the paper, keeps none."""
    recordings: int = 0
    """Recordings per person that are read, 0 for all."""

    def __post_init__(self) -> None:
        check(self, ema="[0, 1)", crop_frames="[1, inf)", fuser_seconds="(0, inf)")
