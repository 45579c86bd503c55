"""What can be set in voice2face: the architecture and inference, and, apart from them, the training."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Config:
    """Architecture and inference."""

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
        if not 0 < self.width <= 4:
            raise ValueError(f"width must be in (0, 4], got {self.width}")
        if self.embedding < 1:
            raise ValueError(f"embedding must be at least 1, got {self.embedding}")
        if self.shortest_s < 0.1:
            raise ValueError(f"shortest_s must be at least 0.1, got {self.shortest_s}")


@dataclass(frozen=True)
class Training:
    """The official hyper-parameters, and the pretraining of the voice encoder, which the authors took ready-made."""

    steps: int = 50_000
    batch: int = 128
    learning_rate: float = 2e-4
    beta1: float = 0.5
    beta2: float = 0.999
    crop_frames: tuple[int, int] = (300, 800)
    """Shortest and longest crop; one length per batch."""
    voice_steps: int = 20_000
    """Of the voice encoder as a classifier of the training speakers; it is frozen afterwards."""
    voice_learning_rate: float = 1e-3
    voice_scale: float = 16.0
    """Logits are this times the cosine between voice and class."""
    critic_width: float = 1.0
    shared_critics: bool = False
    """One face network below both critics, as in the authors' code, where the paper gives each its own parameters."""
    drawn_by_file: bool = False
    """Voices and faces drawn apart, each file as often as any other, as the authors'; else the same people for both."""
    face_resampling: str = "bicubic"
    """How training faces are resized: `bicubic`, or `nearest` as by the Pillow that the authors name."""
    ema: float = 0.0
    """Decay of the exponential moving average of the generator; 0, as the authors', keeps none."""
    recordings: int = 0
    """Recordings per person held in memory, 0 for all."""

    def __post_init__(self) -> None:
        if not 0 <= self.ema < 1:
            raise ValueError(f"ema must be in [0, 1), got {self.ema}")
        if self.face_resampling not in ("bicubic", "nearest"):
            raise ValueError(f"face_resampling must be bicubic or nearest, got {self.face_resampling!r}")
        if not 1 <= self.crop_frames[0] <= self.crop_frames[1]:
            raise ValueError(f"crop_frames must be two rising lengths, got {self.crop_frames}")
