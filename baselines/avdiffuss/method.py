"""AVDiffuSS behind the harness's interface."""

from __future__ import annotations

from typing import ClassVar

from baselines.avdiffuss.config import Config
from baselines.flowavse.enhancer import Enhancer


class AVDiffuSS(Enhancer):
    """Clean speech by reverse diffusion around a first estimate (Lee et al. 2024): FlowAVSE's baseline."""

    name: ClassVar[str] = "avdiffuss"
    title: ClassVar[str] = "AVDiffuSS, audio-visual separation by diffusion (Lee et al. 2024)"
    published: ClassVar[str] = "--preset official --weights avdiffuss_official"
    Config: ClassVar[type] = Config
    config: Config
