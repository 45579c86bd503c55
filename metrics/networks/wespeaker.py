"""Speaker networks that WeSpeaker (Wang et al., ICASSP 2023) exports as ONNX.

Its models take Kaldi's 80 log mel energies (25 ms Hamming frames every 10 ms, no dither, 16-bit scale), each band
with its mean over time taken away.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from metrics.metric import Undefined
from metrics.networks.mel import kaldi_fbank
from metrics.networks.not_weights import not_weights
from metrics.networks.onnx_files import file_digest

LEAST_S = 0.4
"""Seconds of sound below which there is no embedding, as with GE2E."""

_MELS = 80


class Wespeaker:
    """A speaker network: `embed` makes an embedding of a voice."""

    name = "wespeaker"
    rate = 16_000

    def __init__(self, path: Path, device: str = "cpu") -> None:
        """Open an ONNX model with one input `[1, T, 80]`.

        Raises:
            FileNotFoundError: no such file.
            ValueError: the file is no ONNX model, or takes something else.
            RuntimeError: the device is a GPU and onnxruntime cannot use it.
        """
        self.path, self.device = Path(path), device
        if not self.path.is_file():
            raise FileNotFoundError(f"{path} is not there: give a WeSpeaker model exported as ONNX")
        if what := not_weights(self.path):
            raise ValueError(f"{path}: expected an ONNX model, got {what}")
        self.signature = f"wespeaker-{file_digest(self.path)}|fs:16000|fbank:kaldi80-hamming|cmn"
        self._session = self._open()

    def embed(self, samples: np.ndarray) -> np.ndarray | Undefined:
        """The embedding of a voice, `[T]` at 16 kHz -> `[D]` float64 of length 1; Undefined without enough of it."""
        if len(samples) < LEAST_S * self.rate:
            return Undefined(f"{len(samples) / self.rate:.2f} s of sound; the speaker network needs {LEAST_S:g} s")
        if not np.any(samples):
            return Undefined("there is no sound")
        energies = kaldi_fbank(torch.from_numpy(np.asarray(samples, np.float64) * 32768), self.rate, _MELS)
        features = (energies - energies.mean(dim=0)).float().numpy()[None]
        vector = np.ravel(self._session.run(None, {self._session.get_inputs()[0].name: features})[0]).astype(np.float64)
        norm = np.linalg.norm(vector)
        return Undefined("the speaker network answers with zeros") if norm == 0 else vector / norm

    def _open(self) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        provider = "CPUExecutionProvider" if self.device == "cpu" else "CUDAExecutionProvider"
        # onnxruntime would quietly take the CPU instead.
        if provider not in onnxruntime.get_available_providers():
            raise RuntimeError(
                f"onnxruntime cannot use '{self.device}' here: pip install onnxruntime-gpu, or choose --device cpu"
            )
        try:
            session = onnxruntime.InferenceSession(str(self.path), options, providers=[provider])
        except Exception as error:  # onnxruntime's own types differ from one kind of corruption to the next
            reason = (str(error).splitlines() or [""])[0][:200]
            raise ValueError(f"{self.path}: expected an ONNX model, got {type(error).__name__}: {reason}") from error
        if provider not in session.get_providers():
            raise RuntimeError(f"onnxruntime could not open {self.path.name} on '{self.device}'; choose --device cpu")
        shapes = [tuple(one.shape) for one in session.get_inputs()]
        if len(shapes) != 1 or len(shapes[0]) != 3 or shapes[0][2] != _MELS:
            raise ValueError(f"{self.path}: expected a model with one input [1, T, {_MELS}], got {shapes}")
        return session

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_session"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._session = self._open()


def load(path: Path | None = None, device: str = "cpu") -> Wespeaker:
    """The network in an ONNX file.

    Raises:
        FileNotFoundError: no path is given, or nothing is there.
    """
    if path is None:
        raise FileNotFoundError("WeSpeaker comes with no model: give one exported as ONNX, speaker_model=FILE.onnx")
    return Wespeaker(path, device)
