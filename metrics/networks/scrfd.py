"""SCRFD, insightface's face detector (Guo et al., ICLR 2022): what its ONNX file answers, made into boxes and points.

The network looks at a square canvas and has two anchors in each cell of grids with a step of 8, 16 and 32 pixels. Its
nine outputs are, for each grid in turn, the scores, then the distances from the cell's corner to the four sides, then
the offsets of five points (eyes, nose, corners of the mouth; the left one in the picture first), both in steps.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.ndimage import map_coordinates

from metrics.networks.onnx_files import OnnxNetwork

STEPS = (8, 16, 32)
ANCHORS = 2
CANVASES = (128, 640)
"""Sides of the canvases that a picture is looked at on; large faces are found on the small one."""
LEAST_SCORE = 0.5
MOST_OVERLAP = 0.4
"""Intersection over union from which on the box with the lower score is dropped."""


class Detections(NamedTuple):
    """Faces in one picture, best first; x and y in pixels of the picture."""

    boxes: np.ndarray
    """`[N, 4]`: left, top, right, bottom."""
    scores: np.ndarray
    """`[N]`, 0 to 1."""
    points: np.ndarray
    """`[N, 5, 2]`."""


class Scrfd:
    """The detector."""

    def __init__(self, network: OnnxNetwork) -> None:
        """Take a network of nine outputs.

        Raises:
            ValueError: it has others, or takes canvases of one size alone.
        """
        taken, outputs = network.shapes()
        widths = [shape[-1] for shape in outputs]
        free = len(taken) == 4 and not any(isinstance(side, int) for side in taken[2:])
        if widths != [1, 1, 1, 4, 4, 4, 10, 10, 10] or not free:
            raise ValueError(
                f"{network.path}: expected SCRFD with an input [1, 3, any, any] and nine outputs of width 1, 4 and "
                f"10, got input {taken} and widths {widths}; take the detector of the pack buffalo_l"
            )
        self.network = network
        canvases = "+".join(map(str, CANVASES))
        self.signature = f"detect:scrfd,{network.digest},canvas{canvases},score{LEAST_SCORE},overlap{MOST_OVERLAP}"

    def detect(self, image: np.ndarray) -> Detections:
        """Faces in a picture `[H, W, 3]` uint8 RGB."""
        found = [self._on_canvas(image, side) for side in CANVASES]
        boxes, scores, points = (np.concatenate(parts) for parts in zip(*found, strict=True))
        order = np.argsort(-scores, kind="stable")
        kept = order[apart(boxes[order])]
        return Detections(boxes[kept], scores[kept], points[kept])

    def largest(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """Box `[4]` and points `[5, 2]` of the largest face, or None."""
        found = self.detect(image)
        if not len(found.scores):
            return None
        sides = found.boxes[:, 2:] - found.boxes[:, :2]
        best = int(np.argmax(sides.prod(axis=1)))
        return found.boxes[best], found.points[best]

    def _on_canvas(self, image: np.ndarray, side: int) -> Detections:
        height, width = image.shape[:2]
        # Rounded down in this order, as the package does: a pixel more would move every box a little.
        if height > width:
            rows, columns = side, int(side / (height / width))
        else:
            rows, columns = int(side * (height / width)), side
        rows, columns = max(rows, 1), max(columns, 1)
        canvas = np.zeros((side, side, 3), np.uint8)
        canvas[:rows, :columns] = resized(image, rows, columns)
        x = ((canvas.astype(np.float32) - 127.5) / 128).transpose(2, 0, 1)[None]
        boxes, scores, points = decode(self.network(np.ascontiguousarray(x)), side)
        good = scores >= LEAST_SCORE
        scale = rows / height
        return Detections(boxes[good] / scale, scores[good], points[good] / scale)


def decode(outputs: list[np.ndarray], side: int) -> Detections:
    """All boxes that the nine outputs stand for, in pixels of the canvas.

    Raises:
        ValueError: outputs of other sizes than those of a canvas of this side.
    """
    boxes, scores, points = [], [], []
    for number, step in enumerate(STEPS):
        cells = side // step
        corner = np.stack(np.meshgrid(np.arange(cells), np.arange(cells)), axis=-1).reshape(-1, 2) * float(step)
        corner = np.repeat(corner, ANCHORS, axis=0)
        score, sides, offsets = (outputs[number + len(STEPS) * kind] for kind in range(3))
        if score.size != len(corner):
            raise ValueError(f"expected {len(corner)} scores with step {step} on {side} pixels, got {score.size}")
        sides = sides.reshape(-1, 4).astype(np.float64) * step
        scores.append(score.reshape(-1).astype(np.float64))
        boxes.append(np.hstack([corner - sides[:, :2], corner + sides[:, 2:]]))
        points.append(corner[:, None] + offsets.reshape(-1, 5, 2).astype(np.float64) * step)
    return Detections(np.concatenate(boxes), np.concatenate(scores), np.concatenate(points))


def apart(boxes: np.ndarray) -> list[int]:
    """Numbers of the boxes, given best first, that no better one overlaps too much; sides count their last pixel."""
    area = (boxes[:, 2:] - boxes[:, :2] + 1).prod(axis=1)
    kept: list[int] = []
    left = np.arange(len(boxes))
    while len(left):
        best, rest = left[0], left[1:]
        kept.append(int(best))
        common = np.minimum(boxes[best, 2:], boxes[rest, 2:]) - np.maximum(boxes[best, :2], boxes[rest, :2]) + 1
        shared = np.maximum(common, 0.0).prod(axis=1)
        left = rest[shared / (area[best] + area[rest] - shared) <= MOST_OVERLAP]
    return kept


def resized(image: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """A picture at another size, bilinear between the four nearest pixels, edges repeated; uint8."""
    height, width = image.shape[:2]
    y = (np.arange(rows) + 0.5) * (height / rows) - 0.5
    x = (np.arange(columns) + 0.5) * (width / columns) - 0.5
    return _sampled(image, np.stack(np.meshgrid(y, x, indexing="ij")), "nearest")


def warped(image: np.ndarray, matrix: np.ndarray, side: int) -> np.ndarray:
    """A square cut-out, bilinear, black beyond the edges; uint8.

    Args:
        matrix: `[2, 3]`, from x and y in the picture to x and y in the cut-out.
    """
    back = np.linalg.inv(np.vstack([matrix, [0.0, 0.0, 1.0]]))
    y, x = np.mgrid[:side, :side].astype(np.float64)
    there = np.tensordot(back[:2], np.stack([x, y, np.ones_like(x)]), axes=1)
    return _sampled(image, there[::-1], "grid-constant")


def _sampled(image: np.ndarray, places: np.ndarray, beyond: str) -> np.ndarray:
    bands = [map_coordinates(image[..., band].astype(np.float64), places, order=1, mode=beyond) for band in range(3)]
    return np.clip(np.rint(np.stack(bands, axis=-1)), 0, 255).astype(np.uint8)
