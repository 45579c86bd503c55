"""What can be set in LipDiffuser: its networks and inference, and, apart from them, the trainings."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from baselines.lipdiffuser.diffusion import Denoiser
from baselines.lipdiffuser.mel import BANDS, Framing
from baselines.lipdiffuser.speaker import SpeakerKind
from baselines.lipdiffuser.unet import UNet
from baselines.settings import FILES, check, files_of_samples
from benchmark.errors import InvalidConfig
from benchmark.types import Sample
from benchmark.weights import table as weights

if TYPE_CHECKING:
    from torch import nn

    from baselines.lipdiffuser.network import LipDiffuserNetwork

INFERENCE_ALONE = frozenset(
    {
        "steps",
        "sigma_low",
        "sigma_high",
        "rho",
        "video",
        "enrolment",
        "ema",
        "longest_s",
        "precision",
        "vocoder_weights",
        "vocoder_equalised",
        "visual_features",
    }
)
"""Settings that change nothing of a training but the measures beside it."""
SPEAKER_DIMS = {"wespeaker": 256, "ge2e": 256, "talkers": 64}
"""Length of a speaker embedding; n_s of Sec. 4.2 is the first."""


def _features_of(folder: Path, sample: Sample) -> Path | None:
    from baselines.lipdiffuser.visual_features import feature_files

    (video,) = sample.inputs.get("video", (None,))[:1]
    return next(filter(Path.is_file, feature_files(folder, sample.id, video)), None)


@dataclass(frozen=True)
class Config:
    """Architecture and sampling; the defaults are the paper's as far as it gives them."""

    # Denoiser
    channels: int = 128
    """At full resolution; see `multiples`."""
    multiples: tuple[int, ...] = (1, 2, 3, 4)
    """Channels of each level, over `channels`; each level is half as high and long as the one before."""
    blocks: int = 3
    """Residual blocks at each level of the encoder; the decoder has one more."""
    attention: tuple[bool, ...] = (False, False, True, True)
    """Which levels have self-attention; the lowest one always has it once."""
    head_channels: int = 64
    """Channels of an attention head."""
    film_kernel: int = 5
    """Frames that the first convolution of MP-FiLM looks at."""
    patch: int = 1
    """Neighbouring mel bands that go into the denoiser as channels; 1 in the paper. 4 takes a quarter of the time."""

    # Visual encoder
    visual: Literal["braven", "talkers", "features"] = "braven"
    """What sees the lips: BRAVEn, with `visual_weights`; a small encoder that learns to read phonemes from Talkers'
    lips; or nothing, where `visual_features` were computed before."""
    visual_weights: str = field(default="", metadata=FILES)
    """A checkpoint of BRAVEn's official code, of its video encoder or of a lip reader with one: a file, or a name of
    the table of weights, `braven_large`."""
    visual_features: str = field(default="", metadata=files_of_samples(_features_of))
    """A folder with features of each sample, by its video's path below the folder of videos, without suffix, or by its
    id (`<id>.npy`): `[N, visual_dim]`, one row for each frame at 25 a second."""
    visual_dim: int = 1024
    """Channels of the features; of the encoder for Talkers 128 are enough. BRAVEn's are those of its checkpoint."""

    # Sampling
    steps: int = 32
    """Of Heun's method; each but the last asks the denoiser twice."""
    sigma_low: float = 0.002
    sigma_high: float = 80.0
    rho: float = 7.0
    """How much closer together the low noise levels lie than the high ones."""
    video: Literal["own", "shuffled"] = "own"
    """`shuffled` looks at another person's video: what the lips are worth."""
    enrolment: Literal["own", "shuffled"] = "own"
    """`shuffled` hears another person's voice: what the enrolment is worth. In which recording the speaker is heard is
    the evaluation's to say (`--enrolment`)."""
    ema: float = 0.0
    """Width of the average of the denoiser's weights; 0 takes the one in the file. Any other is made of what the
    training kept in the folder of its weights."""
    longest_s: float = 10.24
    """A longer video is denoised in windows of at most this length, which overlap, at every step of sampling."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Of the networks' arithmetic on a GPU; a CPU always takes float32."""

    # Speaker embedding
    speaker: SpeakerKind = "wespeaker"
    """What embeds the enrolment: WeSpeaker from a file, GE2E as resemblyzer carries it, or `talkers`, the recogniser of
    voice2face that ships with the method of that name."""
    speaker_model: str = field(default="", metadata=FILES)
    """WeSpeaker's model, exported as ONNX: a file, or a name of the table of weights; by default
    `wespeaker_resnet221`."""

    # Vocoder
    framing: Framing = "hifigan"
    """Where the frames of the mel spectrogram lie: as HiFi-GAN's official code has them, or `centred`, 8 ms earlier, as
    torchaudio and vocoders trained by SpeechBrain."""
    vocoder_channels: int = 512
    """Of HiFi-GAN's first layer: 512 is its V1, 128 its V2."""
    vocoder_weights: str = field(default="", metadata=FILES)
    """A published HiFi-GAN generator for 16 kHz, 80 bands and a hop of 256, in place of one that is trained here: a
    file, or a name of the table of weights, `hifigan_16khz`."""
    vocoder_equalised: int = 0
    """Times that the vocoder's sound is filtered, band by band and frame by frame, by what its log-mel lacks of the one
    that was asked for. The paper has no such; a vocoder that was trained for minutes needs it."""

    def __post_init__(self) -> None:
        check(
            self,
            **dict.fromkeys(("channels", "multiples", "blocks", "head_channels", "patch", "film_kernel"), "[1, inf)"),
            steps="[1, 1000]",
            vocoder_equalised="[0, 100]",
            sigma_low="(0, 1]",
            sigma_high="(1, 1000]",
            rho="[1, 100]",
            ema="[0, 0.28)",
            longest_s="[1, 600]",
            visual_dim="[8, 4096]",
        )
        if self.vocoder_channels < 16 or self.vocoder_channels % 16:
            raise ValueError(f"vocoder_channels must be a multiple of 16, got {self.vocoder_channels}")
        if len(self.attention) != len(self.multiples):
            raise ValueError(
                f"attention must say true or false for each of {len(self.multiples)} levels, got {len(self.attention)}"
            )
        if BANDS % (self.patch * 2 ** (len(self.multiples) - 1)):
            raise ValueError(
                f"{BANDS} mel bands must be a multiple of patch times 2 for each level below the first, "
                f"got patch {self.patch} and {len(self.multiples)} levels"
            )
        for multiple, asked in zip(self.multiples, (*self.attention[:-1], True), strict=True):
            if asked and self.channels * multiple % self.head_channels:
                raise ValueError(
                    f"head_channels must divide the channels of levels with attention, got {self.head_channels} "
                    f"and {self.channels * multiple}"
                )
        if not self.film_kernel % 2:
            raise ValueError(f"film_kernel must be odd, got {self.film_kernel}")

    def others_networks(self) -> list[str]:
        """Published networks that work around the denoiser and are not named yet: what each is, and how it is had."""
        found = []
        if self.visual == "braven" and not self.visual_weights:
            found.append("BRAVEn sees the lips (--set visual_weights=braven_large, or a file)")
        if self.speaker == "wespeaker" and not self.speaker_model:
            found.append("WeSpeaker hears the voice (`python -m benchmark weights fetch wespeaker_resnet221`)")
        if not self.vocoder_weights:
            found.append(
                "HiFi-GAN speaks, unless a training makes one (--set vocoder_weights=hifigan_16khz, or a file)"
            )
        return found

    def network(self, published: bool = True) -> LipDiffuserNetwork:
        """All networks, of the sizes that are set.

        Args:
            published: read BRAVEn from its checkpoint; otherwise it is the largest one, untrained.

        Raises:
            InvalidConfig, MissingWeights: a checkpoint that is not named, not there or of something else.
        """
        from baselines.lipdiffuser.braven import BRAVEn
        from baselines.lipdiffuser.network import LipDiffuserNetwork
        from baselines.lipdiffuser.vocoder import Generator

        visual = self.visual_encoder() if published or self.visual != "braven" else BRAVEn()
        denoiser = self.denoiser(SPEAKER_DIMS[self.speaker], self.visual_dim)
        return LipDiffuserNetwork(
            visual, denoiser, Generator(self.vocoder_channels), self.framing, self.vocoder_equalised
        )

    def visual_encoder(self) -> nn.Module | None:
        """What sees the lips: `[B, N, 88, 88]` in [0, 1] -> `[B, N, visual_dim]`; None where features were computed
        before.

        Raises:
            InvalidConfig: `visual = braven` without its weights, or with those of another `visual_dim`.
            MissingWeights: a file that holds none.
        """
        if self.visual == "features":
            return None
        if self.visual == "talkers":
            from baselines.lipdiffuser.visual_encoder import VisualEncoder

            return VisualEncoder(self.visual_dim)
        from baselines.lipdiffuser.braven import read_visual

        if not self.visual_weights:
            raise InvalidConfig(
                "visual = braven needs visual_weights: braven_large (`weights show braven_large` tells how to get it), "
                "or another checkpoint of BRAVEn's video encoder. For Talkers set visual = talkers, for features that "
                "were computed before visual = features"
            )
        found = read_visual(weights.given(self.visual_weights))
        if found.dim != self.visual_dim:
            raise InvalidConfig(
                f"{self.visual_weights} gives features of {found.dim} numbers; expected visual_dim = {self.visual_dim}"
            )
        return found

    def denoiser(self, speaker: int, features: int, dropout: float = 0.0) -> Denoiser:
        """
        Args:
            speaker: length of a speaker embedding.
            features: channels of the video features.
        """
        unet = UNet(
            self.patch,
            self.channels,
            self.multiples,
            self.blocks,
            self.attention,
            speaker,
            features,
            self.head_channels,
            self.film_kernel,
            dropout,
        )
        return Denoiser(unet, self.patch)


