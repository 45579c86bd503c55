"""What can be set: the three networks and how they draw, and, apart from that, their trainings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from baselines.settings import check
from baselines.speech2face_ddpm.diffusion import Diffusion, Prediction, Solver
from baselines.speech2face_ddpm.network import Cascade
from baselines.speech2face_ddpm.unet import Shape

DRAWN = 64
"""Side of the face that the decoder draws."""
INFERENCE_ALONE = frozenset(
    {"resolution", "guidance", "solver", "steps", "super_steps", "threshold", "augmentation", "shortest_s"}
)
"""Settings that change nothing of a training but the measures beside it."""


@dataclass(frozen=True)
class Config:
    """Architecture (Table 1) and sampling; the defaults are the paper's as far as it gives them."""

    embedding: int = 512
    """Length of the face descriptor that the encoder tells and the decoder draws: 512 for ArcFace, 128 for dlib's."""
    encoder_width: float = 1.0
    """Multiplies the channels of the encoder's convolutions."""
    encoder_hidden: int = 4096
    """Units before the encoder's last layer."""
    decoder_dim: int = 256
    """Channels after the first convolution."""
    decoder_multiples: tuple[int, ...] = (1, 2, 3, 4)
    decoder_blocks: tuple[int, ...] = (3, 3, 3, 3)
    decoder_attention: tuple[bool, ...] = (False, True, True, True)
    """Which levels have self- and cross-attention: sizes of 1/2, 1/4 and 1/8."""
    decoder_groups: int = 32
    decoder_patch: int = 1
    """Squares of so many pixels a side are taken as one pixel with more colours; 1, as in the paper, for none."""
    super_dim: int = 64
    super_multiples: tuple[int, ...] = (1, 2, 4, 8, 16)
    super_blocks: tuple[int, ...] = (1, 1, 2, 4, 8)
    super_attention: tuple[bool, ...] = (False, False, False, False, True)
    super_groups: int = 16
    super_patch: int = 1
    heads: int = 4
    head_dim: int = 64
    large: int = 512
    """Side in pixels of what super-resolution makes of 64 x 64."""
    prediction: Prediction = "epsilon"
    """What both decoders tell of a noisy picture: its noise, or `v` (see `Diffusion`)."""
    diffusion_steps: int = 2000
    resolution: int = 512
    """Side of the output: 64, as the decoder draws it, or `large`."""
    guidance: float = 4.0
    """w of Eq. 6; 0 for none, which takes half the time."""
    solver: Solver = "ddpm"
    """`ddpm` samples every step as the paper does; `ddim` and `dpm` (DPM-Solver++) need few."""
    steps: int = 2000
    """Of sampling a face of 64 x 64."""
    super_steps: int = 2000
    """Of sampling in super-resolution."""
    threshold: float = 0.95
    """Dynamic thresholding at this part of a picture's values; 1 cuts off what leaves the range."""
    augmentation: float = 0.2
    """Noise on the small picture that super-resolution looks at, as a time of the schedule."""
    shortest_s: float = 0.5
    """Less speech than this is refused."""

    def __post_init__(self) -> None:
        check(
            self,
            encoder_width="(0, 4]",
            threshold="(0, 1]",
            augmentation="[0, 1]",
            guidance="[0, 100]",
            shortest_s="[0.1, inf)",
            diffusion_steps="[2, inf)",
            steps=f"[1, {self.diffusion_steps}]",
            super_steps=f"[1, {self.diffusion_steps}]",
            **dict.fromkeys(
                ("embedding", "encoder_hidden", "decoder_dim", "decoder_groups", "decoder_patch", "heads", "head_dim"),
                "[1, inf)",
            ),
            **dict.fromkeys(("decoder_multiples", "super_multiples"), "[1, inf)"),
            **dict.fromkeys(("decoder_blocks", "super_blocks"), "[0, inf)"),
            **dict.fromkeys(("super_dim", "super_groups", "super_patch", "large"), "[1, inf)"),
        )
        if self.resolution not in (DRAWN, self.large):
            raise ValueError(
                f"resolution must be {DRAWN}, the decoder's, or {self.large}, that of super-resolution; "
                f"got {self.resolution}"
            )
        for part, side, shape in (
            ("decoder", DRAWN, self.decoder_shape()),
            ("super", self.large, self.super_shape()),
        ):
            if not len(shape.multiples) == len(shape.blocks) == len(shape.attention) > 0:
                raise ValueError(
                    f"{part}_multiples, {part}_blocks and {part}_attention must have one entry a level, got "
                    f"{len(shape.multiples)}, {len(shape.blocks)} and {len(shape.attention)}"
                )
            if shape.dim % shape.groups:
                raise ValueError(f"{part}_dim must be a multiple of {part}_groups, got {shape.dim} and {shape.groups}")
            halvings = len(shape.multiples) - (0 if shape.efficient else 1)
            if side % (shape.patch * 2**halvings):
                raise ValueError(
                    f"{side} pixels must be a multiple of {part}_patch times 2 to the number of halvings, got "
                    f"{shape.patch} x {2**halvings}"
                )

    @property
    def portrait_side(self) -> int:
        """Pixels that training portraits must have."""
        return self.large

    def decoder_shape(self) -> Shape:
        return Shape(
            self.decoder_dim,
            self.decoder_multiples,
            self.decoder_blocks,
            self.decoder_attention,
            self.heads,
            self.head_dim,
            self.decoder_groups,
            self.decoder_patch,
        )

    def super_shape(self) -> Shape:
        return Shape(
            self.super_dim,
            self.super_multiples,
            self.super_blocks,
            self.super_attention,
            self.heads,
            self.head_dim,
            self.super_groups,
            self.super_patch,
            efficient=True,
        )

    def diffusion(self) -> Diffusion:
        return Diffusion(self.diffusion_steps, self.prediction)

    def network(self) -> Cascade:
        return Cascade(
            self.embedding, self.encoder_width, self.encoder_hidden, self.decoder_shape(), self.super_shape()
        )


