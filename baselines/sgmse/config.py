"""What can be set in SGMSE+: network and inference, and, apart, the training."""

from __future__ import annotations

from dataclasses import dataclass

from baselines.avdiffuss.config import DiffusionConfig
from baselines.flowavse.config import MixtureTraining
from baselines.settings import check
from baselines.sgmse.ncsnpp import NCSNpp


@dataclass(frozen=True)
class Config(DiffusionConfig):
    """The defaults are the paper's, and those of the released checkpoints."""

    width: float = 1.0
    """Multiplies all channels; 1 is the paper's size."""
    blocks: int = 2
    """Residual blocks of a level on the way down; there is one more on the way up."""
    factor: float = 0.15

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self, width="(0, 4]", blocks="[1, 8]", steps="[1, 1000]")

    def network(self) -> NCSNpp:
        return NCSNpp(self.width, self.blocks)


@dataclass(frozen=True)
class Training(MixtureTraining):
    """How the score model is trained; the defaults are those of the authors' code, which names no number of steps."""

    steps: int = 250_000
    batch: int = 8
    snr_low_db: float = 0.0
    snr_high_db: float = 20.0
    """As the authors' script draws them for WSJ0-CHiME3."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.frames % 64:
            raise ValueError(f"frames must be a multiple of 64, got {self.frames}")
