"""SGMSE+ behind the harness's interface."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

from torch import Tensor

from baselines.flowavse.enhancer import SpectrogramEnhancer, Window
from baselines.sgmse.config import Config
from baselines.sgmse.ncsnpp import NCSNpp
from baselines.sgmse.official import read_checkpoint


class SGMSE(SpectrogramEnhancer):
    """Clean speech by reverse diffusion that starts from the noisy speech; no face is looked at."""

    name: ClassVar[str] = "sgmse"
    title: ClassVar[str] = "SGMSE+, diffusion without a face (Richter et al. 2023)"
    further_tasks: ClassVar[tuple[str, ...]] = ("lip2speech",)
    hears: ClassVar[tuple[str, ...] | None] = ("noisy",)
    hint: ClassVar[str] = "Set width and blocks as in training"
    published: ClassVar[str] = "--preset paper --weights sgmse_official"
    Config: ClassVar[type] = Config
    config: Config
    network: NCSNpp

    def read_official(self, path: Path) -> dict[str, Tensor]:
        tensors, trained = read_checkpoint(path, self.config.blocks)
        self.check_trained(trained)
        return tensors

    def enhanced(self, noisy: Tensor, batch: Sequence[Window], draw: Callable[[], Tensor]) -> Tensor:
        return self.config.refined(lambda x, t: self.config.score(self.network, x, noisy, t), noisy, draw)
