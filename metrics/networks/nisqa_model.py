"""The network of NISQA v2.0 (Mittag et al., Interspeech 2021), as torchmetrics ported it, with the published weights.

The weights (`nisqa.tar`, CC BY-NC-SA 4.0) allow no commercial use.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from metrics.networks.weight_files import UnreadableWeights, read_file
from metrics.plain import fresh

FILE = "nisqa.tar"


class NisqaModel:
    """Five scores of a signal: overall quality, noisiness, discontinuity, coloration, loudness."""

    def __init__(self, path: Path) -> None:
        """Look at the file.

        Raises:
            FileNotFoundError: it is not there.
            ValueError: it is called otherwise than torchmetrics wants it, or is no checkpoint of NISQA.
        """
        self.path = Path(path)
        if not self.path.is_file():
            raise FileNotFoundError(f"{path} is not there: expected NISQA's weights, {FILE}")
        if self.path.name != FILE:
            raise ValueError(f"{path}: torchmetrics reads NISQA's weights from a file called {FILE}; name it so")
        try:
            content = read_file(self.path)
        except UnreadableWeights as error:
            raise ValueError(str(error)) from error
        if not isinstance(content, dict) or not {"args", "model_state_dict"} <= content.keys():
            raise ValueError(f"{path} is no checkpoint of NISQA: expected its args and its model_state_dict")
        digest = hashlib.sha256(self.path.read_bytes()).hexdigest()[:8]
        self.signature = f"nisqa-{digest}|impl:torchmetrics-{version('torchmetrics')}"

    def __call__(self, signal: Tensor, rate: int) -> Tensor:
        """`[T]` float32 at any rate -> `[5]` float64.

        Raises:
            RuntimeError: torchmetrics refuses the signal, such as one that is too short or too long.
        """
        library = _library()
        folder = str(self.path.parent)
        if folder != library.NISQA_DIR:  # where torchmetrics looks; it keeps what it has read
            library.NISQA_DIR = folder
            library._load_nisqa_model.cache_clear()
        # The first call makes a network, which draws random weights before it reads its own.
        with fresh(), warnings.catch_warnings():
            # librosa remarks on what is shorter than its FFT; the frames are zero-padded to it anyway.
            warnings.filterwarnings("ignore", message="n_fft=.* is too large")
            scores: Tensor = library.non_intrusive_speech_quality_assessment(signal, rate)
        return scores.to(torch.float64)


def load(path: Path | None = None, device: str = "cpu") -> NisqaModel:
    """The network with the weights of a file; without one with those in torchmetrics' own folder. It runs on the CPU.

    Raises:
        ModuleNotFoundError: a package that NISQA needs is not installed.
        FileNotFoundError: there are no weights; torchmetrics would fetch them unasked and unverified.
        ValueError: the file is something else.
    """
    del device
    missing = [name for name in ("torchmetrics", "librosa", "requests") if importlib.util.find_spec(name) is None]
    if missing:
        raise ModuleNotFoundError(
            f"NISQA needs {' and '.join(missing)}: pip install {' '.join(missing)}", name=missing[0]
        )
    return NisqaModel(path or Path(_library().NISQA_DIR).expanduser() / FILE)


def _library() -> Any:
    return importlib.import_module("torchmetrics.functional.audio.nisqa")
