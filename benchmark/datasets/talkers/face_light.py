"""Light on skin and hair: a key light, light from all round, gloss, and what the face keeps from itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from benchmark.datasets.talkers.face_view import View

_BLEED = np.array([0.42, 0.26, 0.18]).reshape(3, 1, 1)
"""How far light reaches past the terminator in skin: red the farthest, since blood lets it through."""


@dataclass(frozen=True)
class Light:
    """The light of one view; vectors in the picture's frame (x right, y down, z to the viewer)."""

    direction: np.ndarray
    strength: float
    ambient: float

    @classmethod
    def of(cls, view: View) -> Light:
        azimuth, elevation = np.deg2rad([view.light_azimuth, view.light_elevation])
        direction = np.array(
            [np.sin(azimuth) * np.cos(elevation), -np.sin(elevation), np.cos(azimuth) * np.cos(elevation)]
        )
        return cls(direction, view.light_strength, view.ambient)

    def facing(self, normal: np.ndarray) -> np.ndarray:
        """Cosine between normals `[3, H, W]` and the key light."""
        return np.tensordot(self.direction, normal, 1)

    def gloss(self, normal: np.ndarray, sharpness: float) -> np.ndarray:
        """The Blinn-Phong highlight."""
        half = self.direction + np.array([0, 0, 1.0])
        half /= np.linalg.norm(half)
        return np.maximum(np.tensordot(half, normal, 1), 0) ** sharpness

    def skin(self, normal: np.ndarray, open_sky: np.ndarray, lit: np.ndarray) -> np.ndarray:
        """Light `[3, H, W]` that falls on skin, given how open each point is and how far the key light reaches it."""
        wrapped = np.maximum((self.facing(normal) + _BLEED) / (1 + _BLEED), 0)
        around = self.ambient * (0.84 - 0.14 * normal[1]) * open_sky
        return 0.74 * self.strength * wrapped * (0.25 + 0.75 * lit) + around

    def hair(self, normal: np.ndarray, open_sky: np.ndarray) -> np.ndarray:
        """Light `[H, W]` that falls on hair."""
        wrapped = np.maximum((self.facing(normal) + 0.35) / 1.35, 0)
        return (0.7 * self.strength * wrapped + self.ambient * (0.75 - 0.25 * normal[1])) * open_sky

    def reaches(self, z: np.ndarray, step: float) -> np.ndarray:
        """How far the key light reaches each point of a height field, 0 to 1; the nose and the brow cast shadows."""
        x, y, up = self.direction
        flat = float(np.hypot(x, y))
        blocked = np.zeros_like(z)
        for distance in (0.05, 0.09, 0.14, 0.2, 0.28):
            dx, dy = (int(np.rint(part / max(flat, 1e-9) * distance / step)) for part in (x, y))
            rise = distance * up / max(flat, 0.15)
            height, width = z.shape
            here = (slice(max(-dy, 0), height - max(dy, 0)), slice(max(-dx, 0), width - max(dx, 0)))
            there = (slice(max(dy, 0), height - max(-dy, 0)), slice(max(dx, 0), width - max(-dx, 0)))
            blocked[here] = np.maximum(blocked[here], (z[there] - z[here] - rise) / (0.04 + 0.25 * distance))
        return gaussian_filter(1 - np.clip(blocked, 0, 1), 0.035 / step, truncate=2.5)


def openness(z: np.ndarray, step: float) -> np.ndarray:
    """How much of the sky a point of a height field sees: hollows, narrow and wide, are dark."""
    narrow = gaussian_filter(z, 0.05 / step, truncate=2.5, mode="nearest") - z
    wide = gaussian_filter(z, 0.16 / step, truncate=2.5, mode="nearest") - z
    return np.exp(-5.5 * np.maximum(narrow, 0) - 2.8 * np.maximum(wide, 0))