@dataclass(frozen=True)
class Training:
    """How the three are trained, each for itself; the defaults are the paper's (Sec. 3.3, Table 1)."""

    encoder_steps: int = 430_000
    """0 leaves the encoder out; so with the others."""
    decoder_steps: int = 1_900_000
    super_steps: int = 7_400_000
    encoder_batch: int = 128
    decoder_batch: int = 64
    super_batch: int = 128
    encoder_rate: float = 1e-3
    decoder_rate: float = 2e-4
    """Its peak, after the warm-up."""
    super_rate: float = 5e-5
    optimiser: Literal["lamb", "adam"] = "lamb"
    decay: float = 0.95
    """Of the encoder's learning rate, at every `decay_every` steps; 1 for none."""
    decay_every: int = 10_000
    warm_up: int = 20
    """Epochs in which the rates of both decoders rise from a tenth, along a line."""
    anneal: bool = False
    """Rates fall to zero along half a cosine instead; the paper's do not."""
    clip: float = 0.0
    """Largest norm of the gradients; 0, as in the paper, sets no limit."""
    drop: float = 0.1
    """Part of the faces whose descriptor is withheld from the decoder."""
    ema: float = 0.9999
    """Of both decoders, and of the encoder where `encoder_ema`. The paper states none; diffusion is rarely without."""
    encoder_ema: float = 0.0
    augmentation: float = 1.0
    """Largest noise on the small picture in training, as a time of the schedule."""
    seconds: float = 6.0
    """Of speech in a step of the encoder: of a person's recordings, joined in random order, repeated as needed."""
    face_network: Literal["arcface", "dlib"] = "arcface"
    """Whose descriptor stands for a face. `dlib` looks at a fixed crop that fits drawn portraits alone."""
    centred: bool = False
    """Descriptors less the mean of everybody's, at unit length again: where faces are much alike, people differ by
    little else."""
    recordings: int = 0
    """Recordings per person that are read, 0 for all."""
    start_from: str = ""
    """Weights of an earlier training whose other parts the last export takes over, where they are not trained here."""

    def __post_init__(self) -> None:
        check(
            self,
            **dict.fromkeys(("encoder_steps", "decoder_steps", "super_steps"), "[0, inf)"),
            **dict.fromkeys(("warm_up", "recordings", "clip"), "[0, inf)"),
            **dict.fromkeys(("encoder_batch", "decoder_batch", "super_batch", "decay_every"), "[1, inf)"),
            **dict.fromkeys(("encoder_rate", "decoder_rate", "super_rate"), "(0, inf)"),
            drop="[0, 1]",
            decay="(0, 1]",
            augmentation="[0, 1]",
            ema="[0, 1)",
            encoder_ema="[0, 1)",
            seconds="[2.7, 60]",
        )
        if not (self.encoder_steps or self.decoder_steps or self.super_steps):
            raise ValueError("encoder_steps, decoder_steps and super_steps are all 0: there is nothing to train")
