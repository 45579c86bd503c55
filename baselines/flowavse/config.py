"""What can be set in FlowAVSE, AVDiffuSS and their relatives: network and inference, and, apart, the training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from baselines.flowavse.flow_matching import FlowMatching, Prior
from baselines.flowavse.ncsnpp import Size
from baselines.flowavse.network import FlowAVSENetwork
from baselines.settings import check
from benchmark.types import Grey

Field = Callable[[Tensor, Tensor], Tensor]
"""field(state `[B, 2, F, T]`, time `[B]`) -> the velocity or score there."""


INFERENCE_ALONE = frozenset(
    {"video", "padding", "pictures", "longest_s", "precision", "steps", "temperature", "corrector_snr"},
)
"""Settings of the methods that change nothing of a training but the measures beside it."""


@dataclass(frozen=True)
class SpectrogramConfig(ABC):
    """What every method has that works on the compressed complex spectrogram, with or without a face."""

    exponent: float = 0.5
    factor: float = 0.33
    """Compression of the spectrogram: factor |X|^exponent."""
    padding: Literal["zeros", "mirror"] = "zeros"
    """What fills the frames up to a multiple of 64: zeros, as in the official inference, or the sound played backwards
    from its end. Trainings see full clips alone, so zeros are new to the networks."""
    longest_s: float = 10.24
    """Longer recordings are worked on in windows of at most this length, which overlap."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Of the networks' arithmetic on a GPU, where torch rounds the convolutions of `float32` as TF32 unless it is told
    otherwise; a CPU always takes float32."""

    def __post_init__(self) -> None:
        check(self, exponent="(0, 1]", factor="(0, inf)", longest_s="[2.04, 600]")

    @abstractmethod
    def network(self) -> nn.Module:
        """The network with random weights."""

    @abstractmethod
    def refined(self, field: Field, estimate: Tensor, draw: Callable[[], Tensor]) -> Tensor:
        """What sampling makes of a first estimate, or of the noisy speech. Shape: `[B, 2, F, T]` -> `[B, 2, F, T]`.

        Args:
            draw: complex normal noise of variance 1 a bin, shaped like `estimate`.
        """


@dataclass(frozen=True)
class EnhancerConfig(SpectrogramConfig):
    """What FlowAVSE and AVDiffuSS have in common."""

    size: Size = "large"
    """`large`, `medium` or `small` (Table 1)."""
    width: float = 1.0
    """Multiplies all channels; 1 is the paper's size."""
    shared_encoder: bool = False
    """One visual encoder for both stages, as Fig. 2 draws it; the paper's count of parameters needs two."""
    video_window: float = 0.0
    """Frames of video, as the standard deviation of the window through which a frame of sound looks at them; 0 is none,
    as in the paper: the networks then have to learn which picture belongs to which sound."""
    video: Literal["own", "shuffled"] = "own"
    """`shuffled` looks at another person's video: what the face is worth."""
    pictures: Literal["own", "held"] = "own"
    """What is shown beside the frames that were filled up: nothing more, so that the networks see the pictures of the
    sound alone, as in the official inference; or the last picture, held to the end."""
    grey: Grey = "opencv"
    """Grey pictures as OpenCV makes them of the decoded colours, as in the official code, or the codec's luma."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self, width="(0, 4]", video_window="[0, inf)")

    def network(self) -> FlowAVSENetwork:
        return FlowAVSENetwork(self.size, self.width, self.shared_encoder, video_window=self.video_window)


@dataclass(frozen=True)
class Config(EnhancerConfig):
    """FlowAVSE's own."""

    steps: int = 1
    """Euler steps; 1 in the paper, Fig. 4 shows more. 0 gives the first stage alone."""
    sigma: float = 0.04
    """Standard deviation of the path (Eq. 6)."""
    start: float = 0.03
    """Time at which sampling and training begin; above 0."""
    prior: Prior = "estimate"
    """Mean of the distribution at time 0: the first stage's estimate, or `zero` (Table 3)."""
    temperature: float = 1.0
    """Part of sigma that is drawn at the start of sampling; 0 starts at the mean."""
    divide_by_time: bool = True
    """The second stage's output is divided by time, which the official code keeps from score models. At the smallest
    time that is a factor of 33 on every error: a short training does better without."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self, steps="[0, 1000]", start="(0, 1)", sigma="[0, inf)", temperature="[0, inf)")

    def network(self) -> FlowAVSENetwork:
        return FlowAVSENetwork(
            self.size, self.width, self.shared_encoder, self.divide_by_time, video_window=self.video_window
        )

    def flow(self) -> FlowMatching:
        return FlowMatching(self.sigma, self.start, self.prior)

    def refined(self, field: Field, estimate: Tensor, draw: Callable[[], Tensor]) -> Tensor:
        """Euler steps from the estimate, or from noise where `prior` is `zero`."""
        if not self.steps:
            return estimate
        flow = self.flow()
        source = flow.source(estimate, draw() if self.prior == "zero" else estimate)
        return flow.sample(field, source, self.temperature * draw(), self.steps)


@dataclass(frozen=True)
class MixtureTraining:
    """How networks are trained on speech that is mixed anew each time."""

    steps: int = 1_000_000
    """Of FlowAVSE's paper: about 15 epochs of VoxCeleb2 at its batch."""
    batch: int = 16
    frames: int = 256
    """Of the spectrogram, 8 ms each: 2.04 s."""
    learning_rate: float = 1e-4
    anneal: bool = False
    """The learning rate falls to zero along half a cosine."""
    clip: float = 0.0
    """Largest norm of the gradients; 0, as in the papers, sets no limit."""
    ema: float = 0.999
    talker_share: float = 0.0
    """Part of the mixtures with another talker instead of noise; 1 trains for separation (FlowAVSE, Table 2)."""
    snr_low_db: float = 0.0
    snr_high_db: float = 0.0
    """SNRs are drawn between these."""
    shards: bool = True
    """Clips are decoded once and kept on disk, with their video about a megabyte each for three seconds. Without, a
    clip is decoded whenever it is drawn, which takes longer and no room."""

    def __post_init__(self) -> None:
        check(
            self,
            **dict.fromkeys(("steps", "batch"), "[1, inf)"),
            learning_rate="(0, inf)",
            clip="[0, inf)",
            talker_share="[0, 1]",
            ema="[0, 1)",
        )
        if self.frames % 8 or self.frames < 32:
            raise ValueError(f"frames must be a multiple of 8 of at least 32, got {self.frames}")
        if self.snr_low_db > self.snr_high_db:
            raise ValueError(f"snr_low_db must not exceed snr_high_db, got {self.snr_low_db} and {self.snr_high_db}")


