"""What the denoiser learns from: log-mels, the voices that speak them, and what is seen of the lips."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from baselines.lipdiffuser.diffusion import at_mel_rate
from baselines.lipdiffuser.mel import FLOOR, Framing

SILENCE = math.log(FLOOR)
"""A log-mel without sound."""
MEASURED = 2000
"""Utterances from which mean and deviation are measured."""


class Utterances:
    """Utterances to draw clips from; nothing is changed after it was made.

    Args:
        mels: log-mels `[80, F]` of each utterance; any sequence, so also one that reads them when asked.
        speakers: of each utterance.
        voices: speaker embeddings of length 1, `[M, S]`.
        voice_speakers: of each voice; every speaker of an utterance has at least one.
        seen: video features of each utterance, `[views, N, C]`: of one or several views (crops) of its video, 25
            frames a second from the first sample on.
        framing: of the log-mels.
    """

    def __init__(
        self,
        mels: Sequence[Tensor],
        speakers: Sequence[str],
        voices: Tensor,
        voice_speakers: Sequence[str],
        seen: Sequence[Tensor] | None = None,
        framing: Framing = "hifigan",
    ) -> None:
        if not (len(mels) == len(speakers) and len(voices) == len(voice_speakers)) or (seen and len(seen) != len(mels)):
            raise ValueError(
                f"expected as many speakers as log-mels and as voices, got {len(speakers)} of {len(mels)} log-mels, "
                f"{len(voice_speakers)} of {len(voices)} voices, and features of {len(seen or mels)} videos"
            )
        self.mels, self.speakers, self.voices, self.seen = mels, speakers, voices.float(), seen
        self.framing = framing
        self._of: dict[str, list[int]] = defaultdict(list)
        for number, speaker in enumerate(voice_speakers):
            self._of[speaker].append(number)
        if lacking := sorted(set(speakers) - self._of.keys()):
            raise ValueError(f"expected a voice of every speaker, got none of {', '.join(lacking[:3])}")

    def __len__(self) -> int:
        return len(self.mels)

    def draw(self, rng: np.random.Generator, count: int, frames: int) -> dict[str, Tensor]:
        """Random stretches of random utterances; see `take`."""
        chosen = rng.choice(len(self), count, replace=count > len(self))
        return self.take(chosen, rng, frames)

    def take(self, chosen: Sequence[int] | np.ndarray, rng: np.random.Generator, frames: int) -> dict[str, Tensor]:
        """A random stretch of each; a shorter utterance is followed by silence and its last picture.

        Returns:
            `mels` `[B, 80, frames]`, `voices` `[B, S]`, each a random one of the speaker's, and with videos `seen`
            `[B, C, frames]`, at the rate of the mels.
        """
        mels, voices, seen = [], [], []
        for number in map(int, chosen):
            mel = self.mels[number].float()
            spare = mel.shape[1] - frames
            start = int(rng.integers(spare + 1)) if spare > 0 else 0
            mels.append(F.pad(mel[:, start : start + frames], (0, max(0, -spare)), value=SILENCE))
            own = self._of[self.speakers[number]]
            voices.append(self.voices[own[int(rng.integers(len(own)))]])
            if self.seen is not None:
                views = self.seen[number]
                view = views[int(rng.integers(len(views)))][None].float()
                seen.append(at_mel_rate(view, start + frames, self.framing)[0, :, start:])
        found = {"mels": torch.stack(mels), "voices": torch.stack(voices)}
        return found | {"seen": torch.stack(seen)} if seen else found

    def statistics(self) -> tuple[float, float]:
        """Mean and standard deviation of log-mels over all bands and frames of up to 2,000 utterances."""
        some = np.linspace(0, len(self) - 1, min(MEASURED, len(self))).round().astype(int)
        count, total, squares = 0, 0.0, 0.0
        for number in some:
            mel = self.mels[number].double()
            count, total, squares = count + mel.numel(), total + float(mel.sum()), squares + float(mel.square().sum())
        mean = total / count
        return mean, math.sqrt(squares / count - mean**2)
