"""What can be set in AVP-GAN: the architecture and inference, and, apart from them, the training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from baselines.avp_gan.enhancement import Enhancer, check_size
from baselines.avp_gan.network import AttentiveFaceEmbedding, AVPGANNetwork
from baselines.settings import check
from baselines.voice2face.config import Training as GameTraining
from baselines.voice2face.network import FaceCritics


@dataclass(frozen=True)
class Config:
    """Architecture and inference."""

    METHOD: ClassVar[str] = "avp_gan"
    width: float = 1.0
    """Multiplies all channels of voice encoder and generator; 1 is the paper's size."""
    embedding: int = 64
    """Length of the voice embedding."""
    cbam: bool = True
    """Attention in generator and critics; false is "AVP-GAN (no CBAM)" of Table 4."""
    reduction: int = 16
    """Channels of an attention's hidden layer are so many times fewer (r in Table 2; CBAM's own default)."""
    spectral: bool = True
    """Spectral normalisation in generator and critics."""
    enhance: bool = True
    """Enhance the generator's faces; false gives the intermediate faces of Fig. 7, 64 x 64."""
    resolution: int = 512
    """Side of an enhanced face: a power of two."""
    prior_width: float = 1.0
    """Multiplies all channels of the enhancement; 1 is GFPGAN's size."""
    prior_multiplier: int = 2
    """Of the enhancement's channels from 64 px on; GFPGAN v1.3 and v1.4 have 2."""
    prior_style: int = 512
    """Length of a style of the face prior."""
    prior_mapping: int = 8
    """Layers of the prior's mapping network, which enhancement leaves out."""
    vad: bool = True
    """Cut pauses first, as voice2face does."""
    shortest_s: float = 0.5
    """Less speech than this is refused."""

    def __post_init__(self) -> None:
        check(
            self,
            width="(0, 4]",
            embedding="[1, inf)",
            reduction="[1, inf)",
            prior_width="(0, 4]",
            prior_multiplier="[1, 2]",
            prior_style="[1, inf)",
            prior_mapping="[0, inf)",
            shortest_s="[0.1, inf)",
        )
        try:
            check_size(self.resolution)
        except ValueError as error:
            raise ValueError(f"resolution: {error}") from error

    @property
    def attention(self) -> int | None:
        return self.reduction if self.cbam else None

    def network(self) -> AVPGANNetwork:
        enhancer = self.enhancer() if self.enhance else None
        return AVPGANNetwork(self.width, self.embedding, self.attention, enhancer, self.spectral)

    def enhancer(self) -> Enhancer:
        return Enhancer(self.resolution, self.prior_style, self.prior_width, self.prior_multiplier, self.prior_mapping)

    def critics(self, identities: int, training: GameTraining) -> FaceCritics:
        """Discriminator and classifier; see `FaceCritics` for the number of identities."""

        def network() -> AttentiveFaceEmbedding:
            return AttentiveFaceEmbedding(self.embedding, training.critic_width, self.attention, self.spectral)

        return FaceCritics(identities, self.embedding, shared=training.shared_critics, network=network)


@dataclass(frozen=True)
class Training(GameTraining):
    """voice2face's training, whose losses are Eq. 12 to 14, and that of the enhancement, Eq. 7 to 11.

    The paper's weights are the defaults, and GFPGAN's where the paper says nothing.
    """

    ready_recogniser: bool = False
    """Hear by the voice encoder of voice2face's weights for Talkers, which was trained as a recogniser by that method's
    first stage: the paper takes a ready one too (Algorithm 1). False trains one."""
    without_cbam: bool = False
    """Train a second generator, without attention, beside the first on the same voice encoder: `cbam = false` draws
    with it, so that one file serves both rows of Table 4."""
    prior_steps: int = 0
    """Of the face prior alone, which learns to draw the training portraits; 0 where it comes trained, or not at all."""
    prior_batch: int = 16
    prior_learning_rate: float = 2e-3
    enhancement_steps: int = 800_000
    enhancement_batch: int = 12
    enhancement_learning_rate: float = 2e-3
    enhancement_beta1: float = 0.0
    """Of Adam; GFPGAN's. The other is 0.99."""
    begin_at_inputs: bool = False
    """Fit the prior's last layers, in closed form, so that enhanced faces begin near what they are made from."""
    frozen_prior: bool = True
    """Leave the prior as it was while the U-Net learns to steer it."""
    generated: float = 0.0
    """Part of a batch that is not a degraded portrait but the generator's face of a voice, to be made like a portrait
    of the speaker."""
    l1: float = 0.1
    """lambda_l1 of Eq. 7."""
    perceptual: float = 1.0
    """lambda_per of Eq. 7."""
    realism: float = 0.1
    """lambda_adv of Eq. 8."""
    local: float = 1.0
    """lambda_local of Eq. 9."""
    style: float = 200.0
    """lambda_fs of Eq. 9."""
    identity: float = 10.0
    """lambda_id of Eq. 10."""
    adversarial_form: Literal["paper", "gfpgan"] = "paper"
    """`paper`: -softplus(D) and log(1 - D_ROI), as printed; `gfpgan`: softplus(-D) and -log D_ROI, whose gradient does
    not vanish where a discriminator is sure, as GFPGAN's code has them."""
    perceptual_network: Literal["vgg19", "dlib"] = "vgg19"
    identity_network: Literal["arcface18", "dlib"] = "arcface18"
    discriminator_width: float = 1.0
    """Of the enhancement's discriminators."""
    eye_height: float = 0.469
    """Where the eyes are in a portrait, in parts of its side, from the top; FFHQ's alignment, as the next four."""
    eye_distance: float = 0.246
    eye_side: float = 0.156
    """Side of the square that a discriminator of eyes sees."""
    mouth_height: float = 0.725
    mouth_side: float = 0.234

    def __post_init__(self) -> None:
        super().__post_init__()
        parts = ("eye_height", "eye_distance", "eye_side", "mouth_height", "mouth_side")
        check(self, generated="[0, 1]", **{name: "(0, 1)" for name in parts})
