"""Voice activity: keep what WebRTC's detector calls speech, by the padding rules of both papers' code."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
import webrtcvad


@dataclass(frozen=True)
class VoiceActivity:
    """How speech is told from pauses.

    A ring holds the last `padding_ms` of frames. Outside speech, once more than `ratio` of the ring's capacity is
    voiced, the whole ring is kept and speech begins; inside speech every frame is kept, until more than `ratio` of the
    ring is unvoiced.

    The detector adapts to what it hears: its answer about a frame depends on all that it was asked before. How often
    a frame is shown to it is therefore part of the rule.
    """

    aggressiveness: int
    """Of the detector, 0 (keeps most) to 3."""
    frame_ms: int
    """10, 20 or 30."""
    padding_ms: int
    ratio: float = 0.9
    asks_again: bool = False
    """Ask about every frame in the ring at each step (voice2face's authors), not about each frame once (SF2F's)."""

    def __call__(self, samples: np.ndarray, rate: int = 16000) -> np.ndarray:
        """The voiced parts of `samples`, joined; empty where nothing is voiced.

        A last frame that is not followed by at least one more sample is dropped.

        Shape:
            `[T]` float32 at full scale 1.0, rate 8, 16, 32 or 48 kHz -> `[T']`, T' <= T
        """
        detector = webrtcvad.Vad(self.aggressiveness)
        length = rate * self.frame_ms // 1000
        pcm = np.clip(np.round(samples * 32768.0), -32768, 32767).astype("<i2")
        capacity = self.padding_ms // self.frame_ms
        ring: deque[int] = deque(maxlen=capacity)
        flags: deque[bool] = deque(maxlen=capacity)
        kept: list[int] = []
        inside = False
        for start in range(0, len(pcm) - length, length):
            ring.append(start)
            if self.asks_again:
                flags.clear()
            for begin in ring if self.asks_again else (start,):
                flags.append(detector.is_speech(pcm[begin : begin + length].tobytes(), rate))
            if inside:
                kept.append(start)
            against = sum(flag != inside for flag in flags)
            if against > self.ratio * capacity:
                if not inside:
                    kept.extend(ring)
                inside = not inside
                ring.clear()
                flags.clear()
        if not kept:
            return samples[:0]
        return np.concatenate([samples[start : start + length] for start in kept])


SF2F_VAD = VoiceActivity(aggressiveness=1, frame_ms=30, padding_ms=300)
VOICE2FACE_VAD = VoiceActivity(aggressiveness=2, frame_ms=20, padding_ms=50, asks_again=True)
