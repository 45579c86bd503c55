"""A filter behind the vocoder, by which its sound has the log-mel spectrogram that it was asked for."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.lipdiffuser.mel import HOP, N_FFT, Framing, LogMel

LARGEST = 4.0
"""Natural logarithm of the largest gain of a pass, and of its inverse: 35 dB."""


class Equaliser(nn.Module):
    """Measures in each band and frame what the sound's log-mel lacks of the wanted one, and filters it by that.

    A vocoder that learnt for minutes hits pitch and timing, but not the envelope, by which voices are told apart. The
    gains of the bands are spread over frequencies as the bands overlap, and phases stay. As bands and frames overlap,
    one pass takes away about half of the difference; further ones measure again.

    Args:
        framing: of the log-mels, as in `LogMel`.
        passes: 0 leaves the sound as it is.
    """

    def __init__(self, framing: Framing = "hifigan", passes: int = 0) -> None:
        super().__init__()
        self.passes = passes
        self.log_mel = LogMel(framing)
        # So many samples before the sound, the second frame of a centred transform lies where the first log-mel does.
        self.ahead = HOP if framing == "centred" else HOP // 2
        shares = self.log_mel.filters.T
        shares = shares / shares.sum(1, keepdim=True).clamp(min=1e-9)
        # No band reaches 0 and 8000 Hz.
        shares[0], shares[-1] = shares[1], shares[-2]
        self.shares: Tensor
        self.register_buffer("shares", shares, persistent=False)

    def forward(self, sound: Tensor, mels: Tensor) -> Tensor:
        """Shape: sound `[B, 256 F]`, log-mels `[B, 80, F]`, F at least 3 -> `[B, 256 F]`, float32 in [-1, 1]."""
        length, window = sound.shape[1], self.log_mel.window
        with torch.autocast(sound.device.type, enabled=False):
            for _ in range(self.passes):
                sound = sound.float()
                lacking = (mels.float() - self.log_mel(sound)).clamp(-LARGEST, LARGEST)
                gains = F.pad(self.shares @ lacking, (1, 1), mode="replicate").exp()
                padded = F.pad(sound, (self.ahead, HOP - self.ahead))
                spectrum = torch.stft(padded, N_FFT, HOP, window=window, pad_mode="constant", return_complex=True)
                filtered = torch.istft(spectrum * gains, N_FFT, HOP, window=window, length=padded.shape[1])
                sound = filtered[:, self.ahead :][:, :length].clamp(-1, 1)
        return sound
