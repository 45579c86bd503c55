"""What can be set in SGMSE+: network and inference, and, apart, the training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

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
    clean_deviation: float = 0.0
    """0: the network gives the score, as in the paper. Above: it gives the clean speech, preconditioned as in EDM
    (Karras et al. 2022) for spectrograms of this standard deviation a complex bin, and the score follows from that.
    A score has to be exact to a few thousandths before it tells speech under much noise from silence; a short training
    does not get there."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self, width="(0, 4]", blocks="[1, 8]", steps="[1, 1000]", clean_deviation="[0, inf)")

    def network(self) -> NCSNpp:
        return NCSNpp(self.width, self.blocks, divide_by_time=not self.clean_deviation)

    def score(
        self, network: Callable[[Tensor, Tensor, Tensor], Tensor], state: Tensor, noisy: Tensor, time: Tensor
    ) -> Tensor:
        """The score of the state. Shape: state, noisy `[B, 2, F, T]`, time `[B]` -> `[B, 2, F, T]`.

        The state without its drift towards the noisy speech is the clean speech under normal noise of a deviation of
        its own, as EDM has it; c_skip, c_out and c_in are those of its Table 1.
        """
        if not self.clean_deviation:
            return network(state, noisy, time).float()
        drift, noise = self._noise(time)
        undrifted = (state - (1 - drift) * noisy) / drift
        total = (self.clean_deviation**2 + noise**2).sqrt()
        given = network(undrifted / total, noisy / self.clean_deviation, time).float()
        clean = (self.clean_deviation / total) ** 2 * undrifted + noise * self.clean_deviation / total * given
        return (clean - undrifted) / (drift * noise**2)

    def weight(self, time: Tensor) -> Tensor:
        """What the squared error of the score times its deviation is multiplied by; EDM's weight where it is
        preconditioned, by which all times ask for an output of the same size. Shape: `[B]` -> `[B, 1, 1, 1]`."""
        if not self.clean_deviation:
            return torch.ones_like(time)[:, None, None, None]
        return 1 + (self._noise(time)[1] / self.clean_deviation) ** 2

    def _noise(self, time: Tensor) -> tuple[Tensor, Tensor]:
        """The clean speech's part of the mean, and the deviation of the noise beside it. Shape: `[B, 1, 1, 1]` each."""
        process = self.process()
        drift = torch.exp(-process.theta * time)[:, None, None, None]
        return drift, process.deviation(time)[:, None, None, None] / drift


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
