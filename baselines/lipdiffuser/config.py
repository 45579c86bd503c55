"""What can be set in LipDiffuser."""

from __future__ import annotations

from dataclasses import dataclass

from baselines.lipdiffuser.mel import Framing
from baselines.settings import check


@dataclass(frozen=True)
class Config:
    # Vocoder
    framing: Framing = "hifigan"
    """Where the frames of the mel spectrogram lie: as HiFi-GAN's official code has them, or `centred`, 8 ms earlier, as
    torchaudio and vocoders trained by SpeechBrain."""
    vocoder_channels: int = 512
    """Of HiFi-GAN's first layer: 512 is its V1, 128 its V2."""
    vocoder_weights: str = ""
    """A published HiFi-GAN generator for 16 kHz, 80 bands and a hop of 256, in place of one that is trained here."""


@dataclass(frozen=True)
class Training:
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
            vocoder_steps="[1, inf)",
            vocoder_batch="[1, inf)",
            vocoder_frames="[4, inf)",
            vocoder_start_steps="[0, inf)",
            vocoder_critic_width="(0, 4]",
            vocoder_decay="(0, 1]",
            vocoder_disturbed="[0, 1]",
            **dict.fromkeys(("vocoder_learning_rate", "vocoder_start_learning_rate"), "(0, inf)"),
            **dict.fromkeys(("vocoder_mel_weight", "vocoder_feature_weight", "vocoder_spectra_weight"), "[0, inf)"),
        )
