"""Voice activity: keep what WebRTC's detector calls speech, with the padding rule that both papers' code uses."""

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
    """

    aggressiveness: int
    """Of the detector, 0 (keeps most) to 3."""
    frame_ms: int
    """10, 20 or 30."""
    padding_ms: int
    ratio: float = 0.9

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
        ring: deque[tuple[int, bool]] = deque(maxlen=capacity)
        kept: list[int] = []
        inside = False
        for start in range(0, len(pcm) - length, length):
            voiced = detector.is_speech(pcm[start : start + length].tobytes(), rate)
            ring.append((start, voiced))
            if inside:
                kept.append(start)
            against = sum(flag != inside for _, flag in ring)
            if against > self.ratio * capacity:
                if not inside:
                    kept.extend(begin for begin, _ in ring)
                inside = not inside
                ring.clear()
        if not kept:
            return samples[:0]
        return np.concatenate([samples[start : start + length] for start in kept])


SF2F_VAD = VoiceActivity(aggressiveness=1, frame_ms=30, padding_ms=300)
VOICE2FACE_VAD = VoiceActivity(aggressiveness=2, frame_ms=20, padding_ms=50)
