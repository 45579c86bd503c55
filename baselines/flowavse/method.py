"""FlowAVSE behind the harness's interface."""

from __future__ import annotations

from typing import ClassVar

from baselines.flowavse.config import Config
from baselines.flowavse.enhancer import Enhancer


class FlowAVSE(Enhancer):
    """Clean speech in one step of flow matching from a first estimate (Jung et al. 2024)."""

    name: ClassVar[str] = "flowavse"
    title: ClassVar[str] = "FlowAVSE, audio-visual enhancement by flow matching (Jung et al. 2024)"
    published: ClassVar[str] = "--preset official --weights flowavse_official"
    Config: ClassVar[type] = Config
    config: Config