@dataclass(frozen=True)
class Training:
    """How the parts are trained; the defaults are the paper's (Sec. 4) as far as it gives them."""

    # Denoiser
    audio_steps: int = 125_000
    """On speech alone, without video: 32 million samples at the paper's batch (which may count both stages)."""
    steps: int = 125_000
    """With video."""
    batch: int = 256
    frames: int = 256
    """Of the log-mel, 16 ms each, in a training clip: the paper does not give it."""
    learning_rate: float = 5e-3
    """The highest: it rises to that in `ramp_up` and falls by the inverse square root after `decay_after`."""
    ramp_up: float = 10e6
    """Clips until the learning rate is highest; EDM2's (Sec. 4 follows it)."""
    decay_after: float = 70e3
    """Steps after which it falls; EDM2's of this size."""
    noise_mean: float = -1.2
    """P_mean: of ln(sigma)."""
    noise_deviation: float = 1.2
    """P_std."""
    dropout: float = 0.0
    """In residual blocks."""
    feature_noise: float = 0.0
    """Standard deviation of noise on the video features, beside their own: a visual encoder sees the clips that it was
    trained on more clearly than others."""
    feature_views: int = 1
    """Views of each video, moved and lit at random but the first, whose features are kept."""
    start_from: str = ""
    """Weights of another training to begin with, of the denoiser and of networks that have no steps here: so one may
    learn to speak from a corpus without videos, and to see from another."""
    ema: float = 0.1
    """Width of the average of weights that is exported (EDM2, Sec. 3), below 0.28."""
    snapshots: int = 16
    """Times at which averages are kept in each stage, for those of other widths."""

    # Visual encoder
    visual_steps: int = 6000
    """Of the encoder for Talkers, alone, before the rest; the paper's is a trained one."""
    visual_batch: int = 32
    """Clips."""
    visual_learning_rate: float = 2e-3
    """Falls to zero along half a cosine."""

    # Vocoder
    vocoder_steps: int = 2_500_000
    """Of HiFi-GAN's generator against its critics; Kong et al. 2020 train as long."""
    vocoder_start_steps: int = 0
    """Of the generator before that, by spectra alone. The paper has none; a short training gets further with them."""
    vocoder_start_learning_rate: float = 1e-3
    vocoder_batch: int = 16
    vocoder_frames: int = 32
    """Of the mel spectrogram, 16 ms each, in a training crop."""
    vocoder_learning_rate: float = 2e-4
    vocoder_decay: float = 0.999
    """Times which the learning rate is from one pass over the recordings to the next."""
    vocoder_anneal: bool = False
    """The learning rates fall to zero along half a cosine."""
    vocoder_critic_width: float = 1.0
    """Multiplies the channels of the critics; 1 is the paper's size."""
    vocoder_mel_weight: float = 45.0
    """Of the absolute difference of log-mel spectrograms in the generator's loss."""
    vocoder_feature_weight: float = 2.0
    """Of the absolute difference of the critics' features."""
    vocoder_spectra_weight: float = 0.0
    """Of the distance of magnitude spectra at three resolutions (Yamamoto et al. 2020), which the paper has not."""
    vocoder_disturbed: float = 0.0
    """Part of the crops whose mel spectrogram is blurred and made noisy on its way into the generator, as that of a
    denoiser is smoother than a true one."""

    def __post_init__(self) -> None:
        check(
            self,
            **dict.fromkeys(("audio_steps", "steps", "ramp_up", "feature_noise"), "[0, inf)"),
            **dict.fromkeys(("batch", "snapshots", "feature_views"), "[1, inf)"),
            **dict.fromkeys(("learning_rate", "decay_after", "noise_deviation"), "(0, inf)"),
            frames="[8, 4096]",
            dropout="[0, 1)",
            ema="(0, 0.28)",
            vocoder_batch="[1, inf)",
            **dict.fromkeys(("vocoder_learning_rate", "vocoder_start_learning_rate"), "(0, inf)"),
            **dict.fromkeys(("vocoder_mel_weight", "vocoder_feature_weight", "vocoder_spectra_weight"), "[0, inf)"),
            **dict.fromkeys(("visual_steps", "vocoder_start_steps", "vocoder_steps"), "[0, inf)"),
            visual_batch="[1, inf)",
            visual_learning_rate="(0, inf)",
            vocoder_frames="[4, inf)",
            vocoder_critic_width="(0, 4]",
            vocoder_decay="(0, 1]",
            vocoder_disturbed="[0, 1]",
        )