@dataclass(frozen=True)
class Training(MixtureTraining):
    """How both methods are trained; the defaults are the paper's (Sec. 3.2) as far as it gives them."""

    ema_statistics: bool = False
    """The moving average follows the statistics of batch normalisation too; the official one does not."""
    predictor_steps: int = 0
    """Of the first stage and its visual encoder without the second one, before the rest. The paper has none."""
    joint: bool = True
    """Both stages and their visual encoders learn at once, as in the paper. Otherwise the first stage and its encoder
    stay as `predictor_steps` or `start_from` left them, and the rest learns with what they give."""
    predictor_weight: float = 0.5
    """Lambda 1 of Eq. 10."""
    refiner_weight: float = 0.5
    """Lambda 2 of Eq. 10."""
    at_start: float = 0.0
    """FlowAVSE: part of the clips at whose time `start` the second stage learns, where a single step of sampling asks
    for the field; the other times are drawn from [start, 1], all of them in the paper."""
    start_from: str = ""
    """Weights of another training of the same networks to begin with: a file, or one that is shipped, such as
    `flowavse/talkers.safetensors`; empty starts from nothing."""
    visual_steps: int = 0
    """Of the visual encoder alone, before the rest: it learns to see when speech is loud (`visual_training.py`). The
    paper has none."""
    visual_batch: int = 8
    visual_learning_rate: float = 3e-3
    """Falls to zero along half a cosine."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check(
            self,
            visual_batch="[1, inf)",
            visual_learning_rate="(0, inf)",
            **dict.fromkeys(("visual_steps", "predictor_steps", "predictor_weight", "refiner_weight"), "[0, inf)"),
            at_start="[0, 1]",
        )
        for name in ("visual_steps", "predictor_steps"):
            if getattr(self, name) and self.start_from:
                raise ValueError(f"{name} and start_from exclude each other: weights to start from hold what it trains")
        if not (self.joint or self.predictor_steps or self.start_from):
            raise ValueError("joint = false wants a first stage that is trained: set predictor_steps or start_from")
