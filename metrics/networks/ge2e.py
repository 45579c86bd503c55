"""The GE2E speaker encoder (Wan et al., ICASSP 2018) with the weights that the package resemblyzer carries.

Its way from sound to embedding is part of the definition: quiet recordings are raised to -30 dBFS, WebRTC's voice
detector takes long pauses out, windows of 1.6 s go through three LSTM layers, and the mean of their embeddings is
scaled to length 1. The package itself is read but never imported: it needs modules that current setuptools and SciPy
no longer have.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from metrics.metric import Undefined
from metrics.networks.carried import carried
from metrics.networks.mel import mel_power, slaney_filters
from metrics.networks.state import fill
from metrics.networks.weight_files import read_weights
from metrics.plain import fresh, plain

LEAST_S = 0.4
"""Seconds of voice below which there is no embedding: a window of 1.6 s would be mostly zeros."""

_HOP, _N_FFT, _MELS = 160, 400, 40
_WINDOW = 160
"""Frames in a window."""
_STEP = 77
"""Frames between windows: 1.3 of them a second."""
_COVERED = 0.75
"""Part of the last window that has to hold sound, or it is left out."""
_LEVEL_DB = -30.0
_VAD_FRAME = 480
"""Samples that the voice detector judges at once: 30 ms."""


class Ge2e(nn.Module):
    """A speaker network: `embed` makes 256 numbers of a voice."""

    name = "ge2e"
    rate = 16_000
    signature = "ge2e-resemblyzer|fs:16000|level:-30dBFS-up|vad:webrtc3|win:1.6/0.77"

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(_MELS, 256, num_layers=3, batch_first=True)
        self.linear = nn.Linear(256, 256)
        self._filters = slaney_filters(self.rate, _N_FFT, _MELS)

    def forward(self, mels: Tensor) -> Tensor:
        """`[N, T, 40]` mel powers -> `[N, 256]`, each of length 1 and nowhere negative."""
        _, (hidden, _) = self.lstm(mels)
        return functional.normalize(functional.relu(self.linear(hidden[-1])), dim=1)

    def embed(self, samples: np.ndarray) -> np.ndarray | Undefined:
        """The embedding of a voice, `[T]` at 16 kHz -> `[256]` float64 of length 1; Undefined without enough of it."""
        voiced = without_pauses(raised(np.asarray(samples, np.float64)))
        if len(voiced) < LEAST_S * self.rate:
            return Undefined(f"{len(voiced) / self.rate:.2f} s of voice; the speaker network needs {LEAST_S:g} s")
        starts = window_starts(len(voiced))
        missing = max(0, (starts[-1] + _WINDOW) * _HOP - len(voiced))
        with plain():
            # Frames are centred: the first one begins half a frame before the sound.
            x = functional.pad(torch.from_numpy(voiced), (_N_FFT // 2, missing + _N_FFT // 2))
            mels = mel_power(x, self._filters, _N_FFT, _HOP).to(self.linear.weight)
            mean = self(torch.stack([mels[start : start + _WINDOW] for start in starts])).mean(dim=0)
        mean = mean.double().cpu().numpy()
        norm = np.linalg.norm(mean)
        return Undefined("the speaker network answers with zeros") if norm == 0 else mean / norm


def raised(samples: np.ndarray) -> np.ndarray:
    """Samples with their level brought up to -30 dBFS; itself where they are louder, or silent."""
    with np.errstate(over="ignore"):  # what overflows is loud
        level = np.sqrt(np.mean(samples**2)) if len(samples) else 0.0
    target = 10 ** (_LEVEL_DB / 20)
    return samples * (target / level) if 0 < level < target else samples


def without_pauses(samples: np.ndarray) -> np.ndarray:
    """Samples `[T]` at 16 kHz without long pauses, in whole frames of 30 ms.

    A frame stays if the voice detector, in its strictest mode, hears a voice in 5 of the 8 frames around it (3 before,
    4 after), or if one within 3 frames of it stays for that reason.
    """
    import webrtcvad

    count = len(samples) // _VAD_FRAME
    samples = samples[: count * _VAD_FRAME]
    if not count:
        return samples
    detector = webrtcvad.Vad(3)
    # Peaks beyond full scale are clipped; an integer that overflows would turn them around.
    pcm = np.clip(np.round(np.clip(samples, -2, 2) * 32767), -32768, 32767).astype("<i2").reshape(count, _VAD_FRAME)
    heard = np.array([detector.is_speech(frame.tobytes(), Ge2e.rate) for frame in pcm])
    around = np.convolve(heard, np.ones(8))[4 : 4 + count]
    kept = np.convolve(around >= 5, np.ones(7))[3 : 3 + count] > 0
    return samples.reshape(count, _VAD_FRAME)[kept].ravel()


def window_starts(samples: int) -> list[int]:
    """First frames of the windows over a voice; the last is left out if less than three quarters of it hold sound."""
    frames = -(-(samples + 1) // _HOP)
    starts = list(range(0, max(1, frames - _WINDOW + _STEP + 1), _STEP))
    if len(starts) > 1 and samples / _HOP - starts[-1] < _COVERED * _WINDOW:
        starts.pop()
    return starts


def carried_file() -> Path:
    """Where the package resemblyzer keeps the weights.

    Raises:
        ModuleNotFoundError: the package is not installed.
    """
    return carried("GE2E's weights", "resemblyzer", "resemblyzer/pretrained.pt", "pip install --no-deps resemblyzer")


def load(path: Path | None = None, device: str = "cpu") -> Ge2e:
    """The network with the weights of `pretrained.pt`, the carried one by default.

    Raises:
        ModuleNotFoundError: no path is given and the package resemblyzer is not installed.
        FileNotFoundError: no such file.
        ValueError: the file holds something else.
    """
    path = path or carried_file()
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there: give GE2E's pretrained.pt, or none for the carried one")
    try:
        state = read_weights(path)
    except ValueError as error:
        raise ValueError(f"{error}; expected GE2E's pretrained.pt") from error
    with fresh():
        network = Ge2e()
        fill(network, state, path, ignore=("similarity_",))
    return network.eval().requires_grad_(False).to(device)
